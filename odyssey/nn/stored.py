"""Weights that are multiplied by as they lie in a checkpoint: narrow, perhaps memory-mapped, and not trained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from odyssey.errors import DTypeError, ShapeError, describe, explain
from odyssey.packing import PackedWeight
from odyssey.typing import Array

if TYPE_CHECKING:
    from odyssey.nn.module import Module

__all__ = ["Matrix", "Precision", "StoredWeight", "named_stored_weights", "widened"]

Matrix: TypeAlias = "Array | PackedWeight"
Precision: TypeAlias = Literal["exact", "native"]

KINDS = ("float32", "float16", "bfloat16")


class StoredWeight:
    """A weight that stands for a Parameter in `Linear`, `Embedding` or `MixtureOfExperts` and gets no gradient.

    Args:
        value: one matrix (out, in): an ndarray of float32, float16 or (ml_dtypes) bfloat16, used where it lies, or what
            `odyssey.pack` made of one. Or the matrices of several experts: an ndarray (experts, out, in), or a sequence
            of matrices of one shape and kind, which need not be neighbours in memory.
        precision: "exact" for the bits of the product with the weights widened to float32, or "native" to leave the
            rounding of bfloat16 products to the processor (see `odyssey.linear`).

    Attributes:
        value: as given, a sequence as a tuple.
        precision: as given.
        shape: (out, in), or (experts, out, in).
        dtype: what is stored, by name: "float32", "float16", "bfloat16" or "int8".
        nbytes: the bytes that are stored.

    Raises:
        DTypeError: another type, or experts of different types.
        ShapeError: no matrix, or experts of different shapes.
        ValueError: an unknown precision.

    Example:
        >>> import odyssey as od
        >>> import numpy as np
        >>> layer = od.nn.Linear(4, 2)
        >>> layer.weight = od.nn.StoredWeight(od.pack(layer.weight.data, "int8"))
        >>> layer(np.zeros((3, 4), np.float32)).shape
        (3, 2)
        >>> [name for name, _ in layer.named_parameters()]
        ['bias']
    """

    __slots__ = ("_matrices", "_transposes", "dtype", "precision", "shape", "value")

    def __init__(self, value: Matrix | Sequence[Matrix], precision: Precision = "exact") -> None:
        if precision not in ("exact", "native"):
            raise ValueError(f"StoredWeight: precision must be 'exact' or 'native'; found {precision!r}")
        self.precision: Precision = precision
        self.value: Matrix | tuple[Matrix, ...]
        self.shape: tuple[int, ...]
        self.dtype: str
        self._matrices: tuple[Matrix, ...]
        self._transposes: tuple[Matrix, ...] | None = None
        if isinstance(value, (np.ndarray, PackedWeight)):
            self.value = value
            self.dtype = _kind(value)
            self.shape = tuple(value.shape)
            if len(self.shape) not in (2, 3):
                raise ShapeError(
                    explain("StoredWeight: value must be (out, in) or (experts, out, in)", describe(value=value))
                )
            self._matrices = tuple(value) if isinstance(value, np.ndarray) and value.ndim == 3 else (value,)
            return
        self.value = self._matrices = matrices = tuple(value)
        kinds = {(tuple(one.shape), _kind(one)) for one in matrices}
        if len(kinds) != 1 or len(matrices[0].shape) != 2:
            found = ", ".join(f"{shape} {kind}" for shape, kind in sorted(kinds)) or "none"
            raise ShapeError(f"StoredWeight: expected matrices (out, in) of one shape and type, found {found}")
        ((shape, self.dtype),) = kinds
        self.shape = (len(matrices), *shape)

    @property
    def ndim(self) -> int:
        """2 for one matrix, 3 for several."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """The bytes that are stored: of packed weights with padding and scales."""
        return sum(int(one.nbytes) for one in self.matrices())

    def matrix(self) -> Matrix:
        """The matrix (out, in) of a weight that is one.

        Raises:
            ShapeError: it is several.
        """
        if self.ndim != 2 or isinstance(self.value, tuple):
            raise ShapeError(f"expected one matrix (out, in), found {self!r}\n  remedy: one of its .matrices()")
        return self.value

    def matrices(self) -> tuple[Matrix, ...]:
        """The matrices (out, in): one, or each expert's."""
        return self._matrices

    def transposes(self) -> tuple[Matrix, ...]:
        """The matrices as `grouped_matmul` takes them: arrays (in, out), and packed weights, which stand for that."""
        if self._transposes is None:
            self._transposes = tuple(one.T if isinstance(one, np.ndarray) else one for one in self._matrices)
        return self._transposes

    def widened(self) -> Array:
        """The numbers that are multiplied by, in float32: a new array of `shape`."""
        if isinstance(self.value, tuple):
            return np.stack([widened(one) for one in self.value])
        return widened(self.value)

    def rows(self, indices: Array) -> Array:
        """The rows that integers of any shape name, in float32: that shape and `in`. For one matrix.

        Raises:
            IndexError: an index is no row, of which the first is named.
        """
        matrix, count = self.matrix(), self.shape[0]
        outside = (indices < 0) | (indices >= count)
        if outside.any():
            place = np.unravel_index(int(np.argmax(outside)), indices.shape)
            raise IndexError(
                f"embedding: indices must be in [0, {count}); found {indices[place]} at {tuple(map(int, place))}"
            )
        return matrix.rows(indices) if isinstance(matrix, PackedWeight) else widened(matrix[indices])

    def __repr__(self) -> str:
        precision = "" if self.precision == "exact" else f", precision={self.precision!r}"
        return f"StoredWeight({self.shape}, {self.dtype}{precision})"


def widened(matrix: Matrix) -> Array:
    """Stored numbers as float32: exactly, but for int8, whose integers meet their scales in one rounding."""
    if isinstance(matrix, PackedWeight):
        return matrix.unpack()
    if matrix.dtype.name == "bfloat16":  # the upper half of a float32
        wide = matrix.view(np.uint16).astype(np.uint32)
        wide <<= 16
        return wide.view(np.float32)
    return matrix.astype(np.float32)


def named_stored_weights(module: Module) -> Iterator[tuple[str, StoredWeight]]:
    """Every StoredWeight inside a Module with the name it would have as a Parameter, each as often as it is held."""
    for prefix, inner in module.named_modules():
        for name, value in vars(inner).items():
            if isinstance(value, StoredWeight):
                yield f"{prefix}.{name}" if prefix else name, value


def _kind(matrix: Matrix) -> str:
    if isinstance(matrix, PackedWeight):
        if matrix.dtype != "float64":
            return matrix.dtype
    elif isinstance(matrix, np.ndarray) and matrix.dtype.name in KINDS and matrix.dtype.isnative:
        return matrix.dtype.name
    raise DTypeError(
        explain(
            f"StoredWeight: expected arrays of {', '.join(KINDS)}, or packed weights of float32 and narrower",
            describe(value=matrix),
        )
    )
