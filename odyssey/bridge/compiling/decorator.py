"""`jit` itself: a decorator, and what there is to ask of it."""

from __future__ import annotations

import os
import types
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, overload

from odyssey.bridge.compiling import cache, functions
from odyssey.bridge.compiling.functions import Jitted, Options
from odyssey.errors import CompileError

__all__ = ["Jit", "jit"]


class Jit:
    """The decorator. Its methods are `stats`, `export` and `cache_folder`."""

    @overload
    def __call__(self, function: Callable[..., Any], /) -> Jitted: ...

    @overload
    def __call__(
        self, function: None = None, /, *, boundscheck: bool = ..., fastmath: bool = ...
    ) -> Callable[[Callable[..., Any]], Jitted]: ...

    def __call__(
        self, function: Callable[..., Any] | None = None, /, *, boundscheck: bool = True, fastmath: bool = False
    ) -> Jitted | Callable[[Callable[..., Any]], Jitted]:
        """Compile a plain numeric function for the types it is called with, at its first call with them.

        Args:
            function: written with `def`, over numbers and arrays.
            boundscheck: an index outside of its array raises IndexError. Without, it reads or overwrites anything.
            fastmath: let the compiler reorder sums, fuse products with sums and divide by reciprocals: faster, and
                other last bits. Infinities and nan stay what they are.

        Returns:
            The function, compiled when it is called.

        Raises:
            CompileError: it is no function, or takes `*args`, `**kwargs` or arguments by name alone. What its body has
                that cannot be compiled is an error of the first call.

        Example:
            >>> from odyssey.bridge import jit
            >>> @jit
            ... def triangle(n):
            ...     total = 0
            ...     for i in range(n + 1):
            ...         total += i
            ...     return total
            >>> triangle(100)
            5050
        """
        options = Options(boundscheck=boundscheck, fastmath=fastmath)
        if function is None:
            return lambda given: self._decorate(given, options)
        return self._decorate(function, options)

    @staticmethod
    def _decorate(function: Any, options: Options) -> Jitted:
        if isinstance(function, Jitted):
            function = function.__wrapped__
        if not isinstance(function, types.FunctionType):
            remedy = ""
            if isinstance(function, (staticmethod, classmethod)):
                remedy = f"\n  put @{type(function).__name__} above @jit"
            raise CompileError(f"jit: expected a function, found {type(function).__name__}{remedy}")
        return Jitted(function, options)

    @staticmethod
    def stats() -> dict[str, int | float]:
        """What was compiled in this process.

        Returns:
            `compiled`, how many functions were compiled, each for a signature; `hits`, how many came from the cache;
            `compile_seconds`, what compiling took; `executed`, how many calls ran compiled code.

        Example:
            >>> from odyssey.bridge import jit
            >>> sorted(jit.stats())
            ['compile_seconds', 'compiled', 'executed', 'hits']
        """
        return functions.stats()

    @staticmethod
    def cache_folder() -> Path:
        """Where compiled functions are kept: `ODYSSEY_CACHE_DIR`, or the platform's cache. It may be removed."""
        return cache.folder()

    @staticmethod
    def export(
        exported: Jitted | Iterable[Jitted],
        module: str,
        signatures: Sequence[str] | dict[str, Sequence[str]] | None = None,
        folder: str | os.PathLike[str] = ".",
        *,
        march: str = "native",
    ) -> Path:
        """Compile ahead of time: an extension module that needs NumPy alone, and its types in a `.pyi` beside it.

        Args:
            exported: the function, or several.
            module: the module's name.
            signatures: for what to compile, `["float64[::1], int"]`; of several functions by their names. Without,
                what they have been compiled for so far.
            folder: where to.
            march: the processor to compile for, as the compiler calls it: `"x86-64-v3"` for any of the last ten years.

        Returns:
            The extension file.

        Raises:
            CompileError: something in them cannot be compiled, or there is no compiler.
            ValueError: there is nothing to compile for, or a signature that names no types.
        """
        from odyssey.bridge.compiling.export import export

        return export([exported] if isinstance(exported, Jitted) else list(exported), module, signatures, folder, march)


jit = Jit()
