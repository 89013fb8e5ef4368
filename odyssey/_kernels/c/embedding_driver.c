/* The drivers of embedding: rows of a table gathered; and gradients brought back to their rows. */
#include "driver_scatter.h"
#include "strided.h"

typedef struct gather_job {
    ody_labelled_rows_fn f;
    const ody_rows *r;
    size_t rows_per_task;
} gather_job;

static void gather_task(void *context, size_t task) {
    const gather_job *job = context;
    ody_rows piece = *job->r;
    const size_t start = task * job->rows_per_task;
    piece.in[1] = (const int64_t *)piece.in[1] + start;
    piece.out[0] = (char *)piece.out[0] + (ptrdiff_t)start * piece.out_step[0];
    piece.rows = smaller(piece.rows - start, job->rows_per_task);
    job->f(&piece);
}

int ody_run_gather(const char *op, ody_labelled_rows_fn f, const ody_rows *given, size_t itemsize) {
    ody_rows r = *given;
    const size_t bytes = 2 * r.rows * r.n * itemsize;
    ody_announce(op, bytes);
    if (r.rows == 0 || r.n == 0) return 0;
    if (bytes > stream_threshold()) r.flags |= ODY_STREAM;
    gather_job job = {f, &r, r.rows};
    const size_t cost = r.n * itemsize / sizeof(float) + 16, threads = (size_t)ody_threads();
    if (threads > 1 && r.rows * cost >= 2 * GRAIN)
        job.rows_per_task = larger(GRAIN / cost + 1, parts(r.rows, threads * TASKS));
    const size_t tasks = parts(r.rows, job.rows_per_task);
    if (tasks == 1) gather_task(&job, 0);
    else ody_parallel(gather_task, &job, tasks);
    return 0;
}

typedef struct scatter_job {
    ody_scatter_fn f;
    const ody_scatter *s;
    size_t rows_per_task;
} scatter_job;

static void scatter_task(void *context, size_t task) {
    const scatter_job *job = context;
    ody_scatter piece = *job->s;
    const size_t start = task * job->rows_per_task;
    piece.out = (char *)piece.out + (ptrdiff_t)start * piece.out_step;
    piece.starts += start;
    piece.rows = smaller(piece.rows - start, job->rows_per_task);
    job->f(&piece);
}

/* `order` and `starts` of s are not read: they are made here, by counting, of `count` indices; those equal to `skipped`
 * count nowhere. */
int ody_run_scatter(const char *op, ody_scatter_fn f, const ody_scatter *given, const int64_t *index, size_t count,
                    int64_t skipped, size_t itemsize) {
    ody_scatter s = *given;
    const size_t bytes = (count + s.rows) * s.n * itemsize;
    ody_announce(op, bytes);
    if (s.rows == 0 || s.n == 0) return 0;
    int64_t *order, *starts = positions_by_row(index, count, s.rows, skipped, &order);
    if (!starts) return -1;
    s.starts = starts;
    s.order = order;
    if (s.rows * s.n * itemsize > stream_threshold()) s.flags |= ODY_STREAM;
    scatter_job job = {f, &s, s.rows};
    const size_t cost = s.n * itemsize / sizeof(float) * parts(count + s.rows, s.rows) + 16, threads = (size_t)ody_threads();
    if (threads > 1 && s.rows > 1 && s.rows * cost >= 2 * GRAIN)
        job.rows_per_task = larger(GRAIN / cost + 1, parts(s.rows, threads * 4 * TASKS)); /* some rows have most terms */
    const size_t tasks = parts(s.rows, job.rows_per_task);
    if (tasks == 1) scatter_task(&job, 0);
    else ody_parallel(scatter_task, &job, tasks);
    ody_free(starts);
    return 0;
}
