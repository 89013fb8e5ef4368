"""Products in groups: rows sorted by group, each group with a matrix of its own."""
from libc.stddef cimport ptrdiff_t, size_t
from libc.stdint cimport int64_t
from libc.string cimport memset
from numpy cimport (NPY_FLOAT, PyArray_CopyInto, PyArray_DATA, PyArray_DIMS, PyArray_ITEMSIZE, PyArray_NDIM,
                    PyArray_STRIDES, ndarray, npy_intp)
cimport numpy as cnp

import numpy as np

from odyssey._kernels cimport dispatch
from odyssey._kernels.array cimport (GIL_WORTH, as_array, check_disjoint, checked_out, contiguous, describe, new_array,
                                     no_memory, real_type, same_type)
from odyssey._kernels.dispatch cimport K, native, run_gemms
from odyssey._kernels.kernels cimport ODY_BF16, ODY_BF16_ROWS, ODY_IDENTITY, ODY_INT8, ODY_STRIDED
from odyssey._kernels.kernels cimport ody_gemm, ody_gemm_fn, ody_gemm_workspace_fn
from odyssey._kernels.linear cimport adjacent_rows, check_stored, in_elements, narrow_format, packed_format

from odyssey.errors import DTypeError, ShapeError
from odyssey.packing import PackedWeight

cnp.import_array()


cdef str shown(object b):
    if isinstance(b, PackedWeight):
        return repr(b)
    if isinstance(b, np.ndarray):
        return f"{b.shape} {b.dtype}"
    return f"{len(b)} matrices"


cdef int refuse_shapes(ndarray a, object b) except -1:
    raise ShapeError(
        "grouped_matmul: expected a (T, K) and a (K, N) matrix for each group, a (M, T) and b (T, N), "
        "or a (G, M, K) and b (K, T)\n"
        f"  a: {describe(a)}    b: {shown(b)}")


cdef int refuse_inner(ndarray a, npy_intp found, npy_intp wanted, object b) except -1:
    raise ShapeError(f"grouped_matmul: a's columns ({found}) must match b's rows ({wanted})\n"
                     f"  a: {describe(a)}    b: {shown(b)}")


cdef ndarray checked_offsets(object offsets, npy_intp groups, npy_intp total):
    """(groups,) int64, ascending, the last one `total`; groups < 0 for as many as there are."""
    cdef ndarray given = as_array(offsets, "grouped_matmul")
    cdef ndarray ends
    cdef const int64_t *end
    cdef int64_t before = 0
    cdef npy_intp i, count
    if (<object> given).dtype.kind not in "iu" or (<object> given).dtype.itemsize > 8 or (<object> given).dtype == np.uint64:
        raise DTypeError(f"grouped_matmul: offsets must be int64\n  offsets: {describe(given)}\n"
                         f"  remedy: offsets.astype(np.int64), which copies")
    if PyArray_NDIM(given) != 1 or (groups >= 0 and PyArray_DIMS(given)[0] != groups):
        expected = f"({groups},)" if groups >= 0 else "one axis"
        raise ShapeError(f"grouped_matmul: offsets must have {'shape ' if groups >= 0 else ''}{expected}, "
                         f"where each group ends\n  offsets: {describe(given)}")
    ends = np.ascontiguousarray(given, np.int64)
    count = PyArray_DIMS(ends)[0]
    end = <const int64_t *> PyArray_DATA(ends)
    for i in range(count):
        if end[i] < before or end[i] > total:
            break
        before = end[i]
    else:
        if before == total:
            return ends
        i = count
    if i < count and end[i] > total:
        problem = f"group {i} ends at {end[i]}, behind the last of {total}"
    elif i < count:
        problem = f"group {i} ends at {end[i]}, before it begins at {before}"
    else:
        problem = f"the last group ends at {before}, and there are {total}"
    message = f"grouped_matmul: offsets are where groups end, ascending, the last at {total}; {problem}"
    if count and (<object> ends).min() >= 0 and (<object> ends).sum() == total:
        message += "\n  these are sizes of groups: np.cumsum(offsets) fits"
    elif i == count and before:
        message += "\n  remedy: leave away what belongs to no group, or give it to one"
    raise ValueError(message)


