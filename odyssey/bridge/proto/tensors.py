"""Arrays as `Tensor` messages and back."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import prod
from typing import Any

import numpy as np

from odyssey.bridge.proto.schema import LARGEST
from odyssey.bridge.types import TYPES, Type, of
from odyssey.errors import FormatError
from odyssey.serialization.arrays import ALIGNMENT, array_over, flat_bytes
from odyssey.typing import Array

__all__ = ["Elements", "Gathered", "describe_tensor", "read_tensor", "write_tensor"]

_BY_NUMBER = {row.proto: row for row in TYPES.values()}
_WIDTHS = {"float_data": "f4", "double_data": "f8", "int32_data": "i4", "int64_data": "i8", "uint64_data": "u8"}
_dtype = cache(lambda number: _BY_NUMBER[number].dtype)


class Gathered:
    """The tensors of a document that is being written, and where each will lie in its payload."""

    def __init__(self) -> None:
        self.items: list[tuple[int, Array]] = []
        self.total = 0

    def add(self, flat: Array) -> int:
        """Append bytes; where they begin."""
        offset = -(-self.total // ALIGNMENT) * ALIGNMENT
        self.items.append((offset, flat))
        self.total = offset + flat.nbytes
        return offset


class Elements:
    """The payload of a document that is being read: the parts of it that its messages hold.

    Args:
        parts: where in the payload each begins, in order and without gaps, and its bytes.
    """

    def __init__(self, parts: Sequence[tuple[int, memoryview]] = ()) -> None:
        self.parts = parts
        self.total = sum(len(part) for _, part in parts)
        self.depth = 0  # of messages within messages
        self._joined = 0

    def find(self, offset: int, length: int) -> memoryview:
        """These bytes: where they lie, or put together where a tensor was split between messages."""
        if offset + length > self.total:
            raise FormatError(
                f"proto: expected tensors within {self.total} bytes of payload, found {length} at {offset}"
            )
        pieces = [
            part[max(offset - start, 0) : offset + length - start]
            for start, part in self.parts
            if start < offset + length and offset < start + len(part)
        ]
        if len(pieces) == 1:
            return pieces[0]
        self._joined += length
        if self._joined > self.total:  # a small file of many tensors over the same bytes would ask for any memory
            raise FormatError("proto: expected split tensors not to overlap, found some that do")
        whole = np.empty(length, np.uint8)
        at = 0
        for piece in pieces:
            whole[at : at + len(piece)] = np.frombuffer(piece, np.uint8)
            at += len(piece)
        whole.flags.writeable = not pieces[0].readonly
        return memoryview(whole.data)


def describe_tensor(message: Any, row: Type, shape: tuple[int, ...]) -> None:
    """Fill a Tensor, all but its elements."""
    message.dtype = row.proto
    message.shape.extend(shape)


def write_tensor(message: Any, array: Array, gathered: Gathered | None) -> None:
    """Fill a Tensor: its elements go to `gathered`, or into the message itself.

    Raises:
        DTypeError: elements that do not cross.
        ValueError: more bytes than a message may have.
    """
    describe_tensor(message, of(array.dtype), array.shape)
    if gathered is not None:
        if array.nbytes:
            message.offset, message.length = gathered.add(flat_bytes(array)), array.nbytes
        return
    if array.nbytes > LARGEST:
        raise ValueError(
            f"proto.message: expected a tensor below 2 GiB, which a message can hold, found {array.nbytes} bytes\n"
            "  proto.dumps and proto.dump split it"
        )
    message.data = array.tobytes()


def read_tensor(message: Any, elements: Elements) -> Array:
    """The array of a Tensor: a view of the bytes in `elements`, or of a copy that `protobuf` has made of `data`.

    Raises:
        FormatError: the shape, the type and the elements contradict each other.
    """
    row, shape = _BY_NUMBER.get(message.dtype), tuple(message.shape[:])
    if row is None:
        raise FormatError(
            f"proto: expected a tensor's dtype from {min(_BY_NUMBER)} to {max(_BY_NUMBER)}, found {message.dtype}\n"
            "  a later odyssey may have written it: update this one"
        )
    filled = [field.name for field, _ in message.ListFields() if field.name == "data" or field.name.endswith("_data")]
    raw: Any
    if message.length:
        if filled:
            raise FormatError(f"proto: expected elements in one place, found them in the payload and {filled[0]}")
        raw = elements.find(message.offset, message.length)
    elif filled and filled != ["data"]:
        return _numbers(message, filled, row, shape)
    else:
        raw = message.data
    return array_over(raw, _dtype(message.dtype), shape)


def _numbers(message: Any, filled: list[str], row: Type, shape: tuple[int, ...]) -> Array:
    """A tensor whose elements stand one by one."""
    if filled != [row.proto_field]:
        wanted = f"data or {row.proto_field}" if row.proto_field else "data"
        raise FormatError(
            f"proto: expected the elements of a {row.name} tensor in {wanted}, found {' and '.join(filled)}"
        )
    numbers = getattr(message, filled[0])
    if len(numbers) != prod(shape):
        raise FormatError(f"proto: expected {prod(shape)} elements for {shape}, found {len(numbers)}")
    found = np.array(numbers[:], _WIDTHS[filled[0]])
    array = found.astype(row.dtype)
    if row.python is not float and not np.array_equal(array.astype(found.dtype), found):
        raise FormatError(f"proto: expected numbers that {row.name} can hold in {filled[0]}, found others")
    array = array.reshape(shape)
    array.flags.writeable = False
    return array
