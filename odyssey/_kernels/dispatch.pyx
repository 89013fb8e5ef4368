"""The link to the C kernels: which table is active, how many threads work, what memory waits.

`odyssey.isa` and `odyssey.threads` are the public face of this module.
"""
from odyssey._kernels cimport odyssey, runtime


cdef extern from "ody_build.h":
    const char *ODY_BUILD

cdef const ody_kernels *K = NULL
runtime.ody_follow(&K)


cdef const ody_native *native() noexcept nogil:
    return runtime.ody_native_for(K)


cdef void parallel(ody_task_fn f, void *context, size_t tasks) noexcept nogil:
    runtime.ody_parallel(f, context, tasks)


cdef void *alloc(size_t n) noexcept nogil:
    return runtime.ody_alloc(n)


cdef void free(void *memory) noexcept nogil:
    runtime.ody_free(memory)


cdef int run_elementwise(const char *op, ody_map_fn f, ody_elementwise *e) noexcept nogil:
    return runtime.ody_run_elementwise(op, f, e)


cdef int run_map(const char *op, ody_map_fn f, const ody_map *m, int inputs, int outputs, size_t itemsize,
                 int cost) noexcept nogil:
    return runtime.ody_run_map(op, f, m, inputs, outputs, itemsize, cost)


cdef int run_rows(const char *op, ody_rows_fn f, const ody_rows *r, int cost) noexcept nogil:
    return runtime.ody_run_rows(op, f, r, cost)


cdef int run_gemm(const char *op, ody_gemm_fn f, ody_gemm_workspace_fn workspace,
                  const ody_gemm_stack *stack) noexcept nogil:
    return runtime.ody_run_gemm(op, f, workspace, stack)


cdef int run_gemms(const char *op, ody_gemm_fn f, ody_gemm_workspace_fn workspace, const ody_gemm *products, size_t count,
                   size_t itemsize) noexcept nogil:
    return runtime.ody_run_gemms(op, f, workspace, products, count, itemsize)


cdef size_t run_packing(const char *op, const ody_packing *p) noexcept nogil:
    return runtime.ody_run_packing(op, p)


cdef int run_reduction(const char *op, const ody_reduction *r) noexcept nogil:
    return runtime.ody_run_reduction(op, r)


cdef int run_lines(const char *op, ody_rows_fn f, const ody_lines *l) noexcept nogil:
    return runtime.ody_run_lines(op, f, l)


cdef int run_conv(const char *op, ody_conv_sizes_fn sizes, ody_conv_fn pack, ody_conv_fn f, const ody_conv *v,
                  size_t itemsize) noexcept nogil:
    return runtime.ody_run_conv(op, sizes, pack, f, v, itemsize)


cdef size_t conv_packed_bytes(ody_conv_sizes_fn sizes, const ody_conv *v) noexcept nogil:
    return runtime.ody_conv_packed_bytes(sizes, v)


cdef void pack_conv(ody_conv_sizes_fn sizes, ody_conv_fn pack, const ody_conv *v, size_t itemsize) noexcept nogil:
    runtime.ody_pack_conv(sizes, pack, v, itemsize)


cdef int run_conv_weight(const char *op, ody_conv_sizes_fn sizes, ody_conv_fn f, const ody_conv *v,
                         size_t itemsize) noexcept nogil:
    return runtime.ody_run_conv_weight(op, sizes, f, v, itemsize)


cdef int run_pool(const char *op, ody_pool_workspace_fn workspace, ody_pool_fn f, const ody_pool *p, int backward,
                  size_t itemsize) noexcept nogil:
    return runtime.ody_run_pool(op, workspace, f, p, backward, itemsize)


cdef ptrdiff_t border_index(ptrdiff_t i, ptrdiff_t n, int border) noexcept nogil:
    return runtime.ody_border_index(i, n, border)


cdef int run_filter(const char *op, ody_filter_fn f, const ody_filter_planes *v) noexcept nogil:
    return runtime.ody_run_filter(op, f, v)


cdef int run_attention(const char *op, ody_attention_fn f, ody_attention_backward_fn backward,
                       ody_attention_workspace_fn workspace, const ody_attention_stack *stack) noexcept nogil:
    return runtime.ody_run_attention(op, f, backward, workspace, stack)


cdef void run_rotary(const char *op, ody_rows_fn f, const ody_rotary *r, size_t itemsize) noexcept nogil:
    runtime.ody_run_rotary(op, f, r, itemsize)
cdef int run_norm(const char *op, ody_norm_fn f, ody_norm_fn columns, const ody_norm *v, size_t itemsize) noexcept nogil:
    return runtime.ody_run_norm(op, f, columns, v, itemsize)


cdef int run_norm_sums(const char *op, ody_rows_fn f, ody_map_fn add, const ody_rows *r, int sums,
                       size_t itemsize) noexcept nogil:
    return runtime.ody_run_norm_sums(op, f, add, r, sums, itemsize)


cdef int run_gather(const char *op, ody_rows_fn f, const ody_rows *r, size_t itemsize) noexcept nogil:
    return runtime.ody_run_gather(op, f, r, itemsize)


