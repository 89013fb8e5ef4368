"""Functions that are compiled when they are first called, once for each combination of their arguments' types."""

from __future__ import annotations

import functools
import math
import os
import threading
import time
import types
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from odyssey.bridge.compiling import cache
from odyssey.bridge.compiling.cache import blake2b
from odyssey.bridge.compiling.signature import parse, split, token
from odyssey.errors import DTypeError, explain

if TYPE_CHECKING:
    from odyssey.bridge.compiling.inspection import Inspection
    from odyssey.bridge.compiling.kinds import Kind
    from odyssey.bridge.compiling.module import Module

CO_VARARGS, CO_VARKEYWORDS, CO_GENERATOR, CO_COROUTINE = 0x4, 0x8, 0x20, 0x80

__all__ = ["Jitted", "Options", "Way", "compile_together", "stats"]

MISS = object()
"""What a compiled function gives for arguments of other types than it was compiled for."""

_lock = threading.RLock()
_modules: dict[str, ModuleType] = {}
_ways: list[Way] = []
_counts = {"compiled": 0, "hits": 0}
_seconds = 0.0
_warned: set[str] = set()


def _after_fork() -> None:
    global _lock
    _lock = threading.RLock()  # the thread that held it is not here


os.register_at_fork(after_in_child=_after_fork)


def _nothing(*args: Any) -> Any:
    return MISS


@dataclass(frozen=True)
class Options:
    """How a function is compiled.

    Attributes:
        boundscheck: an index outside of its array is an IndexError; without, it is anything.
        fastmath: sums may be reordered, products and sums fused, division done by reciprocals: other last bits.
    """

    boundscheck: bool = True
    fastmath: bool = False

    def __str__(self) -> str:
        return f"boundscheck={self.boundscheck} fastmath={self.fastmath}"


@dataclass(frozen=True)
class Way:
    """A function compiled for one signature."""

    signature: tuple[str, ...]
    call: Callable[..., Any]
    module: ModuleType
    place: int


def stats() -> dict[str, int | float]:
    """What has been compiled so far, in this process.

    Returns:
        `compiled`: functions for a signature that were compiled; `hits`: those found in the cache; `compile_seconds`:
        the time that compiling took; `executed`: calls that ran compiled code.
    """
    with _lock:
        executed = sum(sum(module.calls()) for module in _modules.values())
        return {**_counts, "compile_seconds": _seconds, "executed": executed}


