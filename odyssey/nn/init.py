"""Initialisers, with PyTorch's formulas. They fill an array or a Tensor in place and return it.

Every random one takes a `numpy.random.Generator`: the numbers come from nowhere else. The fans are PyTorch's: a weight
is (out, in, *kernel), with `fan_in = in * prod(kernel)` and `fan_out = out * prod(kernel)`; with `groups` or
`transposed` they are those of the convolution that has such a weight, see `fans`.

The same generator gives the same bits on every machine: from it come uniform numbers, of which the rest is made by
kernels that round alike everywhere. (NumPy's own normal numbers call the C library's logarithm, and its uniform ones in
a range may be computed with one rounding less where the processor has a fused multiply-add.)
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal, TypeVar

import numpy as np

from odyssey._kernels.elementwise import cos, log, multiply, sin, sqrt, subtract
from odyssey._kernels.linear import matmul
from odyssey._kernels.reductions import norm
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
    "orthogonal_",
    "placeholders",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]

T = TypeVar("T", Tensor, Array)
Mode = Literal["fan_in", "fan_out"]


_PLACEHOLDERS: ContextVar[bool] = ContextVar("placeholders", default=False)


def _data(target: Tensor | Array) -> Array:
    return target.data if isinstance(target, Tensor) else target


@contextmanager
def placeholders() -> Iterator[None]:
    """Within it nothing random is drawn: uniform and normal weights are one zero seen everywhere, without memory.

    For models whose weights are about to be replaced by those of a file: making them takes no time, and a model larger
    than the memory can be made.

    >>> with placeholders():
    ...     weight = uniform_(np.empty((1000, 1000), np.float32), generator=np.random.default_rng())
    >>> weight.shape, weight.strides
    ((1000, 1000), (0, 0))
    """
    token = _PLACEHOLDERS.set(True)
    try:
        yield
    finally:
        _PLACEHOLDERS.reset(token)


def _placeholder(target: T) -> T:
    if isinstance(target, Tensor):
        return target
    return np.lib.stride_tricks.as_strided(np.zeros(1, target.dtype), target.shape, (0,) * target.ndim)


def fans(weight: Tensor | Array, groups: int = 1, transposed: bool = False) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight with at least two axes: how many elements enter one, and how many one enters.

    Args:
        weight: (out, in, *kernel); of a grouped convolution (out, in // groups, *kernel), of a transposed one
            (in, out // groups, *kernel).
        groups: how many groups the convolution has. PyTorch's fans do not know of them and are those of `groups=1`: an
            element of a grouped convolution enters out // groups outputs at each place of the kernel, not out.
        transposed: whether the weight is a transposed convolution's, whose fans PyTorch has the wrong way round.

    >>> fans(np.empty((6, 1, 5, 5)))
    (25, 150)
    >>> fans(np.empty((6, 1, 5, 5)), groups=6)
    (25, 25)
    >>> fans(np.empty((6, 2, 3, 3)), groups=2, transposed=True)
    (27, 18)
    """
    shape = _data(weight).shape
    if len(shape) < 2:
        raise ShapeError(f"fans: expected a weight (out, in, ...), found shape {shape}; a bias has no fans")
    if groups < 1 or shape[0] % groups:
        raise ShapeError(f"fans: expected a first axis divisible by groups, found shape {shape} with groups={groups}")
    kernel = math.prod(shape[2:])
    inner, outer = shape[1] * kernel, shape[0] // groups * kernel
    return (outer, inner) if transposed else (inner, outer)


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
        raise ValueError(f"calculate_gain: expected one of {', '.join([*gains, 'leaky_relu'])}, found {nonlinearity!r}")
    return gains[nonlinearity]


def uniform_(target: T, low: float = 0.0, high: float = 1.0, *, generator: np.random.Generator) -> T:
    """Uniform numbers in [low, high)."""
    if _PLACEHOLDERS.get():
        return _placeholder(target)
    data = _data(target)
    numbers = generator.random(data.shape)
    numbers *= high - low  # two roundings, on every machine
    numbers += low
    data[...] = numbers
    return target


def normal_(target: T, mean: float = 0.0, std: float = 1.0, *, generator: np.random.Generator) -> T:
    """Normal numbers."""
    if _PLACEHOLDERS.get():
        return _placeholder(target)
    data = _data(target)
    numbers = _standard_normal(data.size, generator).reshape(data.shape)
    numbers *= std
    numbers += mean
    data[...] = numbers
    return target


