/*
 * math_f64_check.c: the functions of math_f64.h against quadruple precision (libquadmath), on random samples.
 *
 *     math_f64_check [-n points] [-d] [name ...]
 *
 * takes `points` inputs (default 10^7) for each of the named functions (default all), a mixture of eight distributions:
 * any bit pattern, logarithms uniform over all exponents, uniform over the range in which the function is not trivial and
 * over smaller ones, near multiples of pi/2, near the joins of the pieces, near 1 and near overflow; and edge values. -d
 * computes digests only, to compare instruction sets. A line tells the function, the digest of all results, the largest
 * error in ulp and the input where it occurs; the run fails if a bound is exceeded, if a zero has the wrong sign, or if
 * NaN and number are confused. Gradients are bounded in ulp of the larger of the terms that they add.
 *
 * -p prints, for `points` inputs, the input, our result and what quadruple precision says, for tools/check_float64.py to
 * hold against mpmath.
 *
 * Quadruple precision needs gcc on x86; without ODY_QUAD there are digests only.
 *
 *     CFLAGS=-DODY_QUAD LDLIBS=-lquadmath ODY_ISAS=avx512 tests/native/run.sh math_f64_check
 */
#include "math_f64.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#ifdef ODY_QUAD
#include <quadmath.h>
typedef __float128 quad;

/* ---- what the functions should return -------------------------------------------------------------------------- */

static const quad c1 = 1.595769121605730711759784239737470Q;
static quad term; /* of a gradient: the larger of the two parts that are added */

static quad sigmoid_q(quad x) { return x < 0 ? expq(x) / (1 + expq(x)) : 1 / (1 + expq(-x)); }
static quad silu_q(quad x) { return x == -INFINITY ? -0.0Q : x * sigmoid_q(x); }
static quad softplus_q(quad x) { return x > 0 ? x + log1pq(expq(-x)) : log1pq(expq(x)); }
static quad mish_q(quad x) { return x == -INFINITY ? -0.0Q : x * tanhq(softplus_q(x)); }
static quad cdf_q(quad x) { return 0.5Q * erfcq(-x * M_SQRT1_2q); }
static quad gelu_q(quad x) { return x == -INFINITY ? -0.0Q : x * cdf_q(x); }
static quad gelu_tanh_arg(quad x) { return c1 * (x + 0.044715Q * x * x * x); }
static quad gelu_tanh_q(quad x) { return x == -INFINITY ? -0.0Q : x * sigmoid_q(gelu_tanh_arg(x)); }
static quad two_terms(quad a, quad b) {
    term = fabsq(a) > fabsq(b) ? fabsq(a) : fabsq(b);
    return a + b;
}
static quad silu_grad_q(quad x) {
    if (fabsq(x) > 2000) return x > 0 ? 1 : -0.0Q;
    return two_terms(sigmoid_q(x), x * sigmoid_q(x) * sigmoid_q(-x));
}
static quad gelu_grad_q(quad x) {
    if (fabsq(x) > 100) return x > 0 ? 1 : -0.0Q;
    return two_terms(cdf_q(x), x * expq(-0.5Q * x * x) * c1 / 4);
}
static quad gelu_tanh_grad_q(quad x) {
    if (fabsq(x) > 50) return x > 0 ? 1 : -0.0Q;
    quad v = gelu_tanh_arg(x);
    return two_terms(sigmoid_q(v), sigmoid_q(v) * x * c1 * (1 + 3 * 0.044715Q * x * x) * sigmoid_q(-v));
}
static quad mish_grad_q(quad x) {
    if (fabsq(x) > 2000) return x > 0 ? 1 : -0.0Q;
    quad w = expq(-fabsq(x));
    quad d = x < 0 ? w * w + 2 * w + 2 : 2 * w * w + 2 * w + 1; /* 1 - tanh^2 = 4 (1 + e^x)^2 / (e^2x + 2 e^x + 2)^2 */
    return two_terms(tanhq(softplus_q(x)), x * sigmoid_q(x) * (x < 0 ? 4 * (1 + w) * (1 + w) : 4 * w * w * (1 + w) * (1 + w)) / (d * d));
}
#else
typedef double quad;
#endif

/* ---- what they do return --------------------------------------------------------------------------------------- */

typedef void (*kernel)(const double *x, double *y);
#define KERNEL(name)                                                              \
    static __attribute__((noinline)) void run_##name(const double *x, double *y) { \
        for (int i = 0; i < 1024; i += 8) f64x8_store(y + i, f64x8_##name(f64x8_load(x + i))); \
    }
