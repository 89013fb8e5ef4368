/* vec_avx512.h: the vector in one zmm register, masks in k registers. Needs AVX-512 F, DQ, BW, VL (Skylake-X, Zen 4 and later). */
#include <immintrin.h>

#define ODY_ISA_NAME "avx512"

typedef __m512 f32x16;
typedef __m512d f64x8;
/* Distinct names for one register type: the compiler cannot tell them apart, the other instruction sets' builds do. */
typedef __m512i i32x16;
typedef __m512i i64x8;
typedef __mmask16 m32x16;
typedef __mmask8 m64x8;

ODY_INLINE void ody_fence(void) { _mm_sfence(); }

/* V: vector, T: lane, I: its integers, M: its masks, s: the intrinsics' suffix, w: integer lane width. */
#define FLOATING(V, T, I, M, s, w, SIGN)                                                                    \
    ODY_INLINE V V##_load(const T *p) { return _mm512_loadu_##s(p); }                                       \
    ODY_INLINE void V##_store(T *p, V v) { _mm512_storeu_##s(p, v); }                                       \
    ODY_INLINE void V##_stream(T *p, V v) { _mm512_stream_##s(p, v); }                                      \
    ODY_INLINE V V##_splat(T x) { return _mm512_set1_##s(x); }                                              \
    ODY_INLINE V V##_load_n(const T *p, size_t n, T fill) { return _mm512_mask_loadu_##s(V##_splat(fill), M##_first(n), p); } \
    ODY_INLINE void V##_store_n(T *p, V v, size_t n) { _mm512_mask_storeu_##s(p, M##_first(n), v); }        \
    ODY_INLINE V V##_add(V a, V b) { return _mm512_add_##s(a, b); }                                         \
    ODY_INLINE V V##_sub(V a, V b) { return _mm512_sub_##s(a, b); }                                         \
    ODY_INLINE V V##_mul(V a, V b) { return _mm512_mul_##s(a, b); }                                         \
    ODY_INLINE V V##_div(V a, V b) { return _mm512_div_##s(a, b); }                                         \
    ODY_INLINE V V##_sqrt(V a) { return _mm512_sqrt_##s(a); }                                               \
    ODY_INLINE V V##_fma(V a, V b, V c) { return _mm512_fmadd_##s(a, b, c); }                               \
    ODY_INLINE V V##_fms(V a, V b, V c) { return _mm512_fmsub_##s(a, b, c); }                               \
    ODY_INLINE V V##_fnma(V a, V b, V c) { return _mm512_fnmadd_##s(a, b, c); }                             \
    ODY_INLINE V V##_min(V a, V b) { return _mm512_min_##s(a, b); }                                         \
    ODY_INLINE V V##_max(V a, V b) { return _mm512_max_##s(a, b); }                                         \
    ODY_INLINE V V##_abs(V a) { return _mm512_andnot_##s(V##_splat(SIGN), a); }                             \
    ODY_INLINE V V##_neg(V a) { return _mm512_xor_##s(V##_splat(SIGN), a); }                                \
    ODY_INLINE I V##_bits(V a) { return _mm512_cast##s##_si512(a); }                                        \
    ODY_INLINE V V##_from_bits(I a) { return _mm512_castsi512_##s(a); }                                     \
    ODY_INLINE V V##_copysign(V mag, V sign) { /* sign bit from one, the rest from the other: 0xd8 = c ? b : a */ \
        return V##_from_bits(_mm512_ternarylogic_epi##w(V##_bits(mag), V##_bits(sign), V##_bits(V##_splat(SIGN)), 0xd8)); \
    }                                                                                                       \
    ODY_INLINE V V##_round_even(V a) { return _mm512_roundscale_##s(a, 8 | 0); }                            \
    ODY_INLINE V V##_floor(V a) { return _mm512_roundscale_##s(a, 8 | 1); }                                 \
    ODY_INLINE V V##_ceil(V a) { return _mm512_roundscale_##s(a, 8 | 2); }                                  \
    ODY_INLINE V V##_trunc(V a) { return _mm512_roundscale_##s(a, 8 | 3); }                                 \
    ODY_INLINE M V##_lt(V a, V b) { return _mm512_cmp_##s##_mask(a, b, _CMP_LT_OQ); }                       \
    ODY_INLINE M V##_le(V a, V b) { return _mm512_cmp_##s##_mask(a, b, _CMP_LE_OQ); }                       \
    ODY_INLINE M V##_gt(V a, V b) { return _mm512_cmp_##s##_mask(a, b, _CMP_GT_OQ); }                       \
    ODY_INLINE M V##_ge(V a, V b) { return _mm512_cmp_##s##_mask(a, b, _CMP_GE_OQ); }                       \
    ODY_INLINE M V##_eq(V a, V b) { return _mm512_cmp_##s##_mask(a, b, _CMP_EQ_OQ); }                       \
    ODY_INLINE M V##_ne(V a, V b) { return _mm512_cmp_##s##_mask(a, b, _CMP_NEQ_UQ); }                      \
    ODY_INLINE V V##_select(M m, V a, V b) { return _mm512_mask_blend_##s(m, b, a); }

