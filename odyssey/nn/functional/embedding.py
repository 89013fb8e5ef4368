"""Rows of a table by number."""

from __future__ import annotations

from odyssey.nn.functional._arguments import TensorLike, array, operand
from odyssey.nn.stored import StoredWeight
from odyssey.tensor import ops
from odyssey.tensor.tape import Array, Gradients, Node
from odyssey.tensor.tensor import Tensor, record


def embedding(weight: TensorLike | StoredWeight, indices: TensorLike, padding_idx: int | None = None) -> Tensor:
    """The rows of weight (rows, n) that indices, integers of any shape, name; the row padding_idx gets no gradient.

    Of a StoredWeight, which gets none at all, the rows come widened to float32.
    """
    if isinstance(weight, StoredWeight):
        return Tensor(weight.rows(array(indices)))
    weight_data, weight_edge = operand(weight)
    index = array(indices)
    y = ops.embedding(weight_data, index)
    return record(y, _embedding_backward, (weight_edge,), (index, len(weight_data), padding_idx))


def _embedding_backward(grad: Array, node: Node) -> Gradients:
    (to_weight,) = node.inputs
    index, rows, padding_idx = node.saved
    assert to_weight is not None
    return (ops.embedding_backward(grad, index, rows, padding_idx, to_weight.out()),)
