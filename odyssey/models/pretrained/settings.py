"""What a config.json says, each setting checked when it is asked for."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from odyssey.errors import FormatError

__all__ = ["Settings"]

LARGEST = 1 << 31  # of a size: what does not fit an index of any file is no size
_REQUIRED: Any = object()
T = TypeVar("T")


class Settings:
    """The settings of a configuration, or of an object within it.

    Args:
        values: what the file says.
        where: the file, for errors.
        within: the name of the object within the file, with a dot behind it.

    Each method takes the name of a setting and, for one that may be absent or null, what holds then.

    Raises:
        FormatError: a setting that is needed is absent, or one is of another kind. The message names file and setting.

    Example:
        >>> settings = Settings({"hidden_size": 64, "eps": 0}, "config.json")
        >>> settings.integer("hidden_size"), settings.number("eps"), settings.flag("tied", True)
        (64, 0.0, True)
        >>> settings.integer("layers")
        Traceback (most recent call last):
        odyssey.errors.FormatError: config.json: expected "layers", an integer of at least 1, found none; add it
    """

    def __init__(self, values: Mapping[str, Any], where: str | os.PathLike[str], within: str = "") -> None:
        self.values = values
        self.where = Path(where)
        self.within = within

    def integer(self, name: str, default: T = _REQUIRED, at_least: int = 1) -> int | T:
        """A whole number."""
        value = self._value(name, default, kind := f"an integer of at least {at_least}")
        if value is default:
            return default
        if type(value) is not int or not at_least <= value <= LARGEST:
            raise self._wrong(name, kind, value)
        return value

    def number(self, name: str, default: T = _REQUIRED) -> float | T:
        """A finite number."""
        value = self._value(name, default, "a number")
        if value is default:
            return default
        if type(value) not in (int, float) or not abs(value) <= 1e308 or not math.isfinite(value):
            raise self._wrong(name, "a number", value)
        return float(value)

    def flag(self, name: str, default: T = _REQUIRED) -> bool | T:
        """True or false."""
        value = self._value(name, default, "true or false")
        if value is default:
            return default
        if type(value) is not bool:
            raise self._wrong(name, "true or false", value)
        return value

    def text(self, name: str, default: T = _REQUIRED, of: Sequence[str] = ()) -> str | T:
        """Text, which may have to be one of a few."""
        value = self._value(name, default, kind := " or ".join(map(repr, of)) or "text")
        if value is default:
            return default
        if type(value) is not str or (of and value not in of):
            raise self._wrong(name, kind, value)
        return value

    def object(self, name: str) -> Settings:
        """An object, empty where there is none."""
        value = self.values.get(name)
        if value is None:
            value = {}
        if type(value) is not dict:
            raise self._wrong(name, "an object", value)
        return Settings(value, self.where, f"{self.within}{name}.")

    def wrong(self, name: str, expected: str) -> FormatError:
        """The error to raise for a setting that does not fit the others."""
        return self._wrong(name, expected, self.values.get(name))

    def _value(self, name: str, default: Any, kind: str) -> Any:
        value = self.values.get(name)
        if value is not None:
            return value
        if default is _REQUIRED:
            raise FormatError(f'{self.where}: expected "{self.within}{name}", {kind}, found none; add it')
        return default

    def _wrong(self, name: str, expected: str, found: Any) -> FormatError:
        shown = repr(found) if type(found) is not int or abs(found) < 10**30 else "a huge number"
        shown = shown if len(shown) <= 100 else f"{shown[:97]}..."
        return FormatError(f'{self.where}: expected {expected} as "{self.within}{name}", found {shown}')
