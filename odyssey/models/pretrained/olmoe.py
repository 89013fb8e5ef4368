"""OLMoE (Muennighoff et al. 2024): norms over all heads of queries and keys, experts whose weights stay as they are."""

from __future__ import annotations

from typing import Any, Final

from odyssey.models.decoder import Decoder, DecoderConfig
from odyssey.models.pretrained.decoders import (
    SIZES,
    Family,
    experts,
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
    return DecoderConfig(
        **sizes(settings, rope_base=10000.0, context=4096, eps=1e-5),
        **experts(settings, "intermediate_size", balance_weight=0.01),
        renormalize=settings.flag("norm_topk_prob", False),
        attention_bias="all" if settings.flag("attention_bias", False) else "none",
        qk_norm="full",
        clip_qkv=settings.number("clip_qkv", None),
    )


def _write(config: DecoderConfig) -> dict[str, Any]:
    values = {
        **written_sizes(config),
        **written_experts(config, "num_experts", "intermediate_size"),
        "norm_topk_prob": config.renormalize,
        "attention_bias": config.attention_bias == "all",
        "clip_qkv": config.clip_qkv,
    }
    del values["head_dim"]  # always hidden_size / num_attention_heads
    return values


NEEDED = (*SIZES, "num_experts", "num_experts_per_tok")
FAMILIES: Final = {"olmoe": Family("olmoe", "OlmoeForCausalLM", NEEDED, _read, _write, "mlp")}


def read(folder: Folder, loading: Loading) -> Decoder:
    """The model of a folder; see `odyssey.models.from_pretrained`."""
    return read_decoder(folder, loading, FAMILIES)


def write(model: Decoder) -> tuple[dict[str, Any], Names]:
    """The settings and names of an OlmoeForCausalLM."""
    return write_decoder(model, FAMILIES)
