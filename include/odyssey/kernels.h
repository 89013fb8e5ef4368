/* The kernel table: one slot per kernel, written once per element type, compiled once per instruction set.
 *
 * A kernel is a pure function over raw memory: no Python, no threads, no allocation, no global state. It takes one
 * struct that says where its operands lie. Five call shapes carry every family:
 *
 *   ody_map      element by element      exp, add, relu_backward, adam_step ...
 *   ody_rows     row by row              softmax, sum over the last axis, cross_entropy ...
 *   ody_columns  down the columns        sum over an axis that is not the last
 *   ody_gemm     matrix product          matmul, linear
 *   ody_conv     convolution, ody_pool   pooling
 *
 * Promises that hold for every slot (each slot's own contract stands above it):
 *   - the same bits on every instruction set: the vector is 16 float32 (8 float64) lanes wherever it runs, reductions
 *     fold a fixed number of accumulators in a fixed tree, fma is used exactly where the kernel's text says so;
 *   - operands need only the alignment of their element type; nothing past the last element is read or written;
 *   - an output may be the very same memory as an input of equal layout (in place) where "in place" is written, and
 *     may never overlap one in any other way;
 *   - subnormals are honoured, NaN and infinity follow IEEE 754 and NumPy.
 *
 * `ulp` in the contracts is the largest error found, in units in the last place of the exact result.
 */
#ifndef ODYSSEY_KERNELS_H
#define ODYSSEY_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    ODY_STREAM = 1u, /* outputs exceed the caches: use non-temporal stores */
};

enum ody_activation {
    ODY_IDENTITY,
    ODY_RELU,
    ODY_TANH,
    ODY_SIGMOID,
    ODY_GELU,
    ODY_SILU,
};

/* out[k][j] = f(in[0][j*step[0]], in[1][j*step[1]], ...; param)   for j in [0, n)
 * step is 1, or 0 in kernels of two inputs for an operand that is one value for all j (never for both). */
typedef struct ody_map {
    const void *in[4];
    void *out[3];
    ptrdiff_t step[4];
    size_t n;
    double param[8];
    unsigned flags;
} ody_map;
typedef void (*ody_map_fn)(const ody_map *);

/* For each of `rows` rows: `n` contiguous elements at in[i] + row*in_step[i] (bytes), results at out[k] +
 * row*out_step[k]. A result is again n elements, or one value, as the slot's contract says. */
typedef struct ody_rows {
    const void *in[4];
    void *out[3];
    ptrdiff_t in_step[4];
    ptrdiff_t out_step[3];
    size_t rows, n;
    double param[4];
    unsigned flags;
} ody_rows;
typedef void (*ody_rows_fn)(const ody_rows *);

/* in is (m, n), rows in_step bytes apart, a row contiguous; out is (n): a reduction over m for each column. */
typedef struct ody_columns {
    const void *in[2];
    void *out;
    ptrdiff_t in_step;
    size_t m, n;
    double param[2];
} ody_columns;
typedef void (*ody_columns_fn)(const ody_columns *);

/* c = activation(start + (alpha*a) b): a is (m, k), b is (k, n), c is (m, n). Strides in elements; c's columns are adjacent.
 * start is the bias (n values, the same for every row) where there is one, else beta*c, which is not read when beta is 0.
 * workspace: as many bytes as gemm_workspace asks for, 64-byte aligned. */
typedef struct ody_gemm {
    size_t m, n, k;
    const void *a, *b;
    void *c;
    ptrdiff_t a_row, a_col, b_row, b_col, c_row;
    const void *bias;
    double alpha, beta;
    int activation; /* enum ody_activation */
    void *workspace;
} ody_gemm;
typedef void (*ody_gemm_fn)(const ody_gemm *);
typedef size_t (*ody_gemm_workspace_fn)(const ody_gemm *);

/* A convolution, and the piece of it that one call computes. x is (batch, channels, height, width), weight is (outputs,
 * channels / groups, kernel_h, kernel_w), y is (batch, outputs, out_height, out_width), all contiguous. Forward reads x,
 * weight and bias and writes y; the gradient of the input reads y (the incoming gradient) and weight and writes x; the
 * gradient of the weight reads y and x and writes weight. Units of the piece are those that `..._sizes` counts. */
typedef struct ody_conv {
    size_t batch, channels, height, width, outputs, out_height, out_width;
    size_t kernel_h, kernel_w, stride_y, stride_x, padding_y, padding_x, dilation_y, dilation_x, groups;
    void *x, *weight, *y;
    const void *bias; /* (outputs), or NULL */
    int activation;   /* enum ody_activation */
    size_t group;              /* the piece: a group, */
    size_t image, images;      /* some images, */
    size_t row, rows;          /* some rows, or one slab, */
    size_t tile, tile_end;     /* some tiles of outputs (of input channels, for the input's gradient) */
    size_t channel, channel_end; /* and, for the weight's gradient, some input channels of the group */
    void *packed;    /* sizes.packed bytes that all pieces share: the packed weights, or the sums of the slabs */
    void *workspace; /* sizes.workspace bytes for this piece alone; both 64-byte aligned */
} ody_conv;
/* What a convolution needs and how it may be cut: `tiles` of outputs in a group, `rows` of every image or, for the weight's
 * gradient, slabs; 1 where rows may not be cut; images best at multiples of `images`. */
