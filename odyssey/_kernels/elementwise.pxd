# How an elementwise operation runs; the activations use it too.
#
# `cost` is one element's work in additions. p0 and p1 are the kernel's parameters, 0 where it has none. `names` are what
# the caller knows the operands as; `broadcasts` says whether their shapes may differ.
from cpython.object cimport PyObject

from odyssey._kernels.kernels cimport ody_map_fn

# The general path, for anything: up to four inputs (borrowed references).
cdef object elementwise(const char *op, tuple names, ody_map_fn f32, ody_map_fn f64, int count, PyObject **given,
                        object out, int cost, double p0, double p1, bint broadcasts)

# What entries call: the fast path where it fits, else the general one.
cdef object map1(const char *op, ody_map_fn f32, ody_map_fn f64, object x, object out, int cost, double p0, double p1)
cdef object map2(const char *op, tuple names, ody_map_fn f32, ody_map_fn f64, object a, object b, object out, int cost,
                 double p0, double p1, bint broadcasts)
cdef object map3(const char *op, tuple names, ody_map_fn f32, ody_map_fn f64, object a, object b, object c, object out,
                 int cost, double p0, double p1, bint broadcasts)

cdef inline object unary(const char *op, ody_map_fn f32, ody_map_fn f64, object x, object out, int cost):
    return map1(op, f32, f64, x, out, cost, 0, 0)

cdef inline object binary(const char *op, ody_map_fn f32, ody_map_fn f64, object a, object b, object out, int cost):
    return map2(op, ("a", "b"), f32, f64, a, b, out, cost, 0, 0, True)

cdef inline object backward(const char *op, ody_map_fn f32, ody_map_fn f64, object grad, object x, object out, int cost,
                            double p0, double p1):
    return map2(op, ("grad", "x"), f32, f64, grad, x, out, cost, p0, p1, False)
