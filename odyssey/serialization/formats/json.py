"""JSON: readable anywhere and by people; elements of arrays stand in it as base64, four characters for three bytes."""

from __future__ import annotations

import math
import struct
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import IO, Any

from odyssey.serialization.arrays import array_over, flat_bytes
from odyssey.serialization.formats.format import (
    Format,
    Holds,
    Write,
    all_dtypes,
    dtype_named,
    fitting,
    library,
    plain_metadata,
)
from odyssey.serialization.formats.plain import Plain
from odyssey.typing import Array

__all__ = ["FORMAT"]

HOLDS = Holds(what="anything nested", dtypes=all_dtypes(), metadata=False, mapped=False)
_NUMBERS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
_BITS = struct.Struct(">d")


def _tensor(array: Array, scalar: bool) -> Any:
    fitting(array, "json", HOLDS)
    data = b64encode(flat_bytes(array).data).decode()
    return {"$scalar" if scalar else "$tensor": {"dtype": array.dtype.name, "shape": list(array.shape), "data": data}}


def _array(parts: Any) -> Array:
    raw = bytearray(b64decode(parts["data"], validate=True))
    return array_over(raw, dtype_named(parts["dtype"], "json"), tuple(parts["shape"]))


def _scalar(parts: Any) -> Any:
    array = _array(parts)
    if array.ndim:
        raise ValueError("expected no axes")
    return array[()]


def _number(value: float) -> Any:
    if math.isfinite(value):
        return value
    bits = _BITS.pack(value)
    names = [name for name, number in _NUMBERS.items() if _BITS.pack(number) == bits]
    return {"$number": names[0] if names else bits.hex()}  # a NaN with a sign or a payload: its bits


def _not_finite(name: str) -> float:
    if name in _NUMBERS:
        return _NUMBERS[name]
    (value,) = _BITS.unpack(bytes.fromhex(name))
    return float(value)


_PLAIN = Plain(
    "json",
    tensor=_tensor,
    raw=lambda raw: {"$bytes": b64encode(raw).decode()},
    number=_number,
    marked={
        "$tensor": _array,
        "$scalar": _scalar,
        "$bytes": lambda text: b64decode(text, validate=True),
        "$number": _not_finite,
    },
)


def prepare(value: Any, metadata: Mapping[str, str]) -> Write:
    """JSON in UTF-8, in one line."""
    plain_metadata(metadata, "json", HOLDS)
    data: bytes = library("msgspec", "json").json.encode(_PLAIN.to(value))

    def write(file: IO[bytes]) -> None:
        file.write(data)

    return write


def read(data: Any) -> tuple[Any, dict[str, str]]:
    """Any JSON: of files of others, what it says."""
    return _PLAIN.back(library("msgspec", "json").json.decode(data)), {}


FORMAT = Format(name="json", suffixes=(".json",), magic=None, holds=HOLDS, prepare=prepare, read=read)
