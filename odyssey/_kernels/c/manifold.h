/* Maps of the Poincare ball of curvature -c, row by row: sums of a row first, then a combination of its points with
 * factors made of them.
 *
 * With A and B the gaps 1 - c |x|^2 and 1 - c |y|^2, and s = |x + y|^2, Moebius' sum is (A (x + y) + c s x) / (A B + c s):
 * the textbook's form, in terms of which none cancels near the boundary. The other maps are made of it. */

static inline real K(lane)(vec v) {
    real lanes[LANES];
    v_store(lanes, v);
    return lanes[0];
}

#define MAP_ROW(p) AT(r->in[p], (ptrdiff_t)row * r->in_step[p])
#define MAP_ROWS for (size_t row = 0; row < r->rows; row++)

/* out0 = by_sum (x + scale y) + by_x x; out1 = the smaller gap. */
static inline void K(combine_two)(const ody_rows *r, size_t row, real scale, real by_sum, real by_x, real gap) {
    const real *x = MAP_ROW(0), *y = MAP_ROW(1);
    real *out = (real *)AT(r->out[0], (ptrdiff_t)row * r->out_step[0]);
    for (size_t i = 0; i < r->n; i += LANES) {
        const size_t lanes = r->n - i < LANES ? r->n - i : LANES;
        const vec a = LOAD_LANES(x + i, lanes), b = LOAD_LANES(y + i, lanes);
        const vec sum = v_fma(b, v_splat(scale), a);
        v_store_n(out + i, v_fma(sum, v_splat(by_sum), v_mul(a, v_splat(by_x))), lanes);
    }
    *(real *)AT(r->out[1], (ptrdiff_t)row * r->out_step[1]) = gap;
}

/* |x + scale y|^2 */
static inline real K(square_of_sum)(const real *x, const real *y, size_t n, real scale) {
    const vec by = v_splat(-scale);
    return K(squares)(K(SCALED_SUM), x, y, n, &by);
}

/* Moebius' sum of x and scale y. */
static inline void K(moebius)(const ody_rows *r, size_t row, real scale, real gap_x, real gap_y, real c) {
    const real bent = c * K(square_of_sum)(MAP_ROW(0), MAP_ROW(1), r->n, scale);
    const real by = 1 / (gap_x * gap_y + bent);
    K(combine_two)(r, row, scale, gap_x * by, bent * by, gap_x < gap_y || !(gap_x == gap_x) ? gap_x : gap_y);
}

static void K(mobius_add)(const ody_rows *r) {
    const real c = (real)r->param[0];
    MAP_ROWS {
        real sums[SUMS];
        K(pair_sums)(OF_X | OF_Y, MAP_ROW(0), MAP_ROW(1), r->n, sums);
        K(moebius)(r, row, 1, K(gap_of)(MAP_ROW(0), r->n, c, sums[1]), K(gap_of)(MAP_ROW(1), r->n, c, sums[2]), c);
    }
}

/* x + tanh(t) v / (sqrt(c) |v|) in Moebius' sense, t = sqrt(c) |v| / A. The gap of the second is 1 / cosh(t)^2. */
static void K(exp_map)(const ody_rows *r) {
    const real c = (real)r->param[0], root = K(root_of)(c);
    MAP_ROWS {
        const real *x = MAP_ROW(0), *v = MAP_ROW(1);
        real sums[SUMS];
        K(pair_sums)(OF_X | OF_Y, x, v, r->n, sums);
        const real gap_x = K(gap_of)(x, r->n, c, sums[1]), length = K(root_of)(sums[2]);
        const real t = root * length / gap_x;
        real scale = 1 / gap_x, gap_y = 1;
        if (!(sums[2] < SQUARES_LEAST) && !(t == 0)) {
            const real e = K(lane)(v_exp(v_splat(-2 * t)));
            scale = K(lane)(v_tanh(v_splat(t))) / (root * length);
            gap_y = 4 * e / ((1 + e) * (1 + e));
            /* No digit of the step shows less; and where it just undoes x, nothing is divided by 0. */
            if (gap_y < REAL_EPS * REAL_EPS) gap_y = REAL_EPS * REAL_EPS;
        }
        const real bent = c * K(square_of_sum)(x, v, r->n, scale), by = 1 / (gap_x * gap_y + bent);
        K(combine_two)(r, row, scale, gap_x * by, bent * by, gap_x);
    }
}

