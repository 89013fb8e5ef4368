"""Activations and their gradients: PyTorch's formulas and defaults.

Arrays are float32 or float64 and all of one type (else `DTypeError`); results have x's shape and type. `out`, of the
result's shape and type (else `ShapeError`, `DTypeError`), receives the result and is returned; it may be an operand.
Options such as `alpha` are rounded to x's type first. A backward takes the incoming gradient and what the forward took
(`sigmoid_backward` and `tanh_backward` take the forward's result), all of one shape (else `ShapeError`).

NaN goes through. Infinities give the limit: silu, gelu, mish and hard_swish of -inf are -0, and their gradients 0 at
-inf and 1 at inf, where PyTorch's formulas multiply inf by 0.
"""

from __future__ import annotations

import math

import numpy as np

from odyssey.errors import ShapeError, describe, explain
from odyssey.reference._arrays import PI, deliver, real, reals, rounded, same_shape, wide
from odyssey.typing import Array, ArrayLike

# Klambauer et al., Self-normalizing neural networks, 2017: the fixed point of mean 0 and variance 1.
SELU_ALPHA = np.longdouble("1.6732632423543772848170429916717")
SELU_SCALE = np.longdouble("1.0507009873554804934193349852946")

# From here on silu, gelu, mish and their gradients are at their limits: e^-12000 is 0 in long double too.
FAR = 1.2e4


def relu(x: ArrayLike, out: Array | None = None) -> Array:
    """max(x, 0). `torch.relu`.

    >>> relu(np.float32([-2, 3]))
    array([0., 3.], dtype=float32)
    """
    x = real("x", x)
    return deliver(np.maximum(x, 0), x.dtype, out)


def relu_backward(grad: ArrayLike, x: ArrayLike, out: Array | None = None) -> Array:
    """0 where x <= 0, else grad.

    >>> relu_backward(np.float32([5, 6, 7]), np.float32([-2, 0, 3]))
    array([0., 0., 7.], dtype=float32)
    """
    grad, x = same_shape(grad=grad, x=x)
    return deliver(np.where(x <= 0, 0, grad), x.dtype, out)


def relu6(x: ArrayLike, out: Array | None = None) -> Array:
    """min(max(x, 0), 6). `torch.nn.functional.relu6`.

    >>> relu6(np.float32([-2, 3, 9]))
    array([0., 3., 6.], dtype=float32)
    """
    x = real("x", x)
    return deliver(np.clip(x, 0, 6), x.dtype, out)


def relu6_backward(grad: ArrayLike, x: ArrayLike, out: Array | None = None) -> Array:
    """grad where 0 < x < 6, else 0.

    >>> relu6_backward(np.float32([5, 6, 7]), np.float32([-2, 3, 9]))
    array([0., 6., 0.], dtype=float32)
    """
    grad, x = same_shape(grad=grad, x=x)
    return deliver(np.where((x > 0) & (x < 6), grad, 0), x.dtype, out)


def leaky_relu(x: ArrayLike, negative_slope: float = 0.01, out: Array | None = None) -> Array:
    """x where x > 0, else negative_slope · x. `torch.nn.functional.leaky_relu`.

    >>> leaky_relu(np.float32([-2, 3]), 0.5)
    array([-1.,  3.], dtype=float32)
    """
    x, slope = reals(x=x, negative_slope=negative_slope)
    return deliver(np.where(x > 0, x, slope * x), x.dtype, out)


def leaky_relu_backward(grad: ArrayLike, x: ArrayLike, negative_slope: float = 0.01, out: Array | None = None) -> Array:
    """grad where x > 0, else negative_slope · grad.

    >>> leaky_relu_backward(np.float32([6, 7]), np.float32([-2, 3]), 0.5)
    array([3., 7.], dtype=float32)
    """
    grad, x = same_shape(grad=grad, x=x)
    (slope,) = reals(x=x, negative_slope=negative_slope)[1:]
    return deliver(np.where(x > 0, grad, slope * grad), x.dtype, out)


def prelu(x: ArrayLike, weight: ArrayLike, out: Array | None = None) -> Array:
    """x where x > 0, else weight · x. `torch.nn.functional.prelu`.

    weight has one entry, or is (C,) where x is (N, C, ...): one entry for each channel; else `ShapeError`.

    >>> prelu(np.float32([[-2, -2]]), np.float32([0.5, 0.25]))
    array([[-1. , -0.5]], dtype=float32)
    """
    x, weight = reals(x=x, weight=weight)
    return deliver(np.where(x > 0, x, _per_channel(weight, x) * x), x.dtype, out)


