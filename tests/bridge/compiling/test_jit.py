"""Compiled functions: their values, their errors, their arrays."""

import ctypes
import gc
import pickle
import threading

import compiled
import numpy as np
import pytest

from odyssey.bench.loops import LOOPS
from odyssey.bridge import jit
from odyssey.bridge.compiling import functions
from odyssey.bridge.compiling.functions import compile_together
from odyssey.bridge.compiling.signature import split, token
from odyssey.errors import CompileError, DTypeError, LayoutError

pytestmark = pytest.mark.xdist_group("jit")


@pytest.fixture(autouse=True, scope="module")
def ready():
    compiled.compile_all()


def test_ten_loops_give_what_they_give_interpreted():
    made = [(jit(loop.function), loop.make(True)) for loop in LOOPS]
    compile_together((one, [token(value, "", "") for value in given]) for one, given in made)
    for one, given in made:
        first, second = ([x.copy() if isinstance(x, np.ndarray) else x for x in given] for _ in range(2))
        want, got = one.__wrapped__(*first), one(*second)
        assert (got, type(got)) == (want, type(want)), one
        for a, b in zip(first, second, strict=True):
            assert np.array_equal(a, b), one


@pytest.mark.parametrize(
    "a", [np.arange(5.0), np.arange(10.0)[::2], np.arange(5, dtype=np.float32), np.arange(5)], ids=str
)
def test_a_result_has_the_type_that_numpy_gives(a):
    want, got = compiled.total.__wrapped__(a), compiled.total(a)
    assert (got, type(got)) == (want, type(want))


def test_an_index_outside_names_array_axis_size_and_line():
    a = np.arange(3.0)
    with pytest.raises(
        IndexError, match=r"a: index 3 is out of bounds for axis 0 with size 3\n  in pick, .*compiled.py:\d+"
    ):
        compiled.pick(a, 3)
    with pytest.raises(IndexError, match="index -4"):
        compiled.pick(a, -4)
    assert compiled.pick(a, -3) == 0.0


@pytest.mark.parametrize(("i", "j"), [(0, 3), (-3, 3), (1, 1), (3, 1), (2**62, 2**62), (-(2**63), -(2**63))])
def test_a_loop_inside_its_array_or_wrapping_around_sums_what_python_sums(i, j):
    a = np.arange(1.0, 4.0)
    assert compiled.edges(a, i, j) == compiled.edges.__wrapped__(a, i, j)


@pytest.mark.parametrize(("i", "j"), [(0, 4), (-4, 0), (2**63 - 2, 2**63 - 1), (-(2**63), 0)])
def test_a_loop_that_leaves_its_array_raises(i, j):
    with pytest.raises(IndexError):
        compiled.edges(np.ones(3), i, j)


def test_an_index_read_from_an_array_is_checked():
    a = np.arange(4.0)
    assert compiled.gather(a, np.array([0, -1, 2])) == 5.0
    for wrong in (4, -5, 2**40):
        with pytest.raises(IndexError):
            compiled.gather(a, np.array([0, wrong]))
    assert compiled.trusting(a, 4) == 6.0


def test_what_does_not_fit_into_an_element_raises_as_in_numpy():
    a = np.zeros(2, np.int8)
    compiled.put(a, 0, -128)
    with pytest.raises(OverflowError):
        compiled.put(a, 0, 128)
    b = np.zeros(2, np.uint8)
    compiled.put(b, -1, 7.9)
    with pytest.raises(ValueError, match="nan"):
        compiled.put(b, 0, float("nan"))
    assert (a[0], b[1]) == (-128, 7)


def test_a_read_only_array_is_read_and_not_written():
    a = np.arange(3.0)
    a.flags.writeable = False
    assert compiled.pick(a, 1) == 1.0
    with pytest.raises(ValueError, match="a is read-only"):
        compiled.put(a, 0, 1.0)


def test_an_argument_comes_back_as_the_same_object():
    a, b = np.zeros(2), np.ones(2)
    assert compiled.swap_often(a, b, 3) is b
    assert compiled.swap_often(a, b, 4) is a


def test_arrays_made_inside_outlive_the_call_and_each_other():
    whole, one, last = compiled.made(3, 0.5)
    assert one == 1.0
    assert np.array_equal(whole, [[0, 0.5], [1, 0.5], [2, 0.5]])
    del whole
    gc.collect()
    assert np.array_equal(last, [2, 0.5])
    last[0] = 9
    assert compiled.many_arrays(2000) == compiled.many_arrays.__wrapped__(2000)
    with pytest.raises(ValueError, match="negative dimensions"):
        compiled.made(-1, 0.0)
    with pytest.raises(MemoryError):
        compiled.made(2**60, 0.0)
    row = compiled.pick(np.arange(6.0).reshape(2, 3), 1)
    assert np.array_equal(row, [3, 4, 5])


def test_functions_call_themselves_and_each_other():
    assert compiled.fibonacci(15) == 610
    assert compiled.is_even(10) is True
    with pytest.raises(RecursionError):
        compiled.endless(0)


