"""Elementwise operations: NumPy's names and broadcasting, one pass over memory, the GIL released."""
from cpython.float cimport PyFloat_Check, PyFloat_CheckExact
from cpython.long cimport PyLong_Check, PyLong_CheckExact
from cpython.object cimport PyObject
from libc.stddef cimport size_t
from numpy cimport (NPY_ARRAY_ALIGNED, NPY_ARRAY_C_CONTIGUOUS, NPY_ARRAY_WRITEABLE, NPY_DOUBLE, NPY_FLOAT,
                    PyArray_CHKFLAGS, PyArray_CheckExact, PyArray_DATA, PyArray_DIMS, PyArray_ISNOTSWAPPED,
                    PyArray_NDIM, PyArray_SIZE, PyArray_STRIDES, PyArray_ToScalar, PyArray_TYPE, ndarray, npy_intp)
cimport numpy as cnp

from odyssey._kernels.array cimport (GIL_WORTH, as_array, check_overlap, checked_out, describe, new_array, new_like,
                                     no_memory, real_type, same_type)
from odyssey._kernels.dispatch cimport K, run_elementwise, run_map
from odyssey._kernels.kernels cimport ody_map, ody_map_fn
from odyssey._kernels.runtime cimport ody_elementwise

import numpy as np

from odyssey.errors import DTypeError, ShapeError

cnp.import_array()


# ---- the fast path ----------------------------------------------------------------------------------------------------

cdef inline bint plain(ndarray x) noexcept:
    return PyArray_CHKFLAGS(x, NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_ALIGNED) and PyArray_ISNOTSWAPPED(x)


cdef inline bint congruent(ndarray a, ndarray b) noexcept:
    """Same dtype, rank and shape."""
    cdef int axis
    if PyArray_TYPE(a) != PyArray_TYPE(b) or PyArray_NDIM(a) != PyArray_NDIM(b):
        return False
    for axis in range(PyArray_NDIM(a)):
        if PyArray_DIMS(a)[axis] != PyArray_DIMS(b)[axis]:
            return False
    return True


cdef inline bint apart(const void *a, size_t a_bytes, const void *b, size_t b_bytes) noexcept:
    return <const char *> a + a_bytes <= <const char *> b or <const char *> b + b_bytes <= <const char *> a


cdef inline object quick(const char *op, ody_map_fn f32, ody_map_fn f64, int count, PyObject **given, object out,
                         int cost, double p0, double p1, bint broadcasts):
    """Plain arrays of one shape, single values beside them, into a plain array or a new one: nothing to adopt,
    broadcast or stage. None for anything else."""
    cdef ody_map m
    cdef double wide[3]
    cdef float narrow[3]
    cdef ndarray lead, x, target
    cdef ody_map_fn f
    cdef int i = 0, type_num
    cdef size_t itemsize
    if count > 1 and not PyArray_CheckExact(<object> given[0]):
        i = 1
    if not PyArray_CheckExact(<object> given[i]):
        return None
    lead = <ndarray> given[i]
    type_num = PyArray_TYPE(lead)
    if not plain(lead) or (type_num != NPY_FLOAT and type_num != NPY_DOUBLE):
        return None
    itemsize = 4 if type_num == NPY_FLOAT else 8
    m.n = <size_t> PyArray_SIZE(lead)
    m.flags = 0
    for i in range(count):
        m.step[i] = 1
        if PyArray_CheckExact(<object> given[i]):
            x = <ndarray> given[i]
            m.in_[i] = PyArray_DATA(x)
            if x is lead or (congruent(x, lead) and plain(x)):
                continue
            # One value serves all elements.
            if (not broadcasts or PyArray_TYPE(x) != type_num or not plain(x) or PyArray_NDIM(x) > PyArray_NDIM(lead)
                    or PyArray_SIZE(x) != 1):
                return None
            m.step[i] = 0
        elif broadcasts and (PyFloat_CheckExact(<object> given[i]) or PyLong_CheckExact(<object> given[i])):
            wide[i] = <object> given[i]
            narrow[i] = <float> wide[i]
            m.in_[i] = <void *> &narrow[i] if type_num == NPY_FLOAT else <void *> &wide[i]
            m.step[i] = 0
        else:
            return None
    if out is None:
        target = new_like(lead, type_num)
    else:
        if not (PyArray_CheckExact(out) and congruent(<ndarray> out, lead) and plain(<ndarray> out)
                and PyArray_CHKFLAGS(<ndarray> out, NPY_ARRAY_WRITEABLE)):
            return None
        target = <ndarray> out
        for i in range(count):
            if m.step[i] == 1 and m.in_[i] == PyArray_DATA(target):
                continue
            if not apart(m.in_[i], m.n * itemsize if m.step[i] else itemsize, PyArray_DATA(target), m.n * itemsize):
                return None
    m.out[0] = PyArray_DATA(target)
    m.param[0] = p0
    m.param[1] = p1
    f = f32 if type_num == NPY_FLOAT else f64
    if m.n * <size_t> cost < GIL_WORTH:
        run_map(op, f, &m, count, 1, itemsize, cost)
    else:
        with nogil:
            run_map(op, f, &m, count, 1, itemsize, cost)
    if out is None and PyArray_NDIM(target) == 0:
        return PyArray_ToScalar(PyArray_DATA(target), target)
    return target


