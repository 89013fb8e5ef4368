"""The decoder: tokens in, what comes next out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import DTypeLike

from odyssey.errors import DTypeError, ShapeError
from odyssey.models.decoder.block import Block
from odyssey.models.decoder.cache import Cache
from odyssey.models.decoder.config import DecoderConfig
from odyssey.models.decoder.places import Places, placed, real_tokens
from odyssey.models.decoder.rotary import RotaryTables
from odyssey.nn import functional, init
from odyssey.nn.containers import ModuleList
from odyssey.nn.embedding import Embedding
from odyssey.nn.functional._arguments import array, operand
from odyssey.nn.hyper import HyperHead
from odyssey.nn.linear import Linear
from odyssey.nn.module import Module
from odyssey.nn.moe import MixtureOfExperts
from odyssey.nn.norms import RMSNorm
from odyssey.tensor.tape import Array, Gradients, Node, no_grad
from odyssey.tensor.tensor import Tensor, record

__all__ = ["Decoder"]


class Decoder(Module):
    """A transformer that reads from left to right (Radford et al. 2018), as Llama, Mixtral, OLMoE and Qwen3 are built.

    An embedding, `config.layers` blocks of attention and a feed-forward layer, each behind an RMS norm, a last norm and
    the head.

    Args:
        config: its shape.
        generator: where the first weights come from; without one they differ from run to run. Matrices start normal
            with deviation `config.init_std`, norms at 1, biases at 0.
        dtype: float32 or float64.

    Attributes:
        config: its shape, as given.
        model_type: the family of folders that `save_pretrained` writes it as: "odyssey_decoder", which has words for
            all of them, or that which it was read as. For transformers set "llama", "mixtral" or another of theirs.

    Example:
        >>> import odyssey as od
        >>> import numpy as np
        >>> config = od.models.DecoderConfig(vocab_size=100, hidden_size=32, layers=2, heads=4, kv_heads=2)
        >>> model = od.models.Decoder(config)
        >>> model(np.array([[1, 2, 3]])).shape
        (1, 3, 100)
    """

    model_type = "odyssey_decoder"

    def __init__(
        self,
        config: DecoderConfig,
        *,
        generator: np.random.Generator | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        generator = np.random.default_rng() if generator is None else generator
        options: Any = {"generator": generator, "dtype": dtype}
        self.config = config
        self._tables = RotaryTables(config.head_size, config.rope_base, config.rope_scaling, dtype)
        with init.placeholders():
            self.embedding = Embedding(config.vocab_size, config.hidden_size, **options)
            self.layers = ModuleList(Block(config, layer, **options) for layer in range(config.layers))
            self.streams_head = (
                HyperHead(config.streams, config.hidden_size, norm_eps=config.norm_eps, **options)
                if config.residual == "mhc"
                else None
            )
            self.norm = RMSNorm(config.hidden_size, config.norm_eps, dtype=dtype)
            self.head = Linear(config.hidden_size, config.vocab_size, False, **options)
            if config.tied:
                self.head.weight = self.embedding.weight
        for parameter in self.parameters():
            if not any(parameter.data.strides):  # a placeholder: norms, biases and the like have their own values
                empty = np.empty(parameter.shape, parameter.dtype)
                parameter.data = init.normal_(empty, std=config.init_std, generator=generator)

    @classmethod
    def without_weights(cls, config: DecoderConfig, *, dtype: DTypeLike = np.float32) -> Self:
        """A model whose matrices have shapes and no memory, for weights that are put there later.

        Example:
            >>> import odyssey as od
            >>> model = od.models.MoETransformer.without_weights(od.models.MoEConfig.moe_6_9b())
            >>> sum(p.size for p in model.parameters())
            6882678528
        """
        with init.placeholders():
            return cls(config, dtype=dtype)

    def forward(
        self,
        ids: Tensor | Array,
        attention_mask: Tensor | Array | None = None,
        position_ids: Tensor | Array | None = None,
        cache: Cache | None = None,
        logits: Literal["all", "last"] = "all",
        *,
        counts: Array | None = None,
    ) -> Tensor:
        """What comes after each token, as logits.

        Args:
            ids: (batch, width) integers, the tokens.
            attention_mask: (batch, width), True or 1 for a token and False or 0 for padding, on either side. Padding is
                not computed: its logits are 0, and no expert sees it.
            position_ids: (batch, width) or (width,) integers, the positions for the rotary embedding; counted from each
                sequence's first token unless given.
            cache: as from `new_cache`. The tokens come after those in it, each sequence's at its own length, and are
                added to it. No gradient is recorded. The bits are those of the full pass.
            logits: "last" for those of each sequence's last token alone.
            counts: (batch,) integers, how many tokens of each row are real, in place of a mask padded on the right.

        Returns:
            (batch, width, vocab_size), or (batch, 1, vocab_size) for "last", 0 where there is no token. A token's bits
            depend neither on padding nor on what else is in the batch.

        Raises:
            ShapeError, DTypeError: arrays that do not fit.
            IndexError: an id outside of the vocabulary.
            ValueError: more tokens than the context or the cache has room for. Nothing has changed then.
        """
        if cache is not None:
            with no_grad():
                return self._computed(ids, attention_mask, position_ids, cache, logits, counts)
        return self._computed(ids, attention_mask, position_ids, None, logits, counts)

    def _computed(
        self,
        ids: Tensor | Array,
        attention_mask: Tensor | Array | None,
        position_ids: Tensor | Array | None,
        cache: Cache | None,
        logits: Literal["all", "last"],
        counts: Array | None,
    ) -> Tensor:
        if logits not in ("all", "last"):
            raise ValueError(f"{type(self).__name__}: expected logits 'all' or 'last', found {logits!r}")
        tokens = self._checked(ids, cache)
        places = self._places(tokens, attention_mask, position_ids, cache, counts)
        batch, width = tokens.shape
        flat = tokens.ravel() if places.rows is None else tokens.ravel()[places.rows]
        if not places.tokens:
            return Tensor(np.zeros((batch, width if logits == "all" else 1, self.config.vocab_size), self._dtype()))
        x: Any = self._expanded(self.embedding(flat))
        for block in self.layers:
            x = block(x, places, cache)
        if cache is not None:
            cache.lengths = cache.lengths + places.counts
        rows, wanted = places.rows, width
        if logits == "last":
            x = functional.embedding(functional.reshape(x, len(flat), -1), places.last()).reshape(batch, *x.shape[1:])
            rows, wanted = (None if places.counts.all() else np.flatnonzero(places.counts)), 1
            if rows is not None:
                x = functional.getitem(x, rows)
        y = self._predicted(self._collapsed(x))
        if rows is not None:
            y = _placed_back(y, rows, batch * wanted)
        return functional.reshape(y, batch, wanted, self.config.vocab_size)

    def forward_ids(self, token_ids: Array, batch: int, seq_len: int) -> Tensor:
        """The logits (batch, seq_len, vocab_size) of tokens that lie one after another, batch * seq_len of them.

        Example:
            >>> import odyssey as od
            >>> import numpy as np
            >>> od.models.MoETransformer.tiny().forward_ids(np.arange(6), batch=2, seq_len=3).shape
            (2, 3, 1000)
        """
        ids = array(token_ids)
        if batch < 1 or seq_len < 1 or ids.size != batch * seq_len:
            raise ShapeError(
                f"forward_ids: expected batch * seq_len = {batch} * {seq_len} tokens, at least one, found {ids.size}"
            )
        y: Tensor = self(ids.reshape(batch, seq_len))
        return y

    def new_cache(self, batch: int, capacity: int | None = None) -> Cache:
        """An empty cache for `batch` sequences of up to `capacity` tokens, the context unless given.

        Raises:
            ValueError: a capacity beyond the context.
        """
        config = self.config
        capacity = config.context if capacity is None else capacity
        if capacity > config.context:
            raise ValueError(f"new_cache: expected a capacity within the context of {config.context}, found {capacity}")
        return Cache(config.layers, batch, config.kv_heads, capacity, config.head_size, self._dtype())

    def generate(self, prompts: Any, max_new_tokens: int | None = None, **options: Any) -> Iterator[Any]:
        """The tokens that follow prompts, one after another: `odyssey.models.generate`, where all is said.

        Example:
            >>> import odyssey as od
            >>> model = od.models.MoETransformer.tiny()
            >>> len(list(model.generate([1, 2, 3], 4, temperature=0.8, top_p=0.9, seed=0)))
            4
        """
        from odyssey.models.generation import generate

        return generate(self, prompts, max_new_tokens, **options)

    def load_balancing_loss(self) -> Tensor:
        """The sum over the sparse layers of what `MixtureOfExperts.load_balancing_loss` says of the last call; 0 for a
        dense model. Training adds `config.balance_weight` times it to the loss."""
        losses = [layer.load_balancing_loss() for layer in self.sparse_layers()]
        if not losses:
            return Tensor(np.zeros((), self._dtype()))
        total = losses[0]
        for loss in losses[1:]:
            total = functional.add(total, loss)
        return total

    def sparse_layers(self) -> Iterator[MixtureOfExperts]:
        """The layers with experts, in order."""
        return (block.mlp for block in self.blocks() if isinstance(block.mlp, MixtureOfExperts))

    def blocks(self) -> Iterator[Block]:
        """The layers, in order."""
        return (block for block in self.layers if isinstance(block, Block))

    # ---- steps ------------------------------------------------------------------------------------------------------

    def _dtype(self) -> np.dtype[Any]:
        return self.norm.weight.dtype if self.norm.weight is not None else np.dtype(np.float32)

    def _checked(self, ids: Tensor | Array, cache: Cache | None) -> Array:
        name = type(self).__name__
        tokens = array(ids)
        if tokens.dtype.kind not in "iu":
            raise DTypeError(f"{name}: expected ids of integers, found {tokens.dtype}")
        if tokens.ndim != 2 or not tokens.size:
            remedy = "; ids[np.newaxis] is a batch of one" if tokens.ndim == 1 and tokens.size else ""
            raise ShapeError(f"{name}: expected ids (batch, width), at least one token, found {tokens.shape}{remedy}")
        config = self.config
        if cache is not None and (
            cache.batch != len(tokens)
            or len(cache.keys) != config.layers
            or cache.keys[0].shape[1::2] != (config.kv_heads, config.head_size)
            or cache.keys[0].dtype != self._dtype()
        ):
            raise ShapeError(
                f"{name}: expected a cache of {len(tokens)} sequences that this model's new_cache made, found {cache!r}"
            )
        return tokens.astype(np.int64, copy=False)

    def _places(self, tokens: Array, mask: Any, position_ids: Any, cache: Cache | None, counts: Array | None) -> Places:
        positions = None
        shape = (tokens.shape[0], tokens.shape[1])
        if position_ids is not None:
            positions = array(position_ids)
            if positions.shape not in (shape, shape[1:]) or positions.dtype.kind not in "iu":
                raise ShapeError(
                    f"{type(self).__name__}: expected position_ids {shape} or {shape[1:]} of integers, found "
                    f"{positions.shape} {positions.dtype}"
                )
        real = real_tokens(None if mask is None else array(mask), counts, shape)
        config = self.config
        return placed(shape, real, positions, cache, self._tables, self._dtype(), config.sliding_window, config.context)

    def _expanded(self, x: Tensor) -> Tensor:
        return x if self.streams_head is None else self.streams_head.expand(x)

    def _collapsed(self, x: Tensor) -> Tensor:
        return x if self.streams_head is None else self.streams_head(x)

    def _predicted(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.norm(x))
        return y


def _placed_back(y: Tensor, rows: Array, count: int) -> Tensor:
    """y's rows at the places `rows` of `count`, 0 elsewhere."""
    data, edge = operand(y)
    out = np.zeros((count, data.shape[1]), data.dtype)
    out[rows] = data
    return record(out, _placed_back_backward, (edge,), rows)


def _placed_back_backward(grad: Array, node: Node) -> Gradients:
    return (grad[node.saved],)
