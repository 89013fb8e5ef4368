# cython: binding=False, embedsignature=True, embedsignature.format=clinic
"""Tensors of a fixed dtype, and of a fixed shape: the flat namespace's operations without its acquisitions.

An operation here has two ways. The quick one serves what small calls are made of: contiguous operands of one shape, numbers
beside them. It reads their places from C fields, fills the struct that the flat namespace would fill, and calls the same driver
with the same kernel of the active table. Anything else (broadcasting, strides, other arrays, and every error) is handed to the
flat namespace as views of the same memory. So both ways give the same bits, and no operation is written twice.
"""
cimport cython
from cpython.buffer cimport PyBUF_FORMAT, PyBUF_STRIDES, PyBUF_WRITABLE, PyBUF_ND
from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBUF_F_CONTIGUOUS, PyBUF_ANY_CONTIGUOUS
from cpython.float cimport PyFloat_CheckExact
from cpython.object cimport PyObject
from cpython.long cimport PyLong_CheckExact
from libc.stddef cimport ptrdiff_t, size_t
from libc.string cimport memcmp, memcpy, memset
from numpy cimport (NPY_ARRAY_ALIGNED, NPY_ARRAY_C_CONTIGUOUS, NPY_ARRAY_WRITEABLE, NPY_DOUBLE, NPY_FLOAT, PyArray_CHKFLAGS,
                    PyArray_CopyInto, PyArray_DATA, PyArray_DIMS, PyArray_NDIM, PyArray_SIZE, PyArray_STRIDES, PyArray_TYPE,
                    ndarray, npy_intp)
cimport numpy as cnp

from odyssey._kernels.array cimport GIL_WORTH, as_array, describe, no_memory, real_type
from odyssey._kernels.dispatch cimport K, alloc, free, run_gemm, run_map, run_rows
from odyssey._kernels.kernels cimport (ODY_IDENTITY, ODY_STRIDED, ody_map, ody_map_fn, ody_rows, ody_rows_fn)
from odyssey._kernels.linear cimport activation_code
from odyssey._kernels.runtime cimport ody_gemm_stack

import numpy as np

from odyssey._kernels import activations, elementwise, linear, reductions, softmax
from odyssey.errors import DTypeError, LayoutError, ShapeError

cnp.import_array()


cdef extern from "Python.h":
    ctypedef struct PyType_Slot:
        int slot
        void *pfunc
    ctypedef struct PyType_Spec:
        const char *name
        int basicsize
        int itemsize
        unsigned int flags
        PyType_Slot *slots
    enum:
        Py_TPFLAGS_DEFAULT
        Py_TPFLAGS_BASETYPE
    object PyType_FromSpecWithBases(PyType_Spec *spec, object bases)
    ctypedef struct PyTypeObject:
        Py_ssize_t tp_basicsize


cdef enum:
    MOST_BYTES = 65536 # of a FixedTensor
    SCRATCH_ROWS = 64  # of reductions in two passes
    DIVIDE = 3         # an element's work, in additions, where it stands more than once
    POWER = 36


# ---- the two ways -------------------------------------------------------------------------------------------------------

cdef dict FLAT = {name: function for family in (activations, elementwise, linear, reductions, softmax)
                  for name, function in vars(family).items()}
cdef dict NO_OPTIONS = {}


cdef inline object as_view(object x):
    return (<TypedTensor> x).view() if isinstance(x, TypedTensor) else x


cdef object wrap(object result):
    """An operation's result as a tensor; what is neither float32 nor float64 stays as it is."""
    cdef TypedTensor tensor
    cdef int type_num
    result = np.asarray(result)
    type_num = PyArray_TYPE(<ndarray> result)
    if type_num != NPY_FLOAT and type_num != NPY_DOUBLE or PyArray_NDIM(<ndarray> result) > MOST_AXES:
        return result if PyArray_NDIM(<ndarray> result) else result[()]
    tensor = empty(type_num)
    tensor.adopt(result, result)
    return tensor


cdef object general(str op, tuple given, object out, dict options):
    """The flat namespace's function, on views."""
    cdef list views = [as_view(x) for x in given]
    if out is None:
        return wrap(FLAT[op](*views, **options))
    FLAT[op](*views, out=as_view(out), **options)
    return out


cdef inline TypedTensor empty(int type_num):
    cdef TypedTensor tensor
    if type_num == NPY_FLOAT:
        tensor = Float32Tensor.__new__(Float32Tensor)
    else:
        tensor = Float64Tensor.__new__(Float64Tensor)
    tensor.type_num = type_num
    return tensor


cdef inline size_t itemsize(TypedTensor x) noexcept:
    return 4 if x.type_num == NPY_FLOAT else 8


cdef TypedTensor fresh(int type_num, int ndim, const npy_intp *dims):
    """A tensor with memory of its own, uninitialised."""
    cdef TypedTensor tensor = empty(type_num)
    cdef size_t item = 4 if type_num == NPY_FLOAT else 8
    tensor.set_shape(ndim, dims, item)
    tensor.writeable = True
    if tensor.size * item <= INLINE_BYTES:
        tensor.data = tensor.inside
        return tensor
    tensor.memory = tensor.data = alloc(tensor.size * item)
    if tensor.data == NULL:
        raise MemoryError(f"odyssey: no memory for a tensor of {tensor.size * item} bytes")
    return tensor


cdef inline bint congruent(TypedTensor a, TypedTensor b) noexcept:
    """Both plain, of one dtype and shape."""
    cdef int axis
    if not (a.plain and b.plain) or a.type_num != b.type_num or a.ndim != b.ndim:
        return False
    for axis in range(a.ndim):
        if a.dims[axis] != b.dims[axis]:
            return False
    return True


cdef inline bint apart(TypedTensor a, TypedTensor b) noexcept:
    return (<char *> a.data + a.size * itemsize(a) <= <char *> b.data
            or <char *> b.data + b.size * itemsize(b) <= <char *> a.data)


cdef inline bint clear(TypedTensor x, TypedTensor y) noexcept:
    """y, congruent with x, is x's memory or does not touch it."""
    return x.data == y.data or apart(x, y)


