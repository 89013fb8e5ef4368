"""Tasks: what a model is trained for, what is counted on the way, and by what it is measured in the end."""

from __future__ import annotations

from math import exp
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from odyssey.data.text.windows import IGNORED
from odyssey.nn import functional
from odyssey.tensor import ops
from odyssey.tensor.tensor import Tensor
from odyssey.training.evaluation import (
    Evaluation,
    RegressionEvaluation,
    TextEvaluation,
    evaluate,
    evaluate_regression,
    evaluate_text,
)

if TYPE_CHECKING:
    from odyssey.data.dataset import Dataset
    from odyssey.training.trainer import Running, Trainer

__all__ = ["TASKS", "Classification", "NextToken", "Regression", "Task"]


class Task:
    """What is asked of a model's output. A subclass says how it is counted, evaluated and shown.

    `score` is the metric beside the loss, as `train_<score>` and `test_<score>`; `unit` what speed is counted in, as
    `<unit>_per_second`.
    """

    score: ClassVar[str]
    label: ClassVar[str]  # before the score, where it is shown
    unit: ClassVar[str] = "images"

    def loss(self, output: Any, targets: Any) -> Tensor:
        """The mean over a batch, where the Trainer is not given another."""
        raise NotImplementedError(f"{type(self).__name__}: expected a loss() method, found none; define it")

    def count(self, targets: Any) -> int:
        """What the batch's loss is the mean of so many of."""
        return len(targets)

    def add(self, trainer: Trainer, output: Any, targets: Any) -> None:
        """Add what a batch's score is made of to `trainer.running`."""

    def scored(self, running: Running) -> float:
        """The score of the training so far, of which something was seen."""
        raise NotImplementedError(f"{type(self).__name__}: expected a scored() method, found none; define it")

    def evaluate(self, trainer: Trainer, held_out: Dataset) -> tuple[Any, dict[str, Any]]:
        """What becomes `trainer.evaluation`, and the epoch's metrics."""
        raise NotImplementedError(f"{type(self).__name__}: expected an evaluate() method, found none; define it")

    def shown(self, value: float) -> str:
        """A score as text."""
        return f"{value:.4g}"


class Classification(Task):
    """Logits (N, classes) against labels (N,): the cross entropy, and how many of the largest logits are right."""

    score = "accuracy"
    label = "accuracy"

    def __init__(self) -> None:
        self._confusion: NDArray[np.int64] = np.zeros((0, 0), np.int64)

    def loss(self, output: Any, targets: Any) -> Tensor:
        """The cross entropy."""
        return functional.cross_entropy(output, targets)

    def add(self, trainer: Trainer, output: Any, targets: Any) -> None:
        """Count the hits."""
        classes = output.shape[1]
        # Where the pairs are counted, which nobody asks for: they are of a model that changes.
        if len(self._confusion) != classes:
            self._confusion = np.zeros((classes, classes), np.int64)
        trainer.running.correct += trainer.tally(output.data, targets, self._confusion)

    def scored(self, running: Running) -> float:
        """The accuracy."""
        return running.correct / running.seen

    def evaluate(self, trainer: Trainer, held_out: Dataset) -> tuple[Evaluation, dict[str, Any]]:
        """Loss and accuracy."""
        loss = None if trainer.given_loss is functional.cross_entropy else trainer.given_loss
        found = evaluate(trainer.model, held_out, loss=loss, tally=trainer.tally)
        return found, {"test_loss": found.loss, "test_accuracy": found.accuracy}

    def shown(self, value: float) -> str:
        """Per cent."""
        return f"{value:.2%}"


class Regression(Task):
    """Numbers against numbers: the squared difference, and the mean absolute one."""

    score = "mae"
    label = "error"

    def loss(self, output: Any, targets: Any) -> Tensor:
        """The mean squared difference."""
        return functional.mse_loss(output, targets)

    def add(self, trainer: Trainer, output: Any, targets: Any) -> None:
        """Add up how far off, in double."""
        off = np.abs(output.data.astype(np.float64) - targets)
        trainer.running.error += float(ops.mean(off)) * self.count(targets)

    def scored(self, running: Running) -> float:
        """The mean absolute error."""
        return running.error / running.seen

    def evaluate(self, trainer: Trainer, held_out: Dataset) -> tuple[RegressionEvaluation, dict[str, Any]]:
        """Loss, mean absolute error and R²."""
        found = evaluate_regression(trainer.model, held_out, loss=trainer.loss)
        return found, {"test_loss": found.loss, "test_mae": found.mae, "test_r2": found.r2}


class NextToken(Task):
    """Logits (batch, width, tokens) against the tokens that come next, (batch, width): the cross entropy, and e to it,
    the perplexity. Labels `data.text.windows.IGNORED` take no part."""

    score = "perplexity"
    label = "perplexity"
    unit = "tokens"

    def loss(self, output: Any, targets: Any) -> Tensor:
        """The cross entropy of a token."""
        return functional.cross_entropy(functional.reshape(output, -1, output.shape[-1]), targets.reshape(-1))

    def count(self, targets: Any) -> int:
        """The labels that take part."""
        return int(np.count_nonzero(targets != IGNORED))

    def scored(self, running: Running) -> float:
        """e to the mean loss."""
        return perplexity(running.loss / running.seen)

    def evaluate(self, trainer: Trainer, held_out: Dataset) -> tuple[TextEvaluation, dict[str, Any]]:
        """Loss, perplexity, and how the experts share the tokens."""
        found = evaluate_text(trainer.model, held_out)
        metrics = {"test_loss": found.loss, "test_perplexity": perplexity(found.loss)}
        return found, metrics | {"expert_load": [load.tolist() for load in found.load]}

    def shown(self, value: float) -> str:
        """Two decimals."""
        return f"{value:.2f}"


def perplexity(loss: float) -> float:
    """e to the loss, which at the beginning of a bad run may be beyond all numbers."""
    return exp(min(loss, 700.0))


TASKS: dict[str, type[Task]] = {"classification": Classification, "regression": Regression}
"""What `Trainer(task=...)` knows by name."""
