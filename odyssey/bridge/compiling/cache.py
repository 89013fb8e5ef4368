"""Compiled modules on disk: each whole or not there, whoever else writes, and whatever dies meanwhile.

An entry is two files. `<key>.<checksum>.so` is the extension, named by its own bytes; `<key>.entry` says which of them
holds and is renamed into its place last. Before an extension is loaded its bytes are compared with the checksum: a
truncated file would end the process in the loader. An entry that does not match is built anew.
"""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib.machinery import ExtensionFileLoader, ModuleSpec
from pathlib import Path
from types import ModuleType

from odyssey.bridge.compiling.toolchain import compiler, cython

try:
    # What hashlib.blake2b is; hashlib itself loads OpenSSL, which takes longer than all the rest of a start.
    from _blake2 import blake2b
except ImportError:
    from hashlib import blake2b

__all__ = ["blake2b", "build_in", "environment", "find", "folder", "load", "locked", "module_name", "obtain", "stored"]


def folder() -> Path:
    """Where compiled modules lie: `ODYSSEY_CACHE_DIR`, or odyssey's part of the platform's cache."""
    named = os.environ.get("ODYSSEY_CACHE_DIR")
    if named:
        return Path(named) / "jit"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "odyssey" / "jit"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "odyssey" / "jit"


@cache
def _stamp(path: str) -> str:
    """A file by its time and size: quicker than its content, and asked for at each start."""
    try:
        found = os.stat(path)
    except OSError:
        return f"{path} absent"
    return f"{path} {found.st_mtime_ns} {found.st_size}"


def environment() -> bytes:
    """What a compiled module depends on beside its function: versions, the compiler, the processor."""
    command = compiler()
    return _environment(tuple(command or ()))


@cache
def _environment(command: tuple[str, ...]) -> bytes:
    import numpy as np

    here = os.path.dirname(__file__)
    parts = [sys.version, sys.implementation.cache_tag or "", np.__version__, *command]
    if command:
        parts.append(_stamp(os.path.realpath(command[0])))
    parts.append(_stamp(os.path.join(cython() or "", "Shadow.py")))  # it has the version
    parts += [_stamp(os.path.join(here, name)) for name in sorted(os.listdir(here)) if name.endswith((".py", ".h"))]
    parts.append(_processor())
    return blake2b("\n".join(parts).encode(), digest_size=16).digest()


def _processor() -> str:
    """The processor by name and abilities: what -march=native depends on."""
    with suppress(OSError), open("/proc/cpuinfo", "rb") as file:
        first = file.read(8192).partition(b"\n\n")[0]
        lines = [line for line in first.splitlines() if not line.startswith((b"cpu MHz", b"bogomips", b"BogoMIPS"))]
        return b"\n".join(lines).decode(errors="replace")
    return " ".join(os.uname())


def module_name(key: str) -> str:
    """The name of the module with this key."""
    return f"_odyssey_jit_{key}"


def find(key: str) -> Path | None:
    """The extension of an entry, if it is there and whole."""
    place = folder()
    try:
        name, checksum = (place / f"{key}.entry").read_text().split()
        path = place / name
        if blake2b(path.read_bytes(), digest_size=16).hexdigest() == checksum and name == f"{key}.{checksum}.so":
            return path
    except (OSError, ValueError):
        pass
    return None


def stored(key: str, extension: Path) -> Path:
    """Make the extension file the entry of this key.

    Raises:
        OSError: the cache cannot be written to, or the disk is full.
    """
    place = folder()
    content = extension.read_bytes()
    checksum = blake2b(content, digest_size=16).hexdigest()
    path = place / f"{key}.{checksum}.so"
    _replace(path, content)
    _replace(place / f"{key}.entry", f"{path.name} {checksum}\n".encode())
    return path


def _replace(path: Path, content: bytes) -> None:
    beside = path.with_name(f".{path.name}.{os.urandom(4).hex()}.tmp")
    try:
        with open(beside, "xb") as file:
            file.write(content)
        os.replace(beside, path)
    except BaseException:
        with suppress(OSError):
            beside.unlink()
        raise


@contextmanager
def locked(key: str) -> Iterator[None]:
    """While one process builds an entry, the others wait for it. A lock goes with whoever held it, however that ends.

    Raises:
        OSError: the cache cannot be written to.
    """
    place = folder()
    place.mkdir(parents=True, exist_ok=True)
    with open(place / f"{key}.lock", "ab") as file:
        with suppress(OSError):  # a file system without locks: then two may build the same, which does no harm
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def build_in(inside: Path | None) -> Iterator[Path]:
    """A folder to build in, gone afterwards: in the cache, so that its disk is asked for room, or a private one."""
    import shutil
    import tempfile

    made = Path(tempfile.mkdtemp(prefix=".build-", dir=inside))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def load(path: Path, name: str) -> ModuleType:
    """The extension module in this file.

    Raises:
        ImportError: the loader refuses it.
    """
    loader = ExtensionFileLoader(name, str(path))
    spec = ModuleSpec(name, loader, origin=str(path))
    module = loader.create_module(spec)
    module.__spec__, module.__loader__, module.__file__ = spec, loader, str(path)
    loader.exec_module(module)
    return module


def obtain(key: str, make: Callable[[Path], Path]) -> tuple[ModuleType, bool, OSError | None]:
    """The module of a key; built if it is not there.

    Args:
        key: which.
        make: builds the extension in a folder and gives its path.

    Returns:
        The module, whether it was there, and the error for which it was not kept.

    Raises:
        OSError: it cannot even be built in a private folder.
    """
    name = module_name(key)
    with suppress(ImportError):
        found = find(key)
        if found is not None:
            return load(found, name), True, None
    try:
        with locked(key):
            with suppress(ImportError):
                found = find(key)  # another process was quicker
                if found is not None:
                    return load(found, name), True, None
            with build_in(folder()) as place:
                return load(stored(key, make(place)), name), False, None
    except OSError as error:
        problem = error
    with build_in(None) as place:
        return load(make(place), name), False, problem
