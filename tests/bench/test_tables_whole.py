"""Every table of goals from its first line to its last: two rounds of a call each, which measure nothing and try all of it."""

import pytest

from odyssey.bench.race import Rules
from odyssey.bench.tables import TABLES, Request

FAST = Request(rules=Rules(sample_seconds=0, min_rounds=2, max_rounds=2), quick=True)


@pytest.mark.parametrize("table", ["bridge", "foundation", "transport", "training"])
def test_every_line_has_a_figure_or_says_why_it_has_none(table, brisk):
    sections = list(TABLES[table](FAST))
    lines = [(section.title, line) for section in sections for line in section.lines]
    assert len(sections) == len({section.title for section in sections})
    assert all(section.lines for section in sections)
    for title, line in lines:
        assert line.value is not None or line.note, (title, line)
        if line.verdict in ("met", "short"):
            reached = line.value.median <= line.goal if line.at_most else line.value.median >= line.goal
            assert reached == (line.verdict == "met"), (title, line)
