/* Groups of runs normalised together, each run with a weight and a bias of its own: what group, instance and batch norm are
 * (ody_norm). A run's statistics are added up as every sequence's, those of the runs in their order. */

#ifndef ODY_NORMALISE_H
#define ODY_NORMALISE_H
#define RUN(base, g, k) ((real *)((char *)(base) + (ptrdiff_t)(g)*v->group_step + (ptrdiff_t)(k)*v->run_step))
#define RUN_AFFINE(name, g, k, otherwise)                                                                              \
    (v->name ? *AT(v->name, (ptrdiff_t)((v->first + (g)) % v->period) * v->affine_group + (ptrdiff_t)(k)*v->affine_run) : (otherwise))
/* Runs of one element each, neighbours: a group is a row, with a row of weights. */
#define IS_ROW(v) ((v)->run == 1 && (v)->run_step == sizeof(real) && (v)->affine_run == sizeof(real))
#define GROUP_ROW(name, g, otherwise) (v->name ? RUN_WEIGHTS(name, g) : (otherwise))
#define RUN_WEIGHTS(name, g) AT(v->name, (ptrdiff_t)((v->first + (g)) % v->period) * v->affine_group)
#define RUN_STREAMED(v) ((v)->flags & ODY_STREAM && (uintptr_t)out % sizeof(real) == 0)
#endif

static inline void K(group_moments)(const ody_norm *v, size_t g, real *mean, real *variance) {
    if (v->flags & ODY_GIVEN) {
        *mean = ((const real *)v->mean)[(v->first + g) % v->period];
        *variance = ((const real *)v->variance)[(v->first + g) % v->period];
        return;
    }
    const vec neutral = v_splat(R(-0.0));
    const int adjacent = v->run_step == (ptrdiff_t)(v->run * sizeof(real));
    const size_t runs = adjacent ? 1 : v->runs, n = adjacent ? v->runs * v->run : v->run;
    const real count = (real)(v->runs * v->run);
    vec total = neutral;
    for (size_t k = 0; k < runs; k++) total = v_add(total, K(sum_lanes)(RUN(v->x, g, k), n, v_zero(), neutral));
    *mean = v_reduce_add(total) / count;
    const vec m = v_splat(*mean);
    total = neutral;
    for (size_t k = 0; k < runs; k++) total = v_add(total, K(deviations_lanes)(RUN(v->x, g, k), n, m, neutral));
    *variance = v_reduce_add(total) / count;
}

static void K(normalise)(const ody_norm *v) {
    const real eps = (real)v->eps;
    const int keeps = !(v->flags & ODY_GIVEN) && v->mean;
    real mean, variance, next_mean = 0, next_variance = 0, ones[LANES], zeros[LANES];
    v_store(ones, v_splat(1));
    v_store(zeros, v_splat(R(-0.0)));
    if (v->groups == 0) return;
    K(group_moments)(v, 0, &mean, &variance);
    for (size_t g = 0; g < v->groups; g++) {
        if (g + 1 < v->groups) K(group_moments)(v, g + 1, &next_mean, &next_variance);
        if (keeps) {
            ((real *)v->mean)[g] = mean;
            ((real *)v->variance)[g] = variance;
        }
        const real scale = 1 / REAL_SQRT(variance + eps);
        const vec m = v_splat(mean);
        if (IS_ROW(v)) {
            const real *x = RUN(v->x, g, 0), *weight = GROUP_ROW(weight, g, ones), *bias = GROUP_ROW(bias, g, zeros);
            const size_t weight_step = v->weight != NULL, bias_step = v->bias != NULL;
            const vec s = v_splat(scale);
            real *out = RUN(v->out, g, 0);
            NORM_MAP(v->runs, RUN_STREAMED(v), const vec w = v_mul(s, SOME(weight + i * weight_step));
                     const vec y = v_fma(v_sub(SOME(x + i), m), w, SOME(bias + i * bias_step)));
        }
        for (size_t k = 0; k < v->runs && !IS_ROW(v); k++) {
            const real *x = RUN(v->x, g, k);
            real *out = RUN(v->out, g, k);
            const vec w = v_splat(scale * RUN_AFFINE(weight, g, k, 1)), b = v_splat(RUN_AFFINE(bias, g, k, R(-0.0)));
            NORM_MAP(v->run, RUN_STREAMED(v), const vec y = v_fma(v_sub(SOME(x + i), m), w, b));
        }
        mean = next_mean;
        variance = next_variance;
    }
    if (v->flags & ODY_STREAM) ody_fence();
}

