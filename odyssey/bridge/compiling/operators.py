"""What Python's operators mean for two types: expressions in, an expression out.

Between Python's own numbers they are Python's: `/` and `//` by zero raise, integers divide towards minus infinity, a
comparison of an integer with a float is exact. As soon as a NumPy scalar takes part they are NumPy's: a division by
zero gives inf, nan or, of integers, 0, and small integers wrap.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from odyssey.bridge.compiling.kinds import (
    BOOL,
    FLOAT,
    FLOAT64,
    INT,
    INT64,
    NUMPY_BOOL,
    Scalar,
    arithmetic,
    join,
)
from odyssey.bridge.compiling.tree import Arith, Call, Compare, Const, Convert, Expr, Logic, Negative, Not, Var

__all__ = ["Refused", "arith", "coerce", "compare", "invert", "is_pure", "literal", "logic", "negate", "truth"]

EXACT = 2**53  # whole numbers up to here are floats, all of them
NAMES = {"+": "add", "-": "sub", "*": "mul", "/": "div", "//": "floordiv", "%": "mod", "**": "pow",
         "<<": "lshift", ">>": "rshift", "&": "and", "|": "or", "^": "xor"}  # fmt: skip
FOLD: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "//": operator.floordiv,
    "%": operator.mod, "**": operator.pow, "&": operator.and_, "|": operator.or_, "^": operator.xor,
}  # fmt: skip
SWAPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}


class Refused(Exception):
    """An operation that has no compiled form, and what to write instead."""

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(problem)
        self.problem, self.remedy = problem, remedy


def literal(value: float) -> Const:
    """A number of Python's that is known.

    Raises:
        Refused: an integer of more than 64 bits.
    """
    if isinstance(value, bool):
        return Const(value, BOOL)
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise Refused(f"the integer {value} has more than 64 bits")
        return Const(value, INT)
    return Const(float(value), FLOAT)


def scalar(x: Expr) -> Scalar:
    """Its type, if it is a number.

    Raises:
        Refused: it is none.
    """
    if not isinstance(x.kind, Scalar):
        what = "an array" if hasattr(x.kind, "ndim") else "a tuple" if hasattr(x.kind, "items") else str(x.kind)
        remedy = "compute with its elements, in a loop" if what == "an array" else ""
        raise Refused(f"expected a number, found {what}", remedy)
    return x.kind


def is_pure(x: Expr) -> bool:
    """It costs nothing to write it down twice."""
    return isinstance(x, Const) or (isinstance(x, Var) and not x.maybe)


def coerce(x: Expr, kind: Scalar, line: int = 0) -> Expr:
    """The number as another type, which its own fits into; an integer of Python's has to fit by its value."""
    own = scalar(x)
    if own == kind:
        return x
    if kind.boolean:
        return truth(x)
    if isinstance(x, Const) and not kind.boolean:
        if kind.floating:
            return Const(float(x.value), kind)
        limits = np.iinfo(kind.dtype)
        if not own.floating and limits.min <= x.value <= limits.max:
            return Const(int(x.value), kind)
    if own == INT and kind.integer and kind.dtype != "int64":
        return Call(f"ody_fit_{kind.dtype}", [x], kind, line, fails=True)
    return Convert(x, kind)


def truth(x: Expr) -> Expr:
    """`bool(x)`."""
    kind = scalar(x)
    if kind.boolean:
        return x
    if isinstance(x, Const):
        return Const(bool(x.value), BOOL)
    return Compare("!=", x, Const(0, kind), BOOL if kind.weak else NUMPY_BOOL)


def negate(x: Expr) -> Expr:
    """`-x`."""
    kind = scalar(x)
    if kind == NUMPY_BOOL:
        raise Refused("NumPy has no - for truth values", "write not x, or -int(x)")
    if isinstance(x, Const) and kind.weak:
        return literal(-x.value)
    if kind == BOOL:
        x, kind = Convert(x, INT), INT
    return Negative(x, kind)


def invert(x: Expr) -> Expr:
    """`~x`."""
    kind = scalar(x)
    if kind.floating:
        raise Refused("~ of a float")
    if kind == NUMPY_BOOL:
        return Not(x, NUMPY_BOOL)
    if kind == BOOL:
        x, kind = Convert(x, INT), INT
    return Arith("^", x, Const(-1 if kind.name[0] != "u" else np.iinfo(kind.dtype).max, kind), kind)


def arith(op: str, a: Expr, b: Expr, line: int) -> Expr:
    """`a op b` for an operator of two numbers."""
    ka, kb = scalar(a), scalar(b)
    if op in ("&", "|", "^", "<<", ">>"):
        return _bits(op, a, b, line)
    kind = arithmetic(ka, kb)
    if kind == NUMPY_BOOL:
        raise Refused(f"{op} of two truth values of NumPy's", "write int(...) around one, or & and |")
    if isinstance(a, Const) and isinstance(b, Const) and kind.weak:
        folded = _fold(op, a.value, b.value)
        if folded is not None:
            return folded
    if op == "/":
        return _divide(a, b, kind, line)
    if op == "**":
        return _power(a, b, kind, line)
    a, b = coerce(a, kind, line), coerce(b, kind, line)
    if op in ("+", "-", "*"):
        return Arith(op, a, b, kind)
    if kind.integer and isinstance(b, Const) and b.value > 0 and b.value & (b.value - 1) == 0:
        # A shift and a mask are what Python's // and % are, also of negative numbers.
        if op == "%":
            return Arith("&", a, Const(b.value - 1, kind), kind)
        return Arith(">>", a, Const(b.value.bit_length() - 1, kind), kind)
    return Call(f"ody_{NAMES[op]}_{kind.name}", [a, b], kind, line, fails=kind.weak)


