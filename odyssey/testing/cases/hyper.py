"""Hyper-connections, and their gradients."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from odyssey.reference import hyper as definition
from odyssey.testing import magnitudes
from odyssey.testing.call import Call, call
from odyssey.testing.case import Case, Grad
from odyssey.testing.cases.common import IS_A_GRADIENT, ORDINARY, TERMS, Options
from odyssey.testing.draw import Draw
from odyssey.testing.peers import torch_call
from odyssey.testing.tolerance import Gamma
from odyssey.typing import Array

size_of = magnitudes.size_of


class Streams(NamedTuple):
    """A size: tokens, each of `streams` rows of `hidden` elements."""

    tokens: tuple[int, ...]
    streams: int
    hidden: int

    @property
    def outputs(self) -> int:
        """Projections of a token."""
        return (2 + self.streams) * self.streams

    @property
    def x(self) -> tuple[int, ...]:
        """The shape of x."""
        return *self.tokens, self.streams, self.hidden


SIZES = (
    Streams((1,), 4, 16),
    Streams((), 2, 7),
    Streams((3,), 1, 33),
    Streams((2, 9), 4, 31),
    Streams((17,), 3, 15),
    Streams((5,), 8, 17),
    Streams((2,), 5, 130),
    Streams((0,), 4, 8),
)
LARGE = (Streams((67,), 4, 301), Streams((3, 7), 4, 1024))
SMALL = (Streams((3,), 2, 3), Streams((2, 1), 4, 2))
MODELS = (Streams((1,), 4, 1024), Streams((64,), 4, 1024), Streams((512,), 4, 1024))
BOTH: Options = ({}, {"variant": "paper"}, {"iterations": 3, "eps": 1e-3, "norm_eps": 1e-2})
POISONED = (*ORDINARY, "special")  # a NaN or inf takes its token, and no other


def pre(draw: Draw, size: Streams, **options: Any) -> Call:
    """f(x, fn, base, scale): projections of everyday size, whatever x."""
    return call(draw(size.x), *parameters(draw, size, size.outputs, 3), **options)


def head(draw: Draw, size: Streams, **options: Any) -> Call:
    """f(x, fn, base, scale)."""
    return call(draw(size.x), *parameters(draw, size, size.streams, 1), **options)


def parameters(draw: Draw, size: Streams, outputs: int, scales: int) -> tuple[Array, Array, Array]:
    """fn, base and scale."""
    width = size.streams * size.hidden
    fn = draw.normal((outputs, width)) / np.sqrt(width).astype(draw.dtype)
    return fn, draw.normal(outputs), draw.normal(scales)


def pre_gradient(draw: Draw, size: Streams, **options: Any) -> Call:
    """f(grad_collapsed, grad_post, grad_comb, x, fn, base, scale, mix)."""
    (x, *rest), _ = pre(draw, size, **options)
    n = size.streams
    grads = draw((*size.tokens, size.hidden)), draw.normal((*size.tokens, n)), draw.normal((*size.tokens, n, n))
    return call(*grads, x, *rest, draw.normal((*size.tokens, size.outputs)), **options)


def head_gradient(draw: Draw, size: Streams, **options: Any) -> Call:
    """f(grad, x, fn, base, scale)."""
    return call(draw((*size.tokens, size.hidden)), *head(draw, size, **options).args, **options)


def post(draw: Draw, size: Streams) -> Call:
    """f(f, x, post, comb), comb as asymmetric as can be."""
    n = size.streams
    return call(
        draw((*size.tokens, size.hidden)), draw(size.x), draw.normal((*size.tokens, n)), draw((*size.tokens, n, n))
    )


def post_gradient(draw: Draw, size: Streams) -> Call:
    """f(grad, f, x, post, comb)."""
    return call(draw(size.x), *post(draw, size).args)


# ---- bounds ----------------------------------------------------------------------------------------------------------


def terms(x: Array, fn: Array, *_: Any, iterations: int = 20, **__: Any) -> int:
    """Roundings of a projection, and of as many divisions as there are."""
    return int(fn.shape[-1]) + 60 + 2 * iterations * (int(x.shape[-2]) + 4)


def mix_terms(x: Array, fn: Array, norm_eps: float = 1e-6) -> Array:
    """|fn| |x| / the root of the mean square."""
    z = size_of(x).reshape(*x.shape[:-2], x.shape[-2] * x.shape[-1])
    root, _ = definition._projected(x, fn, norm_eps)
    return np.asarray((z @ size_of(fn).T) * root)


def forward(
    x: Array, fn: Array, base: Array, scale: Array, norm_eps: float = 1e-6, **options: Any
) -> tuple[Array, ...]:
    """What the four results' errors are proportional to. A logit's error is relative in what comes of it; in comb, the
    row's, the column's and the sums' come to it."""
    n = x.shape[-2]
    by_mix = mix_terms(x, fn, norm_eps)
    logits = by_mix * np.repeat(size_of(scale), [n, n, n * n]) + size_of(base)
    _, post, comb, mix = (
        size_of(one) for one in definition.hyper_pre(x, fn, base, scale, norm_eps=norm_eps, **options)
    )
    weights = definition._weights(mix, base, scale, x, options.get("eps", 1e-6), "default")[0]
    spread = 1 + np.max(logits[..., 2 * n :], axis=-1, initial=0)[..., np.newaxis, np.newaxis]
    collapsed = np.einsum("...j,...jh->...h", weights * 0 + 1 + logits[..., :n], size_of(x))
    return collapsed, post * (1 + logits[..., n : 2 * n]), 8 * comb * spread, by_mix


