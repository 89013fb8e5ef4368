"""Races: contenders take turns, round by round, in one process.

A machine is never quiet, and what slows one contender slows the next one a moment later. So each round measures every
contender once, ratios are taken within a round, and medians over the rounds are quoted with their quartiles. A sample
during which the system gave the processor to somebody else is taken again, a few times at most.

A contender whose result is wrong is refused: it is named, and not timed.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import repeat
from math import ceil
from resource import RUSAGE_SELF, getrusage
from statistics import quantiles
from threading import get_native_id
from time import perf_counter, sleep
from typing import Any, Protocol, TypeAlias

__all__ = [
    "QUICK",
    "Check",
    "Contender",
    "Outcome",
    "PythonCall",
    "Rules",
    "Spread",
    "preemptions",
    "race",
    "settle",
    "undisturbed",
]

Clock: TypeAlias = Callable[[], float]
Check: TypeAlias = Callable[[str, Any], "str | None"]
"""From a contender's name and its result to what is wrong with it, or None."""

TOO_MANY_CALLS = 1 << 20
TRIES = 4
SETTLING = 1e-3  # seconds between looks at what threads still run
LONGEST_SETTLING = 0.3
WARM_UP = 8  # a call that is not timed for so many that are


class Contender(Protocol):
    """Something that can be timed."""

    @property
    def name(self) -> str:
        """What it is called in the report."""

    def result(self) -> Any:
        """Do the work once and give what came of it, to be checked."""

    def sample(self, calls: int) -> float:
        """Do the work `calls` times and give the seconds all of them took."""


class PythonCall:
    """A call of a Python function, timed as it would stand in a program.

    The call is written out in the timing loop, as `timeit` does, so that no wrapper's cost is measured; a
    `functools.partial` is taken apart for the same reason. `around` is entered for each sample, outside the time.
    """

    def __init__(
        self,
        name: str,
        function: Callable[..., Any],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        around: Callable[[], AbstractContextManager[Any]] = nullcontext,
        clock: Clock = perf_counter,
    ) -> None:
        args, kwargs = tuple(args), dict(kwargs or {})
        while isinstance(function, partial):
            args, kwargs = (*function.args, *args), {**function.keywords, **kwargs}
            function = function.func
        self.name = name
        self._function = function
        self._args = args
        self._kwargs = kwargs
        self._around = around
        self._clock = clock
        self._loop = _loop(len(args), tuple(kwargs))

    @property
    def function(self) -> Callable[[], Any]:
        """The call, for those who bring a clock of their own."""
        return partial(self._function, *self._args, **self._kwargs)

    def result(self) -> Any:
        """What the call returns."""
        with self._around():
            return self._function(*self._args, **self._kwargs)

    def sample(self, calls: int) -> float:
        """Seconds for `calls` calls."""
        clock, loop, values = self._clock, self._loop, (*self._args, *self._kwargs.values())
        with self._around():
            start = clock()
            loop(repeat(None, calls), self._function, *values)
            return clock() - start


@cache
def _loop(positional: int, keywords: tuple[str, ...]) -> Callable[..., None]:
    """for _ in times: function(a0, a1, ..., keyword=k0, ...)."""
    names = [f"a{i}" for i in range(positional)] + [f"k{i}" for i in range(len(keywords))]
    given = names[:positional] + [f"{key}={name}" for key, name in zip(keywords, names[positional:], strict=True)]
    source = f"def loop({', '.join(['times', 'function', *names])}):\n for _ in times: function({', '.join(given)})"
    namespace: dict[str, Any] = {}
    exec(source, namespace)
    loop: Callable[..., None] = namespace["loop"]
    return loop


def preemptions() -> int:
    """How often the system has taken the processor away from this process so far."""
    return getrusage(RUSAGE_SELF).ru_nivcsw


def undisturbed(take: Callable[[], float], count: Callable[[], int] = preemptions) -> tuple[float, bool]:
    """The first sample that nobody disturbed, or the shortest of `TRIES`; and whether it was disturbed."""
    samples = []
    for _ in range(TRIES):
        before = count()
        samples.append(take())
        if count() == before:
            return samples[-1], False
    return min(samples), True


def settle(busy: Callable[[], int] | None = None) -> None:
    """Wait until the threads of whoever ran before have gone to sleep.

    Thread pools spin for some milliseconds after their last work, OpenMP's too, and a thread that spins keeps a core
    from the next contender.
    """
    busy = busy or busy_threads
    began = perf_counter()
    while busy() and perf_counter() - began < LONGEST_SETTLING:
        sleep(SETTLING)


def busy_threads() -> int:
    """How many other threads of this process are running, or would if they were given a processor."""
    own, count = str(get_native_id()), 0
    try:
        others = [name for name in os.listdir("/proc/self/task") if name != own]
    except OSError:
        return 0  # not Linux: nobody waits
    for name in others:
        try:
            with open(f"/proc/self/task/{name}/stat", "rb") as file:
                # The state follows the name, which stands in parentheses and may hold any character.
                count += file.read().rpartition(b")")[2].split(maxsplit=1)[0] == b"R"
        except OSError:
            pass  # it has ended
    return count


