from odyssey.typing import Array, ArrayLike

def cross_entropy(
    logits: ArrayLike,
    labels: ArrayLike,
    reduction: str = "mean",
    out: Array | None = None,
    *,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    weight: ArrayLike | None = None,
) -> Array: ...
def cross_entropy_backward(
    grad: ArrayLike,
    logits: ArrayLike,
    labels: ArrayLike,
    reduction: str = "mean",
    out: Array | None = None,
    *,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    weight: ArrayLike | None = None,
) -> Array: ...
