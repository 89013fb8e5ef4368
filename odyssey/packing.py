"""Weights laid out once for many products: `pack`, and what it returns."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, TypeAlias

import numpy as np

from odyssey.errors import DTypeError, ShapeError, describe, explain
from odyssey.memory_pool import aligned_empty
from odyssey.typing import Array, ArrayLike

__all__ = ["PackedWeight", "pack", "pack_side_by_side"]

FORMATS: Final = ("float32", "float64", "bfloat16", "float16", "int8")
PANEL_BYTES = 256  # of float32 or float64: kernels.h's ODY_PANEL_BYTES
LINE = 64  # bytes, of a cache line and of the longest vector
HUGE_PAGE = 2 << 20
LARGE = 16 * HUGE_PAGE  # from here on what stands behind the last of an array's huge pages is little

_Allocate: TypeAlias = Callable[[tuple[int, ...], Any], Array]


class PackedWeight:
    """The weights of a linear layer in the order in which a product reads them; made by `odyssey.pack`.

    Attributes:
        shape: (out, in), as the weights were given.
        dtype: what is stored: "float32", "float64", "bfloat16", "float16" or "int8".
        nbytes: the bytes they take, padding and scales included.
    """

    __slots__ = ("dtype", "panels", "scale", "shape")

    def __init__(self, shape: tuple[int, int], dtype: str, panels: Array, scale: Array | None = None) -> None:
        self.shape = shape
        self.dtype = dtype
        self.panels = panels
        self.scale = scale

    @property
    def nbytes(self) -> int:
        """The bytes of the panels and the scales."""
        return self.panels.nbytes + (0 if self.scale is None else self.scale.nbytes)

    def parts(self) -> tuple[Array, Array | None]:
        """(out, in) numbers as the kernel widens them, and for int8 the scale of each row."""
        outputs, inputs = self.shape
        panels, depth, width = self.panels.shape[:3]
        if self.dtype == "bfloat16":
            stored = self.panels.transpose(0, 2, 1, 3).reshape(panels * width, 2 * depth)[:outputs, :inputs]
            return (stored.astype(np.uint32) << 16).view(np.float32), None
        stored = self.panels.transpose(0, 2, 1).reshape(panels * width, depth)[:outputs]
        return stored.astype(np.float64 if self.dtype == "float64" else np.float32), self.scale

    def unpack(self) -> Array:
        """The weights that products are computed with: (out, in), float32, or float64 where that is stored."""
        numbers, scale = self.parts()
        return numbers if scale is None else numbers * scale[:, None]

    def rows(self, indices: Array) -> Array:
        """The rows of `unpack()` that integers of any shape name, without unpacking the others.

        >>> od.pack(np.float32([[1, 2], [3, 4], [5, 6]])).rows(np.array([2, 0]))
        array([[5., 6.],
               [1., 2.]], dtype=float32)
        """
        width = self.panels.shape[2]
        found = self.panels[indices // width, :, indices % width]
        if self.dtype == "bfloat16":
            found = found.reshape(*found.shape[:-2], -1)[..., : self.shape[1]]
            return (found.astype(np.uint32) << 16).view(np.float32)
        numbers = found.astype(np.float64 if self.dtype == "float64" else np.float32)
        return numbers if self.scale is None else numbers * self.scale[indices][..., None]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """As `unpack` gives them."""
        if copy is False:
            raise ValueError("a packed weight becomes an array by a copy only")
        return self.unpack().astype(dtype or np.float32, copy=False) if dtype else self.unpack()

    def __repr__(self) -> str:
        return f"PackedWeight({self.shape}, {self.dtype}, {self.nbytes} bytes)"


def pack(weight: ArrayLike, dtype: str | None = None) -> PackedWeight:
    """Lay out weights once for repeated `linear`, and round them to a narrower type on the way.

    Args:
        weight: (out, in), float32 or float64, or already float16 or (ml_dtypes) bfloat16.
        dtype: what to store: "float32", "float64", "bfloat16", "float16", or "int8" with a scale for each row; None for
            weight's own. float64 weights are stored as float64 only.

    Returns:
        A `PackedWeight`, to be given to `linear` instead of the array. Its `unpack` gives back the weights as products
        see them.

    Narrower types are rounded to nearest even. int8 is symmetric: a row's scale is its largest magnitude / 127, in
    float32, and its integers are round(weight / scale); a row of zeros has the scale 0.

    Raises:
        DTypeError: for weights of another type, or a dtype that they cannot be stored as.
        ShapeError: unless weight has two axes.
        ValueError: for an unknown dtype; for int8, if weight holds NaN or infinity.

    >>> w = od.pack(np.float32([[1, 2], [3, -4]]), "bfloat16")
    >>> od.linear(np.float32([1, 10]), w)
    array([ 21., -37.], dtype=float32)
    """
    return _pack(weight, dtype, _empty)


def pack_side_by_side(weights: Iterable[ArrayLike], count: int, dtype: str | None = None) -> Iterator[PackedWeight]:
    """What `pack` makes of each, one after another, in one block of memory.

    A matrix of an expert is a few megabytes, of which huge pages would hold the inner part only; of a block of all of
    a layer's experts they hold everything. Reading weights at the memory's speed asks for that: with small pages a
    look-up of one interrupts every 4 KiB.

    Args:
        weights: of one shape, each as `pack` takes it.
        count: how many there are.
        dtype: as for `pack`.

    Returns:
        An iterator; what was packed may be let go of before the next one is asked for.
    """
    empty = _Block(count).empty
    return (_pack(weight, dtype, empty) for weight in weights)


def _pack(weight: ArrayLike, dtype: str | None, empty: _Allocate) -> PackedWeight:
    array, name = _weights(weight)
    chosen = name if dtype is None else dtype
    if chosen not in FORMATS:
        raise ValueError(f"pack: dtype must be one of {', '.join(map(repr, FORMATS))}; found {dtype!r}")
    if (chosen == "float64") != (name == "float64"):
        raise DTypeError(
            explain(f"pack: {name} weights cannot be stored as {chosen}", describe(weight=array))
            + "\n  remedy: weight.astype(np.float32), or dtype=None"
        )
    if array.ndim != 2:
        raise ShapeError(explain("pack: weight must be (out, in)", describe(weight=array)))
    shape = (int(array.shape[0]), int(array.shape[1]))
    if chosen == "bfloat16":
        return PackedWeight(shape, chosen, _filled(array, name, (-(-shape[1] // 2), 64, 2), np.uint16, empty))
    if chosen == "int8":
        scale = np.zeros(shape[0], np.float32)
        return PackedWeight(shape, chosen, _filled(array, name, (shape[1], 64), np.int8, empty, scale), scale)
    wide = array if name == chosen else _to_float32(array, name)
    width = PANEL_BYTES // (8 if chosen == "float64" else 4)
    with np.errstate(over="ignore"):
        return PackedWeight(shape, chosen, _panels(wide.astype(chosen, copy=False), width, empty))


def _weights(weight: Any) -> tuple[Array, str]:
    """An ndarray and its type's name; bfloat16 is known by its name, whoever made the type."""
    if hasattr(weight, "__dlpack__") and not hasattr(weight, "__array__"):
        weight = np.from_dlpack(weight)
    array = np.asarray(weight)
    if array.dtype.name not in ("float32", "float64", "float16", "bfloat16") or not array.dtype.isnative:
        raise DTypeError(
            explain("pack: weight must be float32, float64, float16 or bfloat16", describe(weight=array))
            + "\n  remedy: weight.astype(np.float32), which copies"
        )
    return array, array.dtype.name


