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
    /* Reductions of long sequences, chunk by chunk: ODY_CHUNK_BYTES of elements in each but the last. */
    ODY_PARTIAL = 2u, /* stop before the lanes are folded: a result is one vector (ODY_VECTOR_BYTES) of partials */
    ODY_CONTINUE = 8u, /* with ODY_PARTIAL, rows: go on from the lanes found there; what came before was whole blocks */
    ODY_FOLD = 4u,    /* the input is such partials, one vector a chunk and n of them, in the order of the chunks */
};

enum {
    ODY_VECTOR_BYTES = 64,
    ODY_CHUNK_BYTES = 65536,
    ODY_BLOCK_BYTES = 512,
    ODY_COLUMN_SCRATCH = 2048,
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

/* A slot pair: the same text compiled for float and for double. */
#define ODY_PAIR(type, name) type name##_f32, name##_f64

typedef struct ody_kernels {
    const char *name; /* "scalar", "avx2", "avx512", "neon" */

    /* ---- elementwise: elementwise.h. In place allowed on every input. ------------------------------------------ */

    /* out = in0 + in1, exact. */
    ODY_PAIR(ody_map_fn, add);
    /* out = e^in0, 1 ulp. exp(-inf) = 0, overflow gives inf, results below the normal range are subnormal. */
    ODY_PAIR(ody_map_fn, exp);

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
} ody_kernels;

#ifdef __cplusplus
}
#endif
#endif
