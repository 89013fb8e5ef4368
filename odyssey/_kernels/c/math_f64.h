/* A stand-in until the real math_f64.h is merged: what the rows family needs to be built and tested. */
ODY_INLINE f64x8 f64x8_exp(f64x8 x) {
    static const double c[] = {1.6059043836821613e-10, 2.08767569878681e-09, 2.505210838544172e-08, 2.755731922398589e-07, 2.7557319223985893e-06, 2.48015873015873e-05, 0.0001984126984126984, 0.001388888888888889, 0.008333333333333333, 0.041666666666666664, 0.16666666666666666, 0.5, 1.0, 1.0};
    f64x8 y = f64x8_min(f64x8_splat(709.9), f64x8_max(f64x8_splat(-746.0), x));
    f64x8 k = f64x8_round_even(f64x8_mul(y, f64x8_splat(1.44269504088896340736)));
    f64x8 r = f64x8_fnma(k, f64x8_splat(0x1.ef35793c7673p-45), f64x8_fnma(k, f64x8_splat(0x1.62e42fefa38p-1), y));
    f64x8 p = f64x8_splat(c[0]);
    for (int i = 1; i <= 13; i++) p = f64x8_fma(p, r, f64x8_splat(c[i]));
    i64x8 e = f64x8_to_i64(k), half = i64x8_sub(i64x8_shr(i64x8_add(e, i64x8_splat(4096)), 1), i64x8_splat(2048)), rest = i64x8_sub(e, half);
    f64x8 s1 = f64x8_from_bits(i64x8_shl(i64x8_add(half, i64x8_splat(1023)), 52));
    f64x8 s2 = f64x8_from_bits(i64x8_shl(i64x8_add(rest, i64x8_splat(1023)), 52));
    f64x8 e1 = f64x8_mul(f64x8_mul(p, s1), s2);
    return f64x8_select(f64x8_is_nan(x), x, e1);
}
ODY_INLINE f64x8 f64x8_log(f64x8 x) {
    double t[8];
    f64x8_store(t, x);
    for (int i = 0; i < 8; i++) t[i] = log(t[i]);
    return f64x8_load(t);
}
