"""What a Stream costs over a direct loop, how much of loading it hides, and how long it holds an event loop up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from odyssey import threads
from odyssey.bench.race import PythonCall, Spread, race
from odyssey.bench.tables import Line, Request, Section, judged, open_line
from odyssey.bench.tables.crossing import Point, curve
from odyssey.bridge.stream import Stream, overlap

__all__ = ["sections"]

DURATIONS = {
    "10 µs": 10e-6, "30 µs": 30e-6, "100 µs": 100e-6, "300 µs": 300e-6, "1 ms": 1e-3, "3 ms": 3e-3, "10 ms": 10e-3
}  # fmt: skip
OVERHEAD_GOAL, OVERLAP_GOAL, GAP_GOAL = 0.05, 0.95, 10.0
RUN = 0.1  # seconds of work in a run, so that starting two threads is no part of what a batch costs
WIDTH = 128  # of the matrices that are the work: a panel of them lies in the caches
TICK = 1e-3  # seconds between the ticks of the loop that is watched
WATCHED = 0.5  # seconds that it is watched for


def sections(request: Request) -> Iterator[Section]:
    """Every section, one after the other as it is measured."""
    with threads.limit(1):
        yield Section("Stream over the direct loop, by a batch's duration", _overhead(request))
        yield Section("Stream: loading behind computing", _overlap(request))
        yield Section("Stream: an event loop while workers compute", _gaps(request))


def _work(seconds: float) -> Callable[[Any], None]:
    """A product of matrices that takes about so long on one thread, as work for a batch. It releases the GIL."""
    import odyssey as od

    rng = np.random.default_rng(0)
    panel = rng.normal(size=(WIDTH, WIDTH)).astype(np.float32)

    def operands(rows: int) -> tuple[Any, Any]:
        return rng.normal(size=(rows, WIDTH)).astype(np.float32), np.empty((rows, WIDTH), np.float32)

    rows, taken = 32, 0.0
    while taken < min(seconds, 1e-3) / 4:  # how long a row takes, by products that take long enough to be timed
        rows *= 2
        left, out = operands(rows)
        taken = min(_seconds(partial(od.matmul, left, panel, out=out)) for _ in range(5))
    left, out = operands(max(round(rows * seconds / taken), 1))

    def work(batch: Any) -> None:
        od.matmul(left, panel, out=out)

    return work


def _seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _drain(stream: Stream[Any]) -> None:
    for _ in stream:
        pass


# ---- on top of a loop -----------------------------------------------------------------------------------------------


def _overhead(request: Request) -> list[Line]:
    return curve(
        request, "Stream, one worker, batches that are there", OVERHEAD_GOAL,
        (_point(label, _least(request)) for label in DURATIONS), from_size="1 ms",
    )  # fmt: skip


def _least(request: Request) -> int:
    """Batches in a run at the least."""
    return 20 if request.rules.sample_seconds else 2


def _point(label: str, least: int) -> Point:
    seconds = DURATIONS[label]
    work, batches = _work(seconds), range(max(round(RUN / seconds), least))

    def direct() -> None:
        for batch in batches:
            work(batch)

    return Point(label, PythonCall("stream", _drain, (Stream(batches, work, maxsize=8),)), PythonCall("loop", direct))


# ---- two jobs at once -----------------------------------------------------------------------------------------------


def _overlap(request: Request) -> list[Line]:
    waiting = [
        _hidden(request, f"loading that waits, {label} each", partial(time.sleep, DURATIONS[label]), DURATIONS[label])
        for label in ("1 ms", "10 ms")
    ]
    what = "loading that computes, 1 ms each"
    if threads.affinity() < 2:
        return [*waiting, open_line(what, "one processor: nothing can go on at the same time")]
    load = _work(1e-3)
    return [*waiting, _hidden(request, what, partial(load, None), 1e-3), _hidden(
        request, "loading that computes, 10 ms each", partial(_work(10e-3), None), 10e-3
    )]  # fmt: skip


def _hidden(request: Request, what: str, load: Callable[[], object], seconds: float) -> Line:
    """(loading + computing - stream) / min(loading, computing), each measured in the same rounds."""
    request.progress(f"Stream, {what}")
    work, count = _work(seconds), max(round(2 * RUN / seconds), _least(request))

    def source() -> Iterator[int]:
        for number in range(count):
            load()
            yield number

    def loading() -> None:
        for _ in source():
            pass

    def computing() -> None:
        for number in range(count):
            work(number)

    def together() -> None:
        _drain(Stream(source(), work, maxsize=4))

    contenders = [PythonCall(one.__name__, one) for one in (loading, computing, together)]
    samples = race(contenders, rules=request.rules).samples
    value = Spread.of([overlap(*times) for times in zip(*(samples[one.name] for one in contenders), strict=True)])
    medians = {name: 1e3 * Spread.of(times).median for name, times in samples.items()}
    note = f"{count} batches: " + ", ".join(f"{name} {milliseconds:.3g} ms" for name, milliseconds in medians.items())
    return judged("overlap", what, value, OVERLAP_GOAL, "of the shorter", note=note)


# ---- a loop that goes on --------------------------------------------------------------------------------------------


def _gaps(request: Request) -> list[Line]:
    kernel = _work(5e-3)

    def python(batch: Any) -> None:
        for _ in range(100_000):
            pass

    plans: tuple[tuple[str, Callable[[Any], None] | None, int, float | None], ...] = (
        ("nothing but the loop", None, 1, None),
        ("kernels of 5 ms, 1 worker", kernel, 1, GAP_GOAL),
        ("kernels of 5 ms, 2 workers", kernel, 2, GAP_GOAL),
        ("Python code that holds the GIL, 1 worker", python, 1, None),
        ("Python code that holds the GIL, 2 workers", python, 2, None),
    )
    lines = []
    for setting, work, workers, goal in plans:
        request.progress(f"Stream, the event loop beside {setting}")
        seconds = WATCHED if request.rules.sample_seconds else 0.05
        gaps = [asyncio.run(_worst_gap(work, workers, seconds)) for _ in range(min(request.rules.min_rounds, 9))]
        note = f"the longest of a run of {seconds:g} s beyond its tick of {1e3 * TICK:g} ms"
        lines.append(judged("worst gap", setting, Spread.of(gaps), goal, "ms", at_most=True, note=note))
    return lines


async def _worst_gap(work: Callable[[Any], None] | None, workers: int, seconds: float) -> float:
    """By how many milliseconds at most a tick of the loop came late."""
    until = time.perf_counter() + seconds

    def source() -> Iterator[int]:
        number = 0
        while time.perf_counter() < until:
            yield number
            number += 1

    async def consume() -> None:
        if work is None:
            await asyncio.sleep(seconds)
        else:
            async for _ in Stream(source(), work, workers=workers):
                pass

    consumer = asyncio.ensure_future(consume())
    worst, last = 0.0, time.perf_counter()
    while not consumer.done():
        await asyncio.sleep(TICK)
        now = time.perf_counter()
        worst, last = max(worst, now - last - TICK), now
    await consumer
    return 1e3 * worst
