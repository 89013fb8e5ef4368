"""What is differentiated to check each function of nn.functional and each layer, but for functions with a row in
`odyssey.testing.cases`, which are checked from there.

A new function or layer needs a line here; `test_gradients_everywhere.py` names those without one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import odyssey as od

F = od.nn.functional
nn = od.nn


def draw(*shapes: tuple[int, ...], low: float = -2.0, high: float = 2.0) -> Callable[..., list[Any]]:
    """Tensors of float64 with a gradient, uniform in [low, high]."""

    def inputs(rng: np.random.Generator) -> list[Any]:
        return [od.Tensor(rng.uniform(low, high, shape), requires_grad=True) for shape in shapes]

    return inputs


def ball(*shapes: tuple[int, ...]) -> Callable[..., list[Any]]:
    """Points of the unit ball."""

    def inputs(rng: np.random.Generator) -> list[Any]:
        points = [rng.standard_normal(shape) for shape in shapes]
        points = [x / np.linalg.norm(x, axis=-1, keepdims=True) * rng.uniform(0.2, 0.8) for x in points]
        return [od.Tensor(x, requires_grad=True) for x in points]

    return inputs


def transport(rng: np.random.Generator) -> list[Any]:
    """Weights of two distributions, and costs."""
    weights = [rng.uniform(0.5, 1.5, n) for n in (3, 4)]
    arrays = *(w / w.sum() for w in weights), rng.uniform(0, 1, (3, 4))
    return [od.Tensor(x, requires_grad=True) for x in arrays]


def normalised(a: Any, b: Any, cost: Any) -> Any:
    """Transport between weights that still sum to 1 when one is moved."""
    return F.sinkhorn(a / a.sum(), b / b.sum(), cost, 0.5, tolerance=1e-13)


def apart(low: float, high: float, shape: tuple[int, ...] = (3, 4)) -> Callable[..., list[Any]]:
    """Two Tensors of float64 with a gradient, whose elements are never one: some further apart than 1, some nearer."""

    def inputs(rng: np.random.Generator) -> list[Any]:
        target = rng.uniform(low, high, shape)
        signs = rng.choice([-1.0, 1.0], shape)
        x = target + signs * (0.3 + np.arange(target.size).reshape(shape) % 3 * 0.6)
        return [od.Tensor(one, requires_grad=True) for one in (x, target)]

    return inputs


def logits(*, spread: float = 2.0) -> Callable[..., list[Any]]:
    """Scores, away from the margin of 1."""

    def inputs(rng: np.random.Generator) -> list[Any]:
        x = rng.uniform(0.1, 0.8, (3, 4)) * rng.choice([-spread, spread / 2], (3, 4))
        return [od.Tensor(x, requires_grad=True)]

    return inputs


SIGNS = np.where(np.arange(12).reshape(3, 4) % 2, 1.0, -1.0)
HITS = (SIGNS + 1) / 2
CHOSEN = np.array([[True, False, True], [False, False, True]])

FUNCTIONS: dict[str, tuple[Callable[..., Any], Callable[..., list[Any]]]] = {
    "moe_route": (lambda x: F.moe_route(x, 2)[0], draw((4, 5))),
    "moe_combine": (lambda x, w: F.moe_combine(x, w, np.array([[4, 0], [1, 2], [3, 1]])), draw((6, 3), (3, 2))),
    "swiglu": (F.swiglu, draw((3, 4), (3, 4))),
    "add_": (lambda x, y: F.add_(x * 2.0, y), draw((2, 3), (3,))),
    "binary_cross_entropy": (F.binary_cross_entropy, draw((3, 4), (3, 4), low=0.1, high=0.9)),
    "binary_cross_entropy_with_logits": (
        lambda x, t: F.binary_cross_entropy_with_logits(x, t, pos_weight=np.arange(1.0, 5.0)), draw((3, 4), (3, 4))
    ),
    "broadcast_to": (lambda x: F.broadcast_to(x, (2, 4, 3)), draw((4, 1))),
    "clone": (F.clone, draw((2, 3))),
    "concatenate": (lambda x, y: F.concatenate([x, y, x], 1), draw((2, 3), (2, 1))),
    "copy_": (lambda x, y: F.copy_(x * 2.0, y) * x, draw((2, 3), (3,))),
    "divide_": (lambda x, y: F.divide_(x * 2.0, y), draw((2, 3), (3,), low=0.5)),
    "dropout2d": (lambda x: F.dropout2d(x, 0.5, 3), draw((3, 4, 2))),
    "exp_map": (F.exp_map, ball((3, 2), (3, 2))),
    "expand_dims": (lambda x: F.expand_dims(x, (0, -1)), draw((2, 3))),
    "expand_streams": (lambda x: F.expand_streams(x, 3), draw((2, 4))),
    "fill_": (lambda x: F.fill_(x * 2.0, 3.0) * x, draw((3,))),
    "flatten": (lambda x: F.flatten(x, 1), draw((2, 3, 2))),
    "getitem": (lambda x: F.getitem(x, ([0, 0, 1], slice(1, 3))), draw((2, 4))),
    "gyration": (F.gyration, ball((3, 2), (3, 2), (3, 2))),
    "hinge_embedding_loss": (lambda x: F.hinge_embedding_loss(x, SIGNS), logits()),
    "hinge_loss": (lambda x: F.hinge_loss(x, SIGNS), logits()),
    "huber_loss": (lambda x, t: F.huber_loss(x, t, delta=0.7), apart(-1, 1)),
    "kl_div": (lambda x, t: F.kl_div(x, t, "batchmean"), draw((3, 4), (3, 4), low=0.1, high=0.9)),
    "l1_loss": (F.l1_loss, apart(-1, 1)),
    "log_map": (F.log_map, ball((3, 2), (3, 2))),
    "mobius_add": (F.mobius_add, ball((3, 2), (2,))),
    "mse_loss": (F.mse_loss, draw((2, 3), (2, 3))),
    "multiply_": (lambda x, y: F.multiply_(x * 2.0, y), draw((2, 3), (3,))),
    "negative": (F.negative, draw((3,))),
    "parallel_transport": (F.parallel_transport, ball((3, 2), (3, 2), (3, 2))),
    "project_to_ball": (lambda x: F.project_to_ball(x, 1.0, 0.5), ball((4, 3))),
    "reshape": (lambda x: F.reshape(x, 3, -1), draw((2, 3))),
    "setitem": (lambda x, y: F.setitem(x * 2.0, (slice(None), 1), y), draw((2, 3), (2,))),
    "sigmoid_focal_loss": (lambda x: F.sigmoid_focal_loss(x, HITS), logits()),
    "sinkhorn": (normalised, transport),
    "smooth_l1_loss": (lambda x, t: F.smooth_l1_loss(x, t, beta=0.7), apart(-1, 1)),
    "split": (lambda x: F.multiply(*F.split(x, 2, 1)), draw((3, 4))),
    "squeeze": (F.squeeze, draw((2, 1, 3))),
    "stack": (lambda x, y: F.stack([x, y, x], -1), draw((2, 3), (2, 3))),
    "subtract_": (lambda x, y: F.subtract_(x * 2.0, y), draw((2, 3), (3,))),
    "swapaxes": (lambda x: F.swapaxes(x, 0, -1), draw((2, 3, 4))),
    "transpose": (lambda x: F.transpose(x, 1, 2, 0), draw((2, 3, 4))),
    "where": (lambda x, y: F.where(CHOSEN, x, y), draw((2, 3), (3,))),
}
"""By name: the function as it is called, and its inputs."""

LABELS = np.array([2, 0])
IMAGES = (2, 4, 5, 6)


def _hyper_connection() -> Callable[..., Any]:
    layer = nn.HyperConnection(2, 4, dtype=np.float64)

    def call(x: Any) -> Any:
        collapsed, state = layer.pre(x)
        return layer.post(F.tanh(collapsed), x, state)

    call.layer = layer  # type: ignore[attr-defined]
    return call


LAYERS: dict[str, tuple[Callable[[], Any], Callable[..., list[Any]]]] = {
    **{
        name: (getattr(nn, name), draw((3, 4), low=0.1, high=0.9))
        for name in (
            "ELU", "GELU", "HardSigmoid", "HardSwish", "HardTanh", "LeakyReLU", "LogSoftmax", "Mish", "PReLU", "ReLU",
            "ReLU6", "SELU", "SiLU", "Sigmoid", "Softmax", "Softplus", "Tanh",
        )
    },
    "BCELoss": (nn.BCELoss, draw((3, 4), (3, 4), low=0.1, high=0.9)),
    "BCEWithLogitsLoss": (nn.BCEWithLogitsLoss, draw((3, 4), (3, 4))),
    "Dropout2d": (lambda: nn.Dropout2d(0.5).eval(), draw(IMAGES)),
    "FocalLoss": (lambda: _with(nn.FocalLoss(), HITS), logits()),
    "HingeEmbeddingLoss": (lambda: _with(nn.HingeEmbeddingLoss(), SIGNS), logits()),
    "HingeLoss": (lambda: _with(nn.HingeLoss(), SIGNS), logits()),
    "HuberLoss": (nn.HuberLoss, apart(-1, 1)),
    "Identity": (nn.Identity, draw((3, 4))),
    "KLDivLoss": (nn.KLDivLoss, draw((3, 4), (3, 4), low=0.1, high=0.9)),
    "L1Loss": (nn.L1Loss, apart(-1, 1)),
    "ModuleList": (lambda: _in_turn(nn.ModuleList([nn.Linear(4, 3), nn.Linear(3, 2)])), draw((2, 4))),
    "MixtureOfExperts": (lambda: nn.MixtureOfExperts(6, 5, 4, 2, generator=np.random.default_rng(0)), draw((2, 5, 6))),
    "MultiHeadAttention": (lambda: nn.MultiHeadAttention(8, 4, 2, rotary=10000.0, is_causal=True), draw((2, 3, 8))),
    "Residual": (lambda: nn.Residual(nn.Linear(4, 4), nn.Tanh()), draw((2, 4))),
    "SeparableConv2d": (lambda: nn.SeparableConv2d(4, 3, 3, padding=1), draw(IMAGES)),
    "SmoothL1Loss": (nn.SmoothL1Loss, apart(-1, 1)),
    "AvgPool2d": (lambda: nn.AvgPool2d(2), draw(IMAGES)),
    "BatchNorm1d": (lambda: nn.BatchNorm1d(4), draw((5, 4))),
    "BatchNorm2d": (lambda: nn.BatchNorm2d(4), draw(IMAGES)),
    "Conv2d": (lambda: nn.Conv2d(4, 3, 3, stride=2, padding=1), draw(IMAGES)),
    "ConvTranspose2d": (lambda: nn.ConvTranspose2d(4, 3, 3, stride=2), draw(IMAGES)),
    "CrossEntropyLoss": (lambda: _with(nn.CrossEntropyLoss(), LABELS), draw((2, 4))),
    "Dropout": (lambda: nn.Dropout(0.5).eval(), draw((3, 4))),
    "Embedding": (lambda: _of_indices(nn.Embedding(5, 3)), draw((1,))),
    "Flatten": (nn.Flatten, draw(IMAGES)),
    "FrozenConv2d": (
        lambda: nn.FrozenConv2d(
            nn.Conv2d(4, 3, 3, padding=1),
            np.random.default_rng(0).standard_normal((3, 4, 3, 3), np.float32),
            np.zeros(3, np.float32),
        ),
        draw(IMAGES),
    ),
    "GlobalAvgPool2d": (nn.GlobalAvgPool2d, draw(IMAGES)),
    "GroupNorm": (lambda: nn.GroupNorm(2, 4), draw(IMAGES)),
    "HyperConnection": (_hyper_connection, draw((3, 2, 4))),
    "HyperHead": (lambda: nn.HyperHead(2, 4), draw((3, 2, 4))),
    "InstanceNorm2d": (lambda: nn.InstanceNorm2d(4), draw(IMAGES)),
    "LayerNorm": (lambda: nn.LayerNorm(4), draw((3, 4))),
    "Linear": (lambda: nn.Linear(4, 3), draw((2, 4))),
    "MSELoss": (nn.MSELoss, draw((2, 3), (2, 3))),
    "MaxPool2d": (lambda: nn.MaxPool2d(2), draw(IMAGES)),
    "RMSNorm": (lambda: nn.RMSNorm(4), draw((3, 4))),
    "ResidualAdd": (lambda: _residual(nn.ResidualAdd()), draw((3, 4))),
    "Sequential": (lambda: nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)), draw((2, 4))),
}
"""By name: how to make the layer, or a function with it as `.layer`, and its inputs."""


def _with(layer: Any, labels: Any) -> Callable[..., Any]:
    def call(x: Any) -> Any:
        return layer(x, labels)

    call.layer = layer  # type: ignore[attr-defined]
    return call


def _of_indices(layer: Any) -> Callable[..., Any]:
    def call(x: Any) -> Any:
        return layer(np.array([[0, 3], [3, 1]])) * x

    call.layer = layer  # type: ignore[attr-defined]
    return call


def _in_turn(layers: Any) -> Callable[..., Any]:
    def call(x: Any) -> Any:
        for layer in layers:
            x = layer(x)
        return x

    call.layer = layers  # type: ignore[attr-defined]
    return call


def _residual(layer: Any) -> Callable[..., Any]:
    def call(x: Any) -> Any:
        collapsed, state = layer.pre(x)
        return layer.post(F.tanh(collapsed), x, state)

    call.layer = layer  # type: ignore[attr-defined]
    return call