/* A group whose runs are single elements: layer_norm_backward's row, with each element's product kept. */
ODY_INLINE void K(backward_row)(const ody_norm *v, size_t g, real mean, real scale, const real *ones) {
    const size_t n = v->runs, weight_step = v->weight != NULL;
    const real *grad = RUN(v->grad, g, 0), *x = RUN(v->x, g, 0), *weight = GROUP_ROW(weight, g, ones);
    real *out = RUN(v->out, g, 0), *products = (real *)v->product_sums + g * n;
    const vec m = v_splat(mean), s = v_splat(scale);
    vec sum, product;
    K(norm_products)(grad, x, weight, weight_step, n, m, NULL, &sum, &product);
    const vec along = v_splat(v_reduce_add(sum) / (real)n);
    const vec across = v_splat(v_reduce_add(product) / (real)n * scale * scale);
    NORM_MAP(n, RUN_STREAMED(v), const vec incoming = SOME(grad + i);
             const vec d = v_sub(SOME(x + i), m); SAVE(products + i, v_mul(v_mul(incoming, d), s));
             const vec h = v_mul(incoming, SOME(weight + i * weight_step));
             const vec y = v_mul(v_sub(h, v_fma(d, across, along)), s));
}

static void K(normalise_backward)(const ody_norm *v) {
    const real count = (real)(v->runs * v->run);
    real ones[LANES];
    v_store(ones, v_splat(1));
    for (size_t g = 0; g < v->groups; g++) {
        real mean, variance, sum = 0, product = 0;
        K(group_moments)(v, g, &mean, &variance);
        const real scale = 1 / REAL_SQRT(variance + (real)v->eps);
        const vec m = v_splat(mean), s = v_splat(scale);
        vec group_sum = v_zero(), group_product = v_zero();
        if (IS_ROW(v)) {
            K(backward_row)(v, g, mean, scale, ones);
            continue;
        }
        for (size_t k = 0; k < v->runs; k++) {
            vec a, b;
            K(norm_products)(RUN(v->grad, g, k), RUN(v->x, g, k), ones, 0, v->run, m, NULL, &a, &b);
            if (v->affine_run == 0) {
                group_sum = v_add(group_sum, a);
                group_product = v_add(group_product, b);
                continue;
            }
            const real run_sum = v_reduce_add(a), run_product = v_reduce_add(b), weight = RUN_AFFINE(weight, g, k, 1);
            ((real *)v->grad_sums)[g * v->runs + k] = run_sum;
            ((real *)v->product_sums)[g * v->runs + k] = run_product * scale;
            sum += run_sum * weight;
            product += run_product * weight;
        }
        if (v->affine_run == 0) {
            const real run_sum = v_reduce_add(group_sum), run_product = v_reduce_add(group_product);
            ((real *)v->grad_sums)[g] = run_sum;
            ((real *)v->product_sums)[g] = run_product * scale;
            sum = run_sum * RUN_AFFINE(weight, g, 0, 1);
            product = run_product * RUN_AFFINE(weight, g, 0, 1);
        }
        const vec along = v_splat(sum / count), across = v_splat(product / count * scale * scale);
        for (size_t k = 0; k < v->runs; k++) {
            const real *grad = RUN(v->grad, g, k), *x = RUN(v->x, g, k);
            real *out = RUN(v->out, g, k);
            const real weight = RUN_AFFINE(weight, g, k, 1);
            if (v->flags & ODY_GIVEN) {
                const vec w = v_splat(weight * scale);
                NORM_MAP(v->run, RUN_STREAMED(v), const vec y = v_mul(SOME(grad + i), w));
            } else {
                const vec w = v_splat(weight);
                NORM_MAP(v->run, RUN_STREAMED(v), const vec h = v_mul(SOME(grad + i), w);
                         const vec y = v_mul(v_sub(h, v_fma(v_sub(SOME(x + i), m), across, along)), s));
            }
        }
    }
    if (v->flags & ODY_STREAM) ody_fence();
}
