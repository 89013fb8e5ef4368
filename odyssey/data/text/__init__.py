"""Text as models take it: a corpus, its tokenizer, windows of tokens, and a model that counts.

Each is loaded when it is first asked for: who embeds a sentence trains no tokenizer.
"""

from typing import TYPE_CHECKING

from odyssey.lazy import lazy

if TYPE_CHECKING:
    from odyssey.data.text.bpe import END_OF_TEXT, encode_documents, train_bpe
    from odyssey.data.text.corpus import Corpus, load_texts, load_topics, split_documents
    from odyssey.data.text.ngram import NGram
    from odyssey.data.text.tokenized import TextData, tokenize
    from odyssey.data.text.tokenizer import load_tokenizer
    from odyssey.data.text.windows import IGNORED, TokenNoise, TokenWindows, WindowSampler

__all__ = [
    "END_OF_TEXT",
    "IGNORED",
    "Corpus",
    "NGram",
    "TextData",
    "TokenNoise",
    "TokenWindows",
    "WindowSampler",
    "encode_documents",
    "load_texts",
    "load_tokenizer",
    "load_topics",
    "split_documents",
    "tokenize",
    "train_bpe",
]

_NAMES = {
    "END_OF_TEXT": "odyssey.data.text.bpe",
    "IGNORED": "odyssey.data.text.windows",
    "Corpus": "odyssey.data.text.corpus",
    "NGram": "odyssey.data.text.ngram",
    "TextData": "odyssey.data.text.tokenized",
    "TokenNoise": "odyssey.data.text.windows",
    "TokenWindows": "odyssey.data.text.windows",
    "WindowSampler": "odyssey.data.text.windows",
    "encode_documents": "odyssey.data.text.bpe",
    "load_texts": "odyssey.data.text.corpus",
    "load_tokenizer": "odyssey.data.text.tokenizer",
    "load_topics": "odyssey.data.text.corpus",
    "split_documents": "odyssey.data.text.corpus",
    "tokenize": "odyssey.data.text.tokenized",
    "train_bpe": "odyssey.data.text.bpe",
}

__getattr__, __dir__ = lazy(globals(), _NAMES)
