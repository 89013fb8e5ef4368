"""Cross entropy of logits against class labels, and its gradient."""
from libc.stddef cimport ptrdiff_t, size_t
from libc.stdint cimport int64_t
from numpy cimport (NPY_ARRAY_ALIGNED, NPY_DOUBLE, NPY_FLOAT, NPY_INT32, NPY_INT64, PyArray_CHKFLAGS,
                    PyArray_DATA, PyArray_DIMS, PyArray_ITEMSIZE, PyArray_NDIM, PyArray_STRIDES, PyArray_TYPE, ndarray, npy_intp)
cimport numpy as cnp

from odyssey._kernels.array cimport (GIL_WORTH, as_array, check_overlap, checked_out, contiguous, describe, new_array,
                                     real_type, row_contiguous, same_type)
from odyssey._kernels.dispatch cimport K, run_rows
from odyssey._kernels.kernels cimport ody_rows, ody_rows_fn

import numpy as np

from odyssey.errors import DTypeError, ShapeError

cnp.import_array()

cdef enum:
    NONE
    MEAN
    SUM
    COST = 16


cdef int reduction_code(object reduction, const char *op) except -1:
    if reduction == "mean":
        return MEAN
    if reduction == "none":
        return NONE
    if reduction == "sum":
        return SUM
    raise ValueError(f'{op.decode()}: reduction must be "none", "mean" or "sum"; found {reduction!r}')


# What the options make of the labels, beside the labels themselves.
cdef struct Taken:
    double total      # weights of all classes
    double divisor    # of a mean: the weights of the labels that take part


cdef double real_at(ndarray x, npy_intp i) noexcept:
    if PyArray_TYPE(x) == NPY_FLOAT:
        return (<const float *> PyArray_DATA(x))[i]
    return (<const double *> PyArray_DATA(x))[i]


cdef ndarray checked_weight(object given, ndarray logits, int type_num, const char *op):
    """The class weights, contiguous; None where there are none."""
    cdef ndarray weight
    if given is None:
        return None
    weight = as_array(given, op)
    same_type(weight, type_num, op, "weight")
    if PyArray_NDIM(weight) != 1 or PyArray_NDIM(logits) != 2 or PyArray_DIMS(weight)[0] != PyArray_DIMS(logits)[1]:
        raise ShapeError(f"{op.decode()}: weight must be (C,), one value for each class of logits (N, C)\n"
                         f"  logits: {describe(logits)}    weight: {describe(weight)}")
    return contiguous(weight)


cdef double checked_smoothing(object given, const char *op) except? -1:
    cdef double smoothing = given
    if not 0 <= smoothing <= 1:
        raise ValueError(f"{op.decode()}: label_smoothing must be in [0, 1]; found {given!r}")
    return smoothing


cdef ndarray checked_labels(object given, ndarray logits, object ignore_index, ndarray weight, Taken *taken,
                            const char *op):
    """The labels as contiguous int64 (int32 is copied), every one of them a column of logits or outside of [0, C) where the
    row is left out; copied once more if the index to leave out is a column."""
    cdef ndarray labels = as_array(given, op)
    cdef int type_num = PyArray_TYPE(labels)
    cdef int64_t *label
    cdef int64_t ignored
    cdef npy_intp i, rows, classes
    if type_num not in (NPY_INT64, NPY_INT32) and labels.dtype not in (np.int64, np.int32):
        raise DTypeError(f"{op.decode()}: labels must be int64 or int32\n  labels: {describe(labels)}\n"
                         f"  remedy: labels.astype(np.int64), which copies")
    if PyArray_NDIM(logits) != 2 or PyArray_NDIM(labels) != 1 or PyArray_DIMS(labels)[0] != PyArray_DIMS(logits)[0]:
        raise ShapeError(f"{op.decode()}: logits must be (N, C) and labels (N,)\n"
                         f"  logits: {describe(logits)}    labels: {describe(labels)}")
    try:
        ignored = ignore_index.__index__()
    except (AttributeError, TypeError, OverflowError):
        raise TypeError(f"{op.decode()}: ignore_index must be an int; found {ignore_index!r}") from None
    rows = PyArray_DIMS(logits)[0]
    classes = PyArray_DIMS(logits)[1]
    if 0 <= ignored < classes:
        labels = np.array(labels, np.int64)
    else:
        labels = np.ascontiguousarray(labels, np.int64)
        if not PyArray_CHKFLAGS(labels, NPY_ARRAY_ALIGNED):
            labels = labels.copy()
    label = <int64_t *> PyArray_DATA(labels)
    taken.total = classes
    taken.divisor = 0
    if weight is not None:
        taken.total = 0
        for i in range(classes):
            taken.total += real_at(weight, i)
    for i in range(rows):
        if label[i] == ignored:
            if 0 <= ignored < classes:
                label[i] = -1
        elif not 0 <= label[i] < classes:
            raise IndexError(f"{op.decode()}: labels must lie in [0, {classes}) or be ignore_index ({ignored}); "
                             f"found labels[{i}] = {label[i]}\n"
                             f"  logits: {describe(logits)}    labels: {describe(labels)}")
        else:
            taken.divisor += 1 if weight is None else real_at(weight, label[i])
    return labels


