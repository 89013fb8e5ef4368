"""NumPy's .npz: .npy files in an uncompressed zip archive, each where it can be mapped. Never pickle.

Beside them stands odyssey.json, where there is something to say: metadata, and which arrays of uint16 are the bits of
bfloat16, which .npy has no name for.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Mapping
from typing import IO, Any

import numpy as np

from odyssey.bridge.types import TYPES
from odyssey.errors import FormatError
from odyssey.serialization.arrays import ALIGNMENT
from odyssey.serialization.formats import npy
from odyssey.serialization.formats.format import Format, Holds, Write, all_dtypes, named_arrays, plain_metadata
from odyssey.typing import Array

__all__ = ["FORMAT"]

HOLDS = Holds(
    what="arrays by name", dtypes=all_dtypes(bfloat16="its bits as uint16, and a note"), metadata=True, fortran=True
)
_NOTE = "odyssey.json"
_ENTRY = struct.Struct("<4s5H3I2H")  # what a file in the archive begins with: its name and extra fields follow
_SIZES = 20  # an extra field that zipfile adds: 64-bit sizes
_PADDING = 0xD935  # the extra field with which Android's zipalign pads


def prepare(value: Any, metadata: Mapping[str, str]) -> Write:
    """The arrays as `numpy.savez` writes them."""
    metadata = plain_metadata(metadata, "npz", HOLDS)
    arrays = named_arrays(value, "npz", HOLDS)
    for name in arrays:
        if "\0" in name or len(name.encode()) > 60_000:
            raise ValueError(f"npz: expected names without NUL of at most 60000 bytes, found {name[:50]!r}")
    note: dict[str, Any] = {"metadata": metadata} if metadata else {}
    if bits := [name for name, array in arrays.items() if array.dtype.name == "bfloat16"]:
        note["bfloat16"] = bits

    def write(file: IO[bytes]) -> None:
        with zipfile.ZipFile(file, "w") as archive:
            for name, array in arrays.items():
                head, flat = npy.header(array.view(np.uint16) if name in bits else array)
                with archive.open(_entry(archive, f"{name}.npy"), "w", force_zip64=True) as member:
                    member.write(head)
                    member.write(flat.data)
            if note:
                archive.writestr(zipfile.ZipInfo(_NOTE), json.dumps(note))

    return write


def _entry(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    """An entry padded so that its elements begin at a multiple of 64, as they do within a .npy."""
    entry = zipfile.ZipInfo(name)  # without a time, so that equal arrays make equal files
    assert archive.fp is not None
    before = archive.fp.tell() + _ENTRY.size + len(name.encode()) + _SIZES + 4
    padding = -before % ALIGNMENT
    entry.extra = struct.pack("<HH", _PADDING, padding) + bytes(padding)
    return entry


class _Bytes(io.RawIOBase):
    """A file of bytes in memory, which BytesIO would copy."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        part = self._data[self._at : self._at + len(buffer)]
        buffer[: len(part)] = part
        self._at += len(part)
        return len(part)

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = max(offset + (0, self._at, len(self._data))[whence], 0)
        return self._at

    def tell(self) -> int:
        return self._at


def read(data: Any) -> tuple[Any, dict[str, str]]:
    """A .npz file of anyone; compressed arrays are decompressed."""
    view = memoryview(data)
    arrays: dict[str, Array] = {}
    note: dict[str, Any] = {}
    with zipfile.ZipFile(_Bytes(view)) as archive:
        for entry in archive.infolist():
            if entry.filename == _NOTE:
                note = json.loads(archive.read(entry))
            elif entry.filename.endswith(".npy") and (name := entry.filename[:-4]) not in arrays:
                arrays[name] = npy.read_array(_content(archive, entry, view))
            else:
                raise FormatError(f"npz: expected .npy files of different names, found {entry.filename!r}")
    if type(note) is not dict:
        raise FormatError(f"npz: expected {_NOTE} to hold a map, found {type(note).__name__}")
    for name in note.get("bfloat16", ()):
        arrays[name] = _from_bits(arrays[name])
    return arrays, plain_metadata(note.get("metadata", {}), "npz", HOLDS)


def _content(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, view: memoryview) -> memoryview:
    """The bytes of a file in the archive: where they lie, if they are not compressed."""
    if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
        return memoryview(bytearray(archive.read(entry)))
    signature, *_, name, extra = _ENTRY.unpack_from(view, entry.header_offset)
    start = entry.header_offset + _ENTRY.size + name + extra
    if signature != b"PK\3\4" or start + entry.file_size > len(view):
        raise FormatError(f"npz: expected {entry.filename!r} within the archive, found it cut off")
    return view[start : start + entry.file_size]


def _from_bits(array: Array) -> Array:
    if array.dtype != np.uint16:
        raise FormatError(f"npz: expected the bits of bfloat16 as uint16, found {array.dtype}")
    return array.view(TYPES["bfloat16"].dtype)


FORMAT = Format(name="npz", suffixes=(".npz",), magic=b"PK\3\4", holds=HOLDS, prepare=prepare, read=read)
