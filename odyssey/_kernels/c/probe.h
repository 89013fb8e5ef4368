/* Probes: what this machine can do at best, for benchmarks to be measured against.
 *
 * They do nothing else: the fma probe multiplies and adds in registers, the others read and write. Every kernel is
 * bounded by one of them.
 */

#ifndef ODY_PROBE_SETTINGS
#define ODY_PROBE_SETTINGS

/* Chains of fma that depend on nothing but themselves: as many as hide its latency (4 cycles, two a cycle, is 8
 * registers) and as fit beside two operands: of 32 registers on AVX-512, of 16 at two a vector on AVX2, of 32 at four
 * a vector on NEON. The scalar build has no registers to speak of: its vector is an array. */
#if defined(ODY_ISA_AVX512)
enum { PROBE_CHAINS = 12 };
#define PROBE_UNROLL _Pragma("GCC unroll 16")
#elif defined(ODY_ISA_AVX2) || defined(ODY_ISA_NEON)
enum { PROBE_CHAINS = 6 };
#define PROBE_UNROLL _Pragma("GCC unroll 16")
#else
enum { PROBE_CHAINS = 1 };
#define PROBE_UNROLL
#endif

enum {
    PROBE_STEPS = 16, /* links of each chain between two looks at the counter */
    PROBE_LANES = 8,  /* vectors moved between two looks at the counter, from one place or from several */
};

/* Memory must be touched again in every pass. */
#define PROBE_BARRIER() __asm__ volatile("" ::: "memory")
#define PROBE_BARRIER_OVER(array) __asm__ volatile("" ::"r"(array) : "memory")
#endif

static double K(fma_probe)(const ody_probe *p) {
    const vec x = v_splat(R(0.999)), y = v_splat(R(0.001)); /* the chains stay near 1: nothing overflows or vanishes */
    vec chain[PROBE_CHAINS];
    /* Every lane starts elsewhere, at a value the compiler cannot see: equal chains it would compute once. */
    real start[PROBE_CHAINS * LANES];
    for (int i = 0; i < PROBE_CHAINS * LANES; i++) start[i] = (real)i;
    PROBE_BARRIER_OVER(start);
    PROBE_UNROLL for (int i = 0; i < PROBE_CHAINS; i++) chain[i] = v_load(start + i * LANES);
    for (size_t round = 0; round < p->rounds; round++)
        PROBE_UNROLL for (int step = 0; step < PROBE_STEPS; step++)
            PROBE_UNROLL for (int i = 0; i < PROBE_CHAINS; i++) chain[i] = v_fma(chain[i], x, y);
    vec sum = chain[0];
    PROBE_UNROLL for (int i = 1; i < PROBE_CHAINS; i++) sum = v_add(sum, chain[i]);
    v_store(p->out, sum);
    return (double)p->rounds * PROBE_STEPS * PROBE_CHAINS * LANES * 2;
}

/* Arrays beyond the caches move fastest in a few places at once, since each has a prefetcher of its own: `parts` equal
 * parts side by side. BODY deals with the vector of elements from `i` on, the `lane`-th of those at hand. */
#define PROBE_PASSES(parts, BODY)                                                                                      \
    for (size_t round = 0; round < p->rounds; round++) {                                                               \
        const size_t part = p->n / (parts), each = PROBE_LANES / (parts);                                              \
        for (size_t start = 0; start < part; start += each * LANES)                                                    \
            PROBE_UNROLL for (size_t lane = 0; lane < PROBE_LANES; lane++) {                                           \
                const size_t i = start + lane / each * part + lane % each * LANES;                                     \
                BODY;                                                                                                  \
            }                                                                                                          \
        PROBE_BARRIER();                                                                                               \
    }

#define PROBE_MOVE(parts, VALUE)                                                                                       \
    if (p->flags & ODY_STREAM) {                                                                                       \
        PROBE_PASSES(parts, v_stream(out + i, VALUE));                                                                 \
        ody_fence();                                                                                                   \
    } else {                                                                                                           \
        PROBE_PASSES(parts, v_store(out + i, VALUE));                                                                  \
    }

static double K(read_probe)(const ody_probe *p) {
    const real *in = p->in[0];
    vec sum[PROBE_LANES];
    PROBE_UNROLL for (int i = 0; i < PROBE_LANES; i++) sum[i] = v_zero();
    if (p->flags & ODY_PARTS) {
        PROBE_PASSES(4, sum[lane] = v_add(sum[lane], v_load(in + i)));
    } else {
        PROBE_PASSES(1, sum[lane] = v_add(sum[lane], v_load(in + i)));
    }
    PROBE_UNROLL for (int i = 1; i < PROBE_LANES; i++) sum[0] = v_add(sum[0], sum[i]);
    v_store(p->out, sum[0]);
    return (double)p->rounds * (double)(p->n * sizeof(real));
}

static double K(write_probe)(const ody_probe *p) {
    real *out = p->out;
    const vec x = v_splat(R(1.0));
    if (p->flags & ODY_PARTS) {
        PROBE_MOVE(2, x);
    } else {
        PROBE_MOVE(1, x);
    }
    return (double)p->rounds * (double)(p->n * sizeof(real));
}

static double K(copy_probe)(const ody_probe *p) {
    const real *a = p->in[0];
    real *out = p->out;
    if (p->flags & ODY_PARTS) {
        PROBE_MOVE(4, v_load(a + i));
    } else {
        PROBE_MOVE(1, v_load(a + i));
    }
    return (double)p->rounds * (double)(2 * p->n * sizeof(real));
}

static double K(add_probe)(const ody_probe *p) {
    const real *a = p->in[0], *b = p->in[1];
    real *out = p->out;
    if (p->flags & ODY_PARTS) {
        PROBE_MOVE(2, v_add(v_load(a + i), v_load(b + i)));
    } else {
        PROBE_MOVE(1, v_add(v_load(a + i), v_load(b + i)));
    }
    return (double)p->rounds * (double)(3 * p->n * sizeof(real));
}
