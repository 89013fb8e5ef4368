/* The two products of attention as register tiles, for a block of keys at a time.
 *
 *   scores    lanes are queries: at each d a vector of queries times one element of every key. Keys are read where they
 *             lie; only the queries are transposed, once. For a few queries alone lanes are keys, transposed in registers.
 *   product   lanes are columns: C += A B, A the weights of a few queries, B the values as they lie.
 *
 * A score is one chain of fma over d ascending from zero, an element of C one chain over keys ascending: who shares the tile
 * cannot be seen in the bits.
 */
#ifndef ODY_ATTENTION_TILES
#define ODY_ATTENTION_TILES

enum {
    ATT_BLOCK = 128, /* keys between two looks at the maximum: the bits depend on it */
    ATT_FEW = 8,     /* so few rows that transposing the keys costs less than idle lanes */
    ATT_AHEAD = 32,  /* keys to fetch ahead where they are read once, from memory */
};

/* ATT_VECS vectors of queries times ATT_KEYS keys, and rows times ATT_WIDE(rows) vectors of columns fill the registers. */
#if defined(ODY_ISA_AVX512)
enum { ATT_VECS = 2, ATT_KEYS = 8, ATT_ROWS = 4 };
#define ATT_WIDE(rows) ((rows) == 1 ? 8 : 4)
#define ATT_TILES(CASE)                                                                                                \
    CASE(1, 8) CASE(1, 4) CASE(2, 4) CASE(3, 4) CASE(4, 4) CASE(1, 2) CASE(2, 2) CASE(3, 2) CASE(4, 2)                 \
    CASE(1, 1) CASE(2, 1) CASE(3, 1) CASE(4, 1)
#else
enum { ATT_VECS = 1, ATT_KEYS = 6, ATT_ROWS = 4 };
#define ATT_WIDE(rows) ((rows) == 1 ? 4 : (rows) == 2 ? 2 : 1)
#define ATT_TILES(CASE) CASE(1, 4) CASE(1, 2) CASE(2, 2) CASE(1, 1) CASE(2, 1) CASE(3, 1) CASE(4, 1)
#endif
#define ATT_KEY(rows, vecs) ((rows) * 16 + (vecs))
#endif

/* The rows of a tile whose lanes are queries. */
#define ATT_QUERIES ((size_t)ATT_VECS * LANES)

/* ---- scores, lanes are queries ---------------------------------------------------------------------------------- */

/* to[d][lane] = scale * row[lane][d] for `count` rows, the lanes beyond are zero; `width` elements from one d to the next. */
static void K(att_pack)(const real *const *row, size_t count, size_t depth, real scale, real *to, size_t width) {
    const vec by = v_splat(scale);
    for (size_t first = 0; first < width; first += LANES)
        for (size_t d = 0; d < depth; d += LANES) {
            const size_t left = depth - d < LANES ? depth - d : LANES;
            vec block[LANES];
            for (size_t r = 0; r < LANES; r++) {
                if (first + r >= count) block[r] = v_zero();
                else if (left == LANES) block[r] = v_mul(by, v_load(row[first + r] + d));
                else block[r] = v_mul(by, v_load_n(row[first + r] + d, left, 0));
            }
            v_transpose(block);
            for (size_t i = 0; i < left; i++) v_store(to + (d + i) * width + first, block[i]);
        }
}

/* p[j][lane] = sum over d of key[j][d] queries[d][lane] for ATT_KEYS keys. */
ODY_INLINE void K(att_score_tile)(const int vecs, const real *const *key, const real *queries, size_t depth, real *p) {
    vec acc[8][2];
    UNROLL for (int j = 0; j < ATT_KEYS; j++)
        UNROLL for (int v = 0; v < vecs; v++) acc[j][v] = v_zero();
    const real *row[8];
    UNROLL for (int j = 0; j < ATT_KEYS; j++) row[j] = key[j];
    for (size_t d = 0; d < depth; d++) {
        vec q[2];
        UNROLL for (int v = 0; v < vecs; v++) q[v] = v_load(queries + v * LANES);
        UNROLL for (int j = 0; j < ATT_KEYS; j++) {
            vec k = v_splat(row[j][d]);
            UNROLL for (int v = 0; v < vecs; v++) acc[j][v] = v_fma(k, q[v], acc[j][v]);
        }
        queries += ATT_QUERIES;
    }
    UNROLL for (int j = 0; j < ATT_KEYS; j++)
        UNROLL for (int v = 0; v < vecs; v++) v_store(p + (size_t)j * ATT_QUERIES + v * LANES, acc[j][v]);
}

