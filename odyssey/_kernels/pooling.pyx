"""Pooling over windows of images (N, C, H, W), and its gradients."""
from libc.stddef cimport size_t
from numpy cimport (NPY_FLOAT, PyArray_CopyInto, PyArray_DATA, PyArray_DIMS, PyArray_ITEMSIZE, PyArray_NDIM,
                    PyArray_SIZE, ndarray, npy_intp)
cimport numpy as cnp

from odyssey._kernels.array cimport (GIL_WORTH, as_array, check_disjoint, checked_out, contiguous, describe, new_array,
                                     no_memory, real_type, same_type)
from odyssey._kernels.dispatch cimport K, run_pool
from odyssey._kernels.kernels cimport ody_pool, ody_pool_fn, ody_pool_workspace_fn
from odyssey._kernels.window cimport Axis, check_size, place, read_pair, read_shape

from odyssey.errors import ShapeError

cnp.import_array()


cdef int set_up(ody_pool *p, npy_intp *result, const npy_intp *image, object kernel_size, object stride, object padding,
                const char *op) except -1:
    """Checks the windows against the image and fills in the sizes, and the result's shape."""
    cdef Axis vertical, horizontal
    read_pair(kernel_size, 1, &vertical.kernel, &horizontal.kernel, op, "kernel_size")
    read_pair(kernel_size if stride is None else stride, 1, &vertical.stride, &horizontal.stride, op, "stride")
    read_pair(padding, 0, &vertical.padding, &horizontal.padding, op, "padding")
    vertical.dilation = horizontal.dilation = 1
    vertical.size = image[2]
    horizontal.size = image[3]
    if 2 * vertical.padding > vertical.kernel or 2 * horizontal.padding > horizontal.kernel:
        raise ShapeError(f"{op.decode()}: padding must be at most half the kernel, so that each window meets the image\n"
                         f"  kernel_size: ({vertical.kernel}, {horizontal.kernel})    "
                         f"padding: ({vertical.padding}, {horizontal.padding})")
    if image[2] < 1 or image[3] < 1:
        raise ShapeError(f"{op.decode()}: the image must have at least one row and one column\n"
                         f"  image: ({image[0]}, {image[1]}, {image[2]}, {image[3]})")
    place(&vertical, &horizontal, op)
    result[0] = image[0]
    result[1] = image[1]
    result[2] = vertical.out
    result[3] = horizontal.out
    p.planes = <size_t> (image[0] * image[1])
    p.height = <size_t> image[2]
    p.width = <size_t> image[3]
    p.out_height = <size_t> vertical.out
    p.out_width = <size_t> horizontal.out
    p.kernel_h = <size_t> vertical.kernel
    p.kernel_w = <size_t> horizontal.kernel
    p.stride_y = <size_t> vertical.stride
    p.stride_x = <size_t> horizontal.stride
    p.padding_y = <size_t> vertical.padding
    p.padding_x = <size_t> horizontal.padding
    p.in_[0] = p.in_[1] = NULL
    return 0


cdef int set_up_global(ody_pool *p, const npy_intp *image) except -1:
    """One window, the whole image."""
    p.planes = <size_t> (image[0] * image[1])
    p.height = p.kernel_h = p.stride_y = <size_t> image[2]
    p.width = p.kernel_w = p.stride_x = <size_t> image[3]
    p.out_height = p.out_width = 1
    p.padding_y = p.padding_x = 0
    p.in_[0] = p.in_[1] = NULL
    return 0


cdef ndarray images(object x, int type_num, const char *op, str name):
    """An operand (N, C, H, W), of any real type where type_num is negative."""
    cdef ndarray array = as_array(x, op)
    if type_num < 0:
        real_type(array, op, name)
    else:
        same_type(array, type_num, op, name)
    if PyArray_NDIM(array) != 4:
        message = f"{op.decode()}: {name} must be (N, C, H, W)\n  {name}: {describe(array)}"
        if PyArray_NDIM(array) == 3:
            message += f"\n  one image: {name}[None]"
        raise ShapeError(message)
    return array


