"""How a descriptor gets from a process to another one: who keeps it meanwhile, and how it is asked for.

A process that hands memory over listens on a Unix socket (abstract on Linux, so that it leaves nothing behind, whatever
ends the process). A pickle carries that address and a number; unpickling connects, names the number and is sent the
descriptor (SCM_RIGHTS). Until then the descriptor is held here, so that the sender may forget its tensor at once.

Whose process that is: that of the manager which allocated the memory, else the one that pickled it first. Others that
pickle the same memory deposit their descriptor there: a worker may end before anybody has read its result.

Every request is one message with at most one descriptor, and an answer. Whoever dies in the middle of it closes a
socket, which is all the other side has to notice; what was not complete has not happened.
"""

from __future__ import annotations

import array
import atexit
import errno
import os
import secrets
import selectors
import socket
import stat
import struct
import sys
import tempfile
import threading
import weakref
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic, sleep
from typing import NamedTuple

from odyssey.bridge.shared.memory import Memory, backing, receive
from odyssey.errors import OdysseyError

__all__ = [
    "FETCH",
    "FREE",
    "HOLD",
    "LOOKUP",
    "NAME",
    "NAMES",
    "OPEN",
    "SHUT",
    "HandoverError",
    "Request",
    "address",
    "ask",
    "here",
    "rest",
]

PATIENCE = 30.0  # seconds without an answer from a process that lives
NOBODY = bytes(16)
_STOPPING = secrets.token_bytes(16)  # known to this process alone, and to its children, which do not say it

OPEN, SHUT, NAME, NAMES, LOOKUP, FREE, HOLD, FETCH, STOP = range(9)
# op; group, identity, nonce; flags; bytes of text
_REQUEST = struct.Struct("<B16s16s16sBI")
_ANSWER = struct.Struct("<BBI16s")  # outcome; flags; bytes of text; identity
_DONE, _GONE, _MISSING, _TAKEN = range(4)
_READONLY, _OF_FILE = 1, 2
LONGEST = 1 << 16
LONGEST_PATH = 100  # bytes of a socket's path, everywhere


class HandoverError(OdysseyError, RuntimeError):
    """Memory that cannot be had any more: who held it has ended, or has freed it."""


class Request(NamedTuple):
    """What is asked.

    Attributes:
        op: OPEN and SHUT a group of names; give memory a NAME, LOOKUP one, list the NAMES, FREE a name or an identity;
            HOLD memory for whoever comes to FETCH it.
        group: a manager's identity.
        identity: the memory's.
        nonce: the number of a message on its way.
        text: a name.
        memory: what is held or named; its descriptor travels along.
    """

    op: int
    group: bytes = NOBODY
    identity: bytes = NOBODY
    nonce: bytes = NOBODY
    text: str = ""
    memory: Memory | None = None


@dataclass(frozen=True, slots=True)
class _Held:
    memory: Memory
    group: bytes


