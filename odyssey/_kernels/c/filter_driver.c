/* The driver of filters: bands of rows of the results are independent, so threads share them.
 *
 * A kernel takes its rows by pointers, so a row outside of the image is one inside of it, or one of constants. Columns
 * outside are copied: in wide images those near the left and the right border alone, with the elements of the image that their
 * windows reach, while kernels read the rest where it lies; in narrow images, and in those whose columns are not adjacent, whole
 * rows.
 */
#include <odyssey/runtime.h>

#include "driver.h"

#include <string.h>

enum {
    GRAIN = 32768,    /* additions' worth of work that pays for waking a thread */
    EACH = 4,         /* bands per thread */
    NARROW = 2048,    /* bytes of a row below which the borders' own calls cost more than a copy of the row */
    COPIED = 1 << 16, /* bytes of rows copied at a time */
    BAND = 64,        /* rows at a time where rows are not copied */
    LEAST_BAND = 4,
    NEAR = 16384,     /* bytes of scratch the stack holds */
};

ptrdiff_t ody_border_index(ptrdiff_t i, ptrdiff_t n, int border) {
    if (i >= 0 && i < n) return i;
    const ptrdiff_t period = border == ODY_BORDER_WRAP ? n : border == ODY_BORDER_REFLECT ? 2 * n : n > 1 ? 2 * n - 2 : 1;
    switch (border) {
        case ODY_BORDER_CONSTANT: return -1;
        case ODY_BORDER_NEAREST: return i < 0 ? 0 : n - 1;
        default: break;
    }
    i %= period;
    if (i < 0) i += period;
    return i < n ? i : border == ODY_BORDER_REFLECT ? 2 * n - 1 - i : 2 * n - 2 - i;
}

typedef struct filter_job {
    const ody_filter_planes *v;
    ody_filter_fn f;
    size_t band, bands;  /* rows of a task; tasks of a plane */
    size_t at_once;      /* rows of a step */
    int whole;           /* rows are copied whole */
    size_t inner, inner_end; /* results of a row whose windows stay inside of the image's columns */
    size_t copied;       /* elements of a row's copies */
    size_t scratch;      /* bytes */
    int failed;
} filter_job;

/* One column of copies: element `at` of each row; `outside` where at is -1, or a row is. */
#define COPY_COLUMN(real, bits)                                                                                        \
    static void copy_column_##bits(char *to, size_t pitch, const char *const *rows, size_t lines, ptrdiff_t offset,   \
                                   int inside, double outside) {                                                       \
        const real beyond = (real)outside;                                                                             \
        for (size_t i = 0; i < lines; i++, to += pitch) *(real *)to = inside && rows[i] ? *(const real *)(rows[i] + offset) : beyond; \
    }
COPY_COLUMN(float, 32)
COPY_COLUMN(double, 64)

/* Elements [first, first + count) of rows that go on beyond their image; a row that is NULL is outside. */
static void copy_rows(const ody_filter_planes *v, char *to, size_t pitch, const char *const *rows, size_t lines, ptrdiff_t first,
                      size_t count) {
    const ptrdiff_t width = (ptrdiff_t)v->width, last = first + (ptrdiff_t)count, item = (ptrdiff_t)v->itemsize;
    const ptrdiff_t start = first > 0 ? first : 0, end = last < width ? last : width;
    const int adjacent = v->column_step == item && start < end;
    if (adjacent)
        for (size_t i = 0; i < lines; i++)
            if (rows[i]) memcpy(to + i * pitch + (start - first) * item, rows[i] + start * item, (size_t)((end - start) * item));
    for (ptrdiff_t column = first; column < last; column++) {
        if (adjacent && column == start) {
            /* Rows outside are rare, and then filled whole. */
            for (size_t i = 0; i < lines; i++)
                if (!rows[i])
                    for (ptrdiff_t c = start; c < end; c++)
                        (item == sizeof(float) ? copy_column_32 : copy_column_64)(to + i * pitch + (c - first) * item, pitch, rows + i, 1, 0, 0, v->outside);
            column = end - 1;
            continue;
        }
        const ptrdiff_t at = ody_border_index(column, width, v->border);
        (item == sizeof(float) ? copy_column_32 : copy_column_64)(to + (column - first) * item, pitch, rows, lines, at * v->column_step, at >= 0, v->outside);
    }
}

/* Columns [first, first + f->n) of the results, from copies of what their windows see. */
static void from_copies(const filter_job *job, ody_filter *f, const char *const *rows, const void **in, char *copies,
                        char *out, size_t first) {
    const ody_filter_planes *v = job->v;
    const size_t pitch = job->copied * v->itemsize, lines = f->rows + v->kernel_h - 1;
    if (f->n == 0) return;
    copy_rows(v, copies, pitch, rows, lines, (ptrdiff_t)first - v->left, f->n + v->kernel_w - 1);
    for (size_t i = 0; i < lines; i++) in[i] = copies + i * pitch;
    f->in = in;
    f->out = out + first * v->itemsize;
    job->f(f);
}

