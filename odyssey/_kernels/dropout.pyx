"""Dropout by a counter-based generator."""
from libc.stddef cimport size_t
from libc.stdint cimport uint32_t, uint64_t
from libc.math cimport rint
from numpy cimport (NPY_FLOAT, PyArray_CopyInto, PyArray_DATA, PyArray_DIMS, PyArray_ITEMSIZE, PyArray_NDIM,
                    PyArray_SIZE, ndarray)
cimport numpy as cnp

from odyssey._kernels.array cimport (GIL_WORTH, as_array, check_overlap, checked_out, contiguous, new_like, real_type)
from odyssey._kernels.dispatch cimport K, run_dropout
from odyssey._kernels.kernels cimport ody_dropout, ody_dropout_fn

cnp.import_array()


cdef uint64_t word_of(object value, const char *op, str name) except? 0:
    if not 0 <= value < 1 << 64:
        raise ValueError(f"{op.decode()}: {name} must lie in [0, 2**64); found {value!r}")
    return <uint64_t> value


cdef object drop(const char *op, str name, object given, double p, object seed, object offset, object out):
    cdef ndarray x = as_array(given, op), result, target
    cdef int type_num = real_type(x, op, name)
    cdef size_t item = <size_t> PyArray_ITEMSIZE(x)
    cdef ody_dropout d
    cdef ody_dropout_fn f = K.dropout_f32 if type_num == NPY_FLOAT else K.dropout_f64
    cdef double threshold
    if not 0 <= p <= 1:
        raise ValueError(f"{op.decode()}: p, the part that becomes 0, must lie in [0, 1]; found {p!r}")
    d.seed = word_of(seed, op, "seed")
    d.offset = word_of(offset, op, "offset")
    if out is None:
        result = target = new_like(x, type_num)
    else:
        result = target = checked_out(out, PyArray_NDIM(x), PyArray_DIMS(x), type_num, op)
        check_overlap(result, x, op, name)
        if not cnp.PyArray_ISCARRAY(result):
            target = new_like(x, type_num)
    threshold = rint(p * 4294967296.0)
    if threshold == 0:
        PyArray_CopyInto(result, x)
    elif p == 1:
        result[...] = 0
    else:
        x = contiguous(x)
        d.in_ = PyArray_DATA(x)
        d.out = PyArray_DATA(target)
        d.n = <size_t> PyArray_SIZE(x)
        d.first = 0
        d.threshold = <uint32_t> min(threshold, 4294967295.0)
        d.scale = 1 / (1 - p)
        d.flags = 0
        if d.n * 8 < GIL_WORTH:
            run_dropout(op, f, &d, item)
        else:
            with nogil:
                run_dropout(op, f, &d, item)
        if target is not result:
            PyArray_CopyInto(result, target)
    if out is not None:
        return out
    return result if PyArray_NDIM(result) else result[()]


def dropout(x: ArrayLike, p: float = 0.5, seed: int = 0, offset: int = 0, out: Array | None = None) -> Array:
    """Each element with probability p replaced by 0, else divided by 1 - p, so that the expected value stays.

    Which elements go is a function of seed, offset and their place (in C order) alone: not of the dtype, the layout, the
    number of threads or the machine. Another step of a training takes another offset.

    Args:
        x: float32 or float64, of any shape. One that is not contiguous is copied first.
        p: the probability of 0, in steps of 2**-32; 0 copies, 1 gives zeros.
        seed, offset: in [0, 2**64).
        out: where to write, of x's shape and dtype; may be x itself.

    Returns:
        `out`, or a new array of x's shape and dtype.

    Raises:
        ValueError: for p, seed or offset out of range.
        DTypeError, ShapeError, LayoutError: for arrays that do not fit.

    >>> od.dropout(np.ones(8, np.float32), seed=1)
    array([2., 2., 0., 2., 0., 0., 0., 0.], dtype=float32)

    Srivastava et al. 2014, "Dropout". Words: Philox4x32-10, Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2,
    3"; the key is the seed, the counter the block's number and the offset, and of every 64 elements number 16 w + l has word
    w of block 16 (i // 64) + l.
    """
    return drop("dropout", "x", x, p, seed, offset, out)


def dropout_backward(grad: ArrayLike, p: float = 0.5, seed: int = 0, offset: int = 0, out: Array | None = None) -> Array:
    """The gradient of dropout: grad / (1 - p) where the element stayed, else 0. Who stayed is found out again.

    Args:
        grad: the gradient of the result.
        p, seed, offset: as given to `dropout`.
        out: where to write; may be grad itself.

    Returns:
        `out`, or a new array of grad's shape and dtype.

    Raises:
        ValueError: for p, seed or offset out of range.
        DTypeError, ShapeError, LayoutError: for arrays that do not fit.

    >>> od.dropout_backward(np.ones(4, np.float32), seed=1)
    array([2., 2., 0., 2.], dtype=float32)
    """
    return drop("dropout_backward", "grad", grad, p, seed, offset, out)
