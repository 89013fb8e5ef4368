/* Sinkhorn-Knopp of stacks of matrices. Many matrices are shared out whole; one large one by chunks of rows, an iteration a
 * job, because an iteration needs the sums of all rows. Both call the same kernels in the same order. */
#include "strided.h"

enum {
    LINE = 64,
    GROUP = 32, /* small matrices computed together */
    FINISHED = 4096, /* bytes of a row below which streaming stores cost more than they save */
};

/* ---- small matrices ---------------------------------------------------------------------------------------------- */

typedef struct small_job {
    ody_sinkhorn_small_fn f;
    const ody_sinkhorn_small *v;
    size_t itemsize, count, workspace;
    int failed;
} small_job;

static void small_task(void *context, size_t task) {
    small_job *job = context;
    ody_sinkhorn_small piece = *job->v;
    const size_t start = task * job->count, place = start * piece.n * piece.n * job->itemsize;
    piece.count = smaller(piece.count - start, job->count);
    piece.x = (const char *)piece.x + place;
    piece.out = (char *)piece.out + place;
    if (piece.grad) piece.grad = (const char *)piece.grad + place;
    if (piece.residuals) piece.residuals = (char *)piece.residuals + 2 * start * job->itemsize;
    if (job->workspace && !(piece.workspace = ody_alloc(job->workspace))) {
        __atomic_store_n(&job->failed, 1, __ATOMIC_RELAXED);
        return;
    }
    job->f(&piece);
    if (job->workspace) ody_free(piece.workspace);
}

static int run_small(const ody_sinkhorn_stack *s) {
    const ody_sinkhorn_small v = {.x = s->x, .grad = s->grad, .out = s->out, .residuals = s->residuals, .count = s->count,
                                  .n = s->n, .iterations = s->iterations, .logits = s->logits,
                                  .columns_first = s->columns_first, .inverse_tau = s->inverse_tau, .add = s->add,
                                  .eps = s->eps};
    small_job job = {.f = s->grad ? s->small_backward : s->small, .v = &v, .itemsize = s->itemsize, .count = s->count};
    if (s->grad) job.workspace = ODY_SINKHORN_WORKSPACE(s->n, s->iterations);
    const size_t cost = s->n * s->n * s->iterations * (s->grad ? 12 : 4) / 4 + s->n * s->n * 4, threads = (size_t)ody_threads();
    if (threads > 1 && s->count * cost >= 2 * GRAIN)
        job.count = parts(larger(GRAIN / cost + 1, parts(s->count, threads * TASKS)), GROUP) * GROUP;
    if (job.count >= s->count) small_task(&job, 0);
    else ody_parallel(small_task, &job, parts(s->count, job.count));
    return job.failed ? -1 : 0;
}

/* ---- one matrix -------------------------------------------------------------------------------------------------- */

typedef struct rows_job {
    ody_sinkhorn_fn f;
    const ody_sinkhorn *v;
    size_t rows;
} rows_job;

static void rows_task(void *context, size_t task) {
    const rows_job *job = context;
    ody_sinkhorn piece = *job->v;
    piece.row = task * job->rows;
    piece.rows = smaller(piece.m - piece.row, job->rows);
    job->f(&piece);
}

/* A step over all rows, by the pool where `share`. */
static void over_rows(ody_sinkhorn_fn f, const ody_sinkhorn *v, int share) {
    const size_t chunks = parts(v->m, ODY_SINKHORN_CHUNK), threads = (size_t)ody_threads();
    rows_job job = {f, v, v->m};
    if (!share) {
        rows_task(&job, 0);
        return;
    }
    job.rows = parts(chunks, threads * TASKS) * ODY_SINKHORN_CHUNK;
    ody_parallel(rows_task, &job, parts(v->m, job.rows));
}

static void fill_ones(void *to, size_t n, size_t itemsize) {
    if (itemsize == sizeof(float))
        for (size_t i = 0; i < n; i++) ((float *)to)[i] = 1;
    else
        for (size_t i = 0; i < n; i++) ((double *)to)[i] = 1;
}

/* The largest of n values, or NaN. */
static void largest_of(void *to, const void *from, size_t n, size_t itemsize) {
#define LARGEST(type)                                                                                                  \
    do {                                                                                                               \
        const type *x = from;                                                                                          \
        type most = 0;                                                                                                 \
        for (size_t i = 0; i < n; i++) most = x[i] <= most ? most : x[i];                                              \
        for (size_t i = 0; i < n; i++) most = x[i] != x[i] ? x[i] : most;                                              \
        *(type *)to = most;                                                                                            \
    } while (0)
    if (itemsize == sizeof(float)) LARGEST(float);
    else LARGEST(double);
#undef LARGEST
}

