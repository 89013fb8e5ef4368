/* The driver of convolutions: packs the weights once, cuts the work into pieces for the pool, and adds up what pieces of
 * the weight's gradient left. Cuts run between independent outputs only, or between slabs that the shapes alone decide. */
#include <odyssey/runtime.h>

#include "driver.h"

#include <string.h>

enum {
    SERIAL = 1 << 17,   /* multiply-adds below which a second thread does not pay */
    PIECE = 1 << 18,    /* multiply-adds a piece should have at least */
    EACH = 4,           /* pieces per thread, to even out what else the machine does */
    PACK_GRAIN = 1 << 16, /* weights that are worth a thread of their own to pack */
    FOLD_GRAIN = 1 << 14,
    NEAR = 16384,       /* bytes of scratch the stack holds, which spares small calls the block cache's lock */
};

typedef struct conv_job {
    const ody_conv *whole;
    ody_conv_fn f;
    ody_conv_sizes sizes;
    void *packed;
    size_t image_parts, row_parts, tile_parts, channel_parts;
    size_t rows, channels; /* that may be cut */
    size_t itemsize;
    int failed;
} conv_job;

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

/* Where part `index` of `parts` begins. */
static size_t cut(size_t n, size_t parts, size_t index) { return n * index / parts; }

static void run_piece(conv_job *job, ody_conv *piece) {
    piece->packed = job->packed;
    _Alignas(64) char near[NEAR];
    piece->workspace = job->sizes.workspace <= sizeof near ? near : ody_alloc(job->sizes.workspace);
    if (!piece->workspace) {
        __atomic_store_n(&job->failed, 1, __ATOMIC_RELAXED);
        return;
    }
    job->f(piece);
    if (piece->workspace != near) ody_free(piece->workspace);
}

static void conv_task(void *context, size_t task) {
    conv_job *job = context;
    ody_conv piece = *job->whole;
    const size_t tile_part = task % job->tile_parts;
    task /= job->tile_parts;
    const size_t channel_part = task % job->channel_parts;
    task /= job->channel_parts;
    const size_t row_part = task % job->row_parts;
    task /= job->row_parts;
    const size_t image_part = task % job->image_parts;
    piece.group = task / job->image_parts;
    const size_t unit = job->sizes.images, units = (piece.batch + unit - 1) / unit;
    piece.image = cut(units, job->image_parts, image_part) * unit;
    piece.images = least(cut(units, job->image_parts, image_part + 1) * unit, piece.batch) - piece.image;
    piece.row = cut(job->rows, job->row_parts, row_part);
    piece.rows = cut(job->rows, job->row_parts, row_part + 1) - piece.row;
    piece.tile = cut(job->sizes.tiles, job->tile_parts, tile_part);
    piece.tile_end = cut(job->sizes.tiles, job->tile_parts, tile_part + 1);
    piece.channel = cut(job->channels, job->channel_parts, channel_part);
    piece.channel_end = cut(job->channels, job->channel_parts, channel_part + 1);
    run_piece(job, &piece);
}

typedef struct pack_job {
    const ody_conv *whole;
    ody_conv_fn pack;
    void *packed;
    size_t tiles, parts;
} pack_job;

static void pack_task(void *context, size_t task) {
    const pack_job *job = context;
    ody_conv piece = *job->whole;
    piece.group = task / job->parts;
    piece.tile = cut(job->tiles, job->parts, task % job->parts);
    piece.tile_end = cut(job->tiles, job->parts, task % job->parts + 1);
    piece.packed = job->packed;
    job->pack(&piece);
}

/* How many pieces a call of so many multiply-adds should come in. */
static size_t pieces_for(double work) {
    const size_t threads = (size_t)ody_threads();
    if (threads == 1 || work <= SERIAL) return 1;
    const double most = work / PIECE;
    return most < 2 ? 2 : least(threads * EACH, most < 1e9 ? (size_t)most : (size_t)1e9);
}

/* Whether so many equal pieces keep the threads busy nearly all the time. */
static int is_even(size_t pieces) {
    const size_t threads = (size_t)ody_threads(), rounds = (pieces + threads - 1) / threads;
    return 10 * pieces >= 9 * rounds * threads;
}

static double multiply_adds(const ody_conv *v) {
    return (double)v->batch * (double)v->outputs * (double)(v->out_height * v->out_width) *
           (double)(v->channels / v->groups) * (double)(v->kernel_h * v->kernel_w);
}

