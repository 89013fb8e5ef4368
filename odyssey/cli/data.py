"""`odyssey data`: data sets from where they are published."""

from __future__ import annotations

from contextlib import ExitStack

import click

from odyssey.data.published import PUBLISHED

__all__ = ["data"]

NAMES = "\n".join(f"  {name:<16}{entry.what}" for name, entry in PUBLISHED.items())


@click.group()
def data() -> None:
    """Fetch data sets."""


@data.command(epilog=f"\b\nData sets:\n{NAMES}")
@click.argument("name", type=click.Choice(list(PUBLISHED)), metavar="NAME")
@click.option("--to", "folder", metavar="DIR", default="data", show_default=True, help="The folder to put it in.")
def fetch(name: str, folder: str) -> None:
    """Fetch the data set NAME, verify it and unpack it; what is there already is left alone.

    Prints the folder to give to `odyssey train --data`.
    """
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    from odyssey.data.published import fetch as fetch_published

    console = Console(stderr=True, highlight=False)
    with ExitStack() as stack:
        bars = Progress(TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(),
                        console=console, transient=True, disable=not console.is_terminal)  # fmt: skip
        stack.enter_context(bars)
        tasks = {}

        def show(file: str, received: int, size: int | None) -> None:
            if file not in tasks:
                tasks[file] = bars.add_task(file)
            bars.update(tasks[file], completed=received, total=size)

        target = fetch_published(name, folder, show)
    click.echo(target)