cdef inline TypedTensor target_like(TypedTensor lead, object out):
    """Where an elementwise result goes: a new tensor, or out where nothing is to be said about it; else None."""
    if out is None:
        return fresh(lead.type_num, lead.ndim, lead.dims)
    if is_tensor(out, lead) and congruent(lead, <TypedTensor> out) and (<TypedTensor> out).writeable:
        return <TypedTensor> out
    return None


cdef inline bint is_tensor(object x, TypedTensor like) noexcept:
    return type(x) is type(like) or isinstance(x, TypedTensor)


cdef inline int run(const char *op, ody_map_fn f32, ody_map_fn f64, ody_map *m, TypedTensor y, int count, int cost, double p0,
                    double p1) except -1:
    cdef ody_map_fn f = f32 if y.type_num == NPY_FLOAT else f64
    cdef size_t item = itemsize(y)
    m.out[0] = y.data
    m.n = y.size
    m.flags = 0
    m.param[0] = p0
    m.param[1] = p1
    if m.n * <size_t> cost < GIL_WORTH:
        run_map(op, f, m, count, 1, item, cost)
    else:
        with nogil:
            run_map(op, f, m, count, 1, item, cost)
    return 0


cdef inline TypedTensor quick1(const char *op, ody_map_fn f32, ody_map_fn f64, TypedTensor x, object out, int cost, double p0,
                               double p1):
    cdef ody_map m
    cdef TypedTensor y
    if not x.plain:
        return None
    y = target_like(x, out)
    if y is None or (out is not None and not clear(x, y)):
        return None
    m.in_[0] = x.data
    m.step[0] = 1
    run(op, f32, f64, &m, y, 1, cost, p0, p1)
    return y


cdef inline TypedTensor quick2(const char *op, ody_map_fn f32, ody_map_fn f64, TypedTensor a, TypedTensor b, object out, int cost):
    """Two tensors of one shape."""
    cdef ody_map m
    cdef TypedTensor y
    if not congruent(a, b):
        return None
    y = target_like(a, out)
    if y is None or (out is not None and not (clear(a, y) and clear(b, y))):
        return None
    m.in_[0] = a.data
    m.in_[1] = b.data
    m.step[0] = m.step[1] = 1
    run(op, f32, f64, &m, y, 2, cost, 0, 0)
    return y


cdef inline TypedTensor quick_number(const char *op, ody_map_fn f32, ody_map_fn f64, TypedTensor x, object number, bint first,
                                     object out, int cost):
    """A tensor, and a Python number before it or after it."""
    cdef ody_map m
    cdef double wide
    cdef float narrow
    cdef TypedTensor y
    if not (PyFloat_CheckExact(number) or PyLong_CheckExact(number)) or not x.plain:
        return None
    wide = number
    narrow = <float> wide
    y = target_like(x, out)
    if y is None or (out is not None and not clear(x, y)):
        return None
    m.in_[1 - first] = <void *> &narrow if x.type_num == NPY_FLOAT else <void *> &wide
    m.step[1 - first] = 0
    m.in_[first] = x.data
    m.step[first] = 1
    run(op, f32, f64, &m, y, 2, cost, 0, 0)
    return y


cdef inline object unary(const char *op, ody_map_fn f32, ody_map_fn f64, TypedTensor x, object out, int cost):
    cdef TypedTensor y = quick1(op, f32, f64, x, out, cost, 0, 0)
    return y if y is not None else general(op.decode(), (x,), out, NO_OPTIONS)


cdef inline object with_one(const char *op, ody_map_fn f32, ody_map_fn f64, TypedTensor x, object option, object out, int cost):
    cdef TypedTensor y = quick1(op, f32, f64, x, out, cost, option, 0)
    return y if y is not None else general(op.decode(), (x, option), out, NO_OPTIONS)


cdef inline object with_two(const char *op, ody_map_fn f32, ody_map_fn f64, TypedTensor x, object first, object second,
                            object out, int cost):
    cdef TypedTensor y = quick1(op, f32, f64, x, out, cost, first, second)
    return y if y is not None else general(op.decode(), (x, first, second), out, NO_OPTIONS)


cdef inline object binary(const char *op, ody_map_fn f32, ody_map_fn f64, TypedTensor a, object b, object out, int cost):
    cdef TypedTensor y
    if is_tensor(b, a):
        y = quick2(op, f32, f64, a, <TypedTensor> b, out, cost)
    else:
        y = quick_number(op, f32, f64, a, b, False, out, cost)
    return y if y is not None else general(op.decode(), (a, b), out, NO_OPTIONS)


# The other operand comes first, and is no tensor.
cdef inline object swapped(const char *op, ody_map_fn f32, ody_map_fn f64, TypedTensor a, object b, int cost):
    cdef TypedTensor y = quick_number(op, f32, f64, a, b, True, None, cost)
    return y if y is not None else general(op.decode(), (b, a), None, NO_OPTIONS)


# ---- rows: softmax, reductions ----------------------------------------------------------------------------------------------

cdef object LAST = -1


cdef inline bint rows_of(TypedTensor x, object axis, ody_rows *r) noexcept:
    """Whether x is rows to be walked at once: all of it, or along its last axis."""
    cdef size_t n
    cdef int k
    if not x.plain or x.size == 0:
        return False
    if axis is None:
        n = x.size
    elif axis is LAST and x.ndim > 0:
        n = <size_t> x.dims[x.ndim - 1]
    else:
        return False
    r.n = n
    r.rows = x.size // n
    r.in_[0] = x.data
    r.in_step[0] = <ptrdiff_t> (n * itemsize(x))
    for k in range(1, 4):
        r.in_[k] = NULL
        r.in_step[k] = 0
    r.out[1] = r.out[2] = NULL
    r.flags = 0
    return True


cdef inline object soft(const char *op, ody_rows_fn f32, ody_rows_fn f64, TypedTensor x, object axis, object out):
    cdef ody_rows r
    cdef TypedTensor y
    if axis is not None and x.size * 12 < GIL_WORTH and rows_of(x, axis, &r):
        y = target_like(x, out)
        if y is not None and (out is None or clear(x, y)):
            r.out[0] = y.data
            r.out_step[0] = r.in_step[0]
            run_rows(op, f32 if x.type_num == NPY_FLOAT else f64, &r, 12)
            return y
    return general(op.decode(), (x,), out, {"axis": axis})


