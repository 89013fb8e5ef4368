"""Images by number, cut out, mirrored and turned from bytes into floats, in one pass over them.

No arithmetic happens here: bytes are looked up, so the bits are the table's on every machine.
"""
from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memcpy
from numpy cimport (NPY_FLOAT, NPY_INT64, NPY_UINT8, PyArray_DATA, PyArray_DIMS, PyArray_NDIM, PyArray_SIZE, PyArray_TYPE,
                    ndarray, npy_intp)
cimport numpy as cnp

from odyssey._kernels.array cimport as_array, contiguous, describe, new_array

import numpy as np

from odyssey.errors import DTypeError, ShapeError

cnp.import_array()

ctypedef fused pixel:
    uint8_t
    float


cdef struct Job:
    const void *images
    void *out
    const int64_t *numbers   # NULL: image i is number i
    const int64_t *top       # NULL: the whole image
    const int64_t *left
    const uint8_t *mirrored  # NULL: none
    const float *table       # NULL: pixels as they are
    npy_intp count, channels, rows, columns, height, width


cdef inline void row(const pixel *source, pixel *target, npy_intp count, bint mirrored) noexcept nogil:
    cdef npy_intp i
    if not mirrored:
        memcpy(target, source, <size_t> count * sizeof(pixel))
    else:
        for i in range(count):
            target[i] = source[count - 1 - i]


cdef inline void looked_up(const uint8_t *source, const float *table, float *target, npy_intp count,
                           bint mirrored) noexcept nogil:
    cdef npy_intp i
    if not mirrored:
        for i in range(count):
            target[i] = table[source[i]]
    else:
        for i in range(count):
            target[i] = table[source[count - 1 - i]]


cdef void gather(const Job *job, pixel fill) noexcept nogil:
    cdef npy_intp n, c, y, i, first, last, source_row, plane = job.rows * job.columns
    cdef int64_t top, left
    cdef bint mirrored
    cdef const pixel *image
    cdef const pixel *line
    cdef const float *table = NULL
    cdef pixel *out = <pixel *> job.out
    cdef float *floats = <float *> job.out
    cdef float table_fill = 0
    for n in range(job.count):
        image = <const pixel *> job.images + (job.numbers[n] if job.numbers != NULL else n) * job.channels * plane
        mirrored = job.mirrored != NULL and job.mirrored[n] != 0
        for c in range(job.channels):
            if pixel is uint8_t:
                if job.table != NULL:
                    table = job.table + 256 * c
                    table_fill = table[fill]
            if job.top == NULL and not mirrored:  # the plane in one piece
                if pixel is uint8_t:
                    if table != NULL:
                        looked_up(image, table, floats, plane, False)
                    else:
                        row(image, out, plane, False)
                else:
                    row(image, out, plane, False)
                out += plane
                floats += plane
                image += plane
                continue
            top = job.top[n] if job.top != NULL else 0
            left = job.left[n] if job.top != NULL else 0
            first = min(max(<npy_intp> 0, -left), job.width)
            last = max(min(job.width, job.columns - left), first)
            if mirrored:
                first, last = job.width - last, job.width - first
            for y in range(job.height):
                source_row = top + y
                if source_row < 0 or source_row >= job.rows or first == last:
                    first_of_row, last_of_row = job.width, job.width
                else:
                    first_of_row, last_of_row = first, last
                    # The leftmost source pixel that is seen, whichever way round.
                    line = image + source_row * job.columns + max(<npy_intp> 0, left)
                    if pixel is uint8_t:
                        if table != NULL:
                            looked_up(line, table, floats + first, last - first, mirrored)
                        else:
                            row(line, out + first, last - first, mirrored)
                    else:
                        row(line, out + first, last - first, mirrored)
                if table != NULL:
                    for i in range(first_of_row):
                        floats[i] = table_fill
                    for i in range(last_of_row, job.width):
                        floats[i] = table_fill
                else:
                    for i in range(first_of_row):
                        out[i] = fill
                    for i in range(last_of_row, job.width):
                        out[i] = fill
                out += job.width
                floats += job.width
            image += plane


cdef ndarray amounts(object given, npy_intp count, int64_t low, int64_t high, str name):
    """`count` numbers in [low, high] as contiguous int64."""
    cdef ndarray numbers = np.ascontiguousarray(given, np.int64)
    cdef const int64_t *values = <const int64_t *> PyArray_DATA(numbers)
    cdef npy_intp i
    if PyArray_NDIM(numbers) != 1 or count >= 0 and PyArray_SIZE(numbers) != count:
        raise ShapeError(f"gather_images: {name} must be one number for each image\n  {name}: {describe(numbers)}")
    for i in range(PyArray_SIZE(numbers)):
        if not low <= values[i] <= high:
            raise IndexError(f"gather_images: {name} must lie in [{low}, {high}]; found {name}[{i}] = {values[i]}")
    return numbers


