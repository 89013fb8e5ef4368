"""`SharedMemoryManager`: tensors by name, for a process and its workers."""

from __future__ import annotations

import os
import secrets
import weakref
from collections.abc import Iterator, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any

from odyssey.bridge.shared import handover
from odyssey.bridge.shared.handover import HandoverError, Request
from odyssey.bridge.shared.memory import Memory
from odyssey.bridge.shared.tensor import SharedTensor

__all__ = ["SharedMemoryManager"]


class SharedMemoryManager:
    """Tensors that the process of the manager holds, by name, until they are freed or the manager is closed.

    It may be pickled to workers, which then find, allocate and free the same names; what they allocate is held by the
    manager's process, and is still there when they have ended. When the manager's process ends, whoever has a tensor
    keeps it, nobody can ask for one, and what nobody has is gone.

    Example:
        >>> with SharedMemoryManager() as manager:
        ...     weights = manager.allocate("weights", (2, 3), "float64")
        ...     weights[:] = 1
        ...     float(manager["weights"].array.sum()), sorted(manager)
        (6.0, ['weights'])
    """

    def __init__(self) -> None:
        self._where = handover.address()
        self._group = secrets.token_bytes(16)
        handover.ask(self._where, Request(handover.OPEN, self._group))
        self._finalizer: weakref.finalize[..., Any] = weakref.finalize(
            self, _shut, self._where, self._group, os.getpid()
        )

    def allocate(
        self,
        name: str | None,
        shape: int | Sequence[int],
        dtype: object = "float32",
        *,
        order: str = "C",
        reserve: bool = False,
    ) -> SharedTensor:
        """A new tensor of zeros. With None for a name it is held only while somebody has it or a message carries it.

        Raises:
            ValueError: the name is taken.
            HandoverError: the manager is closed, or its process has ended.
            DTypeError, ShapeError, MemoryError: as `SharedTensor.create`.
        """
        called = "odyssey" if name is None else _checked(name)
        return self._keep(name, SharedTensor.create(shape, dtype, order=order, name=called, reserve=reserve))

    def share(self, name: str | None, array: object, *, readonly: bool = False) -> SharedTensor:
        """A new tensor with an array's elements; otherwise as `allocate`."""
        called = "odyssey" if name is None else _checked(name)
        return self._keep(name, SharedTensor.share(array, readonly=readonly, name=called))

    def _keep(self, name: str | None, tensor: SharedTensor) -> SharedTensor:
        memory = tensor._open_memory()
        memory.home = (self._where, self._group)
        if name is not None:
            memory.settle()
            self._ask(handover.NAME, name, memory)
        return tensor

    def __getitem__(self, name: str) -> SharedTensor:
        _, memory = self._ask(handover.LOOKUP, _checked(name))
        assert memory is not None
        if memory.home is None:
            memory.home = (self._where, self._group)
        return SharedTensor.from_descriptor(os.dup(memory.descriptor), readonly=memory.readonly)

    def free(self, name: str) -> None:
        """Forget a name. Who has the tensor keeps it; messages with it that are on their way are void.

        Raises:
            KeyError: there is no such name.
        """
        self._ask(handover.FREE, _checked(name))

    def __iter__(self) -> Iterator[str]:
        text, _ = self._ask(handover.NAMES)
        return iter(text.split("\0") if text else [])

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        return name in list(self)

    @property
    def closed(self) -> bool:
        """Whether `close` was called in this process."""
        return not self._finalizer.alive

    def close(self) -> None:
        """Free all names, and what is on its way. In a process that was given it, the manager's use alone ends."""
        self._finalizer()

    def _ask(self, op: int, text: str = "", memory: Memory | None = None) -> tuple[str, Memory | None]:
        if self.closed:
            raise HandoverError(f"SharedMemoryManager: expected an open one, found it closed (asked for {text!r})")
        identity = memory.identity if memory else handover.NOBODY
        return handover.ask(self._where, Request(op, self._group, identity, text=text, memory=memory))

    def __reduce__(self) -> tuple[Any, ...]:
        if self.closed:
            raise HandoverError("SharedMemoryManager: expected an open one, found it closed; it cannot be handed over")
        return _joined, (self._where, self._group)

    def __enter__(self) -> SharedMemoryManager:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _joined(where: bytes, group: bytes) -> SharedMemoryManager:
    """A manager from a pickle: one that asks the process of the first one."""
    manager = SharedMemoryManager.__new__(SharedMemoryManager)
    manager._where, manager._group = where, group
    manager._finalizer = weakref.finalize(manager, _nothing)
    return manager


def _nothing() -> None:
    pass


def _shut(where: bytes, group: bytes, process: int) -> None:
    if os.getpid() == process:  # a forked child has a copy of the manager, and not the names
        with suppress(HandoverError):
            handover.ask(where, Request(handover.SHUT, group))
        handover.rest()


def _checked(name: str) -> str:
    if not isinstance(name, str) or not name or "\0" in name or len(name.encode()) > 1000:
        raise ValueError(f"SharedMemoryManager: expected a name of 1 to 1000 bytes without NUL, found {name!r}")
    return name
