"""The consumer's end of a run: an iterator for threads and one for an event loop."""

from __future__ import annotations

import asyncio
import os
import warnings
import weakref
from collections import deque
from queue import Empty
from threading import Lock
from time import perf_counter
from types import TracebackType
from typing import Any, Generic, TypeVar

from odyssey.bridge.stream.batch import Failure
from odyssey.bridge.stream.run import ENDED, Message, Run
from odyssey.bridge.stream.stats import Stats

__all__ = ["AsyncResults", "Results"]

R = TypeVar("R")

GRACE = 5.0  # seconds that a forgotten run is waited for: a work that takes longer is not worth a hang
TURN = 1e-3  # seconds after which a consumer that never waits lets others on its loop have their turn


class _End(Generic[R]):
    """Puts results in order, and counts what is taken."""

    def __init__(self, run: Run, *, wait: bool) -> None:
        self._run = run
        self._next = 0
        self._early: dict[int, Message] = {}
        self._source_failed: Message | None = None
        self._running = run.parts  # those that have not said that they ended
        self._ready: deque[Message] = deque()
        self._taking = Lock()
        self._told = run.began
        self._over = False
        self._finalizer = weakref.finalize(self, _forget, run, wait)

    @property
    def stats(self) -> Stats:
        """The counters as they are now."""
        return self._run.stats()

    @property
    def closed(self) -> bool:
        """Whether nothing more will come."""
        return self._over

    def _check_process(self) -> None:
        if self._run.process != os.getpid():
            raise RuntimeError(
                f"Stream: expected to be read in process {self._run.process}, which began it, found a fork\n"
                "  threads do not survive a fork: iterate over the Stream anew in the child"
            )

    def _enter(self) -> None:
        self._check_process()
        if not self._taking.acquire(blocking=False):
            raise RuntimeError(
                "Stream: expected one consumer at a time, found a second one\n"
                "  give each consumer a Stream of its own, or let one hand the results on"
            )

    def _sort(self, message: Message) -> None:
        """Take note of a message, and of those that can follow now."""
        if message is ENDED:
            self._running -= 1
        elif message.by_source:
            self._source_failed = message
        elif not self._run.settings.ordered:
            self._ready.append(message)
            self._next += 1
        elif message.number != self._next:
            self._early[message.number] = message
        else:
            self._ready.append(message)
            self._next += 1
            while self._early and (early := self._early.pop(self._next, None)) is not None:
                self._ready.append(early)
                self._next += 1
        failed = self._source_failed
        if failed is not None and failed.number == self._next:  # all before it have been sorted
            self._source_failed = None
            self._ready.append(failed)

    def _hand_out(self, message: Message) -> Any:
        """The result; or the exception, as a value of type `_Raise`."""
        run, settings = self._run, self._run.settings
        if not message.by_source:
            run.taken.count += 1
            run.taken.bytes += message.size
            run.release(message.size)
        if settings.on_status is not None:
            now = perf_counter()
            if now - self._told >= settings.status_seconds:
                self._told = now
                settings.on_status(run.stats())
        if message.error is not None:
            if settings.errors == "return" and not message.by_source:
                return Failure(message.batch_id, message.error)
            return _Raise(message.error)
        return message.value

    def _late(self, seconds: float) -> TimeoutError:
        stats = self._run.stats()
        doing = "no batch is in flight: the source gives none" if not stats.in_flight else ""
        doing = doing or f"{stats.in_flight} batches are in flight, {stats.done - stats.taken} of them done"
        return TimeoutError(
            f"Stream: expected batch {self._next} within {seconds:g} s, found none; {doing}\n"
            "  ask again to go on waiting, or give a longer timeout="
        )

    def _finish(self) -> None:
        if not self._over:
            self._over = True
            self._run.ended = perf_counter()
            self._finalizer.detach()
            if self._run.settings.on_status is not None:
                self._run.settings.on_status(self._run.stats())

    def _drop(self) -> None:
        self._ready.clear()
        self._early.clear()
        self._source_failed = None


class _Raise:
    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error = error