/* Some rows of one plane of results, all channels of its image in turn. */
static void filter_rows(const filter_job *job, size_t plane, size_t row, size_t rows, char *scratch) {
    const ody_filter_planes *v = job->v;
    const size_t taps = v->kernel_h * v->kernel_w, lines = rows + v->kernel_h - 1, output = plane % v->outputs;
    const size_t group = output / (v->outputs / v->groups);
    const char **source = (const char **)scratch;
    const void **in = (const void **)(source + job->at_once + v->kernel_h - 1);
    char *copies = (char *)(in + job->at_once + v->kernel_h - 1);
    const char *constants = scratch + job->scratch - v->width * v->itemsize;
    char *out = v->out + (plane * v->out_height + row) * v->out_width * v->itemsize;
    for (size_t c = 0; c < v->channels; c++) {
        const char *image = v->in + (ptrdiff_t)((plane / v->outputs * v->groups + group) * v->channels + c) * v->plane_step;
        ody_filter f = {.out_step = (ptrdiff_t)(v->out_width * v->itemsize), .rows = rows, .kernel_h = v->kernel_h,
                        .kernel_w = v->kernel_w, .weight = v->weight + (output * v->channels + c) * taps * v->itemsize};
        if (c > 0) f.flags = ODY_CONTINUE;
        else if (v->bias) f.start = v->itemsize == sizeof(float) ? ((const float *)v->bias)[output] : ((const double *)v->bias)[output];
        for (size_t i = 0; i < lines; i++) {
            const ptrdiff_t at = ody_border_index((ptrdiff_t)(row + i) - v->top, (ptrdiff_t)v->height, v->border);
            source[i] = at < 0 ? NULL : image + at * v->row_step;
        }
        if (job->whole) {
            f.n = v->out_width;
            from_copies(job, &f, source, in, copies, out, 0);
            continue;
        }
        f.n = job->inner;
        from_copies(job, &f, source, in, copies, out, 0);
        f.n = v->out_width - job->inner_end;
        from_copies(job, &f, source, in, copies, out, job->inner_end);
        f.n = job->inner_end - job->inner;
        if (f.n == 0) continue;
        for (size_t i = 0; i < lines; i++)
            in[i] = source[i] ? source[i] + ((ptrdiff_t)job->inner - v->left) * (ptrdiff_t)v->itemsize : constants;
        f.in = in;
        f.out = out + job->inner * v->itemsize;
        job->f(&f);
    }
}

static void filter_task(void *context, size_t task) {
    filter_job *job = context;
    const ody_filter_planes *v = job->v;
    const size_t plane = task / job->bands, first = task % job->bands * job->band;
    const size_t last = v->out_height - first < job->band ? v->out_height : first + job->band;
    _Alignas(64) char near[NEAR];
    char *scratch = job->scratch <= sizeof near ? near : ody_alloc(job->scratch);
    if (!scratch) {
        __atomic_store_n(&job->failed, 1, __ATOMIC_RELAXED);
        return;
    }
    if (!job->whole && v->border == ODY_BORDER_CONSTANT)
        copy_rows(v, scratch + job->scratch - v->width * v->itemsize, 0, &(const char *){NULL}, 1, 0, v->width);
    for (size_t row = first; row < last; row += job->at_once)
        filter_rows(job, plane, row, last - row < job->at_once ? last - row : job->at_once, scratch);
    if (scratch != near) ody_free(scratch);
}

int ody_run_filter(const char *op, ody_filter_fn f, const ody_filter_planes *v) {
    const size_t planes = v->batch * v->outputs, results = planes * v->out_height * v->out_width;
    ody_announce(op, (v->batch * v->groups * v->channels * v->height * v->width + results) * v->itemsize);
    if (results == 0) return 0;
    filter_job job = {.v = v, .f = f};
    const size_t row = v->width * v->itemsize, beyond = v->kernel_h - 1;
    const int constants = v->border == ODY_BORDER_CONSTANT;
    job.whole = v->column_step != (ptrdiff_t)v->itemsize || row < NARROW || v->width < 4 * v->kernel_w;
    const size_t left = v->left < 0 ? 0 : (size_t)v->left;
    const ptrdiff_t reach = (ptrdiff_t)(v->width + 1) - (ptrdiff_t)v->kernel_w + v->left;
    job.inner = left < v->out_width ? left : v->out_width;
    job.inner_end = reach < (ptrdiff_t)job.inner ? job.inner : (size_t)reach < v->out_width ? (size_t)reach : v->out_width;
    const size_t right = v->out_width - job.inner_end;
    job.copied = (job.whole ? v->out_width : job.inner > right ? job.inner : right) + v->kernel_w - 1;
    const size_t row_cost = v->out_width * v->channels * v->kernel_h * v->kernel_w * v->itemsize / (4 * sizeof(float)) + 64;
    const size_t threads = (size_t)ody_threads();
    job.band = v->out_height;
    if (threads > 1 && (double)planes * (double)v->out_height * (double)row_cost > 2 * GRAIN) {
        const size_t wanted = (planes * v->out_height + threads * EACH - 1) / (threads * EACH), grain = GRAIN / row_cost + LEAST_BAND;
        const size_t band = wanted > grain ? wanted : grain;
        if (band < job.band) job.band = band;
    }
    job.bands = (v->out_height + job.band - 1) / job.band;
    job.at_once = BAND;
    if (job.whole) {
        const size_t fit = COPIED / (job.copied * v->itemsize);
        job.at_once = fit > beyond + LEAST_BAND ? fit - beyond : LEAST_BAND;
    }
    if (job.at_once > job.band) job.at_once = job.band;
    job.scratch = (job.at_once + beyond) * (2 * sizeof(void *) + job.copied * v->itemsize);
    if (!job.whole && constants) job.scratch = (job.scratch + 63) / 64 * 64 + row;
    if (planes * job.bands == 1) filter_task(&job, 0);
    else ody_parallel(filter_task, &job, planes * job.bands);
    return job.failed ? -1 : 0;
}
