"""Sinkhorn-Knopp, entropic transport, and their gradients."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from odyssey import reference
from odyssey.testing import magnitudes
from odyssey.testing.call import Call, call
from odyssey.testing.case import Case, Grad
from odyssey.testing.cases.common import IS_A_GRADIENT, ORDINARY, Options
from odyssey.testing.draw import Draw
from odyssey.testing.peers import numpy_call, torch_call
from odyssey.testing.tolerance import Gamma
from odyssey.typing import Array

MATRICES = (
    (2, 2), (4, 4), (17, 4, 4), (3, 2, 5, 5), (40, 3, 3), (2, 7, 7), (9, 8, 8), (33, 2, 2), (2, 6, 6), (3, 7), (7, 3),
    (1, 1), (2, 9, 9), (2, 17, 16), (33, 130), (130, 5), (5, 150), (8, 297), (5, 1), (0, 4, 4), (4, 0), (0, 3),
)  # fmt: skip
LARGE = ((1_003, 4, 4), (257, 130), (70, 1_031), (40, 31, 33))
BENCH = ((16_384, 4, 4), (8, 1024), (512, 1024), (1024, 1024), (4096, 1024))
SMALL = ((4, 4), (3, 5, 5), (3, 7), (9, 4))
FORMS: Options = (
    {},
    {"order": "columns", "iterations": 3},
    {"from_logits": False, "iterations": 5},
    {"from_logits": False, "order": "columns", "damping": 0.1},
    {"tau": 0.5, "iterations": 1, "eps": 1e-3},
    {"iterations": 35, "eps": 1e-2},
)
BACKWARD: Options = (*FORMS, {"iterations": 10, "method": "implicit"}, {"from_logits": False, "method": "implicit"})


def matrix(draw: Draw, size: tuple[int, ...], from_logits: bool = True, **options: Any) -> Call:
    """f(x): logits of any kind, or a matrix of positive numbers."""
    kept = {"from_logits": from_logits} | options
    if from_logits:
        return call(draw(size), **kept)
    return call(np.asarray(np.abs(draw(size) if draw.regime in ("normal", "lognormal") else draw.normal(size))), **kept)


def gradient(draw: Draw, size: tuple[int, ...], **options: Any) -> Call:
    """f(grad, x)."""
    given = matrix(draw, size, **options)
    return call(draw(size), *given.args, **given.kwargs)


def _terms(*arrays: Any, iterations: int = 20, **_: Any) -> int:
    return int(sum(arrays[-1].shape[-2:])) + iterations + 8


def _terms_back(*arrays: Any, iterations: int = 20, **_: Any) -> int:
    return int(sum(arrays[-1].shape[-2:])) + 4 * iterations + 16


def _numpy_sinkhorn(x: Array, iterations: int = 20, eps: float = 1e-6, **_: Any) -> Array:
    m = np.exp(x - x.max(axis=-1, keepdims=True))
    m /= m.sum(axis=-1, keepdims=True)
    m += eps
    m /= m.sum(axis=-2, keepdims=True) + eps
    for _unused in range(iterations - 1):
        m /= m.sum(axis=-1, keepdims=True) + eps
        m /= m.sum(axis=-2, keepdims=True) + eps
    return np.asarray(m)


def _torch_sinkhorn(torch: Any, x: Any, iterations: int = 20, eps: float = 1e-6, **_: Any) -> Any:
    m = torch.softmax(x, -1) + eps
    m = m / (m.sum(-2, keepdim=True) + eps)
    for _unused in range(iterations - 1):
        m = m / (m.sum(-1, keepdim=True) + eps)
        m = m / (m.sum(-2, keepdim=True) + eps)
    return m


class Pair(NamedTuple):
    """A size for transport: m weights to n weights."""

    m: int
    n: int


PAIRS = (*(Pair(m, n) for m, n in ((1, 1), (1, 7), (7, 1), (5, 8), (15, 16), (17, 33), (70, 31))), Pair(130, 129))
PROBLEMS: Options = ({"reg": 0.5}, {"reg": 0.5, "reg_m": 2.0}, {"reg": 0.05, "iterations": 300, "tolerance": 1e-4})


def problem(draw: Draw, size: Pair, reg: float, **options: Any) -> Call:
    """f(a, b, cost, reg)."""
    a, b = (np.asarray(draw.unit(n) + draw.dtype.type(0.1)) for n in size)
    weights = a / a.sum(), b / b.sum()
    return call(*weights, np.asarray(draw.unit(size)), reg, **options)


def plan_gradient(draw: Draw, size: Pair, reg: float, **options: Any) -> Call:
    """f(grad, plan, a, b, reg)."""
    a, b, cost = problem(draw, size, reg).args[:3]
    plan = np.asarray(reference.sinkhorn(a, b, cost, reg, options.get("reg_m")))
    return call(draw.normal(size), plan, a, b, reg, **options)


def _plan(a: Array, b: Array, cost: Array, reg: float, *_: Any, **options: Any) -> Array:
    """The plan, times what rounding potentials and costs over reg, and the tolerance, leave over the roundoff."""
    tolerance = max(options.get("tolerance", 1e-6), float(np.finfo(a.dtype).eps))
    depth = 4 + 8 * float(np.ptp(magnitudes.wide64(cost))) / reg + 40 * tolerance / float(np.finfo(a.dtype).eps)
    given = [magnitudes.wide64(value) for value in (a, b, cost)]
    result = reference.sinkhorn(given[0], given[1], given[2], reg, options.get("reg_m"))
    return np.asarray(magnitudes.size_of(np.asarray(result)) * depth + float(np.finfo(a.dtype).tiny))


def _sized(which: int) -> Any:
    """The largest value of one of the gradients: what remains of the tolerance is a part of it."""

    def magnitude(grad: Array, plan: Array, a: Array, b: Array, reg: float, *more: Any, **options: Any) -> Array:
        tolerance = max(options.get("tolerance", 1e-6), float(np.finfo(a.dtype).eps))
        terms = [np.max(np.abs(grad)) * np.ones(n) for n in (len(a), len(b))]
        found = (*terms, np.max(np.abs(grad)) * magnitudes.size_of(plan) / reg)[which]
        return np.asarray(found * (4 + 200 * tolerance / float(np.finfo(a.dtype).eps)))

    return magnitude


TRANSPORT = [
    Case(
        op="sinkhorn_knopp",
        inputs=matrix,
        tolerance=Gamma(_terms, magnitudes.sinkhorn_knopp),
        why="Sums of rows and columns, whose errors the next iteration takes out; exp makes that of x - max relative.",
        grad=Grad(
            backward=lambda ops, g, y, x, **o: ops.sinkhorn_knopp_backward(g, x, **o),
            sizes=SMALL,
            options=({"eps": 1e-3}, *FORMS[1:]),
        ),
        sizes=MATRICES,
        large=LARGE,
        options=FORMS,
        bench=BENCH,
        peers={"numpy": numpy_call(_numpy_sinkhorn), "torch": torch_call(_torch_sinkhorn)},
    ),
    Case(
        op="sinkhorn_knopp_backward",
        inputs=gradient,
        tolerance=Gamma(_terms_back, magnitudes.sinkhorn_knopp_backward),
        why="Every iteration adds to an entry's gradient what its row's and column's sums receive: these cancel.",
        grad=IS_A_GRADIENT,
        sizes=MATRICES,
        large=LARGE,
        options=BACKWARD,
        regimes=ORDINARY,  # a gradient below the normal numbers loses bits in every iteration
        bench=BENCH,
    ),
    Case(
        op="sinkhorn",
        inputs=problem,
        tolerance=Gamma(lambda a, b, *_, **__: len(a) + len(b) + 8, _plan),
        why="Potentials over reg are rounded before exp makes that relative; iterations stop at a tolerance.",
        grad="its backward holds where the iterations have converged: tests/kernels/test_transport.py checks it",
        sizes=PAIRS,
        large=(Pair(257, 301),),
        options=PROBLEMS,
        regimes=("normal",),
        bench=(Pair(512, 512), Pair(1024, 1024)),
    ),
    Case(
        op="sinkhorn_backward",
        inputs=plan_gradient,
        tolerance=tuple(Gamma(lambda g, p, *_, **__: sum(p.shape) + 16, _sized(k)) for k in range(3)),
        why="The system is solved to a tolerance; what the gradients of weights sum to is its slowest part.",
        grad=IS_A_GRADIENT,
        sizes=PAIRS,
        options=({"reg": 0.5}, {"reg": 0.5, "reg_m": 2.0}),
        regimes=("normal",),
        large=(Pair(257, 301),),
        bench=(Pair(512, 512),),
    ),
]
