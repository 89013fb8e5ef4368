"""Benchmarks on pytest-benchmark: for following one operation over time, with its histograms, storage and comparison.

    pytest benchmarks --benchmark-only
    pytest benchmarks -k softmax --against numpy,torch --threads 2 --benchmark-autosave
    pytest benchmarks -k softmax --benchmark-compare

For ratios, and for parts of the machine's limits, `odyssey bench` races the same cases round by round.
"""

from collections.abc import Iterator

import pytest

from odyssey.bench.peers import equal_threads, load


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("odyssey")
    group.addoption("--against", default="numpy,torch", help="peers to measure too, separated by commas")
    group.addoption("--threads", type=int, default=1, help="threads for everybody")
    group.addoption("--largest", type=int, help="leave out arrays of more elements")


@pytest.fixture
def count(pytestconfig: pytest.Config) -> Iterator[int]:
    """Threads, the same for odyssey and the peers."""
    load(pytestconfig.getoption("--against").split(","))
    with equal_threads(pytestconfig.getoption("--threads")):
        yield pytestconfig.getoption("--threads")
