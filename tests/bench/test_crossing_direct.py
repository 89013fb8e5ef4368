"""The bench part of bridge.direct, with two rounds of a call each: every line has a figure or says why it has none."""

import shutil

from odyssey.bench.race import Rules
from odyssey.bench.tables import Request
from odyssey.bench.tables.crossing_direct import sections

FAST = Request(rules=Rules(sample_seconds=0, min_rounds=2, max_rounds=2), quick=True)


def test_every_line_has_a_figure_or_says_why_it_has_none():
    found = list(sections(FAST))
    assert len({section.title for section in found}) == len(found)
    lines = [line for section in found for line in section.lines]
    assert lines
    assert all(line.value is not None or line.note for line in lines)
    if shutil.which("cc"):
        assert sum(line.goal == 100.0 for line in lines) == 6
        assert sum(line.setting == "64 KiB" and line.goal == 1.0 for line in lines) == 5


def test_without_a_compiler_the_part_says_so(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    (section,) = sections(FAST)
    assert section.lines[0].verdict == "not available"
    assert "C compiler" in section.lines[0].note


def test_without_cffi_the_part_says_so(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "cffi", None)
    (section,) = sections(FAST)
    assert "cffi" in section.lines[0].note
