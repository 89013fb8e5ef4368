# The one door to the C code: the active table and the runtime. Only this module links the kernels, so code and state
# exist once in the process; the others reach them through these declarations.
from libc.stddef cimport size_t

from odyssey._kernels.kernels cimport (ody_gemm_fn, ody_gemm_workspace_fn, ody_kernels, ody_map, ody_map_fn, ody_rows,
                                       ody_rows_fn)
from odyssey._kernels.runtime cimport ody_elementwise, ody_gemm_stack, ody_lines, ody_native, ody_reduction, ody_task_fn
from odyssey._kernels.kernels cimport ody_conv, ody_conv_fn, ody_conv_sizes_fn, ody_pool, ody_pool_fn, ody_pool_workspace_fn

# The active table. Switching it (odyssey.isa.use) is a single pointer store; a call reads it once.
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
cdef int run_reduction(const char *op, const ody_reduction *r) noexcept nogil
cdef int run_lines(const char *op, ody_rows_fn f, const ody_lines *l) noexcept nogil
cdef int run_conv(const char *op, ody_conv_sizes_fn sizes, ody_conv_fn pack, ody_conv_fn f, const ody_conv *v,
                  size_t itemsize) noexcept nogil
cdef int run_conv_weight(const char *op, ody_conv_sizes_fn sizes, ody_conv_fn f, const ody_conv *v,
                         size_t itemsize) noexcept nogil
cdef int run_pool(const char *op, ody_pool_workspace_fn workspace, ody_pool_fn f, const ody_pool *p, int backward,
                  size_t itemsize) noexcept nogil
