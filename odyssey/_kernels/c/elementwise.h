/* Elementwise kernels: a line an operation. Inputs are called a, b, c; `p` is the parameters. */

MAP2(add, v_add(a, b))
MAP2(subtract, v_sub(a, b))
MAP2(multiply, v_mul(a, b))
MAP2(divide, v_div(a, b))
/* v_min and v_max give b when either is NaN: only a NaN in a needs a word. */
MAP2(minimum, v_select(v_is_nan(a), a, v_min(a, b)))
MAP2(maximum, v_select(v_is_nan(a), a, v_max(a, b)))
MAP2(power, v_pow(a, b))

MAP1_WITH(scale, const vec alpha = PARAM(0), v_mul(alpha, a))
MAP2_WITH(axpy, const vec alpha = PARAM(0), v_fma(alpha, a, b))
MAP3(fma, v_fma(a, b, c))

MAP1(exp, v_exp(a))
MAP1(log, v_log(a))
MAP1(log2, v_log2(a))
MAP1(sqrt, v_sqrt(a))
MAP1_WITH(reciprocal, const vec one = v_splat(1), v_div(one, a))
MAP1(sin, v_sin(a))
MAP1(cos, v_cos(a))
MAP1(erf, v_erf(a))

/* 2/sqrt(pi) e^(-x^2). Rounding x^2 would cost as many ulp as x^2 is large, so what rounding lost is put back:
 * e^-(square + lost) = e^-square (1 - lost). Past `last` the result is 0; x = inf would make `lost` a NaN. */
ODY_INLINE vec K(erf_grad)(vec x) {
    const vec last = v_splat(sizeof(real) == 4 ? R(10.5) : R(27.5));
    vec size = v_min(last, v_abs(x));
    vec square = v_mul(size, size), lost = v_fma(size, size, v_neg(square));
    vec e = v_exp(v_neg(square));
    return v_mul(v_splat(R(1.12837916709551257390)), v_fnma(lost, e, e));
}
MAP2(erf_backward, v_mul(a, K(erf_grad)(b)))

/* The bounds first: so a NaN in a comes through. */
MAP1_WITH(clip, const vec low = PARAM(0); const vec high = PARAM(1), v_min(high, v_max(low, a)))
MAP2_WITH(clip_backward, const vec low = PARAM(0); const vec high = PARAM(1),
          v_select(m_and(v_ge(b, low), v_le(b, high)), a, v_zero()))
