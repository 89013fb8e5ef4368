/* From a token's projections to the weights that mix its streams, and back; a token in each lane, so that who shares the
 * vector cannot be seen in the bits.
 *
 *   pre = sigmoid(logit) + eps    post = 2 sigmoid(logit)    comb = the doubly stochastic matrix that comes of
 *   M = softmax(logits, rows) + eps;  M /= column sums + eps;  (iterations - 1) times  M /= row sums + eps;  M /= column sums + eps
 *
 * The paper's form takes the exponential and begins with columns, and its matrix H works as x' = H x: so comb = H
 * transposed, and the columns of H are the rows of comb. The matrices are
 * sinkhorn_small.h's. */
#ifndef ODY_HYPER_MAPS_H
#define ODY_HYPER_MAPS_H

enum { HYPER_MOST = ODY_MOST_STREAMS, HYPER_MOST_OUTPUTS = (2 + ODY_MOST_STREAMS) * ODY_MOST_STREAMS };

static inline size_t hyper_outputs(const ody_hyper *h) {
    return h->kind == ODY_HYPER_HEAD ? h->streams : (2 + h->streams) * h->streams;
}
/* Which element of scale an output goes by. */
static inline size_t hyper_part(size_t output, size_t streams) { return output < streams ? 0 : output < 2 * streams ? 1 : 2; }
/* Where the logit of comb[j][k] stands. */
static inline size_t hyper_place(const ody_hyper *h, size_t j, size_t k) {
    return 2 * h->streams + (h->kind == ODY_HYPER_PAPER ? k * h->streams + j : j * h->streams + k);
}
#endif

/* Logits to doubly stochastic matrices, in place; `added` comes after the softmax. Unrolled for four streams alone. */
static void K(hyper_sinkhorn)(size_t n, size_t iterations, vec added, vec eps, vec *m) {
    if (n == 4) K(sinkhorn_small)(m, 4, 1, 1, iterations, v_splat(1), added, eps);
    else K(sinkhorn_small)(m, (int)n, 1, 1, iterations, v_splat(1), added, eps);
}

/* d, the gradient of the matrices, becomes that of the logits. */
static void K(hyper_sinkhorn_backward)(size_t n, size_t iterations, vec added, vec eps, const vec *logits, vec *d, vec *workspace) {
    if (n == 4) K(sinkhorn_small_adjoint)(logits, d, 4, 1, iterations, v_splat(1), added, eps, workspace);
    else K(sinkhorn_small_adjoint)(logits, d, (int)n, 1, iterations, v_splat(1), added, eps, workspace);
}

/* What is added to pre, and to the softmax of comb. */
static inline vec K(hyper_added)(const ody_hyper *h) { return v_splat(h->kind == ODY_HYPER_PAPER ? 0 : (real)h->eps); }

/* Of `mix`, the projections over the root of the mean square: the weights; of comb the logits. Head: pre alone. */
static void K(hyper_maps)(const ody_hyper *h, const vec *mix, vec *pre, vec *post, vec *comb) {
    const size_t n = h->streams;
    const real *base = h->base, *scale = h->scale;
    const vec added = K(hyper_added)(h);
#define LOGIT(o) v_fma(mix[o], v_splat(scale[hyper_part(o, n)]), v_splat(base[o]))
    for (size_t j = 0; j < n; j++) pre[j] = v_add(v_sigmoid(LOGIT(j)), added);
    if (h->kind == ODY_HYPER_HEAD) return;
    for (size_t j = 0; j < n; j++) {
        const vec s = v_sigmoid(LOGIT(n + j));
        post[j] = v_add(s, s);
    }
    for (size_t j = 0; j < n; j++)
        for (size_t k = 0; k < n; k++) comb[j * n + k] = LOGIT(hyper_place(h, j, k));
#undef LOGIT
}
