"""Whom a row races computes what the row says: every peer that is installed, at the smallest size."""

import numpy as np
import pytest

from odyssey.bench.suites import Entry
from odyssey.testing import peers
from odyssey.testing.cases import CASES

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # inputs may lie outside a function's domain

RACED = [(op, peer) for op, case in CASES.items() if case.bench for peer in case.peers]
SMALL = 1 << 20  # elements


def smallest(case):
    def elements(size):
        given = case.bench_call(size)
        return sum(one.size for one in (*given.args, *given.kwargs.values()) if isinstance(one, np.ndarray))

    counted = [(elements(size), i) for i, size in enumerate(case.bench[:2])]
    count, i = min(counted)
    return case.bench[i] if count <= SMALL else None


@pytest.mark.parametrize(("op", "peer"), RACED)
def test_a_peer_computes_what_the_row_says(op, peer):
    case = CASES[op]
    size = smallest(case)
    if size is None:
        pytest.skip("its smallest size takes long")
    if case.peers[peer](case.bench_call(size)) is None:
        pytest.skip(f"{peer} is not installed, or cannot do it")
    entry = Entry(case, size, "float32")
    contenders = [one for one in entry.peers([peer]) if one.name == peer]
    assert contenders
    with np.errstate(all="ignore"):
        for one in contenders:
            assert entry.check(one.name, one.result()) is None


def test_a_peer_that_is_not_installed_makes_no_call(monkeypatch):
    monkeypatch.setattr(peers, "_module", lambda name: None)
    for op, peer in RACED:
        if peer in ("torch", "onnxruntime", "scipy"):
            case = CASES[op]
            assert case.peers[peer](case.bench_call(case.bench[0])) is None, op
            break


def test_a_module_that_is_not_there_is_none():
    assert peers._module("no_such_library") is None
