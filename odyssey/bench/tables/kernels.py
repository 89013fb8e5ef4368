"""The kernel library's goals: every operation against its best peer, and the ones that matter most against the machine.

What this build or this machine lacks becomes a line that says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache, partial
from importlib import import_module
from itertools import groupby
from math import exp, log
from typing import Any

import numpy as np

from odyssey import isa, threads
from odyssey.bench.limits import fma_pair, fma_scaling, memory_limit, running
from odyssey.bench.peers import PEERS, absent, equal_threads, load
from odyssey.bench.race import Contender, PythonCall, Spread, race
from odyssey.bench.suites import LIMIT, NOT_BUILT, OURS, Plan, Row, race_case, sizes_of, vector_sets
from odyssey.bench.tables import Line, Request, Section, judged, open_line
from odyssey.testing.case import Case
from odyssey.testing.cases import CASES
from odyssey.testing.placement import place
from odyssey.typing import Array

__all__ = ["kernels"]

QUICK_LARGEST = 4 << 20  # elements
STREAMING = ("add", "scale", "axpy", "relu", "rms_norm", "layer_norm", "softmax", "adamw_step")
IN_CACHE = ("exp", "tanh", "gelu", "silu", "sigmoid")
ROWS_OF = ("softmax", "rms_norm", "cross_entropy")
CACHED = 4096  # elements
TABLE = (512, 1024)
COUNTS = (1, 2)
CAUSAL = {(4, 8, 1024, 64): 2.5, (1, 12, 128, 64): 3.0}  # (batch, heads, positions, width) -> times torch
KEYS = 1024  # of the cache that one query reads
WEIGHT = 4096  # rows and columns of the packed weight
SQUARE = 1024  # of the product on two threads


def kernels(request: Request) -> Iterator[Section]:
    """Every section, one after the other as it is measured."""
    load(tuple(PEERS))
    yield from _every_operation(request)
    yield _streaming(request)
    yield _in_cache(request)
    yield _rows_of(request)
    yield _attention(request)
    yield _convolutions(request)
    yield _sampling(request)
    yield _packed(request)
    yield _two_threads(request)
    yield _python_threads(request)


# ---- the table's rows, raced as `odyssey bench` races them -----------------------------------------------------------


def _plan(request: Request, **changes: Any) -> Plan:
    plan = Plan(against=tuple(PEERS), rules=request.rules, largest=QUICK_LARGEST if request.quick else None)
    return replace(plan, **changes)


def _race(case: Case, sizes: Sequence[Any], plan: Plan, request: Request) -> list[Row]:
    rows: list[Row] = []
    for size in sizes:
        request.progress(f"{case.op} {size}")
        rows += race_case(case, size, plan)
    return rows


def _every_operation(request: Request) -> Iterator[Section]:
    """A section for each family: the geometric mean over its races, and every race that a peer wins."""
    plan = _plan(request, threads=_counts())
    everything: list[float] = []
    for family, members in groupby(sorted(CASES.values(), key=lambda case: case.family), key=lambda case: case.family):
        rows = [row for case in members for row in _race(case, sizes_of(case, plan), plan, request)]
        raced = [(row, spread) for row in rows if (spread := row.speedup(row.best_peer))]
        lines = [_summary(raced)] if raced else []
        lines += [
            judged(f"{row.op} {row.size}", _setting(row.threads), spread, 1.0, f"x the best peer, {row.best_peer}")
            for row, spread in raced
            if spread.median < 1
        ]
        lines += [_unmeasured(row) for row in rows if row.missing or OURS in row.outcome.refused]
        everything += [spread.median for _, spread in raced]
        if lines:
            yield Section(f"{family}: against the best peer", lines, rows)
    if everything:
        mean = _geometric_mean(everything)
        line = judged(f"{len(everything)} races", "", Spread(mean, mean, mean), 2.0, "x the best peer, geometric mean")
        yield Section("Every operation at every size of its row", [line])


def _summary(raced: Sequence[tuple[Row, Spread]]) -> Line:
    ratios = [spread.median for _, spread in raced]
    mean = _geometric_mean(ratios)
    note = f"{sum(ratio >= 1 for ratio in ratios)} of {len(ratios)} at least as fast"
    what = f"{len(dict.fromkeys(row.op for row, _ in raced))} operations, {len(ratios)} races"
    return judged(what, "", Spread(mean, mean, mean), 2.0, "x the best peer, geometric mean", note=note)


def _streaming(request: Request) -> Section:
    """Arrays that no cache holds, on each vector set: part of the bandwidth for their bytes."""
    lines, rows = [], []
    for op in STREAMING:
        case = CASES.get(op)
        if case is None:
            lines.append(open_line(op, NOT_BUILT))
            continue
        plan = _plan(request, against=(), isas=vector_sets(), threads=_counts())
        size = max(sizes_of(case, plan), key=lambda one: _nbytes(case, one))
        found = _race(case, [size], plan, request)
        rows += found
        lines += [_part_of_limit(row, 0.85) for row in found]
    return Section(
        "Operations bound by the memory, beyond the caches: part of the bandwidth for their bytes", lines, rows
    )


def _part_of_limit(row: Row, goal: float) -> Line:
    value = row.part_of_limit()
    if value is None:
        return _unmeasured(row)
    return judged(f"{row.op} {row.size}", _setting(row.threads, row.isa), value, goal, f"of the {row.limit}")


def _in_cache(request: Request) -> Section:
    plan = _plan(request, against=("numpy", "torch"))
    rows = [row for op in IN_CACHE for row in _race(CASES[op], [CACHED], plan, request)]
    ratios = [spread.median for row in rows if (spread := row.speedup("torch"))]
    lines = []
    if ratios:
        mean = _geometric_mean(ratios)
        lines.append(judged(", ".join(IN_CACHE), _setting(1), Spread(mean, mean, mean), 2.5, "x torch, geometric mean"))
    else:
        lines.append(open_line(", ".join(IN_CACHE), absent("torch") or "nothing was raced"))
    lines += [judged(row.op, _setting(1), spread, None, "x torch") for row in rows if (spread := row.speedup("torch"))]
    lines += [
        judged("exp", _setting(1), spread, 2.5, "x numpy")
        for row in rows
        if row.op == "exp" and (spread := row.speedup("numpy"))
    ]
    return Section(f"Elementary functions in the first cache, {CACHED} elements", lines, rows)


def _rows_of(request: Request) -> Section:
    lines, rows = [], []
    for op in ROWS_OF:
        case = CASES.get(op)
        sizes = [] if case is None else [size for size in case.bench if _first_shape(case, size) == TABLE]
        if case is None or not sizes:
            lines.append(open_line(f"{op} 512x1024", NOT_BUILT if case is None else "its row has no such size"))
            continue
        found = _race(case, sizes[:1], _plan(request, against=("numpy", "torch"), threads=_counts()), request)
        rows += found
        lines += [_against(row, "torch", 3.0) for row in found]
    return Section("Rows, 512x1024", lines, rows)


def _against(row: Row, peer: str, goal: float) -> Line:
    value = row.speedup(peer)
    if value is None:
        return _unmeasured(row, peer)
    return judged(f"{row.op} {row.size}", _setting(row.threads), value, goal, f"x {peer}")


def _convolutions(request: Request) -> Section:
    """The sizes of the row, against oneDNN by torch in its better layout; the goal is for each and for all."""
    plan = _plan(request, against=("torch",), threads=_counts())
    case = CASES["conv2d"]
    rows = _race(case, list(case.bench)[: 3 if request.quick else None], plan, request)
    lines = [_against(row, "torch", 1.0) for row in rows]
    ratios = [line.value.median for line in lines if line.value]
    if ratios:
        mean = _geometric_mean(ratios)
        lines.append(judged("all of them", "", Spread(mean, mean, mean), 1.3, "x torch, geometric mean"))
    return Section("Convolutions", lines, rows)


# ---- races of calls that no row has at this size ---------------------------------------------------------------------


def _attention(request: Request) -> Section:
    title = "Attention"
    if (why := _lacks("scaled_dot_product_attention")) is not None:
        return Section(title, [open_line("scaled_dot_product_attention", why)])
    import odyssey as od

    lines = []
    for (batch, heads, queries, width), goal in CAUSAL.items():
        q, k, v = (_normal(seed, (batch, heads, queries, width)) for seed in range(3))
        ours: Any = od
        what = f"causal {batch}x{heads}x{queries}x{width}"
        call = partial(ours.scaled_dot_product_attention, q, k, v, is_causal=True)
        peer = _torch(lambda torch, *a: torch.nn.functional.scaled_dot_product_attention(*a, is_causal=True), q, k, v)
        lines += [_one_race(request, what, call, "torch", peer, goal, count) for count in _counts()]
    q, k, v = (_normal(seed, (1, 32, n, 128)) for seed, n in enumerate((1, KEYS, KEYS)))
    call = partial(ours.scaled_dot_product_attention, q, k, v)
    nbytes = k.nbytes + v.nbytes
    lines += [_of_bandwidth(request, f"one query, 32x128, {KEYS} keys", call, nbytes, count) for count in _counts()]
    return Section(title, lines)


def _sampling(request: Request) -> Section:
    import odyssey

    od: Any = odyssey
    lines = []
    generator = {"generator": np.random.default_rng(0)}

    def top_p(torch: Any, x: Any) -> Any:
        values, order = torch.sort(torch.softmax(x, -1), descending=True)
        kept = torch.where(torch.cumsum(values, -1) - values < 0.9, values, 0.0)
        return order.gather(-1, torch.multinomial(kept, 1))

    def top_k(torch: Any, x: Any) -> Any:
        values, order = torch.topk(x, 50)
        return order.gather(-1, torch.multinomial(torch.softmax(values, -1), 1))

    for op, second, size, goal, name, function in (
        ("topp_sample", 0.9, 151_936, 200.0, "torch", top_p),
        ("topk_sample", 50, 32_000, 5.0, "torch", top_k),
    ):
        what = f"{op} {size}"
        if (why := _lacks(op)) is not None:
            lines.append(open_line(what, why))
            continue
        logits = 4 * _normal(1, (1, size))
        call = partial(getattr(od, op), logits, second, **generator)
        lines += [_one_race(request, what, call, name, _torch(function, logits), goal, count) for count in _counts()]
    x = _normal(2, (151_936,))
    for count in _counts():
        what = "argmax 151936"
        lines.append(_one_race(request, what, partial(od.argmax, x), "numpy", partial(np.argmax, x), 1.0, count))
    return Section("Sampling", lines)


def _packed(request: Request) -> Section:
    """Weights packed once: read at the memory's speed for one row, multiplied by native instructions for many."""
    title = f"Linear on packed weights, {WEIGHT}x{WEIGHT}"
    if (why := _lacks("pack")) is not None:
        return Section(title, [open_line("pack", why)])
    import odyssey

    od: Any = odyssey
    weight = _normal(0, (WEIGHT, WEIGHT)) / WEIGHT**0.5
    lines = []
    for dtype, width in (("bfloat16", 2), ("int8", 1)):
        # As many as no cache holds: one after the other, so that each is read from memory.
        count = max(2, (256 << 20) // (weight.size * width)) if not request.quick else 4
        packed = [od.pack(weight, dtype=dtype) for _ in range(count)]
        one = _normal(1, (1, WEIGHT))

        def through(packed: list[Any] = packed, x: Array = one) -> Any:
            for each in packed:
                result = od.linear(x, each)
            return result

        what, nbytes = f"{dtype} storage, batch 1", weight.size * width * len(packed)
        lines += [_of_bandwidth(request, what, through, nbytes, n) for n in _counts()]
    many = _normal(2, (128, WEIGHT))
    call = partial(od.linear, many, od.pack(weight, dtype="bfloat16"), precision="native")
    peer = _torch(
        lambda torch, x, w: partial(torch.nn.functional.linear, x.bfloat16(), w.bfloat16()), many, weight, prepared=True
    )
    what = 'bfloat16, batch 128, precision="native"'
    lines += [_one_race(request, what, call, "torch bfloat16", peer, 1.2, count) for count in _counts()]
    return Section(title, lines)


def _two_threads(request: Request) -> Section:
    """What is bound by arithmetic gains from a second core."""
    title = "Two threads over one, bound by arithmetic"
    if threads.affinity() < 2:
        return Section(title, [open_line("two threads", "this machine has one processor")])
    import odyssey

    od: Any = odyssey
    a, b = _normal(0, (SQUARE, SQUARE)), _normal(1, (SQUARE, SQUARE))
    image, weight = _normal(2, (32, 64, 32, 32)), _normal(3, (64, 64, 3, 3))
    calls: dict[str, Callable[[], Any]] = {
        f"matmul {SQUARE}x{SQUARE}x{SQUARE}": partial(od.matmul, a, b),
        "conv2d 32x64x32x32, 64@3x3": partial(od.conv2d, image, weight, padding=1),
        "exp 1M": partial(od.exp, _normal(4, (1 << 20,))),
    }
    if _lacks("scaled_dot_product_attention") is None:
        shape = next(iter(CAUSAL))
        q = _normal(5, shape)
        attention = partial(od.scaled_dot_product_attention, q, q, q, is_causal=True)
        calls[f"attention causal {'x'.join(map(str, shape))}"] = attention
    lines = []
    for what, call in calls.items():
        request.progress(f"{what}, two threads")
        contenders = [PythonCall(f"{n} threads", call, around=partial(running, n)) for n in (2, 1)]
        outcome = race([*contenders, *fma_pair()], rules=request.rules)
        line = _outcome_line(what, _setting(2), outcome, ("1 threads", "2 threads"), 1.85, "x one thread")
        lines.append(replace(line, note=f"{line.note}; {fma_scaling(outcome)}"))
    return Section(title, lines)


def _python_threads(request: Request) -> Section:
    """Ten Python threads, each calling kernels on its own arrays, do as much in a second as calls on two threads."""
    title = "Ten Python threads"
    if threads.affinity() < 2:
        return Section(title, [open_line("ten threads", "this machine has one processor")])
    import odyssey as od

    workers, calls = 10, 2
    operands = [(_normal(i, (384, 384)), _normal(i + 10, (384, 384))) for i in range(workers)]

    def work(pair: tuple[Array, Array]) -> None:
        for _ in range(calls):
            od.exp(od.matmul(*pair))

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(lambda _: time.sleep(0.01), range(workers)))  # they exist before the clock runs
        together = PythonCall("ten threads", lambda: list(pool.map(work, operands)), around=partial(running, 2))
        in_turn = PythonCall("two threads", lambda: list(map(work, operands)), around=partial(running, 2))
        request.progress("ten Python threads")
        outcome = race([together, in_turn], rules=request.rules)
    what = "matmul 384x384x384 and exp"
    unit = "of two threads' throughput"
    return Section(title, [_outcome_line(what, _setting(2), outcome, ("two threads", "ten threads"), 0.95, unit)])


