/* What stands around the kernels, compiled once: which table is active, the thread pool, scratch memory, and the
 * drivers that take an operation on strided arrays apart into kernel calls. No Python in here. */
#ifndef ODYSSEY_RUNTIME_H
#define ODYSSEY_RUNTIME_H

#include "kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Visible in libodyssey, whose objects hide everything else: the entry modules of Python link it. */
#if defined(__GNUC__)
#pragma GCC visibility push(default)
#endif

/* ---- dispatch.c ------------------------------------------------------------------------------------------------ */

/* The tables this build carries, best first, ended by NULL; and whether this machine can run one. */
const ody_kernels *const *ody_tables(void);
int ody_table_usable(const ody_kernels *table);

/* Kernels that leave rounding to the processor, outside the bits rule; asked for by precision="native". NULL where the
 * active table is not the one they go with, or the processor lacks what they need. */
typedef struct ody_native {
    ody_gemm_fn bf16; /* gemm with ODY_BF16 or ODY_BF16_ROWS: x rounded to bfloat16, two products a step */
    ody_gemm_workspace_fn bf16_workspace;
    ody_gemm_fn int8; /* gemm with ODY_INT8: x rounded to integers, a scale for each 128 numbers of a row, four products a step */
    ody_gemm_workspace_fn int8_workspace;
} ody_native;
const ody_native *ody_native_for(const ody_kernels *table);

/* The table that kernels come from, for Python and the C ABI alike: at first the one that ODYSSEY_ISA names, if this machine
 * can run it, else the best. ody_follow gives it a copy that ody_activate keeps equal: Python's modules read that one. */
const ody_kernels *ody_active(void);
void ody_activate(const ody_kernels *table);
void ody_follow(const ody_kernels **copy);

/* ---- pool.c ---------------------------------------------------------------------------------------------------- */

typedef void (*ody_task_fn)(void *context, size_t task);

/* Runs f(context, 0 .. tasks-1), in any order, on the calling thread and the pool's; returns when all are done. A call
 * from inside a task, or one that finds the pool busy, runs every task on its own thread. */
void ody_parallel(ody_task_fn f, void *context, size_t tasks);
int ody_threads(void);          /* how many threads a call may use, the caller's included */
void ody_set_threads(int n);    /* n >= 1 */
int ody_threads_default(void);  /* from ODYSSEY_NUM_THREADS, else affinity and cgroup quota */
int ody_affinity(void);         /* processors this process may run on */
double ody_cgroup_quota(void);  /* processors the cgroup grants; 0 when unlimited */

/* ---- memory.c -------------------------------------------------------------------------------------------------- */

/* 64-byte aligned memory from a cache of freed blocks; NULL when there is none left. ody_free(NULL) is a no-op. */
void *ody_alloc(size_t bytes);
void ody_free(void *memory);
void ody_trim(void);            /* gives every cached block back to the system */
size_t ody_cached_bytes(void);
/* For finding mistakes, off at first. Guarded blocks are filled when they are taken and when they are freed, and end in a fence
 * that is looked at when they are freed. */
void ody_guard_memory(int on);
size_t ody_broken_fences(void); /* how many blocks have been written beyond their end so far */

/* ---- drivers.c ------------------------------------------------------------------------------------------------- */

enum { ODY_MAX_DIMS = 64 };

/* One operand of an elementwise operation: where it lies and its stride, in bytes, along each axis. */
typedef struct ody_operand {
    char *data;
    ptrdiff_t stride[ODY_MAX_DIMS];
} ody_operand;

/* An elementwise operation over operands broadcast to one shape: inputs first, then outputs. */
typedef struct ody_elementwise {
    int ndim, inputs, outputs;
    size_t itemsize;
    size_t shape[ODY_MAX_DIMS];
    ody_operand operand[7];
    double param[8];
    int cost; /* what one element costs, in additions; decides from which size threads pay */
} ody_elementwise;

/* All return 0, or -1 when scratch memory ran out; the outputs are undefined then. */
int ody_run_elementwise(const char *op, ody_map_fn f, ody_elementwise *e); /* merges the axes of *e in place */
int ody_run_map(const char *op, ody_map_fn f, const ody_map *m, int inputs, int outputs, size_t itemsize, int cost);
int ody_run_rows(const char *op, ody_rows_fn f, const ody_rows *r, int cost);

