"""Softmax and its logarithm."""

from __future__ import annotations

from odyssey.nn.functional._arguments import TensorLike, operand
from odyssey.tensor import ops
from odyssey.tensor.tape import Array, Gradients, Node
from odyssey.tensor.tensor import Tensor, record


def softmax(x: TensorLike, axis: int = -1) -> Tensor:
    """exp(x), divided by its sum along `axis`."""
    x_data, x_edge = operand(x)
    y = ops.softmax(x_data, axis)
    return record(y, _softmax_backward, (x_edge,), (y, axis))


def _softmax_backward(grad: Array, node: Node) -> Gradients:
    y, axis = node.saved
    return (ops.softmax_backward(grad, y, axis),)


def log_softmax(x: TensorLike, axis: int = -1) -> Tensor:
    """The logarithm of softmax, without its underflow."""
    x_data, x_edge = operand(x)
    y = ops.log_softmax(x_data, axis)
    return record(y, _log_softmax_backward, (x_edge,), (y, axis))


def _log_softmax_backward(grad: Array, node: Node) -> Gradients:
    y, axis = node.saved
    return (ops.log_softmax_backward(grad, y, axis),)
