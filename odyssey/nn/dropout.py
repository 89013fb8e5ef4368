"""The dropout layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from odyssey.nn import functional
from odyssey.nn.module import Module
from odyssey.tensor.tape import Array
from odyssey.tensor.tensor import Tensor

__all__ = ["Dropout", "Dropout2d"]


class _Dropout(Module):
    """What both dropouts are: a seed, and how many masks have been drawn."""

    def __init__(self, p: float = 0.5, *, generator: np.random.Generator | None = None) -> None:
        if not 0 <= p <= 1:
            raise ValueError(f"{type(self).__name__}: expected p in [0, 1], found {p!r}")
        generator = np.random.default_rng() if generator is None else generator
        self.p = p
        self.seed = int(generator.integers(2**63))
        self.calls = 0

    def extra_repr(self) -> str:
        return f"{self.p}"

    def extra_state(self) -> dict[str, Any]:
        """The seed and the number of masks drawn: with them a resumed run draws the masks it would have drawn."""
        return {"seed": self.seed, "calls": self.calls}

    def load_extra_state(self, state: Mapping[str, Any]) -> None:
        """Go on where `extra_state` was taken."""
        self.seed, self.calls = int(state["seed"]), int(state["calls"])


class Dropout(_Dropout):
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

    def forward(self, x: Tensor | Array) -> Tensor:
        if not self.training:
            return x if isinstance(x, Tensor) else Tensor(x)
        self.calls += 1
        return functional.dropout(x, self.p, self.seed, self.calls - 1)


class Dropout2d(_Dropout):
    """In training, each channel of each image (N, C, H, W) with probability p replaced by 0, else divided by 1 - p.

    Neighbouring elements of a channel say nearly the same, so that dropping single ones hides little; after `eval()`
    nothing is dropped. Arguments and masks as in `Dropout`.

    Example:
        >>> import odyssey as od
        >>> import numpy as np
        >>> od.nn.Dropout2d(0.5)(np.ones((2, 3, 4, 4), np.float32)).shape
        (2, 3, 4, 4)
    """

    def forward(self, x: Tensor | Array) -> Tensor:
        if not self.training:
            return x if isinstance(x, Tensor) else Tensor(x)
        self.calls += 1
        return functional.dropout2d(x, self.p, self.seed, self.calls - 1)
