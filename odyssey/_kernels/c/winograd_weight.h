/* The gradient of a 3x3 convolution's weights by Winograd's F(2x2, 3x3), whose forward winograd.h computes. That is linear in
 * the weights g, so its adjoint in them is
 *
 *     dg = Gt [ sum over tiles of (A dy At) * (Bt d B) ] G      dy the 2x2 gradients of a tile, d its 4x4 patch
 *
 * and takes 16 products a tile instead of 36. For each of the 16 places the sum is a matrix product of outputs by tiles and
 * tiles by channels, an element one fma chain over the tiles in ascending order.
 *
 *   block  strips of tiles (winograd.h) that are transformed, then multiplied, together
 *   slab   strips whose sums make one gradient; threads share the slabs, which are added in their order at the end
 *
 * Slabs follow from the shapes alone; blocks and pieces of channels change no bit.
 */

#ifndef ODY_WINOGRAD_WEIGHT
#define ODY_WINOGRAD_WEIGHT

enum {
    WINOGRAD_WEIGHT_NEAR = 4 << 20, /* bytes of transformed source and gradient that a block may fill, */
    WINOGRAD_WEIGHT_LEAST = 128,    /* if that leaves it so many tiles, for a block reads and writes all sums, */
    WINOGRAD_WEIGHT_MOST = 512,     /* and at most */
    WINOGRAD_SLAB = 1024,           /* tiles of a slab, about */
    WINOGRAD_SLABS = 8,
    SLAB_BYTES = 8 << 20, /* of all slabs together */
    WINOGRAD_TRANSFORMS = 200,
    WINOGRAD_TILES = 64, /* tiles below which the sums' own transform costs more than is saved */
};

static inline int conv_weight_winograd_pays(const conv_taps *t, size_t batch) {
    return batch * ((t->grid_h + 1) / 2) * ((t->grid_w + 1) / 2) >= WINOGRAD_TILES &&
           conv_winograd_saves(t, 0, WINOGRAD_TRANSFORMS);
}

#endif

typedef struct K(winograd_weight_plan) {
    K(winograd_plan) tiles;
    size_t strips, slab_strips, slabs; /* of the batch, of a slab; a slab is whole blocks */
    size_t line;                       /* elements from one channel's or output's tiles to the next one's */
    size_t source_place, grad_place, sums_place; /* elements of a place */
    size_t gemm_bytes;
} K(winograd_weight_plan);

/* The product of one place. */
static ody_gemm K(winograd_weight_product)(const K(winograd_weight_plan) *p, size_t channels, size_t tiles) {
    const conv_taps *t = &p->tiles.taps;
    return (ody_gemm){.m = t->outputs, .n = channels, .k = tiles, .a_row = (ptrdiff_t)p->line, .a_col = 1, .b_row = 1,
                      .b_col = (ptrdiff_t)p->line, .c_row = (ptrdiff_t)t->channels, .alpha = 1,
                      .activation = ODY_IDENTITY, .format = ODY_STRIDED};
}

static void K(plan_winograd_weight)(const conv_taps *t, size_t batch, K(winograd_weight_plan) *p) {
    size_t most = WINOGRAD_WEIGHT_NEAR / sizeof(real) / (16 * (t->channels + t->outputs));
    if (most < WINOGRAD_WEIGHT_LEAST) most = WINOGRAD_WEIGHT_LEAST;
    if (most > WINOGRAD_WEIGHT_MOST) most = WINOGRAD_WEIGHT_MOST;
    K(winograd_plan) *tiles = &p->tiles;
    K(plan_winograd_blocks)(t, most, tiles);
    tiles->vecs = (size_t)-1; /* a single panel: channel after channel */
    p->strips = batch * tiles->grid_h * tiles->parts;
    const size_t bytes = t->outputs * t->channels * 9 * sizeof(real), all = batch * tiles->grid_h * tiles->grid_w;
    size_t slabs = all / WINOGRAD_SLAB, room = SLAB_BYTES / bytes;
    if (slabs > WINOGRAD_SLABS) slabs = WINOGRAD_SLABS;
    if (slabs > room) slabs = room;
    if (slabs < 1) slabs = 1;
    p->slab_strips = K(round_up)((p->strips + slabs - 1) / slabs, tiles->strips);
    p->slabs = (p->strips + p->slab_strips - 1) / p->slab_strips;
    p->line = tiles->block + LANES; /* lines not apart by a power of two, and room for what overruns one */
    p->source_place = t->channels * p->line + LANES;
    p->grad_place = t->outputs * p->line + LANES;
    p->sums_place = K(round_up)(t->outputs * t->channels, LANES);
    /* Of a whole block, of the last one of the last slab, and of the last strip where rows are cut. */
    const size_t last = (p->strips - (p->slabs - 1) * p->slab_strips) % tiles->strips;
    const size_t counts[3] = {tiles->strips * tiles->length, last * tiles->length,
                              tiles->grid_w - (tiles->parts - 1) * tiles->length};
    p->gemm_bytes = 0;
    for (int i = 0; i < 3; i++) {
        const ody_gemm g = K(winograd_weight_product)(p, t->channels, counts[i]);
        const size_t bytes = K(gemm_workspace)(&g);
        if (bytes > p->gemm_bytes) p->gemm_bytes = bytes;
    }
}

