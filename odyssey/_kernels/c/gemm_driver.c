/* The driver of matrix products: cuts a stack of products into tasks for the pool. Only rows and columns of c are cut,
 * never k, so every chain of additions stays whole. */
#include <odyssey/runtime.h>

#include "driver.h"

enum {
    SERIAL = 1 << 17, /* multiply-adds below which a second thread does not pay */
    LARGE = 1 << 26,  /* multiply-adds from which twice as many tasks even out what else the machine does */
};

typedef struct gemm_job {
    ody_gemm_fn f;
    ody_gemm_workspace_fn workspace;
    const ody_gemm_stack *stack;
    size_t row_parts, column_parts;
    int failed;
} gemm_job;

/* [start, end) of part `index` of `parts`, cut at multiples of `unit`. */
static void part_of(size_t n, size_t parts, size_t index, size_t unit, size_t *start, size_t *end) {
    size_t units = (n + unit - 1) / unit;
    *start = units * index / parts * unit;
    *end = units * (index + 1) / parts * unit;
    if (*start > n) *start = n;
    if (*end > n) *end = n;
}

/* Where column `column` of b begins; of packed ones a multiple of 64 is the first of a panel. */
static const void *columns_from(const ody_gemm *g, const char *b, size_t column, ptrdiff_t item) {
    switch (g->format) {
    case ODY_STRIDED: return b + (ptrdiff_t)column * g->b_col * item;
    case ODY_PANELS: return b + column * g->k * (size_t)item;
    case ODY_BF16: return b + column * (g->k + g->k % 2) * 2;
    case ODY_F16: return b + column * g->k * 2;
    default: return b + column * g->k;
    }
}

static void gemm_task(void *context, size_t task) {
    gemm_job *job = context;
    const ody_gemm_stack *stack = job->stack;
    const ptrdiff_t item = (ptrdiff_t)stack->itemsize;
    ody_gemm g = stack->first;
    size_t column_part = task % job->column_parts, row_part = task / job->column_parts % job->row_parts;
    size_t rest = task / job->column_parts / job->row_parts;
    const char *a = g.a, *b = g.b, *bias = g.bias;
    char *c = g.c;
    for (int axis = stack->ndim - 1; axis >= 0; axis--) {
        const ptrdiff_t index = (ptrdiff_t)(rest % stack->shape[axis]);
        rest /= stack->shape[axis];
        a += index * stack->a[axis];
        b += index * stack->b[axis];
        c += index * stack->c[axis];
    }
    size_t row, row_end, column, column_end;
    part_of(g.m, job->row_parts, row_part, 2, &row, &row_end);
    part_of(g.n, job->column_parts, column_part, 64, &column, &column_end);
    g.m = row_end - row;
    g.n = column_end - column;
    if (g.m == 0 || g.n == 0) return;
    g.a = a + (ptrdiff_t)row * g.a_row * item;
    g.b = columns_from(&g, b, column, item);
    if (g.scale) g.scale = (const float *)g.scale + column;
    g.c = c + ((ptrdiff_t)row * g.c_row + (ptrdiff_t)column) * item;
    if (bias) g.bias = bias + (ptrdiff_t)column * item;
    size_t bytes = job->workspace(&g);
    /* Small products need little scratch: the stack spares them the block cache's lock. */
    _Alignas(64) char near[16384];
    g.workspace = bytes <= sizeof near ? near : ody_alloc(bytes);
    if (!g.workspace) {
        __atomic_store_n(&job->failed, 1, __ATOMIC_RELAXED);
        return;
    }
    job->f(&g);
    if (bytes > sizeof near) ody_free(g.workspace);
}

/* How to cut one product into about `parts` tasks. Each packs its rows of a and its columns of b for itself: the grid with
 * the least to pack, none of its cells too small for a tile. */
static void choose_parts(const ody_gemm *g, size_t parts, size_t *row_parts, size_t *column_parts) {
    const size_t most_rows = g->m / 8 > 0 ? g->m / 8 : 1, most_columns = g->n / 64 > 0 ? g->n / 64 : 1;
    size_t best_tasks = 1;
    double least = 0;
    for (size_t rows = 1; rows <= parts; rows++) {
        const size_t r = rows < most_rows ? rows : most_rows;
        const size_t wanted = parts / r, c = wanted < most_columns ? wanted : most_columns;
        const double packed = (double)c * (double)g->m + (double)r * (double)g->n;
        if (r * c < best_tasks || (r * c == best_tasks && least > 0 && packed >= least)) continue;
        best_tasks = r * c, least = packed, *row_parts = r, *column_parts = c;
    }
}

int ody_run_gemm(const char *op, ody_gemm_fn f, ody_gemm_workspace_fn workspace, const ody_gemm_stack *stack) {
    const ody_gemm *g = &stack->first;
    size_t products = 1;
    for (int axis = 0; axis < stack->ndim; axis++) products *= stack->shape[axis];
    ody_announce(op, products * (g->m * g->k + g->k * g->n + g->m * g->n) * stack->itemsize);
    if (products == 0 || g->m == 0 || g->n == 0) return 0;
    gemm_job job = {f, workspace, stack, 1, 1, 0};
    const size_t threads = (size_t)ody_threads();
    const double work = (double)g->m * (double)g->n * (double)(g->k + 1) * (double)products;
    if (threads > 1 && work > SERIAL && products < 4 * threads) {
        size_t parts = (threads + products - 1) / products;
        if (work > LARGE) parts *= 2;
        choose_parts(g, parts, &job.row_parts, &job.column_parts);
    }
    const size_t tasks = products * job.row_parts * job.column_parts;
    if (work <= SERIAL || tasks == 1)
        for (size_t task = 0; task < tasks; task++) gemm_task(&job, task);
    else
        ody_parallel(gemm_task, &job, tasks);
    return job.failed ? -1 : 0;
}