def gather_images(
    images: Array,
    numbers: Array | None = None,
    *,
    top: Array | None = None,
    left: Array | None = None,
    size: tuple[int, int] | None = None,
    mirrored: Array | None = None,
    table: Array | None = None,
    fill: float = 0,
) -> Array:
    """The images of these numbers, each a window of its own, mirrored or not, through a table or not.

    Args:
        images: (N, C, H, W), uint8 or float32.
        numbers: (n,) integers in [0, N): which images; None for all in order.
        top, left: (n,) integers: where each image's window begins. It may reach beyond the image, as far as to have left
            it. None for the image itself.
        size: height and width of the windows; goes with top and left.
        mirrored: (n,) bool: which windows to mirror from left to right.
        table: (C, 256) float32: what each byte becomes in each channel; for uint8 images alone.
        fill: the pixel beyond the edge, in the units of `images`.

    Returns:
        A new array (n, C, height, width): float32 with a table, else of the images' dtype.

    Raises:
        ShapeError, DTypeError: for arrays that do not fit.
        IndexError: for a number that is no image, or a window out of reach.

    >>> from odyssey._kernels.images import gather_images
    >>> image = np.uint8([[[[1, 2], [3, 4]]]])
    >>> gather_images(image, top=np.array([0]), left=np.array([-1]), size=(2, 2), mirrored=np.array([True]))
    array([[[[1, 0],
             [3, 0]]]], dtype=uint8)
    """
    cdef ndarray x = contiguous(as_array(images, "gather_images"))
    cdef ndarray index, tops, lefts, flips, values, result
    cdef int type_num = PyArray_TYPE(x)
    cdef npy_intp dims[4]
    cdef Job job
    cdef float fill_float = 0
    cdef uint8_t fill_byte = 0
    if type_num not in (NPY_UINT8, NPY_FLOAT):
        raise DTypeError(f"gather_images: images must be uint8 or float32\n  images: {describe(x)}")
    if PyArray_NDIM(x) != 4:
        raise ShapeError(f"gather_images: images must be (N, C, H, W)\n  images: {describe(x)}")
    job.count = PyArray_DIMS(x)[0]
    job.channels, job.rows, job.columns = PyArray_DIMS(x)[1], PyArray_DIMS(x)[2], PyArray_DIMS(x)[3]
    job.height, job.width = job.rows, job.columns
    job.numbers = job.top = job.left = NULL
    job.mirrored = NULL
    job.table = NULL
    if numbers is not None:
        index = amounts(numbers, -1, 0, job.count - 1, "numbers")
        job.numbers = <const int64_t *> PyArray_DATA(index)
        job.count = PyArray_SIZE(index)
    if (top is None) != (size is None) or (left is None) != (size is None):
        raise ShapeError("gather_images: top, left and size go together; give all of them or none")
    if size is not None:
        job.height, job.width = size
        if job.height < 1 or job.width < 1:
            raise ShapeError(f"gather_images: size must be at least (1, 1); found {tuple(size)}")
        tops = amounts(top, job.count, -job.height, job.rows, "top")
        lefts = amounts(left, job.count, -job.width, job.columns, "left")
        job.top, job.left = <const int64_t *> PyArray_DATA(tops), <const int64_t *> PyArray_DATA(lefts)
    if mirrored is not None:
        flips = np.ascontiguousarray(mirrored, np.bool_)
        if PyArray_NDIM(flips) != 1 or PyArray_SIZE(flips) != job.count:
            raise ShapeError(f"gather_images: mirrored must be one bool for each image\n  mirrored: {describe(flips)}")
        job.mirrored = <const uint8_t *> PyArray_DATA(flips)
    if table is not None:
        values = contiguous(as_array(table, "gather_images"))
        if type_num != NPY_UINT8 or PyArray_TYPE(values) != NPY_FLOAT:
            raise DTypeError("gather_images: a table is float32 and for uint8 images\n"
                             f"  table: {describe(values)}    images: {describe(x)}")
        if PyArray_NDIM(values) != 2 or PyArray_DIMS(values)[0] != job.channels or PyArray_DIMS(values)[1] != 256:
            raise ShapeError(f"gather_images: table must be (C, 256)\n  table: {describe(values)}    images: {describe(x)}")
        job.table = <const float *> PyArray_DATA(values)
    dims[0], dims[1], dims[2], dims[3] = job.count, job.channels, job.height, job.width
    if table is not None or type_num == NPY_FLOAT:
        result = new_array(4, dims, NPY_FLOAT)
    else:
        result = cnp.PyArray_EMPTY(4, dims, NPY_UINT8, 0)
    job.images = PyArray_DATA(x)
    job.out = PyArray_DATA(result)
    if type_num == NPY_UINT8:
        if not 0 <= fill <= 255:
            raise ValueError(f"gather_images: fill must be a byte, from 0 to 255; found {fill}")
        fill_byte = <uint8_t> fill
        with nogil:
            gather[uint8_t](&job, fill_byte)
    else:
        fill_float = fill
        with nogil:
            gather[float](&job, fill_float)
    return result
