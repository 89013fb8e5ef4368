/* What compiled functions are made of: Python's and NumPy's arithmetic on C's numbers, arrays, and how errors leave.
 *
 * A function that may fail takes `int *bad` last and writes one of ODY_... there; its result then means nothing. All are
 * static and inline: the compiler drops what is not called and moves checks out of the way of the rest. */
#ifndef ODYSSEY_JIT_RUNTIME_H
#define ODYSSEY_JIT_RUNTIME_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ody_likely(x) __builtin_expect(!!(x), 1)
#define ody_unlikely(x) __builtin_expect(!!(x), 0)
#define ODY_COLD static __attribute__((cold, noinline, unused))
#define ODY_INLINE static inline __attribute__((always_inline, unused))

/* The order is that of module.py's table. */
enum {
    ODY_ZERO_DIVISION = 1, ODY_DOMAIN, ODY_RANGE, ODY_NAN_TO_INT, ODY_TO_INT, ODY_FIT, ODY_NEGATIVE_SHIFT,
    ODY_NEGATIVE_POWER, ODY_WEAK_NEGATIVE_POWER, ODY_COMPLEX, ODY_ZERO_POWER, ODY_MEMORY, ODY_NEGATIVE_SHAPE,
    ODY_INDEX, ODY_UNBOUND, ODY_STEP, ODY_DEPTH, ODY_RAISED, ODY_VIEW
};

/* ---- errors ---- */

typedef struct ody_block {
    void *data;
    int64_t holders;
    struct ody_block *next, **slot;
} ody_block;

/* One for each call from Python; `blocks` are the arrays that the functions have made and not given back. */
typedef struct {
    int kind, site, axis, depth;
    int64_t index, size;
    ody_block *blocks;
} ody_trouble;

ODY_COLD int ody_fail(ody_trouble *trouble, int site, int kind) {
    trouble->site = site;
    trouble->kind = kind;
    return -1;
}

ODY_COLD int ody_bounds(ody_trouble *trouble, int site, int axis, int64_t index, int64_t size) {
    trouble->axis = axis;
    trouble->index = index;
    trouble->size = size;
    return ody_fail(trouble, site, ODY_INDEX);
}

/* A negative index counts from the end. */
ODY_INLINE int64_t ody_wrap(int64_t i, int64_t n) { return i + (n & (i >> 63)); }
ODY_INLINE int ody_outside(int64_t i, int64_t n) { return ody_unlikely((uint64_t)i >= (uint64_t)n); }
ODY_INLINE int ody_bad(int bad) { return ody_unlikely(bad); }
ODY_INLINE int ody_holds(int known) { return ody_likely(known); }

/* ---- what a loop's indices can be, before it runs: exact, or given up ---- */

ODY_INLINE int64_t ody_sum(int64_t a, int64_t b, int *known) {
    int64_t r;
    if (__builtin_add_overflow(a, b, &r)) *known = 0;
    return r;
}
ODY_INLINE int64_t ody_difference(int64_t a, int64_t b, int *known) {
    int64_t r;
    if (__builtin_sub_overflow(a, b, &r)) *known = 0;
    return r;
}
ODY_INLINE int64_t ody_product(int64_t a, int64_t b, int *known) {
    int64_t r;
    if (__builtin_mul_overflow(a, b, &r)) *known = 0;
    return r;
}
ODY_INLINE int64_t ody_least(int64_t a, int64_t b) { return b < a ? b : a; }
ODY_INLINE int64_t ody_most(int64_t a, int64_t b) { return b > a ? b : a; }
/* How many numbers a range has; 0 for a step of 0, which is refused before. */
ODY_INLINE int64_t ody_trips(int64_t start, int64_t stop, int64_t step) {
    if (step > 0) return start < stop ? (int64_t)(((uint64_t)stop - (uint64_t)start - 1) / (uint64_t)step + 1) : 0;
    if (step < 0) return start > stop ? (int64_t)(((uint64_t)start - (uint64_t)stop - 1) / (0 - (uint64_t)step) + 1) : 0;
    return 0;
}

/* ---- arrays made inside ---- */

ODY_INLINE int64_t ody_bytes(int64_t n, int64_t size, int *bad) {
    int64_t r;
    if (n < 0) *bad = ODY_NEGATIVE_SHAPE;
    else if (__builtin_mul_overflow(n, size, &r)) *bad = ODY_MEMORY;
    else return r;
    return 0;
}

