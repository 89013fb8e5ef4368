"""The table of the tape: what is raced computes on both sides, and a peer that is absent is told of."""

from types import SimpleNamespace

import odyssey as od
from odyssey.bench.race import Rules
from odyssey.bench.tables import Request, tape

BRIEF = Request(rules=Rules(sample_seconds=0, min_rounds=3, max_rounds=3))


class Theirs(od.Tensor):
    """Enough of a torch tensor."""

    def requires_grad_(self):
        self.requires_grad = True
        return self


def test_every_line_is_measured_where_the_peer_is(monkeypatch):
    functional = od.nn.functional
    torch = SimpleNamespace(from_numpy=Theirs, nn=od.nn, exp=functional.exp, matmul=functional.matmul)
    monkeypatch.setattr(tape, "absent", lambda name: None)
    monkeypatch.setattr(tape, "import_module", lambda name: torch)
    lines = [line for section in tape.sections(BRIEF) for line in section.lines]
    assert len(lines) == 11
    assert all(line.value is not None and line.at_most and line.goal == 0.5 for line in lines)
    assert all("torch" in line.note for line in lines)


def test_an_absent_peer_is_told_of(monkeypatch):
    monkeypatch.setattr(tape, "absent", lambda name: "torch is not installed")
    lines = [line for section in tape.sections(BRIEF) for line in section.lines]
    assert {line.verdict for line in lines} == {"not available"}
    assert {line.note for line in lines} == {"torch is not installed"}