cdef class Products:
    """A list of ody_gemm, and what they point into."""
    cdef ody_gemm *one
    cdef size_t count
    cdef list kept
    cdef int bf16, int8  # how many matrices are

    def __cinit__(self, size_t count):
        self.one = <ody_gemm *> dispatch.alloc((count or 1) * sizeof(ody_gemm))
        if self.one == NULL:
            no_memory("grouped_matmul")
        memset(self.one, 0, count * sizeof(ody_gemm))
        self.count = count
        self.kept = []
        self.bf16 = self.int8 = 0

    def __dealloc__(self):
        dispatch.free(self.one)

    cdef int matrix(self, size_t i, object value, ndarray a, int type_num, npy_intp k, npy_intp *columns) except -1:
        """b of product i, (k, columns); columns < 0 for as many as it has."""
        cdef ody_gemm *g = &self.one[i]
        cdef ndarray b
        cdef npy_intp rows
        if isinstance(value, PackedWeight):
            check_stored(value, value.dtype, type_num, "grouped_matmul")
            found, rows = value.shape
            b = value.panels
            g.format = packed_format(value)
            g.scale = NULL if value.scale is None else PyArray_DATA(<ndarray> value.scale)
        else:
            b = as_array(value, "grouped_matmul")
            g.format = narrow_format(b)
            if g.format == ODY_STRIDED:
                same_type(b, type_num, "grouped_matmul", "b")
            elif type_num != NPY_FLOAT:
                check_stored(b, (<object> b).dtype.name, type_num, "grouped_matmul")
            if PyArray_NDIM(b) != 2:
                raise ShapeError(f"grouped_matmul: each group's matrix must be (K, N)\n  b[{i}]: {describe(b)}")
            rows, found = PyArray_DIMS(b)[0], PyArray_DIMS(b)[1]
            if g.format != ODY_STRIDED:
                b = adjacent_rows((<object> b).T)
                g.b_row = 1
                g.b_col = PyArray_STRIDES(b)[0] // 2
            else:
                if not in_elements(b):
                    b = contiguous(b)
                g.b_row = PyArray_STRIDES(b)[0] // PyArray_ITEMSIZE(b)
                g.b_col = PyArray_STRIDES(b)[1] // PyArray_ITEMSIZE(b)
        if rows != k:
            refuse_inner(a, k, rows, value)
        if columns[0] >= 0 and found != columns[0]:
            raise ShapeError(f"grouped_matmul: all groups' matrices must have one shape; b[0] is ({k}, {columns[0]}) "
                             f"and b[{i}] ({rows}, {found})")
        columns[0] = found
        self.bf16 += g.format == ODY_BF16 or g.format == ODY_BF16_ROWS
        self.int8 += g.format == ODY_INT8
        g.b = PyArray_DATA(b)
        g.n = <size_t> columns[0]
        g.k = <size_t> k
        self.kept.append(b)
        return 0

    cdef int run(self, int type_num, bint natively) except -1:
        cdef ody_gemm_fn f = K.gemm_f32 if type_num == NPY_FLOAT else K.gemm_f64
        cdef ody_gemm_workspace_fn workspace = K.gemm_workspace_f32 if type_num == NPY_FLOAT else K.gemm_workspace_f64
        cdef size_t i, work = 0
        cdef int failed
        if natively and native() != NULL:
            if <size_t> self.bf16 == self.count:
                f = native().bf16
                workspace = native().bf16_workspace
            elif <size_t> self.int8 == self.count:
                f = native().int8
                workspace = native().int8_workspace
        for i in range(self.count):
            self.one[i].alpha = 1
            self.one[i].activation = ODY_IDENTITY
            work += self.one[i].m * self.one[i].n * self.one[i].k
        if work < GIL_WORTH:
            failed = run_gemms("grouped_matmul", f, workspace, self.one, self.count, 4 if type_num == NPY_FLOAT else 8)
        else:
            with nogil:
                failed = run_gemms("grouped_matmul", f, workspace, self.one, self.count,
                                   4 if type_num == NPY_FLOAT else 8)
        if failed:
            no_memory("grouped_matmul")
        return 0


