"""How many threads a kernel may use.

The default is the smaller of the processors this process may run on and what its cgroup grants;
`ODYSSEY_NUM_THREADS` overrides it, above the core count too. Results do not depend on it.

>>> import odyssey as od
>>> with od.threads.limit(1):
...     od.threads.count()
1
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import threadpoolctl

from odyssey._kernels import dispatch

__all__ = ["affinity", "cgroup_quota", "count", "limit", "set_count"]


def count() -> int:
    """Threads a call may use now, the calling one included."""
    return dispatch.get_threads()


def set_count(n: int) -> None:
    """Sets the number of threads for the whole process; n >= 1."""
    if n < 1:
        raise ValueError(f"odyssey.threads.set_count: expected at least 1, found {n}")
    dispatch.set_threads(n)


@contextmanager
def limit(n: int) -> Iterator[None]:
    """Runs the block with at most n threads a call, for the whole process."""
    before = count()
    set_count(n)
    try:
        yield
    finally:
        set_count(before)


def affinity() -> int:
    """Processors this process may run on."""
    return dispatch.affinity()


def cgroup_quota() -> float | None:
    """Processors the cgroup grants, or None when it sets no limit."""
    return dispatch.cgroup_quota() or None


class _PoolController(threadpoolctl.LibController):  # type: ignore[misc]
    """odyssey's pool, as `threadpoolctl.threadpool_limits` and `threadpool_info` see it."""

    user_api = "odyssey"
    internal_api = "odyssey"
    filename_prefixes = ("libodyssey",)
    check_symbols = ("ody_threads", "ody_set_threads")

    def get_num_threads(self) -> int:
        return count()

    def set_num_threads(self, num_threads: int) -> None:
        set_count(num_threads)

    def get_version(self) -> str:
        return str(json.loads(dispatch.build())["version"])

    def set_additional_attributes(self) -> None:
        pass


threadpoolctl.register(_PoolController)
