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
from odyssey.testing.peers import numpy_call, torch_call
from odyssey.testing.tolerance import Gamma, Tolerance

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