static size_t all_bytes(const ody_conv *v, size_t itemsize) {
    return (v->batch * v->channels * v->height * v->width + v->batch * v->outputs * v->out_height * v->out_width +
            v->outputs * (v->channels / v->groups) * v->kernel_h * v->kernel_w) * itemsize;
}

/* Depthwise: planes, and rows of them where there are fewer planes than threads. */
static void planes_task(void *context, size_t task) {
    conv_job *job = context;
    ody_conv piece = *job->whole;
    const size_t unit = job->sizes.planes, planes = piece.batch * piece.groups, units = (planes + unit - 1) / unit;
    const size_t part = task / job->row_parts;
    piece.image = cut(units, job->image_parts, part) * unit;
    piece.images = least(cut(units, job->image_parts, part + 1) * unit, planes) - piece.image;
    piece.row = cut(job->rows, job->row_parts, task % job->row_parts);
    piece.rows = cut(job->rows, job->row_parts, task % job->row_parts + 1) - piece.row;
    run_piece(job, &piece);
}

static void run_planes(conv_job *job, size_t pieces) {
    const size_t units = (job->whole->batch * job->whole->groups + job->sizes.planes - 1) / job->sizes.planes;
    job->image_parts = least(units, pieces);
    job->row_parts = is_even(job->image_parts) ? 1 : least(job->rows / 4 ? job->rows / 4 : 1, pieces / job->image_parts);
    const size_t tasks = job->image_parts * job->row_parts;
    if (tasks == 1) planes_task(job, 0);
    else ody_parallel(planes_task, job, tasks);
}

/* All weights, into v->packed. */
static void pack_weights(const ody_conv *v, ody_conv_fn pack, const ody_conv_sizes *sizes, size_t itemsize, size_t pieces) {
    pack_job packing = {v, pack, v->packed, sizes->tiles, 1};
    const size_t weights = sizes->packed / itemsize / v->groups;
    if (pieces > 1 && !sizes->planes) packing.parts = least(sizes->tiles, weights / PACK_GRAIN + 1);
    if (sizes->planes || packing.parts * v->groups == 1) pack_task(&packing, 0);
    else if (sizes->packed / itemsize < PACK_GRAIN)
        for (size_t task = 0; task < packing.parts * v->groups; task++) pack_task(&packing, task);
    else ody_parallel(pack_task, &packing, packing.parts * v->groups);
}

size_t ody_conv_packed_bytes(ody_conv_sizes_fn sizes, const ody_conv *v) {
    ody_conv_sizes found = {0};
    sizes(v, &found);
    return found.planes || found.tiles == 0 ? 0 : found.packed;
}

void ody_pack_conv(ody_conv_sizes_fn sizes, ody_conv_fn pack, const ody_conv *v, size_t itemsize) {
    ody_conv_sizes found = {0};
    sizes(v, &found);
    pack_weights(v, pack, &found, itemsize, pieces_for(multiply_adds(v)));
}

/* Images first: their pieces share nothing. Only where these leave a thread idle, rows or outputs: a piece of rows reads all
 * weights, a piece of outputs all of x, and transforms it, so the smaller of the two is read again, and as seldom as possible. */
static void cut_images(conv_job *job, size_t pieces) {
    const ody_conv *v = job->whole;
    const size_t having = v->groups * job->image_parts, threads = (size_t)ody_threads();
    job->row_parts = job->tile_parts = 1;
    if (pieces == 1 || is_even(having)) return;
    const size_t lacking = (threads + having - 1) / having, rows = job->rows / 4 ? job->rows / 4 : 1; /* of four at least */
    const size_t input = v->channels / v->groups * v->height * v->width * job->itemsize;
    if (job->sizes.packed / v->groups > 2 * input) {
        job->tile_parts = least(job->sizes.tiles, lacking);
        job->row_parts = least(rows, (lacking + job->tile_parts - 1) / job->tile_parts);
    } else {
        job->row_parts = least(rows, lacking * 2);
        job->tile_parts = least(job->sizes.tiles, (lacking + job->row_parts - 1) / job->row_parts);
    }
}

