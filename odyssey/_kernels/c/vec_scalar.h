/*
 * vec_scalar.h: the vector as an array. Runs anywhere, defines what the others must return, and is what a reader
 * should consult first. The loops are simple enough for the compiler to vectorise with whatever the baseline has.
 */
#define ODY_ISA_NAME "scalar"

typedef struct { float lane[16]; } f32x16;
typedef struct { double lane[8]; } f64x8;
typedef struct { int32_t lane[16]; } i32x16;
typedef struct { int64_t lane[8]; } i64x8;
typedef struct { int32_t lane[16]; } m32x16; /* 0 or -1 */
typedef struct { int64_t lane[8]; } m64x8;

ODY_INLINE void ody_fence(void) {}

/* Each macro stamps functions for one vector type V of N lanes of T; `expr` speaks of lane i. */
#define EACH(V, N, expr) V r; for (int i = 0; i < N; i++) r.lane[i] = (expr); return r;
#define UNARY(R, name, V, N, expr) ODY_INLINE R name(V a) { EACH(R, N, expr) }
#define BINARY(R, name, V, N, expr) ODY_INLINE R name(V a, V b) { EACH(R, N, expr) }
#define TERNARY(R, name, V, N, expr) ODY_INLINE R name(V a, V b, V c) { EACH(R, N, expr) }
#define A a.lane[i]
#define B b.lane[i]
#define C c.lane[i]

#define MEMORY(V, T, N)                                                                                    \
    ODY_INLINE V V##_load(const T *p) { V r; memcpy(&r, p, sizeof r); return r; }                          \
    ODY_INLINE void V##_store(T *p, V v) { memcpy(p, &v, sizeof v); }                                      \
    ODY_INLINE V V##_splat(T x) { EACH(V, N, x) }

