"""Scaled dot-product attention without a score matrix, and its gradients."""
from libc.math cimport sqrt
from libc.stddef cimport ptrdiff_t, size_t
from numpy cimport (NPY_ARRAY_ALIGNED, NPY_BOOL, NPY_FLOAT, PyArray_CHKFLAGS, PyArray_CopyInto, PyArray_DATA, PyArray_DIMS,
                    PyArray_ITEMSIZE, PyArray_NDIM, PyArray_STRIDES, PyArray_TYPE, ndarray, npy_intp)
cimport numpy as cnp

from odyssey._kernels.array cimport (GIL_WORTH, as_array, check_disjoint, checked_out, contiguous, describe, new_array,
                                     no_memory, real_type, rows_of, same_type)
from odyssey._kernels.dispatch cimport K, run_attention
from odyssey._kernels.kernels cimport ODY_MASK_ADD, ODY_MASK_BYTES, ody_attention
from odyssey._kernels.runtime cimport ody_attention_stack

from odyssey.errors import DTypeError, ShapeError

cnp.import_array()


cdef str shapes(ndarray query, ndarray key, ndarray value):
    return f"  query: {describe(query)}    key: {describe(key)}    value: {describe(value)}"


cdef int check_shapes(ndarray query, ndarray key, ndarray value, const char *op) except -1:
    cdef int ndim = PyArray_NDIM(query), axis
    cdef npy_intp *q = PyArray_DIMS(query)
    cdef npy_intp *k = PyArray_DIMS(key)
    cdef npy_intp *v = PyArray_DIMS(value)
    if ndim < 2 or PyArray_NDIM(key) != ndim or PyArray_NDIM(value) != ndim:
        raise ShapeError(f"{op.decode()}: query must be (..., heads, queries, depth), key (..., key heads, keys, depth) and "
                         f"value (..., key heads, keys, value depth)\n{shapes(query, key, value)}")
    if q[ndim - 1] != k[ndim - 1]:
        raise ShapeError(f"{op.decode()}: query's depth ({q[ndim - 1]}) must be key's ({k[ndim - 1]})\n"
                         f"{shapes(query, key, value)}")
    if k[ndim - 2] != v[ndim - 2]:
        raise ShapeError(f"{op.decode()}: there must be one value for each key; found {k[ndim - 2]} keys and "
                         f"{v[ndim - 2]} values\n{shapes(query, key, value)}")
    for axis in range(ndim - 2):
        if k[axis] != v[axis] or (q[axis] != k[axis] and axis < ndim - 3):
            raise ShapeError(f"{op.decode()}: axes before the heads must be equal in all three, and key and value have the "
                             f"same heads\n{shapes(query, key, value)}\n  remedy: np.broadcast_to, which does not copy")
    if ndim > 2 and (q[ndim - 3] % k[ndim - 3] if k[ndim - 3] else q[ndim - 3]):
        raise ShapeError(f"{op.decode()}: query's heads ({q[ndim - 3]}) must be a multiple of key's ({k[ndim - 3]})\n"
                         f"{shapes(query, key, value)}")
    return 0


cdef ndarray check_mask(object given, ndarray query, ndarray key, int type_num, const char *op):
    """The mask as it will be walked: bool, or of the type of the others."""
    cdef ndarray m = as_array(given, op)
    cdef int ndim = PyArray_NDIM(query), own = PyArray_NDIM(m), axis
    cdef npy_intp size
    cdef bint fits = True
    if PyArray_TYPE(m) != NPY_BOOL:
        if PyArray_TYPE(m) != type_num or not cnp.PyArray_ISNOTSWAPPED(m):
            raise DTypeError(f"{op.decode()}: attn_mask must be bool (True: the key takes part) or, to be added to the "
                             f"scores, of query's dtype\n  query: {describe(query)}    attn_mask: {describe(m)}\n"
                             f"  remedy: attn_mask.astype(bool), or attn_mask.astype(query.dtype), which copies")
        if not PyArray_CHKFLAGS(m, NPY_ARRAY_ALIGNED):
            m = contiguous(m)
    # np.broadcast_to's rule: axes in front of those of the scores do not fit, not even ones of 1.
    for axis in range(1, min(own, ndim) + 1):
        size = PyArray_DIMS(m)[own - axis]
        fits = fits and (size == 1 or size == (PyArray_DIMS(key)[ndim - 2] if axis == 1 else PyArray_DIMS(query)[ndim - axis]))
    if not fits or own > ndim:
        ones = own - ndim if own > ndim and set((<object> m).shape[:own - ndim]) == {1} else 0
        remedy = f"\n  remedy: attn_mask.reshape({(<object> m).shape[ones:]})" if fits and ones else ""
        raise ShapeError(f"{op.decode()}: attn_mask must broadcast to (..., heads, queries, keys)\n"
                         f"  query: {describe(query)}    key: {describe(key)}    attn_mask: {describe(m)}{remedy}")
    return m


