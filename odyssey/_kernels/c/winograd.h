/* Convolution by Winograd's minimal filtering F(2x2, 3x3) (Lavin and Gray, "Fast algorithms for convolutional neural
 * networks", 2015): a tile of 2x2 outputs of a 3x3 kernel takes 16 products a channel instead of 36.
 *
 *     Y = At [ sum over c of (G g Gt) * (Bt d B) ] A      d a 4x4 patch of the source, g the kernel, * element by element
 *
 * The transforms are sums and halves. For all tiles at once the products are 16 matrix products, one for each place of the
 * 4x4 patch, each element one fma chain over the channels in ascending order: gemm.h's tiles. Lanes are tiles, so the
 * transforms too are a few additions of whole vectors.
 *
 *   strip   tiles beside one another in a row of tiles of one image
 *   run     strips below one another in one image: they share source rows
 *   block   as many strips as go through all three steps together; strips follow one another without a gap
 *
 * Where all tiles together are few (one small image), lanes are outputs in the products instead, and the tiles their rows:
 * the same chains, and no lane without work.
 *
 * What is added to what depends on a tile's place in its image alone; blocks, pieces and the batch change no bit.
 */

#ifndef ODY_WINOGRAD
#define ODY_WINOGRAD

enum {
    WINOGRAD_NEAR = 512 << 10, /* bytes of transformed source and products that a block may fill, if that leaves it */
    WINOGRAD_LEAST = 64,       /* tiles at least, for the transformed weights are read once a block, */
    WINOGRAD_MOST = 256,       /* and at most */
    WINOGRAD_PRODUCTS = 256 << 10, /* bytes of products waiting to be transformed back */
    WINOGRAD_FEW = 6,          /* tiles in all, at most, that leave the lanes to the outputs: rows that every set's tile has */
};

/* Whether it is fewer operations than the direct way: decided by the shapes of one image, never by the batch or the
 * machine, for its results differ in the last bits. `all` has every tap. */
static inline int conv_winograd_pays(const conv_taps *all, int strided) {
    if (strided || all->rows != 3 || all->cols != 3 || all->stride_y != 1 || all->stride_x != 1) return 0;
    if (all->row_step * all->row_step != 1 || all->col_step * all->col_step != 1) return 0;
    if (all->channels < 16 || all->outputs < 16 || all->grid_h < 4 || all->grid_w < 4) return 0;
    const double m = (double)all->outputs, c = (double)all->channels;
    const double tiles = (double)((all->grid_h + 1) / 2) * (double)((all->grid_w + 1) / 2);
    const double direct = 9 * (double)all->grid_h * (double)all->grid_w * m * c;
    return tiles * (16 * m * c + 100 * (m + c)) < direct;
}

#endif

typedef struct K(winograd_plan) {
    conv_taps taps;
    int few;                         /* lanes of the products are outputs */
    size_t tile_rows, tiles, vecs;   /* of the matrix products: outputs of a tile, such tiles, vectors of a panel */
    size_t grid_h, grid_w;           /* in tiles of 2x2 */
    size_t length, parts;            /* tiles of a strip, strips side by side */
    size_t strips, block;            /* of a block: strips, and tiles in whole vectors */
    size_t group;                    /* tiles of outputs between one transform back and the next */
    ptrdiff_t low, col_low;          /* source row and column of the first tap at 0 */
    size_t stage_elements, plane, planes_elements, source_elements, products_elements, rows_elements;
} K(winograd_plan);

