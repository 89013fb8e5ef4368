"""Doubly stochastic matrices and optimal transport: Sinkhorn's iterations, and their gradients.

Arrays are float32 or float64 (else `DTypeError`), at least two axes (else `ShapeError`); the last two are a matrix.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from odyssey.errors import ShapeError, describe, explain
from odyssey.reference._arrays import deliver, real, reals, rounded, same_shape, wide
from odyssey.typing import Array, ArrayLike, SinkhornLog


def sinkhorn_knopp(
    x: ArrayLike,
    iterations: int = 20,
    eps: float = 1e-6,
    tau: float = 1.0,
    order: str = "rows",
    from_logits: bool = True,
    damping: float | None = None,
    residuals: bool = False,
    out: Array | None = None,
) -> Array | tuple[Array, Array]:
    """Rows and columns made to add up to 1, in turn.

    From logits M = softmax(x / tau, rows) + eps; M /= colsum + eps, then (iterations - 1) times M /= rowsum + eps;
    M /= colsum + eps. Otherwise `iterations` times the latter two on x. `damping` stands in for eps in sums, `order`
    says which axis comes first, `residuals` asks for the largest |sum - 1| of rows and columns.

    >>> sinkhorn_knopp(np.float32([[1, 3], [2, 2]]), 3, from_logits=False).sum(axis=0).round(3)
    array([1., 1.], dtype=float32)
    """
    x = _matrices("sinkhorn_knopp", real("x", x))
    steps = _steps("sinkhorn_knopp", x, iterations, eps, tau, order, from_logits, damping)
    m = steps[-1][1]
    result = deliver(m, x.dtype, out)
    if not residuals:
        return result
    sums = (np.max(np.abs(np.sum(m, axis=axis) - 1), axis=-1, initial=0) for axis in (-1, -2))
    return result, np.stack(list(sums), axis=-1).astype(x.dtype)


def sinkhorn_knopp_backward(
    grad: ArrayLike,
    x: ArrayLike,
    iterations: int = 20,
    eps: float = 1e-6,
    tau: float = 1.0,
    order: str = "rows",
    from_logits: bool = True,
    damping: float | None = None,
    method: str = "unrolled",
    out: Array | None = None,
) -> Array:
    """The gradient of sinkhorn_knopp: back through every step, or with the sums of the result P held constant, from

        rowsum · α + P β = (grad · P) 1,   Pᵀ α + colsum · β = (grad · P)ᵀ 1,   dlog A = P · (grad - α - β)

    by as many iterations, A being the matrix after its rows are first divided.

    >>> sinkhorn_knopp_backward(np.float64([[1, 0], [0, 0]]), np.zeros((2, 2))).round(3)
    array([[ 0.125, -0.125],
           [-0.125,  0.125]])
    """
    grad, x = same_shape(grad=grad, x=x)
    _matrices("sinkhorn_knopp_backward", x)
    if method not in ("unrolled", "implicit"):
        raise ValueError(f'sinkhorn_knopp_backward: method must be "unrolled" or "implicit"; found {method!r}')
    steps = _steps("sinkhorn_knopp_backward", x, iterations, eps, tau, order, from_logits, damping)
    g = wide(grad)
    if method == "implicit":
        g = _implied(g, steps, iterations)
        steps = steps[:1]
    for axis, m, by in reversed(steps[1:] if from_logits else steps):
        g = (g - np.sum(g * m, axis=axis, keepdims=True)) / by
    if from_logits:
        axis, m, p = steps[0]
        g = p * (g - np.sum(g * p, axis=axis, keepdims=True)) / rounded(tau, x)
    return deliver(g, x.dtype, out)


def _implied(g: Array, steps: list[tuple[int, Array, Any]], iterations: int) -> Array:
    """The gradient of the first step's result, from the last one's."""
    rows, start, p = steps[0][0], steps[0][1], steps[-1][1]
    columns = -3 - rows
    r, c = (np.sum(p, axis=axis, keepdims=True) for axis in (rows, columns))
    r, c = np.where(r == 0, np.inf, r), np.where(c == 0, np.inf, c)
    beta = np.zeros_like(c)
    for _ in range(iterations):
        alpha = np.sum(p * (g - beta), axis=rows, keepdims=True) / r
        beta = np.sum(p * (g - alpha), axis=columns, keepdims=True) / c
    return np.asarray((g - alpha - beta) * np.divide(p, start, where=start != 0, out=np.zeros_like(p)))


def _matrices(op: str, x: Array) -> Array:
    if x.ndim < 2:
        raise ShapeError(explain(f"{op}: x must be (..., rows, columns)", describe(x=x)))
    return x


def _steps(
    op: str, x: Array, iterations: int, eps: float, tau: float, order: str, from_logits: bool, damping: float | None
) -> list[tuple[int, Array, Any]]:
    """Each division: along which axis, its result and the divisor; that of the softmax has its result before eps."""
    if iterations < 1:
        raise ValueError(f"{op}: iterations must be at least 1; found {iterations!r}")
    if not (math.isfinite(eps) and eps >= 0):
        raise ValueError(f"{op}: eps must be a finite number, 0 or more; found {eps!r}")
    if not (math.isfinite(tau) and tau > 0):
        raise ValueError(f"{op}: tau must be a finite number above 0; found {tau!r}")
    if order not in ("rows", "columns"):
        raise ValueError(f'{op}: order must be "rows" (first, columns last) or "columns"; found {order!r}')
    if damping is not None and not (math.isfinite(damping) and damping >= 0):
        raise ValueError(f"{op}: damping must be a finite number, 0 or more; found {damping!r}")
    axes = (-1, -2) if order == "rows" else (-2, -1)
    more = rounded(eps if damping is None else damping, x)
    m, steps = wide(x), []
    for step in range(2 * iterations):
        axis = axes[step % 2]
        if step == 0 and from_logits:
            z = (m - np.max(m, axis=axis, keepdims=True, initial=-np.inf)) / rounded(tau, x)
            e = np.exp(z)
            p = e / np.sum(e, axis=axis, keepdims=True)
            m = p + rounded(eps, x)
            steps.append((axis, m, p))
            continue
        by = np.sum(m, axis=axis, keepdims=True) + more
        by = np.where(by == 0, 1, by)  # a line of zeros stays one
        m = m / by
        steps.append((axis, m, by))
    return steps


def sinkhorn(
    a: ArrayLike,
    b: ArrayLike,
    cost: ArrayLike,
    reg: float,
    reg_m: float | None = None,
    iterations: int = 1000,
    tolerance: float = 1e-6,
    log: bool = False,
    out: Array | None = None,
) -> Array | tuple[Array, SinkhornLog]:
    """The P that makes Σ P · cost + reg · KL(P | a bᵀ) least among those with sums a and b, or, with reg_m, with
    reg_m · (KL(P 1 | a) + KL(Pᵀ 1 | b)) added: P = a b exp((f + g - cost) / reg). There, t being reg_m / (reg_m + reg)
    or 1,

        f = -t reg log Σ b exp((g - cost) / reg),   g = -t reg log Σ a exp((f - cost) / reg)

    are computed in turn, f last; reg comes down from the largest difference of costs by halves.

    >>> sinkhorn(np.float64([0.5, 0.5]), np.float64([0.5, 0.5]), np.float64([[0, 1], [1, 0]]), 0.1).round(4)
    array([[0.5, 0. ],
           [0. , 0.5]])
    """
    a, b, cost = reals(a=a, b=b, cost=cost)
    _transport("sinkhorn", a, b, cost, reg, reg_m, iterations, tolerance)
    for name, weights in (("a", a), ("b", b)):
        if not (np.all(weights >= 0) and 0 < np.sum(weights, dtype=np.float64) < np.inf):
            raise ValueError(f"sinkhorn: {name} must hold finite weights, none negative and not all 0")
    largest = float(np.ptp(cost))
    if not math.isfinite(largest):
        raise ValueError("sinkhorn: cost must be finite; a pair that is forbidden may have a cost far above the others")
    total = float(np.sum(a, dtype=np.float64)), float(np.sum(b, dtype=np.float64))
    if reg_m is None and abs(total[0] - total[1]) > 1e-3 * total[0]:
        raise ValueError(f"sinkhorn: a and b must add up to the same; found {total[0]:.6g} and {total[1]:.6g}")
    t = 1.0 if reg_m is None else reg_m / (reg_m + reg)
    enough = max(tolerance, float(np.finfo(a.dtype).eps) * (1 + largest / reg))
    with np.errstate(divide="ignore"):
        c, log_a, log_b = wide(cost), np.log(wide(a))[:, np.newaxis], np.log(wide(b))
    strength, g, error, used = reg, np.zeros_like(log_b), math.inf, 0
    while strength < largest:
        strength *= 2
    while used < iterations:
        f = -t * strength * _log_sum((g - c) / strength + log_b, 1)
        before, sums = g, np.sum(np.exp((f + g - c) / strength + log_a + log_b), axis=0)
        g = np.where(np.isinf(log_b), 0, -t * strength * _log_sum((f - c) / strength + log_a, 0))[0]
        used += 1
        error = float(
            np.sum(np.abs(sums - wide(b))) / np.sum(wide(b)) if t == 1 else np.max(np.abs(g - before)) / strength
        )
        if strength == reg and error <= enough:
            break
        strength = max(strength / 2, reg)
    f = -t * reg * _log_sum((g - c) / reg + log_b, 1)
    plan = np.exp((f + g - c) / reg + log_a + log_b)
    if t == 1:
        error = float(np.sum(np.abs(np.sum(plan, axis=0) - wide(b))) / np.sum(wide(b)))
    if error > enough:
        warnings.warn(f"sinkhorn: not converged after {used} iterations", RuntimeWarning, stacklevel=2)
    result = deliver(plan, a.dtype, out)
    if not log:
        return result
    return result, SinkhornLog(f[:, 0].astype(a.dtype), g.astype(a.dtype), used, error, error <= enough)


def sinkhorn_backward(
    grad: ArrayLike,
    plan: ArrayLike,
    a: ArrayLike,
    b: ArrayLike,
    reg: float,
    reg_m: float | None = None,
    iterations: int = 1000,
    tolerance: float = 1e-6,
) -> tuple[Array, Array, Array]:
    """dcost = -P · (grad - α - β) / reg, da = rowsum · α / (t a) and db = colsum · β / (t b), where α and β solve

        rowsum · α / t + P β = (grad · P) 1,   Pᵀ α + colsum · β / t = (grad · P)ᵀ 1

    >>> plan = np.float64([[0.25, 0.25], [0.25, 0.25]])
    >>> da, db, dcost = sinkhorn_backward(np.float64([[1, 0], [0, 0]]), plan, plan.sum(1), plan.sum(0), 1.0)
    >>> dcost
    array([[-0.0625,  0.0625],
           [ 0.0625, -0.0625]])
    """
    grad, plan, a, b = reals(grad=grad, plan=plan, a=a, b=b)
    same_shape(grad=grad, plan=plan)
    _transport("sinkhorn_backward", a, b, plan, reg, reg_m, iterations, tolerance)
    t = 1.0 if reg_m is None else reg_m / (reg_m + reg)
    p, g = wide(plan), wide(grad)
    r, c = np.sum(p, axis=1), np.sum(p, axis=0)
    beta = np.zeros_like(c)
    for _ in range(iterations):
        before = beta
        alpha = np.divide(t * np.sum(p * (g - beta), axis=1), r, where=r != 0, out=np.zeros_like(r))
        beta = np.divide(t * np.sum(p * (g - alpha[:, np.newaxis]), axis=0), c, where=c != 0, out=np.zeros_like(c))
        if np.max(np.abs(beta - before)) <= max(tolerance, 4 * np.finfo(a.dtype).eps) * np.max(np.abs(beta)):
            break
    da = np.divide(r * alpha, t * wide(a), where=a != 0, out=np.zeros_like(r))
    db = np.divide(c * beta, t * wide(b), where=b != 0, out=np.zeros_like(c))
    dcost = -p * (g - alpha[:, np.newaxis] - beta) / reg
    return da.astype(a.dtype), db.astype(a.dtype), dcost.astype(a.dtype)


def _log_sum(z: Array, axis: int) -> Array:
    most = np.max(z, axis=axis, keepdims=True)
    return np.asarray(most + np.log(np.sum(np.exp(z - most), axis=axis, keepdims=True)))


def _transport(
    op: str, a: Array, b: Array, matrix: Array, reg: float, reg_m: float | None, iterations: int, tolerance: float
) -> None:
    if matrix.ndim != 2 or matrix.size == 0 or a.shape != matrix.shape[:1] or b.shape != matrix.shape[1:]:
        raise ShapeError(
            explain(
                f"{op}: a must be (m,), b (n,) and the matrix (m, n), none of them empty",
                describe(a=a, b=b, matrix=matrix),
            )
        )
    if not (math.isfinite(reg) and reg > 0):
        raise ValueError(f"{op}: reg must be a finite number above 0; found {reg!r}")
    if reg_m is not None and not (math.isfinite(reg_m) and reg_m > 0):
        raise ValueError(f"{op}: reg_m must be a finite number above 0, or None; found {reg_m!r}")
    if iterations < 1:
        raise ValueError(f"{op}: iterations must be at least 1; found {iterations!r}")
    if not tolerance >= 0:
        raise ValueError(f"{op}: tolerance must be 0 or more; found {tolerance!r}")
