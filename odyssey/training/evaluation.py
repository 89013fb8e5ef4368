"""How well a model does on images it did not learn from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from odyssey.data.dataset import Dataset
from odyssey.data.loader import DataLoader
from odyssey.nn import functional
from odyssey.protocols import Composable, Differentiable
from odyssey.tensor.tape import no_grad

__all__ = ["Evaluation", "evaluate", "set_mode"]


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


def set_mode(model: Differentiable, training: bool) -> None:
    """Put a model in training mode or out of it, if it has one."""
    if isinstance(model, Composable):
        model.train(training)


def evaluate(model: Differentiable, dataset: Dataset, batch_size: int = 256) -> Evaluation:
    """Run a classifier over a data set of (inputs, labels), without gradients.

    The result does not depend on the batch size, nor does the model's mode change.
    """
    was_training = getattr(model, "training", True)
    set_mode(model, False)
    losses: list[Any] = []
    predicted: list[Any] = []
    wanted: list[Any] = []
    classes = 0
    try:
        with no_grad():
            for inputs, labels in DataLoader(dataset, batch_size):
                logits = model(inputs)
                losses.append(functional.cross_entropy(logits, labels, "none").data)
                predicted.append(logits.data.argmax(1))
                wanted.append(labels)
                classes = logits.shape[1]
    finally:
        set_mode(model, was_training)
    confusion = np.zeros((classes, classes), np.int64)
    np.add.at(confusion, (np.concatenate(wanted), np.concatenate(predicted)), 1)
    count = len(dataset)
    return Evaluation(
        loss=float(np.concatenate(losses).sum(dtype=np.float64) / count),
        accuracy=float(np.trace(confusion) / count),
        confusion=confusion,
    )
