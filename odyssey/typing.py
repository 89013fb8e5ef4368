"""The names that stand in odyssey's signatures. Imports only NumPy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias, Union

import numpy as np

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["Array", "ArrayLike", "SinkhornLog", "SupportsDLPack"]

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
"""What operations return and what `out` takes. A result without axes comes back as a NumPy scalar, as in NumPy, which
has an array's attributes and methods."""


class SupportsDLPack(Protocol):
    """An object that hands out its memory by the DLPack protocol, such as a PyTorch tensor."""

    def __dlpack__(self, *, stream: Any = ...) -> Any: ...

    def __dlpack_device__(self) -> tuple[int, int]: ...


ArrayLike: TypeAlias = Union[Array, "Buffer", SupportsDLPack]
"""What operations read: an ndarray, anything with a buffer (`memoryview`, `array.array`, `mmap`), or with DLPack. No
lists: an operation computes where the bytes lie, and a list has none."""


class SinkhornLog(NamedTuple):
    """How `sinkhorn` went: its plan's potentials, the iterations used, the error and whether that was small enough."""

    f: Array
    g: Array
    iterations: int
    error: float
    converged: bool
