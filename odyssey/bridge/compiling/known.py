"""The functions that a compiled function may call: Python's own, the module math's, NumPy's of one number."""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from odyssey.bridge.compiling.kinds import (
    BOOL,
    FLOAT,
    FLOAT32,
    FLOAT64,
    INT,
    NUMPY_BOOL,
    Scalar,
    arithmetic,
    element,
    join,
    numpy_default,
)
from odyssey.bridge.compiling.operators import Refused, arith, coerce, literal, scalar, truth
from odyssey.bridge.compiling.tree import Arith, Call, Const, Convert, Expr, Negative

__all__ = ["CALLS", "HINTS", "dtype_of"]

Builder: TypeAlias = Callable[[list[Expr], int], Expr]


def _float(x: Expr) -> Expr:
    return coerce(x, FLOAT) if scalar(x).weak else Convert(x, FLOAT)


def _math(function: str, *, fails: bool, count: int = 1) -> Builder:
    def build(args: list[Expr], line: int) -> Expr:
        _count(args, count)
        return Call(function, [_float(x) for x in args], FLOAT, line, fails=fails)

    return build


def _count(args: list[Expr], *counts: int) -> None:
    if len(args) not in counts:
        raise Refused(f"expected {' or '.join(map(str, counts))} arguments, found {len(args)}")


def _log(args: list[Expr], line: int) -> Expr:
    _count(args, 1, 2)
    logs = [Call("ody_math_log", [_float(x)], FLOAT, line, fails=True) for x in args]
    return logs[0] if len(logs) == 1 else arith("/", logs[0], logs[1], line)


def _to_whole(function: str) -> Builder:
    def build(args: list[Expr], line: int) -> Expr:
        _count(args, 1)
        return _whole(args[0], function, line)

    return build


def _whole(x: Expr, function: str, line: int) -> Expr:
    kind = scalar(x)
    if kind.floating:
        return Call(function, [Convert(x, FLOAT)], INT, line, fails=True)
    if kind.name == "uint64":
        return Call("ody_fit_int_uint64", [x], INT, line, fails=True)
    return coerce(x, INT) if kind.weak else Convert(x, INT)


def _int(args: list[Expr], line: int) -> Expr:
    _count(args, 0, 1)
    return _whole(args[0], "ody_to_int", line) if args else Const(0, INT)


def _to_float(args: list[Expr], line: int) -> Expr:
    _count(args, 0, 1)
    return _float(args[0]) if args else Const(0.0, FLOAT)


def _bool(args: list[Expr], line: int) -> Expr:
    _count(args, 0, 1)
    return Convert(truth(args[0]), BOOL) if args else Const(False, BOOL)


def _round(args: list[Expr], line: int) -> Expr:
    if len(args) == 2:
        raise Refused("round with digits", "round(x * 100) / 100, or keep the digits and format them when printing")
    _count(args, 1)
    if not scalar(args[0]).weak:
        raise Refused("round of a NumPy number", "np.rint(x), or round(float(x)) for an int")
    return _whole(args[0], "ody_round_int", line)


def _absolute(args: list[Expr], line: int) -> Expr:
    _count(args, 1)
    (x,) = args
    kind = scalar(x)
    if isinstance(x, Const) and kind.weak:
        return literal(abs(x.value))
    if kind == BOOL:
        x, kind = Convert(x, INT), INT
    if kind == NUMPY_BOOL or kind.name[0] == "u":
        return x
    if kind.floating:
        return Call("fabsf" if kind == FLOAT32 else "fabs", [x], kind)
    # A small integer's absolute value may need a bit more than it has, and wraps: the conversion back cuts it.
    return Convert(Call("ody_abs_int", [x], INT), kind)


