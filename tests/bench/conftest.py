"""What the tests of tables share."""

import pytest


@pytest.fixture
def brisk(monkeypatch):
    """Nobody waits for a quiet machine: figures are not the point where this is asked for."""
    monkeypatch.setattr("odyssey.bench.race.LONGEST_SETTLING", 0.0)
    monkeypatch.setattr("odyssey.bench.race.TRIES", 1)
