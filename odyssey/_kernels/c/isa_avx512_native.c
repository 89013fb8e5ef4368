/* Products that leave rounding to the processor: `precision="native"`, outside the bits rule. x is rounded to bfloat16, and
 * vdpbf16ps adds two products at a time, with subnormals as zeros. A table of its own, for processors that have it. */
#define ODY_ISA_AVX512
#include <odyssey/runtime.h>

#include "vec.h"
#include "math_f32.h"

#define ODY_REAL 32
#include "real.h"
#include "epilogue.h"

enum {
    MR = 5,      /* rows of a tile: 20 sums, 4 vectors of the panel, 1 broadcast */
    VECS = 4,    /* of a panel */
    DEPTH = 192, /* pairs of k in a block: 48 KiB of a panel, which all rows find in L2; sums are put away seldom */
    PANEL = 64,
    AHEAD = 2048,         /* bytes of a panel to fetch ahead */
    X_BYTES = 128 << 10,  /* of x packed, which L2 holds beside the rest */
};
#define UNROLL _Pragma("GCC unroll 16")

/* How many blocks of k are packed at a time: all, if they stay near, so that a panel is walked to its end at once. */
static size_t blocks_at_once(const ody_gemm *g) {
    const size_t all = ((g->k + 1) / 2 + DEPTH - 1) / DEPTH;
    return g->m * all * DEPTH * 4 <= X_BYTES && all ? all : 1;
}
static size_t x_block(const ody_gemm *g) { return (g->m * DEPTH + 15) / 16 * 16; }

static size_t workspace(const ody_gemm *g) {
    return blocks_at_once(g) * x_block(g) * 4 + (MR + 1 + DEPTH) * PANEL * 4;
}

/* 32 numbers of k of a row of x, rounded to bfloat16; those that do not exist are 0. */
ODY_INLINE __m512 pairs_of(const ody_gemm *g, size_t row, size_t k) {
    const float *x = (const float *)g->a + (ptrdiff_t)row * g->a_row + (ptrdiff_t)k * g->a_col;
    const size_t exist = g->k - k;
    float near[32] = {0};
    if (g->a_col != 1) {
        for (size_t i = 0; i < 32 && i < exist; i++) near[i] = x[(ptrdiff_t)i * g->a_col];
        x = near;
    } else if (exist < 32) {
        memcpy(near, x, exist * sizeof *x);
        x = near;
    }
    return (__m512)_mm512_cvtne2ps_pbh(v_load(x + 16), v_load(x));
}

/* rows <= MR rows of x, pairs [pair, pair + depth), into (depth, rows). */
static void pack_rows(const ody_gemm *g, size_t row, size_t rows, size_t pair, size_t depth, uint32_t *to) {
    for (size_t d = 0; d < depth; d += 16) {
        __m512 square[16];
        for (size_t r = 0; r < 16; r++) square[r] = r < rows ? pairs_of(g, row + r, 2 * (pair + d)) : v_zero();
        v_transpose(square);
        float *place = (float *)(void *)(to + d * rows);
        if (depth - d >= 16) {
            UNROLL for (size_t l = 0; l < 16; l++) v_store_n(place + l * rows, square[l], rows);
        } else {
            for (size_t l = 0; d + l < depth; l++) v_store_n(place + l * rows, square[l], rows);
        }
    }
}

/* Pairs [pair, pair + depth) of 64 rows of weights, outputs [j, j + 64), into (depth, 64); what does not exist is 0. */
static void turn(const ody_gemm *g, size_t j, size_t pair, size_t depth, uint32_t *panel) {
    for (size_t first = 0; first < PANEL; first += 16)
        for (size_t d = 0; d < depth; d += 16) {
            const size_t rows = g->n - j <= first ? 0 : g->n - j - first < 16 ? g->n - j - first : 16;
            const size_t numbers = g->k - 2 * (pair + d);
            const uint16_t *b = (const uint16_t *)g->b + (ptrdiff_t)(j + first) * g->b_col + 2 * (pair + d);
            __m512 square[16];
            if (rows == 16 && numbers >= 32) {
                for (size_t r = 0; r < 16; r++) square[r] = v_load((const float *)(const void *)(b + (ptrdiff_t)r * g->b_col));
            } else {
                for (size_t r = 0; r < 16; r++) {
                    uint16_t near[32] = {0};
                    if (r < rows) memcpy(near, b + (ptrdiff_t)r * g->b_col, (numbers < 32 ? numbers : 32) * sizeof *near);
                    square[r] = v_load((const float *)(const void *)near);
                }
            }
            v_transpose(square);
            float *to = (float *)(void *)panel + d * PANEL + first;
            if (depth - d >= 16) {
                UNROLL for (int l = 0; l < 16; l++) v_store(to + l * PANEL, square[l]);
            } else {
                for (size_t l = 0; d + l < depth; l++) v_store(to + l * PANEL, square[l]);
            }
        }
}
/* The part of 64 rows that is wanted after this one, into L2. */
static void fetch(const ody_gemm *g, size_t j, size_t pair) {
    const size_t rows = j >= g->n ? 0 : g->n - j < PANEL ? g->n - j : PANEL;
    for (size_t r = 0; r < rows; r++) {
        const uint16_t *b = (const uint16_t *)g->b + (ptrdiff_t)(j + r) * g->b_col + 2 * pair;
        for (size_t k = 0; k < 2 * DEPTH; k += 32) __builtin_prefetch(b + k, 0, 2);
    }
}

