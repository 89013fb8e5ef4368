"""Doubly stochastic matrices and optimal transport: Sinkhorn's iterations, and their gradients."""
import warnings

from libc.math cimport isfinite
from libc.stddef cimport size_t
from numpy cimport NPY_FLOAT, PyArray_DATA, PyArray_DIMS, PyArray_NDIM, PyArray_SIZE, ndarray, npy_intp
cimport numpy as cnp

from odyssey._kernels.array cimport (GIL_WORTH, as_array, check_disjoint, check_overlap, checked_out, contiguous, describe,
                                     new_array, new_like, no_memory, real_type, same_type)
from odyssey._kernels.dispatch cimport K, run_sinkhorn, run_transport, run_transport_backward
from odyssey._kernels.runtime cimport ody_sinkhorn_stack, ody_transport_gradient, ody_transport_problem

import numpy as np

from odyssey.errors import ShapeError
from odyssey.typing import SinkhornLog

cnp.import_array()

cdef enum:
    MOST_AXES = 64


cdef void take_kernels(ody_sinkhorn_stack *s, int type_num) noexcept:
    if type_num == NPY_FLOAT:
        s.small = K.sinkhorn_matrices_f32
        s.small_backward = K.sinkhorn_matrices_backward_f32
        s.start = K.sinkhorn_start_f32
        s.rows = K.sinkhorn_rows_f32
        s.columns = K.sinkhorn_columns_f32
        s.finish = K.sinkhorn_finish_f32
        s.products = K.sinkhorn_products_f32
        s.few = K.sinkhorn_few_f32
        s.rows_adjoint = K.sinkhorn_rows_adjoint_f32
        s.columns_adjoint = K.sinkhorn_columns_adjoint_f32
        s.gradient = K.sinkhorn_gradient_f32
        s.implicit_rows = K.sinkhorn_implicit_rows_f32
        s.implicit_columns = K.sinkhorn_implicit_columns_f32
    else:
        s.small = K.sinkhorn_matrices_f64
        s.small_backward = K.sinkhorn_matrices_backward_f64
        s.start = K.sinkhorn_start_f64
        s.rows = K.sinkhorn_rows_f64
        s.columns = K.sinkhorn_columns_f64
        s.finish = K.sinkhorn_finish_f64
        s.products = K.sinkhorn_products_f64
        s.few = K.sinkhorn_few_f64
        s.rows_adjoint = K.sinkhorn_rows_adjoint_f64
        s.columns_adjoint = K.sinkhorn_columns_adjoint_f64
        s.gradient = K.sinkhorn_gradient_f64
        s.implicit_rows = K.sinkhorn_implicit_rows_f64
        s.implicit_columns = K.sinkhorn_implicit_columns_f64


cdef bint columns_come_first(object order, const char *op) except -1:
    if order == "rows":
        return False
    if order == "columns":
        return True
    raise ValueError(f'{op.decode()}: order must be "rows" (first, columns last) or "columns"; found {order!r}')


cdef int options(ody_sinkhorn_stack *s, object iterations, double eps, double tau, object order, bint from_logits,
                 object damping, const char *op) except -1:
    cdef Py_ssize_t count = iterations.__index__()
    if count < 1:
        raise ValueError(f"{op.decode()}: iterations must be at least 1; found {iterations!r}")
    if not (isfinite(eps) and eps >= 0):
        raise ValueError(f"{op.decode()}: eps must be a finite number, 0 or more; found {eps!r}")
    if not (isfinite(tau) and tau > 0):
        raise ValueError(f"{op.decode()}: tau must be a finite number above 0; found {tau!r}")
    s.iterations = <size_t> count
    s.columns_first = columns_come_first(order, op)
    s.logits = from_logits
    s.inverse_tau = 1 / tau
    s.add = eps
    s.eps = eps
    if damping is not None:
        s.eps = damping
        if not (isfinite(s.eps) and s.eps >= 0):
            raise ValueError(f"{op.decode()}: damping must be a finite number, 0 or more; found {damping!r}")
    s.residuals = NULL
    s.grad = NULL
    s.implicit = False
    return 0


