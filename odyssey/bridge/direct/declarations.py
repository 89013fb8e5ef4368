"""C declarations, read: what each function takes and returns, and how that travels.

The declarations are C, as a header has them after the preprocessor. Three things that C lets a parameter say are taken
at their word, because they are what decides whether an array may be passed:

- `const float *x` takes a read-only array, `float *x` must have a writable one;
- `float x[n]`, `float x[rows * columns]`: at least so many elements, `n` being another parameter;
- `float *_Nullable x`, `float x[_Nullable n]` (Clang's word): None is passed as NULL.

pycparser reads them for this, cffi for the types.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np

from odyssey._kernels import crossing
from odyssey.bridge import types
from odyssey.bridge.direct.require import cffi, pycparser
from odyssey.errors import DTypeError, FormatError, explain

__all__ = ["Declarations", "Declared", "Kind", "Parameter", "Step", "read"]


class Kind(IntEnum):
    """How a value travels; the numbers are those of `_kernels/crossing.pyx`."""

    VOID = 0
    SIGNED = 1
    UNSIGNED = 2
    TRUTH = 3
    FLOAT = 4
    DOUBLE = 5
    ARRAY = 6
    POINTER = 7
    STATUS = 8
    OTHER = 9
    """What only cffi can pass: structs by value, characters, callbacks."""


class Step(IntEnum):
    """A step in computing how many elements a parameter must have, for a machine with a stack."""

    CONSTANT = 0
    PARAMETER = 1
    ADD = 2
    SUBTRACT = 3
    MULTIPLY = 4
    DIVIDE = 5


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One parameter of a function.

    Attributes:
        name: as declared, or `argument3` where the declaration names none.
        kind: how it travels.
        bits: of an integer.
        type: of a number, or of the elements behind a pointer; None where they are no numbers.
        writable: whether the function may write through the pointer.
        nullable: whether None may be passed.
        text: whether it points to characters.
        size: the steps to how many elements there must be; none where that is not said.
        size_text: the same as it was declared.
        ctype: cffi's type.
    """

    name: str
    kind: Kind
    ctype: Any
    bits: int = 0
    type: types.Type | None = None
    writable: bool = False
    nullable: bool = False
    text: bool = False
    size: tuple[tuple[Step, int], ...] = ()
    size_text: str = ""


@dataclass(frozen=True, kw_only=True)
class Declared:
    """One function.

    Attributes:
        name: its name.
        text: the declaration.
        parameters: in their order.
        variadic: whether arguments without a declaration may follow.
        result: how the result travels, and its bits.
        result_type: cffi's type of it.
        result_name: the type of the result as the declaration spells it.
    """

    name: str
    text: str
    parameters: tuple[Parameter, ...]
    variadic: bool
    result: Kind
    bits: int
    result_type: Any
    result_name: str

    def places(self, registers: tuple[int, int, int] = crossing.REGISTERS) -> list[int] | None:
        """For each parameter its register, or its word of the stack; None where only cffi can call."""
        left = {"integer": registers[0], "real": registers[1], "stack": registers[2]}
        first = {"integer": 0, "real": crossing.FIRST_REAL, "stack": crossing.FIRST_STACKED}
        whole = dict(left)
        if self.variadic or self.result == Kind.OTHER or not registers[0]:
            return None
        places = []
        for parameter in self.parameters:
            if parameter.kind == Kind.OTHER:
                return None
            where = "real" if parameter.kind in (Kind.FLOAT, Kind.DOUBLE) else "integer"
            if not left[where]:
                where = "stack"
            if not left[where]:
                return None
            places.append(first[where] + whole[where] - left[where])
            left[where] -= 1
        return places


@dataclass(frozen=True)
class Declarations:
    """All functions of a text, the names of its constants, and cffi's object that knows its types."""

    ffi: Any
    functions: Mapping[str, Declared] = field(default_factory=dict)
    constants: frozenset[str] = frozenset()


