"""DataLoader: batches of a data set, in an order that depends on nothing but the seed and the epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np

from odyssey.data.dataset import Batch, Dataset
from odyssey.errors import FormatError

__all__ = ["DataLoader", "Transform"]

Transform: TypeAlias = Callable[[Batch, np.random.Generator], Batch]


class DataLoader:
    """Hands out a data set in batches, one epoch per iteration.

    The order of epoch e is drawn from (seed, e), and what a transform draws for batch b from (seed, e, b). There is no
    generator whose state would have to be kept: a loader is anywhere in its sequence from three numbers, and goes on
    from there to the same bits.

    Args:
        dataset: where the samples come from.
        batch_size: how many samples per batch.
        shuffle: a new order each epoch; else the data set's own.
        seed: of the orders and of the transform's draws.
        drop_last: leave out a last batch that is not full.
        transform: a function (batch, generator) -> batch, applied to each batch; for augmentation.

    An iteration that is left early and started again begins the same epoch anew; `load_state_dict` is how to go on in
    the middle.

    Example:
        >>> import numpy as np
        >>> from odyssey.data import ArrayDataset
        >>> data = ArrayDataset(np.arange(5))
        >>> [len(batch) for batch, in DataLoader(data, batch_size=2)]
        [2, 2, 1]
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int = 64,
        shuffle: bool = False,
        seed: int = 0,
        drop_last: bool = False,
        transform: Transform | None = None,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"DataLoader: expected a batch_size of at least 1, found {batch_size}")
        if seed < 0:
            raise ValueError(f"DataLoader: expected a seed that is not negative, found {seed}")
        self.dataset = dataset
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.drop_last = drop_last
        self.transform = transform
        self.epoch = 0
        self._position = 0  # batches of this epoch handed out so far
        self._resume_at = 0

    def __len__(self) -> int:
        """Batches per epoch."""
        full, rest = divmod(len(self.dataset), self.batch_size)
        return full + (1 if rest and not self.drop_last else 0)

    def __iter__(self) -> Iterator[Batch]:
        start, self._resume_at = self._resume_at, 0
        order = self._order()
        for number in range(start, len(self)):
            indices = order[number * self.batch_size : (number + 1) * self.batch_size]
            batch = self.dataset.batch(indices)
            if self.transform is not None:
                batch = self.transform(batch, np.random.default_rng((self.seed, self.epoch, number)))
            self._position = number + 1
            yield batch
        self.epoch += 1
        self._position = 0

    def _order(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        count = len(self.dataset)
        if not self.shuffle:
            return np.arange(count)
        return np.random.default_rng((self.seed, self.epoch)).permutation(count)

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
