"""Optimizer steps: parameters and state updated in place, in one pass over memory, the GIL released.

All arrays are float32 or float64, of one dtype and one shape (else DTypeError, ShapeError), C-contiguous, and apart from
each other in memory (else LayoutError). The parameter and the state are writable NumPy arrays (else LayoutError); the
gradient may be anything with a buffer. A step returns None.

The options are doubles. What follows from them alone is computed in double and rounded to the arrays' dtype once; the
order of the operations on the arrays stands in include/odyssey/kernels.h.
"""
from libc.math cimport sqrt
from libc.stddef cimport size_t
from numpy cimport (NPY_ARRAY_ALIGNED, NPY_ARRAY_C_CONTIGUOUS, NPY_ARRAY_WRITEABLE, NPY_DOUBLE, NPY_FLOAT,
                    PyArray_CHKFLAGS, PyArray_DATA, PyArray_NBYTES, PyArray_SIZE, ndarray)
cimport numpy as cnp

import numpy as np

from odyssey._kernels.array cimport GIL_WORTH, as_array, describe, real_type, same_type
from odyssey._kernels.dispatch cimport K, run_map
from odyssey._kernels.elementwise import scale
from odyssey._kernels.kernels cimport ody_map, ody_map_fn
from odyssey._kernels.reductions import norm

from odyssey.errors import LayoutError, ShapeError

cnp.import_array()


cdef ndarray checked(object given, const char *op, str name, ndarray param, bint written):
    """One array of a step, as an ndarray; param is None for the parameter itself."""
    cdef ndarray x
    if written and not isinstance(given, np.ndarray):
        raise LayoutError(
            f"{op.decode()}: {name} is updated in place and must be a NumPy array\n"
            f"  found: {type(given).__name__}\n"
            f"  remedy: np.asarray(...) of anything with a buffer shares its memory")
    x = as_array(given, op)
    if param is None:
        real_type(x, op, name)
    else:
        same_type(x, cnp.PyArray_TYPE(param), op, name)
        if (<object> x).shape != (<object> param).shape:
            raise ShapeError(
                f"{op.decode()}: {name} must have the shape of param\n"
                f"  param: {describe(param)}    {name}: {describe(x)}")
    if not PyArray_CHKFLAGS(x, NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_ALIGNED):
        raise LayoutError(
            f"{op.decode()}: {name} must be C-contiguous and aligned\n"
            f"  {name}: {describe(x)}, strides {(<object> x).strides}\n"
            f"  remedy: {name} = np.ascontiguousarray({name}), which copies, once and for all steps")
    if written and not PyArray_CHKFLAGS(x, NPY_ARRAY_WRITEABLE):
        raise LayoutError(
            f"{op.decode()}: {name} is updated in place and is read-only\n"
            f"  {name}: {describe(x)}\n"
            f"  remedy: pass a writable array")
    return x


cdef int check_apart(ndarray a, str a_name, ndarray b, str b_name, const char *op) except -1:
    cdef const char *first = <const char *> PyArray_DATA(a)
    cdef const char *second = <const char *> PyArray_DATA(b)
    if first + PyArray_NBYTES(a) <= second or second + PyArray_NBYTES(b) <= first:
        return 0
    raise LayoutError(
        f"{op.decode()}: {a_name} and {b_name} overlap in memory\n"
        f"  {a_name}: {describe(a)}    {b_name}: {describe(b)}\n"
        f"  remedy: every array of a step needs memory of its own")


