/* Where a convolution reads and writes: integers only, the same for every element type and instruction set.
 *
 * The forward pass and the gradient of the input are one thing, a correlation: each output of a grid sums, over channels
 * and taps, a weight times an element of the source, whose place moves with the output's place:
 *
 *     out[m, y, x] = sum over (c, i, j) of weight[m, c, i, j] * source[c, y*stride_y + row_first + i*row_step,
 *                                                                         x*stride_x + col_first + j*col_step]
 *
 * and what lies outside the source is zero. For the gradient of the input the roles turn: the source is the gradient of
 * the output, the grid is the image. With a stride, each image element meets only the taps of its own residue, so the
 * image is taken apart into stride_y * stride_x grids, each a correlation of stride 1; no zero is ever inserted.
 */
#ifndef ODY_CONV_TAPS_H
#define ODY_CONV_TAPS_H

#include <odyssey/kernels.h>

typedef struct conv_taps {
    size_t outputs, channels;   /* of one group */
    size_t height, width;       /* of the source */
    size_t grid_h, grid_w;      /* of the outputs */
    size_t stride_y, stride_x;  /* source steps per grid step */
    size_t rows, cols;          /* taps */
    ptrdiff_t row_first, row_step, col_first, col_step;
    /* Strides, in elements: weight[m, c, i, j], source[image, c, row, col] (col 1), out[image, m, y, x]. */
    ptrdiff_t weight_first, weight_m, weight_c, weight_row, weight_col;
    ptrdiff_t source_image, source_c;
    ptrdiff_t out_first, out_image, out_m, out_row, out_col;
} conv_taps;

/* The source row of the first and the last tap at grid row 0, in ascending order. */
static inline ptrdiff_t conv_span_low(ptrdiff_t first, ptrdiff_t step, size_t taps) {
    return step < 0 ? first + (ptrdiff_t)(taps - 1) * step : first;
}
static inline ptrdiff_t conv_span_high(ptrdiff_t first, ptrdiff_t step, size_t taps) {
    return step < 0 ? first : first + (ptrdiff_t)(taps - 1) * step;
}

static inline size_t conv_gcd(size_t a, size_t b) {
    while (b) {
        size_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

static inline conv_taps conv_forward_taps(const ody_conv *v) {
    const ptrdiff_t kernel = (ptrdiff_t)(v->kernel_h * v->kernel_w);
    conv_taps t = {
        .outputs = v->outputs / v->groups,
        .channels = v->channels / v->groups,
        .height = v->height,
        .width = v->width,
        .grid_h = v->out_height,
        .grid_w = v->out_width,
        .stride_y = v->stride_y,
        .stride_x = v->stride_x,
        .rows = v->kernel_h,
        .cols = v->kernel_w,
        .row_first = -(ptrdiff_t)v->padding_y,
        .row_step = (ptrdiff_t)v->dilation_y,
        .col_first = -(ptrdiff_t)v->padding_x,
        .col_step = (ptrdiff_t)v->dilation_x,
        .weight_m = (ptrdiff_t)(v->channels / v->groups) * kernel,
        .weight_c = kernel,
        .weight_row = (ptrdiff_t)v->kernel_w,
        .weight_col = 1,
        .source_image = (ptrdiff_t)(v->channels * v->height * v->width),
        .source_c = (ptrdiff_t)(v->height * v->width),
        .out_image = (ptrdiff_t)(v->outputs * v->out_height * v->out_width),
        .out_m = (ptrdiff_t)(v->out_height * v->out_width),
        .out_row = (ptrdiff_t)v->out_width,
        .out_col = 1,
    };
    return t;
}

/* One axis of the gradient of the input: the image positions residue, residue + stride, ... meet the taps first_tap,
 * first_tap + tap_step, ...; the source position of a tap moves by one with the grid. */
typedef struct conv_residue {
    size_t grid, taps, first_tap, tap_step;
    ptrdiff_t first, step;
} conv_residue;

static inline conv_residue conv_residue_of(size_t size, size_t kernel, size_t stride, size_t padding, size_t dilation,
                                           size_t residue) {
    conv_residue r = {.grid = size > residue ? (size - residue + stride - 1) / stride : 0};
    r.tap_step = stride / conv_gcd(stride, dilation);
    while (r.first_tap < kernel && (residue + padding + r.first_tap * (stride - dilation % stride)) % stride != 0)
        r.first_tap++;
    r.taps = r.first_tap < kernel ? (kernel - r.first_tap + r.tap_step - 1) / r.tap_step : 0;
    r.first = ((ptrdiff_t)(residue + padding) - (ptrdiff_t)(r.first_tap * dilation)) / (ptrdiff_t)stride;
    r.step = -(ptrdiff_t)(r.tap_step * dilation / stride);
    return r;
}

/* The correlation of the image elements (y, x) with y % stride_y == residue_y and x % stride_x == residue_x. */
static inline conv_taps conv_backward_taps(const ody_conv *v, size_t residue_y, size_t residue_x) {
    const ptrdiff_t kernel = (ptrdiff_t)(v->kernel_h * v->kernel_w);
    const conv_residue y = conv_residue_of(v->height, v->kernel_h, v->stride_y, v->padding_y, v->dilation_y, residue_y);
    const conv_residue x = conv_residue_of(v->width, v->kernel_w, v->stride_x, v->padding_x, v->dilation_x, residue_x);
    conv_taps t = {
        .outputs = v->channels / v->groups,
        .channels = v->outputs / v->groups,
        .height = v->out_height,
        .width = v->out_width,
        .grid_h = y.grid,
        .grid_w = x.grid,
        .stride_y = 1,
        .stride_x = 1,
        .rows = y.taps,
        .cols = x.taps,
        .row_first = y.first,
        .row_step = y.step,
        .col_first = x.first,
        .col_step = x.step,
        .weight_first = (ptrdiff_t)(y.first_tap * v->kernel_w + x.first_tap),
        .weight_m = kernel,
        .weight_c = (ptrdiff_t)(v->channels / v->groups) * kernel,
        .weight_row = (ptrdiff_t)(y.tap_step * v->kernel_w),
        .weight_col = (ptrdiff_t)x.tap_step,
        .source_image = (ptrdiff_t)(v->outputs * v->out_height * v->out_width),
        .source_c = (ptrdiff_t)(v->out_height * v->out_width),
        .out_first = (ptrdiff_t)(residue_y * v->width + residue_x),
        .out_image = (ptrdiff_t)(v->channels * v->height * v->width),
        .out_m = (ptrdiff_t)(v->height * v->width),
        .out_row = (ptrdiff_t)(v->stride_y * v->width),
        .out_col = (ptrdiff_t)v->stride_x,
    };
    if (t.rows == 0 || t.cols == 0) { /* no tap reaches these: a sum of nothing */
        t.channels = 0;
        t.rows = t.cols = 1;
        t.row_first = t.col_first = t.row_step = t.col_step = 0;
    }
    return t;
}

/* The gradient of the input with all taps at once: sizes and strides only, for those who look up each tap's place. */
static inline conv_taps conv_backward_all_taps(const ody_conv *v) {
    ody_conv dense = *v;
    dense.stride_y = dense.stride_x = 1;
    return conv_backward_taps(&dense, 0, 0);
}

#endif
