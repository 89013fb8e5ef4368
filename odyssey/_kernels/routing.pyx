"""Tokens and their experts: the choice, the sum of what the experts made, and their gradients."""
from libc.stddef cimport ptrdiff_t, size_t
from libc.stdint cimport int64_t
from libc.string cimport memset
from numpy cimport NPY_FLOAT, NPY_INT64, PyArray_DATA, PyArray_DIMS, PyArray_NDIM, ndarray, npy_intp
cimport numpy as cnp

from odyssey._kernels.array cimport (GIL_WORTH, as_array, check_disjoint, checked_numbers, checked_out, contiguous, describe,
                                     new_array, no_memory, real_type, row_contiguous, same_type)
from odyssey._kernels.dispatch cimport K, run_combine, run_combine_backward, run_rows
from odyssey._kernels.kernels cimport ody_combine, ody_combine_fn, ody_rows, ody_rows_fn

from odyssey.errors import ShapeError

cnp.import_array()

cdef enum:
    ROUTE_COST = 16  # of a logit: an exponential, and being compared


cdef ndarray logits_of(object given, const char *op):
    cdef ndarray x = as_array(given, op)
    real_type(x, op, "logits")
    if PyArray_NDIM(x) != 2:
        raise ShapeError(f"{op.decode()}: logits must be (T, E): tokens, experts\n  logits: {describe(x)}")
    return x


cdef ndarray shaped(object given, const char *op, str name, int type_num, npy_intp rows, npy_intp columns):
    """An operand of two axes, of the others' type."""
    cdef ndarray x = as_array(given, op)
    same_type(x, type_num, op, name)
    if PyArray_NDIM(x) != 2 or PyArray_DIMS(x)[0] != rows or PyArray_DIMS(x)[1] != columns:
        raise ShapeError(f"{op.decode()}: {name} must be of shape ({rows}, {columns})\n  {name}: {describe(x)}")
    return x


cdef int route(const char *op, ody_rows_fn f, ody_rows *r, int type_num) except -1:
    if r.rows * r.n * ROUTE_COST < GIL_WORTH:
        run_rows(op, f, r, ROUTE_COST)
    else:
        with nogil:
            run_rows(op, f, r, ROUTE_COST)
    return 0


def moe_route(logits: ArrayLike, k: int, renormalize: bool = True) -> tuple[Array, Array]:
    """Each token's k likeliest experts, likeliest first, and their weights.

    Args:
        logits: (T, E), float32 or float64: the router's result for T tokens and E experts.
        k: how many experts a token has, in [1, E].
        renormalize: whether a token's weights are divided by their sum, as in Mixtral, or not, as in OLMoE.

    Returns:
        weights (T, k), softmax(logits) at the k largest, and experts (T, k) int64, their numbers; of equal logits the
        lower number comes first. NaN counts as the least logit, and makes all weights of its token NaN.

    Raises:
        ValueError: for a k outside of [1, E]. DTypeError, ShapeError: for logits of another type or rank.

    >>> od.moe_route(np.float32([[0, 1, 1]]), 2)
    (array([[0.5, 0.5]], dtype=float32), array([[1, 2]]))

    Shazeer et al. 2017, "Outrageously Large Neural Networks".
    """
    cdef const char *op = "moe_route"
    cdef ndarray x = logits_of(logits, op), weights, experts
    cdef int type_num = cnp.PyArray_TYPE(x)
    cdef ptrdiff_t item = 4 if type_num == NPY_FLOAT else 8
    cdef npy_intp dims[2]
    cdef ody_rows r
    memset(&r, 0, sizeof(r))
    r.rows = <size_t> PyArray_DIMS(x)[0]
    r.n = <size_t> PyArray_DIMS(x)[1]
    if not 1 <= k <= PyArray_DIMS(x)[1]:
        raise ValueError(f"moe_route: k must lie in [1, {r.n}], the number of experts; found {k!r}\n"
                         f"  logits: {describe(x)}")
    x = row_contiguous(x, &r.in_step[0])
    dims[0] = PyArray_DIMS(x)[0]
    dims[1] = k
    weights = new_array(2, dims, type_num)
    experts = new_array(2, dims, NPY_INT64)
    r.in_[0] = PyArray_DATA(x)
    r.out[0] = PyArray_DATA(weights)
    r.out_step[0] = dims[1] * item
    r.out[1] = PyArray_DATA(experts)
    r.out_step[1] = dims[1] * <ptrdiff_t> sizeof(int64_t)
    r.param[0] = dims[1]
    r.param[1] = bool(renormalize)
    route(op, K.moe_route_f32 if type_num == NPY_FLOAT else K.moe_route_f64, &r, type_num)
    return weights, experts


