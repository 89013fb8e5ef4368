/*
 * math_exhaustive.c: every float32 input of every unary function of math_f32.h, against double precision.
 *
 *     math_exhaustive [-s stride] [-d] [name ...]
 *
 * takes each stride-th of the 2^32 bit patterns (default 1: all, minutes for each function), the named functions (default
 * all). -d computes digests only, to compare instruction sets in seconds. A line tells the function, the digest of all
 * results, the largest error in ulp and the input where it occurs; the run fails if a bound is exceeded, if a zero has the
 * wrong sign, if NaN and number are confused, or if a result depends on what stands in the other lanes.
 */
#include "math_f32.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- what the functions should return -------------------------------------------------------------------------- */

/*
 * In double precision, by the C library. Written without branches and for whole blocks, so that where the library has
 * vector versions (x86-64 glibc, good to 4 ulp of a double) a sweep takes seconds. The worst case is confirmed by the
 * plain versions, `exactly`.
 */
#if defined(__x86_64__) && defined(__GLIBC__) && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 35) && !defined(__clang__)
#define VECTOR(name) __attribute__((simd("notinbranch"))) double name(double);
VECTOR(exp) VECTOR(expm1) VECTOR(log) VECTOR(log2) VECTOR(log1p) VECTOR(tanh) VECTOR(erf) VECTOR(erfc) VECTOR(sin) VECTOR(cos)
#endif

enum { BLOCK = 1024 };

/* e^x without overflow trouble: the library's vector exp need not be good out there. */
static inline double bounded(double x, double limit) {
    x = x > limit ? limit : x;
    return x < -limit ? -limit : x;
}
static inline double ends(double x, double limit, double y) { /* y; at -inf -0; for x > limit x */
    y = x > limit ? x : y;
    return x < -1e4 ? -0.0 : y;
}
static inline double ends_grad(double x, double limit, double y) {
    y = x > limit ? 1 : y;
    return x < -limit ? -0.0 : y;
}
static inline double sigmoid(double x) { return 1 / (1 + exp(-bounded(x, 700))); }
static inline double softplus(double x) {
    double z = log1p(exp(-fabs(bounded(x, 700))));
    return x > 0 ? x + z : z;
}
static inline double normal_cdf(double x) { return 0.5 * erfc(-bounded(x, 35) * 0x1.6a09e667f3bcdp-1); }
static inline double gelu_tanh_arg(double x) { return 2 * sqrt(2 / M_PI) * (x + 0.044715 * x * x * x); }

static inline double silu(double x) { return ends(x, 1e4, x * sigmoid(x)); }
static inline double mish(double x) { return ends(x, 1e4, x * tanh(softplus(bounded(x, 700)))); }
static inline double gelu(double x) { return ends(x, 1e4, x * normal_cdf(x)); }
static inline double gelu_tanh(double x) { return ends(x, 1e4, x * sigmoid(gelu_tanh_arg(bounded(x, 1e4)))); }
static inline double silu_grad(double x) {
    double b = bounded(x, 700);
    return ends_grad(x, 700, sigmoid(b) * (1 + b * sigmoid(-b)));
}
static inline double gelu_grad(double x) {
    double b = bounded(x, 35);
    return ends_grad(x, 35, normal_cdf(b) + b * exp(-0.5 * b * b) / sqrt(2 * M_PI));
}
static inline double gelu_tanh_grad(double x) {
    double b = bounded(x, 15), v = gelu_tanh_arg(b);
    return ends_grad(x, 15, sigmoid(v) * (1 + b * 2 * sqrt(2 / M_PI) * (1 + 3 * 0.044715 * b * b) * sigmoid(-v)));
}
static inline double mish_grad(double x) { /* 1 - tanh^2 = 4 (1 + w)^2 (w^2 or 1) / d^2, w = e^-|x| */
    double b = bounded(x, 300), w = exp(-fabs(b)), d = b < 0 ? w * w + 2 * w + 2 : 2 * w * w + 2 * w + 1;
    double sech2 = (b < 0 ? 4.0 : 4 * w * w) * (1 + w) * (1 + w) / (d * d);
    return ends_grad(x, 300, tanh(softplus(b)) + b * sigmoid(b) * sech2);
}

