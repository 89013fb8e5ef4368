"""Changes of shape. No element is computed, and where NumPy gives a view so do these, both ways."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from odyssey.nn.functional._arguments import TensorLike, operand
from odyssey.tensor.tape import Array, Gradients, Node
from odyssey.tensor.tensor import Tensor, record


def reshape(x: TensorLike, *shape: int | Sequence[int]) -> Tensor:
    """The same elements in another shape, given as integers or as one sequence; one of them may be -1."""
    x_data, x_edge = operand(x)
    return record(x_data.reshape(*shape), _reshape_backward, (x_edge,), x_data.shape)


def flatten(x: TensorLike, start_axis: int = 0, end_axis: int = -1) -> Tensor:
    """The axes from start_axis to end_axis as one; `flatten(x, 1)` makes a row of each sample."""
    x_data, x_edge = operand(x)
    shape = x_data.shape
    if start_axis == 1 and end_axis == -1 and shape and shape[0]:  # between convolutions and linear layers
        return record(x_data.reshape(shape[0], -1), _reshape_backward, (x_edge,), shape)
    if not shape:
        return record(x_data.reshape(1), _reshape_backward, (x_edge,), shape)
    first, last = start_axis % len(shape), end_axis % len(shape)
    if first > last:
        raise ValueError(
            f"flatten: expected start_axis before end_axis, found {start_axis} and {end_axis} for shape {shape}"
        )
    flat = (*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :])
    return record(x_data.reshape(flat), _reshape_backward, (x_edge,), shape)


def _reshape_backward(grad: Array, node: Node) -> Gradients:
    return (grad.reshape(node.saved),)


def transpose(x: TensorLike, *axes: int | Sequence[int]) -> Tensor:
    """The axes in the order given, as integers or as one sequence; reversed when none are given."""
    x_data, x_edge = operand(x)
    if len(axes) == 1 and not isinstance(axes[0], int):
        axes = tuple(axes[0])
    inverse = tuple(np.argsort([a % x_data.ndim for a in axes])) if axes else None
    return record(x_data.transpose(*axes), _transpose_backward, (x_edge,), inverse)


def _transpose_backward(grad: Array, node: Node) -> Gradients:
    return (grad.transpose(node.saved),)


def getitem(x: TensorLike, index: Any) -> Tensor:
    """x[index], NumPy's basic and advanced indexing. An element taken twice receives both gradients."""
    x_data, x_edge = operand(x)
    if isinstance(index, Tensor):
        index = index.data
    elif isinstance(index, tuple):
        index = tuple(part.data if isinstance(part, Tensor) else part for part in index)
    return record(x_data[index], _getitem_backward, (x_edge,), (x_data.shape, index))


def _getitem_backward(grad: Array, node: Node) -> Gradients:
    shape, index = node.saved
    by_x = np.zeros(shape, grad.dtype)
    if _is_basic(index):
        by_x[index] = grad
    else:
        np.add.at(by_x, index, grad)
    return (by_x,)


def _is_basic(index: Any) -> bool:
    """Whether NumPy takes the index as slices and integers, which reach no element twice."""
    parts = index if isinstance(index, tuple) else (index,)
    return all(
        part is None or part is Ellipsis or isinstance(part, (slice, np.integer))
        or (isinstance(part, int) and not isinstance(part, bool))
        for part in parts
    )