/* With q = c |x - y|^2 / (A B): asinh(sqrt q) / sqrt q / (B sqrt(1 + q)) (A (y - x) - c |x - y|^2 x). */
static void K(log_map)(const ody_rows *r) {
    const real c = (real)r->param[0], root = K(root_of)(c);
    MAP_ROWS {
        const real *x = MAP_ROW(0), *y = MAP_ROW(1);
        real sums[SUMS];
        K(pair_sums)(OF_X | OF_Y, x, y, r->n, sums);
        const real gap_x = K(gap_of)(x, r->n, c, sums[1]), gap_y = K(gap_of)(y, r->n, c, sums[2]);
        const real distance = K(distance_of)(x, y, r->n), bent = c * distance * distance;
        const real z = root * distance / K(root_of)(gap_x * gap_y);
        const real ratio = z < R(1e-9) ? 1 : K(lane)(K(asinh_of)(v_splat(z))) / z;
        const real by = ratio / (gap_y * K(root_of)(1 + z * z));
        K(combine_two)(r, row, -1, -by * gap_x, -by * bent, gap_x < gap_y || !(gap_x == gap_x) ? gap_x : gap_y);
    }
}

/* x, or where sqrt(c) |x| is more than `most`, x times most / (sqrt(c) |x|). */
static void K(project_to_ball)(const ody_rows *r) {
    const real root = K(root_of)((real)r->param[0]), most = (real)r->param[1];
    MAP_ROWS {
        const real *x = MAP_ROW(0);
        real *out = (real *)AT(r->out[0], (ptrdiff_t)row * r->out_step[0]), sums[SUMS];
        K(pair_sums)(OF_X, x, x, r->n, sums);
        real before = 1, scale = 1;
        if (sums[1] > REAL_MAX || root * K(root_of)(sums[1]) > most) {
            const K(direction) d = K(direction_of)(x, r->n, sums[1]);
            before = d.scale;
            scale = most / root * d.reciprocal;
        }
        for (size_t i = 0; i < r->n; i += LANES) {
            const size_t lanes = r->n - i < LANES ? r->n - i : LANES;
            v_store_n(out + i, v_mul(v_mul(LOAD_LANES(x + i, lanes), v_splat(before)), v_splat(scale)), lanes);
        }
    }
}

/* (u + sign v) w */
static inline real K(sum_times)(const real *u, const real *v, const real *w, size_t n, real sign) {
    const vec by = v_splat(sign);
    vec lanes;
    REDUCE_SEQUENCE(lanes, n, v_zero(), v_zero(), v_add,
                    acc = v_fma(v_fma(v_load(v + i), by, v_load(u + i)), v_load(w + i), acc),
                    acc = v_fma(v_fma(v_load_n(v + i, left, 0), by, v_load_n(u + i, left, 0)), v_load_n(w + i, left, 0), acc));
    return v_reduce_add(lanes);
}

/* in0 = u, in1 = v, in2 = w. With e = u + v: w + 2 c / (A B + c |e|^2) ((B <e,w> + c |e|^2 <v,w>) u - (A <u,w> +
 * c |u|^2 <e,w>) e); the textbook's factors of u and v are large and nearly opposite where e is small. With param1 the
 * transport of w from v to u: -v in v's place, and all times A / B. */
static void K(gyration)(const ody_rows *r) {
    const real c = (real)r->param[0], sign = r->param[1] != 0 ? -1 : 1;
    MAP_ROWS {
        const real *u = MAP_ROW(0), *v = MAP_ROW(1), *w = MAP_ROW(2);
        real *out = (real *)AT(r->out[0], (ptrdiff_t)row * r->out_step[0]);
        real sums[SUMS], with_u[SUMS], with_v[SUMS];
        K(pair_sums)(OF_X | OF_Y, u, v, r->n, sums);
        K(pair_sums)(OF_PRODUCT, u, w, r->n, with_u);
        K(pair_sums)(OF_PRODUCT, v, w, r->n, with_v);
        const real gap_u = K(gap_of)(u, r->n, c, sums[1]), gap_v = K(gap_of)(v, r->n, c, sums[2]);
        const real bent = c * K(square_of_sum)(u, v, r->n, sign), ew = K(sum_times)(u, v, w, r->n, sign);
        const real twice = 2 * c / (gap_u * gap_v + bent), factor = sign < 0 ? gap_u / gap_v : 1;
        const real of_u = twice * (gap_v * ew + bent * (sign * with_v[3]));
        const real of_e = -twice * (gap_u * with_u[3] + c * sums[1] * ew);
        const vec by_u = v_splat(factor * of_u), by_e = v_splat(factor * of_e), by_w = v_splat(factor), by = v_splat(sign);
        for (size_t i = 0; i < r->n; i += LANES) {
            const size_t lanes = r->n - i < LANES ? r->n - i : LANES;
            const vec p = LOAD_LANES(u + i, lanes), q = LOAD_LANES(v + i, lanes), t = LOAD_LANES(w + i, lanes);
            v_store_n(out + i, v_fma(p, by_u, v_fma(v_fma(q, by, p), by_e, v_mul(t, by_w))), lanes);
        }
        *(real *)AT(r->out[1], (ptrdiff_t)row * r->out_step[1]) = gap_u < gap_v || !(gap_u == gap_u) ? gap_u : gap_v;
    }
}