def prelu_backward(grad: ArrayLike, x: ArrayLike, weight: ArrayLike) -> tuple[Array, Array]:
    """(dx, dweight): grad where x > 0, else weight · grad; and Σ x · grad over the other x an entry of weight serves.

    >>> prelu_backward(np.float32([[3, 4]]), np.float32([[-2, 2]]), np.float32([0.5]))
    (array([[1.5, 4. ]], dtype=float32), array([-6.], dtype=float32))
    """
    grad, x = same_shape(grad=grad, x=x)
    (weight,) = reals(x=x, weight=weight)[1:]
    slope = _per_channel(weight, x)
    served = np.where(x > 0, 0, wide(x) * wide(grad))
    shared = tuple(axis for axis in range(x.ndim) if slope.ndim == 0 or slope.shape[axis] == 1)
    dx = deliver(np.where(x > 0, grad, slope * grad), x.dtype, None)
    return dx, deliver(np.sum(served, axis=shared).reshape(weight.shape), x.dtype, None)


def _per_channel(weight: Array, x: Array) -> Array:
    """Weight shaped so that it broadcasts over x: () or (1, C, 1, ...)."""
    if weight.size == 1:
        return weight.reshape(())
    if weight.ndim == 1 and x.ndim >= 2 and weight.size == x.shape[1]:
        return weight.reshape(-1, *[1] * (x.ndim - 2))[np.newaxis]
    raise ShapeError(
        explain(
            "prelu: weight must have one entry, or one for each of x's channels (axis 1)", describe(x=x, weight=weight)
        )
    )


def elu(x: ArrayLike, alpha: float = 1.0, out: Array | None = None) -> Array:
    """x where x > 0, else alpha · (e^x - 1). `torch.nn.functional.elu`; Clevert et al. 2016.

    >>> elu(np.float32([-1, 3]))
    array([-0.63212055,  3.        ], dtype=float32)
    """
    x = real("x", x)
    z = wide(x)
    return deliver(np.where(z > 0, z, rounded(alpha, x) * _expm1_below_zero(z)), x.dtype, out)


def elu_backward(grad: ArrayLike, x: ArrayLike, alpha: float = 1.0, out: Array | None = None) -> Array:
    """grad where x > 0, else grad · alpha · e^x.

    >>> elu_backward(np.float32([1, 1]), np.float32([-1, 3]))
    array([0.36787945, 1.        ], dtype=float32)
    """
    grad, x = same_shape(grad=grad, x=x)
    slope = np.where(x > 0, 1, rounded(alpha, x) * np.exp(np.minimum(wide(x), 0)))
    return deliver(wide(grad) * slope, x.dtype, out)


def selu(x: ArrayLike, out: Array | None = None) -> Array:
    """1.0507 · elu(x, 1.6733), the constants in full. `torch.nn.functional.selu`; Klambauer et al. 2017.

    >>> selu(np.float32([-1, 3]))
    array([-1.1113307,  3.152103 ], dtype=float32)
    """
    x = real("x", x)
    z = wide(x)
    alpha, scale = SELU_ALPHA.astype(z.dtype), SELU_SCALE.astype(z.dtype)
    return deliver(scale * np.where(z > 0, z, alpha * _expm1_below_zero(z)), x.dtype, out)


def selu_backward(grad: ArrayLike, x: ArrayLike, out: Array | None = None) -> Array:
    """grad · 1.0507 where x > 0, else grad · 1.0507 · 1.6733 · e^x, the constants in full.

    >>> selu_backward(np.float32([1, 1]), np.float32([-1, 3]))
    array([0.6467686, 1.050701 ], dtype=float32)
    """
    grad, x = same_shape(grad=grad, x=x)
    z = wide(x)
    alpha, scale = SELU_ALPHA.astype(z.dtype), SELU_SCALE.astype(z.dtype)
    return deliver(wide(grad) * scale * np.where(z > 0, 1, alpha * np.exp(np.minimum(z, 0))), x.dtype, out)


def _expm1_below_zero(z: Array) -> Array:
    return np.expm1(np.minimum(z, 0))


def sigmoid(x: ArrayLike, out: Array | None = None) -> Array:
    """1 / (1 + e^-x). `torch.sigmoid`.

    >>> sigmoid(np.float32([-1, 0]))
    array([0.26894143, 0.5       ], dtype=float32)
    """
    x = real("x", x)
    return deliver(_sigmoid(wide(x)), x.dtype, out)


