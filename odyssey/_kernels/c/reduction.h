/* One reduction, of rows and down columns, to the same bits: included once for each, with ODY_REDUCTION its name and
 * these functions before it, c being a value per sequence (the mean in `deviations`), zero where there is none:
 *
 *   name_neutral()         what join leaves alone
 *   name_step(acc, x, c)   takes one element in
 *   name_join(a, b)        joins two accumulators of one lane, a of earlier elements
 *   name_unite(a, b)       joins two lanes, a the lower
 *   name_fold(v)           a vector's lanes united to one scalar, as by name_unite
 *   name_finish(v, c, p)   makes results of what is folded; p the parameters
 *
 * In rows a vector holds neighbouring elements of one sequence: its lanes are the plan's (sequence.h). Down columns a
 * vector holds one element of neighbouring sequences: row i of the matrix goes to accumulator i % LANES.
 *
 * Chunks may be reduced one by one, on any thread: with ODY_PARTIAL a kernel stops before it folds and writes the lanes,
 * with ODY_FOLD it takes such partials, in the order of the chunks, and finishes. A chunk may itself come in pieces of
 * whole blocks: with ODY_CONTINUE as well a kernel goes on from the lanes it finds.
 */
#ifndef ODY_REDUCTION_COMMON
#define ODY_REDUCTION_COMMON

enum { COLUMN_VECTORS = 64 }; /* columns taken at once, in vectors: their accumulators stay in the first-level cache */

enum { ABREAST = 4 };

#define AT(base, offset) ((const real *)((const char *)(base) + (offset)))
#define PART_OF_(reduction, part) K(reduction##_##part)
#define PART_OF(reduction, part) PART_OF_(reduction, part)
#define REDUCTION_PART(part) PART_OF(ODY_REDUCTION, part)
#define LOAD_LANES(p, lanes) ((lanes) == LANES ? v_load(p) : v_load_n(p, lanes, 0))
#endif

static inline vec REDUCTION_PART(lanes)(const real *x, size_t n, vec c, vec start) {
    const vec neutral = REDUCTION_PART(neutral)();
    vec total;
    REDUCE_SEQUENCE(total, n, start, neutral, REDUCTION_PART(join), acc = REDUCTION_PART(step)(acc, v_load(x + i), c),
                    acc = REDUCTION_PART(step)(acc, v_load_n(x + i, left, 0), c));
    return total;
}

/* Results are finished together, LANES rows at a time. */
static void REDUCTION_PART(rows)(const ody_rows *r) {
    const vec neutral = REDUCTION_PART(neutral)();
    for (size_t row = 0; row < r->rows; row += LANES) {
        const size_t count = r->rows - row < LANES ? r->rows - row : LANES;
        real totals[LANES], centres[LANES];
        for (size_t k = 0; k < count; k++) {
            const real *x = AT(r->in[0], (ptrdiff_t)(row + k) * r->in_step[0]);
            real *out = (real *)AT(r->out[0], (ptrdiff_t)(row + k) * r->out_step[0]);
            vec c = v_zero(), total = neutral;
            if (r->in[1]) {
                centres[k] = *AT(r->in[1], (ptrdiff_t)(row + k) * r->in_step[1]);
                c = v_splat(centres[k]);
            }
            if (r->flags & ODY_FOLD)
                for (size_t i = 0; i < r->n; i++) total = REDUCTION_PART(join)(total, v_load(x + i * LANES));
            else
                total = REDUCTION_PART(lanes)(x, r->n, c, r->flags & ODY_CONTINUE ? v_load(out) : neutral);
            if (r->flags & ODY_PARTIAL)
                v_store(out, total);
            else
                totals[k] = REDUCTION_PART(fold)(total);
        }
        if (r->flags & ODY_PARTIAL) continue;
        vec total = count == 1 ? v_splat(totals[0]) : v_load_n(totals, count, 1);
        vec c = !r->in[1] ? v_zero() : count == 1 ? v_splat(centres[0]) : v_load_n(centres, count, 0);
        v_store(totals, REDUCTION_PART(finish)(total, c, r->param));
        for (size_t k = 0; k < count; k++)
            *(real *)AT(r->out[0], (ptrdiff_t)(row + k) * r->out_step[0]) = totals[k];
    }
}

/* `count` rows, `stride` bytes apart, into one accumulator; a block's worth where it may be first or joins earlier ones. */
ODY_INLINE void REDUCTION_PART(take)(vec *to, int first, const real *x, ptrdiff_t stride, size_t count, vec c, size_t lanes) {
    vec acc = REDUCTION_PART(neutral)();
    for (size_t k = 0; k < count; k++) acc = REDUCTION_PART(step)(acc, LOAD_LANES(AT(x, (ptrdiff_t)k * stride), lanes), c);
    *to = first ? acc : REDUCTION_PART(join)(*to, acc);
}

