/* Drivers: from an operation on whole arrays to kernel calls on contiguous pieces.
 *
 * They merge axes, stage what is strided through scratch memory, hand pieces to the thread pool and decide when results
 * bypass the caches. None of it changes a bit of any result: pieces are cut only between independent outputs.
 */
#include <odyssey/runtime.h>

#include "driver.h"

#include <string.h>
#include <unistd.h>

enum {
    STAGE = 2048,      /* elements staged at a time: every operand's piece together stays in the first-level cache */
    MAX_OPERANDS = 7,
    GRAIN = 32768,     /* additions' worth of work that pays for waking a thread */
    LINE = 64,
};

/* Beyond this many bytes moved, results would only push useful data out of the last-level cache. */
static size_t stream_threshold(void) {
    static size_t cached;
    size_t bytes = __atomic_load_n(&cached, __ATOMIC_RELAXED);
    if (bytes == 0) {
        long l3 = -1;
#ifdef _SC_LEVEL3_CACHE_SIZE
        l3 = sysconf(_SC_LEVEL3_CACHE_SIZE);
#endif
        bytes = l3 > 0 ? (size_t)l3 : (size_t)32 << 20;
        __atomic_store_n(&cached, bytes, __ATOMIC_RELAXED);
    }
    return bytes;
}

/* ---- map: contiguous operands ------------------------------------------------------------------------------------ */

typedef struct map_job {
    ody_map_fn f;
    const ody_map *m;
    int inputs, outputs;
    size_t itemsize, chunk;
} map_job;

static void map_task(void *context, size_t task) {
    const map_job *job = context;
    ody_map piece = *job->m;
    size_t start = task * job->chunk;
    for (int i = 0; i < job->inputs; i++)
        piece.in[i] = (const char *)piece.in[i] + (ptrdiff_t)(start * job->itemsize) * piece.step[i];
    for (int k = 0; k < job->outputs; k++) piece.out[k] = (char *)piece.out[k] + start * job->itemsize;
    piece.n = piece.n - start < job->chunk ? piece.n - start : job->chunk;
    job->f(&piece);
}

int ody_run_map(const char *op, ody_map_fn f, const ody_map *m, int inputs, int outputs, size_t itemsize, int cost) {
    size_t bytes = m->n * itemsize * (size_t)(inputs + outputs);
    ody_announce(op, bytes);
    /* A small call goes straight through. */
    if (m->n * (size_t)cost < 2 * GRAIN) {
        f(m);
        return 0;
    }
    ody_map whole = *m;
    int in_place = 0;
    for (int i = 0; i < inputs; i++)
        for (int k = 0; k < outputs; k++) in_place |= m->in[i] == m->out[k];
    if (bytes > stream_threshold() && !in_place) whole.flags |= ODY_STREAM;
    int threads = ody_threads();
    if (threads == 1) {
        f(&whole);
        return 0;
    }
    /* A few chunks per thread even out what else the machine does; whole cache lines keep threads apart. */
    size_t grain = GRAIN / (size_t)cost / LINE * LINE + LINE;
    size_t chunk = (m->n / ((size_t)threads * 4) + LINE - 1) / LINE * LINE;
    map_job job = {f, &whole, inputs, outputs, itemsize, chunk > grain ? chunk : grain};
    ody_parallel(map_task, &job, (m->n + job.chunk - 1) / job.chunk);
    return 0;
}

/* ---- elementwise: any strides ------------------------------------------------------------------------------------ */

/* Reorders axes so that the first output is walked in memory order, drops axes of one, and merges neighbours that
 * every operand walks as one. */
