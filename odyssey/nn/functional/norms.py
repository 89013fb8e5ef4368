"""Norms over the last axis, and over channels of images."""

from __future__ import annotations

from typing import Any

from odyssey.nn.functional._arguments import Edge, TensorLike, array, operand
from odyssey.tensor import ops
from odyssey.tensor.tape import Array, Gradients, Node
from odyssey.tensor.tensor import Tensor, record


def rms_norm(x: TensorLike, weight: TensorLike | None = None, eps: float = 1e-6) -> Tensor:
    """x / √(mean(x²) + eps) · weight along the last axis."""
    x_data, x_edge = operand(x)
    weight_data, weight_edge = _optional(weight)
    y = ops.rms_norm(x_data, weight_data, eps)
    return record(y, _rms_norm_backward, (x_edge, weight_edge), (x_data, weight_data, eps))


def _rms_norm_backward(grad: Array, node: Node) -> Gradients:
    gradients: Gradients = ops.rms_norm_backward(grad, *node.saved)
    return gradients


def layer_norm(
    x: TensorLike, weight: TensorLike | None = None, bias: TensorLike | None = None, eps: float = 1e-5
) -> Tensor:
    """(x - mean(x)) / √(var(x) + eps) · weight + bias along the last axis."""
    x_data, x_edge = operand(x)
    weight_data, weight_edge = _optional(weight)
    bias_data, bias_edge = _optional(bias)
    y = ops.layer_norm(x_data, weight_data, bias_data, eps)
    return record(y, _layer_norm_backward, (x_edge, weight_edge, bias_edge), (x_data, weight_data, eps))


def _layer_norm_backward(grad: Array, node: Node) -> Gradients:
    gradients: Gradients = ops.layer_norm_backward(grad, *node.saved)
    return gradients


def group_norm(
    x: TensorLike,
    num_groups: int,
    weight: TensorLike | None = None,
    bias: TensorLike | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """(x - mean) / √(var + eps) · weight + bias over each group of channels of each image; x is (N, C, ...)."""
    x_data, x_edge = operand(x)
    weight_data, weight_edge = _optional(weight)
    bias_data, bias_edge = _optional(bias)
    y = ops.group_norm(x_data, num_groups, weight_data, bias_data, eps)
    saved = x_data, num_groups, weight_data, eps
    return record(y, _group_norm_backward, (x_edge, weight_edge, bias_edge), saved)


def _group_norm_backward(grad: Array, node: Node) -> Gradients:
    gradients: Gradients = ops.group_norm_backward(grad, *node.saved)
    return gradients


def instance_norm(
    x: TensorLike, weight: TensorLike | None = None, bias: TensorLike | None = None, eps: float = 1e-5
) -> Tensor:
    """(x - mean) / √(var + eps) · weight + bias over each channel of each image; x is (N, C, ...)."""
    x_data, x_edge = operand(x)
    weight_data, weight_edge = _optional(weight)
    bias_data, bias_edge = _optional(bias)
    y = ops.instance_norm(x_data, weight_data, bias_data, eps)
    return record(y, _instance_norm_backward, (x_edge, weight_edge, bias_edge), (x_data, weight_data, eps))


def _instance_norm_backward(grad: Array, node: Node) -> Gradients:
    gradients: Gradients = ops.instance_norm_backward(grad, *node.saved)
    return gradients


def batch_norm(
    x: TensorLike,
    running_mean: TensorLike | None,
    running_var: TensorLike | None,
    weight: TensorLike | None = None,
    bias: TensorLike | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """(x - mean) / √(var + eps) · weight + bias over each channel of the batch; x is (N, C, ...).

    In training the statistics are the batch's, and the running ones learn from them, in place; else they are the
    running ones. No gradient goes to the running statistics.
    """
    x_data, x_edge = operand(x)
    weight_data, weight_edge = _optional(weight)
    bias_data, bias_edge = _optional(bias)
    mean = None if running_mean is None else array(running_mean)
    var = None if running_var is None else array(running_var)
    y = ops.batch_norm(x_data, mean, var, weight_data, bias_data, training, momentum, eps)
    saved = x_data, mean, var, weight_data, training, eps
    return record(y, _batch_norm_backward, (x_edge, weight_edge, bias_edge), saved)


def _batch_norm_backward(grad: Array, node: Node) -> Gradients:
    gradients: Gradients = ops.batch_norm_backward(grad, *node.saved)
    return gradients


def _optional(value: TensorLike | None) -> tuple[Any, Edge]:
    return (None, None) if value is None else operand(value)
