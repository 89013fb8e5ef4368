"""The foundation's goals: matrix products, elementwise operations, LeNet-5, start-up and size.

What this build or this machine lacks becomes a line that says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from math import exp, log
from typing import Any

import numpy as np

from odyssey import isa, threads
from odyssey.bench import lenet5
from odyssey.bench.limits import fma_limit, fma_pair, fma_scaling, memory_limit, running
from odyssey.bench.machine import processor_family
from odyssey.bench.peers import PEERS, absent, equal_threads, load
from odyssey.bench.race import PythonCall, Rules, Spread, race
from odyssey.bench.startup import Import, find_wheel, stripped_size
from odyssey.bench.suites import LIMIT, NOT_BUILT, OURS, Entry, Plan, Row, is_available, race_case, sizes_of
from odyssey.bench.tables import Line, Request, Section, judged, open_line
from odyssey.testing.case import Case
from odyssey.testing.cases import CASES
from odyssey.testing.cases.products import mkn
from odyssey.typing import Array

__all__ = ["foundation"]

SQUARES = {64: 0.70, 256: 0.90, 512: 0.90, 1024: 0.90, 2048: 0.90}
SKINNY = (1, 8)
ZEN5 = ("AuthenticAMD", 26)
QUICK_LARGEST = 4 << 20  # elements


def foundation(request: Request) -> Iterator[Section]:
    """Every section, one after the other as it is measured."""
    load(tuple(PEERS))
    yield from _products(request)
    yield _skinny(request)
    yield _scaling(request)
    yield _small_call(request)
    yield _elementwise(request)
    yield _lenet5(request)
    yield _startup(request)


# ---- matrix products -------------------------------------------------------------------------------------------------


def _products(request: Request) -> Iterator[Section]:
    """Against the FMA peak and against the peers, from the same races."""
    matmul = CASES["matmul"]
    squares = [n for n in SQUARES if n <= 1024 or not request.quick]
    sizes = [size for size in matmul.bench if not (request.quick and max(size.a) > 1024 and max(size.b) > 1024)]
    best, *others = [name for name in isa.available() if name != "scalar"] or isa.available()
    raced = Plan(against=tuple(PEERS), isas=(best,), rules=request.rules)
    alone = replace(raced, against=(), isas=others)
    rows = _race(matmul, sizes, raced, request)
    if others:
        rows += _race(matmul, [mkn(n, n, n) for n in squares], alone, request)
    yield Section(
        "Matrix products, float32, one thread: part of the FMA peak",
        [
            *(_part_of_peak(row, SQUARES[n]) for n in squares for row in rows if row.size == f"{n}x{n}x{n}"),
            *(
                open_line("matmul", f"this machine has no {name}", name)
                for name in ("avx512", "avx2")
                if name not in isa.available()
            ),
        ],
    )
    against = [row for row in rows if row.isa == best]
    lines = [line for row in against for line in _against_peers(row)]
    if processor_family() != ZEN5:
        ratios = [spread.median for row in against if (spread := row.speedup("numpy"))]
        mean = f"geometric mean {_geometric_mean(ratios):.2f} x NumPy's default" if ratios else "not measured"
        why = "the goal is for Zen 5, where OpenBLAS does not use AVX-512 by itself"
        lines.append(open_line("matmul, 1.8 x NumPy's default", f"{why}; here {mean}", verdict="no goal"))
    if missing := {name: reason for name in PEERS if (reason := absent(name))}:
        lines.append(open_line("absent peers", "; ".join(f"{name}: {reason}" for name, reason in missing.items())))
    yield Section("Matrix products, float32, one thread: against the peers", lines, against)


def _race(case: Case, sizes: Sequence[Any], plan: Plan, request: Request) -> list[Row]:
    rows: list[Row] = []
    for size in sizes:
        request.progress(f"{case.op} {size}")
        rows += race_case(case, size, plan)
    return rows


def _part_of_peak(row: Row, goal: float) -> Line:
    value = row.part_of_limit()
    if value is None:
        return _unmeasured(row)
    return judged(f"matmul {row.size}", _setting(row.isa, 1), value, goal, "of the FMA peak")


def _against_peers(row: Row) -> Iterator[Line]:
    what, setting = f"matmul {row.size}", _setting(row.isa, 1)
    best = row.best_peer
    value = row.speedup(best)
    if value is None:
        yield _unmeasured(row)
        return
    yield judged(what, setting, value, 1.0, f"x the best peer, {best}")
    default = row.speedup("numpy")
    if default and processor_family() == ZEN5:
        yield judged(what, setting, default, 1.8, "x NumPy's default")


def _skinny(request: Request) -> Section:
    """Products that read a large matrix once: the bandwidth is their limit, until the arithmetic is."""
    matmul, lines = CASES["matmul"], []
    name = isa.active()
    for m in SKINNY:
        what = f"matmul {m}x4096x4096"
        if not is_available(matmul):
            lines.append(open_line(what, NOT_BUILT))
            continue
        request.progress(what)
        entry = Entry(matmul, mkn(m, 4096, 4096), "float32")
        read = memory_limit("read", entry.work.nbytes, 1, on=name)
        read.name = LIMIT
        peak = fma_limit("float32", 1, entry.work.flops, on=name)
        with equal_threads(1):
            outcome = race([entry.ours(name, 1), read, peak], entry.check, request.rules)
        if not outcome.samples:
            lines.append(open_line(what, outcome.refused[OURS]))
            continue
        of_peak = outcome.ratio(peak.name, OURS).median
        bound = outcome.ratio(peak.name, LIMIT).median > 1
        note = f"{of_peak:.2f} of the FMA peak, which is the nearer limit on this machine" if bound else ""
        lines.append(
            judged(what, _setting(name, 1), outcome.ratio(LIMIT, OURS), 0.9, "of the read bandwidth", note=note)
        )
    return Section("Products that read a matrix once, float32: part of the read bandwidth", lines)


def _scaling(request: Request) -> Section:
    matmul, lines = CASES["matmul"], []
    name = isa.active()
    for n in (512, 1024, 2048):
        what = f"matmul {n}x{n}x{n}"
        if threads.affinity() < 2 or not is_available(matmul):
            lines.append(open_line(what, NOT_BUILT if threads.affinity() >= 2 else "this machine has one processor"))
            continue
        if request.quick and n > 1024:
            continue
        request.progress(f"{what}, two threads")
        entry = Entry(matmul, mkn(n, n, n), "float32")
        two, one = entry.ours(name, 2, "two threads"), entry.ours(name, 1, "one thread")
        outcome = race([two, one, *fma_pair()], entry.check, request.rules)
        if outcome.samples:
            ratio, note = outcome.ratio(one.name, two.name), fma_scaling(outcome)
            lines.append(judged(what, _setting(name, 2), ratio, 1.9, "x one thread", note=note))
        else:
            lines.append(open_line(what, "; ".join(outcome.refused.values())))
    return Section("Two threads, float32", lines)


# ---- small and elementwise calls -------------------------------------------------------------------------------------


def _small_call(request: Request) -> Section:
    import odyssey

    a, b = (np.random.default_rng(seed).standard_normal(16).astype(np.float32) for seed in (0, 1))
    what = "add(a, b, out=o), 16 floats"
    ours = PythonCall(OURS, odyssey.add, (a, b), {"out": np.empty_like(a)}, around=partial(running, 1))
    numpy = PythonCall("numpy", np.add, (a, b), {"out": np.empty_like(a)})

    def check(name: str, result: Array) -> str | None:
        return None if np.array_equal(result, a + b) else "wrong sum"

    outcome = race([ours, numpy], check, request.rules)
    if not outcome.samples:
        return Section("A small call", [open_line(what, outcome.refused[OURS])])
    note = f"{1e9 * outcome.seconds(OURS).median:.0f} ns, np.add {1e9 * outcome.seconds('numpy').median:.0f} ns"
    line = judged(
        what, _setting(isa.active(), 1), outcome.ratio(OURS, "numpy"), 0.5, "of np.add's time", at_most=True, note=note
    )
    return Section("A small call", [line])


def _elementwise(request: Request) -> Section:
    """Every forward of the two families at every size, with `out=`; summed up by size."""
    cases = [
        case
        for case in CASES.values()
        if case.family in ("elementwise", "activations") and not case.op.endswith("_backward") and case.peers
    ]
    plan = Plan(
        against=tuple(PEERS),
        isas=(isa.active(),),
        rules=request.rules,
        largest=QUICK_LARGEST if request.quick else None,
    )
    rows = [row for case in cases for row in _race(case, sizes_of(case, plan), plan, request)]
    lines = []
    raced = sorted((row for row in rows if row.best_peer), key=lambda row: row.work.nbytes)
    order = list(dict.fromkeys(row.size.partition(",")[0] for row in raced))
    for size in order:
        lines += _summary(size, [row for row in raced if row.size.partition(",")[0] == size])
    missing = dict.fromkeys(row.op for row in rows if row.missing)
    wrong = dict.fromkeys(row.op for row in rows if OURS in row.outcome.refused)
    if missing:
        lines.append(open_line("operations missing", f"{NOT_BUILT}: {', '.join(missing)}"))
    if wrong:
        lines.append(open_line("operations refused", f"wrong results, not timed: {', '.join(wrong)}"))
    return Section("Elementwise operations and activations, float32, one thread, with out=", lines, rows)


def _summary(size: str, rows: Sequence[Row]) -> list[Line]:
    setting = _setting(rows[0].isa, 1)
    ratios = {row.op: spread for row in rows if (spread := row.speedup(row.best_peer))}
    mean = _geometric_mean([spread.median for spread in ratios.values()])
    slowest = min(ratios, key=lambda op: ratios[op].median)
    slower = [f"{op} {spread.median:.2f}" for op, spread in ratios.items() if spread.median < 1]
    note = f"{len(ratios) - len(slower)} of {len(ratios)} are at least as fast"
    if slower:
        note += f"; slower: {', '.join(slower)}"
    what = f"{len(ratios)} operations, {size}"
    return [
        judged(what, setting, Spread(mean, mean, mean), 2.0, "x the best peer, geometric mean"),
        judged(f"{what}: the slowest, {slowest}", setting, ratios[slowest], 1.0, "x the best peer", note=note),
    ]


# ---- LeNet-5 ---------------------------------------------------------------------------------------------------------

GOALS: tuple[tuple[lenet5.Task, int, float], ...] = (
    ("training", 64, 3.0),
    ("training", 1, 6.0),
    ("inference", 64, 4.0),
)


def _lenet5(request: Request) -> Section:
    title = "LeNet-5, 32x32 images: against PyTorch"
    why = lenet5.unavailable() or absent("torch")
    if why:
        return Section(title, [open_line(f"{task}, batch {batch}", why) for task, batch, _ in GOALS])
    lines = []
    for task, batch, goal in GOALS:
        workload = lenet5.Workload(task, batch)
        for count in (1, 2):
            what, setting = f"{task}, batch {batch}", _setting(isa.active(), count)
            if count > threads.affinity():
                lines.append(open_line(what, "this machine has one processor", setting))
                continue
            request.progress(f"LeNet-5 {what}, {setting}")
            with equal_threads(count):
                outcome = race(workload.contenders(count), workload.check, request.rules)
            if refused := "; ".join(f"{name} was refused: {why}" for name, why in outcome.refused.items()):
                lines.append(open_line(what, refused, setting))
            for name in outcome.samples:
                if name != OURS:
                    times = ", ".join(f"{who} {1e3 * outcome.seconds(who).median:.3g} ms" for who in (OURS, name))
                    lines.append(judged(what, setting, outcome.ratio(name, OURS), goal, f"x {name}", note=times))
    return Section(title, lines)


# ---- start-up and size -----------------------------------------------------------------------------------------------


def _startup(request: Request) -> Section:
    request.progress("import odyssey")
    rounds = 5 if request.quick else 21
    rules = Rules(sample_seconds=0, min_rounds=rounds, max_rounds=rounds)
    outcome = race([Import("odyssey"), Import("numpy")], rules=rules)
    if len(outcome.samples) == 2:
        value = outcome.difference("odyssey", "numpy")
        milliseconds = Spread(1e3 * value.median, 1e3 * value.low, 1e3 * value.high)
        numpy = 1e3 * outcome.seconds("numpy").median
        imported = judged(
            "import odyssey", f"{rounds} interpreters each", milliseconds, 30.0, "ms more than import numpy",
            at_most=True, note=f"import numpy {numpy:.0f} ms",
        )  # fmt: skip
    else:
        imported = open_line("import odyssey", "; ".join(outcome.refused.values()))
    return Section("Start-up and size", [imported, _wheel(request)])


def _wheel(request: Request) -> Line:
    what = "the wheel, stripped"
    wheel = request.wheel or find_wheel()
    if wheel is None:
        return open_line(
            what, "no wheel given; build one (pip wheel --no-deps -w dist .) or pass --wheel", verdict="not measured"
        )
    try:
        size, stripped = stripped_size(wheel)
    except FileNotFoundError as error:
        return open_line(what, str(error), verdict="not measured")
    note = f"{wheel.name}, {wheel.stat().st_size / 1e6:.2f} MB as built" if stripped else wheel.name
    return judged(what, "", Spread.of([size / 1e6]), 3.0, "MB", at_most=True, note=note)


def _geometric_mean(values: Sequence[float]) -> float:
    return exp(sum(map(log, values)) / len(values))


def _setting(name: str, count: int) -> str:
    return f"{name}, {count} thread{'s' * (count > 1)}"


def _unmeasured(row: Row) -> Line:
    why = row.missing or "; ".join(f"{name} was refused: {reason}" for name, reason in row.outcome.refused.items())
    return open_line(f"{row.op} {row.size}", why or "nobody to race against", _setting(row.isa, row.threads))
