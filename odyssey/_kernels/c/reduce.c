/* The reduction driver: from a strided array and its reduced axes to kernel calls.
 *
 * The bits are settled in the kernels (sequence.h): how a sequence is reduced does not depend on where it lies. So the
 * driver is free to choose the cheapest walk:
 *
 *   rows      the reduced axes are contiguous: a kernel call takes many rows
 *   columns   a kept axis is contiguous: a kernel call takes many neighbouring sequences, down the reduced axis
 *   staged    neither: sequences are copied to scratch memory in C order, then as rows
 *
 * and to cut long sequences into chunks, whose partial results are folded in order, for want of other parallel work.
 */
#include "strided.h"

enum {
    TILE_BYTES = 16384,    /* rows taken through both passes together: they stay in the first cache */
    TILE_ROWS = 64,
    PIECE_BYTES = 8192,    /* of a sequence, staged at a time */
    PIECES_BYTES = 65536,  /* of all sequences in a tile */
    STAGE_ROWS = 16,       /* sequences staged together: a cache line of neighbours */
    NARROW = 256,          /* columns at a time where the matrix fits the caches */
    WIDE = 4096,           /* and where it does not: long runs, so that prefetchers and page tables keep up */
    CACHED_BYTES = 16 << 20,
    LINE = 64,
};

typedef struct reduction_job {
    const char *op;
    const ody_reduction *r;
    size_t rows, n;                 /* sequences and their length */
    size_t inner;                   /* sequences along the last kept axis */
    ptrdiff_t in_step, out_step;    /* from one to the next there */
    int staged;
    size_t tile;                    /* sequences in one kernel call, at most */
    size_t rows_per_task;
    /* when sequences are cut */
    size_t chunk, chunks, chunks_per_task;
    size_t threads;
    int pass;
    char *partials, *centres, *values;
    /* columns */
    size_t width, tiles;
    int failed;
} reduction_job;

/* ---- axes -------------------------------------------------------------------------------------------------------- */

/* Drops axes of one, merges what is walked as one, and orders the kept axes as they lie in memory. The order of the
 * reduced axes is the order of the sequence and stays. */
static void canonicalise(ody_reduction *r) {
    int count = 0;
    for (int axis = 0; axis < r->reduced; axis++) {
        if (r->shape[axis] == 1) continue;
        if (count > 0 && r->stride[count - 1] == r->stride[axis] * (ptrdiff_t)r->shape[axis]) {
            r->shape[count - 1] *= r->shape[axis];
            r->stride[count - 1] = r->stride[axis];
            continue;
        }
        r->shape[count] = r->shape[axis];
        r->stride[count] = r->stride[axis];
        count++;
    }
    r->reduced = count;

    count = 0;
    for (int axis = 0; axis < r->kept; axis++) {
        if (r->kept_shape[axis] == 1) continue;
        size_t size = r->kept_shape[axis];
        ptrdiff_t stride = r->kept_stride[axis], out_stride = r->out_stride[axis];
        int place = count++;
        for (; place > 0; place--) {
            ptrdiff_t before = r->kept_stride[place - 1];
            if ((before < 0 ? -before : before) >= (stride < 0 ? -stride : stride)) break;
            r->kept_shape[place] = r->kept_shape[place - 1];
            r->kept_stride[place] = before;
            r->out_stride[place] = r->out_stride[place - 1];
        }
        r->kept_shape[place] = size;
        r->kept_stride[place] = stride;
        r->out_stride[place] = out_stride;
    }
    int axes = count;
    count = 0;
    for (int axis = 0; axis < axes; axis++) {
        ptrdiff_t size = (ptrdiff_t)r->kept_shape[axis];
        if (count > 0 && r->kept_stride[count - 1] == r->kept_stride[axis] * size &&
            r->out_stride[count - 1] == r->out_stride[axis] * size) {
            count--;
            r->kept_shape[count] *= (size_t)size;
        } else {
            r->kept_shape[count] = (size_t)size;
        }
        r->kept_stride[count] = r->kept_stride[axis];
        r->out_stride[count] = r->out_stride[axis];
        count++;
    }
    r->kept = count;
}

