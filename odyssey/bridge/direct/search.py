"""Where a library is looked for.

A path, or a name with a folder in it, is that file and no other. A bare name (`"blas"`, `"libblas.so"`) is looked
for in

1. the folder of a Python package, where one is named: libraries that a wheel brings along;
2. the folders of the environment variable ODYSSEY_LIBRARY_PATH, in their order;
3. where the system looks: LD_LIBRARY_PATH or DYLD_LIBRARY_PATH, the loader's cache and its folders; PATH on Windows.

under the names that the platform gives libraries: `libNAME.so` on Linux, `libNAME.dylib` on macOS, `NAME.dll` on
Windows, and NAME itself. The first that can be loaded is it.
"""

from __future__ import annotations

import ctypes.util
import os
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from odyssey.errors import explain

__all__ = ["file_names", "load"]

VARIABLE = "ODYSSEY_LIBRARY_PATH"
_SUFFIXES = {"darwin": (".dylib", ".so"), "win32": (".dll",)}


def file_names(name: str, platform: str = sys.platform) -> list[str]:
    """What a library of that name may be called, likeliest first.

    Example:
        >>> file_names("mylib", "linux"), file_names("mylib", "win32")
        (['libmylib.so', 'mylib.so'], ['mylib.dll', 'libmylib.dll'])
        >>> file_names("libm.so.6", "linux")
        ['libm.so.6']
    """
    suffixes = _SUFFIXES.get(platform, (".so",))
    if name.endswith(suffixes) or any(f"{suffix}." in name for suffix in suffixes):
        return [name]
    prefixes = ("", "lib") if platform == "win32" else ("",) if name.startswith("lib") else ("lib", "")
    return [f"{prefix}{name}{suffix}" for prefix in prefixes for suffix in suffixes]


def load(ffi: Any, name: str | os.PathLike[str], package: str | None = None) -> tuple[Any, str]:
    """The library, opened by cffi, and the file it was found in, or the name that the system knows it by.

    Args:
        ffi: cffi's object with the declarations.
        name: as described above.
        package: a Python package, in whose folder a bare name is looked for first.

    Raises:
        FileNotFoundError: it is nowhere; the message has a line for each place, with what was wrong there.
        ModuleNotFoundError: there is no such package.
    """
    tried: list[str] = []
    for candidate in _candidates(name, package):
        if isinstance(candidate, Path) and not candidate.exists():
            tried.append(f"{candidate}: no such file")
            continue
        try:
            return ffi.dlopen(os.fspath(candidate)), os.fspath(candidate)
        except OSError as error:
            reason = str(error).replace("cannot load library ", "").split(".  Additionally")[0]
            tried.append(f"{candidate}: {reason}" if isinstance(candidate, Path) else f"the system's {reason}")
    raise FileNotFoundError(
        explain(
            f"expected a library {os.fspath(name)!r} that can be loaded, found none; tried",
            "\n  ".join(tried),
            f"give its path, or put its folder into {VARIABLE}",
        )
    )


def _candidates(name: str | os.PathLike[str], package: str | None) -> Iterator[Path | str]:
    given = os.fspath(name)
    if isinstance(name, os.PathLike) or os.path.basename(given) != given:
        yield Path(given)
        return
    names = file_names(given)
    folders: list[str] = []
    if package is not None:
        spec = find_spec(package)
        if spec is None:
            raise ModuleNotFoundError(f"expected a Python package, whose folder has the library; found no {package!r}")
        folders += spec.submodule_search_locations or []
    folders += [folder for folder in os.environ.get(VARIABLE, "").split(os.pathsep) if folder]
    for folder in folders:
        yield from (Path(folder, one) for one in names)
    yield from names
    known = ctypes.util.find_library(given)
    if known and known not in names:
        yield known
