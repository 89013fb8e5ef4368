"""Optimizers over points of the Poincaré ball: steps along geodesics, momentum carried along them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from odyssey.optim.optimizer import Optimizer, _not_negative
from odyssey.tensor import ops
from odyssey.tensor.tape import Array
from odyssey.tensor.tensor import Tensor

__all__ = ["RiemannianAdam", "RiemannianSGD"]


class _OnTheBall(Optimizer):
    """The last axis of every parameter is a point of the ball of curvature -c."""

    def __init__(self, params: Iterable[Tensor], lr: float, c: float, margin: float) -> None:
        super().__init__(params, lr)
        if not c > 0:
            raise ValueError(f"c: expected a positive number, the curvature being -c; found {c}")
        self.c, self.margin = c, margin
        for p in self.params:
            p.data[...] = ops.project_to_ball(p.data, c, margin)

    def _gradient(self, x: Array, grad: Array) -> tuple[Array, Array]:
        """The Riemannian gradient, grad (1 - c|x|²)² / 4, and the gap 1 - c|x|² itself, (..., 1)."""
        gap = np.asarray(ops.subtract(1.0, ops.scale(_squares(x), self.c)))
        return ops.multiply(grad, ops.scale(ops.multiply(gap, gap), 0.25)), gap

    def _move(self, p: Tensor, step: Array, carried: Array | None) -> None:
        """Along the geodesic with this velocity, and what is carried with it."""
        x = p.data
        moved = ops.project_to_ball(ops.exp_map(x, step, self.c), self.c, self.margin)
        if carried is not None:
            carried[...] = ops.parallel_transport(x, moved, carried, self.c)
        x[...] = moved


class RiemannianSGD(_OnTheBall):
    """Stochastic gradient descent on the Poincaré ball (Bonnabel 2013), with momentum.

    Args:
        params: Tensors whose last axis is a point of the ball. They are projected into it.
        lr: the learning rate; may be set between steps.
        momentum: the part of the last step that is kept, carried to where the step led.
        c: the ball's curvature is -c.
        margin: points stay within (1 - margin) / √c.

    Example:
        >>> import numpy as np, odyssey as od
        >>> x = od.Tensor(np.array([[0.5, 0.0]]), requires_grad=True)
        >>> opt = od.optim.RiemannianSGD([x], lr=0.5)
        >>> d = od.nn.functional.poincare_distance(x, np.array([0.0, 0.0]))
        >>> (d * d).sum().backward()  # one step of half the gradient of d²: to the origin
        >>> opt.step()
        >>> np.round(x.numpy(), 9)
        array([[0., 0.]])
    """

    def __init__(
        self, params: Iterable[Tensor], lr: float = 1e-2, momentum: float = 0.0, c: float = 1.0, margin: float = 1e-5
    ) -> None:
        super().__init__(params, lr, c, margin)
        self.momentum = _not_negative("momentum", momentum)
        self.slots = ("momentum_buffer",) if momentum else ()

    def step(self) -> None:
        """Move every parameter that has a gradient."""
        self.steps += 1
        for i, p in enumerate(self.params):
            if p.grad is None:
                continue
            direction, _ = self._gradient(p.data, p.grad)
            kept = None
            if self.momentum:
                kept = (self.state[i] or self._start(i))["momentum_buffer"]
                ops.axpy(self.momentum, kept, direction, kept)
                direction = kept
            self._move(p, ops.scale(direction, -self.lr), kept)


class RiemannianAdam(_OnTheBall):
    """Adam on the Poincaré ball (Bécigneul and Ganea, Riemannian Adaptive Optimization Methods, 2019): one moment a
    point, from the gradient's length there; the mean gradient is carried along.

    Args:
        params: Tensors whose last axis is a point of the ball. They are projected into it.
        lr: the learning rate, as a length in the ball; may be set between steps.
        betas: how much of the running mean of the gradient, and of its squared length, is kept.
        eps: added to the denominator.
        c: the ball's curvature is -c.
        margin: points stay within (1 - margin) / √c.
    """

    slots = ("exp_avg", "exp_avg_sq")

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-2,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        c: float = 1.0,
        margin: float = 1e-5,
    ) -> None:
        super().__init__(params, lr, c, margin)
        for beta in betas:
            if not 0.0 <= beta < 1.0:
                raise ValueError(f"betas: expected two numbers in [0, 1), found {betas}")
        self.betas = betas
        self.eps = _not_negative("eps", eps)

    def step(self) -> None:
        """Move every parameter that has a gradient."""
        self.steps += 1
        beta1, beta2 = self.betas
        first, second = 1 - beta1**self.steps, 1 - beta2**self.steps
        for i, p in enumerate(self.params):
            if p.grad is None:
                continue
            entry = self.state[i] or self._start(i)
            mean, square = entry["exp_avg"], entry["exp_avg_sq"]
            direction, gap = self._gradient(p.data, p.grad)
            # The squared length at x: (2 / gap)² |direction|².
            length = ops.divide(_squares(direction), ops.scale(ops.multiply(gap, gap), 0.25))
            ops.axpy(beta1, mean, ops.scale(direction, 1 - beta1), mean)
            ops.axpy(beta2, square, np.broadcast_to(ops.scale(length, 1 - beta2), square.shape), square)
            below = ops.add(ops.sqrt(ops.scale(square, 1 / second)), self.eps)
            self._move(p, ops.scale(ops.divide(mean, below), -self.lr / first), mean)


def _squares(x: Array) -> Array:
    return np.asarray(ops.sum(ops.multiply(x, x), -1, True))
