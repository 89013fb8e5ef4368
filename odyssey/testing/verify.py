"""Every operation, fast against reference, on every instruction set of this machine.

Sizes around the lane count, every regime of values, and for ordinary values every layout in memory. The definition is
computed once for each input; a result that repeats the bits of one already judged is not judged again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from odyssey.testing.call import Call
from odyssey.testing.case import Case, Sample, namespace
from odyssey.testing.cases import select
from odyssey.testing.tolerance import Deviation
from odyssey.typing import Array

__all__ = ["Result", "verify", "verify_case"]


@dataclass(frozen=True)
class Result:
    """What became of one operation. `error` and `limit` are those of the worst element, in `unit`."""

    op: str
    family: str
    isas: tuple[str, ...]
    calls: int
    failures: int
    error: float
    limit: float
    unit: str
    tolerance: str
    why: str
    message: str | None

    @property
    def passed(self) -> bool:
        """Whether every call was within the tolerance."""
        return self.failures == 0


def verify(
    isas: Iterable[str] | None = None,
    families: Iterable[str] | None = None,
    *,
    ops: Any = None,
    progress: Callable[[Result], object] | None = None,
) -> list[Result]:
    """Check all cases, or those of some families, on these instruction sets, by default all that the machine has.

    `progress` is called with each result as it comes. Raises `KeyError` for an unknown family, and `ValueError` for an
    instruction set that cannot run here, or if none can.
    """
    cases = select(families=None if families is None else tuple(families))
    results = []
    for case in cases:
        result = verify_case(case, isas, ops=ops)
        if progress is not None:
            progress(result)
        results.append(result)
    return results


def verify_case(case: Case, isas: Iterable[str] | None = None, *, ops: Any = None, large: bool = True) -> Result:
    """Check one operation. With a namespace `ops` of one's own, it is checked as it is, on no particular set."""
    sets = _instruction_sets(isas, ops)
    ops = namespace(ops)
    worst = Deviation(0.0, 0.0, "", None, None)
    first_message, calls, failures = None, 0, 0
    for dtype in case.dtypes:
        for sample in case.samples(dtype, large=large):
            call = case.draw(sample)
            expected = case.expect(call)
            judged: dict[tuple[Any, ...], Deviation] = {}
            for layout in _layouts(case, sample):
                for isa, use in sets.items():
                    deviation = _judge(case, ops, use, call, layout, expected, judged)
                    calls += 1
                    if not deviation.passed:
                        failures += 1
                        first_message = first_message or f"{sample}, {layout}, {isa}: {deviation.message}"
                    if _is_worse(deviation, worst):
                        worst = deviation
    limit = worst.limit or _limit(case)
    return Result(
        case.op,
        case.family,
        tuple(sets),
        calls,
        failures,
        worst.error,
        limit,
        worst.unit or "ulp",
        case.tolerance_text,
        case.why,
        first_message,
    )


def _judge(
    case: Case,
    ops: Any,
    use: Callable[[], AbstractContextManager[Any]],
    call: Call,
    layout: str,
    expected: tuple[Array, ...],
    judged: dict[tuple[Any, ...], Deviation],
) -> Deviation:
    try:
        with use(), np.errstate(all="ignore"):
            results = case.run(ops, call.fresh(layout))
    except Exception as error:  # whatever it is, it is this operation's failure and no reason to stop
        return Deviation(np.inf, 0, "error", None, f"{type(error).__name__}: {error}")
    key = tuple((result.dtype, result.shape, result.tobytes()) for result in results)
    if key not in judged:
        judged[key] = case.measure(results, expected, call)
    return judged[key]


def _layouts(case: Case, sample: Sample) -> tuple[str, ...]:
    return case.layouts if sample.regime == "normal" and sample.size not in case.large else ("contiguous",)


def _is_worse(one: Deviation, other: Deviation) -> bool:
    return (not one.passed, one.error) > (not other.passed, other.error)


def _limit(case: Case) -> float:
    tolerances = case.tolerance if isinstance(case.tolerance, tuple) else (case.tolerance,)
    return max(tolerance.limit(np.dtype(np.float32)) for tolerance in tolerances)


def _instruction_sets(isas: Iterable[str] | None, ops: Any) -> dict[str, Callable[[], AbstractContextManager[Any]]]:
    """Each instruction set with what switches to it."""
    if ops is not None:
        return {"as it is": nullcontext}
    from odyssey import isa

    usable = isa.available()
    chosen = usable if isas is None else list(isas)
    for name in chosen:
        if name not in usable:
            raise ValueError(f"the instruction set {name!r} cannot run here; usable are {', '.join(usable)}")
    if not chosen:
        raise ValueError("no instruction set to check on")
    return {name: lambda name=name: isa.use(name) for name in chosen}  # type: ignore[misc]
