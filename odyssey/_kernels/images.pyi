from odyssey.typing import Array

def gather_images(
    images: Array,
    numbers: Array | None = None,
    *,
    top: Array | None = None,
    left: Array | None = None,
    size: tuple[int, int] | None = None,
    mirrored: Array | None = None,
    table: Array | None = None,
    fill: float = 0,
) -> Array: ...