static __attribute__((unused)) ody_block *ody_new(ody_trouble *trouble, int64_t bytes, int zero, int *bad) {
    ody_block *block;
    if (*bad) return NULL;
    block = (ody_block *)malloc(sizeof *block);
    if (!block) {
        *bad = ODY_MEMORY;
        return NULL;
    }
    block->data = zero ? calloc(bytes ? (size_t)bytes : 1, 1) : malloc(bytes ? (size_t)bytes : 1);
    if (!block->data) {
        free(block);
        *bad = ODY_MEMORY;
        return NULL;
    }
    block->holders = 1;
    block->next = trouble->blocks;
    block->slot = &trouble->blocks;
    if (block->next) block->next->slot = &block->next;
    trouble->blocks = block;
    return block;
}

/* The array's memory is no longer the list's: it is freed, or handed on. */
static __attribute__((unused)) void *ody_unlink(ody_block *block) {
    void *data = block->data;
    *block->slot = block->next;
    if (block->next) block->next->slot = block->slot;
    free(block);
    return data;
}

ODY_INLINE void ody_hold(ody_block *block) {
    if (block) block->holders++;
}
ODY_INLINE void ody_drop(ody_block *block) {
    if (block && --block->holders == 0) free(ody_unlink(block));
}
static __attribute__((unused)) void ody_drop_all(ody_trouble *trouble) {
    while (trouble->blocks) free(ody_unlink(trouble->blocks));
}

/* ---- Python's integers, which wrap at 64 bits here ---- */

ODY_INLINE int64_t ody_floor_quotient(int64_t a, int64_t b) {
    int64_t q = a / b, r = a % b;
    return q - (r != 0 && (r ^ b) < 0);
}
ODY_INLINE int64_t ody_floor_rest(int64_t a, int64_t b) {
    int64_t r = a % b;
    return r + (r != 0 && (r ^ b) < 0 ? b : 0);
}
ODY_INLINE int64_t ody_floordiv_int(int64_t a, int64_t b, int *bad) {
    if (ody_unlikely((uint64_t)b + 1 <= 1)) { /* 0 and -1 */
        if (b == 0) *bad = ODY_ZERO_DIVISION;
        return (int64_t)(0 - (uint64_t)a);
    }
    return ody_floor_quotient(a, b);
}
ODY_INLINE int64_t ody_mod_int(int64_t a, int64_t b, int *bad) {
    if (ody_unlikely((uint64_t)b + 1 <= 1)) {
        if (b == 0) *bad = ODY_ZERO_DIVISION;
        return 0;
    }
    return ody_floor_rest(a, b);
}

/* The quotient of two integers beyond 2^53, rounded once: 64 bits of it and more, the rest in the last one. */
ODY_COLD double ody_div_large(int64_t a, int64_t b) {
    unsigned __int128 x = a < 0 ? 0 - (uint64_t)a : (uint64_t)a, y = b < 0 ? 0 - (uint64_t)b : (uint64_t)b, q;
    int shift;
    double r;
    if (x == 0) return b < 0 ? -0.0 : 0.0;
    shift = 64 + __builtin_clzll((uint64_t)x);
    x <<= shift;
    q = x / y;
    if (x % y) q |= 1;
    r = ldexp((double)q, -shift);
    return (a < 0) != (b < 0) ? -r : r;
}
ODY_INLINE double ody_div_int(int64_t a, int64_t b, int *bad) {
    const uint64_t exact = (uint64_t)1 << 53;
    if (ody_unlikely(b == 0)) *bad = ODY_ZERO_DIVISION;
    else if (ody_unlikely((uint64_t)a + exact > 2 * exact || (uint64_t)b + exact > 2 * exact))
        return ody_div_large(a, b);
    return (double)a / (double)b;
}

