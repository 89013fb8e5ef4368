"""What `bridge.direct` needs of other libraries, imported when it is first used."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from odyssey.errors import explain

__all__ = ["cffi", "pycparser"]


def cffi() -> Any:
    """The module `cffi`.

    Raises:
        ImportError: it is not installed; the message says how to install it.
    """
    return _needed("cffi")


def pycparser() -> Any:
    """The package `pycparser`, which comes with cffi, and what of it reads and writes declarations."""
    for part in ("c_ast", "c_generator", "c_parser"):
        _needed(f"pycparser.{part}")
    return _needed("pycparser")


def _needed(module: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(
            explain(
                "odyssey.bridge.direct: expected the package cffi, which reads C declarations",
                f"found {error}",
                "pip install 'odyssey[bridge]'    or, for this alone: pip install cffi",
            )
        ) from None
