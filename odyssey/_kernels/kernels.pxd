# The slots of include/odyssey/kernels.h, as Cython sees them. The contracts stand there.
from libc.stddef cimport ptrdiff_t, size_t


cdef extern from "odyssey/kernels.h" nogil:
    ctypedef struct ody_map:
        const void *in_ "in"[4]
        void *out[3]
        ptrdiff_t step[4]
        size_t n
        double param[8]
        unsigned flags
    ctypedef void (*ody_map_fn)(const ody_map *) noexcept nogil

    ctypedef struct ody_rows:
        const void *in_ "in"[4]
        void *out[3]
        ptrdiff_t in_step[4]
        ptrdiff_t out_step[3]
        size_t rows
        size_t n
        double param[4]
        unsigned flags
    ctypedef void (*ody_rows_fn)(const ody_rows *) noexcept nogil

    ctypedef struct ody_kernels:
        const char *name
        # elementwise
        ody_map_fn add_f32, add_f64
        ody_map_fn exp_f32, exp_f64
