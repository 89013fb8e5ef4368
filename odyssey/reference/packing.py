"""Weights rounded to a narrower type: what `pack` keeps of them.

Rounding is to nearest even, in exact arithmetic: float64 holds every float32 and every boundary between two narrow
numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from odyssey.errors import DTypeError, ShapeError, describe, explain
from odyssey.typing import Array, ArrayLike

if TYPE_CHECKING:
    from odyssey.packing import PackedWeight

FORMATS = ("float32", "float64", "bfloat16", "float16", "int8")


class RoundedWeight:
    """Weights as they are kept: their numbers and, for int8, a scale for each row."""

    def __init__(self, numbers: Array, scale: Array | None = None) -> None:
        self.numbers = numbers
        self.scale = scale
        self.shape = numbers.shape

    def parts(self) -> tuple[Array, Array | None]:
        """(out, in) numbers, and the scale of each row."""
        return self.numbers, self.scale

    def unpack(self) -> Array:
        """The weights that products are computed with."""
        return self.numbers if self.scale is None else self.numbers * self.scale[:, None]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """As `unpack` gives them."""
        return np.array(self.unpack(), dtype=dtype)


def pack(weight: ArrayLike, dtype: str | None = None) -> PackedWeight:
    """Weights (out, in) rounded to `dtype`: "float32", "float64", "bfloat16", "float16" or "int8"; None keeps theirs.

    int8 is symmetric: the scale of a row is max|w| / 127, rounded to float32, its integers are round(w / scale), the
    quotient rounded to float32 first. `DTypeError` for other weights, and for float64 stored as anything else;
    `ShapeError` unless there are two axes; `ValueError` for an unknown dtype, and for int8 if a weight is not finite.

    >>> np.asarray(pack(np.float32([[1.01, 2]]), "bfloat16"))
    array([[1.0078125, 2.       ]], dtype=float32)
    """
    array = np.asarray(weight)
    name = array.dtype.name
    chosen = name if dtype is None else dtype
    if name not in ("float32", "float64", "float16", "bfloat16") or not array.dtype.isnative:
        raise DTypeError(explain("weight must be float32, float64, float16 or bfloat16", describe(weight=array)))
    if chosen not in FORMATS:
        raise ValueError(f"dtype must be one of {', '.join(map(repr, FORMATS))}, not {dtype!r}")
    if (chosen == "float64") != (name == "float64"):
        raise DTypeError(explain(f"{name} weights cannot be stored as {chosen}", describe(weight=array)))
    if array.ndim != 2:
        raise ShapeError(explain("weight must be (out, in)", describe(weight=array)))
    wide = array.astype(np.float64)
    with np.errstate(all="ignore"):
        rounded = {"int8": _int8, "bfloat16": _bfloat16}.get(chosen)
        if rounded is not None:
            return rounded(wide)  # type: ignore[return-value]  # like a PackedWeight, but for its layout
        kept = wide.astype(chosen).astype("float64" if chosen == "float64" else "float32")
    return RoundedWeight(kept)  # type: ignore[return-value]


def _bfloat16(wide: Array) -> RoundedWeight:
    """Eight significant bits, fewer below 2^-126, whose step is 2^-133."""
    _, exponent = np.frexp(wide)
    step = np.ldexp(1.0, np.maximum(exponent - 8, -133))
    rounded = np.where(np.isfinite(wide), np.rint(wide / step) * step, wide)
    rounded = np.where(np.abs(rounded) >= 2.0**128, np.copysign(np.inf, wide), rounded)
    return RoundedWeight(np.where(np.isnan(wide), np.nan, rounded).astype(np.float32))


def _int8(wide: Array) -> RoundedWeight:
    if not np.isfinite(wide).all():
        raise ValueError("int8 needs finite weights")
    scale = (np.max(np.abs(wide), axis=1, initial=0) / 127).astype(np.float32)
    divisor = np.where(scale > 0, scale, 1)[:, None].astype(np.float32)
    quotient = wide.astype(np.float32) / divisor
    integers = np.where(scale[:, None] > 0, np.clip(np.rint(quotient), -127, 127), 0)
    return RoundedWeight(integers.astype(np.float32), scale)
