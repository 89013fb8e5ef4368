"""Distances between points: Euclidean, in the Poincare ball, on the sphere; row by row, of all pairs, and their gradients."""
from libc.stddef cimport ptrdiff_t, size_t
from numpy cimport (NPY_FLOAT, PyArray_CopyInto, PyArray_DATA, PyArray_DIMS, PyArray_ITEMSIZE, PyArray_NDIM, PyArray_SIZE,
                    PyArray_STRIDES, ndarray, npy_intp)
cimport numpy as cnp

from odyssey._kernels.array cimport (GIL_WORTH, as_array, check_disjoint, checked_out, contiguous, describe, new_array,
                                     new_like, no_memory, real_type, row_contiguous, rows_of, same_type)
from odyssey._kernels.dispatch cimport K, run_pairs, run_pairs_backward, run_rows
from odyssey._kernels.kernels cimport ody_pairs, ody_pairs_fn, ody_rows, ody_rows_fn

import math

import numpy as np

from odyssey._kernels.reductions import sum as sum_over
from odyssey.errors import ShapeError

cnp.import_array()

cdef enum:
    COST = 2 # what one element costs, in additions

cdef enum:
    EUCLIDEAN
    POINCARE
    SPHERICAL

cdef dict METRICS = {"euclidean": EUCLIDEAN, "poincare": POINCARE, "spherical": SPHERICAL}


# ---- options ---------------------------------------------------------------------------------------------------------

cdef double checked_curvature(object c, int type_num, const char *op) except -1:
    """c as the arrays' type has it: positive and finite."""
    cdef double given = float(c)
    cdef double found = <float> given if type_num == NPY_FLOAT else given
    if not (found > 0 and math.isfinite(found)):
        raise ValueError(f"{op.decode()}: the curvature is -c, and c must be positive and finite; found c = {c!r}\n"
                         f"  remedy: as c goes to 0 the distance goes to 2 * euclidean_distance(x, y)")
    return found


cdef bint choice(object given, str name, str other, const char *op) except -1:
    """Whether an option that is "raise" by default is `other` instead."""
    if given == "raise":
        return False
    if given == other:
        return True
    raise ValueError(f"{op.decode()}: {name} must be 'raise' or {other!r}, found {given!r}")


cdef int outside_the_ball(ndarray gaps, ndarray points, double c, const char *op, str name) except -1:
    """ValueError if a point has no positive gap; NaN is the caller's affair."""
    bad = np.flatnonzero(gaps <= 0)
    if bad.size == 0:
        return 0
    row = np.unravel_index(bad[0], (<object> points).shape[:PyArray_NDIM(points) - 1])
    norm = math.sqrt(np.sum(np.square((<object> points)[row], dtype=np.float64)))
    raise ValueError(
        f"{op.decode()}: points must lie inside the ball, sqrt(c) |x| < 1; "
        f"{name}{list(map(int, row)) if row else ''} has {math.sqrt(c) * norm:.9g}\n"
        f"  {name}: {describe(points)}    c: {c!r}    {bad.size} outside\n"
        f"  remedy: od.project_to_ball({name}, c) moves them inside; outside=\"inf\" calls them infinitely far")


cdef int without_direction(ndarray by, ndarray points, const char *op, str name) except -1:
    bad = np.flatnonzero(by == 0)
    if bad.size == 0:
        return 0
    row = np.unravel_index(bad[0], (<object> points).shape[:PyArray_NDIM(points) - 1])
    raise ValueError(
        f"{op.decode()}: a vector of length 0 has no direction; {name}{list(map(int, row)) if row else ''} is one\n"
        f"  {name}: {describe(points)}    {bad.size} of length 0\n"
        f"  remedy: zero=\"allow\" takes them to be at a right angle to all others")


# ---- row by row ------------------------------------------------------------------------------------------------------

