"""What the rows of many families share: sizes, reasons, bounds, and how arguments are drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from odyssey import reference
from odyssey.testing.call import Call, call
from odyssey.testing.case import Case
from odyssey.testing.draw import Draw, Shape
from odyssey.testing.peers import Peer, torch_call
from odyssey.testing.tolerance import Gamma, Ulp

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
