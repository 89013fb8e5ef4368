"""Every float32 there is through every function of one array, on every instruction set.

Of 2^32 inputs each result is compared with odyssey's own float64 kernel of the same function, which is within two units
in the last place of a double, 2^-28 of a float32's: where it errs, the sixth digit of an error changes. (How that is
known stands in docs/accuracy.md.) The first instruction set is judged like this; the others must give its bits.

Functions are the rows of `odyssey.testing.cases` that take one array: their bounds are their tolerances.
"""

from __future__ import annotations

import inspect
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import Any

import numpy as np

from odyssey.testing.case import Case
from odyssey.testing.cases import CASES
from odyssey.testing.tolerance import ByOption, Exact, Tolerance, Ulp
from odyssey.typing import Array

__all__ = ["INPUTS", "Function", "Sweep", "functions", "measure_speed", "sweep", "sweep_part", "ulp_errors"]

INPUTS = 1 << 32
BLOCK = 1 << 16  # inputs at a time: what a comparison needs of them stays in the second-level cache
SECONDS = 0.5  # about how long a process works before it reports
FAMILIES = ("elementwise", "activations")

# Where the result is below 2^-100 the tail of the normal distribution, which no sum ever sees, may be off by more.
TAILS = {"gelu": 2.0**-100}
TAIL_BOUND = 64.0
TANH_FORM = 2.0  # ulp: its row allows for what rounding the argument costs, its kernel loses less
SLACK = 2.0**-20  # ulp: more than the float64 kernels' errors together


@dataclass(frozen=True)
class Function:
    """A function of one array: an operation and its options. `bound` is in ulp; below `tail` another bound holds."""

    op: str
    options: tuple[tuple[str, Any], ...]
    bound: float
    tail: float = 0.0

    @property
    def name(self) -> str:
        """The call, as one would write it, but for x."""
        return f"{self.op}({', '.join(f'{key}={value!r}' for key, value in self.options)})" if self.options else self.op


@dataclass(frozen=True)
class Sweep:
    """What all or some of the inputs gave.

    `worst` is the largest error in ulp and `worst_at` the input; `usual` and `usual_at` are the same where the result
    is not in the tail. An error is infinite where NaN and number are confused or a zero has the wrong sign. `differing`
    counts, for each instruction set but the first, results whose bits are not the first one's; `differs_at` has one
    such input.
    """

    name: str
    isas: tuple[str, ...]
    inputs: int = 0
    worst: float = 0.0
    worst_at: float = 0.0
    usual: float = 0.0
    usual_at: float = 0.0
    differing: Mapping[str, int] | None = None
    differs_at: Mapping[str, float] | None = None
    seconds: float = 0.0

    def __add__(self, other: Sweep) -> Sweep:
        """Both parts together; the earlier input where errors are equal."""
        mine, theirs = self.differing or {}, other.differing or {}
        first = {**(other.differs_at or {}), **(self.differs_at or {})}
        worst, worst_at = max((self.worst, self.worst_at), (other.worst, other.worst_at), key=lambda pair: pair[0])
        usual, usual_at = max((self.usual, self.usual_at), (other.usual, other.usual_at), key=lambda pair: pair[0])
        return Sweep(
            self.name,
            self.isas,
            self.inputs + other.inputs,
            worst,
            worst_at,
            usual,
            usual_at,
            {isa: mine.get(isa, 0) + theirs.get(isa, 0) for isa in {**mine, **theirs}},
            first,
            self.seconds + other.seconds,
        )

    def passes(self, function: Function) -> bool:
        """Whether the bounds hold and the bits agree."""
        limit = TAIL_BOUND if function.tail else function.bound
        return (
            self.usual <= function.bound + SLACK
            and self.worst <= limit + SLACK
            and not any((self.differing or {}).values())
        )


def functions() -> list[Function]:
    """Every function of one array that the rows know, with each of the options they try."""
    found = []
    for case in CASES.values():
        if case.family in FAMILIES and _takes_one_array(case):
            for options in case.options:
                bound = _bound(case.tolerance, options)
                if bound is not None:
                    found.append(Function(case.op, tuple(options.items()), bound, TAILS.get(case.op, 0.0)))
    return found


def _takes_one_array(case: Case) -> bool:
    first, *others = inspect.signature(case.definition).parameters.values()
    given = {key for options in case.options for key in options}
    return (
        first.default is first.empty
        and all(one.default is not one.empty or one.name in given for one in others)
        and not case.op.endswith("_backward")
        and not case.mutates
    )


