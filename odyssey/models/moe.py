"""A transformer with a mixture of experts in every layer, from a few thousand parameters to 6.9 billion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike

from odyssey.models.decoder.config import DecoderConfig
from odyssey.models.decoder.decoder import Decoder
from odyssey.models.decoder.rotary import RopeScaling

__all__ = ["MoEConfig", "MoETransformer"]


@dataclass(frozen=True)
class MoEConfig(DecoderConfig):
    """The shape of a `MoETransformer`: a `DecoderConfig` with experts, and ready-made ones.

    Example:
        >>> import odyssey as od
        >>> config = od.models.MoEConfig.tiny(residual="mhc")
        >>> config.experts, config.top_k, config.residual
        (4, 2, 'mhc')
    """

    experts: int = 4
    top_k: int = 2

    @classmethod
    def tiny(cls, **changes: Any) -> Self:
        """For tests: hidden 64, 2 layers, 4 heads of 16 that share one of keys, 4 experts of 256, of which a token sees
        2, 1000 tokens."""
        shape = {"vocab_size": 1000, "hidden_size": 64, "layers": 2, "heads": 4, "kv_heads": 1, "head_size": 16}
        return cls(**{**shape, "experts": 4, "top_k": 2, "expert_size": 256, "context": 512, **changes})

    @classmethod
    def small(cls, **changes: Any) -> Self:
        """To be trained in minutes: hidden 256, 4 layers, 8 heads of 32 that share two of keys, 8 experts of 512, of
        which a token sees 2, 4096 tokens."""
        shape = {"vocab_size": 4096, "hidden_size": 256, "layers": 4, "heads": 8, "kv_heads": 2, "head_size": 32}
        return cls(**{**shape, "experts": 8, "top_k": 2, "expert_size": 512, "context": 1024, **changes})

    @classmethod
    def moe_6_9b(cls, **changes: Any) -> Self:
        """6.9 billion parameters, of which a token sees 1.8: hidden 768, 30 layers, 12 heads of 64 that share one of
        keys, 16 experts of 6144, of which a token sees 4, 32 000 tokens, a context of 32 768 by NTK scaling with 8."""
        shape = {"vocab_size": 32_000, "hidden_size": 768, "layers": 30, "heads": 12, "kv_heads": 1, "head_size": 64}
        experts = {"experts": 16, "top_k": 4, "expert_size": 6144}
        return cls(**{**shape, **experts, "context": 32_768, "rope_scaling": RopeScaling("ntk", 8.0), **changes})


class MoETransformer(Decoder):
    """A `Decoder` with a mixture of experts in every layer.

    Args:
        config: its shape.
        generator: where the first weights come from; without one they differ from run to run.
        dtype: float32 or float64.

    `MoETransformer.tiny(...)`, `small(...)` and `moe_6_9b(...)` make models of these configurations; what they are
    given beside generator and dtype changes the configuration.

    Example:
        >>> import odyssey as od
        >>> import numpy as np
        >>> model = od.models.MoETransformer.tiny(layers=1, generator=np.random.default_rng(0))
        >>> logits = model(np.array([[1, 2, 3]]))
        >>> logits.shape, model.load_balancing_loss().shape
        ((1, 3, 1000), ())
    """

    model_type = "odyssey_moe"

    @classmethod
    def tiny(
        cls, *, generator: np.random.Generator | None = None, dtype: DTypeLike = np.float32, **changes: Any
    ) -> Self:
        """A model of `MoEConfig.tiny(**changes)`."""
        return cls(MoEConfig.tiny(**changes), generator=generator, dtype=dtype)

    @classmethod
    def small(
        cls, *, generator: np.random.Generator | None = None, dtype: DTypeLike = np.float32, **changes: Any
    ) -> Self:
        """A model of `MoEConfig.small(**changes)`."""
        return cls(MoEConfig.small(**changes), generator=generator, dtype=dtype)

    @classmethod
    def moe_6_9b(
        cls, *, generator: np.random.Generator | None = None, dtype: DTypeLike = np.float32, **changes: Any
    ) -> Self:
        """A model of `MoEConfig.moe_6_9b(**changes)`, 28 GB of float32; `without_weights` makes one without."""
        return cls(MoEConfig.moe_6_9b(**changes), generator=generator, dtype=dtype)