# A kernel of one pass, or, where f32 is preceded by another, of two: the first's results are the second's in1.
cdef inline object reduced(const char *op, ody_rows_fn before_f32, ody_rows_fn before_f64, ody_rows_fn f32, ody_rows_fn f64,
                           TypedTensor x, object axis, object keepdims, object out, bint divides, double less, dict options):
    cdef ody_rows r
    cdef TypedTensor y
    cdef npy_intp dims[MOST_AXES]
    cdef double between[SCRATCH_ROWS]
    cdef int ndim = 0, i
    cdef bint narrow = x.type_num == NPY_FLOAT, kept = keepdims is not False
    cdef size_t item = itemsize(x)
    if x.size * item < GIL_WORTH and (keepdims is False or keepdims is True) and rows_of(x, axis, &r) and r.rows <= SCRATCH_ROWS:
        for i in range(x.ndim):
            if axis is not None and i < x.ndim - 1:
                dims[ndim] = x.dims[i]
                ndim += 1
            elif kept:
                dims[ndim] = 1
                ndim += 1
        if out is None:
            y = fresh(x.type_num, ndim, dims)
        elif isinstance(out, TypedTensor):
            y = <TypedTensor> out
            if not (y.plain and y.writeable) or y.type_num != x.type_num or y.ndim != ndim or not apart(x, y):
                y = None
            else:
                for i in range(ndim):
                    if y.dims[i] != dims[i]:
                        y = None
                        break
        else:
            y = None
        if y is not None:
            r.out_step[0] = <ptrdiff_t> item
            if before_f32 != NULL:
                r.out[0] = between
                r.param[0] = <double> r.n
                run_rows(op, before_f32 if narrow else before_f64, &r, 1)
                r.in_[1] = between
                r.in_step[1] = <ptrdiff_t> item
            r.out[0] = y.data
            r.param[0] = 1
            if divides:
                r.param[0] = <double> r.n - less if <double> r.n > less else 0
            run_rows(op, f32 if narrow else f64, &r, 1)
            return y
    return general(op.decode(), (x,), out, {"axis": axis, "keepdims": keepdims, **options})


# ---- products ---------------------------------------------------------------------------------------------------------------

cdef inline object quick_product(const char *op, TypedTensor a, TypedTensor b, bint transposed, TypedTensor bias, object out,
                                 int activation):
    """a @ b, or a @ b.T; of two axes each, small."""
    cdef ody_gemm_stack stack
    cdef npy_intp dims[2]
    cdef TypedTensor y
    cdef size_t m, n, k
    if a.ndim != 2 or b.ndim != 2 or not (a.plain and b.plain) or a.type_num != b.type_num:
        return None
    m, k = <size_t> a.dims[0], <size_t> a.dims[1]
    n = <size_t> b.dims[0 if transposed else 1]
    if <size_t> b.dims[1 if transposed else 0] != k or m * n * k >= GIL_WORTH or m == 0 or n == 0:
        return None
    if bias is not None and (not bias.plain or bias.type_num != a.type_num or bias.ndim != 1 or <size_t> bias.dims[0] != n):
        return None
    dims[0], dims[1] = <npy_intp> m, <npy_intp> n
    if out is None:
        y = fresh(a.type_num, 2, dims)
    else:
        if not isinstance(out, TypedTensor):
            return None
        y = <TypedTensor> out
        if (not (y.plain and y.writeable) or y.type_num != a.type_num or y.ndim != 2 or y.dims[0] != dims[0]
                or y.dims[1] != dims[1] or not apart(a, y) or not apart(b, y) or (bias is not None and not apart(bias, y))):
            return None
    stack.ndim = 0
    stack.itemsize = itemsize(a)
    stack.first.m = m
    stack.first.n = n
    stack.first.k = k
    stack.first.a = a.data
    stack.first.b = b.data
    stack.first.c = y.data
    stack.first.a_row = <ptrdiff_t> k
    stack.first.a_col = 1
    stack.first.b_row = 1 if transposed else <ptrdiff_t> n
    stack.first.b_col = <ptrdiff_t> k if transposed else 1
    stack.first.c_row = <ptrdiff_t> n
    stack.first.bias = NULL if bias is None else bias.data
    stack.first.alpha = 1
    stack.first.beta = 0
    stack.first.activation = activation
    stack.first.format = ODY_STRIDED
    stack.first.scale = NULL
    if run_gemm(op, K.gemm_f32 if a.type_num == NPY_FLOAT else K.gemm_f64,
                K.gemm_workspace_f32 if a.type_num == NPY_FLOAT else K.gemm_workspace_f64, &stack):
        no_memory(op)
    return y


cdef inline object product(object a, object b, object out):
    if isinstance(a, TypedTensor) and isinstance(b, TypedTensor):
        y = quick_product("matmul", <TypedTensor> a, <TypedTensor> b, False, None, out, ODY_IDENTITY)
        if y is not None:
            return y
    return general("matmul", (a, b), out, NO_OPTIONS)


# ---- the class --------------------------------------------------------------------------------------------------------------

