"""The loops that count a classifier's hits, in plain Python: for `odyssey.jit` to compile."""

from __future__ import annotations

from typing import Any

__all__ = ["tally"]


def tally(logits: Any, labels: Any, confusion: Any) -> int:
    """What `odyssey.training.evaluation.tally` counts, a number at a time.

    Example:
        >>> import numpy as np
        >>> confusion = np.zeros((2, 2), np.int64)
        >>> tally(np.float32([[1, 0], [1, 2], [3, 0]]), np.array([0, 1, 1]), confusion), confusion.tolist()
        (2, [[1, 0], [1, 1]])
    """
    correct = 0
    for i in range(logits.shape[0]):
        best = 0
        for j in range(1, logits.shape[1]):
            # The first of equals, and the first NaN before all numbers, as argmax has it.
            if logits[i, best] == logits[i, best] and not logits[i, j] <= logits[i, best]:
                best = j
        label = labels[i]
        confusion[label, best] += 1
        if best == label:
            correct += 1
    return correct
