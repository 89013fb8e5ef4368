"""A shared library from C source, by the system's compiler."""

import shutil
import subprocess
from pathlib import Path

import pytest


def compiled(source: Path, library: Path, *flags: str, compiler: str = "cc") -> Path:
    found = shutil.which(compiler)
    if found is None:
        pytest.skip("needs a C compiler")
    command = [found, "-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", *flags, str(source)]
    subprocess.run([*command, "-lm", "-o", str(library)], check=True)
    return library