#define INTEGER(I, T, U, M, w)                                                                              \
    ODY_INLINE I I##_splat(T x) { return _mm512_set1_epi##w(x); }                                           \
    ODY_INLINE I I##_load(const T *p) { return _mm512_loadu_si512(p); }                                     \
    ODY_INLINE void I##_store(T *p, I v) { _mm512_storeu_si512(p, v); }                                     \
    ODY_INLINE I I##_add(I a, I b) { return _mm512_add_epi##w(a, b); }                                      \
    ODY_INLINE I I##_sub(I a, I b) { return _mm512_sub_epi##w(a, b); }                                      \
    ODY_INLINE I I##_and(I a, I b) { return _mm512_and_si512(a, b); }                                       \
    ODY_INLINE I I##_or(I a, I b) { return _mm512_or_si512(a, b); }                                         \
    ODY_INLINE I I##_xor(I a, I b) { return _mm512_xor_si512(a, b); }                                       \
    ODY_INLINE I I##_andnot(I a, I b) { return _mm512_andnot_si512(b, a); }                                 \
    typedef U ody_##I##_unsigned __attribute__((vector_size(64)));                                          \
    ODY_INLINE I I##_shl(I a, int n) { return (I)((ody_##I##_unsigned)a << n); }                            \
    ODY_INLINE I I##_shr(I a, int n) { return (I)((ody_##I##_unsigned)a >> n); }                            \
    ODY_INLINE M I##_eq(I a, I b) { return _mm512_cmpeq_epi##w##_mask(a, b); }                              \
    ODY_INLINE M I##_gt(I a, I b) { return _mm512_cmpgt_epi##w##_mask(a, b); }                              \
    ODY_INLINE I I##_min(I a, I b) { return _mm512_min_epi##w(a, b); }                                      \
    ODY_INLINE I I##_max(I a, I b) { return _mm512_max_epi##w(a, b); }                                      \
    ODY_INLINE I I##_select(M m, I a, I b) { return _mm512_mask_blend_epi##w(m, b, a); }

#define MASK(M, N)                                                                                          \
    ODY_INLINE M M##_and(M a, M b) { return (M)(a & b); }                                                   \
    ODY_INLINE M M##_or(M a, M b) { return (M)(a | b); }                                                    \
    ODY_INLINE M M##_andnot(M a, M b) { return (M)(a & ~b); }                                               \
    ODY_INLINE M M##_not(M a) { return (M)~a; }                                                             \
    ODY_INLINE int M##_any(M a) { return a != 0; }                                                          \
    ODY_INLINE int M##_all(M a) { return a == (1u << N) - 1; }                                              \
    ODY_INLINE uint32_t M##_bits(M a) { return a; }                                                         \
    ODY_INLINE M M##_first(size_t n) { return (M)((1u << n) - 1); }

MASK(m32x16, 16)
MASK(m64x8, 8)
INTEGER(i32x16, int32_t, uint32_t, m32x16, 32)
INTEGER(i64x8, int64_t, uint64_t, m64x8, 64)
FLOATING(f32x16, float, i32x16, m32x16, ps, 32, -0.0f)
FLOATING(f64x8, double, i64x8, m64x8, pd, 64, -0.0)

typedef int32_t ody_i32x16_signed __attribute__((vector_size(64)));
ODY_INLINE i32x16 i32x16_sra(i32x16 a, int n) { return (i32x16)((ody_i32x16_signed)a >> n); }

/* Products of the even lanes, then of the odd ones; their halves are dealt back. */
ODY_INLINE i32x16 i32x16_mul_wide(i32x16 a, i32x16 b, i32x16 *high) {
    __m512i even = _mm512_mul_epu32(a, b), odd = _mm512_mul_epu32(_mm512_srli_epi64(a, 32), _mm512_srli_epi64(b, 32));
    *high = _mm512_mask_shuffle_epi32(odd, 0x5555, even, _MM_PERM_DDBB);
    return _mm512_mask_shuffle_epi32(even, 0xaaaa, odd, _MM_PERM_CCAA);
}

