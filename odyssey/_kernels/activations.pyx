"""Activations and their gradients: PyTorch's formulas and defaults, one pass over memory, the GIL released.

Shapes, dtypes and errors are the same for all. x, grad and y are float32 or float64 (else DTypeError), of any shape; a
backward's two arrays have one shape and dtype (else ShapeError, DTypeError). `out` is a writable array of the result's
shape and dtype (else LayoutError, ShapeError, DTypeError), may be an operand itself and may not partly overlap one (else
LayoutError); it is returned, or else a new array, or without axes a NumPy scalar. Options are rounded to x's dtype first.
NaN goes through; at infinities the results are the limits, so silu(-inf) is -0.
"""
from libc.stddef cimport size_t
from numpy cimport NPY_FLOAT, PyArray_DATA, PyArray_DIMS, PyArray_NDIM, PyArray_SIZE, ndarray

from odyssey._kernels.array cimport GIL_WORTH, as_array, contiguous, describe, new_like, real_type, same_type
from odyssey._kernels.dispatch cimport K, run_map
from odyssey._kernels.elementwise cimport backward, map1, map2, map3, unary
from odyssey._kernels.kernels cimport ody_map, ody_map_fn
cimport numpy as cnp

import numpy as np

from odyssey._kernels.reductions import sum
from odyssey.errors import ShapeError

cnp.import_array()


# ---- piecewise linear -------------------------------------------------------------------------------------------------

def relu(x: ArrayLike, out: Array | None = None) -> Array:
    """max(x, 0): 0 where x < 0, else x; so -0 stays -0 and NaN stays NaN. `torch.relu`.

    >>> od.relu(np.float32([-2, 3]))
    array([0., 3.], dtype=float32)
    """
    return unary("relu", K.relu_f32, K.relu_f64, x, out, 1)


def relu_backward(grad: ArrayLike, x: ArrayLike, out: Array | None = None) -> Array:
    """0 where x <= 0, else grad.

    >>> od.relu_backward(np.float32([5, 6, 7]), np.float32([-2, 0, 3]))
    array([0., 0., 7.], dtype=float32)
    """
    return backward("relu_backward", K.relu_backward_f32, K.relu_backward_f64, grad, x, out, 1, 0, 0)


def relu6(x: ArrayLike, out: Array | None = None) -> Array:
    """min(max(x, 0), 6). `torch.nn.functional.relu6`.

    >>> od.relu6(np.float32([-2, 3, 9]))
    array([0., 3., 6.], dtype=float32)
    """
    return unary("relu6", K.relu6_f32, K.relu6_f64, x, out, 1)


def relu6_backward(grad: ArrayLike, x: ArrayLike, out: Array | None = None) -> Array:
    """grad where 0 < x < 6, else 0.

    >>> od.relu6_backward(np.float32([5, 6, 7]), np.float32([-2, 3, 9]))
    array([0., 6., 0.], dtype=float32)
    """
    return backward("relu6_backward", K.relu6_backward_f32, K.relu6_backward_f64, grad, x, out, 1, 0, 0)


def leaky_relu(x: ArrayLike, negative_slope: float = 0.01, out: Array | None = None) -> Array:
    """x where x > 0, else negative_slope * x. `torch.nn.functional.leaky_relu`.

    >>> od.leaky_relu(np.float32([-2, 3]), 0.5)
    array([-1.,  3.], dtype=float32)
    """
    return map1("leaky_relu", K.leaky_relu_f32, K.leaky_relu_f64, x, out, 1, negative_slope, 0)


def leaky_relu_backward(
    grad: ArrayLike, x: ArrayLike, negative_slope: float = 0.01, out: Array | None = None
) -> Array:
    """grad where x > 0, else negative_slope * grad.

    >>> od.leaky_relu_backward(np.float32([6, 7]), np.float32([-2, 3]), 0.5)
    array([3., 7.], dtype=float32)
    """
    return backward("leaky_relu_backward", K.leaky_relu_backward_f32, K.leaky_relu_backward_f64, grad, x, out, 1,
                    negative_slope, 0)


