"""Batch, group and instance norm of (N, C, ...), their gradients, and batch norm folded into what stands before it."""
from libc.stddef cimport ptrdiff_t, size_t
from numpy cimport (NPY_FLOAT, PyArray_DATA, PyArray_DIMS, PyArray_ITEMSIZE, PyArray_NDIM, PyArray_SIZE, ndarray,
                    npy_intp)
cimport numpy as cnp

from odyssey._kernels.array cimport (GIL_WORTH, as_array, check_disjoint, check_overlap, checked_out, contiguous,
                                     describe, new_array, new_like, no_memory, real_type, same_type)
from odyssey._kernels.dispatch cimport K, run_norm, run_rows
from odyssey._kernels.kernels cimport ODY_GIVEN, ody_norm, ody_norm_fn, ody_rows

import numpy as np

from odyssey._kernels.reductions import mean as column_mean, sum as column_sums, var as column_var
from odyssey.errors import LayoutError, ShapeError

cnp.import_array()

cdef enum:
    TALL = 65536


cdef ndarray images(object given, const char *op, str name, int type_num=-1):
    """An operand (N, C, ...)."""
    cdef ndarray x = as_array(given, op)
    if type_num < 0:
        real_type(x, op, name)
    else:
        same_type(x, type_num, op, name)
    if PyArray_NDIM(x) < 2:
        raise ShapeError(f"{op.decode()}: {name} must be (N, C, ...)\n  {name}: {describe(x)}")
    return x


cdef ndarray per_channel(object given, ndarray x, const char *op, str name):
    """None, or an entry for each channel, contiguous."""
    cdef ndarray values
    if given is None:
        return None
    values = as_array(given, op)
    same_type(values, cnp.PyArray_TYPE(x), op, name)
    if PyArray_NDIM(values) != 1 or PyArray_DIMS(values)[0] != PyArray_DIMS(x)[1]:
        raise ShapeError(f"{op.decode()}: {name} must be ({PyArray_DIMS(x)[1]},), an entry for each channel (axis 1 of x)\n"
                         f"  x: {describe(x)}    {name}: {describe(values)}")
    return contiguous(values)


cdef int check_grad(ndarray grad, ndarray x, const char *op) except -1:
    if (<object> grad).shape != (<object> x).shape:
        raise ShapeError(f"{op.decode()}: grad and x must be of one shape\n  grad: {describe(grad)}    x: {describe(x)}")
    return 0


