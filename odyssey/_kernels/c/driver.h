/* Shared by the drivers. */
#ifndef ODY_DRIVER_H
#define ODY_DRIVER_H

#include <odyssey/runtime.h>

#include <unistd.h>

/* Tells the hook, where one is set, which operation begins and how many bytes it moves. */
static inline void ody_announce(const char *op, size_t bytes) {
    ody_hook_fn hook = ody_hook;
    if (__builtin_expect(hook != NULL, 0)) hook(op, bytes);
}

/* From this many bytes on, results would only push useful data out of the last-level cache, half of which they fill with
 * what they read: writing past it is a third faster by then. */
static inline size_t stream_threshold(void) {
    static size_t cached;
    size_t bytes = __atomic_load_n(&cached, __ATOMIC_RELAXED);
    if (bytes == 0) {
        long l3 = -1;
#ifdef _SC_LEVEL3_CACHE_SIZE
        l3 = sysconf(_SC_LEVEL3_CACHE_SIZE);
#endif
        bytes = l3 > 0 ? (size_t)l3 / 2 : (size_t)16 << 20;
        __atomic_store_n(&cached, bytes, __ATOMIC_RELAXED);
    }
    return bytes;
}

#endif
