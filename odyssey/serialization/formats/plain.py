"""Nested values as trees of what JSON and MessagePack have: null, booleans, numbers, text, lists, and maps from text.

What they have no kind for is a map with one entry whose name begins with a dollar sign:

    {"$tuple": [...]}            {"$pairs": [[key, value], ...]}    a map with keys that are no text, or such a name
    {"$record": [type, {...}]}   {"$symbol": [type, member]}        as in `values.py`
    {"$integer": "-1f..."}       {"$complex": [real, imaginary]}    beyond 64 bits, in hexadecimal
    {"$number": "nan"}           {"$bytes": "<base64>"}             in JSON alone, which has neither
    {"$tensor": {...}}           {"$scalar": {...}}                 in JSON alone: arrays, and NumPy's scalars
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from odyssey.errors import DTypeError, FormatError
from odyssey.serialization.arrays import as_array, unicode
from odyssey.serialization.values import Record, Symbol
from odyssey.typing import Array

__all__ = ["Plain"]

DEEPEST = 40


class Plain:
    """Values to trees and back.

    Args:
        format: its name, for errors.
        tensor: (array, whether it is a NumPy scalar) -> what stands for it.
        raw: the same for bytes.
        number: the same for a float.
        marked: what stands behind a dollar sign of the format's own -> from that to the value.
    """

    def __init__(
        self,
        format: str,
        *,
        tensor: Callable[[Array, bool], Any],
        raw: Callable[[bytes], Any],
        number: Callable[[float], Any],
        marked: Mapping[str, Callable[[Any], Any]],
    ) -> None:
        self.format = format
        self._tensor = tensor
        self._raw = raw
        self._number = number
        self._marked: dict[str, Callable[[Any], Any]] = {
            "$tuple": lambda parts: tuple(self._all(parts)),
            "$pairs": self._pairs,
            "$record": self._record,
            "$symbol": self._symbol,
            "$integer": self._integer,
            "$complex": self._complex,
            **marked,
        }

    def to(self, value: Any, depth: int = 0) -> Any:
        """The tree of a value.

        Raises:
            DTypeError: a value that would not come back as it is.
            ValueError: text that is no Unicode, or nested more than 40 deep.
        """
        if depth > DEEPEST:
            raise ValueError(
                f"{self.format}: expected values nested at most {DEEPEST} deep, found more; do they contain themselves?"
            )
        kind = type(value)
        if value is None or kind is bool:
            return value
        if kind is str:
            return unicode(value)
        if kind is int:
            return value if -(1 << 63) <= value < 1 << 63 else {"$integer": f"{value:x}"}
        if kind is float:
            return self._number(value)
        if kind is bytes:
            return self._raw(value)
        if kind is complex:
            return {"$complex": [self._number(value.real), self._number(value.imag)]}
        if kind is list:
            return [self.to(one, depth + 1) for one in value]
        if kind is tuple:
            return {"$tuple": [self.to(one, depth + 1) for one in value]}
        return self._to_other(value, depth)

    def _to_other(self, value: Any, depth: int) -> Any:
        if (array := as_array(value)) is not None:
            return self._tensor(array, False)
        if isinstance(value, np.generic):
            return self._tensor(np.asarray(value), True)
        if isinstance(value, Symbol):
            return {"$symbol": [unicode(value.type), unicode(value.member)]}
        if isinstance(value, enum.Enum) and value.name in type(value).__members__:
            return {"$symbol": [type(value).__qualname__, value.name]}
        if isinstance(value, Record):
            return {"$record": [unicode(value.type), self._to_named(value, depth)]}
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
            return {"$record": [type(value).__qualname__, self._to_named(fields, depth)]}
        if isinstance(value, Mapping):
            if all(type(name) is str and not name.startswith("$") for name in value):
                return self._to_named(value, depth)
            return {"$pairs": [[self.to(key, depth + 1), self.to(one, depth + 1)] for key, one in value.items()]}
        raise DTypeError(
            f"{self.format}: expected None, numbers, text, bytes, arrays, lists, tuples, mappings, dataclasses or "
            f"members of an enumeration, found {type(value).__module__}.{type(value).__qualname__}\n"
            "  its class would be lost: make one of these of it"
        )

    def _to_named(self, value: Mapping[str, Any], depth: int) -> dict[str, Any]:
        return {unicode(name): self.to(one, depth + 1) for name, one in value.items()}

    def back(self, tree: Any) -> Any:
        """The value of a tree.

        Raises:
            FormatError: a marked map has something else in it than its mark says.
        """
        if type(tree) is list:
            return self._all(tree)
        if type(tree) is not dict:
            return tree
        if len(tree) == 1:
            ((name, inner),) = tree.items()
            marked = self._marked.get(name) if type(name) is str else None
            if marked is not None:
                try:
                    return marked(inner)
                except (TypeError, ValueError, KeyError, AttributeError) as error:
                    raise FormatError(
                        f"{self.format}: expected what {name} marks, found otherwise ({error})"
                    ) from error
        if not all(type(name) is str for name in tree):
            raise FormatError(f"{self.format}: expected maps from text, found other keys")
        return {name: self.back(one) for name, one in tree.items()}

    def _all(self, parts: Any) -> list[Any]:
        if type(parts) is not list:
            raise TypeError(f"expected a list, found {type(parts).__name__}")
        return [self.back(one) for one in parts]

    def _pairs(self, parts: Any) -> dict[Any, Any]:
        found = {self.back(key): self.back(one) for key, one in parts}
        if len(found) != len(parts):
            raise ValueError("expected keys to be different, found one twice")
        return found

    def _record(self, parts: Any) -> Record:
        type_, fields = parts
        if type(type_) is not str or type(fields) is not dict:
            raise TypeError("expected a type and its fields")
        return Record(type_, {name: self.back(one) for name, one in fields.items()})

    def _symbol(self, parts: Any) -> Symbol:
        type_, member = parts
        if type(type_) is not str or type(member) is not str:
            raise TypeError("expected two names")
        return Symbol(type_, member)

    def _integer(self, text: Any) -> int:
        if type(text) is not str:
            raise TypeError("expected text")
        return int(text, 16)

    def _complex(self, parts: Any) -> complex:
        real, imaginary = (self.back(part) for part in parts)
        if type(real) is not float or type(imaginary) is not float:
            raise TypeError("expected two numbers")
        return complex(real, imaginary)