@dataclass(frozen=True)
class Rules:
    """How long to race.

    Attributes:
        sample_seconds: Calls are repeated until a sample lasts this long: the clock's grain must not matter, nor what
            the first of the calls still misses in the caches.
        min_rounds: At least so many rounds, however slow the contenders are.
        max_rounds: At most so many, however fast.
        seconds: No new round begins once the samples add up to this.
        steady: Nor once the quartiles of all ratios, or of the times of one alone, lie within this part of the median.
    """

    sample_seconds: float = 2e-3
    min_rounds: int = 9
    max_rounds: int = 101
    seconds: float = 1.0
    steady: float = 0.01


QUICK = Rules(sample_seconds=1e-3, min_rounds=5, max_rounds=15, seconds=0.2, steady=0.03)


@dataclass(frozen=True)
class Spread:
    """A median and the quartiles around it."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """The quartiles of some values, at least one."""
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        low, median, high = quantiles(values, n=4, method="inclusive")
        return cls(median, low, high)

    @property
    def relative(self) -> float:
        """From quartile to quartile, as a part of the median."""
        return (self.high - self.low) / self.median if self.median else 0.0


@dataclass(frozen=True)
class Outcome:
    """What a race brought: for each contender a time per call for each round, all in the order of the rounds.

    `samples` is empty when the first contender was refused: there is nothing to compare with then. `disturbed` counts
    the samples that were disturbed at every try.
    """

    samples: Mapping[str, tuple[float, ...]]
    calls: Mapping[str, int]
    refused: Mapping[str, str]
    disturbed: Mapping[str, int] = field(default_factory=dict)

    @property
    def rounds(self) -> int:
        """How many rounds were measured."""
        return len(next(iter(self.samples.values()), ()))

    def seconds(self, name: str) -> Spread:
        """A contender's time per call."""
        return Spread.of(self.samples[name])

    def ratio(self, name: str, to: str) -> Spread:
        """How many times as long `name` took as `to`, round by round."""
        return Spread.of([a / b for a, b in zip(self.samples[name], self.samples[to], strict=True)])

    def difference(self, name: str, to: str) -> Spread:
        """How many seconds longer `name` took than `to`, round by round."""
        return Spread.of([a - b for a, b in zip(self.samples[name], self.samples[to], strict=True)])

    def fastest(self, names: Sequence[str]) -> str | None:
        """The one of `names` with the smallest median; None when none of them was timed."""
        timed = [name for name in names if name in self.samples]
        return min(timed, key=lambda name: self.seconds(name).median, default=None)


def race(
    contenders: Sequence[Contender],
    check: Check | None = None,
    rules: Rules = Rules(),
    *,
    preempted: Callable[[], int] = preemptions,
) -> Outcome:
    """Check every contender's result, then time those that are right.

    Each sample is preceded by some calls that are not timed: they bring back to the caches what the others displaced.
    Before it the threads of the contender before come to rest.
    The order rotates from round to round, so nobody always follows the same neighbour.

    Args:
        contenders: the first one is the one the others are compared with.
        check: says what is wrong with a result, or None; by default every result is right.
        rules: how long to race.
        preempted: counts what disturbs a sample.
    """
    refused = {}
    for contender in contenders:
        try:
            wrong = check(contender.name, contender.result()) if check else None
        except Exception as error:  # whatever a contender fails with, the others race on
            wrong = f"{type(error).__name__}: {error}"
        if wrong is not None:
            refused[contender.name] = wrong
    if contenders and contenders[0].name in refused:
        return Outcome({}, {}, refused)
    runners = [contender for contender in contenders if contender.name not in refused]
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        calls = {runner.name: _calls(runner, rules, preempted) for runner in runners}
        rounds: list[dict[str, float]] = []
        disturbed = dict.fromkeys(calls, 0)
        spent = 0.0
        while not _done(rounds, spent, rules):
            times = {}
            shift = len(rounds) % len(runners)
            for runner in (*runners[shift:], *runners[:shift]):
                count = calls[runner.name]
                settle()
                runner.sample(ceil(count / WARM_UP))
                seconds, spoilt = undisturbed(partial(runner.sample, count), preempted)
                spent += seconds
                disturbed[runner.name] += spoilt
                times[runner.name] = seconds / count
            rounds.append(times)
    finally:
        if collecting:
            gc.enable()
    samples = {runner.name: tuple(times[runner.name] for times in rounds) for runner in runners}
    return Outcome(samples, calls, refused, disturbed)


def _calls(runner: Contender, rules: Rules, preempted: Callable[[], int]) -> int:
    """How many calls make a sample long enough; finding it warms the contender up."""
    calls = 1
    while calls < TOO_MANY_CALLS:
        seconds, _ = undisturbed(partial(runner.sample, calls), preempted)
        if seconds >= rules.sample_seconds:
            break
        # A tenth more than it seems to take; at most tenfold, since a short sample says little.
        wanted = ceil(1.1 * calls * rules.sample_seconds / seconds) if seconds > 0 else 10 * calls
        calls = min(max(wanted, calls + 1), 10 * calls)
    return calls


def _done(rounds: Sequence[Mapping[str, float]], spent: float, rules: Rules) -> bool:
    if len(rounds) < rules.min_rounds:
        return False
    if len(rounds) >= rules.max_rounds or spent >= rules.seconds:
        return True
    first, *others = rounds[0]
    spreads = [Spread.of([times[name] / times[first] for times in rounds]) for name in others]
    spreads = spreads or [Spread.of([times[first] for times in rounds])]
    return all(spread.relative <= rules.steady for spread in spreads)
