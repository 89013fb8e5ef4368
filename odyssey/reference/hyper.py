"""Manifold-constrained hyper-connections, and their gradients.

A token has n streams of `hidden` elements, x[0] .. x[n - 1], with 1 <= n <= 8. From all of them together come the
weights by which a layer sees them (`pre`), by which its result is added to each (`post`), and a doubly stochastic
matrix that mixes them (`comb`). Arrays are float32 or float64, all of one type (else `DTypeError`); shapes that do not
fit are a `ShapeError`. Sums over tokens give the gradients of the parameters.

Xie et al. 2025, "mHC: Manifold-Constrained Hyper-Connections", arXiv 2512.24880; in the form of DeepSeek-V4, of which
the paper's own is a variant.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from odyssey.errors import DTypeError, ShapeError, describe, explain
from odyssey.reference._arrays import deliver, real, reals, rounded, wide
from odyssey.typing import Array, ArrayLike

MOST_STREAMS = 8
VARIANTS = ("default", "paper")


def hyper_pre(
    x: ArrayLike,
    fn: ArrayLike,
    base: ArrayLike,
    scale: ArrayLike,
    iterations: int = 20,
    eps: float = 1e-6,
    norm_eps: float = 1e-6,
    variant: str = "default",
) -> tuple[Array, Array, Array, Array]:
    """(collapsed, post, comb, mix) of x (..., n, hidden), with fn ((2 + n) n, n · hidden), base ((2 + n) n,), scale
    (3,):

        mix = (fn · vec(x)) / √(mean(vec(x)²) + norm_eps), in the order pre, post, comb
        pre = σ(mix · scale[0] + base) + eps,   post = 2 σ(mix · scale[1] + base)
        M = softmax(mix · scale[2] + base, rows) + eps;   M /= column sums + eps
        (iterations - 1) times:   M /= row sums + eps;   M /= column sums + eps;   comb = M
        collapsed = Σ pre[j] x[j]

    variant="paper" takes the exponential (less what its first normalisation makes no difference) and normalises
    columns, then rows, of the paper's matrix H, by which x' = H x: comb is H transposed. It adds no eps to pre and H.

    >>> x = np.ones((1, 2, 3), np.float32)
    >>> zeros = np.zeros((8, 6), np.float32)
    >>> collapsed, post, comb, mix = hyper_pre(x, zeros, zeros[:, 0], np.ones(3, np.float32))
    >>> collapsed.round(3), post, comb.round(3)
    (array([[1., 1., 1.]], dtype=float32), array([[1., 1.]], dtype=float32), array([[[0.5, 0.5],
            [0.5, 0.5]]], dtype=float32))
    """
    x, fn, base, scale = _operands("hyper_pre", x, fn, base, scale, _outputs, 3)
    _check_iterations("hyper_pre", iterations, variant)
    _, mix = _projected(x, fn, norm_eps)
    pre, post, logits = _weights(mix, base, scale, x, eps, variant)
    comb = _sinkhorn(logits, iterations, eps, x, variant)[-1]
    collapsed = np.einsum("...j,...jh->...h", pre, wide(x))
    dtype = x.dtype
    return (
        deliver(collapsed, dtype, None),
        deliver(post, dtype, None),
        deliver(comb, dtype, None),
        deliver(mix, dtype, None),
    )


def hyper_pre_backward(
    grad_collapsed: ArrayLike,
    grad_post: ArrayLike | None,
    grad_comb: ArrayLike | None,
    x: ArrayLike,
    fn: ArrayLike,
    base: ArrayLike,
    scale: ArrayLike,
    mix: ArrayLike,
    iterations: int = 20,
    eps: float = 1e-6,
    norm_eps: float = 1e-6,
    variant: str = "default",
) -> tuple[Array, Array, Array, Array]:
    """The gradients of x, fn, base and scale, back through the iterations one by one. `mix` is what `hyper_pre`
    returned; grad_post and grad_comb may be None for zeros.

    >>> one, x = np.ones((1, 1), np.float32), np.ones((1, 1, 1), np.float32)
    >>> hyper_pre_backward(one, None, None, x, np.zeros((3, 1), np.float32), np.zeros(3, np.float32),
    ...                    np.ones(3, np.float32), np.zeros((1, 3), np.float32))[2]
    array([0.25, 0.  , 0.  ], dtype=float32)
    """
    x, fn, base, scale = _operands("hyper_pre_backward", x, fn, base, scale, _outputs, 3)
    _check_iterations("hyper_pre_backward", iterations, variant)
    n = x.shape[-2]
    lead = x.shape[:-2]
    shapes = {"grad_collapsed": (*lead, x.shape[-1]), "mix": (*lead, _outputs(n))}
    given: dict[str, Any] = {"grad_collapsed": grad_collapsed, "mix": mix}
    for name, value, shape in (("grad_post", grad_post, (*lead, n)), ("grad_comb", grad_comb, (*lead, n, n))):
        if value is not None:
            given[name], shapes[name] = value, shape
    arrays = {name: _like("hyper_pre_backward", name, value, x, shapes[name]) for name, value in given.items()}
    zeros = np.zeros(1, x.dtype)
    g = wide(arrays["grad_collapsed"])
    m = wide(arrays["mix"])
    by_post = np.broadcast_to(wide(arrays.get("grad_post", zeros)), (*lead, n))
    by_comb = np.broadcast_to(wide(arrays.get("grad_comb", zeros)), (*lead, n, n))
    pre, post, logits = _weights(m, base, scale, x, eps, variant)
    by_logits = _sinkhorn_backward(by_comb, logits, iterations, eps, x, variant)
    if variant == "paper":
        by_logits = np.swapaxes(by_logits, -1, -2)
    s = pre - _added(eps, x, variant)
    by_pre = np.einsum("...h,...jh->...j", g, wide(x))
    slope = np.concatenate(
        [by_pre * s * (1 - s), by_post * post * (1 - post / 2), by_logits.reshape(*lead, n * n)], axis=-1
    )
    return _parameters(slope, m, pre, g, x, fn, scale, norm_eps)


def hyper_post(f: ArrayLike, x: ArrayLike, post: ArrayLike, comb: ArrayLike, out: Array | None = None) -> Array:
    """x'[k] = post[k] · f + Σⱼ comb[j, k] · x[j]: f is (..., hidden), x (..., n, hidden), post (..., n), comb (..., n,
    n). `out` may be x.

    >>> swap = np.float32([[[0, 1], [1, 0]]])
    >>> hyper_post(np.float32([[10]]), np.float32([[[1], [2]]]), np.float32([[1, 0]]), swap)
    array([[[12.],
            [ 1.]]], dtype=float32)
    """
    f, x, post, comb = _mixed("hyper_post", f, x, post, comb)
    mixed = np.einsum("...jk,...jh->...kh", wide(comb), wide(x))
    return deliver(wide(post)[..., np.newaxis] * wide(f)[..., np.newaxis, :] + mixed, x.dtype, out)


def hyper_post_backward(
    grad: ArrayLike, f: ArrayLike, x: ArrayLike, post: ArrayLike, comb: ArrayLike
) -> tuple[Array, Array, Array, Array]:
    """The gradients of f, x, post and comb.

    >>> one = np.ones((1, 1), np.float32)
    >>> hyper_post_backward(np.float32([[[2]]]), 3 * one, np.float32([[[5]]]), 7 * one, np.float32([[[11]]]))[3]
    array([[[10.]]], dtype=float32)
    """
    f, x, post, comb = _mixed("hyper_post_backward", f, x, post, comb)
    g = wide(_like("hyper_post_backward", "grad", grad, x, x.shape))
    gradients = (
        np.einsum("...k,...kh->...h", wide(post), g),
        np.einsum("...jk,...kh->...jh", wide(comb), g),
        np.einsum("...kh,...h->...k", g, wide(f)),
        np.einsum("...jh,...kh->...jk", wide(x), g),
    )
    by_f, by_x, by_post, by_comb = (deliver(one, x.dtype, None) for one in gradients)
    return by_f, by_x, by_post, by_comb


def hyper_head(
    x: ArrayLike, fn: ArrayLike, base: ArrayLike, scale: ArrayLike, eps: float = 1e-6, norm_eps: float = 1e-6
) -> Array:
    """The streams' last sum, Σ (σ(mix · scale + base) + eps) x[j]; fn is (n, n · hidden), base (n,), scale (1,).

    >>> hyper_head(np.ones((1, 2, 1), np.float32), np.zeros((2, 2), np.float32), np.zeros(2, np.float32),
    ...            np.ones(1, np.float32)).round(3)
    array([[1.]], dtype=float32)
    """
    x, fn, base, scale = _operands("hyper_head", x, fn, base, scale, lambda n: n, 1)
    pre = _sigmoid(_projected(x, fn, norm_eps)[1] * wide(scale) + wide(base)) + rounded(eps, x)
    return deliver(np.einsum("...j,...jh->...h", pre, wide(x)), x.dtype, None)


def hyper_head_backward(
    grad: ArrayLike,
    x: ArrayLike,
    fn: ArrayLike,
    base: ArrayLike,
    scale: ArrayLike,
    eps: float = 1e-6,
    norm_eps: float = 1e-6,
) -> tuple[Array, Array, Array, Array]:
    """The gradients of x, fn, base and scale.

    >>> one, zero = np.ones((1, 1), np.float32), np.zeros(1, np.float32)
    >>> hyper_head_backward(one, np.ones((1, 1, 1), np.float32), 0 * one, zero, np.ones(1, np.float32))[2]
    array([0.25], dtype=float32)
    """
    x, fn, base, scale = _operands("hyper_head_backward", x, fn, base, scale, lambda n: n, 1)
    g = wide(_like("hyper_head_backward", "grad", grad, x, (*x.shape[:-2], x.shape[-1])))
    _, mix = _projected(x, fn, norm_eps)
    s = _sigmoid(mix * wide(scale) + wide(base))
    slope = np.einsum("...h,...jh->...j", g, wide(x)) * s * (1 - s)
    return _parameters(slope, mix, s + rounded(eps, x), g, x, fn, scale, norm_eps)


def _outputs(n: int) -> int:
    return (2 + n) * n


def _sigmoid(z: Array) -> Array:
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(-z)))


def _added(eps: float, x: Array, variant: str) -> Any:
    return rounded(eps if variant == "default" else 0.0, x)


def _projected(x: Array, fn: Array, norm_eps: float) -> tuple[Array, Array]:
    """1 / the root of the mean square, and mix."""
    z = wide(x).reshape(*x.shape[:-2], x.shape[-2] * x.shape[-1])
    root = 1 / np.sqrt(np.mean(z * z, axis=-1, keepdims=True) + rounded(norm_eps, x))
    return root, np.asarray((z @ wide(fn).T) * root)


def _weights(mix: Array, base: Array, scale: Array, x: Array, eps: float, variant: str) -> tuple[Array, Array, Array]:
    """pre, post, and the logits of comb."""
    n = x.shape[-2]
    parts = np.repeat(wide(scale), [n, n, n * n])
    logits = mix * parts + wide(base)
    pre = _sigmoid(logits[..., :n]) + _added(eps, x, variant)
    square = logits[..., 2 * n :].reshape(*x.shape[:-2], n, n)
    return pre, 2 * _sigmoid(logits[..., n : 2 * n]), np.swapaxes(square, -1, -2) if variant == "paper" else square


def _sinkhorn(logits: Array, iterations: int, eps: float, x: Array, variant: str) -> list[Array]:
    """The softmax, and the matrix after each normalisation."""
    exponentials = np.exp(logits - np.max(logits, axis=-1, keepdims=True))
    matrices = [exponentials / np.sum(exponentials, axis=-1, keepdims=True)]
    matrix = matrices[0] + _added(eps, x, variant)
    for i in range(2 * iterations - 1):
        matrix = matrix / (np.sum(matrix, axis=-1 if i % 2 else -2, keepdims=True) + rounded(eps, x))
        matrices.append(matrix)
    return matrices


def _sinkhorn_backward(grad: Array, logits: Array, iterations: int, eps: float, x: Array, variant: str) -> Array:
    soft, *after = _sinkhorn(logits, iterations, eps, x, variant)
    before = [soft + _added(eps, x, variant), *after[:-1]]
    for i in reversed(range(2 * iterations - 1)):
        axis = -1 if i % 2 else -2
        total = np.sum(before[i], axis=axis, keepdims=True) + rounded(eps, x)
        grad = (grad - np.sum(grad * after[i], axis=axis, keepdims=True)) / total
    return np.asarray(soft * (grad - np.sum(grad * soft, axis=-1, keepdims=True)))


def _parameters(
    slope: Array, mix: Array, pre: Array, grad: Array, x: Array, fn: Array, scale: Array, norm_eps: float
) -> tuple[Array, Array, Array, Array]:
    """From the gradients of the logits to those of x, fn, base and scale."""
    n, hidden = x.shape[-2:]
    sizes = [n, n, n * n] if len(scale) == 3 else [n]
    z = wide(x).reshape(*x.shape[:-2], x.shape[-2] * x.shape[-1])
    root = 1 / np.sqrt(np.mean(z * z, axis=-1, keepdims=True) + rounded(norm_eps, x))
    by_mix = slope * np.repeat(wide(scale), sizes)
    by_product = by_mix * root
    dx = by_product @ wide(fn) - z * root * root * np.sum(by_mix * mix, axis=-1, keepdims=True) / z.shape[-1]
    dx = dx.reshape(x.shape) + pre[..., np.newaxis] * grad[..., np.newaxis, :]
    rows = slope.reshape(-1, slope.shape[-1])
    by_scale = np.add.reduceat(np.sum(rows * mix.reshape(rows.shape), axis=0), np.cumsum([0, *sizes[:-1]]))
    by_fn = by_product.reshape(rows.shape).T @ z.reshape(len(rows), n * hidden)
    dx, by_fn, by_base, by_scale = (deliver(one, x.dtype, None) for one in (dx, by_fn, np.sum(rows, axis=0), by_scale))
    return dx, by_fn, by_base, by_scale


def _operands(op: str, x: Any, fn: Any, base: Any, scale: Any, outputs: Any, scales: int) -> list[Array]:
    arrays = reals(x=_array(x), fn=_array(fn), base=_array(base), scale=_array(scale))
    x, fn, base, scale = arrays
    _check_streams(op, x)
    n = x.shape[-2]
    expected = {"fn": (outputs(n), n * x.shape[-1]), "base": (outputs(n),), "scale": (scales,)}
    for name, array in (("fn", fn), ("base", base), ("scale", scale)):
        if array.shape != expected[name]:
            raise ShapeError(explain(f"{op}: {name} must be {expected[name]}", describe(x=x, **{name: array})))
    return arrays


def _mixed(op: str, f: Any, x: Any, post: Any, comb: Any) -> list[Array]:
    arrays = reals(f=_array(f), x=_array(x), post=_array(post), comb=_array(comb))
    f, x, post, comb = arrays
    _check_streams(op, x)
    lead, (n, hidden) = x.shape[:-2], x.shape[-2:]
    for name, array, shape in (("f", f, (hidden,)), ("post", post, (n,)), ("comb", comb, (n, n))):
        if array.shape != (*lead, *shape):
            raise ShapeError(explain(f"{op}: {name} must be {(*lead, *shape)}", describe(x=x, **{name: array})))
    return arrays


def _array(value: Any) -> Array:
    return real("operand", value)


def _like(op: str, name: str, value: Any, x: Array, shape: tuple[int, ...]) -> Array:
    array = real(name, value)
    if array.dtype != x.dtype:
        raise DTypeError(explain(f"{op}: {name} must be of x's type", describe(x=x, **{name: array})))
    if array.shape != shape:
        raise ShapeError(explain(f"{op}: {name} must be {shape}", describe(x=x, **{name: array})))
    return array


def _check_streams(op: str, x: Array) -> None:
    if x.ndim < 2 or not 1 <= x.shape[-2] <= MOST_STREAMS or x.shape[-1] == 0:
        raise ShapeError(explain(f"{op}: x must be (..., streams, hidden) with 1 to 8 streams", describe(x=x)))


def _check_iterations(op: str, iterations: int, variant: str) -> None:
    if iterations < 1:
        raise ValueError(f"{op}: iterations must be at least 1, found {iterations}")
    if variant not in VARIANTS:
        raise ValueError(f"{op}: variant must be one of {', '.join(VARIANTS)}, found {variant!r}")
