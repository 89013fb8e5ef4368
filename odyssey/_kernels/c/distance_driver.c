/* The driver of all pairs: some rows of x at a time against all of y, first their products, then, while these are in the
 * cache, the distances. What is symmetric is computed up to the diagonal and copied. */
#include <odyssey/runtime.h>

#include "driver.h"

enum {
    CHUNK_BYTES = 1 << 21, /* of products: they are read again from the second-level cache, or the third */
    LEAST_ROWS = 128,      /* in a chunk: each packs y once more */
    TASK_ELEMENTS = 8192,
};

typedef struct pairs_job {
    ody_pairs_fn f;
    ody_rows_fn transpose;
    const ody_pairs *p; /* a chunk */
    size_t rows_per_task, itemsize;
} pairs_job;

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

static void pairs_task(void *context, size_t task) {
    const pairs_job *job = context;
    ody_pairs piece = *job->p;
    const size_t start = task * job->rows_per_task;
    piece.rows = smaller(job->rows_per_task, piece.rows - start);
    piece.x = (const char *)piece.x + (ptrdiff_t)start * piece.x_step;
    piece.out = (char *)piece.out + (ptrdiff_t)start * piece.out_step;
    if (piece.x_size) {
        piece.x_size = (const char *)piece.x_size + start * job->itemsize;
        piece.x_gap = (const char *)piece.x_gap + start * job->itemsize;
    }
    if (piece.grad) piece.grad = (const char *)piece.grad + (ptrdiff_t)start * piece.grad_step;
    job->f(&piece);
}

static void run_rows(const pairs_job *job) {
    ody_parallel(pairs_task, (void *)job, (job->p->rows + job->rows_per_task - 1) / job->rows_per_task);
}

/* The first `columns` columns of a chunk of rows, which begins with row `columns`, to where they belong by symmetry. */
typedef struct mirror_job {
    ody_rows_fn transpose;
    char *from, *to;
    ptrdiff_t step;
    size_t rows, columns, itemsize;
} mirror_job;

enum { MIRRORED = 64 };

static void mirror_task(void *context, size_t task) {
    const mirror_job *job = context;
    const size_t start = task * MIRRORED;
    ody_rows r = {.rows = smaller(MIRRORED, job->columns - start), .n = job->rows};
    r.in[0] = job->from + start * job->itemsize;
    r.out[0] = job->to + (ptrdiff_t)start * job->step;
    r.in_step[0] = r.out_step[0] = job->step;
    job->transpose(&r);
}

int ody_run_pairs(const char *op, ody_pairs_fn f, ody_gemm_fn gemm, ody_gemm_workspace_fn workspace, ody_rows_fn transpose,
                  const ody_pairs *p, int symmetric, size_t itemsize) {
    const ptrdiff_t item = (ptrdiff_t)itemsize;
    size_t chunk = CHUNK_BYTES / (p->columns * itemsize + 1);
    if (chunk < LEAST_ROWS || symmetric) chunk = LEAST_ROWS;
    for (size_t start = 0; start < p->rows; start += chunk) {
        ody_pairs piece = *p;
        piece.rows = smaller(chunk, p->rows - start);
        if (symmetric) piece.columns = start + piece.rows;
        piece.x = (const char *)p->x + (ptrdiff_t)start * p->x_step;
        piece.out = (char *)p->out + (ptrdiff_t)start * p->out_step;
        piece.x_size = (const char *)p->x_size + start * itemsize;
        piece.x_gap = (const char *)p->x_gap + start * itemsize;
        ody_gemm_stack stack = {.itemsize = itemsize};
        stack.first = (ody_gemm){.m = piece.rows, .n = piece.columns, .k = p->n, .a = piece.x, .b = p->y, .c = piece.out,
                                 .a_row = p->x_step / item, .a_col = 1, .b_row = 1, .b_col = p->y_step / item,
                                 .c_row = p->out_step / item, .alpha = 1};
        if (ody_run_gemm(op, gemm, workspace, &stack)) return -1;
        const pairs_job job = {f, transpose, &piece, TASK_ELEMENTS / (piece.columns + 1) + 1, itemsize};
        run_rows(&job);
        if (symmetric && start) {
            mirror_job mirror = {transpose, piece.out, (char *)p->out + start * itemsize, p->out_step, piece.rows, start,
                                 itemsize};
            ody_parallel(mirror_task, &mirror, (start + MIRRORED - 1) / MIRRORED);
        }
    }
    return 0;
}

void ody_run_pairs_backward(const char *op, ody_pairs_fn f, const ody_pairs *p, size_t itemsize) {
    ody_announce(op, (p->rows + p->columns) * p->n * itemsize + p->rows * p->columns * itemsize);
    const pairs_job job = {f, NULL, p, TASK_ELEMENTS / (p->columns * p->n + 1) + 1, itemsize};
    run_rows(&job);
}
