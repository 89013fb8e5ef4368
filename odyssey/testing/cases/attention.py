"""Attention and rotary embedding, and their gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from odyssey.testing import magnitudes
from odyssey.testing.call import Call, call
from odyssey.testing.case import Case, Grad
from odyssey.testing.cases.common import IS_A_GRADIENT, ORDINARY, TERMS, Options
from odyssey.testing.draw import Draw
from odyssey.testing.peers import torch_call
from odyssey.testing.tolerance import Gamma
from odyssey.typing import Array


class Heads(NamedTuple):
    """A size for attention."""

    batch: tuple[int, ...]
    heads: int
    key_heads: int
    queries: int
    keys: int
    depth: int
    value_depth: int

    @property
    def query(self) -> tuple[int, ...]:
        """The shape of query."""
        return *self.batch, self.heads, self.queries, self.depth

    @property
    def key(self) -> tuple[int, ...]:
        """The shape of key."""
        return *self.batch, self.key_heads, self.keys, self.depth

    @property
    def value(self) -> tuple[int, ...]:
        """The shape of value."""
        return *self.batch, self.key_heads, self.keys, self.value_depth

    @property
    def result(self) -> tuple[int, ...]:
        """The shape of the result."""
        return *self.batch, self.heads, self.queries, self.value_depth


ATTENTION = (
    Heads((), 1, 1, 1, 1, 1, 1),
    Heads((2,), 2, 2, 7, 7, 8, 8),
    Heads((), 4, 2, 1, 33, 16, 17),
    Heads((1,), 3, 1, 17, 31, 33, 16),
    Heads((), 2, 2, 33, 130, 15, 31),
    Heads((), 2, 1, 9, 129, 40, 7),
    Heads((2,), 2, 1, 3, 260, 5, 130),
    Heads((), 1, 1, 5, 3, 16, 16),
    Heads((), 2, 2, 0, 5, 4, 4),
    Heads((), 2, 2, 3, 0, 4, 4),
    Heads((0,), 2, 2, 3, 4, 4, 4),
    Heads((), 2, 1, 3, 4, 0, 4),
)
SMALL = (Heads((), 2, 1, 3, 4, 3, 2), Heads((2,), 1, 1, 4, 3, 2, 3))
MODELS = (
    Heads((4,), 8, 8, 1024, 1024, 64, 64),
    Heads((1,), 12, 12, 128, 128, 64, 64),
    Heads((1,), 32, 32, 1, 1024, 128, 128),
    Heads((1,), 32, 8, 1, 1024, 128, 128),
)
MASKS: Options = (
    {"is_causal": True},
    {},
    {"masked": "some"},
    {"masked": "padding"},
    {"masked": "add", "is_causal": True, "scale": 0.3},
)


def mask(draw: Draw, size: Heads, masked: str | None) -> Array | None:
    """A mask of a kind: bool, one value for each key, or to be added."""
    if masked is None:
        return None
    if masked == "add":
        drawn = draw.normal((size.queries, size.keys))
        return np.where(draw.rng.random(drawn.shape) < 0.2, drawn.dtype.type(-np.inf), drawn)
    shape = (*size.batch, size.heads, size.queries, size.keys) if masked == "some" else (*size.batch, 1, 1, size.keys)
    return np.asarray(draw.rng.random(shape) < 0.7)


def scored(draw: Draw, shape: tuple[int, ...]) -> Array:
    """Queries or keys: ordinary ones, but in the special regime, for scores far apart say nothing about sums."""
    return draw(shape) if draw.regime == "special" else draw.normal(shape)


def attention(draw: Draw, size: Heads, masked: str | None = None, **options: Any) -> Call:
    """f(query, key, value, attn_mask)."""
    query, key, value = scored(draw, size.query), scored(draw, size.key), draw(size.value)
    return call(query, key, value, mask(draw, size, masked), **options)


def attention_gradient(draw: Draw, size: Heads, masked: str | None = None, **options: Any) -> Call:
    """f(grad, query, key, value, attn_mask)."""
    args, kwargs = attention(draw, size, masked, **options)
    return call(draw(size.result), *args, **kwargs)


def attention_terms(query: Array, key: Array, *_: Any, **__: Any) -> int:
    """Roundings of a score, of the sums over the keys, and a few more."""
    return int(query.shape[-1] + key.shape[-2]) + 16


def gradient_terms(grad: Array, query: Array, key: Array, value: Array, *_: Any, **__: Any) -> int:
    """Those of the forward, and of the sums over columns, queries and heads."""
    heads = query.shape[-3] // max(key.shape[-3], 1) if query.ndim > 2 else 1
    return attention_terms(query, key) + int(value.shape[-1] + heads * query.shape[-2]) + 16


def beyond(position: int) -> Callable[..., float]:
    """Weights below the smallest normal number, so many times the smallest subnormal one, count as 0."""

    def factor(*args: Any, **_: Any) -> float:
        values = np.abs(args[position][np.isfinite(args[position])])
        return float(np.max(values, initial=1.0)) / float(np.finfo(args[position].dtype).eps) * 2

    return factor


def _torch_attention(torch: Any, query: Any, key: Any, value: Any, *_: Any, is_causal: bool = False, **__: Any) -> Any:
    # Its causality is aligned to the first key: for one query over a cache it would leave one key.
    causal = is_causal and query.shape[-2] == key.shape[-2]
    attend = torch.nn.functional.scaled_dot_product_attention
    return attend(query, key, value, is_causal=causal, enable_gqa=query.shape[-3] != key.shape[-3])


class Rows(NamedTuple):
    """A size for rotary embedding; tables of one row of angles for each of L positions."""

    x: tuple[int, ...]
    pairs: int


ROWS = (
    *(Rows((3, 2 * n), n) for n in (0, 1, 7, 8, 15, 16, 17, 31, 33)),
    Rows((2, 3, 5, 64), 32),
    Rows((2, 5, 37), 9),
    Rows((4,), 2),
    Rows((2, 0, 8), 4),
)
BOTH: Options = ({}, {"interleaved": True})


def rotary(draw: Draw, size: Rows, **options: Any) -> Call:
    """f(x, cos, sin)."""
    table = (*size.x[-2:-1], size.pairs)
    return call(draw(size.x), draw.normal(table), draw.normal(table), **options)


def _torch_rotary(torch: Any, x: Any, cos: Any, sin: Any, **_: Any) -> Any:
    first, second = x.chunk(2, -1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), -1)


def rotations(op: str, grad: Grad | str, **changes: Any) -> Case:
    """A rotation."""
    return Case(
        op=op,
        inputs=rotary,
        tolerance=Gamma(3, magnitudes.rotary_embedding),
        why="Two products, one of them rounded, and a sum that may cancel.",
        grad=grad,
        sizes=ROWS,
        large=(Rows((3, 301, 130), 64),),
        options=BOTH,
        regimes=TERMS,
        bench=(Rows((1, 8, 128, 64), 32), Rows((4, 32, 1024, 128), 64)),
        **changes,
    )


ATTENTION_OPS = [
    Case(
        op="scaled_dot_product_attention",
        inputs=attention,
        tolerance=Gamma(attention_terms, magnitudes.attention, underflow=beyond(2), wide_reference=False),
        why="A score errs by γ_n Σ|q||k|, which exp makes relative; weights and values are summed within γ_n.",
        grad=Grad(
            wrt=(0, 1, 2),
            backward=lambda ops, g, y, *args, **o: ops.scaled_dot_product_attention_backward(g, *args, **o),
            sizes=SMALL,
        ),
        sizes=ATTENTION,
        large=(Heads((2,), 4, 2, 70, 300, 64, 64),),
        options=MASKS,
        regimes=TERMS,
        bench=MODELS,
        flops=lambda q, k, v, *_, **__: 2 * (q.size // max(q.shape[-1], 1)) * k.shape[-2] * (k.shape[-1] + v.shape[-1]),
        peers={"torch": torch_call(_torch_attention)},
    ),
    Case(
        op="scaled_dot_product_attention_backward",
        inputs=attention_gradient,
        tolerance=(
            Gamma(gradient_terms, lambda *a, **o: magnitudes.attention_backward(*a, **o)[0], wide_reference=False),
            Gamma(gradient_terms, lambda *a, **o: magnitudes.attention_backward(*a, **o)[1], wide_reference=False),
            Gamma(gradient_terms, lambda *a, **o: magnitudes.attention_backward(*a, **o)[2], wide_reference=False),
        ),
        why="As the forward; grad · value - delta cancels, so the error is bounded by the terms.",
        grad=IS_A_GRADIENT,
        sizes=ATTENTION,
        large=(Heads((2,), 4, 2, 70, 300, 64, 64),),
        options=MASKS,
        regimes=ORDINARY,
        bench=MODELS[:2],
        flops=lambda g, q, k, v, *_, **__: (
            5 * (q.size // max(q.shape[-1], 1)) * k.shape[-2] * (k.shape[-1] + v.shape[-1])
        ),
    ),
    rotations(
        "rotary_embedding",
        Grad(backward=lambda ops, g, y, x, cos, sin, **o: ops.rotary_embedding_backward(g, cos, sin, **o)),
        peers={"torch": torch_call(_torch_rotary)},
    ),
    rotations("rotary_embedding_backward", IS_A_GRADIENT),
    Case(
        op="rotary_tables",
        inputs=lambda draw, size, **options: call(*size, dtype=draw.dtype, **options),
        tolerance=Gamma(3, magnitudes.rotary_tables),
        why="An angle errs by an ulp or two, which is absolute in its cosine and sine.",
        grad="no array to differentiate by",
        sizes=((0, 4), (1, 2), (17, 32), (5, 0), (33, 34)),
        large=((1000, 64),),
        options=({}, {"base": 500.0}),
        regimes=("normal",),
        bench=((1024, 64),),
    ),
]
