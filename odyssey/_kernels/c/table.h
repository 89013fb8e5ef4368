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
    ROW(add),
    ROW(exp),
    /* reductions */
    ROW(sum_rows), ROW(sum_columns), ROW(norm_rows), ROW(norm_columns), ROW(deviations_rows), ROW(deviations_columns),
    ROW(logsumexp_rows), ROW(logsumexp_columns), ROW(max_rows), ROW(max_columns), ROW(min_rows), ROW(min_columns),
    ROW(argmax_rows), ROW(argmax_columns), ROW(argmin_rows), ROW(argmin_columns), ROW(dot), ROW(transpose),
};
