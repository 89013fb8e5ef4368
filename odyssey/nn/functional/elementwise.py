"""Elementwise arithmetic, with broadcasting, and elementary functions.

In these operations a Python number may stand for one operand; it takes the dtype of the other.
"""

from __future__ import annotations

import math

import numpy as np

from odyssey.nn.functional._arguments import Operand, TensorLike, kept_for, operand, shape_of, unbroadcast
from odyssey.tensor import ops
from odyssey.tensor.tape import Array, Gradients, Node
from odyssey.tensor.tensor import Tensor, record


def add(a: Operand, b: Operand) -> Tensor:
    """a + b."""
    a_data, a_edge = operand(a)
    b_data, b_edge = operand(b)
    return record(ops.add(a_data, b_data), _add_backward, (a_edge, b_edge), (shape_of(a_data), shape_of(b_data)))


def _add_backward(grad: Array, node: Node) -> Gradients:
    to_a, to_b = node.inputs
    a_shape, b_shape = node.saved
    return (
        None if to_a is None else unbroadcast(grad, a_shape),
        None if to_b is None else unbroadcast(grad, b_shape),
    )


def subtract(a: Operand, b: Operand) -> Tensor:
    """a - b."""
    a_data, a_edge = operand(a)
    b_data, b_edge = operand(b)
    shapes = shape_of(a_data), shape_of(b_data)
    return record(ops.subtract(a_data, b_data), _subtract_backward, (a_edge, b_edge), shapes)


def _subtract_backward(grad: Array, node: Node) -> Gradients:
    to_a, to_b = node.inputs
    a_shape, b_shape = node.saved
    return (
        None if to_a is None else unbroadcast(grad, a_shape),
        None if to_b is None else ops.scale(unbroadcast(grad, b_shape), -1.0),
    )


def multiply(a: Operand, b: Operand) -> Tensor:
    """a * b."""
    a_data, a_edge = operand(a)
    b_data, b_edge = operand(b)
    saved = kept_for(b_edge, a_data), kept_for(a_edge, b_data)
    return record(ops.multiply(a_data, b_data), _multiply_backward, (a_edge, b_edge), saved)


def _multiply_backward(grad: Array, node: Node) -> Gradients:
    to_a, to_b = node.inputs
    a, b = node.saved
    return (
        None if to_a is None else unbroadcast(ops.multiply(grad, b), shape_of(a)),
        None if to_b is None else unbroadcast(ops.multiply(grad, a), shape_of(b)),
    )


def divide(a: Operand, b: Operand) -> Tensor:
    """a / b."""
    a_data, a_edge = operand(a)
    b_data, b_edge = operand(b)
    y = ops.divide(a_data, b_data)
    return record(y, _divide_backward, (a_edge, b_edge), (shape_of(a_data), b_data, kept_for(b_edge, y)))


def _divide_backward(grad: Array, node: Node) -> Gradients:
    to_a, to_b = node.inputs
    a_shape, b, y = node.saved
    by_a = ops.divide(grad, b)
    return (
        None if to_a is None else unbroadcast(by_a, a_shape),
        None if to_b is None else unbroadcast(ops.scale(ops.multiply(by_a, y), -1.0), shape_of(b)),
    )


def power(a: Operand, b: Operand) -> Tensor:
    """a ** b. Where a is 0 the gradient with respect to b is 0, as in PyTorch."""
    a_data, a_edge = operand(a)
    b_data, b_edge = operand(b)
    y = ops.power(a_data, b_data)
    return record(y, _power_backward, (a_edge, b_edge), (a_data, b_data, y))


