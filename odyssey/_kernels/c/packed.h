/* Products with packed weights: a panel is read from its first byte to its last, widened in registers, once for every
 * few rows of A. Lanes are outputs, an element of A is broadcast: one chain of fma over k in ascending order each.
 *
 * Weights that lie in rows of 16 bits become panels a block at a time (turned.h), which the tiles then find in L1.
 *
 * More rows than that go through the tiles of gemm.h, which widen a block of panels first.
 */

#ifndef ODY_PACKED_SETTINGS
#define ODY_PACKED_SETTINGS
#if defined(ODY_ISA_AVX512)
enum {
    PACKED_TILE = 8,
    PACKED_ROWS = 48, /* of A that need no widened block: with 64 of it and of their sums L1 is full */
};
/* Where widening takes two operations, not half a one or none, tiles of seven and eight rows lose. */
#define PACKED_TILE_FOR(format) ((format) == ODY_F16 || (format) == ODY_INT8 ? 6 : PACKED_TILE)
#define PACKED_VECS_FOR(rows) ((rows) <= 6 ? 4 : 2)
#define PACKED_TILES(CASE, format)                                                                                     \
    CASE(1, 4, format) CASE(2, 4, format) CASE(3, 4, format) CASE(4, 4, format) CASE(5, 4, format) CASE(6, 4, format)  \
    CASE(7, 2, format) CASE(8, 2, format)
#else
enum {
    PACKED_TILE = 3,
    PACKED_ROWS = 16,
};
#define PACKED_TILE_FOR(format) ((void)(format), PACKED_TILE)
#define PACKED_VECS_FOR(rows) ((rows) == 1 ? 4 : 2)
#define PACKED_TILES(CASE, format) CASE(1, 4, format) CASE(2, 2, format) CASE(3, 2, format)
#endif
/* Bytes to fetch ahead where one tile takes a panel whole. The machine's prefetchers help a stream that is read as fast as it
 * arrives; int8, which waits for its widening, has to ask for all of it in time. */
#define PACKED_AHEAD_FOR(format) ((format) == ODY_INT8 ? 6144 : (format) == ODY_PANELS ? 1024 : 1536)
/* Numbers as wide as the sums need no widening: from 17 rows on the tiles of gemm.h read their panels where they are. */
#define PACKED_ROWS_FOR(format) ((format) == ODY_PANELS ? 16 : PACKED_ROWS)
#define PACKED_KEY(rows, vecs) ((rows) * 16 + (vecs))
#endif

/* Where the panel begins that holds column j. */
static const char *K(panel_of)(const ody_gemm *g, size_t j) {
    const size_t k = g->format == ODY_BF16 ? g->k + g->k % 2 : g->k;
    return (const char *)g->b + j / K(PANEL) * k * K(panel_row)(g->format);
}

/* One row of vectors: four ways to read it. LAST is the row after the last whole pair of bfloat16. */
#define READ_PANELS(v) v_load((const real *)(b + ((v) * LANES) * sizeof(real)))
#define READ_F16(v) f32x16_load_f16((const uint16_t *)(const void *)(b + (v) * 32))
#define READ_INT8(v) f32x16_load_i8((const int8_t *)(b + (v) * 16))

#define PACKED_STEP(READ)                                                                                              \
    {                                                                                                                  \
        vec bv[4];                                                                                                     \
        UNROLL for (int v = 0; v < vecs; v++) bv[v] = READ(v);                                                         \
        UNROLL for (int r = 0; r < rows; r++) {                                                                        \
            vec ar = v_splat(a[r]);                                                                                    \
            UNROLL for (int v = 0; v < vecs; v++) acc[r][v] = v_fma(ar, bv[v], acc[r][v]);                             \
        }                                                                                                              \
    }

/* rows x vecs sums go on over `depth` rows of a panel; a holds (k, a_step), sums are sum_row apart. With each row, or
 * pair of bfloat16, a part of what comes next is fetched into L2, fetch_step bytes after the last. */
ODY_INLINE void K(packed_tile)(const int rows, const int vecs, const int format, size_t depth, const real *a,
                               size_t a_step, const char *b, real *sums, size_t sum_row, const char *fetch,
                               size_t fetch_step) {
    vec acc[PACKED_TILE][4];
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int v = 0; v < vecs; v++) acc[r][v] = v_load(sums + (size_t)r * sum_row + (size_t)v * LANES);
#if LANES == 16
    if (format == ODY_BF16) {
        for (size_t i = 0; i < depth; i += 2) {
            vec even[4], odd[4];
            UNROLL for (int v = 0; v < vecs; v++) {
                f32x16_load_bf16_pairs((const uint16_t *)(const void *)(b + v * 64), &even[v], &odd[v]);
                __builtin_prefetch(fetch + v * 64, 0, 2);
            }
            fetch += fetch_step;
            UNROLL for (int r = 0; r < rows; r++) {
                vec ar = v_splat(a[r]);
                UNROLL for (int v = 0; v < vecs; v++) acc[r][v] = v_fma(ar, even[v], acc[r][v]);
            }
            a += a_step;
            if (i + 1 < depth)
                UNROLL for (int r = 0; r < rows; r++) {
                    vec ar = v_splat(a[r]);
                    UNROLL for (int v = 0; v < vecs; v++) acc[r][v] = v_fma(ar, odd[v], acc[r][v]);
                }
            a += a_step;
            b += ODY_PANEL_BYTES;
        }
    } else if (format == ODY_F16) {
#pragma GCC unroll 4
        for (size_t i = 0; i < depth; i++, a += a_step, b += ODY_PANEL_BYTES / 2, fetch += fetch_step) {
            UNROLL for (int v = 0; v < vecs; v += 2) __builtin_prefetch(fetch + v * 32, 0, 2);
            PACKED_STEP(READ_F16)
        }
    } else if (format == ODY_INT8) {
#pragma GCC unroll 4
        for (size_t i = 0; i < depth; i++, a += a_step, b += ODY_PANEL_BYTES / 4, fetch += fetch_step) {
            __builtin_prefetch(fetch, 0, 2);
            PACKED_STEP(READ_INT8)
        }
    } else