def sigmoid_backward(grad: ArrayLike, y: ArrayLike, out: Array | None = None) -> Array:
    """grad · y · (1 - y), where y is the result of `sigmoid`.

    >>> sigmoid_backward(np.float32([2]), np.float32([0.25]))
    array([0.375], dtype=float32)
    """
    grad, y = same_shape(grad=grad, y=y)
    z = wide(y)
    return deliver(wide(grad) * z * (1 - z), y.dtype, out)


def _sigmoid(z: Array) -> Array:
    small = np.exp(-np.abs(z))  # never overflows
    result: Array = np.where(z < 0, small, 1) / (1 + small)
    return result


def tanh(x: ArrayLike, out: Array | None = None) -> Array:
    """The hyperbolic tangent. `numpy.tanh`, `torch.tanh`.

    >>> tanh(np.float32([-1, 0]))
    array([-0.7615942,  0.       ], dtype=float32)
    """
    x = real("x", x)
    return deliver(np.tanh(wide(x)), x.dtype, out)


def tanh_backward(grad: ArrayLike, y: ArrayLike, out: Array | None = None) -> Array:
    """grad · (1 - y²), where y is the result of `tanh`.

    >>> tanh_backward(np.float32([2]), np.float32([0.5]))
    array([1.5], dtype=float32)
    """
    grad, y = same_shape(grad=grad, y=y)
    z = wide(y)
    return deliver(wide(grad) * (1 - z) * (1 + z), y.dtype, out)


def silu(x: ArrayLike, out: Array | None = None) -> Array:
    """x · sigmoid(x), also called swish. `torch.nn.functional.silu`; Elfwing et al. 2018.

    >>> silu(np.float32([-1, 1]))
    array([-0.26894143,  0.7310586 ], dtype=float32)
    """
    x = real("x", x)
    z = np.maximum(wide(x), -FAR)
    return deliver(z * _sigmoid(z), x.dtype, out)


def silu_backward(grad: ArrayLike, x: ArrayLike, out: Array | None = None) -> Array:
    """grad · s · (1 + x · (1 - s)), where s = sigmoid(x).

    >>> silu_backward(np.float32([1, 1]), np.float32([0, 1]))
    array([0.5       , 0.92767054], dtype=float32)
    """
    grad, x = same_shape(grad=grad, x=x)
    z = np.clip(wide(x), -FAR, FAR)
    # 1 - sigmoid(z) is sigmoid(-z), without the cancellation
    return deliver(wide(grad) * _sigmoid(z) * (1 + z * _sigmoid(-z)), x.dtype, out)


def swiglu(gate: ArrayLike, up: ArrayLike, out: Array | None = None) -> Array:
    """silu(gate), rounded, · up: the gated unit of transformers. Shazeer 2020, "GLU Variants Improve Transformer".

    >>> swiglu(np.float32([0, 100]), np.float32([5, 0.5]))
    array([ 0., 50.], dtype=float32)
    """
    gate, up = same_shape(gate=gate, up=up)
    return deliver(wide(np.asarray(silu(gate))) * wide(up), gate.dtype, out)


def swiglu_backward(grad: ArrayLike, gate: ArrayLike, up: ArrayLike) -> tuple[Array, Array]:
    """The gradients of gate and up: grad · (up · s · (1 + gate · (1 - s))) and grad · (gate · s), s = sigmoid(gate),
    what stands in the outer parentheses rounded.

    >>> swiglu_backward(np.float32([1]), np.float32([0]), np.float32([4]))
    (array([2.], dtype=float32), array([0.], dtype=float32))
    """
    grad, gate, up = same_shape(grad=grad, gate=gate, up=up)
    g, z = wide(grad), np.clip(wide(gate), -FAR, FAR)
    slope = (wide(up) * (_sigmoid(z) * (1 + z * _sigmoid(-z)))).astype(up.dtype)
    return deliver(g * wide(slope), up.dtype, None), deliver(g * wide(np.asarray(silu(gate))), up.dtype, None)


