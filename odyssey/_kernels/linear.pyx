"""Matrix products: matmul with NumPy's rules for shapes, and the fused linear layer."""
cimport cython
from libc.stddef cimport ptrdiff_t, size_t
from numpy cimport (NPY_ARRAY_ALIGNED, NPY_DOUBLE, NPY_FLOAT, NPY_FLOAT16, PyArray_CHKFLAGS, PyArray_CopyInto, PyArray_DATA,
                    PyArray_DIMS, PyArray_ITEMSIZE, PyArray_NDIM, PyArray_SIZE, PyArray_STRIDES, PyArray_TYPE, ndarray,
                    npy_intp)
cimport numpy as cnp

import numpy as np

from odyssey._kernels.array cimport (GIL_WORTH, as_array, check_disjoint, checked_out, contiguous, describe, new_array,
                                     new_like, no_memory, real_type, row_contiguous, same_type)
from odyssey._kernels.dispatch cimport K, native, run_gemm
from odyssey._kernels.kernels cimport (ODY_BF16, ODY_BF16_ROWS, ODY_F16, ODY_F16_ROWS, ODY_INT8, ODY_PANELS, ODY_STRIDED)
from odyssey._kernels.kernels cimport (ODY_GELU, ODY_IDENTITY, ODY_RELU, ODY_SIGMOID, ODY_SILU, ODY_TANH, ody_gemm_fn,
                                       ody_gemm_workspace_fn)
from odyssey._kernels.runtime cimport ody_gemm_stack

from odyssey.errors import DTypeError, ShapeError
from odyssey.packing import PackedWeight

cnp.import_array()

cdef dict ACTIVATIONS = {
    None: ODY_IDENTITY,
    "relu": ODY_RELU,
    "tanh": ODY_TANH,
    "sigmoid": ODY_SIGMOID,
    "gelu": ODY_GELU,
    "silu": ODY_SILU,
}

cdef dict FORMATS = {
    "float32": ODY_PANELS,
    "float64": ODY_PANELS,
    "bfloat16": ODY_BF16,
    "float16": ODY_F16,
    "int8": ODY_INT8,
}


cdef int activation_code(object activation, const char *op) except -1:
    if activation is None:
        return ODY_IDENTITY
    code = ACTIVATIONS.get(activation)
    if code is None:
        names = ", ".join([repr(name) for name in ACTIVATIONS])
        raise ValueError(f"{op.decode()}: activation must be one of {names}; found {activation!r}")
    return <int> code


cdef int run(const char *op, ody_gemm_stack *stack, int type_num, bint natively=False) except -1:
    cdef ody_gemm_fn f = K.gemm_f32 if type_num == NPY_FLOAT else K.gemm_f64
    cdef ody_gemm_workspace_fn workspace = K.gemm_workspace_f32 if type_num == NPY_FLOAT else K.gemm_workspace_f64
    cdef int failed
    if natively and native() != NULL:
        if stack.first.format == ODY_BF16 or stack.first.format == ODY_BF16_ROWS:
            f = native().bf16
            workspace = native().bf16_workspace
        elif stack.first.format == ODY_INT8:
            f = native().int8
            workspace = native().int8_workspace
    if stack.ndim == 0 and stack.first.m * stack.first.n * stack.first.k < GIL_WORTH:
        failed = run_gemm(op, f, workspace, stack)
    else:
        with nogil:
            failed = run_gemm(op, f, workspace, stack)
    if failed:
        no_memory(op)
    return 0


cdef int bfloat16_type = -1  # the number that NumPy gave the last type of that name; others than NumPy's own are no constants


cdef int narrow_format(ndarray weight):
    global bfloat16_type
    cdef int number = PyArray_TYPE(weight)
    if PyArray_ITEMSIZE(weight) != 2 or not cnp.PyArray_ISNOTSWAPPED(weight):
        return ODY_STRIDED
    if number == NPY_FLOAT16:
        return ODY_F16_ROWS
    if number == bfloat16_type:
        return ODY_BF16_ROWS
    # bfloat16 is known by its name, whoever made the type; asking for it takes longer than all else here.
    if (<object> weight).dtype.name != "bfloat16":
        return ODY_STRIDED
    if number >= 256:  # NPY_USERDEF
        bfloat16_type = number
    return ODY_BF16_ROWS


