"""What all formats ask of arrays and bytes."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from odyssey.errors import DTypeError, FormatError
from odyssey.typing import Array

__all__ = ["ALIGNMENT", "array_over", "as_array", "check_truths", "flat_bytes", "unicode", "view_of"]

ALIGNMENT = 64
"""Arrays begin at multiples of so many bytes, where a format lets them: a cache line, and the widest vector."""


def as_array(value: Any) -> Array | None:
    """The array of a value that is one: an ndarray, a Tensor, a TypedTensor; None for others.

    Raises:
        DTypeError: a masked array, whose mask would be lost.
    """
    if isinstance(value, np.ndarray):
        if isinstance(value, np.ma.MaskedArray):
            raise DTypeError(
                "expected an array without a mask, found a masked array\n"
                "  write both: {'data': array.data, 'mask': numpy.ma.getmaskarray(array)}"
            )
        return np.asarray(value)
    from odyssey._kernels.tape import TensorBase
    from odyssey._kernels.typed import TypedTensor

    if isinstance(value, TensorBase):
        return np.asarray(value.data)
    return np.asarray(value.numpy()) if isinstance(value, TypedTensor) else None


def flat_bytes(array: Array) -> Array:
    """The elements as bytes, (array.nbytes,) uint8, in C order: the array's own memory if it lies so, else a copy."""
    return np.asarray(array, order="C").reshape(-1).view(np.uint8)


def view_of(data: Any) -> memoryview:
    """The bytes of anything that has a contiguous buffer.

    Raises:
        TypeError: it has none.
    """
    view = memoryview(data)
    if view.format == "B" and view.ndim == 1 and view.contiguous:
        return view
    return view.cast("B") if view.nbytes else memoryview(b"")


def array_over(raw: Any, dtype: np.dtype[Any], shape: tuple[int, ...], *, fortran: bool = False) -> Array:
    """An array over bytes that are just as many; as writable as they are.

    Args:
        raw: bytes, or a memoryview of bytes or of an ndarray. (Of another object, NumPy would let go of the memoryview
            and leave the object to be resized or closed.)
        dtype: of the elements.
        shape: any; it need not be true.
        fortran: whether the first axis is the innermost.

    Raises:
        FormatError: the bytes are others than such an array has.
    """
    if any(length < 0 for length in shape):
        raise FormatError(f"expected a shape without negative lengths, found {shape}")
    nbytes = prod(shape) * dtype.itemsize
    if len(raw) != nbytes:
        raise FormatError(f"expected {nbytes} bytes for {shape} {dtype}, found {len(raw)}")
    try:
        array: Array = np.ndarray(shape, dtype, raw, order="F" if fortran else "C")
    except (ValueError, OverflowError) as error:  # more axes, or longer empty ones, than NumPy has
        raise FormatError(f"expected a shape that NumPy can have, found {shape} ({error})") from None
    return check_truths(array) if dtype.kind == "b" else array


def check_truths(array: Array) -> Array:
    """The array itself, if each of its bytes is a truth value: NumPy and compilers rely on nothing but 0 and 1.

    Raises:
        FormatError: one is not.
    """
    if array.size and (worst := int(array.view(np.uint8).max())) > 1:
        raise FormatError(f"expected a bool array's bytes to be 0 and 1, found {worst}")
    return array


def unicode(text: str) -> str:
    """The text itself, if it is Unicode.

    Raises:
        ValueError: it has half a surrogate pair, which no format can hold.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(
            f"expected text that is Unicode, found {text!r}\n  bytes hold any: text.encode('utf-8', 'surrogatepass')"
        ) from None
    return text
