"""Plain Python compiled: `jit` for loops over numbers and arrays, `inline_c` for a body written in C.

    decorator, functions   what the user holds: a function compiled for the types it is called with
    signature              the types of a call's arguments
    cache                  compiled modules on disk
    source, inference      the function's syntax tree, typed: `tree` by way of `operators` and `known`, in `kinds`
    ranges                 which indices need no check
    text, module           Cython's text: of a function, of the whole module
    build                  Cython, and the system's compiler
    raising, runtime.h     what the compiled code itself uses

A call of something compiled goes from `functions` into the extension. What compiles is imported when it is needed.
"""

from typing import TYPE_CHECKING, Any

from odyssey.bridge.compiling.decorator import jit

if TYPE_CHECKING:
    from odyssey.bridge.compiling.inline import inline_c

__all__ = ["inline_c", "jit"]


def __getattr__(name: str) -> Any:
    if name == "inline_c":
        from odyssey.bridge.compiling.inline import inline_c

        return inline_c
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