def _power_backward(grad: Array, node: Node) -> Gradients:
    to_a, to_b = node.inputs
    a, b, y = node.saved
    by_a = by_b = None
    if to_a is not None:
        if isinstance(b, np.ndarray):
            below = np.where(b == 0, np.ones((), b.dtype), ops.subtract(b, 1.0))  # not 0 * (0 ** -1) at a = b = 0
            slope = ops.multiply(ops.power(a, below), b)
            by_a = unbroadcast(ops.multiply(grad, slope), shape_of(a))
        elif b == 2:
            by_a = ops.multiply(grad, ops.scale(a, 2.0))
        elif b == 0:
            by_a = np.zeros_like(a)
        else:
            by_a = ops.multiply(grad, ops.scale(ops.power(a, b - 1), b))
    if to_b is not None:
        if isinstance(a, np.ndarray):
            positive = np.where(a == 0, np.ones((), y.dtype), a)  # log(1) = 0
            by_b = unbroadcast(ops.multiply(grad, ops.multiply(y, ops.log(positive))), shape_of(b))
        else:
            by_b = unbroadcast(ops.scale(ops.multiply(grad, y), math.log(a) if a > 0 else 0.0), shape_of(b))
    return by_a, by_b


def maximum(a: Operand, b: Operand) -> Tensor:
    """The larger of a and b; NaN where either is. Equal elements share the gradient evenly, as in PyTorch."""
    a_data, a_edge = operand(a)
    b_data, b_edge = operand(b)
    return record(ops.maximum(a_data, b_data), _maximum_backward, (a_edge, b_edge), (a_data, b_data))


def _maximum_backward(grad: Array, node: Node) -> Gradients:
    a, b = node.saved
    return _choice_backward(grad, node, np.greater(a, b), np.equal(a, b))


def minimum(a: Operand, b: Operand) -> Tensor:
    """The smaller of a and b; NaN where either is. Equal elements share the gradient evenly, as in PyTorch."""
    a_data, a_edge = operand(a)
    b_data, b_edge = operand(b)
    return record(ops.minimum(a_data, b_data), _minimum_backward, (a_edge, b_edge), (a_data, b_data))


def _minimum_backward(grad: Array, node: Node) -> Gradients:
    a, b = node.saved
    return _choice_backward(grad, node, np.less(a, b), np.equal(a, b))


def _choice_backward(grad: Array, node: Node, took_a: Array, tied: Array) -> Gradients:
    to_a, to_b = node.inputs
    a, b = node.saved
    share = np.where(tied, 0.5, took_a).astype(grad.dtype)  # the part of the gradient that is a's
    return (
        None if to_a is None else unbroadcast(ops.multiply(grad, share), shape_of(a)),
        None if to_b is None else unbroadcast(ops.multiply(grad, ops.subtract(1.0, share)), shape_of(b)),
    )


def negative(x: TensorLike) -> Tensor:
    """-x."""
    return scale(x, -1.0)


def scale(x: TensorLike, alpha: float) -> Tensor:
    """alpha * x, alpha a number."""
    x_data, x_edge = operand(x)
    return record(ops.scale(x_data, alpha), _scale_backward, (x_edge,), alpha)


def _scale_backward(grad: Array, node: Node) -> Gradients:
    return (ops.scale(grad, node.saved, grad if node.owned else None),)


def axpy(alpha: float, x: TensorLike, y: TensorLike) -> Tensor:
    """alpha * x + y in one rounding, alpha a number."""
    x_data, x_edge = operand(x)
    y_data, y_edge = operand(y)
    saved = alpha, shape_of(x_data), shape_of(y_data)
    return record(ops.axpy(alpha, x_data, y_data), _axpy_backward, (x_edge, y_edge), saved)


def _axpy_backward(grad: Array, node: Node) -> Gradients:
    to_x, to_y = node.inputs
    alpha, x_shape, y_shape = node.saved
    return (
        None if to_x is None else ops.scale(unbroadcast(grad, x_shape), alpha),
        None if to_y is None else unbroadcast(grad, y_shape),
    )


