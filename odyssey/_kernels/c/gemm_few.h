/* Products of a few rows with a large matrix: memory decides, so B is read once, as it lies, at the speed of a plain read.
 *
 * Rows of B (x @ W): a few whole rows are walked side by side, strip by strip, and what comes next is fetched into L2
 * meanwhile. The sums wait in a scratch of their own and the rows of A stand element by element beside each other: the
 * rows of both would otherwise lie a power of two apart in so many shapes, and push each other out of L1.
 *
 * Columns of B (x @ W.T): LANES columns, LANES elements of each, are turned in registers; lanes are columns.
 *
 * Either way an element is one chain of fma over k in ascending order, as everywhere.
 */

#ifndef ODY_FEW_SETTINGS
#define ODY_FEW_SETTINGS
#if defined(ODY_ISA_AVX512)
enum { FEW_ROWS = 8 };
#define FEW_VECS_FOR(m) ((m) <= 4 ? 4 : 2)
#define FEW_TILES(CASE)                                                                                                \
    CASE(1, 4) CASE(2, 4) CASE(3, 4) CASE(4, 4) CASE(5, 2) CASE(6, 2) CASE(7, 2) CASE(8, 2)                            \
    CASE(1, 1) CASE(2, 1) CASE(3, 1) CASE(4, 1) CASE(5, 1) CASE(6, 1) CASE(7, 1) CASE(8, 1)
#define FEW_SIZES(CASE) CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8)
#else
enum { FEW_ROWS = 6 };
#define FEW_VECS_FOR(m) ((m) == 1 ? 4 : (m) <= 3 ? 2 : 1)
#define FEW_TILES(CASE)                                                                                                \
    CASE(1, 4) CASE(2, 2) CASE(3, 2) CASE(1, 1) CASE(2, 1) CASE(3, 1) CASE(4, 1) CASE(5, 1) CASE(6, 1)
#define FEW_SIZES(CASE) CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6)
#endif

enum {
    FEW_BYTES = 1 << 20,  /* of B from which memory decides */
    FEW_STRIPS = 4096,    /* bytes of a row of B walked at once, at five rows of A and more */
    FEW_DEPTH = 4,        /* rows of B side by side, at up to four rows of A: streams the prefetchers follow */
    FEW_COLUMN_AHEAD = 1024, /* bytes to fetch ahead in each column of B */
};

/* Loops over a tile's registers must vanish entirely, or its accumulators would live in memory. */
#if defined(ODY_ISA_AVX512) || defined(ODY_ISA_AVX2) || defined(ODY_ISA_NEON)
#define UNROLL _Pragma("GCC unroll 16")
#else
#define UNROLL
#endif
#define FEW_KEY(rows, vecs) ((rows) * 16 + (vecs))
#endif

static int K(few_rows)(const ody_gemm *g) {
    return g->m >= 1 && g->m <= FEW_ROWS && g->k * g->n * sizeof(real) >= FEW_BYTES && (g->b_col == 1 || g->b_row == 1);
}

/* How many columns of B one pass takes, and how many rows side by side. */
static void K(few_block)(const ody_gemm *g, size_t *columns, size_t *depth) {
    const size_t width = (size_t)FEW_VECS_FOR(g->m) * LANES;
    if (g->m <= 4) {
        *columns = 16384 / sizeof(real) / (g->m <= 2 ? 1 : 4);
        *depth = g->m == 1 ? 2 * FEW_DEPTH : FEW_DEPTH;
    } else {
        *columns = FEW_STRIPS / sizeof(real);
        *depth = *columns / width; /* as many rows as strips: a strip fetches one row of the next pass */
    }
    const size_t all = (g->n + LANES - 1) / LANES * LANES;
    if (*columns > all) *columns = all;
}

static size_t K(few_workspace)(const ody_gemm *g) {
    size_t columns, depth;
    K(few_block)(g, &columns, &depth);
    return (K(beside)(g->m, g->k) + (g->b_col == 1 ? g->m * columns : LANES * LANES)) * sizeof(real);
}

