/* Row by row; included by abi.c once for each type. */

#define ROWS(name, cost)                                                                                               \
    ody_status ODY_OP(name)(const ODY_REAL *x, size_t rows, size_t n, ODY_REAL *out) {                                 \
        ELEMENTS(elements, rows, n);                                                                                   \
        POINTERS(elements, x, out);                                                                                    \
        const ptrdiff_t step = (ptrdiff_t)(n * sizeof(ODY_REAL));                                                      \
        const ody_rows r = {.in = {x}, .out = {out}, .in_step = {step}, .out_step = {step}, .rows = rows, .n = n};     \
        DONE(elements && ody_run_rows(#name, SLOT(name), &r, cost));                                                   \
    }
#define ROWS_BACKWARD(name, cost)                                                                                      \
    ody_status ODY_OP(name)(const ODY_REAL *grad, const ODY_REAL *y, size_t rows, size_t n, ODY_REAL *out) {           \
        ELEMENTS(elements, rows, n);                                                                                   \
        POINTERS(elements, grad, y, out);                                                                              \
        const ptrdiff_t step = (ptrdiff_t)(n * sizeof(ODY_REAL));                                                      \
        const ody_rows r = {.in = {grad, y}, .out = {out}, .in_step = {step, step}, .out_step = {step}, .rows = rows, .n = n}; \
        DONE(elements && ody_run_rows(#name, SLOT(name), &r, cost));                                                   \
    }
ROWS(softmax, 12)
ROWS(log_softmax, 12)
ROWS_BACKWARD(softmax_backward, 3)
ROWS_BACKWARD(log_softmax_backward, 12)
#undef ROWS
#undef ROWS_BACKWARD

/* ---- reductions ------------------------------------------------------------------------------------------------------- */

static ody_status ODY_OP(reduced)(const char *op, const ODY_REAL *x, size_t rows, size_t n, void *out, int places, int passes,
                                  const ody_pass *pass) {
    ELEMENTS(elements, rows, n);
    POINTERS(rows, out);
    POINTERS(elements, x);
    if (!elements) return ODY_OK;
    const size_t out_item = places ? sizeof(int64_t) : sizeof(ODY_REAL);
    ody_reduction r = {.kept = 1, .reduced = 1, .itemsize = sizeof(ODY_REAL), .out_itemsize = out_item, .in = (const char *)x,
                       .out = out, .passes = passes, .places = places, .transpose = SLOT(transpose)};
    r.kept_shape[0] = rows;
    r.shape[0] = n;
    r.kept_stride[0] = (ptrdiff_t)(n * sizeof(ODY_REAL));
    r.stride[0] = sizeof(ODY_REAL);
    r.out_stride[0] = (ptrdiff_t)out_item;
    for (int i = 0; i < passes; i++) r.pass[i] = pass[i];
    DONE(ody_run_reduction(op, &r));
}

#define PASS(name, divisor, cost) ((ody_pass){SLOT(name##_rows), SLOT(name##_columns), divisor, cost})
/* Of no elements `none`. */
#define REDUCTION(name, none, count, ...)                                                                              \
    ody_status ODY_OP(name)(const ODY_REAL *x, size_t rows, size_t n, ODY_REAL *out) {                                 \
        const ody_status status = ODY_OP(reduced)(#name, x, rows, n, out, 0, count, (const ody_pass[]){__VA_ARGS__}); \
        if (status == ODY_OK && n == 0)                                                                                \
            for (size_t row = 0; row < rows; row++) out[row] = (ODY_REAL)(none);                                       \
        return status;                                                                                                 \
    }
REDUCTION(sum, 0, 1, PASS(sum, 1, 1))
REDUCTION(mean, NAN, 1, PASS(sum, (double)n, 1))
REDUCTION(norm, 0, 1, PASS(norm, 0, 1))
REDUCTION(logsumexp, -INFINITY, 2, PASS(max, 0, 1), PASS(logsumexp, 0, 14))
#undef REDUCTION

ody_status ODY_OP(var)(const ODY_REAL *x, size_t rows, size_t n, double ddof, ODY_REAL *out) {
    const double left = (double)n - ddof;
    const ody_pass passes[] = {PASS(sum, (double)n, 1), PASS(deviations, left > 0 ? left : 0, 2)};
    const ody_status status = ODY_OP(reduced)("var", x, rows, n, out, 0, 2, passes);
    if (status == ODY_OK && n == 0)
        for (size_t row = 0; row < rows; row++) out[row] = NAN;
    return status;
}

#define EXTREMUM(name, type, places)                                                                                           \
    ody_status ODY_OP(name)(const ODY_REAL *x, size_t rows, size_t n, type *out) {                                     \
        if (rows && n == 0) return ODY_INVALID_DIMENSION;                                                              \
        return ODY_OP(reduced)(#name, x, rows, n, out, places, 1, &PASS(name, 0, 1));                            \
    }
EXTREMUM(max, ODY_REAL, 0)
EXTREMUM(min, ODY_REAL, 0)
EXTREMUM(argmax, int64_t, 1)
#undef EXTREMUM
#undef PASS

ody_status ODY_OP(dot)(const ODY_REAL *a, const ODY_REAL *b, size_t n, ODY_REAL *out) {
    ELEMENTS(elements, n);
    POINTERS(1, out);
    POINTERS(elements, a, b);
    *out = 0;
    if (!n) return ODY_OK;
    const ody_rows r = {.in = {a, b}, .out = {out}, .rows = 1, .n = n, .param = {1}};
    DONE(ody_run_rows("dot", SLOT(dot), &r, 1));
}

/* ---- norms ------------------------------------------------------------------------------------------------------------ */

static ody_status ODY_OP(normed)(const char *op, ody_rows_fn f, const ODY_REAL *x, const ODY_REAL *weight, const ODY_REAL *bias,
                                 size_t rows, size_t n, double eps, ODY_REAL *out) {
    ELEMENTS(elements, rows, n);
    POINTERS(elements, x, out);
    const ptrdiff_t step = (ptrdiff_t)(n * sizeof(ODY_REAL));
    const ody_rows r = {.in = {x, weight, bias}, .out = {out}, .in_step = {step}, .out_step = {step}, .rows = rows, .n = n, .param = {eps}};
    DONE(elements && ody_run_rows(op, f, &r, 4));
}

ody_status ODY_OP(rms_norm)(const ODY_REAL *x, const ODY_REAL *weight, size_t rows, size_t n, double eps, ODY_REAL *out) {
    return ODY_OP(normed)("rms_norm", SLOT(rms_norm), x, weight, NULL, rows, n, eps, out);
}

ody_status ODY_OP(layer_norm)(const ODY_REAL *x, const ODY_REAL *weight, const ODY_REAL *bias, size_t rows, size_t n, double eps,
                              ODY_REAL *out) {
    return ODY_OP(normed)("layer_norm", SLOT(layer_norm), x, weight, bias, rows, n, eps, out);
}

static ody_status ODY_OP(normed_backward)(const char *op, ody_rows_fn f, const ODY_REAL *grad, const ODY_REAL *x,
                                          const ODY_REAL *weight, size_t rows, size_t n, double eps, ODY_REAL *dx, ODY_REAL *dweight,
                                          ODY_REAL *dbias, int sums) {
    ELEMENTS(elements, rows, n);
    POINTERS(elements, grad, x, dx);
    POINTERS(n, dweight, sums == 2 ? dbias : dweight);
    const ptrdiff_t step = (ptrdiff_t)(n * sizeof(ODY_REAL));
    const ody_rows r = {.in = {grad, x, weight}, .out = {dx, dweight, dbias}, .in_step = {step, step}, .out_step = {step},
                        .rows = rows, .n = n, .param = {eps}};
    DONE(ody_run_norm_sums(op, f, SLOT(add), &r, sums, sizeof(ODY_REAL)));
}

ody_status ODY_OP(rms_norm_backward)(const ODY_REAL *grad, const ODY_REAL *x, const ODY_REAL *weight, size_t rows, size_t n,
                                     double eps, ODY_REAL *dx, ODY_REAL *dweight) {
    return ODY_OP(normed_backward)("rms_norm_backward", SLOT(rms_norm_backward), grad, x, weight, rows, n, eps, dx, dweight, NULL, 1);
}

ody_status ODY_OP(layer_norm_backward)(const ODY_REAL *grad, const ODY_REAL *x, const ODY_REAL *weight, size_t rows, size_t n,
                                       double eps, ODY_REAL *dx, ODY_REAL *dweight, ODY_REAL *dbias) {
    return ODY_OP(normed_backward)("layer_norm_backward", SLOT(layer_norm_backward), grad, x, weight, rows, n, eps, dx, dweight, dbias, 2);
}

ody_status ODY_OP(group_norm)(const ODY_REAL *x, const ODY_REAL *weight, const ODY_REAL *bias, size_t batch, size_t channels,
                              size_t inner, size_t groups, double eps, ODY_REAL *out) {
    ELEMENTS(elements, batch, channels, inner);
    POINTERS(elements, x, out);
    if (groups < 1 || channels % groups) return ODY_INVALID_DIMENSION;
    const ptrdiff_t item = sizeof(ODY_REAL);
    const size_t runs = channels / groups;
    const ody_norm v = {.x = x, .weight = weight, .bias = bias, .out = out, .group_step = (ptrdiff_t)(runs * inner) * item,
                        .run_step = (ptrdiff_t)inner * item, .affine_group = (ptrdiff_t)runs * item, .affine_run = item,
                        .groups = batch * groups, .runs = runs, .run = inner, .period = groups, .eps = eps};
    DONE(elements && ody_run_norm("group_norm", SLOT(normalise), SLOT(normalise_columns), &v, sizeof(ODY_REAL)));
}

/* ---- labels and indices ------------------------------------------------------------------------------------------------- */

/* The sum of all weights, and of those of the labels that take part. */
static void ODY_OP(weigh)(const int64_t *labels, const ODY_REAL *weight, size_t rows, size_t classes, int64_t ignored, double *total,
                          double *taking_part) {
    *total = weight ? 0 : (double)classes;
    *taking_part = 0;
    if (weight)
        for (size_t i = 0; i < classes; i++) *total += (double)weight[i];
    for (size_t i = 0; i < rows; i++)
        if (labels[i] != ignored) *taking_part += weight ? (double)weight[labels[i]] : 1;
}

ody_status ODY_OP(cross_entropy)(const ODY_REAL *logits, const int64_t *labels, const ODY_REAL *weight, size_t rows, size_t classes,
                                 int64_t ignore_index, double smoothing, ODY_REAL *losses, ODY_REAL *mean) {
    ELEMENTS(elements, rows, classes);
    POINTERS(elements, logits);
    POINTERS(rows, labels, losses);
    if (!(smoothing >= 0 && smoothing <= 1)) return ODY_INVALID_VALUE;
    if (!labels_fit(labels, rows, classes, ignore_index)) return ODY_INVALID_INDEX;
    double total, taking_part;
    ODY_OP(weigh)(labels, weight, rows, classes, ignore_index, &total, &taking_part);
    int64_t *copy;
    const int64_t *label = without_ignored(labels, rows, classes, ignore_index, &copy);
    if (rows && !label) return ODY_OUT_OF_MEMORY;
    const ody_rows r = {.in = {logits, label, weight}, .out = {losses}, .rows = rows, .n = classes, .param = {smoothing, total},
                        .in_step = {(ptrdiff_t)(classes * sizeof(ODY_REAL)), sizeof(int64_t)}, .out_step = {sizeof(ODY_REAL)}};
    const int failed = ody_run_rows("cross_entropy", SLOT(cross_entropy), &r, 16);
    ody_free(copy);
    if (failed) return ODY_OUT_OF_MEMORY;
    if (!mean) return ODY_OK;
    *mean = NAN;
    const ody_rows sum = {.in = {losses}, .out = {mean}, .rows = 1, .n = rows, .param = {taking_part}};
    DONE(rows && ody_run_rows("cross_entropy", SLOT(sum_rows), &sum, 1));
}

ody_status ODY_OP(cross_entropy_backward)(double grad, const ODY_REAL *logits, const int64_t *labels, const ODY_REAL *weight,
                                          size_t rows, size_t classes, int64_t ignore_index, double smoothing, ODY_REAL *out) {
    ELEMENTS(elements, rows, classes);
    POINTERS(elements, logits, out);
    POINTERS(rows, labels);
    if (!(smoothing >= 0 && smoothing <= 1)) return ODY_INVALID_VALUE;
    if (!labels_fit(labels, rows, classes, ignore_index)) return ODY_INVALID_INDEX;
    double total, taking_part;
    ODY_OP(weigh)(labels, weight, rows, classes, ignore_index, &total, &taking_part);
    int64_t *copy;
    const int64_t *label = without_ignored(labels, rows, classes, ignore_index, &copy);
    if (rows && !label) return ODY_OUT_OF_MEMORY;
    const ODY_REAL each = (ODY_REAL)(rows ? grad / taking_part : grad);
    const ptrdiff_t step = (ptrdiff_t)(classes * sizeof(ODY_REAL));
    const ody_rows r = {.in = {logits, label, &each, weight}, .out = {out}, .in_step = {step, sizeof(int64_t)}, .out_step = {step},
                        .rows = rows, .n = classes, .param = {smoothing, total}};
    const int failed = ody_run_rows("cross_entropy_backward", SLOT(cross_entropy_backward), &r, 16);
    ody_free(copy);
    DONE(failed);
}

ody_status ODY_OP(embedding)(const ODY_REAL *weight, const int64_t *indices, size_t rows, size_t n, size_t count, ODY_REAL *out) {
    ELEMENTS(table, rows, n);
    ELEMENTS(elements, count, n);
    POINTERS(count, indices);
    POINTERS(elements, out);
    POINTERS(table && count, weight);
    if (!rows_exist(indices, count, rows)) return ODY_INVALID_INDEX;
    const ptrdiff_t step = (ptrdiff_t)(n * sizeof(ODY_REAL));
    const ody_rows r = {.in = {weight, indices}, .out = {out}, .in_step = {step, sizeof(int64_t)}, .out_step = {step}, .rows = count,
                        .n = n};
    DONE(elements && ody_run_gather("embedding", SLOT(embedding), &r, sizeof(ODY_REAL)));
}

ody_status ODY_OP(embedding_backward)(const ODY_REAL *grad, const int64_t *indices, size_t rows, size_t n, size_t count,
                                      int64_t padding, ODY_REAL *out) {
    ELEMENTS(table, rows, n);
    ELEMENTS(elements, count, n);
    POINTERS(count, indices);
    POINTERS(elements, grad);
    POINTERS(table, out);
    if (!rows_exist(indices, count, rows) || padding < -1 || (padding >= 0 && (uint64_t)padding >= rows)) return ODY_INVALID_INDEX;
    const ptrdiff_t step = (ptrdiff_t)(n * sizeof(ODY_REAL));
    const ody_scatter s = {.grad = grad, .out = out, .grad_step = step, .out_step = step, .rows = rows, .n = n};
    DONE(table && ody_run_scatter("embedding_backward", SLOT(embedding_backward), &s, indices, count, padding, sizeof(ODY_REAL)));
}

/* ---- rotary embedding, sampling ------------------------------------------------------------------------------------------- */

static ody_status ODY_OP(rotated)(const char *op, double sign, const ODY_REAL *x, const ODY_REAL *cosines, const ODY_REAL *sines,
                                  size_t heads, size_t length, size_t depth, size_t pairs, int interleaved, ODY_REAL *out) {
    ELEMENTS(elements, heads, length, depth);
    POINTERS(elements, x, out);
    if (pairs > depth / 2) return ODY_INVALID_DIMENSION;
    POINTERS(elements && pairs, cosines, sines);
    if (!elements) return ODY_OK;
    const ptrdiff_t item = sizeof(ODY_REAL), row = (ptrdiff_t)depth * item, turn = (ptrdiff_t)pairs * item;
    ody_rotary r = {.first = {.in = {x, cosines, sines}, .out = {out}, .in_step = {row, turn, turn}, .out_step = {row}, .rows = length,
                              .n = depth, .param = {(double)pairs, sign}},
                    .ndim = 1};
    r.shape[0] = heads;
    r.stride[0][0] = r.stride[0][3] = (ptrdiff_t)length * row;
    ody_run_rotary(op, interleaved ? SLOT(rotary_interleaved) : SLOT(rotary_half), &r, sizeof(ODY_REAL));
    return ODY_OK;
}

ody_status ODY_OP(rotary_embedding)(const ODY_REAL *x, const ODY_REAL *cosines, const ODY_REAL *sines, size_t heads, size_t length,
                                    size_t depth, size_t pairs, int interleaved, ODY_REAL *out) {
    return ODY_OP(rotated)("rotary_embedding", 1, x, cosines, sines, heads, length, depth, pairs, interleaved, out);
}

ody_status ODY_OP(rotary_embedding_backward)(const ODY_REAL *grad, const ODY_REAL *cosines, const ODY_REAL *sines, size_t heads,
                                             size_t length, size_t depth, size_t pairs, int interleaved, ODY_REAL *out) {
    return ODY_OP(rotated)("rotary_embedding_backward", -1, grad, cosines, sines, heads, length, depth, pairs, interleaved, out);
}

/* k is 0 and p 1 where they say nothing. */
static ody_status ODY_OP(drawn)(ody_sample_fn f, const ODY_REAL *logits, const double *uniform, size_t rows, size_t n, size_t k, double p,
                                double temperature, int64_t *tokens) {
    ELEMENTS(elements, rows, n);
    POINTERS(elements, logits);
    POINTERS(rows, uniform, tokens);
    if (n == 0 || (uint64_t)n >= (uint64_t)1 << 32) return ODY_INVALID_DIMENSION;
    if (!(temperature >= 0) || isinf(temperature)) return ODY_INVALID_VALUE;
    for (size_t row = 0; row < rows; row++)
        if (!(uniform[row] >= 0 && uniform[row] < 1)) return ODY_INVALID_VALUE;
    /* At temperature 0, and where 1 / temperature is infinite, all weight is on the largest logit: a kept set of one. */
    if (temperature == 0 || 1 / temperature > REAL_MOST)
        return draw(SLOT(topk_sample), logits, uniform, rows, n, 1, p, 1, tokens, sizeof(ODY_REAL));
    return draw(f, logits, uniform, rows, n, k < n ? k : n, p, 1 / temperature, tokens, sizeof(ODY_REAL));
}

ody_status ODY_OP(sample)(const ODY_REAL *logits, const double *uniform, size_t rows, size_t n, double temperature, int64_t *tokens) {
    return ODY_OP(drawn)(SLOT(sample), logits, uniform, rows, n, 0, 1, temperature, tokens);
}

ody_status ODY_OP(topk_sample)(const ODY_REAL *logits, const double *uniform, size_t rows, size_t n, size_t k, double temperature,
                               int64_t *tokens) {
    if (k < 1) return ODY_INVALID_VALUE;
    return ODY_OP(drawn)(SLOT(topk_sample), logits, uniform, rows, n, k, 1, temperature, tokens);
}

ody_status ODY_OP(topp_sample)(const ODY_REAL *logits, const double *uniform, size_t rows, size_t n, double p, double temperature,
                               int64_t *tokens) {
    if (!(p > 0 && p <= 1)) return ODY_INVALID_VALUE;
    return ODY_OP(drawn)(SLOT(topp_sample), logits, uniform, rows, n, 0, p, temperature, tokens);
}