/* Where sequence `row` begins, and its result. */
static void locate(const reduction_job *job, size_t row, const char **in, char **out) {
    const ody_reduction *r = job->r;
    *in = r->in;
    *out = r->out;
    for (int axis = r->kept - 1; axis >= 0; axis--) {
        ptrdiff_t index = (ptrdiff_t)(row % r->kept_shape[axis]);
        row /= r->kept_shape[axis];
        *in += index * r->kept_stride[axis];
        *out += index * r->out_stride[axis];
    }
}

/* How many of `wanted` sequences from `row` on follow each other at in_step. */
static size_t run_length(const reduction_job *job, size_t row, size_t wanted) {
    size_t left = job->inner - row % job->inner;
    return smaller(smaller(left, wanted), job->tile);
}

/* Element `start` of the sequence that begins at `in`. */
static const char *sequence_at(const ody_reduction *r, const char *in, size_t start) {
    for (int axis = r->reduced - 1; axis >= 0; axis--) {
        in += (ptrdiff_t)(start % r->shape[axis]) * r->stride[axis];
        start /= r->shape[axis];
    }
    return in;
}

/* Copies the elements [start, start + n) of `rows` sequences to rows of `stage`. */
static void stage_rows(const reduction_job *job, const char *in, size_t rows, size_t start, size_t n, char *stage,
                       size_t step) {
    const ody_reduction *r = job->r;
    const int last = r->reduced - 1;
    const size_t itemsize = r->itemsize, inner = r->shape[last];
    const ptrdiff_t stride = r->stride[last];
    for (size_t done = 0; done < n;) {
        const size_t count = smaller(inner - (start + done) % inner, n - done);
        const char *from = sequence_at(r, in, start + done);
        char *to = stage + done * itemsize;
        if (stride != (ptrdiff_t)itemsize && job->in_step == (ptrdiff_t)itemsize && rows > 1) {
            ody_rows square = {.in = {from}, .out = {to}, .in_step = {stride}, .out_step = {(ptrdiff_t)step},
                               .rows = rows, .n = count};
            r->transpose(&square);
        } else {
            for (size_t row = 0; row < rows; row++)
                gather(to + row * step, from + (ptrdiff_t)row * job->in_step, stride, count, itemsize);
        }
        done += count;
    }
}

/* Work too small for a second thread is not offered to one. */
static void run_tasks(ody_task_fn f, reduction_job *job, size_t tasks) {
    if (job->threads > 1)
        ody_parallel(f, job, tasks);
    else
        for (size_t task = 0; task < tasks; task++) f(job, task);
}

/* ---- rows, whole --------------------------------------------------------------------------------------------------- */

/* A row of staging memory: a line more than its elements, so that rows do not meet in one set of the cache. */
static size_t stage_step(const reduction_job *job) { return parts(job->n * job->r->itemsize, LINE) * LINE + LINE; }

static void rows_range(reduction_job *job, size_t first, size_t last, char *stage) {
    const ody_reduction *r = job->r;
    double centres[TILE_ROWS];
    for (size_t row = first, count; row < last; row += count) {
        const char *in;
        char *out;
        locate(job, row, &in, &out);
        count = run_length(job, row, last - row);
        ody_rows call = {.in = {in}, .in_step = {job->in_step, (ptrdiff_t)r->itemsize}, .rows = count, .n = job->n};
        if (stage) {
            stage_rows(job, in, count, 0, job->n, stage, stage_step(job));
            call.in[0] = stage;
            call.in_step[0] = (ptrdiff_t)stage_step(job);
        }
        for (int pass = 0; pass < r->passes; pass++) {
            int final = pass == r->passes - 1;
            call.out[0] = final ? (void *)out : centres;
            call.out_step[0] = final ? job->out_step : (ptrdiff_t)r->itemsize;
            call.in[1] = pass ? centres : NULL;
            call.param[0] = r->pass[pass].param;
            r->pass[pass].rows(&call);
        }
    }
}

