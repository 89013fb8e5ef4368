"""The linear layer, Flatten, which stands before it, and Identity, which stands for nothing."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import DTypeLike

from odyssey.nn import functional, init
from odyssey.nn.functional.linear import Activation
from odyssey.nn.module import Module, Parameter
from odyssey.nn.stored import StoredWeight
from odyssey.tensor.tape import Array
from odyssey.tensor.tensor import Tensor

__all__ = ["Flatten", "Identity", "Linear"]


class Linear(Module):
    """activation(x @ weight.T + bias): (..., in_features) -> (..., out_features).

    Args:
        in_features, out_features: the sizes of the last axis.
        bias: whether to add one.
        activation: None, "relu", "tanh", "sigmoid", "gelu" or "silu", computed in the same pass.
        generator: where the initial weights come from; without one they differ from run to run.
        dtype: float32 or float64.

    Weight (out_features, in_features) and bias (out_features,) start uniform in +-1 / sqrt(in_features), as in PyTorch.
    A `StoredWeight` may take the weight's place.

    Example:
        >>> import odyssey as od
        >>> import numpy as np
        >>> od.nn.Linear(4, 2)(np.zeros((3, 4), np.float32)).shape
        (3, 2)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        activation: Activation | None = None,
        *,
        generator: np.random.Generator | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        generator = np.random.default_rng() if generator is None else generator
        self.in_features = in_features
        self.out_features = out_features
        self.activation = activation
        bound = 1.0 / math.sqrt(in_features) if in_features else 0.0
        self.weight: Parameter | StoredWeight = Parameter(
            init.uniform_(np.empty((out_features, in_features), dtype), -bound, bound, generator=generator)
        )
        self.bias = (
            Parameter(init.uniform_(np.empty(out_features, dtype), -bound, bound, generator=generator))
            if bias
            else None
        )

    def forward(self, x: Tensor | Array) -> Tensor:
        return functional.linear(x, self.weight, self.bias, self.activation)

    def extra_repr(self) -> str:
        return (
            f"{self.in_features}, {self.out_features}"
            + ("" if self.bias is not None else ", bias=False")
            + (f", activation={self.activation!r}" if self.activation else "")
        )


class Flatten(Module):
    """The axes from start_axis to end_axis as one: (N, C, H, W) -> (N, C * H * W) by default."""

    def __init__(self, start_axis: int = 1, end_axis: int = -1) -> None:
        self.start_axis = start_axis
        self.end_axis = end_axis

    def forward(self, x: Tensor | Array) -> Tensor:
        return functional.flatten(x, self.start_axis, self.end_axis)


class Identity(Module):
    """What it is given, where a model's shape asks for a layer and nothing is to be done."""

    def forward(self, x: Tensor | Array) -> Tensor:
        return x if isinstance(x, Tensor) else Tensor(x)
