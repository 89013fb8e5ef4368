"""RMSprop."""

from __future__ import annotations

from typing import Any

from odyssey.optim.optimizer import Optimizer, Params, _not_negative
from odyssey.tensor import ops

__all__ = ["RMSprop"]


class RMSprop(Optimizer):
    """Divides each gradient by the running root mean square of its size (Tieleman and Hinton 2012); PyTorch's formulas.

    Args:
        params: the Tensors to train, usually `model.parameters()`, or groups of them (see `Optimizer`).
        lr: the learning rate; may be set between steps.
        alpha: how much of the running mean of the squared gradient is kept.
        eps: added to the denominator.
        weight_decay: added to the gradient, times the parameter.
        momentum: the part of the last step that is kept.
        centered: divide by the running standard deviation instead (Graves 2013).
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
    ) -> None:
        settings = {
            "lr": lr,
            "alpha": alpha,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "centered": centered,
        }
        super().__init__(params, settings)

    def _check(self, group: dict[str, Any]) -> None:
        if not 0.0 <= group["alpha"] <= 1.0:
            raise ValueError(f"alpha: expected a number in [0, 1], found {group['alpha']}")
        for name in ("lr", "eps", "weight_decay", "momentum"):
            _not_negative(name, group[name])

    def _slots_of(self, group: dict[str, Any]) -> tuple[str, ...]:
        return (
            "square_avg",
            *(("grad_avg",) if group["centered"] else ()),
            *(("momentum_buffer",) if group["momentum"] else ()),
        )

    def step(self) -> None:
        """Update every parameter that has a gradient."""
        for i, p, grad, group in self._due():
            entry = self.state[i] or self._start(i, group)
            average, buffer = entry.get("grad_avg"), entry.get("momentum_buffer")
            options = group["lr"], group["alpha"], group["eps"], group["weight_decay"], group["momentum"]
            ops.rmsprop_step(p.data, grad, entry["square_avg"], average, buffer, *options)
        self.steps += 1
