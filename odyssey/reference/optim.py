"""Optimizer steps, in place: PyTorch's formulas and defaults.

All arrays are float32 or float64, of one type and one shape (else `DTypeError`, `ShapeError`), and writable. A step
reads `param`, `grad` and its state, and writes `param` and the state; it returns None. The options stay in float64, the
arithmetic runs wide, and each written array is rounded once.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from odyssey.errors import LayoutError
from odyssey.reference._arrays import reals, same_shape, wide
from odyssey.typing import Array


def sgd_step(
    param: Array,
    grad: Array,
    momentum_buffer: Array | None = None,
    lr: float = 0.01,
    momentum: float = 0.0,
    dampening: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
    first: bool = False,
) -> None:
    """Stochastic gradient descent with momentum. `torch.optim.SGD`; Sutskever et al. 2013.

    g = grad + weight_decay · param; buffer = momentum · buffer + (1 - dampening) · g (just g when `first`);
    param -= lr · (buffer, or g + momentum · buffer when `nesterov`, or g when momentum is 0).
    A momentum other than 0 needs the buffer, zeros before the first step; else `ValueError`.

    >>> param = np.float32([1])
    >>> sgd_step(param, np.float32([2]), lr=0.25)
    >>> param
    array([0.5], dtype=float32)
    """
    param, grad = same_shape(param=param, grad=grad)
    p = wide(param)
    step = wide(grad) + weight_decay * p
    if momentum != 0:
        if momentum_buffer is None:
            raise ValueError(f"sgd_step: momentum = {momentum} needs a momentum_buffer, zeros before the first step")
        same_shape(param=param, momentum_buffer=momentum_buffer)
        buffer = step if first else momentum * wide(momentum_buffer) + (1 - dampening) * step
        momentum_buffer[...] = buffer
        step = step + momentum * buffer if nesterov else buffer
    param[...] = p - lr * step


def adam_step(
    param: Array,
    grad: Array,
    exp_avg: Array,
    exp_avg_sq: Array,
    step: int,
    lr: float = 1e-3,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> None:
    """Adam, with weight decay added to the gradient. `torch.optim.Adam`; Kingma and Ba 2015.

    g = grad + weight_decay · param; exp_avg = beta1 · exp_avg + (1 - beta1) · g;
    exp_avg_sq = beta2 · exp_avg_sq + (1 - beta2) · g²;
    param -= lr · (exp_avg / (1 - beta1^step)) / (√(exp_avg_sq / (1 - beta2^step)) + eps).
    `step` counts from 1; else `ValueError`.

    >>> param, average, square = np.float32([1]), np.zeros(1, np.float32), np.zeros(1, np.float32)
    >>> adam_step(param, np.float32([3]), average, square, step=1, lr=0.25)
    >>> param
    array([0.75], dtype=float32)
    """
    param, grad, exp_avg, exp_avg_sq = same_shape(param=param, grad=grad, exp_avg=exp_avg, exp_avg_sq=exp_avg_sq)
    p = wide(param)
    g = wide(grad) + weight_decay * p
    param[...] = p - _adam_update(g, exp_avg, exp_avg_sq, step, lr, beta1, beta2, eps)


def adamw_step(
    param: Array,
    grad: Array,
    exp_avg: Array,
    exp_avg_sq: Array,
    step: int,
    lr: float = 1e-3,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.01,
) -> None:
    """Adam with decoupled weight decay: param · (1 - lr · weight_decay) first, then Adam's update from grad alone.

    `torch.optim.AdamW`; Loshchilov and Hutter 2019. `step` counts from 1; else `ValueError`.

    >>> param, average, square = np.float32([1]), np.zeros(1, np.float32), np.zeros(1, np.float32)
    >>> adamw_step(param, np.float32([3]), average, square, step=1, lr=0.25, weight_decay=1.0)
    >>> param
    array([0.5], dtype=float32)
    """
    param, grad, exp_avg, exp_avg_sq = same_shape(param=param, grad=grad, exp_avg=exp_avg, exp_avg_sq=exp_avg_sq)
    decayed = wide(param) * (1 - lr * weight_decay)
    param[...] = decayed - _adam_update(wide(grad), exp_avg, exp_avg_sq, step, lr, beta1, beta2, eps)


def rmsprop_step(
    param: Array,
    grad: Array,
    square_avg: Array,
    grad_avg: Array | None = None,
    momentum_buffer: Array | None = None,
    lr: float = 0.01,
    alpha: float = 0.99,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    momentum: float = 0.0,
) -> None:
    """Divides the gradient by a running root mean square of its size. `torch.optim.RMSprop`; Tieleman and Hinton 2012.

    g = grad + weight_decay · param; square_avg = alpha · square_avg + (1 - alpha) · g²; with `grad_avg` ("centered";
    Graves 2013) grad_avg = alpha · grad_avg + (1 - alpha) · g, and max(0, square_avg - grad_avg²) stands for
    square_avg in direction = g / (√square_avg + eps); with a momentum buffer = momentum · buffer + direction stands
    for the direction; param -= lr · direction. alpha is in [0, 1], and a momentum other than 0 needs the buffer; else
    `ValueError`.

    >>> param, square = np.float32([1]), np.zeros(1, np.float32)
    >>> rmsprop_step(param, np.float32([3]), square, lr=0.25, alpha=0.75)
    >>> param
    array([0.5], dtype=float32)
    """
    param, grad, square_avg = same_shape(param=param, grad=grad, square_avg=square_avg)
    if not 0 <= alpha <= 1:
        raise ValueError(f"rmsprop_step: alpha must be in [0, 1], found {alpha}")
    if momentum != 0 and momentum_buffer is None:
        raise ValueError(f"rmsprop_step: momentum = {momentum} needs a momentum_buffer, zeros before the first step")
    p = wide(param)
    g = wide(grad) + weight_decay * p
    size = alpha * wide(square_avg) + (1 - alpha) * g * g
    square_avg[...] = size
    if grad_avg is not None:
        same_shape(param=param, grad_avg=grad_avg)
        average = alpha * wide(grad_avg) + (1 - alpha) * g
        grad_avg[...] = average
        size = np.maximum(size - average * average, 0)
    direction = g / (np.sqrt(size) + eps)
    if momentum != 0 and momentum_buffer is not None:
        same_shape(param=param, momentum_buffer=momentum_buffer)
        direction = momentum * wide(momentum_buffer) + direction
        momentum_buffer[...] = direction
    param[...] = p - lr * direction


def adagrad_step(
    param: Array,
    grad: Array,
    state_sum: Array,
    step: int,
    lr: float = 0.01,
    lr_decay: float = 0.0,
    eps: float = 1e-10,
    weight_decay: float = 0.0,
) -> None:
    """Divides the gradient by the root of the sum of its squares so far. `torch.optim.Adagrad`; Duchi et al. 2011.

    g = grad + weight_decay · param; state_sum += g²;
    param -= lr / (1 + (step - 1) · lr_decay) · g / (√state_sum + eps). `step` counts from 1; else `ValueError`.

    >>> param, total = np.float32([1]), np.zeros(1, np.float32)
    >>> adagrad_step(param, np.float32([3]), total, step=1, lr=0.25)
    >>> param
    array([0.75], dtype=float32)
    """
    param, grad, state_sum = same_shape(param=param, grad=grad, state_sum=state_sum)
    if step < 1:
        raise ValueError(f"step counts from 1, found {step}")
    p = wide(param)
    g = wide(grad) + weight_decay * p
    total = wide(state_sum) + g * g
    state_sum[...] = total
    param[...] = p - lr / (1 + (step - 1) * lr_decay) * g / (np.sqrt(total) + eps)


def lars_step(
    param: Array,
    grad: Array,
    momentum_buffer: Array | None = None,
    lr: float = 0.01,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    trust_coefficient: float = 0.001,
    eps: float = 1e-8,
) -> None:
    """Gradient descent with a learning rate for each array, from its norm and its gradient's. You et al. 2017.

    rate = lr · trust_coefficient · ‖param‖ / (‖grad‖ + weight_decay · ‖param‖ + eps), or lr where a norm is 0;
    buffer = momentum · buffer + rate · (grad + weight_decay · param); param -= buffer. Without momentum there is no
    buffer; a momentum other than 0 needs it, zeros before the first step; else `ValueError`.

    >>> param = np.float32([4, 0])
    >>> lars_step(param, np.float32([0, 2]), lr=0.5, trust_coefficient=1.0)
    >>> param
    array([ 4., -2.], dtype=float32)
    """
    param, grad = same_shape(param=param, grad=grad)
    p, g = wide(param), wide(grad)
    size, slope = np.sqrt(np.sum(p * p)), np.sqrt(np.sum(g * g))
    rate = lr * trust_coefficient * size / (slope + weight_decay * size + eps) if size != 0 and slope != 0 else lr
    step = rate * (g + weight_decay * p)
    if momentum != 0:
        if momentum_buffer is None:
            raise ValueError(f"lars_step: momentum = {momentum} needs a momentum_buffer, zeros before the first step")
        same_shape(param=param, momentum_buffer=momentum_buffer)
        step = momentum * wide(momentum_buffer) + step
        momentum_buffer[...] = step
    param[...] = p - step


def clip_grad_norm(grads: Iterable[Array], max_norm: float, eps: float = 1e-6) -> Array:
    """Scales gradients in place so that all together have a 2-norm of at most max_norm; returns the norm before.

    Each is multiplied by max_norm / (norm + eps) where that is below 1 and the norm is finite. max_norm and eps are
    numbers from 0 on; else `ValueError`. The norm is a NumPy scalar of the gradients' type.
    `torch.nn.utils.clip_grad_norm_`.

    >>> grads = [np.float32([3, 0]), np.float32([[4]])]
    >>> clip_grad_norm(grads, 2.5, eps=0)
    np.float32(5.0)
    >>> grads
    [array([1.5, 0. ], dtype=float32), array([[2.]], dtype=float32)]
    """
    if not (max_norm >= 0 and eps >= 0):
        raise ValueError(f"clip_grad_norm: max_norm and eps must be numbers from 0 on, found {max_norm} and {eps}")
    grads = list(grads)
    if not grads:
        return np.zeros((), np.float32)[()]
    for grad in grads:
        if not isinstance(grad, np.ndarray):
            raise LayoutError(
                f"clip_grad_norm: gradients are scaled in place, so they must be NumPy arrays, not {grad!r}"
            )
    arrays = reals(**{f"grads_{i}": grad for i, grad in enumerate(grads)})
    if not all(grad.flags.writeable for grad in arrays):
        raise LayoutError("clip_grad_norm: gradients are scaled in place, and one is read-only")
    total = np.sqrt(sum(np.sum(wide(grad) ** 2) for grad in arrays))
    if np.isfinite(total) and max_norm < total + eps:
        for grad in arrays:
            grad[...] = wide(grad) * (max_norm / (total + eps))
    return total.astype(arrays[0].dtype)  # type: ignore[no-any-return]


def _adam_update(
    g: Array, exp_avg: Array, exp_avg_sq: Array, step: int, lr: float, beta1: float, beta2: float, eps: float
) -> Array:
    """Write the two averages and return what is to be subtracted from param."""
    if step < 1:
        raise ValueError(f"step counts from 1, found {step}")
    average = beta1 * wide(exp_avg) + (1 - beta1) * g
    square = beta2 * wide(exp_avg_sq) + (1 - beta2) * g * g
    exp_avg[...] = average
    exp_avg_sq[...] = square
    return lr * (average / (1 - beta1**step)) / (np.sqrt(square / (1 - beta2**step)) + eps)
