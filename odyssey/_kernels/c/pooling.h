/* Pooling over the windows of an image, plane by plane (a plane is one channel of one image).
 *
 * A vector is LANES neighbouring windows of one row. What a tap reads for them lies stride_x apart, so each image row is
 * staged once: its columns sorted by residue, with the padding around them; every tap then is a contiguous load. Rows that
 * lie in the padding are left out. Windows of 2 x 2 side by side, the usual case, go straight from the image.
 */

#ifndef ODY_POOL_PLAN
#define ODY_POOL_PLAN

/* Staged rows: kernel_h of them, the row of the image modulo kernel_h telling which. */
typedef struct pool_plan {
    size_t sub, pitch;    /* elements of one residue; of a row */
    size_t rows_elements, line_elements;
} pool_plan;

static inline int pool_is_2x2(const ody_pool *p) {
    return p->kernel_h == 2 && p->kernel_w == 2 && p->stride_y == 2 && p->stride_x == 2 && p->padding_y == 0 &&
           p->padding_x == 0;
}

/* The taps of window row y that lie in the image. */
static inline void pool_rows_of(const ody_pool *p, size_t y, size_t *first, size_t *end) {
    const size_t top = y * p->stride_y; /* in the padded image */
    *first = top < p->padding_y ? p->padding_y - top : 0;
    *end = p->height + p->padding_y - top < p->kernel_h ? p->height + p->padding_y - top : p->kernel_h;
}

#endif

static pool_plan K(plan_pool)(const ody_pool *p) {
    const size_t columns = (p->out_width - 1) * p->stride_x + p->kernel_w;
    pool_plan plan;
    plan.sub = K(round_up)((columns + p->stride_x - 1) / p->stride_x, LANES) + 2 * LANES;
    plan.pitch = plan.sub * p->stride_x;
    plan.rows_elements = plan.pitch * p->kernel_h;
    plan.line_elements = K(round_up)(p->out_width, 2 * LANES);
    return plan;
}

/* Staged rows; two rows of quotients, winners or first taps; tables of taps. */
static size_t K(pool_workspace)(const ody_pool *p) {
    const pool_plan plan = K(plan_pool)(p);
    return (plan.rows_elements + 2 * plan.line_elements) * sizeof(real) + (p->kernel_h + 1) * p->kernel_w * sizeof(ptrdiff_t);
}

/* One image row into its place; what lies in the padding is there already. */
static void K(stage_row)(const ody_pool *p, const pool_plan *plan, const real *line, real *to) {
    const size_t columns = (p->out_width - 1) * p->stride_x + p->kernel_w; /* that any window reads, with padding */
    const size_t left = columns - p->padding_x, n = p->width < left ? p->width : left;
    size_t c = 0;
    if (p->stride_x == 1) {
        for (to += p->padding_x; c + LANES <= n; c += LANES) v_store(to + c, v_load(line + c));
        if (c < n) v_store_n(to + c, v_load_n(line + c, n - c, 0), n - c);
        return;
    }
    if (p->stride_x == 2) {
        real *even = to, *odd = to + plan->sub; /* by the padded column */
        if (p->padding_x % 2 && n) odd[p->padding_x / 2] = line[c++];
        size_t i = (c + p->padding_x) / 2;
        for (; c + 2 * LANES <= n; c += 2 * LANES, i += LANES) {
            vec e, o;
            v_unzip(v_load(line + c), v_load(line + c + LANES), &e, &o);
            v_store(even + i, e);
            v_store(odd + i, o);
        }
        for (; c + 2 <= n; c += 2, i++) {
            even[i] = line[c];
            odd[i] = line[c + 1];
        }
        if (c < n) even[i] = line[c];
        return;
    }
    for (size_t residue = p->padding_x % p->stride_x, i = p->padding_x / p->stride_x; c < n; c++) {
        to[residue * plan->sub + i] = line[c];
        if (++residue == p->stride_x) residue = 0, i++;
    }
}