#endif
    {
        (void)format;
#pragma GCC unroll 4
        for (size_t i = 0; i < depth; i++, a += a_step, b += ODY_PANEL_BYTES, fetch += fetch_step) {
            UNROLL for (int v = 0; v < vecs; v++) __builtin_prefetch(fetch + v * 64, 0, 2);
            PACKED_STEP(READ_PANELS)
        }
    }
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int v = 0; v < vecs; v++) v_store(sums + (size_t)r * sum_row + (size_t)v * LANES, acc[r][v]);
}

typedef void (*K(packed_fn))(size_t, const real *, size_t, const char *, real *, size_t, const char *, size_t);

#define PACKED_FUNCTION(rows, vecs, format)                                                                            \
    static __attribute__((noinline)) void K(packed_##format##_##rows##x##vecs)(                                        \
        size_t depth, const real *a, size_t a_step, const char *b, real *sums, size_t sum_row, const char *fetch,      \
        size_t fetch_step) {                                                                                           \
        K(packed_tile)(rows, vecs, ODY_##format, depth, a, a_step, b, sums, sum_row, fetch, fetch_step);               \
    }
#define PACKED_CASE(rows, vecs, format)                                                                                \
    case PACKED_KEY(rows, vecs): return K(packed_##format##_##rows##x##vecs);
#define PACKED_FORMAT(format)                                                                                          \
    PACKED_TILES(PACKED_FUNCTION, format)                                                                              \
    static K(packed_fn) K(packed_##format##_for)(int rows, int vecs) {                                                 \
        switch (PACKED_KEY(rows, vecs)) { PACKED_TILES(PACKED_CASE, format) }                                          \
        return NULL;                                                                                                   \
    }
PACKED_FORMAT(PANELS)
#if LANES == 16
PACKED_FORMAT(BF16)
PACKED_FORMAT(F16)
PACKED_FORMAT(INT8)
#endif
#undef PACKED_FUNCTION
#undef PACKED_CASE
#undef PACKED_FORMAT

static K(packed_fn) K(packed_for)(int format, int rows) {
    const int vecs = PACKED_VECS_FOR(rows);
#if LANES == 16
    if (format == ODY_BF16) return K(packed_BF16_for)(rows, vecs);
    if (format == ODY_F16) return K(packed_F16_for)(rows, vecs);
    if (format == ODY_INT8) return K(packed_INT8_for)(rows, vecs);
#endif
    (void)format;
    return K(packed_PANELS_for)(rows, vecs);
}

/* The end of the chains of n columns from j on, where a scale stands outside of them. */
ODY_INLINE vec K(scaled)(const ody_gemm *g, size_t j, size_t lanes, vec sum) {
    if (!g->scale) return sum;
    vec scale = v_load_n((const real *)g->scale + j, lanes, 0);
    return g->bias ? v_fma(sum, scale, v_load_n((const real *)g->bias + j, lanes, 0)) : v_mul(sum, scale);
}
static void K(scale_row)(const ody_gemm *g, real *row, size_t j, size_t n) {
    for (size_t i = 0; i < n; i += LANES) {
        const size_t lanes = n - i < LANES ? n - i : LANES;
        v_store_n(row + i, K(scaled)(g, j + i, lanes, v_load_n(row + i, lanes, 0)), lanes);
    }
}

static size_t K(packed_workspace)(const ody_gemm *g) {
    const size_t turned = K(in_rows)(g->format) ? PACKED_DEPTH * K(panel_row)(K(panel_format)(g->format)) : 0;
    return (K(beside)(g->m, g->k) + g->m * K(PANEL)) * sizeof(real) + turned;
}

static void K(packed)(const ody_gemm *g) {
    const size_t m = g->m, n = g->n, k = g->k;
    real *a = g->workspace, *sums = a + K(beside)(m, k);
    char *turned = (char *)(sums + m * K(PANEL));
    const int in_rows = K(in_rows)(g->format), format = K(panel_format)(g->format);
    K(lay_beside)(g, a);
    const size_t most = (size_t)PACKED_TILE_FOR(format), tiles = (m + most - 1) / most, row = K(panel_row)(format);
    for (size_t j = 0; j < n; j += K(PANEL)) {
        const size_t columns = n - j < K(PANEL) ? n - j : K(PANEL);
        for (size_t v = 0; v < K(PANEL); v += LANES) {
            const size_t lanes = columns < v ? 0 : columns - v < LANES ? columns - v : LANES;
            const vec start = g->bias && !g->scale && lanes ? v_load_n((const real *)g->bias + j + v, lanes, 0) : v_zero();
            for (size_t r = 0; r < m; r++) v_store(sums + r * K(PANEL) + v, start);
        }
        const char *b = in_rows ? NULL : K(panel_of)(g, j);
        const int once = tiles == 1 && PACKED_VECS_FOR(m) == 4 && !in_rows;
        const size_t step = once ? k : PACKED_DEPTH;
        for (size_t i = 0; i < k; i += step) {
            const size_t depth = k - i < step ? k - i : step;
            /* Several passes over this block: each fetches its share of the next one. */
            const char *block = in_rows ? turned : b + i * row, *fetch = block + PACKED_AHEAD_FOR(format);
            const size_t steps = format == ODY_BF16 ? (depth + 1) / 2 : depth;
            const size_t bytes = depth * row;
            size_t fetch_step = steps ? bytes / steps : 0;
            if (in_rows) {
                K(turn)(g, j, columns, i, depth, turned);
                fetch = block, fetch_step = 0;
            } else if (!once) {
                size_t passes = 0;
                for (size_t t = 0; t < tiles; t++)
                    passes += 4 / (size_t)PACKED_VECS_FOR(m * (t + 1) / tiles - m * t / tiles);
                fetch = block + bytes;
                fetch_step /= passes;
            }
            for (size_t t = 0; t < tiles; t++) {
                const size_t first = m * t / tiles, rows = m * (t + 1) / tiles - first;
                const size_t width = (size_t)PACKED_VECS_FOR(rows) * LANES;
                const K(packed_fn) tile = K(packed_for)(format, (int)rows);
                for (size_t v = 0; v < 4 * LANES; v += width) {
                    /* A pair's vectors are twice as wide. */
                    const size_t into = format == ODY_BF16 ? v * 4 : v * row / K(PANEL);
                    tile(depth, a + i * m + first, m, block + into, sums + first * K(PANEL) + v, K(PANEL), fetch,
                         fetch_step);
                    if (!once) fetch += fetch_step * steps;
                }
            }
        }
        for (size_t r = 0; r < m; r++)
            for (size_t v = 0; v < columns; v += LANES) {
                const size_t lanes = columns - v < LANES ? columns - v : LANES;
                vec sum = K(scaled)(g, j + v, lanes, v_load(sums + r * K(PANEL) + v));
                if (g->activation == ODY_RELU) sum = K(relu_vec)(sum);
                v_store_n((real *)g->c + (ptrdiff_t)r * g->c_row + j + v, sum, lanes);
            }
        if (g->activation != ODY_IDENTITY && g->activation != ODY_RELU)
            for (size_t r = 0; r < m; r++)
                K(activate_row)((real *)g->c + (ptrdiff_t)r * g->c_row + j, columns, g->activation);
    }
}

/* A block of rows [i, i + depth) and columns [j, j + n) into panels of (depth, width) for gemm_tile; `width` divides a
 * panel's, i is even, and what stands behind the last column is zero. */
static void K(widen)(const ody_gemm *g, size_t i, size_t depth, size_t j, size_t n, size_t width, real *panels) {
    if (K(in_rows)(g->format)) {
        K(widen_rows)(g, i, depth, j, n, width, panels);
        return;
    }
    const size_t row = K(panel_row)(g->format);
    for (size_t at = 0; at < n; at += width) {
        const size_t inside = (j + at) % K(PANEL);
        const char *b = K(panel_of)(g, j + at) + i * row;
        real *to = panels + at * depth;
#if LANES == 16
        if (g->format == ODY_BF16) {
            b += inside * 4;
            for (size_t d = 0; d < depth; d += 2, b += ODY_PANEL_BYTES)
                for (size_t v = 0; v < width; v += LANES) {
                    vec even, odd;
                    f32x16_load_bf16_pairs((const uint16_t *)(const void *)(b + v * 4), &even, &odd);
                    v_store(to + d * width + v, even);
                    if (d + 1 < depth) v_store(to + (d + 1) * width + v, odd);
                }
            continue;
        }
#endif
        b += inside * row / K(PANEL);
        for (size_t d = 0; d < depth; d++, b += row)
            for (size_t v = 0; v < width; v += LANES) {
                vec one;
#if LANES == 16
                if (g->format == ODY_F16) one = f32x16_load_f16((const uint16_t *)(const void *)(b + v * 2));
                else if (g->format == ODY_INT8) one = f32x16_load_i8((const int8_t *)(b + v));
                else
#endif
                    one = v_load((const real *)(const void *)(b + v * sizeof(real)));
                v_store(to + d * width + v, one);
            }
    }
}
