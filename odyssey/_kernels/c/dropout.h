/* Dropout: each element is kept, and scaled, or becomes 0, by a random word that its place alone decides.
 *
 * Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3") makes four words of a
 * counter and a key. Here sixteen counters go side by side, and the word vectors are used as they come. */

#ifndef ODY_PHILOX_H
#define ODY_PHILOX_H
enum { PHILOX_ROUNDS = 10 };

/* The words of blocks block .. block + 15; block is a multiple of 16. */
ODY_INLINE void philox(uint64_t block, uint64_t offset, uint64_t key, i32x16 *word) {
    const i32x16 m0 = i32x16_splat((int32_t)0xd2511f53u), m1 = i32x16_splat((int32_t)0xcd9e8d57u);
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    i32x16 c0 = i32x16_or(i32x16_splat((int32_t)(uint32_t)block), i32x16_iota());
    i32x16 c1 = i32x16_splat((int32_t)(uint32_t)(block >> 32));
    i32x16 c2 = i32x16_splat((int32_t)(uint32_t)offset), c3 = i32x16_splat((int32_t)(uint32_t)(offset >> 32));
    _Pragma("GCC unroll 10") for (int round = 0; round < PHILOX_ROUNDS; round++) {
        i32x16 high0, high1;
        const i32x16 low0 = i32x16_mul_wide(c0, m0, &high0), low1 = i32x16_mul_wide(c2, m1, &high1);
        c0 = i32x16_xor(i32x16_xor(high1, c1), i32x16_splat((int32_t)k0));
        c1 = low1;
        c2 = i32x16_xor(i32x16_xor(high0, c3), i32x16_splat((int32_t)k1));
        c3 = low0;
        k0 += 0x9e3779b9u;
        k1 += 0xbb67ae85u;
    }
    word[0] = c0;
    word[1] = c1;
    word[2] = c2;
    word[3] = c3;
}
#endif

/* Whether each of sixteen words reaches the threshold, as masks of elements; `least` is the threshold less 1 with its sign
 * flipped, because words compare as signed. */
ODY_INLINE void K(kept)(i32x16 word, i32x16 least, mask *kept) {
    const m32x16 reached = i32x16_gt(i32x16_xor(word, i32x16_splat(INT32_MIN)), least);
#if LANES == 16
    kept[0] = reached;
#else
    f64x8 lo, hi;
    f32x16_to_f64(f32x16_select(reached, f32x16_splat(1), f32x16_zero()), &lo, &hi);
    kept[0] = f64x8_ne(lo, f64x8_zero());
    kept[1] = f64x8_ne(hi, f64x8_zero());
#endif
}

static void K(dropout)(const ody_dropout *d) {
    const real *in = d->in;
    real *out = d->out;
    const size_t n = d->n;
    const vec scale = v_splat((real)d->scale);
    const i32x16 least = i32x16_splat((int32_t)((d->threshold - 1) ^ 0x80000000u));
    const int streamed = d->flags & ODY_STREAM && (uintptr_t)out % 64 == 0;
    for (size_t start = 0; start < n; start += ODY_DROPOUT_BLOCK) {
        i32x16 word[4];
        mask kept[ODY_DROPOUT_BLOCK / LANES];
        philox((d->first + start) / 4, d->offset, d->seed, word);
        for (int w = 0; w < 4; w++) K(kept)(word[w], least, kept + w * (16 / LANES));
        for (size_t k = 0; k < ODY_DROPOUT_BLOCK / LANES; k++) {
            const size_t i = start + k * LANES;
            if (i >= n) break;
            const size_t count = n - i < LANES ? n - i : LANES;
            const vec y = v_select(kept[k], v_mul(SOME(in + i), scale), v_zero());
            if (streamed && count == LANES) v_stream(out + i, y);
            else SAVE(out + i, y);
        }
    }
    if (streamed) ody_fence();
}