cdef int packed_format(object weight) except -1:
    return <int> FORMATS[weight.dtype]


cdef int check_stored(object weight, str dtype, int type_num, const char *op) except -1:
    cdef bint wide = dtype == "float64"
    if wide != (type_num == NPY_DOUBLE):
        raise DTypeError(f"{op.decode()}: {dtype} weights need a {'float64' if wide else 'float32'} x\n"
                         f"  weight: {weight!r}\n" if isinstance(weight, PackedWeight) else
                         f"{op.decode()}: {dtype} weights need a float32 x\n"
                         f"  weight: {describe(weight)}\n"
                         f"  remedy: x.astype(np.float32), which copies")
    return 0


cdef ndarray adjacent_rows(ndarray weight):
    cdef npy_intp *strides = PyArray_STRIDES(weight)
    if (PyArray_CHKFLAGS(weight, NPY_ARRAY_ALIGNED) and strides[0] % 2 == 0
            and (strides[1] == 2 or PyArray_DIMS(weight)[1] <= 1)):
        return weight
    return np.array(weight, order="C")


cdef bint in_elements(ndarray x) noexcept:
    """Every stride is a whole number of elements and the data is aligned, so that a kernel can walk it as it is."""
    cdef npy_intp item = PyArray_ITEMSIZE(x)
    cdef int axis
    for axis in range(PyArray_NDIM(x)):
        if PyArray_STRIDES(x)[axis] % item:
            return False
    return PyArray_CHKFLAGS(x, NPY_ARRAY_ALIGNED)


cdef int mismatch(ndarray a, ndarray b) except -1:
    cdef int na = PyArray_NDIM(a), nb = PyArray_NDIM(b)
    cdef npy_intp columns = PyArray_DIMS(a)[na - 1], rows = PyArray_DIMS(b)[nb - 2 if nb > 1 else 0]
    message = (f"matmul: a's columns ({columns}) must match b's rows ({rows})\n"
               f"  a: {describe(a)}    b: {describe(b)}")
    # Only remedies that work on these very shapes.
    if nb == 2 and PyArray_DIMS(b)[1] == columns:
        message += "\n  b's transpose fits: odyssey.matmul(a, b.T)"
    elif na == 2 and PyArray_DIMS(a)[0] == rows:
        message += "\n  a's transpose fits: odyssey.matmul(a.T, b)"
    elif na == 2 and nb == 2 and PyArray_DIMS(b)[1] == PyArray_DIMS(a)[0]:
        message += "\n  the other order fits: odyssey.matmul(b, a)"
    raise ShapeError(message)


