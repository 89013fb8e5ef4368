"""Gradients kept within bounds."""

from __future__ import annotations

from collections.abc import Iterable

from odyssey.tensor import ops
from odyssey.tensor.tensor import Tensor

__all__ = ["clip_grad_norm_", "clip_grad_value_"]


def clip_grad_norm_(params: Iterable[Tensor] | Tensor, max_norm: float, eps: float = 1e-6) -> float:
    """Scales the parameters' gradients in place to a 2-norm, all together, of at most max_norm; returns what it was.

    Parameters without a gradient count for nothing. A norm that is not finite leaves the gradients as they are:
    `math.isfinite` of the result tells whether a step makes sense. See `odyssey.clip_grad_norm`.

    Example:
        >>> import odyssey as od
        >>> w = od.Tensor([3.0, 4.0], requires_grad=True)
        >>> (w * w).sum().backward()
        >>> od.optim.clip_grad_norm_([w], 5.0)
        10.0
        >>> w.grad.round(3).tolist()
        [3.0, 4.0]
    """
    if isinstance(params, Tensor):
        params = [params]
    return float(ops.clip_grad_norm([p.grad for p in params if p.grad is not None], max_norm, eps))


def clip_grad_value_(params: Iterable[Tensor] | Tensor, clip_value: float) -> None:
    """Limits each element of the parameters' gradients, in place, to [-clip_value, clip_value].

    Raises:
        ValueError: clip_value is negative, or not a number.

    Example:
        >>> import odyssey as od
        >>> w = od.Tensor([3.0, 0.25], requires_grad=True)
        >>> (w * w).sum().backward()
        >>> od.optim.clip_grad_value_(w, 1.0)
        >>> w.grad.tolist()
        [1.0, 0.5]
    """
    if not clip_value >= 0.0:
        raise ValueError(f"clip_grad_value_: expected clip_value from 0 on, found {clip_value}")
    for p in [params] if isinstance(params, Tensor) else params:
        if p.grad is not None:
            ops.clip(p.grad, -clip_value, clip_value, p.grad)
