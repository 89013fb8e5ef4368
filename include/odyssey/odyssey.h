/* odyssey for other languages: a C ABI of plain functions and status codes, without Python.
 *
 *     float x[3] = {1, 2, 3}, y[3];
 *     ody_status status = ody_softmax_f32(x, 1, 3, y);
 *     if (status != ODY_OK) fprintf(stderr, "%s\n", ody_status_text(status));
 *
 * The functions are those of odyssey's Python namespace, over contiguous arrays: the same kernels, drivers and thread pool, and the
 * same bits. They live in the shared library whose path odyssey.library_path() gives, with this header in odyssey.get_include():
 *
 *     cc use.c -I$(python -c "import odyssey; print(odyssey.get_include())") $(python -c "import odyssey; print(odyssey.library_path())")
 *
 * In a process that has Python in it too, both share one library: the threads and the instruction set are one choice. */
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
    ODY_INVALID_VALUE = 5,     /* an option out of its range, or values for which there is no result */
    ODY_INVALID_INDEX = 6,     /* a label or a row that does not exist */
    ODY_NOT_AVAILABLE = 7,     /* an instruction set that this build or this machine lacks */
} ody_status;

/* A sentence in English. */
ODY_API const char *ody_status_text(ody_status status);

/* ---- the library ------------------------------------------------------------------------------------------------------- */

/* As in "0.1.0". */
ODY_API const char *ody_version(void);

/* The instruction set that runs: "avx512", "avx2", "neon" or "scalar"; at first the one that the environment variable ODYSSEY_ISA names,
 * if this machine can run it, else the best. For the whole process; bits do not depend on it. ODY_NOT_AVAILABLE leaves it. */
ODY_API const char *ody_isa_active(void);
ODY_API ody_status ody_isa_use(const char *name);

/* How many threads a call may use, the caller's included: at first ODYSSEY_NUM_THREADS, else what affinity and cgroup grant.
 * ODY_INVALID_VALUE below 1. Bits do not depend on it. */
ODY_API int ody_threads_get(void);
ODY_API ody_status ody_threads_set(int count);

/* ---- operations ---------------------------------------------------------------------------------------------------------- */

/* What is done to a product in the same pass; gelu in the form of erf. */
typedef enum ody_product_activation {
    ODY_ACTIVATION_NONE = 0,
    ODY_ACTIVATION_RELU = 1,
    ODY_ACTIVATION_TANH = 2,
    ODY_ACTIVATION_SIGMOID = 3,
    ODY_ACTIVATION_GELU = 4,
    ODY_ACTIVATION_SILU = 5,
} ody_product_activation;

/* Strides, dilations and groups are at least 1; channels and outputs are multiples of groups. */
typedef struct ody_conv2d {
    size_t batch, channels, height, width, outputs;
    size_t kernel_h, kernel_w, stride_y, stride_x, padding_y, padding_x, dilation_y, dilation_x, groups;
    ody_product_activation activation; /* of the forward */
} ody_conv2d;
/* The size of a result; ODY_INVALID_DIMENSION where the kernel does not fit into the padded image. */
ODY_API ody_status ody_conv2d_size(const ody_conv2d *shape, size_t *out_height, size_t *out_width);

/* planes: batch times channels. Padding is at most half the kernel. */
typedef struct ody_pool2d {
    size_t planes, height, width;
    size_t kernel_h, kernel_w, stride_y, stride_x, padding_y, padding_x;
} ody_pool2d;
ODY_API ody_status ody_pool2d_size(const ody_pool2d *shape, size_t *out_height, size_t *out_width);

/* heads is a multiple of key_heads, each of which serves as many neighbouring heads of queries. causal, not 0: query i sees the keys
 * up to keys - queries + i. scale: 0 for 1 / sqrt(depth). */
typedef struct ody_attention_shape {
    size_t batch, heads, key_heads, queries, keys, depth, value_depth;
    int causal;
    double scale;
} ody_attention_shape;

#define ODY_REAL float
#define ODY_OP(name) ody_##name##_f32
#include <odyssey/operations.h>
#undef ODY_REAL
#undef ODY_OP
#define ODY_REAL double
#define ODY_OP(name) ody_##name##_f64
#include <odyssey/operations.h>
#undef ODY_REAL
#undef ODY_OP

/* ---- hyper-connections ------------------------------------------------------------------------------------------------------
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
 * a size nothing is allocated. Results have the bits that odyssey.hyper_pre and hyper_post give, on every instruction set. */

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
