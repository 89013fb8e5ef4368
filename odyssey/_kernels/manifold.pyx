"""Maps of the Poincare ball: Moebius' sum, exponential and logarithm, projection, gyration, transport."""
from libc.stddef cimport ptrdiff_t, size_t
from numpy cimport (NPY_FLOAT, PyArray_CopyInto, PyArray_DATA, PyArray_DIMS, PyArray_ITEMSIZE, PyArray_NDIM, PyArray_SIZE,
                    ndarray, npy_intp)
cimport numpy as cnp

from odyssey._kernels.array cimport (as_array, check_disjoint, checked_out, contiguous, describe, new_array, new_like,
                                     real_type, row_contiguous, same_type)
from odyssey._kernels.dispatch cimport K
from odyssey._kernels.geometry cimport checked_curvature, clear, run
from odyssey._kernels.kernels cimport ody_rows, ody_rows_fn

import math

import numpy as np

from odyssey.errors import ShapeError

cnp.import_array()


cdef int check_inside(list points, list names, double c, const char *op) except -1:
    """ValueError for the first point that is not inside the ball."""
    for name, x in zip(names, points):
        gaps = 1 - c * np.sum(np.square(x, dtype=np.float64), axis=x.ndim - 1)
        bad = np.flatnonzero(gaps <= np.finfo(x.dtype).tiny)
        if bad.size:
            row = np.unravel_index(bad[0], gaps.shape)
            raise ValueError(
                f"{op.decode()}: points must lie inside the ball, sqrt(c) |x| < 1; "
                f"{name}{list(map(int, row)) if row else ''} has {math.sqrt(max(0.0, 1 - float(gaps[row]))):.9g}\n"
                f"  {name}: {describe(x)}    c: {c!r}    {bad.size} outside\n"
                f"  remedy: od.project_to_ball({name}, c) moves them inside")
    return 0


cdef object mapped(const char *op, ody_rows_fn f32, ody_rows_fn f64, list names, list given, object c, double option,
                   object inside, object out):
    """A kernel over rows of the operands, which are of one shape, or points for all rows; `inside`: the places of those
    that must lie in the ball."""
    cdef ndarray first = as_array(given[0], op), x, longest, result, target, gaps
    cdef int type_num = real_type(first, op, names[0]), i, last
    cdef ody_rows r
    cdef ptrdiff_t step
    cdef double curvature = checked_curvature(c, type_num, op)
    cdef list operands = [first], held = []
    for i in range(1, len(given)):
        x = as_array(given[i], op)
        same_type(x, type_num, op, names[i])
        operands.append(x)
    longest = max(operands, key=np.ndim)
    last = PyArray_NDIM(longest) - 1
    for x in operands:
        if last < 0 or PyArray_NDIM(x) == 0 or (PyArray_NDIM(x) > 1 or last == 0) and (<object> x).shape != (<object> longest).shape \
                or PyArray_DIMS(x)[PyArray_NDIM(x) - 1] != PyArray_DIMS(longest)[last]:
            raise ShapeError(f"{op.decode()}: {', '.join(names)} must be of one shape (..., n), or points (n,)\n  "
                             + "    ".join([f"{name}: {describe(each)}" for name, each in zip(names, operands)]))
    if out is None:
        result = target = new_like(longest, type_num)
    else:
        result = target = checked_out(out, last + 1, PyArray_DIMS(longest), type_num, op)
        for i in range(len(operands)):
            check_disjoint(result, operands[i], op, names[i])
        if not cnp.PyArray_ISCARRAY(result):
            target = new_like(longest, type_num)
    clear(&r)
    r.n = <size_t> PyArray_DIMS(longest)[last]
    gaps = new_array(last, PyArray_DIMS(longest), type_num)
    r.rows = <size_t> PyArray_SIZE(gaps)
    for i in range(len(operands)):
        x = operands[i]
        if PyArray_NDIM(x) <= last:
            x = contiguous(x)
            step = 0
        else:
            x = row_contiguous(x, &step)
        held.append(x)
        r.in_[i] = PyArray_DATA(x)
        r.in_step[i] = step
    r.out[0] = PyArray_DATA(target)
    r.out_step[0] = <ptrdiff_t> (r.n * <size_t> PyArray_ITEMSIZE(longest))
    r.out[1] = PyArray_DATA(gaps)
    r.out_step[1] = PyArray_ITEMSIZE(gaps)
    r.param[0] = curvature
    r.param[1] = option
    run(op, f32 if type_num == NPY_FLOAT else f64, &r)
    if inside and np.any(gaps <= 0):
        check_inside([operands[i] for i in inside], [names[i] for i in inside], curvature, op)
    if target is not result:
        PyArray_CopyInto(result, target)
    return result if out is None else out