/* A product of 64 bits is the same for signed and unsigned numbers. */
ODY_INLINE uint64_t ody_power_bits(uint64_t x, uint64_t n) {
    uint64_t r = 1;
    for (; n; n >>= 1, x *= x)
        if (n & 1) r *= x;
    return r;
}
ODY_INLINE int64_t ody_pow_int(int64_t x, int64_t n, int *bad) {
    if (ody_unlikely(n < 0)) *bad = x == 0 ? ODY_ZERO_POWER : ODY_WEAK_NEGATIVE_POWER;
    return (int64_t)ody_power_bits((uint64_t)x, (uint64_t)n);
}
ODY_INLINE int64_t ody_lshift_int(int64_t x, int64_t n, int *bad) {
    if (ody_unlikely(n < 0)) *bad = ODY_NEGATIVE_SHIFT;
    return n > 63 ? 0 : (int64_t)((uint64_t)x << (n & 63));
}
ODY_INLINE int64_t ody_rshift_int(int64_t x, int64_t n, int *bad) {
    if (ody_unlikely(n < 0)) *bad = ODY_NEGATIVE_SHIFT;
    return x >> (n > 63 ? 63 : n & 63);
}

/* -1, 0 or 1, and 2 for nan, which lies nowhere: compared exactly, as Python does. */
ODY_INLINE int64_t ody_order_int_float(int64_t i, double x) {
    double near = (double)i;
    if (near < x) return -1;
    if (near > x) return 1;
    if (near != x) return 2;
    if (ody_unlikely(near >= 9223372036854775808.0)) return -1;
    return i < (int64_t)x ? -1 : i > (int64_t)x;
}
ODY_INLINE int64_t ody_order_int64_uint64(int64_t i, uint64_t n) {
    return i < 0 || (uint64_t)i < n ? -1 : (uint64_t)i > n;
}

/* ---- Python's floats ---- */

#define ODY_FLOOR_DIVISION(suffix, type, f)                                        \
    ODY_INLINE type ody_floor_float_##suffix(type a, type b) {                     \
        type rest = fmod##f(a, b), q = (a - rest) / b, whole;                      \
        if (rest != 0 && (b < 0) != (rest < 0)) q -= 1;                            \
        if (q == 0) return copysign##f((type)0, a / b);                            \
        whole = floor##f(q);                                                       \
        return q - whole > (type)0.5 ? whole + 1 : whole;                          \
    }                                                                              \
    ODY_INLINE type ody_rest_float_##suffix(type a, type b) {                      \
        type rest = fmod##f(a, b);                                                 \
        if (rest != 0) return (b < 0) != (rest < 0) ? rest + b : rest;             \
        return copysign##f((type)0, b);                                            \
    }
ODY_FLOOR_DIVISION(64, double, )
ODY_FLOOR_DIVISION(32, float, f)

ODY_INLINE double ody_div_float(double a, double b, int *bad) {
    if (ody_unlikely(b == 0)) *bad = ODY_ZERO_DIVISION;
    return a / b;
}
ODY_INLINE double ody_floordiv_float(double a, double b, int *bad) {
    if (ody_unlikely(b == 0)) *bad = ODY_ZERO_DIVISION;
    return ody_floor_float_64(a, b);
}
ODY_INLINE double ody_mod_float(double a, double b, int *bad) {
    if (ody_unlikely(b == 0)) *bad = ODY_ZERO_DIVISION;
    return ody_rest_float_64(a, b);
}
ODY_INLINE double ody_pow_float(double x, double y, int *bad) {
    double r = pow(x, y);
    if (ody_unlikely(!isfinite(r)) && isfinite(x) && isfinite(y))
        *bad = x == 0 ? ODY_ZERO_POWER : isnan(r) ? ODY_COMPLEX : ODY_RANGE;
    return r;
}

/* NumPy's: no error, but inf, nan and, for integers, 0. */
ODY_INLINE double ody_floordiv_float64(double a, double b) { return b == 0 ? a / b : ody_floor_float_64(a, b); }
ODY_INLINE float ody_floordiv_float32(float a, float b) { return b == 0 ? a / b : ody_floor_float_32(a, b); }
ODY_INLINE double ody_mod_float64(double a, double b) { return b == 0 ? fmod(a, b) : ody_rest_float_64(a, b); }
ODY_INLINE float ody_mod_float32(float a, float b) { return b == 0 ? fmodf(a, b) : ody_rest_float_32(a, b); }
ODY_INLINE double ody_pow_float64(double x, double y) { return pow(x, y); }
ODY_INLINE float ody_pow_float32(float x, float y) { return powf(x, y); }

