"""Pooling over images, NCHW."""

from __future__ import annotations

from odyssey.nn.functional._arguments import TensorLike, operand
from odyssey.nn.functional.conv import Pair
from odyssey.tensor import ops
from odyssey.tensor.tape import Array, Gradients, Node
from odyssey.tensor.tensor import Tensor, record


def max_pool2d(x: TensorLike, kernel_size: Pair, stride: Pair | None = None, padding: Pair = 0) -> Tensor:
    """The largest element of each window; windows are `stride` apart, by default side by side.

    x is (N, C, H, W), the result (N, C, H', W') with H' = (H + 2 * padding - kernel) // stride + 1. Among equal
    elements the first takes the gradient. Which one it was is not stored; the backward looks again.
    """
    x_data, x_edge = operand(x)
    y = ops.max_pool2d(x_data, kernel_size, stride, padding)
    return record(y, _max_pool2d_backward, (x_edge,), (x_data, kernel_size, stride, padding))


def _max_pool2d_backward(grad: Array, node: Node) -> Gradients:
    x, kernel_size, stride, padding = node.saved
    return (ops.max_pool2d_backward(grad, x, kernel_size, stride, padding),)


def avg_pool2d(x: TensorLike, kernel_size: Pair, stride: Pair | None = None, padding: Pair = 0) -> Tensor:
    """The mean of each window, padding counted as zeros; shapes as in `max_pool2d`."""
    x_data, x_edge = operand(x)
    y = ops.avg_pool2d(x_data, kernel_size, stride, padding)
    return record(y, _avg_pool2d_backward, (x_edge,), (x_data.shape, kernel_size, stride, padding))


def _avg_pool2d_backward(grad: Array, node: Node) -> Gradients:
    shape, kernel_size, stride, padding = node.saved
    return (ops.avg_pool2d_backward(grad, shape, kernel_size, stride, padding),)


def global_avg_pool2d(x: TensorLike) -> Tensor:
    """The mean over each whole image: (N, C, H, W) -> (N, C, 1, 1)."""
    x_data, x_edge = operand(x)
    return record(ops.global_avg_pool2d(x_data), _global_avg_pool2d_backward, (x_edge,), x_data.shape)


def _global_avg_pool2d_backward(grad: Array, node: Node) -> Gradients:
    return (ops.global_avg_pool2d_backward(grad, node.saved),)
