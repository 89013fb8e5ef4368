import numpy as np
from numpy.typing import DTypeLike

from odyssey.typing import Array, ArrayLike

def rotary_embedding(
    x: ArrayLike, cos: ArrayLike, sin: ArrayLike, interleaved: bool = False, out: Array | None = None
) -> Array: ...
def rotary_embedding_backward(
    grad: ArrayLike, cos: ArrayLike, sin: ArrayLike, interleaved: bool = False, out: Array | None = None
) -> Array: ...
def rotary_tables(
    length: int, dim: int, base: float = 10000.0, dtype: DTypeLike = np.float32
) -> tuple[Array, Array]: ...