@cython.no_gc
@cython.freelist(32)
cdef class TypedTensor:
    """An array of float32 or float64, whichever its class says, for operations on few elements.

    `TypedTensor[np.float32]` is `Float32Tensor`, `TypedTensor[np.float64]` is `Float64Tensor`; they are what one makes. The
    operations of the flat namespace are its methods, with the same arguments, `out` among them, the same results to the bit and
    the same errors, and give tensors of its class. Two dtypes never mix: that is a DTypeError, and a type checker sees it.
    Memory is shared with the array it is made of, with what is made of it, and with its views; each keeps the other alive.

    Args:
        x: what the elements are: an ndarray of the class's dtype and of at most 8 axes, another tensor, or anything with a buffer
            or DLPack. Its memory is used, not copied.

    Raises:
        DTypeError: for another dtype.

    >>> a = od.Float32Tensor(np.float32([1, 2, 3]))
    >>> a + a
    Float32Tensor([2., 4., 6.])
    >>> a.multiply(2.0, out=a).sum()
    Float32Tensor(12.)
    """

    __array_priority__ = 1000

    def __init__(self, x):
        cdef int type_num
        cdef ndarray array
        cls = type(self)
        if self.data != NULL:
            raise TypeError(f"{cls.__name__}: a tensor is made once; this one is in use")
        if isinstance(self, Float32Tensor):
            type_num = NPY_FLOAT
        elif isinstance(self, Float64Tensor):
            type_num = NPY_DOUBLE
        else:
            raise TypeError("TypedTensor: expected a class with a dtype\n  remedy: TypedTensor[np.float32](x)")
        array = as_array(as_view(x), "TypedTensor")
        if PyArray_TYPE(array) != type_num or not cnp.PyArray_ISNOTSWAPPED(array):
            expected = "float32" if type_num == NPY_FLOAT else "float64"
            raise DTypeError(f"{cls.__name__}: expected {expected}\n  x: {describe(array)}\n"
                             f"  remedy: x.astype(np.{expected}), which copies")
        self.type_num = type_num
        self.adopt(array, array)

    def __dealloc__(self):
        if self.memory != NULL:
            free(self.memory)

    @classmethod
    def __class_getitem__(cls, key):
        """The class of that dtype, float32 or float64; DTypeError for another."""
        try:
            number = np.dtype(key).num
        except TypeError:
            number = -1
        if number != NPY_FLOAT and number != NPY_DOUBLE:
            raise DTypeError(f"TypedTensor: expected np.float32 or np.float64 in brackets, found {key!r}")
        return Float32Tensor if number == NPY_FLOAT else Float64Tensor

    cdef int set_shape(self, int ndim, const npy_intp *dims, size_t item) except -1:
        """As of a contiguous array."""
        cdef int axis
        cdef size_t size = 1
        self.ndim = ndim
        for axis in range(ndim - 1, -1, -1):
            self.dims[axis] = dims[axis]
            self.steps[axis] = <npy_intp> (size * item)
            size *= <size_t> dims[axis]
        self.size = size
        self.plain = True
        return 0

    cdef int adopt(self, ndarray array, object owner) except -1:
        cdef int axis, ndim = PyArray_NDIM(array)
        if ndim > MOST_AXES:
            raise ShapeError(f"{type(self).__name__}: expected at most {<int> MOST_AXES} axes, found {ndim}\n"
                             f"  remedy: the flat namespace takes the ndarray as it is")
        self.ndim = ndim
        self.size = <size_t> PyArray_SIZE(array)
        for axis in range(ndim):
            self.dims[axis] = PyArray_DIMS(array)[axis]
            self.steps[axis] = PyArray_STRIDES(array)[axis]
        self.plain = PyArray_CHKFLAGS(array, NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_ALIGNED)
        self.writeable = PyArray_CHKFLAGS(array, NPY_ARRAY_WRITEABLE)
        self.data = PyArray_DATA(array)
        self.owner = owner
        return 0

    cdef ndarray view(self):
        if self.data == NULL:
            raise ValueError(f"{type(self).__name__}: this tensor was made without __init__ and holds nothing")
        cdef ndarray array = cnp.PyArray_New(ndarray, self.ndim, self.dims, self.type_num, self.steps, self.data, 0,
                                             NPY_ARRAY_WRITEABLE if self.writeable else 0, None)
        cnp.set_array_base(array, self)
        return array

    # ---- as an array ----------------------------------------------------------------------------------------------------

    def numpy(self):
        """The elements as an ndarray, over the same memory."""
        return self.view()

    def __array__(self, dtype=None, copy=None):
        array = self.view()
        if dtype is not None and np.dtype(dtype) != array.dtype:
            if copy is False:
                raise ValueError(f"expected no copy, found a conversion from {array.dtype} to {np.dtype(dtype)}")
            return array.astype(dtype)
        return array.copy() if copy else array

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        cdef bint contiguous = self.plain
        if self.data == NULL:
            raise BufferError("this tensor was made without __init__ and holds nothing")
        if flags & PyBUF_WRITABLE and not self.writeable:
            raise BufferError("this tensor is read-only")
        if not contiguous and ((flags & PyBUF_STRIDES) != PyBUF_STRIDES or (flags & PyBUF_C_CONTIGUOUS) == PyBUF_C_CONTIGUOUS
                               or (flags & PyBUF_ANY_CONTIGUOUS) == PyBUF_ANY_CONTIGUOUS):
            raise BufferError("this tensor is not contiguous\n  remedy: .copy() of it is")
        if (flags & PyBUF_F_CONTIGUOUS) == PyBUF_F_CONTIGUOUS and self.ndim > 1:
            raise BufferError("this tensor is not in Fortran's order")
        buffer.buf = self.data
        buffer.obj = self
        buffer.itemsize = <Py_ssize_t> itemsize(self)
        buffer.len = <Py_ssize_t> self.size * buffer.itemsize
        buffer.readonly = not self.writeable
        buffer.ndim = self.ndim
        buffer.format = NULL
        if flags & PyBUF_FORMAT:
            buffer.format = b"f" if self.type_num == NPY_FLOAT else b"d"
        buffer.shape = <Py_ssize_t *> self.dims if flags & PyBUF_ND else NULL
        buffer.strides = <Py_ssize_t *> self.steps if (flags & PyBUF_STRIDES) == PyBUF_STRIDES else NULL
        buffer.suboffsets = NULL
        buffer.internal = NULL

    def __dlpack__(self, **options):
        """The DLPack capsule, over the same memory."""
        return self.view().__dlpack__(**options)

    def __dlpack_device__(self):
        """The processor's memory."""
        return self.view().__dlpack_device__()

    def __reduce__(self):
        return type(self), (np.array(self.view()),)

    def copy(self):
        """The same elements in contiguous memory of its own."""
        cdef TypedTensor y = fresh(self.type_num, self.ndim, self.dims)
        y.view()[...] = self.view()
        return y

    def astype(self, dtype):
        """A tensor of that dtype, converted; always a copy."""
        return TypedTensor[dtype](self.view().astype(dtype))

    def item(self):
        """The only element, as a Python number."""
        return self.view().item()

    def tolist(self):
        """The elements as nested lists of Python numbers."""
        return self.view().tolist()

    @property
    def shape(self):
        """The size of each axis."""
        cdef int axis
        return tuple([self.dims[axis] for axis in range(self.ndim)])

    @property
    def strides(self):
        """The bytes from one element to the next along each axis."""
        cdef int axis
        return tuple([self.steps[axis] for axis in range(self.ndim)])

    @property
    def dtype(self):
        """The class's dtype."""
        return cnp.PyArray_DescrFromType(self.type_num)

    @property
    def ndim(self):
        """The number of axes."""
        return self.ndim

    @property
    def size(self):
        """The number of elements."""
        return self.size

    @property
    def nbytes(self):
        """The bytes of all elements."""
        return self.size * itemsize(self)

    @property
    def T(self):
        """The axes in reverse order: a view."""
        return wrap(self.view().T)

    def reshape(self, *shape):
        """The same elements in another shape: a view where the layout allows it, as in NumPy."""
        return wrap(self.view().reshape(*shape))

    def transpose(self, *axes):
        """The axes in that order, or reversed: a view."""
        return wrap(self.view().transpose(*axes))

    def __len__(self):
        if self.ndim == 0:
            raise TypeError(f"{type(self).__name__}: a tensor of no axes has no length")
        return self.dims[0]

    def __iter__(self):
        return map(wrap, self.view())

    def __getitem__(self, index):
        """NumPy's indexing: a tensor; slices are views."""
        return wrap(self.view()[index])

    def __setitem__(self, index, value):
        """NumPy's assignment, of numbers and of what has this dtype."""
        found = getattr(value, "dtype", None)
        if found is not None and found != self.dtype:
            raise DTypeError(f"{type(self).__name__}: expected {self.dtype} to assign\n"
                             f"  value: {tuple(value.shape)} {found}\n  remedy: value.astype(np.{self.dtype}), which copies")
        self.view()[index] = as_view(value)

    def __float__(self):
        return float(self.view().item())

    def __bool__(self):
        return bool(self.view())

    def __repr__(self):
        name = type(self).__name__
        return f"{name}({np.array2string(self.view(), separator=', ', prefix=name + '(', threshold=100)})"

    def __eq__(self, other):
        return self.view() == as_view(other)

    def __ne__(self, other):
        return self.view() != as_view(other)

    def __lt__(self, other):
        return self.view() < as_view(other)

    def __le__(self, other):
        return self.view() <= as_view(other)

    def __gt__(self, other):
        return self.view() > as_view(other)

    def __ge__(self, other):
        return self.view() >= as_view(other)

    def __hash__(self):
        return object.__hash__(self)

    # ---- operators --------------------------------------------------------------------------------------------------------

    def __add__(self, other):
        return binary("add", K.add_f32, K.add_f64, self, other, None, 1)

    def __radd__(self, other):
        return swapped("add", K.add_f32, K.add_f64, self, other, 1)

    def __iadd__(self, other):
        return binary("add", K.add_f32, K.add_f64, self, other, self, 1)

    def __sub__(self, other):
        return binary("subtract", K.subtract_f32, K.subtract_f64, self, other, None, 1)

    def __rsub__(self, other):
        return swapped("subtract", K.subtract_f32, K.subtract_f64, self, other, 1)

    def __isub__(self, other):
        return binary("subtract", K.subtract_f32, K.subtract_f64, self, other, self, 1)

    def __mul__(self, other):
        return binary("multiply", K.multiply_f32, K.multiply_f64, self, other, None, 1)

    def __rmul__(self, other):
        return swapped("multiply", K.multiply_f32, K.multiply_f64, self, other, 1)

    def __imul__(self, other):
        return binary("multiply", K.multiply_f32, K.multiply_f64, self, other, self, 1)

    def __truediv__(self, other):
        return binary("divide", K.divide_f32, K.divide_f64, self, other, None, DIVIDE)

    def __rtruediv__(self, other):
        return swapped("divide", K.divide_f32, K.divide_f64, self, other, DIVIDE)

    def __itruediv__(self, other):
        return binary("divide", K.divide_f32, K.divide_f64, self, other, self, DIVIDE)

    def __pow__(self, other, modulo):
        return binary("power", K.power_f32, K.power_f64, self, other, None, POWER)

    def __rpow__(self, other, modulo):
        return swapped("power", K.power_f32, K.power_f64, self, other, POWER)

    def __matmul__(self, other):
        return product(self, other, None)

    def __rmatmul__(self, other):
        return product(other, self, None)

    def __neg__(self):
        return with_one("scale", K.scale_f32, K.scale_f64, self, -1.0, None, 1)

    # ---- elementwise: what each does stands in the flat namespace's function of the name --------------------------------------

    def add(self, other, out=None):
        """self + other: `odyssey.add`."""
        return binary("add", K.add_f32, K.add_f64, self, other, out, 1)

    def subtract(self, other, out=None):
        """self - other: `odyssey.subtract`."""
        return binary("subtract", K.subtract_f32, K.subtract_f64, self, other, out, 1)

    def multiply(self, other, out=None):
        """self * other: `odyssey.multiply`."""
        return binary("multiply", K.multiply_f32, K.multiply_f64, self, other, out, 1)

    def divide(self, other, out=None):
        """self / other: `odyssey.divide`."""
        return binary("divide", K.divide_f32, K.divide_f64, self, other, out, DIVIDE)

    def minimum(self, other, out=None):
        """The smaller of both, NaN if one is NaN: `odyssey.minimum`."""
        return binary("minimum", K.minimum_f32, K.minimum_f64, self, other, out, 1)

    def maximum(self, other, out=None):
        """The larger of both, NaN if one is NaN: `odyssey.maximum`."""
        return binary("maximum", K.maximum_f32, K.maximum_f64, self, other, out, 1)

    def power(self, other, out=None):
        """self ** other: `odyssey.power`."""
        return binary("power", K.power_f32, K.power_f64, self, other, out, POWER)

    def scale(self, alpha, out=None):
        """alpha * self: `odyssey.scale`."""
        return with_one("scale", K.scale_f32, K.scale_f64, self, alpha, out, 1)

    def fma(self, b, c, out=None):
        """self * b + c, rounded once: `odyssey.fma`."""
        cdef ody_map m
        cdef TypedTensor y = None
        if (is_tensor(b, self) and is_tensor(c, self) and congruent(self, <TypedTensor> b) and congruent(self, <TypedTensor> c)):
            y = target_like(self, out)
        if y is None or (out is not None and not (clear(self, y) and clear(<TypedTensor> b, y) and clear(<TypedTensor> c, y))):
            return general("fma", (self, b, c), out, NO_OPTIONS)
        m.in_[0] = self.data
        m.in_[1] = (<TypedTensor> b).data
        m.in_[2] = (<TypedTensor> c).data
        m.step[0] = m.step[1] = m.step[2] = 1
        run("fma", K.fma_f32, K.fma_f64, &m, y, 3, 2, 0, 0)
        return y

    def clip(self, low, high, out=None):
        """Between low and high: `odyssey.clip`."""
        if low != low or high != high:
            return general("clip", (self, low, high), out, NO_OPTIONS)
        return with_two("clip", K.clip_f32, K.clip_f64, self, low, high, out, 1)

    def exp(self, out=None):
        """`odyssey.exp`, element by element."""
        return unary("exp", K.exp_f32, K.exp_f64, self, out, 6)

    def log(self, out=None):
        """`odyssey.log`, element by element."""
        return unary("log", K.log_f32, K.log_f64, self, out, 7)

    def log2(self, out=None):
        """`odyssey.log2`, element by element."""
        return unary("log2", K.log2_f32, K.log2_f64, self, out, 7)

    def sqrt(self, out=None):
        """`odyssey.sqrt`, element by element."""
        return unary("sqrt", K.sqrt_f32, K.sqrt_f64, self, out, 4)

    def reciprocal(self, out=None):
        """`odyssey.reciprocal`, element by element."""
        return unary("reciprocal", K.reciprocal_f32, K.reciprocal_f64, self, out, 3)

    def sin(self, out=None):
        """`odyssey.sin`, element by element."""
        return unary("sin", K.sin_f32, K.sin_f64, self, out, 10)

    def cos(self, out=None):
        """`odyssey.cos`, element by element."""
        return unary("cos", K.cos_f32, K.cos_f64, self, out, 10)

    def erf(self, out=None):
        """`odyssey.erf`, element by element."""
        return unary("erf", K.erf_f32, K.erf_f64, self, out, 7)

    # ---- activations ---------------------------------------------------------------------------------------------------

    def relu(self, out=None):
        """`odyssey.relu`, element by element."""
        return unary("relu", K.relu_f32, K.relu_f64, self, out, 1)

    def relu6(self, out=None):
        """`odyssey.relu6`, element by element."""
        return unary("relu6", K.relu6_f32, K.relu6_f64, self, out, 1)

    def hard_sigmoid(self, out=None):
        """`odyssey.hard_sigmoid`, element by element."""
        return unary("hard_sigmoid", K.hard_sigmoid_f32, K.hard_sigmoid_f64, self, out, 1)

    def hard_swish(self, out=None):
        """`odyssey.hard_swish`, element by element."""
        return unary("hard_swish", K.hard_swish_f32, K.hard_swish_f64, self, out, 1)

    def hard_tanh(self, out=None):
        """`odyssey.hard_tanh`, element by element."""
        return unary("hard_tanh", K.hard_tanh_f32, K.hard_tanh_f64, self, out, 1)

    def selu(self, out=None):
        """`odyssey.selu`, element by element."""
        return unary("selu", K.selu_f32, K.selu_f64, self, out, 12)

    def sigmoid(self, out=None):
        """`odyssey.sigmoid`, element by element."""
        return unary("sigmoid", K.sigmoid_f32, K.sigmoid_f64, self, out, 12)

    def tanh(self, out=None):
        """`odyssey.tanh`, element by element."""
        return unary("tanh", K.tanh_f32, K.tanh_f64, self, out, 8)

    def silu(self, out=None):
        """`odyssey.silu`, element by element."""
        return unary("silu", K.silu_f32, K.silu_f64, self, out, 8)

    def mish(self, out=None):
        """`odyssey.mish`, element by element."""
        return unary("mish", K.mish_f32, K.mish_f64, self, out, 12)

    def leaky_relu(self, negative_slope=0.01, out=None):
        """`odyssey.leaky_relu`, element by element."""
        return with_one("leaky_relu", K.leaky_relu_f32, K.leaky_relu_f64, self, negative_slope, out, 1)

    def elu(self, alpha=1.0, out=None):
        """`odyssey.elu`, element by element."""
        return with_one("elu", K.elu_f32, K.elu_f64, self, alpha, out, 12)

    def softplus(self, beta=1.0, threshold=20.0, out=None):
        """`odyssey.softplus`, element by element."""
        return with_two("softplus", K.softplus_f32, K.softplus_f64, self, beta, threshold, out, 16)

    def gelu(self, approximate="none", out=None):
        """`odyssey.gelu`, element by element."""
        cdef TypedTensor y = None
        if approximate == "none":
            y = quick1("gelu", K.gelu_f32, K.gelu_f64, self, out, 16, 0, 0)
        elif approximate == "tanh":
            y = quick1("gelu", K.gelu_tanh_f32, K.gelu_tanh_f64, self, out, 10, 0, 0)
        return y if y is not None else general("gelu", (self, approximate), out, NO_OPTIONS)

    def prelu(self, weight, out=None):
        """`odyssey.prelu`: weight has one entry, or one for each channel."""
        return general("prelu", (self, weight), out, NO_OPTIONS)

    # ---- rows ----------------------------------------------------------------------------------------------------------

    def softmax(self, axis=-1, out=None):
        """Along `axis`: `odyssey.softmax`."""
        return soft("softmax", K.softmax_f32, K.softmax_f64, self, axis, out)

    def log_softmax(self, axis=-1, out=None):
        """Along `axis`: `odyssey.log_softmax`."""
        return soft("log_softmax", K.log_softmax_f32, K.log_softmax_f64, self, axis, out)

    def sum(self, axis=None, keepdims=False, out=None):
        """The sum over `axis`, all axes by default: `odyssey.sum`; a tensor without axes where none is left."""
        return reduced("sum", NULL, NULL, K.sum_rows_f32, K.sum_rows_f64, self, axis, keepdims, out, False, 0,
                       NO_OPTIONS)

    def mean(self, axis=None, keepdims=False, out=None):
        """The mean over `axis`, all axes by default: `odyssey.mean`; a tensor without axes where none is left."""
        return reduced("mean", NULL, NULL, K.sum_rows_f32, K.sum_rows_f64, self, axis, keepdims, out, True, 0,
                       NO_OPTIONS)

    def var(self, axis=None, ddof=0, keepdims=False, out=None):
        """The mean squared distance from the mean, by n - ddof, over `axis`, all axes by default: `odyssey.var`; a tensor without axes where none is left."""
        return reduced("var", K.sum_rows_f32, K.sum_rows_f64, K.deviations_rows_f32, K.deviations_rows_f64, self, axis, keepdims, out, True, <double> ddof,
                       {"ddof": ddof} if ddof else NO_OPTIONS)

    def max(self, axis=None, keepdims=False, out=None):
        """The largest element over `axis`, all axes by default: `odyssey.max`; a tensor without axes where none is left."""
        return reduced("max", NULL, NULL, K.max_rows_f32, K.max_rows_f64, self, axis, keepdims, out, False, 0,
                       NO_OPTIONS)

    def min(self, axis=None, keepdims=False, out=None):
        """The smallest element over `axis`, all axes by default: `odyssey.min`; a tensor without axes where none is left."""
        return reduced("min", NULL, NULL, K.min_rows_f32, K.min_rows_f64, self, axis, keepdims, out, False, 0,
                       NO_OPTIONS)

    def norm(self, axis=None, keepdims=False, out=None):
        """The square root of the sum of squares over `axis`, all axes by default: `odyssey.norm`; a tensor without axes where none is left."""
        return reduced("norm", NULL, NULL, K.norm_rows_f32, K.norm_rows_f64, self, axis, keepdims, out, False, 0,
                       NO_OPTIONS)

    def logsumexp(self, axis=None, keepdims=False, out=None):
        """The logarithm of the sum of e^x over `axis`, all axes by default: `odyssey.logsumexp`; a tensor without axes where none is left."""
        return reduced("logsumexp", K.max_rows_f32, K.max_rows_f64, K.logsumexp_rows_f32, K.logsumexp_rows_f64, self, axis, keepdims, out, False, 0,
                       NO_OPTIONS)

    def argmax(self, axis=None, keepdims=False, out=None):
        """Where the first maximum stands, as int64: `odyssey.argmax`; an ndarray, or a NumPy scalar."""
        return general("argmax", (self,), out, {"axis": axis, "keepdims": keepdims})

    def dot(self, other, out=None):
        """The sum of products of two vectors: `odyssey.dot`; a tensor without axes."""
        cdef ody_rows r
        cdef TypedTensor y
        if (out is None and isinstance(other, TypedTensor) and self.ndim == 1 and congruent(self, <TypedTensor> other)
                and self.size < GIL_WORTH and rows_of(self, None, &r)):
            y = fresh(self.type_num, 0, NULL)
            r.in_[1] = (<TypedTensor> other).data
            r.in_step[1] = r.in_step[0]
            r.out[0] = y.data
            r.out_step[0] = 0
            r.param[0] = 1
            run_rows("dot", K.dot_f32 if self.type_num == NPY_FLOAT else K.dot_f64, &r, 1)
            return y
        return general("dot", (self, other), out, NO_OPTIONS)

    # ---- products ------------------------------------------------------------------------------------------------------

    def matmul(self, other, out=None, alpha=1.0, beta=0.0):
        """alpha * self @ other + beta * out: `odyssey.matmul`."""
        if alpha == 1 and beta == 0:
            return product(self, other, out)
        return general("matmul", (self, other), out, {"alpha": alpha, "beta": beta})

    def linear(self, weight, bias=None, activation=None, out=None):
        """activation(self @ weight.T + bias): `odyssey.linear`."""
        if isinstance(weight, TypedTensor) and (bias is None or isinstance(bias, TypedTensor)):
            y = quick_product("linear", self, <TypedTensor> weight, True, <TypedTensor> bias, out,
                              activation_code(activation, "linear"))
            if y is not None:
                return y
        return general("linear", (self, weight, bias, activation), out, NO_OPTIONS)


