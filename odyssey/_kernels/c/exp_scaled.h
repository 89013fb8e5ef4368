/* e^x for x <= 0, times a power of two that keeps it normal: what a sum of exponentials less their maximum needs.
 *
 * Knowing the sign spares v_exp's clamp above, and the scale its second multiplication: SCALE is taken out again where
 * the sum is, by log or by the division, in one rounding and into the subnormals. NaN stays NaN; -inf gives a number
 * below SCALE times the smallest subnormal; x > 0 gives nothing of use. 1 ulp. */
#ifndef ODY_EXP_SCALED_H
#define ODY_EXP_SCALED_H

#define EXP_SCALE (sizeof(real) == 4 ? (real)0x1p64 : (real)0x1p512)

ODY_INLINE f32x16 exp_scaled_f32(f32x16 x) {
    /* Adding it rounds to an integer k and leaves k + 64, biased as an exponent, in the low bits. */
    const f32x16 magic = f32x16_splat(0x1.8p23f + 127 + 64);
    x = f32x16_max(f32x16_splat(-104.0f), x);
    f32x16 t = f32x16_fma(x, f32x16_splat(0x1.715476p+0f), magic), n = f32x16_sub(t, magic);
    f32x16 r = f32x16_fnma(n, f32x16_splat(-0x1.05c610p-29f), f32x16_fnma(n, f32x16_splat(0x1.62e430p-1f), x));
    f32x16 p = f32x16_horner(r, ody_exp_f32, 5), s = f32x16_fma(f32x16_mul(r, r), p, r);
    f32x16 scale = f32x16_from_bits(i32x16_shl(f32x16_bits(t), 23));
    return f32x16_fma(s, scale, scale);
}

ODY_INLINE f64x8 exp_scaled_f64(f64x8 x) { return f64x8_mul(f64x8_exp(x), f64x8_splat(0x1p512)); }

/* e^x for x <= 0 as a weight: 1 at 0, and exactly 0 where e^x is below the normal numbers (x < -87, x < -708), so at -inf
 * too. NaN stays NaN; x > 0 gives nothing of use. 1 ulp. */
ODY_INLINE f32x16 exp_weight_f32(f32x16 x) {
    const f32x16 magic = f32x16_splat(0x1.8p23f + 127);
    f32x16 t = f32x16_fma(x, f32x16_splat(0x1.715476p+0f), magic), n = f32x16_sub(t, magic);
    f32x16 r = f32x16_fnma(n, f32x16_splat(-0x1.05c610p-29f), f32x16_fnma(n, f32x16_splat(0x1.62e430p-1f), x));
    f32x16 p = f32x16_horner(r, ody_exp_f32, 5), s = f32x16_fma(f32x16_mul(r, r), p, r);
    f32x16 scale = f32x16_from_bits(i32x16_shl(f32x16_bits(t), 23));
    return f32x16_select(f32x16_lt(x, f32x16_splat(-87.0f)), f32x16_zero(), f32x16_fma(s, scale, scale));
}

ODY_INLINE f64x8 exp_weight_f64(f64x8 x) {
    ody_exp_f64_parts e = f64x8_exp_parts(x, f64x8_zero());
    f64x8 scale = f64x8_exp2i(e.k);
    return f64x8_select(f64x8_lt(x, f64x8_splat(-708.0)), f64x8_zero(), f64x8_fma(e.s, scale, scale));
}
#endif
