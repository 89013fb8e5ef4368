"""The C ABI, used by a program in C: on every instruction set, with the same bits, and under Valgrind."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import odyssey as od
from odyssey.errors import DTypeError, KernelError, ShapeError

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def program(tmp_path_factory):
    """mhc_use, linked from the static libraries of a build in this tree."""
    found = sorted(ROOT.glob("build/temp.*/libody_runtime.a"))
    compiler = shutil.which("cc")
    if not found or compiler is None or not (ROOT / "setup.py").exists():
        pytest.skip("needs a compiler and the static libraries of a build in place")
    folder = found[-1].parent
    built = tmp_path_factory.mktemp("mhc") / "mhc_use"
    libraries = [str(one) for one in sorted(folder.glob("libody_*.a")) if one.name != "libody_runtime.a"]
    command = [compiler, "-std=c11", "-g", "-Wall", "-Wextra", "-Werror", f"-I{od.get_include()}"]
    command += [str(ROOT / "tests/native/mhc_use.c"), str(found[-1]), *libraries, "-lm", "-lpthread", "-o", str(built)]
    subprocess.run(command, check=True)
    return built


@pytest.mark.source
def test_a_c_program_gets_the_same_bits_on_every_instruction_set(program):
    hashes = {
        isa: subprocess.run([program, isa], check=True, capture_output=True, text=True).stdout
        for isa in od.isa.available()
    }
    assert len(set(hashes.values())) == 1, hashes


@pytest.mark.source
def test_valgrind_finds_no_leak_and_no_wrong_access(program):
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        pytest.skip("needs valgrind")
    # Valgrind knows no AVX-512.
    command = [
        valgrind,
        "--quiet",
        "--leak-check=full",
        "--show-leak-kinds=all",
        "--error-exitcode=9",
        program,
        "scalar",
    ]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def operands():
    rng = np.random.default_rng(0)
    fn = rng.standard_normal((24, 4 * 33)).astype(np.float32)
    return (
        fn,
        rng.standard_normal(24).astype(np.float32),
        np.ones(3, np.float32),
        rng.standard_normal((2, 5, 4, 33), np.float32),
    )


def test_a_handle_gives_the_bits_of_the_operations():
    fn, base, scale, x = operands()
    mhc = od.MHC(fn, base, scale)
    collapsed, post, comb, _ = od.hyper_pre(x, fn, base, scale)
    assert mhc.forward(x).tobytes() == od.hyper_post(collapsed, x, post, comb).tobytes()
    expected = od.hyper_post(od.tanh(collapsed), x, post, comb)
    held = mhc.metrics()["allocations"]
    assert mhc.forward(x, layer=od.tanh, out=x) is x
    assert x.tobytes() == expected.tobytes()
    metrics = mhc.metrics()
    assert metrics["allocations"] == held
    assert metrics["calls"] == 2
    assert metrics["column_residual"] < 1e-4


def test_statuses_are_exceptions():
    fn, base, scale, x = operands()
    mhc = od.MHC(fn, base, scale)
    with pytest.raises(ShapeError, match="streams"):
        od.MHC(fn, base, scale, streams=3)
    with pytest.raises(DTypeError):
        od.MHC(fn.astype(np.float64), base, scale)
    with pytest.raises(ShapeError, match=r"\(\.\.\., 4, 33\)"):
        mhc.forward(x[..., :32])
    with pytest.raises(ZeroDivisionError):
        mhc.forward(x, layer=lambda collapsed: 1 / 0)
    with pytest.raises(ShapeError, match="layer must return"):
        mhc.forward(x, layer=lambda collapsed: collapsed[..., 1:])
    x[0, 0, 0, 0] = np.nan
    with pytest.raises(KernelError, match="not finite") as caught:
        mhc.forward(x)
    assert caught.value.status == 4
