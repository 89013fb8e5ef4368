/* Sinkhorn's iterations, distances, maps of the ball; included by abi.c once for each type. */

ody_status ODY_OP(sinkhorn_knopp)(const ODY_REAL *x, size_t count, size_t m, size_t n, size_t iterations, double eps, double tau,
                                  int from_logits, ODY_REAL *out) {
    ELEMENTS(elements, count, m, n);
    POINTERS(elements, x, out);
    if (iterations < 1 || !isfinite(eps) || eps < 0 || !isfinite(tau) || tau <= 0) return ODY_INVALID_VALUE;
    const ody_sinkhorn_stack s = {.small = SLOT(sinkhorn_matrices), .start = SLOT(sinkhorn_start), .rows = SLOT(sinkhorn_rows),
                                  .columns = SLOT(sinkhorn_columns), .few = SLOT(sinkhorn_few), .finish = SLOT(sinkhorn_finish),
                                  .x = x, .out = out, .itemsize = sizeof(ODY_REAL), .count = count, .m = m, .n = n,
                                  .iterations = iterations, .logits = from_logits != 0, .inverse_tau = 1 / tau, .add = eps, .eps = eps};
    DONE(elements && ody_run_sinkhorn("sinkhorn_knopp", &s));
}

/* The curvature as the type has it; 0 where it is none. */
static double ODY_OP(curvature)(double c) {
    const double rounded = (double)(ODY_REAL)c;
    return rounded > 0 && isfinite(rounded) ? rounded : 0;
}

/* ---- row by row ---------------------------------------------------------------------------------------------------------- */

static ody_status ODY_OP(distances)(const char *op, ody_rows_fn f, const ODY_REAL *x, const ODY_REAL *y, size_t rows, size_t n, double c,
                                    ODY_REAL *out) {
    ELEMENTS(elements, rows, n);
    POINTERS(elements, x, y);
    POINTERS(rows, out);
    const ptrdiff_t step = (ptrdiff_t)(n * sizeof(ODY_REAL));
    const ody_rows r = {.in = {x, y}, .out = {out}, .in_step = {step, step}, .out_step = {sizeof(ODY_REAL)}, .rows = rows, .n = n,
                        .param = {c}};
    if (ody_run_rows(op, f, &r, 2)) return ODY_OUT_OF_MEMORY;
    /* A point for which there is no distance is told by one below 0. */
    for (size_t row = 0; row < rows; row++)
        if (out[row] < 0) return ODY_INVALID_VALUE;
    return ODY_OK;
}

ody_status ODY_OP(euclidean_distance)(const ODY_REAL *x, const ODY_REAL *y, size_t rows, size_t n, ODY_REAL *out) {
    return ODY_OP(distances)("euclidean_distance", SLOT(euclidean_distance), x, y, rows, n, 0, out);
}

ody_status ODY_OP(poincare_distance)(const ODY_REAL *x, const ODY_REAL *y, size_t rows, size_t n, double c, ODY_REAL *out) {
    c = ODY_OP(curvature)(c);
    if (c == 0) return ODY_INVALID_VALUE;
    return ODY_OP(distances)("poincare_distance", SLOT(poincare_distance), x, y, rows, n, c, out);
}

ody_status ODY_OP(spherical_distance)(const ODY_REAL *x, const ODY_REAL *y, size_t rows, size_t n, ODY_REAL *out) {
    return ODY_OP(distances)("spherical_distance", SLOT(spherical_distance), x, y, rows, n, 0, out);
}

/* ---- of all pairs --------------------------------------------------------------------------------------------------------- */

/* What the kernels of pairs read of each point; ODY_INVALID_VALUE for one outside (with `inside`) or without direction. */
static ody_status ODY_OP(measured)(ody_rows_fn f, const ODY_REAL *x, size_t rows, size_t n, double c, int inside, int directed,
                                   ODY_REAL *sizes, ODY_REAL *gaps) {
    const ody_rows r = {.in = {x}, .out = {sizes, gaps}, .in_step = {(ptrdiff_t)(n * sizeof(ODY_REAL))},
                        .out_step = {sizeof(ODY_REAL), sizeof(ODY_REAL)}, .rows = rows, .n = n, .param = {c}};
    if (ody_run_rows("pairwise_distance", f, &r, 2)) return ODY_OUT_OF_MEMORY;
    for (size_t row = 0; row < rows; row++)
        if ((inside && gaps[row] <= 0) || (directed && gaps[row] == 0)) return ODY_INVALID_VALUE;
    return ODY_OK;
}

