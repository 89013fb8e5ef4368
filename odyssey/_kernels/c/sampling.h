/* Drawing an index from logits without sorting them.
 *
 * A cut says which keys are kept: those above it, and the first few of those equal to it. It is found by narrowing: a
 * small sample, sorted, brackets the cut; one pass adds up what lies above the bracket and gathers what lies in it; the
 * same is done to what was gathered, until little is left. A bracket that misses costs another pass, never the result.
 *
 * top-k: keys are the logits, and count one each. top-p: keys are the weights e^((x - max) / temperature), times a power
 * of two that cancels, and count what they weigh. The draw walks the kept weights by ascending index. All sums are float64, in lanes and chunks of fixed size.
 */

#ifndef ODY_SAMPLING_SETTINGS
#define ODY_SAMPLING_SETTINGS
enum {
    SAMPLE_CHUNK = 256,  /* weights summed before the draw looks for its chunk */
    CUT_SAMPLE = 128,    /* keys that are sorted to find a bracket */
    CUT_FEW = 64,        /* keys that are simply sorted */
};
#endif

/* ---- sums --------------------------------------------------------------------------------------------------------- */

typedef struct K(wide) {
    f64x8 part[2];
} K(wide);
ODY_INLINE void K(wide_add)(K(wide) *sum, vec v) {
#if LANES == 16
    f64x8 lo, hi;
    f32x16_to_f64(v, &lo, &hi);
    sum->part[0] = f64x8_add(sum->part[0], lo);
    sum->part[1] = f64x8_add(sum->part[1], hi);
#else
    sum->part[0] = f64x8_add(sum->part[0], v);
#endif
}
ODY_INLINE K(wide) K(wide_none)(void) { return (K(wide)){{f64x8_zero(), f64x8_zero()}}; }
ODY_INLINE double K(wide_fold)(const K(wide) *sum) { return f64x8_reduce_add(f64x8_add(sum->part[0], sum->part[1])); }

static double K(keys_sum)(const real *keys, size_t n) {
    K(wide) a = K(wide_none)(), b = a;
    size_t i = 0;
    for (; n - i >= 2 * LANES; i += 2 * LANES) {
        K(wide_add)(&a, v_load(keys + i));
        K(wide_add)(&b, v_load(keys + i + LANES));
    }
    for (; i < n; i += LANES) K(wide_add)(&a, v_load_n(keys + i, n - i < LANES ? n - i : LANES, 0));
    return K(wide_fold)(&a) + K(wide_fold)(&b);
}

/* ---- the cut ------------------------------------------------------------------------------------------------------ */

typedef struct K(cut) {
    real at;
    size_t ties; /* or ALL_TIES */
} K(cut);
#define ALL_TIES SIZE_MAX

/* The next number above x; x is finite. */
static real K(next_up)(real x) {
#if LANES == 16
    return nextafterf(x, REAL_INF);
#else
    return nextafter(x, REAL_INF);
#endif
}

static void K(sort_down)(real *x, size_t n) {
    for (size_t i = 1; i < n; i++) {
        const real one = x[i];
        size_t j = i;
        for (; j > 0 && x[j - 1] < one; j--) x[j] = x[j - 1];
        x[j] = one;
    }
}

/* Gathers the keys in [lo, hi) in `out`, which has a vector's room behind n keys; *above is what those from hi on count. */
ODY_INLINE size_t K(gather)(const int by_mass, const real *keys, size_t n, real lo, real hi, real *out, double *above) {
    const vec low = v_splat(lo), high = v_splat(hi), none = v_zero();
    K(wide) sum[2] = {K(wide_none)(), K(wide_none)()};
    size_t count = 0, over = 0, i = 0;
    for (; n - i >= 2 * LANES; i += 2 * LANES)
        for (size_t k = 0; k < 2; k++) {
            const vec v = v_load(keys + i + k * LANES);
            const mask top = v_ge(v, high);
            if (by_mass) K(wide_add)(&sum[k], v_select(top, v, none));
            else over += (size_t)__builtin_popcount(m_bits(top));
            count += v_compress(out + count, v, m_andnot(v_ge(v, low), top));
        }
    for (; i < n; i += LANES) {
        const size_t left = n - i < LANES ? n - i : LANES;
        const vec v = v_load_n(keys + i, left, -REAL_INF);
        const mask top = v_ge(v, high);
        if (by_mass) K(wide_add)(&sum[0], v_select(top, v, none));
        else over += (size_t)__builtin_popcount(m_bits(top));
        count += v_compress(out + count, v, m_and(m_first(left), m_andnot(v_ge(v, low), top)));
    }
    *above = by_mass ? K(wide_fold)(&sum[0]) + K(wide_fold)(&sum[1]) : (double)over;
    return count;
}
static __attribute__((noinline)) size_t K(gather_mass)(const real *keys, size_t n, real lo, real hi, real *out,
                                                       double *above) {
    return K(gather)(1, keys, n, lo, hi, out, above);
}
static __attribute__((noinline)) size_t K(gather_count)(const real *keys, size_t n, real lo, real hi, real *out,
                                                        double *above) {
    return K(gather)(0, keys, n, lo, hi, out, above);
}

