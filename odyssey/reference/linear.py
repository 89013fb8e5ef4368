"""Matrix products.

Arrays are float32 or float64 and all of one type (else `DTypeError`). Sums run in float64 and are rounded once; the
kernels' own order is one fused multiply-add after another over k in ascending order. `out`, of the result's shape and
type (else `ShapeError`, `DTypeError`), receives the result and is returned.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from odyssey.errors import ShapeError, describe, explain
from odyssey.reference import activations
from odyssey.reference._arrays import deliver, reals
from odyssey.typing import Array, ArrayLike

if TYPE_CHECKING:
    from odyssey.packing import PackedWeight

ACTIVATIONS: dict[str | None, Callable[[Array], Array]] = {
    None: lambda x: x,
    "relu": activations.relu,
    "tanh": activations.tanh,
    "sigmoid": activations.sigmoid,
    "gelu": activations.gelu,
    "silu": activations.silu,
}


def matmul(a: ArrayLike, b: ArrayLike, out: Array | None = None, alpha: float = 1.0, beta: float = 0.0) -> Array:
    """(alpha · a) @ b + beta · out, alpha · a rounded first, by `numpy.matmul`'s rules for shapes; BLAS gemm.

    (..., m, k) @ (..., k, n) -> (..., m, n), the leading axes broadcast; a 1-D a stands for one row, a 1-D b for one
    column, and that axis is dropped from the result. `ValueError` where the shapes do not fit, or for a beta other
    than 0 without `out`. beta = 0 does not read `out`.

    >>> matmul(np.float32([[1, 2], [3, 4]]), np.float32([1, 10]))
    array([21., 43.], dtype=float32)
    """
    a, b = reals(a=a, b=b)
    if beta != 0 and out is None:
        raise ValueError(f"matmul: beta = {beta} scales what out holds, but out is None")
    scaled = a * a.dtype.type(alpha)
    result = np.matmul(scaled.astype(np.float64), b.astype(np.float64))
    if beta != 0 and out is not None and out.shape == result.shape:  # another shape is refused below
        result = result + a.dtype.type(beta) * np.asarray(out, np.float64)
    return deliver(result, a.dtype, out)


def linear(
    x: ArrayLike,
    weight: ArrayLike | PackedWeight,
    bias: ArrayLike | None = None,
    activation: str | None = None,
    out: Array | None = None,
    precision: str = "exact",
) -> Array:
    """activation(x @ weightᵀ + bias). `torch.nn.functional.linear`, with the activation fused.

    x is (..., in), weight (out, in), float16 and bfloat16 of it widened to float32; or what `pack` made of it, in whose
    int8 form the sums of integers are multiplied by the rows' scales; bias (out,), the result (..., out); else
    `ShapeError`. activation is None, "relu",
    "tanh", "sigmoid", "gelu" or "silu" (else `ValueError`) and acts before the sum is rounded. precision is "exact" or
    "native" (else `ValueError`), which only says how far kernels may stray from this.

    >>> linear(np.float32([1, 2]), np.float32([[1, 1], [1, -1]]), np.float32([0, 0.5]), "relu")
    array([3., 0.], dtype=float32)
    """
    if precision not in ("exact", "native"):
        raise ValueError(f"precision must be 'exact' or 'native', not {precision!r}")
    scale = None
    if hasattr(weight, "parts"):
        weight, scale = weight.parts()
    weight = widened(weight)
    x, weight, *rest = reals(x=x, weight=weight) if bias is None else reals(x=x, weight=weight, bias=bias)
    if weight.ndim != 2 or x.ndim < 1 or x.shape[-1] != weight.shape[1]:
        raise ShapeError(explain("linear: x must be (..., in) and weight (out, in)", describe(x=x, weight=weight)))
    result = np.matmul(x.astype(np.float64), weight.T.astype(np.float64))
    if scale is not None:
        result = result * scale.astype(np.float64)
    return deliver(activated(with_bias(result, rest, axis=-1), activation), x.dtype, out)


def widened(weight: ArrayLike) -> ArrayLike:
    """float16 and bfloat16 as float32, which holds them exactly; all else as it is."""
    if isinstance(weight, np.ndarray) and weight.dtype.name in ("float16", "bfloat16") and weight.dtype.isnative:
        return weight.astype(np.float32)
    return weight


def with_bias(result: Array, rest: list[Array], axis: int) -> Array:
    """The result plus the bias, if there is one, along `axis`."""
    if not rest:
        return result
    (bias,) = rest
    if bias.shape != (result.shape[axis],):
        raise ShapeError(explain(f"bias must be of shape ({result.shape[axis]},)", describe(bias=bias)))
    return result + bias.astype(np.float64).reshape(-1, *[1] * (result.ndim - 1 - axis % result.ndim))


def activated(result: Array, activation: str | None) -> Array:
    """The activation of that name, by its own definition, on sums not yet rounded."""
    if activation not in ACTIVATIONS:
        names = ", ".join(repr(name) for name in ACTIVATIONS)
        raise ValueError(f"activation must be one of {names}, not {activation!r}")
    return ACTIVATIONS[activation](result)