cdef void run(const char *op, ody_rows_fn f, ody_rows *r) noexcept:
    if r.rows * r.n * COST < GIL_WORTH:
        run_rows(op, f, r, COST)
    else:
        with nogil:
            run_rows(op, f, r, COST)


def cross_entropy(
    logits: ArrayLike,
    labels: ArrayLike,
    reduction: str = "mean",
    out: Array | None = None,
    *,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    weight: ArrayLike | None = None,
) -> Array:
    """-log softmax(logits)[label] of each row; `torch.nn.functional.cross_entropy`.

    Args:
        logits: (N, C), float32 or float64, unnormalised.
        labels: (N,), int64 (int32 is copied), each in [0, C) or `ignore_index`.
        reduction: "mean" or "sum" over the rows, or "none" for one value each.
        out: where to write: (N,) for "none", else without axes.
        ignore_index: rows with this label count for nothing: their loss is 0, and a mean divides by the others. The
            labels are copied if it lies in [0, C).
        label_smoothing: in [0, 1], how much of a label is spread over all classes.
        weight: (C,), of logits' dtype: what each class's part of a loss is multiplied by. A mean divides by the sum of the
            weights of the labels that take part.

    Returns:
        `out`, or a new array, a NumPy scalar where it has no axes. The mean of no rows, or of none that take part, is NaN.

    No probabilities are stored; a row's value does not depend on the other rows.

    Raises:
        IndexError: for a label that is no column, naming the first.
        ValueError: for an unknown reduction, or a label_smoothing outside [0, 1].
        ShapeError, DTypeError, LayoutError: for arrays that do not fit.

    >>> od.cross_entropy(np.float32([[0, 0], [0, 200]]), np.array([0, 1]))
    np.float32(0.3465736)
    """
    cdef ody_rows r, total
    cdef ptrdiff_t step
    cdef int code = reduction_code(reduction, "cross_entropy")
    cdef double smoothing = checked_smoothing(label_smoothing, "cross_entropy")
    cdef ndarray x = as_array(logits, "cross_entropy"), label, losses, result, classes
    cdef int type_num = real_type(x, "cross_entropy", "logits")
    cdef npy_intp rows
    cdef Taken taken
    classes = checked_weight(weight, x, type_num, "cross_entropy")
    label = checked_labels(labels, x, ignore_index, classes, &taken, "cross_entropy")
    x = row_contiguous(x, &step)
    rows = PyArray_DIMS(x)[0]
    if out is None:
        result = new_array(1 if code == NONE else 0, &rows, type_num)
    else:
        result = checked_out(out, 1 if code == NONE else 0, &rows, type_num, "cross_entropy")
        check_overlap(result, x, "cross_entropy", "logits")
        check_overlap(result, label, "cross_entropy", "labels")
        if classes is not None:
            check_overlap(result, classes, "cross_entropy", "weight")
    losses = result if code == NONE else new_array(1, &rows, type_num)
    r.in_[0] = PyArray_DATA(x)
    r.in_[1] = PyArray_DATA(label)
    r.in_[2] = NULL if classes is None else PyArray_DATA(classes)
    r.in_[3] = NULL
    r.in_step[0] = step
    r.in_step[1] = sizeof(int64_t)
    r.in_step[2] = r.in_step[3] = 0
    r.out[0] = PyArray_DATA(losses)
    r.out[1] = r.out[2] = NULL
    r.out_step[0] = PyArray_STRIDES(losses)[0]
    r.rows = <size_t> rows
    r.n = <size_t> PyArray_DIMS(x)[1]
    r.param[0] = smoothing
    r.param[1] = taken.total
    r.flags = 0
    run("cross_entropy", K.cross_entropy_f32 if type_num == NPY_FLOAT else K.cross_entropy_f64, &r)
    if code != NONE:
        total.in_[0] = PyArray_DATA(losses)
        total.in_[1] = total.in_[2] = total.in_[3] = NULL
        total.in_step[0] = 0
        total.out[0] = PyArray_DATA(result)
        total.out[1] = total.out[2] = NULL
        total.out_step[0] = 0
        total.rows = 1
        total.n = <size_t> rows
        total.param[0] = taken.divisor if code == MEAN else 1
        total.flags = 0
        if rows:
            run_rows("cross_entropy", K.sum_rows_f32 if type_num == NPY_FLOAT else K.sum_rows_f64, &total, 1)
        else:
            result[...] = np.nan if code == MEAN else 0
    if out is not None:
        return out
    return result if code == NONE else result[()]


