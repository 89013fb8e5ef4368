"""Two-dimensional convolution (cross-correlation, as in PyTorch) and its gradients, over images (N, C, H, W)."""
cimport cython
from libc.stddef cimport ptrdiff_t, size_t
from numpy cimport (NPY_FLOAT, PyArray_CopyInto, PyArray_DATA, PyArray_DIMS, PyArray_ITEMSIZE, PyArray_NDIM, ndarray,
                    npy_intp)
cimport numpy as cnp

from odyssey._kernels.array cimport (GIL_WORTH, as_array, check_disjoint, checked_out, contiguous, describe, new_array,
                                     no_memory, real_type, same_type)
from odyssey._kernels.dispatch cimport K, conv_packed_bytes, pack_conv, run_conv, run_conv_weight, run_filter
from odyssey._kernels.kernels cimport (ODY_GELU, ODY_IDENTITY, ODY_RELU, ODY_SIGMOID, ODY_SILU, ODY_TANH, ody_conv,
                                       ody_conv_fn, ody_conv_sizes_fn)
from odyssey._kernels.kernels cimport ody_filter_fn
from odyssey._kernels.runtime cimport ODY_BORDER_CONSTANT, ody_filter_planes
from odyssey._kernels.typed cimport FixedTensor
from odyssey._kernels.window cimport Axis, check_size, compiled_filter, place, read_pair, read_shape

import numpy as np

from odyssey.errors import ShapeError

cnp.import_array()

cdef enum:
    ALIGNED = 4096  # doubles from which on an array begins on a cache line

cdef dict ACTIVATIONS = {
    None: ODY_IDENTITY,
    "relu": ODY_RELU,
    "tanh": ODY_TANH,
    "sigmoid": ODY_SIGMOID,
    "gelu": ODY_GELU,
    "silu": ODY_SILU,
}

cdef enum:
    MOST_PLANES = 4 # channels of a group up to which filters of planes pay