static void rows_task(void *context, size_t task) {
    reduction_job *job = context;
    char *stage = NULL;
    if (job->staged && !(stage = ody_alloc(job->tile * stage_step(job)))) {
        __atomic_store_n(&job->failed, 1, __ATOMIC_RELAXED);
        return;
    }
    size_t first = task * job->rows_per_task;
    rows_range(job, first, smaller(first + job->rows_per_task, job->rows), stage);
    ody_free(stage);
}

/* ---- rows, cut into chunks ----------------------------------------------------------------------------------------- */

/* One chunk of neighbouring sequences, piece by piece: blocks that lie in one contiguous run of each sequence are taken
 * where they are, others are copied together. All sequences take a piece before any takes the next, so that memory is
 * walked in its own order where neighbours lie closer than runs. */
static void staged_chunk(const reduction_job *job, const char *in, size_t start, size_t n, ody_rows *call, char *stage) {
    const ody_reduction *r = job->r;
    const size_t block = ODY_BLOCK_BYTES / r->itemsize, inner = r->shape[r->reduced - 1];
    const int runs = r->stride[r->reduced - 1] == (ptrdiff_t)r->itemsize && inner >= block;
    const size_t end = start + n, staged = larger(PIECES_BYTES / call->rows / ODY_BLOCK_BYTES, 1) * block;
    for (size_t piece; start < end; start += piece) {
        piece = smaller(end - start, smaller(PIECE_BYTES / r->itemsize, staged));
        const size_t run = inner - start % inner;
        if (runs && smaller(run, end - start) >= block) {
            piece = smaller(run, end - start) / block * block;
            call->in[0] = sequence_at(r, in, start);
            call->in_step[0] = job->in_step;
        } else {
            if (runs) piece = smaller(piece, parts(run, block) * block);
            stage_rows(job, in, call->rows, start, piece, stage, PIECE_BYTES + LINE);
            call->in[0] = stage;
            call->in_step[0] = PIECE_BYTES + LINE;
        }
        call->n = piece;
        r->pass[job->pass].rows(call);
        call->flags |= ODY_CONTINUE;
    }
}

/* Task: some chunks of one tile of rows. */
static void chunks_task(void *context, size_t task) {
    reduction_job *job = context;
    const ody_reduction *r = job->r;
    const ody_pass *pass = &r->pass[job->pass];
    const size_t itemsize = r->itemsize, groups = parts(job->chunks, job->chunks_per_task);
    size_t row = task / groups * job->tile, first = task % groups * job->chunks_per_task;
    const size_t last_row = smaller(row + job->tile, job->rows);
    const size_t step = (r->places ? ODY_CHUNK_BYTES : PIECE_BYTES) + LINE;
    char *stage = NULL;
    if (job->staged && !(stage = ody_alloc(job->tile * step))) {
        __atomic_store_n(&job->failed, 1, __ATOMIC_RELAXED);
        return;
    }
    for (size_t count; row < last_row; row += count) {
        const char *in;
        char *out;
        locate(job, row, &in, &out);
        count = run_length(job, row, last_row - row);
        for (size_t chunk = first; chunk < smaller(first + job->chunks_per_task, job->chunks); chunk++) {
            size_t start = chunk * job->chunk, n = smaller(job->n - start, job->chunk), slot = row * job->chunks + chunk;
            ody_rows call = {.in = {in + start * itemsize, job->pass ? job->centres + row * itemsize : NULL},
                             .in_step = {job->in_step, (ptrdiff_t)itemsize},
                             .rows = count, .n = n, .param = {pass->param}};
            if (r->places) {
                if (stage) {
                    stage_rows(job, in, count, start, n, stage, step);
                    call.in[0] = stage;
                    call.in_step[0] = (ptrdiff_t)step;
                }
                call.out[0] = job->partials + slot * sizeof(int64_t);
                call.out[1] = job->values + slot * itemsize;
                call.out_step[0] = (ptrdiff_t)(job->chunks * sizeof(int64_t));
                call.out_step[1] = (ptrdiff_t)(job->chunks * itemsize);
                pass->rows(&call);
            } else {
                call.out[0] = job->partials + slot * ODY_VECTOR_BYTES;
                call.out_step[0] = (ptrdiff_t)(job->chunks * ODY_VECTOR_BYTES);
                call.flags = ODY_PARTIAL;
                if (stage)
                    staged_chunk(job, in, start, n, &call, stage);
                else
                    pass->rows(&call);
            }
        }
    }
    ody_free(stage);
}

