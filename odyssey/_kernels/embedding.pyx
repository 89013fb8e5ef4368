"""Rows of a table by number, and the gradient of the table."""
from libc.stddef cimport ptrdiff_t, size_t
from libc.stdint cimport int64_t
from numpy cimport (NPY_FLOAT, PyArray_DATA, PyArray_DIMS, PyArray_ITEMSIZE, PyArray_NDIM, PyArray_SIZE, ndarray,
                    npy_intp)
cimport numpy as cnp

from odyssey._kernels.array cimport (GIL_WORTH, as_array, check_disjoint, checked_numbers, checked_out, describe,
                                     new_array, no_memory, real_type, row_contiguous)
from odyssey._kernels.dispatch cimport K, run_gather, run_scatter
from odyssey._kernels.kernels cimport ody_rows, ody_rows_fn, ody_scatter, ody_scatter_fn

from odyssey.errors import ShapeError

cnp.import_array()

cdef enum:
    MOST_AXES = 64


def embedding(weight: ArrayLike, indices: ArrayLike, out: Array | None = None) -> Array:
    """The rows of weight that indices name.

    Args:
        weight: (rows, n), float32 or float64. One whose rows are not contiguous is copied first.
        indices: of any shape, int64 (int32 is copied), each in [0, rows).
        out: where to write: indices' shape and n; of weight's dtype.

    Returns:
        `out`, or a new array of that shape.

    Raises:
        IndexError: for an index that is no row, naming the first.
        ShapeError, DTypeError, LayoutError: for arrays that do not fit.

    >>> od.embedding(np.float32([[1, 2], [3, 4]]), np.array([1, 1, 0]))
    array([[3., 4.],
           [3., 4.],
           [1., 2.]], dtype=float32)

    `torch.nn.functional.embedding`.
    """
    cdef ndarray table = as_array(weight, "embedding"), index, result, target
    cdef int type_num = real_type(table, "embedding", "weight"), axis, ndim
    cdef npy_intp dims[MOST_AXES]
    cdef ptrdiff_t step
    cdef ody_rows r
    cdef ody_rows_fn f = K.embedding_f32 if type_num == NPY_FLOAT else K.embedding_f64
    cdef size_t item = <size_t> PyArray_ITEMSIZE(table)
    if PyArray_NDIM(table) != 2:
        raise ShapeError(f"embedding: weight must be (rows, n)\n  weight: {describe(table)}")
    index = checked_numbers(indices, PyArray_DIMS(table)[0], "embedding", "indices", "the rows of the table")
    ndim = PyArray_NDIM(index) + 1
    if ndim > MOST_AXES:
        raise ShapeError(f"embedding: the result would have {ndim} axes; NumPy has {MOST_AXES} at most")
    for axis in range(ndim - 1):
        dims[axis] = PyArray_DIMS(index)[axis]
    dims[ndim - 1] = PyArray_DIMS(table)[1]
    if out is None:
        result = target = new_array(ndim, dims, type_num)
    else:
        result = target = checked_out(out, ndim, dims, type_num, "embedding")
        check_disjoint(result, table, "embedding", "weight")
        check_disjoint(result, index, "embedding", "indices")
        if not cnp.PyArray_ISCARRAY(result):
            target = new_array(ndim, dims, type_num)
    table = row_contiguous(table, &step)
    r.in_[0] = PyArray_DATA(table)
    r.in_[1] = PyArray_DATA(index)
    r.in_[2] = r.in_[3] = NULL
    r.in_step[0] = step
    r.in_step[1] = sizeof(int64_t)
    r.out[0] = PyArray_DATA(target)
    r.rows = <size_t> PyArray_SIZE(index)
    r.n = <size_t> PyArray_DIMS(table)[1]
    r.out_step[0] = <ptrdiff_t> (r.n * item)
    r.flags = 0
    if r.rows * r.n < GIL_WORTH:
        run_gather("embedding", f, &r, item)
    else:
        with nogil:
            run_gather("embedding", f, &r, item)
    if target is not result:
        cnp.PyArray_CopyInto(result, target)
    return result if out is None else out


