"""A mixture of experts: a router, and many small feed-forward layers of which each token sees a few."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from odyssey.errors import ShapeError
from odyssey.nn import functional, init
from odyssey.nn.functional._arguments import operand
from odyssey.nn.module import Module, Parameter
from odyssey.nn.stored import StoredWeight
from odyssey.tensor import ops
from odyssey.tensor.tape import Array, Gradients, Node
from odyssey.tensor.tensor import Tensor, record

__all__ = ["MixtureOfExperts"]


class MixtureOfExperts(Module):
    """Σ wⱼ expertⱼ(x) over each token's top_k of the experts, (..., features) -> (..., features).

    The router's softmax(router @ x) gives the weights; an expert is down @ (silu(gate @ x) · (up @ x)). Tokens are
    sorted by expert, so that an expert is one product; no token is dropped, and an expert without tokens costs nothing.

    Args:
        features: the length of a token.
        hidden: the length inside an expert.
        experts: how many there are.
        top_k: how many of them each token sees.
        renormalize: whether a token's weights are divided by their sum (Mixtral) or left as they are (OLMoE).
        generator: where the initial weights come from; without one they differ from run to run.
        dtype: float32 or float64.

    Attributes:
        router: (experts, features). gate, up: (experts, hidden, features). down: (experts, features, hidden).
            Parameters that start uniform in +-1 / sqrt(their last axis). Each may be replaced by a `StoredWeight`.
        counts: (experts,) int64, how many tokens each expert saw in the last call; None before the first.

    Example:
        >>> import odyssey as od
        >>> import numpy as np
        >>> moe = od.nn.MixtureOfExperts(8, 16, experts=4, top_k=2, generator=np.random.default_rng(0))
        >>> moe(np.ones((2, 3, 8), np.float32)).shape, moe.counts.sum()
        ((2, 3, 8), np.int64(12))

    Shazeer et al. 2017, "Outrageously Large Neural Networks"; Jiang et al. 2024, "Mixtral of Experts".
    """

    def __init__(
        self,
        features: int,
        hidden: int,
        experts: int,
        top_k: int,
        renormalize: bool = True,
        *,
        generator: np.random.Generator | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        if not 1 <= top_k <= experts:
            raise ValueError(f"MixtureOfExperts: expected top_k in [1, {experts}], the experts; found {top_k}")
        generator = np.random.default_rng() if generator is None else generator
        self.features = features
        self.hidden = hidden
        self.experts = experts
        self.top_k = top_k
        self.renormalize = renormalize
        self.router: Any = _uniform((experts, features), generator, dtype)
        self.gate: Any = _uniform((experts, hidden, features), generator, dtype)
        self.up: Any = _uniform((experts, hidden, features), generator, dtype)
        self.down: Any = _uniform((experts, features, hidden), generator, dtype)
        self.counts: Array | None = None
        self._logits: Tensor | None = None

    def forward(self, x: Tensor | Array) -> Tensor:
        shape = x.shape
        if not shape or shape[-1] != self.features:
            raise ShapeError(f"MixtureOfExperts: expected (..., {self.features}), found {shape}")
        tokens = functional.reshape(x, -1, self.features)
        self._logits = logits = functional.linear(tokens, self.router)
        weights, experts = functional.moe_route(logits, self.top_k, self.renormalize)
        chosen = experts.ravel()
        order = np.argsort(chosen, kind="stable")
        self.counts = np.bincount(chosen, minlength=self.experts)
        offsets = np.cumsum(self.counts)
        sorted_tokens = functional.embedding(tokens, order // self.top_k)
        gate = _by_expert(sorted_tokens, self.gate, offsets)
        up = _by_expert(sorted_tokens, self.up, offsets)
        made = _by_expert(functional.swiglu(gate, up), self.down, offsets)
        rows = np.empty(len(order), np.int64)
        rows[order] = np.arange(len(order))
        return functional.reshape(functional.moe_combine(made, weights, rows.reshape(experts.shape)), shape)

    def load_balancing_loss(self) -> Tensor:
        """N Σ fᵢ Pᵢ of the last call, over the N experts: f, the share of an expert in all choices, and P, its mean
        probability. It is 1 where tokens are spread evenly; its gradient goes through P.

        Raises:
            RuntimeError: there was no call.

        Example:
            >>> import odyssey as od
            >>> import numpy as np
            >>> moe = od.nn.MixtureOfExperts(2, 2, experts=4, top_k=1)
            >>> _ = moe(np.zeros((3, 2), np.float32))  # all to the first of equal ones
            >>> moe.load_balancing_loss().item()
            1.0

        Fedus, Zoph and Shazeer 2021, "Switch Transformers", (4); for several choices a token, f over all of them.
        """
        if self._logits is None or self.counts is None:
            raise RuntimeError("load_balancing_loss: expected a call of the layer before, found none; call it first")
        mean = functional.mean(functional.softmax(self._logits), 0)
        total = int(self.counts.sum())
        share = (self.counts * (self.experts / max(total, 1))).astype(mean.dtype)
        return functional.sum(functional.multiply(mean, share))

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "counts": None, "_logits": None}

    def extra_repr(self) -> str:
        return f"{self.features}, {self.hidden}, experts={self.experts}, top_k={self.top_k}" + (
            "" if self.renormalize else ", renormalize=False"
        )


def _uniform(shape: tuple[int, ...], generator: np.random.Generator, dtype: DTypeLike) -> Parameter:
    bound = 1.0 / math.sqrt(shape[-1]) if shape[-1] else 0.0
    return Parameter(init.uniform_(np.empty(shape, dtype), -bound, bound, generator=generator))


def _by_expert(x: Tensor, weight: Parameter | StoredWeight, offsets: Array) -> Tensor:
    """x[i] @ weight[g].T for the rows i of each group g, whose ends are `offsets`."""
    if isinstance(weight, StoredWeight):
        return functional.grouped_matmul(x, weight.transposes(), offsets, weight.precision)
    x_data, x_edge = operand(x)
    weight_data, weight_edge = operand(weight)
    y = ops.grouped_matmul(x_data, weight_data.swapaxes(1, 2), offsets)
    return record(y, _by_expert_backward, (x_edge, weight_edge), (x_data, weight_data, offsets))


def _by_expert_backward(grad: Array, node: Node) -> Gradients:
    """As of `functional.grouped_matmul`, but the weight's gradient is written where the last one was."""
    to_x, to_weight = node.inputs
    x, weight, offsets = node.saved
    return (
        None if to_x is None else ops.grouped_matmul(grad, weight, offsets, to_x.out()),
        None if to_weight is None else ops.grouped_matmul(grad.T, x, offsets, to_weight.out()),
    )
