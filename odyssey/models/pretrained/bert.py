"""BERT in folders: BertModel and models around it, whose names begin with "bert."; sentence-transformers' pooling.

What surrounds the encoder in other classes (heads for classes or masked words) is left out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from odyssey.models.bert import Bert, BertConfig
from odyssey.models.bert.config import Pooling
from odyssey.models.pretrained.folder import CONFIG, Folder, read_json
from odyssey.models.pretrained.settings import Settings
from odyssey.models.pretrained.weights import Loading, Names, fill
from odyssey.nn import init

__all__ = ["read", "write"]

PREFIX = "bert."
# transformers' names of the activations that are known here.
ACTIVATIONS: Final = {
    "gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "relu": "relu", "silu": "silu",
    "swish": "silu", "tanh": "tanh",
}  # fmt: skip
THEIRS: Final = {"gelu": "gelu", "gelu_tanh": "gelu_new", "relu": "relu", "silu": "silu", "tanh": "tanh"}
# Buffers that older versions wrote, and what stands around the encoder in other classes.
IGNORED: Final = (
    r"embeddings\.position_ids",
    r"embeddings\.token_type_ids",
    r"cls\..*",
    r"classifier\..*",
    r"qa_outputs\..*",
)
LAYERS: Final = (
    ("attention.q_proj", "attention.self.query"),
    ("attention.k_proj", "attention.self.key"),
    ("attention.v_proj", "attention.self.value"),
    ("attention.out_proj", "attention.output.dense"),
    ("attention_norm", "attention.output.LayerNorm"),
    ("up", "intermediate.dense"),
    ("down", "output.dense"),
    ("norm", "output.LayerNorm"),
)


def read(folder: Folder, loading: Loading) -> Bert:
    """The encoder of a folder; see `odyssey.models.from_pretrained`."""
    # Names begin with "bert." in models around an encoder, and older files call a norm's parameters gamma and beta.
    tensors = {_plain(name): array for name, array in folder.tensors.items()}
    config = _config(folder, pooler="pooler.dense.weight" in tensors)
    with init.placeholders():
        model = Bert(config)
    fill(model, folder, _names(config), loading, tensors=tensors, ignored=IGNORED)
    return model


def _plain(name: str) -> str:
    name = name.removeprefix(PREFIX)
    if name.endswith("LayerNorm.gamma"):
        return f"{name.removesuffix('gamma')}weight"
    return f"{name.removesuffix('beta')}bias" if name.endswith("LayerNorm.beta") else name


def _config(folder: Folder, pooler: bool) -> BertConfig:
    settings = Settings(folder.config, folder.path / CONFIG)
    settings.text("position_embedding_type", "absolute", of=("absolute",))
    for name in ("is_decoder", "add_cross_attention"):
        if settings.flag(name, False):
            raise settings.wrong(name, "false, for an encoder,")
    features, heads = settings.integer("hidden_size"), settings.integer("num_attention_heads")
    if features % heads:
        raise settings.wrong("num_attention_heads", f"a divisor of hidden_size={features}")
    context = settings.integer("max_position_embeddings")
    pooling, normalize, longest = _sentences(folder.path, context)
    vocabulary = settings.integer("vocab_size")
    padding = settings.integer("pad_token_id", None, at_least=0)
    if padding is not None and padding >= vocabulary:
        raise settings.wrong("pad_token_id", f"a token below vocab_size={vocabulary}")
    return BertConfig(
        vocabulary=vocabulary,
        features=features,
        layers=settings.integer("num_hidden_layers"),
        heads=heads,
        hidden=settings.integer("intermediate_size"),
        context=context,
        types=settings.integer("type_vocab_size", 2),
        activation=ACTIVATIONS[settings.text("hidden_act", "gelu", of=tuple(ACTIVATIONS))],  # type: ignore[arg-type]
        eps=settings.number("layer_norm_eps", 1e-12),
        pooler=pooler,
        pooling=pooling,
        normalize=normalize,
        padding=padding,
        max_tokens=longest,
    )


def _sentences(path: Path, context: int) -> tuple[Pooling, bool, int | None]:
    """How sentence-transformers makes an embedding of the tokens' vectors: its files, or its defaults."""
    pooling: Pooling = "mean"
    longest = None
    file = path / "1_Pooling" / CONFIG
    if file.is_file():
        settings = Settings(read_json(file), file)
        chosen = {
            name: settings.flag(f"pooling_mode_{name}", False)
            for name in ("mean_tokens", "cls_token", "max_tokens", "mean_sqrt_len_tokens", "lasttoken")
        }
        if [name for name, on in chosen.items() if on] not in (["mean_tokens"], ["cls_token"]):
            raise settings.wrong("pooling_mode_mean_tokens", "either the mean of the tokens or the cls token alone")
        pooling = "cls" if chosen["cls_token"] else "mean"
    normalize = True
    if (path / "modules.json").is_file():
        normalize = b"Normalize" in (path / "modules.json").read_bytes()
    file = path / "sentence_bert_config.json"
    if file.is_file():
        longest = min(Settings(read_json(file), file).integer("max_seq_length", context), context)
    return pooling, normalize, longest


def _names(config: BertConfig) -> Names:
    owners = {
        "token_embedding": "embeddings.word_embeddings",
        "position_embedding": "embeddings.position_embeddings",
        "type_embedding": "embeddings.token_type_embeddings",
    }
    names = {f"{ours}.weight": f"{theirs}.weight" for ours, theirs in owners.items()}
    both = {"embedding_norm": "embeddings.LayerNorm"}
    for i in range(config.layers):
        both |= {f"blocks.{i}.{ours}": f"encoder.layer.{i}.{theirs}" for ours, theirs in LAYERS}
    if config.pooler:
        both["pooler"] = "pooler.dense"
    for ours, theirs in both.items():
        names |= {f"{ours}.{leaf}": f"{theirs}.{leaf}" for leaf in ("weight", "bias")}
    return names


def write(model: Bert) -> tuple[dict[str, Any], Names]:
    """The settings and names of a BertModel."""
    config = model.config
    settings = {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "vocab_size": config.vocabulary,
        "hidden_size": config.features,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "intermediate_size": config.hidden,
        "max_position_embeddings": config.context,
        "type_vocab_size": config.types,
        "hidden_act": THEIRS[config.activation],
        "layer_norm_eps": config.eps,
        "position_embedding_type": "absolute",
        "pad_token_id": config.padding,
    }
    return settings, _names(config)
