"""Dropout."""

from __future__ import annotations

from odyssey.nn.functional._arguments import TensorLike, operand
from odyssey.tensor import ops
from odyssey.tensor.tape import Array, Gradients, Node
from odyssey.tensor.tensor import Tensor, record


def dropout(x: TensorLike, p: float = 0.5, seed: int = 0, offset: int = 0) -> Tensor:
    """Each element with probability p replaced by 0, else divided by 1 - p.

    Which ones go, seed, offset and an element's place alone decide: another call of a training takes another offset.
    The mask is not stored; the backward draws it again.
    """
    x_data, x_edge = operand(x)
    return record(ops.dropout(x_data, p, seed, offset), _dropout_backward, (x_edge,), (p, seed, offset))


def _dropout_backward(grad: Array, node: Node) -> Gradients:
    p, seed, offset = node.saved
    return (ops.dropout_backward(grad, p, seed, offset, grad if node.owned else None),)
