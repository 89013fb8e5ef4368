"""A BERT as it embeds: its weights laid out for products, and tokens of texts one behind another, without padding.

A product sees the tokens of all texts as rows; attention sees the texts of one length together. Neither knows how many
others there are, so a text has the same bits alone and in any company, and those of `Bert.forward`.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import odyssey as od
from odyssey.nn.embedding import Embedding
from odyssey.nn.linear import Linear
from odyssey.nn.stored import Matrix, Precision, StoredWeight
from odyssey.packing import PackedWeight, pack
from odyssey.typing import Array

if TYPE_CHECKING:
    from collections.abc import Sequence

    from odyssey.models.bert.bert import Bert, BertBlock

__all__ = ["Frozen"]


class _Product(NamedTuple):
    """A linear layer, or several over the same rows, side by side."""

    weight: Matrix
    bias: Array | None
    activation: str | None
    precision: Precision

    def __call__(self, x: Array) -> Array:
        return od.linear(x, self.weight, self.bias, self.activation, None, self.precision)


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
        self.features = config.features
        self._tokens = model.token_embedding
        # Which places and kinds there are is known before the text is: their sum is a table of its own.
        places, kinds = (_table(one) for one in (model.position_embedding, model.type_embedding))
        self._places = od.add(places, kinds[0])
        self._norm = _norm(model.embedding_norm)
        self._blocks = [_block(one) for one in model.blocks]

    def run(self, ids: Sequence[Array]) -> tuple[Array, list[int]]:
        """Each token's vector, (tokens of all texts, features), and where each text's begin.

        Args:
            ids: the tokens of each text; texts of one length that are neighbours go through attention together.
        """
        lengths = [len(one) for one in ids]
        starts = np.cumsum([0, *lengths])
        tokens = np.concatenate(ids)
        places = np.concatenate([self._places[:length] for length in lengths])
        x = od.add(self._tokens(tokens).data, places, out=places)
        self._norm(x, x)
        groups = [(length, sum(1 for _ in same)) for length, same in groupby(lengths)]
        attended = np.empty_like(x)
        for block in self._blocks:
            self._attend(block, x, groups, attended)
            y = block.out(attended)
            block.attention_norm(od.add(y, x, out=y), y)
            inside = block.up(y)
            if block.tanh_gelu:
                od.gelu(inside, "tanh", out=inside)
            x = block.down(inside)
            block.norm(od.add(x, y, out=x), x)
        return x, starts.tolist()

    def _attend(self, block: _Block, x: Array, groups: Sequence[tuple[int, int]], out: Array) -> None:
        """Attention within each text."""
        if len(block.heads) == 1:
            joined = block.heads[0](x)
            parts = [joined[:, i * self.features : (i + 1) * self.features] for i in range(3)]
        else:
            parts = [project(x) for project in block.heads]
        at = 0
        for length, count in groups:
            end = at + length * count
            query, key, value, result = (
                one[at:end].reshape(count, length, self.heads, -1).transpose(0, 2, 1, 3) for one in (*parts, out)
            )
            od.scaled_dot_product_attention(query, key, value, out=result)
            at = end


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
