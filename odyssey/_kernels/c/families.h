/* Every family's text, for the element type that real.h has bound. Included once per type by table.h. */
#include "elementwise.h"
#include "epilogue.h"
#include "gemm.h"
#include "conv_planes.h"
#include "conv.h"
#include "conv_weight.h"
#include "pooling.h"
