"""A shared tensor as Arrow's arrays, over the same memory."""

from __future__ import annotations

from typing import Any

from odyssey.bridge import types
from odyssey.errors import DTypeError, LayoutError
from odyssey.typing import Array

__all__ = ["capsules"]


def capsules(array: Array, requested_schema: Any = None) -> tuple[Any, Any]:
    """Arrow's two capsules (schema and array) for an array's own memory.

    An array of more than one axis is a list of fixed-size lists.

    Raises:
        DTypeError: Arrow has no such type, or keeps it differently: it packs bools into bits.
        LayoutError: the elements do not lie one after the other.
        ImportError: pyarrow is not installed.
    """
    row = types.of(array)
    if row.arrow is None or row.name == "bool":
        raise DTypeError(
            f"SharedTensor: expected a type that Arrow keeps in the same bytes, found {row.name}\n"
            f"  view its bits as integers: tensor.array.view(numpy.uint{8 * min(row.bytes, 8)})"
        )
    if not array.flags.c_contiguous:
        raise LayoutError(
            f"SharedTensor: expected elements one after the other, as Arrow wants them, found strides {array.strides}\n"
            "  numpy.ascontiguousarray(tensor) copies"
        )
    try:
        import pyarrow as pa
    except ImportError as error:
        raise ImportError("SharedTensor: Arrow needs pyarrow: pip install 'odyssey[bridge]'") from error
    element: Any = pa.from_numpy_dtype(array.dtype)
    values: Any = pa.Array.from_buffers(element, array.size, [None, pa.py_buffer(array)])
    for extent in reversed(array.shape[1:]):
        # Not from_arrays, which cannot tell how many lists of no elements there are.
        element = pa.list_(element, extent)
        count = len(values) // extent if extent else 0
        values = pa.Array.from_buffers(element, count, [None], children=[values])
    if array.ndim == 0:
        raise LayoutError("SharedTensor: expected at least one axis, as Arrow's arrays have, found none")
    found: tuple[Any, Any] = values.__arrow_c_array__(requested_schema)
    return found
