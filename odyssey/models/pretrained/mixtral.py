"""Mixtral (Jiang et al. 2024): every layer has experts, whose weights are divided by their sum."""

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
        **sizes(settings, rope_base=1e6, context=4096 * 32, eps=1e-5),
        **experts(settings, "intermediate_size", balance_weight=0.001),
        sliding_window=settings.integer("sliding_window", None),
    )


def _write(config: DecoderConfig) -> dict[str, Any]:
    return {
        **written_sizes(config),
        **written_experts(config, "num_local_experts", "intermediate_size"),
        "sliding_window": config.sliding_window,
    }


NEEDED = (*SIZES, "num_key_value_heads", "num_local_experts", "num_experts_per_tok")
FAMILIES: Final = {"mixtral": Family("mixtral", "MixtralForCausalLM", NEEDED, _read, _write, "block_sparse_moe")}


def read(folder: Folder, loading: Loading) -> Decoder:
    """The model of a folder; see `odyssey.models.from_pretrained`."""
    return read_decoder(folder, loading, FAMILIES)


def write(model: Decoder) -> tuple[dict[str, Any], Names]:
    """The settings and names of a MixtralForCausalLM."""
    return write_decoder(model, FAMILIES)
