"""Learning-rate schedules: functions from the number of the step, from 0 on, to a factor on the learning rate.

All but `Plateau` are functions of the step alone: they have no state to save, and a resumed run is on the same curve.
Their factors are sums, products and our own cosine, the same bits on every machine. Steps are the optimizer's; where
PyTorch's schedulers are stepped once an epoch, multiply by `len(loader)`.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np

from odyssey._kernels.elementwise import cos
from odyssey.errors import FormatError
from odyssey.optim.powers import power

__all__ = [
    "ObservingSchedule",
    "Plateau",
    "Schedule",
    "constant",
    "cosine",
    "exponential",
    "multistep",
    "step_decay",
    "warmup",
]

Schedule: TypeAlias = Callable[[int], float]


@runtime_checkable
class ObservingSchedule(Protocol):
    """A schedule that is told how the training does. The Trainer calls `observe` after each epoch and saves its
    state."""

    metric: str

    def __call__(self, step: int) -> float:
        """The factor."""

    def observe(self, value: float) -> None:
        """Take in the metric of an epoch."""

    def state_dict(self) -> dict[str, Any]:
        """Plain numbers."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken."""


def constant() -> Schedule:
    """The learning rate as it is."""
    return lambda step: 1.0


def step_decay(every: int, gamma: float = 0.1) -> Schedule:
    """Times gamma after every so many steps; `torch.optim.lr_scheduler.StepLR`.

    >>> [round(step_decay(10)(step), 3) for step in (0, 9, 10, 25)]
    [1.0, 1.0, 0.1, 0.01]
    """
    if every < 1:
        raise ValueError(f"step_decay: expected every from 1 on, found {every}")
    return lambda step: power(gamma, step // every)


def multistep(milestones: Iterable[int], gamma: float = 0.1) -> Schedule:
    """Times gamma at each of the steps given; `torch.optim.lr_scheduler.MultiStepLR`.

    >>> [round(multistep([10, 15])(step), 3) for step in (9, 10, 14, 15)]
    [1.0, 0.1, 0.1, 0.01]
    """
    sorted_milestones = sorted(milestones)
    return lambda step: power(gamma, bisect_right(sorted_milestones, step))


def exponential(gamma: float) -> Schedule:
    """Times gamma after each step; `torch.optim.lr_scheduler.ExponentialLR`.

    >>> [exponential(0.5)(step) for step in (0, 1, 2)]
    [1.0, 0.5, 0.25]
    """
    return lambda step: power(gamma, step)


def cosine(total: int, warmup: int = 0, floor: float = 0.0) -> Schedule:
    """A linear rise over `warmup` steps, then half a cosine down to `floor` at step `total`.

    Without the rise `torch.optim.lr_scheduler.CosineAnnealingLR`, which however rises again after `total`.

    >>> factor = cosine(total=100, warmup=10)
    >>> [round(factor(step), 3) for step in (0, 9, 10, 55, 100)]
    [0.1, 1.0, 1.0, 0.5, 0.0]
    """
    if not 0 <= warmup <= total:
        raise ValueError(f"cosine: expected 0 <= warmup <= total, found warmup={warmup}, total={total}")

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        done = min((step - warmup) / max(total - warmup, 1), 1.0)
        return floor + (1.0 - floor) * 0.5 * (1.0 + float(cos(np.asarray(math.pi * done))))

    return factor


class Plateau:
    """Times `factor` when a metric has not got better for `patience` epochs;
    `torch.optim.lr_scheduler.ReduceLROnPlateau`.

    Args:
        metric: which of an epoch's metrics the Trainer tells it.
        mode: "min" where less is better, "max" where more is.
        factor: what the learning rate is multiplied by.
        patience: how many epochs in a row may be no better.
        threshold: how much better is better: relative to the best, or absolute.
        threshold_mode: "rel" or "abs".
        cooldown: how many epochs after a reduction count for nothing.
        floor: the least factor on the learning rate.

    Without a Trainer call `observe` yourself after each epoch.

    Example:
        >>> import odyssey as od
        >>> schedule = od.optim.Plateau(patience=1, factor=0.5)
        >>> for loss in (1.0, 0.9, 0.9, 0.9):
        ...     schedule.observe(loss)
        >>> schedule(0)
        0.5
    """

    def __init__(
        self,
        metric: str = "test_loss",
        mode: Literal["min", "max"] = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: Literal["rel", "abs"] = "rel",
        cooldown: int = 0,
        floor: float = 0.0,
    ) -> None:
        if not 0.0 <= factor < 1.0:
            raise ValueError(f"Plateau: expected factor in [0, 1), found {factor}")
        if mode not in ("min", "max") or threshold_mode not in ("rel", "abs"):
            raise ValueError(
                f"Plateau: expected mode 'min' or 'max' and threshold_mode 'rel' or 'abs', "
                f"found {mode!r} and {threshold_mode!r}"
            )
        self.metric = metric
        self.mode = mode
        self.factor = factor
        self.patience = patience
        self.threshold = threshold
        self.threshold_mode = threshold_mode
        self.cooldown = cooldown
        self.floor = floor
        self._current = 1.0
        self._best: float | None = None
        self._bad = 0
        self._resting = 0

    def __call__(self, step: int) -> float:
        """The factor as it is now, whatever the step."""
        return self._current

    def observe(self, value: float) -> None:
        """Take in the metric of an epoch."""
        if self._is_better(value):
            self._best, self._bad = value, 0
        else:
            self._bad += 1
        if self._resting > 0:
            self._resting -= 1
            self._bad = 0
        if self._bad > self.patience:
            self._current = max(self._current * self.factor, self.floor)
            self._resting, self._bad = self.cooldown, 0

    def _is_better(self, value: float) -> bool:
        best = self._best
        if best is None:
            return not math.isnan(value)
        sign = 1.0 if self.mode == "max" else -1.0
        if self.threshold_mode == "rel":
            return sign * value > sign * best * (1.0 + sign * self.threshold)
        return sign * value > sign * best + self.threshold

    def state_dict(self) -> dict[str, Any]:
        """Where it is: the factor, the best metric, and what it has counted."""
        return {"current": self._current, "best": self._best, "bad": self._bad, "resting": self._resting}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken.

        Raises:
            FormatError: the state is not a Plateau's.
        """
        try:
            best = state["best"]
            best = None if best is None else float(best)
            found = float(state["current"]), best, int(state["bad"]), int(state["resting"])
        except (KeyError, TypeError, ValueError) as error:
            raise FormatError(f"Plateau: expected the state of one, found it incomplete ({error!r})") from error
        self._current, self._best, self._bad, self._resting = found


class _Warmup:
    """A linear rise, and then another schedule."""

    def __init__(self, steps: int, schedule: Schedule) -> None:
        self.steps = steps
        self.schedule = schedule

    def __call__(self, step: int) -> float:
        if step < self.steps:
            return (step + 1) / self.steps * self.schedule(0)
        return self.schedule(step - self.steps)


class _ObservingWarmup(_Warmup):
    """The same before a schedule that is told how the training does."""

    schedule: ObservingSchedule

    @property
    def metric(self) -> str:
        """The other's."""
        return self.schedule.metric

    def observe(self, value: float) -> None:
        """Tell the other."""
        self.schedule.observe(value)

    def state_dict(self) -> dict[str, Any]:
        """The other's."""
        return self.schedule.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The other's."""
        self.schedule.load_state_dict(state)


def warmup(steps: int, schedule: Schedule) -> Schedule:
    """A linear rise over `steps` steps to where `schedule` begins; then `schedule`, whose step 0 comes after the rise.

    >>> factor = warmup(4, step_decay(2, gamma=0.5))
    >>> [factor(step) for step in range(8)]
    [0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 0.5, 0.5]
    """
    if steps < 0:
        raise ValueError(f"warmup: expected steps from 0 on, found {steps}")
    kind = _ObservingWarmup if isinstance(schedule, ObservingSchedule) else _Warmup
    return kind(steps, schedule)
