/* Sinkhorn-Knopp and its gradients: the small square matrices of sinkhorn_small.h, gathered a matrix to a lane, and one
 * matrix of any size, whose rows are walked once an iteration (ody_sinkhorn).
 *
 * A row meets the column factors (a sum along it), yields its own factor, and is added to the sums down the columns while it
 * is in the cache. Rows go in fixed chunks of ODY_SINKHORN_CHUNK, whose sums are added in order: threads and the rows taken
 * together change no bit. */

/* ---- small matrices ---------------------------------------------------------------------------------------------- */

#ifndef ODY_SINKHORN_H
#define ODY_SINKHORN_H
#define SMALL_AT(base, first) ((base) + (size_t)(first) * v->n * v->n)
enum { ROWS_ABREAST = 4 };
#define UNROLL_ROWS _Pragma("GCC unroll 4") for (int r = 0; r < ROWS_ABREAST; r++)
#define FETCHED(v) ((v)->m * (v)->n * sizeof(real) > (size_t)8 << 20)
#define RESIDUAL(sum) v_abs(v_sub(sum, v_splat(1)))
#endif

/* Matrices [0, count) of (count, n, n) into vectors of element (i, j), or (j, i) where columns come first; LANES at most. */
ODY_INLINE void K(sinkhorn_gather)(const real *x, vec *m, const int n, size_t count, int transposed) {
    const int size = n * n;
    for (int start = 0; start < size; start += LANES) {
        vec r[LANES];
        const size_t some = (size_t)(size - start < LANES ? size - start : LANES);
        for (size_t l = 0; l < LANES; l++) {
            const real *from = x + (l < count ? l : 0) * (size_t)size + start;
            r[l] = some == LANES ? v_load(from) : v_load_n(from, some, 0);
        }
        v_transpose(r);
        for (size_t k = 0; k < some; k++) {
            const int place = start + (int)k;
            m[transposed ? place % n * n + place / n : place] = r[k];
        }
    }
}

ODY_INLINE void K(sinkhorn_scatter)(real *x, const vec *m, const int n, size_t count, int transposed) {
    const int size = n * n;
    for (int start = 0; start < size; start += LANES) {
        vec r[LANES];
        const size_t some = (size_t)(size - start < LANES ? size - start : LANES);
        for (size_t k = 0; k < LANES; k++) {
            const int place = start + (int)(k < some ? k : 0);
            r[k] = m[transposed ? place % n * n + place / n : place];
        }
        v_transpose(r);
        for (size_t l = 0; l < count; l++) v_store_n(x + l * (size_t)size + start, r[l], some);
    }
}

/* The largest |sum - 1| of rows and of columns, two numbers a matrix. */
ODY_INLINE void K(sinkhorn_small_residuals)(const vec *m, const int n, real *to, size_t count, int transposed) {
    vec worst[2] = {v_zero(), v_zero()};
    for (int side = 0; side < 2; side++)
        for (int i = 0; i < n; i++) {
            vec sum = m[side ? i : i * n];
            for (int j = 1; j < n; j++) sum = v_add(sum, m[side ? j * n + i : i * n + j]);
            const vec apart = RESIDUAL(sum);
            worst[side] = v_select(v_is_nan(apart), apart, v_max(worst[side], apart));
        }
    real lanes[2][LANES];
    v_store(lanes[transposed ? 1 : 0], worst[0]);
    v_store(lanes[transposed ? 0 : 1], worst[1]);
    for (size_t l = 0; l < count; l++) {
        to[2 * l] = lanes[0][l];
        to[2 * l + 1] = lanes[1][l];
    }
}

