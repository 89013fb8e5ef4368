"""The cache: found by the next process, whole or rebuilt, shared by many, and never needed."""

import os
import subprocess
import sys

import pytest

from odyssey.bridge.compiling import cache, toolchain

pytestmark = pytest.mark.xdist_group("jit")

PROGRAM = """
import sys, warnings
warnings.simplefilter("always")
import odyssey as od
FACTOR = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
@od.jit
def scaled(x):
    return x * FACTOR
assert scaled(2.0) == 2.0 * FACTOR
print(od.jit.stats()["compiled"], od.jit.stats()["hits"], "Cython" in sys.modules)
"""


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return path


def start(program, folder, *args, **more):
    environment = {**os.environ, "ODYSSEY_CACHE_DIR": str(folder), **more}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [os.getcwd(), os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(
        [sys.executable, str(program), *args],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(*args, **more):
    process = start(*args, **more)
    out, err = process.communicate()
    assert process.returncode == 0, err
    return out.split(), err


def test_the_second_process_finds_it_and_a_broken_entry_is_rebuilt(program, tmp_path):
    assert run(program, tmp_path)[0] == ["1", "0", "True"]
    assert run(program, tmp_path)[0] == ["0", "1", "False"]
    (extension,) = (tmp_path / "jit").glob("*.so")
    extension.write_bytes(extension.read_bytes()[:5000])
    assert run(program, tmp_path)[0] == ["1", "0", "True"]
    (entry,) = (tmp_path / "jit").glob("*.entry")
    entry.write_text("nonsense")
    # A global number is part of the key; what lies there of others does not disturb.
    assert run(program, tmp_path, "3")[0] == ["1", "0", "True"]
    left = [path.name for path in (tmp_path / "jit").iterdir() if not path.name.endswith((".so", ".entry", ".lock"))]
    assert left == []


def test_twenty_processes_on_a_cold_cache_all_compute_and_one_compiles(program, tmp_path):
    started = [start(program, tmp_path) for _ in range(20)]
    results = [process.communicate() for process in started]
    assert [process.returncode for process in started] == [0] * 20, results
    assert sorted(out.split()[0] for out, _ in results) == ["0"] * 19 + ["1"]


def test_without_a_place_to_write_it_compiles_for_itself_and_says_so(program):
    out, err = run(program, "/proc/none")
    assert out[0] == "1"
    assert err.count("cannot be written to") == 1


def test_without_a_compiler_python_runs_it_and_says_so(program, tmp_path):
    out, err = run(program, tmp_path, PATH=str(tmp_path), CC="")
    assert out[:2] == ["0", "0"]
    assert err.count("there is no C compiler") == 1


def test_the_compiler_is_found_by_name_path_and_options(monkeypatch, tmp_path):
    monkeypatch.setenv("CC", f"{sys.executable} -O1")
    assert toolchain.compiler() == [sys.executable, "-O1"]
    monkeypatch.setenv("CC", "no-such-compiler")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert toolchain.compiler() is None
    assert "compiler" in toolchain.missing()
    monkeypatch.setattr(toolchain.PathFinder, "find_spec", lambda name: None)
    assert "Cython" in toolchain.missing()


def test_the_folder_is_the_platform_s_unless_named(monkeypatch):
    monkeypatch.delenv("ODYSSEY_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert str(cache.folder()) == "/somewhere/odyssey/jit"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cache.folder().parts[-3:] == ("Caches", "odyssey", "jit")
