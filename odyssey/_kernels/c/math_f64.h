/*
 * math_f64.h: the functions of eight doubles.
 *
 * The methods are those of math_f32.h, with sums and products in two parts where double precision is all there is.
 * "Max" is the largest error among 1.2 10^7 inputs against quadruple precision (tests/native/math_f64_check.c): a
 * measurement, not a proof. Polynomials come from tools/minimax.py, which names their errors.
 *
 * Unless a function says otherwise: NaN gives NaN, subnormals are honoured in both directions, f(-0) = -0 where f is odd
 * or f(0) = 0, and infinities give the limit.
 */
#ifndef ODY_MATH_F64_H
#define ODY_MATH_F64_H

#include "vec.h"

/* (e^r - 1 - r) / r^2 for |r| <= ln(2)/2; largest relative error 2^-63.52 */
static const double ody_exp_f64[11] = {
    0x1.000000p-1, 0x1.555555555555dp-3, 0x1.555555555556cp-5, 0x1.111111110e54dp-7, 0x1.6c16c16c0a488p-10,
    0x1.a01a01b5f1abfp-13, 0x1.a01a01e85da6ep-16, 0x1.71ddeab960a8dp-19, 0x1.27e44b7cadc64p-22, 0x1.af7428a23ed00p-26,
    0x1.204e8323a7461p-29,
};

/* r; -log r and -log2 r, each as a multiple of 2^-42 and the rest */
static const double ody_log_table_f64[5][8] = {
    {0x1.5a240e6c2b448p+0, 0x1.3f2b3884fcacep+0, 0x1.2818acb90f6bfp+0, 0x1.142284508a114p+0, 0x1.000000p+0,
     0x1.cfb2b78c13522p-1, 0x1.a08ad8f2fba94p-1, 0x1.7a17a17a17a18p-1},
    {-0x1.34e889e2ce000p-2, -0x1.c3abed76e6000p-3, -0x1.29ffe14980000p-3, -0x1.361d996468000p-4, 0.0,
     0x1.95e057a304000p-4, 0x1.a693b73d98000p-3, 0x1.3676756bcc000p-2},
    {-0x1.79620f21cb397p-45, 0x1.0e417974b2bc2p-44, -0x1.d9f225facaeb1p-44, -0x1.e68ed50159f95p-50, 0.0,
     -0x1.93b40a1959870p-44, -0x1.0672762cd82b1p-44, -0x1.13da51c76d78bp-44},
    {-0x1.bda919d42a000p-2, -0x1.45cfeb3abf000p-2, -0x1.adec256d1c000p-3, -0x1.bf66fb25e8000p-4, 0.0,
     0x1.24c723c3a4000p-3, 0x1.30d32b7445000p-2, 0x1.bfe72d9dd3000p-2},
    {0x1.6ba2dd1e0ca06p-46, 0x1.751f4127b8c64p-44, 0x1.acdbca643c666p-44, -0x1.9e45d8531063fp-47, 0.0,
     -0x1.bebd0010e4808p-44, -0x1.3e4bfddd8cc6dp-44, 0x1.dfcfda9a59b9ap-44},
};

/* (log(1 + f) - f) / f^2 for |f| <= 0.0567; largest relative error 2^-58.9 */
static const double ody_log_f64[10] = {
    -0x1.0000000000003p-1, 0x1.5555555555562p-2, -0x1.ffffffffedfa8p-3, 0x1.999999997f830p-3, -0x1.555555cd3f895p-3,
    0x1.249249b55b316p-3, -0x1.fffd731fd7ad1p-4, 0x1.c719b3d5264d2p-4, -0x1.9ca7904d8b476p-4, 0x1.77610d6768551p-4,
};

/* (log2(1 + f) - f / ln 2) / f^2 for |f| <= 0.0567; largest relative error 2^-58.99 */
static const double ody_log2_f64[10] = {
    -0x1.71547652b8302p-1, 0x1.ec709dc3a0410p-2, -0x1.71547652ac04dp-2, 0x1.2776c50ee66d8p-2, -0x1.ec709e6989d64p-3,
    0x1.a617637abc916p-3, -0x1.7152a9db873acp-3, 0x1.48491856f4423p-3, -0x1.29a5d34967867p-3, 0x1.0ec74d64d01ffp-3,
};

/* (log(1 + f) - f + f^2/2 - f^3/3) / f^4 for |f| <= 0.0567; largest relative error 2^-74.07 */
static const double ody_pow_f64_log[11] = {
    -0x1.000000p-2, 0x1.99999999999cfp-3, -0x1.555555555557bp-3, 0x1.2492492469430p-3, -0x1.ffffffffbef1fp-4,
    0x1.c71c73349a41dp-4, -0x1.99999acc80740p-4, 0x1.745a23a7e04a0p-4, -0x1.5552c1122cc1ap-4, 0x1.3df42f00b4da0p-4,
    -0x1.272cf6b35da0ep-4,
};

/* (sin r - r) / r^3 in r^2 <= 0.63; largest relative error 2^-57.33 */
static const double ody_sin_f64[7] = {
    -0x1.5555555555555p-3, 0x1.111111111110ap-7, -0x1.a01a01a01888fp-13, 0x1.71de3a530888bp-19,
    -0x1.ae645257e23d4p-26, 0x1.6120694c3858ap-33, -0x1.aa9092a136346p-41,
};

/* (cos r - 1 + r^2/2) / r^4 in r^2 <= 0.63; largest relative error 2^-63.76 */
static const double ody_cos_f64[6] = {
    0x1.555555555554ap-5, -0x1.6c16c16c14dc4p-10, 0x1.a01a019c51644p-16, -0x1.27e4f7c245560p-22,
    0x1.1ee9b9fe56048p-29, -0x1.8f943ed35b2d1p-37,
};

/* (atan(t) - t) / t^3 in t^2, t <= tan(pi / 8); largest relative error 2^-63.83 */
static const double ody_atan_f64[12] = {
    -0x1.5555555555554p-2, 0x1.9999999999583p-3, -0x1.249249246f4a2p-3, 0x1.c71c71b44eee5p-4, -0x1.745d144e9635fp-4,
    0x1.3b1364c4cf929p-4, -0x1.110be8c3b1c17p-4, 0x1.e1678435f8e19p-5, -0x1.ab3a8a95c6879p-5, 0x1.6fdf3b34eb5d4p-5,
    -0x1.0fc85e47e3957p-5, 0x1.e81a546964ff9p-7,
};

/* log(1 + z) / z for 0 <= z <= 1; largest relative error 2^-59.03 */
static const double ody_softplus_f64[22] = {
    0x1.000000p+0, -0x1.fffffffffffeep-2, 0x1.5555555554755p-2, -0x1.ffffffff84b67p-3, 0x1.999999882fb91p-3,
    -0x1.555553d7d4d5cp-3, 0x1.249233645327ap-3, -0x1.fffe3e4c11cfep-4, 0x1.c70f06a897122p-4, -0x1.994b7f2003429p-4,
    0x1.72fa95ff2459ap-4, -0x1.5057e56a67730p-4, 0x1.2c9804b23ce51p-4, -0x1.0249ff34acb2cp-4, 0x1.9c30ce1517efbp-5,
    -0x1.2534a95630eddp-5, 0x1.640fff5e58721p-6, -0x1.607bc29d4e438p-7, 0x1.0daafb4139391p-8, -0x1.28880e6777ea4p-10,
    0x1.9e92a285380b1p-13, -0x1.13a006ec8b6ebp-16,
};

/* (t + 4) Phi(-t) e^(t^2/2) in (t - 4) / (t + 4), 0 <= t <= 38.7; largest relative error 2^-57.82 */
static const double ody_mills_f64[25] = {
    -0x1.aa75f21ac5264p-56, 0x1.82b4bb8c94dcep-1, -0x1.373e3a893c28ap-1, 0x1.8c6dbf2cfc2b4p-2, -0x1.7dff2bff683cdp-3,
    0x1.eec4cc3e4d3a1p-5, -0x1.ee276104722e4p-8, -0x1.c81719d56dcedp-9, 0x1.ab825fbe06449p-10, 0x1.17a4ae511ff50p-13,
    -0x1.e4a424b155594p-13, -0x1.001e8ebe34ba8p-19, 0x1.26d08b13f646fp-15, 0x1.80b61ad38f5d6p-21,
    -0x1.8d49b537cf37fp-18, -0x1.51f09873b3e22p-21, 0x1.122aeffeca23bp-20, 0x1.2365aa358cbb3p-22,
    -0x1.4c6a12b79b0a5p-23, -0x1.6cccbc5a251d2p-24, 0x1.c71a416b88dc1p-27, 0x1.4be0007809ebfp-26,
    0x1.003824c343e18p-29, -0x1.4f1dc5b3c09fep-29, -0x1.7e1be5e331da1p-31,
};

/* the derivative of the last; largest relative error 2^-9.13 */
static const double ody_mills_f64_slope[4] = {
    -0x1.3665a1d2535a4p-1, 0x1.8e1ef9cfff4f3p-1, -0x1.298601c99a047p-1, 0x1.cc70468383de2p-3,
};

