# What convolution shares with its transpose.
cimport cython
from numpy cimport ndarray, npy_intp

from odyssey._kernels.kernels cimport ody_conv


cdef enum Direction:
    FORWARD
    BACKWARD_INPUT
    BACKWARD_WEIGHT


# Checks an image's shape against a weight's and fills in the sizes of the convolution.
cdef int set_up(ody_conv *v, const npy_intp *image, const npy_intp *weight, object stride, object padding,
                object dilation, object groups, const char *op) except -1
# An operand of four dimensions; of any real type where type_num is negative.
cdef ndarray image_like(object x, int type_num, const char *op, str name)
# (channels,) of bias, checked and contiguous; None where there is none.
cdef ndarray bias_like(object bias, npy_intp outputs, ndarray weight, int type_num, const char *op)
# Computes into result, or by way of a copy where its layout is not the kernels'; returns out, or result where that is None.
cdef object run(const char *op, Direction direction, ody_conv *v, ndarray result, object out, int type_num,
                bint packed=*)


@cython.final
cdef class PackedKernel:
    cdef readonly ndarray weight
    cdef tuple packed # None, or what it is packed for, and the bytes

    cdef ndarray ready(self, ody_conv *v, int type_num)
