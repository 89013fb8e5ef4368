/* The driver of dropout: an element's fate depends on its place alone, so the array is cut wherever a block ends. */
#include "strided.h"

enum { COST = 8 }; /* what one element costs, in additions */

typedef struct dropout_job {
    ody_dropout_fn f;
    const ody_dropout *d;
    size_t itemsize, chunk;
} dropout_job;

static void dropout_task(void *context, size_t task) {
    const dropout_job *job = context;
    ody_dropout piece = *job->d;
    const size_t start = task * job->chunk;
    piece.in = (const char *)piece.in + start * job->itemsize;
    piece.out = (char *)piece.out + start * job->itemsize;
    piece.first += start;
    piece.n = smaller(piece.n - start, job->chunk);
    job->f(&piece);
}

int ody_run_dropout(const char *op, ody_dropout_fn f, const ody_dropout *given, size_t itemsize) {
    ody_dropout d = *given;
    ody_announce(op, 2 * d.n * itemsize);
    if (d.n == 0) return 0;
    if (2 * d.n * itemsize > stream_threshold() && d.in != d.out) d.flags |= ODY_STREAM;
    dropout_job job = {f, &d, itemsize, d.n};
    const size_t threads = (size_t)ody_threads();
    if (threads > 1 && d.n * COST >= 2 * GRAIN)
        job.chunk = parts(larger(GRAIN / COST, parts(d.n, threads * TASKS)), ODY_DROPOUT_BLOCK) * ODY_DROPOUT_BLOCK;
    const size_t tasks = parts(d.n, job.chunk);
    if (tasks == 1) dropout_task(&job, 0);
    else ody_parallel(dropout_task, &job, tasks);
    return 0;
}
