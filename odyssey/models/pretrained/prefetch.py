"""Weights of mapped files, brought into memory before they are asked for, and let go of when they are not any more."""

from __future__ import annotations

import ctypes
import mmap
import threading
from collections.abc import Iterable
from typing import Any

import numpy as np

from odyssey.typing import Array

__all__ = ["let_go", "prefetch"]

PIECE = 16 << 20  # bytes asked for at once: the disk is kept busy, and the order is kept
WILL_NEED = 3  # MADV_WILLNEED: read the file ahead
DONT_NEED = 4  # MADV_DONTNEED: out of the process's table; the file is read again if it is asked for
POPULATE_READ = 22  # MADV_POPULATE_READ (Linux 5.14): and enter the pages into the process's table, once for many


def prefetch(arrays: Iterable[Array]) -> threading.Thread:
    """Read the memory of arrays ahead in a thread of its own, in their order: layer by layer, expert by expert.

    Args:
        arrays: views of mapped files, such as `Folder.tensors.values()`. Others are left alone.

    Returns:
        The thread, which ends with the process if that ends first; `join` it to wait until all is there.

    It is advice to the system, which may ignore it, and changes no value. Memory that was prefetched is the file's: the
    system takes it back when it needs room.
    """
    thread = threading.Thread(target=_advise, args=(list(arrays),), name="odyssey-prefetch", daemon=True)
    thread.start()
    return thread


def let_go(array: Array) -> None:
    """Have the process hold a mapped array no longer, of which a copy was made and which nobody has written to.

    Other arrays are left alone: their memory has no file to be read from again.
    """
    base: Any = array
    while isinstance(base, np.ndarray | memoryview):
        base = base.obj if isinstance(base, memoryview) else base.base
    madvise = _madvise()
    first = -(-array.ctypes.data // mmap.PAGESIZE) * mmap.PAGESIZE
    length = (array.ctypes.data + array.nbytes) // mmap.PAGESIZE * mmap.PAGESIZE - first
    if isinstance(base, mmap.mmap) and array.flags.c_contiguous and madvise is not None and length > 0:
        madvise(first, length, DONT_NEED)


def _madvise() -> Any:
    """The system's function, or None."""
    madvise = getattr(ctypes.CDLL(None, use_errno=True), "madvise", None)
    if madvise is not None:
        madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    return madvise


def _advise(arrays: list[Array]) -> None:
    madvise = _madvise()
    if madvise is None:
        return
    for array in arrays:  # held until the end, so that the memory stays what it is
        first = array.ctypes.data - array.ctypes.data % mmap.PAGESIZE
        end = array.ctypes.data + array.nbytes
        for at in range(first, end, PIECE):
            length = min(PIECE, end - at)
            madvise(at, length, WILL_NEED)
            madvise(at, length, POPULATE_READ)
