"""Losses as modules."""

from __future__ import annotations

from odyssey.nn import functional
from odyssey.nn.functional.losses import Reduction
from odyssey.nn.module import Module
from odyssey.tensor.tape import Array
from odyssey.tensor.tensor import Tensor

__all__ = ["CrossEntropyLoss", "MSELoss"]


class CrossEntropyLoss(Module):
    """`functional.cross_entropy`: logits (N, C) and labels (N,) -> a scalar, or (N,) with reduction="none"."""

    def __init__(
        self,
        reduction: Reduction = "mean",
        *,
        ignore_index: int = -100,
        label_smoothing: float = 0.0,
        weight: Tensor | Array | None = None,
    ) -> None:
        self.reduction: Reduction = reduction
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing
        self.weight = weight

    def forward(self, logits: Tensor | Array, labels: Tensor | Array) -> Tensor:
        return functional.cross_entropy(
            logits,
            labels,
            self.reduction,
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
            weight=self.weight,
        )


class MSELoss(Module):
    """`functional.mse_loss`: two arrays of one shape -> a scalar, or their shape with reduction="none"."""

    def __init__(self, reduction: Reduction = "mean") -> None:
        self.reduction: Reduction = reduction

    def forward(self, x: Tensor | Array, target: Tensor | Array) -> Tensor:
        return functional.mse_loss(x, target, self.reduction)
