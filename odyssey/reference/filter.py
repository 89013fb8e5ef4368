"""Filters of images, and their gradients: correlation with a small kernel, borders as in scipy.ndimage.

Images are (..., H, W), float32 or float64; leading axes are planes by themselves. A kernel is (kh, kw), of the image's
type (else `DTypeError`, `ShapeError`). `border` says what stands outside (else `ValueError`). `out`, of the result's
shape and type (else `ShapeError`, `DTypeError`), receives the result and is returned.

A window of the kernel's size stands on each element, its place (kh // 2, kw // 2) on the element itself. What it sees
is written down as a table of places: -1 where it sees `cval`. `scipy.ndimage.correlate`.
"""

from __future__ import annotations

from operator import index
from typing import Any

import numpy as np

from odyssey.errors import ShapeError, describe, explain
from odyssey.reference._arrays import deliver, reals, wide
from odyssey.typing import Array, ArrayLike

BORDERS = ("constant", "nearest", "reflect", "mirror", "wrap")


def filter2d(
    image: ArrayLike, kernel: ArrayLike, border: str = "reflect", cval: float = 0.0, out: Array | None = None
) -> Array:
    """Σ kernel[i, k] · image[y + i - kh // 2, x + k - kw // 2]; outside of a row a b c d stands, by `border`:

    "constant" k k k | a b c d | k k k, "nearest" a a a | a b c d | d d d, "reflect" c b a | a b c d | d c b,
    "mirror" d c b | a b c d | c b a, "wrap" b c d | a b c d | a b c; k is `cval`, rounded to the image's type.

    >>> filter2d(np.float32([[1, 2, 4]]), np.float32([[1, 0, 1]]), border="nearest")
    array([[3., 5., 6.]], dtype=float32)
    """
    image, kernel = _operands(border, image=image, kernel=kernel)
    around = _surrounded(image, kernel.shape, border, cval)
    result = np.zeros(image.shape, around.dtype)
    for (i, k), weight in np.ndenumerate(wide(kernel)):
        result += weight * _window(around, i, k, image.shape)
    return deliver(result, image.dtype, out)


def filter2d_backward_image(
    grad: ArrayLike, kernel: ArrayLike, border: str = "reflect", out: Array | None = None
) -> Array:
    """The gradient of `filter2d` with respect to the image: each element's grad goes, weighted, to what its window saw.

    >>> filter2d_backward_image(np.ones((1, 3), np.float32), np.float32([[1, 2, 4]]), border="nearest")
    array([[ 4.,  7., 10.]], dtype=float32)
    """
    grad, kernel = _operands(border, grad=grad, kernel=kernel)
    (kh, kw), (height, width) = kernel.shape, grad.shape[-2:]
    around = np.zeros((*grad.shape[:-2], height + kh - 1, width + kw - 1), wide(grad).dtype)
    for (i, k), weight in np.ndenumerate(wide(kernel)):
        _window(around, i, k, grad.shape)[...] += weight * wide(grad)
    rows = np.zeros((*grad.shape[:-2], height, width + kw - 1), around.dtype)
    for i, seen in enumerate(_places(height, kh, border)):
        if seen >= 0:
            rows[..., seen, :] += around[..., i, :]
    result = np.zeros(grad.shape, around.dtype)
    for k, seen in enumerate(_places(width, kw, border)):
        if seen >= 0:
            result[..., seen] += rows[..., k]
    return deliver(result, grad.dtype, out)


def filter2d_backward_kernel(
    grad: ArrayLike,
    image: ArrayLike,
    kernel_shape: tuple[int, int],
    border: str = "reflect",
    cval: float = 0.0,
    out: Array | None = None,
) -> Array:
    """The gradient of `filter2d` with respect to the kernel: Σ grad · what the window saw at that place.

    >>> image = np.float32([[1, 2, 4]])
    >>> filter2d_backward_kernel(np.ones_like(image), image, (1, 3), border="nearest")
    array([[ 4.,  7., 10.]], dtype=float32)
    """
    grad, image = _operands(border, grad=grad, image=image)
    if grad.shape != image.shape:
        raise ShapeError(explain("grad and image must be of one shape", describe(grad=grad, image=image)))
    try:
        kh, kw = map(index, kernel_shape)
    except (TypeError, ValueError):
        raise TypeError(explain("kernel_shape must be a pair of ints", f"found {kernel_shape!r}")) from None
    if kh < 1 or kw < 1:
        raise ShapeError(explain("kernel_shape must be at least (1, 1)", f"found {kernel_shape!r}"))
    around = _surrounded(image, kernel_shape, border, cval)
    result = np.zeros(kernel_shape, around.dtype)
    for i, k in np.ndindex(*kernel_shape):
        result[i, k] = np.sum(wide(grad) * _window(around, i, k, image.shape))
    return deliver(result, grad.dtype, out)


def _operands(border: str, **operands: Any) -> list[Array]:
    arrays = reals(**operands)
    if border not in BORDERS:
        raise ValueError(explain(f"border must be one of {', '.join(map(repr, BORDERS))}", f"found {border!r}"))
    for name, array in zip(operands, arrays, strict=True):
        if array.ndim != 2 if name == "kernel" else array.ndim < 2:
            shape = "(kh, kw)" if name == "kernel" else "(..., H, W)"
            raise ShapeError(explain(f"{name} must be {shape}", describe(**{name: array})))
        if name == "kernel" and 0 in array.shape:
            raise ShapeError(explain("kernel must have at least one element", describe(kernel=array)))
    return arrays


def _places(n: int, kernel: int, border: str) -> Any:
    """For each place of an axis of n that a window reaches, the element that stands there; -1 where `cval` does."""
    at = np.arange(-(kernel // 2), n + kernel - 1 - kernel // 2) if n else np.zeros(0, np.intp)
    if border == "constant":
        return np.where((at >= 0) & (at < n), at, -1)
    if border == "nearest":
        return np.clip(at, 0, n - 1)
    if border == "wrap":
        return at % n
    period = 2 * n if border == "reflect" else max(2 * n - 2, 1)
    at = at % period
    return np.where(at < n, at, (2 * n - 1 if border == "reflect" else 2 * n - 2) - at)


def _surrounded(image: Array, kernel_shape: tuple[int, ...], border: str, cval: float) -> Array:
    """The image with all that windows reach around it, wide."""
    for axis, kernel in ((-2, kernel_shape[0]), (-1, kernel_shape[1])):
        at = _places(image.shape[axis], kernel, border)
        image = np.take(image, np.maximum(at, 0), axis=axis)
        shape = [1] * image.ndim
        shape[axis] = len(at)
        image = np.where(np.reshape(at < 0, shape), image.dtype.type(cval), image)
    return wide(image)


def _window(around: Array, i: int, k: int, shape: tuple[int, ...]) -> Array:
    """What all windows see at their place (i, k): a view."""
    window: Array = around[..., i : i + shape[-2], k : k + shape[-1]]
    return window
