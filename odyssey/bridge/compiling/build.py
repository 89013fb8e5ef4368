"""From Cython's text to an extension file: Cython in this process, then the system's compiler."""

from __future__ import annotations

import contextlib
import io
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

__all__ = ["FLAGS", "BuildError", "assembly", "build", "compiler", "missing", "translate"]

HERE = Path(__file__).parent

FLAGS = (
    "-O3", "-march=native", "-fwrapv", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math",
    # The C library's pow and x * x differ in the last bit, and Python calls pow.
    "-fno-builtin-pow", "-fno-builtin-powf",
    "-fno-semantic-interposition", "-fvisibility=hidden", "-fPIC", "-g0", "-w",
)  # fmt: skip
# Not -ffast-math itself: it links a start-up file that lets the whole process flush small numbers to zero, and it would
# take the tests for nan out.
FAST = ("-fassociative-math", "-freciprocal-math", "-fno-signed-zeros", "-ffp-contract=fast", "-fbuiltin-pow")


class BuildError(RuntimeError):
    """The compiler refused."""


def compiler() -> list[str] | None:
    """The command of the system's C compiler: `CC`, or the first of cc, gcc and clang; None where there is none."""
    for name in filter(None, (os.environ.get("CC"), "cc", "gcc", "clang")):
        words = shlex.split(name)
        found = shutil.which(words[0]) if words else None
        if found:
            return [found, *words[1:]]
    return None


def missing() -> str | None:
    """What is not there that compiling needs, and how to get it; None if all is."""
    from importlib.util import find_spec

    if find_spec("Cython") is None:
        return "Cython is not installed: pip install 'odyssey[bridge]'"
    if compiler() is None:
        return "there is no C compiler: install gcc or clang, or name one in CC"
    return None


def translate(path: Path, name: str) -> Path:
    """Cython's translation into C, beside the text.

    Raises:
        BuildError: Cython refuses it.
    """
    from Cython.Compiler.Main import CompilationOptions, compile_single, default_options

    target = path.with_suffix(".c")
    said = io.StringIO()
    options = CompilationOptions(default_options, output_file=str(target), language_level=3, use_listing_file=False)
    with contextlib.redirect_stderr(said):
        result = compile_single(str(path), options, name)
    if result.num_errors:
        raise BuildError(f"Cython refused {path.name}:\n{said.getvalue()}")
    return target


def build(text: str, name: str, folder: Path, *, fastmath: bool = False, flags: tuple[str, ...] = ()) -> Path:
    """The extension file made of a module's text, in this folder.

    Raises:
        BuildError: Cython or the compiler refuses.
        OSError: the folder cannot be written to, or the disk is full.
    """
    path = folder / f"{name}.pyx"
    path.write_text(text)
    source = translate(path, name)
    target = folder / (name + sysconfig.get_config_var("EXT_SUFFIX"))
    _run([*_command(fastmath, flags), *_shared(), str(source), "-o", str(target), "-lm"])
    return target


def assembly(source: Path, *, fastmath: bool = False, flags: tuple[str, ...] = ()) -> str:
    """What the compiler makes of C: the instructions."""
    return _run([*_command(fastmath, flags), "-S", str(source), "-o", "-"])


def _command(fastmath: bool, flags: tuple[str, ...]) -> list[str]:
    import numpy as np

    command = compiler()
    if command is None:
        raise BuildError("there is no C compiler: install gcc or clang, or name one in CC")
    includes = [np.get_include(), sysconfig.get_paths()["include"], str(HERE)]
    return [*command, *FLAGS, *(FAST if fastmath else ()), *flags, *(f"-I{folder}" for folder in includes)]


def _shared() -> list[str]:
    if sys.platform == "darwin":
        return ["-bundle", "-undefined", "dynamic_lookup"]
    return ["-shared", "-Wl,-O1"]


def _run(command: list[str]) -> str:
    found = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if found.returncode:
        raise BuildError(f"{shlex.join(command)}\n{found.stderr[-4000:]}")
    return found.stdout
