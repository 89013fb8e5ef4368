"""From Cython's text to an extension file: Cython in this process, then the system's compiler."""

from __future__ import annotations

import contextlib
import io
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from odyssey.bridge.compiling.toolchain import compiler, missing

__all__ = ["FLAGS", "BuildError", "assembly", "build", "translate"]

HERE = Path(__file__).parent

FLAGS = (
    "-O3", "-march=native", "-fwrapv", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math",
    # The C library's pow and x * x differ in the last bit, and Python calls pow.
    "-fno-builtin-pow", "-fno-builtin-powf",
    # The way in is called seldom: what is inlined into it, GCC compiles as if it were too, and out of registers.
    "-fno-inline-functions-called-once",
    "-fno-semantic-interposition", "-fvisibility=hidden", "-fPIC", "-g0", "-w",
)  # fmt: skip
# Not -ffast-math itself: it links a start-up file that lets the whole process flush small numbers to zero, and it would
# take the tests for nan out.
FAST = ("-fassociative-math", "-freciprocal-math", "-fno-signed-zeros", "-ffp-contract=fast", "-fbuiltin-pow")


class BuildError(RuntimeError):
    """The compiler refused."""


def translate(path: Path, name: str) -> Path:
    """Cython's translation into C, beside the text.

    Raises:
        BuildError: Cython refuses it.
    """
    from Cython.Compiler import Main

    target = path.with_suffix(".c")
    said = io.StringIO()
    main: Any = Main
    options = main.CompilationOptions(
        main.default_options, output_file=str(target), language_level=3, use_listing_file=False
    )
    with contextlib.redirect_stderr(said):
        result = main.compile_single(str(path), options, name)
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
    target = folder / f"{name}{sysconfig.get_config_var('EXT_SUFFIX')}"
    _run([*_command(fastmath, flags), *_shared(), str(source), "-o", str(target), "-lm"])
    return target


def assembly(source: Path, *, fastmath: bool = False, flags: tuple[str, ...] = ()) -> str:
    """What the compiler makes of C: the instructions."""
    return _run([*_command(fastmath, flags), "-S", str(source), "-o", "-"])


def _command(fastmath: bool, flags: tuple[str, ...]) -> list[str]:
    import numpy as np

    command = compiler()
    if command is None:
        raise BuildError(str(missing()))
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
