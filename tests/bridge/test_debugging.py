"""Debugging memory: what nobody wrote is NaN, who writes beyond an array's ends is named, and the caller's arrays stay whole."""

import contextlib
import ctypes
import doctest
import shutil
import subprocess

import numpy as np
import pytest

import odyssey as od
from odyssey.bridge import debug, debugging
from odyssey.bridge.debugging import DamagedMemory, Fenced, check_aligned, is_on
from odyssey.errors import LayoutError


def test_it_is_on_within_its_block_and_as_before_after_it():
    assert not is_on()
    with debug():
        assert is_on()
        with debug(False):
            assert not is_on()
        assert is_on()
    assert not is_on()
    debug()
    assert is_on()
    debug(False)
    assert not is_on()


def test_operations_give_the_same_bits_in_it():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 65, 65)).astype(np.float32)
    plain = [
        od.matmul(a, b),
        od.softmax(a),
        od.sum(a),
        od.conv2d(a.reshape(1, 1, 65, 65), b[:3, :3].reshape(1, 1, 3, 3).copy()),
    ]
    with debug():
        guarded = [
            od.matmul(a, b),
            od.softmax(a),
            od.sum(a),
            od.conv2d(a.reshape(1, 1, 65, 65), b[:3, :3].reshape(1, 1, 3, 3).copy()),
        ]
    for one, other in zip(plain, guarded, strict=True):
        assert np.array_equal(one, other)


def overwrite(count):
    """A result of which the byte that is three beyond its end was written."""
    result = od.exp(np.zeros(count, np.float32))
    ctypes.memset(result.ctypes.data + result.nbytes + 3, 0, 1)


def in_debugging(work, *args):
    with debug():
        work(*args)


@pytest.mark.parametrize("count", [8, 1 << 16])
def test_a_result_written_beyond_its_end_is_an_error_at_the_end_of_the_block(count):
    with pytest.raises(DamagedMemory, match="found 1 written beyond the end"):
        in_debugging(overwrite, count)


def test_memory_that_was_freed_reads_as_nan_until_it_serves_again():
    with debug() as watch:
        result = od.exp(np.zeros(1 << 16, np.float32))
        address = result.ctypes.data
        del result
        seen = np.ctypeslib.as_array(ctypes.cast(address, ctypes.POINTER(ctypes.c_float)), (16,))
        assert np.isnan(seen).all()
        watch.check()


def test_an_error_within_the_block_is_not_hidden_by_the_check():
    def fail():
        overwrite(64)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        in_debugging(fail)


def test_native_code_works_on_a_copy_whose_changes_come_back():
    x = np.arange(12, dtype=np.float32).reshape(3, 4)[:, ::2]
    fenced = Fenced(x, "x", writable=True)
    assert fenced.array.flags.c_contiguous
    assert fenced.array.ctypes.data % 64 == 0
    fenced.array += 1
    fenced.close()
    np.testing.assert_array_equal(x, [[1, 3], [5, 7], [9, 11]])
    assert np.isnan(fenced.array).all()  # for who kept the pointer


@pytest.mark.parametrize(("offset", "side"), [(-1, "before"), (48, "after"), (1000, "after")])
def test_a_write_beyond_the_ends_names_the_argument_and_leaves_the_callers_array(offset, side):
    x = np.zeros((3, 4), np.float32)
    fenced = Fenced(x, "weights", writable=True)
    fenced.array[...] = 1
    ctypes.memset(fenced.array.ctypes.data + offset, 0, 1)
    with pytest.raises(DamagedMemory, match=f"weights: .*bytes written {side} it"):
        fenced.close()
    assert not x.any()


def test_a_const_argument_that_changed_is_an_error():
    x = np.zeros(4)
    fenced = Fenced(x, "x", writable=False)
    fenced.array[2] = 1
    with pytest.raises(DamagedMemory, match="says const"):
        fenced.close()
    assert not x.any()


def test_elements_at_odd_addresses_are_refused():
    memory = np.zeros(17, np.uint8)
    check_aligned(memory, "bytes")
    with pytest.raises(LayoutError, match=r"multiple of 8.*\n.*\n.*x\.copy\(\)"):
        check_aligned(memory[1:].view(np.float64), "x")


def test_the_examples_run():
    assert doctest.testmod(debugging).failed == 0


# ---- native libraries --------------------------------------------------------------------------------------------

SOURCE = """
#include <stddef.h>
static const float *kept;
void scale(size_t n, const float *x, float by, float *out) { for (size_t i = 0; i < n; i++) out[i] = x[i] * by; }
void spoil(size_t n, const float *x) { ((float *)x)[n - 1] += 1; }
void keep(size_t n, const float *x) { kept = x; }
float kept_first(void) { return kept[0]; }
"""
DECLARED = """
void scale(size_t n, const float *x, float by, float *out);
void spoil(size_t n, const float *x);
void keep(size_t n, const float *x);
float kept_first(void);
"""


@pytest.fixture(scope="module")
def native(tmp_path_factory):
    pytest.importorskip("cffi")
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler, cc")
    folder = tmp_path_factory.mktemp("native")
    (folder / "spoiler.c").write_text(SOURCE)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", folder / "spoiler.so", folder / "spoiler.c"], check=True)
    return od.bridge.direct.NativeLibrary(folder / "spoiler.so", DECLARED)


def test_a_native_call_gives_the_same_in_it_and_before_and_after_it(native):
    x, out = np.arange(9, dtype=np.float32), np.zeros(9, np.float32)
    for switch in (contextlib.nullcontext, debug, contextlib.nullcontext):
        out[:] = 0
        with switch():
            native.scale(x.size, x, 2.0, out=out)
        np.testing.assert_array_equal(out, 2 * x)


def test_a_native_call_that_is_told_too_large_a_size_names_the_argument(native):
    x, out, after = np.ones(64, np.float32), np.zeros(8, np.float32), np.zeros(64, np.float32)
    with pytest.raises(DamagedMemory, match=r"scale: out: .*bytes written after it"):
        in_debugging(native.scale, 20, x, 2.0, out)
    assert not out.any()
    assert not after.any()


def test_a_native_call_that_writes_what_is_const_names_the_argument(native):
    x = np.ones(4, np.float32)
    with pytest.raises(DamagedMemory, match=r"spoil: x: .*says const"):
        in_debugging(native.spoil, 4, x)
    assert (x == 1).all()


def test_a_pointer_that_native_code_kept_leads_to_nothing(native):
    x = np.ones(4, np.float32)
    with debug():
        native.keep(4, x)
        first = native.kept_first()
    assert np.isnan(first)


# ---- shared rings ------------------------------------------------------------------------------------------------


def ones(number, slot):
    slot["x"][:] = 1


@pytest.mark.parametrize("on", [False, True])
def test_an_array_of_a_batch_that_was_released_is_nan(on):
    ring = od.bridge.shared.SharedRing(3, {"x": ((4,), "float32")})
    with debug(on), ring.feed(ones, range(2), context="fork") as feed:
        batch = next(feed)
        late = batch["x"]
        next(feed)  # which releases the one before
        assert np.isnan(late).all() == on