static void canonicalise(ody_elementwise *e) {
    int operands = e->inputs + e->outputs, first_output = e->inputs;
#define STRIDE(o, axis) e->operand[o].stride[axis]
    int kept = 0;
    for (int axis = 0; axis < e->ndim; axis++) {
        if (e->shape[axis] == 1) continue;
        e->shape[kept] = e->shape[axis];
        for (int o = 0; o < operands; o++) STRIDE(o, kept) = STRIDE(o, axis);
        kept++;
    }
    e->ndim = kept;
    for (int i = 1; i < kept; i++)
        for (int j = i; j > 0; j--) {
            ptrdiff_t outer = STRIDE(first_output, j - 1), inner = STRIDE(first_output, j);
            if ((outer < 0 ? -outer : outer) >= (inner < 0 ? -inner : inner)) break;
            size_t size = e->shape[j];
            e->shape[j] = e->shape[j - 1];
            e->shape[j - 1] = size;
            for (int o = 0; o < operands; o++) {
                ptrdiff_t stride = STRIDE(o, j);
                STRIDE(o, j) = STRIDE(o, j - 1);
                STRIDE(o, j - 1) = stride;
            }
        }
    int last = 0;
    for (int axis = 1; axis < kept; axis++) {
        int mergeable = 1;
        for (int o = 0; o < operands; o++)
            mergeable &= STRIDE(o, last) == STRIDE(o, axis) * (ptrdiff_t)e->shape[axis];
        if (mergeable) {
            e->shape[last] *= e->shape[axis];
        } else {
            last++;
            e->shape[last] = e->shape[axis];
        }
        for (int o = 0; o < operands; o++) STRIDE(o, last) = STRIDE(o, axis);
    }
    if (kept > 0) e->ndim = last + 1;
    if (e->ndim == 0) {
        e->ndim = 1;
        e->shape[0] = 1;
        for (int o = 0; o < operands; o++) STRIDE(o, 0) = (ptrdiff_t)e->itemsize;
    }
#undef STRIDE
}

static void gather(void *to, const char *from, ptrdiff_t stride, size_t n, size_t itemsize) {
    if (itemsize == 4)
        for (size_t i = 0; i < n; i++) memcpy((char *)to + 4 * i, from + (ptrdiff_t)i * stride, 4);
    else
        for (size_t i = 0; i < n; i++) memcpy((char *)to + 8 * i, from + (ptrdiff_t)i * stride, 8);
}

static void scatter(char *to, ptrdiff_t stride, const void *from, size_t n, size_t itemsize) {
    if (itemsize == 4)
        for (size_t i = 0; i < n; i++) memcpy(to + (ptrdiff_t)i * stride, (const char *)from + 4 * i, 4);
    else
        for (size_t i = 0; i < n; i++) memcpy(to + (ptrdiff_t)i * stride, (const char *)from + 8 * i, 8);
}

typedef struct elementwise_job {
    ody_map_fn f;
    const ody_elementwise *e;
    size_t outer, inner, rows_per_task;
    int staged[MAX_OPERANDS];
    int failed;
} elementwise_job;

/* The rows [first, last) of the innermost axis, each cut into pieces that fit the staging memory. */
static void elementwise_rows(elementwise_job *job, size_t first, size_t last, char *stage) {
    const ody_elementwise *e = job->e;
    int operands = e->inputs + e->outputs, inner_axis = e->ndim - 1;
    ody_map piece = {.n = 0};
    memcpy(piece.param, e->param, sizeof piece.param);
    for (size_t row = first; row < last; row++) {
        const char *base[MAX_OPERANDS];
        size_t rest = row;
        for (int o = 0; o < operands; o++) base[o] = e->operand[o].data;
        for (int axis = inner_axis - 1; axis >= 0; axis--) {
            size_t index = rest % e->shape[axis];
            rest /= e->shape[axis];
            for (int o = 0; o < operands; o++) base[o] += (ptrdiff_t)index * e->operand[o].stride[axis];
        }
        size_t piece_size = stage ? STAGE : job->inner;
        for (size_t start = 0; start < job->inner; start += piece_size) {
            size_t n = job->inner - start < piece_size ? job->inner - start : piece_size;
            piece.n = n;
            for (int o = 0; o < operands; o++) {
                ptrdiff_t stride = e->operand[o].stride[inner_axis];
                char *place = (char *)base[o] + (ptrdiff_t)start * stride;
                if (job->staged[o]) {
                    char *staging = stage + (size_t)o * STAGE * e->itemsize;
                    /* A value repeated along the row is staged once. */
                    if (o < e->inputs && (stride != 0 || start == 0)) gather(staging, place, stride, n, e->itemsize);
                    place = staging;
                }
                if (o < e->inputs) {
                    piece.in[o] = place;
                    piece.step[o] = stride == 0 && !job->staged[o] ? 0 : 1;
                } else {
                    piece.out[o - e->inputs] = place;
                }
            }
            job->f(&piece);
            for (int o = e->inputs; o < operands; o++)
                if (job->staged[o]) {
                    ptrdiff_t stride = e->operand[o].stride[inner_axis];
                    scatter((char *)base[o] + (ptrdiff_t)start * stride, stride, piece.out[o - e->inputs], n,
                            e->itemsize);
                }
        }
    }
}

