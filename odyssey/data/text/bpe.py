"""Byte-pair encoding: a tokenizer trained on a text of one's own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from odyssey.errors import FormatError

__all__ = ["END_OF_TEXT", "encode_documents", "train_bpe"]

END_OF_TEXT = "<|endoftext|>"
BYTES = 256


def train_bpe(texts: Iterable[str], vocabulary: int) -> Any:
    """A byte-level byte-pair tokenizer (Sennrich et al. 2016; Radford et al. 2019), a `tokenizers.Tokenizer`.

    Token 0 is `END_OF_TEXT`, then come the 256 bytes, so that any text can be written, then what is most often side by
    side, until there are enough. The same texts give the same tokenizer.

    Args:
        texts: what to count in.
        vocabulary: how many tokens; more than 257.

    Raises:
        FormatError: there is too little text for so many tokens.
        ValueError: for a vocabulary that has no room for all bytes.
        ImportError: tokenizers is not installed.

    Example:
        >>> tokenizer = train_bpe(["to be or not to be"] * 2, vocabulary=260)
        >>> [tokenizer.decode([token]) for token in tokenizer.encode("to be").ids]
        ['to', ' be']
    """
    if vocabulary <= BYTES + 1:
        raise ValueError(f"train_bpe: expected a vocabulary above {BYTES + 1}, found {vocabulary}")
    try:
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    except ImportError as error:
        raise ImportError(
            "train_bpe: expected the package tokenizers, found none; install it with: pip install 'odyssey[models]'"
        ) from error
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    if tokenizer.get_vocab_size() != vocabulary:
        raise FormatError(
            f"train_bpe: expected text for {vocabulary} tokens, found enough for {tokenizer.get_vocab_size()}; "
            "give more text, or ask for fewer tokens"
        )
    return tokenizer


def encode_documents(tokenizer: Any, texts: Iterable[str]) -> NDArray[np.int64]:
    """The tokens of texts one after another, `END_OF_TEXT` behind each.

    Example:
        >>> tokenizer = train_bpe(["to be or not to be"] * 2, vocabulary=260)
        >>> encode_documents(tokenizer, ["or", "to"])[-1]
        np.int64(0)
    """
    end = tokenizer.token_to_id(END_OF_TEXT)
    pieces = [[*one.ids, end] for one in tokenizer.encode_batch(list(texts))]
    return np.array([token for piece in pieces for token in piece], np.int64)
