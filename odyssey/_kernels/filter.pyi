from odyssey.typing import Array, ArrayLike

def filter2d(
    image: ArrayLike, kernel: ArrayLike, border: str = "reflect", cval: float = 0.0, out: Array | None = None
) -> Array: ...
def filter2d_backward_image(
    grad: ArrayLike, kernel: ArrayLike, border: str = "reflect", out: Array | None = None
) -> Array: ...
def filter2d_backward_kernel(
    grad: ArrayLike,
    image: ArrayLike,
    kernel_shape: tuple[int, int],
    border: str = "reflect",
    cval: float = 0.0,
    out: Array | None = None,
) -> Array: ...
