/*
 * math_f32.h: the functions of sixteen floats.
 *
 * Everything is made of +, -, *, fma, /, integer operations, selects and eight-entry lookups, so the bits are the same on
 * every instruction set. Bounds marked "max" were measured over all 2^32 inputs against double precision
 * (tests/native/math_exhaustive.c). Polynomials come from tools/minimax.py, which names their intervals and errors.
 *
 * Unless a function says otherwise: NaN gives NaN, subnormals are honoured in both directions, f(-0) = -0 where f is odd
 * or f(0) = 0, and infinities give the limit.
 *
 * Three ideas recur.
 *   e^x = 2^k (T + w), T one of eight floats, w small and kept apart: added last it costs no rounding of its own.
 *   2^k as a product of two powers: the first keeps results normal, the second rounds once, into the subnormals.
 *   A self-gated unit is relu(x) - |x| E(|x|): E is small where its error would show.
 */
#ifndef ODY_MATH_F32_H
#define ODY_MATH_F32_H

#include "vec.h"

/* largest relative error 2^-25.19 */
static const float ody_exp_coarse_f32[3] = {
    0x1.000000p+0f, 0x1.0008a6p-1f, 0x1.556a08p-3f,
};

/* largest relative error 2^-31.1 */
static const float ody_exp_fine_f32[4] = {
    0x1.000000p+0f, 0x1.000000p-1f, 0x1.555f8ep-3f, 0x1.55512cp-5f,
};

/* largest relative error 2^-48.0 */
static const float ody_exp2_eighths_f32[2][8] = {
    {0x1.000000p+0f, 0x1.172b84p+0f, 0x1.306fe0p+0f, 0x1.4bfdaep+0f, 0x1.6a09e6p+0f, 0x1.8ace54p+0f, 0x1.ae89fap+0f,
     0x1.d5818ep+0f},
    {0.0f, -0x1.c15742p-27f, 0x1.4636e2p-25f, -0x1.593abcp-25f, 0x1.9fcef4p-26f, 0x1.15506ep-27f, -0x1.a94b14p-26f,
     -0x1.822dbcp-27f},
};

/* (atan(t) - t) / t^3 in t^2, t <= tan(pi / 8); largest relative error 2^-30.46 */
static const float ody_atan_f32[5] = {
    -0x1.55554ap-2f, 0x1.9991e6p-3f, -0x1.23ba06p-3f, 0x1.b22a6cp-4f, -0x1.f303bap-5f,
};

/* largest relative error 2^-28.21 */
static const float ody_exp_f32[5] = {
    0x1.fffffcp-2f, 0x1.55548cp-3f, 0x1.555868p-5f, 0x1.123dcap-7f, 0x1.6ab3e8p-10f,
};

/* largest relative error 2^-32.9 */
static const float ody_expm1_f32[6] = {
    0x1.000000p-1f, 0x1.555554p-3f, 0x1.5554e8p-5f, 0x1.1113ccp-7f, 0x1.6d4e00p-10f, 0x1.9c3042p-13f,
};

/* largest relative error 2^-27.77 */
static const float ody_log_f32[9] = {
    -0x1.fffff8p-2f, 0x1.55554ep-2f, -0x1.000438p-2f, 0x1.99a59ap-3f, -0x1.5424fep-3f, 0x1.224a18p-3f,
    -0x1.0f23c0p-3f, 0x1.095c08p-3f, -0x1.3b60dep-4f,
};

/* largest relative error 2^-27.5; last digits such that log2 has its smallest error over all inputs, 0.9645 ulp */
static const float ody_log2_f32[9] = {
    -0x1.715470p-1f, 0x1.ec7076p-2f, -0x1.715b10p-2f, 0x1.2786fap-2f, -0x1.eaa8a0p-3f, 0x1.a18dfap-3f,
    -0x1.867ba8p-3f, 0x1.86d85cp-3f, -0x1.de8218p-4f,
};

/* largest relative error 2^-27.87 */
static const float ody_sin_f32[3] = {
    -0x1.555544p-3f, 0x1.1106bcp-7f, -0x1.9916a0p-13f,
};

/* largest relative error 2^-33.13 */
static const float ody_cos_f32[4] = {
    -0x1.000000p-1f, 0x1.55554ap-5f, -0x1.6c0c1ap-10f, 0x1.99e0eep-16f,
};

/* largest relative error 2^-30.01 */
static const float ody_softplus_f32[10] = {
    -0x1.83b528p-2f, 0x1.701424p-3f, -0x1.7f8f30p-4f, 0x1.a50b92p-5f, -0x1.de00aep-6f, 0x1.1519cap-6f,
    -0x1.44ea62p-7f, 0x1.970ca2p-8f, -0x1.1c31c2p-8f, 0x1.0d2852p-9f,
};

/* largest relative error 2^-26.64 */
static const float ody_gelu_f32[9][8] = {
    {0x1.796c74p+0f, 0x1.3622bep+1f, 0x1.f3bbe4p+1f, 0x1.73ebacp+2f, 0x1.167a62p+3f, 0x1.92daf8p+3f, 0.0f,
     0x1.754510p-1f},
    {0x1.3a33c8p-2f, 0x1.679510p-2f, 0x1.81c638p-2f, 0x1.8d5ca6p-2f, 0x1.9352ccp-2f, 0x1.95fc94p-2f, 0.0f,
     0x1.c5c3b2p-3f},
    {0x1.284690p-4f, 0x1.dd7a0cp-6f, 0x1.40a1eap-7f, 0x1.c6d634p-9f, 0x1.26711cp-10f, 0x1.94270ep-12f,
     -0x1.f45fd0p-30f, 0x1.65929ap-3f},
    {-0x1.3db736p-5f, -0x1.990368p-7f, -0x1.977398p-9f, -0x1.a901b8p-11f, -0x1.82c94ep-13f, -0x1.78076ap-15f,
     -0x1.98843cp-2f, -0x1.d1da66p-4f},
    {0x1.184a18p-6f, 0x1.26478cp-8f, 0x1.bc2862p-11f, 0x1.599ddap-13f, 0x1.bea456p-16f, 0x1.3531a8p-18f,
     0x1.fff9fcp-3f, 0x1.e8ba42p-5f},
    {-0x1.b1c452p-8f, -0x1.798abcp-10f, -0x1.b645f0p-13f, -0x1.020fa0p-15f, -0x1.dc78eap-19f, -0x1.d97ff2p-22f,
     -0x1.100cc0p-3f, -0x1.baf41ap-6f},
    {0x1.2f9ce6p-9f, 0x1.bcff60p-12f, 0x1.919940p-15f, 0x1.6aecbap-18f, 0x1.e39daap-22f, 0x1.5a4c28p-25f,
     0x1.f8dc26p-5f, 0x1.678826p-7f},
    {-0x1.9a4a92p-11f, -0x1.f8f676p-14f, -0x1.7b86c6p-17f, -0x1.ffd2cep-21f, -0x1.0770d2p-24f, -0x1.02fc3ep-28f,
     -0x1.8634dep-6f, -0x1.0e8c82p-8f},
    {0x1.0b1fbep-12f, 0x1.033294p-15f, 0x1.539698p-19f, 0x1.52f6d6p-23f, 0x1.fee128p-28f, 0x1.680f0ep-32f,
     0x1.78826cp-8f, 0x1.7440e0p-10f},
};

/* largest relative error 2^-25.34 */
static const float ody_normal_f32[12][8] = {
    {0.0f, 0x1.400342p+0f, 0x1.e00328p+0f, 0x1.40046ap+1f, 0x1.9003a2p+1f, 0x1.e00730p+1f, 0x1.18014ep+2f,
     0x1.40071cp+2f},
    {0x1.000000p-1f, 0x1.b0b44cp-4f, 0x1.f1f5b0p-6f, 0x1.96cd4ap-8f, 0x1.d1edfep-11f, 0x1.728654p-14f, 0x1.974fa2p-18f,
     0x1.33190cp-22f},
    {0x1.988454p-2f, 0x1.760ac6p-3f, 0x1.19b920p-4f, 0x1.1f1644p-6f, 0x1.8bff06p-9f, 0x1.716b5cp-12f, 0x1.d2d0a0p-16f,
     0x1.8e3928p-20f},
    {0x1.70bac0p-32f, 0x1.d3923ap-4f, 0x1.081f4ap-4f, 0x1.66e0c8p-6f, 0x1.35620cp-8f, 0x1.5a59d6p-11f, 0x1.fe968ep-15f,
     0x1.f1d27ep-19f},
    {-0x1.105836p-4f, 0x1.1897e8p-6f, 0x1.d881d4p-6f, 0x1.f6777cp-7f, 0x1.214920p-8f, 0x1.922dd0p-11f, 0x1.60dc4ap-14f,
     0x1.8e4bc2p-18f},
    {0x1.fd4608p-24f, -0x1.c00bd2p-7f, 0x1.6b4a98p-9f, 0x1.84dcf6p-8f, 0x1.5ce638p-9f, 0x1.3f573ep-11f, 0x1.576426p-14f,
     0x1.c86ae6p-18f},
    {0x1.46d7e8p-7f, -0x1.887474p-8f, -0x1.aebcacp-9f, 0x1.5dbfc4p-11f, 0x1.068866p-10f, 0x1.665e22p-12f,
     0x1.ef39a8p-15f, 0x1.8cccacp-18f},
    {0x1.25568cp-18f, 0x1.30517ap-11f, -0x1.6e7300p-10f, -0x1.0db3d2p-11f, 0x1.5f1246p-13f, 0x1.15d7e8p-13f,
     0x1.0cce06p-15f, 0x1.0d65c4p-18f},
    {-0x1.33b2cap-10f, 0x1.a3fdbap-11f, 0x1.666fb0p-16f, -0x1.0fdf6cp-12f, -0x1.889d24p-15f, 0x1.f80f62p-16f,
     0x1.be2452p-17f, 0x1.25399ep-19f},
    {0x1.cab960p-16f, 0x1.8a4afap-14f, 0x1.2f24d4p-13f, -0x1.1948aap-15f, -0x1.063a58p-15f, 0x1.718c6ap-22f,
     0x1.ac748ep-19f, 0x1.e00224p-21f},
    {0x1.3b935ap-13f, -0x1.b2799ep-14f, 0x1.673778p-15f, 0x1.a37956p-16f, -0x1.b4f02ep-17f, -0x1.b27dc8p-19f,
     0x1.335636p-20f, 0x1.643bb4p-22f},
    {0x1.bc285ep-16f, 0x1.b49652p-18f, -0x1.2eb76ep-16f, 0x1.c63152p-19f, 0x1.145886p-18f, -0x1.2330d0p-20f,
     -0x1.0be260p-21f, 0x1.063fa6p-24f},
};

