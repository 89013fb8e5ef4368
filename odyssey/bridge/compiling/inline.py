"""A function whose body is C: for what Python cannot say, an intrinsic or a loop over bits."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from odyssey.bridge import types
from odyssey.bridge.compiling import cache, functions
from odyssey.bridge.compiling.cache import blake2b
from odyssey.errors import CompileError, DTypeError, LayoutError, ShapeError, describe, explain

__all__ = ["InlineC", "inline_c"]

CODES = {
    "bool": "NPY_BOOL", "int8": "NPY_INT8", "int16": "NPY_INT16", "int32": "NPY_INT32", "int64": "NPY_LONG",
    "uint8": "NPY_UINT8", "uint16": "NPY_UINT16", "uint32": "NPY_UINT32", "uint64": "NPY_ULONG",
    "float32": "NPY_FLOAT", "float64": "NPY_DOUBLE", "complex64": "NPY_CFLOAT", "complex128": "NPY_CDOUBLE",
}  # fmt: skip
OTHER = {"NPY_LONG": "NPY_LONGLONG", "NPY_ULONG": "NPY_ULONGLONG"}


@dataclass(frozen=True)
class Parameter:
    """An argument: a number, or an array with a name or a number for each of its lengths."""

    name: str
    row: types.Type
    lengths: tuple[str, ...]
    constant: bool

    @property
    def is_array(self) -> bool:
        """It has lengths."""
        return bool(self.lengths)


class InlineC:
    """A compiled C body; see `inline_c`."""

    def __init__(
        self, body: str, signature: str, includes: Sequence[str], flags: Sequence[str], fastmath: bool
    ) -> None:
        self.signature = " ".join(signature.split())
        self.name, self.result, self.parameters = _parse(signature)
        self.__name__ = self.name
        self.__doc__ = self.signature
        self._flags = tuple(flags)
        self._fastmath = fastmath
        self.text = _text(self, body, includes)
        self._module = self._compiled()
        self._call: Callable[..., Any] = self._module.call_0

    def __call__(self, *args: Any) -> Any:
        """Run the body, without the GIL.

        Raises:
            DTypeError: an argument of another type.
            ShapeError: another number of axes, or lengths that do not belong together.
            LayoutError: an array that is not C-contiguous and aligned, or read-only where it is written to.
        """
        result = self._call(*args)
        if result is not functions.MISS:
            return result
        result = self._call(*self._checked(args))
        if result is functions.MISS:
            raise self._shapes(args)
        return result

    def __repr__(self) -> str:
        return f"<inline_c {self.signature}>"

    def _checked(self, args: Sequence[Any]) -> list[Any]:
        done: list[Any] = []
        for one, value in zip(self.parameters, args, strict=True):
            where = f"{self.name}: {one.name}"
            if not one.is_array:
                done.append(types.scalar(value, one.row.name, where))
                continue
            if not isinstance(value, np.ndarray):
                raise DTypeError(
                    explain(f"{where}: expected an array of {one.row.name}", f"found {type(value).__name__}")
                )
            types.require(value, one.row.name, one.name)
            if value.ndim != len(one.lengths):
                raise ShapeError(explain(f"{where}: expected {len(one.lengths)} axes", describe(**{one.name: value})))
            if not value.flags.c_contiguous or not value.flags.aligned:
                raise LayoutError(
                    explain(
                        f"{where}: expected a C-contiguous array", f"found strides {value.strides}",
                        f"np.ascontiguousarray({one.name})",
                    )
                )  # fmt: skip
            if not one.constant and not value.flags.writeable:
                raise LayoutError(
                    explain(
                        f"{where}: expected an array to write to",
                        "found a read-only one",
                        f"{one.name}.copy(), or const",
                    )
                )
            done.append(value)
        return done

    def _shapes(self, args: Sequence[Any]) -> ShapeError:
        arrays = {one.name: value for one, value in zip(self.parameters, args, strict=True) if one.is_array}
        return ShapeError(explain(f"{self.name}: expected the lengths of {self.signature}", describe(**arrays)))

    def _compiled(self) -> ModuleType:
        state = blake2b(cache.environment(), digest_size=16)
        state.update(f"{self.text}\n{self._flags} {self._fastmath}".encode())
        key = state.hexdigest()
        with functions._lock:
            module = functions._modules.get(key)
            if module is None:
                try:
                    module, found, problem = cache.obtain(key, partial(self._make, key))
                except OSError as error:
                    raise CompileError(f"{self.name}: expected room to compile, found: {error}") from error
                functions._counts["hits" if found else "compiled"] += 1
                if problem is not None:
                    functions._unkept(problem)
                module.bind(functions.MISS)
                functions._modules[key] = module
            return module

    def _make(self, key: str, place: Path) -> Path:
        from odyssey.bridge.compiling.build import BuildError, build
        from odyssey.bridge.compiling.toolchain import missing

        problem = missing()
        if problem is not None:
            raise CompileError(f"{self.name}: expected to compile C, found: {problem}")
        try:
            return build(self.text, cache.module_name(key), place, fastmath=self._fastmath, flags=self._flags)
        except BuildError as error:
            raise CompileError(f"{self.name}: the compiler refuses it\n{_own_lines(str(error))}") from None


def inline_c(
    body: str,
    signature: str,
    *,
    includes: Sequence[str] = (),
    flags: Sequence[str] = (),
    fastmath: bool = False,
) -> InlineC:
    """A function of Python's whose body is C: compiled now, or taken from the cache.

    Args:
        body: what stands between the braces. Beside its parameters it knows the lengths' names, as `int64_t`.
        signature: its result, name and parameters: `double dot(const double x[n], const double y[n])`. An array has
            its lengths in brackets: a name, which stands for one number wherever it is repeated, or a number. `const`
            arrays may be read-only. Other parameters are numbers.
        includes: headers: `"immintrin.h"`. `math.h`, `stdint.h`, `stdlib.h` and `string.h` are there.
        flags: for the compiler, beside `-O3 -march=native`.
        fastmath: as for `jit`.

    Returns:
        The function. Calls check types, lengths and layout, and release the GIL.

    Raises:
        CompileError: a signature that is none, C that is none, or no compiler.

    Example:
        >>> from odyssey.bridge import inline_c
        >>> axpy = inline_c(
        ...     "for (int64_t i = 0; i < n; i++) y[i] += alpha * x[i];",
        ...     "void axpy(double alpha, const double x[n], double y[n])",
        ... )
        >>> y = np.ones(3)
        >>> axpy(2.0, np.arange(3.0), y)
        >>> y
        array([1., 3., 5.])
    """
    return InlineC(body, signature, includes, flags, fastmath)


def _own_lines(said: str) -> str:
    """Of the compiler's words those about the body."""
    lines = said.splitlines()[1:]
    return "\n".join(line for line in lines if "pyx" not in line)[:2000]


