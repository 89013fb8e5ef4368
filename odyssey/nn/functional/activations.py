"""Activations, with PyTorch's formulas and defaults."""

from __future__ import annotations

from typing import Literal

from odyssey.nn.functional._arguments import TensorLike, operand
from odyssey.tensor import ops
from odyssey.tensor.tape import Array, Gradients, Node
from odyssey.tensor.tensor import Tensor, record


def relu(x: TensorLike) -> Tensor:
    """max(x, 0). The gradient at 0 is 0."""
    x_data, x_edge = operand(x)
    y = ops.relu(x_data)
    return record(y, _relu_backward, (x_edge,), y)  # y > 0 exactly where x > 0: x need not be kept


def _relu_backward(grad: Array, node: Node) -> Gradients:
    return (ops.relu_backward(grad, node.saved, grad if node.owned else None),)


def sigmoid(x: TensorLike) -> Tensor:
    """1 / (1 + exp(-x))."""
    x_data, x_edge = operand(x)
    y = ops.sigmoid(x_data)
    return record(y, _sigmoid_backward, (x_edge,), y)


def _sigmoid_backward(grad: Array, node: Node) -> Gradients:
    return (ops.sigmoid_backward(grad, node.saved, grad if node.owned else None),)


def tanh(x: TensorLike) -> Tensor:
    """The hyperbolic tangent."""
    x_data, x_edge = operand(x)
    y = ops.tanh(x_data)
    return record(y, _tanh_backward, (x_edge,), y)


def _tanh_backward(grad: Array, node: Node) -> Gradients:
    return (ops.tanh_backward(grad, node.saved, grad if node.owned else None),)


def relu6(x: TensorLike) -> Tensor:
    """min(max(x, 0), 6)."""
    x_data, x_edge = operand(x)
    return record(ops.relu6(x_data), _relu6_backward, (x_edge,), x_data)


def _relu6_backward(grad: Array, node: Node) -> Gradients:
    return (ops.relu6_backward(grad, node.saved, grad if node.owned else None),)


def silu(x: TensorLike) -> Tensor:
    """x * sigmoid(x), also called swish."""
    x_data, x_edge = operand(x)
    return record(ops.silu(x_data), _silu_backward, (x_edge,), x_data)


def _silu_backward(grad: Array, node: Node) -> Gradients:
    return (ops.silu_backward(grad, node.saved, grad if node.owned else None),)


def swiglu(gate: TensorLike, up: TensorLike) -> Tensor:
    """silu(gate) · up, of one shape, in one pass."""
    gate_data, gate_edge = operand(gate)
    up_data, up_edge = operand(up)
    y = ops.swiglu(gate_data, up_data)
    return record(y, _swiglu_backward, (gate_edge, up_edge), (gate_data, up_data))


def _swiglu_backward(grad: Array, node: Node) -> Gradients:
    gradients: Gradients = ops.swiglu_backward(grad, *node.saved)
    return gradients


def gelu(x: TensorLike, approximate: Literal["none", "tanh"] = "none") -> Tensor:
    """x * Phi(x), Phi the normal distribution function; "tanh" takes the usual approximation of it."""
    x_data, x_edge = operand(x)
    return record(ops.gelu(x_data, approximate), _gelu_backward, (x_edge,), (x_data, approximate))


def _gelu_backward(grad: Array, node: Node) -> Gradients:
    x, approximate = node.saved
    return (ops.gelu_backward(grad, x, approximate, grad if node.owned else None),)


def mish(x: TensorLike) -> Tensor:
    """x * tanh(softplus(x))."""
    x_data, x_edge = operand(x)
    return record(ops.mish(x_data), _mish_backward, (x_edge,), x_data)


def _mish_backward(grad: Array, node: Node) -> Gradients:
    return (ops.mish_backward(grad, node.saved, grad if node.owned else None),)


def softplus(x: TensorLike, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + exp(beta * x)) / beta, and x itself where beta * x > threshold."""
    x_data, x_edge = operand(x)
    return record(ops.softplus(x_data, beta, threshold), _softplus_backward, (x_edge,), (x_data, beta, threshold))


def _softplus_backward(grad: Array, node: Node) -> Gradients:
    x, beta, threshold = node.saved
    return (ops.softplus_backward(grad, x, beta, threshold, grad if node.owned else None),)


def selu(x: TensorLike) -> Tensor:
    """The self-normalising exponential linear unit."""
    x_data, x_edge = operand(x)
    return record(ops.selu(x_data), _selu_backward, (x_edge,), x_data)


def _selu_backward(grad: Array, node: Node) -> Gradients:
    return (ops.selu_backward(grad, node.saved, grad if node.owned else None),)


def elu(x: TensorLike, alpha: float = 1.0) -> Tensor:
    """x where x > 0, else alpha * (exp(x) - 1)."""
    x_data, x_edge = operand(x)
    return record(ops.elu(x_data, alpha), _elu_backward, (x_edge,), (x_data, alpha))


def _elu_backward(grad: Array, node: Node) -> Gradients:
    x, alpha = node.saved
    return (ops.elu_backward(grad, x, alpha, grad if node.owned else None),)


def leaky_relu(x: TensorLike, negative_slope: float = 0.01) -> Tensor:
    """x where x > 0, else negative_slope * x."""
    x_data, x_edge = operand(x)
    return record(ops.leaky_relu(x_data, negative_slope), _leaky_relu_backward, (x_edge,), (x_data, negative_slope))


def _leaky_relu_backward(grad: Array, node: Node) -> Gradients:
    x, negative_slope = node.saved
    return (ops.leaky_relu_backward(grad, x, negative_slope, grad if node.owned else None),)


def prelu(x: TensorLike, weight: TensorLike) -> Tensor:
    """x where x > 0, else weight * x; weight has one entry, or one for each index of x's axis 1."""
    x_data, x_edge = operand(x)
    weight_data, weight_edge = operand(weight)
    return record(ops.prelu(x_data, weight_data), _prelu_backward, (x_edge, weight_edge), (x_data, weight_data))


def _prelu_backward(grad: Array, node: Node) -> Gradients:
    x, weight = node.saved
    by_x, by_weight = ops.prelu_backward(grad, x, weight)
    return by_x, by_weight


def hard_sigmoid(x: TensorLike) -> Tensor:
    """min(max(x / 6 + 1/2, 0), 1)."""
    x_data, x_edge = operand(x)
    return record(ops.hard_sigmoid(x_data), _hard_sigmoid_backward, (x_edge,), x_data)


def _hard_sigmoid_backward(grad: Array, node: Node) -> Gradients:
    return (ops.hard_sigmoid_backward(grad, node.saved, grad if node.owned else None),)


def hard_swish(x: TensorLike) -> Tensor:
    """x * hard_sigmoid(x)."""
    x_data, x_edge = operand(x)
    return record(ops.hard_swish(x_data), _hard_swish_backward, (x_edge,), x_data)


def _hard_swish_backward(grad: Array, node: Node) -> Gradients:
    return (ops.hard_swish_backward(grad, node.saved, grad if node.owned else None),)


def hard_tanh(x: TensorLike) -> Tensor:
    """x limited to [-1, 1]."""
    x_data, x_edge = operand(x)
    return record(ops.hard_tanh(x_data), _hard_tanh_backward, (x_edge,), x_data)


def _hard_tanh_backward(grad: Array, node: Node) -> Gradients:
    return (ops.hard_tanh_backward(grad, node.saved, grad if node.owned else None),)
