/* The gradient of a 3x3 kernel by Winograd's tiles: the transpose of F(2x2, 3x3) with respect to the kernel,
 *
 *     dg = Gt [ sum over tiles of (A dy At) * (Bt d B) ] G      dy 2x2 gradients, d the 4x4 patch below, * place by place
 *
 * so that a tile takes 16 products for each output and channel instead of 36. For all outputs and channels at once the
 * products are 16 matrix products, one for each place, whose inner axis is the tiles: gemm.h's tiles, each element one fma
 * chain over the tiles (image, row, column) in ascending order. Lanes are channels on one side and outputs on the other, so
 * both operands are laid out a pixel a vector first.
 *
 *   chunk  the tiles that are transformed together: some images, or a band of one; it changes no bit
 *   slab   chunks of one chain, as in conv_weight.h: the shapes decide
 *   block  outputs whose products wait together
 */

#ifndef ODY_WINOGRAD_WEIGHT
#define ODY_WINOGRAD_WEIGHT

enum {
    WEIGHT_CHUNK = 128,           /* tiles of a chunk, about: the chains wait in memory between chunks */
    WEIGHT_SLABS = 8,             /* each is transformed back by itself */
    WEIGHT_SLAB_BYTES = 8 << 20,
    WEIGHT_PRODUCTS = 4 << 20,    /* bytes of products of a block: its outputs read all of a chunk's source */
    WEIGHT_ROWS = GEMM_MR >= 8 ? 8 : 4, /* of a tile of the matrix products, */
    WEIGHT_VECS = GEMM_MR >= 8 ? 2 : 1, /* and its vectors */
};

#endif

typedef struct K(weight_plan) {
    conv_taps taps;
    size_t grid_h, grid_w;     /* in tiles of 2x2 */
    size_t images, rows;       /* of a chunk: whole images, or rows of tiles of one */
    size_t bands, chunks;      /* bands of an image, chunks of the batch */
    size_t slabs, slab_chunks;
    size_t block;              /* outputs, in whole vectors */
    size_t stage_elements, source_elements, grad_elements, products_elements;
} K(weight_plan);

static void K(plan_weight)(const conv_taps *t, const ody_conv *v, K(weight_plan) *p) {
    p->taps = *t;
    p->grid_h = (t->grid_h + 1) / 2;
    p->grid_w = (t->grid_w + 1) / 2;
    p->rows = p->grid_h;
    p->images = p->bands = 1;
    const size_t all = p->grid_h * p->grid_w;
    if (all >= WEIGHT_CHUNK) {
        p->bands = (all + WEIGHT_CHUNK / 2) / WEIGHT_CHUNK;
        if (p->bands > p->grid_h) p->bands = p->grid_h;
        p->rows = (p->grid_h + p->bands - 1) / p->bands;
        p->bands = (p->grid_h + p->rows - 1) / p->rows;
    } else {
        const size_t most = WEIGHT_CHUNK / all, chunks = (v->batch + most - 1) / most;
        p->images = chunks ? (v->batch + chunks - 1) / chunks : 1;
    }
    p->chunks = (v->batch + p->images - 1) / p->images * p->bands;
    size_t slabs = WEIGHT_SLAB_BYTES / (v->outputs * t->channels * 9 * sizeof(real) + 1);
    slabs = slabs < 1 ? 1 : slabs > WEIGHT_SLABS ? WEIGHT_SLABS : slabs;
    if (slabs > p->chunks) slabs = p->chunks ? p->chunks : 1;
    p->slab_chunks = (p->chunks + slabs - 1) / slabs;
    p->slabs = p->slab_chunks ? (p->chunks + p->slab_chunks - 1) / p->slab_chunks : 0;
    const size_t columns = K(round_up)(t->channels, LANES), outputs = K(round_up)(t->outputs, LANES);
    const size_t tiles = p->images * p->rows * p->grid_w;
    p->block = WEIGHT_PRODUCTS / sizeof(real) / (16 * columns) / LANES * LANES;
    if (p->block < LANES) p->block = LANES;
    if (p->block > outputs) p->block = outputs;
    p->stage_elements = (2 * p->rows + 2) * (2 * p->grid_w + 2) * LANES;
    p->source_elements = 16 * columns * tiles;
    p->grad_elements = 16 * p->block * tiles;
    p->products_elements = 16 * p->block * columns;
}