def moe_route_backward(
    grad: ArrayLike, logits: ArrayLike, experts: ArrayLike, renormalize: bool = True, out: Array | None = None
) -> Array:
    """The gradient of the logits, from that of the weights; the choice of experts has none.

    Args:
        grad: (T, k), the gradient of the weights.
        logits, renormalize: as given to `moe_route`.
        experts: (T, k), as it returned them; int64 (int32 is copied).
        out: (T, E), where to write.

    Returns:
        `out`, or a new array (T, E).

    Raises:
        IndexError: for an expert that there is not.
        ShapeError, DTypeError, LayoutError: for arrays that do not fit.

    >>> od.moe_route_backward(np.float32([[1, 0]]), np.float32([[0, 1, 1]]), np.array([[1, 2]]))
    array([[ 0.  ,  0.25, -0.25]], dtype=float32)
    """
    cdef const char *op = "moe_route_backward"
    cdef ndarray x = logits_of(logits, op), g, chosen, result, target
    cdef int type_num = cnp.PyArray_TYPE(x)
    cdef ptrdiff_t item = 4 if type_num == NPY_FLOAT else 8
    cdef npy_intp dims[2]
    cdef ody_rows r
    memset(&r, 0, sizeof(r))
    dims[0] = PyArray_DIMS(x)[0]
    dims[1] = PyArray_DIMS(x)[1]
    chosen = checked_numbers(experts, dims[1], op, "experts", "the experts of the logits")
    if PyArray_NDIM(chosen) != 2 or PyArray_DIMS(chosen)[0] != dims[0]:
        raise ShapeError(f"moe_route_backward: experts must be (T, k), T the tokens of the logits\n"
                         f"  experts: {describe(chosen)}    logits: {describe(x)}")
    g = shaped(grad, op, "grad", type_num, dims[0], PyArray_DIMS(chosen)[1])
    if out is None:
        result = target = new_array(2, dims, type_num)
    else:
        result = target = checked_out(out, 2, dims, type_num, op)
        for name, one in (("grad", g), ("logits", x), ("experts", chosen)):
            check_disjoint(result, one, op, name)
        if not cnp.PyArray_ISCARRAY(result):
            target = new_array(2, dims, type_num)
    x = row_contiguous(x, &r.in_step[1])
    g = row_contiguous(g, &r.in_step[0])
    r.in_[0] = PyArray_DATA(g)
    r.in_[1] = PyArray_DATA(x)
    r.in_[2] = PyArray_DATA(chosen)
    r.in_step[2] = PyArray_DIMS(chosen)[1] * <ptrdiff_t> sizeof(int64_t)
    r.out[0] = PyArray_DATA(target)
    r.out_step[0] = dims[1] * item
    r.rows = <size_t> dims[0]
    r.n = <size_t> dims[1]
    r.param[0] = PyArray_DIMS(chosen)[1]
    r.param[1] = bool(renormalize)
    route(op, K.moe_route_backward_f32 if type_num == NPY_FLOAT else K.moe_route_backward_f64, &r, type_num)
    if target is not result:
        cnp.PyArray_CopyInto(result, target)
    return result if out is None else out


cdef class Combination:
    """The operands of moe_combine, checked, and the struct that says where they lie."""
    cdef ody_combine c
    cdef ndarray x, weights, rows
    cdef int type_num
    cdef size_t item

    def __cinit__(self, bytes name, object x, object weights, object rows):
        cdef const char *op = name
        cdef ndarray table = as_array(x, op)
        self.type_num = real_type(table, op, "x")
        self.item = 4 if self.type_num == NPY_FLOAT else 8
        memset(&self.c, 0, sizeof(ody_combine))
        if PyArray_NDIM(table) != 2:
            raise ShapeError(f"{op.decode()}: x must be (R, H)\n  x: {describe(table)}")
        self.rows = checked_numbers(rows, PyArray_DIMS(table)[0], op, "rows", "the rows of x")
        if PyArray_NDIM(self.rows) != 2:
            raise ShapeError(f"{op.decode()}: rows must be (T, k)\n  rows: {describe(self.rows)}")
        self.x = row_contiguous(table, &self.c.x_step)
        self.weights = contiguous(shaped(weights, op, "weights", self.type_num, PyArray_DIMS(self.rows)[0],
                                         PyArray_DIMS(self.rows)[1]))
        self.c.x = PyArray_DATA(self.x)
        self.c.weights = PyArray_DATA(self.weights)
        self.c.rows = <const int64_t *> PyArray_DATA(self.rows)
        self.c.tokens = <size_t> PyArray_DIMS(self.rows)[0]
        self.c.k = <size_t> PyArray_DIMS(self.rows)[1]
        self.c.n = <size_t> PyArray_DIMS(table)[1]


