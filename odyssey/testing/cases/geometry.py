"""Distances between points, and their gradients."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from odyssey.reference import geometry as definition
from odyssey.testing.call import Call, call
from odyssey.testing.case import Case, Grad
from odyssey.testing.cases.common import IS_A_GRADIENT, ORDINARY, TERMS, Options
from odyssey.testing.draw import Draw
from odyssey.testing.peers import numpy_call, torch_call
from odyssey.testing.tolerance import Gamma
from odyssey.typing import Array


class Points(NamedTuple):
    """The shapes of x and y."""

    x: tuple[int, ...]
    y: tuple[int, ...]


def rows(*shape: int) -> Points:
    """Row to row."""
    return Points(shape, shape)


def to_one(*shape: int) -> Points:
    """All rows to one point."""
    return Points(shape, shape[-1:])


ROWS = (
    *(rows(n) for n in (1, 7, 16, 17)),
    *(rows(5, n) for n in (1, 8, 15, 33, 130)),
    *(to_one(18, n) for n in (2, 16, 31, 200)),
    Points((9,), (3, 9)),
    rows(2, 3, 5),
    rows(0, 4),
    to_one(0, 4),
)
LARGE = (rows(1_003, 97), to_one(1_003, 97), rows(3, 10_007))
PAIRS = (
    *(Points((m, n), (k, n)) for m, k, n in ((1, 1, 1), (5, 3, 7), (7, 18, 16), (17, 33, 31), (2, 5, 200), (0, 3, 4))),
    Points((3, 4), (0, 4)),
)
SMALL = (rows(3, 5), to_one(4, 3), Points((4,), (2, 4)))
BENCH = (to_one(1000, 1024), rows(1000, 1024))
FINITE = ("normal", "lognormal")


# ---- arguments -------------------------------------------------------------------------------------------------------


def anywhere(draw: Draw, size: Points, **options: Any) -> Call:
    """distance(x, y)."""
    return call(draw(size.x), draw(size.y), **options)


def inside(draw: Draw, shape: tuple[int, ...], c: float = 1.0, far: float = 0.9999) -> Array:
    """Points of the ball, most of them near its boundary, the farthest at `far` of the radius."""
    values = draw(shape).astype(np.float64).reshape(-1, shape[-1])
    # Lengths by math.fsum: the values must not depend on how the machine adds.
    lengths = np.array([math.sqrt(math.fsum(v * v for v in row.tolist())) or 1.0 for row in values])
    share = draw.rng.random(len(values))
    radii = far * (1 - share * share * share) / math.sqrt(c)
    with np.errstate(all="ignore"):  # special values stay what they are
        return np.asarray((values * (radii / lengths)[:, np.newaxis]).reshape(shape).astype(draw.dtype))


def in_the_ball(draw: Draw, size: Points, c: float = 1.0, **options: Any) -> Call:
    """distance(x, y) for points of the ball; with outside="inf" some are not."""
    far = 1.3 if "outside" in options else 0.9999
    return call(inside(draw, size.x, c, far), inside(draw, size.y, c, far), c=c, **options)


def well_inside(draw: Draw, size: Points, c: float = 1.0, **options: Any) -> Call:
    """Where differences are not too coarse for the slopes."""
    return call(inside(draw, size.x, c, 0.7), inside(draw, size.y, c, 0.7), c=c, **options)


def with_grad(inputs: Callable[..., Call]) -> Callable[..., Call]:
    """f(grad, x, y) of distances row by row."""

    def drawn(draw: Draw, size: Points, **options: Any) -> Call:
        given = inputs(draw, size, **options)
        shape = np.broadcast_shapes(size.x, size.y)[:-1]
        return call(np.asarray(draw.normal(shape)), *given.args, **given.kwargs)

    return drawn


def paired(inputs: Callable[..., Call]) -> Callable[..., Call]:
    """f(grad, x, y) of all pairs."""

    def drawn(draw: Draw, size: Points, metric: str, **options: Any) -> Call:
        given = inputs(draw, size, **options)
        grad = draw.normal((size.x[0], size.y[0]))
        return call(grad, *given.args, metric=metric, **given.kwargs)

    return drawn


def of_metric(draw: Draw, size: Points, metric: str = "euclidean", alone: bool = False, **options: Any) -> Call:
    """pairwise_distance(x, y), in the ball for its metric; `alone`: pairwise_distance(x)."""
    drawn = (in_the_ball if metric == "poincare" else anywhere)(draw, size, **options)
    args = drawn.args[:1] if alone else drawn.args
    return call(*args, metric=metric, **drawn.kwargs)


def gradient_of_metric(draw: Draw, size: Points, metric: str = "euclidean", **options: Any) -> Call:
    """pairwise_distance_backward(grad, x, y)."""
    return paired(well_inside if metric == "poincare" else anywhere)(draw, size, metric=metric, **options)


# ---- bounds ----------------------------------------------------------------------------------------------------------


def dimension(*args: Any, **_: Any) -> int:
    """How many terms a distance sums."""
    return int(args[-1].shape[-1])


def angle_and_more(x: Array, y: Array, **options: Any) -> Array:
    """An angle is off by its own relative error, and by that of the directions."""
    return np.asarray(4 * definition.spherical_distance(x, y, **options) + 1)


def slopes(grad: Array, x: Array, y: Array, **options: Any) -> tuple[Array, Array]:
    """The terms of both gradients of one distance, each by its size."""
    x, y = (np.asarray(p, np.longdouble) for p in (x, y))
    size_x, size_y, g = np.abs(x), np.abs(y), np.abs(np.asarray(grad, np.longdouble))[..., np.newaxis]
    length = definition._length(x - y)[..., np.newaxis]
    if "zero" in options:
        of_x, of_y = (definition._length(p)[..., np.newaxis] for p in (x, y))
        of_x, of_y = np.where(of_x == 0, 1, of_x), np.where(of_y == 0, 1, of_y)
        sine = np.sin(definition.spherical_distance(x.astype(np.float64), y.astype(np.float64), "allow"))
        sine = np.asarray(np.abs(sine))[..., np.newaxis]
        both = g * (size_x / of_x + size_y / of_y) / np.where(sine == 0, 1, sine)
        return both * 2 / of_x, both * 2 / of_y
    if "c" in options:
        k = np.longdouble(options["c"])
        gap_x, gap_y = (1 - k * np.sum(p * p, axis=-1, keepdims=True) for p in (x, y))
        bent = k * length**2
        factor = 2 * g / np.where(length == 0, 1, length * np.sqrt(np.abs(gap_x * gap_y) + bent))
        return factor * (np.abs(x - y) + bent / gap_x * size_x), factor * (np.abs(x - y) + bent / gap_y * size_y)
    terms = g * np.abs(x - y) / np.where(length == 0, 1, length)
    return terms, terms


def by_point(place: int) -> Gamma:
    """The tolerance of the gradient of x (0) or y (1)."""

    def magnitude(grad: Array, x: Array, y: Array, **options: Any) -> Array:
        terms, point = slopes(grad, x, y, **options)[place], (x, y)[place]
        terms = np.broadcast_to(terms, np.broadcast_shapes(x.shape, y.shape))
        return np.asarray(np.sum(terms, axis=tuple(range(terms.ndim - 1))) if point.ndim < terms.ndim else terms)

    return Gamma(lambda grad, x, y, **_: 6 * x.shape[-1] + 40 + grad.size, magnitude)


def by_pairs(place: int) -> Gamma:
    """The same of all pairs."""

    def magnitude(grad: Array, x: Array, y: Array, metric: str, **options: Any) -> Array:
        if metric == "spherical":
            options = {"zero": "allow"} | options
        if metric == "poincare":
            options = {"c": 1.0} | options
        sums = np.zeros((x, y)[place].shape, np.longdouble)
        for i, row in enumerate(x):
            terms = slopes(grad[i], np.broadcast_to(row, y.shape), y, **options)[place]
            if place:
                sums += terms
            else:
                sums[i] = np.sum(terms, axis=0)
        return sums

    return Gamma(lambda grad, x, y, **_: 6 * x.shape[-1] + 40 + max(grad.shape), magnitude)


def pair_magnitude(x: Array, y: Array | None = None, metric: str = "euclidean", **options: Any) -> Array:
    """What a distance's relative error is relative to."""
    distances = definition.pairwise_distance(x, y, metric, **options)
    return np.asarray(4 * distances + 1 if metric == "spherical" else distances)


