"""A tiny BERT with random weights in a folder, with a tokenizer of a few words."""

import json

import numpy as np

import odyssey as od

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "a",
    "the",
    "cat",
    "dog",
    "sat",
    "ran",
    "on",
    "mat",
    "##s",
    "red",
    ".",
    ",",
]
SIZES = {"vocabulary": len(WORDS), "features": 16, "layers": 2, "heads": 2, "hidden": 24, "context": 12}


def tokenizer():
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    words = Tokenizer(models.WordPiece({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    words.normalizer = normalizers.BertNormalizer()
    words.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    words.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return words


def tiny_model(**sizes):
    return od.models.Bert(od.models.BertConfig(**{**SIZES, **sizes}), generator=np.random.default_rng(0))


def tiny_folder(path, pooling=None, normalize=None, longest=None, **sizes):
    """The folder of `tiny_model`, with the files of sentence-transformers where they say something."""
    od.models.save_pretrained(tiny_model(**sizes), path, tokenizer=tokenizer())
    if pooling:
        (path / "1_Pooling").mkdir()
        modes = {f"pooling_mode_{name}": name == pooling for name in ("cls_token", "mean_tokens", "max_tokens")}
        (path / "1_Pooling/config.json").write_text(json.dumps(modes))
    if normalize is not None:
        kinds = ["Transformer", "Pooling", *(["Normalize"] if normalize else [])]
        (path / "modules.json").write_text(
            json.dumps([{"type": f"sentence_transformers.models.{kind}"} for kind in kinds])
        )
    if longest:
        (path / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": longest}))
    return path
