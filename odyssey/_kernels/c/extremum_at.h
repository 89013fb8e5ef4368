/* Where the first extremum stands: included once for argmax and once for argmin. A NaN outdoes every number. */
#define AT_PART(part) PART_OF(ODY_EXTREMUM_AT, part)

/* The first place in x[0] .. x[n) where `found`, of a vector `v`, holds; the caller knows there is one. */
#define FIRST_PLACE(x, n, found)                                                                                       \
    for (size_t i = 0;;) {                                                                                             \
        if ((n) - i >= 4 * LANES) {                                                                                    \
            mask any = v_lt(v_zero(), v_zero());                                                                       \
            for (size_t k = 0; k < 4; k++) {                                                                           \
                vec v = v_load((x) + i + k * LANES);                                                                   \
                any = m_or(any, found);                                                                                \
            }                                                                                                          \
            if (!m_any(any)) {                                                                                         \
                i += 4 * LANES;                                                                                        \
                continue;                                                                                              \
            }                                                                                                          \
        }                                                                                                              \
        for (;; i += LANES) {                                                                                          \
            size_t left = (n) - i < LANES ? (n) - i : LANES;                                                           \
            vec v = v_load_n((x) + i, left, WORST);                                                                    \
            uint32_t places = m_bits(m_and(m_first(left), found));                                                     \
            if (places) return i + (size_t)__builtin_ctz(places);                                                      \
        }                                                                                                              \
    }
static inline size_t AT_PART(first_equal)(const real *x, size_t n, real value) {
    const vec wanted = v_splat(value);
    FIRST_PLACE(x, n, v_eq(v, wanted))
}
static inline size_t AT_PART(first_nan)(const real *x, size_t n) { FIRST_PLACE(x, n, v_is_nan(v)) }
#undef FIRST_PLACE

static inline int AT_PART(has_nan)(const real *x, size_t n) {
    mask found = v_is_nan(v_zero());
    for (size_t i = 0; i < n; i += LANES)
        found = m_or(found, v_is_nan(v_load_n(x + i, n - i < LANES ? n - i : LANES, 0)));
    return m_any(found);
}

/* The row is read once, in pieces; only the piece that holds the first extremum is searched. A sum runs along: a NaN
 * among the elements makes it NaN, and so may infinities of both signs, so that a NaN there asks for a closer look. */
static inline size_t AT_PART(place)(const real *x, size_t n, real *value) {
    enum { PIECE = 2048 };
    size_t best_piece = 0, best_length = 0;
    real best = WORST;
    for (size_t start = 0; start < n; start += PIECE) {
        const real *piece = x + start;
        size_t length = n - start < PIECE ? n - start : PIECE, i = 0;
        vec extremum[4], sum[4];
        for (int k = 0; k < 4; k++) extremum[k] = v_splat(WORST), sum[k] = v_zero();
        for (; length - i >= 4 * LANES; i += 4 * LANES)
            for (int k = 0; k < 4; k++) {
                vec v = v_load(piece + i + (size_t)k * LANES);
                extremum[k] = V_EXTREMUM(v, extremum[k]);
                sum[k] = v_add(sum[k], v);
            }
        for (; i < length; i += LANES) {
            vec v = v_load_n(piece + i, length - i < LANES ? length - i : LANES, WORST);
            extremum[0] = V_EXTREMUM(v, extremum[0]);
            sum[0] = v_add(sum[0], v);
        }
        vec all = v_add(v_add(sum[0], sum[1]), v_add(sum[2], sum[3]));
        if (m_any(v_is_nan(all)) && AT_PART(has_nan)(piece, length)) {
            *value = REAL_NAN;
            return start + AT_PART(first_nan)(piece, length);
        }
        extremum[0] = V_EXTREMUM(V_EXTREMUM(extremum[0], extremum[1]), V_EXTREMUM(extremum[2], extremum[3]));
        real here = V_REDUCE_EXTREMUM(extremum[0]);
        if (best_length == 0 || MORE_EXTREME(here, best)) {
            best = here;
            best_piece = start;
            best_length = length;
        }
    }
    *value = best;
    return best_piece + AT_PART(first_equal)(x + best_piece, best_length, best);
}

static void AT_PART(rows)(const ody_rows *r) {
    for (size_t row = 0; row < r->rows; row++) {
        real value;
        int64_t *place = (int64_t *)((char *)r->out[0] + (ptrdiff_t)row * r->out_step[0]);
        *place = (int64_t)AT_PART(place)(AT(r->in[0], (ptrdiff_t)row * r->in_step[0]), r->n, &value);
        if (r->out[1]) *(real *)((char *)r->out[1] + (ptrdiff_t)row * r->out_step[1]) = value;
    }
}

/* The best of each column so far and its row, in one vector of columns. */
ODY_INLINE void AT_PART(take)(vec *best, ivec *place, const real *x, ptrdiff_t step, size_t count, ivec row,
                              size_t lanes) {
    vec b = *best;
    ivec p = *place;
    for (size_t k = 0; k < count; k++) {
        vec a = LOAD_LANES(AT(x, (ptrdiff_t)k * step), lanes);
        mask better = m_or(BETTER(a, b), m_andnot(v_is_nan(a), v_is_nan(b)));
        b = v_select(better, a, b);
        p = iv_select(better, row, p);
        row = iv_add(row, iv_splat(1));
    }
    *best = b;
    *place = p;
}

static void AT_PART(columns)(const ody_columns *t) {
    const size_t n = t->n, full = n / LANES, tail = n % LANES, vectors = full + (tail != 0);
    vec *best = t->scratch;
    ivec *place = (ivec *)(best + vectors);
    const real *x = t->in[0];
    for (size_t v = 0; v < vectors; v++) {
        best[v] = v_load_n(x + v * LANES, v < full ? LANES : tail, 0);
        place[v] = iv_splat(0);
    }
    for (size_t i = 1; i < t->m; i += 4) {
        const real *from = AT(x, (ptrdiff_t)i * t->in_step);
        const size_t count = t->m - i < 4 ? t->m - i : 4;
        const ivec row = iv_splat((integer)i);
        size_t v = 0;
        if (count == 4)
            for (; v < full; v++) AT_PART(take)(best + v, place + v, from + v * LANES, t->in_step, 4, row, LANES);
        for (; v < vectors; v++)
            AT_PART(take)(best + v, place + v, from + v * LANES, t->in_step, count, row, v < full ? LANES : tail);
    }
    for (size_t v = 0; v < vectors; v++) {
        integer of_lane[LANES];
        iv_store(of_lane, place[v]);
        for (size_t l = 0; l < (v < full ? LANES : tail); l++) ((int64_t *)t->out)[v * LANES + l] = of_lane[l];
    }
}

#undef AT_PART
#undef ODY_EXTREMUM_AT
#undef BETTER
#undef MORE_EXTREME
#undef V_EXTREMUM
#undef V_REDUCE_EXTREMUM
#undef WORST
