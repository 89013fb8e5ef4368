"""Random inputs: the regimes of values every operation must get right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from odyssey.typing import Array

__all__ = ["REGIMES", "Draw", "Shape"]

Shape: TypeAlias = "int | tuple[int, ...]"


@dataclass(frozen=True)
class Draw:
    """Draws arrays of one dtype; `draw(shape)` follows the regime, the named methods bend it to a domain."""

    rng: np.random.Generator
    dtype: np.dtype[Any]
    regime: str = "normal"

    def __call__(self, shape: Shape) -> Array:
        """Values of the regime."""
        return REGIMES[self.regime](self.rng, _tuple(shape), self.dtype)

    def positive(self, shape: Shape) -> Array:
        """Values of the regime without their signs; the special ones keep theirs."""
        values = self(shape)
        return values if self.regime == "special" else np.asarray(np.abs(values))

    def normal(self, shape: Shape) -> Array:
        """Ordinary values, whatever the regime."""
        return REGIMES["normal"](self.rng, _tuple(shape), self.dtype)

    def unit(self, shape: Shape) -> Array:
        """Between 0 and 1, as probabilities are; in the special regime 0, 1 and NaN among them."""
        values = np.asarray(self.rng.random(_tuple(shape)))
        if self.regime == "special":
            values = _mixed(self.rng, values, [0.0, 1.0, np.nan])
        return values.astype(self.dtype)

    def indices(self, shape: Shape, bound: int) -> Array:
        """Integers in [0, bound), int64."""
        return self.rng.integers(0, bound, _tuple(shape))


def _tuple(shape: Shape) -> tuple[int, ...]:
    return shape if isinstance(shape, tuple) else (shape,)


def _normal(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    return np.asarray(rng.standard_normal(shape)).astype(dtype)


def _lognormal(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    # Powers of two by ldexp, not exp: the values must not depend on the machine's exp.
    exponents = np.rint(5 * rng.standard_normal(shape)).astype(np.int64)
    return np.asarray(np.ldexp(_signed(rng, shape) * (1 + rng.random(shape)), exponents)).astype(dtype)


def _subnormal(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    return np.asarray((_signed(rng, shape) * rng.random(shape)).astype(dtype) * np.finfo(dtype).smallest_normal)


def _huge(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    return np.asarray((_signed(rng, shape) * (0.5 + rng.random(shape) / 2)).astype(dtype) * np.finfo(dtype).max)


def _special(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    tiny = float(np.finfo(dtype).smallest_subnormal)
    specials = [0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, tiny, -tiny]
    return _mixed(rng, np.asarray(rng.standard_normal(shape)), specials).astype(dtype)


def _mixed(rng: np.random.Generator, values: Array, specials: list[float]) -> Array:
    return np.where(rng.random(values.shape) < 0.4, rng.choice(np.array(specials), values.shape), values)


def _signed(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return np.where(rng.random(shape) < 0.5, -1.0, 1.0)


REGIMES: dict[str, Callable[[np.random.Generator, tuple[int, ...], np.dtype[Any]], Array]] = {
    "normal": _normal,
    "lognormal": _lognormal,
    "subnormal": _subnormal,
    "huge": _huge,
    "special": _special,
}