cdef int check_grad(const npy_intp *expected, ndarray grad, const char *op) except -1:
    cdef npy_intp *dims = PyArray_DIMS(grad)
    if dims[0] != expected[0] or dims[1] != expected[1] or dims[2] != expected[2] or dims[3] != expected[3]:
        raise ShapeError(f"{op.decode()}: grad must have the forward result's shape "
                         f"({expected[0]}, {expected[1]}, {expected[2]}, {expected[3]})\n  grad: {describe(grad)}")
    return 0


cdef object run(const char *op, ody_pool_fn f32, ody_pool_fn f64, bint with_workspace, bint backward, ody_pool *p,
                ndarray first, ndarray second, const npy_intp *dims, object out):
    cdef int type_num = cnp.PyArray_TYPE(first), failed
    cdef size_t item = <size_t> PyArray_ITEMSIZE(first), work
    cdef bint narrow = type_num == NPY_FLOAT
    cdef ody_pool_fn f = f32 if narrow else f64
    cdef ody_pool_workspace_fn workspace = NULL
    cdef ndarray result, target
    check_size(dims, op)
    if out is None:
        result = target = new_array(4, dims, type_num)
    else:
        result = target = checked_out(out, 4, dims, type_num, op)
        check_disjoint(result, first, op, "grad" if backward else "x")
        if second is not None:
            check_disjoint(result, second, op, "x")
        if not cnp.PyArray_ISCARRAY(result):
            target = new_array(4, dims, type_num)
    first = contiguous(first)
    p.in_[0] = PyArray_DATA(first)
    if second is not None:
        second = contiguous(second)
        p.in_[1] = PyArray_DATA(second)
    p.out = PyArray_DATA(target)
    if with_workspace:
        workspace = K.pool_workspace_f32 if narrow else K.pool_workspace_f64
    work = p.planes * (p.height * p.width + p.out_height * p.out_width * p.kernel_h * p.kernel_w)
    if work < GIL_WORTH:
        failed = run_pool(op, workspace, f, p, backward, item)
    else:
        with nogil:
            failed = run_pool(op, workspace, f, p, backward, item)
    if failed:
        no_memory(op)
    if target is not result:
        PyArray_CopyInto(result, target)
    return result if out is None else out


def max_pool2d(
    x: ArrayLike,
    kernel_size: int | tuple[int, int],
    stride: int | tuple[int, int] | None = None,
    padding: int | tuple[int, int] = 0,
    out: Array | None = None,
) -> Array:
    """The largest element of each window; `torch.nn.functional.max_pool2d`.

    Args:
        x: (N, C, H, W), float32 or float64. Images of another layout than C order are copied.
        kernel_size: an int, or a pair (vertical, horizontal).
        stride: likewise; None is the kernel's size.
        padding: likewise, at most half the kernel; padding never wins.
        out: (N, C, oh, ow), where to write; does not overlap x.

    Returns:
        `out`, or a new array (N, C, oh, ow) with oh = (H + 2 * padding - kh) // stride + 1, ow likewise. NaN where a
        window holds one.

    Raises:
        ShapeError: if x is not (N, C, H, W), a window does not fit, or padding is more than half of it.
        DTypeError: unless x is float32 or float64.
        LayoutError: if out is read-only or overlaps x.

    >>> od.max_pool2d(np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4), 2)[0, 0]
    array([[ 5.,  7.],
           [13., 15.]], dtype=float32)
    """
    cdef ndarray image = images(x, -1, "max_pool2d", "x")
    cdef ody_pool p
    cdef npy_intp dims[4]
    set_up(&p, dims, PyArray_DIMS(image), kernel_size, stride, padding, "max_pool2d")
    return run("max_pool2d", K.max_pool2d_f32, K.max_pool2d_f64, True, False, &p, image, None, dims, out)


