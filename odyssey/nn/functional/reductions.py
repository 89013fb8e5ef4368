"""Reductions over one, several or all axes, with NumPy's `axis` and `keepdims`."""

from __future__ import annotations

import numpy as np

from odyssey.nn.functional._arguments import Axis, TensorLike, count_reduced, operand, with_reduced_axes
from odyssey.tensor import ops
from odyssey.tensor.tape import Array, Gradients, Node
from odyssey.tensor.tensor import Tensor, record


def sum(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The sum of the elements."""
    x_data, x_edge = operand(x)
    return record(ops.sum(x_data, axis, keepdims), _sum_backward, (x_edge,), (x_data.shape, axis))


def _sum_backward(grad: Array, node: Node) -> Gradients:
    shape, axis = node.saved
    return (np.broadcast_to(with_reduced_axes(grad, shape, axis), shape),)


def mean(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The mean of the elements."""
    x_data, x_edge = operand(x)
    return record(ops.mean(x_data, axis, keepdims), _mean_backward, (x_edge,), (x_data.shape, axis))


def _mean_backward(grad: Array, node: Node) -> Gradients:
    shape, axis = node.saved
    count = count_reduced(shape, axis)
    share = with_reduced_axes(ops.divide(grad, float(count)), shape, axis) if count else grad
    return (np.broadcast_to(share, shape),)


def var(x: TensorLike, axis: Axis = None, ddof: int = 0, keepdims: bool = False) -> Tensor:
    """The variance: the mean squared distance from the mean, over n - ddof elements."""
    x_data, x_edge = operand(x)
    return record(ops.var(x_data, axis, ddof, keepdims), _var_backward, (x_edge,), (x_data, axis, ddof))


def _var_backward(grad: Array, node: Node) -> Gradients:
    x, axis, ddof = node.saved
    return (ops.var_backward(grad, x, axis, ddof),)


def max(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The largest element. Among equal ones the first takes the gradient."""
    x_data, x_edge = operand(x)
    return record(ops.max(x_data, axis, keepdims), _max_backward, (x_edge,), (x_data, axis))


def _max_backward(grad: Array, node: Node) -> Gradients:
    x, axis = node.saved
    return (ops.max_backward(grad, x, axis),)


def min(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The smallest element. Among equal ones the first takes the gradient."""
    x_data, x_edge = operand(x)
    return record(ops.min(x_data, axis, keepdims), _min_backward, (x_edge,), (x_data, axis))


def _min_backward(grad: Array, node: Node) -> Gradients:
    x, axis = node.saved
    return (ops.min_backward(grad, x, axis),)


def norm(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The Euclidean norm, sqrt(sum(x * x))."""
    x_data, x_edge = operand(x)
    y = np.asarray(ops.norm(x_data, axis, keepdims))
    return record(y, _norm_backward, (x_edge,), (x_data, y, axis))


def _norm_backward(grad: Array, node: Node) -> Gradients:
    x, y, axis = node.saved
    return (ops.norm_backward(grad, x, y, axis),)


def logsumexp(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """log(sum(exp(x))), without overflow."""
    x_data, x_edge = operand(x)
    y = np.asarray(ops.logsumexp(x_data, axis, keepdims))
    return record(y, _logsumexp_backward, (x_edge,), (x_data, y, axis))


def _logsumexp_backward(grad: Array, node: Node) -> Gradients:
    x, y, axis = node.saved
    weights = ops.exp(ops.subtract(x, with_reduced_axes(y, x.shape, axis)))
    return (ops.multiply(weights, with_reduced_axes(grad, x.shape, axis), weights),)
