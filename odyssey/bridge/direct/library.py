"""`NativeLibrary`: anyone's C library, called with arrays."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from odyssey import errors
from odyssey._kernels import crossing
from odyssey.bridge.direct import search
from odyssey.bridge.direct.arguments import Arguments
from odyssey.bridge.direct.declarations import Declarations, Declared, Kind, Parameter, read
from odyssey.bridge.direct.general import general_call
from odyssey.bridge.direct.status import Status, exception
from odyssey.errors import FormatError, OdysseyError

__all__ = ["MissingSymbolError", "NativeLibrary"]


class MissingSymbolError(OdysseyError, AttributeError):
    """A function that is declared and that the library lacks, or one that is spoken of and not declared."""


class NativeLibrary:
    """A shared library whose declared functions are attributes.

    Arrays go to C as pointers, after a look at what C would not look at: the dtype, whether elements are adjacent and
    aligned, whether there are as many as the declaration says, whether they may be written to. Nothing is copied and
    nothing is converted: float64 for `float *` is an error, and so is 300 for `uint8_t`. The GIL is let go for the
    call, and what was passed lives until it returns.

    ===========================  =============================================================================
    declared                     takes
    ===========================  =============================================================================
    `const float *x`             a float32 array, `memoryview`, DLPack tensor ..., read-only or not
    `float *x`                   the same, writable
    `const float x[rows * n]`    the same, of at least so many elements; `rows` and `n` are other parameters
    `float *_Nullable x`         the same, or None for NULL
    `uint16_t *x`                uint16; float16 and bfloat16 too, as their bits
    `const void *x`              any array
    `const char *text`           str (as UTF-8), bytes; a writable `char *`: a bytearray
    `int`, `size_t`, `double`    a Python number, or a NumPy scalar of the very type, within range
    `thing *`                    what a function returned, or `library.ffi.new("thing *")`
    a function pointer           a Python function, for the call alone; `library.ffi.callback` for longer
    ===========================  =============================================================================

    A result that is a number is a Python number, `const char *` a str, another pointer cffi's; NULL is None. Constants,
    of enums and `#define`, are attributes too; `library.lib` is cffi's view of the library, with its global variables.

    Args:
        name: a path, or a name that is looked for as `odyssey.bridge.direct.search` describes.
        declarations: C declarations, as `odyssey.bridge.direct.declarations` describes; or the path of a file with
            them.
        package: a Python package, in whose folder a bare name is looked for first.
        status: for the name of a result's type, or of a function, what its codes mean: such functions return None on
            success and raise the exception of any other code.
        explain: a declared function `const char *f(code)`, which says a code in words.
        keep_gil: functions, or True for all, that are called with the GIL held: for work of some nanoseconds, which the
            change of hands would double. Such a function must not wait for another thread.

    Raises:
        FileNotFoundError: there is no such library; every place tried is listed.
        FormatError: the declarations cannot be read.
        MissingSymbolError: the library lacks a function that is declared.
        ImportError: cffi is not installed.

    Example:
        >>> import numpy as np
        >>> math = NativeLibrary("m", "double hypot(double x, double y); double frexp(double x, int exponent[1]);")
        >>> math.hypot(3.0, 4.0)
        5.0
        >>> exponent = np.zeros(1, np.int32)
        >>> math.frexp(6.0, exponent), exponent
        (0.75, array([3], dtype=int32))
        >>> math.frexp(6.0, np.zeros(1, np.int64))
        Traceback (most recent call last):
        odyssey.errors.DTypeError: frexp: exponent: expected int32, found int64: nothing is converted on the way
          exponent: (1,) int64
          convert it yourself: exponent.astype(numpy.int32), which copies
    """

    ffi: Any
    """cffi's object: `library.ffi.new("point *")`, `library.ffi.string(...)`."""
    lib: Any
    """cffi's library, unchecked."""
    path: str
    """The file it was found in, or the name by which the system knows it."""

    def __init__(
        self,
        name: str | os.PathLike[str],
        declarations: str | os.PathLike[str],
        *,
        package: str | None = None,
        status: Mapping[str, Mapping[int, Status]] | None = None,
        explain: str | None = None,
        keep_gil: bool | Collection[str] = (),
    ) -> None:
        text = declarations if isinstance(declarations, str) else Path(declarations).read_text()
        found = read(text)
        self.ffi = found.ffi
        self.lib, self.path = search.load(found.ffi, name, package)
        self._declared = found.functions
        taken = sorted({"ffi", "lib", "path"} & {*found.functions, *found.constants})
        if taken:
            raise FormatError(f"declarations: {', '.join(taken)}: the library's object has an attribute of that name")
        addresses = dict(self._addresses(found))
        tables = _tables(found, dict(status or {}))
        kept = set(found.functions) if keep_gil is True else set(keep_gil or ())
        _known(found, "keep_gil", kept)
        self._functions: dict[str, crossing.Function] = {}
        for constant in set(dir(self.lib)) & found.constants:
            setattr(self, constant, getattr(self.lib, constant))
        describe = _describer(found, self.lib, explain)
        for declared in found.functions.values():
            table = tables.get(declared.name)
            setattr(
                self, declared.name, self._callable(declared, addresses, table, describe, declared.name not in kept)
            )

    def _addresses(self, found: Declarations) -> Iterator[tuple[str, int]]:
        missing = []
        for name in found.functions:
            try:
                yield name, int(self.ffi.cast("uintptr_t", getattr(self.lib, name)))
            except AttributeError:
                missing.append(name)
        if missing:
            raise MissingSymbolError(
                errors.explain(
                    f"{self.path}: expected the functions that are declared; it lacks {', '.join(missing)}",
                    remedy='nm -D --defined-only shows what it has; C++ functions need extern "C"',
                )
            )

    def _callable(
        self,
        declared: Declared,
        addresses: Mapping[str, int],
        table: Mapping[int, Status] | None,
        describe: Callable[[int], str],
        releases: bool,
    ) -> Callable[..., object]:
        arguments = Arguments(declared, self.ffi)
        finish = self._finish(declared, table, describe)
        places = declared.places()
        if places is None:
            return general_call(declared, self.ffi, getattr(self.lib, declared.name), arguments, finish)
        names = tuple(one.name for one in declared.parameters)
        function = crossing.Function(
            declared.name,
            f"{declared.name}({', '.join(names)})\n--\n\n{declared.text}",
            addresses[declared.name],
            [_described(one, place) for one, place in zip(declared.parameters, places, strict=True)],
            (Kind.STATUS if table is not None else declared.result, declared.bits),
            releases,
            arguments.convert,
            arguments.refuse,
            finish,
            names,
            self.lib,
        )  # fmt: skip
        self._functions[declared.name] = function
        called: Callable[..., object] = function.callable()
        return called

    def _finish(
        self, declared: Declared, table: Mapping[int, Status] | None, describe: Callable[[int], str]
    ) -> Callable[[int], object] | None:
        if table is not None:
            return partial(_check, f"{Path(self.path).name}: {declared.name}", table, describe)
        if declared.result in (Kind.ARRAY, Kind.POINTER):
            return partial(_pointer, self.ffi, declared.result_type)
        return None

    def __repr__(self) -> str:
        return f"<NativeLibrary {self.path!r}: {len(self._declared)} functions>"


