/* The lines driver: a rows kernel along any one axis of strided arrays. Lines that are contiguous are worked on in
 * place; others are copied to scratch memory, some neighbours at a time, and results back. */
#include "strided.h"

enum {
    MAX_OPERANDS = 7,
    STAGE_LINES = 16, /* lines staged together: a cache line of neighbours */
    LINE = 64,
};

typedef struct lines_job {
    ody_rows_fn f;
    const ody_lines *l;
    size_t lines, inner, tile, lines_per_task, stage_step, stage_bytes;
    int staged[MAX_OPERANDS], any_staged, failed;
    unsigned flags;
} lines_job;

/* Drops axes of one, orders the kept axes as the first output lies in memory, merges what every operand walks as one. */
static void canonicalise(ody_lines *l) {
    const int operands = l->inputs + l->outputs;
#define KEPT(o, axis) l->operand[o].kept[axis]
    int count = 0;
    for (int axis = 0; axis < l->kept; axis++) {
        if (l->shape[axis] == 1) continue;
        int place = count++;
        size_t size = l->shape[axis];
        ptrdiff_t stride[MAX_OPERANDS];
        for (int o = 0; o < operands; o++) stride[o] = KEPT(o, axis);
        for (; place > 0; place--) {
            ptrdiff_t before = KEPT(l->inputs, place - 1), own = stride[l->inputs];
            if ((before < 0 ? -before : before) >= (own < 0 ? -own : own)) break;
            l->shape[place] = l->shape[place - 1];
            for (int o = 0; o < operands; o++) KEPT(o, place) = KEPT(o, place - 1);
        }
        l->shape[place] = size;
        for (int o = 0; o < operands; o++) KEPT(o, place) = stride[o];
    }
    const int axes = count;
    count = 0;
    for (int axis = 0; axis < axes; axis++) {
        int merge = count > 0;
        for (int o = 0; o < operands && merge; o++)
            merge = KEPT(o, count - 1) == KEPT(o, axis) * (ptrdiff_t)l->shape[axis];
        if (merge) {
            count--;
            l->shape[count] *= l->shape[axis];
        } else {
            l->shape[count] = l->shape[axis];
        }
        for (int o = 0; o < operands; o++) KEPT(o, count) = KEPT(o, axis);
        count++;
    }
    l->kept = count;
#undef KEPT
}

/* Between `count` lines of an operand and rows of scratch memory. */
static void stage(const lines_job *job, const ody_line_operand *o, ptrdiff_t next, char *place, size_t count, char *rows,
                  int back) {
    const ody_lines *l = job->l;
    const ptrdiff_t item = (ptrdiff_t)l->itemsize, step = (ptrdiff_t)job->stage_step;
    if (next == item && count > 1) {
        ody_rows square = back ? (ody_rows){.in = {rows}, .out = {place}, .in_step = {step}, .out_step = {o->stride},
                                            .rows = l->n, .n = count}
                               : (ody_rows){.in = {place}, .out = {rows}, .in_step = {o->stride}, .out_step = {step},
                                            .rows = count, .n = l->n};
        l->transpose(&square);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        char *line = place + (ptrdiff_t)i * next, *row = rows + (ptrdiff_t)i * step;
        if (back)
            scatter(line, o->stride, row, l->n, l->itemsize);
        else
            gather(row, line, o->stride, l->n, l->itemsize);
    }
}

