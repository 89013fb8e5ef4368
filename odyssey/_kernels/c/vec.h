/*
 * vec.h: one vector of 512 bits, the same on every machine.
 *
 * Every kernel is written once over f32x16 (16 floats) and f64x8 (8 doubles). What carries them differs: one register on
 * AVX-512, two on AVX2, four on NEON, a plain array in the scalar build. What they compute does not: each function below
 * returns the same bits on every instruction set, so a kernel whose order of operations is fixed does too.
 *
 * Define one of ODY_ISA_AVX512, ODY_ISA_AVX2, ODY_ISA_NEON before inclusion; with none of them the scalar build is chosen.
 * Compile with -ffp-contract=off: a multiply and an add are fused only where the text says fma.
 *
 * P below stands for f32x16 or f64x8, I for i32x16 or i64x8, M for m32x16 or m64x8.
 *
 *   memory     P_load(p)  P_store(p, v)            any alignment
 *              P_stream(p, v)                      non-temporal, p 64-byte aligned; ody_fence() before others may read
 *              P_load_n(p, n, fill)                lanes >= n hold fill; never reads past p + n        0 <= n <= lanes
 *              P_store_n(p, v, n)                  writes lanes < n only
 *              P_compress(p, v, m)                 writes the lanes of m side by side, returns how many; all of p[lanes]
 *                                                  may be written
 *   constants  P_splat(x)  P_zero()
 *   arithmetic P_add P_sub P_mul P_div P_sqrt      correctly rounded, to nearest even
 *              P_fma(a, b, c) = a*b + c   P_fms(a, b, c) = a*b - c   P_fnma(a, b, c) = c - a*b     rounded once
 *              P_abs P_neg P_copysign(mag, sign)   act on the sign bit, of NaN and zero too
 *              P_min(a, b) = a < b ? a : b         b when either is NaN, b when both are zero
 *              P_max(a, b) = a > b ? a : b         (likewise)
 *              P_round_even P_floor P_ceil P_trunc
 *   compare    P_lt P_le P_gt P_ge P_eq            -> M, false when either is NaN
 *              P_ne                                -> M, true when either is NaN
 *              P_is_nan(v)  P_select(m, if_true, if_false)
 *   masks      M_and M_or M_not M_andnot(a, b) = a & ~b   M_any M_all   M_bits -> uint32_t, bit i is lane i
 *              M_first(n)                          lanes < n                                           0 <= n <= lanes
 *   integers   f32x16_to_i32(v)                    to nearest even; |v| < 2^31, anything else is unspecified
 *              f32x16_to_i32_trunc(v)              towards zero, likewise
 *              f64x8_to_i64(v)                     to nearest even; |v| < 2^51, anything else is unspecified
 *              f32x16_from_i32(i)  f64x8_from_i64(i)       the latter for |i| < 2^51
 *              P_bits(v) -> I      P_from_bits(i) -> P     the same 512 bits
 *              I_splat I_load I_store I_iota I_add I_sub I_and I_or I_xor I_andnot(a, b) = a & ~b
 *              I_shl(v, n)  I_shr(v, n)  i32x16_sra(v, n)  n a constant below the lane's width; shr shifts zeros in
 *              i32x16_mul_wide(a, b, &high)         unsigned a * b: the low halves, and in high the high halves
 *              I_eq I_gt -> M      I_min I_max     I_select(m, if_true, if_false)
 *   widths     f32x16_to_f64(v, &lo, &hi)          lanes 0-7 and 8-15
 *              f32x16_from_f64(lo, hi)             rounded to nearest even
 *   narrow     f32x16_load_bf16(p)  _f16  _i8      sixteen numbers of 16 or 8 bits, widened exactly; a NaN comes out quiet
 *                                                  from f16, as it is from bf16
 *              f32x16_load_bf16_pairs(p, &a, &b)   the even and the odd of 32 neighbours
 *   tables     P_lookup8(table, i)                 table[i & 7] of eight values, by a permutation in registers
 *   folds      P_reduce_add P_reduce_min P_reduce_max      lane i with lane i + 8, then + 4, + 2, + 1 (f64: from + 4)
 *   P_unzip(a, b, &even, &odd)                  the even and the odd of the 2 * lanes elements of a, then b
 *   P_zip(even, odd, &a, &b)                    its inverse
 *   P_transpose(r)                                 r[lanes] in place, in registers
 *   parts      P_PARTS P_part                      what one register holds: 1, 2 or 4 parts make a vector. For loops whose
 *              P_part_zero() P_part_splat(x)       accumulators must not spill: all of part 0, then all of part 1 ...
 *              P_part_load(p) P_part_load_far(p) P_part_store(p, v)
 *              P_part_load_n(p, n) P_part_fma      lanes >= n are zero; n up to the lanes of a part
 *              P_join(part)                        part[P_PARTS] to a vector
 *
 * Which NaN comes out of an invalid operation (sign, payload) is the processor's affair and is not promised.
 */