/* ---- what they do return --------------------------------------------------------------------------------------- */

#define EACH_FUNCTION(F)                                                                                              \
    F(exp, exp, 1) F(expm1, expm1, 1) F(log, log, 1) F(log2, log2, 1) F(log1p, log1p, 1)                              \
    F(tanh, tanh, 1) F(sigmoid, sigmoid, 1) F(erf, erf, 1) F(erfc, erfc, 2) F(sin, sin, 1) F(cos, cos, 1)             \
    F(silu, silu, 2) F(gelu, gelu, 2) F(gelu_tanh, gelu_tanh, 2) F(softplus, softplus, 2) F(mish, mish, 2)            \
    F(silu_grad, silu_grad, 1e9) F(gelu_grad, gelu_grad, 1e9) F(gelu_tanh_grad, gelu_tanh_grad, 1e9)                  \
    F(softplus_grad, sigmoid, 1) F(mish_grad, mish_grad, 1e9)

#define FOR_KERNEL(name, oracle, bound)                                                                               \
    static __attribute__((noinline)) void run_##name(const float *x, float *y) {                                      \
        for (int i = 0; i < BLOCK; i += 16) f32x16_store(y + i, f32x16_##name(f32x16_load(x + i)));                   \
    }                                                                                                                 \
    static __attribute__((noinline)) void want_##name(const float *x, double *y) {                                    \
        for (int i = 0; i < BLOCK; i++) y[i] = oracle((double)x[i]);                                                  \
    }                                                                                                                 \
    static __attribute__((noinline)) double exactly_##name(double x) { return oracle(x); }
EACH_FUNCTION(FOR_KERNEL)

static const struct function {
    const char *name;
    void (*run)(const float *x, float *y);
    void (*want)(const float *x, double *y);
    double (*exactly)(double x);
    double bound; /* ulp; where |result| >= 2^-100 for the normal distribution's functions, whose tails weigh nothing */
} functions[] = {
#define FOR_ROW(name, oracle, bound) {#name, run_##name, want_##name, exactly_##name, bound},
    EACH_FUNCTION(FOR_ROW)};

/* ---- the comparison -------------------------------------------------------------------------------------------- */

/*
 * |got - want| in units in the last place of a float at `want`, subnormals included; beyond FLT_MAX the next "float" is
 * 2^128, and is inf. Infinite if NaN or the sign of a zero is wrong.
 */
static f64x8 ulp_errors(f64x8 got, f64x8 want) {
    const f64x8 top = f64x8_splat(0x1p128), inf = f64x8_splat(INFINITY);
    f64x8 g = f64x8_max(f64x8_neg(top), f64x8_min(top, got)), w = f64x8_max(f64x8_neg(top), f64x8_min(top, want));
    f64x8 size = f64x8_max(f64x8_splat(0x1p-126), f64x8_min(f64x8_splat(0x1p127), f64x8_abs(want)));
    i64x8 exponent = i64x8_and(f64x8_bits(size), i64x8_splat(0x7ff0000000000000));
    f64x8 per_ulp = f64x8_from_bits(i64x8_sub(i64x8_splat((int64_t)(2 * 1023 + 23) << 52), exponent)); /* 2^(23 - e) */
    f64x8 error = f64x8_mul(f64x8_abs(f64x8_sub(g, w)), per_ulp), one = f64x8_splat(1);
    m64x8 zero = f64x8_eq(got, f64x8_zero()), same_sign = f64x8_eq(f64x8_copysign(one, got), f64x8_copysign(one, want));
    error = f64x8_select(m64x8_andnot(zero, same_sign), inf, error);
    m64x8 nan = f64x8_is_nan(want), got_nan = f64x8_is_nan(got);
    error = f64x8_select(m64x8_or(nan, got_nan), inf, error);
    return f64x8_select(m64x8_and(nan, got_nan), f64x8_zero(), error);
}
static double ulp_error(float got, double want) { return f64x8_reduce_max(ulp_errors(f64x8_splat(got), f64x8_splat(want))); }

