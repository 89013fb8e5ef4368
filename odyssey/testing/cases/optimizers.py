"""In-place steps of optimizers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from odyssey.testing import magnitudes
from odyssey.testing.call import Call, call
from odyssey.testing.case import Case
from odyssey.testing.cases.common import LANES, ORDINARY, SHARED
from odyssey.testing.draw import Draw, Shape
from odyssey.testing.magnitudes import size_of
from odyssey.testing.peers import numpy_call, torch_call
from odyssey.testing.tolerance import Gamma, Tolerance
from odyssey.typing import Array

IN_PLACE = "a step of training; no gradient flows through it"
IN_ITS_PLACE = "Each array is a short sum of products, bounded by its terms; options are rounded to the arrays' type."
WEIGHTS = (4096, 2**20, 2**24)


def sgd(draw: Draw, shape: Shape, **options: Any) -> Call:
    """sgd_step(param, grad, momentum_buffer), without the buffer where there is no momentum."""
    return call(draw(shape), draw(shape), draw(shape) if options else None, **options)


def adam(draw: Draw, shape: Shape, **options: Any) -> Call:
    """adam_step(param, grad, exp_avg, exp_avg_sq, step)."""
    return call(draw(shape), draw(shape), draw(shape), draw.positive(shape), 3, **options)


def rmsprop(draw: Draw, shape: Shape, centered: bool = False, **options: Any) -> Call:
    """rmsprop_step(param, grad, square_avg, grad_avg, momentum_buffer), the latter two where the options want them."""
    param, grad, square, average = draw(shape), draw(shape), draw.positive(shape), None
    if centered:  # a mean of squares is no less than the mean's square
        average = draw(shape)
        square = np.asarray(square + average * average)
    buffer = draw(shape) if options.get("momentum") else None
    return call(param, grad, square, average, buffer, **options)


def adagrad(draw: Draw, shape: Shape, **options: Any) -> Call:
    """adagrad_step(param, grad, state_sum, step)."""
    return call(draw(shape), draw(shape), draw.positive(shape), 3, **options)


def lars(draw: Draw, shape: Shape, **options: Any) -> Call:
    """lars_step(param, grad, momentum_buffer), without the buffer where there is no momentum."""
    return call(draw(shape), draw(shape), draw(shape) if options.get("momentum") else None, **options)


class RmspropState(Tolerance):
    """For an array of the state that is there with some options only: the third result, average or buffer."""

    unit = "of the bound"

    def limit(self, dtype: np.dtype[Any]) -> float:  # noqa: D102
        return 1

    def errors(self, fast: Array, reference: Array, call: Call) -> Array:  # noqa: D102
        averaged = call.args[3] is not None
        tolerance = Gamma(12, magnitudes.rmsprop_average) if averaged else Gamma(30, magnitudes.rmsprop_buffer)
        return tolerance.errors(fast, reference, call)

    def __str__(self) -> str:
        return "γ bound"


def optimizer(op: str, inputs: Callable[..., Call], tolerance: tuple[Tolerance, ...], **changes: Any) -> Case:
    """A step in place."""
    row: dict[str, Any] = {"sizes": LANES[:-3], "large": SHARED, "regimes": ORDINARY, "bench": WEIGHTS}
    row |= {"layouts": ("contiguous", "misaligned"), "why": IN_ITS_PLACE}
    return Case(op=op, inputs=inputs, tolerance=tolerance, grad=IN_PLACE, **row | changes)


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
    optimizer(
        "rmsprop_step",
        rmsprop,
        (
            Gamma(30, magnitudes.rmsprop_param),
            Gamma(12, magnitudes.rmsprop_square),
            RmspropState(),
            Gamma(30, magnitudes.rmsprop_buffer),
        ),
        mutates=(0, 2, 3, 4),
        options=(
            {},
            {"momentum": 0.9, "weight_decay": 0.01},
            {"centered": True, "alpha": 0.9},
            {"centered": True, "momentum": 0.9, "lr": 0.1},
        ),
    ),
    optimizer(
        "adagrad_step",
        adagrad,
        (Gamma(24, magnitudes.adagrad_param), Gamma(10, magnitudes.adagrad_sum)),
        mutates=(0, 2),
        options=({}, {"lr_decay": 0.1, "weight_decay": 0.01}),
    ),
    optimizer(
        "lars_step",
        lars,
        (Gamma(300, magnitudes.lars_param), Gamma(300, magnitudes.lars_buffer)),
        mutates=(0, 2),
        options=({}, {"momentum": 0.9, "weight_decay": 0.01}),
        why="A short sum of products, with a rate from two norms that are within 71 roundings each.",
    ),
    optimizer(
        "clip_grad_norm",
        lambda draw, shape: call(draw((3, *(shape if isinstance(shape, tuple) else (shape,)))), 1.5),
        (
            Gamma(80, lambda grads, *_: np.sqrt(np.sum(size_of(grads) ** 2))),
            Gamma(90, lambda grads, *_: size_of(grads)),
        ),
        mutates=(0,),
        layouts=("contiguous", "misaligned", "strided", "padded_rows", "reversed", "fortran"),
        why="A norm's 71 roundings, one more for each array, and one for the factor.",
        bench=((4, 2**20),),
    ),
]
