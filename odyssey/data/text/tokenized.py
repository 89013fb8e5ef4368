"""A corpus as a language model learns from it: its tokens, by a tokenizer trained on what is not held out."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from odyssey.data.text.bpe import encode_documents, train_bpe
from odyssey.data.text.corpus import Corpus
from odyssey.data.text.ngram import NGram

__all__ = ["TextData", "tokenize"]


@dataclass(frozen=True)
class TextData:
    """A tokenized corpus for training.

    Attributes:
        name: what it is called in a run's configuration.
        tokenizer: a `tokenizers.Tokenizer`.
        train, test: (n,) int64, the tokens of all documents, `END_OF_TEXT` behind each.
    """

    name: str
    tokenizer: Any
    train: NDArray[np.int64]
    test: NDArray[np.int64]

    @property
    def vocabulary(self) -> int:
        """How many tokens there are."""
        return int(self.tokenizer.get_vocab_size())

    @cached_property
    def baseline(self) -> float:
        """The loss of a smoothed 3-gram model of the same tokens on what is held out: see `NGram`."""
        return NGram(self.train, self.vocabulary).loss(self.test)

    def fingerprint(self) -> str:
        """A checksum of tokenizer and tokens, to tell whether a run goes on with the text it began with."""
        checksum = zlib.crc32(self.tokenizer.to_str().encode())
        for tokens in (self.train, self.test):
            checksum = zlib.crc32(np.ascontiguousarray(tokens, "<i8").data, checksum)
        return f"{checksum:08x}"

    def describe(self) -> dict[str, Any]:
        """What a run's configuration says about the data."""
        return {
            "name": self.name,
            "vocabulary": self.vocabulary,
            "train_tokens": len(self.train),
            "test_tokens": len(self.test),
            "trigram_loss": self.baseline,
            "fingerprint": self.fingerprint(),
        }


def tokenize(corpus: Corpus, vocabulary: int) -> TextData:
    """Train a tokenizer of so many tokens on the documents to learn from, and encode all; errors as in `train_bpe`.

    Example:
        >>> corpus = Corpus("rhymes", ("to be or not to be",) * 2, ("be to",))
        >>> data = tokenize(corpus, 260)
        >>> len(data.test), round(data.baseline, 1)
        (4, 3.5)
    """
    tokenizer = train_bpe(corpus.train, vocabulary)
    parts = (encode_documents(tokenizer, part) for part in (corpus.train, corpus.test))
    return TextData(corpus.name, tokenizer, *parts)
