"""Products in groups: a loop over the groups, summed in float64 and rounded once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from odyssey.errors import DTypeError, ShapeError, describe, explain
from odyssey.reference._arrays import deliver, real, reals
from odyssey.reference.linear import widened
from odyssey.typing import Array, ArrayLike

if TYPE_CHECKING:
    from odyssey.packing import PackedWeight


def grouped_matmul(
    a: ArrayLike,
    b: ArrayLike | Sequence[ArrayLike | PackedWeight],
    offsets: ArrayLike,
    out: Array | None = None,
    precision: str = "exact",
) -> Array:
    """A product for each group of neighbours along T, group g ending at offsets[g]; `torch._grouped_mm`.

    a (T, K), a matrix (K, N) for each group -> (T, N), rows of a times their group's matrix; a (M, T), b (T, N) ->
    (G, M, N); a (G, M, K), b (K, T) -> (M, T). In the first form b is (G, K, N) or a sequence of G matrices, float16
    and bfloat16 widened; a `PackedWeight` stands for its transpose. offsets are integers that ascend and end at T (else
    `ValueError`); precision is "exact" or "native" (else `ValueError`), which only says how far kernels may stray.

    >>> grouped_matmul(np.float32([[1], [2], [3]]), np.float32([[[1]], [[10]]]), np.array([1, 3])).ravel()
    array([ 1., 20., 30.], dtype=float32)
    """
    if precision not in ("exact", "native"):
        raise ValueError(f"precision must be 'exact' or 'native', not {precision!r}")
    a = real("a", a)
    if isinstance(b, (list, tuple)):
        if a.ndim != 2 or not b:
            raise ShapeError("grouped_matmul: a must be (T, K) beside a sequence of matrices, which must not be empty")
        matrices = [_matrix(value, a) for value in b]
        if len({matrix.shape for matrix in matrices}) != 1:
            raise ShapeError("grouped_matmul: all groups' matrices must have one shape")
        b = np.stack(matrices)
    elif hasattr(b, "parts"):
        raise ShapeError("grouped_matmul: expected a matrix for each group")
    else:
        b = np.asarray(b)
        a, b = reals(a=a, b=widened(b) if b.ndim == 3 and a.dtype == np.float32 else b)
    if (a.ndim, b.ndim) not in ((2, 3), (2, 2), (3, 2)) or a.shape[-1] != b.shape[-2]:
        raise ShapeError(explain("grouped_matmul: the matrices do not fit", describe(a=a, b=b)))
    by_rows, inner = (a.ndim, b.ndim) == (2, 3), (a.ndim, b.ndim) == (2, 2)
    total = a.shape[0] if by_rows else b.shape[0] if inner else b.shape[1]
    starts, ends = _groups(offsets, None if inner else len(b) if by_rows else len(a), total)
    wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
    groups = [slice(start, end) for start, end in zip(starts, ends, strict=True)]
    if inner:
        result = np.zeros((len(groups), a.shape[0], b.shape[1]))
        for g, group in enumerate(groups):
            result[g] = np.matmul(wide_a[:, group], wide_b[group])
    elif by_rows:
        result = np.zeros((total, b.shape[2]))
        for g, group in enumerate(groups):
            result[group] = np.matmul(wide_a[group], wide_b[g])
    else:
        result = np.zeros((a.shape[1], total))
        for g, group in enumerate(groups):
            result[:, group] = np.matmul(wide_a[g], wide_b[:, group])
    return deliver(result, a.dtype, out)


def _matrix(value: Any, a: Array) -> Array:
    """(K, N), wide enough to hold what is stored."""
    if hasattr(value, "parts"):
        numbers, scale = value.parts()
        reals(a=a, b=numbers)
        wide = numbers.astype(np.float64)
        return np.asarray((wide if scale is None else wide * scale[:, None].astype(np.float64)).T)
    _, matrix = reals(a=a, b=widened(value))
    if matrix.ndim != 2:
        raise ShapeError(explain("grouped_matmul: each group's matrix must be (K, N)", describe(b=matrix)))
    return matrix.astype(np.float64)


def _groups(offsets: ArrayLike, count: int | None, total: int) -> tuple[Array, Array]:
    """Where groups begin and end."""
    ends = np.asarray(offsets)
    if ends.dtype.kind not in "iu" or ends.dtype == np.uint64:
        raise DTypeError(explain("offsets must be int64", describe(offsets=ends)))
    if ends.ndim != 1 or (count is not None and len(ends) != count):
        raise ShapeError(explain("offsets must have one end for each group", describe(offsets=ends)))
    starts = np.concatenate([np.zeros(1, np.int64), ends.astype(np.int64)])
    if (np.diff(starts) < 0).any() or starts[-1] != total:
        raise ValueError(f"offsets must ascend to {total}, not {ends.tolist()}")
    return starts[:-1], starts[1:]
