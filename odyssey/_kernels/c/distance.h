/* Distances between points: Euclidean, in the Poincare ball of curvature -c, and the angle between directions; row by row,
 * of all pairs, and their gradients.
 *
 * Each is taken from |x - y| itself, so that near points keep their digits: sums of squares where all goes well, and the
 * row once more, with care, where it does not: scaled by a power of two where squares leave the range, with a compensated
 * sum where 1 - c |x|^2 cancels, from the unit vectors' difference where the cosine would. What is done for a pair depends
 * on its two points alone. */
#ifndef ODY_DISTANCE
#define ODY_DISTANCE
enum { OF_DIFFERENCE = 1, OF_X = 2, OF_Y = 4, OF_PRODUCT = 8, SUMS = 4 };
#define EUCLIDEAN_NEAR 0.125 /* part of |x|^2 + |y|^2 below which |x - y|^2 is not taken from the product */
#define GAP_NEAR 0.25        /* 1 - c |x|^2 below which the sum is compensated */
#define COSINE_NEAR 0.7071   /* cosines beyond which an angle is taken from a chord */
/* Sums of squares in between hold every term that matters; outside, terms are scaled first. */
#define SQUARES_LEAST (sizeof(real) == 4 ? R(0x1p-100) : (real)0x1p-950)
#define SCALE_UP (sizeof(real) == 4 ? R(0x1p100) : (real)0x1p600)
#define SCALE_DOWN (sizeof(real) == 4 ? R(0x1p-100) : (real)0x1p-600)
#define IN_RANGE(sum) ((sum) >= SQUARES_LEAST && (sum) <= REAL_MAX)
#endif

static inline real K(root_of)(real a) { return (real)sqrt((double)a); } /* rounds as the real type's own root does */

/* ---- two functions --------------------------------------------------------------------------------------------------- */

/* asinh z for z >= 0 whose square is finite: a few ulp. */
ODY_LARGE vec K(asinh_of)(vec z) {
    const vec one = v_splat(1), square = v_mul(z, z), root = v_sqrt(v_add(one, square));
    return v_log1p(v_add(z, v_div(square, v_add(one, root))));
}

/* 2 atan(sqrt(p / q)) for p, q >= 0, not both zero: a few ulp. The smaller root over the larger is at most 1; beyond
 * tan(pi / 8) its angle is pi / 4 less that of (larger - smaller) / (larger + smaller). */
ODY_LARGE vec K(angle_of)(vec p, vec q) {
    const vec a = v_sqrt(p), b = v_sqrt(q), small = v_min(a, b), large = v_max(a, b);
    const mask beyond = v_gt(small, v_mul(large, v_splat(R(0.41421356))));
    const vec t = v_div(v_select(beyond, v_sub(large, small), small), v_select(beyond, v_add(large, small), large));
    const vec square = v_mul(t, t);
    enum { TERMS = sizeof K(ody_atan) / sizeof *K(ody_atan) };
    vec sum = v_splat(K(ody_atan)[TERMS - 1]);
    for (int i = TERMS - 2; i >= 0; i--) sum = v_fma(sum, square, v_splat(K(ody_atan)[i]));
    /* Twice the angle, in three steps that each undo a reflection. */
    vec angle = v_mul(v_splat(2), v_fma(v_mul(square, t), sum, t));
    angle = v_select(beyond, v_sub(v_splat(R(1.57079632679489661923)), angle), angle);
    angle = v_select(v_gt(a, b), v_sub(v_splat(R(3.14159265358979323846)), angle), angle);
    return v_select(m_or(v_is_nan(p), v_is_nan(q)), v_splat(REAL_NAN), angle);
}

/* ---- sums over pairs of rows ---------------------------------------------------------------------------------------- */

/* Of one pair of rows the sums that `what` names, of |x - y|^2, |x|^2, |y|^2 and x y, to sums[0 .. 4), each added up as
 * every sequence is (sequence.h). One row after another, though y is read again for each: two streams of rows side by side
 * come from the third-level cache a fifth slower than one. */
