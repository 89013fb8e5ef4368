"""How much time each operation gets; see rounds.py."""

import time
from collections.abc import Iterator

import pytest
from rounds import SECONDS, SEED


def pytest_report_header() -> str:
    return f"fuzzing: {f'{SECONDS:g} s' if SECONDS else 'one round'}, ODYSSEY_FUZZ_SEED={SEED}"


@pytest.fixture
def rounds(request: pytest.FixtureRequest) -> Iterator[int]:
    """Seeds, for as long as this operation's share of the time lasts; at least one."""
    sharing = sum("rounds" in getattr(item, "fixturenames", ()) for item in request.session.items)
    until = time.monotonic() + SECONDS / sharing

    def seeds() -> Iterator[int]:
        seed = SEED
        while seed == SEED or time.monotonic() < until:
            yield seed
            seed += 1

    return seeds()