cdef int run_step(const char *op, ody_map_fn f32, ody_map_fn f64, tuple names, tuple arrays, ody_map *m,
                  int cost) except -1:
    """Checks the arrays (parameter, gradient, state ...) and runs the kernel; m brings the parameters."""
    cdef ndarray param = checked(arrays[0], op, "param", None, True), x
    cdef int count = len(arrays), i, j, type_num = cnp.PyArray_TYPE(param)
    cdef list taken = [param]
    cdef size_t itemsize = 4 if type_num == NPY_FLOAT else 8
    cdef ody_map_fn f = f32 if type_num == NPY_FLOAT else f64
    for i in range(1, count):
        x = checked(arrays[i], op, names[i], param, i > 1)
        for j in range(i):
            check_apart(taken[j], names[j], x, names[i], op)
        taken.append(x)
    for i in range(count):
        m.in_[i] = PyArray_DATA(<ndarray> taken[i])
        m.step[i] = 1
        if i != 1:
            m.out[i - (i > 1)] = PyArray_DATA(<ndarray> taken[i])
    m.n = <size_t> PyArray_SIZE(param)
    m.flags = 0
    if m.n * <size_t> cost < GIL_WORTH:
        run_map(op, f, m, count, count - 1, itemsize, cost)
    else:
        with nogil:
            run_map(op, f, m, count, count - 1, itemsize, cost)
    return 0


def sgd_step(
    param: Array,
    grad: Array,
    momentum_buffer: Array | None = None,
    lr: float = 0.01,
    momentum: float = 0.0,
    dampening: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
    first: bool = False,
) -> None:
    """Stochastic gradient descent with momentum. `torch.optim.SGD`; Sutskever et al. 2013.

    g = grad + weight_decay * param; buffer = momentum * buffer + (1 - dampening) * g (just g when `first`);
    param -= lr * (buffer, or g + momentum * buffer when `nesterov`, or g when momentum is 0).

    Raises:
        ValueError: for a momentum other than 0 without its buffer, which is zeros before the first step.
        DTypeError, ShapeError, LayoutError: for arrays that do not fit together.

    >>> param = np.float32([1])
    >>> od.sgd_step(param, np.float32([2]), lr=0.25)
    >>> param
    array([0.5], dtype=float32)
    """
    cdef ody_map m
    m.param[0] = lr
    m.param[1] = weight_decay
    m.param[2] = momentum
    if m.param[2] == 0:
        run_step("sgd_step", K.sgd_step_f32, K.sgd_step_f64, ("param", "grad"), (param, grad), &m, 2)
        return
    if momentum_buffer is None:
        raise ValueError(
            f"sgd_step: momentum needs a momentum_buffer\n"
            f"  found: momentum={momentum}, momentum_buffer=None\n"
            f"  remedy: np.zeros_like(param) before the first step, and the same array at every step")
    m.param[3] = 1 - <double> dampening
    m.param[4] = bool(nesterov)
    m.param[5] = bool(first)
    run_step("sgd_step", K.sgd_momentum_step_f32, K.sgd_momentum_step_f64, ("param", "grad", "momentum_buffer"),
             (param, grad, momentum_buffer), &m, 3)


cdef double power(double x, long n) noexcept:
    """x^n by squaring: the C library's pow may differ in its last bit from one machine to the next."""
    cdef double result = 1
    while n > 0:
        if n & 1:
            result *= x
        x *= x
        n >>= 1
    return result


cdef int fill_adam(const char *op, ody_map *m, long count, double lr, double beta1, double beta2, double eps,
                   double decay) except -1:
    if count < 1:
        raise ValueError(f"{op.decode()}: step counts from 1\n  found: {count}")
    if not (0 <= beta1 < 1 and 0 <= beta2 < 1):
        raise ValueError(f"{op.decode()}: beta1 and beta2 must be in [0, 1)\n  found: beta1={beta1}, beta2={beta2}")
    m.param[0] = lr / (1 - power(beta1, count))
    m.param[1] = 1 - beta1
    m.param[2] = 1 - beta2
    m.param[3] = 1 / sqrt(1 - power(beta2, count))
    m.param[4] = eps
    m.param[5] = decay
    return 0


cdef tuple ADAM_NAMES = ("param", "grad", "exp_avg", "exp_avg_sq")


