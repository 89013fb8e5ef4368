/* The gradient of a convolution's weights: dW[m, k] = sum over images and pixels of grad[m, pixel] * column[k, pixel].
 *
 * Both operands are contiguous in pixels (column is the planes of conv_planes.h), so lanes are pixels: a tile keeps one
 * vector accumulator for each of some outputs and taps, and folds them at the end through the fixed tree.
 *
 *   chunk  the pixels between two folds: some images, or a band of one large image
 *   slab   chunks whose sums are added up, in their order, in one place; threads share the slabs, whose sums are added in
 *          their order at the end
 *
 * Chunks and slabs follow from the shapes alone, so neither threads nor blocks of channels or outputs can change a bit.
 */

#ifndef ODY_CONV_DOT
#define ODY_CONV_DOT

enum {
    DOT_CHUNK = 64,          /* vectors of a chunk, about: long enough for the fold not to matter, short enough for L1 */
    DOT_FLAT = 4,            /* vectors of an image below which images are laid out side by side: loops would be short; */
    DOT_FLAT_WIDE = 9,       /* with many outputs, which repay the copies, below so many */
    DOT_WIDE = 48,
    DOT_SLABS = 32,          /* enough for many threads */
    DOT_SLAB_BYTES = 8 << 20,
    DOT_PLANES = 256 << 10,
};

/* outputs x taps, in parts of a vector that one register holds: accumulators, the operands of the shorter side, one of
 * the other. */
#if defined(ODY_ISA_AVX512) || defined(ODY_ISA_NEON)
#define DOT_ROWS_FOR(m) ((m) <= 6 ? (m) : (m) % 4 == 0 ? 4 : (m) % 6 == 0 ? 6 : (m) % 5 == 0 ? 5 : 4)
#define DOT_TAPS_FOR(rows) ((rows) <= 4 ? 6 : 4)
#define DOT_TILES(CASE)                                                                                                \
    CASE(1, 1) CASE(1, 2) CASE(1, 3) CASE(1, 4) CASE(1, 5) CASE(1, 6)                                                  \
    CASE(2, 1) CASE(2, 2) CASE(2, 3) CASE(2, 4) CASE(2, 5) CASE(2, 6)                                                  \
    CASE(3, 1) CASE(3, 2) CASE(3, 3) CASE(3, 4) CASE(3, 5) CASE(3, 6)                                                  \
    CASE(4, 1) CASE(4, 2) CASE(4, 3) CASE(4, 4) CASE(4, 5) CASE(4, 6)                                                  \
    CASE(5, 1) CASE(5, 2) CASE(5, 3) CASE(5, 4) CASE(6, 1) CASE(6, 2) CASE(6, 3) CASE(6, 4)
#else
#define DOT_ROWS_FOR(m) ((m) <= 4 ? (m) : (m) % 4 == 0 ? 4 : (m) % 3 == 0 ? 3 : 4)
#define DOT_TAPS_FOR(rows) ((rows) <= 3 ? 4 : 3)
#define DOT_TILES(CASE)                                                                                                \
    CASE(1, 1) CASE(1, 2) CASE(1, 3) CASE(1, 4) CASE(2, 1) CASE(2, 2) CASE(2, 3) CASE(2, 4)                            \
    CASE(3, 1) CASE(3, 2) CASE(3, 3) CASE(3, 4) CASE(4, 1) CASE(4, 2) CASE(4, 3)
#endif

#endif

/* Where the operands of a chunk lie, in elements. */
typedef struct K(dot_chunk) {
    size_t units, pixels;
    ptrdiff_t grad_row, grad_unit, plane_unit;
} K(dot_chunk);

/* The shorter side's operands stay in registers. */
#define DOT_STEP(LOAD_G, LOAD_X)                                                                                       \
    do {                                                                                                               \
        v_part held[6];                                                                                                \
        if (rows < taps) {                                                                                             \
            UNROLL for (int r = 0; r < rows; r++) held[r] = LOAD_G;                                                    \
            UNROLL for (int s = 0; s < taps; s++) {                                                                    \
                const v_part x = LOAD_X;                                                                               \
                UNROLL for (int r = 0; r < rows; r++) acc[r][s] = v_part_fma(held[r], x, acc[r][s]);                   \
            }                                                                                                          \
        } else {                                                                                                       \
            UNROLL for (int s = 0; s < taps; s++) held[s] = LOAD_X;                                                    \
            UNROLL for (int r = 0; r < rows; r++) {                                                                    \
                const v_part g = LOAD_G;                                                                               \
                UNROLL for (int s = 0; s < taps; s++) acc[r][s] = v_part_fma(g, held[s], acc[r][s]);                   \
            }                                                                                                          \
        }                                                                                                              \
    } while (0)

