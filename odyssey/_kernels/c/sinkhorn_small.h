/* Sinkhorn-Knopp for n x n matrices, n <= SINKHORN_SMALL, one in each lane: element (i, j) of LANES matrices is the vector
 * m[i * n + j]. Lanes know nothing of each other, so a matrix has the same bits in any company.
 *
 * A matrix is divided by its sums once, rows then columns (for logits the first of these is the softmax). From there on
 * every factor is in [1/n, n], and the iterations move two vectors instead of the matrix:
 *
 *     M = diag(u) A diag(v),    u_i = u_i / (u_i (A v)_i + eps),    v_j = v_j / (v_j (A^T u)_j + eps)
 *
 * which are M / (rowsum + eps) and M / (colsum + eps): 2 n divisions and 2 n^2 fma an iteration. A is multiplied by them
 * at the end, and every SINKHORN_SEGMENT iterations, before the factors of a matrix that has no doubly stochastic limit
 * could leave the range of a float.
 *
 * n and `groups` are constants where these are called, so that loops unroll; a group is n * n vectors. Two groups abreast
 * hide the latency of the divisions. Columns before rows is the same on the transposed matrix. */
#ifndef ODY_SINKHORN_SMALL
#define ODY_SINKHORN_SMALL
enum {
    SINKHORN_SMALL = 8,
    SINKHORN_SEGMENT = 32, /* n^SEGMENT stays below SINKHORN_MOST, and its reciprocal above the subnormals */
    SINKHORN_ABREAST = 2,
};
/* Where the factors of a row of zeros stop: it is divided by eps for ever. NaN passes. */
#define SINKHORN_MOST (sizeof(real) == 4 ? (real)0x1p100 : (real)0x1p900)
#define SINKHORN_SEGMENTS(iterations) (((iterations) + SINKHORN_SEGMENT - 2) / SINKHORN_SEGMENT)
/* Vectors of workspace that the adjoint of one group takes: the first iteration's, the matrix at the beginning of each
 * segment, the factors of one segment. */
#define SINKHORN_TRACE(n, count) (2 * (size_t)(n) * ((count) + 1))
#define SINKHORN_WORKSPACE(n, iterations)                                                                              \
    (((size_t)(n) * (n)) * (2 + SINKHORN_SEGMENTS(iterations)) + 2 * (size_t)(n) +                                     \
     SINKHORN_TRACE(n, (iterations) < SINKHORN_SEGMENT ? (iterations) : SINKHORN_SEGMENT))
#define EACH_OF(i, n) _Pragma("GCC unroll 8") for (int i = 0; i < (n); i++)
#endif

/* m = softmax of its rows, of m * inverse_tau: less the maximum, through the library's exp. */
ODY_INLINE void K(sinkhorn_softmax)(vec *m, const int n, vec inverse_tau) {
    EACH_OF(i, n) {
        vec *row = m + i * n, most = row[0], sum;
        for (int j = 1; j < n; j++) most = v_max(row[j], most);
        EACH_OF(j, n) row[j] = K(exp_below)(v_mul(v_sub(row[j], most), inverse_tau));
        sum = row[0];
        for (int j = 1; j < n; j++) sum = v_add(sum, row[j]);
        const vec scale = v_div(v_splat(1), sum);
        EACH_OF(j, n) row[j] = v_mul(row[j], scale);
    }
}

/* m /= its sums + eps, along rows (step 1 within a line, n between lines) or columns (n and 1). The divisors stay in `by`;
 * one that is 0 counts as 1: a line of zeros stays one. */
ODY_INLINE void K(sinkhorn_divide)(vec *m, const int n, const int step, const int line, vec eps, vec *by) {
    EACH_OF(i, n) {
        vec *first = m + i * line, sum = first[0];
        for (int j = 1; j < n; j++) sum = v_add(sum, first[j * step]);
        sum = v_add(sum, eps);
        by[i] = sum = v_select(v_eq(sum, v_zero()), v_splat(1), sum);
        EACH_OF(j, n) first[j * step] = v_div(first[j * step], sum);
    }
}

