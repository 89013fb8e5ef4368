"""Results as tables, for a terminal, a file, Markdown or JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from odyssey.bench.limits import Measured
from odyssey.bench.race import Spread
from odyssey.bench.suites import Row
from odyssey.bench.tables import Line, Section

if TYPE_CHECKING:
    import rich.table

__all__ = [
    "Table",
    "digits",
    "duration",
    "factor",
    "flat",
    "limits_table",
    "machine_table",
    "markdown",
    "part",
    "plain",
    "rich_table",
    "rows_table",
    "section_table",
]

NOTHING = "-"
DISTURBED = "~"
SIZES = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))


@dataclass(frozen=True)
class Table:
    """Cells as they will stand; `left` columns are aligned to the left, the others to the right."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    left: int = 1
    notes: Sequence[str] = ()


# ---- ways to write a table -------------------------------------------------------------------------------------------


def plain(table: Table) -> str:
    """Aligned text."""
    widths = [max(map(len, cells)) for cells in zip(table.columns, *table.rows, strict=True)]
    lines = [table.title, "-" * len(table.title)]
    for cells in (table.columns, *table.rows):
        aligned = (
            cell.ljust(width) if i < table.left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        lines.append("  ".join(aligned).rstrip())
    return "\n".join((*lines, *table.notes)) + "\n"


def markdown(table: Table) -> str:
    """A table as GitHub shows it, under a heading."""
    rule = ["---" if i < table.left else "---:" for i in range(len(table.columns))]
    lines = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |" for cells in table.rows]
    head = [f"### {table.title}", "", f"| {' | '.join(table.columns)} |", f"| {' | '.join(rule)} |"]
    notes = ["", *(f"{note}  " for note in table.notes)] if table.notes else []
    return "\n".join((*head, *lines, *notes)) + "\n"


def rich_table(table: Table) -> rich.table.Table:
    """The same for a terminal."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table as RichTable

    result = RichTable(title=table.title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for i, column in enumerate(table.columns):
        result.add_column(column, justify="left" if i < table.left else "right", no_wrap=i < table.left - 1)
    for cells in table.rows:
        result.add_row(*map(escape, cells), style=_style(cells))
    if table.notes:
        result.caption, result.caption_justify = "\n".join(table.notes), "left"
    return result


def _style(cells: Sequence[str]) -> str:
    return {"met": "green", "short": "red"}.get(cells[-1], "")


# ---- numbers ---------------------------------------------------------------------------------------------------------


def duration(seconds: float) -> str:
    """Three digits and a unit: "1.23 µs"."""
    size, unit = next((pair for pair in SIZES if abs(seconds) >= pair[0]), SIZES[-1])
    return f"{digits(seconds / size)} {unit}"


def factor(spread: Spread | None) -> str:
    """How many times, with the quartiles: "2.31 (2.25-2.40)"."""
    if spread is None:
        return NOTHING
    if spread.low == spread.high:
        return digits(spread.median)
    return f"{digits(spread.median)} ({digits(spread.low)}-{digits(spread.high)})"


def part(spread: Spread | None) -> str:
    """A part of a limit: "92 %"."""
    return NOTHING if spread is None else f"{100 * spread.median:.0f} %"


def digits(value: float) -> str:
    """Three of them, or all before the point."""
    return f"{value:.0f}" if abs(value) >= 99.95 else f"{value:.1f}" if abs(value) >= 9.995 else f"{value:.2f}"


# ---- what there is to report -----------------------------------------------------------------------------------------


def machine_table(machine: Mapping[str, Any], absent: Mapping[str, str]) -> Table:
    """What `odyssey.bench.machine.describe` says, a line each, and the peers that are absent."""
    rows = [(name.replace("_", " "), text) for name, value in machine.items() if (text := flat(value))]
    return Table("Machine", ("what", "value"), rows, 2, [f"absent: {name}: {why}" for name, why in absent.items()])


def flat(value: Any) -> str:
    """Nested facts in one line."""
    if value is None:
        return ""
    if isinstance(value, dict):
        return ", ".join(f"{key.replace('_', ' ')} {flat(inner)}" for key, inner in value.items() if inner is not None)
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def limits_table(limits: Iterable[Measured]) -> Table:
    """What the machine can do, a column for each number of threads."""
    found = list(limits)
    counts = sorted({limit.threads for limit in found})
    rows = []
    for (what, where, isa, unit), group in groupby(found, key=lambda m: (m.what, m.where, m.isa, m.unit)):
        rates = {limit.threads: digits(limit.rate) for limit in group}
        rows.append((what, where, isa, *(rates.get(count, NOTHING) for count in counts), unit))
    threads = (f"{count} thread{'s' * (count > 1)}" for count in counts)
    return Table("Limits, measured in this run", ("what", "where", "on", *threads, "unit"), rows, left=3)


def rows_table(title: str, rows: Sequence[Row], peers: Sequence[str], notes: Sequence[str] = ()) -> Table:
    """One line for each race."""
    raced = [peer for peer in peers if any(peer in row.outcome.samples or peer in row.outcome.refused for row in rows)]
    columns = ("op", "size", "on", "threads", "time", "rate", "of limit", *(f"vs {peer}" for peer in raced))
    return Table(title, columns, [_cells(row, raced) for row in rows], left=3, notes=(*_footnotes(rows), *notes))


def _cells(row: Row, peers: Sequence[str]) -> tuple[str, ...]:
    seconds = row.seconds()
    if seconds is None:
        reason = "not available" if row.missing else "wrong"
        return (row.op, row.size, row.isa, str(row.threads), reason, *[NOTHING] * (2 + len(peers)))
    rate, unit = row.work.rate(seconds.median)
    mark = DISTURBED if row.disturbed else ""
    return (
        row.op,
        row.size,
        row.isa,
        str(row.threads),
        mark + duration(seconds.median),
        f"{digits(rate)} {unit}" if row.limit else NOTHING,
        f"{part(row.part_of_limit())} {row.limit}" if row.limit else NOTHING,
        *("wrong" if peer in row.outcome.refused else factor(row.speedup(peer)) for peer in peers),
    )


def section_table(section: Section) -> Table:
    """A section's goals, and whether they were met."""
    rows = [(line.what, line.setting or NOTHING, _measured(line), _goal(line), line.verdict) for line in section.lines]
    notes = [
        f"{', '.join(filter(None, (line.what, line.setting)))}: {line.note}" for line in section.lines if line.note
    ]
    return Table(section.title, ("what", "on", "measured", "goal", ""), rows, left=3, notes=notes)


def _measured(line: Line) -> str:
    return f"{factor(line.value)} {line.unit}" if line.value else NOTHING


def _goal(line: Line) -> str:
    if line.goal is None:
        return NOTHING
    return f"{'at most' if line.at_most else 'at least'} {digits(line.goal)}"


def _footnotes(rows: Sequence[Row]) -> list[str]:
    """Who was refused and why, what is missing, and what could not be measured in peace."""
    notes = dict.fromkeys(
        f"{row.op} {row.size}: {name} was refused: {why}" for row in rows for name, why in row.outcome.refused.items()
    )
    if missing := dict.fromkeys(row.op for row in rows if row.missing):
        notes[f"not available in this build: {', '.join(missing)}"] = None
    if any(row.disturbed for row in rows):
        notes[f"{DISTURBED} the system kept taking the processor away while this was measured"] = None
    return list(notes)