ODY_INLINE void K(fill)(real *to, size_t n, real value) {
    const vec v = v_splat(value);
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) v_store(to + i, v);
    if (i < n) v_store_n(to + i, v, n - i);
}

/* Stages those rows of windows y that are not yet; `staged` is the first image row that is not. */
ODY_INLINE size_t K(stage_window)(const ody_pool *p, const pool_plan *plan, const real *plane, size_t y, size_t first,
                                  size_t end, size_t staged, real *rows) {
    const size_t from = y * p->stride_y + first - p->padding_y, until = y * p->stride_y + end - p->padding_y;
    if (staged < from) staged = from;
    for (; staged < until; staged++)
        K(stage_row)(p, plan, plane + staged * p->width, rows + staged % p->kernel_h * plan->pitch);
    return staged;
}

/* The staged row that taps (i, ...) of window row y read, and where in it column j of the taps begins. */
#define POOL_ROW(i) (rows + (y * p->stride_y + (i) - p->padding_y) % p->kernel_h * plan.pitch)
static void K(pool_columns)(const ody_pool *p, const pool_plan *plan, ptrdiff_t *column) {
    for (size_t j = 0; j < p->kernel_w; j++) column[j] = (ptrdiff_t)(j % p->stride_x * plan->sub + j / p->stride_x);
}

/* Two vectors of results: the second is computed whether it exists or not. */
ODY_INLINE void K(store_two)(real *out, vec first, vec second, size_t n) {
    if (n >= 2 * LANES) {
        v_store(out, first);
        v_store(out + LANES, second);
    } else if (n >= LANES) {
        v_store(out, first);
        if (n > LANES) v_store_n(out + LANES, second, n - LANES);
    } else {
        v_store_n(out, first, n);
    }
}

/* ---- the largest -------------------------------------------------------------------------------------------------- */

/* Whether the best so far keeps its place: v is not larger, or the best is a NaN, which nothing beats. */
ODY_INLINE mask K(holds)(vec best, vec v) { return m_or(v_le(v, best), v_is_nan(best)); }
ODY_INLINE vec K(larger)(vec v, vec best) { return v_select(K(holds)(best, v), best, v); }

/* The four elements of windows x .. x + LANES; absent ones are 0. */
ODY_INLINE void K(load_2x2)(const real *top, const real *bottom, size_t n, vec tap[4]) {
    if (n >= LANES) {
        v_unzip(v_load(top), v_load(top + LANES), &tap[0], &tap[1]);
        v_unzip(v_load(bottom), v_load(bottom + LANES), &tap[2], &tap[3]);
    } else {
        const size_t first = 2 * n < LANES ? 2 * n : LANES, second = 2 * n - first;
        v_unzip(v_load_n(top, first, 0), v_load_n(top + first, second, 0), &tap[0], &tap[1]);
        v_unzip(v_load_n(bottom, first, 0), v_load_n(bottom + first, second, 0), &tap[2], &tap[3]);
    }
}

ODY_INLINE void K(store_pairs)(real *to, vec even, vec odd, size_t n) {
    vec a, b;
    v_zip(even, odd, &a, &b);
    if (n >= LANES) {
        v_store(to, a);
        v_store(to + LANES, b);
    } else {
        const size_t first = 2 * n < LANES ? 2 * n : LANES;
        v_store_n(to, a, first);
        v_store_n(to + first, b, 2 * n - first);
    }
}

