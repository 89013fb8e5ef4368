"""What is said where the other framework is not installed."""

import subprocess
import sys

import pytest

import odyssey as od


def test_without_torch_the_import_says_what_to_install():
    code = "import sys; sys.modules['torch'] = None\nimport odyssey as od\nod.interop.torch"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "ImportError: odyssey.interop.torch: expected PyTorch" in done.stderr
    assert "pip install torch" in done.stderr


def test_frameworks_that_there_are_not_are_missing_attributes():
    with pytest.raises(AttributeError, match="jax"):
        _ = od.interop.jax
