/* Products that leave rounding to the processor: `precision="native"`, outside the bits rule. A table of its own, for
 * processors that have what it needs.
 *
 * bfloat16: x is rounded to bfloat16, and vdpbf16ps adds two products at a time, with subnormals as zeros.
 * int8: x is rounded to integers as the weights are, a scale for each 128 numbers of a row; vpdpbusd adds four products at a
 * time, exactly, and each 128 are added up in float32. */
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
    AHEAD = 4096,         /* bytes of a panel to fetch ahead */
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
    if (rows == 1) { /* pairs of one row stand in their order already */
        for (size_t d = 0; d < depth; d += 16)
            v_store_n((float *)(void *)(to + d), pairs_of(g, row, 2 * (pair + d)), depth - d < 16 ? depth - d : 16);
        return;
    }
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

/* Sixteen pairs of `rows` <= 16 rows of weights, pair by pair, rows side by side; what does not exist is 0. */
ODY_INLINE void load_square(const uint16_t *b, ptrdiff_t b_col, size_t rows, size_t numbers, __m512 *square) {
    if (rows == 16 && numbers >= 32) {
        UNROLL for (int r = 0; r < 16; r++) square[r] = v_load((const float *)(const void *)(b + r * b_col));
    } else {
        uint16_t near[16][32] = {{0}};
        for (size_t r = 0; r < rows; r++)
            memcpy(near[r], b + (ptrdiff_t)r * b_col, (numbers < 32 ? numbers : 32) * sizeof(uint16_t));
        UNROLL for (int r = 0; r < 16; r++) square[r] = v_load((const float *)(const void *)near[r]);
    }
    v_transpose(square);
}
ODY_INLINE void turn_square(const uint16_t *b, ptrdiff_t b_col, size_t rows, size_t numbers, float *laid) {
    __m512 square[16];
    load_square(b, b_col, rows, numbers, square);
    UNROLL for (int l = 0; l < 16; l++) v_store(laid + l * 16, square[l]);
}

/* Pairs [pair, pair + depth) of 64 rows of weights, outputs [j, j + 64), into (depth, 64). */
static void turn(const ody_gemm *g, size_t j, size_t pair, size_t depth, uint32_t *panel) {
    for (size_t first = 0; first < PANEL; first += 16) {
        const size_t rows = g->n - j <= first ? 0 : g->n - j - first < 16 ? g->n - j - first : 16;
        const uint16_t *b = (const uint16_t *)g->b + (ptrdiff_t)(j + (rows ? first : 0)) * g->b_col;
        for (size_t d = 0; d < depth; d += 16) {
            __m512 square[16];
            load_square(b + 2 * (pair + d), g->b_col, rows, g->k - 2 * (pair + d), square);
            float *to = (float *)(void *)panel + d * PANEL + first;
            if (depth - d >= 16) {
                UNROLL for (int l = 0; l < 16; l++) v_store(to + l * PANEL, square[l]);
            } else {
                for (size_t l = 0; d + l < depth; l++) v_store(to + l * PANEL, square[l]);
            }
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

/* rows x 64 sums go on over `depth` pairs, from one place to another, whose rows are so far apart. With each pair so many lines of
 * what comes next are fetched into L2. */
ODY_INLINE void tile(const int rows, const int lines, size_t depth, const uint32_t *a, const char *b, const char *ahead,
                     const float *from, ptrdiff_t from_row, float *to, ptrdiff_t to_row) {
    __m512 acc[MR][VECS];
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int v = 0; v < VECS; v++) acc[r][v] = _mm512_loadu_ps(from + r * from_row + v * 16);
    for (size_t d = 0; d < depth; d++, b += ODY_PANEL_BYTES, ahead += lines * 64, a += rows) {
        __m512bh bv[VECS];
        UNROLL for (int v = 0; v < VECS; v++) bv[v] = (__m512bh)_mm512_loadu_si512(b + v * 64);
        UNROLL for (int v = 0; v < lines; v++) __builtin_prefetch(ahead + v * 64, 0, 2);
        UNROLL for (int r = 0; r < rows; r++) {
            const __m512bh ar = (__m512bh)_mm512_set1_epi32((int)a[r]);
            UNROLL for (int v = 0; v < VECS; v++) acc[r][v] = _mm512_dpbf16_ps(acc[r][v], ar, bv[v]);
        }
    }
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int v = 0; v < VECS; v++) _mm512_storeu_ps(to + r * to_row + v * 16, acc[r][v]);
}

typedef void (*tile_fn)(size_t, const uint32_t *, const char *, const char *, const float *, ptrdiff_t, float *, ptrdiff_t);
#define TILE(rows, lines)                                                                                              \
    static __attribute__((noinline)) void tile_##rows##_##lines(size_t depth, const uint32_t *a, const char *b,        \
                                                                const char *ahead, const float *from,                  \
                                                                ptrdiff_t from_row, float *to, ptrdiff_t to_row) {     \
        tile(rows, lines, depth, a, b, ahead, from, from_row, to, to_row);                                             \
    }
