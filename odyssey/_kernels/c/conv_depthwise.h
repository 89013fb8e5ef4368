/* Depthwise convolution, a kernel of its own for each plane, and the gradient of its input: one channel in, one out, so a
 * product has nothing to share but the taps. Two ways, which shapes decide; the chain of an element is the same in both,
 * and as conv.h's, padding included.
 *
 *   wide    a vector holds neighbours of a row. A band of the plane is copied between margins of zeros, where every tap of
 *           every vector is one load, and a load serves all the output rows it meets: those of a tile.
 *   narrow  a vector holds one pixel of LANES planes, which are transposed in registers, and back: rows that fill no
 *           vector, and strides. Planes are numbered through images and channels, so the lanes are always full.
 */

#ifndef ODY_CONV_DEPTHWISE
#define ODY_CONV_DEPTHWISE

enum {
    DEPTHWISE_NARROW = 8,       /* results in a row up to which planes go in the lanes */
    DEPTHWISE_BAND = 24 << 10,  /* bytes of the source at hand, half of the first-level cache */
    DEPTHWISE_ROWS = 4,         /* output rows of a tile */
};

#if defined(ODY_ISA_AVX512)
#define DEPTHWISE_PIXELS 8 /* pixels whose chains run abreast */
#else
#define DEPTHWISE_PIXELS 4
#endif

static inline int conv_is_depthwise(const conv_taps *t, int strided) {
    return t->outputs == 1 && t->channels == 1 && !strided;
}

#endif

typedef struct K(depthwise_plan) {
    conv_taps taps;
    size_t channels, planes;     /* a plane's channel is its number % channels */
    int narrow;
    size_t band;                 /* grid rows at hand */
    ptrdiff_t low, high;         /* source rows of the first and last tap, at grid row 0 */
    ptrdiff_t first_col;         /* source column of the first of a row at hand */
    size_t pitch;                /* of a row at hand: in elements, narrow in vectors */
    size_t weight_pitch;         /* narrow: of a tap's weights, for all channels and the first again */
    size_t source_elements, out_elements;
} K(depthwise_plan);

static void K(plan_depthwise)(const conv_taps *t, size_t channels, size_t images, K(depthwise_plan) *p) {
    *p = (K(depthwise_plan)){.taps = *t, .channels = channels, .planes = images * channels};
    p->low = conv_span_low(t->row_first, t->row_step, t->rows);
    p->high = conv_span_high(t->row_first, t->row_step, t->rows);
    const ptrdiff_t low = conv_span_low(t->col_first, t->col_step, t->cols);
    const ptrdiff_t high = conv_span_high(t->col_first, t->col_step, t->cols);
    const ptrdiff_t last = (ptrdiff_t)((t->grid_w - 1) * t->stride_x) + high, width = (ptrdiff_t)t->width;
    const size_t left = low < 0 ? (size_t)-low : 0, right = last >= width ? (size_t)(last - width + 1) : 0;
    p->narrow = t->grid_w <= DEPTHWISE_NARROW || t->stride_x != 1 || t->stride_y != 1;
    p->weight_pitch = K(round_up)(channels + LANES, LANES);
    size_t row = left + t->width + right;
    if (p->narrow) {
        p->first_col = -(ptrdiff_t)left;
        p->pitch = row;
        row *= LANES;
    } else { /* one margin parts two rows */
        p->first_col = -(ptrdiff_t)K(round_up)(left, LANES);
        p->pitch = row = K(round_up)(t->width + (left > right ? left : right), LANES);
    }
    const size_t around = (size_t)(p->high - p->low) + 1, room = DEPTHWISE_BAND / sizeof(real) / row;
    size_t most = room > around ? (room - around) / t->stride_y + 1 : 1;
    if (most < DEPTHWISE_ROWS) most = DEPTHWISE_ROWS;
    if (most > t->grid_h) most = t->grid_h;
    const size_t bands = (t->grid_h + most - 1) / most;
    p->band = (t->grid_h + bands - 1) / bands;
    if (!p->narrow) p->band = (p->band + DEPTHWISE_ROWS - 1) / DEPTHWISE_ROWS * DEPTHWISE_ROWS;
    p->source_elements = ((p->band - 1) * t->stride_y + around) * row;
    if (p->narrow)
        p->out_elements = p->band * t->grid_w * LANES;
    else
        p->source_elements += (size_t)-p->first_col + K(round_up)(t->grid_w + (high > 0 ? (size_t)high : 0), LANES) + LANES;
    p->source_elements = K(round_up)(p->source_elements, 16);
}

