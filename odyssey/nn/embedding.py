"""The embedding layer."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from odyssey.nn import functional, init
from odyssey.nn.module import Module, Parameter
from odyssey.nn.stored import StoredWeight
from odyssey.tensor.tape import Array
from odyssey.tensor.tensor import Tensor

__all__ = ["Embedding"]


class Embedding(Module):
    """A row of `features` numbers for each of `rows` symbols: indices of any shape -> that shape and features.

    Args:
        rows: how many symbols.
        features: the length of a row.
        padding_idx: a symbol whose row starts at 0 and gets no gradient, or None.
        generator: where the initial weights come from; without one they differ from run to run.
        dtype: float32 or float64.

    Weight (rows, features) starts normal with mean 0 and deviation 1, as in PyTorch. A `StoredWeight` may
    take its place.

    Example:
        >>> import odyssey as od
        >>> import numpy as np
        >>> od.nn.Embedding(10, 4)(np.array([[1, 2, 3]])).shape
        (1, 3, 4)
    """

    def __init__(
        self,
        rows: int,
        features: int,
        padding_idx: int | None = None,
        *,
        generator: np.random.Generator | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        generator = np.random.default_rng() if generator is None else generator
        self.padding_idx = padding_idx
        weight = Parameter(init.normal_(np.empty((rows, features), dtype), generator=generator))
        if padding_idx is not None:
            weight.data[padding_idx] = 0
        self.weight: Parameter | StoredWeight = weight

    def forward(self, indices: Tensor | Array) -> Tensor:
        return functional.embedding(self.weight, indices, self.padding_idx)

    def extra_repr(self) -> str:
        rows, features = self.weight.shape
        return f"{rows}, {features}" + ("" if self.padding_idx is None else f", padding_idx={self.padding_idx}")