ODY_INLINE void K(dot_tile)(const int rows, const int taps, const K(dot_chunk) *chunk, const real *grad,
                            const real *planes, const ptrdiff_t *offset, real *out, ptrdiff_t out_row, int add) {
    v_part done[V_PARTS][6][6];
    const size_t pixels = chunk->pixels, lanes = LANES / V_PARTS;
    const ptrdiff_t grad_row = chunk->grad_row;
    for (size_t part = 0; part < V_PARTS; part++) {
        v_part acc[6][6];
        UNROLL for (int r = 0; r < rows; r++)
            UNROLL for (int s = 0; s < taps; s++) acc[r][s] = v_part_zero();
        const real *g_unit = grad + part * lanes, *x_unit = planes + part * lanes;
        for (size_t u = 0; u < chunk->units; u++, g_unit += chunk->grad_unit, x_unit += chunk->plane_unit) {
            size_t i = 0;
            for (; i + LANES <= pixels; i += LANES) DOT_STEP(v_part_load(g_unit + r * grad_row + i), v_part_load(x_unit + offset[s] + i));
            if (i < pixels) { /* both masked: what lies behind a plane's end may be anything */
                const size_t left = pixels - i, before = part * lanes;
                const size_t n = left < before ? 0 : left - before < lanes ? left - before : lanes;
                DOT_STEP(v_part_load_n(g_unit + r * grad_row + i, n), v_part_load_n(x_unit + offset[s] + i, n));
            }
        }
        UNROLL for (int r = 0; r < rows; r++)
            UNROLL for (int s = 0; s < taps; s++) done[part][r][s] = acc[r][s];
    }
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int s = 0; s < taps; s++) {
            v_part parts[V_PARTS];
            for (size_t part = 0; part < V_PARTS; part++) parts[part] = done[part][r][s];
            real *place = out + r * out_row + s;
            const real sum = v_reduce_add(v_join(parts));
            *place = add ? *place + sum : sum;
        }
}

#undef DOT_STEP

typedef void (*K(dot_tile_fn))(const K(dot_chunk) *, const real *, const real *, const ptrdiff_t *, real *, ptrdiff_t, int);
#define TILE_FUNCTION(rows, taps)                                                                                      \
    static __attribute__((noinline)) void K(dot_tile_##rows##x##taps)(                                                 \
        const K(dot_chunk) *chunk, const real *grad, const real *planes, const ptrdiff_t *offset, real *out,           \
        ptrdiff_t out_row, int add) {                                                                                  \
        K(dot_tile)(rows, taps, chunk, grad, planes, offset, out, out_row, add);                                       \
    }
DOT_TILES(TILE_FUNCTION)
#undef TILE_FUNCTION