static void K(plan_winograd)(const conv_taps *t, const K(conv_plan) *direct, size_t batch, K(winograd_plan) *p) {
    p->taps = *t;
    p->few = batch * ((t->grid_h + 1) / 2) * ((t->grid_w + 1) / 2) <= WINOGRAD_FEW;
    p->tile_rows = p->few ? GEMM_VECS * LANES : direct->tile_rows;
    p->tiles = p->few ? (t->outputs + p->tile_rows - 1) / p->tile_rows : direct->tiles;
    p->vecs = p->few ? 1 : (size_t)GEMM_VECS_FOR((int)p->tile_rows);
    p->grid_h = (t->grid_h + 1) / 2;
    p->grid_w = (t->grid_w + 1) / 2;
    p->low = conv_span_low(t->row_first, t->row_step, 3);
    p->col_low = conv_span_low(t->col_first, t->col_step, 3);
    size_t most = WINOGRAD_NEAR / sizeof(real) / (16 * (t->channels + t->outputs));
    if (most < WINOGRAD_LEAST) most = WINOGRAD_LEAST;
    if (most > WINOGRAD_MOST) most = WINOGRAD_MOST;
    p->parts = (p->grid_w + most - 1) / most;
    p->length = (p->grid_w + p->parts - 1) / p->parts;
    /* As many strips as fit, or a few more or less where those fill their vectors better. */
    p->strips = 1;
    if (p->parts == 1) {
        double best = 0;
        for (size_t s = 1; s * p->length <= 2 * most; s++) {
            const size_t n = s * p->length, filled = K(round_up)(n, LANES);
            const double off = n > most ? (double)(n - most) : (double)(most - n);
            const double worth = (double)n / (double)filled - 0.1 * off / (double)most;
            if (worth > best) best = worth, p->strips = s;
        }
    }
    p->block = K(round_up)(p->strips * p->length, LANES);
    p->group = WINOGRAD_PRODUCTS / sizeof(real) / (16 * p->tile_rows * p->block);
    if (p->group < 1) p->group = 1;
    if (p->group > p->tiles) p->group = p->tiles;
    p->stage_elements = K(round_up)(p->strips * 4 * (2 * p->length + 2) + 4 * LANES, 16);
    p->plane = p->block + LANES; /* what overruns a plane must not reach the next */
    p->planes_elements = 16 * p->plane;
    p->source_elements = 16 * t->channels * p->block;
    p->products_elements = 16 * p->group * p->tile_rows * p->block;
    p->rows_elements = 4 * p->block;
}

static size_t K(winograd_workspace)(const K(winograd_plan) *p) {
    return (p->stage_elements + p->planes_elements + p->source_elements + p->products_elements + p->rows_elements) *
           sizeof(real);
}

static size_t K(winograd_packed_elements)(const K(winograd_plan) *p) {
    return K(round_up)(16 * p->taps.channels * p->tiles * p->tile_rows + LANES, 16);
}

/* ---- the weights: G g Gt, as [tile][place][channel][tile row] ---------------------------------------------------- */

/* Three numbers to four: g0, (g0 + g1 + g2) / 2, (g0 - g1 + g2) / 2, g2. */
ODY_INLINE void K(winograd_weights)(const vec g[3], vec u[4]) {
    const vec half = v_splat(R(0.5)), ends = v_add(g[0], g[2]);
    u[0] = g[0];
    u[1] = v_mul(half, v_add(ends, g[1]));
    u[2] = v_mul(half, v_sub(ends, g[1]));
    u[3] = g[2];
}

