/* The drivers of moe_combine: tokens, or the rows that their gradients go back to, shared out among threads. */
#include "driver_scatter.h"
#include "strided.h"

typedef struct combine_job {
    ody_combine_fn f;
    const ody_combine *c;
    size_t itemsize, chunk;
} combine_job;

static void tokens_task(void *context, size_t task) {
    const combine_job *job = context;
    ody_combine piece = *job->c;
    const size_t start = task * job->chunk;
    piece.weights = (const char *)piece.weights + start * piece.k * job->itemsize;
    piece.rows += start * piece.k;
    if (piece.grad) piece.grad = (const char *)piece.grad + (ptrdiff_t)start * piece.grad_step;
    piece.out = (char *)piece.out + (ptrdiff_t)start * piece.out_step;
    piece.tokens = smaller(piece.tokens - start, job->chunk);
    job->f(&piece);
}

static void rows_task(void *context, size_t task) {
    const combine_job *job = context;
    ody_combine piece = *job->c;
    const size_t start = task * job->chunk;
    piece.starts += start;
    piece.out = (char *)piece.out + (ptrdiff_t)start * piece.out_step;
    piece.tokens = smaller(piece.tokens - start, job->chunk);
    job->f(&piece);
}

static void share(ody_task_fn task, ody_combine_fn f, const ody_combine *c, size_t terms, size_t itemsize) {
    combine_job job = {f, c, itemsize, c->tokens};
    const size_t cost = (terms / c->tokens + 1) * c->n * itemsize / sizeof(float) + 16, threads = (size_t)ody_threads();
    if (threads > 1 && c->tokens * cost >= 2 * GRAIN)
        job.chunk = larger(GRAIN / cost + 1, parts(c->tokens, threads * TASKS));
    const size_t tasks = parts(c->tokens, job.chunk);
    if (tasks == 1) task(&job, 0);
    else ody_parallel(task, &job, tasks);
}

int ody_run_combine(const char *op, ody_combine_fn f, const ody_combine *given, size_t itemsize) {
    ody_combine c = *given;
    ody_announce(op, c.tokens * (c.k + 1) * c.n * itemsize);
    if (c.tokens == 0) return 0;
    if (c.tokens * c.n * itemsize > stream_threshold()) c.flags |= ODY_STREAM;
    share(tokens_task, f, &c, c.tokens * c.k, itemsize);
    return 0;
}

/* `order` and `starts` of c are not read: they are made here. `tokens` is of the result's rows, `places` of the numbers. */
int ody_run_combine_backward(const char *op, ody_combine_fn f, const ody_combine *given, size_t places, size_t itemsize) {
    ody_combine c = *given;
    ody_announce(op, (c.tokens + places) * c.n * itemsize);
    if (c.tokens == 0) return 0;
    int64_t *order, *starts = positions_by_row(c.rows, places, c.tokens, -1, &order);
    if (!starts) return -1;
    c.order = order;
    c.starts = starts;
    if (c.tokens * c.n * itemsize > stream_threshold()) c.flags |= ODY_STREAM;
    share(rows_task, f, &c, places, itemsize);
    ody_free(starts);
    return 0;
}
