"""Compiled loops: against Cython written by hand, against numba, and what a start from the cache costs."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from math import exp, log
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from odyssey.bench.loops import LOOPS, Loop
from odyssey.bench.peers import absent
from odyssey.bench.race import PythonCall, Spread, race
from odyssey.bench.tables import Line, Request, Section, judged, open_line
from odyssey.bench.tables.crossing import Point, curve
from odyssey.bridge import jit
from odyssey.bridge.compiling import cache
from odyssey.bridge.compiling.functions import Jitted, compile_together
from odyssey.bridge.compiling.signature import token
from odyssey.bridge.compiling.toolchain import missing

__all__ = ["sections"]

OVERHEAD, NUMBA, START_MS, STARTS = 0.03, 1.0, 5.0, 5.0

BY_HAND = """\
# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False

def total(const double[::1] a):
    cdef Py_ssize_t i
    cdef double s = 0
    with nogil:
        for i in range(a.shape[0]):
            s += a[i]
    return s

def stencil(double[:, ::1] a, double[:, ::1] b):
    cdef Py_ssize_t i, j
    with nogil:
        for i in range(1, a.shape[0] - 1):
            for j in range(1, a.shape[1] - 1):
                b[i, j] = 0.25 * (a[i - 1, j] + a[i + 1, j] + a[i, j - 1] + a[i, j + 1])

def product(const double[:, ::1] a, const double[:, ::1] b, double[:, ::1] c):
    cdef Py_ssize_t i, j, k
    cdef double factor
    with nogil:
        for i in range(a.shape[0]):
            for k in range(a.shape[1]):
                factor = a[i, k]
                for j in range(b.shape[1]):
                    c[i, j] += factor * b[k, j]
"""


def total(a: Any) -> Any:
    """The sum, in order."""
    s = 0.0
    for i in range(len(a)):
        s += a[i]
    return s


def stencil(a: Any, b: Any) -> Any:
    """Each inner cell becomes the mean of its neighbours."""
    for i in range(1, a.shape[0] - 1):
        for j in range(1, a.shape[1] - 1):
            b[i, j] = 0.25 * (a[i - 1, j] + a[i + 1, j] + a[i, j - 1] + a[i, j + 1])


def product(a: Any, b: Any, c: Any) -> Any:
    """c += a @ b."""
    for i in range(a.shape[0]):
        for k in range(a.shape[1]):
            factor = a[i, k]
            for j in range(b.shape[1]):
                c[i, j] += factor * b[k, j]


def sections(request: Request) -> Iterator[Section]:
    """Against Cython, against numba, and the start."""
    lacking = missing()
    if lacking is not None:
        yield Section("5 Compiled loops", [open_line("bridge.jit", lacking)])
        return
    yield Section("5 Compiled loops against Cython by hand", list(_against_cython(request)))
    yield Section("5 Compiled loops against numba", list(_against_numba(request)))
    yield Section("5 Compiled loops: starting from the cache", list(_start(request)))


# ---- Cython by hand ----


def _against_cython(request: Request) -> Iterator[Line]:
    request.progress("Cython by hand")
    hand = _by_hand()
    ours = {one.__name__: jit(one) for one in (total, stencil, product)}
    f1, f2 = "float64[::1]", "float64[:, ::1]"
    compile_together([(ours["total"], f1), (ours["stencil"], f"{f2}, {f2}"), (ours["product"], f"{f2}, {f2}, {f2}")])
    makers: dict[str, tuple[Callable[[int], tuple[Any, ...]], list[int]]] = {
        "total": (lambda n: (np.ones(n),), [100, 10_000, 1_000_000]),
        "stencil": (lambda n: (np.ones((n, n)), np.ones((n, n))), [10, 100, 1000]),
        "product": (lambda n: (np.ones((n, n)), np.ones((n, n)), np.zeros((n, n))), [8, 32, 128]),
    }
    for name, (make, sizes) in makers.items():
        yield from curve(
            request, f"{name}, checked, over unchecked Cython", OVERHEAD,
            (
                Point(str(n), PythonCall("jit", ours[name], given), PythonCall("Cython", getattr(hand, name), given))
                for n in sizes
                for given in [make(n)]
            ),
            from_size=str(sizes[1]),
        )  # fmt: skip


def _by_hand() -> ModuleType:
    """The Cython text, compiled by the same compiler with the same flags; kept like any compiled function."""
    from odyssey.bridge.compiling.build import build

    key = cache.blake2b(cache.environment() + BY_HAND.encode(), digest_size=16).hexdigest()
    return cache.obtain(key, lambda place: build(BY_HAND, cache.module_name(key), place))[0]


# ---- numba ----


def _against_numba(request: Request) -> Iterator[Line]:
    made = [(jit(loop.function), jit(boundscheck=False)(loop.function), loop) for loop in LOOPS]
    compile_together((checked, _tokens(loop)) for checked, _, loop in made)
    compile_together((unchecked, _tokens(loop)) for _, unchecked, loop in made)
    lacking = absent("numba")
    if lacking is not None:
        yield from _alone(request, made)
        yield open_line("ten loops, geometric mean", lacking, "x numba")
        return
    numba = import_module("numba")
    ratios: dict[str, list[float]] = {"checked": [], "unchecked": []}
    for checked, unchecked, loop in made:
        request.progress(f"{loop.name}, against numba")
        outcome = race(
            [
                _Fresh("jit", checked, loop), _Fresh("jit, unchecked", unchecked, loop),
                _Fresh("numba", numba.njit(loop.function), loop),
            ],
            rules=request.rules,
        )  # fmt: skip
        if "numba" not in outcome.samples:
            yield open_line(loop.name, str(outcome.refused))
            continue
        for setting, name in (("checked", "jit"), ("unchecked", "jit, unchecked")):
            ratio = outcome.ratio("numba", name)
            ratios[setting].append(ratio.median)
            note = ", ".join(f"{one} {outcome.seconds(one).median * 1e6:.4g} µs" for one in (name, "numba"))
            yield judged(loop.name, setting, ratio, None, "x numba", note=note)
    for setting, found in ratios.items():
        if found:
            mean = exp(sum(map(log, found)) / len(found))
            yield judged("ten loops, geometric mean", setting, Spread(mean, mean, mean), NUMBA, "x numba",
                         note="numba as it comes checks no index")  # fmt: skip


def _alone(request: Request, made: list[tuple[Jitted, Jitted, Loop]]) -> Iterator[Line]:
    for checked, unchecked, loop in made:
        request.progress(loop.name)
        outcome = race([_Fresh("jit", checked, loop), _Fresh("unchecked", unchecked, loop)], rules=request.rules)
        yield judged(loop.name, "checks cost", outcome.ratio("jit", "unchecked"), None, "x unchecked",
                     note=f"jit {outcome.seconds('jit').median * 1e6:.4g} µs")  # fmt: skip


def _tokens(loop: Loop) -> list[str]:
    return [token(value, "argument", loop.name) for value in loop.make(True)]


class _Fresh(PythonCall):
    """A loop on arrays that are as they were at first, copied outside of the time."""

    def __init__(self, name: str, function: Callable[..., Any], loop: Loop) -> None:
        super().__init__(name, function)
        self._given = loop.make(False)
        function(*_copied(loop.make(True)))

    def result(self) -> Any:
        """What the loop returns."""
        return self._function(*_copied(self._given))

    def sample(self, calls: int) -> float:
        """Seconds for so many calls."""
        seconds = 0.0
        for _ in range(calls):
            given = _copied(self._given)
            start = self._clock()
            self._function(*given)
            seconds += self._clock() - start
        return seconds


def _copied(given: tuple[Any, ...]) -> list[Any]:
    return [one.copy() if isinstance(one, np.ndarray) else one for one in given]


# ---- the start ----

OURS = """\
from time import perf_counter
import numpy as np
import {module}
began = perf_counter()
jit = {decorator}
imported = perf_counter()
@jit
def total(a):
    s = 0.0
    for i in range(len(a)):
        s += a[i]
    return s
