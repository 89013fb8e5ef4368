"""Norms over the last axis, and their gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

from odyssey.testing import magnitudes
from odyssey.testing.call import Call, call
from odyssey.testing.case import Case, Grad
from odyssey.testing.cases.common import IS_A_GRADIENT, TERMS, Options
from odyssey.testing.cases.reductions import TABLES
from odyssey.testing.cases.softmax import ROWS
from odyssey.testing.draw import Draw, Shape
from odyssey.testing.peers import torch_call
from odyssey.testing.tolerance import Gamma, Tolerance
from odyssey.typing import Array

LARGE = ((1_003, 97), (7, 10_007))
AFFINE: Options = ({}, {"affine": False})
FINITE = ("normal", "lognormal", "subnormal")  # special: an infinite grad times a difference that rounds to 0
SMALL = ((3, 7), (2, 3, 5), 17)


def row_of(draw: Draw, shape: Shape) -> Array:
    """A weight or bias for arrays of this shape, ordinary whatever the regime."""
    return draw.normal(shape[-1] if isinstance(shape, tuple) else shape)


def scaled(draw: Draw, shape: Shape, affine: bool = True) -> Call:
    """f(x, weight)."""
    return call(draw(shape), row_of(draw, shape)) if affine else call(draw(shape))


def shifted(draw: Draw, shape: Shape, affine: bool = True) -> Call:
    """f(x, weight, bias)."""
    return call(draw(shape), row_of(draw, shape), row_of(draw, shape)) if affine else call(draw(shape))


def gradient(draw: Draw, shape: Shape, affine: bool = True) -> Call:
    """f(grad, x, weight)."""
    return call(draw(shape), *scaled(draw, shape, affine).args)


def rows(grad: Array, x: Array, *_: Any, **__: Any) -> int:
    """How many terms meet in a weight's gradient."""
    return int(x.size // max(x.shape[-1], 1)) + 10 + int(x.shape[-1])


def down(x: Array) -> tuple[int, ...]:
    """All axes but the last."""
    return tuple(range(x.ndim - 1))


def case(op: str, tolerance: Tolerance | tuple[Tolerance, ...], why: str, grad: Grad | str, **changes: Any) -> Case:
    """A norm or its gradient."""
    row: dict[str, Any] = {"sizes": ROWS, "options": AFFINE, "bench": TABLES, "regimes": TERMS, "large": LARGE}
    return Case(op=op, tolerance=tolerance, why=why, grad=grad, **row | changes)


def by_x(centred: bool) -> Gamma:
    """The tolerance of the gradient of x."""
    eps = 1e-5 if centred else 1e-6
    return Gamma(
        lambda grad, x, *_, **__: 3 * x.shape[-1] + 20,
        lambda grad, x, weight=None: magnitudes.layer_norm_backward(grad, x, weight, eps, centred=centred),
        underflow=lambda grad, x, weight=None: magnitudes.backward_factor(x, weight, eps, centred=centred),
    )


def by_weight(centred: bool) -> Gamma:
    """The tolerance of the gradient of the weight."""
    eps = 1e-5 if centred else 1e-6
    return Gamma(
        rows,
        lambda grad, x, weight=None: magnitudes.norm_backward_weight(grad, x, eps, over=down(x), centred=centred),
        underflow=lambda grad, x, weight=None: np.max(size) if (size := magnitudes.size_of(grad)).size else 1,
    )


def _torch_layer_norm_backward(torch: Any, grad: Any, x: Any, weight: Any) -> Any:
    """With the forward's statistics, which PyTorch keeps and odyssey computes again."""
    aten = torch.ops.aten
    _, mean, scale = aten.native_layer_norm(x, weight.shape, weight, weight, 1e-5)
    return aten.native_layer_norm_backward(grad, x, weight.shape, mean, scale, weight, weight, [True, True, True])


NORMS = [
    case(
        "rms_norm",
        Gamma(
            lambda x, *_: x.shape[-1] + 8,
            magnitudes.result_of("rms_norm"),
            underflow=lambda x, weight=None: 1 if weight is None else magnitudes.size_of(weight),
        ),
        "A sum of squares, in which nothing cancels, a root, which halves its error, and three roundings.",
        Grad(
            wrt=(0, 1),
            backward=lambda ops, g, y, x, weight: ops.rms_norm_backward(g, x, weight),
            sizes=SMALL,
            options=({},),
        ),
        inputs=scaled,
        peers={"torch": torch_call(lambda torch, x, w: torch.nn.functional.rms_norm(x, w.shape, w, 1e-6))},
    ),
    case(
        "rms_norm_backward",
        (by_x(False), by_weight(False)),
        "Two sums along the row meet in each element; the weight's gradient is a sum down the rows.",
        IS_A_GRADIENT,
        inputs=gradient,
        regimes=FINITE,
    ),
    case(
        "layer_norm",
        Gamma(
            lambda x, *_: x.shape[-1] + 12,
            magnitudes.layer_norm,
            underflow=lambda x, weight=None, bias=None: magnitudes.norm_factor(x, weight),
        ),
        "x - mean(x) cancels, so the error is bounded by |x| + mean|x|; the variance adds half its own.",
        Grad(
            wrt=(0, 1, 2),
            backward=lambda ops, g, y, x, weight, bias: ops.layer_norm_backward(g, x, weight),
            sizes=SMALL,
            options=({},),
        ),
        inputs=shifted,
        peers={"torch": torch_call(lambda torch, x, w, b: torch.nn.functional.layer_norm(x, w.shape, w, b))},
    ),
    case(
        "layer_norm_backward",
        (by_x(True), by_weight(True), Gamma(rows, lambda grad, x, *_: np.sum(magnitudes.size_of(grad), axis=down(x)))),
        "Two sums along the row meet in each element; the gradients of weight and bias are sums down the rows.",
        IS_A_GRADIENT,
        inputs=gradient,
        regimes=FINITE,
        peers={"torch": torch_call(_torch_layer_norm_backward)},
    ),
]