static void elementwise_task(void *context, size_t task) {
    elementwise_job *job = context;
    const ody_elementwise *e = job->e;
    int operands = e->inputs + e->outputs, any = 0;
    for (int o = 0; o < operands; o++) any |= job->staged[o];
    char *stage = NULL;
    if (any && !(stage = ody_alloc((size_t)operands * STAGE * e->itemsize))) {
        __atomic_store_n(&job->failed, 1, __ATOMIC_RELAXED);
        return;
    }
    size_t first = task * job->rows_per_task, last = first + job->rows_per_task;
    elementwise_rows(job, first, last < job->outer ? last : job->outer, stage);
    ody_free(stage);
}

int ody_run_elementwise(const char *op, ody_map_fn f, const ody_elementwise *given) {
    ody_elementwise e = *given;
    for (int axis = 0; axis < e.ndim; axis++)
        if (e.shape[axis] == 0) return 0;
    canonicalise(&e);
    int operands = e.inputs + e.outputs, inner_axis = e.ndim - 1, repeated = 0;
    elementwise_job job = {.f = f, .e = &e, .outer = 1, .inner = e.shape[inner_axis]};
    for (int axis = 0; axis < inner_axis; axis++) job.outer *= e.shape[axis];
    for (int o = 0; o < operands; o++) {
        ptrdiff_t stride = e.operand[o].stride[inner_axis];
        /* One repeated operand of a two-input kernel needs no staging: the kernel takes step 0. */
        int by_step = stride == 0 && e.inputs == 2 && o < e.inputs && repeated++ == 0;
        /* With one element the stride means nothing. */
        job.staged[o] = stride != (ptrdiff_t)e.itemsize && !by_step && job.inner > 1;
        if (job.inner == 1) e.operand[o].stride[inner_axis] = (ptrdiff_t)e.itemsize;
    }
    int staged = 0;
    for (int o = 0; o < operands; o++) staged |= job.staged[o];
    if (job.outer == 1 && !staged) {
        ody_map whole = {.n = job.inner};
        memcpy(whole.param, e.param, sizeof whole.param);
        for (int o = 0; o < operands; o++) {
            if (o < e.inputs) {
                whole.in[o] = e.operand[o].data;
                whole.step[o] = e.operand[o].stride[inner_axis] != 0;
            } else {
                whole.out[o - e.inputs] = e.operand[o].data;
            }
        }
        return ody_run_map(op, f, &whole, e.inputs, e.outputs, e.itemsize, e.cost);
    }
    ody_announce(op, job.outer * job.inner * e.itemsize * (size_t)operands);
    size_t row_cost = job.inner * (size_t)(e.cost + 2 * staged) + 16;
    job.rows_per_task = 1 + 4 * GRAIN / row_cost;
    ody_parallel(elementwise_task, &job, (job.outer + job.rows_per_task - 1) / job.rows_per_task);
    return job.failed ? -1 : 0;
}

/* ---- rows --------------------------------------------------------------------------------------------------------- */

typedef struct rows_job {
    ody_rows_fn f;
    const ody_rows *r;
    size_t chunk;
} rows_job;

static void rows_task(void *context, size_t task) {
    const rows_job *job = context;
    ody_rows piece = *job->r;
    size_t start = task * job->chunk;
    for (int i = 0; i < 4; i++)
        if (piece.in[i]) piece.in[i] = (const char *)piece.in[i] + (ptrdiff_t)start * piece.in_step[i];
    for (int k = 0; k < 3; k++)
        if (piece.out[k]) piece.out[k] = (char *)piece.out[k] + (ptrdiff_t)start * piece.out_step[k];
    piece.rows = piece.rows - start < job->chunk ? piece.rows - start : job->chunk;
    job->f(&piece);
}

int ody_run_rows(const char *op, ody_rows_fn f, const ody_rows *r, int cost) {
    ody_announce(op, r->rows * r->n);
    if (r->rows == 0) return 0;
    ody_rows whole = *r;
    size_t row_cost = r->n * (size_t)cost + 8;
    int threads = ody_threads();
    if (threads == 1 || r->rows == 1 || r->rows * row_cost < 2 * GRAIN) {
        f(&whole);
        return 0;
    }
    size_t grain = GRAIN / row_cost + 1, chunk = (r->rows + (size_t)threads * 4 - 1) / ((size_t)threads * 4);
    rows_job job = {f, &whole, chunk > grain ? chunk : grain};
    ody_parallel(rows_task, &job, (r->rows + job.chunk - 1) / job.chunk);
    return 0;
}
