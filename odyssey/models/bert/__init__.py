"""BERT, an encoder of text (Devlin et al. 2018), and the embeddings of sentences made with it."""

from odyssey.models.bert.bert import Bert
from odyssey.models.bert.config import BertConfig

__all__ = ["Bert", "BertConfig"]
