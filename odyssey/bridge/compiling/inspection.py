"""What became of a function: its types, its code as Cython, C and instructions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from odyssey.bridge.compiling import cache
from odyssey.bridge.compiling.functions import Jitted, generated

__all__ = ["Inspection", "inspection"]


@dataclass(frozen=True)
class Inspection:
    """A function compiled for a signature; printed, it shows its types and its Cython text.

    Attributes:
        name: the function's.
        signature: the types of its arguments.
        result: the type of what it returns.
        types: the type of each local variable.
        module: the whole Cython text of the extension module.
        text: the part of it that computes.
        fastmath: whether it is compiled so.
    """

    name: str
    signature: tuple[str, ...]
    result: str
    types: dict[str, str]
    module: str
    text: str
    fastmath: bool = False

    @cached_property
    def c(self) -> str:
        """Cython's translation into C, which takes some tenths of a second."""
        return self._built()[0]

    @cached_property
    def assembly(self) -> str:
        """The compiler's instructions; the function's own are behind the label `core_`."""
        return self._built()[1]

    def _built(self) -> tuple[str, str]:
        from odyssey.bridge.compiling.build import assembly, translate

        with cache.build_in(None) as folder:
            path = folder / "inspected.pyx"
            path.write_text(self.module)
            source = translate(path, "inspected")
            return source.read_text(), assembly(source, fastmath=self.fastmath)

    def __str__(self) -> str:
        types = "\n".join(f"#   {name}: {kind}" for name, kind in self.types.items())
        return f"# {self.name}({', '.join(self.signature)}) -> {self.result}\n{types}\n\n{self.text}"


def inspection(function: Jitted, key: tuple[Any, ...]) -> Inspection:
    """The inspection of a function for these types.

    Raises:
        CompileError: something in it cannot be compiled.
    """
    module = generated([(function, key)])
    target = module.entries[0]
    text = module.text
    start = text.index("cdef int core_")
    return Inspection(
        name=function.__name__,
        signature=tuple(one if isinstance(one, str) else f"jit {one.__name__}" for one in key),
        result=str(target.result),
        types={name: str(kind) for name, kind in target.variables.items() if not name[0].isdigit()},
        module=text,
        text=text[start : text.index("\nSITES = ")].rstrip() + "\n",
        fastmath=function.options.fastmath,
    )
