/* hyper_post: the streams mixed, and a layer's result added to each, in one pass; and its gradients, in another. */

/* How many streams there are is known where they are four: then the weights stay in registers. */
ODY_INLINE void K(hyper_post_token)(const size_t n, const int streamed, const real *f, const real *x, size_t hidden,
                                    const real *post, const real *comb, real *out) {
    size_t i = 0;
#define MIX(LOAD, STORE)                                                                                               \
    do {                                                                                                               \
        vec held[HYPER_MOST];                                                                                          \
        const vec given = LOAD(f + i);                                                                                 \
        for (size_t j = 0; j < n; j++) held[j] = LOAD(x + j * hidden + i);                                             \
        for (size_t k = 0; k < n; k++) {                                                                               \
            vec acc = v_mul(v_splat(post[k]), given);                                                                  \
            for (size_t j = 0; j < n; j++) acc = v_fma(v_splat(comb[j * n + k]), held[j], acc);                        \
            STORE(out + k * hidden + i, acc);                                                                          \
        }                                                                                                              \
    } while (0)
    for (; hidden - i >= LANES; i += LANES) {
        if (streamed) MIX(v_load, v_stream);
        else MIX(v_load, v_store);
    }
    if (i < hidden) {
        const size_t left = hidden - i;
#define LOAD_LEFT(p) v_load_n(p, left, 0)
#define STORE_LEFT(p, v) v_store_n(p, v, left)
        MIX(LOAD_LEFT, STORE_LEFT);
#undef LOAD_LEFT
#undef STORE_LEFT
    }
#undef MIX
}

static void K(hyper_post)(const ody_mixing *m) {
    const size_t n = m->streams, hidden = m->hidden;
    const int streamed = m->flags & ODY_STREAM && hidden % LANES == 0 && (uintptr_t)m->out % 64 == 0;
    for (size_t t = 0; t < m->tokens; t++) {
        const real *f = (const real *)m->f + t * hidden, *x = (const real *)m->x + t * n * hidden;
        real *out = (real *)m->out + t * n * hidden;
        /* Copies, that the compiler need not fear the output lies over them. */
        real post[HYPER_MOST], comb[HYPER_MOST * HYPER_MOST];
        memcpy(post, (const real *)m->post + t * n, n * sizeof(real));
        memcpy(comb, (const real *)m->comb + t * n * n, n * n * sizeof(real));
        if (n == 4 && streamed) K(hyper_post_token)(4, 1, f, x, hidden, post, comb, out);
        else if (n == 4) K(hyper_post_token)(4, 0, f, x, hidden, post, comb, out);
        else K(hyper_post_token)(n, 0, f, x, hidden, post, comb, out);
    }
    if (m->flags & ODY_STREAM) ody_fence();
}

ODY_INLINE void K(hyper_post_token_backward)(const size_t n, const real *grad, const real *f, const real *x, size_t hidden,
                                             const real *post, const real *comb, real *df, real *dx, real *dpost, real *dcomb) {
    vec by_post[HYPER_MOST], by_comb[HYPER_MOST * HYPER_MOST];
    for (size_t k = 0; k < n; k++) by_post[k] = v_zero();
    for (size_t i = 0; i < n * n; i++) by_comb[i] = v_zero();
    size_t i = 0;
#define TAKE(LOAD, STORE)                                                                                              \
    do {                                                                                                               \
        vec g[HYPER_MOST];                                                                                             \
        const vec given = LOAD(f + i);                                                                                 \
        for (size_t k = 0; k < n; k++) g[k] = LOAD(grad + k * hidden + i);                                             \
        vec acc = v_mul(v_splat(post[0]), g[0]);                                                                       \
        by_post[0] = v_fma(g[0], given, by_post[0]);                                                                   \
        for (size_t k = 1; k < n; k++) {                                                                               \
            acc = v_fma(v_splat(post[k]), g[k], acc);                                                                  \
            by_post[k] = v_fma(g[k], given, by_post[k]);                                                               \
        }                                                                                                              \
        if (df) STORE(df + i, acc);                                                                                    \
        for (size_t j = 0; j < n; j++) {                                                                               \
            const vec held = LOAD(x + j * hidden + i);                                                                 \
            acc = v_mul(v_splat(comb[j * n]), g[0]);                                                                   \
            by_comb[j * n] = v_fma(held, g[0], by_comb[j * n]);                                                        \
            for (size_t k = 1; k < n; k++) {                                                                           \
                acc = v_fma(v_splat(comb[j * n + k]), g[k], acc);                                                      \
                by_comb[j * n + k] = v_fma(held, g[k], by_comb[j * n + k]);                                            \
            }                                                                                                          \
            if (dx) STORE(dx + j * hidden + i, acc);                                                                   \
        }                                                                                                              \
    } while (0)
    for (; hidden - i >= LANES; i += LANES) TAKE(v_load, v_store);
    if (i < hidden) {
        const size_t left = hidden - i;
#define LOAD_LEFT(p) v_load_n(p, left, 0)
#define STORE_LEFT(p, v) v_store_n(p, v, left)
        TAKE(LOAD_LEFT, STORE_LEFT);
#undef LOAD_LEFT
#undef STORE_LEFT
    }
#undef TAKE
    for (size_t k = 0; k < n; k++) dpost[k] = v_reduce_add(by_post[k]);
    for (size_t k = 0; k < n * n; k++) dcomb[k] = v_reduce_add(by_comb[k]);
}

static void K(hyper_post_backward)(const ody_mixing *m) {
    const size_t n = m->streams, hidden = m->hidden;
    for (size_t t = 0; t < m->tokens; t++) {
        const real *grad = (const real *)m->grad + t * n * hidden, *x = (const real *)m->x + t * n * hidden;
        const real *f = (const real *)m->f + t * hidden;
        real post[HYPER_MOST], comb[HYPER_MOST * HYPER_MOST];
        memcpy(post, (const real *)m->post + t * n, n * sizeof(real));
        memcpy(comb, (const real *)m->comb + t * n * n, n * n * sizeof(real));
        real *df = m->df ? (real *)m->df + t * hidden : NULL, *dx = m->dx ? (real *)m->dx + t * n * hidden : NULL;
        real *dpost = (real *)m->dpost + t * n, *dcomb = (real *)m->dcomb + t * n * n;
        if (n == 4) K(hyper_post_token_backward)(4, grad, f, x, hidden, post, comb, df, dx, dpost, dcomb);
        else K(hyper_post_token_backward)(n, grad, f, x, hidden, post, comb, df, dx, dpost, dcomb);
    }
}
