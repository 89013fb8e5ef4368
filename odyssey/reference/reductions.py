"""Reductions over axes, and their gradients.

Arrays are float32 or float64 (else `DTypeError`). `axis` is an int, a tuple of ints, or None for all axes; `keepdims`
keeps the reduced axes with size 1. Sums run in a wider type and are rounded once. `out`, of the result's shape and type
(else `ShapeError`, `DTypeError`), receives the result and is returned. Without `out`, a result without axes is a NumPy
scalar. A backward takes the incoming gradient with or without the reduced axes. An axis out of range is NumPy's
`AxisError` (a `ValueError`); an array without axes has none to name (`ShapeError`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from odyssey.errors import ShapeError, describe, explain
from odyssey.reference._arrays import deliver, reals, wide, with_axes
from odyssey.typing import Array, ArrayLike


def sum(
    x: ArrayLike, axis: int | tuple[int, ...] | None = None, keepdims: bool = False, out: Array | None = None
) -> Array:
    """Σ x, 0 for no elements. `numpy.sum`.

    >>> sum(np.float32([[1, 2], [3, 4]]), axis=0)
    array([4., 6.], dtype=float32)
    """
    x = with_axes(x, axis)
    return deliver(np.sum(wide(x), axis=axis, keepdims=keepdims), x.dtype, out)


def mean(
    x: ArrayLike, axis: int | tuple[int, ...] | None = None, keepdims: bool = False, out: Array | None = None
) -> Array:
    """Σ x / n, NaN for no elements. `numpy.mean`.

    >>> mean(np.float32([[1, 2], [3, 4]]), axis=1)
    array([1.5, 3.5], dtype=float32)
    """
    x = with_axes(x, axis)
    total = np.sum(wide(x), axis=axis, keepdims=keepdims)
    return deliver(np.divide(total, _count(x, axis)), x.dtype, out)


def var(
    x: ArrayLike,
    axis: int | tuple[int, ...] | None = None,
    ddof: int = 0,
    keepdims: bool = False,
    out: Array | None = None,
) -> Array:
    """Σ (x - mean)² / (n - ddof), the mean subtracted first. `numpy.var`; NaN or inf where n <= ddof.

    >>> var(np.float32([1, 2, 3, 4]))
    np.float32(1.25)
    """
    x = with_axes(x, axis)
    z = wide(x)
    n = _count(x, axis)
    centred = z - np.divide(np.sum(z, axis=axis, keepdims=True), n)
    total = np.sum(centred * centred, axis=axis, keepdims=keepdims)
    return deliver(np.divide(total, np.maximum(n - ddof, 0)), x.dtype, out)


def var_backward(
    grad: ArrayLike,
    x: ArrayLike,
    axis: int | tuple[int, ...] | None = None,
    ddof: int = 0,
    out: Array | None = None,
) -> Array:
    """grad · 2 (x - mean) / (n - ddof), of x's shape; NaN where n <= ddof.

    >>> var_backward(np.float32(1), np.float32([1, 2, 3]), ddof=1)
    array([-1.,  0.,  1.], dtype=float32)
    """
    grad, x = reals(grad=grad, x=x)
    z = wide(x)
    n = _count(x, axis)
    centred = z - np.divide(np.sum(z, axis=axis, keepdims=True), n)
    return deliver(_kept("grad", grad, x, axis) * 2 * centred / (n - ddof if n > ddof else np.nan), x.dtype, out)


def max(
    x: ArrayLike, axis: int | tuple[int, ...] | None = None, keepdims: bool = False, out: Array | None = None
) -> Array:
    """The largest element, NaN if one is NaN. `numpy.max`; `ValueError` for no elements.

    >>> max(np.float32([[1, 2], [4, 3]]), axis=1)
    array([2., 4.], dtype=float32)
    """
    x = with_axes(x, axis)
    return deliver(np.max(x, axis=axis, keepdims=keepdims), x.dtype, out)


def max_backward(
    grad: ArrayLike, x: ArrayLike, axis: int | tuple[int, ...] | None = None, out: Array | None = None
) -> Array:
    """grad where x holds its first maximum (in C order over the reduced axes; the first NaN, if any), else 0.

    >>> max_backward(np.float32(5), np.float32([1, 3, 3]))
    array([0., 5., 0.], dtype=float32)
    """
    grad, x = reals(grad=grad, x=x)
    return deliver(_to_first(grad, x, axis, np.argmax), x.dtype, out)


def min(
    x: ArrayLike, axis: int | tuple[int, ...] | None = None, keepdims: bool = False, out: Array | None = None
) -> Array:
    """The smallest element, NaN if one is NaN. `numpy.min`; `ValueError` for no elements.

    >>> min(np.float32([[1, 2], [4, 3]]), axis=1)
    array([1., 3.], dtype=float32)
    """
    x = with_axes(x, axis)
    return deliver(np.min(x, axis=axis, keepdims=keepdims), x.dtype, out)


def min_backward(
    grad: ArrayLike, x: ArrayLike, axis: int | tuple[int, ...] | None = None, out: Array | None = None
) -> Array:
    """grad where x holds its first minimum (in C order over the reduced axes; the first NaN, if any), else 0.

    >>> min_backward(np.float32(5), np.float32([3, 1, 1]))
    array([0., 5., 0.], dtype=float32)
    """
    grad, x = reals(grad=grad, x=x)
    return deliver(_to_first(grad, x, axis, np.argmin), x.dtype, out)


def argmax(x: ArrayLike, axis: int | None = None, keepdims: bool = False, out: Array | None = None) -> Array:
    """Where the first maximum stands, int64; the first NaN, if any. `numpy.argmax`; `ValueError` for no elements.

    With axis=None the index counts through all of x in C order.

    >>> argmax(np.float32([[1, 5, 5], [4, 3, 2]]), axis=1)
    array([1, 0])
    """
    x = with_axes(x, axis)
    return deliver(np.argmax(x, axis=axis, keepdims=keepdims), np.dtype(np.int64), out)


def norm(
    x: ArrayLike, axis: int | tuple[int, ...] | None = None, keepdims: bool = False, out: Array | None = None
) -> Array:
    """√Σ x², the Euclidean length. `numpy.linalg.norm` of the elements, `torch.linalg.vector_norm`.

    >>> norm(np.float32([[3, 4], [6, 8]]), axis=1)
    array([ 5., 10.], dtype=float32)
    """
    x = with_axes(x, axis)
    z = wide(x)
    return deliver(np.sqrt(np.sum(z * z, axis=axis, keepdims=keepdims)), x.dtype, out)


def norm_backward(
    grad: ArrayLike,
    x: ArrayLike,
    y: ArrayLike,
    axis: int | tuple[int, ...] | None = None,
    out: Array | None = None,
) -> Array:
    """grad · x / y, where y is the result of `norm`; 0 where y is 0, as in PyTorch.

    >>> norm_backward(np.float32([1]), np.float32([[3, 4]]), np.float32([5]), axis=1)
    array([[0.6, 0.8]], dtype=float32)
    """
    grad, x, y = reals(grad=grad, x=x, y=y)
    length = _kept("y", y, x, axis)
    unit = np.where(length == 0, 0, wide(x) / np.where(length == 0, 1, length))
    return deliver(_kept("grad", grad, x, axis) * unit, x.dtype, out)


def logsumexp(
    x: ArrayLike, axis: int | tuple[int, ...] | None = None, keepdims: bool = False, out: Array | None = None
) -> Array:
    """log Σ e^x, the maximum subtracted first; -inf for no elements. `torch.logsumexp`, `scipy.special.logsumexp`.

    >>> logsumexp(np.float32([1000, 1000]))
    np.float32(1000.6932)
    """
    x = with_axes(x, axis)
    z = wide(x)
    largest = np.max(z, axis=axis, keepdims=True, initial=-np.inf)
    largest = np.where(np.isfinite(largest), largest, 0)  # an infinite maximum is the result by itself
    with np.errstate(divide="ignore"):  # log 0, where all are -inf
        result = largest + np.log(np.sum(np.exp(z - largest), axis=axis, keepdims=True))
    if not keepdims:
        result = result.reshape(np.sum(x, axis=axis).shape)
    return deliver(result, x.dtype, out)


def dot(a: ArrayLike, b: ArrayLike, out: Array | None = None) -> Array:
    """Σ a · b of two 1-D arrays of one length (else `ShapeError`), 0 for no elements. `numpy.dot`.

    >>> dot(np.float32([1, 2]), np.float32([3, 4]))
    np.float32(11.0)
    """
    a, b = reals(a=a, b=b)
    if a.ndim != 1 or a.shape != b.shape:
        raise ShapeError(explain("dot: a and b must be 1-D and equally long", describe(a=a, b=b)))
    return deliver(np.sum(wide(a) * wide(b)), a.dtype, out)


def _count(x: Array, axis: int | tuple[int, ...] | None) -> int:
    """How many elements each result reduces."""
    return int(np.prod([x.shape[i] for i in _axes(x, axis)], dtype=np.int64))


def _axes(x: Array, axis: int | tuple[int, ...] | None) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(x.ndim))
    return np.lib.array_utils.normalize_axis_tuple(axis, x.ndim)


def _kept(name: str, reduced: Array, x: Array, axis: int | tuple[int, ...] | None) -> Array:
    """A reduced array, wide, with the reduced axes kept, so that it broadcasts against x."""
    axes = _axes(x, axis)
    kept = tuple(1 if i in axes else size for i, size in enumerate(x.shape))
    dropped = tuple(size for i, size in enumerate(x.shape) if i not in axes)
    if reduced.shape not in (kept, dropped):
        raise ShapeError(explain(f"{name} must be of shape {kept} or {dropped}", describe(**{name: reduced, "x": x})))
    return wide(reduced).reshape(kept)


def _to_first(grad: Array, x: Array, axis: int | tuple[int, ...] | None, find: Any) -> Array:
    """grad at the element that `find` (argmax or argmin) picks among the reduced ones, else 0."""
    axes = tuple(sorted(_axes(x, axis)))
    last = range(x.ndim - len(axes), x.ndim)
    moved = np.moveaxis(x, axes, last)
    rows = moved.reshape(*moved.shape[: x.ndim - len(axes)], -1)
    first = find(rows, axis=-1, keepdims=True)
    dx = np.zeros_like(rows)
    np.put_along_axis(dx, first, _kept("grad", grad, x, axis).reshape(first.shape).astype(x.dtype), axis=-1)
    return np.moveaxis(dx.reshape(moved.shape), last, axes)
