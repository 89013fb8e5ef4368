"""Filters of images: correlation with a small kernel, borders as in scipy.ndimage, and its gradients."""
from libc.stddef cimport ptrdiff_t, size_t
from numpy cimport (NPY_ARRAY_ALIGNED, NPY_FLOAT, PyArray_CHKFLAGS, PyArray_CopyInto, PyArray_DATA, PyArray_DIMS,
                    PyArray_ITEMSIZE, PyArray_NDIM, PyArray_STRIDES, PyArray_TYPE, ndarray, npy_intp)
cimport numpy as cnp

from odyssey._kernels.array cimport (GIL_WORTH, as_array, check_disjoint, checked_out, contiguous, describe, new_array, new_like,
                                     no_memory, real_type, same_type)
from odyssey._kernels.dispatch cimport K, border_index, run_filter
from odyssey._kernels.kernels cimport ody_filter_fn
from odyssey._kernels.runtime cimport (ODY_BORDER_CONSTANT, ODY_BORDER_MIRROR, ODY_BORDER_NEAREST, ODY_BORDER_REFLECT,
                                       ODY_BORDER_WRAP, ody_filter_planes)
from odyssey._kernels.typed cimport FixedTensor
from odyssey._kernels.window cimport compiled_filter

import numpy as np

from odyssey._kernels.conv import conv2d_backward_weight
from odyssey.errors import ShapeError

cnp.import_array()

cdef dict BORDERS = {
    "constant": ODY_BORDER_CONSTANT,
    "nearest": ODY_BORDER_NEAREST,
    "reflect": ODY_BORDER_REFLECT,
    "mirror": ODY_BORDER_MIRROR,
    "wrap": ODY_BORDER_WRAP,
}


cdef int border_code(object border, const char *op) except -1:
    code = BORDERS.get(border)
    if code is None:
        names = ", ".join([repr(name) for name in BORDERS])
        raise ValueError(f"{op.decode()}: border must be one of {names}; found {border!r}")
    return <int> code


cdef ndarray image_like(object x, int type_num, const char *op, str name):
    """Planes (..., H, W), of any real type where type_num is negative, a stride apart; else a copy that is."""
    cdef ndarray array = as_array(x, op)
    cdef int axis, ndim = PyArray_NDIM(array)
    cdef npy_intp step = 0 # of the next axis out, where there is one within; 0 is a step, too
    cdef bint within = False
    if type_num < 0:
        real_type(array, op, name)
    else:
        same_type(array, type_num, op, name)
    if ndim < 2:
        raise ShapeError(f"{op.decode()}: {name} must be (..., H, W)\n  {name}: {describe(array)}\n"
                         f"  remedy: {name}[np.newaxis] is one row" if ndim == 1 else
                         f"{op.decode()}: {name} must be (..., H, W)\n  {name}: {describe(array)}")
    if not PyArray_CHKFLAGS(array, NPY_ARRAY_ALIGNED):
        return contiguous(array)
    for axis in range(ndim - 3, -1, -1):
        if PyArray_DIMS(array)[axis] == 1:
            continue
        if within and PyArray_STRIDES(array)[axis] != step:
            return contiguous(array)
        within = True
        step = PyArray_STRIDES(array)[axis] * PyArray_DIMS(array)[axis]
    return array


cdef ndarray kernel_like(object kernel, int type_num, const char *op):
    cdef ndarray array = (<FixedTensor> kernel).view() if isinstance(kernel, FixedTensor) else as_array(kernel, op)
    same_type(array, type_num, op, "kernel")
    if PyArray_NDIM(array) != 2 or PyArray_DIMS(array)[0] < 1 or PyArray_DIMS(array)[1] < 1:
        raise ShapeError(f"{op.decode()}: kernel must be (kh, kw), of at least one element\n  kernel: {describe(array)}")
    return contiguous(array)


