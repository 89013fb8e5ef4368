"""Compiled functions as plain C functions, for libraries that call back: integrators, sorters, solvers."""

from __future__ import annotations

import ctypes
from typing import Any

from odyssey.bridge.compiling.functions import Jitted
from odyssey.errors import CompileError

__all__ = ["address", "ctypes_function"]

CTYPES: dict[str, Any] = {
    "bool": ctypes.c_int, "bool_": ctypes.c_int, "int": ctypes.c_int64, "float": ctypes.c_double,
    "int8": ctypes.c_int8, "int16": ctypes.c_int16, "int32": ctypes.c_int32, "int64": ctypes.c_int64,
    "uint8": ctypes.c_uint8, "uint16": ctypes.c_uint16, "uint32": ctypes.c_uint32, "uint64": ctypes.c_uint64,
    "float32": ctypes.c_float, "float64": ctypes.c_double,
}  # fmt: skip


def address(function: Jitted, key: tuple[Any, ...]) -> int:
    """The address of a C function of these numbers. It needs no GIL, and stays as long as the process.

    An error in it cannot reach C: it is reported as Python reports what a destructor raises (`sys.unraisablehook`),
    and C is given nan, or 0.

    Raises:
        CompileError: it takes or returns something else than numbers, or there is no compiler.
    """
    return _plain(function, key)[0]


def ctypes_function(function: Jitted, key: tuple[Any, ...]) -> Any:
    """The same with its types, for ctypes.

    Raises:
        CompileError: as `address`.
    """
    place, result = _plain(function, key)
    return ctypes.CFUNCTYPE(CTYPES.get(result), *(CTYPES[one] for one in key))(place)


def _plain(function: Jitted, key: tuple[Any, ...]) -> tuple[int, str]:
    if not all(one in CTYPES for one in key):
        raise CompileError(
            f"{function.__name__}: expected numbers alone for a C function, found {', '.join(map(str, key))}"
        )
    function._obtain(key)
    way = function._ways.get(key)
    if way is None:
        from odyssey.bridge.compiling.toolchain import missing

        raise CompileError(f"{function.__name__}: expected to compile a C function, found: {missing()}")
    made = getattr(way.module, f"address_{way.place}", None)
    if made is None:
        raise CompileError(f"{function.__name__}: expected a function that returns one number, or none")
    place, result = made()
    return place, result
