"""Batch, group and instance norm of (N, C, ...), their gradients, and batch norm folded into what stands before it.

All arrays are float32 or all float64 (else `DTypeError`); weight and bias are (C,), or None for ones and zeros (else
`ShapeError`). Variances divide by the number of elements. `out`, of x's shape and type, receives the result and is
returned; it may be x.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from odyssey.errors import LayoutError, ShapeError, describe, explain
from odyssey.reference._arrays import deliver, real, reals, rounded, wide
from odyssey.typing import Array, ArrayLike


def group_norm(
    x: ArrayLike,
    num_groups: int,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    eps: float = 1e-5,
    out: Array | None = None,
) -> Array:
    """(x - mean) / √(var + eps) · weight + bias, mean and variance of each group of channels of each image.
    `torch.nn.functional.group_norm`.

    >>> group_norm(np.float32([[1, 3, 5, 9]]), 2, eps=0)
    array([[-1.,  1., -1.,  1.]], dtype=float32)
    """
    x, factor, shift = _operands("group_norm", x, weight=weight, bias=bias)
    d, r = _by_group(x, num_groups, eps, "group_norm")
    return deliver((d * r).reshape(x.shape) * factor + shift, x.dtype, out)


def group_norm_backward(
    grad: ArrayLike, x: ArrayLike, num_groups: int, weight: ArrayLike | None = None, eps: float = 1e-5
) -> tuple[Array, Array, Array]:
    """The gradients of x, weight and bias, as `layer_norm_backward` has them, over a group.

    >>> group_norm_backward(np.float32([[1, 2]]), np.float32([[3, 4]]), 1)[2]
    array([1., 2.], dtype=float32)
    """
    x, grad, factor = _gradient_operands("group_norm_backward", grad, x, weight)
    d, r = _by_group(x, num_groups, eps, "group_norm_backward")
    h = (wide(grad) * factor).reshape(d.shape)
    dx = r * (h - _mean(h, (-1,)) - d * r * r * _mean(h * d, (-1,)))
    return _gradients(dx.reshape(x.shape), wide(grad), (d * r).reshape(x.shape), x)


def instance_norm(
    x: ArrayLike,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    eps: float = 1e-5,
    out: Array | None = None,
) -> Array:
    """(x - mean) / √(var + eps) · weight + bias, mean and variance of each channel of each image.
    `torch.nn.functional.instance_norm`.

    >>> instance_norm(np.float32([[[1, 3], [5, 9]]]), eps=0)[0, 1]
    array([-1.,  1.], dtype=float32)
    """
    x = _with_space("instance_norm", x)
    # Without channels there is one group, of nothing.
    return group_norm(x, max(x.shape[1], 1), weight, bias, eps, out)


def instance_norm_backward(
    grad: ArrayLike, x: ArrayLike, weight: ArrayLike | None = None, eps: float = 1e-5
) -> tuple[Array, Array, Array]:
    """The gradients of x, weight and bias, as `layer_norm_backward` has them, over a channel.

    >>> instance_norm_backward(np.float32([[[1, 2]]]), np.float32([[[3, 4]]]))[2]
    array([3.], dtype=float32)
    """
    x = _with_space("instance_norm_backward", x)
    return group_norm_backward(grad, x, max(x.shape[1], 1), weight, eps)


def batch_norm(
    x: ArrayLike,
    running_mean: ArrayLike | None,
    running_var: ArrayLike | None,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    out: Array | None = None,
) -> Array:
    """(x - mean) / √(var + eps) · weight + bias, mean and variance of each channel over the batch, which enter the
    running ones (the variance unbiased); or, unless training, the running ones. `torch.nn.functional.batch_norm`.

    >>> batch_norm(np.float32([[1], [3]]), None, None, training=True, eps=0)
    array([[-1.],
           [ 1.]], dtype=float32)
    """
    x, factor, shift = _operands("batch_norm", x, weight=weight, bias=bias)
    mean, var = _statistics("batch_norm", x, running_mean, running_var, training)
    if training:
        _check_writable(running_mean, running_var)
        count = x.size // max(x.shape[1], 1)
        if count == 1:
            raise ShapeError(explain("batch_norm: in training a channel needs more than one value", describe(x=x)))
        if count:
            _follow(running_mean, mean, momentum)
            _follow(running_var, var * count / (count - 1), momentum)
    r = 1 / np.sqrt(var + rounded(eps, x))
    return deliver((wide(x) - mean) * r * factor + shift, x.dtype, out)


def batch_norm_backward(
    grad: ArrayLike,
    x: ArrayLike,
    running_mean: ArrayLike | None,
    running_var: ArrayLike | None,
    weight: ArrayLike | None = None,
    training: bool = False,
    eps: float = 1e-5,
) -> tuple[Array, Array, Array]:
    """The gradients of x, weight and bias: in training as `layer_norm_backward` has them, over a channel of all images;
    else that of x is grad · weight / √(running_var + eps).

    >>> batch_norm_backward(np.float32([[1], [2]]), np.float32([[3], [4]]), None, None, training=True)[2]
    array([3.], dtype=float32)
    """
    x, grad, factor = _gradient_operands("batch_norm_backward", grad, x, weight)
    mean, var = _statistics("batch_norm_backward", x, running_mean, running_var, training)
    d, r = wide(x) - mean, 1 / np.sqrt(var + rounded(eps, x))
    dx = h = wide(grad) * factor
    if training:
        axes = _but_channels(x)
        dx = h - _mean(h, axes) - d * r * r * _mean(h * d, axes)
    return _gradients(r * dx, wide(grad), d * r, x)


def fold_batch_norm(
    weight: ArrayLike,
    bias: ArrayLike | None,
    running_mean: ArrayLike,
    running_var: ArrayLike,
    bn_weight: ArrayLike | None = None,
    bn_bias: ArrayLike | None = None,
    eps: float = 1e-5,
) -> tuple[Array, Array]:
    """Weight and bias of a convolution or linear layer that is also the batch norm behind it: with
    s = bn_weight / √(running_var + eps), weight · s output by output, and (bias - running_mean) · s + bn_bias.

    >>> fold_batch_norm(np.float32([[2]]), None, np.float32([1]), np.float32([4]), eps=0)
    (array([[1.]], dtype=float32), array([-0.5], dtype=float32))
    """
    rows = {
        "bias": bias, "running_mean": running_mean, "running_var": running_var,
        "bn_weight": bn_weight, "bn_bias": bn_bias,
    }  # fmt: skip
    given, *values = reals(weight=weight, **{name: row for name, row in rows.items() if row is not None})
    found = dict(zip((name for name, row in rows.items() if row is not None), values, strict=True))
    for name, row in found.items():
        if given.ndim == 0 or row.shape != given.shape[:1]:
            raise ShapeError(
                explain(
                    f"fold_batch_norm: {name} must have one entry for each output (axis 0 of weight)",
                    describe(weight=given, **{name: row}),
                )
            )
    one, zero = np.ones((), given.dtype), np.zeros((), given.dtype)
    scale = wide(found.get("bn_weight", one)) / np.sqrt(wide(found["running_var"]) + eps)
    moved = (wide(found.get("bias", zero)) - wide(found["running_mean"])) * scale + wide(found.get("bn_bias", zero))
    spread = scale.reshape(-1, *[1] * (given.ndim - 1))
    return deliver(wide(given) * spread, given.dtype, None), deliver(moved, given.dtype, None)


def _operands(op: str, x: ArrayLike, **rows: ArrayLike | None) -> tuple[Array, Array, Array]:
    """x, and weight and bias wide, in x's axes, with what stands for those left out."""
    given = {name: row for name, row in rows.items() if row is not None}
    checked, *values = reals(x=x, **given)
    if checked.ndim < 2:
        raise ShapeError(explain(f"{op}: x must be (N, C, ...)", describe(x=checked)))
    found = {name: _per_channel(op, name, row, checked) for name, row in zip(given, values, strict=True)}
    one, zero = np.ones((), checked.dtype), np.zeros((), checked.dtype)
    return checked, wide(found.get("weight", one)), wide(found.get("bias", zero))


