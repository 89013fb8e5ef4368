"""Maps of the Poincaré ball of curvature -c, by the textbook's formulas.

Operands are float32 or float64 of one type (else `DTypeError`) and of one shape (..., n), or points (n,) (else
`ShapeError`); points must lie inside the ball, c|x|² < 1, and c be positive and finite (else `ValueError`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from odyssey.errors import ShapeError, describe, explain
from odyssey.reference._arrays import deliver, real, reals, rounded, wide
from odyssey.reference.geometry import _curvature
from odyssey.typing import Array, ArrayLike


def mobius_add(x: ArrayLike, y: ArrayLike, c: float = 1.0, out: Array | None = None) -> Array:
    """((1 + 2c⟨x,y⟩ + c|y|²) x + (1 - c|x|²) y) / (1 + 2c⟨x,y⟩ + c²|x|²|y|²).

    >>> mobius_add(np.array([0.5, 0.0]), np.array([0.5, 0.0]))
    array([0.8, 0. ])
    """
    (x, y), k = _points("mobius_add", c, ("x", "y"), x=x, y=y)
    return deliver(_add(wide(x), wide(y), k), x.dtype, out)


def exp_map(x: ArrayLike, v: ArrayLike, c: float = 1.0, out: Array | None = None) -> Array:
    """x ⊕ tanh(√c|v| / (1 - c|x|²)) v / (√c|v|).

    >>> exp_map(np.array([0.0, 0.0]), np.array([1.0, 0.0]))
    array([0.76159416, 0.        ])
    """
    (x, v), k = _points("exp_map", c, ("x",), x=x, v=v)
    length = np.sqrt(k * _dot(wide(v), wide(v)))
    t = length / (1 - k * _dot(wide(x), wide(x)))
    step = np.tanh(t) / np.where(length == 0, 1, length) * wide(v)
    return deliver(_add(np.broadcast_to(wide(x), step.shape), step, k), x.dtype, out)


def log_map(x: ArrayLike, y: ArrayLike, c: float = 1.0, out: Array | None = None) -> Array:
    """(1 - c|x|²)/√c artanh(√c|z|) z/|z|, z = -x ⊕ y.

    >>> log_map(np.array([0.0]), np.array([0.5]))
    array([0.54930614])
    """
    (x, y), k = _points("log_map", c, ("x", "y"), x=x, y=y)
    z = _add(-wide(x), wide(y), k)
    length = np.sqrt(k * _dot(z, z))
    factor = (1 - k * _dot(wide(x), wide(x))) * np.arctanh(length) / np.where(length == 0, 1, length)
    return deliver(factor * z, x.dtype, out)


def project_to_ball(x: ArrayLike, c: float = 1.0, eps: float = 1e-5, out: Array | None = None) -> Array:
    """x, or where √c|x| > 1 - eps, x (1 - eps) / (√c|x|).

    >>> project_to_ball(np.array([[3.0, 4.0], [0.3, 0.4]]), eps=0.5)
    array([[0.3, 0.4],
           [0.3, 0.4]])
    """
    if not 0 < eps < 1:
        raise ValueError(f"eps must lie in (0, 1), found {eps!r}")
    (x,), k = _points("project_to_ball", c, (), x=x)
    most = rounded(1 - eps, x)
    length = np.sqrt(k) * np.sqrt(_dot(wide(x), wide(x)))
    return deliver(np.where(length > most, most / np.where(length == 0, 1, length), 1) * wide(x), x.dtype, out)


def gyration(u: ArrayLike, v: ArrayLike, w: ArrayLike, c: float = 1.0, out: Array | None = None) -> Array:
    """gyr[u, v] w = ⊖(u ⊕ v) ⊕ (u ⊕ (v ⊕ w)), which is linear in w: w + 2 (a u + b v) / d with
    a = -c²⟨u,w⟩|v|² + c⟨v,w⟩ + 2c²⟨u,v⟩⟨v,w⟩, b = -c²⟨v,w⟩|u|² - c⟨u,w⟩, d = 1 + 2c⟨u,v⟩ + c²|u|²|v|².

    >>> gyration(np.array([0.5, 0.0]), np.array([0.0, 0.5]), np.array([1.0, 0.0]))
    array([ 0.88235294, -0.47058824])
    """
    (u, v, w), k = _points("gyration", c, ("u", "v"), u=u, v=v, w=w)
    return deliver(_gyration(wide(u), wide(v), wide(w), k), u.dtype, out)


def parallel_transport(x: ArrayLike, y: ArrayLike, v: ArrayLike, c: float = 1.0, out: Array | None = None) -> Array:
    """gyr[y, -x] v (1 - c|y|²) / (1 - c|x|²).

    >>> parallel_transport(np.array([0.0, 0.0]), np.array([0.5, 0.0]), np.array([0.0, 1.0]))
    array([0.  , 0.75])
    """
    (x, y, v), k = _points("parallel_transport", c, ("x", "y"), x=x, y=y, v=v)
    factor = (1 - k * _dot(wide(y), wide(y))) / (1 - k * _dot(wide(x), wide(x)))
    return deliver(factor * _gyration(wide(y), -wide(x), wide(v), k), x.dtype, out)


def _points(op: str, c: float, inside: tuple[str, ...], **given: Any) -> tuple[list[Array], Any]:
    arrays = reals(**{name: real(name, value) for name, value in given.items()})
    longest = max(arrays, key=np.ndim).shape
    for array in arrays:
        if not longest or array.shape not in (longest, longest[-1:]):
            named = dict(zip(given, arrays, strict=True))
            what = f"{op}: operands must be of one shape (..., n), or points (n,)"
            raise ShapeError(explain(what, describe(**named)))
    k = _curvature(c, arrays[0])
    for name, array in zip(given, arrays, strict=True):
        # Where there is no result, nobody has looked at a point.
        if 0 not in longest and name in inside and np.any(k * _dot(wide(array), wide(array)) >= 1):
            raise ValueError(f"{op}: points must lie inside the ball, c|x|² < 1; {name} does not")
    return arrays, k


def _dot(a: Array, b: Array) -> Array:
    return np.asarray(np.sum(a * b, axis=-1, keepdims=True))


def _add(x: Array, y: Array, k: Any) -> Array:
    xx, xy, yy = _dot(x, x), _dot(x, y), _dot(y, y)
    return np.asarray(((1 + 2 * k * xy + k * yy) * x + (1 - k * xx) * y) / (1 + 2 * k * xy + k * k * xx * yy))


def _gyration(u: Array, v: Array, w: Array, k: Any) -> Array:
    uu, vv, uv, uw, vw = _dot(u, u), _dot(v, v), _dot(u, v), _dot(u, w), _dot(v, w)
    a = -k * k * uw * vv + k * vw + 2 * k * k * uv * vw
    b = -k * k * vw * uu - k * uw
    return np.asarray(w + 2 * (a * u + b * v) / (1 + 2 * k * uv + k * k * uu * vv))
