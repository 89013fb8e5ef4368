"""Two folders exchange their names in one step, where the system can."""

from __future__ import annotations

import ctypes
import errno
import os
import secrets
from pathlib import Path

__all__ = ["exchange"]

_HERE = -100  # AT_FDCWD
_EXCHANGE = 2  # RENAME_EXCHANGE
_UNKNOWN = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP)


def exchange(one: Path, other: Path) -> None:
    """Each of two existing paths becomes the other, at once (renameat2, Linux 3.15).

    A C library or a file system that has no such call gets three renamings: for a moment nothing is at `other`, and if
    the last fails, the first are taken back.

    Raises:
        OSError: they could not be exchanged, and were not.
    """
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is not None:
        if rename(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0:
            return
        number = ctypes.get_errno()
        if number not in _UNKNOWN:
            raise OSError(number, os.strerror(number), os.fspath(other))
    aside = other.with_name(f".{other.name}.{secrets.token_hex(4)}.old")
    os.rename(other, aside)
    try:
        os.rename(one, other)
    except BaseException:
        os.rename(aside, other)
        raise
    os.rename(aside, one)
