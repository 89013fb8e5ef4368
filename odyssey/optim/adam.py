"""Adam and AdamW."""

from __future__ import annotations

from math import sqrt
from typing import Any

from odyssey.optim.optimizer import Optimizer, Params, _check_betas, _not_negative
from odyssey.optim.powers import power
from odyssey.tensor import ops
from odyssey.tensor.tape import Array

__all__ = ["Adam", "AdamW"]


class Adam(Optimizer):
    """Adam (Kingma and Ba 2015); weight decay is added to the gradient. PyTorch's formulas.

    Args:
        params: the Tensors to train, usually `model.parameters()`, or groups of them (see `Optimizer`).
        lr: the learning rate; may be set between steps.
        betas: how much of the running mean of the gradient, and of its square, is kept.
        eps: added to the denominator.
        weight_decay: added to the gradient, times the parameter.
        amsgrad: divide by the largest running mean of the square so far (Reddi et al. 2018). It takes several passes
            over memory where the rest takes one.
    """

    _decoupled = False

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
    ) -> None:
        settings = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad}
        super().__init__(params, settings)

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        _check_betas(group["betas"])
        _not_negative("eps", group["eps"])
        _not_negative("weight_decay", group["weight_decay"])

    def _slots_of(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq", *(("max_exp_avg_sq",) if group["amsgrad"] else ()))

    def step(self) -> None:
        """Update every parameter that has a gradient."""
        self.steps = step = self.steps + 1
        update = ops.adamw_step if self._decoupled else ops.adam_step
        state = self.state
        for i, p, grad, group in self._due():
            entry = state[i] or self._start(i, group)
            if group["amsgrad"]:
                self._amsgrad(p.data, grad, entry, group)
                continue
            beta1, beta2 = group["betas"]
            update(
                p.data, grad, entry["exp_avg"], entry["exp_avg_sq"], step, group["lr"], beta1, beta2, group["eps"],
                group["weight_decay"],
            )  # fmt: skip

    def _amsgrad(self, param: Array, grad: Array, entry: dict[str, Array], group: dict[str, Any]) -> None:
        lr, decay, (beta1, beta2) = group["lr"], group["weight_decay"], group["betas"]
        average, square, largest = entry["exp_avg"], entry["exp_avg_sq"], entry["max_exp_avg_sq"]
        if decay and self._decoupled:
            ops.scale(param, 1 - lr * decay, param)
        elif decay:
            grad = ops.axpy(decay, param, grad)
        ops.axpy(1 - beta1, ops.subtract(grad, average), average, average)
        ops.axpy(1 - beta2, ops.subtract(ops.multiply(grad, grad), square), square, square)
        ops.maximum(largest, square, largest)
        size = ops.add(ops.scale(ops.sqrt(largest), 1 / sqrt(1 - power(beta2, self.steps))), group["eps"])
        ops.axpy(-lr / (1 - power(beta1, self.steps)), ops.divide(average, size), param, param)


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019): parameters shrink by lr * weight_decay."""

    _decoupled = True

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad)
