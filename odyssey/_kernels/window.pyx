"""Where a kernel stands on an image: the checks that convolution and pooling share."""
from numpy cimport npy_intp

from odyssey._kernels.dispatch cimport K

from odyssey.errors import ShapeError

cdef enum:
    LIMIT = 2147483647


cdef npy_intp read_one(object value, npy_intp least, const char *op, str name) except? -1:
    cdef Py_ssize_t number
    try:
        number = value.__index__()
    except (AttributeError, TypeError, OverflowError):
        raise TypeError(f"{op.decode()}: {name} must be an int or a pair of ints (vertical, horizontal); found {value!r}") from None
    if number < least or number > LIMIT:
        raise ShapeError(f"{op.decode()}: {name} must be at least {least}; found {value!r}" if number < least else
                         f"{op.decode()}: {name} must be at most {LIMIT}; found {value!r}")
    return number


cdef int read_pair(object value, npy_intp least, npy_intp *vertical, npy_intp *horizontal, const char *op,
                   str name) except -1:
    if isinstance(value, (tuple, list)):
        if len(value) != 2:
            raise ShapeError(f"{op.decode()}: {name} must be an int or a pair (vertical, horizontal); found {value!r}")
        vertical[0] = read_one(value[0], least, op, name)
        horizontal[0] = read_one(value[1], least, op, name)
    else:
        vertical[0] = horizontal[0] = read_one(value, least, op, name)
    return 0


cdef inline npy_intp reach(Axis *axis) noexcept:
    """Image elements from the kernel's first tap to its last."""
    return axis.dilation * (axis.kernel - 1) + 1


cdef int place(Axis *vertical, Axis *horizontal, const char *op) except -1:
    cdef npy_intp down = vertical.size + 2 * vertical.padding - reach(vertical)
    cdef npy_intp right = horizontal.size + 2 * horizontal.padding - reach(horizontal)
    if down < 0 or right < 0:
        dilated = ""
        if vertical.dilation > 1 or horizontal.dilation > 1:
            dilated = f", dilated to ({reach(vertical)}, {reach(horizontal)}),"
        raise ShapeError(
            f"{op.decode()}: the kernel ({vertical.kernel}, {horizontal.kernel}){dilated} must fit into the padded image "
            f"({vertical.size + 2 * vertical.padding}, {horizontal.size + 2 * horizontal.padding})\n"
            f"  image: ({vertical.size}, {horizontal.size})    padding: ({vertical.padding}, {horizontal.padding})")
    vertical.out = down // vertical.stride + 1
    horizontal.out = right // horizontal.stride + 1
    return 0


cdef int read_shape(object shape, npy_intp *dims, const char *op, str name) except -1:
    cdef int axis
    try:
        given = tuple(shape)
    except TypeError:
        raise TypeError(f"{op.decode()}: {name} must be a tuple of four sizes; found {shape!r}") from None
    if len(given) != 4:
        raise ShapeError(f"{op.decode()}: {name} must have four sizes; found {shape!r}")
    for axis in range(4):
        try:
            dims[axis] = given[axis].__index__()
        except (AttributeError, TypeError, OverflowError):
            raise TypeError(f"{op.decode()}: {name} must be a tuple of four sizes; found {shape!r}") from None
        if dims[axis] < 0:
            raise ShapeError(f"{op.decode()}: {name} must not have negative sizes; found {shape!r}")
    return 0


cdef int check_size(const npy_intp *dims, const char *op) except -1:
    cdef double elements = 1
    cdef int axis
    for axis in range(4):
        elements *= <double> dims[axis] if dims[axis] else 1
    if elements > 1e13:
        raise MemoryError(f"{op.decode()}: no memory for an array of shape ({dims[0]}, {dims[1]}, {dims[2]}, {dims[3]})")
    return 0


cdef ody_filter_fn compiled_filter(size_t size, bint narrow) noexcept:
    if size == 3:
        return K.filter2d_3x3_f32 if narrow else K.filter2d_3x3_f64
    if size == 5:
        return K.filter2d_5x5_f32 if narrow else K.filter2d_5x5_f64
    if size == 7:
        return K.filter2d_7x7_f32 if narrow else K.filter2d_7x7_f64
    return NULL