# ---- peers -----------------------------------------------------------------------------------------------------------


def _numpy_euclidean(x: Any, y: Any, **_: Any) -> Any:
    d = x - y
    return np.sqrt(np.einsum("...i,...i->...", d, d))


def _numpy_poincare(x: Any, y: Any, c: float = 1.0, **_: Any) -> Any:
    d = x - y
    s, xx, yy = ((v * v).sum(axis=-1) for v in (d, x, y))
    return 2 / math.sqrt(c) * np.arcsinh(np.sqrt(c * s / ((1 - c * xx) * (1 - c * yy))))


def _numpy_angle(x: Any, y: Any, **_: Any) -> Any:
    products = np.einsum("...i,...i->...", x, y)
    return np.arccos(np.clip(products / np.linalg.norm(x, axis=-1) / np.linalg.norm(y, axis=-1), -1, 1))


def _numpy_pairs(x: Any, y: Any, **_: Any) -> Any:
    squares = (x * x).sum(axis=1)[:, np.newaxis] + (y * y).sum(axis=1) - 2 * (x @ y.T)
    return np.sqrt(np.maximum(squares, 0))


def _torch_pairs(torch: Any, x: Any, y: Any, **_: Any) -> Any:
    return torch.cdist(x, y)


CURVED: Options = ({}, {"c": 0.7}, {"c": 25.0, "outside": "inf"})
METRICS: Options = (
    {"metric": "euclidean"},
    {"metric": "euclidean", "alone": True},
    {"metric": "poincare"},
    {"metric": "poincare", "c": 3.0, "outside": "inf", "alone": True},
    {"metric": "spherical", "zero": "allow"},
    {"metric": "spherical", "zero": "allow", "alone": True},
)