/* The errors of a block: error[], and the largest, the largest where |want| >= 2^-100, the largest |got - want| below 2. */
static void block_errors(const float *y, const double *want, double *error, double largest[3]) {
    f64x8 all = f64x8_zero(), normal = all, absolute = all;
    for (int i = 0; i < BLOCK; i += 16) {
        f64x8 got[2];
        f32x16_to_f64(f32x16_load(y + i), &got[0], &got[1]);
        for (int half = 0; half < 2; half++) {
            f64x8 w = f64x8_load(want + i + 8 * half), e = ulp_errors(got[half], w), size = f64x8_abs(w);
            f64x8_store(error + i + 8 * half, e);
            all = f64x8_max(e, all);
            normal = f64x8_max(f64x8_select(f64x8_ge(size, f64x8_splat(0x1p-100)), e, f64x8_zero()), normal);
            e = f64x8_select(f64x8_le(size, f64x8_splat(2)), f64x8_abs(f64x8_sub(got[half], w)), f64x8_zero());
            absolute = f64x8_max(e, absolute);
        }
    }
    largest[0] = f64x8_reduce_max(all), largest[1] = f64x8_reduce_max(normal), largest[2] = f64x8_reduce_max(absolute);
}

static void mix(uint64_t *digest, float y) {
    uint32_t bits;
    memcpy(&bits, &y, sizeof bits);
    *digest = (*digest ^ (y != y ? 0x7fc00000u : bits)) * 0x100000001b3u;
}

/* Rare cases take a slow path for the whole vector: the other lanes must not notice. Puts one into each vector and looks. */
static int neighbours_matter(const struct function *f, const float *x, const float *y, uint64_t salt) {
    static const float rare[] = {NAN, INFINITY, -INFINITY, 0, -0.0f, 1e-40f, -1e-40f, -1, 1e30f, -1e30f, -95, 95, -108, FLT_MAX};
    static float x2[BLOCK], y2[BLOCK];
    memcpy(x2, x, sizeof x2);
    for (int i = 0; i < BLOCK; i += 16) x2[i + (salt + i / 16) % 16] = rare[(salt + i / 16) % (sizeof rare / sizeof *rare)];
    f->run(x2, y2);
    for (int i = 0; i < BLOCK; i++)
        if (memcmp(&x[i], &x2[i], 4) == 0 && memcmp(&y[i], &y2[i], 4) && (y[i] == y[i] || y2[i] == y2[i])) {
            printf("%s(%a) is %a or %a, depending on other lanes\n", f->name, x[i], y[i], y2[i]);
            return 1;
        }
    return 0;
}

static int check(const struct function *f, uint64_t stride, int digest_only) {
    static float x[BLOCK], y[BLOCK];
    static double want[BLOCK], error[BLOCK];
    uint64_t digest = 0xcbf29ce484222325u;
    double worst = 0, worst_normal = 0, worst_absolute = 0;
    float at = 0, at_normal = 0;
    for (uint64_t start = 0; start < (uint64_t)1 << 32; start += BLOCK * stride) {
        for (int i = 0; i < BLOCK; i++) {
            uint32_t bits = (uint32_t)(start + i * stride); /* a last block wraps around: some inputs twice */
            memcpy(&x[i], &bits, sizeof bits);
        }
        f->run(x, y);
        for (int i = 0; i < BLOCK; i++) mix(&digest, y[i]);
        if (neighbours_matter(f, x, y, start / (BLOCK * stride))) return 1;
        if (digest_only) continue;
        f->want(x, want);
        double largest[3];
        block_errors(y, want, error, largest);
        if (largest[2] > worst_absolute) worst_absolute = largest[2];
        if (largest[0] <= worst && largest[1] <= worst_normal) continue;
        for (int i = 0; i < BLOCK; i++) {
            if (error[i] <= worst && (error[i] <= worst_normal || fabs(want[i]) < 0x1p-100)) continue;
            double exact = f->exactly(x[i]), e = ulp_error(y[i], exact);
            if (e > worst) worst = e, at = x[i];
            if (fabs(exact) >= 0x1p-100 && e > worst_normal) worst_normal = e, at_normal = x[i];
        }
    }
    printf("%-15s %016" PRIx64, f->name, digest);
    if (!digest_only) {
        printf("  max %.4f ulp at %a", worst, at);
        if (worst_normal != worst) printf("  (%.4f at %a where |y| >= 2^-100)", worst_normal, at_normal);
        if (f->bound > 1e6) printf("  absolute %.2g", worst_absolute);
    }
    int failed = worst_normal > f->bound || worst > f->bound + 62; /* inf: confusion of NaN, sign of zero */
    printf("%s\n", failed ? "  FAILED" : "");
    fflush(stdout);
    return failed;
}

