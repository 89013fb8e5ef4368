/* Element by element; included by abi.c once for each type. The number beside a name is what one element costs, in additions. */

#define UNARY(name, cost)                                                                                              \
    ody_status ODY_OP(name)(const ODY_REAL *x, size_t n, ODY_REAL *out) {                                              \
        ELEMENTS(elements, n);                                                                                         \
        POINTERS(elements, x, out);                                                                                    \
        return element_by_element(#name, SLOT(name), x, NULL, NULL, 1, n, out, cost, 0, 0, sizeof(ODY_REAL));          \
    }
#define BINARY(name, cost)                                                                                             \
    ody_status ODY_OP(name)(const ODY_REAL *a, const ODY_REAL *b, size_t n, ODY_REAL *out) {                           \
        ELEMENTS(elements, n);                                                                                         \
        POINTERS(elements, a, b, out);                                                                                 \
        return element_by_element(#name, SLOT(name), a, b, NULL, 2, n, out, cost, 0, 0, sizeof(ODY_REAL));             \
    }
#define UNARY_OF_ONE(name, cost, option)                                                                               \
    ody_status ODY_OP(name)(const ODY_REAL *x, size_t n, double option, ODY_REAL *out) {                               \
        ELEMENTS(elements, n);                                                                                         \
        POINTERS(elements, x, out);                                                                                    \
        return element_by_element(#name, SLOT(name), x, NULL, NULL, 1, n, out, cost, option, 0, sizeof(ODY_REAL));     \
    }
#define BINARY_OF_ONE(name, cost, a, b, option)                                                                        \
    ody_status ODY_OP(name)(const ODY_REAL *a, const ODY_REAL *b, size_t n, double option, ODY_REAL *out) {            \
        ELEMENTS(elements, n);                                                                                         \
        POINTERS(elements, a, b, out);                                                                                 \
        return element_by_element(#name, SLOT(name), a, b, NULL, 2, n, out, cost, option, 0, sizeof(ODY_REAL));        \
    }
#define BINARY_OF_TWO(name, cost, first, second)                                                                       \
    ody_status ODY_OP(name)(const ODY_REAL *grad, const ODY_REAL *x, size_t n, double first, double second, ODY_REAL *out) { \
        ELEMENTS(elements, n);                                                                                         \
        POINTERS(elements, grad, x, out);                                                                              \
        return element_by_element(#name, SLOT(name), grad, x, NULL, 2, n, out, cost, first, second, sizeof(ODY_REAL)); \
    }

BINARY(add, 1)
BINARY(subtract, 1)
BINARY(multiply, 1)
BINARY(divide, 3)
BINARY(minimum, 1)
BINARY(maximum, 1)
BINARY(power, 36)
UNARY(exp, 6)
UNARY(log, 7)
UNARY(log2, 7)
UNARY(sqrt, 4)
UNARY(reciprocal, 3)
UNARY(sin, 10)
UNARY(cos, 10)
UNARY(erf, 7)
UNARY(relu, 1)
UNARY(relu6, 1)
UNARY(hard_tanh, 1)
UNARY(hard_sigmoid, 1)
UNARY(hard_swish, 1)
UNARY(selu, 12)
UNARY(sigmoid, 12)
UNARY(tanh, 8)
UNARY(silu, 8)
UNARY(gelu, 16)
UNARY(gelu_tanh, 10)
UNARY(mish, 12)
BINARY(erf_backward, 12)
BINARY(relu_backward, 1)
BINARY(relu6_backward, 1)
BINARY(hard_tanh_backward, 1)
BINARY(hard_sigmoid_backward, 1)
BINARY(hard_swish_backward, 1)
BINARY(selu_backward, 10)
BINARY(sigmoid_backward, 1)
BINARY(tanh_backward, 1)
BINARY(silu_backward, 12)
BINARY(gelu_backward, 20)
BINARY(gelu_tanh_backward, 14)
BINARY(mish_backward, 16)
UNARY_OF_ONE(scale, 1, alpha)
UNARY_OF_ONE(leaky_relu, 1, negative_slope)
UNARY_OF_ONE(elu, 12, alpha)
BINARY_OF_ONE(axpy, 1, x, y, alpha)
BINARY_OF_ONE(leaky_relu_backward, 1, grad, x, negative_slope)
BINARY_OF_ONE(elu_backward, 10, grad, x, alpha)
BINARY_OF_TWO(clip_backward, 1, low, high)
BINARY_OF_TWO(softplus_backward, 18, beta, threshold)

#undef UNARY
#undef BINARY
#undef UNARY_OF_ONE
#undef BINARY_OF_ONE
#undef BINARY_OF_TWO

ody_status ODY_OP(fma)(const ODY_REAL *a, const ODY_REAL *b, const ODY_REAL *c, size_t n, ODY_REAL *out) {
    ELEMENTS(elements, n);
    POINTERS(elements, a, b, c, out);
    return element_by_element("fma", SLOT(fma), a, b, c, 3, n, out, 2, 0, 0, sizeof(ODY_REAL));
}

ody_status ODY_OP(clip)(const ODY_REAL *x, size_t n, double low, double high, ODY_REAL *out) {
    if (isnan(low) || isnan(high)) return ODY_OP(scale)(x, n, low + high, out);
    ELEMENTS(elements, n);
    POINTERS(elements, x, out);
    return element_by_element("clip", SLOT(clip), x, NULL, NULL, 1, n, out, 1, low, high, sizeof(ODY_REAL));
}

ody_status ODY_OP(softplus)(const ODY_REAL *x, size_t n, double beta, double threshold, ODY_REAL *out) {
    ELEMENTS(elements, n);
    POINTERS(elements, x, out);
    return element_by_element("softplus", SLOT(softplus), x, NULL, NULL, 1, n, out, 16, beta, threshold, sizeof(ODY_REAL));
}

ody_status ODY_OP(dropout)(const ODY_REAL *x, size_t n, double p, uint64_t seed, uint64_t offset, ODY_REAL *out) {
    ELEMENTS(elements, n);
    POINTERS(elements, x, out);
    if (!(p >= 0 && p <= 1)) return ODY_INVALID_VALUE;
    const double threshold = rint(p * 4294967296.0);
    if (n == 0) return ODY_OK;
    if (threshold == 0) {
        if (out != x) memcpy(out, x, n * sizeof(ODY_REAL));
        return ODY_OK;
    }
    if (p == 1) {
        memset(out, 0, n * sizeof(ODY_REAL));
        return ODY_OK;
    }
    const ody_dropout d = {.in = x, .out = out, .n = n, .seed = seed, .offset = offset, .scale = 1 / (1 - p),
                           .threshold = threshold < 4294967295.0 ? (uint32_t)threshold : 4294967295u};
    DONE(ody_run_dropout("dropout", SLOT(dropout), &d, sizeof(ODY_REAL)));
}
