# The one door to the C code: the active table and the runtime. Only this module links libodyssey, so code and state exist
# once in the process; the others reach them through these declarations.
from libc.stddef cimport ptrdiff_t, size_t
from libc.stdint cimport int64_t

from odyssey._kernels.kernels cimport (ody_gemm, ody_gemm_fn, ody_gemm_workspace_fn, ody_kernels, ody_map, ody_map_fn, ody_rows,
                                       ody_rows_fn)
from odyssey._kernels.runtime cimport (ody_attention_stack, ody_elementwise, ody_gemm_stack, ody_lines, ody_native, ody_packing, ody_reduction,
                                       ody_rotary, ody_sinkhorn_stack, ody_task_fn, ody_transport_gradient,
                                       ody_transport_problem)
from odyssey._kernels.kernels cimport ody_attention_backward_fn, ody_attention_fn, ody_attention_workspace_fn
from odyssey._kernels.kernels cimport ody_combine, ody_combine_fn
from odyssey._kernels.kernels cimport ody_dropout, ody_dropout_fn, ody_norm, ody_norm_fn, ody_scatter, ody_scatter_fn
from odyssey._kernels.kernels cimport ody_conv, ody_conv_fn, ody_conv_sizes_fn, ody_pool, ody_pool_fn, ody_pool_workspace_fn
from odyssey._kernels.kernels cimport ody_hyper, ody_hyper_fn, ody_hyper_workspace_fn, ody_mixing, ody_mixing_fn
from odyssey._kernels.odyssey cimport ody_mhc, ody_mhc_config, ody_mhc_layer, ody_mhc_metrics, ody_status
from odyssey._kernels.kernels cimport ody_filter_fn, ody_pairs, ody_pairs_fn
from odyssey._kernels.runtime cimport ody_filter_planes

# The active table, a copy that libodyssey keeps. Switching it (odyssey.isa.use) is a pointer store; a call reads it once.
cdef const ody_kernels *K

# What goes with it for precision="native", or NULL.
cdef const ody_native *native() noexcept nogil

cdef void parallel(ody_task_fn f, void *context, size_t tasks) noexcept nogil
cdef void *alloc(size_t n) noexcept nogil
cdef void free(void *memory) noexcept nogil
cdef int run_elementwise(const char *op, ody_map_fn f, ody_elementwise *e) noexcept nogil
cdef int run_map(const char *op, ody_map_fn f, const ody_map *m, int inputs, int outputs, size_t itemsize,
                 int cost) noexcept nogil
cdef int run_rows(const char *op, ody_rows_fn f, const ody_rows *r, int cost) noexcept nogil
cdef int run_gemm(const char *op, ody_gemm_fn f, ody_gemm_workspace_fn workspace,
                  const ody_gemm_stack *stack) noexcept nogil
cdef int run_gemms(const char *op, ody_gemm_fn f, ody_gemm_workspace_fn workspace, const ody_gemm *products, size_t count,
                   size_t itemsize) noexcept nogil
cdef size_t run_packing(const char *op, const ody_packing *p) noexcept nogil
cdef int run_reduction(const char *op, const ody_reduction *r) noexcept nogil
cdef int run_lines(const char *op, ody_rows_fn f, const ody_lines *l) noexcept nogil
cdef int run_conv(const char *op, ody_conv_sizes_fn sizes, ody_conv_fn pack, ody_conv_fn f, const ody_conv *v,
                  size_t itemsize) noexcept nogil
cdef size_t conv_packed_bytes(ody_conv_sizes_fn sizes, const ody_conv *v) noexcept nogil
cdef void pack_conv(ody_conv_sizes_fn sizes, ody_conv_fn pack, const ody_conv *v, size_t itemsize) noexcept nogil
cdef int run_conv_weight(const char *op, ody_conv_sizes_fn sizes, ody_conv_fn f, const ody_conv *v,
                         size_t itemsize) noexcept nogil
cdef int run_pool(const char *op, ody_pool_workspace_fn workspace, ody_pool_fn f, const ody_pool *p, int backward,
                  size_t itemsize) noexcept nogil
cdef ptrdiff_t border_index(ptrdiff_t i, ptrdiff_t n, int border) noexcept nogil
cdef int run_filter(const char *op, ody_filter_fn f, const ody_filter_planes *v) noexcept nogil
cdef int run_attention(const char *op, ody_attention_fn f, ody_attention_backward_fn backward,
                       ody_attention_workspace_fn workspace, const ody_attention_stack *stack) noexcept nogil
cdef void run_rotary(const char *op, ody_rows_fn f, const ody_rotary *r, size_t itemsize) noexcept nogil
cdef int run_norm(const char *op, ody_norm_fn f, ody_norm_fn columns, const ody_norm *v, size_t itemsize) noexcept nogil
cdef int run_norm_sums(const char *op, ody_rows_fn f, ody_map_fn add, const ody_rows *r, int sums,
                       size_t itemsize) noexcept nogil
cdef int run_gather(const char *op, ody_rows_fn f, const ody_rows *r, size_t itemsize) noexcept nogil
cdef int run_scatter(const char *op, ody_scatter_fn f, const ody_scatter *s, const int64_t *index, size_t count,
                     int64_t skipped, size_t itemsize) noexcept nogil
cdef int run_combine(const char *op, ody_combine_fn f, const ody_combine *c, size_t itemsize) noexcept nogil
cdef int run_combine_backward(const char *op, ody_combine_fn f, const ody_combine *c, size_t places,
                              size_t itemsize) noexcept nogil
cdef int run_dropout(const char *op, ody_dropout_fn f, const ody_dropout *d, size_t itemsize) noexcept nogil
cdef int run_sinkhorn(const char *op, const ody_sinkhorn_stack *s) noexcept nogil
cdef int run_transport(const char *op, const ody_transport_problem *p, size_t *iterations, double *error) noexcept nogil
cdef int run_transport_backward(const char *op, const ody_transport_gradient *p) noexcept nogil
cdef int run_hyper(const char *op, ody_hyper_fn f, ody_hyper_workspace_fn workspace, int backward, const ody_hyper *h,
                   size_t itemsize) noexcept nogil
cdef void run_mixing(const char *op, ody_mixing_fn f, const ody_mixing *m, size_t itemsize) noexcept nogil

# The C ABI of odyssey.h.
cdef const char *status_text(ody_status status) noexcept nogil
cdef ody_status mhc_create(const ody_mhc_config *config, ody_mhc **mhc) noexcept nogil
cdef void mhc_destroy(ody_mhc *mhc) noexcept nogil
cdef ody_status mhc_forward(ody_mhc *mhc, const float *x, size_t tokens, ody_mhc_layer layer, void *context,
                            float *out) noexcept nogil
cdef ody_status mhc_get_metrics(const ody_mhc *mhc, ody_mhc_metrics *metrics) noexcept nogil
cdef int run_pairs(const char *op, ody_pairs_fn f, ody_gemm_fn gemm, ody_gemm_workspace_fn workspace, ody_rows_fn transpose,
                   const ody_pairs *p, bint symmetric, size_t itemsize) noexcept nogil
cdef void run_pairs_backward(const char *op, ody_pairs_fn f, const ody_pairs *p, size_t itemsize) noexcept nogil
