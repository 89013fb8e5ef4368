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
) -> Array | tuple[Array, Array]: ...
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
) -> Array: ...
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
) -> Array | tuple[Array, SinkhornLog]: ...
def sinkhorn_backward(
    grad: ArrayLike,
    plan: ArrayLike,
    a: ArrayLike,
    b: ArrayLike,
    reg: float,
    reg_m: float | None = None,
    iterations: int = 1000,
    tolerance: float = 1e-6,
) -> tuple[Array, Array, Array]: ...
