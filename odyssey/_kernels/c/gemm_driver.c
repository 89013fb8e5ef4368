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
    case ODY_BF16_ROWS:
    case ODY_F16_ROWS: return b + (ptrdiff_t)column * g->b_col * 2;
    default: return b + column * g->k;
    }
}

/* One part of a product: what remains of g are its rows [row, row_end) and columns [column, column_end). */
static void run_part(ody_gemm_fn f, ody_gemm_workspace_fn workspace, ody_gemm g, ptrdiff_t item, size_t row, size_t row_end,
                     size_t column, size_t column_end, int *failed) {
    g.m = row_end - row;
    g.n = column_end - column;
    if (g.m == 0 || g.n == 0) return;
    g.a = (const char *)g.a + (ptrdiff_t)row * g.a_row * item;
    g.b = columns_from(&g, g.b, column, item);
    if (g.scale) g.scale = (const float *)g.scale + column;
    g.c = (char *)g.c + ((ptrdiff_t)row * g.c_row + (ptrdiff_t)column) * item;
    if (g.bias) g.bias = (const char *)g.bias + (ptrdiff_t)column * item;
    size_t bytes = workspace(&g);
    /* Small products need little scratch: the stack spares them the block cache's lock. */
    _Alignas(64) char near[16384];
    g.workspace = bytes <= sizeof near ? near : ody_alloc(bytes);
    if (!g.workspace) {
        __atomic_store_n(failed, 1, __ATOMIC_RELAXED);
        return;
    }
    f(&g);
    if (bytes > sizeof near) ody_free(g.workspace);
}

static void gemm_task(void *context, size_t task) {
    gemm_job *job = context;
    const ody_gemm_stack *stack = job->stack;
    ody_gemm g = stack->first;
    size_t column_part = task % job->column_parts, row_part = task / job->column_parts % job->row_parts;
    size_t rest = task / job->column_parts / job->row_parts;
    for (int axis = stack->ndim - 1; axis >= 0; axis--) {
        const ptrdiff_t index = (ptrdiff_t)(rest % stack->shape[axis]);
        rest /= stack->shape[axis];
        g.a = (const char *)g.a + index * stack->a[axis];
        g.b = (const char *)g.b + index * stack->b[axis];
        g.c = (char *)g.c + index * stack->c[axis];
    }
    size_t row, row_end, column, column_end;
    part_of(g.m, job->row_parts, row_part, 2, &row, &row_end);
    part_of(g.n, job->column_parts, column_part, 64, &column, &column_end);
    run_part(job->f, job->workspace, g, (ptrdiff_t)stack->itemsize, row, row_end, column, column_end, &job->failed);
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

/* ---- products that have nothing to do with each other but to be done together ------------------------------------- */

typedef struct group_cut {
    size_t first_task, row_parts, column_parts;
} group_cut;

typedef struct group_job {
    ody_gemm_fn f;
    ody_gemm_workspace_fn workspace;
    const ody_gemm *products;
    size_t count, itemsize;
    const group_cut *cuts;
    int failed;
} group_job;

static void group_task(void *context, size_t task) {
    group_job *job = context;
    /* The last product whose first task is not behind this one; those without work have the next one's. */
    size_t low = 0, high = job->count;
    while (high - low > 1) {
        const size_t middle = low + (high - low) / 2;
        if (job->cuts[middle].first_task <= task) low = middle;
        else high = middle;
    }
    const group_cut *cut = &job->cuts[low];
    const ody_gemm *g = &job->products[low];
    const size_t part = task - cut->first_task;
    size_t row, row_end, column, column_end;
    part_of(g->m, cut->row_parts, part / cut->column_parts, 2, &row, &row_end);
    part_of(g->n, cut->column_parts, part % cut->column_parts, 64, &column, &column_end);
    run_part(job->f, job->workspace, *g, (ptrdiff_t)job->itemsize, row, row_end, column, column_end, &job->failed);
}

/* Reading a column of b costs as much as multiplying it by so many rows of a: a group of one row is no cheap one. */
enum { READING = 4 };

static double cost_of(const ody_gemm *g) {
    return g->m == 0 || g->n == 0 ? 0 : ((double)g->m + READING) * (double)g->n * (double)(g->k + 1);
}

int ody_run_gemms(const char *op, ody_gemm_fn f, ody_gemm_workspace_fn workspace, const ody_gemm *products, size_t count,
                  size_t itemsize) {
    double total = 0, bytes = 0;
    for (size_t i = 0; i < count; i++) {
        const ody_gemm *g = &products[i];
        total += cost_of(g);
        if (g->m) bytes += (double)(g->m * g->k + g->k * g->n + g->m * g->n) * (double)itemsize;
    }
    ody_announce(op, (size_t)bytes);
    if (total == 0) return 0;
    const size_t threads = total > SERIAL ? (size_t)ody_threads() : 1;
    group_cut *cuts = ody_alloc(count * sizeof *cuts);
    if (!cuts) return -1;
    size_t tasks = 0;
    /* Whoever comes last must not work alone for long: no task is more than so small a part of the whole. */
    const double largest = threads > 1 ? total / (double)(threads * (total > LARGE ? 8 : 4)) : total;
    for (size_t i = 0; i < count; i++) {
        cuts[i] = (group_cut){tasks, 1, 1};
        const double cost = cost_of(&products[i]);
        if (cost == 0) continue;
        const size_t parts = 1 + (size_t)(cost / largest);
        if (threads > 1 && parts > 1) choose_parts(&products[i], parts, &cuts[i].row_parts, &cuts[i].column_parts);
        tasks += cuts[i].row_parts * cuts[i].column_parts;
    }
    group_job job = {f, workspace, products, count, itemsize, cuts, 0};
    if (threads == 1 || tasks == 1)
        for (size_t task = 0; task < tasks; task++) group_task(&job, task);
    else
        ody_parallel(group_task, &job, tasks);
    ody_free(cuts);
    return job.failed ? -1 : 0;
}
