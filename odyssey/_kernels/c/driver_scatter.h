/* What drivers share that bring terms back to the rows they came from. */
#ifndef ODY_DRIVER_SCATTER_H
#define ODY_DRIVER_SCATTER_H

#include <odyssey/runtime.h>

#include <string.h>

/* The positions of each row among `count` indices, by counting: row i's are order[starts[i]] .. order[starts[i + 1] - 1],
 * ascending; indices equal to `skipped` count nowhere. Returns starts, to be freed, or NULL when there is no memory. */
static inline int64_t *positions_by_row(const int64_t *index, size_t count, size_t rows, int64_t skipped, int64_t **order) {
    int64_t *starts = ody_alloc((rows + 2 + count) * sizeof *starts), *places = starts + rows + 2;
    if (!starts) return NULL;
    memset(starts, 0, (rows + 2) * sizeof *starts);
    for (size_t i = 0; i < count; i++)
        if (index[i] != skipped) starts[index[i] + 2]++;
    for (size_t row = 2; row < rows + 2; row++) starts[row] += starts[row - 1];
    /* starts[row + 1] is where the row's next position goes; in the end, where the row ends. */
    for (size_t i = 0; i < count; i++)
        if (index[i] != skipped) places[starts[index[i] + 1]++] = (int64_t)i;
    *order = places;
    return starts;
}

#endif
