"""Pooling over windows of an image, and its gradients.

Images are (N, C, H, W), float32 or float64 (else `DTypeError`); results are (N, C, oh, ow) with
oh = (H + 2 padding - kh) // stride + 1, ow likewise. kernel_size, stride (None: the kernel's size) and padding are an
int or a pair (vertical, horizontal); padding is at most half the kernel (else `ShapeError`). `out`, of the result's
shape and type (else `ShapeError`, `DTypeError`), receives the result and is returned.
"""

from __future__ import annotations

import numpy as np

from odyssey.errors import ShapeError, describe, explain
from odyssey.reference._arrays import deliver, real, reals, wide
from odyssey.reference.conv import Window, pair
from odyssey.typing import Array, ArrayLike


def max_pool2d(
    x: ArrayLike,
    kernel_size: int | tuple[int, int],
    stride: int | tuple[int, int] | None = None,
    padding: int | tuple[int, int] = 0,
    out: Array | None = None,
) -> Array:
    """The largest element of each window, NaN if one is NaN; padding never wins. `torch.nn.functional.max_pool2d`.

    >>> max_pool2d(np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4), 2)[0, 0]
    array([[ 5.,  7.],
           [13., 15.]], dtype=float32)
    """
    x = real("x", x)
    window = _window(x.shape, kernel_size, stride, padding)
    taps = [view for _, _, view in window.taps(window.pad(x, -np.inf))]
    return deliver(np.max(taps, axis=0), x.dtype, out)


def max_pool2d_backward(
    grad: ArrayLike,
    x: ArrayLike,
    kernel_size: int | tuple[int, int],
    stride: int | tuple[int, int] | None = None,
    padding: int | tuple[int, int] = 0,
    out: Array | None = None,
) -> Array:
    """Each window's grad added to its first maximum (row by row; the first NaN, if any); of x's shape.

    >>> max_pool2d_backward(np.float32([[[[5]]]]), np.float32([[[[1, 3], [3, 2]]]]), 2)[0, 0]
    array([[0., 5.],
           [0., 0.]], dtype=float32)
    """
    grad, x = reals(grad=grad, x=x)
    window = _window(x.shape, kernel_size, stride, padding)
    window.check_grad(grad, x.shape[:2])
    winner = _first_maximum(x, window)
    padded = window.pad(np.zeros(x.shape), 0.0)
    for ky, kx, view in window.taps(padded):
        view += np.where(winner == ky * window.kw + kx, grad.astype(np.float64), 0)
    return deliver(window.crop(padded), x.dtype, out)


def _first_maximum(x: Array, window: Window) -> Array:
    """For each output the number of the tap that holds its maximum; never one in the padding."""
    best = np.zeros((*x.shape[:2], window.oh, window.ow), x.dtype)
    winner = np.full(best.shape, -1)
    inside = window.pad(np.ones(x.shape, bool), False)
    taps = zip(window.taps(window.pad(x, 0.0)), window.taps(inside), strict=True)
    for (ky, kx, view), (_, _, is_inside) in taps:
        is_better = (winner < 0) | (view > best) | (np.isnan(view) & ~np.isnan(best))
        best = np.where(is_inside & is_better, view, best)
        winner = np.where(is_inside & is_better, ky * window.kw + kx, winner)
    return winner


def avg_pool2d(
    x: ArrayLike,
    kernel_size: int | tuple[int, int],
    stride: int | tuple[int, int] | None = None,
    padding: int | tuple[int, int] = 0,
    out: Array | None = None,
) -> Array:
    """The mean of each window, padding counted as zeros. `torch.nn.functional.avg_pool2d`.

    >>> avg_pool2d(np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4), 2)[0, 0]
    array([[ 2.5,  4.5],
           [10.5, 12.5]], dtype=float32)
    """
    x = real("x", x)
    window = _window(x.shape, kernel_size, stride, padding)
    taps = [view for _, _, view in window.taps(window.pad(wide(x), 0.0))]
    return deliver(np.sum(taps, axis=0) / (window.kh * window.kw), x.dtype, out)


def avg_pool2d_backward(
    grad: ArrayLike,
    input_shape: tuple[int, int, int, int],
    kernel_size: int | tuple[int, int],
    stride: int | tuple[int, int] | None = None,
    padding: int | tuple[int, int] = 0,
    out: Array | None = None,
) -> Array:
    """Each window's grad, divided by the window's area, added to all its elements; of `input_shape`.

    >>> avg_pool2d_backward(np.float32([[[[8]]]]), (1, 1, 2, 2), 2)[0, 0]
    array([[2., 2.],
           [2., 2.]], dtype=float32)
    """
    grad = real("grad", grad)
    window = _window(input_shape, kernel_size, stride, padding)
    window.check_grad(grad, input_shape[:2])
    padded = window.pad(np.zeros(input_shape, wide(grad).dtype), 0.0)
    for _, _, view in window.taps(padded):
        view += wide(grad) / (window.kh * window.kw)
    return deliver(window.crop(padded), grad.dtype, out)


def global_avg_pool2d(x: ArrayLike, out: Array | None = None) -> Array:
    """The mean of each channel's image: (N, C, 1, 1). `torch.nn.functional.adaptive_avg_pool2d(x, 1)`.

    >>> global_avg_pool2d(np.arange(8, dtype=np.float32).reshape(1, 2, 2, 2)).shape
    (1, 2, 1, 1)
    """
    x = real("x", x)
    if x.ndim != 4:
        raise ShapeError(explain("an image must be (N, C, H, W)", describe(x=x)))
    total = np.sum(wide(x), axis=(2, 3), keepdims=True)
    return deliver(np.divide(total, x.shape[2] * x.shape[3]), x.dtype, out)


def global_avg_pool2d_backward(
    grad: ArrayLike, input_shape: tuple[int, int, int, int], out: Array | None = None
) -> Array:
    """grad (N, C, 1, 1), divided by H · W, for every element of the image; of `input_shape`.

    >>> global_avg_pool2d_backward(np.float32([[[[8]]]]), (1, 1, 2, 2))[0, 0]
    array([[2., 2.],
           [2., 2.]], dtype=float32)
    """
    grad = real("grad", grad)
    if len(input_shape) != 4 or grad.shape != (*input_shape[:2], 1, 1):
        raise ShapeError(
            explain(
                "grad must be (N, C, 1, 1) for an input_shape (N, C, H, W)",
                describe(grad=grad, input_shape=input_shape),
            )
        )
    each = wide(grad) / max(input_shape[2] * input_shape[3], 1)
    return deliver(np.broadcast_to(each, input_shape), grad.dtype, out)


def _window(
    input_shape: tuple[int, ...],
    kernel_size: int | tuple[int, int],
    stride: int | tuple[int, int] | None,
    padding: int | tuple[int, int],
) -> Window:
    kernel = pair(kernel_size)
    window = Window(input_shape, kernel, kernel_size if stride is None else stride, padding)
    if 2 * window.py > window.kh or 2 * window.px > window.kw:
        raise ShapeError(
            explain(
                "padding must be at most half the kernel, so that each window meets the image",
                describe(kernel_size=kernel_size, padding=padding),
            )
        )
    return window
