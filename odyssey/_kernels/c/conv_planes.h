/* The source of a convolution, laid out so that every tap reads it contiguously.
 *
 * A vector holds LANES outputs, neighbours in the flattened grid. What one tap reads for them is contiguous once the
 * source's rows have the grid's width: so for each column of taps a copy of the source is made, shifted (and thinned, with
 * a horizontal stride) and cut to that width: a plane. A tap in another row then reads the same plane, some rows further
 * down. Thus a 5x5 kernel copies its source 5 times instead of the 25 of im2col, every vector is full whatever the image's
 * width, and padding is zeros in the planes that no kernel needs to know of.
 *
 *   phase   with a vertical stride, the rows of one residue: the taps of a phase share planes
 *   unit    what is laid out together: some rows of one image (a band), or, where images are too small to fill vectors,
 *           several images, flat: each tap has planes of its own, and images follow one another within them
 *   block   as many channels as are worked on at a time
 *
 * Planes of a unit: [channel][phase][column of taps][plane row][grid column]; flat: [channel][tap row][tap column][image]
 * [grid row][grid column]. A kernel of one column that needs no padding reads the source itself: direct.
 */

#ifndef ODY_CONV_PLAN
#define ODY_CONV_PLAN

#include "conv_taps.h"

typedef struct conv_planes {
    conv_taps taps;
    int direct, flat;
    size_t phases, residues;     /* row phases; taps from one to the next of a phase */
    size_t band, images;         /* grid rows and images of a unit */
    size_t pixels;               /* of a whole unit */
    size_t channel_elements;     /* of one channel of a unit */
    ptrdiff_t low, high;         /* source rows of the first and last tap, at grid row 0 */
    ptrdiff_t col_low;           /* source column of the lowest tap, at grid column 0 */
    size_t stage_rows, stage_sub, stage_pitch;
    int staged;                  /* the source needs a margin of zeros, or thinning */
} conv_planes;

/* The phase of a row of taps, the source row of its planes' first row at grid row 0, and how many plane rows below that
 * the tap reads. */
static inline void conv_tap_row(const conv_planes *p, size_t i, size_t *phase, ptrdiff_t *base, size_t *shift) {
    const conv_taps *t = &p->taps;
    if (p->flat) {
        *phase = i;
        *base = t->row_first + (ptrdiff_t)i * t->row_step;
        *shift = 0;
    } else if (t->stride_y == 1) {
        *phase = 0;
        *base = p->low;
        *shift = (size_t)(t->row_first + (ptrdiff_t)i * t->row_step - p->low);
    } else {
        *phase = i % p->residues;
        *base = t->row_first + (ptrdiff_t)*phase * t->row_step;
        *shift = i / p->residues * (p->residues * (size_t)t->row_step / t->stride_y);
    }
}

static inline size_t conv_phase_rows(const conv_planes *p, size_t phase, size_t band) {
    const conv_taps *t = &p->taps;
    if (p->flat) return band;
    if (t->stride_y == 1) return band + (size_t)(p->high - p->low);
    return band + (t->rows - 1 - phase) / p->residues * (p->residues * (size_t)t->row_step / t->stride_y);
}

/* Elements before the planes of a phase, within a channel of a unit. */
static inline size_t conv_phase_offset(const conv_planes *p, size_t phase) {
    size_t rows = 0;
    for (size_t f = 0; f < phase; f++) rows += conv_phase_rows(p, f, p->band);
    return rows * p->taps.cols * p->taps.grid_w * p->images;
}

