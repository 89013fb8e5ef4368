"""Where an array lies in a piece of memory, and the header that says so; what a header claims is checked before use."""

from __future__ import annotations

import math
import mmap
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from odyssey.bridge import types
from odyssey.errors import DTypeError, FormatError, ShapeError
from odyssey.typing import Array

__all__ = ["HEADER_BYTES", "Layout", "contiguous", "crossing", "of_array", "pack", "unpack"]

HEADER_BYTES = mmap.PAGESIZE  # a page of its own, so that the elements begin on one
MAGIC = b"ODYSHARE"
VERSION = 1
MAX_AXES = 64
# magic, version, checksum of all that follows; dtype (as in protos/data.proto), axes, offset, identity; shape, strides
_START = struct.Struct("<8sII")
_BODY = struct.Struct("<HHQ16s")
_DTYPES = {row.proto: row for row in types.TYPES.values()}


@dataclass(frozen=True, slots=True)
class Layout:
    """An array in memory.

    Attributes:
        dtype: its type, by the name in `types.TYPES`.
        shape: its extents.
        strides: bytes from one element to the next, for each axis.
        offset: bytes from the start of the memory to the first element.
    """

    dtype: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int

    @property
    def nbytes(self) -> int:
        """The bytes of the elements."""
        return math.prod(self.shape) * types.TYPES[self.dtype].bytes

    @property
    def end(self) -> int:
        """One past the last byte that is part of an element."""
        if 0 in self.shape:
            return self.offset
        steps = sum((extent - 1) * stride for extent, stride in zip(self.shape, self.strides, strict=True))
        return self.offset + steps + types.TYPES[self.dtype].bytes

    def array(self, buffer: Any) -> Array:
        """The array, in a buffer that is at least `end` bytes long; writable if the buffer is."""
        dtype = types.TYPES[self.dtype].dtype
        if 0 in self.shape:
            return np.empty(self.shape, dtype)
        # By frombuffer, which keeps an export of the buffer; ndarray keeps the object alone, which could be closed.
        return np.ndarray(self.shape, dtype, np.frombuffer(buffer, np.uint8), self.offset, self.strides)

    def check(self, size: int, where: str) -> Layout:
        """Itself, if it lies within `size` bytes.

        Raises:
            FormatError: it does not, or is no layout at all.
        """
        problem = self._problem(size)
        if problem:
            raise FormatError(f"{where}: {problem}\n  the memory is damaged, or was written by something else")
        return self

    def _problem(self, size: int) -> str | None:
        if self.dtype not in types.TYPES:
            return f"expected one of {', '.join(types.TYPES)}, found dtype {self.dtype!r}"
        if len(self.shape) > MAX_AXES or len(self.shape) != len(self.strides):
            return f"expected at most {MAX_AXES} axes, each with a stride, found {self.shape} and {self.strides}"
        if min(self.shape, default=0) < 0 or min(self.strides, default=0) < 0 or self.offset < 0:
            return f"expected no negative numbers, found {self.shape}, {self.strides}, offset {self.offset}"
        if self.end > size or self.offset > size:
            return f"expected {self.end} bytes for {self.dtype} {self.shape} from byte {self.offset} on, found {size}"
        if self.nbytes > max(self.end - self.offset, 0):
            return f"expected elements that do not overlap, found shape {self.shape} with strides {self.strides}"
        return None


def contiguous(shape: int | Sequence[int], dtype: object, offset: int = HEADER_BYTES, order: str = "C") -> Layout:
    """The layout of a new array without gaps.

    Raises:
        DTypeError: for a type that does not cross.
        ShapeError: for a negative extent, more than 64 axes, or more bytes than an address has.

    Example:
        >>> contiguous((2, 3), "float32", offset=0).strides
        (12, 4)
    """
    row = types.of(dtype)
    extents = (shape,) if isinstance(shape, int) else tuple(int(extent) for extent in shape)
    if order not in ("C", "F"):
        raise ValueError(f"SharedTensor: expected order 'C' or 'F', found {order!r}")
    total = math.prod(extents) * row.bytes
    if len(extents) > MAX_AXES or min(extents, default=0) < 0 or total >= 1 << 62:
        raise ShapeError(f"SharedTensor: expected at most {MAX_AXES} extents of 0 or more, found {extents}")
    strides, step = [], row.bytes
    for extent in reversed(extents) if order == "C" else extents:
        strides.append(step)
        step *= max(extent, 1)
    return Layout(row.name, extents, tuple(reversed(strides) if order == "C" else strides), offset)


def of_array(array: Array, offset: int) -> Layout:
    """The layout of an array whose first element lies at `offset`.

    Raises:
        DTypeError: for a type that does not cross.
    """
    return Layout(types.of(array).name, array.shape, array.strides, offset)


def pack(layout: Layout, identity: bytes) -> bytes:
    """The header of memory that begins with one.

    Args:
        layout: of the tensor.
        identity: 16 bytes that no other memory has.
    """
    axes = len(layout.shape)
    body = _BODY.pack(types.TYPES[layout.dtype].proto, axes, layout.offset, identity)
    body += struct.pack(f"<{2 * axes}q", *layout.shape, *layout.strides)
    return _START.pack(MAGIC, VERSION, zlib.crc32(body)) + body


def unpack(header: bytes, size: int, where: str = "SharedTensor") -> tuple[Layout, bytes]:
    """The layout and the identity in a header.

    Args:
        header: the first `HEADER_BYTES` bytes: a copy, which nobody changes meanwhile.
        size: bytes of all the memory, as the system says.
        where: what to name in an error.

    Raises:
        FormatError: no header, one of another version, a damaged one, or one that claims what cannot be.
    """
    if len(header) < _START.size + _BODY.size or header[: len(MAGIC)] != MAGIC:
        raise FormatError(
            f"{where}: expected memory that begins with {MAGIC!r}, found {bytes(header[:8])!r}\n"
            "  only what SharedTensor made can be received without a layout"
        )
    _, version, checksum = _START.unpack_from(header)
    if version != VERSION:
        raise FormatError(
            f"{where}: expected version {VERSION}, found {version}\n  use one version of odyssey on both sides"
        )
    number, axes, offset, identity = _BODY.unpack_from(header, _START.size)
    start = _START.size + _BODY.size
    end = start + 16 * axes
    if axes > MAX_AXES or end > len(header) or zlib.crc32(header[_START.size : end]) != checksum:
        raise FormatError(f"{where}: expected a whole header, found a damaged one")
    if number not in _DTYPES:
        raise FormatError(f"{where}: expected the number of a dtype, found {number}")
    numbers = struct.unpack_from(f"<{2 * axes}q", header, start)
    layout = Layout(_DTYPES[number].name, numbers[:axes], numbers[axes:], offset)
    if offset < HEADER_BYTES:
        raise FormatError(f"{where}: expected the elements behind the header, found them at byte {offset}")
    return layout.check(size, where), identity


def crossing(array: object) -> Array:
    """Anything with a buffer as an array of a type that crosses.

    Raises:
        DTypeError: it has none, or is of another type.
    """
    found = array if isinstance(array, np.ndarray) else np.asarray(array)
    if found.dtype == object:
        raise DTypeError(f"SharedTensor: expected an array of numbers, found {type(array).__name__}")
    types.of(found)
    return found
