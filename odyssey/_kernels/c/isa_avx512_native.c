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
    MR = 6,      /* rows of a tile: 24 sums, 4 vectors of the panel, 1 broadcast */
    VECS = 4,    /* of a panel */
    DEPTH = 64,  /* pairs of k in a block: 16 KiB of a panel, which waits in L1 for all rows */
    PANEL = 64,
    AHEAD = 2048, /* bytes to fetch ahead */
};
#define UNROLL _Pragma("GCC unroll 16")

static size_t workspace(const ody_gemm *g) { return ((g->m + MR) * DEPTH + 16) * 4 + g->m * PANEL * 4; }

static uint32_t bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    return bits;
}
static uint32_t to_bf16(float x) {
    const uint32_t bits = bits_of(x);
    return x != x ? (bits >> 16) | 0x40 : (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

/* rows <= MR rows of x, pairs [pair, pair + depth), into (depth, rows). */
static void pack_rows(const ody_gemm *g, size_t row, size_t rows, size_t pair, size_t depth, uint32_t *to) {
    for (size_t r = 0; r < rows; r++) {
        const float *x = (const float *)g->a + (ptrdiff_t)(row + r) * g->a_row;
        for (size_t d = 0; d < depth; d++) {
            const size_t k = 2 * (pair + d);
            const uint32_t even = to_bf16(x[(ptrdiff_t)k * g->a_col]);
            const uint32_t odd = k + 1 < g->k ? to_bf16(x[(ptrdiff_t)(k + 1) * g->a_col]) : 0;
            to[d * rows + r] = even | odd << 16;
        }
    }
}

ODY_INLINE void tile(const int rows, size_t depth, const uint32_t *a, const char *b, float *sums) {
    __m512 acc[MR][VECS];
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int v = 0; v < VECS; v++) acc[r][v] = _mm512_loadu_ps(sums + r * PANEL + v * 16);
    for (size_t d = 0; d < depth; d++, b += ODY_PANEL_BYTES, a += rows) {
        __m512bh bv[VECS];
        UNROLL for (int v = 0; v < VECS; v++) {
            bv[v] = (__m512bh)_mm512_loadu_si512(b + v * 64);
            if (rows < 3) __builtin_prefetch(b + AHEAD + v * 64, 0, 2);
        }
        UNROLL for (int r = 0; r < rows; r++) {
            const __m512bh ar = (__m512bh)_mm512_set1_epi32((int)a[r]);
            UNROLL for (int v = 0; v < VECS; v++) acc[r][v] = _mm512_dpbf16_ps(acc[r][v], ar, bv[v]);
        }
    }
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int v = 0; v < VECS; v++) _mm512_storeu_ps(sums + r * PANEL + v * 16, acc[r][v]);
}

#define TILE(rows)                                                                                                     \
    static __attribute__((noinline)) void tile_##rows(size_t depth, const uint32_t *a, const char *b, float *sums) {   \
        tile(rows, depth, a, b, sums);                                                                                 \
    }
TILE(1)
TILE(2)
TILE(3)
TILE(4)
TILE(5)
TILE(6)
static void (*const tiles[])(size_t, const uint32_t *, const char *, float *) = {NULL,   tile_1, tile_2, tile_3,
                                                                                 tile_4, tile_5, tile_6};

/* All of x is packed, block of k by block of k, once; the sums of a panel wait in C itself where it is whole. */
static void product(const ody_gemm *g) {
    const size_t m = g->m, n = g->n, pairs = (g->k + 1) / 2, parts = (m + MR - 1) / MR;
    uint32_t *a = g->workspace;
    float *sums = (float *)(void *)(a + ((m + MR) * DEPTH + 15) / 16 * 16);
    float *c = g->c;
    for (size_t pair = 0; pair < pairs || pair == 0; pair += DEPTH) {
        const size_t depth = pairs - pair < DEPTH ? pairs - pair : DEPTH;
        const int first = pair == 0, last = pair + DEPTH >= pairs;
        for (size_t t = 0; t < parts; t++) {
            const size_t row = m * t / parts;
            pack_rows(g, row, m * (t + 1) / parts - row, pair, depth, a + row * DEPTH);
        }
        for (size_t j = 0; j < n; j += PANEL) {
            const char *b = (const char *)g->b + (j * pairs + pair * PANEL) * 4;
            for (size_t t = 0; t < parts; t++) {
                const size_t row = m * t / parts, rows = m * (t + 1) / parts - row;
                for (size_t r = 0; r < rows; r++)
                    for (size_t v = 0; v < PANEL; v += 16) {
                        const size_t lanes = n - j <= v ? 0 : n - j - v < 16 ? n - j - v : 16;
                        const float *start = first ? (g->bias ? (const float *)g->bias + j + v : NULL)
                                                   : c + (ptrdiff_t)(row + r) * g->c_row + j + v;
                        v_store(sums + r * PANEL + v, start && lanes ? v_load_n(start, lanes, 0) : v_zero());
                    }
                tiles[rows](depth, a + row * DEPTH, b, sums);
                for (size_t r = 0; r < rows; r++)
                    for (size_t v = 0; v < PANEL && j + v < n; v += 16) {
                        vec sum = v_load(sums + r * PANEL + v);
                        if (last && g->activation == ODY_RELU) sum = relu_vec_f32(sum);
                        v_store_n(c + (ptrdiff_t)(row + r) * g->c_row + j + v, sum, n - j - v < 16 ? n - j - v : 16);
                    }
            }
        }
    }
    if (g->activation != ODY_IDENTITY && g->activation != ODY_RELU)
        for (size_t r = 0; r < m; r++) activate_row_f32(c + (ptrdiff_t)r * g->c_row, n, g->activation);
}

const ody_native ody_native_avx512 = {.bf16 = product, .bf16_workspace = workspace};