static void K(max_pool2d)(const ody_pool *p) {
    const real *plane = p->in[0];
    real *out = p->out;
    if (pool_is_2x2(p)) {
        for (size_t c = 0; c < p->planes; c++, plane += p->height * p->width)
            for (size_t y = 0; y < p->out_height; y++, out += p->out_width) {
                const real *top = plane + 2 * y * p->width, *bottom = top + p->width;
                for (size_t x = 0; x < p->out_width; x += LANES) {
                    const size_t n = p->out_width - x;
                    vec tap[4];
                    K(load_2x2)(top + 2 * x, bottom + 2 * x, n, tap);
                    vec best = K(larger)(tap[1], tap[0]);
                    best = K(larger)(tap[2], best);
                    best = K(larger)(tap[3], best);
                    if (n >= LANES) v_store(out + x, best);
                    else v_store_n(out + x, best, n);
                }
            }
        return;
    }
    const pool_plan plan = K(plan_pool)(p);
    real *rows = p->workspace;
    ptrdiff_t *column = (ptrdiff_t *)(rows + plan.rows_elements + 2 * plan.line_elements);
    K(fill)(rows, plan.rows_elements, -REAL_INF);
    K(pool_columns)(p, &plan, column);
    for (size_t c = 0; c < p->planes; c++, plane += p->height * p->width) {
        size_t staged = 0;
        for (size_t y = 0; y < p->out_height; y++, out += p->out_width) {
            size_t first, end;
            pool_rows_of(p, y, &first, &end);
            staged = K(stage_window)(p, &plan, plane, y, first, end, staged, rows);
            for (size_t x = 0; x < p->out_width; x += 2 * LANES) {
                vec best = v_splat(-REAL_INF), second = best;
                for (size_t i = first; i < end; i++) {
                    const real *row = POOL_ROW(i) + x;
                    for (size_t j = 0; j < p->kernel_w; j++) {
                        best = K(larger)(v_load(row + column[j]), best);
                        second = K(larger)(v_load(row + column[j] + LANES), second);
                    }
                }
                K(store_two)(out + x, best, second, p->out_width - x);
            }
        }
    }
}

static void K(max_pool2d_backward)(const ody_pool *p) {
    const real *grad = p->in[0], *plane = p->in[1];
    real *out = p->out;
    const size_t size = p->height * p->width;
    if (pool_is_2x2(p)) {
        for (size_t c = 0; c < p->planes; c++, plane += size, out += size) {
            for (size_t y = 0; y < p->out_height; y++, grad += p->out_width) {
                const size_t line = 2 * y * p->width;
                for (size_t x = 0; x < p->out_width; x += LANES) {
                    const size_t n = p->out_width - x, place = line + 2 * x;
                    vec tap[4];
                    K(load_2x2)(plane + place, plane + place + p->width, n, tap);
                    const vec g = n >= LANES ? v_load(grad + x) : v_load_n(grad + x, n, 0), zero = v_zero();
                    const mask hold1 = K(holds)(tap[0], tap[1]);
                    vec best = v_select(hold1, tap[0], tap[1]);
                    const mask hold2 = K(holds)(best, tap[2]);
                    best = v_select(hold2, best, tap[2]);
                    const mask hold3 = K(holds)(best, tap[3]), top = m_and(hold2, hold3);
                    K(store_pairs)(out + place, v_select(m_and(top, hold1), g, zero),
                                   v_select(m_andnot(top, hold1), g, zero), n);
                    K(store_pairs)(out + place + p->width, v_select(m_andnot(hold3, hold2), g, zero),
                                   v_select(hold3, zero, g), n);
                }
                if (p->width % 2) out[line + p->width - 1] = out[line + 2 * p->width - 1] = 0;
            }
            if (p->height % 2) K(fill)(out + size - p->width, p->width, 0);
        }
        return;
    }
    const pool_plan plan = K(plan_pool)(p);
    real *rows = p->workspace;
    integer *winner = (integer *)(rows + plan.rows_elements), *left = winner + plan.line_elements;
    ptrdiff_t *column = (ptrdiff_t *)(left + plan.line_elements), *place = column + p->kernel_w;
    K(fill)(rows, plan.rows_elements, -REAL_INF);
    K(pool_columns)(p, &plan, column);
    for (size_t x = 0; x < plan.line_elements; x++) {
        const size_t at = x * p->stride_x;
        left[x] = at < p->padding_x ? (integer)(p->padding_x - at) : 0;
    }
    for (size_t i = 0; i < p->kernel_h; i++)
        for (size_t j = 0; j < p->kernel_w; j++)
            place[i * p->kernel_w + j] = ((ptrdiff_t)i - (ptrdiff_t)p->padding_y) * (ptrdiff_t)p->width +
                                         ((ptrdiff_t)j - (ptrdiff_t)p->padding_x);
    for (size_t c = 0; c < p->planes; c++, plane += size, out += size) {
        size_t staged = 0;
        K(fill)(out, size, 0);
        for (size_t y = 0; y < p->out_height; y++, grad += p->out_width) {
            size_t first, end;
            pool_rows_of(p, y, &first, &end);
            staged = K(stage_window)(p, &plan, plane, y, first, end, staged, rows);
            for (size_t x = 0; x < p->out_width; x += LANES) {
                /* Should all be -inf, the first tap within the image keeps the place. */
                vec best = v_splat(-REAL_INF);
                ivec best_tap = iv_add(iv_load(left + x), iv_splat((integer)(first * p->kernel_w)));
                for (size_t i = first; i < end; i++) {
                    const real *row = POOL_ROW(i) + x;
                    for (size_t j = 0; j < p->kernel_w; j++) {
                        const vec v = v_load(row + column[j]);
                        const mask holds = K(holds)(best, v);
                        best = v_select(holds, best, v);
                        best_tap = iv_select(holds, best_tap, iv_splat((integer)(i * p->kernel_w + j)));
                    }
                }
                iv_store(winner + x, best_tap);
            }
            real *corner = out + y * p->stride_y * p->width;
            for (size_t x = 0; x < p->out_width; x++) corner[(ptrdiff_t)(x * p->stride_x) + place[winner[x]]] += grad[x];
        }
    }
}

