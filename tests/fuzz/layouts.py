"""Arrays in strange places: any order of the axes in memory, steps, gaps, odd addresses, zero strides."""

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

FILLING = 0x4D


@dataclass
class Placed:
    """An array and the memory it lies in, to see afterwards that nothing beside the array was written."""

    array: np.ndarray
    memory: np.ndarray

    def __post_init__(self):
        self._outside = self._without_array()

    def _without_array(self):
        copy = self.memory.copy()
        if self.array.size and 0 not in self.array.strides:
            offset = self.array.__array_interface__["data"][0] - self.memory.__array_interface__["data"][0]
            inside = np.ndarray(self.array.shape, self.array.dtype, copy, offset, self.array.strides)
            inside[...] = 0
        return copy

    def intact(self):
        return np.array_equal(self._outside, self._without_array())


def place(draw, values):
    """The values somewhere in a larger memory; sometimes one slice of them, repeated by a stride of zero."""
    values = np.asarray(values)
    ndim = values.ndim
    if ndim == 0 or draw(st.integers(0, 3)) == 0:
        offset = draw(st.sampled_from([0, 0, values.itemsize, 3 * values.itemsize, 1]))
        memory = np.full(values.nbytes + 128, FILLING, np.uint8)
        start = -memory.ctypes.data % 64 + offset
        array = memory[start : start + values.nbytes].view(values.dtype) if values.nbytes else np.empty(0, values.dtype)
        array = array.reshape(values.shape)
        array[...] = values
        return Placed(array, memory)
    order = draw(st.permutations(range(ndim)))
    steps = [draw(st.sampled_from([1, 1, 1, -1, 2, -2, 3])) for _ in range(ndim)]
    gaps = [draw(st.sampled_from([0, 0, 0, 1, 3])) for _ in range(ndim)]
    sizes = [values.shape[axis] * abs(steps[axis]) + gaps[axis] for axis in order]
    offset = draw(st.sampled_from([0, 0, values.itemsize, 5 * values.itemsize, 1]))
    nbytes = int(np.prod(sizes)) * values.itemsize
    memory = np.full(nbytes + 128, FILLING, np.uint8)
    start = -memory.ctypes.data % 64 + offset
    whole = memory[start : start + nbytes].view(values.dtype) if nbytes else np.empty(0, values.dtype)
    whole = whole.reshape(sizes).transpose(np.argsort(order))
    array = whole[tuple(slice(0, values.shape[axis] * abs(steps[axis]), abs(steps[axis])) for axis in range(ndim))]
    array = array[tuple(slice(None, None, -1 if steps[axis] < 0 else 1) for axis in range(ndim))]
    array[...] = values
    return Placed(array, memory)


def repeated(draw, values):
    """The values with an axis or two of stride zero."""
    axes = draw(st.sets(st.integers(0, values.ndim - 1), min_size=1, max_size=2))
    first = values[tuple(slice(0, 1) if axis in axes else slice(None) for axis in range(values.ndim))]
    return np.broadcast_to(place(draw, first).array, values.shape)
