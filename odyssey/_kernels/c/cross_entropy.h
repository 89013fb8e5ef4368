/* Cross entropy of logits against labels, row by row. No probabilities are stored: the gradient computes them again, which
 * costs an exponential and saves writing and reading a matrix.
 *
 * With smoothing s, weights w that add up to W, and z = x - max: (1 - s) w[label] (log sum e^z - z[label]) +
 * s/n (W log sum e^z - sum w z). */

/* sum w (x - c), or sum (x - c) where w is NULL. */
static inline real K(row_weighted_sum)(const real *x, const real *w, size_t n, vec c) {
    const vec neutral = v_splat(R(-0.0));
    vec total;
    if (w)
        REDUCE_SEQUENCE(total, n, neutral, neutral, v_add, acc = v_fma(v_load(w + i), v_sub(v_load(x + i), c), acc),
                        acc = v_fma(v_load_n(w + i, left, 0), v_sub(v_load_n(x + i, left, 0), c), acc));
    else
        REDUCE_SEQUENCE(total, n, neutral, neutral, v_add, acc = v_add(acc, v_sub(v_load(x + i), c)),
                        acc = v_add(acc, v_sub(v_load_n(x + i, left, 0), c)));
    return v_reduce_add(total);
}

#define ROW_LABEL (*(const int64_t *)((const char *)r->in[1] + (ptrdiff_t)row * r->in_step[1]))

static void K(cross_entropy)(const ody_rows *r) {
    const size_t n = r->n;
    const real *weight = r->in[2];
    const real smooth = (real)r->param[0], keep = 1 - smooth, share = smooth / (real)n, weights = (real)r->param[1];
    for (size_t row = 0; row < r->rows; row++) {
        const real *x = ROW_IN(r, 0);
        const int64_t label = ROW_LABEL;
        if (label < 0 || (uint64_t)label >= n) {
            *ROW_OUT(r, 0) = 0;
            continue;
        }
        const real most = K(row_max)(x, n);
        const real total = K(row_sum_exp)(x, n, v_splat(most), AT(x, r->in_step[0])) * (1 / EXP_SCALE);
        real log_total[LANES];
        v_store(log_total, v_log(v_splat(total)));
        real loss = log_total[0] - (x[label] - most);
        if (weight) loss = weight[label] * loss;
        if (smooth != 0) {
            const real sum = K(row_weighted_sum)(x, weight, n, v_splat(most));
            loss = keep * loss + share * (weights * log_total[0] - sum);
        }
        *ROW_OUT(r, 0) = loss;
    }
}

static void K(cross_entropy_backward)(const ody_rows *r) {
    const size_t n = r->n;
    const real *weight = r->in[3];
    const real smooth = (real)r->param[0], keep = 1 - smooth, share = smooth / (real)n, weights = (real)r->param[1];
    for (size_t row = 0; row < r->rows; row++) {
        real *out = ROW_OUT(r, 0);
        const real *x = ROW_IN(r, 0), *y = out;
        const int64_t label = ROW_LABEL;
        if (label < 0 || (uint64_t)label >= n) {
            ROW_MAP(0, v_zero());
            continue;
        }
        const real grad = *ROW_IN(r, 2);
        const real total = K(row_exp)(x, out, n, v_splat(K(row_max)(x, n)), AT(x, r->in_step[0]));
        const real at_label = out[label];
        if (smooth == 0) {
            const real slope = weight ? weight[label] * grad : grad;
            const vec scale = v_splat(slope / total);
            ROW_MAP(0, v_mul(b, scale));
            out[label] = (at_label / total - 1) * slope;
        } else {
            /* probability (keep w[label] + share W) - share w, and keep w[label] less at the label. */
            const real own = weight ? keep * weight[label] : keep, all = own + share * weights;
            const vec scale = v_splat(all / total * grad), less = v_splat(share * grad);
            if (weight) {
                x = weight;
                ROW_MAP(0, v_fnma(less, a, v_mul(b, scale)));
            } else {
                ROW_MAP(0, v_sub(v_mul(b, scale), less));
            }
            const real every = weight ? share * weight[label] : share;
            out[label] = (at_label / total * all - every - own) * grad;
        }
    }
}
#undef ROW_LABEL