cdef ndarray per_channel(const char *op, ndarray x, object weight):
    """weight, shaped so that it broadcasts over axis 1 of x."""
    cdef ndarray w = as_array(weight, op)
    same_type(w, real_type(x, op, "x"), op, "weight")
    if PyArray_SIZE(w) == 1:
        return w.reshape(())
    if PyArray_NDIM(w) == 1 and PyArray_NDIM(x) >= 2 and PyArray_DIMS(w)[0] == PyArray_DIMS(x)[1]:
        return w.reshape((-1,) + (1,) * (PyArray_NDIM(x) - 2))
    channels = f", or {PyArray_DIMS(x)[1]}: one for each channel (axis 1 of x)" if PyArray_NDIM(x) >= 2 else ""
    raise ShapeError(
        f"{op.decode()}: weight must have one entry{channels}\n"
        f"  x: {describe(x)}    weight: {describe(w)}")


def prelu(x: ArrayLike, weight: ArrayLike, out: Array | None = None) -> Array:
    """x where x > 0, else weight * x. `torch.nn.functional.prelu`.

    weight has one entry, or is (C,) where x is (N, C, ...): one entry for each channel; else ShapeError.

    >>> od.prelu(np.float32([[-2, -2]]), np.float32([0.5, 0.25]))
    array([[-1. , -0.5]], dtype=float32)
    """
    cdef ndarray array = as_array(x, "prelu")
    return map2("prelu", ("x", "weight"), K.prelu_f32, K.prelu_f64, array, per_channel("prelu", array, weight), out, 1,
                0, 0, True)


def prelu_backward(grad: ArrayLike, x: ArrayLike, weight: ArrayLike) -> tuple[Array, Array]:
    """(dx, dweight): grad where x > 0, else weight * grad; and the sum of x * grad over the x <= 0 that an entry served.

    >>> od.prelu_backward(np.float32([[3, 4]]), np.float32([[-2, 2]]), np.float32([0.5]))
    (array([[1.5, 4. ]], dtype=float32), array([-6.], dtype=float32))
    """
    cdef ndarray array = as_array(x, "prelu_backward")
    cdef ndarray slope = per_channel("prelu_backward", array, weight)
    # What each element adds to dweight; this call also says whether grad fits x.
    terms = backward("prelu_backward", K.prelu_weight_terms_f32, K.prelu_weight_terms_f64, grad, array, None, 1, 0, 0)
    dx = map3("prelu_backward", ("grad", "x", "weight"), K.prelu_backward_f32, K.prelu_backward_f64, grad, array, slope,
              None, 1, 0, 0, True)
    shared = None if PyArray_NDIM(slope) == 0 else tuple([axis for axis in range(PyArray_NDIM(array)) if axis != 1])
    dweight = np.reshape(sum(terms, axis=shared), (<object> as_array(weight, "prelu_backward")).shape)
    return dx, dweight if dweight.ndim else dweight[()]


# ---- hard: clipped straight lines --------------------------------------------------------------------------------------

def hard_sigmoid(x: ArrayLike, out: Array | None = None) -> Array:
    """min(max(x + 3, 0), 6) / 6, within 2 ulp. `torch.nn.functional.hardsigmoid`.

    >>> od.hard_sigmoid(np.float32([-4, 0, 1.5]))
    array([0.  , 0.5 , 0.75], dtype=float32)
    """
    return unary("hard_sigmoid", K.hard_sigmoid_f32, K.hard_sigmoid_f64, x, out, 1)


def hard_sigmoid_backward(grad: ArrayLike, x: ArrayLike, out: Array | None = None) -> Array:
    """grad / 6 where -3 < x < 3, else 0.

    >>> od.hard_sigmoid_backward(np.float32([6, 6]), np.float32([-4, 0]))
    array([0., 1.], dtype=float32)
    """
    return backward("hard_sigmoid_backward", K.hard_sigmoid_backward_f32, K.hard_sigmoid_backward_f64, grad, x, out, 1,
                    0, 0)


def hard_swish(x: ArrayLike, out: Array | None = None) -> Array:
    """x * min(max(x + 3, 0), 6) / 6, within 3 ulp. `torch.nn.functional.hardswish`; Howard et al. 2019.

    >>> od.hard_swish(np.float32([-4, 1, 5]))
    array([-0.       ,  0.6666667,  5.       ], dtype=float32)
    """
    return unary("hard_swish", K.hard_swish_f32, K.hard_swish_f64, x, out, 1)


