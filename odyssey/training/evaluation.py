"""How well a model does on what it did not learn from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from odyssey.data.dataset import Dataset
from odyssey.data.loader import DataLoader
from odyssey.data.text.windows import IGNORED
from odyssey.nn import functional
from odyssey.nn.module import Module
from odyssey.nn.moe import MixtureOfExperts
from odyssey.protocols import Composable, Differentiable
from odyssey.tensor import ops
from odyssey.tensor.tape import no_grad
from odyssey.tensor.tensor import Tensor
from odyssey.typing import Array

__all__ = [
    "Evaluation", "Loss", "RegressionEvaluation", "Tally", "TextEvaluation", "evaluate", "evaluate_regression",
    "evaluate_text", "set_mode", "tally",
]  # fmt: skip

Loss: TypeAlias = Callable[[Any, Any], Tensor]
Tally: TypeAlias = Callable[[Array, Array, NDArray[np.int64]], int]
"""From logits (N, classes) and labels (N,) to how many are right; adds each sample to confusion[true, predicted]."""


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


@dataclass(frozen=True)
class TextEvaluation:
    """The mean loss of a token, how many tokens that is of, and of each layer with experts, what part of all choices
    fell on each."""

    loss: float
    tokens: int
    load: tuple[NDArray[np.float64], ...]


def set_mode(model: Differentiable, training: bool) -> None:
    """Put a model in training mode or out of it, if it has one."""
    if isinstance(model, Composable):
        model.train(training)


def tally(logits: Array, labels: Array, confusion: NDArray[np.int64]) -> int:
    """How many of the labels (N,) have the largest of their logits (N, classes), the first of equals; each sample is
    added to confusion[true, predicted], (classes, classes).

    Example:
        >>> confusion = np.zeros((2, 2), np.int64)
        >>> tally(np.float32([[1, 0], [1, 2], [3, 0]]), np.array([0, 1, 1]), confusion), confusion.tolist()
        (2, [[1, 0], [1, 1]])
    """
    predicted = logits.argmax(1)
    np.add.at(confusion, (labels, predicted), 1)
    return int((predicted == labels).sum())


def evaluate(
    model: Differentiable,
    dataset: Dataset,
    batch_size: int = 256,
    loss: Loss | None = None,
    tally: Tally = tally,
) -> Evaluation:
    """Run a classifier over a data set of (inputs, labels), without gradients.

    The model's mode does not change, nor does the result depend on the batch size, to the bit; with a loss of your
    own, a function (logits, labels) -> the mean over the batch, to rounding. `tally` does the counting.
    """
    was_training = getattr(model, "training", True)
    set_mode(model, False)
    losses: list[Any] = []
    confusion = np.zeros((0, 0), np.int64)
    try:
        with no_grad():
            for inputs, labels in DataLoader(dataset, batch_size):
                logits = model(inputs)
                if loss is None:
                    losses.append(functional.cross_entropy(logits, labels, "none").data)
                else:
                    losses.append(np.array([loss(logits, labels).item() * len(labels)]))
                if not confusion.size:
                    confusion = np.zeros((logits.shape[1], logits.shape[1]), np.int64)
                tally(logits.data, labels, confusion)
    finally:
        set_mode(model, was_training)
    count = len(dataset)
    return Evaluation(
        loss=float(np.concatenate(losses).sum(dtype=np.float64) / count),
        accuracy=float(np.trace(confusion) / count),
        confusion=confusion,
    )


def evaluate_regression(
    model: Differentiable, dataset: Dataset, batch_size: int = 256, loss: Loss = functional.mse_loss
) -> RegressionEvaluation:
    """Run a model over a data set of (inputs, numbers of the model's output's shape), without gradients.

    The model's mode does not change. `loss` is a function (output, target) -> the mean over the batch.
    """
    was_training = getattr(model, "training", True)
    set_mode(model, False)
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
        set_mode(model, was_training)
    target = np.concatenate(wanted).astype(np.float64)
    off = np.subtract(np.concatenate(outputs), target, dtype=np.float64)
    spread = target - ops.mean(target)
    left, whole = (float(ops.sum(ops.multiply(one, one))) for one in (off, spread))
    return RegressionEvaluation(
        loss=total / len(dataset),
        mae=float(ops.mean(np.abs(off))),
        r2=1.0 - left / whole if whole else float(left == 0.0),
    )


def evaluate_text(model: Differentiable, dataset: Dataset, batch_size: int = 32) -> TextEvaluation:
    """Run a language model over a data set of (tokens (width,), labels (width,)), without gradients.

    The model gives logits (batch, width, tokens); labels `odyssey.data.text.windows.IGNORED` take no part. Its mode
    does not change, nor does the result depend on the batch size, to the bit.
    """
    was_training = getattr(model, "training", True)
    set_mode(model, False)
    experts = [one for one in model.modules() if isinstance(one, MixtureOfExperts)] if isinstance(model, Module) else []
    chosen = [np.zeros(one.experts, np.int64) for one in experts]
    losses: list[Any] = []
    count = 0
    try:
        with no_grad():
            for tokens, labels in DataLoader(dataset, batch_size):
                logits = model(tokens)
                flat = functional.reshape(logits, -1, logits.shape[-1])
                losses.append(functional.cross_entropy(flat, labels.reshape(-1), "none").data)
                count += int(np.count_nonzero(labels != IGNORED))
                for total, one in zip(chosen, experts, strict=True):
                    assert one.counts is not None
                    total += one.counts
    finally:
        set_mode(model, was_training)
    return TextEvaluation(
        loss=float(np.concatenate(losses).sum(dtype=np.float64) / count),
        tokens=count,
        load=tuple(total / total.sum() for total in chosen),
    )
