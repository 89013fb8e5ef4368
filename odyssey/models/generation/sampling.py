"""How the next token is chosen from its logits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import odyssey as od
from odyssey.errors import ShapeError
from odyssey.typing import Array

__all__ = ["Sampling"]


@dataclass(frozen=True)
class Sampling:
    """Which token follows.

    Attributes:
        temperature: above 1 evens the odds, below 1 sharpens them. None takes the likeliest token, unless top_k or
            top_p is given: then it is 1.
        top_k: draw from the k likeliest, or None for all.
        top_p: draw from the fewest of these that together have this probability, in (0, 1], or None.

    The temperature acts first, then top_k, then top_p on what is left, as in transformers.

    Raises:
        ValueError: a temperature that is not above 0 and finite, top_k below 1, top_p outside of (0, 1].

    Example:
        >>> import odyssey as od
        >>> import numpy as np
        >>> from odyssey.models.generation import Sampling
        >>> Sampling().draw(np.float32([[0, 2, 1]]), Sampling.streams(1, seed=0)).tolist()
        [1]
    """

    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None

    def __post_init__(self) -> None:
        heat = self.temperature
        if heat is not None and not (heat > 0 and math.isfinite(heat)):
            raise ValueError(
                f"generate: expected a temperature above 0, found {heat}; leave it out to take the likeliest token"
            )
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"generate: expected top_k of 1 or more, found {self.top_k}; leave it out to keep all")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ValueError(f"generate: expected top_p above 0 and at most 1, found {self.top_p}")

    @property
    def greedy(self) -> bool:
        """Whether nothing is drawn."""
        return self.temperature is None and self.top_k is None and self.top_p is None

    @staticmethod
    def streams(batch: int, seed: int | Sequence[int] | None) -> list[np.random.Generator]:
        """A generator for each sequence, so that what is drawn for one does not depend on the others.

        Args:
            batch: how many.
            seed: with a number, sequence i draws from the generator of (seed, i); with a list, of (its own number, 0),
                which is what it would draw alone; None makes them differ from run to run.
        """
        if seed is None:
            return [np.random.default_rng() for _ in range(batch)]
        if isinstance(seed, int | np.integer):
            return [np.random.default_rng([int(seed), place]) for place in range(batch)]
        if len(seed) != batch:
            raise ShapeError(f"generate: expected a seed for each of {batch} prompts, found {len(seed)}")
        return [np.random.default_rng([int(one), 0]) for one in seed]

    def draw(self, logits: Array, streams: list[np.random.Generator]) -> Array:
        """A token for each row.

        Args:
            logits: (batch, vocabulary) float32.
            streams: a generator for each row.

        Returns:
            (batch,) int64.
        """
        if self.greedy:
            return np.asarray(od.argmax(logits, -1))
        heat = 1.0 if self.temperature is None else self.temperature
        source: Any = _Uniform(streams)
        if self.top_p is None:
            drawn = od.topk_sample(logits, self.top_k, heat, source) if self.top_k else od.sample(logits, heat, source)
        else:
            kept = logits if self.top_k is None else _largest(logits, self.top_k)
            drawn = od.topp_sample(kept, self.top_p, heat, source)
        return np.asarray(drawn)


class _Uniform:
    """What the sampling kernels ask of a generator: one number a row, each from the row's own."""

    def __init__(self, streams: list[np.random.Generator]) -> None:
        self._streams = streams

    def random(self, rows: int) -> Array:
        assert rows == len(self._streams)
        return np.array([stream.random() for stream in self._streams])


def _largest(logits: Array, k: int) -> Array:
    """The rows with all but their k largest at -inf; of equal ones those of the lowest indices stay."""
    if k >= logits.shape[-1]:
        return logits
    kept = np.full_like(logits, -np.inf)
    for row, out in zip(logits, kept, strict=True):
        least = np.partition(row, -k)[-k]
        above = np.flatnonzero(row > least)
        equal = np.flatnonzero(row == least)[: k - len(above)]
        out[above], out[equal] = row[above], row[equal]
    return kept
