/* The gradients of attention. Scores and weights are computed once more, a block of keys and a tile of queries at a time.
 *
 *   p = e^(score - most) / total      dp = grad . value      ds = scale p (dp - delta), delta = grad . out
 *   dvalue = sum over rows of p grad      dkey = sum over rows of ds query      dquery = sum over keys of ds key
 *
 * Every element is one chain of fma from zero, over the heads and their queries ascending, or over the keys ascending.
 */

/* From the forward: each row's maximum, 1 / total, and delta. `out` is room for the results, (rows, value_depth). */
static void K(att_rows_again)(const ody_attention_gradient *g, real *out, real *most, real *reciprocal, real *delta,
                              void *workspace) {
    ody_attention a = g->forward;
    const size_t columns = a.value_depth, rows = a.heads * a.queries;
    a.out = out;
    a.out_row = (ptrdiff_t)columns;
    a.out_head = (ptrdiff_t)(a.queries * columns);
    a.most = most;
    a.reciprocal = reciprocal;
    a.row = 0;
    a.rows = rows;
    a.workspace = workspace;
    K(attention)(&a);
    for (size_t r = 0; r < rows; r++) {
        const real *grad = (const real *)g->grad + (ptrdiff_t)(r / a.queries) * g->grad_head +
                           (ptrdiff_t)(r % a.queries) * g->grad_row;
        vec acc = v_zero();
        for (size_t i = 0; i < columns; i += LANES) {
            const size_t left = columns - i < LANES ? columns - i : LANES;
            acc = v_fma(v_load_n(grad + i, left, 0), v_load_n(out + r * columns + i, left, 0), acc);
        }
        delta[r] = v_reduce_add(acc);
    }
}

/* x + 0: no zero is negative, however many terms were zeros. */
static void K(att_settle)(real *x, size_t n) {
    size_t i = 0;
    for (; n - i >= LANES; i += LANES) v_store(x + i, v_add(v_load(x + i), v_zero()));
    if (i < n) v_store_n(x + i, v_add(v_load_n(x + i, n - i, 0), v_zero()), n - i);
}

static size_t K(attention_backward_workspace)(const ody_attention *a) {
    const size_t rows = a->heads * a->queries;
    const size_t tiles = ATT_QUERIES * (a->depth + a->value_depth + 2 * (ATT_BLOCK + 8)) + 2 * (size_t)ATT_BLOCK * LANES;
    const size_t forward = K(attention_workspace)(a) / sizeof(real);
    return ((tiles > forward ? tiles : forward) + rows * (a->value_depth + 3) + 4 * ATT_QUERIES + 64) * sizeof(real);
}

static void K(attention_backward)(const ody_attention_gradient *g) {
    const ody_attention *a = &g->forward;
    const size_t depth = a->depth, columns = a->value_depth, rows = a->heads * a->queries;
    real *most = a->workspace, *reciprocal = most + rows + ATT_QUERIES, *delta = reciprocal + rows + ATT_QUERIES;
    real *out = delta + rows + ATT_QUERIES;
    real *queries = out + (rows * columns + LANES - 1) / LANES * LANES, *grads = queries + ATT_QUERIES * depth;
    real *p = grads + ATT_QUERIES * columns, *s = p + ATT_QUERIES * (ATT_BLOCK + 8), *room = s + ATT_QUERIES * (ATT_BLOCK + 8);
    real *dquery = g->dquery, *dkey = g->dkey, *dvalue = g->dvalue; /* contiguous */
    K(att_rows_again)(g, out, most, reciprocal, delta, queries);
    memset(dquery, 0, rows * depth * sizeof(real));
    memset(dkey, 0, a->keys * depth * sizeof(real));
    memset(dvalue, 0, a->keys * columns * sizeof(real));
    const vec scale = v_splat((real)a->scale);
    for (size_t start = 0; start < a->keys; start += ATT_BLOCK) {
        const real *key = (const real *)a->key + (ptrdiff_t)start * a->key_row;
        const real *value = (const real *)a->value + (ptrdiff_t)start * a->value_row;
        for (size_t head = 0; head < a->heads; head++)
            for (size_t i = 0; i < a->queries; i += ATT_QUERIES) {
                const size_t count = a->queries - i < ATT_QUERIES ? a->queries - i : ATT_QUERIES;
                const size_t first = head * a->queries + i, longest = K(att_visible)(a, first + count - 1);
                if (longest <= start) continue;
                const size_t n = longest - start < ATT_BLOCK ? longest - start : ATT_BLOCK;
                const real *query = K(att_query)(a, first);
                const real *grad = (const real *)g->grad + (ptrdiff_t)head * g->grad_head + (ptrdiff_t)i * g->grad_row;
                const real *query_row[ATT_QUERIES], *grad_row[ATT_QUERIES];
                integer visible[ATT_QUERIES];
                for (size_t r = 0; r < ATT_QUERIES; r++) {
                    query_row[r] = r < count ? query + (ptrdiff_t)r * a->query_row : NULL;
                    grad_row[r] = r < count ? grad + (ptrdiff_t)r * g->grad_row : NULL;
                    visible[r] = r < count ? (integer)K(att_visible)(a, first + r) : 0;
                }
                K(att_pack)(query_row, count, depth, (real)a->scale, queries, ATT_QUERIES);
                K(att_pack)(grad_row, count, columns, 1, grads, ATT_QUERIES);
                K(att_scores)(1, key, a->key_row, 0, n, queries, depth, p);
                K(att_scores)(1, value, a->value_row, 0, n, grads, columns, s);
                for (size_t v = 0; v < ATT_VECS; v++) {
                    const size_t at = v * LANES, lanes = count <= at ? 0 : count - at < LANES ? count - at : LANES;
                    /* The lanes beyond the rows count as blind. */
                    const size_t shortest = lanes == LANES ? (size_t)visible[at] : 0;
                    K(att_mask_scores)(a, first + at, lanes, start, n, iv_load(visible + at), shortest, p + at, room);
                    const vec top = v_load(most + first + at), by = v_load(reciprocal + first + at);
                    const vec less = v_load(delta + first + at);
                    for (size_t j = 0; j < n; j++) {
                        real *weight = p + j * ATT_QUERIES + at, *slope = s + j * ATT_QUERIES + at;
                        const vec w = v_mul(K(att_weight)(v_sub(v_load(weight), top)), by);
                        v_store(weight, w);
                        v_store(slope, v_mul(v_mul(scale, w), v_sub(v_load(slope), less)));
                    }
                }
                const K(att_operands) to_value = {count, p, (ptrdiff_t)ATT_QUERIES, 1, grad, g->grad_row,
                                                  dvalue + start * columns, (ptrdiff_t)columns, NULL, NULL, 0};
                K(att_product)(n, columns, &to_value);
                const K(att_operands) to_key = {count, s, (ptrdiff_t)ATT_QUERIES, 1, query, a->query_row,
                                                dkey + start * depth, (ptrdiff_t)depth, NULL, NULL, 0};
                K(att_product)(n, depth, &to_key);
                const K(att_operands) to_query = {n, s, 1, (ptrdiff_t)ATT_QUERIES, key, a->key_row,
                                                  dquery + first * depth, (ptrdiff_t)depth, NULL, NULL, 0};
                K(att_product)(count, depth, &to_query);
            }
    }
    K(att_settle)(dquery, rows * depth);
    K(att_settle)(dkey, a->keys * depth);
    K(att_settle)(dvalue, a->keys * columns);
}
