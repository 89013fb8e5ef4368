"""How far a fast result may lie from its definition, and where it lies farthest.

A tolerance is small and has a reason; the reason stands beside it in its row of `testing/cases`. `Exact` is for what
rounds once, `Ulp` for functions of one element, `Gamma` for sums, whose error depends on how much cancels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from odyssey.testing.call import Call
from odyssey.typing import Array

__all__ = ["ByOption", "Deviation", "Exact", "Gamma", "Tolerance", "Ulp", "ulp_distance"]

_UNSIGNED = {4: np.uint32, 8: np.uint64}
FAR = np.iinfo(np.uint64).max
NO_ARGUMENTS = Call()


def ulp_distance(a: Any, b: Any, *, signed_zeros: bool = False) -> Array:
    """How many steps of the number line lie between a and b, uint64; both float32 or both float64.

    Subnormals and the way through zero count step by step; infinity is one step past the largest number. NaN is at
    distance 0 from NaN and at the largest distance from everything else. -0 equals +0, or with `signed_zeros` is one
    step away.

    >>> ulp_distance(np.float32(1), np.nextafter(np.float32(1), np.float32(2)))
    np.uint64(1)
    """
    a, b = np.broadcast_arrays(np.asarray(a), np.asarray(b))
    if a.dtype != b.dtype or a.dtype not in (np.float32, np.float64):
        raise TypeError(f"expected two arrays of float32 or two of float64, found {a.dtype} and {b.dtype}")
    # Without its sign, a number's bits count the steps from zero.
    steps_a = np.abs(a).view(_UNSIGNED[a.itemsize]).astype(np.uint64)
    steps_b = np.abs(b).view(_UNSIGNED[b.itemsize]).astype(np.uint64)
    same_sign = np.signbit(a) == np.signbit(b)
    apart = np.maximum(steps_a, steps_b) - np.minimum(steps_a, steps_b)
    distance = np.where(same_sign, apart, steps_a + steps_b)
    if signed_zeros:
        distance = np.where((a == 0) & (b == 0) & ~same_sign, 1, distance)
    nans = np.isnan(a).astype(np.uint8) + np.isnan(b)
    distance = np.where(nans == 2, 0, np.where(nans == 1, FAR, distance)).astype(np.uint64)
    return distance if distance.ndim else distance[()]


@dataclass(frozen=True)
class Deviation:
    """The worst element of a comparison. `error` and `limit` are in `unit`; `index` is None where there is none."""

    error: float
    limit: float
    unit: str
    index: tuple[int, ...] | None
    message: str | None

    @property
    def passed(self) -> bool:
        """Whether every element lies within the tolerance."""
        return self.message is None


class Tolerance(ABC):
    """What a fast result may differ from its definition by."""

    unit: str = "ulp"

    @abstractmethod
    def limit(self, dtype: np.dtype[Any]) -> float:
        """The largest error allowed, in `unit`."""

    @abstractmethod
    def errors(self, fast: Array, reference: Array, call: Call) -> Array:
        """The error of each element, in `unit`; 0 for equal ones, inf for what nothing excuses."""

    def measure(self, fast: Any, reference: Any, call: Call = NO_ARGUMENTS) -> Deviation:
        """Compare, and find the worst element. `call` is what both were computed from."""
        fast, reference = np.asarray(fast), np.asarray(reference)
        for what in ("dtype", "shape"):
            found, expected = getattr(fast, what), getattr(reference, what)
            if found != expected:
                message = f"the result has {what} {found}, the reference has {expected}"
                return Deviation(np.inf, 0, what, None, message)
        limit = self.limit(reference.dtype)
        if reference.size == 0:
            return Deviation(0.0, limit, self.unit, None, None)
        with np.errstate(all="ignore"):
            errors = np.broadcast_to(self.errors(fast, reference, call), reference.shape)
        index = tuple(int(i) for i in np.unravel_index(np.argmax(errors), errors.shape))
        worst = float(errors[index])
        if worst <= limit:
            return Deviation(worst, limit, self.unit, index, None)
        message = (
            f"off by {worst:.4g} {self.unit} where {limit:g} is allowed, at {list(index)}: "
            f"result {fast[index]!r}, reference {reference[index]!r}; "
            f"{np.count_nonzero(~(errors <= limit))} of {errors.size} elements are off"
        )
        return Deviation(worst, limit, self.unit, index, message)

    def check(self, fast: Any, reference: Any, call: Call = NO_ARGUMENTS) -> str | None:
        """None, or a message that names the worst element, where it stands and both values."""
        return self.measure(fast, reference, call).message


@dataclass(frozen=True)
class Exact(Tolerance):
    """Equal element by element: NaN for NaN, and with `signed_zeros` -0 for -0."""

    signed_zeros: bool = False

    def limit(self, dtype: np.dtype[Any]) -> float:  # noqa: D102
        return 0

    def errors(self, fast: Array, reference: Array, call: Call) -> Array:  # noqa: D102
        if reference.dtype.kind != "f":
            return np.where(fast == reference, 0.0, np.inf)
        return ulp_distance(fast, reference, signed_zeros=self.signed_zeros).astype(np.float64)

    def __str__(self) -> str:
        return "exact"


@dataclass(frozen=True)
class Ulp(Tolerance):
    """At most `n` steps of the number line away; `float64`, if given, is the allowance for float64."""

    n: int
    float64: int | None = None

    def limit(self, dtype: np.dtype[Any]) -> float:  # noqa: D102
        return self.n if dtype != np.float64 or self.float64 is None else self.float64

    def errors(self, fast: Array, reference: Array, call: Call) -> Array:  # noqa: D102
        return ulp_distance(fast, reference).astype(np.float64)

    def __str__(self) -> str:
        return f"{self.n} ulp" if self.float64 is None else f"{self.n} ulp ({self.float64} in float64)"


@dataclass(frozen=True)
class Gamma(Tolerance):
    """Within γ_n · magnitude, the classical bound for sums in any order (Higham, Accuracy and Stability, section 3.1).

    γ_n = n·u / (1 - n·u), u the unit roundoff. `terms` gives n and `magnitude` the sum of the terms' absolute values,
    from the arguments of the operation; for a sum of products Σ|a||b|. Beyond the bound, n underflows of half the
    smallest subnormal are forgiven, each times `underflow` where a factor larger than 1 comes after them. An element
    whose magnitude exceeds the largest number may overflow on the way, so it is not judged. `wide_reference=False` says
    that the definition of a float64 result is itself summed in float64, which doubles what is allowed there.
    """

    terms: int | Callable[..., Any]
    magnitude: Callable[..., Any]
    underflow: Callable[..., Any] | None = None
    wide_reference: bool = True

    unit = "of the bound"

    def limit(self, dtype: np.dtype[Any]) -> float:  # noqa: D102
        return 1

    def errors(self, fast: Array, reference: Array, call: Call) -> Array:  # noqa: D102
        info = np.finfo(reference.dtype)
        wider: Any = np.float64 if reference.dtype == np.float32 else np.longdouble
        n = self.terms(*call.args, **call.kwargs) if callable(self.terms) else self.terms
        if reference.dtype == np.float64 and not self.wide_reference:
            n = 2 * n
        n = wider(n + 1)  # the definition's own rounding
        u = wider(info.eps) / 2
        magnitude = np.asarray(self.magnitude(*call.args, **call.kwargs), wider)
        factor = 1 if self.underflow is None else np.asarray(self.underflow(*call.args, **call.kwargs), wider)
        underflow = n * wider(info.smallest_subnormal) / 2 * np.maximum(1, np.nan_to_num(factor))
        bound = n * u / (1 - n * u) * magnitude + underflow
        errors = np.abs(fast.astype(wider) - reference.astype(wider)) / bound
        errors = np.where(np.isnan(errors), np.inf, errors)
        may_overflow = np.isfinite(magnitude) & (magnitude >= wider(info.max) / (1 + 2 * n * u))
        return np.where(may_overflow | (ulp_distance(fast, reference) == 0), 0, errors).astype(np.float64)

    def __str__(self) -> str:
        return "γ bound"


@dataclass(frozen=True)
class ByOption(Tolerance):
    """A tolerance for each value of a keyword argument, such as gelu's `approximate`."""

    option: str
    default: Any
    tolerances: Mapping[Any, Tolerance]

    def limit(self, dtype: np.dtype[Any]) -> float:  # noqa: D102
        return self.tolerances[self.default].limit(dtype)

    def errors(self, fast: Array, reference: Array, call: Call) -> Array:  # noqa: D102
        return self._chosen(call).errors(fast, reference, call)

    def measure(self, fast: Any, reference: Any, call: Call = NO_ARGUMENTS) -> Deviation:  # noqa: D102
        return self._chosen(call).measure(fast, reference, call)

    def _chosen(self, call: Call) -> Tolerance:
        return self.tolerances[call.kwargs.get(self.option, self.default)]

    def __str__(self) -> str:
        return " or ".join(str(tolerance) for tolerance in self.tolerances.values())
