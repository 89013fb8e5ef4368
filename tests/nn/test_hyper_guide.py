"""The guide's code runs, and both residuals learn from its text."""

import re
from pathlib import Path

import numpy as np
import pytest

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "hyper_connections.md"


@pytest.mark.source
@pytest.mark.skipif(not GUIDE.exists(), reason="the guide is not beside the tests")
@pytest.mark.parametrize("residual", ["add", "mhc"])
def test_a_model_of_the_guide_learns_from_its_text(residual):
    blocks = re.findall(r"<!-- runs -->\n```python\n(.*?)```", GUIDE.read_text(), re.S)
    assert len(blocks) == 2
    names = {}
    for block in blocks:
        exec(block, names)
    first, last, model = names["train"](residual, steps=60)
    assert np.isfinite(last)
    assert last < first - 0.5
    if residual == "mhc":
        assert model.blocks[0].attn_hc.metrics()["column_residual"] < 1e-4
