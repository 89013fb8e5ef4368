"""BERT: embeddings, and blocks of attention and a feed-forward layer, each with a norm behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from odyssey.errors import DTypeError, ShapeError
from odyssey.models.bert.config import BertConfig
from odyssey.models.bert.embedding import encode
from odyssey.models.bert.frozen import Frozen
from odyssey.nn import functional
from odyssey.nn.attention import MultiHeadAttention
from odyssey.nn.embedding import Embedding
from odyssey.nn.functional._arguments import array
from odyssey.nn.linear import Linear
from odyssey.nn.module import Module
from odyssey.nn.norms import LayerNorm
from odyssey.tensor.tensor import Tensor
from odyssey.typing import Array

__all__ = ["Bert", "BertBlock"]


class BertBlock(Module):
    """y = norm(x + attention(x)), then norm(y + down(activation(up(y)))): (batch, length, features) -> the same."""

    def __init__(self, config: BertConfig, generator: np.random.Generator) -> None:
        self.attention = MultiHeadAttention(config.features, config.heads, generator=generator)
        self.attention_norm = LayerNorm(config.features, config.eps)
        self.tanh_gelu = config.activation == "gelu_tanh"
        activation = None if config.activation == "gelu_tanh" else config.activation
        self.up = Linear(config.features, config.hidden, activation=activation, generator=generator)
        self.down = Linear(config.hidden, config.features, generator=generator)
        self.norm = LayerNorm(config.features, config.eps)

    def forward(self, x: Tensor | Array, key_mask: Array | None = None) -> Tensor:
        """Attend to the tokens that key_mask (batch, length) says are none of padding."""
        y = self.attention_norm(functional.add(x, self.attention(x, key_mask=key_mask)))
        inside = self.up(y)
        if self.tanh_gelu:
            inside = functional.gelu(inside, "tanh")
        result: Tensor = self.norm(functional.add(y, self.down(inside)))
        return result


class Bert(Module):
    """BERT's encoder (Devlin, Chang, Lee, Toutanova 2018), and embeddings of texts: the all-MiniLM class.

    Args:
        config: its sizes.
        generator: where the initial weights come from; without one they differ from run to run.

    Attributes:
        config: as given.
        pooler: a Linear layer with tanh behind the first token, or None.
        tokenizer: the `tokenizers.Tokenizer` that `encode` uses; of a model from a folder, the folder's.

    `forward` takes token numbers (batch, length) and gives each token's vector.

    Example:
        >>> import odyssey as od
        >>> import numpy as np
        >>> model = od.models.Bert(od.models.BertConfig(vocabulary=20, features=8, layers=1, heads=2, hidden=16))
        >>> model(np.array([[1, 5, 2]])).shape
        (1, 3, 8)
    """

    model_type = "bert"

    def __init__(self, config: BertConfig | None = None, *, generator: np.random.Generator | None = None) -> None:
        config = BertConfig() if config is None else config
        generator = np.random.default_rng() if generator is None else generator
        self.config = config
        self.token_embedding = Embedding(config.vocabulary, config.features, config.padding, generator=generator)
        self.position_embedding = Embedding(config.context, config.features, generator=generator)
        self.type_embedding = Embedding(config.types, config.features, generator=generator)
        self.embedding_norm = LayerNorm(config.features, config.eps)
        self.blocks = [BertBlock(config, generator) for _ in range(config.layers)]
        self.pooler = (
            Linear(config.features, config.features, activation="tanh", generator=generator) if config.pooler else None
        )
        self.tokenizer: Any = None
        self._frozen: Frozen | None = None

    def forward(
        self, ids: Tensor | Array, attention_mask: Tensor | Array | None = None, type_ids: Tensor | Array | None = None
    ) -> Tensor:
        """Each token's vector behind the last block.

        Args:
            ids: (batch, length) integers, the tokens.
            attention_mask: (batch, length), true or 1 for a token and 0 for padding; all are tokens without one.
            type_ids: (batch, length) integers, the kinds of the tokens; all of the first without one.

        Returns:
            (batch, length, features). What stands at padding means nothing.

        Raises:
            ShapeError: other axes, or more tokens than places.
            DTypeError: numbers that are no integers.
            IndexError: a token or a kind that is none.
        """
        tokens = self._tokens("ids", array(ids), None)
        types = np.zeros_like(tokens) if type_ids is None else self._tokens("type_ids", array(type_ids), tokens.shape)
        places = functional.add(self.position_embedding(np.arange(tokens.shape[1])), self.type_embedding(types))
        x: Tensor = self.embedding_norm(functional.add(self.token_embedding(tokens), places))
        mask = None if attention_mask is None else mask_of(array(attention_mask), tokens.shape)
        for block in self.blocks:
            x = block(x, mask)
        return x

    def encode(self, texts: Sequence[str], batch_size: int = 32, normalize: bool | None = None) -> Array:
        """An embedding for each text: the vectors of its tokens pooled, as sentence-transformers' models do.

        Args:
            texts: any number of texts. What is longer than `config.max_tokens` is cut, which a warning says.
            batch_size: how many go through the model together; of texts in any order, those of like length.
            normalize: whether vectors are divided by their length; None for what the configuration says.

        Returns:
            (texts, features) float32, in the order of the texts. A text's bits are the same alone and in any batch.

        Weights are laid out for products once, at the first call after `train`, `eval` or `load_state_dict`; changes
        made to them in between are not seen.

        Raises:
            DTypeError: something is no text.
            FileNotFoundError: the model has no tokenizer: it did not come from a folder, or that has none.
            ModuleNotFoundError: the package tokenizers is not installed.
            ValueError: a batch_size below 1, or the tokenizer is another model's.
        """
        return encode(self, texts, batch_size, normalize)

    def frozen(self) -> Frozen:
        """The weights laid out for products; made anew after `train`, `eval` and `load_state_dict`."""
        if self._frozen is None:
            self._frozen = Frozen(self)
        return self._frozen

    def train(self, mode: bool = True) -> Self:
        """Set training mode, and forget what was laid out for `encode`."""
        self._frozen = None
        return super().train(mode)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Copy arrays into the parameters, and forget what was laid out for `encode`."""
        self._frozen = None
        super().load_state_dict(state)

    def _tokens(self, name: str, ids: Array, shape: tuple[int, ...] | None) -> Array:
        if ids.ndim != 2 or (shape is not None and ids.shape != shape):
            raise ShapeError(f"Bert: expected {name} {shape or '(batch, length)'}, found {ids.shape}")
        if ids.dtype.kind not in "iu":
            raise DTypeError(f"Bert: expected {name} of integers, found {ids.dtype}")
        if ids.shape[1] > self.config.context:
            raise ShapeError(
                f"Bert: expected at most {self.config.context} tokens, as the model has places, found {ids.shape[1]}; "
                "cut the text"
            )
        return ids


def mask_of(mask: Array, shape: tuple[int, ...]) -> Array:
    """Which of the tokens are no padding, as bool."""
    if mask.shape != shape:
        raise ShapeError(f"Bert: expected attention_mask {shape}, found {mask.shape}")
    return mask if mask.dtype == np.bool_ else mask != 0
