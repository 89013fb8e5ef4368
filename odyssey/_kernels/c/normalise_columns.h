/* Groups that are columns of a matrix, as in the batch norm of (N, C): a vector holds an element of neighbouring groups.
 * Statistics are the reductions' own, down the columns (reduction.h), and have the bits of normalise.h's. */

#ifndef ODY_NORMALISE_COLUMNS
#define ODY_NORMALISE_COLUMNS
enum { PRODUCT_ROWS = 64 }; /* terms of the gradient's sums that are chained; chains are added in order */
#define COLUMN_ROW(base, row) AT(v->base, (ptrdiff_t)(row)*v->run_step)
#endif

/* Mean and variance of each column, at `mean` and `variance`. */
static void K(column_moments)(const ody_norm *v, real *mean, real *variance, void *scratch) {
    ody_columns sums = {.in = {v->x}, .out = mean, .in_step = v->run_step, .m = v->runs, .n = v->groups,
                        .param = {(double)v->runs}, .scratch = scratch};
    K(sum_columns)(&sums);
    sums.in[1] = mean;
    sums.out = variance;
    K(deviations_columns)(&sums);
}

static void K(normalise_columns)(const ody_norm *v) {
    const size_t n = v->groups;
    real *mean = v->scratch, *variance = mean + ODY_NORM_COLUMNS, *scale = variance + ODY_NORM_COLUMNS;
    real *shift = scale + ODY_NORM_COLUMNS;
    K(column_moments)(v, mean, variance, shift + ODY_NORM_COLUMNS);
    const real *weight = v->weight ? (const real *)v->weight + v->first : NULL;
    const real *bias = v->bias ? (const real *)v->bias + v->first : NULL;
    for (size_t i = 0; i < n; i += LANES) {
        const size_t count = n - i < LANES ? n - i : LANES;
        const vec one = v_splat(1), spread = v_load_n(variance + i, count, 1);
        const vec s = v_div(one, v_sqrt(v_add(spread, v_splat((real)v->eps))));
        v_store(scale + i, v_mul(s, weight ? v_load_n(weight + i, count, 1) : one));
        v_store(shift + i, bias ? v_load_n(bias + i, count, 0) : v_splat(R(-0.0)));
        if (v->mean) {
            v_store_n((real *)v->mean + i, v_load_n(mean + i, count, 0), count);
            v_store_n((real *)v->variance + i, spread, count);
        }
    }
    for (size_t row = 0; row < v->runs; row++) {
        const real *x = COLUMN_ROW(x, row);
        real *out = (real *)COLUMN_ROW(out, row);
        NORM_MAP(n, 0, const vec y = v_fma(v_sub(SOME(x + i), SOME(mean + i)), SOME(scale + i), SOME(shift + i)));
    }
}

/* The sums of grad and of grad * (x - mean) of `vecs` neighbouring vectors of columns, a constant. */
ODY_INLINE void K(column_products)(const ody_norm *v, const int vecs, size_t j, size_t count, const real *mean, real *sums,
                                   real *products) {
    vec m[ABREAST], sum[ABREAST], product[ABREAST];
    UNROLL for (int k = 0; k < vecs; k++) {
        m[k] = LOAD_LANES(mean + j + k * LANES, count);
        sum[k] = product[k] = v_zero();
    }
    for (size_t row = 0; row < v->runs;) {
        const size_t end = v->runs - row < PRODUCT_ROWS ? v->runs : row + PRODUCT_ROWS;
        vec s[ABREAST], p[ABREAST];
        UNROLL for (int k = 0; k < vecs; k++) s[k] = p[k] = v_zero();
        for (; row < end; row++) {
            const real *grad = COLUMN_ROW(grad, row) + j, *x = COLUMN_ROW(x, row) + j;
            UNROLL for (int k = 0; k < vecs; k++) {
                const vec g = LOAD_LANES(grad + k * LANES, count);
                s[k] = v_add(s[k], g);
                p[k] = v_fma(g, v_sub(LOAD_LANES(x + k * LANES, count), m[k]), p[k]);
            }
        }
        UNROLL for (int k = 0; k < vecs; k++) {
            sum[k] = v_add(sum[k], s[k]);
            product[k] = v_add(product[k], p[k]);
        }
    }
    UNROLL for (int k = 0; k < vecs; k++) {
        v_store(sums + j + k * LANES, sum[k]);
        v_store(products + j + k * LANES, product[k]);
    }
}

static void K(normalise_backward_columns)(const ody_norm *v) {
    const size_t n = v->groups;
    const real *weight = v->weight ? (const real *)v->weight + v->first : NULL;
    real *mean = v->scratch, *variance = mean + ODY_NORM_COLUMNS, *sums = variance + ODY_NORM_COLUMNS;
    real *products = sums + ODY_NORM_COLUMNS, *factor = products + ODY_NORM_COLUMNS;
    const int given = (v->flags & ODY_GIVEN) != 0;
    if (given)
        for (size_t i = 0; i < n; i++) {
            mean[i] = ((const real *)v->mean)[v->first + i];
            variance[i] = ((const real *)v->variance)[v->first + i];
        }
    else
        K(column_moments)(v, mean, variance, factor + ODY_NORM_COLUMNS);
    size_t j = 0;
    for (; n - j >= ABREAST * LANES; j += ABREAST * LANES) K(column_products)(v, ABREAST, j, LANES, mean, sums, products);
    for (; j < n; j += LANES) K(column_products)(v, 1, j, n - j < LANES ? n - j : LANES, mean, sums, products);
    /* From here on: scale in `variance`, the means' parts of the gradient in `sums` and `products`. */
    const vec runs = v_splat((real)v->runs);
    for (size_t i = 0; i < n; i += LANES) {
        const size_t count = n - i < LANES ? n - i : LANES;
        const vec w = weight ? v_load_n(weight + i, count, 1) : v_splat(1);
        const vec s = v_div(v_splat(1), v_sqrt(v_add(v_load_n(variance + i, count, 1), v_splat((real)v->eps))));
        const vec sum = v_load(sums + i), product = v_load(products + i);
        v_store_n((real *)v->grad_sums + i, sum, count);
        v_store_n((real *)v->product_sums + i, v_mul(product, s), count);
        v_store(sums + i, v_div(v_mul(sum, w), runs));
        v_store(products + i, v_mul(v_mul(v_div(v_mul(product, w), runs), s), s));
        v_store(variance + i, s);
        v_store(factor + i, given ? v_mul(w, s) : w);
    }
    for (size_t row = 0; row < v->runs; row++) {
        const real *x = COLUMN_ROW(x, row), *grad = COLUMN_ROW(grad, row);
        real *out = (real *)COLUMN_ROW(out, row);
        if (given)
            NORM_MAP(n, 0, const vec y = v_mul(SOME(grad + i), SOME(factor + i)));
        else
            NORM_MAP(n, 0, const vec h = v_mul(SOME(grad + i), SOME(factor + i));
                     const vec d = v_sub(SOME(x + i), SOME(mean + i));
                     const vec y = v_mul(v_sub(h, v_fma(d, SOME(products + i), SOME(sums + i))), SOME(variance + i)));
    }
}
