"""`SharedRing`: batches that worker processes make in shared memory, delivered in order, each once, whoever dies.

The consumer hands out tickets: a slot of the ring, and the number of the batch that is to be made in it. A worker fills
the slot and sends the ticket back; only then is the slot looked at. So what a worker leaves half done is never seen:
when it dies, its tickets are handed out again, oldest first, and those it had sent back before are in the socket still.
There is no lock and no counter in the shared memory that a death could leave wrong.

A worker's death shows in its socket and in its pidfd, the consumer's in the same two: a copy of the socket in some
other process that was forked meanwhile does not hide either.
"""

from __future__ import annotations

import multiprocessing as mp
import os
import pickle
import select
import signal
import socket
import struct
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.context import BaseContext
from time import perf_counter
from types import TracebackType
from typing import Any, TypeAlias

import numpy as np

from odyssey.bridge import debugging
from odyssey.bridge.shared.layout import HEADER_BYTES, Layout, contiguous, pack
from odyssey.bridge.shared.memory import create
from odyssey.bridge.shared.tensor import SharedTensor
from odyssey.errors import OdysseyError
from odyssey.typing import Array

__all__ = ["Fill", "RingBatch", "RingFeed", "SharedRing", "WorkerDied"]

Fill: TypeAlias = "Callable[[int, dict[str, Array]], int | None]"
"""Makes the batch of a number in a slot's arrays; may return how many rows of them it filled."""

ALIGNMENT = 64  # bytes, of every array in a slot: a cache line, and a vector register
GRACE = 1.0  # seconds for a worker to end by itself
ALL_ROWS = -1
_TICKET = struct.Struct("<IIqq")  # bytes that follow; slot; number; rows


class WorkerDied(OdysseyError, RuntimeError):
    """A worker process ended again and again at the same batch.

    Attributes:
        batch_id: the number of the batch.
        exitcode: how the last one ended: minus the number of a signal, or what it gave to `exit`.
    """

    def __init__(self, message: str, batch_id: int | None, exitcode: int | None) -> None:
        super().__init__(message)
        self.batch_id = batch_id
        self.exitcode = exitcode


class RingBatch:
    """A batch in a slot of a ring.

    Attributes:
        number: which batch it is.
        arrays: the slot's arrays by name, cut to the rows that were filled. They are the batch's until it is released.
    """

    __slots__ = ("_feed", "_slot", "arrays", "number")

    def __init__(self, number: int, arrays: dict[str, Array], slot: int, feed: RingFeed) -> None:
        self.number = number
        self.arrays = arrays
        self._slot: int | None = slot
        self._feed = weakref.ref(feed)  # a feed that is forgotten ends its workers, whatever its batches do

    def __getitem__(self, name: str) -> Array:
        return self.arrays[name]

    @property
    def nbytes(self) -> int:
        """The bytes of its arrays."""
        return sum(array.nbytes for array in self.arrays.values())

    def release(self) -> None:
        """Give the slot back, to be filled again; its arrays are not the batch's any more. From any thread, once."""
        slot, self._slot = self._slot, None
        if slot is not None:
            if debugging.is_on():
                for array in self.arrays.values():
                    array.view(np.uint8)[...] = debugging.UNREADABLE
            self.arrays = {}
            feed = self._feed()
            if feed is not None:
                feed._reuse(slot)

    def __enter__(self) -> RingBatch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()


