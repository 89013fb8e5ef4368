/* vec_avx2.h: the vector in two ymm registers, passed by value through inlined functions. Needs AVX2 and FMA (Haswell, Zen and later). */
#include <immintrin.h>

#define ODY_ISA_NAME "avx2"

typedef struct { __m256 lo, hi; } f32x16;
typedef struct { __m256d lo, hi; } f64x8;
typedef struct { __m256i lo, hi; } i32x16;
typedef struct { __m256i lo, hi; } i64x8;
typedef struct { __m256i lo, hi; } m32x16; /* lanes of all ones or all zeros */
typedef struct { __m256i lo, hi; } m64x8;

ODY_INLINE void ody_fence(void) { _mm_sfence(); }

/* R: result, `expr` speaks of one half of the operands, as a, b and c. */
#define HALVES1(R, name, V, H, expr)                                                                        \
    ODY_INLINE R name(V va) {                                                                               \
        R r;                                                                                                \
        { H a = va.lo; r.lo = (expr); }                                                                     \
        { H a = va.hi; r.hi = (expr); }                                                                     \
        return r;                                                                                           \
    }
#define HALVES2(R, name, V, H, expr)                                                                        \
    ODY_INLINE R name(V va, V vb) {                                                                         \
        R r;                                                                                                \
        { H a = va.lo, b = vb.lo; r.lo = (expr); }                                                          \
        { H a = va.hi, b = vb.hi; r.hi = (expr); }                                                          \
        return r;                                                                                           \
    }
#define HALVES3(R, name, V, H, expr)                                                                        \
    ODY_INLINE R name(V va, V vb, V vc) {                                                                   \
        R r;                                                                                                \
        { H a = va.lo, b = vb.lo, c = vc.lo; r.lo = (expr); }                                               \
        { H a = va.hi, b = vb.hi, c = vc.hi; r.hi = (expr); }                                               \
        return r;                                                                                           \
    }

