"""Text as data: a corpus, its tokenizer, windows of tokens, and a model that counts."""

from odyssey.data.text.bpe import END_OF_TEXT, encode_documents, train_bpe
from odyssey.data.text.corpus import Corpus, load_texts, load_topics, split_documents
from odyssey.data.text.ngram import NGram
from odyssey.data.text.tokenized import TextData, tokenize
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
    "load_topics",
    "split_documents",
    "tokenize",
    "train_bpe",
]