/* name, oracle, bound in ulp, and the range outside of which it is trivial */
#define EACH_FUNCTION(F)                                                                                                 \
    F(exp, expq, 1, -745.2, 709.8) F(expm1, expm1q, 1, -38, 709.8) F(log, logq, 1, 0, 4) F(log2, log2q, 1, 0, 4)         \
    F(log1p, log1pq, 1, -1, 2) F(tanh, tanhq, 1, -19.1, 19.1) F(sigmoid, sigmoid_q, 1, -745.2, 37) F(erf, erfq, 1, -5.95, 5.95) \
    F(erfc, erfcq, 2, -5.95, 27.3) F(sin, sinq, 1, -1e3, 1e3) F(cos, cosq, 1, -1e3, 1e3) F(silu, silu_q, 2, -755, 40)    \
    F(gelu, gelu_q, 2, -38.6, 8.5) F(gelu_tanh, gelu_tanh_q, 2, -21.7, 5.5) F(softplus, softplus_q, 2, -745.2, 40)       \
    F(mish, mish_q, 2, -755, 20) F(silu_grad, silu_grad_q, 5, -755, 40) F(gelu_grad, gelu_grad_q, 4, -38.6, 8.5)         \
    F(gelu_tanh_grad, gelu_tanh_grad_q, 6, -21.7, 5.5) F(softplus_grad, sigmoid_q, 1, -745.2, 37)                        \
    F(mish_grad, mish_grad_q, 6, -755, 20)
#define FOR_KERNEL(name, oracle, bound, low, high) KERNEL(name)
EACH_FUNCTION(FOR_KERNEL)

static const struct function {
    const char *name;
    kernel run;
    quad (*oracle)(quad);
    double bound, low, high;
} functions[] = {
#ifdef ODY_QUAD
#define FOR_ROW(name, oracle, bound, low, high) {#name, run_##name, oracle, bound, low, high},
#else
#define FOR_ROW(name, oracle, bound, low, high) {#name, run_##name, NULL, bound, low, high},
#endif
    EACH_FUNCTION(FOR_ROW)};

/* ---- the inputs ------------------------------------------------------------------------------------------------ */

static uint64_t state = 0x9e3779b97f4a7c15u;
static uint64_t next_random(void) { /* xorshift64* */
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 0x2545f4914f6cdd1du;
}
static double from_bits(uint64_t bits) {
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}
static double uniform(void) { return (double)(next_random() >> 11) * 0x1p-53; }
static double power_of_two(int e) { return from_bits((uint64_t)(e + 1023) << 52); }
static double signed_random(double x) { return next_random() >> 63 ? -x : x; }
/* 1 with relative noise of 2^-1 to 2^-52 */
static double about_one(void) { return 1 + (2 * uniform() - 1) * power_of_two(-1 - (int)(next_random() % 52)); }

static const double edge[] = {
    0, -0.0, 0x1p-1074, -0x1p-1074, 0x1p-1073, 0x1.fffffffffffffp-1023, -0x1.fffffffffffffp-1023, DBL_MIN, -DBL_MIN, 0x1p-54, -0x1p-54,
    0x1p-53, -0x1p-53, 0.5, -0.5, 1, -1, 0x1.fffffffffffffp-1, -0x1.fffffffffffffp-1, 0x1.0000000000001p+0, -0x1.0000000000001p+0, 2, -2, 3, -3,
    0x1p32, -0x1p32, 0x1.fffffffffffffp31, 0x1p52, -0x1p52, 0x1p53, 0x1p1023, DBL_MAX, -DBL_MAX, INFINITY, -INFINITY, NAN,
    709.78, 709.79, 710, 711, -708.4, -709, -744.44, -745.13, -745.14, -746, -750, -755, -760, -761, 36.7, 38.5, -38.5, 38.7, -38.7, 27.2, 27.3,
    21.7, -21.7, 22, 5.93, -5.93, 6, 0x1.6ac5b262ca1ffp+849 /* nearest of all to a multiple of pi/2 */, 0x1.921fb54442d18p+0, 0x1.921fb54442d18p+1,
    0x1.6aaaaaaaaaaabp-1, 0x1.6aaaaaaaaaaaap-1, 0x1.6aaaaaaaaaaabp+0, 0x1.0aaaaaaaaaaabp+0, 0x1.eaaaaaaaaaaabp-1, 17, -17, 100, -100, 0.25, -0.25,
};
enum { EDGES = sizeof edge / sizeof *edge };

