from collections.abc import Callable
from typing import Self, final

from odyssey.typing import Array, ArrayLike

@final
class Call: ...

@final
class MHC:
    def __new__(
        cls,
        fn: ArrayLike,
        base: ArrayLike,
        scale: ArrayLike,
        streams: int = 4,
        iterations: int = 20,
        eps: float = 1e-6,
        norm_eps: float = 1e-6,
        variant: str = "default",
    ) -> Self: ...
    def forward(
        self, x: ArrayLike, layer: Callable[[Array], Array] | None = None, out: Array | None = None
    ) -> Array: ...
    def metrics(self) -> dict[str, float]: ...