static K(dot_tile_fn) K(dot_tile_for)(size_t rows, size_t taps) {
    switch (GEMM_KEY(rows, taps)) {
#define TILE_CASE(rows, taps)                                                                                          \
    case GEMM_KEY(rows, taps): return K(dot_tile_##rows##x##taps);
        DOT_TILES(TILE_CASE)
#undef TILE_CASE
    }
    return NULL;
}

typedef struct K(dot_plan) {
    conv_planes planes;
    size_t chunk_images, bands, chunks; /* by shape alone, as slabs are */
    size_t slabs, slab_chunks;
    size_t block;                       /* channels whose planes are at hand */
    size_t grad_row;                    /* of the gathered gradient */
    size_t planes_elements, stage_elements, grad_elements, offsets;
} K(dot_plan);

static void K(plan_dot)(const conv_taps *t, const ody_conv *v, K(dot_plan) *p) {
    const size_t pixels = t->grid_h * t->grid_w, vectors = (pixels + LANES - 1) / LANES;
    size_t band = t->grid_h, flat_images = 0;
    const int flat = vectors < (t->outputs < DOT_WIDE ? DOT_FLAT : DOT_FLAT_WIDE);
    p->bands = 1;
    p->chunk_images = 1;
    if (vectors > DOT_CHUNK) {
        p->bands = (vectors + DOT_CHUNK / 2) / DOT_CHUNK;
        band = (t->grid_h + p->bands - 1) / p->bands;
        p->bands = (t->grid_h + band - 1) / band;
    } else {
        p->chunk_images = flat ? (DOT_CHUNK * LANES + pixels - 1) / pixels : DOT_CHUNK / vectors;
        const size_t chunks = (v->batch + p->chunk_images - 1) / p->chunk_images;
        p->chunk_images = chunks ? (v->batch + chunks - 1) / chunks : 1;
        if (flat && p->chunk_images > 1) flat_images = p->chunk_images;
    }
    p->planes = conv_plan_planes(t, band, flat_images);
    p->chunks = (v->batch + p->chunk_images - 1) / p->chunk_images * p->bands;
    const size_t bytes = v->outputs * t->channels * t->rows * t->cols * sizeof(real);
    size_t slabs = DOT_SLAB_BYTES / (bytes + 1);
    slabs = slabs < 1 ? 1 : slabs > DOT_SLABS ? DOT_SLABS : slabs;
    if (slabs > p->chunks) slabs = p->chunks ? p->chunks : 1;
    p->slab_chunks = (p->chunks + slabs - 1) / slabs;
    p->slabs = p->slab_chunks ? (p->chunks + p->slab_chunks - 1) / p->slab_chunks : 0;
    const size_t units = flat_images ? 1 : p->chunk_images;
    const size_t one = units * (p->planes.direct ? p->planes.pixels : p->planes.channel_elements);
    p->block = DOT_PLANES / sizeof(real) / (one ? one : 1);
    if (p->block > t->channels) p->block = t->channels;
    if (p->block < 1) p->block = 1;
    p->offsets = p->block * t->rows * t->cols;
    p->planes_elements = p->planes.direct ? 0 : K(round_up)(p->block * one + LANES, 16);
    p->stage_elements = p->planes.staged ? K(round_up)(p->planes.stage_rows * p->planes.stage_pitch + 2 * LANES, 16) : 0;
    /* Images lie far apart, at strides that like to be powers of two: the gradient of a chunk is gathered. */
    p->grad_row = K(round_up)(p->chunk_images * pixels, LANES) + LANES;
    p->grad_elements = p->chunk_images > 1 ? t->outputs * p->grad_row : 0;
}

/* The same shapes as forward; who computes in double wants the shorter chains of errors here too. */
static int K(weight_by_winograd)(const conv_taps *t) {
    return sizeof(real) == sizeof(float) && conv_winograd_pays(t, 0);
}

static void K(conv2d_backward_weight_sizes)(const ody_conv *v, ody_conv_sizes *sizes) {
    const conv_taps t = conv_forward_taps(v);
    sizes->images = 1;
    if (K(weight_by_winograd)(&t)) {
        K(weight_plan) p;
        K(plan_weight)(&t, v, &p);
        sizes->packed = p.slabs > 1 ? p.slabs * v->outputs * t.channels * 9 * sizeof(real) : 0;
        sizes->workspace = K(weight_workspace)(&p);
        sizes->tiles = (t.outputs + LANES - 1) / LANES;
        sizes->rows = p.slabs;
        return;
    }
    K(dot_plan) p;
    K(plan_dot)(&t, v, &p);
    const size_t rows = DOT_ROWS_FOR(t.outputs);
    sizes->packed = p.slabs > 1 ? p.slabs * v->outputs * t.channels * t.rows * t.cols * sizeof(real) : 0;
    sizes->workspace = (p.planes_elements + p.stage_elements + p.grad_elements) * sizeof(real) + p.offsets * sizeof(ptrdiff_t);
    sizes->tiles = rows ? (t.outputs + rows - 1) / rows : 0;
    sizes->rows = p.slabs;
}

/* One slab: the weights of outputs [tile, tile_end) and channels [channel, channel_end) of a group. */
static void K(conv2d_backward_weight)(const ody_conv *v) {
    const conv_taps t = conv_forward_taps(v);
    if (K(weight_by_winograd)(&t)) {
        K(weight_plan) tiles;
        K(plan_weight)(&t, v, &tiles);
        K(run_weight)(v, &tiles);
        return;
    }
    K(dot_plan) p;
    K(plan_dot)(&t, v, &p);
    const conv_planes *planes = &p.planes;
    const size_t taps = t.rows * t.cols, width = t.channels * taps, tile_rows = DOT_ROWS_FOR(t.outputs);
    real *plane_memory = v->workspace, *stage = plane_memory + p.planes_elements, *near_grad = stage + p.stage_elements;
    ptrdiff_t *offset = (ptrdiff_t *)(near_grad + p.grad_elements);
    const real *x = (const real *)v->x + (ptrdiff_t)(v->group * t.channels) * t.source_c;
    const real *x_end = (const real *)v->x + (ptrdiff_t)v->batch * t.source_image;
    const real *y = (const real *)v->y + (ptrdiff_t)(v->group * t.outputs) * t.out_m;
    const real *y_end = (const real *)v->y + (ptrdiff_t)v->batch * t.out_image;
    real *out = p.slabs > 1 ? (real *)v->packed + v->row * v->outputs * width : v->weight;
    out += v->group * t.outputs * width;
    const size_t m_first = v->tile * tile_rows;
    const size_t m_end = v->tile_end * tile_rows < t.outputs ? v->tile_end * tile_rows : t.outputs;
    K(tap_offsets)(planes, p.block, offset);

    const size_t chunk_first = v->row * p.slab_chunks;
    const size_t chunk_end = chunk_first + p.slab_chunks < p.chunks ? chunk_first + p.slab_chunks : p.chunks;
    for (size_t chunk = chunk_first; chunk < chunk_end; chunk++) {
        const size_t image = chunk / p.bands * p.chunk_images, left = v->batch - image;
        const size_t images = left < p.chunk_images ? left : p.chunk_images;
        const size_t row = chunk % p.bands * planes->band;
        const size_t rows = t.grid_h - row < planes->band ? t.grid_h - row : planes->band;
        K(dot_chunk) c = {.units = images, .pixels = rows * t.grid_w, .grad_row = t.out_m, .grad_unit = t.out_image};
        const real *grad = y + (ptrdiff_t)image * t.out_image + (ptrdiff_t)row * t.out_row;
        if (p.grad_elements) {
            const size_t pixels = t.grid_h * t.grid_w;
            for (size_t m = m_first; m < m_end; m++)
                for (size_t n = 0; n < images; n++)
                    K(copy_rows)(near_grad + m * p.grad_row + n * pixels,
                                 grad + (ptrdiff_t)n * t.out_image + (ptrdiff_t)m * t.out_m, 0, 1, pixels, y_end);
            grad = near_grad;
            c.grad_row = (ptrdiff_t)p.grad_row;
            c.grad_unit = (ptrdiff_t)pixels;
        }
        if (planes->flat) c.units = 1, c.pixels *= images;
        for (size_t channel = v->channel; channel < v->channel_end; channel += p.block) {
            const size_t channels = v->channel_end - channel < p.block ? v->channel_end - channel : p.block;
            const real *source = x + (ptrdiff_t)channel * t.source_c;
            const real *base = plane_memory;
            c.plane_unit = (ptrdiff_t)(p.block * planes->channel_elements);
            if (planes->direct) {
                base = source + (ptrdiff_t)image * t.source_image + (ptrdiff_t)(row * t.width);
                c.plane_unit = t.source_image;
            } else if (planes->flat) {
                K(lay_planes)(planes, source, image, images, 0, t.grid_h, channels, plane_memory, stage, x_end);
            } else {
                for (size_t n = 0; n < images; n++)
                    K(lay_planes)(planes, source, image + n, 1, row, rows, channels,
                                  plane_memory + n * p.block * planes->channel_elements, stage, x_end);
            }
            for (size_t m = m_first; m < m_end; m += tile_rows) {
                const size_t some = m_end - m < tile_rows ? m_end - m : tile_rows;
                const size_t wide = DOT_TAPS_FOR(some), all = channels * taps;
                for (size_t k = 0; k < all; k += wide)
                    K(dot_tile_for)(some, all - k < wide ? all - k : wide)(
                        &c, grad + (ptrdiff_t)m * c.grad_row, base, offset + k,
                        out + m * width + channel * taps + k, (ptrdiff_t)width, chunk != chunk_first);
            }
        }
    }
}
