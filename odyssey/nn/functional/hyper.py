"""Hyper-connections, and the ways into and out of their streams."""

from __future__ import annotations

from typing import Any

import numpy as np

from odyssey.nn.functional._arguments import TensorLike, operand
from odyssey.tensor import ops
from odyssey.tensor.tape import Array, Gradients, Node
from odyssey.tensor.tensor import Tensor, record


def hyper_pre(
    x: TensorLike,
    fn: TensorLike,
    base: TensorLike,
    scale: TensorLike,
    iterations: int = 20,
    eps: float = 1e-6,
    norm_eps: float = 1e-6,
    variant: str = "default",
) -> tuple[Tensor, Tensor, Tensor]:
    """(collapsed, post, comb) of the streams x (..., n, hidden): what a layer sees, and how its result is mixed in."""
    x_data, x_edge = operand(x)
    fn_data, fn_edge = operand(fn)
    base_data, base_edge = operand(base)
    scale_data, scale_edge = operand(scale)
    options = iterations, eps, norm_eps, variant
    *results, mix = ops.hyper_pre(x_data, fn_data, base_data, scale_data, *options)
    # Three results, one gradient: each leaves its own with the node they share, which comes last.
    slots: list[Array | None] = [None, None, None]
    saved = slots, (x_data, fn_data, base_data, scale_data, mix, *options)
    shared = record(results[0], _hyper_pre_backward, (x_edge, fn_edge, base_edge, scale_edge), saved).node
    collapsed, post, comb = (
        record(result, _leave_gradient, (shared,), (slots, place)) for place, result in enumerate(results)
    )
    return collapsed, post, comb


def _leave_gradient(grad: Array, node: Node) -> Gradients:
    slots, place = node.saved
    slots[place] = grad
    return (np.empty(0, grad.dtype),)


def _hyper_pre_backward(grad: Array, node: Node) -> Gradients:
    slots, (x, *rest) = node.saved
    by_collapsed, by_post, by_comb = slots
    slots[:] = None, None, None  # for another walk over a retained tape
    if by_collapsed is None:
        by_collapsed = np.zeros((*x.shape[:-2], x.shape[-1]), x.dtype)
    gradients: Gradients = ops.hyper_pre_backward(by_collapsed, by_post, by_comb, x, *rest)
    return gradients


def hyper_post(f: TensorLike, x: TensorLike, post: TensorLike, comb: TensorLike) -> Tensor:
    """The streams after a layer: x'[k] = post[k] · f + Σⱼ comb[j, k] · x[j]."""
    f_data, f_edge = operand(f)
    x_data, x_edge = operand(x)
    post_data, post_edge = operand(post)
    comb_data, comb_edge = operand(comb)
    y = ops.hyper_post(f_data, x_data, post_data, comb_data)
    return record(
        y, _hyper_post_backward, (f_edge, x_edge, post_edge, comb_edge), (f_data, x_data, post_data, comb_data)
    )


def _hyper_post_backward(grad: Array, node: Node) -> Gradients:
    gradients: Gradients = ops.hyper_post_backward(grad, *node.saved)
    return gradients


def hyper_head(
    x: TensorLike, fn: TensorLike, base: TensorLike, scale: TensorLike, eps: float = 1e-6, norm_eps: float = 1e-6
) -> Tensor:
    """The streams' last sum, Σ (σ(mix · scale + base) + eps) x[j]."""
    x_data, x_edge = operand(x)
    fn_data, fn_edge = operand(fn)
    base_data, base_edge = operand(base)
    scale_data, scale_edge = operand(scale)
    saved = x_data, fn_data, base_data, scale_data, eps, norm_eps
    return record(ops.hyper_head(*saved), _hyper_head_backward, (x_edge, fn_edge, base_edge, scale_edge), saved)


def _hyper_head_backward(grad: Array, node: Node) -> Gradients:
    gradients: Gradients = ops.hyper_head_backward(grad, *node.saved)
    return gradients


def expand_streams(x: TensorLike, streams: int) -> Tensor:
    """x (..., hidden) as `streams` equal streams, (..., streams, hidden)."""
    x_data, x_edge = operand(x)
    shape = (*x_data.shape[:-1], streams, x_data.shape[-1])
    y = np.array(np.broadcast_to(x_data[..., np.newaxis, :], shape), order="C")
    return record(y, _expand_backward, (x_edge,), None)


def _expand_backward(grad: Array, node: Node) -> Gradients:
    return (ops.sum(grad, -2),)


def stack_rows(*pieces: TensorLike) -> Tensor:
    """Arrays one below another, along the first axis."""
    taken = [operand(piece) for piece in pieces]
    y = np.concatenate([data for data, _ in taken])
    return record(y, _stack_backward, tuple(edge for _, edge in taken), [len(data) for data, _ in taken])


def _stack_backward(grad: Array, node: Node) -> Gradients:
    pieces: Any = np.split(grad, np.cumsum(node.saved)[:-1])
    return tuple(pieces)
