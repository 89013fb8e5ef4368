"""The machine's limits: what the probes say they did, and which limit bounds which work."""

import numpy as np
import pytest

from odyssey import isa
from odyssey._kernels import probe
from odyssey.bench.limits import Limit, fma_limit, limit_of, measure_limits, memory_limit, motion_of
from odyssey.bench.work import Work, work_of
from odyssey.testing.call import call
from odyssey.testing.cases import CASES
from odyssey.testing.placement import place, placed_empty


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("tasks", [1, 3])
def test_the_fma_probe_counts_its_operations(isa, threads, dtype, tasks):
    one = probe.fma(dtype, 1)
    assert one > 0
    assert probe.fma(dtype, 10, tasks) == 10 * tasks * one


@pytest.mark.parametrize("parts", [False, True])
@pytest.mark.parametrize("stream", [False, True])
def test_the_memory_probes_move_what_they_say(isa, threads, stream, parts):
    n = 128 * 6
    a, b = (place(np.random.default_rng(seed).standard_normal(n).astype(np.float32)) for seed in (0, 1))
    out = placed_empty((n,), np.float32)
    assert probe.copy(a, out, 2, 3, stream, parts) == 2 * 2 * a.nbytes
    np.testing.assert_array_equal(out, a)
    assert probe.add(a, b, out, 1, 2, stream, parts) == 3 * a.nbytes
    np.testing.assert_array_equal(out, a + b)
    assert probe.write(out, 4, 1, stream, parts) == 4 * a.nbytes
    np.testing.assert_array_equal(out, 1)
    assert probe.read(a, 5, 6, parts) == 5 * a.nbytes


def test_the_probes_refuse_what_they_cannot_walk():
    x = placed_empty((256,), np.float32)
    with pytest.raises(ValueError, match="multiple of 128 times the tasks"):
        probe.read(x, 1, 3)
    with pytest.raises(ValueError, match="equally long"):
        probe.copy(x, placed_empty((128,), np.float32))
    with pytest.raises(ValueError, match="64-byte boundary"):
        probe.write(placed_empty((257,), np.float32)[1:], stream=True)
    with pytest.raises(ValueError, match="dtype"):
        probe.fma("int8", 1)
    with pytest.raises(ValueError, match="tasks"):
        probe.fma("float32", 1, 0)


def test_a_limit_says_what_the_work_takes_at_its_rate():
    now = [0.0]

    def work(rounds):  # 10 units a second
        now[0] += rounds * 1e-3
        return rounds * 1e-2

    limit = Limit("fake", work, 50.0, clock=lambda: now[0])
    assert limit.sample(1) == pytest.approx(5.0)
    assert limit.sample(3) == pytest.approx(15.0)
    assert limit.best() == pytest.approx(5.0)
    assert limit.result() is None


@pytest.mark.parametrize(
    ("read", "written", "motion"),
    [(100, 0, "read"), (100, 1, "read"), (0, 100, "write"), (100, 100, "copy"), (200, 100, "add"), (300, 100, "add")],
)
def test_a_call_is_compared_with_the_motion_most_like_it(read, written, motion):
    assert motion_of(Work(0, read, written)) == motion


def test_work_is_bounded_by_the_slower_of_arithmetic_and_traffic():
    assert limit_of(Work(1e9, 4096, 4096), "float32").name == "FMA peak"
    assert limit_of(Work(1e5, 1 << 24, 1 << 12), "float32").name == "read"
    assert limit_of(Work(10, 64, 64), "float32") is None


def test_the_limits_of_every_set_and_place_are_measured(monkeypatch):
    monkeypatch.setattr("odyssey.bench.limits.LONG", 0.0)
    monkeypatch.setattr("odyssey.bench.limits._places", lambda: [("L1", 16384)])
    found = list(measure_limits([1]))
    assert {limit.isa for limit in found if limit.unit == "GFLOP/s"} == set(isa.available())
    assert [limit.what for limit in found if limit.where == "L1"] == ["read", "write", "copy", "add"]
    assert all(limit.rate > 0 for limit in found)


def test_limits_hold_for_the_set_and_the_threads_they_name():
    for limit in (fma_limit("float32", 1, 1.0, on="scalar"), memory_limit("add", 3 << 12, 2, on="scalar")):
        assert limit.sample(1) > 0


def test_work_counts_each_array_once_and_flops_where_the_row_has_them():
    a, b = np.zeros((3, 4), np.float32), np.zeros((4, 5), np.float32)
    work = work_of(CASES["matmul"], call(a, b), (a @ b,))
    assert work == Work(2 * 3 * 4 * 5, 4 * (12 + 20), 4 * 15)
    assert work.rate(1e-9) == (120.0, "GFLOP/s")
    same = work_of(CASES["add"], call(a, a), (a,))
    assert same == Work(0, a.nbytes, a.nbytes)
    assert same.rate(1e-9) == (96.0, "GB/s")


def test_placed_arrays_begin_on_lines_of_their_own():
    arrays = [placed_empty((n,), np.float32) for n in (1, 1000, 1 << 20, 1 << 21)]
    addresses = [array.ctypes.data for array in arrays]
    assert all(address % 64 == 0 for address in addresses)
    assert len({address % 4096 for address in addresses}) == len(arrays)
    assert all(address % (2 << 20) < 4096 for address in addresses[2:])
    assert place("text") == "text"
    matrix = np.arange(6.0).reshape(2, 3).T
    assert np.array_equal(place(matrix), matrix)
    assert place(matrix).flags.c_contiguous
