"""Softmax and its logarithm along any axis, and their gradients."""
from libc.stddef cimport ptrdiff_t, size_t
from numpy cimport (NPY_ARRAY_ALIGNED, NPY_ARRAY_C_CONTIGUOUS, NPY_ARRAY_WRITEABLE, NPY_DOUBLE, NPY_FLOAT,
                    PyArray_CHKFLAGS, PyArray_CheckExact, PyArray_DATA, PyArray_DIMS, PyArray_ISNOTSWAPPED,
                    PyArray_NDIM, PyArray_SIZE, PyArray_STRIDES, PyArray_TYPE, ndarray, npy_intp)
cimport numpy as cnp

from odyssey._kernels.array cimport (GIL_WORTH, as_array, check_overlap, checked_out, contiguous, describe, new_like,
                                     no_memory, normalise_axis, real_type, same_type)
from odyssey._kernels.dispatch cimport K, run_lines, run_rows
from odyssey._kernels.kernels cimport ody_rows, ody_rows_fn
from odyssey._kernels.runtime cimport ody_line_operand, ody_lines

from odyssey.errors import ShapeError

cnp.import_array()


cdef inline bint plain(ndarray x) noexcept:
    return PyArray_CHKFLAGS(x, NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_ALIGNED) and PyArray_ISNOTSWAPPED(x)


