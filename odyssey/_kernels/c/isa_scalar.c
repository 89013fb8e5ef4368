#define ODY_ISA_SCALAR
#define ODY_TABLE ody_kernels_scalar
#define ODY_NAME "scalar"
#include "vec.h"
#include "table.h"
