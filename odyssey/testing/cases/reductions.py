"""Reductions over axes, and their gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from odyssey import reference
from odyssey.testing import magnitudes
from odyssey.testing.call import Call, call
from odyssey.testing.case import Case, Grad
from odyssey.testing.cases.common import (
    CHOOSES,
    ORDINARY,
    PRODUCT,
    SHARED,
    STREAMS,
    SUM,
    TERMS,
    TWO_ULP,
    Options,
    backward,
    two,
)
from odyssey.testing.draw import Draw, Shape
from odyssey.testing.peers import Peer, numpy_call, torch_call
from odyssey.testing.tolerance import Exact, Gamma, Tolerance

FILLED = (1, 7, 15, 16, 17, 31, 33, 130, (3, 17), (2, 3, 16), (4, 1, 33), (2, 130, 3))  # something to reduce
CUBES = (*FILLED, 0, (), (3, 0), (0, 3))
WALLS = ((3, 100_003), (1_003, 97))  # few long rows, many short ones
TABLES = ((512, 1024), (4096, 4096))

# Axes that a shape of any rank has; the pair is for the ranks that have it.
AXES: Options = ({}, {"axis": -1}, {"axis": 0, "keepdims": True}, {"axis": (0, -1)})


def along(draw: Draw, shape: Shape, **options: Any) -> Call:
    """f(x, axis=...), the axis made to fit x's rank."""
    return call(draw(shape), **_fitting(shape, options))


def _fitting(shape: Shape, options: dict[str, Any]) -> dict[str, Any]:
    rank = len(shape) if isinstance(shape, tuple) else 1
    axis = options.get("axis")
    if axis is None or rank >= 2 or (rank == 1 and axis != (0, -1)):
        return options
    return options | {"axis": 0 if rank else None}


def backward_along(op: str) -> Callable[..., Call]:
    """f(grad, x, axis=...), grad of the shape of `op`'s result."""

    def inputs(draw: Draw, shape: Shape, **options: Any) -> Call:
        options = _fitting(shape, options)
        x = draw(shape)
        with np.errstate(all="ignore"):
            y = np.asarray(getattr(reference, op)(x, **options))
        more = (y,) if op == "norm" else ()
        options.pop("keepdims", None)
        return call(draw(y.shape), x, *more, **options)

    return inputs


def kept(reduced: Any, x: Any, axis: Any = None, keepdims: bool = False, **_: Any) -> Any:
    """A reduced array with its reduced axes kept."""
    return np.reshape(reduced, np.sum(x, axis=axis, keepdims=True).shape)


def reduction(op: str, tolerance: Tolerance, why: str, grad: Grad | str, **changes: Any) -> Case:
    """A reduction over axes, racing NumPy's and PyTorch's of the same name unless told otherwise."""
    peers: dict[str, Peer] = {"torch": torch_call(lambda torch, x, **_: getattr(torch, op)(x))}
    if hasattr(np, op):
        peers["numpy"] = numpy_call(getattr(np, op))
    row: dict[str, Any] = {"inputs": along, "sizes": CUBES, "options": AXES, "regimes": TERMS, "peers": peers}
    return Case(
        op=op, tolerance=tolerance, why=why, grad=grad, large=WALLS, bench=(4096, 2**20, *TABLES), **row | changes
    )


