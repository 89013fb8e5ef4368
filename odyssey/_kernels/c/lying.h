/* A few rows of x times weights as a checkpoint has them: memory decides, so every row of weights is read once, where it lies.
 *
 * Two squares of sixteen outputs are turned in registers, laid down, and taken up again beside each other: so many chains of fma
 * hide each other's latency. The next outputs' rows are fetched in the order in which they lie in memory, as much as is being
 * read: the machine's own prefetchers do not follow sixteen streams.
 */

#ifndef ODY_LYING_SETTINGS
#define ODY_LYING_SETTINGS
#if defined(ODY_ISA_AVX512)
enum { LYING_ROWS = 8 };
#define LYING_SIZES(CASE, name, pairs)                                                                                 \
    CASE(1, name, pairs) CASE(2, name, pairs) CASE(3, name, pairs) CASE(4, name, pairs)                                \
    CASE(5, name, pairs) CASE(6, name, pairs) CASE(7, name, pairs) CASE(8, name, pairs)
#else
enum { LYING_ROWS = 2 };
#define LYING_SIZES(CASE, name, pairs) CASE(1, name, pairs) CASE(2, name, pairs)
#endif
enum {
    LYING_VECS = 1,
    LYING_LONG = 4096, /* bytes of a row from which the rows themselves are followed, where there are gaps between them */
    LYING_AHEAD = 768, /* how far */
};
#endif

#if LANES == 16

static int K(lies)(const ody_gemm *g) { return K(in_rows)(g->format) && g->m >= 1 && g->m <= LYING_ROWS; }
static size_t K(lying_workspace)(const ody_gemm *g) {
    return (K(beside)(g->m, g->k) + LYING_VECS * LANES * LANES) * sizeof(real);
}

ODY_INLINE void K(lying)(const int rows, const int pairs, const ody_gemm *g, const real *a, real *turned) {
    const size_t n = g->n, k = g->k, step = pairs ? 32 : 16, line = 32;
    const uint16_t *weights = g->b;
    for (size_t j = 0; j < n; j += LYING_VECS * LANES) {
        const uint16_t *b = weights + (ptrdiff_t)j * g->b_col, *next = b + (ptrdiff_t)(LYING_VECS * LANES) * g->b_col;
        /* Rows without gaps are one stretch of memory; the first ones are waited for on the way. */
        const int stretch = g->b_col == (ptrdiff_t)k, more = j + LYING_VECS * LANES < n;
        const int along = k * 2 >= LYING_LONG && (!stretch || j == 0);
        vec acc[LYING_ROWS][LYING_VECS];
        UNROLL for (int v = 0; v < LYING_VECS; v++) {
            const size_t lanes = n - j <= (size_t)v * LANES ? 0 : n - j - (size_t)v * LANES < LANES ? n - j - (size_t)v * LANES : LANES;
            const vec start = g->bias && lanes ? v_load_n((const real *)g->bias + j + (size_t)v * LANES, lanes, 0) : v_zero();
            UNROLL for (int r = 0; r < rows; r++) acc[r][v] = start;
        }
        for (size_t i = 0; i < k; i += step) {
            UNROLL for (int v = 0; v < LYING_VECS; v++) {
                const size_t first = (size_t)v * LANES, exist = n - j <= first ? 0 : n - j - first < LANES ? n - j - first : LANES;
                const uint16_t *from = b + (ptrdiff_t)(exist ? first : 0) * g->b_col + i;
                vec square[16];
                if (pairs) K(turn_pairs)(from, g->b_col, exist, k - i, square);
                else K(turn_f16)(from, g->b_col, exist, k - i, square);
                UNROLL for (int l = 0; l < 16; l++) v_store(turned + (l * LYING_VECS + v) * LANES, square[l]);
                if (along) {
                    UNROLL for (int l = 0; l < 16; l++) __builtin_prefetch(from + (ptrdiff_t)l * g->b_col + LYING_AHEAD / 2, 0, 2);
                }
                if (more && stretch) {
                    UNROLL for (size_t l = 0; l < step / 2; l++) __builtin_prefetch(next + l * line, 0, 2);
                    next += 16 * step;
                } else if (more && !along && i % line == 0) {
                    UNROLL for (int l = 0; l < 16; l++) __builtin_prefetch(next + (ptrdiff_t)(v * 16 + l) * g->b_col + i, 0, 2);
                }
            }
            const size_t vectors = pairs ? (k - i < step ? (k - i + 1) / 2 : 16) : k - i < step ? k - i : 16;
            const real *x = a + i * (size_t)rows;
            const real *w = turned;
#pragma GCC unroll 4
            for (size_t l = 0; l < vectors; l++, w += LYING_VECS * LANES) {
                vec even[LYING_VECS], odd[LYING_VECS];
                UNROLL for (int v = 0; v < LYING_VECS; v++) {
                    if (pairs) f32x16_load_bf16_pairs((const uint16_t *)(const void *)(w + v * LANES), &even[v], &odd[v]);
                    else even[v] = v_load(w + v * LANES);
                }
                UNROLL for (int r = 0; r < rows; r++)
                    UNROLL for (int v = 0; v < LYING_VECS; v++) acc[r][v] = v_fma(v_splat(x[r]), even[v], acc[r][v]);
                x += rows;
                if (!pairs) continue;
                if (i + 2 * l + 1 < k)
                    UNROLL for (int r = 0; r < rows; r++)
                        UNROLL for (int v = 0; v < LYING_VECS; v++) acc[r][v] = v_fma(v_splat(x[r]), odd[v], acc[r][v]);
                x += rows;
            }
        }
        UNROLL for (int r = 0; r < rows; r++)
            UNROLL for (int v = 0; v < LYING_VECS; v++) {
                const size_t first = j + (size_t)v * LANES;
                if (first < n) K(few_end)(g, (size_t)r, first, n - first < LANES ? n - first : LANES, acc[r][v]);
            }
    }
}

#define LYING_FUNCTION(rows, name, pairs)                                                                              \
    static __attribute__((noinline)) void K(lying_##name##_##rows)(const ody_gemm *g, const real *a, real *turned) {   \
        K(lying)(rows, pairs, g, a, turned);                                                                           \
    }
LYING_SIZES(LYING_FUNCTION, bf16, 1)
LYING_SIZES(LYING_FUNCTION, f16, 0)
#undef LYING_FUNCTION

static void K(run_lying)(const ody_gemm *g) {
#define LYING_ENTRY(rows, name, pairs) K(lying_##name##_##rows),
    static void (*const of[2][LYING_ROWS])(const ody_gemm *, const real *, real *) = {{LYING_SIZES(LYING_ENTRY, bf16, 1)},
                                                                                      {LYING_SIZES(LYING_ENTRY, f16, 0)}};
#undef LYING_ENTRY
    real *a = g->workspace;
    K(lay_beside)(g, a);
    of[g->format == ODY_F16_ROWS][g->m - 1](g, a, a + K(beside)(g->m, g->k));
    if (g->activation != ODY_IDENTITY && g->activation != ODY_RELU)
        for (size_t r = 0; r < g->m; r++) K(activate_row)((real *)g->c + (ptrdiff_t)r * g->c_row, g->n, g->activation);
}

#else /* narrow rows are for float32 alone */
static int K(lies)(const ody_gemm *g) { return (void)g, 0; }
static size_t K(lying_workspace)(const ody_gemm *g) { return (void)g, 0; }
static void K(run_lying)(const ody_gemm *g) { (void)g; }
#endif
