/*
 * vec_test.c: one digest over every function of vec.h, for special and random values.
 *
 * Built once per instruction set (run.sh); the printed lines must be the same for all of them. The scalar build is
 * plain C, so agreement with it is also correctness. NaNs are hashed as one value: vec.h does not promise which one.
 * The text runs twice, as vec_test_f32 and vec_test_f64.
 */
#ifndef ODY_VEC_TEST_BODY
#define ODY_VEC_TEST_BODY
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t state = 0x9e3779b97f4a7c15u;
static uint64_t next_random(void) { /* xorshift64* */
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 0x2545f4914f6cdd1du;
}

static void mix(uint64_t *digest, uint64_t word) { *digest = (*digest ^ word) * 0x100000001b3u; }

#include "vec.h"
static void mix_f64x8(uint64_t *digest, f64x8 v) {
    double lane[8];
    f64x8_store(lane, v);
    for (int i = 0; i < 8; i++) {
        uint64_t bits;
        memcpy(&bits, &lane[i], sizeof bits);
        mix(digest, lane[i] != lane[i] ? 0x7ff80000u : bits);
    }
}

#define ODY_REAL 32
#include "real.h"
#include "vec_test.c"
#define ODY_REAL 64
#include "real.h"
#include "vec_test.c"

int main(void) {
    fprintf(stderr, "%s\n", ODY_ISA_NAME);
    return vec_test_f32() | vec_test_f64();
}

#else

static void K(mix_real)(uint64_t *digest, real x) {
    integer bits = 0;
    memcpy(&bits, &x, sizeof x);
    mix(digest, x != x ? 0x7ff80000u : (uint64_t)bits);
}
static void K(mix_vec)(uint64_t *digest, vec v) {
    real lane[LANES];
    v_store(lane, v);
    for (int i = 0; i < LANES; i++) K(mix_real)(digest, lane[i]);
}
static void K(mix_ivec)(uint64_t *digest, ivec v) {
    integer lane[LANES];
    iv_store(lane, v);
    for (int i = 0; i < LANES; i++) mix(digest, (uint64_t)lane[i]);
}

static real K(sample)(void) {
    static const real special[] = {
        R(0.0), -R(0.0), R(0.5), -R(0.5), R(1.0), -R(1.0), R(1.5), R(2.5), -R(2.5), R(3.5), REAL_INF, -REAL_INF, REAL_NAN,
        REAL_MAX, -REAL_MAX, REAL_MIN, -REAL_MIN, REAL_MIN / 2, REAL_MIN * REAL_EPS, -REAL_MIN * REAL_EPS, R(1e-3), R(8388607.5), R(4503599627370495.5),
    };
    uint64_t r = next_random(), pick = next_random() >> 60;
    if (pick < 5) return special[r % (sizeof special / sizeof *special)];
    if (pick < 9) { /* any bit pattern, NaN included */
        real x;
        memcpy(&x, &r, sizeof x);
        return x;
    }
    return (real)((double)(int64_t)r * 0x1p-61 * (double)(1u << (pick - 8))); /* up to +-2^9 */
}