typedef struct ody_conv_sizes {
    size_t packed, workspace, tiles, rows, images;
} ody_conv_sizes;
typedef void (*ody_conv_fn)(const ody_conv *);
typedef void (*ody_conv_sizes_fn)(const ody_conv *, ody_conv_sizes *);

/* Pooling, plane by plane: planes is batch * channels, an image plane is (height, width), a result plane (out_height,
 * out_width), all contiguous, one after another. Forward: in[0] is the images, out the results. Backward: in[0] is the
 * incoming gradient, of the results' shape, out the gradient of the images; in[1] the images where the op asks for them.
 * workspace: as many bytes as pool_workspace asks for, 64-byte aligned; the global pools need none. */
typedef struct ody_pool {
    size_t planes, height, width, out_height, out_width;
    size_t kernel_h, kernel_w, stride_y, stride_x, padding_y, padding_x; /* padding is at most half the kernel */
    const void *in[2];
    void *out;
    void *workspace;
} ody_pool;
typedef void (*ody_pool_fn)(const ody_pool *);
typedef size_t (*ody_pool_workspace_fn)(const ody_pool *);

/* A slot pair: the same text compiled for float and for double. */
#define ODY_PAIR(type, name) type name##_f32, name##_f64

typedef struct ody_kernels {
    const char *name; /* "scalar", "avx2", "avx512", "neon" */

    /* ---- elementwise: elementwise.h. In place allowed on every input. ------------------------------------------ */

    /* out = in0 + in1, exact. */
    ODY_PAIR(ody_map_fn, add);
    /* out = e^in0, 1 ulp. exp(-inf) = 0, overflow gives inf, results below the normal range are subnormal. */
    ODY_PAIR(ody_map_fn, exp);

    /* ---- matrix product: gemm.h. c overlaps no input. ------------------------------------------------------------ */

    /* Every element of c is one chain acc = fma(alpha*a[i,l], b[l,j], acc), l ascending, from its start: the error is
     * within gamma_(k+1) sum |alpha a b|. k = 0 gives the start. NaN and inf travel as IEEE says; 0 * inf is NaN. */
    ODY_PAIR(ody_gemm_fn, gemm);
    /* Bytes of workspace that gemm needs for this product; depends on shapes and strides only. */
    ODY_PAIR(ody_gemm_workspace_fn, gemm_workspace);

    /* ---- convolution: conv.h, conv_weight.h. The result overlaps no input. ---------------------------------------- */

    /* y = activation(bias + weight * x): every element is one chain acc = fma(weight, x, acc) over (channel, kernel row,
     * kernel column) ascending, from the bias or from zero, padding included as zeros. `packed` holds what conv2d_pack
     * made of the weights. */
    ODY_PAIR(ody_conv_fn, conv2d);
    /* Packs the weights of the piece's group and tiles into `packed`. */
    ODY_PAIR(ody_conv_fn, conv2d_pack);
    ODY_PAIR(ody_conv_sizes_fn, conv2d_sizes);
    /* x = the gradient of the input: one chain acc = fma(weight, y, acc) from zero over (output, kernel row, kernel column)
     * ascending; taps that the stride keeps from an element are left out, those that fall outside y count as zeros. */
    ODY_PAIR(ody_conv_fn, conv2d_backward_input);
    ODY_PAIR(ody_conv_fn, conv2d_backward_input_pack);
    ODY_PAIR(ody_conv_sizes_fn, conv2d_backward_input_sizes);
    /* One slab of the gradient of the weight, into `weight` where there is one slab only, else into its place in `packed`:
     * (slabs, outputs, channels / groups, kernel_h, kernel_w), to be added up in order. Lanes are pixels; a chunk of
     * pixels is folded through the fixed tree, chunks are added in order. */
    ODY_PAIR(ody_conv_fn, conv2d_backward_weight);
    ODY_PAIR(ody_conv_sizes_fn, conv2d_backward_weight_sizes);

    /* ---- pooling: pooling.h. The result overlaps no input. -------------------------------------------------------- */

    /* The largest element of each window, exact; NaN if one is NaN. Padding never wins. */
    ODY_PAIR(ody_pool_fn, max_pool2d);
    /* in[1] = x. Each window's gradient is added to its first maximum in window order (its first NaN, if any), windows in
     * ascending order. */
    ODY_PAIR(ody_pool_fn, max_pool2d_backward);
    /* (sum over the window) / area, taps added in window order from zero; padding counts as zeros. */
    ODY_PAIR(ody_pool_fn, avg_pool2d);
    /* Each window's gradient / area, added to all its elements from zero, window rows ascending, then taps. */
    ODY_PAIR(ody_pool_fn, avg_pool2d_backward);
    ODY_PAIR(ody_pool_workspace_fn, pool_workspace);
    /* (sum of the plane) / (height * width): four accumulators and the fixed tree, out is one value a plane. */
    ODY_PAIR(ody_pool_fn, global_avg_pool2d);
    ODY_PAIR(ody_pool_fn, global_avg_pool2d_backward);
} ody_kernels;

#ifdef __cplusplus
}
#endif
#endif
