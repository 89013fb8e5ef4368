/* Rows over their deviation: layer_norm, which first takes the mean away, rms_norm, which does not, and their gradients.
 * A row is read two or three times: all but the first find it in the cache. */

#ifndef ODY_NORMS_H
#define ODY_NORMS_H

/* Long rows are fetched no nearer than the second-level cache: the first would lose what is in use. */
enum { LONG_ROW = 8192 };
#define FETCH(p)                                                                                                       \
    do {                                                                                                               \
        if (far) __builtin_prefetch(p, 0, 2);                                                                          \
        else __builtin_prefetch(p);                                                                                    \
    } while (0)
#define REAL_SQRT(x) (sizeof(real) == 4 ? (real)sqrtf((float)(x)) : (real)sqrt((double)(x)))

/* out[i] = y for the n elements of a run; BODY makes y of `count` elements at i. Streamed, a run begins with what comes
 * before out's first whole line. */
#define NORM_MAP(n, streamed, BODY)                                                                                    \
    do {                                                                                                               \
        size_t i = 0, part = (streamed) ? (64 - (uintptr_t)out % 64) % 64 / sizeof(real) : 0;                          \
        if (part > (n)) part = (n);                                                                                    \
        for (;;) {                                                                                                     \
            if (part) {                                                                                                \
                const size_t count = part;                                                                             \
                BODY;                                                                                                  \
                v_store_n(out + i, y, part);                                                                           \
                i += part;                                                                                             \
            }                                                                                                          \
            if (streamed) {                                                                                            \
                for (; (n)-i >= LANES; i += LANES) {                                                                   \
                    const size_t count = LANES;                                                                        \
                    BODY;                                                                                              \
                    v_stream(out + i, y);                                                                              \
                }                                                                                                      \
            } else {                                                                                                   \
                for (; (n)-i >= LANES; i += LANES) {                                                                   \
                    const size_t count = LANES;                                                                        \
                    BODY;                                                                                              \
                    v_store(out + i, y);                                                                               \
                }                                                                                                      \
            }                                                                                                          \
            part = (n)-i;                                                                                              \
            if (part == 0) break;                                                                                      \
        }                                                                                                              \
    } while (0)
#define SOME(p) LOAD_LANES(p, count)
#define SAVE(p, v)                                                                                                     \
    do {                                                                                                               \
        if (count == LANES) v_store(p, v);                                                                             \
        else v_store_n(p, v, count);                                                                                   \
    } while (0)