cdef object map1(const char *op, ody_map_fn f32, ody_map_fn f64, object x, object out, int cost, double p0, double p1):
    cdef PyObject *given[1]
    given[0] = <PyObject *> x
    cdef object result = quick(op, f32, f64, 1, given, out, cost, p0, p1, False)
    if result is not None:
        return result
    return elementwise(op, ("x",), f32, f64, 1, given, out, cost, p0, p1, False)


cdef object map2(const char *op, tuple names, ody_map_fn f32, ody_map_fn f64, object a, object b, object out, int cost,
                 double p0, double p1, bint broadcasts):
    cdef PyObject *given[2]
    given[0] = <PyObject *> a
    given[1] = <PyObject *> b
    cdef object result = quick(op, f32, f64, 2, given, out, cost, p0, p1, broadcasts)
    if result is not None:
        return result
    return elementwise(op, names, f32, f64, 2, given, out, cost, p0, p1, broadcasts)


cdef object map3(const char *op, tuple names, ody_map_fn f32, ody_map_fn f64, object a, object b, object c, object out,
                 int cost, double p0, double p1, bint broadcasts):
    cdef PyObject *given[3]
    given[0] = <PyObject *> a
    given[1] = <PyObject *> b
    given[2] = <PyObject *> c
    cdef object result = quick(op, f32, f64, 3, given, out, cost, p0, p1, broadcasts)
    if result is not None:
        return result
    return elementwise(op, names, f32, f64, 3, given, out, cost, p0, p1, broadcasts)


# ---- the general path -------------------------------------------------------------------------------------------------

cdef str shapes_of(tuple names, list arrays):
    return "    ".join([f"{name}: {describe(x)}" for name, x in zip(names, arrays) if x is not None])


cdef str broadcast_remedy(tuple names, list arrays):
    """A reshape that lets a vector meet the one axis it fits; else the rule."""
    shapes = [x.shape for x in arrays if x is not None]
    for name, x in zip(names, arrays):
        if x is None or x.ndim != 1:
            continue
        for shape in shapes:
            fits = [axis for axis in range(len(shape) - 1) if shape[axis] == x.size]
            if len(fits) != 1:
                continue
            ones = [1] * (len(shape) - 1 - fits[0])
            try:
                np.broadcast_shapes(*[(x.size, *ones) if other == x.shape else other for other in shapes])
            except ValueError:
                continue
            return f"remedy: to meet axis {fits[0]}, {name}.reshape({', '.join(map(str, [-1, *ones]))})"
    return "remedy: counted from the right, sizes must be equal or 1"


