# What entries over points of the Poincare ball share.
from libc.stddef cimport ptrdiff_t
from numpy cimport ndarray

from odyssey._kernels.kernels cimport ody_rows, ody_rows_fn

# c as the arrays' type has it; ValueError unless positive and finite.
cdef double checked_curvature(object c, int type_num, const char *op) except -1
cdef void clear(ody_rows *r) noexcept
cdef void run(const char *op, ody_rows_fn f, ody_rows *r) noexcept
