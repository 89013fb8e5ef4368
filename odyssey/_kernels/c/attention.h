/* Scaled dot-product attention, a block of keys at a time: the scores of a block, their exponentials less the largest score
 * so far, and what they weigh of the values; when the maximum rises, what was gathered before shrinks accordingly. No score
 * matrix is stored (Milakov and Gimelshein 2018; Dao et al. 2022).
 *
 * Blocks are cut at multiples of ATT_BLOCK keys, wherever a query stands and whoever is computed beside it, and a block in
 * which a row sees no key changes no bit of it. So a row's bits are the same alone, in a tile, and with the blocks skipped.
 */

/* Row r of a piece: rows of all heads in the group, one head after the other. */
static size_t K(att_locate)(const ody_attention *a, size_t r, size_t *head) {
    *head = r / a->queries;
    return r % a->queries;
}

static const real *K(att_query)(const ody_attention *a, size_t r) {
    size_t head, i = K(att_locate)(a, r, &head);
    return (const real *)a->query + (ptrdiff_t)head * a->query_head + (ptrdiff_t)i * a->query_row;
}

/* How many keys row r sees. */
static size_t K(att_visible)(const ody_attention *a, size_t r) {
    if (!a->causal) return a->keys;
    const size_t seen = r % a->queries + 1 + a->keys;
    return seen > a->queries ? seen - a->queries : 0;
}

/* The mask of row r at keys [first, first + n): 0, or what is added to the score; -inf for a key that takes no part. */
static const real *K(att_mask)(const ody_attention *a, size_t r, size_t first, size_t n, real *room) {
    size_t head, i = K(att_locate)(a, r, &head);
    const char *at = (const char *)a->attn_mask + (ptrdiff_t)head * a->mask_head + (ptrdiff_t)i * a->mask_row;
    const ptrdiff_t step = a->mask_key;
    at += (ptrdiff_t)first * step;
    if (a->mask_kind == ODY_MASK_ADD) {
        if (step == sizeof(real)) return (const real *)at;
        for (size_t j = 0; j < n; j++) room[j] = *(const real *)(at + (ptrdiff_t)j * step);
    } else if (step == 1) {
        for (size_t j = 0; j < n; j++) room[j] = at[j] ? 0 : -REAL_INF;
    } else {
        for (size_t j = 0; j < n; j++) room[j] = at[(ptrdiff_t)j * step] ? 0 : -REAL_INF;
    }
    return room;
}

/* A key whose mask is -inf takes no part, whatever its score. */
ODY_INLINE vec K(att_masked)(vec score, vec m) {
    const vec none = v_splat(-REAL_INF);
    return v_select(v_eq(m, none), none, v_add(score, m));
}

/* The maximum to subtract: 0 while every score is -inf, so that their weights become 0. */
ODY_INLINE vec K(att_subtrahend)(vec most) { return v_select(v_eq(most, v_splat(-REAL_INF)), v_zero(), most); }

ODY_LARGE vec K(att_weight)(vec x) { return K(exp_weight)(x); }

/* c[lane] where the row has a weight, else 0: a row that sees no key gives 0. */
ODY_INLINE vec K(att_reciprocal)(vec total) {
    return v_select(v_eq(total, v_zero()), v_zero(), v_div(v_splat(1), total));
}

/* out = o / total. A sum with +0 at the end: no zero is negative. Returns whether an element is NaN. */
static int K(att_finish)(const real *o, real reciprocal, size_t n, real *out) {
    const vec by = v_splat(reciprocal);
    size_t i = 0;
    int bad = 0;
    for (; n - i >= LANES; i += LANES) {
        const vec y = v_fma(v_load(o + i), by, v_zero());
        bad |= m_any(v_is_nan(y));
        v_store(out + i, y);
    }
    if (i < n) {
        const vec y = v_fma(v_load_n(o + i, n - i, 0), by, v_zero());
        bad |= m_any(v_is_nan(y));
        v_store_n(out + i, y, n - i);
    }
    return bad;
}