/* Arrays laid out one after another, each on lines of its own: first counted, then, where there is memory, placed. */
typedef struct layout {
    char *memory;
    size_t bytes;
} layout;

static void *place(layout *l, size_t bytes) {
    void *at = l->memory ? l->memory + l->bytes : NULL;
    l->bytes += parts(bytes, LINE) * LINE;
    return at;
}

typedef struct stack_job {
    const ody_sinkhorn_stack *s;
    int share; /* rows, not matrices */
    int failed;
} stack_job;

/* By how much the rows' factors of a matrix that is not square grow in an iteration, once they do nothing else. */
static double drift_of(const ody_sinkhorn_stack *s) {
    const double m = (double)s->m, n = (double)s->n;
    return (m + n * s->eps) / (n + m * s->eps);
}

/* out = (a u) v, and how far its sums are from 1. */
static void finish(const ody_sinkhorn_stack *s, ody_sinkhorn *v, void *row_residuals, void *residuals, int share) {
    const size_t item = s->itemsize;
    v->residuals = residuals ? row_residuals : NULL;
    v->flags = 0;
    if (v->m * v->n * item * 2 > stream_threshold() && v->n * item >= FINISHED && v->a != v->out) v->flags |= ODY_STREAM;
    over_rows(s->finish, v, share);
    if (residuals) largest_of(residuals, row_residuals, v->m, item);
}

/* Multiplies the matrix by factors that have gone far apart. */
static void settle(const ody_sinkhorn_stack *s, ody_sinkhorn *v, int share) {
    v->residuals = NULL;
    over_rows(s->finish, v, share);
    fill_ones(v->u, v->m, s->itemsize);
    fill_ones(v->v, v->n, s->itemsize);
    v->a = v->out;
}

/* The iterations of the matrix at v->a, but for its multiplication by the factors. */
static void iterate(const ody_sinkhorn_stack *s, ody_sinkhorn *v, void *column_residual, int share) {
    const double drift = v->drift;
    for (size_t t = 0; t < s->iterations; t++) {
        const int last = t + 1 == s->iterations;
        if (t == 0 && s->logits) {
            over_rows(s->start, v, share);
            v->a = v->out;
            v->drift = 1;
        } else {
            over_rows(s->rows, v, share);
        }
        v->residuals = last ? column_residual : NULL;
        s->columns(v);
        v->drift = drift;
        if (*v->far && !last) settle(s, v, share);
    }
}

/* The same for a few rows, to the same bits: the columns and the next iteration's rows are one step. */
static void iterate_few(const ody_sinkhorn_stack *s, ody_sinkhorn *v, void *column_residual) {
    void *u = v->u, *other = v->row_by;
    v->rows = v->m;
    v->column_drift = v->drift;
    v->flags = ODY_GIVEN;
    if (s->logits) {
        s->start(v);
        v->a = v->out;
        v->column_drift = 1;
    } else {
        s->few(v);
    }
    for (size_t t = 1; t < s->iterations; t++) {
        v->flags = 0;
        v->u_next = other;
        s->few(v);
        v->column_drift = v->drift;
        if (*v->far) {
            v->u_next = u;
            settle(s, v, 0);
            v->flags = ODY_GIVEN;
            s->few(v);
        } else {
            other = u;
            v->u = u = v->u_next;
        }
    }
    v->flags = ODY_FOLD;
    v->residuals = column_residual;
    s->few(v);
}

static int forward(const ody_sinkhorn_stack *s, size_t index, int share) {
    const size_t m = s->m, n = s->n, item = s->itemsize, offset = index * m * n * item;
    layout l = {0};
    for (;;) {
        ody_sinkhorn v = {.a = (const char *)s->x + offset, .out = (char *)s->out + offset, .m = m, .n = n,
                          .logits = s->logits, .inverse_tau = s->inverse_tau, .add = s->add, .eps = s->eps,
                          .drift = drift_of(s)};
        v.u = v.u_next = place(&l, m * item);
        v.v = v.v_next = place(&l, n * item);
        v.partial = place(&l, parts(m, ODY_SINKHORN_CHUNK) * n * item);
        v.row_by = place(&l, m * item);
        void *row_residuals = place(&l, m * item);
        if (l.memory) {
            char *residuals = s->residuals ? (char *)s->residuals + 2 * index * item : NULL;
            void *column_residual = residuals ? residuals + item : NULL;
            int far = 0;
            v.far = &far;
            fill_ones(v.u, m, item);
            fill_ones(v.v, n, item);
            if (m <= ODY_SINKHORN_FEW) iterate_few(s, &v, column_residual);
            else iterate(s, &v, column_residual, share);
            finish(s, &v, row_residuals, residuals, share);
            break;
        }
        if (!(l.memory = ody_alloc(l.bytes))) return -1;
        l.bytes = 0;
    }
    ody_free(l.memory);
    return 0;
}

