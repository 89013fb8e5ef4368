"""The text of an extension module: functions typed, and for each that Python calls a way in.

The way in looks whether the arguments are what it was compiled for and otherwise gives `MISS`, so that the caller tries
the next. That costs some nanoseconds an argument and no look into any table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from odyssey.bridge.compiling import raising, tree
from odyssey.bridge.compiling.declarations import COMMON, DECLARATIONS
from odyssey.bridge.compiling.inference import Program
from odyssey.bridge.compiling.kinds import ArrayKind, FunctionKind, Kind, NoneKind, Scalar, TupleKind
from odyssey.bridge.compiling.text import Sites, Writer, c_type, core, results

__all__ = ["Entry", "Module", "generate"]

CODES = {
    "bool": ("Bool", "NPY_BOOL", "NPY_BOOL"), "int8": ("Int8", "NPY_INT8", "NPY_INT8"),
    "int16": ("Int16", "NPY_INT16", "NPY_INT16"), "int32": ("Int32", "NPY_INT32", "NPY_INT32"),
    "int64": ("Int64", "NPY_LONG", "NPY_LONGLONG"), "uint8": ("UInt8", "NPY_UINT8", "NPY_UINT8"),
    "uint16": ("UInt16", "NPY_UINT16", "NPY_UINT16"), "uint32": ("UInt32", "NPY_UINT32", "NPY_UINT32"),
    "uint64": ("UInt64", "NPY_ULONG", "NPY_ULONGLONG"), "float32": ("Float32", "NPY_FLOAT", "NPY_FLOAT"),
    "float64": ("Float64", "NPY_DOUBLE", "NPY_DOUBLE"),
}  # fmt: skip

HEAD = """\
# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: binding=False, always_allow_keywords=False, auto_pickle=False, emit_code_comments=False
from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

"""
BINDING = """\
def bind(miss, places, given):
    global MISS, PLACES
    MISS, PLACES = miss, places
    for place, function in given.items():
        GIVEN.setdefault(place, set()).add(function)

