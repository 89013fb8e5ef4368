"""Dropout, of elements and of channels."""

from __future__ import annotations

import numpy as np

from odyssey.errors import ShapeError
from odyssey.nn.functional._arguments import TensorLike, operand
from odyssey.nn.functional.elementwise import multiply
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


def dropout2d(x: TensorLike, p: float = 0.5, seed: int = 0, offset: int = 0) -> Tensor:
    """Each channel of each image, x (N, C, ...), with probability p replaced by 0, else divided by 1 - p.

    Which ones go, seed, offset and the channel's place alone decide (Tompson et al. 2015).

    Raises:
        ShapeError: x has fewer than two axes.

    Example:
        >>> import odyssey as od
        >>> import numpy as np
        >>> y = od.nn.functional.dropout2d(np.ones((8, 4, 3, 3), np.float32), 0.5, seed=1).numpy()
        >>> bool((y == y[:, :, :1, :1]).all())
        True
    """
    x_data, _ = operand(x)
    if x_data.ndim < 2:
        raise ShapeError(f"dropout2d: expected (N, C, ...), found {x_data.shape}; `dropout` drops single elements")
    channels = np.ones(x_data.shape[:2] + (1,) * (x_data.ndim - 2), x_data.dtype)
    return multiply(x, ops.dropout(channels, p, seed, offset))
