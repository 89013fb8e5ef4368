"""The lines of typed tensors and fixed filters: each is measured, and each has what it was asked to reach."""

import pytest

from odyssey.bench.race import Rules
from odyssey.bench.tables import Request, fixed

BRIEF = Rules(sample_seconds=0, min_rounds=1, max_rounds=1)


@pytest.fixture(autouse=True)
def unsettled(monkeypatch):
    """Nothing is timed in earnest: nothing waits for other threads to come to rest, and one size stands for all."""
    monkeypatch.setattr("odyssey.bench.race.settle", lambda: None)
    monkeypatch.setattr(fixed, "KERNELS", (3,))


def test_every_line_is_measured():
    told = []
    sections = list(fixed.sections(Request(rules=BRIEF, progress=told.append)))
    lines = [line for section in sections for line in section.lines]
    assert len({section.title for section in sections}) == len(sections) == 5
    assert {"add on 16 floats", "filter2d 3x3, 64x64", "conv2d 3x3, 128x128"} <= {line.what for line in lines}
    for line in lines:
        assert line.verdict in ("met", "short", "no goal") or "SciPy" in line.what
        assert line.verdict == "not available" or line.value.median > 0
    assert len(told) >= len(lines) - sum(line.verdict == "not available" for line in lines)


def test_without_scipy_its_lines_say_so(monkeypatch):
    monkeypatch.setattr(fixed, "scipy_correlate", lambda given: None)
    section = fixed._large(Request(rules=BRIEF))
    assert [line.verdict for line in section.lines] == ["no goal", "not available"]
