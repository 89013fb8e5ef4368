import numpy as np

from odyssey.typing import Array, ArrayLike

def sample(logits: ArrayLike, temperature: float = 1.0, generator: np.random.Generator | None = None) -> Array: ...
def topk_sample(
    logits: ArrayLike, k: int, temperature: float = 1.0, generator: np.random.Generator | None = None
) -> Array: ...
def topp_sample(
    logits: ArrayLike, p: float, temperature: float = 1.0, generator: np.random.Generator | None = None
) -> Array: ...
