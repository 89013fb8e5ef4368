"""What the families of decoders have in common: settings to a `DecoderConfig` and back, and the names of tensors.

A family is a module with a `Family` for each `model_type`: what its settings are called and mean where they differ.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import numpy as np

from odyssey._kernels import elementwise
from odyssey.errors import FormatError
from odyssey.models.decoder import Decoder, DecoderConfig, RopeScaling
from odyssey.models.pretrained.folder import CONFIG, Folder
from odyssey.models.pretrained.settings import Settings
from odyssey.models.pretrained.weights import Loading, Names, fill
from odyssey.typing import Array

__all__ = [
    "SIZES",
    "Family",
    "checked_config",
    "experts",
    "numbers",
    "read_decoder",
    "sizes",
    "write_decoder",
    "written_experts",
    "written_sizes",
]

Values: TypeAlias = dict[str, Any]
IGNORED: Final = (r".*rotary_emb\.inv_freq", r".*\.attn\.(bias|masked_bias)")
"""Buffers that older versions wrote."""


@dataclass(frozen=True)
class Family:
    """One `model_type`.

    Attributes:
        model_type, architecture: as they stand in config.json.
        needed: settings without which there is no model.
        read: the settings as a configuration.
        write: a configuration as settings; what it cannot say is found by reading it back.
        experts: what an expert's gate, up and down are called and where they are, or None for dense models.
    """

    model_type: str
    architecture: str
    needed: tuple[str, ...]
    read: Callable[[Settings], DecoderConfig]
    write: Callable[[DecoderConfig], Values]
    experts: Literal["block_sparse_moe", "mlp"] | None = None


SIZES: Final = (
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
)  # fmt: skip

# ---- reading ---------------------------------------------------------------------------------------------------------


def read_decoder(folder: Folder, loading: Loading, families: Mapping[str, Family]) -> Decoder:
    """The decoder of a folder; see `odyssey.models.from_pretrained`."""
    family = families[folder.config["model_type"]]
    settings = Settings(folder.config, folder.path / CONFIG)
    config = checked_config(settings, family)
    model = Decoder.without_weights(config)
    model.model_type = family.model_type
    names = _names(config, family)
    ignored = (*IGNORED, r"lm_head\.weight") if config.tied else IGNORED
    whole = [name for name in names if name.endswith(".router")]
    fill(model, folder, names, loading, tensors=_one_by_one(folder.tensors, family), ignored=ignored, whole=whole)
    return model


def checked_config(settings: Settings, family: Family) -> DecoderConfig:
    """The settings as a configuration.

    Raises:
        FormatError: settings that are needed are missing, which are all listed; or one has a value of another kind, or
            that is not known here.
    """
    missing = [name for name in family.needed if _absent(settings, name)]
    if missing:
        raise FormatError(
            f"{settings.where}: expected the settings of a {family.model_type} model, found none for "
            f"{', '.join(missing)}; add them"
        )
    if settings.values.get("quantization_config") is not None:
        raise settings.wrong("quantization_config", "none: weights that were quantised elsewhere are not known here,")
    try:
        return family.read(settings)
    except ValueError as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(f"{settings.where}: expected settings of a model, found: {error}") from None


_ALSO: Final = {"num_experts": "num_local_experts", "num_local_experts": "num_experts"}  # two names of one


def _absent(settings: Settings, name: str) -> bool:
    return settings.values.get(name) is None and settings.values.get(_ALSO.get(name, name)) is None


def sizes(settings: Settings, *, rope_base: float, context: int, eps: float) -> Values:
    """What every family says in the same words, as arguments of `DecoderConfig`.

    Args:
        settings: of the model.
        rope_base, context, eps: what holds where the settings do not say.
    """
    settings.text("hidden_act", "silu", of=("silu", "swish"))
    heads, hidden = settings.integer("num_attention_heads"), settings.integer("hidden_size")
    vocab = settings.integer("vocab_size")
    context = settings.integer("max_position_embeddings", context)
    base, scaling = _rope(settings, rope_base, context)
    return {
        "vocab_size": vocab,
        "hidden_size": hidden,
        "layers": settings.integer("num_hidden_layers"),
        "heads": heads,
        "kv_heads": settings.integer("num_key_value_heads", heads),
        "head_size": settings.integer("head_dim", hidden // heads),
        "mlp_size": settings.integer("intermediate_size"),
        "context": context,
        "norm_eps": settings.number("rms_norm_eps", eps),
        "rope_base": base,
        "rope_scaling": scaling,
        "tied": settings.flag("tie_word_embeddings", False),
        "init_std": settings.number("initializer_range", 0.02),
        "stop_tokens": _stops(settings, vocab),
    }


def experts(settings: Settings, size: str, *, balance_weight: float) -> Values:
    """Arguments of `DecoderConfig` for experts whose inner length the setting `size` says."""
    name = "num_experts" if settings.values.get("num_experts") is not None else "num_local_experts"
    return {
        "experts": settings.integer(name),
        "top_k": settings.integer("num_experts_per_tok"),
        "expert_size": settings.integer(size),
        "balance_weight": settings.number("router_aux_loss_coef", balance_weight),
    }


def _stops(settings: Settings, vocab: int) -> tuple[int, ...]:
    given = settings.values.get("eos_token_id")
    found = given if isinstance(given, list) else [] if given is None else [given]
    if not all(type(one) is int for one in found):
        raise settings.wrong("eos_token_id", "a token's number or a list of them")
    return tuple(one for one in found if 0 <= one < vocab)  # others cannot come


def numbers(settings: Settings, name: str) -> tuple[int, ...]:
    """A list of whole numbers of at least 0, empty where there is none."""
    given = settings.values.get(name)
    if given is None:
        return ()
    if not isinstance(given, list) or not all(type(one) is int and one >= 0 for one in given):
        raise settings.wrong(name, "a list of whole numbers")
    return tuple(given)


def _rope(settings: Settings, base: float, context: int) -> tuple[float, RopeScaling | None]:
    """transformers' rope_parameters, or rope_theta and rope_scaling of its versions before 5."""
    name = "rope_parameters" if settings.values.get("rope_parameters") is not None else "rope_scaling"
    rope = settings.object(name)
    base = rope.number("rope_theta", settings.number("rope_theta", base))
    if rope.number("partial_rotary_factor", settings.number("partial_rotary_factor", 1.0)) != 1.0:
        raise settings.wrong("partial_rotary_factor", "1: heads that are turned in part are not known here;")
    kinds = ("default", "linear", "llama3", "yarn")
    kind = rope.text("rope_type", rope.text("type", "default"))
    if kind not in kinds:
        raise rope.wrong("rope_type", f"one of {', '.join(kinds)}: others are not known here;")
    if kind == "default":
        return base, None
    if kind == "linear":
        return base, RopeScaling("linear", rope.number("factor"))
    original = rope.integer("original_max_position_embeddings", context)
    original = settings.integer("original_max_position_embeddings", original)
    if kind == "llama3":
        turns = rope.number("low_freq_factor"), rope.number("high_freq_factor")
        return base, RopeScaling("llama3", rope.number("factor"), original, *turns)
    factor = rope.number("factor", context / original)
    attention = rope.number("attention_factor", None)
    both = rope.number("mscale", 0.0), rope.number("mscale_all_dim", 0.0)
    if attention is None and all(both):
        first, second = (1.0 + 0.1 * scale * _log(factor) for scale in both)
        attention = first / second
    turns = rope.number("beta_slow", 1.0) or 1.0, rope.number("beta_fast", 32.0) or 32.0
    return base, RopeScaling("yarn", factor, original, *turns, attention, rope.flag("truncate", True))


