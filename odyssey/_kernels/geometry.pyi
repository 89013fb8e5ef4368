from odyssey.typing import Array, ArrayLike

def euclidean_distance(x: ArrayLike, y: ArrayLike, out: Array | None = None) -> Array: ...
def poincare_distance(
    x: ArrayLike, y: ArrayLike, c: float = 1.0, outside: str = "raise", out: Array | None = None
) -> Array: ...
def spherical_distance(x: ArrayLike, y: ArrayLike, zero: str = "raise", out: Array | None = None) -> Array: ...
def euclidean_distance_backward(grad: ArrayLike, x: ArrayLike, y: ArrayLike) -> tuple[Array, Array]: ...
def poincare_distance_backward(
    grad: ArrayLike, x: ArrayLike, y: ArrayLike, c: float = 1.0, outside: str = "raise"
) -> tuple[Array, Array]: ...
def spherical_distance_backward(
    grad: ArrayLike, x: ArrayLike, y: ArrayLike, zero: str = "raise"
) -> tuple[Array, Array]: ...
def pairwise_distance(
    x: ArrayLike,
    y: ArrayLike | None = None,
    metric: str = "euclidean",
    c: float = 1.0,
    outside: str = "raise",
    zero: str = "raise",
    out: Array | None = None,
) -> Array: ...
def pairwise_distance_backward(
    grad: ArrayLike,
    x: ArrayLike,
    y: ArrayLike | None = None,
    metric: str = "euclidean",
    c: float = 1.0,
    outside: str = "raise",
    zero: str = "raise",
) -> tuple[Array, Array | None]: ...
