/* The C ABI of odyssey.h: handles over the kernels of hyper-connections. The calling thread does the work, and memory is the
 * system's own, so that nothing outlives a handle. */
#define _GNU_SOURCE
#include <odyssey/odyssey.h>
#include <odyssey/runtime.h>

#include "hyper_group.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct ody_mhc {
    const ody_kernels *table;
    ody_hyper hyper; /* the parameters, in memory of its own, and the workspace */
    void *parameters;
    float *scratch; /* collapsed, f, post and comb of `room` tokens */
    size_t room, memory;
    const float *comb; /* the last call's, in scratch, and how many */
    size_t matrices;
    ody_mhc_metrics metrics;
};

const char *ody_status_text(ody_status status) {
    switch (status) {
    case ODY_OK: return "success";
    case ODY_OUT_OF_MEMORY: return "out of memory";
    case ODY_INVALID_DIMENSION: return "invalid dimension";
    case ODY_NULL_POINTER: return "null pointer";
    case ODY_COMPUTATION_ERROR: return "computation error: a weight is not finite, or the layer failed";
    case ODY_INVALID_VALUE: return "invalid value: an option out of its range, or values for which there is no result";
    case ODY_INVALID_INDEX: return "invalid index: a label or a row that does not exist";
    case ODY_NOT_AVAILABLE: return "not available: an instruction set that this build or this machine lacks";
    }
    return "unknown status";
}

static void *take(ody_mhc *mhc, size_t bytes) {
    void *memory;
    if (posix_memalign(&memory, ODY_VECTOR_BYTES, bytes ? bytes : ODY_VECTOR_BYTES) != 0) return NULL;
    mhc->metrics.allocations++;
    mhc->memory += bytes;
    return memory;
}

static size_t lines(size_t floats) { return (floats * sizeof(float) + ODY_VECTOR_BYTES - 1) / ODY_VECTOR_BYTES * ODY_VECTOR_BYTES; }

static const ody_kernels *table_of(const char *isa) {
    for (const ody_kernels *const *table = ody_tables(); *table; table++)
        if (ody_table_usable(*table) && (!isa || strcmp((*table)->name, isa) == 0)) return *table;
    return NULL;
}

ody_status ody_mhc_create(const ody_mhc_config *config, ody_mhc **result) {
    if (!config || !result) return ODY_NULL_POINTER;
    *result = NULL;
    if (!config->fn || !config->base || !config->scale) return ODY_NULL_POINTER;
    const size_t n = config->streams, hidden = config->hidden;
    const ody_kernels *table = table_of(config->isa);
    if (n < 1 || n > ODY_MOST_STREAMS || hidden < 1 || hidden > (size_t)1 << 32 || config->iterations < 1 ||
        config->iterations > (size_t)1 << 24 || !table)
        return ODY_INVALID_DIMENSION;
    ody_mhc *mhc = calloc(1, sizeof *mhc);
    if (!mhc) return ODY_OUT_OF_MEMORY;
    mhc->metrics.allocations = 1;
    mhc->memory = sizeof *mhc;
    mhc->table = table;
    ody_hyper *h = &mhc->hyper;
    h->streams = n;
    h->hidden = hidden;
    h->iterations = config->iterations;
    h->eps = config->eps;
    h->norm_eps = config->norm_eps;
    h->kind = config->paper ? ODY_HYPER_PAPER : ODY_HYPER_DEFAULT;
    h->group = hyper_group(n, hidden, sizeof(float));
    const size_t outputs = (2 + n) * n, fn = lines(outputs * n * hidden), base = lines(outputs), scale = lines(3);
    char *memory = mhc->parameters = take(mhc, fn + base + scale + table->hyper_workspace_f32(h, 0));
    if (!memory) {
        free(mhc);
        return ODY_OUT_OF_MEMORY;
    }
    h->fn = memcpy(memory, config->fn, outputs * n * hidden * sizeof(float));
    h->base = memcpy(memory + fn, config->base, outputs * sizeof(float));
    h->scale = memcpy(memory + fn + base, config->scale, 3 * sizeof(float));
    h->workspace = memory + fn + base + scale;
    *result = mhc;
    return ODY_OK;
}

void ody_mhc_destroy(ody_mhc *mhc) {
    if (!mhc) return;
    free(mhc->parameters);
    free(mhc->scratch);
    free(mhc);
}

