"""What a call into a C library costs: the same C function called from a loop in C, and through `NativeLibrary`."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from odyssey.bench.limits import running
from odyssey.bench.race import Contender, PythonCall, Spread, race
from odyssey.bench.tables import Line, Request, Section, judged, open_line
from odyssey.bench.tables.crossing import Point, curve
from odyssey.testing.placement import place
from odyssey.typing import Array

__all__ = ["sections"]

SIZES = (1 << 10, 1 << 12, 1 << 14, 1 << 16, 1 << 18, 1 << 20, 1 << 22)
FROM = "64 KiB"
GOAL = 0.01
MOST_NANOSECONDS = 100.0

# What anyone's library might have, compiled as anyone would, and the same calls made by a loop in C; the pointer keeps
# the compiler from looking into the function.
SOURCE = """
#include <math.h>
#include <stddef.h>
double sum(const double *x, size_t n) { double t = 0; for (size_t i = 0; i < n; i++) t += x[i]; return t; }
int scale(size_t n, const float *x, float by, float *y) { for (size_t i = 0; i < n; i++) y[i] = by * x[i]; return 0; }
int exponential(size_t n, const float *x, float by, float *y) {
    for (size_t i = 0; i < n; i++) y[i] = expf(by * x[i]);
    return 0;
}
void axpy(size_t n, double a, const double *x, double *y) { for (size_t i = 0; i < n; i++) y[i] += a * x[i]; }
int nothing(void) { return 0; }
double loop_sum(size_t calls, const double *x, size_t n) {
    double (*volatile f)(const double *, size_t) = sum, t = 0;
    while (calls--) t += f(x, n);
    return t;
}
void loop_scale(size_t calls, size_t n, const float *x, float by, float *y) {
    int (*volatile f)(size_t, const float *, float, float *) = scale;
    while (calls--) f(n, x, by, y);
}
void loop_exponential(size_t calls, size_t n, const float *x, float by, float *y) {
    int (*volatile f)(size_t, const float *, float, float *) = exponential;
    while (calls--) f(n, x, by, y);
}
void loop_axpy(size_t calls, size_t n, double a, const double *x, double *y) {
    void (*volatile f)(size_t, double, const double *, double *) = axpy;
    while (calls--) f(n, a, x, y);
}
void loop_nothing(size_t calls) {
    int (*volatile f)(void) = nothing;
    while (calls--) f();
}
"""
DECLARATIONS = """
typedef int status;
double sum(const double x[n], size_t n);
status scale(size_t n, const float x[n], float by, float y[n]);
status exponential(size_t n, const float x[n], float by, float y[n]);
void axpy(size_t n, double a, const double x[n], double y[n]);
int nothing(void);
double loop_sum(size_t calls, const double x[n], size_t n);
void loop_scale(size_t calls, size_t n, const float x[n], float by, float y[n]);
void loop_exponential(size_t calls, size_t n, const float x[n], float by, float y[n]);
void loop_axpy(size_t calls, size_t n, double a, const double x[n], double y[n]);
void loop_nothing(size_t calls);
"""


@dataclass(frozen=True)
class CLoop:
    """A contender: calls made by a loop in C. `loop` takes how many, and the arguments."""

    loop: Callable[..., object]
    arguments: tuple[Any, ...]
    name: str = "from C"

    def result(self) -> object:
        """Nothing to compare: the function is the same one."""
        return self.loop(1, *self.arguments)

    def sample(self, calls: int) -> float:
        """Seconds for `calls` calls."""
        start = perf_counter()
        self.loop(calls, *self.arguments)
        return perf_counter() - start


def sections(request: Request) -> Iterator[Section]:
    """Every section, one after the other as it is measured."""
    what = "calls into a C library"
    try:
        from odyssey.bridge.direct.require import cffi

        cffi()
    except ImportError as error:
        yield Section("Direct: calls", [open_line(what, str(error).splitlines()[0])])
        return
    compiler = shutil.which("cc")
    if compiler is None:
        yield Section("Direct: calls", [open_line(what, "expected a C compiler, cc, found none")])
        return
    with tempfile.TemporaryDirectory(prefix="odyssey-bench-") as folder:
        source, built = Path(folder, "work.c"), Path(folder, "libwork.so")
        source.write_text(SOURCE)
        subprocess.run([compiler, "-O2", "-shared", "-fPIC", str(source), "-lm", "-o", str(built)], check=True)
        yield _absolute(request, built)
        yield from _curves(request, built)
    yield _batches(request)


def _library(path: Path, **options: Any) -> Any:
    from odyssey.bridge.direct import NativeLibrary, Status

    return NativeLibrary(path, DECLARATIONS, status={"status": {0: Status.SUCCESS}}, **options)


def _absolute(request: Request, path: Path) -> Section:
    """What is on top of a call whose work is nothing."""
    library, holding = _library(path), _library(path, keep_gil=True)
    x, y, wide = np.empty(0, np.float32), np.empty(0, np.float32), np.empty(0)
    lines = []
    for what, name, arguments in (
        ("no arguments", "nothing", ()),
        ("an array and its size", "sum", (wide, 0)),
        ("two arrays, a size, a factor, a status", "scale", (0, x, 2.0, y)),
    ):
        bare = CLoop(getattr(library, f"loop_{name}"), arguments)
        for how, one in (("", library), (", GIL kept", holding)):
            lines.append(_on_top(request, what + how, bare, getattr(one, name), arguments, MOST_NANOSECONDS))
    bare = CLoop(library.loop_sum, (wide, 0))
    ffi, function = library.ffi, library.lib.sum

    def by_cffi(array: Array, n: int) -> object:
        return function(ffi.from_buffer("double[]", array), n)

    lines.append(_on_top(request, "cffi, from_buffer: an array and its size", bare, by_cffi, (wide, 0), None))
    plain = ctypes.CDLL(str(path)).sum
    plain.restype = ctypes.c_double
    plain.argtypes = [np.ctypeslib.ndpointer(np.float64, flags="C"), ctypes.c_size_t]
    lines.append(_on_top(request, "ctypes, ndpointer: an array and its size", bare, plain, (wide, 0), None))
    return Section("Direct: on top of the C call", lines)


def _on_top(
    request: Request,
    what: str,
    bare: CLoop,
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    goal: float | None,
) -> Line:
    request.progress(what)
    outcome = race([bare, PythonCall("across", function, arguments)], rules=request.rules)
    found = outcome.difference("across", bare.name)
    spread = Spread(*(1e9 * part for part in (found.median, found.low, found.high)))
    return judged(what, "no work", spread, goal, "ns on top", at_most=True)


def _curves(request: Request, path: Path) -> Iterator[Section]:
    library, holding = _library(path), _library(path, keep_gil=True)
    for what, one, name, item in (
        ("sum of float64", library, "sum", 8),
        ("sum of float64, GIL kept", holding, "sum", 8),
        ("axpy of float64", library, "axpy", 8),
        ("scale of float32", library, "scale", 4),
        ("expf of float32", library, "exponential", 4),
    ):
        sizes = SIZES[2:5] if request.quick else SIZES
        points = (_point(one, name, size // item, size) for size in sizes)
        yield Section(f"Direct: {what}", curve(request, what, GOAL, points, from_size=FROM))


def _point(library: Any, name: str, n: int, size: int) -> Point:
    kind = np.float32 if name in ("exponential", "scale") else np.float64
    x: Array = place(np.full(n, 0.5, kind))
    y: Array = place(np.zeros(n, kind))
    ordered: dict[str, tuple[Any, ...]] = {"sum": (x, n), "axpy": (n, 1e-9, x, y)}
    arguments = ordered.get(name, (n, x, 2.0, y))
    across: Contender = PythonCall("across", getattr(library, name), arguments)
    label = f"{size >> 10} KiB" if size < 1 << 20 else f"{size >> 20} MiB"
    return Point(label, across, CLoop(getattr(library, f"loop_{name}"), arguments))


def _batches(request: Request) -> Section:
    """Many small arrays: a call each from Python, against one crossing."""
    import odyssey as od
    from odyssey.bridge import direct

    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(int(n)).astype(np.float32) for n in rng.integers(1, 64, 1000)]
    out = [np.empty_like(one) for one in arrays]
    lines = []
    for op in (od.softmax, od.exp):
        name = op.__name__

        def one_by_one(op: Callable[..., Any] = op) -> list[Array]:
            return [op(x, out=y) for x, y in zip(arrays, out, strict=True)]

        contenders: dict[str, Callable[[], Any]] = {
            "one by one": one_by_one,
            "batched": partial(direct.batched, op, arrays, out=out, parallel=False),
            "prepared": direct.prepare(op, arrays, out=out, parallel=False),
        }
        what = f"{name} of 1 000 arrays of 1 to 63"
        request.progress(what)
        outcome = race(
            [PythonCall(label, each, around=partial(running, 1)) for label, each in contenders.items()],
            rules=request.rules,
        )
        times = ", ".join(f"{label} {outcome.seconds(label).median * 1e6:.0f} ns" for label in contenders)
        for label in ("batched", "prepared"):
            gain = outcome.ratio("one by one", label)
            lines.append(
                judged(
                    f"{what}: {label}", "into out, one thread", gain, None, "x one by one", note=f"an array: {times}"
                )
            )
    return Section("Direct: batches", lines)
