from collections.abc import Callable

from odyssey.typing import Array, ArrayLike

class MHC:
    def __init__(
        self,
        fn: ArrayLike,
        base: ArrayLike,
        scale: ArrayLike,
        streams: int = 4,
        iterations: int = 20,
        eps: float = 1e-6,
        norm_eps: float = 1e-6,
        variant: str = "default",
    ) -> None: ...
    def forward(
        self, x: ArrayLike, layer: Callable[[Array], Array] | None = None, out: Array | None = None
    ) -> Array: ...
    def metrics(self) -> dict[str, float]: ...