class _Desk:
    """What this process keeps for others. Its methods are called by its own threads, and by the one that listens."""

    def __init__(self) -> None:
        self.address = b""
        self.sockets: set[socket.socket] = set()
        self.lock = threading.RLock()  # a finalizer may come in the middle of anything
        self.groups: dict[bytes, dict[str, Memory]] = {}
        self.held: dict[bytes, _Held] = {}
        self.alive: weakref.WeakValueDictionary[bytes, Memory] = weakref.WeakValueDictionary()
        self.listener: socket.socket | None = None

    def answer(self, request: Request) -> tuple[str, Memory | None]:
        """Do what is asked.

        Returns:
            Text and memory, as the request has them.

        Raises:
            HandoverError: the memory or the manager is gone.
            KeyError: there is no such name.
            ValueError: the name is taken.
        """
        op, group, identity, nonce, text, memory = request
        with self.lock:
            if op == OPEN:
                self.groups[group] = {}
            elif op == SHUT:
                self.groups.pop(group, None)
                self._let_go(lambda held: held.group == group)
            elif op == HOLD:
                assert memory is not None
                self.held[nonce] = _Held(memory, group)  # the group may be gone: what is on its way still arrives
                self.alive.setdefault(identity, memory)
            elif op == FETCH:
                return "", self._fetch(identity, nonce)
            elif op == FREE and not text:
                self._free(group, identity)
            else:
                return self._named(request)
        return "", None

    def _fetch(self, identity: bytes, nonce: bytes) -> Memory:
        held = self.held.pop(nonce, None)
        memory = held.memory if held else self.alive.get(identity)
        if memory is None:
            raise HandoverError(
                "SharedTensor: expected memory that somebody still holds, found it freed\n"
                "  it was freed before it was received, or received once already and then forgotten by its owner"
            )
        return memory

    def _named(self, request: Request) -> tuple[str, Memory | None]:
        op, group, _, _, text, memory = request
        names = self.groups.get(group)
        if names is None:
            raise HandoverError(f"SharedMemoryManager: expected an open one, found it closed (asked for {text!r})")
        if op == NAMES:
            return "\0".join(names), None
        if op == NAME:
            if text in names:
                raise ValueError(f"SharedMemoryManager: expected a new name, found {text!r} taken; free it first")
            assert memory is not None
            names[text] = self.alive[memory.identity] = memory
            return "", None
        if text not in names:
            raise KeyError(
                f"SharedMemoryManager: no allocation is named {text!r}; there are: {', '.join(names) or 'none'}"
            )
        if op == LOOKUP:
            return "", names[text]
        self._free(group, names[text].identity)
        return "", None

    def _free(self, group: bytes, identity: bytes) -> None:
        names = self.groups.get(group, {})
        for name in [name for name, memory in names.items() if memory.identity == identity]:
            del names[name]
        self._let_go(lambda held: held.memory.identity == identity)
        self.alive.pop(identity, None)

    def _let_go(self, which) -> None:  # type: ignore[no-untyped-def]
        for nonce in [nonce for nonce, held in self.held.items() if which(held)]:
            del self.held[nonce]

    # ---- listening --------------------------------------------------------------------------------------------------

    def listen(self) -> None:
        """Begin to answer other processes, if that has not begun."""
        with self.lock:
            if self.listener is None:
                listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                self.address = _bind(listener)  # a new one each time: the last one may still be in use for a moment
                listener.listen(128)
                listener.setblocking(False)
                self.listener = listener
                threading.Thread(target=self._serve, args=(listener,), name="odyssey-shared", daemon=True).start()

    def rest(self) -> None:
        """Stop listening, if nothing is kept for anybody."""
        with self.lock:
            if self.listener is None or self.groups or self.held or len(self.alive):
                return
            self.listener, where, self.address = None, self.address, b""
        with suppress(OSError):
            _exchange(where, Request(STOP, identity=_STOPPING))
        _remove(where)

    def _serve(self, listener: socket.socket) -> None:
        with listener, selectors.PollSelector() as sockets:
            sockets.register(listener, selectors.EVENT_READ)
            while True:
                for key, _ in sockets.select():
                    if key.fileobj is listener:
                        with suppress(OSError):  # whoever came has gone
                            guest, _ = listener.accept()
                            if _is_ours(guest):
                                guest.settimeout(1.0)  # for the answer: who does not read it is left
                                self.sockets.add(guest)
                                sockets.register(guest, selectors.EVENT_READ)
                            else:
                                guest.close()
                        continue
                    guest = key.fileobj  # type: ignore[assignment]
                    sockets.unregister(guest)
                    self.sockets.discard(guest)
                    with guest:
                        if self._attend(guest):
                            return

    def _attend(self, guest: socket.socket) -> bool:
        """Answer one request; whether it is the last."""
        try:
            request = _read_request(guest)
            if request is None:
                return False
            if request.op == STOP:
                _write(guest, _ANSWER.pack(_DONE, 0, 0, NOBODY), None)
                return request.identity == _STOPPING
            try:
                text, memory = self.answer(request)
                code = _DONE
            except (HandoverError, KeyError, ValueError) as error:
                code = (
                    _GONE if isinstance(error, HandoverError) else _MISSING if isinstance(error, KeyError) else _TAKEN
                )
                text, memory = str(error.args[0]), None
            data = (memory.path if memory is not None and memory.path else text).encode()
            identity = NOBODY if memory is None else memory.identity
            _write(guest, _ANSWER.pack(code, _flags(memory), len(data), identity) + data, memory)
        except OSError:
            pass  # whoever asked has gone
        return False