# One small plain array into a new one, along the last axis: nothing to adopt, to walk or to share out.
cdef inline object quick(const char *op, ody_rows_fn f32, ody_rows_fn f64, object x, object axis, int cost):
    cdef ndarray source, result
    cdef ody_rows r
    cdef npy_intp n
    cdef int type_num
    if not PyArray_CheckExact(x) or axis is not minus_one or not plain(<ndarray> x):
        return None
    source = <ndarray> x
    type_num = PyArray_TYPE(source)
    if (type_num != NPY_FLOAT and type_num != NPY_DOUBLE) or PyArray_NDIM(source) == 0:
        return None
    n = PyArray_DIMS(source)[PyArray_NDIM(source) - 1]
    if n == 0 or PyArray_SIZE(source) * cost >= GIL_WORTH:
        return None
    result = new_like(source, type_num)
    r.in_[0] = PyArray_DATA(source)
    r.out[0] = PyArray_DATA(result)
    r.in_step[0] = r.out_step[0] = n * (4 if type_num == NPY_FLOAT else 8)
    r.rows = <size_t> (PyArray_SIZE(source) // n)
    r.n = <size_t> n
    r.flags = 0
    run_rows(op, f32 if type_num == NPY_FLOAT else f64, &r, cost)
    return result


cdef object minus_one = -1


cdef inline void set_operand(ody_line_operand *o, ndarray x, int along) noexcept:
    cdef int axis, kept = 0
    cdef npy_intp *strides = PyArray_STRIDES(x)
    o.data = <char *> PyArray_DATA(x)
    o.wide = 1
    for axis in range(PyArray_NDIM(x)):
        if axis == along:
            o.stride = strides[axis]
        else:
            o.kept[kept] = strides[axis]
            kept += 1


# A kernel of one or two inputs of one shape, along an axis, into out or a new array.
cdef object along_axis(const char *op, ody_rows_fn f32, ody_rows_fn f64, tuple names, tuple given, object axis,
                       object out, int cost):
    cdef ody_lines l
    cdef ndarray x, first, result
    cdef list inputs = []
    cdef int along, i, kept = 0, failed, type_num = -1
    cdef npy_intp *dims
    for name, one in zip(names, given):
        x = as_array(one, op)
        if type_num < 0:
            type_num = real_type(x, op, name)
        else:
            same_type(x, type_num, op, name)
        inputs.append(x)
    first = inputs[0]
    for x in inputs:
        if (<object> x).shape != (<object> first).shape:
            shapes = "    ".join([f"{name}: {describe(one)}" for name, one in zip(names, inputs)])
            raise ShapeError(f"{op.decode()}: {' and '.join(names)} must be of one shape\n  {shapes}")
    along = normalise_axis(axis, PyArray_NDIM(first), op)
    if out is None:
        result = new_like(first, type_num)
    else:
        result = checked_out(out, PyArray_NDIM(first), PyArray_DIMS(first), type_num, op)
        for i in range(len(inputs)):
            check_overlap(result, inputs[i], op, names[i])
        if not PyArray_CHKFLAGS(result, NPY_ARRAY_ALIGNED):
            result[...] = along_axis(op, f32, f64, names, given, axis, None, cost)
            return out
    if PyArray_SIZE(first) == 0:
        return result if out is None else out
    dims = PyArray_DIMS(first)
    for i in range(PyArray_NDIM(first)):
        if i == along:
            l.n = <size_t> dims[i]
        else:
            l.shape[kept] = <size_t> dims[i]
            kept += 1
    l.kept = kept
    l.inputs = <int> len(inputs)
    l.outputs = 1
    l.itemsize = 4 if type_num == NPY_FLOAT else 8
    l.cost = cost
    l.transpose = K.transpose_f32 if type_num == NPY_FLOAT else K.transpose_f64
    for i in range(l.inputs):
        x = inputs[i]
        if not PyArray_CHKFLAGS(x, NPY_ARRAY_ALIGNED):
            x = inputs[i] = contiguous(x)
        set_operand(&l.operand[i], x, along)
    set_operand(&l.operand[l.inputs], result, along)
    with nogil:
        failed = run_lines(op, f32 if type_num == NPY_FLOAT else f64, &l)
    if failed:
        no_memory(op)
    return result if out is None else out


def softmax(x: ArrayLike, axis: int = -1, out: Array | None = None) -> Array:
    """e^x / Σ e^x along `axis`: positive numbers that add up to 1.

    The maximum is subtracted first, so nothing overflows. A line is added up in the same order whatever the layout and
    the batch.

    Args:
        x: float32 or float64, of at least one axis.
        axis: the axis along which results add up to 1.
        out: where to write, of x's shape and dtype; may be x itself.

    Returns:
        `out`, or a new array of x's shape and dtype. -inf among finite elements stands for a masked one and gives 0; a
        line of nothing but -inf, or with +inf or NaN, is NaN.

    Raises:
        DTypeError, ShapeError, LayoutError: for arrays that do not fit, or an axis out of range.

    >>> od.softmax(np.float32([0, 1, 1000]))
    array([0., 0., 1.], dtype=float32)

    Bridle 1990, "Probabilistic Interpretation of Feedforward Classification Network Outputs". `torch.softmax`.
    """
    if out is None:
        result = quick("softmax", K.softmax_f32, K.softmax_f64, x, axis, 12)
        if result is not None:
            return result
    return along_axis("softmax", K.softmax_f32, K.softmax_f64, ("x",), (x,), axis, out, 12)


def softmax_backward(grad: ArrayLike, y: ArrayLike, axis: int = -1, out: Array | None = None) -> Array:
    """The gradient of softmax: y · (grad - Σ grad · y) along `axis`.

    Args:
        grad: the gradient of the result.
        y: the result of `softmax`, of grad's shape and dtype.
        axis: as given to `softmax`.
        out: where to write; may be grad or y itself.

    Returns:
        `out`, or a new array: the gradient of softmax's input.

    Raises:
        DTypeError, ShapeError, LayoutError: for arrays that do not fit, or an axis out of range.

    >>> od.softmax_backward(np.float32([1, 0]), np.float32([0.5, 0.5]))
    array([ 0.25, -0.25], dtype=float32)
    """
    return along_axis("softmax_backward", K.softmax_backward_f32, K.softmax_backward_f64, ("grad", "y"), (grad, y),
                      axis, out, 3)


def log_softmax(x: ArrayLike, axis: int = -1, out: Array | None = None) -> Array:
    """log softmax(x) = x - log Σ e^x along `axis`, exact where softmax itself would be 0.

    Args:
        x: float32 or float64, of at least one axis.
        axis: the axis along which e^result adds up to 1.
        out: where to write, of x's shape and dtype; may be x itself.

    Returns:
        `out`, or a new array of x's shape and dtype. -inf among finite elements gives -inf; a line of nothing but -inf,
        or with +inf or NaN, is NaN.

    Raises:
        DTypeError, ShapeError, LayoutError: for arrays that do not fit, or an axis out of range.

    >>> od.log_softmax(np.float32([0, 0]))
    array([-0.6931472, -0.6931472], dtype=float32)

    `torch.log_softmax`.
    """
    if out is None:
        result = quick("log_softmax", K.log_softmax_f32, K.log_softmax_f64, x, axis, 12)
        if result is not None:
            return result
    return along_axis("log_softmax", K.log_softmax_f32, K.log_softmax_f64, ("x",), (x,), axis, out, 12)


def log_softmax_backward(grad: ArrayLike, y: ArrayLike, axis: int = -1, out: Array | None = None) -> Array:
    """The gradient of log_softmax: grad - e^y · Σ grad along `axis`.

    Args:
        grad: the gradient of the result.
        y: the result of `log_softmax`, of grad's shape and dtype.
        axis: as given to `log_softmax`.
        out: where to write; may be grad or y itself.

    Returns:
        `out`, or a new array: the gradient of log_softmax's input.

    Raises:
        DTypeError, ShapeError, LayoutError: for arrays that do not fit, or an axis out of range.

    >>> od.log_softmax_backward(np.float32([1, 0]), np.log(np.float32([0.5, 0.5])))
    array([ 0.5, -0.5], dtype=float32)
    """
    return along_axis("log_softmax_backward", K.log_softmax_backward_f32, K.log_softmax_backward_f64, ("grad", "y"),
                      (grad, y), axis, out, 12)
