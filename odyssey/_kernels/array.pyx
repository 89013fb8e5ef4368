"""Taking arrays in and handing results out: the checks that every entry shares."""
import numpy as np

cimport cython

from libc.stdint cimport int64_t
from libc.string cimport memcmp
from numpy cimport (NPY_ARRAY_ALIGNED, NPY_ARRAY_C_CONTIGUOUS, NPY_ARRAY_WRITEABLE, NPY_INT32, NPY_INT64,
                    PyArray_CHKFLAGS, PyArray_DATA, PyArray_DIMS, PyArray_ITEMSIZE, PyArray_NBYTES, PyArray_NDIM,
                    PyArray_SIZE, PyArray_STRIDES, PyArray_TYPE)

from odyssey._kernels cimport dispatch
from odyssey.errors import DTypeError, LayoutError, ShapeError

cnp.import_array()

# Results from this size on come from the block cache: below it, the system's allocator already reuses memory.
cdef enum:
    BLOCK_BYTES = 32768
cdef npy_intp block_bytes = BLOCK_BYTES


@cython.final
@cython.freelist(64)
cdef class Block:
    """Memory of the block cache, kept alive by the arrays that lie in it."""
    cdef void *memory

    def __dealloc__(self):
        dispatch.free(self.memory)


def all_from_blocks(bint on):
    """Whether results of every size come from the block cache, where they can be guarded."""
    global block_bytes
    block_bytes = 0 if on else BLOCK_BYTES


cdef str describe(ndarray x):
    return f"{(<object> x).shape} {(<object> x).dtype}"


cdef ndarray adopt(object x, const char *op):
    if isinstance(x, np.ndarray):
        return x.view(np.ndarray)
    if getattr(x, "requires_grad", False):
        raise DTypeError(
            f"{op.decode()}: expected an array, found a {type(x).__name__} that records gradients\n"
            f"  with gradients: odyssey.nn.functional.{op.decode()}(...)    without: pass x.data")
    try:
        return np.asarray(memoryview(x))
    except TypeError:
        pass
    if hasattr(x, "__dlpack__"):
        return np.from_dlpack(x)
    if hasattr(x, "__array_interface__") or hasattr(x, "__array__"):
        return np.asarray(x).view(np.ndarray)
    raise DTypeError(
        f"{op.decode()}: expected an array or any object with a buffer, found {type(x).__name__}\n"
        f"  remedy: np.asarray(x, dtype=np.float32), which copies")


cdef int real_type(ndarray x, const char *op, str name) except -1:
    cdef int type_num = PyArray_TYPE(x)
    if type_num != NPY_FLOAT and type_num != NPY_DOUBLE:
        raise DTypeError(
            f"{op.decode()}: {name} must be float32 or float64\n"
            f"  {name}: {describe(x)}\n"
            f"  remedy: {name}.astype(np.float32), which copies")
    if not cnp.PyArray_ISNOTSWAPPED(x):
        raise DTypeError(
            f"{op.decode()}: {name} must be in the machine's byte order\n"
            f"  {name}: {describe(x)}\n"
            f"  remedy: {name}.astype({name}.dtype.newbyteorder('=')), which copies")
    return type_num


cdef int same_type(ndarray x, int type_num, const char *op, str name) except -1:
    if real_type(x, op, name) != type_num:
        expected = "float32" if type_num == NPY_FLOAT else "float64"
        raise DTypeError(
            f"{op.decode()}: all arrays must have one dtype; expected {expected}, as the first has\n"
            f"  {name}: {describe(x)}\n"
            f"  remedy: {name}.astype(np.{expected}), which copies")
    return 0


cdef ndarray new_array(int ndim, const npy_intp *dims, int type_num):
    cdef npy_intp size = 4 if type_num == NPY_FLOAT else 8
    cdef npy_intp total = size
    cdef int axis
    cdef Block block
    cdef ndarray result
    for axis in range(ndim):
        total *= dims[axis]
    if total < block_bytes:
        return cnp.PyArray_EMPTY(ndim, <npy_intp *> dims, type_num, 0)
    block = Block.__new__(Block)
    block.memory = dispatch.alloc(<size_t> total)
    if block.memory == NULL:
        raise MemoryError(f"odyssey: no memory for an array of {total} bytes")
    result = cnp.PyArray_SimpleNewFromData(ndim, <npy_intp *> dims, type_num, block.memory)
    cnp.set_array_base(result, block)
    return result