static void K(winograd_pack)(const K(winograd_plan) *p, const real *weight, size_t tile, size_t end, real *packed) {
    const conv_taps *t = &p->taps;
    const size_t place = t->channels * p->tile_rows;
    /* In the order of ascending source rows and columns. */
    const ptrdiff_t row = t->row_step < 0 ? -t->weight_row : t->weight_row;
    const ptrdiff_t col = t->col_step < 0 ? -t->weight_col : t->weight_col;
    weight += t->weight_first - (row < 0 ? 2 * row : 0) - (col < 0 ? 2 * col : 0);
    for (size_t i = tile; i < end; i++)
        for (size_t first = 0; first < p->tile_rows; first += LANES) {
            const size_t m = i * p->tile_rows + first, left = t->outputs > m ? t->outputs - m : 0;
            const size_t room = p->tile_rows - first < LANES ? p->tile_rows - first : LANES;
            const size_t rows = left < room ? left : room;
            real lanes[9][LANES];
            for (size_t tap = 0; tap < 9; tap++) v_store(lanes[tap], v_zero());
            real *to = packed + i * 16 * place + first;
            for (size_t c = 0; c < t->channels; c++, to += p->tile_rows) {
                const real *from = weight + (ptrdiff_t)m * t->weight_m + (ptrdiff_t)c * t->weight_c;
                for (size_t r = 0; r < rows; r++, from += t->weight_m) {
                    UNROLL for (int y = 0; y < 3; y++)
                        UNROLL for (int x = 0; x < 3; x++) lanes[3 * y + x][r] = from[y * row + x * col];
                }
                vec across[3][4], u[4][4];
                UNROLL for (int y = 0; y < 3; y++) {
                    const vec g[3] = {v_load(lanes[3 * y]), v_load(lanes[3 * y + 1]), v_load(lanes[3 * y + 2])};
                    K(winograd_weights)(g, across[y]);
                }
                UNROLL for (int x = 0; x < 4; x++) {
                    const vec g[3] = {across[0][x], across[1][x], across[2][x]};
                    vec down[4];
                    K(winograd_weights)(g, down);
                    UNROLL for (int y = 0; y < 4; y++) u[y][x] = down[y];
                }
                /* A store may overrun into the places of the next channels, which are written later. */
                const int whole = room == LANES || (first == 0 && (t->channels - c) * p->tile_rows >= LANES);
                UNROLL for (int y = 0; y < 4; y++)
                    UNROLL for (int x = 0; x < 4; x++) {
                        real *at = to + (size_t)(4 * y + x) * place;
                        if (whole) v_store(at, u[y][x]);
                        else v_store_n(at, u[y][x], room);
                    }
            }
        }
}

/* ---- the source: Bt d B, as [place][panel][channel][tile] -------------------------------------------------------- */

typedef struct K(winograd_strip) {
    size_t image, row, first, count; /* rows and columns of tiles */
} K(winograd_strip);

static K(winograd_strip) K(winograd_strip_at)(const K(winograd_plan) *p, const K(conv_piece) *w, size_t index) {
    K(winograd_strip) s;
    s.first = index % p->parts * p->length;
    s.count = p->grid_w - s.first < p->length ? p->grid_w - s.first : p->length;
    index /= p->parts;
    s.row = w->row + index % w->rows;
    s.image = w->image + index / w->rows;
    return s;
}

/* How many of the strips [index, end) make one run. */
static size_t K(winograd_run)(const K(winograd_plan) *p, const K(conv_piece) *w, size_t index, size_t end) {
    if (p->parts > 1) return 1;
    const size_t rest = w->rows - index % w->rows;
    return rest < end - index ? rest : end - index;
}

/* The source rows that a run reads, in the middle of zeros that are there already: each row's last vector brings the zeros
 * of its margin, and what it covers of the rows below is written after it. */
static void K(winograd_stage)(const K(winograd_plan) *p, const real *channel, const K(winograd_strip) *s, size_t rows,
                              size_t pitch, real *stage) {
    const conv_taps *t = &p->taps;
    const ptrdiff_t top = 2 * (ptrdiff_t)s->row + p->low, left = 2 * (ptrdiff_t)s->first + p->col_low;
    const ptrdiff_t height = (ptrdiff_t)t->height, width = (ptrdiff_t)t->width;
    const ptrdiff_t from = left < 0 ? 0 : left, until = left + (ptrdiff_t)pitch < width ? left + (ptrdiff_t)pitch : width;
    if (from >= until) return;
    const size_t n = (size_t)(until - from);
    for (size_t r = 0; r < rows; r++) {
        const ptrdiff_t row = top + (ptrdiff_t)r;
        if (row < 0) continue;
        if (row >= height) break;
        const real *line = channel + row * width + from;
        real *to = stage + r * pitch + (size_t)(from - left);
        size_t x = 0;
        for (; x + LANES <= n; x += LANES) v_store(to + x, v_load(line + x));
        if (x < n) v_store(to + x, v_load_n(line + x, n - x, 0));
    }
}

/* Four numbers to four: d0 - d2, d1 + d2, d2 - d1, d1 - d3. */
ODY_INLINE void K(winograd_source)(const vec d[4], vec h[4]) {
    h[0] = v_sub(d[0], d[2]);
    h[1] = v_add(d[1], d[2]);
    h[2] = v_sub(d[2], d[1]);
    h[3] = v_sub(d[1], d[3]);
}

