"""One run of a stream: a loader, its workers, and the three queues between them and the consumer.

    source -> [loader] -> inputs -> [workers] -> results -> consumer
                 ^------------------ room <--------------------'

Every queue is a `queue.SimpleQueue`, whose operations are single steps in C, so there is no lock to be left locked, and
an item is in one place at any moment. Each counter belongs to one thread. `room` carries back what the consumer has
taken: the loader alone counts what is in flight. A thread's last act is to put ENDED into `results`, so whoever has
seen all of those has seen every result, and joining takes no time.
"""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread, current_thread
from time import perf_counter
from typing import Any, NamedTuple

from odyssey.bridge.stream.batch import Batch, as_batch, nbytes
from odyssey.bridge.stream.stats import Stats

__all__ = ["ENDED", "Message", "Run", "Settings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a Stream was told; `Stream` says what each is."""

    work: Callable[[Batch], Any] | None
    maxsize: int
    workers: int
    ordered: bool
    max_bytes: int | None
    timeout: float | None
    errors: str
    on_status: Callable[[Stats], object] | None
    status_seconds: float


class Message(NamedTuple):
    """A result, or the exception in its place."""

    number: int
    batch_id: Any
    size: int  # bytes, as the loader is to hear of them when the result is taken
    value: Any
    error: BaseException | None
    by_source: bool


ENDED = Message(-1, None, 0, None, None, False)


class _Clock:
    """The counters of one thread."""

    __slots__ = ("bytes", "count", "failed", "grown", "seconds", "waited")

    def __init__(self) -> None:
        self.count = self.failed = self.bytes = self.grown = 0
        self.seconds = self.waited = 0.0


class Run:
    """The threads of a run. Nothing here refers to the consumer's iterator, which can therefore be forgotten.

    Args:
        source: what to load.
        settings: how.
        loop: the consumer's event loop, on which an asynchronous source is read; None for a consumer without one.
    """

    def __init__(
        self,
        source: Iterable[Any] | AsyncIterable[Any],
        settings: Settings,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.settings = settings
        self.process = os.getpid()
        self.loop = loop
        self.results: SimpleQueue[Message] = SimpleQueue()
        self.waiter: asyncio.Future[None] | None = None  # of the consumer
        self.cancelled = False
        self.taken = _Clock()
        self.ended: float | None = None
        self._inputs: SimpleQueue[tuple[int, Batch, int] | None] = SimpleQueue()
        self._room: SimpleQueue[tuple[int, int] | None] = SimpleQueue()
        self._room_waiter: asyncio.Future[None] | None = None
        self._loader_loop: asyncio.AbstractEventLoop | None = None
        self._loader_task: asyncio.Task[None] | None = None
        self._loaded = _Clock()
        self._workers = [_Clock() for _ in range(settings.workers if settings.work else 0)]
        self._count = self._bytes = 0  # in flight, as the loader knows it
        self.began = perf_counter()
        self.threads = [
            Thread(target=copy_context().run, args=(self._work, clock), name=f"odyssey-stream-{number}", daemon=True)
            for number, clock in enumerate(self._workers)
        ]
        self.parts = len(self.threads) + 1
        if loop is not None and isinstance(source, AsyncIterable):
            self._loader_loop = loop
            self._loader_task = loop.create_task(self._load_here(source))
        else:
            loader: Any = self._load if isinstance(source, Iterable) else self._load_there
            self.threads.insert(
                0, Thread(target=copy_context().run, args=(loader, source), name="odyssey-stream-loader", daemon=True)
            )
        for thread in self.threads:
            thread.start()

    # ---- what the consumer calls ------------------------------------------------------------------------------------

    def release(self, size: int) -> None:
        """Tell the loader that a result of `size` bytes was taken."""
        self._room.put((1, size))
        self._wake_loader()

    def cancel(self) -> None:
        """Let every thread end after what it is doing now. May be called at any time, from any thread."""
        self.cancelled = True
        self._room.put(None)
        for _ in self._workers:
            self._inputs.put(None)
        loop, task = self._loader_loop, self._loader_task
        if loop is not None and task is not None:
            with suppress(RuntimeError):  # the loop is closed, and the task with it
                loop.call_soon_threadsafe(task.cancel)

    def join(self, timeout: float | None = None) -> list[Thread]:
        """Wait for the threads; gives those that did not end in time. A thread of the run does not wait for others."""
        deadline = None if timeout is None else perf_counter() + timeout
        if current_thread() not in self.threads:
            for thread in self.threads:
                thread.join(None if deadline is None else max(deadline - perf_counter(), 0))
        return [thread for thread in self.threads if thread.is_alive()]

    def stats(self) -> Stats:
        """The counters as they are now."""
        loaded, done = self._loaded, self._workers or [self._loaded]
        grown = sum(clock.grown for clock in self._workers)
        return Stats(
            loaded=loaded.count,
            in_flight=max(loaded.count - self.taken.count, 0),
            done=sum(clock.count for clock in done),
            taken=self.taken.count,
            failed=sum(clock.failed for clock in self._workers),
            bytes=loaded.bytes,
            bytes_in_flight=max(loaded.bytes + grown - self.taken.bytes, 0),
            loading=loaded.seconds,
            computing=sum(clock.seconds for clock in self._workers),
            source_waited=loaded.waited,
            workers_waited=sum(clock.waited for clock in self._workers),
            consumer_waited=self.taken.waited,
            elapsed=(perf_counter() if self.ended is None else self.ended) - self.began,
            workers=len(self._workers),
        )

    # ---- workers ----------------------------------------------------------------------------------------------------

    def _work(self, clock: _Clock) -> None:
        work, inputs = self.settings.work, self._inputs
        assert work is not None
        now = perf_counter()
        try:
            while True:
                item = inputs.get()
                if item is None or self.cancelled:
                    break
                began = perf_counter()
                clock.waited += began - now
                number, batch, size = item
                value, error, before = None, None, size
                try:
                    value = work(batch)
                    size = before if self.settings.max_bytes is None else nbytes(value)
                except BaseException as raised:
                    error = _told(raised, batch.batch_id, "work")
                    clock.failed += 1
                if size != before:
                    clock.grown += size - before
                    self._room.put((0, before - size))
                    self._wake_loader()
                message = Message(number, batch.batch_id, size, value, error, False)
                now = perf_counter()
                clock.seconds += now - began
                clock.count += 1
                del item, batch, value, error  # the consumer's: not to be kept while the next one is waited for
                self._deliver(message)
                del message
        finally:
            self._deliver(ENDED)

    def _deliver(self, message: Message) -> None:
        self.results.put(message)
        # Who waits takes itself away: done here, a thread that was held up could take away the next one.
        waiter = self.waiter
        if waiter is not None:
            _wake(self.loop, waiter)

    # ---- the loader -------------------------------------------------------------------------------------------------

    def _load(self, source: Iterable[Any]) -> None:
        try:
            iterator: Any = None
            number = 0
            try:
                iterator = iter(source)
                while self._wait_for_room():
                    began = perf_counter()
                    item = next(iterator, ENDED)
                    self._loaded.seconds += perf_counter() - began
                    if item is ENDED or self.cancelled:
                        break
                    self._admit(item, number)
                    del item
                    number += 1
            except BaseException as raised:
                self._fail(raised, number)
            finally:
                # What the generator function of a source began is ended by the thread that began it; a generator that
                # the user made stays the user's.
                if iterator is not source and inspect.isgenerator(iterator):
                    _close(iterator)
        finally:
            self._end_loading()

    def _load_there(self, source: AsyncIterable[Any]) -> None:
        """Read an asynchronous source for a consumer without an event loop: on a loop of this thread."""

        async def load() -> None:
            self._loader_loop, self._loader_task = asyncio.get_running_loop(), asyncio.current_task()
            if not self.cancelled:
                await self._read(source)

        try:
            with suppress(asyncio.CancelledError):
                asyncio.run(load())
        finally:
            self._loader_loop = self._loader_task = None
            self._end_loading()

    async def _load_here(self, source: AsyncIterable[Any]) -> None:
        """Read an asynchronous source on the consumer's loop."""
        try:
            with suppress(asyncio.CancelledError):
                await self._read(source)
        finally:
            self._end_loading()

    async def _read(self, source: AsyncIterable[Any]) -> None:
        iterator: AsyncIterator[Any] | None = None
        number = 0
        try:
            iterator = aiter(source)
            while await self._wait_for_room_here():
                began = perf_counter()
                try:
                    item = await anext(iterator)
                except StopAsyncIteration:
                    break
                finally:
                    self._loaded.seconds += perf_counter() - began
                self._admit(item, number)
                del item
                number += 1
        except asyncio.CancelledError as raised:
            if self.cancelled:
                raise
            self._fail(raised, number)  # somebody else cancelled the source
        except BaseException as raised:
            self._fail(raised, number)
        finally:
            if iterator is not source and inspect.isasyncgen(iterator):
                with suppress(Exception):  # as for a generator that is forgotten: nobody is left to hear of it
                    await iterator.aclose()

    def _admit(self, item: object, number: int) -> None:
        batch = as_batch(item, number)
        size = nbytes(batch)
        self._count += 1
        self._bytes += size
        self._loaded.count += 1
        self._loaded.bytes += size
        if self._workers:
            self._inputs.put((number, batch, size))
        else:
            self._deliver(Message(number, batch.batch_id, size, batch, None, False))

    def _fail(self, raised: BaseException, number: int) -> None:
        self._deliver(Message(number, number, 0, None, _told(raised, number, "source"), True))

    def _end_loading(self) -> None:
        for _ in self._workers:
            self._inputs.put(None)
        self._deliver(ENDED)

    def _full(self) -> bool:
        most = self.settings.max_bytes
        return self._count >= self.settings.maxsize or (most is not None and self._count > 0 and self._bytes >= most)

    def _account(self, returned: tuple[int, int] | None) -> bool:
        """Note what was taken; whether the run goes on."""
        if returned is None:
            return False
        self._count -= returned[0]
        self._bytes -= returned[1]
        return True

    def _wait_for_room(self) -> bool:
        """Wait until another batch may be loaded; False when the run is cancelled."""
        room = self._room
        while not room.empty():
            if not self._account(room.get()):
                return False
        if self._full():
            began = perf_counter()
            while self._full():
                if not self._account(room.get()):
                    return False
            self._loaded.waited += perf_counter() - began
        return not self.cancelled

    async def _wait_for_room_here(self) -> bool:
        room, began = self._room, perf_counter()
        while not self.cancelled:
            while not room.empty():
                if not self._account(room.get()):
                    return False
            if not self._full():
                self._loaded.waited += perf_counter() - began
                return True
            self._room_waiter = waiter = asyncio.get_running_loop().create_future()
            if room.empty():  # looked at again: whoever puts something now finds the waiter
                await waiter
            self._room_waiter = None
        return False

    def _wake_loader(self) -> None:
        waiter = self._room_waiter
        if waiter is not None:
            _wake(self._loader_loop, waiter)


def _wake(loop: asyncio.AbstractEventLoop | None, waiter: asyncio.Future[None]) -> None:
    def wake() -> None:
        if not waiter.done():
            waiter.set_result(None)

    if loop is not None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(wake)


def _told(error: BaseException, batch_id: object, where: str) -> BaseException:
    """The exception that the consumer is to see: the same one, which knows its batch.

    What would end the consumer's loop in silence, or look as if the consumer was cancelled, comes as the cause of a
    RuntimeError, as generators do it.
    """
    if isinstance(error, (StopIteration, StopAsyncIteration, GeneratorExit, asyncio.CancelledError)):
        outer = RuntimeError(f"the stream's {where} raised {type(error).__name__}")
        outer.__cause__ = error
        error = outer
    with suppress(AttributeError, TypeError):  # an exception class without room for it
        error.batch_id = batch_id  # type: ignore[attr-defined]
        error.add_note(f"in the stream's {where}, at batch {batch_id!r}")
    return error


def _close(generator: Any) -> None:
    """Close a generator; what it raises then is lost, as it is when a generator is forgotten."""
    with suppress(Exception):
        generator.close()
