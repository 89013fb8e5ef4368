/* The driver that packs weights for products: a panel is a task, block by block, so that nothing is widened as a whole. Rounding
 * is IEEE arithmetic alone, the same on every machine, and bound by memory as the compiler makes it. */
#include <odyssey/runtime.h>

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "driver.h"

enum { WIDTH = 64, BLOCK = 64 }; /* outputs in a panel; numbers of a row at a time */

typedef struct pack_job {
    const ody_packing *p;
    size_t bad; /* the first row that holds what int8 cannot; rows where there is none */
} pack_job;

static float float_of(uint32_t bits) {
    float x;
    memcpy(&x, &bits, 4);
    return x;
}
static uint32_t bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    return bits;
}

/* n <= BLOCK numbers of a row from `first` on, widened exactly; zeros behind them. */
static void widen(const ody_packing *p, size_t row, size_t first, size_t n, float *restrict to) {
    const char *from = (const char *)p->from + (ptrdiff_t)row * p->from_row;
    if (p->source == ODY_STRIDED) {
        if (n < BLOCK) memset(to, 0, BLOCK * sizeof *to);
        memcpy(to, from + first * 4, n * 4);
        return;
    }
    uint16_t last[BLOCK] = {0};
    const uint16_t *restrict narrow = (const uint16_t *)(const void *)(from + first * 2);
    if (n < BLOCK) narrow = memcpy(last, narrow, n * 2);
    if (p->source == ODY_BF16_ROWS) {
        for (size_t i = 0; i < BLOCK; i++) to[i] = float_of((uint32_t)narrow[i] << 16);
        return;
    }
    for (size_t i = 0; i < BLOCK; i++) {
        /* The exponent's bias is made up for by a product, which is exact for subnormals, too. */
        const uint32_t sign = (uint32_t)(narrow[i] & 0x8000) << 16, rest = narrow[i] & 0x7fff;
        const uint32_t finite = bits_of(float_of(rest << 13) * 0x1p112f), special = rest >= 0x7c00 ? 0x7f800000 : 0;
        to[i] = float_of(sign | finite | special);
    }
}

