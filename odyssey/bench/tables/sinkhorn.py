"""Sinkhorn-Knopp against NumPy, torch and the memory, and entropic transport against POT where it is installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from odyssey import isa, threads
from odyssey.bench.limits import memory_limit, running
from odyssey.bench.peers import absent, equal_threads
from odyssey.bench.race import Contender, PythonCall, race
from odyssey.bench.suites import LIMIT, OURS
from odyssey.bench.tables import Line, Request, Section, judged, open_line
from odyssey.testing.cases import CASES
from odyssey.testing.placement import place
from odyssey.typing import Array

__all__ = ["sections"]

EPS = np.float32(1e-6)
ITERATIONS = 10
SHAPES = ((512, 1024), (1024, 1024), (4096, 1024))


def sections(request: Request) -> Iterator[Section]:
    """Every section, one after the other as it is measured."""
    yield _small(request)
    yield _flat(request)
    yield _large(request)
    yield _two_threads(request)
    yield _plans(request)


def _small(request: Request) -> Section:
    import odyssey as od

    x = _matrix((16_384, 4, 4))
    out = place(np.empty_like(x))
    call = partial(od.sinkhorn_knopp, x, 20, out=out)
    what, case = "4x4, 20 iterations, 16384 matrices", CASES["sinkhorn_knopp"]
    lines = []
    for name, goal in (("numpy", 100.0), ("torch", 50.0)):
        given = case.bench_call((16_384, 4, 4))
        lines.append(_one(request, what, call, name, case.peers[name](given), goal))
    grad = partial(od.sinkhorn_knopp_backward, x, x, 20, out=out)
    lines.append(_one(request, f"{what}, gradient over forward", grad, "the forward", call, None))
    return Section("Sinkhorn-Knopp, small matrices", lines)


def _flat(request: Request) -> Section:
    import odyssey as od

    x = np.abs(_matrix((8, 1024))) + np.float32(0.1)
    call = partial(od.sinkhorn_knopp, x, ITERATIONS, from_logits=False, out=place(np.empty_like(x)))
    lines = [
        _one(request, "8x1024, 10 iterations", call, name, partial(peer, x), goal)
        for name, peer, goal in (("numpy, row/column", _row_column, 15.0), ("numpy, scaling vectors", _scaling, 5.0))
    ]
    return Section("Sinkhorn-Knopp, a few long rows", lines)


def _large(request: Request) -> Section:
    """One read an iteration and one write, at the rates of arrays of the matrix's size."""
    import odyssey as od

    lines = []
    for shape in SHAPES[: 2 if request.quick else None]:
        x = np.abs(_matrix(shape)) + np.float32(0.1)
        call = partial(od.sinkhorn_knopp, x, ITERATIONS, from_logits=False, out=place(np.empty_like(x)))
        read, write = memory_limit("read", x.nbytes, 1), memory_limit("write", x.nbytes, 1)
        read.name, write.name = "read", "write"
        what = "x".join(map(str, shape)) + f", {ITERATIONS} iterations"
        request.progress(what)
        with equal_threads(1):
            contenders: list[Contender] = [PythonCall(OURS, call, around=partial(running, 1)), read, write]
            outcome = race(contenders, rules=request.rules)
        seconds = {name: outcome.seconds(name).median for name in (OURS, "read", "write")}
        least = ITERATIONS * seconds["read"] + seconds["write"]
        part = outcome.ratio("read", OURS)
        value = type(part)(*(each * least / seconds["read"] for each in (part.median, part.low, part.high)))
        note = f"odyssey {1e6 * seconds[OURS]:.0f} µs, {LIMIT} {1e6 * least:.0f} µs"
        lines.append(judged(what, _setting(1), value, 0.85, "of a read an iteration and a write", note=note))
    return Section("Sinkhorn-Knopp, large matrices", lines)


def _two_threads(request: Request) -> Section:
    title = "Sinkhorn-Knopp, two threads over one"
    if threads.affinity() < 2:
        return Section(title, [open_line("two threads", "this machine has one processor")])
    import odyssey as od

    small, large = (
        _matrix((16_384, 4, 4)),
        np.abs(_matrix((4096 if not request.quick else 1024, 1024))) + np.float32(0.1),
    )
    lines = []
    for what, call in (
        ("4x4, 20 iterations, 16384 matrices", partial(od.sinkhorn_knopp, small, 20)),
        (f"{len(large)}x1024, 10 iterations", partial(od.sinkhorn_knopp, large, ITERATIONS, from_logits=False)),
    ):
        request.progress(f"{what}, two threads")
        contenders = [PythonCall(f"{n} threads", call, around=partial(running, n)) for n in (2, 1)]
        outcome = race(contenders, rules=request.rules)
        lines.append(judged(what, _setting(2), outcome.ratio("1 threads", "2 threads"), 1.8, "x one thread"))
    return Section(title, lines)


def _plans(request: Request) -> Section:
    """To one error: iterations of both stop where the columns are within 1e-6 of their weights."""
    import odyssey as od

    lines = []
    for n, reg in ((512, 0.05), (512, 0.01)):
        rng = np.random.default_rng(0)
        points = rng.random((2, n, 2))
        cost = ((points[0][:, None] - points[1]) ** 2).sum(axis=-1)
        a = np.full(n, 1 / n)
        what = f"transport {n}x{n}, reg {reg}, float64"
        if find_spec("ot") is None:
            lines.append(open_line(what, "POT is not installed", _setting(1)))
            continue
        ot: Any = import_module("ot")
        peer = partial(ot.sinkhorn, a, a, cost, reg, method="sinkhorn_log", stopThr=1e-6, numItermax=1000, warn=False)
        lines.append(_one(request, what, partial(od.sinkhorn, a, a, cost, reg), "POT, log domain", peer, None))
    return Section("Entropic transport", lines)


def _row_column(x: Array) -> Array:
    m = x.copy()
    for _ in range(ITERATIONS):
        m /= m.sum(axis=1, keepdims=True) + EPS
        m /= m.sum(axis=0, keepdims=True) + EPS
    return m


def _scaling(x: Array) -> Array:
    u, v = np.ones(x.shape[0], x.dtype), np.ones(x.shape[1], x.dtype)
    for _ in range(ITERATIONS):
        u = u / (u * (x @ v) + EPS)
        v = v / (v * (u @ x) + EPS)
    return np.asarray(x * u[:, np.newaxis] * v)


def _one(
    request: Request, what: str, ours: Callable[[], Any], name: str, peer: Callable[[], Any] | None, goal: float | None
) -> Line:
    request.progress(f"{what}, {name}")
    if peer is None:
        return open_line(what, absent(name) or f"{name} is absent", _setting(1))
    with equal_threads(1):
        outcome = race(
            [PythonCall(OURS, ours, around=partial(running, 1)), PythonCall(name, peer)], rules=request.rules
        )
    if name not in outcome.samples:
        return open_line(what, f"{name} was refused: {outcome.refused.get(name)}", _setting(1))
    note = ", ".join(f"{each} {1e6 * outcome.seconds(each).median:.4g} µs" for each in (OURS, name))
    return judged(what, _setting(1), outcome.ratio(name, OURS), goal, f"x {name}", note=note)


def _matrix(shape: tuple[int, ...]) -> Array:
    array: Array = place(np.random.default_rng(0).standard_normal(shape, np.float32))
    return array


def _setting(count: int) -> str:
    return f"{isa.active()}, {count} thread{'s' * (count > 1)}"
