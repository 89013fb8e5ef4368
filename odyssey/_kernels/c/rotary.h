/* Rotary position embedding: pairs of elements of a row, rotated by the angle whose cosine and sine stand in the tables.
 *
 *   out[first] = first cos - second sin      out[second] = first sin + second cos,     the product with sin one fma
 *
 * The pairs are (i, i + pairs), or neighbours (2 i, 2 i + 1) where interleaved; elements beyond 2 * pairs are copied. in0 is
 * x, in1 the cosines, in2 the sines, `pairs` of them a row. The backward's angle is the negative one: SIGN is that of sin.
 */
ODY_INLINE void K(rotate)(vec a, vec b, vec cosine, vec sine, vec *first, vec *second) {
    *first = v_fnma(b, sine, v_mul(a, cosine));
    *second = v_fma(a, sine, v_mul(b, cosine));
}

ODY_INLINE void K(put)(real *to, vec v, int streamed) {
    if (streamed) v_stream(to, v);
    else v_store(to, v);
}

ODY_INLINE void K(rotary_rows)(const ody_rows *r, const int interleaved) {
    const size_t pairs = (size_t)r->param[0];
    const vec sign = v_splat((real)r->param[1]);
    for (size_t row = 0; row < r->rows; row++) {
        const real *x = ROW_IN(r, 0), *cosine = ROW_IN(r, 1), *sine = ROW_IN(r, 2);
        real *out = ROW_OUT(r, 0);
        const int streamed = STREAMED(r) && pairs % LANES == 0 && (uintptr_t)out % 64 == 0;
        for (size_t i = 0; i < pairs; i += LANES) {
            const size_t left = pairs - i < LANES ? pairs - i : LANES;
            vec a, b, first, second;
            if (left == LANES) {
                const vec c = v_load(cosine + i), s = v_mul(sign, v_load(sine + i));
                if (interleaved) {
                    v_unzip(v_load(x + 2 * i), v_load(x + 2 * i + LANES), &a, &b);
                    K(rotate)(a, b, c, s, &first, &second);
                    v_zip(first, second, &a, &b);
                    K(put)(out + 2 * i, a, streamed);
                    K(put)(out + 2 * i + LANES, b, streamed);
                } else {
                    K(rotate)(v_load(x + i), v_load(x + pairs + i), c, s, &first, &second);
                    K(put)(out + i, first, streamed);
                    K(put)(out + pairs + i, second, streamed);
                }
                continue;
            }
            const vec c = v_load_n(cosine + i, left, 0), s = v_mul(sign, v_load_n(sine + i, left, 0));
            if (interleaved) {
                const size_t low = 2 * left < LANES ? 2 * left : LANES, high = 2 * left - low;
                v_unzip(v_load_n(x + 2 * i, low, 0), high ? v_load_n(x + 2 * i + LANES, high, 0) : v_zero(), &a, &b);
                K(rotate)(a, b, c, s, &first, &second);
                v_zip(first, second, &a, &b);
                v_store_n(out + 2 * i, a, low);
                if (high) v_store_n(out + 2 * i + LANES, b, high);
            } else {
                K(rotate)(v_load_n(x + i, left, 0), v_load_n(x + pairs + i, left, 0), c, s, &first, &second);
                v_store_n(out + i, first, left);
                v_store_n(out + pairs + i, second, left);
            }
        }
        if (r->n > 2 * pairs && out != x) memcpy(out + 2 * pairs, x + 2 * pairs, (r->n - 2 * pairs) * sizeof(real));
    }
    if (r->flags & ODY_STREAM) ody_fence();
}

static void K(rotary_half)(const ody_rows *r) { K(rotary_rows)(r, 0); }
static void K(rotary_interleaved)(const ody_rows *r) { K(rotary_rows)(r, 1); }