cdef object elementwise(const char *op, tuple names, ody_map_fn f32, ody_map_fn f64, int count, PyObject **given,
                        object out, int cost, double p0, double p1, bint broadcasts):
    cdef ody_elementwise e
    cdef npy_intp dims[64]
    cdef npy_intp size
    cdef size_t elements = 1
    cdef int ndim = 0, type_num = -1, numbers = 0, i, axis, lead, failed
    cdef ndarray x, result
    cdef double wide[4]
    cdef float narrow[4]
    cdef ody_map_fn f
    cdef list arrays = [None] * count
    for i in range(count):
        # NumPy's float64 scalar is a Python float too: it joins float32 arrays as a number, and float64 ones alike.
        numbers += PyFloat_Check(<object> given[i]) or PyLong_Check(<object> given[i])
    for i in range(count):
        if broadcasts and (
                PyFloat_CheckExact(<object> given[i]) or PyLong_CheckExact(<object> given[i])
                or numbers < count and (PyFloat_Check(<object> given[i]) or PyLong_Check(<object> given[i]))):
            continue
        x = as_array(<object> given[i], op)
        arrays[i] = x
        if type_num < 0:
            type_num = real_type(x, op, names[i])
        else:
            same_type(x, type_num, op, names[i])
        ndim = max(ndim, PyArray_NDIM(x))
    if type_num < 0:
        raise DTypeError(
            f"{op.decode()}: expected at least one array\n"
            f"  found: Python numbers only\n"
            f"  remedy: the math module or NumPy serves these")
    for axis in range(ndim):
        dims[axis] = 1
    for i in range(count):
        if arrays[i] is None:
            continue
        x = arrays[i]
        lead = ndim - PyArray_NDIM(x)
        for axis in range(lead, ndim):
            size = PyArray_DIMS(x)[axis - lead]
            if size == dims[axis] or size == 1:
                continue
            if dims[axis] != 1 and broadcasts:
                raise ShapeError(
                    f"{op.decode()}: shapes do not broadcast: sizes {dims[axis]} and {size} meet on axis {axis - ndim}\n"
                    f"  {shapes_of(names, arrays)}\n"
                    f"  {broadcast_remedy(names, arrays)}")
            dims[axis] = size
    if not broadcasts:
        for i in range(count):
            if (<object> arrays[i]).shape != (<object> arrays[0]).shape:
                raise ShapeError(
                    f"{op.decode()}: {' and '.join(names)} must have one shape\n"
                    f"  {shapes_of(names, arrays)}")
    if out is None:
        result = new_array(ndim, dims, type_num)
    else:
        result = checked_out(out, ndim, dims, type_num, op)
        for i in range(count):
            if arrays[i] is not None:
                check_overlap(result, arrays[i], op, names[i])

    e.ndim = ndim
    e.inputs = count
    e.outputs = 1
    e.itemsize = 4 if type_num == NPY_FLOAT else 8
    e.cost = cost
    e.param[0] = p0
    e.param[1] = p1
    for axis in range(ndim):
        e.shape[axis] = <size_t> dims[axis]
        elements *= e.shape[axis]
    for i in range(count):
        if arrays[i] is None:
            wide[i] = <object> given[i]
            narrow[i] = <float> wide[i]
            e.operand[i].data = <char *> &narrow[i] if type_num == NPY_FLOAT else <char *> &wide[i]
            for axis in range(ndim):
                e.operand[i].stride[axis] = 0
            continue
        x = arrays[i]
        lead = ndim - PyArray_NDIM(x)
        e.operand[i].data = <char *> PyArray_DATA(x)
        for axis in range(ndim):
            if axis < lead or (PyArray_DIMS(x)[axis - lead] == 1 and dims[axis] != 1):
                e.operand[i].stride[axis] = 0
            else:
                e.operand[i].stride[axis] = PyArray_STRIDES(x)[axis - lead]
    e.operand[count].data = <char *> PyArray_DATA(result)
    for axis in range(ndim):
        e.operand[count].stride[axis] = PyArray_STRIDES(result)[axis]
    f = f32 if type_num == NPY_FLOAT else f64
    if elements * <size_t> cost < GIL_WORTH:
        failed = run_elementwise(op, f, &e)
    else:
        with nogil:
            failed = run_elementwise(op, f, &e)
    if failed:
        no_memory(op)
    if out is not None:
        return out
    return PyArray_ToScalar(PyArray_DATA(result), result) if ndim == 0 else result


# ---- arithmetic -------------------------------------------------------------------------------------------------------

def add(a: ArrayLike | float, b: ArrayLike | float, out: Array | None = None) -> Array:
    """a + b, elementwise, as `numpy.add`.

    Args:
        a, b: float32 or float64, of one dtype; shapes broadcast. One of them may be a Python number.
        out: a writable array of the result's shape and dtype. May be a or b itself, may not partly overlap them.

    Returns:
        `out`, or a new array; without axes, a NumPy scalar.

    Raises:
        DTypeError: for another dtype, or two.
        ShapeError: for shapes that do not broadcast, or an `out` of another shape.
        LayoutError: for an `out` that is read-only or partly overlaps an operand.

    >>> od.add(np.float32([1, 2]), np.float32([[10], [20]]))
    array([[11., 12.],
           [21., 22.]], dtype=float32)
    """
    return binary("add", K.add_f32, K.add_f64, a, b, out, 1)


def subtract(a: ArrayLike | float, b: ArrayLike | float, out: Array | None = None) -> Array:
    """a - b, elementwise, as `numpy.subtract`. Operands, `out` and errors as in `add`.

    >>> od.subtract(np.float32([1, 2]), 3.0)
    array([-2., -1.], dtype=float32)
    """
    return binary("subtract", K.subtract_f32, K.subtract_f64, a, b, out, 1)


