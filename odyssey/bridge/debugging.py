"""Finding who wrote where he should not, read what nobody wrote, or kept what was not his: slowly, so on request.

While it is on,

- results and scratch memory of odyssey's operations are filled with NaN when they are taken and when they are freed,
  and end in a fence: an element that no kernel wrote, or an array used after its memory was freed, is NaN;
- a call of a native library gets copies of its arrays, between fences. What it may only read is compared afterwards;
  a write beyond an array's ends is an error that names the argument, where otherwise some other array would have
  changed; and the copies are filled with NaN when it returns, so that a pointer it kept leads to nothing;
- arrays handed to a native library must be aligned to their elements;
- the slot of a shared ring is filled with NaN when its batch is released: arrays of it that are still around show it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

import numpy as np

from odyssey._kernels import array as _array
from odyssey._kernels import crossing, dispatch
from odyssey.errors import LayoutError, OdysseyError
from odyssey.typing import Array

__all__ = ["DamagedMemory", "Fenced", "check_aligned", "debug", "is_on"]

FENCE_BYTES = 4096
FENCE, UNREADABLE = 0xA5, 0xFF
QUARANTINE = 64  # copies that stay unreadable for a while, so that nothing else comes to lie where they were

_on = False
_quarantine: deque[Array] = deque(maxlen=QUARANTINE)


class DamagedMemory(OdysseyError, RuntimeError):
    """Native code wrote where it had no business."""


def is_on() -> bool:
    """Whether the checks are made now."""
    return _on


class debug:
    """Turns the checks on, for the whole process; as a context manager, for a block.

    Args:
        on: False turns them off.

    Raises:
        DamagedMemory: at the end of the block, or from `check`: memory was written beyond its end.

    Example:
        >>> import odyssey as od
        >>> with od.bridge.debug():
        ...     total = od.add(np.ones(3, np.float32), np.ones(3, np.float32))
        >>> is_on()
        False
    """

    def __init__(self, on: bool = True) -> None:
        self._before = _on
        self._broken = dispatch.broken_fences()
        _switch(on)

    def check(self) -> None:
        """See to it that no fence broke since this was made. Fences are looked at when a block is freed."""
        broken = dispatch.broken_fences() - self._broken
        if broken:
            self._broken += broken
            raise DamagedMemory(
                f"odyssey: expected writes within results and scratch memory, found {broken} written beyond the end\n"
                "  a kernel's mistake, or native code that was given such an array: halve what runs inside the block"
            )

    def __enter__(self) -> debug:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        _switch(self._before)
        if error is None:
            self.check()


def _switch(on: bool) -> None:
    global _on
    _on = bool(on)
    _quarantine.clear()
    dispatch.guard_memory(_on)
    _array.all_from_blocks(_on)
    crossing.watch(_fence if _on else None)


def check_aligned(array: Array, name: str) -> None:
    """See to it that an array's elements lie where C expects them.

    Raises:
        LayoutError: the address is no multiple of the alignment of its type.
    """
    if not array.flags.aligned:
        raise LayoutError(
            f"{name}: expected an address that is a multiple of {array.dtype.alignment}, as C does for {array.dtype}\n"
            f"  found {array.ctypes.data:#x}\n"
            f"  a copy is aligned: {name}.copy()"
        )


def _fence(
    function: str, names: Sequence[str], arrays: Sequence[bool], writable: Sequence[bool], values: list[Any]
) -> tuple[list[Any], Callable[[], None]]:
    """A native call's arguments with every array between fences, and what is to be called when it has returned."""
    fenced = []
    for i, (name, is_array, value) in enumerate(zip(names, arrays, values, strict=True)):
        if is_array and isinstance(value, np.ndarray):
            check_aligned(value, f"{function}: {name}")
            fenced.append(Fenced(value, f"{function}: {name}", writable[i]))
            values[i] = fenced[-1].array

    def close() -> None:
        for one in fenced:
            one.close()

    return values, close


class Fenced:
    """A C-ordered copy of an array between two fences, for native code to work on.

    Args:
        array: any array.
        name: what errors call it.
        writable: whether the code may write to it.
    """

    def __init__(self, array: Array, name: str, writable: bool) -> None:
        self._original, self._name, self._writable = array, name, writable
        size = array.nbytes
        self._memory = np.full(size + 2 * FENCE_BYTES, FENCE, np.uint8)
        start = FENCE_BYTES - self._memory.ctypes.data % 64  # aligned as the best of arrays
        self._inside = slice(start, start + size)
        self.array: Array = self._memory[self._inside].view(array.dtype).reshape(array.shape)
        self.array[...] = array

    def close(self) -> None:
        """Look at the fences, write back what may have changed, and make the copy unreadable.

        Raises:
            DamagedMemory: a fence was overwritten, or an array that was to be read only.
        """
        before, after = self._memory[: self._inside.start], self._memory[self._inside.stop :]
        damage = [side for side, fence in (("before", before), ("after", after)) if np.any(fence != FENCE)]
        written = self._memory[self._inside].tobytes() != np.ascontiguousarray(self._original).tobytes()
        try:
            if damage:
                raise DamagedMemory(self._report(f"bytes written {' and '.join(damage)} it"))
            if written and not self._writable:
                raise DamagedMemory(self._report("it changed, though the declaration says const"))
            if written:
                self._original[...] = self.array
        finally:
            self._memory[:] = UNREADABLE
            _quarantine.append(self._memory)

    def _report(self, found: str) -> str:
        shape: Any = self._original.shape
        return (
            f"{self._name}: expected the native code to stay within {shape} {self._original.dtype}, found {found}\n"
            "  the sizes it was given may be those of another array; the caller's array was not touched"
        )
