"""The instruction set and the thread count are arguments of the tests that compute.

`isa` runs a test once for each instruction set of the build; sets that this machine lacks show up as skips. `threads`
runs it with one, two and three threads, more than the machine may have.
"""

import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

import odyssey as od

# How long a machine takes to draw an example or to run it says nothing about the code.
settings.register_profile("odyssey", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("odyssey")


def pytest_report_header() -> str:
    usable = od.isa.available()
    missing = [name for name in od.isa.found() if name not in usable]
    return f"instruction sets: {', '.join(usable)}; not on this machine: {', '.join(missing) or 'none'}"


@pytest.fixture(autouse=True, scope="session")
def interruptible() -> None:
    """Ctrl-C reaches tests and the processes they start, also where a shell began the run in the background."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(params=od.isa.found())
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param not in od.isa.available():
        pytest.skip(f"this machine lacks {request.param}")
    with od.isa.use(request.param):
        yield request.param


@pytest.fixture(params=[1, 2, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    with od.threads.limit(request.param):
        yield request.param
