"""How long to fuzz. By default a few calls an operation, always the same ones: what every run of the tests can afford.

`ODYSSEY_FUZZ_SECONDS=120` draws new ones for about so long in total, shared out among the operations; hypothesis shrinks
what it finds, keeps it in `.hypothesis`, and begins the next run with it.
"""

import os
import time

import pytest
from hypothesis import HealthCheck, Phase, settings

SECONDS = float(os.environ.get("ODYSSEY_FUZZ_SECONDS", 0))
SHRINKING = 5.0
COMMON = {"deadline": None, "suppress_health_check": list(HealthCheck)}

if SECONDS:
    settings.register_profile("fuzz", max_examples=1_000_000, print_blob=True, **COMMON)
else:
    phases = (Phase.explicit, Phase.generate, Phase.shrink)
    settings.register_profile("fuzz", max_examples=8, derandomize=True, database=None, phases=phases, **COMMON)


class Budget:
    """Tells when a test's time is up; a test that fails has some more of it to find the smallest failure."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds if seconds else float("inf")

    @property
    def spent(self) -> bool:
        return time.monotonic() > self._until

    def extend(self) -> None:
        self._until = max(self._until, time.monotonic() + SHRINKING)


@pytest.fixture
def budget(request: pytest.FixtureRequest) -> Budget:
    sharing = sum("budget" in getattr(item, "fixturenames", ()) for item in request.session.items)
    return Budget(SECONDS / sharing)


@pytest.fixture(autouse=True)
def profile():
    """The settings of this folder, for its own tests only."""
    before = settings.get_current_profile_name() if hasattr(settings, "get_current_profile_name") else "default"
    settings.load_profile("fuzz")
    yield
    settings.load_profile(before)