def mobius_add(x: ArrayLike, y: ArrayLike, c: float = 1.0, out: Array | None = None) -> Array:
    """Moebius' sum in the Poincare ball of curvature -c:
    ((1 + 2c<x,y> + c|y|^2) x + (1 - c|x|^2) y) / (1 + 2c<x,y> + c^2 |x|^2 |y|^2).

    Args:
        x, y: float32 or float64, points of the ball: of one shape (..., n), or one of them a point (n,). The sum is
            neither commutative nor associative; `gyration` is what that takes.
        c: positive; the ball has the radius 1 / sqrt(c).
        out: (..., n), where to write; may not overlap x or y.

    Returns:
        `out`, or a new array. A sum may round onto the boundary: `project_to_ball` before it is used as a point.

    Ungar, Analytic Hyperbolic Geometry (2005); Ganea, Becigneul, Hofmann, Hyperbolic Neural Networks (2018).

    Raises:
        ValueError: for a point outside, or c that is not positive.
        ShapeError, DTypeError, LayoutError: for arrays that do not fit.

    >>> od.mobius_add(np.array([0.5, 0.0]), np.array([0.5, 0.0]))
    array([0.8, 0. ])
    """
    return mapped("mobius_add", K.mobius_add_f32, K.mobius_add_f64, ["x", "y"], [x, y], c, 0, (0, 1), out)


def exp_map(x: ArrayLike, v: ArrayLike, c: float = 1.0, out: Array | None = None) -> Array:
    """The point that the geodesic from x with velocity v reaches at time 1: x + tanh(t) v / (sqrt(c)|v|) in Moebius' sense,
    t = sqrt(c) |v| / (1 - c|x|^2).

    Args:
        x: float32 or float64, points of the ball, (..., n) or (n,).
        v: tangent vectors at x, of x's shape, or (n,). |v| in coordinates; its length at x is 2|v| / (1 - c|x|^2).
        c: positive; the ball has the radius 1 / sqrt(c).
        out: (..., n), where to write; may not overlap x or v.

    Returns:
        `out`, or a new array. A far point may round onto the boundary: `project_to_ball` before it is used as a point.

    Raises:
        ValueError: for a point outside, or c that is not positive.
        ShapeError, DTypeError, LayoutError: for arrays that do not fit.

    >>> od.exp_map(np.array([0.0, 0.0]), np.array([1.0, 0.0]))  # tanh(1)
    array([0.76159416, 0.        ])
    """
    return mapped("exp_map", K.exp_map_f32, K.exp_map_f64, ["x", "v"], [x, v], c, 0, (0,), out)


