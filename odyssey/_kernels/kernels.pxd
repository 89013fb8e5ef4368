# The slots of include/odyssey/kernels.h, as Cython sees them. The contracts stand there.
from libc.stddef cimport ptrdiff_t, size_t


cdef extern from "odyssey/kernels.h" nogil:
    ctypedef struct ody_map:
        const void *in_ "in"[4]
        void *out[3]
        ptrdiff_t step[4]
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
    ctypedef void (*ody_gemm_fn)(const ody_gemm *) noexcept nogil
    ctypedef size_t (*ody_gemm_workspace_fn)(const ody_gemm *) noexcept nogil

    ctypedef struct ody_conv:
        size_t batch, channels, height, width, outputs, out_height, out_width
        size_t kernel_h, kernel_w, stride_y, stride_x, padding_y, padding_x, dilation_y, dilation_x, groups
        void *x
        void *weight
        void *y
        const void *bias
        int activation
    ctypedef struct ody_conv_sizes:
        size_t packed, workspace, tiles, rows, images
    ctypedef void (*ody_conv_fn)(const ody_conv *) noexcept nogil
    ctypedef void (*ody_conv_sizes_fn)(const ody_conv *, ody_conv_sizes *) noexcept nogil

    ctypedef struct ody_pool:
        size_t planes, height, width, out_height, out_width
        size_t kernel_h, kernel_w, stride_y, stride_x, padding_y, padding_x
        const void *in_ "in"[2]
        void *out
    ctypedef void (*ody_pool_fn)(const ody_pool *) noexcept nogil
    ctypedef size_t (*ody_pool_workspace_fn)(const ody_pool *) noexcept nogil

    ctypedef struct ody_kernels:
        const char *name
        # elementwise
        ody_map_fn add_f32, add_f64
        ody_map_fn exp_f32, exp_f64
        # matrix product
        ody_gemm_fn gemm_f32, gemm_f64
        ody_gemm_workspace_fn gemm_workspace_f32, gemm_workspace_f64
        # convolution
        ody_conv_fn conv2d_f32, conv2d_f64
        ody_conv_fn conv2d_pack_f32, conv2d_pack_f64
        ody_conv_sizes_fn conv2d_sizes_f32, conv2d_sizes_f64
        ody_conv_fn conv2d_backward_input_f32, conv2d_backward_input_f64
        ody_conv_fn conv2d_backward_input_pack_f32, conv2d_backward_input_pack_f64
        ody_conv_sizes_fn conv2d_backward_input_sizes_f32, conv2d_backward_input_sizes_f64
        ody_conv_fn conv2d_backward_weight_f32, conv2d_backward_weight_f64
        ody_conv_sizes_fn conv2d_backward_weight_sizes_f32, conv2d_backward_weight_sizes_f64
        # pooling
        ody_pool_fn max_pool2d_f32, max_pool2d_f64
        ody_pool_fn max_pool2d_backward_f32, max_pool2d_backward_f64
        ody_pool_fn avg_pool2d_f32, avg_pool2d_f64
        ody_pool_fn avg_pool2d_backward_f32, avg_pool2d_backward_f64
        ody_pool_workspace_fn pool_workspace_f32, pool_workspace_f64
        ody_pool_fn global_avg_pool2d_f32, global_avg_pool2d_f64
        ody_pool_fn global_avg_pool2d_backward_f32, global_avg_pool2d_backward_f64
