"""Transposed convolution over images (N, C, H, W), and its gradients.

It is the gradient of a convolution's input, and its own gradients are a convolution and the gradient of a convolution's
weight: the kernels are conv2d's, with the roles of image and result exchanged.
"""
from libc.stddef cimport size_t
from numpy cimport PyArray_DATA, PyArray_DIMS, PyArray_TYPE, ndarray, npy_intp
cimport numpy as cnp

from odyssey._kernels.array cimport check_disjoint, checked_out, contiguous, describe, new_array
from odyssey._kernels.conv cimport BACKWARD_INPUT, BACKWARD_WEIGHT, FORWARD, bias_like, image_like, run, set_up
from odyssey._kernels.kernels cimport ody_conv
from odyssey._kernels.window cimport check_size, read_pair, read_shape

from odyssey.errors import ShapeError

cnp.import_array()

cdef tuple AXES = ("height", "width")


cdef int set_up_transposed(ody_conv *v, const npy_intp *image, const npy_intp *weight, object stride, object padding,
                           object output_padding, object dilation, object groups, npy_intp *result,
                           const char *op) except -1:
    """Fills in the convolution from `result`, whose shape it computes, to `image`."""
    cdef npy_intp step[2]
    cdef npy_intp around[2]
    cdef npy_intp more[2]
    cdef npy_intp apart[2]
    cdef npy_intp group_count
    cdef int axis
    read_pair(stride, 1, &step[0], &step[1], op, "stride")
    read_pair(padding, 0, &around[0], &around[1], op, "padding")
    read_pair(output_padding, 0, &more[0], &more[1], op, "output_padding")
    read_pair(dilation, 1, &apart[0], &apart[1], op, "dilation")
    try:
        group_count = groups.__index__()
    except (AttributeError, TypeError, OverflowError):
        raise TypeError(f"{op.decode()}: groups must be an int; found {groups!r}") from None
    if group_count < 1:
        raise ShapeError(f"{op.decode()}: groups must be at least 1; found {groups!r}")
    if image[1] != weight[0] or weight[0] % group_count:
        raise ShapeError(
            f"{op.decode()}: the image's channels ({image[1]}) must be weight's first axis ({weight[0]}) and divide into "
            f"the groups ({group_count})\n"
            f"  image: ({image[0]}, {image[1]}, {image[2]}, {image[3]})    "
            f"weight: ({weight[0]}, {weight[1]}, {weight[2]}, {weight[3]})    groups: {group_count}")
    if weight[2] < 1 or weight[3] < 1:
        raise ShapeError(f"{op.decode()}: weight's kernel must be at least (1, 1); found ({weight[2]}, {weight[3]})")
    result[0] = image[0]
    result[1] = weight[1] * group_count
    for axis in range(2):
        if image[2 + axis] < 1:
            raise ShapeError(f"{op.decode()}: the image's {AXES[axis]} must be at least 1\n"
                             f"  image: ({image[0]}, {image[1]}, {image[2]}, {image[3]})")
        if more[axis] >= max(step[axis], apart[axis]):
            raise ShapeError(f"{op.decode()}: output_padding must be less than stride or dilation, for only so many "
                             f"{AXES[axis]}s give one image\n"
                             f"  output_padding: {output_padding!r}    stride: {stride!r}    dilation: {dilation!r}")
        result[2 + axis] = ((image[2 + axis] - 1) * step[axis] - 2 * around[axis] + apart[axis] * (weight[2 + axis] - 1)
                            + more[axis] + 1)
        if result[2 + axis] < 1:
            raise ShapeError(f"{op.decode()}: the result's {AXES[axis]} must be at least 1; found {result[2 + axis]}\n"
                             f"  image: ({image[2]}, {image[3]})    kernel: ({weight[2]}, {weight[3]})    "
                             f"padding: {padding!r}, which is cut off on both sides")
    check_size(result, op)
    set_up(v, result, weight, stride, padding, dilation, groups, op)
    # A longer result than the image needs may have room for another step of the kernel.
    v.out_height = <size_t> image[2]
    v.out_width = <size_t> image[3]
    return 0


