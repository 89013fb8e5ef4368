"""The guide's code runs, its examples one after the other."""

import re
from pathlib import Path

import pytest

pytest.importorskip("tokenizers")
pytest.importorskip("ml_dtypes")
GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "embeddings.md"


@pytest.mark.source
@pytest.mark.skipif(not GUIDE.exists(), reason="the guide is not beside the tests")
def test_the_examples_of_the_guide_run():
    blocks = re.findall(r"<!-- runs -->\n```python\n(.*?)```", GUIDE.read_text(), re.S)
    assert len(blocks) == GUIDE.read_text().count("```python") == 5
    names = {}
    for block in blocks:
        exec(block, names)
