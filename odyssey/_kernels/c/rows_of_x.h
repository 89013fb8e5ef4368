/* The few rows of A that meet a large B: element by element beside each other, so that a step along k finds them together. */

static size_t K(round_up)(size_t n, size_t to) { return (n + to - 1) / to * to; }

/* How many reals `rows` rows of A take there. */
static size_t K(beside)(size_t rows, size_t k) { return K(round_up)(rows * k, LANES); }

/* A into (k, m). */
static void K(lay_beside)(const ody_gemm *g, real *to) {
    const size_t m = g->m, k = g->k;
    const real *from = g->a;
    const real alpha = (real)g->alpha;
    size_t i = 0;
    if (g->a_col == 1 && m > 1)
        for (; i + LANES <= k; i += LANES)
            for (size_t first = 0; first < m; first += LANES) {
                const size_t rows = m - first < LANES ? m - first : LANES;
                vec square[LANES];
                for (size_t r = 0; r < LANES; r++)
                    square[r] = r < rows ? v_load(from + (ptrdiff_t)(first + r) * g->a_row + i) : v_zero();
                v_transpose(square);
                for (size_t l = 0; l < LANES; l++)
                    v_store_n(to + (i + l) * m + first, v_mul(v_splat(alpha), square[l]), rows);
            }
    for (size_t r = 0; r < m; r++)
        for (size_t l = i; l < k; l++) to[l * m + r] = alpha * from[(ptrdiff_t)r * g->a_row + (ptrdiff_t)l * g->a_col];
}
