"""Trainer: the loop over epochs and batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from math import isfinite
from time import perf_counter
from typing import Any

from odyssey.data.dataset import Dataset
from odyssey.data.loader import DataLoader
from odyssey.errors import FormatError
from odyssey.nn import functional
from odyssey.nn.module import Module
from odyssey.optim.clip import clip_grad_norm_
from odyssey.optim.ema import EMA
from odyssey.optim.optimizer import Optimizer
from odyssey.optim.schedules import ObservingSchedule, Schedule, constant
from odyssey.protocols import Differentiable
from odyssey.tensor.tensor import Tensor
from odyssey.training.callbacks import Callback
from odyssey.training.evaluation import Loss, RegressionEvaluation, Tally, set_mode, tally
from odyssey.training.tasks import TASKS, Task

__all__ = ["PHASES", "Running", "Trainer"]

PHASES = ("data", "forward", "backward", "optimizer")


@dataclass
class Running:
    """Sums over the batches of the epoch so far: `seen` counts samples, of a language model tokens; `correct` what a
    classifier got right; `error` adds up how far off, in the mean of a sample's elements, a regression was."""

    loss: float = 0.0
    correct: int = 0
    seen: int = 0
    error: float = 0.0
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PHASES, 0.0))

    @property
    def per_second(self) -> float:
        """Over the whole step, data included."""
        spent = sum(self.seconds.values())
        return self.seen / spent if spent else 0.0


