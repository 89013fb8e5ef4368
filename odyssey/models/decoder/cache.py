"""The keys and values of what a decoder has seen so far."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike

from odyssey.errors import ShapeError
from odyssey.tensor.tape import Array

__all__ = ["Cache"]


class Cache:
    """Keys and values of every layer, each (batch, kv_heads, capacity, head_size); made by `Decoder.new_cache`.

    Token i of a sequence lies at place i, whatever else is in the batch. Memory is reserved and not touched, so a large
    capacity costs what is used of it.

    Attributes:
        keys, values: one array a layer. Places at and beyond a sequence's length mean nothing.
        lengths: (batch,) int64, how many tokens each sequence has. Lower one to take tokens back.
        capacity: how many tokens a sequence may have.

    Example:
        >>> import odyssey as od
        >>> import numpy as np
        >>> model = od.models.MoETransformer.tiny()
        >>> cache = model.new_cache(batch=1, capacity=16)
        >>> logits = model(np.array([[1, 2, 3]]), cache=cache)
        >>> logits = model(np.array([[4]]), cache=cache)
        >>> cache.lengths
        array([4])
    """

    def __init__(
        self, layers: int, batch: int, kv_heads: int, capacity: int, head_size: int, dtype: DTypeLike = np.float32
    ) -> None:
        if batch < 1 or capacity < 1:
            raise ShapeError(f"Cache: expected a batch and a capacity of at least 1, found {batch} and {capacity}")
        shape = (batch, kv_heads, capacity, head_size)
        # Zeros, for what a masked place holds is multiplied by 0.
        self.keys: list[Array] = [np.zeros(shape, dtype) for _ in range(layers)]
        self.values: list[Array] = [np.zeros(shape, dtype) for _ in range(layers)]
        self.lengths: Array = np.zeros(batch, np.int64)
        self.capacity = capacity

    @property
    def batch(self) -> int:
        """How many sequences there are."""
        return len(self.lengths)

    @property
    def nbytes(self) -> int:
        """The bytes that are reserved."""
        return sum(array.nbytes for array in (*self.keys, *self.values))

    def keep(self, sequences: Sequence[int] | Array) -> None:
        """Go on with these sequences alone, by number, in this order; one may come several times.

        Raises:
            IndexError: a number that is no sequence.
        """
        chosen = np.asarray(sequences, np.int64)
        longest = int(self.lengths[chosen].max(initial=0))
        for arrays in (self.keys, self.values):
            for layer, array in enumerate(arrays):
                kept = np.zeros((len(chosen), *array.shape[1:]), array.dtype)
                kept[:, :, :longest] = array[chosen, :, :longest]
                arrays[layer] = kept
        self.lengths = self.lengths[chosen]

    def __repr__(self) -> str:
        return f"Cache(lengths={self.lengths.tolist()}, capacity={self.capacity}, layers={len(self.keys)})"