/* rows x vecs sums, in scratch as (rows, vecs*LANES), go on over `depth` rows of B; lanes < LANES where vecs is 1. */
ODY_INLINE void K(few_tile)(const int rows, const int vecs, size_t depth, const real *a, const real *b, ptrdiff_t b_row,
                            real *sums, const real *fetch, ptrdiff_t fetch_step, size_t lanes) {
    vec acc[8][4];
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int v = 0; v < vecs; v++) acc[r][v] = v_load(sums + (r * vecs + v) * LANES);
#pragma GCC unroll 4
    for (size_t i = 0; i < depth; i++) {
        vec bv[4];
        UNROLL for (int v = 0; v < vecs; v++) {
            bv[v] = vecs == 1 && lanes < LANES ? v_load_n(b, lanes, 0) : v_load(b + v * LANES);
            __builtin_prefetch(fetch + v * LANES, 0, 2);
        }
        fetch += fetch_step;
        b += b_row;
        UNROLL for (int r = 0; r < rows; r++) {
            vec ar = v_splat(a[r]);
            UNROLL for (int v = 0; v < vecs; v++) acc[r][v] = v_fma(ar, bv[v], acc[r][v]);
        }
        a += rows;
    }
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int v = 0; v < vecs; v++) v_store(sums + (r * vecs + v) * LANES, acc[r][v]);
}

#define FEW_FUNCTION(rows, vecs)                                                                                       \
    static __attribute__((noinline)) void K(few_tile_##rows##x##vecs)(                                                 \
        size_t depth, const real *a, const real *b, ptrdiff_t b_row, real *sums, const real *fetch,                    \
        ptrdiff_t fetch_step, size_t lanes) {                                                                          \
        K(few_tile)(rows, vecs, depth, a, b, b_row, sums, fetch, fetch_step, lanes);                                   \
    }
FEW_TILES(FEW_FUNCTION)
#undef FEW_FUNCTION

typedef void (*K(few_fn))(size_t, const real *, const real *, ptrdiff_t, real *, const real *, ptrdiff_t, size_t);

