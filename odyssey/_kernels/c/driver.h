/* Shared by the drivers. */
#ifndef ODY_DRIVER_H
#define ODY_DRIVER_H

#include <odyssey/runtime.h>

/* Tells the hook, where one is set, which operation begins and how many bytes it moves. */
static inline void ody_announce(const char *op, size_t bytes) {
    ody_hook_fn hook = ody_hook;
    if (__builtin_expect(hook != NULL, 0)) hook(op, bytes);
}

#endif