def gelu(x: ArrayLike, approximate: str = "none", out: Array | None = None) -> Array:
    """x · Φ(x), Φ the normal distribution's function; or, with approximate="tanh", x/2 · (1 + tanh(u)).

    u = √(2/π) · (x + 0.044715 x³). `torch.nn.functional.gelu`; Hendrycks and Gimpel 2016. `ValueError` for another
    `approximate`.

    >>> gelu(np.float32([-1, 1]))
    array([-0.15865526,  0.8413448 ], dtype=float32)
    >>> gelu(np.float32([-1, 1]), approximate="tanh")
    array([-0.15880801,  0.841192  ], dtype=float32)
    """
    x = real("x", x)
    z = np.maximum(wide(x), -FAR)
    if _is_exact_gelu(approximate):
        return deliver(z * _normal_cdf(z), x.dtype, out)
    return deliver(z * _sigmoid(2 * _gelu_argument(z)), x.dtype, out)  # (1 + tanh u) / 2 = sigmoid(2u)


def gelu_backward(grad: ArrayLike, x: ArrayLike, approximate: str = "none", out: Array | None = None) -> Array:
    """grad · (Φ(x) + x · φ(x)), φ the normal density; with approximate="tanh" that form's derivative.

    >>> gelu_backward(np.float32([1, 1]), np.float32([0, 1]))
    array([0.5      , 1.0833155], dtype=float32)
    """
    grad, x = same_shape(grad=grad, x=x)
    z = np.clip(wide(x), -FAR, FAR)
    if _is_exact_gelu(approximate):
        density = np.exp(-z * z / 2) / np.sqrt(2 * PI.astype(z.dtype))
        return deliver(wide(grad) * (_normal_cdf(z) + z * density), x.dtype, out)
    u = _gelu_argument(z)
    u_slope = np.sqrt(2 / PI.astype(z.dtype)) * (1 + 3 * z.dtype.type(0.044715) * z * z)
    slope = _sigmoid(2 * u) * (1 + 2 * z * _sigmoid(-2 * u) * u_slope)
    return deliver(wide(grad) * slope, x.dtype, out)


def _is_exact_gelu(approximate: str) -> bool:
    if approximate not in ("none", "tanh"):
        raise ValueError(f'gelu: approximate must be "none" or "tanh", not {approximate!r}')
    return approximate == "none"


def _gelu_argument(z: Array) -> Array:
    cubic: Array = z + z.dtype.type(0.044715) * z * z * z
    root: Array = np.sqrt(2 / PI.astype(z.dtype))
    return root * cubic


def _normal_cdf(z: Array) -> Array:
    """Φ(z) = erfc(-z/√2) / 2, accurate in the lower tail too, where 1 + erf would cancel."""
    t = -z / np.sqrt(z.dtype.type(2))
    near = t.astype(np.float64)  # the C library's erfc takes float64; the slope of erfc carries the rest
    rest = np.subtract(t, near, where=np.isfinite(near), out=np.zeros_like(t))
    slope = -2 / np.sqrt(PI.astype(z.dtype)) * np.exp(-t * t)
    twice: Array = np.vectorize(math.erfc, otypes=[np.float64])(near) + slope * rest
    return np.where(t > DEEP, _erfc_deep(np.maximum(t, DEEP)), twice) / 2


DEEP = 20  # beyond, erfc comes near the smallest float64, where the C library's has few digits left


def _erfc_deep(t: Array) -> Array:
    """e^(-t²) / (t √π) · (1 - 1/(2t²) + 1·3/(2t²)² - ...) for t >= DEEP; Abramowitz and Stegun 7.1.23."""
    head = t.astype(np.float32).astype(t.dtype)  # its square is exact
    series = np.ones_like(t)
    for k in range(12, 0, -1):
        series = 1 - (2 * k - 1) / (2 * t * t) * series
    tail: Array = np.exp(-head * head) * np.exp(-(t - head) * (t + head)) * series
    return np.asarray(tail / (t * np.sqrt(PI.astype(t.dtype))))


def softplus(x: ArrayLike, beta: float = 1.0, threshold: float = 20.0, out: Array | None = None) -> Array:
    """log(1 + e^(beta·x)) / beta; x itself where beta·x > threshold. `torch.nn.functional.softplus`.

    >>> softplus(np.float32([-1, 0, 30]))
    array([ 0.3132617,  0.6931472, 30.       ], dtype=float32)
    """
    x = real("x", x)
    z = wide(x)
    slope = rounded(beta, x)
    return deliver(np.where(slope * z > rounded(threshold, x), z, np.logaddexp(0, slope * z) / slope), x.dtype, out)


