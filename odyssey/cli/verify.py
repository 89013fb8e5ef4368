"""`odyssey verify`: every operation, fast against reference, on every instruction set of this machine."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.table import Table

    from odyssey.testing.verify import Result

__all__ = ["verify"]


@click.command()
@click.argument("families", nargs=-1, metavar="[FAMILY]...")
@click.option("--isa", "isas", multiple=True, metavar="NAME", help="Only this instruction set. [default: all usable]")
@click.option("--exhaustive", is_flag=True, help="All 2^32 float32 inputs of every function of one array instead.")
@click.option("--op", "ops", multiple=True, metavar="NAME", help="Exhaustive: only this function.")
@click.option("--stride", type=click.IntRange(1), default=1, metavar="N", help="Exhaustive: only every N-th input.")
@click.option("--jobs", type=click.IntRange(1), metavar="N", help="Exhaustive: processes. [default: one a processor]")
@click.option("--keep", metavar="FILE", help="Exhaustive: keep what is done there, and go on from it.")
@click.option("--markdown", metavar="FILE", help="Exhaustive: write the table as Markdown.")
@click.pass_context
def verify(
    ctx: click.Context,
    families: tuple[str, ...],
    isas: tuple[str, ...],
    exhaustive: bool,
    ops: tuple[str, ...],
    stride: int,
    jobs: int | None,
    keep: str | None,
    markdown: str | None,
) -> None:
    """Hold every operation against its definition, on every instruction set of this machine.

    Exits with 1 if one fails. FAMILY restricts it to families of operations, such as softmax.

    With --exhaustive every float32 there is goes through every function of one array: the first instruction set is
    compared with the same function in float64, the others with the bits of the first. That takes a minute or two for
    each function and vector set, several for scalar; it says how long before it begins. An interrupted run with --keep
    goes on where it was.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from odyssey import isa
    from odyssey.testing.cases import select
    from odyssey.testing.verify import verify as run

    usable = isa.available()
    for name in isas:
        if name not in usable:
            raise click.BadParameter(f"expected one of {', '.join(usable)}, found {name!r}", param_hint="--isa")
    try:
        cases = select(families=families or None)
    except KeyError as error:
        message = f"expected families of operations, found {error.args[0]}"
        raise click.BadParameter(message, param_hint="FAMILY") from error
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=120)  # a file or a pipe has no width to fit
    if exhaustive:
        from odyssey.cli.exhaustive import run_exhaustive

        passed = run_exhaustive(
            console, families, ops, list(isas or usable), stride=stride, jobs=jobs, keep=keep, markdown=markdown
        )
        ctx.exit(0 if passed else 1)
    if ops or keep or markdown or jobs or stride != 1:
        raise click.UsageError("expected --exhaustive beside --op, --stride, --jobs, --keep and --markdown", ctx)
    began = time.perf_counter()
    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), console=console, transient=True,
        disable=not console.is_terminal,
    ) as bar:  # fmt: skip
        task = bar.add_task("verify", total=len(cases))
        results = run(
            isas or None, families or None, progress=lambda r: bar.update(task, advance=1, description=f"{r.op:<24}")
        )
    console.print(_table(results))
    failed = [result for result in results if not result.passed]
    for result in failed:
        console.print(f"{result.op}: {result.message}", markup=False, soft_wrap=True)
    absent = [name for name in isa.found() if name not in usable]
    console.print(
        f"{len(results) - len(failed)} of {len(results)} operations pass, "
        f"{sum(result.calls for result in results):,} calls on {', '.join(isas or usable)}, "
        f"{time.perf_counter() - began:.1f} s" + (f"; this machine cannot run {', '.join(absent)}" if absent else ""),
        soft_wrap=True,
    )
    if failed:
        ctx.exit(1)


def _table(results: list[Result]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading, justify in (
        ("operation", "left"), ("family", "left"), ("calls", "right"), ("largest error", "right"),
        ("allowed", "left"), ("", "left"),
    ):  # fmt: skip
        table.add_column(heading, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for result in results:
        table.add_row(
            result.op,
            result.family,
            f"{result.calls:,}",
            f"{result.error:.3g} {result.unit}",
            result.tolerance,
            "[green]pass[/]" if result.passed else f"[red]FAIL[/] {result.failures:,}",
        )
    return table