/* The extremum of the chunks' extrema tells the chunk, and the chunk knew the place. */
static void fold_places(reduction_job *job) {
    const ody_reduction *r = job->r;
    for (size_t row = 0; row < job->rows; row++) {
        const char *in;
        char *out;
        int64_t chunk;
        locate(job, row, &in, &out);
        ody_rows call = {.in = {job->values + row * job->chunks * r->itemsize}, .out = {&chunk}, .rows = 1,
                         .n = job->chunks};
        r->pass[0].rows(&call);
        *(int64_t *)out = chunk * (int64_t)job->chunk + ((int64_t *)job->partials)[row * job->chunks + (size_t)chunk];
    }
}

static void fold_partials(reduction_job *job) {
    const ody_reduction *r = job->r;
    const int final = job->pass == r->passes - 1;
    const ptrdiff_t itemsize = (ptrdiff_t)r->itemsize, step = (ptrdiff_t)(job->chunks * ODY_VECTOR_BYTES);
    for (size_t row = 0, count; row < job->rows; row += count) {
        const char *in;
        char *out, *centre = job->centres + (ptrdiff_t)row * itemsize;
        locate(job, row, &in, &out);
        count = smaller(job->inner - row % job->inner, job->rows - row);
        ody_rows call = {.in = {job->partials + (ptrdiff_t)row * step, job->pass ? centre : NULL},
                         .in_step = {step, itemsize}, .out = {final ? out : centre},
                         .out_step = {final ? job->out_step : itemsize}, .rows = count, .n = job->chunks,
                         .param = {r->pass[job->pass].param}, .flags = ODY_FOLD};
        r->pass[job->pass].rows(&call);
    }
}

static int run_chunks(reduction_job *job, size_t cost) {
    const ody_reduction *r = job->r;
    const size_t slots = job->rows * job->chunks;
    size_t bytes = slots * (r->places ? sizeof(int64_t) : ODY_VECTOR_BYTES);
    job->partials = ody_alloc(bytes + job->rows * sizeof(double) + (r->places ? slots * r->itemsize : 0));
    if (!job->partials) return -1;
    job->centres = job->partials + bytes;
    job->values = job->centres + job->rows * sizeof(double);
    job->chunks_per_task = smaller(job->chunks, GRAIN / (job->tile * job->chunk * cost) + 1);
    size_t tasks = parts(job->rows, job->tile) * parts(job->chunks, job->chunks_per_task);
    for (job->pass = 0; job->pass < r->passes && !job->failed; job->pass++) {
        run_tasks(chunks_task, job, tasks);
        if (job->failed) break;
        if (r->places)
            fold_places(job);
        else
            fold_partials(job);
    }
    ody_free(job->partials);
    return job->failed ? -1 : 0;
}

/* ---- columns ------------------------------------------------------------------------------------------------------- */

/* One tile of columns, whole, through every pass. */
static void columns_tile(const reduction_job *job, const char *in, char *out, size_t n, char *memory) {
    const ody_reduction *r = job->r;
    char *centres = memory + parts(n * r->itemsize, LINE) * ODY_COLUMN_SCRATCH, *results = centres + n * sizeof(double);
    const int direct = job->out_step == (ptrdiff_t)r->out_itemsize;
    ody_columns call = {.in = {in}, .in_step = r->stride[0], .m = job->n, .n = n, .scratch = memory};
    for (int pass = 0; pass < r->passes; pass++) {
        int final = pass == r->passes - 1;
        call.in[1] = pass ? centres : NULL;
        call.out = !final ? centres : direct ? out : results;
        call.param[0] = r->pass[pass].param;
        r->pass[pass].columns(&call);
    }
    if (!direct) scatter(out, job->out_step, results, n, r->out_itemsize);
}

