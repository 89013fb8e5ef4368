"""Objects from what was read, by the annotations of their classes.

A dataclass is written by the names of its fields. Read into its class, a field that is missing takes its default, so a
later class reads what an earlier one wrote; a field that the class does not know is kept in the object and written
again, so an earlier class hands on what a later one wrote.
"""

from __future__ import annotations

import dataclasses
import enum
import types
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

from odyssey.bridge.proto.model import KEPT
from odyssey.errors import DTypeError, FormatError
from odyssey.serialization.values import Record, Symbol

__all__ = ["convert"]

T = TypeVar("T")


def convert(value: Any, wanted: Any, where: str = "value") -> Any:
    """The value as a type wants it.

    Args:
        value: what was read: None, numbers, text, bytes, arrays, lists, tuples, dicts, `Record`s and `Symbol`s.
        wanted: None, a number, str, bytes, an array or Tensor type, list, tuple, dict, Optional or another union,
            Literal, an enumeration or a dataclass, with types of these in brackets; Any takes everything.
        where: what to call it in an error.

    Raises:
        FormatError: the value is of another type.
        DTypeError: nothing can be made of such a type.

    Example:
        >>> @dataclasses.dataclass
        ... class Point:
        ...     x: float
        ...     labels: list[str] = dataclasses.field(default_factory=list)
        >>> convert(Record("Point", {"x": 1.5}), Point)
        Point(x=1.5, labels=[])
    """
    if wanted is Any:
        return value
    if wanted is None or wanted is type(None):
        return _expect(value is None, value, "None", where)
    if isinstance(wanted, TypeVar):
        return value
    origin, inner = get_origin(wanted), get_args(wanted)
    kind = origin or wanted
    if kind in (Union, types.UnionType):
        return _one_of(value, inner, where)
    if kind is Literal:
        return _expect(any(value == one and type(value) is type(one) for one in inner), value, f"one of {inner}", where)
    if kind in _CONTAINERS:
        return _CONTAINERS[kind](value, inner, where)
    if not isinstance(kind, type):
        raise DTypeError(f"proto: {where}: expected a type that values can be made of, found {wanted!r}")
    if kind in (bool, int, str, bytes, complex, Record, Symbol):
        return _expect(type(value) is kind, value, kind.__name__, where)
    if kind is float:  # an integer stays one
        return _expect(type(value) in (float, int), value, "float", where)
    if kind is np.ndarray:
        return _array(value, inner, where)
    if issubclass(kind, np.generic):
        return _expect(isinstance(value, kind), value, kind.__name__, where)
    if issubclass(kind, enum.Enum):
        return _member(value, kind, where)
    if isinstance(value, kind) and kind is not object:  # such as proto.Model, or a message
        return value
    if dataclasses.is_dataclass(kind):
        return _object(value, kind, where)
    from odyssey._kernels.tape import TensorBase
    from odyssey._kernels.typed import TypedTensor

    if issubclass(kind, (TensorBase, TypedTensor)):
        made: Any = kind
        return made(_array(value, (), where).copy())  # theirs to write into
    raise DTypeError(
        f"proto: {where}: expected a type that values can be made of, found {kind.__qualname__}\n"
        "  numbers, text, arrays, Tensors, lists, tuples, dicts, enumerations, dataclasses and unions of them are"
    )


def _expect(right: bool, value: T, wanted: str, where: str) -> T:
    if not right:
        raise FormatError(f"proto: {where}: expected {wanted}, found {_name(value)}")
    return value


def _name(value: object) -> str:
    if isinstance(value, Record):
        return f"a {value.type}"
    text = repr(value)
    return type(value).__name__ if len(text) > 60 else f"{type(value).__name__} {text}"


def _one_of(value: Any, wanted: tuple[Any, ...], where: str) -> Any:
    """The first member of a union that takes the value; among dataclasses, the one of the record's name."""
    if isinstance(value, Record):
        named = [one for one in wanted if getattr(one, "__qualname__", None) == value.type]
        wanted = (*named, *(one for one in wanted if one not in named))
    found = []
    for one in wanted:
        try:
            return convert(value, one, where)
        except FormatError as error:
            found.append(str(error).removeprefix(f"proto: {where}: "))
    raise FormatError(f"proto: {where}: " + "; or ".join(found))


