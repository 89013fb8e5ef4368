"""Pooling layers."""

from __future__ import annotations

from odyssey.nn import functional
from odyssey.nn.functional.conv import Pair
from odyssey.nn.module import Module
from odyssey.tensor.tape import Array
from odyssey.tensor.tensor import Tensor

__all__ = ["AvgPool2d", "GlobalAvgPool2d", "MaxPool2d"]


class _Pool2d(Module):
    def __init__(self, kernel_size: Pair, stride: Pair | None = None, padding: Pair = 0) -> None:
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}" + (
            f", padding={self.padding}" if self.padding else ""
        )


class MaxPool2d(_Pool2d):
    """The largest element of each window, (N, C, H, W) -> (N, C, H', W'); stride is kernel_size unless given."""

    def forward(self, x: Tensor | Array) -> Tensor:
        return functional.max_pool2d(x, self.kernel_size, self.stride, self.padding)


class AvgPool2d(_Pool2d):
    """The mean of each window, padding counted as zeros; stride is kernel_size unless given."""

    def forward(self, x: Tensor | Array) -> Tensor:
        return functional.avg_pool2d(x, self.kernel_size, self.stride, self.padding)


class GlobalAvgPool2d(Module):
    """The mean over each whole image: (N, C, H, W) -> (N, C, 1, 1)."""

    def forward(self, x: Tensor | Array) -> Tensor:
        return functional.global_avg_pool2d(x)
