/* Hashes what every kernel of one table computes, a line a slot, so that tables can be compared without Python: under an
 * emulator, or under a sanitizer. slots.inc is written from kernels.h by the test (SLOT(type, name, bits) a line), so a new
 * slot is exercised without a word here as long as it has one of the known call shapes. */
#include <odyssey/kernels.h>

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef TABLE
#error "define TABLE as the table to hash, such as ody_kernels_neon"
#endif
extern const ody_kernels TABLE;

/* ---- numbers that do not depend on a library -------------------------------------------------------------------- */

static uint64_t state;
static uint64_t next(void) {
    state += 0x9e3779b97f4a7c15u;
    uint64_t z = state;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* Mostly of everyday size, sometimes large, tiny, subnormal, zero, infinite or NaN when `wild`. */
static double number(int wild, int bits) {
    double u = (double)(next() >> 11) * 0x1p-53, everyday = 6 * u - 3;
    unsigned kind = (unsigned)(next() % 32);
    if (!wild || kind < 22) return everyday;
    int range = bits == 32 ? 120 : 900;
    switch (kind) {
    case 22: case 23: case 24: return ldexp(everyday, (int)(next() % (unsigned)range));
    case 25: case 26: case 27: return ldexp(everyday, -(int)(next() % (unsigned)range));
    case 28: return ldexp(everyday, bits == 32 ? -140 : -1060);
    case 29: return kind & 1 ? -0.0 : 0.0;
    case 30: return everyday < 0 ? -INFINITY : INFINITY;
    default: return NAN;
    }
}

static void fill(void *to, size_t n, int bits, int wild) {
    for (size_t i = 0; i < n; i++) {
        double v = number(wild, bits);
        if (bits == 32) ((float *)to)[i] = (float)v;
        else ((double *)to)[i] = v;
    }
}

/* Every NaN counts as the same: which one comes out is the processor's affair. */
static uint64_t hash;
static void absorb(const void *from, size_t n, int bits) {
    for (size_t i = 0; i < n; i++) {
        uint64_t v;
        if (bits == 32) {
            uint32_t w;
            memcpy(&w, (const float *)from + i, 4);
            v = (w & 0x7fffffffu) > 0x7f800000u ? 0x7fc00000u : w;
        } else {
            memcpy(&v, (const double *)from + i, 8);
            if ((v & 0x7fffffffffffffffu) > 0x7ff0000000000000u) v = 0x7ff8000000000000u;
        }
        hash = (hash ^ v) * 0x100000001b3u;
        hash ^= hash >> 29;
    }
}

enum { MOST = 1 << 16 };
static _Alignas(64) char in[4][MOST * 8 + 64], out[3][MOST * 8 + 64];
static const size_t sizes[] = {0, 1, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64, 100, 130, 257, 1000};
enum { SIZES = 16 };

static void prepare(int bits, int wild) {
    for (int i = 0; i < 4; i++) fill(in[i], MOST, bits, wild);
    memset(out, 0, sizeof out);
}

/* ---- one exerciser a call shape ---------------------------------------------------------------------------------- */

static void exercise_ody_map_fn(ody_map_fn f, int bits) {
    const size_t item = (size_t)bits / 8;
    for (int wild = 0; wild < 2; wild++)
        for (int s = 0; s < SIZES; s++)
            for (int step = 0; step < 3; step++)
                for (unsigned flags = 0; flags <= ODY_STREAM; flags += ODY_STREAM) {
                    prepare(bits, wild);
                    /* Parameters that are sensible for every kernel: slopes, bounds, decays below one, a step above. */
                    ody_map m = {.n = sizes[s], .param = {0.25, 0.75, 0.5, 0.125, 0.0625, 0.5, 0.25, 0.5}, .flags = flags};
                    for (int i = 0; i < 4; i++) m.in[i] = in[i] + item, m.step[i] = !(i + 1 == step);
                    for (int k = 0; k < 3; k++) m.out[k] = out[k] + item;
                    f(&m);
                    for (int k = 0; k < 3; k++) absorb(out[k], sizes[s] + 40, bits);
                }
}

static void exercise_rows(ody_rows_fn f, int bits, int labels) {
    const size_t item = (size_t)bits / 8;
    for (int wild = 0; wild < 2; wild++)
        for (int s = labels ? 1 : 0; s < SIZES; s++) {
            const size_t n = sizes[s], rows = 5;
            prepare(bits, wild);
            if (labels)
                for (size_t r = 0; r < rows; r++) ((int64_t *)in[1])[r] = (int64_t)(next() % n);
            ody_rows r = {.rows = rows, .n = n, .param = {0.5, 0.25, 1, 1}};
            for (int i = 0; i < 4; i++) r.in[i] = in[i], r.in_step[i] = (ptrdiff_t)((n + 3) * item);
            if (labels) r.in_step[1] = sizeof(int64_t);
            for (int k = 0; k < 3; k++) r.out[k] = out[k], r.out_step[k] = (ptrdiff_t)((n + 5) * item);
            f(&r);
            for (int k = 0; k < 3; k++) absorb(out[k], rows * (n + 5), bits);
        }
}
static void exercise_ody_rows_fn(ody_rows_fn f, int bits) { exercise_rows(f, bits, 0); }

static void exercise_ody_gemm_fn(ody_gemm_fn f, ody_gemm_workspace_fn workspace, int bits) {
    const size_t item = (size_t)bits / 8, most = 41;
    for (size_t m = 1; m <= most; m += m < 16 ? 3 : 8)
        for (int s = 1; s < SIZES - 2; s += 2)
            for (int kind = 0; kind < 8; kind++) {
                const size_t n = sizes[s], k = sizes[(s * 5 + kind) % (SIZES - 3)];
                prepare(bits, 0);
                ody_gemm g = {.m = m, .n = n, .k = k, .a = in[0], .b = in[1], .c = out[0], .c_row = (ptrdiff_t)n + 3,
                              .alpha = kind == 3 ? 0.5 : 1, .beta = kind == 4 ? 0.5 : kind == 5,
                              .bias = kind == 6 ? in[2] : NULL, .activation = kind == 7 ? ODY_RELU : ODY_IDENTITY};
                g.a_row = kind & 1 ? 1 : (ptrdiff_t)k, g.a_col = kind & 1 ? (ptrdiff_t)m : 1;
                g.b_row = kind & 2 ? 1 : (ptrdiff_t)n, g.b_col = kind & 2 ? (ptrdiff_t)k : 1;
                memcpy(out[0], in[3], MOST * item);
                const size_t bytes = (workspace(&g) + 63) / 64 * 64;
                g.workspace = aligned_alloc(64, bytes + 64);
                f(&g);
                free(g.workspace);
                absorb(out[0], m * (n + 3), bits);
            }
}

int main(void) {
#define SLOT(type, name, bits)                                                                                         \
    state = 1;                                                                                                         \
    hash = 14695981039346656037u;                                                                                      \
    exercise_##type(TABLE.name, bits);                                                                                 \
    printf("%s %016" PRIx64 "\n", #name, hash);
#define GEMM_SLOT(name, workspace, bits)                                                                               \
    state = 1;                                                                                                         \
    hash = 14695981039346656037u;                                                                                      \
    exercise_ody_gemm_fn(TABLE.name, TABLE.workspace, bits);                                                           \
    printf("%s %016" PRIx64 "\n", #name, hash);
#include "slots.inc"
    return 0;
}