_desk = _Desk()


def _after_fork() -> None:
    """The child has no thread that listens, and holds nothing for anybody: its parent does."""
    global _desk
    old = _desk
    _desk = _Desk()
    for ours in (old.listener, *old.sockets):
        if ours is not None:
            ours.close()  # the child's copy
    old.held.clear()
    old.groups.clear()


os.register_at_fork(after_in_child=_after_fork)


def address() -> bytes:
    """Where this process is asked for what it holds. It listens from now on."""
    _desk.listen()
    return _desk.address


def here() -> bytes:
    """The same without listening."""
    return _desk.address


def rest() -> None:
    """Stop listening, if nothing is kept for anybody."""
    _desk.rest()


def ask(where: bytes, request: Request) -> tuple[str, Memory | None]:
    """Have a process do what is asked: this one directly, another one through its socket.

    Raises:
        HandoverError: the process has ended or does not answer, or what is asked for is gone.
        KeyError, ValueError: as `_Desk.answer` says.
    """
    if where == _desk.address:
        return _desk.answer(request)
    try:
        return _exchange(where, request)
    except TimeoutError as error:
        raise HandoverError(
            f"SharedTensor: expected an answer from {_who(where)} within {PATIENCE:g} s, found none\n"
            "  is that process stopped?"
        ) from error
    except (ConnectionError, FileNotFoundError) as error:
        raise HandoverError(
            f"SharedTensor: expected {_who(where)} to hold the memory, found that it has ended\n"
            "  what has to outlive a worker is allocated by a SharedMemoryManager of a process that stays"
        ) from error


def _exchange(where: bytes, request: Request) -> tuple[str, Memory | None]:
    deadline = monotonic() + PATIENCE
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.settimeout(PATIENCE)
        while True:
            try:
                line.connect(where)
                break
            except BlockingIOError:  # more are waiting than a socket lets wait
                if monotonic() > deadline:
                    raise TimeoutError from None
                sleep(1e-3)
        memory, text = request.memory, request.text.encode()
        if memory is not None and memory.path:
            text = memory.path.encode()
        head = _REQUEST.pack(request.op, request.group, request.identity, request.nonce, _flags(memory), len(text))
        _write(line, head + text, memory)
        data, descriptor = _read(line, _ANSWER.size)
        if len(data) < _ANSWER.size:
            raise ConnectionResetError
        code, flags, length, identity = _ANSWER.unpack_from(data)
        body = bytearray(data[_ANSWER.size :])
        try:
            while len(body) < length:
                more = line.recv(LONGEST)
                if not more:
                    raise ConnectionResetError
                body += more
        except BaseException:
            if descriptor is not None:
                os.close(descriptor)
            raise
    answer = body.decode(errors="replace")
    if code != _DONE:
        raise {_GONE: HandoverError, _MISSING: KeyError, _TAKEN: ValueError}[code](answer)
    if descriptor is None:
        return answer, None
    path = answer if flags & _OF_FILE else None
    return answer, receive(descriptor, identity, readonly=bool(flags & _READONLY), where="SharedTensor", path=path)


