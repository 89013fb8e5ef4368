/*
 * math_bench.c: nanoseconds for each element of the functions of math_f32.h and math_f64.h, for 4096 elements in cache, and
 * for 2^20 elements.
 *
 *     ODY_ISAS="avx2 avx512" NO_COMPARE=1 tests/native/run.sh math_bench
 */
#ifndef ODY_MATH_BENCH_BODY
#define ODY_MATH_BENCH_BODY
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#include "math_f32.h"
#if __has_include("math_f64.h")
#include "math_f64.h"
#define HAVE_F64
#endif
#define ODY_REAL 32
#include "real.h"
#include "math_bench.c"
#ifdef HAVE_F64
#define ODY_REAL 64
#include "real.h"
#include "math_bench.c"
#endif

int main(void) {
    printf("%s: ns for each element, 4096 in cache | 2^20\n", ODY_ISA_NAME);
    bench_f32();
#ifdef HAVE_F64
    bench_f64();
#endif
    return 0;
}
#else

#define UNARY(name)                                                                                          \
    static __attribute__((noinline)) void K(run_##name)(const real *x, real *y, size_t n) {                   \
        for (size_t i = 0; i < n; i += LANES) v_store(y + i, v_##name(v_load(x + i)));                        \
    }
#define v_copy(v) (v)
#define v_pow_by(v) v_pow(v_abs(v), v)
#define EACH_FUNCTION(F)                                                                                    \
    F(copy) F(exp) F(expm1) F(log) F(log2) F(log1p) F(sin) F(cos) F(tanh) F(sigmoid) F(erf) F(erfc) F(silu) F(gelu) \
    F(gelu_tanh) F(softplus) F(mish) F(silu_grad) F(gelu_grad) F(gelu_tanh_grad) F(mish_grad) F(pow_by)
EACH_FUNCTION(UNARY)

static double K(per_element)(void (*run)(const real *, real *, size_t), const real *x, real *y, size_t n) {
    size_t repeats = ((size_t)1 << 21) / n;
    double best = 1e9;
    for (int round = 0; round < 15; round++) {
        double start = seconds();
        for (size_t i = 0; i < repeats; i++) run(x, y, n);
        double t = (seconds() - start) / (double)(repeats * n) * 1e9;
        if (t < best) best = t;
    }
    return best;
}

static void K(bench)(void) {
    enum { N = 1 << 20 };
    real *x = aligned_alloc(64, N * sizeof(real)), *y = aligned_alloc(64, N * sizeof(real));
    for (int i = 0; i < N; i++) x[i] = (real)((double)rand() / RAND_MAX * 8 - 4);
    real *positive = aligned_alloc(64, N * sizeof(real));
    for (int i = 0; i < N; i++) positive[i] = x[i] < 0 ? -x[i] : x[i];
#define ROW(name)                                                                                            \
    {                                                                                                        \
        const real *in = #name[0] == 'l' ? positive : x;                                                     \
        printf("%-15s f%d  %6.3f | %6.3f\n", #name, (int)sizeof(real) * 8, K(per_element)(K(run_##name), in, y, 4096), \
               K(per_element)(K(run_##name), in, y, N));                                                     \
    }
    EACH_FUNCTION(ROW)
    free(x);
    free(y);
    free(positive);
}
#undef UNARY
#undef ROW
#endif