def slopes(
    by_pre: Array, x: Array, mix: Array, base: Array, scale: Array, grads: tuple[Array | None, Array | None]
) -> Array:
    """What the errors of the gradients of the logits are proportional to: the gradient of what comes of each, times as
    much as the logit's error is relative."""
    n = x.shape[-2]
    sizes = [n, n, n * n] if len(scale) == 3 else [n]
    logits = 1 + size_of(mix) * np.repeat(size_of(scale), sizes) + size_of(base)
    parts = [by_pre]
    if len(scale) == 3:
        grad_post, grad_comb = (np.zeros(1) if one is None else size_of(one) for one in grads)
        shape = (*x.shape[:-2], n)
        largest = np.max(np.broadcast_to(grad_comb, (*shape, n)), axis=(-1, -2), initial=0)[..., np.newaxis]
        spread = np.max(logits[..., 2 * n :], axis=-1, keepdims=True)
        parts += [2 * np.broadcast_to(grad_post, shape), np.broadcast_to(8 * largest * spread, (*shape[:-1], n * n))]
    return np.asarray(np.concatenate(parts, axis=-1) * logits)


def gradients(
    grads: tuple[Array | None, Array | None], grad: Array, x: Array, fn: Array, base: Array, scale: Array, mix: Array,
    norm_eps: float = 1e-6,
) -> tuple[Array, ...]:  # fmt: skip
    """What the four gradients' errors are proportional to."""
    n, hidden = x.shape[-2:]
    sizes = [n, n, n * n] if len(scale) == 3 else [n]
    z = size_of(x).reshape(*x.shape[:-2], n * hidden)
    root, _ = definition._projected(x, fn, norm_eps)
    by_logit = slopes(np.einsum("...h,...jh->...j", size_of(grad), size_of(x)), x, mix, base, scale, grads)
    by_mix = by_logit * np.repeat(size_of(scale), sizes)
    dx = (by_mix * root) @ size_of(fn) + z * root * root * np.sum(by_mix * size_of(mix), axis=-1, keepdims=True) / (
        n * hidden
    )
    logits = 1 + size_of(mix)[..., :n] * size_of(scale)[0] + size_of(base)[:n]
    dx = dx.reshape(x.shape) + logits[..., np.newaxis] * size_of(grad)[..., np.newaxis, :]
    rows = by_logit.reshape(-1, by_logit.shape[-1])
    by_scale = np.add.reduceat(np.sum(rows * size_of(mix).reshape(rows.shape), axis=0), np.cumsum([0, *sizes[:-1]]))
    by_fn = (by_mix * root).reshape(rows.shape).T @ z.reshape(len(rows), n * hidden)
    return dx, by_fn, np.sum(rows, axis=0), by_scale


def pre_bounds() -> tuple[Gamma, ...]:
    """A bound for each result of hyper_pre."""
    return tuple(
        Gamma(terms, lambda *args, which=i, **options: forward(*args, **options)[which], wide_reference=False)
        for i in range(4)
    )


