"""Reductions over any axes of any layout, and their gradients. How they add up: `_kernels/c/sequence.h`."""
import numpy as np

from libc.math cimport INFINITY, NAN
from libc.stddef cimport ptrdiff_t, size_t
from libc.string cimport memcmp
from numpy cimport (NPY_ARRAY_ALIGNED, NPY_ARRAY_C_CONTIGUOUS, NPY_DOUBLE, NPY_FLOAT, NPY_INT64, PyArray_CHKFLAGS,
                    PyArray_DATA, PyArray_DIMS, PyArray_NDIM, PyArray_SIZE, PyArray_STRIDES, ndarray, npy_intp)
cimport numpy as cnp

from odyssey._kernels.array cimport (GIL_WORTH, as_array, check_disjoint, checked_out, contiguous, describe, new_array,
                                     no_memory, normalise_axis, real_type, same_type)
from odyssey._kernels.dispatch cimport K, run_reduction, run_rows
from odyssey._kernels.kernels cimport ody_columns_fn, ody_rows, ody_rows_fn
from odyssey._kernels.runtime cimport ody_pass, ody_reduction

from odyssey.errors import ShapeError

cnp.import_array()


cdef extern from "numpy/arrayobject.h":
    object PyArray_Scalar(void *data, cnp.dtype descr, object base)


# A kernel of either type, as a pass.
cdef inline void set_pass(ody_pass *p, int type_num, ody_rows_fn rows_f32, ody_rows_fn rows_f64,
                          ody_columns_fn columns_f32, ody_columns_fn columns_f64, double param, int cost) noexcept:
    p.rows = rows_f32 if type_num == NPY_FLOAT else rows_f64
    p.columns = columns_f32 if type_num == NPY_FLOAT else columns_f64
    p.param = param
    p.cost = cost


cdef inline void sum_pass(ody_pass *p, int type_num, double divisor) noexcept:
    set_pass(p, type_num, K.sum_rows_f32, K.sum_rows_f64, K.sum_columns_f32, K.sum_columns_f64, divisor, 1)


cdef inline void max_pass(ody_pass *p, int type_num) noexcept:
    set_pass(p, type_num, K.max_rows_f32, K.max_rows_f64, K.max_columns_f32, K.max_columns_f64, 0, 1)


# Which axes are reduced, a flag each; returns how many.
cdef int reduced_axes(object axis, int ndim, char *reduced, const char *op) except -1:
    cdef int i, count = 0
    if axis is None:
        for i in range(ndim):
            reduced[i] = 1
        return ndim
    for i in range(ndim):
        reduced[i] = 0
    if not isinstance(axis, tuple):
        reduced[normalise_axis(axis, ndim, op)] = 1
        return 1
    for one in <tuple> axis:
        i = normalise_axis(one, ndim, op)
        if reduced[i]:
            raise ShapeError(f"{op.decode()}: axis {i} is named twice in axis={axis}")
        reduced[i] = 1
        count += 1
    return count