def calls():
    return [CALLS[i] for i in range(sizeof(CALLS) // sizeof(int64_t))]
""".splitlines()


@dataclass(frozen=True)
class Entry:
    """A function that Python calls, and the types of its arguments."""

    function: Any
    kinds: tuple[Kind, ...]
    boundscheck: bool = True


@dataclass
class Module:
    """A module's text and what is in it.

    Attributes:
        text: the Cython text.
        entries: the functions that Python calls, in order; `call_0` is the first.
        functions: all that are in it.
    """

    text: str
    entries: list[tree.Function]
    functions: list[tree.Function]


def generate(entries: Sequence[Entry], reached: Sequence[Any], *, alone: bool = False) -> Module:
    """The text of a module with these functions.

    Args:
        entries: what Python calls.
        reached: these functions and those they call, in the order in which `bind()` is told where they stand.
        alone: where they stand is part of the text, and nobody need call `bind()`.

    Raises:
        CompileError: something in them cannot be compiled.
    """
    program = Program()
    targets = [program.add(entry.function, entry.kinds) for entry in entries]
    program.link()
    functions = list(program.functions.values())
    numbers = {one.__code__: number for number, one in enumerate(reached)}
    places = [(one.__code__.co_filename, one.__code__.co_firstlineno, one.__name__) for one in reached]
    sites = Sites()
    bodies: list[str] = []
    checked = {id(target): entry.boundscheck for target, entry in zip(targets, entries, strict=True)}
    check_all = all(entry.boundscheck for entry in entries)
    writers = [
        Writer(one, numbers[one.source.function.__code__], sites, checks=checked.get(id(one), check_all))
        for one in functions
    ]
    for writer in writers:
        bodies += writer.write()
    ways = [line for number, target in enumerate(targets) for line in _way_in(target, number)]
    ranks = {rank for one in functions for rank in _ranks(one)}
    declared = _declarations(ranks, [*bodies, *ways], len(entries))
    rows = ", ".join(map(repr, sites.rows))
    tail = [
        "",
        f"SITES = ({rows}{',' if len(sites.rows) == 1 else ''})",
        f"PLACES = {tuple(places)!r}" if alone else "PLACES = ()",
        f"cdef object MISS = {'object()' if alone else 'None'}",
        "cdef dict GIVEN = {}",
        "",
        *([] if alone else BINDING),
        "cdef object failed(ody_trouble *trouble):",
        "    ody_drop_all(trouble)",
        "    raise make_error(trouble.kind, trouble.axis, trouble.index, trouble.size, SITES[trouble.site], PLACES)",
        "",
        "cdef void reported(ody_trouble *trouble) noexcept with gil:",
        "    failed(trouble)",
        "",
    ]
    text = HEAD + declared + "\n".join([*bodies, *tail, *ways]) + "\n\n" + _python_part()
    return Module(text, targets, functions)


def _python_part() -> str:
    text = Path(raising.__file__).read_text()
    return text[text.index("KINDS = ") :]


def _ranks(function: tree.Function) -> set[int]:
    kinds = [*function.variables.values(), function.result]
    ranks = {kind.ndim for kind in kinds if isinstance(kind, ArrayKind)}
    ranks |= {item.ndim for kind in kinds for item in results(kind) if isinstance(item, ArrayKind)}
    return ranks | {node.kind.ndim for node in tree.walk(function.body) if isinstance(node, (tree.Alloc, tree.Row))}


def _declarations(ranks: set[int], lines_of_text: list[str], entries: int) -> str:
    used = {word for line in lines_of_text for word in _words(line)}
    structs = []
    lines = []
    for rank in sorted(ranks):
        fields = ", ".join(f"{letter}{axis}" for letter in "ns" for axis in range(rank))
        structs.append(f"    typedef struct {{ char *data; ody_block *owner; int64_t {fields}; }} ody_array{rank};")
        lines += [
            f"    ctypedef struct ody_array{rank}:",
            "        char *data",
            "        ody_block *owner",
            f"        int64_t {fields}",
        ]
    helpers = []
    for name, declaration in sorted(DECLARATIONS.items()):
        if name in used:
            helpers.append(f"    {declaration}")
    return "\n".join([
        "cdef extern from *:",
        '    """',
        '    #include "wrap.h"',
        *structs,
        f"    static int64_t CALLS[{max(entries, 1)}];",
        '    """',
        "    ctypedef struct ody_block:",
        "        void *data",
        "    ctypedef struct ody_trouble:",
        "        int kind, site, axis, depth",
        "        int64_t index, size",
        "        ody_block *blocks",
        *lines,
        f"    int64_t CALLS[{max(entries, 1)}]",
        "    double HUGE_VAL, NAN",
        "    int64_t INT64_MIN",
        "    enum:",
        "        ODY_UNBOUND, ODY_STEP, ODY_DEPTH, ODY_RAISED",
        "        " + ", ".join(sorted({code for codes in CODES.values() for code in codes[1:]})),
        *(f"    {line}" for line in COMMON),
        *helpers,
        "",
        "_import_array()",
        "",
        "",
    ])  # fmt: skip


def _words(line: str) -> set[str]:
    return set("".join(char if char.isalnum() or char == "_" else " " for char in line).split())


