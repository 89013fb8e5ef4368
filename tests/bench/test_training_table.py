"""The table of training: ResNet-18 where torch is absent, and where somebody computes something else."""

from itertools import count

import numpy as np
import pytest

from odyssey.bench import resnet18
from odyssey.bench.race import PythonCall, Rules
from odyssey.bench.suites import OURS
from odyssey.bench.tables import TABLES, Request, resnet, training

FAST = Request(rules=Rules(sample_seconds=0, min_rounds=2, max_rounds=2))


@pytest.fixture
def small(monkeypatch):
    """Images of 8x8 and few channels: what is raced is not the point here."""
    monkeypatch.setattr(resnet18, "SIZE", 8)
    monkeypatch.setattr("odyssey.models.resnet18.STAGES", (8, 16, 16, 16))


@pytest.mark.parametrize("task", ["training", "inference"])
def test_odyssey_computes_what_the_model_gives_in_double(small, task):
    workload = resnet18.Workload(task, 3)
    ours = workload.contenders(1)[0]
    result = ours.result()
    assert ours.name == OURS
    assert workload.check(OURS, result) is None
    assert "off by" in workload.check(OURS, np.asarray(result) * 1.01)


def test_without_torch_the_lines_say_so(monkeypatch):
    monkeypatch.setattr(resnet, "absent", lambda name: f"{name} is not installed")
    lines = [line for section in resnet.sections(FAST) for line in section.lines]
    assert len(lines) == 5
    assert {line.verdict for line in lines} == {"not available"}
    assert {line.note for line in lines} == {"torch is not installed"}


def test_the_table_is_put_together_from_its_parts(monkeypatch):
    monkeypatch.setattr(training, "PARTS", (lambda request: iter(["one"]), lambda request: iter(["two", "three"])))
    assert list(TABLES["training"](FAST)) == ["one", "two", "three"]


def test_the_best_form_of_torch_is_what_counts(small, monkeypatch):
    class Raced(resnet18.Workload):
        def contenders(self, threads, isa=None):
            ours = super().contenders(threads)[0].function
            speeds = {OURS: 1, "torch, slow": 9, "torch, quick": 3}  # by clocks that count
            return [PythonCall(name, ours, clock=count(0, step).__next__) for name, step in speeds.items()]

    monkeypatch.setattr(resnet, "absent", lambda name: None)
    monkeypatch.setattr(resnet, "Workload", Raced)
    monkeypatch.setattr(resnet, "GOALS", (("inference", 2, 2.5),))
    monkeypatch.setattr(resnet, "peak_bytes", lambda who, batch, threads: (2 if who == OURS else 4) << 20)
    speed, memory = resnet.sections(FAST)
    assert speed.lines[0].verdict == "met"
    assert (speed.lines[0].unit, speed.lines[0].value.median) == ("x torch, quick", 3.0)
    assert [line.value.median for line in memory.lines] == [0.5, 0.5]
    assert memory.lines[0].note == "odyssey 2 MiB, torch 4 MiB"


def test_whoever_computes_something_else_is_refused(small, monkeypatch):
    class Wrong(resnet18.Workload):
        def contenders(self, threads, isa=None):
            return [super().contenders(threads)[0], PythonCall("torch", lambda: np.zeros((2, 10)))]

    monkeypatch.setattr(resnet, "absent", lambda name: None)
    monkeypatch.setattr(resnet, "Workload", Wrong)
    monkeypatch.setattr(resnet, "GOALS", (("inference", 2, 1.0),))
    line = next(iter(resnet.sections(FAST))).lines[0]
    assert line.verdict == "not available"
    assert "torch was refused: off by" in line.note


def test_a_process_of_its_own_tells_the_peak():
    assert resnet18.peak_bytes(OURS, 1, 1) > 100 << 20  # weights, gradients and momentum alone take 128 MiB
