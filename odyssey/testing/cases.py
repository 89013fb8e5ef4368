"""One row per operation. Correctness, gradient, digest, fuzz and benchmark runs all read it.

To add an operation, write its definition in `odyssey/reference/` and one row here:

    Case(
        op="square",                                # the name in odyssey and in odyssey.reference
        inputs=one,                                 # how to draw the arguments of a call: here square(x)
        tolerance=Exact(),                          # how far the result may be from the definition ...
        why=ROUNDS_ONCE,                            # ... and why not less
        grad=Grad(),                                # checked through square_backward(grad, x)
        sizes=LANES, large=SHARED,                  # around the vector's lanes, and large enough for threads
        bench=STREAMS,                              # what to time
        peers={"numpy": numpy_out(np.square)},      # against whom
    )

Tolerances count from the definition rounded to the result's type. Where a bound is loosened, `why` says what forced it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from odyssey import reference
from odyssey.testing import magnitudes
from odyssey.testing.call import Call, call
from odyssey.testing.case import Case, Grad
from odyssey.testing.draw import Draw, Shape
from odyssey.testing.peers import Peer, numpy_call, numpy_out, onnx_node, scipy_out, torch_call, torch_out
from odyssey.testing.tolerance import ByOption, Exact, Gamma, Tolerance, Ulp

__all__ = ["CASES", "select"]

Options = tuple[Mapping[str, Any], ...]

# Around the lane counts, 8 and 16, and their multiples; and shapes with more axes.
LANES = (0, 1, 7, 8, 15, 16, 17, 31, 33, 130, (), (3, 17), (2, 3, 5))
SHARED = (100_003,)  # more than one thread's share, and not a multiple of anything
STREAMS = (4096, 2**20, 2**25)  # in the first cache, in the last, in none

TERMS = ("normal", "lognormal", "subnormal", "special")  # sums overflow in the huge regime, whatever the order
ORDINARY = ("normal", "lognormal")

# Reasons that many rows share.
ROUNDS_ONCE = "IEEE 754 rounds it once, so there is one right answer."
CHOOSES = "The result is one of the operands, or 0."
POLYNOMIAL = "Our polynomial is within an ulp; in float64 its two halves may add another."
COMPOSED = "A function within an ulp, and one or two more roundings; float64 starts from two ulps."
PRODUCT = "A few roundings, half an ulp each, of factors that do not cancel."
SUM = "Any order of summation stays within γ_n Σ|x|."
CROSSES_ZERO = "The terms cancel where the gradient crosses zero, so the error is bounded by the terms."
IS_A_GRADIENT = "a gradient itself; the forward's row checks it against differences"

ONE_ULP = Ulp(1, float64=2)
TWO_ULP = Ulp(2, float64=4)
THREE_ULP = Ulp(3, float64=5)


# ---- inputs ----------------------------------------------------------------------------------------------------------


def one(draw: Draw, shape: Shape, **options: Any) -> Call:
    """f(x)."""
    return call(draw(shape), **options)


def two(draw: Draw, shape: Shape, **options: Any) -> Call:
    """f(a, b), or f(grad, x)."""
    return call(draw(shape), draw(shape), **options)


def positive(draw: Draw, shape: Shape, **options: Any) -> Call:
    """f(x), x > 0 but in the special regime."""
    return call(draw.positive(shape), **options)


def above_half(draw: Draw, shape: Shape) -> Call:
    """f(x), x > 0.5: where slopes are too steep for differences, near 0, the gradient is not checked."""
    return call(np.asarray(0.5 + draw.positive(shape)))


def gradient_of(op: str) -> Callable[..., Call]:
    """f(grad, y), where y is a result of `op`."""

    def inputs(draw: Draw, shape: Shape, **options: Any) -> Call:
        with np.errstate(all="ignore"):
            y = np.asarray(getattr(reference, op)(draw(shape), **options))
        return call(draw(y.shape), y, **options)

    return inputs


# ---- elementwise -----------------------------------------------------------------------------------------------------

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


def backward(op: str, tolerance: Any, why: str, **changes: Any) -> Case:
    """The gradient of a function of one array: f(grad, x)."""
    row: dict[str, Any] = {"inputs": two, "sizes": LANES, "large": SHARED, "bench": STREAMS, "grad": IS_A_GRADIENT}
    return Case(op=op, tolerance=tolerance, why=why, **row | changes)


def slope(terms: int, magnitude: Callable[..., Any]) -> Gamma:
    """For grad · f'(x): what underflows in f'(x), grad makes larger."""
    return Gamma(terms, magnitude, underflow=lambda grad, *_, **__: np.abs(grad))


def aten(name: str, *more: Any) -> Mapping[str, Peer]:
    """The gradient as PyTorch's own backward computes it."""
    return {"torch": torch_call(lambda torch, *args, **_: getattr(torch.ops.aten, name)(*args, *more))}


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

