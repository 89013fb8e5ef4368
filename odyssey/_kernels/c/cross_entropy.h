/* Cross entropy of logits against labels, row by row. No probabilities are stored: the gradient computes them again, which
 * costs an exponential and saves writing and reading a matrix. */

static void K(cross_entropy)(const ody_rows *r) {
    const size_t n = r->n;
    for (size_t row = 0; row < r->rows; row++) {
        const real *x = ROW_IN(r, 0);
        const int64_t label = *(const int64_t *)((const char *)r->in[1] + (ptrdiff_t)row * r->in_step[1]);
        const real most = K(row_max)(x, n);
        const real total = K(row_sum_exp)(x, n, v_splat(most), AT(x, r->in_step[0])) * (1 / EXP_SCALE);
        real log_total[LANES];
        v_store(log_total, v_log(v_splat(total)));
        *ROW_OUT(r, 0) = log_total[0] - (x[label] - most);
    }
}

static void K(cross_entropy_backward)(const ody_rows *r) {
    const size_t n = r->n;
    for (size_t row = 0; row < r->rows; row++) {
        real *out = ROW_OUT(r, 0);
        const real *x = ROW_IN(r, 0), *y = out;
        const int64_t label = *(const int64_t *)((const char *)r->in[1] + (ptrdiff_t)row * r->in_step[1]);
        const real grad = *ROW_IN(r, 2);
        const real total = K(row_exp)(x, out, n, v_splat(K(row_max)(x, n)), AT(x, r->in_step[0]));
        const real at_label = out[label];
        const vec scale = v_splat(grad / total);
        ROW_MAP(0, v_mul(b, scale));
        out[label] = (at_label / total - 1) * grad;
    }
}