/* (t + 3) erfc(t) e^(t^2) in (t - 3) / (t + 3), 0 <= t <= 27.4; largest relative error 2^-57.71 */
static const double ody_erfc_f64[25] = {
    -0x1.92f194b2bada2p-54, 0x1.12f21ddd9f5e2p+0, -0x1.c44c471baa376p-1, 0x1.2e326945de2b6p-1, -0x1.3deb21415dcf1p-2,
    0x1.e995f11b172f7p-4, -0x1.b78993d6a7ac7p-6, -0x1.3dd3e711bedf7p-10, 0x1.8dae3a21251fep-9, -0x1.1f78e115126b3p-11,
    -0x1.2238fc2355f2bp-12, 0x1.c3252817f6755p-14, 0x1.fdfee383d08dfp-16, -0x1.25198d040f496p-16,
    -0x1.3eb35e5a97e96p-18, 0x1.72ff6ed1a5134p-19, 0x1.0bf8ca82cda3ap-20, -0x1.b3d735c7dda9ep-22,
    -0x1.f2d1b7f58f186p-23, 0x1.7af78c62e0887p-25, 0x1.a499e950fbab6p-25, -0x1.95f5dd6ad8d12p-33,
    -0x1.e6d6b6f99a1acp-28, -0x1.d3b1ca0c222f4p-31, 0x1.6abd9a8041ab6p-32,
};

/* the derivative of the last; largest relative error 2^-6.877 */
static const double ody_erfc_f64_slope[4] = {
    -0x1.c01b933ef30dfp-1, 0x1.2b6f8329d53dap+0, -0x1.055cd53460373p+0, 0x1.01b8fd0563cbfp-1,
};

/* centers, and coefficients around them: for 0 <= t <= 0.39 of erf(t) - t, then of erf(t); largest relative error 2^-56.33 */
static const double ody_erf_f64[19][8] = {
    {0.0, 0x1.975007d4c10c4p-1, 0x1.906f238c7dfc4p+0, 0x1.327c362c14fe1p+1, 0x1.94a4972f83aa4p+1,
     0x1.f9a90d8f38862p+1, 0x1.3018854804dfap+2, 0x1.61470f02365f7p+2},
    {0.0, 0x1.7a97019df0412p-1, 0x1.f23264de8fce6p-1, 0x1.ffa31e0bf2b11p-1, 0x1.fffefa6a23b1cp-1,
     0x1.ffffff3955761p-1, 0x1.ffffffffd7efep-1, 0x1.fffffffffffcbp-1},
    {0x1.06eba8214db69p-3, 0x1.32cfdaec3c84bp-1, 0x1.90266df1f6d0bp-4, 0x1.deb13c2baf6e3p-9, 0x1.b0793600d6622p-15,
     0x1.9448db40f82bdp-23, 0x1.84cfedbfc7698p-33, 0x1.2936edd1c5dbdp-44},
    {0x1.b044b96d94395p-67, -0x1.e8285f64a8854p-2, -0x1.38f4e2024c44ap-3, -0x1.1e8c0e8896a13p-7,
     -0x1.55caab23d734fp-13, -0x1.8f475902e42f8p-21, -0x1.cddc283f7255ap-31, -0x1.9a273d967f64fp-42},
    {-0x1.812746b0379e7p-2, 0x1.b2d838f8714f3p-5, 0x1.03a89786e232dp-3, 0x1.a1847d7347d3fp-7, 0x1.562556ed6abb1p-12,
     0x1.fcef3d6c45972p-20, 0x1.65a773a44bb88p-29, 0x1.73257e4ca3e2cp-40},
    {0x1.2f2780647feb4p-52, 0x1.1a3264614f503p-3, -0x1.8b09cb28484a5p-5, -0x1.9456eda235425p-7,
     -0x1.e3d7caa3e97e0p-12, -0x1.d55c1071f2560p-19, -0x1.959a998ceded4p-28, -0x1.ef16c0772e492p-39},
    {0x1.ce2f21a04282bp-4, -0x1.e9a5ef774e81cp-5, -0x1.01b18e78c8604p-7, 0x1.0601ed562f406p-7, 0x1.fd2e18f13ec24p-12,
     0x1.4cab149fd07a7p-18, 0x1.669efdbadfc92p-27, 0x1.035e82e8e58ccp-37},
    {0x1.c422ade0d0c6bp-42, -0x1.5655243b42d06p-6, 0x1.15de1b8c4a677p-6, -0x1.952d7d5f30c75p-9,
     -0x1.978710e5797c8p-12, -0x1.777bf7d5b72a9p-18, -0x1.00f520cc26c2bp-26, -0x1.bc3ae6a6ab06bp-37},
    {-0x1.b82ce314bf711p-6, 0x1.36f9edb24addap-6, -0x1.7604fbb2bf129p-8, 0x1.ba89f468cb16ep-13, 0x1.edb54889225fep-13,
     0x1.589acaaf842d1p-18, 0x1.32251ce69d580p-26, 0x1.3f6d73a406f8ap-36},
    {0x1.ed609a01d3487p-34, 0x1.704a26f07921bp-11, -0x1.6fa63529fc56ap-10, 0x1.19119c0a2151fp-11,
     -0x1.af104efb522fap-14, -0x1.03e076f71492fp-18, -0x1.34996fb534d71p-26, -0x1.89360f3cff341p-36},
    {0x1.565bc83bd9848p-8, -0x1.f40494c0dbd2cp-9, 0x1.a2b2d54309ff3p-10, -0x1.56223b3867232p-12,
     0x1.bb4eaf37112b5p-16, 0x1.42450d1920934p-19, 0x1.0a517642d54bcp-26, 0x1.a43904b134aa7p-36},
    {0x1.1b7c285b33ac2p-27, 0x1.f97ff36cbc1ccp-12, -0x1.06806d9cf99cdp-12, 0x1.ff40b1b6d8795p-15,
     0x1.a403c620e12e1p-20, -0x1.447211a095a08p-20, -0x1.8c70b3648eb16p-27, -0x1.8a03583b6fb2ep-36},
    {-0x1.c033beff5330bp-11, 0x1.22b9bbd709d1bp-11, -0x1.8ecdc714f00a0p-13, 0x1.c29ee2349c8f9p-16,
     -0x1.5e84dfabe4b92p-18, 0x1.fe465d4afa5e2p-22, 0x1.fea8b74f72c0cp-28, 0x1.46b539618bd94p-36},
    {0x1.88e7faee1e38ap-23, -0x1.3356ce263846fp-13, 0x1.6f05cf890dda1p-14, -0x1.4ec52343604f3p-16,
     0x1.518e8d9a29513p-19, -0x1.16aede43224bdp-23, -0x1.1c41a63d742edp-28, -0x1.e1df2a173c193p-37},
    {0x1.f754bb59e4624p-14, -0x1.f9768dbd9cd98p-15, 0x1.82912cf582443p-18, 0x1.de3feace7d70fp-19,
     -0x1.053175049eae6p-21, 0x1.9723b66c03f5fp-27, 0x1.0f8bd89f9f9b1p-29, 0x1.3c9ecd580d36dp-37},
    {0x1.41cc7c4f6c5f1p-20, 0x1.b5b02330c0fa5p-16, -0x1.ae1c645892cc1p-17, 0x1.7cc49d4bad91dp-20,
     -0x1.e3a140abd8208p-24, 0x1.67140ad05167ep-27, -0x1.b5e21ce5f4ad1p-31, -0x1.726800c5f51d0p-38},
    {-0x1.18fb4289b0748p-16, 0x1.389c91bae8f77p-18, 0x1.06c246f2a1cd2p-19, -0x1.e0ea83145d908p-21,
     0x1.cd8205fd1611ep-24, -0x1.deb751cb2a2a9p-28, 0x1.1e08400a15095p-32, 0x1.8c2914bad70dbp-39},
    {0x1.dd382d6eae3e5p-20, -0x1.b2aa77af3dc7ep-19, 0x1.22deecbac1af4p-20, 0x1.6139016530e0ap-24,
     -0x1.d02e0d9c38987p-26, 0x1.25545e838c6c6p-29, -0x1.01f21d74a6027p-34, -0x1.926072357150cp-40},
    {0x1.9558d666a355ap-21, -0x1.422168930d5dep-23, -0x1.aa6748b81a783p-22, 0x1.4444d4ab546a0p-24,
     -0x1.7630345568a10p-30, -0x1.ece923cbfa5edp-33, 0x1.057d21714e69ap-38, 0x1.1e8a8b2906435p-41},
};

/* ---- pieces ---------------------------------------------------------------------------------------------------- */

/* c[0] + c[1] x + ... + c[n-1] x^(n-1), n a constant. */
ODY_INLINE f64x8 f64x8_horner(f64x8 x, const double *c, int n) {
    f64x8 p = f64x8_splat(c[n - 1]);
    for (int i = n - 2; i >= 0; i--) p = f64x8_fma(p, x, f64x8_splat(c[i]));
    return p;
}

/*
 * The same with the terms from x^first on as E(x^2) + x O(x^2), two chains half as long: for polynomials so long that waiting for
 * each step would cost more. The first terms, whose rounding matters, stay as they are.
 */