cdef int check_grad(const npy_intp *result, ndarray grad, const char *op) except -1:
    cdef int axis
    for axis in range(4):
        if PyArray_DIMS(grad)[axis] != result[axis]:
            raise ShapeError(f"{op.decode()}: grad must have the forward result's shape "
                             f"({result[0]}, {result[1]}, {result[2]}, {result[3]})\n  grad: {describe(grad)}")
    return 0


def conv_transpose2d(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
    output_padding: int | tuple[int, int] = 0,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
    out: Array | None = None,
) -> Array:
    """Each element of x adds its multiple of the kernel where it stands in the result;
    `torch.nn.functional.conv_transpose2d`.

    Args:
        x: (N, C, H, W), float32 or float64. Images of another layout than C order are copied.
        weight: (C, O / groups, kh, kw), of x's dtype.
        bias: (O,), or None.
        stride, padding, dilation: an int, or a pair (vertical, horizontal): of the `conv2d` that this turns round.
        output_padding: how much longer the result is at the bottom and the right; less than stride or dilation.
        groups: into how many independent convolutions channels and outputs divide.
        out: (N, O, oh, ow), where to write; overlaps no input.

    Returns:
        `out`, or a new array (N, O, oh, ow) with oh = (H - 1) * stride - 2 * padding + dilation * (kh - 1) +
        output_padding + 1, ow likewise.

    The kernels and the order of additions are `conv2d_backward_input`'s; no zeros are inserted between the elements of x.

    Raises:
        ShapeError: if channels, groups or bias do not fit, the padding leaves nothing of the result, or a number is out of
            its range.
        DTypeError: unless all arrays are float32, or all float64.
        LayoutError: if out is read-only or overlaps an input.

    >>> od.conv_transpose2d(np.ones((1, 1, 1, 2), np.float32), np.float32([[[[1, 2, 4]]]]), stride=2)[0, 0]
    array([[1., 2., 5., 2., 4.]], dtype=float32)
    """
    cdef ody_conv v
    cdef ndarray image = image_like(x, -1, "conv_transpose2d", "x"), w, start, result
    cdef int type_num = PyArray_TYPE(image)
    cdef npy_intp dims[4]
    w = image_like(weight, type_num, "conv_transpose2d", "weight")
    set_up_transposed(&v, PyArray_DIMS(image), PyArray_DIMS(w), stride, padding, output_padding, dilation, groups, dims,
                      "conv_transpose2d")
    start = bias_like(bias, dims[1], w, type_num, "conv_transpose2d")
    if start is not None:
        v.bias = PyArray_DATA(start)
    if out is None:
        result = new_array(4, dims, type_num)
    else:
        result = checked_out(out, 4, dims, type_num, "conv_transpose2d")
        check_disjoint(result, image, "conv_transpose2d", "x")
        check_disjoint(result, w, "conv_transpose2d", "weight")
        if start is not None:
            check_disjoint(result, start, "conv_transpose2d", "bias")
    image = contiguous(image)
    w = contiguous(w)
    v.y = PyArray_DATA(image)
    v.weight = PyArray_DATA(w)
    return run("conv_transpose2d", BACKWARD_INPUT, &v, result, out, type_num)