/* The rows of a run, transformed across, each to the planes of both tile rows that read it. Planes are [row of the patch]
 * [place across][tile]; stores overrun into tiles that follow. */
static void K(winograd_across)(const K(winograd_plan) *p, const real *stage, size_t pitch, size_t count, size_t strips,
                               real *planes) {
    for (size_t r = 0; r < 2 * strips + 2; r++, stage += pitch) {
        real *as_first = planes + r % 2 * 4 * p->plane + r / 2 * count;
        real *as_last = as_first + (ptrdiff_t)(8 * p->plane) - (ptrdiff_t)count; /* a tile row above, from its row 2 on */
        for (size_t x = 0; x < count; x += LANES) {
            const real *line = stage + 2 * x;
            vec d[4], h[4];
            v_unzip(v_load(line), v_load(line + LANES), &d[0], &d[1]);
            v_unzip(v_load(line + 2), v_load(line + 2 + LANES), &d[2], &d[3]);
            K(winograd_source)(d, h);
            if (r < 2 * strips)
                UNROLL for (int j = 0; j < 4; j++) v_store(as_first + (size_t)j * p->plane + x, h[j]);
            if (r >= 2)
                UNROLL for (int j = 0; j < 4; j++) v_store(as_last + (size_t)j * p->plane + x, h[j]);
        }
    }
}

/* One channel's planes, transformed down, to their places in `source`; a place is `step` elements. */
static void K(winograd_down)(const K(winograd_plan) *p, const real *planes, size_t vectors, size_t channel, size_t step,
                             real *source) {
    for (size_t v = 0; v < vectors; v++, planes += LANES) {
        const size_t panel = v / p->vecs * p->vecs, width = vectors - panel < p->vecs ? vectors - panel : p->vecs;
        real *to = source + (panel * p->taps.channels + channel * width + (v - panel)) * LANES;
        UNROLL for (int j = 0; j < 4; j++) {
            vec d[4], u[4];
            UNROLL for (int i = 0; i < 4; i++) d[i] = v_load(planes + (size_t)(4 * i + j) * p->plane);
            K(winograd_source)(d, u);
            UNROLL for (int i = 0; i < 4; i++) v_store(to + (size_t)(4 * i + j) * step, u[i]);
        }
    }
}

/* ---- the results: At M A ------------------------------------------------------------------------------------------ */

/* Four numbers to two: m0 + m1 + m2, m1 - m2 - m3. */
ODY_INLINE void K(winograd_back)(const vec m[4], vec y[2]) {
    y[0] = v_add(v_add(m[0], m[1]), m[2]);
    y[1] = v_sub(v_sub(m[1], m[2]), m[3]);
}

/* One output's products to its upper and lower rows, tile after tile; places are `step` elements apart. */
ODY_INLINE void K(winograd_rows)(const real *products, size_t step, size_t vectors, vec bias, int relu, real *upper,
                                 real *lower) {
    for (size_t v = 0; v < vectors; v++) {
        vec down[2][4];
        UNROLL for (int j = 0; j < 4; j++) {
            vec m[4], y[2];
            UNROLL for (int i = 0; i < 4; i++) m[i] = v_load(products + (size_t)(4 * i + j) * step + v * LANES);
            K(winograd_back)(m, y);
            down[0][j] = y[0];
            down[1][j] = y[1];
        }
        UNROLL for (int i = 0; i < 2; i++) {
            vec y[2], first, second;
            K(winograd_back)(down[i], y);
            UNROLL for (int j = 0; j < 2; j++) {
                y[j] = v_add(y[j], bias);
                if (relu) y[j] = K(relu_vec)(y[j]);
            }
            v_zip(y[0], y[1], &first, &second);
            real *to = (i ? lower : upper) + 2 * v * LANES;
            v_store(to, first);
            v_store(to + LANES, second);
        }
    }
}

