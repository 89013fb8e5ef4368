"""What formats have no value of their own for: objects by their fields, members of enumerations.

They come back as these where nobody says of which class they are, and are written as what they were.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

__all__ = ["Record", "Symbol"]


class Record(dict[str, Any]):
    """The fields of an object, by name; `type` is the name of its class.

    Example:
        >>> point = Record("Point", {"x": 1, "y": 2})
        >>> point["x"], point
        (1, Record('Point', {'x': 1, 'y': 2}))
    """

    __slots__ = ("type",)

    def __init__(self, type: str, fields: Mapping[str, Any] | Iterable[tuple[str, Any]] = ()) -> None:
        super().__init__(fields)
        self.type = type

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Record) and other.type != self.type:
            return False
        return super().__eq__(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __repr__(self) -> str:
        return f"Record({self.type!r}, {super().__repr__()})"


class Symbol(NamedTuple):
    """A member of an enumeration, by the names of both."""

    type: str
    member: str
