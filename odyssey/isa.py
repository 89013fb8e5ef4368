"""Which instruction set the kernels run on.

Every set gives the same bits; switching is for measuring and for testing. The choice is the process's, not the
thread's: a call that has begun finishes on the set it began with.

>>> import odyssey as od
>>> with od.isa.use("scalar"):
...     od.isa.active()
'scalar'
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from odyssey._kernels import dispatch

__all__ = ["active", "available", "found", "use"]

_VARIABLE = "ODYSSEY_ISA"


def found() -> list[str]:
    """The instruction sets compiled into this build, best first."""
    return [name for name, _ in dispatch.tables()]


def available() -> list[str]:
    """The instruction sets this machine can run, best first."""
    return [name for name, usable in dispatch.tables() if usable]


def active() -> str:
    """The instruction set kernels run on now."""
    return dispatch.active()


def _activate(name: str, source: str) -> None:
    try:
        dispatch.activate(name)
    except ValueError:
        where = "not usable on this machine" if name in found() else "not in this build"
        raise ValueError(f"{source}: expected one of {', '.join(available())}; found {name!r}, {where}") from None


@contextmanager
def use(name: str) -> Iterator[None]:
    """Runs the block's kernels on the named instruction set, for every thread of the process.

    Raises:
        ValueError: if the set is not in this build or this machine lacks it.
    """
    before = active()
    _activate(name, "odyssey.isa.use")
    try:
        yield
    finally:
        dispatch.activate(before)


_activate(os.environ.get(_VARIABLE) or available()[0], _VARIABLE)
