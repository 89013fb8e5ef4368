"""From a call's arguments to the types it is compiled for, and from their names in text."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from odyssey.errors import DTypeError, LayoutError, explain

__all__ = ["parse", "split", "token"]

SCALARS = ("bool", "int", "float")
NUMBERS = (
    "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64",
)  # fmt: skip
ELEMENTS = ("bool", *NUMBERS)
TAKES = "a bool, an int, a float, a NumPy number or an ndarray of them, or a function decorated with jit"


def token(value: Any, name: str, function: str) -> str:
    """The type of an argument, as a signature writes it.

    Raises:
        DTypeError: it is nothing that can be compiled for.
        LayoutError: an array without axes, or at an address its elements may not have.

    Example:
        >>> token(np.zeros((2, 3)), "a", "f"), token(np.zeros((2, 3)).T, "a", "f"), token(2, "n", "f")
        ('float64[:, ::1]', 'float64[:, :]', 'int')
    """
    kind = type(value)
    if kind in (bool, int, float):
        return str(kind.__name__)
    if isinstance(value, np.ndarray):
        return _array(value, name, function)
    if isinstance(value, np.generic) and value.dtype.name in ELEMENTS:
        return "bool_" if value.dtype.name == "bool" else value.dtype.name
    if getattr(value, "__odyssey_jit__", False):
        return f"jit {value.__name__}"
    if isinstance(value, (list, tuple)):
        remedy = f"make it an array: np.asarray({name})"
    elif hasattr(value, "__array__") or hasattr(value, "__dlpack__"):
        remedy = f"hand over its array: np.asarray({name})"
    else:
        remedy = ""
    found = f"found {kind.__name__}" + (f" of {value.dtype}" if isinstance(value, np.generic) else "")
    raise DTypeError(explain(f"{function}: {name}: expected {TAKES}", found, remedy))


def _array(value: np.ndarray[Any, Any], name: str, function: str) -> str:
    dtype = value.dtype
    if dtype.name not in ELEMENTS:
        raise DTypeError(
            explain(
                f"{function}: {name}: expected an array of one of {', '.join(ELEMENTS)}",
                f"found {dtype}",
                f"convert it yourself: {name}.astype(np.float64)" if dtype.kind in "fiub" else "",
            )
        )
    if not dtype.isnative:
        raise DTypeError(
            explain(
                f"{function}: {name}: expected the machine's byte order",
                f"found {dtype.newbyteorder('S')} swapped",
                f"{name}.astype({name}.dtype.newbyteorder('='))",
            )
        )
    if value.ndim == 0:
        raise LayoutError(
            explain(
                f"{function}: {name}: expected an array with axes", "found one without", f"{name}[()] is its number"
            )
        )
    if not value.flags.aligned:
        raise LayoutError(
            explain(
                f"{function}: {name}: expected elements at multiples of their size", "found others", f"{name}.copy()"
            )
        )
    inner = "::1" if value.flags.c_contiguous else ":"
    return f"{dtype.name}[{', '.join([':'] * (value.ndim - 1) + [inner])}]"


def parse(text: str) -> tuple[str, int, bool]:
    """The dtype or number, rank (-1 for a number) and contiguity that a token names.

    Raises:
        ValueError: it names none.

    Example:
        >>> parse("float32[:, ::1]"), parse("int")
        (('float32', 2, True), ('int', -1, False))
    """
    if text in (*SCALARS, "bool_", *NUMBERS):
        return text, -1, False
    found = re.fullmatch(r"(\w+)\[\s*((?::\s*,\s*)*)(::1|:)\s*\]", text)
    if not found or found[1] not in ELEMENTS:
        raise ValueError(f"expected a type such as int, float, float32 or float64[:, ::1]\n  found {text!r}")
    return found[1], found[2].count(":") + 1, found[3] == "::1"


def split(text: str | Iterable[str]) -> tuple[str, ...]:
    """The tokens of a signature, written with commas between or given one by one.

    Example:
        >>> split("float64[:, ::1], int")
        ('float64[:, ::1]', 'int')
    """
    if not isinstance(text, str):
        return tuple(normal(part) for part in text)
    inner = text.strip()
    if not inner:
        return ()
    return tuple(normal(part) for part in re.split(r",(?![^\[]*\])", inner))


def normal(text: str) -> str:
    """A token with the spaces that `token` writes."""
    dtype, ndim, contiguous = parse(text.strip())
    if ndim < 0:
        return dtype
    return f"{dtype}[{', '.join([':'] * (ndim - 1) + ['::1' if contiguous else ':'])}]"
