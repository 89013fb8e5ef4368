"""The machine's limits, measured when a benchmark runs: how fast it multiplies and adds, and how fast it moves bytes.

A `Limit` is a contender in the races: in every round the machine shows what it can do at that moment, and a kernel's
part of the limit is a ratio taken within the round like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any, Literal, TypeAlias

import numpy as np

from odyssey import isa, threads
from odyssey._kernels import probe
from odyssey.bench.machine import cache_bytes
from odyssey.bench.race import Clock, Outcome, undisturbed
from odyssey.bench.work import Work
from odyssey.testing.placement import place

__all__ = [
    "Limit",
    "Measured",
    "Motion",
    "fma_limit",
    "fma_pair",
    "fma_scaling",
    "limit_of",
    "measure_limits",
    "memory_limit",
    "motion_of",
    "running",
]

Motion: TypeAlias = Literal["read", "write", "copy", "add"]
"""What happens to memory: it is read; written; read once for each write; read twice for each write."""

MOTIONS: tuple[Motion, ...] = ("read", "write", "copy", "add")
ARRAYS = {"read": 1, "write": 1, "copy": 2, "add": 3}
SHARE = 128  # elements: a thread's part of a probe's arrays is a multiple of it
PROBE_SECONDS = 500e-6
LONG = 0.03  # seconds
FMA_PAIR = ("fma, one thread", "fma, two threads")
FMA_ROUNDS = 64
LEAST_FLOPS = 10_000  # a call of less work is bounded by the call
LEAST_BYTES = 8_192


class Limit:
    """A probe in a race: what the machine needs for a call's work when there is nothing else to do.

    `probe(rounds)` does a known amount of work and returns it; `work` is that of one call, in the same unit.
    """

    def __init__(
        self,
        name: str,
        probe: Callable[[int], float],
        work: float,
        *,
        around: Callable[[], AbstractContextManager[Any]] = nullcontext,
        clock: Clock = perf_counter,
    ) -> None:
        self.name = name
        self.work = work
        self._probe = probe
        self._around = around
        self._clock = clock
        self._rounds = 1
        while self._rounds < 1 << 24 and undisturbed(lambda: self._time()[0])[0] < PROBE_SECONDS:
            self._rounds *= 2

    def result(self) -> None:
        """Nothing: a probe has no result that could be wrong."""

    def sample(self, calls: int) -> float:
        """The seconds that `calls` times the work takes at the limit."""
        seconds, done = self._time()
        return seconds / done * self.work * calls

    def best(self, seconds: float = 5e-3) -> float:
        """The seconds that the work takes at the limit: the best sample of at least three and so many seconds."""
        samples: list[float] = []
        start = self._clock()
        while len(samples) < 3 or self._clock() - start < seconds:
            samples.append(self.sample(1))
        return min(samples)

    def _time(self) -> tuple[float, float]:
        with self._around():
            start = self._clock()
            done = self._probe(self._rounds)
            return self._clock() - start, done


@contextmanager
def running(count: int, on: str | None = None) -> Iterator[None]:
    """So many threads, and one instruction set or the active one."""
    with ExitStack() as stack:
        stack.enter_context(threads.limit(count))
        if on is not None:
            stack.enter_context(isa.use(on))
        yield


def fma_limit(dtype: str, count: int = 1, flops: float = 1.0, *, on: str | None = None) -> Limit:
    """The peak of fused multiply-adds with so many threads, on one instruction set."""
    return Limit(
        "FMA peak",
        lambda rounds: probe.fma(dtype, rounds * FMA_ROUNDS, count),
        flops,
        around=partial(running, count, on),
    )


def fma_pair() -> list[Limit]:
    """Contenders that do nothing but fused multiply-adds, as many on one thread and on two."""
    pair = [fma_limit("float32", count, 1e6) for count in (1, 2)]
    for limit, name in zip(pair, FMA_PAIR, strict=True):
        limit.name = name
    return pair


def fma_scaling(outcome: Outcome) -> str:
    """What two threads gained in the same rounds where nothing but fused multiply-adds ran: `fma_pair` raced along.

    Two processors of a virtual machine may share a core of the host, at times; then nothing gains much.
    """
    ratio = outcome.ratio(*FMA_PAIR)
    return f"fma alone, in the same rounds: {ratio.median:.2f} ({ratio.low:.2f}-{ratio.high:.2f})"


def memory_limit(motion: Motion, nbytes: float, count: int = 1, *, on: str | None = None) -> Limit:
    """The rate of a motion over arrays of together `nbytes` bytes, with so many threads.

    The fastest of several ways: in order or in a few places at once; by ordinary stores or by stores past the caches.
    """
    share = SHARE * count
    n = max(1, round(nbytes / 4 / ARRAYS[motion] / share)) * share
    arrays = [place(np.ones(n, np.float32)) for _ in range(ARRAYS[motion])]
    move: Callable[..., float] = getattr(probe, motion)

    def way(**flags: bool) -> Limit:
        name = f"{motion}, streaming" if flags.get("stream") else motion
        run = partial(move, *arrays, tasks=count, **flags)
        return Limit(name, lambda rounds: run(rounds=rounds), nbytes, around=partial(running, count, on))

    streams = ({},) if motion == "read" else ({"stream": False}, {"stream": True})
    return min((way(parts=parts, **stream) for stream in streams for parts in (False, True)), key=Limit.best)


def motion_of(work: Work) -> Motion:
    """The motion most like a call's: by what it writes for what it reads."""
    if work.written * 4 <= work.read:
        return "read"
    if work.read * 4 <= work.written:
        return "write"
    return "copy" if work.read * 2 <= work.written * 3 else "add"


def limit_of(work: Work, dtype: str, count: int = 1, *, on: str | None = None) -> Limit | None:
    """What bounds a call, its arithmetic or its traffic; None where there is too little of either to tell."""
    limits = []
    if work.flops >= LEAST_FLOPS:
        limits.append(fma_limit(dtype, count, work.flops, on=on))
    if work.nbytes >= LEAST_BYTES:
        limits.append(memory_limit(motion_of(work), work.nbytes, count, on=on))
    return max(limits, key=Limit.best, default=None)


@dataclass(frozen=True)
class Measured:
    """One limit: what was done, where, on which instruction set, with how many threads, and how fast in giga-units."""

    what: str
    where: str
    isa: str
    threads: int
    rate: float
    unit: str


def measure_limits(counts: Sequence[int] = (1, 2), sets: Sequence[str] | None = None) -> Iterator[Measured]:
    """Every limit for each number of threads: the FMA peak of each instruction set, then memory on the best one."""
    sets = isa.available() if sets is None else sets
    for name in sets:
        for dtype in ("float32", "float64"):
            for count in counts:
                rate = 1 / fma_limit(dtype, count, on=name).best(LONG) / 1e9
                yield Measured(f"{dtype} fma", "registers", name, count, rate, "GFLOP/s")
    for where, nbytes in _places():
        for motion in MOTIONS:
            for count in counts:
                limit = memory_limit(motion, nbytes, count, on=sets[0])
                yield Measured(motion, where, sets[0], count, nbytes / limit.best(LONG) / 1e9, "GB/s")


def _places() -> list[tuple[str, int]]:
    """Bytes that together fill half of the second-level cache, half of the last, and eight times the last."""
    second, last = cache_bytes(2, 1 << 20), cache_bytes(3, 32 << 20)
    return [("L2", second // 2), ("L3", last // 2), ("memory", min(max(8 * last, 256 << 20), 1 << 30))]
