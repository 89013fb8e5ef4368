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
        self._check(self._types())
        # What is left at 0 follows from the rest.
        for name, value in (
            ("kv_heads", self.heads),
            ("head_size", self.hidden_size // self.heads),
            ("mlp_size", 4 * self.hidden_size),
        ):
            self._default(name, value)
        if self.experts:
            self._default("expert_size", self.mlp_size)
        self._check(self._rules())

    def _default(self, name: str, value: int) -> None:
        if getattr(self, name) == 0:
            object.__setattr__(self, name, value)

    def _check(self, rules: list[tuple[bool, str, str]]) -> None:
        """Each rule: whether it holds, what it is about, and what it says."""
        wrong = [
            f"{', '.join(f'{name}={getattr(self, name)!r}' for name in names.split())}: expected {rule}"
            for holds, names, rule in rules
            if not holds
        ]
        if wrong:
            raise ValueError(f"{type(self).__name__}: " + "\n  ".join(["what makes no model:", *wrong]))

    def _types(self) -> list[tuple[bool, str, str]]:
        """That each is of its kind."""
        least = {
            "vocab_size": 1,
            "hidden_size": 1,
            "layers": 1,
            "heads": 1,
            "context": 1,
            "sparse_step": 1,
            "streams": 1,
        }
        least |= dict.fromkeys(("kv_heads", "head_size", "mlp_size", "experts", "top_k", "expert_size"), 0)
        rules = [
            (_whole(getattr(self, name), number), name, f"a whole number of at least {number}")
            for name, number in least.items()
        ]
        for name in ("norm_eps", "balance_weight", "init_std"):
            rules.append((_number(getattr(self, name)) and getattr(self, name) >= 0, name, "a number of at least 0"))
        rules.append((_number(self.rope_base) and self.rope_base > 0, "rope_base", "a number above 0"))
        for name in ("full_attention_layers", "dense_layers", "stop_tokens"):
            given = getattr(self, name)
            holds = isinstance(given, tuple) and all(_whole(one, 0) for one in given)
            rules.append((holds, name, "a tuple of whole numbers"))
        for name in ("tied", "renormalize"):
            rules.append((isinstance(getattr(self, name), bool), name, "True or False"))
        scaling, clip, window = self.rope_scaling, self.clip_qkv, self.sliding_window
        return [
            *rules,
            (scaling is None or isinstance(scaling, RopeScaling), "rope_scaling", "None or a RopeScaling"),
            (self.attention_bias in ("none", "qkv", "all"), "attention_bias", "'none', 'qkv' or 'all'"),
            (self.qk_norm in (None, "head", "full"), "qk_norm", "None, 'head' or 'full'"),
            (clip is None or (_number(clip) and clip > 0), "clip_qkv", "None or a number above 0"),
            (window is None or _whole(window, 1), "sliding_window", "None or a whole number of at least 1"),
            (self.residual in ("add", "mhc"), "residual", "'add' or 'mhc'"),
        ]

    def _rules(self) -> list[tuple[bool, str, str]]:
        """That they go together."""
        layers = range(self.layers)
        sees = self.experts == 0 or 1 <= self.top_k <= self.experts
        return [
            (self.heads % self.kv_heads == 0, "heads kv_heads", "heads to be a multiple of kv_heads"),
            (self.head_size > 0 and self.head_size % 2 == 0, "head_size", "an even number, for rotary pairs"),
            (
                all(one in layers for one in self.full_attention_layers),
                "full_attention_layers layers",
                "layers' numbers",
            ),
            (all(one in layers for one in self.dense_layers), "dense_layers layers", "layers' numbers"),
            (all(one < self.vocab_size for one in self.stop_tokens), "stop_tokens vocab_size", "tokens"),
            (sees, "top_k experts", "1 <= top_k <= experts"),
            (self.streams <= 8, "streams", "1 to 8"),
        ]

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


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
