"""Fixed sets of goals: each line says what was to be reached and what was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from odyssey.bench.race import Rules, Spread
from odyssey.bench.suites import Row

__all__ = ["TABLES", "Line", "Request", "Section", "Verdict", "judged", "open_line"]

Verdict: TypeAlias = Literal["met", "short", "no goal", "not available", "not measured"]


@dataclass(frozen=True, kw_only=True)
class Request:
    """How a table is to be measured.

    `quick` leaves out what takes minutes. `wheel` is the file to weigh, by default the newest in `dist`. `progress` is
    told what is measured next.
    """

    rules: Rules = field(default_factory=Rules)
    quick: bool = False
    wheel: Path | None = None
    progress: Callable[[str], object] = lambda what: None


@dataclass(frozen=True, kw_only=True)
class Line:
    """One goal. `value` is in `unit`; `at_most` says that less is better."""

    what: str
    setting: str = ""
    verdict: Verdict
    value: Spread | None = None
    goal: float | None = None
    unit: str = ""
    at_most: bool = False
    note: str = ""


@dataclass(frozen=True)
class Section:
    """Lines that belong together, and the races behind them."""

    title: str
    lines: list[Line]
    rows: list[Row] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return {
            "title": self.title,
            "lines": [asdict(line) for line in self.lines],
            "rows": [row.as_dict() for row in self.rows],
        }


def judged(
    what: str, setting: str, value: Spread, goal: float | None, unit: str, *, at_most: bool = False, note: str = ""
) -> Line:
    """A line with something measured; its median is what counts."""
    met = goal is None or (value.median <= goal if at_most else value.median >= goal)
    verdict: Verdict = "no goal" if goal is None else "met" if met else "short"
    return Line(
        what=what, setting=setting, verdict=verdict, value=value, goal=goal, unit=unit, at_most=at_most, note=note
    )


def open_line(what: str, why: str, setting: str = "", verdict: Verdict = "not available") -> Line:
    """A line with nothing measured, and why."""
    return Line(what=what, setting=setting, verdict=verdict, note=why)


def _bridge(request: Request) -> Iterator[Section]:
    from odyssey.bench.tables.bridge import bridge

    return bridge(request)


def _foundation(request: Request) -> Iterator[Section]:
    from odyssey.bench.tables.foundation import foundation

    return foundation(request)


def _kernels(request: Request) -> Iterator[Section]:
    from odyssey.bench.tables.kernels import kernels

    return kernels(request)


def _training(request: Request) -> Iterator[Section]:
    from odyssey.bench.tables.training import training

    return training(request)


def _transformers(request: Request) -> Iterator[Section]:
    from odyssey.bench.tables.transformers import transformers

    return transformers(request)


def _transport(request: Request) -> Iterator[Section]:
    from odyssey.bench.tables.transport import transport

    return transport(request)


TABLES: dict[str, Callable[[Request], Iterator[Section]]] = {
    "bridge": _bridge,
    "foundation": _foundation,
    "kernels": _kernels,
    "training": _training,
    "transformers": _transformers,
    "transport": _transport,
}
