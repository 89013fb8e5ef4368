/* Moving elements of 4 or 8 bytes between strided and contiguous memory; and what drivers share. */
#ifndef ODY_STRIDED_H
#define ODY_STRIDED_H

#include <odyssey/runtime.h>

#include <string.h>
#include <unistd.h>

enum {
    GRAIN = 32768, /* additions' worth of work that pays for waking a thread */
    TASKS = 4,     /* tasks a thread, at least, so that a late thread holds up nobody */
};

static inline void announce(const char *op, size_t bytes) {
    ody_hook_fn hook = ody_hook;
    if (__builtin_expect(hook != NULL, 0)) hook(op, bytes);
}

/* Beyond this many bytes moved, results would only push useful data out of the last-level cache. */
static inline size_t stream_threshold(void) {
    static size_t cached;
    size_t bytes = __atomic_load_n(&cached, __ATOMIC_RELAXED);
    if (bytes == 0) {
        long l3 = -1;
#ifdef _SC_LEVEL3_CACHE_SIZE
        l3 = sysconf(_SC_LEVEL3_CACHE_SIZE);
#endif
        bytes = l3 > 0 ? (size_t)l3 : (size_t)32 << 20;
        __atomic_store_n(&cached, bytes, __ATOMIC_RELAXED);
    }
    return bytes;
}

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