def adam_step(
    param: Array,
    grad: Array,
    exp_avg: Array,
    exp_avg_sq: Array,
    step: int,
    lr: float = 1e-3,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> None:
    """Adam, with weight decay added to the gradient. `torch.optim.Adam`; Kingma and Ba 2015.

    g = grad + weight_decay * param; exp_avg = beta1 * exp_avg + (1 - beta1) * g;
    exp_avg_sq = beta2 * exp_avg_sq + (1 - beta2) * g^2;
    param -= lr * (exp_avg / (1 - beta1^step)) / (sqrt(exp_avg_sq / (1 - beta2^step)) + eps).

    Raises:
        ValueError: for a `step` below 1 (it counts from 1), or a beta outside [0, 1).
        DTypeError, ShapeError, LayoutError: for arrays that do not fit together.

    >>> param, average, square = np.float32([1]), np.zeros(1, np.float32), np.zeros(1, np.float32)
    >>> od.adam_step(param, np.float32([3]), average, square, step=1, lr=0.25)
    >>> param
    array([0.75], dtype=float32)
    """
    cdef ody_map m
    fill_adam("adam_step", &m, step, lr, beta1, beta2, eps, weight_decay)
    run_step("adam_step", K.adam_step_f32, K.adam_step_f64, ADAM_NAMES, (param, grad, exp_avg, exp_avg_sq), &m, 10)


def adamw_step(
    param: Array,
    grad: Array,
    exp_avg: Array,
    exp_avg_sq: Array,
    step: int,
    lr: float = 1e-3,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.01,
) -> None:
    """Adam with decoupled weight decay: param * (1 - lr * weight_decay) first, then Adam's update from grad alone.

    `torch.optim.AdamW`; Loshchilov and Hutter 2019. Errors as in `adam_step`.

    >>> param, average, square = np.float32([1]), np.zeros(1, np.float32), np.zeros(1, np.float32)
    >>> od.adamw_step(param, np.float32([3]), average, square, step=1, lr=0.25, weight_decay=1.0)
    >>> param
    array([0.5], dtype=float32)
    """
    cdef ody_map m
    fill_adam("adamw_step", &m, step, lr, beta1, beta2, eps, <double> lr * <double> weight_decay)
    run_step("adamw_step", K.adamw_step_f32, K.adamw_step_f64, ADAM_NAMES, (param, grad, exp_avg, exp_avg_sq), &m, 10)


def rmsprop_step(
    param: Array,
    grad: Array,
    square_avg: Array,
    grad_avg: Array | None = None,
    momentum_buffer: Array | None = None,
    lr: float = 0.01,
    alpha: float = 0.99,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    momentum: float = 0.0,
) -> None:
    """Divides the gradient by a running root mean square of its size. `torch.optim.RMSprop`; Tieleman and Hinton 2012.

    g = grad + weight_decay * param; square_avg = alpha * square_avg + (1 - alpha) * g^2; with `grad_avg` ("centered";
    Graves 2013) grad_avg = alpha * grad_avg + (1 - alpha) * g, and square_avg - grad_avg^2, or 0 if that is less, stands for
    square_avg in direction = g / (sqrt(square_avg) + eps); with a momentum buffer = momentum * buffer + direction stands for
    the direction; param -= lr * direction. All state is zeros before the first step.

    Raises:
        ValueError: for a momentum other than 0 without its buffer, or an alpha outside [0, 1].
        DTypeError, ShapeError, LayoutError: for arrays that do not fit together.

    >>> param, square = np.float32([1]), np.zeros(1, np.float32)
    >>> od.rmsprop_step(param, np.float32([3]), square, lr=0.25, alpha=0.75)
    >>> param
    array([0.5], dtype=float32)
    """
    cdef ody_map m
    if not 0 <= alpha <= 1:
        raise ValueError(f"rmsprop_step: alpha must be in [0, 1]\n  found: {alpha}")
    m.param[0] = lr
    m.param[1] = weight_decay
    m.param[2] = 1 - <double> alpha
    m.param[3] = eps
    m.param[4] = momentum
    if m.param[4] == 0:
        if grad_avg is None:
            run_step("rmsprop_step", K.rmsprop_step_f32, K.rmsprop_step_f64, ("param", "grad", "square_avg"),
                     (param, grad, square_avg), &m, 8)
        else:
            run_step("rmsprop_step", K.rmsprop_centered_step_f32, K.rmsprop_centered_step_f64,
                     ("param", "grad", "square_avg", "grad_avg"), (param, grad, square_avg, grad_avg), &m, 10)
        return
    if momentum_buffer is None:
        raise ValueError(
            f"rmsprop_step: momentum needs a momentum_buffer\n"
            f"  found: momentum={momentum}, momentum_buffer=None\n"
            f"  remedy: np.zeros_like(param) before the first step, and the same array at every step")
    if grad_avg is None:
        run_step("rmsprop_step", K.rmsprop_momentum_step_f32, K.rmsprop_momentum_step_f64,
                 ("param", "grad", "square_avg", "momentum_buffer"), (param, grad, square_avg, momentum_buffer), &m, 8)
    else:
        run_step("rmsprop_step", K.rmsprop_centered_momentum_step_f32, K.rmsprop_centered_momentum_step_f64,
                 ("param", "grad", "square_avg", "grad_avg", "momentum_buffer"),
                 (param, grad, square_avg, grad_avg, momentum_buffer), &m, 10)


def adagrad_step(
    param: Array,
    grad: Array,
    state_sum: Array,
    step: int,
    lr: float = 0.01,
    lr_decay: float = 0.0,
    eps: float = 1e-10,
    weight_decay: float = 0.0,
) -> None:
    """Divides the gradient by the root of the sum of its squares so far. `torch.optim.Adagrad`; Duchi et al. 2011.

    g = grad + weight_decay * param; state_sum += g^2;
    param -= lr / (1 + (step - 1) * lr_decay) * g / (sqrt(state_sum) + eps).

    Raises:
        ValueError: for a `step` below 1 (it counts from 1).
        DTypeError, ShapeError, LayoutError: for arrays that do not fit together.

    >>> param, total = np.float32([1]), np.zeros(1, np.float32)
    >>> od.adagrad_step(param, np.float32([3]), total, step=1, lr=0.25)
    >>> param
    array([0.75], dtype=float32)
    """
    cdef ody_map m
    cdef long count = step
    if count < 1:
        raise ValueError(f"adagrad_step: step counts from 1\n  found: {count}")
    m.param[0] = <double> lr / (1 + (count - 1) * <double> lr_decay)
    m.param[1] = weight_decay
    m.param[2] = eps
    run_step("adagrad_step", K.adagrad_step_f32, K.adagrad_step_f64, ("param", "grad", "state_sum"),
             (param, grad, state_sum), &m, 8)


def lars_step(
    param: Array,
    grad: Array,
    momentum_buffer: Array | None = None,
    lr: float = 0.01,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    trust_coefficient: float = 0.001,
    eps: float = 1e-8,
) -> None:
    """Stochastic gradient descent with a learning rate for each array, from its norm and its gradient's. You et al. 2017.

    rate = lr * trust_coefficient * |param| / (|grad| + weight_decay * |param| + eps), or lr where a norm is 0;
    buffer = momentum * buffer + rate * (grad + weight_decay * param); param -= buffer. Without momentum there is no buffer;
    it is zeros before the first step. The norms are `odyssey.norm`'s, the same for any number of threads.

    Raises:
        ValueError: for a momentum other than 0 without its buffer.
        DTypeError, ShapeError, LayoutError: for arrays that do not fit together.

    >>> param = np.float32([4, 0])
    >>> od.lars_step(param, np.float32([0, 2]), lr=0.5, trust_coefficient=1.0)
    >>> param
    array([ 4., -2.], dtype=float32)
    """
    cdef ody_map m
    cdef double size, slope, rate = lr
    cdef ndarray checked_param = checked(param, "lars_step", "param", None, True)
    cdef ndarray checked_grad = checked(grad, "lars_step", "grad", checked_param, False)
    if momentum != 0 and momentum_buffer is None:
        raise ValueError(
            f"lars_step: momentum needs a momentum_buffer\n"
            f"  found: momentum={momentum}, momentum_buffer=None\n"
            f"  remedy: np.zeros_like(param) before the first step, and the same array at every step")
    size = norm(checked_param)
    slope = norm(checked_grad)
    if size != 0 and slope != 0:
        rate = rate * <double> trust_coefficient * size / (slope + <double> weight_decay * size + <double> eps)
    m.param[1] = weight_decay
    if momentum == 0:
        m.param[0] = rate
        run_step("lars_step", K.sgd_step_f32, K.sgd_step_f64, ("param", "grad"), (param, checked_grad), &m, 2)
        return
    m.param[0] = 1
    m.param[2] = momentum
    m.param[3] = rate
    m.param[4] = m.param[5] = 0
    run_step("lars_step", K.sgd_momentum_step_f32, K.sgd_momentum_step_f64, ("param", "grad", "momentum_buffer"),
             (param, checked_grad, momentum_buffer), &m, 3)


def clip_grad_norm(grads: Iterable[Array], max_norm: float, eps: float = 1e-6) -> Array:
    """Scales gradients in place so that all of them together have a 2-norm of at most max_norm;
    `torch.nn.utils.clip_grad_norm_`.

    Args:
        grads: arrays of one dtype, float32 or float64, writable, of any layouts; or one array, whose parts along its first
            axis they are.
        max_norm: what the norm may be. Each gradient is multiplied by max_norm / (norm + eps) where that is below 1.
        eps: as above.

    Returns:
        The norm before, a NumPy scalar of the gradients' dtype: the root of the sum of the squared `odyssey.norm`s, added
        in double precision in the order given; the same bits for any number of threads. 0 for no gradients.

    If the norm is not finite, because an element is not or its square overflows, the gradients are left as they are and
    the norm says so.

    Raises:
        ValueError: unless max_norm and eps are numbers from 0 on.
        DTypeError, LayoutError: for arrays of another or of two dtypes, or that are read-only.

    >>> grads = [np.float32([3, 0]), np.float32([[4]])]
    >>> od.clip_grad_norm(grads, 2.5, eps=0)
    np.float32(5.0)
    >>> grads
    [array([1.5, 0. ], dtype=float32), array([[2.]], dtype=float32)]
    """
    cdef double total = 0, one, factor, most = max_norm, above = eps
    cdef list arrays = list(grads)
    cdef ndarray x
    cdef int type_num = -1
    if not (most >= 0 and above >= 0):
        raise ValueError(f"clip_grad_norm: max_norm and eps must be numbers from 0 on\n"
                         f"  found: max_norm={max_norm}, eps={eps}")
    for grad in arrays:
        if not isinstance(grad, np.ndarray):
            raise LayoutError(
                f"clip_grad_norm: gradients are scaled in place and must be NumPy arrays\n"
                f"  found: {type(grad).__name__}\n"
                f"  remedy: np.asarray(...) of anything with a buffer shares its memory")
        x = grad
        if type_num < 0:
            type_num = real_type(x, "clip_grad_norm", "grads")
        else:
            same_type(x, type_num, "clip_grad_norm", "grads")
        if not PyArray_CHKFLAGS(x, NPY_ARRAY_WRITEABLE):
            raise LayoutError(f"clip_grad_norm: gradients are scaled in place, and one is read-only\n"
                              f"  found: {describe(x)}\n"
                              f"  remedy: pass writable arrays")
    for grad in arrays:
        one = norm(grad)
        total += one * one
    total = sqrt(total)
    if total + above > 0 and total - total == 0:
        factor = most / (total + above)
        if factor < 1:
            for grad in arrays:
                scale(grad, factor, grad)
    return (np.float64 if type_num == NPY_DOUBLE else np.float32)(total)