def _bound(tolerance: Tolerance | tuple[Tolerance, ...], options: Mapping[str, Any]) -> float | None:
    if isinstance(tolerance, ByOption):
        chosen = tolerance.tolerances[options.get(tolerance.option, tolerance.default)]
        return chosen.limit(np.dtype(np.float32)) if isinstance(chosen, Ulp) else TANH_FORM
    if isinstance(tolerance, Exact):
        return 0.5
    return float(tolerance.n) if isinstance(tolerance, Ulp) else None


# ---- one process -----------------------------------------------------------------------------------------------------

TOP = 2.0**128  # the number after the largest float32: what infinity stands for
EXPONENT = np.uint64(0x7FF0000000000000)
SMALLEST = np.uint64((1023 - 126) << 52)  # 2^-126: subnormals have the spacing of the first normal numbers
LARGEST = np.uint64((1023 + 127) << 52)
PER_ULP = np.uint64((2 * 1023 + 23) << 52)  # less the bits of 2^e: the bits of 2^(23 - e)


def ulp_errors(got: Array, want: Array, room: Array | None = None) -> Array:
    """|got - want| in units in the last place of a float32 at `want`; got is float32, want float64.

    Subnormals have a last place too. Beyond the largest float32 the next one is 2^128, and is inf. Where NaN and number
    are confused, or a zero has the wrong sign, the error is infinite. `room`, three float64 for each result, is where
    to work: with much to do, memory from the system each time would cost more than the work.

    >>> ulp_errors(np.float32([1, 1, 0]), np.float64([1, 1 + 2**-24, -1e-60]))
    array([0. , 0.5, inf])
    """
    error, exact, per_ulp = np.empty((3, got.size)) if room is None else room[:, : got.size]
    np.clip(want, -TOP, TOP, out=exact)
    size = per_ulp.view(np.uint64)
    np.bitwise_and(exact.view(np.uint64), EXPONENT, out=size)
    np.maximum(size, SMALLEST, out=size)
    np.minimum(size, LARGEST, out=size)
    np.subtract(PER_ULP, size, out=size)
    error[...] = got
    np.clip(error, -TOP, TOP, out=error)
    error -= exact
    np.abs(error, out=error)
    error *= per_ulp
    if np.isnan(error.max(initial=0.0)):
        confused = np.isnan(got) != np.isnan(want)
        error[np.isnan(error)] = 0
        error[confused] = np.inf
    if not got.all():
        error[(got == 0) & (np.signbit(got) != np.signbit(want))] = np.inf
    return error


def sweep_part(function: Function, isas: Sequence[str], start: int, count: int, stride: int = 1) -> Sweep:
    """The inputs whose bits are start · stride, (start + 1) · stride, ... on these instruction sets, on one thread."""
    import odyssey as od

    call: Callable[..., Any] = getattr(od, function.op)
    options = dict(function.options)
    # A kernel rounds its parameters to the type it computes in; what is judged is the function of the rounded ones.
    defaults = {name: one.default for name, one in inspect.signature(call).parameters.items()}
    rounded = {
        key: float(np.float32(value))
        for key, value in (defaults | options).items()
        if isinstance(value, float)
    }  # fmt: skip
    total = Sweep(function.name, tuple(isas), differing=dict.fromkeys(isas[1:], 0), differs_at={})
    began = time.perf_counter()
    with od.threads.limit(1), np.errstate(all="ignore"):
        inputs, results, others = np.empty((3, BLOCK), np.float32)
        steps, exact, room = np.arange(BLOCK) * stride, np.empty(BLOCK), np.empty((3, BLOCK))
        for first in range(start, start + count, BLOCK):
            n = min(BLOCK, start + count - first)
            x, got, other, want = inputs[:n], results[:n], others[:n], exact[:n]
            np.add(steps[:n], first * stride, out=x.view(np.uint32), casting="unsafe")
            want[...] = x
            with od.isa.use(isas[0]):
                call(x, **options, out=got)
                call(want, **(options | rounded), out=want)
            total += _judge(function, total, x, got, want, room)
            for isa in isas[1:]:
                with od.isa.use(isa):
                    call(x, **options, out=other)
                total += _compare(total, isa, x, got, other)
    return replace(total, seconds=time.perf_counter() - began)


def _judge(function: Function, total: Sweep, x: Array, got: Array, want: Array, room: Array) -> Sweep:
    error = ulp_errors(got, want, room)
    at = int(error.argmax())
    part = Sweep(total.name, total.isas, x.size, float(error[at]), float(x[at]))
    if not function.tail:
        return replace(part, usual=part.worst, usual_at=part.worst_at)
    if part.worst <= total.usual:
        return part
    error[np.abs(want) < function.tail] = 0
    at = int(error.argmax())
    return replace(part, usual=float(error[at]), usual_at=float(x[at]))


