/* Softmax and its logarithm along rows, and their gradients. A row is read two or three times: all but the first find it
 * in the cache. */

/* Lanes do not matter to a maximum, so four accumulators run abreast. NaN is passed over here: the sum meets it again. */
static inline real K(row_max)(const real *x, size_t n) {
    const vec lowest = v_splat(-REAL_INF);
    vec most[4] = {lowest, lowest, lowest, lowest};
    size_t i = 0;
    for (; n - i >= 4 * LANES; i += 4 * LANES)
        for (size_t k = 0; k < 4; k++) most[k] = v_max(v_load(x + i + k * LANES), most[k]);
    for (; n - i >= LANES; i += LANES) most[0] = v_max(v_load(x + i), most[0]);
    if (i < n) most[1] = v_max(v_load_n(x + i, n - i, -REAL_INF), most[1]);
    return v_reduce_max(v_max(v_max(most[0], most[1]), v_max(most[2], most[3])));
}

/* EXP_SCALE times the sum of e^(x - c), c the maximum, added up as every sequence is. Exponentials keep the processor
 * busy for longer than the memory: meanwhile `next`, the row to come, is fetched. */
static inline real K(row_sum_exp)(const real *x, size_t n, vec c, const real *next) {
    const vec neutral = v_splat(R(-0.0));
    vec total;
    REDUCE_SEQUENCE(total, n, neutral, neutral, v_add, __builtin_prefetch(next + i);
                    acc = v_add(acc, K(exp_below)(v_sub(v_load(x + i), c))),
                    acc = v_add(acc, K(exp_below)(v_sub(v_load_n(x + i, left, 0), c))));
    return v_reduce_add(total);
}

/* The same, and the terms are kept in `out`. */
static inline real K(row_exp)(const real *x, real *out, size_t n, vec c, const real *next) {
    const vec neutral = v_splat(R(-0.0));
    vec total;
#define TERMS(LOAD, STORE)                                                                                             \
    do {                                                                                                               \
        vec e = K(exp_below)(v_sub(LOAD, c));                                                                          \
        STORE;                                                                                                         \
        acc = v_add(acc, e);                                                                                           \
    } while (0)
    REDUCE_SEQUENCE(total, n, neutral, neutral, v_add, __builtin_prefetch(next + i);
                    TERMS(v_load(x + i), v_store(out + i, e)), TERMS(v_load_n(x + i, left, 0), v_store_n(out + i, e, left)));
#undef TERMS
    return v_reduce_add(total);
}

/* out[i] = EXPRESSION of a = x[i], b = y[i]. Streamed, a row begins with what comes before out's first whole line. */
#define ROW_MAP(streamed, EXPRESSION)                                                                                  \
    do {                                                                                                               \
        size_t i = 0, part = (streamed) ? (64 - (uintptr_t)out % 64) % 64 / sizeof(real) : 0;                          \
        if (part > n) part = n;                                                                                        \
        for (;;) {                                                                                                     \
            if (part) {                                                                                                \
                const vec a = v_load_n(x + i, part, 0), b = v_load_n(y + i, part, 0);                                  \
                (void)a, (void)b;                                                                                      \
                v_store_n(out + i, EXPRESSION, part);                                                                  \
                i += part;                                                                                             \
            }                                                                                                          \
            if (streamed) {                                                                                            \
                for (; n - i >= LANES; i += LANES) {                                                                   \
                    const vec a = v_load(x + i), b = v_load(y + i);                                                    \
                    (void)a, (void)b;                                                                                  \
                    v_stream(out + i, EXPRESSION);                                                                     \
                }                                                                                                      \
            } else {                                                                                                   \
                _Pragma("GCC unroll 4") for (; n - i >= LANES; i += LANES) {                                           \
                    const vec a = v_load(x + i), b = v_load(y + i);                                                    \
                    (void)a, (void)b;                                                                                  \
                    v_store(out + i, EXPRESSION);                                                                      \
                }                                                                                                      \
            }                                                                                                          \
            part = n - i;                                                                                              \
            if (part == 0) break;                                                                                      \
        }                                                                                                              \
    } while (0)

#define ROW_IN(r, k) AT((r)->in[k], (ptrdiff_t)row * (r)->in_step[k])
#define ROW_OUT(r, k) ((real *)AT((r)->out[k], (ptrdiff_t)row * (r)->out_step[k]))
#define STREAMED(r) ((r)->flags & ODY_STREAM && (uintptr_t)out % sizeof(real) == 0)

/* Streamed, the terms wait in a buffer for their sum, and `out` is not read into the cache to be written. */
static void K(softmax)(const ody_rows *r) {
    real buffer[16384 / sizeof(real)];
    const size_t n = r->n;
    for (size_t row = 0; row < r->rows; row++) {
        real *out = ROW_OUT(r, 0);
        const int streamed = STREAMED(r) && n <= sizeof buffer / sizeof *buffer;
        real *terms = streamed ? buffer : out;
        const real *x = ROW_IN(r, 0), *y = terms;
        const vec c = v_splat(K(row_max)(x, n));
        const vec scale = v_splat(1 / K(row_exp)(x, terms, n, c, AT(x, r->in_step[0])));
        ROW_MAP(streamed, v_mul(b, scale));
    }
    if (r->flags & ODY_STREAM) ody_fence();
}

static void K(log_softmax)(const ody_rows *r) {
    const size_t n = r->n;
    for (size_t row = 0; row < r->rows; row++) {
        real *out = ROW_OUT(r, 0);
        const real *x = ROW_IN(r, 0), *y = x;
        const vec c = v_splat(K(row_max)(x, n));
        const real total = K(row_sum_exp)(x, n, c, AT(x, r->in_step[0])) * (1 / EXP_SCALE);
        const vec log_total = v_log(v_splat(total));
        ROW_MAP(STREAMED(r), v_sub(v_sub(a, c), log_total));
    }
    if (r->flags & ODY_STREAM) ody_fence();
}

static void K(softmax_backward)(const ody_rows *r) {
    const vec neutral = v_splat(R(-0.0));
    const size_t n = r->n;
    for (size_t row = 0; row < r->rows; row++) {
        real *out = ROW_OUT(r, 0);
        const real *x = ROW_IN(r, 0), *y = ROW_IN(r, 1);
        vec total;
        REDUCE_SEQUENCE(total, n, neutral, neutral, v_add, acc = v_fma(v_load(x + i), v_load(y + i), acc),
                        acc = v_fma(v_load_n(x + i, left, 0), v_load_n(y + i, left, 0), acc));
        const vec sum = v_splat(v_reduce_add(total));
        ROW_MAP(STREAMED(r), v_mul(b, v_sub(a, sum)));
    }
    if (r->flags & ODY_STREAM) ody_fence();
}

static void K(log_softmax_backward)(const ody_rows *r) {
    const size_t n = r->n;
    for (size_t row = 0; row < r->rows; row++) {
        real *out = ROW_OUT(r, 0);
        const real *x = ROW_IN(r, 0), *y = ROW_IN(r, 1);
        const vec sum = v_splat(v_reduce_add(K(sum_lanes)(x, n, v_zero(), v_splat(R(-0.0)))));
        ROW_MAP(STREAMED(r), v_fnma(K(exp_of)(b), sum, a));
    }
    if (r->flags & ODY_STREAM) ody_fence();
}