cdef object product(ndarray a, ndarray b, object out, double alpha, double beta, int type_num):
    cdef ody_gemm_stack stack
    cdef npy_intp dims[64]
    cdef npy_intp item = PyArray_ITEMSIZE(a)
    cdef int na = PyArray_NDIM(a), nb = PyArray_NDIM(b), axis, lead, lead_a, lead_b, ndim
    cdef npy_intp m, n, k, size_a, size_b
    cdef npy_intp *sa = PyArray_STRIDES(a)
    cdef npy_intp *sb = PyArray_STRIDES(b)
    cdef npy_intp c_row_bytes, c_col_bytes
    cdef ndarray result, target
    if na == 0 or nb == 0:
        raise ShapeError("matmul: expected at least one dimension, found a scalar\n"
                         f"  a: {describe(a)}    b: {describe(b)}\n"
                         "  remedy: odyssey.multiply")
    # A vector stands for one row or one column; its axis is not in the result.
    m = PyArray_DIMS(a)[na - 2] if na > 1 else 1
    k = PyArray_DIMS(a)[na - 1]
    n = PyArray_DIMS(b)[nb - 1] if nb > 1 else 1
    if PyArray_DIMS(b)[nb - 2 if nb > 1 else 0] != k:
        mismatch(a, b)
    lead_a = max(na - 2, 0)
    lead_b = max(nb - 2, 0)
    lead = max(lead_a, lead_b)
    for axis in range(lead):
        size_a = PyArray_DIMS(a)[axis - (lead - lead_a)] if axis >= lead - lead_a else 1
        size_b = PyArray_DIMS(b)[axis - (lead - lead_b)] if axis >= lead - lead_b else 1
        if size_a != size_b and size_a != 1 and size_b != 1:
            raise ShapeError(
                f"matmul: leading axes do not broadcast: sizes {size_a} and {size_b} meet on axis {axis - lead - 2}\n"
                f"  a: {describe(a)}    b: {describe(b)}\n"
                f"  remedy: from the right, leading sizes must be equal or 1")
        dims[axis] = size_b if size_a == 1 else size_a
        stack.shape[axis] = <size_t> dims[axis]
        stack.a[axis] = sa[axis - (lead - lead_a)] if axis >= lead - lead_a and size_a != 1 else 0
        stack.b[axis] = sb[axis - (lead - lead_b)] if axis >= lead - lead_b and size_b != 1 else 0
    ndim = lead
    if na > 1:
        dims[ndim] = m
        ndim += 1
    if nb > 1:
        dims[ndim] = n
        ndim += 1
    if out is None:
        if beta != 0:
            raise ValueError(f"matmul: beta = {beta} scales what out holds, but out is None\n"
                             f"  remedy: pass out=, or leave beta at 0")
        result = new_array(ndim, dims, type_num)
        target = result
    else:
        result = checked_out(out, ndim, dims, type_num, "matmul")
        check_disjoint(result, a, "matmul", "a")
        check_disjoint(result, b, "matmul", "b")
        target = result
    c_col_bytes = PyArray_STRIDES(target)[ndim - 1] if nb > 1 else item
    c_row_bytes = (PyArray_STRIDES(target)[ndim - 2 if nb > 1 else ndim - 1] if na > 1 else 0)
    if (c_col_bytes != item and n > 1) or not in_elements(target):
        # Kernels write adjacent columns: an out of another layout is written by way of a copy.
        target = new_array(ndim, dims, type_num)
        if beta != 0:
            PyArray_CopyInto(target, result)
        c_row_bytes = (PyArray_STRIDES(target)[ndim - 2 if nb > 1 else ndim - 1] if na > 1 else 0)
    for axis in range(lead):
        stack.c[axis] = PyArray_STRIDES(target)[axis]
    stack.ndim = lead
    stack.itemsize = <size_t> item
    stack.first.m = <size_t> m
    stack.first.n = <size_t> n
    stack.first.k = <size_t> k
    stack.first.a = PyArray_DATA(a)
    stack.first.b = PyArray_DATA(b)
    stack.first.c = PyArray_DATA(target)
    stack.first.a_row = (sa[na - 2] if na > 1 else k * item) // item
    stack.first.a_col = sa[na - 1] // item
    stack.first.b_row = sb[nb - 2 if nb > 1 else 0] // item
    stack.first.b_col = (sb[nb - 1] if nb > 1 else item) // item
    stack.first.c_row = c_row_bytes // item
    stack.first.bias = NULL
    stack.first.alpha = alpha
    stack.first.beta = beta
    stack.first.activation = ODY_IDENTITY
    stack.first.format = ODY_STRIDED
    stack.first.scale = NULL
    if n == 1 and m > 1 and alpha == 1 and stack.first.c_row == 1:
        # One column: computed as one row of the transposed product, whose vectors are full. Same chains, same bits.
        stack.first.a, stack.first.b = stack.first.b, stack.first.a
        stack.first.m = 1
        stack.first.n = <size_t> m
        stack.first.b_col = stack.first.a_row
        stack.first.a_col, stack.first.b_row = stack.first.b_row, stack.first.a_col
        stack.first.a_row = k
        stack.first.c_row = m
        for axis in range(lead):
            stack.a[axis], stack.b[axis] = stack.b[axis], stack.a[axis]
    run("matmul", &stack, type_num)
    if target is not result:
        PyArray_CopyInto(result, target)
    if out is not None:
        return out
    return result if ndim else result[()]


