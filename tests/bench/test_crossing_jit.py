"""The table of compiled loops from its first line to its last."""

import types

import numpy as np
import pytest

from odyssey.bench.race import Rules
from odyssey.bench.tables import Request, crossing_jit

FAST = Request(rules=Rules(sample_seconds=0, min_rounds=2, max_rounds=2), quick=True)


@pytest.mark.xdist_group("jit")
def test_every_line_has_a_figure_or_says_why_it_has_none(tmp_path, monkeypatch):
    monkeypatch.setenv("ODYSSEY_CACHE_DIR", str(tmp_path))
    lines = [line for section in crossing_jit.sections(FAST) for line in section.lines]
    assert len(lines) > 20
    assert all(line.value is not None or line.note for line in lines), lines


def test_without_a_compiler_it_says_so(monkeypatch):
    monkeypatch.setattr(crossing_jit, "missing", lambda: "no compiler")
    (section,) = crossing_jit.sections(FAST)
    assert section.lines[0].note == "no compiler"


@pytest.mark.xdist_group("jit")
def test_numba_is_raced_where_it_is_installed(tmp_path, monkeypatch):
    monkeypatch.setenv("ODYSSEY_CACHE_DIR", str(tmp_path))
    few = list(crossing_jit.LOOPS)[:2]
    monkeypatch.setattr(crossing_jit, "LOOPS", few)
    monkeypatch.setattr(crossing_jit, "absent", lambda name: None)
    # Our own compiler takes its place.
    monkeypatch.setattr(crossing_jit, "import_module", lambda name: types.SimpleNamespace(njit=crossing_jit.jit))
    lines = list(crossing_jit._against_numba(FAST))
    assert len(lines) == 2 * len(few) + 2
    assert [line.verdict for line in lines[:-2]] == ["no goal"] * 4
    assert {line.verdict for line in lines[-2:]} <= {"met", "short"}


def test_the_loops_that_are_raced_are_right():
    a = np.arange(9.0).reshape(3, 3)
    assert crossing_jit.total(a[0]) == 3
    out = np.zeros((3, 3))
    crossing_jit.stencil(a, out)
    assert out[1, 1] == 4
    product = np.zeros((3, 3))
    crossing_jit.product(a, a, product)
    np.testing.assert_array_equal(product, a @ a)
