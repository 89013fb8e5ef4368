"""The lines of messages and formats: each is measured, or says why not."""

import sys

import pytest

from odyssey.bench.race import Rules
from odyssey.bench.tables import Request, crossing_proto

BRIEF = Rules(sample_seconds=0, min_rounds=2, max_rounds=2)

pytest.importorskip("google.protobuf")
pytest.importorskip("pyarrow")


@pytest.fixture(autouse=True)
def unsettled(monkeypatch):
    monkeypatch.setattr("odyssey.bench.race.settle", lambda: None)
    monkeypatch.setattr(crossing_proto, "SIZES", {"1 KiB": 1 << 10, "1 MiB": 1 << 20, "2 MiB": 1 << 21})


def test_every_line_is_measured():
    told = []
    sections = list(crossing_proto.sections(Request(rules=BRIEF, progress=told.append)))
    assert len({section.title for section in sections}) == len(sections) == 5
    for section in sections:
        for line in section.lines:
            assert line.value is not None or line.setting == "the curve", (section.title, line)
    judged = [line for section in sections[:2] for line in section.lines if line.goal is not None]
    assert [line.setting for line in judged] == ["1 MiB", "2 MiB"] * 4
    assert all(line.goal == 8 for line in judged)
    assert [line.what for line in sections[-1].lines[1::2]] == [
        "json",
        "npy",
        "npz",
        "arrow",
        "messagepack",
        "protobuf",
        "safetensors",
    ]
    assert told


def test_quick_leaves_out_the_large_sizes():
    lines = crossing_proto._tensor(Request(rules=BRIEF, quick=True))
    assert {line.setting for line in lines} == {"1 KiB", "1 MiB", "the curve"}


def test_without_a_package_the_lines_say_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "msgspec", None)
    lines = crossing_proto._formats(Request(rules=BRIEF))
    assert [line.what for line in lines if line.verdict == "not available"] == ["json", "messagepack"]
    from odyssey.bridge.proto import schema

    schema.messages.cache_clear()
    monkeypatch.setitem(sys.modules, "google.protobuf", None)
    (section,) = crossing_proto.sections(Request(rules=BRIEF))
    assert "pip install" in section.lines[0].note