class Trainer:
    """Trains a classifier, a model of numbers, or one of text.

    One step is: a batch from the loader (or several), the forward pass and the loss, the backward pass, the optimizer.
    The time of each is kept apart. All state is in `state_dict`, and the learning rate follows from the number of the
    step, so a run that is stopped after any step and resumed comes to the same bits as one that was not.

    Args:
        model: gives logits (N, classes) for inputs, or whatever else `loss` compares with a target; a Module, or any
            class of one's own that is `odyssey.protocols.Differentiable`.
        optimizer: over the model's parameters.
        loader: gives batches (inputs, targets).
        held_out: a data set of (inputs, targets) to evaluate on after each epoch.
        schedule: from the number of the step to a factor on the optimizer's learning rate, that of each group.
        callbacks: told of every batch and epoch, in order.
        loss: a function (output, target) -> the mean over the batch; the cross entropy for a classifier, the squared
            difference for a regression, unless given.
        task: "classification" counts the largest logit against the label as `train_accuracy` and `test_accuracy`;
            "regression" gives the mean absolute error, `train_mae` and `test_mae`, and `test_r2`, the part of the
            targets' variance that is explained; or a `Task`, such as `NextToken()`.
        penalty: a function of the model -> what is added to the loss of each batch for the gradient, and is no part of
            the loss that is reported; for a mixture of experts, how unevenly it uses them.
        clip: the largest 2-norm that the gradients may have, all together; larger ones are scaled down to it.
        accumulate: how many batches make a step: their gradients are added, each with the weight of its samples, to
            that of one batch of all of them.
        ema: averages of the parameters, updated after each step and used for evaluating.

    Raises:
        ValueError: accumulate is below 1, clip is not positive, or the task is unknown.
        TypeError: the model has no `forward` or cannot be called.

    Example:
        >>> import odyssey as od
        >>> import numpy as np
        >>> data = od.data.ArrayDataset(np.eye(4, dtype=np.float32), np.arange(4))
        >>> model = od.nn.Linear(4, 4)
        >>> optimizer = od.optim.SGD(model.parameters(), lr=1.0)
        >>> trainer = od.training.Trainer(model, optimizer, od.data.DataLoader(data, 2, shuffle=True), held_out=data)
        >>> trainer.fit(epochs=20)
        >>> trainer.history[-1]["test_accuracy"]
        1.0
    """

    def __init__(
        self,
        model: Differentiable,
        optimizer: Optimizer,
        loader: DataLoader,
        held_out: Dataset | None = None,
        schedule: Schedule | None = None,
        callbacks: Sequence[Callback] = (),
        *,
        loss: Loss | None = None,
        task: Task | str = "classification",
        penalty: Callable[[Any], Tensor] | None = None,
        clip: float | None = None,
        accumulate: int = 1,
        ema: EMA | None = None,
    ) -> None:
        if accumulate < 1:
            raise ValueError(f"Trainer: expected accumulate from 1 on, found {accumulate}")
        if clip is not None and not clip > 0.0:
            raise ValueError(f"Trainer: expected a positive clip, found {clip}; None clips nothing")
        if not isinstance(task, Task) and task not in TASKS:
            raise ValueError(f"Trainer: expected task {' or '.join(map(repr, TASKS))}, or a Task, found {task!r}")
        if not isinstance(model, Differentiable):
            raise TypeError(
                "Trainer: expected a model with forward() that can be called (odyssey.protocols.Differentiable), "
                f"found {type(model).__name__}"
            )
        self.model: Any = model
        self.optimizer = optimizer
        self.loader = loader
        self.held_out = held_out
        self.schedule = constant() if schedule is None else schedule
        self.callbacks = list(callbacks)
        self.task: Task = task if isinstance(task, Task) else TASKS[task]()
        self.given_loss = loss
        self.loss: Loss = loss or self.task.loss
        self.penalty = penalty
        self.clip = clip
        self.accumulate = accumulate
        self.ema = ema
        self.base_lrs: list[float] = [group["lr"] for group in optimizer.param_groups]
        self.epochs = 0
        self.epoch = 0  # complete ones
        self.step = 0
        self.running = Running()
        self.history: list[dict[str, Any]] = []
        self.evaluation: Any = None  # what the task found last
        self.stopped = False
        self.tally: Tally = tally  # how a classifier's hits are counted

    @property
    def regression(self) -> RegressionEvaluation | None:
        """The latest evaluation, of a regression."""
        return self.evaluation if isinstance(self.evaluation, RegressionEvaluation) else None

    @property
    def base_lr(self) -> float:
        """What the schedule's factor is applied to, of the first group. Setting it sets that of all groups."""
        return self.base_lrs[0]

    @base_lr.setter
    def base_lr(self, value: float) -> None:
        self.base_lrs = [value] * len(self.base_lrs)

    @property
    def steps_per_epoch(self) -> int:
        """How often the optimizer steps in an epoch."""
        return -(-len(self.loader) // self.accumulate)

    def stop(self) -> None:
        """Ask `fit` to return after the batch it is at. Can be called from a signal handler or another thread."""
        self.stopped = True

    def fit(self, epochs: int) -> None:
        """Train until `epochs` epochs are complete, counting those of the run that was resumed.

        Raises:
            FloatingPointError: the loss is no longer finite; more steps would not bring it back.
        """
        self.epochs = epochs
        self.stopped = False
        try:
            for callback in self.callbacks:
                callback.on_fit_begin(self)
            set_mode(self.model, True)
            while self.epoch < epochs and not self.stopped:
                self._epoch()
            for callback in self.callbacks:
                callback.on_fit_end(self)
        finally:
            for callback in self.callbacks:
                callback.close()

    def _epoch(self) -> None:
        batches = iter(self.loader)
        while not self.stopped:
            began = perf_counter()
            taken = self._take(batches)
            if not taken:
                self._end_epoch()
                return
            self._step(taken, began)
            for callback in self.callbacks:
                callback.on_batch_end(self)

    def _take(self, batches: Iterator[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        """The batches of the next step; none at the end of the epoch.

        The loader is not asked for a batch after the last: it would go on to the next epoch before this one's step is
        done, and a checkpoint in between would lose it.
        """
        first = next(batches, None)
        if first is None:
            return []
        if self.accumulate == 1:
            return [first]
        done = (self.step - self.epoch * self.steps_per_epoch) * self.accumulate
        more = min(self.accumulate, len(self.loader) - done) - 1
        return [first, *(next(batches) for _ in range(more))]

    def _step(self, taken: list[tuple[Any, ...]], began: float) -> None:
        running, seconds, optimizer = self.running, self.running.seconds, self.optimizer
        total = sum(self.task.count(targets) for _, targets in taken)
        at_end = perf_counter()
        seconds["data"] += at_end - began
        for inputs, targets in taken:
            at_forward, count = at_end, self.task.count(targets)
            output = self.model(inputs)
            loss = whole = self.loss(output, targets)
            if self.penalty is not None:
                whole = functional.add(loss, self.penalty(self.model))
            at_backward = perf_counter()
            (whole if count == total else functional.scale(whole, count / total)).backward()
            at_end = perf_counter()
            seconds["forward"] += at_backward - at_forward
            seconds["backward"] += at_end - at_backward
            value = loss.item()
            if not isfinite(value):
                raise self._not_finite("loss", value)
            running.loss += value * count
            self.task.add(self, output, targets)
            running.seen += count
        at_optimizer = perf_counter()
        factor = self.schedule(self.step)
        for group, lr in zip(optimizer.param_groups, self.base_lrs, strict=True):
            group["lr"] = lr * factor
        if self.clip is not None:
            norm = clip_grad_norm_(optimizer.params, self.clip)
            if not isfinite(norm):
                raise self._not_finite("norm of the gradients", norm)
        optimizer.step()
        optimizer.zero_grad()
        if self.ema is not None:
            self.ema.update()
        seconds["optimizer"] += perf_counter() - at_optimizer
        self.step += 1

    def _not_finite(self, what: str, value: float) -> FloatingPointError:
        return FloatingPointError(
            f"training: expected a finite {what}, found {value} at step {self.step + 1} with a learning rate of "
            f"{self.base_lr * self.schedule(self.step):g}; choose a lower one"
        )

    def _end_epoch(self) -> None:
        self.epoch += 1
        running = self.running
        metrics: dict[str, Any] = {
            "epoch": self.epoch,
            "step": self.step,
            "lr": self.base_lr * self.schedule(self.step - 1),
            "train_loss": running.loss / running.seen,
        }
        metrics[f"train_{self.task.score}"] = self.task.scored(running)
        began = perf_counter()
        if self.held_out is not None:
            metrics |= self._evaluate(self.held_out)
        metrics[f"{self.task.unit}_per_second"] = running.per_second
        metrics["seconds"] = {**running.seconds, "evaluation": perf_counter() - began}
        self.running = Running()
        self.history.append(metrics)
        if isinstance(self.schedule, ObservingSchedule):
            self._tell(self.schedule, metrics)
        for callback in self.callbacks:
            callback.on_epoch_end(self, metrics)

    def _evaluate(self, held_out: Dataset) -> dict[str, Any]:
        """Evaluate, with the averaged parameters where there are some."""
        with nullcontext() if self.ema is None else self.ema.applied():
            self.evaluation, metrics = self.task.evaluate(self, held_out)
        return metrics

    @staticmethod
    def _tell(schedule: ObservingSchedule, metrics: dict[str, Any]) -> None:
        if schedule.metric not in metrics:
            raise ValueError(
                f"training: expected the schedule's metric {schedule.metric!r} among the epoch's, found "
                f"{', '.join(metrics)}; give a held-out data set, or name another"
            )
        schedule.observe(metrics[schedule.metric])

    def seconds(self) -> dict[str, float]:
        """Where the time went, over all epochs and the one begun: each phase, and evaluation."""
        total = {**self.running.seconds, "evaluation": 0.0}
        for metrics in self.history:
            for phase, spent in metrics["seconds"].items():
                total[phase] += spent
        return total

    def state_dict(self) -> dict[str, Any]:
        """All but the arrays of model, optimizer and averages: plain numbers, lists and dicts."""
        state = {
            "epoch": self.epoch,
            "step": self.step,
            "running": asdict(self.running),
            "history": self.history,
            "loader": self.loader.state_dict(),
            "accumulate": self.accumulate,
            "modules": {name: extra for name, module in self._modules() if (extra := module.extra_state())},
        }
        if isinstance(self.schedule, ObservingSchedule):
            state["schedule"] = self.schedule.state_dict()
        return state

    def _modules(self) -> Iterator[tuple[str, Module]]:
        """The model's Modules, by name; none where the model is a class of the user's own."""
        return self.model.named_modules() if isinstance(self.model, Module) else iter(())

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken.

        Raises:
            FormatError: the state is not a Trainer's, or does not fit this one's loader, schedule or `accumulate`.
        """
        try:
            running = Running(**state["running"])
            if set(running.seconds) != set(PHASES):
                raise KeyError("seconds")
            epoch, step, history = int(state["epoch"]), int(state["step"]), list(state["history"])
            loader, accumulate = state["loader"], int(state.get("accumulate", 1))
            extras, schedule = dict(state.get("modules", {})), state.get("schedule")
        except (KeyError, TypeError, ValueError) as error:
            raise FormatError(
                f"Trainer: expected the state of a training run, found it incomplete ({error!r})"
            ) from error
        if accumulate != self.accumulate:
            raise FormatError(
                f"Trainer: expected the state of a run with accumulate={self.accumulate}, found {accumulate}; "
                "make the Trainer as it was made then"
            )
        if isinstance(self.schedule, ObservingSchedule) != (schedule is not None):
            raise FormatError(
                "Trainer: expected the state of a run whose schedule "
                + ("is told a metric, found none of one" if schedule is None else "has none, found one")
                + "; make the Trainer as it was made then"
            )
        self.loader.load_state_dict(loader)
        if isinstance(self.schedule, ObservingSchedule) and schedule is not None:
            self.schedule.load_state_dict(schedule)
        for name, module in self._modules():
            if name in extras:
                module.load_extra_state(extras[name])
        self.running, self.epoch, self.step, self.history = running, epoch, step, history
