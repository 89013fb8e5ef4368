/* Convolution with images in the lanes: LANES images (a bundle) are transposed so that one pixel of all of them is a vector.
 *
 * Every output pixel then has its own list of taps, so taps in the padding cost nothing, no lane is ever idle whatever the
 * image's size, any stride and dilation reads whole vectors, and all loads are aligned. What it costs is the transposition
 * of the images and of the results; conv.h chooses where that pays: small images with wide padding, most of all the
 * gradient of the input, whose padding is the kernel less one.
 *
 * The chains are those of conv.h, to the bit. Multiplying a zero of the padding by a weight only matters if the weight is
 * not finite (then no tap is left out), or for the sign of a zero (which both ways make positive at the end).
 */

/* Of the taps of one axis, those that a grid position meets; source is negative for one in the padding. */
#ifndef ODY_CONV_BUNDLE
#define ODY_CONV_BUNDLE

enum {
    BUNDLE_SOURCE = 4 << 20, /* bytes of images that may be transposed at once */
    BUNDLE_OUT = 256 << 10,  /* bytes of results that wait for their chains to end, and for being transposed back */
    BUNDLE_TWO = 64,         /* images from which two vectors of them go together */
};

typedef struct bundle_tap {
    ptrdiff_t tap, source;
} bundle_tap;

/* The taps (tap number, source position) of position `at` along one axis; returns how many. */
static inline size_t conv_axis_taps(int backward, size_t at, size_t kernel, size_t stride, size_t padding, size_t dilation,
                                    size_t size, int with_padding, bundle_tap *list) {
    size_t n = 0;
    for (size_t i = 0; i < kernel; i++) {
        ptrdiff_t source;
        if (backward) {
            const ptrdiff_t scaled = (ptrdiff_t)(at + padding) - (ptrdiff_t)(i * dilation);
            if (scaled % (ptrdiff_t)stride != 0) continue;
            source = scaled / (ptrdiff_t)stride;
        } else {
            source = (ptrdiff_t)(at * stride + i * dilation) - (ptrdiff_t)padding;
        }
        if (source < 0 || source >= (ptrdiff_t)size) {
            if (!with_padding) continue;
            source = -1;
        }
        list[n++] = (bundle_tap){(ptrdiff_t)i, source};
    }
    return n;
}

/* How many (position, tap) pairs of one axis lie in the source. */
static inline double conv_axis_pairs(int backward, size_t positions, size_t kernel, size_t stride, size_t padding,
                                     size_t dilation, size_t size) {
    double pairs = 0;
    for (size_t at = 0; at < positions; at++)
        for (size_t i = 0; i < kernel; i++) {
            const ptrdiff_t scaled = backward ? (ptrdiff_t)(at + padding) - (ptrdiff_t)(i * dilation)
                                              : (ptrdiff_t)(at * stride + i * dilation) - (ptrdiff_t)padding;
            if (backward && scaled % (ptrdiff_t)stride != 0) continue;
            const ptrdiff_t source = backward ? scaled / (ptrdiff_t)stride : scaled;
            pairs += source >= 0 && source < (ptrdiff_t)size;
        }
    return pairs;
}

/* vecs vectors of images. */
#if defined(ODY_ISA_AVX512)
#define BUNDLE_VECS_FOR(rows) 2
#else
#define BUNDLE_VECS_FOR(rows) ((rows) <= 3 ? 2 : 1)
#endif

#endif

/* rows outputs of one pixel for vecs vectors of images: rows and vecs are constants wherever this is called. */
ODY_INLINE void K(bundle_tile)(const int rows, const int vecs, size_t channels, const real *a, size_t a_c, const real *b,
                               size_t b_c, const bundle_tap *tap, size_t taps, real *out, size_t out_row,
                               const real *row_bias, int carry, int last, int relu) {
    vec acc[GEMM_MR][2];
    if (carry) {
        UNROLL for (int r = 0; r < rows; r++)
            UNROLL for (int v = 0; v < vecs; v++) acc[r][v] = v_load(out + r * out_row + v * LANES);
    } else if (row_bias) {
        UNROLL for (int r = 0; r < rows; r++)
            UNROLL for (int v = 0; v < vecs; v++) acc[r][v] = v_splat(row_bias[r]);
    } else {
        UNROLL for (int r = 0; r < rows; r++)
            UNROLL for (int v = 0; v < vecs; v++) acc[r][v] = v_zero();
    }
    for (size_t c = 0; c < channels; c++, a += a_c, b += b_c)
        for (size_t i = 0; i < taps; i++) {
            const real *weight = a + tap[i].tap, *line = b + tap[i].source;
            vec bv[2];
            UNROLL for (int v = 0; v < vecs; v++) bv[v] = v_load(line + v * LANES);
            UNROLL for (int r = 0; r < rows; r++) {
                vec ar = v_splat(weight[r]);
                UNROLL for (int v = 0; v < vecs; v++) acc[r][v] = v_fma(ar, bv[v], acc[r][v]);
            }
        }
    if (last)
        UNROLL for (int r = 0; r < rows; r++)
            UNROLL for (int v = 0; v < vecs; v++) {
                acc[r][v] = v_add(acc[r][v], v_zero()); /* no negative zero */
                if (relu) acc[r][v] = K(relu_vec)(acc[r][v]);
            }
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int v = 0; v < vecs; v++) v_store(out + r * out_row + v * LANES, acc[r][v]);
}

