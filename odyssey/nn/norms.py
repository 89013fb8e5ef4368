"""Norms as layers."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from odyssey.errors import ShapeError
from odyssey.nn import functional
from odyssey.nn.module import Buffer, Module, Parameter
from odyssey.tensor.tape import Array
from odyssey.tensor.tensor import Tensor

__all__ = ["BatchNorm1d", "BatchNorm2d", "GroupNorm", "InstanceNorm2d", "LayerNorm", "RMSNorm"]


def _ones(n: int, dtype: DTypeLike, wanted: bool = True) -> Parameter | None:
    return Parameter(np.ones(n, dtype)) if wanted else None


def _zeros(n: int, dtype: DTypeLike, wanted: bool = True) -> Parameter | None:
    return Parameter(np.zeros(n, dtype)) if wanted else None


class RMSNorm(Module):
    """x / √(mean(x²) + eps) · weight along the last axis, of `features` elements. Weight (features,) starts at 1.

    Example:
        >>> import odyssey as od
        >>> import numpy as np
        >>> od.nn.RMSNorm(4)(np.ones((3, 4), np.float32)).shape
        (3, 4)
    """

    def __init__(
        self, features: int, eps: float = 1e-6, elementwise_affine: bool = True, *, dtype: DTypeLike = np.float32
    ) -> None:
        self.features = features
        self.eps = eps
        self.weight = _ones(features, dtype, elementwise_affine)

    def forward(self, x: Tensor | Array) -> Tensor:
        return functional.rms_norm(x, self.weight, self.eps)

    def extra_repr(self) -> str:
        return f"{self.features}, eps={self.eps}" + ("" if self.weight is not None else ", elementwise_affine=False")


class LayerNorm(Module):
    """(x - mean(x)) / √(var(x) + eps) · weight + bias along the last axis, of `features` elements.

    Weight (features,) starts at 1, bias (features,) at 0.

    Example:
        >>> import odyssey as od
        >>> import numpy as np
        >>> od.nn.LayerNorm(2)(np.float32([[1, 3]])).data.round(3)
        array([[-1.,  1.]], dtype=float32)
    """

    def __init__(
        self,
        features: int,
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        *,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.features = features
        self.eps = eps
        self.weight = _ones(features, dtype, elementwise_affine)
        self.bias = _zeros(features, dtype, elementwise_affine and bias)

    def forward(self, x: Tensor | Array) -> Tensor:
        return functional.layer_norm(x, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        without = ", elementwise_affine=False" if self.weight is None else ", bias=False" if self.bias is None else ""
        return f"{self.features}, eps={self.eps}{without}"


class GroupNorm(Module):
    """(x - mean) / √(var + eps) · weight + bias over each of `groups` groups of channels of each image (N, C, ...).

    Weight (channels,) starts at 1, bias (channels,) at 0.
    """

    def __init__(
        self, groups: int, channels: int, eps: float = 1e-5, affine: bool = True, *, dtype: DTypeLike = np.float32
    ) -> None:
        if groups < 1 or channels % groups:
            raise ShapeError(f"GroupNorm: expected channels divisible by groups, found {channels} with groups={groups}")
        self.groups = groups
        self.channels = channels
        self.eps = eps
        self.weight = _ones(channels, dtype, affine)
        self.bias = _zeros(channels, dtype, affine)

    def forward(self, x: Tensor | Array) -> Tensor:
        return functional.group_norm(x, self.groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.groups}, {self.channels}, eps={self.eps}" + ("" if self.weight is not None else ", affine=False")


class InstanceNorm2d(Module):
    """(x - mean) / √(var + eps) over each channel of each image (N, C, H, W); with `affine` · weight + bias."""

    def __init__(
        self, channels: int, eps: float = 1e-5, affine: bool = False, *, dtype: DTypeLike = np.float32
    ) -> None:
        self.channels = channels
        self.eps = eps
        self.weight = _ones(channels, dtype, affine)
        self.bias = _zeros(channels, dtype, affine)

    def forward(self, x: Tensor | Array) -> Tensor:
        _check(self, x, (4,), "(N, {}, H, W)", self.channels)
        return functional.instance_norm(x, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.channels}, eps={self.eps}" + (", affine=True" if self.weight is not None else "")


class _BatchNorm(Module):
    """What both batch norms are."""

    _ndims: tuple[int, ...]
    _shape: str

    def __init__(
        self,
        channels: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.channels = channels
        self.eps = eps
        self.momentum = momentum
        self.weight = _ones(channels, dtype, affine)
        self.bias = _zeros(channels, dtype, affine)
        self.running_mean = Buffer(np.zeros(channels, dtype)) if track_running_stats else None
        self.running_var = Buffer(np.ones(channels, dtype)) if track_running_stats else None

    def forward(self, x: Tensor | Array) -> Tensor:
        _check(self, x, self._ndims, self._shape, self.channels)
        training = self.training or self.running_mean is None
        return functional.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, training, self.momentum, self.eps
        )

    def extra_repr(self) -> str:
        return (
            f"{self.channels}, eps={self.eps}, momentum={self.momentum}"
            + ("" if self.weight is not None else ", affine=False")
            + ("" if self.running_mean is not None else ", track_running_stats=False")
        )


class BatchNorm1d(_BatchNorm):
    """(x - mean) / √(var + eps) · weight + bias over each channel of a batch (N, C) or (N, C, L).

    In training with the batch's statistics, which enter the buffers running_mean and running_var with `momentum`; after
    `eval()` with those. Weight (channels,) starts at 1, bias at 0.
    """

    _ndims = (2, 3)
    _shape = "(N, {}) or (N, {}, L)"


class BatchNorm2d(_BatchNorm):
    """(x - mean) / √(var + eps) · weight + bias over each channel of a batch of images (N, C, H, W).

    In training with the batch's statistics, which enter the buffers running_mean and running_var with `momentum`; after
    `eval()` with those. Weight (channels,) starts at 1, bias at 0.

    Example:
        >>> import odyssey as od
        >>> import numpy as np
        >>> norm = od.nn.BatchNorm2d(3)
        >>> norm(np.ones((2, 3, 4, 4), np.float32)).shape
        (2, 3, 4, 4)
        >>> norm.running_mean.data
        array([0.1, 0.1, 0.1], dtype=float32)
    """

    _ndims = (4,)
    _shape = "(N, {}, H, W)"


def _check(layer: Module, x: Tensor | Array, ndims: tuple[int, ...], expected: str, channels: int) -> None:
    if x.ndim not in ndims or x.shape[1] != channels:
        raise ShapeError(
            f"{type(layer).__name__}: expected {expected.replace('{}', str(channels))}, found {x.shape}; "
            "make the layer for this many channels, or reshape"
        )
