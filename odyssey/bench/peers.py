"""Who there is to race against on this machine, and how to give everyone the same number of threads."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module
from importlib.util import find_spec

from odyssey import threads
from odyssey.bench.machine import version_of
from odyssey.bench.openblas import NAME as OPENBLAS
from odyssey.bench.openblas import unavailable as openblas_unavailable

__all__ = ["PEERS", "absent", "equal_threads", "load", "present"]

# Peer -> how to get it. The rows of odyssey.testing.cases say which of them can do an operation.
PEERS = {
    "numpy": "pip install numpy",
    "torch": "pip install torch==2.13.0",
    "scipy": "pip install scipy",
    "numba": "pip install numba",
    "onnxruntime": "pip install onnxruntime onnx",
    OPENBLAS: "NumPy with OpenBLAS, on a processor with AVX-512",
}


def present(names: Sequence[str] = tuple(PEERS)) -> dict[str, str]:
    """Of these peers the ones that can race here, each with its version."""
    return {name: version for name in names if absent(name) is None and (version := _version(name))}


def absent(name: str) -> str | None:
    """Why a peer cannot race here, or None.

    Raises:
        ValueError: for a name that no row knows.
    """
    if name not in PEERS:
        raise ValueError(f"expected peers out of {', '.join(PEERS)}; found {name!r}")
    if name == OPENBLAS:
        return openblas_unavailable()
    for module in ("onnxruntime", "onnx") if name == "onnxruntime" else (name,):
        if find_spec(module) is None:
            return f"{module} is not installed; {PEERS[name]}"
    return None


def load(names: Sequence[str]) -> None:
    """Import the peers among these that are installed: `equal_threads` only reaches what is loaded."""
    for name in names:
        if name != OPENBLAS and absent(name) is None:
            import_module(name)


@contextmanager
def equal_threads(count: int) -> Iterator[None]:
    """Give odyssey and every loaded library so many threads, within the block."""
    from threadpoolctl import threadpool_limits

    with ExitStack() as stack:
        stack.enter_context(threads.limit(count))
        stack.enter_context(threadpool_limits(count))
        torch = sys.modules.get("torch")
        if torch is not None:
            stack.callback(torch.set_num_threads, torch.get_num_threads())
            torch.set_num_threads(count)
        yield


def _version(name: str) -> str | None:
    return version_of("numpy") if name == OPENBLAS else version_of(name)
