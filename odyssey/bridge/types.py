"""One table of element types, as every side of the bridge calls them: Python, NumPy, C, Protocol Buffers, Arrow.

A number or an array crosses only as what it is. Nothing turns float64 into float32 or int64 into int32 on the way:
`require` refuses, and says how to convert. Python's own numbers have no width, so `scalar` lets them take the type that
is asked for, as NumPy's promotion does, wherever that type can hold them; a NumPy scalar has a width and keeps it.
"""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from odyssey.errors import DTypeError
from odyssey.typing import Array

__all__ = ["TYPES", "Type", "from_c", "markdown", "of", "require", "scalar"]


@dataclass(frozen=True, kw_only=True)
class Type:
    """An element type under each of its names; None where a side has no such type.

    Attributes:
        name: NumPy's name, which is ours.
        python: the Python number that holds each value exactly.
        c: the C type in a declaration; half-precision numbers travel as their bits.
        bytes: the size of an element.
        proto: its number in the enum `DataType` of `protos/data.proto`, whose constant is `name` in capitals.
        proto_field: the repeated field of `protos/data.proto` that may hold the elements one by one.
        arrow: the format string of Arrow's C data interface.
        safetensors: the name in a safetensors header.
        dlpack: DLPack's type code; the bits are eight times `bytes`.
        cython: the type in generated Cython code.
    """

    name: str
    python: type
    c: str
    bytes: int
    proto: int
    proto_field: str | None
    arrow: str | None
    safetensors: str | None
    dlpack: int
    cython: str | None

    @property
    def dtype(self) -> np.dtype[Any]:
        """NumPy's dtype; bfloat16 asks for `ml_dtypes`, as NumPy has none."""
        if self.name == "bfloat16":
            import ml_dtypes

            half: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
            return half
        return np.dtype(self.name)


def _integer(name: str, proto: int, field: str, arrow: str) -> Type:
    size = int(name.lstrip("uint")) // 8
    return Type(
        name=name, python=int, c=f"{name}_t", bytes=size, proto=proto, proto_field=field, arrow=arrow,
        safetensors=f"{'U' if name[0] == 'u' else 'I'}{8 * size}", dlpack=int(name[0] == "u"), cython=f"{name}_t",
    )  # fmt: skip


TYPES: dict[str, Type] = {
    row.name: row
    for row in (
        Type(name="bool", python=bool, c="_Bool", bytes=1, proto=1, proto_field="int32_data", arrow="b",
             safetensors="BOOL", dlpack=6, cython="bint"),
        _integer("int8", 2, "int32_data", "c"),
        _integer("int16", 3, "int32_data", "s"),
        _integer("int32", 4, "int32_data", "i"),
        _integer("int64", 5, "int64_data", "l"),
        _integer("uint8", 6, "int32_data", "C"),
        _integer("uint16", 7, "int32_data", "S"),
        _integer("uint32", 8, "uint64_data", "I"),
        _integer("uint64", 9, "uint64_data", "L"),
        Type(name="float16", python=float, c="uint16_t", bytes=2, proto=10, proto_field=None, arrow="e",
             safetensors="F16", dlpack=2, cython=None),
        Type(name="bfloat16", python=float, c="uint16_t", bytes=2, proto=11, proto_field=None, arrow=None,
             safetensors="BF16", dlpack=4, cython=None),
        Type(name="float32", python=float, c="float", bytes=4, proto=12, proto_field="float_data", arrow="f",
             safetensors="F32", dlpack=2, cython="float"),
        Type(name="float64", python=float, c="double", bytes=8, proto=13, proto_field="double_data", arrow="g",
             safetensors="F64", dlpack=2, cython="double"),
        Type(name="complex64", python=complex, c="float _Complex", bytes=8, proto=14, proto_field=None, arrow=None,
             safetensors="C64", dlpack=5, cython="float complex"),
        Type(name="complex128", python=complex, c="double _Complex", bytes=16, proto=15, proto_field=None, arrow=None,
             safetensors=None, dlpack=5, cython="double complex"),
    )
}  # fmt: skip

# C's own names, by what they are on the platforms odyssey runs on (LP64); `char` is text and not a number.
_C_NAMES = {
    "bool": "bool", "signed char": "int8", "unsigned char": "uint8", "short": "int16", "unsigned short": "uint16",
    "int": "int32", "unsigned int": "uint32", "long": f"int{8 * np.dtype('l').itemsize}",
    "unsigned long": f"uint{8 * np.dtype('l').itemsize}", "long long": "int64", "unsigned long long": "uint64",
    "size_t": f"uint{8 * np.dtype('p').itemsize}", "ssize_t": f"int{8 * np.dtype('p').itemsize}",
    "ptrdiff_t": f"int{8 * np.dtype('p').itemsize}", "intptr_t": f"int{8 * np.dtype('p').itemsize}",
    "uintptr_t": f"uint{8 * np.dtype('p').itemsize}",
}  # fmt: skip


