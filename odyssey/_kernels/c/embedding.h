/* Rows of a table by number, and the gradient of the table. */

/* While a row is copied, the next is fetched: it lies anywhere. */
static void K(embedding)(const ody_rows *r) {
    const size_t n = r->n;
    const int64_t *index = r->in[1];
    for (size_t row = 0; row < r->rows; row++) {
        real *out = ROW_OUT(r, 0);
        const real *x = AT(r->in[0], (ptrdiff_t)index[row] * r->in_step[0]);
        const real *next = row + 1 < r->rows ? AT(r->in[0], (ptrdiff_t)index[row + 1] * r->in_step[0]) : x;
        NORM_MAP(n, STREAMED(r), __builtin_prefetch(next + i); const vec y = SOME(x + i));
    }
    if (r->flags & ODY_STREAM) ody_fence();
}

/* A few vectors of a row at a time, so that their sums stay in registers over all terms. */
static void K(embedding_backward)(const ody_scatter *s) {
    enum { TOGETHER = 4 };
    const size_t n = s->n;
    for (size_t row = 0; row < s->rows; row++) {
        real *out = (real *)AT(s->out, (ptrdiff_t)row * s->out_step);
        const int64_t first = s->starts[row], last = s->starts[row + 1];
        const int streamed = s->flags & ODY_STREAM && (uintptr_t)out % 64 == 0;
        size_t i = 0;
        for (; n - i >= TOGETHER * LANES; i += TOGETHER * LANES) {
            vec sum[TOGETHER] = {v_zero(), v_zero(), v_zero(), v_zero()};
            for (int64_t term = first; term < last; term++) {
                const real *grad = AT(s->grad, (ptrdiff_t)s->order[term] * s->grad_step) + i;
                for (size_t k = 0; k < TOGETHER; k++) sum[k] = v_add(sum[k], v_load(grad + k * LANES));
            }
            for (size_t k = 0; k < TOGETHER; k++) {
                if (streamed) v_stream(out + i + k * LANES, sum[k]);
                else v_store(out + i + k * LANES, sum[k]);
            }
        }
        for (; i < n; i += LANES) {
            const size_t count = n - i < LANES ? n - i : LANES;
            vec sum = v_zero();
            for (int64_t term = first; term < last; term++)
                sum = v_add(sum, SOME(AT(s->grad, (ptrdiff_t)s->order[term] * s->grad_step) + i));
            SAVE(out + i, sum);
        }
    }
    if (s->flags & ODY_STREAM) ody_fence();
}