def fma(a: Operand, b: Operand, c: Operand) -> Tensor:
    """a * b + c in one rounding."""
    a_data, a_edge = operand(a)
    b_data, b_edge = operand(b)
    c_data, c_edge = operand(c)
    saved = kept_for(b_edge, a_data), kept_for(a_edge, b_data), shape_of(c_data)
    return record(ops.fma(a_data, b_data, c_data), _fma_backward, (a_edge, b_edge, c_edge), saved)


def _fma_backward(grad: Array, node: Node) -> Gradients:
    to_a, to_b, to_c = node.inputs
    a, b, c_shape = node.saved
    return (
        None if to_a is None else unbroadcast(ops.multiply(grad, b), shape_of(a)),
        None if to_b is None else unbroadcast(ops.multiply(grad, a), shape_of(b)),
        None if to_c is None else unbroadcast(grad, c_shape),
    )


def exp(x: TensorLike) -> Tensor:
    """e ** x."""
    x_data, x_edge = operand(x)
    y = ops.exp(x_data)
    return record(y, _exp_backward, (x_edge,), y)


def _exp_backward(grad: Array, node: Node) -> Gradients:
    return (ops.multiply(grad, node.saved),)


def log(x: TensorLike) -> Tensor:
    """The natural logarithm."""
    x_data, x_edge = operand(x)
    return record(ops.log(x_data), _log_backward, (x_edge,), x_data)


def _log_backward(grad: Array, node: Node) -> Gradients:
    return (ops.divide(grad, node.saved),)


def log2(x: TensorLike) -> Tensor:
    """The logarithm to base 2."""
    x_data, x_edge = operand(x)
    return record(ops.log2(x_data), _log2_backward, (x_edge,), x_data)


def _log2_backward(grad: Array, node: Node) -> Gradients:
    return (ops.divide(grad, ops.scale(node.saved, math.log(2.0))),)


def sqrt(x: TensorLike) -> Tensor:
    """The square root."""
    x_data, x_edge = operand(x)
    y = ops.sqrt(x_data)
    return record(y, _sqrt_backward, (x_edge,), y)


def _sqrt_backward(grad: Array, node: Node) -> Gradients:
    return (ops.divide(grad, ops.scale(node.saved, 2.0)),)


def reciprocal(x: TensorLike) -> Tensor:
    """1 / x."""
    x_data, x_edge = operand(x)
    y = ops.reciprocal(x_data)
    return record(y, _reciprocal_backward, (x_edge,), y)


def _reciprocal_backward(grad: Array, node: Node) -> Gradients:
    y = node.saved
    return (ops.multiply(grad, ops.scale(ops.multiply(y, y), -1.0)),)


def erf(x: TensorLike) -> Tensor:
    """The error function."""
    x_data, x_edge = operand(x)
    return record(ops.erf(x_data), _erf_backward, (x_edge,), x_data)


def _erf_backward(grad: Array, node: Node) -> Gradients:
    return (ops.erf_backward(grad, node.saved),)


def sin(x: TensorLike) -> Tensor:
    """The sine of x in radians."""
    x_data, x_edge = operand(x)
    return record(ops.sin(x_data), _sin_backward, (x_edge,), x_data)


def _sin_backward(grad: Array, node: Node) -> Gradients:
    return (ops.multiply(grad, ops.cos(node.saved)),)


def cos(x: TensorLike) -> Tensor:
    """The cosine of x in radians."""
    x_data, x_edge = operand(x)
    return record(ops.cos(x_data), _cos_backward, (x_edge,), x_data)


def _cos_backward(grad: Array, node: Node) -> Gradients:
    return (ops.scale(ops.multiply(grad, ops.sin(node.saved)), -1.0),)


def clip(x: TensorLike, low: float, high: float) -> Tensor:
    """x limited to [low, high]; the gradient is 0 where x was outside."""
    x_data, x_edge = operand(x)
    return record(ops.clip(x_data, low, high), _clip_backward, (x_edge,), (x_data, low, high))


def _clip_backward(grad: Array, node: Node) -> Gradients:
    x, low, high = node.saved
    return (ops.clip_backward(grad, x, low, high),)
