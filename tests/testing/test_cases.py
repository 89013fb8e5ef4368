"""The table is complete, its inputs are what they claim to be, and they do not depend on who asks first."""

import sys

import numpy as np
import pytest

from odyssey import reference
from odyssey.testing import peers
from odyssey.testing.call import LAYOUTS, call
from odyssey.testing.case import Case
from odyssey.testing.cases import CASES, select
from odyssey.testing.draw import REGIMES, Draw

OPS = list(CASES)


def test_every_definition_has_a_row_and_every_row_a_definition():
    assert set(CASES) == set(reference.__all__)


@pytest.mark.parametrize("op", OPS)
def test_a_row_is_complete(op):
    case = CASES[op]
    assert case.why.endswith(".")
    assert case.bench
    assert case.sizes
    assert case.large, "threads must have something to share"
    assert case.dtypes == ("float32", "float64")
    assert case.regimes


@pytest.mark.parametrize("op", OPS)
def test_rows_meet_the_vector_at_its_edges(op):
    sizes = [np.prod([n for n in _flat(size) if isinstance(n, int)] or [1]) for size in CASES[op].sizes]
    assert len(sizes) >= 4
    assert max(sizes) > 16


def _flat(size):
    return [n for part in size for n in _flat(part)] if isinstance(size, tuple) else [size]


@pytest.mark.parametrize("op", OPS)
def test_the_same_names_draw_the_same_values(op):
    case = CASES[op]
    for sample in list(case.samples("float32", large=False))[:10]:
        first, second = case.draw(sample), case.draw(sample)
        for a, b in zip(first.args, second.args, strict=True):
            assert np.array_equal(a, b, equal_nan=isinstance(a, np.ndarray) and a.dtype.kind == "f")
        assert not any(np.shares_memory(a, b) for a in first.args for b in second.args if _are_arrays(a, b))


def _are_arrays(a, b):
    return isinstance(a, np.ndarray) and isinstance(b, np.ndarray)


def test_other_names_draw_other_values():
    case = CASES["exp"]
    drawn = [case.draw(sample).args[0] for sample in case.samples("float32", large=False) if sample.size == 130]
    drawn += [CASES["log"].draw(sample).args[0] for sample in CASES["log"].samples("float32") if sample.size == 130]
    assert len({array.tobytes() for array in drawn}) == len(drawn)


def test_another_seed_draws_other_values():
    case = CASES["exp"]
    sample = next(sample for sample in case.samples("float32") if sample.size == 130)
    assert not np.array_equal(case.draw(sample).args[0], case.draw(sample, seed=1).args[0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_regimes_are_what_they_are_called(dtype):
    def drawn(regime):
        return Draw(np.random.default_rng(0), np.dtype(dtype), regime)(1000)

    info = np.finfo(dtype)
    assert all(drawn(regime).dtype == dtype for regime in REGIMES)
    assert (np.abs(drawn("subnormal")) < info.smallest_normal).all()
    assert (drawn("subnormal") != 0).mean() > 0.9
    huge = drawn("huge")
    assert np.isfinite(huge).all()
    assert (np.abs(huge) >= info.max / 2).all()
    assert (huge < 0).any()
    assert (huge > 0).any()
    special = drawn("special")
    for wanted in (
        np.isnan,
        np.isposinf,
        np.isneginf,
        lambda x: (x == 0) & np.signbit(x),
        lambda x: (x == 0) & ~np.signbit(x),
    ):
        assert wanted(special).any()
    lognormal = np.abs(drawn("lognormal"))
    assert lognormal.max() / lognormal.min() > 1e6


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(), (0,), (1,), (17,), (3, 5), (2, 3, 4), (2, 0, 3)])
def test_layouts_keep_values_and_share_nothing(layout, shape):
    x = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    laid = call(x, 2.0, key=x).fresh(layout)
    for result in (laid.args[0], laid.kwargs["key"]):
        assert isinstance(result, np.ndarray)
        assert np.array_equal(result, x)
        assert not np.shares_memory(result, x)
        assert result.flags.writeable
    assert laid.args[1] == 2.0


def test_layouts_lie_as_they_are_called():
    x = np.ones((4, 6), np.float32)
    misaligned = LAYOUTS["misaligned"](x)
    assert misaligned.ctypes.data % 64 == 4
    assert misaligned.flags.c_contiguous
    assert LAYOUTS["strided"](x).strides[-1] == 8
    assert LAYOUTS["padded_rows"](x).strides == (36, 4)
    assert LAYOUTS["reversed"](x).strides == (-24, -4)
    assert LAYOUTS["fortran"](x).flags.f_contiguous


def test_results_written_in_place_count_as_results():
    case = CASES["adam_step"]
    given = case.draw(next(s for s in case.samples("float32") if s.size == 17))
    before = given.fresh()
    param, average, square = case.expect(given)
    assert np.array_equal(given.args[0], before.args[0])  # `expect` works on copies
    assert not np.array_equal(param, given.args[0])
    for new, old in ((average, given.args[2]), (square, given.args[3])):
        assert not np.array_equal(new, old)


def test_select_knows_families_and_names():
    assert {case.op for case in select(families=("softmax",))} == {
        "softmax",
        "softmax_backward",
        "log_softmax",
        "log_softmax_backward",
    }
    assert [case.op for case in select(("exp", "add"))] == ["exp", "add"]
    with pytest.raises(KeyError, match="no family"):
        select(families=("softmaxes",))


def test_peers_that_are_present_compute_the_same():
    for op in ("add", "exp", "sum", "matmul"):
        case = CASES[op]
        given = case.bench_call(case.bench[0])
        race = case.peers["numpy"](given)
        assert np.allclose(race(), case.expect(given)[0], rtol=1e-4, atol=1e-4)


def test_a_peer_that_is_absent_is_none(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setattr("odyssey.testing.peers._module", peers._module.__wrapped__)  # it remembers
    case = CASES["add"]
    assert case.peers["torch"](case.bench_call(4096)) is None


def test_rows_are_frozen():
    case = CASES["exp"]
    assert isinstance(case, Case)
    with pytest.raises(AttributeError):
        case.op = "other"
