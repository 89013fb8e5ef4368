"""Scaled dot-product attention and its gradients.

Arrays are float32 or float64 and all of one type (else `DTypeError`); a mask may be bool. Axes that do not fit are a
`ShapeError`. Causality is aligned to the end of the keys. A key that is masked out, or whose score is -inf, takes no
part, whatever it holds, and a row without keys gives 0; in the gradients what is masked out must be finite. The query
is scaled first, and that is rounded to its type.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from odyssey.errors import DTypeError, ShapeError, describe, explain
from odyssey.reference._arrays import deliver, real, reals, rounded, wide
from odyssey.typing import Array, ArrayLike


def scaled_dot_product_attention(
    query: ArrayLike,
    key: ArrayLike,
    value: ArrayLike,
    attn_mask: ArrayLike | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    out: Array | None = None,
) -> Array:
    """softmax(scale · query keyᵀ + attn_mask) value, each head of keys serving as many neighbouring heads of queries.

    >>> scaled_dot_product_attention(np.float32([[0, 0]]), np.float32([[1, 2], [3, 4]]), np.float32([[10], [20]]))
    array([[15.]], dtype=float32)
    """
    query, key, value = _checked(query, key, value)
    weights, part = _weights(query, key, attn_mask, is_causal, scale)
    values = _shared(wide(value), query)
    if np.isfinite(values).all():
        result = weights @ values
    else:  # 0 times what is not finite is not 0, but such a key takes no part
        terms = weights[..., np.newaxis] * values[..., np.newaxis, :, :]
        result = np.sum(np.where(part[..., np.newaxis], terms, 0), axis=-2)
    return deliver(result, query.dtype, out)


def scaled_dot_product_attention_backward(
    grad: ArrayLike,
    query: ArrayLike,
    key: ArrayLike,
    value: ArrayLike,
    attn_mask: ArrayLike | None = None,
    is_causal: bool = False,
    scale: float | None = None,
) -> tuple[Array, Array, Array]:
    """The gradients of query, key and value: with dw = grad · value, ds = scale · w (dw - Σ w dw).

    >>> ones = np.ones((1, 1), np.float32)
    >>> scaled_dot_product_attention_backward(ones, ones, ones, ones)[2]
    array([[1.]], dtype=float32)
    """
    query, key, value = _checked(query, key, value)
    grad = real("grad", grad)
    if grad.dtype != query.dtype:
        raise DTypeError(explain("the arrays must be of one type", describe(grad=grad, query=query)))
    if grad.shape != query.shape[:-1] + value.shape[-1:]:
        raise ShapeError(
            explain("grad must have the shape of the result", describe(grad=grad, query=query, value=value))
        )
    weights, _ = _weights(query, key, attn_mask, is_causal, scale)
    g = wide(grad)
    by_weight = g @ np.swapaxes(_shared(wide(value), query), -1, -2)
    slope = weights * (by_weight - np.sum(weights * by_weight, axis=-1, keepdims=True)) * _scale(scale, query)
    by_key = _gathered(np.swapaxes(slope, -1, -2) @ wide(query), key)
    by_value = _gathered(np.swapaxes(weights, -1, -2) @ g, value)
    dtype = query.dtype
    return (
        deliver(slope @ _shared(wide(key), query), dtype, None),
        deliver(by_key, dtype, None),
        deliver(by_value, dtype, None),
    )


def _checked(query: Any, key: Any, value: Any) -> list[Array]:
    q, k, v = arrays = reals(query=query, key=key, value=value)
    fits = q.ndim == k.ndim == v.ndim >= 2 and q.shape[-1] == k.shape[-1] and k.shape[:-1] == v.shape[:-1]
    if fits and q.ndim > 2:
        fits = q.shape[:-3] == k.shape[:-3] and (q.shape[-3] % k.shape[-3] if k.shape[-3] else q.shape[-3]) == 0
    if not fits:
        expected = "query must be (..., heads, queries, depth), key (..., key heads, keys, depth) and value likewise"
        raise ShapeError(explain(expected, describe(query=q, key=k, value=v)))
    return arrays


def _scale(scale: float | None, query: Array) -> Any:
    depth = query.shape[-1]
    return rounded((1 / np.sqrt(depth) if depth else 1.0) if scale is None else scale, query)


def _shared(x: Array, query: Array) -> Array:
    """Keys or values once for each head of queries."""
    return x if x.ndim == 2 or not x.shape[-3] else np.repeat(x, query.shape[-3] // x.shape[-3], axis=-3)


def _gathered(gradient: Array, x: Array) -> Array:
    """The heads that share one of keys added up."""
    if x.ndim == 2:
        return gradient
    group = gradient.shape[-3] // x.shape[-3] if x.shape[-3] else 1
    total: Array = np.sum(gradient.reshape(*x.shape[:-2], group, *x.shape[-2:]), axis=-3)
    return total


def _weights(query: Array, key: Array, attn_mask: Any, is_causal: bool, scale: float | None) -> tuple[Array, Array]:
    """What each key counts for each query, and whether it takes part."""
    scaled = wide((wide(query) * _scale(scale, query)).astype(query.dtype))
    scores = scaled @ np.swapaxes(_shared(wide(key), query), -1, -2)
    part = np.ones(scores.shape, bool)
    if attn_mask is not None:
        given = np.asarray(attn_mask)
        if given.dtype != bool and given.dtype != query.dtype:
            expected = "attn_mask must be bool, or of query's type"
            raise DTypeError(explain(expected, describe(query=query, attn_mask=given)))
        try:
            broadcast = np.broadcast_to(given, scores.shape)
        except ValueError:
            expected = "attn_mask must broadcast to (..., heads, queries, keys)"
            raise ShapeError(explain(expected, describe(query=query, key=key, attn_mask=given))) from None
        if given.dtype == bool:
            part &= broadcast
        else:
            part &= broadcast != -np.inf
            scores = scores + wide(broadcast)
    if is_causal:
        queries, keys = scores.shape[-2:]
        part &= np.arange(keys) <= np.arange(queries)[:, np.newaxis] + (keys - queries)
    scores = np.where(part, scores, -np.inf)
    part = scores != -np.inf
    largest = np.max(scores, axis=-1, keepdims=True, initial=-np.inf)
    weights = np.where(part, np.exp(scores - np.where(largest == -np.inf, 0, largest)), 0)
    total = np.sum(weights, axis=-1, keepdims=True)
    return weights / np.where(total == 0, 1, total), part