# The passes are set; everything else of `r` is filled in from x and the axes.
# `empty` is the result of no elements; NaN where there is none (`required` says so) raises ValueError.
cdef object reduce(const char *op, ody_reduction *r, ndarray x, int type_num, int out_type, const char *reduced,
                   bint keepdims, object out, double empty, bint required):
    cdef int ndim = PyArray_NDIM(x), axis, out_ndim = 0, failed
    cdef npy_intp dims[64]
    cdef npy_intp *shape = PyArray_DIMS(x)
    cdef npy_intp *strides
    cdef npy_intp n = 1
    cdef size_t work
    cdef ndarray result = None
    cdef double value[1]
    for axis in range(ndim):
        if reduced[axis]:
            n *= shape[axis]
            if keepdims:
                dims[out_ndim] = 1
                out_ndim += 1
        else:
            dims[out_ndim] = shape[axis]
            out_ndim += 1
    if n == 0 and required:
        raise ValueError(f"{op.decode()}: there is no result for no elements\n  x: {describe(x)}\n"
                         f"  remedy: reduce only axes that are not empty")
    if out is None:
        if out_ndim:
            result = new_array(out_ndim, dims, out_type)
    else:
        result = checked_out(out, out_ndim, dims, out_type, op)
        check_disjoint(result, x, op, "x")
        if not PyArray_CHKFLAGS(result, NPY_ARRAY_ALIGNED):
            result[...] = reduce(op, r, x, type_num, out_type, reduced, keepdims, None, empty, required)
            return out
    if n == 0:
        if out_ndim or out is not None:
            result.fill(empty)
            return result if out is None else out
        return np.float64(empty) if out_type == NPY_DOUBLE else np.float32(empty)
    if not PyArray_CHKFLAGS(x, NPY_ARRAY_ALIGNED):
        x = contiguous(x)

    r.itemsize = 4 if type_num == NPY_FLOAT else 8
    r.out_itemsize = 4 if out_type == NPY_FLOAT else 8
    r.in_ = <const char *> PyArray_DATA(x)
    r.transpose = K.transpose_f32 if type_num == NPY_FLOAT else K.transpose_f64
    strides = PyArray_STRIDES(x)
    r.kept = r.reduced = 0
    out_ndim = 0
    for axis in range(ndim):
        if reduced[axis]:
            r.shape[r.reduced] = <size_t> shape[axis]
            r.stride[r.reduced] = strides[axis]
            r.reduced += 1
            out_ndim += keepdims
        else:
            r.kept_shape[r.kept] = <size_t> shape[axis]
            r.kept_stride[r.kept] = strides[axis]
            if result is not None:
                r.out_stride[r.kept] = PyArray_STRIDES(result)[out_ndim]
            r.kept += 1
            out_ndim += 1
    r.out = <char *> value if result is None else <char *> PyArray_DATA(result)
    work = <size_t> PyArray_SIZE(x) * <size_t> r.pass_[0].cost
    if work < GIL_WORTH:
        failed = run_reduction(op, r)
    else:
        with nogil:
            failed = run_reduction(op, r)
    if failed:
        no_memory(op)
    if result is None:
        return PyArray_Scalar(value, cnp.PyArray_DescrFromType(out_type), None)
    return result if out is None else out


# How many elements make one result.
cdef double count(ndarray x, const char *reduced) noexcept:
    cdef double n = 1
    cdef int axis
    for axis in range(PyArray_NDIM(x)):
        if reduced[axis]:
            n *= <double> PyArray_DIMS(x)[axis]
    return n


def sum(x: ArrayLike, axis: int | tuple[int, ...] | None = None, keepdims: bool = False, out: Array | None = None) -> Array:
    """The sum of the elements; 0 for no elements. `numpy.sum`.

    The order of the additions depends on the length alone, not on layout, threads or neighbours.

    Args:
        x: float32 or float64, of any layout.
        axis: the axis or axes to reduce; None for all.
        keepdims: keep reduced axes as axes of one.
        out: where to write, of the result's shape; overlaps x nowhere.

    Returns:
        `out`, or a new array; a NumPy scalar where no axis is left.

    Raises:
        DTypeError, ShapeError, LayoutError: for arrays that do not fit, or an axis out of range.

    >>> od.sum(np.float32([[1, 2], [3, 4]]), axis=0)
    array([4., 6.], dtype=float32)
    """
    cdef ody_reduction r
    cdef char reduced[64]
    cdef ndarray array = as_array(x, "sum")
    cdef int type_num = real_type(array, "sum", "x")
    reduced_axes(axis, PyArray_NDIM(array), reduced, "sum")
    r.passes = 1
    r.places = 0
    sum_pass(&r.pass_[0], type_num, 1)
    return reduce("sum", &r, array, type_num, type_num, reduced, keepdims, out, 0, False)


