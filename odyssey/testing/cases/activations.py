"""Activations and their gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

from odyssey.testing import magnitudes
from odyssey.testing.call import Call, call
from odyssey.testing.case import Case, Grad
from odyssey.testing.cases.common import (
    CHOOSES,
    COMPOSED,
    CROSSES_ZERO,
    IS_A_GRADIENT,
    LANES,
    ONE_ULP,
    POLYNOMIAL,
    PRODUCT,
    ROUNDS_ONCE,
    SHARED,
    STREAMS,
    SUM,
    TERMS,
    THREE_ULP,
    TWO_ULP,
    Options,
    aten,
    backward,
    gradient_of,
    slope,
    two,
)
from odyssey.testing.cases.elementwise import unary
from odyssey.testing.draw import Draw, Shape
from odyssey.testing.peers import numpy_call, numpy_out, torch_call, torch_out
from odyssey.testing.tolerance import ByOption, Exact, Gamma, Tolerance, Ulp

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
    Case(
        op="swiglu",
        inputs=two,
        tolerance=Gamma(10, magnitudes.result_of("swiglu"), underflow=lambda gate, up: np.abs(up)),
        why=COMPOSED,
        grad=Grad(wrt=(0, 1), backward=lambda ops, g, y, gate, up: ops.swiglu_backward(g, gate, up)),
        sizes=LANES,
        large=SHARED,
        bench=STREAMS,
        peers={"torch": torch_call(lambda torch, gate, up: torch.nn.functional.silu(gate) * up)},
    ),
    Case(
        op="swiglu_backward",
        inputs=lambda draw, shape: call(draw(shape), draw(shape), draw(shape)),
        tolerance=(
            Gamma(12, magnitudes.swiglu_backward, underflow=lambda grad, *_: np.abs(grad)),
            Gamma(12, magnitudes.swiglu_up, underflow=lambda grad, *_: np.abs(grad)),
        ),
        why=CROSSES_ZERO,
        grad=IS_A_GRADIENT,
        sizes=LANES,
        large=SHARED,
        regimes=TERMS,
        bench=STREAMS,
    ),
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