def _list(value: Any, inner: tuple[Any, ...], where: str) -> list[Any]:
    _expect(type(value) is list, value, "list", where)
    return [convert(one, inner[0], f"{where}[{i}]") for i, one in enumerate(value)] if inner else value


def _tuple(value: Any, inner: tuple[Any, ...], where: str) -> tuple[Any, ...]:
    _expect(type(value) is tuple, value, "tuple", where)
    if not inner:
        return tuple(value)
    if inner[-1] is Ellipsis:
        inner = inner[:1] * len(value)
    _expect(len(inner) == len(value), value, f"{len(inner)} elements", where)
    return tuple(convert(one, kind, f"{where}[{i}]") for i, (one, kind) in enumerate(zip(value, inner, strict=True)))


def _sequence(value: Any, inner: tuple[Any, ...], where: str) -> Any:
    return _list(value, inner, where) if type(value) is list else _tuple(value, (*inner, ...) if inner else (), where)


def _dict(value: Any, inner: tuple[Any, ...], where: str) -> dict[Any, Any]:
    _expect(type(value) is dict, value, "dict", where)
    if not inner:
        return dict(value)
    keys, values = inner
    return {
        convert(key, keys, f"a key of {where}"): convert(one, values, f"{where}[{key!r}]") for key, one in value.items()
    }


def _array(value: Any, inner: tuple[Any, ...], where: str) -> Any:
    _expect(isinstance(value, np.ndarray), value, "an array", where)
    dtypes = get_args(inner[1]) if len(inner) == 2 else ()
    if dtypes and isinstance(dtypes[0], type) and issubclass(dtypes[0], np.generic):
        _expect(issubclass(value.dtype.type, dtypes[0]), value.dtype, f"an array of {dtypes[0].__name__}", where)
    return value


def _member(value: Any, kind: type[enum.Enum], where: str) -> enum.Enum:
    _expect(isinstance(value, Symbol), value, f"a member of {kind.__qualname__}", where)
    _expect(value.member in kind.__members__, value.member, f"one of {', '.join(kind.__members__)}", where)
    return kind[value.member]


def _object(value: Any, kind: Any, where: str) -> Any:
    _expect(isinstance(value, Record), value, f"a {kind.__qualname__}", where)
    hints = _hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    found = {name: convert(one, hints[name], f"{where}.{name}") for name, one in value.items() if name in fields}
    missing = [
        name for name, field in fields.items()
        if field.init and name not in found and field.default is field.default_factory is dataclasses.MISSING
    ]  # fmt: skip
    if missing:
        raise FormatError(
            f"proto: {where}: expected {kind.__qualname__} with {', '.join(missing)}, found "
            f"{', '.join(value) or 'no field'}\n  give the class a default for what was added to it"
        )
    made = kind(**{name: one for name, one in found.items() if fields[name].init})
    for name, one in found.items():
        if not fields[name].init:
            object.__setattr__(made, name, one)
    if unknown := {name: one for name, one in value.items() if name not in fields}:
        try:
            object.__setattr__(made, KEPT, unknown)
        except AttributeError:
            raise FormatError(
                f"proto: {where}: expected {kind.__qualname__}'s fields, found {', '.join(unknown)} beside them\n"
                "  a class with slots cannot keep what it does not know: add the fields, or leave out slots=True"
            ) from None
    return made


@cache
def _hints(kind: type) -> dict[str, Any]:
    try:
        return get_type_hints(kind)
    except NameError as error:
        raise DTypeError(
            f"proto: expected {kind.__qualname__}'s annotations to name types of its module, found otherwise ({error})"
        ) from error


_CONTAINERS: dict[Any, Callable[[Any, tuple[Any, ...], str], Any]] = {
    list: _list,
    tuple: _tuple,
    dict: _dict,
    Mapping: _dict,
    Sequence: _sequence,
}
