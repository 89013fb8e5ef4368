"""The guide's code runs, and its tables are those of the formats."""

import re
from pathlib import Path

import pytest

from odyssey.serialization.formats import markdown

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "serialization.md"

pytest.importorskip("google.protobuf")
pytest.importorskip("pyarrow")


@pytest.mark.source
@pytest.mark.skipif(not GUIDE.exists(), reason="the guide is not beside the tests")
def test_the_examples_of_the_guide_run():
    text = GUIDE.read_text()
    blocks = re.findall(r"<!-- runs -->\n```python\n(.*?)```", text, re.S)
    assert len(blocks) == text.count("```python") == 2
    names = {}
    for block in blocks:
        exec(block, names)
    names["folder"].cleanup()
    assert markdown() in text