# ---- what these share ------------------------------------------------------------------------------------------------


def _one_race(
    request: Request,
    what: str,
    ours: Callable[[], Any],
    name: str,
    peer: Callable[[], Any] | None,
    goal: float,
    count: int,
) -> Line:
    """Ours against one peer, whose results are its own affair."""
    request.progress(f"{what}, {_setting(count)}")
    if peer is None:
        return open_line(what, absent("torch") or f"{name} is absent", _setting(count))
    with equal_threads(count):
        contenders = [PythonCall(OURS, ours, around=partial(running, count)), PythonCall(name, peer)]
        outcome = race(contenders, rules=request.rules)
    return _outcome_line(what, _setting(count), outcome, (name, OURS), goal, f"x {name}")


def _of_bandwidth(request: Request, what: str, ours: Callable[[], Any], nbytes: int, count: int) -> Line:
    request.progress(f"{what}, {_setting(count)}")
    limit = memory_limit("read", nbytes, count)
    limit.name = LIMIT
    with equal_threads(count):
        contenders: list[Contender] = [PythonCall(OURS, ours, around=partial(running, count)), limit]
        outcome = race(contenders, rules=request.rules)
    return _outcome_line(what, _setting(count), outcome, (LIMIT, OURS), 0.85, "of the read bandwidth")


