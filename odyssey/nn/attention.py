"""Multi-head attention."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from odyssey._kernels.rotary import rotary_tables
from odyssey.errors import ShapeError
from odyssey.nn import functional
from odyssey.nn.functional._arguments import array
from odyssey.nn.linear import Linear
from odyssey.nn.module import Module
from odyssey.tensor.tape import Array
from odyssey.tensor.tensor import Tensor

__all__ = ["MultiHeadAttention"]


class MultiHeadAttention(Module):
    """Attention with several heads (Vaswani et al. 2017): (batch, queries, features) -> the same shape.

    Args:
        features: the size of the last axis of queries, keys, values and of the result.
        heads: how many heads.
        kv_heads: how many heads of keys and values, a divisor of `heads`, each shared by neighbouring heads of queries
            (Ainslie et al. 2023); as many as `heads` unless given.
        head_features: the size of a head, features // heads unless given.
        bias: whether the four projections add one.
        is_causal: query i sees the keys up to keys - queries + i, and no later one.
        rotary: turn queries and keys by their places before they meet (Su et al. 2021), of which place 0 is the first
            of each; its base, usually 10000.0, or None for not at all.
        generator: where the initial weights come from; without one they differ from run to run.
        dtype: float32 or float64.

    The projections q_proj, k_proj, v_proj and out_proj are Linear layers. PyTorch's MultiheadAttention keeps the first
    three in one array, `in_proj_weight`, one below another. Weights of attention are not dropped: there is no array of
    them to drop from.

    Raises:
        ShapeError: features, heads and kv_heads do not divide.

    Example:
        >>> import odyssey as od
        >>> import numpy as np
        >>> attention = od.nn.MultiHeadAttention(32, heads=4, kv_heads=2, is_causal=True, rotary=10000.0)
        >>> attention(np.zeros((2, 5, 32), np.float32)).shape
        (2, 5, 32)
        >>> attention.k_proj.weight.shape
        (16, 32)
    """

    def __init__(
        self,
        features: int,
        heads: int,
        kv_heads: int | None = None,
        head_features: int | None = None,
        bias: bool = True,
        is_causal: bool = False,
        rotary: float | None = None,
        *,
        generator: np.random.Generator | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        kv_heads = heads if kv_heads is None else kv_heads
        if heads < 1 or kv_heads < 1 or heads % kv_heads or (head_features is None and features % heads):
            raise ShapeError(
                f"MultiHeadAttention: expected features divisible by heads, and heads by kv_heads, "
                f"found features={features}, heads={heads}, kv_heads={kv_heads}"
            )
        size = features // heads if head_features is None else head_features
        if rotary is not None and size % 2:
            raise ShapeError(f"MultiHeadAttention: expected heads of an even size for rotary, found {size}")
        generator = np.random.default_rng() if generator is None else generator
        self.heads = heads
        self.kv_heads = kv_heads
        self.head_features = size
        self.is_causal = is_causal
        self.rotary = rotary
        self._tables: tuple[Array, Array] | None = None
        options: Any = {"generator": generator, "dtype": dtype}
        self.q_proj = Linear(features, heads * size, bias, **options)
        self.k_proj = Linear(features, kv_heads * size, bias, **options)
        self.v_proj = Linear(features, kv_heads * size, bias, **options)
        self.out_proj = Linear(heads * size, features, bias, **options)

    def forward(
        self,
        query: Tensor | Array,
        key: Tensor | Array | None = None,
        value: Tensor | Array | None = None,
        *,
        attn_mask: Tensor | Array | None = None,
        key_mask: Tensor | Array | None = None,
    ) -> Tensor:
        """Attend.

        Args:
            query: (batch, queries, features).
            key: (batch, keys, features); the query unless given.
            value: as `key`; the key unless given.
            attn_mask: broadcasts to (batch, heads, queries, keys): bool, True where the key takes part (as in
                `scaled_dot_product_attention`; PyTorch's MultiheadAttention has it the other way round), or numbers
                that are added to the scores.
            key_mask: (batch, keys) bool, True for a token and False for padding.

        Returns:
            (batch, queries, features).
        """
        key = query if key is None else key
        value = key if value is None else value
        for name, x in (("query", query), ("key", key), ("value", value)):
            if x.ndim != 3:
                raise ShapeError(f"MultiHeadAttention: expected {name} (batch, length, features), found {x.shape}")
        q = self._split(self.q_proj(query), self.heads)
        k = self._split(self.k_proj(key), self.kv_heads)
        v = self._split(self.v_proj(value), self.kv_heads)
        if self.rotary is not None:
            q, k = self._turned(q), self._turned(k)
        mask = self._mask(attn_mask, key_mask, (key.shape[0], key.shape[1]))
        y = functional.scaled_dot_product_attention(q, k, v, mask, self.is_causal)
        batch, length = query.shape[:2]
        joined = y.transpose(0, 2, 1, 3).reshape(batch, length, self.heads * self.head_features)
        result: Tensor = self.out_proj(joined)
        return result

    def _split(self, x: Tensor, heads: int) -> Tensor:
        """(batch, length, heads * size) -> (batch, heads, length, size)."""
        return x.reshape(*x.shape[:2], heads, self.head_features).transpose(0, 2, 1, 3)

    def _turned(self, x: Tensor) -> Tensor:
        length = x.shape[2]
        tables = self._tables
        if tables is None or len(tables[0]) < length or tables[0].dtype != x.dtype:
            assert self.rotary is not None
            tables = self._tables = rotary_tables(length, self.head_features, self.rotary, x.dtype)
        return functional.rotary_embedding(x, tables[0][:length], tables[1][:length])

    @staticmethod
    def _mask(attn_mask: Tensor | Array | None, key_mask: Tensor | Array | None, keys: tuple[int, int]) -> Array | None:
        mask = None if attn_mask is None else array(attn_mask)
        if key_mask is None:
            return mask
        seen = array(key_mask)
        if seen.shape != keys or seen.dtype != np.bool_:
            raise ShapeError(
                f"MultiHeadAttention: expected key_mask {keys} of bool, found {seen.shape} {seen.dtype}; "
                "True stands for a token, False for padding"
            )
        seen = seen[:, np.newaxis, np.newaxis, :]
        if mask is None:
            return seen
        if mask.dtype == np.bool_:
            return np.logical_and(mask, seen)
        return np.where(seen, mask, np.asarray(-np.inf, mask.dtype))
