"""RMS norm and layer norm over the last axis, and their gradients."""
from libc.stddef cimport ptrdiff_t, size_t
from numpy cimport (NPY_ARRAY_ALIGNED, NPY_ARRAY_C_CONTIGUOUS, NPY_FLOAT, PyArray_CHKFLAGS, PyArray_CheckExact,
                    PyArray_DATA, PyArray_DIMS, PyArray_ISNOTSWAPPED, PyArray_NDIM, PyArray_SIZE, PyArray_STRIDES,
                    PyArray_TYPE, ndarray, npy_intp)
cimport numpy as cnp

from odyssey._kernels.array cimport (GIL_WORTH, as_array, check_disjoint, check_overlap, checked_out, contiguous,
                                     describe, new_array, new_like, no_memory, real_type, row_contiguous, same_type)
from odyssey._kernels.dispatch cimport K, run_lines, run_norm_sums, run_rows
from odyssey._kernels.kernels cimport ody_rows, ody_rows_fn
from odyssey._kernels.runtime cimport ody_line_operand, ody_lines

from odyssey.errors import ShapeError

cnp.import_array()

cdef enum:
    COST = 4 # what one element costs, in additions


cdef inline bint plain(ndarray x) noexcept:
    return PyArray_CHKFLAGS(x, NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_ALIGNED) and PyArray_ISNOTSWAPPED(x)


cdef ndarray row_of(object given, ndarray x, int type_num, const char *op, str name):
    """A weight or bias: one contiguous row, as long as those of x."""
    cdef ndarray row = as_array(given, op)
    same_type(row, type_num, op, name)
    if PyArray_NDIM(row) != 1 or PyArray_DIMS(row)[0] != PyArray_DIMS(x)[PyArray_NDIM(x) - 1]:
        raise ShapeError(f"{op.decode()}: {name} must be ({PyArray_DIMS(x)[PyArray_NDIM(x) - 1]},), an entry for each "
                         f"element of x's last axis\n  x: {describe(x)}    {name}: {describe(row)}")
    return contiguous(row)


cdef int check_axes(ndarray x, const char *op) except -1:
    if PyArray_NDIM(x) == 0:
        raise ShapeError(f"{op.decode()}: x must have at least one axis\n  x: {describe(x)}")
    return 0


cdef inline void set_operand(ody_line_operand *o, ndarray x) noexcept:
    cdef int axis, last = PyArray_NDIM(x) - 1
    cdef npy_intp *strides = PyArray_STRIDES(x)
    o.data = <char *> PyArray_DATA(x)
    o.wide = 1
    o.stride = strides[last]
    for axis in range(last):
        o.kept[axis] = strides[axis]


cdef inline void set_shared(ody_line_operand *o, ndarray row, int kept) noexcept:
    cdef int axis
    o.data = NULL if row is None else <char *> PyArray_DATA(row)
    o.wide = row is not None
    o.stride = 0 if row is None else PyArray_STRIDES(row)[0]
    for axis in range(kept):
        o.kept[axis] = 0


