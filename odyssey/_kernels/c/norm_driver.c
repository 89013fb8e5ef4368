/* The drivers of norms: groups are independent, so threads share them; the gradients of what all rows share are added up in
 * chunks of rows, whose sums are folded in order. */
#include "strided.h"

enum {
    LINE = 64,
    LONG_RUN = 4096,   /* bytes of a run below which streaming stores cost more than they save */
    CHUNK_ROWS = 16,   /* rows in a chunk, at least, */
    MOST_CHUNKS = 128, /* and so many that there are no more chunks than this */
};

/* ---- groups ------------------------------------------------------------------------------------------------------ */

typedef struct norm_job {
    ody_norm_fn f, columns;
    const ody_norm *v;
    size_t itemsize, groups_per_task;
    int failed;
} norm_job;

/* `count` groups from `start` on. */
static ody_norm piece_of(const norm_job *job, size_t start, size_t count) {
    ody_norm piece = *job->v;
    const size_t sums = (piece.affine_run ? piece.runs : 1) * job->itemsize;
    const ptrdiff_t place = (ptrdiff_t)start * piece.group_step;
    piece.groups = count;
    piece.first += start;
    piece.x = (const char *)piece.x + place;
    piece.out = (char *)piece.out + place;
    if (piece.grad) {
        piece.grad = (const char *)piece.grad + place;
        if (piece.grad_sums) piece.grad_sums = (char *)piece.grad_sums + start * sums;
        piece.product_sums = (char *)piece.product_sums + start * sums;
    }
    if (piece.mean && !(piece.flags & ODY_GIVEN)) {
        piece.mean = (char *)piece.mean + start * job->itemsize;
        piece.variance = (char *)piece.variance + start * job->itemsize;
    }
    return piece;
}

static size_t count_of(const norm_job *job, size_t task) {
    return smaller(job->v->groups - task * job->groups_per_task, job->groups_per_task);
}

static void groups_task(void *context, size_t task) {
    const norm_job *job = context;
    const ody_norm piece = piece_of(job, task * job->groups_per_task, count_of(job, task));
    job->f(&piece);
}

/* Groups that are columns of a matrix, as in the batch norm of (N, C): so many at a time that they stay in the cache. */
static void columns_task(void *context, size_t task) {
    norm_job *job = context;
    void *memory = ody_alloc(ODY_NORM_SCRATCH);
    if (!memory) {
        __atomic_store_n(&job->failed, 1, __ATOMIC_RELAXED);
        return;
    }
    const size_t first = task * job->groups_per_task, last = first + count_of(job, task);
    for (size_t start = first; start < last; start += ODY_NORM_COLUMNS) {
        ody_norm piece = piece_of(job, start, smaller(ODY_NORM_COLUMNS, last - start));
        piece.scratch = memory;
        job->columns(&piece);
    }
    ody_free(memory);
}

int ody_run_norm(const char *op, ody_norm_fn f, ody_norm_fn columns_fn, const ody_norm *given, size_t itemsize) {
    ody_norm v = *given;
    const size_t n = v.runs * v.run, bytes = v.groups * n * itemsize * (v.grad ? 3 : 2);
    ody_announce(op, bytes);
    if (v.groups == 0 || n == 0) return 0;
    const int columns = v.run == 1 && v.affine_run == 0 && v.group_step == (ptrdiff_t)itemsize;
    const int adjacent = v.run_step == (ptrdiff_t)(v.run * itemsize);
    if (bytes > stream_threshold() && !columns && (adjacent || v.run * itemsize >= LONG_RUN) && v.out != v.x && v.out != v.grad)
        v.flags |= ODY_STREAM;
    norm_job job = {.f = f, .columns = columns_fn, .v = &v, .itemsize = itemsize, .groups_per_task = v.groups};
    const size_t cost = n * (v.grad ? 6 : 4) * itemsize / sizeof(float) + 64, threads = (size_t)ody_threads();
    if (threads > 1 && v.groups > 1 && v.groups * cost >= 2 * GRAIN)
        job.groups_per_task = larger(GRAIN / cost + 1, parts(v.groups, threads * TASKS));
    if (columns) job.groups_per_task = parts(job.groups_per_task, LINE / itemsize) * (LINE / itemsize);
    const ody_task_fn task = columns ? columns_task : groups_task;
    const size_t tasks = parts(v.groups, job.groups_per_task);
    if (tasks == 1) task(&job, 0);
    else ody_parallel(task, &job, tasks);
    return job.failed ? -1 : 0;
}

/* ---- rows, and sums down them ------------------------------------------------------------------------------------ */

typedef struct sums_job {
    ody_rows_fn f;
    const ody_rows *r;
    int sums;
    size_t chunk, line; /* rows in a chunk, bytes in a sum */
    char *partials;     /* (chunks, sums, n) */
} sums_job;

static void sums_task(void *context, size_t task) {
    const sums_job *job = context;
    ody_rows piece = *job->r;
    const size_t start = task * job->chunk;
    for (int i = 0; i < 2; i++) piece.in[i] = (const char *)piece.in[i] + (ptrdiff_t)start * piece.in_step[i];
    piece.out[0] = (char *)piece.out[0] + (ptrdiff_t)start * piece.out_step[0];
    piece.rows = smaller(piece.rows - start, job->chunk);
    char *partial = job->partials + task * (size_t)job->sums * job->line;
    memset(partial, 0, (size_t)job->sums * job->line);
    for (int k = 0; k < job->sums; k++) piece.out[k + 1] = partial + (size_t)k * job->line;
    job->f(&piece);
}

int ody_run_norm_sums(const char *op, ody_rows_fn f, ody_map_fn add, const ody_rows *given, int sums, size_t itemsize) {
    ody_rows r = *given;
    const size_t bytes = 3 * r.rows * r.n * itemsize;
    ody_announce(op, bytes);
    for (int k = 1; k <= sums; k++) memset(r.out[k], 0, r.n * itemsize);
    if (r.rows == 0 || r.n == 0) return 0;
    if (bytes > stream_threshold()) r.flags |= ODY_STREAM;
    sums_job job = {.f = f, .r = &r, .sums = sums, .line = parts(r.n * itemsize, LINE) * LINE};
    /* Of the shape alone: so are the bits. */
    job.chunk = larger(CHUNK_ROWS, parts(r.rows, MOST_CHUNKS));
    const size_t chunks = parts(r.rows, job.chunk);
    if (!(job.partials = ody_alloc(chunks * (size_t)sums * job.line))) return -1;
    if (r.rows * r.n * 8 < 2 * GRAIN)
        for (size_t task = 0; task < chunks; task++) sums_task(&job, task);
    else
        ody_parallel(sums_task, &job, chunks);
    for (size_t chunk = 0; chunk < chunks; chunk++)
        for (int k = 0; k < sums; k++) {
            const char *partial = job.partials + (chunk * (size_t)sums + (size_t)k) * job.line;
            ody_map m = {.in = {r.out[k + 1], partial}, .out = {r.out[k + 1]}, .step = {1, 1}, .n = r.n};
            add(&m);
        }
    ody_free(job.partials);
    return 0;
}
