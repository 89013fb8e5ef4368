"""A mixture of experts: the router, the sum of what the experts made, and their gradients.

Arrays are float32 or float64, all of one type (else `DTypeError`); rows and experts are numbered in int64 or int32.
Shapes that do not fit are a `ShapeError`, numbers that are no row or expert an `IndexError`.
"""

from __future__ import annotations

import numpy as np

from odyssey.errors import DTypeError, ShapeError, describe, explain
from odyssey.reference._arrays import deliver, real, reals, wide
from odyssey.typing import Array, ArrayLike


def moe_route(logits: ArrayLike, k: int, renormalize: bool = True) -> tuple[Array, Array]:
    """Each token's k likeliest experts and their weights: (T, E) -> weights (T, k), experts (T, k) int64.

    The weights are softmax(logits) at the k largest logits, largest first, equal ones in the order of their numbers;
    divided by their sum if `renormalize`. NaN counts as the least logit, and makes all weights of its token NaN.

    >>> moe_route(np.float32([[0, 1, 1]]), 2)
    (array([[0.5, 0.5]], dtype=float32), array([[1, 2]]))

    Shazeer et al. 2017, "Outrageously Large Neural Networks"; Mixtral renormalises, OLMoE does not.
    """
    logits = _logits("moe_route", logits)
    k = _kept("moe_route", k, logits)
    x = wide(logits)
    experts = np.argsort(-np.where(np.isnan(x), -np.inf, x), axis=1, kind="stable")[:, :k]
    weights = np.take_along_axis(_probabilities(x), experts, 1)
    if renormalize:
        weights = weights / np.sum(weights, axis=1, keepdims=True)
    return deliver(weights, logits.dtype, None), experts.astype(np.int64)


def moe_route_backward(
    grad: ArrayLike, logits: ArrayLike, experts: ArrayLike, renormalize: bool = True, out: Array | None = None
) -> Array:
    """The gradient of the logits (T, E) from that of the weights (T, k). The choice of experts has none.

    >>> moe_route_backward(np.float32([[1, 0]]), np.float32([[0, 1, 1]]), np.array([[1, 2]]))
    array([[ 0.  ,  0.25, -0.25]], dtype=float32)
    """
    logits = _logits("moe_route_backward", logits)
    chosen = _numbers("moe_route_backward", "experts", experts, logits.shape[1])
    if chosen.ndim != 2 or len(chosen) != len(logits):
        raise ShapeError(explain("moe_route_backward: experts must be (T, k)", describe(experts=chosen, logits=logits)))
    grad = _like("moe_route_backward", "grad", grad, logits, chosen.shape)
    p = _probabilities(wide(logits))
    weights = np.take_along_axis(p, chosen, 1)
    if renormalize:
        weights = weights / np.sum(weights, axis=1, keepdims=True)
    g = wide(grad)
    mean = np.sum(g * weights, axis=1, keepdims=True)
    by_logits = np.zeros_like(p) if renormalize else -p * mean
    np.put_along_axis(by_logits, chosen, weights * (g - mean), 1)
    return deliver(by_logits, logits.dtype, out)


def moe_combine(x: ArrayLike, weights: ArrayLike, rows: ArrayLike, out: Array | None = None) -> Array:
    """Σ weights[t, j] x[rows[t, j]] over j ascending: x (R, H), weights and rows (T, k) -> (T, H).

    >>> moe_combine(np.float32([[1, 2], [3, 4]]), np.float32([[1, 10]]), np.array([[1, 0]]))
    array([[13., 24.]], dtype=float32)
    """
    x, weights, index = _combined("moe_combine", x, weights, rows)
    total = wide(np.zeros((len(index), x.shape[1]), x.dtype))
    for j in range(index.shape[1]):
        total = total + wide(weights[:, j, None]) * wide(x[index[:, j]])
    return deliver(total, x.dtype, out)


def moe_combine_backward(grad: ArrayLike, x: ArrayLike, weights: ArrayLike, rows: ArrayLike) -> tuple[Array, Array]:
    """The gradients of x (R, H) and of the weights (T, k), from that of the result (T, H).

    A row of x named several times receives their sum, in the order of the positions; one never named, 0.

    >>> moe_combine_backward(np.float32([[1, 2]]), np.float32([[1, 2], [3, 4]]), np.float32([[5]]), np.array([[1]]))
    (array([[ 0.,  0.],
           [ 5., 10.]], dtype=float32), array([[11.]], dtype=float32))
    """
    x, weights, index = _combined("moe_combine_backward", x, weights, rows)
    grad = _like("moe_combine_backward", "grad", grad, x, (len(index), x.shape[1]))
    g = wide(grad)
    by_x = wide(np.zeros_like(x))
    np.add.at(by_x, index, wide(weights)[:, :, None] * g[:, None, :])
    by_weights = np.einsum("th,tkh->tk", g, wide(x)[index])
    return deliver(by_x, x.dtype, None), deliver(by_weights, x.dtype, None)


def _probabilities(x: Array) -> Array:
    weights = np.exp(x - np.max(x, axis=1, keepdims=True, initial=-np.inf))
    probabilities: Array = weights / np.sum(weights, axis=1, keepdims=True)
    return probabilities


def _logits(op: str, value: ArrayLike) -> Array:
    logits = real("logits", value)
    if logits.ndim != 2:
        raise ShapeError(explain(f"{op}: logits must be (T, E)", describe(logits=logits)))
    return logits


def _kept(op: str, k: int, logits: Array) -> int:
    if not 1 <= k <= logits.shape[1]:
        raise ValueError(f"{op}: k must lie in [1, {logits.shape[1]}], the number of experts; found {k!r}")
    return int(k)


def _numbers(op: str, name: str, value: ArrayLike, count: int) -> Array:
    """Numbers of rows or of experts, checked."""
    index: Array = np.asarray(value)
    if index.dtype not in (np.int64, np.int32):
        raise DTypeError(explain(f"{op}: {name} must be int64 or int32", describe(**{name: index})))
    outside = (index < 0) | (index >= count)
    if outside.any():
        where = np.unravel_index(int(np.argmax(outside)), index.shape)
        raise IndexError(
            f"{op}: {name} must lie in [0, {count}), but {name}[{', '.join(map(str, where))}] is {index[where]}"
        )
    return index


def _like(op: str, name: str, value: ArrayLike, x: Array, shape: tuple[int, ...]) -> Array:
    array, _ = reals(**{name: value, "x": x})
    if array.shape != shape:
        raise ShapeError(explain(f"{op}: {name} must be of shape {shape}", describe(**{name: array})))
    return array


def _combined(op: str, x: ArrayLike, weights: ArrayLike, rows: ArrayLike) -> tuple[Array, Array, Array]:
    x, weights = reals(x=x, weights=weights)
    if x.ndim != 2:
        raise ShapeError(explain(f"{op}: x must be (R, H)", describe(x=x)))
    index = _numbers(op, "rows", rows, len(x))
    if index.ndim != 2 or weights.shape != index.shape:
        raise ShapeError(
            explain(f"{op}: weights and rows must be (T, k), of one shape", describe(weights=weights, rows=index))
        )
    return x, weights, index
