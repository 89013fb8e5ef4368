"""How fast tokens come one after another, beside the rate at which memory is read at the same time.

Decoding is bound by memory, whose rate other work on a machine may halve from one minute to the next: two programs that
are measured one after another are compared by what each makes of the memory it had.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from statistics import median
from time import sleep
from typing import NamedTuple

from odyssey.bench.limits import memory_limit

__all__ = ["DECODED", "WARM", "Pace", "pace"]

DECODED = 24  # tokens, of which the first are not timed
WARM = 4
PROBE_BYTES = 512 << 20
PAUSE = 0.05  # seconds before memory is looked at: threads of a peer spin on for a while


class Pace(NamedTuple):
    """The seconds of each token, and the bytes that were read in a second soon after it."""

    seconds: list[float]
    rates: list[float]

    @property
    def decode(self) -> float:
        """Tokens in a second."""
        return 1 / median(self.seconds)

    @property
    def read(self) -> float:
        """Bytes in a second."""
        return median(self.rates)

    def of_limit(self, bytes_per_token: float) -> list[float]:
        """For each token the rate at which its weights were read, as a part of that of memory."""
        return [bytes_per_token / taken / rate for taken, rate in zip(self.seconds, self.rates, strict=True)]


def pace(step: Callable[[int], float], steps: Iterable[int], threads: int) -> Pace:
    """Time tokens, each followed by a look at memory.

    Args:
        step: computes the token of a number and returns the seconds it took.
        steps: the numbers.
        threads: how many read.
    """
    limit = memory_limit("read", PROBE_BYTES, threads)
    found = Pace([], [])
    for one in steps:
        found.seconds.append(step(one))
        sleep(PAUSE)
        found.rates.append(PROBE_BYTES / limit.sample(1))
    return found