def hard_swish_backward(grad: ArrayLike, x: ArrayLike, out: Array | None = None) -> Array:
    """0 where x <= -3, grad where x >= 3, else grad * (x / 3 + 1/2).

    >>> od.hard_swish_backward(np.float32([6, 6, 6]), np.float32([-4, 1, 5]))
    array([0., 5., 6.], dtype=float32)
    """
    return backward("hard_swish_backward", K.hard_swish_backward_f32, K.hard_swish_backward_f64, grad, x, out, 1, 0, 0)


def hard_tanh(x: ArrayLike, out: Array | None = None) -> Array:
    """min(max(x, -1), 1). `torch.nn.functional.hardtanh`.

    >>> od.hard_tanh(np.float32([-4, 0.5]))
    array([-1. ,  0.5], dtype=float32)
    """
    return unary("hard_tanh", K.hard_tanh_f32, K.hard_tanh_f64, x, out, 1)


def hard_tanh_backward(grad: ArrayLike, x: ArrayLike, out: Array | None = None) -> Array:
    """grad where -1 < x < 1, else 0.

    >>> od.hard_tanh_backward(np.float32([6, 7]), np.float32([-4, 0.5]))
    array([0., 7.], dtype=float32)
    """
    return backward("hard_tanh_backward", K.hard_tanh_backward_f32, K.hard_tanh_backward_f64, grad, x, out, 1, 0, 0)


# ---- exponential below zero -------------------------------------------------------------------------------------------

def elu(x: ArrayLike, alpha: float = 1.0, out: Array | None = None) -> Array:
    """x where x > 0, else alpha * (e^x - 1). `torch.nn.functional.elu`; Clevert et al. 2016.

    >>> od.elu(np.float32([-1, 3]))
    array([-0.63212055,  3.        ], dtype=float32)
    """
    return map1("elu", K.elu_f32, K.elu_f64, x, out, 12, alpha, 0)


def elu_backward(grad: ArrayLike, x: ArrayLike, alpha: float = 1.0, out: Array | None = None) -> Array:
    """grad where x > 0, else grad * alpha * e^x.

    >>> od.elu_backward(np.float32([1, 1]), np.float32([-1, 3]))
    array([0.36787945, 1.        ], dtype=float32)
    """
    return backward("elu_backward", K.elu_backward_f32, K.elu_backward_f64, grad, x, out, 10, alpha, 0)


def selu(x: ArrayLike, out: Array | None = None) -> Array:
    """1.0507 * elu(x, 1.6733), the constants in full. `torch.nn.functional.selu`; Klambauer et al. 2017.

    >>> od.selu(np.float32([-1, 3]))
    array([-1.1113307,  3.152103 ], dtype=float32)
    """
    return unary("selu", K.selu_f32, K.selu_f64, x, out, 12)


def selu_backward(grad: ArrayLike, x: ArrayLike, out: Array | None = None) -> Array:
    """grad * 1.0507 where x > 0, else grad * 1.0507 * 1.6733 * e^x, the constants in full.

    >>> od.selu_backward(np.float32([1, 1]), np.float32([-1, 3]))
    array([0.6467686, 1.050701 ], dtype=float32)
    """
    return backward("selu_backward", K.selu_backward_f32, K.selu_backward_f64, grad, x, out, 10, 0, 0)


# ---- smooth ----------------------------------------------------------------------------------------------------------

def sigmoid(x: ArrayLike, out: Array | None = None) -> Array:
    """1 / (1 + e^-x), within 1 ulp. `torch.sigmoid`.

    >>> od.sigmoid(np.float32([-1, 0]))
    array([0.26894143, 0.5       ], dtype=float32)
    """
    return unary("sigmoid", K.sigmoid_f32, K.sigmoid_f64, x, out, 12)


