"""Drawing tokens."""

from __future__ import annotations

from typing import Any

import numpy as np

from odyssey.testing.call import Call, call
from odyssey.testing.case import Case
from odyssey.testing.cases.common import Options
from odyssey.testing.draw import Draw, Shape
from odyssey.testing.peers import torch_call
from odyssey.testing.tolerance import Exact

__all__ = ["SAMPLING"]


class Uniform:
    """Stands for a generator that starts anew at every call, so that one call's arguments can be used twice."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def random(self, size: int) -> Any:
        """`size` numbers in [0, 1), always the same."""
        return np.random.Generator(np.random.PCG64(self.seed)).random(size)


def logits(draw: Draw, size: Shape, *more: Any, **options: Any) -> Call:
    """f(logits, ..., generator)."""
    x = draw(size)
    seed = int(draw.rng.integers(1 << 30))
    if "masked" in options:
        x = np.where(draw.rng.random(x.shape) < options.pop("masked"), x.dtype.type(-np.inf), x)
        x[..., :1] = 0
    if "rounded" in options:
        x = np.rint(x * options.pop("rounded"))
    return call(x, *more, **options, generator=Uniform(seed))


def with_k(draw: Draw, size: Shape, k: int = 5, **options: Any) -> Call:
    """topk_sample(logits, k)."""
    return logits(draw, size, k, **options)


def with_p(draw: Draw, size: Shape, p: float = 0.9, **options: Any) -> Call:
    """topp_sample(logits, p)."""
    return logits(draw, size, p, **options)


VOCABULARIES = (1, 2, 7, 15, 16, 17, 33, 65, 130, 1000, (0, 5), (3, 17), (40, 100), (9, 700))
LARGE = (32_000, (3, 5003))
COMMON: Options = (
    {},
    {"temperature": 0.0},
    {"temperature": 0.25},
    {"temperature": 3.0},
    {"masked": 0.7},
    {"rounded": 1.0},
)
WHY = "The same number draws the same token, unless it falls within a few ulp of where two tokens meet."
NO_GRADIENT = "an index has no gradient"
BENCH = (32_000, 151_936)


def torch_topk(torch: Any, x: Any, k: int, **_: Any) -> Any:
    values, places = torch.topk(x, k)
    return places[torch.multinomial(torch.softmax(values, -1), 1)]


def torch_topp(torch: Any, x: Any, p: float, **_: Any) -> Any:
    values, places = torch.sort(x, descending=True)
    weights = torch.softmax(values, -1)
    weights[torch.cumsum(weights, -1) - weights >= p] = 0
    return places[torch.multinomial(weights, 1)]


def _row(op: str, inputs: Any, options: tuple[Any, ...], **peers: Any) -> Case:
    return Case(
        op=op,
        inputs=inputs,
        tolerance=Exact(),
        why=WHY,
        grad=NO_GRADIENT,
        sizes=VOCABULARIES,
        large=LARGE,
        options=options,
        regimes=("normal", "lognormal", "subnormal"),
        drawn=True,
        bench=BENCH,
        peers=peers,
    )


SAMPLING = [
    _row(
        "sample",
        logits,
        COMMON,
        torch=torch_call(lambda torch, x, **_: torch.multinomial(torch.softmax(x, -1), 1)),
    ),
    _row(
        "topk_sample", with_k, (*COMMON, {"k": 1}, {"k": 50}, {"k": 300, "rounded": 2.0}), torch=torch_call(torch_topk)
    ),
    _row(
        "topp_sample",
        with_p,
        (*COMMON, {"p": 1.0}, {"p": 0.1}, {"p": 0.5, "rounded": 2.0}),
        torch=torch_call(torch_topp),
    ),
]
