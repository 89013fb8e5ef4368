"""The operations of `odyssey.testing.cases`, at the sizes and against the peers that their rows name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from odyssey.bench.limits import limit_of, running
from odyssey.bench.openblas import NAME as OPENBLAS
from odyssey.bench.openblas import ChildMatmul
from odyssey.bench.peers import equal_threads, load
from odyssey.bench.race import Contender, Outcome, PythonCall, Rules, Spread, race
from odyssey.bench.work import Work, work_of
from odyssey.testing.call import Call
from odyssey.testing.case import Case
from odyssey.testing.cases import CASES
from odyssey.testing.placement import place, placed_empty
from odyssey.testing.tolerance import Deviation
from odyssey.typing import Array

__all__ = [
    "LIMIT",
    "NOT_BUILT",
    "OURS",
    "Entry",
    "Plan",
    "Row",
    "is_available",
    "race_case",
    "sizes_of",
    "vector_sets",
]

OURS = "odyssey"
LIMIT = "limit"
NOT_BUILT = "not available in this build"
PEER_ERROR = 1e-3  # of the result's own size: enough to tell whether a peer computed the same thing


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to race: against whom, on which instruction sets, with how many threads, and for how long."""

    against: Sequence[str] = ("numpy", "torch")
    isas: Sequence[str] = ()
    threads: Sequence[int] = (1,)
    dtype: str = "float32"
    rules: Rules = field(default_factory=Rules)
    largest: int | None = None  # elements of an array; larger ones are left out where a size is a plain shape

    def settings(self) -> Iterator[tuple[str, int]]:
        """Instruction set and thread count, one pair after the other."""
        from odyssey import isa

        for name in self.isas or (isa.active(),):
            for count in self.threads:
                yield name, count


@dataclass(frozen=True)
class Row:
    """One operation at one size: who took how long. `missing` says why nothing was raced."""

    op: str
    size: str
    dtype: str
    isa: str
    threads: int
    work: Work = field(default_factory=lambda: Work(0, 0, 0))
    outcome: Outcome = field(default_factory=lambda: Outcome({}, {}, {}))
    limit: str | None = None
    missing: str | None = None
    deviation: Deviation | None = None

    @property
    def family(self) -> str:
        """The family of the operation."""
        return CASES[self.op].family

    @property
    def peers(self) -> list[str]:
        """Who was timed beside us."""
        return [name for name in self.outcome.samples if name not in (OURS, LIMIT)]

    @property
    def best_peer(self) -> str | None:
        """The fastest of them."""
        return self.outcome.fastest(self.peers)

    def seconds(self) -> Spread | None:
        """Our time per call; None if we were not timed."""
        return self.outcome.seconds(OURS) if OURS in self.outcome.samples else None

    def part_of_limit(self) -> Spread | None:
        """How near the limit we are: 1 is at it."""
        return self.outcome.ratio(LIMIT, OURS) if LIMIT in self.outcome.samples else None

    def speedup(self, peer: str | None) -> Spread | None:
        """How many times as long the peer takes; above 1 we are faster."""
        return self.outcome.ratio(peer, OURS) if peer in self.outcome.samples and peer is not None else None

    @property
    def disturbed(self) -> bool:
        """Whether more than a quarter of our samples were taken while somebody else had the processor."""
        return 4 * self.outcome.disturbed.get(OURS, 0) > self.outcome.rounds

    def as_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        part, seconds = self.part_of_limit(), self.seconds()
        return {
            **{
                key: getattr(self, key)
                for key in ("family", "op", "size", "dtype", "isa", "threads", "limit", "missing")
            },
            "work": asdict(self.work),
            "seconds": asdict(seconds) if seconds else None,
            "part_of_limit": asdict(part) if part else None,
            "speedup": {peer: asdict(spread) for peer in self.peers if (spread := self.speedup(peer))},
            "error": {"largest": self.deviation.error, "unit": self.deviation.unit} if self.deviation else None,
            "rounds": self.outcome.rounds,
            "calls_per_sample": dict(self.outcome.calls),
            "samples": {name: list(samples) for name, samples in self.outcome.samples.items()},
            "disturbed": dict(self.outcome.disturbed),
            "refused": dict(self.outcome.refused),
        }


def sizes_of(case: Case, plan: Plan) -> list[Any]:
    """The sizes a case is raced at."""
    if plan.largest is None:
        return list(case.bench)
    return [size for size in case.bench if type(size) not in (int, tuple) or np.prod(size) <= plan.largest]


def race_case(case: Case, size: Any, plan: Plan) -> Iterator[Row]:
    """One case at one size, for each instruction set and number of threads."""
    settings = list(plan.settings())
    if not is_available(case):
        yield from (Row(case.op, str(size), plan.dtype, isa, count, missing=NOT_BUILT) for isa, count in settings)
        return
    load(plan.against)
    entry = Entry(case, size, plan.dtype)
    blank = Row(case.op, entry.shapes, plan.dtype, "", 0, entry.work)
    for isa, count in settings:
        with ExitStack() as stack:
            stack.enter_context(np.errstate(all="ignore"))  # inputs may lie outside a function's domain
            stack.enter_context(equal_threads(count))
            contenders: list[Contender] = [entry.ours(isa, count), *entry.peers(plan.against)]
            if case.op == "matmul" and OPENBLAS in plan.against:
                contenders.append(stack.enter_context(ChildMatmul(entry.call.args[0], entry.call.args[1], count)))
            limit = limit_of(entry.work, plan.dtype, count, on=isa)
            bound = None
            if limit is not None:
                bound, limit.name = limit.name, LIMIT
                contenders.append(limit)
            outcome = race(contenders, entry.check, plan.rules)
        yield replace(blank, isa=isa, threads=count, outcome=outcome, limit=bound, deviation=entry.deviation)


