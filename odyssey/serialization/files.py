"""Values to files and back, in the format that the file's name says."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from odyssey.errors import DTypeError, FormatError
from odyssey.serialization import tensors
from odyssey.serialization.arrays import view_of
from odyssey.serialization.atomic import replacing

if TYPE_CHECKING:
    from odyssey.serialization.formats import Format

__all__ = ["dump", "dumps", "load", "loads"]


def dump(
    value: Any,
    file: str | os.PathLike[str] | IO[bytes],
    format: str | None = None,
    *,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a value to a file.

    Args:
        value: whatever the format holds: one array (npy); arrays by name (npz, arrow, safetensors); anything nested
            (json, messagepack, protobuf). `formats.FORMATS[name].holds` says it all.
        file: a path, whose file is replaced when the new one is complete and not before; or a file open for writing
            bytes.
        format: "json", "npy", "npz", "arrow", "messagepack", "protobuf" or "safetensors"; by default what the path's
            suffix says.
        metadata: text to go along, where the format has a place for it.

    Raises:
        DTypeError: something that the format cannot hold as it is. Nothing has been written.
        ValueError: an unknown format or suffix; an array, or nesting, beyond the format's limits; no Unicode.
        OSError: the file cannot be written; what was at the path is still there.
        ImportError: a package that the format needs is not installed.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     dump({"a": np.arange(3)}, f"{folder}/arrays.npz")
        ...     load(f"{folder}/arrays.npz")
        {'a': array([0, 1, 2])}
    """
    path = file if isinstance(file, (str, os.PathLike)) else None
    chosen = _named(format) if format is not None else _by_suffix(path)
    if chosen is None:
        raise ValueError(f"dump: expected a file whose name ends with one of {', '.join(_suffixes())}, or format=")
    write = chosen.prepare(value, metadata or {})
    if path is None:
        write(file)  # type: ignore[arg-type]
        return
    with replacing(path) as opened:
        write(opened)


def load(file: str | os.PathLike[str] | IO[bytes], format: str | None = None, *, mmap: bool = False) -> Any:
    """Read a value from a file.

    Args:
        file: a path, or a file open for reading bytes, which is read to its end.
        format: as for `dump`. By default what the path's suffix says, else what the file begins with, else safetensors.
        mmap: map the file into memory instead of reading it, where the format allows it: of each array is read what is
            used of it. Whoever writes the file meanwhile must replace it, as `dump` does.

    Returns:
        What was dumped. Arrays are one's own to write into; with `mmap` they are read-only views of the file.

    Raises:
        FileNotFoundError: there is no such file.
        FormatError: it is damaged, cut off, or of another format.
        ValueError: an unknown format.
        ImportError: a package that the format needs is not installed.
    """
    if not isinstance(file, (str, os.PathLike)):
        return _read(_own(file.read()), format, "the file")[0]
    with open(file, "rb") as opened:
        start = opened.read(16)
        chosen = _named(format) if format is not None else _by_suffix(file) or _by_magic(start)
        if not mmap and (chosen is None or chosen.name == "safetensors"):
            return tensors.load(file)
        opened.seek(0)
        name = "safetensors" if chosen is None else chosen.name
        return _read(_map(opened) if mmap else _own(opened), name, os.fspath(file))[0]


def dumps(value: Any, format: str, *, metadata: Mapping[str, str] | None = None) -> bytes:
    """A value as the bytes of a file; errors as in `dump`."""
    file = io.BytesIO()
    _named(format).prepare(value, metadata or {})(file)
    return file.getvalue()


def loads(data: Any, format: str | None = None) -> Any:
    """The value in the bytes of a file: bytes, or anything with a contiguous buffer.

    Args:
        data: the bytes.
        format: by default what they begin with; JSON, MessagePack and safetensors do not say.

    Returns:
        What was dumped; arrays are read-only views of `data`, where the format allows it.

    Raises:
        FormatError, ValueError, ImportError: as in `load`.
        DTypeError: `data` has no contiguous buffer.
    """
    try:
        view = data if type(data) is bytes else view_of(data).toreadonly()
    except TypeError as error:
        raise DTypeError(f"loads: expected bytes, or an object with a contiguous buffer, found {error}") from None
    return _read(view, format, "the data")[0]


def load_with_metadata(data: Any, format: str | None = None) -> tuple[Any, dict[str, str]]:
    """The value in the bytes of a file, and the metadata that went along; otherwise as `loads`."""
    return _read(data if type(data) is bytes else view_of(data).toreadonly(), format, "the data")


def _read(view: Any, format: str | None, where: str) -> tuple[Any, dict[str, str]]:
    chosen = _named(format) if format is not None else _by_magic(bytes(view[:16])) or _named("safetensors")
    # Arrays over an array hold on to it, and this one to the bytes: see `arrays.array_over`.
    held: Any = view if type(view) is bytes else np.frombuffer(view, np.uint8).data if len(view) else b""
    try:
        return chosen.read(held)
    except ImportError:
        raise
    except FormatError as error:
        raise FormatError(f"{where}: {error}") from error
    except Exception as error:  # each library has its own for what it cannot read
        raise FormatError(
            f"{where}: expected a complete {chosen.name} file, found it damaged or of another kind "
            f"({type(error).__name__}: {error})"
        ) from error


def _own(source: Any) -> memoryview:
    """The bytes of a file, in memory that is nobody else's."""
    if isinstance(source, bytes):
        return memoryview(bytearray(source))
    size = os.fstat(source.fileno()).st_size
    data = np.empty(size, np.uint8)
    read = source.readinto(data)
    rest = source.read()
    if rest or read < size:  # it does not know its size, or is being written
        return memoryview(bytearray(data[:read].tobytes() + rest))
    return data.data


def _map(opened: IO[bytes]) -> Any:
    if not os.fstat(opened.fileno()).st_size:
        return b""
    return memoryview(mmap(opened.fileno(), 0, access=ACCESS_READ))


def _named(format: str) -> Format:
    from odyssey.serialization.formats import FORMATS

    if format not in FORMATS:
        raise ValueError(f"serialization: expected one of {', '.join(FORMATS)}, found {format!r}")
    return FORMATS[format]


def _by_suffix(path: str | os.PathLike[str] | None) -> Format | None:
    from odyssey.serialization.formats import FORMATS

    suffix = "" if path is None else Path(path).suffix.lower()
    return next((one for one in FORMATS.values() if suffix in one.suffixes), None)


def _by_magic(start: bytes) -> Format | None:
    from odyssey.serialization.formats import FORMATS

    return next((one for one in FORMATS.values() if one.magic is not None and start.startswith(one.magic)), None)


def _suffixes() -> list[str]:
    from odyssey.serialization.formats import FORMATS

    return [suffix for one in FORMATS.values() for suffix in one.suffixes]
