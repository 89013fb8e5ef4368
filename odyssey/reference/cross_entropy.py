"""Cross entropy of logits against class labels, and its gradient.

`logits` is (N, C), float32 or float64 (else `DTypeError`); `labels` is (N,), int64 or int32 (else `ShapeError`,
`DTypeError`), each in [0, C) or `ignore_index` (else `IndexError`). `reduction` is "none", "mean" or "sum" (else
`ValueError`). `out`, of the result's shape and type, receives the result and is returned.

Rows whose label is `ignore_index` count for nothing. `label_smoothing` in [0, 1] (else `ValueError`) spreads so much of
a label over all classes; `weight`, (C,) of logits' type, multiplies each class's part of a loss. "mean" divides by the
sum of the weights of the labels that take part. `torch.nn.functional.cross_entropy`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from odyssey.errors import DTypeError, ShapeError, describe, explain
from odyssey.reference._arrays import deliver, real, reals, wide
from odyssey.typing import Array, ArrayLike


def cross_entropy(
    logits: ArrayLike,
    labels: ArrayLike,
    reduction: str = "mean",
    out: Array | None = None,
    *,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    weight: ArrayLike | None = None,
) -> Array:
    """-log softmax(logits)[label] of each row: (N,) for "none", else their mean (NaN where none takes part) or sum.

    >>> cross_entropy(np.float32([[0, 0], [0, 200]]), np.array([0, 1]))
    np.float32(0.3465736)
    >>> cross_entropy(np.float32([[0, 0], [0, 200]]), np.array([0, 1]), ignore_index=1)
    np.float32(0.6931472)
    """
    logits = real("logits", logits)
    weight = _checked_weight(logits, weight)
    label, taken = _column_of_labels(logits, labels, ignore_index)
    target = _targets(logits, label, label_smoothing, weight)
    z = wide(logits) - np.max(wide(logits), axis=1, keepdims=True, initial=-np.inf)
    below = np.log(np.sum(np.exp(z), axis=1, keepdims=True)) - z
    # A class that a row asks nothing of counts for nothing, infinitely unlikely though it be.
    losses = np.sum(np.where((target == 0) & np.isinf(below), 0, target * below), axis=1)
    losses = np.where(taken, losses, 0)
    if reduction == "none":
        return deliver(losses, logits.dtype, out)
    divisor = _divisor(label, taken, weight, reduction)
    return deliver(np.divide(np.sum(losses), divisor), logits.dtype, out)


def cross_entropy_backward(
    grad: ArrayLike,
    logits: ArrayLike,
    labels: ArrayLike,
    reduction: str = "mean",
    out: Array | None = None,
    *,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    weight: ArrayLike | None = None,
) -> Array:
    """grad · (softmax(logits) · Σ target - target), over the divisor for "mean"; (N, C).

    A row's target is [column = label], smoothed and times `weight`. grad is (N,) for "none", else a scalar or an array
    without axes; else `ShapeError`.

    >>> cross_entropy_backward(np.float32(1), np.float32([[0, 0], [0, 200]]), np.array([0, 1]))
    array([[-0.25,  0.25],
           [ 0.  ,  0.  ]], dtype=float32)
    """
    grad, logits = reals(grad=grad, logits=logits)
    weight = _checked_weight(logits, weight)
    label, taken = _column_of_labels(logits, labels, ignore_index)
    if grad.shape != (logits.shape[:1] if reduction == "none" else ()):
        raise ShapeError(
            explain(
                f"cross_entropy_backward: grad must have the shape of the {reduction!r} loss",
                describe(grad=grad, logits=logits),
            )
        )
    target = _targets(logits, label, label_smoothing, weight)
    z = np.exp(wide(logits) - np.max(wide(logits), axis=1, keepdims=True, initial=-np.inf))
    slope = z / np.sum(z, axis=1, keepdims=True) * np.sum(target, axis=1, keepdims=True) - target
    each = wide(grad)[:, np.newaxis] if reduction == "none" else wide(grad)
    gradient = np.divide(each * slope, _divisor(label, taken, weight, reduction))
    return deliver(np.where(taken[:, np.newaxis], gradient, 0), logits.dtype, out)


def _checked_weight(logits: Array, weight: ArrayLike | None) -> Array | None:
    if weight is None:
        return None
    logits, weight = reals(logits=logits, weight=weight)
    if weight.shape != logits.shape[1:]:
        raise ShapeError(explain("weight must be (C,) for logits (N, C)", describe(logits=logits, weight=weight)))
    return weight


def _targets(logits: Array, label: Array, smoothing: float, weight: Array | None) -> Array:
    """What each row asks of each class, (N, C)."""
    if not 0 <= smoothing <= 1:
        raise ValueError(f"label_smoothing must be in [0, 1], not {smoothing!r}")
    classes = logits.shape[1]
    targets = (1 - smoothing) * (np.arange(classes) == label) + np.full((1, classes), smoothing / max(classes, 1))
    if weight is None:
        return np.asarray(wide(targets.astype(np.float64)))
    return np.asarray(targets * wide(weight))


def _column_of_labels(logits: Array, given: ArrayLike, ignore_index: int) -> tuple[Array, Array]:
    """The labels as an (N, 1) array, checked, 0 where they are ignored; and which rows take part."""
    labels: Array = np.asarray(given)
    if labels.dtype not in (np.int64, np.int32):
        raise DTypeError(explain("labels must be int64 or int32", describe(labels=labels)))
    if logits.ndim != 2 or labels.shape != logits.shape[:1]:
        raise ShapeError(explain("logits must be (N, C) and labels (N,)", describe(logits=logits, labels=labels)))
    taken = labels != ignore_index
    outside = taken & ((labels < 0) | (labels >= logits.shape[1]))
    if outside.any():
        row = int(np.argmax(outside))
        raise IndexError(
            f"labels must lie in [0, {logits.shape[1]}) or be ignore_index, but labels[{row}] is {labels[row]}"
        )
    return np.where(taken, labels, 0).reshape(-1, 1), taken


def _divisor(label: Array, taken: Array, weight: Array | None, reduction: str) -> Any:
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f'reduction must be "none", "mean" or "sum", not {reduction!r}')
    if reduction != "mean":
        return 1
    return np.sum(taken) if weight is None else np.sum(wide(weight)[label[taken, 0]])
