"""Batches of tokens: pieces of a long sequence, and the tokens that come next."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from odyssey.data.dataset import Batch, Dataset
from odyssey.data.samplers import Order, Sampler
from odyssey.errors import ShapeError

__all__ = ["IGNORED", "TokenNoise", "TokenWindows", "WindowSampler"]

IGNORED = -100
"""The label of places that a loss leaves out: `cross_entropy`'s `ignore_index`."""


class TokenWindows(Dataset):
    """Windows of `length` tokens and, for each place, the token that comes next.

    With `stride` left out, window i begins at token i: a `WindowSampler` says which of them make an epoch. With a
    stride, windows begin that far apart and their labels cover each token of the sequence but the first once: places
    that the window before has labelled are `IGNORED`, and serve as what comes before. A last window that would reach
    beyond the end begins earlier.

    Args:
        tokens: (n,) integers, one long sequence.
        length: tokens of a window.
        stride: see above; at most `length`.

    `batch` gives (tokens (m, length) int64, labels (m, length) int64).

    Raises:
        ShapeError: the sequence has no window.

    Example:
        >>> import numpy as np
        >>> windows = TokenWindows(np.arange(7), length=4, stride=2)
        >>> windows.batch(np.arange(len(windows)))[1].tolist()
        [[1, 2, 3, 4], [-100, -100, 5, 6]]
    """

    def __init__(self, tokens: NDArray[np.int64], length: int, stride: int | None = None) -> None:
        last = len(tokens) - 1 - length  # where the last window can begin
        if last < 0:
            raise ShapeError(
                f"TokenWindows: expected more than {length} tokens, a window and the next, found {len(tokens)}; choose "
                "a shorter window"
            )
        self.tokens = np.asarray(tokens, np.int64)
        self.length = length
        if stride is None:
            self._starts = np.arange(last + 1)
            self._known = np.zeros(last + 1, np.int64)
        else:
            starts = [*range(0, last, stride), last]
            self._starts = np.array(starts)
            self._known = np.array([0, *(length + a - b for a, b in pairwise(starts))])

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, index: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        tokens, labels = self.batch(np.array([index]))
        return tokens[0], labels[0]

    def batch(self, indices: NDArray[np.int64]) -> Batch:
        """These windows, and what comes next at each of their places."""
        places = self._starts[indices][:, None] + np.arange(self.length)
        labels = self.tokens[places + 1]
        labels[np.arange(self.length) < self._known[indices][:, None]] = IGNORED
        return self.tokens[places], labels


class WindowSampler(Sampler):
    """Windows side by side in a new order each epoch, which begin somewhere else each time.

    Args:
        size: of the data set, `TokenWindows` without a stride.
        length: of a window.

    Example:
        >>> WindowSampler(9, 4).order(seed=0, epoch=0) % 4 == WindowSampler(9, 4).order(seed=0, epoch=0)[0] % 4
        array([ True,  True])
    """

    def __init__(self, size: int, length: int) -> None:
        self.size = size
        self.length = length

    def __len__(self) -> int:
        return max((self.size - 1) // self.length, 1)

    def order(self, seed: int, epoch: int) -> Order:
        """The first place is drawn, then the order of the windows from there on."""
        generator = np.random.default_rng((seed, epoch))
        count = len(self)
        first = int(generator.integers(self.size - (count - 1) * self.length)) % self.length
        return first + self.length * generator.permutation(count).astype(np.int64)


class TokenNoise:
    """Replaces tokens that a model reads, drawn at random, by others of the text; what comes next stays.

    A model cannot then learn by heart what follows a piece of text: on little text what smoothing is to counting (Xie
    et al. 2017, "Data Noising as Smoothing in Neural Network Language Models").

    Args:
        tokens: (n,) integers, the text, whose tokens are drawn as often as they occur.
        rate: the part of the tokens to replace, in [0, 1].

    Example:
        >>> import numpy as np
        >>> ids = np.zeros((1, 4), np.int64)
        >>> TokenNoise(np.array([7]), 1.0)((ids, ids), np.random.default_rng(0))
        (array([[7, 7, 7, 7]]), array([[0, 0, 0, 0]]))
    """

    def __init__(self, tokens: NDArray[np.int64], rate: float) -> None:
        if not 0 <= rate <= 1:
            raise ValueError(f"TokenNoise: expected a rate in [0, 1], found {rate}")
        self.tokens = tokens
        self.rate = rate

    def __call__(self, batch: Batch, generator: np.random.Generator) -> Batch:
        """(tokens, labels) with other tokens among them."""
        ids, labels = batch
        others = self.tokens[generator.integers(len(self.tokens), size=ids.shape)]
        return np.where(generator.random(ids.shape) < self.rate, others, ids), labels
