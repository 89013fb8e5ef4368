"""Distances between points, and their gradients: Euclidean, in the Poincaré ball of curvature -c, on the sphere.

`x` and `y` are float32 or float64 of one type (else `DTypeError`) and of one shape (..., n), or one is a point (n,)
to which all others are measured (else `ShapeError`). c is positive and finite (else `ValueError`).

Points outside the ball and vectors of length 0 are a `ValueError`, unless outside="inf" or zero="allow" wants a result.
Both points' coordinates count as exact: 1 - c|x|² is what it is, however near 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from odyssey.errors import ShapeError, describe, explain
from odyssey.reference._arrays import deliver, real, reals, rounded, wide
from odyssey.typing import Array, ArrayLike

Slopes = tuple[Array, Array]


def euclidean_distance(x: ArrayLike, y: ArrayLike, out: Array | None = None) -> Array:
    """|x - y| along the last axis.

    >>> euclidean_distance(np.float32([[3, 4], [0, 0]]), np.float32([0, 0]))
    array([5., 0.], dtype=float32)
    """
    x, y = _points("euclidean_distance", x, y)
    return deliver(_length(_minus(x, y)), x.dtype, out)


def euclidean_distance_backward(grad: ArrayLike, x: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
    """grad (x - y) / |x - y| and its negative; 0 where x is y. A single point's is summed.

    >>> euclidean_distance_backward(np.float32(1), np.float32([3, 4]), np.float32([0, 0]))[0]
    array([0.6, 0.8], dtype=float32)
    """
    return _backward("euclidean_distance_backward", grad, x, y, _euclidean_slopes)


def poincare_distance(
    x: ArrayLike, y: ArrayLike, c: float = 1.0, outside: str = "raise", out: Array | None = None
) -> Array:
    """2/√c asinh(√c|x-y| / √((1-c|x|²)(1-c|y|²))); with outside="inf" infinite where a point is not inside.

    >>> poincare_distance(np.array([0.0, 0.5]), np.array([0.0, 0.0]))
    np.float64(1.0986122886681098)
    """
    x, y = _points("poincare_distance", x, y)
    k = _curvature(c, x)
    gap_x, gap_y = _gap(x, k, outside, "x"), _gap(y, k, outside, "y")
    return deliver(_poincare(_length(_minus(x, y)), gap_x, gap_y, k), x.dtype, out)


def poincare_distance_backward(
    grad: ArrayLike, x: ArrayLike, y: ArrayLike, c: float = 1.0, outside: str = "raise"
) -> tuple[Array, Array]:
    """With s = |x-y|², A = 1-c|x|², B = 1-c|y|²: 2 grad/√(s(AB + cs)) · (x - y + cs/A x), the same of y; 0 where x is y
    or one is outside. Euclidean gradients.

    >>> poincare_distance_backward(np.array(1.0), np.array([0.0, 0.5]), np.array([0.0, 0.0]))[0]
    array([0.        , 2.66666667])
    """
    x, y = _points("poincare_distance_backward", x, y)
    k = _curvature(c, x)
    gaps = _gap(x, k, outside, "x"), _gap(y, k, outside, "y")
    return _backward("poincare_distance_backward", grad, x, y, lambda a, b: _poincare_slopes(a, b, *gaps, k))


def spherical_distance(x: ArrayLike, y: ArrayLike, zero: str = "raise", out: Array | None = None) -> Array:
    """2 atan2(|x/|x| - y/|y||, |x/|x| + y/|y||); with zero="allow" a vector of length 0 is at π/2 to any other, at 0 to
    its like.

    >>> spherical_distance(np.float32([[1, 0], [0, 2]]), np.float32([3, 0]))
    array([0.       , 1.5707964], dtype=float32)
    """
    x, y = _points("spherical_distance", x, y)
    ex, ey = _direction(x, zero, "x"), _direction(y, zero, "y")
    return deliver(2 * np.arctan2(_length(ex - ey), _length(ex + ey)), x.dtype, out)


def spherical_distance_backward(
    grad: ArrayLike, x: ArrayLike, y: ArrayLike, zero: str = "raise"
) -> tuple[Array, Array]:
    """grad (cos x/|x| - y/|y|) / (|x| sin), and the same of y; 0 where the angle is 0 or π, or a vector has length 0.

    >>> spherical_distance_backward(np.float32(1), np.float32([2, 0]), np.float32([0, 1]))[0]
    array([ 0. , -0.5], dtype=float32)
    """
    x, y = _points("spherical_distance_backward", x, y)
    directions = _direction(x, zero, "x"), _direction(y, zero, "y")
    return _backward("spherical_distance_backward", grad, x, y, lambda a, b: _spherical_slopes(a, b, *directions))


def pairwise_distance(
    x: ArrayLike,
    y: ArrayLike | None = None,
    metric: str = "euclidean",
    c: float = 1.0,
    outside: str = "raise",
    zero: str = "raise",
    out: Array | None = None,
) -> Array:
    """The distance of every row of x, (m, n), to every row of y, (k, n), by default x: (m, k).

    >>> pairwise_distance(np.float32([[0, 0], [3, 4]]))
    array([[0., 5.],
           [5., 0.]], dtype=float32)
    """
    x, y = _pairs("pairwise_distance", x, x if y is None else y)
    options = _options(metric, c, outside, zero)
    rows = [_BY_METRIC[metric](row, y, **options) for row in x]
    return deliver(np.stack(rows) if rows else np.empty((0, len(y))), x.dtype, out)


def pairwise_distance_backward(
    grad: ArrayLike,
    x: ArrayLike,
    y: ArrayLike | None = None,
    metric: str = "euclidean",
    c: float = 1.0,
    outside: str = "raise",
    zero: str = "raise",
) -> tuple[Array, Array | None]:
    """The gradients of x and y, summed over their pairs; without y, x's with both its parts, and None.

    >>> pairwise_distance_backward(np.float32([[1]]), np.float32([[3, 4]]), np.float32([[0, 0]]))[0]
    array([[0.6, 0.8]], dtype=float32)
    """
    given = x if y is None else y
    (grad,) = reals(grad=grad)
    x, other = _pairs("pairwise_distance_backward", x, given)
    if grad.shape != (len(x), len(other)):
        raise ShapeError(explain("pairwise_distance_backward: grad must be (m, k)", describe(grad=grad, x=x, y=other)))
    reals(grad=grad, x=x)
    options = _options(metric, c, outside, zero)
    slopes = _SLOPES[metric]
    sums = [np.zeros(wide(x).shape, wide(x).dtype), np.zeros(wide(other).shape, wide(other).dtype)]
    for i, row in enumerate(x):
        a, b = np.broadcast_arrays(row, other)
        d_row, d_other = slopes(a, b, **options)
        g = wide(grad[i])[:, np.newaxis]
        sums[0][i] = np.sum(g * d_row, axis=0)
        sums[1] += g * d_other
    if y is None:
        return deliver(sums[0] + sums[1], x.dtype, None), None
    return deliver(sums[0], x.dtype, None), deliver(sums[1], x.dtype, None)


# ---- what they are made of -------------------------------------------------------------------------------------------


def _points(op: str, x: Any, y: Any) -> list[Array]:
    x, y = reals(x=real("x", x), y=real("y", y))
    fits = x.ndim > 0 and y.ndim > 0 and x.shape[-1] == y.shape[-1]
    if not fits or not (x.shape == y.shape or x.ndim == 1 or y.ndim == 1):
        raise ShapeError(
            explain(f"{op}: x and y must be of one shape (..., n), or one of them a point (n,)", describe(x=x, y=y))
        )
    return [x, y]


def _pairs(op: str, x: Any, y: Any) -> list[Array]:
    x, y = reals(x=real("x", x), y=real("y", y))
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
        raise ShapeError(explain(f"{op}: x must be (m, n) and y (k, n)", describe(x=x, y=y)))
    return [x, y]


def _options(metric: str, c: float, outside: str, zero: str) -> dict[str, Any]:
    if metric not in _BY_METRIC:
        raise ValueError(f"metric must be one of {', '.join(map(repr, _BY_METRIC))}; found {metric!r}")
    if metric == "euclidean":
        return {}
    return {"c": c, "outside": outside} if metric == "poincare" else {"zero": zero}


def _minus(x: Array, y: Array) -> Array:
    return np.asarray(wide(x) - wide(y))


def _length(v: Array) -> Array:
    """Along the last axis, scaled, so that squares neither overflow nor vanish."""
    largest = np.max(np.abs(v), axis=-1, keepdims=True, initial=0)
    scale = np.where((largest > 0) & np.isfinite(largest), largest, 1)
    return np.asarray(np.sqrt(np.sum((v / scale) ** 2, axis=-1)) * scale[..., 0])


def _curvature(c: float, x: Array) -> Any:
    with np.errstate(over="ignore", under="ignore"):
        k = rounded(float(c), x)
    if not (k > 0 and math.isfinite(k)):
        raise ValueError(f"the curvature is -c, and c must be positive and finite; found c = {c!r}")
    return k


def _gap(x: Array, k: Any, outside: str, name: str) -> Array:
    """1 - c|x|²; where that is not positive 0, or a ValueError."""
    if outside not in ("raise", "inf"):
        raise ValueError(f"outside must be 'raise' or 'inf', found {outside!r}")
    # A float's square is exact in float64, a double's in long double nearly so: what 1 takes from the sum is small.
    gap = np.asarray(1 - k * np.sum(wide(x) ** 2, axis=-1))
    if outside == "raise" and np.any(gap <= 0):
        raise ValueError(f"points must lie inside the ball, c|x|² < 1; {name} has {np.max(1 - gap):.9g}")
    return np.where(gap <= 0, 0, gap)


def _poincare(distance: Array, gap_x: Array, gap_y: Array, k: Any) -> Array:
    product = gap_x * gap_y
    inside = product != 0
    z = np.sqrt(k) * distance / np.sqrt(np.where(inside, product, 1))
    return np.where(inside, 2 / np.sqrt(k) * np.arcsinh(z), np.inf)


def _direction(x: Array, zero: str, name: str) -> Array:
    if zero not in ("raise", "allow"):
        raise ValueError(f"zero must be 'raise' or 'allow', found {zero!r}")
    length = _length(wide(x))[..., np.newaxis]
    if zero == "raise" and np.any(length == 0):
        raise ValueError(f"a vector of length 0 has no direction; {name} has {np.count_nonzero(length == 0)}")
    return np.asarray(wide(x) / np.where(length == 0, 1, length))


def _euclidean_slopes(x: Array, y: Array) -> Slopes:
    difference = _minus(x, y)
    length = _length(difference)[..., np.newaxis]
    slope = difference / np.where(length == 0, 1, length)
    return slope, -slope


def _poincare_slopes(x: Array, y: Array, gap_x: Array, gap_y: Array, k: Any) -> Slopes:
    difference, length = _minus(x, y), _length(_minus(x, y))
    bent, product = k * length**2, gap_x * gap_y
    some = (length != 0) & (product != 0)
    factor = np.where(some, 2 / np.where(some, length * np.sqrt(product + bent), 1), 0)[..., np.newaxis]
    own_x = (bent / np.where(gap_x == 0, 1, gap_x))[..., np.newaxis] * wide(x)
    own_y = (bent / np.where(gap_y == 0, 1, gap_y))[..., np.newaxis] * wide(y)
    return factor * (difference + own_x), factor * (own_y - difference)


def _spherical_slopes(x: Array, y: Array, ex: Array, ey: Array) -> Slopes:
    minus, plus = _length(ex - ey)[..., np.newaxis], _length(ex + ey)[..., np.newaxis]
    sine = minus * plus / 2
    lengths = _length(wide(x))[..., np.newaxis], _length(wide(y))[..., np.newaxis]
    none = (sine == 0) | (lengths[0] == 0) | (lengths[1] == 0)
    # cos ex - ey and cos ey - ex, each from what does not cancel.
    acute = minus <= plus
    of_x = np.where(acute, (ex - ey) - minus**2 / 2 * ex, plus**2 / 2 * ex - (ex + ey))
    of_y = np.where(acute, (ey - ex) - minus**2 / 2 * ey, plus**2 / 2 * ey - (ex + ey))
    sine = np.where(none, 1, sine)
    return (
        np.where(none, 0, of_x / (np.where(none, 1, lengths[0]) * sine)),
        np.where(none, 0, of_y / (np.where(none, 1, lengths[1]) * sine)),
    )


def _backward(
    op: str, grad: ArrayLike, x: Any, y: Any, slopes: Callable[[Array, Array], Slopes]
) -> tuple[Array, Array]:
    x, y = _points(op, x, y)
    shape = np.broadcast_shapes(x.shape, y.shape)
    (grad, x) = reals(grad=real("grad", grad), x=x)
    if grad.shape != shape[:-1]:
        raise ShapeError(explain(f"{op}: grad must be {shape[:-1]}", describe(grad=grad, x=x, y=y)))
    each = [wide(grad)[..., np.newaxis] * slope for slope in slopes(x, y)]
    dx, dy = (
        np.sum(term, axis=tuple(range(term.ndim - 1))) if point.ndim == 1 and term.ndim > 1 else term
        for point, term in zip((x, y), each, strict=True)
    )
    return deliver(dx, x.dtype, None), deliver(dy, x.dtype, None)


def _all_euclidean_slopes(x: Array, y: Array) -> Slopes:
    return _euclidean_slopes(x, y)


def _all_poincare_slopes(x: Array, y: Array, c: float, outside: str) -> Slopes:
    k = _curvature(c, x)
    return _poincare_slopes(x, y, _gap(x, k, outside, "x"), _gap(y, k, outside, "y"), k)


def _all_spherical_slopes(x: Array, y: Array, zero: str) -> Slopes:
    return _spherical_slopes(x, y, _direction(x, zero, "x"), _direction(y, zero, "y"))


_BY_METRIC: dict[str, Callable[..., Array]] = {
    "euclidean": euclidean_distance,
    "poincare": poincare_distance,
    "spherical": spherical_distance,
}
_SLOPES: dict[str, Callable[..., Slopes]] = {
    "euclidean": _all_euclidean_slopes,
    "poincare": _all_poincare_slopes,
    "spherical": _all_spherical_slopes,
}