class Jitted:
    """A function that is compiled at its first call with arguments of certain types; `jit` makes it."""

    __odyssey_jit__ = True
    __wrapped__: types.FunctionType
    __name__: str
    __qualname__: str

    def __init__(self, function: types.FunctionType, options: Options) -> None:
        functools.update_wrapper(self, function)
        code = function.__code__
        if code.co_kwonlyargcount or code.co_flags & (CO_VARARGS | CO_VARKEYWORDS | CO_GENERATOR | CO_COROUTINE):
            from odyssey.bridge.compiling.source import Source

            raise Source(function).refused()
        self.options = options
        self._count = function.__code__.co_argcount
        self._call: Callable[..., Any] = _nothing
        self._ways: dict[tuple[Any, ...], Way] = {}

    def __call__(self, *args: Any, **named: Any) -> Any:
        """The function's result, computed by compiled code; compiled now if these types are new.

        Raises:
            CompileError: something in the function cannot be compiled.
            DTypeError: an argument that is no number and no array of numbers.
        """
        if named or len(args) != self._count:
            args = self._bind(args, named)
        result = self._call(*args)  # what was compiled last
        return result if result is not MISS else self._other(args)

    def __get__(self, owner: Any, kind: Any = None) -> Any:
        return self if owner is None else types.MethodType(self, owner)

    def __reduce__(self) -> str:
        return self.__qualname__  # as functions are pickled: by where they stand

    def __repr__(self) -> str:
        return f"<jit {self.__qualname__}: {len(self._ways)} compiled>"

    @property
    def signatures(self) -> list[tuple[str, ...]]:
        """What it has been compiled for."""
        return [way.signature for way in self._ways.values()]

    def compile(self, *signatures: str | Sequence[str]) -> None:
        """Compile it for these signatures before it is called.

        Args:
            signatures: types in order of the arguments: `"float64[:, ::1], int"`.

        Raises:
            CompileError: something in it cannot be compiled.
            ValueError: a signature that names no types.
        """
        for signature in signatures:
            self._obtain(self._tokens(signature))

    def inspect(self, signature: str | Sequence[str] | None = None) -> Inspection:
        """The types, the Cython and C code, and the instructions of what was compiled.

        Args:
            signature: for which; the one compiled last without.

        Raises:
            ValueError: it has not been compiled yet.
        """
        from odyssey.bridge.compiling.inspection import inspection

        if signature is None:
            if not self._ways:
                raise ValueError(
                    f"{self.__name__}: expected something compiled, found nothing yet; call it first, or name a "
                    f"signature: {self.__name__}.inspect('float64[::1], int')"
                )
            key = list(self._ways)[-1]
        else:
            key = self._tokens(signature)
        return inspection(self, key)

    def address(self, signature: str | Sequence[str]) -> int:
        """The address of a plain C function for these numbers, for libraries that want a callback."""
        from odyssey.bridge.compiling.callbacks import address

        return address(self, self._tokens(signature))

    def ctypes(self, signature: str | Sequence[str]) -> Any:
        """The same as a ctypes function with its types."""
        from odyssey.bridge.compiling.callbacks import ctypes_function

        return ctypes_function(self, self._tokens(signature))

    # ---- the first call ----

    def _tokens(self, signature: str | Sequence[str]) -> tuple[Any, ...]:
        tokens = split(signature)
        if len(tokens) != self._count:
            raise ValueError(f"{self.__name__}: expected {self._count} types, found {len(tokens)}: {', '.join(tokens)}")
        return tokens

    def _bind(self, args: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, ...]:
        import inspect

        bound = inspect.signature(self.__wrapped__).bind(*args, **named)
        bound.apply_defaults()
        return bound.args

    def _other(self, args: tuple[Any, ...]) -> Any:
        for way in list(self._ways.values()):
            result = way.call(*args)
            if result is not MISS:
                return result
        names = self.__wrapped__.__code__.co_varnames
        tokens = [token(value, name, self.__name__) for value, name in zip(args, names, strict=False)]
        key = tuple(value if getattr(value, "__odyssey_jit__", False) else one
                    for value, one in zip(args, tokens, strict=True))  # fmt: skip
        call = self._obtain(key)
        result = call(*args)
        if result is MISS:
            raise DTypeError(
                explain(f"{self.__name__}: expected arguments of {', '.join(tokens)}", "found others when it ran")
            )
        return result

    def _obtain(self, key: tuple[Any, ...]) -> Callable[..., Any]:
        with _lock:
            if key in self._ways:  # another thread was quicker
                return self._ways[key].call
            module = _obtain_module([(self, key)], self.options.fastmath)
            if module is None:
                self._call = self.__wrapped__
                return self.__wrapped__
            return self._adopt(key, module, 0)

    def _adopt(self, key: tuple[Any, ...], module: ModuleType, place: int) -> Callable[..., Any]:
        call: Callable[..., Any] = getattr(module, f"call_{place}")
        signature = tuple(one if isinstance(one, str) else f"jit {one.__name__}" for one in key)
        self._ways[key] = Way(signature, call, module, place)
        self._call = call
        return call


def compile_together(parts: Iterable[tuple[Jitted, str | Sequence[str]]]) -> None:
    """Compile several functions, each for a signature, as one module: one run of the compiler for all of them.

    Raises:
        CompileError: something in them cannot be compiled.
    """
    with _lock:
        wanted = []
        for function, signature in parts:
            key = function._tokens(signature)
            if key not in function._ways and (function, key) not in wanted:
                wanted.append((function, key))
        if not wanted:
            return
        module = _obtain_module(wanted, wanted[0][0].options.fastmath)
        if module is None:
            return
        for place, (function, key) in enumerate(wanted):
            function._adopt(key, module, place)


def _obtain_module(wanted: list[tuple[Jitted, tuple[Any, ...]]], fastmath: bool) -> ModuleType | None:
    """The module with these functions, from memory, the cache or the compiler; None if it cannot be compiled here."""
    global _seconds
    key = _key(wanted, fastmath)
    module = _modules.get(key)
    if module is None:
        began = time.perf_counter()
        try:
            module, found, problem = cache.obtain(key, functools.partial(_make, key, wanted, fastmath))
        except (_Impossible, OSError) as error:
            _warn(f"jit: {error}; functions run as plain Python")
            return None
        if found:
            _counts["hits"] += len(wanted)
        else:
            _counts["compiled"] += len(wanted)
            _seconds += time.perf_counter() - began
        if problem is not None:
            _unkept(problem)
        _modules[key] = module
    given = {
        f"{place}.{position}": one
        for place, (_, types_) in enumerate(wanted)
        for position, one in enumerate(types_)
        if not isinstance(one, str)
    }
    places = [
        (one.__wrapped__.__code__.co_filename, one.__wrapped__.__code__.co_firstlineno, one.__name__)
        for one in _reached(wanted)
    ]
    module.bind(MISS, tuple(places), given)
    return module


