/* The table of one instruction set: compiles every family for both element types and lists the kernels, a row each.
 * Included by isa_*.c, which name the set. A row may name another kernel than its slot where one text cannot serve. */
#include <odyssey/kernels.h>

#include "math_f32.h"
#include "math_f64.h"

#define ODY_REAL 32
#include "real.h"
#include "families.h"
#define ODY_REAL 64
#include "real.h"
#include "families.h"

#define ROW(name) .name##_f32 = name##_f32, .name##_f64 = name##_f64

const ody_kernels ODY_TABLE = {
    .name = ODY_NAME,
    /* elementwise */
    ROW(add), ROW(subtract), ROW(multiply), ROW(divide), ROW(minimum), ROW(maximum), ROW(power), ROW(scale), ROW(axpy),
    ROW(fma), ROW(exp), ROW(log), ROW(log2), ROW(sqrt), ROW(reciprocal), ROW(sin), ROW(cos), ROW(erf),
    ROW(erf_backward), ROW(clip), ROW(clip_backward),
    /* activations */
    ROW(relu), ROW(relu_backward), ROW(relu6), ROW(relu6_backward), ROW(hard_tanh), ROW(hard_tanh_backward),
    ROW(hard_sigmoid), ROW(hard_sigmoid_backward), ROW(hard_swish), ROW(hard_swish_backward), ROW(leaky_relu),
    ROW(leaky_relu_backward), ROW(prelu), ROW(prelu_backward), ROW(prelu_weight_terms), ROW(elu), ROW(elu_backward),
    ROW(selu), ROW(selu_backward), ROW(sigmoid), ROW(sigmoid_backward), ROW(tanh), ROW(tanh_backward), ROW(silu),
    ROW(silu_backward), ROW(swiglu), ROW(swiglu_backward), ROW(gelu), ROW(gelu_backward), ROW(gelu_tanh), ROW(gelu_tanh_backward), ROW(mish),
    ROW(mish_backward), ROW(softplus), ROW(softplus_backward),
    /* optimizer steps */
    ROW(sgd_step), ROW(sgd_momentum_step), ROW(adam_step), ROW(adamw_step),
    ROW(rmsprop_step), ROW(rmsprop_momentum_step), ROW(rmsprop_centered_step), ROW(rmsprop_centered_momentum_step),
    ROW(adagrad_step),
    /* matrix product */
    ROW(gemm), ROW(gemm_workspace),
    /* probes */
    ROW(fma_probe), ROW(read_probe), ROW(write_probe), ROW(copy_probe), ROW(add_probe),
    /* reductions */
    ROW(sum_rows), ROW(sum_columns), ROW(norm_rows), ROW(norm_columns), ROW(deviations_rows), ROW(deviations_columns),
    ROW(logsumexp_rows), ROW(logsumexp_columns), ROW(max_rows), ROW(max_columns), ROW(min_rows), ROW(min_columns),
    ROW(argmax_rows), ROW(argmax_columns), ROW(argmin_rows), ROW(argmin_columns), ROW(dot), ROW(transpose),
    /* softmax */
    ROW(softmax), ROW(log_softmax), ROW(softmax_backward), ROW(log_softmax_backward),
    /* cross entropy */
    ROW(cross_entropy), ROW(cross_entropy_backward),
    /* convolution */
    ROW(conv2d), ROW(conv2d_pack), ROW(conv2d_sizes), ROW(conv2d_backward_input), ROW(conv2d_backward_input_pack),
    ROW(conv2d_backward_input_sizes), ROW(conv2d_backward_weight), ROW(conv2d_backward_weight_sizes),
    /* attention */
    ROW(attention), ROW(attention_workspace), ROW(attention_backward), ROW(attention_backward_workspace),
    ROW(rotary_half), ROW(rotary_interleaved),
    /* filters */
    ROW(filter2d), ROW(filter2d_3x3), ROW(filter2d_5x5), ROW(filter2d_7x7),
    /* pooling */
    ROW(max_pool2d), ROW(max_pool2d_backward), ROW(avg_pool2d), ROW(avg_pool2d_backward), ROW(pool_workspace),
    ROW(global_avg_pool2d), ROW(global_avg_pool2d_backward),
    /* sampling */
    ROW(sample), ROW(topk_sample), ROW(topp_sample),
    /* norms */
    ROW(rms_norm), ROW(layer_norm), ROW(rms_norm_backward), ROW(layer_norm_backward), ROW(affine),
    ROW(normalise), ROW(normalise_backward), ROW(normalise_columns), ROW(normalise_backward_columns),
    /* embedding */
    ROW(embedding), ROW(embedding_backward),
    /* routing */
    ROW(moe_route), ROW(moe_route_backward), ROW(moe_combine), ROW(moe_combine_backward), ROW(moe_combine_backward_weights),
    /* dropout */
    ROW(dropout),
    /* Sinkhorn-Knopp */
    ROW(sinkhorn_matrices), ROW(sinkhorn_matrices_backward), ROW(sinkhorn_start), ROW(sinkhorn_rows), ROW(sinkhorn_columns),
    ROW(sinkhorn_few), ROW(sinkhorn_finish), ROW(sinkhorn_products), ROW(sinkhorn_rows_adjoint), ROW(sinkhorn_columns_adjoint),
    ROW(sinkhorn_gradient), ROW(sinkhorn_implicit_rows), ROW(sinkhorn_implicit_columns),
    ROW(transport_rows), ROW(transport_columns), ROW(transport_exact), ROW(transport_gradient),
    /* hyper-connections */
    ROW(hyper_pre), ROW(hyper_pre_backward), ROW(hyper_workspace), ROW(hyper_post), ROW(hyper_post_backward),
    /* distances */
    ROW(euclidean_distance), ROW(poincare_distance), ROW(spherical_distance), ROW(euclidean_distance_backward),
    ROW(poincare_distance_backward), ROW(spherical_distance_backward), ROW(ball_points), ROW(direction_points),
    ROW(euclidean_pairs), ROW(poincare_pairs), ROW(spherical_pairs), ROW(euclidean_pairs_backward),
    ROW(poincare_pairs_backward), ROW(spherical_pairs_backward),
    /* maps of the ball */
    ROW(mobius_add), ROW(exp_map), ROW(log_map), ROW(project_to_ball), ROW(gyration),
};