static ody_status ODY_OP(pairs)(const ody_kernels *table, ody_pairs_fn f, ody_rows_fn points, const ODY_REAL *x, const ODY_REAL *y,
                                size_t m, size_t k, size_t n, double c, int directed, ODY_REAL *out) {
    ELEMENTS(x_elements, m, n);
    ELEMENTS(y_elements, k, n);
    ELEMENTS(elements, m, k);
    POINTERS(elements, out);
    POINTERS(x_elements, x);
    if (!y && y_elements && k != m) return ODY_NULL_POINTER;
    const int symmetric = !y || y == x;
    if (!y) y = x;
    if (symmetric && k != m) return ODY_INVALID_DIMENSION;
    if (!elements) return ODY_OK;
    ODY_REAL *scratch = ody_alloc(2 * (m + k) * sizeof(ODY_REAL));
    if (!scratch) return ODY_OUT_OF_MEMORY;
    ODY_REAL *x_size = scratch, *x_gap = x_size + m, *y_size = symmetric ? x_size : x_gap + m, *y_gap = symmetric ? x_gap : y_size + k;
    ody_status status = ODY_OP(measured)(points, x, m, n, c, c != 0, directed, x_size, x_gap);
    if (status == ODY_OK && !symmetric) status = ODY_OP(measured)(points, y, k, n, c, c != 0, directed, y_size, y_gap);
    const ptrdiff_t step = (ptrdiff_t)(n * sizeof(ODY_REAL));
    const ody_pairs p = {.x = x, .y = y, .x_size = x_size, .x_gap = x_gap, .y_size = y_size, .y_gap = y_gap, .out = out, .x_step = step,
                         .y_step = step, .out_step = (ptrdiff_t)(k * sizeof(ODY_REAL)), .rows = m, .columns = k, .n = n,
                         .param = {c}};
    if (status == ODY_OK && ody_run_pairs("pairwise_distance", f, OF(table, gemm), OF(table, gemm_workspace), OF(table, transpose), &p,
                                          symmetric, sizeof(ODY_REAL)))
        status = ODY_OUT_OF_MEMORY;
    ody_free(scratch);
    return status;
}

ody_status ODY_OP(euclidean_pairwise)(const ODY_REAL *x, const ODY_REAL *y, size_t m, size_t k, size_t n, ODY_REAL *out) {
    const ody_kernels *const table = ody_active();
    return ODY_OP(pairs)(table, OF(table, euclidean_pairs), OF(table, ball_points), x, y, m, k, n, 0, 0, out);
}

ody_status ODY_OP(poincare_pairwise)(const ODY_REAL *x, const ODY_REAL *y, size_t m, size_t k, size_t n, double c, ODY_REAL *out) {
    const ody_kernels *const table = ody_active();
    c = ODY_OP(curvature)(c);
    if (c == 0) return ODY_INVALID_VALUE;
    return ODY_OP(pairs)(table, OF(table, poincare_pairs), OF(table, ball_points), x, y, m, k, n, c, 0, out);
}

ody_status ODY_OP(spherical_pairwise)(const ODY_REAL *x, const ODY_REAL *y, size_t m, size_t k, size_t n, ODY_REAL *out) {
    const ody_kernels *const table = ody_active();
    return ODY_OP(pairs)(table, OF(table, spherical_pairs), OF(table, direction_points), x, y, m, k, n, 0, 1, out);
}

/* ---- maps of the ball ------------------------------------------------------------------------------------------------------- */

static ody_status ODY_OP(mapped)(const char *op, ody_rows_fn f, const ODY_REAL *x, const ODY_REAL *y, size_t rows, size_t n, double c,
                                 double option, int inside, ODY_REAL *out) {
    ELEMENTS(elements, rows, n);
    POINTERS(elements, x, y, out);
    c = ODY_OP(curvature)(c);
    if (c == 0) return ODY_INVALID_VALUE;
    if (!elements) return ODY_OK;
    ODY_REAL *gaps = ody_alloc(rows * sizeof(ODY_REAL));
    if (!gaps) return ODY_OUT_OF_MEMORY;
    const ptrdiff_t step = (ptrdiff_t)(n * sizeof(ODY_REAL));
    const ody_rows r = {.in = {x, y}, .out = {out, gaps}, .in_step = {step, step}, .out_step = {step, sizeof(ODY_REAL)}, .rows = rows,
                        .n = n, .param = {c, option}};
    ody_status status = ody_run_rows(op, f, &r, 2) ? ODY_OUT_OF_MEMORY : ODY_OK;
    for (size_t row = 0; inside && status == ODY_OK && row < rows; row++)
        if (gaps[row] <= 0) status = ODY_INVALID_VALUE;
    ody_free(gaps);
    return status;
}

ody_status ODY_OP(mobius_add)(const ODY_REAL *x, const ODY_REAL *y, size_t rows, size_t n, double c, ODY_REAL *out) {
    return ODY_OP(mapped)("mobius_add", SLOT(mobius_add), x, y, rows, n, c, 0, 1, out);
}

ody_status ODY_OP(exp_map)(const ODY_REAL *x, const ODY_REAL *v, size_t rows, size_t n, double c, ODY_REAL *out) {
    return ODY_OP(mapped)("exp_map", SLOT(exp_map), x, v, rows, n, c, 0, 1, out);
}

ody_status ODY_OP(log_map)(const ODY_REAL *x, const ODY_REAL *y, size_t rows, size_t n, double c, ODY_REAL *out) {
    return ODY_OP(mapped)("log_map", SLOT(log_map), x, y, rows, n, c, 0, 1, out);
}

ody_status ODY_OP(project_to_ball)(const ODY_REAL *x, size_t rows, size_t n, double c, double eps, ODY_REAL *out) {
    if (!(eps > 0 && eps < 1)) return ODY_INVALID_VALUE;
    return ODY_OP(mapped)("project_to_ball", SLOT(project_to_ball), x, x, rows, n, c, 1 - eps, 0, out);
}
