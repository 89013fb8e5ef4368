/* Optimizer steps; included by abi.c once for each type. Parameters first, then the gradient, then the state. */

static ody_status ODY_OP(stepped)(const char *op, ody_map_fn f, ODY_REAL *const *state, int count, const ODY_REAL *grad, size_t n,
                                  const double *param, size_t params, int cost) {
    ELEMENTS(elements, n);
    POINTERS(elements, grad, state[0]);
    ody_map m = {.n = n};
    m.in[1] = grad;
    for (int i = 0; i < count; i++) {
        if (n && !state[i]) return ODY_NULL_POINTER;
        m.in[i ? i + 1 : 0] = state[i];
        m.out[i] = state[i];
    }
    for (int i = 0; i <= count; i++) m.step[i] = 1;
    memcpy(m.param, param, params * sizeof *param);
    DONE(ody_run_map(op, f, &m, count + 1, count, sizeof(ODY_REAL), cost));
}
#define STEP(op, f, grad, n, cost, state, ...)                                                                         \
    ODY_OP(stepped)(op, f, state, sizeof(state) / sizeof *(state), grad, n, (const double[]){__VA_ARGS__},             \
                    sizeof((const double[]){__VA_ARGS__}) / sizeof(double), cost)

ody_status ODY_OP(sgd_step)(ODY_REAL *param, const ODY_REAL *grad, ODY_REAL *momentum_buffer, size_t n, double lr, double momentum,
                            double dampening, double weight_decay, int nesterov, int first) {
    ODY_REAL *const plain[] = {param}, *const with_momentum[] = {param, momentum_buffer};
    if (momentum == 0) return STEP("sgd_step", SLOT(sgd_step), grad, n, 2, plain, lr, weight_decay);
    return STEP("sgd_step", SLOT(sgd_momentum_step), grad, n, 3, with_momentum, lr, weight_decay, momentum, 1 - dampening,
                nesterov != 0, first != 0);
}

#define ADAM(name, decay)                                                                                              \
    ody_status ODY_OP(name)(ODY_REAL *param, const ODY_REAL *grad, ODY_REAL *exp_avg, ODY_REAL *exp_avg_sq, size_t n, size_t step, \
                            double lr, double beta1, double beta2, double eps, double weight_decay) {                  \
        if (step < 1 || !(beta1 >= 0 && beta1 < 1 && beta2 >= 0 && beta2 < 1)) return ODY_INVALID_VALUE;               \
        ODY_REAL *const state[] = {param, exp_avg, exp_avg_sq};                                                        \
        return STEP(#name, SLOT(name), grad, n, 10, state, lr / (1 - power_of(beta1, step)), 1 - beta1, 1 - beta2,     \
                    1 / sqrt(1 - power_of(beta2, step)), eps, decay);                                                  \
    }
ADAM(adam_step, weight_decay)
ADAM(adamw_step, lr * weight_decay)
#undef ADAM

ody_status ODY_OP(rmsprop_step)(ODY_REAL *param, const ODY_REAL *grad, ODY_REAL *square_avg, ODY_REAL *grad_avg,
                                ODY_REAL *momentum_buffer, size_t n, double lr, double alpha, double eps, double weight_decay,
                                double momentum) {
    if (!(alpha >= 0 && alpha <= 1)) return ODY_INVALID_VALUE;
    ODY_REAL *const plain[] = {param, square_avg}, *const centered[] = {param, square_avg, grad_avg};
    ODY_REAL *const moving[] = {param, square_avg, momentum_buffer}, *const both[] = {param, square_avg, grad_avg, momentum_buffer};
    if (momentum == 0 && !grad_avg)
        return STEP("rmsprop_step", SLOT(rmsprop_step), grad, n, 8, plain, lr, weight_decay, 1 - alpha, eps, momentum);
    if (momentum == 0)
        return STEP("rmsprop_step", SLOT(rmsprop_centered_step), grad, n, 10, centered, lr, weight_decay, 1 - alpha, eps, momentum);
    if (!grad_avg)
        return STEP("rmsprop_step", SLOT(rmsprop_momentum_step), grad, n, 8, moving, lr, weight_decay, 1 - alpha, eps, momentum);
    return STEP("rmsprop_step", SLOT(rmsprop_centered_momentum_step), grad, n, 10, both, lr, weight_decay, 1 - alpha, eps, momentum);
}

ody_status ODY_OP(adagrad_step)(ODY_REAL *param, const ODY_REAL *grad, ODY_REAL *state_sum, size_t n, size_t step, double lr,
                                double lr_decay, double eps, double weight_decay) {
    if (step < 1) return ODY_INVALID_VALUE;
    ODY_REAL *const state[] = {param, state_sum};
    return STEP("adagrad_step", SLOT(adagrad_step), grad, n, 8, state, lr / (1 + (double)(step - 1) * lr_decay), weight_decay, eps);
}
#undef STEP

ody_status ODY_OP(clip_grad_norm)(ODY_REAL *const *grads, const size_t *sizes, size_t count, double max_norm, double eps, ODY_REAL *norm) {
    POINTERS(count, grads, sizes);
    if (!(max_norm >= 0 && eps >= 0)) return ODY_INVALID_VALUE;
    double total = 0;
    for (size_t i = 0; i < count; i++) {
        ODY_REAL one;
        const ody_status status = ODY_OP(norm)(grads[i], 1, sizes[i], &one);
        if (status != ODY_OK) return status;
        total += (double)one * (double)one;
    }
    total = sqrt(total);
    if (norm) *norm = (ODY_REAL)total;
    if (!(total + eps > 0) || !isfinite(total)) return ODY_OK;
    const double factor = max_norm / (total + eps);
    for (size_t i = 0; factor < 1 && i < count; i++) {
        const ody_status status = ODY_OP(scale)(grads[i], sizes[i], factor, grads[i]);
        if (status != ODY_OK) return status;
    }
    return ODY_OK;
}
