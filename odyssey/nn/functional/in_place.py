"""Operations that write into the Tensor they are given: +=, -=, *=, /=, x[i] = v, and copying into it.

The Tensor's history goes on: after `y += x` the gradient of y reaches x, and what y was before. A write to a view is
one to the Tensor it is a view of, and the other way round; both tell of it afterwards. What cannot be is an error:
writing to a Tensor that a gradient is asked of (under `no_grad` it may be), and going backward through an operation
that saved what was overwritten.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from odyssey._kernels.tape import plain_index, rebase
from odyssey.nn.functional._arguments import Operand, operand, shape_of, unbroadcast
from odyssey.nn.functional.elementwise import _add_backward, _subtract_backward
from odyssey.nn.functional.shape import element, is_basic
from odyssey.tensor import ops
from odyssey.tensor.changes import written
from odyssey.tensor.tape import Array, BackwardFunction, Edge, Gradients, Leaf, Node, is_grad_enabled
from odyssey.tensor.tensor import Tensor


def add_(x: Tensor, value: Operand) -> Tensor:
    """x += value, which broadcasts to x."""
    edge, other, other_edge = _opened("add_", x, value)
    ops.add(x.data, other, x.data)
    return _closed(x, _add_backward, edge, other_edge, (x.shape, shape_of(other)))


def subtract_(x: Tensor, value: Operand) -> Tensor:
    """x -= value, which broadcasts to x."""
    edge, other, other_edge = _opened("subtract_", x, value)
    ops.subtract(x.data, other, x.data)
    return _closed(x, _subtract_backward, edge, other_edge, (x.shape, shape_of(other)))


def multiply_(x: Tensor, value: Operand) -> Tensor:
    """x *= value, which broadcasts to x. Where value has a gradient, x's values are kept for it."""
    edge, other, other_edge = _opened("multiply_", x, value)
    before = None if other_edge is None else np.array(x.data)
    ops.multiply(x.data, other, x.data)
    return _closed(x, _multiply_in_place_backward, edge, other_edge, (before, other))


def _multiply_in_place_backward(grad: Array, node: Node) -> Gradients:
    to_x, to_other = node.inputs
    before, other = node.saved
    return (
        None if to_x is None else ops.multiply(grad, other),
        None if to_other is None else unbroadcast(ops.multiply(grad, before), shape_of(other)),
    )


def divide_(x: Tensor, value: Operand) -> Tensor:
    """x /= value, which broadcasts to x."""
    edge, other, other_edge = _opened("divide_", x, value)
    ops.divide(x.data, other, x.data)
    return _closed(x, _divide_in_place_backward, edge, other_edge, (other, None if other_edge is None else x.data))


def _divide_in_place_backward(grad: Array, node: Node) -> Gradients:
    to_x, to_other = node.inputs
    other, y = node.saved
    by_x = ops.divide(grad, other)
    by_other = None
    if to_other is not None:
        by_other = unbroadcast(ops.scale(ops.multiply(by_x, y), -1.0), shape_of(other))
    return None if to_x is None else by_x, by_other


def setitem(x: Tensor, index: Any, value: Operand) -> Tensor:
    """x[index] = value, by NumPy's rules. Of several values for one element the last is set and has the gradient."""
    index = plain_index(index)
    if isinstance(value, Tensor) and value.base is not None and _is_element(x, index, value):
        return x  # the end of x[index] += v, which has written there already
    edge, other, other_edge = _opened("setitem", x, value)
    place = x.data
    if is_basic(index):
        place = element(place, index)
        place[...] = other
    else:
        place[index] = other
    return _closed(x, _setitem_backward, edge, other_edge, (index, shape_of(other)), place)


def _setitem_backward(grad: Array, node: Node) -> Gradients:
    to_x, to_value = node.inputs
    index, shape = node.saved
    by_x = by_value = None
    if to_x is not None:
        by_x = np.array(grad)
        by_x[index] = 0
    if to_value is not None:
        taken = np.asarray(grad[index])
        if not is_basic(index):
            turn = np.arange(taken.size).reshape(taken.shape)
            last = np.zeros(grad.shape, np.intp)
            last[index] = turn
            taken = np.where(last[index] == turn, taken, np.zeros((), grad.dtype))
        by_value = unbroadcast(taken, shape) if taken.ndim >= len(shape) else taken.reshape(shape)
    return by_x, by_value


