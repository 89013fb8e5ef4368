"""RMSprop."""

from __future__ import annotations

from collections.abc import Iterable

from odyssey.optim.optimizer import Optimizer, _not_negative
from odyssey.tensor import ops
from odyssey.tensor.tensor import Tensor

__all__ = ["RMSprop"]


class RMSprop(Optimizer):
    """Divides each gradient by the running root mean square of its size (Tieleman and Hinton 2012); PyTorch's formulas.

    Args:
        params: the Tensors to train, usually `model.parameters()`.
        lr: the learning rate; may be set between steps.
        alpha: how much of the running mean of the squared gradient is kept.
        eps: added to the denominator.
        weight_decay: added to the gradient, times the parameter.
        momentum: the part of the last step that is kept.
        centered: divide by the running standard deviation instead (Graves 2013).
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
    ) -> None:
        super().__init__(params, lr)
        if not 0.0 <= alpha <= 1.0:
            raise ValueError(f"alpha: expected a number in [0, 1], found {alpha}")
        self.alpha = alpha
        self.eps = _not_negative("eps", eps)
        self.weight_decay = _not_negative("weight_decay", weight_decay)
        self.momentum = _not_negative("momentum", momentum)
        self.centered = centered
        self.slots = (
            "square_avg",
            *(("grad_avg",) if centered else ()),
            *(("momentum_buffer",) if momentum else ()),
        )

    def step(self) -> None:
        """Update every parameter that has a gradient."""
        options = self.lr, self.alpha, self.eps, self.weight_decay, self.momentum
        for i, p in enumerate(self.params):
            grad = p.grad
            if grad is None:
                continue
            entry = self.state[i] or self._start(i)
            average, buffer = entry.get("grad_avg"), entry.get("momentum_buffer")
            ops.rmsprop_step(p.data, grad, entry["square_avg"], average, buffer, *options)
        self.steps += 1
