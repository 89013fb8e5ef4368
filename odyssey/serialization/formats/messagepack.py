"""MessagePack: JSON's kinds in few bytes.

Arrays are extensions of code 1, NumPy's scalars of code 2: the number of the dtype in `bridge.types`, that of the axes,
their lengths as 64-bit numbers, the elements; all little-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import IO, Any

from odyssey.bridge.types import TYPES, of
from odyssey.errors import FormatError
from odyssey.serialization.arrays import array_over, flat_bytes
from odyssey.serialization.formats.format import Format, Holds, Write, all_dtypes, fitting, library, plain_metadata
from odyssey.serialization.formats.plain import Plain
from odyssey.typing import Array

__all__ = ["FORMAT"]

_ARRAY, _SCALAR = 1, 2
HOLDS = Holds(
    what="anything nested", dtypes=all_dtypes(), metadata=False, aligned=False, largest=2**32 - 1 - 2 - 8 * 64
)
_BY_NUMBER = {row.proto: row for row in TYPES.values()}


def _tensor(array: Array, scalar: bool) -> Any:
    fitting(array, "messagepack", HOLDS)
    head = struct.pack(f"<BB{array.ndim}Q", of(array.dtype).proto, array.ndim, *array.shape)
    data = b"".join((head, flat_bytes(array).data))
    return library("msgspec", "messagepack").msgpack.Ext(_SCALAR if scalar else _ARRAY, data)


def _extension(code: int, data: memoryview) -> Any:
    if code not in (_ARRAY, _SCALAR):
        raise FormatError(f"messagepack: expected extensions of code 1 and 2, found {code}")
    number, ndim = struct.unpack_from("<BB", data)
    if number not in _BY_NUMBER:
        raise FormatError(f"messagepack: expected a dtype of {min(_BY_NUMBER)} to {max(_BY_NUMBER)}, found {number}")
    shape = struct.unpack_from(f"<{ndim}Q", data, 2)
    array = array_over(data[2 + 8 * ndim :], _BY_NUMBER[number].dtype, shape)
    if code == _ARRAY:
        return array
    if ndim:
        raise FormatError("messagepack: expected a scalar without axes")
    return array[()]


_PLAIN = Plain("messagepack", tensor=_tensor, raw=lambda raw: raw, number=lambda value: value, marked={})


def prepare(value: Any, metadata: Mapping[str, str]) -> Write:
    """One MessagePack value; elements are copied twice on the way."""
    plain_metadata(metadata, "messagepack", HOLDS)
    data: bytes = library("msgspec", "messagepack").msgpack.encode(_PLAIN.to(value))

    def write(file: IO[bytes]) -> None:
        file.write(data)

    return write


def read(data: Any) -> tuple[Any, dict[str, str]]:
    """Any MessagePack without extensions of others; arrays are views, at whatever address they have."""
    decode = library("msgspec", "messagepack").msgpack.decode
    return _PLAIN.back(decode(data, ext_hook=_extension)), {}


FORMAT = Format(name="messagepack", suffixes=(".msgpack", ".mp"), magic=None, holds=HOLDS, prepare=prepare, read=read)
