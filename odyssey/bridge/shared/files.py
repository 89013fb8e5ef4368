"""Files that are mapped: where their arrays lie, by what they say themselves, checked before anything is touched."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from odyssey.bridge import types
from odyssey.bridge.shared.layout import Layout, contiguous
from odyssey.bridge.shared.memory import Memory
from odyssey.errors import FormatError

__all__ = ["open_file", "open_safetensors"]

_MODES = {"r": os.O_RDONLY, "r+": os.O_RDWR, "c": os.O_RDONLY}
LONGEST_HEADER = 100_000_000  # bytes, as the format's own library has it
_SAFETENSORS = {row.safetensors: row.name for row in types.TYPES.values() if row.safetensors}


def open_file(
    path: str | os.PathLike[str],
    *,
    shape: Sequence[int] | int | None,
    dtype: object,
    offset: int,
    tensor: str | None,
    mode: str,
) -> tuple[Memory, Layout]:
    """A file's memory, and where in it the array lies; arguments and errors as `SharedTensor.open` has them."""
    name = os.fspath(path)
    if (shape is None) != (dtype is None):
        raise ValueError("SharedTensor.open: expected shape and dtype together, found one of them")
    if shape is not None:
        if offset < 0:
            raise ValueError(f"SharedTensor.open: expected an offset of 0 or more, found {offset}")
        layout = contiguous(shape, dtype, offset)
        memory = _memory(name, mode)
        return memory, layout.check(memory.size, name)
    if name.endswith(".npy"):
        memory = _memory(name, mode)
        return memory, _npy(memory, name)
    if name.endswith(".safetensors"):
        memory, layouts = open_safetensors(name, mode)
        if tensor is None and len(layouts) == 1:
            (tensor,) = layouts
        if tensor not in layouts:
            raise KeyError(f"{name}: expected one of {', '.join(layouts) or 'no tensors'}, found tensor={tensor!r}")
        return memory, layouts[tensor]
    raise ValueError(
        f"SharedTensor.open: expected .npy or .safetensors, or raw bytes with shape= and dtype=, found {name!r}"
    )


def _memory(path: str, mode: str) -> Memory:
    if mode not in _MODES:
        raise ValueError(f"SharedTensor.open: expected mode 'r', 'r+' or 'c', found {mode!r}")
    descriptor = os.open(path, _MODES[mode] | os.O_CLOEXEC)
    return Memory(descriptor, readonly=mode == "r", private=mode == "c", path=os.path.abspath(path)).remember()


def _npy(memory: Memory, path: str) -> Layout:
    with open(memory.descriptor, "rb", closefd=False) as file:
        try:
            version = np.lib.format.read_magic(file)
            reading: Any = np.lib.format
            read = {(1, 0): reading.read_array_header_1_0, (2, 0): reading.read_array_header_2_0}.get(version)
            if read is None:
                raise ValueError(f"version {version}, which only arrays of records have")
            shape, fortran, dtype = read(file)
        except Exception as error:  # the header is Python text: anything may be wrong with it
            raise FormatError(
                f"{path}: expected an .npy file, found a damaged one or another kind ({error})"
            ) from error
        layout = contiguous(shape, dtype, file.tell(), "F" if fortran else "C")
    return layout.check(memory.size, path)


def open_safetensors(path: str | os.PathLike[str], mode: str) -> tuple[Memory, dict[str, Layout]]:
    """A safetensors file's memory, and where in it each tensor lies.

    The header is read here and not by the library of that name, which gives copies and no offsets.
    Source: https://github.com/huggingface/safetensors#format

    Raises:
        FormatError: the file is not what its header says.
        DTypeError: a tensor has a type that does not cross.
    """
    path = os.fspath(path)
    memory = _memory(path, mode)
    start = os.pread(memory.descriptor, 8, 0)
    length = struct.unpack("<Q", start)[0] if len(start) == 8 else -1
    if not 2 <= length <= min(LONGEST_HEADER, memory.size - 8):
        raise _damaged(path, f"a header of {length} bytes in a file of {memory.size}")
    try:
        header = json.loads(os.pread(memory.descriptor, length, 8))
        assert isinstance(header, dict)
        header.pop("__metadata__", None)
        return memory, {
            name: _entry(entry, 8 + length, memory.size, f"{path}: {name}") for name, entry in header.items()
        }
    except (AssertionError, ValueError, RecursionError) as error:
        if isinstance(error, FormatError):
            raise
        raise _damaged(path, f"a header that is no table of tensors ({error})") from error


def _entry(entry: Any, base: int, size: int, where: str) -> Layout:
    try:
        dtype, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
        sound = all(type(number) is int and number >= 0 for number in (*shape, begin, end)) and isinstance(dtype, str)
    except (TypeError, KeyError, ValueError):
        sound = False
    if not sound:
        raise _damaged(where, f"the entry {str(entry)[:200]}")
    layout = contiguous(shape, _SAFETENSORS.get(dtype, dtype), base + begin)
    if end - begin != layout.nbytes:
        raise _damaged(where, f"{end - begin} bytes for {dtype} {tuple(shape)}")
    return layout.check(size, where)


def _damaged(where: str, found: str) -> FormatError:
    return FormatError(
        f"{where}: expected a complete safetensors file, found {found}\n"
        "  it is damaged or of another kind; save it again"
    )