int ody_run_conv(const char *op, ody_conv_sizes_fn sizes, ody_conv_fn pack, ody_conv_fn f, const ody_conv *v,
                 size_t itemsize) {
    ody_announce(op, all_bytes(v, itemsize));
    if (v->batch == 0) return 0;
    conv_job job = {.whole = v, .f = f, .channel_parts = 1, .itemsize = itemsize};
    sizes(v, &job.sizes);
    if (job.sizes.tiles == 0) return 0;
    _Alignas(64) char near[NEAR];
    const size_t pieces = pieces_for(multiply_adds(v));
    if (pack) {
        ody_conv whole = *v;
        whole.packed = job.packed = job.sizes.packed <= sizeof near ? near : ody_alloc(job.sizes.packed);
        if (!job.packed) return -1;
        pack_weights(&whole, pack, &job.sizes, itemsize, pieces);
    } else {
        job.packed = v->packed;
    }
    if (job.sizes.planes) {
        job.rows = job.sizes.rows;
        run_planes(&job, pieces);
        if (pack && job.packed != near) ody_free(job.packed);
        return job.failed ? -1 : 0;
    }

    job.image_parts = least((v->batch + job.sizes.images - 1) / job.sizes.images, (pieces + v->groups - 1) / v->groups);
    job.rows = job.sizes.rows;
    cut_images(&job, pieces);
    if (job.rows == 1) job.rows = (size_t)-1 >> 2; /* uncut: all there are */
    const size_t tasks = v->groups * job.image_parts * job.row_parts * job.tile_parts;
    if (pieces == 1)
        for (size_t task = 0; task < tasks; task++) conv_task(&job, task);
    else
        ody_parallel(conv_task, &job, tasks);
    if (pack && job.packed != near) ody_free(job.packed);
    return job.failed ? -1 : 0;
}

typedef struct fold_job {
    const void *sums;
    void *out;
    size_t n, slabs, itemsize;
} fold_job;

#define FOLD_SLABS(type)                                                                                               \
    do {                                                                                                               \
        const type *sums = job->sums;                                                                                  \
        type *out = job->out;                                                                                          \
        for (size_t i = first; i < end; i++) out[i] = sums[i] + sums[job->n + i];                                      \
        for (size_t slab = 2; slab < job->slabs; slab++)                                                               \
            for (size_t i = first; i < end; i++) out[i] += sums[slab * job->n + i];                                    \
    } while (0)

static void fold_task(void *context, size_t task) {
    const fold_job *job = context;
    const size_t first = task * FOLD_GRAIN, end = least(job->n, first + FOLD_GRAIN);
    if (job->itemsize == 4) FOLD_SLABS(float);
    else FOLD_SLABS(double);
}

int ody_run_conv_weight(const char *op, ody_conv_sizes_fn sizes, ody_conv_fn f, const ody_conv *v, size_t itemsize) {
    ody_announce(op, all_bytes(v, itemsize));
    const size_t elements = v->outputs * (v->channels / v->groups) * v->kernel_h * v->kernel_w;
    if (elements == 0) return 0;
    if (v->batch == 0) {
        memset(v->weight, 0, elements * itemsize);
        return 0;
    }
    conv_job job = {.whole = v, .f = f, .image_parts = 1, .itemsize = itemsize};
    sizes(v, &job.sizes);
    if (job.sizes.packed && !(job.packed = ody_alloc(job.sizes.packed))) return -1;
    job.rows = job.row_parts = job.sizes.rows;
    job.channels = v->channels / v->groups;
    /* Slabs are given; then channels, whose pieces share nothing but the gradient; then outputs. */
    const size_t pieces = pieces_for(multiply_adds(v));
    size_t wanted = (pieces + v->groups * job.row_parts - 1) / (v->groups * job.row_parts);
    job.channel_parts = least(job.channels, wanted);
    wanted = (wanted + job.channel_parts - 1) / job.channel_parts;
    job.tile_parts = least(job.sizes.tiles, wanted);
    const size_t tasks = v->groups * job.row_parts * job.channel_parts * job.tile_parts;
    if (pieces == 1)
        for (size_t task = 0; task < tasks; task++) conv_task(&job, task);
    else
        ody_parallel(conv_task, &job, tasks);
    if (job.sizes.rows > 1 && !job.failed) {
        fold_job fold = {job.packed, v->weight, elements, job.sizes.rows, itemsize};
        ody_parallel(fold_task, &fold, (elements + FOLD_GRAIN - 1) / FOLD_GRAIN);
    }
    ody_free(job.packed);
    return job.failed ? -1 : 0;
}
