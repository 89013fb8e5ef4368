# include/odyssey/runtime.h, for dispatch.pyx alone: every other module goes through dispatch.pxd.
from libc.stddef cimport ptrdiff_t, size_t
from libc.stdint cimport int64_t

from odyssey._kernels.kernels cimport (ody_columns_fn, ody_gemm, ody_gemm_fn, ody_gemm_workspace_fn, ody_kernels,
                                       ody_map, ody_map_fn, ody_rows, ody_rows_fn)
from odyssey._kernels.kernels cimport (ody_attention_backward_fn, ody_attention_fn, ody_attention_gradient,
                                       ody_attention_workspace_fn)
from odyssey._kernels.kernels cimport ody_filter_fn, ody_pairs, ody_pairs_fn
from odyssey._kernels.kernels cimport ody_combine, ody_combine_fn
from odyssey._kernels.kernels cimport ody_dropout, ody_dropout_fn, ody_norm, ody_norm_fn, ody_scatter, ody_scatter_fn
from odyssey._kernels.kernels cimport ody_sinkhorn_fn, ody_sinkhorn_small_fn, ody_transport_fn
from odyssey._kernels.kernels cimport ody_conv, ody_conv_fn, ody_conv_sizes_fn, ody_pool, ody_pool_fn, ody_pool_workspace_fn
from odyssey._kernels.kernels cimport ody_hyper, ody_hyper_fn, ody_hyper_workspace_fn, ody_mixing, ody_mixing_fn