static size_t columns_memory(const reduction_job *job) {
    return parts(job->width * job->r->itemsize, LINE) * ODY_COLUMN_SCRATCH + 2 * job->width * sizeof(double);
}

static void columns_task(void *context, size_t task) {
    reduction_job *job = context;
    const char *in;
    char *out, *memory = ody_alloc(columns_memory(job));
    if (!memory) {
        __atomic_store_n(&job->failed, 1, __ATOMIC_RELAXED);
        return;
    }
    size_t start = task % job->tiles * job->width;
    locate(job, task / job->tiles * job->inner + start, &in, &out);
    columns_tile(job, in, out, smaller(job->inner - start, job->width), memory);
    ody_free(memory);
}

/* Task: some chunks of the one matrix, all its columns. */
static void column_chunks_task(void *context, size_t task) {
    reduction_job *job = context;
    const ody_reduction *r = job->r;
    const size_t row_bytes = job->inner * r->itemsize, lanes = ODY_VECTOR_BYTES / r->itemsize;
    char *memory = ody_alloc(parts(row_bytes, LINE) * ODY_COLUMN_SCRATCH);
    if (!memory) {
        __atomic_store_n(&job->failed, 1, __ATOMIC_RELAXED);
        return;
    }
    size_t first = task * job->chunks_per_task, last = smaller(first + job->chunks_per_task, job->chunks);
    for (size_t chunk = first; chunk < last; chunk++) {
        size_t start = chunk * job->chunk;
        ody_columns call = {.in = {r->in + (ptrdiff_t)start * r->stride[0], job->pass ? job->centres : NULL},
                            .out = job->partials + chunk * lanes * row_bytes, .in_step = r->stride[0],
                            .out_step = (ptrdiff_t)row_bytes, .m = smaller(job->n - start, job->chunk), .n = job->inner,
                            .param = {r->pass[job->pass].param}, .flags = ODY_PARTIAL, .scratch = memory};
        r->pass[job->pass].columns(&call);
    }
    ody_free(memory);
}

static int run_column_chunks(reduction_job *job, size_t cost) {
    const ody_reduction *r = job->r;
    const size_t row_bytes = job->inner * r->itemsize, lanes = ODY_VECTOR_BYTES / r->itemsize;
    const size_t scratch = parts(row_bytes, LINE) * ODY_COLUMN_SCRATCH, results = job->inner * sizeof(double);
    char *memory = ody_alloc(scratch + 2 * results + job->chunks * lanes * row_bytes);
    if (!memory) return -1;
    job->centres = memory + scratch;
    char *out = job->centres + results;
    job->partials = out + results;
    job->chunks_per_task = smaller(job->chunks, GRAIN / (job->inner * job->chunk * cost) + 1);
    for (job->pass = 0; job->pass < r->passes && !job->failed; job->pass++) {
        run_tasks(column_chunks_task, job, parts(job->chunks, job->chunks_per_task));
        if (job->failed) break;
        ody_columns call = {.in = {job->partials, job->pass ? job->centres : NULL},
                            .out = job->pass == r->passes - 1 ? out : job->centres, .in_step = (ptrdiff_t)row_bytes,
                            .m = job->chunks * lanes, .n = job->inner, .param = {r->pass[job->pass].param},
                            .flags = ODY_FOLD, .scratch = memory};
        r->pass[job->pass].columns(&call);
    }
    if (!job->failed) scatter(r->out, job->out_step, out, job->inner, r->out_itemsize);
    ody_free(memory);
    return job->failed ? -1 : 0;
}

/* ---- the choice ---------------------------------------------------------------------------------------------------- */

