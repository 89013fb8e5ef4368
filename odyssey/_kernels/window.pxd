# Where a kernel stands on an image: what convolution and pooling have in common.
from libc.stddef cimport size_t
from numpy cimport npy_intp

from odyssey._kernels.kernels cimport ody_filter_fn


cdef struct Axis:
    npy_intp size      # of the image
    npy_intp kernel, stride, padding, dilation
    npy_intp out       # places at which the kernel stands


# An int, for both axes, or a pair (vertical, horizontal): each within [least, 2^31), else ShapeError.
cdef int read_pair(object value, npy_intp least, npy_intp *vertical, npy_intp *horizontal, const char *op,
                   str name) except -1
# Fills in out; ShapeError where the kernel does not fit into the padded image.
cdef int place(Axis *vertical, Axis *horizontal, const char *op) except -1
# An input_shape argument: four sizes, none negative; ShapeError otherwise.
cdef int read_shape(object shape, npy_intp *dims, const char *op, str name) except -1
# MemoryError where an array of this shape could not be addressed.
cdef int check_size(const npy_intp *dims, const char *op) except -1

# The filter for a kernel of size x size that was compiled for it; NULL for another size.
cdef ody_filter_fn compiled_filter(size_t size, bint narrow) noexcept