cdef int matrices(ody_sinkhorn_stack *s, ndarray x, int type_num, const char *op) except -1:
    """How many matrices x is, and of what shape."""
    cdef int ndim = PyArray_NDIM(x), axis
    if ndim < 2:
        raise ShapeError(f"{op.decode()}: x must be (..., rows, columns)\n  x: {describe(x)}")
    s.itemsize = 4 if type_num == NPY_FLOAT else 8
    s.m = <size_t> PyArray_DIMS(x)[ndim - 2]
    s.n = <size_t> PyArray_DIMS(x)[ndim - 1]
    s.count = 1
    for axis in range(ndim - 2):
        s.count *= <size_t> PyArray_DIMS(x)[axis]
    take_kernels(s, type_num)
    return 0


# Columns first, beyond the small square matrices that know it, is rows first of what lies across.
cdef inline bint crossed(const ody_sinkhorn_stack *s) noexcept:
    return s.columns_first and (s.implicit or s.m != s.n or s.n < 2 or s.n > 8)


cdef inline ndarray across(ndarray x):
    return contiguous((<object> x).swapaxes(-1, -2))


cdef int run(ody_sinkhorn_stack *s, const char *op) except -1:
    cdef int failed
    if s.count * s.m * s.n * s.iterations < GIL_WORTH:
        failed = run_sinkhorn(op, s)
    else:
        with nogil:
            failed = run_sinkhorn(op, s)
    if failed:
        no_memory(op)
    return 0


# x, and grad where there is one, into out or a new array.
cdef object compute(ody_sinkhorn_stack *s, ndarray x, ndarray grad, ndarray given, object out, ndarray residuals,
                    int type_num, const char *op):
    cdef bint swapped = crossed(s)
    cdef ndarray source = across(x) if swapped else contiguous(x), incoming = None, target
    if grad is not None:
        incoming = across(grad) if swapped else contiguous(grad)
        s.grad = PyArray_DATA(incoming)
    if given is not None and not swapped and cnp.PyArray_ISCARRAY(given):
        target = given
    else:
        target = new_like(source, type_num)
    if swapped:
        s.m, s.n = s.n, s.m
    s.x = PyArray_DATA(source)
    s.out = PyArray_DATA(target)
    s.residuals = PyArray_DATA(residuals) if residuals is not None else NULL
    run(s, op)
    if swapped:
        target = (<object> target).swapaxes(-1, -2)
        if residuals is not None:
            residuals[...] = residuals[..., ::-1].copy()
    if given is None:
        return contiguous(target)
    if target is not given:
        cnp.PyArray_CopyInto(given, target)
    return out


