"""What odyssey costs before it does anything: its import is timed in a new process, its wheel weighed without symbols."""

import os
import shutil
import zipfile
from pathlib import Path

import pytest

import odyssey
from odyssey.bench import startup

LIBRARY = next((Path(odyssey.__file__).parent / "_kernels").glob("probe*.so"), None)


def test_the_import_is_timed_and_not_the_interpreters_start():
    contender = startup.Import("json")
    assert contender.name == "json"
    contender.result()
    assert 0 < contender.sample(2) < 30


def test_a_module_that_is_not_there_is_an_error():
    with pytest.raises(Exception, match="returned non-zero"):
        startup.Import("no_such_module").result()


@pytest.mark.skipif(shutil.which("strip") is None, reason="there is no strip")
@pytest.mark.skipif(LIBRARY is None, reason="there is no shared library of ELF to weigh")
def test_a_wheel_is_weighed_without_its_symbols(tmp_path):
    wheel = tmp_path / "odyssey-0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(LIBRARY, "odyssey/probe.so")
        archive.writestr("odyssey/__init__.py", "")
    size, stripped = startup.stripped_size(wheel)
    assert 0 < size <= wheel.stat().st_size
    again = tmp_path / "again.whl"
    with zipfile.ZipFile(again, "w") as archive:
        archive.writestr("odyssey/__init__.py", "x = 1\n")
    assert startup.stripped_size(again) == (again.stat().st_size, False)
    assert stripped == (size < wheel.stat().st_size)


def test_without_strip_it_says_what_it_needs(tmp_path, monkeypatch):
    monkeypatch.setattr(startup.shutil, "which", lambda name: None)
    with pytest.raises(FileNotFoundError, match="expected the command strip"):
        startup.stripped_size(tmp_path / "any.whl")


def test_the_newest_wheel_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(startup, "__file__", str(tmp_path / "a" / "b" / "startup.py"))
    assert startup.find_wheel() is None
    (tmp_path / "dist").mkdir()
    for i, name in enumerate(("odyssey-2.whl", "odyssey-1.whl")):
        path = tmp_path / "dist" / name
        path.touch()
        os.utime(path, (i, i))
    assert startup.find_wheel() == tmp_path / "dist" / "odyssey-1.whl"
