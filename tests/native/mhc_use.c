/* A program in C that uses the hyper-connections of odyssey.h: every function, every status, and no leak. Prints the hash of
 * a result, for comparison with Python's. argv[1]: the instruction set, or none for the best. */
#include <odyssey/odyssey.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "line %d: %s\n", __LINE__, #condition);                                                    \
            return 1;                                                                                                  \
        }                                                                                                              \
    } while (0)

enum { N = 4, HIDDEN = 40, TOKENS = 21, OUTPUTS = (2 + N) * N };

static float number(void) {
    static unsigned state = 1;
    state = state * 1664525u + 1013904223u;
    return (float)(state >> 8) / 8388608.0f - 1.0f;
}

static int negate(void *context, const float *collapsed, float *f, size_t tokens) {
    ++*(int *)context;
    for (size_t i = 0; i < tokens * HIDDEN; i++) f[i] = -collapsed[i];
    return 0;
}
static int fail(void *context, const float *collapsed, float *f, size_t tokens) {
    (void)context, (void)collapsed, (void)f, (void)tokens;
    return 1;
}

int main(int argc, char **argv) {
    static float fn[OUTPUTS * N * HIDDEN], base[OUTPUTS], scale[3] = {1, 1, 1};
    static float x[TOKENS * N * HIDDEN], out[TOKENS * N * HIDDEN], again[TOKENS * N * HIDDEN];
    static float collapsed[TOKENS * HIDDEN], f[TOKENS * HIDDEN], post[TOKENS * N], comb[TOKENS * N * N];
    for (int i = 0; i < OUTPUTS * N * HIDDEN; i++) fn[i] = number() / 8;
    for (int i = 0; i < OUTPUTS; i++) base[i] = number();
    for (int i = 0; i < TOKENS * N * HIDDEN; i++) x[i] = number();
    ody_mhc_config config = {.streams = N, .hidden = HIDDEN, .iterations = 20, .eps = 1e-6, .norm_eps = 1e-6,
                             .fn = fn, .base = base, .scale = scale, .isa = argc > 1 ? argv[1] : NULL};
    ody_mhc *mhc, *second;
    CHECK(ody_mhc_create(&config, &mhc) == ODY_OK);
    CHECK(ody_mhc_create(&config, &second) == ODY_OK);

    int calls = 0;
    ody_mhc_metrics before, after;
    CHECK(ody_mhc_forward(mhc, x, TOKENS, negate, &calls, out) == ODY_OK && calls == 1);
    CHECK(ody_mhc_get_metrics(mhc, &before) == ODY_OK);
    for (int i = 0; i < 3; i++) CHECK(ody_mhc_forward(mhc, x, TOKENS - (size_t)i, negate, &calls, again) == ODY_OK);
    CHECK(ody_mhc_get_metrics(mhc, &after) == ODY_OK);
    CHECK(after.allocations == before.allocations && after.memory == before.memory); /* nothing after the first call */
    CHECK(after.calls == 4 && after.iterations == 20 && after.bytes > 0 && after.seconds > 0);
    CHECK(after.column_residual < 1e-4 && after.row_residual < 1e-2);

    /* The halves, and arrays of pointers, give the same bits; a token alone has those of the token among others. */
    CHECK(ody_mhc_pre(second, x, TOKENS, collapsed, post, comb) == ODY_OK);
    CHECK(negate(&calls, collapsed, f, TOKENS) == 0);
    CHECK(ody_mhc_post(second, f, x, post, comb, TOKENS, again) == ODY_OK);
    CHECK(memcmp(out, again, sizeof out) == 0);
    const float *from[TOKENS];
    float *to[TOKENS];
    for (int t = 0; t < TOKENS; t++) from[t] = x + t * N * HIDDEN, to[t] = again + t * N * HIDDEN;
    memset(again, 0, sizeof again);
    CHECK(ody_mhc_batch_forward(second, from, TOKENS, 1, negate, &calls, to) == ODY_OK);
    CHECK(memcmp(out, again, sizeof out) == 0);
    memcpy(again, x, sizeof x);
    CHECK(ody_mhc_forward(mhc, again, TOKENS, negate, &calls, again) == ODY_OK); /* in place */
    CHECK(memcmp(out, again, sizeof out) == 0);
    CHECK(ody_mhc_forward(mhc, NULL, 0, NULL, NULL, NULL) == ODY_OK);

    CHECK(ody_mhc_forward(NULL, x, 1, NULL, NULL, out) == ODY_NULL_POINTER);
    CHECK(ody_mhc_forward(mhc, NULL, 1, NULL, NULL, out) == ODY_NULL_POINTER);
    from[1] = NULL;
    CHECK(ody_mhc_batch_forward(mhc, from, TOKENS, 1, NULL, NULL, to) == ODY_NULL_POINTER);
    CHECK(ody_mhc_forward(mhc, x, TOKENS, fail, NULL, again) == ODY_COMPUTATION_ERROR);
    x[7] = NAN;
    CHECK(ody_mhc_forward(mhc, x, TOKENS, negate, &calls, again) == ODY_COMPUTATION_ERROR);
    CHECK(ody_mhc_create(NULL, &second) == ODY_NULL_POINTER);
    ody_mhc *none;
    ody_mhc_config bad = config;
    bad.streams = 9;
    CHECK(ody_mhc_create(&bad, &none) == ODY_INVALID_DIMENSION && none == NULL);
    bad = config, bad.isa = "vax";
    CHECK(ody_mhc_create(&bad, &none) == ODY_INVALID_DIMENSION);
    bad = config, bad.fn = NULL;
    CHECK(ody_mhc_create(&bad, &none) == ODY_NULL_POINTER);
    CHECK(ody_mhc_forward(mhc, x, (size_t)-1 / 2, NULL, NULL, out) == ODY_INVALID_DIMENSION);
    for (int status = ODY_OK; status <= ODY_COMPUTATION_ERROR; status++) CHECK(strlen(ody_status_text((ody_status)status)) > 5);
    ody_mhc_destroy(mhc);
    ody_mhc_destroy(second);
    ody_mhc_destroy(NULL);

    unsigned long hash = 14695981039346656037u;
    for (size_t i = 0; i < sizeof out; i++) hash = (hash ^ ((unsigned char *)out)[i]) * 1099511628211u;
    printf("%016lx\n", hash);
    return 0;
}
