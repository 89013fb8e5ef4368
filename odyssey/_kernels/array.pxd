# What every entry module needs of its arrays: taking them in, checking them, making the result.
cimport cython
from cpython.object cimport PyObject
from libc.stddef cimport ptrdiff_t, size_t
from numpy cimport NPY_DOUBLE, NPY_FLOAT, ndarray, npy_intp
cimport numpy as cnp


# Below this much work (in additions) a call keeps the GIL: letting go and taking it back costs more.
cdef enum:
    GIL_WORTH = 4096


# ndarray from anything with a buffer, DLPack or __array_interface__, without a copy.
cdef ndarray adopt(object x, const char *op)
cdef inline ndarray as_array(object x, const char *op):
    if cnp.PyArray_CheckExact(x):
        return <ndarray> x
    return adopt(x, op)

# DTypeError unless x is native, aligned-or-not float32 or float64; returns NPY_FLOAT or NPY_DOUBLE.
cdef int real_type(ndarray x, const char *op, str name) except -1
cdef int same_type(ndarray x, int type_num, const char *op, str name) except -1

# An uninitialised C-ordered array; large ones come from the block cache.
cdef ndarray new_array(int ndim, const npy_intp *dims, int type_num)
cdef inline ndarray new_like(ndarray x, int type_num):
    return new_array(cnp.PyArray_NDIM(x), cnp.PyArray_DIMS(x), type_num)

# out= as given by the caller: LayoutError, DTypeError or ShapeError unless it is a writable array of this shape.
cdef ndarray checked_out(object out, int ndim, const npy_intp *dims, int type_num, const char *op)
# LayoutError when out overlaps x in any way but being the very same elements.
cdef int check_overlap(ndarray out, ndarray x, const char *op, str name) except -1
# LayoutError when out shares any element with x.
cdef int check_disjoint(ndarray out, ndarray x, const char *op, str name) except -1

# Numbers of rows or the like as contiguous int64 (int32 is copied), each in [0, count), which is `of`: else DTypeError, or
# IndexError naming the first.
cdef ndarray checked_numbers(object given, npy_intp count, const char *op, str name, str of)

# x itself when it is C-contiguous, aligned and native; else a contiguous copy.
cdef ndarray contiguous(ndarray x)
# x itself when rows along its last axis are contiguous and its leading axes fold into one stride; else a copy.
cdef ndarray row_contiguous(ndarray x, ptrdiff_t *row_stride)

# x itself when its last axis is contiguous and its strides are whole elements, as those of a view into a larger array; else
# a copy.
cdef ndarray rows_of(ndarray x)

cdef int normalise_axis(object axis, int ndim, const char *op) except -1
cdef int no_memory(const char *op) except -1
cdef str describe(ndarray x)