def grouped_matmul(
    a: ArrayLike,
    b: ArrayLike | Sequence[ArrayLike | PackedWeight],
    offsets: ArrayLike,
    out: Array | None = None,
    precision: str = "exact",
) -> Array:
    """A product for each group of neighbouring rows (or columns), all in one pass; `torch._grouped_mm`.

    `offsets[g]` is where group g ends; it begins where the one before it does. The groups cut the axis called T:

    - a (T, K) and a matrix (K, N) for each group -> (T, N): rows of a times their group's matrix;
    - a (M, T) and b (T, N) -> (G, M, N): the columns of a times the rows of b, group by group;
    - a (G, M, K) and b (K, T) -> (M, T): each group's matrix times its columns of b.

    The gradients of each form are products of the other two.

    Args:
        a: float32 or float64, any strides.
        b: of a's dtype, any strides. In the first form (G, K, N), or a sequence of G matrices, each an array (K, N) or
            a `PackedWeight`, which stands for its transpose as in `linear`. For a float32 a matrices may be float16 or
            (ml_dtypes) bfloat16: a transposed weight, the numbers of a column adjacent, is read where it lies; others
            are copied.
        offsets: (G,) int64, ascending, the last one T. A group may be empty.
        out: where to write; overlaps no input.
        precision: "exact", or "native" as in `linear`, if all matrices are bfloat16, or all int8.

    Returns:
        `out`, or a new array.

    Each element is one chain of fused multiply-adds in ascending order from zero: the bits of `matmul` and `linear`, group
    by group. An empty group costs nothing; in the second form its matrix is zero.

    Raises:
        ShapeError: for shapes of no form, or another number of offsets than of groups.
        DTypeError: unless a is float32 or float64 and b goes with it; for offsets that are no integers.
        ValueError: for offsets that descend or do not end at T; for an unknown precision.
        LayoutError: if out is read-only or overlaps an input.

    >>> b = np.float32([[[1]], [[10]]])
    >>> od.grouped_matmul(np.float32([[1], [2], [3]]), b, np.array([1, 3])).ravel()
    array([ 1., 20., 30.], dtype=float32)
    """
    cdef ndarray first = as_array(a, "grouped_matmul")
    cdef int type_num = real_type(first, "grouped_matmul", "a"), ndim = PyArray_NDIM(first), axis
    cdef npy_intp item = PyArray_ITEMSIZE(first), columns = -1, k, groups, i, wide
    cdef bint each = isinstance(b, (list, tuple)), by_rows
    cdef ndarray second = None, ends, target
    cdef Products products
    cdef const int64_t *end
    cdef npy_intp dims[3]
    cdef npy_intp *sa
    cdef npy_intp *sb
    cdef npy_intp *sc
    cdef ptrdiff_t start, size
    cdef ody_gemm *g
    if precision != "exact" and precision != "native":
        raise ValueError(f"grouped_matmul: precision must be 'exact' or 'native'; found {precision!r}")
    if not each:
        if isinstance(b, PackedWeight):
            refuse_shapes(first, b)
        second = as_array(b, "grouped_matmul")
        if narrow_format(second) == ODY_STRIDED or PyArray_NDIM(second) != 3:
            same_type(second, type_num, "grouped_matmul", "b")
    by_rows = ndim == 2 and (each or PyArray_NDIM(second) == 3)
    if not by_rows and (each or PyArray_NDIM(second) != 2 or (ndim != 2 and ndim != 3)):
        refuse_shapes(first, b)
    if not in_elements(first):
        first = contiguous(first)
    sa = PyArray_STRIDES(first)
    if by_rows:
        groups = len(b) if each else PyArray_DIMS(second)[0]
        k = PyArray_DIMS(first)[1]
        if each and groups == 0:
            raise ShapeError("grouped_matmul: an empty sequence of matrices does not say how many columns the result has\n"
                             "  remedy: an array of shape (0, K, N)")
        ends = checked_offsets(offsets, groups, PyArray_DIMS(first)[0])
        products = Products(<size_t> groups)
        if not each and groups == 0 and PyArray_DIMS(second)[1] != k:
            refuse_inner(first, k, PyArray_DIMS(second)[1], second)
        columns = -1 if each else PyArray_DIMS(second)[2]
        for i in range(groups):
            products.matrix(<size_t> i, b[i] if each else second[i], first, type_num, k, &columns)
        dims[0], dims[1] = PyArray_DIMS(first)[0], columns
        ndim = 2
    else:
        k = PyArray_DIMS(first)[ndim - 1]
        if PyArray_DIMS(second)[0] != k:
            refuse_inner(first, k, PyArray_DIMS(second)[0], second)
        if not in_elements(second):
            second = contiguous(second)
        sb = PyArray_STRIDES(second)
        columns = PyArray_DIMS(second)[1]
        if ndim == 2:
            ends = checked_offsets(offsets, -1, k)
            groups = PyArray_DIMS(ends)[0]
            dims[0], dims[1], dims[2] = groups, PyArray_DIMS(first)[0], columns
            ndim = 3
        else:
            groups = PyArray_DIMS(first)[0]
            ends = checked_offsets(offsets, groups, columns)
            dims[0], dims[1] = PyArray_DIMS(first)[1], columns
            ndim = 2
        products = Products(<size_t> groups)
    if out is None:
        result = target = new_array(ndim, dims, type_num)
    else:
        result = target = checked_out(out, ndim, dims, type_num, "grouped_matmul")
        check_disjoint(target, first, "grouped_matmul", "a")
        for matrix in products.kept if by_rows else (second,):
            check_disjoint(target, matrix, "grouped_matmul", "b")
        if (PyArray_STRIDES(target)[ndim - 1] != item and dims[ndim - 1] > 1) or not in_elements(target):
            target = new_array(ndim, dims, type_num)
    sc = PyArray_STRIDES(target)
    end = <const int64_t *> PyArray_DATA(ends)
    start = 0
    for i in range(groups):
        g = &products.one[i]
        size = end[i] - start
        g.a = <const char *> PyArray_DATA(first)
        g.c = <char *> PyArray_DATA(target)
        axis = PyArray_NDIM(first) - 2
        g.a_row = sa[axis] // item
        g.a_col = sa[axis + 1] // item
        g.c_row = sc[ndim - 2] // item
        if by_rows:
            g.m = <size_t> size
            g.a = <const char *> g.a + start * sa[0]
            g.c = <char *> g.c + start * sc[0]
        else:
            g.format = ODY_STRIDED
            g.b = <const char *> PyArray_DATA(second)
            g.b_row = sb[0] // item
            g.b_col = sb[1] // item
            if ndim == 3:
                g.m, g.n, g.k = <size_t> dims[1], <size_t> dims[2], <size_t> size
                g.a = <const char *> g.a + start * sa[1]
                g.b = <const char *> g.b + start * sb[0]
                g.c = <char *> g.c + i * sc[0]
            else:
                g.m, g.n, g.k = <size_t> dims[0], <size_t> size, <size_t> k
                g.a = <const char *> g.a + i * sa[0]
                g.b = <const char *> g.b + start * sb[1]
                g.c = <char *> g.c + start * sc[1]
        start = end[i]
    products.run(type_num, by_rows and precision == "native")
    if target is not result:
        PyArray_CopyInto(result, target)
    return result if out is None else out