ODY_INLINE void K(pair_sums)(const int what, const real *x, const real *y, size_t n, real *sums) {
    vec total[SUMS], chunk_total[SUMS], acc[SUMS];
#define EACH_SUM(STATEMENT)                                                                                            \
    _Pragma("GCC unroll 4") for (int s = 0; s < SUMS; s++) if (what & 1 << s) STATEMENT
#define TERMS(LOAD)                                                                                                    \
    do {                                                                                                               \
        const vec a = LOAD(x), b = what == OF_X ? a : LOAD(y), d = v_sub(a, b);                                        \
        if (what & OF_DIFFERENCE) acc[0] = v_fma(d, d, acc[0]);                                                        \
        if (what & OF_X) acc[1] = v_fma(a, a, acc[1]);                                                                 \
        if (what & OF_Y) acc[2] = v_fma(b, b, acc[2]);                                                                 \
        if (what & OF_PRODUCT) acc[3] = v_fma(a, b, acc[3]);                                                           \
    } while (0)
#define WHOLE(p) v_load((p) + i)
#define REST(p) v_load_n((p) + i, left, 0)
    EACH_SUM(total[s] = v_zero());
    for (size_t i = 0; i < n;) {
        const size_t chunk_end = n - i > CHUNK ? i + CHUNK : n;
        EACH_SUM(chunk_total[s] = v_zero());
        while (chunk_end - i >= BLOCK) {
            EACH_SUM(acc[s] = v_zero());
            _Pragma("GCC unroll 8") for (int term = 0; term < BLOCK_TERMS; term++, i += LANES) TERMS(WHOLE);
            EACH_SUM(chunk_total[s] = v_add(chunk_total[s], acc[s]));
        }
        if (i < chunk_end) {
            EACH_SUM(acc[s] = v_zero());
            for (; chunk_end - i >= LANES; i += LANES) TERMS(WHOLE);
            if (i < chunk_end) {
                const size_t left = chunk_end - i;
                TERMS(REST);
                i = chunk_end;
            }
            EACH_SUM(chunk_total[s] = v_add(chunk_total[s], acc[s]));
        }
        EACH_SUM(total[s] = v_add(total[s], chunk_total[s]));
    }
    EACH_SUM(sums[s] = v_reduce_add(total[s]));
#undef EACH_SUM
#undef TERMS
#undef WHOLE
#undef REST
}

/* ---- what goes wrong, once more with care --------------------------------------------------------------------------- */

/* The terms whose squares are added up, of a = x[i], b = y[i]; factors are by[0] .. by[3]. */
enum K(term) { K(DIFFERENCE), K(DIFFERENCE_SCALED), K(SCALED_DIFFERENCE), K(SCALED), K(CHORD), K(SCALED_SUM) };

ODY_INLINE vec K(square_step)(const int what, vec acc, vec a, vec b, const vec *by) {
    vec term = v_sub(a, b);
    if (what == K(DIFFERENCE_SCALED)) term = v_mul(term, by[0]);
    if (what == K(SCALED_DIFFERENCE)) term = v_sub(v_mul(a, by[0]), v_mul(b, by[0]));
    if (what == K(SCALED_SUM)) term = v_fnma(b, by[0], a);
    if (what == K(SCALED)) term = v_mul(a, by[0]);
    if (what == K(CHORD)) { /* no fma: the same of x, y and of y, x, and 0 of x, x */
        term = v_sub(v_mul(v_mul(a, by[0]), by[1]), v_mul(v_mul(b, by[2]), by[3]));
    }
    return v_fma(term, term, acc);
}

ODY_INLINE real K(squares)(const int what, const real *x, const real *y, size_t n, const vec *by) {
    vec lanes;
    REDUCE_SEQUENCE(lanes, n, v_zero(), v_zero(), v_add,
                    acc = K(square_step)(what, acc, v_load(x + i), v_load(y + i), by),
                    acc = K(square_step)(what, acc, v_load_n(x + i, left, 0), v_load_n(y + i, left, 0), by));
    return v_reduce_add(lanes);
}

