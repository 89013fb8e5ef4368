"""Batch, group and instance norm, their gradients, and folding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from odyssey.testing import magnitudes
from odyssey.testing.call import Call, call
from odyssey.testing.case import Case, Grad
from odyssey.testing.cases.common import IS_A_GRADIENT, ORDINARY, TERMS, Options
from odyssey.testing.cases.norms import AFFINE, FINITE
from odyssey.testing.draw import Draw
from odyssey.testing.peers import torch_call
from odyssey.testing.tolerance import Gamma, Tolerance, Ulp
from odyssey.typing import Array

Dims = tuple[int, ...]


class Groups(NamedTuple):
    """A size for group norm."""

    shape: Dims
    groups: int


BATCHES: tuple[Dims, ...] = (
    (2, 3, 4, 5), (3, 4, 17), (1, 2, 33), (4, 6), (5, 17), (2, 1, 1, 16), (3, 5, 2, 2), (2, 33, 3), (0, 4, 3), (2, 3, 0)
)  # fmt: skip
GROUPS = tuple(
    Groups(shape, groups)
    for shape, groups in (
        ((2, 4, 3, 5), 2), ((3, 6, 7), 3), ((1, 2, 33), 1), ((4, 6), 2), ((2, 32, 1), 2), ((2, 3, 4, 4), 3),
        ((2, 4, 130), 2), ((0, 4, 3), 2), ((2, 4, 0), 2),
    )
)  # fmt: skip
IMAGES: tuple[Dims, ...] = tuple(size.shape for size in GROUPS if len(size.shape) > 2)
BENCH = ((32, 64, 32, 32), (32, 256, 8, 8), (32, 64, 112, 112))
MODES: Options = ({}, {"affine": False}, {"training": True}, {"training": True, "affine": False})
SMALL: tuple[Dims, ...] = ((3, 2, 4), (2, 3, 2, 3), (5, 3))


def channels(draw: Draw, shape: Dims) -> Array:
    """An entry for each channel, ordinary whatever the regime."""
    return draw.normal(shape[1])


def grouped(draw: Draw, size: Groups, affine: bool = True) -> Call:
    """group_norm(x, num_groups, weight, bias)."""
    more = (channels(draw, size.shape), channels(draw, size.shape)) if affine else ()
    return call(draw(size.shape), size.groups, *more)


def grouped_gradient(draw: Draw, size: Groups, affine: bool = True) -> Call:
    """group_norm_backward(grad, x, num_groups, weight)."""
    return call(draw(size.shape), *grouped(draw, size, affine).args[: 3 if affine else 2])


def imaged(draw: Draw, shape: Dims, affine: bool = True) -> Call:
    """instance_norm(x, weight, bias)."""
    return call(draw(shape), *((channels(draw, shape), channels(draw, shape)) if affine else ()))


def imaged_gradient(draw: Draw, shape: Dims, affine: bool = True) -> Call:
    """instance_norm_backward(grad, x, weight)."""
    return call(draw(shape), *imaged(draw, shape, affine).args[: 2 if affine else 1])


def batched(draw: Draw, shape: Dims, affine: bool = True, training: bool = False) -> Call:
    """batch_norm(x, running_mean, running_var, weight, bias, training)."""
    more = (channels(draw, shape), channels(draw, shape)) if affine else (None, None)
    return call(draw(shape), channels(draw, shape), _variances(draw, shape), *more, training)


def batched_gradient(draw: Draw, shape: Dims, affine: bool = True, training: bool = False) -> Call:
    """batch_norm_backward(grad, x, running_mean, running_var, weight, training)."""
    weight = channels(draw, shape) if affine else None
    return call(draw(shape), draw(shape), channels(draw, shape), _variances(draw, shape), weight, training)


def _variances(draw: Draw, shape: Dims) -> Array:
    return np.asarray(np.abs(channels(draw, shape)) + draw.dtype.type(0.25))


def folded(draw: Draw, shape: Dims) -> Call:
    """fold_batch_norm(weight, bias, running_mean, running_var, bn_weight, bn_bias)."""
    outputs = (1, shape[0])
    rows = [channels(draw, outputs) for _ in range(4)]
    return call(draw(shape), rows[0], rows[1], _variances(draw, outputs), rows[2], rows[3])


# ---- tolerances: those of layer_norm, of arrays whose last axis is a group -------------------------------------------


def spread(values: Array | None, x: Array) -> Array | None:
    """An entry for each channel, in x's axes."""
    return None if values is None else values.reshape(-1, *[1] * (x.ndim - 2))


