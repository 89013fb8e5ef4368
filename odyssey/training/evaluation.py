"""How well a model does on images it did not learn from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from odyssey.data.dataset import Dataset
from odyssey.data.loader import DataLoader
from odyssey.nn import functional
from odyssey.nn.module import Module
from odyssey.tensor import ops
from odyssey.tensor.tape import no_grad
from odyssey.tensor.tensor import Tensor

__all__ = ["Evaluation", "Loss", "RegressionEvaluation", "Task", "evaluate", "evaluate_regression"]

Loss: TypeAlias = Callable[[Any, Any], Tensor]
Task: TypeAlias = Literal["classification", "regression"]


@dataclass(frozen=True)
class Evaluation:
    """Loss, accuracy, and `confusion[true, predicted]`, the number of samples of each kind."""

    loss: float
    accuracy: float
    confusion: NDArray[np.int64]

    @property
    def errors(self) -> int:
        """How many samples were put in a wrong class."""
        return int(self.confusion.sum() - np.trace(self.confusion))

    def worst_pair(self) -> tuple[int, int, int] | None:
        """The two classes most often taken for one another, and how often, both ways; None if nothing was wrong."""
        both = self.confusion + self.confusion.T
        np.fill_diagonal(both, 0)
        if not both.any():
            return None
        a, b = np.unravel_index(int(both.argmax()), both.shape)
        return int(a), int(b), int(both[a, b])


@dataclass(frozen=True)
class RegressionEvaluation:
    """Loss, mean absolute error, and `r2`, the part of the targets' variance that is explained.

    `r2` is 1 - Σ(target - output)² / Σ(target - mean target)²; where the targets do not vary it is 1 for a perfect
    output, else 0.
    """

    loss: float
    mae: float
    r2: float


def evaluate(model: Module, dataset: Dataset, batch_size: int = 256, loss: Loss | None = None) -> Evaluation:
    """Run a classifier over a data set of (inputs, labels), without gradients.

    The model's mode does not change, nor does the result depend on the batch size, to the bit; with a loss of your
    own, a function (logits, labels) -> the mean over the batch, to rounding.
    """
    was_training = model.training
    model.eval()
    losses: list[Any] = []
    predicted: list[Any] = []
    wanted: list[Any] = []
    classes = 0
    try:
        with no_grad():
            for inputs, labels in DataLoader(dataset, batch_size):
                logits = model(inputs)
                if loss is None:
                    losses.append(functional.cross_entropy(logits, labels, "none").data)
                else:
                    losses.append(np.array([loss(logits, labels).item() * len(labels)]))
                predicted.append(logits.data.argmax(1))
                wanted.append(labels)
                classes = logits.shape[1]
    finally:
        model.train(was_training)
    confusion = np.zeros((classes, classes), np.int64)
    np.add.at(confusion, (np.concatenate(wanted), np.concatenate(predicted)), 1)
    count = len(dataset)
    return Evaluation(
        loss=float(np.concatenate(losses).sum(dtype=np.float64) / count),
        accuracy=float(np.trace(confusion) / count),
        confusion=confusion,
    )


def evaluate_regression(
    model: Module, dataset: Dataset, batch_size: int = 256, loss: Loss = functional.mse_loss
) -> RegressionEvaluation:
    """Run a model over a data set of (inputs, numbers of the model's output's shape), without gradients.

    The model's mode does not change. `loss` is a function (output, target) -> the mean over the batch.
    """
    was_training = model.training
    model.eval()
    total = 0.0
    outputs: list[Any] = []
    wanted: list[Any] = []
    try:
        with no_grad():
            for inputs, targets in DataLoader(dataset, batch_size):
                output = model(inputs)
                total += loss(output, targets).item() * len(targets)
                outputs.append(output.data)
                wanted.append(targets)
    finally:
        model.train(was_training)
    target = np.concatenate(wanted).astype(np.float64)
    off = np.subtract(np.concatenate(outputs), target, dtype=np.float64)
    spread = target - ops.mean(target)
    left, whole = (float(ops.sum(ops.multiply(one, one))) for one in (off, spread))
    return RegressionEvaluation(
        loss=total / len(dataset),
        mae=float(ops.mean(np.abs(off))),
        r2=1.0 - left / whole if whole else float(left == 0.0),
    )
