"""Losses: worked numbers, gradients by differences, PyTorch's values and gradients, and what they refuse."""

from contextlib import nullcontext
from functools import partial

import numpy as np
import pytest

import odyssey as od
from odyssey import nn
from odyssey.errors import ShapeError
from odyssey.testing import gradcheck

F = nn.functional
REDUCTIONS = ["mean", "sum", "none"]


def uniform(shape, low, high, apart_from=()):
    def draw(rng):
        x = rng.uniform(low, high, shape)
        for kink in apart_from:
            x = np.where(np.abs(x - kink) < 0.05, kink + 0.1, x)
        return x

    return draw


# name -> (inputs, options, whether target is differentiable, draws of x and target)
SHAPE = (3, 4)
PROBABILITY = uniform(SHAPE, 0.05, 0.95)
WEIGHTS = np.random.default_rng(5).uniform(0.5, 2.0, SHAPE)


def signs(rng):
    return np.where(rng.random(SHAPE) < 0.5, -1.0, 1.0)


def labels(rng):
    return (rng.random(SHAPE) < 0.5).astype(float)


def apart(rng):
    return rng.uniform(-3, 3, SHAPE)


CASES = {
    "mse_loss": (apart, apart, {}, True),
    "l1_loss": (uniform(SHAPE, -3, -0.1), uniform(SHAPE, 0.1, 3), {}, True),
    "smooth_l1_loss": (uniform(SHAPE, -3, 3, (-1, -0.7, 0, 0.7, 1)), lambda rng: np.zeros(SHAPE), {"beta": 0.7}, True),
    "huber_loss": (uniform(SHAPE, -3, 3, (-1, -0.7, 0, 0.7, 1)), lambda rng: np.zeros(SHAPE), {"delta": 0.7}, True),
    "binary_cross_entropy": (PROBABILITY, PROBABILITY, {"weight": WEIGHTS}, True),
    "binary_cross_entropy_with_logits": (apart, PROBABILITY, {"weight": WEIGHTS, "pos_weight": WEIGHTS[0]}, True),
    "hinge_embedding_loss": (uniform(SHAPE, -3, 3, (0.8,)), signs, {"margin": 0.8}, False),
    "hinge_loss": (uniform(SHAPE, -3, 3, (-0.8, 0.8)), signs, {"margin": 0.8}, False),
    "sigmoid_focal_loss": (apart, labels, {"alpha": 0.3, "gamma": 1.5}, False),
    "kl_div": (uniform(SHAPE, -3, 0), PROBABILITY, {}, True),
}
MORE = {
    "smooth_l1_loss": [{"beta": 0.0}, {"beta": 1.0}],
    "huber_loss": [{}],
    "binary_cross_entropy": [{}],
    "binary_cross_entropy_with_logits": [{}, {"pos_weight": WEIGHTS}],
    "sigmoid_focal_loss": [{"gamma": 0.0}, {"alpha": -1.0, "gamma": 0.5}],
    "kl_div": [{"log_target": True}],
}
ALL = [(name, options) for name in CASES for options in (CASES[name][2], *MORE.get(name, []))]


def draw(name, options, seed=0):
    rng = np.random.default_rng(seed)
    x, target = (make(rng) for make in CASES[name][:2])
    return x, np.log(target) if options.get("log_target") else target


@pytest.mark.parametrize("operations", ["fast", "reference"])
@pytest.mark.parametrize(("name", "options"), ALL, ids=str)
def test_gradients_are_the_differences(name, options, operations):
    function, through_target = getattr(F, name), CASES[name][3]
    x, target = draw(name, options)
    inputs = [od.Tensor(one, requires_grad=True) for one in ((x, target) if through_target else (x,))]
    for reduction in REDUCTIONS:
        loss = partial(function, reduction=reduction, **options)
        with od.use_reference() if operations == "reference" else nullcontext():
            gradcheck(loss if through_target else lambda x, loss=loss: loss(x, target), inputs, points=1)


def focal(torch, x, target, alpha=0.25, gamma=2.0, reduction="none"):
    """torchvision.ops.sigmoid_focal_loss, which comes without torch."""
    p = torch.sigmoid(x)
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(x, target, reduction="none")
    p_t = p * target + (1 - p) * (1 - target)
    loss = entropy * (1 - p_t) ** gamma
    if alpha >= 0:
        loss = (alpha * target + (1 - alpha) * (1 - target)) * loss
    return {"none": loss, "mean": loss.mean(), "sum": loss.sum()}[reduction]


