"""Softmax and its logarithm along one axis, and their gradients.

Arrays are float32 or float64 and all of one type (else `DTypeError`), of one shape (else `ShapeError`); results have
that shape and type. `out`, of that shape and type, receives the result and is returned; it may be an operand. The
maximum is subtracted first, so nothing overflows. -inf among finite elements stands for a masked one and gives 0
(-inf for the logarithm); a row of nothing but -inf, or with +inf or NaN, is NaN. An axis out of range is NumPy's
`AxisError` (a `ValueError`); an array without axes has none to name (`ShapeError`).
"""

from __future__ import annotations

import numpy as np

from odyssey.reference._arrays import deliver, same_shape, wide, with_axes
from odyssey.typing import Array, ArrayLike


def softmax(x: ArrayLike, axis: int = -1, out: Array | None = None) -> Array:
    """e^x / Σ e^x along `axis`. `torch.softmax`.

    >>> softmax(np.float32([0, 1, 1000]))
    array([0., 0., 1.], dtype=float32)
    """
    x = with_axes(x, axis)
    weights = np.exp(_less_maximum(wide(x), axis))
    return deliver(weights / np.sum(weights, axis=axis, keepdims=True), x.dtype, out)


def softmax_backward(grad: ArrayLike, y: ArrayLike, axis: int = -1, out: Array | None = None) -> Array:
    """y · (grad - Σ grad · y) along `axis`, where y is the result of `softmax`.

    >>> softmax_backward(np.float32([1, 0]), np.float32([0.5, 0.5]))
    array([ 0.25, -0.25], dtype=float32)
    """
    grad, y = same_shape(grad=grad, y=y)
    g, p = wide(grad), wide(y)
    return deliver(p * (g - np.sum(g * p, axis=axis, keepdims=True)), y.dtype, out)


def log_softmax(x: ArrayLike, axis: int = -1, out: Array | None = None) -> Array:
    """x - log Σ e^x along `axis`. `torch.log_softmax`.

    >>> log_softmax(np.float32([0, 0]))
    array([-0.6931472, -0.6931472], dtype=float32)
    """
    x = with_axes(x, axis)
    z = _less_maximum(wide(x), axis)
    return deliver(z - np.log(np.sum(np.exp(z), axis=axis, keepdims=True)), x.dtype, out)


def log_softmax_backward(grad: ArrayLike, y: ArrayLike, axis: int = -1, out: Array | None = None) -> Array:
    """grad - e^y · Σ grad along `axis`, where y is the result of `log_softmax`.

    >>> log_softmax_backward(np.float32([1, 0]), np.log(np.float32([0.5, 0.5])))
    array([ 0.5, -0.5], dtype=float32)
    """
    grad, y = same_shape(grad=grad, y=y)
    g = wide(grad)
    return deliver(g - np.exp(wide(y)) * np.sum(g, axis=axis, keepdims=True), y.dtype, out)


def _less_maximum(z: Array, axis: int) -> Array:
    largest: Array = np.max(z, axis=axis, keepdims=True, initial=-np.inf)
    return z - largest
