"""A smoothed n-gram model: what a language model has to beat, by counting alone."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
from numpy.typing import NDArray

__all__ = ["NGram"]

Context = tuple[int, ...]


class NGram:
    """Interpolated modified Kneser-Ney smoothing of n-grams of tokens.

    The probability of a token after a context is its discounted count there, and what was discounted times its
    probability after the context without its first token. Orders below the highest count in how many contexts, not how
    often; there are three discounts an order, for counts of one, two and more, from the counts of counts. Below the
    unigrams stands the uniform distribution, so that no token has probability 0.

    Args:
        tokens: (n,) integers, the sequence to count in.
        vocabulary: how many tokens there are.
        order: n, the tokens of an n-gram.

    Example:
        >>> import numpy as np
        >>> model = NGram(np.array([0, 1, 0, 1, 0, 2, 0, 1, 2, 2, 0, 1]), vocabulary=3)
        >>> sum(model.probability((0,), token) for token in range(3)).__round__(12)
        1.0
        >>> model.probability((0,), 1) > model.probability((2,), 1)
        True

    Chen and Goodman 1998, "An Empirical Study of Smoothing Techniques for Language Modeling", section 3.
    """

    def __init__(self, tokens: NDArray[np.int64], vocabulary: int, order: int = 3) -> None:
        self.vocabulary = vocabulary
        self.order = order
        sequence = tuple(tokens.tolist())
        counts = Counter(zip(*(sequence[i:] for i in range(order)), strict=False))
        self._levels: list[_Level] = []  # by the length of the context, shortest first
        for length in range(order, 0, -1):
            self._levels.insert(0, _Level(counts))
            if length > 1:  # in how many contexts the shorter gram was seen
                counts = Counter(gram[1:] for gram in counts)

    def probability(self, context: Context, token: int) -> float:
        """Of a token after others, the last of which counts first. Long contexts are cut."""
        probability = 1.0 / self.vocabulary
        for length, level in enumerate(self._levels[: len(context) + 1]):
            seen = context[len(context) - length :]
            if seen not in level.left:
                break
            probability = level.kept.get((*seen, token), 0.0) + level.left[seen] * probability
        return probability

    def loss(self, tokens: NDArray[np.int64]) -> float:
        """The mean of -log(probability) of each token of a sequence but the first, in nats."""
        sequence = tuple(tokens.tolist())
        history = self.order - 1
        found = [self.probability(sequence[max(0, i - history) : i], sequence[i]) for i in range(1, len(sequence))]
        return float(-np.log(found).mean())


class _Level:
    """The n-grams of one n: `kept`, what each one's discounted count makes of a probability, and `left`, what the
    discounts leave for the shorter ones, by context."""

    def __init__(self, counts: Counter[Context]) -> None:
        discounts = _discounts(Counter(counts.values()))
        total: dict[Context, int] = defaultdict(int)
        taken: dict[Context, float] = defaultdict(float)
        for gram, count in counts.items():
            total[gram[:-1]] += count
            taken[gram[:-1]] += discounts[min(count, 3)]
        self.left = {context: taken[context] / total[context] for context in total}
        self.kept = {gram: (count - discounts[min(count, 3)]) / total[gram[:-1]] for gram, count in counts.items()}


def _discounts(how_many: Counter[int]) -> tuple[float, float, float, float]:
    """Of counts of 0, 1, 2 and more, each below the count; `how_many` n-grams have each count."""
    one, two, three, four = (how_many[count] for count in (1, 2, 3, 4))
    if not (one and two and three and four):  # too little to tell
        return 0.0, 0.5, 0.5, 0.5
    y = one / (one + 2 * two)
    return 0.0, 1 - 2 * y * two / one, max(2 - 3 * y * three / two, 0.0), max(3 - 4 * y * four / three, 0.0)
