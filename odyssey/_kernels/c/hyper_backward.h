/* The gradients of hyper_pre: a group of tokens at a time, as there. The projections are not computed again, only what the
 * weights come of: `mix` was kept. With p the gradient of the product fn x,
 *
 *   dx[j] = pre[j] grad - r^2 mean(dmix mix) x[j] + sum over the outputs of p fn[j],      dfn = p x: a product of matrices
 *                                                                                        over all tokens, not done here. */
#ifndef ODY_HYPER_BACKWARD_H
#define ODY_HYPER_BACKWARD_H
enum {
    HYPER_SPAN = 2, HYPER_DEEP = 8, /* a tile of dx: vectors, tokens */
    HYPER_AHEAD = 1024,             /* bytes */
};
#endif

static real K(hyper_dot)(const real *x, const real *y, size_t n) {
    const vec neutral = v_zero();
    vec total;
    REDUCE_SEQUENCE(total, n, neutral, neutral, v_add, acc = v_fma(v_load(x + i), v_load(y + i), acc),
                    acc = v_fma(v_load_n(x + i, left, 0), v_load_n(y + i, left, 0), acc));
    return v_reduce_add(total);
}

/* `width` elements of dx[j] of some tokens, in `spans` vectors; memory for them is fetched ahead. weight is p, then pre and the factor of x, lanes of tokens. */
ODY_INLINE void K(hyper_dx_tile)(const size_t tokens, const size_t spans, const size_t width, const real *fn, size_t n,
                                 size_t outputs, const real *weight, const real *pre, const real *own, const real *grad,
                                 size_t hidden, const real *x, real *dx) {
    vec acc[HYPER_DEEP][HYPER_SPAN];
    const size_t last = width - (spans - 1) * LANES;
    HYPER_UNROLL for (size_t t = 0; t < tokens; t++)
        HYPER_UNROLL for (size_t s = 0; s < spans; s++) __builtin_prefetch(dx + t * n + s * LANES + HYPER_AHEAD / sizeof(real), 1);
#define GET(p, s) ((s) + 1 < spans || last == LANES ? v_load((p) + (s)*LANES) : v_load_n((p) + (s)*LANES, last, 0))
    HYPER_UNROLL for (size_t t = 0; t < tokens; t++)
        HYPER_UNROLL for (size_t s = 0; s < spans; s++)
            acc[t][s] = v_fma(v_splat(own[t]), GET(x + t * n, s), v_mul(v_splat(pre[t]), GET(grad + t * hidden, s)));
    for (size_t o = 0; o < outputs; o++) {
        vec row[HYPER_SPAN];
        HYPER_UNROLL for (size_t s = 0; s < spans; s++) row[s] = GET(fn + o * n, s);
        HYPER_UNROLL for (size_t t = 0; t < tokens; t++) {
            const vec w = v_splat(weight[o * LANES + t]);
            HYPER_UNROLL for (size_t s = 0; s < spans; s++) acc[t][s] = v_fma(w, row[s], acc[t][s]);
        }
    }
#undef GET
    HYPER_UNROLL for (size_t t = 0; t < tokens; t++)
        HYPER_UNROLL for (size_t s = 0; s < spans; s++) {
            if (s + 1 < spans || last == LANES) v_store(dx + t * n + s * LANES, acc[t][s]);
            else v_store_n(dx + t * n + s * LANES, acc[t][s], last);
        }
}

static void K(hyper_dx)(const ody_hyper *h, const real *x, const real *grad, size_t count, const real *weight, const real *pre,
                        const real *own, real *dx) {
    const size_t hidden = h->hidden, n = h->streams * hidden, outputs = hyper_outputs(h);
    const real *fn = h->fn;
    for (size_t t = 0; t < count;) {
        const size_t left = count - t, tokens = left >= HYPER_DEEP ? HYPER_DEEP : left >= HYPER_DEEP / 2 ? HYPER_DEEP / 2 : 1;
        for (size_t j = 0; j < h->streams; j++)
            for (size_t i = 0; i < hidden;) {
                const size_t rest = hidden - i, at = j * hidden + i;
                const size_t width = rest >= HYPER_SPAN * LANES ? HYPER_SPAN * LANES : rest < LANES ? rest : LANES;
#define TILE(tokens, spans, t)                                                                                         \
    K(hyper_dx_tile)(tokens, spans, width, fn + at, n, outputs, weight + (t), pre + j * LANES + (t), own + (t),         \
                     grad + (t)*hidden + i, hidden, x + (t)*n + at, dx + (t)*n + at)
                if (width <= LANES)
                    for (size_t k = 0; k < tokens; k++) TILE(1, 1, t + k);
                else if (tokens == HYPER_DEEP) TILE(HYPER_DEEP, HYPER_SPAN, t);
                else if (tokens == HYPER_DEEP / 2) TILE(HYPER_DEEP / 2, HYPER_SPAN, t);
                else TILE(1, HYPER_SPAN, t);
#undef TILE
                i += width;
            }
        t += tokens;
    }
}