def mean(x: ArrayLike, axis: int | tuple[int, ...] | None = None, keepdims: bool = False, out: Array | None = None) -> Array:
    """The mean of the elements; NaN for no elements. `numpy.mean`.

    Args:
        x: float32 or float64, of any layout.
        axis: the axis or axes to reduce; None for all.
        keepdims: keep reduced axes as axes of one.
        out: where to write, of the result's shape; overlaps x nowhere.

    Returns:
        `out`, or a new array; a NumPy scalar where no axis is left.

    Raises:
        DTypeError, ShapeError, LayoutError: for arrays that do not fit, or an axis out of range.

    >>> od.mean(np.float32([[1, 2], [3, 4]]), axis=1)
    array([1.5, 3.5], dtype=float32)
    """
    cdef ody_reduction r
    cdef char reduced[64]
    cdef ndarray array = as_array(x, "mean")
    cdef int type_num = real_type(array, "mean", "x")
    reduced_axes(axis, PyArray_NDIM(array), reduced, "mean")
    r.passes = 1
    r.places = 0
    sum_pass(&r.pass_[0], type_num, count(array, reduced))
    return reduce("mean", &r, array, type_num, type_num, reduced, keepdims, out, NAN, False)


def var(
    x: ArrayLike,
    axis: int | tuple[int, ...] | None = None,
    ddof: int = 0,
    keepdims: bool = False,
    out: Array | None = None,
) -> Array:
    """The mean squared distance from the mean, over n - ddof; NaN where n <= ddof allows none. `numpy.var`.

    Two passes: the mean first, then the squares of what differs from it.

    Args:
        x: float32 or float64, of any layout.
        axis: the axis or axes to reduce; None for all.
        ddof: what is taken from n in the divisor.
        keepdims: keep reduced axes as axes of one.
        out: where to write, of the result's shape; overlaps x nowhere.

    Returns:
        `out`, or a new array; a NumPy scalar where no axis is left.

    Raises:
        DTypeError, ShapeError, LayoutError: for arrays that do not fit, or an axis out of range.

    >>> od.var(np.float32([1, 2, 3]), ddof=1)
    np.float32(1.0)
    """
    cdef ody_reduction r
    cdef char reduced[64]
    cdef ndarray array = as_array(x, "var")
    cdef int type_num = real_type(array, "var", "x")
    cdef double n
    reduced_axes(axis, PyArray_NDIM(array), reduced, "var")
    n = count(array, reduced)
    r.passes = 2
    r.places = 0
    sum_pass(&r.pass_[0], type_num, n)
    n -= <double> ddof
    set_pass(&r.pass_[1], type_num, K.deviations_rows_f32, K.deviations_rows_f64, K.deviations_columns_f32,
             K.deviations_columns_f64, n if n > 0 else 0, 2)
    return reduce("var", &r, array, type_num, type_num, reduced, keepdims, out, NAN, False)


cdef object extremum(const char *op, bint largest, object x, object axis, object keepdims, object out):
    cdef ody_reduction r
    cdef char reduced[64]
    cdef ndarray array = as_array(x, op)
    cdef int type_num = real_type(array, op, "x")
    reduced_axes(axis, PyArray_NDIM(array), reduced, op)
    r.passes = 1
    r.places = 0
    if largest:
        max_pass(&r.pass_[0], type_num)
    else:
        set_pass(&r.pass_[0], type_num, K.min_rows_f32, K.min_rows_f64, K.min_columns_f32, K.min_columns_f64, 0, 1)
    return reduce(op, &r, array, type_num, type_num, reduced, keepdims, out, NAN, True)


def max(x: ArrayLike, axis: int | tuple[int, ...] | None = None, keepdims: bool = False, out: Array | None = None) -> Array:
    """The largest element, NaN if one is NaN. `numpy.max`.

    Args:
        x: float32 or float64, of any layout.
        axis: the axis or axes to reduce; None for all.
        keepdims: keep reduced axes as axes of one.
        out: where to write, of the result's shape; overlaps x nowhere.

    Returns:
        `out`, or a new array; a NumPy scalar where no axis is left.

    Raises:
        DTypeError, ShapeError, LayoutError: for arrays that do not fit, or an axis out of range. ValueError: for no elements.

    >>> od.max(np.float32([[1, 2], [4, 3]]), axis=1)
    array([2., 4.], dtype=float32)
    """
    return extremum("max", True, x, axis, keepdims, out)


