"""Matrix products: matmul, dot, and the linear layer with its fused bias and activation."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np

from odyssey.nn.functional._arguments import Edge, TensorLike, operand, unbroadcast
from odyssey.nn.stored import StoredWeight, widened
from odyssey.tensor import ops
from odyssey.tensor.tape import Array, Gradients, Node
from odyssey.tensor.tensor import Tensor, record

Activation: TypeAlias = Literal["relu", "tanh", "sigmoid", "gelu", "silu"]


def matmul(a: TensorLike, b: TensorLike) -> Tensor:
    """a @ b with NumPy's rules: the last two axes are matrices, the others broadcast, 1-D operands are vectors."""
    a_data, a_edge = operand(a)
    b_data, b_edge = operand(b)
    return record(ops.matmul(a_data, b_data), _matmul_backward, (a_edge, b_edge), (a_data, b_data))


def _matmul_backward(grad: Array, node: Node) -> Gradients:
    to_a, to_b = node.inputs
    a, b = node.saved
    if a.ndim == 2 and b.ndim == 2:
        return (
            None if to_a is None else ops.matmul(grad, b.T, to_a.out()),
            None if to_b is None else ops.matmul(a.T, grad, to_b.out()),
        )
    # Vectors as matrices with one row (a) or one column (b), then as in the batched case.
    rows = a[None, :] if a.ndim == 1 else a
    columns = b[:, None] if b.ndim == 1 else b
    if b.ndim == 1:
        grad = grad[..., None]
    if a.ndim == 1:
        grad = grad[..., None, :]
    by_a = by_b = None
    if to_a is not None:
        by_a = unbroadcast(ops.matmul(grad, columns.swapaxes(-1, -2)), rows.shape).reshape(a.shape)
    if to_b is not None:
        by_b = unbroadcast(ops.matmul(rows.swapaxes(-1, -2), grad), columns.shape).reshape(b.shape)
    return by_a, by_b


def dot(a: TensorLike, b: TensorLike) -> Tensor:
    """The inner product of two vectors."""
    a_data, a_edge = operand(a)
    b_data, b_edge = operand(b)
    return record(ops.dot(a_data, b_data), _dot_backward, (a_edge, b_edge), (a_data, b_data))


def _dot_backward(grad: Array, node: Node) -> Gradients:
    to_a, to_b = node.inputs
    a, b = node.saved
    return (
        None if to_a is None else ops.multiply(b, grad),
        None if to_b is None else ops.multiply(a, grad),
    )


def linear(
    x: TensorLike,
    weight: TensorLike | StoredWeight,
    bias: TensorLike | None = None,
    activation: Activation | None = None,
) -> Tensor:
    """activation(x @ weight.T + bias), in one pass over the output.

    Args:
        x: (..., in_features).
        weight: (out_features, in_features), as in PyTorch; a StoredWeight gets no gradient.
        bias: (out_features,) or None.
        activation: None, "relu", "tanh", "sigmoid", "gelu" or "silu".

    Returns:
        (..., out_features).
    """
    x_data, x_edge = operand(x)
    bias_data, bias_edge = (None, None) if bias is None else operand(bias)
    if isinstance(weight, StoredWeight):
        return _stored_linear(x_data, x_edge, weight, bias_data, bias_edge, activation)
    weight_data, weight_edge = operand(weight)
    if activation is None or activation in DERIVED_FROM_OUTPUT or not _wants_gradient(x_edge, weight_edge, bias_edge):
        kept = y = ops.linear(x_data, weight_data, bias_data, activation)
    else:  # the backward needs the input of the activation, so the two are not fused
        kept = ops.linear(x_data, weight_data, bias_data)
        y = getattr(ops, activation)(kept)
    saved = x_data, weight_data, kept, activation
    return record(y, _linear_backward, (x_edge, weight_edge, bias_edge), saved)


def _linear_backward(grad: Array, node: Node) -> Gradients:
    to_x, to_weight, to_bias = node.inputs
    x, weight, kept, activation = node.saved
    if activation is not None:
        grad = activation_backward(activation, grad, kept, node.owned)
    flat = grad if grad.ndim == 2 else grad.reshape(-1, grad.shape[-1])
    by_x = by_weight = by_bias = None
    if to_weight is not None:
        rows = x if x.ndim == 2 else x.reshape(-1, x.shape[-1])
        by_weight = ops.matmul(flat.T, rows, to_weight.out())
    if to_bias is not None:
        by_bias = ops.sum(flat, 0, False, to_bias.out())
    if to_x is not None:
        by_x = ops.matmul(flat, weight, to_x.out() if x.ndim == 2 else None)
        if x.ndim != 2:
            by_x = by_x.reshape(x.shape)
    return by_x, by_weight, by_bias


def _stored_linear(
    x: Array, x_edge: Edge, weight: StoredWeight, bias: Array | None, bias_edge: Edge, activation: Activation | None
) -> Tensor:
    matrix = weight.matrix()
    if activation is None or activation in DERIVED_FROM_OUTPUT or not _wants_gradient(x_edge, bias_edge):
        kept = y = ops.linear(x, matrix, bias, activation, None, weight.precision)
    else:
        kept = ops.linear(x, matrix, bias, None, None, weight.precision)
        y = getattr(ops, activation)(kept)
    return record(y, _stored_linear_backward, (x_edge, bias_edge), (x.shape, matrix, kept, activation))


def _stored_linear_backward(grad: Array, node: Node) -> Gradients:
    to_x, to_bias = node.inputs
    shape, matrix, kept, activation = node.saved
    if activation is not None:
        grad = activation_backward(activation, grad, kept, node.owned)
    flat = grad.reshape(-1, grad.shape[-1])
    by_x = by_bias = None
    if to_bias is not None:
        by_bias = ops.sum(flat, 0, False, to_bias.out())
    if to_x is not None:
        by_x = ops.matmul(flat, widened(matrix)).reshape(shape)
    return by_x, by_bias


# Activations whose derivative can be read from their output, so that a fused layer need not keep its input.
DERIVED_FROM_OUTPUT = frozenset({"relu", "tanh", "sigmoid"})


def _wants_gradient(*edges: Edge) -> bool:
    return any(edge is not None for edge in edges)


def activation_backward(activation: str, grad: Array, kept: Array, owned: bool) -> Array:
    """The gradient before a fused activation; `kept` is its output, or its input where the output does not tell."""
    out = grad if owned else None
    if activation == "relu":
        by_input = ops.relu_backward(grad, kept, out)
    elif activation == "gelu":
        by_input = ops.gelu_backward(grad, kept, "none", out)
    else:
        by_input = getattr(ops, activation + "_backward")(grad, kept, out)
    return np.asarray(by_input)
