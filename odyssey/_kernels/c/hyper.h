/* hyper_pre: what a layer is to see of the streams, and how its result will be mixed back.
 *
 * A group of tokens, one for each lane at most, is read once from memory: for the mean squares, for the projections on the
 * rows of fn, a skinny product in which fn, read from the second-level cache, serves several tokens at a time, and, once
 * the weights are known, for the sum over the streams. */
#ifndef ODY_HYPER_H
#define ODY_HYPER_H

enum { HYPER_BLOCK = 1024 }; /* elements of the rows of fn that a pass over the group's tokens takes */

/* Tokens times outputs of a tile: accumulators that fill the registers, a tile of one part of the vector at a time. */
#define HYPER_TOKENS (V_PARTS == 2 ? 2 : 4)
#define HYPER_WIDE (V_PARTS == 2 ? 12 : 24)
/* For a token alone few rows of fn side by side: the second-level cache's prefetchers follow no more. */
#define HYPER_ALONE 6

/* Of loops over accumulators, so that these are registers. */
#if defined(ODY_ISA_AVX512) || defined(ODY_ISA_AVX2) || defined(ODY_ISA_NEON)
#define HYPER_UNROLL _Pragma("GCC unroll 24")
#else
#define HYPER_UNROLL
#endif

/* From `memory` on, in this order; all begin on a vector. */
#define HYPER_SUMS_BYTES(outputs) ((size_t)LANES * (outputs)*64)
#define HYPER_LANES_BYTES(outputs) ((size_t)((outputs) + 1) * 64)
#endif

/* acc[t][o] += x[t] fn[o] along n elements: lane by lane, one chain of fma. */
ODY_INLINE void K(hyper_tile)(const size_t tokens, const size_t outputs, const real *x, size_t x_step, const real *fn,
                              size_t fn_step, size_t n, v_part *sums, size_t sums_step) {
    const size_t lanes = LANES / V_PARTS;
    for (size_t part = 0; part < V_PARTS; part++) {
        v_part acc[4][24];
        HYPER_UNROLL for (size_t t = 0; t < tokens; t++)
            HYPER_UNROLL for (size_t o = 0; o < outputs; o++) acc[t][o] = sums[t * sums_step + o * V_PARTS + part];
#define STEP(LOAD)                                                                                                     \
    do {                                                                                                               \
        v_part held[4];                                                                                                \
        HYPER_UNROLL for (size_t t = 0; t < tokens; t++) held[t] = LOAD(x + t * x_step);                                     \
        HYPER_UNROLL for (size_t o = 0; o < outputs; o++) {                                                                  \
            const v_part row = LOAD(fn + o * fn_step);                                                                 \
            HYPER_UNROLL for (size_t t = 0; t < tokens; t++) acc[t][o] = v_part_fma(row, held[t], acc[t][o]);                \
        }                                                                                                              \
    } while (0)
        size_t i = part * lanes;
#define WHOLE(p) v_part_load((p) + i)
        for (; i - part * lanes + LANES <= n; i += LANES) STEP(WHOLE);
#undef WHOLE
        const size_t whole = i - part * lanes, end = whole + (part + 1) * lanes;
        if (n > i) {
            const size_t left = n < end ? n - i : lanes;
#define SOME_OF(p) v_part_load_n((p) + i, left)
            STEP(SOME_OF);
#undef SOME_OF
        }
#undef STEP
        HYPER_UNROLL for (size_t t = 0; t < tokens; t++)
            HYPER_UNROLL for (size_t o = 0; o < outputs; o++) sums[t * sums_step + o * V_PARTS + part] = acc[t][o];
    }
}

/* sums[t][o] += for all the outputs of some tokens. */
ODY_INLINE void K(hyper_strip)(const size_t tokens, const real *x, size_t x_step, const real *fn, size_t fn_step, size_t n,
                               size_t outputs, v_part *sums) {
    const size_t sums_step = outputs * V_PARTS;
    size_t o = 0;
#define TILES(wide)                                                                                                    \
    for (; outputs - o >= (wide); o += (wide))                                                                         \
        K(hyper_tile)(tokens, wide, x, x_step, fn + o * fn_step, fn_step, n, sums + o * V_PARTS, sums_step)
    TILES(tokens == 1 ? HYPER_ALONE : HYPER_WIDE / tokens);
    TILES(1);
#undef TILES
}
static void K(hyper_strip_4)(const real *x, size_t x_step, const real *fn, size_t fn_step, size_t n, size_t outputs, v_part *sums) {
    K(hyper_strip)(HYPER_TOKENS, x, x_step, fn, fn_step, n, outputs, sums);
}
static void K(hyper_strip_2)(const real *x, size_t x_step, const real *fn, size_t fn_step, size_t n, size_t outputs, v_part *sums) {
    K(hyper_strip)(2, x, x_step, fn, fn_step, n, outputs, sums);
}
static void K(hyper_strip_1)(const real *x, size_t x_step, const real *fn, size_t fn_step, size_t n, size_t outputs, v_part *sums) {
    K(hyper_strip)(1, x, x_step, fn, fn_step, n, outputs, sums);
}

static real K(hyper_squares)(const real *x, size_t n) {
    const vec neutral = v_splat(R(-0.0));
    vec total;
#define SQUARE(LOAD)                                                                                                   \
    do {                                                                                                               \
        const vec a = LOAD;                                                                                            \
        acc = v_fma(a, a, acc);                                                                                        \
    } while (0)
    REDUCE_SEQUENCE(total, n, neutral, neutral, v_add, SQUARE(v_load(x + i)), SQUARE(v_load_n(x + i, left, 0)));
#undef SQUARE
    return v_reduce_add(total);
}