def embedding_backward(
    grad: ArrayLike,
    indices: ArrayLike,
    num_embeddings: int,
    padding_idx: int | None = None,
    out: Array | None = None,
) -> Array:
    """The gradient of embedding's weight: each row of grad added to the row that its index names.

    What a row receives is added in the order of the positions, so that the bits depend on nothing else.

    Args:
        grad: the gradient of the result: indices' shape and n. One whose rows are not contiguous is copied first.
        indices: as given to `embedding`.
        num_embeddings: the rows of weight.
        padding_idx: a row that receives nothing and stays 0, or None. A negative one counts from the end.
        out: (num_embeddings, n), where to write.

    Returns:
        `out`, or a new array (num_embeddings, n); rows that no index names are 0.

    Raises:
        IndexError: for an index, or padding_idx, that is no row.
        ShapeError, DTypeError, LayoutError: for arrays that do not fit.

    >>> od.embedding_backward(np.float32([[1, 2], [3, 4]]), np.array([1, 1]), 3)
    array([[0., 0.],
           [4., 6.],
           [0., 0.]], dtype=float32)
    """
    cdef ndarray g = as_array(grad, "embedding_backward"), index, result, target
    cdef int type_num = real_type(g, "embedding_backward", "grad"), failed
    cdef npy_intp dims[2]
    cdef ptrdiff_t step
    cdef ody_scatter s
    cdef ody_scatter_fn f = K.embedding_backward_f32 if type_num == NPY_FLOAT else K.embedding_backward_f64
    cdef size_t item = <size_t> PyArray_ITEMSIZE(g), count
    cdef int64_t skipped = -1
    cdef const int64_t *places
    dims[0] = num_embeddings
    if dims[0] < 0:
        raise ShapeError(f"embedding_backward: num_embeddings must not be negative; found {dims[0]}")
    index = checked_numbers(indices, dims[0], "embedding_backward", "indices", "the rows of the table")
    if (PyArray_NDIM(g) == 0
            or (<object> g).shape != (*(<object> index).shape, PyArray_DIMS(g)[PyArray_NDIM(g) - 1])):
        raise ShapeError("embedding_backward: grad must have indices' shape and one axis more\n"
                         f"  grad: {describe(g)}    indices: {describe(index)}")
    if padding_idx is not None:
        if not -dims[0] <= padding_idx < dims[0]:
            raise IndexError(f"embedding_backward: padding_idx must be a row, in [{-dims[0]}, {dims[0]}); "
                             f"found {padding_idx}")
        skipped = padding_idx % dims[0]
    dims[1] = PyArray_DIMS(g)[PyArray_NDIM(g) - 1]
    if out is None:
        result = target = new_array(2, dims, type_num)
    else:
        result = target = checked_out(out, 2, dims, type_num, "embedding_backward")
        check_disjoint(result, g, "embedding_backward", "grad")
        check_disjoint(result, index, "embedding_backward", "indices")
        if not cnp.PyArray_ISCARRAY(result):
            target = new_array(2, dims, type_num)
    g = row_contiguous(g, &step)
    s.grad = PyArray_DATA(g)
    s.grad_step = step
    s.out = PyArray_DATA(target)
    s.out_step = <ptrdiff_t> (<size_t> dims[1] * item)
    s.order = s.starts = NULL
    s.rows = <size_t> dims[0]
    s.n = <size_t> dims[1]
    s.flags = 0
    places = <const int64_t *> PyArray_DATA(index)
    count = <size_t> PyArray_SIZE(index)
    with nogil:
        failed = run_scatter("embedding_backward", f, &s, places, count, skipped, item)
    if failed:
        no_memory("embedding_backward")
    if target is not result:
        cnp.PyArray_CopyInto(result, target)
    return result if out is None else out