/* pow of random pairs: half of them with a result between 2^-150 and 2^128, the rest any bit patterns; then edges. */
static int check_pow(uint64_t pairs, int digest_only) {
    static const float edge[] = {0, -0.0f, 1, -1, 2, -2, 3, -3, 0.5f, -0.5f, 1.5f, -1.5f, 0x1p-149f, -0x1p-149f, FLT_MIN, FLT_MAX,
                                 -FLT_MAX, INFINITY, -INFINITY, NAN, 16777215, 16777216, -16777215, 8388607.5f, 0.99999994f, 1.0000001f};
    enum { EDGES = sizeof edge / sizeof *edge };
    uint64_t digest = 0xcbf29ce484222325u, state = 88172645463325252u;
    double worst = 0;
    float at[2] = {0, 0};
    for (uint64_t done = 0; done < pairs + EDGES * EDGES; done += 16) {
        float x[16], y[16], z[16];
        for (int i = 0; i < 16; i++) {
            state ^= state << 13, state ^= state >> 7, state ^= state << 17;
            uint32_t a = (uint32_t)state, b = (uint32_t)(state >> 32);
            memcpy(&x[i], &a, 4), memcpy(&y[i], &b, 4);
            if (done < EDGES * EDGES) {
                if (done + i < EDGES * EDGES) x[i] = edge[(done + i) / EDGES], y[i] = edge[(done + i) % EDGES];
            } else if (done & 16) {
                x[i] = fabsf(x[i]);
                if (!(x[i] < INFINITY)) x[i] = 1.5f;
                y[i] = (float)(((double)b / 4294967296.0 * 278 - 150) / log2(x[i]));
            }
        }
        f32x16_store(z, f32x16_pow(f32x16_load(x), f32x16_load(y)));
        for (int i = 0; i < 16; i++) {
            mix(&digest, z[i]);
            if (digest_only) continue;
            double error = ulp_error(z[i], pow(x[i], y[i]));
            if (error > worst) worst = error, at[0] = x[i], at[1] = y[i];
        }
    }
    printf("%-15s %016" PRIx64, "pow", digest);
    if (!digest_only) printf("  max %.4f ulp at (%a, %a)", worst, at[0], at[1]);
    printf("%s\n", worst > 1 ? "  FAILED" : "");
    return worst > 1;
}

int main(int argc, char **argv) {
    uint64_t stride = 1;
    int digest_only = 0, failed = 0, named = 0;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "-s") && i + 1 < argc) stride = strtoull(argv[++i], NULL, 0);
        else if (!strcmp(argv[i], "-d")) digest_only = 1;
        else named++;
    }
    fprintf(stderr, "%s, every %" PRIu64 " of 2^32 inputs\n", ODY_ISA_NAME, stride);
    for (size_t f = 0; f <= sizeof functions / sizeof *functions; f++) {
        const char *name = f < sizeof functions / sizeof *functions ? functions[f].name : "pow";
        int wanted = !named;
        for (int i = 1; i < argc; i++) wanted |= !strcmp(argv[i], name);
        if (!wanted) continue;
        if (!strcmp(name, "pow")) failed |= check_pow(((uint64_t)1 << 30) / stride, digest_only);
        else failed |= check(&functions[f], stride, digest_only);
    }
    return failed;
}