/* |x - y|, of which a sum of squares out of range is known. */
static __attribute__((noinline)) real K(scaled_distance)(const real *x, const real *y, size_t n, real sum) {
    if (sum < SQUARES_LEAST) {
        const vec up = v_splat(SCALE_UP);
        sum = K(squares)(K(DIFFERENCE_SCALED), x, y, n, &up);
        return K(root_of)(sum) / SCALE_UP;
    }
    const vec down = v_splat(SCALE_DOWN);
    sum = K(squares)(K(SCALED_DIFFERENCE), x, y, n, &down);
    return K(root_of)(sum) / SCALE_DOWN;
}

static __attribute__((noinline)) real K(distance_of)(const real *x, const real *y, size_t n) {
    const real sum = K(squares)(K(DIFFERENCE), x, y, n, NULL);
    return IN_RANGE(sum) ? K(root_of)(sum) : K(scaled_distance)(x, y, n, sum);
}

/* The factor that brings squares of x into range, and 1 / |x| after it: 0 where x is 0, NaN where x is not finite. */
typedef struct K(direction) {
    real scale, reciprocal;
} K(direction);

static K(direction) K(direction_of)(const real *x, size_t n, real sum) {
    K(direction) d = {1, 0};
    if (!IN_RANGE(sum)) {
        d.scale = sum < SQUARES_LEAST ? SCALE_UP : SCALE_DOWN;
        const vec scale = v_splat(d.scale);
        sum = K(squares)(K(SCALED), x, x, n, &scale);
    }
    d.reciprocal = sum == 0 ? 0 : sum <= REAL_MAX ? 1 / K(root_of)(sum) : REAL_NAN;
    return d;
}

/* |x / |x| - y / |y||^2, or |x / |x| + y / |y||^2 where sign is -1. */
static __attribute__((noinline)) real K(chord_of)(const real *x, const real *y, size_t n, K(direction) of_x,
                                                  K(direction) of_y, real sign) {
    const vec by[4] = {v_splat(of_x.scale), v_splat(of_x.reciprocal), v_splat(of_y.scale),
                       v_splat(sign * of_y.reciprocal)};
    return K(squares)(K(CHORD), x, y, n, by);
}

/* 1 - c |x|^2 with the squares and the sum to twice the digits. */
static __attribute__((noinline)) real K(compensated_gap)(const real *x, size_t n, real c) {
    vec high = v_zero(), low = v_zero();
    for (size_t i = 0; i < n; i += LANES) {
        const vec a = n - i < LANES ? v_load_n(x + i, n - i, 0) : v_load(x + i);
        const vec square = v_mul(a, a), sum = v_add(high, square), part = v_sub(sum, high);
        const vec lost = v_add(v_sub(high, v_sub(sum, part)), v_sub(square, part));
        low = v_add(low, v_add(lost, v_fms(a, a, square)));
        high = sum;
    }
    real highs[LANES], total = 0, rest = v_reduce_add(low), gaps[LANES];
    v_store(highs, high);
    for (size_t l = 0; l < LANES; l++) {
        const real sum = total + highs[l], part = sum - total;
        rest += (total - (sum - part)) + (highs[l] - part);
        total = sum;
    }
    const vec by = v_splat(c), whole = v_splat(total), product = v_mul(by, whole);
    const vec tail = v_fma(by, v_splat(rest), v_fms(by, whole, product));
    v_store(gaps, v_sub(v_sub(v_splat(1), product), tail));
    return gaps[0];
}

/* 1 - c |x|^2, whose sum of squares is known; NaN if it is. */
static inline real K(gap_of)(const real *x, size_t n, real c, real sum) {
    const real gap = 1 - c * sum;
    return gap >= (real)GAP_NEAR || !(gap == gap) || sum > REAL_MAX ? gap : K(compensated_gap)(x, n, c);
}

/* ---- distances of rows ---------------------------------------------------------------------------------------------- */

#define DISTANT_ROW(p, k) AT(r->in[p], (ptrdiff_t)(row + (k)) * r->in_step[p])

/* The sums of `count` rows from `row` on. */
#define ROWS_IN_SUMS(what)                                                                                             \
    for (size_t k = 0; k < count; k++) {                                                                               \
        real of_row[SUMS];                                                                                             \
        K(pair_sums)(what, DISTANT_ROW(0, k), DISTANT_ROW(1, k), n, of_row);                                           \
        for (int s = 0; s < SUMS; s++)                                                                                 \
            if ((what) & 1 << s) sums[s][k] = of_row[s];                                                               \
    }