def max_pool2d_backward(
    grad: ArrayLike,
    x: ArrayLike,
    kernel_size: int | tuple[int, int],
    stride: int | tuple[int, int] | None = None,
    padding: int | tuple[int, int] = 0,
    out: Array | None = None,
) -> Array:
    """Each window's gradient, added to its first maximum (row by row; the first NaN, if any), found again in x.

    Args:
        grad: the gradient of the result, (N, C, oh, ow), float32 or float64.
        x: (N, C, H, W), as given to `max_pool2d`, of grad's dtype.
        kernel_size, stride, padding: as given to `max_pool2d`.
        out: of x's shape, where to write; overlaps no input.

    Returns:
        `out`, or a new array of x's shape.

    Raises:
        ShapeError: as `max_pool2d`, and if grad is not of the forward result's shape.
        DTypeError: unless both arrays are float32, or both float64.
        LayoutError: if out is read-only or overlaps an input.

    >>> od.max_pool2d_backward(np.float32([[[[5]]]]), np.float32([[[[1, 3], [3, 2]]]]), 2)[0, 0]
    array([[0., 5.],
           [0., 0.]], dtype=float32)
    """
    cdef ndarray incoming = images(grad, -1, "max_pool2d_backward", "grad")
    cdef ndarray image = images(x, cnp.PyArray_TYPE(incoming), "max_pool2d_backward", "x")
    cdef ody_pool p
    cdef npy_intp dims[4]
    set_up(&p, dims, PyArray_DIMS(image), kernel_size, stride, padding, "max_pool2d_backward")
    check_grad(dims, incoming, "max_pool2d_backward")
    return run("max_pool2d_backward", K.max_pool2d_backward_f32, K.max_pool2d_backward_f64, True, True, &p, incoming,
               image, PyArray_DIMS(image), out)


def avg_pool2d(
    x: ArrayLike,
    kernel_size: int | tuple[int, int],
    stride: int | tuple[int, int] | None = None,
    padding: int | tuple[int, int] = 0,
    out: Array | None = None,
) -> Array:
    """The mean of each window, padding counted as zeros; `torch.nn.functional.avg_pool2d`.

    Args:
        x: (N, C, H, W), float32 or float64. Images of another layout than C order are copied.
        kernel_size: an int, or a pair (vertical, horizontal).
        stride: likewise; None is the kernel's size.
        padding: likewise, at most half the kernel.
        out: (N, C, oh, ow), where to write; does not overlap x.

    Returns:
        `out`, or a new array (N, C, oh, ow) with oh = (H + 2 * padding - kh) // stride + 1, ow likewise.

    Raises:
        ShapeError: if x is not (N, C, H, W), a window does not fit, or padding is more than half of it.
        DTypeError: unless x is float32 or float64.
        LayoutError: if out is read-only or overlaps x.

    >>> od.avg_pool2d(np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4), 2)[0, 0]
    array([[ 2.5,  4.5],
           [10.5, 12.5]], dtype=float32)
    """
    cdef ndarray image = images(x, -1, "avg_pool2d", "x")
    cdef ody_pool p
    cdef npy_intp dims[4]
    set_up(&p, dims, PyArray_DIMS(image), kernel_size, stride, padding, "avg_pool2d")
    return run("avg_pool2d", K.avg_pool2d_f32, K.avg_pool2d_f64, True, False, &p, image, None, dims, out)


