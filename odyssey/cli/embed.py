"""`odyssey embed`: a vector for each line of text."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from odyssey.models.bert import Bert
    from odyssey.typing import Array

__all__ = ["embed"]

SHOWN = 10


@click.command()
@click.argument("model", metavar="MODEL")
@click.argument("file", metavar="[FILE|-]", default="-")
@click.option("--out", metavar="PATH", help="A file to write, .npy or .jsonl. [default: jsonl, to the standard output]")
@click.option("--batch-size", type=click.IntRange(1), default=32, show_default=True, help="Texts computed together.")
@click.option(
    "--dtype",
    type=click.Choice(["float32", "bfloat16", "float16", "int8"]),
    help="What weights are held as. [default: as the folder has them]",
)
@click.option(
    "--precision",
    type=click.Choice(["exact", "native"]),
    default="exact",
    show_default=True,
    help="native: the processor's own products of bfloat16 weights.",
)
@click.option("--no-normalize", is_flag=True, help="Leave the vectors' lengths as they are.")
@click.option("--threads", type=click.IntRange(1), help="Threads a kernel may use. [default: all cores]")
def embed(
    model: str,
    file: str,
    out: str | None,
    batch_size: int,
    dtype: Any,
    precision: Any,
    no_normalize: bool,
    threads: int | None,
) -> None:
    """Write a vector for each line of FILE, or of the standard input, by a BERT in the folder MODEL.

    MODEL may be a name on the Hugging Face hub, "org/name". A .npy file holds (lines, features) float32; each line of
    .jsonl holds {"text": number of the line, "embedding": [...]}, in order. Texts longer than the model's maximum are
    cut, and which is said.
    """
    import os

    import odyssey as od

    if threads is not None:
        os.environ.setdefault("RAYON_NUM_THREADS", str(threads))  # the tokenizer's, read when it starts them
    kind = _kind(out)
    texts = read_lines(file)
    with ExitStack() as stack:
        if threads is not None:
            stack.enter_context(od.threads.limit(threads))
        encoder = _encoder(model, dtype, precision)
        write = _writer(stack, out, kind, len(texts), encoder.config.features)
        cut: list[int] = []
        for first in range(0, len(texts), batch_size * 64):
            some = texts[first : first + batch_size * 64]
            vectors, longer = _vectors(encoder, some, batch_size, False if no_normalize else None)
            cut += [first + place + 1 for place in longer]
            write(vectors)
    if cut:
        most = encoder.config.max_tokens or encoder.config.context
        lines = ", ".join(map(str, cut[:SHOWN])) + (", ..." if len(cut) > SHOWN else "")
        click.echo(f"odyssey: {len(cut)} texts were longer than {most} tokens and were cut: lines {lines}", err=True)


def _kind(out: str | None) -> str:
    if out is None:
        return ".jsonl"
    for kind in (".npy", ".jsonl"):
        if out.endswith(kind):
            return kind
    raise click.BadParameter(f"expected a file whose name ends with .npy or .jsonl, found {out}", param_hint="--out")


def read_lines(file: str) -> list[str]:
    """The lines of a file, or of the standard input for "-".

    Raises:
        FileNotFoundError: there is no such file.
        FormatError: there are no lines, or one is not UTF-8.
    """
    import sys

    from odyssey.errors import FormatError

    if file == "-":
        data = sys.stdin.buffer.read()
    else:
        with open(file, "rb") as opened:
            data = opened.read()
    where = "the standard input" if file == "-" else file
    if not data:
        raise FormatError(f"{where}: expected lines of text, found none")
    lines = data.removesuffix(b"\n").split(b"\n")
    texts = []
    for number, line in enumerate(lines, 1):
        try:
            texts.append(line.removesuffix(b"\r").decode())
        except UnicodeDecodeError as error:
            raise FormatError(
                f"{where}: expected text in UTF-8, found {error.reason} in line {number}; convert it: "
                "iconv -f latin1 -t utf-8"
            ) from None
    return texts


def _encoder(model: str, dtype: Any, precision: Any) -> Bert:
    from odyssey.errors import FormatError
    from odyssey.models.bert import Bert
    from odyssey.models.pretrained import from_pretrained

    try:
        encoder = from_pretrained(model, dtype=dtype, precision=precision)
    except FormatError:
        raise
    except ValueError as error:  # settings that do not go together
        raise click.UsageError(str(error)) from error
    if not isinstance(encoder, Bert):
        raise FormatError(
            f"{model}: expected a BERT, found a {type(encoder).__name__}, which makes no embeddings; "
            "odyssey generate writes text with it"
        )
    return encoder


def _vectors(encoder: Bert, texts: list[str], batch_size: int, normalize: bool | None) -> tuple[Array, list[int]]:
    import numpy as np

    from odyssey.models.bert.embedding import batches, tokens_of

    tokens = tokens_of(encoder, texts)
    result = np.empty((len(texts), encoder.config.features), np.float32)
    for places, vectors in batches(encoder, tokens.ids, batch_size, normalize):
        result[places] = vectors
    return result, tokens.cut


def _writer(stack: ExitStack, out: str | None, kind: str, count: int, features: int) -> Any:
    """What takes vectors, in order; the file is there when the stack is left without an error."""
    from odyssey.serialization.atomic import replacing

    if kind == ".npy":
        import numpy as np

        assert out is not None
        file = stack.enter_context(replacing(out))
        header = {"descr": "<f4", "fortran_order": False, "shape": (count, features)}
        np.lib.format.write_array_header_1_0(file, header)
        return lambda vectors: file.write(vectors.astype("<f4", copy=False).data)
    lines = None if out is None else stack.enter_context(replacing(out))
    pattern = '{{"text": {}, "embedding": [' + ", ".join(["{:.9g}"] * features) + "]}}\n"
    number = 0

    def write(vectors: Array) -> None:
        nonlocal number
        for vector in vectors.tolist():
            number += 1
            line = pattern.format(number, *vector)
            if lines is None:
                click.echo(line, nl=False)
            else:
                lines.write(line.encode())

    return write