cdef int run_scatter(const char *op, ody_scatter_fn f, const ody_scatter *s, const int64_t *index, size_t count,
                     int64_t skipped, size_t itemsize) noexcept nogil:
    return runtime.ody_run_scatter(op, f, s, index, count, skipped, itemsize)


cdef int run_combine(const char *op, ody_combine_fn f, const ody_combine *c, size_t itemsize) noexcept nogil:
    return runtime.ody_run_combine(op, f, c, itemsize)


cdef int run_combine_backward(const char *op, ody_combine_fn f, const ody_combine *c, size_t places,
                              size_t itemsize) noexcept nogil:
    return runtime.ody_run_combine_backward(op, f, c, places, itemsize)


cdef int run_dropout(const char *op, ody_dropout_fn f, const ody_dropout *d, size_t itemsize) noexcept nogil:
    return runtime.ody_run_dropout(op, f, d, itemsize)


cdef int run_sinkhorn(const char *op, const ody_sinkhorn_stack *s) noexcept nogil:
    return runtime.ody_run_sinkhorn(op, s)


cdef int run_transport(const char *op, const ody_transport_problem *p, size_t *iterations, double *error) noexcept nogil:
    return runtime.ody_run_transport(op, p, iterations, error)


cdef int run_transport_backward(const char *op, const ody_transport_gradient *p) noexcept nogil:
    return runtime.ody_run_transport_backward(op, p)


cdef int run_hyper(const char *op, ody_hyper_fn f, ody_hyper_workspace_fn workspace, int backward, const ody_hyper *h,
                   size_t itemsize) noexcept nogil:
    return runtime.ody_run_hyper(op, f, workspace, backward, h, itemsize)


cdef void run_mixing(const char *op, ody_mixing_fn f, const ody_mixing *m, size_t itemsize) noexcept nogil:
    runtime.ody_run_mixing(op, f, m, itemsize)


cdef const char *status_text(ody_status status) noexcept nogil:
    return odyssey.ody_status_text(status)


cdef ody_status mhc_create(const ody_mhc_config *config, ody_mhc **mhc) noexcept nogil:
    return odyssey.ody_mhc_create(config, mhc)


cdef void mhc_destroy(ody_mhc *mhc) noexcept nogil:
    odyssey.ody_mhc_destroy(mhc)


cdef ody_status mhc_forward(ody_mhc *mhc, const float *x, size_t tokens, ody_mhc_layer layer, void *context,
                            float *out) noexcept nogil:
    return odyssey.ody_mhc_forward(mhc, x, tokens, layer, context, out)


cdef ody_status mhc_get_metrics(const ody_mhc *mhc, ody_mhc_metrics *metrics) noexcept nogil:
    return odyssey.ody_mhc_get_metrics(mhc, metrics)


cdef int run_pairs(const char *op, ody_pairs_fn f, ody_gemm_fn gemm, ody_gemm_workspace_fn workspace, ody_rows_fn transpose,
                   const ody_pairs *p, bint symmetric, size_t itemsize) noexcept nogil:
    return runtime.ody_run_pairs(op, f, gemm, workspace, transpose, p, symmetric, itemsize)


cdef void run_pairs_backward(const char *op, ody_pairs_fn f, const ody_pairs *p, size_t itemsize) noexcept nogil:
    runtime.ody_run_pairs_backward(op, f, p, itemsize)


def tables():
    """The instruction sets of this build, best first: a list of (name, usable on this machine)."""
    found = []
    cdef const ody_kernels *const *table = runtime.ody_tables()
    while table[0] != NULL:
        found.append((table[0].name.decode(), bool(runtime.ody_table_usable(table[0]))))
        table += 1
    return found


def activate(str name):
    """Makes the table of that name the active one; ValueError when it is not in this build or not usable here."""
    cdef const ody_kernels *const *table = runtime.ody_tables()
    cdef bytes wanted = name.encode()
    while table[0] != NULL:
        if table[0].name == wanted and runtime.ody_table_usable(table[0]):
            runtime.ody_activate(table[0])
            return
        table += 1
    raise ValueError(name)


def active():
    """The active table's name."""
    return K.name.decode()


def empty_slots():
    """(table, index) of every slot left NULL: a table must be complete, so this is empty."""
    holes = []
    cdef const ody_kernels *const *table = runtime.ody_tables()
    cdef const void *const *slots
    cdef size_t i
    while table[0] != NULL:
        slots = <const void *const *> table[0]
        for i in range(sizeof(ody_kernels) // sizeof(void *)):
            if slots[i] == NULL:
                holes.append((table[0].name.decode(), i))
        table += 1
    return holes


def build():
    """How this build was made, as JSON: compiler, flags, instruction sets, versions."""
    return ODY_BUILD.decode()


def get_threads():
    return runtime.ody_threads()


def set_threads(int n):
    runtime.ody_set_threads(n)


def default_threads():
    return runtime.ody_threads_default()


def affinity():
    return runtime.ody_affinity()


def cgroup_quota():
    return runtime.ody_cgroup_quota()


def trim():
    runtime.ody_trim()


def cached_bytes():
    return runtime.ody_cached_bytes()


def guard_memory(bint on):
    runtime.ody_guard_memory(on)


def broken_fences():
    return runtime.ody_broken_fences()