#define MASK(M, N, cast, s)                                                                       \
    HALVES2(M, M##_and, M, __m256i, _mm256_and_si256(a, b))                                                 \
    HALVES2(M, M##_or, M, __m256i, _mm256_or_si256(a, b))                                                   \
    HALVES2(M, M##_andnot, M, __m256i, _mm256_andnot_si256(b, a))                                           \
    HALVES1(M, M##_not, M, __m256i, _mm256_xor_si256(a, _mm256_set1_epi32(-1)))                             \
    ODY_INLINE uint32_t M##_bits(M m) {                                                                     \
        return (uint32_t)_mm256_movemask_##s(cast(m.lo)) | (uint32_t)_mm256_movemask_##s(cast(m.hi)) << N / 2; \
    }                                                                                                       \
    ODY_INLINE int M##_any(M m) { return _mm256_movemask_##s(cast(_mm256_or_si256(m.lo, m.hi))) != 0; }     \
    ODY_INLINE int M##_all(M m) { return _mm256_movemask_##s(cast(_mm256_and_si256(m.lo, m.hi))) == (1 << N / 2) - 1; }

#define INTEGER(I, T, U, M, w, splat)                                                              \
    ODY_INLINE I I##_splat(T x) { return (I){splat(x), splat(x)}; }                                         \
    ODY_INLINE I I##_load(const T *p) {                                                                     \
        return (I){_mm256_loadu_si256((const __m256i *)p), _mm256_loadu_si256((const __m256i *)p + 1)};     \
    }                                                                                                       \
    ODY_INLINE void I##_store(T *p, I v) {                                                                  \
        _mm256_storeu_si256((__m256i *)p, v.lo);                                                            \
        _mm256_storeu_si256((__m256i *)p + 1, v.hi);                                                        \
    }                                                                                                       \
    HALVES2(I, I##_add, I, __m256i, _mm256_add_epi##w(a, b))                                                \
    HALVES2(I, I##_sub, I, __m256i, _mm256_sub_epi##w(a, b))                                                \
    HALVES2(I, I##_and, I, __m256i, _mm256_and_si256(a, b))                                                 \
    HALVES2(I, I##_or, I, __m256i, _mm256_or_si256(a, b))                                                   \
    HALVES2(I, I##_xor, I, __m256i, _mm256_xor_si256(a, b))                                                 \
    HALVES2(I, I##_andnot, I, __m256i, _mm256_andnot_si256(b, a))                                           \
    typedef U ody_##I##_unsigned __attribute__((vector_size(32)));                                          \
    ODY_INLINE I I##_shl(I v, int n) { return (I){(__m256i)((ody_##I##_unsigned)v.lo << n), (__m256i)((ody_##I##_unsigned)v.hi << n)}; } \
    ODY_INLINE I I##_shr(I v, int n) { return (I){(__m256i)((ody_##I##_unsigned)v.lo >> n), (__m256i)((ody_##I##_unsigned)v.hi >> n)}; } \
    MINMAX_##w(I)                                                                                           \
    HALVES2(M, I##_eq, I, __m256i, _mm256_cmpeq_epi##w(a, b))                                               \
    HALVES2(M, I##_gt, I, __m256i, _mm256_cmpgt_epi##w(a, b))                                               \
    ODY_INLINE I I##_select(M m, I t, I f) {                                                                \
        return (I){_mm256_blendv_epi8(f.lo, t.lo, m.lo), _mm256_blendv_epi8(f.hi, t.hi, m.hi)};             \
    }

#define MINMAX_32(I)                                                                                        \
    HALVES2(I, I##_min, I, __m256i, _mm256_min_epi32(a, b))                                                 \
    HALVES2(I, I##_max, I, __m256i, _mm256_max_epi32(a, b))
#define MINMAX_64(I) /* only AVX-512 has them for 64 bits */                                                \
    HALVES2(I, I##_min, I, __m256i, _mm256_blendv_epi8(a, b, _mm256_cmpgt_epi64(a, b)))                     \
    HALVES2(I, I##_max, I, __m256i, _mm256_blendv_epi8(b, a, _mm256_cmpgt_epi64(a, b)))

/* n lanes of a half, in steps: a masked store takes some twenty cycles on AMD's processors. */
ODY_INLINE void f32x16_store_part(float *p, __m256 v, size_t n) {
    if (n == 8) {
        _mm256_storeu_ps(p, v);
        return;
    }
    __m128 quad = _mm256_castps256_ps128(v);
    if (n & 4) {
        _mm_storeu_ps(p, quad);
        quad = _mm256_extractf128_ps(v, 1);
        p += 4;
    }
    if (n & 2) {
        _mm_storel_pi((__m64 *)p, quad);
        quad = _mm_movehl_ps(quad, quad);
        p += 2;
    }
    if (n & 1) _mm_store_ss(p, quad);
}
ODY_INLINE void f64x8_store_part(double *p, __m256d v, size_t n) {
    if (n == 4) {
        _mm256_storeu_pd(p, v);
        return;
    }
    __m128d pair = _mm256_castpd256_pd128(v);
    if (n & 2) {
        _mm_storeu_pd(p, pair);
        pair = _mm256_extractf128_pd(v, 1);
        p += 2;
    }
    if (n & 1) _mm_store_sd(p, pair);
}

/* H: half a vector, h: lanes in it, s: the intrinsics' suffix. */
#define FLOATING(V, T, H, h, I, M, s, SIGN)                                                                 \
    ODY_INLINE V V##_load(const T *p) { return (V){_mm256_loadu_##s(p), _mm256_loadu_##s(p + h)}; }         \
    ODY_INLINE void V##_store(T *p, V v) { _mm256_storeu_##s(p, v.lo); _mm256_storeu_##s(p + h, v.hi); }    \
    ODY_INLINE void V##_stream(T *p, V v) { _mm256_stream_##s(p, v.lo); _mm256_stream_##s(p + h, v.hi); }   \
    ODY_INLINE V V##_splat(T x) { return (V){_mm256_set1_##s(x), _mm256_set1_##s(x)}; }                     \
    ODY_INLINE V V##_load_n(const T *p, size_t n, T fill) {                                                 \
        M m = M##_first(n);                                                                                 \
        return V##_select(m, (V){_mm256_maskload_##s(p, m.lo), _mm256_maskload_##s(p + h, m.hi)}, V##_splat(fill)); \
    }                                                                                                       \
    ODY_INLINE void V##_store_n(T *p, V v, size_t n) {                                                      \
        if (n >= h) {                                                                                       \
            _mm256_storeu_##s(p, v.lo);                                                                     \
            V##_store_part(p + h, v.hi, n - h);                                                             \
        } else {                                                                                            \
            V##_store_part(p, v.lo, n);                                                                     \
        }                                                                                                   \
    }                                                                                                       \
    HALVES2(V, V##_add, V, H, _mm256_add_##s(a, b))                                                         \
    HALVES2(V, V##_sub, V, H, _mm256_sub_##s(a, b))                                                         \
    HALVES2(V, V##_mul, V, H, _mm256_mul_##s(a, b))                                                         \
    HALVES2(V, V##_div, V, H, _mm256_div_##s(a, b))                                                         \
    HALVES2(V, V##_min, V, H, _mm256_min_##s(a, b))                                                         \
    HALVES2(V, V##_max, V, H, _mm256_max_##s(a, b))                                                         \
    HALVES2(V, V##_copysign, V, H, _mm256_or_##s(_mm256_andnot_##s(_mm256_set1_##s(SIGN), a), _mm256_and_##s(_mm256_set1_##s(SIGN), b))) \
    HALVES3(V, V##_fma, V, H, _mm256_fmadd_##s(a, b, c))                                                    \
    HALVES3(V, V##_fms, V, H, _mm256_fmsub_##s(a, b, c))                                                    \
    HALVES3(V, V##_fnma, V, H, _mm256_fnmadd_##s(a, b, c))                                                  \
    HALVES1(V, V##_sqrt, V, H, _mm256_sqrt_##s(a))                                                          \
    HALVES1(V, V##_abs, V, H, _mm256_andnot_##s(_mm256_set1_##s(SIGN), a))                                  \
    HALVES1(V, V##_neg, V, H, _mm256_xor_##s(_mm256_set1_##s(SIGN), a))                                     \
    HALVES1(V, V##_round_even, V, H, _mm256_round_##s(a, 8 | 0))                                            \
    HALVES1(V, V##_floor, V, H, _mm256_round_##s(a, 8 | 1))                                                 \
    HALVES1(V, V##_ceil, V, H, _mm256_round_##s(a, 8 | 2))                                                  \
    HALVES1(V, V##_trunc, V, H, _mm256_round_##s(a, 8 | 3))                                                 \
    HALVES2(M, V##_lt, V, H, _mm256_cast##s##_si256(_mm256_cmp_##s(a, b, _CMP_LT_OQ)))                      \
    HALVES2(M, V##_le, V, H, _mm256_cast##s##_si256(_mm256_cmp_##s(a, b, _CMP_LE_OQ)))                      \
    HALVES2(M, V##_gt, V, H, _mm256_cast##s##_si256(_mm256_cmp_##s(a, b, _CMP_GT_OQ)))                      \
    HALVES2(M, V##_ge, V, H, _mm256_cast##s##_si256(_mm256_cmp_##s(a, b, _CMP_GE_OQ)))                      \
    HALVES2(M, V##_eq, V, H, _mm256_cast##s##_si256(_mm256_cmp_##s(a, b, _CMP_EQ_OQ)))                      \
    HALVES2(M, V##_ne, V, H, _mm256_cast##s##_si256(_mm256_cmp_##s(a, b, _CMP_NEQ_UQ)))                     \
    HALVES1(I, V##_bits, V, H, _mm256_cast##s##_si256(a))                                                   \
    HALVES1(V, V##_from_bits, I, __m256i, _mm256_castsi256_##s(a))

#define SELECT(V, M, s)                                                                                     \
    ODY_INLINE V V##_select(M m, V t, V f) {                                                                \
        return (V){_mm256_blendv_##s(f.lo, t.lo, _mm256_castsi256_##s(m.lo)),                               \
                   _mm256_blendv_##s(f.hi, t.hi, _mm256_castsi256_##s(m.hi))};                              \
    }

ODY_INLINE m32x16 m32x16_first(size_t n) {
    __m256i count = _mm256_set1_epi32((int)n);
    return (m32x16){_mm256_cmpgt_epi32(count, _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)),
                    _mm256_cmpgt_epi32(count, _mm256_setr_epi32(8, 9, 10, 11, 12, 13, 14, 15))};
}
ODY_INLINE m64x8 m64x8_first(size_t n) {
    __m256i count = _mm256_set1_epi64x((long long)n);
    return (m64x8){_mm256_cmpgt_epi64(count, _mm256_setr_epi64x(0, 1, 2, 3)),
                   _mm256_cmpgt_epi64(count, _mm256_setr_epi64x(4, 5, 6, 7))};
}

MASK(m32x16, 16, _mm256_castsi256_ps, ps)
MASK(m64x8, 8, _mm256_castsi256_pd, pd)
INTEGER(i32x16, int32_t, uint32_t, m32x16, 32, _mm256_set1_epi32)
INTEGER(i64x8, int64_t, uint64_t, m64x8, 64, _mm256_set1_epi64x)
SELECT(f32x16, m32x16, ps)
SELECT(f64x8, m64x8, pd)
FLOATING(f32x16, float, __m256, 8, i32x16, m32x16, ps, -0.0f)
FLOATING(f64x8, double, __m256d, 4, i64x8, m64x8, pd, -0.0)

ODY_INLINE i32x16 i32x16_sra(i32x16 v, int n) {
    typedef int32_t lanes __attribute__((vector_size(32)));
    return (i32x16){(__m256i)((lanes)v.lo >> n), (__m256i)((lanes)v.hi >> n)};
}

/* Products of the even lanes, then of the odd ones; their halves are dealt back. */
ODY_INLINE __m256i ody_mul_wide(__m256i a, __m256i b, __m256i *high) {
    __m256i even = _mm256_mul_epu32(a, b), odd = _mm256_mul_epu32(_mm256_srli_epi64(a, 32), _mm256_srli_epi64(b, 32));
    *high = _mm256_blend_epi32(_mm256_shuffle_epi32(even, 0xf5), odd, 0xaa);
    return _mm256_blend_epi32(even, _mm256_shuffle_epi32(odd, 0xa0), 0xaa);
}
ODY_INLINE i32x16 i32x16_mul_wide(i32x16 a, i32x16 b, i32x16 *high) {
    __m256i lo = ody_mul_wide(a.lo, b.lo, &high->lo);
    return (i32x16){lo, ody_mul_wide(a.hi, b.hi, &high->hi)};
}

HALVES1(i32x16, f32x16_to_i32, f32x16, __m256, _mm256_cvtps_epi32(a))
HALVES1(i32x16, f32x16_to_i32_trunc, f32x16, __m256, _mm256_cvttps_epi32(a))
HALVES1(f32x16, f32x16_from_i32, i32x16, __m256i, _mm256_cvtepi32_ps(a))

/* Adding 1.5 * 2^52 leaves an integer below 2^51 in the low bits of the sum, already rounded. */
ODY_INLINE i64x8 f64x8_to_i64(f64x8 v) {
    f64x8 magic = f64x8_splat(0x1.8p52);
    return i64x8_sub(f64x8_bits(f64x8_add(v, magic)), f64x8_bits(magic));
}
ODY_INLINE f64x8 f64x8_from_i64(i64x8 v) {
    f64x8 magic = f64x8_splat(0x1.8p52);
    return f64x8_sub(f64x8_from_bits(i64x8_add(v, f64x8_bits(magic))), magic);
}

ODY_INLINE void f32x16_to_f64(f32x16 v, f64x8 *lo, f64x8 *hi) {
    *lo = (f64x8){_mm256_cvtps_pd(_mm256_castps256_ps128(v.lo)), _mm256_cvtps_pd(_mm256_extractf128_ps(v.lo, 1))};
    *hi = (f64x8){_mm256_cvtps_pd(_mm256_castps256_ps128(v.hi)), _mm256_cvtps_pd(_mm256_extractf128_ps(v.hi, 1))};
}
ODY_INLINE f32x16 f32x16_from_f64(f64x8 lo, f64x8 hi) {
    return (f32x16){_mm256_set_m128(_mm256_cvtpd_ps(lo.hi), _mm256_cvtpd_ps(lo.lo)),
                    _mm256_set_m128(_mm256_cvtpd_ps(hi.hi), _mm256_cvtpd_ps(hi.lo))};
}

ODY_INLINE f32x16 f32x16_lookup8(const float *table, i32x16 i) {
    __m256 t = _mm256_loadu_ps(table);
    return (f32x16){_mm256_permutevar8x32_ps(t, i.lo), _mm256_permutevar8x32_ps(t, i.hi)};
}

/* Doubles move as pairs of floats, at 2 i and 2 i + 1 (mod 8) of each half of the table; bit 2 of i chooses the half. */
ODY_INLINE __m256d ody_lookup8(const double *table, __m256i i) {
    __m256i low_word = _mm256_shuffle_epi32(i, 0xa0);
    __m256i pair = _mm256_add_epi32(_mm256_slli_epi32(low_word, 1), _mm256_set1_epi64x(1LL << 32));
    __m256 low = _mm256_permutevar8x32_ps(_mm256_castpd_ps(_mm256_loadu_pd(table)), pair);
    __m256 high = _mm256_permutevar8x32_ps(_mm256_castpd_ps(_mm256_loadu_pd(table + 4)), pair);
    return _mm256_blendv_pd(_mm256_castps_pd(low), _mm256_castps_pd(high), _mm256_castsi256_pd(_mm256_slli_epi64(i, 61)));
}
ODY_INLINE f64x8 f64x8_lookup8(const double *table, i64x8 i) {
    return (f64x8){ody_lookup8(table, i.lo), ody_lookup8(table, i.hi)};
}

#define FOLD(op)                                                                                            \
    ODY_INLINE float f32x16_reduce_##op(f32x16 v) {                                                         \
        __m256 half = _mm256_##op##_ps(v.lo, v.hi);                                                         \
        __m128 quad = _mm_##op##_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));          \
        __m128 pair = _mm_##op##_ps(quad, _mm_movehl_ps(quad, quad));                                       \
        return _mm_cvtss_f32(_mm_##op##_ss(pair, _mm_movehdup_ps(pair)));                                   \
    }                                                                                                       \
    ODY_INLINE double f64x8_reduce_##op(f64x8 v) {                                                          \
        __m256d half = _mm256_##op##_pd(v.lo, v.hi);                                                        \
        __m128d pair = _mm_##op##_pd(_mm256_castpd256_pd128(half), _mm256_extractf128_pd(half, 1));         \
        return _mm_cvtsd_f64(_mm_##op##_sd(pair, _mm_unpackhi_pd(pair, pair)));                             \
    }
FOLD(add)
FOLD(min)
FOLD(max)

/* Eight rows of eight; the 16 x 16 case is four of these with the off-diagonal blocks exchanged. */
ODY_INLINE void ody_transpose_8x8(__m256 *r) {
    __m256 t[8];
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
    for (int i = 0; i < 8; i += 4)
        for (int c = 0; c < 4; c++) {
            __m256d a = _mm256_castps_pd(t[i + c / 2]), b = _mm256_castps_pd(t[i + 2 + c / 2]);
            r[i + c] = _mm256_castpd_ps(c & 1 ? _mm256_unpackhi_pd(a, b) : _mm256_unpacklo_pd(a, b));
        }
    for (int c = 0; c < 4; c++) {
        __m256 a = r[c], b = r[4 + c];
        r[c] = _mm256_permute2f128_ps(a, b, 0x20);
        r[4 + c] = _mm256_permute2f128_ps(a, b, 0x31);
    }
}
ODY_INLINE void f32x16_transpose(f32x16 *r) {
    __m256 a[8], b[8], c[8], d[8]; /* a b over c d */
    for (int i = 0; i < 8; i++) {
        a[i] = r[i].lo;
        b[i] = r[i].hi;
        c[i] = r[8 + i].lo;
        d[i] = r[8 + i].hi;
    }
    ody_transpose_8x8(a);
    ody_transpose_8x8(b);
    ody_transpose_8x8(c);
    ody_transpose_8x8(d);
    for (int i = 0; i < 8; i++) {
        r[i] = (f32x16){a[i], c[i]};
        r[8 + i] = (f32x16){b[i], d[i]};
    }
}

ODY_INLINE void ody_transpose_4x4(__m256d *r) {
    __m256d t[4] = {_mm256_unpacklo_pd(r[0], r[1]), _mm256_unpackhi_pd(r[0], r[1]),
                    _mm256_unpacklo_pd(r[2], r[3]), _mm256_unpackhi_pd(r[2], r[3])};
    for (int c = 0; c < 2; c++) {
        r[c] = _mm256_permute2f128_pd(t[c], t[2 + c], 0x20);
        r[2 + c] = _mm256_permute2f128_pd(t[c], t[2 + c], 0x31);
    }
}
ODY_INLINE void f64x8_transpose(f64x8 *r) {
    __m256d a[4], b[4], c[4], d[4];
    for (int i = 0; i < 4; i++) {
        a[i] = r[i].lo;
        b[i] = r[i].hi;
        c[i] = r[4 + i].lo;
        d[i] = r[4 + i].hi;
    }
    ody_transpose_4x4(a);
    ody_transpose_4x4(b);
    ody_transpose_4x4(c);
    ody_transpose_4x4(d);
    for (int i = 0; i < 4; i++) {
        r[i] = (f64x8){a[i], c[i]};
        r[4 + i] = (f64x8){b[i], d[i]};
    }
}

/* Within 128-bit halves first, then the 64-bit quarters into their order. */
ODY_INLINE __m256 ody_evens_ps(__m256 a, __m256 b) {
    return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(_mm256_shuffle_ps(a, b, 0x88)), 0xd8));
}
ODY_INLINE __m256 ody_odds_ps(__m256 a, __m256 b) {
    return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(_mm256_shuffle_ps(a, b, 0xdd)), 0xd8));
}
ODY_INLINE void f32x16_unzip(f32x16 a, f32x16 b, f32x16 *even, f32x16 *odd) {
    *even = (f32x16){ody_evens_ps(a.lo, a.hi), ody_evens_ps(b.lo, b.hi)};
    *odd = (f32x16){ody_odds_ps(a.lo, a.hi), ody_odds_ps(b.lo, b.hi)};
}
ODY_INLINE f32x16 ody_zip_ps(__m256 even, __m256 odd) {
    __m256 lo = _mm256_unpacklo_ps(even, odd), hi = _mm256_unpackhi_ps(even, odd);
    return (f32x16){_mm256_permute2f128_ps(lo, hi, 0x20), _mm256_permute2f128_ps(lo, hi, 0x31)};
}
ODY_INLINE void f32x16_zip(f32x16 even, f32x16 odd, f32x16 *a, f32x16 *b) {
    *a = ody_zip_ps(even.lo, odd.lo);
    *b = ody_zip_ps(even.hi, odd.hi);
}
ODY_INLINE void f64x8_unzip(f64x8 a, f64x8 b, f64x8 *even, f64x8 *odd) {
    *even = (f64x8){_mm256_permute4x64_pd(_mm256_unpacklo_pd(a.lo, a.hi), 0xd8), _mm256_permute4x64_pd(_mm256_unpacklo_pd(b.lo, b.hi), 0xd8)};
    *odd = (f64x8){_mm256_permute4x64_pd(_mm256_unpackhi_pd(a.lo, a.hi), 0xd8), _mm256_permute4x64_pd(_mm256_unpackhi_pd(b.lo, b.hi), 0xd8)};
}
ODY_INLINE f64x8 ody_zip_pd(__m256d even, __m256d odd) {
    __m256d lo = _mm256_unpacklo_pd(even, odd), hi = _mm256_unpackhi_pd(even, odd);
    return (f64x8){_mm256_permute2f128_pd(lo, hi, 0x20), _mm256_permute2f128_pd(lo, hi, 0x31)};
}
ODY_INLINE void f64x8_zip(f64x8 even, f64x8 odd, f64x8 *a, f64x8 *b) {
    *a = ody_zip_pd(even.lo, odd.lo);
    *b = ody_zip_pd(even.hi, odd.hi);
}

ODY_INLINE __m256 ody_bf16_ps(__m128i v) { return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(v), 16)); }
ODY_INLINE f32x16 f32x16_load_bf16(const uint16_t *p) {
    return (f32x16){ody_bf16_ps(_mm_loadu_si128((const __m128i *)p)), ody_bf16_ps(_mm_loadu_si128((const __m128i *)(p + 8)))};
}
ODY_INLINE f32x16 f32x16_load_f16(const uint16_t *p) {
    return (f32x16){_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)), _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(p + 8)))};
}
ODY_INLINE f32x16 f32x16_load_i8(const int8_t *p) {
    return (f32x16){_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p))),
                    _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(p + 8))))};
}

enum { f32x16_PARTS = 2, f64x8_PARTS = 2 };
typedef __m256 f32x16_part;
typedef __m256d f64x8_part;
#define HALF(V, T, H, M, s, half)                                                                           \
    ODY_INLINE H V##_part_zero(void) { return _mm256_setzero_##s(); }                                       \
    ODY_INLINE H V##_part_splat(T x) { return _mm256_set1_##s(x); }                                         \
    ODY_INLINE H V##_part_load(const T *p) { return _mm256_loadu_##s(p); }                                  \
    ODY_INLINE void V##_part_store(T *p, H v) { _mm256_storeu_##s(p, v); }                                  \
    ODY_INLINE H V##_part_load_n(const T *p, size_t n) { return _mm256_maskload_##s(p, M##_first(n).lo); }  \
    ODY_INLINE H V##_part_fma(H a, H b, H c) { return _mm256_fmadd_##s(a, b, c); }                          \
    ODY_INLINE V V##_join(const H *part) { return (V){part[0], part[1]}; }
HALF(f32x16, float, __m256, m32x16, ps, 8)
HALF(f64x8, double, __m256d, m64x8, pd, 4)
#undef HALF

#undef HALVES1
#undef HALVES2
#undef HALVES3
#undef MASK
#undef INTEGER
#undef MINMAX_32
#undef MINMAX_64
#undef FLOATING
#undef SELECT
#undef FOLD
