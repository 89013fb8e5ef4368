"""What a decoder is made of."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

from odyssey.models.decoder.rotary import RopeScaling

__all__ = ["DecoderConfig"]


@dataclass(frozen=True)
class DecoderConfig:
    """The shape of a `Decoder`. Frozen: `config.with_(layers=2)` is another one.

    Args:
        vocab_size: how many tokens there are.
        hidden_size: the length of a token's vector.
        layers: how many blocks.
        heads, kv_heads: heads of queries, and of keys and values, each of which serves heads / kv_heads.
        head_size: elements of a head, even.
        mlp_size: the length inside a dense feed-forward layer.
        context: positions there are; a longer sequence is refused.
        norm_eps: added to the mean square in each norm.
        rope_base: of the rotary embedding.
        rope_scaling: how its positions are stretched, or None.
        attention_bias: "none", "qkv" (Qwen2) or "all" (with that of the output).
        qk_norm: None, "head" for an RMS norm over each head of queries and keys (Qwen3), or "full" over all heads
            (OLMoE).
        clip_qkv: queries, keys and values are clipped to +- this, or None.
        sliding_window: a token sees itself and as many less one before it, or None for all.
        full_attention_layers: layers without the window, by number.
        tied: whether the head is the embedding.
        experts: how many a sparse layer has, or 0 for a dense model.
        top_k: how many of them a token sees.
        expert_size: the length inside an expert.
        renormalize: whether a token's weights of experts are divided by their sum.
        sparse_step: every so manieth layer is sparse, counted from 1.
        dense_layers: layers that are dense all the same, by number.
        balance_weight: what training multiplies `Decoder.load_balancing_loss` by.
        residual: "add", or "mhc" for manifold-constrained hyper-connections.
        streams: of the hyper-connections.
        init_std: the deviation of the first weights.
        stop_tokens: tokens that end a text.

    Raises:
        ValueError: numbers that make no model, each named.

    Example:
        >>> import odyssey as od
        >>> config = od.models.DecoderConfig(vocab_size=100, hidden_size=32, layers=2, heads=4, kv_heads=1)
        >>> config.head_size, config.mlp_size
        (8, 128)
        >>> config.with_(experts=4, top_k=2).is_sparse(1)
        True
    """

    vocab_size: int
    hidden_size: int
    layers: int
    heads: int
    kv_heads: int = 0
    head_size: int = 0
    mlp_size: int = 0
    context: int = 2048
    norm_eps: float = 1e-6
    rope_base: float = 10000.0
    rope_scaling: RopeScaling | None = None
    attention_bias: Literal["none", "qkv", "all"] = "none"
    qk_norm: Literal["head", "full"] | None = None
    clip_qkv: float | None = None
    sliding_window: int | None = None
    full_attention_layers: tuple[int, ...] = ()
    tied: bool = False
    experts: int = 0
    top_k: int = 0
    expert_size: int = 0
    renormalize: bool = True
    sparse_step: int = 1
    dense_layers: tuple[int, ...] = ()
    balance_weight: float = 0.01
    residual: Literal["add", "mhc"] = "add"
    streams: int = 4
    init_std: float = 0.02
    stop_tokens: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        # What is left at 0 follows from the rest.
        self._default("kv_heads", self.heads)
        self._default("head_size", self.hidden_size // self.heads if self.heads > 0 else 0)
        self._default("mlp_size", 4 * self.hidden_size)
        if self.experts:
            self._default("expert_size", self.mlp_size)
        wrong = [f"{self._shown(names)}: {rule}" for holds, names, rule in self._rules() if not holds]
        if wrong:
            raise ValueError(f"{type(self).__name__}: " + "\n  ".join(["what cannot be:", *wrong]))

    def _default(self, name: str, value: int) -> None:
        if getattr(self, name) == 0:
            object.__setattr__(self, name, value)

    def _shown(self, names: str) -> str:
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in names.split())

    def _rules(self) -> list[tuple[bool, str, str]]:
        """Each rule: whether it holds, what it is about, and what it says."""
        whole = ("vocab_size", "hidden_size", "layers", "heads", "kv_heads", "head_size", "mlp_size", "context")
        counts = [(_whole(getattr(self, name), 1), name, "expected a whole number of at least 1") for name in whole]
        if not all(holds for holds, _, _ in counts):
            return counts
        layers = set(range(self.layers))
        rules = [
            (self.heads % self.kv_heads == 0, "heads kv_heads", "expected heads to be a multiple of kv_heads"),
            (self.head_size % 2 == 0, "head_size", "expected an even number, for rotary pairs"),
            (_positive(self.norm_eps, zero=True), "norm_eps", "expected a number of at least 0"),
            (_positive(self.rope_base), "rope_base", "expected a number above 0"),
            (self.attention_bias in ("none", "qkv", "all"), "attention_bias", "expected 'none', 'qkv' or 'all'"),
            (self.qk_norm in (None, "head", "full"), "qk_norm", "expected None, 'head' or 'full'"),
            (self.clip_qkv is None or _positive(self.clip_qkv), "clip_qkv", "expected None or a number above 0"),
            (
                self.sliding_window is None or _whole(self.sliding_window, 1),
                "sliding_window",
                "expected None or a whole number of at least 1",
            ),
            (set(self.full_attention_layers) <= layers, "full_attention_layers layers", "expected numbers of layers"),
            (set(self.dense_layers) <= layers, "dense_layers layers", "expected numbers of layers"),
            (self.residual in ("add", "mhc"), "residual", "expected 'add' or 'mhc'"),
            (_whole(self.streams, 1) and self.streams <= 8, "streams", "expected 1 to 8"),
            (_whole(self.experts, 0), "experts", "expected a whole number of at least 0"),
            (all(0 <= one < self.vocab_size for one in self.stop_tokens), "stop_tokens vocab_size", "expected tokens"),
            (_positive(self.init_std, zero=True), "init_std", "expected a number of at least 0"),
            (_positive(self.balance_weight, zero=True), "balance_weight", "expected a number of at least 0"),
        ]
        if self.experts:
            rules += [
                (
                    _whole(self.top_k, 1) and self.top_k <= self.experts,
                    "top_k experts",
                    "expected top_k in [1, experts]",
                ),
                (_whole(self.expert_size, 1), "expert_size", "expected a whole number of at least 1"),
                (_whole(self.sparse_step, 1), "sparse_step", "expected a whole number of at least 1"),
            ]
        return rules

    def is_sparse(self, layer: int) -> bool:
        """Whether the layer of that number, from 0, has experts."""
        return self.experts > 0 and layer not in self.dense_layers and (layer + 1) % self.sparse_step == 0

    def window(self, layer: int) -> int | None:
        """The sliding window of the layer of that number, or None."""
        return None if layer in self.full_attention_layers else self.sliding_window

    def with_(self, **changes: Any) -> Self:
        """The same but for what is named. What followed from a changed number stays as it was."""
        return replace(self, **changes)


def _whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _positive(value: Any, zero: bool = False) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return number and (value > 0 or (zero and value == 0))