def elements(x: Array, groups: int) -> int:
    """How many elements a group has."""
    return int(x.size // max(x.shape[0] * groups, 1))


def as_groups(x: Array, groups: int) -> Array:
    """(N, groups, elements)."""
    return x.reshape(x.shape[0], groups, elements(x, groups))


def _wide(values: Array | None, x: Array, groups: int) -> Array | None:
    """Weights or biases, an entry for each element of a group."""
    return None if values is None else as_groups(np.broadcast_to(spread(values, x), x.shape), groups)  # type: ignore[arg-type]


def over_groups(factor: Callable[..., Array], x: Array, groups: int, weight: Array | None) -> Array:
    """A factor of each element, from groups and weights."""
    z = as_groups(x, groups)
    return np.broadcast_to(factor(z, _wide(weight, x, groups)), z.shape).reshape(x.shape)


def group_norm(x: Array, groups: int, weight: Array | None = None, bias: Array | None = None) -> Array:
    """As layer_norm."""
    found = magnitudes.layer_norm(as_groups(x, groups), _wide(weight, x, groups), _wide(bias, x, groups))
    return np.broadcast_to(found, as_groups(x, groups).shape).reshape(x.shape)


def group_norm_backward(grad: Array, x: Array, groups: int, weight: Array | None = None) -> Array:
    """As layer_norm_backward."""
    return magnitudes.layer_norm_backward(
        as_groups(grad, groups), as_groups(x, groups), _wide(weight, x, groups)
    ).reshape(x.shape)


def group_norm_weight(grad: Array, x: Array, groups: int, *_: Any) -> Array:
    """Σ|grad| (|x| + mean|x|) / √(var + eps) of each channel."""
    z = as_groups(x, groups)
    terms = 2 * magnitudes.size_of(as_groups(grad, groups)) * magnitudes.apart(z) * magnitudes.norm_factor(z)
    return np.asarray(np.sum(terms.reshape(x.shape), axis=but_channels(x)))


def but_channels(x: Array) -> Dims:
    """All axes but that of the channels."""
    return (0, *range(2, x.ndim))


def bias_terms(grad: Array, x: Array, *_: Any, **__: Any) -> Array:
    """Σ|grad| of each channel."""
    return np.asarray(np.sum(magnitudes.size_of(grad), axis=but_channels(grad)))


def _count(x: Array) -> int:
    return int(x.size // max(x.shape[1], 1))


def batch_norm(x: Array, mean: Array, var: Array, weight: Array | None, bias: Array | None, training: bool) -> Array:
    """As layer_norm over a channel; with statistics given |weight| / √(var + eps) · (|x| + |mean|) + |bias|."""
    if training:
        return magnitudes.layer_norm(x, spread(weight, x), spread(bias, x), axes=but_channels(x))
    start = 0 if bias is None else magnitudes.size_of(spread(bias, x))  # type: ignore[arg-type]
    return np.asarray(_given_factor(x, var, weight) * (magnitudes.size_of(x) + np.abs(spread(mean, x))) + start)  # type: ignore[arg-type]


def _given_factor(x: Array, var: Array, weight: Array | None) -> Array:
    factor = 1 / np.sqrt(magnitudes.size_of(var) + 1e-5)
    return np.asarray(spread(factor if weight is None else factor * magnitudes.size_of(weight), x))


def batch_factor(x: Array, mean: Array, var: Array, weight: Array | None, bias: Any, training: bool) -> Array:
    """What an error in x - mean is multiplied with."""
    if not training:
        return _given_factor(x, var, weight)
    return magnitudes.norm_factor(x, spread(weight, x), axes=but_channels(x))


def running_mean(x: Array, mean: Array, *_: Any) -> Array:
    """0.9 |running| + 0.1 Σ|x| / n."""
    total = np.sum(magnitudes.size_of(x), axis=but_channels(x))
    return np.asarray(0.9 * np.abs(mean) + 0.1 * total / max(_count(x), 1))


def running_var(x: Array, mean: Array, var: Array, *_: Any) -> Array:
    """0.9 |running| + 0.1 Σ(|x| + mean|x|)² / (n - 1)."""
    axes = but_channels(x)
    squares = np.sum(magnitudes.apart(x, axes) ** 2, axis=axes)
    return np.asarray(0.9 * np.abs(var) + 0.1 * squares / max(_count(x) - 1, 1))


def batch_norm_backward(grad: Array, x: Array, mean: Array, var: Array, weight: Array | None, training: bool) -> Array:
    """As layer_norm_backward over a channel; with statistics given |result|."""
    if training:
        return magnitudes.layer_norm_backward(grad, x, spread(weight, x), axes=but_channels(x))
    return np.asarray(_given_factor(x, var, weight) * magnitudes.size_of(grad))


def batch_norm_weight(grad: Array, x: Array, mean: Array, var: Array, weight: Any, training: bool) -> Array:
    """Σ|grad| (|x| + |mean|) / √(var + eps) of each channel."""
    axes = but_channels(x)
    if training:
        return magnitudes.norm_backward_weight(grad, x, axes=axes, over=axes)
    distance = magnitudes.size_of(x) + np.abs(spread(mean, x))  # type: ignore[arg-type]
    return np.asarray(np.sum(magnitudes.size_of(grad) * distance * _given_factor(x, var, None), axis=axes))


def largest(grad: Array, *_: Any, **__: Any) -> Any:
    """What an underflow in a term is multiplied with."""
    return np.max(magnitudes.size_of(grad)) if grad.size else 1


def case(op: str, tolerance: Tolerance | tuple[Tolerance, ...], why: str, grad: Grad | str, **changes: Any) -> Case:
    """A norm of images or its gradient."""
    row: dict[str, Any] = {"options": AFFINE, "regimes": TERMS, "bench": BENCH}
    return Case(op=op, tolerance=tolerance, why=why, grad=grad, **row | changes)


CANCELS = "x - mean cancels, so the error is bounded by |x| + mean|x|; the variance adds half its own."
SUMS = "Two sums over the group meet in each element; the gradients of weight and bias are sums over the batch."
LARGE_GROUPS = (Groups((16, 8, 14, 14), 4), Groups((3, 2, 7, 5_003), 1))
BENCH_GROUPS = tuple(Groups(shape, 8) for shape in BENCH)

NORMALISE = [
    case(
        "group_norm",
        Gamma(
            lambda x, groups, *_: elements(x, groups) + 12,
            group_norm,
            underflow=lambda x, groups, weight=None, *_: over_groups(magnitudes.norm_factor, x, groups, weight),
        ),
        CANCELS,
        Grad(
            wrt=(0, 2, 3),
            backward=lambda ops, g, y, x, groups, weight, bias: ops.group_norm_backward(g, x, groups, weight),
            sizes=(Groups((2, 4, 3), 2), Groups((3, 6), 3), Groups((1, 2, 2, 3), 1)),
            options=({},),
        ),
        inputs=grouped,
        sizes=GROUPS,
        large=LARGE_GROUPS,
        bench=BENCH_GROUPS,
        peers={"torch": torch_call(lambda torch, x, groups, w, b: torch.nn.functional.group_norm(x, groups, w, b))},
    ),
    case(
        "group_norm_backward",
        (
            Gamma(
                lambda grad, x, groups, *_: 3 * elements(x, groups) + 20,
                group_norm_backward,
                underflow=lambda grad, x, groups, weight=None: over_groups(
                    magnitudes.backward_factor, x, groups, weight
                ),
            ),
            Gamma(
                lambda grad, x, groups, *_: _count(x) + elements(x, groups) + 12, group_norm_weight, underflow=largest
            ),
            Gamma(lambda grad, x, *_: _count(x) + 2, bias_terms),
        ),
        SUMS,
        IS_A_GRADIENT,
        inputs=grouped_gradient,
        sizes=GROUPS,
        large=LARGE_GROUPS,
        bench=BENCH_GROUPS,
        regimes=FINITE,
    ),
    case(
        "instance_norm",
        Gamma(
            lambda x, *_: elements(x, x.shape[1]) + 12,
            lambda x, *affine: group_norm(x, x.shape[1], *affine),
            underflow=lambda x, weight=None, *_: over_groups(magnitudes.norm_factor, x, x.shape[1], weight),
        ),
        CANCELS,
        Grad(
            wrt=(0, 1, 2),
            backward=lambda ops, g, y, x, weight, bias: ops.instance_norm_backward(g, x, weight),
            sizes=((2, 3, 4), (1, 2, 3, 3)),
            options=({},),
        ),
        inputs=imaged,
        sizes=IMAGES,
        large=((16, 8, 14, 14), (3, 2, 7, 5_003)),
        peers={"torch": torch_call(lambda torch, x, w, b: torch.nn.functional.instance_norm(x, weight=w, bias=b))},
    ),
    case(
        "instance_norm_backward",
        (
            Gamma(
                lambda grad, x, *_: 3 * elements(x, x.shape[1]) + 20,
                lambda grad, x, *weight: group_norm_backward(grad, x, x.shape[1], *weight),
                underflow=lambda grad, x, weight=None: over_groups(magnitudes.backward_factor, x, x.shape[1], weight),
            ),
            Gamma(
                lambda grad, x, *_: 2 * _count(x) + 12,
                lambda grad, x, *_: group_norm_weight(grad, x, x.shape[1]),
                underflow=largest,
            ),
            Gamma(lambda grad, x, *_: _count(x) + 2, bias_terms),
        ),
        SUMS,
        IS_A_GRADIENT,
        inputs=imaged_gradient,
        sizes=IMAGES,
        large=((16, 8, 14, 14), (3, 2, 7, 5_003)),
        regimes=FINITE,
    ),
    case(
        "batch_norm",
        (
            Gamma(lambda x, *_: _count(x) + 12, batch_norm, underflow=batch_factor),
            Gamma(lambda x, *_: _count(x) + 6, running_mean),
            Gamma(lambda x, *_: 2 * _count(x) + 12, running_var),
        ),
        CANCELS,
        Grad(
            wrt=(0, 3, 4),
            backward=lambda ops, g, y, x, mean, var, weight, bias, training: ops.batch_norm_backward(
                g, x, mean, var, weight, training
            ),
            sizes=SMALL,
            options=({}, {"training": True}),
        ),
        inputs=batched,
        sizes=BATCHES,
        large=((16, 8, 14, 14), (3, 2, 7, 5_003), (1_003, 97)),
        options=MODES,
        mutates=(1, 2),
        bench=(*BENCH, (256, 1024)),
        peers={"torch": torch_call(lambda torch, *args: torch.nn.functional.batch_norm(*args))},
    ),
    case(
        "batch_norm_backward",
        (
            Gamma(
                lambda grad, x, *_: 3 * _count(x) + 20,
                batch_norm_backward,
                underflow=lambda grad, x, mean, var, weight, training: (
                    magnitudes.backward_factor(x, spread(weight, x), axes=but_channels(x))
                    if training
                    else _given_factor(x, var, weight)
                ),
            ),
            Gamma(lambda grad, x, *_: 2 * _count(x) + 12, batch_norm_weight, underflow=largest),
            Gamma(lambda grad, x, *_: _count(x) + 2, bias_terms),
        ),
        SUMS,
        IS_A_GRADIENT,
        inputs=batched_gradient,
        sizes=BATCHES,
        large=((16, 8, 14, 14), (3, 2, 7, 5_003), (1_003, 97)),
        options=MODES,
        regimes=FINITE,
        bench=(*BENCH, (256, 1024)),
    ),
    case(
        "fold_batch_norm",
        (
            Ulp(1, float64=3),
            Gamma(
                6,
                lambda weight, bias, mean, var, factor, shift: (
                    (np.abs(bias) + np.abs(mean)) * np.abs(factor) / np.sqrt(var + 1e-5) + np.abs(shift)
                ),
            ),
        ),
        "A root, a division and a product, in float64; the bias less the mean cancels.",
        "folded once, for inference, where nothing is differentiated",
        inputs=folded,
        sizes=((1, 1), (3, 17), (2, 3, 4, 5), (5, 2, 3, 3), (0, 4)),
        large=((512, 512, 3, 3),),
        options=({},),
        regimes=ORDINARY,
        bench=((64, 64, 3, 3), (512, 512, 3, 3)),
    ),
]
