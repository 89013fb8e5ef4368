from odyssey.packing import PackedWeight
from odyssey.typing import Array, ArrayLike

def matmul(a: ArrayLike, b: ArrayLike, out: Array | None = None, alpha: float = 1.0, beta: float = 0.0) -> Array: ...
def linear(
    x: ArrayLike,
    weight: ArrayLike | PackedWeight,
    bias: ArrayLike | None = None,
    activation: str | None = None,
    out: Array | None = None,
    precision: str = "exact",
) -> Array: ...