#define STORE_DISTANCES(values)                                                                                        \
    for (size_t k = 0; k < count; k++) *(real *)AT(r->out[0], (ptrdiff_t)(row + k) * r->out_step[0]) = (values)[k]

#define CLEARED_SUMS real sums[SUMS][LANES] = {{0}}
#define EACH_GROUP                                                                                                     \
    for (size_t row = 0, count; row < r->rows; row += LANES)                                                            \
        if ((count = r->rows - row < LANES ? r->rows - row : LANES))

ODY_INLINE mask K(in_range)(vec sums) { return m_and(v_ge(sums, v_splat(SQUARES_LEAST)), v_le(sums, v_splat(REAL_MAX))); }

/* The lanes of `count` rows that are not in the mask. */
#define ROWS_NOT_IN(m) (~m_bits(m) & (uint32_t)((1ull << count) - 1))
#define EACH_ROW_OF(rows) for (uint32_t left_ = (rows), k = 0; left_ && (k = (uint32_t)__builtin_ctz(left_), 1); left_ &= left_ - 1)

/* The roots of |x - y|^2, squares. */
static inline vec K(distances_from_sums)(const ody_rows *r, size_t row, size_t count, const real *squares) {
    const vec all = v_load(squares);
    const uint32_t careful = ROWS_NOT_IN(K(in_range)(all));
    if (__builtin_expect(careful == 0, 1)) return v_sqrt(all);
    real each[LANES];
    v_store(each, v_sqrt(all));
    EACH_ROW_OF(careful) each[k] = K(scaled_distance)(DISTANT_ROW(0, k), DISTANT_ROW(1, k), r->n, squares[k]);
    return v_load(each);
}

/* gap_of all of operand p's rows. */
static inline vec K(gaps_from_sums)(const ody_rows *r, int p, size_t row, size_t count, real c, const real *squares) {
    const vec gaps = v_sub(v_splat(1), v_mul(v_splat(c), v_load(squares)));
    const uint32_t careful = ROWS_NOT_IN(v_ge(gaps, v_splat((real)GAP_NEAR)));
    if (__builtin_expect(careful == 0, 1)) return gaps;
    real each[LANES];
    v_store(each, gaps);
    EACH_ROW_OF(careful) each[k] = K(gap_of)(DISTANT_ROW(p, k), r->n, c, squares[k]);
    return v_load(each);
}

static void K(euclidean_distance)(const ody_rows *r) {
    const size_t n = r->n;
    EACH_GROUP {
        CLEARED_SUMS;
        real distances[LANES];
        ROWS_IN_SUMS(OF_DIFFERENCE)
        v_store(distances, K(one_nan)(K(distances_from_sums)(r, row, count, sums[0])));
        STORE_DISTANCES(distances);
    }
}

/* From |x - y| and both gaps; -1 where a gap is not positive, inf instead where `far`. */
ODY_INLINE vec K(poincare_of)(vec distance, vec gap_x, vec gap_y, real c, int far) {
    const vec root = v_sqrt(v_splat(c)), zero = v_zero();
    const vec z = v_div(v_mul(root, distance), v_sqrt(v_mul(gap_x, gap_y)));
    const vec inside = v_div(v_mul(v_splat(2), K(asinh_of)(z)), root);
    mask outside = m_or(v_le(gap_x, zero), v_le(gap_y, zero));
    if (far) outside = m_andnot(outside, m_or(v_is_nan(gap_x), v_is_nan(gap_y)));
    return v_select(outside, v_splat(far ? REAL_INF : -1), K(one_nan)(inside));
}

static void K(poincare_distance)(const ody_rows *r) {
    const size_t n = r->n;
    const real c = (real)r->param[0];
    const int far = r->param[1] != 0, point = r->in_step[1] == 0;
    real gap_point = 0;
    if (point && r->rows) {
        const real *y = r->in[1];
        real part[SUMS];
        K(pair_sums)(OF_X, y, y, n, part);
        gap_point = K(gap_of)(y, n, c, part[1]);
    }
    EACH_GROUP {
        CLEARED_SUMS;
        real distances[LANES];
        if (point)
            ROWS_IN_SUMS(OF_DIFFERENCE | OF_X)
        else
            ROWS_IN_SUMS(OF_DIFFERENCE | OF_X | OF_Y)
        const vec distance = K(distances_from_sums)(r, row, count, sums[0]);
        const vec gap_x = K(gaps_from_sums)(r, 0, row, count, c, sums[1]);
        const vec gap_y = point ? v_splat(gap_point) : K(gaps_from_sums)(r, 1, row, count, c, sums[2]);
        v_store(distances, K(poincare_of)(distance, gap_x, gap_y, c, far));
        STORE_DISTANCES(distances);
    }
}

