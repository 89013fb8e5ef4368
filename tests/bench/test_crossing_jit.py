"""The table of compiled loops from its first line to its last."""

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
