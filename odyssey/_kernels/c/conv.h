/* Convolution and the gradient of its input: out[m, pixel] = act(bias[m] + sum over k of weight[m, k] * column[k, pixel]).
 *
 * A matrix product whose right operand, the im2col matrix, is never made: a row of it is a stretch of a plane
 * (conv_planes.h), and a tile of outputs finds its rows through a table of offsets. Every output is one fma chain that
 * begins at the bias and runs over k = (channel, tap row, tap column) in ascending order; between blocks of channels it
 * waits in memory. So bands, blocks and tiles may follow caches, registers and threads without changing a bit.
 *
 * The weights are packed once a call, shared by all images and threads: [channel block][tile][k][tile row].
 */

#ifndef ODY_CONV_TILES
#define ODY_CONV_TILES

enum {
    CONV_DEPTH = 384,         /* k of a block: long chains between visits to memory, a panel of weights in L1 */
    CONV_PLANES = 256 << 10,  /* bytes of planes at hand: with the weights of a block, half of L2 */
    CONV_WEIGHTS = 256 << 10, /* bytes of weights walked over one set of planes */
    CONV_DENSE = 256 << 10,   /* bytes of outputs waiting to be scattered */
    CONV_FLAT = 128,          /* pixels of several images that are worth laying out as one */
    CONV_BAND = 96,           /* pixels a band has at least */
};

/* What a tile does when its chains end: make a zero positive, so that it does not matter how many zeros of the padding
 * were added on the way (conv_bundle.h); and relu. */
enum { CONV_LAST = 1, CONV_RELU = 2 };

#if defined(ODY_ISA_AVX512)
#define CONV_VECS_FOR(rows) ((rows) <= 7 ? 4 : (rows) <= 8 ? 3 : 2)
#define CONV_TILES(CASE)                                                                                               \
    CASE(1, 4) CASE(2, 4) CASE(3, 4) CASE(4, 4) CASE(5, 4) CASE(6, 4) CASE(7, 4)                                       \
    CASE(1, 3) CASE(2, 3) CASE(3, 3) CASE(4, 3) CASE(5, 3) CASE(6, 3) CASE(7, 3) CASE(8, 3)                            \
    CASE(1, 2) CASE(2, 2) CASE(3, 2) CASE(4, 2) CASE(5, 2) CASE(6, 2) CASE(7, 2)                                       \
    CASE(8, 2) CASE(9, 2) CASE(10, 2) CASE(11, 2) CASE(12, 2) CASE(13, 2) CASE(14, 2)                                  \
    CASE(1, 1) CASE(2, 1) CASE(3, 1) CASE(4, 1) CASE(5, 1) CASE(6, 1) CASE(7, 1)                                       \
    CASE(8, 1) CASE(9, 1) CASE(10, 1) CASE(11, 1) CASE(12, 1) CASE(13, 1) CASE(14, 1)
#else
#define CONV_VECS_FOR(rows) ((rows) <= 1 ? 4 : (rows) <= 3 ? 2 : 1)
#define CONV_TILES(CASE)                                                                                               \
    CASE(1, 4) CASE(1, 3) CASE(1, 2) CASE(2, 2) CASE(3, 2)                                                             \
    CASE(1, 1) CASE(2, 1) CASE(3, 1) CASE(4, 1) CASE(5, 1) CASE(6, 1)
#endif

#endif

/* One tile: rows and vecs are constants wherever this is called. The chains begin at row_bias, at zero where that is NULL,
 * or go on from out where carry is set. Only tiles of one vector may be cut short (cols). */
