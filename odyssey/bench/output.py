"""Where results go: tables on the screen as they are measured, then JSON and Markdown files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from rich.console import Console

from odyssey.bench import report
from odyssey.bench.limits import measure_limits
from odyssey.bench.peers import PEERS
from odyssey.bench.suites import Row
from odyssey.bench.tables import Section
from odyssey.serialization.atomic import write_bytes, write_json

__all__ = ["Output"]

READING = (
    "Times are medians; a factor says how many times as long the other takes, as the median over the rounds (and its "
    "quartiles). The limits were measured in the same rounds."
)


class Output:
    """Shows tables, rich ones on a terminal and plain text elsewhere, and keeps them for the files."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = Console(highlight=False) if console is None else console
        self._tables: list[report.Table] = []
        self._data: dict[str, Any] = {"measured": datetime.now(UTC).isoformat(timespec="seconds")}
        self._lines: list[str] = []

    def machine(self, facts: Mapping[str, Any], absent: Mapping[str, str]) -> None:
        """The machine, and who cannot race on it."""
        self._data |= {"machine": dict(facts), "absent": dict(absent)}
        self._show(report.machine_table(facts, absent))

    def limits(self, counts: Sequence[int], sets: Sequence[str] | None = None) -> None:
        """Measure and show what the machine can do."""
        with self.status() as update:
            update("limits of the machine")
            limits = list(measure_limits(counts, sets))
        self._data["limits"] = [vars(limit) for limit in limits]
        self._show(report.limits_table(limits))

    def rows(self, title: str, rows: Sequence[Row], peers: Sequence[str]) -> None:
        """Races of operations."""
        self._data.setdefault("rows", []).extend(row.as_dict() for row in rows)
        self._show(report.rows_table(title, rows, peers))

    def section(self, section: Section) -> None:
        """A part of a table of goals."""
        self._data.setdefault("sections", []).append(section.as_dict())
        self._lines += [line.verdict for line in section.lines]
        self._show(report.section_table(section))
        if section.rows:  # too long for a screen, but the files have them
            self._tables.append(report.rows_table(f"{section.title}: every race", section.rows, tuple(PEERS)))

    def verdict(self) -> None:
        """How many goals were met."""
        found = {verdict: self._lines.count(verdict) for verdict in dict.fromkeys(self._lines)}
        self._print(", ".join(f"{count} {verdict}" for verdict, count in found.items()))

    @contextmanager
    def status(self) -> Iterator[Callable[[str], None]]:
        """While something is measured: what, on a terminal only."""
        if not self._console.is_terminal:
            yield lambda what: None
            return
        with self._console.status("") as status:
            yield lambda what: status.update(f"measuring {what}")

    @property
    def data(self) -> dict[str, Any]:
        """All that was measured, ready for JSON."""
        return self._data

    def show(self, table: report.Table) -> None:
        """Another table, for the screen and the files."""
        self._show(table)

    def write(self, as_json: str | None, as_markdown: str | None) -> None:
        """The files that were asked for."""
        if as_json is not None:
            write_json(as_json, self._data)
        if as_markdown is not None:
            day = self._data["measured"].partition("T")[0]
            parts = [f"Measured on {day}. {READING}\n", *map(report.markdown, self._tables)]
            write_bytes(as_markdown, "\n".join(parts))

    def _show(self, table: report.Table) -> None:
        self._tables.append(table)
        if self._console.is_terminal:
            self._console.print(report.rich_table(table))
        else:
            self._print(report.plain(table))

    def _print(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=True)
