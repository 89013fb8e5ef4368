"""Arrays that lie in memory as well as arrays can, and all equally well.

Where an array happens to lie decides as much about the time of a simple operation as who performs it: large ones may or
may not be backed by huge pages, and arrays that start at the same place of their pages slow each other down. For a race
every contender's arrays begin on a cache line, large ones on a huge page, and no two on the same line of their pages.
"""

from __future__ import annotations

from itertools import count
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from odyssey.typing import Array

__all__ = ["place", "placed_empty"]

LINE = 64
LINES = 4096 // LINE
STEP = 13  # lines from one array to the next; odd, so that all lines of a page have their turn
HUGE_PAGE = 2 << 20
HUGE = 4 << 20  # NumPy asks for huge pages from this size on

_turn = count()


def placed_empty(shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    """An uninitialised C-ordered array."""
    dtype = np.dtype(dtype)
    nbytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    alignment = HUGE_PAGE if nbytes >= HUGE else 4096
    memory = np.empty(nbytes + alignment + 4096, np.uint8)
    start = -memory.ctypes.data % alignment + next(_turn) * STEP % LINES * LINE
    array: Array = memory[start : start + nbytes].view(dtype).reshape(shape)
    return array


def place(value: Any) -> Any:
    """A copy of an array, well placed; anything else as it is."""
    if not isinstance(value, np.ndarray):
        return value
    copy = placed_empty(value.shape, value.dtype)
    copy[...] = value
    return copy
