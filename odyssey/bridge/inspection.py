"""What an array is made of: where its bytes lie, how they are laid out, and who keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from odyssey.errors import DTypeError
from odyssey.typing import Array

__all__ = ["Inspection", "inspect"]

_DEVICES = {1: "cpu", 2: "cuda", 3: "cuda host", 4: "opencl", 7: "vulkan", 8: "metal", 10: "rocm", 13: "cuda managed"}


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """An array's memory.

    Attributes:
        address: of the first element; None on a device that does not tell.
        shape, dtype: as ever; dtype by name.
        strides: in bytes; None where only a device knows.
        nbytes: of the elements.
        alignment: the largest power of two that divides the address, up to 4096.
        layout: "C", "Fortran", "both" or "strided".
        readonly: whether it may not be written through this object.
        owner: who keeps the memory, from the nearest to the last.
        mapping: what the system has at that address: a file, the heap, anonymous memory; None where it does not tell.
        device: "cpu", or what DLPack calls it, with its number.
    """

    address: int | None
    shape: tuple[int, ...]
    dtype: str
    strides: tuple[int, ...] | None
    nbytes: int
    alignment: int | None
    layout: str
    readonly: bool
    owner: tuple[str, ...]
    mapping: str | None
    device: str

    def __str__(self) -> str:
        where = "unknown" if self.address is None else f"{self.address:#x}, a multiple of {self.alignment}"
        rows = {
            "address": where,
            "elements": f"{self.shape} {self.dtype}, {self.nbytes} bytes",
            "strides": f"{self.strides} bytes, {self.layout}",
            "access": "read-only" if self.readonly else "writable",
            "owner": " <- ".join(self.owner),
            "mapping": self.mapping or "unknown",
            "device": self.device,
        }
        return "\n".join(f"{name:9}{value}" for name, value in rows.items())


def inspect(array: Any) -> Inspection:
    """Look at an array, or at anything with a buffer, DLPack or `__array_interface__`; nothing is copied.

    Raises:
        DTypeError: there is no memory to look at, as in a list.

    Example:
        >>> found = inspect(np.zeros((3, 4), np.float32)[:, 1:])
        >>> found.layout, found.strides, found.owner
        ('strided', (16, 4), ('ndarray, a view', 'ndarray, which owns the memory'))
    """
    device = _device(array)
    if not device.startswith("cpu"):
        shape = tuple(int(n) for n in getattr(array, "shape", ()))
        return Inspection(
            address=None, shape=shape, dtype=str(getattr(array, "dtype", "unknown")), strides=None,
            nbytes=int(getattr(array, "nbytes", 0)), alignment=None, layout="strided", readonly=False,
            owner=(type(array).__name__,), mapping=None, device=device,
        )  # fmt: skip
    seen = _adopted(array)
    address = seen.ctypes.data
    return Inspection(
        address=address,
        shape=seen.shape,
        dtype=seen.dtype.name,
        strides=seen.strides,
        nbytes=seen.nbytes,
        alignment=min(address & -address, 4096) if address else 4096,
        layout=_layout(seen),
        readonly=not seen.flags.writeable,
        owner=_owners(array, seen),
        mapping=_mapping(address),
        device=device,
    )


def _device(array: Any) -> str:
    if isinstance(array, np.ndarray) or not hasattr(array, "__dlpack_device__"):
        return "cpu"
    kind, number = (int(part) for part in array.__dlpack_device__())
    name = _DEVICES.get(kind, f"device type {kind}")
    return name if kind == 1 else f"{name}:{number}"


def _adopted(array: Any) -> Array:
    if isinstance(array, np.ndarray):
        return array
    data = getattr(array, "data", None)
    if isinstance(data, np.ndarray):  # a Tensor
        return data
    try:
        return np.asarray(memoryview(array))
    except TypeError:
        pass
    if hasattr(array, "__dlpack__"):
        return np.from_dlpack(array)
    if hasattr(array, "__array_interface__"):
        return np.asarray(array)
    raise DTypeError(
        f"inspect: expected an array or anything with a buffer or DLPack, found {type(array).__name__}\n"
        "  numpy.asarray(x) makes an array of it"
    )


def _layout(array: Array) -> str:
    c, fortran = array.flags.c_contiguous, array.flags.f_contiguous
    return "both" if c and fortran else "C" if c else "Fortran" if fortran else "strided"


def _owners(given: Any, array: Array) -> tuple[str, ...]:
    chain = [] if given is array else [_named(given)]
    at: Any = array
    while isinstance(at, np.ndarray):
        owns = at.flags.owndata
        if at is not array or given is array:
            chain.append(f"{type(at).__name__}, {'which owns the memory' if owns else 'a view'}")
        at = None if owns else at.base
    while isinstance(at, memoryview):
        at = at.obj
    if at is not None and at is not given:
        chain.append(_named(at))
    return tuple(chain)


def _named(thing: Any) -> str:
    kind = type(thing)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


def _mapping(address: int) -> str | None:
    """The line of /proc/self/maps that the address lies in: its file, or what it is."""
    try:
        with open("/proc/self/maps") as lines:
            for line in lines:
                span, _, _, _, _, *name = line.split(maxsplit=5)
                first, last = (int(part, 16) for part in span.split("-"))
                if first <= address < last:
                    return name[0].strip() if name else "anonymous memory"
    except OSError:
        pass  # not Linux
    return None