def _outcome_line(what: str, setting: str, outcome: Any, ratio: tuple[str, str], goal: float, unit: str) -> Line:
    if not all(name in outcome.samples for name in ratio):
        refused: Mapping[str, str] = outcome.refused
        return open_line(what, "; ".join(f"{name} was refused: {why}" for name, why in refused.items()), setting)
    note = ", ".join(f"{name} {1e6 * outcome.seconds(name).median:.3g} µs" for name in reversed(ratio))
    return judged(what, setting, outcome.ratio(*ratio), goal, unit, note=note)


def _torch(function: Callable[..., Any], *arrays: Array, prepared: bool = False) -> Callable[[], Any] | None:
    """A call of torch over the same memory; `prepared` says that `function` gives the call to time."""
    if absent("torch") is not None:
        return None
    torch: Any = import_module("torch")
    tensors = [torch.from_numpy(array) for array in arrays]
    if prepared:
        call: Callable[[], Any] = function(torch, *tensors)
        return call
    return partial(function, torch, *tensors)


def _lacks(op: str) -> str | None:
    import odyssey

    return None if hasattr(odyssey, op) else NOT_BUILT


def _normal(seed: int, shape: tuple[int, ...]) -> Array:
    array: Array = place(np.random.default_rng(seed).standard_normal(shape, np.float32))
    return array


