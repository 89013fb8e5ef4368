"""Elementwise operations and their gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from odyssey.testing import magnitudes
from odyssey.testing.call import Call, call
from odyssey.testing.case import Case, Grad
from odyssey.testing.cases.common import (
    CHOOSES,
    LANES,
    ONE_ULP,
    ORDINARY,
    POLYNOMIAL,
    ROUNDS_ONCE,
    SHARED,
    STREAMS,
    TWO_ULP,
    above_half,
    backward,
    one,
    positive,
    slope,
    two,
)
from odyssey.testing.draw import Draw
from odyssey.testing.peers import Peer, numpy_call, numpy_out, onnx_node, scipy_out, torch_out
from odyssey.testing.tolerance import Exact, Tolerance

BROADCAST = (*LANES, ((3, 1), (1, 17)), ((2, 1, 5), (3, 1)), ((4, 17), ()), ((0, 3), (1, 3)), ((7,), 2.0), (0.5, (7,)))


def broadcast(draw: Draw, shapes: Any, **options: Any) -> Call:
    """f(a, b) for a pair of shapes or numbers, or for one shape that both have."""
    a, b = shapes if _is_pair(shapes) else (shapes, shapes)
    return call(*(side if isinstance(side, float) else draw(side) for side in (a, b)), **options)


def _is_pair(shapes: Any) -> bool:
    return isinstance(shapes, tuple) and any(not isinstance(side, int) for side in shapes)


def power_inputs(draw: Draw, shapes: Any) -> Call:
    """Bases of either sign, some of the exponents small integers."""
    a, b = broadcast(draw, shapes).args
    if isinstance(b, np.ndarray) and draw.regime in ORDINARY:
        b = np.where(np.abs(b) < 1, np.rint(4 * b), b).astype(b.dtype)
    return call(a, b)


BINARY_NODES = {
    "add": "Add", "subtract": "Sub", "multiply": "Mul", "divide": "Div", "minimum": "Min", "maximum": "Max",
    "power": "Pow",
}  # fmt: skip


def binary(op: str, grad: Grad, **changes: Any) -> Case:
    """An operation on two arrays that broadcast, exact unless told otherwise."""
    row: dict[str, Any] = {"inputs": broadcast, "tolerance": Exact(), "why": ROUNDS_ONCE}
    peers = {
        "numpy": numpy_out(getattr(np, op)),
        "torch": torch_out({"power": "pow"}.get(op, op)),
        "onnxruntime": onnx_node(BINARY_NODES[op]),
    }
    return Case(op=op, grad=grad, sizes=BROADCAST, large=SHARED, bench=STREAMS, peers=peers, **row | changes)


def both(backward: Callable[..., Any], inputs: Callable[..., Call] = two) -> Grad:
    """The gradients with respect to a and b, of one shape."""
    return Grad(wrt=(0, 1), backward=backward, inputs=inputs, sizes=(7, (2, 3)))


UNARY_NODES = {
    **{op: onnx_node(op.capitalize()) for op in (
        "exp", "log", "sqrt", "reciprocal", "sin", "cos", "erf", "relu", "elu", "selu", "sigmoid", "tanh", "softplus",
        "mish", "gelu",
    )},
    "leaky_relu": onnx_node("LeakyRelu", alpha=0.01),
    "hard_sigmoid": onnx_node("HardSigmoid", alpha=1 / 6, beta=0.5),
    "hard_swish": onnx_node("HardSwish"),
}  # fmt: skip
SCIPY = {"erf": "erf", "sigmoid": "expit"}


def unary(op: str, tolerance: Tolerance, why: str, grad: Grad, **changes: Any) -> Case:
    """A function of one array, racing NumPy's and PyTorch's of the same name, ONNX's and SciPy's of the names above."""
    peers: dict[str, Peer] = {"torch": torch_out(op)}
    if hasattr(np, op):
        peers["numpy"] = numpy_out(getattr(np, op))
    if op in UNARY_NODES:
        peers["onnxruntime"] = UNARY_NODES[op]
    if op in SCIPY:
        peers["scipy"] = scipy_out(SCIPY[op])
    peers |= changes.pop("peers", {})
    row: dict[str, Any] = {"inputs": one, "peers": peers}
    return Case(
        op=op, tolerance=tolerance, why=why, grad=grad, sizes=LANES, large=SHARED, bench=STREAMS, **row | changes
    )


ELEMENTWISE = [
    binary("add", both(lambda ops, g, y, a, b: (g, g))),
    binary("subtract", both(lambda ops, g, y, a, b: (g, -g))),
    binary("multiply", both(lambda ops, g, y, a, b: (ops.multiply(g, b), ops.multiply(g, a)))),
    binary(
        "divide",
        both(
            lambda ops, g, y, a, b: (ops.divide(g, b), -ops.multiply(g, ops.divide(y, b))),
            inputs=lambda draw, shape: call(draw(shape), 0.5 + draw.positive(shape)),
        ),
    ),
    binary("minimum", both(lambda ops, g, y, a, b: (np.where(a < b, g, 0), np.where(a < b, 0, g))), why=CHOOSES),
    binary("maximum", both(lambda ops, g, y, a, b: (np.where(a > b, g, 0), np.where(a > b, 0, g))), why=CHOOSES),
    binary(
        "power",
        both(
            lambda ops, g, y, a, b: (g * b * ops.power(a, b - 1), g * y * ops.log(a)),
            inputs=lambda draw, shape: call(0.5 + draw.positive(shape), draw(shape)),
        ),
        inputs=power_inputs,
        tolerance=TWO_ULP,
        why="exp(b log a) needs the logarithm to more digits than its type holds; the last of them are not all kept.",
    ),
    Case(
        op="scale",
        inputs=one,
        tolerance=Exact(),
        why=ROUNDS_ONCE,
        grad=Grad(backward=lambda ops, g, y, x, alpha: (ops.scale(g, alpha),)),
        sizes=LANES,
        large=SHARED,
        options=({"alpha": 0.1}, {"alpha": -2.0}),
        bench=STREAMS,
        peers={
            "numpy": numpy_out(np.multiply, lambda x, alpha: call(x, alpha)),
            "torch": torch_out("mul", lambda x, alpha: call(x, alpha)),
        },
    ),
    Case(
        op="axpy",
        inputs=lambda draw, shape: call(0.1, draw(shape), draw(shape)),
        tolerance=Exact(),
        why=ROUNDS_ONCE,
        grad=Grad(wrt=(1, 2), backward=lambda ops, g, y, alpha, x, z: (ops.scale(g, alpha), g)),
        sizes=LANES,
        large=SHARED,
        bench=STREAMS,
        peers={
            "numpy": numpy_call(lambda alpha, x, y: alpha * x + y),
            "torch": torch_out("add", lambda alpha, x, y: call(y, x, alpha=alpha)),
        },
    ),
    Case(
        op="fma",
        inputs=lambda draw, shape: call(draw(shape), draw(shape), draw(shape)),
        tolerance=Exact(),
        why=ROUNDS_ONCE,
        grad=Grad(wrt=(0, 1, 2), backward=lambda ops, g, y, a, b, c: (ops.multiply(g, b), ops.multiply(g, a), g)),
        sizes=LANES,
        large=SHARED,
        bench=STREAMS,
        peers={
            "numpy": numpy_call(lambda a, b, c: a * b + c),
            "torch": torch_out("addcmul", lambda a, b, c: call(c, a, b)),
        },
    ),
    unary("exp", ONE_ULP, POLYNOMIAL, Grad(backward=lambda ops, g, y, x: ops.multiply(g, y))),
    unary(
        "log",
        ONE_ULP,
        POLYNOMIAL,
        Grad(backward=lambda ops, g, y, x: ops.divide(g, x), inputs=above_half),
        inputs=positive,
    ),
    unary(
        "log2",
        ONE_ULP,
        POLYNOMIAL,
        Grad(backward=lambda ops, g, y, x: ops.divide(g, ops.scale(x, np.log(2))), inputs=above_half),
        inputs=positive,
    ),
    unary(
        "sqrt",
        Exact(),
        ROUNDS_ONCE,
        Grad(backward=lambda ops, g, y, x: ops.divide(g, ops.scale(y, 2.0)), inputs=above_half),
        inputs=positive,
    ),
    unary(
        "reciprocal",
        Exact(),
        ROUNDS_ONCE,
        Grad(
            backward=lambda ops, g, y, x: -ops.multiply(g, ops.multiply(y, y)),
            inputs=above_half,
        ),
    ),
    unary("sin", ONE_ULP, POLYNOMIAL, Grad(backward=lambda ops, g, y, x: ops.multiply(g, ops.cos(x)))),
    unary("cos", ONE_ULP, POLYNOMIAL, Grad(backward=lambda ops, g, y, x: -ops.multiply(g, ops.sin(x)))),
    unary("erf", ONE_ULP, POLYNOMIAL, Grad()),
    backward(
        "erf_backward",
        slope(6, magnitudes.erf_backward),
        "Rounding x² errs by u·x², which exp turns into as much relative error.",
    ),
    Case(
        op="clip",
        inputs=one,
        tolerance=Exact(),
        why=CHOOSES,
        grad=Grad(avoid=(-1, 0.75)),
        sizes=LANES,
        large=SHARED,
        options=({"low": -1.0, "high": 0.75},),
        bench=STREAMS,
        peers={
            "numpy": numpy_out(np.clip, lambda x, low, high: call(x, low, high)),
            "torch": torch_out("clamp", lambda x, low, high: call(x, low, high)),
        },
    ),
    backward("clip_backward", Exact(), CHOOSES, options=({"low": -1.0, "high": 0.75},)),
]
