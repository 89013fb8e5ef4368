/* The drivers of hyper-connections: tokens are independent, so threads share them, whole groups at a time. */
#include "hyper_group.h"
#include "strided.h"

enum { NEAR = 32768 }; /* bytes of scratch the stack holds */

typedef struct hyper_job {
    ody_hyper_fn f;
    const ody_hyper *h;
    size_t itemsize, outputs, scales, tokens, workspace; /* tokens of a task */
    int failed;
} hyper_job;

#define FORWARD_BY(pointer, bytes) piece.pointer = piece.pointer ? (char *)piece.pointer + start * (bytes) * item : NULL

static void hyper_task(void *context, size_t task) {
    hyper_job *job = context;
    ody_hyper piece = *job->h;
    const size_t start = task * job->tokens, n = piece.streams, hidden = piece.hidden, item = job->itemsize;
    piece.tokens = smaller(piece.tokens - start, job->tokens);
    FORWARD_BY(x, n * hidden);
    FORWARD_BY(collapsed, hidden);
    FORWARD_BY(post, n);
    FORWARD_BY(comb, n * n);
    FORWARD_BY(mix, job->outputs);
    FORWARD_BY(grad_collapsed, hidden);
    FORWARD_BY(grad_post, n);
    FORWARD_BY(grad_comb, n * n);
    FORWARD_BY(dx, n * hidden);
    FORWARD_BY(dproduct, job->outputs);
    FORWARD_BY(terms, job->outputs + job->scales);
    _Alignas(64) char near[NEAR];
    void *workspace = job->workspace <= sizeof near ? near : ody_alloc(job->workspace);
    if (!workspace) {
        __atomic_store_n(&job->failed, 1, __ATOMIC_RELAXED);
        return;
    }
    piece.workspace = workspace;
    job->f(&piece);
    if (workspace != near) ody_free(workspace);
}

int ody_run_hyper(const char *op, ody_hyper_fn f, ody_hyper_workspace_fn workspace, int backward, const ody_hyper *given,
                  size_t itemsize) {
    ody_hyper h = *given;
    const size_t row = h.streams * h.hidden, head = h.kind == ODY_HYPER_HEAD;
    hyper_job job = {.f = f, .h = &h, .itemsize = itemsize, .scales = head ? 1 : 3};
    job.outputs = head ? h.streams : (2 + h.streams) * h.streams;
    ody_announce(op, h.tokens * (row + h.hidden) * itemsize * (backward ? 2 : 1) + job.outputs * row * itemsize);
    if (h.tokens == 0) return 0;
    h.group = hyper_group(h.streams, h.hidden, itemsize);
    job.workspace = workspace(&h, backward);
    job.tokens = h.tokens;
    const size_t cost = row * (job.outputs / 4 + 2) * itemsize / sizeof(float) + 256, threads = (size_t)ody_threads();
    if (threads > 1 && h.tokens > 1 && h.tokens * cost >= 2 * GRAIN) {
        /* Whole groups where there are enough, else what each thread can have. */
        const size_t share = parts(h.tokens, threads * TASKS);
        job.tokens = share >= h.group ? parts(share, h.group) * h.group : smaller(h.group, parts(h.tokens, threads));
    }
    const size_t tasks = parts(h.tokens, job.tokens);
    if (tasks == 1) hyper_task(&job, 0);
    else ody_parallel(hyper_task, &job, tasks);
    return job.failed ? -1 : 0;
}

typedef struct mixing_job {
    ody_mixing_fn f;
    const ody_mixing *m;
    size_t itemsize, tokens;
} mixing_job;

static void mixing_task(void *context, size_t task) {
    const mixing_job *job = context;
    ody_mixing piece = *job->m;
    const size_t start = task * job->tokens, n = piece.streams, hidden = piece.hidden, item = job->itemsize;
    piece.tokens = smaller(piece.tokens - start, job->tokens);
    FORWARD_BY(f, hidden);
    FORWARD_BY(x, n * hidden);
    FORWARD_BY(post, n);
    FORWARD_BY(comb, n * n);
    FORWARD_BY(grad, n * hidden);
    FORWARD_BY(out, n * hidden);
    FORWARD_BY(df, hidden);
    FORWARD_BY(dx, n * hidden);
    FORWARD_BY(dpost, n);
    FORWARD_BY(dcomb, n * n);
    job->f(&piece);
}

void ody_run_mixing(const char *op, ody_mixing_fn f, const ody_mixing *given, size_t itemsize) {
    ody_mixing m = *given;
    const size_t row = m.streams * m.hidden, bytes = m.tokens * (2 * row + m.hidden) * itemsize * (m.grad ? 2 : 1);
    ody_announce(op, bytes);
    if (m.tokens == 0) return;
    m.flags = 0; /* never ODY_STREAM: lines of four streams in turn, written past the caches, were slower by far */
    mixing_job job = {f, &m, itemsize, m.tokens};
    const size_t cost = row * (m.streams + 1) * (m.grad ? 2 : 1) * itemsize / sizeof(float) / 2 + 64, threads = (size_t)ody_threads();
    if (threads > 1 && m.tokens > 1 && m.tokens * cost >= 2 * GRAIN)
        job.tokens = larger(GRAIN / cost + 1, parts(m.tokens, threads * TASKS));
    const size_t tasks = parts(m.tokens, job.tokens);
    if (tasks == 1) mixing_task(&job, 0);
    else ody_parallel(mixing_task, &job, tasks);
}