ODY_INLINE void K(conv_tile)(const int rows, const int vecs, size_t k, const real *a, size_t a_k, const real *b,
                             const ptrdiff_t *offset, real *out, ptrdiff_t out_row, size_t cols, const real *row_bias,
                             int carry, int end) {
    vec acc[GEMM_MR][4]; /* rows x vecs of it live, all in registers once the loops are unrolled */
    if (carry) {
        UNROLL for (int r = 0; r < rows; r++)
            UNROLL for (int v = 0; v < vecs; v++) {
                const real *place = out + r * out_row + v * LANES;
                acc[r][v] = vecs > 1 || cols == LANES ? v_load(place) : v_load_n(place, cols, 0);
            }
    } else if (row_bias) {
        UNROLL for (int r = 0; r < rows; r++)
            UNROLL for (int v = 0; v < vecs; v++) acc[r][v] = v_splat(row_bias[r]);
    } else {
        UNROLL for (int r = 0; r < rows; r++)
            UNROLL for (int v = 0; v < vecs; v++) acc[r][v] = v_zero();
    }
#pragma GCC unroll 2
    for (size_t i = 0; i < k; i++) {
        const real *line = b + offset[i];
        vec bv[4];
        UNROLL for (int v = 0; v < vecs; v++) bv[v] = v_load(line + v * LANES);
        UNROLL for (int r = 0; r < rows; r++) {
            vec ar = v_splat(a[r]);
            UNROLL for (int v = 0; v < vecs; v++) acc[r][v] = v_fma(ar, bv[v], acc[r][v]);
        }
        a += a_k;
    }
    if (end & CONV_LAST)
        UNROLL for (int r = 0; r < rows; r++)
            UNROLL for (int v = 0; v < vecs; v++) acc[r][v] = v_add(acc[r][v], v_zero());
    if (end & CONV_RELU)
        UNROLL for (int r = 0; r < rows; r++)
            UNROLL for (int v = 0; v < vecs; v++) acc[r][v] = K(relu_vec)(acc[r][v]);
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int v = 0; v < vecs; v++) {
            real *place = out + r * out_row + v * LANES;
            if (vecs > 1 || cols == LANES) v_store(place, acc[r][v]);
            else v_store_n(place, acc[r][v], cols);
        }
}

typedef void (*K(conv_tile_fn))(size_t, const real *, size_t, const real *, const ptrdiff_t *, real *, ptrdiff_t, size_t,
                                const real *, int, int);
#define TILE_FUNCTION(rows, vecs)                                                                                      \
    static __attribute__((noinline)) void K(conv_tile_##rows##x##vecs)(                                                \
        size_t k, const real *a, size_t a_k, const real *b, const ptrdiff_t *offset, real *out, ptrdiff_t out_row,     \
        size_t cols, const real *row_bias, int carry, int end) {                                                       \
        K(conv_tile)(rows, vecs, k, a, a_k, b, offset, out, out_row, cols, row_bias, carry, end);                      \
    }
CONV_TILES(TILE_FUNCTION)
#undef TILE_FUNCTION