def _parse(signature: str) -> tuple[str, types.Type | None, list[Parameter]]:
    found = re.fullmatch(r"\s*([\w\s]+?)\s+(\w+)\s*\(([^()]*)\)\s*;?\s*", signature)
    if not found:
        raise CompileError(
            f"inline_c: expected a signature such as double dot(const double x[n])\n  found {signature!r}"
        )
    result = None if found[1] == "void" else _number(found[1], signature)
    parameters = []
    for text in filter(None, (part.strip() for part in found[3].split(","))):
        if text == "void":
            continue
        part = re.fullmatch(r"(const\s+)?([\w\s]+?)\s+(\w+)((?:\s*\[\s*\w+\s*\])*)", text)
        if not part:
            remedy = "\n  an array has its lengths in brackets: const double x[n]" if "*" in text else ""
            raise CompileError(
                f"inline_c: expected a parameter such as double x or const double x[n]\n  found {text!r}{remedy}"
            )
        lengths = tuple(re.findall(r"\w+", part[4]))
        parameters.append(Parameter(part[3], _number(part[2], text, array=bool(lengths)), lengths, bool(part[1])))
    names = [one.name for one in parameters]
    if len(set(names)) < len(names):
        raise CompileError(f"inline_c: expected names that differ\n  found {', '.join(names)}")
    return found[2], result, parameters


def _number(name: str, where: str, *, array: bool = False) -> types.Type:
    row = types.from_c(name)
    if row.name not in CODES or (row.python is complex and not array):
        raise CompileError(f"inline_c: expected real numbers, and arrays of numbers\n  found {name} in {where!r}")
    return row