ODY_INLINE void K(sinkhorn_matrices_of)(const ody_sinkhorn_small *v, const int n) {
    const vec inverse_tau = v_splat((real)v->inverse_tau), add = v_splat((real)v->add), eps = v_splat((real)v->eps);
    vec m[SINKHORN_ABREAST * SINKHORN_SMALL * SINKHORN_SMALL];
    for (size_t first = 0; first < v->count; first += SINKHORN_ABREAST * LANES) {
        const size_t left = v->count - first;
        const int groups = left > LANES ? SINKHORN_ABREAST : 1;
        for (int g = 0; g < groups; g++) {
            const size_t at = first + (size_t)g * LANES, count = v->count - at < LANES ? v->count - at : LANES;
            K(sinkhorn_gather)(SMALL_AT((const real *)v->x, at), m + g * n * n, n, count, v->columns_first);
        }
        if (groups == SINKHORN_ABREAST)
            K(sinkhorn_small)(m, n, SINKHORN_ABREAST, v->logits, v->iterations, inverse_tau, add, eps);
        else
            K(sinkhorn_small)(m, n, 1, v->logits, v->iterations, inverse_tau, add, eps);
        for (int g = 0; g < groups; g++) {
            const size_t at = first + (size_t)g * LANES, count = v->count - at < LANES ? v->count - at : LANES;
            K(sinkhorn_scatter)(SMALL_AT((real *)v->out, at), m + g * n * n, n, count, v->columns_first);
            if (v->residuals)
                K(sinkhorn_small_residuals)(m + g * n * n, n, (real *)v->residuals + 2 * at, count, v->columns_first);
        }
    }
}

ODY_INLINE void K(sinkhorn_matrices_backward_of)(const ody_sinkhorn_small *v, const int n) {
    const vec inverse_tau = v_splat((real)v->inverse_tau), add = v_splat((real)v->add), eps = v_splat((real)v->eps);
    vec m[SINKHORN_SMALL * SINKHORN_SMALL], grad[SINKHORN_SMALL * SINKHORN_SMALL];
    for (size_t at = 0; at < v->count; at += LANES) {
        const size_t count = v->count - at < LANES ? v->count - at : LANES;
        K(sinkhorn_gather)(SMALL_AT((const real *)v->x, at), m, n, count, v->columns_first);
        K(sinkhorn_gather)(SMALL_AT((const real *)v->grad, at), grad, n, count, v->columns_first);
        K(sinkhorn_small_adjoint)(m, grad, n, v->logits, v->iterations, inverse_tau, add, eps, v->workspace);
        K(sinkhorn_scatter)(SMALL_AT((real *)v->out, at), grad, n, count, v->columns_first);
    }
}