def multiply(a: ArrayLike | float, b: ArrayLike | float, out: Array | None = None) -> Array:
    """a * b, elementwise, as `numpy.multiply`. Operands, `out` and errors as in `add`.

    >>> od.multiply(np.float32([1, 2]), np.float32([3, 4]))
    array([3., 8.], dtype=float32)
    """
    return binary("multiply", K.multiply_f32, K.multiply_f64, a, b, out, 1)


def divide(a: ArrayLike | float, b: ArrayLike | float, out: Array | None = None) -> Array:
    """a / b, elementwise, as `numpy.divide`: x / 0 is an infinity of x's sign, 0 / 0 is NaN.

    Operands, `out` and errors as in `add`. No warning is issued.

    >>> od.divide(1.0, np.float32([2, 4]))
    array([0.5 , 0.25], dtype=float32)
    """
    return binary("divide", K.divide_f32, K.divide_f64, a, b, out, 3)


def minimum(a: ArrayLike | float, b: ArrayLike | float, out: Array | None = None) -> Array:
    """The smaller of a and b, NaN where either is, as `numpy.minimum`; of two zeros, b's.

    Operands, `out` and errors as in `add`.

    >>> od.minimum(np.float32([1, np.nan, 5]), 3.0)
    array([ 1., nan,  3.], dtype=float32)
    """
    return binary("minimum", K.minimum_f32, K.minimum_f64, a, b, out, 1)


def maximum(a: ArrayLike | float, b: ArrayLike | float, out: Array | None = None) -> Array:
    """The larger of a and b, NaN where either is, as `numpy.maximum`; of two zeros, b's.

    Operands, `out` and errors as in `add`.

    >>> od.maximum(np.float32([1, np.nan, 5]), 3.0)
    array([ 3., nan,  5.], dtype=float32)
    """
    return binary("maximum", K.maximum_f32, K.maximum_f64, a, b, out, 1)


def power(a: ArrayLike | float, b: ArrayLike | float, out: Array | None = None) -> Array:
    """a to the power b, elementwise, within 1 ulp, as C's `pow`: NaN for a negative a and a b that is no integer.

    Operands, `out` and errors as in `add`.

    >>> od.power(np.float32([2, 3, -2]), 3.0)
    array([ 8., 27., -8.], dtype=float32)
    """
    return binary("power", K.power_f32, K.power_f64, a, b, out, 36)


def scale(x: ArrayLike, alpha: float, out: Array | None = None) -> Array:
    """alpha * x, alpha rounded to x's dtype first (BLAS's scal). `out` and errors as in `add`.

    >>> od.scale(np.float32([1, 2]), 0.5)
    array([0.5, 1. ], dtype=float32)
    """
    return map1("scale", K.scale_f32, K.scale_f64, x, out, 1, alpha, 0)


def axpy(alpha: float, x: ArrayLike, y: ArrayLike, out: Array | None = None) -> Array:
    """alpha * x + y, rounded once; alpha rounded to x's dtype first (BLAS's axpy; in place with `out=y`).

    x and y broadcast; operands, `out` and errors as in `add`.

    >>> od.axpy(2.0, np.float32([1, 2]), np.float32([10, 20]))
    array([12., 24.], dtype=float32)
    """
    return map2("axpy", ("x", "y"), K.axpy_f32, K.axpy_f64, x, y, out, 1, alpha, 0, True)


def fma(a: ArrayLike | float, b: ArrayLike | float, c: ArrayLike | float, out: Array | None = None) -> Array:
    """a * b + c, rounded once (IEEE 754's fusedMultiplyAdd).

    Shapes broadcast; one or two operands may be Python numbers. `out` and errors as in `add`.

    >>> tiny = np.float32(2.0**-12)
    >>> od.fma(1 + tiny, 1 + tiny, -(1 + 2 * tiny))    # the product alone would round this to 0
    np.float32(5.9604645e-08)
    """
    return map3("fma", ("a", "b", "c"), K.fma_f32, K.fma_f64, a, b, c, out, 2, 0, 0, True)


# ---- functions --------------------------------------------------------------------------------------------------------

def exp(x: ArrayLike, out: Array | None = None) -> Array:
    """e to the power x, elementwise, within 1 ulp, as `numpy.exp`. `out` and errors as in `add`.

    >>> od.exp(np.float32([0, 1]))
    array([1.       , 2.7182817], dtype=float32)
    """
    return unary("exp", K.exp_f32, K.exp_f64, x, out, 6)


def log(x: ArrayLike, out: Array | None = None) -> Array:
    """The natural logarithm within 1 ulp, as `numpy.log`: -inf at 0, NaN below. `out` and errors as in `add`.

    >>> od.log(np.float32([1, 10]))
    array([0.       , 2.3025851], dtype=float32)
    """
    return unary("log", K.log_f32, K.log_f64, x, out, 7)