class _Impossible(Exception):
    """There is nothing to compile with."""


def _make(key: str, wanted: list[tuple[Jitted, tuple[Any, ...]]], fastmath: bool, place: Path) -> Path:
    from odyssey.bridge.compiling.build import BuildError, build
    from odyssey.bridge.compiling.toolchain import missing

    module = generated(wanted)
    problem = missing()
    if problem is not None:
        raise _Impossible(problem)
    try:
        return build(module.text, cache.module_name(key), place, fastmath=fastmath)
    except BuildError as error:
        raise _Impossible(str(error)) from None


def generated(wanted: list[tuple[Jitted, tuple[Any, ...]]], *, alone: bool = False) -> Module:
    """The text of the module with these functions; one that stands alone needs nobody to bind it."""
    from odyssey.bridge.compiling.module import Entry, generate

    entries = [Entry(one.__wrapped__, tuple(map(_kind, types_)), one.options.boundscheck) for one, types_ in wanted]
    return generate(entries, [one.__wrapped__ for one in _reached(wanted)], alone=alone)


def _kind(one: Any) -> Kind:
    from odyssey.bridge.compiling.kinds import ArrayKind, FunctionKind, Scalar

    if not isinstance(one, str):
        return FunctionKind(one)
    dtype, ndim, contiguous = parse(one)
    return Scalar(dtype) if ndim < 0 else ArrayKind(dtype, ndim, contiguous)


def _unkept(problem: OSError) -> None:
    _warn(f"jit: the cache {cache.folder()} cannot be written to ({problem}); each process compiles anew")


def _warn(message: str) -> None:
    if message not in _warned:
        _warned.add(message)
        warnings.warn(message, RuntimeWarning, stacklevel=5)


# ---- the key ----


def _key(wanted: list[tuple[Jitted, tuple[Any, ...]]], fastmath: bool) -> str:
    """Everything that the compiled code depends on, as a short text."""
    state = blake2b(cache.environment(), digest_size=16)
    seen: dict[int, int] = {}
    for function, types_ in wanted:
        state.update(f"{function.options} {fastmath}\n".encode())
        for one in types_:
            if isinstance(one, str):
                state.update(f"{one}\n".encode())
            else:
                _digest(one, state, seen)
        _digest(function, state, seen)
    return state.hexdigest()


def _digest(jitted: Any, state: Any, seen: dict[int, int]) -> None:
    """A function's code and what it uses from outside. The code stands for its text: it has the lines too."""
    function = jitted.__wrapped__
    if id(function) in seen:
        state.update(f"again {seen[id(function)]}\n".encode())
        return
    seen[id(function)] = len(seen)
    code = function.__code__
    parts = (
        code.co_name, code.co_code, code.co_linetable, code.co_names, code.co_varnames, code.co_argcount,
        [one for one in code.co_consts if not isinstance(one, types.CodeType)], function.__defaults__,
    )  # fmt: skip
    state.update(repr(parts).encode())
    for name, value in _outside(function):
        state.update(f"\n{name}=".encode())
        if getattr(value, "__odyssey_jit__", False):
            _digest(value, state, seen)
        else:
            state.update(_constant(value).encode())


def _outside(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    """The names that a function uses from outside, and what they are."""
    code = function.__code__
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:  # not bound yet
            yield name, None
    for name in code.co_names:
        if name in function.__globals__:
            value = function.__globals__[name]
            yield name, value
            if isinstance(value, ModuleType) and value not in (np, math):
                for attribute in code.co_names:
                    found = getattr(value, attribute, None)
                    if getattr(found, "__odyssey_jit__", False):
                        yield f"{name}.{attribute}", found


def _constant(value: Any) -> str:
    if isinstance(value, (bool, int, float, str, np.generic)):
        return f"{type(value).__name__} {value!r}"
    if isinstance(value, tuple):
        return f"({', '.join(map(_constant, value))})"
    name = getattr(value, "__qualname__", getattr(value, "__name__", ""))
    return f"{type(value).__name__} {getattr(value, '__module__', '')}.{name}"


def _reached(wanted: list[tuple[Jitted, tuple[Any, ...]]]) -> list[Any]:
    """Each function once that these can call, themselves included."""
    found: dict[int, Any] = {}

    def visit(jitted: Any) -> None:
        if id(jitted.__wrapped__) not in found:
            found[id(jitted.__wrapped__)] = jitted
            for _, value in _outside(jitted.__wrapped__):
                if getattr(value, "__odyssey_jit__", False):
                    visit(value)

    for function, types_ in wanted:
        visit(function)
        for one in types_:
            if not isinstance(one, str):
                visit(one)
    return list(found.values())
