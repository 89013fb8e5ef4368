"""Learning-rate schedules: functions from the number of the step to a factor on the learning rate.

Being functions of the step alone they have no state to save, and a resumed run is on the same curve.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

__all__ = ["Schedule", "constant", "cosine"]

Schedule: TypeAlias = Callable[[int], float]


def constant() -> Schedule:
    """The learning rate as it is."""
    return lambda step: 1.0


def cosine(total: int, warmup: int = 0, floor: float = 0.0) -> Schedule:
    """A linear rise over `warmup` steps, then half a cosine down to `floor` at step `total`.

    >>> factor = cosine(total=100, warmup=10)
    >>> [round(factor(step), 3) for step in (0, 9, 10, 55, 100)]
    [0.1, 1.0, 1.0, 0.5, 0.0]
    """
    if not 0 <= warmup <= total:
        raise ValueError(f"cosine: expected 0 <= warmup <= total, found warmup={warmup}, total={total}")

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        done = min((step - warmup) / max(total - warmup, 1), 1.0)
        return floor + (1.0 - floor) * 0.5 * (1.0 + math.cos(math.pi * done))

    return factor