static inline conv_planes conv_plan_planes(const conv_taps *taps, size_t band, size_t flat_images) {
    conv_planes p = {.taps = *taps, .flat = flat_images > 0, .band = band, .images = flat_images ? flat_images : 1};
    const conv_taps *t = &p.taps;
    p.low = conv_span_low(t->row_first, t->row_step, t->rows);
    p.high = conv_span_high(t->row_first, t->row_step, t->rows);
    p.col_low = conv_span_low(t->col_first, t->col_step, t->cols);
    const ptrdiff_t col_high = conv_span_high(t->col_first, t->col_step, t->cols);
    p.residues = t->stride_y == 1 ? 1 : t->stride_y / conv_gcd(t->stride_y, (size_t)t->row_step);
    p.phases = p.flat ? t->rows : p.residues < t->rows ? p.residues : t->rows;
    p.pixels = p.images * band * t->grid_w;
    p.channel_elements = conv_phase_offset(&p, p.phases);
    /* Source columns a row of the grid reads, and rows a unit does. */
    const ptrdiff_t right = (ptrdiff_t)((t->grid_w - 1) * t->stride_x) + col_high;
    const ptrdiff_t bottom = (ptrdiff_t)((t->grid_h - 1) * t->stride_y) + p.high;
    const int margin = p.col_low < 0 || right >= (ptrdiff_t)t->width || p.low < 0 || bottom >= (ptrdiff_t)t->height;
    p.staged = margin || t->stride_x != 1;
    p.direct = !margin && !p.flat && t->cols == 1 && t->stride_x == 1 && t->stride_y == 1 && t->grid_w == t->width &&
               p.col_low == 0;
    p.stage_rows = (band - 1) * t->stride_y + (size_t)(p.high - p.low) + 1;
    p.stage_sub = ((size_t)(right - p.col_low) + t->stride_x) / t->stride_x;
    p.stage_pitch = p.stage_sub * t->stride_x;
    if (p.direct) p.channel_elements = 0;
    return p;
}

#endif

/* rows rows of width elements, from_pitch apart, one after the other. Stores are whole vectors: they overrun into what is
 * written next, or into the slack behind the last plane. Vectors are read whole up to `end`. */
ODY_INLINE void K(copy_rows)(real *to, const real *from, ptrdiff_t from_pitch, size_t rows, size_t width,
                             const real *end) {
    const size_t reach = K(round_up)(width, LANES);
    size_t r = 0;
    if (width <= LANES) {
        for (; r < rows && from + LANES <= end; r++, to += width, from += from_pitch) v_store(to, v_load(from));
    } else if (width <= 2 * LANES) {
        for (; r < rows && from + 2 * LANES <= end; r++, to += width, from += from_pitch) {
            vec first = v_load(from), second = v_load(from + LANES);
            v_store(to, first);
            v_store(to + LANES, second);
        }
    } else {
        for (; r < rows && from + reach <= end; r++, to += width, from += from_pitch)
            for (size_t x = 0; x < width; x += LANES) v_store(to + x, v_load(from + x));
    }
    for (; r < rows; r++, to += width, from += from_pitch)
        for (size_t x = 0; x < width; x += LANES) {
            const size_t left = width - x < LANES ? width - x : LANES;
            v_store_n(to + x, v_load_n(from + x, left, 0), left);
        }
}

/* Every stride-th of n elements. */
ODY_INLINE void K(thin)(real *to, const real *from, size_t n, size_t stride) {
    if (stride == 2)
        for (size_t i = 0; i < n; i++) to[i] = from[2 * i];
    else
        for (size_t i = 0; i < n; i++) to[i] = from[i * stride];
}

/* The rows of one channel that a band reads, with their margins, columns sorted by residue. What lies in the margins is
 * zero already. */
static void K(stage_channel)(const conv_planes *p, const real *channel, ptrdiff_t first_row, real *stage) {
    const conv_taps *t = &p->taps;
    const ptrdiff_t height = (ptrdiff_t)t->height, width = (ptrdiff_t)t->width;
    const ptrdiff_t from = first_row < 0 ? 0 : first_row;
    const ptrdiff_t until = first_row + (ptrdiff_t)p->stage_rows < height ? first_row + (ptrdiff_t)p->stage_rows : height;
    if (t->stride_x == 1) {
        const ptrdiff_t left = p->col_low < 0 ? 0 : p->col_low;
        const ptrdiff_t right = p->col_low + (ptrdiff_t)p->stage_sub < width ? p->col_low + (ptrdiff_t)p->stage_sub : width;
        for (ptrdiff_t row = from; row < until; row++) {
            real *to = stage + (row - first_row) * (ptrdiff_t)p->stage_pitch + (left - p->col_low);
            const real *line = channel + row * width;
            ptrdiff_t x = left;
            for (; x + LANES <= right; x += LANES, to += LANES) v_store(to, v_load(line + x));
            if (x < right) v_store_n(to, v_load_n(line + x, (size_t)(right - x), 0), (size_t)(right - x));
        }
        return;
    }
    for (ptrdiff_t row = from; row < until; row++) {
        /* With one row of taps the others are never read. */
        if (t->rows == 1 && (size_t)(row - first_row) % t->stride_y != 0) continue;
        for (size_t residue = 0; residue < t->stride_x; residue++) {
            if (t->cols == 1 && residue != 0) continue;
            /* Places of this residue within the image: col_low + residue + i*stride_x. */
            ptrdiff_t first = p->col_low + (ptrdiff_t)residue, i = 0;
            if (first < 0) i = (-first + (ptrdiff_t)t->stride_x - 1) / (ptrdiff_t)t->stride_x;
            first += i * (ptrdiff_t)t->stride_x;
            if (first >= width) continue;
            size_t n = (size_t)((width - first + (ptrdiff_t)t->stride_x - 1) / (ptrdiff_t)t->stride_x);
            if (n + (size_t)i > p->stage_sub) n = p->stage_sub > (size_t)i ? p->stage_sub - (size_t)i : 0;
            K(thin)(stage + (row - first_row) * (ptrdiff_t)p->stage_pitch + (ptrdiff_t)(residue * p->stage_sub) + i,
                    channel + row * width + first, n, t->stride_x);
        }
    }
}

