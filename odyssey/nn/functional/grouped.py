"""Products in groups: experts, each with a matrix of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from odyssey.nn.functional._arguments import TensorLike, array, operand
from odyssey.tensor import ops
from odyssey.tensor.tape import Array, Gradients, Node
from odyssey.tensor.tensor import Tensor, record

if TYPE_CHECKING:
    from odyssey.packing import PackedWeight


def grouped_matmul(
    a: TensorLike, b: TensorLike | Sequence[Array | PackedWeight], offsets: TensorLike, precision: str = "exact"
) -> Tensor:
    """A product for each group of neighbours along T, group g ending at offsets[g]; `odyssey.grouped_matmul`.

    Args:
        a: (T, K), and b a (K, N) for each group -> (T, N); or (M, T), and b (T, N) -> (G, M, N); or (G, M, K), and b
            (K, T) -> (M, T).
        b: a Tensor or array, whose gradient lies in memory as it does; or, beside a (T, K), float16 or bfloat16, or a
            sequence of arrays or packed weights, which have no gradient.
        offsets: (G,) integers; they get no gradient.
        precision: "exact", or "native" for the products of bfloat16; gradients are always exact.
    """
    a_data, a_edge = operand(a)
    ends = array(offsets)
    if not isinstance(b, (Tensor, np.ndarray)) or array(b).dtype.itemsize == 2:
        stored = list(b.data if isinstance(b, Tensor) else b)
        y = ops.grouped_matmul(a_data, stored, ends, None, precision)
        return record(y, _stored_backward, (a_edge,), (stored, ends))
    b_data, b_edge = operand(b)
    y = ops.grouped_matmul(a_data, b_data, ends, None, precision)
    return record(y, _grouped_backward, (a_edge, b_edge), (a_data, b_data, ends))


def _grouped_backward(grad: Array, node: Node) -> Gradients:
    to_a, to_b = node.inputs
    a, b, ends = node.saved
    by_a = None if to_a is None else ops.grouped_matmul(grad, b.swapaxes(-1, -2), ends, to_a.out())
    by_b = None
    if to_b is not None and b.ndim == 3 and abs(b.strides[1]) < abs(b.strides[2]):
        by_b = ops.grouped_matmul(grad.T, a, ends).swapaxes(1, 2)  # weights lie transposed: so does their gradient
    elif to_b is not None:
        by_b = ops.grouped_matmul(a.swapaxes(-1, -2), grad, ends, to_b.out())
    return by_a, by_b


def _stored_backward(grad: Array, node: Node) -> Gradients:
    """Through weights as they are multiplied by, widened one at a time and transposed."""
    stored, ends = node.saved
    parts: list[Array] = []
    start = 0
    for matrix, end in zip(stored, ends.tolist(), strict=True):
        weight = matrix.T if isinstance(matrix, np.ndarray) else matrix.unpack()
        if end > start or not parts:  # the first says how wide the result is
            parts.append(ops.matmul(grad[start:end], weight.astype(grad.dtype, copy=False)))
        start = end
    return (np.concatenate(parts),)