def min(x: ArrayLike, axis: int | tuple[int, ...] | None = None, keepdims: bool = False, out: Array | None = None) -> Array:
    """The smallest element, NaN if one is NaN. `numpy.min`.

    Args:
        x: float32 or float64, of any layout.
        axis: the axis or axes to reduce; None for all.
        keepdims: keep reduced axes as axes of one.
        out: where to write, of the result's shape; overlaps x nowhere.

    Returns:
        `out`, or a new array; a NumPy scalar where no axis is left.

    Raises:
        DTypeError, ShapeError, LayoutError: for arrays that do not fit, or an axis out of range. ValueError: for no elements.

    >>> od.min(np.float32([[1, 2], [4, 3]]), axis=1)
    array([1., 3.], dtype=float32)
    """
    return extremum("min", False, x, axis, keepdims, out)


cdef object place_of_extremum(const char *op, bint largest, ndarray x, const char *reduced, bint keepdims, object out):
    cdef ody_reduction r
    cdef int type_num = real_type(x, op, "x")
    r.passes = 1
    r.places = 1
    if largest:
        set_pass(&r.pass_[0], type_num, K.argmax_rows_f32, K.argmax_rows_f64, K.argmax_columns_f32,
                 K.argmax_columns_f64, 0, 1)
    else:
        set_pass(&r.pass_[0], type_num, K.argmin_rows_f32, K.argmin_rows_f64, K.argmin_columns_f32,
                 K.argmin_columns_f64, 0, 1)
    return reduce(op, &r, x, type_num, NPY_INT64, reduced, keepdims, out, 0, True)


def argmax(x: ArrayLike, axis: int | None = None, keepdims: bool = False, out: Array | None = None) -> Array:
    """Where the first maximum stands, int64; the first NaN, if any. `numpy.argmax`.

    With axis=None the index counts through all of x in C order.

    Args:
        x: float32 or float64, of any layout.
        axis: the axis to search along; None for all elements.
        keepdims: keep reduced axes as axes of one.
        out: where to write, of the result's shape; overlaps x nowhere.

    Returns:
        `out`, or a new array; a NumPy scalar where no axis is left.

    Raises:
        DTypeError, ShapeError, LayoutError: for arrays that do not fit, or an axis out of range. ValueError: for no elements.

    >>> od.argmax(np.float32([[1, 5, 5], [4, 3, 2]]), axis=1)
    array([1, 0])
    """
    cdef char reduced[64]
    cdef ndarray array = as_array(x, "argmax")
    if axis is not None:
        normalise_axis(axis, PyArray_NDIM(array), "argmax")
    reduced_axes(axis, PyArray_NDIM(array), reduced, "argmax")
    return place_of_extremum("argmax", True, array, reduced, keepdims, out)


def argmin_of_rows(x, axis):
    """Where the first minimum stands along one axis; not public, for min_backward."""
    cdef char reduced[64]
    cdef ndarray array = as_array(x, "argmin")
    reduced_axes(axis, PyArray_NDIM(array), reduced, "argmin")
    return place_of_extremum("argmin", False, array, reduced, False, None)


def norm(x: ArrayLike, axis: int | tuple[int, ...] | None = None, keepdims: bool = False, out: Array | None = None) -> Array:
    """The square root of the sum of squares. `numpy.linalg.norm` of the elements.

    Squares are not scaled: they overflow to inf above the square root of the largest number.

    Args:
        x: float32 or float64, of any layout.
        axis: the axis or axes to reduce; None for all.
        keepdims: keep reduced axes as axes of one.
        out: where to write, of the result's shape; overlaps x nowhere.

    Returns:
        `out`, or a new array; a NumPy scalar where no axis is left.

    Raises:
        DTypeError, ShapeError, LayoutError: for arrays that do not fit, or an axis out of range.

    >>> od.norm(np.float32([[3, 4], [6, 8]]), axis=1)
    array([ 5., 10.], dtype=float32)
    """
    cdef ody_reduction r
    cdef char reduced[64]
    cdef ndarray array = as_array(x, "norm")
    cdef int type_num = real_type(array, "norm", "x")
    reduced_axes(axis, PyArray_NDIM(array), reduced, "norm")
    r.passes = 1
    r.places = 0
    set_pass(&r.pass_[0], type_num, K.norm_rows_f32, K.norm_rows_f64, K.norm_columns_f32, K.norm_columns_f64, 0, 1)
    return reduce("norm", &r, array, type_num, type_num, reduced, keepdims, out, 0, False)


