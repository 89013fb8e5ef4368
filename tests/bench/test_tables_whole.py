"""Every table of goals from its first line to its last: two rounds of a call each, which measure nothing and try all of it."""

import pytest

from odyssey.bench import minilm, mixtral
from odyssey.bench.race import Rules
from odyssey.bench.tables import TABLES, Request, bridge, crossing_costs, crossing_hybrid, sentences

FAST = Request(rules=Rules(sample_seconds=0, min_rounds=2, max_rounds=2), quick=True)
MIXTRAL = {"vocab_size": 128, "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1}
MINILM = {"vocab_size": 1100, "hidden_size": 24, "num_hidden_layers": 1, "intermediate_size": 24}


@pytest.fixture
def small(monkeypatch, brisk):
    """A ResNet-18 of few channels on images of 8x8, an epoch of ten batches; of the bridge what no other test measures."""
    monkeypatch.setattr("odyssey.bench.resnet18.SIZE", 8)
    monkeypatch.setattr("odyssey.models.resnet18.STAGES", (8, 16, 16, 16))
    monkeypatch.setattr("odyssey.bench.tables.loading.QUICK_IMAGES", 640)
    monkeypatch.setattr("odyssey.bench.tables.resnet.peak_bytes", lambda who, batch, threads: 1 << 20)
    monkeypatch.setattr("odyssey.bench.tables.crossing_hybrid.QUICK_EPOCHS", 2)
    monkeypatch.setattr(bridge, "PARTS", (crossing_hybrid.sections, crossing_costs.sections))
    for settings, fewer in ((mixtral.SETTINGS, MIXTRAL), (minilm.SETTINGS, MINILM)):
        for name, value in fewer.items():
            monkeypatch.setitem(settings, name, value)
    monkeypatch.setattr(mixtral, "PROMPT", 8)
    monkeypatch.setattr(mixtral, "LENGTH", 8)
    monkeypatch.setattr(sentences, "ROUNDS", 2)
    monkeypatch.setattr(sentences, "STARTS", 1)
    monkeypatch.setattr("odyssey.bench.minilm.model_folder", lambda: None)


@pytest.mark.parametrize("table", ["bridge", "foundation", "transport", "training", "transformers"])
def test_every_line_has_a_figure_or_says_why_it_has_none(table, small):
    sections = list(TABLES[table](FAST))
    lines = [(section.title, line) for section in sections for line in section.lines]
    assert len(sections) == len({section.title for section in sections})
    assert all(section.lines for section in sections)
    for title, line in lines:
        assert line.value is not None or line.note, (title, line)
        if line.verdict in ("met", "short"):
            reached = line.value.median <= line.goal if line.at_most else line.value.median >= line.goal
            assert reached == (line.verdict == "met"), (title, line)