/* 1 / sqrt(mean square + norm_eps) of each token; 1 in the lanes beyond. */
static vec K(hyper_roots)(const ody_hyper *h, const real *x, size_t count) {
    const size_t n = h->streams * h->hidden;
    real mean[LANES];
    for (size_t t = 0; t < LANES; t++) mean[t] = t < count ? K(hyper_squares)(x + t * n, n) / (real)n : 1;
    return v_div(v_splat(1), v_sqrt(v_add(v_load(mean), v_splat((real)h->norm_eps))));
}

/* product[o], lanes of tokens, = fn[o] x. */
static void K(hyper_products)(const ody_hyper *h, const real *x, size_t count, v_part *sums, real *product) {
    const size_t n = h->streams * h->hidden, outputs = hyper_outputs(h);
    const real *fn = h->fn;
    for (size_t i = 0; i < count * outputs * V_PARTS; i++) sums[i] = v_part_zero();
    for (size_t start = 0; start < n; start += count > 1 ? HYPER_BLOCK : n) {
        const size_t width = count > 1 && n - start > HYPER_BLOCK ? HYPER_BLOCK : n - start;
        size_t t = 0;
#define STRIPS(tokens, f)                                                                                              \
    for (; count - t >= (tokens); t += (tokens)) f(x + t * n + start, n, fn + start, n, width, outputs, sums + t * outputs * V_PARTS)
        STRIPS((size_t)HYPER_TOKENS, K(hyper_strip_4));
        STRIPS(2u, K(hyper_strip_2));
        STRIPS(1u, K(hyper_strip_1));
#undef STRIPS
    }
    for (size_t o = 0; o < outputs; o++)
        for (size_t t = 0; t < LANES; t++)
            product[o * LANES + t] = t < count ? v_reduce_add(v_join(sums + (t * outputs + o) * V_PARTS)) : 0;
}

/* The first `count` lanes of each of n vectors, out[lane][i]. */
static void K(hyper_scatter)(const vec *lanes, size_t n, real *out, size_t count) {
    real row[LANES];
    for (size_t i = 0; i < n; i++) {
        v_store(row, lanes[i]);
        for (size_t t = 0; t < count; t++) out[t * n + i] = row[t];
    }
}
static void K(hyper_gather)(const real *in, size_t n, vec *lanes, size_t count) {
    real row[LANES];
    for (size_t i = 0; i < n; i++) {
        for (size_t t = 0; t < LANES; t++) row[t] = t < count ? in[t * n + i] : 0;
        lanes[i] = v_load(row);
    }
}

/* out = the sum over the streams of weight[j] x[j]. */
ODY_INLINE void K(hyper_sum)(const size_t n, const real *x, size_t hidden, const real *weight, size_t weight_step, real *out) {
    vec w[HYPER_MOST];
    for (size_t j = 0; j < n; j++) w[j] = v_splat(weight[j * weight_step]);
    size_t i = 0;
    for (; hidden - i >= LANES; i += LANES) {
        vec acc = v_mul(w[0], v_load(x + i));
        for (size_t j = 1; j < n; j++) acc = v_fma(w[j], v_load(x + j * hidden + i), acc);
        v_store(out + i, acc);
    }
    if (i < hidden) {
        const size_t left = hidden - i;
        vec acc = v_mul(w[0], v_load_n(x + i, left, 0));
        for (size_t j = 1; j < n; j++) acc = v_fma(w[j], v_load_n(x + j * hidden + i, left, 0), acc);
        v_store_n(out + i, acc, left);
    }
}

static void K(hyper_pre)(const ody_hyper *h) {
    const size_t n = h->streams, hidden = h->hidden, outputs = hyper_outputs(h);
    v_part *sums = h->workspace;
    real *product = (real *)((char *)h->workspace + HYPER_SUMS_BYTES(outputs));
    vec mix[HYPER_MOST_OUTPUTS], pre[HYPER_MOST], post[HYPER_MOST], comb[HYPER_MOST * HYPER_MOST];
    for (size_t first = 0; first < h->tokens; first += h->group) {
        const size_t count = h->tokens - first < h->group ? h->tokens - first : h->group;
        const real *x = (const real *)h->x + first * n * hidden;
        const vec root = K(hyper_roots)(h, x, count);
        K(hyper_products)(h, x, count, sums, product);
        for (size_t o = 0; o < outputs; o++) mix[o] = v_mul(v_load(product + o * LANES), root);
        K(hyper_maps)(h, mix, pre, post, comb);
        if (h->kind != ODY_HYPER_HEAD)
            K(hyper_sinkhorn)(n, h->iterations, K(hyper_added)(h), v_splat((real)h->eps), comb);
        if (h->mix) K(hyper_scatter)(mix, outputs, (real *)h->mix + first * outputs, count);
        if (h->kind != ODY_HYPER_HEAD) {
            K(hyper_scatter)(post, n, (real *)h->post + first * n, count);
            K(hyper_scatter)(comb, n * n, (real *)h->comb + first * n * n, count);
        }
        if (!h->collapsed) continue;
        for (size_t j = 0; j < n; j++) v_store(product + j * LANES, pre[j]);
        for (size_t t = 0; t < count; t++) {
            real *out = (real *)h->collapsed + (first + t) * hidden;
            if (n == 4) K(hyper_sum)(4, x + t * n * hidden, hidden, product + t, LANES, out);
            else K(hyper_sum)(n, x + t * n * hidden, hidden, product + t, LANES, out);
        }
    }
}