THEIRS = [
    (name, options, reduction)
    for name, options in ALL
    for reduction in (*REDUCTIONS, *(["batchmean"] if name == "kl_div" else []))
    if name != "hinge_loss"  # which PyTorch does not have
]


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides")
@pytest.mark.parametrize(("name", "options", "reduction"), THEIRS, ids=str)
def test_values_and_gradients_are_pytorchs(name, options, reduction):
    torch = pytest.importorskip("torch")
    theirs = (lambda *a, **k: focal(torch, *a, **k)) if name == "sigmoid_focal_loss" else getattr(torch.nn.functional, name)
    x, target = draw(name, options, 3)
    ours = [od.Tensor(x, requires_grad=True), od.Tensor(target, requires_grad=True)]
    peers = [torch.tensor(x, requires_grad=True), torch.tensor(target, requires_grad=CASES[name][3])]
    loss = getattr(F, name)(*ours, reduction=reduction, **options)
    given = {key: torch.tensor(value) if isinstance(value, np.ndarray) else value for key, value in options.items()}
    expected = theirs(*peers, reduction=reduction, **given)
    np.testing.assert_allclose(loss.data, expected.detach().numpy(), rtol=1e-11, atol=1e-13)
    loss.sum().backward()
    expected.sum().backward()
    np.testing.assert_allclose(ours[0].grad, peers[0].grad.numpy(), rtol=1e-11, atol=1e-13)
    if CASES[name][3]:
        np.testing.assert_allclose(ours[1].grad, peers[1].grad.numpy(), rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cross_entropy_of_logits_keeps_its_digits_far_from_zero(dtype):
    x = od.Tensor(np.array([-200, -30, 0, 30, 200], dtype), requires_grad=True)
    loss = F.binary_cross_entropy_with_logits(x, np.ones(5, dtype), "none")
    expected = [200, 30 + np.log1p(np.exp(-30.0)), np.log(2), np.log1p(np.exp(-30.0)), 0]
    np.testing.assert_allclose(loss.data, np.array(expected), rtol=4e-7 if dtype == np.float32 else 1e-14, atol=1e-43)
    loss.sum().backward()
    np.testing.assert_allclose(x.grad, [-1, -1, -0.5, -np.exp(-30.0), 0], rtol=2e-6, atol=1e-43)
    assert np.isfinite(x.grad).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cross_entropy_of_probabilities_keeps_its_digits_and_has_a_floor(dtype):
    x = np.array([0, 1, 0, 1, 1e-7, 0.5], dtype)
    target = np.array([0, 1, 1, 0, 0, 1], dtype)
    loss = F.binary_cross_entropy(od.Tensor(x, requires_grad=True), target, "none")
    np.testing.assert_allclose(loss.data, [0, 0, 100, 100, -np.log1p(-float(x[4])), np.log(2)], rtol=5e-7, atol=0)
    loss.sum().backward()


def test_probabilities_outside_their_range_are_refused():
    for bad in (-0.1, 1.1, np.nan):
        with pytest.raises(ValueError, match="use binary_cross_entropy_with_logits"):
            F.binary_cross_entropy(np.float32([0.5, bad]), np.float32([0, 1]))
    assert F.binary_cross_entropy(np.empty(0, np.float32), np.empty(0, np.float32), "sum").item() == 0.0


@pytest.mark.parametrize("name", CASES)
def test_shapes_that_would_broadcast_are_refused(name):
    with pytest.raises(ShapeError, match=rf"{name}: expected target of x's shape \(2, 1\), found \(2,\)"):
        getattr(F, name)(od.Tensor([[0.5], [0.5]]), od.Tensor([1.0, 1.0]))
    with pytest.raises(ValueError, match=f"{name}: expected reduction"):
        getattr(F, name)(od.Tensor([0.5]), od.Tensor([1.0]), reduction="median")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("smooth_l1_loss", {"beta": -1.0}),
        ("huber_loss", {"delta": 0.0}),
        ("sigmoid_focal_loss", {"gamma": -1.0}),
    ],
)
def test_senseless_settings_are_refused(name, options):
    with pytest.raises(ValueError, match=f"{name}: expected"):
        getattr(F, name)(od.Tensor([0.5]), od.Tensor([1.0]), **options)


@pytest.mark.parametrize("shape", [(3,), (2, 1, 2), (5, 2, 2)])
def test_weights_that_do_not_broadcast_to_the_loss_are_refused(shape):
    for what in ("weight", "pos_weight"):
        with pytest.raises(ShapeError, match=f"expected a {what} that broadcasts"):
            F.binary_cross_entropy_with_logits(od.Tensor([[0.5, 0.5]]), od.Tensor([[1.0, 0.0]]), **{what: np.ones(shape)})


def test_labels_may_be_integers_or_booleans():
    x = od.Tensor([0.3, -0.7])
    expected = F.binary_cross_entropy_with_logits(x, np.float32([1, 0])).item()
    for target in (np.array([1, 0]), np.array([True, False])):
        loss = F.binary_cross_entropy_with_logits(x, target)
        assert (loss.item(), loss.dtype) == (expected, np.float32)


def test_the_divergence_of_a_batch_of_one_number():
    assert F.kl_div(od.Tensor(np.float64(-1.0)), od.Tensor(np.float64(0.5)), "batchmean").item() == pytest.approx(
        0.5 * (np.log(0.5) + 1)
    )


def test_layers_are_their_functions():
    x, target = np.float32([0.2, 0.9]), np.float32([1, 0])
    for layer, expected in (
        (nn.MSELoss("sum"), F.mse_loss(x, target, "sum")),
        (nn.L1Loss(), F.l1_loss(x, target)),
        (nn.SmoothL1Loss(beta=0.5), F.smooth_l1_loss(x, target, beta=0.5)),
        (nn.HuberLoss(delta=0.5), F.huber_loss(x, target, delta=0.5)),
        (nn.BCELoss(weight=target), F.binary_cross_entropy(x, target, weight=target)),
        (nn.BCEWithLogitsLoss(pos_weight=x), F.binary_cross_entropy_with_logits(x, target, pos_weight=x)),
        (nn.HingeLoss(margin=2.0), F.hinge_loss(x, target, margin=2.0)),
        (nn.HingeEmbeddingLoss("none"), F.hinge_embedding_loss(x, target, "none")),
        (nn.FocalLoss(gamma=1.0), F.sigmoid_focal_loss(x, target, gamma=1.0, reduction="mean")),
        (nn.KLDivLoss("batchmean", log_target=True), F.kl_div(x, target, "batchmean", log_target=True)),
    ):
        np.testing.assert_array_equal(layer(x, target).data, expected.data)
        assert "reduction" in repr(layer) or isinstance(layer, nn.CrossEntropyLoss)
