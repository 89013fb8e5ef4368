"""Activations as modules. Where one directly follows a Linear or Conv2d, their `activation=` argument is faster."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import DTypeLike

from odyssey.nn import functional
from odyssey.nn.module import Module, Parameter
from odyssey.tensor.tape import Array
from odyssey.tensor.tensor import Tensor

__all__ = [
    "ELU",
    "GELU",
    "SELU",
    "HardSigmoid",
    "HardSwish",
    "HardTanh",
    "LeakyReLU",
    "LogSoftmax",
    "Mish",
    "PReLU",
    "ReLU",
    "ReLU6",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
]


class ReLU(Module):
    """`functional.relu` as a layer."""

    def forward(self, x: Tensor | Array) -> Tensor:
        return functional.relu(x)


class ReLU6(Module):
    """`functional.relu6` as a layer."""

    def forward(self, x: Tensor | Array) -> Tensor:
        return functional.relu6(x)


class SELU(Module):
    """`functional.selu` as a layer."""

    def forward(self, x: Tensor | Array) -> Tensor:
        return functional.selu(x)


class SiLU(Module):
    """`functional.silu` as a layer."""

    def forward(self, x: Tensor | Array) -> Tensor:
        return functional.silu(x)


class Mish(Module):
    """`functional.mish` as a layer."""

    def forward(self, x: Tensor | Array) -> Tensor:
        return functional.mish(x)


class Sigmoid(Module):
    """`functional.sigmoid` as a layer."""

    def forward(self, x: Tensor | Array) -> Tensor:
        return functional.sigmoid(x)


class Tanh(Module):
    """`functional.tanh` as a layer."""

    def forward(self, x: Tensor | Array) -> Tensor:
        return functional.tanh(x)


class HardSigmoid(Module):
    """`functional.hard_sigmoid` as a layer."""

    def forward(self, x: Tensor | Array) -> Tensor:
        return functional.hard_sigmoid(x)


class HardSwish(Module):
    """`functional.hard_swish` as a layer."""

    def forward(self, x: Tensor | Array) -> Tensor:
        return functional.hard_swish(x)


class HardTanh(Module):
    """`functional.hard_tanh` as a layer."""

    def forward(self, x: Tensor | Array) -> Tensor:
        return functional.hard_tanh(x)


class GELU(Module):
    """`functional.gelu` as a layer."""

    def __init__(self, approximate: Literal["none", "tanh"] = "none") -> None:
        self.approximate: Literal["none", "tanh"] = approximate

    def forward(self, x: Tensor | Array) -> Tensor:
        return functional.gelu(x, self.approximate)


class ELU(Module):
    """`functional.elu` as a layer."""

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = alpha

    def forward(self, x: Tensor | Array) -> Tensor:
        return functional.elu(x, self.alpha)


class LeakyReLU(Module):
    """`functional.leaky_relu` as a layer."""

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = negative_slope

    def forward(self, x: Tensor | Array) -> Tensor:
        return functional.leaky_relu(x, self.negative_slope)


class PReLU(Module):
    """`functional.prelu` with a trained slope: one, or one for each index of axis 1."""

    def __init__(self, num_parameters: int = 1, init: float = 0.25, *, dtype: DTypeLike = np.float32) -> None:
        self.weight = Parameter(np.full(num_parameters, init, dtype))

    def forward(self, x: Tensor | Array) -> Tensor:
        return functional.prelu(x, self.weight)


class Softplus(Module):
    """`functional.softplus` as a layer."""

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        self.beta = beta
        self.threshold = threshold

    def forward(self, x: Tensor | Array) -> Tensor:
        return functional.softplus(x, self.beta, self.threshold)


class Softmax(Module):
    """`functional.softmax` as a layer."""

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis

    def forward(self, x: Tensor | Array) -> Tensor:
        return functional.softmax(x, self.axis)


class LogSoftmax(Module):
    """`functional.log_softmax` as a layer."""

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis

    def forward(self, x: Tensor | Array) -> Tensor:
        return functional.log_softmax(x, self.axis)
