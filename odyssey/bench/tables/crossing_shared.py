"""What computing on shared memory costs over private memory, and what it costs to hand some over."""

from __future__ import annotations

import mmap
import multiprocessing as mp
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing.connection import Connection
from resource import RUSAGE_SELF, getrusage
from typing import Any

import numpy as np

from odyssey import threads
from odyssey.bench.race import PythonCall, Spread, race
from odyssey.bench.tables import Line, Request, Section, judged, open_line
from odyssey.bench.tables.crossing import Point, curve
from odyssey.bridge.shared import SharedRing, SharedTensor
from odyssey.errors import ShapeError
from odyssey.memory_pool import aligned_empty
from odyssey.typing import Array

__all__ = ["sections"]

SIZES = {"4 KiB": 1 << 12, "64 KiB": 1 << 16, "1 MiB": 1 << 20, "16 MiB": 1 << 24, "128 MiB": 1 << 27}
HANDED_OVER = {"1 MiB": 1 << 20, "100 MiB": 100 << 20, "1 GiB": 1 << 30, "10 GB": 10**10}
COMPUTING_GOAL = 0.02
HANDOVER_GOAL = 1.0  # ms
TOUCHED = 64 << 20  # bytes
ROUNDS = 21


def sections(request: Request) -> Iterator[Section]:
    """Every section, one after the other as it is measured."""
    with threads.limit(1):
        yield Section("Shared memory: computing on it, over private memory", _computing(request))
        yield Section("Shared memory: handing it to another process", _handover(request))
        yield Section("Shared memory: its first pages", _first_touch(request))
        yield Section("SharedRing: batches from a worker process", _ring(request))


# ---- computing ------------------------------------------------------------------------------------------------------


def _computing(request: Request) -> list[Line]:
    sizes = [label for label in SIZES if not request.quick or SIZES[label] <= 1 << 24]
    small = curve(request, "softmax of rows of 256, the array", COMPUTING_GOAL, (_rows(label) for label in sizes))
    pages = curve(
        request, "the same, over private memory on small pages too", COMPUTING_GOAL,
        (_rows(label, small_pages=True) for label in sizes if SIZES[label] >= 1 << 24),
    )  # fmt: skip
    products = curve(request, "matrix product with 256 columns, the array", COMPUTING_GOAL, map(_product, sizes))
    return [*small, *pages, *products, _itself(request)]


