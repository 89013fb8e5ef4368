"""Without room, a compiler or a whole cache the functions still run, and say once what is the matter."""

import errno
import os
import shutil

import constructs
import numpy as np
import pytest

from odyssey.bridge import jit
from odyssey.bridge.compiling import build, cache, functions, raising, toolchain
from odyssey.errors import CompileError

pytestmark = pytest.mark.xdist_group("jit")
KEY = "0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="module")
def extension(tmp_path_factory):
    """A compiled module of one function, under the name that belongs to the key."""
    return build.build("def answer():\n    return 42\n", cache.module_name(KEY), tmp_path_factory.mktemp("built"))


@pytest.fixture
def folder(monkeypatch, tmp_path):
    monkeypatch.setenv("ODYSSEY_CACHE_DIR", str(tmp_path / "cache"))
    return cache.folder()


def making(extension):
    def make(place):
        return shutil.copy(extension, place / extension.name) and place / extension.name

    return make


def test_what_was_made_is_found_and_what_is_damaged_is_made_again(folder, extension):
    for found in (False, True):
        module, was_there, problem = cache.obtain(KEY, making(extension))
        assert (module.answer(), was_there, problem) == (42, found, None)
    path = cache.find(KEY)
    damaged = path.with_suffix(".damaged")
    damaged.write_bytes(path.read_bytes()[:100])
    os.replace(damaged, path)  # and not written over: it is mapped, and runs
    assert cache.find(KEY) is None
    assert cache.obtain(KEY, making(extension))[1] is False
    (folder / f"{KEY}.entry").write_text("nonsense")
    assert cache.find(KEY) is None


def test_a_full_disk_leaves_nothing_beside_the_entries(folder, extension, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    folder.mkdir(parents=True)
    monkeypatch.setattr(cache.os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        cache.stored(KEY, extension)
    assert list(folder.iterdir()) == []
    module, was_there, problem = cache.obtain(KEY, making(extension))
    assert (module.answer(), was_there, problem.errno) == (42, False, errno.ENOSPC)


def test_a_cache_that_is_no_folder_costs_a_warning(folder, extension):
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.write_text("in the way")
    module, was_there, problem = cache.obtain(KEY, making(extension))
    assert module.answer() == 42
    assert not was_there
    assert isinstance(problem, OSError)


def plain(x):
    return x + 41


@pytest.mark.parametrize(
    ("what", "words"),
    [
        (lambda *a, **k: "there is no C compiler: install gcc or clang", "there is no C compiler"),
        (build.BuildError("error: expected ';'"), "expected ';'"),
        (OSError(errno.ENOSPC, "no room at all"), "no room at all"),
    ],
    ids=["no compiler", "it fails", "no room"],
)
def test_a_function_that_cannot_be_compiled_runs_as_it_is_and_says_so_once(monkeypatch, folder, what, words):
    monkeypatch.setattr(functions, "_warned", set())
    if callable(what):
        monkeypatch.setattr(toolchain, "missing", what)
    else:
        target = (build, "build") if isinstance(what, build.BuildError) else (cache, "obtain")

        def fail(*args, **kwargs):
            raise what

        monkeypatch.setattr(*target, fail)
    one, other = jit(plain), jit(plain)
    monkeypatch.setattr(functions, "_modules", {})
    with pytest.warns(RuntimeWarning, match="run as plain Python") as warned:
        assert one(1) == 42
    assert words in str(warned[0].message)
    assert other(1.5) == 42.5  # warnings are errors here, and this one was said
    functions.compile_together([(jit(plain), "int")])


def test_an_entry_that_cannot_be_kept_is_a_warning(monkeypatch, folder):
    monkeypatch.setattr(functions, "_warned", set())
    problem = OSError(errno.EROFS, "read-only")
    with pytest.warns(RuntimeWarning, match="cannot be written to .*read-only.*compiles anew"):
        functions._unkept(problem)


def test_what_a_function_uses_from_outside_is_in_its_key():
    names = dict(functions._outside(uses_a_module.__wrapped__))
    assert names["constructs.neighbours"] is constructs.neighbours
    assert functions._constant((1, (2.5, np.float32(3)))) == "(int 1, (float 2.5, float32 np.float32(3.0)))"

    def closes(x):
        return later + x

    assert dict(functions._outside(closes)) == {"later": None}
    later = 1
    assert dict(functions._outside(closes)) == {"later": later}
    assert functions.compile_together([]) is None


@jit
def uses_a_module(x):
    return constructs.neighbours(x)


def test_errors_of_compiled_code_name_their_place():
    places = (("file.py", 10, "spin"),)
    error = raising.make_error(14, 1, 7, 5, (0, 2, "a", ""), places)
    assert isinstance(error, IndexError)
    assert str(error) == "a: index 7 is out of bounds for axis 1 with size 5\n  in spin, file.py:12"
    made = raising.make_error(len(raising.KINDS), 0, 0, 0, (0, 2, "KeyError", "no such key"), places)
    assert isinstance(made, KeyError)
    assert made.args == ("no such key",)
    assert raising.make_error(len(raising.KINDS), 0, 0, 0, (0, 2, "ValueError", ""), places).args == ()


def test_what_cython_or_the_compiler_refuses_is_an_error_with_their_words(tmp_path):
    for text in ("def f(:\n", 'cdef extern from *:\n    """\n    #error not today\n    """\n'):
        with pytest.raises(build.BuildError) as refused:
            build.build(text, "module_that_is_none", tmp_path)
        assert len(str(refused.value)) > 10
    assert issubclass(CompileError, TypeError)
