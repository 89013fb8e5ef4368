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

    ctypedef struct ody_columns:
        const void *in_ "in"[2]
        void *out
        ptrdiff_t in_step
        ptrdiff_t out_step
        size_t m
        size_t n
        double param[4]
        unsigned flags
        void *scratch
    ctypedef void (*ody_columns_fn)(const ody_columns *) noexcept nogil

    ctypedef struct ody_kernels:
        const char *name
        # elementwise
        ody_map_fn add_f32, add_f64
        ody_map_fn exp_f32, exp_f64
        # reductions
        ody_rows_fn sum_rows_f32, sum_rows_f64
        ody_columns_fn sum_columns_f32, sum_columns_f64
        ody_rows_fn norm_rows_f32, norm_rows_f64
        ody_columns_fn norm_columns_f32, norm_columns_f64
        ody_rows_fn deviations_rows_f32, deviations_rows_f64
        ody_columns_fn deviations_columns_f32, deviations_columns_f64
        ody_rows_fn logsumexp_rows_f32, logsumexp_rows_f64
        ody_columns_fn logsumexp_columns_f32, logsumexp_columns_f64
        ody_rows_fn max_rows_f32, max_rows_f64
        ody_columns_fn max_columns_f32, max_columns_f64
        ody_rows_fn min_rows_f32, min_rows_f64
        ody_columns_fn min_columns_f32, min_columns_f64
        ody_rows_fn argmax_rows_f32, argmax_rows_f64
        ody_columns_fn argmax_columns_f32, argmax_columns_f64
        ody_rows_fn argmin_rows_f32, argmin_rows_f64
        ody_columns_fn argmin_columns_f32, argmin_columns_f64
        ody_rows_fn dot_f32, dot_f64
        ody_rows_fn transpose_f32, transpose_f64
