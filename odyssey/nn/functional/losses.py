"""Losses."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np

from odyssey.errors import ShapeError
from odyssey.nn.functional._arguments import TensorLike, array, operand
from odyssey.tensor import ops
from odyssey.tensor.tape import Array, Gradients, Node
from odyssey.tensor.tensor import Tensor, record

Reduction: TypeAlias = Literal["none", "mean", "sum"]


def cross_entropy(
    logits: TensorLike,
    labels: TensorLike,
    reduction: Reduction = "mean",
    *,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    weight: TensorLike | None = None,
) -> Tensor:
    """The negative log-likelihood of the labels under softmax(logits).

    Args:
        logits: (N, C) float32 or float64, unnormalised.
        labels: (N,) int64 or int32, each in [0, C) or `ignore_index`.
        reduction: "mean" or "sum" over N, or "none" for one loss each.
        ignore_index: rows with this label count for nothing.
        label_smoothing: in [0, 1], how much of a label is spread over all classes.
        weight: (C,), what each class's part of a loss is multiplied by; data, it has no gradient. A mean divides by the
            sum of the weights of the labels that take part.

    Returns:
        A scalar, or (N,) for "none". The probabilities are not stored; the backward recomputes them.

    Example:
        >>> import odyssey as od
        >>> import numpy as np
        >>> loss = od.nn.functional.cross_entropy(od.Tensor([[0.0, 0.0]]), np.array([1]))
        >>> round(loss.item(), 4)
        0.6931
    """
    x, x_edge = operand(logits)
    target = array(labels)
    options = {
        "ignore_index": ignore_index,
        "label_smoothing": label_smoothing,
        "weight": None if weight is None else array(weight),
    }
    loss = ops.cross_entropy(x, target, reduction, **options)
    return record(loss, _cross_entropy_backward, (x_edge,), (x, target, reduction, options))


def _cross_entropy_backward(grad: Array, node: Node) -> Gradients:
    logits, labels, reduction, options = node.saved
    return (ops.cross_entropy_backward(grad, logits, labels, reduction, **options),)


def mse_loss(x: TensorLike, target: TensorLike, reduction: Reduction = "mean") -> Tensor:
    """The squared difference (x - target)**2, its mean, its sum, or each ("none").

    Both have the same shape: nothing is broadcast, because a broadcast loss is nearly always a mistake.
    """
    x_data, x_edge = operand(x)
    target_data, target_edge = operand(target)
    if np.shape(x_data) != np.shape(target_data):
        raise ShapeError(
            f"mse_loss: expected target of x's shape {np.shape(x_data)}, found {np.shape(target_data)}; "
            "reshape one of them"
        )
    difference = ops.subtract(x_data, target_data)
    squared = ops.multiply(difference, difference)
    if reduction == "mean":
        loss = ops.mean(squared)
    elif reduction == "sum":
        loss = ops.sum(squared)
    elif reduction == "none":
        loss = squared
    else:
        raise ValueError(f"mse_loss: expected reduction 'none', 'mean' or 'sum', found {reduction!r}")
    return record(loss, _mse_loss_backward, (x_edge, target_edge), (difference, reduction))


def _mse_loss_backward(grad: Array, node: Node) -> Gradients:
    to_x, to_target = node.inputs
    difference, reduction = node.saved
    factor = 2.0 / difference.size if reduction == "mean" else 2.0
    by_x = ops.multiply(ops.scale(difference, factor), grad)
    return (
        None if to_x is None else by_x,
        None if to_target is None else ops.scale(by_x, -1.0),
    )