/* The cosine, and whether an angle may be taken from it. */
ODY_INLINE mask K(cosine_serves)(vec product, vec by_x, vec by_y, vec *cosine) {
    const vec both = v_mul(by_x, by_y); /* first: the same of x, y and of y, x */
    *cosine = v_mul(product, both);
    return m_and(v_le(v_abs(*cosine), v_splat((real)COSINE_NEAR)), v_ge(both, v_splat(SQUARES_LEAST)));
}

/* Both chords of one pair, |x/|x| - y/|y||^2 and the sum's: the smaller from the vectors, and the other is what is left of 4.
 * `product` tells by its sign which is which. A direction of length 0 is at a right angle to every other, and no distance
 * from its like. */
static void K(chords_of)(const real *x, const real *y, size_t n, K(direction) of_x, K(direction) of_y, real product,
                         real *p, real *q) {
    const real sign = product < 0 ? -1 : 1;
    const real chord = K(chord_of)(x, y, n, of_x, of_y, sign);
    real other = 4 - chord;
    if (of_x.reciprocal == 0 || of_y.reciprocal == 0) other = chord == 0 ? 1 : chord;
    *p = sign > 0 ? chord : other;
    *q = sign > 0 ? other : chord;
}

/* The same for vectors of any length, whose sums of squares and product are known; whether one has length 0. */
static __attribute__((noinline)) int K(careful_chords)(const real *x, const real *y, size_t n, real sum_x, real sum_y,
                                                       real product, real *p, real *q) {
    const K(direction) of_x = K(direction_of)(x, n, sum_x), of_y = K(direction_of)(y, n, sum_y);
    if (!(IN_RANGE(sum_x) && IN_RANGE(sum_y))) product = 2 - K(chord_of)(x, y, n, of_x, of_y, 1);
    K(chords_of)(x, y, n, of_x, of_y, product, p, q);
    return of_x.reciprocal == 0 || of_y.reciprocal == 0;
}

static void K(spherical_distance)(const ody_rows *r) {
    const size_t n = r->n;
    const int allow = r->param[0] != 0, point = r->in_step[1] == 0;
    const vec one = v_splat(1), two = v_splat(2);
    real sum_point = 0;
    if (point && r->rows) {
        const real *y = r->in[1];
        real part[SUMS];
        K(pair_sums)(OF_X, y, y, n, part);
        sum_point = part[1];
    }
    EACH_GROUP {
        CLEARED_SUMS;
        real p[LANES], q[LANES];
        if (point) {
            ROWS_IN_SUMS(OF_X | OF_PRODUCT)
            v_store(sums[2], v_splat(sum_point));
        } else {
            ROWS_IN_SUMS(OF_X | OF_Y | OF_PRODUCT)
        }
        const vec sum_x = v_load(sums[1]), sum_y = v_load(sums[2]);
        vec cosine;
        const mask serves = K(cosine_serves)(v_load(sums[3]), v_div(one, v_sqrt(sum_x)), v_div(one, v_sqrt(sum_y)), &cosine);
        const uint32_t careful = ROWS_NOT_IN(m_and(serves, m_and(K(in_range)(sum_x), K(in_range)(sum_y))));
        uint32_t zero = 0;
        v_store(p, v_fnma(two, cosine, two));
        v_store(q, v_fma(two, cosine, two));
        EACH_ROW_OF(careful) {
            const real *x = DISTANT_ROW(0, k), *y = DISTANT_ROW(1, k);
            zero |= (uint32_t)K(careful_chords)(x, y, n, sums[1][k], sums[2][k], sums[3][k], &p[k], &q[k]) << k;
        }
        v_store(p, K(angle_of)(v_load(p), v_load(q)));
        if (!allow) EACH_ROW_OF(zero) p[k] = -1;
        STORE_DISTANCES(p);
    }
}