def _standard_normal(count: int, generator: np.random.Generator) -> Array:
    """Two independent normal numbers of each two uniform ones (Box and Muller 1958)."""
    pairs = generator.random((2, (count + 1) // 2))
    radius = sqrt(multiply(log(subtract(1.0, pairs[0])), -2.0))
    angle = multiply(pairs[1], 2 * math.pi)
    return np.concatenate([multiply(radius, cos(angle)), multiply(radius, sin(angle))])[:count]


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


def xavier_uniform_(
    target: T,
    gain: float = 1.0,
    *,
    groups: int = 1,
    transposed: bool = False,
    generator: np.random.Generator,
) -> T:
    """Uniform in +-gain * sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio 2010)."""
    bound = gain * math.sqrt(6.0 / sum(fans(target, groups, transposed)))
    return uniform_(target, -bound, bound, generator=generator)


def xavier_normal_(
    target: T,
    gain: float = 1.0,
    *,
    groups: int = 1,
    transposed: bool = False,
    generator: np.random.Generator,
) -> T:
    """Normal with deviation gain * sqrt(2 / (fan_in + fan_out)) (Glorot and Bengio 2010)."""
    return normal_(target, 0.0, gain * math.sqrt(2.0 / sum(fans(target, groups, transposed))), generator=generator)


def kaiming_uniform_(
    target: T,
    a: float = 0.0,
    mode: Mode = "fan_in",
    nonlinearity: str = "leaky_relu",
    *,
    groups: int = 1,
    transposed: bool = False,
    generator: np.random.Generator,
) -> T:
    """Uniform in +-gain * sqrt(3 / fan), gain of `nonlinearity` with slope `a` (He et al. 2015)."""
    bound = _kaiming_std(fans(target, groups, transposed), a, mode, nonlinearity) * math.sqrt(3.0)
    return uniform_(target, -bound, bound, generator=generator)


def kaiming_normal_(
    target: T,
    a: float = 0.0,
    mode: Mode = "fan_in",
    nonlinearity: str = "leaky_relu",
    *,
    groups: int = 1,
    transposed: bool = False,
    generator: np.random.Generator,
) -> T:
    """Normal with deviation gain / sqrt(fan), gain of `nonlinearity` with slope `a` (He et al. 2015)."""
    std = _kaiming_std(fans(target, groups, transposed), a, mode, nonlinearity)
    return normal_(target, 0.0, std, generator=generator)


def orthogonal_(target: T, gain: float = 1.0, *, generator: np.random.Generator) -> T:
    """gain times an orthogonal matrix, (first axis, all others), drawn from all alike (Saxe et al. 2014).

    The rows are orthonormal, or the columns where there are more rows than columns. They are normal numbers made
    orthogonal by Gram and Schmidt's method, each twice (Giraud, Langou and Rozložník 2005).

    Raises:
        ShapeError: the target has fewer than two axes.

    >>> w = orthogonal_(np.empty((2, 3)), generator=np.random.default_rng(0))
    >>> np.abs(w @ w.T - np.eye(2)).max() < 1e-15
    np.True_
    """
    data = _data(target)
    if data.ndim < 2:
        raise ShapeError(f"orthogonal_: expected at least two axes, found shape {data.shape}")
    if not data.size:
        return target
    rows = len(data)
    columns = data.size // rows
    flat = _orthonormal(_standard_normal(data.size, generator).reshape(min(rows, columns), max(rows, columns)))
    if rows > columns:
        flat = flat.T
    data[...] = (flat * gain).reshape(data.shape)
    return target


_TOGETHER = 32  # rows made orthogonal to all before them by matrix products


def _orthonormal(rows: Array) -> Array:
    """The rows, in place, each made orthogonal to those above it and of length 1."""
    for start in range(0, len(rows), _TOGETHER):
        above, block = rows[:start], rows[start : start + _TOGETHER]
        for _ in range(2):
            block -= matmul(matmul(block, above.T), above)
        for i in range(len(block)):
            for _ in range(2):
                block[i] -= matmul(matmul(block[:i], block[i]), block[:i])
            block[i] /= norm(block[i])
    return rows


def _kaiming_std(both: tuple[int, int], a: float, mode: Mode, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"expected mode 'fan_in' or 'fan_out', found {mode!r}")
    return calculate_gain(nonlinearity, a) / math.sqrt(both[0 if mode == "fan_in" else 1])