cdef inline bint same_extents(const npy_intp *a, const npy_intp *b, int ndim) noexcept:
    """Of no axes there may be no pointer, which memcmp must not be given."""
    return ndim == 0 or memcmp(a, b, <size_t> ndim * sizeof(npy_intp)) == 0


cdef ndarray checked_out(object out, int ndim, const npy_intp *dims, int type_num, const char *op):
    if not isinstance(out, np.ndarray):
        raise LayoutError(f"{op.decode()}: out must be a NumPy array, found {type(out).__name__}")
    cdef ndarray array = out if cnp.PyArray_CheckExact(out) else out.view(np.ndarray)
    if PyArray_TYPE(array) != type_num or not cnp.PyArray_ISNOTSWAPPED(array):
        expected = np.dtype({<int> NPY_FLOAT: "float32", <int> NPY_DOUBLE: "float64"}.get(type_num, "int64"))
        raise DTypeError(f"{op.decode()}: out must have dtype {expected}\n  out: {describe(array)}")
    if PyArray_NDIM(array) != ndim or not same_extents(PyArray_DIMS(array), dims, ndim):
        expected_shape = tuple([dims[i] for i in range(ndim)])
        raise ShapeError(f"{op.decode()}: out must have shape {expected_shape}\n  out: {describe(array)}")
    if not PyArray_CHKFLAGS(array, NPY_ARRAY_WRITEABLE):
        raise LayoutError(f"{op.decode()}: out is read-only\n  out: {describe(array)}\n  remedy: pass a writable array")
    return array


cdef inline bint apart(ndarray a, ndarray b) noexcept:
    """Both contiguous, and one ends before the other begins: the common case, without a search."""
    cdef const char *first = <const char *> PyArray_DATA(a)
    cdef const char *second = <const char *> PyArray_DATA(b)
    return (PyArray_CHKFLAGS(a, NPY_ARRAY_C_CONTIGUOUS) and PyArray_CHKFLAGS(b, NPY_ARRAY_C_CONTIGUOUS)
            and (first + PyArray_NBYTES(a) <= second or second + PyArray_NBYTES(b) <= first))


cdef int check_overlap(ndarray out, ndarray x, const char *op, str name) except -1:
    if apart(out, x):
        return 0
    # One element is one element, whatever its axes.
    if PyArray_DATA(out) == PyArray_DATA(x) and PyArray_SIZE(out) == 1 and PyArray_SIZE(x) == 1:
        return 0
    if (PyArray_DATA(out) == PyArray_DATA(x) and PyArray_NDIM(out) == PyArray_NDIM(x)
            and same_extents(PyArray_DIMS(out), PyArray_DIMS(x), PyArray_NDIM(x))
            and same_extents(PyArray_STRIDES(out), PyArray_STRIDES(x), PyArray_NDIM(x))):
        return 0
    return check_disjoint(out, x, op, name)


cdef bint overlaps(ndarray a, ndarray b):
    # Exact for every layout one meets; what would take longer to find out than to compute counts as overlapping.
    try:
        return np.shares_memory(a, b, max_work=1 << 20)
    except np.exceptions.TooHardError:
        return True


cdef int check_disjoint(ndarray out, ndarray x, const char *op, str name) except -1:
    if apart(out, x) or not overlaps(out, x):
        return 0
    raise LayoutError(
        f"{op.decode()}: out overlaps {name} in memory, so results would destroy what is still to be read\n"
        f"  out: {describe(out)}    {name}: {describe(x)}\n"
        f"  remedy: give out memory of its own, or leave out= away")