def cross_entropy_backward(
    grad: ArrayLike,
    logits: ArrayLike,
    labels: ArrayLike,
    reduction: str = "mean",
    out: Array | None = None,
    *,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    weight: ArrayLike | None = None,
) -> Array:
    """grad * (softmax(logits) - [column = label]), divided by N for "mean": the gradient of the logits.

    With the options, each row's slope is softmax(logits) * ((1 - s) * w[label] + s / C * sum(w)) - s / C * w -
    (1 - s) * w[label] * [column = label], or 0 where the label is `ignore_index`; "mean" divides as the forward does.

    Args:
        grad: without axes for "mean" and "sum", (N,) for "none"; of logits' dtype.
        logits, labels, reduction, ignore_index, label_smoothing, weight: as the forward was given.
        out: (N, C), where to write; may be logits itself.

    Returns:
        `out`, or a new array (N, C).

    Raises:
        IndexError: for a label that is no column, naming the first.
        ShapeError, DTypeError, LayoutError, ValueError: for arguments that do not fit.

    >>> od.cross_entropy_backward(np.float32(1), np.float32([[0, 0], [0, 200]]), np.array([0, 1]))
    array([[-0.25,  0.25],
           [ 0.  ,  0.  ]], dtype=float32)
    """
    cdef ody_rows r
    cdef ptrdiff_t step
    cdef int code = reduction_code(reduction, "cross_entropy_backward")
    cdef double smoothing = checked_smoothing(label_smoothing, "cross_entropy_backward")
    cdef ndarray x = as_array(logits, "cross_entropy_backward"), g, label, result, target, classes
    cdef int type_num = real_type(x, "cross_entropy_backward", "logits")
    cdef npy_intp rows
    cdef float narrow
    cdef double wide
    cdef Taken taken
    g = as_array(grad, "cross_entropy_backward")
    same_type(g, type_num, "cross_entropy_backward", "grad")
    classes = checked_weight(weight, x, type_num, "cross_entropy_backward")
    label = checked_labels(labels, x, ignore_index, classes, &taken, "cross_entropy_backward")
    rows = PyArray_DIMS(x)[0]
    if PyArray_NDIM(g) != (1 if code == NONE else 0) or (code == NONE and PyArray_DIMS(g)[0] != rows):
        raise ShapeError(f"cross_entropy_backward: grad must have the shape of the {reduction!r} loss\n"
                         f"  grad: {describe(g)}    logits: {describe(x)}")
    if out is None:
        result = target = new_array(2, PyArray_DIMS(x), type_num)
    else:
        result = target = checked_out(out, 2, PyArray_DIMS(x), type_num, "cross_entropy_backward")
        check_overlap(result, x, "cross_entropy_backward", "logits")
        check_overlap(result, g, "cross_entropy_backward", "grad")
        check_overlap(result, label, "cross_entropy_backward", "labels")
        if classes is not None:
            check_overlap(result, classes, "cross_entropy_backward", "weight")
        if not cnp.PyArray_ISCARRAY(result):
            target = new_array(2, PyArray_DIMS(x), type_num)
    x = row_contiguous(x, &step)
    g = contiguous(g)
    if code == NONE:
        r.in_[2] = PyArray_DATA(g)
        r.in_step[2] = PyArray_ITEMSIZE(g)
    else:
        wide = real_at(g, 0)
        if code == MEAN and rows:
            wide /= taken.divisor
        narrow = <float> wide
        r.in_[2] = <const void *> &narrow if type_num == NPY_FLOAT else <const void *> &wide
        r.in_step[2] = 0
    r.in_[0] = PyArray_DATA(x)
    r.in_[1] = PyArray_DATA(label)
    r.in_[3] = NULL if classes is None else PyArray_DATA(classes)
    r.in_step[0] = step
    r.in_step[1] = sizeof(int64_t)
    r.in_step[3] = 0
    r.out[0] = PyArray_DATA(target)
    r.out[1] = r.out[2] = NULL
    r.out_step[0] = PyArray_STRIDES(target)[0]
    r.rows = <size_t> rows
    r.n = <size_t> PyArray_DIMS(x)[1]
    r.param[0] = smoothing
    r.param[1] = taken.total
    r.flags = 0
    run("cross_entropy_backward",
        K.cross_entropy_backward_f32 if type_num == NPY_FLOAT else K.cross_entropy_backward_f64, &r)
    if target is not result:
        cnp.PyArray_CopyInto(result, target)
    return result if out is None else out