static __attribute__((noinline)) void K(att_score_all)(const real *const *key, const real *q, size_t depth, real *p) {
    K(att_score_tile)(ATT_VECS, key, q, depth, p);
}
static __attribute__((noinline)) void K(att_score_one)(const real *const *key, const real *q, size_t depth, real *p) {
    K(att_score_tile)(1, key, q, depth, p);
}

/* Scores of keys [from, to), of all queries or of one vector of them; p has room for whole tiles of keys. */
static void K(att_scores)(int all, const real *key, ptrdiff_t key_row, size_t from, size_t to, const real *queries,
                          size_t depth, real *p) {
    for (size_t j = from; j < to; j += ATT_KEYS) {
        const real *row[8];
        for (size_t i = 0; i < ATT_KEYS; i++) row[i] = key + (ptrdiff_t)(j + i < to ? j + i : to - 1) * key_row;
        (all ? K(att_score_all) : K(att_score_one))(row, queries, depth, p + j * ATT_QUERIES);
    }
}

/* ---- scores, lanes are keys --------------------------------------------------------------------------------------- */

/* p[row][j] for keys [0, n); queries is (rows, depth). Rows of p have room for whole vectors. Sixteen keys are read column by
 * column, which no prefetcher follows, so the keys from `ahead` on are fetched meanwhile. */
ODY_INLINE void K(att_score_keys)(const int rows, const real *key, ptrdiff_t key_row, size_t n, const real *queries,
                                  size_t depth, real *p, size_t p_row, const real *ahead) {
    const size_t lines = (depth + LANES - 1) / LANES;
    for (size_t j = 0; j < n; j += LANES) {
        const size_t exist = n - j < LANES ? n - j : LANES;
        vec acc[ATT_FEW];
        UNROLL for (int r = 0; r < rows; r++) acc[r] = v_zero();
        for (size_t d = 0; d < depth; d += LANES) {
            const size_t left = depth - d < LANES ? depth - d : LANES;
            const real *place = key + (ptrdiff_t)j * key_row + d;
            vec k[LANES];
            if (exist == LANES && left == LANES) {
                UNROLL for (int i = 0; i < LANES; i++) k[i] = v_load(place + i * key_row);
            } else {
                for (size_t i = 0; i < LANES; i++)
                    k[i] = i < exist ? v_load_n(place + (ptrdiff_t)i * key_row, left, 0) : v_zero();
            }
            /* In the order in which they lie: then the processor's own prefetching joins in. */
            {
                const size_t line = d / LANES * exist, row = line / lines, column = line % lines;
                const real *next = ahead + (ptrdiff_t)(j + row) * key_row + column * LANES;
                for (size_t i = 0, at = column; i < exist; i++) {
                    __builtin_prefetch(next, 0, 3);
                    next += LANES;
                    if (++at == lines) next += key_row - (ptrdiff_t)(lines * LANES), at = 0;
                }
            }
            v_transpose(k);
            const real *q = queries + d;
            if (left == LANES) {
                UNROLL for (int i = 0; i < LANES; i++)
                    UNROLL for (int r = 0; r < rows; r++)
                        acc[r] = v_fma(v_splat(q[(size_t)r * depth + i]), k[i], acc[r]);
            } else {
                for (size_t i = 0; i < left; i++)
                    UNROLL for (int r = 0; r < rows; r++)
                        acc[r] = v_fma(v_splat(q[(size_t)r * depth + i]), k[i], acc[r]);
            }
        }
        UNROLL for (int r = 0; r < rows; r++) v_store(p + (size_t)r * p_row + j, acc[r]);
    }
}

#define SCORE_KEYS(rows)                                                                                               \
    static __attribute__((noinline)) void K(att_score_keys_##rows)(                                                    \
        const real *key, ptrdiff_t key_row, size_t n, const real *queries, size_t depth, real *p, size_t p_row,        \
        const real *ahead) {                                                                                           \
        K(att_score_keys)(rows, key, key_row, n, queries, depth, p, p_row, ahead);                                     \
    }
SCORE_KEYS(1)
SCORE_KEYS(2)
SCORE_KEYS(4)
SCORE_KEYS(8)
#undef SCORE_KEYS

/* ---- products ----------------------------------------------------------------------------------------------------- */

