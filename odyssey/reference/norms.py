"""RMS norm and layer norm over the last axis, and their gradients.

x is (..., n), float32 or float64, and all arrays are of its type (else `DTypeError`); weight and bias are (n,), or None
for ones and zeros (else `ShapeError`). The variance divides by n. `out`, of x's shape and type, receives the result and
is returned; it may be x. Gradients of weight and bias are sums over all rows.
"""

from __future__ import annotations

import numpy as np

from odyssey.errors import ShapeError, describe, explain
from odyssey.reference._arrays import deliver, reals, rounded, wide
from odyssey.typing import Array, ArrayLike


def rms_norm(x: ArrayLike, weight: ArrayLike | None = None, eps: float = 1e-6, out: Array | None = None) -> Array:
    """x / √(mean(x²) + eps) · weight along the last axis. `torch.nn.functional.rms_norm`.

    >>> rms_norm(np.float32([3, 4]), eps=0)
    array([0.84852815, 1.1313709 ], dtype=float32)
    """
    x, factor, _ = _operands("rms_norm", x, weight)
    z = wide(x)
    return deliver(z * _scale(z * z, eps, x) * factor, x.dtype, out)


def rms_norm_backward(
    grad: ArrayLike, x: ArrayLike, weight: ArrayLike | None = None, eps: float = 1e-6
) -> tuple[Array, Array]:
    """The gradients of x and weight: with r = 1 / √(mean(x²) + eps) and h = grad · weight,
    r · (h - x · r² · mean(h · x)), and Σ grad · x · r over the rows.

    >>> rms_norm_backward(np.float32([[1, 0]]), np.float32([[3, 4]]), eps=0)[0].round(4)
    array([[ 0.181 , -0.1358]], dtype=float32)
    """
    grad, x = _same("rms_norm_backward", grad, x)
    x, factor, _ = _operands("rms_norm_backward", x, weight)
    g, z = wide(grad), wide(x)
    r, h = _scale(z * z, eps, x), g * factor
    dx = r * (h - z * r * r * _mean(h * z))
    return deliver(dx, x.dtype, None), _down_rows(g * z * r, x)


def layer_norm(
    x: ArrayLike,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    eps: float = 1e-5,
    out: Array | None = None,
) -> Array:
    """(x - mean(x)) / √(var(x) + eps) · weight + bias along the last axis. `torch.nn.functional.layer_norm`.

    >>> layer_norm(np.float32([1, 3]), eps=0)
    array([-1.,  1.], dtype=float32)
    """
    x, factor, shift = _operands("layer_norm", x, weight, bias)
    d = wide(x) - _mean(wide(x))
    return deliver(d * _scale(d * d, eps, x) * factor + shift, x.dtype, out)


def layer_norm_backward(
    grad: ArrayLike, x: ArrayLike, weight: ArrayLike | None = None, eps: float = 1e-5
) -> tuple[Array, Array, Array]:
    """The gradients of x, weight and bias: with r = 1 / √(var(x) + eps), d = x - mean(x) and h = grad · weight,
    r · (h - mean(h) - d · r² · mean(h · d)), and over the rows Σ grad · d · r and Σ grad.

    >>> layer_norm_backward(np.float32([[1, 0, 0]]), np.float32([[1, 2, 4]]))[2]
    array([1., 0., 0.], dtype=float32)
    """
    grad, x = _same("layer_norm_backward", grad, x)
    x, factor, _ = _operands("layer_norm_backward", x, weight)
    g, d = wide(grad), wide(x) - _mean(wide(x))
    r, h = _scale(d * d, eps, x), g * factor
    dx = r * (h - _mean(h) - d * r * r * _mean(h * d))
    return deliver(dx, x.dtype, None), _down_rows(g * d * r, x), _down_rows(g, x)


def _operands(
    op: str, x: ArrayLike, weight: ArrayLike | None, bias: ArrayLike | None = None
) -> tuple[Array, Array, Array]:
    """x, and weight and bias wide, with what stands for those left out."""
    given = {name: row for name, row in (("weight", weight), ("bias", bias)) if row is not None}
    checked, *rows = reals(x=x, **given)
    if checked.ndim == 0:
        raise ShapeError(explain(f"{op}: x must have at least one axis", describe(x=checked)))
    for name, row in zip(given, rows, strict=True):
        if row.shape != checked.shape[-1:]:
            raise ShapeError(explain(f"{op}: {name} must be {checked.shape[-1:]}", describe(x=checked, **{name: row})))
    found = dict(zip(given, rows, strict=True))
    one, zero = np.ones((), checked.dtype), np.zeros((), checked.dtype)
    return checked, wide(found.get("weight", one)), wide(found.get("bias", zero))


def _same(op: str, grad: ArrayLike, x: ArrayLike) -> list[Array]:
    arrays = reals(grad=grad, x=x)
    if arrays[0].shape != arrays[1].shape:
        raise ShapeError(explain(f"{op}: grad and x must be of one shape", describe(grad=arrays[0], x=arrays[1])))
    return arrays


def _mean(z: Array) -> Array:
    return np.asarray(np.divide(np.sum(z, axis=-1, keepdims=True), z.shape[-1]))


def _scale(squares: Array, eps: float, x: Array) -> Array:
    return np.asarray(1 / np.sqrt(_mean(squares) + rounded(eps, x)))


def _down_rows(terms: Array, x: Array) -> Array:
    return deliver(np.sum(terms, axis=tuple(range(x.ndim - 1))), x.dtype, None)