ODY_INLINE i32x16 f32x16_to_i32(f32x16 v) { return _mm512_cvtps_epi32(v); }
ODY_INLINE i32x16 f32x16_to_i32_trunc(f32x16 v) { return _mm512_cvttps_epi32(v); }
ODY_INLINE f32x16 f32x16_from_i32(i32x16 v) { return _mm512_cvtepi32_ps(v); }
ODY_INLINE i64x8 f64x8_to_i64(f64x8 v) { return _mm512_cvtpd_epi64(v); }
ODY_INLINE f64x8 f64x8_from_i64(i64x8 v) { return _mm512_cvtepi64_pd(v); }

ODY_INLINE void f32x16_to_f64(f32x16 v, f64x8 *lo, f64x8 *hi) {
    *lo = _mm512_cvtps_pd(_mm512_castps512_ps256(v));
    *hi = _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1));
}
ODY_INLINE f32x16 f32x16_from_f64(f64x8 lo, f64x8 hi) {
    return _mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(lo)), _mm512_cvtpd_ps(hi), 1);
}

ODY_INLINE f32x16 f32x16_lookup8(const float *table, i32x16 i) { /* both halves hold the table: bit 3 does not matter */
    return _mm512_permutexvar_ps(i, _mm512_broadcast_f32x8(_mm256_loadu_ps(table)));
}
ODY_INLINE f64x8 f64x8_lookup8(const double *table, i64x8 i) { return _mm512_permutexvar_pd(i, _mm512_loadu_pd(table)); }

#define FOLD(op)                                                                                            \
    ODY_INLINE float f32x16_reduce_##op(f32x16 v) {                                                         \
        __m256 half = _mm256_##op##_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));            \
        __m128 quad = _mm_##op##_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));          \
        __m128 pair = _mm_##op##_ps(quad, _mm_movehl_ps(quad, quad));                                       \
        return _mm_cvtss_f32(_mm_##op##_ss(pair, _mm_movehdup_ps(pair)));                                   \
    }                                                                                                       \
    ODY_INLINE double f64x8_reduce_##op(f64x8 v) {                                                          \
        __m256d half = _mm256_##op##_pd(_mm512_castpd512_pd256(v), _mm512_extractf64x4_pd(v, 1));           \
        __m128d pair = _mm_##op##_pd(_mm256_castpd256_pd128(half), _mm256_extractf128_pd(half, 1));         \
        return _mm_cvtsd_f64(_mm_##op##_sd(pair, _mm_unpackhi_pd(pair, pair)));                             \
    }
FOLD(add)
FOLD(min)
FOLD(max)

/* Transposition in log2(lanes) rounds: single lanes, pairs, quads of 128 bits, halves. */
ODY_INLINE void f32x16_transpose(f32x16 *r) {
    f32x16 t[16];
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) /* r[i + c]: column c (mod 4) of rows i..i+3, one 128-bit quad for each c div 4 */
        for (int c = 0; c < 4; c++) {
            __m512d a = _mm512_castps_pd(t[i + c / 2]), b = _mm512_castps_pd(t[i + 2 + c / 2]);
            r[i + c] = _mm512_castpd_ps(c & 1 ? _mm512_unpackhi_pd(a, b) : _mm512_unpacklo_pd(a, b));
        }
    for (int c = 0; c < 4; c++) {
        t[c] = _mm512_shuffle_f32x4(r[c], r[4 + c], 0x88);
        t[4 + c] = _mm512_shuffle_f32x4(r[c], r[4 + c], 0xdd);
        t[8 + c] = _mm512_shuffle_f32x4(r[8 + c], r[12 + c], 0x88);
        t[12 + c] = _mm512_shuffle_f32x4(r[8 + c], r[12 + c], 0xdd);
    }
    for (int c = 0; c < 8; c++) {
        r[c] = _mm512_shuffle_f32x4(t[c], t[8 + c], 0x88);
        r[8 + c] = _mm512_shuffle_f32x4(t[c], t[8 + c], 0xdd);
    }
}
ODY_INLINE void f64x8_transpose(f64x8 *r) {
    f64x8 t[8], u[8];
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm512_unpacklo_pd(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_pd(r[i], r[i + 1]);
    }
    for (int c = 0; c < 2; c++) {
        u[c] = _mm512_shuffle_f64x2(t[c], t[2 + c], 0x88);
        u[2 + c] = _mm512_shuffle_f64x2(t[c], t[2 + c], 0xdd);
        u[4 + c] = _mm512_shuffle_f64x2(t[4 + c], t[6 + c], 0x88);
        u[6 + c] = _mm512_shuffle_f64x2(t[4 + c], t[6 + c], 0xdd);
    }
    for (int c = 0; c < 4; c++) {
        r[c] = _mm512_shuffle_f64x2(u[c], u[4 + c], 0x88);
        r[4 + c] = _mm512_shuffle_f64x2(u[c], u[4 + c], 0xdd);
    }
}

