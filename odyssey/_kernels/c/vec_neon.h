/* vec_neon.h: the vector in four q registers. AArch64 only: Armv7's NEON has neither doubles, division nor IEEE subnormals. */
#include <arm_neon.h>

#define ODY_ISA_NAME "neon"

typedef struct { float32x4_t q[4]; } f32x16;
typedef struct { float64x2_t q[4]; } f64x8;
typedef struct { int32x4_t q[4]; } i32x16;
typedef struct { int64x2_t q[4]; } i64x8;
typedef struct { uint32x4_t q[4]; } m32x16; /* lanes of all ones or all zeros */
typedef struct { uint64x2_t q[4]; } m64x8;

ODY_INLINE void ody_fence(void) {}

/* `expr` speaks of one quarter of the operands, as A, B and C. */
#define QUARTER(i, expr) { enum { k = i }; r.q[k] = (expr); }
#define QUARTERS(R, expr) R r; QUARTER(0, expr) QUARTER(1, expr) QUARTER(2, expr) QUARTER(3, expr) return r;
#define UNARY(R, name, V, expr) ODY_INLINE R name(V a) { QUARTERS(R, expr) }
#define BINARY(R, name, V, expr) ODY_INLINE R name(V a, V b) { QUARTERS(R, expr) }
#define TERNARY(R, name, V, expr) ODY_INLINE R name(V a, V b, V c) { QUARTERS(R, expr) }
#define A a.q[k]
#define B b.q[k]
#define C c.q[k]

/* V: vector, T: lane, n: lanes in a quarter, s: the intrinsics' suffix. */
#define MEMORY(V, T, n, s)                                                                                  \
    ODY_INLINE V V##_load(const T *p) { QUARTERS(V, vld1q_##s(p + n * k)) }                                 \
    ODY_INLINE void V##_store(T *p, V v) {                                                                  \
        vst1q_##s(p, v.q[0]);                                                                               \
        vst1q_##s(p + n, v.q[1]);                                                                           \
        vst1q_##s(p + 2 * n, v.q[2]);                                                                       \
        vst1q_##s(p + 3 * n, v.q[3]);                                                                       \
    }                                                                                                       \
    ODY_INLINE V V##_splat(T x) { QUARTERS(V, vdupq_n_##s(x)) }

