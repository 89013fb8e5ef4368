/* Every family's text, for the element type that real.h has bound. Included once per type by table.h. */
#include "map.h"
#include "elementwise.h"
#include "activations.h"
#include "optim.h"
#include "epilogue.h"
#include "gemm.h"
#include "probe.h"
