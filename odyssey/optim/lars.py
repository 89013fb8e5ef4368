"""LARS: layer-wise adaptive rate scaling."""

from __future__ import annotations

from collections.abc import Iterable

from odyssey.optim.optimizer import Optimizer, _not_negative
from odyssey.tensor import ops
from odyssey.tensor.tensor import Tensor

__all__ = ["LARS"]


class LARS(Optimizer):
    """Stochastic gradient descent with momentum and a rate for each parameter, for large batches (You et al. 2017).

    Args:
        params: the Tensors to train, usually `model.parameters()`.
        lr: the global learning rate; may be set between steps.
        momentum: the part of the last step that is kept.
        weight_decay: added to the gradient, times the parameter.
        trust_coefficient: the part of a parameter's norm that a step of rate 1 may change.
        eps: added to the denominator of a parameter's rate.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-1,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust_coefficient: float = 1e-3,
        eps: float = 1e-8,
    ) -> None:
        super().__init__(params, lr)
        self.momentum = _not_negative("momentum", momentum)
        self.weight_decay = _not_negative("weight_decay", weight_decay)
        self.trust_coefficient = _not_negative("trust_coefficient", trust_coefficient)
        self.eps = _not_negative("eps", eps)
        self.slots = ("momentum_buffer",) if momentum else ()

    def step(self) -> None:
        """Update every parameter that has a gradient."""
        options = self.lr, self.momentum, self.weight_decay, self.trust_coefficient, self.eps
        for i, p in enumerate(self.params):
            grad = p.grad
            if grad is not None:
                buffer = (self.state[i] or self._start(i))["momentum_buffer"] if self.momentum else None
                ops.lars_step(p.data, grad, buffer, *options)
        self.steps += 1