ODY_INLINE f64x8 f64x8_long_horner(f64x8 x, const double *c, int n, int first) {
    f64x8 x2 = f64x8_mul(x, x), p[2] = {f64x8_splat(c[n - 2]), f64x8_splat(c[n - 1])};
    for (int i = n - 3; i >= first; i--) p[(n - i) & 1] = f64x8_fma(p[(n - i) & 1], x2, f64x8_splat(c[i]));
    f64x8 y = f64x8_fma(p[(n - first - 1) & 1], x, p[(n - first) & 1]);
    for (int i = first - 1; i >= 0; i--) y = f64x8_fma(y, x, f64x8_splat(c[i]));
    return y;
}

/* 2^k for -1022 <= k <= 1023. */
ODY_INLINE f64x8 f64x8_exp2i(i64x8 k) {
    return f64x8_from_bits(i64x8_shl(i64x8_add(k, i64x8_splat(1023)), 52));
}

/* Lanes whose sign bit is set; NaN's counts too. */
ODY_INLINE m64x8 f64x8_sign(f64x8 x) { return i64x8_gt(i64x8_splat(0), f64x8_bits(x)); }

/*
 * e^(x + lo) = 2^k (1 + s + s_lo), |lo| << |x| < 2^40: x + lo = k ln 2 + r + r_lo, s + s_lo = r + (r_lo e^r + r^2 P(r)).
 * s alone is good to 2^-55, the sum to 2^-57 or so.
 */
typedef struct {
    f64x8 s, s_lo;
    i64x8 k;
} ody_exp_f64_parts;

ODY_INLINE ody_exp_f64_parts f64x8_exp_parts(f64x8 x, f64x8 lo) {
    const f64x8 magic = f64x8_splat(0x1.8p52); /* adding it rounds to an integer, and leaves that in the low bits */
    f64x8 t = f64x8_fma(x, f64x8_splat(0x1.71547652b82fep+0), magic);
    f64x8 n = f64x8_sub(t, magic);
    f64x8 r_hi = f64x8_fnma(n, f64x8_splat(0x1.62e42fefa39efp-1), x); /* exact */
    f64x8 more = f64x8_fnma(n, f64x8_splat(0x1.abc9e3b39803fp-56), lo);
    f64x8 r = f64x8_add(r_hi, more), r_lo = f64x8_sub(more, f64x8_sub(r, r_hi));
    f64x8 tail = f64x8_fma(f64x8_mul(r, r), f64x8_horner(r, ody_exp_f64, 11), f64x8_fma(r_lo, r, r_lo));
    f64x8 s = f64x8_add(r, tail), s_lo = f64x8_sub(tail, f64x8_sub(s, r));
    return (ody_exp_f64_parts){s, s_lo, i64x8_sub(f64x8_bits(t), f64x8_bits(magic))};
}

/* 2^k = a b for -1500 <= k <= 1023: a = 2^max(k, -512) keeps what it multiplies normal, b brings it down in one rounding. */
typedef struct {
    f64x8 a, b;
} ody_scale_f64;

ODY_INLINE ody_scale_f64 f64x8_scale(i64x8 k) {
    i64x8 high = i64x8_max(k, i64x8_splat(-512));
    return (ody_scale_f64){f64x8_exp2i(high), f64x8_exp2i(i64x8_sub(k, high))};
}

/* y 2^k for -2044 <= k <= 2046, as two products. */
ODY_INLINE f64x8 f64x8_ldexp(f64x8 y, i64x8 k) {
    i64x8 half = i64x8_sub(i64x8_shr(i64x8_add(k, i64x8_splat(4096)), 1), i64x8_splat(2048));
    return f64x8_mul(f64x8_mul(y, f64x8_exp2i(half)), f64x8_exp2i(i64x8_sub(k, half)));
}

/*
 * max(x, 0) - t 2^k (y + y_lo), t = |x| but for a cap below 800: what the self-gated units end with. The rounding error of
 * the first product and sum is exact, and added last. The result has x's sign.
 */
ODY_INLINE f64x8 f64x8_gated(f64x8 x, f64x8 t, i64x8 k, f64x8 y, f64x8 y_lo) {
    ody_scale_f64 scale = f64x8_scale(k);
    f64x8 hi = f64x8_mul(y, scale.a), lo = f64x8_mul(y_lo, scale.a), from = f64x8_max(f64x8_zero(), x);
    t = f64x8_mul(t, scale.b);
    f64x8 r = f64x8_fnma(t, hi, from), r_lo = f64x8_fnma(t, hi, f64x8_sub(from, r));
    r = f64x8_copysign(f64x8_add(r, f64x8_fnma(t, lo, r_lo)), x);
    return f64x8_select(f64x8_lt(x, f64x8_splat(800.0)), r, x);
}

/* ---- exponentials ---------------------------------------------------------------------------------------------- */

/*
 * e^x = 2^k (1 + s), 2^k in two factors. Max 0.79 ulp.
 * x < -745.14 gives 0, x > 709.79 inf; subnormal results are rounded twice, which the bound includes.
 */
ODY_INLINE f64x8 f64x8_exp(f64x8 x) {
    x = f64x8_min(f64x8_splat(710.0), f64x8_max(f64x8_splat(-746.0), x)); /* in this order NaN passes */
    ody_exp_f64_parts e = f64x8_exp_parts(x, f64x8_zero());
    return f64x8_ldexp(f64x8_add(f64x8_splat(1.0), e.s), e.k);
}

/* e^x - 1 = (2^k - 1) + 2^k s as y + y_lo, both sums with their rounding errors carried along. k <= 1023. */
ODY_INLINE f64x8 f64x8_expm1_sum(ody_exp_f64_parts e, i64x8 k, f64x8 *y_lo) {
    const f64x8 one = f64x8_splat(1.0);
    f64x8 a = f64x8_exp2i(k), a_1 = f64x8_sub(a, one), from_one = f64x8_sub(a_1, a);
    f64x8 a_1_lo = f64x8_sub(f64x8_sub(a, f64x8_sub(a_1, from_one)), f64x8_add(one, from_one));
    f64x8 y = f64x8_fma(a, e.s, a_1);
    *y_lo = f64x8_add(f64x8_fma(a, e.s_lo, f64x8_fma(a, e.s, f64x8_sub(a_1, y))), a_1_lo);
    return y;
}

/*
 * e^x - 1 = (2^k - 1) + 2^k s, rounding errors added last. Max 0.88 ulp.
 * x < -37.5 gives -1, x > 709.79 inf.
 */
ODY_INLINE f64x8 f64x8_expm1(f64x8 x) {
    f64x8 t = f64x8_min(f64x8_splat(710.0), f64x8_max(f64x8_splat(-40.0), x));
    ody_exp_f64_parts e = f64x8_exp_parts(t, f64x8_zero());
    i64x8 k = i64x8_min(e.k, i64x8_splat(1023));
    f64x8 y_lo, y = f64x8_expm1_sum(e, k, &y_lo);
    return f64x8_copysign(f64x8_mul(f64x8_add(y, y_lo), f64x8_exp2i(i64x8_sub(e.k, k))), x);
}

/*
 * With E = e^(-2|x|) - 1: -E / (2 + E), both in two parts; the remainder of the division mends the quotient. Max
 * 0.71 ulp. |x| > 19.1 gives 1 with the sign of x.
 */
ODY_INLINE f64x8 f64x8_tanh(f64x8 x) {
    const f64x8 one = f64x8_splat(1.0), two = f64x8_splat(2.0);
    f64x8 t = f64x8_min(f64x8_splat(22.0), f64x8_abs(x));
    ody_exp_f64_parts e = f64x8_exp_parts(f64x8_mul(t, f64x8_splat(-2.0)), f64x8_zero());
    f64x8 lo, y = f64x8_expm1_sum(e, e.k, &lo);
    f64x8 d = f64x8_add(two, y), d_lo = f64x8_add(f64x8_sub(y, f64x8_sub(d, two)), lo);
    f64x8 r = f64x8_div(one, d), q = f64x8_mul(y, r); /* -tanh */
    f64x8 rest = f64x8_add(f64x8_fnma(q, d, y), f64x8_fnma(q, d_lo, lo));
    return f64x8_copysign(f64x8_fma(rest, r, q), x);
}

/*
 * 1 / (1 + e^-x). With z = e^-|x| = a b (1 + s): 1 / (1 + z) in two parts, as q + q err, times z for negative x.
 * Max 0.83 ulp. x < -745.14 gives 0, x > 37 gives 1.
 */
