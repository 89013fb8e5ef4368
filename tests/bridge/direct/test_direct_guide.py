"""The guide's code runs, its examples one after the other."""

import re
import shutil
from pathlib import Path

import pytest

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "direct.md"


@pytest.mark.source
@pytest.mark.skipif(not GUIDE.exists(), reason="the guide is not beside the tests")
@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler, cc")
def test_the_examples_of_the_guide_run():
    blocks = re.findall(r"<!-- runs -->\n```python\n(.*?)```", GUIDE.read_text(), re.S)
    assert len(blocks) == GUIDE.read_text().count("```python") == 6
    names = {}
    for block in blocks:
        exec(block, names)
