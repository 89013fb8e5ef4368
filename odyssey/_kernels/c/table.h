/* The table of one instruction set: compiles every family for both element types and lists the kernels, a row each.
 * Included by isa_*.c, which name the set. A row may name another kernel than its slot where one text cannot serve. */
#include <odyssey/kernels.h>

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
    ROW(add),
    ROW(exp),
    /* matrix product */
    ROW(gemm),
    ROW(gemm_workspace),
    /* convolution */
    ROW(conv2d),
    ROW(conv2d_pack),
    ROW(conv2d_sizes),
    ROW(conv2d_backward_input),
    ROW(conv2d_backward_input_pack),
    ROW(conv2d_backward_input_sizes),
    ROW(conv2d_backward_weight),
    ROW(conv2d_backward_weight_sizes),
    /* pooling */
    ROW(max_pool2d),
    ROW(max_pool2d_backward),
    ROW(avg_pool2d),
    ROW(avg_pool2d_backward),
    ROW(pool_workspace),
    ROW(global_avg_pool2d),
    ROW(global_avg_pool2d_backward),
};
