"""Work done ahead by threads: the results in order, a bounded number of them in memory."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

__all__ = ["prefetched"]

T = TypeVar("T")


def prefetched(make: Callable[[int], T], numbers: Sequence[int], workers: int, ahead: int) -> Iterator[T]:
    """make(number) for each number, in order, computed by threads.

    At most `ahead` results are in the making or wait to be taken, beside the one that the caller holds. A call's error
    is raised in the place of its result, after all the results before it. When the iterator is closed, forgotten or
    interrupted, calls that have not begun are dropped and those that have are waited for.

    `make` runs in a copy of the caller's context (`np.errstate`, for one), and may be called again for a number: after
    a fork the child has none of the threads, and begins with threads of its own at the number that it needs next.

    Example:
        >>> list(prefetched(lambda number: number**2, range(5), workers=2, ahead=3))
        [0, 1, 4, 9, 16]
    """
    taken = 0
    while taken < len(numbers):
        process = os.getpid()
        pool = ThreadPoolExecutor(min(workers, ahead), "odyssey-data")
        waiting: deque[Future[T]] = deque()
        try:
            _begin(pool, waiting, make, numbers[taken : taken + ahead])
            while taken < len(numbers) and os.getpid() == process:
                result = waiting.popleft().result()
                taken += 1
                _begin(pool, waiting, make, numbers[taken + len(waiting) : taken + ahead])
                yield result
                del result  # it is the caller's: it must not stay in memory while the next one is waited for
        finally:
            if os.getpid() == process:
                pool.shutdown(cancel_futures=True)


def _begin(
    pool: ThreadPoolExecutor, waiting: deque[Future[T]], make: Callable[[int], T], numbers: Sequence[int]
) -> None:
    for number in numbers:
        waiting.append(pool.submit(copy_context().run, make, number))
