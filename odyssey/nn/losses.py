"""Losses as modules."""

from __future__ import annotations

from typing import Literal

from odyssey.nn import functional
from odyssey.nn.functional.losses import Reduction
from odyssey.nn.module import Module
from odyssey.tensor.tape import Array
from odyssey.tensor.tensor import Tensor

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "CrossEntropyLoss",
    "FocalLoss",
    "HingeEmbeddingLoss",
    "HingeLoss",
    "HuberLoss",
    "KLDivLoss",
    "L1Loss",
    "MSELoss",
    "SmoothL1Loss",
]


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


class _Loss(Module):
    """A loss of two arrays of one shape -> a scalar, or their shape with reduction="none"."""

    def __init__(self, reduction: Reduction = "mean") -> None:
        self.reduction: Reduction = reduction

    def extra_repr(self) -> str:
        return f"reduction={self.reduction!r}"


class MSELoss(_Loss):
    """`functional.mse_loss`: two arrays of one shape -> a scalar, or their shape with reduction="none"."""

    def forward(self, x: Tensor | Array, target: Tensor | Array) -> Tensor:
        return functional.mse_loss(x, target, self.reduction)


class L1Loss(_Loss):
    """`functional.l1_loss`: two arrays of one shape -> a scalar, or their shape with reduction="none"."""

    def forward(self, x: Tensor | Array, target: Tensor | Array) -> Tensor:
        return functional.l1_loss(x, target, self.reduction)


class SmoothL1Loss(_Loss):
    """`functional.smooth_l1_loss`: two arrays of one shape -> a scalar, or their shape with reduction="none"."""

    def __init__(self, reduction: Reduction = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction)
        self.beta = beta

    def forward(self, x: Tensor | Array, target: Tensor | Array) -> Tensor:
        return functional.smooth_l1_loss(x, target, self.reduction, self.beta)


class HuberLoss(_Loss):
    """`functional.huber_loss`: two arrays of one shape -> a scalar, or their shape with reduction="none"."""

    def __init__(self, reduction: Reduction = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction)
        self.delta = delta

    def forward(self, x: Tensor | Array, target: Tensor | Array) -> Tensor:
        return functional.huber_loss(x, target, self.reduction, self.delta)


class BCELoss(_Loss):
    """`functional.binary_cross_entropy`: probabilities and targets -> a scalar, or their shape with "none"."""

    def __init__(self, reduction: Reduction = "mean", *, weight: Tensor | Array | None = None) -> None:
        super().__init__(reduction)
        self.weight = weight

    def forward(self, x: Tensor | Array, target: Tensor | Array) -> Tensor:
        return functional.binary_cross_entropy(x, target, self.reduction, weight=self.weight)


class BCEWithLogitsLoss(_Loss):
    """`functional.binary_cross_entropy_with_logits`: logits and targets -> a scalar, or their shape with "none"."""

    def __init__(
        self,
        reduction: Reduction = "mean",
        *,
        weight: Tensor | Array | None = None,
        pos_weight: Tensor | Array | None = None,
    ) -> None:
        super().__init__(reduction)
        self.weight = weight
        self.pos_weight = pos_weight

    def forward(self, x: Tensor | Array, target: Tensor | Array) -> Tensor:
        return functional.binary_cross_entropy_with_logits(
            x, target, self.reduction, weight=self.weight, pos_weight=self.pos_weight
        )


class HingeLoss(_Loss):
    """`functional.hinge_loss`: scores and targets -1 or 1 -> a scalar, or their shape with reduction="none"."""

    def __init__(self, reduction: Reduction = "mean", margin: float = 1.0) -> None:
        super().__init__(reduction)
        self.margin = margin

    def forward(self, x: Tensor | Array, target: Tensor | Array) -> Tensor:
        return functional.hinge_loss(x, target, self.reduction, self.margin)


class HingeEmbeddingLoss(HingeLoss):
    """`functional.hinge_embedding_loss`: distances and targets -1 or 1 -> a scalar, or their shape with "none"."""

    def forward(self, x: Tensor | Array, target: Tensor | Array) -> Tensor:
        return functional.hinge_embedding_loss(x, target, self.reduction, self.margin)


class FocalLoss(_Loss):
    """`functional.sigmoid_focal_loss`: logits and targets 0 or 1 -> the mean by default, as of the other losses."""

    def __init__(self, alpha: float = 0.25, gamma: float = 2.0, reduction: Reduction = "mean") -> None:
        super().__init__(reduction)
        self.alpha = alpha
        self.gamma = gamma

    def forward(self, x: Tensor | Array, target: Tensor | Array) -> Tensor:
        return functional.sigmoid_focal_loss(x, target, self.alpha, self.gamma, self.reduction)


class KLDivLoss(Module):
    """`functional.kl_div`: logarithms of probabilities, and probabilities -> a scalar, or their shape with "none"."""

    def __init__(
        self, reduction: Literal["none", "mean", "sum", "batchmean"] = "mean", log_target: bool = False
    ) -> None:
        self.reduction: Literal["none", "mean", "sum", "batchmean"] = reduction
        self.log_target = log_target

    def forward(self, x: Tensor | Array, target: Tensor | Array) -> Tensor:
        return functional.kl_div(x, target, self.reduction, self.log_target)

    def extra_repr(self) -> str:
        return f"reduction={self.reduction!r}" + (", log_target=True" if self.log_target else "")