static size_t K(depthwise_packed)(const K(depthwise_plan) *p) {
    return p->narrow ? (p->taps.rows * p->taps.cols + 1) * p->weight_pitch * sizeof(real) : 0;
}

static size_t K(depthwise_workspace)(const K(depthwise_plan) *p) {
    return (p->source_elements + p->out_elements) * sizeof(real);
}

/* Narrow: taps by channels, then the biases, and as many of the first channels again as a vector from the last may meet. */
static void K(pack_depthwise)(const K(depthwise_plan) *p, const real *weight, const real *bias, real *packed) {
    const size_t taps = p->taps.rows * p->taps.cols;
    for (size_t c = 0, from = 0; p->narrow && c < p->weight_pitch; c++, from = from + 1 == p->channels ? 0 : from + 1) {
        for (size_t i = 0; i < taps; i++) packed[i * p->weight_pitch + c] = weight[from * taps + i];
        packed[taps * p->weight_pitch + c] = bias ? bias[from] : 0;
    }
}

/* ---- wide --------------------------------------------------------------------------------------------------------- */

/* What a row of chains ends with, as conv_tile's: no zero is negative. */
ODY_INLINE vec K(depthwise_end)(vec acc, int relu) {
    acc = v_add(acc, v_zero());
    return relu ? K(relu_vec)(acc) : acc;
}

/* n columns of `tile` rows, a constant as are rows and cols; w holds the taps' weights. Source row s of a tile meets output
 * row r as tap s - r, so each output meets its taps in their order. */
ODY_INLINE void K(depthwise_tile)(const int tile, const int rows, const int cols, const vec *w, vec bias, int relu,
                                  const real *source, ptrdiff_t pitch, ptrdiff_t col_step, real *out, ptrdiff_t out_row,
                                  size_t n) {
    for (size_t x = 0; x < n; x += LANES) {
        vec acc[DEPTHWISE_ROWS];
        UNROLL for (int r = 0; r < tile; r++) acc[r] = bias;
        UNROLL for (int s = 0; s < tile + rows - 1; s++)
            UNROLL for (int j = 0; j < cols; j++) {
                const vec v = v_load(source + s * pitch + j * col_step + (ptrdiff_t)x);
                UNROLL for (int r = 0; r < tile; r++)
                    if (s - r >= 0 && s - r < rows) acc[r] = v_fma(w[(s - r) * cols + j], v, acc[r]);
            }
        UNROLL for (int r = 0; r < tile; r++) {
            const vec y = K(depthwise_end)(acc[r], relu);
            if (n - x >= LANES) v_store(out + r * out_row + (ptrdiff_t)x, y);
            else v_store_n(out + r * out_row + (ptrdiff_t)x, y, n - x);
        }
    }
}

/* `height` rows of outputs, whose taps' rows are neighbours, ascending as pitch does. */
ODY_INLINE void K(depthwise_sweep)(const int rows, const int cols, const real *weight, real bias, int relu,
                                   const real *source, ptrdiff_t pitch, ptrdiff_t col_step, real *out, ptrdiff_t out_row,
                                   size_t height, size_t n) {
    vec w[25];
    const vec start = v_splat(bias);
    UNROLL for (int i = 0; i < rows * cols; i++) w[i] = v_splat(weight[i]);
    for (; height >= 4; height -= 4, source += 4 * pitch, out += 4 * out_row)
        K(depthwise_tile)(4, rows, cols, w, start, relu, source, pitch, col_step, out, out_row, n);
    for (; height >= 2; height -= 2, source += 2 * pitch, out += 2 * out_row)
        K(depthwise_tile)(2, rows, cols, w, start, relu, source, pitch, col_step, out, out_row, n);
    if (height) K(depthwise_tile)(1, rows, cols, w, start, relu, source, pitch, col_step, out, out_row, n);
}