/* A stack of products: one struct for the first, and how far, in bytes, the operands of the next lie along each axis. */
typedef struct ody_gemm_stack {
    ody_gemm first;
    size_t itemsize;
    int ndim;
    size_t shape[ODY_MAX_DIMS];
    ptrdiff_t a[ODY_MAX_DIMS], b[ODY_MAX_DIMS], c[ODY_MAX_DIMS];
} ody_gemm_stack;
int ody_run_gemm(const char *op, ody_gemm_fn f, ody_gemm_workspace_fn workspace, const ody_gemm_stack *stack);
/* Products of any shapes, each with operands of its own, shared out together; a product without rows costs nothing. */
int ody_run_gemms(const char *op, ody_gemm_fn f, ody_gemm_workspace_fn workspace, const ody_gemm *products, size_t count,
                  size_t itemsize);
/* ---- pack_driver.c ---------------------------------------------------------------------------------------------- */

/* Weights (rows, k), numbers of a row adjacent, into panels of ODY_BF16 or ODY_INT8 (kernels.h). */
typedef struct ody_packing {
    size_t rows, k;
    const void *from;
    ptrdiff_t from_row; /* bytes */
    int source;         /* ODY_STRIDED for float32, ODY_BF16_ROWS, ODY_F16_ROWS */
    int format;
    void *to;     /* all of it is written */
    float *scale; /* ODY_INT8: one for each row, largest magnitude / 127 */
} ody_packing;
/* Returns the first row that is not finite, where that matters, and else the number of rows. */
size_t ody_run_packing(const char *op, const ody_packing *p);

/* ---- reduce.c --------------------------------------------------------------------------------------------------- */

/* One pass of a reduction. Every pass but the first has the one before's results, a value per sequence, as in[1]. */
typedef struct ody_pass {
    ody_rows_fn rows;
    ody_columns_fn columns;
    double param; /* param[0] of the kernels */
    int cost;     /* what one element costs, in additions */
} ody_pass;

/* A reduction of a strided array: for each index of the kept axes one result, of the sequence that the reduced axes
 * make in C order. */
typedef struct ody_reduction {
    int kept, reduced; /* axes */
    size_t kept_shape[ODY_MAX_DIMS], shape[ODY_MAX_DIMS];
    ptrdiff_t kept_stride[ODY_MAX_DIMS], stride[ODY_MAX_DIMS], out_stride[ODY_MAX_DIMS];
    const char *in;
    char *out;
    size_t itemsize, out_itemsize;
    int passes, places; /* places: the results are int64 indices, as argmax's */
    ody_pass pass[2];
    ody_rows_fn transpose;
} ody_reduction;

/* Returns 0, or -1 when scratch memory ran out. No sequence may be empty. */
int ody_run_reduction(const char *op, const ody_reduction *r);

/* ---- lines.c ---------------------------------------------------------------------------------------------------- */

/* A rows kernel along one axis of strided arrays: inputs first, then outputs. An operand has n elements a line, or one
 * value, as an operand of no axis. An input that is left out has no data and strides of 0. */
typedef struct ody_line_operand {
    char *data;
    int wide;                       /* n elements a line */
    ptrdiff_t stride;               /* along the axis */
    ptrdiff_t kept[ODY_MAX_DIMS];   /* along the other axes */
} ody_line_operand;

typedef struct ody_lines {
    int kept, inputs, outputs;
    size_t shape[ODY_MAX_DIMS], n, itemsize;
    ody_line_operand operand[7];
    double param[4];
    int cost;
    ody_rows_fn transpose;
} ody_lines;

/* Returns 0, or -1 when scratch memory ran out. */
int ody_run_lines(const char *op, ody_rows_fn f, const ody_lines *l);

/* A convolution or the gradient of its input; the gradient of its weight. The piece, `packed` and `workspace` of v are not
 * read, but for v->packed where `pack` is NULL: the weights are packed there already. */
int ody_run_conv(const char *op, ody_conv_sizes_fn sizes, ody_conv_fn pack, ody_conv_fn f, const ody_conv *v,
                 size_t itemsize);
/* How many bytes, 64-byte aligned, the packed weights of v take; 0 where they cannot be packed ahead. And packing them into
 * v->packed, for convolutions on the same instruction set that differ from v in x, y, bias and activation only. */
