"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable

from odyssey.optim.optimizer import Optimizer, _not_negative
from odyssey.tensor import ops
from odyssey.tensor.tensor import Tensor

__all__ = ["SGD"]


class SGD(Optimizer):
    """Stochastic gradient descent with momentum, Nesterov's variant and weight decay; PyTorch's formulas.

    Args:
        params: the Tensors to train, usually `model.parameters()`.
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
        params: Iterable[Tensor],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        super().__init__(params, lr)
        self.momentum = _not_negative("momentum", momentum)
        self.dampening = dampening
        self.weight_decay = _not_negative("weight_decay", weight_decay)
        self.nesterov = nesterov
        if nesterov and (momentum == 0.0 or dampening != 0.0):
            raise ValueError(
                f"nesterov: expected momentum above 0 and dampening 0, found {momentum} and {dampening}"
            )
        self.slots = ("momentum_buffer",) if momentum else ()

    def step(self) -> None:
        """Update every parameter that has a gradient."""
        lr, momentum, dampening, decay, nesterov = (
            self.lr, self.momentum, self.dampening, self.weight_decay, self.nesterov,
        )  # fmt: skip
        state = self.state
        for i, p in enumerate(self.params):
            grad = p.grad
            if grad is None:
                continue
            if not momentum:
                ops.sgd_step(p.data, grad, None, lr, 0.0, 0.0, decay)
                continue
            entry = state[i]
            first = entry is None
            if entry is None:
                entry = self._start(i)
            ops.sgd_step(
                p.data, grad, entry["momentum_buffer"], lr, momentum, dampening, decay, nesterov, first
            )
        self.steps += 1