#define MASK(M, N)                                                                                         \
    BINARY(M, M##_and, M, N, A & B)                                                                        \
    BINARY(M, M##_or, M, N, A | B)                                                                         \
    BINARY(M, M##_andnot, M, N, A & ~B)                                                                    \
    UNARY(M, M##_not, M, N, ~A)                                                                            \
    ODY_INLINE M M##_first(size_t n) { EACH(M, N, -((size_t)i < n)) }                                      \
    ODY_INLINE uint32_t M##_bits(M a) {                                                                    \
        uint32_t bits = 0;                                                                                 \
        for (int i = 0; i < N; i++) bits |= (uint32_t)(A & 1) << i;                                        \
        return bits;                                                                                       \
    }                                                                                                      \
    ODY_INLINE int M##_any(M a) { return M##_bits(a) != 0; }                                               \
    ODY_INLINE int M##_all(M a) { return M##_bits(a) == (1u << N) - 1; }

#define INTEGER(I, T, U, M, N)                                                                             \
    MEMORY(I, T, N)                                                                                        \
    BINARY(I, I##_add, I, N, (T)((U)A + (U)B))                                                             \
    BINARY(I, I##_sub, I, N, (T)((U)A - (U)B))                                                             \
    BINARY(I, I##_and, I, N, A & B)                                                                        \
    BINARY(I, I##_or, I, N, A | B)                                                                         \
    BINARY(I, I##_xor, I, N, A ^ B)                                                                        \
    BINARY(I, I##_andnot, I, N, A & ~B)                                                                    \
    ODY_INLINE I I##_shl(I a, int n) { EACH(I, N, (T)((U)A << n)) }                                        \
    ODY_INLINE I I##_shr(I a, int n) { EACH(I, N, (T)((U)A >> n)) }                                        \
    BINARY(M, I##_eq, I, N, -(A == B))                                                                     \
    BINARY(M, I##_gt, I, N, -(A > B))                                                                      \
    BINARY(I, I##_min, I, N, A < B ? A : B)                                                                \
    BINARY(I, I##_max, I, N, A > B ? A : B)                                                                \
    ODY_INLINE I I##_select(M m, I a, I b) { EACH(I, N, (A & m.lane[i]) | (B & ~m.lane[i])) }

#define FLOATING(V, T, I, M, N, f)                                                                         \
    MEMORY(V, T, N)                                                                                        \
    ODY_INLINE void V##_stream(T *p, V v) { V##_store(p, v); }                                             \
    ODY_INLINE V V##_load_n(const T *p, size_t n, T fill) { EACH(V, N, (size_t)i < n ? p[i] : fill) }      \
    ODY_INLINE void V##_store_n(T *p, V v, size_t n) { for (size_t i = 0; i < n; i++) p[i] = v.lane[i]; }  \
    ODY_INLINE I V##_bits(V v) { I r; memcpy(&r, &v, sizeof r); return r; }                                \
    ODY_INLINE V V##_from_bits(I v) { V r; memcpy(&r, &v, sizeof r); return r; }                           \
    BINARY(V, V##_add, V, N, A + B)                                                                        \
    BINARY(V, V##_sub, V, N, A - B)                                                                        \
    BINARY(V, V##_mul, V, N, A * B)                                                                        \
    BINARY(V, V##_div, V, N, A / B)                                                                        \
    BINARY(V, V##_min, V, N, A < B ? A : B)                                                                \
    BINARY(V, V##_max, V, N, A > B ? A : B)                                                                \
    BINARY(V, V##_copysign, V, N, copysign##f(A, B))                                                       \
    TERNARY(V, V##_fma, V, N, fma##f(A, B, C))                                                             \
    TERNARY(V, V##_fms, V, N, fma##f(A, B, -C))                                                            \
    TERNARY(V, V##_fnma, V, N, fma##f(-A, B, C))                                                           \
    UNARY(V, V##_sqrt, V, N, sqrt##f(A))                                                                   \
    UNARY(V, V##_abs, V, N, fabs##f(A))                                                                    \
    UNARY(V, V##_neg, V, N, -A)                                                                            \
    UNARY(V, V##_round_even, V, N, rint##f(A))                                                             \
    UNARY(V, V##_floor, V, N, floor##f(A))                                                                 \
    UNARY(V, V##_ceil, V, N, ceil##f(A))                                                                   \
    UNARY(V, V##_trunc, V, N, trunc##f(A))                                                                 \
    BINARY(M, V##_lt, V, N, -(A < B))                                                                      \
    BINARY(M, V##_le, V, N, -(A <= B))                                                                     \
    BINARY(M, V##_gt, V, N, -(A > B))                                                                      \
    BINARY(M, V##_ge, V, N, -(A >= B))                                                                     \
    BINARY(M, V##_eq, V, N, -(A == B))                                                                     \
    BINARY(M, V##_ne, V, N, -(A != B))                                                                     \
    ODY_INLINE V V##_lookup8(const T table[8], I a) { EACH(V, N, table[A & 7]) }                           \
    ODY_INLINE V V##_select(M m, V a, V b) { return V##_from_bits(I##_select(m, V##_bits(a), V##_bits(b))); } \
    FOLD(V, T, N, add, a.lane[i] + a.lane[i + half])                                                       \
    FOLD(V, T, N, min, a.lane[i] < a.lane[i + half] ? a.lane[i] : a.lane[i + half])                        \
    FOLD(V, T, N, max, a.lane[i] > a.lane[i + half] ? a.lane[i] : a.lane[i + half])                        \
    ODY_INLINE void V##_transpose(V *r) {                                                                  \
        for (int i = 0; i < N; i++)                                                                        \
            for (int j = 0; j < i; j++) {                                                                  \
                T t = r[i].lane[j];                                                                        \
                r[i].lane[j] = r[j].lane[i];                                                               \
                r[j].lane[i] = t;                                                                          \
            }                                                                                              \
    }

#define FOLD(V, T, N, name, expr)                                                                          \
    ODY_INLINE T V##_reduce_##name(V a) {                                                                  \
        for (int half = N / 2; half; half /= 2)                                                            \
            for (int i = 0; i < half; i++) a.lane[i] = (expr);                                             \
        return a.lane[0];                                                                                  \
    }

MASK(m32x16, 16)
MASK(m64x8, 8)
INTEGER(i32x16, int32_t, uint32_t, m32x16, 16)
INTEGER(i64x8, int64_t, uint64_t, m64x8, 8)
FLOATING(f32x16, float, i32x16, m32x16, 16, f)
FLOATING(f64x8, double, i64x8, m64x8, 8, )

ODY_INLINE i32x16 i32x16_sra(i32x16 a, int n) { EACH(i32x16, 16, A >> n) }

ODY_INLINE i32x16 i32x16_mul_wide(i32x16 a, i32x16 b, i32x16 *high) {
    i32x16 low;
    for (int i = 0; i < 16; i++) {
        uint64_t product = (uint64_t)(uint32_t)A * (uint32_t)B;
        low.lane[i] = (int32_t)product;
        high->lane[i] = (int32_t)(product >> 32);
    }
    return low;
}

UNARY(i32x16, f32x16_to_i32, f32x16, 16, (int32_t)lrintf(A))
UNARY(i32x16, f32x16_to_i32_trunc, f32x16, 16, (int32_t)A)
UNARY(f32x16, f32x16_from_i32, i32x16, 16, (float)A)
UNARY(i64x8, f64x8_to_i64, f64x8, 8, (int64_t)llrint(A))
UNARY(f64x8, f64x8_from_i64, i64x8, 8, (double)A)

ODY_INLINE void f32x16_to_f64(f32x16 v, f64x8 *lo, f64x8 *hi) {
    for (int i = 0; i < 8; i++) {
        lo->lane[i] = v.lane[i];
        hi->lane[i] = v.lane[i + 8];
    }
}
ODY_INLINE f32x16 f32x16_from_f64(f64x8 lo, f64x8 hi) {
    f32x16 r;
    for (int i = 0; i < 8; i++) {
        r.lane[i] = (float)lo.lane[i];
        r.lane[i + 8] = (float)hi.lane[i];
    }
    return r;
}

#define PAIRS(V, N)                                                                                        \
    ODY_INLINE void V##_unzip(V a, V b, V *even, V *odd) {                                                 \
        for (int i = 0; i < N; i++) {                                                                      \
            even->lane[i] = 2 * i < N ? a.lane[2 * i] : b.lane[2 * i - N];                                 \
            odd->lane[i] = 2 * i < N ? a.lane[2 * i + 1] : b.lane[2 * i + 1 - N];                          \
        }                                                                                                  \
    }                                                                                                      \
    ODY_INLINE void V##_zip(V even, V odd, V *a, V *b) {                                                   \
        for (int i = 0; i < N / 2; i++) {                                                                  \
            a->lane[2 * i] = even.lane[i];                                                                 \
            a->lane[2 * i + 1] = odd.lane[i];                                                              \
            b->lane[2 * i] = even.lane[N / 2 + i];                                                         \
            b->lane[2 * i + 1] = odd.lane[N / 2 + i];                                                      \
        }                                                                                                  \
    }
PAIRS(f32x16, 16)
PAIRS(f64x8, 8)
#undef PAIRS

ODY_INLINE float ody_f32_from_bits(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}
ODY_INLINE float ody_f32_from_f16(uint16_t half) {
    const uint32_t sign = (uint32_t)(half & 0x8000) << 16, rest = half & 0x7fff;
    if (rest >= 0x7c00) /* infinity; NaN made quiet, its payload kept */
        return ody_f32_from_bits(sign | 0x7f800000 | (rest & 0x3ff) << 13 | (rest > 0x7c00 ? 0x400000 : 0));
    if (rest >= 0x400) return ody_f32_from_bits(sign | ((rest << 13) + (112u << 23)));
    return ody_f32_from_bits(sign | 0x33800000) * (float)rest; /* steps of 2^-24, exact */
}
ODY_INLINE f32x16 f32x16_load_bf16(const uint16_t *p) { EACH(f32x16, 16, ody_f32_from_bits((uint32_t)p[i] << 16)) }
ODY_INLINE f32x16 f32x16_load_f16(const uint16_t *p) { EACH(f32x16, 16, ody_f32_from_f16(p[i])) }
ODY_INLINE f32x16 f32x16_load_i8(const int8_t *p) { EACH(f32x16, 16, (float)p[i]) }

/* One part: the whole. */
enum { f32x16_PARTS = 1, f64x8_PARTS = 1 };
#define WHOLE(V, T)                                                                                        \
    typedef V V##_part;                                                                                    \
    ODY_INLINE V V##_part_zero(void) { return V##_splat(0); }                                              \
    ODY_INLINE V V##_part_splat(T x) { return V##_splat(x); }                                              \
    ODY_INLINE V V##_part_load(const T *p) { return V##_load(p); }                                         \
    ODY_INLINE void V##_part_store(T *p, V v) { V##_store(p, v); }                                         \
    ODY_INLINE V V##_part_load_n(const T *p, size_t n) { return V##_load_n(p, n, 0); }                     \
    ODY_INLINE V V##_part_fma(V a, V b, V c) { return V##_fma(a, b, c); }                                  \
    ODY_INLINE V V##_join(const V *part) { return *part; }
WHOLE(f32x16, float)
WHOLE(f64x8, double)
#undef WHOLE

#undef EACH
#undef UNARY
#undef BINARY
#undef TERNARY
#undef A
#undef B
#undef C
#undef MEMORY
#undef MASK
#undef INTEGER
#undef FLOATING
#undef FOLD
