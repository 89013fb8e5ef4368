"""The system's C compiler, found without running it: a start from the cache asks for it too."""

from __future__ import annotations

import os
from importlib.machinery import PathFinder

__all__ = ["compiler", "cython", "missing"]


def compiler() -> list[str] | None:
    """The command of the system's C compiler: `CC`, or the first of cc, gcc and clang; None where there is none."""
    for name in (os.environ.get("CC", ""), "cc", "gcc", "clang"):
        program, *options = name.split() or [""]
        found = _which(program)
        if found:
            return [found, *options]
    return None


def _which(program: str) -> str | None:
    """As `shutil.which`, whose module takes longer to import than a compiled function to load."""
    folders = [""] if os.path.dirname(program) else os.environ.get("PATH", os.defpath).split(os.pathsep)
    for folder in folders:
        path = os.path.join(folder, program)
        if program and os.path.isfile(path) and os.access(path, os.X_OK):
            return os.path.abspath(path)
    return None


def cython() -> str | None:
    """The folder of Cython, or None."""
    found = PathFinder.find_spec("Cython")
    return os.path.dirname(found.origin) if found is not None and found.origin else None


def missing() -> str | None:
    """What is not there that compiling needs, and how to get it; None if all is."""
    if cython() is None:
        return "Cython is not installed: pip install 'odyssey[bridge]'"
    if compiler() is None:
        return "there is no C compiler: install gcc or clang, or name one in CC"
    return None
