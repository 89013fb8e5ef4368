"""Drawing tokens from logits.

Logits are (V,) or (batch, V), float32 or float64 (else `DTypeError`, `ShapeError`); V >= 1, none of them NaN or
+inf and not all -inf, else `ValueError`. Each row takes one number u in [0, 1) from `generator`, in the order of
the rows. Of the tokens kept, the first is drawn, by ascending index, up to which the weights e^((logit - largest) /
temperature) sum to more than u times their total. Everything is float64, but that 1 / temperature is rounded to the
logits' type; where that is infinite, as at temperature 0, the token is the first largest logit.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from odyssey.errors import ShapeError, describe, explain
from odyssey.reference._arrays import real
from odyssey.typing import Array, ArrayLike


def sample(logits: ArrayLike, temperature: float = 1.0, generator: np.random.Generator | None = None) -> Array:
    """A token for each row with probability softmax(logits / temperature).

    >>> sample(np.float32([0, 0, 9]), generator=np.random.default_rng(0))
    np.int64(2)
    """
    return _drawn(logits, temperature, generator, lambda row, weights: np.arange(len(row)))


def topk_sample(
    logits: ArrayLike, k: int, temperature: float = 1.0, generator: np.random.Generator | None = None
) -> Array:
    """A token for each row, of the k largest logits; of equal ones the first. `ValueError` for k < 1.

    >>> topk_sample(np.float32([1, 3, 2]), 1)
    np.int64(1)
    """
    if k < 1:
        raise ValueError(f"k must be 1 or more, not {k!r}")
    return _drawn(logits, temperature, generator, lambda row, weights: np.argsort(-row, kind="stable")[: int(k)])


def topp_sample(
    logits: ArrayLike, p: float, temperature: float = 1.0, generator: np.random.Generator | None = None
) -> Array:
    """A token for each row, of the fewest likeliest that together have probability p; `ValueError` unless 0 < p <= 1.

    Tokens whose weights round to the same number of the logits' type are equally likely: the first of them are kept.

    >>> topp_sample(np.float32([1, 5, 2]), 0.9)
    np.int64(1)
    """
    if not 0 < p <= 1:
        raise ValueError(f"p must be more than 0 and at most 1, not {p!r}")

    def nucleus(row: Array, weights: Array) -> Array:
        order = np.argsort(-weights.astype(row.dtype), kind="stable")
        sums = np.cumsum(weights[order])
        return order if p == 1 else order[: int(np.searchsorted(sums, p * sums[-1])) + 1]

    return _drawn(logits, temperature, generator, nucleus)


def _drawn(
    logits: ArrayLike,
    temperature: float,
    generator: np.random.Generator | None,
    kept: Callable[[Array, Array], Array],
) -> Array:
    """`kept(row, weights)` says which tokens are."""
    logits = real("logits", logits)
    if logits.ndim not in (1, 2):
        raise ShapeError(explain("logits must be (V,) or (batch, V)", describe(logits=logits)))
    if logits.shape[-1] == 0:
        raise ValueError("there is no token to draw")
    if not 0 <= temperature < np.inf:
        raise ValueError(f"temperature must be 0 or more, and finite, not {temperature!r}")
    rows = logits.reshape(-1, logits.shape[-1])
    uniform = (np.random.default_rng() if generator is None else generator).random(len(rows))
    found = np.array([_draw(row, u, temperature, kept) for row, u in zip(rows, uniform, strict=True)], np.int64)
    return found.reshape(logits.shape[:-1])[()]


def _draw(row: Array, u: float, temperature: float, kept: Callable[[Array, Array], Array]) -> int:
    largest = np.max(row)
    if np.isnan(largest) or largest == np.inf:
        raise ValueError("logits must be finite or -inf")
    if largest == -np.inf:
        raise ValueError("all logits are -inf")
    with np.errstate(all="ignore"):
        inverse = np.float64(row.dtype.type(np.divide(1.0, temperature)))
    if inverse == np.inf:
        return int(np.argmax(row))
    weights = np.exp((row.astype(np.float64) - np.float64(largest)) * inverse)
    tokens = np.sort(kept(row, weights))
    sums = np.cumsum(weights[tokens])
    above = np.flatnonzero(sums > u * sums[-1])
    return int(tokens[above[0]] if len(above) else tokens[weights[tokens] > 0][-1])
