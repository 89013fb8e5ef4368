"""The table of optimizer steps: what it steps over, that wrong results are not timed, and that a missing peer is named."""

import numpy as np
import pytest

from odyssey.bench.race import Rules
from odyssey.bench.tables import Request, optimizers

BRIEF = Request(rules=Rules(sample_seconds=0, min_rounds=1, max_rounds=1))


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(optimizers, "shapes", lambda: [(3, 4), (5,)])
    monkeypatch.setattr(optimizers.threads, "affinity", lambda: 2)


def lines():
    return [line for section in optimizers.sections(BRIEF) for line in section.lines]


def test_the_parameters_are_a_resnet18s(monkeypatch):
    monkeypatch.undo()
    shapes = optimizers.shapes()
    assert (len(shapes), sum(int(np.prod(shape)) for shape in shapes)) == (62, 11_173_962)


def test_ours_against_a_peer_that_agrees_is_timed(monkeypatch):
    monkeypatch.setattr(optimizers, "_torch", optimizers._ours)
    found = lines()
    assert [line.what.partition(",")[0] for line in found] == ["AdamW", "Adam", "SGD"] * 2
    assert {line.verdict for line in found} <= {"met", "short", "no goal"}
    assert [line.goal for line in found] == [1.0, None, None] * 2


def test_a_peer_that_disagrees_is_not_timed(monkeypatch):
    def wrong(name, arrays, settings):
        params, steps = optimizers._ours(name, arrays, {**settings, "lr": 2 * settings["lr"]})
        return params, steps

    monkeypatch.setattr(optimizers, "_torch", wrong)
    assert {line.verdict for line in lines()} == {"not measured"}


def test_without_torch_or_a_second_processor_the_lines_say_so(monkeypatch):
    monkeypatch.setattr("odyssey.bench.peers.find_spec", lambda name: None)
    monkeypatch.setattr(optimizers.threads, "affinity", lambda: 1)
    found = lines()
    assert [line.verdict for line in found] == ["not available"] * 4
    assert "torch is not installed" in found[0].note
    assert "one processor" in found[-1].note