static real *K(att_out)(const ody_attention *a, size_t r) {
    size_t head, i = K(att_locate)(a, r, &head);
    return (real *)a->out + (ptrdiff_t)head * a->out_head + (ptrdiff_t)i * a->out_row;
}

/* ---- a few rows: lanes are keys ------------------------------------------------------------------------------------ */

enum { K(ATT_P_ROW) = ATT_BLOCK + LANES };

/* Scores of one row to weights, in place. Returns by how much what was gathered shrinks; `out_of_it[j]` tells, where it is
 * asked for, which keys take no part. */
static real K(att_row_weights)(real *p, size_t n, const real *added, real *most, real *total, unsigned char *out_of_it) {
    const vec none = v_splat(-REAL_INF);
    vec top = none;
    for (size_t j = 0; j < n; j += LANES) {
        const size_t left = n - j < LANES ? n - j : LANES;
        vec s = v_load(p + j);
        if (added) s = K(att_masked)(s, v_load_n(added + j, left, 0));
        s = v_select(m_first(left), s, none);
        v_store(p + j, s);
        top = v_max(s, top);
        if (out_of_it) {
            const uint32_t bits = m_bits(v_eq(s, none));
            for (size_t i = 0; i < left; i++) out_of_it[j + i] = bits >> i & 1;
        }
    }
    const vec before = v_splat(*most), after = v_max(v_splat(v_reduce_max(top)), before);
    const vec c = K(att_subtrahend)(after);
    for (size_t j = 0; j < n; j += LANES) v_store(p + j, K(att_weight)(v_sub(v_load(p + j), c)));
    real sum[4] = {0, 0, 0, 0};
    size_t j = 0;
    for (; n - j >= 4; j += 4)
        for (int i = 0; i < 4; i++) sum[i] += p[j + i];
    for (int i = 0; j < n; i++, j++) sum[i] += p[j];
    const vec shrink = K(att_weight)(v_sub(before, c));
    real lane[LANES];
    v_store(lane, v_fma(v_splat(*total), shrink, v_splat((sum[0] + sum[2]) + (sum[1] + sum[3]))));
    *total = lane[0];
    v_store(lane, after);
    *most = lane[0];
    v_store(lane, shrink);
    return lane[0];
}

/* count <= ATT_FEW rows from `first` on. `careful`, one row: keys that take no part are passed over, not weighed with 0, which
 * differs where their values are not finite. */
