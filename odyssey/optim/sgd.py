"""Stochastic gradient descent."""

from __future__ import annotations

from typing import Any

from odyssey.optim.optimizer import Optimizer, Params, _not_negative
from odyssey.tensor import ops

__all__ = ["SGD"]


class SGD(Optimizer):
    """Stochastic gradient descent with momentum, Nesterov's variant and weight decay; PyTorch's formulas.

    Args:
        params: the Tensors to train, usually `model.parameters()`, or groups of them (see `Optimizer`).
        lr: the learning rate; may be set between steps.
        momentum: the part of the last step that is kept.
        dampening: the part of the gradient that is left out of the momentum.
        weight_decay: added to the gradient, times the parameter.
        nesterov: look ahead along the momentum. Needs momentum and no dampening.

    Example:
        >>> import odyssey as od
        >>> w = od.Tensor([1.0], requires_grad=True)
        >>> opt = od.optim.SGD([w], lr=0.25)
        >>> (w * w).sum().backward()
        >>> opt.step()
        >>> w.item()
        0.5
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        settings = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
        }
        super().__init__(params, settings)

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        _not_negative("momentum", group["momentum"])
        _not_negative("weight_decay", group["weight_decay"])
        if group["nesterov"] and (group["momentum"] == 0.0 or group["dampening"] != 0.0):
            raise ValueError(
                f"nesterov: expected momentum above 0 and dampening 0, "
                f"found {group['momentum']} and {group['dampening']}"
            )

    def _slots_of(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("momentum_buffer",) if group["momentum"] else ()

    def step(self) -> None:
        """Update every parameter that has a gradient."""
        state = self.state
        for i, p, grad, group in self._due():
            lr, momentum, decay = group["lr"], group["momentum"], group["weight_decay"]
            if not momentum:
                ops.sgd_step(p.data, grad, None, lr, 0.0, 0.0, decay)
                continue
            entry = state[i]
            first = entry is None
            if entry is None:
                entry = self._start(i, group)
            ops.sgd_step(
                p.data,
                grad,
                entry["momentum_buffer"],
                lr,
                momentum,
                group["dampening"],
                decay,
                group["nesterov"],
                first,
            )
        self.steps += 1