#define ODY_SIGNED(name, bits)                                                                                   \
    ODY_INLINE name##_t ody_floordiv_##name(name##_t a, name##_t b) {                                            \
        return b == 0 ? 0 : b == -1 ? (name##_t)(0 - (uint64_t)a) : (name##_t)ody_floor_quotient(a, b);          \
    }                                                                                                            \
    ODY_INLINE name##_t ody_mod_##name(name##_t a, name##_t b) {                                                 \
        return b == 0 || b == -1 ? 0 : (name##_t)ody_floor_rest(a, b);                                           \
    }                                                                                                            \
    ODY_INLINE name##_t ody_pow_##name(name##_t x, name##_t n, int *bad) {                                       \
        if (ody_unlikely(n < 0)) *bad = ODY_NEGATIVE_POWER;                                                      \
        return (name##_t)ody_power_bits((uint64_t)x, (uint64_t)n);                                               \
    }                                                                                                            \
    ODY_INLINE name##_t ody_lshift_##name(name##_t x, name##_t n) {                                              \
        return (uint64_t)n >= bits ? 0 : (name##_t)((uint64_t)x << n);                                           \
    }                                                                                                            \
    ODY_INLINE name##_t ody_rshift_##name(name##_t x, name##_t n) {                                              \
        return (name##_t)(x >> ((uint64_t)n >= bits ? bits - 1 : n));                                            \
    }
#define ODY_UNSIGNED(name, bits)                                                                                 \
    ODY_INLINE name##_t ody_floordiv_##name(name##_t a, name##_t b) { return b == 0 ? 0 : a / b; }               \
    ODY_INLINE name##_t ody_mod_##name(name##_t a, name##_t b) { return b == 0 ? 0 : a % b; }                    \
    ODY_INLINE name##_t ody_pow_##name(name##_t x, name##_t n, int *bad) {                                       \
        (void)bad;                                                                                               \
        return (name##_t)ody_power_bits(x, n);                                                                   \
    }                                                                                                            \
    ODY_INLINE name##_t ody_lshift_##name(name##_t x, name##_t n) {                                              \
        return n >= bits ? 0 : (name##_t)((uint64_t)x << n);                                                     \
    }                                                                                                            \
    ODY_INLINE name##_t ody_rshift_##name(name##_t x, name##_t n) { return n >= bits ? 0 : (name##_t)(x >> n); }
ODY_SIGNED(int8, 8)
ODY_SIGNED(int16, 16)
ODY_SIGNED(int32, 32)
ODY_SIGNED(int64, 64)
ODY_UNSIGNED(uint8, 8)
ODY_UNSIGNED(uint16, 16)
ODY_UNSIGNED(uint32, 32)
ODY_UNSIGNED(uint64, 64)

/* An integer of Python's beside a small one of NumPy's has to fit. */
#define ODY_FITS(name, least, most)                                        \
    ODY_INLINE name##_t ody_fit_##name(int64_t x, int *bad) {              \
        if (ody_unlikely(x < least || x > most)) *bad = ODY_FIT;           \
        return (name##_t)x;                                                \
    }
ODY_FITS(int8, INT8_MIN, INT8_MAX)
ODY_FITS(int16, INT16_MIN, INT16_MAX)
ODY_FITS(int32, INT32_MIN, INT32_MAX)
ODY_FITS(uint8, 0, UINT8_MAX)
ODY_FITS(uint16, 0, UINT16_MAX)
ODY_FITS(uint32, 0, (int64_t)UINT32_MAX)
ODY_FITS(uint64, 0, INT64_MAX)
ODY_INLINE int64_t ody_fit_int_uint64(uint64_t x, int *bad) {
    if (ody_unlikely(x > INT64_MAX)) *bad = ODY_TO_INT;
    return (int64_t)x;
}

/* ---- between floats and integers ---- */

ODY_INLINE int64_t ody_to_int(double x, int *bad) {
    if (ody_unlikely(!(x >= -9223372036854775808.0 && x < 9223372036854775808.0))) {
        *bad = isnan(x) ? ODY_NAN_TO_INT : ODY_TO_INT;
        return 0;
    }
    return (int64_t)x;
}
ODY_INLINE int64_t ody_floor_int(double x, int *bad) { return ody_to_int(floor(x), bad); }
ODY_INLINE int64_t ody_ceil_int(double x, int *bad) { return ody_to_int(ceil(x), bad); }
ODY_INLINE int64_t ody_round_int(double x, int *bad) { return ody_to_int(rint(x), bad); }
/* C says nothing of numbers that do not fit; this is what the processor does, and so NumPy. */
ODY_INLINE int64_t ody_cut(double x) {
    return x >= -9223372036854775808.0 && x < 9223372036854775808.0 ? (int64_t)x : INT64_MIN;
}
ODY_INLINE uint64_t ody_cut_uint64(double x) {
    return x >= 9223372036854775808.0 && x < 18446744073709551616.0 ? (uint64_t)x : (uint64_t)ody_cut(x);
}

