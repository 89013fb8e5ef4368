"""Attention of a decoder: grouped heads, rotary embedding, norms of queries and keys, a cache."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from odyssey.models.decoder.cache import Cache
from odyssey.models.decoder.config import DecoderConfig
from odyssey.models.decoder.places import Places
from odyssey.nn import functional
from odyssey.nn.functional._arguments import operand
from odyssey.nn.linear import Linear
from odyssey.nn.module import Module
from odyssey.nn.norms import RMSNorm
from odyssey.tensor import ops
from odyssey.tensor.tape import Array, Gradients, Node
from odyssey.tensor.tensor import Tensor, record

__all__ = ["Attention"]


class Attention(Module):
    """Attention of one layer: (tokens, hidden_size) -> the same, tokens being the real ones of `Places`.

    q_proj, k_proj, v_proj and o_proj are Linear layers; q_norm and k_norm are RMSNorms where the config has them.

    Args:
        config: the decoder's.
        layer: which one this is, from 0.
        generator: where the first weights come from.
        dtype: float32 or float64.
    """

    def __init__(
        self, config: DecoderConfig, layer: int, *, generator: np.random.Generator, dtype: DTypeLike = np.float32
    ) -> None:
        self.layer = layer
        self.heads, self.kv_heads, self.head_size = config.heads, config.kv_heads, config.head_size
        self.clip = config.clip_qkv
        self.windowed = config.window(layer) is not None
        self.per_head = config.qk_norm == "head"
        width, kv_width = self.heads * self.head_size, self.kv_heads * self.head_size
        bias = config.attention_bias
        options: Any = {"generator": generator, "dtype": dtype}
        self.q_proj = Linear(config.hidden_size, width, bias != "none", **options)
        self.k_proj = Linear(config.hidden_size, kv_width, bias != "none", **options)
        self.v_proj = Linear(config.hidden_size, kv_width, bias != "none", **options)
        self.o_proj = Linear(width, config.hidden_size, bias == "all", **options)
        self.q_norm = self.k_norm = None
        if config.qk_norm is not None:
            sizes = (self.head_size, self.head_size) if self.per_head else (width, kv_width)
            self.q_norm, self.k_norm = (RMSNorm(size, config.norm_eps, dtype=dtype) for size in sizes)

    def forward(self, x: Tensor | Array, places: Places, cache: Cache | None = None) -> Tensor:
        """x after those of the cache, to which it is added."""
        q, k, v = self.q_proj(x), self.k_proj(x), self.v_proj(x)
        if self.q_norm is not None and self.k_norm is not None:
            q, k = self._normed(self.q_norm, q), self._normed(self.k_norm, k)
        if self.clip is not None:
            q, k, v = (functional.clip(one, -self.clip, self.clip) for one in (q, k, v))
        y: Tensor = self.o_proj(_attend(q, k, v, places, self, cache))
        return y

    def _normed(self, norm: RMSNorm, x: Tensor) -> Tensor:
        y: Tensor = norm(functional.reshape(x, -1, self.head_size) if self.per_head else x)
        return functional.reshape(y, x.shape) if self.per_head else y


def _attend(q: Tensor, k: Tensor, v: Tensor, places: Places, layer: Attention, cache: Cache | None) -> Tensor:
    """Rotary embedding and attention as one operation: q (tokens, heads * size), k and v likewise -> q's shape.

    One node on the tape and few steps of Python: in decoding, what stands around the kernels is time one can see.
    With a cache no gradient is recorded.
    """
    (q_data, q_edge), (k_data, k_edge), (v_data, v_edge) = operand(q), operand(k), operand(v)
    sight = places.windowed if layer.windowed else places.full
    queries = _rotated(_by_head(q_data, layer.heads, places), places)
    if cache is None:
        keys = _rotated(_by_head(k_data, layer.kv_heads, places), places)
        values = _by_head(v_data, layer.kv_heads, places)
    else:
        keys, values = _remembered(k_data, v_data, layer.kv_heads, places, cache, layer.layer)
        keys, values = keys[:, :, sight.start : sight.stop], values[:, :, sight.start : sight.stop]
    y = np.empty((places.batch, places.length, layer.heads, layer.head_size), q_data.dtype)
    ops.scaled_dot_product_attention(queries, keys, values, sight.mask, sight.is_causal, None, y.transpose(0, 2, 1, 3))
    joined = y.reshape(-1, q_data.shape[1])
    if places.gather is not None:
        joined = joined[places.gather]
    edges = (None, None, None) if cache is not None else (q_edge, k_edge, v_edge)
    return record(joined, _attend_backward, edges, (queries, keys, values, places, sight))


def _attend_backward(grad: Array, node: Node) -> Gradients:
    queries, keys, values, places, sight = node.saved
    if places.gather is not None:
        spread = np.zeros((places.batch * places.length, grad.shape[1]), grad.dtype)
        spread[places.gather] = grad
        grad = spread
    by_head = grad.reshape(places.batch, places.length, -1, queries.shape[-1]).transpose(0, 2, 1, 3)
    by_queries, by_keys, by_values = ops.scaled_dot_product_attention_backward(
        by_head, queries, keys, values, sight.mask, sight.is_causal, None
    )
    for one in (by_queries, by_keys):
        ops.rotary_embedding_backward(one, places.cos, places.sin, False, one)
    return tuple(_by_token(one, places) for one in (by_queries, by_keys, by_values))


def _by_head(x: Array, heads: int, places: Places) -> Array:
    """(tokens, heads * size) -> (batch, heads, length, size), a view unless there is padding."""
    if places.spread is not None:
        x = x[places.spread]
    return x.reshape(places.batch, places.length, heads, -1).transpose(0, 2, 1, 3)


def _by_token(x: Array, places: Places) -> Array:
    """The inverse, for gradients: what stands at padding is 0 there and is dropped."""
    joined = x.transpose(0, 2, 1, 3).reshape(places.batch * places.length, -1)
    return joined if places.gather is None else joined[places.gather]


def _rotated(x: Array, places: Places, out: Array | None = None) -> Array:
    rotated: Array = ops.rotary_embedding(x, places.cos, places.sin, False, out)
    return rotated


def _remembered(k: Array, v: Array, kv_heads: int, places: Places, cache: Cache, layer: int) -> tuple[Array, Array]:
    """Writes the real tokens' keys, rotated, and values into the cache; returns its arrays of the layer."""
    keys, values = cache.keys[layer], cache.values[layer]
    if places.cached is None:
        start = int(places.before[0])
        stop = start + places.length
        _rotated(_by_head(k, kv_heads, places), places, keys[:, :, start:stop])
        values[:, :, start:stop] = _by_head(v, kv_heads, places)
    else:
        sequences, at = places.cached
        rotated = _rotated(_by_head(k, kv_heads, places), places).transpose(0, 2, 1, 3)
        flat = rotated.reshape(-1, kv_heads, rotated.shape[-1])
        keys[sequences, :, at] = flat if places.gather is None else flat[places.gather]
        values[sequences, :, at] = v.reshape(-1, kv_heads, rotated.shape[-1])
    return keys, values
