"""Convolution and pooling of images, and their gradients."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from odyssey import reference
from odyssey.testing import magnitudes
from odyssey.testing.call import Call, call
from odyssey.testing.case import Case, Grad
from odyssey.testing.cases.common import CHOOSES, IS_A_GRADIENT, ORDINARY, SUM, TERMS, one
from odyssey.testing.draw import Draw
from odyssey.testing.peers import torch_call
from odyssey.testing.tolerance import Exact, Gamma, Tolerance, Ulp

Pair = int | tuple[int, int]


class Conv(NamedTuple):
    """A size for convolutions."""

    n: int
    channels: int
    height: int
    width: int
    outputs: int
    kernel: Pair = 3
    stride: Pair = 1
    padding: Pair = 0
    dilation: Pair = 1
    groups: int = 1

    @property
    def image(self) -> tuple[int, int, int, int]:
        """The shape of x."""
        return self.n, self.channels, self.height, self.width

    @property
    def weight(self) -> tuple[int, int, int, int]:
        """The shape of weight."""
        kernel = self.kernel if isinstance(self.kernel, tuple) else (self.kernel, self.kernel)
        return self.outputs, self.channels // self.groups, *kernel

    @property
    def result(self) -> tuple[int, ...]:
        """The shape of the result."""
        x, weight = np.zeros((1, *self.image[1:]), np.float32), np.zeros(self.weight, np.float32)
        return self.n, *reference.conv2d(x, weight, **self.options).shape[1:]

    @property
    def options(self) -> dict[str, Any]:
        """The keyword arguments."""
        return {"stride": self.stride, "padding": self.padding, "dilation": self.dilation, "groups": self.groups}


CONVOLUTIONS = (
    Conv(2, 1, 12, 12, 6, 5),
    Conv(2, 6, 9, 9, 16, 5),
    Conv(1, 3, 7, 17, 5, 3, padding=1),
    Conv(2, 4, 8, 35, 17, 3, padding=1),
    Conv(1, 5, 6, 6, 33, 1),
    Conv(2, 3, 9, 11, 4, 3, stride=2, padding=1),
    Conv(2, 4, 9, 8, 6, (3, 2), stride=(2, 1), padding=(0, 1), dilation=(1, 2), groups=2),
    Conv(1, 8, 7, 7, 8, 3, padding=1, groups=8),
    Conv(1, 2, 11, 11, 3, 3, dilation=3),
    Conv(1, 1, 1, 16, 1, (1, 7)),
    Conv(3, 2, 3, 3, 2, 3),
    Conv(0, 2, 5, 5, 3),
    # By Winograd's tiles in float32: whole and cut tiles, groups, several images to a vector, strips side by side.
    Conv(2, 16, 8, 9, 17, 3, padding=1),
    Conv(1, 17, 7, 34, 33, 3, padding=2),
    Conv(5, 16, 4, 4, 29, 3, padding=1),
    Conv(1, 32, 6, 7, 40, 3, padding=(0, 1), groups=2),
    Conv(1, 16, 6, 20, 16, 3, padding=3),
    Conv(1, 16, 4, 530, 16, 3, padding=1),
    # A kernel for each channel: planes in the lanes, several channels and images to a vector, and strides; rows in
    # them, whole and cut tiles, bands, other kernels and dilations.
    Conv(3, 7, 6, 7, 7, 3, padding=1, groups=7),
    Conv(1, 18, 9, 12, 18, 3, stride=2, padding=1, groups=18),
    Conv(2, 3, 9, 35, 3, 5, padding=2, groups=3),
    Conv(1, 2, 75, 97, 2, 3, padding=1, groups=2),
    Conv(1, 3, 12, 18, 3, (2, 3), padding=(0, 2), dilation=(2, 3), groups=3),
)
LENET = (Conv(64, 1, 32, 32, 6, 5), Conv(64, 6, 14, 14, 16, 5))
RESNET = tuple(Conv(32, c, hw, hw, c, 3, padding=1) for c, hw in ((64, 32), (128, 16), (256, 8), (512, 4)))
DEPTHWISE = tuple(
    Conv(n, c, hw, hw, c, kernel, padding=kernel // 2, groups=c)
    for n, c, hw, kernel in ((32, 64, 32, 3), (32, 128, 56, 3), (8, 32, 112, 3), (64, 96, 28, 5), (32, 512, 7, 3))
)
SMALL_CONVOLUTIONS = (
    Conv(1, 2, 5, 4, 2, 3, padding=1),
    Conv(2, 2, 5, 6, 4, (2, 3), stride=(2, 1), padding=(1, 0), dilation=(1, 2), groups=2),
)


class Transposed(NamedTuple):
    """A size for transposed convolutions."""

    n: int
    channels: int
    height: int
    width: int
    outputs: int
    kernel: Pair = 3
    stride: Pair = 1
    padding: Pair = 0
    output_padding: Pair = 0
    dilation: Pair = 1
    groups: int = 1

    @property
    def image(self) -> tuple[int, int, int, int]:
        """The shape of x."""
        return self.n, self.channels, self.height, self.width

    @property
    def weight(self) -> tuple[int, int, int, int]:
        """The shape of weight."""
        kernel = self.kernel if isinstance(self.kernel, tuple) else (self.kernel, self.kernel)
        return self.channels, self.outputs // self.groups, *kernel

    @property
    def result(self) -> tuple[int, ...]:
        """The shape of the result."""
        x, weight = np.zeros((1, *self.image[1:]), np.float32), np.zeros(self.weight, np.float32)
        return self.n, *reference.conv_transpose2d(x, weight, **self.options).shape[1:]

    @property
    def options(self) -> dict[str, Any]:
        """The keyword arguments."""
        names = ("stride", "padding", "output_padding", "dilation", "groups")
        return {name: getattr(self, name) for name in names}


TRANSPOSED = (
    Transposed(2, 6, 4, 5, 3, 2, stride=2),
    Transposed(1, 3, 7, 17, 5, 3, padding=1),
    Transposed(2, 4, 5, 6, 17, 4, stride=2, padding=1),
    Transposed(2, 3, 5, 4, 4, 3, stride=2, padding=1, output_padding=1),
    Transposed(1, 4, 3, 5, 6, (3, 2), (2, 1), (0, 1), (1, 0), (1, 2), 2),
    Transposed(1, 2, 4, 4, 2, 3, stride=1, dilation=3, output_padding=2),
    Transposed(1, 8, 7, 7, 8, 3, padding=1, groups=8),
    Transposed(17, 5, 1, 1, 7, 4),
    Transposed(2, 18, 5, 6, 33, 3, padding=1),
    Transposed(0, 2, 5, 5, 3),
)
TRANSPOSED_BENCH = (
    Transposed(32, 64, 16, 16, 32, 4, stride=2, padding=1),
    Transposed(8, 128, 28, 28, 64, 2, stride=2),
)
SMALL_TRANSPOSED = (
    Transposed(1, 2, 3, 4, 2, 3, padding=1),
    Transposed(2, 2, 3, 2, 4, (2, 3), (2, 1), (1, 0), (1, 0), (1, 2), 2),
)


def transposed(op: str, why: str, grad: Grad | str, **changes: Any) -> Case:
    """A transposed convolution or one of its gradients."""
    row: dict[str, Any] = {"sizes": TRANSPOSED, "regimes": ORDINARY, "bench": TRANSPOSED_BENCH}
    large = (Transposed(16, 16, 7, 7, 6, 4, stride=2, padding=1),)
    return Case(op=op, why=why, grad=grad, large=large, **row | changes)


def conv(draw: Draw, size: Conv, with_bias: bool = True, **options: Any) -> Call:
    """conv2d(x, weight, bias, ...)."""
    bias = draw(size.outputs) if with_bias else None
    return call(draw(size.image), draw(size.weight), bias, **size.options, **options)


def conv_flops(size: Conv) -> int:
    """Two for each product."""
    return 2 * int(np.prod(size.result)) * int(np.prod(size.weight[1:]))


class Pool(NamedTuple):
    """A size for pooling."""

    image: tuple[int, int, int, int]
    kernel_size: Pair = 2
    stride: Pair | None = None
    padding: Pair = 0

    @property
    def options(self) -> dict[str, Any]:
        """The keyword arguments."""
        return {"kernel_size": self.kernel_size, "stride": self.stride, "padding": self.padding}


POOLS = (
    Pool((2, 3, 6, 8)),
    Pool((1, 2, 4, 34)),
    Pool((2, 1, 7, 9)),
    Pool((1, 5, 9, 33), 3, 2, 1),
    Pool((2, 2, 8, 7), (3, 2), (1, 2), (1, 0)),
    Pool((1, 1, 16, 16), 3, 1, 1),
    Pool((1, 3, 7, 7), 7),
    Pool((1, 17, 2, 2), 1),
    Pool((0, 3, 4, 4)),
)
POOL_LARGE = (Pool((16, 6, 28, 28)),)
POOL_BENCH = (Pool((64, 6, 28, 28)), Pool((64, 16, 10, 10)), Pool((32, 64, 112, 112), 3, 2, 1))
SMALL_POOLS = (Pool((1, 2, 4, 6)), Pool((1, 1, 6, 5), (3, 2), (2, 1), (1, 0)))


def pool(draw: Draw, size: Pool) -> Call:
    """max_pool2d(x, ...)."""
    return call(draw(size.image), **size.options)


def pool_gradient(draw: Draw, size: Pool) -> Call:
    """max_pool2d_backward(grad, x, ...)."""
    x = draw(size.image)
    return call(draw.normal(reference.max_pool2d(x, **size.options).shape), x, **size.options)


def average_gradient(draw: Draw, size: Pool) -> Call:
    """avg_pool2d_backward(grad, input_shape, ...)."""
    shape = reference.avg_pool2d(np.zeros(size.image, np.float32), **size.options).shape
    return call(draw(shape), size.image, **size.options)


def area(_: Any, *args: Any, kernel_size: Pair = 1, **__: Any) -> int:
    """How many elements a window has, and so at most how many windows meet in one."""
    height, width = kernel_size if isinstance(kernel_size, tuple) else (kernel_size, kernel_size)
    return height * width + 2


def convolution(op: str, why: str, grad: Grad | str, **changes: Any) -> Case:
    """A convolution or one of its gradients."""
    row: dict[str, Any] = {"sizes": CONVOLUTIONS, "regimes": ORDINARY, "bench": (*LENET, *RESNET, *DEPTHWISE)}
    return Case(op=op, why=why, grad=grad, large=(Conv(16, 6, 14, 14, 16, 5),), **row | changes)


def pooling(op: str, tolerance: Tolerance, why: str, grad: Grad | str, **changes: Any) -> Case:
    """A pooling or its gradient."""
    row: dict[str, Any] = {"inputs": pool, "sizes": POOLS, "large": POOL_LARGE, "bench": POOL_BENCH}
    return Case(op=op, tolerance=tolerance, why=why, grad=grad, **row | changes)


IMAGES = [
    convolution(
        "conv2d",
        "A chain of fused multiply-adds over channels and taps, or over channels between sums of four, stays within "
        "its γ bound; an activation as in linear.",
        Grad(
            wrt=(0, 1, 2),
            backward=lambda ops, g, y, x, weight, bias, **o: (
                ops.conv2d_backward_input(g, weight, x.shape, **o),
                ops.conv2d_backward_weight(g, x, weight.shape, **o),
                ops.sum(g, axis=(0, 2, 3)),
            ),
            sizes=SMALL_CONVOLUTIONS,
            options=({},),
        ),
        inputs=conv,
        tolerance=Gamma(lambda x, weight, *_, **__: weight[0].size + 8, magnitudes.conv2d, wide_reference=False),
        options=({}, {"activation": "relu"}, {"activation": "tanh"}, {"activation": "gelu"}, {"with_bias": False}),
        flops=lambda x, weight, bias, **o: 2 * reference.conv2d(x[:1], weight, **o).size * len(x) * weight[0].size,
        peers={
            "torch": torch_call(lambda torch, x, weight, bias, **o: torch.nn.functional.conv2d(x, weight, bias, **o))
        },
    ),
    convolution(
        "conv2d_backward_input",
        "A sum over outputs and taps stays within its γ bound; as conv2d.",
        IS_A_GRADIENT,
        inputs=lambda draw, size: call(draw(size.result), draw(size.weight), size.image, **size.options),
        tolerance=Gamma(
            lambda grad, weight, *_, **__: weight.size // max(weight.shape[1], 1) + 8,
            magnitudes.conv2d_backward_input,
            wide_reference=False,
        ),
        flops=lambda grad, weight, *_, **__: 2 * grad.size * weight[0].size,
        peers={
            "torch": torch_call(
                lambda torch, grad, weight, shape, **o: torch.nn.grad.conv2d_input(shape, weight, grad, **o)
            )
        },
    ),
    convolution(
        "conv2d_backward_weight",
        "A sum over the batch and the image stays within its γ bound.",
        IS_A_GRADIENT,
        inputs=lambda draw, size: call(draw(size.result), draw(size.image), size.weight, **size.options),
        tolerance=Gamma(
            lambda grad, x, *_, **__: grad.size // max(grad.shape[1], 1) + 4,
            magnitudes.conv2d_backward_weight,
            wide_reference=False,
        ),
        flops=lambda grad, x, shape, **__: 2 * grad.size * int(np.prod(shape[1:])),
        peers={
            "torch": torch_call(lambda torch, grad, x, shape, **o: torch.nn.grad.conv2d_weight(x, shape, grad, **o))
        },
    ),
    transposed(
        "conv_transpose2d",
        "A sum over channels and taps from the bias stays within its γ bound, as conv2d_backward_input's.",
        Grad(
            wrt=(0, 1, 2),
            backward=lambda ops, g, y, x, weight, bias, **o: (
                ops.conv_transpose2d_backward_input(g, weight, x.shape, **o),
                ops.conv_transpose2d_backward_weight(g, x, weight.shape, **o),
                ops.sum(g, axis=(0, 2, 3)),
            ),
            sizes=SMALL_TRANSPOSED,
        ),
        inputs=lambda draw, size: call(draw(size.image), draw(size.weight), draw(size.outputs), **size.options),
        tolerance=Gamma(
            lambda x, weight, *_, **__: weight.size // max(weight.shape[1], 1) + 8,
            magnitudes.conv_transpose2d,
            wide_reference=False,
        ),
        flops=lambda x, weight, *_, **__: 2 * x.size * weight[0].size,
        peers={
            "torch": torch_call(
                lambda torch, x, weight, bias, **o: torch.nn.functional.conv_transpose2d(x, weight, bias, **o)
            )
        },
    ),
    transposed(
        "conv_transpose2d_backward_input",
        "A convolution: a sum over outputs and taps stays within its γ bound.",
        IS_A_GRADIENT,
        inputs=lambda draw, size: call(draw(size.result), draw(size.weight), size.image, **size.options),
        tolerance=Gamma(
            lambda grad, weight, *_, **__: weight[0].size + 8,
            magnitudes.conv_transpose2d_backward_input,
            wide_reference=False,
        ),
        flops=lambda grad, weight, shape, **_: 2 * int(np.prod(shape)) * weight[0].size,
    ),
    transposed(
        "conv_transpose2d_backward_weight",
        "A sum over the batch and the image stays within its γ bound.",
        IS_A_GRADIENT,
        inputs=lambda draw, size: call(draw(size.result), draw(size.image), size.weight, **size.options),
        tolerance=Gamma(
            lambda grad, x, *_, **__: x.size // max(x.shape[1], 1) + 16,
            magnitudes.conv_transpose2d_backward_weight,
            wide_reference=False,
        ),
        flops=lambda grad, x, weight_shape, **_: 2 * x.size * int(np.prod(weight_shape[1:])),
    ),
    pooling(
        "max_pool2d",
        Exact(),
        CHOOSES,
        Grad(sizes=SMALL_POOLS),
        peers={"torch": torch_call(lambda torch, x, **o: torch.nn.functional.max_pool2d(x, **o))},
    ),
    pooling(
        "max_pool2d_backward",
        Gamma(area, magnitudes.max_pool2d_backward),
        "Overlapping windows may choose the same element, and their gradients add.",
        IS_A_GRADIENT,
        inputs=pool_gradient,
    ),
    pooling(
        "avg_pool2d",
        Gamma(area, magnitudes.avg_pool2d),
        SUM,
        Grad(backward=lambda ops, g, y, x, **o: ops.avg_pool2d_backward(g, x.shape, **o), sizes=SMALL_POOLS),
        regimes=TERMS,
        peers={"torch": torch_call(lambda torch, x, **o: torch.nn.functional.avg_pool2d(x, **o))},
    ),
    pooling(
        "avg_pool2d_backward",
        Gamma(area, magnitudes.avg_pool2d_backward),
        "Overlapping windows share elements, and their gradients add.",
        IS_A_GRADIENT,
        inputs=average_gradient,
        regimes=TERMS,
    ),
    pooling(
        "global_avg_pool2d",
        Gamma(lambda x: x[0, 0].size + 2, lambda x: magnitudes.mean(x, (2, 3), keepdims=True)),
        SUM,
        Grad(backward=lambda ops, g, y, x: ops.global_avg_pool2d_backward(g, x.shape)),
        inputs=one,
        sizes=((2, 3, 1, 1), (1, 17, 2, 2), (2, 3, 5, 7), (1, 2, 8, 33)),
        large=((64, 32, 8, 8),),
        regimes=TERMS,
        bench=((32, 512, 4, 4), (64, 64, 32, 32)),
        peers={"torch": torch_call(lambda torch, x: torch.nn.functional.adaptive_avg_pool2d(x, 1))},
    ),
    pooling(
        "global_avg_pool2d_backward",
        Ulp(1),
        "One division, or one multiplication by a rounded reciprocal.",
        IS_A_GRADIENT,
        inputs=lambda draw, shape: call(draw((*shape[:2], 1, 1)), shape),
        sizes=((2, 3, 1, 1), (1, 17, 2, 2), (2, 3, 5, 7), (1, 2, 8, 33)),
        large=((64, 32, 8, 8),),
        bench=((32, 512, 4, 4), (64, 64, 32, 32)),
    ),
]
