/* Drawing an index from logits without sorting them.
 *
 * A cut says which keys are kept: those above it, and the first few of those equal to it. It is found by narrowing: a
 * small sample, sorted, brackets the cut; one pass adds up what lies above the bracket and gathers what lies in it; the
 * same is done to what was gathered, until little is left. A bracket that misses costs another pass, never the result.
 *
 * top-k: keys are the logits, and count one each. top-p: keys are the weights e^((x - max) / temperature), and count what
 * they weigh; the first bracket is guessed before any of them is known, so that the pass that computes the weights also
 * gathers, and none is stored but those in the bracket.
 *
 * The draw walks the kept weights by ascending index: sums of chunks say which one to look at. A chunk is summed in the
 * logits' type, in 4 * LANES sums of 1/64 (float64: 1/32) of it each; those and everything after them are added in float64.
 */

#ifndef ODY_SAMPLING_SETTINGS
#define ODY_SAMPLING_SETTINGS
enum {
    SAMPLE_CHUNK = 1024,   /* weights whose sum tells the draw whether to look at them one by one */
    CUT_SAMPLE = 128,      /* keys that are sorted to find a bracket */
    CUT_FEW = 64,          /* keys that are simply sorted */
    BRACKET_FROM = 8192,   /* logits from which a bracket is guessed */
    BRACKET_SAMPLE = 2048, /* of them, for that */
    BRACKET_BINS = 1024,   /* 32 to an octave */
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

/* Each key goes where the number of those before it says: n <= CUT_SAMPLE. */
static void K(sort_down)(real *x, size_t n) {
    real key[CUT_SAMPLE + LANES];
    for (size_t i = 0; i < n; i += LANES) v_store(key + i, v_load_n(x + i, n - i < LANES ? n - i : LANES, -REAL_INF));
    for (size_t i = 0; i < n; i++) {
        const vec one = v_splat(key[i]);
        const size_t own = i / LANES * LANES;
        size_t place = (size_t)__builtin_popcount(m_bits(
            m_or(v_gt(v_load(key + own), one), m_and(m_first(i - own), v_eq(v_load(key + own), one)))));
        for (size_t j = 0; j < own; j += LANES) place += (size_t)__builtin_popcount(m_bits(v_ge(v_load(key + j), one)));
        for (size_t j = own + LANES; j < n; j += LANES)
            place += (size_t)__builtin_popcount(m_bits(v_gt(v_load(key + j), one)));
        x[place] = key[i];
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
        /* Two deviations of a rank in a sample, either side. */
        const size_t margin = 2 + (size_t)(2 * sqrt((double)place * (double)(size - place) / (double)size));
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
        /* Rounding may put the cut below the last key, or above the first: what lies above the bracket is kept. */
        if (count == 0) return (K(cut)){hi < REAL_INF ? hi : lo, ALL_TIES};
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

/* The largest logit; NaN if there is one, or +inf. parts: the largest of 4 * LANES of them. */
static real K(largest_logit)(const real *x, size_t n, vec parts[4]) {
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
    for (size_t k = 0; k < 4; k++) parts[k] = most[k];
    const real largest = v_reduce_max(v_max(v_max(most[0], most[1]), v_max(most[2], most[3])));
    return m_any(nan) || largest == REAL_INF ? REAL_NAN : largest;
}

/* What all weights are computed from. */
typedef struct K(logits) {
    const real *x;
    size_t n;
    real largest, inverse;
} K(logits);

/* 0 where it would not be a normal number: so of -inf. */
ODY_INLINE vec K(weight_at)(vec x, vec largest, vec inverse) { return K(exp_weight)(v_mul(v_sub(x, largest), inverse)); }
ODY_INLINE vec K(weight_of)(const K(logits) *l, vec x) {
    return K(weight_at)(x, v_splat(l->largest), v_splat(l->inverse));
}

/* The weights from lo on, below hi, are gathered in index order, with starts[c] the place of the first of chunk c; above[c]
 * is what those from hi on sum to. *total is what all do. */
typedef struct K(bracket) {
    real lo, hi;
    real *inside; /* room for n and a vector */
    uint32_t *starts;
    double *above;
    double total;
} K(bracket);

/* With `narrow` 0 everything is from hi on. */
ODY_INLINE void K(weigh)(const int narrow, const K(logits) *l, K(bracket) *b) {
    const vec low = v_splat(b->lo), high = v_splat(b->hi), none = v_zero();
    const vec largest = v_splat(l->largest), inverse = v_splat(l->inverse);
    const real *x = l->x;
    const size_t n = l->n;
    real *inside = b->inside;
    size_t c = 0;
    b->total = 0;
    for (size_t start = 0; start < n; start += SAMPLE_CHUNK, c++) {
        const size_t stop = n - start < SAMPLE_CHUNK ? n : start + SAMPLE_CHUNK;
        if (narrow) b->starts[c] = (uint32_t)(inside - b->inside);
        vec sum[4] = {none, none, none, none}, top[4] = {none, none, none, none};
        size_t i = start;
        for (; stop - i >= 4 * LANES; i += 4 * LANES) {
            vec w[4];
            for (size_t k = 0; k < 4; k++) w[k] = K(weight_at)(v_load(x + i + k * LANES), largest, inverse);
            for (size_t k = 0; k < 4; k++) {
                sum[k] = v_add(sum[k], w[k]);
                if (!narrow) continue;
                const mask heavy = v_ge(w[k], high);
                top[k] = v_select(heavy, v_add(top[k], w[k]), top[k]);
                inside += v_compress(inside, w[k], m_andnot(v_ge(w[k], low), heavy));
            }
        }
        for (; i < stop; i += LANES) {
            const size_t left = stop - i < LANES ? stop - i : LANES;
            const vec w = K(weight_at)(v_load_n(x + i, left, -REAL_INF), largest, inverse);
            sum[0] = v_add(sum[0], w);
            if (!narrow) continue;
            const mask heavy = v_ge(w, high);
            top[0] = v_select(heavy, v_add(top[0], w), top[0]);
            inside += v_compress(inside, w, m_andnot(v_ge(w, low), heavy));
        }
        K(wide) all = K(wide_none)(), over = all;
        for (size_t k = 0; k < 4; k++) {
            K(wide_add)(&all, sum[k]);
            if (narrow) K(wide_add)(&over, top[k]);
        }
        const double here = K(wide_fold)(&all);
        b->total += here;
        b->above[c] = narrow ? K(wide_fold)(&over) : here;
    }
    if (narrow) b->starts[c] = (uint32_t)(inside - b->inside);
}
static __attribute__((noinline)) void K(weigh_all)(const K(logits) *l, K(bracket) *b) { K(weigh)(0, l, b); }
static __attribute__((noinline)) void K(weigh_cut)(const K(logits) *l, K(bracket) *b) { K(weigh)(1, l, b); }

/* 32 bins to an octave, from 1 downwards. */
#undef BIN_SHIFT
#undef BIN_TYPE
#if LANES == 16
#define BIN_SHIFT 18
#define BIN_TYPE uint32_t
#else
#define BIN_SHIFT 47
#define BIN_TYPE uint64_t
#endif
static BIN_TYPE K(bits_of)(real x) {
    BIN_TYPE bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}
/* The largest weight of the bin. */
static real K(bin_edge)(size_t bin) {
    const BIN_TYPE bits = K(bits_of)(1) - ((BIN_TYPE)bin << BIN_SHIFT);
    real edge;
    memcpy(&edge, &bits, sizeof edge);
    return edge;
}

/* Where the cut probably lies, from runs of a vector across the logits; of the heavy ones, which they may miss, from the
 * largest of 4 * LANES parts. Weights are positive, so lo is the smallest there is where nothing bounds it. */
static void K(guess)(const K(logits) *l, const vec most[4], double p, K(bracket) *b) {
    b->lo = REAL_MIN;
    b->hi = REAL_INF;
    if (l->n < BRACKET_FROM) return;
    const real heavy = v_reduce_min(K(weight_of)(l, v_min(v_min(most[0], most[1]), v_min(most[2], most[3]))));
    K(wide) sum = K(wide_none)();
    for (size_t k = 0; k < 4; k++) K(wide_add)(&sum, K(weight_of)(l, most[k]));
    real sample[BRACKET_SAMPLE];
    const size_t step = l->n / (BRACKET_SAMPLE / LANES);
    for (size_t s = 0; s < BRACKET_SAMPLE / LANES; s++)
        v_store(sample + s * LANES, K(weight_of)(l, v_load(l->x + s * step)));
    size_t count[BRACKET_BINS] = {0};
    double mass[BRACKET_BINS] = {0}, light = 0;
    for (size_t s = 0; s < BRACKET_SAMPLE; s++) {
        const real w = sample[s];
        if (!(w < heavy)) continue;
        const BIN_TYPE bin = (K(bits_of)(1) - K(bits_of)(w)) >> BIN_SHIFT;
        const size_t at = bin < BRACKET_BINS ? bin : BRACKET_BINS - 1;
        count[at]++;
        mass[at] += (double)w;
    }
    for (size_t bin = 0; bin < BRACKET_BINS; bin++) light += mass[bin];
    const double each = (double)l->n / BRACKET_SAMPLE, rest = (1 - p) * (K(wide_fold)(&sum) / each + light);
    if (rest >= light) {
        if (heavy > b->lo) b->lo = heavy;
        return;
    }
    size_t bin = BRACKET_BINS - 1, below = 0;
    double tail = 0;
    for (; bin > 0 && tail + mass[bin] <= rest; bin--) tail += mass[bin], below += count[bin];
    /* Two deviations of a rank in a sample, either side: a miss costs a pass, a wide bracket time in each. */
    const size_t fewer = below < BRACKET_SAMPLE - below ? below : BRACKET_SAMPLE - below;
    const size_t margin = 3 + (size_t)(2 * sqrt((double)fewer * (BRACKET_SAMPLE - fewer) / BRACKET_SAMPLE));
    size_t seen = 0, under = bin + 1, over = bin;
    while (under < BRACKET_BINS && seen < margin) seen += count[under++];
    for (seen = 0; over > 0 && seen < margin;) seen += count[--over];
    if (under < BRACKET_BINS) b->lo = K(bin_edge)(under);
    if (over > 0 && K(bin_edge)(over) < heavy) b->hi = K(bin_edge)(over);
}

/* How many keys equal `at`. */
static size_t K(count_equal)(const real *keys, size_t n, real at) {
    size_t count = 0;
    for (size_t i = 0; i < n; i += LANES) {
        const size_t left = n - i < LANES ? n - i : LANES;
        count += (size_t)__builtin_popcount(m_bits(m_and(m_first(left), v_eq(v_load_n(keys + i, left, 0), v_splat(at)))));
    }
    return count;
}

/* Adds to each chunk's sum what is kept of the bracket: what lies above the cut, and the first ties at it. */
static void K(keep_inside)(K(bracket) *b, size_t chunks, K(cut) cut) {
    const vec at = v_splat(cut.at), none = v_zero();
    size_t ties = cut.ties;
    for (size_t c = 0; c < chunks; c++) {
        const real *keys = b->inside + b->starts[c];
        const size_t n = b->starts[c + 1] - b->starts[c];
        K(wide) sum = K(wide_none)();
        double partly = 0;
        for (size_t i = 0; i < n; i += LANES) {
            const size_t left = n - i < LANES ? n - i : LANES;
            const vec v = v_load_n(keys + i, left, 0);
            const mask equal = v_eq(v, at);
            const size_t here = cut.ties == ALL_TIES ? 0 : (size_t)__builtin_popcount(m_bits(equal));
            mask kept = v_gt(v, at);
            if (here <= ties) {
                kept = m_or(kept, equal);
                if (cut.ties != ALL_TIES) ties -= here;
            } else {
                partly += (double)ties * (double)cut.at;
                ties = 0;
            }
            K(wide_add)(&sum, v_select(kept, v, none));
        }
        b->above[c] += K(wide_fold)(&sum) + partly;
    }
}

/* The first index whose kept weights up to and including its own exceed u times the total of the chunks' sums. */
static size_t K(draw)(const K(logits) *l, const K(bracket) *b, K(cut) cut, double u) {
    const size_t chunks = (l->n + SAMPLE_CHUNK - 1) / SAMPLE_CHUNK;
    double total = 0, run = 0;
    for (size_t c = 0; c < chunks; c++) total += b->above[c];
    const double target = u * total;
    size_t c = 0, last = 0;
    for (; c < chunks; c++) {
        if (run + b->above[c] > target) break;
        run += b->above[c];
        if (b->above[c] > 0) last = c;
    }
    if (c == chunks) c = last, run = REAL_INF; /* rounding left nothing above the target: the last weight there is */
    const size_t start = c * SAMPLE_CHUNK, n = l->n - start < SAMPLE_CHUNK ? l->n - start : SAMPLE_CHUNK;
    real weights[SAMPLE_CHUNK + LANES];
    for (size_t i = 0; i < n; i += LANES)
        v_store(weights + i, K(weight_of)(l, v_load_n(l->x + start + i, n - i < LANES ? n - i : LANES, -REAL_INF)));
    size_t ties = cut.ties, found = start;
    if (ties != ALL_TIES) {
        const size_t before = K(count_equal)(b->inside, b->starts[c], cut.at);
        ties = before < ties ? ties - before : 0;
    }
    for (size_t i = 0; i < n; i++) {
        const real w = weights[i];
        if (w == 0 || w < cut.at) continue;
        if (w == cut.at && ties != ALL_TIES && ties-- == 0) {
            ties = 0;
            continue;
        }
        found = start + i;
        if (run == REAL_INF) continue;
        run += (double)w;
        if (run > target) break;
    }
    return found;
}

/* ---- the slots ---------------------------------------------------------------------------------------------------- */

/* The parts of the workspace: three arrays of n, the chunks' sums, and their places in the bracket. */
#define SAMPLE_SPARE(s, i) ((real *)(s)->workspace + (i) * (((s)->n + 2 * LANES - 1) / LANES * LANES))
#define SAMPLE_SUMS(s) ((double *)(void *)SAMPLE_SPARE(s, 3))
#define SAMPLE_STARTS(s) ((uint32_t *)(void *)(SAMPLE_SUMS(s) + (s)->n / SAMPLE_CHUNK + 1)) /* n < 2^32 */

/* The largest logit; where none can be drawn *s->out says why. */
static int K(sample_begins)(const ody_sample *s, real *largest, vec most[4]) {
    *largest = K(largest_logit)(s->logits, s->n, most);
    if (*largest != *largest) return *s->out = ODY_SAMPLE_NAN, 0;
    if (*largest == -REAL_INF) return *s->out = ODY_SAMPLE_NONE, 0;
    return 1;
}

/* From all of n logits. */
static size_t K(draw_any)(const ody_sample *s, const real *x, size_t n, real largest) {
    const K(logits) l = {x, n, largest, (real)s->inverse};
    K(bracket) b = {.above = SAMPLE_SUMS(s)};
    K(weigh_all)(&l, &b);
    return K(draw)(&l, &b, (K(cut)){-1, ALL_TIES}, s->uniform);
}

static void K(sample)(const ody_sample *s) {
    real largest;
    vec most[4];
    if (!K(sample_begins)(s, &largest, most)) return;
    *s->out = (int64_t)K(draw_any)(s, s->logits, s->n, largest);
}

static void K(topk_sample)(const ody_sample *s) {
    const real *x = s->logits;
    real largest;
    vec most[4];
    if (!K(sample_begins)(s, &largest, most)) return;
    if (s->k >= s->n) {
        *s->out = (int64_t)K(draw_any)(s, x, s->n, largest);
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
    *s->out = (int64_t)places[K(draw_any)(s, kept, count, largest)];
}

static void K(topp_sample)(const ody_sample *s) {
    const real *x = s->logits;
    real largest;
    vec most[4];
    if (!K(sample_begins)(s, &largest, most)) return;
    if (s->p == 1) {
        *s->out = (int64_t)K(draw_any)(s, x, s->n, largest);
        return;
    }
    const K(logits) l = {x, s->n, largest, (real)s->inverse};
    const size_t chunks = (s->n + SAMPLE_CHUNK - 1) / SAMPLE_CHUNK;
    K(bracket) b = {.inside = SAMPLE_SPARE(s, 0), .above = SAMPLE_SUMS(s), .starts = SAMPLE_STARTS(s)};
    K(guess)(&l, most, s->p, &b);
    double need, above, inside;
    for (int pass = 0; pass < 2; pass++) { /* a second one where the cut is not in the bracket */
        K(weigh_cut)(&l, &b);
        need = s->p * b.total;
        above = 0;
        for (size_t c = 0; c < chunks; c++) above += b.above[c];
        inside = K(keys_sum)(b.inside, b.starts[chunks]);
        if (pass) break;
        if (above >= need) b.lo = b.hi, b.hi = REAL_INF;
        else if (above + inside < need && b.lo > REAL_MIN) b.hi = b.lo, b.lo = REAL_MIN;
        else break;
    }
    /* Where rounding left the total below the need, nothing may be inside: all from lo on is kept. */
    const size_t n = b.starts[chunks];
    K(cut) cut = {b.lo, ALL_TIES};
    if (n) cut = K(find_cut)(1, b.inside, n, need - above, inside, SAMPLE_SPARE(s, 1), SAMPLE_SPARE(s, 2));
    K(keep_inside)(&b, chunks, cut);
    *s->out = (int64_t)K(draw)(&l, &b, cut, s->uniform);
}
