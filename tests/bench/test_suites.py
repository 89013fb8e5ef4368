"""Races of operations: who is refused, who is named as absent, what a row says."""

import json
from functools import partial

import numpy as np
import pytest

from odyssey.bench import openblas, peers, suites
from odyssey.bench.openblas import ChildMatmul
from odyssey.bench.race import Outcome, Rules
from odyssey.bench.suites import LIMIT, OURS, Entry, Plan, Row, race_case, sizes_of
from odyssey.bench.work import Work
from odyssey.testing.call import call
from odyssey.testing.case import Case
from odyssey.testing.cases import CASES
from odyssey.testing.cases.products import mkn
from odyssey.testing.tolerance import Exact

BRIEF = Rules(sample_seconds=0, min_rounds=1, max_rounds=1)


def add_case(**changes):
    row = {
        "op": "add",
        "inputs": lambda draw, n: call(draw(n), draw(n)),
        "tolerance": Exact(),
        "why": "test",
        "grad": "none",
        "sizes": (),
        "bench": (16, 4096),
        "peers": {"numpy": lambda given: partial(np.add, *given.args)},
    }
    return Case(**row | changes)


def test_an_operation_is_raced_against_its_peers_and_its_limit():
    (row,) = race_case(add_case(), 4096, Plan(against=("numpy",), rules=BRIEF))
    assert set(row.outcome.samples) == {OURS, "numpy", LIMIT}
    assert row.outcome.refused == {}
    assert row.limit.startswith("add")
    assert row.best_peer == "numpy"
    assert row.size == "4096"
    json.dumps(row.as_dict())


def test_only_the_peers_that_were_asked_for_race():
    (row,) = race_case(add_case(), 16, Plan(against=(), rules=BRIEF))
    assert set(row.outcome.samples) == {OURS}
    assert row.best_peer is None
    assert row.speedup(row.best_peer) is None
    assert row.part_of_limit() is None


def test_every_setting_is_a_row():
    plan = Plan(against=(), isas=("scalar",), threads=(1, 2), rules=BRIEF)
    assert [(row.isa, row.threads) for row in race_case(add_case(), 16, plan)] == [("scalar", 1), ("scalar", 2)]


def test_a_peer_that_computes_something_else_is_refused():
    case = add_case(peers={"numpy": lambda given: partial(np.subtract, *given.args)})
    (row,) = race_case(case, 16, Plan(against=("numpy",), rules=BRIEF))
    assert "off by" in row.outcome.refused["numpy"]
    assert set(row.outcome.samples) == {OURS}


def test_a_peer_whose_rounding_differs_is_not_refused():
    def rounded(given):
        return lambda: (given.args[0] + given.args[1]) * np.float32(1 + 1e-6)

    (row,) = race_case(add_case(peers={"numpy": rounded}), 16, Plan(against=("numpy",), rules=BRIEF))
    assert row.outcome.refused == {}


def test_we_are_held_to_the_tolerance_and_not_timed_outside_it(monkeypatch):
    import odyssey

    monkeypatch.setattr(odyssey, "add", lambda a, b, out: np.multiply(a + b, np.float32(1 + 1e-6), out=out))
    (row,) = race_case(add_case(), 16, Plan(against=("numpy",), rules=BRIEF))
    assert "ulp" in row.outcome.refused[OURS]
    assert row.seconds() is None
    assert row.outcome.samples == {}


def test_an_operation_that_is_not_built_is_named():
    case = add_case(op="softmax_of_tomorrow")
    (row,) = race_case(case, 16, Plan(rules=BRIEF))
    assert row.missing == "not available in this build"
    assert row.seconds() is None


def test_nan_and_infinity_are_equal_to_themselves():
    values = np.float32([1, np.nan, np.inf, -np.inf])
    assert suites._difference(values, values) is None
    assert suites._difference(values, np.float32([1, np.nan, np.inf, np.inf])) is not None
    assert suites._difference(values, np.float32([1, 2, np.inf, -np.inf])) is not None
    assert "shape" in suites._difference(values, values[:2])


def test_operations_that_write_their_arguments_have_their_own():
    entry = Entry(CASES["sgd_step"], 4096, "float32")
    (peer,) = entry.peers(["numpy"])
    ours = entry.ours("scalar", 1)
    assert entry.check(OURS, ours.result()) is None
    assert entry.check("numpy", peer.result()) is None
    assert not np.shares_memory(ours._args[0], peer._args[0])


def test_sizes_beyond_the_plan_are_left_out():
    assert sizes_of(add_case(), Plan()) == [16, 4096]
    assert sizes_of(add_case(), Plan(largest=1024)) == [16]


def test_ratios_of_a_row_read_from_our_side():
    outcome = Outcome({OURS: (1.0, 1.0), "numpy": (2.0, 2.0), "torch": (3.0, 3.0), LIMIT: (0.5, 0.5)}, {}, {})
    row = Row("add", "16", "float32", "scalar", 1, Work(0, 128, 64), outcome, "add")
    assert row.speedup("numpy").median == 2.0
    assert row.part_of_limit().median == 0.5
    assert row.best_peer == "numpy"
    assert not row.disturbed


# ---- peers -----------------------------------------------------------------------------------------------------------


def test_an_absent_peer_is_named_with_how_to_get_it(monkeypatch):
    monkeypatch.setattr(peers, "find_spec", lambda name: None)
    assert peers.absent("torch") == "torch is not installed; pip install torch==2.13.0"
    assert "onnxruntime" in peers.absent("onnxruntime")
    peers.load(["torch", "onnxruntime", "scipy"])  # loads nothing


def test_an_unknown_peer_is_an_error():
    with pytest.raises(ValueError, match="expected peers out of numpy"):
        peers.absent("nunpy")


def test_everyone_gets_the_same_threads_and_then_its_own_back():
    from threadpoolctl import threadpool_info

    from odyssey import threads

    before = threads.count()
    with peers.equal_threads(1):
        assert threads.count() == 1
        assert {pool["num_threads"] for pool in threadpool_info()} == {1}
    assert threads.count() == before


@pytest.mark.skipif(openblas.unavailable() is not None, reason=str(openblas.unavailable()))
def test_openblas_told_its_processor_takes_its_turns_in_a_child():
    entry = Entry(CASES["matmul"], mkn(17, 16, 33), "float32")
    with ChildMatmul(*entry.call.args) as child:
        assert entry.check(child.name, child.result()) is None
        assert child.sample(3) > 0
        process = child._child
    assert process.returncode == 0


def test_openblas_is_named_as_absent_without_avx512(monkeypatch):
    monkeypatch.setattr("odyssey.isa.available", lambda: ["avx2", "scalar"])
    assert openblas.unavailable() == "this processor has no AVX-512"
