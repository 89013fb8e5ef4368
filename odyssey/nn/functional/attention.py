"""Attention and rotary position embedding."""

from __future__ import annotations

from odyssey.nn.functional._arguments import TensorLike, array, operand
from odyssey.tensor import ops
from odyssey.tensor.tape import Array, Gradients, Node
from odyssey.tensor.tensor import Tensor, record


def scaled_dot_product_attention(
    query: TensorLike,
    key: TensorLike,
    value: TensorLike,
    attn_mask: TensorLike | None = None,
    is_causal: bool = False,
    scale: float | None = None,
) -> Tensor:
    """softmax(scale · query keyᵀ + attn_mask) value for each head, without a score matrix in either direction.

    Args:
        query: (..., heads, queries, depth).
        key: (..., key heads, keys, depth); each head of keys serves heads / key heads neighbouring heads of queries.
        value: (..., key heads, keys, value depth).
        attn_mask: broadcasts to (..., heads, queries, keys): bool, True where the key takes part, or added to the
            scores. It gets no gradient.
        is_causal: query i sees the keys up to keys - queries + i.
        scale: 1 / √depth by default.

    Returns:
        (..., heads, queries, value depth).
    """
    query_data, query_edge = operand(query)
    key_data, key_edge = operand(key)
    value_data, value_edge = operand(value)
    mask = None if attn_mask is None else array(attn_mask)
    y = ops.scaled_dot_product_attention(query_data, key_data, value_data, mask, is_causal, scale)
    saved = query_data, key_data, value_data, mask, is_causal, scale
    return record(y, _attention_backward, (query_edge, key_edge, value_edge), saved)


def _attention_backward(grad: Array, node: Node) -> Gradients:
    by_query, by_key, by_value = ops.scaled_dot_product_attention_backward(grad, *node.saved)
    return by_query, by_key, by_value


def rotary_embedding(x: TensorLike, cos: TensorLike, sin: TensorLike, interleaved: bool = False) -> Tensor:
    """Pairs of elements of x (..., L, D) rotated by the angles whose cosines and sines are given.

    Args:
        x: queries or keys.
        cos, sin: broadcast to (..., L, pairs), as from `odyssey.rotary_tables`; they get no gradient.
        interleaved: whether a pair is (2 i, 2 i + 1) and not (i, i + pairs).
    """
    x_data, x_edge = operand(x)
    cos, sin = array(cos), array(sin)
    y = ops.rotary_embedding(x_data, cos, sin, interleaved)
    return record(y, _rotary_backward, (x_edge,), (cos, sin, interleaved))


def _rotary_backward(grad: Array, node: Node) -> Gradients:
    return (ops.rotary_embedding_backward(grad, *node.saved, grad if node.owned else None),)
