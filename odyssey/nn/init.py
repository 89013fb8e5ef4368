"""Initialisers, with PyTorch's formulas. They fill an array or a Tensor in place and return it.

Every random one takes a `numpy.random.Generator`: the numbers come from nowhere else. The fans are PyTorch's: a weight
is (out, in, *kernel), with `fan_in = in * prod(kernel)` and `fan_out = out * prod(kernel)`.
"""

from __future__ import annotations

import math
from typing import Literal, TypeVar

import numpy as np

from odyssey.errors import ShapeError
from odyssey.tensor.tape import Array
from odyssey.tensor.tensor import Tensor

__all__ = [
    "calculate_gain",
    "constant_",
    "fans",
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "ones_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]

T = TypeVar("T", Tensor, Array)
Mode = Literal["fan_in", "fan_out"]


def _data(target: Tensor | Array) -> Array:
    return target.data if isinstance(target, Tensor) else target


def fans(weight: Tensor | Array) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight with at least two axes.

    >>> fans(np.empty((6, 1, 5, 5)))
    (25, 150)
    """
    shape = _data(weight).shape
    if len(shape) < 2:
        raise ShapeError(f"fans: expected a weight (out, in, ...), found shape {shape}; a bias has no fans")
    kernel = math.prod(shape[2:])
    return shape[1] * kernel, shape[0] * kernel


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor that keeps the variance through a nonlinearity.

    >>> calculate_gain("relu")
    1.4142135623730951
    """
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        return math.sqrt(2.0 / (1.0 + slope**2))
    gains = {"linear": 1.0, "conv2d": 1.0, "sigmoid": 1.0, "tanh": 5.0 / 3.0, "relu": math.sqrt(2.0), "selu": 0.75}
    if nonlinearity not in gains:
        raise ValueError(
            f"calculate_gain: expected one of {', '.join([*gains, 'leaky_relu'])}, found {nonlinearity!r}"
        )
    return gains[nonlinearity]


def uniform_(target: T, low: float = 0.0, high: float = 1.0, *, generator: np.random.Generator) -> T:
    """Uniform numbers in [low, high)."""
    data = _data(target)
    data[...] = generator.uniform(low, high, data.shape)
    return target


def normal_(target: T, mean: float = 0.0, std: float = 1.0, *, generator: np.random.Generator) -> T:
    """Normal numbers."""
    data = _data(target)
    data[...] = generator.normal(mean, std, data.shape)
    return target


def constant_(target: T, value: float) -> T:
    """The same number everywhere."""
    _data(target)[...] = value
    return target


def zeros_(target: T) -> T:
    """Zeros."""
    return constant_(target, 0.0)


def ones_(target: T) -> T:
    """Ones."""
    return constant_(target, 1.0)


def xavier_uniform_(target: T, gain: float = 1.0, *, generator: np.random.Generator) -> T:
    """Uniform in +-gain * sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio 2010)."""
    bound = gain * math.sqrt(6.0 / sum(fans(target)))
    return uniform_(target, -bound, bound, generator=generator)


def xavier_normal_(target: T, gain: float = 1.0, *, generator: np.random.Generator) -> T:
    """Normal with deviation gain * sqrt(2 / (fan_in + fan_out)) (Glorot and Bengio 2010)."""
    return normal_(target, 0.0, gain * math.sqrt(2.0 / sum(fans(target))), generator=generator)


def kaiming_uniform_(
    target: T,
    a: float = 0.0,
    mode: Mode = "fan_in",
    nonlinearity: str = "leaky_relu",
    *,
    generator: np.random.Generator,
) -> T:
    """Uniform in +-gain * sqrt(3 / fan), gain of `nonlinearity` with slope `a` (He et al. 2015)."""
    bound = _kaiming_std(target, a, mode, nonlinearity) * math.sqrt(3.0)
    return uniform_(target, -bound, bound, generator=generator)


def kaiming_normal_(
    target: T,
    a: float = 0.0,
    mode: Mode = "fan_in",
    nonlinearity: str = "leaky_relu",
    *,
    generator: np.random.Generator,
) -> T:
    """Normal with deviation gain / sqrt(fan), gain of `nonlinearity` with slope `a` (He et al. 2015)."""
    return normal_(target, 0.0, _kaiming_std(target, a, mode, nonlinearity), generator=generator)


def _kaiming_std(target: Tensor | Array, a: float, mode: Mode, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"expected mode 'fan_in' or 'fan_out', found {mode!r}")
    fan = fans(target)[0 if mode == "fan_in" else 1]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan)