cdef int set_up(ody_conv *v, const npy_intp *image, const npy_intp *weight, object stride, object padding,
                object dilation, object groups, const char *op) except -1:
    cdef Axis vertical, horizontal
    cdef npy_intp group_count, channels = image[1], outputs = weight[0]
    read_pair(stride, 1, &vertical.stride, &horizontal.stride, op, "stride")
    read_pair(padding, 0, &vertical.padding, &horizontal.padding, op, "padding")
    read_pair(dilation, 1, &vertical.dilation, &horizontal.dilation, op, "dilation")
    try:
        group_count = groups.__index__()
    except (AttributeError, TypeError, OverflowError):
        raise TypeError(f"{op.decode()}: groups must be an int; found {groups!r}") from None
    if group_count < 1:
        raise ShapeError(f"{op.decode()}: groups must be at least 1; found {groups!r}")
    if channels != weight[1] * group_count or outputs % group_count:
        shapes = (f"  image: ({image[0]}, {channels}, {image[2]}, {image[3]})    "
                  f"weight: ({outputs}, {weight[1]}, {weight[2]}, {weight[3]})    groups: {group_count}")
        if channels == weight[1] * group_count:
            raise ShapeError(f"{op.decode()}: weight's outputs ({outputs}) must divide into the groups ({group_count})\n{shapes}")
        message = (f"{op.decode()}: the image's channels ({channels}) must be weight's ({weight[1]}) for each of "
                   f"{group_count} groups\n{shapes}")
        # Only a remedy that works on these very shapes.
        if weight[1] and channels and channels % weight[1] == 0 and outputs % (channels // weight[1]) == 0:
            message += f"\n  groups={channels // weight[1]} fits"
        raise ShapeError(message)
    if weight[2] < 1 or weight[3] < 1:
        raise ShapeError(f"{op.decode()}: weight's kernel must be at least (1, 1); found ({weight[2]}, {weight[3]})")
    vertical.size = image[2]
    vertical.kernel = weight[2]
    horizontal.size = image[3]
    horizontal.kernel = weight[3]
    place(&vertical, &horizontal, op)
    v.batch = <size_t> image[0]
    v.channels = <size_t> channels
    v.height = <size_t> image[2]
    v.width = <size_t> image[3]
    v.outputs = <size_t> outputs
    v.out_height = <size_t> vertical.out
    v.out_width = <size_t> horizontal.out
    v.kernel_h = <size_t> weight[2]
    v.kernel_w = <size_t> weight[3]
    v.stride_y = <size_t> vertical.stride
    v.stride_x = <size_t> horizontal.stride
    v.padding_y = <size_t> vertical.padding
    v.padding_x = <size_t> horizontal.padding
    v.dilation_y = <size_t> vertical.dilation
    v.dilation_x = <size_t> horizontal.dilation
    v.groups = <size_t> group_count
    v.bias = NULL
    v.activation = ODY_IDENTITY
    return 0


cdef ndarray image_like(object x, int type_num, const char *op, str name):
    cdef ndarray array = as_array(x, op)
    if type_num < 0:
        real_type(array, op, name)
    else:
        same_type(array, type_num, op, name)
    if PyArray_NDIM(array) != 4:
        expected = "(outputs, channels / groups, kh, kw)" if name == "weight" else "(N, C, H, W)"
        message = f"{op.decode()}: {name} must be {expected}\n  {name}: {describe(array)}"
        if PyArray_NDIM(array) == 3 and name != "weight":
            message += f"\n  one image: {name}[None]"
        raise ShapeError(message)
    return array


cdef ndarray bias_like(object bias, npy_intp outputs, ndarray weight, int type_num, const char *op):
    cdef ndarray start
    if bias is None:
        return None
    start = as_array(bias, op)
    same_type(start, type_num, op, "bias")
    if PyArray_NDIM(start) != 1 or PyArray_DIMS(start)[0] != outputs:
        raise ShapeError(f"{op.decode()}: bias must have shape ({outputs},), one value for each output\n"
                         f"  weight: {describe(weight)}    bias: {describe(start)}")
    return contiguous(start)


cdef int check_grad(const ody_conv *v, ndarray grad, const char *op) except -1:
    cdef npy_intp *dims = PyArray_DIMS(grad)
    if (<size_t> dims[0] != v.batch or <size_t> dims[1] != v.outputs or <size_t> dims[2] != v.out_height
            or <size_t> dims[3] != v.out_width):
        raise ShapeError(f"{op.decode()}: grad must have the forward result's shape "
                         f"({v.batch}, {v.outputs}, {v.out_height}, {v.out_width})\n  grad: {describe(grad)}")
    return 0


@cython.final
cdef class PackedKernel:
    """The weights of a convolution, kept in the order in which its products read them; to be given to `conv2d` for an array.

    Packing, and transforming where Winograd's tiles pay, costs as much as an image or two. `conv2d` does it at its first
    call with images of a shape, and again when the shape, an option or the instruction set changes: the latest is kept.
    For inference on images of one shape. The result's bits are those of the array.

    Args:
        weight: (O, C / groups, kh, kw), float32 or float64; copied.

    Attributes:
        weight: the copy. It cannot be written to: what is packed would not follow.
        shape, dtype: the weight's.
        nbytes: what is packed takes at present, beside the copy.

    Raises:
        DTypeError: unless weight is float32 or float64.
        ShapeError: unless it has four axes.

    >>> kernel = od.PackedKernel(np.ones((1, 1, 2, 2), np.float32))
    >>> od.conv2d(np.arange(9, dtype=np.float32).reshape(1, 1, 3, 3), kernel)[0, 0]
    array([[ 8., 12.],
           [20., 24.]], dtype=float32)
    """

    def __init__(self, weight: ArrayLike) -> None:
        cdef ndarray given = image_like(weight, -1, "PackedKernel", "weight")
        self.weight = np.array(given, order="C")
        (<object> self.weight).flags.writeable = False
        self.packed = None

    @property
    def shape(self) -> tuple[int, ...]:
        return (<object> self.weight).shape

    @property
    def dtype(self):
        return (<object> self.weight).dtype

    @property
    def nbytes(self) -> int:
        return 0 if self.packed is None else self.packed[1].nbytes

    def __array__(self, dtype=None, copy=None):
        return (<object> self.weight).__array__(dtype) if copy is None else np.array(self.weight, dtype, copy=copy)

    def __reduce__(self):
        return PackedKernel, (self.weight,)

    def __repr__(self) -> str:
        return f"PackedKernel({self.shape}, {self.dtype})"

    cdef ndarray ready(self, ody_conv *v, int type_num):
        """The weights as v wants them, or None where they cannot be packed ahead. The caller holds on to them while it computes:
        another thread may put others in their place."""
        cdef ody_conv_sizes_fn sizes = K.conv2d_sizes_f32 if type_num == NPY_FLOAT else K.conv2d_sizes_f64
        cdef ody_conv_fn pack = K.conv2d_pack_f32 if type_num == NPY_FLOAT else K.conv2d_pack_f64
        cdef tuple now = self.packed
        cdef npy_intp doubles
        cdef ndarray panels
        key = (<size_t> K, v.batch, v.height, v.width, v.stride_y, v.stride_x, v.padding_y, v.padding_x, v.dilation_y,
               v.dilation_x, v.groups)
        if now is not None and now[0] == key:
            return now[1]
        doubles = <npy_intp> (conv_packed_bytes(sizes, v) // 8)
        if doubles == 0:
            return None
        doubles = max(doubles + 1, ALIGNED)
        panels = new_array(1, &doubles, cnp.NPY_DOUBLE)
        v.packed = PyArray_DATA(panels)
        with nogil:
            pack_conv(sizes, pack, v, 4 if type_num == NPY_FLOAT else 8)
        self.packed = (key, panels)
        return panels


cdef object run(const char *op, Direction direction, ody_conv *v, ndarray result, object out, int type_num,
                bint packed=False):
    cdef ndarray target = result
    cdef size_t item = <size_t> PyArray_ITEMSIZE(result)
    cdef ody_conv_fn f, pack = NULL
    cdef ody_conv_sizes_fn sizes
    cdef int failed
    cdef bint narrow = type_num == NPY_FLOAT
    cdef double work
    if not cnp.PyArray_ISCARRAY(result):
        target = new_array(4, PyArray_DIMS(result), type_num)
    if direction == FORWARD:
        v.y = PyArray_DATA(target)
        f = K.conv2d_f32 if narrow else K.conv2d_f64
        pack = NULL if packed else K.conv2d_pack_f32 if narrow else K.conv2d_pack_f64
        sizes = K.conv2d_sizes_f32 if narrow else K.conv2d_sizes_f64
    elif direction == BACKWARD_INPUT:
        v.x = PyArray_DATA(target)
        f = K.conv2d_backward_input_f32 if narrow else K.conv2d_backward_input_f64
        pack = K.conv2d_backward_input_pack_f32 if narrow else K.conv2d_backward_input_pack_f64
        sizes = K.conv2d_backward_input_sizes_f32 if narrow else K.conv2d_backward_input_sizes_f64
    else:
        v.weight = PyArray_DATA(target)
        f = K.conv2d_backward_weight_f32 if narrow else K.conv2d_backward_weight_f64
        sizes = K.conv2d_backward_weight_sizes_f32 if narrow else K.conv2d_backward_weight_sizes_f64
    work = (<double> (v.batch * v.out_height * v.out_width) * <double> (v.outputs * (v.channels // v.groups + 1))
            * <double> (v.kernel_h * v.kernel_w))
    if work < GIL_WORTH:
        failed = run_conv_weight(op, sizes, f, v, item) if direction == BACKWARD_WEIGHT else run_conv(op, sizes, pack, f, v, item)
    else:
        with nogil:
            failed = run_conv_weight(op, sizes, f, v, item) if direction == BACKWARD_WEIGHT else run_conv(op, sizes, pack, f, v, item)
    if failed:
        no_memory(op)
    if target is not result:
        PyArray_CopyInto(result, target)
    return result if out is None else out


# A convolution with few channels and outputs whose kernel is of a size the compiler knew, as filters of planes: the same chains.
cdef int as_filters(const ody_conv *v, ody_filter_fn f, size_t item) except -1:
    cdef ody_filter_planes p
    cdef int failed
    p.in_ = <const char *> v.x
    p.out = <char *> v.y
    p.weight = <const char *> v.weight
    p.bias = <const char *> v.bias
    p.itemsize = item
    p.batch = v.batch
    p.groups = v.groups
    p.channels = v.channels // v.groups
    p.outputs = v.outputs
    p.height = v.height
    p.width = v.width
    p.out_height = v.out_height
    p.out_width = v.out_width
    p.kernel_h = v.kernel_h
    p.kernel_w = v.kernel_w
    p.column_step = <ptrdiff_t> item
    p.row_step = <ptrdiff_t> (v.width * item)
    p.plane_step = <ptrdiff_t> (v.height * v.width * item)
    p.top = <ptrdiff_t> v.padding_y
    p.left = <ptrdiff_t> v.padding_x
    p.border = ODY_BORDER_CONSTANT
    p.outside = 0
    if v.batch * v.outputs * v.out_height * v.out_width * v.kernel_h * v.kernel_w < GIL_WORTH:
        failed = run_filter("conv2d", f, &p)
    else:
        with nogil:
            failed = run_filter("conv2d", f, &p)
    if failed:
        no_memory("conv2d")
    return 0


cdef inline ody_filter_fn filter_for(const ody_conv *v, bint narrow) noexcept:
    """Where filters are not slower: with one output a group, where the general way has nothing to share; of 5 x 5 it is quicker."""
    if (v.kernel_h != v.kernel_w or v.kernel_h == 5 or v.stride_y != 1 or v.stride_x != 1 or v.dilation_y != 1
            or v.dilation_x != 1 or v.activation != ODY_IDENTITY or v.channels > MOST_PLANES * v.groups or v.outputs != v.groups):
        return NULL
    return compiled_filter(v.kernel_h, narrow)


def conv2d(
    x: ArrayLike,
    weight: ArrayLike | PackedKernel,
    bias: ArrayLike | None = None,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
    activation: str | None = None,
    out: Array | None = None,
) -> Array:
    """activation(x * weight + bias), in one pass; `torch.nn.functional.conv2d` with the activation fused.

    Output (n, o, y, x) sums weight[o, c, i, j] * image[n, c, y * stride - padding + i * dilation, ...] over the channels
    c of o's group and the kernel's taps (i, j); outside the image stand zeros.

    Args:
        x: (N, C, H, W), float32 or float64. Images of another layout than C order are copied.
        weight: (O, C / groups, kh, kw), of x's dtype. A `PackedKernel` is packed once. A `FixedTensor` may have fewer axes, the first ones being 1 then; of 3 x 3
            or 7 x 7 it goes by code compiled for that size where that is quicker (one output a group), with the same bits.
        bias: (O,), or None.
        stride, padding, dilation: an int, or a pair (vertical, horizontal).
        groups: into how many independent convolutions channels and outputs divide.
        activation: None, "relu", "tanh", "sigmoid", "gelu" (erf form) or "silu".
        out: (N, O, oh, ow), where to write; overlaps no input.

    Returns:
        `out`, or a new array (N, O, oh, ow) with oh = (H + 2 * padding - dilation * (kh - 1) - 1) // stride + 1, ow
        likewise.

    Each element is one chain of fused multiply-adds over (channel, row, column) in ascending order that begins at the
    bias; an image's bits are the same alone and in any batch. Where it pays, 3 x 3 kernels in float32 with stride and
    dilation 1 and from 16 channels on go by Winograd's F(2x2, 3x3), which the shapes decide: less than half the products.
    Errors are then bounded by the largest elements of a 4 x 4 patch, and a NaN in one makes NaN of its 2 x 2 results; in
    float64 nothing of that happens.

    Raises:
        ShapeError: if channels, groups or bias do not fit, the kernel does not fit into the padded image, or stride,
            dilation or groups is below 1, or padding below 0.
        DTypeError: unless all arrays are float32, or all float64.
        LayoutError: if out is read-only or overlaps an input.
        ValueError: for an unknown activation.

    >>> image = np.arange(9, dtype=np.float32).reshape(1, 1, 3, 3)
    >>> od.conv2d(image, np.ones((1, 1, 2, 2), np.float32))[0, 0]
    array([[ 8., 12.],
           [20., 24.]], dtype=float32)
    """
    cdef ody_conv v
    cdef ndarray image = image_like(x, -1, "conv2d", "x"), w, start = None, result, panels = None
    cdef int type_num = cnp.PyArray_TYPE(image)
    cdef npy_intp dims[4]
    cdef bint fixed = isinstance(weight, FixedTensor)
    cdef ody_filter_fn f = NULL
    if fixed:
        w = image_like((<FixedTensor> weight).with_axes(4), type_num, "conv2d", "weight")
    else:
        w = image_like(weight.weight if isinstance(weight, PackedKernel) else weight, type_num, "conv2d", "weight")
    set_up(&v, PyArray_DIMS(image), PyArray_DIMS(w), stride, padding, dilation, groups, "conv2d")
    if activation is not None:
        code = ACTIVATIONS.get(activation)
        if code is None:
            names = ", ".join([repr(name) for name in ACTIVATIONS])
            raise ValueError(f"conv2d: activation must be one of {names}; found {activation!r}")
        v.activation = code
    start = bias_like(bias, PyArray_DIMS(w)[0], w, type_num, "conv2d")
    if start is not None:
        v.bias = PyArray_DATA(start)
    dims[0] = PyArray_DIMS(image)[0]
    dims[1] = PyArray_DIMS(w)[0]
    dims[2] = <npy_intp> v.out_height
    dims[3] = <npy_intp> v.out_width
    check_size(dims, "conv2d")
    if out is None:
        result = new_array(4, dims, type_num)
    else:
        result = checked_out(out, 4, dims, type_num, "conv2d")
        check_disjoint(result, image, "conv2d", "x")
        check_disjoint(result, w, "conv2d", "weight")
        if start is not None:
            check_disjoint(result, start, "conv2d", "bias")
    image = contiguous(image)
    w = contiguous(w)
    v.x = PyArray_DATA(image)
    v.weight = PyArray_DATA(w)
    if fixed and cnp.PyArray_ISCARRAY(result):
        f = filter_for(&v, type_num == NPY_FLOAT)
        if f != NULL:
            v.y = PyArray_DATA(result)
            as_filters(&v, f, <size_t> PyArray_ITEMSIZE(result))
            return result if out is None else out
    elif isinstance(weight, PackedKernel):
        panels = (<PackedKernel> weight).ready(&v, type_num)
        if panels is not None:
            v.packed = PyArray_DATA(panels)
    return run("conv2d", FORWARD, &v, result, out, type_num, panels is not None)


def conv2d_backward_input(
    grad: ArrayLike,
    weight: ArrayLike,
    input_shape: tuple[int, int, int, int],
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
    out: Array | None = None,
) -> Array:
    """The gradient of `conv2d` with respect to x; `torch.nn.grad.conv2d_input`.

    Args:
        grad: the gradient of the result, (N, O, oh, ow), float32 or float64.
        weight: (O, C / groups, kh, kw), of grad's dtype.
        input_shape: x's, (N, C, H, W).
        stride, padding, dilation, groups: as given to `conv2d`.
        out: of input_shape, where to write; overlaps no input.

    Returns:
        `out`, or a new array of input_shape.

    Each element is one chain of fused multiply-adds over (output, row, column) in ascending order, or goes by Winograd's
    tiles, as in `conv2d`.

    Raises:
        ShapeError: as `conv2d`, and if grad is not of the forward result's shape.
        DTypeError: unless all arrays are float32, or all float64.
        LayoutError: if out is read-only or overlaps an input.

    >>> grad = np.ones((1, 1, 2, 2), np.float32)
    >>> od.conv2d_backward_input(grad, np.ones((1, 1, 2, 2), np.float32), (1, 1, 3, 3))[0, 0]
    array([[1., 2., 1.],
           [2., 4., 2.],
           [1., 2., 1.]], dtype=float32)
    """
    cdef ody_conv v
    cdef ndarray incoming = image_like(grad, -1, "conv2d_backward_input", "grad"), w, result
    cdef int type_num = cnp.PyArray_TYPE(incoming)
    cdef npy_intp dims[4]
    w = image_like(weight, type_num, "conv2d_backward_input", "weight")
    read_shape(input_shape, dims, "conv2d_backward_input", "input_shape")
    set_up(&v, dims, PyArray_DIMS(w), stride, padding, dilation, groups, "conv2d_backward_input")
    check_grad(&v, incoming, "conv2d_backward_input")
    check_size(dims, "conv2d_backward_input")
    if out is None:
        result = new_array(4, dims, type_num)
    else:
        result = checked_out(out, 4, dims, type_num, "conv2d_backward_input")
        check_disjoint(result, incoming, "conv2d_backward_input", "grad")
        check_disjoint(result, w, "conv2d_backward_input", "weight")
    incoming = contiguous(incoming)
    w = contiguous(w)
    v.y = PyArray_DATA(incoming)
    v.weight = PyArray_DATA(w)
    return run("conv2d_backward_input", BACKWARD_INPUT, &v, result, out, type_num)


def conv2d_backward_weight(
    grad: ArrayLike,
    x: ArrayLike,
    weight_shape: tuple[int, int, int, int],
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
    out: Array | None = None,
) -> Array:
    """The gradient of `conv2d` with respect to weight; `torch.nn.grad.conv2d_weight`.

    The gradient with respect to bias is `odyssey.sum(grad, axis=(0, 2, 3))`.

    Args:
        grad: the gradient of the result, (N, O, oh, ow), float32 or float64.
        x: (N, C, H, W), of grad's dtype.
        weight_shape: weight's, (O, C / groups, kh, kw).
        stride, padding, dilation, groups: as given to `conv2d`.
        out: of weight_shape, where to write; overlaps no input.

    Returns:
        `out`, or a new array of weight_shape.

    Sums over images and pixels run in an order that the shapes alone decide: the same bits for any number of threads. Where
    `conv2d` goes by Winograd's tiles, so does this.

    Raises:
        ShapeError: as `conv2d`, and if grad is not of the forward result's shape.
        DTypeError: unless all arrays are float32, or all float64.
        LayoutError: if out is read-only or overlaps an input.

    >>> image = np.arange(9, dtype=np.float32).reshape(1, 1, 3, 3)
    >>> od.conv2d_backward_weight(np.ones((1, 1, 2, 2), np.float32), image, (1, 1, 2, 2))[0, 0]
    array([[ 8., 12.],
           [20., 24.]], dtype=float32)
    """
    cdef ody_conv v
    cdef ndarray incoming = image_like(grad, -1, "conv2d_backward_weight", "grad"), image, result
    cdef int type_num = cnp.PyArray_TYPE(incoming)
    cdef npy_intp dims[4]
    image = image_like(x, type_num, "conv2d_backward_weight", "x")
    read_shape(weight_shape, dims, "conv2d_backward_weight", "weight_shape")
    set_up(&v, PyArray_DIMS(image), dims, stride, padding, dilation, groups, "conv2d_backward_weight")
    check_grad(&v, incoming, "conv2d_backward_weight")
    check_size(dims, "conv2d_backward_weight")
    if out is None:
        result = new_array(4, dims, type_num)
    else:
        result = checked_out(out, 4, dims, type_num, "conv2d_backward_weight")
        check_disjoint(result, incoming, "conv2d_backward_weight", "grad")
        check_disjoint(result, image, "conv2d_backward_weight", "x")
    incoming = contiguous(incoming)
    image = contiguous(image)
    v.y = PyArray_DATA(incoming)
    v.x = PyArray_DATA(image)
    return run("conv2d_backward_weight", BACKWARD_WEIGHT, &v, result, out, type_num)