def copy_(x: Tensor, value: Operand) -> Tensor:
    """Give x the values of `value`, which broadcasts to x."""
    return setitem(x, ..., value)


def fill_(x: Tensor, value: float) -> Tensor:
    """Give every element of x one value."""
    return setitem(x, ..., value)


# ---- what they share -------------------------------------------------------------------------------------------------


def _opened(op: str, x: Tensor, value: Operand) -> tuple[Edge, Any, Edge]:
    """x's edge before the write, and the other operand, apart from x in memory."""
    if not isinstance(x, Tensor):
        raise TypeError(
            f"{op}: expected a Tensor to write to, found {type(x).__name__}; NumPy's own operators write to arrays"
        )
    recording = is_grad_enabled()
    edge = x.node
    if recording and type(edge if x.base is None else x.base.node) is Leaf:
        raise RuntimeError(
            f"{op}: expected a Tensor that may be written to, found "
            + ("one made" if x.base is None else "a view of one made")
            + " with requires_grad=True, whose gradient is that at its present values\n"
            "  remedy: with odyssey.no_grad(): ..., or a new Tensor: x = x + y"
        )
    other, other_edge = operand(value)
    if isinstance(other, np.ndarray) and np.may_share_memory(other, x.data):
        other = np.array(other)
    return edge, other, other_edge if recording else None


def _closed(
    x: Tensor, backward: BackwardFunction, edge: Edge, other_edge: Edge, saved: Any, place: Array | None = None
) -> Tensor:
    """Note the write, to all of x or a place in it, and let x's history tell of it."""
    written(x.data if place is None else place)
    if is_grad_enabled() and (edge is not None or other_edge is not None):
        rebase(x, Node(backward, (edge, other_edge), saved), _written_through)
    return x


def _is_element(x: Tensor, index: Any, value: Tensor) -> bool:
    """Whether `value` is x[index] itself."""
    if value.base is not (x if x.base is None else x.base) or not is_basic(index):
        return False
    return element(x.data, index).__array_interface__ == value.data.__array_interface__


# ---- views -----------------------------------------------------------------------------------------------------------


class _Region(NamedTuple):
    """Where a view lies in its base: both start so many bytes into `nbytes` of memory."""

    nbytes: int
    base: tuple[int, tuple[int, ...], tuple[int, ...]]
    view: tuple[int, tuple[int, ...], tuple[int, ...]]

    def laid(self, dtype: np.dtype[Any]) -> tuple[Array, Array]:
        """Zeros that lie as the base does, and the view of them."""
        memory = np.zeros(self.nbytes, np.uint8)
        (base_start, *base), (view_start, *view) = self.base, self.view
        return (
            np.ndarray(base[0], dtype, memory, base_start, base[1]),
            np.ndarray(view[0], dtype, memory, view_start, view[1]),
        )


def _region(base: Array, view: Array) -> _Region:
    low, high = _bounds(base)
    return _Region(
        high - low,
        (base.ctypes.data - low, base.shape, base.strides),
        (view.ctypes.data - low, view.shape, view.strides),
    )


def _bounds(array: Array) -> tuple[int, int]:
    low = high = array.ctypes.data
    for size, stride in zip(array.shape, array.strides, strict=True):
        if stride < 0:
            low += (size - 1) * stride
        else:
            high += (size - 1) * stride
    return low, high + array.itemsize


def _written_through(base: Tensor, view: Tensor, edge: Node) -> Node:
    """The edge of a base after a write to its view, whose own edge is given."""
    return Node(_written_through_backward, (base.node, edge), _region(base.data, view.data))


def _written_through_backward(grad: Array, node: Node) -> Gradients:
    by_base, by_view = node.saved.laid(grad.dtype)
    by_base[...] = grad
    by_value = np.array(by_view)
    by_view[...] = 0
    return by_base, by_value


def view_edge(base: Tensor, view: Tensor) -> Node:
    """The edge of a view of a Tensor that was written to: from the base's edge."""
    return Node(_view_backward, (base.node,), _region(base.data, view.data))


def _view_backward(grad: Array, node: Node) -> Gradients:
    by_base, by_view = node.saved.laid(grad.dtype)
    repeated = tuple(axis for axis, stride in enumerate(by_view.strides) if stride == 0)
    if repeated:
        first = tuple(slice(0, 1) if axis in repeated else slice(None) for axis in range(grad.ndim))
        by_view[first] = ops.sum(grad, repeated, True)
    else:
        by_view[...] = grad
    return (by_base,)