# What stands in for _Nullable while the text is parsed: a qualifier that may stand in the same places.
_NULLABLE = "_Atomic"
_DEFINE = re.compile(r"^[ \t]*#[ \t]*define[ \t]+(\w+)[ \t]+(\S.*?)[ \t]*$", re.M)
_DIRECTIVE = re.compile(r"^[ \t]*#.*$", re.M)
_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.S)
_STANDARD = [
    "int8_t", "int16_t", "int32_t", "int64_t", "uint8_t", "uint16_t", "uint32_t", "uint64_t", "intptr_t", "uintptr_t",
    "size_t", "ssize_t", "ptrdiff_t", "wchar_t", "bool", "FILE",
]  # fmt: skip
_STEPS = {"+": Step.ADD, "-": Step.SUBTRACT, "*": Step.MULTIPLY, "/": Step.DIVIDE}
_MOST_STEPS = 31


def read(text: str) -> Declarations:
    """The functions that a text declares.

    Raises:
        FormatError: it is not C, uses a type that it does not declare, has preprocessor lines other than `#define NAME
            number`, or says a size in a way that cannot be computed from the parameters.

    Example:
        >>> scale = read("int scale(size_t n, const float x[n], float by, float out[n]);").functions["scale"]
        >>> [(one.name, one.kind.name, one.writable, one.size_text) for one in scale.parameters][1:]
        [('x', 'ARRAY', False, 'n'), ('by', 'FLOAT', False, ''), ('out', 'ARRAY', True, 'n')]
    """
    plain = _COMMENT.sub(lambda found: re.sub(r"[^\n]", " ", found.group()), text)
    defines = dict(_DEFINE.findall(plain))
    plain = _DEFINE.sub("", plain)
    directive = _DIRECTIVE.search(plain)
    if directive:
        raise FormatError(
            explain(
                "declarations: expected C without preprocessor lines, but for #define NAME number",
                f"line {plain.count(chr(10), 0, directive.start()) + 1}: {directive.group().strip()}",
                "paste the declarations that are needed, or what `cc -E -P header.h` makes of the header",
            )
        )
    plain = re.sub(r"\b_Nullable\b|\b_Null_unspecified\b", _NULLABLE, plain)
    plain = re.sub(r"\b_Nonnull\b", "", plain)
    plain = re.sub(r"\b__(restrict|const|volatile|inline)(__)?\b", r"\1", plain)
    tree = _parsed(plain, text)
    ffi = cffi().FFI()
    reader = _Reader(ffi, tree, defines)
    try:
        ffi.cdef("\n".join([*(f"#define {name} {value}" for name, value in defines.items()), reader.for_cffi()]))
    except Exception as error:  # cffi raises errors of its own, of pycparser's and of Python's
        raise FormatError(f"declarations: cffi cannot read them: {error}") from None
    return Declarations(ffi, {one.name: one for one in reader.functions()}, reader.constants())


def _parsed(plain: str, text: str) -> Any:
    parser = pycparser()
    prelude = " ".join(f"typedef int {name};" for name in _STANDARD)
    try:
        tree = parser.c_parser.CParser().parse(f"{prelude} {plain}")
    except Exception as error:  # the class differs from version to version
        line = re.search(r":(\d+)", str(error))
        lines = text.splitlines()
        number = int(line.group(1)) if line else 0
        shown = lines[number - 1].strip() if 0 < number <= len(lines) else ""
        raise FormatError(
            explain(
                f"declarations: expected C{f', line {number}' if number else ''}; {str(error).lstrip(':0123456789 ')}",
                shown,
                "types that C's own headers do not have must be declared first: typedef struct thing thing;",
            )
        ) from None
    tree.ext = tree.ext[len(_STANDARD) :]
    return tree