/* Joins of pieces: multiples of ln2/2, of the steps of erf, of 1/24 times a power of two. */
static double join(void) {
    switch (next_random() % 4) {
    case 0: return signed_random((double)(next_random() % 2150) * 0x1.62e42fefa39efp-2);
    case 1: return signed_random(((double)(next_random() % 8) + 0.5) * (5.93 / 7.49));
    case 2: return (double)(next_random() % 12 + 17) / 24 * power_of_two((int)(next_random() % 64) - 32);
    default: return signed_random((double)(next_random() % 160) * 0.125);
    }
}

static double sample(const struct function *f, uint64_t n) {
    double width = f->high - f->low;
    switch (n % 8) {
    case 0: return from_bits(next_random());
    case 1: return signed_random(from_bits((next_random() % 0x7fe << 52) | next_random() >> 12));
    case 2: return f->low + width * uniform();
    case 3: return signed_random(uniform() * power_of_two((int)(next_random() % 24) - 14));
    case 4: return signed_random((double)(next_random() >> (12 + next_random() % 50)) * 0x1.921fb54442d18p+0 * about_one());
    case 5: return join() * about_one();
    case 6: return signed_random(about_one());
    default: return (next_random() & 1 ? f->low : f->high) + signed_random(width * uniform() * power_of_two(-(int)(next_random() % 40)));
    }
}

/* ---- the comparison -------------------------------------------------------------------------------------------- */

static void mix(uint64_t *digest, double y) {
    uint64_t bits;
    memcpy(&bits, &y, sizeof bits);
    *digest = (*digest ^ (y != y ? 0x7ff8000000000000u : bits)) * 0x100000001b3u;
}

#ifdef ODY_QUAD
/* |got - want| in units in the last place of a double at `size`; beyond DBL_MAX the next "double" is 2^1024, and is inf. */
static double ulp_error(double got, quad want, quad size) {
    if (isnanq(want) || isnan(got)) return isnanq(want) && isnan(got) ? 0 : INFINITY;
    if (got == 0 && !signbit(got) != !signbitq(want)) return INFINITY;
    quad g = isinf(got) ? copysignq(0x1p1024Q, got) : got, w = fabsq(want) > 0x1p1024Q ? copysignq(0x1p1024Q, want) : want;
    if (fabsq(w) > size) size = fabsq(w);
    int e = size == 0 ? -1022 : ilogbq(size);
    return (double)scalbnq(fabsq(g - w), 52 - (e < -1022 ? -1022 : e > 1023 ? 1023 : e));
}
#endif

static int check(const struct function *f, uint64_t points, int digest_only) {
    static double x[1024], y[1024];
    uint64_t digest = 0xcbf29ce484222325u;
    double worst = 0, at = 0, got = 0;
    state = 0x9e3779b97f4a7c15u;
    for (uint64_t done = 0; done < points; done += 1024) {
        for (int i = 0; i < 1024; i++) x[i] = done == 0 && i < EDGES ? edge[i] : sample(f, (uint64_t)i);
        f->run(x, y);
        for (int i = 0; i < 1024; i++) mix(&digest, y[i]);
        if (digest_only) continue;
#ifdef ODY_QUAD
        for (int i = 0; i < 1024; i++) {
            term = 0;
            quad want = f->oracle(x[i]);
            double error = ulp_error(y[i], want, term);
            if (error > worst) worst = error, at = x[i], got = y[i];
        }
#endif
    }
    printf("%-15s %016" PRIx64, f->name, digest);
    if (!digest_only) printf("  max %.4f ulp at %a: %a", worst, at, got);
    printf("%s\n", worst > f->bound ? "  FAILED" : "");
    fflush(stdout);
    return worst > f->bound;
}

#ifdef ODY_QUAD
static void print_samples(const struct function *f, uint64_t points) {
    static double x[1024], y[1024];
    char want[64];
    state = 0x2545f4914f6cdd1du; /* other inputs than those that are counted */
    for (uint64_t done = 0; done < points; done += 1024) {
        for (int i = 0; i < 1024; i++) x[i] = sample(f, (uint64_t)i);
        f->run(x, y);
        for (int i = 0; i < 1024 && done + (uint64_t)i < points; i++) {
            quadmath_snprintf(want, sizeof want, "%.36Qe", f->oracle(x[i]));
            printf("%s %a %a %s\n", f->name, x[i], y[i], want);
        }
    }
}
#endif