def case(op: str, tolerance: Any, why: str, grad: Grad | str, **changes: Any) -> Case:
    """A distance of rows, or its gradient."""
    row: dict[str, Any] = {"sizes": ROWS, "large": LARGE, "bench": BENCH, "regimes": TERMS}
    return Case(op=op, tolerance=tolerance, why=why, grad=grad, **row | changes)


NOTHING_CANCELS = "Squares of differences add up without cancelling; a root halves what they are off by."
SLOPES = "A difference, and a multiple of the point: no more cancels than the formula itself takes apart."


def on_points(count: int, tangents: int, far: float = 0.99) -> Callable[..., Call]:
    """f of `count` points of the ball and then so many vectors; all but the first may be single ones."""

    def drawn(draw: Draw, size: Points, c: float = 1.0) -> Call:
        points = [inside(draw, size.y if i else size.x, c, far) for i in range(count)]
        return call(*points, *(draw.normal(size.x) for _ in range(tangents)), c=c)

    return drawn


def scattered(draw: Draw, size: Points, c: float = 1.0) -> Call:
    """project_to_ball(x), some of it outside."""
    return call(inside(draw, size.x, c, 1.7), c=c)


def _wide(*points: Array) -> list[Array]:
    return [np.asarray(p, np.longdouble) for p in points]


def _gaps(c: float, *points: Array) -> list[Array]:
    return [1 - np.longdouble(c) * np.sum(p * p, axis=-1, keepdims=True) for p in points]


def sum_magnitude(x: Array, y: Array, c: float = 1.0) -> Array:
    """The terms of Moebius' sum."""
    x, y = _wide(x, y)
    gap_x, gap_y = _gaps(c, x, y)
    bent = c * np.sum((x + y) ** 2, axis=-1, keepdims=True)
    return np.asarray((gap_x * (np.abs(x) + np.abs(y)) + bent * np.abs(x)) / (gap_x * gap_y + bent))