def _gradient_operands(op: str, grad: ArrayLike, x: ArrayLike, weight: ArrayLike | None) -> tuple[Array, Array, Array]:
    incoming, checked = reals(grad=grad, x=x)
    if incoming.shape != checked.shape:
        raise ShapeError(explain(f"{op}: grad and x must be of one shape", describe(grad=incoming, x=checked)))
    checked, factor, _ = _operands(op, checked, weight=weight)
    return checked, incoming, factor


def _per_channel(op: str, name: str, row: Array, x: Array) -> Array:
    if row.shape != (x.shape[1],):
        raise ShapeError(
            explain(f"{op}: {name} must be ({x.shape[1]},), an entry for each channel", describe(x=x, **{name: row}))
        )
    return row.reshape(-1, *[1] * (x.ndim - 2))


def _with_space(op: str, x: ArrayLike) -> Array:
    checked = real("x", x)
    if checked.ndim < 3:
        raise ShapeError(explain(f"{op}: x must be (N, C, ...) with axes beyond C", describe(x=checked)))
    return checked


def _mean(z: Array, axes: tuple[int, ...]) -> Array:
    return np.asarray(np.mean(z, axis=axes, keepdims=True)) if z.size else np.zeros(())


def _but_channels(x: Array) -> tuple[int, ...]:
    return (0, *range(2, x.ndim))


