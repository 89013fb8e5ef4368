/* Filters: each output is one chain of fused multiply-adds over the kernel's taps, row by row, that begins at `start`.
 *
 * A lane is an output and depends on its own window alone. So pieces may overlap, and be cut anywhere, and the loops for
 * kernels of a known size give the bits of the loop for any size.
 */

#ifndef ODY_FILTER_H
#define ODY_FILTER_H
enum { FILTER_KNOWN = 7 }; /* the largest kernel with a loop of its own */
/* Taps and accumulators are registers only where every loop over them vanishes. */
#if defined(ODY_ISA_AVX512) || defined(ODY_ISA_AVX2) || defined(ODY_ISA_NEON)
#define UNROLL_TAPS _Pragma("GCC unroll 64")
#else
#define UNROLL_TAPS
#endif
#endif

/* Any size: a tap is broadcast for four vectors of outputs abreast. */
static void K(filter2d)(const ody_filter *f) {
    const real *const *in = (const real *const *)f->in, *weight = f->weight;
    const int on = f->flags & ODY_CONTINUE;
    const vec start = v_splat((real)f->start);
    for (size_t r = 0; r < f->rows; r++) {
        real *out = (real *)((char *)f->out + (ptrdiff_t)r * f->out_step);
        size_t j = 0;
        for (; f->n - j >= 4 * LANES; j += 4 * LANES) {
            vec acc[4];
            UNROLL for (int v = 0; v < 4; v++) acc[v] = on ? v_load(out + j + v * LANES) : start;
            for (size_t i = 0; i < f->kernel_h; i++)
                for (size_t k = 0; k < f->kernel_w; k++) {
                    const vec tap = v_splat(weight[i * f->kernel_w + k]);
                    const real *x = in[r + i] + j + k;
                    UNROLL for (int v = 0; v < 4; v++) acc[v] = v_fma(tap, v_load(x + v * LANES), acc[v]);
                }
            UNROLL for (int v = 0; v < 4; v++) v_store(out + j + v * LANES, acc[v]);
        }
        for (; j < f->n; j += LANES) {
            const size_t part = f->n - j < LANES ? f->n - j : LANES;
            vec acc = on ? v_load_n(out + j, part, 0) : start;
            for (size_t i = 0; i < f->kernel_h; i++)
                for (size_t k = 0; k < f->kernel_w; k++)
                    acc = v_fma(v_splat(weight[i * f->kernel_w + k]), v_load_n(in[r + i] + j + k, part, 0), acc);
            v_store_n(out + j, acc, part);
        }
    }
}

/* What the loop for a known size leaves over: columns from `column` on, of rows from `row` on. */
static void K(filter2d_rest)(const ody_filter *f, size_t row, size_t rows, size_t column) {
    const void *in[FILTER_KNOWN];
    ody_filter rest = *f;
    if (column == f->n) return;
    rest.in = in;
    rest.n = f->n - column;
    rest.rows = 1;
    for (size_t r = row; r < row + rows; r++) {
        for (size_t i = 0; i < f->kernel_h; i++) in[i] = (const real *)f->in[r + i] + column;
        rest.out = (char *)((real *)f->out + column) + (ptrdiff_t)r * f->out_step;
        K(filter2d)(&rest);
    }
}

/* SIZE x SIZE, known to the compiler: ROWS rows of outputs at once, so that an element is loaded once for every column of
 * taps and serves all rows it is in reach of; ABREAST registers side by side, so that a tap is too. The last columns and
 * rows are computed together with some before them, once more, unless `out` is what a chain goes on from. */
#define FILTER_FIXED(SIZE, ROWS, ABREAST)                                                                              \
    static void K(filter2d_##SIZE##x##SIZE)(const ody_filter *f) {                                                     \
        enum { WIDTH = LANES / V_PARTS * ABREAST };                                                                    \
        const int on = f->flags & ODY_CONTINUE;                                                                        \
        const size_t n = f->n, rows = f->rows;                                                                         \
        if (n < WIDTH || rows < ROWS) {                                                                                \
            K(filter2d)(f);                                                                                            \
            return;                                                                                                    \
        }                                                                                                              \
        const real *weight = f->weight;                                                                                \
        v_part tap[SIZE * SIZE];                                                                                       \
        UNROLL_TAPS for (int t = 0; t < SIZE * SIZE; t++) tap[t] = v_part_splat(weight[t]);                                 \
        const v_part start = v_part_splat((real)f->start);                                                             \
        for (size_t row = 0;;) {                                                                                       \
            const real *const *in = (const real *const *)f->in + row;                                                  \
            real *out[ROWS];                                                                                           \
            UNROLL_TAPS for (int r = 0; r < ROWS; r++) out[r] = (real *)((char *)f->out + (ptrdiff_t)(row + (size_t)r) * f->out_step); \
            size_t j = 0;                                                                                              \
            for (;;) {                                                                                                 \
                v_part acc[ROWS][ABREAST];                                                                             \
                UNROLL_TAPS for (int r = 0; r < ROWS; r++)                                                                  \
                    UNROLL_TAPS for (int a = 0; a < ABREAST; a++)                                                           \
                        acc[r][a] = on ? v_part_load(out[r] + j + a * (WIDTH / ABREAST)) : start;                      \
                UNROLL_TAPS for (int i = 0; i < ROWS + SIZE - 1; i++) {                                                     \
                    const real *line = in[i] + j;                                                                      \
                    UNROLL_TAPS for (int k = 0; k < SIZE; k++) {                                                            \
                        v_part x[ABREAST];                                                                             \
                        UNROLL_TAPS for (int a = 0; a < ABREAST; a++) x[a] = v_part_load_far(line + k + a * (WIDTH / ABREAST)); \
                        UNROLL_TAPS for (int r = 0; r < ROWS; r++)                                                          \
                            if (i - r >= 0 && i - r < SIZE)                                                            \
                                UNROLL_TAPS for (int a = 0; a < ABREAST; a++)                                               \
                                    acc[r][a] = v_part_fma(tap[(i - r) * SIZE + k], x[a], acc[r][a]);                  \
                    }                                                                                                  \
                }                                                                                                      \
                UNROLL_TAPS for (int r = 0; r < ROWS; r++)                                                                  \
                    UNROLL_TAPS for (int a = 0; a < ABREAST; a++)                                                           \
                        v_part_store(out[r] + j + a * (WIDTH / ABREAST), acc[r][a]);                                   \
                if (j + WIDTH == n) break;                                                                             \
                j += WIDTH;                                                                                            \
                if (n - j >= WIDTH) continue;                                                                          \
                if (on) {                                                                                              \
                    K(filter2d_rest)(f, row, ROWS, j);                                                                 \
                    break;                                                                                             \
                }                                                                                                      \
                j = n - WIDTH;                                                                                         \
            }                                                                                                          \
            row += ROWS;                                                                                               \
            if (row == rows) return;                                                                                   \
            if (rows - row >= ROWS) continue;                                                                          \
            if (on) {                                                                                                  \
                K(filter2d_rest)(f, row, rows - row, 0);                                                               \
                return;                                                                                                \
            }                                                                                                          \
            row = rows - ROWS;                                                                                         \
        }                                                                                                              \
    }

FILTER_FIXED(3, 4, 1)
FILTER_FIXED(5, 4, (V_PARTS == 1 ? 1 : 2)) /* 25 taps fit into 32 registers, but not beside more accumulators */
FILTER_FIXED(7, 4, 2)
#undef FILTER_FIXED
