"""Where a library is looked for, in which order, and what is said when it is nowhere."""

import os
import shutil
import sys

import pytest

from odyssey.bridge.direct import NativeLibrary
from odyssey.bridge.direct.search import file_names, load

COS = "double sum(const double *x, size_t n);"


@pytest.fixture
def folders(library_file, tmp_path, monkeypatch):
    """A package, and a folder of ODYSSEY_LIBRARY_PATH, with the library under the platform's name in both."""
    name = file_names("searched")[0]
    package = tmp_path / "apackage"
    package.mkdir()
    (package / "__init__.py").write_text("")
    named = tmp_path / "named"
    named.mkdir()
    for folder in (package, named):
        shutil.copy(library_file, folder / name)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("ODYSSEY_LIBRARY_PATH", os.pathsep.join([str(tmp_path / "absent"), str(named)]))
    return package / name, named / name


def test_the_package_comes_before_the_variable_and_that_before_the_system(folders):
    package, named = folders
    assert NativeLibrary("searched", COS, package="apackage").path == str(package)
    assert NativeLibrary("searched", COS).path == str(named)
    named.unlink()
    with pytest.raises(FileNotFoundError, match="searched"):
        NativeLibrary("searched", COS)
    (package.parent / "plain").mkdir()


def test_a_name_with_a_folder_is_that_file_alone(folders, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"sub/searched: no such file"):
        NativeLibrary("sub/searched", COS)
    assert NativeLibrary(os.fspath(folders[1]), COS).path == str(folders[1])
    assert NativeLibrary(folders[0], COS).path == str(folders[0])


def test_every_place_is_listed_with_what_was_wrong_there(folders):
    package, named = folders
    named.write_bytes(b"no library")
    package.unlink()
    with pytest.raises(FileNotFoundError) as caught:
        NativeLibrary("searched", COS, package="apackage")
    said = str(caught.value)
    assert f"{package}: no such file" in said
    assert f"{named}: " in said
    assert "absent" in said
    assert "the system's" in said
    assert "ODYSSEY_LIBRARY_PATH" in said
    assert said.index(str(package)) < said.index("absent") < said.index(f"{named}: ") < said.index("the system's")


def test_the_systems_own_libraries_are_found_by_their_short_names():
    assert NativeLibrary("m", "double cos(double x);").cos(0.0) == 1.0
    if sys.platform == "linux":
        assert NativeLibrary("libm.so.6", "double cos(double x);").path == "libm.so.6"


def test_a_package_that_is_not_there_is_an_error():
    with pytest.raises(ModuleNotFoundError, match="nosuchpackage"):
        NativeLibrary("m", "double cos(double x);", package="nosuchpackage")


def test_names_follow_the_platform():
    assert file_names("libx", "linux") == ["libx.so"]
    assert file_names("x.dll", "win32") == ["x.dll"]
    assert file_names("x.dylib", "darwin") == ["x.dylib"]
    assert file_names("x", "win32") == ["x.dll", "libx.dll"]
    import cffi

    with pytest.raises(FileNotFoundError):
        load(cffi.FFI(), "there_is_no_such_library")
