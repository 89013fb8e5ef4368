"""Transposed convolution: what `conv2d` does to gradients, as an operation of its own; and its gradients.

x is (N, C, H, W), weight (C, O / groups, kh, kw), the result (N, O, oh, ow) with oh = (H - 1) stride - 2 padding +
dilation (kh - 1) + output_padding + 1, ow likewise; else `ShapeError`. Arrays are float32 or float64 and all of one
type (else `DTypeError`). stride, padding, output_padding and dilation are an int or a pair (vertical, horizontal);
each output_padding is less than its stride or its dilation. `out`, of the result's shape and type (else `ShapeError`,
`DTypeError`), receives the result and is returned. `torch.nn.functional.conv_transpose2d`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from odyssey.errors import ShapeError, describe, explain
from odyssey.reference._arrays import deliver, reals
from odyssey.reference.conv import pair
from odyssey.reference.linear import with_bias
from odyssey.typing import Array, ArrayLike


def conv_transpose2d(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
    output_padding: int | tuple[int, int] = 0,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
    out: Array | None = None,
) -> Array:
    """bias + Σ x · weight: each element of x adds its multiple of the kernel where it stands in the result.

    >>> conv_transpose2d(np.ones((1, 1, 1, 2), np.float32), np.float32([[[[1, 2, 4]]]]), stride=2)[0, 0]
    array([[1., 2., 5., 2., 4.]], dtype=float32)
    """
    x, weight, *rest = reals(x=x, weight=weight) if bias is None else reals(x=x, weight=weight, bias=bias)
    place = Place(x.shape, weight.shape, stride, padding, output_padding, dilation, groups)
    result = np.zeros((len(x), groups, weight.shape[1], *place.canvas))
    image = _by_group(x, groups)
    for ky, kx, rows, columns in place.taps():
        tap = _by_group(weight[np.newaxis, :, :, ky, kx], groups)[0]  # (groups, C / groups, O / groups)
        result[..., rows, columns] += np.einsum("ngcyx,gco->ngoyx", image, tap, optimize=True)
    result = place.crop(result.reshape(*place.result[:2], *place.canvas))
    return deliver(with_bias(result, rest, axis=1), x.dtype, out)


def conv_transpose2d_backward_input(
    grad: ArrayLike,
    weight: ArrayLike,
    input_shape: tuple[int, int, int, int],
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
    output_padding: int | tuple[int, int] = 0,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
    out: Array | None = None,
) -> Array:
    """The gradient of `conv_transpose2d` with respect to x, of `input_shape`.

    >>> grad = np.float32([[[[1, 2, 3, 4, 5]]]])
    >>> conv_transpose2d_backward_input(grad, np.float32([[[[1, 2, 4]]]]), (1, 1, 1, 2), stride=2)[0, 0]
    array([[17., 31.]], dtype=float32)
    """
    grad, weight = reals(grad=grad, weight=weight)
    place = Place(input_shape, weight.shape, stride, padding, output_padding, dilation, groups)
    place.check_grad(grad)
    incoming = _by_group(place.pad(grad.astype(np.float64)), groups)
    result = np.zeros((input_shape[0], groups, input_shape[1] // groups, *input_shape[2:]))
    for ky, kx, rows, columns in place.taps():
        tap = _by_group(weight[np.newaxis, :, :, ky, kx], groups)[0]
        result += np.einsum("ngoyx,gco->ngcyx", incoming[..., rows, columns], tap, optimize=True)
    return deliver(result.reshape(input_shape), grad.dtype, out)


def conv_transpose2d_backward_weight(
    grad: ArrayLike,
    x: ArrayLike,
    weight_shape: tuple[int, int, int, int],
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
    output_padding: int | tuple[int, int] = 0,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
    out: Array | None = None,
) -> Array:
    """The gradient of `conv_transpose2d` with respect to weight, of `weight_shape`.

    >>> grad, x = np.float32([[[[1, 2, 3, 4, 5]]]]), np.ones((1, 1, 1, 2), np.float32)
    >>> conv_transpose2d_backward_weight(grad, x, (1, 1, 1, 3), stride=2)[0, 0]
    array([[4., 6., 8.]], dtype=float32)
    """
    grad, x = reals(grad=grad, x=x)
    place = Place(x.shape, weight_shape, stride, padding, output_padding, dilation, groups)
    place.check_grad(grad)
    incoming, image = _by_group(place.pad(grad.astype(np.float64)), groups), _by_group(x, groups)
    result = np.zeros(weight_shape)
    for ky, kx, rows, columns in place.taps():
        tap = np.einsum("ngoyx,ngcyx->gco", incoming[..., rows, columns], image, optimize=True)
        result[:, :, ky, kx] = tap.reshape(weight_shape[:2])
    return deliver(result, grad.dtype, out)


def _by_group(image: Array, groups: int) -> Array:
    """(N, C, ...) as (N, groups, C / groups, ...), in float64."""
    return image.astype(np.float64).reshape(len(image), groups, image.shape[1] // groups, *image.shape[2:])


class Place:
    """Where a transposed kernel stands on its result."""

    def __init__(
        self,
        input_shape: tuple[int, ...],
        weight_shape: tuple[int, ...],
        stride: int | tuple[int, int],
        padding: int | tuple[int, int],
        output_padding: int | tuple[int, int],
        dilation: int | tuple[int, int],
        groups: int,
    ) -> None:
        if len(input_shape) != 4 or len(weight_shape) != 4:
            raise ShapeError(
                explain(
                    "an image must be (N, C, H, W) and weight (C, O / groups, kh, kw)",
                    f"image: {tuple(input_shape)}    weight: {tuple(weight_shape)}",
                )
            )
        if groups < 1 or input_shape[1] != weight_shape[0] or weight_shape[0] % groups:
            raise ShapeError(
                explain(
                    f"conv_transpose2d: x's channels must be weight's first axis and divide into {groups} groups",
                    f"x: {tuple(input_shape)}    weight: {tuple(weight_shape)}",
                )
            )
        self.image = tuple(input_shape[2:])
        self.kernel = tuple(weight_shape[2:])
        self.stride, self.padding, self.dilation = pair(stride), pair(padding), pair(dilation)
        more = pair(output_padding)
        if (
            min(*self.image, *self.kernel, *self.stride, *self.dilation) < 1
            or min(*self.padding, *more) < 0
            or any(more[i] >= max(self.stride[i], self.dilation[i]) for i in range(2))
        ):
            raise ShapeError(
                explain(
                    "image, kernel, stride and dilation must be at least 1, padding and output_padding at least 0, and "
                    "output_padding less than stride or dilation",
                    describe(stride=stride, padding=padding, output_padding=output_padding, dilation=dilation),
                )
            )
        self.canvas = tuple(
            (self.image[i] - 1) * self.stride[i] + self.dilation[i] * (self.kernel[i] - 1) + 1 + more[i]
            for i in range(2)
        )
        self.size = tuple(self.canvas[i] - 2 * self.padding[i] for i in range(2))
        if min(self.size) < 1:
            raise ShapeError(
                explain("the result must be at least (1, 1)", f"result: {self.size}    padding: {self.padding}")
            )
        self.result = (input_shape[0], weight_shape[1] * groups, *self.size)

    def crop(self, canvas: Array) -> Array:
        """The result within the padding."""
        (top, left), (height, width) = self.padding, self.size
        return canvas[..., top : top + height, left : left + width]

    def pad(self, result: Array) -> Array:
        """A copy of a result, with zeros where the padding was cut off."""
        canvas = np.zeros((*result.shape[:2], *self.canvas))
        self.crop(canvas)[...] = result
        return canvas

    def taps(self) -> Iterator[tuple[int, int, slice, slice]]:
        """Each tap (ky, kx) with the rows and columns of the canvas that it meets."""
        for ky in range(self.kernel[0]):
            for kx in range(self.kernel[1]):
                first = ky * self.dilation[0], kx * self.dilation[1]
                rows, columns = (
                    slice(first[i], first[i] + (self.image[i] - 1) * self.stride[i] + 1, self.stride[i])
                    for i in range(2)
                )
                yield ky, kx, rows, columns

    def check_grad(self, grad: Array) -> None:
        """The incoming gradient has the forward's shape."""
        if grad.shape != self.result:
            raise ShapeError(explain(f"grad must be of shape {self.result}", describe(grad=grad)))