/* rows x 64 sums go on over `depth` pairs, from one place to another, whose rows are so far apart. */
ODY_INLINE void tile(const int rows, size_t depth, const uint32_t *a, const char *b, const float *from, ptrdiff_t from_row,
                     float *to, ptrdiff_t to_row) {
    __m512 acc[MR][VECS];
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int v = 0; v < VECS; v++) acc[r][v] = _mm512_loadu_ps(from + r * from_row + v * 16);
    for (size_t d = 0; d < depth; d++, b += ODY_PANEL_BYTES, a += rows) {
        __m512bh bv[VECS];
        UNROLL for (int v = 0; v < VECS; v++) {
            bv[v] = (__m512bh)_mm512_loadu_si512(b + v * 64);
            __builtin_prefetch(b + AHEAD + v * 64, 0, 3);
        }
        UNROLL for (int r = 0; r < rows; r++) {
            const __m512bh ar = (__m512bh)_mm512_set1_epi32((int)a[r]);
            UNROLL for (int v = 0; v < VECS; v++) acc[r][v] = _mm512_dpbf16_ps(acc[r][v], ar, bv[v]);
        }
    }
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int v = 0; v < VECS; v++) _mm512_storeu_ps(to + r * to_row + v * 16, acc[r][v]);
}

#define TILE(rows)                                                                                                     \
    static __attribute__((noinline)) void tile_##rows(size_t depth, const uint32_t *a, const char *b, const float *from, \
                                                      ptrdiff_t from_row, float *to, ptrdiff_t to_row) {               \
        tile(rows, depth, a, b, from, from_row, to, to_row);                                                           \
    }
TILE(1)
TILE(2)
TILE(3)
TILE(4)
TILE(5)
static void (*const tiles[])(size_t, const uint32_t *, const char *, const float *, ptrdiff_t, float *,
                             ptrdiff_t) = {NULL, tile_1, tile_2, tile_3, tile_4, tile_5};

/* All rows of x times one block of a panel. The sums wait in C itself between blocks; those of a last, narrow panel pass
 * through scratch. `start`: what the chains of this panel begin at. */
static void panel_block(const ody_gemm *g, size_t j, size_t pair, size_t depth, const uint32_t *a, const char *b, float *sums,
                        const float *start) {
    const size_t m = g->m, parts = (m + MR - 1) / MR, columns = g->n - j < PANEL ? g->n - j : PANEL;
    for (size_t t = 0; t < parts; t++) {
        const size_t row = m * t / parts, rows = m * (t + 1) / parts - row;
        float *c = (float *)g->c + (ptrdiff_t)row * g->c_row + j;
        const float *from = pair ? c : start;
        const ptrdiff_t from_row = pair ? g->c_row : 0;
        if (columns == PANEL) {
            tiles[rows](depth, a + row * DEPTH, b, from, from_row, c, g->c_row);
            continue;
        }
        for (size_t r = 0; r < rows; r++) memcpy(sums + r * PANEL, from + (ptrdiff_t)r * from_row, columns * sizeof *c);
        tiles[rows](depth, a + row * DEPTH, b, sums, PANEL, sums, PANEL);
        for (size_t r = 0; r < rows; r++) memcpy(c + (ptrdiff_t)r * g->c_row, sums + r * PANEL, columns * sizeof *c);
    }
}

/* x is packed, block of k by block of k, once. Weights in rows become panels a block at a time. */
static void product(const ody_gemm *g) {
    const size_t m = g->m, n = g->n, pairs = (g->k + 1) / 2, parts = (m + MR - 1) / MR;
    const size_t at_once = blocks_at_once(g) * DEPTH, block = x_block(g);
    uint32_t *a = g->workspace, *turned = a + blocks_at_once(g) * block;
    float *sums = (float *)(void *)(turned + DEPTH * PANEL), *start = sums + MR * PANEL;
    memset(sums, 0, (MR + 1) * PANEL * sizeof *sums);
    for (size_t begin = 0; begin < pairs || begin == 0; begin += at_once) {
        const size_t end = pairs - begin < at_once ? pairs : begin + at_once;
        for (size_t pair = begin; pair < end; pair += DEPTH)
            for (size_t t = 0; t < parts; t++) {
                const size_t row = m * t / parts, depth = end - pair < DEPTH ? end - pair : DEPTH;
                pack_rows(g, row, m * (t + 1) / parts - row, pair, depth, a + (pair - begin) / DEPTH * block + row * DEPTH);
            }
        for (size_t j = 0; j < n; j += PANEL)
            for (size_t pair = begin; pair < end || pair == begin; pair += DEPTH) {
                const size_t depth = end - pair < DEPTH ? end - pair : DEPTH;
                const char *b = (const char *)g->b + (j * pairs + pair * PANEL) * 4;
                if (g->format == ODY_BF16_ROWS) {
                    if (pair + DEPTH < end) fetch(g, j, pair + DEPTH);
                    else fetch(g, j + PANEL, begin);
                    turn(g, j, pair, depth, turned);
                    b = (const char *)turned;
                }
                if (g->bias && pair == 0) memcpy(start, (const float *)g->bias + j, (n - j < PANEL ? n - j : PANEL) * sizeof *start);
                panel_block(g, j, pair, depth, a + (pair - begin) / DEPTH * block, b, sums, start);
            }
    }
    if (g->activation != ODY_IDENTITY)
        for (size_t r = 0; r < m; r++) activate_row_f32((float *)g->c + (ptrdiff_t)r * g->c_row, n, g->activation);
}

const ody_native ody_native_avx512 = {.bf16 = product, .bf16_workspace = workspace};
