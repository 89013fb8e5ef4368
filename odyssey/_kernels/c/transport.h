/* Entropic optimal transport, in the log domain (ody_transport). The plan is a b exp(f + g - cost / reg), f and g the
 * potentials over reg; a step over rows sets f so that rows sum to a, and adds the plan up down the columns on the way: one
 * exponential an element and iteration. What the columns lack of b then corrects g. No entry of such a plan exceeds a, so
 * nothing overflows; a column that underflows is summed from the logarithms (transport_exact). */

/* As exp_below is scaled. */
#ifndef ODY_TRANSPORT_H
#define ODY_TRANSPORT_H
#define LOST (sizeof(real) == 4 ? R(0x1p-90) : (real)0x1p-900)
static inline float log_of_f32(float x) { float lane[16]; f32x16_store(lane, f32x16_log(f32x16_splat(x))); return lane[0]; }
static inline double log_of_f64(double x) { double lane[8]; f64x8_store(lane, f64x8_log(f64x8_splat(x))); return lane[0]; }
static inline float exp_one_f32(float x) { float lane[16]; f32x16_store(lane, f32x16_exp(f32x16_splat(x))); return lane[0]; }
static inline double exp_one_f64(double x) { double lane[8]; f64x8_store(lane, f64x8_exp(f64x8_splat(x))); return lane[0]; }
#endif

static void K(transport_rows)(const ody_transport *v) {
    const size_t n = v->n;
    const real inverse_reg = (real)(1 / v->reg), relaxation = (real)v->relaxation;
    const vec inverse = v_splat(inverse_reg), neutral = v_splat(R(-0.0));
    const real *w = v->w;
    real *line = v->line;
    for (size_t row = v->row; row < v->row + v->rows; row++) {
        const real *cost = (const real *)v->cost + row * n, *y = line, *x = line;
        const real weight = ((const real *)v->a)[row];
        real *out;
        vec most = v_splat(-REAL_INF), total;
        size_t j = 0;
        for (; n - j >= LANES; j += LANES) {
            const vec z = v_fnma(v_load(cost + j), inverse, v_load(w + j));
            v_store(line + j, z);
            most = v_max(z, most);
        }
        if (j < n) {
            const vec z = v_fnma(v_load_n(cost + j, n - j, 0), inverse, v_load_n(w + j, n - j, -REAL_INF));
            v_store_n(line + j, z, n - j);
            most = v_max(z, most);
        }
        const real largest = v_reduce_max(most);
        const vec c = v_splat(largest);
        REDUCE_SEQUENCE(total, n, neutral, neutral, v_add, const vec e = K(exp_below)(v_sub(v_load(line + i), c));
                        v_store(line + i, e); acc = v_add(acc, e),
                        const vec e = K(exp_below)(v_sub(v_load_n(line + i, left, 0), c));
                        v_store_n(line + i, e, left); acc = v_add(acc, e));
        const real sum = v_reduce_add(total), log_sum = largest + K(log_of)(sum * (1 / EXP_SCALE));
        ((real *)v->f)[row] = -relaxation * log_sum;
        ((real *)v->weights)[row] = K(log_of)(weight) - relaxation * log_sum;
        real factor = weight / sum;
        if (relaxation != 1) factor *= K(exp_one)((1 - relaxation) * log_sum);
        K(sinkhorn_spread)(line, n, 1, &factor, (real *)v->partial + row / ODY_SINKHORN_CHUNK * n, row % ODY_SINKHORN_CHUNK == 0, 0);
        if (!v->plan) continue;
        out = (real *)v->plan + row * n;
        const vec by = v_splat(factor);
        ROW_MAP(0, v_mul(b, by));
    }
}