def log_map(x: ArrayLike, y: ArrayLike, c: float = 1.0, out: Array | None = None) -> Array:
    """The velocity of the geodesic from x that is at y at time 1, the inverse of `exp_map`; its length at x is the
    distance.

    Args:
        x, y: float32 or float64, points of the ball: of one shape (..., n), or one of them a point (n,).
        c: positive; the ball has the radius 1 / sqrt(c).
        out: (..., n), where to write; may not overlap x or y.

    Returns:
        `out`, or a new array. Near points keep their digits.

    Raises:
        ValueError: for a point outside, or c that is not positive.
        ShapeError, DTypeError, LayoutError: for arrays that do not fit.

    >>> od.log_map(np.array([0.0]), np.array([0.5]))  # artanh(1/2)
    array([0.54930614])
    """
    return mapped("log_map", K.log_map_f32, K.log_map_f64, ["x", "y"], [x, y], c, 0, (0, 1), out)


def project_to_ball(x: ArrayLike, c: float = 1.0, eps: float = 1e-5, out: Array | None = None) -> Array:
    """x, and what is longer than (1 - eps) / sqrt(c) made so long: inside the ball of curvature -c, at a margin.

    Args:
        x: (..., n), float32 or float64. Finite: infinities give NaN.
        c: positive; the ball has the radius 1 / sqrt(c).
        eps: in (0, 1); 1e-5 leaves float32 some digits of 1 - c|x|^2.
        out: (..., n), where to write; may not overlap x.

    Raises:
        ValueError: for c that is not positive, or eps outside (0, 1).
        ShapeError, DTypeError, LayoutError: for arrays that do not fit.

    >>> od.project_to_ball(np.array([[3.0, 4.0], [0.3, 0.4]]), eps=0.5)
    array([[0.3, 0.4],
           [0.3, 0.4]])
    """
    if not 0 < eps < 1:
        raise ValueError(f"project_to_ball: eps must lie in (0, 1), found {eps!r}")
    return mapped("project_to_ball", K.project_to_ball_f32, K.project_to_ball_f64, ["x"], [x], c, 1 - eps, (), out)


def gyration(u: ArrayLike, v: ArrayLike, w: ArrayLike, c: float = 1.0, out: Array | None = None) -> Array:
    """gyr[u, v] w = -(u + v) + (u + (v + w)), sums and signs in Moebius' sense: a rotation of w.

    Args:
        u, v: float32 or float64, points of the ball, (..., n) or (n,).
        w: vectors, of the same shape, or (n,).
        c: positive; the ball has the radius 1 / sqrt(c).
        out: (..., n), where to write; may not overlap u, v or w.

    Raises:
        ValueError: for a point outside, or c that is not positive.
        ShapeError, DTypeError, LayoutError: for arrays that do not fit.

    >>> od.gyration(np.array([0.5, 0.0]), np.array([0.0, 0.5]), np.array([1.0, 0.0]))
    array([ 0.88235294, -0.47058824])
    """
    return mapped("gyration", K.gyration_f32, K.gyration_f64, ["u", "v", "w"], [u, v, w], c, 0, (0, 1), out)


def parallel_transport(x: ArrayLike, y: ArrayLike, v: ArrayLike, c: float = 1.0, out: Array | None = None) -> Array:
    """The tangent vector v at x, carried along the geodesic to y: gyr[y, -x] v times (1 - c|y|^2) / (1 - c|x|^2).

    Args:
        x, y: float32 or float64, points of the ball, (..., n) or (n,).
        v: tangent vectors at x, of the same shape, or (n,).
        c: positive; the ball has the radius 1 / sqrt(c).
        out: (..., n), where to write; may not overlap x, y or v.

    Returns:
        `out`, or a new array. Lengths and angles of tangent vectors, measured at x before and at y after, are kept.

    Raises:
        ValueError: for a point outside, or c that is not positive.
        ShapeError, DTypeError, LayoutError: for arrays that do not fit.

    >>> od.parallel_transport(np.array([0.0, 0.0]), np.array([0.5, 0.0]), np.array([0.0, 1.0]))
    array([0.  , 0.75])
    """
    return mapped("parallel_transport", K.gyration_f32, K.gyration_f64, ["y", "x", "v"], [y, x, v], c, 1, (1, 0), out)
