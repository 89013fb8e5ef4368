"""A function's text and the names it uses; and the error that points into it."""

from __future__ import annotations

import ast
import builtins
import inspect
import linecache
import textwrap
import types
from typing import Any

from odyssey.errors import CompileError

__all__ = ["MISSING", "Source"]

MISSING: Any = object()


class Source:
    """Where a function stands, its syntax tree, and what its names mean.

    Raises:
        CompileError: there is no text, or it is no plain function.
    """

    def __init__(self, function: types.FunctionType) -> None:
        self.function = function
        self.name = function.__name__
        self.file = function.__code__.co_filename
        self.first_line = function.__code__.co_firstlineno
        self.where = self.file.rpartition("/")[2]
        linecache.checkcache(self.file)
        try:
            text = textwrap.dedent(inspect.getsource(function))
        except (OSError, TypeError) as error:
            raise CompileError(
                f"{self.name}: expected the function's source, found none ({error})\n"
                "  it has to stand in a file, a notebook's cell or at the interpreter's prompt, not in exec()"
            ) from None
        self.lines = text.splitlines()
        try:
            found = [node for node in ast.walk(ast.parse(text)) if getattr(node, "name", None) == self.name]
        except SyntaxError:  # a lambda in the middle of an expression
            found = []
        if not found or not isinstance(found[0], ast.FunctionDef):
            raise CompileError(f"{self.name}: expected a function written with def, found {self.lines[0].strip()!r}")
        self.tree = found[0]
        arguments = self.tree.args
        self.parameters = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args)]

    def refused(self) -> CompileError:
        """Why a function of this kind cannot be compiled at all."""
        arguments = self.tree.args
        node = arguments.vararg or arguments.kwarg or next(iter(arguments.kwonlyargs), None)
        if node is None:
            return self.error(self.tree, "a generator cannot be compiled", "fill an array, and return it")
        return self.error(node, "expected arguments with names and places alone", "leave out *, *args and **kwargs")

    def lookup(self, name: str) -> Any:
        """What a name that is no local means: a closure's variable, a global or a builtin; `MISSING` if nothing."""
        code = self.function.__code__
        if name in code.co_freevars:
            try:
                return (self.function.__closure__ or ())[code.co_freevars.index(name)].cell_contents
            except ValueError:
                return MISSING
        return self.function.__globals__.get(name, getattr(builtins, name, MISSING))

    def error(self, node: Any, problem: str, remedy: str = "") -> CompileError:
        """The error that shows a line and points at a construct in it."""
        line = getattr(node, "lineno", 1)
        start = getattr(node, "col_offset", 0)
        text = self.lines[line - 1] if line <= len(self.lines) else ""
        end = getattr(node, "end_col_offset", None) if getattr(node, "end_lineno", line) == line else None
        # The tree counts bytes of UTF-8.
        encoded = text.encode()
        before = len(encoded[:start].decode(errors="ignore"))
        width = max(len(encoded[start : end or len(encoded)].decode(errors="ignore").rstrip()), 1)
        indent = len(text) - len(text.lstrip())
        parts = [
            f"{self.name}: {problem}",
            f"{self.where}:{self.line(node)}",
            f"    {text.strip()}",
            f"    {' ' * (before - indent)}{'^' * width}",
            remedy,
        ]
        return CompileError("\n  ".join(part for part in parts if part))

    def line(self, node: Any) -> int:
        """The line of the file."""
        return int(getattr(node, "lineno", 1)) + self.first_line - 1