#define DEPTHWISE_SWEEP(size)                                                                                          \
    static __attribute__((noinline)) void K(depthwise_sweep_##size)(                                                   \
        const real *weight, real bias, int relu, const real *source, ptrdiff_t pitch, ptrdiff_t col_step, real *out,   \
        ptrdiff_t out_row, size_t height, size_t n) {                                                                  \
        K(depthwise_sweep)(size, size, weight, bias, relu, source, pitch, col_step, out, out_row, height, n);          \
    }
DEPTHWISE_SWEEP(3)
DEPTHWISE_SWEEP(5)
#undef DEPTHWISE_SWEEP

/* The same for any kernel and distance of taps: a load serves one output. */
static __attribute__((noinline)) void K(depthwise_any)(const conv_taps *t, const real *weight, real bias, int relu,
                                                       const real *source, ptrdiff_t pitch, real *out, size_t height) {
    const size_t n = t->grid_w;
    for (size_t y = 0; y < height; y += DEPTHWISE_ROWS) {
        const size_t tile = height - y < DEPTHWISE_ROWS ? height - y : DEPTHWISE_ROWS;
        for (size_t x = 0; x < n; x += LANES) {
            vec acc[DEPTHWISE_ROWS];
            UNROLL for (int r = 0; r < DEPTHWISE_ROWS; r++) acc[r] = v_splat(bias);
            const real *taps = weight;
            for (size_t i = 0; i < t->rows; i++)
                for (size_t j = 0; j < t->cols; j++) {
                    const vec w = v_splat(*taps++);
                    const real *from = source + (ptrdiff_t)x + ((ptrdiff_t)y + (ptrdiff_t)i * t->row_step) * pitch +
                                       (ptrdiff_t)j * t->col_step;
                    if (tile == DEPTHWISE_ROWS)
                        UNROLL for (int r = 0; r < DEPTHWISE_ROWS; r++) acc[r] = v_fma(w, v_load(from + r * pitch), acc[r]);
                    else
                        for (size_t r = 0; r < tile; r++) acc[r] = v_fma(w, v_load(from + (ptrdiff_t)r * pitch), acc[r]);
                }
            for (size_t r = 0; r < tile; r++)
                v_store_n(out + (y + r) * n + x, K(depthwise_end)(acc[r], relu), n - x < LANES ? n - x : LANES);
        }
    }
}

/* Source rows [first, first + count) of a plane, the margins left as they are: zeros. */
static void K(depthwise_copy)(const K(depthwise_plan) *p, const real *plane, ptrdiff_t first, size_t count, real *to) {
    const size_t width = p->taps.width;
    for (size_t r = 0; r < count; r++, to += p->pitch) {
        const ptrdiff_t row = first + (ptrdiff_t)r;
        const real *line = plane + row * (ptrdiff_t)width;
        size_t x = 0;
        if (row < 0 || row >= (ptrdiff_t)p->taps.height) {
            for (; x < width; x += LANES) v_store(to + x, v_zero());
            continue;
        }
        for (; width - x >= LANES; x += LANES) v_store(to + x, v_load(line + x));
        if (x < width) v_store(to + x, v_load_n(line + x, width - x, 0));
    }
}

static void K(depthwise_wide)(const K(depthwise_plan) *p, const real *weight, real bias, int relu, const real *plane,
                              size_t row, size_t rows, real *stage, real *out) {
    const conv_taps *t = &p->taps;
    real *zero = stage - p->first_col; /* of column 0 */
    K(depthwise_copy)(p, plane, (ptrdiff_t)row + p->low, rows + (size_t)(p->high - p->low), zero);
    const real *source = zero + (t->row_first - p->low) * (ptrdiff_t)p->pitch + t->col_first;
    ptrdiff_t pitch = (ptrdiff_t)p->pitch, out_row = (ptrdiff_t)t->grid_w;
    out += (ptrdiff_t)row * out_row;
    const int neighbours = t->row_step == 1 || t->row_step == -1;
    if (!neighbours || t->rows != t->cols || (t->rows != 3 && t->rows != 5)) {
        K(depthwise_any)(t, weight, bias, relu, source, pitch, out, rows);
        return;
    }
    if (t->row_step < 0) { /* from the last row up */
        source += (ptrdiff_t)(rows - 1) * pitch;
        out += (ptrdiff_t)(rows - 1) * out_row;
        pitch = -pitch;
        out_row = -out_row;
    }
    (t->rows == 3 ? K(depthwise_sweep_3) : K(depthwise_sweep_5))(weight, bias, relu, source, pitch, t->col_step, out,
                                                                 out_row, rows, t->grid_w);
}