def _choice(name: str) -> Builder:
    def build(args: list[Expr], line: int) -> Expr:
        if len(args) < 2:
            raise Refused(f"{name} of one argument", f"write the loop, or name them: {name}(a, b)")
        best = args[0]
        for x in args[1:]:
            kind = join(scalar(best), scalar(x))
            assert isinstance(kind, Scalar)
            whole = INT if kind.boolean else kind
            found = Call(f"ody_{name}_{whole.dtype}", [coerce(best, whole, line), coerce(x, whole, line)], whole)
            best = coerce(found, kind) if kind.boolean else found
        return best

    return build


def _numpy_choice(name: str) -> Builder:
    def build(args: list[Expr], line: int) -> Expr:
        _count(args, 2)
        a, b = args
        kind = arithmetic(scalar(a), scalar(b))
        if kind.boolean:
            raise Refused(f"np.{name} of truth values", "write a and b, or a or b")
        kind = numpy_default(kind)
        chosen = name if kind.floating else name[:3]
        return Call(f"ody_{chosen}_{kind.dtype}", [coerce(a, kind, line), coerce(b, kind, line)], kind)

    return build


def _numpy_float(x: Expr) -> tuple[Expr, Scalar]:
    kind = scalar(x)
    if kind == FLOAT32:
        return x, kind
    if kind.boolean or kind.name in ("int8", "uint8", "int16", "uint16"):
        raise Refused(f"a function of NumPy's of {kind.name}, which gives half precision", "convert it: float(x)")
    return Convert(x, FLOAT64), FLOAT64


def _numpy(function: str, *, whole: bool = True, count: int = 1) -> Builder:
    def build(args: list[Expr], line: int) -> Expr:
        _count(args, count)
        if not whole and not scalar(args[0]).floating:
            raise Refused(f"np.{function} of an integer", "it is one already: leave the call out")
        kinds = [_numpy_float(x)[1] for x in args]
        kind = FLOAT32 if all(each == FLOAT32 for each in kinds) else FLOAT64
        return Call(function + "f" * (kind == FLOAT32), [Convert(x, kind) for x in args], kind)

    return build


def _tested(function: str, result: Scalar) -> Builder:
    def build(args: list[Expr], line: int) -> Expr:
        _count(args, 1)
        return Call(function, [_float(args[0])], result)

    return build


def _cast(dtype: str) -> Builder:
    def build(args: list[Expr], line: int) -> Expr:
        _count(args, 1)
        return store_as(args[0], element(dtype), line)

    return build


def store_as(x: Expr, kind: Scalar, line: int) -> Expr:
    """The number as an array of this type would store it: NumPy's scalars are cut, Python's integers must fit."""
    own = scalar(x)
    if kind.boolean:
        return Convert(truth(x), kind)
    if kind.floating or not own.floating:
        return coerce(x, kind, line)
    if own.weak:
        return coerce(Call("ody_to_int", [x], INT, line, fails=True), kind, line)
    wide = Call("ody_cut_uint64" if kind.name == "uint64" else "ody_cut", [Convert(x, FLOAT64)], element("int64"))
    return Convert(wide, kind)


def _power(args: list[Expr], line: int) -> Expr:
    _count(args, 2)
    return arith("**", args[0], args[1], line)


def _numpy_power(args: list[Expr], line: int) -> Expr:
    _count(args, 2)
    a, b = (Convert(x, numpy_default(scalar(x))) if scalar(x).weak else x for x in args)
    return arith("**", a, b, line)


def _degrees(factor: float) -> Builder:
    def build(args: list[Expr], line: int) -> Expr:
        _count(args, 1)
        return Arith("*", _float(args[0]), Const(factor, FLOAT), FLOAT)

    return build


def _numpy_negative(args: list[Expr], line: int) -> Expr:
    _count(args, 1)
    kind = numpy_default(scalar(args[0]))
    if kind.boolean:
        raise Refused("np.negative of a truth value", "write not x")
    return Negative(Convert(args[0], kind), kind)


