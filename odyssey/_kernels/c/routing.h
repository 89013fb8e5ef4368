/* Tokens and their experts: the choice and its weights, the sum of what the experts made, and the gradients. */

/* EXP_SCALE times e^(x - most) of the `count` <= LANES logits that `from` names. */
ODY_INLINE vec K(exp_chosen)(const real *x, const int64_t *from, size_t count, vec most) {
    real at[LANES];
    for (size_t l = 0; l < LANES; l++) at[l] = x[from[l < count ? l : 0]];
    return K(exp_below)(v_sub(v_load(at), most));
}

/* What the weights are divided by: the sum over all logits, or over the chosen ones in their order; NaN if any is NaN. */
static inline real K(route_total)(const real *x, size_t n, const int64_t *expert, size_t k, int renormalize, vec most,
                                  const real *next) {
    const real all = K(row_sum_exp)(x, n, most, next);
    if (!renormalize || all != all) return all;
    real total = 0;
    for (size_t j = 0; j < k; j += LANES) {
        const size_t count = k - j < LANES ? k - j : LANES;
        real e[LANES];
        v_store(e, K(exp_chosen)(x, expert + j, count, most));
        for (size_t l = 0; l < count; l++) total += e[l];
    }
    return total;
}

/* The largest so far stand in order in `weight` and `expert`; one more goes behind its equals. */
static void K(moe_route)(const ody_rows *r) {
    const size_t n = r->n, k = (size_t)r->param[0];
    const int renormalize = r->param[1] != 0;
    for (size_t row = 0; row < r->rows; row++) {
        const real *x = ROW_IN(r, 0);
        real *weight = ROW_OUT(r, 0);
        int64_t *expert = (int64_t *)(void *)ROW_OUT(r, 1);
        size_t kept = 0;
        for (size_t i = 0; i < n; i++) {
            const real value = x[i] == x[i] ? x[i] : -REAL_INF;
            if (kept == k && !(value > weight[k - 1])) continue;
            size_t at = kept < k ? kept++ : k - 1;
            for (; at > 0 && value > weight[at - 1]; at--) {
                weight[at] = weight[at - 1];
                expert[at] = expert[at - 1];
            }
            weight[at] = value;
            expert[at] = (int64_t)i;
        }
        const vec most = v_splat(weight[0]);
        const vec total = v_splat(K(route_total)(x, n, expert, k, renormalize, most, AT(x, r->in_step[0])));
        for (size_t j = 0; j < k; j += LANES) {
            const size_t count = k - j < LANES ? k - j : LANES;
            SAVE(weight + j, v_div(K(exp_chosen)(x, expert + j, count, most), total));
        }
    }
}

static void K(moe_route_backward)(const ody_rows *r) {
    const size_t n = r->n, k = (size_t)r->param[0];
    const int renormalize = r->param[1] != 0;
    for (size_t row = 0; row < r->rows; row++) {
        const real *grad = ROW_IN(r, 0), *x = ROW_IN(r, 1);
        const int64_t *expert = (const int64_t *)(const void *)ROW_IN(r, 2);
        real *out = ROW_OUT(r, 0);
        const vec most = v_splat(K(row_max)(x, n));
        const vec total = v_splat(K(route_total)(x, n, expert, k, renormalize, most, AT(x, r->in_step[1])));
        real mean = 0, weight[LANES];
        for (size_t j = 0; j < k; j += LANES) {
            const size_t count = k - j < LANES ? k - j : LANES;
            v_store(weight, v_div(K(exp_chosen)(x, expert + j, count, most), total));
            for (size_t l = 0; l < count; l++) mean += grad[j + l] * weight[l];
        }
        if (renormalize) {
            NORM_MAP(n, 0, const vec y = v_zero(); (void)count);
        } else {
            const vec less = v_splat(-mean);
            NORM_MAP(n, 0, const vec y = v_mul(v_div(K(exp_below)(v_sub(SOME(x + i), most)), total), less));
        }
        for (size_t j = 0; j < k; j += LANES) {
            const size_t count = k - j < LANES ? k - j : LANES;
            v_store(weight, v_div(K(exp_chosen)(x, expert + j, count, most), total));
            for (size_t l = 0; l < count; l++) out[expert[j + l]] = weight[l] * (grad[j + l] - mean);
        }
    }
}