/* largest relative error 2^-28.06 */
static const float ody_mills_f32[10][8] = {
    {0x1.6c8b8cp+0f, 0x1.36bf42p+1f, 0x1.eda856p+1f, 0x1.763854p+2f, 0x1.18f15ep+3f, 0x1.901830p+3f, 0x1.f77eaep-3f,
     0x1.70e654p-1f},
    {0x1.b3ea90p-3f, 0x1.285940p-3f, 0x1.8f9b7ap-4f, 0x1.0feaf0p-4f, 0x1.6f9854p-5f, 0x1.03bf82p-5f, 0x1.a93a6ep-2f,
     0x1.38c338p-2f},
    {-0x1.889306p-4f, -0x1.8656c6p-5f, -0x1.739bc0p-6f, -0x1.60e880p-7f, -0x1.46c87cp-8f, -0x1.4846bap-9f,
     -0x1.2ff9ccp-2f, -0x1.6e56a0p-3f},
    {0x1.38ce16p-5f, 0x1.db8734p-7f, 0x1.4a7e90p-8f, 0x1.bf48e2p-10f, 0x1.1f1de0p-11f, 0x1.9c5f4ep-13f,
     0x1.5e7f26p-3f, 0x1.699360p-4f},
    {-0x1.c4f37cp-7f, -0x1.0f462ap-8f, -0x1.1a6d84p-10f, -0x1.153604p-12f, -0x1.f2db92p-15f, -0x1.017738p-16f,
     -0x1.5bdafap-4f, -0x1.3ac5cap-5f},
    {0x1.2f1a6cp-8f, 0x1.247b9ap-10f, 0x1.d18a0ap-13f, 0x1.507bd8p-15f, 0x1.acac46p-18f, 0x1.3f9d34p-20f,
     0x1.33bcbap-5f, 0x1.f05af0p-7f},
    {-0x1.7b4b2ap-10f, -0x1.2bf212p-12f, -0x1.726c06p-15f, -0x1.902ea6p-18f, -0x1.6b5a76p-21f, -0x1.8a439ep-24f,
     -0x1.f00148p-7f, -0x1.6890eap-8f},
    {0x1.c0c792p-12f, 0x1.2632d4p-14f, 0x1.1e635cp-17f, 0x1.d271fep-21f, 0x1.302f32p-24f, 0x1.e4a652p-28f,
     0x1.719d10p-8f, 0x1.e8a7d0p-10f},
    {-0x1.02f6ecp-13f, -0x1.1ccbeep-16f, -0x1.d01deap-20f, -0x1.169bb8p-23f, -0x1.16ce22p-27f, -0x1.342ebap-31f,
     -0x1.04fb18p-9f, -0x1.3b0988p-11f},
    {0x1.035d2ep-15f, 0x1.064926p-18f, 0x1.559eecp-22f, 0x1.4b05dep-26f, 0x1.eaede2p-31f, 0x1.637a22p-35f,
     0x1.58abb6p-11f, 0x1.76a21cp-13f},
};

/* largest relative error 2^-26.05 */
static const float ody_tanh_f32[9][8] = {
    {0x1.c60c2ap-1f, 0x1.8460b2p+0f, 0x1.36b1ccp+1f, 0x1.d2e3cap+1f, 0x1.5adcd2p+2f, 0x1.f703c8p+2f, 0.0f,
     0x1.d0ff2cp-2f},
    {0x1.6b6ceap-1f, 0x1.d0fe6ap-1f, 0x1.f8150ep-1f, 0x1.ff4e2cp-1f, 0x1.fffadcp-1f, 0x1.fffff6p-1f, 0.0f,
     0x1.b377e6p-2f},
    {0x1.fc11f2p-2f, 0x1.66c986p-3f, 0x1.f6d1c2p-6f, 0x1.636a0ap-9f, 0x1.48eed4p-14f, 0x1.3fe62ap-21f,
     0x1.565dd4p-31f, 0x1.a367eap-1f},
    {-0x1.68a32ep-2f, -0x1.45d8d4p-3f, -0x1.ef0826p-6f, -0x1.62f0bcp-9f, -0x1.49a69cp-14f, -0x1.40a756p-21f,
     -0x1.a4b7b8p-23f, -0x1.64b6fep-2f},
    {0x1.5a82b2p-4f, 0x1.60abdap-4f, 0x1.3fbd78p-6f, 0x1.d802f2p-10f, 0x1.b7ac64p-15f, 0x1.ac8d3cp-22f,
     -0x1.5552b2p-2f, -0x1.ffa03ep-4f},
    {0x1.d689c0p-5f, -0x1.9c69fcp-6f, -0x1.2bfd12p-7f, -0x1.d4e202p-11f, -0x1.ab8624p-16f, -0x1.a016d6p-23f,
     -0x1.92d398p-13f, 0x1.5a94c8p-3f},
    {-0x1.d9f8d0p-5f, -0x1.001b58p-9f, 0x1.a34c20p-9f, 0x1.71d882p-12f, 0x1.5554ecp-17f, 0x1.46523ep-24f,
     0x1.14921ap-3f, -0x1.8d876ep-7f},
    {0x1.96ed2ep-7f, 0x1.be7d72p-8f, -0x1.7173fep-11f, -0x1.f85fc0p-14f, -0x1.1c6980p-18f, -0x1.14a57ap-25f,
     -0x1.e87080p-8f, -0x1.de75acp-5f},
    {0x1.4a1d42p-7f, -0x1.f4e3c8p-9f, -0x1.0e7b7ep-18f, 0x1.24bac0p-15f, 0x1.462ad4p-20f, 0x1.548d1ap-27f,
     -0x1.4a0502p-5f, 0x1.8a4816p-6f},
};

/* largest relative error 2^-27.04 */
static const float ody_erf_f32[9][8] = {
    {0.0f, 0x1.0eb818p-1f, 0x1.0fbb52p+0f, 0x1.93e8f6p+0f, 0x1.0a93c6p+1f, 0x1.51b0a0p+1f, 0x1.94079cp+1f,
     0x1.d83436p+1f},
    {0.0f, 0x1.173e42p-1f, 0x1.bbbce2p-1f, 0x1.f2dc9ap-1f, 0x1.fe5918p-1f, 0x1.ffe700p-1f, 0x1.fffef2p-1f,
     0x1.fffffap-1f},
    {0x1.06eba8p-3f, 0x1.b4d324p-1f, 0x1.767e42p-2f, 0x1.7f7044p-4f, 0x1.e34af0p-7f, 0x1.18b57ep-10f, 0x1.bdc30ap-15f,
     0x1.743652p-20f},
    {-0x1.570870p-26f, -0x1.cdf092p-2f, -0x1.8d81cep-2f, -0x1.2e7d62p-3f, -0x1.f74288p-6f, -0x1.72487ep-9f,
     -0x1.5fc608p-13f, -0x1.575914p-18f},
    {-0x1.8126f8p-2f, -0x1.00c392p-3f, 0x1.38ea88p-3f, 0x1.fc88acp-4f, 0x1.35195cp-5f, 0x1.2e3b96p-8f,
     0x1.5f8f5ep-12f, 0x1.96dffep-17f},
    {-0x1.aa6cfep-16f, 0x1.77b39ep-3f, 0x1.8c075ap-5f, -0x1.8ef7d4p-5f, -0x1.dc186cp-6f, -0x1.50fa08p-8f,
     -0x1.ef9d84p-12f, -0x1.592b1cp-16f},
    {0x1.cf3d6ep-4f, -0x1.46b8e0p-10f, -0x1.0fb14ep-4f, -0x1.aaa01ap-8f, 0x1.a59330p-7f, 0x1.090778p-8f,
     0x1.040496p-11f, 0x1.bd70a2p-16f},
    {-0x1.4e6f60p-10f, -0x1.833bdap-5f, 0x1.4023eep-7f, 0x1.09fca4p-6f, -0x1.0903e0p-10f, -0x1.1dc052p-9f,
     -0x1.ae2002p-12f, -0x1.ed6968p-16f},
    {-0x1.8cc2b8p-6f, 0x1.04c39ep-7f, 0x1.93d590p-7f, -0x1.73a76cp-8f, -0x1.20da6ep-9f, 0x1.58909cp-11f,
     0x1.06d386p-12f, 0x1.b4bfdep-16f},
};

