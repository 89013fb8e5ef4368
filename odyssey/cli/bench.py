"""`odyssey bench`: races against peers and against the machine's limits."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from odyssey.bench.output import Output
    from odyssey.bench.race import Rules
    from odyssey.bench.suites import Plan, Row
    from odyssey.testing.case import Case

__all__ = ["bench"]

AGAINST = "numpy,torch"
QUICK_LARGEST = 4 << 20  # elements


@click.command()
@click.argument("families", nargs=-1, metavar="[FAMILY]...")
@click.option(
    "--table",
    metavar="NAME",
    help="Measure goals instead: bridge, foundation, kernels, training, transformers, transport.",
)
@click.option("--op", "ops", multiple=True, metavar="NAME", help="Only this operation.")
@click.option(
    "--against", default=AGAINST, show_default=True, metavar="PEERS", help="Whom to race, separated by commas."
)
@click.option("--isa", "isas", metavar="NAMES", help="Instruction sets, separated by commas. [default: the active one]")
@click.option(
    "--threads", "counts", default="1", show_default=True, metavar="COUNTS", help="Numbers of threads, e.g. 1,2."
)
@click.option("--dtype", type=click.Choice(["float32", "float64"]), default="float32", show_default=True)
@click.option("--quick", is_flag=True, help="Fewer rounds, no arrays beyond 4M elements: a first look.")
@click.option("--wheel", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="The wheel to weigh.")
@click.option("--json", "as_json", metavar="FILE", help="Write everything, every sample too, as JSON.")
@click.option("--report", metavar="FILE.html", help="Write a page with plots; all the figures go to FILE.json.")
@click.option(
    "--compare",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="OLD.json",
    help="Show what got slower or faster since that run.",
)
@click.option("--markdown", "as_markdown", metavar="FILE", help="Write the tables as Markdown.")
def bench(
    families: tuple[str, ...],
    table: str | None,
    ops: tuple[str, ...],
    against: str,
    isas: str | None,
    counts: str,
    dtype: str,
    quick: bool,
    wheel: Path | None,
    report: str | None,
    compare: Path | None,
    as_json: str | None,
    as_markdown: str | None,
) -> None:
    """Race the operations against other libraries and against the machine.

    Every result is checked first, at that size; a wrong one is not timed. The contenders take turns round by round.
    "vs numpy 2.31 (2.25-2.40)" says that NumPy takes 2.31 times as long as odyssey: the median over the rounds, and its
    quartiles. "of limit" compares with the FMA peak or the memory's bandwidth, whichever bounds the work, measured in
    the same rounds. FAMILY restricts the races to families of operations, such as softmax.
    """
    from odyssey.bench.compare import comparison, read_run
    from odyssey.bench.machine import describe
    from odyssey.bench.output import Output
    from odyssey.bench.page import page
    from odyssey.bench.peers import PEERS, absent
    from odyssey.bench.race import QUICK, Rules
    from odyssey.bench.suites import vector_sets
    from odyssey.bench.tables import TABLES, Request
    from odyssey.serialization.atomic import write_bytes
    from odyssey.testing.cases import CASES

    if table is not None and table not in TABLES:
        raise click.BadParameter(f"expected one of {', '.join(TABLES)}, found {table!r}", param_hint="--table")
    if table is not None and (report or compare):
        raise click.UsageError("expected --report and --compare without --table: they are about families", None)
    old = read_run(compare) if compare is not None else None
    if old is not None and not (families or ops):
        ops = tuple(dict.fromkeys(row["op"] for row in old["rows"] if row["op"] in CASES))
    if report is not None and isas is None:
        isas = ",".join(vector_sets())  # side by side, each against its own limit
    rules = QUICK if quick else Rules()
    plan = _plan(against, isas, counts, dtype, quick, rules)
    cases = _cases(families, ops)
    wanted = PEERS if table else plan.against
    output = Output()
    output.machine(describe(tuple(wanted)), {name: why for name in wanted if (why := absent(name))})
    output.limits((1, 2) if table else plan.threads)
    with output.status() as update:
        if table:
            for section in TABLES[table](Request(rules=rules, quick=quick, wheel=wheel, progress=update)):
                output.section(section)
        else:
            _race(output, cases, plan, update)
    if table:
        output.verdict()
    if old is not None:
        output.show(comparison(old, output.data))
    if report is not None:
        write_bytes(report, page(output.data))
        as_json = as_json or str(Path(report).with_suffix(".json"))
    output.write(as_json, as_markdown)


def _race(output: Output, cases: list[Case], plan: Plan, update: Callable[[str], None]) -> None:
    """A table for each family, as soon as it is complete."""
    from odyssey.bench.suites import race_case, sizes_of

    for family, members in groupby(cases, key=lambda case: case.family):
        rows: list[Row] = []
        for case in members:
            for size in sizes_of(case, plan):
                update(f"{case.op} {size}")
                rows += race_case(case, size, plan)
        output.rows(f"{family}, {plan.dtype}", rows, plan.against)


def _cases(families: tuple[str, ...], ops: tuple[str, ...]) -> list[Case]:
    from odyssey.testing.cases import CASES, select

    _chosen(",".join(ops), CASES, "--op")
    try:
        cases = select(ops=ops or None, families=families or None)
    except KeyError as error:
        raise click.BadParameter(f"expected families there are, {error.args[0]}", param_hint="FAMILY") from error
    return sorted((case for case in cases if case.bench), key=lambda case: case.family)


def _plan(against: str, isas: str | None, counts: str, dtype: str, quick: bool, rules: Rules) -> Plan:
    from odyssey import isa
    from odyssey.bench.peers import PEERS
    from odyssey.bench.suites import Plan

    return Plan(
        against=_chosen(against, PEERS, "--against"),
        isas=_chosen(isas or isa.active(), isa.available(), "--isa"),
        threads=_numbers(counts),
        dtype=dtype,
        rules=rules,
        largest=QUICK_LARGEST if quick else None,
    )


def _chosen(text: str, known: Iterable[str], option: str) -> list[str]:
    names = [name for name in text.split(",") if name]
    for name in names:
        if name not in known:
            raise click.BadParameter(f"expected some of {', '.join(known)}, found {name!r}", param_hint=option)
    return names


def _numbers(text: str) -> list[int]:
    numbers = text.split(",")
    if not all(number.isdecimal() and int(number) > 0 for number in numbers):
        raise click.BadParameter(f"expected numbers such as 1,2, found {text!r}", param_hint="--threads")
    return [int(number) for number in numbers]
