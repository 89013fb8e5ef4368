"""Ahead of time: compiled functions as an extension module of their own, that needs NumPy and nothing of odyssey."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from odyssey.bridge.compiling import cache
from odyssey.bridge.compiling.functions import Jitted, generated
from odyssey.bridge.compiling.kinds import ArrayKind, Kind, NoneKind, Scalar, TupleKind
from odyssey.bridge.compiling.module import Module
from odyssey.errors import CompileError
from odyssey.serialization.atomic import write_bytes

__all__ = ["export"]


def export(
    exported: list[Jitted],
    module: str,
    signatures: Sequence[str] | dict[str, Sequence[str]] | None,
    folder: str | os.PathLike[str],
    march: str,
) -> Path:
    """See `Jit.export`."""
    from odyssey.bridge.compiling.build import BuildError, build
    from odyssey.bridge.compiling.toolchain import missing

    if not module.isidentifier() or not module.isascii():
        raise ValueError(f"export: expected a module's name, found {module!r}")
    wanted = list(_wanted(exported, signatures))
    made = generated(wanted, alone=True)
    problem = missing()
    if problem is not None:
        raise CompileError(f"export: expected to compile {module}, found: {problem}")
    text = made.text + "\n".join(_front(exported, wanted))
    folder = Path(folder)
    fastmath = any(one.options.fastmath for one in exported)
    with cache.build_in(None) as place:
        try:
            built = build(text, module, place, fastmath=fastmath, flags=(f"-march={march}",))
        except BuildError as error:
            raise CompileError(f"export: {error}") from None
        write_bytes(folder / built.name, built.read_bytes())
    write_bytes(folder / f"{module}.pyi", "\n".join(_stub(exported, wanted, made)))
    return folder / built.name


def _wanted(
    exported: list[Jitted], signatures: Sequence[str] | dict[str, Sequence[str]] | None
) -> Iterator[tuple[Jitted, tuple[Any, ...]]]:
    for function in exported:
        given: Sequence[Any] | None
        if isinstance(signatures, dict):
            given = signatures.get(function.__name__)
        elif signatures is not None and len(exported) > 1:
            raise ValueError("export: expected a dict from each function's name to its signatures, found a list")
        else:
            given = [signatures] if isinstance(signatures, str) else signatures
        keys = list(function._ways) if given is None else [function._tokens(one) for one in given]
        if not keys:
            raise ValueError(
                f"export: expected signatures of {function.__name__}, found none; name them, or call it before"
            )
        for key in keys:
            if not all(isinstance(one, str) for one in key):
                raise ValueError(f"export: {function.__name__} takes a function, which an exported one cannot")
            yield function, key


def _front(exported: list[Jitted], wanted: list[tuple[Jitted, tuple[Any, ...]]]) -> Iterator[str]:
    """The functions under their own names, each of which tries what it was compiled for."""
    yield ""
    for function in exported:
        places = [place for place, (one, _) in enumerate(wanted) if one is function]
        kinds = " or ".join(f"({', '.join(key)})" for one, key in wanted if one is function)
        yield f"def {function.__name__}(*args):"
        if function.__doc__:
            yield f"    {function.__doc__!r}"
        yield f"    if len(args) == {function._count}:"
        for place in places:
            yield f"        result = call_{place}(*args)"
            yield "        if result is not MISS:"
            yield "            return result"
        text = f"{function.__name__}: expected arguments of {kinds}"
        yield f"    raise TypeError({text!r} + ', found ' + ', '.join(type(one).__name__ for one in args))"
        yield ""
    yield f"__all__ = {[one.__name__ for one in exported]!r}"
    yield ""


def _stub(exported: list[Jitted], wanted: list[tuple[Jitted, tuple[Any, ...]]], made: Module) -> Iterator[str]:
    yield "from typing import overload"
    yield ""
    yield "import numpy as np"
    yield "import numpy.typing as npt"
    for function in exported:
        places = [place for place, (one, _) in enumerate(wanted) if one is function]
        for place in places:
            target = made.entries[place]
            names = ", ".join(f"{name}: {_annotation(kind)}" for name, kind in target.parameters)
            slash = ", /" if names else ""
            yield ""
            if len(places) > 1:
                yield "@overload"
            yield f"def {function.__name__}({names}{slash}) -> {_annotation(target.result)}: ..."
    yield ""


def _annotation(kind: Kind) -> str:
    if isinstance(kind, ArrayKind):
        return f"npt.NDArray[np.{kind.item.name}]"
    if isinstance(kind, TupleKind):
        return f"tuple[{', '.join(map(_annotation, kind.items))}]"
    if isinstance(kind, NoneKind):
        return "None"
    assert isinstance(kind, Scalar)
    return kind.name if kind.weak else f"np.{kind.name}"
