"""What a stream has done so far, and who waited for whom."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Stats", "overlap"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """Counters of a run; times are in seconds.

    Attributes:
        loaded: batches that came from the source.
        in_flight: batches that were loaded and whose results were not taken yet.
        done: batches whose work has ended, failed ones too.
        taken: results that the consumer has.
        failed: batches whose work raised.
        bytes: bytes of all batches loaded.
        bytes_in_flight: bytes of those in flight: of the batch before the work, of the result after it.
        loading: time spent in the source.
        computing: time spent in the work, added up over the workers.
        source_waited: time the source was held back because enough was in flight.
        workers_waited: time workers had nothing to do, added up.
        consumer_waited: time the consumer waited for results.
        elapsed: time since the run began, until now or its end.
        workers: how many threads compute.
    """

    loaded: int = 0
    in_flight: int = 0
    done: int = 0
    taken: int = 0
    failed: int = 0
    bytes: int = 0
    bytes_in_flight: int = 0
    loading: float = 0.0
    computing: float = 0.0
    source_waited: float = 0.0
    workers_waited: float = 0.0
    consumer_waited: float = 0.0
    elapsed: float = 0.0
    workers: int = 0

    @property
    def overlap(self) -> float:
        """`overlap` of this run: its loading, its computing by each worker, and all of it."""
        return overlap(self.loading, self.computing / max(self.workers, 1), self.elapsed)


def overlap(loading: float, computing: float, together: float) -> float:
    """How much of the shorter one of two jobs was hidden behind the longer one: 1 is all of it, 0 nothing.

    (loading + computing - together) / min(loading, computing), all in seconds. Done one after the other the two take
    their sum, and the best that can be had is the longer one alone.

    Example:
        >>> overlap(2.0, 3.0, 5.0), overlap(2.0, 3.0, 3.0), overlap(2.0, 3.0, 4.0)
        (0.0, 1.0, 0.5)
    """
    shorter = min(loading, computing)
    return (loading + computing - together) / shorter if shorter > 0 else 0.0
