"""A mixture of experts: routing, combining, and their gradients."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from odyssey import reference
from odyssey.testing import magnitudes
from odyssey.testing.call import Call, call
from odyssey.testing.case import Case, Grad
from odyssey.testing.cases.common import CROSSES_ZERO, IS_A_GRADIENT, SUM, TERMS, Options
from odyssey.testing.draw import Draw
from odyssey.testing.peers import torch_call
from odyssey.testing.tolerance import Exact, Gamma
from odyssey.typing import Array

size_of = magnitudes.size_of


class Choice(NamedTuple):
    """A size for moe_route: tokens, experts, how many of them a token has, and whether two have equal logits."""

    tokens: int
    experts: int
    k: int
    ties: bool = False


class Tokens(NamedTuple):
    """A size for moe_combine: rows of n elements, and tokens that have k of them each."""

    rows: int
    n: int
    tokens: int
    k: int


CHOICES = (
    *(Choice(5, experts, min(experts, 2)) for experts in (1, 4, 7, 8, 15, 16, 17, 33, 64)),
    *(Choice(4, experts, k, ties=True) for experts, k in ((3, 2), (8, 2), (17, 16), (33, 4))),
    Choice(3, 4, 4), Choice(4, 40, 17), Choice(2, 33, 33), Choice(0, 8, 2), Choice(1, 128, 8),
)  # fmt: skip
ROUTERS = (Choice(512, 8, 2), Choice(512, 128, 8), Choice(65_536, 64, 8))
SUMS = (
    *(Tokens(9, n, 4, 2) for n in (1, 7, 8, 15, 16, 17, 33, 64, 130)),
    Tokens(3, 5, 7, 3), Tokens(6, 20, 6, 1), Tokens(5, 4, 0, 2), Tokens(4, 0, 3, 2), Tokens(4, 6, 3, 0),
)  # fmt: skip
SMALL = (Tokens(5, 3, 3, 2), Tokens(2, 4, 2, 1))
MODELS = (Tokens(1024, 512, 512, 2), Tokens(8192, 768, 2048, 4), Tokens(2, 512, 1, 2))
KINDS: Options = ({}, {"renormalize": False})


def scores(draw: Draw, size: Choice, **options: Any) -> Call:
    """moe_route(logits, k)."""
    logits = draw((size.tokens, size.experts))
    if size.ties:
        logits[:, -1] = logits[:, 1]
    return call(logits, size.k, **options)


def score_gradient(draw: Draw, size: Choice, **options: Any) -> Call:
    """moe_route_backward(grad, logits, experts)."""
    (logits, k), _ = scores(draw, size)
    with np.errstate(all="ignore"):
        _, experts = reference.moe_route(logits, k)
    return call(draw.normal((size.tokens, k)), logits, experts, **options)


def weighted(draw: Draw, size: Tokens) -> Call:
    """moe_combine(x, weights, rows): some rows several times, some never."""
    shape = size.tokens, size.k
    return call(draw((size.rows, size.n)), draw.normal(shape), draw.indices(shape, size.rows))


def weighted_gradient(draw: Draw, size: Tokens) -> Call:
    """moe_combine_backward(grad, x, weights, rows)."""
    return call(draw((size.tokens, size.n)), *weighted(draw, size).args)


# ---- bounds ----------------------------------------------------------------------------------------------------------


def _route_terms(logits: Array, *_: Any, **__: Any) -> int:
    return int(logits.shape[1]) + 10


def _route(logits: Array, k: int, renormalize: bool = True) -> Array:
    """w · (1 + the furthest any logit that counts is below the largest): its error is relative in what comes of it."""
    weights, experts = (np.asarray(one) for one in reference.moe_route(logits, k, renormalize))
    below = magnitudes._below_maximum(logits, 1)
    chosen = np.take_along_axis(below, experts, 1)
    return np.where(weights == 0, 0, size_of(weights) * (2 + chosen))


def _route_backward(grad: Array, logits: Array, experts: Array, renormalize: bool = True) -> Array:
    """At the chosen w (|grad| + Σ|grad| w), elsewhere p Σ|grad| w, each times the relative error of a weight."""
    p = size_of(reference.softmax(logits, 1))
    off = np.where(p == 0, 0, p * (2 + magnitudes._below_maximum(logits, 1)))
    chosen = np.take_along_axis(off, experts, 1)
    if renormalize:
        chosen = chosen / np.sum(np.take_along_axis(p, experts, 1), axis=1, keepdims=True)
    mean = np.sum(size_of(grad) * chosen, axis=1, keepdims=True)
    bound = np.zeros_like(p) if renormalize else off * mean
    np.put_along_axis(bound, experts, chosen * (size_of(grad) + mean), 1)
    return bound


def _combined(x: Array, weights: Array, rows: Array) -> Array:
    return np.asarray(np.einsum("tk,tkh->th", size_of(weights), size_of(x)[rows]))


def _to_rows(grad: Array, x: Array, weights: Array, rows: Array) -> Array:
    bound = np.zeros(x.shape, size_of(x).dtype)
    np.add.at(bound, rows, size_of(weights)[:, :, None] * size_of(grad)[:, None, :])
    return bound


def _to_weights(grad: Array, x: Array, weights: Array, rows: Array) -> Array:
    return np.asarray(np.einsum("th,tkh->tk", size_of(grad), size_of(x)[rows]))


# ---- the same in PyTorch ---------------------------------------------------------------------------------------------


def torch_route(torch: Any, logits: Any, k: int, renormalize: bool = True) -> Any:
    """As Mixtral's model code does it."""
    weights, experts = torch.topk(torch.softmax(logits, 1), k, dim=-1)
    return (weights / weights.sum(-1, keepdim=True) if renormalize else weights), experts