/* c[r][columns] = start[r] * c[r][columns] + sum over j of a[r][j] b[j][columns]; start NULL stands for ones. cols <= vecs *
 * LANES columns exist. */
typedef struct K(att_operands) {
    size_t n;
    const real *a;
    ptrdiff_t a_row, a_k;
    const real *b;
    ptrdiff_t b_k;
    real *c;
    ptrdiff_t c_row;
    const real *start;
    const real *ahead; /* what will be read next, as many rows as b's, to be fetched meanwhile; or NULL */
    ptrdiff_t ahead_row;
} K(att_operands);

ODY_INLINE void K(att_product_tile)(const int rows, const int vecs, const K(att_operands) *o, size_t cols) {
    vec acc[ATT_ROWS][8];
    const int whole = cols == (size_t)vecs * LANES;
    const size_t last = cols - (size_t)(vecs - 1) * LANES;
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int v = 0; v < vecs; v++) {
            const real *place = o->c + r * o->c_row + v * LANES;
            acc[r][v] = whole || v + 1 < vecs ? v_load(place) : v_load_n(place, last, 0);
            if (o->start) acc[r][v] = v_mul(v_splat(o->start[r]), acc[r][v]);
        }
    const real *a = o->a, *b = o->b;
    const ptrdiff_t a_row = o->a_row, a_k = o->a_k, b_k = o->b_k;
    const real *ahead = o->ahead;
    for (size_t j = 0; j < o->n; j++) {
        vec bv[8];
        if (whole) {
            UNROLL for (int v = 0; v < vecs; v++) bv[v] = v_load(b + v * LANES);
        } else {
            UNROLL for (int v = 0; v + 1 < vecs; v++) bv[v] = v_load(b + v * LANES);
            bv[vecs - 1] = v_load_n(b + (vecs - 1) * LANES, last, 0);
        }
        if (ahead) {
            UNROLL for (int v = 0; v < vecs; v++) __builtin_prefetch(ahead + v * LANES, 0, 2);
            ahead += o->ahead_row;
        }
        UNROLL for (int r = 0; r < rows; r++) {
            vec ar = v_splat(a[r * a_row]);
            UNROLL for (int v = 0; v < vecs; v++) acc[r][v] = v_fma(ar, bv[v], acc[r][v]);
        }
        a += a_k;
        b += b_k;
    }
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int v = 0; v < vecs; v++) {
            real *place = o->c + r * o->c_row + v * LANES;
            if (whole || v + 1 < vecs) v_store(place, acc[r][v]);
            else v_store_n(place, acc[r][v], last);
        }
}

#define PRODUCT_TILE(rows, vecs)                                                                                       \
    static __attribute__((noinline)) void K(att_product_##rows##x##vecs)(const K(att_operands) *o, size_t cols) {      \
        K(att_product_tile)(rows, vecs, o, cols);                                                                      \
    }
ATT_TILES(PRODUCT_TILE)
#undef PRODUCT_TILE

static void K(att_product_call)(int rows, int vecs, const K(att_operands) *o, size_t cols) {
    switch (ATT_KEY(rows, vecs)) {
#define PRODUCT_CASE(rows, vecs)                                                                                       \
    case ATT_KEY(rows, vecs): K(att_product_##rows##x##vecs)(o, cols); return;
        ATT_TILES(PRODUCT_CASE)
#undef PRODUCT_CASE
    }
}

/* Any number of rows and columns. */
static void K(att_product)(size_t rows, size_t cols, const K(att_operands) *whole) {
    if (whole->n == 0 && !whole->start) return;
    for (size_t r = 0; r < rows; r += ATT_ROWS) {
        const int height = rows - r < ATT_ROWS ? (int)(rows - r) : ATT_ROWS;
        K(att_operands) o = *whole;
        o.a += (ptrdiff_t)r * o.a_row;
        o.c += (ptrdiff_t)r * o.c_row;
        if (o.start) o.start += r;
        if (r) o.ahead = NULL;
        for (size_t column = 0; column < cols;) {
            int vecs = ATT_WIDE(height);
            const size_t left = cols - column;
            while (vecs > 1 && (size_t)(vecs - 1) * LANES >= left) vecs >>= 1;
            const size_t width = left < (size_t)vecs * LANES ? left : (size_t)vecs * LANES;
            K(att_product_call)(height, vecs, &o, width);
            o.b += width;
            o.c += width;
            if (o.ahead) o.ahead += width;
            column += width;
        }
    }
}