cdef extern from "odyssey/runtime.h" nogil:
    enum:
        ODY_MAX_DIMS

    const ody_kernels *const *ody_tables() noexcept
    bint ody_table_usable(const ody_kernels *table) noexcept

    const ody_kernels *ody_active() noexcept
    void ody_activate(const ody_kernels *table) noexcept
    void ody_follow(const ody_kernels **copy) noexcept

    ctypedef struct ody_native:
        ody_gemm_fn bf16
        ody_gemm_workspace_fn bf16_workspace
        ody_gemm_fn int8
        ody_gemm_workspace_fn int8_workspace
    const ody_native *ody_native_for(const ody_kernels *table) noexcept

    ctypedef void (*ody_task_fn)(void *context, size_t task) noexcept
    void ody_parallel(ody_task_fn f, void *context, size_t tasks) noexcept
    int ody_threads() noexcept
    void ody_set_threads(int n) noexcept
    int ody_threads_default() noexcept
    int ody_affinity() noexcept
    double ody_cgroup_quota() noexcept

    void *ody_alloc(size_t n) noexcept
    void ody_free(void *memory) noexcept
    void ody_trim() noexcept
    size_t ody_cached_bytes() noexcept
    void ody_guard_memory(int on) noexcept
    size_t ody_broken_fences() noexcept

    ctypedef struct ody_operand:
        char *data
        ptrdiff_t stride[64]
    ctypedef struct ody_elementwise:
        int ndim, inputs, outputs
        size_t itemsize
        size_t shape[64]
        ody_operand operand[7]
        double param[8]
        int cost
    int ody_run_elementwise(const char *op, ody_map_fn f, ody_elementwise *e) noexcept
    int ody_run_map(const char *op, ody_map_fn f, const ody_map *m, int inputs, int outputs, size_t itemsize,
                    int cost) noexcept
    int ody_run_rows(const char *op, ody_rows_fn f, const ody_rows *r, int cost) noexcept

    ctypedef struct ody_gemm_stack:
        ody_gemm first
        size_t itemsize
        int ndim
        size_t shape[64]
        ptrdiff_t a[64]
        ptrdiff_t b[64]
        ptrdiff_t c[64]
    int ody_run_gemm(const char *op, ody_gemm_fn f, ody_gemm_workspace_fn workspace,
                     const ody_gemm_stack *stack) noexcept
    int ody_run_gemms(const char *op, ody_gemm_fn f, ody_gemm_workspace_fn workspace, const ody_gemm *products,
                      size_t count, size_t itemsize) noexcept

    ctypedef struct ody_packing:
        size_t rows, k
        const void *from_ "from"
        ptrdiff_t from_row
        int source
        int format
        void *to
        float *scale
    size_t ody_run_packing(const char *op, const ody_packing *p) noexcept

    ctypedef struct ody_pass:
        ody_rows_fn rows
        ody_columns_fn columns
        double param
        int cost
    ctypedef struct ody_reduction:
        int kept, reduced
        size_t kept_shape[64]
        size_t shape[64]
        ptrdiff_t kept_stride[64]
        ptrdiff_t stride[64]
        ptrdiff_t out_stride[64]
        const char *in_ "in"
        char *out
        size_t itemsize, out_itemsize
        int passes, places
        ody_pass pass_ "pass"[2]
        ody_rows_fn transpose
    int ody_run_reduction(const char *op, const ody_reduction *r) noexcept

    ctypedef struct ody_line_operand:
        char *data
        int wide
        ptrdiff_t stride
        ptrdiff_t kept[64]
    ctypedef struct ody_lines:
        int kept, inputs, outputs
        size_t shape[64]
        size_t n, itemsize
        ody_line_operand operand[7]
        double param[4]
        int cost
        ody_rows_fn transpose
    int ody_run_lines(const char *op, ody_rows_fn f, const ody_lines *l) noexcept
    int ody_run_conv(const char *op, ody_conv_sizes_fn sizes, ody_conv_fn pack, ody_conv_fn f, const ody_conv *v,
                     size_t itemsize) noexcept
    size_t ody_conv_packed_bytes(ody_conv_sizes_fn sizes, const ody_conv *v) noexcept
    void ody_pack_conv(ody_conv_sizes_fn sizes, ody_conv_fn pack, const ody_conv *v, size_t itemsize) noexcept
    int ody_run_conv_weight(const char *op, ody_conv_sizes_fn sizes, ody_conv_fn f, const ody_conv *v,
                            size_t itemsize) noexcept
    int ody_run_pool(const char *op, ody_pool_workspace_fn workspace, ody_pool_fn f, const ody_pool *p, int backward,
                     size_t itemsize) noexcept

    enum ody_border:
        ODY_BORDER_CONSTANT
        ODY_BORDER_NEAREST
        ODY_BORDER_REFLECT
        ODY_BORDER_MIRROR
        ODY_BORDER_WRAP
    ptrdiff_t ody_border_index(ptrdiff_t i, ptrdiff_t n, int border) noexcept
    ctypedef struct ody_filter_planes:
        const char *in_ "in"
        char *out
        const char *weight
        const char *bias
        size_t itemsize, batch, groups, channels, outputs
        size_t height, width, out_height, out_width, kernel_h, kernel_w
        ptrdiff_t plane_step, row_step, column_step, top, left
        int border
        double outside
    int ody_run_filter(const char *op, ody_filter_fn f, const ody_filter_planes *v) noexcept

    ctypedef struct ody_attention_strides:
        ptrdiff_t query, key, value, out, mask, grad, dquery, dkey, dvalue
    ctypedef struct ody_attention_stack:
        ody_attention_gradient first
        size_t itemsize
        int ndim
        size_t shape[64]
        ody_attention_strides stride[64]
    int ody_run_attention(const char *op, ody_attention_fn f, ody_attention_backward_fn backward,
                          ody_attention_workspace_fn workspace, const ody_attention_stack *stack) noexcept

    ctypedef struct ody_rotary:
        ody_rows first
        int ndim
        size_t shape[64]
        ptrdiff_t stride[64][4]
    void ody_run_rotary(const char *op, ody_rows_fn f, const ody_rotary *r, size_t itemsize) noexcept
    int ody_run_norm(const char *op, ody_norm_fn f, ody_norm_fn columns, const ody_norm *v, size_t itemsize) noexcept
    int ody_run_norm_sums(const char *op, ody_rows_fn f, ody_map_fn add, const ody_rows *r, int sums,
                          size_t itemsize) noexcept
    int ody_run_gather(const char *op, ody_rows_fn f, const ody_rows *r, size_t itemsize) noexcept
    int ody_run_combine(const char *op, ody_combine_fn f, const ody_combine *c, size_t itemsize) noexcept
    int ody_run_combine_backward(const char *op, ody_combine_fn f, const ody_combine *c, size_t places,
                                 size_t itemsize) noexcept
    int ody_run_scatter(const char *op, ody_scatter_fn f, const ody_scatter *s, const int64_t *index, size_t count,
                        int64_t skipped, size_t itemsize) noexcept
    int ody_run_dropout(const char *op, ody_dropout_fn f, const ody_dropout *d, size_t itemsize) noexcept

    ctypedef struct ody_sinkhorn_stack:
        ody_sinkhorn_small_fn small, small_backward
        ody_sinkhorn_fn start, rows, columns, few, finish, products, rows_adjoint, columns_adjoint, gradient, implicit_rows, implicit_columns
        const void *x
        const void *grad
        void *out
        void *residuals
        size_t itemsize, count, m, n, iterations
        bint logits, columns_first, implicit
        double inverse_tau, add, eps
    int ody_run_sinkhorn(const char *op, const ody_sinkhorn_stack *s) noexcept

    ctypedef struct ody_transport_problem:
        ody_transport_fn rows, columns, exact
        const void *cost
        const void *a
        const void *b
        void *plan
        void *f
        void *g
        size_t m, n, itemsize, iterations
        double reg, relaxation, tolerance, largest
    int ody_run_transport(const char *op, const ody_transport_problem *p, size_t *iterations, double *error) noexcept

    ctypedef struct ody_transport_gradient:
        ody_sinkhorn_fn products, implicit_rows, implicit_columns
        ody_transport_fn gradient
        const void *plan
        const void *grad
        void *cost_grad
        void *row_terms
        void *column_terms
        void *row_sums
        void *column_sums
        size_t m, n, itemsize, iterations
        double reg, relaxation, tolerance
    int ody_run_transport_backward(const char *op, const ody_transport_gradient *p) noexcept
    int ody_run_hyper(const char *op, ody_hyper_fn f, ody_hyper_workspace_fn workspace, int backward, const ody_hyper *h,
                      size_t itemsize) noexcept
    void ody_run_mixing(const char *op, ody_mixing_fn f, const ody_mixing *m, size_t itemsize) noexcept
    int ody_run_pairs(const char *op, ody_pairs_fn f, ody_gemm_fn gemm, ody_gemm_workspace_fn workspace,
                      ody_rows_fn transpose, const ody_pairs *p, int symmetric, size_t itemsize) noexcept
    void ody_run_pairs_backward(const char *op, ody_pairs_fn f, const ody_pairs *p, size_t itemsize) noexcept