size_t ody_conv_packed_bytes(ody_conv_sizes_fn sizes, const ody_conv *v);
void ody_pack_conv(ody_conv_sizes_fn sizes, ody_conv_fn pack, const ody_conv *v, size_t itemsize);
int ody_run_conv_weight(const char *op, ody_conv_sizes_fn sizes, ody_conv_fn f, const ody_conv *v, size_t itemsize);

/* Pooling; backward tells which operands are images. */
int ody_run_pool(const char *op, ody_pool_workspace_fn workspace, ody_pool_fn f, const ody_pool *p, int backward,
                 size_t itemsize);

/* ---- filter_driver.c ------------------------------------------------------------------------------------------------ */

/* What stands outside of an image whose row is a b c d, as scipy.ndimage names it. */
enum ody_border {
    ODY_BORDER_CONSTANT, /* k k k k | a b c d | k k k k   k: `outside` */
    ODY_BORDER_NEAREST,  /* a a a a | a b c d | d d d d */
    ODY_BORDER_REFLECT,  /* d c b a | a b c d | d c b a */
    ODY_BORDER_MIRROR,   /* d c b   | a b c d |   c b a */
    ODY_BORDER_WRAP,     /* a b c d | a b c d | a b c d */
};

/* The element that stands at place i of an axis of n, n >= 1; -1 where `outside` does. */
ptrdiff_t ody_border_index(ptrdiff_t i, ptrdiff_t n, int border);

/* A filter over `batch` images of groups * channels planes, (height, width) each, giving outputs planes of (out_height,
 * out_width): output (y, x) is bias + the sum over its group's channels, then over the taps (i, k), of weight[output][channel]
 * [i][k] times the image's element (y - top + i, x - left + k). Results and weights are contiguous; strides in bytes.
 * outputs is a multiple of groups. A kernel of one plane for all: outputs, groups and channels are 1. */
typedef struct ody_filter_planes {
    const char *in;
    char *out;
    const char *weight, *bias; /* bias (outputs), or NULL */
    size_t itemsize, batch, groups, channels, outputs;
    size_t height, width, out_height, out_width, kernel_h, kernel_w;
    ptrdiff_t plane_step, row_step, column_step; /* of `in`; its planes are plane_step apart throughout */
    ptrdiff_t top, left;
    int border;
    double outside;
} ody_filter_planes;
/* Returns 0, or -1 when scratch memory ran out. */
int ody_run_filter(const char *op, ody_filter_fn f, const ody_filter_planes *v);

/* ---- attention_driver.c ------------------------------------------------------------------------------------------- */

/* Attention, or its gradients, for every head of keys: one struct for the first, and how far, in bytes, the operands of the
 * next lie along each axis. Operands that are NULL stay so. */
typedef struct ody_attention_strides {
    ptrdiff_t query, key, value, out, mask, grad, dquery, dkey, dvalue;
} ody_attention_strides;
typedef struct ody_attention_stack {
    ody_attention_gradient first;
    size_t itemsize;
    int ndim;
    size_t shape[ODY_MAX_DIMS];
    ody_attention_strides stride[ODY_MAX_DIMS];
} ody_attention_stack;
/* f, or backward where there is one. */
int ody_run_attention(const char *op, ody_attention_fn f, ody_attention_backward_fn backward,
                      ody_attention_workspace_fn workspace, const ody_attention_stack *stack);

/* Rotary embedding of a stack of rows: stride has, for each axis, those of x, the cosines, the sines and the result. */
typedef struct ody_rotary {
    ody_rows first;
    int ndim;
    size_t shape[ODY_MAX_DIMS];
    ptrdiff_t stride[ODY_MAX_DIMS][4];
} ody_rotary;
void ody_run_rotary(const char *op, ody_rows_fn f, const ody_rotary *r, size_t itemsize);
/* ---- norm_driver.c ---------------------------------------------------------------------------------------------- */

/* Group by group; by `columns` where groups are the columns of a matrix. */
int ody_run_norm(const char *op, ody_norm_fn f, ody_norm_fn columns, const ody_norm *v, size_t itemsize);
/* A rows kernel whose out[1] .. out[sums] are sums of n elements down the rows; add is the kernel that folds them. in[0],
 * in[1] and out[0] go row by row, in[2] serves all. */
int ody_run_norm_sums(const char *op, ody_rows_fn f, ody_map_fn add, const ody_rows *r, int sums, size_t itemsize);

/* ---- embedding_driver.c ----------------------------------------------------------------------------------------- */

