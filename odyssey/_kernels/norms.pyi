from odyssey.typing import Array, ArrayLike

def rms_norm(x: ArrayLike, weight: ArrayLike | None = None, eps: float = 1e-6, out: Array | None = None) -> Array: ...
def rms_norm_backward(
    grad: ArrayLike, x: ArrayLike, weight: ArrayLike | None = None, eps: float = 1e-6
) -> tuple[Array, Array]: ...
def layer_norm(
    x: ArrayLike,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    eps: float = 1e-5,
    out: Array | None = None,
) -> Array: ...
def layer_norm_backward(
    grad: ArrayLike, x: ArrayLike, weight: ArrayLike | None = None, eps: float = 1e-5
) -> tuple[Array, Array, Array]: ...
