"""`SharedTensor`: an array that several processes have, in one piece of memory."""

from __future__ import annotations

import os
import secrets
import socket as sockets
import sys
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any

import numpy as np

from odyssey.bridge import types
from odyssey.bridge.shared import handover
from odyssey.bridge.shared.handover import HandoverError, Request
from odyssey.bridge.shared.layout import HEADER_BYTES, Layout, contiguous, crossing, of_array, pack, unpack
from odyssey.bridge.shared.memory import Memory, create, receive
from odyssey.errors import FormatError, LayoutError
from odyssey.typing import Array

__all__ = ["SharedTensor"]


class SharedTensor:
    """An array in memory that goes to other processes as a descriptor: the bytes stay where they are.

    Pickling it, for `multiprocessing` or `concurrent.futures`, or sending it over a Unix socket hands the descriptor
    over; the other process maps the same memory. `array` is an ordinary ndarray there and here, and NumPy, odyssey's
    operations, DLPack and Arrow take the tensor itself. The memory is gone when the last process has forgotten it, be
    it by being killed: it has no name that could be left over, and `close` is good manners, not a duty.

    Made by `create`, `share`, `open`, `receive` or a `SharedMemoryManager`, not by calling the class. A tensor in a
    forked child is the same memory. Memory made here cannot change its size (seals): no truncation can end a process by
    SIGBUS. Of a file that is not so: see `open`.

    Example:
        >>> from concurrent.futures import ProcessPoolExecutor
        >>> import numpy as np
        >>> tensor = SharedTensor.share(np.arange(6, dtype=np.float32).reshape(2, 3))
        >>> tensor
        SharedTensor(shape=(2, 3), dtype=float32, writable)
        >>> import odyssey as od
        >>> float(od.sum(tensor))
        15.0
    """

    __slots__ = ("__weakref__", "_array", "_layout", "_memory", "_problem")
    _array: Array | None
    _layout: Layout
    _memory: Memory | None
    _problem: Exception | None

    def __init__(self, *_: object) -> None:
        raise TypeError(
            "SharedTensor: expected one of its makers, found a call of the class\n"
            "  SharedTensor.create(shape, dtype), .share(array), .open(path)"
        )

    @classmethod
    def _of(cls, memory: Memory | None, layout: Layout, problem: Exception | None = None) -> SharedTensor:
        tensor = cls.__new__(cls)
        tensor._memory, tensor._layout, tensor._problem = memory, layout, problem
        tensor._array = None
        return tensor

    # ---- making one -------------------------------------------------------------------------------------------------

    @classmethod
    def create(
        cls,
        shape: int | Sequence[int],
        dtype: object = "float32",
        *,
        order: str = "C",
        name: str = "odyssey",
        reserve: bool = False,
    ) -> SharedTensor:
        """A new tensor of zeros.

        Args:
            shape: its extents.
            dtype: its type: one of `bridge.types.TYPES`.
            order: "C" or "F".
            name: what /proc/<pid>/maps calls the memory.
            reserve: get the pages now, and raise MemoryError if there are not so many. Otherwise each comes when it is
                first touched, and where none is left then, the system ends a process.

        Raises:
            DTypeError, ShapeError: for what cannot be an array here.
            MemoryError: there is no room.
        """
        layout = contiguous(shape, dtype, order=order)
        memory = create(HEADER_BYTES + layout.nbytes, name, reserve=reserve)
        header = pack(layout, memory.identity)
        memory.mapping()[: len(header)] = header
        return cls._of(memory, layout)

    @classmethod
    def share(cls, array: object, *, readonly: bool = False, name: str = "odyssey") -> SharedTensor:
        """A new tensor with an array's elements: the one copy there is.

        Args:
            array: anything with a buffer.
            readonly: the kernel lets nobody write to it any more, this process included.
            name: what /proc/<pid>/maps calls the memory.

        Raises:
            DTypeError: for elements that do not cross.
        """
        source = crossing(array)
        fortran = source.flags.f_contiguous and not source.flags.c_contiguous
        tensor = cls.create(source.shape, source.dtype, order="F" if fortran else "C", name=name)
        np.copyto(tensor.array, source, casting="no")
        return tensor.freeze() if readonly else tensor

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        shape: Sequence[int] | int | None = None,
        dtype: object = None,
        offset: int = 0,
        tensor: str | None = None,
        mode: str = "r",
    ) -> SharedTensor:
        """An array in a file, mapped: nothing is read before it is touched.

        Args:
            path: an .npy file, a .safetensors file, or raw bytes with `shape` and `dtype`.
            shape, dtype, offset: of raw bytes, offset in bytes; not for files that say it themselves.
            tensor: which one of a safetensors file; may be left out if there is one. `open_all` has all of them.
            mode: "r" to read; "r+" to write to the file, which all who have mapped it see; "c" to write to a copy that
                this process makes of the pages it writes to.

        Raises:
            OSError: the file cannot be opened.
            FormatError: it is not what it says, or is too short.
            KeyError: it has no such tensor.
            DTypeError: elements that do not cross.

        The size is checked here, once. Nobody can be kept from cutting a file short later; who then touches what is
        gone is ended by SIGBUS. Where that may happen, `SharedTensor.share(SharedTensor.open(path).array)` is a copy
        that cannot be cut.
        """
        from odyssey.bridge.shared.files import open_file

        memory, layout = open_file(path, shape=shape, dtype=dtype, offset=offset, tensor=tensor, mode=mode)
        return cls._of(memory, layout)

    @classmethod
    def open_all(cls, path: str | os.PathLike[str], *, mode: str = "r") -> dict[str, SharedTensor]:
        """All tensors of a safetensors file, by name, in one mapping; otherwise as `open`."""
        from odyssey.bridge.shared.files import open_safetensors

        memory, layouts = open_safetensors(path, mode)
        return {name: cls._of(memory, layout) for name, layout in layouts.items()}

    # ---- what it is -------------------------------------------------------------------------------------------------

    def _open_memory(self) -> Memory:
        if self._problem is not None:
            raise self._problem
        if self._memory is None:
            raise ValueError(
                "SharedTensor: expected an open tensor, found it closed; arrays taken from it are still good"
            )
        return self._memory

    @property
    def array(self) -> Array:
        """The elements, where they lie. It may be kept longer than the tensor."""
        if self._array is None:
            memory = self._open_memory()
            array = self._layout.array(b"" if 0 in self._layout.shape else memory.mapping())
            if memory.readonly:
                array.flags.writeable = False
            self._array = array
        return self._array

    @property
    def shape(self) -> tuple[int, ...]:
        """Its extents."""
        return self._layout.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of its elements."""
        return types.TYPES[self._layout.dtype].dtype

    @property
    def strides(self) -> tuple[int, ...]:
        """Bytes from one element to the next, for each axis."""
        return self._layout.strides

    @property
    def ndim(self) -> int:
        """The number of its axes."""
        return len(self._layout.shape)

    @property
    def nbytes(self) -> int:
        """The bytes of its elements."""
        return self._layout.nbytes

    @property
    def writable(self) -> bool:
        """Whether `array` can be written to."""
        return not self._open_memory().readonly

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._memory is None and self._problem is None

    @property
    def inode(self) -> tuple[int, int]:
        """Device and number of the memory: the same wherever it is mapped."""
        return self._open_memory().key

    def fileno(self) -> int:
        """The descriptor, which stays the tensor's."""
        return self._open_memory().descriptor

    def holders(self) -> list[int]:
        """The processes that have the memory, by the kernel's account (Linux; those of this user).

        It looks through /proc, which takes milliseconds: for finding out who keeps memory, not for deciding anything.
        """
        memory = self._open_memory()
        return _holders(memory.key)

    def __repr__(self) -> str:
        if self._problem is not None:
            state = "could not be received"
        else:
            state = "closed" if self._memory is None else "read-only" if self._memory.readonly else "writable"
        return f"SharedTensor(shape={self.shape}, dtype={self._layout.dtype}, {state})"

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, index: Any) -> Any:
        return self.array[index]

    def __setitem__(self, index: Any, value: Any) -> None:
        self.array[index] = value

    # ---- other views of it ------------------------------------------------------------------------------------------

    def readonly(self) -> SharedTensor:
        """The same memory for reading, here and wherever it is handed over; this tensor stays as it is."""
        memory = self._open_memory()
        if memory.private:
            raise _stays("be handed on")
        return self._of(memory.read_only(), self._layout)

    def freeze(self) -> SharedTensor:
        """The same memory, which from now on nobody can map for writing; this tensor is closed.

        Arrays of it that are still around can be written to; without any, the memory is constant.

        Raises:
            LayoutError: another process has it already, and may write to it.
        """
        memory = self._open_memory()
        if memory.private:
            raise _stays("be frozen")
        self._array = None
        frozen = self._of(memory.freeze(), self._layout)
        self.close()
        return frozen

    def part(self, index: Any) -> SharedTensor:
        """`array[index]` as a tensor in the same memory.

        Raises:
            LayoutError: NumPy would have to copy, or walk backwards.
        """
        view = self.array[index]
        memory = self._open_memory()
        start = self.array.__array_interface__["data"][0] - self._layout.offset
        address = view.__array_interface__["data"][0] if isinstance(view, np.ndarray) else None
        if address is None or not np.may_share_memory(view, self.array) or min(view.strides, default=0) < 0:
            raise LayoutError(
                f"SharedTensor: expected a part that lies in the memory, found {index!r}: a copy, or backwards\n"
                "  slices with steps of 1 and more, and numbers together with `...`, have one"
            )
        return self._of(memory, of_array(view, address - start).check(memory.size, "SharedTensor.part"))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if dtype is not None and np.dtype(dtype) != self.dtype:
            if copy is False:
                raise ValueError(
                    f"SharedTensor: expected {self.dtype}, found {np.dtype(dtype)} asked for without a copy"
                )
            return self.array.astype(dtype)
        return self.array.copy() if copy else self.array

    @property
    def __array_interface__(self) -> dict[str, Any]:
        array = self.array
        if array.dtype.kind == "V":
            raise AttributeError("__array_interface__ has no name for bfloat16; __array__ serves")
        layout = dict(array.__array_interface__)
        if 0 not in self.shape:
            # The memory by an object that keeps it mapped, where an address would outlive it.
            layout["data"] = memoryview(self._open_memory().mapping())
            layout["offset"] = self._layout.offset
        else:
            layout["data"] = memoryview(b"" if self._open_memory().readonly else bytearray())
        return layout

    if sys.version_info >= (3, 12):

        def __buffer__(self, flags: int) -> memoryview:
            return memoryview(self.array)

    def __dlpack__(self, **options: Any) -> Any:
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.array.__dlpack_device__()

    def __arrow_c_array__(self, requested_schema: Any = None) -> tuple[Any, Any]:
        from odyssey.bridge.shared.arrow import capsules

        return capsules(self.array, requested_schema)

    # ---- to other processes -----------------------------------------------------------------------------------------

    def __reduce__(self) -> tuple[Any, ...]:
        memory = self._handed_over()
        if memory.home is None:
            memory.home = (handover.address(), handover.NOBODY)
        where, group = memory.home
        nonce = secrets.token_bytes(16)
        hold = Request(handover.HOLD, group, memory.identity, nonce, memory=memory)
        try:
            handover.ask(where, hold)
        except HandoverError:  # its home has ended: this process is it from now on
            memory.home = (handover.address(), handover.NOBODY)
            where, group = memory.home
            handover.ask(where, hold)
        layout = self._layout
        return _fetched, (
            where,
            group,
            memory.identity,
            nonce,
            layout.dtype,
            layout.shape,
            layout.strides,
            layout.offset,
        )

    def __deepcopy__(self, memo: Any) -> SharedTensor:
        return self.share(self.array)

    def __copy__(self) -> SharedTensor:
        return self._of(self._open_memory(), self._layout)

    def send(self, line: sockets.socket) -> None:
        """Send the descriptor over a Unix socket, to a `receive` on the other side. Once sent, it outlives this
        process.

        Raises:
            OSError: the other side is gone.
            LayoutError: a file mapped copy-on-write, whose pages are this process's alone; or a part, which has no
                header.
        """
        memory = self._handed_over()
        header = b"" if memory.path else bytes(memory.mapping()[:HEADER_BYTES])
        if memory.path or unpack(header, memory.size)[0] != self._layout:
            raise LayoutError(
                "SharedTensor: expected a whole tensor, whose memory says what it is, found a part or a file\n"
                "  pickle.dumps(tensor) carries the layout along"
            )
        sockets.send_fds(line, [b"r" if memory.readonly else b"w"], [memory.descriptor])

    @classmethod
    def receive(cls, line: sockets.socket) -> SharedTensor:
        """A tensor that `send` sends at the other end of a Unix socket.

        Raises:
            EOFError: the other side has gone without sending one.
            FormatError: what came is not a tensor, or could be cut short while it is in use.
            TimeoutError: nothing came within the socket's timeout.
        """
        data, descriptors, _, _ = sockets.recv_fds(line, 1, 4, getattr(sockets, "MSG_CMSG_CLOEXEC", 0))
        for descriptor in descriptors[1:]:
            os.close(descriptor)
        if not data and not descriptors:
            raise EOFError("SharedTensor.receive: expected a tensor, found that the other side has gone")
        if not descriptors:
            raise FormatError(f"SharedTensor.receive: expected a descriptor, found the byte {data!r} alone")
        return cls.from_descriptor(descriptors[0], readonly=data != b"w")

    @classmethod
    def from_descriptor(cls, descriptor: int, *, readonly: bool = False) -> SharedTensor:
        """The tensor in memory that `create` or `share` made, by a descriptor, which from now on is the tensor's.

        Raises:
            FormatError: it is not such memory, its header claims what cannot be, or it could be cut short.
        """
        os.set_inheritable(descriptor, False)
        try:
            size = os.fstat(descriptor).st_size
            header = os.pread(descriptor, HEADER_BYTES, 0)
            layout, identity = unpack(header, size)
        except OSError as error:
            os.close(descriptor)
            raise FormatError(
                f"SharedTensor: expected the descriptor of memory, found one of something else ({error})"
            ) from error
        except BaseException:
            os.close(descriptor)
            raise
        return cls._of(receive(descriptor, identity, readonly=readonly, where="SharedTensor"), layout)

    def _handed_over(self) -> Memory:
        """The memory, on its way to another process."""
        memory = self._open_memory()
        if memory.private:
            raise _stays("go to another process")
        memory.settle()
        return memory

    # ---- the end ----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Let go of the memory. Arrays taken from it, other processes and messages on their way keep it."""
        self._memory = self._array = None

    def free(self) -> None:
        """Close it, and let nobody receive it any more: names it has and messages on their way are void.

        Who has it keeps it.
        """
        memory = self._open_memory()
        if memory.home is not None:
            where, group = memory.home
            with suppress(HandoverError):
                handover.ask(where, Request(handover.FREE, group, memory.identity))
        self.close()

    def __enter__(self) -> SharedTensor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _fetched(
    where: bytes, group: bytes, identity: bytes, nonce: bytes, dtype: str, shape: Any, strides: Any, offset: int
) -> SharedTensor:
    """A tensor from a pickle.

    What cannot be had raises when the tensor is used, not here: an exception in the middle of unpickling ends the
    threads of `multiprocessing.Pool`, and whoever waits for a result waits for ever.
    """
    layout = Layout(dtype, tuple(shape), tuple(strides), offset)
    try:
        _, memory = handover.ask(where, Request(handover.FETCH, group, identity, nonce))
        assert memory is not None
        layout.check(memory.size, "SharedTensor")
    except (HandoverError, FormatError, OSError) as error:
        return SharedTensor._of(None, layout, error)
    if memory.home is None:
        memory.home = (where, group)
    return SharedTensor._of(memory, layout)


def _stays(what: str) -> LayoutError:
    return LayoutError(
        f"SharedTensor: expected memory that can {what}, found a file mapped copy-on-write, whose changes are this "
        'process\'s alone\n  open it with mode="r" or "r+", or copy it: SharedTensor.share(tensor.array)'
    )


def _holders(key: tuple[int, int]) -> list[int]:
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and _holds(name, key):
            found.append(int(name))
    return sorted(found)


def _holds(process: str, key: tuple[int, int]) -> bool:
    with suppress(OSError):
        for descriptor in os.listdir(f"/proc/{process}/fd"):
            with suppress(OSError):
                status = os.stat(f"/proc/{process}/fd/{descriptor}")
                if (status.st_dev, status.st_ino) == key:
                    return True
        device = f"{os.major(key[0]):02x}:{os.minor(key[0]):02x}"
        with open(f"/proc/{process}/maps") as maps:
            return any(line.split()[3:5] == [device, str(key[1])] for line in maps)
    return False
