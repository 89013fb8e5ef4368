/* Sinkhorn-Knopp of a few long rows: an iteration in one pass over registers.
 *
 * The factor of a column is known once its few elements have been met. The sums along the rows of the next iteration take
 * these elements while they still are in registers: each is loaded once an iteration, not twice, and no sums wait in memory.
 * The chains of additions are those of sinkhorn.h, and so are the bits. */

/* The columns' factors from u, then the sums along `m` rows and their factors. The last time the columns alone. */
ODY_INLINE void K(sinkhorn_few_of)(const ody_sinkhorn *v, const int m, const int last) {
    const real *a = v->a, *before = v->u, *factors = v->v;
    const size_t n = v->n;
    real *next_factors = v->v_next;
    const vec eps = v_splat((real)v->eps), drift = v_splat((real)v->column_drift), zero = v_zero();
    vec u[ODY_SINKHORN_FEW], total[ODY_SINKHORN_FEW], most = zero, least = v_splat(REAL_INF), worst = zero;
#define EACH_ROW _Pragma("GCC unroll 8") for (int r = 0; r < m; r++)
    EACH_ROW {
        u[r] = v_splat(before[r]);
        most = v_max(u[r], most);
        least = v_min(u[r], least);
        total[r] = zero;
    }
#define STEP(LOAD, STORE, INSIDE)                                                                                      \
    do {                                                                                                               \
        vec x[ODY_SINKHORN_FEW], sum = zero;                                                                           \
        EACH_ROW {                                                                                                     \
            x[r] = LOAD(a + (size_t)r * n + j);                                                                        \
            sum = v_fma(x[r], u[r], sum);                                                                              \
        }                                                                                                              \
        const vec f = LOAD(factors + j), g = v_mul(f, drift);                                                          \
        const vec next = INSIDE(v_select(v_eq(sum, zero), f, v_div(g, v_fma(g, sum, eps))), zero);                     \
        STORE(next_factors + j, next);                                                                                 \
        if (last) {                                                                                                    \
            const vec apart = INSIDE(RESIDUAL(v_mul(next, sum)), zero);                                                \
            worst = v_select(v_is_nan(apart), apart, v_max(worst, apart));                                             \
        } else {                                                                                                       \
            most = v_max(next, most);                                                                                  \
            least = v_min(INSIDE(next, least), least);                                                                 \
            EACH_ROW acc[r] = v_fma(x[r], next, acc[r]);                                                               \
        }                                                                                                              \
    } while (0)
#define EVERY(value, otherwise) (value)
#define FIRST(value, otherwise) v_select(m_first(left), value, otherwise)
#define LOAD_LEFT(p) v_load_n(p, left, 0)
#define STORE_LEFT(p, value) v_store_n(p, value, left)
    for (size_t j = 0; j < n;) {
        const size_t end = n - j >= BLOCK ? j + BLOCK : n;
        vec acc[ODY_SINKHORN_FEW];
        EACH_ROW acc[r] = zero;
        for (; end - j >= LANES; j += LANES) STEP(v_load, v_store, EVERY);
        if (j < end) {
            const size_t left = end - j;
            STEP(LOAD_LEFT, STORE_LEFT, FIRST);
            j = end;
        }
        EACH_ROW total[r] = v_add(total[r], acc[r]);
    }
    if (last) {
        if (v->residuals) *(real *)v->residuals = v_reduce_max(worst);
        return;
    }
    *v->far = v_reduce_max(most) > R(0x1p80) || v_reduce_min(least) < R(0x1p-80);
    EACH_ROW ((real *)v->u_next)[r] = K(sinkhorn_row_factor)(v, before[r], v_reduce_add(total[r]));
#undef EACH_ROW
#undef STEP
#undef EVERY
#undef FIRST
#undef LOAD_LEFT
#undef STORE_LEFT
}

#define FEW_ROWS(m)                                                                                                    \
    static __attribute__((noinline)) void K(sinkhorn_few_##m)(const ody_sinkhorn *v) {                                 \
        if (v->flags & ODY_FOLD) K(sinkhorn_few_of)(v, m, 1);                                                          \
        else K(sinkhorn_few_of)(v, m, 0);                                                                              \
    }
FEW_ROWS(1)
FEW_ROWS(2)
FEW_ROWS(3)
FEW_ROWS(4)
FEW_ROWS(5)
FEW_ROWS(6)
FEW_ROWS(7)
FEW_ROWS(8)
#undef FEW_ROWS

/* One step; see the slot. */
static void K(sinkhorn_few)(const ody_sinkhorn *v) {
    static const ody_sinkhorn_fn of[ODY_SINKHORN_FEW] = {K(sinkhorn_few_1), K(sinkhorn_few_2), K(sinkhorn_few_3),
                                                         K(sinkhorn_few_4), K(sinkhorn_few_5), K(sinkhorn_few_6),
                                                         K(sinkhorn_few_7), K(sinkhorn_few_8)};
    if (!(v->flags & ODY_GIVEN)) {
        of[v->m - 1](v);
        return;
    }
    const real *u = v->u;
    for (size_t row = 0; row < v->m; row += ROWS_ABREAST) {
        const size_t rows = v->m - row < ROWS_ABREAST ? v->m - row : ROWS_ABREAST;
        real sums[ROWS_ABREAST];
        K(sinkhorn_dots)((const real *)v->a + row * v->n, v->n, rows, v->v, sums);
        for (size_t r = 0; r < rows; r++)
            ((real *)v->u_next)[row + r] = K(sinkhorn_row_factor)(v, u[row + r], sums[r]);
    }
}