cdef void place(ody_filter_planes *v, ndarray image) noexcept:
    """Where the image's planes lie."""
    cdef int ndim = PyArray_NDIM(image), axis
    cdef npy_intp *dims = PyArray_DIMS(image)
    cdef npy_intp *strides = PyArray_STRIDES(image)
    v.in_ = <const char *> PyArray_DATA(image)
    v.bias = NULL
    v.itemsize = <size_t> PyArray_ITEMSIZE(image)
    v.batch = v.groups = v.channels = v.outputs = 1
    v.height = <size_t> dims[ndim - 2]
    v.width = <size_t> dims[ndim - 1]
    v.row_step = strides[ndim - 2]
    v.column_step = strides[ndim - 1]
    v.plane_step = 0
    for axis in range(ndim - 2):
        v.batch *= <size_t> dims[axis]
        if dims[axis] != 1:
            v.plane_step = strides[axis]


cdef int work(const char *op, ody_filter_fn f, const ody_filter_planes *v) except -1:
    cdef int failed
    if v.batch * v.outputs * v.out_height * v.out_width * v.kernel_h * v.kernel_w < GIL_WORTH:
        failed = run_filter(op, f, v)
    else:
        with nogil:
            failed = run_filter(op, f, v)
    if failed:
        no_memory(op)
    return 0