def exp_magnitude(x: Array, v: Array, c: float = 1.0) -> Array:
    """Terms; where a step is long, its end's gap is off by as much as its length."""
    x, v = _wide(x, v)
    (gap,) = _gaps(c, x)
    length = np.sqrt(c * np.sum(v * v, axis=-1, keepdims=True))
    t = length / gap
    step = np.tanh(t) / np.where(length == 0, 1, length) * v
    return np.asarray((1 + 2 * t) * (sum_magnitude(x, step, c) + np.abs(x)))


def log_magnitude(x: Array, y: Array, c: float = 1.0) -> Array:
    """Terms."""
    x, y = _wide(x, y)
    gap_x, gap_y = _gaps(c, x, y)
    bent = c * np.sum((x - y) ** 2, axis=-1, keepdims=True)
    z = np.sqrt(bent / (gap_x * gap_y))
    ratio = np.where(z == 0, 1, np.arcsinh(z) / np.where(z == 0, 1, z))
    return np.asarray(ratio / (gap_y * np.sqrt(1 + z * z)) * (gap_x * np.abs(y - x) + bent * np.abs(x)))


def gyration_magnitude(u: Array, v: Array, w: Array, c: float = 1.0) -> Array:
    """Terms; products of vectors by their sizes."""
    u, v, w = _wide(u, v, w)
    gap_u, gap_v = _gaps(c, u, v)
    below = gap_u * gap_v + c * np.sum((u + v) ** 2, axis=-1, keepdims=True)
    uv, uw, vw = (np.sum(np.abs(a * b), axis=-1, keepdims=True) for a, b in ((u, v), (u, w), (v, w)))
    uu, vv = (np.sum(a * a, axis=-1, keepdims=True) for a in (u, v))
    a, b = c * vw * (1 + 2 * c * uv) + c * c * uw * vv, c * uw + c * c * vw * uu
    return np.asarray(np.abs(w) + 2 * (a * np.abs(u) + b * np.abs(v)) / below)


def transport_magnitude(x: Array, y: Array, v: Array, c: float = 1.0) -> Array:
    """A gyration's, times the factor between the metrics."""
    gap_y, gap_x = _gaps(c, *_wide(y, x))
    return np.asarray(gyration_magnitude(y, -x, v, c) * gap_y / gap_x)


BALL_SIZES = tuple(size for size in ROWS if len(size.x) >= len(size.y))
BALL: Options = ({}, {"c": 0.7})
OVER_TENSORS = "over Tensors its backward goes through the formula again: tests/nn checks it against differences"


def ball_map(op: str, inputs: Callable[..., Call], magnitude: Callable[..., Any], why: str, terms: int = 8) -> Case:
    """A map of the ball."""
    return case(
        op,
        Gamma(lambda x, *a, **k: terms * x.shape[-1] + 80, magnitude),
        why,
        OVER_TENSORS,
        inputs=inputs,
        sizes=BALL_SIZES,
        options=BALL,
        regimes=FINITE,
    )


FRACTION = "Sums of terms that do not cancel, over a sum of positive ones; gaps are exact to the last digits."

