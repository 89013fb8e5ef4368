#define ODY_ISA_NEON
#define ODY_TABLE ody_kernels_neon
#define ODY_NAME "neon"
#include "vec.h"
#include "table.h"