def _by_group(x: Array, num_groups: int, eps: float, op: str) -> tuple[Array, Array]:
    """x less its mean, (N, groups, elements), and 1 / √(var + eps) of each group."""
    if num_groups < 1 or x.shape[1] % num_groups:
        raise ShapeError(
            explain(f"{op}: num_groups must divide the {x.shape[1]} channels, found {num_groups}", describe(x=x))
        )
    z = wide(x).reshape(x.shape[0], num_groups, x[:1].size // max(x.shape[0] and num_groups, 1))
    d = z - _mean(z, (-1,))
    return d, np.asarray(1 / np.sqrt(_mean(d * d, (-1,)) + rounded(eps, x)))


def _statistics(
    op: str, x: Array, running_mean: ArrayLike | None, running_var: ArrayLike | None, training: bool
) -> tuple[Array, Array]:
    """Mean and variance of each channel, wide, in x's axes."""
    running = {"running_mean": running_mean, "running_var": running_var}
    if training:
        given = {name: row for name, row in running.items() if row is not None}
        for name, values in zip(given, reals(x=x, **given)[1:], strict=True):
            _per_channel(op, name, values, x)
        mean = _mean(wide(x), _but_channels(x))
        return mean, _mean((wide(x) - mean) ** 2, _but_channels(x))
    for name, row in running.items():
        if row is None:
            raise ValueError(f"{op}: {name} is needed unless training=True")
    _, *rows = reals(x=x, **running)
    mean, var = (wide(_per_channel(op, name, row, x)) for name, row in zip(running, rows, strict=True))
    return mean, var


def _check_writable(*running: Any) -> None:
    for one in running:
        if one is not None and not (isinstance(one, np.ndarray) and one.flags.writeable):
            raise LayoutError(
                "batch_norm: running statistics are updated in place, so they must be writable NumPy arrays"
            )


def _follow(running: Any, found: Array, momentum: float) -> None:
    """running = (1 - momentum) · running + momentum · found, in place."""
    if running is not None:
        running[...] = (1 - momentum) * wide(running) + momentum * found.reshape(-1)


def _gradients(dx: Array, g: Array, normal: Array, x: Array) -> tuple[Array, Array, Array]:
    axes = _but_channels(x)
    return (
        deliver(dx, x.dtype, None),
        deliver(np.sum(g * normal, axis=axes), x.dtype, None),
        deliver(np.sum(g, axis=axes), x.dtype, None),
    )
