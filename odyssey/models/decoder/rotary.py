"""How far each pair of a head turns a position: rotary embedding's frequencies, and the ways to stretch them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import DTypeLike

from odyssey._kernels import elementwise
from odyssey.tensor.tape import Array

__all__ = ["RopeScaling", "RotaryTables", "frequencies"]

Kind: TypeAlias = Literal["linear", "ntk", "llama3", "yarn"]


@dataclass(frozen=True)
class RopeScaling:
    """How a model's positions are stretched beyond those it was first trained with.

    Args:
        kind: "linear" divides every position by `factor` (Chen et al. 2023). "ntk" takes base · factor^(d / (d - 2))
            for the base, d elements a head (bloc97 2023). "llama3" divides slow turns, leaves quick ones and blends
            between (Llama 3.1). "yarn" does so by turns within the first context, and scales the tables (Peng
            et al. 2023).
        factor: by how much, at least 1.
        original_context: the context of the first training; llama3 and yarn.
        low_turns, high_turns: turns within that context, below which a pair is slow and above which it is quick.
            By default 1 and 4 for llama3, 1 and 32 for yarn.
        attention_factor: what yarn multiplies the tables by; 0.1 log(factor) + 1 unless given.
        truncate: whether yarn rounds the bounds of its blend outwards to whole pairs.

    Raises:
        ValueError: an unknown kind, or a number out of its range.

    Example:
        >>> RopeScaling("ntk", 8.0).factor
        8.0
    """

    kind: Kind
    factor: float
    original_context: int | None = None
    low_turns: float | None = None
    high_turns: float | None = None
    attention_factor: float | None = None
    truncate: bool = True

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"RopeScaling: expected kind {', '.join(map(repr, get_args(Kind)))}, found {self.kind!r}")
        if not 1 <= self.factor < math.inf:
            raise ValueError(f"RopeScaling: expected a factor of at least 1, found {self.factor}")
        if self.kind in ("llama3", "yarn"):
            if self.original_context is None or self.original_context < 1:
                raise ValueError(
                    f"RopeScaling: {self.kind} needs original_context, the context of the first training; "
                    f"found {self.original_context}"
                )
            low, high = self.turns()
            if not 0 < low < high:
                raise ValueError(f"RopeScaling: expected 0 < low_turns < high_turns, found {low} and {high}")

    def turns(self) -> tuple[float, float]:
        """low_turns and high_turns, or what stands for them."""
        low, high = (1.0, 4.0) if self.kind == "llama3" else (1.0, 32.0)
        return (
            low if self.low_turns is None else float(self.low_turns),
            high if self.high_turns is None else float(self.high_turns),
        )

    def stretched(self, base: float, size: int) -> float:
        """The base that "ntk" takes for heads of `size` elements: base · factor^(size / (size - 2))."""
        if size <= 2:
            return base
        return base * float(elementwise.power(np.array([self.factor], np.float64), size / (size - 2))[0])

    def magnitude(self) -> float:
        """What the tables are multiplied by."""
        if self.kind != "yarn":
            return 1.0
        if self.attention_factor is not None:
            return float(self.attention_factor)
        return 0.1 * _log(self.factor) + 1.0


def frequencies(size: int, base: float, scaling: RopeScaling | None = None) -> Array:
    """The angle in radians by which each pair of a head of `size` elements turns a position: (size / 2,) float64.

    Computed by our own power and logarithm, so that the bits are those of every machine.

    Example:
        >>> frequencies(4, 100.0).tolist()
        [1.0, 0.1]
        >>> frequencies(4, 100.0, RopeScaling("linear", 2.0)).tolist()
        [0.5, 0.05]
    """
    if scaling is not None and scaling.kind == "ntk":
        base = scaling.stretched(base, size)
    exponents = np.arange(0, size, 2, dtype=np.float64) / -max(size, 1)
    plain = np.asarray(elementwise.power(np.full(size // 2, base, np.float64), exponents))
    if scaling is None or scaling.kind == "ntk":
        return plain
    if scaling.kind == "linear":
        return plain / scaling.factor
    assert scaling.original_context is not None
    low, high = scaling.turns()
    if scaling.kind == "llama3":
        turns = plain * (scaling.original_context / (2 * math.pi))
        quick = np.clip((turns - low) / (high - low), 0.0, 1.0)
    else:
        # The pair that makes so many turns within the context, counted as a real number.
        first, last = (
            size * _log(scaling.original_context / (turns * 2 * math.pi)) / (2 * _log(base)) for turns in (high, low)
        )
        if scaling.truncate:
            first, last = math.floor(first), math.ceil(last)
        first, last = max(first, 0), min(last, size - 1)
        places = np.arange(size // 2, dtype=np.float64)
        quick = 1.0 - np.clip((places - first) / (max(last - first, 0.001)), 0.0, 1.0)
    return plain / scaling.factor * (1.0 - quick) + plain * quick


def _log(x: float) -> float:
    return float(elementwise.log(np.array([x], np.float64))[0])


class RotaryTables:
    """Cosines and sines for the positions that were asked for so far, each (positions, size / 2).

    Args:
        size: elements of a head.
        base: see `frequencies`.
        scaling: see `frequencies`.
        dtype: float32 or float64. Angles are computed in float64.
    """

    def __init__(self, size: int, base: float, scaling: RopeScaling | None, dtype: DTypeLike) -> None:
        self._frequencies = frequencies(size, base, scaling)
        self._magnitude = 1.0 if scaling is None else scaling.magnitude()
        self._dtype = np.dtype(dtype)
        self._tables = self._made(0)

    def until(self, length: int, dtype: np.dtype[np.generic]) -> tuple[Array, Array]:
        """The tables for the positions below `length` at least, of that dtype."""
        cos, sin = self._tables
        if len(cos) < length or cos.dtype != dtype:
            self._dtype = dtype
            # Doubled, so that a sequence that grows token by token makes few; in one assignment, for other threads.
            cos, sin = self._tables = self._made(max(length, 2 * len(cos), 64))
        return cos, sin

    def _made(self, length: int) -> tuple[Array, Array]:
        angles = np.arange(length, dtype=np.float64)[:, np.newaxis] * self._frequencies
        return tuple(  # type: ignore[return-value]
            (np.asarray(of(angles)) * self._magnitude).astype(self._dtype) for of in (elementwise.cos, elementwise.sin)
        )
