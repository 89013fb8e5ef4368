# cython: wraparound=True
"""The gradients of reductions: compositions of the reductions and of elementwise operations, one pass each."""
import numpy as np

from numpy cimport PyArray_NDIM, ndarray
cimport numpy as cnp

from odyssey._kernels.array cimport (as_array, check_overlap, checked_out, describe, new_like, real_type, same_type)

from odyssey._kernels.elementwise import divide, multiply, scale, subtract
from odyssey._kernels.reductions import argmax, argmin_of_rows, mean
from odyssey.errors import ShapeError

cnp.import_array()


cdef tuple reduced_axes(object axis, ndarray x, const char *op):
    if axis is None:
        return tuple(range(PyArray_NDIM(x)))
    try:
        return tuple(sorted(np.lib.array_utils.normalize_axis_tuple(axis, PyArray_NDIM(x))))
    except np.exceptions.AxisError as error:
        raise ShapeError(f"{op.decode()}: {error}\n  x: {describe(x)}") from None


# A reduced array with the reduced axes kept as axes of one, so that it broadcasts against x.
cdef ndarray kept(ndarray reduced, ndarray x, tuple axes, const char *op, str name):
    shape = (<object> x).shape
    wide = tuple([1 if i in axes else size for i, size in enumerate(shape)])
    narrow = tuple([size for i, size in enumerate(shape) if i not in axes])
    if (<object> reduced).shape not in (wide, narrow):
        raise ShapeError(f"{op.decode()}: {name} must have shape {narrow}, or {wide} with the reduced axes kept\n"
                         f"  {name}: {describe(reduced)}    x: {describe(x)}")
    return (<object> reduced).reshape(wide)


cdef ndarray result_like(object out, ndarray x, const char *op):
    """out, which must be as x is, or a new array."""
    if out is None:
        return new_like(x, cnp.PyArray_TYPE(x))
    return checked_out(out, PyArray_NDIM(x), cnp.PyArray_DIMS(x), cnp.PyArray_TYPE(x), op)


cdef tuple taken(object grad, object x, const char *op):
    cdef ndarray g = as_array(grad, op), array = as_array(x, op)
    same_type(g, real_type(array, op, "x"), op, "grad")
    return g, array


def var_backward(
    grad: ArrayLike,
    x: ArrayLike,
    axis: int | tuple[int, ...] | None = None,
    ddof: int = 0,
    out: Array | None = None,
) -> Array:
    """grad * 2 (x - mean) / (n - ddof), the gradient of `var`; NaN where n <= ddof allows none.

    Args:
        grad: of the result's shape, with or without the reduced axes kept.
        x, axis, ddof: as `var` was given.
        out: where to write, of x's shape; may be x itself.

    Returns:
        `out`, or a new array of x's shape.

    Raises:
        DTypeError, ShapeError, LayoutError: for arrays that do not fit.

    >>> od.var_backward(np.float32(1), np.float32([1, 2, 3]), ddof=1)
    array([-1.,  0.,  1.], dtype=float32)
    """
    cdef ndarray g, array, result
    g, array = taken(grad, x, "var_backward")
    axes = reduced_axes(axis, array, "var_backward")
    g = kept(g, array, axes, "var_backward", "grad")
    n = 1
    for one in axes:
        n *= (<object> array).shape[one]
    result = result_like(out, array, "var_backward")
    if (<object> array).size:
        centred = np.asarray(subtract(array, mean(array, axes, True), result if out is None else None))
        # The gradient first: scaled before, a tiny one could vanish and leave 0 * inf.
        multiply(centred, g, result)
        scale(result, 2.0 / (n - ddof) if n > ddof else np.nan, result)
    return result if out is None else out


