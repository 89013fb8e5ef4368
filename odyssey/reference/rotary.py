"""Rotary position embedding, its gradient, and its tables.

Arrays are float32 or float64 and all of one type (else `DTypeError`); tables that do not broadcast are a `ShapeError`.
`out`, of x's shape and type, receives the result and is returned; it may be x itself.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from odyssey.errors import DTypeError, ShapeError, describe, explain
from odyssey.reference._arrays import PI, deliver, reals, wide
from odyssey.typing import Array, ArrayLike


def rotary_embedding(
    x: ArrayLike, cos: ArrayLike, sin: ArrayLike, interleaved: bool = False, out: Array | None = None
) -> Array:
    """(a cos - b sin, a sin + b cos) for each pair (a, b): elements (i, i + pairs), or (2 i, 2 i + 1).

    >>> rotary_embedding(np.float32([[1, 2]]), np.float32([[0]]), np.float32([[1]]))
    array([[-2.,  1.]], dtype=float32)
    """
    x, cos, sin = reals(x=x, cos=cos, sin=sin)
    return _rotated(x, wide(cos), wide(sin), interleaved, out)


def rotary_embedding_backward(
    grad: ArrayLike, cos: ArrayLike, sin: ArrayLike, interleaved: bool = False, out: Array | None = None
) -> Array:
    """The rotation by the negative angle.

    >>> rotary_embedding_backward(np.float32([[-2, 1]]), np.float32([[0]]), np.float32([[1]]))
    array([[1., 2.]], dtype=float32)
    """
    grad, cos, sin = reals(grad=grad, cos=cos, sin=sin)
    return _rotated(grad, wide(cos), -wide(sin), interleaved, out)


def rotary_tables(length: int, dim: int, base: float = 10000.0, dtype: DTypeLike = np.float32) -> tuple[Array, Array]:
    """cos and sin of position · base^(-2 i / dim), (length, dim / 2).

    >>> rotary_tables(2, 2)[0].round(4)
    array([[1.    ],
           [0.5403]], dtype=float32)
    """
    if length < 0 or dim < 0 or dim % 2:
        raise ValueError(f"length must be at least 0 and dim even; found length {length}, dim {dim}")
    kind = np.dtype(dtype)
    if kind not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise DTypeError(f"dtype must be float32 or float64; found {kind}")
    turns = np.longdouble(base) ** (np.arange(0, dim, 2).astype(np.longdouble) / -max(dim, 1))
    angles = np.arange(length).astype(np.longdouble)[:, np.newaxis] * turns % (2 * PI)
    return np.cos(angles).astype(kind), np.sin(angles).astype(kind)


def _rotated(x: Array, cos: Array, sin: Array, interleaved: bool, out: Array | None) -> Array:
    pairs = cos.shape[-1] if cos.ndim else 0
    fits = (
        x.ndim > 0 < cos.ndim <= x.ndim
        and 0 < sin.ndim <= x.ndim
        and sin.shape[-1] == pairs
        and 2 * pairs <= x.shape[-1]
    )
    try:
        fits = fits and np.broadcast_shapes(cos.shape[:-1], sin.shape[:-1], x.shape[:-1]) == x.shape[:-1]
    except ValueError:
        fits = False
    if not fits:
        expected = "cos and sin must broadcast to (..., L, pairs), x being (..., L, D) with at least 2 · pairs elements"
        raise ShapeError(explain(expected, describe(x=x, cos=cos, sin=sin)))
    first, second = (slice(0, 2 * pairs, 2), slice(1, 2 * pairs, 2)) if interleaved else (
        slice(pairs), slice(pairs, 2 * pairs)
    )  # fmt: skip
    result = wide(x)
    a, b = result[..., first].copy(), result[..., second].copy()
    result[..., first] = a * cos - b * sin
    result[..., second] = a * sin + b * cos
    return deliver(result, x.dtype, out)
