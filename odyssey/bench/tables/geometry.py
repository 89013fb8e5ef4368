"""The goals of distances: rows to one point against the memory, all pairs against NumPy's product form."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from odyssey import threads
from odyssey.bench.limits import running
from odyssey.bench.race import PythonCall, race
from odyssey.bench.tables import Line, Request, Section, open_line
from odyssey.bench.tables.kernels import _counts, _normal, _of_bandwidth, _one_race, _outcome_line, _setting
from odyssey.testing.cases import geometry as row
from odyssey.typing import Array

__all__ = ["sections"]

POINTS = (1000, 1024)


def sections(request: Request) -> Iterator[Section]:
    """Every section, one after the other as it is measured."""
    yield _to_one_point(request)
    yield _all_pairs(request)
    yield _two_threads(request)


def _calls() -> dict[str, tuple[Callable[[], Any], Array, Array]]:
    """Distances of the points to one, into an array of the caller's."""
    import odyssey as od

    x, y, out = _normal(0, POINTS), _normal(1, POINTS[1:]), np.empty(POINTS[0], np.float32)
    x *= 0.01  # inside the ball
    y *= 0.01
    return {
        "euclidean_distance": (partial(od.euclidean_distance, x, y, out), x, y),
        "poincare_distance": (partial(od.poincare_distance, x, y, 1.0, "raise", out), x, y),
        "spherical_distance": (partial(od.spherical_distance, x, y, "raise", out), x, y),
    }


def _to_one_point(request: Request) -> Section:
    lines = []
    calls = _calls()
    for op, (call, x, _) in calls.items():
        lines.append(_of_bandwidth(request, f"{op} 1000x1024 to one", call, x.nbytes, 1))
    numpys: dict[str, Callable[..., Any]] = {
        "euclidean_distance": row._numpy_euclidean,
        "poincare_distance": row._numpy_poincare,
        "spherical_distance": row._numpy_angle,
    }
    for op, (call, x, y) in calls.items():
        lines.append(_one_race(request, f"{op} 1000x1024 to one", call, "numpy", partial(numpys[op], x, y), 8.0, 1))
    for op, name in (("euclidean_distance", "euclidean"), ("spherical_distance", "cosine")):
        call, x, y = calls[op]
        lines.append(_against_simsimd(request, op, name, call, x, y))
    return Section("Distances of 1000x1024 to one point", lines)


def _against_simsimd(request: Request, op: str, name: str, call: Callable[[], Any], x: Array, y: Array) -> Line:
    what = f"{op} 1000x1024 to one"
    if find_spec("simsimd") is None:
        return open_line(what, "simsimd is not installed; pip install simsimd", _setting(1))
    simsimd: Any = import_module("simsimd")
    many = np.ascontiguousarray(np.broadcast_to(y, (1, y.size)))
    return _one_race(request, what, call, "simsimd", partial(simsimd.cdist, x, many, metric=name), 1.0, 1)


def _all_pairs(request: Request) -> Section:
    import odyssey as od

    x, y, out = _normal(0, POINTS), _normal(1, POINTS), np.empty((POINTS[0], POINTS[0]), np.float32)
    ours = partial(od.pairwise_distance, x, y, out=out)
    alone = partial(od.pairwise_distance, x, out=out)
    lines = [
        _one_race(request, f"{what} 1000x1000x1024", call, "numpy", partial(row._numpy_pairs, x, other), 1.8, 1)
        for what, call, other in (("pairwise_distance(x, y)", ours, y), ("pairwise_distance(x)", alone, x))
    ]
    return Section("Distances of all pairs: |x|^2 + |y|^2 - 2xy, and near pairs from the points", lines)


def _two_threads(request: Request) -> Section:
    title = "Two threads over one"
    if threads.affinity() < 2 or len(_counts()) < 2:
        return Section(title, [open_line("two threads", "this machine has one processor")])
    import odyssey as od

    x, y, out = _normal(0, POINTS), _normal(1, POINTS), np.empty((POINTS[0], POINTS[0]), np.float32)
    calls = {f"{op} 1000x1024 to one": call for op, (call, _, _) in _calls().items()}
    calls["pairwise_distance(x, y) 1000x1000x1024"] = partial(od.pairwise_distance, x, y, out=out)
    calls["pairwise_distance(x) 1000x1000x1024"] = partial(od.pairwise_distance, x, out=out)
    lines = []
    for what, call in calls.items():
        request.progress(f"{what}, two threads")
        contenders = [PythonCall(f"{n} threads", call, around=partial(running, n)) for n in (2, 1)]
        outcome = race(contenders, rules=request.rules)
        lines.append(_outcome_line(what, _setting(2), outcome, ("1 threads", "2 threads"), 1.8, "x one thread"))
    return Section(title, lines)