def _log(x: float) -> float:
    return float(elementwise.log(np.array([x], np.float64))[0])


# ---- writing ---------------------------------------------------------------------------------------------------------


def write_decoder(model: Decoder, families: Mapping[str, Family]) -> tuple[Values, Names]:
    """The settings and names of a model.

    Raises:
        ValueError: the family has no words for what the model is.
    """
    family = families[model.model_type]
    config = _plain(model.config)
    written = {"architectures": [family.architecture], "model_type": family.model_type, **family.write(config)}
    missing = [name for name in family.needed if written.get(name) is None]
    if missing:
        raise ValueError(
            f"save_pretrained: expected a model with {', '.join(missing)}, as {family.model_type} ones have"
        )
    ours, theirs = (_said(one) for one in (config, checked_config(Settings(written, Path(CONFIG)), family)))
    lost = [f"{name}={value!r}" for name, value in ours.items() if theirs.get(name) != value]
    if lost:
        raise ValueError(
            f"save_pretrained: a {family.model_type} model cannot be written with {', '.join(lost)}; "
            "set the model's model_type to another family, or to 'odyssey_decoder', which has words for all"
        )
    return written, _names(config, family)


def _plain(config: DecoderConfig) -> DecoderConfig:
    """NTK scaling, for which others have no word, as the larger base that it is."""
    scaling, size = config.rope_scaling, config.head_size
    if scaling is None or scaling.kind != "ntk" or size <= 2:
        return config
    return config.with_(rope_base=scaling.stretched(config.rope_base, size), rope_scaling=None)


def _said(config: DecoderConfig) -> Values:
    """What a configuration comes to: settings that do nothing are left out."""
    values = {field.name: getattr(config, field.name) for field in dataclasses.fields(DecoderConfig)}
    sparse = tuple(config.is_sparse(layer) for layer in range(config.layers))
    for name in ("sparse_step", "dense_layers", "full_attention_layers", "sliding_window", "stop_tokens"):
        del values[name]
    if config.rope_scaling is not None:
        values["rope_scaling"] = _written_scaling(config.rope_scaling)
    values["sparse layers"] = sparse
    values["windows"] = tuple(config.window(layer) for layer in range(config.layers))
    if not any(sparse):
        for name in ("experts", "top_k", "expert_size", "renormalize", "balance_weight"):
            del values[name]
    if all(sparse):
        del values["mlp_size"]
    if config.residual == "add":
        del values["streams"]
    return values