ODY_INLINE f64x8 f64x8_sigmoid(f64x8 x) {
    const f64x8 one = f64x8_splat(1.0);
    m64x8 negative = f64x8_sign(x);
    f64x8 t = f64x8_max(f64x8_splat(-746.0), f64x8_copysign(x, f64x8_splat(-1.0)));
    ody_exp_f64_parts e = f64x8_exp_parts(t, f64x8_zero());
    ody_scale_f64 z = f64x8_scale(e.k);
    f64x8 d_0 = f64x8_add(one, z.a), d = f64x8_fma(z.a, e.s, d_0);
    f64x8 d_lo = f64x8_add(f64x8_fma(z.a, e.s, f64x8_sub(d_0, d)), f64x8_sub(z.a, f64x8_sub(d_0, one)));
    f64x8 q = f64x8_div(one, d);
    d_lo = f64x8_fma(z.a, e.s_lo, d_lo);
    f64x8 err = f64x8_fnma(q, d_lo, f64x8_fnma(q, d, one));
    f64x8 with_z = f64x8_add(e.s, f64x8_fma(err, f64x8_add(one, e.s), e.s_lo)); /* (1 + s) (1 + err) - 1 */
    f64x8 y = f64x8_fma(q, f64x8_select(negative, with_z, err), q);
    return f64x8_select(negative, f64x8_mul(f64x8_mul(y, z.a), z.b), y);
}

/*
 * x / (1 + e^-x), the quotient brought down by 2^(k_a - k) where e^-x is huge. Max 1.50 ulp.
 * silu(-inf) = -0.
 */
ODY_INLINE f64x8 f64x8_silu(f64x8 x) {
    const f64x8 one = f64x8_splat(1.0);
    x = f64x8_max(f64x8_splat(-760.0), x); /* silu(-760) rounds to -0 */
    f64x8 t = f64x8_max(f64x8_splat(-708.0), f64x8_neg(x));
    ody_exp_f64_parts e = f64x8_exp_parts(t, f64x8_zero());
    i64x8 k = i64x8_min(e.k, i64x8_splat(512));
    f64x8 a = f64x8_exp2i(k);
    f64x8 a_1 = f64x8_add(a, one), lost = f64x8_sub(one, f64x8_sub(a_1, a)); /* all of the one for a > 2^53 */
    f64x8 d = f64x8_add(a_1, f64x8_fma(a, e.s, f64x8_fma(a, e.s_lo, lost)));
    return f64x8_mul(f64x8_div(x, d), f64x8_exp2i(i64x8_sub(k, e.k)));
}

/*
 * log(1 + e^x) = max(x, 0) + log1p(z), log1p(z) / z a polynomial in z = e^-|x|, its last step in two parts. Max 1.64 ulp.
 * x < -745.14 gives 0.
 */
ODY_INLINE f64x8 f64x8_softplus(f64x8 x) {
    const f64x8 one = f64x8_splat(1.0);
    f64x8 t = f64x8_max(f64x8_splat(-746.0), f64x8_copysign(x, f64x8_splat(-1.0)));
    ody_exp_f64_parts e = f64x8_exp_parts(t, f64x8_zero());
    ody_scale_f64 z = f64x8_scale(e.k);
    f64x8 w = f64x8_fma(z.a, e.s, z.a), q = f64x8_long_horner(w, ody_softplus_f64 + 1, 21, 10);
    f64x8 g = f64x8_fma(w, q, one), g_lo = f64x8_fma(w, q, f64x8_sub(one, g));
    f64x8 y = f64x8_mul(f64x8_add(g, f64x8_fma(g, e.s, g_lo)), z.a);
    return f64x8_fma(y, z.b, f64x8_max(f64x8_zero(), x));
}

/*
 * x tanh(log(1 + e^x)). With z = e^-|x| and v = z or 2 z,
 *   x < 0:  x z (1 - f),   f = z (z + 1) / (z^2 + 2 z + 2)
 *   x > 0:  x - x f,       f = 2 z^2 / (2 z^2 + 2 z + 1).
 * f_lo is the remainder of the division, with what the sums lost, over the divisor. Max 1.21 ulp. mish(-inf) = -0.
 */
ODY_INLINE f64x8 f64x8_mish(f64x8 x) {
    const f64x8 one = f64x8_splat(1.0), two = f64x8_splat(2.0);
    m64x8 negative = f64x8_sign(x);
    f64x8 t = f64x8_min(f64x8_splat(760.0), f64x8_abs(x));
    ody_exp_f64_parts e = f64x8_exp_parts(f64x8_neg(t), f64x8_zero());
    ody_scale_f64 scale = f64x8_scale(e.k);
    f64x8 z = f64x8_fma(scale.a, e.s, scale.a);
    f64x8 z2 = f64x8_add(z, z), v = f64x8_select(negative, z, z2);
    f64x8 num_0 = f64x8_select(negative, z, f64x8_zero()), num = f64x8_fma(z, v, num_0);
    f64x8 num_lo = f64x8_fma(z, v, f64x8_sub(num_0, num));
    f64x8 c = f64x8_select(negative, two, one), den_0 = f64x8_add(c, z2), den = f64x8_fma(z, v, den_0);
    f64x8 den_lo = f64x8_add(f64x8_fma(z, v, f64x8_sub(den_0, den)), f64x8_sub(z2, f64x8_sub(den_0, c)));
    f64x8 r = f64x8_div(one, den), f = f64x8_mul(num, r);
    f64x8 f_lo = f64x8_mul(f64x8_fnma(f, den_lo, f64x8_add(f64x8_fnma(f, den, num), num_lo)), r);
    /* For x < 0 (1 + s) (1 - f): 1 - f + s - s f, what rounding loses on the way collected. f <= 1/2 there. */
    f64x8 g = f64x8_sub(one, f), g_lo = f64x8_sub(f64x8_sub(f64x8_sub(one, g), f), f_lo);
    f64x8 y = f64x8_fma(g, e.s, g), y_lo = f64x8_add(f64x8_fma(g, e.s, f64x8_sub(g, y)), f64x8_fma(g, e.s_lo, g_lo));
    return f64x8_gated(x, t, i64x8_select(negative, e.k, i64x8_splat(0)), f64x8_select(negative, y, f),
                       f64x8_select(negative, y_lo, f_lo));
}

/* ---- logarithms ------------------------------------------------------------------------------------------------ */

/*
 * x = 2^k m, 17/24 <= m < 17/12, and m r = 1 + f + f_lo, |f| < 0.057, with r from a table of eight: r = 1 for m within
 * 1/24 of 1. `exponent` is k 2^52. Zero, subnormals, negatives, inf and NaN are rare and handled apart.
 */
typedef struct {
    f64x8 k, r, f, f_lo;
    i64x8 exponent, i;
} ody_log_f64_parts;

ODY_INLINE ody_log_f64_parts f64x8_log_parts(f64x8 x) {
    const f64x8 magic = f64x8_splat(0x1.8p52);
    i64x8 above = i64x8_sub(f64x8_bits(x), i64x8_splat(0x3fe6aaaaaaaaaaab)); /* 17/24 */
    i64x8 exponent = i64x8_and(above, i64x8_splat((int64_t)0xfff0000000000000));
    f64x8 m = f64x8_from_bits(i64x8_sub(f64x8_bits(x), exponent));
    /* As the low bits of a number near 1.5 2^52, shifted down, it is k without a conversion. */
    i64x8 k_bits = i64x8_shr(i64x8_add(exponent, i64x8_splat((int64_t)1 << 62)), 52);
    f64x8 k = f64x8_sub(f64x8_from_bits(i64x8_add(k_bits, f64x8_bits(magic))), f64x8_splat(0x1.8p52 + 1024));
    i64x8 i = i64x8_shr(above, 49);
    f64x8 r = f64x8_lookup8(ody_log_table_f64[0], i), p = f64x8_mul(m, r);
    return (ody_log_f64_parts){k, r, f64x8_sub(p, f64x8_splat(1.0)), f64x8_fma(m, r, f64x8_neg(p)), exponent, i};
}

/* Not a positive normal number: as unsigned integers, bits - bits(DBL_MIN) >= bits(inf) - bits(DBL_MIN). */
ODY_INLINE m64x8 f64x8_log_is_special(f64x8 x) {
    i64x8 biased = i64x8_add(f64x8_bits(x), i64x8_splat(0x7ff0000000000000));
    return i64x8_gt(biased, i64x8_splat(-0x0020000000000001));
}

/* log of 0 is -inf, of negatives NaN, of inf inf, of NaN NaN. `y` is what the main path made of the others. */
ODY_INLINE f64x8 f64x8_log_special(f64x8 x, f64x8 y) {
    y = f64x8_select(f64x8_eq(x, f64x8_splat(INFINITY)), x, y);
    y = f64x8_select(f64x8_eq(x, f64x8_zero()), f64x8_splat(-INFINITY), y);
    return f64x8_select(f64x8_ge(x, f64x8_zero()), y, f64x8_splat(NAN));
}

/* log x = (k ln 2 - log r) + f + f^2 P(f), the first sum exact but for a small part, the second with its rounding error. */
ODY_INLINE f64x8 f64x8_log_sum(ody_log_f64_parts l) {
    f64x8 c = f64x8_fma(l.k, f64x8_splat(0x1.62e42fefa3800p-1), f64x8_lookup8(ody_log_table_f64[1], l.i)); /* exact */
    f64x8 c_lo = f64x8_fma(l.k, f64x8_splat(0x1.ef35793c76730p-45), f64x8_lookup8(ody_log_table_f64[2], l.i));
    f64x8 p = f64x8_horner(l.f, ody_log_f64, 10);
    f64x8 y = f64x8_add(c, l.f), lo = f64x8_sub(l.f, f64x8_sub(y, c));
    lo = f64x8_add(lo, f64x8_add(f64x8_fnma(l.f, l.f_lo, l.f_lo), c_lo));
    return f64x8_add(y, f64x8_fma(f64x8_mul(l.f, l.f), p, lo));
}

