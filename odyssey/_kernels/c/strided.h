/* Moving elements of 4 or 8 bytes between strided and contiguous memory, for the drivers of rows. */
#ifndef ODY_STRIDED_H
#define ODY_STRIDED_H

#include "driver.h"

#include <string.h>

enum {
    GRAIN = 32768, /* additions' worth of work that pays for waking a thread */
    TASKS = 4,     /* tasks a thread, at least, so that a late thread holds up nobody */
};

/* Short runs do not pay for a call of memcpy. */
static inline void copy_bytes(char *to, const char *from, size_t n) {
    if (n > 512) {
        memcpy(to, from, n);
        return;
    }
    size_t i = 0;
    for (; n - i >= 32; i += 32) memcpy(to + i, from + i, 32);
    for (; i < n; i += 4) memcpy(to + i, from + i, 4);
}

static inline void gather(void *to, const char *from, ptrdiff_t stride, size_t n, size_t itemsize) {
    if (stride == (ptrdiff_t)itemsize)
        copy_bytes(to, from, n * itemsize);
    else if (itemsize == 4)
        for (size_t i = 0; i < n; i++) memcpy((char *)to + 4 * i, from + (ptrdiff_t)i * stride, 4);
    else
        for (size_t i = 0; i < n; i++) memcpy((char *)to + 8 * i, from + (ptrdiff_t)i * stride, 8);
}

static inline void scatter(char *to, ptrdiff_t stride, const void *from, size_t n, size_t itemsize) {
    if (stride == (ptrdiff_t)itemsize)
        memcpy(to, from, n * itemsize);
    else if (itemsize == 4)
        for (size_t i = 0; i < n; i++) memcpy(to + (ptrdiff_t)i * stride, (const char *)from + 4 * i, 4);
    else
        for (size_t i = 0; i < n; i++) memcpy(to + (ptrdiff_t)i * stride, (const char *)from + 8 * i, 8);
}

static inline size_t smaller(size_t a, size_t b) { return a < b ? a : b; }
static inline size_t larger(size_t a, size_t b) { return a > b ? a : b; }
static inline size_t parts(size_t whole, size_t part) { return (whole + part - 1) / part; }

#endif
