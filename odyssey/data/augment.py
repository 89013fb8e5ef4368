"""Augmentation: small random changes to training images that leave them what they are."""

from __future__ import annotations

import numpy as np

from odyssey.data.dataset import Array, Batch

__all__ = ["RandomAffine"]


class RandomAffine:
    """Turn, scale, slant and shift each image of a batch by its own random amounts.

    A transform for DataLoader. Works on batches (images (N, C, H, W) float32, ...); what moves in from outside repeats
    the edge.

    Args:
        degrees: turn by up to this, either way.
        scale: enlarge or shrink by up to this part.
        shear: slant by up to this part of the height.
        shift: move by up to this part of the size, along either axis.
    """

    def __init__(self, degrees: float = 0.0, scale: float = 0.0, shear: float = 0.0, shift: float = 0.0) -> None:
        self.degrees = degrees
        self.scale = scale
        self.shear = shear
        self.shift = shift

    def __call__(self, batch: Batch, generator: np.random.Generator) -> Batch:
        images, *rest = batch
        return (self.move(images, generator), *rest)

    def move(self, images: Array, generator: np.random.Generator) -> Array:
        n, channels, height, width = images.shape
        turn, grow, slant, down, right = generator.uniform(-1.0, 1.0, (5, n, 1, 1)).astype(np.float32)
        angle = turn * np.float32(np.radians(self.degrees))
        factor = np.float32(1) / (np.float32(1) + grow * np.float32(self.scale))
        slant = slant * np.float32(self.shear)
        y = np.arange(height, dtype=np.float32)[:, None] - np.float32((height - 1) / 2)
        x = np.arange(width, dtype=np.float32) - np.float32((width - 1) / 2)
        cos, sin = np.cos(angle) * factor, np.sin(angle) * factor
        # Where in the old image each new pixel (y, x) looks, (N, H, W).
        from_y = cos * y + sin * x + np.float32((height - 1) / 2) + down * np.float32(self.shift * height)
        from_x = cos * x - sin * y + slant * y + np.float32((width - 1) / 2) + right * np.float32(self.shift * width)
        np.clip(from_y, 0, height - 1, out=from_y)
        np.clip(from_x, 0, width - 1, out=from_x)
        top = np.minimum(from_y.astype(np.int32), height - 2)
        left = np.minimum(from_x.astype(np.int32), width - 2)
        from_y -= top
        from_x -= left
        flat = images.transpose(0, 2, 3, 1).reshape(n * height * width, channels)
        first = (np.arange(n, dtype=np.int32)[:, None, None] * height + top) * width + left
        along = from_x[..., None]
        upper = flat[first] * (1 - along) + flat[first + 1] * along
        lower = flat[first + width] * (1 - along) + flat[first + width + 1] * along
        down_weight = from_y[..., None]
        moved = upper * (1 - down_weight) + lower * down_weight
        return np.ascontiguousarray(moved.transpose(0, 3, 1, 2))
