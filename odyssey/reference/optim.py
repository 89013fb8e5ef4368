"""Optimizer steps, in place: PyTorch's formulas and defaults.

All arrays are float32 or float64, of one type and one shape (else `DTypeError`, `ShapeError`), and writable. A step
reads `param`, `grad` and its state, and writes `param` and the state; it returns None. The options stay in float64, the
arithmetic runs wide, and each written array is rounded once.
"""

from __future__ import annotations

import numpy as np

from odyssey.reference._arrays import same_shape, wide
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
