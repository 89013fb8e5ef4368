# include/odyssey/odyssey.h: the C ABI. Only dispatch.pyx links it.
from libc.stddef cimport size_t
from libc.stdint cimport uint64_t


cdef extern from "odyssey/odyssey.h" nogil:
    ctypedef enum ody_status:
        ODY_OK
        ODY_OUT_OF_MEMORY
        ODY_INVALID_DIMENSION
        ODY_NULL_POINTER
        ODY_COMPUTATION_ERROR
    const char *ody_status_text(ody_status status) noexcept

    ctypedef struct ody_mhc:
        pass
    ctypedef struct ody_mhc_config:
        size_t streams, hidden, iterations
        double eps, norm_eps
        int paper
        const float *fn
        const float *base
        const float *scale
        const char *isa
    ctypedef int (*ody_mhc_layer)(void *context, const float *collapsed, float *f, size_t tokens) noexcept
    ctypedef struct ody_mhc_metrics:
        uint64_t calls, tokens, allocations, memory, bytes_ "bytes"
        double seconds, row_residual, column_residual
        size_t iterations

    ody_status ody_mhc_create(const ody_mhc_config *config, ody_mhc **mhc) noexcept
    void ody_mhc_destroy(ody_mhc *mhc) noexcept
    ody_status ody_mhc_forward(ody_mhc *mhc, const float *x, size_t tokens, ody_mhc_layer layer, void *context,
                               float *out) noexcept
    ody_status ody_mhc_pre(ody_mhc *mhc, const float *x, size_t tokens, float *collapsed, float *post, float *comb) noexcept
    ody_status ody_mhc_post(ody_mhc *mhc, const float *f, const float *x, const float *post, const float *comb,
                            size_t tokens, float *out) noexcept
    ody_status ody_mhc_get_metrics(const ody_mhc *mhc, ody_mhc_metrics *metrics) noexcept
