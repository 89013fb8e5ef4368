# An array whose dtype is fixed and whose place is C fields: an operation on it acquires nothing.
from libc.stddef cimport size_t
from numpy cimport ndarray, npy_intp


cdef enum:
    MOST_AXES = 8
    INLINE_BYTES = 128 # results up to this size lie in the object itself


cdef class TypedTensor:
    cdef void *data
    cdef size_t size
    cdef int type_num, ndim
    cdef bint plain      # C-contiguous and aligned
    cdef bint writeable
    cdef void *memory    # a block of its own, or NULL
    cdef object owner    # what keeps memory alive that is not its own, or None
    cdef npy_intp dims[MOST_AXES]
    cdef npy_intp steps[MOST_AXES] # in bytes
    cdef char inside[INLINE_BYTES]

    cdef ndarray view(self)
    cdef int set_shape(self, int ndim, const npy_intp *dims, size_t item) except -1
    cdef int adopt(self, ndarray array, object owner) except -1


# A tensor whose shape its class knows and whose elements lie behind its fields, in the same block of memory.
cdef class FixedTensor(TypedTensor):
    cdef ndarray with_axes(self, int ndim)


cdef class Float32Tensor(TypedTensor):
    pass


cdef class Float64Tensor(TypedTensor):
    pass
