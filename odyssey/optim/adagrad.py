"""Adagrad."""

from __future__ import annotations

from collections.abc import Iterable

from odyssey.optim.optimizer import Optimizer, _not_negative
from odyssey.tensor import ops
from odyssey.tensor.tape import Array
from odyssey.tensor.tensor import Tensor

__all__ = ["Adagrad"]


class Adagrad(Optimizer):
    """Divides each gradient by the root of the sum of its squares so far (Duchi et al. 2011); PyTorch's formulas.

    Args:
        params: the Tensors to train, usually `model.parameters()`.
        lr: the learning rate; may be set between steps.
        lr_decay: the rate of step t is lr / (1 + (t - 1) * lr_decay).
        weight_decay: added to the gradient, times the parameter.
        initial_accumulator_value: what the sums start from.
        eps: added to the denominator.
    """

    slots = ("sum",)

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
    ) -> None:
        super().__init__(params, lr)
        self.lr_decay = _not_negative("lr_decay", lr_decay)
        self.weight_decay = _not_negative("weight_decay", weight_decay)
        self.initial_accumulator_value = _not_negative("initial_accumulator_value", initial_accumulator_value)
        self.eps = _not_negative("eps", eps)

    def _start(self, index: int) -> dict[str, Array]:
        state = super()._start(index)
        state["sum"][...] = self.initial_accumulator_value
        return state

    def step(self) -> None:
        """Update every parameter that has a gradient."""
        self.steps = step = self.steps + 1
        for i, p in enumerate(self.params):
            grad = p.grad
            if grad is not None:
                entry = self.state[i] or self._start(i)
                ops.adagrad_step(
                    p.data, grad, entry["sum"], step, self.lr, self.lr_decay, self.eps, self.weight_decay
                )
