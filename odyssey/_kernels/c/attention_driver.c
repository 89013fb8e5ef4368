/* The drivers of attention and of rotary embedding. Attention's tasks are rows of queries of one head of keys, its gradients'
 * a whole head of keys: what is summed is never cut. */
#include <odyssey/runtime.h>

#include "driver.h"

enum {
    SERIAL = 1 << 17, /* multiply-adds below which a second thread does not pay */
    EACH = 4,         /* pieces per thread */
    ROWS = 32,        /* rows of a piece come in multiples of it: whole tiles */
    NEAR = 32768,     /* bytes of scratch the stack holds */
    GRAIN = 32768,    /* bytes of rotary rows that pay for waking a thread */
};

typedef struct attention_job {
    ody_attention_fn f;
    ody_attention_backward_fn backward;
    const ody_attention_stack *stack;
    size_t workspace, pieces, rows; /* of a group of heads */
    int failed;
} attention_job;

/* Moves the operands to one place of the stack. */
static void move(const ody_attention_stack *s, size_t place, ody_attention_gradient *g) {
    for (int axis = s->ndim - 1; axis >= 0; axis--) {
        const ptrdiff_t index = (ptrdiff_t)(place % s->shape[axis]);
        place /= s->shape[axis];
#define STEP(pointer, name) pointer = (pointer) ? (char *)(pointer) + index * s->stride[axis].name : NULL
        STEP(g->forward.query, query);
        STEP(g->forward.key, key);
        STEP(g->forward.value, value);
        STEP(g->forward.out, out);
        STEP(g->forward.attn_mask, mask);
        STEP(g->grad, grad);
        STEP(g->dquery, dquery);
        STEP(g->dkey, dkey);
        STEP(g->dvalue, dvalue);
#undef STEP
    }
}

static void attention_task(void *context, size_t task) {
    attention_job *job = context;
    ody_attention_gradient g = job->stack->first;
    move(job->stack, task / job->pieces, &g);
    _Alignas(64) char near[NEAR];
    void *workspace = job->workspace <= sizeof near ? near : ody_alloc(job->workspace);
    if (!workspace) {
        __atomic_store_n(&job->failed, 1, __ATOMIC_RELAXED);
        return;
    }
    g.forward.workspace = workspace;
    if (job->backward) {
        job->backward(&g);
    } else {
        /* The last rows first: where attention is causal they see the most keys. */
        const size_t all = g.forward.heads * g.forward.queries, piece = job->pieces - 1 - task % job->pieces;
        g.forward.row = piece * job->rows;
        g.forward.rows = all - g.forward.row < job->rows ? all - g.forward.row : job->rows;
        job->f(&g.forward);
    }
    if (workspace != near) ody_free(workspace);
}

int ody_run_attention(const char *op, ody_attention_fn f, ody_attention_backward_fn backward,
                      ody_attention_workspace_fn workspace, const ody_attention_stack *stack) {
    const ody_attention *a = &stack->first.forward;
    size_t groups = 1;
    for (int axis = 0; axis < stack->ndim; axis++) groups *= stack->shape[axis];
    const size_t rows = a->heads * a->queries;
    ody_announce(op, groups * (rows * (a->depth + a->value_depth) + a->keys * (a->depth + a->value_depth)) * stack->itemsize);
    if (groups == 0 || (rows == 0 && !backward)) return 0;
    attention_job job = {f, backward, stack, workspace(a), 1, rows ? rows : 1, 0};
    const double each = (double)rows * (double)a->keys * (double)(a->depth + a->value_depth + 4);
    const size_t threads = (size_t)ody_threads();
    const int shared = threads > 1 && each * (double)groups > SERIAL;
    if (shared && !backward && groups < EACH * threads) {
        const size_t wanted = (EACH * threads + groups - 1) / groups;
        job.rows = ((rows + wanted - 1) / wanted + ROWS - 1) / ROWS * ROWS;
        job.pieces = (rows + job.rows - 1) / job.rows;
    }
    const size_t tasks = groups * job.pieces;
    if (shared && tasks > 1) ody_parallel(attention_task, &job, tasks);
    else
        for (size_t task = 0; task < tasks; task++) attention_task(&job, task);
    return job.failed ? -1 : 0;
}

/* ---- rotary embedding --------------------------------------------------------------------------------------------- */

typedef struct rotary_job {
    ody_rows_fn f;
    const ody_rotary *r;
    size_t pieces, rows;
} rotary_job;

static void rotary_task(void *context, size_t task) {
    const rotary_job *job = context;
    const ody_rotary *r = job->r;
    ody_rows piece = r->first;
    size_t place = task / job->pieces;
    const size_t start = task % job->pieces * job->rows;
    piece.rows = piece.rows - start < job->rows ? piece.rows - start : job->rows;
    for (int i = 0; i < 3; i++) piece.in[i] = (const char *)piece.in[i] + (ptrdiff_t)start * piece.in_step[i];
    piece.out[0] = (char *)piece.out[0] + (ptrdiff_t)start * piece.out_step[0];
    for (int axis = r->ndim - 1; axis >= 0; axis--) {
        const ptrdiff_t index = (ptrdiff_t)(place % r->shape[axis]);
        place /= r->shape[axis];
        for (int i = 0; i < 3; i++) piece.in[i] = (const char *)piece.in[i] + index * r->stride[axis][i];
        piece.out[0] = (char *)piece.out[0] + index * r->stride[axis][3];
    }
    job->f(&piece);
}

void ody_run_rotary(const char *op, ody_rows_fn f, const ody_rotary *r, size_t itemsize) {
    size_t outer = 1;
    for (int axis = 0; axis < r->ndim; axis++) outer *= r->shape[axis];
    const size_t rows = r->first.rows, bytes = outer * rows * r->first.n * itemsize * 2;
    ody_announce(op, bytes);
    if (bytes == 0) return;
    ody_rotary whole = *r;
    if (bytes > stream_threshold() && r->first.out[0] != r->first.in[0]) whole.first.flags |= ODY_STREAM;
    rotary_job job = {f, &whole, 1, rows};
    const size_t threads = (size_t)ody_threads();
    const int shared = threads > 1 && bytes > 2 * GRAIN;
    if (shared && outer < EACH * threads) {
        const size_t wanted = (EACH * threads + outer - 1) / outer, least = GRAIN / (2 * r->first.n * itemsize) + 1;
        job.rows = (rows + wanted - 1) / wanted > least ? (rows + wanted - 1) / wanted : least;
        job.pieces = (rows + job.rows - 1) / job.rows;
    }
    if (shared) ody_parallel(rotary_task, &job, outer * job.pieces);
    else
        for (size_t task = 0; task < outer * job.pieces; task++) rotary_task(&job, task);
}
