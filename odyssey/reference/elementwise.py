"""Elementwise arithmetic and functions.

Arrays are float32 or float64 and all of one type (else `DTypeError`); the result has their type. Operations on two or
three arrays broadcast as NumPy does (`ValueError` where the shapes cannot), and take a Python number in place of one
of the arrays. `out`, of the result's shape and type (else `ShapeError`, `DTypeError`), receives the result and is
returned; it may be one of the operands. Arithmetic is exact IEEE 754 with one rounding; the functions are computed wide
and rounded once. NaN and the infinities follow NumPy.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from odyssey.reference._arrays import FLOAT32, PI, deliver, real, reals, same_shape, wide
from odyssey.typing import Array, ArrayLike


def add(a: ArrayLike | float, b: ArrayLike | float, out: Array | None = None) -> Array:
    """a + b, as `numpy.add`. Shapes broadcast.

    >>> add(np.float32([1, 2]), np.float32([[10], [20]]))
    array([[11., 12.],
           [21., 22.]], dtype=float32)
    """
    a, b = reals(a=a, b=b)
    return deliver(np.add(a, b), a.dtype, out)


def subtract(a: ArrayLike | float, b: ArrayLike | float, out: Array | None = None) -> Array:
    """a - b, as `numpy.subtract`. Shapes broadcast.

    >>> subtract(np.float32([1, 2]), 3.0)
    array([-2., -1.], dtype=float32)
    """
    a, b = reals(a=a, b=b)
    return deliver(np.subtract(a, b), a.dtype, out)


def multiply(a: ArrayLike | float, b: ArrayLike | float, out: Array | None = None) -> Array:
    """a * b elementwise, as `numpy.multiply`. Shapes broadcast.

    >>> multiply(np.float32([1, 2]), np.float32([3, 4]))
    array([3., 8.], dtype=float32)
    """
    a, b = reals(a=a, b=b)
    return deliver(np.multiply(a, b), a.dtype, out)


def divide(a: ArrayLike | float, b: ArrayLike | float, out: Array | None = None) -> Array:
    """a / b, as `numpy.divide`: x / 0 is an infinity of x's sign, 0 / 0 is NaN. Shapes broadcast.

    >>> divide(1.0, np.float32([2, 4]))
    array([0.5 , 0.25], dtype=float32)
    """
    a, b = reals(a=a, b=b)
    return deliver(np.divide(a, b), a.dtype, out)


def minimum(a: ArrayLike | float, b: ArrayLike | float, out: Array | None = None) -> Array:
    """The smaller of a and b, NaN where either is NaN, as `numpy.minimum`. Shapes broadcast.

    >>> minimum(np.float32([1, np.nan, 5]), 3.0)
    array([ 1., nan,  3.], dtype=float32)
    """
    a, b = reals(a=a, b=b)
    return deliver(np.minimum(a, b), a.dtype, out)


def maximum(a: ArrayLike | float, b: ArrayLike | float, out: Array | None = None) -> Array:
    """The larger of a and b, NaN where either is NaN, as `numpy.maximum`. Shapes broadcast.

    >>> maximum(np.float32([1, np.nan, 5]), 3.0)
    array([ 3., nan,  5.], dtype=float32)
    """
    a, b = reals(a=a, b=b)
    return deliver(np.maximum(a, b), a.dtype, out)


def power(a: ArrayLike | float, b: ArrayLike | float, out: Array | None = None) -> Array:
    """a to the power b, as `numpy.power` (C's pow): NaN for a negative a and a b that is no integer. Shapes broadcast.

    >>> power(np.float32([2, 3, -2]), 3.0)
    array([ 8., 27., -8.], dtype=float32)
    """
    a, b = reals(a=a, b=b)
    return deliver(np.power(wide(a), wide(b)), a.dtype, out)


def scale(x: ArrayLike, alpha: float, out: Array | None = None) -> Array:
    """alpha * x, alpha rounded to x's type first (BLAS scal).

    >>> scale(np.float32([1, 2]), 0.5)
    array([0.5, 1. ], dtype=float32)
    """
    x, factor = reals(x=x, alpha=alpha)
    return deliver(factor * x, x.dtype, out)


def axpy(alpha: float, x: ArrayLike, y: ArrayLike, out: Array | None = None) -> Array:
    """alpha * x + y, rounded once (BLAS axpy, into a new array). x and y broadcast.

    >>> axpy(2.0, np.float32([1, 2]), np.float32([10, 20]))
    array([12., 24.], dtype=float32)
    """
    factor, x, y = reals(alpha=alpha, x=x, y=y)
    return deliver(_fused(factor, x, y), x.dtype, out)


def fma(a: ArrayLike | float, b: ArrayLike | float, c: ArrayLike | float, out: Array | None = None) -> Array:
    """a * b + c, rounded once (IEEE 754 fusedMultiplyAdd). Shapes broadcast.

    >>> tiny = np.float32(2.0**-12)
    >>> fma(1 + tiny, np.asarray(1 + tiny), -(1 + 2 * tiny))    # the product alone would round this to 0
    np.float32(5.9604645e-08)
    """
    a, b, c = reals(a=a, b=b, c=c)
    return deliver(_fused(a, b, c), a.dtype, out)


def _fused(a: Array, b: Array, c: Array) -> Array:
    if a.dtype != FLOAT32:
        with np.errstate(all="ignore"):
            exact: Array = np.vectorize(_fused_exactly, otypes=[np.float64])(a, b, c)
        return exact
    # The product of two float32 is exact in float64, the sum is not: round it to odd, so that rounding to float32
    # afterwards is the only rounding (Boldo and Melquiond, Emulation of FMA and correctly rounded sums, 2008).
    product = wide(a) * wide(b)
    product, addend = np.broadcast_arrays(product, wide(c))
    total = np.asarray(product + addend)
    back = total - product
    error = (product - (total - back)) + (addend - back)  # Knuth's two-sum: total + error is the exact sum
    is_even = (total.view(np.int64) & 1) == 0
    is_inexact = np.isfinite(error) & (error != 0)
    neighbour = np.nextafter(total, np.where(error > 0, np.inf, -np.inf))
    return np.where(is_inexact & is_even, neighbour, total)


def _fused_exactly(a: float, b: float, c: float) -> float:
    if not (math.isfinite(a) and math.isfinite(b)):
        return a * b + c
    if not math.isfinite(c):
        return c  # a finite product changes nothing, however large
    total = Fraction(a) * Fraction(b) + Fraction(c)
    if total == 0:
        return a * b + c  # for the sign of zero
    try:
        return float(total)
    except OverflowError:
        return math.inf if total > 0 else -math.inf


def exp(x: ArrayLike, out: Array | None = None) -> Array:
    """e to the power x, as `numpy.exp`.

    >>> exp(np.float32([0, 1]))
    array([1.       , 2.7182817], dtype=float32)
    """
    x = real("x", x)
    return deliver(np.exp(wide(x)), x.dtype, out)


def log(x: ArrayLike, out: Array | None = None) -> Array:
    """The natural logarithm, as `numpy.log`: -inf at 0, NaN below.

    >>> log(np.float32([1, 10]))
    array([0.       , 2.3025851], dtype=float32)
    """
    x = real("x", x)
    return deliver(np.log(wide(x)), x.dtype, out)


def log2(x: ArrayLike, out: Array | None = None) -> Array:
    """The logarithm to base 2, as `numpy.log2`: exact for powers of two, -inf at 0, NaN below.

    >>> log2(np.float32([1, 1024]))
    array([ 0., 10.], dtype=float32)
    """
    x = real("x", x)
    return deliver(np.log2(wide(x)), x.dtype, out)


def sqrt(x: ArrayLike, out: Array | None = None) -> Array:
    """The square root, correctly rounded, as `numpy.sqrt`: NaN below 0.

    >>> sqrt(np.float32([4, 2]))
    array([2.       , 1.4142135], dtype=float32)
    """
    x = real("x", x)
    return deliver(np.sqrt(x), x.dtype, out)


def reciprocal(x: ArrayLike, out: Array | None = None) -> Array:
    """1 / x, correctly rounded, as `numpy.reciprocal`.

    >>> reciprocal(np.float32([2, 5]))
    array([0.5, 0.2], dtype=float32)
    """
    x = real("x", x)
    return deliver(np.divide(x.dtype.type(1), x), x.dtype, out)


def sin(x: ArrayLike, out: Array | None = None) -> Array:
    """The sine of x in radians, as `numpy.sin`, for any finite x; NaN at the infinities.

    >>> sin(np.float32([0, 1]))
    array([0.        , 0.84147096], dtype=float32)
    """
    x = real("x", x)
    return deliver(np.sin(wide(x)), x.dtype, out)


def cos(x: ArrayLike, out: Array | None = None) -> Array:
    """The cosine of x in radians, as `numpy.cos`, for any finite x; NaN at the infinities.

    >>> cos(np.float32([0, 1]))
    array([1.       , 0.5403023], dtype=float32)
    """
    x = real("x", x)
    return deliver(np.cos(wide(x)), x.dtype, out)


def erf(x: ArrayLike, out: Array | None = None) -> Array:
    """The error function 2/√π ∫₀ˣ exp(-t²) dt, as `math.erf` and `torch.erf`.

    >>> erf(np.float32([0, 1]))
    array([0.       , 0.8427008], dtype=float32)
    """
    x = real("x", x)
    # NumPy has no erf; the C library's, element by element, is within an ulp of float64.
    return deliver(np.vectorize(math.erf, otypes=[np.float64])(x), x.dtype, out)


def erf_backward(grad: ArrayLike, x: ArrayLike, out: Array | None = None) -> Array:
    """The gradient of `erf` at x: grad · 2/√π · exp(-x²). grad and x of one shape.

    >>> erf_backward(np.float32([1]), np.float32([0]))
    array([1.1283792], dtype=float32)
    """
    grad, x = same_shape(grad=grad, x=x)
    z = wide(x)
    slope = 2 / np.sqrt(PI.astype(z.dtype)) * np.exp(-z * z)
    return deliver(wide(grad) * slope, x.dtype, out)


def clip(x: ArrayLike, low: float, high: float, out: Array | None = None) -> Array:
    """min(max(x, low), high), as `numpy.clip`: NaN stays NaN. low and high are rounded to x's type first.

    >>> clip(np.float32([-3, 0.5, 3]), -1.0, 1.0)
    array([-1. ,  0.5,  1. ], dtype=float32)
    """
    x, smallest, largest = reals(x=x, low=low, high=high)
    return deliver(np.minimum(np.maximum(x, smallest), largest), x.dtype, out)


def clip_backward(grad: ArrayLike, x: ArrayLike, low: float, high: float, out: Array | None = None) -> Array:
    """The gradient of `clip` at x: grad where low <= x <= high, else 0, as `torch.clamp`. grad and x of one shape.

    >>> clip_backward(np.float32([5, 6, 7]), np.float32([-3, 1, 3]), -1.0, 1.0)
    array([0., 6., 0.], dtype=float32)
    """
    grad, x = same_shape(grad=grad, x=x)
    x, smallest, largest = reals(x=x, low=low, high=high)
    return deliver(np.where((x >= smallest) & (x <= largest), grad, 0), x.dtype, out)