static void K(transport_columns)(const ody_transport *v) {
    const vec relaxation = v_splat((real)v->relaxation), zero = v_zero(), scale = v_splat((real)v->scale), lost = v_splat(LOST);
    const size_t chunks = (v->m + ODY_SINKHORN_CHUNK - 1) / ODY_SINKHORN_CHUNK;
    vec apart = zero, whole = zero, moved = zero;
    int some_lost = 0;
    for (size_t j = 0; j < v->n; j += LANES) {
        const size_t lanes = v->n - j < LANES ? v->n - j : LANES;
        const mask here = m_first(lanes);
        const vec b = v_load_n((const real *)v->b + j, lanes, 0), log_b = v_log(b);
        real *g = (real *)v->g + j, *w = (real *)v->w + j;
        if (v->flags & ODY_GIVEN) {
            v_store_n(g, zero, lanes);
            v_store_n(w, log_b, lanes);
            continue;
        }
        const real *c = (const real *)v->partial + j;
        vec sum = v_load_n(c, lanes, 0);
        for (size_t k = 1; k < chunks; k++) sum = v_add(sum, v_load_n(c + k * v->n, lanes, 0));
        apart = v_add(apart, v_abs(v_sub(sum, b)));
        whole = v_add(whole, b);
        if (v->flags & ODY_FOLD) continue;
        const mask empty = v_eq(b, zero);
        some_lost |= m_any(m_and(here, m_andnot(v_lt(sum, lost), empty)));
        const vec old = v_load_n(g, lanes, 0), step = v_sub(v_log(sum), log_b);
        const vec next = v_select(empty, zero, v_mul(relaxation, v_sub(old, step)));
        const vec change = v_select(here, v_abs(v_sub(next, old)), zero);
        moved = v_select(v_is_nan(change), change, v_max(moved, change));
        const vec scaled = v_mul(next, scale);
        v_store_n(g, scaled, lanes);
        v_store_n(w, v_add(scaled, log_b), lanes);
    }
    *v->lost = some_lost;
    if (v->flags & ODY_GIVEN) return;
    if (v->relaxation != 1) {
        if (!(v->flags & ODY_FOLD)) *v->error = v_reduce_max(moved);
    } else {
        *v->error = (double)v_reduce_add(apart) / (double)v_reduce_add(whole);
    }
}

static void K(transport_exact)(const ody_transport *v) {
    const vec inverse = v_splat((real)(1 / v->reg)), relaxation = v_splat(-(real)v->relaxation), scale = v_splat((real)v->scale);
    const real *weights = v->weights;
    for (size_t j = 0; j < v->n; j += LANES) {
        const size_t lanes = v->n - j < LANES ? v->n - j : LANES;
        vec most = v_splat(-REAL_MAX), sum = v_zero();
        for (size_t i = 0; i < v->m; i++) {
            const vec z = v_fnma(v_load_n((const real *)v->cost + i * v->n + j, lanes, 0), inverse, v_splat(weights[i]));
            const vec next = v_max(z, most);
            sum = v_fma(sum, K(exp_weight)(v_sub(most, next)), K(exp_weight)(v_sub(z, next)));
            most = next;
        }
        const vec b = v_load_n((const real *)v->b + j, lanes, 0);
        const vec g = v_mul(v_mul(relaxation, v_add(most, v_log(sum))), scale);
        const vec chosen = v_select(v_eq(b, v_zero()), v_zero(), g);
        v_store_n((real *)v->g + j, chosen, lanes);
        v_store_n((real *)v->w + j, v_add(chosen, v_log(b)), lanes);
    }
}

static void K(transport_gradient)(const ody_transport *v) {
    const vec by = v_splat((real)(-1 / v->reg));
    const size_t n = v->n;
    for (size_t row = v->row; row < v->row + v->rows; row++) {
        const real *x = (const real *)v->cost + row * n, *y = (const real *)v->a + row * n, *columns = v->g;
        real *out = (real *)v->plan + row * n;
        const vec f = v_splat(((const real *)v->f)[row]);
        for (size_t j = 0; j < n; j += LANES) {
            const size_t lanes = n - j < LANES ? n - j : LANES;
            const vec incoming = v_add(v_add(LOAD_LANES(y + j, lanes), f), LOAD_LANES(columns + j, lanes));
            v_store_n(out + j, v_mul(v_mul(LOAD_LANES(x + j, lanes), incoming), by), lanes);
        }
    }
}
