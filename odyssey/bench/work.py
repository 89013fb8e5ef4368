"""How much work a call is: floating-point operations, and bytes that must cross the memory bus at least once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from odyssey.testing.call import Call
from odyssey.testing.case import Case
from odyssey.typing import Array

__all__ = ["Work", "work_of"]


@dataclass(frozen=True)
class Work:
    """What one call does. `flops` is 0 where the row of the operation does not count them: the bytes bound it then."""

    flops: float
    read: int
    written: int

    @property
    def nbytes(self) -> int:
        """All bytes moved."""
        return self.read + self.written

    def rate(self, seconds: float) -> tuple[float, str]:
        """The work per second, in the unit that fits."""
        return (self.flops / seconds / 1e9, "GFLOP/s") if self.flops else (self.nbytes / seconds / 1e9, "GB/s")


def work_of(case: Case, call: Call, results: Sequence[Array]) -> Work:
    """The work of a call with these results: each array read once, each result written once."""
    arrays = {id(value): value for value in (*call.args, *call.kwargs.values()) if isinstance(value, np.ndarray)}
    flops = case.flops(*call.args, **call.kwargs) if case.flops else 0
    return Work(float(flops), sum(array.nbytes for array in arrays.values()), sum(result.nbytes for result in results))