def _described(parameter: Parameter, place: int) -> tuple[int, int, int, bool, int, tuple[tuple[int, int], ...]]:
    """A parameter as `crossing.Function` takes it."""
    anything = parameter.kind == Kind.POINTER and parameter.ctype.item.kind == "void"
    kind = Kind.ARRAY if anything else parameter.kind
    type_num = parameter.type.dtype.num if parameter.kind == Kind.ARRAY and parameter.type else -1
    return kind, parameter.bits, type_num, parameter.writable, place, parameter.size


def _known(found: Declarations, where: str, names: Collection[str]) -> None:
    unknown = sorted(set(names) - set(found.functions))
    if unknown:
        raise MissingSymbolError(f"{where}: expected functions that are declared, found {', '.join(unknown)}")


def _tables(found: Declarations, status: dict[str, Mapping[int, Status]]) -> dict[str, Mapping[int, Status]]:
    """For each function with a status its table."""
    tables = {}
    used = set()
    for declared in found.functions.values():
        for key in (declared.name, declared.result_name):
            if key in status:
                if declared.result not in (Kind.SIGNED, Kind.UNSIGNED):
                    raise MissingSymbolError(
                        f"status: expected functions that return an integer, found {declared.text}"
                    )
                tables[declared.name] = status[key]
                used.add(key)
                break
    unused = sorted(set(status) - used)
    if unused:
        raise MissingSymbolError(
            f"status: expected a result's type or a function that is declared, found {', '.join(unused)}"
        )
    return tables


def _describer(found: Declarations, library: Any, explain: str | None) -> Callable[[int], str]:
    if explain is None:
        return lambda code: ""
    _known(found, "explain", [explain])
    function = getattr(library, explain)

    def describe(code: int) -> str:
        text = function(code)
        return found.ffi.string(text).decode(errors="replace") if text else ""

    return describe


def _check(function: str, table: Mapping[int, Status], describe: Callable[[int], str], code: int) -> None:
    error = exception(function, code, table, describe(code))
    if error is not None:
        raise error


def _pointer(ffi: Any, ctype: Any, address: int) -> object:
    if not address:
        return None
    pointer = ffi.cast(ctype, address)
    if ctype.item.kind == "primitive" and ctype.item.cname == "char":
        return ffi.string(pointer).decode(errors="backslashreplace")
    return pointer
