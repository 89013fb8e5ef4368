"""The arguments of one call of an operation, and the ways its arrays may lie in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from odyssey.typing import Array

__all__ = ["LAYOUTS", "Call", "call"]


class Call(NamedTuple):
    """Positional and keyword arguments."""

    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = MappingProxyType({})

    def fresh(self, layout: str = "contiguous") -> Call:
        """The same values in arrays of their own, laid out in memory in the way of that name."""
        lay = LAYOUTS[layout]
        return Call(
            tuple(lay(value) if isinstance(value, np.ndarray) else value for value in self.args),
            {name: lay(value) if isinstance(value, np.ndarray) else value for name, value in self.kwargs.items()},
        )


def call(*args: Any, **kwargs: Any) -> Call:
    """The arguments, written as one would write them in a call."""
    return Call(args, kwargs)


def _contiguous(array: Array) -> Array:
    return np.array(array, order="C")


def _misaligned(array: Array) -> Array:
    """Contiguous, on an address that is a multiple of the element's size and of nothing more."""
    memory = np.empty(array.size + 16, array.dtype)
    start = 1 - (memory.ctypes.data // array.itemsize) % 16
    result: Array = memory[start % 16 : start % 16 + array.size].reshape(array.shape)
    result[...] = array
    return result


def _strided(array: Array) -> Array:
    """Every other element of a larger array, along the last axis."""
    if array.ndim == 0:
        return _contiguous(array)
    memory = np.full((*array.shape[:-1], 2 * array.shape[-1]), 77, array.dtype)
    result: Array = memory[..., ::2]
    result[...] = array
    return result


def _padded_rows(array: Array) -> Array:
    """Rows contiguous in themselves but not among each other."""
    if array.ndim == 0:
        return _contiguous(array)
    memory = np.full((*array.shape[:-1], array.shape[-1] + 3), 77, array.dtype)
    result: Array = memory[..., 1:-2]
    result[...] = array
    return result


def _reversed(array: Array) -> Array:
    """Negative strides along every axis."""
    if array.ndim == 0:
        return _contiguous(array)
    backwards = (slice(None, None, -1),) * array.ndim
    return np.array(array[backwards], order="C")[backwards]


def _fortran(array: Array) -> Array:
    """The first axis fastest, as a transposed matrix lies."""
    return np.array(array, order="F")


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "contiguous": _contiguous,
    "misaligned": _misaligned,
    "strided": _strided,
    "padded_rows": _padded_rows,
    "reversed": _reversed,
    "fortran": _fortran,
}
