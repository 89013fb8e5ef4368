/* Matrix product: C = act(start + A B), every element one fma chain over k in ascending order.
 *
 * The chain begins at beta*C, at the bias, or at zero; between blocks of k it waits in C itself. Rounding happens in
 * the same places however the work is cut, so block sizes may follow the machine and the shape without changing a bit.
 *
 *   tile    rows x columns of C in registers: `rows` broadcast elements of A times `vecs` vectors of B at each k
 *   panel   what a tile reads, laid out in the order it is read: A as (k, MR), B as (k, NR = vecs*LANES)
 *   block   as many panels as a cache level holds: B's panel stays in L1, A's block in L2, B's block in L3
 *
 * A few rows times a large matrix go another way (gemm_few.h).
 *
 * B is packed only when it is not already readable in rows, or is large enough to be walked many times; A is packed
 * unless it already looks like a panel (a column-major A, or a single row). A weight that was packed before and is as wide
 * as the sums is read in its panels, which are two or four of a tile's side by side.
 */

#ifndef ODY_GEMM_TILES
#define ODY_GEMM_TILES

/* A tile fills the registers: accumulators, the vectors of B, one broadcast. A vector is one register on AVX-512 (32 of
 * them), two on AVX2 (16), four on NEON (32). Fewer rows leave room for more vectors, which hide the latency of fma. */
#if defined(ODY_ISA_AVX512)
enum { GEMM_MR = 14, GEMM_VECS = 2 };
#define GEMM_VECS_FOR(m) ((m) <= 2 ? 4 : (m) <= 4 ? 6 : (m) <= 7 ? 4 : (m) <= 8 ? 3 : 2)
#define GEMM_TILES(CASE)                                                                                               \
    CASE(1, 4) CASE(2, 4) CASE(3, 6) CASE(4, 6) CASE(5, 4) CASE(6, 4) CASE(7, 4) CASE(8, 3)                                        \
    CASE(1, 2) CASE(2, 2) CASE(3, 2) CASE(4, 2) CASE(5, 2) CASE(6, 2) CASE(7, 2)                                       \
    CASE(8, 2) CASE(9, 2) CASE(10, 2) CASE(11, 2) CASE(12, 2) CASE(13, 2) CASE(14, 2)                                  \
    CASE(1, 1) CASE(2, 1) CASE(3, 1) CASE(4, 1) CASE(5, 1) CASE(6, 1) CASE(7, 1)                                       \
    CASE(8, 1) CASE(9, 1) CASE(10, 1) CASE(11, 1) CASE(12, 1) CASE(13, 1) CASE(14, 1)
#else
enum { GEMM_MR = 6, GEMM_VECS = 1 };
#define GEMM_VECS_FOR(m) ((m) <= 1 ? 4 : (m) <= 3 ? 2 : 1)
#define GEMM_TILES(CASE)                                                                                               \
    CASE(1, 4) CASE(2, 2) CASE(3, 2) CASE(1, 1) CASE(2, 1) CASE(3, 1) CASE(4, 1) CASE(5, 1) CASE(6, 1)
#endif

enum {
    GEMM_PANEL = 48 << 10, /* bytes of a full-width panel of B: streams through L1, stays in L2 */
    GEMM_L2 = 512 << 10, /* bytes of L2 a block of A may fill */
    GEMM_ONCE = 16 << 10,  /* bytes of a panel packed for one use */
    GEMM_AHEAD = 40,     /* rows of B to fetch ahead when it is read once, from memory */
    GEMM_L3 = 4 << 20,   /* bytes a packed block of B may fill */
};

#define GEMM_KEY(rows, vecs) ((rows) * 16 + (vecs))
#endif

/* What a tile starts from and what is done to it at the end. */
typedef struct K(tile_ends) {
    const real *bias;     /* one for each of these columns, or NULL */
    const real *row_bias; /* one for each of these rows, or NULL */
    real beta;        /* the chains start at beta*C; 1 goes on with a chain begun in an earlier block */
    int relu;
    const real *next;  /* the tile of C that follows, to be fetched meanwhile; or NULL */
    ptrdiff_t ahead;   /* how many elements ahead in the rows of B to fetch; 0 where B waits in the caches */
} K(tile_ends);

