"""The layout of a safetensors file: eight bytes of length, a header of JSON, the bytes of arrays.

Source: https://github.com/huggingface/safetensors#format. A header is not believed: whatever it says is compared with
the file before an array is made, and an array is a view of the bytes it was given. Both the file format and the
folders of models read by `arrays`, and both write by `writer`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from math import prod
from typing import IO, Any, NamedTuple

import numpy as np

from odyssey.bridge.types import TYPES, of
from odyssey.errors import FormatError
from odyssey.serialization.arrays import ALIGNMENT, array_over, flat_bytes
from odyssey.typing import Array

__all__ = ["LONGEST_HEADER", "Entry", "Pending", "arrays", "parse", "writer"]

LONGEST_HEADER = 16 << 20
"""Bytes of JSON that a header may have: a hundred thousand tensors, and no more memory than they are worth."""

_METADATA = "__metadata__"
_BY_NAME = {row.safetensors: row for row in TYPES.values() if row.safetensors is not None}
_LENGTH = 8  # bytes that say how long the header is
_MOST_AXES = 64  # of an array of NumPy's


class Entry(NamedTuple):
    """What a header says of an array.

    Attributes:
        dtype: the name of its type, NumPy's or "bfloat16".
        shape: its lengths.
        begin, end: its first byte and the one after its last, counted from the end of the header.
    """

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


class Pending(NamedTuple):
    """An array to be written, which may be made when it is its turn.

    Attributes:
        dtype: of its elements.
        shape: its lengths.
        make: gives the array.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    make: Callable[[], Array]

    @classmethod
    def of(cls, array: Array) -> Pending:
        """An array that is there."""
        return cls(array.dtype, array.shape, lambda: array)

    @property
    def nbytes(self) -> int:
        """The bytes of its elements."""
        return prod(self.shape) * self.dtype.itemsize


def arrays(data: Any) -> tuple[dict[str, Array], dict[str, str]]:
    """The arrays of a file by name, views of its bytes, and the text stored along with them.

    Args:
        data: the file's bytes, or a memoryview of them over an ndarray (see `arrays.array_over`).

    Raises:
        FormatError: it is not a whole safetensors file.
    """
    view = memoryview(data)
    entries, metadata, start = parse(view)
    found = {}
    for name, one in entries.items():
        content = view[start + one.begin : start + one.end]
        try:
            found[name] = array_over(content, TYPES[one.dtype].dtype, one.shape)
        except FormatError as error:
            raise FormatError(f"{name!r}: {error}") from None
    return found, metadata


def parse(view: memoryview) -> tuple[dict[str, Entry], dict[str, str], int]:
    """What the header of a file says, compared with the file: entries by name, metadata, and where the arrays begin.

    Each byte behind the header belongs to exactly one array.

    Raises:
        FormatError: the header is cut off, longer than 16 MiB, or not what the format says; a name comes twice; an
            array is of an unknown type, of other bytes than its shape has, outside of the file, or over another.
    """
    room = len(view) - _LENGTH
    length = int.from_bytes(view[:_LENGTH], "little")
    if room < 2 or not 2 <= length <= min(room, LONGEST_HEADER):
        raise FormatError(
            f"expected a header of 2 to {max(min(room, LONGEST_HEADER), 2)} bytes in a file of {len(view)}, "
            f"found {length if room >= 0 else 'a file without one'}"
        )
    header = _json(bytes(view[_LENGTH : _LENGTH + length]))
    metadata = header.pop(_METADATA, {})
    if type(metadata) is not dict or not all(type(text) is str for text in metadata.values()):
        raise FormatError(f"expected metadata of text by name, found {_short(metadata)}")
    entries = {name: _entry(name, about) for name, about in header.items()}
    _cover(entries, room - length)
    return entries, metadata, _LENGTH + length


def _json(text: bytes) -> dict[str, Any]:
    try:
        header = json.loads(text.decode(), object_pairs_hook=_unique)
    except FormatError:
        raise
    except (ValueError, RecursionError) as error:
        raise FormatError(f"expected a header of JSON, found it damaged ({error})") from None
    if type(header) is not dict:
        raise FormatError(f"expected a header that names arrays, found {_short(header)}")
    return header


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise FormatError(f"expected names to be different, found {_short(twice)} twice")
    return found