/* log x. Max 0.56 ulp. log(+-0) = -inf, of negatives NaN; log 1 = 0. */
ODY_INLINE f64x8 f64x8_log(f64x8 x) {
    f64x8 y = f64x8_log_sum(f64x8_log_parts(x));
    m64x8 special = f64x8_log_is_special(x);
    if (__builtin_expect(m64x8_any(special), 0)) {
        m64x8 small = f64x8_lt(x, f64x8_splat(DBL_MIN));
        ody_log_f64_parts l = f64x8_log_parts(f64x8_select(small, f64x8_mul(x, f64x8_splat(0x1p54)), x));
        l.k = f64x8_add(l.k, f64x8_select(small, f64x8_splat(-54.0), f64x8_zero()));
        y = f64x8_log_special(x, f64x8_log_sum(l));
    }
    return y;
}

/* log2 x = (k - log2 r) + f / ln 2 + f^2 P(f), the middle product in two parts. */
ODY_INLINE f64x8 f64x8_log2_sum(ody_log_f64_parts l) {
    const f64x8 l_hi = f64x8_splat(0x1.71547652b82fep+0), l_lo = f64x8_splat(0x1.777d0ffda0d24p-56);
    f64x8 c = f64x8_add(l.k, f64x8_lookup8(ody_log_table_f64[3], l.i)), c_lo = f64x8_lookup8(ody_log_table_f64[4], l.i);
    f64x8 p = f64x8_horner(l.f, ody_log2_f64, 10);
    f64x8 b = f64x8_mul(l.f, l_hi), b_lo = f64x8_fma(l.f, l_lo, f64x8_fma(l.f, l_hi, f64x8_neg(b)));
    f64x8 y = f64x8_add(c, b), lo = f64x8_sub(b, f64x8_sub(y, c));
    lo = f64x8_add(f64x8_add(lo, b_lo), f64x8_fma(f64x8_fnma(l.f, l.f_lo, l.f_lo), l_hi, c_lo));
    return f64x8_add(y, f64x8_fma(f64x8_mul(l.f, l.f), p, lo));
}

/* log2 x. Max 0.59 ulp, exact at powers of two. Special values as log's. */
ODY_INLINE f64x8 f64x8_log2(f64x8 x) {
    f64x8 y = f64x8_log2_sum(f64x8_log_parts(x));
    m64x8 special = f64x8_log_is_special(x);
    if (__builtin_expect(m64x8_any(special), 0)) {
        m64x8 small = f64x8_lt(x, f64x8_splat(DBL_MIN));
        ody_log_f64_parts l = f64x8_log_parts(f64x8_select(small, f64x8_mul(x, f64x8_splat(0x1p54)), x));
        l.k = f64x8_add(l.k, f64x8_select(small, f64x8_splat(-54.0), f64x8_zero()));
        y = f64x8_log_special(x, f64x8_log2_sum(l));
    }
    return y;
}

/*
 * log(1 + x): 1 + x as a sum of two doubles, the second scaled into f_lo. Max 0.66 ulp.
 * log1p(-1) = -inf, below NaN.
 */
ODY_INLINE f64x8 f64x8_log1p(f64x8 x) {
    const f64x8 one = f64x8_splat(1.0), inf = f64x8_splat(INFINITY);
    f64x8 big = f64x8_max(one, x), small = f64x8_min(one, x);
    f64x8 u = f64x8_add(big, small), u_lo = f64x8_sub(small, f64x8_sub(u, big));
    ody_log_f64_parts l = f64x8_log_parts(u);
    i64x8 exponent = i64x8_min(l.exponent, i64x8_splat((int64_t)1022 << 52)); /* u_lo no longer matters up there */
    f64x8 down = f64x8_from_bits(i64x8_sub(f64x8_bits(one), exponent));
    l.f_lo = f64x8_fma(f64x8_mul(u_lo, down), l.r, l.f_lo);
    f64x8 y = f64x8_copysign(f64x8_log_sum(l), x);
    m64x8 usual = m64x8_and(f64x8_gt(x, f64x8_splat(-1.0)), f64x8_lt(x, inf));
    if (__builtin_expect(!m64x8_all(usual), 0)) {
        y = f64x8_select(f64x8_gt(x, f64x8_splat(-1.0)), y, f64x8_neg(inf));
        y = f64x8_select(f64x8_eq(x, inf), x, y);
        y = f64x8_select(f64x8_ge(x, f64x8_splat(-1.0)), y, f64x8_splat(NAN));
    }
    return y;
}

/* ---- erf ------------------------------------------------------------------------------------------------------- */

/*
 * erf x: a polynomial of degree 17 on each of eight intervals of |x|, around 0, 1, ... 7 times 0.79, its last two steps
 * with their rounding errors; around 0 it is |x| plus a polynomial. Centers are doubles at which the function and its slope
 * nearly are doubles as well. Max 0.85 ulp. |x| >= 5.93 gives 1 with the sign of x.
 */
ODY_INLINE f64x8 f64x8_erf(f64x8 x) {
    f64x8 t = f64x8_min(f64x8_splat(5.93), f64x8_abs(x));
    f64x8 rounded = f64x8_fma(t, f64x8_splat(7.49 / 5.93), f64x8_splat(0x1p52));
    i64x8 i = f64x8_bits(rounded);
    f64x8 h = f64x8_sub(t, f64x8_lookup8(ody_erf_f64[0], i));
    f64x8 c0 = f64x8_select(f64x8_eq(rounded, f64x8_splat(0x1p52)), t, f64x8_lookup8(ody_erf_f64[1], i));
    f64x8 p = f64x8_lookup8(ody_erf_f64[18], i);
    for (int j = 17; j >= 3; j--) p = f64x8_fma(p, h, f64x8_lookup8(ody_erf_f64[j], i));
    f64x8 c1 = f64x8_lookup8(ody_erf_f64[2], i), v = f64x8_mul(p, h);
    f64x8 q = f64x8_add(c1, v), q_lo = f64x8_sub(v, f64x8_sub(q, c1));
    f64x8 w = f64x8_mul(h, q), w_lo = f64x8_fma(h, q_lo, f64x8_fma(h, q, f64x8_neg(w)));
    f64x8 y = f64x8_add(c0, w), lo = f64x8_sub(w, f64x8_sub(y, c0));
    return f64x8_copysign(f64x8_add(y, f64x8_add(lo, w_lo)), x);
}

/* ---- the normal distribution ----------------------------------------------------------------------------------- */

/* x y + c as a sum hi + lo. */
typedef struct {
    f64x8 hi, lo;
} ody_pair_f64;

ODY_INLINE ody_pair_f64 f64x8_fma_pair(f64x8 x, f64x8 y, f64x8 c) {
    f64x8 p = f64x8_mul(x, y), p_lo = f64x8_fma(x, y, f64x8_neg(p));
    f64x8 hi = f64x8_add(p, c), from_c = f64x8_sub(hi, p);
    f64x8 lo = f64x8_add(f64x8_sub(p, f64x8_sub(hi, from_c)), f64x8_sub(c, from_c));
    return (ody_pair_f64){hi, f64x8_add(lo, p_lo)};
}

/*
 * f(t) = P(v) / (t + k), v = (t - k) / (t + k), for a function f that such a polynomial P approaches; c holds c0's second
 * half, then c0, c1, ... For small t P is steep and large compared to c0: there the rounding of v shows, which v_lo times the
 * slope, a cubic, mends, and that of the last two steps, which are done in two parts.
 */
ODY_INLINE ody_pair_f64 f64x8_quotient(f64x8 t, double center, const double *c, int n, const double *slope) {
    const f64x8 k = f64x8_splat(center), one = f64x8_splat(1.0);
    f64x8 d = f64x8_add(t, k), from_k = f64x8_sub(d, t);
    f64x8 d_lo = f64x8_add(f64x8_sub(t, f64x8_sub(d, from_k)), f64x8_sub(k, from_k));
    f64x8 r = f64x8_div(one, d), r_lo = f64x8_fnma(r, d_lo, f64x8_fnma(r, d, one)); /* 1 / (t + k) = r (1 + r_lo) */
    f64x8 t_k = f64x8_sub(t, k), v = f64x8_mul(t_k, r), v_lo = f64x8_fma(v, r_lo, f64x8_fma(t_k, r, f64x8_neg(v)));
    ody_pair_f64 q = f64x8_fma_pair(f64x8_long_horner(v, c + 3, n - 2, 5), v, f64x8_splat(c[2]));
    ody_pair_f64 g = f64x8_fma_pair(q.hi, v, f64x8_splat(c[1]));
    g.lo = f64x8_add(f64x8_fma(q.lo, v, g.lo), f64x8_fma(v_lo, f64x8_horner(v, slope, 4), f64x8_splat(c[0])));
    f64x8 p = f64x8_mul(r, g.hi), p_lo = f64x8_fma(r, g.lo, f64x8_fma(r, g.hi, f64x8_neg(p)));
    return (ody_pair_f64){p, f64x8_fma(p, r_lo, p_lo)};
}

