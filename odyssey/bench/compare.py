"""Two runs, race by race: what got slower, and how sure that is.

A machine is not the same twice. Where a race had a limit, times are counted in units of what the limit took in the same
round, so that a slower machine does not count as a slower kernel; else in seconds. The interval is a bootstrap over the
rounds of both runs: each is drawn anew with replacement, many times, and the ratio of the medians is taken.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from odyssey.bench.race import Spread
from odyssey.bench.report import Table, duration, factor
from odyssey.bench.suites import LIMIT, OURS
from odyssey.errors import FormatError

__all__ = ["Change", "changes", "comparison", "read_run"]

DRAWS = 2000
CONFIDENCE = 0.95
MATTERS = 0.03  # less is not worth a line's colour, however sure
KEY = ("op", "size", "dtype", "isa", "threads")


@dataclass(frozen=True)
class Change:
    """One race in both runs. `ratio` is new over old: above 1 it got slower; with the bounds of its interval."""

    key: tuple[Any, ...]
    old: float
    new: float
    ratio: Spread
    unit: str

    @property
    def verdict(self) -> str:
        """What can be said with confidence."""
        if self.ratio.low > 1 + MATTERS:
            return "slower"
        return "faster" if self.ratio.high < 1 - MATTERS else "same"


def read_run(path: Path) -> dict[str, Any]:
    """What an earlier run wrote with --json or --report."""
    try:
        data = json.loads(path.read_text())
        if not isinstance(data["rows"], list):
            raise TypeError("rows is no list")
    except (ValueError, KeyError, TypeError) as error:
        raise FormatError(
            f"{path}: expected the JSON of `odyssey bench --json` or `--report` over families, found something else "
            f"({error}); write one: odyssey bench --json {path}"
        ) from error
    found: dict[str, Any] = data
    return found


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """The races that both runs have, the worst first."""
    before = {_key(row): row for row in old["rows"]}
    found = []
    for row in new.get("rows", ()):
        earlier = before.get(_key(row))
        if earlier is None or not (earlier["samples"].get(OURS) and row["samples"].get(OURS)):
            continue
        relative = all(one["samples"].get(LIMIT) for one in (earlier, row))
        ratio = bootstrap(_times(earlier, relative), _times(row, relative))
        unit = "of the limit's time" if relative else "seconds"
        old_seconds, new_seconds = (float(one["seconds"]["median"]) for one in (earlier, row))
        found.append(Change(_key(row), old_seconds, new_seconds, ratio, unit))
    return sorted(found, key=lambda change: -change.ratio.median)


def bootstrap(old: Sequence[float], new: Sequence[float], seed: int = 0) -> Spread:
    """The ratio of the medians, new over old, and its 95 % interval.

    >>> bootstrap([1.0, 1.0, 1.0], [2.0, 2.0, 2.0])
    Spread(median=2.0, low=2.0, high=2.0)
    """
    rng = np.random.default_rng(seed)
    drawn = [np.median(rng.choice(np.asarray(one), (DRAWS, len(one))), axis=1) for one in (new, old)]
    low, high = np.quantile(drawn[0] / drawn[1], [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Spread(float(np.median(new) / np.median(old)), float(low), float(high))


def comparison(old: Mapping[str, Any], new: Mapping[str, Any]) -> Table:
    """The changes as a table, with what one of the runs lacks in a note."""
    found = changes(old, new)
    rows = [
        (
            *map(str, change.key[:2]),
            f"{change.key[3]}, {change.key[4]}",
            duration(change.old),
            duration(change.new),
            factor(change.ratio),
            change.verdict,
        )
        for change in found
    ]
    counts = {verdict: sum(change.verdict == verdict for change in found) for verdict in ("slower", "faster", "same")}
    notes = [
        ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
        + f"; slower and faster: by more than {MATTERS:.0%} with {CONFIDENCE:.0%} confidence",
        "new/old is of times in units of the limit's, of the same round, where there is one; else of seconds",
    ]
    if missing := {_key(row)[0] for row in old["rows"]} - {_key(row)[0] for row in new.get("rows", ())}:
        notes.append(f"not measured now: {', '.join(sorted(missing))}")
    columns = ("op", "size", "on, threads", "old", "new", "new/old (95 %)", "")
    return Table(f"Since {old.get('measured', 'then')}", columns, rows, left=3, notes=notes)


def _key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in KEY)


def _times(row: Mapping[str, Any], relative: bool) -> list[float]:
    ours = row["samples"][OURS]
    return [a / b for a, b in zip(ours, row["samples"][LIMIT], strict=True)] if relative else list(ours)