static size_t K(weight_workspace)(const K(weight_plan) *p) {
    return (p->stage_elements + p->source_elements + p->grad_elements + p->products_elements) * sizeof(real);
}

/* The pixels from (top, left) on, `rows` rows of `pitch` of them, each a vector over up to LANES planes that lie `step`
 * apart; zeros outside and beyond `planes`. All of the planes' width is inside. */
static void K(weight_stage)(const real *plane, ptrdiff_t step, size_t planes, size_t height, size_t width, ptrdiff_t top,
                            ptrdiff_t left, size_t rows, size_t pitch, real *stage) {
    const size_t before = (size_t)-left, above = top < 0 ? (size_t)-top < rows ? (size_t)-top : rows : 0;
    const ptrdiff_t below = top + (ptrdiff_t)rows - (ptrdiff_t)height;
    const size_t end = below > 0 ? (size_t)below < rows - above ? rows - (size_t)below : above : rows;
    for (size_t r = 0; r < rows; r++) {
        real *line = stage + r * pitch * LANES;
        const size_t first = r < above || r >= end ? pitch : before;
        for (size_t x = 0; x < first; x++) v_store(line + x * LANES, v_zero());
        for (size_t x = first == pitch ? pitch : before + width; x < pitch; x++) v_store(line + x * LANES, v_zero());
    }
    const real *from = plane + (top + (ptrdiff_t)above) * (ptrdiff_t)width;
    const size_t pixels = (end - above) * width;
    real *line = stage + (above * pitch + before) * LANES;
    size_t x = 0;
    for (size_t i = 0; i < pixels; i += LANES) {
        const size_t n = pixels - i < LANES ? pixels - i : LANES;
        vec block[LANES];
        for (size_t c = 0; c < LANES; c++) {
            const real *some = from + (ptrdiff_t)c * step + i;
            block[c] = c >= planes ? v_zero() : n == LANES ? v_load(some) : v_load_n(some, n, 0);
        }
        v_transpose(block);
        for (size_t j = 0; j < n; j++) {
            v_store(line + x * LANES, block[j]);
            if (++x == width) x = 0, line += pitch * LANES;
        }
    }
}

/* Bt d B of every tile of the stage; tiles are `tile` elements apart, places `place`. */
static void K(weight_source)(const real *stage, size_t rows, size_t cols, real *to, size_t tile, size_t place) {
    const size_t pitch = (2 * cols + 2) * LANES;
    for (size_t r = 0; r < rows; r++) {
        const real *line = stage + 2 * r * pitch;
        vec down[4][4]; /* of the patch's columns */
        UNROLL for (int x = 0; x < 2; x++) {
            vec d[4];
            UNROLL for (int i = 0; i < 4; i++) d[i] = v_load(line + (size_t)i * pitch + x * LANES);
            K(winograd_source)(d, down[2 + x]);
        }
        for (size_t c = 0; c < cols; c++, to += tile) {
            line += 2 * LANES;
            UNROLL for (int x = 0; x < 2; x++) {
                vec d[4];
                UNROLL for (int i = 0; i < 4; i++) {
                    down[x][i] = down[2 + x][i];
                    d[i] = v_load(line + (size_t)i * pitch + x * LANES);
                }
                K(winograd_source)(d, down[2 + x]);
            }
            UNROLL for (int i = 0; i < 4; i++) {
                const vec d[4] = {down[0][i], down[1][i], down[2][i], down[3][i]};
                vec u[4];
                K(winograd_source)(d, u);
                UNROLL for (int j = 0; j < 4; j++) v_store(to + (size_t)(4 * i + j) * place, u[j]);
            }
        }
    }
}