static void K(winograd_put)(real *to, const real *from, size_t n) {
    size_t x = 0;
    for (; x + LANES <= n; x += LANES) v_store(to + x, v_load(from + x));
    if (x < n) v_store_n(to + x, v_load(from + x), n - x);
}

/* The products and results of a few tiles, of the strips from s0 on: `packed` has the outputs of a tile side by side. */
static void K(winograd_few)(const K(winograd_plan) *p, const K(conv_piece) *w, size_t s0, size_t count, size_t tiles,
                            const real *source, real *products) {
    const conv_taps *t = &p->taps;
    const size_t panel_elements = t->channels * p->tile_rows, step = WINOGRAD_FEW * p->tile_rows;
    const K(tile_ends) ends = {.beta = 0};
    for (size_t tile = w->tile; tile < w->tile_end; tile++) {
        for (size_t i = 0; i < 16; i++)
            K(tile_for)((int)tiles, GEMM_VECS)(t->channels, source + i * t->channels * LANES, LANES,
                                               w->packed + (tile * 16 + i) * panel_elements, (ptrdiff_t)p->tile_rows,
                                               products + i * step, (ptrdiff_t)p->tile_rows, p->tile_rows, &ends);
        for (size_t n = 0; n < tiles; n++) {
            const K(winograd_strip) strip = K(winograd_strip_at)(p, w, s0 + n / count);
            const size_t x = 2 * (strip.first + n % count), y = 2 * strip.row;
            for (size_t m = tile * p->tile_rows; m < (tile + 1) * p->tile_rows && m < t->outputs; m += LANES) {
                const size_t some = t->outputs - m < LANES ? t->outputs - m : LANES;
                const vec bias = w->bias ? v_load_n(w->bias + m, some, 0) : v_zero();
                const real *from = products + n * p->tile_rows + (m - tile * p->tile_rows);
                real lanes[4 * LANES];
                vec down[2][4];
                UNROLL for (int j = 0; j < 4; j++) {
                    vec d[4], back[2];
                    UNROLL for (int i = 0; i < 4; i++) d[i] = v_load(from + (size_t)(4 * i + j) * step);
                    K(winograd_back)(d, back);
                    down[0][j] = back[0];
                    down[1][j] = back[1];
                }
                UNROLL for (int i = 0; i < 2; i++) {
                    vec result[2];
                    K(winograd_back)(down[i], result);
                    UNROLL for (int j = 0; j < 2; j++) {
                        result[j] = v_add(result[j], bias);
                        if (w->activation == ODY_RELU) result[j] = K(relu_vec)(result[j]);
                        v_store(lanes + (2 * i + j) * LANES, result[j]);
                    }
                }
                if (w->activation != ODY_IDENTITY && w->activation != ODY_RELU)
                    K(activate_row)(lanes, 4 * LANES, w->activation);
                real *to = w->out + t->out_first + (ptrdiff_t)strip.image * t->out_image + (ptrdiff_t)m * t->out_m +
                           (ptrdiff_t)y * t->out_row + (ptrdiff_t)x;
                for (size_t i = 0; i < 2 && y + i < t->grid_h; i++)
                    for (size_t j = 0; j < 2 && x + j < t->grid_w; j++)
                        for (size_t r = 0; r < some; r++)
                            to[(ptrdiff_t)i * t->out_row + (ptrdiff_t)j + (ptrdiff_t)r * t->out_m] =
                                lanes[(2 * i + j) * LANES + r];
            }
        }
    }
}

