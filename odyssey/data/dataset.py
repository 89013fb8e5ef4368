"""Data sets: samples by number."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from odyssey.errors import ShapeError

__all__ = ["ArrayDataset", "Batch", "Dataset"]

Array = np.ndarray[Any, np.dtype[Any]]
Batch = tuple[Array, ...]


class Dataset:
    """Samples by number. A subclass defines `__len__` and `__getitem__`, and `batch` where it can do better.

    A sample is a tuple of arrays or numbers, such as (image, label); a batch is the same tuple with each part stacked.
    """

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__}: expected a __len__() method, found none; define it")

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        raise NotImplementedError(f"{type(self).__name__}: expected a __getitem__() method, found none; define it")

    def batch(self, indices: NDArray[np.int64]) -> Batch:
        """The samples of these numbers, each part stacked along a new first axis."""
        samples = [self[int(i)] for i in indices]
        return tuple(np.stack([np.asarray(part) for part in parts]) for parts in zip(*samples, strict=True))


class ArrayDataset(Dataset):
    """Arrays with one row per sample.

    Raises:
        ShapeError: the arrays do not have the same number of rows.

    Example:
        >>> import numpy as np
        >>> data = ArrayDataset(np.zeros((4, 2), np.float32), np.arange(4))
        >>> len(data), data.batch(np.array([3, 1]))[1].tolist()
        (4, [3, 1])
    """

    def __init__(self, *arrays: Array) -> None:
        if not arrays or any(a.ndim == 0 or len(a) != len(arrays[0]) for a in arrays):
            raise ShapeError(
                "ArrayDataset: expected arrays with the same number of rows, found shapes "
                + (", ".join(str(a.shape) for a in arrays) or "none")
            )
        self.arrays = arrays

    def __len__(self) -> int:
        return len(self.arrays[0])

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        return tuple(a[index] for a in self.arrays)

    def batch(self, indices: NDArray[np.int64]) -> Batch:
        """These rows of each array."""
        return tuple(a[indices] for a in self.arrays)
