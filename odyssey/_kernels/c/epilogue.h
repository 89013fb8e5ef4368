/* What a product or a convolution may do to its results while they are still near: the activation, on a vector or a row. */

/* NaN stays NaN. */
ODY_INLINE vec K(relu_vec)(vec v) { return v_max(v_zero(), v); }

#define ACTIVATE_ROW(EXPRESSION)                                                                                       \
    for (size_t i = 0; i < n; i += LANES) {                                                                            \
        const size_t left = n - i;                                                                                     \
        vec a = left >= LANES ? v_load(row + i) : v_load_n(row + i, left, 0);                                          \
        if (left >= LANES) v_store(row + i, EXPRESSION);                                                               \
        else v_store_n(row + i, EXPRESSION, left);                                                                     \
    }                                                                                                                  \
    break

static void K(activate_row)(real *row, size_t n, int activation) {
    switch (activation) {
    case ODY_RELU: ACTIVATE_ROW(K(relu_vec)(a));
    case ODY_TANH: ACTIVATE_ROW(v_tanh(a));
    case ODY_SIGMOID: ACTIVATE_ROW(v_sigmoid(a));
    case ODY_GELU: ACTIVATE_ROW(v_gelu(a));
    case ODY_SILU: ACTIVATE_ROW(v_silu(a));
    }
}
#undef ACTIVATE_ROW