/* One half of an iteration: factors f from a line's sum of A times the other factors. */
ODY_INLINE void K(sinkhorn_half)(const vec *a, const int n, const int step, const int line, vec eps, vec *f, const vec *other) {
    EACH_OF(i, n) {
        vec sum = v_mul(a[i * line], other[0]);
        _Pragma("GCC unroll 8") for (int j = 1; j < n; j++) sum = v_fma(a[i * line + j * step], other[j], sum);
        f[i] = v_min(v_splat(SINKHORN_MOST), v_div(f[i], v_fma(f[i], sum, eps)));
    }
}

/* Up to SINKHORN_SEGMENT iterations, rows then columns, of `groups` groups of matrices. Where there is a trace, the
 * factors are left there: u and v, n vectors each, of a group's beginning and after each iteration (SINKHORN_TRACE). */
ODY_INLINE void K(sinkhorn_segment)(vec *m, const int n, const int groups, size_t count, vec eps, vec *trace) {
    vec u[SINKHORN_ABREAST][SINKHORN_SMALL], v[SINKHORN_ABREAST][SINKHORN_SMALL];
    EACH_OF(g, groups) EACH_OF(i, n) u[g][i] = v[g][i] = v_splat(1);
    for (size_t t = 0;; t++) {
        if (trace)
            EACH_OF(g, groups) {
                vec *to = trace + (size_t)g * SINKHORN_TRACE(n, count) + 2 * (size_t)n * t;
                EACH_OF(i, n) {
                    to[i] = u[g][i];
                    to[n + i] = v[g][i];
                }
            }
        if (t == count) break;
        EACH_OF(g, groups) K(sinkhorn_half)(m + g * n * n, n, 1, n, eps, u[g], v[g]);
        EACH_OF(g, groups) K(sinkhorn_half)(m + g * n * n, n, n, 1, eps, v[g], u[g]);
    }
    EACH_OF(g, groups) EACH_OF(i, n) EACH_OF(j, n) m[g * n * n + i * n + j] =
        v_mul(v_mul(m[g * n * n + i * n + j], u[g][i]), v[g][j]);
}

/* `groups` <= SINKHORN_ABREAST groups of matrices, in place, iterations >= 1:
 *     logits:    M = softmax(M * inverse_tau, rows) + add;  M /= colsum + eps;
 *     otherwise: M /= rowsum + eps;  M /= colsum + eps;
 *     then (iterations - 1) x { M /= rowsum + eps; M /= colsum + eps }
 * mHC's form is that of logits, with add = eps. */
ODY_INLINE void K(sinkhorn_small)(vec *m, const int n, const int groups, const int logits, size_t iterations, vec inverse_tau,
                                  vec add, vec eps) {
    vec by[SINKHORN_SMALL];
    EACH_OF(g, groups) {
        vec *a = m + g * n * n;
        if (logits) {
            K(sinkhorn_softmax)(a, n, inverse_tau);
            for (int k = 0; k < n * n; k++) a[k] = v_add(a[k], add);
        } else {
            K(sinkhorn_divide)(a, n, 1, n, eps, by);
        }
        K(sinkhorn_divide)(a, n, n, 1, eps, by);
    }
    for (size_t left = iterations - 1; left;) {
        const size_t count = left < SINKHORN_SEGMENT ? left : SINKHORN_SEGMENT;
        K(sinkhorn_segment)(m, n, groups, count, eps, NULL);
        left -= count;
    }
}

/* One half of an iteration backwards. f and g are its factors and their gradients, before its one and after; `other` the
 * factors it summed A with, other_g their gradients. */
ODY_INLINE void K(sinkhorn_half_adjoint)(const vec *a, vec *grad_a, const int n, const int step, const int line, vec eps,
                                         const vec *before, const vec *f, vec *g, const vec *other, vec *other_g) {
    EACH_OF(i, n) {
        const vec ratio = v_div(f[i], before[i]);
        const vec grad_sum = v_neg(v_mul(v_mul(g[i], f[i]), f[i]));
        g[i] = v_mul(v_mul(g[i], eps), v_mul(ratio, ratio));
        EACH_OF(j, n) {
            const int k = i * line + j * step;
            grad_a[k] = v_fma(grad_sum, other[j], grad_a[k]);
            other_g[j] = v_fma(a[k], grad_sum, other_g[j]);
        }
    }
}