/*
 * 1 - erf x = e^(-x^2) erfcx(x), x^2 in two parts; 2 minus that for negative x. Max 1.72 ulp.
 * x > 27.3 gives 0, x < -5.9 gives 2.
 */
ODY_INLINE f64x8 f64x8_erfc(f64x8 x) {
    f64x8 t = f64x8_min(f64x8_splat(27.3), f64x8_abs(x));
    f64x8 v = f64x8_mul(t, t), v_lo = f64x8_fnma(t, t, v);
    ody_exp_f64_parts e = f64x8_exp_parts(f64x8_neg(v), v_lo);
    ody_scale_f64 scale = f64x8_scale(e.k);
    ody_pair_f64 m = f64x8_quotient(t, 3.0, ody_erfc_f64, 24, ody_erfc_f64_slope);
    f64x8 p_lo = f64x8_fma(m.lo, e.s, f64x8_fma(m.hi, e.s_lo, m.lo));
    f64x8 y = f64x8_mul(f64x8_add(m.hi, f64x8_fma(m.hi, e.s, p_lo)), scale.a);
    m64x8 negative = f64x8_sign(x);
    y = f64x8_select(negative, f64x8_neg(y), y);
    return f64x8_fma(y, scale.b, f64x8_select(negative, f64x8_splat(2.0), f64x8_zero()));
}

/* e^(-t^2/2), 0 <= t <= 38.7. */
ODY_INLINE ody_exp_f64_parts f64x8_bell(f64x8 t) {
    f64x8 half = f64x8_mul(t, f64x8_splat(-0.5));
    f64x8 v = f64x8_mul(t, half);
    return f64x8_exp_parts(v, f64x8_fma(t, half, f64x8_neg(v)));
}

/*
 * x Phi(x) = max(x, 0) - |x| Phi(-|x|), Phi(-t) = e^(-t^2/2) times the Mills ratio. Max 1.33 ulp, the tail included.
 * x < -38.6 gives -0, x > 8.5 gives x.
 */
ODY_INLINE f64x8 f64x8_gelu(f64x8 x) {
    f64x8 t = f64x8_min(f64x8_splat(38.7), f64x8_abs(x));
    ody_exp_f64_parts e = f64x8_bell(t);
    ody_pair_f64 m = f64x8_quotient(t, 4.0, ody_mills_f64, 24, ody_mills_f64_slope);
    f64x8 more = f64x8_fma(m.hi, e.s, f64x8_fma(m.lo, e.s, f64x8_fma(m.hi, e.s_lo, m.lo)));
    f64x8 y = f64x8_add(m.hi, more);
    return f64x8_gated(x, t, e.k, y, f64x8_sub(more, f64x8_sub(y, m.hi)));
}

/*
 * d/dx x Phi(x) = Phi(x) + x phi(x): with e = e^(-x^2/2), e (M - t c) for x < 0 and one minus that for x > 0.
 * Max 2.16 ulp of the larger term. gelu_grad(-inf) = -0.
 */
ODY_INLINE f64x8 f64x8_gelu_grad(f64x8 x) {
    f64x8 t = f64x8_min(f64x8_splat(38.7), f64x8_abs(x));
    ody_exp_f64_parts e = f64x8_bell(t);
    ody_scale_f64 scale = f64x8_scale(e.k);
    ody_pair_f64 m = f64x8_quotient(t, 4.0, ody_mills_f64, 24, ody_mills_f64_slope);
    f64x8 g = f64x8_fnma(t, f64x8_splat(0x1.9884533d43651p-2), f64x8_add(m.hi, m.lo)); /* 1 / sqrt(2 pi) */
    f64x8 y = f64x8_mul(f64x8_fma(g, e.s, g), scale.a);
    m64x8 negative = f64x8_sign(x);
    y = f64x8_select(negative, y, f64x8_neg(y));
    y = f64x8_fma(y, scale.b, f64x8_select(negative, f64x8_zero(), f64x8_splat(1.0)));
    return f64x8_select(f64x8_is_nan(x), x, y);
}

/*
 * The tanh form of gelu is x sigmoid(v), v = 2 sqrt(2/pi) (x + 0.044715 x^3). For |v| up to 763 v needs 65 bits or so:
 * it comes as hi + lo, for t = |x| <= 21.7.
 */
ODY_INLINE f64x8 f64x8_gelu_tanh_arg(f64x8 t, f64x8 *v_lo) {
    const f64x8 c1 = f64x8_splat(0x1.9884533d43651p+0), c1_lo = f64x8_splat(-0x1.cbc0d30ebfd15p-54);
    const f64x8 c3 = f64x8_splat(0x1.2444f2a4d8b4bp-4), c3_lo = f64x8_splat(-0x1.6c843a29d1c70p-61);
    f64x8 t2 = f64x8_mul(t, t), t2_lo = f64x8_fma(t, t, f64x8_neg(t2));
    f64x8 p = f64x8_mul(c3, t2), p_lo = f64x8_fma(c3, t2, f64x8_neg(p));
    f64x8 w = f64x8_add(p, c1), from_c1 = f64x8_sub(w, p);
    f64x8 w_lo = f64x8_add(f64x8_sub(p, f64x8_sub(w, from_c1)), f64x8_sub(c1, from_c1));
    w_lo = f64x8_add(w_lo, f64x8_add(p_lo, f64x8_fma(c3_lo, t2, f64x8_fma(c3, t2_lo, c1_lo))));
    f64x8 v = f64x8_mul(t, w);
    *v_lo = f64x8_fma(t, w_lo, f64x8_fma(t, w, f64x8_neg(v)));
    return v;
}

/*
 * max(x, 0) - |x| z / d, z = e^-v(|x|), d = 1 + z and d_lo its rounding error. Max 1.08 ulp.
 * x < -21.7 gives -0.
 */
ODY_INLINE f64x8 f64x8_gelu_tanh(f64x8 x) {
    const f64x8 one = f64x8_splat(1.0);
    f64x8 t = f64x8_min(f64x8_splat(21.7), f64x8_abs(x));
    f64x8 v_lo, v = f64x8_gelu_tanh_arg(t, &v_lo);
    ody_exp_f64_parts e = f64x8_exp_parts(f64x8_neg(v), f64x8_neg(v_lo));
    ody_scale_f64 z = f64x8_scale(e.k);
    f64x8 d_0 = f64x8_add(one, z.a), d = f64x8_fma(z.a, e.s, d_0);
    f64x8 d_lo = f64x8_add(f64x8_fma(z.a, e.s, f64x8_sub(d_0, d)), f64x8_sub(z.a, f64x8_sub(d_0, one)));
    f64x8 q = f64x8_div(one, d), err = f64x8_fnma(q, d_lo, f64x8_fnma(q, d, one));
    f64x8 m = f64x8_add(e.s, f64x8_fma(err, f64x8_add(one, e.s), e.s_lo)); /* (1 + s) (1 + err) - 1 */
    f64x8 y = f64x8_fma(q, m, q);
    return f64x8_gated(x, t, e.k, y, f64x8_fma(q, m, f64x8_sub(q, y)));
}

/* ---- derivatives ----------------------------------------------------------------------------------------------- */

/*
 * With z = e^-t, t = |x|, q = 1 / (1 + z): z q (1 - t q) for x < 0, q (1 + t z q) for x > 0.
 * Max 4.42 ulp of the larger term of sigmoid(x) + x sigmoid(x) sigmoid(-x). silu_grad(-inf) = -0.
 */
ODY_INLINE f64x8 f64x8_silu_grad(f64x8 x) {
    const f64x8 one = f64x8_splat(1.0);
    m64x8 negative = f64x8_sign(x);
    f64x8 t = f64x8_min(f64x8_splat(760.0), f64x8_abs(x));
    ody_exp_f64_parts e = f64x8_exp_parts(f64x8_neg(t), f64x8_zero());
    ody_scale_f64 scale = f64x8_scale(e.k);
    f64x8 z = f64x8_fma(scale.a, e.s, scale.a);
    f64x8 q = f64x8_div(one, f64x8_add(one, z)), tq = f64x8_mul(t, q);
    f64x8 below = f64x8_mul(q, f64x8_sub(one, tq)), above = f64x8_mul(q, f64x8_fma(tq, z, one));
    below = f64x8_mul(f64x8_mul(f64x8_fma(below, e.s, below), scale.a), scale.b);
    return f64x8_select(negative, below, above);
}

/* The logistic function. Max 0.83 ulp. */
ODY_INLINE f64x8 f64x8_softplus_grad(f64x8 x) { return f64x8_sigmoid(x); }

/*
 * sigmoid(v) + x v'(x) sigmoid(v) sigmoid(-v), in the manner of silu_grad.
 * Max 5.42 ulp of the larger term. gelu_tanh_grad(-inf) = -0.
 */