#define TILES(lines) TILE(1, lines) TILE(2, lines) TILE(3, lines) TILE(4, lines) TILE(5, lines)
TILES(0)
TILES(1)
TILES(2)
TILES(4)
/* By rows, and by the lines that each pass over a block fetches with a pair: all of one pair's, half, a quarter, none. */
#define ENTRIES(lines) {NULL, tile_1_##lines, tile_2_##lines, tile_3_##lines, tile_4_##lines, tile_5_##lines}
static const tile_fn tiles[4][MR + 1] = {ENTRIES(4), ENTRIES(2), ENTRIES(1), ENTRIES(0)};

/* All rows of x times one block of a panel. The sums wait in C itself between blocks; those of a last, narrow panel pass
 * through scratch. `start`: what the chains of this panel begin at. `next`: the block after this one, or itself; NULL where it is not in
 * memory; several passes fetch a share of it each, a single one what is so far ahead of itself. */
static void panel_block(const ody_gemm *g, size_t j, size_t pair, size_t depth, const uint32_t *a, const char *b, const char *next,
                        float *sums, const float *start) {
    const size_t m = g->m, parts = (m + MR - 1) / MR, columns = g->n - j < PANEL ? g->n - j : PANEL;
    for (size_t t = 0; t < parts; t++) {
        const size_t row = m * t / parts, rows = m * (t + 1) / parts - row;
        float *c = (float *)g->c + (ptrdiff_t)row * g->c_row + j;
        const float *from = pair ? c : start;
        const ptrdiff_t from_row = pair ? g->c_row : 0;
        const size_t share = parts == 1 ? 0 : parts < 4 ? 1 : 2, passes = (size_t)1 << share;
        const int fetches = next && t < passes;
        const tile_fn run = tiles[fetches ? share : 3][rows];
        const char *ahead = !fetches ? b : parts == 1 ? b + AHEAD : next + t * depth * (ODY_PANEL_BYTES / passes);
        if (columns == PANEL) {
            run(depth, a + row * DEPTH, b, ahead, from, from_row, c, g->c_row);
            continue;
        }
        for (size_t r = 0; r < rows; r++) memcpy(sums + r * PANEL, from + (ptrdiff_t)r * from_row, columns * sizeof *c);
        run(depth, a + row * DEPTH, b, ahead, sums, PANEL, sums, PANEL);
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
                const char *next = pair + DEPTH < end ? b + DEPTH * PANEL * 4
                                   : j + PANEL < n    ? (const char *)g->b + ((j + PANEL) * pairs + begin * PANEL) * 4 : b;
                if (g->format == ODY_BF16_ROWS) {
                    if (pair + DEPTH < end) fetch(g, j, pair + DEPTH);
                    else fetch(g, j + PANEL, begin);
                    turn(g, j, pair, depth, turned);
                    b = (const char *)turned, next = NULL;
                }
                if (g->bias && pair == 0) memcpy(start, (const float *)g->bias + j, (n - j < PANEL ? n - j : PANEL) * sizeof *start);
                panel_block(g, j, pair, depth, a + (pair - begin) / DEPTH * block, b, next, sums, start);
            }
    }
    if (g->activation != ODY_IDENTITY)
        for (size_t r = 0; r < m; r++) activate_row_f32((float *)g->c + (ptrdiff_t)r * g->c_row, n, g->activation);
}

/* ---- a few rows of x times weights in rows: as in lying.h, memory decides ----------------------------------------- */

enum {
    FEW = 8,
    ALONG = 768, /* bytes of a row to fetch ahead, where the rows themselves have to be followed */
};

