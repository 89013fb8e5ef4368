/*
 * math_exhaustive.c: every float32 input of every unary function of math_f32.h, against double precision.
 *
 *     math_exhaustive [-s stride] [-d] [name ...]
 *
 * takes each stride-th of the 2^32 bit patterns (default 1: all, minutes for each function), the named functions (default
 * all). -d computes digests only, to compare instruction sets in seconds. A line tells the function, the digest of all
 * results, the largest error in ulp, its bound, and the input where it occurs; the run fails if a bound is exceeded, if a
 * zero has the wrong sign, or if NaN and number are confused.
 */
#include "math_f32.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- what the functions should return -------------------------------------------------------------------------- */

static double sigmoid(double x) { return x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x)); }
static double silu(double x) { return x == -INFINITY ? -0.0 : x * sigmoid(x); }
static double softplus(double x) { return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x)); }
static double mish(double x) { return x == -INFINITY ? -0.0 : x * tanh(softplus(x)); }
static double normal_cdf(double x) { return 0.5 * erfc(-x * 0x1.6a09e667f3bcdp-1); }
static double gelu(double x) { return x == -INFINITY ? -0.0 : x * normal_cdf(x); }
static double gelu_tanh_arg(double x) { return 2 * sqrt(2 / M_PI) * (x + 0.044715 * x * x * x); }
static double gelu_tanh(double x) { return x == -INFINITY ? -0.0 : x * sigmoid(gelu_tanh_arg(x)); }
static double silu_grad(double x) {
    if (isinf(x)) return x > 0 ? 1 : -0.0;
    return sigmoid(x) * (1 + x * sigmoid(-x));
}
static double gelu_grad(double x) {
    if (isinf(x)) return x > 0 ? 1 : -0.0;
    return normal_cdf(x) + x * exp(-0.5 * x * x) / sqrt(2 * M_PI);
}
static double gelu_tanh_grad(double x) {
    if (fabs(x) > 100) return x > 0 ? 1 : -0.0;
    double v = gelu_tanh_arg(x);
    return sigmoid(v) * (1 + x * 2 * sqrt(2 / M_PI) * (1 + 3 * 0.044715 * x * x) * sigmoid(-v));
}
static double mish_grad(double x) {
    if (fabs(x) > 200) return x > 0 ? 1 : -0.0;
    double w = exp(-fabs(x)), t = tanh(softplus(x));
    double d = x < 0 ? w * w + 2 * w + 2 : 2 * w * w + 2 * w + 1; /* 1 - tanh^2 = 4 (1 + e^x)^2 / (e^2x + 2 e^x + 2)^2 */
    return t + x * sigmoid(x) * (x < 0 ? 4 * (1 + w) * (1 + w) : 4 * w * w * (1 + w) * (1 + w)) / (d * d);
}

/* ---- what they do return --------------------------------------------------------------------------------------- */

typedef void (*kernel)(const float *x, float *y);
#define KERNEL(name)                                                              \
    static __attribute__((noinline)) void run_##name(const float *x, float *y) { \
        for (int i = 0; i < 1024; i += 16) f32x16_store(y + i, f32x16_##name(f32x16_load(x + i))); \
    }
#define EACH_FUNCTION(F)                                                                                              \
    F(exp, exp, 1) F(expm1, expm1, 1) F(log, log, 1) F(log2, log2, 1) F(log1p, log1p, 1)                              \
    F(tanh, tanh, 1) F(sigmoid, sigmoid, 1) F(erf, erf, 1) F(erfc, erfc, 2) F(sin, sin, 1) F(cos, cos, 1)             \
    F(silu, silu, 2) F(gelu, gelu, 2) F(gelu_tanh, gelu_tanh, 2) F(softplus, softplus, 2) F(mish, mish, 2)            \
    F(silu_grad, silu_grad, 1e9) F(gelu_grad, gelu_grad, 1e9) F(gelu_tanh_grad, gelu_tanh_grad, 1e9)                  \
    F(softplus_grad, sigmoid, 1) F(mish_grad, mish_grad, 1e9)
#define FOR_KERNEL(name, oracle, bound) KERNEL(name)
EACH_FUNCTION(FOR_KERNEL)

static const struct function {
    const char *name;
    kernel run;
    double (*oracle)(double);
    double bound; /* ulp; where |result| >= 2^-100 for the normal distribution's functions, whose tails weigh nothing */
} functions[] = {
#define FOR_ROW(name, oracle, bound) {#name, run_##name, oracle, bound},
    EACH_FUNCTION(FOR_ROW)};

/* ---- the comparison -------------------------------------------------------------------------------------------- */

/* |got - want| in units in the last place of a float at `want`; beyond FLT_MAX the next "float" is 2^128, and is inf. */
static double ulp_error(float got, double want) {
    if (isnan(want) || isnan(got)) return isnan(want) && isnan(got) ? 0 : INFINITY;
    if (got == 0 && !signbit(got) != !signbit(want)) return INFINITY;
    double g = isinf(got) ? copysign(0x1p128, got) : got, w = fabs(want) > 0x1p128 ? copysign(0x1p128, want) : want;
    int e = w == 0 ? -126 : ilogb(w);
    return fabs(g - w) * ldexp(1, 23 - (e < -126 ? -126 : e > 127 ? 127 : e));
}

static void mix(uint64_t *digest, float y) {
    uint32_t bits;
    memcpy(&bits, &y, sizeof bits);
    *digest = (*digest ^ (y != y ? 0x7fc00000u : bits)) * 0x100000001b3u;
}

static int check(const struct function *f, uint64_t stride, int digest_only) {
    float x[1024], y[1024];
    uint64_t digest = 0xcbf29ce484222325u;
    double worst = 0, worst_normal = 0, worst_absolute = 0;
    float at = 0, at_normal = 0;
    for (uint64_t start = 0; start < (uint64_t)1 << 32; start += 1024 * stride) {
        for (int i = 0; i < 1024; i++) {
            uint32_t bits = (uint32_t)(start + i * stride); /* a last block wraps around: some inputs twice */
            memcpy(&x[i], &bits, sizeof bits);
        }
        f->run(x, y);
        for (int i = 0; i < 1024; i++) mix(&digest, y[i]);
        if (digest_only) continue;
        for (int i = 0; i < 1024; i++) {
            double want = f->oracle(x[i]), error = ulp_error(y[i], want);
            if (error > worst) worst = error, at = x[i];
            if (fabs(want) >= 0x1p-100 && error > worst_normal) worst_normal = error, at_normal = x[i];
            if (fabs(want) <= 2 && fabs(y[i] - want) > worst_absolute) worst_absolute = fabs(y[i] - want);
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