def softplus_backward(
    grad: ArrayLike, x: ArrayLike, beta: float = 1.0, threshold: float = 20.0, out: Array | None = None
) -> Array:
    """grad · sigmoid(beta·x); grad itself where beta·x > threshold.

    >>> softplus_backward(np.float32([1, 1, 1]), np.float32([-1, 0, 30]))
    array([0.26894143, 0.5       , 1.        ], dtype=float32)
    """
    grad, x = same_shape(grad=grad, x=x)
    z = rounded(beta, x) * wide(x)
    return deliver(wide(grad) * np.where(z > rounded(threshold, x), 1, _sigmoid(z)), x.dtype, out)


def mish(x: ArrayLike, out: Array | None = None) -> Array:
    """x · tanh(log(1 + e^x)). `torch.nn.functional.mish`; Misra 2019.

    >>> mish(np.float32([-1, 1]))
    array([-0.30340147,  0.8650984 ], dtype=float32)
    """
    x = real("x", x)
    z = np.maximum(wide(x), -FAR)
    return deliver(z * np.tanh(np.logaddexp(0, z)), x.dtype, out)


def mish_backward(grad: ArrayLike, x: ArrayLike, out: Array | None = None) -> Array:
    """grad · (t + x · sigmoid(x) · (1 - t²)), where t = tanh(log(1 + e^x)).

    >>> mish_backward(np.float32([1, 1]), np.float32([0, 1]))
    array([0.6      , 1.0490363], dtype=float32)
    """
    grad, x = same_shape(grad=grad, x=x)
    z = np.clip(wide(x), -FAR, FAR)
    t = np.tanh(np.logaddexp(0, z))
    return deliver(wide(grad) * (t + z * _sigmoid(z) * (1 - t) * (1 + t)), x.dtype, out)


def hard_sigmoid(x: ArrayLike, out: Array | None = None) -> Array:
    """min(max(x + 3, 0), 6) / 6. `torch.nn.functional.hardsigmoid`.

    >>> hard_sigmoid(np.float32([-4, 0, 1.5]))
    array([0.  , 0.5 , 0.75], dtype=float32)
    """
    x = real("x", x)
    return deliver(np.clip(wide(x) + 3, 0, 6) / 6, x.dtype, out)


def hard_sigmoid_backward(grad: ArrayLike, x: ArrayLike, out: Array | None = None) -> Array:
    """grad / 6 where -3 < x < 3, else 0.

    >>> hard_sigmoid_backward(np.float32([6, 6]), np.float32([-4, 0]))
    array([0., 1.], dtype=float32)
    """
    grad, x = same_shape(grad=grad, x=x)
    return deliver(np.where((x > -3) & (x < 3), wide(grad) / 6, 0), x.dtype, out)


def hard_swish(x: ArrayLike, out: Array | None = None) -> Array:
    """x · min(max(x + 3, 0), 6) / 6. `torch.nn.functional.hardswish`; Howard et al. 2019.

    >>> hard_swish(np.float32([-4, 1, 5]))
    array([-0.       ,  0.6666667,  5.       ], dtype=float32)
    """
    x = real("x", x)
    z = np.maximum(wide(x), -FAR)
    return deliver(z * np.clip(z + 3, 0, 6) / 6, x.dtype, out)


def hard_swish_backward(grad: ArrayLike, x: ArrayLike, out: Array | None = None) -> Array:
    """0 where x <= -3, grad where x >= 3, else grad · (x / 3 + 1/2).

    >>> hard_swish_backward(np.float32([6, 6, 6]), np.float32([-4, 1, 5]))
    array([0., 5., 6.], dtype=float32)
    """
    grad, x = same_shape(grad=grad, x=x)
    middle = wide(grad) * (2 * wide(x) + 3) / 6
    return deliver(np.where(x <= -3, 0, np.where(x >= 3, wide(grad), middle)), x.dtype, out)


def hard_tanh(x: ArrayLike, out: Array | None = None) -> Array:
    """min(max(x, -1), 1). `torch.nn.functional.hardtanh`.

    >>> hard_tanh(np.float32([-4, 0.5]))
    array([-1. ,  0.5], dtype=float32)
    """
    x = real("x", x)
    return deliver(np.clip(x, -1, 1), x.dtype, out)


def hard_tanh_backward(grad: ArrayLike, x: ArrayLike, out: Array | None = None) -> Array:
    """grad where -1 < x < 1, else 0.

    >>> hard_tanh_backward(np.float32([6, 7]), np.float32([-4, 0.5]))
    array([0., 7.], dtype=float32)
    """
    grad, x = same_shape(grad=grad, x=x)
    return deliver(np.where((x > -1) & (x < 1), grad, 0), x.dtype, out)
