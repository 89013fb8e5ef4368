#define ODY_ISA_AVX512
#define ODY_TABLE ody_kernels_avx512
#define ODY_NAME "avx512"
#include "vec.h"
#include "table.h"
