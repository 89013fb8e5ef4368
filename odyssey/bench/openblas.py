"""NumPy's matmul with OpenBLAS told which processor it runs on, in a process of its own.

OpenBLAS picks its kernels when NumPy is loaded and does not know the newest processors: on these it falls back to AVX2.
`OPENBLAS_CORETYPE=SkylakeX` makes it use AVX-512, but must be set before NumPy is loaded, hence the child. It takes its
turns in the race like every contender: the parent says when and how often, the child holds the clock.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np

from odyssey.bench.race import PythonCall, undisturbed
from odyssey.typing import Array

__all__ = ["CORE_TYPE", "ChildMatmul", "unavailable"]

CORE_TYPE = "SkylakeX"
NAME = f"openblas-{CORE_TYPE.lower()}"


def unavailable() -> str | None:
    """Why this contender cannot race here, or None."""
    from odyssey import isa

    if "avx512" not in isa.available():
        return "this processor has no AVX-512"
    if not any(library.get("internal_api") == "openblas" for library in _libraries()):
        return "this NumPy does not use OpenBLAS"
    return None


class ChildMatmul:
    """A contender: `np.matmul(a, b, out=c)` in a child whose OpenBLAS was told `CORE_TYPE`.

    A context manager; the child ends with it. Raises `RuntimeError` if OpenBLAS did not take the core type.
    """

    name = NAME

    def __init__(self, a: Array, b: Array, threads: int = 1) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="odyssey-bench-")
        folder = Path(self._folder.name)
        np.save(folder / "a.npy", a)
        np.save(folder / "b.npy", b)
        paths = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
        environment = {
            **os.environ,
            "OPENBLAS_CORETYPE": CORE_TYPE,
            "OPENBLAS_NUM_THREADS": str(threads),
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        }
        self._child = subprocess.Popen(
            [sys.executable, "-m", __name__, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )
        found = self._answer()
        if found != CORE_TYPE:
            self.close()
            raise RuntimeError(f"OpenBLAS was told {CORE_TYPE} and chose {found}")

    def result(self) -> Array:
        """The product, computed by the child."""
        self._ask("save")
        product: Array = np.load(Path(self._folder.name) / "c.npy")
        return product

    def sample(self, calls: int) -> float:
        """Seconds for `calls` products, on the child's clock."""
        return float(self._ask(calls))

    def close(self) -> None:
        """End the child."""
        if self._child.stdin is not None:
            with suppress(BrokenPipeError):  # what it never read
                self._child.stdin.close()
        self._child.wait()
        if self._child.stdout is not None:
            self._child.stdout.close()
        self._folder.cleanup()

    def __enter__(self) -> ChildMatmul:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _ask(self, request: Any) -> Any:
        assert self._child.stdin is not None
        with suppress(BrokenPipeError):  # its silence is told below
            print(json.dumps(request), file=self._child.stdin, flush=True)
        return self._answer()

    def _answer(self) -> Any:
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if not line:
            raise RuntimeError(f"the child that runs {self.name} ended with status {self._child.wait()}")
        return json.loads(line)


def _libraries() -> list[dict[str, Any]]:
    from threadpoolctl import threadpool_info

    libraries: list[dict[str, Any]] = threadpool_info()
    return libraries


def serve(folder: Path, requests: IO[str], answers: IO[str]) -> None:
    """The child: says which core type OpenBLAS runs on, then answers a line for each line until there are no more."""
    a, b = np.load(folder / "a.npy"), np.load(folder / "b.npy")
    product = np.matmul(a, b)
    timed = PythonCall(NAME, np.matmul, (a, b), {"out": product})
    types = [library.get("architecture") for library in _libraries() if library.get("internal_api") == "openblas"]
    print(json.dumps(types[0] if types else None), file=answers, flush=True)
    for line in requests:
        request = json.loads(line)
        if request == "save":
            np.save(folder / "c.npy", timed.result())
            answer = 0.0
        else:
            answer, _ = undisturbed(partial(timed.sample, request))
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    serve(Path(sys.argv[1]), sys.stdin, sys.stdout)
