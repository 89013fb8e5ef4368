# How an elementwise operation runs; the activations and the optimizer steps use it too.
from cpython.object cimport PyObject

from odyssey._kernels.kernels cimport ody_map_fn

# One operation on up to four inputs (borrowed references) broadcast together; `cost` is one element's work in additions.
cdef object elementwise(const char *op, ody_map_fn f32, ody_map_fn f64, int count, PyObject **inputs, object out,
                        const double *param, int cost)
cdef object unary(const char *op, ody_map_fn f32, ody_map_fn f64, object x, object out, int cost)
cdef object binary(const char *op, ody_map_fn f32, ody_map_fn f64, object a, object b, object out, int cost)