CALLS: dict[Any, Builder] = {
    int: _int, float: _to_float, bool: _bool, round: _round, pow: _power,
    abs: _absolute, min: _choice("min"), max: _choice("max"),
    math.sqrt: _math("ody_math_sqrt", fails=True), math.fabs: _math("fabs", fails=False),
    math.atan: _math("atan", fails=False), math.asinh: _math("asinh", fails=False),
    math.tanh: _math("tanh", fails=False), math.erf: _math("erf", fails=False), math.erfc: _math("erfc", fails=False),
    math.atan2: _math("atan2", fails=False, count=2), math.copysign: _math("copysign", fails=False, count=2),
    math.fmod: _math("ody_math_fmod", fails=True, count=2), math.pow: _math("ody_math_pow", fails=True, count=2),
    math.log: _log, math.radians: _degrees(math.pi / 180), math.degrees: _degrees(180 / math.pi),
    math.floor: _to_whole("ody_floor_int"), math.ceil: _to_whole("ody_ceil_int"), math.trunc: _to_whole("ody_to_int"),
    math.isnan: _tested("ody_isnan", BOOL), math.isinf: _tested("ody_isinf", BOOL),
    math.isfinite: _tested("ody_isfinite", BOOL),
    np.isnan: _tested("ody_isnan", NUMPY_BOOL), np.isinf: _tested("ody_isinf", NUMPY_BOOL),
    np.isfinite: _tested("ody_isfinite", NUMPY_BOOL),
    np.abs: lambda args, line: _absolute([Convert(x, numpy_default(scalar(x))) for x in args], line),
    np.fabs: _numpy("fabs"), np.floor: _numpy("floor", whole=False), np.ceil: _numpy("ceil", whole=False),
    np.trunc: _numpy("trunc", whole=False), np.rint: _numpy("rint"),
    np.arcsin: _numpy("asin"), np.arccos: _numpy("acos"), np.arctan: _numpy("atan"), np.arcsinh: _numpy("asinh"),
    np.arccosh: _numpy("acosh"), np.arctanh: _numpy("atanh"), np.arctan2: _numpy("atan2", count=2),
    np.hypot: _numpy("hypot", count=2), np.copysign: _numpy("copysign", count=2), np.fmod: _numpy("fmod", count=2),
    np.minimum: _numpy_choice("minimum"), np.maximum: _numpy_choice("maximum"), np.power: _numpy_power,
    np.negative: _numpy_negative, np.bool_: _cast("bool"),
}  # fmt: skip
for _name in ("exp", "expm1", "log2", "log10", "log1p", "sin", "cos", "tan", "asin", "acos", "sinh", "cosh", "acosh",
              "atanh", "exp2"):  # fmt: skip
    CALLS[getattr(math, _name)] = _math(f"ody_math_{_name}", fails=True)
for _name in ("sqrt", "cbrt", "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sin", "cos", "tan", "sinh",
              "cosh", "tanh"):  # fmt: skip
    CALLS[getattr(np, _name)] = _numpy(_name)
for _name in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64"):
    CALLS[getattr(np, _name)] = _cast(_name)

HINTS: dict[Any, str] = {
    math.hypot: "math.sqrt(x * x + y * y), or np.hypot(x, y)",
    builtins.sum: "add up in a loop",
    print: "return what is to be printed",
    math.fsum: "add up in a loop",
    sorted: "sort before: np.sort",
    zip: "loop over range(len(a)) and index both",
    reversed: "loop over range(n - 1, -1, -1)",
    np.sum: "add up in a loop, or call it outside",
    np.dot: "write the loop, or call it outside: od.matmul",
}
"""What to write in place of a function that is not known."""


def dtype_of(value: Any) -> str | None:
    """The dtype that `dtype=` names, or None."""
    try:
        name = np.dtype(value).name
    except TypeError:
        return None
    return name if name == "bool" or name in _DTYPES else None


_DTYPES = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64")
