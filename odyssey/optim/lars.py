"""LARS: layer-wise adaptive rate scaling."""

from __future__ import annotations

from typing import Any

from odyssey.optim.optimizer import Optimizer, Params, _not_negative
from odyssey.tensor import ops

__all__ = ["LARS"]


class LARS(Optimizer):
    """Stochastic gradient descent with momentum and a rate for each parameter, for large batches (You et al. 2017).

    Args:
        params: the Tensors to train, usually `model.parameters()`, or groups of them (see `Optimizer`).
        lr: the global learning rate; may be set between steps.
        momentum: the part of the last step that is kept.
        weight_decay: added to the gradient, times the parameter.
        trust_coefficient: the part of a parameter's norm that a step of rate 1 may change.
        eps: added to the denominator of a parameter's rate.
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-1,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust_coefficient: float = 1e-3,
        eps: float = 1e-8,
    ) -> None:
        settings = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "trust_coefficient": trust_coefficient,
            "eps": eps,
        }
        super().__init__(params, settings)

    def _check(self, group: dict[str, Any]) -> None:
        for name in ("lr", "momentum", "weight_decay", "trust_coefficient", "eps"):
            _not_negative(name, group[name])

    def _slots_of(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("momentum_buffer",) if group["momentum"] else ()

    def step(self) -> None:
        """Update every parameter that has a gradient."""
        for i, p, grad, group in self._due():
            momentum = group["momentum"]
            buffer = (self.state[i] or self._start(i, group))["momentum_buffer"] if momentum else None
            options = group["lr"], momentum, group["weight_decay"], group["trust_coefficient"], group["eps"]
            ops.lars_step(p.data, grad, buffer, *options)
        self.steps += 1
