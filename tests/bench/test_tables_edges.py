"""Where a table cannot measure a line it says why: one processor, no peer, a wrong result, nothing built."""

import sys
import types

import numpy as np
import pytest

from odyssey.bench import suites
from odyssey.bench.race import Outcome, Rules, Spread
from odyssey.bench.suites import OURS, Row
from odyssey.bench.tables import Request, crossing, foundation, geometry, hyper, optimizers, sinkhorn

FAST = Request(rules=Rules(sample_seconds=0, min_rounds=2, max_rounds=2), quick=True)
REFUSED = Outcome({}, {}, {OURS: "off by 3"})


def row(outcome=REFUSED, **changed):
    return Row("matmul", "64x64x64", "float32", "avx2", 1, outcome=outcome, **changed)


def timed(**seconds):
    return Outcome({name: (value, value) for name, value in seconds.items()}, {}, {})


@pytest.fixture
def one_processor(monkeypatch):
    monkeypatch.setattr("odyssey.threads.affinity", lambda: 1)


@pytest.mark.parametrize(
    "part", [foundation._scaling, geometry._two_threads, hyper._two_threads, sinkhorn._two_threads]
)
def test_one_processor_is_the_reason_that_nothing_is_shared(part, one_processor):
    assert {line.note for line in part(FAST).lines} == {"this machine has one processor"}


def test_a_refused_product_is_a_line_with_the_reason():
    assert [line.note for line in foundation._against_peers(row())] == ["odyssey was refused: off by 3"]
    assert foundation._part_of_peak(row(), 0.9).note == "odyssey was refused: off by 3"
    assert foundation._unmeasured(row(Outcome({}, {}, {}))).note == "nobody to race against"


def test_on_zen_5_numpys_default_has_a_goal_of_its_own(monkeypatch):
    monkeypatch.setattr(foundation, "processor_family", lambda: foundation.ZEN5)
    lines = list(foundation._against_peers(row(timed(odyssey=1.0, numpy=2.0))))
    assert [(line.goal, line.verdict) for line in lines] == [(1.0, "met"), (1.8, "met")]


def test_operations_that_are_missing_or_wrong_are_named(monkeypatch):
    rows = {"add": row(Outcome({}, {}, {}), missing=suites.NOT_BUILT), "exp": row(REFUSED)}
    monkeypatch.setattr(foundation, "_race", lambda case, *rest: [rows[case.op]] if case.op in rows else [])
    notes = {line.what: line.note for line in foundation._elementwise(FAST).lines}
    assert suites.NOT_BUILT in notes["operations missing"]
    assert "wrong results" in notes["operations refused"]


def test_what_is_slower_than_a_peer_is_counted_out():
    rows = [row(timed(odyssey=1.0, numpy=3.0)), row(timed(odyssey=2.0, numpy=1.0))]
    rows[1] = suites.replace(rows[1], op="exp")
    mean, slowest = foundation._summary("4096", rows)
    assert mean.value.median == pytest.approx(1.5**0.5)
    assert "slower: exp 0.50" in slowest.note


def test_products_that_are_not_built_or_wrong_are_lines_too(monkeypatch):
    monkeypatch.setattr(foundation, "race", lambda *args, **kwargs: REFUSED)
    assert {line.note for line in foundation._skinny(FAST).lines} == {"off by 3"}
    assert "off by 3" in foundation._scaling(FAST).lines[0].note
    assert foundation._small_call(FAST).lines[0].note == "off by 3"
    assert foundation._startup(FAST).lines[0].note == "off by 3"
    monkeypatch.setattr(foundation, "is_available", lambda case: False)
    assert {line.note for line in foundation._skinny(FAST).lines} == {suites.NOT_BUILT}


def test_lenet_needs_torch_a_second_processor_and_right_results(monkeypatch, one_processor):
    monkeypatch.setattr(foundation, "absent", lambda name: "torch is not installed")
    assert {line.note for line in foundation._lenet5(FAST).lines} == {"torch is not installed"}
    monkeypatch.setattr(foundation, "absent", lambda name: None)

    class Workload:
        def __init__(self, task, batch):
            self.check = None

        def contenders(self, count):
            return []

    monkeypatch.setattr(foundation.lenet5, "Workload", Workload)
    monkeypatch.setattr(foundation, "race", lambda *args: Outcome({OURS: (1.0,)}, {}, {"torch": "off by 4"}))
    notes = [line.note for line in foundation._lenet5(FAST).lines]
    assert set(notes) == {"torch was refused: off by 4", "this machine has one processor"}


