"""What every definition does first and last: take the operands, compute wide, round once.

`wide` is where the definitions get their authority: float32 is computed in float64 and float64 in long double (80 bits
on x86, 128 on Arm under Linux), so that rounding the result to the operands' type is the only error that counts.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from odyssey.errors import DTypeError, ShapeError, describe, explain
from odyssey.typing import Array

FLOAT32 = np.dtype(np.float32)
FLOAT64 = np.dtype(np.float64)
PI = np.longdouble("3.14159265358979323846264338327950288")


def real(name: str, value: Any) -> Array:
    """The operand as an ndarray of float32 or float64; its memory is not copied."""
    if hasattr(value, "__dlpack__") and not hasattr(value, "__array__"):
        value = np.from_dlpack(value)
    array = np.asarray(value)
    if array.dtype not in (FLOAT32, FLOAT64):
        raise DTypeError(explain(f"{name} must be float32 or float64", describe(**{name: array})))
    return array


def with_axes(value: Any, axis: Any) -> Array:
    """The operand x, which has axes if one is named; whether that one is among them is NumPy's affair."""
    x = real("x", value)
    if x.ndim == 0 and axis is not None and axis != ():
        raise ShapeError(explain(f"axis {axis} needs an array with axes", describe(x=x), "x[np.newaxis] has one"))
    return x


def reals(**operands: Any) -> list[Array]:
    """Operands of one type. A Python number among arrays takes the arrays' type, as in NumPy."""
    numbers = {name for name, value in operands.items() if _is_number(value)}
    arrays = {name: real(name, value) for name, value in operands.items() if name not in numbers}
    dtypes = {array.dtype for array in arrays.values()}
    if len(dtypes) != 1:
        raise DTypeError(explain("the arrays must be of one type, float32 or float64", describe(**operands)))
    (dtype,) = dtypes
    return [np.asarray(operands[name], dtype) if name in numbers else arrays[name] for name in operands]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, np.generic)


def same_shape(**operands: Any) -> list[Array]:
    """Operands of one type and one shape."""
    arrays = reals(**operands)
    if len({array.shape for array in arrays}) != 1:
        raise ShapeError(explain(f"{' and '.join(operands)} must be of one shape", describe(**operands)))
    return arrays


def wide(array: Array) -> Array:
    """The same values in a type wide enough to compute the definition in."""
    return array.astype(np.float64 if array.dtype == FLOAT32 else np.longdouble)


def rounded(number: float, array: Array) -> Any:
    """A Python number as the kernels see it: rounded to the array's type, then handed on wide."""
    return wide(np.asarray(number, array.dtype))


def deliver(result: Any, dtype: np.dtype[Any], out: Array | None) -> Array:
    """The result rounded to `dtype`: a new array (a NumPy scalar when it has no axes), or written into `out`."""
    result = np.asarray(result).astype(dtype)
    if out is None:
        return result if result.ndim else cast(Array, result[()])
    if out.dtype != dtype:
        raise DTypeError(explain(f"out must be {dtype}", describe(out=out)))
    if out.shape != result.shape:
        raise ShapeError(explain(f"out must be of shape {result.shape}", describe(out=out)))
    out[...] = result
    return out