int ody_run_reduction(const char *op, const ody_reduction *given) {
    ody_reduction r = *given;
    canonicalise(&r);
    reduction_job job = {.op = op, .r = &r, .rows = 1, .n = 1, .inner = 1, .out_step = (ptrdiff_t)r.out_itemsize};
    const ptrdiff_t itemsize = (ptrdiff_t)r.itemsize;
    size_t cost = 0;
    for (int axis = 0; axis < r.reduced; axis++) job.n *= r.shape[axis];
    for (int axis = 0; axis < r.kept; axis++) job.rows *= r.kept_shape[axis];
    for (int pass = 0; pass < r.passes; pass++) cost += (size_t)r.pass[pass].cost;
    if (r.kept > 0) {
        job.inner = r.kept_shape[r.kept - 1];
        job.in_step = r.kept_stride[r.kept - 1];
        job.out_step = r.out_stride[r.kept - 1];
    }
    if (r.reduced == 0) {
        r.reduced = 1;
        r.shape[0] = 1;
        r.stride[0] = itemsize;
    }
    ody_announce(op, job.rows * job.n * r.itemsize);
    if (job.rows == 0) return 0;

    const int contiguous = r.reduced == 1 && r.stride[0] == itemsize;
    const int down = !contiguous && r.reduced == 1 && job.in_step == itemsize && r.kept > 0 &&
                     job.n < ((size_t)1 << 31);
    const size_t work = job.rows * job.n * cost, threads = work < 2 * GRAIN ? 1 : (size_t)ody_threads();
    job.threads = threads;
    job.staged = !contiguous && !down;
    job.chunk = ODY_CHUNK_BYTES / r.itemsize;
    job.chunks = parts(job.n, job.chunk);

    if (down) {
        size_t outer = job.rows / job.inner, bytes = job.n * job.inner * r.itemsize;
        job.width = bytes > CACHED_BYTES ? WIDE : NARROW;
        /* A tile that stays in the cache from one pass to the next, if there is one. */
        if (r.passes > 1 && job.n * NARROW * r.itemsize <= CACHED_BYTES / 32) job.width = NARROW;
        if (threads > 1 && outer * parts(job.inner, job.width) < threads * TASKS) {
            if (job.chunks > 1 && !r.places && r.kept == 1 && job.inner <= WIDE) return run_column_chunks(&job, cost);
            size_t lines = parts(parts(job.inner * r.itemsize, LINE) * outer, threads * TASKS);
            job.width = smaller(job.width, larger(lines, 1) * LINE / r.itemsize);
        }
        job.tiles = parts(job.inner, job.width);
        job.width = smaller(job.width, job.inner);
        run_tasks(columns_task, &job, outer * job.tiles);
        return job.failed ? -1 : 0;
    }

    const int runs = job.staged && r.stride[r.reduced - 1] == itemsize &&
                     r.shape[r.reduced - 1] * r.itemsize >= ODY_BLOCK_BYTES;
    if ((job.chunks > 1 && (job.staged || (threads > 1 && job.rows < threads * TASKS))) || (runs && !r.places)) {
        job.tile = !job.staged ? 1 : runs && !r.places ? TILE_ROWS : job.in_step == itemsize ? STAGE_ROWS : 1;
        if (threads > 1) job.tile = smaller(job.tile, STAGE_ROWS);
        return run_chunks(&job, cost);
    }
    if (job.staged)
        job.tile = STAGE_ROWS;
    else if (r.passes > 1)
        job.tile = smaller(TILE_ROWS, TILE_BYTES / (job.n * r.itemsize) + 1);
    else
        job.tile = SIZE_MAX;
    size_t grain = GRAIN / (job.n * cost + 8) + 1;
    job.rows_per_task = threads == 1 ? job.rows : larger(grain, parts(job.rows, threads * TASKS));
    if (job.staged) job.rows_per_task = parts(job.rows_per_task, STAGE_ROWS) * STAGE_ROWS;
    run_tasks(rows_task, &job, parts(job.rows, job.rows_per_task));
    return job.failed ? -1 : 0;
}