static void K(hyper_pre_backward)(const ody_hyper *h) {
    const size_t n = h->streams, hidden = h->hidden, outputs = hyper_outputs(h), scales = h->kind == ODY_HYPER_HEAD ? 1 : 3;
    real *weight = h->workspace, *pre_lanes = weight + outputs * LANES, *own = pre_lanes + n * LANES;
    vec *tape = (vec *)(own + LANES);
    const vec one = v_splat(1);
    const real *scale = h->scale;
    vec mix[HYPER_MOST_OUTPUTS], pre[HYPER_MOST], post[HYPER_MOST], comb[HYPER_MOST * HYPER_MOST];
    vec d[HYPER_MOST_OUTPUTS], terms[HYPER_MOST_OUTPUTS + 3], dcomb[HYPER_MOST * HYPER_MOST];
    for (size_t first = 0; first < h->tokens; first += h->group) {
        const size_t count = h->tokens - first < h->group ? h->tokens - first : h->group;
        const real *x = (const real *)h->x + first * n * hidden, *grad = (const real *)h->grad_collapsed + first * hidden;
        const vec root = K(hyper_roots)(h, x, count);
        K(hyper_gather)((const real *)h->mix + first * outputs, outputs, mix, count);
        K(hyper_maps)(h, mix, pre, post, comb);
        /* The gradients of the logits: of pre, a dot of x and grad, of post, and of comb, back through the iterations. */
        const vec shift = K(hyper_added)(h);
        for (size_t j = 0; j < n; j++) {
            real dot[LANES];
            for (size_t t = 0; t < LANES; t++)
                dot[t] = t < count ? K(hyper_dot)(x + (t * n + j) * hidden, grad + t * hidden, hidden) : 0;
            const vec s = v_sub(pre[j], shift);
            terms[j] = v_mul(v_load(dot), v_mul(s, v_sub(one, s)));
        }
        if (h->kind != ODY_HYPER_HEAD) {
            vec given[HYPER_MOST];
            for (size_t j = 0; j < n; j++) given[j] = v_zero();
            if (h->grad_post) K(hyper_gather)((const real *)h->grad_post + first * n, n, given, count);
            /* post = 2 s: 2 s (1 - s) = post (1 - post / 2) */
            for (size_t j = 0; j < n; j++)
                terms[n + j] = v_mul(given[j], v_mul(post[j], v_fnma(v_splat(R(0.5)), post[j], one)));
            for (size_t i = 0; i < n * n; i++) dcomb[i] = v_zero();
            if (h->grad_comb) {
                K(hyper_gather)((const real *)h->grad_comb + first * n * n, n * n, dcomb, count);
                K(hyper_sinkhorn_backward)(n, h->iterations, shift, v_splat((real)h->eps), comb, dcomb, tape);
            }
            for (size_t j = 0; j < n; j++)
                for (size_t k = 0; k < n; k++) terms[hyper_place(h, j, k)] = dcomb[j * n + k];
        }
        vec sum = v_zero();
        for (size_t part = 0; part < scales; part++) terms[outputs + part] = v_zero();
        for (size_t o = 0; o < outputs; o++) {
            const size_t part = hyper_part(o, n);
            terms[outputs + part] = v_fma(terms[o], mix[o], terms[outputs + part]);
            const vec dmix = v_mul(terms[o], v_splat(scale[part]));
            sum = v_fma(dmix, mix[o], sum);
            d[o] = v_mul(dmix, root);
            v_store(weight + o * LANES, d[o]);
        }
        K(hyper_scatter)(terms, outputs + scales, (real *)h->terms + first * (outputs + scales), count);
        K(hyper_scatter)(d, outputs, (real *)h->dproduct + first * outputs, count);
        if (!h->dx) continue;
        for (size_t j = 0; j < n; j++) v_store(pre_lanes + j * LANES, pre[j]);
        v_store(own, v_neg(v_div(v_mul(v_mul(root, root), sum), v_splat((real)(n * hidden)))));
        K(hyper_dx)(h, x, grad, count, weight, pre_lanes, own, (real *)h->dx + first * n * hidden);
    }
}

static size_t K(hyper_workspace)(const ody_hyper *h, int backward) {
    const size_t n = h->streams, outputs = hyper_outputs(h);
    if (!backward) return HYPER_SUMS_BYTES(outputs) + HYPER_LANES_BYTES(outputs);
    return 64 * (outputs + n + 1 + (h->kind == ODY_HYPER_HEAD ? 0 : SINKHORN_WORKSPACE(n, h->iterations)));
}