/* ---- its gradient ------------------------------------------------------------------------------------------------ */

/* Backwards through every iteration. Its rank-one contributions to the gradient of the matrix are kept as vectors, two of each
 * side an iteration, and multiplied out once. row_terms: u of each iteration, then what the sums of the rows received;
 * column_terms: what those of the columns received, then v. */
static void unroll(const ody_sinkhorn_stack *s, ody_sinkhorn *v, int share) {
    const size_t m = v->m, n = v->n, item = s->itemsize, k = s->iterations;
    const double drift = v->drift;
#define U(t) ((char *)v->row_terms + (t) * m * item)
#define ROW_RECEIVED(t) ((char *)v->row_terms + (k + (t) - 1) * m * item)
#define COLUMN_RECEIVED(t) ((char *)v->column_terms + (t) * n * item)
#define V(t) ((t) ? (char *)v->column_terms + (k + (t) - 1) * n * item : (char *)ones)
    void *ones = v->v;
    fill_ones(ones, n, item);
    ody_sinkhorn w = *v;
    w.u = U(0);
    over_rows(s->start, &w, share);
    w.a = w.out;
    for (size_t t = 0; t < k; t++) {
        w.v = V(t);
        w.u_next = U(t);
        if (t) {
            w.u = U(t - 1);
            over_rows(s->rows, &w, share);
        }
        w.drift = t ? drift : 1;
        w.v_next = V(t + 1);
        s->columns(&w);
        w.drift = drift;
    }
    w.u = U(k - 1);
    w.v = V(k);
    over_rows(s->products, &w, share);
    for (size_t t = k; t-- > 0;) {
        w.v = V(t);
        w.v_next = V(t + 1);
        w.terms = COLUMN_RECEIVED(t);
        w.joins = t + 1 < k;
        w.drift = t ? drift : 1;
        s->columns_adjoint(&w);
        if (t == 0) break;
        w.v = COLUMN_RECEIVED(t);
        w.u = U(t - 1);
        w.u_next = U(t);
        w.terms = ROW_RECEIVED(t);
        over_rows(s->rows_adjoint, &w, share);
    }
    w.u = U(k - 1);
    w.v = V(k);
    w.count = 2 * k - 1;
    w.out = v->terms;
    over_rows(s->gradient, &w, share);
#undef U
#undef ROW_RECEIVED
#undef COLUMN_RECEIVED
#undef V
}

/* Where the iterations have converged, the sums are constants: what would have to be sent through the factors solves a linear
 * system, which is iterated as often. It converges as fast as they did. */
static void imply(const ody_sinkhorn_stack *s, ody_sinkhorn *v, void *unused, int share) {
    const size_t m = v->m, n = v->n, item = s->itemsize;
    const double drift = v->drift;
    char *u = v->row_terms, *u_alpha = u + m * item, *f_beta = v->column_terms, *f = f_beta + n * item;
    ody_sinkhorn w = *v;
    fill_ones(f, n, item);
    w.u = w.u_next = u;
    w.v = w.v_next = f;
    over_rows(s->start, &w, share);
    w.a = w.out;
    for (size_t t = 0; t < s->iterations; t++) {
        if (t) over_rows(s->rows, &w, share);
        w.drift = t ? drift : 1;
        s->columns(&w);
        w.drift = drift;
    }
    over_rows(s->products, &w, share);
    w.flags = ODY_FOLD;
    s->implicit_columns(&w);
    w.flags = ODY_GIVEN;
    w.u_next = u_alpha;
    over_rows(s->implicit_rows, &w, share);
    s->implicit_columns(&w);
    w.flags = 0;
    w.terms = unused;
    w.v_next = f_beta;
    memset(f_beta, 0, n * item);
    for (size_t t = 0; t < s->iterations; t++) {
        w.v = f_beta;
        over_rows(s->implicit_rows, &w, share);
        w.v = f;
        s->implicit_columns(&w);
    }
    /* grad u v - alpha u v - u beta v: row terms u, -alpha u; column terms -beta v, v. */
    w.u = u;
    w.v = f;
    w.count = 2;
    w.out = v->terms;
    over_rows(s->gradient, &w, share);
}