/* Sizes of two to four are unrolled; above that the factors do not fit in registers anyway. */
#define SMALL_SIZE(name, size, n) \
    static __attribute__((noinline)) void K(name##_##size)(const ody_sinkhorn_small *v) { K(name##_of)(v, n); }
#define SMALL_SIZES(name)                                                                                              \
    SMALL_SIZE(name, 2, 2)                                                                                             \
    SMALL_SIZE(name, 3, 3)                                                                                             \
    SMALL_SIZE(name, 4, 4)                                                                                             \
    SMALL_SIZE(name, any, (int)v->n)                                                                                   \
    static void K(name)(const ody_sinkhorn_small *v) {                                                                 \
        (v->n == 4 ? K(name##_4) : v->n == 3 ? K(name##_3) : v->n == 2 ? K(name##_2) : K(name##_any))(v);              \
    }
SMALL_SIZES(sinkhorn_matrices)
SMALL_SIZES(sinkhorn_matrices_backward)
#undef SMALL_SIZE
#undef SMALL_SIZES

/* ---- one matrix of any size -------------------------------------------------------------------------------------- */

/* Sums along `rows` <= ROWS_ABREAST rows of a times w: blocks of BLOCK_TERMS a lane, then the lanes. */
ODY_INLINE void K(sinkhorn_dots_of)(const real *a, size_t n, const int rows, const real *w, real *sums) {
    vec total[ROWS_ABREAST];
    UNROLL_ROWS if (r < rows) total[r] = v_zero();
    size_t j = 0;
    while (j < n) {
        vec acc[ROWS_ABREAST];
        UNROLL_ROWS if (r < rows) acc[r] = v_zero();
        if (n - j >= BLOCK) {
            _Pragma("GCC unroll 8") for (int term = 0; term < BLOCK_TERMS; term++, j += LANES) {
                const vec f = v_load(w + j);
                UNROLL_ROWS if (r < rows) acc[r] = v_fma(v_load(a + (size_t)r * n + j), f, acc[r]);
            }
        } else {
            for (; n - j >= LANES; j += LANES) {
                const vec f = v_load(w + j);
                UNROLL_ROWS if (r < rows) acc[r] = v_fma(v_load(a + (size_t)r * n + j), f, acc[r]);
            }
            if (j < n) {
                const vec f = v_load_n(w + j, n - j, 0);
                UNROLL_ROWS if (r < rows) acc[r] = v_fma(v_load_n(a + (size_t)r * n + j, n - j, 0), f, acc[r]);
                j = n;
            }
        }
        UNROLL_ROWS if (r < rows) total[r] = v_add(total[r], acc[r]);
    }
    UNROLL_ROWS if (r < rows) sums[r] = v_reduce_add(total[r]);
}
static void K(sinkhorn_dots)(const real *a, size_t n, size_t rows, const real *w, real *sums) {
    if (rows == ROWS_ABREAST) K(sinkhorn_dots_of)(a, n, ROWS_ABREAST, w, sums);
    else
        for (size_t r = 0; r < rows; r++) K(sinkhorn_dots_of)(a + r * n, n, 1, w, sums + r);
}

/* c += the rows of a times f, row after row; where there is no c yet, c is that. Of a large matrix the rows to come are
 * fetched meanwhile; from the last-level cache they come quickly enough, and the loads are what this takes its time from. */
ODY_INLINE void K(sinkhorn_spread_of)(const real *a, size_t n, const int rows, const real *f, real *c, const int first,
                                      const int fetch) {
    vec by[ROWS_ABREAST];
    UNROLL_ROWS if (r < rows) by[r] = v_splat(f[r]);
    size_t j = 0;
    for (; n - j >= LANES; j += LANES) {
        vec sum = first ? v_zero() : v_load(c + j);
        UNROLL_ROWS if (r < rows) {
            if (fetch) __builtin_prefetch(a + (size_t)(r + rows) * n + j, 0, 2);
            sum = v_fma(v_load(a + (size_t)r * n + j), by[r], sum);
        }
        v_store(c + j, sum);
    }
    if (j < n) {
        vec sum = first ? v_zero() : v_load_n(c + j, n - j, 0);
        UNROLL_ROWS if (r < rows) sum = v_fma(v_load_n(a + (size_t)r * n + j, n - j, 0), by[r], sum);
        v_store_n(c + j, sum, n - j);
    }
}
static void K(sinkhorn_spread)(const real *a, size_t n, size_t rows, const real *f, real *c, int first, int fetch) {
    if (rows == ROWS_ABREAST) {
        if (first) K(sinkhorn_spread_of)(a, n, ROWS_ABREAST, f, c, 1, 0);
        else if (fetch) K(sinkhorn_spread_of)(a, n, ROWS_ABREAST, f, c, 0, 1);
        else K(sinkhorn_spread_of)(a, n, ROWS_ABREAST, f, c, 0, 0);
        return;
    }
    for (size_t r = 0; r < rows; r++) {
        if (first && r == 0) K(sinkhorn_spread_of)(a, n, 1, f, c, 1, 0);
        else K(sinkhorn_spread_of)(a + r * n, n, 1, f + r, c, 0, 0);
    }
}

/* The rows of the piece, a few at a time, chunk by chunk: `row` the first of `rows`, the sums of its chunk in `c`. */
#define SINKHORN_ROWS(...)                                                                                            \
    for (size_t row = v->row, end = v->row + v->rows; row < end;) {                                                    \
        const size_t chunk = row / ODY_SINKHORN_CHUNK, in_chunk = row % ODY_SINKHORN_CHUNK;                            \
        size_t rows = end - row < ROWS_ABREAST ? end - row : ROWS_ABREAST;                                             \
        if (rows > ODY_SINKHORN_CHUNK - in_chunk) rows = ODY_SINKHORN_CHUNK - in_chunk;                                \
        real *c = (real *)v->partial + chunk * v->n;                                                                   \
        const int first = in_chunk == 0;                                                                               \
        (void)c, (void)first;                                                                                          \
        __VA_ARGS__;                                                                                                   \
        row += rows;                                                                                                   \
    }

/* The matrix that iterations begin with, from x into out: the softmax of its rows + add, or rows divided by their sums +
 * eps, which are left in row_by. The factors of its rows are 1. */
static void K(sinkhorn_start)(const ody_sinkhorn *v) {
    const size_t n = v->n;
    const vec inverse_tau = v_splat((real)v->inverse_tau), add = v_splat((real)v->add), neutral = v_splat(R(-0.0));
    SINKHORN_ROWS(
        real ones[ROWS_ABREAST];
        for (size_t r = 0; r < rows; r++) {
            const real *x = (const real *)v->a + (row + r) * n, *y;
            real *out = (real *)v->out + (row + r) * n;
            ones[r] = ((real *)v->u)[row + r] = 1;
            if (v->logits) {
                const vec most = v_splat(K(row_max)(x, n));
                vec total;
                REDUCE_SEQUENCE(total, n, neutral, neutral, v_add, __builtin_prefetch(x + n + i);
                                const vec e = K(exp_below)(v_mul(v_sub(v_load(x + i), most), inverse_tau));
                                v_store(out + i, e); acc = v_add(acc, e),
                                const vec e = K(exp_below)(v_mul(v_sub(v_load_n(x + i, left, 0), most), inverse_tau));
                                v_store_n(out + i, e, left); acc = v_add(acc, e));
                const vec scale = v_splat(1 / v_reduce_add(total));
                y = x = out;
                ROW_MAP(0, v_add(v_mul(b, scale), add));
            } else {
                real by = v_reduce_add(K(sum_lanes)(x, n, v_zero(), neutral)) + (real)v->eps;
                if (by == 0) by = 1;
                ((real *)v->row_by)[row + r] = by;
                y = x;
                ROW_MAP(0, v_div(b, v_splat(by)));
            }
        }
        K(sinkhorn_spread)((const real *)v->out + row * n, n, rows, ones, c, first, FETCHED(v)))
}

/* The factor of a row of which the elements times the columns' factors add up to `sum`. A row of zeros keeps its own. */
ODY_INLINE real K(sinkhorn_row_factor)(const ody_sinkhorn *v, real f, real sum) {
    const real by = f * sum + (real)v->eps;
    return sum == 0 ? f : f / by / (real)v->drift;
}

/* The rows of a: their factors, where rows are wanted, and the sums down the columns. */
static void K(sinkhorn_rows)(const ody_sinkhorn *v) {
    const real *a = v->a;
    const real *u = v->u;
    real *next = v->u_next;
    const size_t n = v->n;
    SINKHORN_ROWS(
        real sums[ROWS_ABREAST];
        K(sinkhorn_dots)(a + row * n, n, rows, v->v, sums);
        for (size_t r = 0; r < rows; r++) next[row + r] = K(sinkhorn_row_factor)(v, u[row + r], sums[r]);
        K(sinkhorn_spread)(a + row * n, n, rows, next + row, c, first, FETCHED(v)))
}

/* Sums of all chunks, at column j. */
ODY_INLINE vec K(sinkhorn_column)(const ody_sinkhorn *v, size_t j, size_t lanes) {
    const real *c = (const real *)v->partial + j;
    const size_t chunks = (v->m + ODY_SINKHORN_CHUNK - 1) / ODY_SINKHORN_CHUNK;
    vec sum = LOAD_LANES(c, lanes);
    for (size_t k = 1; k < chunks; k++) sum = v_add(sum, LOAD_LANES(c + k * v->n, lanes));
    return sum;
}
#define SINKHORN_COLUMNS(...)                                                                                         \
    for (size_t j = 0; j < v->n; j += LANES) {                                                                         \
        const size_t lanes = v->n - j < LANES ? v->n - j : LANES;                                                      \
        __VA_ARGS__;                                                                                                   \
    }
#define COLUMN(name) LOAD_LANES((const real *)v->name + j, lanes)
#define SET_COLUMN(name, value) v_store_n((real *)v->name + j, value, lanes)

/* The factors of the columns, and where wanted the largest |sum - 1|, in residuals[0]; *far where factors have moved so far apart that the matrix had better be multiplied by them. */
static void K(sinkhorn_columns)(const ody_sinkhorn *v) {
    const vec eps = v_splat((real)v->eps), drift = v_splat((real)v->drift), zero = v_zero();
    vec most = zero, least = v_splat(REAL_INF), worst = zero;
    SINKHORN_COLUMNS(
        const vec sum = K(sinkhorn_column)(v, j, lanes), f = COLUMN(v), g = v_mul(f, drift);
        const vec next = v_select(v_eq(sum, zero), f, v_div(g, v_fma(g, sum, eps)));
        SET_COLUMN(v_next, next);
        const mask here = m_first(lanes);
        const vec apart = v_select(here, RESIDUAL(v_mul(next, sum)), zero);
        worst = v_select(v_is_nan(apart), apart, v_max(worst, apart));
        most = v_max(v_select(here, next, zero), most);
        least = v_min(v_select(here, next, least), least))
    for (size_t i = 0; i < v->m; i += LANES) {
        const size_t lanes = v->m - i < LANES ? v->m - i : LANES;
        const vec f = v_load_n((const real *)v->u_next + i, lanes, 1);
        most = v_max(f, most);
        least = v_min(f, least);
    }
    if (v->residuals) *(real *)v->residuals = v_reduce_max(worst);
    if (v->far) *v->far = v_reduce_max(most) > R(0x1p80) || v_reduce_min(least) < R(0x1p-80);
}

/* out = (a u) v. residuals, where wanted: |sum along a row - 1|, one a row. */
static void K(sinkhorn_finish)(const ody_sinkhorn *v) {
    const size_t n = v->n;
    for (size_t row = v->row; row < v->row + v->rows; row++) {
        const real *x = (const real *)v->a + row * n, *y = v->v;
        real *out = (real *)v->out + row * n;
        const vec f = v_splat(((const real *)v->u)[row]);
        if (v->residuals) {
            real sum;
            K(sinkhorn_dots)(x, n, 1, y, &sum);
            sum = sum * ((const real *)v->u)[row] - 1;
            ((real *)v->residuals)[row] = sum < 0 ? -sum : sum;
        }
        ROW_MAP(STREAMED(v), v_mul(v_mul(a, f), b));
    }
    if (v->flags & ODY_STREAM) ody_fence();
}

/* ---- its gradients ------------------------------------------------------------------------------------------------ */

/* What the factors of out = a u v receive: u_grad = sum along rows of grad a v, and in partial the sums of grad a u. */
static void K(sinkhorn_products)(const ody_sinkhorn *v) {
    const size_t n = v->n;
    for (size_t row = v->row; row < v->row + v->rows; row++) {
        const real *a = (const real *)v->a + row * n, *grad = (const real *)v->grad + row * n, *factors = v->v;
        real *c = (real *)v->partial + row / ODY_SINKHORN_CHUNK * n;
        const vec f = v_splat(((const real *)v->u)[row]), neutral = v_zero();
        const int first = row % ODY_SINKHORN_CHUNK == 0;
        vec total;
        if (first) memset(c, 0, n * sizeof(real));
        REDUCE_SEQUENCE(total, n, neutral, neutral, v_add,
                        const vec p = v_mul(v_load(a + i), v_load(grad + i));
                        v_store(c + i, v_fma(p, f, v_load(c + i))); acc = v_fma(p, v_load(factors + i), acc),
                        const vec p = v_mul(v_load_n(a + i, left, 0), v_load_n(grad + i, left, 0));
                        v_store_n(c + i, v_fma(p, f, v_load_n(c + i, left, 0)), left);
                        acc = v_fma(p, v_load_n(factors + i, left, 0), acc));
        ((real *)v->u_grad)[row] = v_reduce_add(total);
    }
}

/* Backwards through the factors of the rows: v holds what the sums of the columns received. What the sums of the rows receive
 * goes to `terms`, u_grad becomes that of the factors before. */
static void K(sinkhorn_rows_adjoint)(const ody_sinkhorn *v) {
    const real *a = v->a, *before = v->u, *after = v->u_next;
    const real eps = (real)v->eps, drift = (real)v->drift;
    real *g = v->u_grad, *terms = v->terms;
    const size_t n = v->n;
    SINKHORN_ROWS(
        real sums[ROWS_ABREAST];
        K(sinkhorn_dots)(a + row * n, n, rows, v->v, sums);
        for (size_t r = 0; r < rows; r++) {
            const size_t i = row + r; const real f = after[i], ratio = f / before[i], incoming = g[i] + sums[r];
            terms[i] = -(incoming * f * f * drift);
            g[i] = incoming * eps * (ratio * ratio) * drift;
        }
        K(sinkhorn_spread)(a + row * n, n, rows, terms + row, c, first, FETCHED(v)))
}

/* Backwards through the factors of the columns: v_grad and what rows have sent in partial, where there is some, are the
 * gradient of v_next; what the sums of the columns receive goes to `terms`, v_grad becomes that of v. */
static void K(sinkhorn_columns_adjoint)(const ody_sinkhorn *v) {
    const vec eps = v_splat((real)v->eps), drift = v_splat((real)v->drift);
    SINKHORN_COLUMNS(
        const vec after = COLUMN(v_next), before = v_mul(COLUMN(v), drift), ratio = v_div(after, before);
        const vec sent = K(sinkhorn_column)(v, j, lanes), g = v->joins ? v_add(COLUMN(v_grad), sent) : sent;
        SET_COLUMN(terms, v_neg(v_mul(v_mul(g, after), after)));
        SET_COLUMN(v_grad, v_mul(v_mul(v_mul(g, eps), v_mul(ratio, ratio)), drift)))
}

/* The gradient of what the iterations began with, grad u v + the sum of row_terms[t] column_terms[t], t ascending; from it,
 * in out, that of what that was made of: logits, or a matrix whose rows were divided by row_by. grad may be out. */
static void K(sinkhorn_gradient)(const ody_sinkhorn *v) {
    const size_t n = v->n, count = v->count;
    const vec neutral = v_zero(), add = v_splat((real)v->add), inverse_tau = v_splat((real)v->inverse_tau);
    SINKHORN_ROWS(
        for (size_t j = 0; j < n; j += LANES) {
            const size_t lanes = n - j < LANES ? n - j : LANES;
            vec sum[ROWS_ABREAST];
            const vec factor = LOAD_LANES((const real *)v->v + j, lanes);
            for (size_t r = 0; r < rows; r++) {
                const vec incoming = LOAD_LANES((const real *)v->grad + (row + r) * n + j, lanes);
                sum[r] = v_mul(v_mul(incoming, v_splat(((const real *)v->u)[row + r])), factor);
            }
            if (rows == ROWS_ABREAST)
                for (size_t t = 0; t < count; t++) {
                    const real *from = (const real *)v->row_terms + t * v->m + row;
                    const vec term = LOAD_LANES((const real *)v->column_terms + t * n + j, lanes);
                    UNROLL_ROWS sum[r] = v_fma(v_splat(from[r]), term, sum[r]);
                }
            else
                for (size_t t = 0; t < count; t++) {
                    const real *from = (const real *)v->row_terms + t * v->m + row;
                    const vec term = LOAD_LANES((const real *)v->column_terms + t * n + j, lanes);
                    for (size_t r = 0; r < rows; r++) sum[r] = v_fma(v_splat(from[r]), term, sum[r]);
                }
            for (size_t r = 0; r < rows; r++) v_store_n((real *)v->out + (row + r) * n + j, sum[r], lanes);
        }
        for (size_t r = 0; r < rows; r++) {
            const real *x = (const real *)v->a + (row + r) * n, *y;
            real *out = (real *)v->out + (row + r) * n;
            const vec by = v_splat(v->logits ? 1 : ((const real *)v->row_by)[row + r]), less = v->logits ? add : v_zero();
            vec total;
            y = out;
            REDUCE_SEQUENCE(total, n, neutral, neutral, v_add,
                            acc = v_fma(v_sub(v_load(x + i), less), v_load(y + i), acc),
                            acc = v_fma(v_sub(v_load_n(x + i, left, 0), less), v_load_n(y + i, left, 0), acc));
            const vec sum = v_splat(v_reduce_add(total));
            if (v->logits)
                ROW_MAP(0, v_mul(v_mul(v_sub(a, less), v_sub(b, sum)), inverse_tau));
            else
                ROW_MAP(0, v_div(v_sub(b, sum), by));
        })
}

/* ---- implicit differentiation -------------------------------------------------------------------------------------- */

/* One step for -alpha of { r alpha + P beta = relaxation (grad P) 1, P^T alpha + c beta = relaxation (grad P)^T 1 }, P = a u v,
 * r and c its sums: v holds -beta times the factors of columns, u_grad the sums of grad a v. It goes to `terms`, times u to
 * u_next; 0 where the row's sum is. With ODY_GIVEN, instead, the sums of the rows of P, to row_sums. */
static void K(sinkhorn_implicit_rows)(const ody_sinkhorn *v) {
    const real *a = v->a, *u = v->u, *g = v->u_grad, relaxation = (real)v->relaxation;
    real *sum = v->row_sums, *terms = v->terms, *next = v->u_next;
    const size_t n = v->n;
    SINKHORN_ROWS(
        real sums[ROWS_ABREAST];
        K(sinkhorn_dots)(a + row * n, n, rows, v->v, sums);
        for (size_t r = 0; r < rows; r++) {
            const size_t i = row + r;
            if (v->flags & ODY_GIVEN) {
                sum[i] = u[i] * sums[r];
                next[i] = u[i];
                continue;
            }
            terms[i] = sum[i] == 0 ? 0 : -(relaxation * (u[i] * (g[i] + sums[r])) / sum[i]);
            next[i] = u[i] * terms[i];
        }
        K(sinkhorn_spread)(a + row * n, n, rows, next + row, c, first, FETCHED(v)))
}

/* The same for columns: -beta to `terms`, times v to v_next. With ODY_FOLD, instead, v_grad: what is in partial. */
static void K(sinkhorn_implicit_columns)(const ody_sinkhorn *v) {
    const vec relaxation = v_splat((real)v->relaxation), zero = v_zero();
    SINKHORN_COLUMNS(
        const vec sent = K(sinkhorn_column)(v, j, lanes), f = COLUMN(v);
        if (v->flags & ODY_GIVEN) {
            SET_COLUMN(column_sums, v_mul(f, sent));
        } else if (v->flags & ODY_FOLD) {
            SET_COLUMN(v_grad, sent);
        } else {
            const vec sum = COLUMN(column_sums);
            const vec beta = v_neg(v_div(v_mul(relaxation, v_mul(f, v_add(COLUMN(v_grad), sent))), sum));
            const vec chosen = v_select(v_eq(sum, zero), zero, beta);
            SET_COLUMN(terms, chosen);
            SET_COLUMN(v_next, v_mul(f, chosen));
        })
}
