# The slots of include/odyssey/kernels.h, as Cython sees them. The contracts stand there.
from libc.stddef cimport ptrdiff_t, size_t
from libc.stdint cimport int64_t
from libc.stdint cimport int64_t, uint32_t, uint64_t


cdef extern from "odyssey/kernels.h" nogil:
    ctypedef struct ody_map:
        const void *in_ "in"[5]
        void *out[4]
        ptrdiff_t step[5]
        size_t n
        double param[8]
        unsigned flags
    ctypedef void (*ody_map_fn)(const ody_map *) noexcept nogil

    ctypedef struct ody_rows:
        const void *in_ "in"[4]
        void *out[3]
        ptrdiff_t in_step[4]
        ptrdiff_t out_step[3]
        size_t rows
        size_t n
        double param[4]
        unsigned flags
    ctypedef void (*ody_rows_fn)(const ody_rows *) noexcept nogil

    enum ody_activation:
        ODY_IDENTITY
        ODY_RELU
        ODY_TANH
        ODY_SIGMOID
        ODY_GELU
        ODY_SILU

    ctypedef struct ody_sample:
        const void *logits
        size_t n, k
        double p, inverse, uniform
        int64_t *out
        void *workspace
    ctypedef void (*ody_sample_fn)(const ody_sample *) noexcept nogil
    enum:
        ODY_SAMPLE_NAN
        ODY_SAMPLE_NONE
    size_t ODY_SAMPLE_BYTES(size_t n)

    enum ody_format:
        ODY_STRIDED
        ODY_PANELS
        ODY_BF16
        ODY_F16
        ODY_INT8
        ODY_BF16_ROWS
        ODY_F16_ROWS

    ctypedef struct ody_gemm:
        size_t m, n, k
        const void *a
        const void *b
        void *c
        ptrdiff_t a_row, a_col, b_row, b_col, c_row
        const void *bias
        double alpha, beta
        int activation
        void *workspace
        int format
        const void *scale
    ctypedef void (*ody_gemm_fn)(const ody_gemm *) noexcept nogil
    ctypedef size_t (*ody_gemm_workspace_fn)(const ody_gemm *) noexcept nogil

    ctypedef struct ody_probe:
        const void *in_ "in"[2]
        void *out
        size_t n, rounds
        unsigned flags
    ctypedef double (*ody_probe_fn)(const ody_probe *) noexcept nogil

    enum:
        ODY_STREAM
        ODY_PARTS
        ODY_GIVEN
    ctypedef struct ody_columns:
        const void *in_ "in"[2]
        void *out
        ptrdiff_t in_step
        ptrdiff_t out_step
        size_t m
        size_t n
        double param[4]
        unsigned flags
        void *scratch
    ctypedef void (*ody_columns_fn)(const ody_columns *) noexcept nogil
    ctypedef struct ody_conv:
        size_t batch, channels, height, width, outputs, out_height, out_width
        size_t kernel_h, kernel_w, stride_y, stride_x, padding_y, padding_x, dilation_y, dilation_x, groups
        void *x
        void *weight
        void *y
        const void *bias
        void *packed
        int activation
    ctypedef struct ody_conv_sizes:
        size_t packed, workspace, tiles, rows, images, planes
    ctypedef void (*ody_conv_fn)(const ody_conv *) noexcept nogil
    ctypedef void (*ody_conv_sizes_fn)(const ody_conv *, ody_conv_sizes *) noexcept nogil

    ctypedef struct ody_pool:
        size_t planes, height, width, out_height, out_width
        size_t kernel_h, kernel_w, stride_y, stride_x, padding_y, padding_x
        const void *in_ "in"[2]
        void *out
    ctypedef void (*ody_pool_fn)(const ody_pool *) noexcept nogil
    ctypedef size_t (*ody_pool_workspace_fn)(const ody_pool *) noexcept nogil

    ctypedef struct ody_filter:
        pass
    ctypedef void (*ody_filter_fn)(const ody_filter *) noexcept nogil

    enum:
        ODY_MASK_BYTES
        ODY_MASK_ADD
    ctypedef struct ody_attention:
        size_t heads, queries, keys, depth, value_depth
        const void *query
        const void *key
        const void *value
        void *out
        ptrdiff_t query_head, query_row, key_row, value_row, out_head, out_row
        const void *attn_mask
        ptrdiff_t mask_head, mask_row, mask_key
        int mask_kind, causal
        double scale
        void *most
        void *reciprocal
        size_t row, rows
    ctypedef struct ody_attention_gradient:
        ody_attention forward
        const void *grad
        ptrdiff_t grad_head, grad_row
        void *dquery
        void *dkey
        void *dvalue
    ctypedef void (*ody_attention_fn)(const ody_attention *) noexcept nogil
    ctypedef void (*ody_attention_backward_fn)(const ody_attention_gradient *) noexcept nogil
    ctypedef size_t (*ody_attention_workspace_fn)(const ody_attention *) noexcept nogil
    ctypedef struct ody_norm:
        const void *x
        const void *grad
        const void *weight
        const void *bias
        void *out
        void *mean
        void *variance
        void *grad_sums
        void *product_sums
        ptrdiff_t group_step, run_step, affine_group, affine_run
        size_t groups, runs, run, first, period
        double eps
        unsigned flags
    ctypedef void (*ody_norm_fn)(const ody_norm *) noexcept nogil

    ctypedef struct ody_scatter:
        const void *grad
        void *out
        const int64_t *order
        const int64_t *starts
        ptrdiff_t grad_step, out_step
        size_t rows, n
        unsigned flags
    ctypedef void (*ody_scatter_fn)(const ody_scatter *) noexcept nogil

    ctypedef struct ody_combine:
        const void *x
        const void *weights
        const void *grad
        const int64_t *rows
        const int64_t *order
        const int64_t *starts
        void *out
        ptrdiff_t x_step, grad_step, out_step
        size_t tokens, k, n
        unsigned flags
    ctypedef void (*ody_combine_fn)(const ody_combine *) noexcept nogil

    ctypedef struct ody_dropout:
        const void *in_ "in"
        void *out
        size_t n
        uint64_t first, seed, offset
        uint32_t threshold
        double scale
        unsigned flags
    ctypedef void (*ody_dropout_fn)(const ody_dropout *) noexcept nogil

    ctypedef struct ody_sinkhorn_small:
        pass
    ctypedef void (*ody_sinkhorn_small_fn)(const ody_sinkhorn_small *) noexcept nogil
    ctypedef struct ody_sinkhorn:
        pass
    ctypedef void (*ody_sinkhorn_fn)(const ody_sinkhorn *) noexcept nogil

    ctypedef struct ody_transport:
        pass
    ctypedef void (*ody_transport_fn)(const ody_transport *) noexcept nogil
    enum ody_hyper_kind:
        ODY_HYPER_DEFAULT
        ODY_HYPER_PAPER
        ODY_HYPER_HEAD
    enum:
        ODY_MOST_STREAMS
    ctypedef struct ody_hyper:
        size_t tokens, streams, hidden, iterations, group
        int kind
        double eps, norm_eps
        const void *x
        const void *fn
        const void *base
        const void *scale
        void *collapsed
        void *post
        void *comb
        void *mix
        const void *grad_collapsed
        const void *grad_post
        const void *grad_comb
        void *dx
        void *dproduct
        void *terms
        void *workspace
    ctypedef void (*ody_hyper_fn)(const ody_hyper *) noexcept nogil
    ctypedef size_t (*ody_hyper_workspace_fn)(const ody_hyper *, int) noexcept nogil

    ctypedef struct ody_mixing:
        size_t tokens, streams, hidden
        const void *f
        const void *x
        const void *post
        const void *comb
        const void *grad
        void *out
        void *df
        void *dx
        void *dpost
        void *dcomb
        unsigned flags
    ctypedef void (*ody_mixing_fn)(const ody_mixing *) noexcept nogil
    ctypedef struct ody_pairs:
        const void *x
        const void *y
        const void *x_size
        const void *x_gap
        const void *y_size
        const void *y_gap
        const void *grad
        void *out
        ptrdiff_t x_step, y_step, out_step, grad_step, grad_column
        size_t rows, columns, n
        double param[2]
    ctypedef void (*ody_pairs_fn)(const ody_pairs *) noexcept nogil

    ctypedef struct ody_kernels:
        const char *name
        # elementwise
        ody_map_fn add_f32, add_f64
        ody_map_fn subtract_f32, subtract_f64
        ody_map_fn multiply_f32, multiply_f64
        ody_map_fn divide_f32, divide_f64
        ody_map_fn minimum_f32, minimum_f64
        ody_map_fn maximum_f32, maximum_f64
        ody_map_fn power_f32, power_f64
        ody_map_fn scale_f32, scale_f64
        ody_map_fn axpy_f32, axpy_f64
        ody_map_fn fma_f32, fma_f64
        ody_map_fn exp_f32, exp_f64
        ody_map_fn log_f32, log_f64
        ody_map_fn log2_f32, log2_f64
        ody_map_fn sqrt_f32, sqrt_f64
        ody_map_fn reciprocal_f32, reciprocal_f64
        ody_map_fn sin_f32, sin_f64
        ody_map_fn cos_f32, cos_f64
        ody_map_fn erf_f32, erf_f64
        ody_map_fn erf_backward_f32, erf_backward_f64
        ody_map_fn clip_f32, clip_f64
        ody_map_fn clip_backward_f32, clip_backward_f64
        # activations
        ody_map_fn relu_f32, relu_f64
        ody_map_fn relu_backward_f32, relu_backward_f64
        ody_map_fn relu6_f32, relu6_f64
        ody_map_fn relu6_backward_f32, relu6_backward_f64
        ody_map_fn hard_tanh_f32, hard_tanh_f64
        ody_map_fn hard_tanh_backward_f32, hard_tanh_backward_f64
        ody_map_fn hard_sigmoid_f32, hard_sigmoid_f64
        ody_map_fn hard_sigmoid_backward_f32, hard_sigmoid_backward_f64
        ody_map_fn hard_swish_f32, hard_swish_f64
        ody_map_fn hard_swish_backward_f32, hard_swish_backward_f64
        ody_map_fn leaky_relu_f32, leaky_relu_f64
        ody_map_fn leaky_relu_backward_f32, leaky_relu_backward_f64
        ody_map_fn prelu_f32, prelu_f64
        ody_map_fn prelu_backward_f32, prelu_backward_f64
        ody_map_fn prelu_weight_terms_f32, prelu_weight_terms_f64
        ody_map_fn elu_f32, elu_f64
        ody_map_fn elu_backward_f32, elu_backward_f64
        ody_map_fn selu_f32, selu_f64
        ody_map_fn selu_backward_f32, selu_backward_f64
        ody_map_fn sigmoid_f32, sigmoid_f64
        ody_map_fn sigmoid_backward_f32, sigmoid_backward_f64
        ody_map_fn tanh_f32, tanh_f64
        ody_map_fn tanh_backward_f32, tanh_backward_f64
        ody_map_fn silu_f32, silu_f64
        ody_map_fn silu_backward_f32, silu_backward_f64
        ody_map_fn swiglu_f32, swiglu_f64
        ody_map_fn swiglu_backward_f32, swiglu_backward_f64
        ody_map_fn gelu_f32, gelu_f64
        ody_map_fn gelu_backward_f32, gelu_backward_f64
        ody_map_fn gelu_tanh_f32, gelu_tanh_f64
        ody_map_fn gelu_tanh_backward_f32, gelu_tanh_backward_f64
        ody_map_fn mish_f32, mish_f64
        ody_map_fn mish_backward_f32, mish_backward_f64
        ody_map_fn softplus_f32, softplus_f64
        ody_map_fn softplus_backward_f32, softplus_backward_f64
        # optimizer steps
        ody_map_fn sgd_step_f32, sgd_step_f64
        ody_map_fn sgd_momentum_step_f32, sgd_momentum_step_f64
        ody_map_fn adam_step_f32, adam_step_f64
        ody_map_fn adamw_step_f32, adamw_step_f64
        ody_map_fn rmsprop_step_f32, rmsprop_step_f64
        ody_map_fn rmsprop_momentum_step_f32, rmsprop_momentum_step_f64
        ody_map_fn rmsprop_centered_step_f32, rmsprop_centered_step_f64
        ody_map_fn rmsprop_centered_momentum_step_f32, rmsprop_centered_momentum_step_f64
        ody_map_fn adagrad_step_f32, adagrad_step_f64
        # matrix product
        ody_gemm_fn gemm_f32, gemm_f64
        ody_gemm_workspace_fn gemm_workspace_f32, gemm_workspace_f64
        # the machine's limits
        ody_probe_fn fma_probe_f32, fma_probe_f64
        ody_probe_fn read_probe_f32, read_probe_f64
        ody_probe_fn write_probe_f32, write_probe_f64
        ody_probe_fn copy_probe_f32, copy_probe_f64
        ody_probe_fn add_probe_f32, add_probe_f64
        # reductions
        ody_rows_fn sum_rows_f32, sum_rows_f64
        ody_columns_fn sum_columns_f32, sum_columns_f64
        ody_rows_fn norm_rows_f32, norm_rows_f64
        ody_columns_fn norm_columns_f32, norm_columns_f64
        ody_rows_fn deviations_rows_f32, deviations_rows_f64
        ody_columns_fn deviations_columns_f32, deviations_columns_f64
        ody_rows_fn logsumexp_rows_f32, logsumexp_rows_f64
        ody_columns_fn logsumexp_columns_f32, logsumexp_columns_f64
        ody_rows_fn max_rows_f32, max_rows_f64
        ody_columns_fn max_columns_f32, max_columns_f64
        ody_rows_fn min_rows_f32, min_rows_f64
        ody_columns_fn min_columns_f32, min_columns_f64
        ody_rows_fn argmax_rows_f32, argmax_rows_f64
        ody_columns_fn argmax_columns_f32, argmax_columns_f64
        ody_rows_fn argmin_rows_f32, argmin_rows_f64
        ody_columns_fn argmin_columns_f32, argmin_columns_f64
        ody_rows_fn dot_f32, dot_f64
        ody_rows_fn transpose_f32, transpose_f64
        # softmax
        ody_rows_fn softmax_f32, softmax_f64
        ody_rows_fn log_softmax_f32, log_softmax_f64
        ody_rows_fn softmax_backward_f32, softmax_backward_f64
        ody_rows_fn log_softmax_backward_f32, log_softmax_backward_f64
        # convolution
        ody_conv_fn conv2d_f32, conv2d_f64
        ody_conv_fn conv2d_pack_f32, conv2d_pack_f64
        ody_conv_sizes_fn conv2d_sizes_f32, conv2d_sizes_f64
        ody_conv_fn conv2d_backward_input_f32, conv2d_backward_input_f64
        ody_conv_fn conv2d_backward_input_pack_f32, conv2d_backward_input_pack_f64
        ody_conv_sizes_fn conv2d_backward_input_sizes_f32, conv2d_backward_input_sizes_f64
        ody_conv_fn conv2d_backward_weight_f32, conv2d_backward_weight_f64
        ody_conv_sizes_fn conv2d_backward_weight_sizes_f32, conv2d_backward_weight_sizes_f64
        # attention
        ody_attention_fn attention_f32, attention_f64
        ody_attention_workspace_fn attention_workspace_f32, attention_workspace_f64
        ody_attention_backward_fn attention_backward_f32, attention_backward_f64
        ody_attention_workspace_fn attention_backward_workspace_f32, attention_backward_workspace_f64
        ody_rows_fn rotary_half_f32, rotary_half_f64
        ody_rows_fn rotary_interleaved_f32, rotary_interleaved_f64
        # filters
        ody_filter_fn filter2d_f32, filter2d_f64
        ody_filter_fn filter2d_3x3_f32, filter2d_3x3_f64
        ody_filter_fn filter2d_5x5_f32, filter2d_5x5_f64
        ody_filter_fn filter2d_7x7_f32, filter2d_7x7_f64
        # pooling
        ody_pool_fn max_pool2d_f32, max_pool2d_f64
        ody_pool_fn max_pool2d_backward_f32, max_pool2d_backward_f64
        ody_pool_fn avg_pool2d_f32, avg_pool2d_f64
        ody_pool_fn avg_pool2d_backward_f32, avg_pool2d_backward_f64
        ody_pool_workspace_fn pool_workspace_f32, pool_workspace_f64
        ody_pool_fn global_avg_pool2d_f32, global_avg_pool2d_f64
        ody_pool_fn global_avg_pool2d_backward_f32, global_avg_pool2d_backward_f64
        # cross entropy
        ody_rows_fn cross_entropy_f32, cross_entropy_f64
        ody_rows_fn cross_entropy_backward_f32, cross_entropy_backward_f64
        # sampling
        ody_sample_fn sample_f32, sample_f64
        ody_sample_fn topk_sample_f32, topk_sample_f64
        ody_sample_fn topp_sample_f32, topp_sample_f64
        # norms
        ody_rows_fn rms_norm_f32, rms_norm_f64
        ody_rows_fn layer_norm_f32, layer_norm_f64
        ody_rows_fn rms_norm_backward_f32, rms_norm_backward_f64
        ody_rows_fn layer_norm_backward_f32, layer_norm_backward_f64
        ody_rows_fn affine_f32, affine_f64
        ody_norm_fn normalise_f32, normalise_f64
        ody_norm_fn normalise_backward_f32, normalise_backward_f64
        ody_norm_fn normalise_columns_f32, normalise_columns_f64
        ody_norm_fn normalise_backward_columns_f32, normalise_backward_columns_f64
        # embedding
        ody_rows_fn embedding_f32, embedding_f64
        ody_scatter_fn embedding_backward_f32, embedding_backward_f64
        # routing
        ody_rows_fn moe_route_f32, moe_route_f64
        ody_rows_fn moe_route_backward_f32, moe_route_backward_f64
        ody_combine_fn moe_combine_f32, moe_combine_f64
        ody_combine_fn moe_combine_backward_f32, moe_combine_backward_f64
        ody_combine_fn moe_combine_backward_weights_f32, moe_combine_backward_weights_f64
        # dropout
        ody_dropout_fn dropout_f32, dropout_f64
        # Sinkhorn-Knopp
        ody_sinkhorn_small_fn sinkhorn_matrices_f32, sinkhorn_matrices_f64
        ody_sinkhorn_small_fn sinkhorn_matrices_backward_f32, sinkhorn_matrices_backward_f64
        ody_sinkhorn_fn sinkhorn_start_f32, sinkhorn_start_f64
        ody_sinkhorn_fn sinkhorn_rows_f32, sinkhorn_rows_f64
        ody_sinkhorn_fn sinkhorn_columns_f32, sinkhorn_columns_f64
        ody_sinkhorn_fn sinkhorn_few_f32, sinkhorn_few_f64
        ody_sinkhorn_fn sinkhorn_finish_f32, sinkhorn_finish_f64
        ody_sinkhorn_fn sinkhorn_products_f32, sinkhorn_products_f64
        ody_sinkhorn_fn sinkhorn_rows_adjoint_f32, sinkhorn_rows_adjoint_f64
        ody_sinkhorn_fn sinkhorn_columns_adjoint_f32, sinkhorn_columns_adjoint_f64
        ody_sinkhorn_fn sinkhorn_gradient_f32, sinkhorn_gradient_f64
        ody_sinkhorn_fn sinkhorn_implicit_rows_f32, sinkhorn_implicit_rows_f64
        ody_sinkhorn_fn sinkhorn_implicit_columns_f32, sinkhorn_implicit_columns_f64
        ody_transport_fn transport_rows_f32, transport_rows_f64
        ody_transport_fn transport_columns_f32, transport_columns_f64
        ody_transport_fn transport_exact_f32, transport_exact_f64
        ody_transport_fn transport_gradient_f32, transport_gradient_f64
        # hyper-connections
        ody_hyper_fn hyper_pre_f32, hyper_pre_f64
        ody_hyper_fn hyper_pre_backward_f32, hyper_pre_backward_f64
        ody_hyper_workspace_fn hyper_workspace_f32, hyper_workspace_f64
        ody_mixing_fn hyper_post_f32, hyper_post_f64
        ody_mixing_fn hyper_post_backward_f32, hyper_post_backward_f64
        # distances
        ody_rows_fn euclidean_distance_f32, euclidean_distance_f64
        ody_rows_fn poincare_distance_f32, poincare_distance_f64
        ody_rows_fn spherical_distance_f32, spherical_distance_f64
        ody_rows_fn euclidean_distance_backward_f32, euclidean_distance_backward_f64
        ody_rows_fn poincare_distance_backward_f32, poincare_distance_backward_f64
        ody_rows_fn spherical_distance_backward_f32, spherical_distance_backward_f64
        ody_rows_fn ball_points_f32, ball_points_f64
        ody_rows_fn direction_points_f32, direction_points_f64
        ody_pairs_fn euclidean_pairs_f32, euclidean_pairs_f64
        ody_pairs_fn poincare_pairs_f32, poincare_pairs_f64
        ody_pairs_fn spherical_pairs_f32, spherical_pairs_f64
        ody_pairs_fn euclidean_pairs_backward_f32, euclidean_pairs_backward_f64
        ody_pairs_fn poincare_pairs_backward_f32, poincare_pairs_backward_f64
        ody_pairs_fn spherical_pairs_backward_f32, spherical_pairs_backward_f64
        # maps of the ball
        ody_rows_fn mobius_add_f32, mobius_add_f64
        ody_rows_fn exp_map_f32, exp_map_f64
        ody_rows_fn log_map_f32, log_map_f64
        ody_rows_fn project_to_ball_f32, project_to_ball_f64
        ody_rows_fn gyration_f32, gyration_f64
