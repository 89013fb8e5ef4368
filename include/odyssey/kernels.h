/* The kernel table: one slot per kernel, written once per element type, compiled once per instruction set.
 *
 * A kernel is a pure function over raw memory: no Python, no threads, no allocation, no global state. It takes one
 * struct that says where its operands lie. These call shapes carry every family:
 *
 *   ody_map      element by element      exp, add, relu_backward, adam_step ...
 *   ody_rows     row by row              softmax, sum over the last axis, cross_entropy ...
 *   ody_columns  down the columns        sum over an axis that is not the last
 *   ody_gemm     matrix product          matmul, linear
 *   ody_conv     convolution, ody_pool   pooling
 *   ody_filter   rows of images          filter2d
 *   ody_attention                        attention
 *   ody_norm     group by group          batch_norm, group_norm, instance_norm
 *   ody_scatter  row by row of a table   embedding_backward;   ody_dropout   dropout
 *   ody_combine  token by token          moe_combine
 *   ody_hyper    token by token          hyper_pre, hyper_head;   ody_mixing   hyper_post
 *   ody_pairs    point by point          pairwise_distance
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
    ODY_PARTS = 16u, /* probes only: walk a few parts of the arrays side by side */
    /* Reductions of long sequences, chunk by chunk: ODY_CHUNK_BYTES of elements in each but the last. */
    ODY_PARTIAL = 2u, /* stop before the lanes are folded: a result is one vector (ODY_VECTOR_BYTES) of partials */
    ODY_CONTINUE = 8u, /* with ODY_PARTIAL, rows: go on from the lanes found there; what came before was whole blocks */
    ODY_GIVEN = 32u,   /* norms: mean and variance are given, not computed */
    ODY_FOLD = 4u,    /* the input is such partials, one vector a chunk and n of them, in the order of the chunks */
};