def test_a_function_is_an_argument():
    assert compiled.apply(compiled.square, 3.0) == 18.0
    assert compiled.apply(compiled.reciprocal, 4.0) == 0.5
    assert compiled.apply(compiled.square, 2.0) == 8.0


def test_defaults_keywords_and_counts_are_those_of_the_function():
    assert compiled.with_default(3.0) == 6.0
    assert compiled.with_default(factor=1.0, x=2.0) == 2.0
    with pytest.raises(TypeError):
        compiled.with_default()
    with pytest.raises(TypeError):
        compiled.with_default(1.0, 2.0, 3.0)


def test_python_s_errors_are_raised():
    with pytest.raises(ZeroDivisionError, match="in reciprocal"):
        compiled.reciprocal(0.0)
    with pytest.raises(UnboundLocalError, match="value"):
        compiled.late(False)
    with pytest.raises(ValueError, match=r"^too many$"):
        compiled.refuse(4)
    with pytest.raises(AssertionError, match="two"):
        compiled.refuse(2)
    with pytest.raises(OverflowError):
        compiled.square(2**63)
    assert compiled.square(2**40) == 2**80 % 2**64
    assert [compiled.counted(n) for n in (4, 5, 0)] == [2, 3, 2]


def test_strided_arrays_are_written_where_they_lie():
    a = np.zeros((6, 4), np.int32)
    assert compiled.mixed(a[::2, 1:3]) == 6
    assert np.array_equal(a[::2, 1:3].ravel(), range(6))
    assert a.sum() == 15


@pytest.mark.parametrize(
    ("value", "error", "remedy"),
    [
        ([1.0], DTypeError, "np.asarray"), ("text", DTypeError, "found str"), (np.zeros(2, complex), DTypeError, "complex128"),
        (np.zeros(2, np.float16), DTypeError, "astype"), (np.zeros(2, ">f8"), DTypeError, "byte order"),
        (np.array(1.0), LayoutError, "without"), (np.zeros(17, np.uint8)[1:].view(np.float64), LayoutError, "copy"),
        (np.complex64(1), DTypeError, "complex64"), (None, DTypeError, "NoneType"),
    ],
)  # fmt: skip
def test_an_argument_that_is_no_number_is_refused_with_a_remedy(value, error, remedy):
    with pytest.raises(error, match=remedy):
        compiled.total(value)


def test_a_signature_is_read_with_or_without_spaces():
    assert split("float64[:,::1] , int") == ("float64[:, ::1]", "int") == split(["float64[:, ::1]", "int"])
    assert split("") == ()
    with pytest.raises(ValueError, match="expected a type"):
        split("float64[1]")
    with pytest.raises(ValueError, match="expected 1 types"):
        compiled.total.compile("int, int")


def test_threads_that_call_first_at_once_compile_once():
    @jit
    def fresh(x):
        return x + 1.25

    before = functions.stats()["compiled"]
    gate, results = threading.Barrier(4), []

    def call():
        gate.wait()
        results.append(fresh(1.0))

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [2.25] * 4
    assert functions.stats()["compiled"] == before + 1


def test_counts_and_inspection_tell_what_happened():
    before = jit.stats()["executed"]
    compiled.square(2)
    assert jit.stats()["executed"] == before + 1
    seen = compiled.square.inspect("float")
    assert seen.result == "float"
    assert "v_x * v_x" in str(seen)
    assert seen.types == {"x": "float"}
    assert "core_square" in seen.c
    assert "mulsd" in seen.assembly or "fmul" in seen.assembly
    assert compiled.square.inspect().signature in compiled.square.signatures
    assert "compiled" in repr(compiled.square)
    with pytest.raises(ValueError, match="found nothing yet"):
        jit(lambda_like).inspect()


def lambda_like(x):
    return x


def test_c_calls_a_compiled_function():
    call = compiled.square.ctypes("float")
    assert call(1.5) == 2.25
    assert ctypes.cast(call, ctypes.c_void_p).value == compiled.square.address("float")
    with pytest.raises(CompileError, match="numbers alone"):
        compiled.total.address("float64[::1]")
    with pytest.raises(CompileError, match="one number"):
        compiled.made.address("int, float")


def test_what_a_callback_raises_is_reported_and_gives_nan(monkeypatch):
    seen = []
    monkeypatch.setattr("sys.unraisablehook", lambda report: seen.append(report.exc_type))
    assert np.isnan(compiled.reciprocal.ctypes("float")(0.0))
    assert seen == [ZeroDivisionError]


def test_it_is_pickled_by_its_place_and_bound_as_a_method():
    assert pickle.loads(pickle.dumps(compiled.square)) is compiled.square

    class Holder:
        number = staticmethod(compiled.square)
        method = compiled.square

    assert Holder.number(2) == Holder.method(2) == 4
    with pytest.raises(TypeError):
        Holder().method(2)
