/* Activations and their derivatives. Forward kernels call their input a; backward kernels take the incoming gradient a
 * and the forward's input b (sigmoid and tanh: the forward's result b). Formulas are PyTorch's.
 * Which branch a NaN takes is PyTorch's choice too: mostly the one that keeps it. */

/* a unless it is below 0: -0 stays -0, NaN stays NaN. */
MAP1(relu, v_max(v_zero(), a))
MAP2(relu_backward, v_select(v_le(b, v_zero()), v_zero(), a))

MAP1_WITH(relu6, const vec six = v_splat(6), v_min(six, v_max(v_zero(), a)))
MAP2_WITH(relu6_backward, const vec six = v_splat(6),
          v_select(m_and(v_gt(b, v_zero()), v_lt(b, six)), a, v_zero()))

MAP1_WITH(hard_tanh, const vec one = v_splat(1), v_min(one, v_max(v_neg(one), a)))
MAP2_WITH(hard_tanh_backward, const vec one = v_splat(1), v_select(v_lt(v_abs(b), one), a, v_zero()))

/* min(max(x + 3, 0), 6) / 6 */
ODY_INLINE vec K(hard_gate)(vec x) {
    vec raised = v_add(x, v_splat(3));
    return v_mul(v_min(v_splat(6), v_max(v_zero(), raised)), v_splat(R(1.0) / R(6.0)));
}
MAP1(hard_sigmoid, K(hard_gate)(a))
MAP2(hard_sigmoid_backward, v_select(v_lt(v_abs(b), v_splat(3)), v_mul(a, v_splat(R(1.0) / R(6.0))), v_zero()))

/* The gate first: x * 6 could overflow. Below -3 the gate is 0 and any factor does, but for -inf. */
MAP1(hard_swish, v_mul(v_max(v_splat(-3), a), K(hard_gate)(a)))
ODY_INLINE vec K(hard_swish_grad)(vec grad, vec x) {
    vec three = v_splat(3), sixth = v_splat(R(1.0) / R(6.0));
    vec middle = v_mul(grad, v_mul(v_fma(x, v_splat(2), three), sixth));
    return v_select(v_le(x, v_neg(three)), v_zero(), v_select(v_ge(x, three), grad, middle));
}
MAP2(hard_swish_backward, K(hard_swish_grad)(a, b))

MAP1_WITH(leaky_relu, const vec slope = PARAM(0), v_select(v_gt(a, v_zero()), a, v_mul(slope, a)))
MAP2_WITH(leaky_relu_backward, const vec slope = PARAM(0), v_select(v_gt(b, v_zero()), a, v_mul(slope, a)))

MAP2(prelu, v_select(v_gt(a, v_zero()), a, v_mul(b, a)))
/* b is x, c its weight: the gradient of x; and what each element adds to the gradient of the weight. */
MAP3(prelu_backward, v_select(v_gt(b, v_zero()), a, v_mul(c, a)))
MAP2(prelu_weight_terms, v_select(v_gt(b, v_zero()), v_zero(), v_mul(b, a)))

LONG1_WITH(elu, const vec alpha = PARAM(0), v_select(v_gt(a, v_zero()), a, v_mul(alpha, v_expm1(a))))
LONG2_WITH(elu_backward, const vec alpha = PARAM(0),
           v_select(v_gt(b, v_zero()), a, v_mul(K(times_exp)(a, b), alpha)))

/* scale and scale * alpha of Klambauer et al. 2017. */
#define SELU_SCALE R(1.0507009873554804934193349852946)
#define SELU_SCALE_ALPHA R(1.7580993408473768599402175208123)
LONG1(selu, v_select(v_gt(a, v_zero()), v_mul(v_splat(SELU_SCALE), a), v_mul(v_splat(SELU_SCALE_ALPHA), v_expm1(a))))
LONG2(selu_backward, v_select(v_gt(b, v_zero()), v_mul(a, v_splat(SELU_SCALE)),
                              v_mul(K(times_exp)(a, b), v_splat(SELU_SCALE_ALPHA))))

LONG1(sigmoid, v_sigmoid(a))
MAP2(sigmoid_backward, v_mul(a, v_fnma(b, b, b)))
LONG1(tanh, v_tanh(a))
MAP2_WITH(tanh_backward, const vec one = v_splat(1), v_mul(a, v_fnma(b, b, one)))

LONG1(silu, v_silu(a))
LONG2(silu_backward, v_mul(a, v_silu_grad(b)))
LONG2(swiglu, v_mul(v_silu(a), b))
static void K(swiglu_backward)(const ody_map *m) {
    const real *grad = m->in[0], *gate = m->in[1], *up = m->in[2];
    real *by_gate = m->out[0], *by_up = m->out[1];
    for (size_t i = 0; i < m->n; i += LANES) {
        const size_t part = m->n - i < LANES ? m->n - i : LANES;
        vec a, b, c;
        if (part == LANES) a = v_load(grad + i), b = v_load(gate + i), c = v_load(up + i);
        else a = v_load_n(grad + i, part, 0), b = v_load_n(gate + i, part, 0), c = v_load_n(up + i, part, 0);
        const vec d = v_mul(a, v_mul(c, v_silu_grad(b))), e = v_mul(a, v_silu(b));
        if (part == LANES) v_store(by_gate + i, d), v_store(by_up + i, e);
        else v_store_n(by_gate + i, d, part), v_store_n(by_up + i, e, part);
    }
}
LONG1(gelu, v_gelu(a))
LONG2(gelu_backward, v_mul(a, v_gelu_grad(b)))
LONG1(gelu_tanh, v_gelu_tanh(a))
LONG2(gelu_tanh_backward, v_mul(a, v_gelu_tanh_grad(b)))
LONG1(mish, v_mish(a))
LONG2(mish_backward, v_mul(a, v_mish_grad(b)))

/* The product z = beta * x is rounded. Below zero softplus and its derivative are like e^z, where an error in z is a
 * relative error of the result: this is what rounding lost. (Past -1000 the result is 0 in any case.) */
ODY_INLINE vec K(lost_below_zero)(vec beta, vec x, vec z) {
    mask matters = m_and(v_lt(z, v_zero()), v_gt(z, v_splat(-1000)));
    return v_select(matters, v_fma(beta, x, v_neg(z)), v_zero());
}
ODY_INLINE vec K(softplus_of)(vec x, vec beta, vec threshold) {
    vec z = v_mul(beta, x), y = v_softplus(z);
    /* above zero y itself, which may be infinite */
    y = v_select(v_lt(z, v_zero()), v_fma(y, K(lost_below_zero)(beta, x, z), y), y);
    return v_select(v_gt(z, threshold), x, v_div(y, beta));
}
/* Where sigmoid(z) is deep it is e^z, and so is the square of sigmoid(z/2). */
ODY_INLINE vec K(softplus_grad)(vec grad, vec x, vec beta, vec threshold) {
    vec z = v_mul(beta, x);
    mask deep = K(is_deep)(z);
    vec root = v_sigmoid(K(halve_if)(deep, z)), lost = K(halve_if)(deep, K(lost_below_zero)(beta, x, z));
    root = v_fma(root, lost, root);
    return v_select(v_gt(z, threshold), grad, K(times_root)(grad, root, deep));
}
LONG1_WITH(softplus, const vec beta = PARAM(0); const vec threshold = PARAM(1), K(softplus_of)(a, beta, threshold))
LONG2_WITH(softplus_backward, const vec beta = PARAM(0); const vec threshold = PARAM(1),
           K(softplus_grad)(a, b, beta, threshold))