total(np.ones(10))
ended = perf_counter()
print(ended - imported, ended - began)
"""
PEER = OURS.replace("import {module}\nbegan = perf_counter()", "began = perf_counter()\nimport {module}")


class _Started:
    """A contender: a new process that gets one function from the cache. What is timed is said by the program."""

    def __init__(self, name: str, program: str, folder: Path, column: int) -> None:
        self.name = name
        self._path = folder / f"{name.replace(' ', '_').replace(',', '')}.py"
        self._path.write_text(program)
        self._column = column
        package = Path(__file__).parents[3]
        paths = [str(package), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "ODYSSEY_CACHE_DIR": str(folder),
                             "NUMBA_CACHE_DIR": str(folder), "PYTHONPYCACHEPREFIX": str(folder / "pyc")}  # fmt: skip
        self._environment.pop("PYTHONDONTWRITEBYTECODE", None)
        self.result()  # fills the caches

    def result(self) -> float:
        """Nothing to check: a failed start raises."""
        return self.sample(1)

    def sample(self, calls: int) -> float:
        """Seconds for so many starts."""
        run = partial(subprocess.run, env=self._environment, check=True, capture_output=True, text=True)
        return sum(float(run([sys.executable, str(self._path)]).stdout.split()[self._column]) for _ in range(calls))


def _start(request: Request) -> Iterator[Line]:
    request.progress("starts from the cache")
    what = "from the decorated function to its first result"
    with tempfile.TemporaryDirectory(prefix="odyssey-bench-") as name:
        folder = Path(name)
        ours = OURS.format(module="odyssey", decorator="odyssey.jit")
        first, whole = (_Started(f"jit {column}", ours, folder, column) for column in (0, 1))
        contenders = [first, whole]
        lacking = absent("numba")
        if lacking is None:
            cached = OURS.format(module="numba", decorator="numba.njit(cache=True)")
            alone = PEER.format(module="numba", decorator="numba.njit(cache=True)")
            contenders += [_Started("numba loaded", cached, folder, 0), _Started("numba with import", alone, folder, 1)]
            own = PEER.format(module="odyssey", decorator="odyssey.jit")
            contenders.append(_Started("jit with import", own, folder, 1))
        outcome = race(contenders, rules=request.rules)
        milliseconds = Spread(*(1e3 * part for part in _parts(outcome.seconds(first.name))))
        yield judged(what, "odyssey imported", milliseconds, START_MS, "ms", at_most=True)
        milliseconds = Spread(*(1e3 * part for part in _parts(outcome.seconds(whole.name))))
        yield judged(what, "and od.jit imported for it", milliseconds, None, "ms", at_most=True)
        if lacking is not None:
            yield open_line("start from the cache", lacking, "x numba")
            return
        for setting, peer, mine in (("both imported", "numba loaded", first.name),
                                    ("import and all", "numba with import", "jit with import")):  # fmt: skip
            note = f"{outcome.seconds(mine).median * 1e3:.3g} ms against {outcome.seconds(peer).median * 1e3:.3g} ms"
            yield judged("start from the cache", setting, outcome.ratio(peer, mine), STARTS, "x numba", note=note)


def _parts(spread: Spread) -> tuple[float, float, float]:
    return spread.median, spread.low, spread.high