/* The fewest of the largest keys that together count `need` or more. `total` is what all count; spare and other have room
 * for n keys and a vector each. */
static K(cut) K(find_cut)(const int by_mass, const real *keys, size_t n, double need, double total, real *spare,
                          real *other) {
    double base = 0; /* what the keys above those at hand count */
    int stuck = 0;
    while (n > CUT_FEW) {
        real sample[CUT_SAMPLE];
        const size_t size = n < 4 * CUT_SAMPLE ? n / 4 : CUT_SAMPLE, step = n / size;
        for (size_t s = 0; s < size; s++) sample[s] = keys[s * step];
        K(sort_down)(sample, size);
        /* What the keys below it count tells the cut's place: the many light ones are well sampled, the few heavy ones
         * may be missing. */
        size_t place = size;
        if (by_mass) {
            const double rest = (total - (need - base)) * (double)size / (double)n;
            double tail = 0;
            while (place > 0 && tail + (double)sample[place - 1] <= rest) tail += (double)sample[--place];
        } else {
            const double rank = (need - base) * (double)size / (double)n;
            place = rank < (double)size ? (size_t)rank : size - 1;
        }
        /* Three deviations of a rank in a sample, either side. */
        const size_t margin = 3 + (size_t)(3 * sqrt((double)(place < size - place ? place : size - place)));
        real lo, hi;
        if (stuck) {
            lo = sample[place < size ? place : size - 1];
            hi = K(next_up)(lo);
        } else {
            lo = place + margin < size ? sample[place + margin] : -REAL_INF;
            hi = place > margin ? sample[place - margin] : REAL_INF;
        }
        double above = 0, inside = 0;
        size_t count;
        int equal = stuck; /* the bracket holds one value only */
        for (;;) {
            count = by_mass ? K(gather_mass)(keys, n, lo, hi, spare, &above) : K(gather_count)(keys, n, lo, hi, spare, &above);
            if (hi < REAL_INF && base + above >= need) {
                lo = hi;
                hi = REAL_INF;
                equal = 0;
                continue;
            }
            inside = by_mass ? K(keys_sum)(spare, count) : (double)count;
            if (base + above + inside >= need || lo == -REAL_INF) break;
            hi = lo;
            lo = -REAL_INF;
            equal = 0;
        }
        base += above;
        if (equal) {
            const double each = by_mass ? (double)lo : 1, ties = each > 0 ? ceil((need - base) / each) : (double)count;
            return (K(cut)){lo, ties < 1 ? 1 : ties < (double)count ? (size_t)ties : ALL_TIES};
        }
        stuck = count * 4 > n * 3;
        total = inside;
        n = count;
        keys = spare;
        real *swap = spare;
        spare = other;
        other = swap;
    }
    for (size_t i = 0; i < n; i++) spare[i] = keys[i];
    K(sort_down)(spare, n);
    size_t kept = 0;
    while (kept < n && base < need) base += by_mass ? (double)spare[kept] : 1, kept++;
    if (kept == 0) kept = 1;
    K(cut) cut = {spare[kept - 1], 0};
    for (size_t i = 0; i < kept; i++) cut.ties += spare[i] == cut.at;
    if (kept == n || spare[kept] != cut.at) cut.ties = ALL_TIES;
    return cut;
}

/* One past the last of the first `ties` keys that equal the cut: from there on only those above it are kept. */
static size_t K(ties_end)(const real *keys, size_t n, K(cut) cut) {
    const vec at = v_splat(cut.at);
    size_t ties = cut.ties;
    if (ties == ALL_TIES) return n;
    for (size_t i = 0; i < n; i += LANES) {
        const size_t left = n - i < LANES ? n - i : LANES;
        uint32_t equal = m_bits(m_and(m_first(left), v_eq(v_load_n(keys + i, left, 0), at)));
        const size_t here = (size_t)__builtin_popcount(equal);
        if (here < ties) {
            ties -= here;
            continue;
        }
        while (--ties) equal &= equal - 1;
        return i + (size_t)__builtin_ctz(equal) + 1;
    }
    return n;
}

