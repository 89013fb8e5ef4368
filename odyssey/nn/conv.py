"""The convolution layers."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import DTypeLike

from odyssey.errors import ShapeError
from odyssey.nn import functional, init
from odyssey.nn.functional.conv import Pair
from odyssey.nn.functional.linear import Activation
from odyssey.nn.module import Module, Parameter
from odyssey.tensor.tape import Array
from odyssey.tensor.tensor import Tensor

__all__ = ["Conv2d", "ConvTranspose2d", "SeparableConv2d"]


class Conv2d(Module):
    """activation(x convolved with weight, + bias): (N, in_channels, H, W) -> (N, out_channels, H', W').

    Args:
        in_channels, out_channels: multiples of `groups`.
        kernel_size, stride, padding, dilation: one number, or (vertical, horizontal).
        groups: split the channels into this many groups that do not see each other.
        bias: whether to add one per output channel.
        activation: None, "relu", "tanh", "sigmoid", "gelu" or "silu", computed in the same pass.
        generator: where the initial weights come from; without one they differ from run to run.
        dtype: float32 or float64.

    Weight (out_channels, in_channels // groups, kernel height, kernel width) and bias (out_channels,) start uniform in
    +-1 / sqrt(fan_in), as in PyTorch.

    Example:
        >>> import odyssey as od
        >>> import numpy as np
        >>> od.nn.Conv2d(1, 6, 5, padding=2)(np.zeros((2, 1, 28, 28), np.float32)).shape
        (2, 6, 28, 28)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: Pair = 0,
        dilation: Pair = 1,
        groups: int = 1,
        bias: bool = True,
        activation: Activation | None = None,
        *,
        generator: np.random.Generator | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        if groups < 1 or in_channels % groups or out_channels % groups:
            raise ShapeError(
                f"Conv2d: expected in_channels and out_channels divisible by groups, "
                f"found {in_channels} and {out_channels} with groups={groups}"
            )
        generator = np.random.default_rng() if generator is None else generator
        height, width = kernel_size if isinstance(kernel_size, tuple) else (kernel_size, kernel_size)
        self.stride = stride
        self.padding = padding
        self.dilation = dilation
        self.groups = groups
        self.activation = activation
        shape = (out_channels, in_channels // groups, height, width)
        bound = 1.0 / math.sqrt(math.prod(shape[1:]))
        self.weight = Parameter(init.uniform_(np.empty(shape, dtype), -bound, bound, generator=generator))
        self.bias = (
            Parameter(init.uniform_(np.empty(out_channels, dtype), -bound, bound, generator=generator))
            if bias
            else None
        )

    def forward(self, x: Tensor | Array) -> Tensor:
        return functional.conv2d(
            x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups, self.activation
        )

    def extra_repr(self) -> str:
        out_channels, in_channels, height, width = self.weight.shape
        parts = [str(in_channels * self.groups), str(out_channels), f"kernel_size=({height}, {width})"]
        for name, usual in (("stride", 1), ("padding", 0), ("dilation", 1), ("groups", 1), ("activation", None)):
            value = getattr(self, name)
            if value != usual:
                parts.append(f"{name}={value!r}")
        if self.bias is None:
            parts.append("bias=False")
        return ", ".join(parts)


class ConvTranspose2d(Module):
    """x transposed-convolved with weight, + bias: (N, in_channels, H, W) -> (N, out_channels, H', W').

    Args:
        in_channels, out_channels: multiples of `groups`.
        kernel_size, stride, padding, output_padding: one number, or (vertical, horizontal).
        groups: split the channels into this many groups that do not see each other.
        bias: whether to add one per output channel.
        dilation: one number, or (vertical, horizontal).
        generator: where the initial weights come from; without one they differ from run to run.
        dtype: float32 or float64.

    Weight (in_channels, out_channels // groups, kernel height, kernel width) and bias (out_channels,) start uniform in
    +-1 / sqrt(fan_in), fan_in being weight's elements over in_channels, as in PyTorch.

    Example:
        >>> import odyssey as od
        >>> import numpy as np
        >>> od.nn.ConvTranspose2d(8, 4, 2, stride=2)(np.zeros((2, 8, 7, 7), np.float32)).shape
        (2, 4, 14, 14)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: Pair = 0,
        output_padding: Pair = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Pair = 1,
        *,
        generator: np.random.Generator | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        if groups < 1 or in_channels % groups or out_channels % groups:
            raise ShapeError(
                f"ConvTranspose2d: expected in_channels and out_channels divisible by groups, "
                f"found {in_channels} and {out_channels} with groups={groups}"
            )
        generator = np.random.default_rng() if generator is None else generator
        height, width = kernel_size if isinstance(kernel_size, tuple) else (kernel_size, kernel_size)
        self.stride = stride
        self.padding = padding
        self.output_padding = output_padding
        self.dilation = dilation
        self.groups = groups
        shape = (in_channels, out_channels // groups, height, width)
        bound = 1.0 / math.sqrt(math.prod(shape[1:]))
        self.weight = Parameter(init.uniform_(np.empty(shape, dtype), -bound, bound, generator=generator))
        self.bias = (
            Parameter(init.uniform_(np.empty(out_channels, dtype), -bound, bound, generator=generator))
            if bias
            else None
        )

    def forward(self, x: Tensor | Array) -> Tensor:
        return functional.conv_transpose2d(
            x, self.weight, self.bias, self.stride, self.padding, self.output_padding, self.dilation, self.groups
        )

    def extra_repr(self) -> str:
        in_channels, outputs, height, width = self.weight.shape
        parts = [str(in_channels), str(outputs * self.groups), f"kernel_size=({height}, {width})"]
        usual = {"stride": 1, "padding": 0, "output_padding": 0, "groups": 1, "dilation": 1}
        parts += [f"{name}={getattr(self, name)!r}" for name in usual if getattr(self, name) != usual[name]]
        if self.bias is None:
            parts.append("bias=False")
        return ", ".join(parts)


class SeparableConv2d(Module):
    """A depthwise convolution and then a pointwise one: (N, in_channels, H, W) -> (N, out_channels, H', W').

    Each channel is convolved by itself, and a 1x1 convolution mixes the results (Chollet 2017, Xception): a ninth of
    the work of a 3x3 convolution, about.

    Args:
        in_channels, out_channels: the channels.
        kernel_size, stride, padding, dilation: of the depthwise convolution.
        depth_multiplier: how many kernels each channel has.
        bias: whether to add one per output channel, after the pointwise convolution.
        activation: None, "relu", "tanh", "sigmoid", "gelu" or "silu", after the pointwise convolution.
        generator: where the initial weights come from; without one they differ from run to run.
        dtype: float32 or float64.

    Example:
        >>> import odyssey as od
        >>> import numpy as np
        >>> layer = od.nn.SeparableConv2d(8, 16, 3, padding=1)
        >>> layer(np.zeros((2, 8, 7, 7), np.float32)).shape
        (2, 16, 7, 7)
        >>> [(name, p.shape) for name, p in layer.named_parameters()]
        [('depthwise.weight', (8, 1, 3, 3)), ('pointwise.weight', (16, 8, 1, 1)), ('pointwise.bias', (16,))]
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: Pair = 0,
        dilation: Pair = 1,
        depth_multiplier: int = 1,
        bias: bool = True,
        activation: Activation | None = None,
        *,
        generator: np.random.Generator | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        if depth_multiplier < 1:
            raise ValueError(f"SeparableConv2d: expected depth_multiplier from 1 on, found {depth_multiplier}")
        generator = np.random.default_rng() if generator is None else generator
        inner = in_channels * depth_multiplier
        self.depthwise = Conv2d(
            in_channels, inner, kernel_size, stride, padding, dilation, in_channels, False,
            generator=generator, dtype=dtype,
        )  # fmt: skip
        self.pointwise = Conv2d(
            inner, out_channels, 1, bias=bias, activation=activation, generator=generator, dtype=dtype
        )

    def forward(self, x: Tensor | Array) -> Tensor:
        y: Tensor = self.pointwise(self.depthwise(x))
        return y
