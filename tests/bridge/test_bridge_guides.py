"""The guide to the bridge runs, and its table of types is the one in the code."""

import re
from pathlib import Path

import pytest

from odyssey.bridge import types

GUIDES = Path(__file__).parents[2] / "docs" / "guides"
pytestmark = [
    pytest.mark.source,
    pytest.mark.skipif(not GUIDES.exists(), reason="the guides are not beside the tests"),
]


def test_the_guide_to_choosing_runs_from_top_to_bottom(capsys):
    text = (GUIDES / "choosing_a_pattern.md").read_text()
    blocks = re.findall(r"<!-- runs -->\n```python\n(.*?)```", text, re.S)
    assert len(blocks) == text.count("```python") == 5
    names = {}
    for block in blocks:
        exec(block, names)
    out = capsys.readouterr().out
    assert re.findall(r"^(\w+): ", out, re.M)[:5] == ["shared", "stream", "proto", "jit", "direct"]
    assert "1000 bytes: proto" in out
    assert "100000000 bytes: shared" in out
    assert "weights.astype(numpy.float32)" in out
    assert "strided" in out


def test_its_table_of_types_is_the_one_in_the_code():
    assert f"<!-- types -->\n{types.markdown()}\n" in (GUIDES / "choosing_a_pattern.md").read_text()
def test_every_pattern_has_a_guide_and_the_links_lead_somewhere():
    for page in ("choosing_a_pattern", "direct", "stream", "shared", "proto", "jit", "migrating_a_hot_loop"):
        text = (GUIDES / f"{page}.md").read_text()
        for target in re.findall(r"\]\(([^)#:]+\.md)", text):
            assert (GUIDES / target).resolve().exists(), (page, target)
    assert (GUIDES.parent / "troubleshooting.md").exists()
