"""What the families share: taking arguments apart, and undoing broadcasting."""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np

from odyssey._kernels.tape import kept_for, operand, shape_of
from odyssey.tensor import ops
from odyssey.tensor.tape import Array, Edge
from odyssey.tensor.tensor import Tensor

__all__ = [
    "Axis",
    "Edge",
    "Operand",
    "TensorLike",
    "array",
    "count_reduced",
    "kept_for",
    "operand",
    "shape_of",
    "unbroadcast",
    "with_reduced_axes",
]

TensorLike: TypeAlias = "Tensor | Array"
Operand: TypeAlias = "Tensor | Array | float"
Axis: TypeAlias = "int | tuple[int, ...] | None"


def array(value: TensorLike) -> Array:
    return value.data if isinstance(value, Tensor) else np.asarray(value)


def unbroadcast(grad: Array, shape: tuple[int, ...]) -> Array:
    """Sum `grad` over the axes along which an operand of `shape` was broadcast."""
    if grad.shape == shape:
        return grad
    lead = grad.ndim - len(shape)
    axes = tuple(range(lead)) + tuple(lead + i for i, n in enumerate(shape) if n == 1 and grad.shape[lead + i] != 1)
    return np.asarray(ops.sum(grad, axes)).reshape(shape)


def with_reduced_axes(reduced: Array, shape: tuple[int, ...], axis: Axis) -> Array:
    """`reduced`, an array of `shape` reduced over `axis`, in the shape that keepdims=True gives."""
    if axis is None:
        return np.asarray(reduced).reshape((1,) * len(shape))
    axes = {a % len(shape) for a in ((axis,) if isinstance(axis, int) else axis)}
    return np.asarray(reduced).reshape([1 if i in axes else n for i, n in enumerate(shape)])


def count_reduced(shape: tuple[int, ...], axis: Axis) -> int:
    """How many elements of an array of `shape` go into one element reduced over `axis`."""
    if axis is None:
        return math.prod(shape)
    return math.prod(shape[a] for a in ((axis,) if isinstance(axis, int) else axis))