def _text(made: InlineC, body: str, includes: Sequence[str]) -> str:
    own = {one.name for one in made.parameters}
    names: list[str] = []
    for one in made.parameters:
        names += [length for length in one.lengths if not length.isdigit() and length not in (*names, *own)]
    given = []
    for one in made.parameters:
        pointer = "*restrict " if one.is_array else ""
        given.append(f"{'const ' if one.constant else ''}{one.row.c} {pointer}{one.name}")
    given += [f"int64_t {name}" for name in names]
    headers = [f"#include <{name}>" for name in includes]
    result = made.result.c if made.result else "void"
    plain = [
        f"static {result} {made.name}({', '.join(given) or 'void'}) {{",
        f'#line 1 "{made.name}"',
        *body.splitlines(),
        "}",
    ]
    way, declared = _way_in(made, names)
    quoted = "\n".join(line.replace("\\", "\\\\").replace('"""', '\\"\\"\\"') for line in [*headers, *plain])
    lines = [
        "# cython: language_level=3, binding=False, always_allow_keywords=False, cdivision=True",
        "from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t",
        "cdef extern from *:",
        '    """',
        '    #include "wrap.h"',
        "    static int64_t CALLS;",
        quoted,
        '    """',
        "    int64_t CALLS",
        "    enum:",
        f"        {', '.join(sorted({*CODES.values(), *OTHER.values()}))}",
        "    int _import_array() except -1",
        "    bint ody_is_array(object, int, int, int, bint)",
        "    char *ody_data(object)",
        "    int64_t ody_length(object, int)",
        "    bint ody_is_writable(object)",
        "    int ody_take_int(object, int64_t *) except -1",
        "    bint ody_take_float(object, double *)",
        "    bint ody_take_bool(object, bint *)",
        declared,
        "_import_array()",
        "cdef object MISS = None",
        "def bind(miss):",
        "    global MISS",
        "    MISS = miss",
        "def calls():",
        "    return [CALLS]",
        *way,
    ]
    return "\n".join(lines) + "\n"


def _way_in(made: InlineC, names: list[str]) -> tuple[list[str], str]:
    own = {one.name: f"x{place}" for place, one in enumerate(made.parameters)}
    lines = [f"def call_0({', '.join(f'a{place}' for place in range(len(own)))}):"]
    checks: list[str] = []
    handed = []
    known: dict[str, str] = {}
    types_of = []
    for place, one in enumerate(made.parameters):
        value, argument = f"x{place}", f"a{place}"
        if not one.is_array:
            checks += _take(one, value, argument, lines)
            handed.append(value)
            types_of.append("double" if one.row.python is float else "int64_t")
            continue
        code = CODES[one.row.name]
        checks.append(
            f"    if not ody_is_array({argument}, {code}, {OTHER.get(code, code)}, {len(one.lengths)}, 1): return MISS"
        )
        if not one.constant:
            checks.append(f"    if not ody_is_writable({argument}): return MISS")
        for axis, length in enumerate(one.lengths):
            actual = f"ody_length({argument}, {axis})"
            if length.isdigit():
                checks.append(f"    if {actual} != {length}: return MISS")
            elif length in known:
                checks.append(f"    if {actual} != {known[length]}: return MISS")
            elif length not in own:
                known[length] = f"n_{length}"
                lines.append(f"    cdef int64_t n_{length}")
                checks.append(f"    n_{length} = {actual}")
        handed.append(f"<void *>d{place}")
        lines.append(f"    cdef char *d{place}")
        checks.append(f"    d{place} = ody_data({argument})")
        types_of.append("void *")
    for place, one in enumerate(made.parameters):  # lengths that are parameters: when all are there
        for axis, length in enumerate(one.lengths):
            if length in own:
                checks.append(f"    if ody_length(a{place}, {axis}) != {own[length]}: return MISS")
    handed += [known[name] for name in names]
    types_of += ["int64_t"] * len(names)
    result = made.result
    c = (
        "void"
        if result is None
        else "double"
        if result.python is float
        else "int64_t"
        if result.name != "uint64"
        else "uint64_t"
    )
    declared = f'    {c} {made.name} "{made.name}"({", ".join(types_of)}) nogil'
    call = f"{made.name}({', '.join(handed)})"
    if result is not None:
        lines.append(f"    cdef {c} result")
    lines += [
        *checks,
        "    global CALLS",
        "    CALLS += 1",
        "    with nogil:",
        f"        {call if result is None else f'result = {call}'}",
    ]
    if result is not None:
        lines.append("    return result != 0" if result.python is bool else "    return result")
    return lines, declared


def _take(one: Parameter, value: str, argument: str, lines: list[str]) -> list[str]:
    row = one.row
    if row.python is float:
        lines.append(f"    cdef double {value}")
        return [f"    if not ody_take_float({argument}, &{value}): return MISS"]
    if row.python is bool:
        lines.append(f"    cdef bint {value}")
        return [f"    if not ody_take_bool({argument}, &{value}): return MISS"]
    lines.append(f"    cdef int64_t {value}")
    limits = np.iinfo(row.name)
    checks = [f"    if not ody_take_int({argument}, &{value}): return MISS"]
    if row.bytes < 8:
        checks.append(f"    if not {limits.min} <= {value} <= {limits.max}: return MISS")
    elif row.name == "uint64":
        checks.append(f"    if {value} < 0: return MISS")
    return checks