ROUTING = [
    Case(
        op="moe_route",
        inputs=scores,
        tolerance=(Gamma(_route_terms, _route), Exact()),
        why="exp carries the rounding of logit - max into a relative error of |logit - max| u; the sum adds γ_n.",
        grad=Grad(
            backward=lambda ops, g, y, logits, k, **o: ops.moe_route_backward(g[0], logits, y[1], **o),
            sizes=(Choice(3, 5, 2), Choice(2, 4, 4), Choice(2, 3, 1)),
            inputs=lambda draw, size, **o: call(draw((size.tokens, size.experts)), size.k, **o),
            outputs=1,
        ),
        sizes=CHOICES,
        large=(Choice(2_003, 13, 3),),
        options=KINDS,
        bench=ROUTERS,
        peers={"torch": torch_call(torch_route)},
    ),
    Case(
        op="moe_route_backward",
        inputs=score_gradient,
        tolerance=Gamma(_route_terms, _route_backward),
        why=CROSSES_ZERO,
        grad=IS_A_GRADIENT,
        sizes=CHOICES,
        large=(Choice(2_003, 13, 3),),
        options=KINDS,
        regimes=TERMS,
        bench=ROUTERS,
    ),
    Case(
        op="moe_combine",
        inputs=weighted,
        tolerance=Gamma(lambda x, weights, rows: rows.shape[1], _combined),
        why=SUM,
        grad=Grad(wrt=(0, 1), backward=lambda ops, g, y, *args: ops.moe_combine_backward(g, *args), sizes=SMALL),
        sizes=SUMS,
        large=(Tokens(4_001, 35, 2_003, 2),),
        regimes=TERMS,
        bench=MODELS,
        peers={
            "torch": torch_call(lambda torch, x, weights, rows: (x[rows] * weights.unsqueeze(-1)).sum(1)),
        },
    ),
    Case(
        op="moe_combine_backward",
        inputs=weighted_gradient,
        tolerance=(
            Gamma(lambda grad, x, weights, rows: rows.size, _to_rows),
            Gamma(lambda grad, x, weights, rows: x.shape[1], _to_weights),
        ),
        why=SUM,
        grad=IS_A_GRADIENT,
        sizes=SUMS,
        large=(Tokens(4_001, 35, 2_003, 2),),
        regimes=TERMS,
        bench=MODELS,
    ),
]