def _backward_terms(
    grad: Array, by_post: Any, by_comb: Any, x: Array, fn: Array, *_: Any, iterations: int = 20, **__: Any
) -> int:
    return terms(x, fn, iterations=iterations) + int(x.size // max(fn.shape[-1], 1))


def _of_pre(which: int) -> Gamma:
    def magnitude(
        grad: Array, by_post: Any, by_comb: Any, x: Array, *rest: Array, norm_eps: float = 1e-6, **_: Any
    ) -> Array:
        fn, base, scale, mix = rest
        return gradients((by_post, by_comb), grad, x, fn, base, scale, mix, norm_eps)[which]

    return Gamma(_backward_terms, magnitude, wide_reference=False)


def _of_head(which: int) -> Gamma:
    def magnitude(grad: Array, x: Array, fn: Array, base: Array, scale: Array) -> Array:
        return gradients((None, None), grad, x, fn, base, scale, mix_terms(x, fn))[which]

    return Gamma(
        lambda grad, x, fn, *_: 2 * terms(x, fn) + x.size // max(fn.shape[-1], 1), magnitude, wide_reference=False
    )


def _head_bound(x: Array, fn: Array, base: Array, scale: Array) -> Array:
    logits = 1 + mix_terms(x, fn) * size_of(scale) + size_of(base)
    return np.asarray(np.einsum("...j,...jh->...h", logits, size_of(x)))


def _mixed(f: Array, x: Array, post: Array, comb: Array) -> Array:
    mixed = np.einsum("...jk,...jh->...kh", size_of(comb), size_of(x))
    return np.asarray(size_of(post)[..., np.newaxis] * size_of(f)[..., np.newaxis, :] + mixed)


def _mixed_backward(grad: Array, f: Array, x: Array, post: Array, comb: Array) -> tuple[Array, ...]:
    g = size_of(grad)
    return (
        np.einsum("...k,...kh->...h", size_of(post), g),
        np.einsum("...jk,...kh->...jh", size_of(comb), g),
        np.einsum("...kh,...h->...k", g, size_of(f)),
        np.einsum("...jh,...kh->...jk", size_of(x), g),
    )


# ---- the eager way, in PyTorch ---------------------------------------------------------------------------------------


def torch_pre(torch: Any, x: Any, fn: Any, base: Any, scale: Any, iterations: int = 20, **_: Any) -> Any:
    """As DeepSeek-V4's model code computes it, operation by operation."""
    n, eps = x.shape[-2], 1e-6
    flat = x.flatten(-2)
    mix = torch.nn.functional.linear(flat, fn) * torch.rsqrt(flat.square().mean(-1, keepdim=True) + 1e-6)
    weights = torch.sigmoid(mix[..., :n] * scale[0] + base[:n]) + eps
    after = 2 * torch.sigmoid(mix[..., n : 2 * n] * scale[1] + base[n : 2 * n])
    comb = (mix[..., 2 * n :] * scale[2] + base[2 * n :]).unflatten(-1, (n, n)).softmax(-1) + eps
    comb = comb / (comb.sum(-2, keepdim=True) + eps)
    for _i in range(iterations - 1):
        comb = comb / (comb.sum(-1, keepdim=True) + eps)
        comb = comb / (comb.sum(-2, keepdim=True) + eps)
    return (weights.unsqueeze(-1) * x).sum(-2), after, comb


def torch_post(torch: Any, f: Any, x: Any, post: Any, comb: Any, **_: Any) -> Any:
    """The other half."""
    return post.unsqueeze(-1) * f.unsqueeze(-2) + torch.matmul(comb.transpose(-1, -2), x)


HYPER = [
    Case(
        op="hyper_pre",
        inputs=pre,
        tolerance=pre_bounds(),
        why="A projection errs by γ_n Σ|fn||x|, made relative by sigmoid and exp; each division adds a few roundings.",
        grad=Grad(
            wrt=(0, 1, 2, 3),
            backward=lambda ops, g, y, *args, **o: ops.hyper_pre_backward(*g, *args, y[3], **o),
            sizes=SMALL,
            outputs=3,
        ),
        sizes=SIZES,
        large=LARGE,
        options=BOTH,
        regimes=POISONED,
        bench=MODELS,
        peers={"torch": torch_call(torch_pre)},
    ),
    Case(
        op="hyper_pre_backward",
        inputs=pre_gradient,
        tolerance=tuple(_of_pre(which) for which in range(4)),
        why="As the forward; differences in the gradients of divisions and softmax cancel, so their terms bound it.",
        grad=IS_A_GRADIENT,
        sizes=SIZES,
        large=LARGE,
        options=BOTH,
        regimes=ORDINARY,
        bench=MODELS,
    ),
    Case(
        op="hyper_post",
        inputs=post,
        tolerance=Gamma(12, _mixed),
        why="A product and a chain of at most eight fma.",
        grad=Grad(
            wrt=(0, 1, 2, 3),
            backward=lambda ops, g, y, *args: ops.hyper_post_backward(g, *args),
            sizes=SMALL,
        ),
        sizes=SIZES,
        large=LARGE,
        regimes=TERMS,
        bench=MODELS,
        peers={"torch": torch_call(torch_post)},
    ),
    Case(
        op="hyper_post_backward",
        inputs=post_gradient,
        tolerance=tuple(
            Gamma(lambda grad, *_: grad.shape[-1] + 12, lambda *args, which=i: _mixed_backward(*args)[which])
            for i in range(4)
        ),
        why="Chains of at most eight fma, and sums along hidden.",
        grad=IS_A_GRADIENT,
        sizes=SIZES,
        large=LARGE,
        regimes=TERMS,
        bench=MODELS,
    ),
    Case(
        op="hyper_head",
        inputs=head,
        tolerance=Gamma(lambda x, fn, *_: terms(x, fn), _head_bound, wide_reference=False),
        why="As hyper_pre.",
        grad=Grad(
            wrt=(0, 1, 2, 3),
            backward=lambda ops, g, y, *args: ops.hyper_head_backward(g, *args),
            sizes=SMALL,
        ),
        sizes=SIZES,
        large=LARGE,
        regimes=POISONED,
        bench=MODELS,
    ),
    Case(
        op="hyper_head_backward",
        inputs=head_gradient,
        tolerance=tuple(_of_head(which) for which in range(4)),
        why="As hyper_pre_backward; the projections are computed again.",
        grad=IS_A_GRADIENT,
        sizes=SIZES,
        large=LARGE,
        regimes=ORDINARY,
        bench=MODELS,
    ),
]
