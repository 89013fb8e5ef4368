"""Text as data: a corpus, its tokenizer, windows of tokens, and a model that counts."""

from odyssey.data.text.corpus import Corpus, load_topics, split_documents
from odyssey.data.text.ngram import NGram
from odyssey.data.text.windows import IGNORED, TokenWindows, WindowSampler

__all__ = ["IGNORED", "Corpus", "NGram", "TokenWindows", "WindowSampler", "load_topics", "split_documents"]
