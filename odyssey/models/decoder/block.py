"""A decoder's layer: attention and a feed-forward layer, each behind a norm and inside a residual connection."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from odyssey.models.decoder.attention import Attention
from odyssey.models.decoder.cache import Cache
from odyssey.models.decoder.config import DecoderConfig
from odyssey.models.decoder.places import Places
from odyssey.nn import functional
from odyssey.nn.hyper import residual
from odyssey.nn.linear import Linear
from odyssey.nn.module import Module
from odyssey.nn.moe import MixtureOfExperts
from odyssey.nn.norms import RMSNorm
from odyssey.tensor.tape import Array
from odyssey.tensor.tensor import Tensor

__all__ = ["Block", "SwiGLU"]


class SwiGLU(Module):
    """down(silu(gate(x)) · up(x)) (Shazeer 2020): (..., features) -> (..., features), `hidden` elements inside.

    Example:
        >>> import numpy as np
        >>> SwiGLU(4, 8, generator=np.random.default_rng(0))(np.zeros((3, 4), np.float32)).shape
        (3, 4)
    """

    def __init__(
        self, features: int, hidden: int, *, generator: np.random.Generator, dtype: DTypeLike = np.float32
    ) -> None:
        options: Any = {"generator": generator, "dtype": dtype}
        self.gate_proj = Linear(features, hidden, False, **options)
        self.up_proj = Linear(features, hidden, False, **options)
        self.down_proj = Linear(hidden, features, False, **options)

    def forward(self, x: Tensor | Array) -> Tensor:
        """(..., features) -> (..., features)."""
        y: Tensor = self.down_proj(functional.swiglu(self.gate_proj(x), self.up_proj(x)))
        return y


class Block(Module):
    """One layer: (tokens, hidden_size) -> the same; with hyper-connections (tokens, streams, hidden_size).

    Args:
        config: the decoder's.
        layer: which one this is, from 0.
        generator: where the first weights come from.
        dtype: float32 or float64.
    """

    def __init__(
        self, config: DecoderConfig, layer: int, *, generator: np.random.Generator, dtype: DTypeLike = np.float32
    ) -> None:
        hidden, made = config.hidden_size, {"generator": generator, "dtype": dtype}
        options: Any = made
        around: Any = (
            {"streams": config.streams, "norm_eps": config.norm_eps, **made} if config.residual == "mhc" else {}
        )
        self.attention_norm = RMSNorm(hidden, config.norm_eps, dtype=dtype)
        self.attention = Attention(config, layer, **options)
        self.attention_residual = residual(config.residual, hidden, **around)
        self.mlp_norm = RMSNorm(hidden, config.norm_eps, dtype=dtype)
        self.mlp: MixtureOfExperts | SwiGLU
        if config.is_sparse(layer):
            self.mlp = MixtureOfExperts(
                hidden, config.expert_size, config.experts, config.top_k, config.renormalize, **options
            )
        else:
            self.mlp = SwiGLU(hidden, config.mlp_size, **options)
        self.mlp_residual = residual(config.residual, hidden, **around)

    def forward(self, x: Tensor | Array, places: Places, cache: Cache | None = None) -> Tensor:
        """x after those of the cache, to which it is added."""
        around: Any = self.attention_residual
        seen, state = around.pre(x)
        x = around.post(self.attention(self.attention_norm(seen), places, cache), x, state)
        around = self.mlp_residual
        seen, state = around.pre(x)
        y: Tensor = around.post(self.mlp(self.mlp_norm(seen)), x, state)
        return y