def matmul(
    a: ArrayLike, b: ArrayLike, out: Array | None = None, alpha: float = 1.0, beta: float = 0.0
) -> Array:
    """alpha * a @ b + beta * out, by `numpy.matmul`'s rules for shapes; BLAS gemm.

    Args:
        a: (..., m, k), or (k,) for one row. float32 or float64, any strides: a transposed view is read where it lies.
        b: (..., k, n), or (k,) for one column; leading axes broadcast with a's.
        out: (..., m, n), where to write; overlaps neither a nor b.
        alpha, beta: with beta other than 0, `out` is read and scaled by it.

    Returns:
        `out`, or a new array. The axis that a vector stands for is dropped.

    Each element is one chain of fused multiply-adds over k in ascending order that begins at beta * out, so its bits
    depend neither on the other rows and columns nor on threads and instruction set.

    Raises:
        ShapeError: if a's columns do not match b's rows, or leading axes do not broadcast.
        DTypeError: unless all arrays are float32, or all float64.
        LayoutError: if out is read-only or overlaps an input.
        ValueError: for a beta without out.

    >>> od.matmul(np.float32([[1, 2], [3, 4]]), np.float32([1, 10]))
    array([21., 43.], dtype=float32)
    """
    cdef ndarray first = as_array(a, "matmul")
    cdef ndarray second = as_array(b, "matmul")
    cdef int type_num = real_type(first, "matmul", "a")
    same_type(second, type_num, "matmul", "b")
    if not in_elements(first):
        first = contiguous(first)
    if not in_elements(second):
        second = contiguous(second)
    return product(first, second, out, alpha, beta, type_num)


