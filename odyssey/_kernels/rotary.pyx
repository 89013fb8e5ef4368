"""Rotary position embedding, its gradient, and its tables."""
from libc.stddef cimport size_t
from numpy cimport (NPY_FLOAT, PyArray_CopyInto, PyArray_DATA, PyArray_DIMS, PyArray_ITEMSIZE, PyArray_NDIM,
                    PyArray_SIZE, PyArray_STRIDES, ndarray, npy_intp)
cimport numpy as cnp

from odyssey._kernels.array cimport (GIL_WORTH, as_array, check_disjoint, check_overlap, checked_out, describe, new_like,
                                     real_type, rows_of, same_type)
from odyssey._kernels.dispatch cimport K, run_rotary
from odyssey._kernels.kernels cimport ody_rows_fn
from odyssey._kernels.runtime cimport ody_rotary

import numpy as np

from odyssey._kernels import elementwise
from odyssey.errors import DTypeError, ShapeError

cnp.import_array()


cdef ndarray table(object given, ndarray x, int type_num, const char *op, str name):
    """Cosines or sines: (..., L, pairs), to broadcast against x."""
    cdef ndarray t = as_array(given, op)
    cdef int own, ndim = PyArray_NDIM(x), axis
    same_type(t, type_num, op, name)
    own = PyArray_NDIM(t)
    if own < 1 or own > ndim or 2 * PyArray_DIMS(t)[own - 1] > PyArray_DIMS(x)[ndim - 1]:
        raise ShapeError(f"{op.decode()}: {name} must be (..., L, pairs), with at most half as many pairs as x's last axis "
                         f"has elements\n  x: {describe(x)}    {name}: {describe(t)}")
    for axis in range(2, own + 1):
        if PyArray_DIMS(t)[own - axis] != 1 and PyArray_DIMS(t)[own - axis] != PyArray_DIMS(x)[ndim - axis]:
            raise ShapeError(f"{op.decode()}: {name}'s axes before the last must broadcast against x's\n"
                             f"  x: {describe(x)}    {name}: {describe(t)}\n"
                             f"  remedy: of a longer table, the rows of x's positions: {name}[start:start + L]")
    return rows_of(t)


cdef inline npy_intp stride_at(ndarray t, int axis) noexcept:
    """Along the axis counted from the last, 1; 0 where it is broadcast."""
    cdef int own = PyArray_NDIM(t)
    return PyArray_STRIDES(t)[own - axis] if axis <= own and PyArray_DIMS(t)[own - axis] != 1 else 0


cdef object rotate(const char *op, str name, double sign, object given, object cos, object sin, object interleaved,
                   object out):
    cdef ody_rotary r
    cdef ndarray x = as_array(given, op), c, s, result, target
    cdef int type_num = real_type(x, op, name), ndim = PyArray_NDIM(x), axis
    cdef ody_rows_fn f
    if ndim < 1:
        raise ShapeError(f"{op.decode()}: {name} must have at least one axis\n  {name}: {describe(x)}")
    c = table(cos, x, type_num, op, "cos")
    s = table(sin, x, type_num, op, "sin")
    if PyArray_DIMS(c)[PyArray_NDIM(c) - 1] != PyArray_DIMS(s)[PyArray_NDIM(s) - 1]:
        raise ShapeError(f"{op.decode()}: cos and sin must have the same pairs\n  cos: {describe(c)}    sin: {describe(s)}")
    if out is None:
        result = target = new_like(x, type_num)
    else:
        result = target = checked_out(out, ndim, PyArray_DIMS(x), type_num, op)
        check_overlap(result, x, op, name)
        check_disjoint(result, c, op, "cos")
        check_disjoint(result, s, op, "sin")
        if rows_of(result) is not result:
            target = new_like(x, type_num)
    x = rows_of(x)
    r.first.in_[0] = PyArray_DATA(x)
    r.first.in_[1] = PyArray_DATA(c)
    r.first.in_[2] = PyArray_DATA(s)
    r.first.out[0] = PyArray_DATA(target)
    r.first.in_step[0] = PyArray_STRIDES(x)[ndim - 2] if ndim > 1 else 0
    r.first.in_step[1] = stride_at(c, 2)
    r.first.in_step[2] = stride_at(s, 2)
    r.first.out_step[0] = PyArray_STRIDES(target)[ndim - 2] if ndim > 1 else 0
    r.first.rows = <size_t> PyArray_DIMS(x)[ndim - 2] if ndim > 1 else 1
    r.first.n = <size_t> PyArray_DIMS(x)[ndim - 1]
    r.first.param[0] = <double> PyArray_DIMS(c)[PyArray_NDIM(c) - 1]
    r.first.param[1] = sign
    r.first.flags = 0
    r.ndim = max(ndim - 2, 0)
    for axis in range(r.ndim):
        r.shape[axis] = <size_t> PyArray_DIMS(x)[axis]
        r.stride[axis][0] = PyArray_STRIDES(x)[axis]
        r.stride[axis][1] = stride_at(c, ndim - axis)
        r.stride[axis][2] = stride_at(s, ndim - axis)
        r.stride[axis][3] = PyArray_STRIDES(target)[axis]
    if interleaved:
        f = K.rotary_interleaved_f32 if type_num == NPY_FLOAT else K.rotary_interleaved_f64
    else:
        f = K.rotary_half_f32 if type_num == NPY_FLOAT else K.rotary_half_f64
    if PyArray_SIZE(x) < GIL_WORTH:
        run_rotary(op, f, &r, <size_t> PyArray_ITEMSIZE(x))
    else:
        with nogil:
            run_rotary(op, f, &r, <size_t> PyArray_ITEMSIZE(x))
    if target is not result:
        PyArray_CopyInto(result, target)
    return result if out is None else out


