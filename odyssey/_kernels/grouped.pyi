from collections.abc import Sequence

from odyssey.packing import PackedWeight
from odyssey.typing import Array, ArrayLike

def grouped_matmul(
    a: ArrayLike,
    b: ArrayLike | Sequence[ArrayLike | PackedWeight],
    offsets: ArrayLike,
    out: Array | None = None,
    precision: str = "exact",
) -> Array: ...
