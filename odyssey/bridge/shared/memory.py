"""Memory behind a descriptor: made, sealed, mapped once, and gone when the last descriptor and mapping are.

The kernel counts who holds it. That count cannot be wrong after a kill -9, needs nobody to clean up, and the memory has
no name that could be left in /dev/shm.

`memfd_create` makes it where there is one (Linux). Elsewhere it is a temporary file whose name is removed before
anybody else has its descriptor; ODYSSEY_SHARED_MEMORY=file asks for that on Linux too. What the file cannot do is to be
sealed: whoever has its descriptor could cut it short, where sealed memory refuses that.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import secrets
import tempfile
import weakref
from contextlib import suppress

from odyssey.errors import FormatError, LayoutError

__all__ = ["Memory", "backing", "create", "receive"]

# Linux's numbers, which Python's fcntl has since 3.10 all but the last.
SEAL, SHRINK, GROW, WRITE, FUTURE_WRITE = 1, 2, 4, 8, 16
ADD_SEALS, GET_SEALS = 1033, 1034
FIXED = SHRINK | GROW
HUGE = 4 << 20  # bytes from which on huge pages are asked for; the system may have none for shared memory

_known: weakref.WeakValueDictionary[tuple[int, int, bool], Memory] = weakref.WeakValueDictionary()


def backing() -> str:
    """What new memory is made of: "memfd" or "file".

    Raises:
        ValueError: ODYSSEY_SHARED_MEMORY is something else.
    """
    asked = os.environ.get("ODYSSEY_SHARED_MEMORY", "")
    if asked not in ("", "memfd", "file"):
        raise ValueError(f"ODYSSEY_SHARED_MEMORY: expected memfd or file, found {asked!r}")
    return asked or ("memfd" if hasattr(os, "memfd_create") else "file")


class Memory:
    """A descriptor, and its mapping when somebody has asked for it. Both end with this object and the last array in it.

    Attributes:
        descriptor: the file descriptor; -1 when it is closed.
        size: its bytes. Sealed memory keeps them for ever.
        readonly: whether its mapping is.
        private: whether what is written stays in this process (a file mapped copy-on-write).
        path: the file it is, or None for memory without a name.
        identity: 16 bytes that no other memory has.
        sealable: whether the kernel can keep its size and its contents as they are.
        home: who answers for it on the way to other processes: an address and a group of `handover`, or None.
    """

    def __init__(
        self, descriptor: int, *, readonly: bool, private: bool = False, path: str | None = None, identity: bytes = b""
    ) -> None:
        self.descriptor = descriptor
        status = os.fstat(descriptor)
        self.size = status.st_size
        self.key = (status.st_dev, status.st_ino)
        self.readonly = readonly
        self.private = private
        self.path = path
        self.identity = identity or secrets.token_bytes(16)
        self.sealable = path is None and _is_memfd(descriptor)
        self.home: tuple[bytes, bytes] | None = None
        self._map: mmap.mmap | None = None

    def __del__(self, close=os.close) -> None:  # type: ignore[no-untyped-def]
        if getattr(self, "descriptor", -1) >= 0:
            with suppress(OSError):
                close(self.descriptor)

    def mapping(self, populate: bool = False) -> mmap.mmap:
        """The memory's bytes, in this process. Nothing is read or copied: pages come when they are touched.

        Args:
            populate: let all pages come now.
        """
        if self._map is None:
            flags = mmap.MAP_PRIVATE if self.private else mmap.MAP_SHARED
            if populate:
                flags |= getattr(mmap, "MAP_POPULATE", 0)
            protection = mmap.PROT_READ if self.readonly else mmap.PROT_READ | mmap.PROT_WRITE
            self._map = mmap.mmap(self.descriptor, self.size, flags, protection)
            if self.path is None and self.size >= HUGE and hasattr(mmap, "MADV_HUGEPAGE"):
                with suppress(OSError):  # a system without them
                    self._map.madvise(mmap.MADV_HUGEPAGE)
        return self._map

    @property
    def seals(self) -> int:
        """The seals on it."""
        return fcntl.fcntl(self.descriptor, GET_SEALS) if self.sealable else 0

    def remember(self) -> Memory:
        """Itself; who receives this memory again in this process is to get this very mapping."""
        if not self.private:
            _known[(*self.key, self.readonly)] = self
        return self

    def settle(self) -> None:
        """No more seals: from now on others may have it."""
        if self.sealable and not self.seals & SEAL:
            # Sealing asks for a descriptor that can write.
            descriptor = os.open(f"/proc/self/fd/{self.descriptor}", os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.fcntl(descriptor, ADD_SEALS, SEAL)
            finally:
                os.close(descriptor)

    def read_only(self) -> Memory:
        """The same memory for reading: itself, or another descriptor, which the kernel lets nobody write through."""
        if self.readonly:
            return self
        known = _known.get((*self.key, True))
        if known is not None:
            return known
        other = Memory(_reopened(self.descriptor), readonly=True, path=self.path, identity=self.identity)
        other.home = self.home
        return other.remember()

    def freeze(self) -> Memory:
        """The same memory, which nobody can map for writing any more; arrays that can be written to stay so.

        Raises:
            LayoutError: it was handed over already, or cannot be sealed.
        """
        seals = self.seals
        if not self.sealable:
            return self.read_only()
        if seals & SEAL and not seals & (WRITE | FUTURE_WRITE):
            raise LayoutError(
                "SharedTensor: expected memory that no other process has, found it handed over already\n"
                "  freeze it before it is sent or pickled, or hand over tensor.readonly()"
            )
        if not seals & SEAL:
            with suppress(BufferError):  # arrays are left: they stay writable
                if self._map is not None:
                    self._map.close()
                    self._map = None
            try:
                fcntl.fcntl(self.descriptor, ADD_SEALS, WRITE | SEAL)
            except OSError:
                fcntl.fcntl(self.descriptor, ADD_SEALS, FUTURE_WRITE | SEAL)
        return self.read_only()


def create(nbytes: int, name: str = "odyssey", *, reserve: bool = False) -> Memory:
    """New memory of zeros, of a size that never changes.

    Args:
        nbytes: how much.
        name: what /proc calls it.
        reserve: get all pages now. Otherwise they come when they are first written to, and where there are none left
            the system ends a process.

    Raises:
        MemoryError: there is not so much, as far as can be told now.
    """
    of_memory = backing() == "memfd"
    name = name.encode()[:200].decode(errors="ignore")  # the kernel takes 249 bytes
    descriptor = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING) if of_memory else _temporary()
    try:
        os.ftruncate(descriptor, nbytes)
        if reserve and of_memory and nbytes > _available():
            # The kernel would begin, and end a process when there is no more.
            raise OSError(errno.ENOMEM, f"{_available()} bytes available")
        if reserve and hasattr(os, "posix_fallocate"):
            os.posix_fallocate(descriptor, 0, nbytes)
        if of_memory:
            fcntl.fcntl(descriptor, ADD_SEALS, FIXED)
        return Memory(descriptor, readonly=False).remember()
    except BaseException as error:
        os.close(descriptor)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EFBIG, errno.ENOMEM, errno.EINVAL):
            raise MemoryError(f"SharedTensor: expected room for {nbytes} bytes, found {error.strerror}") from error
        raise


def receive(descriptor: int, identity: bytes, *, readonly: bool, where: str, path: str | None = None) -> Memory:
    """Memory from another process; the descriptor is this function's to keep or to close.

    Raises:
        FormatError: it could be cut short while it is in use.
    """
    try:
        status = os.fstat(descriptor)
        known = _known.get((status.st_dev, status.st_ino, readonly))
        if path is None and _is_memfd(descriptor):
            seals = fcntl.fcntl(descriptor, GET_SEALS)
            if not seals & SHRINK:
                raise FormatError(
                    f"{where}: expected memory that is sealed against shrinking, found seals {seals:#x}\n"
                    "  fcntl(descriptor, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) before it is sent"
                )
    except BaseException:
        os.close(descriptor)
        raise
    if known is not None and known.identity == identity:
        os.close(descriptor)
        return known
    return Memory(descriptor, readonly=readonly, path=path, identity=identity).remember()


def _available() -> int:
    """The bytes that the system can still give, as far as it says."""
    room = 1 << 62
    with suppress(OSError, ValueError), open("/proc/meminfo") as table:
        sizes = dict(line.split(":", 1) for line in table)
        room = 1024 * int(sizes.get("MemAvailable", f"{room >> 10} kB").split()[0])
    with (
        suppress(OSError, ValueError),
        open("/sys/fs/cgroup/memory.max") as most,
        open("/sys/fs/cgroup/memory.current") as now,
    ):
        room = min(room, int(most.read()) - int(now.read()))
    return room


def _temporary() -> int:
    """A file without a name."""
    if hasattr(os, "O_TMPFILE"):
        with suppress(OSError):
            return os.open(tempfile.gettempdir(), os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    descriptor, path = tempfile.mkstemp(prefix="odyssey-shared-")
    os.unlink(path)
    return descriptor


def _reopened(descriptor: int) -> int:
    """A descriptor of the same file, for reading alone where the system can make one."""
    with suppress(OSError):
        return os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY | os.O_CLOEXEC)
    return os.dup(descriptor)


def _is_memfd(descriptor: int) -> bool:
    """Files in a file system of memory have seals too, which say nothing: a memfd is known by its name."""
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}").startswith("/memfd:")
    except OSError:
        return False
