/* The loop of every elementwise kernel: one expression over vectors, from up to four inputs to one output.
 *
 * A lane's result depends on that lane alone, so where a loop starts or a tail begins cannot change a bit.
 */

/* Where input k is read from: its memory, or, for one value that serves all elements, a vector of copies of it. With
 * `step` 0 the loop then reads that vector again and again, and one loop serves every mix of arrays and values. */
ODY_INLINE const real *K(operand)(const ody_map *m, int k, real *copies) {
    const real *in = m->in[k];
    if (m->step[k]) return in;
    v_store(copies, v_splat(*in));
    return copies;
}

#ifndef ODY_MAP_H
#define ODY_MAP_H

#define OPERAND(x, k)                                                                                                  \
    real copies_##x[LANES];                                                                                            \
    const real *in_##x = K(operand)(m, k, copies_##x);                                                                 \
    const size_t step_##x = (size_t)m->step[k];
#define READ(x) const vec x = v_load(in_##x + i * step_##x);
#define READ_PART(x) const vec x = v_load_n(in_##x + i * step_##x, part, 1);

#define OPERANDS_1 OPERAND(a, 0)
#define OPERANDS_2 OPERANDS_1 OPERAND(b, 1)
#define OPERANDS_3 OPERANDS_2 OPERAND(c, 2)
#define READ_1 READ(a)
#define READ_2 READ_1 READ(b)
#define READ_3 READ_2 READ(c)
#define READ_PART_1 READ_PART(a)
#define READ_PART_2 READ_PART_1 READ_PART(b)
#define READ_PART_3 READ_PART_2 READ_PART(c)

/* `part` elements go through masked loads and stores: what is left after the last full vector; and in long arrays what
 * comes before out's first whole cache line, which streaming stores ask for and others run a third faster on. */
#define MAP(name, INPUTS, SETUP, EXPRESSION)                                                                           \
    static void K(name)(const ody_map *m) {                                                                            \
        OPERANDS_##INPUTS                                                                                              \
        const double *p = m->param;                                                                                    \
        real *out = m->out[0];                                                                                         \
        const size_t n = m->n;                                                                                         \
        const int streamed = m->flags & ODY_STREAM;                                                                    \
        size_t i = 0, part = n < LANES ? n : 0;                                                                        \
        if (n >= ALIGN_FROM) part = (64 - (uintptr_t)out % 64) % 64 / sizeof(real);                                    \
        (void)p;                                                                                                       \
        SETUP;                                                                                                         \
        for (;;) {                                                                                                     \
            if (part) {                                                                                                \
                READ_PART_##INPUTS                                                                                     \
                v_store_n(out + i, EXPRESSION, part);                                                                  \
                i += part;                                                                                             \
            }                                                                                                          \
            if (streamed) {                                                                                            \
                for (; n - i >= LANES; i += LANES) {                                                                   \
                    READ_##INPUTS                                                                                      \
                    v_stream(out + i, EXPRESSION);                                                                     \
                }                                                                                                      \
                ody_fence();                                                                                           \
            } else {                                                                                                   \
                ODY_UNROLL for (; n - i >= LANES; i += LANES) {                                                        \
                    READ_##INPUTS                                                                                      \
                    v_store(out + i, EXPRESSION);                                                                      \
                }                                                                                                      \
            }                                                                                                          \
            part = n - i;                                                                                              \
            if (part == 0) return;                                                                                     \
        }                                                                                                              \
    }
enum { ALIGN_FROM = 512 };
#ifndef ODY_UNROLL
#define ODY_UNROLL _Pragma("GCC unroll 2")
#endif

/* MAPk(name, expression): k inputs, called a, b and c there. MAPk_WITH: SETUP declares what is made once of the
 * parameters `p`. */
#define MAP1(name, EXPRESSION) MAP(name, 1, , EXPRESSION)
#define MAP2(name, EXPRESSION) MAP(name, 2, , EXPRESSION)
#define MAP3(name, EXPRESSION) MAP(name, 3, , EXPRESSION)
#define MAP1_WITH(name, SETUP, EXPRESSION) MAP(name, 1, SETUP, EXPRESSION)
#define MAP2_WITH(name, SETUP, EXPRESSION) MAP(name, 2, SETUP, EXPRESSION)
#define MAP3_WITH(name, SETUP, EXPRESSION) MAP(name, 3, SETUP, EXPRESSION)

/* Parameter k as a vector. */
#define PARAM(k) v_splat((real)p[k])
#endif
