"""The guides' code runs, the examples of each one after the other."""

import linecache
import re
from pathlib import Path

import pytest

GUIDES = Path(__file__).parents[3] / "docs" / "guides"


@pytest.mark.source
@pytest.mark.xdist_group("jit")
@pytest.mark.skipif(not GUIDES.exists(), reason="the guides are not beside the tests")
@pytest.mark.parametrize(("guide", "count"), [("jit.md", 6), ("migrating_a_hot_loop.md", 4)])
def test_the_examples_of_the_guide_run(guide, count):
    text = (GUIDES / guide).read_text()
    blocks = re.findall(r"<!-- runs -->\n```python\n(.*?)```", text, re.S)
    assert len(blocks) == text.count("```python") == count
    names = {}
    for number, block in enumerate(blocks):
        name = f"<{guide} {number}>"
        linecache.cache[name] = (len(block), None, block.splitlines(True), name)  # where a function's text is looked up
        exec(compile(block, name, "exec"), names)
