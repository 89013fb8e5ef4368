"""Cross entropy of logits against class labels, and its gradient.

`logits` is (N, C), float32 or float64 (else `DTypeError`); `labels` is (N,), int64 or int32 (else `ShapeError`,
`DTypeError`), each in [0, C) (else `IndexError`). `reduction` is "none", "mean" or "sum" (else `ValueError`). `out`, of
the result's shape and type, receives the result and is returned. `torch.nn.functional.cross_entropy`.
"""

from __future__ import annotations

import numpy as np

from odyssey.errors import DTypeError, ShapeError, describe, explain
from odyssey.reference._arrays import deliver, real, reals, wide
from odyssey.typing import Array, ArrayLike


def cross_entropy(logits: ArrayLike, labels: ArrayLike, reduction: str = "mean", out: Array | None = None) -> Array:
    """-log softmax(logits)[label] of each row: (N,) for "none", else their mean (NaN for N = 0) or sum.

    >>> cross_entropy(np.float32([[0, 0], [0, 200]]), np.array([0, 1]))
    np.float32(0.3465736)
    """
    logits = real("logits", logits)
    label = _column_of_labels(logits, labels)
    z = wide(logits) - np.max(wide(logits), axis=1, keepdims=True, initial=-np.inf)
    log_total = np.log(np.sum(np.exp(z), axis=1))
    losses = log_total - np.take_along_axis(z, label, axis=1)[:, 0]
    if reduction == "none":
        return deliver(losses, logits.dtype, out)
    return deliver(np.divide(np.sum(losses), _divisor(logits, reduction)), logits.dtype, out)


def cross_entropy_backward(
    grad: ArrayLike, logits: ArrayLike, labels: ArrayLike, reduction: str = "mean", out: Array | None = None
) -> Array:
    """grad · (softmax(logits) - [column = label]), over N for "mean"; (N, C).

    grad is (N,) for "none", else a scalar or an array without axes; else `ShapeError`.

    >>> cross_entropy_backward(np.float32(1), np.float32([[0, 0], [0, 200]]), np.array([0, 1]))
    array([[-0.25,  0.25],
           [ 0.  ,  0.  ]], dtype=float32)
    """
    grad, logits = reals(grad=grad, logits=logits)
    label = _column_of_labels(logits, labels)
    if grad.shape != (logits.shape[:1] if reduction == "none" else ()):
        raise ShapeError(
            explain(
                f"cross_entropy_backward: grad must have the shape of the {reduction!r} loss",
                describe(grad=grad, logits=logits),
            )
        )
    z = np.exp(wide(logits) - np.max(wide(logits), axis=1, keepdims=True, initial=-np.inf))
    slope = z / np.sum(z, axis=1, keepdims=True)
    slope -= np.arange(logits.shape[1]) == label
    each = wide(grad)[:, np.newaxis] if reduction == "none" else wide(grad)
    return deliver(np.divide(each * slope, _divisor(logits, reduction)), logits.dtype, out)


def _column_of_labels(logits: Array, given: ArrayLike) -> Array:
    """The labels as an (N, 1) array, checked."""
    labels: Array = np.asarray(given)
    if labels.dtype not in (np.int64, np.int32):
        raise DTypeError(explain("labels must be int64 or int32", describe(labels=labels)))
    if logits.ndim != 2 or labels.shape != logits.shape[:1]:
        raise ShapeError(explain("logits must be (N, C) and labels (N,)", describe(logits=logits, labels=labels)))
    outside = (labels < 0) | (labels >= logits.shape[1])
    if outside.any():
        row = int(np.argmax(outside))
        raise IndexError(f"labels must lie in [0, {logits.shape[1]}), but labels[{row}] is {labels[row]}")
    return labels.reshape(-1, 1)


def _divisor(logits: Array, reduction: str) -> int:
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f'reduction must be "none", "mean" or "sum", not {reduction!r}')
    return logits.shape[0] if reduction == "mean" else 1
