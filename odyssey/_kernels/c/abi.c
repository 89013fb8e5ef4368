/* The C ABI of odyssey.h, but for the handles (mhc.c): from plain arrays and sizes to the drivers. Compiled for size: it computes
 * nothing itself. */
#include <odyssey/odyssey.h>
#include <odyssey/runtime.h>

#include <ody_build.h>

#include "abi_checks.h"

#include <math.h>
#include <string.h>

const char *ody_version(void) { return ODY_VERSION; }

const char *ody_isa_active(void) { return ody_active()->name; }

ody_status ody_isa_use(const char *name) {
    if (!name) return ODY_NULL_POINTER;
    for (const ody_kernels *const *table = ody_tables(); *table; table++)
        if (strcmp((*table)->name, name) == 0 && ody_table_usable(*table)) {
            ody_activate(*table);
            return ODY_OK;
        }
    return ODY_NOT_AVAILABLE;
}

int ody_threads_get(void) { return ody_threads(); }

ody_status ody_threads_set(int count) {
    if (count < 1) return ODY_INVALID_VALUE;
    ody_set_threads(count);
    return ODY_OK;
}

/* How often a kernel fits along an axis; 0 where not at all, or where a size is none. */
static size_t places(size_t size, size_t kernel, size_t stride, size_t padding, size_t dilation) {
    const size_t most = (size_t)1 << 31;
    if (kernel < 1 || stride < 1 || dilation < 1 || size > most || kernel > most || stride > most || padding > most || dilation > most)
        return 0;
    const size_t reach = dilation * (kernel - 1) + 1, padded = size + 2 * padding;
    return reach > padded ? 0 : (padded - reach) / stride + 1;
}

ody_status ody_conv2d_size(const ody_conv2d *s, size_t *out_height, size_t *out_width) {
    if (!s || !out_height || !out_width) return ODY_NULL_POINTER;
    *out_height = places(s->height, s->kernel_h, s->stride_y, s->padding_y, s->dilation_y);
    *out_width = places(s->width, s->kernel_w, s->stride_x, s->padding_x, s->dilation_x);
    return *out_height && *out_width ? ODY_OK : ODY_INVALID_DIMENSION;
}

ody_status ody_pool2d_size(const ody_pool2d *s, size_t *out_height, size_t *out_width) {
    if (!s || !out_height || !out_width) return ODY_NULL_POINTER;
    *out_height = places(s->height, s->kernel_h, s->stride_y, s->padding_y, 1);
    *out_width = places(s->width, s->kernel_w, s->stride_x, s->padding_x, 1);
    const int meets = s->padding_y <= s->kernel_h / 2 && s->padding_x <= s->kernel_w / 2 && s->height && s->width;
    return *out_height && *out_width && meets ? ODY_OK : ODY_INVALID_DIMENSION;
}

/* A contiguous elementwise operation; b and c may be NULL for fewer inputs. */
static ody_status element_by_element(const char *op, ody_map_fn f, const void *a, const void *b, const void *c, int inputs, size_t n,
                                     void *out, int cost, double p0, double p1, size_t item) {
    const ody_map m = {.in = {a, b, c}, .out = {out}, .step = {1, 1, 1}, .n = n, .param = {p0, p1}};
    return ody_run_map(op, f, &m, inputs, 1, item, cost) ? ODY_OUT_OF_MEMORY : ODY_OK;
}

/* x^n by squaring: the C library's pow may differ in its last bit from one machine to the next. */
static double power_of(double x, size_t n) {
    double result = 1;
    for (; n > 0; n >>= 1, x *= x)
        if (n & 1) result *= x;
    return result;
}

/* What the labels of a cross entropy make of its mean; 0 where one is no class. */
static int labels_fit(const int64_t *labels, size_t rows, size_t classes, int64_t ignored) {
    for (size_t i = 0; i < rows; i++)
        if (labels[i] != ignored && (labels[i] < 0 || (uint64_t)labels[i] >= classes)) return 0;
    return 1;
}