def _to_float32(array: Array, name: str) -> Array:
    if name == "bfloat16":
        return (np.ascontiguousarray(array).view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    return array.astype(np.float32, copy=False)


def _filled(
    array: Array, name: str, panel: tuple[int, ...], kind: Any, empty: _Allocate, scale: Array | None = None
) -> Array:
    """Panels of rounded numbers. Rows whose numbers are adjacent are read where they lie, and none is widened whole."""
    from odyssey._kernels.packing import fill  # here, because the kernels' modules know PackedWeight

    rows = array if name == "float32" else array.view(np.uint16)
    if not rows.flags.aligned or (rows.strides[1] != rows.itemsize and rows.shape[1] > 1):
        rows = np.array(rows, order="C")
    panels = empty((-(-rows.shape[0] // 64), *panel), kind)
    bad = fill(rows, name, panels, scale)
    if scale is not None and bad < len(rows):
        raise ValueError(f"pack: int8 needs finite weights; row {bad} holds NaN or infinity")
    panels.flags.writeable = False
    return panels


def _panels(array: Array, width: int, empty: _Allocate) -> Array:
    """(out, in) to (panels, in, width), outputs side by side, the last panel filled up with zeros."""
    outputs, inputs = array.shape
    count = -(-outputs // width)
    padded = np.zeros((count * width, inputs), array.dtype)
    padded[:outputs] = array
    result = empty((count, inputs, width), array.dtype)
    result[...] = padded.reshape(count, width, inputs).transpose(0, 2, 1)
    result.flags.writeable = False
    return result


def _empty(shape: tuple[int, ...], dtype: Any) -> Array:
    """An array that begins at a multiple of 64 bytes, so that no vector spans two cache lines; a large one at a huge
    page, which NumPy asks the system for."""
    return aligned_empty(shape, dtype, HUGE_PAGE if _bytes(shape, dtype) >= LARGE else LINE)


class _Block:
    """Memory for so many arrays of the first one's size; others get memory of their own."""

    def __init__(self, count: int) -> None:
        self._left = count
        self._memory: Array | None = None

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Array:
        size = _bytes(shape, dtype)
        each = -(-size // LINE) * LINE
        if self._memory is None:
            self._memory = _empty((self._left * each,), np.uint8)
        if len(self._memory) < each:
            return _empty(shape, dtype)
        mine, self._memory = self._memory[:size], self._memory[each:]
        result: Array = mine.view(dtype).reshape(shape)
        return result


def _bytes(shape: tuple[int, ...], dtype: Any) -> int:
    return math.prod(shape) * int(np.dtype(dtype).itemsize)
