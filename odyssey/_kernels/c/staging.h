/* Copies between a strided rectangle and its contiguous image. Included by drivers.c.
 *
 * Elements are moved, never computed with. Reversed rows, every other element and transposed rectangles of four-byte
 * elements go through 16-byte vectors, which every baseline has; the rest one by one.
 */
#ifndef ODY_STAGING_H
#define ODY_STAGING_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define STAGING static inline __attribute__((always_inline))

typedef uint32_t quad __attribute__((vector_size(16)));
#ifdef __clang__
#define PICK(a, b, i, j, k, l) __builtin_shufflevector(a, b, i, j, k, l)
#else
#define PICK(a, b, i, j, k, l) __builtin_shuffle(a, b, ((quad){i, j, k, l}))
#endif
STAGING quad load_quad(const char *from) {
    quad v;
    memcpy(&v, from, sizeof v);
    return v;
}
STAGING void store_quad(char *to, quad v) { memcpy(to, &v, sizeof v); }

STAGING void copy_each(char *to, ptrdiff_t to_stride, const char *from, ptrdiff_t from_stride, size_t n,
                       size_t itemsize) {
    for (; n >= 4; n -= 4, to += 4 * to_stride, from += 4 * from_stride) {
        memcpy(to, from, itemsize);
        memcpy(to + to_stride, from + from_stride, itemsize);
        memcpy(to + 2 * to_stride, from + 2 * from_stride, itemsize);
        memcpy(to + 3 * to_stride, from + 3 * from_stride, itemsize);
    }
    for (; n > 0; n--, to += to_stride, from += from_stride) memcpy(to, from, itemsize);
}

/* One line of elements. */
static void copy_line(char *to, ptrdiff_t to_stride, const char *from, ptrdiff_t from_stride, size_t n,
                      size_t itemsize) {
    const ptrdiff_t item = (ptrdiff_t)itemsize;
    if (to_stride == item && from_stride == item) {
        memcpy(to, from, n * itemsize);
        return;
    }
    if (itemsize == 8) {
        copy_each(to, to_stride, from, from_stride, n, 8);
        return;
    }
    if (to_stride == 4 && from_stride == -4) {
        for (; n >= 4; n -= 4, to += 16, from -= 16) {
            quad v = load_quad(from - 12);
            store_quad(to, PICK(v, v, 3, 2, 1, 0));
        }
    } else if (to_stride == -4 && from_stride == 4) {
        for (; n >= 4; n -= 4, to -= 16, from += 16) {
            quad v = load_quad(from);
            store_quad(to - 12, PICK(v, v, 3, 2, 1, 0));
        }
    } else if (to_stride == 4 && from_stride == 8) {
        /* Not the last four: the element after the last may not be ours to read. */
        for (; n > 4; n -= 4, to += 16, from += 32)
            store_quad(to, PICK(load_quad(from), load_quad(from + 16), 0, 2, 4, 6));
    }
    copy_each(to, to_stride, from, from_stride, n, 4);
}

/* to[i][j] = from[j][i] for four-byte elements, contiguous along the second index of each. */
static void transpose(char *to, ptrdiff_t to_row, const char *from, ptrdiff_t from_row, size_t rows, size_t columns) {
    size_t i = 0;
    for (; rows - i >= 4; i += 4, to += 4 * to_row, from += 16) {
        char *t = to;
        const char *f = from;
        size_t j = 0;
        for (; columns - j >= 4; j += 4, t += 16, f += 4 * from_row) {
            quad a = load_quad(f), b = load_quad(f + from_row), c = load_quad(f + 2 * from_row), d = load_quad(f + 3 * from_row);
            quad ab = PICK(a, b, 0, 4, 1, 5), cd = PICK(c, d, 0, 4, 1, 5);
            store_quad(t, PICK(ab, cd, 0, 1, 4, 5));
            store_quad(t + to_row, PICK(ab, cd, 2, 3, 6, 7));
            ab = PICK(a, b, 2, 6, 3, 7), cd = PICK(c, d, 2, 6, 3, 7);
            store_quad(t + 2 * to_row, PICK(ab, cd, 0, 1, 4, 5));
            store_quad(t + 3 * to_row, PICK(ab, cd, 2, 3, 6, 7));
        }
        for (; j < columns; j++, t += 4, f += from_row) copy_each(t, to_row, f, 4, 4, 4);
    }
    for (; i < rows; i++, to += to_row, from += 4) copy_each(to, 4, from, from_row, columns, 4);
}

static size_t magnitude(ptrdiff_t stride) { return (size_t)(stride < 0 ? -stride : stride); }

static void copy_rectangle(char *to, ptrdiff_t to_row, ptrdiff_t to_column, const char *from, ptrdiff_t from_row,
                           ptrdiff_t from_column, size_t rows, size_t columns, size_t itemsize) {
    if (itemsize == 4 && rows > 1 && to_column == 4 && from_row == 4) {
        transpose(to, to_row, from, from_column, rows, columns);
    } else if (itemsize == 4 && rows > 1 && to_row == 4 && from_column == 4) {
        transpose(to, to_column, from, from_row, columns, rows);
    } else if (magnitude(to_row) + magnitude(from_row) < magnitude(to_column) + magnitude(from_column)) {
        /* Along the shorter strides, so that a cache line is fetched once. */
        for (size_t j = 0; j < columns; j++, to += to_column, from += from_column)
            copy_line(to, to_row, from, from_row, rows, itemsize);
    } else {
        for (size_t i = 0; i < rows; i++, to += to_row, from += from_row)
            copy_line(to, to_column, from, from_column, columns, itemsize);
    }
}

#undef PICK
#undef STAGING
#endif