/* One tile: rows and vecs are constants wherever this is called. cols <= vecs*LANES columns of C exist. */
ODY_INLINE void K(gemm_tile)(const int rows, const int vecs, size_t k, const real *a, ptrdiff_t a_k, const real *b,
                             ptrdiff_t b_k, real *c, ptrdiff_t c_row, size_t cols, const K(tile_ends) *ends) {
    vec acc[GEMM_MR][8]; /* rows x vecs of it live, all in registers once the loops are unrolled */
    const int whole = cols == (size_t)vecs * LANES;
    if (ends->bias) {
        UNROLL for (int v = 0; v < vecs; v++) {
            size_t left = cols > (size_t)v * LANES ? cols - (size_t)v * LANES : 0;
            vec start = left >= LANES ? v_load(ends->bias + v * LANES) : v_load_n(ends->bias + v * LANES, left, 0);
            UNROLL for (int r = 0; r < rows; r++) acc[r][v] = start;
        }
    } else if (ends->row_bias) {
        UNROLL for (int r = 0; r < rows; r++)
            UNROLL for (int v = 0; v < vecs; v++) acc[r][v] = v_splat(ends->row_bias[r]);
    } else if (ends->beta == 0) {
        UNROLL for (int r = 0; r < rows; r++)
            UNROLL for (int v = 0; v < vecs; v++) acc[r][v] = v_zero();
    } else {
        UNROLL for (int r = 0; r < rows; r++)
            UNROLL for (int v = 0; v < vecs; v++) {
                size_t left = cols > (size_t)v * LANES ? cols - (size_t)v * LANES : 0;
                const real *place = c + r * c_row + v * LANES;
                acc[r][v] = whole || left >= LANES ? v_load(place) : v_load_n(place, left, 0);
            }
        if (ends->beta != 1)
            UNROLL for (int r = 0; r < rows; r++)
                UNROLL for (int v = 0; v < vecs; v++) acc[r][v] = v_mul(v_splat(ends->beta), acc[r][v]);
    }
    if (ends->next)
        UNROLL for (int r = 0; r < rows; r++)
            UNROLL for (int v = 0; v < vecs; v++) __builtin_prefetch(ends->next + r * c_row + v * LANES, 1);
    const ptrdiff_t ahead = ends->ahead;
#pragma GCC unroll 4
    for (size_t i = 0; i < k; i++) {
        vec bv[8];
        UNROLL for (int v = 0; v < vecs; v++) bv[v] = v_load(b + v * LANES);
        if (ahead)
            UNROLL for (int v = 0; v < vecs; v++) __builtin_prefetch(b + ahead + v * LANES, 0, 2);
        UNROLL for (int r = 0; r < rows; r++) {
            vec ar = v_splat(a[r]);
            UNROLL for (int v = 0; v < vecs; v++) acc[r][v] = v_fma(ar, bv[v], acc[r][v]);
        }
        a += a_k;
        b += b_k;
    }
    if (ends->relu)
        UNROLL for (int r = 0; r < rows; r++)
            UNROLL for (int v = 0; v < vecs; v++) acc[r][v] = K(relu_vec)(acc[r][v]);
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int v = 0; v < vecs; v++) {
            real *place = c + r * c_row + v * LANES;
            if (whole) {
                v_store(place, acc[r][v]);
            } else {
                size_t left = cols > (size_t)v * LANES ? cols - (size_t)v * LANES : 0;
                if (left >= LANES) v_store(place, acc[r][v]);
                else if (left) v_store_n(place, acc[r][v], left);
            }
        }
}

#define TILE_FUNCTION(rows, vecs)                                                                                      \
    static __attribute__((noinline)) void K(gemm_tile_##rows##x##vecs)(                                                \
        size_t k, const real *a, ptrdiff_t a_k, const real *b, ptrdiff_t b_k, real *c, ptrdiff_t c_row, size_t cols,   \
        const K(tile_ends) *ends) {                                                                                    \
        K(gemm_tile)(rows, vecs, k, a, a_k, b, b_k, c, c_row, cols, ends);                                             \
    }
GEMM_TILES(TILE_FUNCTION)
#undef TILE_FUNCTION

typedef void (*K(tile_fn))(size_t, const real *, ptrdiff_t, const real *, ptrdiff_t, real *, ptrdiff_t, size_t,
                           const K(tile_ends) *);

