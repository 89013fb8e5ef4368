"""Which way across: the cheapest of those that can do it, by what each was measured to cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["COSTS", "Choice", "Costs", "choose"]

Pattern: TypeAlias = Literal["direct", "stream", "shared", "proto", "jit"]
_ACROSS = ("thread", "process", "language")


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Seconds, and bytes a second, as `odyssey bench --table bridge` found them on one core of a Zen 4 server.

    Attributes:
        call: of a native function, on top of what it does.
        batch: of a batch through a stream, on top of loading and computing it.
        hand_over: of a shared tensor to another process: its descriptor sent, received and mapped.
        message: of a small message, written and read.
        message_rate: bytes of tensors a second into a message and out of it.
        pipe_rate: bytes a second through a pipe between processes.
        step: of a Python loop that reads, computes and writes a number.
        compiled_step: of the same loop compiled.
        compiling: of a function, the first time on this machine.
        compiled_start: of a function that another process has compiled before.
    """

    call: float = 60e-9
    batch: float = 15e-6
    hand_over: float = 280e-6
    message: float = 60e-6
    message_rate: float = 10e9
    pipe_rate: float = 0.5e9
    step: float = 300e-9
    compiled_step: float = 0.85e-9
    compiling: float = 1.5
    compiled_start: float = 1.1e-3


COSTS = Costs()


@dataclass(frozen=True)
class Choice:
    """A way across and why.

    Attributes:
        pattern: "direct", "stream", "shared", "proto" or "jit", the module or function of `odyssey.bridge`.
        reason: a sentence.
        seconds: what each of the ways that were weighed would cost, where that could be told.
    """

    pattern: Pattern
    reason: str
    seconds: Mapping[str, float]

    def __str__(self) -> str:
        return f"{self.pattern}: {self.reason}"


def choose(
    *,
    nbytes: int | None = None,
    streaming: bool = False,
    nested: bool = False,
    loop: bool | int = False,
    across: Literal["thread", "process", "language"] | None = None,
    costs: Costs = COSTS,
) -> Choice:
    """Which of the five ways to take.

    Args:
        nbytes: how much crosses at a time; None where it is not known.
        streaming: it goes on: batch after batch, of which the next can be made while this one is used.
        nested: objects within objects that other versions of the program, or other programs, will read.
        loop: a Python loop over numbers is what takes the time; how many steps, or True for a great many.
        across: what lies in between: "thread", "process" or "language"; None for nothing but a call.
        costs: what is assumed; measure your own machine by `odyssey bench --table bridge`.

    Raises:
        ValueError: for a boundary that is none of the three, or a negative size.

    Example:
        >>> print(choose(nbytes=1 << 30, across="process"))  # doctest: +ELLIPSIS
        shared: 1.1 GB by descriptor takes 280 µs, through a pipe ...
        >>> choose(loop=10_000_000).pattern, choose(streaming=True).pattern, choose(nested=True).pattern
        ('jit', 'stream', 'proto')
    """
    if across is not None and across not in _ACROSS:
        raise ValueError(
            f"choose: expected across to be one of {', '.join(map(repr, _ACROSS))} or None, found {across!r}"
        )
    if nbytes is not None and nbytes < 0:
        raise ValueError(f"choose: expected nbytes from 0 on, found {nbytes}")
    if loop < 0:
        raise ValueError(f"choose: expected the steps of a loop from 0 on, found {loop}")
    if loop and across in (None, "thread") and (choice := _loop(loop, costs)):
        return choice
    if across == "process":
        return _process(nbytes, nested, costs)
    if nested:
        where = "another language has Protocol Buffers, too" if across == "language" else "fields can be added later"
        return Choice("proto", f"nested objects keep their names and versions, and {where}", {"proto": costs.message})
    if across == "language":
        why = "a library in this process is called with the arrays' own memory, at {} a call; nothing is copied"
        return Choice("direct", why.format(_time(costs.call)), {"direct": costs.call})
    if streaming:
        least = 20 * costs.batch
        why = f"the next batch is made while this one is used; less than 5 % on top from batches of {_time(least)} on"
        return Choice("stream", why, {"stream": costs.batch})
    why = f"a call costs {_time(costs.call)} and threads see the same memory: nothing else is needed"
    return Choice("direct", why, {"direct": costs.call})


def _loop(loop: bool | int, costs: Costs) -> Choice | None:
    """Compiled, unless the loop ends before a compiler could have started."""
    if loop is True:
        return Choice(
            "jit", f"a compiled step takes {_time(costs.compiled_step)}, an interpreted one {_time(costs.step)}", {}
        )
    seconds = {"jit": costs.compiled_start + loop * costs.compiled_step, "python": loop * costs.step}
    if seconds["jit"] > seconds["python"]:
        return None
    compiling = costs.compiling / (costs.step - costs.compiled_step)
    first = (
        "pays for its compiling at once" if loop > compiling else f"pays for its compiling after {compiling:.2g} steps"
    )
    why = (
        f"{loop} steps take {_time(seconds['jit'])} from the cache, {_time(seconds['python'])} interpreted; it {first}"
    )
    return Choice("jit", why, seconds)


def _process(nbytes: int | None, nested: bool, costs: Costs) -> Choice:
    """By descriptor or through a pipe, whichever is sooner there."""
    if nbytes is None:
        if nested:
            return Choice("proto", "nested objects of no known size go as a message", {"proto": costs.message})
        return Choice("shared", "the time to hand memory over does not depend on its size", {"shared": costs.hand_over})
    piped = costs.message + nbytes / costs.message_rate + nbytes / costs.pipe_rate
    seconds = {"shared": costs.hand_over, "proto": piped}
    size = (
        f"{nbytes / 1e9:.2g} GB" if nbytes >= 1e9 else f"{nbytes / 1e6:.2g} MB" if nbytes >= 1e6 else f"{nbytes} bytes"
    )
    times = f"by descriptor takes {_time(costs.hand_over)}, through a pipe as a message {_time(piped)}"
    if piped <= costs.hand_over:
        return Choice("proto", f"{size} {times}", seconds)
    rest = "; send what is nested around the tensors as a message" if nested else ""
    return Choice("shared", f"{size} {times}{rest}", seconds)


def _time(seconds: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"
