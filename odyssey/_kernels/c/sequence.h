/* The plan by which every reduction runs, whatever the layout, the axis, the neighbours or the number of threads.
 *
 * Of a sequence x[0], x[1], ... lane l takes x[l], x[l + LANES], x[l + 2 LANES] ... in that order. Within a lane the
 * terms of a block are chained from the neutral element, the blocks of a chunk are chained, and so are the chunks:
 * rounding errors grow with about the cube root of the length. Then the lanes are folded: lane i with lane i + LANES/2,
 * then + LANES/4 ...
 */
#ifndef ODY_SEQUENCE
#define ODY_SEQUENCE

#ifdef ODY_ISA_SCALAR
#define ODY_LARGE static __attribute__((noinline))
#else
#define ODY_LARGE ODY_INLINE
#endif

enum {
    BLOCK_TERMS = 8,   /* terms a lane takes in a block */
    CHUNK_BLOCKS = 128, /* blocks in a chunk: ODY_CHUNK_BYTES of elements */
};
#define BLOCK ((size_t)BLOCK_TERMS * LANES)
#define CHUNK (BLOCK * CHUNK_BLOCKS)

/* Leaves the lanes of x[0] .. x[n) in `total`, not yet folded. The first chunk goes on from `start`: the neutral element,
 * or what a call for earlier blocks of that chunk left. FULL takes x[i] .. x[i + LANES) into `acc`, TAIL
 * x[i] .. x[i + left): what TAIL makes of the lanes beyond is discarded. */
#define REDUCE_SEQUENCE(total, n, start, neutral, join, FULL, TAIL)                                                    \
    do {                                                                                                               \
        size_t i = 0;                                                                                                  \
        vec chunk_total = start;                                                                                       \
        total = neutral;                                                                                               \
        while (i < (n)) {                                                                                              \
            size_t chunk_end = (n) - i > CHUNK ? i + CHUNK : (n);                                                      \
            while (chunk_end - i >= BLOCK) {                                                                           \
                vec acc = neutral;                                                                                     \
                _Pragma("GCC unroll 8") for (int term = 0; term < BLOCK_TERMS; term++, i += LANES) { FULL; }          \
                chunk_total = join(chunk_total, acc);                                                                  \
            }                                                                                                          \
            if (i < chunk_end) {                                                                                       \
                vec acc = neutral;                                                                                     \
                for (; chunk_end - i >= LANES; i += LANES) { FULL; }                                                   \
                if (i < chunk_end) {                                                                                   \
                    const size_t left = chunk_end - i;                                                                     \
                    vec before = acc;                                                                                  \
                    TAIL;                                                                                              \
                    acc = v_select(m_first(left), acc, before);                                                        \
                    i = chunk_end;                                                                                     \
                }                                                                                                      \
                chunk_total = join(chunk_total, acc);                                                                  \
            }                                                                                                          \
            total = join(total, chunk_total);                                                                          \
            chunk_total = neutral;                                                                                     \
        }                                                                                                              \
    } while (0)
#endif