static size_t K(winograd_weight_workspace)(const K(winograd_weight_plan) *p) {
    return (16 * (p->source_place + p->grad_place + p->sums_place) + p->tiles.stage_elements + p->tiles.planes_elements) *
               sizeof(real) + p->gemm_bytes;
}

/* Two numbers to four: y0, y0 + y1, y0 - y1, -y1. */
ODY_INLINE void K(winograd_gradient)(const vec y[2], vec h[4]) {
    h[0] = y[0];
    h[1] = v_add(y[0], y[1]);
    h[2] = v_sub(y[0], y[1]);
    h[3] = v_neg(y[1]);
}

/* A dy At of the strips [s0, s1) of one output, tile after tile; a place is `step` elements. Stores overrun into tiles and
 * outputs that follow. */
static void K(winograd_gradients)(const K(winograd_plan) *p, const K(conv_piece) *w, const real *plane, size_t s0, size_t s1,
                                  size_t step, real *to) {
    const conv_taps *t = &p->taps;
    for (size_t s = s0; s < s1; s++) {
        const K(winograd_strip) strip = K(winograd_strip_at)(p, w, s);
        const real *upper = plane + (ptrdiff_t)strip.image * t->out_image + (ptrdiff_t)(2 * strip.row) * t->out_row;
        const int single = 2 * strip.row + 1 == t->grid_h;
        for (size_t x = 0; x < strip.count; x += LANES) {
            const size_t column = 2 * (strip.first + x), left = t->grid_w - column;
            vec across[2][4];
            UNROLL for (int r = 0; r < 2; r++) {
                const real *line = upper + (ptrdiff_t)r * t->out_row + (ptrdiff_t)column;
                vec low = v_zero(), high = v_zero(), y[2];
                if (r == 0 || !single) {
                    low = left >= LANES ? v_load(line) : v_load_n(line, left, 0);
                    if (left > LANES) high = left >= 2 * LANES ? v_load(line + LANES) : v_load_n(line + LANES, left - LANES, 0);
                }
                v_unzip(low, high, &y[0], &y[1]);
                K(winograd_gradient)(y, across[r]);
            }
            UNROLL for (int j = 0; j < 4; j++) {
                const vec y[2] = {across[0][j], across[1][j]};
                vec down[4];
                K(winograd_gradient)(y, down);
                UNROLL for (int i = 0; i < 4; i++) v_store(to + (size_t)(4 * i + j) * step + x, down[i]);
            }
        }
        to += strip.count;
    }
}

/* Four numbers to three: m0 + (m1 + m2) / 2, (m1 - m2) / 2, (m1 + m2) / 2 + m3. */
ODY_INLINE void K(winograd_taps)(const vec m[4], vec g[3]) {
    const vec half = v_splat(R(0.5)), both = v_mul(half, v_add(m[1], m[2]));
    g[0] = v_add(m[0], both);
    g[1] = v_mul(half, v_sub(m[1], m[2]));
    g[2] = v_add(both, m[3]);
}