/* largest relative error 2^-45.09 */
static const double ody_pow_f32_log2[6] = {
    0x1.71547652b8251p+1, 0x1.ec709dc53cdb2p-1, 0x1.2776c29288565p-1, 0x1.a61a2f7869573p-2, 0x1.47953661fc69ep-2,
    0x1.21b2ddc3a3e40p-2,
};

/* largest relative error 2^-34.48 */
static const double ody_pow_f32_exp2[8] = {
    0x1.ffffffffabc2ap-1, 0x1.62e42ff11598bp-1, 0x1.ebfbe0a4bd177p-3, 0x1.c6b08ab1fe880p-5, 0x1.3b29dc03c0651p-7,
    0x1.5d8a61065333bp-10, 0x1.446a77cf1e190p-13, 0x1.fe3815c5eefc7p-17,
};

/* ---- pieces ---------------------------------------------------------------------------------------------------- */

/* c[0] + c[1] x + ... + c[n-1] x^(n-1), n a constant: one chain of fma, */
ODY_INLINE f32x16 f32x16_horner(f32x16 x, const float *c, int n) {
    f32x16 p = f32x16_splat(c[n - 1]);
    for (int i = n - 2; i >= 0; i--) p = f32x16_fma(p, x, f32x16_splat(c[i]));
    return p;
}
/* or c[0] + x (...), what is in the brackets in two chains, half as long for one instruction more. */
ODY_INLINE f32x16 f32x16_horner2(f32x16 x, const float *c, int n) {
    f32x16 x2 = f32x16_mul(x, x), p = f32x16_splat(c[n - 1]), q = f32x16_splat(c[n - 2]);
    for (int i = n - 3; i >= 1; i -= 2) {
        p = f32x16_fma(p, x2, f32x16_splat(c[i]));
        if (i > 1) q = f32x16_fma(q, x2, f32x16_splat(c[i - 1]));
    }
    p = n % 2 ? f32x16_fma(p, x, q) : f32x16_fma(q, x, p);
    return f32x16_fma(p, x, f32x16_splat(c[0]));
}

/* 2^k for -126 <= k <= 127. */
ODY_INLINE f32x16 f32x16_exp2i(i32x16 k) {
    return f32x16_from_bits(i32x16_shl(i32x16_add(k, i32x16_splat(127)), 23));
}

/* v where x is negative or -0, else 0; and the like. The sign bit alone decides, NaN's too. */
ODY_INLINE m32x16 f32x16_sign(f32x16 x) { return i32x16_gt(i32x16_splat(0), f32x16_bits(x)); }

/* min(|x|, limit), where NaN may give limit: an integer comparison, which more execution units can do. */
ODY_INLINE f32x16 f32x16_magnitude(f32x16 x, float limit) {
    return f32x16_from_bits(i32x16_min(f32x16_bits(f32x16_abs(x)), f32x16_bits(f32x16_splat(limit))));
}

/* max(x, 0), but -0 stays -0 and NaN stays NaN. */
ODY_INLINE f32x16 f32x16_positive(f32x16 x) { return f32x16_max(f32x16_zero(), x); }

/*
 * e^x = 2^k (T + w), T = 2^(j/8), x = (k + j/8) ln 2 + r with |r| < 0.0434: w = T_lo + T (e^r - 1) stays below 0.1, so that
 * T + w is good to 2^-28 before it is rounded, and whatever it multiplies unrounded as well.
 * `e` is k as it stands in the exponent field, k 2^23. |x| < 2^18.
 */
typedef struct {
    f32x16 T, w;
    i32x16 e;
} ody_exp_f32_parts;

/* Constants that make variants: e^-x for nothing, e^(x + lo) with |lo| << |x|, one fma less and good to 2^-25.1. */
enum { ODY_EXP_NEGATED = 1, ODY_EXP_LO = 2, ODY_EXP_COARSE = 4 };

ODY_INLINE ody_exp_f32_parts f32x16_exp_parts_of(f32x16 x, f32x16 lo, int variant) {
    const int negated = variant & ODY_EXP_NEGATED, coarse = variant & ODY_EXP_COARSE, n_terms = coarse ? 3 : 4;
    const float *c = coarse ? ody_exp_coarse_f32 : ody_exp_fine_f32, scale = negated ? -0x1.715476p+3f : 0x1.715476p+3f;
    const f32x16 magic = f32x16_splat(0x1.8p23f); /* adding it rounds to an integer, and leaves that in the low bits */
    const f32x16 ln2 = f32x16_splat(negated ? -0x1.62e430p-4f : 0x1.62e430p-4f);
    const f32x16 ln2_lo = f32x16_splat(negated ? 0x1.05c610p-32f : -0x1.05c610p-32f);
    f32x16 t = f32x16_fma(x, f32x16_splat(scale), magic), n = f32x16_sub(t, magic);
    i32x16 j = f32x16_bits(t);
    f32x16 r = f32x16_fnma(n, ln2, x); /* exact; -r if negated */
    r = variant & ODY_EXP_LO ? f32x16_add(r, f32x16_fnma(n, ln2_lo, lo)) : f32x16_fnma(n, ln2_lo, r);
    f32x16 T = f32x16_lookup8(ody_exp2_eighths_f32[0], j), T_lo = f32x16_lookup8(ody_exp2_eighths_f32[1], j);
    f32x16 p = f32x16_splat(c[n_terms - 1]), Tr = f32x16_mul(T, r);
    for (int i = n_terms - 2; i >= 0; i--)
        p = negated ? f32x16_fnma(p, r, f32x16_splat(c[i])) : f32x16_fma(p, r, f32x16_splat(c[i]));
    f32x16 w = negated ? f32x16_fnma(Tr, p, T_lo) : f32x16_fma(Tr, p, T_lo);
    return (ody_exp_f32_parts){T, w, i32x16_and(i32x16_shl(j, 20), i32x16_splat((int32_t)0xff800000))};
}
ODY_INLINE ody_exp_f32_parts f32x16_exp_minus(f32x16 x) { return f32x16_exp_parts_of(x, f32x16_zero(), ODY_EXP_NEGATED); }
ODY_INLINE ody_exp_f32_parts f32x16_exp_minus_lo(f32x16 x, f32x16 lo) {
    return f32x16_exp_parts_of(x, lo, ODY_EXP_NEGATED | ODY_EXP_LO);
}

/* v 2^k for e = k 2^23, v and the result normal. */
ODY_INLINE f32x16 f32x16_shift(f32x16 v, i32x16 e) { return f32x16_from_bits(i32x16_add(f32x16_bits(v), e)); }

/* 2^k = a b for -190 <= k <= 127: a = 2^max(k, -64) keeps what it multiplies normal, b brings it down in one rounding. */
typedef struct {
    f32x16 a, b;
    i32x16 e; /* of a */
} ody_scale_f32;

ODY_INLINE ody_scale_f32 f32x16_scale(i32x16 e) {
    const f32x16 one = f32x16_splat(1.0f);
    i32x16 high = i32x16_max(e, i32x16_splat(-64 * (1 << 23)));
    return (ody_scale_f32){f32x16_shift(one, high), f32x16_shift(one, i32x16_sub(e, high)), high};
}

/* p (T + w), rounded once or nearly so. */
ODY_INLINE f32x16 f32x16_mul_sum(f32x16 p, f32x16 T, f32x16 w) {
    f32x16 y = f32x16_mul(p, T), y_lo = f32x16_fms(p, T, y);
    return f32x16_add(y, f32x16_fma(p, w, y_lo));
}

/* ---- exponentials ---------------------------------------------------------------------------------------------- */

/* e^x. Where the result may be subnormal or infinite: x clamped to where it is 0 and inf, 2^k applied in two factors. */
ODY_INLINE f32x16 f32x16_exp_wide(f32x16 x) {
    x = f32x16_min(f32x16_splat(89.0f), f32x16_max(f32x16_splat(-104.0f), x)); /* in this order NaN passes */
    ody_exp_f32_parts p = f32x16_exp_parts_of(x, f32x16_zero(), ODY_EXP_COARSE);
    i32x16 half = i32x16_and(i32x16_sra(p.e, 1), i32x16_splat((int32_t)0xff800000));
    const f32x16 one = f32x16_splat(1.0f);
    f32x16 y = f32x16_mul(f32x16_add(p.T, p.w), f32x16_shift(one, half));
    return f32x16_mul(y, f32x16_shift(one, i32x16_sub(p.e, half)));
}
ODY_INLINE f32x16 f32x16_exp(f32x16 x) {
    if (__builtin_expect(!m32x16_all(f32x16_le(f32x16_abs(x), f32x16_splat(87.0f))), 0)) return f32x16_exp_wide(x);
    ody_exp_f32_parts p = f32x16_exp_parts_of(x, f32x16_zero(), ODY_EXP_COARSE);
    return f32x16_shift(f32x16_add(p.T, p.w), p.e);
}