static K(tile_fn) K(tile_for)(int rows, int vecs) {
    switch (GEMM_KEY(rows, vecs)) {
#define TILE_CASE(rows, vecs)                                                                                          \
    case GEMM_KEY(rows, vecs): return K(gemm_tile_##rows##x##vecs);
        GEMM_TILES(TILE_CASE)
#undef TILE_CASE
    }
    return NULL;
}

/* ---- packing ---------------------------------------------------------------------------------------------------- */

/* rows <= MR rows of A, scaled by alpha, into one (k, MR) panel; rows that do not exist are left as they are found, for
 * a tile never reads them. Stores are LANES wide and overrun into the next k's place, which is written later; the
 * panel needs LANES elements of slack. */
static void K(pack_a)(const real *a, ptrdiff_t a_row, ptrdiff_t a_col, size_t rows, size_t k, real alpha, real *panel) {
    const vec scale = v_splat(alpha);
    size_t i = 0;
    if (a_col == 1 && rows > 1) {
        for (; i + LANES <= k; i += LANES)
            for (size_t first = 0; first < rows; first += LANES) {
                vec block[LANES];
                for (size_t r = 0; r < LANES; r++)
                    block[r] = first + r < rows ? v_mul(scale, v_load(a + (ptrdiff_t)(first + r) * a_row + i)) : v_zero();
                v_transpose(block);
                for (size_t j = 0; j < LANES; j++) {
                    real *place = panel + (i + j) * GEMM_MR + first;
                    /* Only the last group of rows may overrun. */
                    if (first + LANES <= GEMM_MR || j + 1 == LANES || GEMM_MR <= LANES) v_store(place, block[j]);
                    else v_store_n(place, block[j], GEMM_MR - first);
                }
            }
    }
    for (; i < k; i++)
        for (size_t r = 0; r < rows; r++)
            panel[i * GEMM_MR + r] = alpha * a[(ptrdiff_t)r * a_row + (ptrdiff_t)i * a_col];
}

/* k rows of B into panels of (k, width), one after the other, the last padded with zeros. */
static void K(pack_b)(const real *b, ptrdiff_t b_row, ptrdiff_t b_col, size_t k, size_t cols, size_t width, real *panels) {
    if (b_col == 1) {
        /* A row is read some panels far before the next: short enough for their write streams, long enough for the
         * prefetchers. */
        const size_t group = 8 * width;
        for (size_t first = 0; first < cols; first += group) {
            const size_t end = cols - first < group ? cols : first + group;
            for (size_t i = 0; i < k; i++) {
                const real *from = b + (ptrdiff_t)i * b_row;
                real *to = panels + first * k + i * width;
                size_t j = first;
                for (; j + width <= end; j += width, to += k * width)
                    for (size_t v = 0; v < width; v += LANES) v_store(to + v, v_load(from + j + v));
                if (j < end)
                    for (size_t v = 0; v < width; v += LANES) {
                        size_t left = j + v < end ? end - j - v : 0;
                        v_store(to + v, left >= LANES ? v_load(from + j + v) : v_load_n(from + j + v, left, 0));
                    }
            }
        }
        return;
    }
    for (size_t first = 0; first < cols; first += LANES) {
        /* The vector of columns [first, first + LANES): its panel and its place in it. */
        real *to = panels + first / width * width * k + first % width;
        const size_t exist = cols - first < LANES ? cols - first : LANES;
        const real *from = b + (ptrdiff_t)first * b_col;
        size_t i = 0;
        if (b_row == 1)
            for (; i + LANES <= k; i += LANES) {
                vec block[LANES];
                for (size_t r = 0; r < LANES; r++) {
                    const real *line = from + (ptrdiff_t)r * b_col + i;
                    block[r] = r < exist ? v_load(line) : v_zero();
                    if (r < exist) __builtin_prefetch(line + 8 * LANES, 0, 2);
                }
                v_transpose(block);
                for (size_t r = 0; r < LANES; r++) v_store(to + (i + r) * width, block[r]);
            }
        for (; i < k; i++)
            for (size_t r = 0; r < LANES; r++)
                to[i * width + r] = r < exist ? from[(ptrdiff_t)i * b_row + (ptrdiff_t)r * b_col] : 0;
    }
    /* Whole vectors of padding behind the last column. */
    for (size_t first = K(round_up)(cols, LANES); first < K(round_up)(cols, width); first += LANES)
        for (size_t i = 0; i < k; i++) v_store(panels + first / width * width * k + i * width + first % width, v_zero());
}

/* ---- the plan for one product ----------------------------------------------------------------------------------- */

typedef struct K(gemm_plan) {
    int vecs, pack_a, pack_b;
    size_t width;      /* NR */
    size_t rows;       /* of a tile: as equal as they come, for a thin last tile computes at a fraction of the speed */
    size_t mc, kc, nc; /* block sizes */
    ptrdiff_t ahead;
    size_t a_elements, b_elements, tail_elements;
} K(gemm_plan);

static K(gemm_plan) K(plan_gemm)(const ody_gemm *g) {
    K(gemm_plan) p;
    p.vecs = GEMM_VECS_FOR(g->m);
    p.width = (size_t)p.vecs * LANES;
    const size_t tiles = (g->m + GEMM_MR - 1) / GEMM_MR;
    p.rows = tiles ? (g->m + tiles - 1) / tiles : 1;
    /* One row, or column-major columns, already is a panel. */
    p.pack_a = !(g->alpha == 1 && (g->m == 1 || (g->a_row == 1 && g->m <= GEMM_MR)));
    const int packed = g->format != ODY_STRIDED, in_panels = g->format == ODY_PANELS;
    const int walked_once = g->m <= 2 * GEMM_MR && !packed;
    const size_t b_bytes = g->k * g->n * sizeof(real);
    p.ahead = 0;
    p.pack_b = !in_panels && (packed || g->b_col != 1 || (!walked_once && b_bytes > GEMM_L2));
    if (!p.pack_b && walked_once && b_bytes > GEMM_L2) {
        /* Memory decides. One or two rows of A: walk a few whole rows of B side by side, streams that the prefetchers
         * follow. More: one pass down each strip of B with C in registers, fetching by hand what lies rows ahead. */
        p.nc = K(round_up)(g->n, p.width);
        p.kc = g->m <= 2 ? 8 : g->m <= GEMM_MR ? g->k : 16;
        p.ahead = g->m <= 2 || g->m > GEMM_MR ? 0 : GEMM_AHEAD * g->b_row;
    } else {
        p.kc = GEMM_PANEL / (p.width * sizeof(real));
        /* Equal blocks rather than a thin last one. */
        size_t blocks = (g->k + p.kc - 1) / p.kc;
        p.kc = blocks ? (g->k + blocks - 1) / blocks : 1;
        if (in_panels && g->m <= 3 * GEMM_MR) p.ahead = GEMM_AHEAD * K(PANEL); /* few tiles: memory may decide */
        if (packed) p.kc += p.kc % 2; /* packed bfloat16 comes in pairs */
        p.nc = GEMM_L3 / (p.kc * sizeof(real)) / p.width * p.width;
        /* A panel used by one or two tiles is packed right before, while L1 still holds it. */
        if (p.pack_b && walked_once) {
            p.nc = p.width;
            p.kc = GEMM_ONCE / (p.width * sizeof(real));
        }
    }
    if (p.nc > K(round_up)(g->n, p.width)) p.nc = K(round_up)(g->n, p.width);
    if (p.nc < p.width) p.nc = p.width;
    size_t tall = GEMM_L2 / (p.kc * sizeof(real)) / GEMM_MR; /* tiles in a block of A */
    if (tall < 1) tall = 1;
    if (tall > tiles) tall = tiles;
    p.mc = tall * p.rows;
    p.a_elements = p.pack_a ? K(round_up)(tall * GEMM_MR * p.kc + LANES, 64) : 0;
    p.b_elements = p.pack_b ? K(round_up)(p.nc * p.kc, 64) : 0;
    /* The last columns of a B read in place are copied, so that no tile reads past a row's end. */
    p.tail_elements = !p.pack_b && !in_panels && g->n % p.width ? K(round_up)(p.width * p.kc, 64) : 0;
    return p;
}

static size_t K(gemm_workspace)(const ody_gemm *g) {
    if (K(lies)(g)) return K(lying_workspace)(g);
    if (g->format != ODY_STRIDED && g->m <= PACKED_ROWS_FOR(g->format)) return K(packed_workspace)(g);
    if (g->format == ODY_STRIDED && K(few_rows)(g)) return K(few_workspace)(g);
    K(gemm_plan) p = K(plan_gemm)(g);
    return (p.a_elements + p.b_elements + p.tail_elements) * sizeof(real);
}

static void K(gemm)(const ody_gemm *g) {
    if (K(lies)(g)) {
        K(run_lying)(g);
        return;
    }
    if (g->format != ODY_STRIDED && g->m <= PACKED_ROWS_FOR(g->format)) {
        K(packed)(g);
        return;
    }
    if (g->format == ODY_STRIDED && K(few_rows)(g)) {
        K(few)(g);
        return;
    }
    const real *a = g->a, *b = g->b, *bias = g->bias;
    real *c = g->c;
    const K(gemm_plan) p = K(plan_gemm)(g);
    real *a_packed = g->workspace, *b_packed = a_packed + p.a_elements, *tail = b_packed + p.b_elements;
    size_t depth = g->k ? g->k : 1; /* k = 0: one empty block writes the starts */
    for (size_t jc = 0; jc < g->n; jc += p.nc) {
        const size_t nc = g->n - jc < p.nc ? g->n - jc : p.nc;
        for (size_t pc = 0; pc < depth; pc += p.kc) {
            const size_t kc = g->k - pc < p.kc ? g->k - pc : p.kc;
            const int first = pc == 0, last = pc + kc >= g->k;
            const real *b_block = b + (ptrdiff_t)pc * g->b_row + (ptrdiff_t)jc * g->b_col;
            const size_t tail_cols = nc % p.width;
            if (g->format == ODY_PANELS) /* read where they are */
                ;
            else if (g->format != ODY_STRIDED)
                K(widen)(g, pc, kc, jc, nc, p.width, b_packed);
            else if (p.pack_b)
                K(pack_b)(b_block, g->b_row, g->b_col, kc, nc, p.width, b_packed);
            else if (tail_cols)
                K(pack_b)(b_block + (nc - tail_cols), g->b_row, 1, kc, tail_cols,
                          K(round_up)(tail_cols, LANES) == LANES ? LANES : p.width, tail);
            for (size_t ic = 0; ic < g->m; ic += p.mc) {
                const size_t mc = g->m - ic < p.mc ? g->m - ic : p.mc;
                const real *a_block = a + (ptrdiff_t)ic * g->a_row + (ptrdiff_t)pc * g->a_col;
                if (p.pack_a)
                    for (size_t i = 0, tile = 0; i < mc; i += p.rows, tile++)
                        K(pack_a)(a_block + (ptrdiff_t)i * g->a_row, g->a_row, g->a_col,
                                  mc - i < p.rows ? mc - i : p.rows, kc, (real)g->alpha,
                                  a_packed + tile * GEMM_MR * kc);
                for (size_t j = 0; j < nc; j += p.width) {
                    const size_t cols = nc - j < p.width ? nc - j : p.width;
                    const real *b_panel = p.pack_b ? b_packed + j * kc : b_block + j;
                    ptrdiff_t b_k = p.pack_b ? (ptrdiff_t)p.width : g->b_row;
                    int vecs = p.vecs;
                    if (g->format == ODY_PANELS) {
                        b_panel = (const real *)(const void *)K(panel_of)(g, jc + j) + pc * K(PANEL) + (jc + j) % K(PANEL);
                        b_k = K(PANEL);
                    } else if (cols < p.width && !p.pack_b) {
                        b_panel = tail, b_k = (ptrdiff_t)p.width;
                    }
                    if (cols <= LANES) {
                        vecs = 1;
                        if (b_panel == tail) b_k = LANES;
                    }
                    for (size_t i = 0, tile = 0; i < mc; i += p.rows, tile++) {
                        const size_t rows = mc - i < p.rows ? mc - i : p.rows;
                        real *c_tile = c + (ptrdiff_t)(ic + i) * g->c_row + jc + j;
                        const K(tile_ends) ends = {.bias = first && bias && !g->scale ? bias + jc + j : NULL,
                                                   .beta = first ? (real)g->beta : 1,
                                                   .relu = last && !g->scale && g->activation == ODY_RELU,
                                                  .next = i + rows < mc ? c_tile + (ptrdiff_t)rows * g->c_row : NULL,
                                                  .ahead = p.ahead};
                        K(tile_for)((int)rows, vecs)(kc, p.pack_a ? a_packed + tile * GEMM_MR * kc : a_block,
                                                     p.pack_a ? GEMM_MR : g->a_col, b_panel, b_k,
                                                     c_tile, g->c_row, cols, &ends);
                        if (!last) continue;
                        /* While the tile is in L1. */
                        if (g->scale)
                            for (size_t r = 0; r < rows; r++)
                                K(scale_row)(g, c_tile + (ptrdiff_t)r * g->c_row, jc + j, cols);
                        if (g->activation != ODY_IDENTITY && (g->activation != ODY_RELU || g->scale))
                            for (size_t r = 0; r < rows; r++)
                                K(activate_row)(c_tile + (ptrdiff_t)r * g->c_row, cols, g->activation);
                    }
                }
            }
        }
    }
}