@cython.no_gc
cdef class Float32Tensor(TypedTensor):
    """`TypedTensor` of float32."""


@cython.no_gc
cdef class Float64Tensor(TypedTensor):
    """`TypedTensor` of float64."""


# ---- shapes that a class knows --------------------------------------------------------------------------------------------

cdef dict CLASSES = {}
cdef list NAMES = []  # what the types' specifications point to


cdef inline size_t fields() noexcept:
    """The bytes of an instance before elements that do not fit among its fields."""
    return (<size_t> (<PyTypeObject *> TypedTensor).tp_basicsize + 15) // 16 * 16


cdef inline bint is_size(object size):
    return hasattr(size, "__index__") and not isinstance(size, type) and int(size) > 0


cdef object fixed_class(type base, object dtype, tuple sizes):
    """The class of that base, dtype and shape: made once. Its instances are as long as their elements need."""
    cdef PyType_Slot slots[1]
    cdef PyType_Spec spec
    cdef size_t count = 1
    name = f"{base.__name__}[{', '.join([*(['float64'] if dtype == np.float64 else []), *map(str, sizes)])}]"
    if "shape" in vars(base):
        raise TypeError(f"{base.__name__}: this class has its shape already")
    if not sizes or len(sizes) > MOST_AXES or not all([is_size(size) for size in sizes]):
        raise ShapeError(f"{base.__name__}: expected 1 to {<int> MOST_AXES} sizes of at least 1 in brackets, found {sizes}\n"
                         f"  remedy: {base.__name__}[3, 3]")
    shape = tuple([int(size) for size in sizes])
    cls = CLASSES.get((base, dtype, shape))
    if cls is not None:
        return cls
    bytes_needed = dtype.itemsize * np.prod(shape, dtype=object)
    if bytes_needed > MOST_BYTES:
        raise ShapeError(f"{name}: expected at most {<int> MOST_BYTES} bytes of elements, found {bytes_needed}\n"
                         f"  remedy: TypedTensor[np.{dtype}] has its elements elsewhere")
    NAMES.append(f"odyssey.{name}".encode())
    slots[0].slot = 0
    slots[0].pfunc = NULL
    spec.name = NAMES[len(NAMES) - 1]
    spec.basicsize = <int> (<PyTypeObject *> TypedTensor).tp_basicsize
    if bytes_needed > INLINE_BYTES:
        spec.basicsize = <int> fields() + <int> bytes_needed
    spec.itemsize = 0
    spec.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE
    spec.slots = slots
    cls = PyType_FromSpecWithBases(&spec, (base,))
    cls.shape = shape
    cls.dtype = dtype
    cls.__doc__ = f"{name}: {base.__name__} of shape {shape} and {dtype}."
    CLASSES[base, dtype, shape] = cls
    return cls