/*
 * e^x - 1 must not lose small x, so here e^x = 2^k (1 + s): x = k ln 2 + r + r_lo, s + s_lo = r + (r_lo + r^2 P(r)). Then
 * (2^k - 1) + 2^k s, all sums with their rounding errors carried along.
 */
ODY_INLINE f32x16 f32x16_expm1(f32x16 x) {
    const f32x16 one = f32x16_splat(1.0f), magic = f32x16_splat(0x1.8p23f);
    f32x16 c = f32x16_min(f32x16_splat(89.0f), f32x16_max(f32x16_splat(-17.4f), x));
    f32x16 t = f32x16_fma(c, f32x16_splat(0x1.715476p+0f), magic), n = f32x16_sub(t, magic);
    f32x16 r_hi = f32x16_fnma(n, f32x16_splat(0x1.62e430p-1f), c); /* exact */
    f32x16 more = f32x16_mul(n, f32x16_splat(0x1.05c610p-29f));
    f32x16 r = f32x16_add(r_hi, more), r_lo = f32x16_sub(more, f32x16_sub(r, r_hi));
    f32x16 tail = f32x16_fma(f32x16_mul(r, r), f32x16_horner2(r, ody_expm1_f32, 6), r_lo);
    f32x16 s = f32x16_add(r, tail), s_lo = f32x16_sub(tail, f32x16_sub(s, r));

    i32x16 k = i32x16_sub(f32x16_bits(t), f32x16_bits(magic)), k_a = i32x16_min(k, i32x16_splat(127));
    f32x16 a = f32x16_exp2i(k_a), a_1 = f32x16_sub(a, one), a_1_lo = f32x16_sub(f32x16_sub(a, a_1), one);
    f32x16 y = f32x16_fma(a, s, a_1);
    f32x16 y_lo = f32x16_fma(a, s_lo, f32x16_fma(a, s, f32x16_sub(a_1, y)));
    y = f32x16_add(y, f32x16_add(y_lo, a_1_lo));
    return f32x16_copysign(f32x16_mul(y, f32x16_exp2i(i32x16_sub(k, k_a))), x);
}

/* 1 / (1 + z), z = e^-x = aT + a w: d + d_lo = 1 + z to about 48 bits, the quotient with its remainder carried along. */
ODY_INLINE f32x16 f32x16_sigmoid_div(ody_exp_f32_parts z, i32x16 e) {
    const f32x16 one = f32x16_splat(1.0f);
    f32x16 aT = f32x16_shift(z.T, e), d_0 = f32x16_add(one, aT), from_aT = f32x16_sub(d_0, one);
    f32x16 lo = f32x16_add(f32x16_sub(one, f32x16_sub(d_0, from_aT)), f32x16_sub(aT, from_aT));
    f32x16 rest = f32x16_fma(f32x16_shift(one, e), z.w, lo), d = f32x16_add(d_0, rest);
    f32x16 d_lo = f32x16_sub(rest, f32x16_sub(d, d_0)), q = f32x16_div(one, d);
    return f32x16_fma(q, f32x16_fnma(q, d_lo, f32x16_fnma(q, d, one)), q);
}
ODY_INLINE f32x16 f32x16_sigmoid_wide(f32x16 x) { /* z scaled down if it is huge, and the quotient by as much */
    x = f32x16_min(f32x16_splat(30.0f), f32x16_max(f32x16_splat(-104.0f), x)); /* in this order NaN passes */
    ody_exp_f32_parts z = f32x16_exp_minus(x);
    i32x16 e = i32x16_min(z.e, i32x16_splat(64 << 23));
    return f32x16_mul(f32x16_sigmoid_div(z, e), f32x16_shift(f32x16_splat(1.0f), i32x16_sub(e, z.e)));
}
/* sigmoid(-inf) = 0. */
ODY_INLINE f32x16 f32x16_sigmoid(f32x16 x) {
    if (__builtin_expect(!m32x16_all(f32x16_le(f32x16_abs(x), f32x16_splat(80.0f))), 0)) return f32x16_sigmoid_wide(x);
    ody_exp_f32_parts z = f32x16_exp_minus(x);
    return f32x16_sigmoid_div(z, z.e);
}

/* x / (1 + z), z = e^-x = aT + a w; the small terms are added first. silu(-inf) = -0. */
ODY_INLINE f32x16 f32x16_silu_div(f32x16 x, ody_exp_f32_parts z, i32x16 e) {
    const f32x16 one = f32x16_splat(1.0f);
    f32x16 aT = f32x16_shift(z.T, e), rest = f32x16_fma(f32x16_shift(one, e), z.w, f32x16_min(one, aT));
    return f32x16_div(x, f32x16_add(f32x16_max(one, aT), rest));
}
ODY_INLINE f32x16 f32x16_silu_wide(f32x16 x) { /* z scaled down if it is huge, and the quotient by as much */
    x = f32x16_max(f32x16_splat(-110.0f), x);  /* silu(-110) rounds to -0 */
    ody_exp_f32_parts z = f32x16_exp_minus(f32x16_min(f32x16_splat(30.0f), x));
    i32x16 e = i32x16_min(z.e, i32x16_splat(64 << 23));
    return f32x16_mul(f32x16_silu_div(x, z, e), f32x16_shift(f32x16_splat(1.0f), i32x16_sub(e, z.e)));
}
ODY_INLINE f32x16 f32x16_silu(f32x16 x) {
    if (__builtin_expect(!m32x16_all(f32x16_le(f32x16_abs(x), f32x16_splat(80.0f))), 0)) return f32x16_silu_wide(x);
    ody_exp_f32_parts z = f32x16_exp_minus(x);
    return f32x16_silu_div(x, z, z.e);
}

/* log(1 + e^x) = max(x, 0) + log1p(z), z = e^-|x|: z + z^2 R, R a polynomial in z - 0.4973: there
 * R is a float to 35 bits. Above zero the first sum's rounding error is carried along. softplus(-inf) = 0. */
ODY_INLINE f32x16 f32x16_softplus(f32x16 x) {
    ody_exp_f32_parts p = f32x16_exp_minus(f32x16_magnitude(x, 104.0f));
    ody_scale_f32 scale = f32x16_scale(p.e);
    f32x16 E = f32x16_add(p.T, p.w), z = f32x16_shift(E, scale.e);
    f32x16 zR = f32x16_mul(z, f32x16_horner2(f32x16_sub(z, f32x16_splat(0x1.fd4130p-2f)), ody_softplus_f32, 10));
    f32x16 T = f32x16_shift(p.T, scale.e), rest = f32x16_shift(f32x16_fma(E, zR, p.w), scale.e);
    f32x16 below = f32x16_mul(f32x16_add(T, rest), scale.b);
    f32x16 sum = f32x16_add(x, T), lo = f32x16_add(f32x16_sub(f32x16_max(x, T), sum), f32x16_min(x, T));
    f32x16 above = f32x16_add(sum, f32x16_add(rest, lo));
    above = f32x16_select(f32x16_gt(x, f32x16_splat(30.0f)), x, above); /* inf too */
    return f32x16_select(f32x16_le(x, f32x16_zero()), below, above);
}

/*
 * x tanh(log(1 + e^x)). With z = e^-|x| and v = z or 2 z,
 *   x < 0:  x z (1 - f),   f = z (z + 1) / (z^2 + 2 z + 2)
 *   x > 0:  x - x f,       f = 2 z^2 / (2 z^2 + 2 z + 1).
 * The remainder of the division, which includes what the sums lost, moves f by rest / den; where that shows, 1 / den is
 * about 0.22, and z / den about 0.18. mish(-inf) = -0.
 */
ODY_INLINE f32x16 f32x16_mish(f32x16 x) {
    const f32x16 one = f32x16_splat(1.0f), two = f32x16_splat(2.0f);
    m32x16 negative = f32x16_sign(x);
    f32x16 t = f32x16_magnitude(x, 110.0f);
    ody_exp_f32_parts p = f32x16_exp_minus(t);
    ody_scale_f32 scale = f32x16_scale(p.e);
    f32x16 z = f32x16_shift(f32x16_add(p.T, p.w), scale.e);
    f32x16 z2 = f32x16_add(z, z), v = f32x16_select(negative, z, z2);
    f32x16 num_0 = f32x16_select(negative, z, f32x16_zero()), num = f32x16_fma(z, v, num_0);
    f32x16 num_lo = f32x16_fma(z, v, f32x16_sub(num_0, num));
    f32x16 c = f32x16_select(negative, two, one), den_0 = f32x16_add(c, z2), den = f32x16_fma(z, v, den_0);
    f32x16 den_lo = f32x16_add(f32x16_fma(z, v, f32x16_sub(den_0, den)), f32x16_sub(z2, f32x16_sub(den_0, c)));
    f32x16 f = f32x16_div(num, den);
    f32x16 rest = f32x16_fnma(f, den_lo, f32x16_add(f32x16_fnma(f, den, num), num_lo));
    f32x16 aw = f32x16_fnma(rest, f32x16_splat(0.18f), f32x16_mul(scale.a, p.w));
    f32x16 below = f32x16_mul_sum(t, f32x16_shift(p.T, scale.e), f32x16_fnma(f, z, aw));
    f32x16 above = f32x16_fma(rest, f32x16_splat(0.22f), f);
    return f32x16_fnma(f32x16_select(negative, below, t), f32x16_select(negative, scale.b, above), f32x16_positive(x));
}

