/* Which tables this build carries and which of them this machine can run. Compiled with baseline flags, without
 * link-time optimisation: not one instruction of a newer set may leak into the code that asks for it. */
#include <odyssey/runtime.h>

#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
extern const ody_kernels ody_kernels_avx512, ody_kernels_avx2;
extern const ody_native ody_native_avx512;
#elif defined(__aarch64__)
extern const ody_kernels ody_kernels_neon;
#endif
extern const ody_kernels ody_kernels_scalar;

ody_hook_fn ody_hook;

static const ody_kernels *const tables[] = {
#if defined(__x86_64__)
    &ody_kernels_avx512,
    &ody_kernels_avx2,
#elif defined(__aarch64__)
    &ody_kernels_neon,
#endif
    &ody_kernels_scalar,
    NULL,
};

const ody_kernels *const *ody_tables(void) { return tables; }

#if defined(__x86_64__)
/* The processor may know a set whose registers the operating system does not save: both must agree. */
static uint64_t saved_state(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

static int usable_x86(const ody_kernels *table) {
    enum { SSE_AVX = 0x6, OPMASK_ZMM = 0xe0 };
    uint32_t a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return 0;
    const uint32_t fma = 1u << 12, osxsave = 1u << 27, avx = 1u << 28, f16c = 1u << 29;
    if ((c & (fma | osxsave | avx | f16c)) != (fma | osxsave | avx | f16c)) return 0;
    uint64_t saved = saved_state();
    if ((saved & SSE_AVX) != SSE_AVX) return 0;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
    const uint32_t avx2 = 1u << 5, bmi2 = 1u << 8;
    if ((b & (avx2 | bmi2)) != (avx2 | bmi2)) return 0;
    if (table == &ody_kernels_avx2) return 1;
    const uint32_t f = 1u << 16, dq = 1u << 17, bw = 1u << 30, vl = 1u << 31;
    return (b & (f | dq | bw | vl)) == (f | dq | bw | vl) && (saved & OPMASK_ZMM) == OPMASK_ZMM;
}
#endif

int ody_table_usable(const ody_kernels *table) {
    if (table == &ody_kernels_scalar) return 1;
#if defined(__x86_64__)
    return usable_x86(table);
#else
    return 1; /* NEON is part of every aarch64 processor */
#endif
}

#if defined(__x86_64__)
/* Asked for in every product: a virtual machine leaves its processor for each cpuid, which takes longer than a small product. */
static int has_native(void) {
    enum { UNKNOWN, NO, YES };
    enum { BF16 = 1u << 5, VNNI = 1u << 11 };
    static int known;
    int found = __atomic_load_n(&known, __ATOMIC_RELAXED);
    if (found == UNKNOWN) {
        uint32_t a, b, c, d;
        found = __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & BF16) && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (c & VNNI)
                    ? YES : NO;
        __atomic_store_n(&known, found, __ATOMIC_RELAXED);
    }
    return found == YES;
}
#endif

const ody_native *ody_native_for(const ody_kernels *table) {
#if defined(__x86_64__)
    if (table == &ody_kernels_avx512 && has_native()) return &ody_native_avx512;
#endif
    (void)table;
    return NULL;
}

static const ody_kernels *active;
static const ody_kernels **follower;

static const ody_kernels *first_choice(void) {
    const char *wanted = getenv("ODYSSEY_ISA");
    const ody_kernels *best = NULL;
    for (const ody_kernels *const *table = tables; *table; table++) {
        if (!ody_table_usable(*table)) continue;
        if (wanted && strcmp((*table)->name, wanted) == 0) return *table;
        if (!best) best = *table;
    }
    return best;
}

const ody_kernels *ody_active(void) {
    const ody_kernels *table = __atomic_load_n(&active, __ATOMIC_RELAXED);
    if (!table) {
        /* Two threads that come first choose the same. */
        table = first_choice();
        __atomic_store_n(&active, table, __ATOMIC_RELAXED);
    }
    return table;
}

void ody_activate(const ody_kernels *table) {
    __atomic_store_n(&active, table, __ATOMIC_RELAXED);
    if (follower) __atomic_store_n(follower, table, __ATOMIC_RELAXED);
}

void ody_follow(const ody_kernels **copy) {
    follower = copy;
    if (copy) *copy = ody_active();
}
