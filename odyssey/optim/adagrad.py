"""Adagrad."""

from __future__ import annotations

from typing import Any

from odyssey.optim.optimizer import Optimizer, Params, _not_negative
from odyssey.tensor import ops
from odyssey.tensor.tape import Array

__all__ = ["Adagrad"]


class Adagrad(Optimizer):
    """Divides each gradient by the root of the sum of its squares so far (Duchi et al. 2011); PyTorch's formulas.

    Args:
        params: the Tensors to train, usually `model.parameters()`, or groups of them (see `Optimizer`).
        lr: the learning rate; may be set between steps.
        lr_decay: the rate of step t is lr / (1 + (t - 1) * lr_decay).
        weight_decay: added to the gradient, times the parameter.
        initial_accumulator_value: what the sums start from.
        eps: added to the denominator.
    """

    slots = ("sum",)

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
    ) -> None:
        settings = {
            "lr": lr,
            "lr_decay": lr_decay,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "eps": eps,
        }
        super().__init__(params, settings)

    def _check(self, group: dict[str, Any]) -> None:
        for name in ("lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps"):
            _not_negative(name, group[name])

    def _start(self, index: int, group: dict[str, Any]) -> dict[str, Array]:
        state = super()._start(index, group)
        state["sum"][...] = group["initial_accumulator_value"]
        return state

    def step(self) -> None:
        """Update every parameter that has a gradient."""
        self.steps = step = self.steps + 1
        for i, p, grad, group in self._due():
            entry = self.state[i] or self._start(i, group)
            ops.adagrad_step(
                p.data, grad, entry["sum"], step, group["lr"], group["lr_decay"], group["eps"], group["weight_decay"]
            )