def _read_request(guest: socket.socket) -> Request | None:
    """What a guest asks; None from one who went away or does not know the form."""
    data, descriptor = _read(guest, _REQUEST.size)
    memory = None
    if len(data) >= _REQUEST.size:
        op, group, identity, nonce, flags, length = _REQUEST.unpack_from(data)
        body = data[_REQUEST.size :]
        if len(body) == length and op <= STOP and (op in (NAME, HOLD)) == (descriptor is not None):
            text = body.decode(errors="replace")
            if descriptor is not None:
                path = text if flags & _OF_FILE and op == HOLD else None
                memory = Memory(descriptor, readonly=bool(flags & _READONLY), path=path, identity=identity)
            return Request(op, group, identity, nonce, text, memory)
    if descriptor is not None:
        os.close(descriptor)
    return None


def _flags(memory: Memory | None) -> int:
    return 0 if memory is None else memory.readonly * _READONLY | (memory.path is not None) * _OF_FILE


def _write(line: socket.socket, data: bytes, memory: Memory | None) -> None:
    if memory is None:
        line.sendall(data)
    else:
        sent = socket.send_fds(line, [data], [memory.descriptor])
        if sent < len(data):  # nothing sent after all was is an error when the other side has read it and gone
            line.sendall(data[sent:])


def _read(line: socket.socket, least: int) -> tuple[bytes, int | None]:
    """One message and its descriptor. Others that a message brings are closed."""
    received: list[int] = []
    data = b""
    try:
        while len(data) < least:
            # A descriptor is close-on-exec from its first moment on.
            flags = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
            more, ancillary, _, _ = line.recvmsg(LONGEST, socket.CMSG_SPACE(4 * array.array("i").itemsize), flags)
            for level, kind, content in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    numbers = array.array("i")
                    numbers.frombytes(content[: len(content) - len(content) % numbers.itemsize])
                    received += numbers
            data += more
            if not more:
                break
    except BaseException:
        for descriptor in received:
            os.close(descriptor)
        raise
    for descriptor in received[1:]:
        os.close(descriptor)
    if received:
        os.set_inheritable(received[0], False)
    return data, received[0] if received else None


# ---- addresses ------------------------------------------------------------------------------------------------------


def _bind(listener: socket.socket) -> bytes:
    name = f"odyssey-{os.getpid()}-{secrets.token_hex(8)}"
    if sys.platform == "linux" and backing() == "memfd":
        where = b"\0" + name.encode()
    else:
        folder = _folder()
        _sweep(folder)
        where = os.path.join(folder, name).encode()
        if len(where) > LONGEST_PATH:
            raise OSError(
                errno.ENAMETOOLONG, f"expected a path of at most {LONGEST_PATH} bytes for a socket; set TMPDIR", folder
            )
    listener.bind(where)
    return where


def _folder() -> str:
    """A folder for sockets that is this user's alone."""
    folder = os.path.join(tempfile.gettempdir(), f"odyssey-{os.getuid()}")
    with suppress(FileExistsError):
        os.mkdir(folder, 0o700)
    status = os.lstat(folder)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise PermissionError(
            f"{folder}: expected a folder of this user's alone (mode 700), found another; remove it, or set TMPDIR"
        )
    return folder


def _sweep(folder: str) -> None:
    """Remove the sockets of processes that were killed, where a name cannot be had without a file."""
    for name in os.listdir(folder):
        try:
            os.kill(int(name.split("-")[1]), 0)
        except ProcessLookupError:
            with suppress(OSError):
                os.unlink(os.path.join(folder, name))
        except (ValueError, IndexError, PermissionError):
            continue


def _who(where: bytes) -> str:
    name = os.path.basename(where.lstrip(b"\0")).decode(errors="replace")
    return f"process {name.split('-')[1]}" if name.count("-") == 2 else f"the process at {where!r}"


def _remove(where: bytes) -> None:
    if not where.startswith(b"\0"):
        with suppress(OSError):
            os.unlink(where)


def _is_ours(guest: socket.socket) -> bool:
    """Whether a guest is a process of this user; where the system does not say, the folder's mode has said it."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True
    _, user, _ = struct.unpack("3i", guest.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return bool(user == os.getuid())


@atexit.register
def _at_exit() -> None:
    if _desk.listener is not None:
        _remove(_desk.address)