class _Reader:
    """From pycparser's tree to `Declared`; first the tree is made plain enough for cffi."""

    def __init__(self, ffi: Any, tree: Any, defines: Mapping[str, str]) -> None:
        self._ffi = ffi
        self._ast = pycparser().c_ast
        self._write: Callable[[Any], str] = pycparser().c_generator.CGenerator().visit
        self._constants = {name: int(value, 0) for name, value in defines.items() if re.fullmatch(r"\d\w*", value)}
        self._typedefs = {one.name: one.type for one in tree.ext if isinstance(one, self._ast.Typedef)}
        self._tree = tree
        self._said: dict[str, tuple[str, str, list[dict[str, Any]], bool, str]] = {}

    def for_cffi(self) -> str:
        """The text without what only we read, which is noted."""
        for one in self._tree.ext:
            if isinstance(one, self._ast.Decl) and isinstance(one.type, self._ast.FuncDecl):
                self._note(one)
        return self._write(self._tree)

    def constants(self) -> frozenset[str]:
        """The names of numbers: those of #define, and of the enums."""
        names = set(self._constants)

        class Enums(self._ast.NodeVisitor):  # type: ignore[misc, name-defined]
            def visit_Enumerator(self, node: Any) -> None:
                names.add(node.name)

        Enums().visit(self._tree)
        return frozenset(names)

    def _note(self, function: Any) -> None:
        text = re.sub(rf"\b{_NULLABLE}\b", "_Nullable", self._write(function))
        given = list(function.type.args.params) if function.type.args else []
        variadic = bool(given) and isinstance(given[-1], self._ast.EllipsisParam)
        if variadic:
            given.pop()
        if len(given) == 1 and self._is_void(given[0]):
            given.clear()
        result = function.type.type
        name = (
            " ".join(result.type.names) if isinstance(getattr(result, "type", None), self._ast.IdentifierType) else ""
        )
        said = [self._taken(one, place) for place, one in enumerate(given)]
        function.storage, function.funcspec = [], []
        pointer = re.sub(rf"\b{function.name}\b(?=\()", "(*)", self._write(function), count=1)
        self._said[function.name] = (text, pointer, said, variadic, name)

    def _is_void(self, one: Any) -> bool:
        return self._write(one).strip() == "void"

    def _taken(self, parameter: Any, place: int) -> dict[str, Any]:
        """What the parameter says beside its type; in the tree an array becomes the pointer that it is."""
        said: dict[str, Any] = {"name": parameter.name or f"argument{place}", "nullable": False, "sizes": []}
        node = parameter.type
        while isinstance(node, self._ast.ArrayDecl):
            said["nullable"] |= _NULLABLE in node.dim_quals
            said["sizes"].append(node.dim)
            node = node.type
        if said["sizes"]:
            parameter.type = self._ast.PtrDecl([], node)
        pointer = parameter.type
        if isinstance(pointer, self._ast.PtrDecl):
            said["nullable"] |= _NULLABLE in pointer.quals
            pointer.quals = []
        said["constant"] = self._points_to_constant(parameter.type)
        return said

    def _points_to_constant(self, node: Any) -> bool:
        while isinstance(node, self._ast.TypeDecl) and isinstance(node.type, self._ast.IdentifierType):
            if node.type.names[0] not in self._typedefs:
                return False
            node = self._typedefs[node.type.names[0]]
        if not isinstance(node, self._ast.PtrDecl):
            return False
        inner = node.type
        while isinstance(inner, self._ast.TypeDecl):
            if "const" in inner.quals:
                return True
            names = getattr(inner.type, "names", [""])
            if names[0] not in self._typedefs:
                return False
            inner = self._typedefs[names[0]]
        return "const" in list(getattr(inner, "quals", []))

    def functions(self) -> Iterator[Declared]:
        """The functions, once cffi knows the types."""
        for name, (text, pointer, said, variadic, result_name) in self._said.items():
            ctype = self._ffi.typeof(pointer)
            names = [one["name"] for one in said]
            parameters: list[Parameter] = []
            for one, argument in zip(said, ctype.args, strict=True):
                parameters.append(self._parameter(name, one, argument))
            sized = [
                self._with_size(name, parameter, one["sizes"], names, parameters)
                for parameter, one in zip(parameters, said, strict=True)
            ]
            kind, bits, _ = _travels(self._ffi, ctype.result)
            yield Declared(
                name=name, text=text, parameters=tuple(sized), variadic=variadic, result=kind, bits=bits,
                result_type=ctype.result, result_name=result_name,
            )  # fmt: skip

    def _parameter(self, function: str, said: Mapping[str, Any], ctype: Any) -> Parameter:
        kind, bits, row = _travels(self._ffi, ctype)
        pointer = kind in (Kind.ARRAY, Kind.POINTER)
        if said["sizes"] and kind != Kind.ARRAY and not _is_text(ctype):
            raise FormatError(f"declarations: {function}: {said['name']} has a size, but is no array of numbers")
        return Parameter(
            name=said["name"], kind=kind, ctype=ctype, bits=bits, type=row, writable=pointer and not said["constant"],
            nullable=said["nullable"], text=_is_text(ctype),
        )  # fmt: skip

    def _with_size(
        self, function: str, parameter: Parameter, sizes: list[Any], names: list[str], parameters: list[Parameter]
    ) -> Parameter:
        given = [one for one in sizes if one is not None and self._write(one) != "*"]
        if not given:
            return parameter
        text = " * ".join(self._write(one) if len(given) == 1 else f"({self._write(one)})" for one in given)
        steps: list[tuple[Step, int]] = []
        for place, one in enumerate(given):
            steps += self._steps(one, function, names, parameters)
            if place:
                steps.append((Step.MULTIPLY, 0))
        if len(steps) > _MOST_STEPS:
            raise FormatError(f"declarations: {function}: the size {text} is too long to be computed at each call")
        return Parameter(**{**parameter.__dict__, "size": tuple(steps), "size_text": text})

    def _steps(self, node: Any, function: str, names: list[str], parameters: list[Parameter]) -> list[tuple[Step, int]]:
        if isinstance(node, self._ast.Constant) and node.type.endswith("int"):
            return [(Step.CONSTANT, int(node.value.rstrip("uUlL"), 0))]
        if isinstance(node, self._ast.ID):
            if node.name in names:
                place = names.index(node.name)
                if parameters[place].kind in (Kind.SIGNED, Kind.UNSIGNED):
                    return [(Step.PARAMETER, place)]
            elif node.name in self._constants:
                return [(Step.CONSTANT, self._constants[node.name])]
        if isinstance(node, self._ast.BinaryOp) and node.op in _STEPS:
            left = self._steps(node.left, function, names, parameters)
            return [*left, *self._steps(node.right, function, names, parameters), (_STEPS[node.op], 0)]
        raise FormatError(
            explain(
                f"declarations: {function}: a size must be made of integer parameters, numbers, + - * and /",
                f"found {self._write(node)}",
                f"the parameters are {', '.join(names)}",
            )
        )


