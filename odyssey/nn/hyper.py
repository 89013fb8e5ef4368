"""Manifold-constrained hyper-connections in place of the residual connection, and what a block needs to have either."""

from __future__ import annotations

import re
from collections.abc import Callable
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from odyssey.errors import ShapeError
from odyssey.nn import functional, init
from odyssey.nn.functional.hyper import stack_rows
from odyssey.nn.module import Module, Parameter
from odyssey.tensor.tape import Array
from odyssey.tensor.tensor import Tensor

__all__ = ["HyperConnection", "HyperHead", "HyperState", "ResidualAdd", "residual", "transformers_name"]


class HyperState(NamedTuple):
    """What `pre` hands to `post`: how a layer's result and the streams are mixed."""

    post: Tensor
    comb: Tensor


class _Streams(Module):
    """The ways into and out of the streams."""

    streams: int

    def expand(self, x: Tensor | Array) -> Tensor:
        """(..., hidden) -> (..., streams, hidden): each stream begins as a copy."""
        return functional.expand_streams(x, self.streams)

    def collapse(self, x: Tensor | Array) -> Tensor:
        """(..., streams, hidden) -> (..., hidden): the plain mean. `HyperHead` weighs them."""
        return functional.mean(x, -2)


class HyperConnection(_Streams):
    """n streams in place of one residual stream, mixed around each layer by a doubly stochastic matrix.

        collapsed, state = hc.pre(x)              # x is (batch, sequence, streams, hidden)
        x = hc.post(f(collapsed), x, state)

    With fn, base and scale the parameters, and n the streams:

        mix = (fn · vec(x)) / √(mean(vec(x)²) + norm_eps)
        pre = σ(mix · scale[0] + base) + eps        post = 2 σ(mix · scale[1] + base)
        comb = sinkhorn(mix · scale[2] + base)      (`odyssey.hyper_pre` has it in full)
        collapsed = Σ pre[j] x[j]                   x'[k] = post[k] f + Σⱼ comb[j, k] x[j]

    Args:
        streams: n, 1 to 8.
        hidden: the length of a stream.
        iterations: of the Sinkhorn-Knopp algorithm.
        eps: against divisions by 0.
        norm_eps: added to the mean square.
        variant: "paper" for the paper's own parameters, of which fn, base and scale are made.
        generator: where the initial weights come from; without one they differ from run to run.
        dtype: float32 or float64.

    Parameters fn ((2 + n) n, n · hidden), base ((2 + n) n,) and scale (3,), in the order pre, post, comb: names and
    shapes of `DeepseekV4HyperConnection` in Hugging Face's transformers (modeling_deepseek_v4.py), where a decoder
    layer has them as attn_hc.fn, attn_hc.base, attn_hc.scale and ffn_hc.*; so a module with such attributes loads such
    a checkpoint. DeepSeek's own files say layers.0.hc_attn_fn: `transformers_name` turns one into the other. fn starts
    normal with deviation 0.02, base at 0, scale at 1, as there.

    With variant="paper": phi_pre (n, n · hidden), phi_post, phi_res (n², n · hidden), b_pre (n,), b_post, b_res (n²,),
    and alpha_pre, alpha_post, alpha_res (1,), which start at 0.01 as in the paper (arXiv 2512.24880, section 4).

    Example:
        >>> import odyssey as od
        >>> import numpy as np
        >>> hc = od.nn.HyperConnection(streams=4, hidden=8)
        >>> x = hc.expand(np.ones((1, 3, 8), np.float32))
        >>> collapsed, state = hc.pre(x)
        >>> collapsed.shape, hc.post(collapsed, x, state).shape
        ((1, 3, 8), (1, 3, 4, 8))
    """

    def __init__(
        self,
        streams: int = 4,
        hidden: int | None = None,
        iterations: int = 20,
        eps: float = 1e-6,
        norm_eps: float = 1e-6,
        variant: str = "default",
        *,
        generator: np.random.Generator | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        if hidden is None:
            raise TypeError("HyperConnection: expected hidden, the length of a stream; HyperConnection(hidden=1024)")
        if not 1 <= streams <= 8 or hidden < 1:
            raise ShapeError(
                f"HyperConnection: expected 1 to 8 streams of 1 element or more, found {streams} of {hidden}"
            )
        if variant not in ("default", "paper"):
            raise ValueError(f"HyperConnection: expected variant 'default' or 'paper', found {variant!r}")
        generator = np.random.default_rng() if generator is None else generator
        self.streams, self.hidden, self.iterations = streams, hidden, iterations
        self.eps, self.norm_eps, self.variant = eps, norm_eps, variant
        width, parts = streams * hidden, {"pre": streams, "post": streams, "res": streams * streams}

        def weights(rows: int) -> Parameter:
            return Parameter(init.normal_(np.empty((rows, width), dtype), std=0.02, generator=generator))

        if variant == "default":
            outputs = sum(parts.values())
            self.fn = weights(outputs)
            self.base = Parameter(np.zeros(outputs, dtype))
            self.scale = Parameter(np.ones(3, dtype))
        else:
            for part, rows in parts.items():
                setattr(self, f"phi_{part}", weights(rows))
            for part, rows in parts.items():
                setattr(self, f"b_{part}", Parameter(np.zeros(rows, dtype)))
            for part in parts:
                setattr(self, f"alpha_{part}", Parameter(np.full(1, 0.01, dtype)))
        self._calls = self._tokens = 0
        self._seconds = 0.0
        self._last: tuple[Array, int] | None = None
        self._watched: list[tuple[Callable[[str, float, float], None], dict[str, float]]] = []

    def _parameters_of(self) -> tuple[Any, Any, Any]:
        if self.variant == "default":
            return self.fn, self.base, self.scale
        parts = ("pre", "post", "res")
        fn, base, scale = (
            stack_rows(*(getattr(self, kind + part) for part in parts)) for kind in ("phi_", "b_", "alpha_")
        )
        return fn, base, scale

    def pre(self, x: Tensor | Array) -> tuple[Tensor, HyperState]:
        """What the layer is to see of the streams x (..., streams, hidden), and what `post` needs."""
        began = perf_counter()
        collapsed, post, comb = functional.hyper_pre(
            x, *self._parameters_of(), self.iterations, self.eps, self.norm_eps, self.variant
        )
        tokens = comb.data.size // (self.streams * self.streams)
        self._calls += 1
        self._tokens += tokens
        self._last = comb.data, tokens
        self._seconds = perf_counter() - began
        return collapsed, HyperState(post, comb)

    def post(self, f: Tensor | Array, x: Tensor | Array, state: HyperState) -> Tensor:
        """The streams after the layer: its result f (..., hidden) added to each, and they mixed."""
        began = perf_counter()
        y = functional.hyper_post(f, x, state.post, state.comb)
        self._seconds += perf_counter() - began
        if self._watched:
            self._compare()
        return y

    def forward(self, x: Tensor | Array, layer: Callable[[Tensor], Tensor]) -> Tensor:
        """`pre`, the layer, `post`."""
        collapsed, state = self.pre(x)
        return self.post(layer(collapsed), x, state)

    def metrics(self) -> dict[str, float]:
        """Of the last call: seconds (forward, without the layer), bytes (the least that has to be read and written),
        iterations, row_residual and column_residual (the largest distance of a sum of a matrix from 1); and how many
        calls and tokens so far."""
        n, hidden = self.streams, self.hidden
        comb, tokens = (np.zeros((0, n, n)), 0) if self._last is None else self._last
        moved = ((2 + n) * n * n * hidden + tokens * (3 * n + 2) * hidden) * comb.dtype.itemsize if tokens else 0
        distances = [float(np.max(np.abs(comb.sum(axis) - 1), initial=0)) for axis in (-1, -2)]
        return {
            "seconds": self._seconds,
            "bytes": moved,
            "iterations": self.iterations,
            "row_residual": distances[0],
            "column_residual": distances[1],
            "calls": self._calls,
            "tokens": self._tokens,
        }

    def watch(self, callback: Callable[[str, float, float], None], **limits: float) -> None:
        """Call `callback(name, value, limit)` after each forward in which a number of `metrics` exceeds its limit.

        Example:
            >>> import odyssey as od
            >>> od.nn.HyperConnection(hidden=8).watch(print, row_residual=1e-3, seconds=0.1)
        """
        known = self.metrics()
        for name in limits:
            if name not in known:
                raise ValueError(f"watch: expected limits of {', '.join(known)}, found {name!r}")
        self._watched.append((callback, limits))

    def _compare(self) -> None:
        found = self.metrics()
        for callback, limits in self._watched:
            for name, limit in limits.items():
                if not found[name] <= limit:
                    callback(name, found[name], limit)

    def extra_repr(self) -> str:
        """What stands between the parentheses."""
        variant = "" if self.variant == "default" else f", variant={self.variant!r}"
        return f"streams={self.streams}, hidden={self.hidden}, iterations={self.iterations}{variant}"


class HyperHead(_Streams):
    """The streams' last sum, weighed: Σ (σ(mix · hc_scale + hc_base) + eps) x[j], mix as in `HyperConnection`.

    Parameters hc_fn (n, n · hidden), hc_base (n,) and hc_scale (1,): those of `DeepseekV4HyperHead` in Hugging Face's
    transformers, hc_head.hc_fn and so on in a checkpoint.

    Example:
        >>> import odyssey as od
        >>> import numpy as np
        >>> od.nn.HyperHead(4, 8)(np.ones((2, 4, 8), np.float32)).shape
        (2, 8)
    """

    def __init__(
        self,
        streams: int = 4,
        hidden: int | None = None,
        eps: float = 1e-6,
        norm_eps: float = 1e-6,
        *,
        generator: np.random.Generator | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        if hidden is None:
            raise TypeError("HyperHead: expected hidden, the length of a stream; HyperHead(hidden=1024)")
        generator = np.random.default_rng() if generator is None else generator
        self.streams, self.hidden, self.eps, self.norm_eps = streams, hidden, eps, norm_eps
        self.hc_fn = Parameter(
            init.normal_(np.empty((streams, streams * hidden), dtype), std=0.02, generator=generator)
        )
        self.hc_base = Parameter(np.zeros(streams, dtype))
        self.hc_scale = Parameter(np.ones(1, dtype))

    def forward(self, x: Tensor | Array) -> Tensor:
        """(..., streams, hidden) -> (..., hidden)."""
        return functional.hyper_head(x, self.hc_fn, self.hc_base, self.hc_scale, self.eps, self.norm_eps)


class ResidualAdd(Module):
    """The plain residual connection, f + x, in the shape of a `HyperConnection`: one stream, and nothing to learn."""

    def expand(self, x: Tensor | Array) -> Tensor | Array:
        """x itself."""
        return x

    def collapse(self, x: Tensor | Array) -> Tensor | Array:
        """x itself."""
        return x

    def pre(self, x: Tensor | Array) -> tuple[Tensor | Array, None]:
        """x itself, and nothing for `post`."""
        return x, None

    def post(self, f: Tensor | Array, x: Tensor | Array, state: None) -> Tensor:
        """f + x."""
        return functional.add(f, x)

    def forward(self, x: Tensor | Array, layer: Callable[[Any], Tensor]) -> Tensor:
        """layer(x) + x."""
        return self.post(layer(x), x, None)


def residual(kind: str, hidden: int, **options: Any) -> ResidualAdd | HyperConnection:
    """The connection around a layer of a transformer block: "add", or "mhc" with the options of `HyperConnection`.

    A block has one for each of its layers and is written once:

        collapsed, state = self.attention_residual.pre(x)
        x = self.attention_residual.post(self.attention(self.norm(collapsed)), x, state)

    and the model calls `expand` before the first block and `collapse` (or a `HyperHead`) after the last.

    Example:
        >>> import odyssey as od
        >>> od.nn.residual("mhc", 8, streams=2)
        HyperConnection(streams=2, hidden=8, iterations=20)
    """
    if kind == "mhc":
        return HyperConnection(hidden=hidden, **options)
    if kind != "add":
        raise ValueError(f"residual: expected 'add' or 'mhc', found {kind!r}")
    return ResidualAdd()


_NATIVE = (
    (re.compile(r"(^|.*\.)hc_(attn|ffn)_(fn|base|scale)$"), r"\1\2_hc.\3"),
    (re.compile(r"(^|.*\.)hc_head_(fn|base|scale)$"), r"\1hc_head.hc_\2"),
)


def transformers_name(name: str) -> str:
    """The name that transformers gives a hyper-connection's tensor of DeepSeek's own checkpoint; another name as it is.

    Example:
        >>> import odyssey as od
        >>> od.nn.hyper.transformers_name("layers.0.hc_attn_fn"), od.nn.hyper.transformers_name("hc_head_scale")
        ('layers.0.attn_hc.fn', 'hc_head.hc_scale')
    """
    for pattern, replacement in _NATIVE:
        if pattern.match(name):
            return pattern.sub(replacement, name)
    return name