def _way_in(function: tree.Function, number: int) -> list[str]:
    """The function that Python calls."""
    names = [f"a{place}" for place in range(len(function.parameters))]
    lines = [f"def call_{number}({', '.join(names)}):"]
    lines.append("    cdef ody_trouble trouble")
    lines.append("    cdef int status")
    declared, tests, taken, given, arrays = [], [], [], [], []
    for place, (name, kind) in enumerate(function.parameters):
        own = f"a{place}"
        if isinstance(kind, FunctionKind):
            tests.append(f"    if {own} not in <set>GIVEN['{number}.{place}']: return MISS")
            continue
        value = f"x{place}"
        given.append(value)
        declared.append(f"    cdef {c_type(kind)} {value}")
        if isinstance(kind, ArrayKind):
            arrays.append(own)
            _, one, other = CODES[kind.dtype]
            tests.append(
                f"    if not ody_is_array({own}, {one}, {other}, {kind.ndim}, {int(kind.contiguous)}): return MISS"
            )
            if name in function.written:
                taken.append(f"    if not ody_is_writable({own}):")
                taken.append(
                    f'        raise ValueError("{function.source.name}: {name} is read-only, and is written to: '
                    f'hand over {name}.copy()")'
                )
            taken.append(f"    {value}.data = ody_data({own})")
            taken.append(f"    {value}.owner = NULL")
            for axis in range(kind.ndim):
                taken.append(f"    {value}.n{axis} = ody_length({own}, {axis})")
                taken.append(f"    {value}.s{axis} = ody_stride({own}, {axis})")
        elif (isinstance(kind, Scalar) and kind.weak) or isinstance(kind, Scalar):
            tests.append(f"    if not ody_take_{kind.name}({own}, &{value}): return MISS")
    outs = results(function.result)
    for place, kind in enumerate(outs):
        declared.append(f"    cdef {c_type(kind)} r{place}")
        given.append(f"&r{place}")
    call = f"status = {core(function)}({', '.join([*given, '&trouble'])})"
    lines += [
        *declared,
        *tests,
        *taken,
        f"    CALLS[{number}] += 1",
        "    trouble.depth = 0",
        "    trouble.blocks = NULL",
    ]
    lines += ["    with nogil:", f"        {call}"] if function.loops else [f"    {call}"]
    lines += ["    if ody_bad(status):", "        return failed(&trouble)"]
    lines.append(f"    return {_result(function.result, iter(range(len(outs))), f'({_tuple(arrays)})')}")
    return [*lines, "", *_plain(function, number)]


def _plain(function: tree.Function, number: int) -> list[str]:
    """The function as C calls it, if numbers alone go in and out."""
    kinds = [kind for _, kind in function.parameters]
    outs = results(function.result)
    if not all(isinstance(kind, Scalar) for kind in kinds) or isinstance(function.result, (TupleKind, ArrayKind)):
        return []
    names = [f"x{place}" for place in range(len(kinds))]
    given = ", ".join(f"{c_type(kind)} {name}" for kind, name in zip(kinds, names, strict=True))
    result = c_type(outs[0]) if outs else "void"
    handed = ", ".join([*names, *(["&r0"] if outs else []), "&trouble"])
    lines = [f"cdef {result} plain_{number}({given}) noexcept nogil:", "    cdef ody_trouble trouble"]
    if outs:
        lines.append(f"    cdef {result} r0")
    lines += ["    trouble.depth = 0", "    trouble.blocks = NULL"]
    lines += [f"    if ody_bad({core(function)}({handed})):", "        reported(&trouble)"]
    if outs:
        nothing = "NAN" if isinstance(outs[0], Scalar) and outs[0].floating else "0"
        lines += [f"        r0 = {nothing}", "    return r0"]
    else:
        lines.append("        return")
    lines += ["", f"def address_{number}():", f"    return <size_t>&plain_{number}, {str(function.result)!r}", ""]
    return lines


def _tuple(names: list[str]) -> str:
    return ", ".join(names) + ("," if len(names) == 1 else "")


def _result(kind: Kind, places: Any, arrays: str) -> str:
    """The Python object for what came out."""
    if isinstance(kind, NoneKind):
        return "None"
    if isinstance(kind, TupleKind):
        return f"({_tuple([_result(item, places, arrays) for item in kind.items])})"
    name = f"r{next(places)}"
    if isinstance(kind, ArrayKind):
        return (
            f"ody_give_array({name}.data, {name}.owner, {kind.ndim}, &{name}.n0, &{name}.s0, {CODES[kind.dtype][1]}, "
            f"{arrays})"
        )
    assert isinstance(kind, Scalar)
    if kind == Scalar("bool"):
        return f"({name} != 0)"
    return name if kind.weak else f"ody_give_{kind.dtype}({name})"
