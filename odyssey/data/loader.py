"""DataLoader: batches of a data set, in an order that depends on nothing but the seed and the epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from odyssey.data.dataset import Batch, Dataset
from odyssey.data.prefetch import prefetched
from odyssey.data.samplers import Order, RandomSampler, Sampler, SequentialSampler
from odyssey.errors import FormatError, ShapeError

__all__ = ["DataLoader", "Transform"]

Transform: TypeAlias = Callable[[Batch, np.random.Generator], Batch]


class DataLoader:
    """Hands out a data set in batches, one epoch per iteration.

    The order of epoch e is drawn from (seed, e), and what a transform draws for batch b from (seed, e, b). There is no
    generator whose state would have to be kept: a loader is anywhere in its sequence from three numbers, and goes on
    from there to the same bits.

    With workers, threads of this process prepare the batches that come next while the caller computes. Order and bits
    stay as they are without. The data set and the transform are then called from several threads at once; those of
    odyssey can be, and much of their work is done without the GIL. An error in a worker is raised where its batch is
    due, with the worker's traceback; leaving the iteration in any way (`break`, an error, Ctrl-C, forgetting it) ends
    the threads.

    Args:
        dataset: where the samples come from.
        batch_size: how many samples per batch.
        shuffle: a new order each epoch; else the data set's own.
        seed: of the orders and of the transform's draws.
        drop_last: leave out a last batch that is not full.
        transform: a function (batch, generator) -> batch, applied to each batch; for augmentation.
        sampler: the order, where neither of these two will do; see `odyssey.data.samplers`.
        workers: how many threads prepare batches; 0 prepares each when it is asked for.
        prefetch: how many batches may be in preparation or ready, and so in memory, at a time; by default two for each
            worker.

    An iteration that is left early and started again begins the same epoch anew; `load_state_dict` is how to go on in
    the middle.

    Raises:
        ValueError: for senseless settings.
        ShapeError, IndexError: at the beginning of an epoch, when the sampler's order does not fit the data set.

    Example:
        >>> import numpy as np
        >>> from odyssey.data import ArrayDataset
        >>> data = ArrayDataset(np.arange(5))
        >>> [len(batch) for batch, in DataLoader(data, batch_size=2)]
        [2, 2, 1]
        >>> [batch.tolist() for batch, in DataLoader(data, batch_size=2, workers=2)]
        [[0, 1], [2, 3], [4]]
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int = 64,
        shuffle: bool = False,
        seed: int = 0,
        drop_last: bool = False,
        transform: Transform | None = None,
        sampler: Sampler | None = None,
        workers: int = 0,
        prefetch: int | None = None,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"DataLoader: expected a batch_size of at least 1, found {batch_size}")
        if seed < 0:
            raise ValueError(f"DataLoader: expected a seed that is not negative, found {seed}")
        if sampler is not None and shuffle:
            raise ValueError("DataLoader: expected shuffle or a sampler, found both; the sampler alone orders them")
        if workers < 0 or (prefetch is not None and prefetch < 1):
            raise ValueError(
                f"DataLoader: expected workers from 0 and prefetch from 1 on, found {workers} and {prefetch}"
            )
        self.dataset = dataset
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.drop_last = drop_last
        self.transform = transform
        self.sampler = sampler
        self.workers = workers
        self.prefetch = 2 * workers if prefetch is None else prefetch
        self.epoch = 0
        self._position = 0  # batches of this epoch handed out so far
        self._resume_at = 0

    def __len__(self) -> int:
        """Batches per epoch."""
        full, rest = divmod(len(self.dataset if self.sampler is None else self.sampler), self.batch_size)
        return full + (1 if rest and not self.drop_last else 0)

    def __iter__(self) -> Iterator[Batch]:
        start, self._resume_at = self._resume_at, 0
        numbers = range(start, len(self))
        make = partial(self.make, self.order(self.epoch), self.epoch)
        if self.workers and numbers:
            batches = prefetched(make, numbers, self.workers, self.prefetch)
        else:
            batches = map(make, numbers)
        for number, batch in zip(numbers, batches, strict=True):
            self._position = number + 1
            yield batch
        self.epoch += 1
        self._position = 0

    def make(self, order: Order, epoch: int, number: int) -> Batch:
        """Batch `number` of an epoch, whose order is given: a function of its arguments, so that any thread, and any
        copy of the loader in another process, may call it at any time."""
        try:
            batch = self.dataset.batch(order[number * self.batch_size : (number + 1) * self.batch_size])
            if self.transform is not None:
                batch = self.transform(batch, np.random.default_rng((self.seed, epoch, number)))
        except Exception as error:
            error.add_note(f"DataLoader: while making batch {number} of epoch {epoch}, seed {self.seed}")
            raise
        return batch

    def order(self, epoch: int) -> Order:
        """The numbers of the samples in the order of an epoch.

        Raises:
            ShapeError, IndexError: the sampler's order does not fit the data set.
        """
        count = len(self.dataset)
        if self.sampler is None:
            sampler = RandomSampler(count) if self.shuffle else SequentialSampler(count)
            return sampler.order(self.seed, epoch)
        order = self.sampler.order(self.seed, epoch)
        name = type(self.sampler).__name__
        if order.shape != (len(self.sampler),):
            raise ShapeError(
                f"{name}: expected an order of {len(self.sampler)} samples, as its len says, found {order.shape}"
            )
        if order.size and not (order.min() >= 0 and order.max() < count):
            raise IndexError(
                f"{name}: expected sample numbers from 0 to {count - 1}, found {order.min()} to {order.max()}; "
                "make it for this data set"
            )
        return order

    def state_dict(self) -> dict[str, int]:
        """Where the loader is: the epoch, and how many of its batches it has handed out."""
        return {"epoch": self.epoch, "batch": self._position, "seed": self.seed, "batch_size": self.batch_size}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken: the next iteration starts with the batch after.

        Raises:
            FormatError: the state is not a loader's, or of one with another seed or batch size.
        """
        for name in ("epoch", "batch", "seed", "batch_size"):
            if not isinstance(state.get(name), int) or state[name] < 0:
                raise FormatError(f"DataLoader: expected a number {name!r} in the state, found {state.get(name)!r}")
        for name in ("seed", "batch_size"):
            if state[name] != getattr(self, name):
                raise FormatError(
                    f"DataLoader: expected the state of a loader with {name}={getattr(self, name)}, "
                    f"found {state[name]}; make the loader as it was made then"
                )
        if state["batch"] > len(self):
            raise FormatError(
                f"DataLoader: expected at most {len(self)} batches handed out, found {state['batch']}; "
                "is it the same data set?"
            )
        self.epoch = state["epoch"]
        self._position = self._resume_at = state["batch"]