static size_t few_workspace(const ody_gemm *g) { return ((g->k + 1) / 2 * g->m + 16) * 4 + 16 * 16 * 4; }

ODY_INLINE void few(const int rows, const ody_gemm *g, const uint32_t *a, float *laid) {
    const size_t n = g->n, pairs = (g->k + 1) / 2;
    /* Rows without gaps are one stretch of memory, fetched in its order while the rows before it are turned; the first ones
     * are waited for on the way. */
    const int stretch = g->b_col == (ptrdiff_t)g->k;
    for (size_t j = 0; j < n; j += 16) {
        const size_t lanes = n - j < 16 ? n - j : 16;
        const uint16_t *b = (const uint16_t *)g->b + (ptrdiff_t)j * g->b_col, *next = b + 16 * g->b_col;
        __m512 acc[FEW];
        UNROLL for (int r = 0; r < rows; r++) acc[r] = g->bias ? v_load_n((const float *)g->bias + j, lanes, 0) : v_zero();
        for (size_t pair = 0; pair < pairs; pair += 16) {
            const size_t depth = pairs - pair < 16 ? pairs - pair : 16;
            turn_square(b + 2 * pair, g->b_col, lanes, g->k - 2 * pair, laid);
            if (!stretch || j == 0)
                UNROLL for (int l = 0; l < 16; l++) __builtin_prefetch(b + (ptrdiff_t)l * g->b_col + 2 * pair + ALONG / 2, 0, 2);
            if (stretch)
                UNROLL for (int l = 0; l < 16; l++) __builtin_prefetch(next + 16 * 2 * pair + l * 32, 0, 2);
            const uint32_t *x = a + pair * (size_t)rows;
            for (size_t l = 0; l < depth; l++, x += rows) {
                const __m512bh w = (__m512bh)v_load(laid + l * 16);
                UNROLL for (int r = 0; r < rows; r++)
                    acc[r] = _mm512_dpbf16_ps(acc[r], (__m512bh)_mm512_set1_epi32((int)x[r]), w);
            }
        }
        UNROLL for (int r = 0; r < rows; r++) {
            if (g->activation == ODY_RELU) acc[r] = relu_vec_f32(acc[r]);
            v_store_n((float *)g->c + (ptrdiff_t)r * g->c_row + j, acc[r], lanes);
        }
    }
}

#define EIGHT(CASE) CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8)
#define FUNCTION(rows)                                                                                                 \
    static __attribute__((noinline)) void few_##rows(const ody_gemm *g, const uint32_t *a, float *laid) {              \
        few(rows, g, a, laid);                                                                                         \
    }
EIGHT(FUNCTION)

static void run_few(const ody_gemm *g) {
#define ENTRY(rows) few_##rows,
    static void (*const of[])(const ody_gemm *, const uint32_t *, float *) = {NULL, EIGHT(ENTRY)};
    float *laid = g->workspace;
    uint32_t *a = (uint32_t *)(void *)(laid + 16 * 16);
    pack_rows(g, 0, g->m, 0, (g->k + 1) / 2, a);
    of[g->m](g, a, laid);
    if (g->activation != ODY_IDENTITY && g->activation != ODY_RELU)
        for (size_t r = 0; r < g->m; r++) activate_row_f32((float *)g->c + (ptrdiff_t)r * g->c_row, g->n, g->activation);
}

static int is_few(const ody_gemm *g) { return g->format == ODY_BF16_ROWS && g->m >= 1 && g->m <= FEW; }
static void bf16(const ody_gemm *g) {
    if (is_few(g)) run_few(g);
    else product(g);
}
static size_t bf16_workspace(const ody_gemm *g) { return is_few(g) ? few_workspace(g) : workspace(g); }

/* ---- int8 --------------------------------------------------------------------------------------------------------- */

enum {
    STEPS = 32,        /* fours of k that share a scale of x */
    ROWS = 4,          /* of x in a tile: 16 sums, 4 vectors of weights */
    INT8_AHEAD = 2048, /* bytes of a panel to fetch ahead */
};

/* x as integers: (blocks, STEPS, m) fours, their scales (blocks, m), and -128 times their sums (blocks, m). */
typedef struct integers {
    int32_t *fours, *start;
    float *scale;
} integers;

