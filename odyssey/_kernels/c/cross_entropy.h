/* Cross entropy of logits against labels, row by row. No probabilities are stored: the gradient computes them again, which
 * costs an exponential and saves writing and reading a matrix.
 *
 * With smoothing s, weights w that add up to W, and z = x - max: (1 - s) w[label] (log sum e^z - z[label]) +
 * s/n (W log sum e^z - sum w z). */

/* row_sum_exp(x, n, c, next), and in the same pass at `weighted` the sum of w (x - c), or of x - c where w is NULL, by the
 * same plan (sequence.h). */
ODY_INLINE real K(row_sums_weighted)(const int has_weight, const real *x, const real *w, size_t n, vec c, const real *next,
                                     real *weighted) {
    const vec neutral = v_splat(R(-0.0));
    vec total = neutral, chunk_total = neutral, sum = neutral, chunk_sum = neutral;
    for (size_t i = 0; i < n;) {
        const size_t chunk_end = n - i > CHUNK ? i + CHUNK : n;
        while (i < chunk_end) {
            const size_t block_end = chunk_end - i > BLOCK ? i + BLOCK : chunk_end;
            vec acc = neutral, acc_sum = neutral;
#define TERM(LOAD_X, LOAD_W)                                                                                           \
    const vec z = v_sub(LOAD_X, c), e = v_add(acc, K(exp_below)(z));                                                   \
    const vec t = has_weight ? v_fma(LOAD_W, z, acc_sum) : v_add(acc_sum, z)
            if (block_end - i == BLOCK) {
                _Pragma("GCC unroll 8") for (int term = 0; term < BLOCK_TERMS; term++, i += LANES) {
                    __builtin_prefetch(next + i);
                    TERM(v_load(x + i), v_load(w + i));
                    acc = e, acc_sum = t;
                }
            } else {
                for (; block_end - i >= LANES; i += LANES) {
                    TERM(v_load(x + i), v_load(w + i));
                    acc = e, acc_sum = t;
                }
                if (i < block_end) {
                    const size_t left = block_end - i;
                    TERM(v_load_n(x + i, left, 0), v_load_n(w + i, left, 0));
                    acc = v_select(m_first(left), e, acc);
                    acc_sum = v_select(m_first(left), t, acc_sum);
                    i = block_end;
                }
            }
#undef TERM
            chunk_total = v_add(chunk_total, acc);
            chunk_sum = v_add(chunk_sum, acc_sum);
        }
        total = v_add(total, chunk_total);
        sum = v_add(sum, chunk_sum);
        chunk_total = chunk_sum = neutral;
    }
    *weighted = v_reduce_add(sum);
    return v_reduce_add(total);
}

static inline real K(row_sums)(const real *x, const real *w, size_t n, vec c, const real *next, real *weighted) {
    return w ? K(row_sums_weighted)(1, x, w, n, c, next, weighted) : K(row_sums_weighted)(0, x, x, n, c, next, weighted);
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
        const real *next = AT(x, r->in_step[0]);
        real sum = 0;
        const real total = (smooth == 0 ? K(row_sum_exp)(x, n, v_splat(most), next)
                                        : K(row_sums)(x, weight, n, v_splat(most), next, &sum)) * (1 / EXP_SCALE);
        real log_total[LANES];
        v_store(log_total, v_log(v_splat(total)));
        real loss = log_total[0] - (x[label] - most);
        if (weight) loss = weight[label] * loss;
        if (smooth != 0) loss = keep * loss + share * (weights * log_total[0] - sum);
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
