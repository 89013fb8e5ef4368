"""Optimizers against PyTorch's formulas written out in float64, and against PyTorch where it is installed."""

import numpy as np
import pytest

import odyssey as od
from odyssey.errors import FormatError, LayoutError, ShapeError

START = np.array([1.0, -2.0, 3.0, 0.5])
SCALE = np.array([1.0, 3.0, 0.2, 10.0])


def sgd(w, grads, lr, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False):
    buffer = None
    for grad in grads:
        g = grad(w) + weight_decay * w
        if momentum:
            buffer = g if buffer is None else momentum * buffer + (1 - dampening) * g
            g = g + momentum * buffer if nesterov else buffer
        w = w - lr * g
    return w


def adam(w, grads, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, decoupled=False):
    m = v = np.zeros_like(w)
    for t, grad in enumerate(grads, 1):
        g = grad(w)
        if decoupled:
            w = w * (1 - lr * weight_decay)
        else:
            g = g + weight_decay * w
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g * g
        w = w - lr * (m / (1 - betas[0] ** t)) / (np.sqrt(v / (1 - betas[1] ** t)) + eps)
    return w


def rmsprop(w, grads, lr, alpha=0.99, eps=1e-8, weight_decay=0.0, momentum=0.0, centered=False):
    square = average = buffer = np.zeros_like(w)
    for grad in grads:
        g = grad(w) + weight_decay * w
        square = alpha * square + (1 - alpha) * g * g
        average = alpha * average + (1 - alpha) * g
        direction = g / (np.sqrt(square - average**2 if centered else square) + eps)
        buffer = momentum * buffer + direction
        w = w - lr * buffer
    return w


def adagrad(w, grads, lr, lr_decay=0.0, weight_decay=0.0, initial_accumulator_value=0.0, eps=1e-10):
    total = np.full_like(w, initial_accumulator_value)
    for t, grad in enumerate(grads):
        g = grad(w) + weight_decay * w
        total = total + g * g
        w = w - lr / (1 + t * lr_decay) * g / (np.sqrt(total) + eps)
    return w


def lars(w, grads, lr, momentum=0.9, weight_decay=0.0, trust_coefficient=1e-3, eps=1e-8):
    buffer = np.zeros_like(w)
    for grad in grads:
        g, size = grad(w), np.linalg.norm(w)
        rate = lr * trust_coefficient * size / (np.linalg.norm(g) + weight_decay * size + eps)
        buffer = momentum * buffer + rate * (g + weight_decay * w)
        w = w - buffer
    return w


CASES = [
    ("SGD", {"lr": 0.1}, sgd),
    ("SGD", {"lr": 0.05, "momentum": 0.9}, sgd),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True}, sgd),
    ("SGD", {"lr": 0.05, "momentum": 0.8, "dampening": 0.3, "weight_decay": 0.1}, sgd),
    ("SGD", {"lr": 0.05, "weight_decay": 0.1}, sgd),
    ("Adam", {"lr": 0.1}, adam),
    ("Adam", {"lr": 0.1, "betas": (0.8, 0.9), "eps": 1e-3, "weight_decay": 0.1}, adam),
    ("AdamW", {"lr": 0.1, "weight_decay": 0.1}, lambda *a, **k: adam(*a, decoupled=True, **k)),
    ("RMSprop", {"lr": 0.1}, rmsprop),
    ("RMSprop", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1}, rmsprop),
    ("RMSprop", {"lr": 0.1, "centered": True, "alpha": 0.8}, rmsprop),
    ("RMSprop", {"lr": 0.1, "centered": True, "momentum": 0.5}, rmsprop),
    ("Adagrad", {"lr": 0.1}, adagrad),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.5}, adagrad),
    ("LARS", {"lr": 0.1, "trust_coefficient": 0.5}, lars),
    ("LARS", {"lr": 0.1, "momentum": 0.0, "weight_decay": 0.1}, lars),
]


def run(name, options, steps=6, dtype=np.float64):
    w = od.Tensor(START.astype(dtype), requires_grad=True)
    opt = getattr(od.optim, name)([w], **options)
    for _ in range(steps):
        opt.zero_grad()
        (w * w * SCALE.astype(dtype)).sum().backward()
        opt.step()
    return w.data