ODY_INLINE f64x8 f64x8_gelu_tanh_grad(f64x8 x) {
    const f64x8 one = f64x8_splat(1.0);
    m64x8 negative = f64x8_sign(x);
    f64x8 t = f64x8_min(f64x8_splat(21.7), f64x8_abs(x));
    f64x8 v_lo, v = f64x8_gelu_tanh_arg(t, &v_lo);
    ody_exp_f64_parts e = f64x8_exp_parts(f64x8_neg(v), f64x8_neg(v_lo));
    ody_scale_f64 scale = f64x8_scale(e.k);
    f64x8 z = f64x8_fma(scale.a, e.s, scale.a);
    f64x8 q = f64x8_div(one, f64x8_add(one, z));
    f64x8 slope = f64x8_fma(f64x8_mul(t, t), f64x8_splat(0x1.b6676bf7450f0p-3), f64x8_splat(0x1.9884533d43651p+0)); /* v' */
    f64x8 tq = f64x8_mul(f64x8_mul(t, slope), q);
    f64x8 below = f64x8_mul(q, f64x8_sub(one, tq)), above = f64x8_mul(q, f64x8_fma(tq, z, one));
    below = f64x8_mul(f64x8_mul(f64x8_fma(below, e.s, below), scale.a), scale.b);
    return f64x8_select(negative, below, above);
}

/*
 * With z = e^-t, t = |x|:
 *   x < 0:  z ((z + 2) D - 4 t (1 + z)) / D^2,    D = z (z + 2) + 2
 *   x > 0:  1 - 2 z^2 (D - 2 t (1 + z)) / D^2,    D = z (2 z + 2) + 1
 * Max 5.50 ulp of the larger term of tanh(u) + x u'(x) / cosh(u)^2, u = softplus(x). mish_grad(-inf) = -0.
 */
ODY_INLINE f64x8 f64x8_mish_grad(f64x8 x) {
    const f64x8 one = f64x8_splat(1.0), two = f64x8_splat(2.0);
    m64x8 negative = f64x8_sign(x);
    f64x8 t = f64x8_min(f64x8_splat(760.0), f64x8_abs(x));
    ody_exp_f64_parts e = f64x8_exp_parts(f64x8_neg(t), f64x8_zero());
    ody_scale_f64 scale = f64x8_scale(e.k);
    f64x8 z = f64x8_fma(scale.a, e.s, scale.a);
    f64x8 w2 = f64x8_add(f64x8_select(negative, z, f64x8_add(z, z)), two);
    f64x8 den = f64x8_fma(z, w2, f64x8_select(negative, two, one));
    f64x8 q = f64x8_div(one, den);
    f64x8 tq = f64x8_mul(f64x8_mul(f64x8_add(t, t), f64x8_add(one, z)), q); /* 2 t (1 + z) / D */
    f64x8 below = f64x8_fma(f64x8_neg(two), tq, w2);                            /* (z + 2) - 2 tq */
    f64x8 above = f64x8_mul(f64x8_mul(f64x8_neg(two), z), f64x8_sub(one, tq));
    f64x8 g = f64x8_mul(f64x8_select(negative, below, above), q);
    f64x8 y = f64x8_mul(f64x8_fma(g, e.s, g), scale.a);
    y = f64x8_fma(y, scale.b, f64x8_select(negative, f64x8_zero(), one));
    return f64x8_select(f64x8_is_nan(x), x, y);
}

/* ---- sine and cosine ------------------------------------------------------------------------------------------- */

/* x as quadrant pi/2 + hi + lo. */
typedef struct {
    f64x8 hi, lo;
    i64x8 quadrant;
} ody_angle_f64;

/* The bits of 2/pi after the point, behind 64 zeros. */
static const uint64_t ody_two_over_pi_f64[] = {
    0,                  0xa2f9836e4e441529, 0xfc2757d1f534ddc0, 0xdb6295993c439041, 0xfe5163abdebbc561, 0xb7246e3a424dd2e0,
    0x06492eea09d1921c, 0xfe1deb1cb129a73e, 0xe88235f52ebb4484, 0xe99c7026b45f7e41, 0x3991d639835339f4, 0x9c845f8bbdf9283b,
    0x1ff897ffde05980f, 0xef2f118b5a0a6d1f, 0x6d367ecf27cb09b7, 0x4f463f669e5fea2d, 0x7527bac7ebe5f17b, 0x3d0739f78a5292ea,
    0x6bfb5fb11f8d5d08, 0x56033046fc7b6bab, 0xf0cfbc209af4361d,
};

/*
 * One lane of |x| >= 2^32. x = M 2^e: of M * 2^e * 2/pi only the value mod 4 is wanted, so 192 bits of 2/pi from
 * position e - 2 on are enough; 53 are lost to the unknown ones that follow, 2 are the quadrant, 137 the fraction, of which
 * no double makes the first 62 vanish.
 */
static __attribute__((noinline, unused)) void ody_angle_huge_f64(double x, double *hi, double *lo, int64_t *quadrant) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    uint64_t exponent = bits >> 52 & 2047;
    if (exponent == 2047) {
        *hi = *lo = x - x;
        *quadrant = 0;
        return;
    }
    unsigned __int128 mantissa = (bits & 0xfffffffffffff) | (uint64_t)1 << 52;
    uint64_t at = exponent - 1075 - 2 + 64; /* e - 2, counted from the 64 zeros */
    const uint64_t *word = ody_two_over_pi_f64 + at / 64;
    uint64_t shift = at % 64, w[3];
    for (int i = 0; i < 3; i++) w[i] = shift ? word[i] << shift | word[i + 1] >> (64 - shift) : word[i];
    unsigned __int128 low = mantissa * w[2], middle = mantissa * w[1] + (low >> 64);
    uint64_t high = (uint64_t)mantissa * w[0] + (uint64_t)(middle >> 64); /* x * 2/pi / 4, mod 1: high, middle, low */
    unsigned __int128 turn = (unsigned __int128)high << 64 | (uint64_t)middle;
    unsigned __int128 fraction = turn << 2 | (uint64_t)low >> 62;
    *quadrant = (int64_t)((high >> 62) + (uint64_t)(fraction >> 127)); /* to the nearest: the fraction becomes signed */
    int negative = (int)(fraction >> 127);
    if (negative) fraction = -fraction;
    int zeros = 0;
    while (!(fraction >> 127)) fraction <<= 1, zeros++;
    double scale, f = (double)(uint64_t)(fraction >> 75) * 0x1p-53; /* exact, both */
    double f_lo = (double)(uint64_t)(fraction >> 22 & 0x1fffffffffffff) * 0x1p-106;
    uint64_t scale_bits = (uint64_t)(1023 - zeros) << 52;
    memcpy(&scale, &scale_bits, sizeof scale);
    f *= scale, f_lo *= scale;
    double p = f * 0x1.921fb54442d18p+0, p_lo = fma(f, 0x1.921fb54442d18p+0, -p);
    p_lo = fma(f_lo, 0x1.921fb54442d18p+0, fma(f, 0x1.1a62633145c07p-54, p_lo));
    double r = p + p_lo, r_lo = p_lo - (r - p);
    if (negative != (int)(bits >> 63)) r = -r, r_lo = -r_lo;
    if (bits >> 63) *quadrant = -*quadrant;
    *hi = r;
    *lo = r_lo;
}

/* pi/2 in three parts: k c1 is subtracted exactly, k c2 with its rounding errors kept, k c3 makes up the rest. */
ODY_INLINE ody_angle_f64 f64x8_angle(f64x8 x) {
    const f64x8 magic = f64x8_splat(0x1.8p52);
    const f64x8 c1 = f64x8_splat(0x1.921fb54442d18p+0), c2 = f64x8_splat(0x1.1a62633145c07p-54);
    const f64x8 c3 = f64x8_splat(-0x1.f1976b7ed8fbcp-110);
    f64x8 t = f64x8_fma(x, f64x8_splat(0x1.45f306dc9c883p-1), magic), k = f64x8_sub(t, magic);
    f64x8 r1 = f64x8_fnma(k, c1, x);
    f64x8 p = f64x8_mul(k, c2), p_lo = f64x8_fma(k, c2, f64x8_neg(p));
    f64x8 r = f64x8_sub(r1, p), from_p = f64x8_sub(r, r1);
    f64x8 r_lo = f64x8_sub(f64x8_sub(r1, f64x8_sub(r, from_p)), f64x8_add(p, from_p));
    r_lo = f64x8_fnma(k, c3, f64x8_sub(r_lo, p_lo));
    ody_angle_f64 angle = {r, r_lo, f64x8_bits(t)};

    m64x8 usual = f64x8_lt(f64x8_abs(x), f64x8_splat(0x1p32));
    if (__builtin_expect(!m64x8_all(usual), 0)) {
        double lane[8], hi[8], lo[8];
        int64_t quadrant[8];
        f64x8_store(lane, x);
        f64x8_store(hi, angle.hi);
        f64x8_store(lo, angle.lo);
        i64x8_store(quadrant, angle.quadrant);
        uint32_t todo = ~m64x8_bits(usual) & 0xff;
        for (int i = 0; i < 8; i++)
            if (todo >> i & 1) ody_angle_huge_f64(lane[i], &hi[i], &lo[i], &quadrant[i]);
        angle = (ody_angle_f64){f64x8_load(hi), f64x8_load(lo), i64x8_load(quadrant)};
    }
    return angle;
}