def avg_pool2d_backward(
    grad: ArrayLike,
    input_shape: tuple[int, int, int, int],
    kernel_size: int | tuple[int, int],
    stride: int | tuple[int, int] | None = None,
    padding: int | tuple[int, int] = 0,
    out: Array | None = None,
) -> Array:
    """Each window's gradient, divided by the window's area, added to all its elements.

    Args:
        grad: the gradient of the result, (N, C, oh, ow), float32 or float64.
        input_shape: x's, (N, C, H, W).
        kernel_size, stride, padding: as given to `avg_pool2d`.
        out: of input_shape, where to write; does not overlap grad.

    Returns:
        `out`, or a new array of input_shape.

    Raises:
        ShapeError: as `avg_pool2d`, and if grad is not of the forward result's shape.
        DTypeError: unless grad is float32 or float64.
        LayoutError: if out is read-only or overlaps grad.

    >>> od.avg_pool2d_backward(np.float32([[[[8]]]]), (1, 1, 2, 2), 2)[0, 0]
    array([[2., 2.],
           [2., 2.]], dtype=float32)
    """
    cdef ndarray incoming = images(grad, -1, "avg_pool2d_backward", "grad")
    cdef ody_pool p
    cdef npy_intp dims[4], image[4]
    read_shape(input_shape, image, "avg_pool2d_backward", "input_shape")
    set_up(&p, dims, image, kernel_size, stride, padding, "avg_pool2d_backward")
    check_grad(dims, incoming, "avg_pool2d_backward")
    return run("avg_pool2d_backward", K.avg_pool2d_backward_f32, K.avg_pool2d_backward_f64, True, True, &p, incoming,
               None, image, out)


def global_avg_pool2d(x: ArrayLike, out: Array | None = None) -> Array:
    """The mean of each channel's image; `torch.nn.functional.adaptive_avg_pool2d(x, 1)`.

    Args:
        x: (N, C, H, W), float32 or float64. Images of another layout than C order are copied.
        out: (N, C, 1, 1), where to write; does not overlap x.

    Returns:
        `out`, or a new array (N, C, 1, 1); NaN for images without pixels.

    Raises:
        ShapeError: if x is not (N, C, H, W).
        DTypeError: unless x is float32 or float64.
        LayoutError: if out is read-only or overlaps x.

    >>> od.global_avg_pool2d(np.arange(8, dtype=np.float32).reshape(1, 2, 2, 2))[0, :, 0, 0]
    array([1.5, 5.5], dtype=float32)
    """
    cdef ndarray image = images(x, -1, "global_avg_pool2d", "x")
    cdef ody_pool p
    cdef npy_intp dims[4]
    cdef object result
    dims[0] = PyArray_DIMS(image)[0]
    dims[1] = PyArray_DIMS(image)[1]
    dims[2] = dims[3] = 1
    set_up_global(&p, PyArray_DIMS(image))
    result = run("global_avg_pool2d", K.global_avg_pool2d_f32, K.global_avg_pool2d_f64, False, False, &p, image, None,
                 dims, out)
    if PyArray_SIZE(image) == 0 and p.planes > 0:
        result.fill(float("nan"))
    return result


def global_avg_pool2d_backward(
    grad: ArrayLike, input_shape: tuple[int, int, int, int], out: Array | None = None
) -> Array:
    """grad, divided by H * W, for every element of the image.

    Args:
        grad: the gradient of the result, (N, C, 1, 1), float32 or float64.
        input_shape: x's, (N, C, H, W).
        out: of input_shape, where to write; does not overlap grad.

    Returns:
        `out`, or a new array of input_shape.

    Raises:
        ShapeError: if grad is not (N, C, 1, 1).
        DTypeError: unless grad is float32 or float64.
        LayoutError: if out is read-only or overlaps grad.

    >>> od.global_avg_pool2d_backward(np.float32([[[[8]]]]), (1, 1, 2, 2))[0, 0]
    array([[2., 2.],
           [2., 2.]], dtype=float32)
    """
    cdef ndarray incoming = images(grad, -1, "global_avg_pool2d_backward", "grad")
    cdef ody_pool p
    cdef npy_intp dims[4], image[4]
    read_shape(input_shape, image, "global_avg_pool2d_backward", "input_shape")
    dims[0] = image[0]
    dims[1] = image[1]
    dims[2] = dims[3] = 1
    check_grad(dims, incoming, "global_avg_pool2d_backward")
    set_up_global(&p, image)
    return run("global_avg_pool2d_backward", K.global_avg_pool2d_backward_f32, K.global_avg_pool2d_backward_f64, False,
               True, &p, incoming, None, image, out)
