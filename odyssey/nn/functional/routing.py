"""A mixture of experts: choosing them, and the sum of what they made."""

from __future__ import annotations

from odyssey.nn.functional._arguments import TensorLike, array, operand
from odyssey.tensor import ops
from odyssey.tensor.tape import Array, Gradients, Node
from odyssey.tensor.tensor import Tensor, record


def moe_route(logits: TensorLike, k: int, renormalize: bool = True) -> tuple[Tensor, Array]:
    """Each token's k likeliest experts, likeliest first, and their weights: (T, E) -> (T, k), and int64 (T, k).

    The weights, softmax(logits) there, divided by their sum if `renormalize`, have a gradient; the choice has none.
    """
    x, x_edge = operand(logits)
    weights, experts = ops.moe_route(x, k, renormalize)
    return record(weights, _moe_route_backward, (x_edge,), (x, experts, renormalize)), experts


def _moe_route_backward(grad: Array, node: Node) -> Gradients:
    return (ops.moe_route_backward(grad, *node.saved),)


def moe_combine(x: TensorLike, weights: TensorLike, rows: TensorLike) -> Tensor:
    """Σ weights[t, j] x[rows[t, j]] over j: x (R, H), weights (T, k), rows (T, k) of integers -> (T, H)."""
    x_data, x_edge = operand(x)
    weights_data, weights_edge = operand(weights)
    index = array(rows)
    y = ops.moe_combine(x_data, weights_data, index)
    return record(y, _moe_combine_backward, (x_edge, weights_edge), (x_data, weights_data, index))


def _moe_combine_backward(grad: Array, node: Node) -> Gradients:
    gradients: Gradients = ops.moe_combine_backward(grad, *node.saved)
    return gradients
