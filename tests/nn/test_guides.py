"""The guides' code runs; of the side-by-side guide both columns, which come to the same."""

import re
from pathlib import Path

import numpy as np
import pytest

GUIDES = Path(__file__).parents[2] / "docs" / "guides"
pytestmark = [
    pytest.mark.source,
    pytest.mark.skipif(not GUIDES.exists(), reason="the guides are not beside the tests"),
]


def test_the_training_guide_runs_from_top_to_bottom(capsys):
    blocks = re.findall(r"<!-- runs -->\n```python\n(.*?)```", (GUIDES / "training.md").read_text(), re.S)
    assert len(blocks) == 8
    names = {}
    for block in blocks:
        exec(block, names)
    assert names["accuracy"] > 0.15  # two epochs, of ten classes
    assert names["trainer"].history[-1]["test_accuracy"] > 0.3
    assert "SeparableConv2d" in capsys.readouterr().out


def columns():
    pairs = re.findall(
        r"<td>\n\n```python\n(.*?)```\n\n</td><td>\n\n```python\n(.*?)```\n\n</td>", (GUIDES / "from_pytorch.md").read_text(), re.S
    )
    assert len(pairs) == 8
    return pairs


def run(blocks, path):
    """The names that each block leaves, after it."""
    names, after = {"path": str(path)}, []
    for block in blocks:
        exec(block, names)
        after.append({name: value for name, value in names.items() if not name.startswith("__")})
    return after


def test_the_right_column_runs(tmp_path, capsys):
    last = run([right for _, right in columns()], tmp_path / "model.safetensors")[-1]
    assert last["seen"] == [(64, 2)]
    assert "MultiHeadAttention" not in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore")
def test_both_columns_come_to_the_same(tmp_path):
    pytest.importorskip("torch")
    left = run([one for one, _ in columns()], tmp_path / "left.safetensors")
    right = run([one for _, one in columns()], tmp_path / "right.safetensors")
    compared = set()
    for theirs, ours in zip(left, right, strict=True):
        for name in set(theirs) & set(ours):
            shapes = [getattr(side[name], "shape", None) for side in (ours, theirs)]
            if all(isinstance(shape, tuple) for shape in shapes):
                assert tuple(shapes[0]) == tuple(shapes[1]), name
                compared.add(name)
        for name in ("losses", "rates", "count", "slope"):
            if name in ours:
                values = [[float(one) for one in np.ravel(side[name])] for side in (ours, theirs)]
                np.testing.assert_allclose(*values, rtol=1e-4, err_msg=name)
    assert compared >= {"x", "y", "slope", "array", "z", "images", "logits", "weight", "loss", "a", "q", "tokens"}
    assert left[-1]["names"] == right[-1]["names"]
    theirs, ours = (set(side[-1]["loaded"]) for side in (left, right))
    assert theirs == ours  # either file has the other's names


def test_the_guide_of_the_mixture_of_experts_runs_from_top_to_bottom(capsys):
    pytest.importorskip("tokenizers")
    blocks = re.findall(r"<!-- runs -->\n```python\n(.*?)```", (GUIDES / "moe.md").read_text(), re.S)
    assert len(blocks) == 6
    names = {}
    for block in blocks:
        exec(block, names)
    history = names["trainer"].history
    assert history[-1]["test_loss"] < history[0]["test_loss"] < np.log(400)
    assert "a 3-gram model's loss is" in capsys.readouterr().out