/* A few vectors of a row at a time, so that their sums stay in registers over all terms; `from` is the terms' rows. */
#define WEIGHTED_SUM(terms, WEIGHT, FROM)                                                                              \
    do {                                                                                                               \
        const int streamed = c->flags & ODY_STREAM && (uintptr_t)out % 64 == 0;                                        \
        size_t i = 0;                                                                                                  \
        for (; n - i >= 4 * LANES; i += 4 * LANES) {                                                                   \
            vec sum[4] = {v_zero(), v_zero(), v_zero(), v_zero()};                                                     \
            for (size_t term = 0; term < (terms); term++) {                                                            \
                const vec by = v_splat(WEIGHT);                                                                        \
                const real *from = (const real *)(FROM) + i;                                                           \
                for (size_t q = 0; q < 4; q++) sum[q] = v_fma(by, v_load(from + q * LANES), sum[q]);                   \
            }                                                                                                          \
            for (size_t q = 0; q < 4; q++) K(put)(out + i + q * LANES, sum[q], streamed);                              \
        }                                                                                                              \
        for (; i < n; i += LANES) {                                                                                    \
            const size_t count = n - i < LANES ? n - i : LANES;                                                        \
            vec sum = v_zero();                                                                                        \
            for (size_t term = 0; term < (terms); term++)                                                              \
                sum = v_fma(v_splat(WEIGHT), SOME((const real *)(FROM) + i), sum);                                     \
            SAVE(out + i, sum);                                                                                        \
        }                                                                                                              \
    } while (0)

static void K(moe_combine)(const ody_combine *c) {
    const size_t n = c->n, k = c->k;
    for (size_t token = 0; token < c->tokens; token++) {
        const real *weight = (const real *)c->weights + token * k;
        const int64_t *row = c->rows + token * k;
        real *out = (real *)AT(c->out, (ptrdiff_t)token * c->out_step);
        WEIGHTED_SUM(k, weight[term], AT(c->x, (ptrdiff_t)row[term] * c->x_step));
    }
    if (c->flags & ODY_STREAM) ody_fence();
}

static void K(moe_combine_backward)(const ody_combine *c) {
    const size_t n = c->n, k = c->k;
    const real *weight = c->weights;
    for (size_t row = 0; row < c->tokens; row++) {
        const int64_t *place = c->order + c->starts[row];
        const size_t terms = (size_t)(c->starts[row + 1] - c->starts[row]);
        real *out = (real *)AT(c->out, (ptrdiff_t)row * c->out_step);
        WEIGHTED_SUM(terms, weight[place[term]], AT(c->grad, place[term] / (int64_t)k * c->grad_step));
    }
    if (c->flags & ODY_STREAM) ody_fence();
}
#undef WEIGHTED_SUM

static void K(moe_combine_backward_weights)(const ody_combine *c) {
    const size_t n = c->n, k = c->k;
    const vec neutral = v_splat(R(-0.0));
    for (size_t token = 0; token < c->tokens; token++) {
        const real *grad = AT(c->grad, (ptrdiff_t)token * c->grad_step);
        real *out = (real *)AT(c->out, (ptrdiff_t)token * c->out_step);
        for (size_t j = 0; j < k; j++) {
            const real *x = AT(c->x, (ptrdiff_t)c->rows[token * k + j] * c->x_step);
            vec total;
            REDUCE_SEQUENCE(total, n, neutral, neutral, v_add, acc = v_fma(v_load(grad + i), v_load(x + i), acc),
                            acc = v_fma(v_load_n(grad + i, left, 0), v_load_n(x + i, left, 0), acc));
            out[j] = n == 0 ? 0 : v_reduce_add(total);
        }
    }
}