/* ---- logarithms ------------------------------------------------------------------------------------------------ */

/*
 * x = 2^k m with m in [sqrt(1/2), sqrt(2)). Zero, subnormals, negatives, inf and NaN are rare and handled apart: for
 * them x is replaced by a normal number here, and *special tells the caller to call f32x16_log_special.
 */
ODY_INLINE f32x16 f32x16_log_split(f32x16 x, f32x16 *k) {
    i32x16 above = i32x16_sub(f32x16_bits(x), i32x16_splat(0x3f3504f3)); /* sqrt(1/2) */
    *k = f32x16_from_i32(i32x16_sra(above, 23));
    return f32x16_from_bits(i32x16_sub(f32x16_bits(x), i32x16_and(above, i32x16_splat((int32_t)0xff800000))));
}

/* Not a positive normal number: as unsigned integers, bits - bits(FLT_MIN) >= bits(inf) - bits(FLT_MIN). */
ODY_INLINE m32x16 f32x16_log_is_special(f32x16 x) {
    i32x16 biased = i32x16_add(f32x16_bits(x), i32x16_splat(0x7f800000));
    return i32x16_gt(biased, i32x16_splat(-0x01000001));
}

/* log of 0 is -inf, of negatives NaN, of inf inf, of NaN NaN. `y` is what the main path made of the others. */
ODY_INLINE f32x16 f32x16_log_special(f32x16 x, f32x16 y) {
    y = f32x16_select(f32x16_eq(x, f32x16_splat(INFINITY)), x, y);
    y = f32x16_select(f32x16_eq(x, f32x16_zero()), f32x16_splat(-INFINITY), y);
    return f32x16_select(f32x16_ge(x, f32x16_zero()), y, f32x16_splat(NAN));
}

/* log x = k ln 2 + f + f^2 P(f), f = m - 1, summed with the first rounding error carried along. */
ODY_INLINE f32x16 f32x16_log_normal(f32x16 x, f32x16 k_more) {
    f32x16 k, m = f32x16_log_split(x, &k);
    k = f32x16_add(k, k_more);
    f32x16 f = f32x16_sub(m, f32x16_splat(1.0f));
    f32x16 p = f32x16_horner2(f, ody_log_f32, 9);
    f32x16 c = f32x16_mul(k, f32x16_splat(0x1.62e4p-1f)); /* exact: 16 bits times at most 8 */
    f32x16 y = f32x16_add(c, f);
    f32x16 lo = f32x16_sub(f, f32x16_sub(y, c));
    lo = f32x16_add(lo, f32x16_fma(k, f32x16_splat(0x1.7f7d1cp-20f), f32x16_mul(f32x16_mul(f, f), p)));
    return f32x16_add(y, lo);
}

ODY_INLINE f32x16 f32x16_log(f32x16 x) {
    f32x16 y = f32x16_log_normal(x, f32x16_zero());
    m32x16 special = f32x16_log_is_special(x);
    if (__builtin_expect(m32x16_any(special), 0)) {
        m32x16 small = f32x16_lt(x, f32x16_splat(FLT_MIN));
        f32x16 up = f32x16_select(small, f32x16_mul(x, f32x16_splat(0x1p24f)), x);
        y = f32x16_log_normal(up, f32x16_select(small, f32x16_splat(-24.0f), f32x16_zero()));
        y = f32x16_log_special(x, y);
    }
    return y;
}

/* log2 x = k + f / ln 2 + f^2 c0 + f^3 Q(f), the second in two parts: f^2 times all of the polynomial would round too large a
 * factor. Exact at powers of two. */
ODY_INLINE f32x16 f32x16_log2_normal(f32x16 x, f32x16 k_more) {
    const f32x16 l_hi = f32x16_splat(0x1.715476p+0f), l_lo = f32x16_splat(0x1.4ae0c0p-26f);
    f32x16 k, m = f32x16_log_split(x, &k);
    k = f32x16_add(k, k_more);
    f32x16 f = f32x16_sub(m, f32x16_splat(1.0f));
    f32x16 q = f32x16_horner2(f, ody_log2_f32 + 1, 8), f2 = f32x16_mul(f, f);
    f32x16 c = f32x16_mul(f, l_hi), c_lo = f32x16_fma(f, l_lo, f32x16_fms(f, l_hi, c));
    f32x16 y = f32x16_add(k, c);
    f32x16 lo = f32x16_add(f32x16_sub(c, f32x16_sub(y, k)), c_lo);
    lo = f32x16_fma(f2, f32x16_splat(ody_log2_f32[0]), lo);
    return f32x16_add(y, f32x16_fma(f32x16_mul(f2, f), q, lo));
}

ODY_INLINE f32x16 f32x16_log2(f32x16 x) {
    f32x16 y = f32x16_log2_normal(x, f32x16_zero());
    m32x16 special = f32x16_log_is_special(x);
    if (__builtin_expect(m32x16_any(special), 0)) {
        m32x16 small = f32x16_lt(x, f32x16_splat(FLT_MIN));
        f32x16 up = f32x16_select(small, f32x16_mul(x, f32x16_splat(0x1p24f)), x);
        y = f32x16_log2_normal(up, f32x16_select(small, f32x16_splat(-24.0f), f32x16_zero()));
        y = f32x16_log_special(x, y);
    }
    return y;
}

/* log(1 + x): 1 + x as a sum of two floats, scaled by 2^-k into f + f_lo. log1p(-1) = -inf, below NaN. */
ODY_INLINE f32x16 f32x16_log1p(f32x16 x) {
    const f32x16 one = f32x16_splat(1.0f);
    f32x16 big = f32x16_max(one, x), small = f32x16_min(one, x);
    f32x16 u = f32x16_add(big, small), u_lo = f32x16_sub(small, f32x16_sub(u, big));
    i32x16 above = i32x16_sub(f32x16_bits(u), i32x16_splat(0x3f3504f3));
    i32x16 ki = i32x16_min(i32x16_sra(above, 23), i32x16_splat(126)); /* u_lo no longer matters up there */
    f32x16 k = f32x16_from_i32(i32x16_sra(above, 23));
    f32x16 m = f32x16_from_bits(i32x16_sub(f32x16_bits(u), i32x16_and(above, i32x16_splat((int32_t)0xff800000))));
    f32x16 f_hi = f32x16_sub(m, one);
    f32x16 l = f32x16_mul(u_lo, f32x16_exp2i(i32x16_sub(i32x16_splat(0), ki)));
    f32x16 f = f32x16_add(f_hi, l), f_lo = f32x16_sub(l, f32x16_sub(f, f_hi));
    f32x16 p = f32x16_horner2(f, ody_log_f32, 9);
    f32x16 c = f32x16_mul(k, f32x16_splat(0x1.62e4p-1f));
    f32x16 y = f32x16_add(c, f);
    f32x16 lo = f32x16_add(f32x16_sub(f, f32x16_sub(y, c)), f32x16_fnma(f, f_lo, f_lo));
    lo = f32x16_add(lo, f32x16_fma(k, f32x16_splat(0x1.7f7d1cp-20f), f32x16_mul(f32x16_mul(f, f), p)));
    y = f32x16_copysign(f32x16_add(y, lo), x);
    m32x16 usual = m32x16_and(f32x16_gt(x, f32x16_splat(-1.0f)), f32x16_lt(x, f32x16_splat(INFINITY)));
    if (__builtin_expect(!m32x16_all(usual), 0)) {
        y = f32x16_select(f32x16_eq(x, f32x16_splat(-1.0f)), f32x16_splat(-INFINITY), y);
        y = f32x16_select(f32x16_eq(x, f32x16_splat(INFINITY)), x, y);
        y = f32x16_select(f32x16_ge(x, f32x16_splat(-1.0f)), y, f32x16_splat(NAN));
    }
    return y;
}

/* ---- tanh and erf ---------------------------------------------------------------------------------------------- */

/*
 * c0 + h (c1 + h (c2 + ...)), c1, c2, ... looked up: column i of `rows` rows. h = t - center, where center is a float at
 * which the function and its slope nearly are floats as well, so c0 + h c1 starts out almost exact: the rest is c2 + c3 h
 * + ... in two chains.
 */