/* ---- the mean ----------------------------------------------------------------------------------------------------- */

static void K(avg_pool2d)(const ody_pool *p) {
    const pool_plan plan = K(plan_pool)(p);
    const real *plane = p->in[0];
    real *out = p->out, *rows = p->workspace;
    const vec area = v_splat((real)(p->kernel_h * p->kernel_w));
    if (pool_is_2x2(p)) {
        for (size_t c = 0; c < p->planes; c++, plane += p->height * p->width)
            for (size_t y = 0; y < p->out_height; y++, out += p->out_width) {
                const real *top = plane + 2 * y * p->width, *bottom = top + p->width;
                for (size_t x = 0; x < p->out_width; x += LANES) {
                    const size_t n = p->out_width - x;
                    vec tap[4], sum = v_zero();
                    K(load_2x2)(top + 2 * x, bottom + 2 * x, n, tap);
                    for (size_t i = 0; i < 4; i++) sum = v_add(sum, tap[i]);
                    sum = v_div(sum, area);
                    if (n >= LANES) v_store(out + x, sum);
                    else v_store_n(out + x, sum, n);
                }
            }
        return;
    }
    ptrdiff_t *column = (ptrdiff_t *)(rows + plan.rows_elements + 2 * plan.line_elements);
    K(fill)(rows, plan.rows_elements, 0);
    K(pool_columns)(p, &plan, column);
    for (size_t c = 0; c < p->planes; c++, plane += p->height * p->width) {
        size_t staged = 0;
        for (size_t y = 0; y < p->out_height; y++, out += p->out_width) {
            size_t first, end;
            pool_rows_of(p, y, &first, &end);
            staged = K(stage_window)(p, &plan, plane, y, first, end, staged, rows);
            for (size_t x = 0; x < p->out_width; x += 2 * LANES) {
                vec sum = v_zero(), second = v_zero();
                for (size_t i = first; i < end; i++) {
                    const real *row = POOL_ROW(i) + x;
                    for (size_t j = 0; j < p->kernel_w; j++) {
                        sum = v_add(sum, v_load(row + column[j]));
                        second = v_add(second, v_load(row + column[j] + LANES));
                    }
                }
                K(store_two)(out + x, v_div(sum, area), v_div(second, area), p->out_width - x);
            }
        }
    }
}