/* Few rows, an accumulator for each, in `count` neighbouring vectors of columns. */
ODY_INLINE void REDUCTION_PART(few)(const ody_columns *t, size_t j, size_t count, size_t lanes) {
    const real *x = (const real *)t->in[0] + j, *centre = t->in[1] ? (const real *)t->in[1] + j : NULL;
    const size_t m = t->m;
    vec acc[LANES][ABREAST], c[ABREAST];
    for (size_t v = 0; v < count; v++) c[v] = centre ? LOAD_LANES(centre + v * LANES, lanes) : v_zero();
    for (size_t i = 0; i < m; i++)
        for (size_t v = 0; v < count; v++)
            REDUCTION_PART(take)(&acc[i][v], 1, AT(x, (ptrdiff_t)i * t->in_step) + v * LANES, 0, 1, c[v], lanes);
    for (size_t half = LANES / 2; half; half /= 2)
        for (size_t i = 0; i < half && i + half < m; i++)
            for (size_t v = 0; v < count; v++) acc[i][v] = REDUCTION_PART(unite)(acc[i][v], acc[i + half][v]);
    for (size_t v = 0; v < count; v++)
        v_store_n((real *)t->out + j + v * LANES, REDUCTION_PART(finish)(acc[0][v], c[v], t->param), lanes);
}

static void REDUCTION_PART(columns)(const ody_columns *t) {
    const vec neutral = REDUCTION_PART(neutral)();
    const size_t m = t->m, n = t->n, full = n / LANES, tail = n % LANES, vectors = full + (tail != 0);
    const int folding = (t->flags & ODY_FOLD) != 0, partial = (t->flags & ODY_PARTIAL) != 0;
    if (m <= LANES && !folding && !partial) {
        size_t j = 0;
        for (; j + ABREAST * LANES <= n; j += ABREAST * LANES) REDUCTION_PART(few)(t, j, ABREAST, LANES);
        for (; j + LANES <= n; j += LANES) REDUCTION_PART(few)(t, j, 1, LANES);
        if (tail) REDUCTION_PART(few)(t, j, 1, tail);
        return;
    }
    const real *x = t->in[0], *centre = t->in[1];
    const ptrdiff_t step = t->in_step, stride = step * LANES;
    const int chained = folding || m > CHUNK;
    vec *total = t->scratch, *chunk_total = chained ? total + LANES * vectors : total;
    if (chained || m < LANES)
        for (size_t i = 0; i < LANES * vectors; i++) total[i] = neutral;

    for (size_t i = 0; folding && i < m; i++)
        for (size_t v = 0; v < vectors; v++) {
            const real *from = AT(x, (ptrdiff_t)i * step) + v * LANES;
            vec *to = &total[i % LANES * vectors + v];
            *to = REDUCTION_PART(join)(*to, v < full ? v_load(from) : v_load_n(from, tail, 0));
        }
    for (size_t chunk = 0; !folding && chunk < m; chunk += CHUNK) {
        const size_t rows = m - chunk < CHUNK ? m - chunk : CHUNK;
        for (size_t block = 0; block < rows; block += BLOCK)
            for (size_t l = 0; l < LANES && block + l < rows; l++) {
                const real *row = AT(x, (ptrdiff_t)(chunk + block + l) * step);
                const size_t left = (rows - block - l + LANES - 1) / LANES;
                vec *to = chunk_total + l * vectors;
                size_t v = 0;
                if (left >= BLOCK_TERMS)
                    for (; v < full; v++)
                        REDUCTION_PART(take)(to + v, block == 0, row + v * LANES, stride, BLOCK_TERMS,
                                   centre ? v_load(centre + v * LANES) : v_zero(), LANES);
                for (; v < vectors; v++) {
                    const size_t count = left < BLOCK_TERMS ? left : BLOCK_TERMS, lanes = v < full ? LANES : tail;
                    REDUCTION_PART(take)(to + v, block == 0, row + v * LANES, stride, count,
                               centre ? v_load_n(centre + v * LANES, lanes, 0) : v_zero(), lanes);
                }
            }
        if (chained)
            for (size_t i = 0; i < (rows < LANES ? rows : LANES) * vectors; i++)
                total[i] = REDUCTION_PART(join)(total[i], chunk_total[i]);
    }

    for (size_t v = 0; v < vectors; v++) {
        const size_t lanes = v < full ? LANES : tail;
        real *out = (real *)t->out + v * LANES;
        if (partial) {
            for (size_t l = 0; l < LANES; l++)
                v_store_n((real *)AT(out, (ptrdiff_t)l * t->out_step), total[l * vectors + v], lanes);
            continue;
        }
        for (size_t half = LANES / 2; half; half /= 2)
            for (size_t l = 0; l < half; l++)
                total[l * vectors + v] = REDUCTION_PART(unite)(total[l * vectors + v], total[(l + half) * vectors + v]);
        const vec c = centre ? v_load_n(centre + v * LANES, lanes, 0) : v_zero();
        v_store_n(out, REDUCTION_PART(finish)(total[v], c, t->param), lanes);
    }
}

#undef ODY_REDUCTION