# ---- activations -----------------------------------------------------------------------------------------------------

SLOPES: Options = ({}, {"negative_slope": 0.25})
ALPHAS: Options = ({}, {"alpha": 0.5})
GELUS: Options = ({}, {"approximate": "tanh"})
BETAS: Options = ({}, {"beta": 2.0, "threshold": 10.0})  # a power of two: rounding beta · x is softplus's own affair


# What torch.nn.functional calls; relu, prelu and selu have no `out` anywhere.
BOUND = ("leaky_relu", "elu", "gelu", "silu", "softplus", "mish", "hard_sigmoid", "hard_swish", "hard_tanh")


def activation(op: str, tolerance: Tolerance, why: str, grad: Grad | None = None, **changes: Any) -> Case:
    """An activation, racing PyTorch's by the binding below torch.nn.functional, which takes `out`, if there is one."""
    name = op.replace("hard_", "hard")
    torch = torch_out(f"_C._nn.{name}") if op in BOUND else torch_call(lambda torch, x: getattr(torch, name)(x))
    peers = {"torch": torch} | changes.pop("peers", {})
    return unary(op, tolerance, why, grad or Grad(), peers=peers, **changes)


def prelu_inputs(draw: Draw, shape: Shape) -> Call:
    """One weight for each channel, or one for all."""
    channels = shape[1] if isinstance(shape, tuple) and len(shape) > 1 else 1
    return call(draw(shape), draw.normal(channels))


