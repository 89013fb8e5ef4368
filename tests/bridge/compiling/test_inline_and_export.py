"""C bodies, and compiled functions as modules of their own."""

import subprocess
import sys

import compiled
import numpy as np
import pytest

from odyssey.bridge import inline_c, jit
from odyssey.errors import CompileError, DTypeError, LayoutError, ShapeError

pytestmark = pytest.mark.xdist_group("jit")


@pytest.fixture(scope="module")
def scaled():
    return inline_c(
        "double s = 0; for (int64_t i = 0; i < rows * n; i++) { y[i] = (float)(factor * x[i]); s += y[i]; }\nreturn s + add;",
        "double scaled(double factor, const float x[rows][n], float y[rows][n], int64_t n, int8_t add)",
    )


def test_a_body_in_c_reads_writes_and_returns(scaled):
    x, y = np.ones((2, 3), np.float32), np.zeros((2, 3), np.float32)
    x.flags.writeable = False
    assert scaled(0.5, x, y, 3, 1) == 4.0
    assert scaled(1, x, y, np.int64(3), 0) == 6.0
    assert (y == 1).all()
    assert "const float" in repr(scaled)


@pytest.mark.parametrize(
    ("place", "value", "error", "message"),
    [
        (0, "a", DTypeError, "factor"), (1, [1.0], DTypeError, "found list"), (1, np.ones((2, 3)), DTypeError, "astype"),
        (1, np.ones(3, np.float32), ShapeError, "2 axes"), (1, np.ones((3, 3), np.float32), ShapeError, "lengths"),
        (2, np.zeros((2, 6), np.float32)[:, ::2], LayoutError, "ascontiguousarray"), (3, 4, ShapeError, "lengths"),
        (2, np.broadcast_to(np.float32(0), (2, 3)).copy().view(), None, ""), (4, 300, OverflowError, "int8"),
        (3, 2.5, DTypeError, "integer"),
    ],
)  # fmt: skip
def test_arguments_are_checked_by_the_table_of_types(scaled, place, value, error, message):
    args = [0.5, np.ones((2, 3), np.float32), np.zeros((2, 3), np.float32), 3, 1]
    args[place] = value
    if error is None:
        scaled(*args)
        return
    with pytest.raises(error, match=message):
        scaled(*args)


def test_a_read_only_array_is_not_written_to(scaled):
    y = np.zeros((2, 3), np.float32)
    y.flags.writeable = False
    with pytest.raises(LayoutError, match="read-only"):
        scaled(1.0, np.ones((2, 3), np.float32), y, 3, 0)


@pytest.mark.parametrize(
    ("body", "signature", "message"),
    [
        ("", "nothing", "expected a signature"), ("", "void f(double *x)", "in brackets"), ("", "void f(text x)", "C number"),
        ("", "void f(double x, int x)", "differ"), ("return x +;", "double f(double x)", "refuses"),
        ("", "void f(double _Complex x)", "real numbers"),
    ],
)  # fmt: skip
def test_what_is_no_signature_or_no_c_is_refused(body, signature, message):
    with pytest.raises((CompileError, DTypeError), match=message):
        inline_c(body, signature)


def test_an_exported_module_needs_numpy_alone(tmp_path):
    path = jit.export(
        [compiled.square, compiled.mixed], "loops_of_mine",
        {"square": ["float", "int"], "mixed": ["int32[:, :]"]}, tmp_path,
    )  # fmt: skip
    assert path.exists()
    stub = (tmp_path / "loops_of_mine.pyi").read_text()
    assert "@overload\ndef square(x: float, /) -> float: ..." in stub
    assert "def mixed(a: npt.NDArray[np.int32], /) -> int: ..." in stub
    code = (
        "import sys, numpy as np, loops_of_mine as m\n"
        "assert m.square(3) == 9 and m.square(1.5) == 2.25 and m.__all__ == ['square', 'mixed']\n"
        "assert m.mixed(np.zeros((2, 2), np.int32)) == 4 and m.mixed.__doc__ and 'odyssey' not in sys.modules\n"
        "try:\n    m.square('x')\nexcept TypeError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "expected arguments of (float) or (int), found str" in done.stdout


def test_export_says_what_it_lacks(tmp_path):
    with pytest.raises(ValueError, match="module's name"):
        jit.export(compiled.square, "no name", ["int"], tmp_path)
    with pytest.raises(ValueError, match="expected a dict"):
        jit.export([compiled.square, compiled.total], "m", ["int"], tmp_path)
    with pytest.raises(ValueError, match="found none"):
        jit.export(jit(compiled.square), "m", None, tmp_path)