REDUCTIONS = [
    reduction(
        "sum",
        Gamma(magnitudes.count, magnitudes.sum),
        SUM,
        Grad(backward=lambda ops, g, y, x, **o: np.broadcast_to(kept(g, x, **o), x.shape)),
    ),
    reduction(
        "mean",
        Gamma(lambda x, **o: magnitudes.count(x, **o) + 2, magnitudes.mean),
        SUM,
        Grad(backward=lambda ops, g, y, x, **o: np.broadcast_to(kept(g, x, **o) * y.size / x.size, x.shape)),
    ),
    reduction(
        "var",
        Gamma(lambda x, **o: 2 * magnitudes.count(x, **o) + 5, magnitudes.var),
        "Two sums, the mean's and the squares'; what the mean is off by enters squared.",
        Grad(
            backward=lambda ops, g, y, x, keepdims=False, **o: ops.var_backward(g, x, **o),
            sizes=(17, (3, 7), (2, 3, 5)),  # ddof = 1 needs two elements
        ),
        options=(*AXES, {"axis": -1, "ddof": 1}),
    ),
    backward(
        "var_backward",
        Gamma(lambda grad, x, **o: magnitudes.count(x, o.get("axis")) + 6, magnitudes.var_backward),
        "The mean is a sum, and x - mean cancels: the error is bounded by |x| + mean|x|.",
        inputs=backward_along("var"),
        sizes=FILLED,
        large=WALLS,
        options=(*AXES, {"axis": -1, "ddof": 1}),
        regimes=("normal", "lognormal", "subnormal"),  # special: an infinite grad times a difference that underflows
        bench=TABLES,
    ),
    reduction(
        "max",
        Exact(),
        CHOOSES,
        Grad(backward=lambda ops, g, y, x, keepdims=False, **o: ops.max_backward(g, x, **o)),
        sizes=FILLED,
        regimes=(*TERMS, "huge"),
    ),
    backward(
        "max_backward",
        Exact(),
        CHOOSES,
        inputs=backward_along("max"),
        sizes=FILLED,
        large=WALLS,
        options=AXES,
        bench=TABLES,
    ),
    reduction(
        "min",
        Exact(),
        CHOOSES,
        Grad(backward=lambda ops, g, y, x, keepdims=False, **o: ops.min_backward(g, x, **o)),
        sizes=FILLED,
        regimes=(*TERMS, "huge"),
    ),
    backward(
        "min_backward",
        Exact(),
        CHOOSES,
        inputs=backward_along("min"),
        sizes=FILLED,
        large=WALLS,
        options=AXES,
        bench=TABLES,
    ),
    reduction(
        "argmax",
        Exact(),
        "An index is right or wrong.",
        "an index has no gradient",
        sizes=FILLED,
        options=AXES[:3],
        regimes=(*TERMS, "huge"),
    ),
    reduction(
        "norm",
        Gamma(lambda x, **o: magnitudes.count(x, **o) + 3, magnitudes.norm),
        "A sum of squares, in which nothing cancels, and a root, which halves its error.",
        Grad(backward=lambda ops, g, y, x, keepdims=False, **o: ops.norm_backward(g, x, y, **o)),
        regimes=(*ORDINARY, "special"),  # squares of the huge overflow and those of the tiny vanish
        peers={
            "numpy": numpy_call(lambda x, **_: np.sqrt(np.dot(x.ravel(), x.ravel()))),
            "torch": torch_call(lambda torch, x, **_: torch.linalg.vector_norm(x)),
        },
    ),
    backward(
        "norm_backward",
        TWO_ULP,
        PRODUCT,
        inputs=backward_along("norm"),
        sizes=FILLED,
        large=WALLS,
        options=AXES,
        regimes=ORDINARY,  # a product of three has no result where two of them overflow
        bench=TABLES,
    ),
    reduction(
        "logsumexp",
        Gamma(lambda x, **o: magnitudes.count(x, **o) + 8, magnitudes.logsumexp),
        "The sum's relative error becomes the logarithm's absolute one; the maximum is added once.",
        Grad(backward=lambda ops, g, y, x, **o: kept(g, x, **o) * ops.exp(x - kept(y, x, **o))),
        regimes=(*TERMS, "huge"),
        peers={"torch": torch_call(lambda torch, x, **_: torch.logsumexp(x, tuple(range(x.ndim))))},
    ),
    Case(
        op="dot",
        inputs=two,
        tolerance=Gamma(lambda a, b: a.size, magnitudes.dot),
        why="Any order of summation stays within γ_n Σ|a||b|.",
        grad=Grad(wrt=(0, 1), backward=lambda ops, g, y, a, b: (g * b, g * a)),
        sizes=(0, 1, 7, 15, 16, 17, 31, 33, 130),
        large=SHARED,
        regimes=TERMS,
        bench=STREAMS,
        peers={"numpy": numpy_call(np.dot), "torch": torch_call(lambda torch, a, b: torch.dot(a, b))},
    ),
]
