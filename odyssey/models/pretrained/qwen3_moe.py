"""Qwen3's models with experts (Yang et al. 2025): norms over each head of queries and keys, perhaps dense layers."""

from __future__ import annotations

from typing import Any, Final

from odyssey.models.decoder import Decoder, DecoderConfig
from odyssey.models.pretrained.decoders import (
    SIZES,
    Family,
    experts,
    numbers,
    read_decoder,
    sizes,
    write_decoder,
    written_experts,
    written_sizes,
)
from odyssey.models.pretrained.folder import Folder
from odyssey.models.pretrained.settings import Settings
from odyssey.models.pretrained.weights import Loading, Names

__all__ = ["read", "write"]


def _read(settings: Settings) -> DecoderConfig:
    window = settings.integer("sliding_window", None)
    return DecoderConfig(
        **sizes(settings, rope_base=10000.0, context=32768, eps=1e-6),
        **experts(settings, "moe_intermediate_size", balance_weight=0.001),
        renormalize=settings.flag("norm_topk_prob", False),
        sparse_step=settings.integer("decoder_sparse_step", 1),
        dense_layers=numbers(settings, "mlp_only_layers"),
        attention_bias="all" if settings.flag("attention_bias", False) else "none",
        qk_norm="head",
        sliding_window=window if settings.flag("use_sliding_window", False) else None,
    )


def _write(config: DecoderConfig) -> dict[str, Any]:
    return {
        **written_sizes(config),
        **written_experts(config, "num_experts", "moe_intermediate_size"),
        "norm_topk_prob": config.renormalize,
        "decoder_sparse_step": config.sparse_step,
        "mlp_only_layers": list(config.dense_layers),
        "attention_bias": config.attention_bias == "all",
        "sliding_window": config.sliding_window,
        "use_sliding_window": config.sliding_window is not None,
    }


NEEDED = (*SIZES, "num_key_value_heads", "moe_intermediate_size", "num_experts", "num_experts_per_tok")
FAMILIES: Final = {"qwen3_moe": Family("qwen3_moe", "Qwen3MoeForCausalLM", NEEDED, _read, _write, "mlp")}


def read(folder: Folder, loading: Loading) -> Decoder:
    """The model of a folder; see `odyssey.models.from_pretrained`."""
    return read_decoder(folder, loading, FAMILIES)


def write(model: Decoder) -> tuple[dict[str, Any], Names]:
    """The settings and names of a Qwen3MoeForCausalLM."""
    return write_decoder(model, FAMILIES)
