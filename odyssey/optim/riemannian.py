"""Optimizers over points of the Poincaré ball: steps along geodesics, momentum carried along them."""

from __future__ import annotations

from typing import Any

import numpy as np

from odyssey.optim.optimizer import Optimizer, Params, _check_betas, _not_negative
from odyssey.tensor import ops
from odyssey.tensor.tape import Array
from odyssey.tensor.tensor import Tensor

__all__ = ["RiemannianAdam", "RiemannianSGD"]


class _OnTheBall(Optimizer):
    """The last axis of every parameter is a point of the ball of curvature -c."""

    def __init__(self, params: Params, settings: dict[str, Any], c: float, margin: float) -> None:
        super().__init__(params, settings)
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
        >>> np.abs(x.numpy()).round(9)
        array([[0., 0.]])
    """

    def __init__(
        self, params: Params, lr: float = 1e-2, momentum: float = 0.0, c: float = 1.0, margin: float = 1e-5
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum}, c, margin)

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        _not_negative("momentum", group["momentum"])

    def _slots_of(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("momentum_buffer",) if group["momentum"] else ()

    def step(self) -> None:
        """Move every parameter that has a gradient."""
        self.steps += 1
        for i, p, grad, group in self._due():
            direction, _ = self._gradient(p.data, grad)
            kept = None
            if group["momentum"]:
                kept = (self.state[i] or self._start(i, group))["momentum_buffer"]
                ops.axpy(group["momentum"], kept, direction, kept)
                direction = kept
            self._move(p, ops.scale(direction, -group["lr"]), kept)


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
        params: Params,
        lr: float = 1e-2,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        c: float = 1.0,
        margin: float = 1e-5,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps}, c, margin)

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        _check_betas(group["betas"])
        _not_negative("eps", group["eps"])

    def step(self) -> None:
        """Move every parameter that has a gradient."""
        self.steps += 1
        for i, p, grad, group in self._due():
            beta1, beta2 = group["betas"]
            first, second = 1 - beta1**self.steps, 1 - beta2**self.steps
            entry = self.state[i] or self._start(i, group)
            mean, square = entry["exp_avg"], entry["exp_avg_sq"]
            direction, gap = self._gradient(p.data, grad)
            # The squared length at x: (2 / gap)² |direction|².
            length = ops.divide(_squares(direction), ops.scale(ops.multiply(gap, gap), 0.25))
            ops.axpy(beta1, mean, ops.scale(direction, 1 - beta1), mean)
            ops.axpy(beta2, square, np.broadcast_to(ops.scale(length, 1 - beta2), square.shape), square)
            below = ops.add(ops.sqrt(ops.scale(square, 1 / second)), group["eps"])
            self._move(p, ops.scale(ops.divide(mean, below), -group["lr"] / first), mean)


def _squares(x: Array) -> Array:
    return np.asarray(ops.sum(ops.multiply(x, x), -1, True))
