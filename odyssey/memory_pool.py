"""Scratch memory that is asked for again and again: aligned arrays out of one reserved block."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from odyssey.errors import LayoutError, OdysseyError
from odyssey.typing import Array

__all__ = ["MemoryPool", "PoolExhausted", "UseAfterRelease", "aligned_empty"]

GUARD = 64  # bytes around an array in debug mode
FREED, FENCE = 0xFF, 0xA5  # what released memory and guards are filled with: 0xFF... is NaN


class PoolExhausted(OdysseyError, MemoryError):
    """A pool that may not grow has no room left for what was asked."""


class UseAfterRelease(OdysseyError, RuntimeError):
    """An array of a pool was used, written or released after its release, or written beyond its ends."""


def aligned_empty(shape: int | Sequence[int], dtype: DTypeLike = np.float32, alignment: int = 64) -> Array:
    """A new C-ordered array, uninitialised, whose first element lies at a multiple of `alignment` bytes.

    Args:
        alignment: a power of two.

    Raises:
        LayoutError: for an alignment that is none.

    >>> import odyssey as od
    >>> od.aligned_empty((3, 5), np.float64, alignment=4096).ctypes.data % 4096
    0
    """
    _check_alignment(alignment)
    dtype = np.dtype(dtype)
    size = prod((shape,) if isinstance(shape, int) else shape) * dtype.itemsize
    memory = np.empty(size + alignment, np.uint8)
    start = -memory.ctypes.data % alignment
    return memory[start : start + size].view(dtype).reshape(shape)


class MemoryPool:
    """Aligned scratch arrays from a block of memory reserved at once.

    Args:
        capacity: bytes.
        alignment: of every array, a power of two.
        grow: whether a pool that is full takes another block, as large as the first or as what is asked, instead of
            raising PoolExhausted.
        debug: fill released memory with NaN, and see to it that an array is not used any more: operations on it raise
            UseAfterRelease, and so does the next acquire, `check` or `close` if the memory was written nevertheless
            (by C, or through a view made before), or beyond an array's ends. For tests: it costs a pass over the
            memory.

    Safe to use from several threads. Neighbouring free pieces are joined again.

    Example:
        >>> import odyssey as od
        >>> pool = od.MemoryPool(1 << 20)
        >>> with pool.borrow((4, 16)) as scratch:
        ...     scratch[...] = 1
        >>> pool.statistics()["in_use"], pool.statistics()["acquired"]
        (0, 1)
    """

    def __init__(self, capacity: int, alignment: int = 64, grow: bool = False, debug: bool = False) -> None:
        _check_alignment(alignment)
        if capacity < 1:
            raise ValueError(f"MemoryPool: capacity must be at least 1 byte, found {capacity}")
        self.alignment, self.grow, self.debug = alignment, grow, debug
        self._step = self._rounded(capacity)
        self._lock = threading.Lock()
        self._blocks: list[Array] = []
        self._free: list[list[tuple[int, int]]] = []  # of each block (start, size), ascending
        self._lent: dict[int, tuple[int, int, int, int, weakref.ref[Any]]] = {}  # address -> block, start, size, bytes
        self._counts = {"acquired": 0, "released": 0, "grown": 0, "exhausted": 0}
        self._in_use = self._most = 0
        self._add_block(self._step)

    def acquire(self, shape: int | Sequence[int], dtype: DTypeLike = np.float32) -> Array:
        """An array of the pool's memory, uninitialised.

        Raises:
            PoolExhausted: if there is no room and the pool may not grow.
            UseAfterRelease: in debug mode, if released memory was written meanwhile.
        """
        dtype = np.dtype(dtype)
        wanted = prod((shape,) if isinstance(shape, int) else shape) * dtype.itemsize
        margin = self._rounded(GUARD) if self.debug else 0
        size = self._rounded(max(wanted, 1)) + 2 * margin
        with self._lock:
            block, start = self._find(size)
            memory = self._blocks[block][start : start + size]
            if self.debug:
                self._expect(memory, FREED, "released memory was written")
                memory[:margin] = FENCE
                memory[margin + wanted :] = FENCE
            array: Array = memory[margin : margin + wanted].view(dtype).reshape(shape)
            if self.debug:
                watched = array.view(_Watched)
                watched._state = _State()
                array = watched
            self._lent[self._blocks[block].ctypes.data + start + margin] = (
                block,
                start,
                size,
                wanted,
                weakref.ref(array),
            )
            self._counts["acquired"] += 1
            self._in_use += size
            self._most = max(self._most, self._in_use)
            return array

    def release(self, array: Array) -> None:
        """Give an array back. It must be one that `acquire` returned, or begin where that does, and is not to be used
        again.

        Raises:
            UseAfterRelease: for an array that is not lent: released before, or not of this pool.
        """
        with self._lock:
            address = np.ndarray.__array_interface__.__get__(array)["data"][0]
            if address not in self._lent:
                raise UseAfterRelease(
                    "MemoryPool.release: expected an array that is on loan, found one that was released before, or is "
                    f"not of this pool\n  array: {array.shape} {array.dtype}\n"
                    "  remedy: release once what acquire returned"
                )
            block, start, size, wanted, _ = self._lent.pop(address)
            memory = self._blocks[block][start : start + size]
            self._counts["released"] += 1
            self._in_use -= size
            self._give_back(block, start, size)
            if self.debug:
                if isinstance(array, _Watched) and array._state is not None:
                    array._state.released = True
                margin = self._rounded(GUARD)
                guards = memory[:margin].copy(), memory[margin + wanted :].copy()
                memory[:] = FREED
                for guard in guards:
                    self._expect(guard, FENCE, "an array was written beyond its ends")

    def borrow(self, shape: int | Sequence[int], dtype: DTypeLike = np.float32) -> _Loan:
        """`acquire` for a with statement, which releases."""
        return _Loan(self, shape, dtype)

    def statistics(self) -> dict[str, int]:
        """Bytes: capacity, in_use, most (the largest in_use so far), largest_free. Counts: acquired, released,
        on_loan, grown, exhausted, blocks."""
        with self._lock:
            return {
                "capacity": sum(block.size for block in self._blocks),
                "in_use": self._in_use,
                "most": self._most,
                "largest_free": max((size for free in self._free for _, size in free), default=0),
                "on_loan": len(self._lent),
                "blocks": len(self._blocks),
                **self._counts,
            }

    def check(self) -> None:
        """In debug mode: UseAfterRelease if released memory was written."""
        with self._lock:
            if self.debug:
                for block, free in zip(self._blocks, self._free, strict=True):
                    for start, size in free:
                        self._expect(block[start : start + size], FREED, "released memory was written")

    def close(self) -> None:
        """Checks, and forgets the memory. Arrays on loan stay valid."""
        self.check()
        with self._lock:
            self._blocks, self._free, self._lent = [], [], {}
            self._in_use = 0

    # ---- inside ------------------------------------------------------------------------------------------------------

    def _rounded(self, size: int) -> int:
        return -(-size // self.alignment) * self.alignment

    def _add_block(self, size: int) -> None:
        block = aligned_empty(size, np.uint8, self.alignment)
        if self.debug:
            block[:] = FREED
        self._blocks.append(block)
        self._free.append([(0, size)])

    def _find(self, size: int) -> tuple[int, int]:
        """A place of so many bytes, the smallest free piece that has them, taken from the list."""
        fitting = [
            (piece[1], block, i)
            for block, free in enumerate(self._free)
            for i, piece in enumerate(free)
            if piece[1] >= size
        ]
        if not fitting:
            if not self.grow:
                self._counts["exhausted"] += 1
                capacity = sum(block.size for block in self._blocks)
                raise PoolExhausted(
                    f"MemoryPool.acquire: expected {size} bytes in one piece, found {self._in_use} of {capacity} "
                    "in use\n  remedy: release arrays, or make the pool larger or with grow=True"
                )
            self._counts["grown"] += 1
            self._add_block(max(size, self._step))
            fitting = [(size, len(self._blocks) - 1, 0)]
        _, block, i = min(fitting)
        start, whole = self._free[block].pop(i)
        if whole > size:
            self._free[block].insert(i, (start + size, whole - size))
        return block, start

    def _give_back(self, block: int, start: int, size: int) -> None:
        joined: list[tuple[int, int]] = []
        for piece in sorted([*self._free[block], (start, size)]):
            if joined and sum(joined[-1]) == piece[0]:
                joined[-1] = joined[-1][0], joined[-1][1] + piece[1]
            else:
                joined.append(piece)
        self._free[block] = joined

    def _expect(self, memory: Array, value: int, complaint: str) -> None:
        if memory.size and not (memory == value).all():
            where = int(np.argmax(memory != value))
            memory[:] = value  # once is enough
            raise UseAfterRelease(f"MemoryPool: {complaint}, first at byte {where} of {memory.size}")


class _Loan:
    def __init__(self, pool: MemoryPool, shape: int | Sequence[int], dtype: DTypeLike) -> None:
        self._pool, self._shape, self._dtype = pool, shape, dtype

    def __enter__(self) -> Array:
        self._array = self._pool.acquire(self._shape, self._dtype)
        return self._array

    def __exit__(self, *error: object) -> None:
        self._pool.release(self._array)
        del self._array


class _State:
    """Of an array and all views of it: whether it was released."""

    released = False


class _Watched(np.ndarray[Any, np.dtype[Any]]):
    """An array of a pool in debug mode: it looks whether it may still be used."""

    _state: _State | None

    def __array_finalize__(self, parent: Any) -> None:
        self._state = getattr(parent, "_state", None)

    def _used(self) -> None:
        if self._state is not None and self._state.released:
            raise UseAfterRelease(
                "MemoryPool: an array was used after its release\n  remedy: release it where it is no longer needed"
            )

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        for one in (*inputs, *kwargs.get("out", ())):
            if isinstance(one, _Watched):
                one._used()
        plain = [_plain(one) for one in inputs]
        if kwargs.get("out"):
            kwargs["out"] = tuple(_plain(one) for one in kwargs["out"])
        return getattr(ufunc, method)(*plain, **kwargs)

    def __getitem__(self, index: Any) -> Any:
        self._used()
        return super().__getitem__(index)

    def __setitem__(self, index: Any, value: Any) -> None:
        self._used()
        super().__setitem__(index, value)

    def view(self, *args: Any, **kwargs: Any) -> Any:
        """As of any array."""
        self._used()
        return super().view(*args, **kwargs)


def _plain(value: Any) -> Any:
    return np.ndarray.view(value, np.ndarray) if isinstance(value, _Watched) else value


def _check_alignment(alignment: int) -> None:
    if alignment < 1 or alignment & (alignment - 1):
        raise LayoutError(f"alignment must be a power of two, found {alignment}")