/* ---- all pairs ------------------------------------------------------------------------------------------------------ */

/* out0 = |x|^2, out1 = 1 - c |x|^2, by which a row of pairs begins. */
static void K(ball_points)(const ody_rows *r) {
    const size_t n = r->n;
    const real c = (real)r->param[0];
    for (size_t row = 0; row < r->rows; row++) {
        const real *x = DISTANT_ROW(0, 0);
        real part[SUMS];
        K(pair_sums)(OF_X, x, x, n, part);
        *(real *)AT(r->out[0], (ptrdiff_t)row * r->out_step[0]) = part[1];
        *(real *)AT(r->out[1], (ptrdiff_t)row * r->out_step[1]) = c == 0 ? 1 : K(gap_of)(x, n, c, part[1]);
    }
}

/* out0 = |x|^2, out1 = 1 / |x|, or 0 where x is 0, or NaN where its squares are out of range. */
static void K(direction_points)(const ody_rows *r) {
    const size_t n = r->n;
    for (size_t row = 0; row < r->rows; row++) {
        const real *x = DISTANT_ROW(0, 0);
        real part[SUMS];
        K(pair_sums)(OF_X, x, x, n, part);
        const real sum = part[1];
        real by = REAL_NAN;
        if (IN_RANGE(sum))
            by = 1 / K(root_of)(sum);
        else if (K(direction_of)(x, n, sum).reciprocal == 0)
            by = 0;
        *(real *)AT(r->out[0], (ptrdiff_t)row * r->out_step[0]) = sum;
        *(real *)AT(r->out[1], (ptrdiff_t)row * r->out_step[1]) = by;
    }
}

#define PAIR_Y(j) AT(p->y, (ptrdiff_t)(j) * p->y_step)

/* |x - y| from |x|^2, |y|^2 and x y where they are far apart, else from the points. */
static inline vec K(pair_distances)(const ody_pairs *p, const real *x, real size_x, vec size_y, vec product, size_t j,
                                    size_t lanes) {
    const vec sizes = v_add(v_splat(size_x), size_y), square = v_fnma(v_splat(2), product, sizes);
    const mask far = m_and(v_ge(square, v_mul(v_splat((real)EUCLIDEAN_NEAR), sizes)), K(in_range)(sizes));
    const vec distances = v_sqrt(square);
    uint32_t near = ~m_bits(far) & ((1u << lanes) - 1);
    if (__builtin_expect(near == 0, 1)) return distances;
    real each[LANES];
    v_store(each, distances);
    for (; near; near &= near - 1) {
        const size_t l = (size_t)__builtin_ctz(near);
        each[l] = K(distance_of)(x, PAIR_Y(j + l), p->n);
    }
    return v_load(each);
}

#define EACH_PAIR(...)                                                                                                 \
    for (size_t row = 0; row < p->rows; row++) {                                                                       \
        const real *x = AT(p->x, (ptrdiff_t)row * p->x_step);                                                          \
        const real size_x = ((const real *)p->x_size)[row], gap_x = ((const real *)p->x_gap)[row];                     \
        real *out = (real *)AT(p->out, (ptrdiff_t)row * p->out_step);                                                  \
        for (size_t j = 0; j < p->columns; j += LANES) {                                                               \
            const size_t lanes = p->columns - j < LANES ? p->columns - j : LANES;                                      \
            const vec product = v_load_n(out + j, lanes, 0);                                                           \
            const vec size_y = v_load_n((const real *)p->y_size + j, lanes, 1);                                        \
            const vec gap_y = v_load_n((const real *)p->y_gap + j, lanes, 1);                                          \
            (void)gap_x, (void)gap_y, (void)size_x, (void)size_y;                                                      \
            __VA_ARGS__;                                                                                               \
        }                                                                                                              \
    }

static void K(euclidean_pairs)(const ody_pairs *p) {
    EACH_PAIR(v_store_n(out + j, K(one_nan)(K(pair_distances)(p, x, size_x, size_y, product, j, lanes)), lanes))
}

