"""The types a compiled function's values have, and what two of them become together.

Python's numbers are weak, as in NumPy: beside an `int8` or a `float32` they take its type. NumPy's scalars and the
elements of arrays are strong. So a compiled function computes what the interpreted one does, to the bit, and only
integers differ: Python's have no end, and these wrap at 64 bits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

import numpy as np

from odyssey.bridge.types import TYPES

__all__ = [
    "BOOL",
    "FLOAT",
    "FLOAT32",
    "FLOAT64",
    "INT",
    "INT64",
    "NONE",
    "NUMPY_BOOL",
    "UNKNOWN",
    "ArrayKind",
    "FunctionKind",
    "Kind",
    "NoneKind",
    "Scalar",
    "TupleKind",
    "UnknownKind",
    "arithmetic",
    "element",
    "join",
    "numpy_default",
]

NUMBERS = tuple(name for name in TYPES if TYPES[name].cython and "complex" not in name and name != "bool")


@dataclass(frozen=True)
class Scalar:
    """A number: `bool`, `int` and `float` are Python's, `bool_` and the dtypes' names NumPy's."""

    name: str

    @property
    def weak(self) -> bool:
        """Python's own, without a width."""
        return self.name in ("bool", "int", "float")

    @property
    def boolean(self) -> bool:
        """A truth value."""
        return self.name in ("bool", "bool_")

    @property
    def floating(self) -> bool:
        """A real number."""
        return self.name.startswith("float")

    @property
    def integer(self) -> bool:
        """A whole number, truth values left out."""
        return not self.boolean and not self.floating

    @property
    def dtype(self) -> str:
        """NumPy's dtype of the same values."""
        return {"int": "int64", "float": "float64", "bool_": "bool"}.get(self.name, self.name)

    @property
    def c(self) -> str:
        """Its type in Cython and C."""
        return str(TYPES[self.dtype].cython)

    @property
    def stored(self) -> str:
        """The type of an array's element."""
        return "uint8_t" if self.boolean else self.c

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class ArrayKind:
    """An ndarray: its element's dtype, its rank, and whether its elements follow one another in C's order."""

    dtype: str
    ndim: int
    contiguous: bool

    @property
    def item(self) -> Scalar:
        """An element's type."""
        return element(self.dtype)

    def __str__(self) -> str:
        return f"{self.dtype}[{', '.join([':'] * (self.ndim - 1) + ['::1' if self.contiguous else ':'])}]"


@dataclass(frozen=True)
class TupleKind:
    """A tuple whose length is known."""

    items: tuple[Kind, ...]

    def __str__(self) -> str:
        return f"({', '.join(map(str, self.items))})"


@dataclass(frozen=True, eq=False)
class FunctionKind:
    """A function that is itself compiled: each is a type of its own, equal to none but itself."""

    function: Any

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FunctionKind) and other.function is self.function

    def __hash__(self) -> int:
        return id(self.function)

    def __str__(self) -> str:
        return f"jit {self.function.__name__}"


@dataclass(frozen=True)
class NoneKind:
    """No value: what a function without `return` gives."""

    def __str__(self) -> str:
        return "None"


@dataclass(frozen=True)
class UnknownKind:
    """Not known yet: what a function that calls itself returns, before the first round of typing is over."""


Kind: TypeAlias = Scalar | ArrayKind | TupleKind | FunctionKind | NoneKind | UnknownKind

BOOL, INT, FLOAT = Scalar("bool"), Scalar("int"), Scalar("float")
NUMPY_BOOL, INT64, FLOAT32, FLOAT64 = Scalar("bool_"), Scalar("int64"), Scalar("float32"), Scalar("float64")
NONE, UNKNOWN = NoneKind(), UnknownKind()


def element(dtype: str) -> Scalar:
    """The type of the elements of an array of this dtype."""
    return NUMPY_BOOL if dtype == "bool" else Scalar(dtype)


def numpy_default(kind: Scalar) -> Scalar:
    """What NumPy makes of a number on its own: Python's become `bool_`, `int64`, `float64`."""
    return element(kind.dtype)


@cache
def arithmetic(a: Scalar, b: Scalar) -> Scalar:
    """The type of a sum: NumPy 2's promotion, in which Python's numbers are weak.

    Example:
        >>> str(arithmetic(FLOAT32, FLOAT)), str(arithmetic(Scalar("int32"), FLOAT)), str(arithmetic(BOOL, BOOL))
        ('float32', 'float64', 'int')
    """
    if a.weak and b.weak:
        return FLOAT if FLOAT in (a, b) else INT
    if a.weak or b.weak:
        strong, weak = (b, a) if a.weak else (a, b)
        if strong.floating:
            return strong
        if weak.floating:
            return FLOAT64
        return strong if strong.integer or weak.boolean else INT64
    return element(np.promote_types(a.dtype, b.dtype).name)


def join(a: Kind, b: Kind, constant: Any = None) -> Kind | None:
    """The type of a variable that is now one and now the other, or None where there is none.

    A literal beside a strong type takes it, if its value fits: `best = 1e30` may become a float32. Other numbers of
    Python's beside a narrow type make the variable 64 bits wide, so that none is cut.

    Args:
        a: a type.
        b: another.
        constant: the value, where one of both is a literal.
    """
    if a == b or isinstance(b, UnknownKind):
        return a
    if isinstance(a, UnknownKind):
        return b
    if isinstance(a, Scalar) and isinstance(b, Scalar):
        return _join_scalars(a, b, constant)
    if isinstance(a, ArrayKind) and isinstance(b, ArrayKind):
        if (a.dtype, a.ndim) != (b.dtype, b.ndim):
            return None
        return ArrayKind(a.dtype, a.ndim, a.contiguous and b.contiguous)
    if isinstance(a, TupleKind) and isinstance(b, TupleKind) and len(a.items) == len(b.items):
        items = [join(one, other) for one, other in zip(a.items, b.items, strict=True)]
        return None if None in items else TupleKind(tuple(item for item in items if item is not None))
    return None


def _join_scalars(a: Scalar, b: Scalar, constant: Any) -> Scalar:
    if a.boolean and b.boolean:
        return NUMPY_BOOL
    strong, weak = (b, a) if a.weak else (a, b)
    if strong.weak or not weak.weak:
        return arithmetic(a, b)
    both = arithmetic(strong, weak)
    if both != strong or both.dtype in ("float64", "int64"):
        return both
    if constant is not None and _fits(constant, strong):
        return strong
    return FLOAT64 if both.floating else arithmetic(strong, INT64)


def _fits(value: float, kind: Scalar) -> bool:
    if kind.floating:
        return not math.isfinite(value) or abs(value) <= float(np.finfo(kind.dtype).max)
    limits = np.iinfo(kind.dtype)
    return limits.min <= value <= limits.max