static void K(run_winograd)(const K(winograd_plan) *p, const K(conv_piece) *w, void *workspace) {
    const conv_taps *t = &p->taps;
    real *source = workspace, *products = source + p->source_elements, *planes = products + p->products_elements;
    real *upper = planes + p->planes_elements, *lower = upper + 2 * p->block, *stage = upper + p->rows_elements;
    const size_t strips = w->images * w->rows * p->parts, panel_elements = t->channels * p->tile_rows;
    const int relu = w->activation == ODY_RELU;
    for (size_t i = 0; i < p->planes_elements; i += LANES) v_store(planes + i, v_zero());
    for (size_t s0 = 0; s0 < strips; s0 += p->strips) {
        const size_t s1 = strips - s0 < p->strips ? strips : s0 + p->strips;
        const size_t count = K(winograd_strip_at)(p, w, s0).count, tiles = (s1 - s0) * count;
        const size_t vectors = (tiles + LANES - 1) / LANES, pitch = 2 * count + 2;
        const size_t place = t->channels * vectors * LANES;

        for (size_t i = 0; i < p->stage_elements; i += LANES) v_store(stage + i, v_zero());
        for (size_t c = 0; c < t->channels; c++) {
            real *rows = stage, *to = planes;
            size_t run;
            for (size_t s = s0; s < s1; s += run) {
                const K(winograd_strip) strip = K(winograd_strip_at)(p, w, s);
                run = K(winograd_run)(p, w, s, s1);
                const real *channel = w->source + (ptrdiff_t)strip.image * t->source_image + (ptrdiff_t)c * t->source_c;
                K(winograd_stage)(p, channel, &strip, 2 * run + 2, pitch, rows);
                rows += (2 * run + 2) * pitch;
            }
            rows = stage;
            for (size_t s = s0; s < s1; s += run) {
                run = K(winograd_run)(p, w, s, s1);
                K(winograd_across)(p, rows, pitch, count, run, to);
                rows += (2 * run + 2) * pitch;
                to += run * count;
            }
            K(winograd_down)(p, planes, vectors, c, place, source);
        }

        if (p->few) {
            K(winograd_few)(p, w, s0, count, tiles, source, products);
            continue;
        }
        for (size_t tile0 = w->tile; tile0 < w->tile_end; tile0 += p->group) {
            const size_t tile1 = w->tile_end - tile0 < p->group ? w->tile_end : tile0 + p->group;
            const size_t m_end = tile1 * p->tile_rows < t->outputs ? tile1 * p->tile_rows : t->outputs;
            const size_t step = p->group * p->tile_rows * p->block;
            const K(tile_ends) ends = {.beta = 0};
            for (size_t i = 0; i < 16; i++)
                for (size_t tile = tile0; tile < tile1; tile++) {
                    const size_t left = t->outputs - tile * p->tile_rows;
                    const int rows = (int)(left < p->tile_rows ? left : p->tile_rows);
                    for (size_t v = 0; v < vectors; v += p->vecs) {
                        const size_t width = vectors - v < p->vecs ? vectors - v : p->vecs;
                        K(tile_for)(rows, (int)width)(
                            t->channels, w->packed + (tile * 16 + i) * panel_elements, (ptrdiff_t)p->tile_rows,
                            source + i * place + v * LANES * t->channels, (ptrdiff_t)(width * LANES),
                            products + i * step + (tile - tile0) * p->tile_rows * p->block + v * LANES,
                            (ptrdiff_t)p->block, width * LANES, &ends);
                    }
                }
            for (size_t m = tile0 * p->tile_rows; m < m_end; m++) {
                const vec bias = w->bias ? v_splat(w->bias[m]) : v_zero();
                K(winograd_rows)(products + (m - tile0 * p->tile_rows) * p->block, step, vectors, bias, relu, upper, lower);
                if (w->activation != ODY_IDENTITY && !relu) {
                    K(activate_row)(upper, 2 * tiles, w->activation);
                    K(activate_row)(lower, 2 * tiles, w->activation);
                }
                const real *from = upper;
                for (size_t s = s0; s < s1; s++, from += 2 * count) {
                    const K(winograd_strip) strip = K(winograd_strip_at)(p, w, s);
                    const size_t x = 2 * strip.first, y = 2 * strip.row;
                    const size_t n = t->grid_w - x < 2 * count ? t->grid_w - x : 2 * count;
                    real *to = w->out + t->out_first + (ptrdiff_t)strip.image * t->out_image + (ptrdiff_t)m * t->out_m +
                               (ptrdiff_t)y * t->out_row + (ptrdiff_t)x;
                    K(winograd_put)(to, from, n);
                    if (y + 1 < t->grid_h) K(winograd_put)(to + t->out_row, from + (lower - upper), n);
                }
            }
        }
    }
}
