"""Trainer: the loop over epochs and batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import isfinite
from time import perf_counter
from typing import Any

from odyssey.data.dataset import Dataset
from odyssey.data.loader import DataLoader
from odyssey.errors import FormatError
from odyssey.nn import functional
from odyssey.optim.optimizer import Optimizer
from odyssey.optim.schedules import Schedule, constant
from odyssey.protocols import Differentiable
from odyssey.training.callbacks import Callback
from odyssey.training.evaluation import Evaluation, evaluate, set_mode

__all__ = ["PHASES", "Running", "Trainer"]

PHASES = ("data", "forward", "backward", "optimizer")


@dataclass
class Running:
    """Sums over the batches of the epoch so far."""

    loss: float = 0.0
    correct: int = 0
    seen: int = 0
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PHASES, 0.0))

    @property
    def images_per_second(self) -> float:
        """Over the whole step, data included."""
        spent = sum(self.seconds.values())
        return self.seen / spent if spent else 0.0


class Trainer:
    """Trains a classifier.

    One step is: a batch from the loader, the forward pass and the cross entropy, the backward pass, the optimizer. The
    time of each is kept apart. All state is in `state_dict`, and the learning rate follows from the number of the step,
    so a run that is stopped after any batch and resumed comes to the same bits as one that was not.

    Args:
        model: gives logits (N, classes) for inputs; any class of one's own that is `odyssey.protocols.Differentiable`.
        optimizer: over the model's parameters.
        loader: gives batches (inputs, labels).
        held_out: a data set of (inputs, labels) to evaluate on after each epoch.
        schedule: from the number of the step to a factor on the optimizer's learning rate.
        callbacks: told of every batch and epoch, in order.

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
    ) -> None:
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
        self.base_lr = optimizer.lr
        self.epochs = 0
        self.epoch = 0  # complete ones
        self.step = 0
        self.running = Running()
        self.history: list[dict[str, Any]] = []
        self.evaluation: Evaluation | None = None  # the latest
        self.stopped = False

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
            batch = next(batches, None)
            if batch is None:
                self._end_epoch()
                return
            self._step(batch, began)
            for callback in self.callbacks:
                callback.on_batch_end(self)

    def _step(self, batch: tuple[Any, ...], began: float) -> None:
        inputs, labels = batch
        running, seconds, optimizer = self.running, self.running.seconds, self.optimizer
        at_forward = perf_counter()
        logits = self.model(inputs)
        loss = functional.cross_entropy(logits, labels)
        at_backward = perf_counter()
        loss.backward()
        at_optimizer = perf_counter()
        optimizer.lr = self.base_lr * self.schedule(self.step)
        optimizer.step()
        optimizer.zero_grad()
        at_end = perf_counter()
        seconds["data"] += at_forward - began
        seconds["forward"] += at_backward - at_forward
        seconds["backward"] += at_optimizer - at_backward
        seconds["optimizer"] += at_end - at_optimizer
        count = len(labels)
        value = loss.item()
        if not isfinite(value):
            raise FloatingPointError(
                f"training: expected a finite loss, found {value} at step {self.step + 1} with a learning rate of "
                f"{optimizer.lr:g}; choose a lower one"
            )
        running.loss += value * count
        running.correct += int((logits.data.argmax(1) == labels).sum())
        running.seen += count
        self.step += 1

    def _end_epoch(self) -> None:
        self.epoch += 1
        running = self.running
        metrics: dict[str, Any] = {
            "epoch": self.epoch,
            "step": self.step,
            "lr": self.base_lr * self.schedule(self.step - 1),
            "train_loss": running.loss / running.seen,
            "train_accuracy": running.correct / running.seen,
        }
        began = perf_counter()
        if self.held_out is not None:
            self.evaluation = evaluate(self.model, self.held_out)
            metrics["test_loss"] = self.evaluation.loss
            metrics["test_accuracy"] = self.evaluation.accuracy
        metrics["images_per_second"] = running.images_per_second
        metrics["seconds"] = {**running.seconds, "evaluation": perf_counter() - began}
        self.running = Running()
        self.history.append(metrics)
        for callback in self.callbacks:
            callback.on_epoch_end(self, metrics)

    def seconds(self) -> dict[str, float]:
        """Where the time went, over all epochs and the one begun: each phase, and evaluation."""
        total = {**self.running.seconds, "evaluation": 0.0}
        for metrics in self.history:
            for phase, spent in metrics["seconds"].items():
                total[phase] += spent
        return total

    def state_dict(self) -> dict[str, Any]:
        """All but the arrays of model and optimizer: plain numbers, lists and dicts."""
        return {
            "epoch": self.epoch,
            "step": self.step,
            "running": asdict(self.running),
            "history": self.history,
            "loader": self.loader.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken.

        Raises:
            FormatError: the state is not a Trainer's, or does not fit this one's loader.
        """
        try:
            running = Running(**state["running"])
            if set(running.seconds) != set(PHASES):
                raise KeyError("seconds")
            epoch, step, history = int(state["epoch"]), int(state["step"]), list(state["history"])
            loader = state["loader"]
        except (KeyError, TypeError, ValueError) as error:
            raise FormatError(
                f"Trainer: expected the state of a training run, found it incomplete ({error!r})"
            ) from error
        self.loader.load_state_dict(loader)
        self.running, self.epoch, self.step, self.history = running, epoch, step, history
