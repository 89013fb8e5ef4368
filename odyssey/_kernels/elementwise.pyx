"""Elementwise operations: NumPy's names and broadcasting, one pass over memory, the GIL released."""
cimport cython
from cpython.float cimport PyFloat_CheckExact
from cpython.long cimport PyLong_CheckExact
from cpython.object cimport PyObject
from libc.stddef cimport ptrdiff_t, size_t
from libc.string cimport memcmp, memcpy
from numpy cimport (NPY_ARRAY_ALIGNED, NPY_ARRAY_C_CONTIGUOUS, NPY_ARRAY_WRITEABLE, NPY_DOUBLE, NPY_FLOAT,
                    PyArray_CHKFLAGS, PyArray_CheckExact, PyArray_DATA, PyArray_DIMS, PyArray_ISNOTSWAPPED,
                    PyArray_NDIM, PyArray_SIZE, PyArray_STRIDES, PyArray_TYPE, ndarray, npy_intp)
cimport numpy as cnp

from odyssey._kernels.array cimport (GIL_WORTH, adopt, as_array, check_overlap, checked_out, describe, new_array,
                                     new_like, no_memory, real_type, same_type)
from odyssey._kernels.dispatch cimport K, run_elementwise, run_map
from odyssey._kernels.kernels cimport ody_map, ody_map_fn
from odyssey._kernels.runtime cimport ody_elementwise

from odyssey.errors import DTypeError, ShapeError

cnp.import_array()

cdef tuple OPERAND_NAMES = ("a", "b", "c", "d")


cdef inline bint plain(ndarray x) noexcept:
    return PyArray_CHKFLAGS(x, NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_ALIGNED) and PyArray_ISNOTSWAPPED(x)


cdef inline bint congruent(ndarray a, ndarray b) noexcept:
    """Same dtype, rank and shape."""
    return (PyArray_TYPE(a) == PyArray_TYPE(b) and PyArray_NDIM(a) == PyArray_NDIM(b)
            and memcmp(PyArray_DIMS(a), PyArray_DIMS(b), <size_t> PyArray_NDIM(a) * sizeof(npy_intp)) == 0)


cdef inline bint same_or_apart(ndarray out, ndarray x, size_t nbytes) noexcept:
    cdef const char *o = <const char *> PyArray_DATA(out)
    cdef const char *i = <const char *> PyArray_DATA(x)
    return o == i or o + nbytes <= i or i + nbytes <= o


cdef inline void run_plain(const char *op, ody_map_fn f, ody_map *m, int inputs, size_t itemsize, int cost) noexcept:
    if m.n * <size_t> cost < GIL_WORTH:
        run_map(op, f, m, inputs, 1, itemsize, cost)
    else:
        with nogil:
            run_map(op, f, m, inputs, 1, itemsize, cost)


cdef object elementwise(const char *op, ody_map_fn f32, ody_map_fn f64, int count, PyObject **inputs, object out,
                        const double *param, int cost):
    """The general path: anything adopted, broadcast, checked, walked with its strides."""
    cdef ody_elementwise e
    cdef npy_intp dims[64]
    cdef npy_intp size
    cdef int ndim = 0, type_num = -1, i, axis, lead, failed
    cdef ndarray x, result
    cdef double scalars[4]
    cdef float *narrow
    cdef list arrays = [None] * count
    cdef object given
    for i in range(count):
        given = <object> inputs[i]
        if count > 1 and (PyFloat_CheckExact(given) or PyLong_CheckExact(given)):
            continue
        x = as_array(given, op)
        arrays[i] = x
        if type_num < 0:
            type_num = real_type(x, op, OPERAND_NAMES[i])
        else:
            same_type(x, type_num, op, OPERAND_NAMES[i])
        ndim = max(ndim, PyArray_NDIM(x))
    if type_num < 0:
        raise DTypeError(f"{op.decode()}: expected at least one array, found only Python numbers; NumPy or math serves these")
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
            if dims[axis] != 1:
                shapes = "    ".join([f"{OPERAND_NAMES[j]}: {describe(arrays[j])}" for j in range(count)
                                      if arrays[j] is not None])
                raise ShapeError(
                    f"{op.decode()}: shapes do not broadcast: sizes {dims[axis]} and {size} meet on axis {axis - ndim}\n"
                    f"  {shapes}\n"
                    f"  remedy: from the right, sizes must be equal or 1")
            dims[axis] = size
    if out is None:
        result = new_array(ndim, dims, type_num)
    else:
        result = checked_out(out, ndim, dims, type_num, op)
        for i in range(count):
            if arrays[i] is not None:
                check_overlap(result, arrays[i], op, OPERAND_NAMES[i])

    e.ndim = ndim
    e.inputs = count
    e.outputs = 1
    e.itemsize = 4 if type_num == NPY_FLOAT else 8
    e.cost = cost
    if param != NULL:
        memcpy(e.param, param, sizeof(e.param))
    for axis in range(ndim):
        e.shape[axis] = <size_t> dims[axis]
    for i in range(count):
        if arrays[i] is None:
            scalars[i] = <object> inputs[i]
            if type_num == NPY_FLOAT:
                narrow = <float *> &scalars[i]
                narrow[0] = <float> scalars[i]
            e.operand[i].data = <char *> &scalars[i]
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
    with nogil:
        failed = run_elementwise(op, f32 if type_num == NPY_FLOAT else f64, &e)
    if failed:
        no_memory(op)
    return result if out is None else out