cdef object norm(const char *op, ody_rows_fn f32, ody_rows_fn f64, object given, object given_weight, object given_bias,
                 int inputs, double eps, object out):
    cdef ndarray x = as_array(given, op), weight = None, bias = None, result
    cdef int type_num = real_type(x, op, "x"), failed, axis, last
    cdef ody_rows r
    cdef ody_lines l
    cdef size_t item = 4 if type_num == NPY_FLOAT else 8
    cdef ody_rows_fn f = f32 if type_num == NPY_FLOAT else f64
    check_axes(x, op)
    last = PyArray_NDIM(x) - 1
    if given_weight is not None:
        weight = row_of(given_weight, x, type_num, op, "weight")
    if given_bias is not None:
        bias = row_of(given_bias, x, type_num, op, "bias")
    if out is None:
        result = new_like(x, type_num)
    else:
        result = checked_out(out, last + 1, PyArray_DIMS(x), type_num, op)
        check_overlap(result, x, op, "x")
        if weight is not None:
            check_disjoint(result, weight, op, "weight")
        if bias is not None:
            check_disjoint(result, bias, op, "bias")
        if not PyArray_CHKFLAGS(result, NPY_ARRAY_ALIGNED):
            result[...] = norm(op, f32, f64, given, given_weight, given_bias, inputs, eps, None)
            return out
    if PyArray_SIZE(x) == 0:
        return result if out is None else out
    if PyArray_SIZE(x) * COST < GIL_WORTH and plain(x) and plain(result):
        r.in_[0] = PyArray_DATA(x)
        r.in_[1] = NULL if weight is None else PyArray_DATA(weight)
        r.in_[2] = NULL if bias is None else PyArray_DATA(bias)
        r.out[0] = PyArray_DATA(result)
        r.n = <size_t> PyArray_DIMS(x)[last]
        r.rows = <size_t> PyArray_SIZE(x) // r.n
        r.in_step[0] = r.out_step[0] = <ptrdiff_t> (r.n * item)
        r.in_step[1] = r.in_step[2] = 0
        r.param[0] = eps
        r.flags = 0
        run_rows(op, f, &r, COST)
        return result if out is None else out
    if not PyArray_CHKFLAGS(x, NPY_ARRAY_ALIGNED):
        x = contiguous(x)
    for axis in range(last):
        l.shape[axis] = <size_t> PyArray_DIMS(x)[axis]
    l.n = <size_t> PyArray_DIMS(x)[last]
    l.kept = last
    l.inputs = inputs
    l.outputs = 1
    l.itemsize = item
    l.cost = COST
    l.param[0] = eps
    l.transpose = K.transpose_f32 if type_num == NPY_FLOAT else K.transpose_f64
    set_operand(&l.operand[0], x)
    set_shared(&l.operand[1], weight, last)
    if inputs == 3:
        set_shared(&l.operand[2], bias, last)
    set_operand(&l.operand[inputs], result)
    with nogil:
        failed = run_lines(op, f, &l)
    if failed:
        no_memory(op)
    return result if out is None else out


cdef tuple norm_backward(const char *op, ody_rows_fn f32, ody_rows_fn f64, object given_grad, object given,
                         object given_weight, int sums, double eps):
    cdef ndarray grad = as_array(given_grad, op), x, weight = None, dx, dweight, dbias = None
    cdef int type_num = real_type(grad, op, "grad"), failed, last
    cdef ody_rows r
    cdef size_t item = 4 if type_num == NPY_FLOAT else 8
    cdef ptrdiff_t grad_step, x_step
    x = as_array(given, op)
    same_type(x, type_num, op, "x")
    check_axes(x, op)
    last = PyArray_NDIM(x) - 1
    if (<object> grad).shape != (<object> x).shape:
        raise ShapeError(f"{op.decode()}: grad and x must be of one shape\n  grad: {describe(grad)}    x: {describe(x)}")
    if given_weight is not None:
        weight = row_of(given_weight, x, type_num, op, "weight")
    dx = new_like(x, type_num)
    dweight = new_array(1, PyArray_DIMS(x) + last, type_num)
    if sums == 2:
        dbias = new_array(1, PyArray_DIMS(x) + last, type_num)
    r.n = <size_t> PyArray_DIMS(x)[last]
    r.rows = <size_t> PyArray_SIZE(x) // r.n if r.n else 0
    grad = row_contiguous(grad, &grad_step)
    x = row_contiguous(x, &x_step)
    r.in_[0] = PyArray_DATA(grad)
    r.in_[1] = PyArray_DATA(x)
    r.in_[2] = NULL if weight is None else PyArray_DATA(weight)
    r.in_[3] = NULL
    r.in_step[0] = grad_step
    r.in_step[1] = x_step
    r.in_step[2] = 0
    r.out[0] = PyArray_DATA(dx)
    r.out[1] = PyArray_DATA(dweight)
    r.out[2] = NULL if dbias is None else PyArray_DATA(dbias)
    r.out_step[0] = <ptrdiff_t> (r.n * item)
    r.out_step[1] = r.out_step[2] = 0
    r.param[0] = eps
    r.flags = 0
    with nogil:
        failed = run_norm_sums(op, f32 if type_num == NPY_FLOAT else f64,
                               K.add_f32 if type_num == NPY_FLOAT else K.add_f64, &r, sums, item)
    if failed:
        no_memory(op)
    return (dx, dweight, dbias) if sums == 2 else (dx, dweight)