def linear(
    x: ArrayLike,
    weight: ArrayLike | PackedWeight,
    bias: ArrayLike | None = None,
    activation: str | None = None,
    out: Array | None = None,
    precision: str = "exact",
) -> Array:
    """activation(x @ weight.T + bias), in one pass; `torch.nn.functional.linear` with the activation fused.

    Args:
        x: (..., in), float32 or float64.
        weight: (out, in), of x's dtype; or, for a float32 x, of float16 or (ml_dtypes) bfloat16, as a checkpoint has it,
            read where it lies if the numbers of a row are adjacent and copied otherwise; or what `pack` made of it,
            whatever it is stored as (float64 for a float64 x).
        bias: (out,), or None.
        activation: None, "relu", "tanh", "sigmoid", "gelu" (erf form) or "silu".
        out: (..., out), where to write; overlaps no input.
        precision: "exact", or "native" for what the processor does fastest with bfloat16 and int8 weights.

    Returns:
        `out`, or a new array of shape (..., out).

    Each element is one chain of fused multiply-adds over `in` in ascending order that begins at the bias; a row's bits
    are the same alone and in any batch. Narrow weights are widened exactly first; with int8 the chain is over the
    integers, from zero, and its end is multiplied by the row's scale, the bias added, in one rounding.

    "native" is faster and stands outside of that rule, where AVX-512 is active and the processor multiplies such numbers.
    With bfloat16 weights x is rounded to bfloat16 too, products are added two at a time and subnormals count as zeros.
    With int8 weights x is rounded to int8, with a scale for each 128 neighbours; their sums of products are exact and are
    added up in float32. Elsewhere, and for all other weights, it computes as "exact" does.

    Raises:
        ShapeError: if the last axis of x is not weight's second, or bias is not (out,).
        DTypeError: unless all arrays but a weight of another of these types are float32, or all float64.
        LayoutError: if out is read-only or overlaps an input.
        ValueError: for an unknown activation or precision.

    >>> od.linear(np.float32([1, 2]), np.float32([[1, 1], [1, -1]]), np.float32([0, 0.5]), "relu")
    array([3., 0.], dtype=float32)
    """
    cdef ody_gemm_stack stack
    cdef npy_intp dims[64]
    cdef ptrdiff_t x_row
    cdef ndarray rows = as_array(x, "linear")
    cdef ndarray w = None, start = None, scale = None, result, target
    cdef int type_num = real_type(rows, "linear", "x"), ndim = PyArray_NDIM(rows), axis
    cdef int code = activation_code(activation, "linear")
    cdef npy_intp item = PyArray_ITEMSIZE(rows), count = 1, inputs, outputs
    cdef bint packed = isinstance(weight, PackedWeight)
    cdef int format = ODY_STRIDED
    if precision != "exact" and precision != "native":
        raise ValueError(f"linear: precision must be 'exact' or 'native'; found {precision!r}")
    if packed:
        format = packed_format(weight)
        check_stored(weight, weight.dtype, type_num, "linear")
        w = weight.panels
        scale = weight.scale
        outputs, inputs = weight.shape
        if ndim < 1 or PyArray_DIMS(rows)[ndim - 1] != inputs:
            raise ShapeError("linear: x must be (..., in) and weight (out, in)\n"
                             f"  x: {describe(rows)}    weight: {weight!r}")
    else:
        w = as_array(weight, "linear")
        format = narrow_format(w)
        if format == ODY_STRIDED:
            same_type(w, type_num, "linear", "weight")
        elif type_num != NPY_FLOAT:
            check_stored(w, (<object> w).dtype.name, type_num, "linear")
        if PyArray_NDIM(w) == 2:
            outputs, inputs = PyArray_DIMS(w)[0], PyArray_DIMS(w)[1]
    if not packed and (PyArray_NDIM(w) != 2 or ndim < 1 or PyArray_DIMS(rows)[ndim - 1] != PyArray_DIMS(w)[1]):
        message = ("linear: x must be (..., in) and weight (out, in)\n"
                   f"  x: {describe(rows)}    weight: {describe(w)}")
        if PyArray_NDIM(w) == 2 and ndim >= 1 and PyArray_DIMS(rows)[ndim - 1] == PyArray_DIMS(w)[0]:
            message += "\n  weight's transpose fits: odyssey.linear(x, weight.T)"
        raise ShapeError(message)
    if bias is not None:
        start = as_array(bias, "linear")
        same_type(start, type_num, "linear", "bias")
        if PyArray_NDIM(start) != 1 or PyArray_DIMS(start)[0] != outputs:
            raise ShapeError(f"linear: bias must have shape ({outputs},), one value for each output\n"
                             f"  weight: {repr(weight) if packed else describe(w)}    bias: {describe(start)}")
        start = contiguous(start)
    rows = row_contiguous(rows, &x_row)
    if x_row % item:
        rows = rows.copy()
        x_row = PyArray_DIMS(rows)[ndim - 1] * item
    if format == ODY_STRIDED and not in_elements(w):
        w = contiguous(w)
    elif format == ODY_BF16_ROWS or format == ODY_F16_ROWS:
        w = adjacent_rows(w)
    for axis in range(ndim - 1):
        dims[axis] = PyArray_DIMS(rows)[axis]
        count *= dims[axis]
    dims[ndim - 1] = outputs
    if out is None:
        result = target = new_array(ndim, dims, type_num)
    else:
        result = target = checked_out(out, ndim, dims, type_num, "linear")
        check_disjoint(result, rows, "linear", "x")
        check_disjoint(result, w, "linear", "weight")
        if start is not None:
            check_disjoint(result, start, "linear", "bias")
        if not cnp.PyArray_ISCARRAY(result):
            target = new_array(ndim, dims, type_num)
    stack.ndim = 0
    stack.itemsize = <size_t> item
    stack.first.m = <size_t> count
    stack.first.n = <size_t> dims[ndim - 1]
    stack.first.k = <size_t> inputs
    stack.first.a = PyArray_DATA(rows)
    stack.first.b = PyArray_DATA(w)
    stack.first.c = PyArray_DATA(target)
    stack.first.a_row = x_row // item
    stack.first.a_col = 1
    stack.first.b_row = 0 if packed else PyArray_STRIDES(w)[1] // PyArray_ITEMSIZE(w)
    stack.first.b_col = 0 if packed else PyArray_STRIDES(w)[0] // PyArray_ITEMSIZE(w)
    stack.first.format = format
    stack.first.scale = NULL if scale is None else PyArray_DATA(scale)
    stack.first.c_row = dims[ndim - 1]
    stack.first.bias = NULL if start is None else PyArray_DATA(start)
    stack.first.alpha = 1
    stack.first.beta = 0
    stack.first.activation = code
    run("linear", &stack, type_num, precision == "native")
    if target is not result:
        PyArray_CopyInto(result, target)
    return result if out is None else out
