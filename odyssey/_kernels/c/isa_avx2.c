#define ODY_ISA_AVX2
#define ODY_TABLE ody_kernels_avx2
#define ODY_NAME "avx2"
#include "vec.h"
#include "table.h"