/* ---- narrow ------------------------------------------------------------------------------------------------------- */

/* Source rows [first, first + count) of `planes` planes, pixel by pixel; rows outside the image are zeros. */
static void K(depthwise_gather)(const K(depthwise_plan) *p, const real *plane, size_t planes, ptrdiff_t first, size_t count,
                                real *to) {
    const conv_taps *t = &p->taps;
    const size_t width = t->width, pitch = p->pitch * LANES;
    const ptrdiff_t height = (ptrdiff_t)t->height, end = first + (ptrdiff_t)count;
    const ptrdiff_t from = first < 0 ? (end < 0 ? end : 0) : first < height ? first : height;
    const ptrdiff_t until = end < height ? (end > from ? end : from) : height > from ? height : from;
    for (ptrdiff_t row = first; row < end; row++)
        if (row < from || row >= until)
            for (size_t x = 0; x < pitch; x += LANES) v_store(to + (size_t)(row - first) * pitch + x, v_zero());
    if (until <= from) return;
    const size_t start = (size_t)from * width, stop = (size_t)until * width;
    to += (size_t)(from - first) * pitch + (size_t)-p->first_col * LANES;
    for (size_t at = start; at < stop; at += LANES) {
        size_t e = at, n = stop - at < LANES ? stop - at : LANES;
        if (n < LANES && stop - start >= LANES) e = stop - LANES, n = LANES; /* some once more */
        vec block[LANES];
        for (size_t k = 0; k < LANES; k++) {
            const real *place = plane + (ptrdiff_t)k * t->source_c + e;
            block[k] = k >= planes ? v_zero() : n == LANES ? v_load(place) : v_load_n(place, n, 0);
        }
        v_transpose(block);
        size_t column = (e - start) % width;
        real *pixel = to + (e - start) / width * pitch + column * LANES;
        for (size_t k = 0; k < n; k++) {
            v_store(pixel, block[k]);
            pixel += LANES;
            if (++column == width) column = 0, pixel += pitch - width * LANES;
        }
    }
}

/* n pixels of `planes` planes back to where they belong. */
static void K(depthwise_scatter)(const K(depthwise_plan) *p, const real *pixels, size_t n, size_t planes, real *out) {
    for (size_t at = 0; at < n; at += LANES) {
        size_t e = at, count = n - at < LANES ? n - at : LANES;
        if (count < LANES && n >= LANES) e = n - LANES, count = LANES;
        vec block[LANES];
        for (size_t k = 0; k < LANES; k++) block[k] = k < count ? v_load(pixels + (e + k) * LANES) : v_zero();
        v_transpose(block);
        for (size_t k = 0; k < planes; k++) {
            real *place = out + (ptrdiff_t)k * p->taps.out_m + e;
            if (count == LANES) v_store(place, block[k]);
            else v_store_n(place, block[k], count);
        }
    }
}