def sinkhorn_knopp(
    x: ArrayLike,
    iterations: int = 20,
    eps: float = 1e-6,
    tau: float = 1.0,
    order: str = "rows",
    from_logits: bool = True,
    damping: float | None = None,
    residuals: bool = False,
    out: Array | None = None,
) -> Array | tuple[Array, Array]:
    """Matrices whose rows and columns each add up to 1, as far as so many iterations bring them there.

    From logits, the form of manifold-constrained hyper-connections:

        M = softmax(x / tau, rows) + eps;  M /= colsum + eps;  then (iterations - 1) times
        M /= rowsum + eps;  M /= colsum + eps

    Otherwise x itself is balanced: `iterations` times M /= rowsum + eps; M /= colsum + eps. Entries should not be negative;
    that is not checked. A row or column of zeros stays one.

    With `damping` it is rowsum + damping and colsum + damping that are divided by. The sums of a square matrix then converge
    to 1 - damping, not to 1 (with eps, to 1 - eps, which is as good as 1).

    Computed as M = diag(u) A diag(v): A is read once an iteration, and M written once.

    Args:
        x: (..., rows, columns), float32 or float64: logits, or with from_logits=False a matrix.
        iterations: at least 1.
        eps: added to the sums and, from logits, to the entries.
        tau: the temperature of the softmax.
        order: "rows", as above, or "columns": the same with rows and columns exchanged, so that rows come last.
        from_logits: whether x goes through exp first.
        damping: in the place of eps in sums.
        residuals: whether to return how far the sums are from 1.
        out: where to write, of x's shape and dtype; may be x itself.

    Returns:
        `out`, or a new array of x's shape and dtype. With `residuals`, a pair: that, and an array (..., 2) of the largest
        |rowsum - 1| and |colsum - 1| of each matrix. NaN, or +inf, makes its matrix NaN.

    Raises:
        ShapeError, DTypeError, LayoutError: for arrays that do not fit.
        ValueError: for an option out of range.

    >>> od.sinkhorn_knopp(np.float32([[1, 3], [2, 2]]), 3, from_logits=False).sum(axis=0).round(3)
    array([1., 1.], dtype=float32)

    Sinkhorn and Knopp 1967, "Concerning nonnegative matrices and doubly stochastic matrices"; arXiv 2512.24880 (mHC).
    """
    cdef const char *op = "sinkhorn_knopp"
    cdef ndarray source = as_array(x, op), given = None, apart = None
    cdef int type_num = real_type(source, op, "x"), axis
    cdef npy_intp dims[MOST_AXES]
    cdef ody_sinkhorn_stack s
    options(&s, iterations, eps, tau, order, from_logits, damping, op)
    matrices(&s, source, type_num, op)
    if out is not None:
        given = checked_out(out, PyArray_NDIM(source), PyArray_DIMS(source), type_num, op)
        check_overlap(given, source, op, "x")
    if residuals:
        for axis in range(PyArray_NDIM(source) - 2):
            dims[axis] = PyArray_DIMS(source)[axis]
        dims[PyArray_NDIM(source) - 2] = 2
        apart = new_array(PyArray_NDIM(source) - 1, dims, type_num)
    result = compute(&s, source, None, given, out, apart, type_num, op)
    if residuals and PyArray_SIZE(source) == 0:  # a line of nothing adds up to 0
        apart[..., 0] = PyArray_DIMS(source)[PyArray_NDIM(source) - 2] > 0
        apart[..., 1] = PyArray_DIMS(source)[PyArray_NDIM(source) - 1] > 0
    return (result, apart) if residuals else result


def sinkhorn_knopp_backward(
    grad: ArrayLike,
    x: ArrayLike,
    iterations: int = 20,
    eps: float = 1e-6,
    tau: float = 1.0,
    order: str = "rows",
    from_logits: bool = True,
    damping: float | None = None,
    method: str = "unrolled",
    out: Array | None = None,
) -> Array:
    """The gradient of `sinkhorn_knopp`, whose iterations it runs again.

    "unrolled" goes back through every one of them, and is exact for any number. "implicit" takes the sums of the result as
    given, which they are where the iterations have converged: with P the result, it solves

        rowsum · α + P β = (grad · P) 1,   Pᵀ α + colsum · β = (grad · P)ᵀ 1,   dlog A = P · (grad - α - β)

    by as many iterations again, which converge as fast. It needs no memory for the iterations. The gradient of an entry 0
    of a matrix is exact only unrolled.

    Args:
        grad: the gradient of the result.
        x: as given to `sinkhorn_knopp`, of grad's shape and dtype.
        iterations, eps, tau, order, from_logits, damping: as given to `sinkhorn_knopp`.
        method: "unrolled" or "implicit".
        out: where to write; may be grad or x itself.

    Returns:
        `out`, or a new array: the gradient of x.

    Raises:
        ShapeError, DTypeError, LayoutError: for arrays that do not fit.
        ValueError: for an option out of range.

    >>> grad = od.sinkhorn_knopp_backward(np.float64([[1, 0], [0, 0]]), np.zeros((2, 2)))
    >>> grad.round(3)
    array([[ 0.125, -0.125],
           [-0.125,  0.125]])
    """
    cdef const char *op = "sinkhorn_knopp_backward"
    cdef ndarray incoming = as_array(grad, op), source = as_array(x, op), given = None
    cdef int type_num = real_type(incoming, op, "grad")
    cdef ody_sinkhorn_stack s
    same_type(source, type_num, op, "x")
    options(&s, iterations, eps, tau, order, from_logits, damping, op)
    if method not in ("unrolled", "implicit"):
        raise ValueError(f'sinkhorn_knopp_backward: method must be "unrolled" or "implicit"; found {method!r}')
    s.implicit = method == "implicit"
    matrices(&s, source, type_num, op)
    if (<object> incoming).shape != (<object> source).shape:
        raise ShapeError(f"sinkhorn_knopp_backward: grad and x must be of one shape\n"
                         f"  grad: {describe(incoming)}    x: {describe(source)}")
    if out is not None:
        given = checked_out(out, PyArray_NDIM(source), PyArray_DIMS(source), type_num, op)
        check_overlap(given, incoming, op, "grad")
        check_overlap(given, source, op, "x")
    return compute(&s, source, incoming, given, out, None, type_num, op)