static void lines_range(lines_job *job, size_t first, size_t last, char *memory) {
    const ody_lines *l = job->l;
    const int operands = l->inputs + l->outputs;
    for (size_t line = first, count; line < last; line += count) {
        char *place[MAX_OPERANDS], *rows = memory;
        ptrdiff_t next[MAX_OPERANDS];
        for (int o = 0; o < operands; o++) {
            place[o] = l->operand[o].data;
            next[o] = l->kept > 0 ? l->operand[o].kept[l->kept - 1] : 0;
        }
        size_t rest = line;
        for (int axis = l->kept - 1; axis >= 0; axis--) {
            ptrdiff_t index = (ptrdiff_t)(rest % l->shape[axis]);
            rest /= l->shape[axis];
            for (int o = 0; o < operands; o++)
                if (place[o]) place[o] += index * l->operand[o].kept[axis];
        }
        count = smaller(smaller(job->inner - line % job->inner, last - line), job->tile);
        ody_rows call = {.rows = count, .n = l->n, .flags = job->flags};
        memcpy(call.param, l->param, sizeof call.param);
        char *scratch[MAX_OPERANDS] = {NULL};
        for (int o = 0; o < operands; o++) {
            char *at = place[o];
            ptrdiff_t step = next[o];
            if (job->staged[o]) {
                at = scratch[o] = rows;
                step = (ptrdiff_t)job->stage_step;
                rows += job->stage_bytes;
                if (o < l->inputs) stage(job, &l->operand[o], next[o], place[o], count, at, 0);
            }
            if (o < l->inputs) {
                call.in[o] = at;
                call.in_step[o] = step;
            } else {
                call.out[o - l->inputs] = at;
                call.out_step[o - l->inputs] = step;
            }
        }
        job->f(&call);
        for (int o = l->inputs; o < operands; o++)
            if (job->staged[o]) stage(job, &l->operand[o], next[o], place[o], count, scratch[o], 1);
    }
}

static void lines_task(void *context, size_t task) {
    lines_job *job = context;
    char *memory = NULL;
    if (job->any_staged && !(memory = ody_alloc((size_t)job->any_staged * job->stage_bytes))) {
        __atomic_store_n(&job->failed, 1, __ATOMIC_RELAXED);
        return;
    }
    size_t first = task * job->lines_per_task;
    lines_range(job, first, smaller(first + job->lines_per_task, job->lines), memory);
    ody_free(memory);
}

int ody_run_lines(const char *op, ody_rows_fn f, const ody_lines *given) {
    ody_lines l = *given;
    canonicalise(&l);
    lines_job job = {.f = f, .l = &l, .lines = 1, .inner = 1, .tile = SIZE_MAX};
    const int operands = l.inputs + l.outputs;
    size_t bytes = 0;
    int in_place = 0;
    for (int axis = 0; axis < l.kept; axis++) job.lines *= l.shape[axis];
    if (l.kept > 0) job.inner = l.shape[l.kept - 1];
    for (int o = 0; o < operands; o++) {
        job.staged[o] = l.operand[o].wide && l.n > 1 && l.operand[o].stride != (ptrdiff_t)l.itemsize;
        job.any_staged += job.staged[o];
        /* An operand that all lines share is one line. */
        int shared = o < l.inputs;
        for (int axis = 0; axis < l.kept; axis++) shared &= l.operand[o].kept[axis] == 0;
        if (l.operand[o].wide) bytes += (shared ? 1 : job.lines) * l.n * l.itemsize;
        if (o >= l.inputs)
            for (int i = 0; i < l.inputs; i++) in_place |= l.operand[o].data == l.operand[i].data;
    }
    ody_announce(op, bytes);
    if (job.lines == 0) return 0;
    if (bytes > stream_threshold() && !in_place && !job.any_staged) job.flags |= ODY_STREAM;

    const size_t cost = (size_t)(l.cost + 4 * job.any_staged);
    const size_t threads = job.lines * l.n * cost < 2 * GRAIN ? 1 : (size_t)ody_threads();
    job.lines_per_task = job.lines;
    if (threads > 1) job.lines_per_task = larger(GRAIN / (l.n * cost + 8) + 1, parts(job.lines, threads * TASKS));
    if (job.any_staged) {
        job.tile = STAGE_LINES;
        job.stage_step = parts(l.n * l.itemsize, LINE) * LINE + LINE;
        job.stage_bytes = job.stage_step * smaller(STAGE_LINES, job.lines);
        job.lines_per_task = parts(job.lines_per_task, STAGE_LINES) * STAGE_LINES;
    }
    const size_t tasks = parts(job.lines, job.lines_per_task);
    if (tasks == 1)
        lines_task(&job, 0);
    else
        ody_parallel(lines_task, &job, tasks);
    return job.failed ? -1 : 0;
}
