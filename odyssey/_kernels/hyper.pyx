"""Manifold-constrained hyper-connections: the streams seen by a layer, mixed again after it, and the gradients."""
from libc.stddef cimport size_t
from libc.string cimport memset
from numpy cimport NPY_FLOAT, PyArray_DATA, PyArray_DIMS, PyArray_NDIM, PyArray_SIZE, ndarray, npy_intp
cimport numpy as cnp

from odyssey._kernels.array cimport (as_array, check_disjoint, check_overlap, checked_out, contiguous, describe, new_array,
                                     new_like, no_memory, real_type, same_type)
from odyssey._kernels.dispatch cimport K, run_gemm, run_hyper, run_mixing
from odyssey._kernels.kernels cimport (ODY_HYPER_DEFAULT, ODY_HYPER_HEAD, ODY_HYPER_PAPER, ODY_IDENTITY, ODY_MOST_STREAMS,
                                       ODY_STRIDED, ody_hyper, ody_mixing)
from odyssey._kernels.runtime cimport ody_gemm_stack

from odyssey._kernels.reductions import sum as column_sums
from odyssey.errors import ShapeError

cnp.import_array()


cdef ndarray streams_of(object given, const char *op):
    cdef ndarray x = as_array(given, op)
    cdef int ndim = PyArray_NDIM(x)
    real_type(x, op, "x")
    if ndim < 2 or not 1 <= PyArray_DIMS(x)[ndim - 2] <= ODY_MOST_STREAMS or PyArray_DIMS(x)[ndim - 1] == 0:
        raise ShapeError(f"{op.decode()}: x must be (..., streams, hidden) with 1 to {<int> ODY_MOST_STREAMS} streams, each of "
                         f"one element or more\n  x: {describe(x)}")
    return contiguous(x)


cdef ndarray operand_of(object given, const char *op, str name, ndarray x, int type_num, int lead, int own, npy_intp first,
                        npy_intp second):
    """A contiguous array of the `lead` first axes of x, and `own` more."""
    cdef ndarray array = as_array(given, op)
    cdef npy_intp *dims = PyArray_DIMS(array)
    cdef int axis
    cdef bint fits = PyArray_NDIM(array) == lead + own
    same_type(array, type_num, op, name)
    if fits:
        for axis in range(lead):
            fits = fits and dims[axis] == PyArray_DIMS(x)[axis]
        fits = fits and (own < 1 or dims[lead] == first) and (own < 2 or dims[lead + 1] == second)
    if not fits:
        expected = (<object> x).shape[:lead] + ((first, second)[:own])
        raise ShapeError(f"{op.decode()}: {name} must be {expected}\n  x: {describe(x)}    {name}: {describe(array)}")
    return contiguous(array)


cdef ndarray result_of(ndarray x, int lead, int own, npy_intp first, npy_intp second, int type_num):
    cdef npy_intp dims[64]
    cdef int axis
    for axis in range(lead):
        dims[axis] = PyArray_DIMS(x)[axis]
    dims[lead] = first
    dims[lead + 1] = second
    return new_array(lead + own, dims, type_num)