def vector_sets() -> tuple[str, ...]:
    """The instruction sets worth timing: those with vectors, best first; the active one where there are none."""
    from odyssey import isa

    return tuple(name for name in isa.available() if name != "scalar") or (isa.active(),)


def is_available(case: Case) -> bool:
    """Whether this build has the operation."""
    import odyssey

    return hasattr(odyssey, case.op)


class Entry:
    """One case at one size, ready to race: the arguments, the definition's results, the contenders and their judge.

    Ours is held to the case's tolerance, a peer's result to being the same thing. Where a call writes its arguments,
    each contender has its own.
    """

    def __init__(self, case: Case, size: Any, dtype: str) -> None:
        self.case = case
        self.call = _placed(case.bench_call(size, dtype))
        self.expected = case.expect(self.call)
        self.work = work_of(case, self.call, self.expected)
        self.shapes = _shapes(case, self.call)
        self.deviation: Deviation | None = None  # ours, from the check before the last race
        self._given: dict[str, Call] = {}
        self._ours: set[str] = set()

    def ours(self, isa: str, count: int, name: str = OURS) -> PythonCall:
        """odyssey's call, into an array of its own where the operation takes one."""
        import odyssey

        self._ours.add(name)
        args, kwargs = self._arguments(name)
        kwargs = dict(kwargs)
        if self.case.takes_out and len(self.expected) == 1 and self.expected[0].ndim > 0:
            kwargs.setdefault("out", placed_empty(self.expected[0].shape, self.expected[0].dtype))
        return PythonCall(name, getattr(odyssey, self.case.op), args, kwargs, around=partial(running, count, isa))

    def peers(self, against: Sequence[str]) -> Iterator[PythonCall]:
        """Those of the case's peers that are asked for and installed."""
        for name, peer in self.case.peers.items():
            call = peer(self._arguments(name)) if name in against else None
            if call is not None:
                yield PythonCall(name, call)

    def check(self, name: str, result: Any) -> str | None:
        """What is wrong with a contender's result, or None."""
        if result is None and name not in self._given:
            return None  # a limit
        returned = () if result is None else result if isinstance(result, (tuple, list)) else (result,)
        args = self._given[name].args if name in self._given else ()  # a child has arrays of its own
        written = [args[i] for i in self.case.mutates if i < len(args) and args[i] is not None]
        if name not in self._ours:  # a peer may return what it has written, too
            returned = returned[: len(self.expected) - len(written)]
        results = (*map(np.asarray, returned), *written)
        if name in self._ours:
            self.deviation = self.case.measure(results, self.expected, self.call)
            return self.deviation.message
        compare = _other_shape if self.case.drawn else _difference
        return next(filter(None, map(compare, results, self.expected)), None)

    def _arguments(self, name: str) -> Call:
        self._given[name] = _placed(self.call) if self.case.mutates else self.call
        return self._given[name]


def _other_shape(result: Array, expected: Array) -> str | None:
    """What tells a draw from another of the same thing, or None."""
    if result.size == expected.size:
        return None
    return f"its result has shape {result.shape}, expected was {expected.shape}"


def _difference(result: Array, expected: Array) -> str | None:
    """Why these are not two computations of the same thing, or None."""
    if (wrong := _other_shape(result, expected)) is not None:
        return wrong
    wide, found = (array.astype(np.float64).ravel() for array in (expected, result))
    same = (wide == found) | (np.isnan(wide) & np.isnan(found))
    finite = wide[np.isfinite(wide)]
    scale = float(np.sqrt(np.mean(np.square(finite)))) if finite.size else 0.0
    wide, found = (np.where(same, 0.0, array) for array in (wide, found))
    error = np.abs(found - wide)
    if np.all(error <= PEER_ERROR * (scale + np.where(np.isfinite(wide), np.abs(wide), 0.0))):
        return None
    return f"its result is off by {np.max(error):.3g} where values are about {scale:.3g}"


def _placed(call: Call) -> Call:
    return Call(tuple(map(place, call.args)), {name: place(value) for name, value in call.kwargs.items()})


def _shapes(case: Case, call: Call) -> str:
    """The shapes of a call's arrays: "4096", "64x400, 120x400, 120"; of a product m x k x n."""
    shapes = [value.shape for value in call.args if isinstance(value, np.ndarray)]
    if case.op == "matmul" and [len(shape) for shape in shapes] == [2, 2]:
        return "x".join(map(str, (*shapes[0], shapes[1][1])))
    return ", ".join("x".join(map(_count, shape)) or "scalar" for shape in dict.fromkeys(shapes))


def _count(n: int) -> str:
    return f"{n >> 20}M" if n and n % (1 << 20) == 0 else str(n)