def sigmoid_backward(grad: ArrayLike, y: ArrayLike, out: Array | None = None) -> Array:
    """grad * y * (1 - y), where y is the result of `sigmoid`.

    >>> od.sigmoid_backward(np.float32([2]), np.float32([0.25]))
    array([0.375], dtype=float32)
    """
    return map2("sigmoid_backward", ("grad", "y"), K.sigmoid_backward_f32, K.sigmoid_backward_f64, grad, y, out, 1, 0,
                0, False)


def tanh(x: ArrayLike, out: Array | None = None) -> Array:
    """The hyperbolic tangent, within 1 ulp. `numpy.tanh`, `torch.tanh`.

    >>> od.tanh(np.float32([-1, 0]))
    array([-0.7615942,  0.       ], dtype=float32)
    """
    return unary("tanh", K.tanh_f32, K.tanh_f64, x, out, 8)


def tanh_backward(grad: ArrayLike, y: ArrayLike, out: Array | None = None) -> Array:
    """grad * (1 - y^2), where y is the result of `tanh`.

    >>> od.tanh_backward(np.float32([2]), np.float32([0.5]))
    array([1.5], dtype=float32)
    """
    return map2("tanh_backward", ("grad", "y"), K.tanh_backward_f32, K.tanh_backward_f64, grad, y, out, 1, 0, 0, False)


def silu(x: ArrayLike, out: Array | None = None) -> Array:
    """x * sigmoid(x), also called swish. `torch.nn.functional.silu`; Elfwing et al. 2018.

    >>> od.silu(np.float32([-1, 1]))
    array([-0.26894143,  0.7310586 ], dtype=float32)
    """
    return unary("silu", K.silu_f32, K.silu_f64, x, out, 8)


def silu_backward(grad: ArrayLike, x: ArrayLike, out: Array | None = None) -> Array:
    """grad * s * (1 + x * (1 - s)), where s = sigmoid(x).

    >>> od.silu_backward(np.float32([1, 1]), np.float32([0, 1]))
    array([0.5       , 0.92767054], dtype=float32)
    """
    return backward("silu_backward", K.silu_backward_f32, K.silu_backward_f64, grad, x, out, 12, 0, 0)


def swiglu(gate: ArrayLike, up: ArrayLike, out: Array | None = None) -> Array:
    """silu(gate) * up, the gated unit of transformers, in one pass. Shazeer 2020, "GLU Variants Improve Transformer".

    >>> od.swiglu(np.float32([0, 100]), np.float32([5, 0.5]))
    array([ 0., 50.], dtype=float32)
    """
    return map2("swiglu", ("gate", "up"), K.swiglu_f32, K.swiglu_f64, gate, up, out, 9, 0, 0, False)


def swiglu_backward(grad: ArrayLike, gate: ArrayLike, up: ArrayLike) -> tuple[Array, Array]:
    """The gradients of gate and up: grad * up * silu'(gate), and grad * silu(gate). Copied first unless contiguous.

    >>> od.swiglu_backward(np.float32([1]), np.float32([0]), np.float32([4]))
    (array([2.], dtype=float32), array([0.], dtype=float32))
    """
    cdef const char *op = "swiglu_backward"
    cdef ody_map m
    cdef ndarray first = as_array(grad, op), x, by_gate, by_up
    cdef int type_num = real_type(first, op, "grad"), i
    cdef size_t itemsize = 4 if type_num == NPY_FLOAT else 8
    cdef ody_map_fn f = K.swiglu_backward_f32 if type_num == NPY_FLOAT else K.swiglu_backward_f64
    cdef list kept = []
    for name, given in (("grad", first), ("gate", gate), ("up", up)):
        x = as_array(given, op)
        same_type(x, type_num, op, name)
        if (<object> x).shape != (<object> first).shape:
            raise ShapeError(f"{op.decode()}: grad and {name} must have one shape\n"
                             f"  grad: {describe(first)}    {name}: {describe(x)}")
        kept.append(contiguous(x))
    for i in range(3):
        m.in_[i] = PyArray_DATA(<ndarray> kept[i])
        m.step[i] = 1
    by_gate = new_like(first, type_num)
    by_up = new_like(first, type_num)
    m.out[0] = PyArray_DATA(by_gate)
    m.out[1] = PyArray_DATA(by_up)
    m.n = <size_t> PyArray_SIZE(first)
    m.flags = 0
    if m.n * 24 < GIL_WORTH:
        run_map(op, f, &m, 3, 2, itemsize, 24)
    else:
        with nogil:
            run_map(op, f, &m, 3, 2, itemsize, 24)
    return (by_gate, by_up) if PyArray_NDIM(first) else (by_gate[()], by_up[()])


