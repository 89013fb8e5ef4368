"""How much time, or how many rounds, each operation gets; see rounds.py."""

import time
from collections.abc import Iterator

import pytest
from rounds import ROUNDS, SECONDS, SEED


def pytest_report_header() -> str:
    length = f"{SECONDS:g} s of new ones" if SECONDS else f"rounds: {max(ROUNDS, 1)}, always the same"
    return f"fuzzing: {length}, ODYSSEY_FUZZ_SEED={SEED}"


@pytest.fixture
def rounds(request: pytest.FixtureRequest) -> Iterator[int]:
    """Seeds, as many as asked for, or for as long as this operation's share of the time lasts; at least one."""
    sharing = sum("rounds" in getattr(item, "fixturenames", ()) for item in request.session.items)
    until = time.monotonic() + SECONDS / sharing

    def seeds() -> Iterator[int]:
        seed = SEED
        while seed < SEED + max(ROUNDS, 1) or time.monotonic() < until:
            yield seed
            seed += 1

    return seeds()