/* ---- weights and the draw ----------------------------------------------------------------------------------------- */

/* The largest logit; NaN if there is one, or +inf. */
static real K(largest_logit)(const real *x, size_t n) {
    vec most[4];
    for (size_t k = 0; k < 4; k++) most[k] = v_splat(-REAL_INF);
    mask nan = v_is_nan(most[0]);
    size_t i = 0;
    for (; n - i >= 4 * LANES; i += 4 * LANES)
        for (size_t k = 0; k < 4; k++) {
            const vec v = v_load(x + i + k * LANES);
            most[k] = v_max(v, most[k]);
            nan = m_or(nan, v_is_nan(v));
        }
    for (; i < n; i += LANES) {
        const vec v = v_load_n(x + i, n - i < LANES ? n - i : LANES, -REAL_INF);
        most[0] = v_max(v, most[0]);
        nan = m_or(nan, v_is_nan(v));
    }
    const real largest = v_reduce_max(v_max(v_max(most[0], most[1]), v_max(most[2], most[3])));
    return m_any(nan) || largest == REAL_INF ? REAL_NAN : largest;
}

/* EXP_SCALE e^(z), 0 where the exponential is less than half the smallest subnormal float: so of -inf. */
ODY_INLINE vec K(weight_of)(vec x, vec largest, vec inverse) {
    const vec z = v_mul(v_sub(x, largest), inverse);
    return v_select(v_gt(z, v_splat(R(-104.0))), K(exp_below)(z), v_zero());
}

/* Returns the total. */
static double K(weigh)(const real *x, size_t n, real largest, real inverse, real *weights) {
    const vec top = v_splat(largest), by = v_splat(inverse);
    K(wide) sum[2] = {K(wide_none)(), K(wide_none)()};
    size_t i = 0;
    for (; n - i >= 2 * LANES; i += 2 * LANES)
        for (size_t k = 0; k < 2; k++) {
            const vec w = K(weight_of)(v_load(x + i + k * LANES), top, by);
            v_store(weights + i + k * LANES, w);
            K(wide_add)(&sum[k], w);
        }
    for (; i < n; i += LANES) {
        const size_t left = n - i < LANES ? n - i : LANES;
        const vec w = K(weight_of)(v_load_n(x + i, left, -REAL_INF), top, by);
        v_store_n(weights + i, w, left);
        K(wide_add)(&sum[0], w);
    }
    return K(wide_fold)(&sum[0]) + K(wide_fold)(&sum[1]);
}

/* What the weights from `cut` on in [0, end), above it from `end` on, sum to in each chunk; returns the total. */
static double K(chunk_sums)(const real *weights, size_t n, size_t end, real cut, double *sums) {
    const vec at = v_splat(cut), beyond = v_splat(K(next_up)(cut)), none = v_zero();
    double total = 0;
    for (size_t start = 0, c = 0; start < n; start += SAMPLE_CHUNK, c++) {
        const size_t stop = n - start < SAMPLE_CHUNK ? n : start + SAMPLE_CHUNK;
        K(wide) sum[2] = {K(wide_none)(), K(wide_none)()};
        if (stop - start == SAMPLE_CHUNK && (stop <= end || start >= end)) {
            const vec least = stop <= end ? at : beyond;
            for (size_t i = start; i < stop; i += 2 * LANES)
                for (size_t k = 0; k < 2; k++) {
                    const vec v = v_load(weights + i + k * LANES);
                    K(wide_add)(&sum[k], v_select(v_ge(v, least), v, none));
                }
        } else {
            for (size_t i = start; i < stop; i += LANES) {
                const vec v = v_load_n(weights + i, stop - i < LANES ? stop - i : LANES, 0);
                const mask above = v_ge(v, beyond);
                const mask kept = i + LANES <= end ? v_ge(v, at)
                                  : i < end        ? m_or(above, m_and(m_first(end - i), v_ge(v, at)))
                                                   : above;
                K(wide_add)(&sum[i / LANES % 2], v_select(kept, v, none));
            }
        }
        sums[c] = K(wide_fold)(&sum[0]) + K(wide_fold)(&sum[1]);
        total += sums[c];
    }
    return total;
}