static void K(att_few)(const ody_attention *a, size_t first, size_t count, int careful) {
    const size_t depth = a->depth, columns = a->value_depth, width = (columns + LANES - 1) / LANES * LANES;
    real *queries = a->workspace, *p = queries + (ATT_FEW * depth + LANES - 1) / LANES * LANES, *o = p + ATT_FEW * (size_t)K(ATT_P_ROW);
    real *room = o + ATT_FEW * width;
    real most[ATT_FEW], total[ATT_FEW], shrink[ATT_FEW];
    size_t visible[ATT_FEW], longest = 0;
    unsigned char out_of_it[ATT_BLOCK + 16];
    const int rows = count == 1 ? 1 : count == 2 ? 2 : count <= 4 ? 4 : 8;
    for (size_t r = 0; r < (size_t)rows; r++) {
        most[r] = -REAL_INF;
        total[r] = 0;
        visible[r] = r < count ? K(att_visible)(a, first + r) : 0;
        if (visible[r] > longest) longest = visible[r];
        const real *q = r < count ? K(att_query)(a, first + r) : NULL;
        const real scale = (real)a->scale;
        for (size_t d = 0; d < depth; d++) queries[r * depth + d] = q ? scale * q[d] : 0;
    }
    for (size_t i = 0; i < count * width; i++) o[i] = 0;
    for (size_t start = 0; start < longest; start += ATT_BLOCK) {
        const size_t n = longest - start < ATT_BLOCK ? longest - start : ATT_BLOCK;
        const real *key = (const real *)a->key + (ptrdiff_t)start * a->key_row;
        const real *value = (const real *)a->value + (ptrdiff_t)start * a->value_row;
        switch (rows) {
#define SCORES(rows)                                                                                                   \
    case rows:                                                                                                         \
        K(att_score_keys_##rows)(key, a->key_row, n, queries, depth, p, K(ATT_P_ROW), key + ATT_AHEAD * a->key_row);                                     \
        break;
            SCORES(1) SCORES(2) SCORES(4) SCORES(8)
#undef SCORES
        }
        for (size_t r = 0; r < count; r++) {
            real *row = p + r * K(ATT_P_ROW);
            const size_t seen = visible[r] > start ? (visible[r] - start < n ? visible[r] - start : n) : 0;
            const real *added = a->attn_mask && seen ? K(att_mask)(a, first + r, start, seen, room) : NULL;
            shrink[r] = 1;
            if (seen)
                shrink[r] = K(att_row_weights)(row, seen, added, &most[r], &total[r], careful ? out_of_it : NULL);
            for (size_t j = seen; j < n; j++) row[j] = 0;
        }
        /* Meanwhile the next block's keys are fetched. */
        const real *ahead = longest - start > n ? key + (ptrdiff_t)n * a->key_row : NULL;
        K(att_operands) step = {n, p, K(ATT_P_ROW), 1, value, a->value_row, o, (ptrdiff_t)width, shrink, ahead, a->key_row};
        if (!careful) {
            K(att_product)(count, columns, &step);
            continue;
        }
        const size_t seen = visible[0] - start < n ? visible[0] - start : n;
        step.n = 0;
        K(att_product)(1, columns, &step);
        step.start = NULL;
        for (size_t j = 0; j < seen; j++) {
            if (out_of_it[j]) continue;
            step.n = 1;
            step.a = p + j;
            step.b = value + (ptrdiff_t)j * a->value_row;
            K(att_product)(1, columns, &step);
        }
    }
    unsigned again = 0;
    for (size_t r = 0; r < count; r++) {
        real lane[LANES];
        v_store(lane, K(att_reciprocal)(v_splat(total[r])));
        again |= (unsigned)K(att_finish)(o + r * width, lane[0], columns, K(att_out)(a, first + r)) << r;
        if (a->most) {
            ((real *)a->most)[first + r] = most[r] == -REAL_INF ? 0 : most[r];
            ((real *)a->reciprocal)[first + r] = lane[0];
        }
    }
    for (size_t r = 0; again && !careful; r++, again >>= 1)
        if (again & 1) K(att_few)(a, first + r, 1, 1);
}

/* ---- many rows: lanes are queries ---------------------------------------------------------------------------------- */

/* The mask of LANES rows from `first` on, transposed: to[j][lane]. Returns 0 where every lane has one value, then to[j]. */
static int K(att_mask_lanes)(const ody_attention *a, size_t first, size_t count, size_t start, size_t n, real *to) {
    const int alike = a->mask_row == 0 && (a->mask_head == 0 || first / a->queries == (first + count - 1) / a->queries);
    if (alike) {
        const real *row = K(att_mask)(a, first, start, n, to);
        if (row != to) memcpy(to, row, n * sizeof(real));
        return 0;
    }
    real *room = to + (size_t)ATT_BLOCK * LANES; /* (LANES, ATT_BLOCK) */
    const real *row[LANES];
    for (size_t r = 0; r < count; r++) row[r] = K(att_mask)(a, first + r, start, n, room + r * ATT_BLOCK);
    for (size_t j = 0; j < n; j += LANES) {
        const size_t left = n - j < LANES ? n - j : LANES;
        vec block[LANES];
        for (size_t r = 0; r < LANES; r++) block[r] = r < count ? v_load_n(row[r] + j, left, 0) : v_zero();
        v_transpose(block);
        for (size_t i = 0; i < left; i++) v_store(to + (j + i) * LANES, block[i]);
    }
    return 1;
}

/* Applies mask and causality to the scores of one vector of queries, p[j][lane] with ATT_QUERIES from j to j + 1; count of
 * its lanes are rows, from `first` on. `seen` is how many keys each lane sees. */
static void K(att_mask_scores)(const ody_attention *a, size_t first, size_t count, size_t start, size_t n, ivec seen,
                               size_t shortest, real *p, real *room) {
    const vec none = v_splat(-REAL_INF);
    if (a->attn_mask && count) {
        if (K(att_mask_lanes)(a, first, count, start, n, room))
            for (size_t j = 0; j < n; j++)
                v_store(p + j * ATT_QUERIES, K(att_masked)(v_load(p + j * ATT_QUERIES), v_load(room + j * LANES)));
        else
            for (size_t j = 0; j < n; j++)
                v_store(p + j * ATT_QUERIES, K(att_masked)(v_load(p + j * ATT_QUERIES), v_splat(room[j])));
    }
    for (size_t j = shortest > start ? shortest - start : 0; j < n; j++) {
        const mask takes_part = iv_gt(seen, iv_splat((integer)(start + j)));
        v_store(p + j * ATT_QUERIES, v_select(takes_part, v_load(p + j * ATT_QUERIES), none));
    }
}

/* Scores of a vector of queries to weights, in place. */
static void K(att_weights)(real *p, size_t n, vec *most, vec *total, real *shrink) {
    vec top = *most, other = top;
    size_t i = 0;
    for (; n - i >= 4; i += 4) {
        const vec a = v_max(v_load(p + i * ATT_QUERIES), top), b = v_max(v_load(p + (i + 1) * ATT_QUERIES), other);
        top = v_max(v_load(p + (i + 2) * ATT_QUERIES), a);
        other = v_max(v_load(p + (i + 3) * ATT_QUERIES), b);
    }
    for (; i < n; i++) top = v_max(v_load(p + i * ATT_QUERIES), top);
    top = v_max(other, top);
    const vec c = K(att_subtrahend)(top), by = K(att_weight)(v_sub(*most, c));
    vec sum[4] = {v_zero(), v_zero(), v_zero(), v_zero()};
    size_t j = 0;
#define TERM(i)                                                                                                        \
    do {                                                                                                               \
        const vec e = K(att_weight)(v_sub(v_load(p + (j + i) * ATT_QUERIES), c));                                      \
        v_store(p + (j + i) * ATT_QUERIES, e);                                                                         \
        sum[i] = v_add(sum[i], e);                                                                                     \
    } while (0)
    for (; n - j >= 4; j += 4) {
        TERM(0);
        TERM(1);
        TERM(2);
        TERM(3);
    }
    if (n - j > 0) TERM(0);
    if (n - j > 1) TERM(1);
    if (n - j > 2) TERM(2);
#undef TERM
    *most = top;
    *total = v_fma(*total, by, v_add(v_add(sum[0], sum[2]), v_add(sum[1], sum[3])));
    v_store(shrink, by);
}

static void K(att_many)(const ody_attention *a, size_t first, size_t count) {
    const size_t depth = a->depth, columns = a->value_depth, width = (columns + LANES - 1) / LANES * LANES;
    real *queries = a->workspace, *p = queries + ATT_QUERIES * depth, *o = p + ATT_QUERIES * (ATT_BLOCK + 8);
    real *room = o + ATT_QUERIES * width;
    real shrink[ATT_QUERIES];
    const real *row[ATT_QUERIES];
    integer visible[ATT_QUERIES];
    size_t longest[ATT_VECS], shortest[ATT_VECS], most_keys = 0;
    for (size_t r = 0; r < ATT_QUERIES; r++) {
        visible[r] = r < count ? (integer)K(att_visible)(a, first + r) : 0;
        row[r] = r < count ? K(att_query)(a, first + r) : NULL;
    }
    K(att_pack)(row, count, depth, (real)a->scale, queries, ATT_QUERIES);
    vec most[ATT_VECS], total[ATT_VECS];
    ivec seen[ATT_VECS];
    for (size_t v = 0; v < ATT_VECS; v++) {
        longest[v] = 0;
        shortest[v] = a->keys;
        for (size_t r = v * LANES; r < (v + 1) * LANES && r < count; r++) {
            if ((size_t)visible[r] > longest[v]) longest[v] = (size_t)visible[r];
            if ((size_t)visible[r] < shortest[v]) shortest[v] = (size_t)visible[r];
        }
        if (longest[v] > most_keys) most_keys = longest[v];
        seen[v] = iv_load(visible + v * LANES);
        most[v] = v_splat(-REAL_INF);
        total[v] = v_zero();
    }
    for (size_t i = 0; i < count * width; i += LANES) v_store(o + i, v_zero());
    for (size_t start = 0; start < most_keys; start += ATT_BLOCK) {
        const real *key = (const real *)a->key + (ptrdiff_t)start * a->key_row;
        const real *value = (const real *)a->value + (ptrdiff_t)start * a->value_row;
        size_t n[ATT_VECS], common = ATT_BLOCK;
        for (size_t v = 0; v < ATT_VECS; v++) {
            n[v] = longest[v] <= start ? 0 : longest[v] - start < ATT_BLOCK ? longest[v] - start : ATT_BLOCK;
            if (n[v] < common) common = n[v];
        }
        K(att_scores)(1, key, a->key_row, 0, common, queries, depth, p);
        for (size_t v = 0; v < ATT_VECS; v++) {
            if (n[v] == 0) continue;
            real *scores = p + v * LANES;
            const size_t lanes = count - v * LANES < LANES ? count - v * LANES : LANES;
            K(att_scores)(0, key, a->key_row, common, n[v], queries + v * LANES, depth, scores);
            K(att_mask_scores)(a, first + v * LANES, lanes, start, n[v], seen[v], shortest[v], scores, room);
            K(att_weights)(scores, n[v], &most[v], &total[v], shrink + v * LANES);
        }
        for (size_t r = 0; r < count; r += ATT_ROWS) {
            size_t end = 0;
            const size_t rows = count - r < ATT_ROWS ? count - r : ATT_ROWS;
            for (size_t i = r; i < r + rows; i++)
                if ((size_t)visible[i] > end) end = (size_t)visible[i];
            if (end <= start) continue;
            end = end - start < ATT_BLOCK ? end - start : ATT_BLOCK;
            const K(att_operands) step = {end, p + r, 1, ATT_QUERIES, value, a->value_row, o + r * width, (ptrdiff_t)width,
                                          shrink + r, NULL, 0};
            K(att_product)(rows, columns, &step);
        }
    }
    real reciprocal[ATT_QUERIES], maximum[ATT_QUERIES];
    for (size_t v = 0; v < ATT_VECS; v++) {
        v_store(reciprocal + v * LANES, K(att_reciprocal)(total[v]));
        v_store(maximum + v * LANES, K(att_subtrahend)(most[v]));
    }
    uint64_t again = 0;
    for (size_t r = 0; r < count; r++) {
        again |= (uint64_t)K(att_finish)(o + r * width, reciprocal[r], columns, K(att_out)(a, first + r)) << r;
        if (a->most) {
            ((real *)a->most)[first + r] = maximum[r];
            ((real *)a->reciprocal)[first + r] = reciprocal[r];
        }
    }
    for (size_t r = 0; again; r++, again >>= 1)
        if (again & 1) K(att_few)(a, first + r, 1, 1);
}

/* ---- the kernel ----------------------------------------------------------------------------------------------------- */

static size_t K(attention_workspace)(const ody_attention *a) {
    const size_t width = (a->value_depth + LANES - 1) / LANES * LANES;
    const size_t many = ATT_QUERIES * (a->depth + ATT_BLOCK + 8 + width) + 2 * (size_t)ATT_BLOCK * LANES;
    const size_t few = ATT_FEW * (a->depth + K(ATT_P_ROW) + width) + LANES + ATT_BLOCK;
    return (many > few ? many : few) * sizeof(real) + 64;
}

static void K(attention)(const ody_attention *a) {
    const size_t end = a->row + a->rows;
    for (size_t r = a->row; r < end;) {
        const size_t count = end - r < ATT_QUERIES ? end - r : ATT_QUERIES;
        if (count > ATT_FEW) K(att_many)(a, r, count);
        else K(att_few)(a, r, count, 0);
        r += count;
    }
}