def log2(x: ArrayLike, out: Array | None = None) -> Array:
    """The logarithm to base 2 within 1 ulp, as `numpy.log2`: exact for powers of two, -inf at 0, NaN below.

    `out` and errors as in `add`.

    >>> od.log2(np.float32([1, 1024]))
    array([ 0., 10.], dtype=float32)
    """
    return unary("log2", K.log2_f32, K.log2_f64, x, out, 7)


def sqrt(x: ArrayLike, out: Array | None = None) -> Array:
    """The square root, correctly rounded, as `numpy.sqrt`: NaN below 0. `out` and errors as in `add`.

    >>> od.sqrt(np.float32([4, 2]))
    array([2.       , 1.4142135], dtype=float32)
    """
    return unary("sqrt", K.sqrt_f32, K.sqrt_f64, x, out, 4)


def reciprocal(x: ArrayLike, out: Array | None = None) -> Array:
    """1 / x, correctly rounded, as `numpy.reciprocal`: an infinity of x's sign at 0. `out` and errors as in `add`.

    >>> od.reciprocal(np.float32([2, 5]))
    array([0.5, 0.2], dtype=float32)
    """
    return unary("reciprocal", K.reciprocal_f32, K.reciprocal_f64, x, out, 3)


def sin(x: ArrayLike, out: Array | None = None) -> Array:
    """The sine of x in radians within 1 ulp for any finite x, as `numpy.sin`; NaN at the infinities.

    `out` and errors as in `add`.

    >>> od.sin(np.float32([0, 1]))
    array([0.      , 0.841471], dtype=float32)
    """
    return unary("sin", K.sin_f32, K.sin_f64, x, out, 10)


def cos(x: ArrayLike, out: Array | None = None) -> Array:
    """The cosine of x in radians within 1 ulp for any finite x, as `numpy.cos`; NaN at the infinities.

    `out` and errors as in `add`.

    >>> od.cos(np.float32([0, 1]))
    array([1.       , 0.5403023], dtype=float32)
    """
    return unary("cos", K.cos_f32, K.cos_f64, x, out, 10)


def erf(x: ArrayLike, out: Array | None = None) -> Array:
    """The error function, 2/sqrt(pi) times the integral of exp(-t^2) from 0 to x, within 1 ulp, as `torch.erf`.

    `out` and errors as in `add`.

    >>> od.erf(np.float32([0, 1]))
    array([0.       , 0.8427008], dtype=float32)
    """
    return unary("erf", K.erf_f32, K.erf_f64, x, out, 7)


def erf_backward(grad: ArrayLike, x: ArrayLike, out: Array | None = None) -> Array:
    """The gradient of `erf` at x: grad * 2/sqrt(pi) * exp(-x^2). grad and x have one shape (else ShapeError).

    `out` and other errors as in `add`.

    >>> od.erf_backward(np.float32([1]), np.float32([0]))
    array([1.1283792], dtype=float32)
    """
    return backward("erf_backward", K.erf_backward_f32, K.erf_backward_f64, grad, x, out, 12, 0, 0)


def clip(x: ArrayLike, low: float, high: float, out: Array | None = None) -> Array:
    """min(max(x, low), high), as `numpy.clip`: NaN stays NaN, and a bound that is NaN makes all NaN.

    low and high are rounded to x's dtype first. `out` and errors as in `add`.

    >>> od.clip(np.float32([-3, 0.5, 3]), -1.0, 1.0)
    array([-1. ,  0.5,  1. ], dtype=float32)
    """
    cdef double smallest = low, largest = high
    if smallest != smallest or largest != largest:
        return map1("clip", K.scale_f32, K.scale_f64, x, out, 1, smallest + largest, 0)
    return map1("clip", K.clip_f32, K.clip_f64, x, out, 1, smallest, largest)


def clip_backward(grad: ArrayLike, x: ArrayLike, low: float, high: float, out: Array | None = None) -> Array:
    """The gradient of `clip` at x: grad where low <= x <= high, else 0, as `torch.clamp`'s.

    grad and x have one shape (else ShapeError); `out` and other errors as in `add`.

    >>> od.clip_backward(np.float32([5, 6, 7]), np.float32([-3, 1, 3]), -1.0, 1.0)
    array([0., 6., 0.], dtype=float32)
    """
    return backward("clip_backward", K.clip_backward_f32, K.clip_backward_f64, grad, x, out, 1, low, high)