/* Backwards through a segment of one group: grad, of its result, becomes that of a, the matrix it began with. */
ODY_INLINE void K(sinkhorn_segment_adjoint)(const vec *a, vec *grad, const int n, size_t count, vec eps, const vec *trace) {
    vec gu[SINKHORN_SMALL], gv[SINKHORN_SMALL];
    const vec *u = trace + 2 * (size_t)n * count, *v = u + n;
    EACH_OF(i, n) gu[i] = gv[i] = v_zero();
    EACH_OF(i, n) EACH_OF(j, n) {
        const int k = i * n + j;
        const vec product = v_mul(grad[k], a[k]);
        gu[i] = v_fma(product, v[j], gu[i]);
        gv[j] = v_fma(product, u[i], gv[j]);
        grad[k] = v_mul(v_mul(grad[k], u[i]), v[j]);
    }
    for (size_t t = count; t; t--, u -= 2 * n, v -= 2 * n) {
        K(sinkhorn_half_adjoint)(a, grad, n, n, 1, eps, v - 2 * n, v, gv, u, gu);
        K(sinkhorn_half_adjoint)(a, grad, n, 1, n, eps, u - 2 * n, u, gu, v - 2 * n, gv);
    }
}

/* grad / by - (sum of grad * m along a line) / by: sinkhorn_divide backwards, m its result. */
ODY_INLINE void K(sinkhorn_divide_adjoint)(const vec *m, vec *grad, const int n, const int step, const int line, const vec *by) {
    EACH_OF(i, n) {
        vec dot = v_mul(grad[i * line], m[i * line]);
        for (int j = 1; j < n; j++) dot = v_fma(grad[i * line + j * step], m[i * line + j * step], dot);
        EACH_OF(j, n) grad[i * line + j * step] = v_div(v_sub(grad[i * line + j * step], dot), by[i]);
    }
}

/* Backwards through sinkhorn_small for one group: grad, of its result, becomes that of m, its input. The iterations are run
 * again, segment by segment. workspace: SINKHORN_WORKSPACE(n, iterations) vectors. */
ODY_INLINE void K(sinkhorn_small_adjoint)(const vec *m, vec *grad, const int n, const int logits, size_t iterations,
                                          vec inverse_tau, vec add, vec eps, vec *workspace) {
    const size_t segments = SINKHORN_SEGMENTS(iterations), size = (size_t)n * n;
    vec *rows = workspace, *starts = rows + size, *row_by = starts + (segments + 1) * size, *column_by = row_by + n;
    vec *trace = column_by + n;
    for (size_t k = 0; k < size; k++) rows[k] = m[k];
    if (logits)
        K(sinkhorn_softmax)(rows, n, inverse_tau);
    else
        K(sinkhorn_divide)(rows, n, 1, n, eps, row_by);
    for (size_t k = 0; k < size; k++) starts[k] = logits ? v_add(rows[k], add) : rows[k];
    K(sinkhorn_divide)(starts, n, n, 1, eps, column_by);
    for (size_t s = 1; s < segments; s++) { /* the beginnings of all segments but the first, which is there */
        for (size_t k = 0; k < size; k++) starts[s * size + k] = starts[(s - 1) * size + k];
        K(sinkhorn_segment)(starts + s * size, n, 1, SINKHORN_SEGMENT, eps, NULL);
    }
    vec *scratch = starts + segments * size;
    for (size_t s = segments, left = iterations - 1 - (segments ? (segments - 1) * SINKHORN_SEGMENT : 0); s; s--) {
        for (size_t k = 0; k < size; k++) scratch[k] = starts[(s - 1) * size + k];
        K(sinkhorn_segment)(scratch, n, 1, left, eps, trace);
        K(sinkhorn_segment_adjoint)(starts + (s - 1) * size, grad, n, left, eps, trace);
        left = SINKHORN_SEGMENT;
    }
    K(sinkhorn_divide_adjoint)(starts, grad, n, n, 1, column_by);
    if (!logits) {
        K(sinkhorn_divide_adjoint)(rows, grad, n, 1, n, row_by);
        return;
    }
    EACH_OF(i, n) {
        vec dot = v_mul(grad[i * n], rows[i * n]);
        for (int j = 1; j < n; j++) dot = v_fma(grad[i * n + j], rows[i * n + j], dot);
        EACH_OF(j, n) grad[i * n + j] = v_mul(v_mul(rows[i * n + j], v_sub(grad[i * n + j], dot)), inverse_tau);
    }
}
