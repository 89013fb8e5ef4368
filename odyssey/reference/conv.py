"""Two-dimensional convolution (cross-correlation, as in PyTorch) and its gradients.

Arrays are float32 or float64 and all of one type (else `DTypeError`). Images are (N, C, H, W), weights
(O, C / groups, kh, kw), results (N, O, oh, ow) with oh = (H + 2 padding - dilation (kh - 1) - 1) // stride + 1, ow
likewise; else `ShapeError`. stride, padding and dilation are an int or a pair (vertical, horizontal). `out`, of the
result's shape and type (else `ShapeError`, `DTypeError`), receives the result and is returned.

Each definition walks the kernel's taps: a tap (ky, kx) meets, for all outputs at once, one strided view of the padded
image, and contributes one small matrix product in float64. `torch.nn.functional.conv2d`, `torch.nn.grad`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from odyssey.errors import ShapeError, describe, explain
from odyssey.reference._arrays import deliver, reals
from odyssey.reference.linear import activated, with_bias
from odyssey.typing import Array, ArrayLike

if TYPE_CHECKING:
    from odyssey._kernels.conv import PackedKernel


def conv2d(
    x: ArrayLike,
    weight: ArrayLike | PackedKernel,
    bias: ArrayLike | None = None,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
    activation: str | None = None,
    out: Array | None = None,
) -> Array:
    """activation(Σ x · weight + bias): output (n, o, y, x) sums over o's group of channels and the kernel's taps.

    bias is (O,). activation is None, "relu", "tanh", "sigmoid", "gelu" or "silu" (else `ValueError`) and acts before
    the sum is rounded.

    >>> image = np.arange(9, dtype=np.float32).reshape(1, 1, 3, 3)
    >>> conv2d(image, np.ones((1, 1, 2, 2), np.float32))[0, 0]
    array([[ 8., 12.],
           [20., 24.]], dtype=float32)
    """
    weight = np.asarray(weight)
    x, weight, *rest = reals(x=x, weight=weight) if bias is None else reals(x=x, weight=weight, bias=bias)
    window = Window(x.shape, weight.shape[2:], stride, padding, dilation)
    _check_channels(x.shape, weight.shape, groups)
    padded = window.pad(x.astype(np.float64), 0.0)
    by_group = _weight_by_group(weight, groups)
    result = np.zeros((len(x), groups, weight.shape[0] // groups, window.oh * window.ow))
    for ky, kx, view in window.taps(padded):
        result += np.matmul(by_group[..., ky, kx], _by_group(view, groups))
    result = result.reshape(len(x), weight.shape[0], window.oh, window.ow)
    return deliver(activated(with_bias(result, rest, axis=1), activation), x.dtype, out)


def conv2d_backward_input(
    grad: ArrayLike,
    weight: ArrayLike,
    input_shape: tuple[int, int, int, int],
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
    out: Array | None = None,
) -> Array:
    """The gradient of `conv2d` with respect to x, of `input_shape`. `torch.nn.grad.conv2d_input`.

    >>> grad = np.ones((1, 1, 2, 2), np.float32)
    >>> conv2d_backward_input(grad, np.ones((1, 1, 2, 2), np.float32), (1, 1, 3, 3))[0, 0]
    array([[1., 2., 1.],
           [2., 4., 2.],
           [1., 2., 1.]], dtype=float32)
    """
    grad, weight = reals(grad=grad, weight=weight)
    window = Window(input_shape, weight.shape[2:], stride, padding, dilation)
    _check_channels(input_shape, weight.shape, groups)
    window.check_grad(grad, (input_shape[0], weight.shape[0]))
    by_group = _weight_by_group(weight, groups)
    incoming = _by_group(grad.astype(np.float64), groups)
    padded = window.pad(np.zeros(input_shape), 0.0)
    for ky, kx, view in window.taps(padded):
        view += np.matmul(np.swapaxes(by_group[..., ky, kx], -1, -2), incoming).reshape(view.shape)
    return deliver(window.crop(padded), grad.dtype, out)


def conv2d_backward_weight(
    grad: ArrayLike,
    x: ArrayLike,
    weight_shape: tuple[int, int, int, int],
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
    out: Array | None = None,
) -> Array:
    """The gradient of `conv2d` with respect to weight, of `weight_shape`. `torch.nn.grad.conv2d_weight`.

    >>> image = np.arange(9, dtype=np.float32).reshape(1, 1, 3, 3)
    >>> conv2d_backward_weight(np.ones((1, 1, 2, 2), np.float32), image, (1, 1, 2, 2))[0, 0]
    array([[ 8., 12.],
           [20., 24.]], dtype=float32)
    """
    grad, x = reals(grad=grad, x=x)
    window = Window(x.shape, weight_shape[2:], stride, padding, dilation)
    _check_channels(x.shape, weight_shape, groups)
    window.check_grad(grad, (len(x), weight_shape[0]))
    incoming = _by_group(grad.astype(np.float64), groups)
    padded = window.pad(x.astype(np.float64), 0.0)
    result = np.zeros(weight_shape)
    for ky, kx, view in window.taps(padded):
        products = np.matmul(incoming, np.swapaxes(_by_group(view, groups), -1, -2))  # (N, groups, O / g, C / g)
        result[:, :, ky, kx] = products.sum(axis=0).reshape(weight_shape[:2])
    return deliver(result, grad.dtype, out)


def _check_channels(input_shape: tuple[int, ...], weight_shape: tuple[int, ...], groups: int) -> None:
    channels, outputs = input_shape[1], weight_shape[0]
    if channels != weight_shape[1] * groups or outputs % groups:
        raise ShapeError(
            explain(
                f"conv2d: x must have {weight_shape[1]} channels for each of {groups} groups, and weight's "
                f"{outputs} outputs must divide into the groups",
                f"x: {input_shape}    weight: {weight_shape}",
            )
        )


def _weight_by_group(weight: Array, groups: int) -> Array:
    outputs, inputs, *kernel = weight.shape
    return weight.astype(np.float64).reshape(groups, outputs // groups, inputs, *kernel)


def _by_group(image: Array, groups: int) -> Array:
    """(N, C, h, w) as (N, groups, C / groups, h * w)."""
    n, channels, height, width = image.shape
    return image.reshape(n, groups, channels // groups, height * width)


class Window:
    """Where a kernel stands on an image: what convolution and pooling have in common."""

    def __init__(
        self,
        input_shape: tuple[int, ...],
        kernel: tuple[int, ...],
        stride: int | tuple[int, int],
        padding: int | tuple[int, int],
        dilation: int | tuple[int, int] = 1,
    ) -> None:
        if len(input_shape) != 4 or len(kernel) != 2:
            raise ShapeError(
                explain(
                    "an image must be (N, C, H, W) and a kernel (kh, kw)",
                    f"image: {tuple(input_shape)}    kernel: {tuple(kernel)}",
                )
            )
        self.height, self.width = input_shape[2:]
        self.kh, self.kw = kernel
        self.sy, self.sx = pair(stride)
        self.py, self.px = pair(padding)
        self.dy, self.dx = pair(dilation)
        if min(self.kh, self.kw, self.sy, self.sx, self.dy, self.dx) < 1 or min(self.py, self.px) < 0:
            raise ShapeError(
                explain(
                    "kernel, stride and dilation must be at least 1, padding at least 0",
                    describe(kernel=kernel, stride=stride, padding=padding, dilation=dilation),
                )
            )
        self.oh = (self.height + 2 * self.py - self.dy * (self.kh - 1) - 1) // self.sy + 1
        self.ow = (self.width + 2 * self.px - self.dx * (self.kw - 1) - 1) // self.sx + 1
        if self.oh < 1 or self.ow < 1:
            raise ShapeError(
                explain(
                    "the kernel must fit into the padded image",
                    f"image: {tuple(input_shape)}    kernel: {tuple(kernel)}    padding: {padding}",
                )
            )

    def pad(self, image: Array, value: float) -> Array:
        """A copy of the image with a border of `value`."""
        return np.pad(image, ((0, 0), (0, 0), (self.py, self.py), (self.px, self.px)), constant_values=value)

    def crop(self, padded: Array) -> Array:
        """The image within the border."""
        return padded[:, :, self.py : self.py + self.height, self.px : self.px + self.width]

    def taps(self, padded: Array) -> Iterator[tuple[int, int, Array]]:
        """Each tap (ky, kx) with the view (N, C, oh, ow) of the padded image that it meets."""
        for ky in range(self.kh):
            for kx in range(self.kw):
                top, left = ky * self.dy, kx * self.dx
                yield (
                    ky,
                    kx,
                    padded[:, :, top : top + self.sy * self.oh : self.sy, left : left + self.sx * self.ow : self.sx],
                )

    def check_grad(self, grad: Array, leading: tuple[int, int]) -> None:
        """The incoming gradient has the forward's shape."""
        expected = (*leading, self.oh, self.ow)
        if grad.shape != expected:
            raise ShapeError(explain(f"grad must be of shape {expected}", describe(grad=grad)))


def pair(value: int | tuple[int, int]) -> tuple[int, int]:
    """An int stands for both directions."""
    if isinstance(value, tuple):
        vertical, horizontal = value
        return vertical, horizontal
    return value, value
