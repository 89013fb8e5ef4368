"""`odyssey train`: train a model on real data."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

if TYPE_CHECKING:
    from odyssey.training.hybrid import Hybrid
    from odyssey.training.recipe import Recipe
    from odyssey.training.run import RunFolder
    from odyssey.training.trainer import Trainer

__all__ = ["train"]


@click.group()
def train() -> None:
    """Train a model."""


def common(command: Callable[..., None]) -> Callable[..., None]:
    """The options of every model, behind those that differ."""
    for option in (
        click.option("--resume", metavar="RUN", help="Continue the run in this folder, to the same bits."),
        click.option("--out", metavar="RUN", help="The folder for the run. [default: runs/<model>-<time>]"),
        click.option("--reference", is_flag=True, help="Train by the plain NumPy definitions; slow."),
        click.option("--isa", metavar="NAME", help="The instruction set to run on. [default: the best]"),
        click.option("--threads", type=click.IntRange(1), help="Threads a kernel may use. [default: all cores]"),
        click.option(
            "--seed", type=click.IntRange(0), default=0, show_default=True, help="The same seed, the same bits."
        ),
    ):
        command = option(command)
    return command


hybrid_option = click.option(
    "--hybrid",
    is_flag=True,
    help="Across the bridge: batches by a worker process, compiled metrics, messages; the same bits.",
)


@train.command()
@click.option("--data", metavar="DIR", help="A folder of MNIST or EMNIST IDX files, plain or .gz. [default: digits]")
@click.option("--split", help="Which of EMNIST's splits, where the folder holds several.")
@click.option("--epochs", type=click.IntRange(1), help="How often each image is seen. [default: 30]")
@click.option("--batch-size", type=click.IntRange(1), help="Images per step. [default: 64]")
@click.option("--lr", type=click.FloatRange(0.0), help="The highest learning rate. [default: 0.05 for sgd, else 0.002]")
@click.option("--optimizer", type=click.Choice(["sgd", "adam", "adamw"]), default="sgd", show_default=True)
@hybrid_option
@common
@click.pass_context
def lenet5(ctx: click.Context, /, **options: Any) -> None:
    """Train LeNet-5 on handwriting.

    Without --data, on the 1 797 digits that come with scikit-learn, a fifth of them held out. Leaves a folder with the
    model, its configuration, metrics, a curve and a checkpoint. Ctrl-C finishes the batch and saves; --resume goes on.
    """
    from odyssey.training.lenet5 import LeNet5Recipe

    run(ctx, LeNet5Recipe, **options)


@train.command()
@click.option("--data", metavar="DIR", help="A folder of CIFAR-10 or CIFAR-100. [default: digits]")
@click.option("--epochs", type=click.IntRange(1), help="How often each image is seen. [default: 100; 5 for the digits]")
@click.option("--batch-size", type=click.IntRange(1), help="Images per step. [default: 128; 32 for the digits]")
@click.option("--lr", type=click.FloatRange(0.0), help="The highest learning rate. [default: 0.1; 0.05 for the digits]")
@click.option("--schedule", type=click.Choice(["cosine", "step"]), default="cosine", show_default=True)
@click.option("--weight-decay", type=click.FloatRange(0.0), default=5e-4, show_default=True)
@click.option(
    "--keep-last", type=click.IntRange(0), default=0, show_default=True, metavar="N",
    help="Keep the checkpoints of the last N epochs, beside the latest and the best.",
)  # fmt: skip
@hybrid_option
@common
@click.pass_context
def resnet18(ctx: click.Context, /, **options: Any) -> None:
    """Train ResNet-18 on CIFAR.

    Without --data, on the 1 797 digits that come with scikit-learn, enlarged to 32x32 and a fifth of them held out.
    Leaves a folder with the model, its configuration, metrics, a curve, a checkpoint, and the checkpoint of the best
    epoch. Ctrl-C finishes the batch and saves; --resume goes on.
    """
    from odyssey.training.resnet18 import ResNet18Recipe

    run(ctx, ResNet18Recipe, **options)


@train.command()
@click.option("--preset", type=click.Choice(["tiny", "small"]), default="tiny", show_default=True, help="The model.")
@click.option("--data", metavar="DIR", help="A folder of .txt files, a document each. [default: Python's help topics]")
@click.option("--epochs", type=click.IntRange(1), help="How often the text is read. [default: by the preset]")
@click.option("--batch-size", type=click.IntRange(1), help="Windows of text per step. [default: by the preset]")
@click.option("--lr", type=click.FloatRange(0.0), help="The highest learning rate. [default: by the preset]")
@click.option(
    "--residual", type=click.Choice(["add", "mhc"]), default="add", show_default=True,
    help="Around the layers: sums, or manifold-constrained hyper-connections.",
)  # fmt: skip
@common
@click.pass_context
def moe(ctx: click.Context, /, **options: Any) -> None:
    """Train a mixture-of-experts transformer to say what comes next in a text.

    Without --data, in the topics of Python's help(), a tenth of them held out. Leaves a folder with the model and its
    tokenizer (model/, as transformers has it), the configuration, metrics, samples of text, a curve and a checkpoint.
    Ctrl-C finishes the batch and saves; --resume goes on.
    """
    from odyssey.training.moe import MoERecipe

    run(ctx, MoERecipe, **options)


def run(
    ctx: click.Context,
    kind: type[Recipe[Any]],
    threads: int | None,
    isa: str | None,
    reference: bool,
    out: str | None,
    resume: str | None,
    hybrid: bool = False,
    **settings: Any,
) -> None:
    """Begin or resume a run of a recipe, and show how it goes."""
    from rich.console import Console

    from odyssey.training import recipe as recipes
    from odyssey.training.interrupt import stop_on_interrupt
    from odyssey.training.progress import progress
    from odyssey.training.run import RunFolder

    console = Console(highlight=False)
    with ExitStack() as running:
        choose_machine(running, threads, isa, reference)
        if resume is not None:
            if out is not None and RunFolder(out).path.absolute() != RunFolder(resume).path.absolute():
                raise click.UsageError(f"expected --out to be the run resumed, {resume}, found {out}; leave it out")
            given = {
                name: value
                for name, value in settings.items()
                if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
            }
            folder = RunFolder(resume)
            trainer, data, recipe = recipes.resume(kind, folder, given)
        else:
            folder = RunFolder(out or time.strftime(f"runs/{kind.name}-%Y%m%d-%H%M%S"), messages=hybrid)
            trainer, data, recipe = recipes.start(kind(**settings), folder)
        assert recipe.epochs is not None
        bridge = None
        if hybrid:
            from odyssey.training.hybrid import Hybrid

            bridge = Hybrid(trainer)
        trainer.callbacks.append(progress(console))
        console.print(
            f"{recipe.title} on {data.name}: {recipe.introduced(data)}",
            soft_wrap=True,
        )
        with stop_on_interrupt(trainer):
            trainer.fit(recipe.epochs)
            recipe.end(folder, trainer, data)
        if trainer.stopped and trainer.epoch < recipe.epochs:
            console.print(
                f"stopped in epoch {trainer.epoch + 1} of {recipe.epochs}, saved; continue with\n"
                f"  odyssey train {recipe.name} --resume {folder.path}",
                soft_wrap=True,
            )
            ctx.exit(130)
        summarise(console, recipe, trainer, data, folder)
        if bridge is not None:
            summarise_bridge(console, bridge)


def choose_machine(running: ExitStack, threads: int | None, isa: str | None, reference: bool) -> None:
    """Apply --threads, --isa and --reference until `running` is closed."""
    import odyssey
    from odyssey.tensor.ops import use_reference

    if threads is not None:
        running.enter_context(odyssey.threads.limit(threads))
    if isa is not None:
        try:
            running.enter_context(odyssey.isa.use(isa))
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--isa") from error
    if reference:
        running.enter_context(use_reference())


def summarise(console: Any, recipe: Recipe[Any], trainer: Trainer, data: Any, folder: RunFolder) -> None:
    """What came of the run."""
    from odyssey.training.trainer import PHASES

    seconds = trainer.seconds()
    total = sum(seconds.values()) or 1.0
    training = sum(seconds[phase] for phase in PHASES) or 1.0
    shares = "  ".join(f"{phase} {spent / total:.0%}" for phase, spent in seconds.items())
    for name, value in (
        *recipe.summarised(trainer, data),
        ("speed", f"{trainer.epoch * recipe.seen(data) / training:,.0f} {trainer.task.unit}/s"),
        ("time", f"{total:.1f} s:  {shares}"),
        ("run", str(folder.path)),
    ):
        console.print(f"{name:<12}{value}", soft_wrap=True, markup=False)


def summarise_bridge(console: Any, bridge: Hybrid) -> None:
    """What each way across cost."""
    seconds, total = bridge.seconds(), bridge.elapsed or 1.0
    shares = "  ".join(f"{pattern} {spent / total:.1%}" for pattern, spent in seconds.items())
    together = sum(seconds.values()) / total
    replaced = bridge.loader.restarted
    worker = f"ready after {bridge.loader.starting:.2f} s, replaced " + (
        "once" if replaced == 1 else f"{replaced} times"
    )
    for name, value in (("bridge", f"{shares}: together {together:.1%} of {total:.1f} s"), ("worker", worker)):
        console.print(f"{name:<12}{value}", soft_wrap=True, markup=False)