def rebuild(base, dtype, shape, values):
    """What unpickles a tensor of a fixed shape."""
    return fixed_class(base, np.dtype(dtype), shape)(values)


@cython.no_gc
cdef class FixedTensor(TypedTensor):
    """A tensor whose class knows its shape, with its elements in the object itself: one piece of memory, no pointer to follow.

    `FixedTensor[3, 3]` is a class of float32, `FixedTensor[np.float64, 3, 3]` one of float64; the same brackets always give the same
    class. What is computed with them is a tensor of the dtype, as with any `TypedTensor`. `filter2d` and `conv2d` take kernels of
    3 x 3, 5 x 5 and 7 x 7 by code that was compiled for the size.

    Args:
        values: an array of this shape and dtype, nested lists, or a number for all elements; copied. Zeros by default.

    Raises:
        DTypeError, ShapeError: for values that do not fit.

    >>> kernel = od.FixedTensor[3, 3]([[0, 1, 0], [1, -4, 1], [0, 1, 0]])
    >>> kernel.shape, type(kernel).shape
    ((3, 3), (3, 3))
    """

    def __init__(self, values=0):
        cdef ndarray array
        cdef npy_intp dims[MOST_AXES]
        cdef int axis
        cls = type(self)
        shape = getattr(cls, "shape", None)
        if not isinstance(shape, tuple):
            raise TypeError(f"{cls.__name__}: expected a class with a shape\n  remedy: {cls.__name__}[3, 3](values)")
        if self.data != NULL:
            raise TypeError(f"{cls.__name__}: a tensor is made once; this one is in use")
        values = as_view(values)
        found = getattr(values, "dtype", None)
        if found is not None and found != cls.dtype:
            raise DTypeError(f"{cls.__name__}: expected {cls.dtype}\n  values: {tuple(values.shape)} {found}\n"
                             f"  remedy: values.astype(np.{cls.dtype}), which copies")
        array = np.asarray(values, cls.dtype)
        if PyArray_NDIM(array) and (<object> array).shape != shape:
            fits = PyArray_SIZE(array) == np.prod(shape)
            raise ShapeError(f"{cls.__name__}: expected shape {shape}\n  values: {describe(array)}"
                             + (f"\n  remedy: values.reshape({shape})" if fits else ""))
        for axis in range(len(shape)):
            dims[axis] = shape[axis]
        self.type_num = cls.dtype.num
        self.set_shape(len(shape), dims, itemsize(self))
        self.writeable = True
        self.data = self.inside
        if self.size * itemsize(self) > INLINE_BYTES:
            self.data = <char *> <PyObject *> self + fields()
        self.view()[...] = array

    @classmethod
    def __class_getitem__(cls, key):
        """The class of that shape: sizes, after a dtype unless it is float32."""
        key = key if isinstance(key, tuple) else (key,)
        if key and (isinstance(key[0], type) or not hasattr(key[0], "__index__")):
            TypedTensor[key[0]]  # or says which dtypes there are
            return fixed_class(cls, np.dtype(key[0]), key[1:])
        return fixed_class(cls, np.dtype(np.float32), key)

    def __reduce__(self):
        cls = type(self)
        base = cls.__base__
        values = np.array(self.view())
        return (rebuild, (base, cls.dtype.str, cls.shape, values)) if CLASSES.get((base, cls.dtype, cls.shape)) is cls else (cls, (values,))

    cdef ndarray with_axes(self, int ndim):
        """The elements as an array of so many axes, or more: those that are missing are ones, in front."""
        cdef npy_intp dims[MOST_AXES]
        cdef ndarray array
        cdef int axis
        if self.ndim >= ndim or self.data == NULL:
            return self.view()
        for axis in range(ndim):
            dims[axis] = 1 if axis < ndim - self.ndim else self.dims[axis - (ndim - self.ndim)]
        array = cnp.PyArray_SimpleNewFromData(ndim, dims, self.type_num, self.data)
        cnp.set_array_base(array, self)
        return array

    def freeze(self):
        """Makes this tensor read-only, and returns it: for constants that many share."""
        self.writeable = False
        return self


@cython.no_gc
cdef class StaticBatch(FixedTensor):
    """So many items of one shape: `StaticBatch[n]` of numbers, `StaticBatch[n, 3, 3]` of matrices; otherwise a `FixedTensor`.

    Iteration gives the items, as views. An operation along the last axis is one call for all.

    >>> batch = od.StaticBatch[2, 3]([[1, 2, 3], [3, 4, 5]])
    >>> batch.mean(axis=-1)
    Float32Tensor([2., 4.])
    """