static int rows_exist(const int64_t *indices, size_t count, size_t rows) {
    int outside = 0;
    for (size_t i = 0; i < count; i++) outside |= (uint64_t)indices[i] >= rows;
    return !outside;
}

/* The labels themselves, or a copy in which those to be ignored are no class. */
static const int64_t *without_ignored(const int64_t *labels, size_t rows, size_t classes, int64_t ignored, int64_t **copy) {
    *copy = NULL;
    if (ignored < 0 || (uint64_t)ignored >= classes || !rows) return labels;
    *copy = ody_alloc(rows * sizeof(int64_t));
    if (*copy)
        for (size_t i = 0; i < rows; i++) (*copy)[i] = labels[i] == ignored ? -1 : labels[i];
    return *copy;
}

static ody_conv convolution(const ody_conv2d *s, size_t out_height, size_t out_width) {
    return (ody_conv){.batch = s->batch, .channels = s->channels, .height = s->height, .width = s->width, .outputs = s->outputs,
                      .out_height = out_height, .out_width = out_width, .kernel_h = s->kernel_h, .kernel_w = s->kernel_w,
                      .stride_y = s->stride_y, .stride_x = s->stride_x, .padding_y = s->padding_y, .padding_x = s->padding_x,
                      .dilation_y = s->dilation_y, .dilation_x = s->dilation_x, .groups = s->groups};
}

static ody_pool pooling(const ody_pool2d *s, size_t out_height, size_t out_width) {
    return (ody_pool){.planes = s->planes, .height = s->height, .width = s->width, .out_height = out_height, .out_width = out_width,
                      .kernel_h = s->kernel_h, .kernel_w = s->kernel_w, .stride_y = s->stride_y, .stride_x = s->stride_x,
                      .padding_y = s->padding_y, .padding_x = s->padding_x};
}

typedef struct draw_job {
    ody_sample_fn f;
    ody_sample first;
    const double *uniform;
    ptrdiff_t row_step;
    int failed;
} draw_job;

static void draw_task(void *context, size_t row) {
    draw_job *job = context;
    ody_sample s = job->first;
    s.logits = (const char *)s.logits + (ptrdiff_t)row * job->row_step;
    s.uniform = job->uniform[row];
    s.out += row;
    s.workspace = ody_alloc(ODY_SAMPLE_BYTES(s.n));
    if (!s.workspace) {
        __atomic_store_n(&job->failed, 1, __ATOMIC_RELAXED);
        return;
    }
    job->f(&s);
    ody_free(s.workspace);
}

static ody_status draw(ody_sample_fn f, const void *logits, const double *uniform, size_t rows, size_t n, size_t k, double p,
                       double inverse, int64_t *tokens, size_t item) {
    draw_job job = {.f = f, .uniform = uniform, .row_step = (ptrdiff_t)(n * item)};
    job.first = (ody_sample){.logits = logits, .n = n, .k = k, .p = p, .inverse = inverse, .out = tokens};
    ody_parallel(draw_task, &job, rows);
    if (job.failed) return ODY_OUT_OF_MEMORY;
    for (size_t row = 0; row < rows; row++)
        if (tokens[row] < 0) return ODY_INVALID_VALUE;
    return ODY_OK;
}

#define REAL_MOST ((double)3.40282346638528859811704183484516925e+38f)
#define ODY_REAL float
#define ODY_OP(name) ody_##name##_f32
#define OF(table, name) ((table)->name##_f32)
#define SLOT(name) OF(ody_active(), name)
#include "abi_elementwise.h"
#include "abi_rows.h"
#include "abi_products.h"
#include "abi_geometry.h"
#include "abi_steps.h"
#undef REAL_MOST
#undef ODY_REAL
#undef ODY_OP
#undef SLOT
#undef OF

#define REAL_MOST 1.79769313486231570814527423731704357e+308
#define ODY_REAL double
#define ODY_OP(name) ody_##name##_f64
#define OF(table, name) ((table)->name##_f64)
#define SLOT(name) OF(ody_active(), name)
#include "abi_elementwise.h"
#include "abi_rows.h"
#include "abi_products.h"
#include "abi_geometry.h"
#include "abi_steps.h"
