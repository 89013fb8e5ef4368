/* Elementwise kernels: a line an operation. Inputs are called a, b, c; `p` is the parameters. */

MAP2(add, v_add(a, b))
MAP2(subtract, v_sub(a, b))
MAP2(multiply, v_mul(a, b))
MAP2(divide, v_div(a, b))
/* v_min and v_max give b when either is NaN: only a NaN in a needs a word. */
MAP2(minimum, v_select(v_is_nan(a), a, v_min(a, b)))
MAP2(maximum, v_select(v_is_nan(a), a, v_max(a, b)))
LONG2(power, v_pow(a, b))

MAP1_WITH(scale, const vec alpha = PARAM(0), v_mul(alpha, a))
MAP2_WITH(axpy, const vec alpha = PARAM(0), v_fma(alpha, a, b))
MAP3(fma, v_fma(a, b, c))

LONG1(exp, v_exp(a))
LONG1(log, v_log(a))
LONG1(log2, v_log2(a))
MAP1(sqrt, v_sqrt(a))
MAP1_WITH(reciprocal, const vec one = v_splat(1), v_div(one, a))
LONG1(sin, v_sin(a))
LONG1(cos, v_cos(a))
LONG1(erf, v_erf(a))

/* factor * e^x for any factor. Where e^x nears the subnormal numbers, which have fewer bits, a factor could bring the
 * product back to where the missing bits show: there e^x is `deep`, and taken as the square of its root e^(x/2). */
ODY_INLINE mask K(is_deep)(vec x) { return v_lt(x, v_splat(sizeof(real) == 4 ? R(-60.0) : R(-600.0))); }
ODY_INLINE vec K(halve_if)(mask deep, vec x) { return v_select(deep, v_mul(x, v_splat(R(0.5))), x); }
ODY_INLINE vec K(times_root)(vec factor, vec root, mask deep) {
    vec once = v_mul(factor, root);
    return v_select(deep, v_mul(once, root), once);
}
ODY_INLINE vec K(times_exp)(vec factor, vec x) {
    mask deep = K(is_deep)(x);
    return K(times_root)(factor, v_exp(K(halve_if)(deep, x)), deep);
}

/* grad * 2/sqrt(pi) e^(-x^2). Rounding x^2 would cost as many ulp as x^2 is large, so what rounding lost is put back:
 * e^(-square - lost) = e^-square (1 - lost). Past `last` nothing is left of the root; x = inf would make `lost` NaN. */
ODY_INLINE vec K(erf_grad)(vec grad, vec x) {
    const vec last = v_splat(sizeof(real) == 4 ? R(15.0) : R(39.0));
    vec size = v_min(last, v_abs(x));
    vec minus_square = v_neg(v_mul(size, size)), lost = v_fma(size, size, minus_square);
    mask deep = K(is_deep)(minus_square);
    vec root = v_exp(K(halve_if)(deep, minus_square));
    root = v_fnma(K(halve_if)(deep, lost), root, root);
    return v_mul(K(times_root)(grad, root, deep), v_splat(R(1.12837916709551257390)));
}
LONG2(erf_backward, K(erf_grad)(a, b))

/* The bounds first: so a NaN in a comes through. */
MAP1_WITH(clip, const vec low = PARAM(0); const vec high = PARAM(1), v_min(high, v_max(low, a)))
MAP2_WITH(clip_backward, const vec low = PARAM(0); const vec high = PARAM(1),
          v_select(m_and(v_ge(b, low), v_le(b, high)), a, v_zero()))
