"""Writes to memory that the tape may still need.

A node saves arrays that its backward reads: if an in-place operation overwrites one of them first, the gradient would
be wrong without a word. Counting versions on every Tensor would tell, at a price for every operation. Here operations
pay nothing and writes do: a write takes the next number of the sequence that numbers the nodes and is noted with the
place it was to. Only a node with a lower number than the last write looks whether any of what it saved was meant, and
it goes by memory, so that a view, a detached Tensor or another library's array over the same bytes is seen too, and the
next column of a cache is not in the way.

What is not seen: writes past these operations, such as `x.data[...] = 0` or a kernel's `out=x.data`.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from odyssey._kernels.array import Block
from odyssey._kernels.tape import Node, note_write
from odyssey.tensor.tape import Array, operation_name

__all__ = ["check_saved", "written"]

Place: TypeAlias = "tuple[int, tuple[int, ...], tuple[int, ...] | None, str]"

# Writes to more places of one array than this are taken as one to all of it.
MOST_PLACES = 256

# The owner of memory that is not NumPy's, whose end nobody tells of: of writes there the latest are remembered.
_ELSEWHERE: Array = np.empty(0)

# By the id of the array that owns the memory: a reference that ends the entry with the array, and the places' numbers.
# The place None is all of the array.
_written: dict[int, tuple[weakref.ref[Array], dict[Place | None, int]]] = {}


def written(array: Array, whole: bool = False) -> None:
    """Note that the elements of `array` have just been given other values; with `whole`, all that it is a view of,
    which is quicker told."""
    owner = _owner(array)
    key = id(owner)
    if key not in _written:
        _written[key] = weakref.ref(owner, partial(_forget, key)), {}
    places = _written[key][1]
    place = None if whole and owner is not _ELSEWHERE else _place(array)
    if place not in places and len(places) >= MOST_PLACES:
        if owner is _ELSEWHERE:
            del places[min(places, key=places.__getitem__)]
        else:
            places.clear()
            place = None
    places[place] = note_write()


def check_saved(node: Node) -> None:
    """Make sure that what `node` saved for its backward still has the values it had.

    Raises:
        RuntimeError: it does not.
    """
    since = [
        place
        for owner, places in list(_written.values())
        for one, number in list(places.items())
        if number > node.number and (place := _whole(owner) if one is None else one) is not None
    ]
    if not since:
        return
    for array in _arrays(node.saved):
        for place in since:
            if _meet(array, place):
                name = operation_name(node)
                raise RuntimeError(
                    f"backward: expected the values that {name} was computed with, found them overwritten: an array of "
                    f"shape {array.shape} that it saved was changed in place afterwards\n"
                    f"  remedy: write x = x + y instead of x += y, or change a copy: x.clone()"
                )


def _owner(array: Array) -> Array:
    """The array whose memory it is: writes are remembered as long as that lives."""
    base: Any = array
    while isinstance(base, (np.ndarray, memoryview)):
        if isinstance(base, np.ndarray):
            array = base
        base = base.obj if isinstance(base, memoryview) else base.base
    return array if base is None or type(base) is Block else _ELSEWHERE


def _forget(key: int, _: object) -> None:
    _written.pop(key, None)


def _place(array: Array) -> Place:
    interface = array.__array_interface__
    return interface["data"][0], interface["shape"], interface["strides"], interface["typestr"]


def _whole(owner: weakref.ref[Array]) -> Place | None:
    array = owner()
    return None if array is None else _place(array)


def _meet(array: Array, place: Place) -> bool:
    data, shape, strides, typestr = place
    interface = {"version": 3, "data": (data, True), "shape": shape, "strides": strides, "typestr": typestr}
    there = np.asarray(_There(interface))
    work: Any = 1 << 16  # NumPy's stubs know of 0 and -1 alone
    try:
        return np.shares_memory(array, there, max_work=work)
    except np.exceptions.TooHardError:
        return True


class _There:
    """Memory that an array once stood for. It is compared, never read: it may be gone."""

    def __init__(self, interface: dict[str, Any]) -> None:
        self.__array_interface__ = interface


def _arrays(saved: Any) -> Iterator[Array]:
    if isinstance(saved, np.ndarray):
        yield saved
    elif isinstance(saved, (tuple, list)):
        for part in saved:
            yield from _arrays(part)
    elif isinstance(saved, dict):
        yield from _arrays(list(saved.values()))
