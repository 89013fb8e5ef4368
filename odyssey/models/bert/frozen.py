"""A BERT as it embeds: its weights laid out for products, and tokens of texts one behind another, without padding.

A product sees the tokens of all texts as rows; attention sees the texts of one length together. Neither knows how many
others there are, so a text has the same bits alone and in any company, and those of `Bert.forward`.
"""

from __future__ import annotations

from itertools import accumulate, groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import odyssey as od
from odyssey.nn.embedding import Embedding
from odyssey.nn.linear import Linear
from odyssey.nn.stored import Matrix, Precision, StoredWeight
from odyssey.packing import PackedWeight, pack
from odyssey.typing import Array

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from odyssey.models.bert.bert import Bert, BertBlock

__all__ = ["Frozen"]


class _Product(NamedTuple):
    """A linear layer, or several over the same rows, side by side."""

    weight: Matrix
    bias: Array | None
    activation: str | None
    precision: Precision

    def __call__(self, x: Array, out: Array) -> Array:
        return od.linear(x, self.weight, self.bias, self.activation, out, self.precision)


class _Norm(NamedTuple):
    weight: Array
    bias: Array
    eps: float

    def __call__(self, x: Array, out: Array) -> Array:
        return od.layer_norm(x, self.weight, self.bias, self.eps, out=out)


class _Block(NamedTuple):
    heads: Sequence[_Product]
    out: _Product
    attention_norm: _Norm
    up: _Product
    tanh_gelu: bool
    down: _Product
    norm: _Norm


class Frozen:
    """The weights of a model, as they are now; later changes are not seen.

    Args:
        model: of float32 or stored weights.
    """

    def __init__(self, model: Bert) -> None:
        config = model.config
        self.heads = config.heads
        self._hidden = config.hidden
        self._tokens = model.token_embedding
        # Which places and kinds there are is known before the text is: their sum is a table of its own.
        places, kinds = (_table(one) for one in (model.position_embedding, model.type_embedding))
        self._places = od.add(places, kinds[0])
        self._norm = _norm(model.embedding_norm)
        self._blocks = [_block(one) for one in model.blocks]

    def run(self, ids: Sequence[Array]) -> tuple[Array, list[int]]:
        """Each token's vector, (tokens of all texts, features), and where each text's begin, with the end of the last.

        Args:
            ids: the tokens of each text; texts of one length that are neighbours go through attention together.
        """
        lengths = [len(one) for one in ids]
        starts = list(accumulate(lengths, initial=0))
        one = len(ids) == 1
        tokens = ids[0] if one else np.concatenate(ids)
        x = self._places[: lengths[0]].copy() if one else np.concatenate([self._places[:length] for length in lengths])
        self._norm(od.add(_rows(self._tokens, tokens), x, out=x), x)
        count, features = x.shape
        # Every block computes in the same places.
        joined = np.empty((count, 3 * features), x.dtype)
        attended, y = np.empty_like(x), np.empty_like(x)
        inside = np.empty((count, self._hidden), x.dtype)
        thirds = [joined[:, i * features : (i + 1) * features] for i in range(3)]
        groups = list(self._groups(lengths, thirds, attended))
        for block in self._blocks:
            for project, out in zip(block.heads, thirds if len(block.heads) == 3 else [joined], strict=True):
                project(x, out)
            for query, key, value, out in groups:
                od.scaled_dot_product_attention(query, key, value, out=out)
            block.out(attended, y)
            block.attention_norm(od.add(y, x, out=y), y)
            block.up(y, inside)
            if block.tanh_gelu:
                od.gelu(inside, "tanh", out=inside)
            block.down(inside, x)
            block.norm(od.add(x, y, out=x), x)
        return x, starts

    def _groups(self, lengths: Sequence[int], parts: Sequence[Array], out: Array) -> Iterator[list[Array]]:
        """For neighbours of one length: queries, keys, values and results as (texts, heads, length, depth)."""
        at = 0
        for length, same in groupby(lengths):
            count = sum(1 for _ in same)
            end = at + length * count
            yield [part[at:end].reshape(count, length, self.heads, -1).transpose(0, 2, 1, 3) for part in (*parts, out)]
            at = end


def _rows(layer: Embedding, tokens: Array) -> Array:
    """Rows of a table, float32."""
    weight: Any = layer.weight
    return weight.rows(tokens) if isinstance(weight, StoredWeight) else od.embedding(weight.data, tokens)


def _table(layer: Embedding) -> Array:
    weight: Any = layer.weight
    return weight.widened() if isinstance(weight, StoredWeight) else weight.data


def _norm(layer: Any) -> _Norm:
    return _Norm(layer.weight.data, layer.bias.data, layer.eps)


def _block(block: BertBlock) -> _Block:
    attention = block.attention
    projections = (attention.q_proj, attention.k_proj, attention.v_proj)
    together = _together(projections)
    return _Block(
        heads=[_product(one) for one in projections] if together is None else [together],
        out=_product(attention.out_proj),
        attention_norm=_norm(block.attention_norm),
        up=_product(block.up),
        tanh_gelu=block.tanh_gelu,
        down=_product(block.down),
        norm=_norm(block.norm),
    )


def _product(layer: Linear) -> _Product:
    weight, precision = _weight(layer)
    packed = weight if isinstance(weight, PackedWeight) else pack(weight)
    return _Product(packed, None if layer.bias is None else layer.bias.data, layer.activation, precision)


def _weight(layer: Linear) -> tuple[Matrix, Precision]:
    weight = layer.weight
    return (weight.matrix(), weight.precision) if isinstance(weight, StoredWeight) else (weight.data, "exact")


def _together(layers: Sequence[Linear]) -> _Product | None:
    """One product for all; None for int8, which is packed already."""
    weights, precisions = zip(*map(_weight, layers), strict=True)
    if any(isinstance(one, PackedWeight) for one in weights):
        return None
    bias = np.concatenate([layer.bias.data for layer in layers if layer.bias is not None])
    return _Product(pack(np.concatenate(weights)), bias, None, precisions[0])
