"""Distances between points, with gradients."""

from __future__ import annotations

from typing import Any

from odyssey.nn.functional._arguments import Edge, TensorLike, operand
from odyssey.tensor import ops
from odyssey.tensor.tape import Array, Gradients, Node
from odyssey.tensor.tensor import Tensor, record


def euclidean_distance(x: TensorLike, y: TensorLike) -> Tensor:
    """|x - y| along the last axis; x and y of one shape, or one of them a point. The gradient is 0 where x is y."""
    x_data, x_edge = operand(x)
    y_data, y_edge = operand(y)
    distance = ops.euclidean_distance(x_data, y_data)
    return record(distance, _euclidean_distance_backward, (x_edge, y_edge), (x_data, y_data))


def _euclidean_distance_backward(grad: Array, node: Node) -> Gradients:
    gradients: Gradients = ops.euclidean_distance_backward(grad, *node.saved)
    return gradients


def poincare_distance(x: TensorLike, y: TensorLike, c: float = 1.0, outside: str = "raise") -> Tensor:
    """The distance in the Poincaré ball of curvature -c. Gradients are Euclidean; `odyssey.optim.RiemannianSGD` and
    `RiemannianAdam` make Riemannian ones of them."""
    x_data, x_edge = operand(x)
    y_data, y_edge = operand(y)
    distance = ops.poincare_distance(x_data, y_data, c, outside)
    return record(distance, _poincare_distance_backward, (x_edge, y_edge), (x_data, y_data, c))


def _poincare_distance_backward(grad: Array, node: Node) -> Gradients:
    gradients: Gradients = ops.poincare_distance_backward(grad, *node.saved, "inf")  # the forward has looked
    return gradients


def spherical_distance(x: TensorLike, y: TensorLike, zero: str = "raise") -> Tensor:
    """The angle between x and y along the last axis. The gradient is 0 where it is 0 or π."""
    x_data, x_edge = operand(x)
    y_data, y_edge = operand(y)
    angle = ops.spherical_distance(x_data, y_data, zero)
    return record(angle, _spherical_distance_backward, (x_edge, y_edge), (x_data, y_data))


def _spherical_distance_backward(grad: Array, node: Node) -> Gradients:
    gradients: Gradients = ops.spherical_distance_backward(grad, *node.saved, "allow")
    return gradients


def pairwise_distance(
    x: TensorLike,
    y: TensorLike | None = None,
    metric: str = "euclidean",
    c: float = 1.0,
    outside: str = "raise",
    zero: str = "raise",
) -> Tensor:
    """The distance of every row of x, (m, n), to every row of y, (k, n), by default x: (m, k)."""
    x_data, x_edge = operand(x)
    y_data, y_edge = _optional(y)
    distances = ops.pairwise_distance(x_data, y_data, metric, c, outside, zero)
    return record(distances, _pairwise_distance_backward, (x_edge, y_edge), (x_data, y_data, metric, c))


def _pairwise_distance_backward(grad: Array, node: Node) -> Gradients:
    gradients: Gradients = ops.pairwise_distance_backward(grad, *node.saved, "inf", "allow")
    return gradients


def _optional(value: TensorLike | None) -> tuple[Any, Edge]:
    return (None, None) if value is None else operand(value)
