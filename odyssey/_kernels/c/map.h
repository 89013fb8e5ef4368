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
#define FULL(x) v_load_far(in_##x + i * step_##x)
#define PART(x) v_load_n(in_##x + i * step_##x, part, 1)

#define OPERANDS_1 OPERAND(a, 0)
#define OPERANDS_2 OPERANDS_1 OPERAND(b, 1)
#define OPERANDS_3 OPERANDS_2 OPERAND(c, 2)
#define FULL_1 const vec a = FULL(a);
#define FULL_2 FULL_1 const vec b = FULL(b);
#define FULL_3 FULL_2 const vec c = FULL(c);
#define PART_1 const vec a = PART(a);
#define PART_2 PART_1 const vec b = PART(b);
#define PART_3 PART_2 const vec c = PART(c);
#define NEAR(x) v_load(in_##x + i * step_##x)
#define EITHER_1 const vec a = part == LANES ? NEAR(a) : PART(a);
#define EITHER_2 EITHER_1 const vec b = part == LANES ? NEAR(b) : PART(b);

#define MAP_HEAD(INPUTS, SETUP)                                                                                        \
    OPERANDS_##INPUTS                                                                                                  \
    const double *p = m->param;                                                                                        \
    real *out = m->out[0];                                                                                             \
    const size_t n = m->n, to_line = (64 - (uintptr_t)out % 64) % 64 / sizeof(real);                                   \
    const int streamed = m->flags & ODY_STREAM && n >= ALIGN_FROM;                                                                      \
    (void)p;                                                                                                           \
    SETUP;

/* Short expressions: a tight loop. `part` elements go through masked loads and stores: what is left after the last full
 * vector; and in long arrays what comes before out's first whole cache line, which streaming stores ask for and others
 * run a third faster on. */
enum { ALIGN_FROM = 512 };
#define MAP_SHORT(name, INPUTS, SETUP, EXPRESSION)                                                                     \
    static void K(name)(const ody_map *m) {                                                                            \
        MAP_HEAD(INPUTS, SETUP)                                                                                        \
        size_t i = 0, part = n < LANES ? n : n < ALIGN_FROM ? 0 : to_line;                                             \
        for (;;) {                                                                                                     \
            if (part) {                                                                                                \
                PART_##INPUTS                                                                                          \
                v_store_n(out + i, EXPRESSION, part);                                                                  \
                i += part;                                                                                             \
            }                                                                                                          \
            if (streamed) {                                                                                            \
                for (; n - i >= LANES; i += LANES) {                                                                   \
                    FULL_##INPUTS                                                                                      \
                    v_stream(out + i, EXPRESSION);                                                                     \
                }                                                                                                      \
                ody_fence();                                                                                           \
            } else {                                                                                                   \
                _Pragma("GCC unroll 2") for (; n - i >= LANES; i += LANES) {                                           \
                    FULL_##INPUTS                                                                                      \
                    v_store(out + i, EXPRESSION);                                                                      \
                }                                                                                                      \
            }                                                                                                          \
            part = n - i;                                                                                              \
            if (part == 0) return;                                                                                     \
        }                                                                                                              \
    }

/* Long expressions: the text stands once, and each vector asks which load and store is its own. Predicted, the question
 * costs nothing beside such an expression; four copies of it would cost megabytes in all. */
#define MAP_LONG(name, INPUTS, SETUP, EXPRESSION)                                                                      \
    static void K(name)(const ody_map *m) {                                                                            \
        MAP_HEAD(INPUTS, SETUP)                                                                                        \
        size_t part = n < LANES ? n : streamed && to_line ? to_line : LANES;                                           \
        for (size_t i = 0; i < n;) {                                                                                   \
            EITHER_##INPUTS                                                                                            \
            const vec y = EXPRESSION;                                                                                  \
            if (part != LANES) v_store_n(out + i, y, part);                                                            \
            else if (streamed) v_stream(out + i, y);                                                                   \
            else v_store(out + i, y);                                                                                  \
            i += part;                                                                                                 \
            part = n - i < LANES ? n - i : LANES;                                                                      \
        }                                                                                                              \
        if (streamed) ody_fence();                                                                                     \
    }

/* MAPk(name, expression): k inputs, called a, b and c there; LONGk likewise. ..._WITH: SETUP declares what is made once
 * of the parameters, PARAM(0) and PARAM(1). */
#define MAP1(name, EXPRESSION) MAP_SHORT(name, 1, , EXPRESSION)
#define MAP2(name, EXPRESSION) MAP_SHORT(name, 2, , EXPRESSION)
#define MAP3(name, EXPRESSION) MAP_SHORT(name, 3, , EXPRESSION)
#define MAP1_WITH(name, SETUP, EXPRESSION) MAP_SHORT(name, 1, SETUP, EXPRESSION)
#define MAP2_WITH(name, SETUP, EXPRESSION) MAP_SHORT(name, 2, SETUP, EXPRESSION)
#define LONG1(name, EXPRESSION) MAP_LONG(name, 1, , EXPRESSION)
#define LONG2(name, EXPRESSION) MAP_LONG(name, 2, , EXPRESSION)
#define LONG1_WITH(name, SETUP, EXPRESSION) MAP_LONG(name, 1, SETUP, EXPRESSION)
#define LONG2_WITH(name, SETUP, EXPRESSION) MAP_LONG(name, 2, SETUP, EXPRESSION)
#define PARAM(k) v_splat((real)p[k])
#endif