def written_sizes(config: DecoderConfig) -> Values:
    """The settings that `sizes` reads."""
    stops: Any = list(config.stop_tokens) if len(config.stop_tokens) != 1 else config.stop_tokens[0]
    return {
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.mlp_size,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head_size,
        "hidden_act": "silu",
        "max_position_embeddings": config.context,
        "rms_norm_eps": config.norm_eps,
        "rope_theta": config.rope_base,
        "rope_scaling": _written_scaling(config.rope_scaling),
        "tie_word_embeddings": config.tied,
        "initializer_range": config.init_std,
        "eos_token_id": stops or None,
    }


def written_experts(config: DecoderConfig, count: str, size: str) -> Values:
    """The settings that `experts` reads, their number and inner length under the family's names."""
    return {
        count: config.experts or None,
        size: config.expert_size,
        "num_experts_per_tok": config.top_k,
        "router_aux_loss_coef": config.balance_weight,
    }


def _written_scaling(scaling: RopeScaling | None) -> Values | None:
    if scaling is None:
        return None
    values: Values = {"rope_type": scaling.kind, "factor": scaling.factor}
    if scaling.kind in ("llama3", "yarn"):
        low, high = scaling.turns()
        words = ("low_freq_factor", "high_freq_factor") if scaling.kind == "llama3" else ("beta_slow", "beta_fast")
        values |= {"original_max_position_embeddings": scaling.original_context, words[0]: low, words[1]: high}
    if scaling.kind == "yarn":
        values |= {"attention_factor": scaling.magnitude(), "truncate": scaling.truncate}
    return values


# ---- names -----------------------------------------------------------------------------------------------------------

_OWNERS: Final = {
    "embedding": "model.embed_tokens", "norm": "model.norm", "head": "lm_head",
}  # fmt: skip
_LAYER: Final = {"attention_norm": "input_layernorm", "mlp_norm": "post_attention_layernorm"} | {
    f"attention.{name}": f"self_attn.{name}" for name in ("q_norm", "k_norm", "q_proj", "k_proj", "v_proj", "o_proj")
}
_EXPERT: Final = {
    "block_sparse_moe": {"gate": "w1", "up": "w3", "down": "w2"},
    "mlp": {"gate": "gate_proj", "up": "up_proj", "down": "down_proj"},
}


def _names(config: DecoderConfig, family: Family) -> Names:
    names: dict[str, str | list[str]] = {f"{ours}.weight": f"{theirs}.weight" for ours, theirs in _OWNERS.items()}
    if config.tied:
        del names["head.weight"]
    for i in range(config.layers):
        ours, theirs = f"layers.{i}", f"model.layers.{i}"
        for one, other in _LAYER.items():
            for leaf in ("weight", "bias"):
                names[f"{ours}.{one}.{leaf}"] = f"{theirs}.{other}.{leaf}"
        if not config.is_sparse(i):
            for one in ("gate_proj", "up_proj", "down_proj"):
                names[f"{ours}.mlp.{one}.weight"] = f"{theirs}.mlp.{one}.weight"
            continue
        assert family.experts is not None
        within = f"{theirs}.{family.experts}"
        names[f"{ours}.mlp.router"] = f"{within}.gate.weight"
        for one, other in _EXPERT[family.experts].items():
            names[f"{ours}.mlp.{one}"] = [f"{within}.experts.{e}.{other}.weight" for e in range(config.experts)]
    return names


def _one_by_one(tensors: Mapping[str, Array], family: Family) -> Mapping[str, Array]:
    """Tensors by their names on the hub: experts that lie in one, as in transformers' memory from version 5 on, as
    views of it."""
    if family.experts is None:
        return tensors
    words = _EXPERT[family.experts]
    found: dict[str, Array] = {}
    for name, array in tensors.items():
        owner, _, leaf = name.rpartition(".mlp.experts.")
        within = f"{owner}.{family.experts}"
        if owner and leaf == "gate_up_proj" and array.ndim == 3:
            half = array.shape[1] // 2
            for e, both in enumerate(array):
                found[f"{within}.experts.{e}.{words['gate']}.weight"] = both[:half]
                found[f"{within}.experts.{e}.{words['up']}.weight"] = both[half:]
        elif owner and leaf == "down_proj" and array.ndim == 3:
            found |= {f"{within}.experts.{e}.{words['down']}.weight": one for e, one in enumerate(array)}
        elif name.endswith(".mlp.gate.weight"):
            found[f"{name.removesuffix('.mlp.gate.weight')}.{family.experts}.gate.weight"] = array
        else:
            found[name] = array
    return found