/* Rows of in[0] by the int64 numbers in in[1]. */
int ody_run_gather(const char *op, ody_labelled_rows_fn f, const ody_rows *r, size_t itemsize);
/* Row i of s->grad is added to row index[i] of s->out, i ascending, unless that is `skipped`; every index is a row. The
 * order and starts of s are not read. */
int ody_run_scatter(const char *op, ody_scatter_fn f, const ody_scatter *s, const int64_t *index, size_t count,
                    int64_t skipped, size_t itemsize);

/* ---- routing_driver.c ------------------------------------------------------------------------------------------- */

/* moe_combine, or the gradient of the weights: token by token. */
int ody_run_combine(const char *op, ody_combine_fn f, const ody_combine *c, size_t itemsize);
/* The gradient of x: c->tokens rows of it, which c->rows names in `places` places. The order and starts of c are not read. */
int ody_run_combine_backward(const char *op, ody_combine_fn f, const ody_combine *c, size_t places, size_t itemsize);

/* ---- dropout_driver.c ------------------------------------------------------------------------------------------- */

int ody_run_dropout(const char *op, ody_dropout_fn f, const ody_dropout *d, size_t itemsize);

/* ---- sinkhorn_driver.c ------------------------------------------------------------------------------------------ */

/* Sinkhorn-Knopp of `count` contiguous matrices (m, n); its gradient where there is a grad, by implicit differentiation or
 * through the iterations. out may be x or grad. columns_first is for small square matrices alone. */
typedef struct ody_sinkhorn_stack {
    ody_sinkhorn_small_fn small, small_backward;
    ody_sinkhorn_fn start, rows, columns, few, finish, products, rows_adjoint, columns_adjoint, gradient, implicit_rows, implicit_columns;
    const void *x, *grad;
    void *out, *residuals;
    size_t itemsize, count, m, n, iterations;
    int logits, columns_first, implicit;
    double inverse_tau, add, eps;
} ody_sinkhorn_stack;
int ody_run_sinkhorn(const char *op, const ody_sinkhorn_stack *s);

/* A plan of entropic transport (ody_transport) and its potentials over reg, in at most so many iterations; how many it took and
 * the error it ended with. `largest`: where reg starts from. */
typedef struct ody_transport_problem {
    ody_transport_fn rows, columns, exact;
    const void *cost, *a, *b;
    void *plan, *f, *g;
    size_t m, n, itemsize, iterations;
    double reg, relaxation, tolerance, largest;
} ody_transport_problem;
int ody_run_transport(const char *op, const ody_transport_problem *p, size_t *iterations, double *error);

/* Its gradient: of the cost, and what makes those of a and b: terms (negative) and sums of rows and columns. 0, 1 when the
 * iterations did not suffice, -1 when memory did not. cost_grad may be grad. */
typedef struct ody_transport_gradient {
    ody_sinkhorn_fn products, implicit_rows, implicit_columns;
    ody_transport_fn gradient;
    const void *plan, *grad;
    void *cost_grad, *row_terms, *column_terms, *row_sums, *column_sums;
    size_t m, n, itemsize, iterations;
    double reg, relaxation, tolerance;
} ody_transport_gradient;
int ody_run_transport_backward(const char *op, const ody_transport_gradient *p);

/* ---- hyper_driver.c --------------------------------------------------------------------------------------------- */

/* group and workspace of h are not read. Returns 0, or -1 when scratch memory ran out. */
int ody_run_hyper(const char *op, ody_hyper_fn f, ody_hyper_workspace_fn workspace, int backward, const ody_hyper *h,
                  size_t itemsize);
void ody_run_mixing(const char *op, ody_mixing_fn f, const ody_mixing *m, size_t itemsize);

/* ---- distance_driver.c ------------------------------------------------------------------------------------------ */

/* Distances of all pairs; where `symmetric` y is x. Gradients of all pairs. */
int ody_run_pairs(const char *op, ody_pairs_fn f, ody_gemm_fn gemm, ody_gemm_workspace_fn workspace, ody_rows_fn transpose,
                  const ody_pairs *p, int symmetric, size_t itemsize);
void ody_run_pairs_backward(const char *op, ody_pairs_fn f, const ody_pairs *p, size_t itemsize);

/* The one hook of the entries: called with the operation's name and the bytes it moves, before the work. NULL, the
 * default, costs one predictable branch. */
typedef void (*ody_hook_fn)(const char *op, size_t bytes);
extern ody_hook_fn ody_hook;

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif
#endif
