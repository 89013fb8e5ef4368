/*
 * real.h: one kernel text for both real types. No include guard: a family is included twice,
 *
 *     #define ODY_REAL 32
 *     #include "real.h"
 *     #include "softmax.h"          -> softmax_f32
 *     #define ODY_REAL 64
 *     #include "real.h"
 *     #include "softmax.h"          -> softmax_f64
 *
 * and in between `real`, `vec`, `ivec`, `mask`, `LANES`, `K(name)`, `v_*`, `iv_*` and `m_*` change their meaning.
 * These are macros with everyday names: include system headers before this one.
 */
#include "vec.h"

#ifndef ODY_REAL
#error "define ODY_REAL as 32 or 64 before including real.h"
#endif

#undef real
#undef vec
#undef ivec
#undef mask
#undef integer
#undef LANES
#undef K
#undef R
#undef REAL_MAX
#undef REAL_MIN
#undef REAL_EPS
#undef ODY_V
#undef ODY_IV
#undef ODY_M
#undef v_to_int
#undef v_from_int

#if ODY_REAL == 32
#define real float
#define vec f32x16
#define ivec i32x16
#define mask m32x16
#define integer int32_t
#define LANES 16
#define K(name) name##_f32
#define R(literal) literal##f /* a literal in the type at hand: R(0.5), R(1e-3) */
#define REAL_MAX FLT_MAX
#define REAL_MIN FLT_MIN
#define REAL_EPS FLT_EPSILON
#define ODY_V(name) f32x16_##name
#define ODY_IV(name) i32x16_##name
#define ODY_M(name) m32x16_##name
#define v_to_int f32x16_to_i32
#define v_from_int f32x16_from_i32
#elif ODY_REAL == 64
#define real double
#define vec f64x8
#define ivec i64x8
#define mask m64x8
#define integer int64_t
#define LANES 8
#define K(name) name##_f64
#define R(literal) literal
#define REAL_MAX DBL_MAX
#define REAL_MIN DBL_MIN
#define REAL_EPS DBL_EPSILON
#define ODY_V(name) f64x8_##name
#define ODY_IV(name) i64x8_##name
#define ODY_M(name) m64x8_##name
#define v_to_int f64x8_to_i64
#define v_from_int f64x8_from_i64
#else
#error "ODY_REAL must be 32 or 64"
#endif
#undef ODY_REAL

/* From here on the expansions follow the definitions above, so once is enough. */
#ifndef REAL_INF
#define REAL_INF ((real)INFINITY)
#define REAL_NAN ((real)NAN)

#define v_load ODY_V(load)
#define v_load_far ODY_V(load_far)
#define v_store ODY_V(store)
#define v_stream ODY_V(stream)
#define v_load_n ODY_V(load_n)
#define v_store_n ODY_V(store_n)
#define v_splat ODY_V(splat)
#define v_zero ODY_V(zero)
#define v_add ODY_V(add)
#define v_sub ODY_V(sub)
#define v_mul ODY_V(mul)
#define v_div ODY_V(div)
#define v_sqrt ODY_V(sqrt)
#define v_fma ODY_V(fma)
#define v_fms ODY_V(fms)
#define v_fnma ODY_V(fnma)
#define v_abs ODY_V(abs)
#define v_neg ODY_V(neg)
#define v_copysign ODY_V(copysign)
#define v_min ODY_V(min)
#define v_max ODY_V(max)
#define v_round_even ODY_V(round_even)
#define v_floor ODY_V(floor)
#define v_ceil ODY_V(ceil)
#define v_trunc ODY_V(trunc)
#define v_lt ODY_V(lt)
#define v_le ODY_V(le)
#define v_gt ODY_V(gt)
#define v_ge ODY_V(ge)
#define v_eq ODY_V(eq)
#define v_ne ODY_V(ne)
#define v_is_nan ODY_V(is_nan)
#define v_select ODY_V(select)
#define v_bits ODY_V(bits)
#define v_from_bits ODY_V(from_bits)
#define v_lookup8 ODY_V(lookup8)
#define v_reduce_add ODY_V(reduce_add)
#define v_reduce_min ODY_V(reduce_min)
#define v_reduce_max ODY_V(reduce_max)
#define v_compress ODY_V(compress)
#define v_transpose ODY_V(transpose)
#define v_unzip ODY_V(unzip)
#define V_PARTS ODY_V(PARTS)
#define v_part ODY_V(part)
#define v_part_zero ODY_V(part_zero)
#define v_part_splat ODY_V(part_splat)
#define v_part_load ODY_V(part_load)
#define v_part_store ODY_V(part_store)
#define v_part_load_far ODY_V(part_load_far)
#define v_part_load_n ODY_V(part_load_n)
#define v_part_fma ODY_V(part_fma)
#define v_join ODY_V(join)
#define v_zip ODY_V(zip)

#define iv_splat ODY_IV(splat)
#define iv_load ODY_IV(load)
#define iv_store ODY_IV(store)
#define iv_iota ODY_IV(iota)
#define iv_add ODY_IV(add)
#define iv_sub ODY_IV(sub)
#define iv_and ODY_IV(and)
#define iv_or ODY_IV(or)
#define iv_xor ODY_IV(xor)
#define iv_andnot ODY_IV(andnot)
#define iv_shl ODY_IV(shl)
#define iv_shr ODY_IV(shr)
#define iv_eq ODY_IV(eq)
#define iv_gt ODY_IV(gt)
#define iv_min ODY_IV(min)
#define iv_max ODY_IV(max)
#define iv_select ODY_IV(select)

#define m_and ODY_M(and)
#define m_or ODY_M(or)
#define m_not ODY_M(not)
#define m_andnot ODY_M(andnot)
#define m_any ODY_M(any)
#define m_all ODY_M(all)
#define m_bits ODY_M(bits)
#define m_first ODY_M(first)

/* math_f32.h and math_f64.h */
#define v_exp ODY_V(exp)
#define v_expm1 ODY_V(expm1)
#define v_log ODY_V(log)
#define v_log2 ODY_V(log2)
#define v_log1p ODY_V(log1p)
#define v_pow ODY_V(pow)
#define v_sin ODY_V(sin)
#define v_cos ODY_V(cos)
#define v_tanh ODY_V(tanh)
#define v_sigmoid ODY_V(sigmoid)
#define v_erf ODY_V(erf)
#define v_erfc ODY_V(erfc)
#define v_silu ODY_V(silu)
#define v_gelu ODY_V(gelu)
#define v_gelu_tanh ODY_V(gelu_tanh)
#define v_softplus ODY_V(softplus)
#define v_mish ODY_V(mish)
#define v_silu_grad ODY_V(silu_grad)
#define v_gelu_grad ODY_V(gelu_grad)
#define v_gelu_tanh_grad ODY_V(gelu_tanh_grad)
#define v_softplus_grad ODY_V(softplus_grad)
#define v_mish_grad ODY_V(mish_grad)
#endif
