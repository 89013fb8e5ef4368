"""The table of the kernel library, on a few of its operations: whatever is missing or refused becomes a line that says so."""

from dataclasses import replace

import numpy as np
import pytest

from odyssey.bench import suites
from odyssey.bench.race import Outcome, Rules
from odyssey.bench.tables import TABLES, Request, kernels
from odyssey.testing.cases import CASES

FAST = Request(rules=Rules(sample_seconds=0, min_rounds=2, max_rounds=2), quick=True)
FEW = ("add", "exp", "tanh", "gelu", "silu", "sigmoid", "rms_norm", "softmax", "cross_entropy", "conv2d")


def small(case):
    """A row with its first size, and those the table asks for by name."""
    if case.op in kernels.ROWS_OF:
        return replace(case, bench=case.bench[:1] + tuple(s for s in case.bench if s == kernels.TABLE))
    return replace(case, bench=(kernels.CACHED,) if case.op in kernels.IN_CACHE else case.bench[:1])


@pytest.fixture
def few(monkeypatch, brisk):
    """Ten operations at their smallest sizes, one thread, and small weights."""
    monkeypatch.setattr(kernels, "CASES", {op: small(CASES[op]) for op in FEW})
    for name, value in {
        "COUNTS": (1,), "STREAMING": ("add", "not built"), "ROWS_OF": ("softmax", "add", "not built"),
        "CAUSAL": {(1, 2, 64, 16): 2.5}, "KEYS": 64, "WEIGHT": 256, "SQUARE": 128,
    }.items():  # fmt: skip
        monkeypatch.setattr(kernels, name, value)


def lines_of(table):
    return [(section.title, line) for section in table for line in section.lines]


def test_every_line_has_a_figure_or_says_why_it_has_none(few):
    lines = lines_of(TABLES["kernels"](FAST))
    assert len({title for title, _ in lines}) >= 12
    for title, line in lines:
        assert line.value is not None or line.note, (title, line)
        if line.verdict in ("met", "short"):
            assert (line.value.median >= line.goal) == (line.verdict == "met"), (title, line)
    notes = {line.what: line.note for _, line in lines if line.verdict == "not available"}
    assert notes["not built"] == notes["not built 512x1024"] == suites.NOT_BUILT
    assert notes["add 512x1024"] == "its row has no such size"


def test_without_peers_and_with_one_processor_the_lines_say_so(few, monkeypatch):
    monkeypatch.setattr(kernels, "absent", lambda name: f"{name} is not installed")
    monkeypatch.setattr(suites, "absent", lambda name: f"{name} is not installed", raising=False)
    monkeypatch.setattr(kernels.threads, "affinity", lambda: 1)
    for part in (kernels._attention, kernels._sampling, kernels._two_threads, kernels._python_threads):
        section = part(FAST)
        assert section.lines
        for line in section.lines:
            assert line.value is not None or "not installed" in line.note or "one processor" in line.note


def test_without_an_operation_its_lines_say_so(monkeypatch):
    monkeypatch.setattr(kernels, "_lacks", lambda op: suites.NOT_BUILT)
    monkeypatch.setattr(kernels, "COUNTS", (1,))
    for part in (kernels._attention, kernels._packed):
        assert [line.note for line in part(FAST).lines] == [suites.NOT_BUILT]
    notes = [line.note for line in kernels._sampling(FAST).lines]
    assert notes[:2] == [suites.NOT_BUILT] * 2


def test_a_refused_contender_is_named():
    outcome = Outcome({}, {}, {"torch": "wrong sum"})
    line = kernels._outcome_line("sum", "one thread", outcome, ("torch", "odyssey"), 1.0, "x torch")
    assert (line.verdict, line.note) == ("not available", "torch was refused: wrong sum")


def test_bytes_of_a_call_are_those_of_its_arrays():
    case = CASES["add"]
    assert kernels._nbytes(case, case.bench[0]) == sum(a.nbytes for a in kernels._arrays(case, case.bench[0]))
    assert kernels._geometric_mean([2.0, 8.0]) == pytest.approx(4.0)
    assert isinstance(kernels._normal(0, (3,)), np.ndarray)
