"""How odyssey was built and what it found on this machine."""

import json
import os
from pathlib import Path
from typing import Any

from odyssey import isa, threads
from odyssey._kernels import dispatch

__all__ = ["build_info", "get_include", "get_protos", "library_path", "show_config"]


def build_info() -> dict[str, Any]:
    """The build's compiler, flags, instruction sets and versions, and what runs now.

    >>> import odyssey as od
    >>> "scalar" in od.config.build_info()["instruction_sets"]
    True
    """
    return {
        **json.loads(dispatch.build()),
        "found": isa.found(),
        "usable": isa.available(),
        "active": isa.active(),
        "threads": threads.count(),
    }


def show_config() -> None:
    """Prints `build_info()`, a line each."""
    for key, value in build_info().items():
        print(f"{key:18} {value}")


def get_include() -> str:
    """The folder to give a C compiler with -I, for `#include <odyssey/odyssey.h>` and `<odyssey/kernels.h>`."""
    here = Path(__file__).parent
    # A build in place leaves the headers where the repository has them.
    for folder in (here / "include", here.parent / "include"):
        if (folder / "odyssey" / "kernels.h").exists():
            return os.fspath(folder)
    raise FileNotFoundError(f"odyssey.get_include: expected {here / 'include'}, which this installation lacks")


def get_protos() -> str:
    """The folder of `data.proto` and `model.proto`, to give protoc with -I, and of `descriptors.binpb`, made of them.

    >>> import odyssey as od
    >>> (Path(od.get_protos()) / "data.proto").exists()
    True
    """
    here = Path(__file__).parent
    for folder in (here / "protos", here.parent / "protos"):  # as with the headers
        if (folder / "descriptors.binpb").exists():
            return os.fspath(folder)
    raise FileNotFoundError(f"odyssey.get_protos: expected {here / 'protos'}, which this installation lacks")


def library_path() -> str:
    """The shared library with the kernels behind the C ABI of `odyssey/odyssey.h`: for C, ctypes, Julia, Zig ...

    Python uses this very library: in one process there is one thread pool, and one choice of instruction set.

    >>> import ctypes, odyssey as od
    >>> library = ctypes.CDLL(od.library_path())
    >>> library.ody_threads_get() == od.threads.count()
    True
    """
    folder = Path(__file__).parent / "_kernels"
    for suffix in (".so", ".dylib"):
        if (folder / f"libodyssey{suffix}").exists():
            return os.fspath(folder / f"libodyssey{suffix}")
    raise FileNotFoundError(f"odyssey.library_path: expected {folder / 'libodyssey.so'}, which this installation lacks")