ACTIVATIONS = [
    activation(
        "relu",
        Exact(),
        CHOOSES,
        Grad(avoid=(0,)),
        peers={
            "numpy": numpy_out(np.maximum, lambda x: call(x, 0)),
            "torch": torch_out("clamp_min", lambda x: call(x, 0)),
        },
    ),
    backward("relu_backward", Exact(), CHOOSES, peers=aten("threshold_backward", 0)),
    activation(
        "relu6",
        Exact(),
        CHOOSES,
        Grad(avoid=(0, 6)),
        peers={"torch": torch_out("_C._nn.hardtanh", lambda x: call(x, 0.0, 6.0))},
    ),
    backward("relu6_backward", Exact(), CHOOSES, peers=aten("hardtanh_backward", 0, 6)),
    activation("leaky_relu", Exact(), ROUNDS_ONCE, Grad(avoid=(0,)), options=SLOPES),
    backward(
        "leaky_relu_backward", Exact(), ROUNDS_ONCE, options=SLOPES, peers=aten("leaky_relu_backward", 0.01, False)
    ),
    activation(
        "prelu",
        Exact(),
        ROUNDS_ONCE,
        Grad(wrt=(0, 1), avoid=(0,)),
        inputs=prelu_inputs,
        peers={"torch": torch_call(lambda torch, x, weight: torch.nn.functional.prelu(x, weight))},
    ),
    backward(
        "prelu_backward",
        (Exact(), Gamma(lambda grad, x, weight: x.size // max(weight.size, 1), magnitudes.prelu_backward_weight)),
        "dx rounds once; dweight is a sum of products: " + SUM,
        inputs=lambda draw, shape: call(draw(shape), *prelu_inputs(draw, shape).args),
        regimes=TERMS,
    ),
    activation("elu", TWO_ULP, COMPOSED, Grad(avoid=(0,)), options=ALPHAS),
    backward(
        "elu_backward",
        slope(5, magnitudes.result_of("elu_backward")),
        COMPOSED,
        options=ALPHAS,
        peers={"torch": torch_call(lambda torch, grad, x: torch.ops.aten.elu_backward(grad, 1, 1, 1, False, x))},
    ),
    activation("selu", TWO_ULP, COMPOSED, Grad(avoid=(0,))),
    backward("selu_backward", slope(5, magnitudes.result_of("selu_backward")), COMPOSED),
    activation(
        "sigmoid",
        ONE_ULP,
        POLYNOMIAL,
        Grad(backward=lambda ops, g, y, x: ops.sigmoid_backward(g, y)),
        peers={"numpy": numpy_call(lambda x: 1 / (1 + np.exp(-x))), "torch": torch_out("sigmoid")},
    ),
    backward("sigmoid_backward", THREE_ULP, PRODUCT, inputs=gradient_of("sigmoid"), peers=aten("sigmoid_backward")),
    activation(
        "tanh",
        ONE_ULP,
        POLYNOMIAL,
        Grad(backward=lambda ops, g, y, x: ops.tanh_backward(g, y)),
        peers={"numpy": numpy_out(np.tanh), "torch": torch_out("tanh")},
    ),
    backward(
        "tanh_backward",
        TWO_ULP,
        "1 - y² in one fused step rounds once, however much cancels; two more roundings follow.",
        inputs=gradient_of("tanh"),
        peers=aten("tanh_backward"),
    ),
    activation(
        "silu",
        TWO_ULP,
        COMPOSED,
        peers={"numpy": numpy_call(lambda x: x / (1 + np.exp(-x)))},
    ),
    backward("silu_backward", slope(10, magnitudes.silu_backward), CROSSES_ZERO, peers=aten("silu_backward")),
    activation(
        "gelu",
        ByOption("approximate", "none", {"none": TWO_ULP, "tanh": Gamma(8, magnitudes.gelu)}),
        COMPOSED + " In the tanh form the argument of the exponential is rounded before.",
        options=GELUS,
    ),
    backward(
        "gelu_backward", slope(12, magnitudes.gelu_backward), CROSSES_ZERO, options=GELUS, peers=aten("gelu_backward")
    ),
    activation("softplus", TWO_ULP, COMPOSED, Grad(avoid=(20, 5)), options=BETAS),
    backward(
        "softplus_backward",
        slope(5, magnitudes.result_of("softplus_backward")),
        COMPOSED,
        options=BETAS,
        peers=aten("softplus_backward", 1, 20),
    ),
    activation("mish", TWO_ULP, COMPOSED),
    backward("mish_backward", slope(16, magnitudes.mish_backward), CROSSES_ZERO, peers=aten("mish_backward")),
    activation("hard_sigmoid", Ulp(3), PRODUCT, Grad(avoid=(-3, 3))),
    backward("hard_sigmoid_backward", Ulp(2), PRODUCT, peers=aten("hardsigmoid_backward")),
    activation("hard_swish", Ulp(4), PRODUCT, Grad(avoid=(-3, 3))),
    backward(
        "hard_swish_backward", Gamma(5, magnitudes.hard_swish_backward), CROSSES_ZERO, peers=aten("hardswish_backward")
    ),
    activation("hard_tanh", Exact(), CHOOSES, Grad(avoid=(-1, 1))),
    backward("hard_tanh_backward", Exact(), CHOOSES, peers=aten("hardtanh_backward", -1, 1)),
]

# ---- reductions ------------------------------------------------------------------------------------------------------

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
        regimes=TERMS,
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

# ---- softmax, cross entropy ------------------------------------------------------------------------------------------

ROWS = (0, 1, 7, 15, 16, 17, 31, 33, 130, (3, 17), (5, 33), (2, 3, 16), (2, 5, 7), (3, 0), (0, 3), (2, 130, 3))
TWO_AXES: Options = ({}, {"axis": 0})


def row_length(first: Any, *_: Any, axis: int = -1) -> int:
    """Roundings that meet in one element: those of a sum over the axis, and a few more."""
    return int(first.shape[axis]) + 8


def rows(op: str, tolerance: Tolerance, why: str, grad: Grad | str, **changes: Any) -> Case:
    """An operation along one axis."""
    row: dict[str, Any] = {"inputs": one, "sizes": ROWS, "options": TWO_AXES, "bench": TABLES}
    large = ((1_003, 97), (7, 10_007))
    return Case(op=op, tolerance=tolerance, why=why, grad=grad, **row | {"large": large} | changes)


def _numpy_softmax(x: Any) -> Any:
    y = np.exp(x - x.max(axis=-1, keepdims=True))
    return y / y.sum(axis=-1, keepdims=True)


class Batch(NamedTuple):
    """A size for cross entropy: rows of logits, one for each of n examples."""

    n: int
    classes: int


BATCHES = (*(Batch(5, c) for c in (1, 7, 10, 15, 16, 17, 31, 33, 130)), Batch(1, 10), Batch(0, 10), Batch(64, 62))
KINDS_OF_LOSS: Options = ({}, {"reduction": "none"}, {"reduction": "sum"})


def logits(draw: Draw, size: Batch, **options: Any) -> Call:
    """f(logits, labels)."""
    return call(draw(size), draw.indices(size.n, size.classes), **options)


def loss_gradient(draw: Draw, size: Batch, reduction: str = "mean") -> Call:
    """f(grad, logits, labels)."""
    grad = draw.normal(size.n if reduction == "none" else ())
    return call(grad, draw(size), draw.indices(size.n, size.classes), reduction=reduction)


ROW_OPS = [
    rows(
        "softmax",
        Gamma(row_length, magnitudes.softmax),
        "exp carries the rounding of x - max into a relative error of |x - max| u; the sum adds γ_n.",
        Grad(backward=lambda ops, g, y, x, **o: ops.softmax_backward(g, y, **o)),
        peers={
            "numpy": numpy_call(_numpy_softmax),
            "torch": torch_out("softmax", lambda x: call(x, -1)),
            "onnxruntime": onnx_node("Softmax"),
        },
    ),
    rows(
        "softmax_backward",
        Gamma(row_length, magnitudes.softmax_backward),
        "grad - Σ grad·y cancels, so the error is bounded by |grad| + Σ|grad·y|.",
        IS_A_GRADIENT,
        inputs=gradient_of("softmax"),
        regimes=TERMS,
        peers=aten("_softmax_backward_data", -1, 6),
    ),
    rows(
        "log_softmax",
        Gamma(row_length, magnitudes.log_softmax),
        "The sum's relative error becomes the logarithm's absolute one; two subtractions follow.",
        Grad(backward=lambda ops, g, y, x, **o: ops.log_softmax_backward(g, y, **o)),
        peers={
            "torch": torch_out("log_softmax", lambda x: call(x, -1)),
            "onnxruntime": onnx_node("LogSoftmax"),
        },
    ),
    rows(
        "log_softmax_backward",
        Gamma(row_length, magnitudes.log_softmax_backward),
        "grad - e^y Σ grad cancels, so the error is bounded by |grad| + e^y Σ|grad|.",
        IS_A_GRADIENT,
        inputs=gradient_of("log_softmax"),
        regimes=TERMS,
        peers=aten("_log_softmax_backward_data", -1, 6),
    ),
    rows(
        "cross_entropy",
        Gamma(lambda x, labels, reduction="mean": sum(x.shape) + 8, magnitudes.cross_entropy),
        "As log_softmax; the mean and the sum add one rounding for each row.",
        Grad(),
        inputs=logits,
        sizes=BATCHES,
        large=(Batch(1_003, 97),),
        options=KINDS_OF_LOSS,
        regimes=TERMS,
        bench=(Batch(64, 10), Batch(512, 1024)),
        peers={"torch": torch_call(lambda torch, x, labels: torch.nn.functional.cross_entropy(x, labels))},
    ),
    rows(
        "cross_entropy_backward",
        Gamma(lambda grad, x, labels, **_: x.shape[1] + 10, magnitudes.cross_entropy_backward),
        "As softmax; subtracting 1 at the label cancels, so the error is bounded by the terms.",
        IS_A_GRADIENT,
        inputs=loss_gradient,
        sizes=BATCHES,
        large=(Batch(1_003, 97),),
        options=KINDS_OF_LOSS,
        regimes=TERMS,
        bench=(Batch(64, 10), Batch(512, 1024)),
    ),
]

# ---- matrix products -------------------------------------------------------------------------------------------------


class Product(NamedTuple):
    """A size for matmul: the shapes of a and b."""

    a: tuple[int, ...]
    b: tuple[int, ...]


def mkn(m: int, k: int, n: int) -> Product:
    """(m, k) @ (k, n)."""
    return Product((m, k), (k, n))


PRODUCTS = (
    *(mkn(n, n, n) for n in (0, 1, 7, 15, 16, 17, 31, 33)),
    *(mkn(*size) for size in ((1, 130, 33), (33, 130, 1), (14, 5, 32), (15, 64, 33), (3, 0, 5), (0, 4, 5), (5, 4, 0))),
    Product((17,), (17,)),
    Product((17,), (17, 33)),
    Product((33, 17), (17,)),
    Product((3, 5, 7), (7, 9)),
    Product((2, 1, 5, 7), (3, 7, 9)),
    Product((7,), (3, 7, 9)),
)
SQUARES = tuple(mkn(n, n, n) for n in (64, 256, 512, 1024, 2048))
OBLONGS = (mkn(1, 4096, 4096), mkn(8, 4096, 4096), mkn(128, 768, 3072), mkn(64, 400, 120))


def product(draw: Draw, size: Product, beta: float = 0.0, **options: Any) -> Call:
    """matmul(a, b), with something in `out` where beta asks for it."""
    a, b = draw(size.a), draw(size.b)
    if beta == 0:
        return call(a, b, **options)
    return call(a, b, out=draw(np.matmul(np.zeros(size.a), np.zeros(size.b)).shape), beta=beta, **options)


def inner(a: Any, *_: Any, **__: Any) -> int:
    """How many products each element sums, and a few more roundings."""
    return int(a.shape[-1]) + 4


class Layer(NamedTuple):
    """A size for linear: a batch of rows through a layer."""

    batch: tuple[int, ...]
    inputs: int
    outputs: int


LAYERS = (
    *(Layer((5,), n, n) for n in (1, 7, 15, 16, 17, 31, 33, 130)),
    Layer((1,), 84, 10),
    Layer((), 17, 33),
    Layer((2, 3), 33, 16),
    Layer((0,), 5, 7),
    Layer((3,), 0, 5),
)
FUSED: Options = (
    {},
    *({"activation": name} for name in ("relu", "tanh", "sigmoid", "gelu", "silu")),
)


def layer(draw: Draw, size: Layer, with_bias: bool = True, **options: Any) -> Call:
    """linear(x, weight, bias, activation=...)."""
    x, weight = draw((*size.batch, size.inputs)), draw((size.outputs, size.inputs))
    return call(x, weight, draw(size.outputs) if with_bias else None, **options)


LINEAR = [
    Case(
        op="matmul",
        inputs=product,
        tolerance=Gamma(inner, magnitudes.matmul, wide_reference=False),
        why="A chain of k fused multiply-adds stays within γ_k Σ|a||b|.",
        grad=Grad(
            wrt=(0, 1),
            backward=lambda ops, g, y, a, b: (
                ops.matmul(g, np.swapaxes(b, -1, -2)),
                ops.matmul(np.swapaxes(a, -1, -2), g),
            ),
            sizes=(mkn(3, 4, 5), Product((2, 3, 4), (2, 4, 2))),
            options=({},),
        ),
        sizes=PRODUCTS,
        large=(mkn(70, 300, 90), mkn(257, 64, 65)),
        options=({}, {"alpha": 0.3}, {"alpha": -1.5, "beta": 0.7}),
        regimes=TERMS,
        bench=(*SQUARES, *OBLONGS),
        flops=lambda a, b: 2 * a.shape[0] * a.shape[1] * b.shape[1],
        peers={"numpy": numpy_out(np.matmul), "torch": torch_out("matmul"), "onnxruntime": onnx_node("MatMul")},
    ),
    Case(
        op="linear",
        inputs=layer,
        tolerance=Gamma(lambda x, *_, **__: x.shape[-1] + 8, magnitudes.linear, wide_reference=False),
        why="As matmul; no activation makes an error more than 1.13 times larger, and its own is an ulp or two.",
        grad=Grad(
            wrt=(0, 1, 2),
            backward=lambda ops, g, y, x, weight, bias: (
                ops.matmul(g, weight),
                ops.matmul(g.T, x),
                ops.sum(g, axis=0),
            ),
            sizes=(Layer((3,), 4, 5),),
            options=({},),
        ),
        sizes=LAYERS,
        large=(Layer((64,), 400, 120),),
        options=(*FUSED, {"with_bias": False}),
        regimes=ORDINARY,  # an activation of inf is another matter than the sum
        bench=(Layer((1,), 400, 120), Layer((64,), 400, 120), Layer((64,), 120, 84), Layer((64,), 84, 10)),
        flops=lambda x, weight, bias: 2 * x.size * weight.shape[0],
        peers={
            "numpy": numpy_call(lambda x, weight, bias: x @ weight.T + bias),
            "torch": torch_call(lambda torch, x, weight, bias: torch.nn.functional.linear(x, weight, bias)),
        },
    ),
]

# ---- convolution, pooling --------------------------------------------------------------------------------------------

Pair = int | tuple[int, int]


class Conv(NamedTuple):
    """A size for convolutions."""

    n: int
    channels: int
    height: int
    width: int
    outputs: int
    kernel: Pair = 3
    stride: Pair = 1
    padding: Pair = 0
    dilation: Pair = 1
    groups: int = 1

    @property
    def image(self) -> tuple[int, int, int, int]:
        """The shape of x."""
        return self.n, self.channels, self.height, self.width

    @property
    def weight(self) -> tuple[int, int, int, int]:
        """The shape of weight."""
        kernel = self.kernel if isinstance(self.kernel, tuple) else (self.kernel, self.kernel)
        return self.outputs, self.channels // self.groups, *kernel

    @property
    def result(self) -> tuple[int, ...]:
        """The shape of the result."""
        x, weight = np.zeros((1, *self.image[1:]), np.float32), np.zeros(self.weight, np.float32)
        return self.n, *reference.conv2d(x, weight, **self.options).shape[1:]

    @property
    def options(self) -> dict[str, Any]:
        """The keyword arguments."""
        return {"stride": self.stride, "padding": self.padding, "dilation": self.dilation, "groups": self.groups}


CONVOLUTIONS = (
    Conv(2, 1, 12, 12, 6, 5),
    Conv(2, 6, 9, 9, 16, 5),
    Conv(1, 3, 7, 17, 5, 3, padding=1),
    Conv(2, 4, 8, 35, 17, 3, padding=1),
    Conv(1, 5, 6, 6, 33, 1),
    Conv(2, 3, 9, 11, 4, 3, stride=2, padding=1),
    Conv(2, 4, 9, 8, 6, (3, 2), stride=(2, 1), padding=(0, 1), dilation=(1, 2), groups=2),
    Conv(1, 8, 7, 7, 8, 3, padding=1, groups=8),
    Conv(1, 2, 11, 11, 3, 3, dilation=3),
    Conv(1, 1, 1, 16, 1, (1, 7)),
    Conv(3, 2, 3, 3, 2, 3),
    Conv(0, 2, 5, 5, 3),
)
LENET = (Conv(64, 1, 32, 32, 6, 5), Conv(64, 6, 14, 14, 16, 5))
RESNET = tuple(Conv(32, c, hw, hw, c, 3, padding=1) for c, hw in ((64, 32), (128, 16), (256, 8), (512, 4)))
SMALL_CONVOLUTIONS = (
    Conv(1, 2, 5, 4, 2, 3, padding=1),
    Conv(2, 2, 5, 6, 4, (2, 3), stride=(2, 1), padding=(1, 0), dilation=(1, 2), groups=2),
)


def conv(draw: Draw, size: Conv, with_bias: bool = True, **options: Any) -> Call:
    """conv2d(x, weight, bias, ...)."""
    bias = draw(size.outputs) if with_bias else None
    return call(draw(size.image), draw(size.weight), bias, **size.options, **options)


def conv_flops(size: Conv) -> int:
    """Two for each product."""
    return 2 * int(np.prod(size.result)) * int(np.prod(size.weight[1:]))


class Pool(NamedTuple):
    """A size for pooling."""

    image: tuple[int, int, int, int]
    kernel_size: Pair = 2
    stride: Pair | None = None
    padding: Pair = 0

    @property
    def options(self) -> dict[str, Any]:
        """The keyword arguments."""
        return {"kernel_size": self.kernel_size, "stride": self.stride, "padding": self.padding}


POOLS = (
    Pool((2, 3, 6, 8)),
    Pool((1, 2, 4, 34)),
    Pool((2, 1, 7, 9)),
    Pool((1, 5, 9, 33), 3, 2, 1),
    Pool((2, 2, 8, 7), (3, 2), (1, 2), (1, 0)),
    Pool((1, 1, 16, 16), 3, 1, 1),
    Pool((1, 3, 7, 7), 7),
    Pool((1, 17, 2, 2), 1),
    Pool((0, 3, 4, 4)),
)
POOL_LARGE = (Pool((16, 6, 28, 28)),)
POOL_BENCH = (Pool((64, 6, 28, 28)), Pool((64, 16, 10, 10)), Pool((32, 64, 112, 112), 3, 2, 1))
SMALL_POOLS = (Pool((1, 2, 4, 6)), Pool((1, 1, 6, 5), (3, 2), (2, 1), (1, 0)))


def pool(draw: Draw, size: Pool) -> Call:
    """max_pool2d(x, ...)."""
    return call(draw(size.image), **size.options)


def pool_gradient(draw: Draw, size: Pool) -> Call:
    """max_pool2d_backward(grad, x, ...)."""
    x = draw(size.image)
    return call(draw.normal(reference.max_pool2d(x, **size.options).shape), x, **size.options)


def average_gradient(draw: Draw, size: Pool) -> Call:
    """avg_pool2d_backward(grad, input_shape, ...)."""
    shape = reference.avg_pool2d(np.zeros(size.image, np.float32), **size.options).shape
    return call(draw(shape), size.image, **size.options)


def area(_: Any, *args: Any, kernel_size: Pair = 1, **__: Any) -> int:
    """How many elements a window has, and so at most how many windows meet in one."""
    height, width = kernel_size if isinstance(kernel_size, tuple) else (kernel_size, kernel_size)
    return height * width + 2


def convolution(op: str, why: str, grad: Grad | str, **changes: Any) -> Case:
    """A convolution or one of its gradients."""
    row: dict[str, Any] = {"sizes": CONVOLUTIONS, "regimes": ORDINARY, "bench": (*LENET, *RESNET)}
    return Case(op=op, why=why, grad=grad, large=(Conv(16, 6, 14, 14, 16, 5),), **row | changes)


def pooling(op: str, tolerance: Tolerance, why: str, grad: Grad | str, **changes: Any) -> Case:
    """A pooling or its gradient."""
    row: dict[str, Any] = {"inputs": pool, "sizes": POOLS, "large": POOL_LARGE, "bench": POOL_BENCH}
    return Case(op=op, tolerance=tolerance, why=why, grad=grad, **row | changes)


IMAGES = [
    convolution(
        "conv2d",
        "A chain of fused multiply-adds over channels and taps stays within its γ bound; an activation as in linear.",
        Grad(
            wrt=(0, 1, 2),
            backward=lambda ops, g, y, x, weight, bias, **o: (
                ops.conv2d_backward_input(g, weight, x.shape, **o),
                ops.conv2d_backward_weight(g, x, weight.shape, **o),
                ops.sum(g, axis=(0, 2, 3)),
            ),
            sizes=SMALL_CONVOLUTIONS,
            options=({},),
        ),
        inputs=conv,
        tolerance=Gamma(lambda x, weight, *_, **__: weight[0].size + 8, magnitudes.conv2d, wide_reference=False),
        options=({}, {"activation": "relu"}, {"activation": "tanh"}, {"activation": "gelu"}, {"with_bias": False}),
        flops=lambda x, weight, bias, **o: 2 * reference.conv2d(x[:1], weight, **o).size * len(x) * weight[0].size,
        peers={
            "torch": torch_call(lambda torch, x, weight, bias, **o: torch.nn.functional.conv2d(x, weight, bias, **o))
        },
    ),
    convolution(
        "conv2d_backward_input",
        "A sum over outputs and taps stays within its γ bound.",
        IS_A_GRADIENT,
        inputs=lambda draw, size: call(draw(size.result), draw(size.weight), size.image, **size.options),
        tolerance=Gamma(
            lambda grad, weight, *_, **__: weight.size // max(weight.shape[1], 1) + 4,
            magnitudes.conv2d_backward_input,
            wide_reference=False,
        ),
        flops=lambda grad, weight, *_, **__: 2 * grad.size * weight[0].size,
        peers={
            "torch": torch_call(
                lambda torch, grad, weight, shape, **o: torch.nn.grad.conv2d_input(shape, weight, grad, **o)
            )
        },
    ),
    convolution(
        "conv2d_backward_weight",
        "A sum over the batch and the image stays within its γ bound.",
        IS_A_GRADIENT,
        inputs=lambda draw, size: call(draw(size.result), draw(size.image), size.weight, **size.options),
        tolerance=Gamma(
            lambda grad, x, *_, **__: grad.size // max(grad.shape[1], 1) + 4,
            magnitudes.conv2d_backward_weight,
            wide_reference=False,
        ),
        flops=lambda grad, x, shape, **__: 2 * grad.size * int(np.prod(shape[1:])),
        peers={
            "torch": torch_call(lambda torch, grad, x, shape, **o: torch.nn.grad.conv2d_weight(x, shape, grad, **o))
        },
    ),
    pooling(
        "max_pool2d",
        Exact(),
        CHOOSES,
        Grad(sizes=SMALL_POOLS),
        peers={"torch": torch_call(lambda torch, x, **o: torch.nn.functional.max_pool2d(x, **o))},
    ),
    pooling(
        "max_pool2d_backward",
        Gamma(area, magnitudes.max_pool2d_backward),
        "Overlapping windows may choose the same element, and their gradients add.",
        IS_A_GRADIENT,
        inputs=pool_gradient,
    ),
    pooling(
        "avg_pool2d",
        Gamma(area, magnitudes.avg_pool2d),
        SUM,
        Grad(backward=lambda ops, g, y, x, **o: ops.avg_pool2d_backward(g, x.shape, **o), sizes=SMALL_POOLS),
        regimes=TERMS,
        peers={"torch": torch_call(lambda torch, x, **o: torch.nn.functional.avg_pool2d(x, **o))},
    ),
    pooling(
        "avg_pool2d_backward",
        Gamma(area, magnitudes.avg_pool2d_backward),
        "Overlapping windows share elements, and their gradients add.",
        IS_A_GRADIENT,
        inputs=average_gradient,
        regimes=TERMS,
    ),
    pooling(
        "global_avg_pool2d",
        Gamma(lambda x: x[0, 0].size + 2, lambda x: magnitudes.mean(x, (2, 3), keepdims=True)),
        SUM,
        Grad(backward=lambda ops, g, y, x: ops.global_avg_pool2d_backward(g, x.shape)),
        inputs=one,
        sizes=((2, 3, 1, 1), (1, 17, 2, 2), (2, 3, 5, 7), (1, 2, 8, 33)),
        large=((64, 32, 8, 8),),
        regimes=TERMS,
        bench=((32, 512, 4, 4), (64, 64, 32, 32)),
        peers={"torch": torch_call(lambda torch, x: torch.nn.functional.adaptive_avg_pool2d(x, 1))},
    ),
    pooling(
        "global_avg_pool2d_backward",
        Ulp(1),
        "One division, or one multiplication by a rounded reciprocal.",
        IS_A_GRADIENT,
        inputs=lambda draw, shape: call(draw((*shape[:2], 1, 1)), shape),
        sizes=((2, 3, 1, 1), (1, 17, 2, 2), (2, 3, 5, 7), (1, 2, 8, 33)),
        large=((64, 32, 8, 8),),
        bench=((32, 512, 4, 4), (64, 64, 32, 32)),
    ),
]

# ---- optimizers ------------------------------------------------------------------------------------------------------

IN_PLACE = "a step of training; no gradient flows through it"
IN_ITS_PLACE = "Each array is a short sum of products, bounded by its terms; options are rounded to the arrays' type."
WEIGHTS = (4096, 2**20, 2**24)


def sgd(draw: Draw, shape: Shape, **options: Any) -> Call:
    """sgd_step(param, grad, momentum_buffer), without the buffer where there is no momentum."""
    return call(draw(shape), draw(shape), draw(shape) if options else None, **options)


def adam(draw: Draw, shape: Shape, **options: Any) -> Call:
    """adam_step(param, grad, exp_avg, exp_avg_sq, step)."""
    return call(draw(shape), draw(shape), draw(shape), draw.positive(shape), 3, **options)


def optimizer(op: str, inputs: Callable[..., Call], tolerance: tuple[Tolerance, ...], **changes: Any) -> Case:
    """A step in place."""
    row: dict[str, Any] = {"sizes": LANES[:-3], "large": SHARED, "regimes": ORDINARY, "bench": WEIGHTS}
    layouts = ("contiguous", "misaligned")
    return Case(
        op=op, inputs=inputs, tolerance=tolerance, why=IN_ITS_PLACE, grad=IN_PLACE, layouts=layouts, **row | changes
    )


def fused_adam(name: str, weight_decay: float, torch: Any, *args: Any) -> Any:
    """PyTorch's fused step, on lists of one."""
    *arrays, step = args
    param, grad, exp_avg, exp_avg_sq = ([array] for array in arrays)
    options = {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": weight_decay}
    steps = [torch.tensor(float(step))]
    getattr(torch, name)(
        param,
        grad,
        exp_avg,
        exp_avg_sq,
        [],
        steps,
        amsgrad=False,
        maximize=False,
        grad_scale=None,
        found_inf=None,
        **options,
    )
    return param[0]


def adam_tolerance() -> tuple[Tolerance, ...]:
    """For param, exp_avg and exp_avg_sq."""
    return (
        Gamma(24, magnitudes.adam_param),
        Gamma(8, magnitudes.adam_average),
        Gamma(10, magnitudes.adam_square),
    )


OPTIMIZERS = [
    optimizer(
        "sgd_step",
        sgd,
        (Gamma(12, magnitudes.sgd_param), Gamma(8, magnitudes.sgd_buffer)),
        mutates=(0, 2),
        options=(
            {},
            {"momentum": 0.9},
            {"momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01},
            {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01, "lr": 0.1},
            {"momentum": 0.9, "dampening": 0.3, "first": True},
        ),
        peers={"numpy": numpy_call(lambda param, grad, buffer: np.subtract(param, 0.01 * grad, out=param))},
    ),
    optimizer(
        "adam_step",
        adam,
        adam_tolerance(),
        mutates=(0, 2, 3),
        options=({}, {"weight_decay": 0.1, "lr": 0.02}),
        peers={"torch": torch_call(partial(fused_adam, "_fused_adam_", 0.0))},
    ),
    optimizer(
        "adamw_step",
        adam,
        adam_tolerance(),
        mutates=(0, 2, 3),
        options=({}, {"weight_decay": 0.1, "lr": 0.02}),
        peers={"torch": torch_call(partial(fused_adam, "_fused_adamw_", 0.01))},
    ),
]

CASES: dict[str, Case] = {
    case.op: case for case in (*ELEMENTWISE, *ACTIVATIONS, *REDUCTIONS, *ROW_OPS, *LINEAR, *IMAGES, *OPTIMIZERS)
}


def select(ops: tuple[str, ...] | None = None, families: tuple[str, ...] | None = None) -> list[Case]:
    """The rows of these operations or families, all by default; `KeyError` for a name that has none."""
    known = {case.family for case in CASES.values()}
    for family in families or ():
        if family not in known:
            raise KeyError(f"no family {family!r}; there are {', '.join(sorted(known))}")
    rows = [CASES[op] for op in ops] if ops is not None else list(CASES.values())
    return [row for row in rows if families is None or row.family in families]