#define BUNDLE_TILES(CASE)                                                                                             \
    CASE(1, 1) CASE(2, 1) CASE(3, 1) CASE(4, 1) CASE(5, 1) CASE(6, 1) CASE(1, 2) CASE(2, 2) CASE(3, 2)
#define BUNDLE_MORE_TILES(CASE)                                                                                        \
    CASE(7, 1) CASE(8, 1) CASE(9, 1) CASE(10, 1) CASE(11, 1) CASE(12, 1) CASE(13, 1) CASE(14, 1)                       \
    CASE(4, 2) CASE(5, 2) CASE(6, 2) CASE(7, 2) CASE(8, 2) CASE(9, 2) CASE(10, 2) CASE(11, 2) CASE(12, 2) CASE(13, 2)  \
    CASE(14, 2)

typedef void (*K(bundle_tile_fn))(size_t, const real *, size_t, const real *, size_t, const bundle_tap *, size_t, real *,
                                  size_t, const real *, int, int, int);
#define TILE_FUNCTION(rows, vecs)                                                                                      \
    static __attribute__((noinline)) void K(bundle_tile_##rows##x##vecs)(                                              \
        size_t channels, const real *a, size_t a_c, const real *b, size_t b_c, const bundle_tap *tap, size_t taps,     \
        real *out, size_t out_row, const real *row_bias, int carry, int last, int relu) {                              \
        K(bundle_tile)(rows, vecs, channels, a, a_c, b, b_c, tap, taps, out, out_row, row_bias, carry, last, relu);    \
    }
BUNDLE_TILES(TILE_FUNCTION)
#if defined(ODY_ISA_AVX512)
BUNDLE_MORE_TILES(TILE_FUNCTION)
#endif
#undef TILE_FUNCTION

