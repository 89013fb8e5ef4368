from odyssey.typing import Array, ArrayLike

def max_pool2d(
    x: ArrayLike,
    kernel_size: int | tuple[int, int],
    stride: int | tuple[int, int] | None = None,
    padding: int | tuple[int, int] = 0,
    out: Array | None = None,
) -> Array: ...
def max_pool2d_backward(
    grad: ArrayLike,
    x: ArrayLike,
    kernel_size: int | tuple[int, int],
    stride: int | tuple[int, int] | None = None,
    padding: int | tuple[int, int] = 0,
    out: Array | None = None,
) -> Array: ...
def avg_pool2d(
    x: ArrayLike,
    kernel_size: int | tuple[int, int],
    stride: int | tuple[int, int] | None = None,
    padding: int | tuple[int, int] = 0,
    out: Array | None = None,
) -> Array: ...
def avg_pool2d_backward(
    grad: ArrayLike,
    input_shape: tuple[int, int, int, int],
    kernel_size: int | tuple[int, int],
    stride: int | tuple[int, int] | None = None,
    padding: int | tuple[int, int] = 0,
    out: Array | None = None,
) -> Array: ...
def global_avg_pool2d(x: ArrayLike, out: Array | None = None) -> Array: ...
def global_avg_pool2d_backward(
    grad: ArrayLike, input_shape: tuple[int, int, int, int], out: Array | None = None
) -> Array: ...
