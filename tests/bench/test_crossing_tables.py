"""The tables of Stream and shared memory, measured as briefly as can be: every line has a figure or says why not."""

import pytest

from odyssey.bench.race import Rules
from odyssey.bench.tables import Request, crossing_shared, crossing_stream

BRIEF = Request(rules=Rules(sample_seconds=0, min_rounds=2, max_rounds=2), quick=True)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(crossing_stream, "RUN", 0.001)
    monkeypatch.setattr(crossing_shared, "TOUCHED", 1 << 20)


def lines(part):
    return [line for section in part.sections(BRIEF) for line in section.lines]


def test_every_goal_of_the_stream_has_a_line():
    found = lines(crossing_stream)
    assert all(line.value is not None or line.note for line in found)
    goals = {(line.what.partition(",")[0], line.goal) for line in found if line.goal is not None}
    assert goals >= {("Stream", 5.0), ("overlap", 0.95), ("worst gap", 10.0)}
    assert next(line.setting for line in found if line.goal == 5.0) == "1 ms"


def test_on_one_processor_the_stream_says_what_cannot_be_measured(monkeypatch):
    monkeypatch.setattr(crossing_stream.threads, "affinity", lambda: 1)
    found = crossing_stream._overlap(BRIEF)
    assert (found[-1].verdict, found[-1].value) == ("not available", None)


def test_every_goal_of_shared_memory_has_a_line(monkeypatch):
    found = lines(crossing_shared)
    assert all(line.value is not None or line.note for line in found)
    handed = [line for line in found if line.what.startswith("pickled")]
    assert [line.setting for line in handed] == ["1 MiB", "100 MiB", "1 GiB", "10 GB"]
    assert all("the same inode there; 0 bytes of it came to be" in line.note for line in handed if line.value)
    assert {line.goal for line in handed if line.value} == {1.0}
    assert any(line.goal == 2.0 for line in found)


def test_memory_that_cannot_be_had_is_a_line_without_a_figure(monkeypatch):
    monkeypatch.setitem(crossing_shared.HANDED_OVER, "1 MiB", 1 << 63)
    (line,) = [crossing_shared._handed_over(BRIEF, None, "1 MiB")]
    assert line.verdict == "not available"


def test_a_system_without_huge_pages_is_named(monkeypatch):
    def absent(*_):
        raise OSError

    monkeypatch.setattr("builtins.open", absent)
    assert crossing_shared._shmem_huge_pages() == "none here"