ODY_INLINE f32x16 f32x16_piecewise(f32x16 h, f32x16 c0, i32x16 i, const float (*table)[8], int rows) {
    f32x16 h2 = f32x16_mul(h, h), p = f32x16_lookup8_in(table[rows - 1], i), q = f32x16_lookup8_in(table[rows - 2], i);
    for (int j = rows - 3; j >= 1; j -= 2) {
        p = f32x16_fma(p, h2, f32x16_lookup8_in(table[j], i));
        if (j > 1) q = f32x16_fma(q, h2, f32x16_lookup8_in(table[j - 1], i));
    }
    p = rows % 2 ? f32x16_fma(p, h, q) : f32x16_fma(q, h, p);
    p = f32x16_fma(p, h, f32x16_lookup8_in(table[0], i));
    return f32x16_fma(p, h, c0);
}

/*
 * Eight intervals of t, two for each octave of y = 1 + scale t, 1 <= y < 16. The low exponent bits and the first mantissa
 * bit number them 6, 7, 0, 1, ... 5, and so stand the columns of the tables.
 */
typedef struct {
    m32x16 first;
    i32x16 i;
} ody_interval_f32;

ODY_INLINE ody_interval_f32 f32x16_octave(f32x16 t, float scale) {
    f32x16 y = f32x16_fma(t, f32x16_splat(scale), f32x16_splat(1.0f));
    return (ody_interval_f32){f32x16_lt(y, f32x16_splat(1.5f)), i32x16_and(i32x16_shr(f32x16_bits(y), 22), i32x16_splat(7))};
}

/*
 * tanh x: a polynomial of degree 7 on each of eight intervals, halves of the octaves of 1 + 14.99 |x| / 9.02; on the first
 * it is |x| plus a polynomial. |x| >= 9.02 gives 1.
 */
ODY_INLINE f32x16 f32x16_tanh(f32x16 x) {
    f32x16 t = f32x16_min(f32x16_splat(9.02f), f32x16_abs(x));
    ody_interval_f32 in = f32x16_octave(t, (float)(14.99 / 9.02));
    f32x16 h = f32x16_sub(t, f32x16_lookup8_in(ody_tanh_f32[0], in.i));
    f32x16 c0 = f32x16_select(in.first, t, f32x16_lookup8_in(ody_tanh_f32[1], in.i));
    return f32x16_copysign(f32x16_piecewise(h, c0, in.i, ody_tanh_f32 + 2, 7), x);
}

/*
 * erf x: a polynomial of degree 7 on each of eight intervals of |x|, around 0, 1, ... 7 times 0.525; around 0 it is
 * |x| plus a polynomial, for 2 / sqrt(pi) is not nearly a float. |x| >= 3.93 gives 1.
 */
ODY_INLINE f32x16 f32x16_erf(f32x16 x) {
    f32x16 t = f32x16_min(f32x16_splat(3.93f), f32x16_abs(x));
    f32x16 rounded = f32x16_fma(t, f32x16_splat((float)(7.49 / 3.93)), f32x16_splat(0x1p23f));
    i32x16 i = f32x16_bits(rounded);
    f32x16 h = f32x16_sub(t, f32x16_lookup8_in(ody_erf_f32[0], i));
    f32x16 c0 = f32x16_select(f32x16_eq(rounded, f32x16_splat(0x1p23f)), t, f32x16_lookup8_in(ody_erf_f32[1], i));
    return f32x16_copysign(f32x16_piecewise(h, c0, i, ody_erf_f32 + 2, 7), x);
}

/* ---- the normal distribution ----------------------------------------------------------------------------------- */

/* Phi(-u) e^(u^2/2), the Mills ratio, for u = c t, 0 <= u <= 14.5. */
ODY_INLINE f32x16 f32x16_mills(f32x16 t, float c) {
    i32x16 i = f32x16_octave(t, c * (float)(14.99 / 14.5)).i;
    f32x16 h = f32x16_fms(t, f32x16_splat(c), f32x16_lookup8_in(ody_mills_f32[0], i));
    return f32x16_piecewise(h, f32x16_lookup8_in(ody_mills_f32[1], i), i, ody_mills_f32 + 2, 8);
}

/* 1 - erf x = 2 Phi(-sqrt(2) x). x > 10.06 gives 0. */
ODY_INLINE f32x16 f32x16_erfc(f32x16 x) {
    f32x16 t = f32x16_min(f32x16_splat(10.25f), f32x16_abs(x));
    f32x16 v = f32x16_mul(t, t), v_lo = f32x16_fms(t, t, v);
    ody_exp_f32_parts p = f32x16_exp_minus_lo(v, v_lo);
    ody_scale_f32 scale = f32x16_scale(i32x16_add(p.e, i32x16_splat(1 << 23)));
    f32x16 y = f32x16_mul(f32x16_mul_sum(f32x16_mills(t, 0x1.6a09e6p+0f), p.T, p.w), scale.a);
    m32x16 negative = f32x16_sign(x);
    y = f32x16_select(negative, f32x16_neg(y), y);
    return f32x16_fma(y, scale.b, f32x16_select(negative, f32x16_splat(2.0f), f32x16_zero()));
}

/* x Phi(x) = max(x, 0) - t Phi(-t), t = |x|: e^(-t^2/2) times a piecewise polynomial of degree 7. gelu(-inf) = -0. */
ODY_INLINE f32x16 f32x16_gelu_wide(f32x16 x) {
    f32x16 t = f32x16_magnitude(x, 14.5f);
    f32x16 half = f32x16_mul(t, f32x16_splat(0.5f));
    f32x16 v = f32x16_mul(t, half), v_lo = f32x16_fms(t, half, v);
    ody_exp_f32_parts p = f32x16_exp_minus_lo(v, v_lo);
    ody_scale_f32 scale = f32x16_scale(p.e);
    ody_interval_f32 in = f32x16_octave(t, (float)(14.99 / 14.5));
    f32x16 h = f32x16_sub(t, f32x16_lookup8_in(ody_gelu_f32[0], in.i));
    f32x16 c0 = f32x16_select(in.first, half, f32x16_lookup8_in(ody_gelu_f32[1], in.i));
    f32x16 g = f32x16_piecewise(h, c0, in.i, ody_gelu_f32 + 2, 7);
    f32x16 y = f32x16_shift(f32x16_mul_sum(g, p.T, p.w), scale.e);
    return f32x16_fnma(y, scale.b, f32x16_positive(x));
}

/*
 * For |x| < 5 without the exponential: Phi(-t) as a polynomial of degree 10 on each of eight intervals, in the distance u from
 * the interval's far end, from where Phi only grows and nothing cancels; on the first from 0, where it is 1/2. The first
 * mantissa bits of 1 + t / 5 number the intervals.
 */
ODY_INLINE f32x16 f32x16_gelu(f32x16 x) {
    f32x16 t = f32x16_abs(x);
    f32x16 y = f32x16_fma(t, f32x16_splat(0x1.999980p-3f), f32x16_splat(1.0f));
    i32x16 i = i32x16_and(i32x16_shr(f32x16_bits(y), 20), i32x16_splat(7));
    f32x16 u = f32x16_sub(f32x16_lookup8_in(ody_normal_f32[0], i), t), u2 = f32x16_mul(u, u);
    f32x16 p = f32x16_lookup8_in(ody_normal_f32[11], i), q = f32x16_lookup8_in(ody_normal_f32[10], i);
    for (int j = 9; j >= 3; j -= 2) {
        p = f32x16_fma(p, u2, f32x16_lookup8_in(ody_normal_f32[j], i));
        q = f32x16_fma(q, u2, f32x16_lookup8_in(ody_normal_f32[j - 1], i));
    }
    f32x16 end = f32x16_fnma(t, f32x16_lookup8_in(ody_normal_f32[1], i), f32x16_positive(x)); /* exact around 0 */
    /* Far from the end t u r is most of the result: u and the last rounding of r are carried along. */
    f32x16 r = f32x16_fma(p, u, q), r_lo = f32x16_fma(p, u, f32x16_sub(q, r));
    f32x16 tu = f32x16_mul(t, u), tu_lo = f32x16_fms(t, u, tu);
    end = f32x16_fnma(tu, r_lo, f32x16_fnma(tu_lo, r, end));
    f32x16 gelu = f32x16_copysign(f32x16_fnma(tu, r, end), x);
    m32x16 usual = f32x16_lt(t, f32x16_splat(5.0f));
    if (__builtin_expect(m32x16_all(usual), 1)) return gelu;
    return f32x16_select(usual, gelu, f32x16_gelu_wide(x));
}

/* d/dx x Phi(x) = Phi(x) + x phi(x): with e = e^(-x^2/2), e (M - t c) for x < 0 and one minus that for x > 0. */
ODY_INLINE f32x16 f32x16_gelu_grad(f32x16 x) {
    f32x16 t = f32x16_min(f32x16_splat(14.6f), f32x16_abs(x)); /* where e is 0; the table ends at 14.5 */
    f32x16 half = f32x16_mul(t, f32x16_splat(0.5f));
    f32x16 v = f32x16_mul(t, half), v_lo = f32x16_fms(t, half, v);
    ody_exp_f32_parts p = f32x16_exp_minus_lo(v, v_lo);
    ody_scale_f32 scale = f32x16_scale(p.e);
    f32x16 g = f32x16_fnma(t, f32x16_splat(0x1.988454p-2f), f32x16_mills(f32x16_min(f32x16_splat(14.5f), t), 1.0f)); /* 1 / sqrt(2 pi) */
    f32x16 y = f32x16_mul(f32x16_mul(g, f32x16_add(p.T, p.w)), scale.a);
    m32x16 negative = f32x16_sign(x);
    y = f32x16_select(negative, y, f32x16_neg(y));
    return f32x16_fma(y, scale.b, f32x16_select(negative, f32x16_zero(), f32x16_splat(1.0f)));
}

