"""Maps of the Poincaré ball, with gradients.

The forward is one kernel; the backward goes through the formula once more, on the tape, from the same points.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from odyssey.nn.functional._arguments import TensorLike, operand
from odyssey.nn.functional.elementwise import add, divide, fma, multiply, scale, sqrt, subtract
from odyssey.nn.functional.reductions import sum as sum_over
from odyssey.tensor import ops
from odyssey.tensor.tape import Array, Gradients, Node, enable_grad
from odyssey.tensor.tensor import Tensor, record

Formula = Callable[..., Tensor]


def mobius_add(x: TensorLike, y: TensorLike, c: float = 1.0) -> Tensor:
    """Möbius' sum of points of the ball of curvature -c."""
    return _mapped(ops.mobius_add, _mobius_add, (x, y), c)


def exp_map(x: TensorLike, v: TensorLike, c: float = 1.0) -> Tensor:
    """The point that the geodesic from x with velocity v reaches at time 1."""
    return _mapped(ops.exp_map, _exp_map, (x, v), c)


def log_map(x: TensorLike, y: TensorLike, c: float = 1.0) -> Tensor:
    """The velocity of the geodesic from x that is at y at time 1. Its gradient is not defined where x is y."""
    return _mapped(ops.log_map, _log_map, (x, y), c)


def project_to_ball(x: TensorLike, c: float = 1.0, eps: float = 1e-5) -> Tensor:
    """x, and what is longer than (1 - eps) / √c made so long."""
    return _mapped(lambda a, k: ops.project_to_ball(a, k, eps), lambda a, k: _project(a, k, eps), (x,), c)


def gyration(u: TensorLike, v: TensorLike, w: TensorLike, c: float = 1.0) -> Tensor:
    """gyr[u, v] w: what Möbius' sum lacks to be associative."""
    return _mapped(ops.gyration, _gyration, (u, v, w), c)


def parallel_transport(x: TensorLike, y: TensorLike, v: TensorLike, c: float = 1.0) -> Tensor:
    """The tangent vector v at x, carried along the geodesic to y."""
    return _mapped(ops.parallel_transport, _transport, (x, y, v), c)


def _mapped(kernel: Callable[..., Any], formula: Formula, given: tuple[TensorLike, ...], c: float) -> Tensor:
    arrays, edges = zip(*(operand(value) for value in given), strict=True)
    return record(kernel(*arrays, c), _mapped_backward, edges, (formula, arrays, c))


def _mapped_backward(grad: Array, node: Node) -> Gradients:
    formula, arrays, c = node.saved
    with enable_grad():
        given = zip(arrays, node.inputs, strict=True)
        points = [Tensor(array, requires_grad=edge is not None) for array, edge in given]
        formula(*points, c).backward(grad)
    return tuple(None if point.grad is None else point.grad for point in points)


# ---- the formulas ----------------------------------------------------------------------------------------------------


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return sum_over(multiply(a, b), -1, True)


def _gap(x: Tensor, c: float) -> Tensor:
    return subtract(1.0, scale(_dot(x, x), c))


def _sum(x: Tensor, y: Tensor, gap_x: Tensor, gap_y: Tensor, c: float) -> Tensor:
    both = add(x, y)
    bent = scale(_dot(both, both), c)
    return divide(add(multiply(gap_x, both), multiply(bent, x)), fma(gap_x, gap_y, bent))


def _mobius_add(x: Tensor, y: Tensor, c: float) -> Tensor:
    return _sum(x, y, _gap(x, c), _gap(y, c), c)


def _exp_map(x: Tensor, v: Tensor, c: float) -> Tensor:
    gap = _gap(x, c)
    t = divide(_length(v, c), gap)
    ratio = _tanh_ratio(t)
    step = divide(multiply(ratio, v), gap)
    moved = multiply(ratio, t)
    return _sum(x, step, gap, subtract(1.0, multiply(moved, moved)), c)


def _log_map(x: Tensor, y: Tensor, c: float) -> Tensor:
    gap_x, gap_y = _gap(x, c), _gap(y, c)
    apart = subtract(y, x)
    bent = scale(_dot(apart, apart), c)
    q = divide(bent, multiply(gap_x, gap_y))
    factor = divide(_asinh_ratio(q), multiply(gap_y, sqrt(add(1.0, q))))
    return multiply(factor, subtract(multiply(gap_x, apart), multiply(bent, x)))


def _project(x: Tensor, c: float, eps: float) -> Tensor:
    length = _length(x, c)
    outside = length.data > 1 - eps
    shrunk = divide(1 - eps, length)
    return multiply(x, add(multiply(shrunk, outside.astype(x.dtype)), np.asarray(~outside, x.dtype)))


def _gyration(u: Tensor, v: Tensor, w: Tensor, c: float) -> Tensor:
    both = add(u, v)
    below = fma(_gap(u, c), _gap(v, c), scale(_dot(both, both), c))
    uv, uw, vw = _dot(u, v), _dot(u, w), _dot(v, w)
    a = subtract(multiply(vw, add(1.0, scale(uv, 2 * c))), scale(multiply(uw, _dot(v, v)), c))
    b = add(uw, scale(multiply(vw, _dot(u, u)), c))
    return add(w, scale(divide(subtract(multiply(a, u), multiply(b, v)), below), 2 * c))


def _transport(x: Tensor, y: Tensor, v: Tensor, c: float) -> Tensor:
    return multiply(_gyration(y, scale(x, -1.0), v, c), divide(_gap(y, c), _gap(x, c)))


def _length(v: Tensor, c: float) -> Tensor:
    """√c|v|, and where v is 0 so little that nothing is divided by 0."""
    tiny = 1e-30 if v.dtype == np.float32 else 1e-200
    return scale(sqrt(add(_dot(v, v), tiny)), math.sqrt(c))


def _tanh_ratio(t: Tensor) -> Tensor:
    """tanh(t) / t for t > 0."""
    from odyssey.nn.functional.activations import tanh

    return divide(tanh(t), t)


def _asinh_ratio(q: Tensor) -> Tensor:
    """asinh(√q) / √q for q >= 0, with its slope 1 / (2 q) (1 / √(1 + q) - ratio); by the series where it cancels."""
    data = q.data
    near = data < 1e-2
    series = 1 + data * (-1 / 6 + data * (3 / 40 + data * (-15 / 336 + data * (105 / 3456 - data * 945 / 42240))))
    slope = -1 / 6 + data * (6 / 40 + data * (-45 / 336 + data * (420 / 3456 - data * 4725 / 42240)))
    with np.errstate(all="ignore"):
        root = np.sqrt(data)
        ratio = np.where(near, series, ops.log(np.ascontiguousarray(root + np.sqrt(1 + data))) / root).astype(q.dtype)
        steep = np.where(near, slope, (1 / np.sqrt(1 + data) - ratio) / (2 * data)).astype(q.dtype)
    return record(ratio, _ratio_backward, (q.node,), (steep,))


def _ratio_backward(grad: Array, node: Node) -> Gradients:
    (slope,) = node.saved
    return (ops.multiply(grad, slope),)