cdef ndarray checked_numbers(object given, npy_intp count, const char *op, str name, str of):
    cdef ndarray numbers = as_array(given, op)
    cdef const int64_t *number
    cdef npy_intp i, size = PyArray_SIZE(numbers)
    cdef bint outside = False
    if PyArray_TYPE(numbers) not in (NPY_INT64, NPY_INT32) and numbers.dtype not in (np.int64, np.int32):
        raise DTypeError(f"{op.decode()}: {name} must be int64 or int32\n  {name}: {describe(numbers)}\n"
                         f"  remedy: {name}.astype(np.int64), which copies")
    numbers = np.asarray(numbers, np.int64, order="C")
    if not PyArray_CHKFLAGS(numbers, NPY_ARRAY_ALIGNED):
        numbers = numbers.copy()
    number = <const int64_t *> PyArray_DATA(numbers)
    with nogil:
        for i in range(size):
            outside |= (<size_t> number[i]) >= <size_t> count
    if outside:
        for i in range(size):
            if not 0 <= number[i] < count:
                where = ", ".join([str(place) for place in np.unravel_index(i, (<object> numbers).shape)])
                raise IndexError(f"{op.decode()}: {name} must lie in [0, {count}), {of}; found "
                                 f"{name}[{where}] = {number[i]}\n  {name}: {describe(numbers)}")
    return numbers


cdef ndarray contiguous(ndarray x):
    if (PyArray_CHKFLAGS(x, NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_ALIGNED)):
        return x
    cdef ndarray copy = new_like(x, PyArray_TYPE(x))
    cnp.PyArray_CopyInto(copy, x)
    return copy


cdef ndarray row_contiguous(ndarray x, ptrdiff_t *row_stride):
    cdef int ndim = PyArray_NDIM(x), axis, folded = -1
    cdef npy_intp *dims = PyArray_DIMS(x)
    cdef npy_intp *strides = PyArray_STRIDES(x)
    cdef npy_intp item = PyArray_ITEMSIZE(x)
    cdef npy_intp expected
    if PyArray_CHKFLAGS(x, NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_ALIGNED):
        row_stride[0] = dims[ndim - 1] * item if ndim else item
        return x
    if ndim >= 2 and PyArray_CHKFLAGS(x, NPY_ARRAY_ALIGNED) and (strides[ndim - 1] == item or dims[ndim - 1] == 1):
        # Leading axes fold when each one's stride is the next one's stride times its size.
        expected = 0
        for axis in range(ndim - 2, -1, -1):
            if dims[axis] == 1:
                continue
            if folded < 0:
                row_stride[0] = strides[axis]
                folded = axis
            elif strides[axis] != expected:
                break
            expected = strides[axis] * dims[axis]
        else:
            if folded < 0:
                row_stride[0] = dims[ndim - 1] * item
            return x
    cdef ndarray copy = contiguous(x)
    row_stride[0] = dims[ndim - 1] * item if ndim else item
    return copy


cdef ndarray rows_of(ndarray x):
    cdef npy_intp item = PyArray_ITEMSIZE(x)
    cdef int axis, last = PyArray_NDIM(x) - 1
    if not PyArray_CHKFLAGS(x, NPY_ARRAY_ALIGNED) or (PyArray_STRIDES(x)[last] != item and PyArray_DIMS(x)[last] > 1):
        return contiguous(x)
    for axis in range(last):
        if PyArray_STRIDES(x)[axis] % item:
            return contiguous(x)
    return x


cdef int normalise_axis(object axis, int ndim, const char *op) except -1:
    cdef Py_ssize_t given
    try:
        given = axis.__index__()
    except AttributeError:
        raise TypeError(f"{op.decode()}: axis must be an integer, found {type(axis).__name__}") from None
    if ndim == 0:
        raise ShapeError(f"{op.decode()}: axis {given} needs an array with axes, found one of shape ()\n"
                         f"  remedy: x[np.newaxis] has one")
    if not -ndim <= given < ndim:
        raise ShapeError(f"{op.decode()}: axis {given} is out of range for {ndim} dimensions; expected {-ndim} to {ndim - 1}")
    return <int> (given + ndim if given < 0 else given)


cdef int no_memory(const char *op) except -1:
    raise MemoryError(f"{op.decode()}: no memory for scratch space")