/* pow of random pairs: most with a result that is neither 0 nor inf, the rest any bit patterns; and all pairs of edges. */
static int check_pow(uint64_t points, int digest_only) {
    uint64_t digest = 0xcbf29ce484222325u;
    double worst = 0, at[2] = {0, 0}, got = 0;
    state = 0x9e3779b97f4a7c15u;
    for (uint64_t done = 0; done < points + EDGES * EDGES; done += 8) {
        double x[8], y[8], z[8];
        for (int i = 0; i < 8; i++) {
            uint64_t pair = done + (uint64_t)i;
            if (done < EDGES * EDGES) {
                x[i] = pair < EDGES * EDGES ? edge[pair / EDGES] : 2, y[i] = pair < EDGES * EDGES ? edge[pair % EDGES] : 2;
                continue;
            }
            uint64_t kind = pair / 8 % 8;
            if (kind == 0) {
                x[i] = from_bits(next_random()), y[i] = from_bits(next_random());
                continue;
            }
            if (kind < 3) x[i] = from_bits((next_random() % 0x7fe << 52) | next_random() >> 12);
            else if (kind < 5) x[i] = about_one();
            else if (kind == 5) x[i] = fabs(join() * about_one());
            else x[i] = uniform() * power_of_two((int)(next_random() % 12) - 3);
            /* The exponent of the result by the bits of x, near enough. */
            double l = 0;
            uint64_t bits;
            memcpy(&bits, &x[i], sizeof bits);
            if (x[i] > 0.5 && x[i] < 2) l = (x[i] - 1) / (0.5 * (x[i] + 1)) * 1.4427;
            else l = (double)((int)(bits >> 52) - 1023) + (double)(bits & 0xfffffffffffff) * 0x1p-52;
            double target = kind & 1 ? 2100 * uniform() - 1075 : signed_random(uniform() * power_of_two((int)(next_random() % 16) - 5));
            y[i] = l == 0 ? signed_random(uniform() * 0x1p62) : target / l;
            if (kind == 6) y[i] = (double)(int64_t)y[i];
            if (kind == 7) y[i] = 0.5 * (double)(int64_t)(2 * y[i]);
        }
        f64x8_store(z, f64x8_pow(f64x8_load(x), f64x8_load(y)));
        for (int i = 0; i < 8; i++) {
            mix(&digest, z[i]);
#ifdef ODY_QUAD
            if (digest_only) continue;
            double error = ulp_error(z[i], powq(x[i], y[i]), 0);
            if (error > worst) worst = error, at[0] = x[i], at[1] = y[i], got = z[i];
#endif
        }
    }
    printf("%-15s %016" PRIx64, "pow", digest);
    if (!digest_only) printf("  max %.4f ulp at (%a, %a): %a", worst, at[0], at[1], got);
    printf("%s\n", worst > 1 ? "  FAILED" : "");
    return worst > 1;
}

int main(int argc, char **argv) {
    uint64_t points = 10000000;
    int digest_only = 0, print = 0, failed = 0, named = 0;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "-n") && i + 1 < argc) points = strtoull(argv[++i], NULL, 0);
        else if (!strcmp(argv[i], "-d")) digest_only = 1;
        else if (!strcmp(argv[i], "-p")) print = 1;
        else named++;
    }
#ifndef ODY_QUAD
    digest_only = 1;
    if (print) return fprintf(stderr, "-p needs ODY_QUAD\n"), 2;
#endif
    fprintf(stderr, "%s, %" PRIu64 " inputs\n", ODY_ISA_NAME, points);
    for (size_t f = 0; f <= sizeof functions / sizeof *functions; f++) {
        const char *name = f < sizeof functions / sizeof *functions ? functions[f].name : "pow";
        int wanted = !named;
        for (int i = 1; i < argc; i++) wanted |= !strcmp(argv[i], name);
        if (!wanted) continue;
#ifdef ODY_QUAD
        if (print) {
            if (f < sizeof functions / sizeof *functions) print_samples(&functions[f], points);
            continue;
        }
#endif
        if (!strcmp(name, "pow")) failed |= check_pow(points, digest_only);
        else failed |= check(&functions[f], points, digest_only);
    }
    return failed;
}
