"""Rows of a table by number, and the gradient of the table.

The table and its gradients are float32 or float64, indices int64 or int32 (else `DTypeError`), of any shape, each a row
(else `IndexError`).
"""

from __future__ import annotations

import numpy as np

from odyssey.errors import DTypeError, ShapeError, describe, explain
from odyssey.reference._arrays import deliver, real, wide
from odyssey.typing import Array, ArrayLike


def embedding(weight: ArrayLike, indices: ArrayLike, out: Array | None = None) -> Array:
    """The rows of weight that indices name; of indices' shape and one axis more. `torch.nn.functional.embedding`.

    >>> embedding(np.float32([[1, 2], [3, 4]]), np.array([1, 1, 0]))
    array([[3., 4.],
           [3., 4.],
           [1., 2.]], dtype=float32)
    """
    weight = real("weight", weight)
    if weight.ndim != 2:
        raise ShapeError(explain("embedding: weight must be (rows, n)", describe(weight=weight)))
    return deliver(weight[_rows("embedding", indices, len(weight))], weight.dtype, out)


def embedding_backward(
    grad: ArrayLike,
    indices: ArrayLike,
    num_embeddings: int,
    padding_idx: int | None = None,
    out: Array | None = None,
) -> Array:
    """Zeros (num_embeddings, n), to whose row index[i] grad[i] is added, i ascending; row padding_idx stays 0.

    >>> embedding_backward(np.float32([[1, 2], [3, 4]]), np.array([1, 1]), 3)
    array([[0., 0.],
           [4., 6.],
           [0., 0.]], dtype=float32)
    """
    grad = real("grad", grad)
    if num_embeddings < 0:
        raise ShapeError(f"embedding_backward: num_embeddings must not be negative; found {num_embeddings}")
    index = _rows("embedding_backward", indices, num_embeddings)
    if grad.ndim == 0 or grad.shape[:-1] != index.shape:
        raise ShapeError(
            explain(
                "embedding_backward: grad must have indices' shape and one axis more",
                describe(grad=grad, indices=index),
            )
        )
    total = wide(np.zeros((num_embeddings, grad.shape[-1]), grad.dtype))
    np.add.at(total, index, wide(grad))
    if padding_idx is not None:
        if not -num_embeddings <= padding_idx < num_embeddings:
            raise IndexError(f"embedding_backward: padding_idx must be a row; found {padding_idx} of {num_embeddings}")
        total[padding_idx] = 0
    return deliver(total, grad.dtype, out)


def _rows(op: str, given: ArrayLike, rows: int) -> Array:
    """The indices, checked."""
    index: Array = np.asarray(given)
    if index.dtype not in (np.int64, np.int32):
        raise DTypeError(explain(f"{op}: indices must be int64 or int32", describe(indices=index)))
    outside = (index < 0) | (index >= rows)
    if outside.any():
        where = np.unravel_index(int(np.argmax(outside)), index.shape)
        raise IndexError(
            f"{op}: indices must lie in [0, {rows}), but indices[{', '.join(map(str, where))}] is {index[where]}"
        )
    return index
