"""Calls by cffi: of what travels neither in a register nor in a word of the stack.

Structs by value, variadic functions, callbacks, characters, more arguments than there is room for, and all functions on
machines whose conventions `crossing.pyx` does not know. The same checks, some microseconds more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from odyssey.bridge.direct.arguments import Arguments, elements
from odyssey.bridge.direct.declarations import Declared, Kind, Parameter
from odyssey.typing import Array

__all__ = ["general_call"]


def general_call(
    declared: Declared, ffi: Any, function: Any, arguments: Arguments, finish: Callable[[int], object] | None
) -> Callable[..., object]:
    """A Python function that calls `function`, cffi's, with checked arguments.

    Args:
        declared: what was declared.
        ffi: cffi's object.
        function: what to call. cffi lets the GIL go for it.
        arguments: the checks.
        finish: of a status that is not 0, or of an address; None where cffi's result is the result.
    """
    names = [one.name for one in declared.parameters]
    count = len(names)

    def call(*given: object, **named: object) -> object:
        if named:
            given = _in_order(declared.name, given, named, names)
        if len(given) < count or (len(given) > count and not declared.variadic):
            arguments.refuse(-1, len(given), ())
        raised: list[BaseException] = []
        taken = [_taken(ffi, arguments, parameter, place, given[place], raised)
                 for place, parameter in enumerate(declared.parameters)]  # fmt: skip
        _check_sizes(declared, arguments, given, taken)
        passed = [_passed(ffi, parameter, one) for parameter, one in zip(declared.parameters, taken, strict=True)]
        result = function(*passed, *given[count:])
        if raised:
            raise raised[0]
        if finish is None:
            return result
        if declared.result == Kind.POINTER or declared.result == Kind.ARRAY:
            return finish(int(ffi.cast("uintptr_t", result)))
        return None if int(result) == 0 else finish(int(result))

    call.__name__ = call.__qualname__ = declared.name
    call.__doc__ = declared.text
    return call


def _in_order(
    function: str, given: tuple[object, ...], named: dict[str, object], names: list[str]
) -> tuple[object, ...]:
    left = names[len(given) :]
    for name in named:
        if name not in left:
            raise TypeError(f"{function}: expected the parameters {', '.join(names)}, each once; found {name!r}")
    if len(named) < len(left):
        missing = ", ".join(name for name in left if name not in named)
        raise TypeError(f"{function}: expected {missing}")
    return (*given, *(named[name] for name in left))


def _taken(
    ffi: Any, arguments: Arguments, parameter: Parameter, place: int, value: object, raised: list[BaseException]
) -> object:
    """What has been checked; what only cffi knows is left for it to check."""
    if parameter.kind != Kind.OTHER:
        return arguments.convert(place, value)
    if parameter.ctype.kind == "function" and callable(value) and not isinstance(value, ffi.CData):
        # Alive for the call alone. What it raises would be lost in C: it is raised when C has returned.
        return ffi.callback(parameter.ctype, value, onerror=lambda kind, error, trace: raised.append(error))
    if value is None and parameter.nullable:
        return ffi.NULL
    return value


def _check_sizes(declared: Declared, arguments: Arguments, given: tuple[object, ...], taken: list[object]) -> None:
    if not any(parameter.size for parameter in declared.parameters):
        return
    words = [one if isinstance(one, int) else 0 for one in taken]
    for place, (parameter, one) in enumerate(zip(declared.parameters, taken, strict=True)):
        if not parameter.size or one is None or isinstance(one, int):
            continue
        found = len(one) if isinstance(one, bytes) else one.size  # type: ignore[attr-defined]
        expected = elements(parameter, words)
        if expected is None or not 0 <= expected <= found:
            arguments.refuse(place, found, words)


def _passed(ffi: Any, parameter: Parameter, value: object) -> object:
    """As cffi wants it."""
    if parameter.kind not in (Kind.ARRAY, Kind.POINTER):
        return value
    if value is None:
        return ffi.NULL
    if isinstance(value, bytes):
        return value
    if isinstance(value, int):
        return ffi.cast(parameter.ctype, value)
    array: Array = value  # type: ignore[assignment]
    return ffi.cast(parameter.ctype, array.ctypes.data)