cdef void by_groups(ody_norm *v, ndarray x, npy_intp groups) noexcept:
    """Groups of neighbouring channels of one image."""
    cdef npy_intp *dims = PyArray_DIMS(x)
    cdef size_t item = <size_t> PyArray_ITEMSIZE(x)
    v.runs = <size_t> (dims[1] // groups) if groups else 0
    v.groups = <size_t> (dims[0] * groups)
    v.run = <size_t> (PyArray_SIZE(x) // (dims[0] * dims[1])) if dims[0] * dims[1] else 0
    v.period = <size_t> groups
    v.run_step = <ptrdiff_t> (v.run * item)
    v.group_step = <ptrdiff_t> (v.runs * v.run * item)
    v.affine_run = <ptrdiff_t> item
    v.affine_group = <ptrdiff_t> (v.runs * item)


cdef void by_channels(ody_norm *v, ndarray x) noexcept:
    """A channel of all images is a group."""
    cdef npy_intp *dims = PyArray_DIMS(x)
    cdef size_t item = <size_t> PyArray_ITEMSIZE(x)
    v.runs = <size_t> dims[0]
    v.groups = v.period = <size_t> dims[1]
    v.run = <size_t> (PyArray_SIZE(x) // (dims[0] * dims[1])) if dims[0] * dims[1] else 0
    v.group_step = <ptrdiff_t> (v.run * item)
    v.run_step = <ptrdiff_t> (v.groups * v.run * item)
    v.affine_run = 0
    v.affine_group = <ptrdiff_t> item


cdef void clear(ody_norm *v, double eps) noexcept:
    v.grad = NULL
    v.mean = v.variance = v.grad_sums = v.product_sums = NULL
    v.first = 0
    v.eps = eps
    v.flags = 0


cdef object forward(const char *op, ody_norm *v, ndarray x, ndarray weight, ndarray bias, object out):
    """Runs what v says of x, whose layout it has, into out or a new array."""
    cdef int type_num = cnp.PyArray_TYPE(x), failed
    cdef size_t item = <size_t> PyArray_ITEMSIZE(x)
    cdef ndarray result, target
    cdef ody_norm_fn f = K.normalise_f32 if type_num == NPY_FLOAT else K.normalise_f64
    cdef ody_norm_fn columns = K.normalise_columns_f32 if type_num == NPY_FLOAT else K.normalise_columns_f64
    if out is None:
        result = target = new_like(x, type_num)
    else:
        result = target = checked_out(out, PyArray_NDIM(x), PyArray_DIMS(x), type_num, op)
        check_overlap(result, x, op, "x")
        if weight is not None:
            check_disjoint(result, weight, op, "weight")
        if bias is not None:
            check_disjoint(result, bias, op, "bias")
        if not cnp.PyArray_ISCARRAY(result):
            target = new_like(x, type_num)
    x = contiguous(x)
    v.x = PyArray_DATA(x)
    v.out = PyArray_DATA(target)
    v.weight = NULL if weight is None else PyArray_DATA(weight)
    v.bias = NULL if bias is None else PyArray_DATA(bias)
    if PyArray_SIZE(x) < GIL_WORTH / 4:
        failed = run_norm(op, f, columns, v, item)
    else:
        with nogil:
            failed = run_norm(op, f, columns, v, item)
    if failed:
        no_memory(op)
    if target is not result:
        cnp.PyArray_CopyInto(result, target)
    return result if out is None else out


cdef tuple backward(const char *op, ody_norm *v, ndarray grad, ndarray x, ndarray weight):
    """The gradients of x, weight and bias."""
    cdef int type_num = cnp.PyArray_TYPE(x), failed
    cdef size_t item = <size_t> PyArray_ITEMSIZE(x)
    cdef ndarray dx = new_like(x, type_num), grads, products
    cdef npy_intp dims[2]
    cdef npy_intp *shape = PyArray_DIMS(x)
    dims[0] = shape[0]
    dims[1] = shape[1]
    if v.affine_run:
        # Runs of one element: their sums are the gradient itself.
        grads = None if v.run == 1 else new_array(2, dims, type_num)
        products = new_array(2, dims, type_num)
    else:
        grads = new_array(1, dims + 1, type_num)
        products = new_array(1, dims + 1, type_num)
    grad = contiguous(grad)
    x = contiguous(x)
    v.grad = PyArray_DATA(grad)
    v.x = PyArray_DATA(x)
    v.out = PyArray_DATA(dx)
    v.weight = NULL if weight is None else PyArray_DATA(weight)
    v.bias = NULL
    v.grad_sums = NULL if grads is None else PyArray_DATA(grads)
    v.product_sums = PyArray_DATA(products)
    with nogil:
        failed = run_norm(op, K.normalise_backward_f32 if type_num == NPY_FLOAT else K.normalise_backward_f64,
                          K.normalise_backward_columns_f32 if type_num == NPY_FLOAT else K.normalise_backward_columns_f64,
                          v, item)
    if failed:
        no_memory(op)
    if PyArray_SIZE(x) == 0:
        return dx, np.zeros(shape[1], dx.dtype), np.zeros(shape[1], dx.dtype)
    if v.affine_run:
        if grads is None:
            grads = (<object> grad).reshape(dims[0], dims[1])
        return dx, column_sums(products, axis=0), column_sums(grads, axis=0)
    return dx, products, grads


cdef npy_intp read_groups(object num_groups, ndarray x, const char *op) except -1:
    cdef npy_intp groups = num_groups
    if groups < 1 or PyArray_DIMS(x)[1] % groups:
        raise ShapeError(f"{op.decode()}: num_groups must divide the {PyArray_DIMS(x)[1]} channels (axis 1 of x), found "
                         f"{groups}\n  x: {describe(x)}")
    return groups


def group_norm(
    x: ArrayLike,
    num_groups: int,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    eps: float = 1e-5,
    out: Array | None = None,
) -> Array:
    """(x - mean) / √(var + eps) · weight + bias, mean and variance of each group of channels of each image.

    Args:
        x: (N, C, ...), float32 or float64. One that is not contiguous is copied first.
        num_groups: into how many groups the channels are cut; a divisor of C.
        weight, bias: (C,), or None for ones and zeros.
        eps: added to the variance, which divides by the number of elements.
        out: where to write, of x's shape and dtype; may be x itself.

    Returns:
        `out`, or a new array of x's shape and dtype. A group with NaN or infinity is NaN.

    Raises:
        DTypeError, ShapeError, LayoutError: for arguments that do not fit.

    >>> od.group_norm(np.float32([[1, 3, 5, 9]]), 2, eps=0)
    array([[-1.,  1., -1.,  1.]], dtype=float32)

    Wu, He 2018, "Group Normalization". `torch.nn.functional.group_norm`.
    """
    cdef ody_norm v
    cdef ndarray image = images(x, "group_norm", "x")
    clear(&v, eps)
    by_groups(&v, image, read_groups(num_groups, image, "group_norm"))
    return forward("group_norm", &v, image, per_channel(weight, image, "group_norm", "weight"),
                   per_channel(bias, image, "group_norm", "bias"), out)


def group_norm_backward(
    grad: ArrayLike, x: ArrayLike, num_groups: int, weight: ArrayLike | None = None, eps: float = 1e-5
) -> tuple[Array, Array, Array]:
    """The gradients of group_norm, those of x, weight and bias; statistics are computed again.

    Args:
        grad: the gradient of the result.
        x, num_groups, weight, eps: as the forward was given. Arrays that are not contiguous are copied first.

    Returns:
        The gradients of x, of its shape, of weight and of bias, (C,): without them, those of ones and zeros.

    Raises:
        DTypeError, ShapeError: for arguments that do not fit.

    >>> od.group_norm_backward(np.float32([[1, 2]]), np.float32([[3, 4]]), 1)[2]
    array([1., 2.], dtype=float32)

    The formula is `layer_norm_backward`'s, over a group.
    """
    cdef ody_norm v
    cdef ndarray incoming = images(grad, "group_norm_backward", "grad"), image
    image = images(x, "group_norm_backward", "x", cnp.PyArray_TYPE(incoming))
    check_grad(incoming, image, "group_norm_backward")
    clear(&v, eps)
    by_groups(&v, image, read_groups(num_groups, image, "group_norm_backward"))
    return backward("group_norm_backward", &v, incoming, image,
                    per_channel(weight, image, "group_norm_backward", "weight"))


def instance_norm(
    x: ArrayLike,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    eps: float = 1e-5,
    out: Array | None = None,
) -> Array:
    """(x - mean) / √(var + eps) · weight + bias, mean and variance of each channel of each image.

    Args:
        x: (N, C, ...), float32 or float64, with axes beyond C. One that is not contiguous is copied first.
        weight, bias: (C,), or None for ones and zeros.
        eps: added to the variance, which divides by the number of elements.
        out: where to write, of x's shape and dtype; may be x itself.

    Returns:
        `out`, or a new array of x's shape and dtype. A channel with NaN or infinity is NaN.

    Raises:
        DTypeError, ShapeError, LayoutError: for arguments that do not fit.

    >>> od.instance_norm(np.float32([[[1, 3], [5, 9]]]), eps=0)[0, 1]
    array([-1.,  1.], dtype=float32)

    Ulyanov, Vedaldi, Lempitsky 2016, "Instance Normalization". `torch.nn.functional.instance_norm`.
    """
    cdef ody_norm v
    cdef ndarray image = images(x, "instance_norm", "x")
    check_spatial(image, "instance_norm")
    clear(&v, eps)
    by_groups(&v, image, PyArray_DIMS(image)[1])
    return forward("instance_norm", &v, image, per_channel(weight, image, "instance_norm", "weight"),
                   per_channel(bias, image, "instance_norm", "bias"), out)


cdef int check_spatial(ndarray x, const char *op) except -1:
    if PyArray_NDIM(x) < 3:
        raise ShapeError(f"{op.decode()}: x must be (N, C, ...) with axes beyond C, over which to take the mean\n"
                         f"  x: {describe(x)}")
    return 0


def instance_norm_backward(
    grad: ArrayLike, x: ArrayLike, weight: ArrayLike | None = None, eps: float = 1e-5
) -> tuple[Array, Array, Array]:
    """The gradients of instance_norm, those of x, weight and bias; statistics are computed again.

    Args:
        grad: the gradient of the result.
        x, weight, eps: as the forward was given. Arrays that are not contiguous are copied first.

    Returns:
        The gradients of x, of its shape, of weight and of bias, (C,): without them, those of ones and zeros.

    Raises:
        DTypeError, ShapeError: for arguments that do not fit.

    >>> od.instance_norm_backward(np.float32([[[1, 2]]]), np.float32([[[3, 4]]]))[2]
    array([3.], dtype=float32)

    The formula is `layer_norm_backward`'s, over a channel.
    """
    cdef ody_norm v
    cdef ndarray incoming = images(grad, "instance_norm_backward", "grad"), image
    image = images(x, "instance_norm_backward", "x", cnp.PyArray_TYPE(incoming))
    check_grad(incoming, image, "instance_norm_backward")
    check_spatial(image, "instance_norm_backward")
    clear(&v, eps)
    by_groups(&v, image, PyArray_DIMS(image)[1])
    return backward("instance_norm_backward", &v, incoming, image,
                    per_channel(weight, image, "instance_norm_backward", "weight"))


cdef int check_running(object given, ndarray x, bint training, const char *op, str name) except -1:
    """Running statistics: needed where they are read, writable where they are written."""
    if given is None:
        if not training:
            raise ValueError(f"{op.decode()}: {name} is needed unless training=True, where the batch has its own statistics")
        return 0
    if training and not (isinstance(given, np.ndarray) and given.flags.writeable):
        raise LayoutError(f"{op.decode()}: {name} is updated in place, so it must be a writable NumPy array")
    per_channel(given, x, op, name)
    return 0


cdef int follow(object running, ndarray found, double momentum, double factor) except -1:
    """running = (1 - momentum) · running + momentum · factor · found."""
    running[...] = (1 - momentum) * np.asarray(running, np.float64) + (momentum * factor) * np.asarray(found, np.float64)
    return 0


cdef object by_columns(ndarray x, ndarray mean, ndarray variance, ndarray weight, ndarray bias, double eps, object out):
    """Batch norm of single elements per channel: rows, with a mean, a weight and a bias for each element."""
    cdef int type_num = cnp.PyArray_TYPE(x)
    cdef size_t item = <size_t> PyArray_ITEMSIZE(x)
    cdef ody_rows r
    cdef ndarray scale, shift, result, target
    if out is None:
        result = target = new_like(x, type_num)
    else:
        result = target = checked_out(out, PyArray_NDIM(x), PyArray_DIMS(x), type_num, "batch_norm")
        check_overlap(result, x, "batch_norm", "x")
        for name, row in (("weight", weight), ("bias", bias), ("running_mean", mean), ("running_var", variance)):
            if row is not None:
                check_disjoint(result, row, "batch_norm", name)
        if not cnp.PyArray_ISCARRAY(result):
            target = new_like(x, type_num)
    x = contiguous(x)
    scale = 1 / np.sqrt(variance + mean.dtype.type(eps))
    if weight is not None:
        scale *= weight
    shift = np.full_like(scale, -0.0) if bias is None else bias
    r.in_[0] = PyArray_DATA(x)
    r.in_[1] = PyArray_DATA(mean)
    r.in_[2] = PyArray_DATA(scale)
    r.in_[3] = PyArray_DATA(shift)
    r.out[0] = PyArray_DATA(target)
    r.out[1] = r.out[2] = NULL
    r.rows = <size_t> PyArray_DIMS(x)[0]
    r.n = <size_t> PyArray_DIMS(x)[1]
    r.in_step[0] = r.out_step[0] = <ptrdiff_t> (r.n * item)
    r.in_step[1] = r.in_step[2] = r.in_step[3] = 0
    r.out_step[1] = r.out_step[2] = 0
    r.flags = 0
    with nogil:
        run_rows("batch_norm", K.affine_f32 if type_num == NPY_FLOAT else K.affine_f64, &r, 3)
    if target is not result:
        cnp.PyArray_CopyInto(result, target)
    return result if out is None else out


cdef int given_statistics(ody_norm *v, ndarray mean, ndarray variance) noexcept:
    v.mean = PyArray_DATA(mean)
    v.variance = PyArray_DATA(variance)
    v.flags = ODY_GIVEN
    return 0


def batch_norm(
    x: ArrayLike,
    running_mean: ArrayLike | None,
    running_var: ArrayLike | None,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    out: Array | None = None,
) -> Array:
    """(x - mean) / √(var + eps) · weight + bias, mean and variance of each channel over the batch, or the running ones.

    Args:
        x: (N, C, ...), float32 or float64. One that is not contiguous is copied first.
        running_mean, running_var: (C,), of x's dtype. Read unless `training`; in training written, in place, as
            (1 - momentum) · running + momentum · found, with the unbiased variance; there None for none.
        weight, bias: (C,), or None for ones and zeros.
        training: whether to use, and to learn, the statistics of this batch.
        momentum: how much of the statistics found enters the running ones.
        eps: added to the variance, which in normalising divides by the number of elements.
        out: where to write, of x's shape and dtype; may be x itself.

    Returns:
        `out`, or a new array of x's shape and dtype.

    Raises:
        ShapeError: also for one value per channel in training, which has no variance.
        DTypeError, LayoutError, ValueError: for arguments that do not fit.

    >>> od.batch_norm(np.float32([[1], [3]]), None, None, training=True, eps=0)
    array([[-1.],
           [ 1.]], dtype=float32)

    Ioffe, Szegedy 2015, "Batch Normalization". `torch.nn.functional.batch_norm`.
    """
    cdef ody_norm v
    cdef ndarray image = images(x, "batch_norm", "x"), scale, shift, mean, variance
    cdef npy_intp count, channels
    cdef object result
    cdef bint learns = training
    scale = per_channel(weight, image, "batch_norm", "weight")
    shift = per_channel(bias, image, "batch_norm", "bias")
    check_running(running_mean, image, learns, "batch_norm", "running_mean")
    check_running(running_var, image, learns, "batch_norm", "running_var")
    clear(&v, eps)
    channels = PyArray_DIMS(image)[1]
    if not learns:
        mean = per_channel(running_mean, image, "batch_norm", "running_mean")
        variance = per_channel(running_var, image, "batch_norm", "running_var")
        # An image's channels one by one, in the order of memory.
        by_groups(&v, image, channels)
        if v.run == 1:
            return by_columns(image, mean, variance, scale, shift, eps, out)
        given_statistics(&v, mean, variance)
        return forward("batch_norm", &v, image, scale, shift, out)
    by_channels(&v, image)
    count = PyArray_SIZE(image) // channels if channels else 0
    if count == 1:
        raise ShapeError("batch_norm: in training a channel needs more than one value, else it has no variance\n"
                         f"  x: {describe(image)}")
    if v.run == 1 and count > TALL:
        # Few threads could share the columns: the rows are cut as well. The bits are the same.
        image = contiguous(image)
        flat = (<object> image).reshape(PyArray_DIMS(image)[0], channels)
        mean = column_mean(flat, axis=0)
        variance = column_var(flat, axis=0)
        result = by_columns(image, mean, variance, scale, shift, eps, out)
    else:
        mean = new_array(1, &channels, cnp.PyArray_TYPE(image))
        variance = new_array(1, &channels, cnp.PyArray_TYPE(image))
        v.mean = PyArray_DATA(mean)
        v.variance = PyArray_DATA(variance)
        result = forward("batch_norm", &v, image, scale, shift, out)
    if count:
        if running_mean is not None:
            follow(running_mean, mean, momentum, 1)
        if running_var is not None:
            follow(running_var, variance, momentum, count / (count - 1.0))
    return result


def batch_norm_backward(
    grad: ArrayLike,
    x: ArrayLike,
    running_mean: ArrayLike | None,
    running_var: ArrayLike | None,
    weight: ArrayLike | None = None,
    training: bool = False,
    eps: float = 1e-5,
) -> tuple[Array, Array, Array]:
    """The gradients of batch_norm, those of x, weight and bias; the statistics of a batch are computed again.

    In training the formula is `layer_norm_backward`'s, over a channel of all images. Else the statistics are constants,
    and the gradient of x is grad · weight / √(running_var + eps).

    Args:
        grad: the gradient of the result.
        x, weight, training, eps: as the forward was given. Arrays that are not contiguous are copied first.
        running_mean, running_var: the running statistics; not read in training.

    Returns:
        The gradients of x, of its shape, of weight and of bias, (C,): without them, those of ones and zeros.

    Raises:
        DTypeError, ShapeError, ValueError: for arguments that do not fit.

    >>> od.batch_norm_backward(np.float32([[1], [2]]), np.float32([[3], [4]]), None, None, training=True)[2]
    array([3.], dtype=float32)
    """
    cdef ody_norm v
    cdef ndarray incoming = images(grad, "batch_norm_backward", "grad"), image, scale, mean, variance
    cdef bint learns = training
    image = images(x, "batch_norm_backward", "x", cnp.PyArray_TYPE(incoming))
    check_grad(incoming, image, "batch_norm_backward")
    scale = per_channel(weight, image, "batch_norm_backward", "weight")
    clear(&v, eps)
    by_channels(&v, image)
    if not learns:
        check_running(running_mean, image, False, "batch_norm_backward", "running_mean")
        check_running(running_var, image, False, "batch_norm_backward", "running_var")
        mean = per_channel(running_mean, image, "batch_norm_backward", "running_mean")
        variance = per_channel(running_var, image, "batch_norm_backward", "running_var")
        given_statistics(&v, mean, variance)
    else:  # not read, but refused where the forward would have refused them
        per_channel(running_mean, image, "batch_norm_backward", "running_mean")
        per_channel(running_var, image, "batch_norm_backward", "running_var")
    return backward("batch_norm_backward", &v, incoming, image, scale)


def fold_batch_norm(
    weight: ArrayLike,
    bias: ArrayLike | None,
    running_mean: ArrayLike,
    running_var: ArrayLike,
    bn_weight: ArrayLike | None = None,
    bn_bias: ArrayLike | None = None,
    eps: float = 1e-5,
) -> tuple[Array, Array]:
    """Weight and bias of a convolution or linear layer that is also the batch norm behind it, as it is in inference.

    With s = bn_weight / √(running_var + eps): weight · s, output by output, and (bias - running_mean) · s + bn_bias.

    Args:
        weight: (O, ...), float32 or float64.
        bias: (O,), or None.
        running_mean, running_var, bn_weight, bn_bias: the batch norm's, (O,); the last two may be None.
        eps: the batch norm's.

    Returns:
        The new weight and bias.

    Raises:
        DTypeError, ShapeError: for arrays that do not fit.

    >>> od.fold_batch_norm(np.float32([[2]]), None, np.float32([1]), np.float32([4]), eps=0)
    (array([[1.]], dtype=float32), array([-0.5], dtype=float32))
    """
    cdef ndarray given = as_array(weight, "fold_batch_norm"), one
    cdef int type_num = real_type(given, "fold_batch_norm", "weight")
    cdef list rows = []
    for name, value in (("bias", bias), ("running_mean", running_mean), ("running_var", running_var),
                        ("bn_weight", bn_weight), ("bn_bias", bn_bias)):
        if value is None:
            rows.append(None)
            continue
        one = as_array(value, "fold_batch_norm")
        same_type(one, type_num, "fold_batch_norm", name)
        if PyArray_NDIM(given) == 0 or (<object> one).shape != (PyArray_DIMS(given)[0],):
            raise ShapeError(f"fold_batch_norm: {name} must have one entry for each output (axis 0 of weight)\n"
                             f"  weight: {describe(given)}    {name}: {describe(one)}")
        rows.append(np.asarray(one, np.float64))
    start, mean, variance, factor, shift = rows
    # A handful of numbers, once: NumPy's correctly rounded operations, in float64.
    scale = (1.0 if factor is None else factor) / np.sqrt(variance + eps)
    moved = ((0.0 if start is None else start) - mean) * scale + (0.0 if shift is None else shift)
    spread = scale.reshape((-1,) + (1,) * (PyArray_NDIM(given) - 1))
    return (given * spread).astype(given.dtype), moved.astype(given.dtype)
