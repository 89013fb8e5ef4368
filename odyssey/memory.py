"""The cache of memory blocks that large results and scratch space come from.

A freed block waits here for the next result of its size, so that a loop of large operations takes no page faults. At
most 512 MiB wait, or a sixteenth of the machine's memory where that is less.
"""

from odyssey._kernels import dispatch

__all__ = ["cached_bytes", "trim"]


def cached_bytes() -> int:
    """Bytes waiting to be used again."""
    return dispatch.cached_bytes()


def trim() -> None:
    """Gives what waits back to the system."""
    dispatch.trim()
