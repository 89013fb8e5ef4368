"""The sizes of a BERT."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

__all__ = ["ACTIVATIONS", "POOLINGS", "BertActivation", "BertConfig", "Pooling"]

BertActivation: TypeAlias = Literal["gelu", "gelu_tanh", "relu", "silu", "tanh"]
Pooling: TypeAlias = Literal["mean", "cls"]
ACTIVATIONS: Final = ("gelu", "gelu_tanh", "relu", "silu", "tanh")
POOLINGS: Final = ("mean", "cls")


@dataclass(frozen=True, kw_only=True)
class BertConfig:
    """What a `Bert` is made of; the defaults are BERT-base's.

    Attributes:
        vocabulary: how many tokens there are.
        features: the length of a token's vector.
        layers: how many blocks.
        heads: of attention, a divisor of features.
        hidden: the length inside of a block's feed-forward layer.
        context: how many places there are.
        types: kinds of tokens: of the first text of a pair, and of the second.
        activation: "gelu", "gelu_tanh" (its approximation), "relu", "silu" or "tanh".
        eps: of the norms.
        pooler: whether there is a layer behind the first token, as for pairs of texts.
        pooling: what a text's embedding is made of: the "mean" of its tokens, or its first ("cls").
        normalize: whether embeddings are divided by their length.
        padding: the token that fills up, whose row starts at 0 and is not trained; None for none.
        max_tokens: how many tokens of a text an embedding sees; None for all places.

    Raises:
        ValueError: a size below 1, heads that do not divide features, or an unknown name.
    """

    vocabulary: int = 30522
    features: int = 768
    layers: int = 12
    heads: int = 12
    hidden: int = 3072
    context: int = 512
    types: int = 2
    activation: BertActivation = "gelu"
    eps: float = 1e-12
    pooler: bool = True
    pooling: Pooling = "mean"
    normalize: bool = True
    padding: int | None = 0
    max_tokens: int | None = None

    def __post_init__(self) -> None:
        for name in ("vocabulary", "features", "layers", "heads", "hidden", "context", "types"):
            if getattr(self, name) < 1:
                raise ValueError(f"BertConfig: expected {name} of at least 1, found {getattr(self, name)}")
        if self.features % self.heads:
            raise ValueError(f"BertConfig: expected heads that divide features={self.features}, found {self.heads}")
        if self.activation not in ACTIVATIONS:
            raise ValueError(
                f"BertConfig: expected an activation of {', '.join(ACTIVATIONS)}, found {self.activation!r}"
            )
        if self.pooling not in POOLINGS:
            raise ValueError(f"BertConfig: expected pooling of {', '.join(POOLINGS)}, found {self.pooling!r}")
        if self.padding is not None and not 0 <= self.padding < self.vocabulary:
            raise ValueError(f"BertConfig: expected padding in [0, {self.vocabulary}), found {self.padding}")
        if self.max_tokens is not None and not 1 <= self.max_tokens <= self.context:
            raise ValueError(f"BertConfig: expected max_tokens in [1, {self.context}], found {self.max_tokens}")
