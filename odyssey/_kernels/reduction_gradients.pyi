from odyssey.typing import Array, ArrayLike

def var_backward(
    grad: ArrayLike,
    x: ArrayLike,
    axis: int | tuple[int, ...] | None = None,
    ddof: int = 0,
    out: Array | None = None,
) -> Array: ...
def norm_backward(
    grad: ArrayLike,
    x: ArrayLike,
    y: ArrayLike,
    axis: int | tuple[int, ...] | None = None,
    out: Array | None = None,
) -> Array: ...
def max_backward(
    grad: ArrayLike, x: ArrayLike, axis: int | tuple[int, ...] | None = None, out: Array | None = None
) -> Array: ...
def min_backward(
    grad: ArrayLike, x: ArrayLike, axis: int | tuple[int, ...] | None = None, out: Array | None = None
) -> Array: ...