def of(dtype: object) -> Type:
    """The row of a dtype, of anything NumPy takes for one, or of an array.

    Raises:
        DTypeError: a type that does not cross: text, objects, records, or not in the machine's byte order.

    Example:
        >>> of("float32").c, of(np.int16).arrow, of(np.zeros(3)).name
        ('float', 's', 'float64')
    """
    if not isinstance(dtype, type):
        dtype = getattr(dtype, "dtype", dtype)
    if isinstance(dtype, str) and dtype in TYPES:
        return TYPES[dtype]
    try:
        found = np.dtype(dtype)  # type: ignore[call-overload]
    except TypeError:
        found = None
    if found is not None and found.name in TYPES and found.isnative:
        return TYPES[found.name]
    remedy = ""
    if found is not None and found.name in TYPES:
        remedy = "\n  the machine's byte order: array.astype(array.dtype.newbyteorder('='))"
    raise DTypeError(f"the bridge: expected one of {', '.join(TYPES)}\n  found {found or dtype!r}{remedy}")


def from_c(name: str) -> Type:
    """The row of a C type, by its name in a declaration; half-precision numbers are `uint16_t` to C.

    Raises:
        DTypeError: no such number.

    Example:
        >>> from_c("const float").name, from_c("unsigned int").name, from_c("int64_t").name
        ('float32', 'uint32', 'int64')
    """
    plain = " ".join(word for word in name.split() if word not in ("const", "volatile", "restrict"))
    for row in TYPES.values():
        if plain == row.c and row.name not in ("float16", "bfloat16"):
            return row
    if plain in _C_NAMES:
        return TYPES[_C_NAMES[plain]]
    raise DTypeError(f"the bridge: expected a C number such as float, double, int32_t or size_t\n  found {name!r}")


def require(array: Array, dtype: object, name: str = "array") -> Array:
    """The array itself, if its elements have this very type.

    Raises:
        DTypeError: they have another.

    Example:
        >>> require(np.zeros(2), "float32")
        Traceback (most recent call last):
        odyssey.errors.DTypeError: array: expected float32, found float64: nothing is converted on the way
          convert it yourself: array.astype(numpy.float32)
    """
    wanted = of(dtype)
    if of(array) is not wanted:
        owner = "ml_dtypes" if wanted.name == "bfloat16" else "numpy"
        raise DTypeError(
            f"{name}: expected {wanted.name}, found {array.dtype}: nothing is converted on the way\n"
            f"  convert it yourself: {name}.astype({owner}.{wanted.name})"
        )
    return array


def scalar(value: object, dtype: object, name: str = "value") -> int | float | complex | bool:
    """A Python number that this type can hold, from a Python number or a NumPy scalar of the type.

    Raises:
        DTypeError: a NumPy scalar of another type, a float for an integer, or no number at all.
        OverflowError: an integer outside of the type's range, or a finite float beyond it.

    Example:
        >>> scalar(3, "float32"), scalar(np.int32(7), "int32")
        (3.0, 7)
        >>> scalar(300, "uint8")
        Traceback (most recent call last):
        OverflowError: value: expected a uint8, 0 to 255, found 300
    """
    row = of(dtype)
    if isinstance(value, np.generic):
        if value.dtype != row.dtype:
            raise DTypeError(
                f"{name}: expected {row.name} or a Python number, found {value.dtype}\n"
                f"  convert it yourself: numpy.{row.name}({name})"
            )
        value = value.item()
    if row.python is int:
        return _whole(value, row, name)
    if row.python is bool:
        if isinstance(value, bool):
            return value
        raise DTypeError(f"{name}: expected a bool, found {value!r}")
    numbers = (int, float, complex) if row.python is complex else (int, float)
    if isinstance(value, bool) or not isinstance(value, numbers):
        raise DTypeError(f"{name}: expected a number for {row.name}, found {value!r}")
    if row.python is complex:
        return complex(value)
    number = float(value)  # type: ignore[arg-type]
    if math.isfinite(number) and row.bytes < 8:
        with np.errstate(over="ignore"):
            if not np.isfinite(row.dtype.type(number)):
                raise OverflowError(f"{name}: expected a number that {row.name} can hold, found {number!r}")
    return number


def _whole(value: object, row: Type, name: str) -> int:
    try:
        if isinstance(value, bool):
            raise TypeError
        whole = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise DTypeError(f"{name}: expected an integer for {row.name}, found {value!r}") from None
    limits = np.iinfo(row.name)
    if not limits.min <= whole <= limits.max:
        raise OverflowError(f"{name}: expected a {row.name}, {limits.min} to {limits.max}, found {whole}")
    return whole


def markdown() -> str:
    """The table, as it stands in docs/guides/choosing_a_pattern.md."""
    columns = ("name", "python", "c", "bytes", "proto_field", "arrow", "safetensors", "cython")
    assert set(columns) <= {field.name for field in fields(Type)}

    def cell(value: object) -> str:
        return "-" if value is None else value.__name__ if isinstance(value, type) else str(value)

    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(cell(getattr(row, column)) for column in columns) + " |" for row in TYPES.values()]
    return "\n".join(lines)
