/* Optimizer steps: one pass over parameters and state, in place. Memory is what they cost.
 *
 * Each function below treats `part` elements: a full vector, or the last few. What depends on the step alone comes ready
 * in `param`, computed in double by the entry. PyTorch's formulas; an fma has one rounding where the formula has two. */

ODY_INLINE vec K(load_part)(const real *from, size_t part) {
    return part == LANES ? v_load(from) : v_load_n(from, part, 1);
}
ODY_INLINE void K(store_part)(real *to, vec v, size_t part) {
    if (part == LANES) v_store(to, v);
    else v_store_n(to, v, part);
}

#ifndef ODY_OPTIM_H
#define ODY_OPTIM_H
/* Runs the block, which treats elements [i, i + part), over all n. */
#define EACH_PART(n, ...)                                                                                              \
    do {                                                                                                               \
        size_t i = 0;                                                                                                  \
        for (; (n) - i >= LANES; i += LANES) {                                                                         \
            enum { part = LANES };                                                                                     \
            __VA_ARGS__                                                                                                    \
        }                                                                                                              \
        if (i < (n)) {                                                                                                 \
            const size_t part = (n) - i;                                                                               \
            __VA_ARGS__                                                                                                    \
        }                                                                                                              \
    } while (0)
#endif

/* p: lr, weight_decay. */
static void K(sgd_step)(const ody_map *m) {
    real *params = m->out[0];
    const real *grads = m->in[1];
    const vec lr = v_splat((real)m->param[0]), decay = v_splat((real)m->param[1]);
    const int decays = m->param[1] != 0;
    EACH_PART(m->n, {
        vec param = K(load_part)(params + i, part);
        vec grad = K(load_part)(grads + i, part);
        if (decays) grad = v_fma(decay, param, grad);
        K(store_part)(params + i, v_fnma(lr, grad, param), part);
    });
}

/* p: lr, weight_decay, momentum, 1 - dampening, nesterov, first. */
static void K(sgd_momentum_step)(const ody_map *m) {
    real *params = m->out[0], *buffers = m->out[1];
    const real *grads = m->in[1];
    const vec lr = v_splat((real)m->param[0]), decay = v_splat((real)m->param[1]);
    const vec momentum = v_splat((real)m->param[2]), gain = v_splat((real)m->param[3]);
    const int decays = m->param[1] != 0, nesterov = m->param[4] != 0, first = m->param[5] != 0;
    EACH_PART(m->n, {
        vec param = K(load_part)(params + i, part);
        vec grad = K(load_part)(grads + i, part);
        if (decays) grad = v_fma(decay, param, grad);
        vec buffer = grad;
        if (!first) buffer = v_fma(momentum, K(load_part)(buffers + i, part), v_mul(gain, grad));
        vec direction = nesterov ? v_fma(momentum, buffer, grad) : buffer;
        K(store_part)(buffers + i, buffer, part);
        K(store_part)(params + i, v_fnma(lr, direction, param), part);
    });
}

/* Towards `target` by the share `gain`: (1 - gain) old + gain target. The first product is made from the gain, not from a
 * rounded 1 - gain, so that the two shares add up to one in float32 too. */
ODY_INLINE vec K(blend)(vec old, vec gain, vec target) { return v_fma(gain, target, v_fnma(gain, old, old)); }

/* p: lr / (1 - beta1^step), 1 - beta1, 1 - beta2, 1 / sqrt(1 - beta2^step), eps, and what decays: adam has weight_decay,
 * adamw ("decoupled") lr * weight_decay. */