static void K(avg_pool2d_backward)(const ody_pool *p) {
    const pool_plan plan = K(plan_pool)(p);
    const real *grad = p->in[0];
    real *out = p->out, *each = (real *)p->workspace + plan.rows_elements;
    const size_t size = p->height * p->width;
    const vec area = v_splat((real)(p->kernel_h * p->kernel_w));
    if (pool_is_2x2(p)) {
        for (size_t c = 0; c < p->planes; c++, out += size) {
            for (size_t y = 0; y < p->out_height; y++, grad += p->out_width) {
                real *top = out + 2 * y * p->width, *bottom = top + p->width;
                for (size_t x = 0; x < p->out_width; x += LANES) {
                    const size_t n = p->out_width - x;
                    const vec g = n >= LANES ? v_load(grad + x) : v_load_n(grad + x, n, 0);
                    const vec share = v_add(v_zero(), v_div(g, area));
                    K(store_pairs)(top + 2 * x, share, share, n);
                    K(store_pairs)(bottom + 2 * x, share, share, n);
                }
                if (p->width % 2) top[p->width - 1] = bottom[p->width - 1] = 0;
            }
            if (p->height % 2) K(fill)(out + size - p->width, p->width, 0);
        }
        return;
    }
    for (size_t c = 0; c < p->planes; c++, out += size) {
        K(fill)(out, size, 0);
        for (size_t y = 0; y < p->out_height; y++, grad += p->out_width) {
            size_t first, end;
            pool_rows_of(p, y, &first, &end);
            for (size_t x = 0; x < p->out_width; x += LANES) {
                const size_t n = p->out_width - x;
                v_store(each + x, v_div(n >= LANES ? v_load(grad + x) : v_load_n(grad + x, n, 0), area));
            }
            for (size_t i = first; i < end; i++) {
                real *line = out + (y * p->stride_y + i - p->padding_y) * p->width;
                for (size_t j = 0; j < p->kernel_w; j++) {
                    /* Windows whose tap j lies in the image. */
                    size_t x = j < p->padding_x ? (p->padding_x - j + p->stride_x - 1) / p->stride_x : 0;
                    if (j >= p->width + p->padding_x) break;
                    const size_t columns = p->width + p->padding_x - j;
                    size_t until = (columns + p->stride_x - 1) / p->stride_x;
                    if (until > p->out_width) until = p->out_width;
                    real *to = line + ((ptrdiff_t)j - (ptrdiff_t)p->padding_x);
                    if (p->stride_x == 1) {
                        for (; x + LANES <= until; x += LANES) v_store(to + x, v_add(v_load(to + x), v_load(each + x)));
                        if (x < until)
                            v_store_n(to + x, v_add(v_load_n(to + x, until - x, 0), v_load(each + x)), until - x);
                    } else {
                        for (; x < until; x++) to[x * p->stride_x] += each[x];
                    }
                }
            }
        }
    }
}
#undef POOL_ROW

/* Four accumulators, folded in pairs, then lanes; the tail goes where it would stand in a longer image. */
static void K(global_avg_pool2d)(const ody_pool *p) {
    const real *plane = p->in[0];
    real *out = p->out;
    const size_t size = p->height * p->width;
    for (size_t c = 0; c < p->planes; c++, plane += size) {
        vec sum[4] = {v_zero(), v_zero(), v_zero(), v_zero()};
        size_t i = 0;
        for (; i + 4 * LANES <= size; i += 4 * LANES)
            for (size_t k = 0; k < 4; k++) sum[k] = v_add(sum[k], v_load(plane + i + k * LANES));
        for (size_t k = 0; k < 4 && i < size; k++, i += LANES) {
            const size_t left = size - i;
            sum[k] = v_add(sum[k], left >= LANES ? v_load(plane + i) : v_load_n(plane + i, left, 0));
        }
        out[c] = v_reduce_add(v_add(v_add(sum[0], sum[1]), v_add(sum[2], sum[3]))) / (real)size;
    }
}

static void K(global_avg_pool2d_backward)(const ody_pool *p) {
    const real *grad = p->in[0];
    real *out = p->out;
    const size_t size = p->height * p->width;
    for (size_t c = 0; c < p->planes; c++, out += size) K(fill)(out, size, grad[c] / (real)size);
}
