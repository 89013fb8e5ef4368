"""What a way across costs: the time of work that goes that way over that of the same work without it, over sizes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from odyssey.bench.race import Check, Contender, Spread, race
from odyssey.bench.tables import Line, Request, judged, open_line

__all__ = ["Point", "curve"]


def _any(name: str, result: Any) -> None:
    """Any result will do, but there must be one."""


@dataclass(frozen=True)
class Point:
    """One size of a curve: how it is called, the same work that way and without it.

    `across` and `bare` do exactly the same work; what `across` adds is what is measured. `check` says what is wrong
    with a result, or None.
    """

    label: str
    across: Contender
    bare: Contender
    check: Check = _any


def curve(
    request: Request, what: str, goal: float, points: Iterable[Point], *, from_size: str | None = None
) -> list[Line]:
    """A line for each size, smallest first, and one that says from which size on the goal is met.

    Args:
        request: how to measure.
        what: what crosses.
        goal: the largest part of the bare time that may come on top, 0.01 for one per cent.
        points: the sizes in ascending order; each is made when its turn comes, so that no two need memory at once.
        from_size: the label from which on the goal was set; below it lines have no goal. Every line has one without it.

    Returns:
        The lines, whose values are per cent on top of the bare time.
    """
    lines: list[Line] = []
    reached: list[tuple[str, bool]] = []
    judging = from_size is None
    for point in points:
        request.progress(f"{what}, {point.label}")
        judging = judging or point.label == from_size
        outcome = race([point.bare, point.across], point.check, request.rules)
        if outcome.refused:
            lines.append(
                open_line(what, "; ".join(f"{who}: {why}" for who, why in outcome.refused.items()), point.label)
            )
            continue
        ratio = outcome.ratio(point.across.name, point.bare.name)
        share = Spread(*(100 * (part - 1) for part in (ratio.median, ratio.low, ratio.high)))
        times = {one.name: outcome.seconds(one.name).median for one in (point.across, point.bare)}
        added = outcome.difference(point.across.name, point.bare.name).median
        note = ", ".join(f"{name} {_time(seconds)}" for name, seconds in times.items()) + f": {_time(added)} on top"
        reached.append((point.label, share.median <= 100 * goal))
        lines.append(
            judged(what, point.label, share, 100 * goal if judging else None, "% on top", at_most=True, note=note)
        )
    met_from = None
    for label, met in reversed(reached):
        if not met:
            break
        met_from = label
    where = f"from {met_from} on" if met_from else "at no size measured"
    summary = f"{100 * goal:g} % or less: {where}"
    return [*lines, Line(what=what, setting="the curve", verdict="no goal", note=summary)]


def _time(seconds: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if abs(seconds) >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"