def _compare(total: Sweep, isa: str, x: Array, got: Array, other: Array) -> Sweep:
    differ = got.view(np.uint32) != other.view(np.uint32)
    if not differ.any():
        return Sweep(total.name, total.isas)
    differ &= ~(np.isnan(got) & np.isnan(other))  # which NaN comes out is the machine's choice
    count = int(np.count_nonzero(differ))
    where = {isa: float(x[differ.argmax()])} if count else {}
    return Sweep(total.name, total.isas, differing={isa: count}, differs_at=where)


def measure_speed(function: Function, isas: Sequence[str], stride: int = 1) -> float:
    """Seconds for one input on one process: from a few blocks spread over the numbers, the quickest of two looks."""
    blocks = range(0, INPUTS, INPUTS // 8)
    looks = [
        sum(sweep_part(function, isas, start // stride, 4096, stride).seconds for start in blocks) for _ in range(2)
    ]
    return min(looks) / (len(blocks) * 4096)


# ---- all processes ---------------------------------------------------------------------------------------------------


def sweep(
    chosen: Sequence[Function],
    isas: Sequence[str],
    *,
    stride: int = 1,
    jobs: int | None = None,
    speed: Mapping[str, float] | None = None,
    begun: Mapping[str, Sweep] | None = None,
) -> Iterator[tuple[Function, Sweep]]:
    """Sweep functions one after the other over every `stride`-th input, with `jobs` processes, one a processor.

    Gives what is known of a function so far each time another piece is done; it is complete when its `inputs` are all
    there are. `begun` is what an earlier sweep had come to, to go on from there. `speed` is seconds an input, to cut
    the work into pieces that last alike. An interrupt ends the processes at once.
    """
    jobs = jobs or len(os.sched_getaffinity(0))
    count = -(-INPUTS // stride)
    with _Workers(jobs) as workers:
        for function in chosen:
            empty = Sweep(function.name, tuple(isas), differing=dict.fromkeys(isas[1:], 0), differs_at={})
            total = (begun or {}).get(function.name, empty)
            size = _piece((speed or {}).get(function.name, 1e-8), -(-(count - total.inputs) // jobs))
            starts = range(total.inputs, count, size)
            for part in workers.run((function, isas, start, min(size, count - start), stride) for start in starts):
                total += part
                yield function, total


def _piece(seconds: float, share: int) -> int:
    """How many inputs a process takes at a time."""
    return max(1, min(max(int(SECONDS / seconds), BLOCK), share))


class _Workers:
    """Processes that sweep parts. Each has a pipe of its own and shares no lock, so killing it is safe at any time.

    They are spawned, not forked: whoever shows progress has threads, and a fork would copy their locks.
    """

    def __init__(self, jobs: int) -> None:
        self._context = get_context("spawn")
        self._jobs = jobs
        self._processes: list[Any] = []
        self._pipes: list[Connection] = []

    def __enter__(self) -> _Workers:
        for _ in range(self._jobs):
            ours, theirs = self._context.Pipe()
            process = self._context.Process(target=_serve, args=(theirs,), daemon=True)
            self._processes.append(process)
            self._pipes.append(ours)
            process.start()
            theirs.close()
        return self

    def __exit__(self, *error: object) -> None:
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.join()

    def run(self, tasks: Iterable[tuple[Any, ...]]) -> Iterator[Sweep]:
        """The parts, in the order of the tasks."""
        waiting = enumerate(tasks)
        idle, busy = list(self._pipes), dict[Connection, int]()
        done = dict[int, Sweep]()
        wanted = 0
        while True:
            while idle and (task := next(waiting, None)) is not None:
                pipe = idle.pop()
                busy[pipe], arguments = task
                pipe.send(arguments)
            if not busy:
                return
            for ready in wait(list(busy)):
                assert isinstance(ready, Connection)
                answer = ready.recv()
                if isinstance(answer, BaseException):
                    raise answer
                done[busy.pop(ready)] = answer
                idle.append(ready)
            while wanted in done:
                yield done.pop(wanted)
                wanted += 1


def _serve(pipe: Connection) -> None:
    """A process's life: sweep what it is sent, until there is nobody left to send. An interrupt is the parent's."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(EOFError, BrokenPipeError):
        while True:
            task = pipe.recv()
            try:
                pipe.send(sweep_part(*task))
            except Exception as error:
                pipe.send(error)