class Results(_End[R]):
    """The results of a run, one after the other. `iter(stream)` makes it; it may be closed at any time.

    The threads have ended and are joined when it is exhausted, when an exception comes out of it (a TimeoutError
    excepted, after which it can be asked again), when it is closed, and when it is forgotten.
    """

    def __init__(self, run: Run) -> None:
        super().__init__(run, wait=True)

    def __iter__(self) -> Results[R]:
        return self

    def __next__(self) -> R:
        if self._over:
            raise StopIteration
        self._enter()
        try:
            found = self._take()
            if found is ENDED:
                self._run.join()
                self._finish()
                raise StopIteration
            if type(found) is not _Raise:
                return found  # type: ignore[no-any-return]
        except (StopIteration, TimeoutError):
            raise
        except BaseException:  # Ctrl-C, or a status callback that failed
            self.close()
            raise
        finally:
            self._taking.release()
        self.close()
        try:
            raise found.error
        finally:
            del found  # the traceback holds this frame, which must not hold the exception in turn

    def _take(self) -> Any:
        results, timeout = self._run.results, self._run.settings.timeout
        while not self._ready:
            if not self._running:
                return ENDED
            if results.empty():
                began = perf_counter()
                try:
                    message = results.get(timeout=timeout)
                except Empty:
                    raise self._late(timeout or 0.0) from None
                finally:
                    self._run.taken.waited += perf_counter() - began
            else:
                message = results.get()
            self._sort(message)
        return self._hand_out(self._ready.popleft())

    def close(self, timeout: float | None = None) -> None:
        """End the run: what is not taken yet is dropped, and the threads are joined.

        A source or a work that is running is not interrupted: it is waited for.

        Args:
            timeout: the most seconds to wait.

        Raises:
            TimeoutError: the source or a work takes longer. The threads end when it returns.
        """
        if self._over or self._run.process != os.getpid():
            return
        self._run.cancel()
        self._drop()
        left = self._run.join(timeout)
        if left and timeout is not None:
            raise _stuck(left, timeout)
        self._finish()

    def __enter__(self) -> Results[R]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class AsyncResults(_End[R]):
    """The results of a run, for a coroutine. `aiter(stream)` makes it, on the loop that it is to be used on.

    It never holds the loop up: it waits for results, and at the end for threads, by awaiting. When it is forgotten the
    threads end by themselves, as soon as their work at hand is done; `aclose()`, or `async with stream`, waits for
    that.
    """

    def __init__(self, run: Run) -> None:
        super().__init__(run, wait=False)
        self._suspended = perf_counter()

    def __aiter__(self) -> AsyncResults[R]:
        return self

    async def __anext__(self) -> R:
        if self._over:
            raise StopAsyncIteration
        self._enter()
        try:
            found = await self._take()
            if found is ENDED:
                self._run.join()  # each has done its last act: this takes no time
                self._finish()
                raise StopAsyncIteration
            if type(found) is not _Raise:
                return found  # type: ignore[no-any-return]
        finally:
            self._taking.release()
        await self.aclose()
        try:
            raise found.error
        finally:
            del found  # the traceback holds this frame, which must not hold the exception in turn

    async def _take(self) -> Any:
        results = self._run.results
        while not self._ready:
            if not self._running:
                return ENDED
            if results.empty():
                await self._wait(self._run.settings.timeout)
            else:
                self._sort(results.get())
        if perf_counter() - self._suspended > TURN:
            await asyncio.sleep(0)  # nothing is taken yet: who is cancelled here loses no result
            self._suspended = perf_counter()
        return self._hand_out(self._ready.popleft())

    async def _wait(self, timeout: float | None) -> None:
        """Until there may be a message."""
        run = self._run
        began = perf_counter()
        run.waiter = waiter = asyncio.get_running_loop().create_future()
        try:
            if run.results.empty():  # looked at again: whoever puts something now finds the waiter
                async with asyncio.timeout(timeout):
                    await waiter
        except TimeoutError:
            raise self._late(timeout or 0.0) from None
        finally:
            run.waiter = None
            self._suspended = perf_counter()
            run.taken.waited += self._suspended - began

    async def aclose(self, timeout: float | None = None) -> None:
        """`Results.close`, awaited: the loop goes on while the threads end."""
        run = self._run
        if self._over or run.process != os.getpid():
            return
        run.cancel()
        self._drop()
        deadline = None if timeout is None else perf_counter() + timeout
        while self._running:
            if not run.results.empty():
                self._running -= run.results.get() is ENDED
                continue
            try:
                await self._wait(None if deadline is None else max(deadline - perf_counter(), 0))
            except TimeoutError:
                raise _stuck([thread for thread in run.threads if thread.is_alive()], timeout or 0.0) from None
        run.join()
        self._finish()

    async def __aenter__(self) -> AsyncResults[R]:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()


def _stuck(threads: list[Any], seconds: float) -> TimeoutError:
    names = ", ".join(thread.name for thread in threads) or "the source, which runs on the event loop"
    return TimeoutError(
        f"Stream: expected its threads to end within {seconds:g} s, found at work: {names}\n"
        "  they end when the source or the work returns; give those timeouts of their own"
    )


def _forget(run: Run, wait: bool) -> None:
    """End a run whose consumer is gone; this may run in any thread, at any moment."""
    if run.process != os.getpid():
        return
    run.cancel()
    run.ended = perf_counter()
    if wait and run.join(GRACE):
        warnings.warn(
            f"Stream: a source or a work has not returned {GRACE:g} s after its stream was forgotten; its thread ends "
            "when it does",
            ResourceWarning,
            stacklevel=2,
        )
