"""BridgedLoader: the batches of a DataLoader, made by a worker process in shared memory, read through a stream."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from time import perf_counter
from typing import Any

import numpy as np

from odyssey.bridge.shared import RingBatch, RingFeed, SharedRing
from odyssey.bridge.stream import Batch as StreamBatch
from odyssey.bridge.stream import Stream
from odyssey.bridge.stream.results import Results
from odyssey.data.dataset import Batch
from odyssey.data.loader import DataLoader
from odyssey.data.samplers import Order
from odyssey.typing import Array

__all__ = ["BridgedLoader"]

AHEAD = 4  # batches that are ready before they are asked for


class BridgedLoader(DataLoader):
    """Hands out the batches of another loader, to the bit, and takes its place in a Trainer.

    One worker process makes them for the whole run, ahead of time, across the ends of epochs too: which batch is which
    follows from its number alone, so a worker that dies is replaced and the new one goes on with the first batch that
    was not delivered. Batches are views of shared memory: each is the caller's until `keep` more have been taken, and
    then its place serves again. `close` ends the worker; forgetting the loader does, too.

    Args:
        loader: whose batches; its data set, transform and sampler go to the worker by pickling.
        keep: so many batches may be in the caller's hands at a time.
        context: how `multiprocessing` starts the worker. "spawn" begins with an empty process, which no thread or lock
            of this one can hinder.

    Attributes:
        starting: seconds until a worker's first batch was there.
        taking: seconds the caller spent in asking for the others, waiting included.

    Example:
        >>> import numpy as np
        >>> from odyssey.data import ArrayDataset
        >>> plain = DataLoader(ArrayDataset(np.arange(5)), batch_size=2)
        >>> loader = BridgedLoader(plain, context="fork")
        >>> [batch.tolist() for batch, in loader]
        [[0, 1], [2, 3], [4]]
        >>> loader.close()
    """

    def __init__(self, loader: DataLoader, keep: int = 1, context: str = "spawn") -> None:
        super().__init__(**_settings(loader))
        super().load_state_dict(loader.state_dict())
        self.starting = self.taking = 0.0
        self._crossing = _Crossing()
        self._keep, self._context = keep, context
        self._feed: RingFeed | None = None
        self._results: Results[StreamBatch] | None = None
        self._next = -1  # the number of the batch that the stream gives next

    @property
    def crossing(self) -> float:
        """Seconds spent, by the stream's thread, in taking batches over from the worker, waiting left out."""
        return self._crossing.seconds

    @property
    def restarted(self) -> int:
        """How many workers died and were replaced."""
        return 0 if self._feed is None else self._feed.restarted

    @property
    def pids(self) -> list[int]:
        """The processes that make batches now."""
        return [] if self._feed is None else self._feed.pids

    def __iter__(self) -> Iterator[Batch]:
        start, self._resume_at = self._resume_at, 0
        for number in range(start, len(self)):
            began, running = perf_counter(), self._results
            results = self._begun(self.epoch * len(self) + number)
            batch = next(results).x
            self._next += 1
            if results is running:
                self.taking += perf_counter() - began
            else:
                self.starting += perf_counter() - began
            self._position = number + 1
            yield tuple(batch.arrays.values())
        self.epoch += 1
        self._position = 0

    def close(self) -> None:
        """End the worker and the stream; the next iteration begins them anew."""
        results, feed = self._results, self._feed
        self._results = None
        if results is not None:
            results.close()
        if feed is not None:
            feed.close()

    def _begun(self, number: int) -> Results[StreamBatch]:
        """The stream, at this batch."""
        if self._results is None or self._next != number:
            self.close()
            hold = AHEAD + self._keep + 1
            ring = SharedRing(hold + 1, self._fields())
            self._feed = ring.feed(_Fill(self), count(number), hold=hold, context=self._context)
            self._results = iter(Stream(self._crossing.over(self._feed), maxsize=AHEAD))
            self._next = number
        return self._results

    def _fields(self) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
        """What a slot has to hold, as the first batch tells."""
        arrays = self.make(self.order(self.epoch), self.epoch, 0)
        rows = min(self.batch_size, len(self.dataset if self.sampler is None else self.sampler))
        return {str(i): ((rows, *array.shape[1:]), array.dtype) for i, array in enumerate(arrays)}


def _settings(loader: DataLoader) -> dict[str, Any]:
    """What decides a loader's batches, to make another one with."""
    names = ("dataset", "batch_size", "shuffle", "seed", "drop_last", "transform", "sampler")
    return {name: getattr(loader, name) for name in names}


class _Crossing:
    """Times how long batches take to come over. The stream's thread holds it, and not the loader, which can so be
    forgotten."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def over(self, feed: RingFeed) -> Iterator[RingBatch]:
        while True:
            began, waited = perf_counter(), feed.waited
            batch = next(feed, None)
            self.seconds += perf_counter() - began - (feed.waited - waited)
            if batch is None:
                return
            yield batch


class _Fill:
    """Makes the batch of a number, in the worker."""

    def __init__(self, loader: DataLoader) -> None:
        self._loader = DataLoader(**_settings(loader))
        self._epoch = -1
        self._order: Order | None = None

    def __call__(self, number: int, slot: dict[str, Array]) -> int:
        epoch, batch = divmod(number, len(self._loader))
        if self._order is None or epoch != self._epoch:
            self._epoch, self._order = epoch, self._loader.order(epoch)
        arrays = self._loader.make(self._order, epoch, batch)
        for place, array in zip(slot.values(), arrays, strict=True):
            place[: len(array)] = array
        return len(arrays[0])
