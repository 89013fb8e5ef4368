/* Elementwise kernels: one line an operation. */

#ifndef ODY_MAP_LOOPS
#define ODY_MAP_LOOPS

/* The loops shared by every elementwise kernel. A vector's result depends only on its own lanes, so where a loop starts
 * or a tail begins cannot change a bit. */

/* Elements until `out` is 64-byte aligned, which streaming stores ask for. */
static inline size_t elements_to_line(const void *out, size_t itemsize, size_t n) {
    size_t head = (64 - (uintptr_t)out % 64) % 64 / itemsize;
    return (uintptr_t)out % itemsize ? n : head < n ? head : n;
}

#define MAP_BODY(LOAD, TAIL, EXPRESSION)                                                                               \
    do {                                                                                                               \
        size_t i = 0;                                                                                                  \
        if (m->flags & ODY_STREAM) {                                                                                   \
            size_t head = elements_to_line(out, sizeof(real), n);                                                      \
            for (; i < head; i += LANES) {                                                                             \
                size_t left = head - i < LANES ? head - i : LANES;                                                     \
                TAIL(left);                                                                                            \
                v_store_n(out + i, EXPRESSION, left);                                                                  \
            }                                                                                                          \
            i = head;                                                                                                  \
            for (; i + LANES <= n; i += LANES) {                                                                       \
                LOAD;                                                                                                  \
                v_stream(out + i, EXPRESSION);                                                                         \
            }                                                                                                          \
            ody_fence();                                                                                               \
        } else {                                                                                                       \
            _Pragma("GCC unroll 2") for (; i + LANES <= n; i += LANES) {                                               \
                LOAD;                                                                                                  \
                v_store(out + i, EXPRESSION);                                                                          \
            }                                                                                                          \
        }                                                                                                              \
        if (i < n) {                                                                                                   \
            TAIL(n - i);                                                                                               \
            v_store_n(out + i, EXPRESSION, n - i);                                                                     \
        }                                                                                                              \
    } while (0)

/* MAP1(name, expression in a), MAP2(name, expression in a and b), MAP3(... a, b and c). `p` is the parameters; SETUP
 * declares what is made of them once. */
#define MAP1_WITH(name, SETUP, EXPRESSION)                                                                             \
    static void K(name)(const ody_map *m) {                                                                            \
        const real *in_a = m->in[0];                                                                                   \
        real *out = m->out[0];                                                                                         \
        const size_t n = m->n;                                                                                         \
        const double *p = m->param;                                                                                    \
        (void)p;                                                                                                       \
        SETUP;                                                                                                         \
        MAP_BODY(vec a = v_load(in_a + i), MAP1_TAIL, EXPRESSION);                                                     \
    }
#define MAP1_TAIL(left) vec a = v_load_n(in_a + i, left, 1)

#define MAP2_WITH(name, SETUP, EXPRESSION)                                                                             \
    static void K(name)(const ody_map *m) {                                                                            \
        const real *in_a = m->in[0], *in_b = m->in[1];                                                                 \
        real *out = m->out[0];                                                                                         \
        const size_t n = m->n;                                                                                         \
        const double *p = m->param;                                                                                    \
        (void)p;                                                                                                       \
        SETUP;                                                                                                         \
        if (m->step[0] && m->step[1]) {                                                                                \
            MAP_BODY(vec a = v_load(in_a + i); vec b = v_load(in_b + i), MAP2_TAIL, EXPRESSION);                       \
        } else if (m->step[0]) {                                                                                       \
            const vec b = v_splat(*in_b);                                                                              \
            MAP_BODY(vec a = v_load(in_a + i), MAP1_TAIL, EXPRESSION);                                                 \
        } else {                                                                                                       \
            const vec a = v_splat(*in_a);                                                                              \
            MAP_BODY(vec b = v_load(in_b + i), MAP2_TAIL_B, EXPRESSION);                                               \
        }                                                                                                              \
    }
#define MAP2_TAIL(left) vec a = v_load_n(in_a + i, left, 1), b = v_load_n(in_b + i, left, 1)
#define MAP2_TAIL_B(left) vec b = v_load_n(in_b + i, left, 1)

#define MAP3_WITH(name, SETUP, EXPRESSION)                                                                             \
    static void K(name)(const ody_map *m) {                                                                            \
        const real *in_a = m->in[0], *in_b = m->in[1], *in_c = m->in[2];                                               \
        real *out = m->out[0];                                                                                         \
        const size_t n = m->n;                                                                                         \
        const double *p = m->param;                                                                                    \
        (void)p;                                                                                                       \
        SETUP;                                                                                                         \
        MAP_BODY(vec a = v_load(in_a + i); vec b = v_load(in_b + i); vec c = v_load(in_c + i), MAP3_TAIL, EXPRESSION); \
    }
#define MAP3_TAIL(left)                                                                                                \
    vec a = v_load_n(in_a + i, left, 1), b = v_load_n(in_b + i, left, 1), c = v_load_n(in_c + i, left, 1)

#define MAP1(name, EXPRESSION) MAP1_WITH(name, , EXPRESSION)
#define MAP2(name, EXPRESSION) MAP2_WITH(name, , EXPRESSION)
#define MAP3(name, EXPRESSION) MAP3_WITH(name, , EXPRESSION)
#endif

MAP2(add, v_add(a, b))
MAP1(exp, v_abs(a))