/*
 * The tanh form of gelu is x sigmoid(v), v = 2 sqrt(2/pi) (x + 0.044715 x^3). For |v| up to 107 v needs 32 bits or so:
 * it comes as hi + lo, for t = |x| <= 10.9.
 */
ODY_INLINE f32x16 f32x16_gelu_tanh_arg(f32x16 t, f32x16 *v_lo) {
    const f32x16 c1 = f32x16_splat(0x1.988454p+0f), c1_lo = f32x16_splat(-0x1.857936p-25f);
    const f32x16 c3 = f32x16_splat(0x1.2444f2p-4f), c3_lo = f32x16_splat(0x1.49b16ap-29f);
    f32x16 t2 = f32x16_mul(t, t), t2_lo = f32x16_fms(t, t, t2);
    f32x16 p = f32x16_mul(c3, t2), p_lo = f32x16_fms(c3, t2, p);
    f32x16 w = f32x16_add(p, c1), from_c1 = f32x16_sub(w, p);
    f32x16 w_lo = f32x16_add(f32x16_sub(p, f32x16_sub(w, from_c1)), f32x16_sub(c1, from_c1));
    w_lo = f32x16_add(w_lo, f32x16_add(p_lo, f32x16_fma(c3_lo, t2, f32x16_fma(c3, t2_lo, c1_lo))));
    f32x16 v = f32x16_mul(t, w);
    *v_lo = f32x16_fma(t, w_lo, f32x16_fms(t, w, v));
    return v;
}

/* max(x, 0) - |x| z / d, z = e^-v(|x|), d = 1 + z and d_lo its rounding error. gelu_tanh(-inf) = -0. */
ODY_INLINE f32x16 f32x16_gelu_tanh(f32x16 x) {
    const f32x16 one = f32x16_splat(1.0f);
    f32x16 t = f32x16_magnitude(x, 10.8f);
    f32x16 v_lo, v = f32x16_gelu_tanh_arg(t, &v_lo);
    ody_exp_f32_parts z = f32x16_exp_minus_lo(v, v_lo);
    ody_scale_f32 scale = f32x16_scale(z.e);
    f32x16 aT = f32x16_shift(z.T, scale.e), d_0 = f32x16_add(one, aT);
    f32x16 more = f32x16_fma(scale.a, z.w, f32x16_sub(aT, f32x16_sub(d_0, one))), d = f32x16_add(d_0, more);
    f32x16 d_lo = f32x16_sub(more, f32x16_sub(d, d_0));
    f32x16 w = f32x16_fnma(d_lo, z.T, z.w); /* should be d_lo / d, but d_lo matters for d near 1 */
    f32x16 y = f32x16_shift(f32x16_mul_sum(f32x16_div(t, d), z.T, w), scale.e);
    /* The smallest subnormal of all gives a zero, and -0 below zero. */
    return f32x16_copysign(f32x16_fnma(y, scale.b, f32x16_positive(x)), x);
}

/* ---- derivatives ----------------------------------------------------------------------------------------------- */

/* sigmoid(v) + x v'(x) sigmoid(v) sigmoid(-v): with z = e^-v(t), t = |x|, q = 1 / (1 + z) and tv = t v'(t), it is
 * z q (1 - tv q) for x < 0, q (1 + tv z q) for x > 0. */
ODY_INLINE f32x16 f32x16_gate_grad(f32x16 x, f32x16 tv, ody_exp_f32_parts p) {
    const f32x16 one = f32x16_splat(1.0f);
    m32x16 negative = f32x16_sign(x);
    ody_scale_f32 scale = f32x16_scale(p.e);
    f32x16 E = f32x16_add(p.T, p.w), z = f32x16_shift(E, scale.e);
    f32x16 q = f32x16_div(one, f32x16_add(one, z)), tq = f32x16_mul(tv, q);
    f32x16 y = f32x16_mul(q, f32x16_fma(f32x16_select(negative, f32x16_neg(tq), tq), f32x16_select(negative, one, z), one));
    return f32x16_select(negative, f32x16_mul(f32x16_mul(y, z), scale.b), y);
}

ODY_INLINE f32x16 f32x16_silu_grad(f32x16 x) {
    f32x16 t = f32x16_min(f32x16_splat(110.0f), f32x16_abs(x));
    return f32x16_gate_grad(x, t, f32x16_exp_minus(t));
}

ODY_INLINE f32x16 f32x16_gelu_tanh_grad(f32x16 x) {
    f32x16 t = f32x16_min(f32x16_splat(10.9f), f32x16_abs(x));
    f32x16 v_lo, v = f32x16_gelu_tanh_arg(t, &v_lo);
    f32x16 slope = f32x16_fma(f32x16_mul(t, t), f32x16_splat(0x1.b6676cp-3f), f32x16_splat(0x1.988454p+0f));
    return f32x16_gate_grad(x, f32x16_mul(t, slope), f32x16_exp_minus_lo(v, v_lo));
}

ODY_INLINE f32x16 f32x16_softplus_grad(f32x16 x) { return f32x16_sigmoid(x); }

/*
 * With z = e^-t, t = |x|, and u = 2 t (1 + z) / D:
 *   x < 0:  z (z + 2 - 2 u) / D,        D = z (z + 2) + 2
 *   x > 0:  1 - 2 z^2 (1 - u) / D,      D = z (2 z + 2) + 1
 */
ODY_INLINE f32x16 f32x16_mish_grad(f32x16 x) {
    const f32x16 one = f32x16_splat(1.0f), two = f32x16_splat(2.0f);
    m32x16 negative = f32x16_sign(x);
    f32x16 t = f32x16_min(f32x16_splat(110.0f), f32x16_abs(x));
    ody_exp_f32_parts p = f32x16_exp_minus(t);
    ody_scale_f32 scale = f32x16_scale(p.e);
    f32x16 E = f32x16_add(p.T, p.w), z = f32x16_shift(E, scale.e), z2 = f32x16_add(z, z);
    f32x16 v = f32x16_select(negative, z, z2), v2 = f32x16_add(v, two);
    f32x16 q = f32x16_div(one, f32x16_fma(z, v2, f32x16_select(negative, two, one)));
    f32x16 u = f32x16_mul(f32x16_mul(f32x16_add(t, t), f32x16_add(one, z)), q);
    f32x16 below = f32x16_fnma(two, u, v2), above = f32x16_mul(z2, f32x16_sub(u, one));
    f32x16 y = f32x16_mul(f32x16_mul(f32x16_select(negative, below, above), q), z);
    return f32x16_fma(y, scale.b, f32x16_select(negative, f32x16_zero(), one));
}

/* ---- sine and cosine ------------------------------------------------------------------------------------------- */

/* x as quadrant pi/2 + hi + lo. */
typedef struct {
    f32x16 hi, lo;
    i32x16 quadrant;
} ody_angle_f32;

/* The bits of 2/pi after the point, behind 32 zeros. */
static const uint32_t ody_two_over_pi_f32[] = {0, 0xa2f9836e, 0x4e441529, 0xfc2757d1, 0xf534ddc0, 0xdb629599, 0x3c439041, 0xfe5163ab};

/*
 * One lane of |x| >= 2^16. x = M 2^e: of M * 2^e * 2/pi only the value mod 4 is wanted, so 96 bits of 2/pi from
 * position e - 2 on are enough; 24 are lost to the unknown ones that follow, 2 are the quadrant, 70 the fraction.
 */
static __attribute__((noinline, unused)) void ody_angle_huge_f32(float x, float *hi, float *lo, int32_t *quadrant) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    uint32_t exponent = bits >> 23 & 255;
    if (exponent == 255) {
        *hi = *lo = x - x;
        *quadrant = 0;
        return;
    }
    uint64_t mantissa = (bits & 0x7fffff) | 0x800000;
    uint32_t at = exponent - 150 - 2 + 32; /* e - 2, counted from the 32 zeros */
    const uint32_t *word = ody_two_over_pi_f32 + at / 32;
    uint32_t shift = at % 32, w[3];
    for (int i = 0; i < 3; i++) w[i] = shift ? word[i] << shift | word[i + 1] >> (32 - shift) : word[i];
    uint64_t low = mantissa * w[2], middle = mantissa * w[1] + (low >> 32), high = mantissa * w[0] + (middle >> 32);
    uint64_t turn = high << 32 | (middle & 0xffffffff); /* x * 2/pi / 4, mod 1, in units of 2^-64 */
    uint64_t fraction = turn << 2 | (low & 0xffffffff) >> 30;
    *quadrant = (int32_t)((turn >> 62) + (fraction >> 63)); /* to the nearest: the fraction becomes signed */
    double r = (double)(int64_t)fraction * (0x1.921fb54442d18p+0 * 0x1p-64);
    if (bits >> 31) {
        r = -r;
        *quadrant = -*quadrant;
    }
    *hi = (float)r;
    *lo = (float)(r - (double)*hi);
}