def conv_transpose2d_backward_input(
    grad: ArrayLike,
    weight: ArrayLike,
    input_shape: tuple[int, int, int, int],
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
    output_padding: int | tuple[int, int] = 0,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
    out: Array | None = None,
) -> Array:
    """The gradient of `conv_transpose2d` with respect to x: the `conv2d` of grad with weight.

    Args:
        grad: the gradient of the result, (N, O, oh, ow), float32 or float64.
        weight: (C, O / groups, kh, kw), of grad's dtype.
        input_shape: x's, (N, C, H, W).
        stride, padding, output_padding, dilation, groups: as given to `conv_transpose2d`.
        out: of input_shape, where to write; overlaps no input.

    Returns:
        `out`, or a new array of input_shape.

    Raises:
        ShapeError: as `conv_transpose2d`, and if grad is not of the forward result's shape.
        DTypeError: unless all arrays are float32, or all float64.
        LayoutError: if out is read-only or overlaps an input.

    >>> grad = np.float32([[[[1, 2, 3, 4, 5]]]])
    >>> od.conv_transpose2d_backward_input(grad, np.float32([[[[1, 2, 4]]]]), (1, 1, 1, 2), stride=2)[0, 0]
    array([[17., 31.]], dtype=float32)
    """
    cdef ody_conv v
    cdef ndarray incoming = image_like(grad, -1, "conv_transpose2d_backward_input", "grad"), w, result
    cdef int type_num = PyArray_TYPE(incoming)
    cdef npy_intp dims[4]
    cdef npy_intp shape[4]
    w = image_like(weight, type_num, "conv_transpose2d_backward_input", "weight")
    read_shape(input_shape, dims, "conv_transpose2d_backward_input", "input_shape")
    set_up_transposed(&v, dims, PyArray_DIMS(w), stride, padding, output_padding, dilation, groups, shape,
                      "conv_transpose2d_backward_input")
    check_grad(shape, incoming, "conv_transpose2d_backward_input")
    check_size(dims, "conv_transpose2d_backward_input")
    if out is None:
        result = new_array(4, dims, type_num)
    else:
        result = checked_out(out, 4, dims, type_num, "conv_transpose2d_backward_input")
        check_disjoint(result, incoming, "conv_transpose2d_backward_input", "grad")
        check_disjoint(result, w, "conv_transpose2d_backward_input", "weight")
    incoming = contiguous(incoming)
    w = contiguous(w)
    v.x = PyArray_DATA(incoming)
    v.weight = PyArray_DATA(w)
    return run("conv_transpose2d_backward_input", FORWARD, &v, result, out, type_num)


def conv_transpose2d_backward_weight(
    grad: ArrayLike,
    x: ArrayLike,
    weight_shape: tuple[int, int, int, int],
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
    output_padding: int | tuple[int, int] = 0,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
    out: Array | None = None,
) -> Array:
    """The gradient of `conv_transpose2d` with respect to weight.

    The gradient with respect to bias is `odyssey.sum(grad, axis=(0, 2, 3))`.

    Args:
        grad: the gradient of the result, (N, O, oh, ow), float32 or float64.
        x: (N, C, H, W), of grad's dtype.
        weight_shape: weight's, (C, O / groups, kh, kw).
        stride, padding, output_padding, dilation, groups: as given to `conv_transpose2d`.
        out: of weight_shape, where to write; overlaps no input.

    Returns:
        `out`, or a new array of weight_shape; the same bits for any number of threads.

    Raises:
        ShapeError: as `conv_transpose2d`, and if grad is not of the forward result's shape.
        DTypeError: unless all arrays are float32, or all float64.
        LayoutError: if out is read-only or overlaps an input.

    >>> grad, x = np.float32([[[[1, 2, 3, 4, 5]]]]), np.ones((1, 1, 1, 2), np.float32)
    >>> od.conv_transpose2d_backward_weight(grad, x, (1, 1, 1, 3), stride=2)[0, 0]
    array([[4., 6., 8.]], dtype=float32)
    """
    cdef ody_conv v
    cdef ndarray incoming = image_like(grad, -1, "conv_transpose2d_backward_weight", "grad"), image, result
    cdef int type_num = PyArray_TYPE(incoming)
    cdef npy_intp dims[4]
    cdef npy_intp shape[4]
    image = image_like(x, type_num, "conv_transpose2d_backward_weight", "x")
    read_shape(weight_shape, dims, "conv_transpose2d_backward_weight", "weight_shape")
    set_up_transposed(&v, PyArray_DIMS(image), dims, stride, padding, output_padding, dilation, groups, shape,
                      "conv_transpose2d_backward_weight")
    check_grad(shape, incoming, "conv_transpose2d_backward_weight")
    check_size(dims, "conv_transpose2d_backward_weight")
    if out is None:
        result = new_array(4, dims, type_num)
    else:
        result = checked_out(out, 4, dims, type_num, "conv_transpose2d_backward_weight")
        check_disjoint(result, incoming, "conv_transpose2d_backward_weight", "grad")
        check_disjoint(result, image, "conv_transpose2d_backward_weight", "x")
    incoming = contiguous(incoming)
    image = contiguous(image)
    v.y = PyArray_DATA(image)
    v.x = PyArray_DATA(incoming)
    return run("conv_transpose2d_backward_weight", BACKWARD_WEIGHT, &v, result, out, type_num)