#define MASK(M, n, s)                                                                                       \
    BINARY(M, M##_and, M, vandq_##s(A, B))                                                                  \
    BINARY(M, M##_or, M, vorrq_##s(A, B))                                                                   \
    BINARY(M, M##_andnot, M, vbicq_##s(A, B))                                                               \
    UNARY(M, M##_not, M, A ^ vceqq_##s(A, A))                                                               \
    ODY_INLINE uint32_t M##_bits(M m) {                                                                     \
        uint32_t bits = 0;                                                                                  \
        for (int i = 0; i < 4; i++) bits |= (uint32_t)vaddvq_##s(m.q[i] & M##_lane_bit()) << (n * i);       \
        return bits;                                                                                        \
    }                                                                                                       \
    ODY_INLINE int M##_any(M m) {                                                                           \
        return vmaxvq_u32(vreinterpretq_u32_##s((m.q[0] | m.q[1]) | (m.q[2] | m.q[3]))) != 0;               \
    }                                                                                                       \
    ODY_INLINE int M##_all(M m) {                                                                           \
        return vminvq_u32(vreinterpretq_u32_##s((m.q[0] & m.q[1]) & (m.q[2] & m.q[3]))) != 0;               \
    }

#define INTEGER(I, T, M, n, s, u)                                                                           \
    MEMORY(I, T, n, s)                                                                                      \
    BINARY(I, I##_add, I, vaddq_##s(A, B))                                                                  \
    BINARY(I, I##_sub, I, vsubq_##s(A, B))                                                                  \
    BINARY(I, I##_and, I, vandq_##s(A, B))                                                                  \
    BINARY(I, I##_or, I, vorrq_##s(A, B))                                                                   \
    BINARY(I, I##_xor, I, veorq_##s(A, B))                                                                  \
    BINARY(I, I##_andnot, I, vbicq_##s(A, B))                                                               \
    ODY_INLINE I I##_shl(I a, int by) { QUARTERS(I, vshlq_##s(A, vdupq_n_##s(by))) }                        \
    ODY_INLINE I I##_shr(I a, int by) {                                                                     \
        QUARTERS(I, vreinterpretq_##s##_##u(vshlq_##u(vreinterpretq_##u##_##s(A), vdupq_n_##s(-by))))       \
    }                                                                                                       \
    BINARY(M, I##_eq, I, vceqq_##s(A, B))                                                                   \
    BINARY(M, I##_gt, I, vcgtq_##s(A, B))                                                                   \
    BINARY(I, I##_min, I, vbslq_##s(vcgtq_##s(A, B), B, A))                                                 \
    BINARY(I, I##_max, I, vbslq_##s(vcgtq_##s(A, B), A, B))                                                 \
    ODY_INLINE I I##_select(M m, I a, I b) { QUARTERS(I, vbslq_##s(m.q[k], A, B)) }

#define FLOATING(V, T, I, M, n, s, i, u, SIGN)                                                              \
    MEMORY(V, T, n, s)                                                                                      \
    ODY_INLINE void V##_stream(T *p, V v) { V##_store(p, v); }                                              \
    ODY_INLINE V V##_load_n(const T *p, size_t count, T fill) {                                             \
        T t[4 * n];                                                                                         \
        V##_store(t, V##_splat(fill));                                                                      \
        memcpy(t, p, count * sizeof(T));                                                                    \
        return V##_load(t);                                                                                 \
    }                                                                                                       \
    ODY_INLINE void V##_store_n(T *p, V v, size_t count) {                                                  \
        T t[4 * n];                                                                                         \
        V##_store(t, v);                                                                                    \
        memcpy(p, t, count * sizeof(T));                                                                    \
    }                                                                                                       \
    BINARY(V, V##_add, V, vaddq_##s(A, B))                                                                  \
    BINARY(V, V##_sub, V, vsubq_##s(A, B))                                                                  \
    BINARY(V, V##_mul, V, vmulq_##s(A, B))                                                                  \
    BINARY(V, V##_div, V, vdivq_##s(A, B))                                                                  \
    BINARY(V, V##_min, V, vbslq_##s(vcltq_##s(A, B), A, B)) /* FMIN treats NaN and zeros differently */     \
    BINARY(V, V##_max, V, vbslq_##s(vcgtq_##s(A, B), A, B))                                                 \
    BINARY(V, V##_copysign, V, vbslq_##s(vdupq_n_##u(SIGN), B, A))                                          \
    TERNARY(V, V##_fma, V, vfmaq_##s(C, A, B))                                                              \
    TERNARY(V, V##_fms, V, vfmaq_##s(vnegq_##s(C), A, B))                                                   \
    TERNARY(V, V##_fnma, V, vfmsq_##s(C, A, B))                                                             \
    UNARY(V, V##_sqrt, V, vsqrtq_##s(A))                                                                    \
    UNARY(V, V##_abs, V, vabsq_##s(A))                                                                      \
    UNARY(V, V##_neg, V, vnegq_##s(A))                                                                      \
    UNARY(V, V##_round_even, V, vrndnq_##s(A))                                                              \
    UNARY(V, V##_floor, V, vrndmq_##s(A))                                                                   \
    UNARY(V, V##_ceil, V, vrndpq_##s(A))                                                                    \
    UNARY(V, V##_trunc, V, vrndq_##s(A))                                                                    \
    BINARY(M, V##_lt, V, vcltq_##s(A, B))                                                                   \
    BINARY(M, V##_le, V, vcleq_##s(A, B))                                                                   \
    BINARY(M, V##_gt, V, vcgtq_##s(A, B))                                                                   \
    BINARY(M, V##_ge, V, vcgeq_##s(A, B))                                                                   \
    BINARY(M, V##_eq, V, vceqq_##s(A, B))                                                                   \
    ODY_INLINE M V##_ne(V a, V b) { return M##_not(V##_eq(a, b)); }                                         \
    ODY_INLINE V V##_select(M m, V a, V b) { QUARTERS(V, vbslq_##s(m.q[k], A, B)) }                         \
    UNARY(I, V##_bits, V, vreinterpretq_##i##_##s(A))                                                       \
    UNARY(V, V##_from_bits, I, vreinterpretq_##s##_##i(A))

ODY_INLINE uint32x4_t m32x16_lane_bit(void) { return (uint32x4_t){1, 2, 4, 8}; }
ODY_INLINE uint64x2_t m64x8_lane_bit(void) { return (uint64x2_t){1, 2}; }

ODY_INLINE m32x16 m32x16_first(size_t n) {
    const uint32x4_t lane = {0, 1, 2, 3};
    QUARTERS(m32x16, vcltq_u32(vaddq_u32(lane, vdupq_n_u32(4 * k)), vdupq_n_u32((uint32_t)n)))
}
ODY_INLINE m64x8 m64x8_first(size_t n) {
    const uint64x2_t lane = {0, 1};
    QUARTERS(m64x8, vcltq_u64(vaddq_u64(lane, vdupq_n_u64(2 * k)), vdupq_n_u64(n)))
}

#define vreinterpretq_u32_u32(v) (v)
MASK(m32x16, 4, u32)
MASK(m64x8, 2, u64)
#undef vreinterpretq_u32_u32
INTEGER(i32x16, int32_t, m32x16, 4, s32, u32)
INTEGER(i64x8, int64_t, m64x8, 2, s64, u64)
FLOATING(f32x16, float, i32x16, m32x16, 4, f32, s32, u32, 0x80000000u)
FLOATING(f64x8, double, i64x8, m64x8, 2, f64, s64, u64, 0x8000000000000000u)

ODY_INLINE i32x16 i32x16_sra(i32x16 a, int by) { QUARTERS(i32x16, vshlq_s32(A, vdupq_n_s32(-by))) }

ODY_INLINE i32x16 i32x16_mul_wide(i32x16 a, i32x16 b, i32x16 *high) {
    i32x16 low;
    for (int k = 0; k < 4; k++) {
        uint32x4_t x = vreinterpretq_u32_s32(a.q[k]), y = vreinterpretq_u32_s32(b.q[k]);
        int32x4_t p = vreinterpretq_s32_u64(vmull_u32(vget_low_u32(x), vget_low_u32(y)));
        int32x4_t q = vreinterpretq_s32_u64(vmull_high_u32(x, y));
        low.q[k] = vuzp1q_s32(p, q);
        high->q[k] = vuzp2q_s32(p, q);
    }
    return low;
}

UNARY(i32x16, f32x16_to_i32, f32x16, vcvtnq_s32_f32(A))
UNARY(i32x16, f32x16_to_i32_trunc, f32x16, vcvtq_s32_f32(A))
UNARY(f32x16, f32x16_from_i32, i32x16, vcvtq_f32_s32(A))
UNARY(i64x8, f64x8_to_i64, f64x8, vcvtnq_s64_f64(A))
UNARY(f64x8, f64x8_from_i64, i64x8, vcvtq_f64_s64(A))

ODY_INLINE void f32x16_to_f64(f32x16 v, f64x8 *lo, f64x8 *hi) {
    *lo = (f64x8){{vcvt_f64_f32(vget_low_f32(v.q[0])), vcvt_high_f64_f32(v.q[0]),
                   vcvt_f64_f32(vget_low_f32(v.q[1])), vcvt_high_f64_f32(v.q[1])}};
    *hi = (f64x8){{vcvt_f64_f32(vget_low_f32(v.q[2])), vcvt_high_f64_f32(v.q[2]),
                   vcvt_f64_f32(vget_low_f32(v.q[3])), vcvt_high_f64_f32(v.q[3])}};
}
ODY_INLINE f32x16 f32x16_from_f64(f64x8 lo, f64x8 hi) {
    return (f32x16){{vcvt_high_f32_f64(vcvt_f32_f64(lo.q[0]), lo.q[1]), vcvt_high_f32_f64(vcvt_f32_f64(lo.q[2]), lo.q[3]),
                     vcvt_high_f32_f64(vcvt_f32_f64(hi.q[0]), hi.q[1]), vcvt_high_f32_f64(vcvt_f32_f64(hi.q[2]), hi.q[3])}};
}

/* Lane i becomes the numbers of its bytes in the table. */
ODY_INLINE f32x16 f32x16_lookup8(const float *table, i32x16 i) {
    uint8x16x2_t t = {{vld1q_u8((const uint8_t *)table), vld1q_u8((const uint8_t *)table + 16)}};
    f32x16 r;
    for (int k = 0; k < 4; k++) {
        uint32x4_t low3 = vandq_u32(vreinterpretq_u32_s32(i.q[k]), vdupq_n_u32(7));
        uint32x4_t bytes = vmlaq_u32(vdupq_n_u32(0x03020100), low3, vdupq_n_u32(0x04040404));
        r.q[k] = vreinterpretq_f32_u8(vqtbl2q_u8(t, vreinterpretq_u8_u32(bytes)));
    }
    return r;
}
ODY_INLINE f64x8 f64x8_lookup8(const double *table, i64x8 i) {
    const uint8_t *p = (const uint8_t *)table;
    uint8x16x4_t t = {{vld1q_u8(p), vld1q_u8(p + 16), vld1q_u8(p + 32), vld1q_u8(p + 48)}};
    f64x8 r;
    for (int k = 0; k < 4; k++) {
        uint32x4_t low3 = vandq_u32(vreinterpretq_u32_s64(i.q[k]), vdupq_n_u32(7)); /* in the low word of each lane */
        uint32x4_t both = vtrn1q_u32(low3, low3);
        uint32x4_t bytes = vmlaq_u32((uint32x4_t){0x03020100, 0x07060504, 0x03020100, 0x07060504}, both, vdupq_n_u32(0x08080808));
        r.q[k] = vreinterpretq_f64_u8(vqtbl4q_u8(t, vreinterpretq_u8_u32(bytes)));
    }
    return r;
}

#define FOLD(name, f32, f64, OP)                                                                            \
    ODY_INLINE float f32x16_reduce_##name(f32x16 v) {                                                       \
        float32x4_t quad = f32(f32(v.q[0], v.q[2]), f32(v.q[1], v.q[3]));                                   \
        float a = vgetq_lane_f32(quad, 0), b = vgetq_lane_f32(quad, 1);                                     \
        float c = vgetq_lane_f32(quad, 2), d = vgetq_lane_f32(quad, 3);                                     \
        float ac = OP(a, c), bd = OP(b, d);                                                                 \
        return OP(ac, bd);                                                                                  \
    }                                                                                                       \
    ODY_INLINE double f64x8_reduce_##name(f64x8 v) {                                                        \
        float64x2_t pair = f64(f64(v.q[0], v.q[2]), f64(v.q[1], v.q[3]));                                   \
        double a = vgetq_lane_f64(pair, 0), b = vgetq_lane_f64(pair, 1);                                    \
        return OP(a, b);                                                                                    \
    }
#define PLUS(a, b) ((a) + (b))
#define LESSER(a, b) ((a) < (b) ? (a) : (b))
#define GREATER(a, b) ((a) > (b) ? (a) : (b))
#define LESSER_F32(a, b) vbslq_f32(vcltq_f32(a, b), a, b)
#define LESSER_F64(a, b) vbslq_f64(vcltq_f64(a, b), a, b)
#define GREATER_F32(a, b) vbslq_f32(vcgtq_f32(a, b), a, b)
#define GREATER_F64(a, b) vbslq_f64(vcgtq_f64(a, b), a, b)
FOLD(add, vaddq_f32, vaddq_f64, PLUS)
FOLD(min, LESSER_F32, LESSER_F64, LESSER)
FOLD(max, GREATER_F32, GREATER_F64, GREATER)

/* Blocks of one q register's width are transposed in place and exchanged with their mirror image. */
ODY_INLINE void f32x16_transpose(f32x16 *r) {
    f32x16 t[16];
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) {
            float32x4_t a = r[4 * i].q[j], b = r[4 * i + 1].q[j], c = r[4 * i + 2].q[j], d = r[4 * i + 3].q[j];
            float64x2_t ab02 = vreinterpretq_f64_f32(vtrn1q_f32(a, b)), ab13 = vreinterpretq_f64_f32(vtrn2q_f32(a, b));
            float64x2_t cd02 = vreinterpretq_f64_f32(vtrn1q_f32(c, d)), cd13 = vreinterpretq_f64_f32(vtrn2q_f32(c, d));
            t[4 * j].q[i] = vreinterpretq_f32_f64(vtrn1q_f64(ab02, cd02));
            t[4 * j + 1].q[i] = vreinterpretq_f32_f64(vtrn1q_f64(ab13, cd13));
            t[4 * j + 2].q[i] = vreinterpretq_f32_f64(vtrn2q_f64(ab02, cd02));
            t[4 * j + 3].q[i] = vreinterpretq_f32_f64(vtrn2q_f64(ab13, cd13));
        }
    for (int i = 0; i < 16; i++) r[i] = t[i];
}
ODY_INLINE void f64x8_transpose(f64x8 *r) {
    f64x8 t[8];
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) {
            t[2 * j].q[i] = vtrn1q_f64(r[2 * i].q[j], r[2 * i + 1].q[j]);
            t[2 * j + 1].q[i] = vtrn2q_f64(r[2 * i].q[j], r[2 * i + 1].q[j]);
        }
    for (int i = 0; i < 8; i++) r[i] = t[i];
}

#define PAIRS(V, s)                                                                                         \
    ODY_INLINE void V##_unzip(V a, V b, V *even, V *odd) {                                                  \
        *even = (V){{vuzp1q_##s(a.q[0], a.q[1]), vuzp1q_##s(a.q[2], a.q[3]),                                \
                     vuzp1q_##s(b.q[0], b.q[1]), vuzp1q_##s(b.q[2], b.q[3])}};                              \
        *odd = (V){{vuzp2q_##s(a.q[0], a.q[1]), vuzp2q_##s(a.q[2], a.q[3]),                                 \
                    vuzp2q_##s(b.q[0], b.q[1]), vuzp2q_##s(b.q[2], b.q[3])}};                               \
    }                                                                                                       \
    ODY_INLINE void V##_zip(V even, V odd, V *a, V *b) {                                                    \
        *a = (V){{vzip1q_##s(even.q[0], odd.q[0]), vzip2q_##s(even.q[0], odd.q[0]),                         \
                  vzip1q_##s(even.q[1], odd.q[1]), vzip2q_##s(even.q[1], odd.q[1])}};                       \
        *b = (V){{vzip1q_##s(even.q[2], odd.q[2]), vzip2q_##s(even.q[2], odd.q[2]),                         \
                  vzip1q_##s(even.q[3], odd.q[3]), vzip2q_##s(even.q[3], odd.q[3])}};                       \
    }
PAIRS(f32x16, f32)
PAIRS(f64x8, f64)
#undef PAIRS

ODY_INLINE f32x16 f32x16_load_bf16(const uint16_t *p) {
    f32x16 r;
    for (int k = 0; k < 4; k++) r.q[k] = vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p + 4 * k), 16));
    return r;
}
ODY_INLINE f32x16 f32x16_load_f16(const uint16_t *p) {
    f32x16 r;
    for (int k = 0; k < 4; k++) r.q[k] = vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p + 4 * k)));
    return r;
}
ODY_INLINE f32x16 f32x16_load_i8(const int8_t *p) {
    int8x16_t v = vld1q_s8(p);
    int16x8_t lo = vmovl_s8(vget_low_s8(v)), hi = vmovl_s8(vget_high_s8(v));
    return (f32x16){{vcvtq_f32_s32(vmovl_s16(vget_low_s16(lo))), vcvtq_f32_s32(vmovl_s16(vget_high_s16(lo))),
                     vcvtq_f32_s32(vmovl_s16(vget_low_s16(hi))), vcvtq_f32_s32(vmovl_s16(vget_high_s16(hi)))}};
}

enum { f32x16_PARTS = 4, f64x8_PARTS = 4 };
typedef float32x4_t f32x16_part;
typedef float64x2_t f64x8_part;
#define PART(V, T, Q, s, n_lanes)                                                                           \
    ODY_INLINE Q V##_part_zero(void) { return vdupq_n_##s(0); }                                             \
    ODY_INLINE Q V##_part_splat(T x) { return vdupq_n_##s(x); }                                             \
    ODY_INLINE Q V##_part_load(const T *p) { return vld1q_##s(p); }                                         \
    ODY_INLINE void V##_part_store(T *p, Q v) { vst1q_##s(p, v); }                                          \
    ODY_INLINE Q V##_part_load_n(const T *p, size_t n) {                                                    \
        T lane[n_lanes] = {0};                                                                              \
        for (size_t i = 0; i < n && i < n_lanes; i++) lane[i] = p[i];                                       \
        return vld1q_##s(lane);                                                                             \
    }                                                                                                       \
    ODY_INLINE Q V##_part_fma(Q a, Q b, Q c) { return vfmaq_##s(c, a, b); }                                 \
    ODY_INLINE V V##_join(const Q *part) { return (V){{part[0], part[1], part[2], part[3]}}; }
PART(f32x16, float, float32x4_t, f32, 4)
PART(f64x8, double, float64x2_t, f64, 2)
#undef PART

#undef QUARTER
#undef QUARTERS
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
#undef PLUS
#undef LESSER
#undef GREATER
#undef LESSER_F32
#undef LESSER_F64
#undef GREATER_F32
#undef GREATER_F64