static size_t blocks_of(const ody_gemm *g) { return (g->k + 4 * STEPS - 1) / (4 * STEPS); }
static size_t int8_workspace(const ody_gemm *g) {
    return blocks_of(g) * g->m * (STEPS + 2) * 4 + (g->m * PANEL + 16) * 4 + 4 * STEPS * PANEL;
}

static void round_x(const ody_gemm *g, const integers *x) {
    for (size_t block = 0; block < blocks_of(g); block++)
        for (size_t r = 0; r < g->m; r++) {
            float copied[4 * STEPS];
            int8_t rounded[4 * STEPS];
            const size_t first = block * 4 * STEPS, exist = g->k - first < 4 * STEPS ? g->k - first : 4 * STEPS;
            const float *from = (const float *)g->a + (ptrdiff_t)r * g->a_row + (ptrdiff_t)first * g->a_col, *near = from;
            if (g->a_col != 1 || exist < 4 * STEPS) {
                memset(copied, 0, sizeof copied);
                for (size_t i = 0; i < exist; i++) copied[i] = from[(ptrdiff_t)i * g->a_col];
                near = copied;
            }
            __m512 largest = v_zero();
            __mmask16 finite = 0xffff;
            for (size_t i = 0; i < 4 * STEPS; i += 16) {
                const __m512 size = v_abs(v_load(near + i));
                largest = _mm512_max_ps(largest, size);
                finite &= _mm512_cmp_ps_mask(size, v_splat(INFINITY), _CMP_LT_OQ);
            }
            const float most = v_reduce_max(largest);
            __m512i sum = _mm512_setzero_si512();
            for (size_t i = 0; i < 4 * STEPS; i += 16) {
                const __m512 part = _mm512_div_ps(v_load(near + i), v_splat(most)); /* within -1 and 1: no overflow */
                const __m512i whole = _mm512_maskz_cvtps_epi32(most > 0 && finite == 0xffff ? 0xffff : 0,
                                                               _mm512_mul_ps(part, v_splat(127)));
                _mm_storeu_si128((__m128i *)(void *)(rounded + i), _mm512_cvtepi32_epi8(whole));
                sum = _mm512_add_epi32(sum, whole);
            }
            if (g->m == 1) memcpy(&x->fours[block * STEPS], rounded, sizeof rounded);
            else
                for (size_t s = 0; s < STEPS; s++) memcpy(&x->fours[(block * STEPS + s) * g->m + r], rounded + 4 * s, 4);
            x->start[block * g->m + r] = -128 * _mm512_reduce_add_epi32(sum);
            /* NaN and infinity in x are NaN in what it gives. */
            x->scale[block * g->m + r] = finite == 0xffff ? most / 127 : NAN;
        }
}

/* rows x 64 sums of one block: weights become fours of k, unsigned by 128 more, which x's start takes off again. Sums stand in
 * the order that unpacking leaves them in. */
ODY_INLINE void int8_tile(const int rows, const ody_gemm *g, const integers *x, size_t block, size_t row, const char *b, float *sums) {
    const size_t m = g->m, at = block * m + row;
    const __m512i high = _mm512_set1_epi8((char)0x80);
    const int32_t *fours = x->fours + block * STEPS * m + row;
    __m512i acc[ROWS][4];
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int v = 0; v < 4; v++) acc[r][v] = _mm512_set1_epi32(x->start[at + (size_t)r]);
    for (size_t s = 0; s < STEPS; s++, b += 4 * PANEL, fours += m) {
        __m512i w[4], half[4];
        UNROLL for (int i = 0; i < 4; i++) {
            w[i] = _mm512_xor_si512(_mm512_loadu_si512(b + i * PANEL), high);
            __builtin_prefetch(b + i * PANEL + INT8_AHEAD, 0, 2);
        }
        half[0] = _mm512_unpacklo_epi8(w[0], w[1]), half[1] = _mm512_unpackhi_epi8(w[0], w[1]);
        half[2] = _mm512_unpacklo_epi8(w[2], w[3]), half[3] = _mm512_unpackhi_epi8(w[2], w[3]);
        w[0] = _mm512_unpacklo_epi16(half[0], half[2]), w[1] = _mm512_unpackhi_epi16(half[0], half[2]);
        w[2] = _mm512_unpacklo_epi16(half[1], half[3]), w[3] = _mm512_unpackhi_epi16(half[1], half[3]);
        UNROLL for (int r = 0; r < rows; r++) {
            const __m512i four = _mm512_set1_epi32(fours[r]);
            UNROLL for (int v = 0; v < 4; v++) acc[r][v] = _mm512_dpbusd_epi32(acc[r][v], w[v], four);
        }
    }
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int v = 0; v < 4; v++) {
            float *sum = sums + (row + (size_t)r) * PANEL + v * 16;
            v_store(sum, v_fma(_mm512_cvtepi32_ps(acc[r][v]), v_splat(x->scale[at + (size_t)r]), v_load(sum)));
        }
}
#define INT8_TILE(rows)                                                                                                \
    static __attribute__((noinline)) void int8_tile_##rows(const ody_gemm *g, const integers *x, size_t block,         \
                                                           size_t row, const char *b, float *sums) {                   \
        int8_tile(rows, g, x, block, row, b, sums);                                                                    \
    }