cdef int check_rows(ndarray x, ndarray y, const char *op) except -1:
    """x and y of one shape, or one of them a single point."""
    cdef int nx = PyArray_NDIM(x), ny = PyArray_NDIM(y)
    if nx and ny and PyArray_DIMS(x)[nx - 1] == PyArray_DIMS(y)[ny - 1]:
        if nx == 1 or ny == 1 or (<object> x).shape == (<object> y).shape:
            return 0
    message = (f"{op.decode()}: x and y must be of one shape (..., n), or one of them a point (n,)\n"
               f"  x: {describe(x)}    y: {describe(y)}")
    if nx == 2 and ny == 2 and PyArray_DIMS(x)[1] == PyArray_DIMS(y)[1]:
        message += "\n  of all pairs: od.pairwise_distance(x, y)"
    raise ShapeError(message)


cdef inline void set_points(ody_rows *r, int place, ndarray x, ptrdiff_t step) noexcept:
    r.in_[place] = PyArray_DATA(x)
    r.in_step[place] = step


cdef void clear(ody_rows *r) noexcept:
    cdef int i
    for i in range(4):
        r.in_[i] = NULL
        r.in_step[i] = 0
        r.param[i] = 0
    for i in range(3):
        r.out[i] = NULL
        r.out_step[i] = 0
    r.flags = 0


cdef void run(const char *op, ody_rows_fn f, ody_rows *r) noexcept:
    if r.rows * r.n * COST < GIL_WORTH:
        run_rows(op, f, r, COST)
    else:
        with nogil:
            run_rows(op, f, r, COST)


cdef bint any_negative(ndarray values) noexcept:
    """Of contiguous reals."""
    cdef npy_intp i, size = PyArray_SIZE(values)
    cdef float *narrow = <float *> PyArray_DATA(values)
    cdef double *wide = <double *> PyArray_DATA(values)
    if PyArray_ITEMSIZE(values) == 4:
        for i in range(size):
            if narrow[i] < 0:
                return True
    else:
        for i in range(size):
            if wide[i] < 0:
                return True
    return False


cdef object distance(const char *op, int metric, ody_rows_fn f32, ody_rows_fn f64, object given_x, object given_y,
                     object c, object option, object out):
    cdef ndarray x = as_array(given_x, op), y, rows, point, result, target, held
    cdef int type_num = real_type(x, op, "x"), ndim
    cdef ody_rows r
    cdef ptrdiff_t step
    cdef double curvature = 0
    cdef bint lenient = False
    y = as_array(given_y, op)
    same_type(y, type_num, op, "y")
    clear(&r)
    if metric == POINCARE:
        curvature = checked_curvature(c, type_num, op)
        lenient = choice(option, "outside", "inf", op)
        r.param[0] = curvature
        r.param[1] = lenient
    elif metric == SPHERICAL:
        lenient = choice(option, "zero", "allow", op)
        r.param[0] = lenient
    check_rows(x, y, op)
    rows, point = (x, y) if PyArray_NDIM(x) >= PyArray_NDIM(y) else (y, x)
    ndim = PyArray_NDIM(rows) - 1
    if out is None:
        result = target = new_array(ndim, PyArray_DIMS(rows), type_num)
    else:
        result = target = checked_out(out, ndim, PyArray_DIMS(rows), type_num, op)
        check_disjoint(result, x, op, "x")
        check_disjoint(result, y, op, "y")
        if not cnp.PyArray_ISCARRAY(result):
            target = new_array(ndim, PyArray_DIMS(rows), type_num)
    r.rows = <size_t> PyArray_SIZE(target)
    r.n = <size_t> PyArray_DIMS(rows)[ndim]
    held = row_contiguous(rows, &step)
    set_points(&r, 0, held, step)
    if PyArray_NDIM(point) <= ndim:
        point = contiguous(point)
        set_points(&r, 1, point, 0)
    else:
        point = row_contiguous(point, &step)
        set_points(&r, 1, point, step)
    r.out[0] = PyArray_DATA(target)
    r.out_step[0] = PyArray_ITEMSIZE(target)
    run(op, f32 if type_num == NPY_FLOAT else f64, &r)
    if metric != EUCLIDEAN and not lenient and any_negative(target):
        check_points(op, metric, x, "x", curvature, False)
        check_points(op, metric, y, "y", curvature, False)
    if target is not result:
        PyArray_CopyInto(result, target)
    return out if out is not None else result[()] if ndim == 0 else result


