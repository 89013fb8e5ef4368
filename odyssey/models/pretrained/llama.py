"""Dense decoders as Llama is built (Touvron et al. 2023): Llama, Mistral, Qwen2 and Qwen3."""

from __future__ import annotations

from typing import Any, Final

from odyssey.models.decoder import Decoder, DecoderConfig
from odyssey.models.pretrained.decoders import SIZES, Family, read_decoder, sizes, write_decoder, written_sizes
from odyssey.models.pretrained.folder import Folder
from odyssey.models.pretrained.settings import Settings
from odyssey.models.pretrained.weights import Loading, Names

__all__ = ["read", "write"]


def _llama(settings: Settings) -> DecoderConfig:
    if settings.flag("mlp_bias", False):
        raise settings.wrong("mlp_bias", "false: biases of feed-forward layers are not known here;")
    return DecoderConfig(
        **sizes(settings, rope_base=10000.0, context=2048, eps=1e-6),
        attention_bias="all" if settings.flag("attention_bias", False) else "none",
    )


def _llama_settings(config: DecoderConfig) -> dict[str, Any]:
    return {**written_sizes(config), "attention_bias": config.attention_bias == "all", "mlp_bias": False}


def _mistral(settings: Settings) -> DecoderConfig:
    values = sizes(settings, rope_base=10000.0, context=4096 * 32, eps=1e-6)
    # Null says that there is none; where nothing is said, transformers takes 4096.
    window = settings.integer("sliding_window", None) if "sliding_window" in settings.values else 4096
    return DecoderConfig(**values, sliding_window=window, full_attention_layers=_full(settings, values["layers"], 0))


def _mistral_settings(config: DecoderConfig) -> dict[str, Any]:
    values = {**written_sizes(config), "sliding_window": config.sliding_window}
    return values | ({"layer_types": _types(config)} if config.full_attention_layers else {})


def _qwen2(settings: Settings) -> DecoderConfig:
    values = sizes(settings, rope_base=10000.0, context=32768, eps=1e-6)
    return DecoderConfig(**values, **_windows(settings, values["layers"]), attention_bias="qkv")


def _qwen2_settings(config: DecoderConfig) -> dict[str, Any]:
    values = {**written_sizes(config), **_window_settings(config)}
    del values["head_dim"]
    return values


def _qwen3(settings: Settings) -> DecoderConfig:
    values = sizes(settings, rope_base=10000.0, context=32768, eps=1e-6)
    values["head_size"] = settings.integer("head_dim", 128)
    bias = settings.flag("attention_bias", False)
    return DecoderConfig(
        **values, **_windows(settings, values["layers"]), attention_bias="all" if bias else "none", qk_norm="head"
    )


def _qwen3_settings(config: DecoderConfig) -> dict[str, Any]:
    return {
        **written_sizes(config),
        **_window_settings(config),
        "attention_bias": config.attention_bias == "all",
    }


def _windows(settings: Settings, layers: int) -> dict[str, Any]:
    """Qwen's windows begin at a layer."""
    if not settings.flag("use_sliding_window", False):
        return {}
    first = settings.integer("max_window_layers", 28, at_least=0)
    window = settings.integer("sliding_window", 4096)
    return {"sliding_window": window, "full_attention_layers": _full(settings, layers, first)}


def _window_settings(config: DecoderConfig) -> dict[str, Any]:
    return {
        "use_sliding_window": config.sliding_window is not None,
        "sliding_window": config.sliding_window,
        "max_window_layers": config.layers,
        "layer_types": _types(config),
    }


def _full(settings: Settings, layers: int, first: int) -> tuple[int, ...]:
    """The layers without a window: those before `first`, unless layer_types says which."""
    types = settings.values.get("layer_types")
    if types is None:
        return tuple(range(min(first, layers)))
    known = ("full_attention", "sliding_attention")
    if not isinstance(types, list) or len(types) < layers or not all(one in known for one in types):
        raise settings.wrong("layer_types", f"a list of {layers}, each {' or '.join(map(repr, known))},")
    return tuple(i for i, one in enumerate(types[:layers]) if one == "full_attention")


def _types(config: DecoderConfig) -> list[str]:
    return ["full_attention" if config.window(layer) is None else "sliding_attention" for layer in range(config.layers)]


FAMILIES: Final = {
    "llama": Family("llama", "LlamaForCausalLM", SIZES, _llama, _llama_settings),
    "mistral": Family("mistral", "MistralForCausalLM", (*SIZES, "num_key_value_heads"), _mistral, _mistral_settings),
    "qwen2": Family("qwen2", "Qwen2ForCausalLM", SIZES, _qwen2, _qwen2_settings),
    "qwen3": Family("qwen3", "Qwen3ForCausalLM", SIZES, _qwen3, _qwen3_settings),
}


def read(folder: Folder, loading: Loading) -> Decoder:
    """The model of a folder; see `odyssey.models.from_pretrained`."""
    return read_decoder(folder, loading, FAMILIES)


def write(model: Decoder) -> tuple[dict[str, Any], Names]:
    """The settings and names of the dense decoder that the model's `model_type` says."""
    return write_decoder(model, FAMILIES)
