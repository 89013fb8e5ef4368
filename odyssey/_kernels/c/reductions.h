/* Reductions: what each makes of its elements. How the elements travel stands in sequence.h and reduction.h. */
#include "exp_scaled.h"
#include "sequence.h"

/* The neutral element of a sum is -0: x + -0 is x for every x, -0 included. */
#define SUMMING(name)                                                                                                  \
    ODY_INLINE vec K(name##_neutral)(void) { return v_splat(R(-0.0)); }                                                \
    ODY_INLINE vec K(name##_join)(vec a, vec b) { return v_add(a, b); }                                                \
    ODY_INLINE vec K(name##_unite)(vec a, vec b) { return v_add(a, b); }                                               \
    ODY_INLINE real K(name##_fold)(vec v) { return v_reduce_add(v); }

/* Division is slow, and most sums are divided by 1. */
ODY_INLINE vec K(divided)(vec v, double by) { return by == 1 ? v : v_div(v, v_splat((real)by)); }

/* Processors differ in which NaN they return: results hold one. */
ODY_INLINE vec K(one_nan)(vec v) { return v_select(v_is_nan(v), v_splat(REAL_NAN), v); }

#define ODY_REDUCTION sum
SUMMING(sum)
ODY_INLINE vec K(sum_step)(vec acc, vec x, vec c) { return (void)c, v_add(acc, x); }
ODY_INLINE vec K(sum_finish)(vec total, vec c, const double *p) {
    return (void)c, K(one_nan)(K(divided)(total, p[0]));
}
#include "reduction.h"

#define ODY_REDUCTION norm
SUMMING(norm)
ODY_INLINE vec K(norm_step)(vec acc, vec x, vec c) { return (void)c, v_fma(x, x, acc); }
ODY_INLINE vec K(norm_finish)(vec total, vec c, const double *p) { return (void)c, (void)p, K(one_nan)(v_sqrt(total)); }
#include "reduction.h"

#define ODY_REDUCTION deviations
SUMMING(deviations)
ODY_INLINE vec K(deviations_step)(vec acc, vec x, vec c) {
    vec d = v_sub(x, c);
    return v_fma(d, d, acc);
}
ODY_INLINE vec K(deviations_finish)(vec total, vec c, const double *p) {
    return (void)c, K(one_nan)(K(divided)(total, p[0]));
}
#include "reduction.h"

/* Exponentials in loops that appear many times: inlined where an instruction does sixteen lanes' work, else a call. */
ODY_LARGE vec K(exp_of)(vec x) { return v_exp(x); }
ODY_LARGE vec K(exp_below)(vec x) { return K(exp_scaled)(x); }

/* c is the maximum: where it is infinite or NaN it is the result, whatever the sum. */
#define ODY_REDUCTION logsumexp
SUMMING(logsumexp)
ODY_INLINE vec K(logsumexp_step)(vec acc, vec x, vec c) { return v_add(acc, K(exp_below)(v_sub(x, c))); }
ODY_INLINE vec K(logsumexp_finish)(vec total, vec c, const double *p) {
    (void)p;
    vec sum = v_mul(total, v_splat(1 / EXP_SCALE));
    return K(one_nan)(v_select(v_le(v_abs(c), v_splat(REAL_MAX)), v_add(v_log(sum), c), c));
}
#include "reduction.h"

/* A NaN, once taken in, stays; of equal elements the first stays. */
#define EXTREMUM(name, v_extremum, v_reduce_extremum, WORST)                                                           \
    ODY_INLINE vec K(name##_neutral)(void) { return v_splat(WORST); }                                                  \
    ODY_INLINE vec K(name##_step)(vec acc, vec x, vec c) {                                                             \
        return (void)c, v_select(v_is_nan(x), x, v_extremum(x, acc));                                                  \
    }                                                                                                                  \
    ODY_INLINE vec K(name##_join)(vec a, vec b) { return v_select(v_is_nan(b), b, v_extremum(b, a)); }                 \
    ODY_INLINE vec K(name##_unite)(vec a, vec b) { return v_select(v_is_nan(a), a, v_extremum(a, b)); }                \
    ODY_INLINE real K(name##_fold)(vec v) { return m_any(v_is_nan(v)) ? REAL_NAN : v_reduce_extremum(v); }             \
    ODY_INLINE vec K(name##_finish)(vec v, vec c, const double *p) { return (void)c, (void)p, K(one_nan)(v); }

#define ODY_REDUCTION max
EXTREMUM(max, v_max, v_reduce_max, -REAL_INF)
#include "reduction.h"

#define ODY_REDUCTION min
EXTREMUM(min, v_min, v_reduce_min, REAL_INF)
#include "reduction.h"

#define ODY_EXTREMUM_AT argmax
#define BETTER v_gt
#define MORE_EXTREME(a, b) ((a) > (b))
#define V_EXTREMUM v_max
#define V_REDUCE_EXTREMUM v_reduce_max
#define WORST (-REAL_INF)
#include "extremum_at.h"

#define ODY_EXTREMUM_AT argmin
#define BETTER v_lt
#define MORE_EXTREME(a, b) ((a) < (b))
#define V_EXTREMUM v_min
#define V_REDUCE_EXTREMUM v_reduce_min
#define WORST REAL_INF
#include "extremum_at.h"

static void K(dot)(const ody_rows *r) {
    const vec neutral = v_splat(R(-0.0));
    const size_t n = r->n;
    for (size_t row = 0; row < r->rows; row++) {
        const real *a = AT(r->in[0], (ptrdiff_t)row * r->in_step[0]);
        const real *b = AT(r->in[1], (ptrdiff_t)row * r->in_step[1]);
        real *out = (real *)AT(r->out[0], (ptrdiff_t)row * r->out_step[0]);
        vec total;
        if (r->flags & ODY_FOLD) {
            total = neutral;
            for (size_t i = 0; i < n; i++) total = v_add(total, v_load(a + i * LANES));
        } else {
            REDUCE_SEQUENCE(total, n, neutral, neutral, v_add, acc = v_fma(v_load(a + i), v_load(b + i), acc),
                            acc = v_fma(v_load_n(a + i, left, 0), v_load_n(b + i, left, 0), acc));
        }
        if (r->flags & ODY_PARTIAL)
            v_store(out, total);
        else
            v_store_n(out, K(one_nan)(v_splat(v_reduce_add(total))), 1);
    }
}

/* Squares of LANES by LANES elements in registers, what is left over one by one. */
static void K(transpose)(const ody_rows *r) {
    const size_t rows = r->rows, n = r->n;
    const char *in = r->in[0];
    char *out = r->out[0];
    for (size_t row = 0; row < rows; row += LANES) {
        size_t height = rows - row < LANES ? rows - row : LANES;
        for (size_t j = 0; j < n; j += LANES) {
            size_t width = n - j < LANES ? n - j : LANES;
            vec square[LANES];
            if (height == LANES && width == LANES) {
                for (size_t k = 0; k < LANES; k++)
                    square[k] = v_load(AT(in, (ptrdiff_t)(j + k) * r->in_step[0]) + row);
                v_transpose(square);
                for (size_t k = 0; k < LANES; k++)
                    v_store((real *)AT(out, (ptrdiff_t)(row + k) * r->out_step[0]) + j, square[k]);
            } else {
                for (size_t k = 0; k < height; k++)
                    for (size_t l = 0; l < width; l++)
                        ((real *)AT(out, (ptrdiff_t)(row + k) * r->out_step[0]))[j + l] =
                            AT(in, (ptrdiff_t)(j + l) * r->in_step[0])[row + k];
            }
        }
    }
}
