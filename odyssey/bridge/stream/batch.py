"""What travels through a stream: a batch on its way in, and what stands in the place of a result that failed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

__all__ = ["Batch", "Failure", "as_batch", "nbytes"]


@dataclass(frozen=True, slots=True)
class Batch:
    """Samples that travel together.

    Attributes:
        x: the inputs; by custom an array of shape (N, ...).
        y: what belongs to them, (N, ...); None where nothing does.
        batch_id: what the batch is called in errors; a stream numbers batches from 0 on.
        timestamp: when it was loaded, in seconds of `time.monotonic`.

    Example:
        >>> import numpy as np
        >>> batch = Batch(np.zeros((32, 784), np.float32), np.zeros(32, np.int64), batch_id=7)
        >>> batch.batch_id, batch.nbytes
        (7, 100608)
    """

    x: Any
    y: Any = None
    batch_id: Any = None
    timestamp: float = field(default_factory=monotonic, compare=False)

    @property
    def nbytes(self) -> int:
        """The bytes of its arrays."""
        return nbytes(self.x) + nbytes(self.y)


@dataclass(frozen=True, slots=True)
class Failure:
    """What a stream with `errors="return"` hands out where the work on a batch raised an exception."""

    batch_id: Any
    error: BaseException


def as_batch(item: object, number: int) -> Batch:
    """An item of a source as a Batch: itself, a pair (x, y), or anything else as its `x`.

    A Batch keeps its `batch_id`; without one it gets its number.
    """
    if isinstance(item, Batch):
        return item if item.batch_id is not None else Batch(item.x, item.y, number, item.timestamp)
    if isinstance(item, tuple) and len(item) == 2:
        return Batch(item[0], item[1], number)
    return Batch(item, None, number)


def nbytes(value: object) -> int:
    """The bytes of an array, of bytes, and of all those in a tuple, a list or a mapping; 0 for what has none.

    Example:
        >>> import numpy as np
        >>> nbytes({"x": np.zeros((2, 3)), "name": b"abc", "seed": 7})
        51
    """
    size = getattr(value, "nbytes", None)
    if isinstance(size, int):
        return size
    if isinstance(value, (bytes, bytearray)):
        return len(value)
    if isinstance(value, (tuple, list)):
        return sum(map(nbytes, value))
    if isinstance(value, Mapping):
        return sum(map(nbytes, value.values()))
    return 0
