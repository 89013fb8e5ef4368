/* Hyper-connections for other languages: a C ABI of opaque handles and status codes, without Python.
 *
 *     ody_mhc_config config = {.streams = 4, .hidden = 1024, .iterations = 20, .eps = 1e-6, .norm_eps = 1e-6,
 *                              .fn = fn, .base = base, .scale = scale};
 *     ody_mhc *mhc;
 *     if (ody_mhc_create(&config, &mhc) == ODY_OK) {
 *         ody_mhc_forward(mhc, x, tokens, layer, context, x);
 *         ody_mhc_destroy(mhc);
 *     }
 *
 * A handle has copies of its parameters and all of its scratch memory. There is no global state: handles know nothing of
 * each other, and each thread may own one; one handle serves one call at a time, on the calling thread. After the first call of
 * a size nothing is allocated. Results have the bits that odyssey.hyper_pre and hyper_post give, on every instruction set.
 *
 * Linked from the static libraries of the build (libody_runtime.a, libody_<instruction set>.a, and -lm -lpthread), or found
 * in the extension module odyssey._kernels.dispatch, which exports these functions. */
#ifndef ODYSSEY_ODYSSEY_H
#define ODYSSEY_ODYSSEY_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define ODY_API __attribute__((visibility("default")))
#else
#define ODY_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef enum ody_status {
    ODY_OK = 0,
    ODY_OUT_OF_MEMORY = 1,
    ODY_INVALID_DIMENSION = 2, /* streams not in [1, 8], hidden or iterations 0, a product that overflows, no such isa */
    ODY_NULL_POINTER = 3,
    ODY_COMPUTATION_ERROR = 4, /* a weight came out NaN or infinite, or the layer reported failure */
} ody_status;

/* A sentence in English. */
ODY_API const char *ody_status_text(ody_status status);

typedef struct ody_mhc ody_mhc;

typedef struct ody_mhc_config {
    size_t streams, hidden, iterations;
    double eps, norm_eps;
    int paper;         /* not 0: the paper's own variant (kernels.h, ODY_HYPER_PAPER) */
    const float *fn;   /* ((2 + streams) streams, streams hidden) */
    const float *base; /* ((2 + streams) streams) */
    const float *scale; /* (3) */
    const char *isa;   /* "avx512", "avx2", "neon", "scalar"; NULL for the best this machine can run */
} ody_mhc_config;

/* What stands between pre and post: f (tokens, hidden) of collapsed (tokens, hidden). Not 0 reports failure. */
typedef int (*ody_mhc_layer)(void *context, const float *collapsed, float *f, size_t tokens);

typedef struct ody_mhc_metrics {
    uint64_t calls, tokens;
    uint64_t allocations;                /* blocks taken from the system since it was made */
    uint64_t memory;                     /* bytes the handle holds */
    uint64_t bytes;                      /* read and written by the last call, parameters included */
    double seconds;                      /* of the last call, the layer's included */
    double row_residual, column_residual; /* of the last call's matrices: the largest |sum - 1| */
    size_t iterations;
} ody_mhc_metrics;

ODY_API ody_status ody_mhc_create(const ody_mhc_config *config, ody_mhc **mhc);
/* NULL is a no-op. */
ODY_API void ody_mhc_destroy(ody_mhc *mhc);

/* out = the streams x (tokens, streams, hidden) after `layer`; NULL for f = collapsed. out may be x. On an error out is
 * undefined. */
ODY_API ody_status ody_mhc_forward(ody_mhc *mhc, const float *x, size_t tokens, ody_mhc_layer layer, void *context, float *out);
/* The same of `count` arrays of streams, of `tokens` tokens each, one after another. */
ODY_API ody_status ody_mhc_batch_forward(ody_mhc *mhc, const float *const *x, size_t count, size_t tokens, ody_mhc_layer layer,
                                         void *context, float *const *out);

/* The two halves: collapsed (tokens, hidden), post (tokens, streams), comb (tokens, streams, streams). */
ODY_API ody_status ody_mhc_pre(ody_mhc *mhc, const float *x, size_t tokens, float *collapsed, float *post, float *comb);
ODY_API ody_status ody_mhc_post(ody_mhc *mhc, const float *f, const float *x, const float *post, const float *comb,
                                size_t tokens, float *out);

ODY_API ody_status ody_mhc_get_metrics(const ody_mhc *mhc, ody_mhc_metrics *metrics);

#ifdef __cplusplus
}
#endif
#endif