/* `pixels` neighbours of a row, a constant. */
ODY_INLINE void K(depthwise_pixels)(const int pixels, const K(depthwise_plan) *p, const real *weight, vec bias, int relu,
                                    const real *source, real *out) {
    const conv_taps *t = &p->taps;
    const ptrdiff_t x_step = (ptrdiff_t)t->stride_x * LANES, col_step = t->col_step * LANES;
    vec acc[DEPTHWISE_PIXELS];
    UNROLL for (int x = 0; x < pixels; x++) acc[x] = bias;
    for (size_t i = 0; i < t->rows; i++) {
        const real *from = source + (ptrdiff_t)i * t->row_step * (ptrdiff_t)p->pitch * LANES;
        for (size_t j = 0; j < t->cols; j++, from += col_step, weight += p->weight_pitch) {
            const vec w = v_load(weight);
            UNROLL for (int x = 0; x < pixels; x++) acc[x] = v_fma(w, v_load(from + x * x_step), acc[x]);
        }
    }
    UNROLL for (int x = 0; x < pixels; x++) v_store(out + x * LANES, K(depthwise_end)(acc[x], relu));
}

static void K(depthwise_narrow)(const K(depthwise_plan) *p, const real *weight, int relu, const real *source, size_t rows,
                                real *out) {
    const conv_taps *t = &p->taps;
    const vec bias = v_load(weight + t->rows * t->cols * p->weight_pitch);
    source += ((t->row_first - p->low) * (ptrdiff_t)p->pitch + t->col_first - p->first_col) * LANES;
    for (size_t y = 0; y < rows; y++) {
        const real *line = source + y * t->stride_y * p->pitch * LANES;
        for (size_t x = 0; x < t->grid_w; x += DEPTHWISE_PIXELS) {
            const real *from = line + x * t->stride_x * LANES;
            real *to = out + (y * t->grid_w + x) * LANES;
            const size_t left = t->grid_w - x;
#define PIXELS(n)                                                                                                      \
    case n: K(depthwise_pixels)(n, p, weight, bias, relu, from, to); break
            switch (left < DEPTHWISE_PIXELS ? left : DEPTHWISE_PIXELS) {
                PIXELS(1);
                PIXELS(2);
                PIXELS(3);
                PIXELS(4);
#if DEPTHWISE_PIXELS == 8
                PIXELS(5);
                PIXELS(6);
                PIXELS(7);
                PIXELS(8);
#endif
            }
#undef PIXELS
        }
    }
}

/* ---- a piece: planes [first, first + planes), rows [row, row + rows) of each ----------------------------------------- */

typedef struct K(depthwise_piece) {
    const real *source, *weight, *packed, *bias;
    real *out;
    size_t first, planes, row, rows;
    int activation;
} K(depthwise_piece);

static void K(run_depthwise)(const K(depthwise_plan) *p, const K(depthwise_piece) *w, real *workspace) {
    const conv_taps *t = &p->taps;
    const size_t taps = t->rows * t->cols, end = w->first + w->planes, step = p->narrow ? LANES : 1;
    real *pixels = workspace + p->source_elements;
    const int relu = w->activation == ODY_RELU, slow_activation = w->activation != ODY_IDENTITY && !relu;
    for (size_t i = 0; i < p->source_elements; i += LANES) v_store(workspace + i, v_zero());
    for (size_t plane = w->first; plane < end; plane += step) {
        const size_t planes = end - plane < step ? end - plane : step, channel = plane % p->channels;
        const real *source = w->source + (ptrdiff_t)plane * t->source_c;
        real *out = w->out + (ptrdiff_t)plane * t->out_m;
        for (size_t row = w->row, rows; row < w->row + w->rows; row += rows) {
            rows = w->row + w->rows - row < p->band ? w->row + w->rows - row : p->band;
            const size_t n = rows * t->grid_w;
            real *result = out + row * t->grid_w;
            if (p->narrow) {
                K(depthwise_gather)(p, source, planes, (ptrdiff_t)(row * t->stride_y) + p->low,
                                    (rows - 1) * t->stride_y + (size_t)(p->high - p->low) + 1, workspace);
                K(depthwise_narrow)(p, w->packed + channel, relu, workspace, rows, pixels);
                if (slow_activation) K(activate_row)(pixels, n * LANES, w->activation);
                K(depthwise_scatter)(p, pixels, n, planes, result);
            } else {
                K(depthwise_wide)(p, w->weight + channel * taps, w->bias ? w->bias[channel] : 0, relu, source, row, rows,
                                  workspace, out);
                if (slow_activation) K(activate_row)(result, n, w->activation);
            }
        }
    }
}
