"""Packages whose names are loaded when they are first asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

__all__ = ["lazy"]


def lazy(package: dict[str, Any], names: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """A package's `__getattr__` and `__dir__`.

    Args:
        package: its `globals()`; a name that was loaded is kept there.
        names: a name -> the module that defines it.

    Example:
        >>> from odyssey.lazy import lazy
        >>> load, listed = lazy({"__name__": "some"}, {"sqrt": "math"})
        >>> load("sqrt")(9.0), "sqrt" in listed()
        (3.0, True)
    """

    def load(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {package['__name__']!r} has no attribute {name!r}")
        value = package[name] = getattr(import_module(names[name]), name)
        return value

    def listed() -> list[str]:
        return sorted({*package, *names})

    return load, listed