def logsumexp(x: ArrayLike, axis: int | tuple[int, ...] | None = None, keepdims: bool = False, out: Array | None = None) -> Array:
    """log of the sum of e^x, the maximum subtracted first; -inf for no elements. `torch.logsumexp`.

    Args:
        x: float32 or float64, of any layout.
        axis: the axis or axes to reduce; None for all.
        keepdims: keep reduced axes as axes of one.
        out: where to write, of the result's shape; overlaps x nowhere.

    Returns:
        `out`, or a new array; a NumPy scalar where no axis is left.

    Raises:
        DTypeError, ShapeError, LayoutError: for arrays that do not fit, or an axis out of range.

    >>> od.logsumexp(np.float32([1000, 1000]))
    np.float32(1000.6932)
    """
    cdef ody_reduction r
    cdef char reduced[64]
    cdef ndarray array = as_array(x, "logsumexp")
    cdef int type_num = real_type(array, "logsumexp", "x")
    reduced_axes(axis, PyArray_NDIM(array), reduced, "logsumexp")
    r.passes = 2
    r.places = 0
    max_pass(&r.pass_[0], type_num)
    set_pass(&r.pass_[1], type_num, K.logsumexp_rows_f32, K.logsumexp_rows_f64, K.logsumexp_columns_f32,
             K.logsumexp_columns_f64, 0, 14)
    return reduce("logsumexp", &r, array, type_num, type_num, reduced, keepdims, out, -INFINITY, False)


def dot(a: ArrayLike, b: ArrayLike, out: Array | None = None) -> Array:
    """The sum of a * b over two vectors; 0 for no elements. `numpy.dot`.

    Args:
        a, b: (n,), float32 or float64, of one dtype.
        out: where to write, without axes.

    Returns:
        `out`, or a NumPy scalar.

    One fused multiply-add a term, added up as every reduction is.

    Raises:
        DTypeError, ShapeError, LayoutError: for arrays that do not fit.

    >>> od.dot(np.float32([1, 2]), np.float32([3, 4]))
    np.float32(11.0)
    """
    cdef ody_rows r
    cdef ndarray first = as_array(a, "dot"), second = as_array(b, "dot"), result = None
    cdef int type_num = real_type(first, "dot", "a")
    cdef double value[1]
    same_type(second, type_num, "dot", "b")
    if PyArray_NDIM(first) != 1 or PyArray_NDIM(second) != 1 or PyArray_DIMS(first)[0] != PyArray_DIMS(second)[0]:
        raise ShapeError(f"dot: a and b must be 1-D and equally long\n  a: {describe(first)}    b: {describe(second)}\n"
                         f"  remedy: odyssey.matmul multiplies matrices")
    if out is not None:
        result = checked_out(out, 0, NULL, type_num, "dot")
        check_disjoint(result, first, "dot", "a")
        check_disjoint(result, second, "dot", "b")
    value[0] = 0
    if PyArray_SIZE(first):
        first = contiguous(first)
        second = contiguous(second)
        r.in_[0] = PyArray_DATA(first)
        r.in_[1] = PyArray_DATA(second)
        r.in_[2] = r.in_[3] = NULL
        r.in_step[0] = r.in_step[1] = 0
        r.out[0] = value
        r.out[1] = r.out[2] = NULL
        r.out_step[0] = 0
        r.rows = 1
        r.n = <size_t> PyArray_SIZE(first)
        r.param[0] = 1
        r.flags = 0
        with nogil:
            run_rows("dot", K.dot_f32 if type_num == NPY_FLOAT else K.dot_f64, &r, 1)
    number = PyArray_Scalar(value, cnp.PyArray_DescrFromType(type_num), None)
    if result is None:
        return number
    result[...] = number
    return out