/* Gt M G of all outputs and some channels, to weights of 9 taps each. */
static void K(winograd_weight_back)(const K(winograd_weight_plan) *p, const real *sums, size_t channel, size_t channel_end,
                                    real *weight) {
    const conv_taps *t = &p->tiles.taps;
    for (size_t m = 0; m < t->outputs; m++, weight += t->weight_m)
        for (size_t c = channel; c < channel_end; c += LANES) {
            const size_t left = channel_end - c < LANES ? channel_end - c : LANES;
            vec down[3][4], taps[LANES];
            UNROLL for (int j = 0; j < 4; j++) {
                vec place[4], g[3];
                UNROLL for (int i = 0; i < 4; i++)
                    place[i] = v_load_n(sums + (size_t)(4 * i + j) * p->sums_place + m * t->channels + c, left, 0);
                K(winograd_taps)(place, g);
                UNROLL for (int i = 0; i < 3; i++) down[i][j] = g[i];
            }
            UNROLL for (int i = 0; i < 3; i++) K(winograd_taps)(down[i], taps + 3 * i);
            real lanes[9][LANES];
            UNROLL for (int k = 0; k < 9; k++) v_store(lanes[k], taps[k]);
            for (size_t l = 0; l < left; l++)
                for (int k = 0; k < 9; k++) weight[(c + l) * 9 + (size_t)k] = lanes[k][l];
        }
}

/* One slab: the weights of all outputs and channels [channel, channel_end) of a group. */
static void K(run_winograd_weight)(const ody_conv *v, const conv_taps *t) {
    K(winograd_weight_plan) p;
    K(plan_winograd_weight)(t, v->batch, &p);
    const K(winograd_plan) *tiles = &p.tiles;
    const size_t channels = v->channel_end - v->channel, weights = v->outputs * t->channels * 9;
    const K(conv_piece) w = {.rows = tiles->grid_h, .images = v->batch};
    const real *x = (const real *)v->x + (ptrdiff_t)(v->group * t->channels + v->channel) * t->source_c;
    const real *y = (const real *)v->y + (ptrdiff_t)(v->group * t->outputs) * t->out_m;
    real *source = v->workspace, *grad = source + 16 * p.source_place, *sums = grad + 16 * p.grad_place;
    real *stage = sums + 16 * p.sums_place, *planes = stage + tiles->stage_elements;
    real *out = (p.slabs > 1 ? (real *)v->packed + v->row * weights : (real *)v->weight) +
                v->group * t->outputs * t->channels * 9;
    const size_t begin = v->row * p.slab_strips, rest = p.strips - begin;
    const size_t end = rest < p.slab_strips ? p.strips : begin + p.slab_strips;
    for (size_t i = 0; i < tiles->planes_elements; i += LANES) v_store(planes + i, v_zero());
    for (size_t s0 = begin; s0 < end; s0 += tiles->strips) {
        const size_t s1 = end - s0 < tiles->strips ? end : s0 + tiles->strips;
        const size_t count = (s1 - s0) * K(winograd_strip_at)(tiles, &w, s0).count;
        const size_t vectors = (count + LANES - 1) / LANES;
        for (size_t i = 0; i < tiles->stage_elements; i += LANES) v_store(stage + i, v_zero());
        for (size_t c = 0; c < channels; c++) {
            K(winograd_planes)(tiles, &w, x + (ptrdiff_t)c * t->source_c, s0, s1, stage, planes);
            K(winograd_down)(tiles, planes, vectors, 0, p.source_place, source + c * p.line);
        }
        for (size_t m = 0; m < t->outputs; m++)
            K(winograd_gradients)(tiles, &w, y + (ptrdiff_t)m * t->out_m, s0, s1, p.grad_place, grad + m * p.line);
        ody_gemm g = K(winograd_weight_product)(&p, channels, count);
        g.beta = s0 > begin;
        g.workspace = planes + tiles->planes_elements;
        for (size_t i = 0; i < 16; i++) {
            g.a = grad + i * p.grad_place;
            g.b = source + i * p.source_place;
            g.c = sums + i * p.sums_place + v->channel;
            K(gemm)(&g);
        }
    }
    K(winograd_weight_back)(&p, sums, v->channel, v->channel_end, out);
}