cdef npy_intp mask_stride(ndarray m, int axis) noexcept:
    """Along the axis counted from the last, 1; 0 where the mask is broadcast."""
    cdef int own = PyArray_NDIM(m)
    return PyArray_STRIDES(m)[own - axis] if axis <= own and PyArray_DIMS(m)[own - axis] != 1 else 0


cdef int set_up(ody_attention_stack *s, ndarray query, ndarray key, ndarray value, ndarray m, bint causal,
                object scale) except -1:
    """Everything but the results."""
    cdef ody_attention *a = &s.first.forward
    cdef int ndim = PyArray_NDIM(query), axis
    cdef npy_intp item = PyArray_ITEMSIZE(query)
    cdef npy_intp *q = PyArray_DIMS(query)
    cdef npy_intp *k = PyArray_DIMS(key)
    s.itemsize = <size_t> item
    a.heads = <size_t> (q[ndim - 3] // k[ndim - 3]) if ndim > 2 and k[ndim - 3] else 1
    a.queries = <size_t> q[ndim - 2]
    a.keys = <size_t> k[ndim - 2]
    a.depth = <size_t> k[ndim - 1]
    a.value_depth = <size_t> PyArray_DIMS(value)[ndim - 1]
    a.query = PyArray_DATA(query)
    a.key = PyArray_DATA(key)
    a.value = PyArray_DATA(value)
    a.query_head = PyArray_STRIDES(query)[ndim - 3] // item if ndim > 2 else 0
    a.query_row = PyArray_STRIDES(query)[ndim - 2] // item
    a.key_row = PyArray_STRIDES(key)[ndim - 2] // item
    a.value_row = PyArray_STRIDES(value)[ndim - 2] // item
    a.attn_mask = NULL if m is None else PyArray_DATA(m)
    a.mask_head = mask_stride(m, 3) if m is not None else 0
    a.mask_row = mask_stride(m, 2) if m is not None else 0
    a.mask_key = mask_stride(m, 1) if m is not None else 0
    a.mask_kind = ODY_MASK_BYTES if m is not None and PyArray_TYPE(m) == NPY_BOOL else ODY_MASK_ADD
    a.causal = causal
    a.scale = (1 / sqrt(<double> a.depth) if a.depth else 1.0) if scale is None else float(scale)
    a.out = a.most = a.reciprocal = NULL
    a.row = a.rows = 0
    s.first.grad = NULL
    s.first.dquery = s.first.dkey = s.first.dvalue = NULL
    s.ndim = max(ndim - 2, 0)
    for axis in range(s.ndim):
        # The last one counts heads of keys, each with a.heads of queries.
        s.shape[axis] = <size_t> k[axis]
        s.stride[axis].query = PyArray_STRIDES(query)[axis] * (<npy_intp> a.heads if axis == ndim - 3 else 1)
        s.stride[axis].key = PyArray_STRIDES(key)[axis]
        s.stride[axis].value = PyArray_STRIDES(value)[axis]
        s.stride[axis].mask = 0 if m is None else mask_stride(m, ndim - axis) * (
            <npy_intp> a.heads if axis == ndim - 3 else 1)
    return 0


cdef double work_of(const ody_attention_stack *s) noexcept:
    cdef double work = <double> s.first.forward.heads * <double> s.first.forward.queries * <double> s.first.forward.keys
    cdef int axis
    for axis in range(s.ndim):
        work *= <double> s.shape[axis]
    return work * <double> (s.first.forward.depth + s.first.forward.value_depth + 1)


def scaled_dot_product_attention(
    query: ArrayLike,
    key: ArrayLike,
    value: ArrayLike,
    attn_mask: ArrayLike | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    out: Array | None = None,
) -> Array:
    """softmax(scale · query keyᵀ + attn_mask) value for each head, in blocks of keys: no score matrix is stored.

    Args:
        query: (..., heads, queries, depth), float32 or float64; of two axes for a single head.
        key: (..., key heads, keys, depth). Heads are a multiple of the key heads: each of these serves as many
            neighbouring heads of queries (grouped-query attention).
        value: (..., key heads, keys, value depth). Keys and values may be views into a larger cache: any strides do
            as long as the last axis is contiguous; else they are copied.
        attn_mask: broadcasts to (..., heads, queries, keys). Bool: True where the key takes part. Of query's dtype: added
            to the scores. None: every key takes part.
        is_causal: query i sees the keys up to keys - queries + i: causality is aligned to the end of the keys, so that
            the newest queries find all of a cache. PyTorch aligns to the beginning, which is the same where there are as
            many queries as keys. Goes together with attn_mask, unlike PyTorch's.
        scale: 1 / √depth by default.
        out: (..., heads, queries, value depth), where to write; overlaps no input.

    Returns:
        `out`, or a new array. A key that is masked out, or whose score is -inf, takes no part, whatever it holds. A row
        without keys is 0, as in PyTorch; the softmax of such a row would be NaN.

    A row's bits do not depend on the other queries, heads and threads: one query over a cache gives the bits of that row
    of the full pass. Sums go by blocks of 128 keys, from the first on.

    Raises:
        ShapeError: for heads that are no multiple, or axes that do not fit.
        DTypeError: unless all arrays are float32, or all float64; the mask may be bool.
        LayoutError: if out is read-only or overlaps an input.

    >>> query, keys = np.float32([[0, 0]]), np.float32([[1, 2], [3, 4]])
    >>> od.scaled_dot_product_attention(query, keys, np.float32([[10, 0], [20, 1]]))
    array([[15. ,  0.5]], dtype=float32)

    Vaswani et al. 2017, "Attention Is All You Need"; in blocks: Milakov and Gimelshein 2018, Dao et al. 2022.
    `torch.nn.functional.scaled_dot_product_attention`.
    """
    cdef ody_attention_stack s
    cdef ndarray q = as_array(query, "scaled_dot_product_attention"), k, v, m = None, result, target
    cdef int type_num = real_type(q, "scaled_dot_product_attention", "query"), ndim = PyArray_NDIM(q), axis, failed
    cdef npy_intp dims[64]
    cdef npy_intp item = PyArray_ITEMSIZE(q)
    k = as_array(key, "scaled_dot_product_attention")
    v = as_array(value, "scaled_dot_product_attention")
    same_type(k, type_num, "scaled_dot_product_attention", "key")
    same_type(v, type_num, "scaled_dot_product_attention", "value")
    check_shapes(q, k, v, "scaled_dot_product_attention")
    if attn_mask is not None:
        m = check_mask(attn_mask, q, k, type_num, "scaled_dot_product_attention")
    for axis in range(ndim - 1):
        dims[axis] = PyArray_DIMS(q)[axis]
    dims[ndim - 1] = PyArray_DIMS(v)[ndim - 1]
    if out is None:
        result = target = new_array(ndim, dims, type_num)
    else:
        result = target = checked_out(out, ndim, dims, type_num, "scaled_dot_product_attention")
        check_disjoint(result, q, "scaled_dot_product_attention", "query")
        check_disjoint(result, k, "scaled_dot_product_attention", "key")
        check_disjoint(result, v, "scaled_dot_product_attention", "value")
        if m is not None:
            check_disjoint(result, m, "scaled_dot_product_attention", "attn_mask")
        if rows_of(result) is not result:
            target = new_array(ndim, dims, type_num)
    q = rows_of(q)
    k = rows_of(k)
    v = rows_of(v)
    set_up(&s, q, k, v, m, bool(is_causal), scale)
    s.first.forward.out = PyArray_DATA(target)
    s.first.forward.out_head = PyArray_STRIDES(target)[ndim - 3] // item if ndim > 2 else 0
    s.first.forward.out_row = PyArray_STRIDES(target)[ndim - 2] // item
    for axis in range(s.ndim):
        s.stride[axis].out = PyArray_STRIDES(target)[axis] * (<npy_intp> s.first.forward.heads if axis == ndim - 3 else 1)
    if work_of(&s) < GIL_WORTH:
        failed = run_attention("scaled_dot_product_attention", K.attention_f32 if type_num == NPY_FLOAT else K.attention_f64,
                               NULL, K.attention_workspace_f32 if type_num == NPY_FLOAT else K.attention_workspace_f64, &s)
    else:
        with nogil:
            failed = run_attention("scaled_dot_product_attention",
                                   K.attention_f32 if type_num == NPY_FLOAT else K.attention_f64, NULL,
                                   K.attention_workspace_f32 if type_num == NPY_FLOAT else K.attention_workspace_f64, &s)
    if failed:
        no_memory("scaled_dot_product_attention")
    if target is not result:
        PyArray_CopyInto(result, target)
    return result if out is None else out


def scaled_dot_product_attention_backward(
    grad: ArrayLike,
    query: ArrayLike,
    key: ArrayLike,
    value: ArrayLike,
    attn_mask: ArrayLike | None = None,
    is_causal: bool = False,
    scale: float | None = None,
) -> tuple[Array, Array, Array]:
    """The gradients of attention, from its inputs alone: the weights are computed again, block by block.

    Args:
        grad: (..., heads, queries, value depth), the gradient of the result.
        query, key, value, attn_mask, is_causal, scale: as given to `scaled_dot_product_attention`. Keys and values that
            are masked out must be finite.

    Returns:
        The gradients of query, key and value. Those of keys and values are summed over the heads that share them, in
        order, and over the queries, in order; they have the same bits for every number of threads.

    Raises:
        ShapeError, DTypeError: for arrays that do not fit.

    >>> query, keys, values = np.float32([[0, 0]]), np.float32([[1, 2], [3, 4]]), np.float32([[10], [20]])
    >>> od.scaled_dot_product_attention_backward(np.float32([[1]]), query, keys, values, scale=1.0)[2]
    array([[0.5],
           [0.5]], dtype=float32)

    Dao et al. 2022, "FlashAttention".
    """
    cdef ody_attention_stack s
    cdef ndarray q = as_array(query, "scaled_dot_product_attention_backward"), k, v, g, m = None, dq, dk, dv
    cdef int type_num = real_type(q, "scaled_dot_product_attention_backward", "query"), ndim = PyArray_NDIM(q), axis, failed
    cdef npy_intp item = PyArray_ITEMSIZE(q), heads
    k = as_array(key, "scaled_dot_product_attention_backward")
    v = as_array(value, "scaled_dot_product_attention_backward")
    g = as_array(grad, "scaled_dot_product_attention_backward")
    same_type(k, type_num, "scaled_dot_product_attention_backward", "key")
    same_type(v, type_num, "scaled_dot_product_attention_backward", "value")
    same_type(g, type_num, "scaled_dot_product_attention_backward", "grad")
    check_shapes(q, k, v, "scaled_dot_product_attention_backward")
    expected = (<object> q).shape[:ndim - 1] + (<object> v).shape[ndim - 1:]
    if (<object> g).shape != expected:
        raise ShapeError(f"scaled_dot_product_attention_backward: grad must have the forward result's shape {expected}\n"
                         f"  grad: {describe(g)}\n{shapes(q, k, v)}")
    if attn_mask is not None:
        m = check_mask(attn_mask, q, k, type_num, "scaled_dot_product_attention_backward")
    q = rows_of(q)
    k = rows_of(k)
    v = rows_of(v)
    g = rows_of(g)
    dq = new_array(ndim, PyArray_DIMS(q), type_num)
    dk = new_array(ndim, PyArray_DIMS(k), type_num)
    dv = new_array(ndim, PyArray_DIMS(v), type_num)
    set_up(&s, q, k, v, m, bool(is_causal), scale)
    heads = <npy_intp> s.first.forward.heads
    s.first.grad = PyArray_DATA(g)
    s.first.grad_head = PyArray_STRIDES(g)[ndim - 3] // item if ndim > 2 else 0
    s.first.grad_row = PyArray_STRIDES(g)[ndim - 2] // item
    s.first.dquery = PyArray_DATA(dq)
    s.first.dkey = PyArray_DATA(dk)
    s.first.dvalue = PyArray_DATA(dv)
    for axis in range(s.ndim):
        s.stride[axis].out = 0
        s.stride[axis].grad = PyArray_STRIDES(g)[axis] * (heads if axis == ndim - 3 else 1)
        s.stride[axis].dquery = PyArray_STRIDES(dq)[axis] * (heads if axis == ndim - 3 else 1)
        s.stride[axis].dkey = PyArray_STRIDES(dk)[axis]
        s.stride[axis].dvalue = PyArray_STRIDES(dv)[axis]
    with nogil:
        failed = run_attention(
            "scaled_dot_product_attention_backward", NULL,
            K.attention_backward_f32 if type_num == NPY_FLOAT else K.attention_backward_f64,
            K.attention_backward_workspace_f32 if type_num == NPY_FLOAT else K.attention_backward_workspace_f64, &s)
    if failed:
        no_memory("scaled_dot_product_attention_backward")
    return dq, dk, dv
