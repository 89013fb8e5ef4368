"""The dropout layer."""

from __future__ import annotations

import numpy as np

from odyssey.nn import functional
from odyssey.nn.module import Module
from odyssey.tensor.tape import Array
from odyssey.tensor.tensor import Tensor

__all__ = ["Dropout"]


class Dropout(Module):
    """In training, each element with probability p replaced by 0, else divided by 1 - p; after `eval()` nothing.

    Args:
        p: the probability of 0.
        generator: where the seed comes from; without one it differs from run to run.

    Every call in training draws another mask: call number n takes the seed and the offset n, so a run can be repeated.

    Example:
        >>> import odyssey as od
        >>> import numpy as np
        >>> layer = od.nn.Dropout(0.5)
        >>> sorted(set(layer(np.ones(100, np.float32)).data.tolist()))
        [0.0, 2.0]
    """

    def __init__(self, p: float = 0.5, *, generator: np.random.Generator | None = None) -> None:
        if not 0 <= p <= 1:
            raise ValueError(f"Dropout: expected p in [0, 1], found {p!r}")
        generator = np.random.default_rng() if generator is None else generator
        self.p = p
        self.seed = int(generator.integers(2**63))
        self.calls = 0

    def forward(self, x: Tensor | Array) -> Tensor:
        if not self.training:
            return x if isinstance(x, Tensor) else Tensor(x)
        self.calls += 1
        return functional.dropout(x, self.p, self.seed, self.calls - 1)

    def extra_repr(self) -> str:
        return f"{self.p}"