def moe_combine(x: ArrayLike, weights: ArrayLike, rows: ArrayLike, out: Array | None = None) -> Array:
    """The sum of weights[t, j] * x[rows[t, j]] over j, ascending: what its experts made of each token, together.

    Args:
        x: (R, H), float32 or float64. One whose rows are not contiguous is copied first.
        weights: (T, k), of x's dtype.
        rows: (T, k), int64 (int32 is copied), each in [0, R).
        out: (T, H), where to write.

    Returns:
        `out`, or a new array (T, H).

    Raises:
        IndexError: for a number that is no row, naming the first.
        ShapeError, DTypeError, LayoutError: for arrays that do not fit.

    >>> od.moe_combine(np.float32([[1, 2], [3, 4]]), np.float32([[1, 10]]), np.array([[1, 0]]))
    array([[13., 24.]], dtype=float32)
    """
    cdef Combination one = Combination(b"moe_combine", x, weights, rows)
    cdef ndarray result, target
    cdef npy_intp dims[2]
    cdef ody_combine_fn f = K.moe_combine_f32 if one.type_num == NPY_FLOAT else K.moe_combine_f64
    dims[0] = <npy_intp> one.c.tokens
    dims[1] = <npy_intp> one.c.n
    if out is None:
        result = target = new_array(2, dims, one.type_num)
    else:
        result = target = checked_out(out, 2, dims, one.type_num, "moe_combine")
        for name, given in (("x", x), ("weights", weights), ("rows", rows)):
            check_disjoint(result, as_array(given, "moe_combine"), "moe_combine", name)
        if not cnp.PyArray_ISCARRAY(result):
            target = new_array(2, dims, one.type_num)
    one.c.out = PyArray_DATA(target)
    one.c.out_step = <ptrdiff_t> (one.c.n * one.item)
    if one.c.tokens * one.c.k * one.c.n < GIL_WORTH:
        run_combine("moe_combine", f, &one.c, one.item)
    else:
        with nogil:
            run_combine("moe_combine", f, &one.c, one.item)
    if target is not result:
        cnp.PyArray_CopyInto(result, target)
    return result if out is None else out


def moe_combine_backward(
    grad: ArrayLike, x: ArrayLike, weights: ArrayLike, rows: ArrayLike
) -> tuple[Array, Array]:
    """The gradients of x, (R, H), and of the weights, (T, k).

    What a row of x receives is added in the order of the places that name it, so that the bits depend on nothing else;
    one that is not named receives 0.

    Args:
        grad: (T, H), the gradient of the result. One whose rows are not contiguous is copied first.
        x, weights, rows: as given to `moe_combine`.

    Raises:
        IndexError, ShapeError, DTypeError: as `moe_combine`.

    >>> od.moe_combine_backward(np.float32([[1, 2]]), np.float32([[1, 2], [3, 4]]), np.float32([[5]]), np.array([[1]]))
    (array([[ 0.,  0.],
           [ 5., 10.]], dtype=float32), array([[11.]], dtype=float32))
    """
    cdef const char *op = "moe_combine_backward"
    cdef Combination one = Combination(op, x, weights, rows)
    cdef ody_combine by_rows
    cdef ndarray g, by_x, by_weights
    cdef npy_intp dims[2]
    cdef int failed
    cdef size_t places = one.c.tokens * one.c.k
    cdef ody_combine_fn to_x = K.moe_combine_backward_f32 if one.type_num == NPY_FLOAT else K.moe_combine_backward_f64
    cdef ody_combine_fn to_weights = (K.moe_combine_backward_weights_f32 if one.type_num == NPY_FLOAT
                                      else K.moe_combine_backward_weights_f64)
    g = row_contiguous(shaped(grad, op, "grad", one.type_num, <npy_intp> one.c.tokens, <npy_intp> one.c.n),
                       &one.c.grad_step)
    one.c.grad = PyArray_DATA(g)
    by_rows = one.c
    dims[0] = PyArray_DIMS(one.x)[0]
    dims[1] = PyArray_DIMS(one.x)[1]
    by_x = new_array(2, dims, one.type_num)
    by_rows.tokens = <size_t> dims[0]
    by_rows.out = PyArray_DATA(by_x)
    by_rows.out_step = <ptrdiff_t> (one.c.n * one.item)
    dims[0] = <npy_intp> one.c.tokens
    dims[1] = <npy_intp> one.c.k
    by_weights = new_array(2, dims, one.type_num)
    one.c.out = PyArray_DATA(by_weights)
    one.c.out_step = <ptrdiff_t> (one.c.k * one.item)
    with nogil:
        failed = run_combine_backward(op, to_x, &by_rows, places, one.item)
        run_combine(op, to_weights, &one.c, one.item)
    if failed:
        no_memory(op)
    return by_x, by_weights