cdef size_t tokens_of(ndarray x) noexcept:
    cdef int ndim = PyArray_NDIM(x)
    return <size_t> (PyArray_SIZE(x) // (PyArray_DIMS(x)[ndim - 1] * PyArray_DIMS(x)[ndim - 2]))


cdef int set_up(ody_hyper *h, const char *op, ndarray x, object iterations, double eps, double norm_eps, object variant) except -1:
    """Everything but the arrays; also what no array decides."""
    cdef int ndim = PyArray_NDIM(x)
    memset(h, 0, sizeof(ody_hyper))
    if variant is None:
        h.kind = ODY_HYPER_HEAD
    else:
        if iterations < 1:
            raise ValueError(f"{op.decode()}: iterations must be at least 1, found {iterations}")
        if variant == "default":
            h.kind = ODY_HYPER_DEFAULT
        elif variant == "paper":
            h.kind = ODY_HYPER_PAPER
        else:
            raise ValueError(f"{op.decode()}: variant must be one of default, paper, found {variant!r}")
        h.iterations = iterations
    h.tokens = tokens_of(x)
    h.streams = <size_t> PyArray_DIMS(x)[ndim - 2]
    h.hidden = <size_t> PyArray_DIMS(x)[ndim - 1]
    h.eps = eps
    h.norm_eps = norm_eps
    h.x = PyArray_DATA(x)
    return 0


cdef int run(const char *op, ody_hyper *h, int type_num, int backward) except -1:
    cdef int failed
    with nogil:
        if type_num == NPY_FLOAT:
            failed = run_hyper(op, K.hyper_pre_backward_f32 if backward else K.hyper_pre_f32, K.hyper_workspace_f32, backward, h, 4)
        else:
            failed = run_hyper(op, K.hyper_pre_backward_f64 if backward else K.hyper_pre_f64, K.hyper_workspace_f64, backward, h, 8)
    if failed:
        no_memory(op)
    return 0


cdef object parameters(ody_hyper *h, const char *op, ndarray dproduct, ndarray terms, npy_intp outputs, npy_intp scales,
                       int type_num):
    """The sums over tokens: of fn a product of matrices, of base and scale the columns of terms."""
    cdef npy_intp dims[2]
    cdef ndarray dfn
    cdef ody_gemm_stack s
    cdef int failed
    dims[0] = outputs
    dims[1] = <npy_intp> (h.streams * h.hidden)
    dfn = new_array(2, dims, type_num)
    memset(&s, 0, sizeof(s))
    s.itemsize = 4 if type_num == NPY_FLOAT else 8
    s.first.m = <size_t> outputs
    s.first.n = <size_t> dims[1]
    s.first.k = h.tokens
    s.first.a = PyArray_DATA(dproduct)
    s.first.a_row = 1
    s.first.a_col = outputs
    s.first.b = h.x
    s.first.b_row = dims[1]
    s.first.b_col = 1
    s.first.c = PyArray_DATA(dfn)
    s.first.c_row = dims[1]
    s.first.alpha = 1
    s.first.activation = ODY_IDENTITY
    s.first.format = ODY_STRIDED
    with nogil:
        failed = run_gemm(op, K.gemm_f32 if type_num == NPY_FLOAT else K.gemm_f64,
                          K.gemm_workspace_f32 if type_num == NPY_FLOAT else K.gemm_workspace_f64, &s)
    if failed:
        no_memory(op)
    sums = column_sums(terms, 0)
    return dfn, sums[:outputs].copy(), sums[outputs:].copy()


def hyper_pre(
    x: ArrayLike,
    fn: ArrayLike,
    base: ArrayLike,
    scale: ArrayLike,
    iterations: int = 20,
    eps: float = 1e-6,
    norm_eps: float = 1e-6,
    variant: str = "default",
) -> tuple[Array, Array, Array, Array]:
    """What a layer sees of n streams, and how they will be mixed after it: one pass over x.

        mix = (fn · vec(x)) / √(mean(vec(x)²) + norm_eps), in the order pre, post, comb
        pre = σ(mix · scale[0] + base) + eps,   post = 2 σ(mix · scale[1] + base)
        M = softmax(mix · scale[2] + base, rows) + eps;   M /= column sums + eps
        (iterations - 1) times:   M /= row sums + eps;   M /= column sums + eps;   comb = M
        collapsed = Σ pre[j] x[j]

    Args:
        x: (..., n, hidden), float32 or float64, 1 <= n <= 8; copied unless contiguous.
        fn: ((2 + n) n, n · hidden). base: ((2 + n) n,). scale: (3,).
        iterations: at least 1.
        eps: against divisions by 0, and the least that a stream is seen by.
        norm_eps: added to the mean square.
        variant: "paper" for the paper's own: columns first, then rows, of H = comb transposed, and no eps in pre and H.

    Returns:
        collapsed (..., hidden), post (..., n), comb (..., n, n), and mix (..., (2 + n) n), which the gradient needs. A
        token has the same bits alone and among others.

    Raises:
        ShapeError: for shapes that do not fit.
        DTypeError: unless all arrays are float32, or all float64.
        ValueError: for a variant that there is not, and for no iterations.

    >>> x = np.ones((1, 2, 3), np.float32)
    >>> zeros = np.zeros((8, 6), np.float32)
    >>> collapsed, post, comb, mix = od.hyper_pre(x, zeros, zeros[:, 0], np.ones(3, np.float32))
    >>> collapsed.round(3), post, comb.round(3)
    (array([[1., 1., 1.]], dtype=float32), array([[1., 1.]], dtype=float32), array([[[0.5, 0.5],
            [0.5, 0.5]]], dtype=float32))

    Xie et al. 2025, "mHC: Manifold-Constrained Hyper-Connections", arXiv 2512.24880, in the form of DeepSeek-V4.
    """
    cdef const char *op = "hyper_pre"
    cdef ody_hyper h
    cdef ndarray a = streams_of(x, op), f, b, s, collapsed, post, comb, mix
    cdef int type_num = real_type(a, op, "x"), lead = PyArray_NDIM(a) - 2
    cdef npy_intp n = PyArray_DIMS(a)[lead], hidden = PyArray_DIMS(a)[lead + 1], outputs = (2 + n) * n
    f = operand_of(fn, op, "fn", a, type_num, 0, 2, outputs, n * hidden)
    b = operand_of(base, op, "base", a, type_num, 0, 1, outputs, 0)
    s = operand_of(scale, op, "scale", a, type_num, 0, 1, 3, 0)
    set_up(&h, op, a, iterations, eps, norm_eps, variant)
    collapsed = result_of(a, lead, 1, hidden, 0, type_num)
    post = result_of(a, lead, 1, n, 0, type_num)
    comb = result_of(a, lead, 2, n, n, type_num)
    mix = result_of(a, lead, 1, outputs, 0, type_num)
    h.fn = PyArray_DATA(f)
    h.base = PyArray_DATA(b)
    h.scale = PyArray_DATA(s)
    h.collapsed = PyArray_DATA(collapsed)
    h.post = PyArray_DATA(post)
    h.comb = PyArray_DATA(comb)
    h.mix = PyArray_DATA(mix)
    run(op, &h, type_num, 0)
    return collapsed, post, comb, mix


def hyper_pre_backward(
    grad_collapsed: ArrayLike,
    grad_post: ArrayLike | None,
    grad_comb: ArrayLike | None,
    x: ArrayLike,
    fn: ArrayLike,
    base: ArrayLike,
    scale: ArrayLike,
    mix: ArrayLike,
    iterations: int = 20,
    eps: float = 1e-6,
    norm_eps: float = 1e-6,
    variant: str = "default",
) -> tuple[Array, Array, Array, Array]:
    """The gradients of x, fn, base and scale, back through the iterations one by one.

    Args:
        grad_collapsed, grad_post, grad_comb: as `hyper_pre` returned what they are gradients of; None for zeros.
        x, fn, base, scale, iterations, eps, norm_eps, variant: as given to `hyper_pre`.
        mix: what it returned.

    Raises:
        ShapeError, DTypeError, ValueError: as `hyper_pre`.

    >>> one, x = np.ones((1, 1), np.float32), np.ones((1, 1, 1), np.float32)
    >>> od.hyper_pre_backward(one, None, None, x, np.zeros((3, 1), np.float32), np.zeros(3, np.float32),
    ...                       np.ones(3, np.float32), np.zeros((1, 3), np.float32))[2]
    array([0.25, 0.  , 0.  ], dtype=float32)
    """
    cdef const char *op = "hyper_pre_backward"
    cdef ody_hyper h
    cdef ndarray a = streams_of(x, op), f, b, s, g, m, by_post = None, by_comb = None, dx, dproduct, terms
    cdef int type_num = real_type(a, op, "x"), lead = PyArray_NDIM(a) - 2
    cdef npy_intp n = PyArray_DIMS(a)[lead], hidden = PyArray_DIMS(a)[lead + 1], outputs = (2 + n) * n
    cdef npy_intp dims[2]
    f = operand_of(fn, op, "fn", a, type_num, 0, 2, outputs, n * hidden)
    b = operand_of(base, op, "base", a, type_num, 0, 1, outputs, 0)
    s = operand_of(scale, op, "scale", a, type_num, 0, 1, 3, 0)
    g = operand_of(grad_collapsed, op, "grad_collapsed", a, type_num, lead, 1, hidden, 0)
    m = operand_of(mix, op, "mix", a, type_num, lead, 1, outputs, 0)
    if grad_post is not None:
        by_post = operand_of(grad_post, op, "grad_post", a, type_num, lead, 1, n, 0)
    if grad_comb is not None:
        by_comb = operand_of(grad_comb, op, "grad_comb", a, type_num, lead, 2, n, n)
    set_up(&h, op, a, iterations, eps, norm_eps, variant)
    dx = new_like(a, type_num)
    dims[0] = <npy_intp> h.tokens
    dims[1] = outputs
    dproduct = new_array(2, dims, type_num)
    dims[1] = outputs + 3
    terms = new_array(2, dims, type_num)
    h.fn = PyArray_DATA(f)
    h.base = PyArray_DATA(b)
    h.scale = PyArray_DATA(s)
    h.mix = PyArray_DATA(m)
    h.grad_collapsed = PyArray_DATA(g)
    h.grad_post = NULL if by_post is None else PyArray_DATA(by_post)
    h.grad_comb = NULL if by_comb is None else PyArray_DATA(by_comb)
    h.dx = PyArray_DATA(dx)
    h.dproduct = PyArray_DATA(dproduct)
    h.terms = PyArray_DATA(terms)
    run(op, &h, type_num, 1)
    dfn, dbase, dscale = parameters(&h, op, dproduct, terms, outputs, 3, type_num)
    return dx, dfn, dbase, dscale


def hyper_head(
    x: ArrayLike, fn: ArrayLike, base: ArrayLike, scale: ArrayLike, eps: float = 1e-6, norm_eps: float = 1e-6
) -> Array:
    """The streams' last sum, Σ (σ(mix · scale + base) + eps) x[j], mix as in `hyper_pre`.

    Args:
        x: (..., n, hidden), float32 or float64, 1 <= n <= 8; copied unless contiguous.
        fn: (n, n · hidden). base: (n,). scale: (1,).

    Returns:
        (..., hidden).

    Raises:
        ShapeError, DTypeError: for arrays that do not fit.

    >>> od.hyper_head(np.ones((1, 2, 1), np.float32), np.zeros((2, 2), np.float32), np.zeros(2, np.float32),
    ...               np.ones(1, np.float32)).round(3)
    array([[1.]], dtype=float32)
    """
    cdef const char *op = "hyper_head"
    cdef ody_hyper h
    cdef ndarray a = streams_of(x, op), f, b, s, collapsed
    cdef int type_num = real_type(a, op, "x"), lead = PyArray_NDIM(a) - 2
    cdef npy_intp n = PyArray_DIMS(a)[lead], hidden = PyArray_DIMS(a)[lead + 1]
    f = operand_of(fn, op, "fn", a, type_num, 0, 2, n, n * hidden)
    b = operand_of(base, op, "base", a, type_num, 0, 1, n, 0)
    s = operand_of(scale, op, "scale", a, type_num, 0, 1, 1, 0)
    set_up(&h, op, a, None, eps, norm_eps, None)
    collapsed = result_of(a, lead, 1, hidden, 0, type_num)
    h.fn = PyArray_DATA(f)
    h.base = PyArray_DATA(b)
    h.scale = PyArray_DATA(s)
    h.collapsed = PyArray_DATA(collapsed)
    run(op, &h, type_num, 0)
    return collapsed


def hyper_head_backward(
    grad: ArrayLike,
    x: ArrayLike,
    fn: ArrayLike,
    base: ArrayLike,
    scale: ArrayLike,
    eps: float = 1e-6,
    norm_eps: float = 1e-6,
) -> tuple[Array, Array, Array, Array]:
    """The gradients of x, fn, base and scale; mix is computed again.

    Args:
        grad: (..., hidden), the gradient of the result.
        x, fn, base, scale, eps, norm_eps: as given to `hyper_head`.

    Raises:
        ShapeError, DTypeError: for arrays that do not fit.

    >>> one, zero = np.ones((1, 1), np.float32), np.zeros(1, np.float32)
    >>> od.hyper_head_backward(one, np.ones((1, 1, 1), np.float32), 0 * one, zero, np.ones(1, np.float32))[2]
    array([0.25], dtype=float32)
    """
    cdef const char *op = "hyper_head_backward"
    cdef ody_hyper h
    cdef ndarray a = streams_of(x, op), f, b, s, g, mix, dx, dproduct, terms
    cdef int type_num = real_type(a, op, "x"), lead = PyArray_NDIM(a) - 2
    cdef npy_intp n = PyArray_DIMS(a)[lead], hidden = PyArray_DIMS(a)[lead + 1]
    cdef npy_intp dims[2]
    f = operand_of(fn, op, "fn", a, type_num, 0, 2, n, n * hidden)
    b = operand_of(base, op, "base", a, type_num, 0, 1, n, 0)
    s = operand_of(scale, op, "scale", a, type_num, 0, 1, 1, 0)
    g = operand_of(grad, op, "grad", a, type_num, lead, 1, hidden, 0)
    set_up(&h, op, a, None, eps, norm_eps, None)
    dx = new_like(a, type_num)
    dims[0] = <npy_intp> h.tokens
    dims[1] = n
    mix = new_array(2, dims, type_num)
    dproduct = new_array(2, dims, type_num)
    dims[1] = n + 1
    terms = new_array(2, dims, type_num)
    h.fn = PyArray_DATA(f)
    h.base = PyArray_DATA(b)
    h.scale = PyArray_DATA(s)
    h.mix = PyArray_DATA(mix)
    run(op, &h, type_num, 0)
    h.grad_collapsed = PyArray_DATA(g)
    h.dx = PyArray_DATA(dx)
    h.dproduct = PyArray_DATA(dproduct)
    h.terms = PyArray_DATA(terms)
    run(op, &h, type_num, 1)
    dfn, dbase, dscale = parameters(&h, op, dproduct, terms, n, 1, type_num)
    return dx, dfn, dbase, dscale


cdef int mixing_of(ody_mixing *m, ndarray f, ndarray x, ndarray post, ndarray comb) except -1:
    memset(m, 0, sizeof(ody_mixing))
    m.tokens = tokens_of(x)
    m.streams = <size_t> PyArray_DIMS(x)[PyArray_NDIM(x) - 2]
    m.hidden = <size_t> PyArray_DIMS(x)[PyArray_NDIM(x) - 1]
    m.f = PyArray_DATA(f)
    m.x = PyArray_DATA(x)
    m.post = PyArray_DATA(post)
    m.comb = PyArray_DATA(comb)
    return 0


def hyper_post(f: ArrayLike, x: ArrayLike, post: ArrayLike, comb: ArrayLike, out: Array | None = None) -> Array:
    """The streams after a layer: x'[k] = post[k] · f + Σⱼ comb[j, k] · x[j], in one pass.

    Args:
        f: (..., hidden), what the layer made of `collapsed`. float32 or float64, as all the others.
        x: (..., n, hidden), as given to `hyper_pre`, 1 <= n <= 8.
        post: (..., n). comb: (..., n, n); its first axis counts the streams that were, its second those to be.
        out: where to write, of x's shape. May be x itself: the streams are then mixed in place.

    Raises:
        ShapeError, DTypeError: for arrays that do not fit.
        LayoutError: if out is read-only, or overlaps f, post or comb, or x in any way but being it.

    >>> swap = np.float32([[[0, 1], [1, 0]]])
    >>> od.hyper_post(np.float32([[10]]), np.float32([[[1], [2]]]), np.float32([[1, 0]]), swap)
    array([[[12.],
            [ 1.]]], dtype=float32)
    """
    cdef const char *op = "hyper_post"
    cdef ody_mixing m
    cdef ndarray given = as_array(x, op), a = streams_of(given, op), g, p, c, result, target
    cdef int type_num = real_type(a, op, "x"), lead = PyArray_NDIM(a) - 2
    cdef npy_intp n = PyArray_DIMS(a)[lead], hidden = PyArray_DIMS(a)[lead + 1]
    g = operand_of(f, op, "f", a, type_num, lead, 1, hidden, 0)
    p = operand_of(post, op, "post", a, type_num, lead, 1, n, 0)
    c = operand_of(comb, op, "comb", a, type_num, lead, 2, n, n)
    if out is None:
        result = target = new_like(a, type_num)
    else:
        result = checked_out(out, lead + 2, PyArray_DIMS(a), type_num, op)
        check_overlap(result, given, op, "x")
        for name, one in (("f", f), ("post", post), ("comb", comb)):
            check_disjoint(result, as_array(one, op), op, name)
        target = result if contiguous(result) is result else new_like(a, type_num)
    mixing_of(&m, g, a, p, c)
    m.out = PyArray_DATA(target)
    with nogil:
        run_mixing(op, K.hyper_post_f32 if type_num == NPY_FLOAT else K.hyper_post_f64, &m, 4 if type_num == NPY_FLOAT else 8)
    if target is not result:
        cnp.PyArray_CopyInto(result, target)
    return result if out is None else out


def hyper_post_backward(
    grad: ArrayLike, f: ArrayLike, x: ArrayLike, post: ArrayLike, comb: ArrayLike
) -> tuple[Array, Array, Array, Array]:
    """The gradients of f, x, post and comb, in one pass.

    Args:
        grad: (..., n, hidden), the gradient of the result.
        f, x, post, comb: as given to `hyper_post`.

    Raises:
        ShapeError, DTypeError: for arrays that do not fit.

    >>> one = np.ones((1, 1), np.float32)
    >>> od.hyper_post_backward(np.float32([[[2]]]), 3 * one, np.float32([[[5]]]), 7 * one, np.float32([[[11]]]))[3]
    array([[[10.]]], dtype=float32)
    """
    cdef const char *op = "hyper_post_backward"
    cdef ody_mixing m
    cdef ndarray a = streams_of(x, op), g, p, c, b, df, dx, dpost, dcomb
    cdef int type_num = real_type(a, op, "x"), lead = PyArray_NDIM(a) - 2
    cdef npy_intp n = PyArray_DIMS(a)[lead], hidden = PyArray_DIMS(a)[lead + 1]
    b = operand_of(grad, op, "grad", a, type_num, lead, 2, n, hidden)
    g = operand_of(f, op, "f", a, type_num, lead, 1, hidden, 0)
    p = operand_of(post, op, "post", a, type_num, lead, 1, n, 0)
    c = operand_of(comb, op, "comb", a, type_num, lead, 2, n, n)
    df = new_like(g, type_num)
    dx = new_like(a, type_num)
    dpost = new_like(p, type_num)
    dcomb = new_like(c, type_num)
    mixing_of(&m, g, a, p, c)
    m.grad = PyArray_DATA(b)
    m.df = PyArray_DATA(df)
    m.dx = PyArray_DATA(dx)
    m.dpost = PyArray_DATA(dpost)
    m.dcomb = PyArray_DATA(dcomb)
    with nogil:
        run_mixing(op, K.hyper_post_backward_f32 if type_num == NPY_FLOAT else K.hyper_post_backward_f64, &m,
                   4 if type_num == NPY_FLOAT else 8)
    return df, dx, dpost, dcomb