/* sin of an angle: of hi + lo in even quadrants, cos in odd ones, the sign changed in the second half of the circle. */
ODY_INLINE f64x8 f64x8_sin_of(ody_angle_f64 angle) {
    const f64x8 one = f64x8_splat(1.0), half = f64x8_splat(0.5);
    f64x8 r = angle.hi, lo = angle.lo;
    f64x8 r2 = f64x8_mul(r, r), r2_lo = f64x8_fma(r, f64x8_add(lo, lo), f64x8_fma(r, r, f64x8_neg(r2)));
    f64x8 lo_cos = f64x8_fnma(f64x8_mul(r2, half), lo, lo);
    f64x8 s = f64x8_add(r, f64x8_fma(f64x8_mul(r, r2), f64x8_horner(r2, ody_sin_f64, 7), lo_cos));
    f64x8 c0 = f64x8_fnma(r2, half, one), c_lo = f64x8_fnma(r2, half, f64x8_sub(one, c0));
    c_lo = f64x8_fnma(r2_lo, half, c_lo);
    f64x8 c = f64x8_add(c0, f64x8_fma(f64x8_mul(r2, r2), f64x8_horner(r2, ody_cos_f64, 6), c_lo));
    i64x8 q = angle.quadrant;
    m64x8 odd = i64x8_gt(i64x8_splat(0), i64x8_shl(q, 63));
    i64x8 sign = i64x8_shl(i64x8_shr(q, 1), 63);
    return f64x8_from_bits(i64x8_xor(f64x8_bits(f64x8_select(odd, c, s)), sign));
}

/* sin x, for every finite x. Max 0.74 ulp. sin(+-inf) is NaN. */
ODY_INLINE f64x8 f64x8_sin(f64x8 x) {
    f64x8 y = f64x8_sin_of(f64x8_angle(x));
    return f64x8_select(f64x8_eq(x, f64x8_zero()), x, y);
}

/* cos x, for every finite x. Max 0.75 ulp. cos(+-inf) is NaN. */
ODY_INLINE f64x8 f64x8_cos(f64x8 x) {
    ody_angle_f64 angle = f64x8_angle(x);
    angle.quadrant = i64x8_add(angle.quadrant, i64x8_splat(1));
    return f64x8_sin_of(angle);
}

/* ---- power ----------------------------------------------------------------------------------------------------- */

/*
 * x^y = e^(y log x) for normal x > 0 times 2^more and finite y. log x to some 70 bits: (k ln 2 - log r) + f - f^2/2 + f^3/3
 * + f^4 P(f), each sum and product but the last in two parts.
 */
ODY_INLINE f64x8 f64x8_pow_positive(f64x8 x, f64x8 more, f64x8 y) {
    const f64x8 half = f64x8_splat(0.5);
    ody_log_f64_parts l = f64x8_log_parts(x);
    f64x8 f = l.f, k = f64x8_add(l.k, more);
    f64x8 c = f64x8_fma(k, f64x8_splat(0x1.62e42fefa3800p-1), f64x8_lookup8(ody_log_table_f64[1], l.i)); /* exact */
    f64x8 c_lo = f64x8_fma(k, f64x8_splat(0x1.ef35793c76730p-45), f64x8_lookup8(ody_log_table_f64[2], l.i));
    f64x8 h = f64x8_mul(f, f), h_lo = f64x8_fma(f, f, f64x8_neg(h));
    f64x8 q = f64x8_mul(f, f64x8_horner(f, ody_pow_f64_log, 11));
    f64x8 third = f64x8_splat(0x1.5555555555555p-2), p = f64x8_add(third, q);
    f64x8 p_lo = f64x8_add(f64x8_sub(q, f64x8_sub(p, third)), f64x8_splat(0x1.5555555555555p-56));
    f64x8 g = f64x8_mul(h, f), g_lo = f64x8_fma(h_lo, f, f64x8_fma(h, f, f64x8_neg(g)));
    f64x8 w = f64x8_mul(g, p), w_lo = f64x8_fma(g_lo, p, f64x8_fma(g, p_lo, f64x8_fma(g, p, f64x8_neg(w))));
    f64x8 a = f64x8_add(c, f), a_lo = f64x8_sub(f, f64x8_sub(a, c));
    f64x8 b = f64x8_fnma(h, half, a), b_lo = f64x8_fnma(h, half, f64x8_sub(a, b));
    f64x8 d = f64x8_add(b, w), d_lo = f64x8_sub(w, f64x8_sub(d, b));
    f64x8 u = f64x8_sub(h, f), f_lo = f64x8_fma(l.f_lo, f64x8_fma(u, h, u), l.f_lo); /* f_lo / (1 + f) */
    f64x8 lo = f64x8_add(f64x8_add(a_lo, b_lo), f64x8_add(d_lo, c_lo));
    lo = f64x8_add(lo, f64x8_add(f64x8_fnma(h_lo, half, f_lo), w_lo));
    f64x8 log = f64x8_add(d, lo), log_lo = f64x8_sub(lo, f64x8_sub(log, d));

    f64x8 e = f64x8_mul(y, log), e_lo = f64x8_fma(y, log_lo, f64x8_fma(y, log, f64x8_neg(e)));
    e_lo = f64x8_select(f64x8_lt(f64x8_abs(e), f64x8_splat(1000.0)), e_lo, f64x8_zero());
    e = f64x8_min(f64x8_splat(720.0), f64x8_max(f64x8_splat(-760.0), e)); /* beyond: inf and 0 */
    ody_exp_f64_parts s = f64x8_exp_parts(e, e_lo);
    f64x8 z = f64x8_add(f64x8_splat(1.0), s.s), z_lo = f64x8_add(f64x8_sub(s.s, f64x8_sub(z, f64x8_splat(1.0))), s.s_lo);
    return f64x8_ldexp(f64x8_add(z, z_lo), s.k);
}

/* The rest of C99's pow (Annex F), which is also NumPy's. */
static __attribute__((noinline, unused)) void ody_pow_f64_special(double *out, const double *px, const double *py) {
    const f64x8 zero = f64x8_zero(), one = f64x8_splat(1.0), inf = f64x8_splat(INFINITY);
    f64x8 x = f64x8_load(px), y = f64x8_load(py), a = f64x8_abs(x), half = f64x8_mul(y, f64x8_splat(0.5));
    m64x8 whole = f64x8_eq(f64x8_trunc(y), y);
    m64x8 odd = m64x8_andnot(whole, f64x8_eq(f64x8_trunc(half), half));
    m64x8 negative = f64x8_sign(x);
    m64x8 ordinary = m64x8_and(m64x8_and(f64x8_gt(a, zero), f64x8_lt(a, inf)), f64x8_lt(f64x8_abs(y), inf));
    m64x8 small = f64x8_lt(a, f64x8_splat(DBL_MIN));
    f64x8 up = f64x8_select(small, f64x8_mul(a, f64x8_splat(0x1p54)), a);
    f64x8 r = f64x8_pow_positive(f64x8_select(ordinary, up, one), f64x8_select(small, f64x8_splat(-54.0), zero),
                                 f64x8_select(ordinary, y, one));
    /* 0, inf or an infinite power: inf if |x| > 1 and y > 0, or |x| < 1 and y < 0; else 0; but 1 for |x| = 1. */
    m64x8 outside = f64x8_gt(a, one), rising = f64x8_gt(y, zero);
    m64x8 grows = m64x8_or(m64x8_and(outside, rising), m64x8_not(m64x8_or(outside, rising)));
    r = f64x8_select(ordinary, r, f64x8_select(f64x8_eq(a, one), one, f64x8_select(grows, inf, zero)));
    r = f64x8_select(m64x8_and(negative, odd), f64x8_neg(r), r);
    m64x8 invalid = m64x8_and(m64x8_and(ordinary, negative), m64x8_not(whole));
    invalid = m64x8_or(invalid, m64x8_or(f64x8_is_nan(x), f64x8_is_nan(y)));
    r = f64x8_select(invalid, f64x8_splat(NAN), r);
    f64x8_store(out, f64x8_select(m64x8_or(f64x8_eq(y, zero), f64x8_eq(x, one)), one, r));
}

/*
 * x^y. Max 0.75 ulp, over- and underflow included. C99's special values: 1 for y = 0 or x = 1, NaN for x < 0 and y not whole.
 */
ODY_INLINE f64x8 f64x8_pow(f64x8 x, f64x8 y) {
    m64x8 usual = m64x8_andnot(f64x8_lt(f64x8_abs(y), f64x8_splat(INFINITY)), f64x8_log_is_special(x));
    if (__builtin_expect(m64x8_all(usual), 1)) return f64x8_pow_positive(x, f64x8_zero(), y);
    double px[8], py[8], out[8];
    f64x8_store(px, x);
    f64x8_store(py, y);
    ody_pow_f64_special(out, px, py);
    return f64x8_load(out);
}

#endif