def _entry(name: str, about: Any) -> Entry:
    if not name.isascii() and any("\ud800" <= letter <= "\udfff" for letter in name):
        raise FormatError(f"expected names that are Unicode, found {_short(name)}")
    if type(about) is not dict or set(about) != {"dtype", "shape", "data_offsets"}:
        raise FormatError(f"expected dtype, shape and data_offsets of {_short(name)}, found {_short(about)}")
    kind, shape, offsets = about["dtype"], about["shape"], about["data_offsets"]
    if type(kind) is not str or kind not in _BY_NAME:
        raise FormatError(f"expected {_short(name)} of a type of {', '.join(_BY_NAME)}, found {_short(kind)}")
    if not _lengths(shape) or len(shape) > _MOST_AXES:
        raise FormatError(
            f"expected at most {_MOST_AXES} lengths as the shape of {_short(name)}, found {_short(shape)}"
        )
    if not _lengths(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise FormatError(f"expected where {_short(name)} begins and ends, found {_short(offsets)}")
    row = _BY_NAME[kind]
    if prod(shape) * row.bytes != offsets[1] - offsets[0]:
        raise FormatError(
            f"expected {_short(prod(shape) * row.bytes)} bytes for {_short(name)}, {_short(tuple(shape))} of {kind}, "
            f"found {_short(offsets[1] - offsets[0])}"
        )
    return Entry(row.name, tuple(shape), offsets[0], offsets[1])


def _lengths(value: Any) -> bool:
    return type(value) is list and all(type(one) is int and one >= 0 for one in value)


def _cover(entries: Mapping[str, Entry], size: int) -> None:
    """Each byte of the content belongs to one array."""
    at, before = 0, "the header"
    for one, name in sorted(((one.begin, one.end), name) for name, one in entries.items()):
        if one[0] != at:
            how = "a hole" if one[0] > at else "an overlap"
            raise FormatError(f"expected {_short(name)} at {at}, behind {_short(before)}, found it at {one[0]}: {how}")
        at, before = one[1], name
    if at != size:
        raise FormatError(f"expected {at} bytes of arrays, as the header says, found {size}")


def _short(value: Any) -> str:
    """A value as an error shows it: what a file says may be as long as the file."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer of many thousand digits
        return f"a {type(value).__name__} that is too long to show"
    return text if len(text) <= 100 else f"{text[:97]}..."


def writer(tensors: Mapping[str, Pending], metadata: Mapping[str, str] | None = None) -> Callable[[IO[bytes]], None]:
    """How to write a file, one array at a time; what cannot be written is refused before a byte is.

    Wide elements come first, so that each array begins at a multiple of its element's size, and the header is filled up
    with spaces, so that the first begins at a multiple of 64 bytes.

    Raises:
        DTypeError: a type that does not cross.
        ValueError: a name that the format keeps for itself, or a header that would be longer than 16 MiB.
    """
    if _METADATA in tensors:
        raise ValueError(f"safetensors: expected another name than {_METADATA}, which the format keeps for itself")
    ordered = sorted(tensors, key=lambda name: (-tensors[name].dtype.itemsize, name))
    header: dict[str, Any] = {_METADATA: dict(metadata)} if metadata else {}
    at = 0
    for name in ordered:
        one = tensors[name]
        end = at + one.nbytes
        header[name] = {"dtype": of(one.dtype).safetensors, "shape": list(one.shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-(_LENGTH + len(text)) % ALIGNMENT)
    if len(text) > LONGEST_HEADER:
        raise ValueError(
            f"safetensors: expected a header of at most {LONGEST_HEADER} bytes, found {len(text)} for {len(tensors)} "
            "arrays; write several files"
        )

    def write(file: IO[bytes]) -> None:
        file.write(len(text).to_bytes(_LENGTH, "little") + text)
        for name in ordered:
            array = tensors[name].make()
            assert (array.dtype, array.shape) == tensors[name][:2]
            file.write(flat_bytes(array).data)

    return write