GEOMETRY = [
    case(
        "euclidean_distance",
        Gamma(lambda *a, **k: dimension(*a) + 8, lambda x, y: definition.euclidean_distance(x, y)),
        NOTHING_CANCELS,
        Grad(wrt=(0, 1), sizes=SMALL, inputs=anywhere),
        inputs=anywhere,
        peers={"numpy": numpy_call(_numpy_euclidean), "torch": torch_call(lambda torch, x, y: (x - y).norm(dim=-1))},
    ),
    case(
        "euclidean_distance_backward",
        (by_point(0), by_point(1)),
        SLOPES,
        IS_A_GRADIENT,
        inputs=with_grad(anywhere),
        regimes=FINITE,
    ),
    case(
        "poincare_distance",
        Gamma(
            lambda *a, **k: 4 * dimension(*a) + 24,
            lambda x, y, c=1.0, outside="raise": definition.poincare_distance(x, y, c, outside),
        ),
        "1 - c|x|^2 is off by three roundings of its sum at most, or is summed to twice the digits.",
        Grad(wrt=(0, 1), sizes=SMALL, inputs=well_inside, options=({}, {"c": 0.7})),
        inputs=in_the_ball,
        options=CURVED,
        regimes=("normal", "lognormal", "subnormal"),
        peers={"numpy": numpy_call(_numpy_poincare)},
    ),
    case(
        "poincare_distance_backward",
        (by_point(0), by_point(1)),
        SLOPES,
        IS_A_GRADIENT,
        inputs=with_grad(in_the_ball),
        options=({"c": 1.0}, {"c": 0.7}),
        regimes=FINITE,
    ),
    case(
        "spherical_distance",
        Gamma(lambda *a, **k: dimension(*a) + 24, angle_and_more),
        "From a cosine up to 0.71, else from the chord: off by a few roundings of the directions.",
        Grad(wrt=(0, 1), sizes=SMALL),
        inputs=anywhere,
        options=({"zero": "allow"},),
        peers={"numpy": numpy_call(_numpy_angle)},
    ),
    case(
        "spherical_distance_backward",
        (by_point(0), by_point(1)),
        SLOPES,
        IS_A_GRADIENT,
        sizes=tuple(size for size in ROWS if size.x[-1] > 1),
        inputs=with_grad(anywhere),
        options=({"zero": "allow"},),
        regimes=FINITE,
    ),
    case(
        "pairwise_distance",
        Gamma(lambda x, *a, **k: 10 * x.shape[-1] + 40, pair_magnitude),
        "|x|^2 + |y|^2 - 2xy serves where it keeps an eighth of the terms, else the points themselves do.",
        Grad(
            wrt=(0, 1),
            backward=lambda ops, g, y, *args, **options: ops.pairwise_distance_backward(g, *args, **options),
            sizes=(Points((3, 4), (2, 4)),),
            inputs=lambda draw, size, metric, **options: call(
                *(well_inside if metric == "poincare" else anywhere)(draw, size, **options).args,
                metric=metric,
                **options,
            ),
            options=({"metric": "euclidean"}, {"metric": "poincare", "c": 0.7}, {"metric": "spherical"}),
        ),
        sizes=PAIRS,
        large=(Points((300, 70), (150, 70)),),
        inputs=of_metric,
        options=METRICS,
        regimes=("normal", "lognormal", "subnormal", "special"),
        bench=(Points((1000, 1024), (1000, 1024)),),
        flops=lambda x, y=None, **_: 2 * x.size * len(x if y is None else y),
        peers={"numpy": numpy_call(_numpy_pairs), "torch": torch_call(_torch_pairs)},
    ),
    case(
        "pairwise_distance_backward",
        (by_pairs(0), by_pairs(1)),
        SLOPES,
        IS_A_GRADIENT,
        sizes=tuple(size for size in PAIRS if size.x[1] > 1),
        large=(Points((70, 90), (50, 90)),),
        inputs=gradient_of_metric,
        options=({"metric": "euclidean"}, {"metric": "poincare", "c": 0.7}, {"metric": "spherical"}),
        regimes=ORDINARY,
        bench=(Points((100, 128), (100, 128)),),
    ),
    ball_map("mobius_add", on_points(2, 0), sum_magnitude, FRACTION),
    ball_map("exp_map", on_points(1, 1), exp_magnitude, "As a sum; a long step multiplies its length's error.", 20),
    ball_map("log_map", on_points(2, 0), log_magnitude, FRACTION),
    ball_map(
        "project_to_ball",
        scattered,
        lambda x, c=1.0: np.abs(_wide(x)[0]),
        "A length, off by half the terms' roundings, divides.",
    ),
    ball_map("gyration", on_points(2, 1), gyration_magnitude, FRACTION),
    ball_map("parallel_transport", on_points(2, 1), transport_magnitude, FRACTION),
]