cdef bint is_exact(const char *op, object approximate) except -1:
    if approximate == "none":
        return True
    if approximate == "tanh":
        return False
    raise ValueError(f'{op.decode()}: approximate must be "none" or "tanh"\n  found: {approximate!r}')


def gelu(x: ArrayLike, approximate: str = "none", out: Array | None = None) -> Array:
    """x * Phi(x), Phi the normal distribution's function. `torch.nn.functional.gelu`.

    With approximate="tanh": x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3))). ValueError for another `approximate`.
    Hendrycks and Gimpel 2016.

    >>> od.gelu(np.float32([-1, 1]))
    array([-0.15865526,  0.8413447 ], dtype=float32)
    >>> od.gelu(np.float32([0, 1]), approximate="tanh")
    array([0.      , 0.841192], dtype=float32)
    """
    if is_exact("gelu", approximate):
        return unary("gelu", K.gelu_f32, K.gelu_f64, x, out, 16)
    return unary("gelu", K.gelu_tanh_f32, K.gelu_tanh_f64, x, out, 10)


def gelu_backward(grad: ArrayLike, x: ArrayLike, approximate: str = "none", out: Array | None = None) -> Array:
    """grad * (Phi(x) + x * phi(x)), phi the normal density; with approximate="tanh" that form's derivative.

    >>> od.gelu_backward(np.float32([1, 1]), np.float32([0, 1]))
    array([0.5      , 1.0833155], dtype=float32)
    """
    if is_exact("gelu_backward", approximate):
        return backward("gelu_backward", K.gelu_backward_f32, K.gelu_backward_f64, grad, x, out, 20, 0, 0)
    return backward("gelu_backward", K.gelu_tanh_backward_f32, K.gelu_tanh_backward_f64, grad, x, out, 14, 0, 0)


def softplus(x: ArrayLike, beta: float = 1.0, threshold: float = 20.0, out: Array | None = None) -> Array:
    """log(1 + e^(beta * x)) / beta; x itself where beta * x > threshold. `torch.nn.functional.softplus`.

    >>> od.softplus(np.float32([-1, 0, 30]))
    array([ 0.3132617,  0.6931472, 30.       ], dtype=float32)
    """
    return map1("softplus", K.softplus_f32, K.softplus_f64, x, out, 16, beta, threshold)


def softplus_backward(
    grad: ArrayLike, x: ArrayLike, beta: float = 1.0, threshold: float = 20.0, out: Array | None = None
) -> Array:
    """grad * sigmoid(beta * x); grad itself where beta * x > threshold.

    >>> od.softplus_backward(np.float32([1, 1, 1]), np.float32([-1, 0, 30]))
    array([0.26894143, 0.5       , 1.        ], dtype=float32)
    """
    return backward("softplus_backward", K.softplus_backward_f32, K.softplus_backward_f64, grad, x, out, 18, beta,
                    threshold)


def mish(x: ArrayLike, out: Array | None = None) -> Array:
    """x * tanh(log(1 + e^x)). `torch.nn.functional.mish`; Misra 2019.

    >>> od.mish(np.float32([-1, 1]))
    array([-0.30340147,  0.86509836], dtype=float32)
    """
    return unary("mish", K.mish_f32, K.mish_f64, x, out, 12)


def mish_backward(grad: ArrayLike, x: ArrayLike, out: Array | None = None) -> Array:
    """grad * (t + x * sigmoid(x) * (1 - t^2)), where t = tanh(log(1 + e^x)).

    >>> od.mish_backward(np.float32([1, 1]), np.float32([0, 1]))
    array([0.6      , 1.0490363], dtype=float32)
    """
    return backward("mish_backward", K.mish_backward_f32, K.mish_backward_f64, grad, x, out, 16, 0, 0)
