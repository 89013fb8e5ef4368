"""NumPy's .npy: one array, in C or Fortran order, behind a header of text. Never pickle."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import IO, Any

import numpy as np

from odyssey.bridge.types import of
from odyssey.errors import DTypeError, FormatError
from odyssey.serialization.arrays import array_over, as_array, flat_bytes
from odyssey.serialization.formats.format import Format, Holds, Write, all_dtypes, fitting, plain_metadata
from odyssey.typing import Array

__all__ = ["FORMAT", "header", "read_array"]

HOLDS = Holds(what="one array", dtypes=all_dtypes(bfloat16=None), metadata=False, fortran=True)
_LONGEST = 10_000  # of a header, as NumPy itself has it: Python's parser reads it


def header(array: Array) -> tuple[bytes, Array]:
    """What stands before an array's elements, and these as bytes, in the order in which they lie."""
    described = np.lib.format.header_data_from_array_1_0(array)
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, described)
    return file.getvalue(), flat_bytes(array.T if described["fortran_order"] else array)


def read_array(data: memoryview) -> Array:
    """The array in the bytes of a .npy file.

    Raises:
        FormatError, or what NumPy raises: they are none.
    """
    start = io.BytesIO(data[: _LONGEST + 16])
    version = np.lib.format.read_magic(start)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise FormatError(f"npy: expected version 1.0 or 2.0, found {version}")
    shape, fortran, dtype = readers[version](start, max_header_size=_LONGEST)
    try:
        of(dtype)
    except DTypeError as error:
        raise FormatError(f"npy: {error}\n  numpy.load may read it") from error
    return array_over(data[start.tell() :], dtype, shape, fortran=fortran)


def prepare(value: Any, metadata: Mapping[str, str]) -> Write:
    """The array as `numpy.save` writes it."""
    plain_metadata(metadata, "npy", HOLDS)
    array = as_array(value)
    if array is None:
        raise DTypeError(
            f"npy: expected an array, found {type(value).__name__}\n"
            "  npz holds arrays by name; numpy.asarray(value) makes one of a number"
        )
    head, flat = header(fitting(array, "npy", HOLDS))

    def write(file: IO[bytes]) -> None:
        file.write(head)
        file.write(flat.data)

    return write


def read(data: Any) -> tuple[Any, dict[str, str]]:
    """A .npy file of anyone, but for records, objects and text."""
    return read_array(memoryview(data)), {}


FORMAT = Format(name="npy", suffixes=(".npy",), magic=b"\x93NUMPY", holds=HOLDS, prepare=prepare, read=read)
