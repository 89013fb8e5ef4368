"""Texts to vectors: tokens, batches of like lengths, pooling."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import odyssey as od
from odyssey.errors import DTypeError
from odyssey.typing import Array

if TYPE_CHECKING:
    from odyssey.models.bert.bert import Bert

__all__ = ["Tokens", "encode", "pool", "tokens_of"]

WINDOW = 64
"""Batches whose texts are sorted by length together: enough to be alike, and a bounded time to the first of them."""

SMALLEST = 1e-12  # a length to divide by: no vector of a trained model is as short


class Tokens(NamedTuple):
    """The tokens of texts.

    Attributes:
        ids: of each text, int64.
        cut: the numbers of the texts that were longer than the model's maximum and were cut.
    """

    ids: list[Array]
    cut: list[int]


def tokens_of(model: Bert, texts: Sequence[str]) -> Tokens:
    """The tokens of texts, of each at most as many as the model takes.

    Raises:
        DTypeError: something is no text.
        FileNotFoundError, FormatError, ModuleNotFoundError: the model has no tokenizer; see `load_tokenizer`.
        ValueError: the tokenizer has tokens that the model has not.
    """
    for place, text in enumerate(texts):
        if not isinstance(text, str):
            raise DTypeError(f"encode: expected texts, found {type(text).__name__} at {place}")
    tokenizer = tokenizer_of(model)
    most = model.config.max_tokens or model.config.context
    if tokenizer.truncation is None or tokenizer.truncation["max_length"] != most:
        tokenizer.enable_truncation(most)
    # One text is not worth the tokenizer's threads.
    found = [tokenizer.encode(texts[0])] if len(texts) == 1 else tokenizer.encode_batch_fast(list(texts))
    ids = [np.array(one.ids, np.int64) for one in found]
    largest = max((int(one.max()) for one in ids if one.size), default=0)
    if largest >= model.config.vocabulary:
        raise ValueError(
            f"encode: expected tokens below {model.config.vocabulary}, the model's vocabulary, found {largest}; "
            "use the tokenizer that belongs to the model"
        )
    return Tokens(ids, [place for place, one in enumerate(found) if one.overflowing])


def tokenizer_of(model: Bert) -> Any:
    """The model's tokenizer, read from the folder it came from when it is first asked for."""
    if model.tokenizer is None:
        from odyssey.data.text.tokenizer import load_tokenizer

        folder: Path | None = getattr(model, "pretrained", None)
        if folder is None:
            raise FileNotFoundError(
                "encode: expected a model with a tokenizer, found one that was not read from a folder; "
                "set model.tokenizer to a tokenizers.Tokenizer"
            )
        model.tokenizer = load_tokenizer(folder)
    return model.tokenizer


def encode(model: Bert, texts: Sequence[str], batch_size: int, normalize: bool | None) -> Array:
    """See `Bert.encode`."""
    if isinstance(texts, str):
        raise DTypeError("encode: expected a list of texts, found one text; put it into a list: [text]")
    if batch_size < 1:
        raise ValueError(f"encode: expected batch_size of at least 1, found {batch_size}")
    texts = list(texts)
    result = np.empty((len(texts), model.config.features), np.float32)
    cut: list[int] = []
    for first in range(0, len(texts), WINDOW * batch_size):
        tokens = tokens_of(model, texts[first : first + WINDOW * batch_size])
        cut += [first + place for place in tokens.cut]
        for places, vectors in batches(model, tokens.ids, batch_size, normalize):
            result[[first + place for place in places]] = vectors
    if cut:
        warnings.warn(
            f"encode: expected texts of at most {model.config.max_tokens or model.config.context} tokens, found "
            f"{len(cut)} longer, which were cut: {', '.join(map(str, cut[:10]))}{', ...' if len(cut) > 10 else ''}",
            stacklevel=3,
        )
    return result


def batches(
    model: Bert, ids: Sequence[Array], batch_size: int, normalize: bool | None
) -> Iterator[tuple[list[int], Array]]:
    """Which texts, and their vectors, longest first: what memory is needed is needed at once."""
    order = sorted(range(len(ids)), key=lambda place: -len(ids[place]))
    frozen = model.frozen()
    for first in range(0, len(order), batch_size):
        places = order[first : first + batch_size]
        hidden, starts = frozen.run([ids[place] for place in places])
        yield places, pool(model, hidden, starts, normalize)


def pool(model: Bert, hidden: Array, starts: Sequence[int], normalize: bool | None) -> Array:
    """One vector a text: the mean of its tokens' or its first token's, of length 1 if so asked.

    Args:
        hidden: (tokens, features), those of each text behind those of the one before.
        starts: where each text begins, and where the last ends.
        normalize: None for what the model's configuration says.

    Returns:
        (texts, features) float32.
    """
    config = model.config
    if config.pooling == "cls":
        vectors = hidden[starts[:-1]]
    else:
        vectors = np.empty((len(starts) - 1, hidden.shape[1]), hidden.dtype)
        for place in range(len(vectors)):
            od.mean(hidden[starts[place] : starts[place + 1]], axis=0, out=vectors[place])
    if config.normalize if normalize is None else normalize:
        lengths = np.maximum(od.norm(vectors, axis=-1, keepdims=True), np.float32(SMALLEST))
        od.divide(vectors, lengths, out=vectors)
    return vectors
