"""Convolution over images, NCHW, with fused bias and activation, and its transpose."""

from __future__ import annotations

from typing import TypeAlias

from odyssey.nn.functional._arguments import TensorLike, operand
from odyssey.nn.functional.linear import DERIVED_FROM_OUTPUT, Activation, activation_backward
from odyssey.tensor import ops
from odyssey.tensor.tape import Array, Gradients, Node
from odyssey.tensor.tensor import Tensor, record

Pair: TypeAlias = "int | tuple[int, int]"


def conv2d(
    x: TensorLike,
    weight: TensorLike,
    bias: TensorLike | None = None,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
    activation: Activation | None = None,
) -> Tensor:
    """activation(x convolved with weight, + bias), in one pass over the output.

    Args:
        x: (N, C, H, W).
        weight: (O, C // groups, kernel height, kernel width).
        bias: (O,) or None.
        stride, padding, dilation: one number, or (vertical, horizontal).
        groups: C and O are split into this many groups that do not see each other.
        activation: None, "relu", "tanh", "sigmoid", "gelu" or "silu".

    Returns:
        (N, O, H', W') with H' = (H + 2 * padding - dilation * (kernel height - 1) - 1) // stride + 1.
    """
    x_data, x_edge = operand(x)
    weight_data, weight_edge = operand(weight)
    bias_data, bias_edge = (None, None) if bias is None else operand(bias)
    wanted = x_edge is not None or weight_edge is not None or bias_edge is not None
    if activation is None or activation in DERIVED_FROM_OUTPUT or not wanted:
        kept = y = ops.conv2d(x_data, weight_data, bias_data, stride, padding, dilation, groups, activation)
    else:  # the backward needs the input of the activation, so the two are not fused
        kept = ops.conv2d(x_data, weight_data, bias_data, stride, padding, dilation, groups)
        y = getattr(ops, activation)(kept)
    saved = x_data, weight_data, kept, activation, stride, padding, dilation, groups
    return record(y, _conv2d_backward, (x_edge, weight_edge, bias_edge), saved)


def _conv2d_backward(grad: Array, node: Node) -> Gradients:
    to_x, to_weight, to_bias = node.inputs
    x, weight, kept, activation, stride, padding, dilation, groups = node.saved
    if activation is not None:
        grad = activation_backward(activation, grad, kept, node.owned)
    by_x = by_weight = by_bias = None
    if to_weight is not None:
        by_weight = ops.conv2d_backward_weight(
            grad, x, weight.shape, stride, padding, dilation, groups, to_weight.out()
        )
    if to_bias is not None:
        by_bias = ops.sum(grad, (0, 2, 3), False, to_bias.out())
    if to_x is not None:  # the first layer's input is data: its gradient, the dearest of the three, is never computed
        by_x = ops.conv2d_backward_input(grad, weight, x.shape, stride, padding, dilation, groups, to_x.out())
    return by_x, by_weight, by_bias


def conv_transpose2d(
    x: TensorLike,
    weight: TensorLike,
    bias: TensorLike | None = None,
    stride: Pair = 1,
    padding: Pair = 0,
    output_padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Tensor:
    """Each element of x adds its multiple of the kernel where it stands in the result, + bias.

    Args:
        x: (N, C, H, W).
        weight: (C, O // groups, kernel height, kernel width).
        bias: (O,) or None.
        stride, padding, dilation: one number, or (vertical, horizontal): of the conv2d that this turns round.
        output_padding: how much longer the result is at the bottom and the right; less than stride or dilation.
        groups: C and O are split into this many groups that do not see each other.

    Returns:
        (N, O, H', W') with
        H' = (H - 1) * stride - 2 * padding + dilation * (kernel height - 1) + output_padding + 1.
    """
    x_data, x_edge = operand(x)
    weight_data, weight_edge = operand(weight)
    bias_data, bias_edge = (None, None) if bias is None else operand(bias)
    options = stride, padding, output_padding, dilation, groups
    y = ops.conv_transpose2d(x_data, weight_data, bias_data, *options)
    return record(y, _conv_transpose2d_backward, (x_edge, weight_edge, bias_edge), (x_data, weight_data, options))


def _conv_transpose2d_backward(grad: Array, node: Node) -> Gradients:
    to_x, to_weight, to_bias = node.inputs
    x, weight, options = node.saved
    by_x = by_weight = by_bias = None
    if to_weight is not None:
        by_weight = ops.conv_transpose2d_backward_weight(grad, x, weight.shape, *options, to_weight.out())
    if to_bias is not None:
        by_bias = ops.sum(grad, (0, 2, 3), False, to_bias.out())
    if to_x is not None:
        by_x = ops.conv_transpose2d_backward_input(grad, weight, x.shape, *options, to_x.out())
    return by_x, by_weight, by_bias