static void K(poincare_pairs)(const ody_pairs *p) {
    const real c = (real)p->param[0];
    const int far = p->param[1] != 0;
    EACH_PAIR({
        const vec distances = K(pair_distances)(p, x, size_x, size_y, product, j, lanes);
        v_store_n(out + j, K(poincare_of)(distances, v_splat(gap_x), gap_y, c, far), lanes);
    })
}

/* Here a gap is 1 / |x|. */
static void K(spherical_pairs)(const ody_pairs *p) {
    const vec two = v_splat(2);
    const int allow = p->param[0] != 0;
    EACH_PAIR({
        vec cosine;
        const mask serves = K(cosine_serves)(product, v_splat(gap_x), gap_y, &cosine);
        const mask usable = m_and(serves, m_and(v_gt(v_splat(gap_x), v_zero()), v_gt(gap_y, v_zero())));
        uint32_t near = ~m_bits(usable) & ((1u << lanes) - 1);
        vec minus = v_fnma(two, cosine, two), plus = v_fma(two, cosine, two), outcome = v_zero();
        if (__builtin_expect(near != 0, 0)) {
            real down[LANES], up[LANES], each[LANES] = {0};
            v_store(down, minus);
            v_store(up, plus);
            for (; near; near &= near - 1) {
                const size_t l = (size_t)__builtin_ctz(near);
                const real size = ((const real *)p->y_size)[j + l];
                if (K(careful_chords)(x, PAIR_Y(j + l), p->n, size_x, size, out[j + l], &down[l], &up[l]))
                    each[l] = allow ? 0 : -1;
            }
            minus = v_load(down), plus = v_load(up), outcome = v_load(each);
        }
        const vec angles = K(angle_of)(minus, plus);
        v_store_n(out + j, v_select(v_lt(outcome, v_zero()), outcome, angles), lanes);
    })
}

/* ---- gradients ------------------------------------------------------------------------------------------------------ */

/* With u = scale_x x - scale_y y, the gradients of one distance: along u + own x, and own_y y - along_y u. */
typedef struct K(slopes) {
    real scale_x, scale_y, along, own, along_y, own_y;
} K(slopes);

/* (x - y) / |x - y|; 0 where the points are one. */
static K(slopes) K(euclidean_slopes)(real grad, const real *x, const real *y, size_t n, const double *param) {
    (void)param;
    const real distance = K(distance_of)(x, y, n), along = distance == 0 ? 0 : grad / distance;
    return (K(slopes)){1, 1, along, 0, along, 0};
}

/* With s = |x - y|^2, A and B the gaps: 2 / sqrt(s (A B + c s)) (x - y + c s / A x). 0 where the points are one, or where
 * one is outside. */
static K(slopes) K(poincare_slopes)(real grad, const real *x, const real *y, size_t n, const double *param) {
    const real c = (real)param[0];
    real sums[SUMS];
    K(pair_sums)(OF_X | OF_Y, x, y, n, sums);
    const real gap_x = K(gap_of)(x, n, c, sums[1]), gap_y = K(gap_of)(y, n, c, sums[2]);
    const real distance = K(distance_of)(x, y, n), bent = c * distance * distance;
    if (distance == 0 || gap_x <= 0 || gap_y <= 0) return (K(slopes)){1, 1, 0, 0, 0, 0};
    const real along = 2 * grad / (distance * K(root_of)(gap_x * gap_y + bent));
    return (K(slopes)){1, 1, along, along * bent / gap_x, along, along * bent / gap_y};
}

/* With e = x/|x| - y/|y| and sine that of the angle: (e - |e|^2 / 2 x/|x|) / (|x| sine), or the same from the sum where the
 * angle is obtuse. 0 where the directions are one, or opposite, or one is 0. */