def test_the_wheel_is_weighed_where_there_is_one(monkeypatch, tmp_path):
    wheel = tmp_path / "odyssey-1.whl"
    wheel.write_bytes(bytes(4_000_000))
    request = Request(rules=FAST.rules, quick=True, wheel=wheel)
    monkeypatch.setattr(foundation, "stripped_size", lambda path: (2_000_000, True))
    line = foundation._wheel(request)
    assert (line.verdict, line.value.median) == ("met", 2.0)
    assert "4.00 MB as built" in line.note
    monkeypatch.setattr(foundation, "stripped_size", lambda path: (4_000_000, False))
    assert foundation._wheel(request).note == "odyssey-1.whl"

    def fail(path):
        raise FileNotFoundError("expected the command strip")

    monkeypatch.setattr(foundation, "stripped_size", fail)
    assert foundation._wheel(request).verdict == "not measured"
    monkeypatch.setattr(foundation, "find_wheel", lambda: None)
    assert "no wheel given" in foundation._wheel(FAST).note


def test_peers_that_are_installed_are_raced_and_wrong_ones_named(monkeypatch):
    fake = types.SimpleNamespace(
        cdist=lambda x, y, metric: np.zeros(len(x)), sinkhorn=lambda a, b, cost, reg, **options: cost
    )
    for name in ("simsimd", "ot"):
        monkeypatch.setitem(sys.modules, name, fake)
    monkeypatch.setattr(geometry, "find_spec", lambda name: fake)
    monkeypatch.setattr(sinkhorn, "find_spec", lambda name: fake)
    x = np.ones((3, 4), np.float32)
    line = geometry._against_simsimd(FAST, "euclidean_distance", "euclidean", lambda: None, x, x[0])
    assert line.unit == "x simsimd"
    assert line.value is not None
    assert {one.verdict for one in sinkhorn._plans(FAST).lines} == {"no goal"}
    line = hyper._one(FAST, "what", lambda: None, None, 1.0)
    assert line.verdict == "not available"
    assert hyper._one(FAST, "what", lambda: None, lambda: None, None).verdict == "no goal"
    assert sinkhorn._one(FAST, "what", lambda: None, "numpy", None, 1.0).verdict == "not available"


@pytest.mark.parametrize("missing", [geometry, sinkhorn])
def test_peers_that_are_not_installed_are_named(monkeypatch, missing):
    monkeypatch.setattr(missing, "find_spec", lambda name: None)
    x = np.ones((3, 4), np.float32)
    lines = (
        [geometry._against_simsimd(FAST, "euclidean_distance", "euclidean", lambda: None, x, x[0])]
        if missing is geometry
        else missing._plans(FAST).lines
    )
    assert all("not installed" in line.note for line in lines)


def test_without_torch_an_optimizer_races_nobody(monkeypatch):
    monkeypatch.setattr(optimizers, "absent", lambda name: "torch is not installed")
    assert optimizers._torch("AdamW", [np.ones(3, np.float32)], {}) is None


# ---- curves of what a way across costs ---------------------------------------------------------------------------


class Timed:
    """A contender by a clock of its own."""

    def __init__(self, name, seconds, wrong=None):
        self.name, self._seconds, self._wrong = name, seconds, wrong

    def result(self):
        if self._wrong:
            raise ValueError(self._wrong)

    def sample(self, calls):
        return self._seconds * calls


def points(*shares, wrong=None):
    for i, share in enumerate(shares):
        yield crossing.Point(f"size {i}", Timed("across", 1e-3 * (1 + share), wrong), Timed("bare", 1e-3))


def test_a_curve_judges_each_size_and_says_from_where_the_goal_is_met():
    told = []
    request = Request(rules=FAST.rules, progress=told.append)
    lines = crossing.curve(request, "calls", 0.05, points(0.5, 0.04, 0.2, 0.01, 0.03))
    assert [line.verdict for line in lines] == ["short", "met", "short", "met", "met", "no goal"]
    assert lines[0].value.median == pytest.approx(50)
    assert lines[-1].note == "5 % or less: from size 3 on"
    assert told[0] == "calls, size 0"
    assert "1.5 ms" in lines[0].note
    assert "500 µs on top" in lines[0].note


def test_below_the_size_that_a_goal_is_for_there_is_none():
    lines = crossing.curve(FAST, "calls", 0.05, points(0.5, 0.2, 0.01), from_size="size 1")
    assert [line.verdict for line in lines] == ["no goal", "short", "met", "no goal"]
    lines = crossing.curve(FAST, "calls", 0.05, points(0.5))
    assert lines[-1].note == "5 % or less: at no size measured"


def test_a_refused_contender_has_a_line():
    lines = crossing.curve(FAST, "calls", 0.05, points(0.1, wrong="no such library"))
    assert "across: ValueError: no such library" in lines[0].note
    assert crossing._time(3e-9) == "3 ns"
    assert crossing._time(2.5) == "2.5 s"
    assert isinstance(lines[-1].value, Spread | None)
