/* The driver of pooling: planes are independent, so threads share them. */
#include <odyssey/runtime.h>

#include "driver.h"

enum {
    GRAIN = 32768, /* additions' worth of work that pays for waking a thread */
    EACH = 4,      /* pieces per thread */
    NEAR = 16384,  /* bytes of scratch the stack holds */
};

typedef struct pool_job {
    const ody_pool *whole;
    ody_pool_fn f;
    size_t workspace, chunk, in_bytes[2], out_bytes; /* bytes of one plane of each operand */
    int failed;
} pool_job;

static void pool_task(void *context, size_t task) {
    pool_job *job = context;
    ody_pool piece = *job->whole;
    const size_t start = task * job->chunk;
    piece.planes = piece.planes - start < job->chunk ? piece.planes - start : job->chunk;
    for (int i = 0; i < 2; i++)
        if (piece.in[i]) piece.in[i] = (const char *)piece.in[i] + start * job->in_bytes[i];
    piece.out = (char *)piece.out + start * job->out_bytes;
    _Alignas(64) char near[NEAR];
    piece.workspace = job->workspace <= sizeof near ? near : ody_alloc(job->workspace);
    if (!piece.workspace) {
        __atomic_store_n(&job->failed, 1, __ATOMIC_RELAXED);
        return;
    }
    job->f(&piece);
    if (piece.workspace != near) ody_free(piece.workspace);
}

int ody_run_pool(const char *op, ody_pool_workspace_fn workspace, ody_pool_fn f, const ody_pool *p, int backward,
                 size_t itemsize) {
    const size_t image = p->height * p->width * itemsize, result = p->out_height * p->out_width * itemsize;
    ody_announce(op, p->planes * (image + result));
    if (p->planes == 0 || image == 0) return 0;
    pool_job job = {.whole = p, .f = f};
    job.workspace = workspace ? workspace(p) : 0;
    job.in_bytes[0] = backward ? result : image;
    job.in_bytes[1] = image;
    job.out_bytes = backward ? image : result;
    const size_t cost = p->height * p->width + p->out_height * p->out_width * p->kernel_h * p->kernel_w + 16;
    const size_t threads = (size_t)ody_threads();
    job.chunk = p->planes;
    if (threads > 1 && p->planes > 1 && (double)p->planes * (double)cost > 2 * GRAIN) {
        const size_t grain = GRAIN / cost + 1, chunk = (p->planes + threads * EACH - 1) / (threads * EACH);
        job.chunk = chunk > grain ? chunk : grain;
    }
    const size_t tasks = (p->planes + job.chunk - 1) / job.chunk;
    if (tasks == 1) pool_task(&job, 0);
    else ody_parallel(pool_task, &job, tasks);
    return job.failed ? -1 : 0;
}