/* Two numbers to four: y0, y0 + y1, y0 - y1, -y1. */
ODY_INLINE void K(weight_grads)(vec first, vec second, vec u[4]) {
    u[0] = first;
    u[1] = v_add(first, second);
    u[2] = v_sub(first, second);
    u[3] = v_sub(v_zero(), second);
}

/* A dy At of every tile of the stage. */
static void K(weight_grad)(const real *stage, size_t rows, size_t cols, real *to, size_t tile, size_t place) {
    const size_t pitch = 2 * cols * LANES;
    for (size_t r = 0; r < rows; r++) {
        const real *line = stage + 2 * r * pitch;
        for (size_t c = 0; c < cols; c++, line += 2 * LANES, to += tile) {
            vec down[2][4];
            UNROLL for (int x = 0; x < 2; x++)
                K(weight_grads)(v_load(line + x * LANES), v_load(line + pitch + x * LANES), down[x]);
            UNROLL for (int i = 0; i < 4; i++) {
                vec u[4];
                K(weight_grads)(down[0][i], down[1][i], u);
                UNROLL for (int j = 0; j < 4; j++) v_store(to + (size_t)(4 * i + j) * place, u[j]);
            }
        }
    }
}

/* Four numbers to three: m0 + (m1 + m2) / 2, (m1 - m2) / 2, (m1 + m2) / 2 + m3. */
ODY_INLINE void K(weight_back)(const vec m[4], vec g[3]) {
    const vec half = v_splat(R(0.5)), middle = v_mul(half, v_add(m[1], m[2]));
    g[0] = v_add(m[0], middle);
    g[1] = v_mul(half, v_sub(m[1], m[2]));
    g[2] = v_add(middle, m[3]);
}

/* Gt M G of one output and n channels, to their nine taps each; places are `place` elements apart. */
static void K(weight_taps)(const real *products, size_t place, size_t n, real *out) {
    for (size_t first = 0; first < n; first += LANES, products += LANES) {
        real lanes[9][LANES];
        vec down[4][3];
        UNROLL for (int j = 0; j < 4; j++) {
            vec m[4];
            UNROLL for (int i = 0; i < 4; i++) m[i] = v_load(products + (size_t)(4 * i + j) * place);
            K(weight_back)(m, down[j]);
        }
        UNROLL for (int i = 0; i < 3; i++) {
            const vec m[4] = {down[0][i], down[1][i], down[2][i], down[3][i]};
            vec g[3];
            K(weight_back)(m, g);
            UNROLL for (int j = 0; j < 3; j++) v_store(lanes[3 * i + j], g[j]);
        }
        const size_t some = n - first < LANES ? n - first : LANES;
        for (size_t c = 0; c < some; c++, out += 9)
            UNROLL for (int tap = 0; tap < 9; tap++) out[tap] = lanes[tap][c];
    }
}