static int K(vec_test)(void) {
    enum { ROUNDS = 20000, FUNCTIONS = 112 };
    uint64_t digest[FUNCTIONS];
    const char *name[FUNCTIONS] = {0};
    int failures = 0;
    for (int i = 0; i < FUNCTIONS; i++) digest[i] = 0xcbf29ce484222325u;

    for (int round = 0; round < ROUNDS; round++) {
        real x[3][LANES];
        for (int k = 0; k < 3; k++)
            for (int i = 0; i < LANES; i++) x[k][i] = K(sample)();
        vec a = v_load(x[0]), b = v_load(x[1]), c = v_load(x[2]);
        ivec ia = v_bits(a), ib = v_bits(b);
        mask p = v_lt(a, b), q = v_gt(a, c);
        size_t n = next_random() % (LANES + 1);
        int f = 0;
#define VEC(expr) (name[f] = #expr, K(mix_vec)(&digest[f++], expr))
#define INT(expr) (name[f] = #expr, K(mix_ivec)(&digest[f++], expr))
#define REAL(expr) (name[f] = #expr, K(mix_real)(&digest[f++], expr))
#define MASK(expr) (name[f] = #expr, mix(&digest[f++], m_bits(expr)))
#define WORD(expr) (name[f] = #expr, mix(&digest[f++], (uint64_t)(expr)))
        VEC(v_add(a, b));
        VEC(v_sub(a, b));
        VEC(v_mul(a, b));
        VEC(v_div(a, b));
        VEC(v_fma(a, b, c));
        VEC(v_fms(a, b, c));
        VEC(v_fnma(a, b, c));
        VEC(v_sqrt(a));
        VEC(v_abs(a));
        VEC(v_neg(a));
        VEC(v_copysign(a, b));
        VEC(v_min(a, b));
        VEC(v_max(a, b));
        VEC(v_round_even(a));
        VEC(v_floor(a));
        VEC(v_ceil(a));
        VEC(v_trunc(a));
        VEC(v_splat(x[0][0]));
        {
            real packed[LANES] = {0}, lane[LANES];
            const uint32_t chosen = m_bits(p);
            const size_t count = v_compress(packed, b, p);
            size_t at = 0;
            v_store(lane, b);
            for (size_t i = 0; i < LANES; i++)
                if (chosen >> i & 1 && memcmp(&lane[i], &packed[at++], sizeof(real))) failures++, printf("compress is wrong\n");
            WORD(count);
            if (at != count) failures++, printf("compress counts wrong\n");
        }
        VEC(v_zero());
        VEC(v_select(p, a, b));
        VEC(v_from_bits(ia));
        MASK(v_lt(a, b));
        MASK(v_le(a, b));
        MASK(v_gt(a, b));
        MASK(v_ge(a, b));
        MASK(v_eq(a, b));
        MASK(v_ne(a, b));
        MASK(v_is_nan(a));
        MASK(m_and(p, q));
        MASK(m_or(p, q));
        MASK(m_not(p));
        MASK(m_andnot(p, q));
        MASK(m_first(n));
        WORD(m_any(m_and(p, m_and(q, v_lt(b, c)))));
        WORD(m_all(m_or(p, m_or(q, v_lt(b, c)))));
        WORD(m_any(m_first(n)));
        WORD(m_all(m_first(n)));
        INT(v_bits(v_select(v_is_nan(a), b, a)));
        INT(iv_splat((integer)x[0][0] == 1 ? 7 : -7));
        INT(iv_iota());
        INT(iv_load((const integer *)x[1]));
        INT(iv_add(ia, ib));
        INT(iv_sub(ia, ib));
        INT(iv_and(ia, ib));
        INT(iv_or(ia, ib));
        INT(iv_xor(ia, ib));
        INT(iv_andnot(ia, ib));
        INT(iv_shl(ia, 7));
        INT(iv_shr(ia, 7));
        INT(iv_shr(ia, sizeof(real) * 8 - 1));
        MASK(iv_eq(ia, ib));
        MASK(iv_gt(ia, ib));
        INT(iv_min(ia, ib));
        INT(iv_max(ia, ib));
        INT(iv_select(p, ia, ib));
        VEC(v_lookup8(x[1], ia));
        vec even, odd, again_a, again_b;
        v_unzip(a, b, &even, &odd);
        v_zip(even, odd, &again_a, &again_b);
        VEC(even);
        VEC(odd);
        VEC(again_a);
        VEC(again_b);
        v_part part[V_PARTS];
        for (size_t i = 0; i < V_PARTS; i++) {
            const size_t lanes = LANES / V_PARTS, from = i * lanes, some = n < from ? 0 : n - from < lanes ? n - from : lanes;
            part[i] = v_part_fma(v_part_load(x[0] + from), v_part_load_n(x[1] + from, some), v_part_zero());
        }
        VEC(v_join(part));
        /* to_int is unspecified outside its range: bring a inside, NaN to 1. */
        vec small = v_select(v_lt(v_abs(a), v_splat(sizeof(real) == 4 ? R(2147483520.0) : R(2251799813685247.0))), a, v_splat(R(1.0)));
        INT(v_to_int(small));
        VEC(v_from_int(v_to_int(small)));
        REAL(v_reduce_add(small));
        REAL(v_reduce_add(a));
        REAL(v_reduce_min(a));
        REAL(v_reduce_max(a));
#if LANES == 16
        INT(f32x16_to_i32_trunc(small));
        INT(i32x16_sra(ia, 7));
        INT(i32x16_sra(ia, 31));
        VEC(f32x16_from_i32(ia));
        i32x16 high;
        INT(i32x16_mul_wide(ia, ib, &high));
        INT(high);
        INT(i32x16_mul_wide(i32x16_splat(-766435501), ia, &high));
        INT(high);
        f64x8 lo, hi;
        f32x16_to_f64(a, &lo, &hi);
        name[f] = "to_f64";
        mix_f64x8(&digest[f], lo);
        mix_f64x8(&digest[f++], hi);
        const uint16_t *halves = (const uint16_t *)x[0];
        f32x16 pair_even, pair_odd;
        f32x16_load_bf16_pairs(halves, &pair_even, &pair_odd);
        VEC(f32x16_load_bf16(halves + 5));
        VEC(pair_even);
        VEC(pair_odd);
        VEC(f32x16_load_f16(halves + 3));
        VEC(f32x16_load_i8((const int8_t *)x[1] + 7));
        VEC(f32x16_from_f64(f64x8_mul(lo, f64x8_splat(1.0 / 3.0)), f64x8_mul(hi, f64x8_splat(1.0 / 3.0))));
#endif
        /* Partial loads and stores, from a block that ends exactly at n. */
        real *exact = malloc(n * sizeof(real) + !n);
        memcpy(exact, x[2], n * sizeof(real));
        VEC(v_load_n(exact, n, x[0][1]));
        v_store_n(exact, a, n);
        if (memcmp(exact, x[0], n * sizeof(real))) failures++, printf("store_n is wrong for n = %zu\n", n);
        free(exact);
        real out[2 * LANES + 64 / sizeof(real)], *aligned = (real *)(((uintptr_t)out + 63) & ~(uintptr_t)63);
        memcpy(aligned, x[1], sizeof x[1]);
        v_store_n(aligned, a, n);
        VEC(v_load(aligned));
        v_stream(aligned, a);
        ody_fence();
        VEC(v_load(aligned));
        if (round % 64 == 0) {
            vec r[LANES];
            real square[LANES][LANES];
            for (int i = 0; i < LANES; i++)
                for (int j = 0; j < LANES; j++) square[i][j] = (real)(round + i * LANES + j);
            for (int i = 0; i < LANES; i++) r[i] = v_load(square[i]);
            v_transpose(r);
            for (int i = 0; i < LANES; i++) {
                real row[LANES];
                v_store(row, r[i]);
                for (int j = 0; j < LANES; j++)
                    if (row[j] != square[j][i]) failures++, printf("transpose is wrong at (%d, %d)\n", i, j);
            }
        }
#undef VEC
#undef INT
#undef REAL
#undef MASK
#undef WORD
    }
    for (int i = 0; i < FUNCTIONS && name[i]; i++) printf("%016" PRIx64 "  %s\n", digest[i], name[i]);
    return failures != 0;
}
#endif
