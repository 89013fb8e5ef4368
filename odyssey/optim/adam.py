"""Adam and AdamW."""

from __future__ import annotations

from collections.abc import Iterable

from odyssey.optim.optimizer import Optimizer, _not_negative
from odyssey.tensor import ops
from odyssey.tensor.tensor import Tensor

__all__ = ["Adam", "AdamW"]


class Adam(Optimizer):
    """Adam (Kingma and Ba 2015); weight decay is added to the gradient. PyTorch's formulas.

    Args:
        params: the Tensors to train, usually `model.parameters()`.
        lr: the learning rate; may be set between steps.
        betas: how much of the running mean of the gradient, and of its square, is kept.
        eps: added to the denominator.
        weight_decay: added to the gradient, times the parameter.
    """

    slots = ("exp_avg", "exp_avg_sq")
    _decoupled = False

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, lr)
        for beta in betas:
            if not 0.0 <= beta < 1.0:
                raise ValueError(f"betas: expected two numbers in [0, 1), found {betas}")
        self.betas = betas
        self.eps = _not_negative("eps", eps)
        self.weight_decay = _not_negative("weight_decay", weight_decay)

    def step(self) -> None:
        """Update every parameter that has a gradient."""
        self.steps = step = self.steps + 1
        lr, (beta1, beta2), eps, decay = self.lr, self.betas, self.eps, self.weight_decay
        update = ops.adamw_step if self._decoupled else ops.adam_step
        state = self.state
        for i, p in enumerate(self.params):
            grad = p.grad
            if grad is not None:
                entry = state[i] or self._start(i)
                update(p.data, grad, entry["exp_avg"], entry["exp_avg_sq"], step, lr, beta1, beta2, eps, decay)


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019): parameters shrink by lr * weight_decay."""

    _decoupled = True

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay)