def _fold(op: str, a: Any, b: Any) -> Const | None:
    try:
        value = FOLD[op](a, b)
        return literal(value) if isinstance(value, (int, float)) else None
    except (ArithmeticError, Refused):
        return None  # it is raised, or wraps, when the line is reached


def _divide(a: Expr, b: Expr, kind: Scalar, line: int) -> Expr:
    if kind.weak:
        if kind == INT:
            return Call("ody_div_int", [coerce(a, INT), coerce(b, INT)], FLOAT, line, fails=True)
        a, b = coerce(a, FLOAT), coerce(b, FLOAT)
        if isinstance(b, Const) and b.value != 0:
            return Arith("/", a, b, FLOAT)
        return Call("ody_div_float", [a, b], FLOAT, line, fails=True)
    a, b = coerce(a, kind, line), coerce(b, kind, line)
    if not kind.floating:
        a, b, kind = Convert(a, FLOAT64), Convert(b, FLOAT64), FLOAT64
    return Arith("/", a, b, kind)


def _power(a: Expr, b: Expr, kind: Scalar, line: int) -> Expr:
    if kind == INT and isinstance(b, Const) and b.value < 0:
        kind = FLOAT  # 2 ** -1 is a half
    elif kind.integer and isinstance(b, Const) and b.value in (1, 2, 3) and is_pure(a):
        a = coerce(a, kind, line)
        product = a
        for _ in range(b.value - 1):
            product = Arith("*", product, a, kind)
        return product
    return Call(
        f"ody_pow_{kind.name}", [coerce(a, kind, line), coerce(b, kind, line)], kind, line,
        fails=kind.weak or kind.integer,
    )  # fmt: skip


def _bits(op: str, a: Expr, b: Expr, line: int) -> Expr:
    ka, kb = scalar(a), scalar(b)
    if ka.floating or kb.floating:
        raise Refused(f"{op} of floats")
    if op not in ("<<", ">>"):
        if ka.boolean and kb.boolean:
            return Arith(op, a, b, BOOL if ka.weak and kb.weak else NUMPY_BOOL)
        kind = arithmetic(ka, kb)
        return Arith(op, coerce(a, kind, line), coerce(b, kind, line), kind)
    kind = arithmetic(ka, kb)
    if kind == NUMPY_BOOL:
        raise Refused(f"{op} of two truth values")
    a, b = coerce(a, kind, line), coerce(b, kind, line)
    return Call(f"ody_{NAMES[op]}_{kind.name}", [a, b], kind, line, fails=kind.weak)


def compare(op: str, a: Expr, b: Expr) -> Expr:
    """`a op b` for a comparison."""
    ka, kb = scalar(a), scalar(b)
    result = BOOL if ka.weak and kb.weak else NUMPY_BOOL
    if ka.floating or kb.floating:
        kind = arithmetic(ka, kb)
        mixed = result == BOOL and INT in (ka, kb)
        if mixed and not (_small(a) or _small(b)):
            whole, real, sign = (a, b, op) if ka == INT else (b, a, SWAPPED[op])
            return Compare(sign, Call("ody_order_int_float", [whole, real], INT), Const(0, INT), result)
        return Compare(op, _plain(a, kind), _plain(b, kind), result)
    unsigned = [kind.name[0] == "u" for kind in (ka, kb)]
    if "uint64" in (ka.name, kb.name) and not all(unsigned):
        whole, natural, sign = (b, a, SWAPPED[op]) if ka.name == "uint64" else (a, b, op)
        order = Call("ody_order_int64_uint64", [_plain(whole, INT64), natural], INT)
        return Compare(sign, order, Const(0, INT), result)
    kind = ka if ka == kb else Scalar("uint64") if all(unsigned) else INT64
    return Compare(op, _plain(a, kind), _plain(b, kind), result)


def _small(x: Expr) -> bool:
    return isinstance(x, Const) and abs(x.value) < EXACT


def _plain(x: Expr, kind: Scalar) -> Expr:
    own = scalar(x)
    if own.c == kind.c:
        return x
    if isinstance(x, Const) and (kind.floating or kind.dtype == "int64"):
        return Const(float(x.value) if kind.floating else int(x.value), kind)
    return Convert(x, kind)


def logic(op: str, a: Expr, b: Expr) -> Expr:
    """`a and b` or `a or b`: the one that decides, as both could be."""
    ka, kb = scalar(a), scalar(b)
    kind = join(ka, kb)
    assert isinstance(kind, Scalar)
    return Logic(op, coerce(a, kind), coerce(b, kind), kind)