cdef int marginals(ndarray a, ndarray b, ndarray cost, double reg, object reg_m, object iterations, double tolerance,
                   const char *op) except -1:
    if (PyArray_NDIM(cost) != 2 or PyArray_NDIM(a) != 1 or PyArray_NDIM(b) != 1 or PyArray_SIZE(cost) == 0
            or PyArray_DIMS(a)[0] != PyArray_DIMS(cost)[0] or PyArray_DIMS(b)[0] != PyArray_DIMS(cost)[1]):
        raise ShapeError(f"{op.decode()}: a must be (m,), b (n,) and the matrix (m, n), none of them empty\n"
                         f"  a: {describe(a)}    b: {describe(b)}    matrix: {describe(cost)}")
    if not (isfinite(reg) and reg > 0):
        raise ValueError(f"{op.decode()}: reg must be a finite number above 0; found {reg!r}")
    if reg_m is not None and not (isfinite(reg_m) and reg_m > 0):
        raise ValueError(f"{op.decode()}: reg_m must be a finite number above 0, or None; found {reg_m!r}")
    if iterations.__index__() < 1:
        raise ValueError(f"{op.decode()}: iterations must be at least 1; found {iterations!r}")
    if not tolerance >= 0:
        raise ValueError(f"{op.decode()}: tolerance must be 0 or more; found {tolerance!r}")
    return 0