/* The planes of `channels` channels of one unit: images from `image`, grid rows from `row`. `end` is the source's. */
static void K(lay_planes)(const conv_planes *p, const real *source, size_t image, size_t images, size_t row, size_t rows,
                          size_t channels, real *planes, real *stage, const real *end) {
    const conv_taps *t = &p->taps;
    const size_t stage_elements = p->stage_rows * p->stage_pitch;
    const ptrdiff_t first_row = (ptrdiff_t)(row * t->stride_y) + p->low;
    const size_t width = t->grid_w;
    if (p->staged)
        for (size_t i = 0; i < stage_elements; i += LANES) v_store(stage + i, v_zero());
    for (size_t c = 0; c < channels; c++)
        for (size_t n = 0; n < images; n++) {
            const real *channel = source + (ptrdiff_t)(image + n) * t->source_image + (ptrdiff_t)c * t->source_c;
            const real *base = channel + first_row * (ptrdiff_t)t->width + p->col_low, *limit = end;
            ptrdiff_t pitch = (ptrdiff_t)t->width;
            if (p->staged) {
                K(stage_channel)(p, channel, first_row, stage);
                base = stage;
                pitch = (ptrdiff_t)p->stage_pitch;
                limit = stage + stage_elements + 2 * LANES;
            }
            real *to = planes + c * p->channel_elements;
            for (size_t f = 0; f < p->phases; f++) {
                const size_t plane_rows = conv_phase_rows(p, f, rows);
                const size_t plane = conv_phase_rows(p, f, p->band) * width * p->images;
                const ptrdiff_t top = p->flat || t->stride_y != 1
                                          ? t->row_first + (ptrdiff_t)f * t->row_step - p->low : 0;
                for (size_t j = 0; j < t->cols; j++, to += plane) {
                    const size_t col = (size_t)(t->col_first + (ptrdiff_t)j * t->col_step - p->col_low);
                    const real *from = base + top * pitch;
                    from += t->stride_x == 1 ? col : col % t->stride_x * p->stage_sub + col / t->stride_x;
                    if (!p->flat) {
                        K(copy_rows)(to, from, pitch * (ptrdiff_t)t->stride_y, plane_rows, width, limit);
                    } else { /* what follows in memory may be there already: exact stores */
                        real *place = to + n * rows * width;
                        K(copy_rows)(place, from, pitch * (ptrdiff_t)t->stride_y, plane_rows, width, from);
                    }
                }
            }
        }
}

/* How far into a unit's planes (or into the source, where they are direct) each (channel, tap) of a block begins. */
static void K(tap_offsets)(const conv_planes *p, size_t channels, ptrdiff_t *offset) {
    const conv_taps *t = &p->taps;
    for (size_t c = 0; c < channels; c++)
        for (size_t i = 0; i < t->rows; i++) {
            size_t phase, shift;
            ptrdiff_t base;
            conv_tap_row(p, i, &phase, &base, &shift);
            const size_t plane = conv_phase_rows(p, phase, p->band) * t->grid_w * p->images;
            for (size_t j = 0; j < t->cols; j++)
                *offset++ = p->direct ? (ptrdiff_t)c * t->source_c + (t->row_first + (ptrdiff_t)i * t->row_step) * (ptrdiff_t)t->width
                                      : (ptrdiff_t)(c * p->channel_elements + conv_phase_offset(p, phase) + j * plane +
                                                    shift * t->grid_w);
        }
}