cdef tuple check_points(const char *op, int metric, ndarray x, str name, double c, bint lenient):
    """|x|^2 and the gap or 1 / |x| of each point, as the pairs' kernels read them; ValueError for points without."""
    cdef int type_num = cnp.PyArray_TYPE(x), last = PyArray_NDIM(x) - 1
    cdef ndarray sizes = new_array(last, PyArray_DIMS(x), type_num), gaps = new_array(last, PyArray_DIMS(x), type_num), held
    cdef ody_rows r
    cdef ptrdiff_t step
    clear(&r)
    held = row_contiguous(x, &step)
    set_points(&r, 0, held, step)
    r.rows = <size_t> PyArray_SIZE(sizes)
    r.n = <size_t> PyArray_DIMS(x)[last]
    r.out[0] = PyArray_DATA(sizes)
    r.out[1] = PyArray_DATA(gaps)
    r.out_step[0] = r.out_step[1] = PyArray_ITEMSIZE(x)
    r.param[0] = c
    if metric == SPHERICAL:
        run(op, K.direction_points_f32 if type_num == NPY_FLOAT else K.direction_points_f64, &r)
        if not lenient:
            without_direction(gaps, x, op, name)
    else:
        run(op, K.ball_points_f32 if type_num == NPY_FLOAT else K.ball_points_f64, &r)
        if metric == POINCARE and not lenient:
            outside_the_ball(gaps, x, c, op, name)
    return sizes, gaps


cdef tuple distance_backward(const char *op, int metric, ody_rows_fn f32, ody_rows_fn f64, object given_grad, object given_x,
                             object given_y, object c, object option):
    cdef ndarray grad = as_array(given_grad, op), x, y, rows, point, d_rows, d_point, held, incoming
    cdef int type_num = real_type(grad, op, "grad"), last
    cdef ody_rows r
    cdef ptrdiff_t step
    cdef double curvature = 0
    cdef bint lenient = True, swapped, one
    x = as_array(given_x, op)
    y = as_array(given_y, op)
    same_type(x, type_num, op, "x")
    same_type(y, type_num, op, "y")
    if metric == POINCARE:
        curvature = checked_curvature(c, type_num, op)
        lenient = choice(option, "outside", "inf", op)
    elif metric == SPHERICAL:
        lenient = choice(option, "zero", "allow", op)
    check_rows(x, y, op)
    swapped = PyArray_NDIM(x) < PyArray_NDIM(y)
    rows, point = (y, x) if swapped else (x, y)
    last = PyArray_NDIM(rows) - 1
    one = PyArray_NDIM(point) <= last
    if (<object> grad).shape != (<object> rows).shape[:last]:
        raise ShapeError(f"{op.decode()}: grad must be {(<object> rows).shape[:last]}, one value for each distance\n"
                         f"  grad: {describe(grad)}    x: {describe(x)}    y: {describe(y)}")
    if not lenient:
        check_points(op, metric, x, "x", curvature, False)
        check_points(op, metric, y, "y", curvature, False)
    clear(&r)
    incoming = contiguous(grad)
    set_points(&r, 0, incoming, PyArray_ITEMSIZE(grad))
    held = row_contiguous(rows, &step)
    set_points(&r, 1, held, step)
    if one:
        point = contiguous(point)
        set_points(&r, 2, point, 0)
    else:
        point = row_contiguous(point, &step)
        set_points(&r, 2, point, step)
    d_rows = new_like(rows, type_num)
    d_point = new_like(rows, type_num)
    r.rows = <size_t> PyArray_SIZE(grad)
    r.n = <size_t> PyArray_DIMS(rows)[last]
    r.out[0] = PyArray_DATA(d_rows)
    r.out[1] = PyArray_DATA(d_point)
    r.out_step[0] = r.out_step[1] = <ptrdiff_t> r.n * PyArray_ITEMSIZE(rows)
    r.param[0] = curvature
    run(op, f32 if type_num == NPY_FLOAT else f64, &r)
    if one:
        some = r.rows and r.n
        d_point = sum_over((<object> d_point).reshape(r.rows, r.n), 0) if some else np.zeros_like(point)
    return (d_point, d_rows) if swapped else (d_rows, d_point)