/* Room for the intermediates of so many tokens. */
static ody_status reserve(ody_mhc *mhc, size_t tokens) {
    if (tokens <= mhc->room) return ODY_OK;
    const size_t n = mhc->hyper.streams, each = lines(mhc->hyper.hidden) * 2 + lines(n) + lines(n * n);
    if (tokens > SIZE_MAX / 8 / each) return ODY_INVALID_DIMENSION;
    mhc->memory -= mhc->room * each;
    free(mhc->scratch);
    mhc->room = 0;
    mhc->matrices = 0;
    mhc->scratch = take(mhc, tokens * each);
    if (!mhc->scratch) return ODY_OUT_OF_MEMORY;
    mhc->room = tokens;
    return ODY_OK;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void count(ody_mhc *mhc, size_t tokens, double began) {
    const size_t n = mhc->hyper.streams, hidden = mhc->hyper.hidden;
    mhc->metrics.calls++;
    mhc->metrics.tokens += tokens;
    mhc->metrics.bytes = sizeof(float) * ((2 + n) * n * n * hidden + tokens * (2 * n + 2) * hidden);
    mhc->metrics.seconds = now() - began;
}

/* A sum of weights is finite where all of them are: none is anywhere near the largest number. */
static int all_finite(const float *weights, size_t count) {
    float sum = 0;
    for (size_t i = 0; i < count; i++) sum += weights[i] * 0;
    return sum == 0;
}

static ody_status pre(ody_mhc *mhc, const float *x, size_t tokens, float *collapsed, float *post, float *comb) {
    ody_hyper h = mhc->hyper;
    const size_t n = h.streams;
    h.tokens = tokens;
    h.x = x;
    h.collapsed = collapsed;
    h.post = post;
    h.comb = comb;
    mhc->table->hyper_pre_f32(&h);
    return all_finite(post, tokens * n) && all_finite(comb, tokens * n * n) ? ODY_OK : ODY_COMPUTATION_ERROR;
}

static void post_of(ody_mhc *mhc, const float *f, const float *x, const float *post, const float *comb, size_t tokens, float *out) {
    const ody_mixing m = {.tokens = tokens, .streams = mhc->hyper.streams, .hidden = mhc->hyper.hidden,
                          .f = f, .x = x, .post = post, .comb = comb, .out = out};
    mhc->table->hyper_post_f32(&m);
}

ody_status ody_mhc_pre(ody_mhc *mhc, const float *x, size_t tokens, float *collapsed, float *post, float *comb) {
    if (!mhc || (tokens && (!x || !collapsed || !post || !comb))) return ODY_NULL_POINTER;
    const double began = now();
    const size_t square = mhc->hyper.streams * mhc->hyper.streams;
    ody_status status = reserve(mhc, tokens);
    if (status == ODY_OK) status = pre(mhc, x, tokens, collapsed, post, comb);
    if (status != ODY_OK) return status;
    /* Kept for the residuals: the caller's array may be gone by then. */
    if (tokens) memcpy(mhc->scratch, comb, tokens * square * sizeof(float));
    mhc->comb = mhc->scratch;
    mhc->matrices = tokens;
    count(mhc, tokens, began);
    return ODY_OK;
}

ody_status ody_mhc_post(ody_mhc *mhc, const float *f, const float *x, const float *post, const float *comb, size_t tokens,
                        float *out) {
    if (!mhc || (tokens && (!f || !x || !post || !comb || !out))) return ODY_NULL_POINTER;
    post_of(mhc, f, x, post, comb, tokens, out);
    return ODY_OK;
}

ody_status ody_mhc_forward(ody_mhc *mhc, const float *x, size_t tokens, ody_mhc_layer layer, void *context, float *out) {
    if (!mhc || (tokens && (!x || !out))) return ODY_NULL_POINTER;
    const double began = now();
    const size_t n = mhc->hyper.streams, hidden = mhc->hyper.hidden;
    ody_status status = reserve(mhc, tokens);
    if (status != ODY_OK) return status;
    float *collapsed = mhc->scratch, *f = collapsed + tokens * hidden, *post = f + tokens * hidden, *comb = post + tokens * n;
    status = pre(mhc, x, tokens, collapsed, post, comb);
    if (status == ODY_OK && layer && layer(context, collapsed, f, tokens) != 0) status = ODY_COMPUTATION_ERROR;
    if (status != ODY_OK) return status;
    post_of(mhc, layer ? f : collapsed, x, post, comb, tokens, out);
    mhc->comb = comb;
    mhc->matrices = tokens;
    count(mhc, tokens, began);
    return ODY_OK;
}

ody_status ody_mhc_batch_forward(ody_mhc *mhc, const float *const *x, size_t arrays, size_t tokens, ody_mhc_layer layer,
                                 void *context, float *const *out) {
    if (!mhc || (arrays && (!x || !out))) return ODY_NULL_POINTER;
    for (size_t i = 0; i < arrays; i++)
        if (tokens && (!x[i] || !out[i])) return ODY_NULL_POINTER;
    for (size_t i = 0; i < arrays; i++) {
        const ody_status status = ody_mhc_forward(mhc, x[i], tokens, layer, context, out[i]);
        if (status != ODY_OK) return status;
    }
    return ODY_OK;
}

ody_status ody_mhc_get_metrics(const ody_mhc *mhc, ody_mhc_metrics *metrics) {
    if (!mhc || !metrics) return ODY_NULL_POINTER;
    const size_t n = mhc->hyper.streams;
    *metrics = mhc->metrics;
    metrics->iterations = mhc->hyper.iterations;
    metrics->memory = mhc->memory;
    metrics->row_residual = metrics->column_residual = 0;
    for (size_t t = 0; t < mhc->matrices; t++)
        for (size_t i = 0; i < n; i++) {
            double row = -1, column = -1;
            for (size_t k = 0; k < n; k++) {
                row += (double)mhc->comb[(t * n + i) * n + k];
                column += (double)mhc->comb[(t * n + k) * n + i];
            }
            metrics->row_residual = fmax(metrics->row_residual, fabs(row));
            metrics->column_residual = fmax(metrics->column_residual, fabs(column));
        }
    return ODY_OK;
}