enum {
    ODY_VECTOR_BYTES = 64,
    ODY_CHUNK_BYTES = 65536,
    ODY_BLOCK_BYTES = 512,
    ODY_COLUMN_SCRATCH = 2048,
    ODY_NORM_COLUMNS = 256, /* groups that are columns, at most, in one call */
    ODY_NORM_SCRATCH = 5 * 256 * 8 + 32 * 2048, /* bytes of ody_norm's scratch */
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
 * step is 1, or 0 for an operand that is one value for all j. `param` is rounded to the element type by the kernel. */
typedef struct ody_map {
    const void *in[5];
    void *out[4];
    ptrdiff_t step[5];
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
typedef void (*ody_labelled_rows_fn)(const ody_rows *); /* in[1] points to an int64 a row */
typedef void (*ody_route_fn)(const ody_rows *); /* what is said of experts are param[0] int64 a row */
typedef void (*ody_rotary_fn)(const ody_rows *); /* in[1] and in[2] have param[0] elements a row, at most n / 2 */

/* in[0] is (m, n), rows in_step bytes apart, a row contiguous; in[1] and out are (n): a reduction over m for each column.
 * With ODY_PARTIAL out is the lanes, (lanes, n) with rows out_step bytes apart; with ODY_FOLD in[0] is a stack of such. */
typedef struct ody_columns {
    const void *in[2];
    void *out;
    ptrdiff_t in_step, out_step;
    size_t m, n;
    double param[4];
    unsigned flags;
    void *scratch; /* ODY_COLUMN_SCRATCH bytes for each vector of columns begun, 64-byte aligned */
} ody_columns;
typedef void (*ody_columns_fn)(const ody_columns *);

/* How b of a product lies: in strides, or packed (odyssey.pack): panels of ODY_PANEL_BYTES of reals across, one after
 * another, the last filled up with zeros; in a panel the rows of b one after another. ODY_BF16 has two rows side by
 * side, element by element, k rounded up to even. Or as a checkpoint has it: each column of b is a row of k adjacent numbers
 * of 16 bits, and b_col says, in such numbers, how far the next column begins. */
enum ody_format {
    ODY_STRIDED,
    ODY_PANELS, /* the reals themselves */
    ODY_BF16,
    ODY_F16,
    ODY_INT8, /* b = integer * scale, one scale a column */
    ODY_BF16_ROWS,
    ODY_F16_ROWS,
};
enum { ODY_PANEL_BYTES = 256 };

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
    int format;        /* enum ody_format. But for ODY_STRIDED alpha is 1, beta 0 and b_row is not read; of packed ones nor is b_col */
    const void *scale; /* ODY_INT8: n float32 */
} ody_gemm;
typedef void (*ody_gemm_fn)(const ody_gemm *);
typedef size_t (*ody_gemm_workspace_fn)(const ody_gemm *);

/* `rounds` passes over arrays of n elements, 64-byte aligned, n a multiple of 128; returns the work done, in floating-point
 * operations or bytes. */
typedef struct ody_probe {
    const void *in[2];
    void *out;
    size_t n, rounds;
    unsigned flags;
} ody_probe;
typedef double (*ody_probe_fn)(const ody_probe *);
/* A convolution, and the piece of it that one call computes. x is (batch, channels, height, width), weight is (outputs,
 * channels / groups, kernel_h, kernel_w), y is (batch, outputs, out_height, out_width), all contiguous. Forward reads x,
 * weight and bias and writes y; the gradient of the input reads y (the incoming gradient) and weight and writes x; the
 * gradient of the weight reads y and x and writes weight. Units of the piece are those that `..._sizes` counts. */
typedef struct ody_conv {
    size_t batch, channels, height, width, outputs, out_height, out_width;
    size_t kernel_h, kernel_w, stride_y, stride_x, padding_y, padding_x, dilation_y, dilation_x, groups;
    void *x, *weight, *y;
    const void *bias; /* (outputs), for the gradient of the input (channels), or NULL */
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
 * gradient, slabs; 1 where rows may not be cut; images best at multiples of `images`. Where `planes` is not 0, the
 * convolution is depthwise: groups are not cut one by one, the piece's images count planes, batch * groups of them, best at
 * multiples of `planes`, and all weights are packed at once. */
typedef struct ody_conv_sizes {
    size_t packed, workspace, tiles, rows, images, planes;
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

/* A filter over rows. For each of `rows` rows: n contiguous results at out + row * out_step bytes, out[j] = start + the sum
 * over (i, k), in ascending order, of weight[i][k] * in[row + i][j + k]. `in` has rows + kernel_h - 1 pointers, each to
 * n + kernel_w - 1 elements, and a row may stand in it several times; weight is (kernel_h, kernel_w), contiguous. With
 * ODY_CONTINUE out stands in for `start`. */
typedef struct ody_filter {
    const void *const *in;
    void *out;
    ptrdiff_t out_step;
    size_t rows, n, kernel_h, kernel_w;
    const void *weight;
    double start;
    unsigned flags;
} ody_filter;
typedef void (*ody_filter_fn)(const ody_filter *);

/* Attention of the heads that share one head of keys: query is (heads, queries, depth), key (keys, depth), value (keys,
 * value_depth), out (heads, queries, value_depth). Strides in elements; the last axes are contiguous. Query i sees the keys
 * up to keys - queries + i where causal. attn_mask, or NULL: one byte a key, or one real that is added to the score; strides
 * in bytes. The piece is the rows [row, row + rows) of the heads * queries, head after head.
 * workspace: as many bytes as attention_workspace asks for, 64-byte aligned. */
enum ody_mask {
    ODY_MASK_BYTES, /* not 0: the key takes part */
    ODY_MASK_ADD,
};
typedef struct ody_attention {
    size_t heads, queries, keys, depth, value_depth;
    const void *query, *key, *value;
    void *out;
    ptrdiff_t query_head, query_row, key_row, value_row, out_head, out_row;
    const void *attn_mask;
    ptrdiff_t mask_head, mask_row, mask_key;
    int mask_kind; /* enum ody_mask */
    int causal;
    double scale;
    void *most, *reciprocal; /* (heads, queries), or NULL: each row's largest score, and 1 / the sum of its weights */
    size_t row, rows;
    void *workspace;
} ody_attention;
typedef void (*ody_attention_fn)(const ody_attention *);

/* The gradients of such a group. grad is as out is; dquery (heads, queries, depth), dkey (keys, depth) and dvalue (keys,
 * value_depth) are contiguous. The piece is always the whole; forward.out, most and reciprocal are not used. */
typedef struct ody_attention_gradient {
    ody_attention forward; /* its workspace has as many bytes as attention_backward_workspace asks for */
    const void *grad;
    ptrdiff_t grad_head, grad_row;
    void *dquery, *dkey, *dvalue;
} ody_attention_gradient;
typedef void (*ody_attention_backward_fn)(const ody_attention_gradient *);
typedef size_t (*ody_attention_workspace_fn)(const ody_attention *);
/* One index drawn from n logits, n in [1, 2^32): the first, by ascending index, up to which the weights of the tokens kept
 * sum to more than `uniform`, in [0, 1), times their total. A weight is e^((logit - largest) * inverse), inverse rounded to
 * the logits' type. out: the index, or one of the negative codes. workspace: ODY_SAMPLE_BYTES(n), 64-byte aligned. */
typedef struct ody_sample {
    const void *logits;
    size_t n, k;
    double p, inverse, uniform;
    int64_t *out;
    void *workspace;
} ody_sample;
typedef void (*ody_sample_fn)(const ody_sample *);
enum {
    ODY_SAMPLE_NAN = -1,  /* a logit is NaN or +inf */
    ODY_SAMPLE_NONE = -2, /* all logits are -inf */
};
#define ODY_SAMPLE_BYTES(n) (((n) + 16) * 26 + 64)
/* Groups of elements to be normalised. A group is `runs` runs, run_step bytes apart, of `run` adjacent elements; groups
 * begin group_step bytes apart. x, grad and out lie alike. A run has one weight and one bias: those of run r of group g
 * stand at ((first + g) % period) * affine_group + r * affine_run bytes; NULL is 1 and 0. mean and variance are one value
 * a group: written unless NULL, or with ODY_GIVEN read, of group (first + g) % period. */
typedef struct ody_norm {
    const void *x, *grad, *weight, *bias;
    void *out, *mean, *variance;
    void *grad_sums, *product_sums; /* backward: one value a run, or one a group where affine_run is 0; grad_sums
                                     * not of runs of one element that are neighbours */
    ptrdiff_t group_step, run_step, affine_group, affine_run;
    size_t groups, runs, run, first, period;
    double eps;
    unsigned flags;
    void *scratch; /* for ..._columns: ODY_NORM_SCRATCH bytes, 64-byte aligned */
} ody_norm;
typedef void (*ody_norm_fn)(const ody_norm *);

/* Row i of out, for i in [0, rows), is the sum of the rows of grad that order[starts[i]] .. order[starts[i + 1] - 1] name. */
typedef struct ody_scatter {
    const void *grad;
    void *out;
    const int64_t *order, *starts;
    ptrdiff_t grad_step, out_step;
    size_t rows, n;
    unsigned flags;
} ody_scatter;
typedef void (*ody_scatter_fn)(const ody_scatter *);

/* `tokens` tokens that have k weighted rows of x each: weights and rows are (tokens, k), contiguous; x, grad and out are rows
 * of n. Where out is the gradient of x, `tokens` counts its rows, and the places t * k + j that name a row are those in order
 * from starts[row] to starts[row + 1] - 1. Steps in bytes. */
typedef struct ody_combine {
    const void *x, *weights, *grad;
    const int64_t *rows, *order, *starts;
    void *out;
    ptrdiff_t x_step, grad_step, out_step;
    size_t tokens, k, n;
    unsigned flags;
} ody_combine;
typedef void (*ody_combine_fn)(const ody_combine *);

/* Elements first .. first + n of an array, first a multiple of ODY_DROPOUT_BLOCK. */
enum { ODY_DROPOUT_BLOCK = 64 };
typedef struct ody_dropout {
    const void *in;
    void *out;
    size_t n;
    uint64_t first, seed, offset;
    uint32_t threshold; /* at least 1 */
    double scale;
    unsigned flags;
} ody_dropout;
typedef void (*ody_dropout_fn)(const ody_dropout *);

/* Sinkhorn-Knopp of `count` matrices (n, n), n in [2, ODY_SINKHORN_SMALL], contiguous, iterations >= 1. M is x * inverse_tau
 * less its maximum in exp, over the row's sum, + add, where logits; else x / (row's sum + eps). Then M /= column's sum + eps,
 * and (iterations - 1) times rows and columns. columns_first swaps rows and columns. A line whose divisor would be 0 stays as
 * it is. out may be x, or grad. residuals, or NULL: the largest |sum - 1| of rows, and of columns, a pair a matrix. */
enum { ODY_SINKHORN_SMALL = 8 };
typedef struct ody_sinkhorn_small {
    const void *x, *grad;
    void *out, *residuals;
    size_t count, n, iterations;
    int logits, columns_first;
    double inverse_tau, add, eps;
    void *workspace; /* backward: ODY_SINKHORN_WORKSPACE bytes, 64-byte aligned */
} ody_sinkhorn_small;
#define ODY_SINKHORN_WORKSPACE(n, iterations) (64 * ((n) * (n) * ((iterations) / 32 + 4) + 72 * (n)))
typedef void (*ody_sinkhorn_small_fn)(const ody_sinkhorn_small *);

/* One step for one matrix (m, n), and the piece of it that one call computes: rows [row, row + rows), from a multiple of
 * ODY_SINKHORN_CHUNK on. The result so far is a u v, u (m) and v (n) the factors of rows and columns. Steps over rows leave
 * sums down the columns in partial, (chunks, n), which steps over columns, always whole, add up in order. `drift`, m / n or 1,
 * keeps the factors of matrices that are not square where they are. What else there is, each slot's contract says. */
enum { ODY_SINKHORN_CHUNK = 64, ODY_SINKHORN_FEW = 8 };
typedef struct ody_sinkhorn {
    const void *a, *grad;
    void *out;
    size_t m, n, row, rows;
    void *u, *v, *u_next, *v_next; /* factors before a step and after it; may be the same */
    void *partial, *residuals, *row_by;
    void *u_grad, *v_grad, *terms, *row_terms, *column_terms, *row_sums, *column_sums;
    size_t count;
    int logits, joins, *far;
    double inverse_tau, add, eps, drift, column_drift, relaxation;
    unsigned flags;
} ody_sinkhorn;
typedef void (*ody_sinkhorn_fn)(const ody_sinkhorn *);

/* One step of entropic transport between weights a (m) and b (n) at a cost (m, n), rows [row, row + rows) of it, as above:
 * the plan is a b exp(f + g - cost / reg). w is g + log b, weights f + log a. relaxation is 1, or below where the plan's sums
 * may differ from a and b. line: n elements. */
typedef struct ody_transport {
    const void *cost, *a, *b;
    void *plan;
    size_t m, n, row, rows;
    void *f, *g, *w, *weights, *partial, *line;
    double reg, relaxation, scale, *error;
    int *lost;
    unsigned flags;
} ody_transport;
typedef void (*ody_transport_fn)(const ody_transport *);
/* Hyper-connections: a token has `streams` rows of `hidden` elements, which make one vector x. Its `outputs` projections on
 * the rows of fn say how the streams are mixed. Everything is contiguous; `group` tokens are worked on at a time.
 *   ODY_HYPER_DEFAULT, ODY_HYPER_PAPER   outputs = (2 + streams) streams: those of pre, post and comb, one after another
 *   ODY_HYPER_HEAD                       outputs = streams: those of pre alone; scale has one element, post and comb none */
enum ody_hyper_kind { ODY_HYPER_DEFAULT, ODY_HYPER_PAPER, ODY_HYPER_HEAD };
enum { ODY_MOST_STREAMS = 8 };
typedef struct ody_hyper {
    size_t tokens, streams, hidden, iterations, group;
    int kind; /* enum ody_hyper_kind */
    double eps, norm_eps;
    const void *x, *fn, *base, *scale; /* (tokens, streams, hidden), (outputs, streams * hidden), (outputs), (3) or (1) */
    void *collapsed;                   /* (tokens, hidden) */
    void *post, *comb;                 /* (tokens, streams), (tokens, streams, streams) */
    void *mix;                         /* (tokens, outputs): written by the forward unless NULL, read by the backward */
    const void *grad_collapsed, *grad_post, *grad_comb; /* the last two NULL for zeros */
    void *dx;       /* as x, or NULL */
    void *dproduct; /* (tokens, outputs): the gradient of fn · x */
    void *terms;    /* (tokens, outputs + elements of scale): what a token adds to the gradients of base and scale */
    void *workspace; /* hyper_workspace bytes, 64-byte aligned */
} ody_hyper;
typedef void (*ody_hyper_fn)(const ody_hyper *);
typedef size_t (*ody_hyper_workspace_fn)(const ody_hyper *, int backward);

/* Streams mixed anew: f is (tokens, hidden), x and out (tokens, streams, hidden), post (tokens, streams), comb (tokens,
 * streams, streams), all contiguous; the gradients as what they are of. A gradient that is NULL is left out. */
typedef struct ody_mixing {
    size_t tokens, streams, hidden;
    const void *f, *x, *post, *comb, *grad;
    void *out, *df, *dx, *dpost, *dcomb;
    unsigned flags;
} ody_mixing;
typedef void (*ody_mixing_fn)(const ody_mixing *);
/* Points x, (rows, n), against points y, (columns, n), rows x_step and y_step bytes apart, a row contiguous; out is (rows,
 * columns). x_size, x_gap, y_size and y_gap: one value a point, as the slot's contract says. Gradients: grad is (rows,
 * columns), grad_step and grad_column bytes apart, out is (rows, n), and sizes and gaps are not read. */
typedef struct ody_pairs {
    const void *x, *y, *x_size, *x_gap, *y_size, *y_gap, *grad;
    void *out;
    ptrdiff_t x_step, y_step, out_step, grad_step, grad_column;
    size_t rows, columns, n;
    double param[2];
} ody_pairs;
typedef void (*ody_pairs_fn)(const ody_pairs *);

/* A slot pair: the same text compiled for float and for double. */
#define ODY_PAIR(type, name) type name##_f32, name##_f64

typedef struct ody_kernels {
    const char *name; /* "scalar", "avx2", "avx512", "neon" */

    /* ---- elementwise: elementwise.h. In place allowed on every input. n = 0 does nothing. ----------------------- */

    /* out = in0 + in1, in0 - in1, in0 * in1, in0 / in1: correctly rounded. */
    ODY_PAIR(ody_map_fn, add);
    ODY_PAIR(ody_map_fn, subtract);
    ODY_PAIR(ody_map_fn, multiply);
    ODY_PAIR(ody_map_fn, divide);
    /* The smaller, the larger of in0 and in1: exact. NaN where either is; in1 where they are equal, so of two zeros too. */
    ODY_PAIR(ody_map_fn, minimum);
    ODY_PAIR(ody_map_fn, maximum);
    /* out = in0 ^ in1, 1 ulp. C's pow: x^0 = 1^y = 1 for NaN too, NaN for in0 < 0 unless in1 is an integer. */
    ODY_PAIR(ody_map_fn, power);
    /* out = param0 * in0: correctly rounded. */
    ODY_PAIR(ody_map_fn, scale);
    /* out = fma(param0, in0, in1): correctly rounded. */
    ODY_PAIR(ody_map_fn, axpy);
    /* out = fma(in0, in1, in2): correctly rounded. */
    ODY_PAIR(ody_map_fn, fma);
    /* out = e^in0, 1 ulp. exp(-inf) = 0, overflow gives inf, results below the normal range are subnormal. */
    ODY_PAIR(ody_map_fn, exp);
    /* out = ln in0, log2 in0, 1 ulp; log2 of a power of two is exact. -inf at 0 of either sign, NaN below. */
    ODY_PAIR(ody_map_fn, log);
    ODY_PAIR(ody_map_fn, log2);
    /* The square root (NaN below 0, -0 at -0) and 1 / in0: correctly rounded. */
    ODY_PAIR(ody_map_fn, sqrt);
    ODY_PAIR(ody_map_fn, reciprocal);
    /* sin in0, cos in0, 1 ulp for every finite in0; NaN at the infinities. */
    ODY_PAIR(ody_map_fn, sin);
    ODY_PAIR(ody_map_fn, cos);
    /* out = erf(in0), 1 ulp. */
    ODY_PAIR(ody_map_fn, erf);
    /* out = in0 * 2/sqrt(pi) * e^(-in1^2), 3 ulp. */
    ODY_PAIR(ody_map_fn, erf_backward);
    /* out = min(max(in0, param0), param1): exact, NaN stays NaN. The params are not NaN. */
    ODY_PAIR(ody_map_fn, clip);
    /* out = in0 where param0 <= in1 <= param1, else 0: exact. */
    ODY_PAIR(ody_map_fn, clip_backward);

    /* ---- activations: activations.h. In place allowed on every input. NaN in gives NaN out. Backwards: in0 is the
     * incoming gradient, in1 the forward's input; a NaN in in1 gives NaN unless the comparison written decides.
     * Infinities give the limit: silu(-inf) = -0. ------------------------------------------------------------------ */

    /* 0 where in0 < 0, else in0: exact, relu(-0) = -0. Backward: 0 where in1 <= 0, else in0. */
    ODY_PAIR(ody_map_fn, relu);
    ODY_PAIR(ody_map_fn, relu_backward);
    /* min(relu(in0), 6): exact. Backward: in0 where 0 < in1 < 6, else 0. */
    ODY_PAIR(ody_map_fn, relu6);
    ODY_PAIR(ody_map_fn, relu6_backward);
    /* min(max(in0, -1), 1): exact. Backward: in0 where |in1| < 1, else 0. */
    ODY_PAIR(ody_map_fn, hard_tanh);
    ODY_PAIR(ody_map_fn, hard_tanh_backward);
    /* min(max(in0 + 3, 0), 6) / 6, 2 ulp. Backward: in0 / 6 where |in1| < 3, else 0, 1 ulp. */
    ODY_PAIR(ody_map_fn, hard_sigmoid);
    ODY_PAIR(ody_map_fn, hard_sigmoid_backward);
    /* in0 * hard_sigmoid(in0), 3 ulp. Backward: 0 where in1 <= -3, in0 where in1 >= 3, else
     * in0 * (in1/3 + 1/2), 3 ulp. */
    ODY_PAIR(ody_map_fn, hard_swish);
    ODY_PAIR(ody_map_fn, hard_swish_backward);
    /* in0 where in0 > 0, else param0 * in0: correctly rounded. Backward: in0 where in1 > 0, else param0 * in0. */
    ODY_PAIR(ody_map_fn, leaky_relu);
    ODY_PAIR(ody_map_fn, leaky_relu_backward);
    /* leaky_relu with the slope in1. Backward: the slope in in2. prelu_weight_terms: 0 where in1 > 0, else in0 * in1,
     * what each element adds to the slope's gradient. Correctly rounded. */
    ODY_PAIR(ody_map_fn, prelu);
    ODY_PAIR(ody_map_fn, prelu_backward);
    ODY_PAIR(ody_map_fn, prelu_weight_terms);
    /* in0 where in0 > 0, else param0 * (e^in0 - 1), 2 ulp. Backward: in0 where in1 > 0, else in0 * param0 * e^in1,
     * 2 ulp. */
    ODY_PAIR(ody_map_fn, elu);
    ODY_PAIR(ody_map_fn, elu_backward);
    /* elu with Klambauer's alpha, times his scale, 2 ulp. Backward likewise, 3 ulp. */
    ODY_PAIR(ody_map_fn, selu);
    ODY_PAIR(ody_map_fn, selu_backward);
    /* 1 / (1 + e^-in0), 1 ulp. Backward: in0 * in1 * (1 - in1) with in1 the forward's result, 1 ulp. */
    ODY_PAIR(ody_map_fn, sigmoid);
    ODY_PAIR(ody_map_fn, sigmoid_backward);
    /* tanh in0, 1 ulp. Backward: in0 * (1 - in1^2) with in1 the forward's result, 1 ulp. */
    ODY_PAIR(ody_map_fn, tanh);
    ODY_PAIR(ody_map_fn, tanh_backward);
    /* in0 * sigmoid(in0), 2 ulp. Backward: in0 * its derivative at in1, 5 ulp of the larger of the derivative's two terms. */
    ODY_PAIR(ody_map_fn, silu);
    ODY_PAIR(ody_map_fn, silu_backward);
    /* silu(in0) * in1, 3 ulp. Backward, all steps 1 and not in place: out0 = in0 in2 silu'(in1), out1 = in0 silu(in1), with in0
     * the incoming gradient; 7 ulp of the larger of the derivative's two terms, and 3 ulp. */
    ODY_PAIR(ody_map_fn, swiglu);
    ODY_PAIR(ody_map_fn, swiglu_backward);
    /* in0 * Phi(in0), Phi the normal distribution's function, 2 ulp; in float32 64 ulp where the result is below 2^-100.
     * Backward likewise, 4 ulp of the larger term. */
    ODY_PAIR(ody_map_fn, gelu);
    ODY_PAIR(ody_map_fn, gelu_backward);
    /* in0/2 * (1 + tanh(sqrt(2/pi) (in0 + 0.044715 in0^3))), 2 ulp. Backward likewise, 6 ulp of the larger term. */
    ODY_PAIR(ody_map_fn, gelu_tanh);
    ODY_PAIR(ody_map_fn, gelu_tanh_backward);
    /* in0 * tanh(log(1 + e^in0)), 2 ulp. Backward likewise, 6 ulp of the larger term. */
    ODY_PAIR(ody_map_fn, mish);
    ODY_PAIR(ody_map_fn, mish_backward);
    /* log(1 + e^(param0 in0)) / param0, 2 ulp for a param0 that is a power of two; in0 where param0 in0 > param1.
     * Backward: in0 * sigmoid(param0 in1), 2 ulp; in0 where param0 in1 > param1. */
    ODY_PAIR(ody_map_fn, softplus);
    ODY_PAIR(ody_map_fn, softplus_backward);

    /* ---- optimizer steps: optim.h. out[0] is in[0], the parameter, and the other outs are the ins from in[2] on, the
     * state: always in place, all steps 1. in[1], the gradient, overlaps nothing. Division and square root are exact;
     * the formulas are in order, each fma one rounding. ----------------------------------------------------------- */

    /* param = lr, weight_decay.
     *   g = fma(weight_decay, in0, in1), or in1 when weight_decay is 0;   in0 = fma(-lr, g, in0) */
    ODY_PAIR(ody_map_fn, sgd_step);
    /* State: momentum buffer. param = lr, weight_decay, momentum, 1 - dampening, nesterov, first (0 or not).
     *   g as above;   buffer = fma(momentum, buffer, (1 - dampening) * g), or g when first
     *   in0 = fma(-lr, buffer, in0), or fma(-lr, fma(momentum, buffer, g), in0) when nesterov */
    ODY_PAIR(ody_map_fn, sgd_momentum_step);
    /* State: the averages of gradient and squared gradient. param = lr / (1 - beta1^step), 1 - beta1, 1 - beta2,
     * 1 / sqrt(1 - beta2^step), eps, weight_decay (adamw: lr * weight_decay).
     *   adam:  g = fma(weight_decay, in0, in1), or in1 when weight_decay is 0
     *   adamw: g = in1;  in0 = fma(-param5, in0, in0)
     *   average = fma(param1, g, fma(-param1, average, average))
     *   square  = fma(param2, g * g, fma(-param2, square, square))
     *   in0     = fma(-param0, average / fma(sqrt(square), param3, param4), in0) */
    ODY_PAIR(ody_map_fn, adam_step);
    ODY_PAIR(ody_map_fn, adamw_step);

    /* State: the average of the squared gradient; centered: then the gradient's own average; momentum: then the buffer.
     * param = lr, weight_decay, 1 - alpha, eps, momentum.
     *   g as in sgd_step;   square = fma(param2, g * g, fma(-param2, square, square))
     *   centered: average = fma(param2, g, fma(-param2, average, average)), and below max(0, fma(-average, average,
     *   square)) for square
     *   direction = g / (sqrt(square) + eps);   in0 = fma(-lr, direction, in0), or with momentum
     *   buffer = fma(momentum, buffer, direction), in0 = fma(-lr, buffer, in0) */
    ODY_PAIR(ody_map_fn, rmsprop_step);
    ODY_PAIR(ody_map_fn, rmsprop_momentum_step);
    ODY_PAIR(ody_map_fn, rmsprop_centered_step);
    ODY_PAIR(ody_map_fn, rmsprop_centered_momentum_step);
    /* State: the sum of the squared gradients. param = lr, weight_decay, eps.
     *   g as in sgd_step;   sum = fma(g, g, sum);   in0 = fma(-lr, g / (sqrt(sum) + eps), in0) */
    ODY_PAIR(ody_map_fn, adagrad_step);

    /* ---- matrix product: gemm.h. c overlaps no input. ------------------------------------------------------------ */

    /* Every element of c is one chain acc = fma(alpha*a[i,l], b[l,j], acc), l ascending, from its start: the error is
     * within gamma_(k+1) sum |alpha a b|. k = 0 gives the start. NaN and inf travel as IEEE says; 0 * inf is NaN.
     * Packed and narrow numbers are widened exactly first. ODY_INT8: the chain is of a and the integers, from zero; its end is
     * multiplied by the scale, or with a bias fma(end, scale, bias). Formats but ODY_PANELS are for float32 alone. */
    ODY_PAIR(ody_gemm_fn, gemm);
    /* Bytes of workspace that gemm needs for this product; depends on shapes and strides only. */
    ODY_PAIR(ody_gemm_workspace_fn, gemm_workspace);

    /* ---- the machine's limits: probe.h ---------------------------------------------------------------------------- */

    /* As many fused multiply-adds as the registers allow, n unused; writes one vector so that none can be left out. */
    ODY_PAIR(ody_probe_fn, fma_probe);
    /* Reads in0 and adds it up; writes one vector. */
    ODY_PAIR(ody_probe_fn, read_probe);
    /* Fills out; copies in0 to out; out = in0 + in1. No overlap. */
    ODY_PAIR(ody_probe_fn, write_probe);
    ODY_PAIR(ody_probe_fn, copy_probe);
    ODY_PAIR(ody_probe_fn, add_probe);
    /* ---- reductions: reductions.h. n >= 1 (m >= 1). A result has the same bits from rows and from columns, and whether
     * its sequence was reduced at once or in chunks. u is the type's unit roundoff, 2^-24 or 2^-53; errors are relative
     * to the result of the terms' magnitudes and hold for sequences of at most a chunk. A NaN result is the positive
     * quiet NaN. Outputs overlap nothing. -------------------------------------------------------------------------- */

    /* out0 = sum(in0) / param0: 140 u. A sum of nothing but -0 is -0. */
    ODY_PAIR(ody_rows_fn, sum_rows);
    ODY_PAIR(ody_columns_fn, sum_columns);
    /* out0 = sqrt(sum(in0^2)): 71 u. No scaling: squares overflow to inf and underflow to 0. */
    ODY_PAIR(ody_rows_fn, norm_rows);
    ODY_PAIR(ody_columns_fn, norm_columns);
    /* out0 = sum((in0 - in1)^2) / param0, in1 one value a row (a column): 143 u for exact in1. */
    ODY_PAIR(ody_rows_fn, deviations_rows);
    ODY_PAIR(ody_columns_fn, deviations_columns);
    /* out0 = log(sum(e^in0)), in1 the maximum of in0, one value a row (a column). -inf for nothing but -inf, inf where
     * there is inf and no NaN. */
    ODY_PAIR(ody_rows_fn, logsumexp_rows);
    ODY_PAIR(ody_columns_fn, logsumexp_columns);
    /* out0 = the largest, the smallest element of in0: exact; NaN if there is one. */
    ODY_PAIR(ody_rows_fn, max_rows);
    ODY_PAIR(ody_columns_fn, max_columns);
    ODY_PAIR(ody_rows_fn, min_rows);
    ODY_PAIR(ody_columns_fn, min_columns);
    /* out0, int64: where the first largest, first smallest element of in0 stands; the first NaN if there is one. Rows:
     * out1, unless NULL, is that element. Columns: m < 2^31. Neither ODY_PARTIAL nor ODY_FOLD. */
    ODY_PAIR(ody_rows_fn, argmax_rows);
    ODY_PAIR(ody_columns_fn, argmax_columns);
    ODY_PAIR(ody_rows_fn, argmin_rows);
    ODY_PAIR(ody_columns_fn, argmin_columns);
    /* out0 = sum(in0 * in1), both n elements a row, one fma a term: 140 u. */
    ODY_PAIR(ody_rows_fn, dot);
    /* out0[row][j] = in0[j][row]: in_step[0] is from one j to the next, out_step[0] from one row to the next. */
    ODY_PAIR(ody_rows_fn, transpose);

    /* ---- softmax: softmax.h. Results are rows of n; in place allowed on every input. n = 0 writes nothing. A NaN or +inf
     * in a row of in0 makes the row NaN, and so does a row of nothing but -inf. ----------------------------------- */

    /* out0 = exp(in0 - max) / sum(exp(in0 - max)), by the sum's reciprocal. Where in0 - max is exact: 4 ulp. */
    ODY_PAIR(ody_rows_fn, softmax);
    /* out0 = in0 - max - log(sum(exp(in0 - max))). */
    ODY_PAIR(ody_rows_fn, log_softmax);
    /* out0 = in1 (in0 - sum(in0 in1)): in0 the incoming gradient, in1 softmax's result. */
    ODY_PAIR(ody_rows_fn, softmax_backward);
    /* out0 = in0 - exp(in1) sum(in0): in0 the incoming gradient, in1 log_softmax's result. */
    ODY_PAIR(ody_rows_fn, log_softmax_backward);
    /* ---- cross entropy: cross_entropy.h. in1 is the row's label, an int64; n >= 1. A row whose label is not in [0, n) is
     * left out: its loss and its gradient are 0, whatever stands in it. param = smoothing s, the sum of the weights (n
     * without weights). -------------------------------------------------------------------------------------------- */

    /* in2: n weights w, in_step 0, or NULL for ones. out0, one value a row, with z = in0 - max: (1 - s) w[label]
     * (log(sum(e^z)) - z[label]) + s/n (sum(w) log(sum(e^z)) - sum(w z)). NaN where the row has NaN or inf. */
    ODY_PAIR(ody_labelled_rows_fn, cross_entropy);
    /* in2 is one value a row, in3 the weights or NULL. out0, n values a row: in2 (softmax(in0) ((1 - s) w[label] + s/n
     * sum(w)) - s/n w - (1 - s) w[label] [column = label]). In place on in0 allowed. */
    ODY_PAIR(ody_labelled_rows_fn, cross_entropy_backward);

    /* ---- convolution: conv.h, conv_depthwise.h, conv_weight.h, winograd.h. The result overlaps no input. ----------- */

    /* y = activation(bias + weight * x): every element is one chain acc = fma(weight, x, acc) over (channel, kernel row,
     * kernel column) ascending, from the bias or from zero, padding included as zeros. `packed` holds what conv2d_pack
     * made of the weights.
     *   float32, 3x3, stride and dilation 1, at least 16 channels and outputs a group and 4x4 results, where that is fewer
     * operations (conv_winograd_pays): by Winograd's F(2x2, 3x3) instead. The same shapes go the same way on every machine,
     * whatever the batch. The error is then within gamma_(channels + 12) times what the tile's transforms do to
     * magnitudes, |At| (sum (|G| |weight| |Gt|) * (|Bt| |x| |B|)) |A|, where x is the whole 4x4 patch below a tile of 2x2
     * results: on numbers of one size smaller than the long chain's error, by a third of it; but next to an element that
     * is 1e7 times its neighbours', all results of its tile are as coarse as that element, and NaN or inf in a patch makes
     * NaN of its tile. */
    ODY_PAIR(ody_conv_fn, conv2d);
    /* Packs the weights of the piece's group and tiles into `packed`; a depthwise convolution's, and its bias, all at once. */
    ODY_PAIR(ody_conv_fn, conv2d_pack);
    ODY_PAIR(ody_conv_sizes_fn, conv2d_sizes);
    /* x = the gradient of the input: one chain acc = fma(weight, y, acc) from zero, or from bias, one for each channel,
     * over (output, kernel row, kernel column) ascending; taps that the stride keeps from an element are left out, those
     * that fall outside y count as zeros. By Winograd where conv2d of y would be. */
    ODY_PAIR(ody_conv_fn, conv2d_backward_input);
    ODY_PAIR(ody_conv_fn, conv2d_backward_input_pack);
    ODY_PAIR(ody_conv_sizes_fn, conv2d_backward_input_sizes);
    /* One slab of the gradient of the weight, into `weight` where there is one slab only, else into its place in `packed`:
     * (slabs, outputs, channels / groups, kernel_h, kernel_w), to be added up in order. Lanes are pixels; a chunk of
     * pixels is folded through the fixed tree, chunks are added in order. By Winograd where conv2d would be: each place of
     * a tile is one chain of fma over the slab's tiles in order (conv_weight_winograd.h), the error then within
     * gamma_(tiles + 12) times |Gt| (sum (|A| |y| |At|) * (|Bt| |x| |B|)) |G|. */
    ODY_PAIR(ody_conv_fn, conv2d_backward_weight);
    ODY_PAIR(ody_conv_sizes_fn, conv2d_backward_weight_sizes);

    /* ---- attention: attention.h, attention_backward.h. Results overlap no input. A score is one chain of fma over depth
     * ascending, from zero, of the query already scaled. Blocks of 128 keys from the first on: within one, sums are four
     * interleaved chains of weights, and one chain of fma for each element, keys ascending. A key that is masked out takes
     * no part, whatever it holds; nor does one whose score is -inf. A row without keys gives 0. Weights below the normal
     * numbers count as 0. No zero is negative. --------------------------------------------------------------------- */

    /* out = softmax(scale query key^T + attn_mask) value. */
    ODY_PAIR(ody_attention_fn, attention);
    ODY_PAIR(ody_attention_workspace_fn, attention_workspace);
    /* Its gradients. What is masked out must be finite here. */
    ODY_PAIR(ody_attention_backward_fn, attention_backward);
    ODY_PAIR(ody_attention_workspace_fn, attention_backward_workspace);
    /* out0 = in0 with its first 2 * param0 elements rotated pair by pair, the rest copied: in1 and in2 are the cosines and
     * the sines of the angles, param0 of them a row; param1 multiplies the sines. The pairs are (i, i + param0), or
     * (2 i, 2 i + 1). An element is fma(+-other, sin, own * cos). In place allowed on in0. */
    ODY_PAIR(ody_rotary_fn, rotary_half);
    ODY_PAIR(ody_rotary_fn, rotary_interleaved);

    /* ---- filters: filter.h. The result overlaps no input. ---------------------------------------------------------- */

    /* A chain of fused multiply-adds a result, so (taps + 1) u of the magnitudes. ..._3x3 and the like: for a kernel of that
     * size, which the compiler knows; the same bits. */
    ODY_PAIR(ody_filter_fn, filter2d);
    ODY_PAIR(ody_filter_fn, filter2d_3x3);
    ODY_PAIR(ody_filter_fn, filter2d_5x5);
    ODY_PAIR(ody_filter_fn, filter2d_7x7);

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

    /* ---- sampling: sampling.h. Weights are within an ulp or two, sums float64. ------------------------------------ */

    /* All tokens are kept. */
    ODY_PAIR(ody_sample_fn, sample);
    /* The k largest logits are, k >= 1; of equal ones those of the lowest indices. */
    ODY_PAIR(ody_sample_fn, topk_sample);
    /* The fewest of the heaviest tokens are whose weights sum to p times the total or more; of equally heavy ones those of
     * the lowest indices. */
    ODY_PAIR(ody_sample_fn, topp_sample);
    /* ---- norms: norms.h, normalise.h. param0 is eps. NaN or inf in a group of the input makes the group NaN. The
     * variance is taken about the mean, in a pass of its own: nothing cancels but x - mean. -------------------------- */

    /* out0 = in0 * (in1 / sqrt(mean(in0^2) + eps)), rows of n; in1 is a row too, or NULL for ones. In place allowed. */
    ODY_PAIR(ody_rows_fn, rms_norm);
    /* out0 = fma(in0 - mean(in0), in1 / sqrt(mean((in0 - mean)^2) + eps), in2); in1 and in2 are rows, or NULL for ones and
     * zeros. In place on in0 allowed. */
    ODY_PAIR(ody_rows_fn, layer_norm);
    /* in0 the incoming gradient, in1 the input, in2 the weight or NULL. With r = 1 / sqrt(... + eps), d = in1 - mean (in1
     * for rms_norm) and h = in0 in2:   out0 = r (h - mean(h) - d r^2 mean(h d)), without mean(h) for rms_norm;
     * out1 += in0 d r;   out2 += in0 (layer_norm only): sums down the rows, which begin with what is there. */
    ODY_PAIR(ody_rows_fn, rms_norm_backward);
    ODY_PAIR(ody_rows_fn, layer_norm_backward);
    /* out0 = fma(in0 - in1, in2, in3), all rows of n: batch norm of (N, C), whose statistics are known. In place on in0
     * allowed. */
    ODY_PAIR(ody_rows_fn, affine);
    /* out = fma(x - mean, weight / sqrt(variance + eps), bias). In place allowed. */
    ODY_PAIR(ody_norm_fn, normalise);
    /* out = the gradient of x, as layer_norm_backward; with ODY_GIVEN grad weight / sqrt(variance + eps). grad_sums =
     * sum(grad), product_sums = sum(grad (x - mean)) / sqrt(variance + eps). */
    ODY_PAIR(ody_norm_fn, normalise_backward);
    /* The same of at most ODY_NORM_COLUMNS groups that are the columns of a matrix: elements side by side, runs of one
     * element, one weight and bias a group, a period of all groups. Sums of the gradient chain 64 rows at a time. */
    ODY_PAIR(ody_norm_fn, normalise_columns);
    ODY_PAIR(ody_norm_fn, normalise_backward_columns);

    /* ---- embedding: embedding.h ------------------------------------------------------------------------------------ */

    /* out0[row] = the row of in0 that in1 names, rows in_step[0] bytes apart; n elements. */
    ODY_PAIR(ody_labelled_rows_fn, embedding);
    /* Terms are added in order, from 0. */
    ODY_PAIR(ody_scatter_fn, embedding_backward);

    /* ---- routing: routing.h ---------------------------------------------------------------------------------------- */

    /* The k = param0 largest of in0, n a row, k <= n, largest first and of equal ones the first first: out0, k a row, is
     * softmax(in0) there, param1 != 0: over their sum; out1 is their int64 numbers. NaN counts as -inf; it, +inf, and nothing
     * but -inf make the row's weights NaN. Relative error: that of in0 - max, and 4 ulp. */
    ODY_PAIR(ody_route_fn, moe_route);
    /* out0, n a row: the gradient of the logits in1, from that of the weights in0, k a row; in2 is the k int64 numbers that
     * moe_route gave. w (in0 - sum(in0 w)) at those; elsewhere -p sum(in0 w) with p of softmax(in1), or 0 with param1. */
    ODY_PAIR(ody_route_fn, moe_route_backward);
    /* out[t] = the sum of weights[t][j] * x[rows[t][j]], one chain of fma over j from 0. n elements, tokens rows. */
    ODY_PAIR(ody_combine_fn, moe_combine);
    /* out[row] = the sum of weights[t][j] * grad[t] over the places of the row, one chain of fma from 0. */
    ODY_PAIR(ody_combine_fn, moe_combine_backward);
    /* out[t][j] = grad[t] . x[rows[t][j]], k a token: sums of fma, within gamma_n. */
    ODY_PAIR(ody_combine_fn, moe_combine_backward_weights);

    /* ---- dropout: dropout.h. In place allowed. ------------------------------------------------------------------------ */

    /* Element i is in * scale where its random word is at least the threshold, else 0. Words come from Philox4x32-10 with
     * the key `seed` and the counter (low and high half of the block's number, low and high half of `offset`): of every 64
     * elements, element 16 w + l has word w of block 16 (i / 64) + l. */
    ODY_PAIR(ody_dropout_fn, dropout);

    /* ---- Sinkhorn-Knopp: sinkhorn.h. Sums of n terms are within gamma_n; NaN and infinities make the whole matrix NaN. ---- */

    /* All iterations of small matrices; the gradient of x, through them, from that of the result. */
    ODY_PAIR(ody_sinkhorn_small_fn, sinkhorn_matrices);
    ODY_PAIR(ody_sinkhorn_small_fn, sinkhorn_matrices_backward);
    /* What the iterations begin with, from a into out (in place): softmax of rows of a * inverse_tau, + add; or a over its
     * rows' sums + eps, which go to row_by. u = 1, and the sums of the columns. */
    ODY_PAIR(ody_sinkhorn_fn, sinkhorn_start);
    /* u = u / (u (a v) + eps) / drift; v = v drift / (v drift (sum a u) + eps). A line whose sum is 0 keeps its factor.
     * Columns: residuals, or NULL: the largest |sum - 1|; far, or NULL: whether a factor is beyond 2^80 or 2^-80. */
    ODY_PAIR(ody_sinkhorn_fn, sinkhorn_rows);
    ODY_PAIR(ody_sinkhorn_fn, sinkhorn_columns);
    /* Both for all of a matrix of m <= ODY_SINKHORN_FEW rows, v first, by column_drift, and far; u and u_next are apart. With
     * ODY_FOLD the columns alone, and their residuals; with ODY_GIVEN the rows alone, u_next perhaps u. */
    ODY_PAIR(ody_sinkhorn_fn, sinkhorn_few);
    /* out = (a u) v (in place); residuals, or NULL: |sum - 1| of each row. */
    ODY_PAIR(ody_sinkhorn_fn, sinkhorn_finish);
    /* u_grad = sums along rows of grad a v; partial: of grad a u down the columns. */
    ODY_PAIR(ody_sinkhorn_fn, sinkhorn_products);
    /* Backwards through _rows and _columns. u_grad and v_grad are the gradients of u_next and v_next, and become those of u
     * and v; columns add what is in partial first (with joins; else that alone is v_grad). terms: of the sums; for rows, v is
     * those of the columns' sums. */
    ODY_PAIR(ody_sinkhorn_fn, sinkhorn_rows_adjoint);
    ODY_PAIR(ody_sinkhorn_fn, sinkhorn_columns_adjoint);
    /* G = grad u v + sum over t in [0, count) of row_terms[t] column_terms[t]^T; out is what the input of _start receives, a its
     * result. out may be grad. */
    ODY_PAIR(ody_sinkhorn_fn, sinkhorn_gradient);
    /* Steps of the linear system of implicit differentiation (sinkhorn.h). */
    ODY_PAIR(ody_sinkhorn_fn, sinkhorn_implicit_rows);
    ODY_PAIR(ody_sinkhorn_fn, sinkhorn_implicit_columns);
    /* Transport: f = -relaxation log sum exp(w - cost / reg), the sums of the plan down the columns and, where wanted, the plan.
     * Its rows then sum to a, where relaxation is 1. */
    ODY_PAIR(ody_transport_fn, transport_rows);
    /* g = scale relaxation (g - log(column's sum / b)), w; *error what the sums are away from b, over the sum of b, or with
     * relaxation below 1 the largest change of g; *lost where a sum is too small to tell. ODY_GIVEN: g = 0, and w. ODY_FOLD:
     * the error alone, or where there is relaxation nothing. */
    ODY_PAIR(ody_transport_fn, transport_columns);
    /* g = -scale relaxation log sum exp(weights - cost / reg) down the columns, and w; all columns. */
    ODY_PAIR(ody_transport_fn, transport_exact);
    /* plan = -cost (a + f + g) / reg: here cost is a plan, a (m, n) its gradient, f and g as solved for. In place. */
    ODY_PAIR(ody_transport_fn, transport_gradient);
    /* ---- hyper-connections: hyper.h, hyper_backward.h, hyper_post.h. Outputs overlap no input. streams is at most
     * ODY_MOST_STREAMS, iterations at least 1. With r = 1 / sqrt(mean(x^2) + norm_eps): --------------------------------- */

    /* mix = (fn x) r, logit = fma(mix, scale, base), the scale of its part; pre = sigmoid(logit) + eps, post = 2
     * sigmoid(logit), comb = softmax(logits, rows) + eps with columns, then (iterations - 1) times rows and columns divided
     * by their sum + eps. collapsed = the chain of fma over the streams of pre x, the first a product.
     *   ODY_HYPER_PAPER: no eps in pre nor after the softmax, and the logits of comb come transposed.
     *   ODY_HYPER_HEAD: collapsed alone.
     * A product of fn and x: lane l takes every LANES-th element from l on, one chain of fma; the lanes are folded by the
     * tree. NaN or inf in a token of x makes the token NaN, and no other. */
    ODY_PAIR(ody_hyper_fn, hyper_pre);
    /* dx, dproduct and terms. Sums along hidden are as the sums of rows. */
    ODY_PAIR(ody_hyper_fn, hyper_pre_backward);
    ODY_PAIR(ody_hyper_workspace_fn, hyper_workspace);
    /* out[k] = the chain of fma over j of comb[j][k] x[j], from post[k] f. In place on x allowed. */
    ODY_PAIR(ody_mixing_fn, hyper_post);
    /* df = the chain over k of post[k] grad[k], dx[j] = that of comb[j][k] grad[k], the first a product; dpost[k] =
     * sum(grad[k] f), dcomb[j][k] = sum(x[j] grad[k]): a chain of fma a lane, lanes folded by the tree. */
    ODY_PAIR(ody_mixing_fn, hyper_post_backward);
    /* ---- distances: distance.h. in0 and in1 are rows of n, in_step[1] = 0 says one point for all; out0 is one value a row.
     * Within a few ulp more than the sum |x - y|^2 has, for near points too; sums of squares out of the type's range are
     * taken again, scaled. Results overlap no input. NaN gives NaN. n = 0 gives 0. ---------------------------------------- */

    /* |x - y|. */
    ODY_PAIR(ody_rows_fn, euclidean_distance);
    /* 2 / sqrt(c) asinh(sqrt(c) |x - y| / sqrt((1 - c |x|^2) (1 - c |y|^2))), c = param0 > 0. Where 1 - c |x|^2 or
     * 1 - c |y|^2 is not positive: -1, or with param1 inf. */
    ODY_PAIR(ody_rows_fn, poincare_distance);
    /* The angle, 2 atan2(|x/|x| - y/|y||, |x/|x| + y/|y||). Where x or y is 0: -1, or with param0 pi / 2, or 0 where both
     * are. */
    ODY_PAIR(ody_rows_fn, spherical_distance);
    /* in0 the incoming gradient, one value a row, in1 x, in2 y: out0 and out1 the gradients of x and of y, a row each; 0
     * where the distance has none (one point twice, a point outside, a direction of length 0). */
    ODY_PAIR(ody_rows_fn, euclidean_distance_backward);
    ODY_PAIR(ody_rows_fn, poincare_distance_backward);
    ODY_PAIR(ody_rows_fn, spherical_distance_backward);
    /* out0 = |x|^2; out1 = 1 - param0 |x|^2. */
    ODY_PAIR(ody_rows_fn, ball_points);
    /* out0 = |x|^2; out1 = 1 / |x|, 0 where x is 0, NaN where |x|^2 is out of range. */
    ODY_PAIR(ody_rows_fn, direction_points);
    /* Each element of out, the product x y, becomes the distance: from it, |x|^2 and |y|^2 where these leave digits enough,
     * else as that of two rows. Sizes and gaps are those of ball_points, for spherical_pairs of direction_points. Parameters
     * as above. */
    ODY_PAIR(ody_pairs_fn, euclidean_pairs);
    ODY_PAIR(ody_pairs_fn, poincare_pairs);
    ODY_PAIR(ody_pairs_fn, spherical_pairs);
    /* out = the gradients of x, each pair's added in the order of y. */
    ODY_PAIR(ody_pairs_fn, euclidean_pairs_backward);
    ODY_PAIR(ody_pairs_fn, poincare_pairs_backward);
    ODY_PAIR(ody_pairs_fn, spherical_pairs_backward);

    /* ---- maps of the Poincare ball: manifold.h. Rows of n, param0 = c > 0; in_step = 0 says one point for all. out0 is a row,
     * out1 the smallest of the gaps 1 - c |x|^2 of the row's points: where it is not positive, out0 means nothing. Results
     * overlap no input. Within a few roundings of terms that do not cancel. -------------------------------------------------- */

    /* in0 plus in1 in Moebius' sense. */
    ODY_PAIR(ody_rows_fn, mobius_add);
    /* Where the geodesic from in0 with the velocity in1 is at time 1; and in1 the point, that velocity. */
    ODY_PAIR(ody_rows_fn, exp_map);
    ODY_PAIR(ody_rows_fn, log_map);
    /* in0, or where sqrt(c) |in0| is more than param1, in0 made so long. No out1. */
    ODY_PAIR(ody_rows_fn, project_to_ball);
    /* gyr[in0, in1] in2; with param1 the tangent in2 at in1 carried along the geodesic to in0. */
    ODY_PAIR(ody_rows_fn, gyration);
} ody_kernels;

#ifdef __cplusplus
}
#endif
#endif