/* The first index whose weights up to and including its own exceed u times the total. */
static size_t K(draw)(const real *weights, size_t n, size_t end, real cut, double u, double *sums) {
    const double target = u * K(chunk_sums)(weights, n, end, cut, sums);
    const size_t chunks = (n + SAMPLE_CHUNK - 1) / SAMPLE_CHUNK;
    double run = 0;
    size_t c = 0, last = 0;
    for (; c < chunks; c++) {
        if (run + sums[c] > target) break;
        run += sums[c];
        if (sums[c] > 0) last = c;
    }
    if (c == chunks) c = last, run = REAL_INF; /* rounding left nothing above the target: the last weight there is */
    const size_t start = c * SAMPLE_CHUNK, stop = n - start < SAMPLE_CHUNK ? n : start + SAMPLE_CHUNK;
    size_t found = start;
    for (size_t i = start; i < stop; i++) {
        const real w = weights[i];
        if (!(w > cut || (w == cut && i < end)) || w == 0) continue;
        found = i;
        if (run == REAL_INF) continue;
        run += (double)w;
        if (run > target) break;
    }
    return found;
}

/* ---- the slots ---------------------------------------------------------------------------------------------------- */

/* The parts of the workspace: three arrays of n, and the chunks' sums. */
#define SAMPLE_SPARE(s, i) ((real *)(s)->workspace + (i) * ((s)->n + LANES))
#define SAMPLE_SUMS(s) ((double *)(void *)SAMPLE_SPARE(s, 4))

/* The largest logit; where none can be drawn *s->out says why. */
static int K(sample_begins)(const ody_sample *s, real *largest) {
    *largest = K(largest_logit)(s->logits, s->n);
    if (*largest != *largest) return *s->out = ODY_SAMPLE_NAN, 0;
    if (*largest == -REAL_INF) return *s->out = ODY_SAMPLE_NONE, 0;
    return 1;
}

static void K(sample)(const ody_sample *s) {
    real largest, *weights = SAMPLE_SPARE(s, 0);
    if (!K(sample_begins)(s, &largest)) return;
    K(weigh)(s->logits, s->n, largest, (real)s->inverse, weights);
    *s->out = (int64_t)K(draw)(weights, s->n, s->n, -1, s->uniform, SAMPLE_SUMS(s));
}

static void K(topk_sample)(const ody_sample *s) {
    const real *x = s->logits;
    real largest;
    if (!K(sample_begins)(s, &largest)) return;
    if (s->k >= s->n) {
        K(sample)(s);
        return;
    }
    const K(cut) cut = K(find_cut)(0, x, s->n, (double)s->k, (double)s->n, SAMPLE_SPARE(s, 0), SAMPLE_SPARE(s, 1));
    const size_t end = K(ties_end)(x, s->n, cut);
    const vec at = v_splat(cut.at);
    real *kept = SAMPLE_SPARE(s, 0);
    uint32_t *places = (uint32_t *)SAMPLE_SPARE(s, 1); /* n < 2^32 */
    size_t count = 0;
    for (size_t i = 0; i < s->n; i += LANES) {
        while (s->n - i >= 4 * LANES) { /* most hold none */
            const vec a = v_max(v_load(x + i), v_load(x + i + LANES));
            const vec b = v_max(v_load(x + i + 2 * LANES), v_load(x + i + 3 * LANES));
            if (m_any(v_ge(v_max(a, b), at))) break;
            i += 4 * LANES;
        }
        const size_t left = s->n - i < LANES ? s->n - i : LANES;
        const vec v = v_load_n(x + i, left, -REAL_INF);
        mask keep = v_ge(v, at);
        if (i + LANES > end) keep = m_or(v_gt(v, at), m_and(keep, i < end ? m_first(end - i) : m_first(0)));
        for (uint32_t bits = m_bits(m_and(keep, m_first(left))); bits; bits &= bits - 1) {
            const size_t place = i + (size_t)__builtin_ctz(bits);
            kept[count] = x[place];
            places[count++] = (uint32_t)place;
        }
    }
    real *weights = SAMPLE_SPARE(s, 2);
    K(weigh)(kept, count, largest, (real)s->inverse, weights);
    *s->out = (int64_t)places[K(draw)(weights, count, count, -1, s->uniform, SAMPLE_SUMS(s))];
}

static void K(topp_sample)(const ody_sample *s) {
    real largest, *weights = SAMPLE_SPARE(s, 0);
    if (!K(sample_begins)(s, &largest)) return;
    const double total = K(weigh)(s->logits, s->n, largest, (real)s->inverse, weights);
    K(cut) cut = {-1, 0};
    size_t end = s->n;
    if (s->p < 1) {
        cut = K(find_cut)(1, weights, s->n, s->p * total, total, SAMPLE_SPARE(s, 1), SAMPLE_SPARE(s, 2));
        end = K(ties_end)(weights, s->n, cut);
    }
    *s->out = (int64_t)K(draw)(weights, s->n, end, cut.at, s->uniform, SAMPLE_SUMS(s));
}