ODY_INLINE void K(adam)(const ody_map *m, int decoupled) {
    real *params = m->out[0], *averages = m->out[1], *squares = m->out[2];
    const real *grads = m->in[1];
    const vec rate = v_splat((real)m->param[0]), corrected = v_splat((real)m->param[3]);
    const vec gain1 = v_splat((real)m->param[1]), gain2 = v_splat((real)m->param[2]);
    const vec eps = v_splat((real)m->param[4]), decay = v_splat((real)m->param[5]);
    const int decays = m->param[5] != 0;
    EACH_PART(m->n, {
        vec param = K(load_part)(params + i, part);
        vec grad = K(load_part)(grads + i, part);
        if (decoupled) param = v_fnma(decay, param, param);
        else if (decays) grad = v_fma(decay, param, grad);
        vec average = K(blend)(K(load_part)(averages + i, part), gain1, grad);
        vec square = K(blend)(K(load_part)(squares + i, part), gain2, v_mul(grad, grad));
        vec size = v_fma(v_sqrt(square), corrected, eps);
        K(store_part)(averages + i, average, part);
        K(store_part)(squares + i, square, part);
        K(store_part)(params + i, v_fnma(rate, v_div(average, size), param), part);
    });
}
static void K(adam_step)(const ody_map *m) { K(adam)(m, 0); }
static void K(adamw_step)(const ody_map *m) { K(adam)(m, 1); }

/* p: lr, weight_decay, 1 - alpha, eps, momentum. */
ODY_INLINE void K(rmsprop)(const ody_map *m, int centered, int with_momentum) {
    real *params = m->out[0], *squares = m->out[1], *averages = m->out[2], *buffers = m->out[centered ? 3 : 2];
    const real *grads = m->in[1];
    const vec lr = v_splat((real)m->param[0]), decay = v_splat((real)m->param[1]), gain = v_splat((real)m->param[2]);
    const vec eps = v_splat((real)m->param[3]), momentum = v_splat((real)m->param[4]);
    const int decays = m->param[1] != 0;
    EACH_PART(m->n, {
        vec param = K(load_part)(params + i, part);
        vec grad = K(load_part)(grads + i, part);
        if (decays) grad = v_fma(decay, param, grad);
        vec square = K(blend)(K(load_part)(squares + i, part), gain, v_mul(grad, grad));
        K(store_part)(squares + i, square, part);
        if (centered) {
            vec average = K(blend)(K(load_part)(averages + i, part), gain, grad);
            K(store_part)(averages + i, average, part);
            square = v_max(v_zero(), v_fnma(average, average, square)); /* rounding may leave less than nothing */
        }
        vec direction = v_div(grad, v_add(v_sqrt(square), eps));
        if (with_momentum) {
            direction = v_fma(momentum, K(load_part)(buffers + i, part), direction);
            K(store_part)(buffers + i, direction, part);
        }
        K(store_part)(params + i, v_fnma(lr, direction, param), part);
    });
}
static void K(rmsprop_step)(const ody_map *m) { K(rmsprop)(m, 0, 0); }
static void K(rmsprop_momentum_step)(const ody_map *m) { K(rmsprop)(m, 0, 1); }
static void K(rmsprop_centered_step)(const ody_map *m) { K(rmsprop)(m, 1, 0); }
static void K(rmsprop_centered_momentum_step)(const ody_map *m) { K(rmsprop)(m, 1, 1); }

/* p: lr, weight_decay, eps. */
static void K(adagrad_step)(const ody_map *m) {
    real *params = m->out[0], *sums = m->out[1];
    const real *grads = m->in[1];
    const vec lr = v_splat((real)m->param[0]), decay = v_splat((real)m->param[1]), eps = v_splat((real)m->param[2]);
    const int decays = m->param[1] != 0;
    EACH_PART(m->n, {
        vec param = K(load_part)(params + i, part);
        vec grad = K(load_part)(grads + i, part);
        if (decays) grad = v_fma(decay, param, grad);
        vec sum = v_fma(grad, grad, K(load_part)(sums + i, part));
        K(store_part)(sums + i, sum, part);
        K(store_part)(params + i, v_fnma(lr, v_div(grad, v_add(v_sqrt(sum), eps)), param), part);
    });
}