def rotary_embedding(
    x: ArrayLike, cos: ArrayLike, sin: ArrayLike, interleaved: bool = False, out: Array | None = None
) -> Array:
    """Rotates pairs of elements by an angle that grows with the position, so that inner products tell distances.

    Args:
        x: (..., L, D), queries or keys, float32 or float64.
        cos, sin: (L, pairs), or anything that broadcasts to (..., L, pairs): the angles' cosines and sines, as from
            `rotary_tables`. Of fewer than D / 2 pairs, the elements from 2 · pairs on are copied (partial rotation).
        interleaved: whether a pair is two neighbours (2 i, 2 i + 1), as in the paper; by default it is (i, i + pairs), as
            in LLaMA and GPT-NeoX.
        out: where to write, of x's shape and dtype; may be x itself.

    Returns:
        `out`, or a new array: (a cos - b sin, a sin + b cos) for each pair (a, b), the product with sin one fma.

    Raises:
        ShapeError: if cos or sin does not broadcast, or has too many pairs.
        DTypeError, LayoutError: for arrays that do not fit.

    >>> cos, sin = od.rotary_tables(3, 2)
    >>> od.rotary_embedding(np.float32([[1, 0], [1, 0], [1, 0]]), cos, sin).round(3)
    array([[ 1.   ,  0.   ],
           [ 0.54 ,  0.841],
           [-0.416,  0.909]], dtype=float32)

    Su et al. 2021, "RoFormer".
    """
    return rotate("rotary_embedding", "x", 1, x, cos, sin, interleaved, out)


def rotary_embedding_backward(
    grad: ArrayLike, cos: ArrayLike, sin: ArrayLike, interleaved: bool = False, out: Array | None = None
) -> Array:
    """The gradient of rotary_embedding: the rotation by the negative angle.

    Args:
        grad: (..., L, D), the gradient of the result.
        cos, sin, interleaved: as given to `rotary_embedding`.
        out: where to write; may be grad itself.

    Returns:
        `out`, or a new array: the gradient of x.

    Raises:
        ShapeError, DTypeError, LayoutError: for arrays that do not fit.

    >>> cos, sin = np.float32([[0]]), np.float32([[1]])
    >>> od.rotary_embedding_backward(np.float32([[1, 2]]), cos, sin)
    array([[ 2., -1.]], dtype=float32)
    """
    return rotate("rotary_embedding_backward", "grad", -1, grad, cos, sin, interleaved, out)


def rotary_tables(length: int, dim: int, base: float = 10000.0, dtype: DTypeLike = np.float32) -> tuple[Array, Array]:
    """The cosines and sines that `rotary_embedding` takes, for the positions 0 to length - 1.

    Args:
        length: how many positions.
        dim: how many elements of a row are rotated; even.
        base: pair i turns by base^(-2 i / dim) a position.
        dtype: float32 or float64. Angles are computed in float64.

    Returns:
        Two arrays (length, dim / 2).

    Raises:
        ValueError: for an odd or negative dim, or a negative length.
        DTypeError: for another dtype.

    >>> cos, sin = od.rotary_tables(2, 4, base=100.0)
    >>> sin.round(4)
    array([[0.    , 0.    ],
           [0.8415, 0.0998]], dtype=float32)

    Su et al. 2021, "RoFormer", equation 15.
    """
    if length < 0 or dim < 0 or dim % 2:
        raise ValueError(f"rotary_tables: length must be at least 0 and dim even; found length {length}, dim {dim}")
    kind = np.dtype(dtype)
    if kind != np.float32 and kind != np.float64:
        raise DTypeError(f"rotary_tables: dtype must be float32 or float64; found {kind}")
    exponents = np.arange(0, dim, 2, dtype=np.float64) / -max(dim, 1)
    turns = elementwise.power(np.full(dim // 2, base, np.float64), exponents)
    angles = np.arange(length, dtype=np.float64)[:, np.newaxis] * turns
    return elementwise.cos(angles).astype(kind), elementwise.sin(angles).astype(kind)