def _is_text(ctype: Any) -> bool:
    return bool(ctype.kind == "pointer" and ctype.item.kind == "primitive" and ctype.item.cname == "char")


def _travels(ffi: Any, ctype: Any) -> tuple[Kind, int, types.Type | None]:
    """How a value of a type travels, its bits, and its row of the table of types, or that of what it points to."""
    if ctype.kind == "void":
        return Kind.VOID, 0, None
    if ctype.kind == "enum":
        return Kind.SIGNED, 8 * ffi.sizeof(ctype), types.TYPES[f"int{8 * ffi.sizeof(ctype)}"]
    if ctype.kind == "pointer":
        if ctype.item.kind == "primitive" and ctype.item.cname != "char":
            row = _row(ctype.item)
            return (Kind.ARRAY, 64, row) if row else (Kind.POINTER, 64, None)
        return Kind.POINTER, 64, None
    row = _row(ctype) if ctype.kind == "primitive" else None
    if row is None or row.python is complex:
        return Kind.OTHER, 0, row
    if row.python is float:
        return (Kind.FLOAT if row.bytes == 4 else Kind.DOUBLE), 8 * row.bytes, row
    if row.python is bool:
        return Kind.TRUTH, 8, row
    return (Kind.SIGNED if np.dtype(row.name).kind == "i" else Kind.UNSIGNED), 8 * row.bytes, row


_COMPLEX = {"_cffi_float_complex_t": "float _Complex", "_cffi_double_complex_t": "double _Complex"}  # cffi's names


def _row(ctype: Any) -> types.Type | None:
    try:
        return types.from_c(_COMPLEX.get(ctype.cname, ctype.cname))
    except DTypeError:
        return None
