"""A C library of a few functions, compiled once a run with the system's compiler."""

import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def compiled(source: Path, library: Path, *flags: str, compiler: str = "cc") -> Path:
    found = shutil.which(compiler)
    if found is None:
        pytest.skip("needs a C compiler")
    command = [found, "-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", *flags, str(source)]
    subprocess.run([*command, "-lm", "-o", str(library)], check=True)
    return library


@pytest.fixture(scope="session")
def library_file(tmp_path_factory):
    """native.c, as a shared library."""
    return compiled(HERE / "native.c", tmp_path_factory.mktemp("native") / "libnative.so")