static K(few_fn) K(few_for)(int rows, int vecs) {
    switch (FEW_KEY(rows, vecs)) {
#define FEW_CASE(rows, vecs)                                                                                           \
    case FEW_KEY(rows, vecs): return K(few_tile_##rows##x##vecs);
        FEW_TILES(FEW_CASE)
#undef FEW_CASE
    }
    return NULL;
}

/* What the chains of row r begin at in columns [j, j + lanes), and what becomes of their ends. */
ODY_INLINE vec K(few_start)(const ody_gemm *g, size_t r, size_t j, size_t lanes) {
    if (g->bias) return v_load_n((const real *)g->bias + j, lanes, 0);
    if (g->beta == 0) return v_zero();
    vec c = v_load_n((const real *)g->c + (ptrdiff_t)r * g->c_row + j, lanes, 0);
    return g->beta == 1 ? c : v_mul(v_splat((real)g->beta), c);
}
ODY_INLINE void K(few_end)(const ody_gemm *g, size_t r, size_t j, size_t lanes, vec sum) {
    if (g->activation == ODY_RELU) sum = K(relu_vec)(sum);
    v_store_n((real *)g->c + (ptrdiff_t)r * g->c_row + j, sum, lanes);
}

static void K(few_from_rows)(const ody_gemm *g, const real *a, real *sums) {
    const size_t m = g->m, n = g->n, k = g->k;
    const int vecs = FEW_VECS_FOR(m);
    const size_t width = (size_t)vecs * LANES;
    const K(few_fn) wide = K(few_for)((int)m, vecs), narrow = K(few_for)((int)m, 1);
    size_t block, depth;
    K(few_block)(g, &block, &depth);
    for (size_t first = 0; first < n; first += block) {
        const size_t columns = n - first < block ? n - first : block, whole = columns / width * width;
        /* A strip's sums lie together: (strip, row, vector). */
#define FEW_EACH_SUM(BODY)                                                                                             \
        for (size_t j = 0, at = 0; j < columns;) {                                                                     \
            const size_t strip = j < whole ? width : LANES;                                                            \
            for (size_t r = 0; r < m; r++)                                                                             \
                for (size_t v = 0; v < strip; v += LANES, at += LANES) {                                               \
                    const size_t column = first + j + v, lanes = n - column < LANES ? n - column : LANES;              \
                    BODY;                                                                                              \
                }                                                                                                      \
            j += strip;                                                                                                \
        }
        FEW_EACH_SUM(v_store(sums + at, K(few_start)(g, r, column, lanes)))
        for (size_t i = 0; i < k; i += depth) {
            const size_t rows = k - i < depth ? k - i : depth;
            const real *b = (const real *)g->b + (ptrdiff_t)i * g->b_row + first, *next = b + (ptrdiff_t)depth * g->b_row;
            real *at = sums;
            size_t j = 0;
            for (; j < whole; j += width, at += m * width) {
                /* Few rows: the same strip of the next rows. More: the next rows one after another, a strip each. */
                if (m <= 4) wide(rows, a + i * m, b + j, g->b_row, at, next + j, g->b_row, LANES);
                else wide(rows, a + i * m, b + j, g->b_row, at, next + (ptrdiff_t)(j / width) * g->b_row, (ptrdiff_t)width, LANES);
            }
            for (; j < columns; j += LANES, at += m * LANES)
                narrow(rows, a + i * m, b + j, g->b_row, at, next + j, g->b_row, columns - j < LANES ? columns - j : LANES);
        }
        FEW_EACH_SUM(K(few_end)(g, r, column, lanes, v_load(sums + at)))
#undef FEW_EACH_SUM
    }
}

ODY_INLINE void K(few_columns)(const int rows, const ody_gemm *g, const real *a, real *square) {
    const size_t n = g->n, k = g->k;
    for (size_t j = 0; j < n; j += LANES) {
        const size_t lanes = n - j < LANES ? n - j : LANES;
        const real *b = (const real *)g->b + (ptrdiff_t)j * g->b_col;
        vec acc[8];
        UNROLL for (int r = 0; r < rows; r++) acc[r] = K(few_start)(g, (size_t)r, j, lanes);
        size_t i = 0;
        if (lanes == LANES)
            for (; i + LANES <= k; i += LANES) {
                vec block[LANES];
                UNROLL for (int c = 0; c < LANES; c++) {
                    block[c] = v_load(b + (ptrdiff_t)c * g->b_col + i);
                    __builtin_prefetch(b + (ptrdiff_t)c * g->b_col + i + FEW_COLUMN_AHEAD / sizeof(real), 0, 2);
                }
                v_transpose(block);
                UNROLL for (int l = 0; l < LANES; l++)
                    UNROLL for (int r = 0; r < rows; r++)
                        acc[r] = v_fma(v_splat(a[(i + (size_t)l) * (size_t)rows + (size_t)r]), block[l], acc[r]);
            }
        for (; i < k; i++) {
            for (size_t c = 0; c < LANES; c++) square[c] = c < lanes ? b[(ptrdiff_t)c * g->b_col + (ptrdiff_t)i] : 0;
            vec one = v_load(square);
            UNROLL for (int r = 0; r < rows; r++) acc[r] = v_fma(v_splat(a[i * (size_t)rows + (size_t)r]), one, acc[r]);
        }
        UNROLL for (int r = 0; r < rows; r++) K(few_end)(g, (size_t)r, j, lanes, acc[r]);
    }
}

#define FEW_FUNCTION(rows)                                                                                             \
    static __attribute__((noinline)) void K(few_columns_##rows)(const ody_gemm *g, const real *a, real *square) {      \
        K(few_columns)(rows, g, a, square);                                                                            \
    }
FEW_SIZES(FEW_FUNCTION)
#undef FEW_FUNCTION

static void K(few)(const ody_gemm *g) {
    real *a = g->workspace, *rest = a + K(beside)(g->m, g->k);
    K(lay_beside)(g, a);
    if (g->b_col == 1) {
        K(few_from_rows)(g, a, rest);
    } else {
        switch (g->m) {
#define FEW_CASE(rows)                                                                                                 \
    case rows: K(few_columns_##rows)(g, a, rest); break;
            FEW_SIZES(FEW_CASE)
#undef FEW_CASE
        }
    }
    if (g->activation != ODY_IDENTITY && g->activation != ODY_RELU)
        for (size_t r = 0; r < g->m; r++) K(activate_row)((real *)g->c + (ptrdiff_t)r * g->c_row, g->n, g->activation);
}