/* ---- least and most, as Python's min and max choose: the first of equals, and of what is not comparable ---- */

#define ODY_CHOICE(name, type)                                                               \
    ODY_INLINE type ody_min_##name(type a, type b) { return b < a ? b : a; }                 \
    ODY_INLINE type ody_max_##name(type a, type b) { return b > a ? b : a; }
ODY_CHOICE(int8, int8_t)
ODY_CHOICE(int16, int16_t)
ODY_CHOICE(int32, int32_t)
ODY_CHOICE(int64, int64_t)
ODY_CHOICE(uint8, uint8_t)
ODY_CHOICE(uint16, uint16_t)
ODY_CHOICE(uint32, uint32_t)
ODY_CHOICE(uint64, uint64_t)
ODY_CHOICE(float32, float)
ODY_CHOICE(float64, double)
/* NumPy's minimum and maximum hand nan on. */
#define ODY_CHOICE_NAN(name, type)                                                                               \
    ODY_INLINE type ody_minimum_##name(type a, type b) { return a < b || a != a ? a : b; }                       \
    ODY_INLINE type ody_maximum_##name(type a, type b) { return a > b || a != a ? a : b; }
ODY_CHOICE_NAN(float32, float)
ODY_CHOICE_NAN(float64, double)

/* ---- the module math: what C gives, and an error where Python has one ---- */

#define ODY_MATH(name, infinite)                                                             \
    ODY_INLINE double ody_math_##name(double x, int *bad) {                                  \
        double r = name(x);                                                                  \
        if (ody_unlikely(!isfinite(r)) && (isnan(r) ? !isnan(x) : isfinite(x)))              \
            *bad = isnan(r) ? ODY_DOMAIN : infinite;                                         \
        return r;                                                                            \
    }
ODY_MATH(exp, ODY_RANGE)
ODY_MATH(exp2, ODY_RANGE)
ODY_MATH(expm1, ODY_RANGE)
ODY_MATH(log, ODY_DOMAIN)
ODY_MATH(log2, ODY_DOMAIN)
ODY_MATH(log10, ODY_DOMAIN)
ODY_MATH(log1p, ODY_DOMAIN)
ODY_MATH(sin, ODY_DOMAIN)
ODY_MATH(cos, ODY_DOMAIN)
ODY_MATH(tan, ODY_DOMAIN)
ODY_MATH(asin, ODY_DOMAIN)
ODY_MATH(acos, ODY_DOMAIN)
ODY_MATH(sinh, ODY_RANGE)
ODY_MATH(cosh, ODY_RANGE)
ODY_MATH(acosh, ODY_DOMAIN)
ODY_MATH(atanh, ODY_DOMAIN)
ODY_INLINE double ody_math_sqrt(double x, int *bad) {
    if (ody_unlikely(x < 0)) *bad = ODY_DOMAIN;
    return sqrt(x);
}
ODY_INLINE double ody_math_fmod(double x, double y, int *bad) {
    double r = fmod(x, y);
    if (ody_unlikely(isnan(r)) && !isnan(x) && !isnan(y)) *bad = ODY_DOMAIN;
    return r;
}
ODY_INLINE double ody_math_pow(double x, double y, int *bad) {
    double r = pow(x, y);
    if (ody_unlikely(!isfinite(r)) && isfinite(x) && isfinite(y)) *bad = x == 0 || isnan(r) ? ODY_DOMAIN : ODY_RANGE;
    return r;
}
ODY_INLINE int ody_isnan(double x) { return x != x; }
ODY_INLINE int ody_isinf(double x) { return fabs(x) == HUGE_VAL; }
ODY_INLINE int ody_isfinite(double x) { return fabs(x) < HUGE_VAL; }
ODY_INLINE int64_t ody_abs_int(int64_t x) { return x < 0 ? (int64_t)(0 - (uint64_t)x) : x; }

#endif