def filter2d(
    image: ArrayLike, kernel: ArrayLike, border: str = "reflect", cval: float = 0.0, out: Array | None = None
) -> Array:
    """Each plane of an image correlated with a kernel; `scipy.ndimage.correlate` with its modes.

    Result (y, x) sums kernel[i, k] * image[y + i - kh // 2, x + k - kw // 2]. Outside of a row a b c d stands, by `border`:

        "constant"   k k k k | a b c d | k k k k   with k = cval
        "nearest"    a a a a | a b c d | d d d d
        "reflect"    d c b a | a b c d | d c b a
        "mirror"     d c b   | a b c d |   c b a
        "wrap"       a b c d | a b c d | a b c d

    Args:
        image: (..., H, W), float32 or float64, of any strides; leading axes, such as channels, are planes by themselves.
        kernel: (kh, kw), of the image's dtype. An ndarray may have any size. A `FixedTensor` of 3 x 3, 5 x 5 or 7 x 7 goes by code
            compiled for that size, with the same bits in a half to four fifths of the time.
        border: what stands outside of the image.
        cval: with "constant", the elements outside.
        out: where to write, of the image's shape and dtype; overlaps neither image nor kernel.

    Returns:
        `out`, or a new array of the image's shape and dtype. Each element is one chain of fused multiply-adds over the kernel in C
        order that begins at 0.

    Raises:
        ShapeError: for an image of fewer than two axes, a kernel of another rank, or a FixedTensor of another size.
        DTypeError, LayoutError: for arrays that do not fit.
        ValueError: for an unknown border.

    >>> image = np.float32([[0, 0, 0], [0, 1, 0], [0, 0, 0]])
    >>> od.filter2d(image, od.Kernel3x3([[1, 2, 3], [4, 5, 6], [7, 8, 9]]))
    array([[9., 8., 7.],
           [6., 5., 4.],
           [3., 2., 1.]], dtype=float32)
    """
    cdef ody_filter_planes v
    cdef ody_filter_fn f
    cdef ndarray planes = image_like(image, -1, "filter2d", "image"), taps, result, target
    cdef int type_num = PyArray_TYPE(planes), code = border_code(border, "filter2d")
    cdef bint narrow = type_num == NPY_FLOAT
    taps = kernel_like(kernel, type_num, "filter2d")
    place(&v, planes)
    v.kernel_h = <size_t> PyArray_DIMS(taps)[0]
    v.kernel_w = <size_t> PyArray_DIMS(taps)[1]
    f = K.filter2d_f32 if narrow else K.filter2d_f64
    if isinstance(kernel, FixedTensor):
        f = compiled_filter(v.kernel_h, narrow)
        if f == NULL or v.kernel_h != v.kernel_w:
            raise ShapeError(f"filter2d: a FixedTensor kernel must be (3, 3), (5, 5) or (7, 7), for which there is compiled code\n"
                             f"  kernel: {describe(taps)}\n  remedy: kernel.numpy(), since an ndarray may have any size")
    if out is None:
        result = target = new_like(planes, type_num)
    else:
        result = target = checked_out(out, PyArray_NDIM(planes), PyArray_DIMS(planes), type_num, "filter2d")
        check_disjoint(result, planes, "filter2d", "image")
        check_disjoint(result, taps, "filter2d", "kernel")
        if not cnp.PyArray_ISCARRAY(result):
            target = new_like(planes, type_num)
    v.out = <char *> PyArray_DATA(target)
    v.weight = <const char *> PyArray_DATA(taps)
    v.out_height = v.height
    v.out_width = v.width
    v.top = <ptrdiff_t> (v.kernel_h // 2)
    v.left = <ptrdiff_t> (v.kernel_w // 2)
    v.border = code
    v.outside = cval
    work("filter2d", f, &v)
    if target is not result:
        PyArray_CopyInto(result, target)
    return result if out is None else out


cdef object border_indices(size_t n, size_t kernel, int code):
    """For each place of an axis of n that a window reaches into, from -(kernel // 2) on, the element that stands there; -1
    where cval does."""
    cdef ptrdiff_t i
    return np.array([border_index(i - <ptrdiff_t> (kernel // 2), <ptrdiff_t> n, code) for i in range(<ptrdiff_t> (n + kernel - 1))],
                    np.intp)


def filter2d_backward_image(
    grad: ArrayLike, kernel: ArrayLike, border: str = "reflect", out: Array | None = None
) -> Array:
    """The gradient of `filter2d` with respect to the image.

    Args:
        grad: the gradient of the result, (..., H, W), float32 or float64.
        kernel: (kh, kw), of grad's dtype.
        border: as given to `filter2d`.
        out: where to write, of grad's shape and dtype; overlaps neither grad nor kernel.

    Returns:
        `out`, or a new array of grad's shape and dtype: grad correlated with the kernel turned by half a turn, over all places that
        windows reached; what falls outside of the image is then added to the elements that stood there, rows first.

    Raises:
        DTypeError, ShapeError, LayoutError, ValueError: as `filter2d`.

    >>> od.filter2d_backward_image(np.ones((1, 3), np.float32), np.float32([[1, 2, 4]]), border="nearest")
    array([[ 4.,  7., 10.]], dtype=float32)
    """
    cdef ody_filter_planes v
    cdef ndarray planes = image_like(grad, -1, "filter2d_backward_image", "grad"), taps, reached, result, turned
    cdef int type_num = PyArray_TYPE(planes), code = border_code(border, "filter2d_backward_image"), ndim = PyArray_NDIM(planes), axis
    cdef npy_intp dims[64]
    cdef size_t top, left
    taps = kernel_like(kernel, type_num, "filter2d_backward_image")
    if out is not None:
        result = checked_out(out, ndim, PyArray_DIMS(planes), type_num, "filter2d_backward_image")
        check_disjoint(result, planes, "filter2d_backward_image", "grad")
        check_disjoint(result, taps, "filter2d_backward_image", "kernel")
    else:
        result = new_like(planes, type_num)
    place(&v, planes)
    v.kernel_h = <size_t> PyArray_DIMS(taps)[0]
    v.kernel_w = <size_t> PyArray_DIMS(taps)[1]
    if cnp.PyArray_SIZE(planes) == 0:
        return result if out is None else out
    turned = contiguous(taps[::-1, ::-1])
    v.out_height = v.height + v.kernel_h - 1
    v.out_width = v.width + v.kernel_w - 1
    for axis in range(ndim - 2):
        dims[axis] = PyArray_DIMS(planes)[axis]
    dims[ndim - 2] = <npy_intp> v.out_height
    dims[ndim - 1] = <npy_intp> v.out_width
    reached = new_array(ndim, dims, type_num)
    v.out = <char *> PyArray_DATA(reached)
    v.weight = <const char *> PyArray_DATA(turned)
    v.top = <ptrdiff_t> v.kernel_h - 1
    v.left = <ptrdiff_t> v.kernel_w - 1
    v.border = ODY_BORDER_CONSTANT
    v.outside = 0
    work("filter2d_backward_image", K.filter2d_f32 if type_num == NPY_FLOAT else K.filter2d_f64, &v)
    top, left = v.kernel_h // 2, v.kernel_w // 2
    inside = reached[..., top:top + v.height, :]
    for place_of, at in enumerate(border_indices(v.height, v.kernel_h, code)):
        if at >= 0 and not top <= <size_t> place_of < top + v.height:
            inside[..., at, :] += reached[..., place_of, :]
    result[...] = inside[..., left:left + v.width]
    for place_of, at in enumerate(border_indices(v.width, v.kernel_w, code)):
        if at >= 0 and not left <= <size_t> place_of < left + v.width:
            result[..., at] += inside[..., place_of]
    return result if out is None else out


cdef object surrounded(object images, object at, int axis, double cval):
    """The elements at these places of an axis; cval for a place of -1."""
    around = images.take(np.maximum(at, 0), axis=axis)
    outside = [slice(None)] * axis
    outside.append(at < 0)
    around[tuple(outside)] = cval
    return around


def filter2d_backward_kernel(
    grad: ArrayLike,
    image: ArrayLike,
    kernel_shape: tuple[int, int],
    border: str = "reflect",
    cval: float = 0.0,
    out: Array | None = None,
) -> Array:
    """The gradient of `filter2d` with respect to the kernel.

    Args:
        grad: the gradient of the result, (..., H, W), float32 or float64.
        image: as given to `filter2d`, of grad's shape and dtype.
        kernel_shape: the kernel's, (kh, kw).
        border, cval: as given to `filter2d`.
        out: where to write, (kh, kw); overlaps neither grad nor image.

    Returns:
        `out`, or a new array (kh, kw), by `conv2d_backward_weight` of the image with what stands around it.

    Raises:
        DTypeError, ShapeError, LayoutError, ValueError: as `filter2d`.

    >>> image = np.float32([[1, 2, 4]])
    >>> od.filter2d_backward_kernel(np.ones_like(image), image, (1, 3), border="nearest")
    array([[ 4.,  7., 10.]], dtype=float32)
    """
    cdef ndarray incoming = image_like(grad, -1, "filter2d_backward_kernel", "grad"), planes
    cdef int type_num = PyArray_TYPE(incoming), code = border_code(border, "filter2d_backward_kernel")
    cdef int ndim = PyArray_NDIM(incoming)
    planes = image_like(image, type_num, "filter2d_backward_kernel", "image")
    if (<object> planes).shape != (<object> incoming).shape:
        raise ShapeError(f"filter2d_backward_kernel: grad and image must be of one shape\n"
                         f"  grad: {describe(incoming)}    image: {describe(planes)}")
    try:
        down, across = kernel_shape
        kernel_h, kernel_w = down.__index__(), across.__index__()
    except (AttributeError, TypeError, ValueError):
        raise TypeError(f"filter2d_backward_kernel: kernel_shape must be a pair of ints; found {kernel_shape!r}") from None
    if kernel_h < 1 or kernel_w < 1:
        raise ShapeError(f"filter2d_backward_kernel: kernel_shape must be at least (1, 1); found {kernel_shape!r}")
    cdef npy_intp dims[2]
    dims[0], dims[1] = kernel_h, kernel_w
    if out is not None:
        checked_out(out, 2, dims, type_num, "filter2d_backward_kernel")
        check_disjoint(as_array(out, "filter2d_backward_kernel"), incoming, "filter2d_backward_kernel", "grad")
        check_disjoint(as_array(out, "filter2d_backward_kernel"), planes, "filter2d_backward_kernel", "image")
    height, width = PyArray_DIMS(incoming)[ndim - 2], PyArray_DIMS(incoming)[ndim - 1]
    if cnp.PyArray_SIZE(incoming) == 0:
        result = np.zeros((kernel_h, kernel_w), (<object> incoming).dtype)
    else:
        around = surrounded(planes.reshape(-1, 1, height, width), border_indices(height, kernel_h, code), 2, cval)
        around = surrounded(around, border_indices(width, kernel_w, code), 3, cval)
        result = conv2d_backward_weight(incoming.reshape(-1, 1, height, width), around, (1, 1, kernel_h, kernel_w))
        result = result.reshape(kernel_h, kernel_w)
    if out is None:
        return result
    (<object> out)[...] = result
    return out