def norm_backward(
    grad: ArrayLike,
    x: ArrayLike,
    y: ArrayLike,
    axis: int | tuple[int, ...] | None = None,
    out: Array | None = None,
) -> Array:
    """grad * x / y, the gradient of `norm`, whose result is y; 0 where y is 0, as in PyTorch.

    Args:
        grad, y: of the result's shape, with or without the reduced axes kept.
        x, axis: as `norm` was given.
        out: where to write, of x's shape; may be x itself.

    Returns:
        `out`, or a new array of x's shape.

    Raises:
        DTypeError, ShapeError, LayoutError: for arrays that do not fit.

    >>> od.norm_backward(np.float32([1]), np.float32([[3, 4]]), np.float32([5]), axis=1)
    array([[0.6, 0.8]], dtype=float32)
    """
    cdef ndarray g, array, length, result
    g, array = taken(grad, x, "norm_backward")
    length = as_array(y, "norm_backward")
    same_type(length, real_type(array, "norm_backward", "x"), "norm_backward", "y")
    axes = reduced_axes(axis, array, "norm_backward")
    g = kept(g, array, axes, "norm_backward", "grad")
    length = kept(length, array, axes, "norm_backward", "y")
    result = result_like(out, array, "norm_backward")
    # x / inf is the 0 that a length of 0 asks for.
    divisor = np.where(length == 0, np.array(np.inf, (<object> length).dtype), length)
    unit = np.asarray(divide(array, divisor, result if out is None else None))
    multiply(unit, g, result)
    return result if out is None else out


cdef object to_first(const char *op, object find, object grad, object x, object axis, object out):
    """grad at the element that `find` picks among the reduced ones, in C order, else 0."""
    cdef ndarray g, array, result
    g, array = taken(grad, x, op)
    axes = reduced_axes(axis, array, op)
    g = kept(g, array, axes, op, "grad")
    result = result_like(out, array, op)
    if out is not None:
        check_overlap(result, array, op, "x")
        check_overlap(result, g, op, "grad")
    outer = PyArray_NDIM(array) - len(axes)
    last = tuple(range(outer, PyArray_NDIM(array)))
    moved = np.moveaxis(array, axes, last)
    rows = np.ascontiguousarray(moved.reshape(*moved.shape[:outer], -1))
    if rows.shape[-1] == 0:
        raise ValueError(f"{op.decode()}: there is no extremum of no elements\n  x: {describe(array)}")
    values = g.reshape(rows.shape[:-1]).copy()
    first = np.asarray(find(rows, -1)) if rows.size else np.zeros(rows.shape[:-1], np.int64)
    staged = np.zeros(rows.shape, rows.dtype)
    np.put_along_axis(staged, first[..., None], values[..., None], axis=-1)
    np.copyto(result, np.moveaxis(staged.reshape(moved.shape), last, axes))
    return result if out is None else out


def max_backward(
    grad: ArrayLike, x: ArrayLike, axis: int | tuple[int, ...] | None = None, out: Array | None = None
) -> Array:
    """grad where x holds its first maximum (in C order over the reduced axes; the first NaN, if any), else 0.

    Args:
        grad: of the result's shape, with or without the reduced axes kept.
        x, axis: as `max` was given.
        out: where to write, of x's shape; may be x itself.

    Returns:
        `out`, or a new array of x's shape.

    Raises:
        DTypeError, ShapeError, LayoutError: for arrays that do not fit. ValueError: for no elements.

    >>> od.max_backward(np.float32(5), np.float32([1, 3, 3]))
    array([0., 5., 0.], dtype=float32)
    """
    return to_first("max_backward", argmax, grad, x, axis, out)


def min_backward(
    grad: ArrayLike, x: ArrayLike, axis: int | tuple[int, ...] | None = None, out: Array | None = None
) -> Array:
    """grad where x holds its first minimum (in C order over the reduced axes; the first NaN, if any), else 0.

    Args:
        grad: of the result's shape, with or without the reduced axes kept.
        x, axis: as `min` was given.
        out: where to write, of x's shape; may be x itself.

    Returns:
        `out`, or a new array of x's shape.

    Raises:
        DTypeError, ShapeError, LayoutError: for arrays that do not fit. ValueError: for no elements.

    >>> od.min_backward(np.float32(5), np.float32([3, 1, 1]))
    array([0., 5., 0.], dtype=float32)
    """
    return to_first("min_backward", argmin_of_rows, grad, x, axis, out)