ODY_INLINE void f32x16_unzip(f32x16 a, f32x16 b, f32x16 *even, f32x16 *odd) {
    const __m512i evens = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    *even = _mm512_permutex2var_ps(a, evens, b);
    *odd = _mm512_permutex2var_ps(a, _mm512_add_epi32(evens, _mm512_set1_epi32(1)), b);
}
ODY_INLINE void f32x16_zip(f32x16 even, f32x16 odd, f32x16 *a, f32x16 *b) {
    const __m512i first = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    *a = _mm512_permutex2var_ps(even, first, odd);
    *b = _mm512_permutex2var_ps(even, _mm512_add_epi32(first, _mm512_set1_epi32(8)), odd);
}
ODY_INLINE void f64x8_unzip(f64x8 a, f64x8 b, f64x8 *even, f64x8 *odd) {
    const __m512i evens = _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14);
    *even = _mm512_permutex2var_pd(a, evens, b);
    *odd = _mm512_permutex2var_pd(a, _mm512_add_epi64(evens, _mm512_set1_epi64(1)), b);
}
ODY_INLINE void f64x8_zip(f64x8 even, f64x8 odd, f64x8 *a, f64x8 *b) {
    const __m512i first = _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11);
    *a = _mm512_permutex2var_pd(even, first, odd);
    *b = _mm512_permutex2var_pd(even, _mm512_add_epi64(first, _mm512_set1_epi64(4)), odd);
}

ODY_INLINE size_t f32x16_compress(float *p, f32x16 v, m32x16 m) {
    _mm512_storeu_ps(p, _mm512_maskz_compress_ps(m, v));
    return (size_t)__builtin_popcount(m);
}
ODY_INLINE size_t f64x8_compress(double *p, f64x8 v, m64x8 m) {
    _mm512_storeu_pd(p, _mm512_maskz_compress_pd(m, v));
    return (size_t)__builtin_popcount(m);
}

ODY_INLINE f32x16 f32x16_load_bf16(const uint16_t *p) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p)), 16));
}
ODY_INLINE f32x16 f32x16_load_f16(const uint16_t *p) { return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p)); }
ODY_INLINE f32x16 f32x16_load_i8(const int8_t *p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p)));
}

enum { f32x16_PARTS = 1, f64x8_PARTS = 1 };
#define WHOLE(V, T)                                                                                         \
    typedef V V##_part;                                                                                     \
    ODY_INLINE V V##_part_zero(void) { return V##_splat(0); }                                               \
    ODY_INLINE V V##_part_splat(T x) { return V##_splat(x); }                                               \
    ODY_INLINE V V##_part_load(const T *p) { return V##_load(p); }                                          \
    ODY_INLINE void V##_part_store(T *p, V v) { V##_store(p, v); }                                          \
    ODY_INLINE V V##_part_load_n(const T *p, size_t n) { return V##_load_n(p, n, 0); }                      \
    ODY_INLINE V V##_part_fma(V a, V b, V c) { return V##_fma(a, b, c); }                                   \
    ODY_INLINE V V##_join(const V *part) { return *part; }
WHOLE(f32x16, float)
WHOLE(f64x8, double)
#undef WHOLE

#undef FLOATING
#undef INTEGER
#undef MASK
#undef FOLD

/* The upper half of a table's register may hold anything: nothing is copied there. */
#define ODY_LOOKUP8_IN
ODY_INLINE f32x16 f32x16_lookup8_in(const float *table, i32x16 i) {
    return _mm512_permutexvar_ps(i, _mm512_castps256_ps512(_mm256_loadu_ps(table)));
}

/* In halves: from beyond the first cache that is some 7 % faster on Zen 4, in it no slower, and a third faster where most
 * loads cross a cache line, as every second half does not. */
#define ODY_LOAD_FAR
ODY_INLINE f32x16 f32x16_load_far(const float *p) {
    return _mm512_insertf32x8(_mm512_castps256_ps512(_mm256_loadu_ps(p)), _mm256_loadu_ps(p + 8), 1);
}
ODY_INLINE f64x8 f64x8_load_far(const double *p) {
    return _mm512_insertf64x4(_mm512_castpd256_pd512(_mm256_loadu_pd(p)), _mm256_loadu_pd(p + 4), 1);
}
ODY_INLINE f32x16 f32x16_part_load_far(const float *p) { return f32x16_load_far(p); }
ODY_INLINE f64x8 f64x8_part_load_far(const double *p) { return f64x8_load_far(p); }