INT8_TILE(1)
INT8_TILE(2)
INT8_TILE(3)
INT8_TILE(4)

static void int8(const ody_gemm *g) {
    static void (*const of[])(const ody_gemm *, const integers *, size_t, size_t, const char *,
                              float *) = {NULL, int8_tile_1, int8_tile_2, int8_tile_3, int8_tile_4};
    const size_t m = g->m, n = g->n, k = g->k, blocks = blocks_of(g), parts = (m + ROWS - 1) / ROWS;
    integers x;
    float *sums = g->workspace, *c = g->c;
    char *last = (char *)(sums + m * PANEL);
    x.fours = (int32_t *)(void *)(last + 4 * STEPS * PANEL);
    x.start = x.fours + blocks * STEPS * m;
    x.scale = (float *)(void *)(x.start + blocks * m);
    round_x(g, &x);
    for (size_t j = 0; j < n; j += PANEL) {
        const char *b = (const char *)g->b + j * k;
        memset(sums, 0, m * PANEL * sizeof *sums);
        for (size_t block = 0; block < blocks; block++) {
            const char *from = b + block * 4 * STEPS * PANEL;
            const size_t depth = k - block * 4 * STEPS;
            if (depth < 4 * STEPS) { /* nothing is read behind the panels */
                memset(last, 0, 4 * STEPS * PANEL);
                memcpy(last, from, depth * PANEL);
                from = last;
            }
            for (size_t t = 0; t < parts; t++) {
                const size_t row = m * t / parts;
                of[m * (t + 1) / parts - row](g, &x, block, row, from, sums);
            }
        }
        for (size_t r = 0; r < m; r++) {
            const float *s = sums + r * PANEL;
            const __m512 low = _mm512_shuffle_f32x4(v_load(s), v_load(s + 16), 0x44);
            const __m512 high = _mm512_shuffle_f32x4(v_load(s), v_load(s + 16), 0xee);
            const __m512 low2 = _mm512_shuffle_f32x4(v_load(s + 32), v_load(s + 48), 0x44);
            const __m512 high2 = _mm512_shuffle_f32x4(v_load(s + 32), v_load(s + 48), 0xee);
            const __m512 sum[4] = {_mm512_shuffle_f32x4(low, low2, 0x88), _mm512_shuffle_f32x4(low, low2, 0xdd),
                                   _mm512_shuffle_f32x4(high, high2, 0x88), _mm512_shuffle_f32x4(high, high2, 0xdd)};
            for (size_t v = 0; v < 4 && j + v * 16 < n; v++) {
                const size_t column = j + v * 16, lanes = n - column < 16 ? n - column : 16;
                const __m512 scale = v_load_n((const float *)g->scale + column, lanes, 0);
                const __m512 bias = g->bias ? v_load_n((const float *)g->bias + column, lanes, 0) : v_zero();
                v_store_n(c + (ptrdiff_t)r * g->c_row + column, v_fma(sum[v], scale, bias), lanes);
            }
        }
    }
    if (g->activation != ODY_IDENTITY)
        for (size_t r = 0; r < m; r++) activate_row_f32(c + (ptrdiff_t)r * g->c_row, n, g->activation);
}

const ody_native ody_native_avx512 = {
    .bf16 = bf16, .bf16_workspace = bf16_workspace, .int8 = int8, .int8_workspace = int8_workspace};