class SharedRing:
    """A number of slots in one piece of shared memory, each with the same arrays.

    Args:
        slots: how many. Two let a worker fill one while the consumer computes on the other.
        fields: the arrays of a slot: name -> (shape, dtype).

    Raises:
        ValueError: for less than one slot, or no fields.
        DTypeError, ShapeError, MemoryError: as `SharedTensor.create`.

    Example:
        >>> ring = SharedRing(3, {"x": ((2, 4), "float32")})
        >>> def fill(number, slot):
        ...     slot["x"][:] = number
        >>> [float(batch["x"].sum()) for batch in ring.feed(fill, range(5), context="fork")]
        [0.0, 8.0, 16.0, 24.0, 32.0]
    """

    def __init__(self, slots: int, fields: Mapping[str, tuple[int | Sequence[int], object]]) -> None:
        if slots < 1 or not fields:
            raise ValueError(f"SharedRing: expected 1 slot or more, with fields, found {slots} and {dict(fields)!r}")
        layouts: list[dict[str, Layout]] = []
        offset = HEADER_BYTES
        for _ in range(slots):
            layouts.append({})
            for name, (shape, dtype) in fields.items():
                layouts[-1][name] = layout = contiguous(shape, dtype, offset)
                offset += -(-layout.nbytes // ALIGNMENT) * ALIGNMENT
        memory = create(offset, "odyssey-ring")
        header = pack(contiguous(offset - HEADER_BYTES, "uint8"), memory.identity)
        memory.mapping()[: len(header)] = header
        self.slots = [{name: SharedTensor._of(memory, layout) for name, layout in slot.items()} for slot in layouts]
        self.nbytes = offset

    def __len__(self) -> int:
        return len(self.slots)

    def feed(
        self,
        fill: Fill,
        numbers: Iterable[int],
        *,
        workers: int = 1,
        hold: int = 1,
        restarts: int = 3,
        timeout: float | None = None,
        context: str | BaseContext | None = None,
    ) -> RingFeed:
        """Batches that worker processes fill, in the order of the numbers.

        Args:
            fill: called in a worker with a number and a slot's arrays by name, which still hold an older batch. What it
                makes has to follow from the number alone: a batch whose worker died is made again.
            numbers: of the batches; may be endless.
            workers: how many processes.
            hold: so many batches at most are in the consumer's hands: when one more is taken the oldest is released, if
                it was not before. A `Stream` over the feed takes maxsize of them, and the loop that reads it one more.
            restarts: so many deaths in a row, without a batch made in between, are made good by a new worker.
            timeout: the most seconds to wait for a batch: then TimeoutError; and one may ask again.
            context: of `multiprocessing`, or its name; its default otherwise. With "spawn" and "forkserver" `fill` must
                be something that can be pickled.

        Raises:
            ValueError: for settings out of range: the ring needs more slots than are held.

        A `fill` that raises: the exception comes in the place of its batch, with the attribute `batch_id` and a note,
        and ends the feed. A worker that dies more often than `restarts` allows: `WorkerDied`.
        """
        if workers < 1 or restarts < 0 or not 1 <= hold < len(self):
            raise ValueError(
                f"SharedRing.feed: expected workers >= 1, restarts >= 0 and 1 <= hold < {len(self)} slots, found "
                f"workers={workers}, restarts={restarts}, hold={hold}"
            )
        if isinstance(context, str) or context is None:
            context = mp.get_context(context)
        return RingFeed(self, fill, numbers, workers, hold, restarts, timeout, context)


@dataclass(eq=False)
class _Worker:
    """A worker process and what it was asked for."""

    process: Any
    line: socket.socket
    pidfd: int  # -1 where there is no such thing
    tickets: deque[tuple[int, int, int]] = field(default_factory=deque)  # place, slot, number
    data: bytearray = field(default_factory=bytearray)

    def end(self, grace: float) -> int | None:
        """End it; gives its exit code."""
        self.line.close()
        self.process.join(grace)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        code: int | None = self.process.exitcode
        self.process.close()
        if self.pidfd >= 0:
            os.close(self.pidfd)
        return code


@dataclass
class _Hands:
    """What is to be ended when a feed is forgotten."""

    workers: list[_Worker] = field(default_factory=list)
    process: int = field(default_factory=os.getpid)

    def end(self) -> None:
        workers, self.workers = self.workers, []
        if os.getpid() == self.process:
            for worker in workers:
                worker.line.close()
            for worker in workers:
                worker.end(GRACE)


class RingFeed(Iterator[RingBatch]):
    """Batches of a ring in order. `SharedRing.feed` makes it; `close`, or `with`, ends its workers, as forgetting it
    does.

    Attributes:
        restarted: how many workers were started in the place of dead ones.
        delivered: how many batches the consumer was given.
        waited: seconds that the consumer waited for batches.
    """

    def __init__(
        self,
        ring: SharedRing,
        fill: Fill,
        numbers: Iterable[int],
        workers: int,
        hold: int,
        restarts: int,
        timeout: float | None,
        context: BaseContext,
    ) -> None:
        self.restarted = self.delivered = 0
        self.waited = 0.0
        self._ring, self._fill, self._context = ring, fill, context
        self._numbers = iter(numbers)
        self._hold, self._restarts, self._timeout = hold, restarts, timeout
        self._lock = threading.RLock()
        self._free = deque(range(len(ring)))
        self._again: deque[tuple[int, int]] = deque()  # place and number of what a dead worker left
        self._places = 0  # handed out so far
        self._exhausted = False
        self._done: dict[int, tuple[int, int, int, BaseException | None]] = {}  # by place: slot, number, rows, error
        self._next = 0
        self._given: deque[RingBatch] = deque()
        self._deaths = 0
        self._hands = _Hands()
        self._finalizer = weakref.finalize(self, self._hands.end)
        try:
            for _ in range(workers):
                self._hands.workers.append(self._start())
            self._hand_out()
        except BaseException:
            self.close()
            raise

    # ---- workers ----------------------------------------------------------------------------------------------------

    def _start(self) -> _Worker:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        forked = self._context.get_start_method() == "fork"
        others = [ours, *(worker.line for worker in self._hands.workers)] if forked else []
        # Whoever forks here does not know of the arrays that a loop holds of the ring: it gets tensors.
        process = self._context.Process(  # type: ignore[attr-defined]
            target=_serve, args=(theirs, others, self._ring.slots, self._fill), name="odyssey-ring", daemon=True
        )
        try:
            process.start()
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        ours.setblocking(False)
        return _Worker(process, ours, _pidfd(process.pid))

    def _hand_out(self) -> None:
        """Give the workers tickets for all free slots."""
        with self._lock:
            while self._free and self._hands.workers:
                ticket = self._next_ticket()
                if ticket is None:
                    return
                slot = self._free.popleft()
                worker = min(self._hands.workers, key=lambda worker: len(worker.tickets))
                worker.tickets.append((ticket[0], slot, ticket[1]))
                with suppress(OSError):  # it died: its tickets go out again when that is noticed
                    worker.line.sendall(_TICKET.pack(0, slot, ticket[1], ALL_ROWS))

    def _next_ticket(self) -> tuple[int, int] | None:
        if self._again:
            return self._again.popleft()
        if not self._exhausted:
            for number in self._numbers:
                self._places += 1
                return self._places - 1, int(number)
            self._exhausted = True
        return None

    def _reuse(self, slot: int) -> None:
        with self._lock:
            self._free.append(slot)
            self._hand_out()

    def _look(self, worker: _Worker) -> bool:
        """Take what a worker has sent; False when no more will come."""
        while True:
            try:
                data = worker.line.recv(1 << 16)
            except BlockingIOError:
                return True
            except OSError:
                return False
            if not data:
                return False
            worker.data += data
            while len(worker.data) >= _TICKET.size:
                length, slot, number, rows = _TICKET.unpack_from(worker.data)
                if len(worker.data) < _TICKET.size + length:
                    break
                body = bytes(worker.data[_TICKET.size : _TICKET.size + length])
                del worker.data[: _TICKET.size + length]
                place, _, _ = worker.tickets.popleft()
                self._done[place] = slot, number, rows, _error(body, number) if length else None
                self._deaths = 0

    def _replace(self, worker: _Worker) -> None:
        """A worker has died: another one gets its tickets."""
        with self._lock:
            if self._deaths >= self._restarts and self._next in self._done:
                return  # what was made before comes before the error
            self._hands.workers.remove(worker)
            left = list(worker.tickets)
            code = worker.end(GRACE)
            self._deaths += 1
            if self._deaths > self._restarts:
                number = left[0][2] if left else None
                how = f"by signal {-code}" if code is not None and code < 0 else f"with exit code {code}"
                raise WorkerDied(
                    f"SharedRing: expected a worker that makes batch {number}, found that it ended {how}, for the "
                    f"{self._deaths}. time without a batch in between\n"
                    "  call fill(number, arrays) in this process to see why; signal 9 may be the system out of memory",
                    number,
                    code,
                )
            self._again.extendleft((place, number) for place, _, number in reversed(left))
            self._free.extend(slot for _, slot, _ in left)
            self._hands.workers.append(self._start())
            self.restarted += 1
            self._hand_out()

    # ---- the consumer -----------------------------------------------------------------------------------------------

    def __iter__(self) -> RingFeed:
        return self

    def __next__(self) -> RingBatch:
        if not self._finalizer.alive:
            raise StopIteration
        if self._hands.process != os.getpid():
            raise RuntimeError(
                f"SharedRing: expected to be read in process {self._hands.process}, which started the workers, found a "
                "fork of it\n  call feed() in the child"
            )
        try:
            if not self._at_end():  # the last ones stay: nobody needs their slots
                while len(self._given) >= self._hold:
                    self._given.popleft().release()
            self._wait()
            if self._next not in self._done:
                raise StopIteration
            slot, number, rows, error = self._done.pop(self._next)
            if error is not None:
                raise error
        except TimeoutError as late:
            if not hasattr(late, "batch_id"):
                raise
            self.close()
            raise
        except BaseException:  # the end, an error, or Ctrl-C
            self.close()
            raise
        self._next += 1
        self.delivered += 1
        arrays = {name: tensor.array for name, tensor in self._ring.slots[slot].items()}
        if rows != ALL_ROWS:
            arrays = {name: array[:rows] for name, array in arrays.items()}
        batch = RingBatch(number, arrays, slot, self)
        self._given.append(batch)
        return batch

    def _at_end(self) -> bool:
        return self._exhausted and self._next >= self._places

    def _wait(self) -> None:
        """Until the next batch is there, or there is none."""
        began = perf_counter()
        deadline = None if self._timeout is None else began + self._timeout
        while True:
            for worker in list(self._hands.workers):
                # What it sent before it died is taken first.
                dead = worker.pidfd >= 0 and _readable(worker.pidfd)
                if not self._look(worker) or dead:
                    self._replace(worker)
            if self._next in self._done or self._at_end():
                break
            seconds = None if deadline is None else deadline - perf_counter()
            if seconds is not None and seconds <= 0:
                raise TimeoutError(
                    f"SharedRing: expected batch {self._next} within {self._timeout:g} s, found none\n"
                    "  ask again to go on waiting, or give a longer timeout="
                )
            poll = select.poll()
            for worker in self._hands.workers:
                poll.register(worker.line, select.POLLIN)
                if worker.pidfd >= 0:
                    poll.register(worker.pidfd, select.POLLIN)
            poll.poll(None if seconds is None else 1000 * seconds)
        self.waited += perf_counter() - began

    @property
    def pids(self) -> list[int]:
        """The workers' processes."""
        return [worker.process.pid for worker in self._hands.workers]

    @property
    def closed(self) -> bool:
        """Whether nothing more will come."""
        return not self._finalizer.alive

    def close(self) -> None:
        """End the workers: within a second, or by SIGKILL."""
        with self._lock:
            self._finalizer()

    def __enter__(self) -> RingFeed:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


# ---- in the worker --------------------------------------------------------------------------------------------------


def _serve(
    line: socket.socket, others: list[socket.socket], tensors: list[dict[str, SharedTensor]], fill: Fill
) -> None:
    """Fill slots until nobody asks for any."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the consumer's, who ends its workers
    for other in others:  # the consumer's ends, which a fork copies: they would hide its death
        other.close()
    parent = mp.parent_process()
    pidfd = _pidfd(parent.pid if parent else None)
    slots = [{name: tensor.array for name, tensor in slot.items()} for slot in tensors]
    with line, suppress(ConnectionError):  # the consumer is gone
        while (ticket := _next_request(line, pidfd)) is not None:
            _, slot, number, _ = _TICKET.unpack(ticket)
            body, rows = b"", None
            try:
                rows = fill(number, slots[slot])
            except BaseException as error:
                body = _pickled(error)
            line.sendall(_TICKET.pack(len(body), slot, number, ALL_ROWS if rows is None else rows) + body)


def _next_request(line: socket.socket, parent: int) -> bytes | None:
    data = b""
    while len(data) < _TICKET.size:
        if parent >= 0:
            poll = select.poll()
            poll.register(line, select.POLLIN)
            poll.register(parent, select.POLLIN)
            if any(descriptor == parent for descriptor, _ in poll.poll()):
                return None
        more = line.recv(_TICKET.size - len(data))
        if not more:
            return None
        data += more
    return data


def _pickled(error: BaseException) -> bytes:
    try:
        data = pickle.dumps(error)
        pickle.loads(data)  # some can be pickled and not unpickled
        return data
    except Exception:
        return pickle.dumps(RuntimeError(f"{type(error).__name__}: {error}"))


def _error(data: bytes, number: int) -> BaseException:
    try:
        error = pickle.loads(data)
    except Exception as raised:  # of a class that is known to the worker alone
        error = RuntimeError(f"a worker's exception, which cannot be unpickled here: {raised}")
    if isinstance(error, (StopIteration, StopAsyncIteration, GeneratorExit, KeyboardInterrupt, SystemExit)):
        outer = RuntimeError(f"fill raised {type(error).__name__}")
        outer.__cause__ = error
        error = outer
    with suppress(AttributeError, TypeError):
        error.batch_id = number
        error.add_note(f"in a worker of the ring, at batch {number}")
    found: BaseException = error
    return found


def _pidfd(process: int | None) -> int:
    """A descriptor that is readable when a process has ended; -1 where there is none to be had."""
    if process is None or not hasattr(os, "pidfd_open"):
        return -1
    try:
        return os.pidfd_open(process)
    except OSError:
        return -1


def _readable(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