@pytest.mark.parametrize(("name", "options", "formula"), CASES, ids=str)
def test_steps_follow_the_formula(name, options, formula):
    expected = formula(START, [lambda w: 2 * w * SCALE] * 6, **options)
    np.testing.assert_allclose(run(name, options), expected, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(run(name, options, dtype=np.float32), expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("name", "options", "formula"), CASES, ids=str)
def test_steps_are_pytorchs(name, options, formula):
    torch = pytest.importorskip("torch")
    if name == "LARS":
        pytest.skip("PyTorch has no LARS")
    w = torch.tensor(START, requires_grad=True)
    opt = getattr(torch.optim, name)([w], **options)
    for _ in range(6):
        opt.zero_grad()
        (w * w * torch.tensor(SCALE)).sum().backward()
        opt.step()
    np.testing.assert_allclose(run(name, options), w.detach().numpy(), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(("name", "options", "formula"), CASES, ids=str)
def test_state_resumes_to_the_same_bits(name, options, formula):
    whole = run(name, options, steps=7, dtype=np.float32)
    w = od.Tensor(START.astype(np.float32), requires_grad=True)
    state = None
    for steps in (3, 4):
        opt = getattr(od.optim, name)([w], **options)
        if state is not None:
            opt.load_state_dict(state)
        for _ in range(steps):
            opt.zero_grad()
            (w * w * SCALE.astype(np.float32)).sum().backward()
            opt.step()
        state = {key: np.array(value) if key != "steps" else value for key, value in opt.state_dict().items()}
    np.testing.assert_array_equal(w.data, whole)


def test_gradients_are_clipped_together():
    first, second, unused = (od.Tensor(np.float32(x), requires_grad=True) for x in ([3.0], [[4.0]], [1.0]))
    (first * first + (second * second).sum()).sum().backward()
    assert od.optim.clip_grad_norm_([first, second, unused], 1.0) == 10.0
    np.testing.assert_allclose(np.concatenate([first.grad, second.grad[0]]), [0.6, 0.8], rtol=1e-6)
    assert od.optim.clip_grad_norm_([first, second], 2.0) == pytest.approx(1.0)
    np.testing.assert_allclose(first.grad, 0.6, rtol=1e-6)
    assert unused.grad is None


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_gradients_of_no_finite_norm_stay_as_they_are(bad):
    grads = [np.float32([1, 2]), np.float32([bad])]
    assert not np.isfinite(od.clip_grad_norm(grads, 1.0))
    assert grads[0].tolist() == [1.0, 2.0]
    assert od.clip_grad_norm([], 1.0) == 0.0


@pytest.mark.parametrize("ops", [od, od.reference], ids=["fast", "reference"])
@pytest.mark.parametrize("size", [0, 2])
def test_read_only_gradients_are_refused_though_nothing_be_clipped(ops, size):
    grad = np.zeros(size, np.float32)
    grad.flags.writeable = False
    with pytest.raises(LayoutError, match="read-only"):
        ops.clip_grad_norm([grad], 1.0)


def test_parameters_without_a_gradient_are_left_alone():
    used, unused = (od.Tensor([1.0], requires_grad=True) for _ in range(2))
    opt = od.optim.SGD([used, unused], lr=0.5, momentum=0.9)
    (used * 2.0).sum().backward()
    opt.step()
    assert (used.item(), unused.item()) == (0.0, 1.0)
    assert set(opt.state_dict()) == {"steps", "0.momentum_buffer"}


def test_steps_write_into_the_parameters_own_array():
    array = np.ones(3, np.float32)
    w = od.Tensor(array, requires_grad=True)
    opt = od.optim.SGD([w], lr=0.5)
    w.sum().backward()
    opt.step()
    assert w.data is array
    assert array.tolist() == [0.5] * 3


def test_a_foreign_state_is_refused_and_changes_nothing():
    w = od.Tensor([1.0, 2.0], requires_grad=True)
    opt = od.optim.Adam([w])
    good = np.ones(2, np.float32)
    for state, error, message in (
        ({}, FormatError, "'steps'"),
        ({"steps": 1, "0.momentum_buffer": good}, FormatError, "saved by another optimizer"),
        ({"steps": 1, "1.exp_avg": good}, FormatError, "of 1 parameters, found '1.exp_avg'"),
        ({"steps": 1, "x.exp_avg": good}, FormatError, "found 'x.exp_avg'"),
        ({"steps": 1, "0.exp_avg": good}, FormatError, "0.exp_avg_sq"),
        ({"steps": 1, "0.exp_avg": np.ones(3), "0.exp_avg_sq": good}, ShapeError, r"\(2,\), found \(3,\)"),
    ):
        with pytest.raises(error, match=message):
            opt.load_state_dict(state)
    assert opt.state_dict() == {"steps": 0}


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("SGD", {"lr": -1.0}, "lr: expected a number that is not negative"),
        ("SGD", {"lr": float("nan")}, "lr: expected"),
        ("SGD", {"momentum": -0.1}, "momentum: expected"),
        ("SGD", {"nesterov": True}, "nesterov: expected momentum above 0"),
        ("Adam", {"betas": (1.0, 0.9)}, "betas: expected two numbers in"),
        ("AdamW", {"eps": -1.0}, "eps: expected"),
    ],
)
def test_senseless_settings_are_refused(name, options, message):
    with pytest.raises(ValueError, match=message):
        getattr(od.optim, name)([od.Tensor([1.0], requires_grad=True)], **options)


def test_what_is_not_a_parameter_is_refused():
    with pytest.raises(ValueError, match="at least one parameter"):
        od.optim.SGD([])
    with pytest.raises(ValueError, match="requires_grad=True"):
        od.optim.SGD([od.Tensor([1.0])])


def test_cosine_rises_and_falls():
    factor = od.optim.cosine(total=100, warmup=10, floor=0.1)
    values = [factor(step) for step in range(120)]
    assert values[9] == 1.0
    assert values[99] < 0.102
    assert values[100:] == [pytest.approx(0.1)] * 20
    assert values[:10] == sorted(values[:10])
    assert values[10:] == sorted(values[10:], reverse=True)
    assert od.optim.constant()(5) == 1.0
    with pytest.raises(ValueError, match="warmup"):
        od.optim.cosine(total=1, warmup=2)