def euclidean_distance(x: ArrayLike, y: ArrayLike, out: Array | None = None) -> Array:
    """|x - y| along the last axis.

    Args:
        x, y: float32 or float64, of one shape (..., n), or one of them a point (n,) to which all others are measured.
        out: (...), where to write; may not overlap x or y.

    Returns:
        `out`, or a new array (...), a NumPy scalar where it has no axes. Squares that leave the type's range are taken
        again, scaled: nothing overflows or vanishes on the way.

    Raises:
        ShapeError, DTypeError, LayoutError: for arrays that do not fit.

    >>> od.euclidean_distance(np.float32([[3, 4], [0, 0]]), np.float32([0, 0]))
    array([5., 0.], dtype=float32)
    """
    return distance("euclidean_distance", EUCLIDEAN, K.euclidean_distance_f32, K.euclidean_distance_f64, x, y, None, None, out)


def poincare_distance(
    x: ArrayLike, y: ArrayLike, c: float = 1.0, outside: str = "raise", out: Array | None = None
) -> Array:
    """The distance in the Poincare ball of curvature -c: 2/sqrt(c) asinh(sqrt(c) |x-y| / sqrt((1-c|x|^2)(1-c|y|^2))).

    Args:
        x, y: float32 or float64, points of the ball, c |x|^2 < 1: of one shape (..., n), or one of them a point (n,).
        c: positive; the ball has the radius 1 / sqrt(c).
        outside: what becomes of points that are not inside: "raise", or "inf": they are infinitely far, from themselves too.
        out: (...), where to write; may not overlap x or y.

    Returns:
        `out`, or a new array (...), a NumPy scalar where it has no axes. Near points keep their digits, and so do points
        near the boundary: there 1 - c |x|^2 is summed with twice the type's digits.

    The form is that of Ungar (Analytic Hyperbolic Geometry, 2005) by way of sinh(d/2); acosh would lose near points.

    Raises:
        ValueError: for a point outside, or c that is not positive.
        ShapeError, DTypeError, LayoutError: for arrays that do not fit.

    >>> od.poincare_distance(np.array([0.0, 0.5]), np.array([0.0, 0.0]))  # 2 artanh(1/2)
    np.float64(1.0986122886681098)
    """
    return distance("poincare_distance", POINCARE, K.poincare_distance_f32, K.poincare_distance_f64, x, y, c, outside, out)


def spherical_distance(x: ArrayLike, y: ArrayLike, zero: str = "raise", out: Array | None = None) -> Array:
    """The angle between x and y, 2 atan2(|x/|x| - y/|y||, |x/|x| + y/|y||): the distance of their directions on the sphere.

    Args:
        x, y: float32 or float64, of one shape (..., n), or one of them a vector (n,). They need not have length 1.
        zero: what becomes of vectors of length 0: "raise", or "allow": the angle to any other is pi / 2, to each other 0.
        out: (...), where to write; may not overlap x or y.

    Returns:
        `out`, or a new array (...) of angles in [0, pi], a NumPy scalar where it has no axes. Small angles and those near
        pi keep their digits (Kahan, How Futile are Mindless Assessments of Roundoff, 2006).

    Raises:
        ValueError: for a vector of length 0.
        ShapeError, DTypeError, LayoutError: for arrays that do not fit.

    >>> od.spherical_distance(np.float32([[1, 0], [0, 2]]), np.float32([3, 0]))
    array([0.       , 1.5707964], dtype=float32)
    """
    return distance("spherical_distance", SPHERICAL, K.spherical_distance_f32, K.spherical_distance_f64, x, y, None, zero, out)