static K(conv_tile_fn) K(conv_tile_for)(size_t rows, size_t vecs) {
    switch (GEMM_KEY(rows, vecs)) {
#define TILE_CASE(rows, vecs)                                                                                          \
    case GEMM_KEY(rows, vecs): return K(conv_tile_##rows##x##vecs);
        CONV_TILES(TILE_CASE)
#undef TILE_CASE
    }
    return NULL;
}

/* ---- the plan ---------------------------------------------------------------------------------------------------- */

typedef struct K(conv_plan) {
    K(conv_tile_fn) tile[2][5];  /* of whole and of the last, thinner rows; by vectors */
    size_t tile_rows, tiles, vecs;
    size_t taps;                 /* rows * cols */
    size_t block, blocks;        /* channels of a block */
    size_t bands;                /* of an image */
    size_t units;                /* at hand at once */
    size_t group;                /* tiles whose weights are walked over one set of planes */
    int dense;                   /* outputs are computed side by side and scattered at the end */
    conv_planes planes;
    size_t planes_elements, stage_elements, tail_elements, dense_elements;
    size_t bundle;               /* vectors of images that go together in the lanes (conv_bundle.h); 0: pixels do */
} K(conv_plan);

static size_t K(conv_packed_elements)(const conv_taps *t) {
    const size_t tiles = (t->outputs + GEMM_MR - 1) / GEMM_MR;
    const size_t tile_rows = tiles ? (t->outputs + tiles - 1) / tiles : 1;
    return K(round_up)(t->channels * t->rows * t->cols * tiles * tile_rows + LANES, LANES) + K(round_up)(tiles, 16);
}

/* Everything but units depends on the whole convolution alone: the packed weights are laid out by it. */
static void K(plan_conv)(const conv_taps *t, size_t images, K(conv_plan) *p) {
    p->tiles = (t->outputs + GEMM_MR - 1) / GEMM_MR;
    p->tile_rows = p->tiles ? (t->outputs + p->tiles - 1) / p->tiles : 1; /* as equal as they come */
    if (p->tiles) p->tiles = (t->outputs + p->tile_rows - 1) / p->tile_rows;
    const size_t last_rows = t->outputs - (p->tiles ? p->tiles - 1 : 0) * p->tile_rows;
    p->vecs = CONV_VECS_FOR(p->tile_rows);
    for (size_t v = 1; v <= 4; v++) {
        p->tile[0][v] = v <= p->vecs ? K(conv_tile_for)(p->tile_rows, v) : NULL;
        p->tile[1][v] = v <= p->vecs ? K(conv_tile_for)(last_rows, v) : NULL;
    }
    p->taps = t->rows * t->cols;
    p->block = p->taps && p->taps < CONV_DEPTH ? CONV_DEPTH / p->taps : 1;
    p->blocks = (t->channels + p->block - 1) / p->block;
    if (p->blocks) p->block = (t->channels + p->blocks - 1) / p->blocks;
    else p->blocks = 1, p->block = 0; /* no channels: one empty block writes the starts */

    const size_t pixels = t->grid_h * t->grid_w, filled = K(round_up)(pixels, LANES);
    size_t flat_images = 0, band = t->grid_h;
    if (images > 1 && pixels < CONV_FLAT && 10 * pixels < 7 * filled) {
        flat_images = CONV_FLAT / (LANES * pixels) * LANES;
        if (flat_images < LANES) flat_images = LANES; /* whole vectors */
        if (flat_images > images) flat_images = images;
    }
    if (!flat_images) {
        /* A band whose planes fit, of a whole number of rows, as equal as they come. */
        const conv_planes one = conv_plan_planes(t, 1, 0), two = conv_plan_planes(t, 2, 0);
        const size_t row = one.direct ? t->grid_w : two.channel_elements - one.channel_elements;
        const size_t base = one.direct ? 0 : one.channel_elements - row;
        const size_t room = CONV_PLANES / sizeof(real) / (p->block ? p->block : 1);
        size_t most = room > base && row ? (room - base) / row : 0;
        const size_t least = (CONV_BAND + t->grid_w - 1) / t->grid_w;
        if (most < least) most = least;
        if (most > t->grid_h) most = t->grid_h;
        const size_t bands = (t->grid_h + most - 1) / most;
        band = (t->grid_h + bands - 1) / bands;
    }
    p->bands = (t->grid_h + band - 1) / band;
    p->planes = conv_plan_planes(t, band, flat_images);
    p->dense = flat_images || t->out_col != 1 || (t->out_row != (ptrdiff_t)t->grid_w && t->grid_h > 1);
    const size_t unit = p->block * (p->planes.direct ? p->planes.pixels : p->planes.channel_elements);
    p->units = unit ? CONV_PLANES / sizeof(real) / unit : 1;
    if (p->dense) {
        const size_t most = CONV_DENSE / sizeof(real) / (t->outputs * p->planes.pixels + 1);
        if (p->units > most) p->units = most;
    }
    if (p->units > images * p->bands) p->units = images * p->bands;
    if (p->units < 1) p->units = 1;
    p->bundle = 0;
    p->group = CONV_WEIGHTS / sizeof(real) / (p->block * p->taps * p->tile_rows + 1);
    if (p->group < 1) p->group = 1;

    p->planes_elements = p->planes.direct ? 0 : K(round_up)(p->units * p->block * p->planes.channel_elements + LANES, 16);
    p->stage_elements = p->planes.staged ? K(round_up)(p->planes.stage_rows * p->planes.stage_pitch + 2 * LANES, 16) : 0;
    p->tail_elements = p->planes.direct ? K(round_up)(p->block * p->taps * LANES, 16) : 0;
    p->dense_elements = p->dense ? K(round_up)(p->units * t->outputs * p->planes.pixels, 16) : 0;
}

static size_t K(conv_plan_workspace)(const K(conv_plan) *p) {
    return (p->planes_elements + p->stage_elements + p->tail_elements + p->dense_elements) * sizeof(real) +
           2 * p->block * p->taps * sizeof(ptrdiff_t);
}

/* ---- packing the weights ------------------------------------------------------------------------------------------ */

/* Where packed weights keep, for each tile, the sum of its weights times zero: NaN where one is not finite. */
static real *K(packed_finite)(const conv_taps *t, const K(conv_plan) *p, const real *packed) {
    return (real *)packed + K(round_up)(t->channels * p->taps * p->tiles * p->tile_rows + LANES, LANES);
}

/* Tiles [tile, end) of a group's weights, for all channels. */
static void K(pack_weights)(const conv_taps *t, const K(conv_plan) *p, const real *weight, size_t tile, size_t end,
                            real *packed) {
    real *finite = K(packed_finite)(t, p, packed);
    for (size_t i = tile; i < end; i++) finite[i] = 0;
    weight += t->weight_first;
    for (size_t block = 0; block < p->blocks; block++) {
        const size_t first = block * p->block, left = t->channels - first;
        const size_t channels = left < p->block ? left : p->block;
        for (size_t i = tile; i < end; i++) {
            real *to = packed + (first * p->tiles + i * channels) * p->taps * p->tile_rows;
            const size_t m = i * p->tile_rows, rows = t->outputs - m < p->tile_rows ? t->outputs - m : p->tile_rows;
            for (size_t c = 0; c < channels; c++)
                for (size_t row = 0; row < t->rows; row++)
                    for (size_t col = 0; col < t->cols; col++, to += p->tile_rows) {
                        const real *from = weight + (ptrdiff_t)m * t->weight_m + (ptrdiff_t)(first + c) * t->weight_c +
                                           (ptrdiff_t)row * t->weight_row + (ptrdiff_t)col * t->weight_col;
                        for (size_t r = 0; r < rows; r++) to[r] = from[(ptrdiff_t)r * t->weight_m];
                        for (size_t r = rows; r < p->tile_rows; r++) to[r] = 0;
                    }
            const size_t n = channels * p->taps * p->tile_rows;
            const real *panel = to - n;
            vec nothing = v_zero();
            for (size_t j = 0; j < n; j += LANES) {
                const vec w = n - j < LANES ? v_load_n(panel + j, n - j, 0) : v_load(panel + j);
                nothing = v_fma(w, v_zero(), nothing);
            }
            finite[i] += v_reduce_add(nothing);
        }
    }
}

/* ---- one correlation ---------------------------------------------------------------------------------------------- */

typedef struct K(conv_piece) {
    const real *source, *source_end, *packed, *bias;
    real *out;
    size_t image, images, row, rows, tile, tile_end;
    int activation;
} K(conv_piece);

/* A unit's place among images and rows. */
typedef struct K(conv_unit) {
    size_t image, images, row, rows, pixels;
} K(conv_unit);

static K(conv_unit) K(conv_unit_at)(const K(conv_plan) *p, const K(conv_piece) *w, size_t bands, size_t index) {
    const conv_planes *planes = &p->planes;
    K(conv_unit) u;
    if (planes->flat) {
        const size_t first = index * planes->images, left = w->images - first;
        u.images = left < planes->images ? left : planes->images;
        u.image = w->image + first;
        u.row = 0;
        u.rows = planes->taps.grid_h;
    } else {
        const size_t first = index % bands * planes->band, left = w->rows - first;
        u.images = 1;
        u.image = w->image + index / bands;
        u.row = w->row + first;
        u.rows = left < planes->band ? left : planes->band;
    }
    u.pixels = u.images * u.rows * planes->taps.grid_w;
    return u;
}

static void K(scatter_outputs)(const conv_taps *t, const real *dense, size_t pixels, size_t m, const K(conv_unit) *u,
                               real *out) {
    for (size_t r = 0; r < m; r++, dense += pixels) {
        const real *from = dense;
        for (size_t n = 0; n < u->images; n++) {
            real *image = out + t->out_first + (ptrdiff_t)(u->image + n) * t->out_image + (ptrdiff_t)r * t->out_m;
            for (size_t y = 0; y < u->rows; y++, from += t->grid_w) {
                real *to = image + (ptrdiff_t)(u->row + y) * t->out_row;
                if (t->out_col == 1)
                    for (size_t x = 0; x < t->grid_w; x += LANES) {
                        const size_t left = t->grid_w - x < LANES ? t->grid_w - x : LANES;
                        v_store_n(to + x, v_load_n(from + x, left, 0), left);
                    }
                else
                    for (size_t x = 0; x < t->grid_w; x++) to[(ptrdiff_t)x * t->out_col] = from[x];
            }
        }
    }
}

static void K(run_conv)(const K(conv_plan) *p, const K(conv_piece) *w, void *workspace) {
    const conv_planes *planes = &p->planes;
    const conv_taps *t = &planes->taps;
    real *plane_memory = workspace, *stage = plane_memory + p->planes_elements, *tail = stage + p->stage_elements;
    real *dense = tail + p->tail_elements;
    ptrdiff_t *offset = (ptrdiff_t *)(dense + p->dense_elements), *tail_offset = offset + p->block * p->taps;
    const size_t bands = (w->rows + planes->band - 1) / planes->band;
    const size_t units = planes->flat ? (w->images + planes->images - 1) / planes->images : w->images * bands;
    const size_t unit_elements = p->block * planes->channel_elements;
    const size_t m_first = w->tile * p->tile_rows;
    const size_t m_count = (w->tile_end * p->tile_rows < t->outputs ? w->tile_end * p->tile_rows : t->outputs) - m_first;
    const int slow_activation = w->activation != ODY_IDENTITY && w->activation != ODY_RELU;
    K(tap_offsets)(planes, p->block, offset);
    for (size_t i = 0; i < p->block * p->taps; i++) tail_offset[i] = (ptrdiff_t)(i * LANES);

    for (size_t u0 = 0; u0 < units; u0 += p->units) {
        const size_t here = units - u0 < p->units ? units - u0 : p->units;
        for (size_t block = 0; block < p->blocks; block++) {
            const size_t first = block * p->block, left = t->channels - first;
            const size_t channels = left < p->block ? left : p->block, k = channels * p->taps;
            const int carry = block > 0, last = block + 1 == p->blocks;
            const real *source = w->source + (ptrdiff_t)first * t->source_c;
            if (!planes->direct)
                for (size_t i = 0; i < here; i++) {
                    const K(conv_unit) u = K(conv_unit_at)(p, w, bands, u0 + i);
                    K(lay_planes)(planes, source, u.image, u.images, u.row, u.rows, channels,
                                  plane_memory + i * unit_elements, stage, w->source_end);
                }
            const real *weights = w->packed + first * p->tiles * p->taps * p->tile_rows;
            for (size_t tile0 = w->tile; tile0 < w->tile_end; tile0 += p->group) {
                const size_t tile1 = w->tile_end - tile0 < p->group ? w->tile_end : tile0 + p->group;
                for (size_t i = 0; i < here; i++) {
                    const K(conv_unit) u = K(conv_unit_at)(p, w, bands, u0 + i);
                    const real *b = planes->direct ? source + (ptrdiff_t)u.image * t->source_image +
                                                         (ptrdiff_t)(u.row * t->width)
                                                   : plane_memory + i * unit_elements;
                    real *out = p->dense ? dense + i * t->outputs * planes->pixels
                                         : w->out + t->out_first + (ptrdiff_t)u.image * t->out_image +
                                               (ptrdiff_t)m_first * t->out_m + (ptrdiff_t)u.row * t->out_row;
                    const ptrdiff_t out_row = p->dense ? (ptrdiff_t)planes->pixels : t->out_m;
                    size_t vecs;
                    for (size_t x = 0; x < u.pixels; x += vecs * LANES) {
                        const size_t whole = (u.pixels - x) / LANES;
                        vecs = whole >= p->vecs ? p->vecs : whole ? whole : 1;
                        while (!p->tile[0][vecs] || (tile1 == p->tiles && !p->tile[1][vecs])) vecs--;
                        const size_t cols = whole ? vecs * LANES : u.pixels - x;
                        const real *panel = b + x;
                        const ptrdiff_t *table = offset;
                        if (!whole && planes->direct) {
                            /* The last columns of a source read in place are copied: no tile reads past its end. */
                            for (size_t j = 0; j < k; j++)
                                v_store(tail + j * LANES, v_load_n(panel + offset[j], cols, 0));
                            panel = tail;
                            table = tail_offset;
                        }
                        for (size_t tile = tile0; tile < tile1; tile++)
                            p->tile[tile + 1 == p->tiles][vecs](
                                k, weights + tile * k * p->tile_rows, p->tile_rows, panel, table,
                                out + (ptrdiff_t)((tile - w->tile) * p->tile_rows) * out_row + x, out_row, cols,
                                w->bias ? w->bias + tile * p->tile_rows : NULL, carry,
                                last ? CONV_LAST | (w->activation == ODY_RELU ? CONV_RELU : 0) : 0);
                    }
                    if (last && slow_activation)
                        for (size_t m = tile0 * p->tile_rows; m < tile1 * p->tile_rows && m < t->outputs; m++)
                            K(activate_row)(out + (ptrdiff_t)(m - m_first) * out_row, u.pixels, w->activation);
                }
            }
        }
        if (p->dense)
            for (size_t i = 0; i < here; i++) {
                const K(conv_unit) u = K(conv_unit_at)(p, w, bands, u0 + i);
                K(scatter_outputs)(t, dense + i * t->outputs * planes->pixels, planes->pixels, m_count, &u,
                                   w->out + (ptrdiff_t)m_first * t->out_m);
            }
    }
}