def _counts() -> tuple[int, ...]:
    return tuple(count for count in COUNTS if count <= threads.affinity())


@cache
def _first_shapes(op: str) -> dict[Any, tuple[int, ...]]:
    return {size: _arrays(CASES[op], size)[0].shape for size in CASES[op].bench}


def _first_shape(case: Case, size: Any) -> tuple[int, ...]:
    return _first_shapes(case.op)[size]


def _nbytes(case: Case, size: Any) -> int:
    return sum(array.nbytes for array in _arrays(case, size))


def _arrays(case: Case, size: Any) -> list[Array]:
    given = case.bench_call(size)
    return [value for value in (*given.args, *given.kwargs.values()) if isinstance(value, np.ndarray)]


def _unmeasured(row: Row, peer: str = "") -> Line:
    why = row.missing or "; ".join(f"{name} was refused: {reason}" for name, reason in row.outcome.refused.items())
    if not why and peer and peer in PEERS:
        why = absent(peer) or f"its row does not race {peer}"
    return open_line(f"{row.op} {row.size}", why or "too little to measure", _setting(row.threads, row.isa))


def _geometric_mean(values: Sequence[float]) -> float:
    return exp(sum(map(log, values)) / len(values))


def _setting(count: int, name: str | None = None) -> str:
    return f"{name or isa.active()}, {count} thread{'s' * (count > 1)}"