def sinkhorn(
    a: ArrayLike,
    b: ArrayLike,
    cost: ArrayLike,
    reg: float,
    reg_m: float | None = None,
    iterations: int = 1000,
    tolerance: float = 1e-6,
    log: bool = False,
    out: Array | None = None,
) -> Array | tuple[Array, SinkhornLog]:
    """The plan P that moves weights a to weights b at the least cost, Σ P · cost + reg · KL(P | a bᵀ).

    Its rows sum to a and its columns to b; with reg_m they need not, and reg_m · (KL(P 1 | a) + KL(Pᵀ 1 | b)) is added to
    what is made least. Computed in the log domain, with one exponential an element and iteration, so that a small reg neither
    overflows nor underflows to nothing; reg comes down to its value from the largest cost by halves.

    Args:
        a: (m,), weights, float32 or float64; none negative.
        b: (n,), likewise, adding up to what a adds up to unless there is reg_m.
        cost: (m, n), finite.
        reg: the strength of the entropy, above 0.
        reg_m: the strength with which the sums are held to a and b; None for exactly.
        iterations: at most so many.
        tolerance: enough, where Σ |Pᵀ 1 - b| is no more than this part of Σ b (with reg_m: where no potential moves by more,
            in units of reg). What rounding potentials as large as the cost leaves of this is never asked for.
        log: whether to return a `SinkhornLog` too: potentials f and g of P = a b exp((f + g - cost) / reg), iterations used,
            error, whether it converged.
        out: where to write P, of cost's shape and dtype; may be cost itself.

    Returns:
        `out`, or a new array: P. Its rows sum to a as exactly as floats do. With `log`, a pair.

    Raises:
        ShapeError, DTypeError, LayoutError: for arrays that do not fit.
        ValueError: for an option out of range, a negative weight, a cost that is not finite, or unequal sums.

    Warns:
        RuntimeWarning: when the iterations did not suffice.

    >>> od.sinkhorn(np.float64([0.5, 0.5]), np.float64([0.5, 0.5]), np.float64([[0, 1], [1, 0]]), 0.1).round(4)
    array([[0.5, 0. ],
           [0. , 0.5]])

    Cuturi 2013, "Sinkhorn Distances"; Chizat et al. 2018, "Scaling algorithms for unbalanced optimal transport problems".
    """
    cdef const char *op = "sinkhorn"
    cdef ndarray source = as_array(cost, op), first = as_array(a, op), second = as_array(b, op), given = None, target, f, g
    cdef int type_num = real_type(source, op, "cost"), failed
    cdef ody_transport_problem p
    cdef size_t used = 0
    cdef double error = 0, largest
    same_type(first, type_num, op, "a")
    same_type(second, type_num, op, "b")
    marginals(first, second, source, reg, reg_m, iterations, tolerance, op)
    if out is not None:
        given = checked_out(out, 2, PyArray_DIMS(source), type_num, op)
        check_overlap(given, source, op, "cost")
        check_disjoint(given, first, op, "a")
        check_disjoint(given, second, op, "b")
    for name, weights in (("a", first), ("b", second)):
        if not (np.all(weights >= 0) and 0 < np.sum(weights, dtype=np.float64) < np.inf):
            raise ValueError(f"sinkhorn: {name} must hold finite weights, none negative and not all 0")
    largest = np.ptp(source)
    if not isfinite(largest):
        raise ValueError("sinkhorn: cost must be finite; a pair that is forbidden may have a cost far above the others")
    total = np.sum(first, dtype=np.float64), np.sum(second, dtype=np.float64)
    if reg_m is None and abs(total[0] - total[1]) > 1e-3 * total[0]:
        raise ValueError(f"sinkhorn: a and b must add up to the same; found {total[0]:.6g} and {total[1]:.6g}\n"
                         f"  remedy: a / a.sum() and b / b.sum(), or reg_m for weights that may differ")
    first, second, source = contiguous(first), contiguous(second), contiguous(source)
    target = given if given is not None and cnp.PyArray_ISCARRAY(given) else new_like(source, type_num)
    f, g = new_like(first, type_num), new_like(second, type_num)
    p.rows = K.transport_rows_f32 if type_num == NPY_FLOAT else K.transport_rows_f64
    p.columns = K.transport_columns_f32 if type_num == NPY_FLOAT else K.transport_columns_f64
    p.exact = K.transport_exact_f32 if type_num == NPY_FLOAT else K.transport_exact_f64
    p.cost = PyArray_DATA(source)
    p.a = PyArray_DATA(first)
    p.b = PyArray_DATA(second)
    p.plan = PyArray_DATA(target)
    p.f = PyArray_DATA(f)
    p.g = PyArray_DATA(g)
    p.m = <size_t> PyArray_DIMS(source)[0]
    p.n = <size_t> PyArray_DIMS(source)[1]
    p.itemsize = 4 if type_num == NPY_FLOAT else 8
    p.iterations = <size_t> iterations.__index__()
    p.reg = reg
    p.relaxation = 1 if reg_m is None else reg_m / (reg_m + reg)
    p.largest = largest
    p.tolerance = max(tolerance, (2.0 ** -23 if type_num == NPY_FLOAT else 2.0 ** -52) * (1 + largest / reg))
    with nogil:
        failed = run_transport(op, &p, &used, &error)
    if failed:
        no_memory(op)
    converged = bool(error <= p.tolerance)
    if not converged:
        warnings.warn(f"sinkhorn: not converged after {used} iterations: error {error:.3g}, tolerance {p.tolerance:.3g}; "
                      f"more iterations or a larger reg would help", RuntimeWarning, stacklevel=2)
    if given is not None and target is not given:
        cnp.PyArray_CopyInto(given, target)
    result = target if given is None else out
    if not log:
        return result
    return result, SinkhornLog(np.multiply(f, reg, dtype=f.dtype), np.multiply(g, reg, dtype=g.dtype), int(used), error, converged)


