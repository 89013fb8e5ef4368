"""Changes of shape, and arrays taken apart and put together. No element is computed, and where NumPy gives a view so do
these, both ways: a view knows the Tensor it is one of, so that a write to either tells the other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from odyssey._kernels.tape import plain_index, record_view
from odyssey.errors import DTypeError, ShapeError
from odyssey.nn.functional._arguments import Operand, TensorLike, array, operand, shape_of, unbroadcast
from odyssey.tensor.tape import Array, Gradients, Node
from odyssey.tensor.tensor import Tensor, record


def reshape(x: TensorLike, *shape: int | Sequence[int]) -> Tensor:
    """The same elements in another shape, given as integers or as one sequence; one of them may be -1."""
    x_data, x_edge = operand(x)
    try:
        y = x_data.reshape(*shape)
    except ValueError:
        raise ShapeError(
            f"reshape: expected a shape of {x_data.size} elements, as x of shape {x_data.shape} has, found "
            f"{shape[0] if len(shape) == 1 else shape}; one size may be -1, which is what the others leave"
        ) from None
    return record_view(y, _reshape_backward, (x_edge,), x_data.shape, x)


def flatten(x: TensorLike, start_axis: int = 0, end_axis: int = -1) -> Tensor:
    """The axes from start_axis to end_axis as one; `flatten(x, 1)` makes a row of each sample."""
    x_data, x_edge = operand(x)
    shape = x_data.shape
    if start_axis == 1 and end_axis == -1 and shape and shape[0]:  # between convolutions and linear layers
        return record_view(x_data.reshape(shape[0], -1), _reshape_backward, (x_edge,), shape, x)
    if not shape:
        return record_view(x_data.reshape(1), _reshape_backward, (x_edge,), shape, x)
    first, last = start_axis % len(shape), end_axis % len(shape)
    if first > last:
        raise ValueError(
            f"flatten: expected start_axis before end_axis, found {start_axis} and {end_axis} for shape {shape}"
        )
    flat = (*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :])
    return record_view(x_data.reshape(flat), _reshape_backward, (x_edge,), shape, x)


def squeeze(x: TensorLike, axis: int | tuple[int, ...] | None = None) -> Tensor:
    """x without its axes of size 1, or without those named, which must be of size 1."""
    x_data, x_edge = operand(x)
    try:
        y = x_data.squeeze(axis)
    except ValueError as error:
        raise ShapeError(
            f"squeeze: expected an axis of size 1, found axis {axis} of shape {x_data.shape} ({error})"
        ) from None
    return record_view(y, _reshape_backward, (x_edge,), x_data.shape, x)


def expand_dims(x: TensorLike, axis: int | tuple[int, ...]) -> Tensor:
    """x with an axis of size 1 more, at that place of the result's shape."""
    x_data, x_edge = operand(x)
    return record_view(np.expand_dims(x_data, axis), _reshape_backward, (x_edge,), x_data.shape, x)


def _reshape_backward(grad: Array, node: Node) -> Gradients:
    return (grad.reshape(node.saved),)


def transpose(x: TensorLike, *axes: int | Sequence[int]) -> Tensor:
    """The axes in the order given, as integers or as one sequence; reversed when none are given."""
    x_data, x_edge = operand(x)
    if len(axes) == 1 and not isinstance(axes[0], int):
        axes = tuple(axes[0])
    if axes and sorted(a % max(x_data.ndim, 1) for a in axes) != list(range(x_data.ndim)):
        raise ShapeError(f"transpose: expected each of the {x_data.ndim} axes of {x_data.shape} once, found {axes}")
    inverse = tuple(np.argsort([a % x_data.ndim for a in axes])) if axes else None
    return record_view(x_data.transpose(*axes), _transpose_backward, (x_edge,), inverse, x)


def swapaxes(x: TensorLike, axis1: int, axis2: int) -> Tensor:
    """x with two axes in each other's place."""
    ndim = array(x).ndim
    for axis in (axis1, axis2):
        if not -ndim <= axis < ndim:
            raise ShapeError(f"swapaxes: expected axes of shape {array(x).shape}, found {axis}")
    order = list(range(ndim))
    order[axis1], order[axis2] = order[axis2], order[axis1]
    return transpose(x, order)


def _transpose_backward(grad: Array, node: Node) -> Gradients:
    return (grad.transpose(node.saved),)


def broadcast_to(x: TensorLike, shape: Sequence[int]) -> Tensor:
    """x repeated along new axes and those of size 1, without a copy: the result cannot be written to."""
    x_data, x_edge = operand(x)
    try:
        y = np.broadcast_to(x_data, shape)
    except ValueError:
        raise ShapeError(
            f"broadcast_to: expected a shape that {x_data.shape} fits into, found {tuple(shape)}; counted from the "
            "right, sizes must be equal, or 1 in x"
        ) from None
    return record_view(y, _broadcast_to_backward, (x_edge,), x_data.shape, x)


def _broadcast_to_backward(grad: Array, node: Node) -> Gradients:
    return (unbroadcast(grad, node.saved),)


def clone(x: TensorLike) -> Tensor:
    """A copy of x, through which the gradient passes."""
    x_data, x_edge = operand(x)
    return record(np.array(x_data), _clone_backward, (x_edge,), None)


def _clone_backward(grad: Array, node: Node) -> Gradients:
    return (grad,)


# ---- elements --------------------------------------------------------------------------------------------------------