/* A row of weights or biases; where there is none, one vector of `value` that is read again and again. */
#define AFFINE(name, k, value)                                                                                         \
    real copies_##name[LANES];                                                                                         \
    v_store(copies_##name, v_splat(value));                                                                            \
    const size_t name##_step = r->in[k] != NULL;
#define AFFINE_ROW(name, k) const real *name = name##_step ? ROW_IN(r, k) : copies_##name
#endif

/* The mean (0 unless centred) and 1 / sqrt(mean((x - mean)^2) + eps). A pass over the row that finds it in the cache leaves
 * the memory idle: meanwhile what comes next is fetched, `first` in the first of two passes, `last` in the last; unless
 * NULL. */
ODY_INLINE void K(row_scale)(const real *x, size_t n, int centred, real eps, const real *first, const real *last, real *mean,
                             real *scale) {
    const vec neutral = v_splat(R(-0.0));
    const int far = n * sizeof(real) > LONG_ROW;
    vec total;
    *mean = 0;
    if (centred) {
        REDUCE_SEQUENCE(total, n, neutral, neutral, v_add, if (first) FETCH(first + i);
                        acc = v_add(acc, v_load(x + i)), acc = v_add(acc, v_load_n(x + i, left, 0)));
        *mean = v_reduce_add(total) / (real)n;
    }
    const vec c = v_splat(*mean);
#define SQUARE(LOAD)                                                                                                   \
    do {                                                                                                               \
        const vec a = LOAD, d = centred ? v_sub(a, c) : a;                                                             \
        acc = v_fma(d, d, acc);                                                                                        \
    } while (0)
    REDUCE_SEQUENCE(total, n, neutral, neutral, v_add, if (last) FETCH(last + i); SQUARE(v_load(x + i)),
                    SQUARE(v_load_n(x + i, left, 0)));
#undef SQUARE
    *scale = 1 / REAL_SQRT(v_reduce_add(total) / (real)n + eps);
}

ODY_INLINE void K(norm_rows_forward)(const ody_rows *r, int centred) {
    const size_t n = r->n;
    const int far = n * sizeof(real) > LONG_ROW;
    AFFINE(weight, 1, 1)
    AFFINE(bias, 2, R(-0.0)) /* x + -0 is x for every x */
    for (size_t row = 0; row < r->rows; row++) {
        real *out = ROW_OUT(r, 0), mean, scale;
        const real *x = ROW_IN(r, 0), *next = AT(x, r->in_step[0]);
        AFFINE_ROW(weight, 1);
        AFFINE_ROW(bias, 2);
        K(row_scale)(x, n, centred, (real)r->param[0], NULL, centred ? next : NULL, &mean, &scale);
        const vec m = v_splat(mean), s = v_splat(scale);
        if (centred)
            NORM_MAP(n, STREAMED(r), const vec d = v_sub(SOME(x + i), m);
                     const vec w = v_mul(s, SOME(weight + i * weight_step));
                     const vec y = v_fma(d, w, SOME(bias + i * bias_step)));
        else
            NORM_MAP(n, STREAMED(r), FETCH(next + i);
                     const vec y = v_mul(SOME(x + i), v_mul(s, SOME(weight + i * weight_step))));
    }
    (void)bias_step;
    if (r->flags & ODY_STREAM) ody_fence();
}
static void K(rms_norm)(const ody_rows *r) { K(norm_rows_forward)(r, 0); }
static void K(layer_norm)(const ody_rows *r) { K(norm_rows_forward)(r, 1); }

static void K(affine)(const ody_rows *r) {
    const size_t n = r->n;
    for (size_t row = 0; row < r->rows; row++) {
        real *out = ROW_OUT(r, 0);
        const real *x = ROW_IN(r, 0), *mean = ROW_IN(r, 1), *weight = ROW_IN(r, 2), *bias = ROW_IN(r, 3);
        NORM_MAP(n, STREAMED(r), const vec d = v_sub(SOME(x + i), SOME(mean + i));
                 const vec y = v_fma(d, SOME(weight + i), SOME(bias + i)));
    }
    if (r->flags & ODY_STREAM) ody_fence();
}

/* The sums of h = grad * weight and of h * (x - mean), two accumulators each, not yet folded. `next` is fetched unless
 * NULL. */
ODY_INLINE void K(norm_products)(const real *grad, const real *x, const real *weight, size_t step, size_t n, vec mean,
                                 const real *next, vec *sum, vec *product) {
    vec s[2] = {v_zero(), v_zero()}, p[2] = {v_zero(), v_zero()};
#define TAKE(k, at, count)                                                                                             \
    do {                                                                                                               \
        if (next) __builtin_prefetch(next + (at), 0, 2);                                                                    \
        const vec h = v_mul(LOAD_LANES(grad + (at), count), LOAD_LANES(weight + (at) * step, count));                  \
        s[k] = v_add(s[k], h);                                                                                         \
        p[k] = v_fma(h, v_sub(LOAD_LANES(x + (at), count), mean), p[k]);                                               \
    } while (0)
    size_t i = 0;
    for (; n - i >= 2 * LANES; i += 2 * LANES) {
        TAKE(0, i, LANES);
        TAKE(1, i + LANES, LANES);
    }
    if (n - i >= LANES) {
        TAKE(0, i, LANES);
        i += LANES;
    }
    if (i < n) TAKE(1, i, n - i);
#undef TAKE
    *sum = v_add(s[0], s[1]);
    *product = v_add(p[0], p[1]);
}

ODY_INLINE void K(norm_rows_backward)(const ody_rows *r, int centred) {
    const size_t n = r->n;
    const int far = n * sizeof(real) > LONG_ROW; /* shorter ones come soon enough by themselves */
    AFFINE(weight, 2, 1)
    for (size_t row = 0; row < r->rows; row++) {
        real *out = ROW_OUT(r, 0), *dweight = ROW_OUT(r, 1), *dbias = centred ? ROW_OUT(r, 2) : NULL;
        const real *grad = ROW_IN(r, 0), *x = ROW_IN(r, 1);
        AFFINE_ROW(weight, 2);
        const real *next_grad = far ? AT(grad, r->in_step[0]) : NULL, *next = far ? AT(x, r->in_step[1]) : NULL;
        real mean, scale;
        K(row_scale)(x, n, centred, (real)r->param[0], next_grad, next, &mean, &scale);
        vec sum, product;
        K(norm_products)(grad, x, weight, weight_step, n, v_splat(mean), centred ? NULL : next_grad, &sum, &product);
        const vec m = v_splat(mean), s = v_splat(scale);
        const vec along = v_splat(centred ? v_reduce_add(sum) / (real)n : 0);
        const vec across = v_splat(v_reduce_add(product) / (real)n * scale * scale);
        NORM_MAP(n, STREAMED(r), const vec g = SOME(grad + i); const vec d = centred ? v_sub(SOME(x + i), m) : SOME(x + i);
                 const vec h = v_mul(g, SOME(weight + i * weight_step));
                 SAVE(dweight + i, v_fma(g, v_mul(d, s), SOME(dweight + i)));
                 if (centred) SAVE(dbias + i, v_add(SOME(dbias + i), g));
                 const vec y = v_mul(v_sub(h, centred ? v_fma(d, across, along) : v_mul(d, across)), s));
    }
    if (r->flags & ODY_STREAM) ody_fence();
}
static void K(rms_norm_backward)(const ody_rows *r) { K(norm_rows_backward)(r, 0); }
static void K(layer_norm_backward)(const ody_rows *r) { K(norm_rows_backward)(r, 1); }
