"""A cache of the tests' own."""

import os

import pytest


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory):
    before = os.environ.get("ODYSSEY_CACHE_DIR")
    os.environ["ODYSSEY_CACHE_DIR"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["ODYSSEY_CACHE_DIR"]
    else:
        os.environ["ODYSSEY_CACHE_DIR"] = before
