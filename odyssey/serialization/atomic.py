"""Files that are there whole or not at all.

A new version is written beside the old one, forced to the disk, and renamed over it: whoever opens the path, at any
moment and after any crash, finds one version complete. What fails on the way (a full disk, a kill) leaves the old
version alone, and the error leaves no temporary file behind.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

__all__ = ["replacing", "sync_folder", "write_bytes", "write_json"]


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """A new file to write, which takes the place of `path` when the block ends without an error.

    Example:
        >>> import tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> with replacing(f"{folder.name}/greeting.txt") as file:
        ...     _ = file.write(b"hello")
        >>> Path(f"{folder.name}/greeting.txt").read_text()
        'hello'
        >>> folder.cleanup()
    """
    path = Path(path)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    # Not a tempfile: those are the user's alone (0600), and this file is to have the usual permissions.
    file = open(beside, "xb")  # noqa: SIM115
    try:
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
        finally:
            with suppress(OSError):  # on a full disk closing tries to flush and fails once more
                file.close()
        os.replace(beside, path)
    except OSError as error:
        _remove(beside)
        error.filename = os.fspath(path)  # the file the user knows
        raise
    except BaseException:
        _remove(beside)
        raise
    sync_folder(path.parent)


def write_bytes(path: str | os.PathLike[str], data: bytes | str) -> None:
    """Make `data` the content of `path`, atomically; text is written in UTF-8."""
    with replacing(path) as file:
        file.write(data.encode() if isinstance(data, str) else data)


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Make `value` the content of `path`, atomically, as indented JSON."""
    write_bytes(path, json.dumps(value, indent=2) + "\n")


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink()


def sync_folder(folder: Path) -> None:
    """Force the renaming itself to the disk."""
    with suppress(OSError):  # some file systems cannot; the file's own bytes are safe by now
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
