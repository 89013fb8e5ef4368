"""The typed form between the syntax tree and Cython's text: each expression with its type.

Everything Python does on the way is written out here: conversions, checks that may fail, which of several meanings an
operator has. Whoever turns it into text decides nothing more, and whoever proves bounds reads plain arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from odyssey.bridge.compiling.kinds import BOOL, INT, ArrayKind, Kind, NoneKind, Scalar, TupleKind


@dataclass(eq=False, slots=True)
class Const:
    """A number that is known."""

    value: Any
    kind: Scalar


@dataclass(eq=False, slots=True)
class Var:
    """A local variable; `maybe` where it may not have a value yet, which is checked."""

    name: str
    kind: Kind
    line: int = 0
    maybe: bool = False


@dataclass(eq=False, slots=True)
class Dim:
    """An array's length along an axis."""

    array: Var
    axis: int
    kind: Scalar = INT


@dataclass(eq=False, slots=True)
class Load:
    """An array's element."""

    array: Var
    index: list[Expr]
    line: int
    kind: Scalar


@dataclass(eq=False, slots=True)
class Row:
    """The rest of an array behind its first axes: a view."""

    array: Var
    index: list[Expr]
    line: int
    kind: ArrayKind


@dataclass(eq=False, slots=True)
class Alloc:
    """A new array; `fill` None leaves what is there, and zeros cost nothing."""

    shape: list[Expr]
    fill: Expr | None
    line: int
    kind: ArrayKind


@dataclass(eq=False, slots=True)
class Arith:
    """An operator of C whose operands have the result's type."""

    op: str
    a: Expr
    b: Expr
    kind: Scalar


@dataclass(eq=False, slots=True)
class Negative:
    """-x."""

    x: Expr
    kind: Scalar


@dataclass(eq=False, slots=True)
class Compare:
    """A comparison of two numbers of one type."""

    op: str
    a: Expr
    b: Expr
    kind: Scalar = BOOL


@dataclass(eq=False, slots=True)
class Logic:
    """`a and b`, `a or b`: the value that decides."""

    op: str
    a: Expr
    b: Expr
    kind: Scalar


@dataclass(eq=False, slots=True)
class Not:
    """Not x, where x is a truth value."""

    x: Expr
    kind: Scalar = BOOL


@dataclass(eq=False, slots=True)
class Select:
    """A if condition else b."""

    condition: Expr
    a: Expr
    b: Expr
    kind: Scalar


@dataclass(eq=False, slots=True)
class Convert:
    """A number as another type, by C's conversion."""

    x: Expr
    kind: Scalar


@dataclass(eq=False, slots=True)
class Call:
    """A function of runtime.h or of C's library; `fails` says that it may raise, and is then given where to say so."""

    function: str
    args: list[Expr]
    kind: Scalar
    line: int = 0
    fails: bool = False


@dataclass(eq=False, slots=True)
class JitCall:
    """A call of another compiled function."""

    target: Function
    args: list[Expr]
    kind: Kind
    line: int


@dataclass(eq=False, slots=True)
class Keep:
    """An expression whose value a hidden variable keeps, as it is used twice."""

    name: str
    x: Expr
    kind: Scalar


@dataclass(eq=False, slots=True)
class Tuple:
    """Several values."""

    items: list[Expr]
    kind: TupleKind


@dataclass(eq=False, slots=True)
class Nothing:
    """None."""

    kind: NoneKind


@dataclass(eq=False, slots=True)
class Callee:
    """A compiled function as a value: its type says all of it."""

    kind: Kind


Expr: TypeAlias = (
    Const | Var | Dim | Load | Row | Alloc | Arith | Negative | Compare | Logic | Not | Select | Convert | Call
    | JitCall | Keep | Tuple | Nothing | Callee
)  # fmt: skip


@dataclass(eq=False, slots=True)
class Assign:
    """Name = x."""

    name: str
    x: Expr


@dataclass(eq=False, slots=True)
class Unpack:
    """Names = items of a tuple that a call gave, all at once; None for one nobody wants."""

    names: list[str]
    x: JitCall


@dataclass(eq=False, slots=True)
class Store:
    """Array[index] = x, where x has the element's type."""

    array: Var
    index: list[Expr]
    x: Expr
    line: int


@dataclass(eq=False, slots=True)
class If:
    """A branch."""

    condition: Expr
    body: list[Stmt]
    orelse: list[Stmt]


@dataclass(eq=False, slots=True)
class While:
    """A loop with a condition."""

    condition: Expr
    body: list[Stmt]
    orelse: list[Stmt]


@dataclass(eq=False, slots=True)
class For:
    """A loop over a range; start, stop and step are evaluated once."""

    target: str
    start: Expr
    stop: Expr
    step: Expr
    body: list[Stmt]
    orelse: list[Stmt]
    line: int


@dataclass(eq=False, slots=True)
class Jump:
    """`break` or `continue`."""

    word: str


@dataclass(eq=False, slots=True)
class Return:
    """The end, with a value of the function's type."""

    x: Expr


@dataclass(eq=False, slots=True)
class Raise:
    """An exception with a text that is known."""

    exception: str
    message: str
    line: int


@dataclass(eq=False, slots=True)
class Evaluate:
    """An expression for what it does."""

    x: Expr


Stmt: TypeAlias = Assign | Unpack | Store | If | While | For | Jump | Return | Raise | Evaluate


@dataclass(eq=False)
class Function:
    """A function typed for certain arguments.

    Attributes:
        source: where it comes from.
        parameters: its arguments' names and types.
        result: what it returns.
        variables: the type of each local, parameters included.
        body: what it does.
        flagged: locals that may be read before they have a value.
        written: parameters whose arrays it writes into.
        owners: locals that may hold arrays made here.
        recursive: it calls itself, perhaps by way of others.
        loops: it has a loop, or calls a function that has one.
    """

    source: Any
    parameters: list[tuple[str, Kind]]
    result: Kind
    symbol: str = ""
    variables: dict[str, Kind] = field(default_factory=dict)
    body: list[Stmt] = field(default_factory=list)
    flagged: set[str] = field(default_factory=set)
    written: set[str] = field(default_factory=set)
    recursive: bool = False
    loops: bool = False


def walk(nodes: Iterable[Any]) -> Iterator[Any]:
    """Each node and all that is in it, outer ones first."""
    for node in nodes:
        yield node
        for name in getattr(node, "__slots__", ()):
            part = getattr(node, name)
            if isinstance(part, list):
                yield from walk(part)
            elif hasattr(part, "__slots__"):
                yield from walk([part])


def assigned(nodes: Iterable[Any]) -> set[str]:
    """The locals that these statements give a value to; a tuple's by its name."""
    names: set[str] = set()
    for node in walk(nodes):
        if isinstance(node, (Assign, Keep)):
            names.add(node.name)
        elif isinstance(node, Unpack):
            names.update(node.names)
        elif isinstance(node, For):
            names.add(node.target)
    return names