/* pi/2 in three parts: k c1 is subtracted exactly, k c2 with its rounding errors kept, k c3 makes up the rest. */
ODY_INLINE ody_angle_f32 f32x16_angle(f32x16 x) {
    const f32x16 magic = f32x16_splat(0x1.8p23f);
    const f32x16 c1 = f32x16_splat(0x1.921fb6p+0f), c2 = f32x16_splat(-0x1.777a5cp-25f), c3 = f32x16_splat(-0x1.ee59dap-50f);
    f32x16 t = f32x16_fma(x, f32x16_splat(0x1.45f306p-1f), magic), k = f32x16_sub(t, magic);
    f32x16 r1 = f32x16_fnma(k, c1, x);
    f32x16 p = f32x16_mul(k, c2), p_lo = f32x16_fms(k, c2, p);
    f32x16 r = f32x16_sub(r1, p), from_p = f32x16_sub(r, r1);
    f32x16 r_lo = f32x16_sub(f32x16_sub(r1, f32x16_sub(r, from_p)), f32x16_add(p, from_p));
    r_lo = f32x16_fnma(k, c3, f32x16_sub(r_lo, p_lo));
    ody_angle_f32 angle = {r, r_lo, f32x16_bits(t)};

    m32x16 usual = f32x16_lt(f32x16_abs(x), f32x16_splat(0x1p16f));
    if (__builtin_expect(!m32x16_all(usual), 0)) {
        float lane[16], hi[16], lo[16];
        int32_t quadrant[16];
        f32x16_store(lane, x);
        f32x16_store(hi, angle.hi);
        f32x16_store(lo, angle.lo);
        i32x16_store(quadrant, angle.quadrant);
        uint32_t todo = ~m32x16_bits(usual) & 0xffff;
        for (int i = 0; i < 16; i++)
            if (todo >> i & 1) ody_angle_huge_f32(lane[i], &hi[i], &lo[i], &quadrant[i]);
        angle = (ody_angle_f32){f32x16_load(hi), f32x16_load(lo), i32x16_load(quadrant)};
    }
    return angle;
}

/* sin of an angle: of hi + lo in even quadrants, cos in odd ones, the sign changed in the second half of the circle. */
ODY_INLINE f32x16 f32x16_sin_of(ody_angle_f32 angle) {
    f32x16 r = angle.hi, lo = angle.lo;
    f32x16 r2 = f32x16_fma(r, r, f32x16_mul(r, f32x16_add(lo, lo)));
    f32x16 s = f32x16_add(r, f32x16_fma(f32x16_mul(r, r2), f32x16_horner(r2, ody_sin_f32, 3), lo));
    f32x16 c = f32x16_fma(r2, f32x16_horner(r2, ody_cos_f32, 4), f32x16_splat(1.0f));
    i32x16 q = angle.quadrant;
    m32x16 odd = i32x16_gt(i32x16_splat(0), i32x16_shl(q, 31));
    i32x16 sign = i32x16_shl(i32x16_shr(q, 1), 31);
    return f32x16_from_bits(i32x16_xor(f32x16_bits(f32x16_select(odd, c, s)), sign));
}

/* sin x, for every finite x. sin(+-inf) is NaN. */
ODY_INLINE f32x16 f32x16_sin(f32x16 x) {
    f32x16 y = f32x16_sin_of(f32x16_angle(x));
    return f32x16_select(f32x16_eq(x, f32x16_zero()), x, y);
}

/* cos x, for every finite x. cos(+-inf) is NaN. */
ODY_INLINE f32x16 f32x16_cos(f32x16 x) {
    ody_angle_f32 angle = f32x16_angle(x);
    angle.quadrant = i32x16_add(angle.quadrant, i32x16_splat(1));
    return f32x16_sin_of(angle);
}

/* ---- power ----------------------------------------------------------------------------------------------------- */

/* x^y for finite x > 0 and finite y, in double precision: 2^(y log2 x), log2 by atanh of (m - 1) / (m + 1). */
ODY_INLINE f64x8 ody_pow_f32_half(f64x8 x, f64x8 y) {
    const f64x8 one = f64x8_splat(1.0), magic = f64x8_splat(0x1.8p52);
    i64x8 above = i64x8_sub(f64x8_bits(x), i64x8_splat(0x3fe6a09e667f3bcd)); /* sqrt(1/2) */
    i64x8 exponent = i64x8_and(above, i64x8_splat((int64_t)0xfff0000000000000));
    f64x8 m = f64x8_from_bits(i64x8_sub(f64x8_bits(x), exponent));
    /* exponent = k 2^52; as the low bits of a number near 1.5 2^52, shifted down, it is k without a conversion. */
    i64x8 k_bits = i64x8_shr(i64x8_add(exponent, i64x8_splat((int64_t)1 << 62)), 52);
    f64x8 k = f64x8_sub(f64x8_from_bits(i64x8_add(k_bits, f64x8_bits(magic))), f64x8_splat(0x1.8p52 + 1024));
    f64x8 s = f64x8_div(f64x8_sub(m, one), f64x8_add(m, one)), s2 = f64x8_mul(s, s);
    f64x8 p = f64x8_splat(ody_pow_f32_log2[5]);
    for (int i = 4; i >= 0; i--) p = f64x8_fma(p, s2, f64x8_splat(ody_pow_f32_log2[i]));
    f64x8 e = f64x8_mul(y, f64x8_fma(s, p, k));
    e = f64x8_min(f64x8_splat(200.0), f64x8_max(f64x8_splat(-200.0), e)); /* beyond: inf and 0 in float32 */
    f64x8 t = f64x8_add(e, magic), f = f64x8_sub(e, f64x8_sub(t, magic));
    p = f64x8_splat(ody_pow_f32_exp2[7]);
    for (int i = 6; i >= 0; i--) p = f64x8_fma(p, f, f64x8_splat(ody_pow_f32_exp2[i]));
    return f64x8_mul(p, f64x8_from_bits(i64x8_shl(i64x8_add(f64x8_bits(t), i64x8_splat(1023)), 52)));
}

ODY_INLINE f32x16 f32x16_pow_positive(f32x16 x, f32x16 y) {
    f64x8 x_lo, x_hi, y_lo, y_hi;
    f32x16_to_f64(x, &x_lo, &x_hi);
    f32x16_to_f64(y, &y_lo, &y_hi);
    return f32x16_from_f64(ody_pow_f32_half(x_lo, y_lo), ody_pow_f32_half(x_hi, y_hi));
}

/* The rest of C99's pow (Annex F), which is also NumPy's. */
static __attribute__((noinline, unused)) void ody_pow_f32_special(float *out, const float *px, const float *py) {
    const f32x16 zero = f32x16_zero(), one = f32x16_splat(1.0f), inf = f32x16_splat(INFINITY);
    f32x16 x = f32x16_load(px), y = f32x16_load(py), a = f32x16_abs(x), half = f32x16_mul(y, f32x16_splat(0.5f));
    m32x16 whole = f32x16_eq(f32x16_trunc(y), y);
    m32x16 odd = m32x16_andnot(whole, f32x16_eq(f32x16_trunc(half), half));
    m32x16 negative = f32x16_sign(x);
    m32x16 ordinary = m32x16_and(m32x16_and(f32x16_gt(a, zero), f32x16_lt(a, inf)), f32x16_lt(f32x16_abs(y), inf));
    f32x16 r = f32x16_pow_positive(f32x16_select(ordinary, a, one), f32x16_select(ordinary, y, one));
    /* 0, inf or an infinite power: inf if |x| > 1 and y > 0, or |x| < 1 and y < 0; else 0; but 1 for |x| = 1. */
    m32x16 outside = f32x16_gt(a, one), up = f32x16_gt(y, zero);
    m32x16 grows = m32x16_or(m32x16_and(outside, up), m32x16_not(m32x16_or(outside, up)));
    r = f32x16_select(ordinary, r, f32x16_select(f32x16_eq(a, one), one, f32x16_select(grows, inf, zero)));
    r = f32x16_select(m32x16_and(negative, odd), f32x16_neg(r), r);
    m32x16 invalid = m32x16_and(m32x16_and(ordinary, negative), m32x16_not(whole));
    invalid = m32x16_or(invalid, m32x16_or(f32x16_is_nan(x), f32x16_is_nan(y)));
    r = f32x16_select(invalid, f32x16_splat(NAN), r);
    f32x16_store(out, f32x16_select(m32x16_or(f32x16_eq(y, zero), f32x16_eq(x, one)), one, r));
}

/* x^y. */
ODY_INLINE f32x16 f32x16_pow(f32x16 x, f32x16 y) {
    const f32x16 inf = f32x16_splat(INFINITY);
    m32x16 usual = m32x16_and(m32x16_and(f32x16_gt(x, f32x16_zero()), f32x16_lt(x, inf)), f32x16_lt(f32x16_abs(y), inf));
    if (__builtin_expect(m32x16_all(usual), 1)) return f32x16_pow_positive(x, y);
    float px[16], py[16], out[16];
    f32x16_store(px, x);
    f32x16_store(py, y);
    ody_pow_f32_special(out, px, py);
    return f32x16_load(out);
}

#endif