cdef object unary(const char *op, ody_map_fn f32, ody_map_fn f64, object x, object out, int cost):
    cdef PyObject *inputs[1]
    cdef ndarray source, target
    cdef ody_map m
    cdef int type_num
    cdef size_t itemsize
    # A plain array into a plain array or a new one: nothing to broadcast, adopt or stage.
    if PyArray_CheckExact(x) and plain(<ndarray> x):
        source = <ndarray> x
        type_num = PyArray_TYPE(source)
        if type_num == NPY_FLOAT or type_num == NPY_DOUBLE:
            itemsize = 4 if type_num == NPY_FLOAT else 8
            m.n = <size_t> PyArray_SIZE(source)
            m.in_[0] = PyArray_DATA(source)
            m.step[0] = 1
            m.flags = 0
            if out is None:
                target = new_like(source, type_num)
                m.out[0] = PyArray_DATA(target)
                run_plain(op, f32 if type_num == NPY_FLOAT else f64, &m, 1, itemsize, cost)
                return target
            if (PyArray_CheckExact(out) and plain(<ndarray> out) and congruent(<ndarray> out, source)
                    and PyArray_CHKFLAGS(<ndarray> out, NPY_ARRAY_WRITEABLE)
                    and same_or_apart(<ndarray> out, source, m.n * itemsize)):
                m.out[0] = PyArray_DATA(<ndarray> out)
                run_plain(op, f32 if type_num == NPY_FLOAT else f64, &m, 1, itemsize, cost)
                return out
    inputs[0] = <PyObject *> x
    return elementwise(op, f32, f64, 1, inputs, out, NULL, cost)


cdef object binary(const char *op, ody_map_fn f32, ody_map_fn f64, object a, object b, object out, int cost):
    cdef PyObject *inputs[2]
    cdef ndarray first, second, target
    cdef ody_map m
    cdef int type_num
    cdef size_t itemsize, nbytes
    if PyArray_CheckExact(a) and PyArray_CheckExact(b) and plain(<ndarray> a) and plain(<ndarray> b):
        first = <ndarray> a
        second = <ndarray> b
        type_num = PyArray_TYPE(first)
        if congruent(first, second) and (type_num == NPY_FLOAT or type_num == NPY_DOUBLE):
            itemsize = 4 if type_num == NPY_FLOAT else 8
            m.n = <size_t> PyArray_SIZE(first)
            m.in_[0] = PyArray_DATA(first)
            m.in_[1] = PyArray_DATA(second)
            m.step[0] = m.step[1] = 1
            m.flags = 0
            if out is None:
                target = new_like(first, type_num)
                m.out[0] = PyArray_DATA(target)
                run_plain(op, f32 if type_num == NPY_FLOAT else f64, &m, 2, itemsize, cost)
                return target
            nbytes = m.n * itemsize
            if (PyArray_CheckExact(out) and plain(<ndarray> out) and congruent(<ndarray> out, first)
                    and PyArray_CHKFLAGS(<ndarray> out, NPY_ARRAY_WRITEABLE)
                    and same_or_apart(<ndarray> out, first, nbytes) and same_or_apart(<ndarray> out, second, nbytes)):
                m.out[0] = PyArray_DATA(<ndarray> out)
                run_plain(op, f32 if type_num == NPY_FLOAT else f64, &m, 2, itemsize, cost)
                return out
    inputs[0] = <PyObject *> a
    inputs[1] = <PyObject *> b
    return elementwise(op, f32, f64, 2, inputs, out, NULL, cost)


def add(a: ArrayLike, b: ArrayLike, out: Array | None = None) -> Array:
    """a + b, elementwise, broadcast as NumPy does.

    Args:
        a, b: float32 or float64, one dtype; one of them may be a Python number.
        out: where to write; may be a or b itself.

    Returns:
        `out`, or a new array of the broadcast shape.

    Raises:
        DTypeError, ShapeError, LayoutError: for operands that do not fit.

    >>> od.add(np.float32([1, 2]), np.float32([10, 20]))
    array([11., 22.], dtype=float32)
    """
    return binary("add", K.add_f32, K.add_f64, a, b, out, 1)


def exp(x: ArrayLike, out: Array | None = None) -> Array:
    """e to the power x, elementwise, within 1 ulp.

    >>> od.exp(np.float32([0, 1]))
    array([1.       , 2.7182817], dtype=float32)
    """
    return unary("exp", K.exp_f32, K.exp_f64, x, out, 12)