def getitem(x: TensorLike, index: Any) -> Tensor:
    """x[index], NumPy's basic and advanced indexing. An element taken twice receives both gradients."""
    x_data, x_edge = operand(x)
    index = plain_index(index)
    return record_view(x_data[index], _getitem_backward, (x_edge,), (x_data.shape, index), x)


def _getitem_backward(grad: Array, node: Node) -> Gradients:
    shape, index = node.saved
    by_x = np.zeros(shape, grad.dtype)
    if is_basic(index):
        by_x[index] = grad
    else:
        np.add.at(by_x, index, grad)
    return (by_x,)


def is_basic(index: Any) -> bool:
    """Whether NumPy takes the index as slices and integers, which reach no element twice."""
    parts = index if isinstance(index, tuple) else (index,)
    return all(
        part is None
        or part is Ellipsis
        or isinstance(part, (slice, np.integer))
        or (isinstance(part, int) and not isinstance(part, bool))
        for part in parts
    )


def element(array: Array, index: Any) -> Array:
    """The view that a basic index takes, of a single element too."""
    parts = index if isinstance(index, tuple) else (index,)
    view: Array = array[parts if any(part is Ellipsis for part in parts) else (*parts, ...)]
    return view


def where(condition: TensorLike, a: Operand, b: Operand) -> Tensor:
    """a where condition holds, else b; all three broadcast. A Python number may stand for one of a and b."""
    chosen = array(condition)
    if chosen.dtype != np.bool_:
        raise DTypeError(f"where: expected a condition of bool, found {chosen.dtype}; compare with something: x != 0")
    a_data, a_edge = operand(a)
    b_data, b_edge = operand(b)
    _one_dtype("where", [one for one in (a_data, b_data) if isinstance(one, np.ndarray)])
    y = np.where(chosen, a_data, b_data)
    return record(y, _where_backward, (a_edge, b_edge), (chosen, shape_of(a_data), shape_of(b_data)))


def _where_backward(grad: Array, node: Node) -> Gradients:
    to_a, to_b = node.inputs
    chosen, a_shape, b_shape = node.saved
    zero = np.zeros((), grad.dtype)
    return (
        None if to_a is None else unbroadcast(np.where(chosen, grad, zero), a_shape),
        None if to_b is None else unbroadcast(np.where(chosen, zero, grad), b_shape),
    )


# ---- several ---------------------------------------------------------------------------------------------------------


def concatenate(tensors: Sequence[TensorLike], axis: int = 0) -> Tensor:
    """Arrays one after another along an axis; they have one shape but for that."""
    arrays, edges = _taken("concatenate", tensors)
    try:
        y = np.concatenate(arrays, axis)
    except ValueError as error:
        shapes = ", ".join(str(one.shape) for one in arrays)
        raise ShapeError(f"concatenate: expected one shape but for axis {axis}, found {shapes} ({error})") from None
    return record(y, _concatenate_backward, edges, (axis, [one.shape[axis] for one in arrays]))


def _concatenate_backward(grad: Array, node: Node) -> Gradients:
    axis, sizes = node.saved
    return tuple(np.split(grad, np.cumsum(sizes)[:-1], axis))


def stack(tensors: Sequence[TensorLike], axis: int = 0) -> Tensor:
    """Arrays of one shape along a new axis."""
    arrays, edges = _taken("stack", tensors)
    try:
        y = np.stack(arrays, axis)
    except ValueError as error:
        shapes = ", ".join(str(one.shape) for one in arrays)
        raise ShapeError(f"stack: expected one shape, and an axis of the result's, found {shapes} ({error})") from None
    return record(y, _stack_backward, edges, axis)


def _stack_backward(grad: Array, node: Node) -> Gradients:
    return tuple(np.moveaxis(grad, node.saved, 0)[i, ...] for i in range(len(node.inputs)))


def split(x: TensorLike, indices_or_sections: int | Sequence[int], axis: int = 0) -> tuple[Tensor, ...]:
    """x cut along an axis, as `numpy.split`: into so many equal parts, or at these indices. The parts are views."""
    shape = array(x).shape
    if not -len(shape) <= axis < len(shape):
        raise ShapeError(f"split: expected an axis of shape {shape}, found {axis}")
    size = shape[axis]
    if isinstance(indices_or_sections, int):
        if indices_or_sections < 1 or size % indices_or_sections:
            raise ShapeError(
                f"split: expected a number of equal parts of axis {axis} of {shape}, found {indices_or_sections}; "
                "name the indices to cut at"
            )
        part = size // indices_or_sections
        cuts = [part * i for i in range(indices_or_sections + 1)]
    else:
        cuts = [0, *indices_or_sections, size]
    lead = (slice(None),) * (axis % len(shape))
    return tuple(getitem(x, (*lead, slice(low, high))) for low, high in pairwise(cuts))


def _taken(op: str, tensors: Sequence[TensorLike]) -> tuple[list[Array], tuple[Any, ...]]:
    """The arrays and edges of several Tensors, which must have one dtype."""
    if not tensors:
        raise ShapeError(f"{op}: expected at least one Tensor, found none")
    taken = [operand(one) for one in tensors]
    arrays = [np.asarray(data) for data, _ in taken]
    _one_dtype(op, arrays)
    return arrays, tuple(edge for _, edge in taken)


def _one_dtype(op: str, arrays: list[Array]) -> None:
    if any(one.dtype != arrays[0].dtype for one in arrays):
        found = ", ".join(str(one.dtype) for one in arrays)
        raise DTypeError(f"{op}: expected one dtype, found {found}; convert one of them, e.g. x.astype(numpy.float32)")
