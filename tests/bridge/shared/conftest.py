"""What new memory is made of is an argument of the tests: what Linux has, and what stands in for it elsewhere."""

import pytest


@pytest.fixture(params=["memfd", "file"])
def backing(request, monkeypatch, tmp_path):
    monkeypatch.setenv("ODYSSEY_SHARED_MEMORY", request.param)
    return request.param
