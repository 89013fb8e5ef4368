/* Weights as a checkpoint has them: rows of 16-bit numbers, a row for each output. A block of them becomes a panel, outputs side
 * by side: squares are turned in registers, of bfloat16 two neighbours at a time, so that half the squares do. What follows
 * is then what packed weights get (packed.h), bit for bit.
 */

enum { K(PANEL) = ODY_PANEL_BYTES / sizeof(real) };

/* Bytes of one row of b in a panel; of a pair of rows, half. */
static size_t K(panel_row)(int format) {
#if LANES == 16
    if (format == ODY_BF16 || format == ODY_F16) return K(PANEL) * 2;
    if (format == ODY_INT8) return K(PANEL);
#endif
    (void)format;
    return ODY_PANEL_BYTES;
}

ODY_INLINE int K(in_rows)(int format) { return format == ODY_BF16_ROWS || format == ODY_F16_ROWS; }
/* What a panel made of such rows holds; of others, what it holds already. */
ODY_INLINE int K(panel_format)(int format) {
    return format == ODY_BF16_ROWS ? ODY_BF16 : format == ODY_F16_ROWS ? ODY_PANELS : format;
}

#ifndef ODY_TURNED_SETTINGS
#define ODY_TURNED_SETTINGS
enum {
    PACKED_DEPTH = 64, /* rows of a panel between two tiles of A, which find them in L1; a whole number of squares */
    TURNED_AHEAD = 2,  /* blocks to fetch ahead */
};
#endif

#if LANES == 16

/* Sixteen rows, sixteen pairs of each from `from` on: pair by pair. Rows from `rows` on, and numbers from `numbers` on, are 0. */
ODY_INLINE void K(turn_pairs)(const uint16_t *from, ptrdiff_t row, size_t rows, size_t numbers, vec *square) {
    if (rows == 16 && numbers >= 32) {
        UNROLL for (int r = 0; r < 16; r++) square[r] = v_load((const real *)(const void *)(from + (ptrdiff_t)r * row));
    } else {
        uint16_t near[16][32] = {{0}};
        for (size_t r = 0; r < rows; r++)
            memcpy(near[r], from + (ptrdiff_t)r * row, (numbers < 32 ? numbers : 32) * sizeof(uint16_t));
        for (size_t r = 0; r < 16; r++) square[r] = v_load((const real *)(const void *)near[r]);
    }
    v_transpose(square);
}
/* The same of sixteen numbers of each row, float16, widened. */
ODY_INLINE void K(turn_f16)(const uint16_t *from, ptrdiff_t row, size_t rows, size_t numbers, vec *square) {
    if (rows == 16 && numbers >= 16) {
        UNROLL for (int r = 0; r < 16; r++) square[r] = f32x16_load_f16(from + (ptrdiff_t)r * row);
    } else {
        uint16_t near[16][16] = {{0}};
        for (size_t r = 0; r < rows; r++)
            memcpy(near[r], from + (ptrdiff_t)r * row, (numbers < 16 ? numbers : 16) * sizeof(uint16_t));
        for (size_t r = 0; r < 16; r++) square[r] = f32x16_load_f16(near[r]);
    }
    v_transpose(square);
}

/* The block after the next of the same columns, or of the next ones: each row's part of it, into L2. */
static void K(fetch_rows)(const ody_gemm *g, size_t j, size_t i) {
    i += TURNED_AHEAD * PACKED_DEPTH;
    if (i >= g->k) j += K(PANEL), i = (i - g->k) / PACKED_DEPTH * PACKED_DEPTH;
    if (j >= g->n || i >= g->k) return;
    const uint16_t *b = (const uint16_t *)g->b + (ptrdiff_t)j * g->b_col + i;
    const size_t rows = g->n - j < K(PANEL) ? g->n - j : K(PANEL);
    for (size_t r = 0; r < rows; r++, b += g->b_col) {
        __builtin_prefetch(b, 0, 2);
        __builtin_prefetch(b + 32, 0, 2);
    }
}

/* `columns` <= PANEL columns of b from j on, its rows [i, i + depth), into a panel. */
static void K(turn)(const ody_gemm *g, size_t j, size_t columns, size_t i, size_t depth, char *panel) {
    const uint16_t *b = (const uint16_t *)g->b + (ptrdiff_t)j * g->b_col + i;
    const size_t step = g->format == ODY_BF16_ROWS ? 32 : 16;
    K(fetch_rows)(g, j, i);
    for (size_t d = 0; d < depth; d += step)
        for (size_t first = 0; first < K(PANEL); first += 16) {
            const size_t rows = columns <= first ? 0 : columns - first < 16 ? columns - first : 16;
            const uint16_t *from = b + (ptrdiff_t)(rows ? first : 0) * g->b_col + d;
            vec square[16];
            if (g->format == ODY_BF16_ROWS) K(turn_pairs)(from, g->b_col, rows, depth - d, square);
            else K(turn_f16)(from, g->b_col, rows, depth - d, square);
            real *to = (real *)(void *)panel + (g->format == ODY_BF16_ROWS ? d / 2 : d) * K(PANEL) + first;
            const size_t vectors = g->format == ODY_BF16_ROWS ? (depth - d + 1) / 2 : depth - d;
            if (vectors >= 16) {
                UNROLL for (int l = 0; l < 16; l++) v_store(to + l * K(PANEL), square[l]);
            } else {
                for (size_t l = 0; l < vectors; l++) v_store(to + l * K(PANEL), square[l]);
            }
        }
}

/* The same block, of any number of columns, widened into panels of (depth, width) for gemm_tile. */
static void K(widen_rows)(const ody_gemm *g, size_t i, size_t depth, size_t j, size_t n, size_t width, real *panels) {
    for (size_t first = 0; first < K(round_up)(n, width); first += 16) {
        real *to = panels + first / width * width * depth + first % width;
        const size_t rows = n <= first ? 0 : n - first < 16 ? n - first : 16;
        const uint16_t *from = (const uint16_t *)g->b + (ptrdiff_t)(j + (rows ? first : 0)) * g->b_col + i;
        const size_t step = g->format == ODY_BF16_ROWS ? 32 : 16;
        for (size_t d = 0; d < depth; d += step) {
            vec square[16];
            if (g->format == ODY_BF16_ROWS) {
                K(turn_pairs)(from + d, g->b_col, rows, depth - d, square);
                for (size_t l = 0; l < 16 && d + 2 * l < depth; l++) {
                    const i32x16 both = f32x16_bits(square[l]);
                    v_store(to + (d + 2 * l) * width, f32x16_from_bits(i32x16_shl(both, 16)));
                    if (d + 2 * l + 1 < depth)
                        v_store(to + (d + 2 * l + 1) * width,
                                f32x16_from_bits(i32x16_and(both, i32x16_splat((int32_t)0xffff0000))));
                }
            } else {
                K(turn_f16)(from + d, g->b_col, rows, depth - d, square);
                for (size_t l = 0; l < 16 && d + l < depth; l++) v_store(to + (d + l) * width, square[l]);
            }
        }
    }
}

#else /* narrow rows are for float32 alone */
static void K(turn)(const ody_gemm *g, size_t j, size_t columns, size_t i, size_t depth, char *panel) {
    (void)g, (void)j, (void)columns, (void)i, (void)depth, (void)panel;
}
static void K(widen_rows)(const ody_gemm *g, size_t i, size_t depth, size_t j, size_t n, size_t width, real *panels) {
    (void)g, (void)i, (void)depth, (void)j, (void)n, (void)width, (void)panels;
}
#endif
