"""`odyssey generate`: text from a model."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from odyssey.models.pretrained.weights import DType
    from odyssey.nn.stored import Precision

__all__ = ["generate"]


@click.command()
@click.argument("folder", metavar="DIR")
@click.argument("prompt")
@click.option(
    "--max-new-tokens", type=int, metavar="N", help="After how many to end. [default: 128, or what the context holds]"
)
@click.option("--temperature", type=float, help="Above 1 evens the odds, below 1 sharpens them; above 0.")
@click.option("--top-k", type=int, metavar="K", help="Draw from the K likeliest tokens.")
@click.option("--top-p", type=float, metavar="P", help="Draw from the fewest tokens that together have probability P.")
@click.option("--seed", type=click.IntRange(0), help="The same seed draws the same text. [default: another each time]")
@click.option("--stream", is_flag=True, help="Write pieces as they are found.")
@click.option("--stop", multiple=True, metavar="TOKEN", help="End at this token too, beside those of the model.")
@click.option(
    "--dtype",
    type=click.Choice(["float32", "bfloat16", "float16", "int8"]),
    help="How weights are held. [default: as they are in the files]",
)
@click.option(
    "--precision",
    type=click.Choice(["exact", "native"]),
    default="exact",
    show_default=True,
    help="native: the processor's own narrow products, faster on long prompts and outside of the same bits everywhere.",
)
@click.option("--packed", is_flag=True, help="Lay weights out once: a slower start, and faster tokens; the same bits.")
@click.option("--threads", type=click.IntRange(1), help="Threads a kernel may use. [default: all cores]")
@click.option("--isa", metavar="NAME", help="The instruction set to run on. [default: the best]")
@click.option("--timings", is_flag=True, help="Say on stderr how long it took.")
def generate(
    folder: str,
    prompt: str,
    max_new_tokens: int | None,
    temperature: float | None,
    top_k: int | None,
    top_p: float | None,
    seed: int | None,
    stream: bool,
    stop: tuple[str, ...],
    dtype: DType | None,
    precision: Precision,
    packed: bool,
    threads: int | None,
    isa: str | None,
    timings: bool,
) -> None:
    """Write what follows PROMPT by the model in DIR.

    DIR is a folder as Hugging Face has it, with config.json, model.safetensors and tokenizer.json, or a name on the
    hub, org/name: a decoder of odyssey's own, of Mixtral, OLMoE, Qwen3-MoE, or Llama's kind. PROMPT may be - for what
    stands on stdin. Without --temperature, --top-k and --top-p the likeliest token follows.
    """
    began = perf_counter()
    from odyssey.cli.train import choose_machine
    from odyssey.data.text.tokenizer import load_tokenizer
    from odyssey.models.generation import Sampling, generate_text
    from odyssey.models.pretrained import from_pretrained
    from odyssey.models.pretrained.folder import Folder
    from odyssey.models.pretrained.hub import resolve

    text = sys.stdin.read() if prompt == "-" else prompt
    with ExitStack() as running:
        running.enter_context(_settings_as_usage())
        Sampling(temperature, top_k, top_p)  # what is wrong with them is said before gigabytes are opened
        choose_machine(running, threads, isa, False)
        path = resolve(folder)
        Folder(path)  # a folder that is none is said before its tokenizer is missed
        tokenizer = load_tokenizer(path)
        model = from_pretrained(path, dtype=dtype, precision=precision, packed=packed)
        if not hasattr(model, "new_cache"):
            raise click.BadParameter(
                f"expected a decoder, found a {type(model).__name__}, which does not write text; "
                "`odyssey embed` turns text into vectors with it",
                param_hint="DIR",
            )
        options: dict[str, Any] = {
            "temperature": temperature,
            "top_k": top_k,
            "top_p": top_p,
            "seed": seed,
            "stop": [_token(tokenizer, one) for one in stop],
        }
        pieces = generate_text(model, tokenizer, text, max_new_tokens, **options)
        loaded = perf_counter()
        first: float | None = None
        parts = []
        for piece in pieces:
            first = first or perf_counter()
            if stream:
                click.echo(piece, nl=False)
                sys.stdout.flush()
            else:
                parts.append(piece)
        click.echo("".join(parts))
        if timings:
            ended = perf_counter()
            first = first or ended
            click.echo(
                f"opened in {loaded - began:.2f} s, first piece after {first - loaded:.2f} s, "
                f"the rest in {ended - first:.2f} s",
                err=True,
            )


@contextmanager
def _settings_as_usage() -> Iterator[None]:
    """A setting or a prompt that generation refuses is the command's user's affair."""
    try:
        yield
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _token(tokenizer: Any, text: str) -> int:
    found = tokenizer.token_to_id(text)
    if found is None:
        raise click.BadParameter(f"expected a token of the tokenizer, found {text!r}", param_hint="--stop")
    return int(found)