def euclidean_distance_backward(grad: ArrayLike, x: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
    """The gradients of x and y: grad (x - y) / |x - y|, and its negative; 0 where x is y.

    Args:
        grad: (...), one value for each distance.
        x, y: as the forward was given. The gradient of a single point is the sum over all distances to it.

    Raises:
        ShapeError, DTypeError: for arrays that do not fit.

    >>> od.euclidean_distance_backward(np.float32(1), np.float32([3, 4]), np.float32([0, 0]))[0]
    array([0.6, 0.8], dtype=float32)
    """
    return distance_backward("euclidean_distance_backward", EUCLIDEAN, K.euclidean_distance_backward_f32,
                             K.euclidean_distance_backward_f64, grad, x, y, None, None)


def poincare_distance_backward(
    grad: ArrayLike, x: ArrayLike, y: ArrayLike, c: float = 1.0, outside: str = "raise"
) -> tuple[Array, Array]:
    """The gradients of x and y: with s = |x-y|^2, A = 1-c|x|^2, B = 1-c|y|^2, 2 grad / sqrt(s (A B + c s)) (x - y + c s/A x).

    Args:
        grad: (...), one value for each distance.
        x, y, c, outside: as the forward was given. The gradient is 0 where x is y, and with outside="inf" where one of them
            is outside. That of a single point is the sum over all distances to it.

    Returns:
        Euclidean gradients. The Riemannian one is (1 - c |x|^2)^2 / 4 times that.

    Raises:
        ValueError: for a point outside, or c that is not positive.
        ShapeError, DTypeError: for arrays that do not fit.

    >>> od.poincare_distance_backward(np.array(1.0), np.array([0.0, 0.5]), np.array([0.0, 0.0]))[0]
    array([0.        , 2.66666667])
    """
    return distance_backward("poincare_distance_backward", POINCARE, K.poincare_distance_backward_f32,
                             K.poincare_distance_backward_f64, grad, x, y, c, outside)


def spherical_distance_backward(
    grad: ArrayLike, x: ArrayLike, y: ArrayLike, zero: str = "raise"
) -> tuple[Array, Array]:
    """The gradients of x and y: grad (cos x/|x| - y/|y|) / (|x| sin), cos and sin those of the angle.

    Args:
        grad: (...), one value for each angle.
        x, y, zero: as the forward was given. The gradient is 0 where the angle is 0 or pi, and with zero="allow" where a
            vector has length 0. That of a single vector is the sum over all angles to it.

    Raises:
        ValueError: for a vector of length 0.
        ShapeError, DTypeError: for arrays that do not fit.

    >>> od.spherical_distance_backward(np.float32(1), np.float32([2, 0]), np.float32([0, 1]))[0].round(3)
    array([ 0. , -0.5], dtype=float32)
    """
    return distance_backward("spherical_distance_backward", SPHERICAL, K.spherical_distance_backward_f32,
                             K.spherical_distance_backward_f64, grad, x, y, None, zero)


# ---- all pairs -------------------------------------------------------------------------------------------------------

cdef int metric_code(object metric, const char *op) except -1:
    code = METRICS.get(metric) if isinstance(metric, str) else None
    if code is None:
        raise ValueError(f"{op.decode()}: metric must be one of {', '.join(map(repr, METRICS))}; found {metric!r}")
    return <int> code


cdef int check_pairs(ndarray x, ndarray y, const char *op) except -1:
    if PyArray_NDIM(x) != 2 or PyArray_NDIM(y) != 2 or PyArray_DIMS(x)[1] != PyArray_DIMS(y)[1]:
        raise ShapeError(f"{op.decode()}: x must be (m, n) and y (k, n), points of one dimension\n"
                         f"  x: {describe(x)}    y: {describe(y)}")
    return 0


cdef void clear_pairs(ody_pairs *p) noexcept:
    p.x = p.y = p.x_size = p.x_gap = p.y_size = p.y_gap = p.grad = NULL
    p.out = NULL
    p.x_step = p.y_step = p.out_step = p.grad_step = p.grad_column = 0
    p.param[0] = p.param[1] = 0


def pairwise_distance(
    x: ArrayLike,
    y: ArrayLike | None = None,
    metric: str = "euclidean",
    c: float = 1.0,
    outside: str = "raise",
    zero: str = "raise",
    out: Array | None = None,
) -> Array:
    """The distance of every row of x to every row of y.

    Args:
        x: (m, n), float32 or float64.
        y: (k, n), of x's dtype; x itself by default, which takes half the work.
        metric: "euclidean", "poincare" or "spherical", as the functions of these names.
        c, outside: of the Poincare ball. See `poincare_distance`.
        zero: of the sphere. See `spherical_distance`.
        out: (m, k), where to write; may not overlap x or y.

    Returns:
        `out`, or a new array (m, k). Pairs that are far apart are taken from one matrix product, |x|^2 + |y|^2 - 2 x y; near
        ones, where that would cancel, from the points themselves, to the bits of the row function. A pair's value depends
        on its two points alone.

    Raises:
        ValueError: for an unknown metric, points outside the ball, vectors of length 0.
        ShapeError, DTypeError, LayoutError: for arrays that do not fit.

    >>> od.pairwise_distance(np.float32([[0, 0], [3, 4]]))
    array([[0., 5.],
           [5., 0.]], dtype=float32)
    """
    cdef const char *op = "pairwise_distance"
    cdef ndarray a = as_array(x, op), b, result, target, sizes_a, gaps_a, sizes_b, gaps_b
    cdef int type_num = real_type(a, op, "x"), code, failed
    cdef bint symmetric = y is None or y is x, lenient = False, single = type_num == NPY_FLOAT
    cdef ody_pairs p
    cdef ody_pairs_fn f
    cdef npy_intp dims[2]
    cdef size_t item = 4 if single else 8
    b = a if symmetric else as_array(y, op)
    same_type(b, type_num, op, "y")
    code = metric_code(metric, op)
    clear_pairs(&p)
    if code == POINCARE:
        p.param[0] = checked_curvature(c, type_num, op)
        lenient = choice(outside, "outside", "inf", op)
        p.param[1] = lenient
        f = K.poincare_pairs_f32 if single else K.poincare_pairs_f64
    elif code == SPHERICAL:
        lenient = choice(zero, "zero", "allow", op)
        p.param[0] = lenient
        f = K.spherical_pairs_f32 if single else K.spherical_pairs_f64
    else:
        f = K.euclidean_pairs_f32 if single else K.euclidean_pairs_f64
    check_pairs(a, b, op)
    dims[0] = PyArray_DIMS(a)[0]
    dims[1] = PyArray_DIMS(b)[0]
    if out is None:
        result = target = new_array(2, dims, type_num)
    else:
        result = target = checked_out(out, 2, dims, type_num, op)
        check_disjoint(result, a, op, "x")
        check_disjoint(result, b, op, "y")
        if not cnp.PyArray_ISCARRAY(result):
            target = new_array(2, dims, type_num)
    a = rows_of(a)
    b = a if symmetric else rows_of(b)
    p.x = PyArray_DATA(a)
    p.x_step = PyArray_STRIDES(a)[0]
    p.y = PyArray_DATA(b)
    p.y_step = PyArray_STRIDES(b)[0]
    sizes_a, gaps_a = check_points(op, code, a, "x", p.param[0] if code == POINCARE else 0, lenient)
    sizes_b, gaps_b = (sizes_a, gaps_a) if symmetric else check_points(
        op, code, b, "y", p.param[0] if code == POINCARE else 0, lenient)
    p.x_size = PyArray_DATA(sizes_a)
    p.x_gap = PyArray_DATA(gaps_a)
    p.y_size = PyArray_DATA(sizes_b)
    p.y_gap = PyArray_DATA(gaps_b)
    p.rows = <size_t> dims[0]
    p.columns = <size_t> dims[1]
    p.n = <size_t> PyArray_DIMS(a)[1]
    p.out = PyArray_DATA(target)
    p.out_step = <ptrdiff_t> (p.columns * item)
    if dims[0] and dims[1]:
        with nogil:
            failed = run_pairs(op, f, K.gemm_f32 if single else K.gemm_f64,
                               K.gemm_workspace_f32 if single else K.gemm_workspace_f64,
                               K.transpose_f32 if single else K.transpose_f64, &p, symmetric, item)
        if failed:
            no_memory(op)
    if target is not result:
        PyArray_CopyInto(result, target)
    return result if out is None else out


def pairwise_distance_backward(
    grad: ArrayLike,
    x: ArrayLike,
    y: ArrayLike | None = None,
    metric: str = "euclidean",
    c: float = 1.0,
    outside: str = "raise",
    zero: str = "raise",
) -> tuple[Array, Array | None]:
    """The gradients of x and y, each row's summed over its pairs.

    Args:
        grad: (m, k), one value for each distance.
        x, y, metric, c, outside, zero: as the forward was given.

    Returns:
        (m, n) and (k, n); where y is left out, x's gradient has both its parts, and the second is None.

    Raises:
        ValueError, ShapeError, DTypeError: as the forward.

    >>> od.pairwise_distance_backward(np.float32([[1]]), np.float32([[3, 4]]), np.float32([[0, 0]]))[0]
    array([[0.6, 0.8]], dtype=float32)
    """
    cdef const char *op = "pairwise_distance_backward"
    cdef ndarray g = as_array(grad, op), a, b, da, db
    cdef int type_num = real_type(g, op, "grad"), code
    cdef bint symmetric = y is None, lenient = True, single = type_num == NPY_FLOAT
    cdef ody_pairs p
    cdef ody_pairs_fn f
    cdef ptrdiff_t step_a, step_b
    cdef size_t item = 4 if single else 8
    a = as_array(x, op)
    same_type(a, type_num, op, "x")
    b = a if symmetric else as_array(y, op)
    same_type(b, type_num, op, "y")
    code = metric_code(metric, op)
    clear_pairs(&p)
    if code == POINCARE:
        p.param[0] = checked_curvature(c, type_num, op)
        lenient = choice(outside, "outside", "inf", op)
        f = K.poincare_pairs_backward_f32 if single else K.poincare_pairs_backward_f64
    elif code == SPHERICAL:
        lenient = choice(zero, "zero", "allow", op)
        f = K.spherical_pairs_backward_f32 if single else K.spherical_pairs_backward_f64
    else:
        f = K.euclidean_pairs_backward_f32 if single else K.euclidean_pairs_backward_f64
    check_pairs(a, b, op)
    if (<object> g).shape != (PyArray_DIMS(a)[0], PyArray_DIMS(b)[0]):
        raise ShapeError(f"{op.decode()}: grad must be {(PyArray_DIMS(a)[0], PyArray_DIMS(b)[0])}, one value for each pair\n"
                         f"  grad: {describe(g)}    x: {describe(a)}    y: {describe(b)}")
    if not lenient:
        check_points(op, code, a, "x", p.param[0], False)
        check_points(op, code, b, "y", p.param[0], False)
    if symmetric:
        g = np.add(g, g.T)
    g = contiguous(g)
    da = new_like(a, type_num)
    db = None if symmetric else new_like(b, type_num)
    a = row_contiguous(a, &step_a)
    b = a if symmetric else row_contiguous(b, &step_b)
    if symmetric:
        step_b = step_a
    p.n = <size_t> PyArray_DIMS(a)[1]
    p.x = PyArray_DATA(a)
    p.x_step = step_a
    p.y = PyArray_DATA(b)
    p.y_step = step_b
    p.rows = <size_t> PyArray_DIMS(a)[0]
    p.columns = <size_t> PyArray_DIMS(b)[0]
    p.grad = PyArray_DATA(g)
    p.grad_step = PyArray_STRIDES(g)[0]
    p.grad_column = PyArray_STRIDES(g)[1]
    p.out = PyArray_DATA(da)
    p.out_step = <ptrdiff_t> (p.n * item)
    with nogil:
        run_pairs_backward(op, f, &p, item)
    if not symmetric:
        p.x, p.y = p.y, p.x
        p.x_step, p.y_step = p.y_step, p.x_step
        p.rows, p.columns = p.columns, p.rows
        p.grad_step, p.grad_column = p.grad_column, p.grad_step
        p.out = PyArray_DATA(db)
        with nogil:
            run_pairs_backward(op, f, &p, item)
    return da, db
