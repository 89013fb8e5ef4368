/* How many tokens are best worked on at a time: as many as a vector has lanes, if their streams wait in the second-level
 * cache for the weights; but a few in any case share a pass over fn. */
#ifndef ODY_HYPER_GROUP_H
#define ODY_HYPER_GROUP_H

#include <odyssey/kernels.h>

enum { HYPER_FEWEST = 4, HYPER_GROUP_BYTES = 1 << 19 };

static inline size_t hyper_group(size_t streams, size_t hidden, size_t itemsize) {
    const size_t fits = HYPER_GROUP_BYTES / (streams * hidden * itemsize), most = ODY_VECTOR_BYTES / itemsize;
    return fits < HYPER_FEWEST ? HYPER_FEWEST : fits < most ? fits : most;
}
#endif
