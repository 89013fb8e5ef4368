from odyssey.typing import Array, ArrayLike

def embedding(weight: ArrayLike, indices: ArrayLike, out: Array | None = None) -> Array: ...
def embedding_backward(
    grad: ArrayLike,
    indices: ArrayLike,
    num_embeddings: int,
    padding_idx: int | None = None,
    out: Array | None = None,
) -> Array: ...