/* The upper half, rounded to nearest even; NaN stays NaN. */
static uint16_t to_bf16(float x) {
    const uint32_t bits = bits_of(x);
    return (uint16_t)(x != x ? bits >> 16 | 0x40 : (bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* What turns blocks of bytes: sixteen at a time, by the compiler's own vectors. */
typedef uint8_t bytes __attribute__((vector_size(16), aligned(1), may_alias));

#if defined(__clang__)
#define INTERLEAVE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else /* GCC before 12 knows no other */
#define INTERLEAVE(a, b, ...) __builtin_shuffle(a, b, (bytes){__VA_ARGS__})
#endif
static inline bytes low(bytes a, bytes b) {
    return INTERLEAVE(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
}
static inline bytes high(bytes a, bytes b) {
    return INTERLEAVE(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
}

/* (WIDTH, BLOCK) bytes to (BLOCK, WIDTH). Row i with row i + 8, four times over, is a transposition of sixteen rows. */
static void turn_bytes(const int8_t *from, int8_t *to) {
    for (size_t row = 0; row < WIDTH; row += 16)
        for (size_t column = 0; column < BLOCK; column += 16) {
            bytes a[16], b[16];
            for (size_t i = 0; i < 16; i++) a[i] = *(const bytes *)(const void *)(from + (row + i) * BLOCK + column);
            for (int round = 0; round < 4; round += 2) {
                for (size_t i = 0; i < 8; i++) b[2 * i] = low(a[i], a[i + 8]), b[2 * i + 1] = high(a[i], a[i + 8]);
                for (size_t i = 0; i < 8; i++) a[2 * i] = low(b[i], b[i + 8]), a[2 * i + 1] = high(b[i], b[i + 8]);
            }
            for (size_t i = 0; i < 16; i++) *(bytes *)(void *)(to + (column + i) * WIDTH + row) = a[i];
        }
}

static void pack_bf16(const ody_packing *p, size_t panel, size_t rows) {
    uint16_t *to = (uint16_t *)p->to + panel * WIDTH * (p->k + p->k % 2);
    uint16_t rounded[WIDTH][BLOCK];
    memset(rounded, 0, sizeof rounded);
    for (size_t first = 0; first < p->k; first += BLOCK, to += BLOCK * WIDTH) {
        const size_t n = p->k - first < BLOCK ? p->k - first : BLOCK;
        for (size_t r = 0; r < rows; r++) {
            if (p->source == ODY_BF16_ROWS) {
                const char *from = (const char *)p->from + (ptrdiff_t)(panel * WIDTH + r) * p->from_row + first * 2;
                if (n < BLOCK) memset(rounded[r], 0, sizeof rounded[r]);
                memcpy(rounded[r], from, n * 2);
            } else {
                float wide[BLOCK];
                widen(p, panel * WIDTH + r, first, n, wide);
                for (size_t i = 0; i < BLOCK; i++) rounded[r][i] = to_bf16(wide[i]);
            }
        }
        for (size_t i = 0; i < n; i += 2)
            for (size_t r = 0; r < WIDTH; r++) memcpy(to + (i / 2 * WIDTH + r) * 2, &rounded[r][i], 4);
    }
}

/* The largest magnitude of a row, infinity where it is not finite. Magnitudes order as their bits do. */
static float largest_of(const ody_packing *p, size_t row) {
    const char *from = (const char *)p->from + (ptrdiff_t)row * p->from_row;
    if (p->source == ODY_STRIDED) {
        const int32_t *bits = (const int32_t *)(const void *)from;
        int32_t most = 0;
        for (size_t i = 0; i < p->k; i++) {
            const int32_t size = bits[i] & 0x7fffffff;
            most = size > most ? size : most;
        }
        return most >= 0x7f800000 ? INFINITY : float_of((uint32_t)most);
    }
    const int16_t *bits = (const int16_t *)(const void *)from;
    int16_t most = 0;
    for (size_t i = 0; i < p->k; i++) {
        const int16_t size = bits[i] & 0x7fff;
        most = size > most ? size : most;
    }
    if (p->source == ODY_BF16_ROWS) return most >= 0x7f80 ? INFINITY : float_of((uint32_t)most << 16);
    return most >= 0x7c00 ? INFINITY : float_of((uint32_t)most << 13) * 0x1p112f;
}

/* Rounded to nearest even by adding 1.5 * 2^23, whose low byte is then the integer. Subnormal scales may round so far that a
 * quotient leaves the range. */
static void round_block(const float *restrict wide, float scale, int8_t *restrict to) {
    for (size_t i = 0; i < BLOCK; i++) {
        float q = wide[i] / scale;
        q = q > 127.0f ? 127.0f : q;
        q = q < -127.0f ? -127.0f : q;
        to[i] = (int8_t)bits_of(q + 12582912.0f);
    }
}

static void pack_int8(pack_job *job, size_t panel, size_t rows) {
    const ody_packing *p = job->p;
    int8_t *to = (int8_t *)p->to + panel * WIDTH * p->k;
    float scale[WIDTH] = {0};
    for (size_t r = 0; r < rows; r++) {
        const size_t row = panel * WIDTH + r;
        const float largest = largest_of(p, row);
        if (largest == INFINITY) {
            size_t before = __atomic_load_n(&job->bad, __ATOMIC_RELAXED);
            while (row < before && !__atomic_compare_exchange_n(&job->bad, &before, row, 1, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {}
            return;
        }
        scale[r] = p->scale[row] = largest / 127.0f;
    }
    int8_t rounded[WIDTH * BLOCK], turned[WIDTH * BLOCK];
    memset(rounded, 0, sizeof rounded);
    for (size_t first = 0; first < p->k; first += BLOCK, to += BLOCK * WIDTH) {
        const size_t n = p->k - first < BLOCK ? p->k - first : BLOCK;
        for (size_t r = 0; r < rows; r++) {
            if (scale[r] == 0) continue; /* a row of zeros */
            float wide[BLOCK];
            widen(p, panel * WIDTH + r, first, n, wide);
            round_block(wide, scale[r], rounded + r * BLOCK);
        }
        turn_bytes(rounded, n == BLOCK ? to : turned);
        if (n < BLOCK) memcpy(to, turned, n * WIDTH);
    }
}

static void pack_task(void *context, size_t panel) {
    pack_job *job = context;
    const size_t left = job->p->rows - panel * WIDTH, rows = left < WIDTH ? left : WIDTH;
    if (job->p->format == ODY_INT8) pack_int8(job, panel, rows);
    else pack_bf16(job->p, panel, rows);
}

size_t ody_run_packing(const char *op, const ody_packing *p) {
    const size_t panels = (p->rows + WIDTH - 1) / WIDTH;
    ody_announce(op, p->rows * p->k * (p->source == ODY_STRIDED ? 4 : 2));
    pack_job job = {p, p->rows};
    ody_parallel(pack_task, &job, panels);
    return job.bad;
}
