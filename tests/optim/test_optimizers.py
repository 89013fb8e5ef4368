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


def adam(w, grads, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, decoupled=False, amsgrad=False):
    m = v = most = np.zeros_like(w)
    for t, grad in enumerate(grads, 1):
        g = grad(w)
        if decoupled:
            w = w * (1 - lr * weight_decay)
        else:
            g = g + weight_decay * w
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g * g
        most = np.maximum(most, v)
        size = np.sqrt((most if amsgrad else v) / (1 - betas[1] ** t))
        w = w - lr * (m / (1 - betas[0] ** t)) / (size + eps)
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
    ("Adam", {"lr": 0.5, "betas": (0.5, 0.6), "weight_decay": 0.1, "amsgrad": True}, adam),
    ("AdamW", {"lr": 0.1, "weight_decay": 0.1}, lambda *a, **k: adam(*a, decoupled=True, **k)),
    ("AdamW", {"lr": 0.5, "betas": (0.5, 0.6), "weight_decay": 0.01, "amsgrad": True}, lambda *a, **k: adam(*a, decoupled=True, **k)),
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


def named(value):
    return value.__name__ if callable(value) else str(value)


@pytest.mark.parametrize(("name", "options", "formula"), CASES, ids=named)
def test_steps_follow_the_formula(name, options, formula):
    expected = formula(START, [lambda w: 2 * w * SCALE] * 6, **options)
    np.testing.assert_allclose(run(name, options), expected, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(run(name, options, dtype=np.float32), expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("name", "options", "formula"), CASES, ids=named)
def test_steps_are_pytorchs(name, options, formula):
    """Twenty of them, each looked at, on two parameters whose gradients vary as those of batches do."""
    torch = pytest.importorskip("torch")
    if name == "LARS":
        pytest.skip("PyTorch has no LARS")
    rng = np.random.default_rng(0)
    starts = [rng.normal(size=shape) for shape in ((3, 5), (7,))]
    ours = [od.Tensor(start.copy(), requires_grad=True) for start in starts]
    theirs = [torch.tensor(start, requires_grad=True) for start in starts]
    opt, peer = getattr(od.optim, name)(ours, **options), getattr(torch.optim, name)(theirs, **options)
    for _ in range(20):
        for own, other in zip(ours, theirs, strict=True):
            grad = rng.normal(size=own.shape) + own.data
            own.grad, other.grad = grad.copy(), torch.tensor(grad)
        opt.step()
        peer.step()
        for own, other in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(own.data, other.detach().numpy(), rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize(("name", "options", "formula"), CASES, ids=named)
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
        ("RMSprop", {"alpha": 1.5}, "alpha: expected a number in"),
        ("Adagrad", {"lr_decay": -1.0}, "lr_decay: expected"),
        ("LARS", {"trust_coefficient": -1.0}, "trust_coefficient: expected"),
        ("RiemannianAdam", {"betas": (0.9, 1.0)}, "betas: expected"),
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


def test_values_are_clipped_element_by_element():
    first, unused = od.Tensor([3.0, -4.0, 0.25], requires_grad=True), od.Tensor([1.0], requires_grad=True)
    first.grad = np.float32([3.0, -4.0, 0.25])
    od.optim.clip_grad_value_([first, unused], 0.5)
    assert first.grad.tolist() == [0.5, -0.5, 0.25]
    od.optim.clip_grad_value_(first, 0.0)
    assert not first.grad.any()
    for bad in (-1.0, float("nan")):
        with pytest.raises(ValueError, match="clip_grad_value_: expected clip_value from 0 on"):
            od.optim.clip_grad_value_(first, bad)


# ---- groups ------------------------------------------------------------------------------------------------------------


def pair():
    return [od.Tensor(START.copy(), requires_grad=True) for _ in range(2)]


GROUPS = [
    ("SGD", {"lr": 0.1, "momentum": 0.9}, {"lr": 0.01, "weight_decay": 0.1, "momentum": 0.0}),
    ("SGD", {"lr": 0.1}, {"momentum": 0.5, "nesterov": True}),
    ("Adam", {"lr": 0.1}, {"betas": (0.5, 0.6), "amsgrad": True}),
    ("AdamW", {"lr": 0.1, "weight_decay": 0.1}, {"weight_decay": 0.0}),
    ("RMSprop", {"lr": 0.1}, {"centered": True, "momentum": 0.9}),
    ("Adagrad", {"lr": 0.1}, {"lr_decay": 0.1, "initial_accumulator_value": 0.5}),
    ("LARS", {"lr": 0.1}, {"momentum": 0.0}),
]


def steps(opt, params, count):
    for _ in range(count):
        opt.zero_grad()
        sum(((w * w * SCALE).sum() for w in params), od.Tensor(np.zeros(()))).backward()
        opt.step()


@pytest.mark.parametrize(("name", "usual", "own"), GROUPS, ids=str)
def test_each_group_has_its_own_settings(name, usual, own):
    first, second = pair()
    opt = getattr(od.optim, name)([{"params": first}, {"params": [second], **own}], **usual)
    steps(opt, (first, second), 6)
    np.testing.assert_array_equal(first.data, run(name, usual))
    np.testing.assert_array_equal(second.data, run(name, {**usual, **own}))


@pytest.mark.parametrize(("name", "usual", "own"), GROUPS, ids=str)
def test_groups_resume_to_the_same_bits(name, usual, own):
    def make(params):
        return getattr(od.optim, name)([{"params": params[:1], **own}, {"params": params[1:]}], **usual)

    whole, parts = pair(), pair()
    steps(make(whole), whole, 7)
    one = make(parts)
    steps(one, parts, 3)
    two = make(parts)
    two.load_state_dict(one.state_dict())
    steps(two, parts, 4)
    for a, b in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(a.data, b.data)


def test_the_learning_rate_of_all_groups_and_of_one():
    first, second = pair()
    opt = od.optim.SGD([{"params": [first], "lr": 0.5}, {"params": [second]}], lr=0.25)
    assert [group["lr"] for group in opt.param_groups] == [0.5, 0.25]
    assert opt.lr == 0.5
    opt.lr = 0.125
    assert [group["lr"] for group in opt.param_groups] == [0.125, 0.125]
    opt.param_groups[1]["lr"] = 0.0
    steps(opt, (first, second), 1)
    assert not np.array_equal(first.data, START)
    assert np.array_equal(second.data, START)


def test_groups_on_the_ball_move_by_their_own_rates():
    def point():
        return od.Tensor(np.array([[0.3, 0.4]]), requires_grad=True)

    for name, own in (("RiemannianSGD", {"momentum": 0.9}), ("RiemannianAdam", {"lr": 0.03})):
        first, second, alone = point(), point(), point()
        both = getattr(od.optim, name)([{"params": [first]}, {"params": [second], **own}], lr=0.1)
        single = getattr(od.optim, name)([alone], **{"lr": 0.1, **own})
        for _ in range(3):
            for p in (first, second, alone):
                p.grad = np.array([[0.1, -0.2]])
            both.step()
            single.step()
        np.testing.assert_array_equal(second.data, alone.data)
        assert not np.array_equal(first.data, second.data)


def test_groups_that_make_no_sense_are_refused():
    first, second = pair()
    for params, message in (
        ([{"params": [first]}, second], "only groups with 'params', or only Tensors"),
        ([{"lr": 1.0}], "only groups with 'params'"),
        ([{"params": [first], "momentun": 0.9}], "found 'momentun'"),
        ([{"params": [first], "momentum": -1.0}], "momentum: expected"),
        ([{"params": [first]}, {"params": [first]}], "each parameter once"),
        ([{"params": []}], "at least one parameter"),
    ):
        with pytest.raises(ValueError, match=message):
            od.optim.SGD(params)
    opt = od.optim.SGD([{"params": [first], "momentum": 0.9}, {"params": [second]}])
    with pytest.raises(FormatError, match=r"of 2 parameters, found '1\.momentum_buffer'"):
        opt.load_state_dict({"steps": 1, "1.momentum_buffer": np.ones(4)})


def test_the_base_takes_no_steps():
    with pytest.raises(NotImplementedError):
        od.optim.Optimizer(pair(), {"lr": 0.1}).step()
