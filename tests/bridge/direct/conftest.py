"""A C library of a few functions, compiled once a run with the system's compiler."""

from pathlib import Path

import pytest
from c_compiler import compiled


@pytest.fixture(scope="session")
def library_file(tmp_path_factory):
    """native.c, as a shared library."""
    return compiled(Path(__file__).with_name("native.c"), tmp_path_factory.mktemp("native") / "libnative.so")
