/* Drivers: from an operation on whole arrays to kernel calls on contiguous pieces.
 *
 * They merge axes, stage what is strided through scratch memory, hand pieces to the thread pool and decide when results
 * bypass the caches. None of it changes a bit of any result: pieces are cut only between independent outputs.
 */
#include <odyssey/runtime.h>

#include "driver.h"
#include "staging.h"

#include <string.h>

enum {
    MAX_OPERANDS = 7,
    STAGE_BYTES = 8192, /* staged at a time of one operand: all pieces together stay in the first-level cache */
    MAX_BLOCK = 32768,  /* elements: small enough to share out among threads */
    SHORT_ROW = 64,     /* elements below which copying rows together costs less than a kernel call for each */
    TILE = 64,          /* columns of a block whose rows lie closer together than its columns */
    STREAM_BLOCK = 16384, /* bytes below which waiting for streaming stores costs more than they save */
    GRAIN = 32768,      /* the least a thread is given, in additions of floats: a microsecond and a half */
    SHARED = 4 * GRAIN, /* from here on work is shared; below, waking a thread takes longer than it saves */
    LINE = 64,          /* elements: whole cache lines of either type */
};

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
    const size_t element_cost = (size_t)cost * itemsize / sizeof(float);
    if (m->n * element_cost < SHARED) {
        f(m);
        return 0;
    }
    ody_map whole = *m;
    int in_place = 0;
    for (int i = 0; i < inputs; i++)
        for (int k = 0; k < outputs; k++) in_place |= m->in[i] == m->out[k];
    if (bytes > stream_threshold() && !in_place) whole.flags |= ODY_STREAM;
    size_t threads = (size_t)ody_threads();
    if (threads == 1) {
        f(&whole);
        return 0;
    }
    /* A few chunks per thread even out what else the machine does; whole cache lines keep threads apart. */
    size_t grain = GRAIN / element_cost / LINE * LINE + LINE;
    size_t chunk = (m->n / (threads * 4) + LINE - 1) / LINE * LINE;
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

/* A block is a rectangle over the two innermost axes. Its elements are one contiguous piece of every operand that is
 * not staged, and are collected into such a piece for every operand that is. */
typedef struct block_walk {
    ody_map_fn f;
    const ody_elementwise *e;
    int operands, staged[MAX_OPERANDS], any_staged;
    size_t outer, rows, columns;                /* the whole: outer x rows x columns */
    size_t block_rows, block_columns;           /* a block, the last ones cut short */
    size_t row_blocks, column_blocks, blocks;   /* how many of them */
    size_t blocks_per_task;
    unsigned flags;
    int failed;
} block_walk;

#define AXIS_STRIDE(e, o, from_last) ((e)->ndim > (from_last) ? (e)->operand[o].stride[(e)->ndim - 1 - (from_last)] : 0)

static void run_block(const block_walk *w, char *const *base, size_t rows, size_t columns, char *stage) {
    const ody_elementwise *e = w->e;
    ody_map piece = {.n = rows * columns, .flags = w->flags};
    const ptrdiff_t item = (ptrdiff_t)e->itemsize, line = (ptrdiff_t)columns * item;
    memcpy(piece.param, e->param, sizeof piece.param);
    for (int o = 0; o < w->operands; o++) {
        ptrdiff_t row = AXIS_STRIDE(e, o, 1), column = AXIS_STRIDE(e, o, 0);
        char *place = base[o];
        if (w->staged[o]) {
            place = stage + (size_t)o * STAGE_BYTES;
            if (o < e->inputs) copy_rectangle(place, line, item, base[o], row, column, rows, columns, e->itemsize);
        }
        if (o < e->inputs) {
            piece.in[o] = place;
            piece.step[o] = w->staged[o] || column != 0;
        } else {
            piece.out[o - e->inputs] = place;
        }
    }
    w->f(&piece);
    for (int o = e->inputs; o < w->operands; o++)
        if (w->staged[o])
            copy_rectangle(base[o], AXIS_STRIDE(e, o, 1), AXIS_STRIDE(e, o, 0), piece.out[o - e->inputs], line, item,
                           rows, columns, e->itemsize);
}

static void blocks_task(void *context, size_t task) {
    block_walk *w = context;
    const ody_elementwise *e = w->e;
    char *stage = NULL;
    if (w->any_staged && !(stage = ody_alloc((size_t)w->operands * STAGE_BYTES))) {
        __atomic_store_n(&w->failed, 1, __ATOMIC_RELAXED);
        return;
    }
    size_t first = task * w->blocks_per_task, last = first + w->blocks_per_task;
    if (last > w->blocks) last = w->blocks;
    size_t column_block = first % w->column_blocks, rest = first / w->column_blocks;
    size_t row_block = rest % w->row_blocks;
    rest /= w->row_blocks;
    size_t index[ODY_MAX_DIMS];
    char *outer_base[MAX_OPERANDS];
    for (int o = 0; o < w->operands; o++) outer_base[o] = e->operand[o].data;
    for (int axis = e->ndim - 3; axis >= 0; axis--) {
        index[axis] = rest % e->shape[axis];
        rest /= e->shape[axis];
        for (int o = 0; o < w->operands; o++) outer_base[o] += (ptrdiff_t)index[axis] * e->operand[o].stride[axis];
    }
    for (size_t block = first; block < last; block++) {
        size_t row = row_block * w->block_rows, column = column_block * w->block_columns;
        size_t rows = w->rows - row < w->block_rows ? w->rows - row : w->block_rows;
        size_t columns = w->columns - column < w->block_columns ? w->columns - column : w->block_columns;
        char *base[MAX_OPERANDS];
        for (int o = 0; o < w->operands; o++)
            base[o] = outer_base[o] + (ptrdiff_t)row * AXIS_STRIDE(e, o, 1) + (ptrdiff_t)column * AXIS_STRIDE(e, o, 0);
        run_block(w, base, rows, columns, stage);
        if (++column_block < w->column_blocks) continue;
        column_block = 0;
        if (++row_block < w->row_blocks) continue;
        row_block = 0;
        for (int axis = e->ndim - 3; axis >= 0; axis--) {
            for (int o = 0; o < w->operands; o++) outer_base[o] += e->operand[o].stride[axis];
            if (++index[axis] < e->shape[axis]) break;
            for (int o = 0; o < w->operands; o++)
                outer_base[o] -= (ptrdiff_t)e->shape[axis] * e->operand[o].stride[axis];
            index[axis] = 0;
        }
    }
    ody_free(stage);
}

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

