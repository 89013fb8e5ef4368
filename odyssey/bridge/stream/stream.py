"""`Stream`: loading, computing and consuming at the same time, over a bounded number of batches."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterable, Callable, Iterable
from types import TracebackType
from typing import Any, Generic, TypeVar

from odyssey.bridge.stream.batch import Batch
from odyssey.bridge.stream.results import AsyncResults, Results
from odyssey.bridge.stream.run import Run, Settings
from odyssey.bridge.stream.stats import Stats

__all__ = ["Stream"]

R = TypeVar("R")


class Stream(Generic[R]):
    """The results of `work` on the batches of a source: loaded by a thread, computed by others, taken by `for`.

    A Stream can be read by `for` and by `async for`, more than once if its source can: each loop is a run of its own.
    Kernels release the GIL, so loading, computing and the consumer (an event loop, for one) go on at the same time.
    Python code that holds the GIL does not gain by threads: see docs/guides/stream.md.

    Args:
        source: an iterable of batches, or an asynchronous one. An item is a `Batch`, a pair (x, y), or anything else,
            which becomes a Batch's `x`. An iterable is read by a thread; an asynchronous one on the consumer's event
            loop, or, for a consumer without one, on a loop of the loader's thread.
        work: called with each Batch, by threads; what it returns is the result. None: the batches are the results.
        maxsize: so many batches at most are loaded and not taken by the consumer yet, whether they wait, are worked on,
            or done. Default: two for each worker.
        workers: how many threads call `work`.
        ordered: results in the order of the source; otherwise as they are completed.
        max_bytes: nothing is loaded while so many bytes or more are in flight (`stream.nbytes` of a batch, and of its
            result after the work). A batch that is larger by itself travels alone.
        timeout: the most seconds that the consumer waits for a result: then TimeoutError, and it may ask again.
        errors: "raise": an exception in `work` comes out at the consumer in the place of the result, and ends the run.
            "return": a `Failure` is handed out, and the run goes on.
        on_status: called with `Stats` by the consumer's thread when it takes a result, every `status_seconds` at most,
            and at the end.
        status_seconds: how often at most.

    Raises:
        ValueError: for a setting out of range.
        TypeError: for a source that cannot be iterated over, or work that cannot be called.

    An exception of the source or of `work` keeps its type; it has an attribute `batch_id` and a note with it. An
    exception of the source comes after all the results before it. What would end a loop in silence, such as
    StopIteration, comes as a RuntimeError.

    Example:
        >>> import numpy as np, odyssey as od
        >>> batches = ((np.full((2, 3), number, np.float32), None) for number in range(3))
        >>> stream = Stream(batches, lambda batch: float(od.sum(batch.x)), maxsize=4, workers=2)
        >>> list(stream)
        [0.0, 6.0, 12.0]
        >>> stream.stats.taken
        3
    """

    def __init__(
        self,
        source: Iterable[Any] | AsyncIterable[Any],
        work: Callable[[Batch], R] | None = None,
        maxsize: int | None = None,
        workers: int = 1,
        *,
        ordered: bool = True,
        max_bytes: int | None = None,
        timeout: float | None = None,
        errors: str = "raise",
        on_status: Callable[[Stats], object] | None = None,
        status_seconds: float = 1.0,
    ) -> None:
        if not isinstance(source, (Iterable, AsyncIterable)):
            raise TypeError(
                f"Stream: expected a source to iterate over, found {type(source).__name__}\n"
                "  a function that yields is one when it is called: Stream(batches(), ...)"
            )
        if work is not None and not callable(work):
            raise TypeError(f"Stream: expected work to be called with a Batch, found {type(work).__name__}")
        for name, value in (("workers", workers), ("maxsize", maxsize), ("max_bytes", max_bytes)):
            if value is not None and value < 1:
                raise ValueError(f"Stream: expected {name} to be 1 or more, found {value}")
        if timeout is not None and not timeout > 0:
            raise ValueError(
                f"Stream: expected timeout to be more than 0 seconds, found {timeout}; None waits for ever"
            )
        if errors not in ("raise", "return"):
            raise ValueError(f"Stream: expected errors to be 'raise' or 'return', found {errors!r}")
        self._source = source
        self._settings = Settings(
            work=work, maxsize=maxsize or 2 * workers, workers=workers, ordered=ordered, max_bytes=max_bytes,
            timeout=timeout, errors=errors, on_status=on_status, status_seconds=status_seconds,
        )  # fmt: skip
        self._open: weakref.WeakSet[Results[R] | AsyncResults[R]] = weakref.WeakSet()
        self._latest: Run | None = None

    def __iter__(self) -> Results[R]:
        self._latest = run = Run(self._source, self._settings)
        results: Results[R] = Results(run)
        self._open.add(results)
        return results

    def __aiter__(self) -> AsyncResults[R]:
        self._latest = run = Run(self._source, self._settings, asyncio.get_running_loop())
        results: AsyncResults[R] = AsyncResults(run)
        self._open.add(results)
        return results

    @property
    def stats(self) -> Stats:
        """The counters of the run that was begun last; zeros before the first."""
        return self._latest.stats() if self._latest else Stats()

    def close(self, timeout: float | None = None) -> None:
        """End every run of this stream that `for` began, as `Results.close` does."""
        for results in list(self._open):
            if isinstance(results, Results):
                results.close(timeout)

    async def aclose(self, timeout: float | None = None) -> None:
        """End every run of this stream."""
        for results in list(self._open):
            if isinstance(results, AsyncResults):
                await results.aclose(timeout)
        self.close(timeout)

    def __enter__(self) -> Stream[R]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Stream[R]:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()
