from odyssey.typing import Array, ArrayLike

def hyper_pre(
    x: ArrayLike,
    fn: ArrayLike,
    base: ArrayLike,
    scale: ArrayLike,
    iterations: int = 20,
    eps: float = 1e-6,
    norm_eps: float = 1e-6,
    variant: str = "default",
) -> tuple[Array, Array, Array, Array]: ...
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
) -> tuple[Array, Array, Array, Array]: ...
def hyper_head(
    x: ArrayLike, fn: ArrayLike, base: ArrayLike, scale: ArrayLike, eps: float = 1e-6, norm_eps: float = 1e-6
) -> Array: ...
def hyper_head_backward(
    grad: ArrayLike,
    x: ArrayLike,
    fn: ArrayLike,
    base: ArrayLike,
    scale: ArrayLike,
    eps: float = 1e-6,
    norm_eps: float = 1e-6,
) -> tuple[Array, Array, Array, Array]: ...
def hyper_post(f: ArrayLike, x: ArrayLike, post: ArrayLike, comb: ArrayLike, out: Array | None = None) -> Array: ...
def hyper_post_backward(
    grad: ArrayLike, f: ArrayLike, x: ArrayLike, post: ArrayLike, comb: ArrayLike
) -> tuple[Array, Array, Array, Array]: ...
