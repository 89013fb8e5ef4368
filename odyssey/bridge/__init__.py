"""Five ways across: between Python and native code, threads, processes, languages; each the right one somewhere.

    direct   call native code                        `direct.NativeLibrary`, `direct.batched`
    stream   batches without end, between threads    `stream.Stream`, `stream.Batch`
    shared   large tensors between processes         `shared.SharedTensor`, `shared.SharedMemoryManager`
    proto    nested, versioned objects               `proto.dumps`, `proto.loads`
    jit      tight loops of plain Python             `jit`, `inline_c`

`choose` says which, `inspect` what an array is made of, `debug` turns on checks of memory; `types` is the table of what
crosses as what. Each part loads when it is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import odyssey.bridge.direct as direct
    import odyssey.bridge.proto as proto
    import odyssey.bridge.shared as shared
    import odyssey.bridge.stream as stream
    import odyssey.bridge.types as types
    from odyssey.bridge.choosing import choose
    from odyssey.bridge.compiling import inline_c, jit
    from odyssey.bridge.debugging import debug
    from odyssey.bridge.inspection import inspect

_MODULES = ("direct", "proto", "shared", "stream", "types")
_NAMES = {
    "choose": "odyssey.bridge.choosing",
    "debug": "odyssey.bridge.debugging",
    "inline_c": "odyssey.bridge.compiling",
    "inspect": "odyssey.bridge.inspection",
    "jit": "odyssey.bridge.compiling",
}

__all__ = ["choose", "debug", "direct", "inline_c", "inspect", "jit", "proto", "shared", "stream", "types"]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"odyssey.bridge.{name}")
    if name in _NAMES:
        return getattr(import_module(_NAMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES, *_NAMES])