/* One slab: as conv2d_backward_weight, whose arguments these are. A piece's tiles are LANES outputs. */
static void K(run_weight)(const ody_conv *v, const K(weight_plan) *p) {
    const conv_taps *t = &p->taps;
    real *stage = v->workspace, *source = stage + p->stage_elements, *grads = source + p->source_elements;
    real *products = grads + p->grad_elements;
    const real *x = (const real *)v->x + (ptrdiff_t)(v->group * t->channels + v->channel) * t->source_c;
    const real *y = (const real *)v->y + (ptrdiff_t)(v->group * t->outputs) * t->out_m;
    const size_t width = t->channels * 9, channels = v->channel_end - v->channel;
    const size_t vectors = (channels + LANES - 1) / LANES, columns = vectors * LANES;
    real *out = p->slabs > 1 ? (real *)v->packed + v->row * v->outputs * width : v->weight;
    out += v->group * t->outputs * width + v->channel * 9;
    const size_t m_end = v->tile_end * LANES < t->outputs ? v->tile_end * LANES : t->outputs;
    const size_t chunk_first = v->row * p->slab_chunks;
    const size_t chunk_end = chunk_first + p->slab_chunks < p->chunks ? chunk_first + p->slab_chunks : p->chunks;
    for (size_t m0 = v->tile * LANES; m0 < m_end; m0 += p->block) {
        const size_t outputs = m_end - m0 < p->block ? m_end - m0 : p->block;
        const size_t groups = (outputs + LANES - 1) / LANES, product_place = p->block * columns;
        for (size_t chunk = chunk_first; chunk < chunk_end; chunk++) {
            const size_t image = chunk / p->bands * p->images, row = chunk % p->bands * p->rows;
            const size_t images = v->batch - image < p->images ? v->batch - image : p->images;
            const size_t rows = p->grid_h - row < p->rows ? p->grid_h - row : p->rows;
            const size_t one = rows * p->grid_w, tiles = images * one;
            const size_t source_place = columns * tiles, grad_place = groups * LANES * tiles;
            for (size_t n = 0; n < images; n++) {
                const real *picture = x + (ptrdiff_t)(image + n) * t->source_image;
                for (size_t g = 0; g < vectors; g++) {
                    const size_t left = channels - g * LANES, panel = g / WEIGHT_VECS * WEIGHT_VECS;
                    const size_t vecs = vectors - panel < WEIGHT_VECS ? vectors - panel : WEIGHT_VECS;
                    K(weight_stage)(picture + (ptrdiff_t)(g * LANES) * t->source_c, t->source_c, left < LANES ? left : LANES,
                                    t->height, t->width, 2 * (ptrdiff_t)row + t->row_first, t->col_first, 2 * rows + 2,
                                    2 * p->grid_w + 2, stage);
                    K(weight_source)(stage, rows, p->grid_w,
                                     source + (panel * tiles + n * one * vecs + (g - panel)) * LANES, vecs * LANES,
                                     source_place);
                }
                const real *incoming = y + (ptrdiff_t)(image + n) * t->out_image + (ptrdiff_t)m0 * t->out_m;
                for (size_t g = 0; g < groups; g++) {
                    const size_t left = outputs - g * LANES;
                    K(weight_stage)(incoming + (ptrdiff_t)(g * LANES) * t->out_m, t->out_m, left < LANES ? left : LANES,
                                    t->grid_h, t->grid_w, 2 * (ptrdiff_t)row, 0, 2 * rows, 2 * p->grid_w, stage);
                    K(weight_grad)(stage, rows, p->grid_w, grads + (g * tiles + n * one) * LANES, LANES, grad_place);
                }
            }
            const K(tile_ends) ends = {.beta = chunk == chunk_first ? 0 : 1};
            for (size_t i = 0; i < 16; i++)
                for (size_t panel = 0; panel < vectors; panel += WEIGHT_VECS) {
                    const size_t vecs = vectors - panel < WEIGHT_VECS ? vectors - panel : WEIGHT_VECS;
                    for (size_t m = 0; m < outputs; m += WEIGHT_ROWS) {
                        const size_t some = outputs - m < WEIGHT_ROWS ? outputs - m : WEIGHT_ROWS;
                        K(tile_for)((int)some, (int)vecs)(
                            tiles, grads + i * grad_place + m / LANES * LANES * tiles + m % LANES, LANES,
                            source + i * source_place + panel * LANES * tiles, (ptrdiff_t)(vecs * LANES),
                            products + i * product_place + m * columns + panel * LANES, (ptrdiff_t)columns, vecs * LANES,
                            &ends);
                    }
                }
        }
        for (size_t m = 0; m < outputs; m++)
            K(weight_taps)(products + m * columns, product_place, channels, out + (m0 + m) * width);
    }
}
