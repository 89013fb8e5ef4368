"""`odyssey verify --exhaustive`: which functions, how long it will take, what it shows and what it keeps."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import click
from rich.console import Console

from odyssey.bench.machine import processor
from odyssey.bench.report import Table, markdown, plain, rich_table
from odyssey.config import build_info
from odyssey.errors import FormatError
from odyssey.serialization.atomic import write_bytes, write_json
from odyssey.testing.case import Case
from odyssey.testing.cases import CASES
from odyssey.testing.exhaustive import INPUTS, Function, Sweep, functions, measure_speed, sweep

__all__ = ["run_exhaustive"]

SAVE_SECONDS = 5.0
_BUILD = ("version", "compiler", "flags", "instruction_sets", "machine")  # what decides a kernel's bits


def run_exhaustive(
    console: Console,
    families: Sequence[str],
    ops: Sequence[str],
    isas: list[str],
    *,
    stride: int,
    jobs: int | None,
    keep: str | None,
    markdown: str | None,
) -> bool:
    """Sweep, show and write; whether every bound holds and all bits agree."""
    chosen = _chosen(families, ops)
    count = -(-INPUTS // stride)
    kept = _Kept(keep, isas, stride)
    jobs = jobs or len(os.sched_getaffinity(0))
    say = _plain_or_rich(console)
    done = kept.sweeps
    left = [function for function in chosen if done.get(function.name, _NOTHING).inputs < count]
    speed = {function.name: measure_speed(function, isas, stride) for function in left}
    seconds = sum(speed[one.name] * (count - done.get(one.name, _NOTHING).inputs) for one in left) / jobs
    say(
        f"{len(chosen)} functions, {'all' if stride == 1 else 'every ' + str(stride) + '-th of the'} 2^32 inputs, on "
        f"{', '.join(isas)}: about {_minutes(seconds)} with {jobs} process{'es' * (jobs > 1)}"
        + (f"; {len(chosen) - len(left)} were done before" if len(left) < len(chosen) else "")
    )
    began = time.perf_counter()
    try:
        with _progress(console, len(left) * count) as advance:
            for function, total in sweep(left, isas, stride=stride, jobs=jobs, speed=speed, begun=done):
                advance(function.name, total.inputs - done.get(function.name, _NOTHING).inputs)
                done[function.name] = total
                if total.inputs == count:
                    say(_line(function, total))
                kept.save(now=total.inputs == count)
    finally:
        kept.save(now=True)
    table = _table(chosen, done, stride)
    console.print(rich_table(table) if console.is_terminal else plain(table), markup=False, soft_wrap=True)
    failed = [function.name for function in chosen if not done[function.name].passes(function)]
    say(
        f"{len(chosen) - len(failed)} of {len(chosen)} functions pass, {time.perf_counter() - began:.0f} s"
        + (f"; FAILED: {', '.join(failed)}" if failed else "")
    )
    if markdown is not None:
        write_bytes(markdown, _document(table))
    return not failed


_NOTHING = Sweep("", ())


def _chosen(families: Sequence[str], ops: Sequence[str]) -> list[Function]:
    known = functions()
    names = dict.fromkeys(function.op for function in known)
    for op in ops:
        if op not in names:
            raise click.BadParameter(f"expected one of {', '.join(names)}; found {op!r}", param_hint="--op")
    of_family = [one for one in known if not families or _case(one).family in families]
    if not of_family:
        there = ", ".join(dict.fromkeys(_case(one).family for one in known))
        raise click.BadParameter(f"expected some of {there}; found {', '.join(families)}", param_hint="FAMILY")
    return [one for one in of_family if not ops or one.op in ops]


def _case(function: Function) -> Case:
    return CASES[function.op]


class _Kept:
    """A file with what is done so far, of one build, one choice of instruction sets and one stride."""

    def __init__(self, path: str | None, isas: list[str], stride: int) -> None:
        self._path = path
        build = {key: value for key, value in build_info().items() if key in _BUILD}
        self._about = {"build": build, "instruction_sets": isas, "stride": stride}
        self._saved = -math.inf
        self.sweeps: dict[str, Sweep] = {}
        if path is None or not os.path.exists(path):
            return
        try:
            with open(path, encoding="utf-8") as file:
                found = json.load(file)
            about, sweeps = found["about"], {name: _sweep(one) for name, one in found["functions"].items()}
        except (ValueError, KeyError, TypeError) as error:
            raise FormatError(
                f"{path}: expected what an earlier run kept, found something else ({error}); name another file"
            ) from error
        different = [key for key, value in self._about.items() if about.get(key) != value]
        if different:
            raise FormatError(
                f"{path}: expected a run of the same {' and '.join(different).replace('_', ' ')}, found another; "
                "name another file, or repeat the options it was begun with"
            )
        self.sweeps = sweeps

    def save(self, *, now: bool = False) -> None:
        """Write the file, every few seconds or now."""
        if self._path is not None and (now or time.monotonic() - self._saved > SAVE_SECONDS):
            functions = {name: asdict(one) for name, one in self.sweeps.items()}
            write_json(self._path, {"about": self._about, "functions": functions})
            self._saved = time.monotonic()


def _sweep(fields: dict[str, Any]) -> Sweep:
    return Sweep(**{**fields, "isas": tuple(fields["isas"])})


@contextmanager
def _progress(console: Console, inputs: int) -> Iterator[Callable[[str, int], None]]:
    """A bar with the time that is left, on a terminal only."""
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description:<24}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=inputs)
        yield lambda name, more: bar.update(task, advance=more, description=name)


def _plain_or_rich(console: Console) -> Callable[[str], None]:
    def say(text: str) -> None:
        console.print(text, markup=False, soft_wrap=True)
        console.file.flush()  # hours may pass before the next line

    return say


def _line(function: Function, total: Sweep) -> str:
    verdict = "pass" if total.passes(function) else "FAIL"
    return f"{function.name:<36} {total.worst:.4f} ulp at {_number(total.worst_at)}  {verdict}  {total.seconds:.0f} s"


def _table(chosen: Sequence[Function], done: dict[str, Sweep], stride: int) -> Table:
    rows = []
    for function in chosen:
        total = done[function.name]
        first, *others = total.isas
        differing = {isa: count for isa, count in (total.differing or {}).items() if count}
        bits = ", ".join(
            f"{isa}: {count:,} differ, {_number((total.differs_at or {})[isa])}" for isa, count in differing.items()
        )
        rows.append((
            function.name,
            f"{function.bound:g}",
            f"{total.usual:.4f}",
            _number(total.usual_at),
            first,
            bits or (f"the same on {', '.join(others)}" if others else "-"),
            f"{total.inputs:,}",
            "pass" if total.passes(function) else "FAIL",
        ))  # fmt: skip
    notes = [
        f"{function.name}: {done[function.name].worst:.2f} ulp at {_number(done[function.name].worst_at)}, where "
        f"|result| < 2^{round(math.log2(function.tail))}"
        for function in chosen
        if function.tail and done[function.name].worst > done[function.name].usual
    ]
    title = "Every float32 input" if stride == 1 else f"Every {stride}-th float32 input"
    columns = ("function", "bound", "max ulp", "at", "judged on", "bits", "inputs", "")
    return Table(title, columns, rows, left=1, notes=notes)


def _document(table: Table) -> str:
    build = build_info()
    return f"{markdown(table)}\nodyssey {build['version']}, {build['compiler']}, {processor()}\n"


def _number(value: float) -> str:
    return "inf" if math.isinf(value) else "nan" if math.isnan(value) else _short(value)


def _short(value: float) -> str:
    """Hexadecimal, without the digits that a float32 does not have."""
    digits, p, exponent = value.hex().partition("p")
    return digits.rstrip("0").rstrip(".") + p + exponent if "." in digits else value.hex()


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