static K(slopes) K(spherical_slopes)(real grad, const real *x, const real *y, size_t n, const double *param) {
    (void)param;
    real sums[SUMS], p, q;
    K(pair_sums)(OF_X | OF_Y | OF_PRODUCT, x, y, n, sums);
    const K(direction) of_x = K(direction_of)(x, n, sums[1]), of_y = K(direction_of)(y, n, sums[2]);
    real cosine = sums[3];
    if (!(IN_RANGE(sums[1]) && IN_RANGE(sums[2]))) cosine = 2 - K(chord_of)(x, y, n, of_x, of_y, 1);
    K(chords_of)(x, y, n, of_x, of_y, cosine, &p, &q);
    const real by_x = of_x.scale * of_x.reciprocal, by_y = of_y.scale * of_y.reciprocal, sign = cosine < 0 ? -1 : 1;
    const real sine = K(root_of)(p) * K(root_of)(q) / 2;
    if (sine == 0 || by_x == 0 || by_y == 0) return (K(slopes)){1, 1, 0, 0, 0, 0};
    const real half = (sign > 0 ? p : q) / 2, along = sign * grad * by_x / sine, along_y = grad * by_y / sine;
    return (K(slopes)){by_x, sign * by_y, along, -along * half * by_x, along_y, -sign * along_y * half * by_y};
}

#define EACH_SLOPE(...)                                                                                                 \
    for (size_t i = 0; i < n; i += LANES) {                                                                            \
        const size_t lanes = n - i < LANES ? n - i : LANES;                                                            \
        const vec a = LOAD_LANES(x + i, lanes), b = LOAD_LANES(y + i, lanes);                                          \
        const vec u = v_sub(v_mul(a, v_splat(s.scale_x)), v_mul(b, v_splat(s.scale_y)));                                    \
        __VA_ARGS__;                                                                                                   \
    }

/* in0 the incoming gradient, one value a row, in1 x and in2 y: out0 and out1 their gradients. */
ODY_INLINE void K(distance_rows_backward)(K(slopes) (*slopes)(real, const real *, const real *, size_t, const double *),
                                          const ody_rows *r) {
    const size_t n = r->n;
    for (size_t row = 0; row < r->rows; row++) {
        const real *x = DISTANT_ROW(1, 0), *y = DISTANT_ROW(2, 0);
        const K(slopes) s = slopes(*DISTANT_ROW(0, 0), x, y, n, r->param);
        real *dx = (real *)AT(r->out[0], (ptrdiff_t)row * r->out_step[0]);
        real *dy = (real *)AT(r->out[1], (ptrdiff_t)row * r->out_step[1]);
        EACH_SLOPE({
            v_store_n(dx + i, v_fma(u, v_splat(s.along), v_mul(a, v_splat(s.own))), lanes);
            v_store_n(dy + i, v_fnma(u, v_splat(s.along_y), v_mul(b, v_splat(s.own_y))), lanes);
        })
    }
}

/* out = the gradients of the rows of x, summed over their pairs in the order of y. */
ODY_INLINE void K(distance_pairs_backward)(K(slopes) (*slopes)(real, const real *, const real *, size_t, const double *),
                                           const ody_pairs *p) {
    const size_t n = p->n;
    for (size_t row = 0; row < p->rows; row++) {
        const real *x = AT(p->x, (ptrdiff_t)row * p->x_step);
        real *out = (real *)AT(p->out, (ptrdiff_t)row * p->out_step);
        for (size_t i = 0; i < n; i += LANES) v_store_n(out + i, v_zero(), n - i < LANES ? n - i : LANES);
        for (size_t j = 0; j < p->columns; j++) {
            const real *y = PAIR_Y(j);
            const real grad = *AT(p->grad, (ptrdiff_t)row * p->grad_step + (ptrdiff_t)j * p->grad_column);
            const K(slopes) s = slopes(grad, x, y, n, p->param);
            EACH_SLOPE({
                const vec sum = v_fma(a, v_splat(s.own), LOAD_LANES(out + i, lanes));
                v_store_n(out + i, v_fma(u, v_splat(s.along), sum), lanes);
            })
        }
    }
}

#define DISTANCE_GRADIENTS(name)                                                                                       \
    static void K(name##_distance_backward)(const ody_rows *r) { K(distance_rows_backward)(K(name##_slopes), r); }     \
    static void K(name##_pairs_backward)(const ody_pairs *p) { K(distance_pairs_backward)(K(name##_slopes), p); }
DISTANCE_GRADIENTS(euclidean)
DISTANCE_GRADIENTS(poincare)
DISTANCE_GRADIENTS(spherical)
