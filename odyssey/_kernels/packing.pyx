"""What `odyssey.pack` does to the numbers: rounding them into panels, many threads at once."""
from libc.stddef cimport size_t
from numpy cimport PyArray_DATA, PyArray_DIMS, PyArray_STRIDES, ndarray

from odyssey._kernels.dispatch cimport run_packing
from odyssey._kernels.kernels cimport ODY_BF16, ODY_BF16_ROWS, ODY_F16_ROWS, ODY_INT8, ODY_STRIDED
from odyssey._kernels.runtime cimport ody_packing

cdef dict SOURCES = {"float32": ODY_STRIDED, "bfloat16": ODY_BF16_ROWS, "float16": ODY_F16_ROWS}


def fill(rows: Array, source: str, panels: Array, scale: Array | None) -> int:
    """Round (out, in) numbers into `panels`, as bfloat16, or as int8 where there is a `scale` for each row to be written.

    Args:
        rows: float32, or the bits of what `source` names; the numbers of a row adjacent and aligned.
        source: "float32", "bfloat16" or "float16".
        panels: where to write, contiguous: (panels, pairs, 64, 2) uint16, or (panels, in, 64) int8.
        scale: (out,) float32, or None.

    Returns:
        The first row that int8 cannot hold because it is not finite, or the number of rows.
    """
    cdef ndarray given = rows, into = panels, scales = scale
    cdef ody_packing p
    cdef size_t bad
    p.rows, p.k = <size_t> PyArray_DIMS(given)[0], <size_t> PyArray_DIMS(given)[1]
    p.from_ = PyArray_DATA(given)
    p.from_row = PyArray_STRIDES(given)[0]
    p.source = <int> SOURCES[source]
    p.format = ODY_BF16 if scales is None else ODY_INT8
    p.to = PyArray_DATA(into)
    p.scale = NULL if scales is None else <float *> PyArray_DATA(scales)
    with nogil:
        bad = run_packing("pack", &p)
    return bad