static int backward(const ody_sinkhorn_stack *s, size_t index, int share) {
    const size_t m = s->m, n = s->n, item = s->itemsize, offset = index * m * n * item;
    const size_t terms = s->implicit ? 2 : 2 * s->iterations;
    layout l = {0};
    for (;;) {
        ody_sinkhorn v = {.a = (const char *)s->x + offset, .grad = (const char *)s->grad + offset, .m = m, .n = n,
                          .logits = s->logits, .inverse_tau = s->inverse_tau, .add = s->add, .eps = s->eps,
                          .drift = drift_of(s), .relaxation = 1};
        v.out = place(&l, m * n * item);
        v.v = place(&l, n * item);
        v.partial = place(&l, parts(m, ODY_SINKHORN_CHUNK) * n * item);
        v.row_by = place(&l, m * item);
        v.u_grad = place(&l, m * item);
        v.v_grad = place(&l, n * item);
        v.row_sums = place(&l, m * item);
        v.column_sums = place(&l, n * item);
        void *unused = place(&l, larger(m, n) * item);
        v.row_terms = place(&l, terms * m * item);
        v.column_terms = place(&l, terms * n * item);
        if (l.memory) {
            v.terms = (char *)s->out + offset;
            if (s->implicit) imply(s, &v, unused, share);
            else unroll(s, &v, share);
            break;
        }
        if (!(l.memory = ody_alloc(l.bytes))) return -1;
        l.bytes = 0;
    }
    ody_free(l.memory);
    return 0;
}

static void stack_task(void *context, size_t index) {
    stack_job *job = context;
    if ((job->s->grad ? backward : forward)(job->s, index, job->share)) __atomic_store_n(&job->failed, 1, __ATOMIC_RELAXED);
}

int ody_run_sinkhorn(const char *op, const ody_sinkhorn_stack *s) {
    const size_t elements = s->count * s->m * s->n;
    ody_announce(op, elements * s->itemsize * (s->grad ? 3 : 2));
    if (elements == 0) return 0;
    if (s->m == s->n && s->n >= 2 && s->n <= ODY_SINKHORN_SMALL && !s->implicit) return run_small(s);
    const size_t threads = (size_t)ody_threads(), cost = s->m * s->n * s->itemsize / 4;
    stack_job job = {.s = s};
    if (threads > 1 && s->count < 2 * threads && cost >= 2 * GRAIN && s->m > ODY_SINKHORN_CHUNK) job.share = 1;
    if (s->count == 1 || job.share || threads == 1 || s->count * cost * s->iterations < 2 * GRAIN)
        for (size_t index = 0; index < s->count; index++) stack_task(&job, index);
    else
        ody_parallel(stack_task, &job, s->count);
    return job.failed ? -1 : 0;
}

/* ---- entropic transport ------------------------------------------------------------------------------------------- */

typedef struct transport_job {
    ody_transport_fn f;
    const ody_transport *v;
    size_t rows, itemsize;
    int failed;
} transport_job;

static void transport_task(void *context, size_t task) {
    transport_job *job = context;
    ody_transport piece = *job->v;
    piece.row = task * job->rows;
    piece.rows = smaller(piece.m - piece.row, job->rows);
    if (!(piece.line = ody_alloc(piece.n * job->itemsize))) {
        __atomic_store_n(&job->failed, 1, __ATOMIC_RELAXED);
        return;
    }
    job->f(&piece);
    ody_free(piece.line);
}

static int transport_rows(ody_transport_fn f, const ody_transport *v, size_t itemsize) {
    const size_t chunks = parts(v->m, ODY_SINKHORN_CHUNK), threads = (size_t)ody_threads();
    transport_job job = {f, v, v->m, itemsize, 0};
    if (threads > 1 && v->m * v->n * 20 >= 2 * GRAIN) job.rows = parts(chunks, threads * TASKS) * ODY_SINKHORN_CHUNK;
    if (job.rows >= v->m) transport_task(&job, 0);
    else ody_parallel(transport_task, &job, parts(v->m, job.rows));
    return job.failed;
}