static K(bundle_tile_fn) K(bundle_tile_for)(size_t rows, size_t vecs) {
    switch (GEMM_KEY(rows, vecs)) {
#define TILE_CASE(rows, vecs)                                                                                          \
    case GEMM_KEY(rows, vecs): return K(bundle_tile_##rows##x##vecs);
        BUNDLE_TILES(TILE_CASE)
#if defined(ODY_ISA_AVX512)
        BUNDLE_MORE_TILES(TILE_CASE)
#endif
#undef TILE_CASE
    }
    return NULL;
}

/* images rows of n pixels into n vectors of vecs*LANES; images that do not exist are zero. */
ODY_INLINE void K(to_lanes)(const real *from, ptrdiff_t image, size_t images, size_t n, size_t vecs, real *to) {
    for (size_t v = 0; v < vecs; v++)
        for (size_t x = 0; x < n; x += LANES) {
            const size_t left = n - x < LANES ? n - x : LANES;
            vec block[LANES];
            for (size_t i = 0; i < LANES; i++) {
                const real *place = from + (ptrdiff_t)(v * LANES + i) * image + x;
                block[i] = v * LANES + i >= images ? v_zero() : left == LANES ? v_load(place) : v_load_n(place, left, 0);
            }
            v_transpose(block);
            if (left == LANES)
                for (size_t i = 0; i < LANES; i++) v_store(to + ((x + i) * vecs + v) * LANES, block[i]);
            else
                for (size_t i = 0; i < left; i++) v_store(to + ((x + i) * vecs + v) * LANES, block[i]);
        }
}

ODY_INLINE void K(from_lanes)(const real *from, size_t n, size_t vecs, real *to, ptrdiff_t image, size_t images) {
    for (size_t v = 0; v < vecs; v++)
        for (size_t x = 0; x < n; x += LANES) {
            const size_t left = n - x < LANES ? n - x : LANES;
            vec block[LANES];
            for (size_t i = 0; i < LANES; i++) block[i] = v_load(from + ((x + i) * vecs + v) * LANES);
            v_transpose(block);
            for (size_t i = 0; i < LANES && v * LANES + i < images; i++) {
                real *place = to + (ptrdiff_t)(v * LANES + i) * image + x;
                if (left == LANES) v_store(place, block[i]);
                else v_store_n(place, block[i], left);
            }
        }
}

/* ---- which convolutions go this way ------------------------------------------------------------------------------- */

typedef struct K(bundle_plan) {
    conv_taps taps;            /* all taps of the kernel: sizes and strides */
    int backward;
    size_t vecs;
    size_t chunk, group;       /* pixels and tiles whose results wait at once */
    size_t source_elements, out_elements, row_taps, col_taps;
} K(bundle_plan);

static void K(plan_bundle)(const conv_taps *all, const K(conv_plan) *p, int backward, size_t images, K(bundle_plan) *b) {
    *b = (K(bundle_plan)){.taps = *all, .backward = backward};
    b->vecs = images >= BUNDLE_TWO ? BUNDLE_VECS_FOR(p->tile_rows) : 1;
    const size_t lanes = b->vecs * LANES, pixels = K(round_up)(all->grid_h * all->grid_w, LANES);
    b->source_elements = all->channels * (all->height * all->width + 1) * lanes;
    /* Chains that end at once are transposed back while they are near; others wait, enough of them to make use of the
     * weights. */
    b->chunk = p->blocks == 1 ? LANES : K(round_up)(64, LANES);
    if (b->chunk > pixels) b->chunk = pixels;
    b->group = BUNDLE_OUT / sizeof(real) / (p->tile_rows * b->chunk * lanes + 1);
    if (b->group < 1) b->group = 1;
    if (b->group > p->tiles) b->group = p->tiles;
    b->out_elements = b->group * p->tile_rows * b->chunk * lanes;
    b->row_taps = all->grid_h * all->rows;
    b->col_taps = all->grid_w * all->cols;
}

static size_t K(bundle_workspace)(const K(bundle_plan) *b) {
    const conv_taps *t = &b->taps;
    return (b->source_elements + b->out_elements) * sizeof(real) +
           (b->row_taps + b->col_taps + t->rows * t->cols) * sizeof(bundle_tap) + (t->grid_h + t->grid_w) * sizeof(size_t);
}

/* What one image costs, in multiply-adds of vectors, with images in the lanes: the products that are not of padding, and
 * the transpositions. */
static double K(bundle_cost)(const conv_taps *all, const ody_conv *v, int backward) {
    const double pairs =
        conv_axis_pairs(backward, all->grid_h, v->kernel_h, v->stride_y, v->padding_y, v->dilation_y, all->height) *
        conv_axis_pairs(backward, all->grid_w, v->kernel_w, v->stride_x, v->padding_x, v->dilation_x, all->width);
    const double m = (double)all->outputs, c = (double)all->channels;
    return (pairs * m * c + 7 * (c * (double)(all->height * all->width) + m * (double)(all->grid_h * all->grid_w))) / LANES;
}

/* The same with pixels in the lanes. */
static double K(planes_cost)(const conv_taps *t, const conv_planes *p) {
    const double vectors = (double)((t->grid_h * t->grid_w + LANES - 1) / LANES), c = (double)t->channels;
    const double copied = p->direct ? 0 : (double)p->channel_elements / (double)(p->images * p->band) * (double)t->grid_h;
    return vectors * (double)(t->rows * t->cols * t->outputs) * c + 3 * c * copied / (double)(t->grid_w < LANES ? t->grid_w : LANES);
}

/* ---- one bundle ---------------------------------------------------------------------------------------------------- */

typedef struct K(bundle_piece) {
    const real *source, *packed, *bias;
    real *out;
    size_t image, images, row, rows, tile, tile_end;
    int activation, with_padding;
} K(bundle_piece);

static void K(run_bundle)(const ody_conv *v, const K(conv_plan) *p, const K(bundle_plan) *b, const K(bundle_piece) *w,
                          void *workspace) {
    const conv_taps *t = &b->taps;
    const size_t lanes = b->vecs * LANES, rows_end = w->row + w->rows, taps = t->rows * t->cols;
    real *source = workspace, *out = source + b->source_elements;
    bundle_tap *row_taps = (bundle_tap *)(out + b->out_elements), *col_taps = row_taps + b->row_taps;
    bundle_tap *list = col_taps + b->col_taps;
    size_t *row_count = (size_t *)(list + taps), *col_count = row_count + t->grid_h;
    const int slow_activation = w->activation != ODY_IDENTITY && w->activation != ODY_RELU;

    /* Each row's and each column's taps, and the source rows that these rows meet. */
    ptrdiff_t low = (ptrdiff_t)t->height, high = 0;
    for (size_t y = w->row; y < rows_end; y++) {
        bundle_tap *own = row_taps + y * t->rows;
        row_count[y] = conv_axis_taps(b->backward, y, t->rows, v->stride_y, v->padding_y, v->dilation_y, t->height,
                                      w->with_padding, own);
        for (size_t i = 0; i < row_count[y]; i++)
            if (own[i].source >= 0) {
                if (own[i].source < low) low = own[i].source;
                if (own[i].source >= high) high = own[i].source + 1;
            }
    }
    for (size_t x = 0; x < t->grid_w; x++)
        col_count[x] = conv_axis_taps(b->backward, x, t->cols, v->stride_x, v->padding_x, v->dilation_x, t->width,
                                      w->with_padding, col_taps + x * t->cols);
    if (high < low) low = high = 0;
    const size_t pixels = (size_t)(high - low) * t->width, channel = (pixels + 1) * lanes; /* the last one is padding */
    for (size_t c = 0; c < t->channels; c++) {
        K(to_lanes)(w->source + (ptrdiff_t)w->image * t->source_image + (ptrdiff_t)c * t->source_c + low * (ptrdiff_t)t->width,
                    t->source_image, w->images, pixels, b->vecs, source + c * channel);
        for (size_t i = 0; i < lanes; i += LANES) v_store(source + c * channel + pixels * lanes + i, v_zero());
    }

    const size_t end = rows_end * t->grid_w, out_row = b->chunk * lanes;
    for (size_t first = w->row * t->grid_w; first < end; first += b->chunk) {
        const size_t some = end - first < b->chunk ? end - first : b->chunk;
        for (size_t tile0 = w->tile; tile0 < w->tile_end; tile0 += b->group) {
            const size_t tile1 = w->tile_end - tile0 < b->group ? w->tile_end : tile0 + b->group;
            for (size_t block = 0; block < p->blocks; block++) {
                const size_t c = block * p->block, left = t->channels - c, channels = left < p->block ? left : p->block;
                const real *weights = w->packed + c * p->tiles * taps * p->tile_rows;
                for (size_t tile = tile0; tile < tile1; tile++) {
                    const size_t m = tile * p->tile_rows, rows_left = t->outputs - m;
                    const K(bundle_tile_fn) f =
                        K(bundle_tile_for)(rows_left < p->tile_rows ? rows_left : p->tile_rows, b->vecs);
                    size_t y = first / t->grid_w, x = first % t->grid_w;
                    for (size_t i = 0; i < some; i++) {
                        size_t n = 0;
                        for (size_t r = 0; r < row_count[y]; r++) {
                            const bundle_tap row_tap = row_taps[y * t->rows + r];
                            const ptrdiff_t tap = row_tap.tap * (ptrdiff_t)t->cols;
                            const ptrdiff_t line = (row_tap.source - low) * (ptrdiff_t)t->width;
                            for (size_t s = 0; s < col_count[x]; s++, n++) {
                                const bundle_tap col_tap = col_taps[x * t->cols + s];
                                const int inside = row_tap.source >= 0 && col_tap.source >= 0;
                                list[n].tap = (tap + col_tap.tap) * (ptrdiff_t)p->tile_rows;
                                list[n].source = (inside ? line + col_tap.source : (ptrdiff_t)pixels) * (ptrdiff_t)lanes;
                            }
                        }
                        f(channels, weights + tile * channels * taps * p->tile_rows, taps * p->tile_rows,
                          source + c * channel, channel, list, n,
                          out + ((tile - tile0) * p->tile_rows * b->chunk + i) * lanes, out_row,
                          w->bias ? w->bias + m : NULL, block > 0, block + 1 == p->blocks, w->activation == ODY_RELU);
                        if (++x == t->grid_w) x = 0, y++;
                    }
                }
            }
            for (size_t m = tile0 * p->tile_rows; m < tile1 * p->tile_rows && m < t->outputs; m++) {
                real *row = out + (m - tile0 * p->tile_rows) * out_row;
                if (slow_activation) K(activate_row)(row, some * lanes, w->activation);
                K(from_lanes)(row, some, b->vecs,
                              w->out + (ptrdiff_t)w->image * t->out_image + (ptrdiff_t)m * t->out_m + (ptrdiff_t)first,
                              t->out_image, w->images);
            }
        }
    }
}
