"""Arguments: from what Python has to what C wants, without a copy, or with an explanation.

`crossing.pyx` passes what is exactly what was declared: an array of the very dtype, contiguous, writable where it must
be; a Python number that fits. Everything else comes here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from odyssey.bridge import types
from odyssey.bridge.direct.declarations import Declared, Kind, Parameter
from odyssey.errors import DTypeError, LayoutError, ShapeError, describe, explain
from odyssey.typing import Array

__all__ = ["Arguments", "adopt"]

# What may be passed as uint16_t: half-precision numbers travel as their bits.
_HALVES = ("float16", "bfloat16")


def adopt(value: object, name: str) -> Array:
    """The array that something is, in the memory where it lies: an array, a buffer, DLPack, `__array_interface__`.

    Raises:
        DTypeError: it is nothing of the kind, or records gradients, which a library would not see.
    """
    if isinstance(value, np.ndarray):
        return value.view(np.ndarray)
    if getattr(value, "requires_grad", False):
        raise DTypeError(
            explain(f"{name}: expected an array, found a {type(value).__name__} that records gradients",
                    remedy=f"pass {name.rpartition(': ')[2]}.data: the library's work is not on the tape")
        )  # fmt: skip
    try:
        return np.asarray(memoryview(value))  # type: ignore[arg-type]
    except TypeError:
        pass
    try:
        if hasattr(value, "__dlpack__"):
            return np.from_dlpack(value)
        if hasattr(value, "__array_interface__") or hasattr(value, "__array__"):
            return np.asarray(value, copy=False)
    except (BufferError, RuntimeError, ValueError) as error:
        found = f"found a {type(value).__name__} that cannot be had without one: {error}"
        raise DTypeError(explain(f"{name}: expected memory of this machine, without a copy", found)) from None
    raise DTypeError(
        explain(
            f"{name}: expected an array, or an object with a buffer or DLPack",
            f"found {type(value).__name__}",
            "numpy.asarray(..., dtype) makes an array of a list or a number, in memory of its own",
        )
    )


class Arguments:
    """The arguments of one function: `convert` and `refuse` are what `crossing.Function` asks."""

    def __init__(self, declared: Declared, ffi: Any) -> None:
        self._declared = declared
        self._ffi = ffi

    def convert(self, place: int, value: object) -> object:
        """What to pass: a number, an address, an array, bytes with a zero after them, or None for NULL.

        Raises:
            DTypeError, LayoutError, OverflowError, ValueError: what is wrong with the argument.
        """
        parameter = self._declared.parameters[place]
        name = f"{self._declared.name}: {parameter.name}"
        if parameter.kind not in (Kind.ARRAY, Kind.POINTER):
            return types.scalar(value, parameter.type, name)
        if value is None:
            if parameter.nullable:
                return None
            raise DTypeError(
                explain(f"{name}: expected {_wanted(parameter)}, found None",
                        remedy=f"if the function takes NULL, declare it so: {_nullable(parameter)}")
            )  # fmt: skip
        if isinstance(value, self._ffi.CData):
            return self._address(value, parameter, name)
        if parameter.text:
            return self._text(value, parameter, name)
        if parameter.kind == Kind.POINTER and parameter.ctype.item.kind != "void":
            raise DTypeError(
                explain(f"{name}: expected {_wanted(parameter)}, found {type(value).__name__}",
                        remedy=f"library.ffi.new({parameter.ctype.cname!r}), or pass what a function returned")
            )  # fmt: skip
        array = adopt(value, name)
        if parameter.type is not None:
            self._of_type(array, parameter.type, name)
        return _laid_out(array, parameter, name)

    def refuse(self, place: int, found: int, words: Sequence[int]) -> None:
        """Raises what is wrong with the number of arguments (place -1), or with the length of an array."""
        declared = self._declared
        if place < 0:
            names = ", ".join(one.name for one in declared.parameters)
            count = len(declared.parameters)
            raise TypeError(
                explain(f"{declared.name}: expected {count} argument{'s' * (count != 1)} ({names}), found {found}",
                        declared.text)
            )  # fmt: skip
        parameter = declared.parameters[place]
        expected = elements(parameter, words)
        given = ", ".join(
            f"{declared.parameters[one].name} = {words[one]}"
            for one in sorted({at for step, at in parameter.size if step == 1})
        )
        said = f"{parameter.size_text}{f' with {given}' if given else ''}"
        if expected is None or expected < 0:
            found_text = f"found {said}, which is negative or too large"
            raise ShapeError(explain(f"{declared.name}: {parameter.name}: expected a size from 0 on", found_text))
        raise ShapeError(
            explain(
                f"{declared.name}: {parameter.name} must have at least {expected} elements ({said}), found {found}",
                declared.text,
            )
        )

    def _address(self, value: Any, parameter: Parameter, name: str) -> object:
        found = self._ffi.typeof(value)
        same = found is parameter.ctype or (
            found.kind in ("pointer", "array")
            and (parameter.ctype.item.kind == "void" or found.item is parameter.ctype.item)
        )
        if not same:
            raise DTypeError(f"{name}: expected {_wanted(parameter)}, found {found.cname}")
        address = int(self._ffi.cast("uintptr_t", value))
        if address == 0 and not parameter.nullable:
            raise DTypeError(f"{name}: expected {_wanted(parameter)}, found NULL")
        return address

    def _text(self, value: object, parameter: Parameter, name: str) -> object:
        if isinstance(value, str):
            value = value.encode()
        if not parameter.writable:
            if not isinstance(value, bytes):
                raise DTypeError(f"{name}: expected a str or bytes, found {type(value).__name__}")
            if b"\0" in value and not parameter.size:
                raise ValueError(f"{name}: expected text without a zero byte, which would end it in C; found {value!r}")
            return value
        if isinstance(value, bytes):
            raise LayoutError(
                explain(f"{name}: expected characters that can be written to, found a str or bytes",
                        remedy="pass a bytearray, or declare const char * if the function only reads")
            )  # fmt: skip
        array = adopt(value, name)
        if array.dtype not in (np.int8, np.uint8, np.dtype("S1")):
            raise DTypeError(
                f"{name}: expected a bytearray or an array of int8 or uint8, found {describe(array=array)}"
            )
        return _laid_out(array, parameter, name)

    def _of_type(self, array: Array, row: types.Type, name: str) -> None:
        found = types.of(array)
        if found is row or (row.name == "uint16" and found.name in _HALVES):
            return
        short = name.rpartition(": ")[2]
        raise DTypeError(
            explain(f"{name}: expected {row.name}, found {found.name}: nothing is converted on the way",
                    describe(**{short: array}), f"convert it yourself: {short}.astype(numpy.{row.name}), which copies")
        )  # fmt: skip


def elements(parameter: Parameter, words: Sequence[int]) -> int | None:
    """How many elements a parameter must have, given the others as integers; None where that is no number."""
    stack: list[int] = []
    for step, operand in parameter.size:
        if step <= 1:
            stack.append(words[operand] if step else operand)
            continue
        last = stack.pop()
        if step == 5 and last <= 0:
            return None
        stack[-1] = (stack[-1] + last, stack[-1] - last, stack[-1] * last, stack[-1] // last if last else 0)[step - 2]
    return stack[0] if abs(stack[0]) < 1 << 63 else None


def _laid_out(array: Array, parameter: Parameter, name: str) -> Array:
    short = name.rpartition(": ")[2]
    if not array.flags.c_contiguous:
        raise LayoutError(
            explain(f"{name}: expected adjacent elements in C order, found strides {array.strides}",
                    describe(**{short: array}), f"numpy.ascontiguousarray({short}), which copies")
        )  # fmt: skip
    if not array.flags.aligned:
        raise LayoutError(
            explain(f"{name}: expected elements aligned to their size, found an address that is not",
                    describe(**{short: array}), f"{short}.copy()")
        )  # fmt: skip
    if parameter.writable and not array.flags.writeable:
        raise LayoutError(
            explain(f"{name}: expected an array that can be written to, found a read-only one",
                    describe(**{short: array}),
                    f"pass a writable array, or declare const {parameter.ctype.item.cname} * if it is only read")
        )  # fmt: skip
    return array


def _wanted(parameter: Parameter) -> str:
    if parameter.text:
        return "characters that can be written to" if parameter.writable else "a str or bytes"
    if parameter.type is not None:
        return f"{'a writable' if parameter.writable else 'an'} array of {parameter.type.name}"
    return f"a {parameter.ctype.cname}"


def _nullable(parameter: Parameter) -> str:
    constant = "" if parameter.writable else "const "
    return f"{constant}{parameter.ctype.item.cname} *_Nullable {parameter.name}"