def sinkhorn_backward(
    grad: ArrayLike,
    plan: ArrayLike,
    a: ArrayLike,
    b: ArrayLike,
    reg: float,
    reg_m: float | None = None,
    iterations: int = 1000,
    tolerance: float = 1e-6,
) -> tuple[Array, Array, Array]:
    """The gradients of `sinkhorn`, by implicit differentiation of what its plan P solves. With t = reg_m / (reg_m + reg), or 1,

        rowsum · α / t + P β = (grad · P) 1,   Pᵀ α + colsum · β / t = (grad · P)ᵀ 1

    and then dcost = -P · (grad - α - β) / reg, da = rowsum · α / (t a), db = colsum · β / (t b).

    Args:
        grad: (m, n), the gradient of the plan.
        plan: (m, n), the result of `sinkhorn`, converged.
        a, b, reg, reg_m: as given to `sinkhorn`.
        iterations: at most so many to solve the system.
        tolerance: enough, where β moves by no more than this part of its largest value.

    Returns:
        The gradients of a, b and cost. Where sums are exact, da and db are known up to a constant that one gains and the
        other loses.

    Raises:
        ShapeError, DTypeError: for arrays that do not fit.
        ValueError: for an option out of range.

    Warns:
        RuntimeWarning: when the iterations did not suffice.

    >>> plan = np.float64([[0.25, 0.25], [0.25, 0.25]])
    >>> da, db, dcost = od.sinkhorn_backward(np.float64([[1, 0], [0, 0]]), plan, plan.sum(1), plan.sum(0), 1.0)
    >>> dcost
    array([[-0.0625,  0.0625],
           [ 0.0625, -0.0625]])
    """
    cdef const char *op = "sinkhorn_backward"
    cdef ndarray incoming = as_array(grad, op), source = as_array(plan, op), first = as_array(a, op), second = as_array(b, op)
    cdef ndarray dcost, alpha, beta, rows, columns
    cdef int type_num = real_type(incoming, op, "grad"), state
    cdef ody_transport_gradient p
    same_type(source, type_num, op, "plan")
    same_type(first, type_num, op, "a")
    same_type(second, type_num, op, "b")
    if (<object> incoming).shape != (<object> source).shape:
        raise ShapeError(f"sinkhorn_backward: grad and plan must be of one shape\n"
                         f"  grad: {describe(incoming)}    plan: {describe(source)}")
    marginals(first, second, source, reg, reg_m, iterations, tolerance, op)
    incoming, source, first, second = contiguous(incoming), contiguous(source), contiguous(first), contiguous(second)
    dcost = new_like(source, type_num)
    alpha, rows = new_like(first, type_num), new_like(first, type_num)
    beta, columns = new_like(second, type_num), new_like(second, type_num)
    p.products = K.sinkhorn_products_f32 if type_num == NPY_FLOAT else K.sinkhorn_products_f64
    p.implicit_rows = K.sinkhorn_implicit_rows_f32 if type_num == NPY_FLOAT else K.sinkhorn_implicit_rows_f64
    p.implicit_columns = K.sinkhorn_implicit_columns_f32 if type_num == NPY_FLOAT else K.sinkhorn_implicit_columns_f64
    p.gradient = K.transport_gradient_f32 if type_num == NPY_FLOAT else K.transport_gradient_f64
    p.plan = PyArray_DATA(source)
    p.grad = PyArray_DATA(incoming)
    p.cost_grad = PyArray_DATA(dcost)
    p.row_terms = PyArray_DATA(alpha)
    p.column_terms = PyArray_DATA(beta)
    p.row_sums = PyArray_DATA(rows)
    p.column_sums = PyArray_DATA(columns)
    p.m = <size_t> PyArray_DIMS(source)[0]
    p.n = <size_t> PyArray_DIMS(source)[1]
    p.itemsize = 4 if type_num == NPY_FLOAT else 8
    p.iterations = <size_t> iterations.__index__()
    p.reg = reg
    p.relaxation = 1 if reg_m is None else reg_m / (reg_m + reg)
    p.tolerance = max(tolerance, 2.0 ** -22 if type_num == NPY_FLOAT else 2.0 ** -51)
    with nogil:
        state = run_transport_backward(op, &p)
    if state < 0:
        no_memory(op)
    if state:
        warnings.warn(f"sinkhorn_backward: not converged after {iterations} iterations; more of them or a larger reg would help",
                      RuntimeWarning, stacklevel=2)
    with np.errstate(all="ignore"):
        da = np.where(first == 0, 0, -(rows * alpha) / (p.relaxation * first)).astype(first.dtype)
        db = np.where(second == 0, 0, -(columns * beta) / (p.relaxation * second)).astype(first.dtype)
    return da, db, dcost