def _private(shape: tuple[int, ...], small_pages: bool = False) -> Array:
    """The best private memory there is: aligned, and on huge pages from 4 MiB on where the system has them."""
    if not small_pages:
        return aligned_empty(shape, np.float32)
    pages = mmap.mmap(-1, 4 * int(np.prod(shape)), mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        pages.madvise(mmap.MADV_NOHUGEPAGE)
    return np.frombuffer(pages, np.float32).reshape(shape)


def _filled(array: Array) -> Array:
    array.reshape(-1)[:] = np.resize(np.random.default_rng(0).normal(size=4096).astype(np.float32), array.size)
    return array


def _rows(label: str, small_pages: bool = False) -> Point:
    import odyssey as od

    shape = (SIZES[label] // 1024, 256)
    inputs = {"shared": SharedTensor.create(shape).array, "private": _private(shape, small_pages)}
    outputs = {"shared": SharedTensor.create(shape).array, "private": _private(shape, small_pages)}
    across, bare = (
        PythonCall(name, od.softmax, (_filled(inputs[name]),), {"out": _filled(outputs[name])}) for name in inputs
    )
    return Point(label, across, bare)


def _product(label: str) -> Point:
    import odyssey as od

    shape = (SIZES[label] // 1024, 256)
    right = _filled(np.empty((256, 256), np.float32))
    inputs = {"shared": SharedTensor.create(shape).array, "private": _private(shape)}
    outputs = {"shared": SharedTensor.create(shape).array, "private": _private(shape)}
    across, bare = (
        PythonCall(name, od.matmul, (_filled(inputs[name]), right), {"out": _filled(outputs[name])}) for name in inputs
    )
    return Point(label, across, bare)


def _itself(request: Request) -> Line:
    """What it costs on top that an operation is given the tensor and not its array."""
    import odyssey as od

    tensor = SharedTensor.share(np.ones(16, np.float32))
    out = np.empty(16, np.float32)
    calls = [PythonCall("tensor", od.exp, (tensor, out)), PythonCall("array", od.exp, (tensor.array, out))]
    added = race(calls, rules=request.rules).difference("tensor", "array")
    value = Spread(*(1e6 * part for part in (added.median, added.low, added.high)))
    note = "a call with the tensor itself looks for its array each time; a loop takes tensor.array once"
    return judged("the tensor itself for its array", "16 elements", value, None, "µs on top", at_most=True, note=note)


# ---- handing over ---------------------------------------------------------------------------------------------------


def _receiver(line: Connection) -> None:
    """Receive tensors, touch the last element, and say where they are and what that cost in memory."""
    while (tensor := line.recv()) is not None:
        found = float(tensor.array[-1])
        line.send((found, tensor.inode, getrusage(RUSAGE_SELF).ru_maxrss))
        tensor.close()


def _handover(request: Request) -> list[Line]:
    ours, theirs = mp.Pipe()
    process = mp.get_context("spawn").Process(target=_receiver, args=(theirs,), daemon=True)
    process.start()
    theirs.close()
    try:
        return [_handed_over(request, ours, label) for label in HANDED_OVER]
    finally:
        with suppress(OSError):  # it has ended already
            ours.send(None)
        process.join()
        ours.close()


def _handed_over(request: Request, line: Connection, label: str) -> Line:
    request.progress(f"handing over {label}")
    what = "pickled, received, mapped, read from, answered"
    try:
        tensor = SharedTensor.create(HANDED_OVER[label] // 4)
    except (MemoryError, OSError, ShapeError) as error:
        return open_line(what, str(error), label)
    tensor[-1] = 7
    blocks, times, peaks = os.fstat(tensor.fileno()).st_blocks, [], []
    for _ in range(ROUNDS if request.rules.sample_seconds else 2):
        began = time.perf_counter()
        line.send(tensor)
        value, inode, peak = line.recv()
        times.append(1e3 * (time.perf_counter() - began))
        peaks.append(peak)
        if (value, inode) != (7.0, tensor.inode):
            return open_line(what, "what was received is another memory", label)
    pages = os.fstat(tensor.fileno()).st_blocks - blocks
    note = (
        f"the same inode there; {pages * 512} bytes of it came to be; the receiver's peak grew by "
        f"{peaks[-1] - peaks[0]} KiB"
    )
    return judged(what, label, Spread.of(times), HANDOVER_GOAL, "ms", at_most=True, note=note)


# ---- first touch ----------------------------------------------------------------------------------------------------


def _first_touch(request: Request) -> list[Line]:
    """Writing to fresh memory: pages one by one, all at once, and private ones."""

    def private() -> None:
        np.empty(TOUCHED, np.uint8)[:] = 1

    def shared() -> None:
        SharedTensor.create(TOUCHED, "uint8").array[:] = 1

    def populated() -> None:
        tensor = SharedTensor.create(TOUCHED, "uint8")
        memory = tensor._open_memory()
        memory._map = None
        memory.mapping(populate=True)
        tensor.array[:] = 1

    def reserved() -> None:
        SharedTensor.create(TOUCHED, "uint8", reserve=True).array[:] = 1

    ways = {"private memory": private, "shared, page by page": shared, "shared, MAP_POPULATE": populated,
            "shared, reserve=True": reserved}  # fmt: skip
    outcome = race([PythonCall(name, way) for name, way in ways.items()], rules=request.rules)
    enabled = _shmem_huge_pages()
    lines = []
    for name in ways:
        took = outcome.seconds(name)
        value = Spread(*(1e3 * part for part in (took.median, took.low, took.high)))
        note = f"huge pages for shared memory: {enabled}"
        lines.append(judged("64 MiB made and written to", name, value, None, "ms", at_most=True, note=note))
    return lines


def _shmem_huge_pages() -> str:
    """What the system is set to."""
    try:
        with open("/sys/kernel/mm/transparent_hugepage/shmem_enabled") as file:
            return file.read().partition("[")[2].partition("]")[0]
    except OSError:
        return "none here"


# ---- a ring ---------------------------------------------------------------------------------------------------------


def _fill(number: int, slot: dict[str, Array]) -> None:
    slot["x"][0, 0] = number


def _ring(request: Request) -> list[Line]:
    """What a batch costs on its way: tickets there and back, and two processes that wake each other."""
    request.progress("batches through a ring")
    ring = SharedRing(4, {"x": ((64, 784), "float32"), "y": (64, "int64")})
    times = []
    for _ in range(min(request.rules.min_rounds, 9)):
        count = 2000 if request.rules.sample_seconds else 20
        with ring.feed(_fill, range(count), context="spawn") as feed:
            next(feed)
            began = time.perf_counter()
            for _ in feed:
                pass
            times.append(1e6 * (time.perf_counter() - began) / (count - 1))
    note = "a worker that fills nothing, one batch after the other; beside work it is hidden"
    value: Any = Spread.of(times)
    return [judged("a batch through a ring", "4 slots", value, None, "µs", at_most=True, note=note)]