def rms_norm(x: ArrayLike, weight: ArrayLike | None = None, eps: float = 1e-6, out: Array | None = None) -> Array:
    """x / √(mean(x²) + eps) · weight along the last axis.

    Args:
        x: float32 or float64, (..., n).
        weight: (n,), or None for ones.
        eps: added under the root.
        out: where to write, of x's shape and dtype; may be x itself.

    Returns:
        `out`, or a new array of x's shape and dtype. A row with NaN or infinity is NaN, or 0 over infinity.

    Raises:
        DTypeError, ShapeError, LayoutError: for arrays that do not fit.

    >>> od.rms_norm(np.float32([3, 4]), eps=0)
    array([0.84852815, 1.1313709 ], dtype=float32)

    Zhang, Sennrich 2019, "Root Mean Square Layer Normalization". `torch.nn.functional.rms_norm`.
    """
    return norm("rms_norm", K.rms_norm_f32, K.rms_norm_f64, x, weight, None, 2, eps, out)


def rms_norm_backward(
    grad: ArrayLike, x: ArrayLike, weight: ArrayLike | None = None, eps: float = 1e-6
) -> tuple[Array, Array]:
    """The gradients of rms_norm, those of x and of weight; statistics are computed again.

    With r = 1 / √(mean(x²) + eps) and h = grad · weight: r · (h - x · r² · mean(h · x)), and Σ grad · x · r over the rows.

    Args:
        grad: the gradient of the result.
        x, weight, eps: as the forward was given. Rows that are not contiguous are copied first.

    Returns:
        The gradients of x, of its shape, and of weight, (n,): without a weight, that of a weight of ones.

    Raises:
        DTypeError, ShapeError: for arrays that do not fit.

    >>> od.rms_norm_backward(np.float32([[1, 0]]), np.float32([[3, 4]]), eps=0)[0].round(4)
    array([[ 0.181 , -0.1358]], dtype=float32)
    """
    return norm_backward("rms_norm_backward", K.rms_norm_backward_f32, K.rms_norm_backward_f64, grad, x, weight, 1, eps)


def layer_norm(
    x: ArrayLike,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    eps: float = 1e-5,
    out: Array | None = None,
) -> Array:
    """(x - mean(x)) / √(var(x) + eps) · weight + bias along the last axis.

    Args:
        x: float32 or float64, (..., n).
        weight, bias: (n,), or None for ones and zeros.
        eps: added to the variance, which divides by n and is taken about the mean.
        out: where to write, of x's shape and dtype; may be x itself.

    Returns:
        `out`, or a new array of x's shape and dtype. A row with NaN or infinity is NaN.

    Raises:
        DTypeError, ShapeError, LayoutError: for arrays that do not fit.

    >>> od.layer_norm(np.float32([1, 3]), eps=0)
    array([-1.,  1.], dtype=float32)

    Ba, Kiros, Hinton 2016, "Layer Normalization". `torch.nn.functional.layer_norm` over one axis.
    """
    return norm("layer_norm", K.layer_norm_f32, K.layer_norm_f64, x, weight, bias, 3, eps, out)


def layer_norm_backward(
    grad: ArrayLike, x: ArrayLike, weight: ArrayLike | None = None, eps: float = 1e-5
) -> tuple[Array, Array, Array]:
    """The gradients of layer_norm, those of x, weight and bias; statistics are computed again.

    With r = 1 / √(var(x) + eps), d = x - mean(x) and h = grad · weight: r · (h - mean(h) - d · r² · mean(h · d)), and over
    the rows Σ grad · d · r and Σ grad.

    Args:
        grad: the gradient of the result.
        x, weight, eps: as the forward was given. Rows that are not contiguous are copied first.

    Returns:
        The gradients of x, of its shape, of weight and of bias, (n,): without them, those of ones and zeros.

    Raises:
        DTypeError, ShapeError: for arrays that do not fit.

    >>> od.layer_norm_backward(np.float32([[1, 0, 0]]), np.float32([[1, 2, 4]]))[2]
    array([1., 0., 0.], dtype=float32)
    """
    return norm_backward("layer_norm_backward", K.layer_norm_backward_f32, K.layer_norm_backward_f64, grad, x, weight, 2,
                         eps)