#ifndef ODY_VEC_H
#define ODY_VEC_H

#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Everything is inlined, so that a vector is its registers. The scalar build's vectors are arrays in memory and gain
 * nothing by it: there a function stays a function, which keeps the build small and quick to compile. */
#if defined(ODY_ISA_AVX512) || defined(ODY_ISA_AVX2) || defined(ODY_ISA_NEON)
#define ODY_INLINE static inline __attribute__((always_inline))
#else
#define ODY_INLINE static __attribute__((noinline, unused))
#endif

#if defined(ODY_ISA_AVX512)
#include "vec_avx512.h"
#elif defined(ODY_ISA_AVX2)
#include "vec_avx2.h"
#elif defined(ODY_ISA_NEON)
#include "vec_neon.h"
#else
#include "vec_scalar.h"
#endif

/* What follows is said once, in the words above. */

ODY_INLINE f32x16 f32x16_zero(void) { return f32x16_splat(0.0f); }
ODY_INLINE f64x8 f64x8_zero(void) { return f64x8_splat(0.0); }

/* lookup8 where bit 3 of i is clear: cheaper in a function of many tables. */
#ifndef ODY_LOOKUP8_IN
ODY_INLINE f32x16 f32x16_lookup8_in(const float *table, i32x16 i) { return f32x16_lookup8(table, i); }
#endif

/* load, for a long walk through memory, or one that keeps crossing cache lines. */
#ifndef ODY_LOAD_FAR
ODY_INLINE f32x16 f32x16_load_far(const float *p) { return f32x16_load(p); }
ODY_INLINE f64x8 f64x8_load_far(const double *p) { return f64x8_load(p); }
ODY_INLINE f32x16_part f32x16_part_load_far(const float *p) { return f32x16_part_load(p); }
ODY_INLINE f64x8_part f64x8_part_load_far(const double *p) { return f64x8_part_load(p); }
#endif

ODY_INLINE m32x16 f32x16_is_nan(f32x16 v) { return f32x16_ne(v, v); }
ODY_INLINE m64x8 f64x8_is_nan(f64x8 v) { return f64x8_ne(v, v); }

#if !defined(ODY_ISA_AVX512)
#define COMPRESS(V, T, M, N)                                                                                            \
    ODY_INLINE size_t V##_compress(T *p, V v, M m) {                                                                   \
        T lane[N];                                                                                                     \
        size_t count = 0;                                                                                              \
        V##_store(lane, v);                                                                                            \
        for (uint32_t bits = M##_bits(m); bits; bits &= bits - 1) p[count++] = lane[__builtin_ctz(bits)];              \
        return count;                                                                                                  \
    }
COMPRESS(f32x16, float, m32x16, 16)
COMPRESS(f64x8, double, m64x8, 8)
#undef COMPRESS
#endif

/* bfloat16 is the upper half of a float32. */
ODY_INLINE void f32x16_load_bf16_pairs(const uint16_t *p, f32x16 *even, f32x16 *odd) {
    i32x16 both = f32x16_bits(f32x16_load((const float *)(const void *)p));
    *even = f32x16_from_bits(i32x16_shl(both, 16));
    *odd = f32x16_from_bits(i32x16_and(both, i32x16_splat((int32_t)0xffff0000)));
}

ODY_INLINE i32x16 i32x16_iota(void) {
    static const int32_t lane[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    return i32x16_load(lane);
}
ODY_INLINE i64x8 i64x8_iota(void) {
    static const int64_t lane[8] = {0, 1, 2, 3, 4, 5, 6, 7};
    return i64x8_load(lane);
}

#endif
