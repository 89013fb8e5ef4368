"""Samplers: the order in which samples are seen, as a function of a seed and an epoch.

A sampler keeps no generator and no place in its sequence: `order(seed, epoch)` gives the whole of an epoch's order, the
same one every time it is asked. That is why a loader with any of them resumes from three numbers. `DataLoader` passes
its own seed and epoch.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from odyssey.errors import ShapeError

__all__ = ["RandomSampler", "Sampler", "SequentialSampler", "ShardSampler", "StratifiedSampler", "WeightedSampler"]

Order: TypeAlias = NDArray[np.int64]


class Sampler:
    """The order of an epoch. A subclass defines `__len__`, the samples an epoch has, and `order`."""

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__}: expected a __len__() method, found none; define it")

    def order(self, seed: int, epoch: int) -> Order:
        """The numbers of the samples of this epoch, as many as `len` says; a function of the arguments alone."""
        raise NotImplementedError(f"{type(self).__name__}: expected an order() method, found none; define it")


class SequentialSampler(Sampler):
    """All samples in their own order.

    Example:
        >>> SequentialSampler(3).order(seed=0, epoch=5).tolist()
        [0, 1, 2]
    """

    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size

    def order(self, seed: int, epoch: int) -> Order:
        """0, 1, 2, ..."""
        return np.arange(self.size, dtype=np.int64)


class RandomSampler(Sampler):
    """All samples in a new order each epoch; or with replacement, when a sample may come twice and another not at all.

    Args:
        size: of the data set.
        replacement: draw each sample from all of them.
        num_samples: how many an epoch has; all of them by default. More than `size` only with replacement.

    Raises:
        ValueError: for more samples than there are, without replacement.

    Example:
        >>> sampler = RandomSampler(4)
        >>> sorted(sampler.order(seed=0, epoch=1).tolist())
        [0, 1, 2, 3]
    """

    def __init__(self, size: int, replacement: bool = False, num_samples: int | None = None) -> None:
        self.size = size
        self.replacement = replacement
        self.num_samples = size if num_samples is None else num_samples
        if self.num_samples < 0 or (self.num_samples > size and not (replacement and size)):
            raise ValueError(
                f"RandomSampler: expected num_samples from 0 to {size}, found {num_samples}; "
                "replacement=True draws more"
            )

    def __len__(self) -> int:
        return self.num_samples

    def order(self, seed: int, epoch: int) -> Order:
        """A permutation, or its beginning, or independent draws."""
        generator = np.random.default_rng((seed, epoch))
        if self.replacement:
            return generator.integers(0, self.size, self.num_samples)
        return generator.permutation(self.size)[: self.num_samples]


class WeightedSampler(Sampler):
    """Samples drawn in proportion to weights: the cure for classes of unlike size.

    Args:
        weights: (N,) numbers from 0 on, one for each sample; they need not sum to 1.
        num_samples: how many an epoch has; N by default.
        replacement: draw each from all; else none comes twice in an epoch.

    Raises:
        ShapeError: the weights are not one axis of numbers.
        ValueError: a weight is negative or not finite, or all are 0, or there are fewer than num_samples to draw.

    Example:
        >>> labels = np.array([0, 0, 0, 1])
        >>> sampler = WeightedSampler(1 / np.bincount(labels)[labels], num_samples=1000)
        >>> round(float(labels[sampler.order(seed=0, epoch=0)].mean()), 1)
        0.5
    """

    def __init__(self, weights: ArrayLike, num_samples: int | None = None, replacement: bool = True) -> None:
        self.weights = np.array(weights, np.float64)
        if self.weights.ndim != 1:
            raise ShapeError(f"WeightedSampler: expected weights (N,), found {self.weights.shape}")
        if not np.all(np.isfinite(self.weights) & (self.weights >= 0)) or not self.weights.any():
            raise ValueError("WeightedSampler: expected finite weights from 0 on, and one above 0, found others")
        self.num_samples = len(self.weights) if num_samples is None else num_samples
        self.replacement = replacement
        most = int(np.count_nonzero(self.weights))
        if self.num_samples < 0 or (self.num_samples > most and not replacement):
            raise ValueError(
                f"WeightedSampler: expected num_samples from 0 to {most}, the weights above 0, found "
                f"{self.num_samples}; replacement=True draws more"
            )

    def __len__(self) -> int:
        return self.num_samples

    def order(self, seed: int, epoch: int) -> Order:
        """Draws by the weights."""
        generator = np.random.default_rng((seed, epoch))
        if not self.replacement:
            shares = self.weights / self.weights.sum()
            chosen: Order = generator.choice(len(shares), self.num_samples, replace=False, p=shares)
            return chosen
        sums = np.cumsum(self.weights)
        return np.asarray(np.searchsorted(sums, generator.random(self.num_samples) * sums[-1], side="right"))


class StratifiedSampler(Sampler):
    """All samples in a new order each epoch, with every class spread evenly over it.

    Of a class with n of the N samples, one falls in each of n equal parts of the epoch, at a random place in it. So any
    first m samples hold m n / N of the class but for a difference below 1 + C n / N with C classes; with classes of
    one size each run of C samples holds every class once.

    Args:
        labels: (N,) the class of each sample.

    Raises:
        ShapeError: the labels are not one axis of numbers.

    Example:
        >>> labels = np.array([0, 0, 0, 1, 1, 1])
        >>> sorted(labels[StratifiedSampler(labels).order(seed=0, epoch=0)][:2].tolist())
        [0, 1]
    """

    def __init__(self, labels: ArrayLike) -> None:
        classes = np.asarray(labels)
        if classes.ndim != 1:
            raise ShapeError(f"StratifiedSampler: expected labels (N,), found {classes.shape}")
        _, self._classes, counts = np.unique(classes, return_inverse=True, return_counts=True)
        self._size_of_class = counts[self._classes]
        self._first_of_class = np.cumsum(counts) - counts

    def __len__(self) -> int:
        return len(self._classes)

    def order(self, seed: int, epoch: int) -> Order:
        """The samples by their places in the epoch."""
        generator = np.random.default_rng((seed, epoch))
        shuffled = generator.permutation(len(self))
        by_class = shuffled[np.argsort(self._classes[shuffled], kind="stable")]  # each class together, in random order
        rank = np.arange(len(self)) - self._first_of_class[self._classes[by_class]]
        place = (rank + generator.random(len(self))) / self._size_of_class[by_class]
        return np.asarray(by_class[np.argsort(place, kind="stable")])


class ShardSampler(Sampler):
    """One process's share of another sampler's order, when several train on one data set.

    Process r of k takes samples r, r + k, r + 2k, ... of the order. Every process needs the same seed. All shares have
    one length, so that nobody waits for a partner who is done: the first samples of the order come once more at its end
    where the number does not divide, or with `drop_last` the last ones are left out.

    Args:
        sampler: the order of all.
        rank: which process this is, from 0 on.
        ranks: how many there are.
        drop_last: leave samples out rather than repeat some.

    Raises:
        ValueError: for a rank that is none.

    Example:
        >>> [ShardSampler(SequentialSampler(5), rank, 2).order(0, 0).tolist() for rank in range(2)]
        [[0, 2, 4], [1, 3, 0]]
    """

    def __init__(self, sampler: Sampler, rank: int, ranks: int, drop_last: bool = False) -> None:
        if not 0 <= rank < ranks:
            raise ValueError(f"ShardSampler: expected a rank from 0 to {ranks - 1}, found {rank} of {ranks}")
        self.sampler = sampler
        self.rank = rank
        self.ranks = ranks
        self.drop_last = drop_last

    def __len__(self) -> int:
        size = len(self.sampler)
        return size // self.ranks if self.drop_last else -(-size // self.ranks)

    def order(self, seed: int, epoch: int) -> Order:
        """Every `ranks`-th sample of the whole order."""
        whole = self.sampler.order(seed, epoch)
        total = len(self) * self.ranks
        return np.resize(whole, total)[self.rank :: self.ranks] if total else whole[:0]