/* reg comes down from the largest cost by halves, so that the potentials are near where a small reg needs them. */
int ody_run_transport(const char *op, const ody_transport_problem *p, size_t *iterations, double *error) {
    const size_t m = p->m, n = p->n, item = p->itemsize;
    ody_announce(op, m * n * item * 2);
    layout l = {0};
    double found = 0, reg = p->reg;
    int failed = 0, lost = 0;
    size_t used = 0;
    for (;;) {
        ody_transport v = {.cost = p->cost, .a = p->a, .b = p->b, .m = m, .n = n, .rows = m, .f = p->f, .g = p->g,
                           .relaxation = p->relaxation, .error = &found, .lost = &lost};
        v.w = place(&l, n * item);
        v.weights = place(&l, m * item);
        v.partial = place(&l, parts(m, ODY_SINKHORN_CHUNK) * n * item);
        if (!l.memory) {
            if (!(l.memory = ody_alloc(l.bytes))) return -1;
            l.bytes = 0;
            continue;
        }
        while (reg < p->largest && reg < 0x1p1000) reg *= 2;
        v.flags = ODY_GIVEN;
        v.scale = 1;
        p->columns(&v);
        v.flags = 0;
        while (used < p->iterations && !failed) {
            const double next = reg > p->reg ? reg / 2 : reg;
            v.reg = reg;
            v.scale = reg / next;
            failed = transport_rows(p->rows, &v, item);
            p->columns(&v);
            if (lost) p->exact(&v);
            used++;
            if (reg == next && found <= p->tolerance) break;
            reg = next;
        }
        v.reg = p->reg;
        v.scale = 1;
        v.plan = p->plan;
        failed |= transport_rows(p->rows, &v, item);
        v.flags = ODY_FOLD;
        p->columns(&v);
        break;
    }
    ody_free(l.memory);
    *iterations = used;
    *error = found;
    return failed ? -1 : 0;
}

/* Whether `n` values have moved by no more than `tolerance` of the largest. */
static int settled(const void *before, const void *after, size_t n, size_t itemsize, double tolerance) {
    double most = 0, moved = 0;
    for (size_t i = 0; i < n; i++) {
        const double x = itemsize == sizeof(float) ? ((const float *)before)[i] : ((const double *)before)[i];
        const double y = itemsize == sizeof(float) ? ((const float *)after)[i] : ((const double *)after)[i];
        const double size = y < 0 ? -y : y, apart = y < x ? x - y : y - x;
        if (size > most) most = size;
        if (apart > moved) moved = apart;
    }
    return moved <= tolerance * most;
}

/* The linear system that a plan's gradients solve, until what it changes is below the tolerance; 1 when it was not. */
int ody_run_transport_backward(const char *op, const ody_transport_gradient *p) {
    const size_t m = p->m, n = p->n, item = p->itemsize;
    const int share = ody_threads() > 1 && m * n >= 2 * GRAIN;
    layout l = {0};
    ody_announce(op, m * n * item * 3);
    for (;;) {
        ody_sinkhorn v = {.a = p->plan, .grad = p->grad, .m = m, .n = n, .rows = m, .relaxation = p->relaxation};
        v.u = place(&l, m * item);
        void *ones = place(&l, n * item), *alpha = place(&l, m * item), *before = place(&l, n * item);
        void *row_sums = place(&l, m * item);
        v.u_grad = place(&l, m * item);
        v.v_grad = place(&l, n * item);
        v.column_sums = place(&l, n * item);
        v.v_next = place(&l, n * item);
        v.partial = place(&l, parts(m, ODY_SINKHORN_CHUNK) * n * item);
        if (!l.memory) {
            if (!(l.memory = ody_alloc(l.bytes))) return -1;
            l.bytes = 0;
            continue;
        }
        v.row_sums = row_sums;
        fill_ones(v.u, m, item);
        fill_ones(ones, n, item);
        v.v = ones;
        over_rows(p->products, &v, share);
        v.flags = ODY_FOLD;
        p->implicit_columns(&v);
        v.flags = ODY_GIVEN;
        v.u_next = alpha;
        over_rows(p->implicit_rows, &v, share);
        p->implicit_columns(&v);
        v.flags = 0;
        void *beta = v.v_next;
        memset(beta, 0, n * item);
        size_t t = 0;
        for (; t < p->iterations; t++) {
            memcpy(before, beta, n * item);
            v.v = beta;
            v.terms = p->row_terms;
            over_rows(p->implicit_rows, &v, share);
            v.v = ones;
            v.terms = p->column_terms;
            p->implicit_columns(&v);
            if (settled(before, beta, n, item, p->tolerance)) break;
        }
        memcpy(p->row_sums, row_sums, m * item);
        memcpy(p->column_sums, v.column_sums, n * item);
        ody_transport w = {.cost = p->plan, .a = p->grad, .plan = p->cost_grad, .m = m, .n = n, .rows = m, .f = p->row_terms,
                           .g = p->column_terms, .reg = p->reg};
        transport_rows(p->gradient, &w, item);
        ody_free(l.memory);
        return t == p->iterations;
    }
}