/* Decides how large a block is, and which operands have to be staged for it. */
static void plan_blocks(block_walk *w) {
    const ody_elementwise *e = w->e;
    const ptrdiff_t item = (ptrdiff_t)e->itemsize;
    const size_t stage = STAGE_BYTES / e->itemsize;
    int crossed = 0;
    for (int o = 0; o < w->operands; o++) {
        ptrdiff_t row = AXIS_STRIDE(e, o, 1), column = AXIS_STRIDE(e, o, 0);
        int odd = (uintptr_t)e->operand[o].data % e->itemsize != 0;
        for (int axis = 0; axis < e->ndim; axis++) odd |= e->operand[o].stride[axis] % item != 0;
        /* A kernel takes contiguous elements, or one value for all. */
        w->staged[o] = odd || !(column == item || (column == 0 && o < e->inputs));
        w->any_staged |= w->staged[o];
        crossed |= w->staged[o] && w->rows > 1 && row != 0 && magnitude(row) < magnitude(column);
    }
    w->block_rows = 1;
    w->block_columns = smaller(w->columns, w->any_staged ? stage : MAX_BLOCK);
    if (crossed) {
        w->block_columns = smaller(w->columns, TILE);
        w->block_rows = smaller(w->rows, stage / w->block_columns);
    } else if (w->columns < SHORT_ROW) {
        w->block_rows = smaller(w->rows, stage / w->columns);
    }
    if (w->block_rows > 1)
        for (int o = 0; o < w->operands; o++) {
            ptrdiff_t row = AXIS_STRIDE(e, o, 1), column = AXIS_STRIDE(e, o, 0);
            int contiguous = w->block_columns == w->columns && column == item && row == (ptrdiff_t)w->columns * item;
            int together = contiguous || (row == 0 && column == 0);
            w->staged[o] |= !together;
            w->any_staged |= w->staged[o];
        }
    w->row_blocks = (w->rows + w->block_rows - 1) / w->block_rows;
    w->column_blocks = (w->columns + w->block_columns - 1) / w->block_columns;
    w->blocks = w->outer * w->row_blocks * w->column_blocks;
}

int ody_run_elementwise(const char *op, ody_map_fn f, ody_elementwise *e) {
    for (int axis = 0; axis < e->ndim; axis++)
        if (e->shape[axis] == 0) return 0;
    canonicalise(e);
    block_walk w = {.f = f, .e = e, .operands = e->inputs + e->outputs, .outer = 1, .rows = 1};
    w.columns = e->shape[e->ndim - 1];
    if (e->ndim > 1) w.rows = e->shape[e->ndim - 2];
    for (int axis = 0; axis < e->ndim - 2; axis++) w.outer *= e->shape[axis];
    plan_blocks(&w);
    if (e->ndim == 1 && !w.any_staged) {
        ody_map whole = {.n = w.columns};
        memcpy(whole.param, e->param, sizeof whole.param);
        for (int o = 0; o < e->inputs; o++) {
            whole.in[o] = e->operand[o].data;
            whole.step[o] = e->operand[o].stride[0] != 0;
        }
        for (int k = 0; k < e->outputs; k++) whole.out[k] = e->operand[e->inputs + k].data;
        return ody_run_map(op, f, &whole, e->inputs, e->outputs, e->itemsize, e->cost);
    }
    const size_t bytes = w.outer * w.rows * w.columns * e->itemsize * (size_t)w.operands;
    ody_announce(op, bytes);
    int streams = bytes > stream_threshold() && w.block_rows * w.block_columns * e->itemsize >= STREAM_BLOCK;
    for (int k = e->inputs; k < w.operands; k++) {
        streams &= !w.staged[k];
        for (int i = 0; i < e->inputs; i++) streams &= e->operand[i].data != e->operand[k].data;
    }
    if (streams) w.flags |= ODY_STREAM;
    /* Staging an operand costs some additions an element, a block some more. */
    size_t element_cost = (size_t)e->cost * e->itemsize / sizeof(float) + 4 * (size_t)w.any_staged;
    size_t block_cost = w.block_rows * w.block_columns * element_cost + 256;
    size_t threads = (size_t)ody_threads();
    w.blocks_per_task = GRAIN / block_cost + 1;
    if (w.blocks_per_task < w.blocks / (threads * 8)) w.blocks_per_task = w.blocks / (threads * 8);
    if (w.blocks * block_cost < SHARED) w.blocks_per_task = w.blocks;
    ody_parallel(blocks_task, &w, (w.blocks + w.blocks_per_task - 1) / w.blocks_per_task);
    return w.failed ? -1 : 0;
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
