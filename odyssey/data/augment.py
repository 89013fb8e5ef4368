"""Augmentation: small random changes to training images that leave them what they are."""

from __future__ import annotations

import math

import numpy as np

from odyssey.data.dataset import Array, Batch

__all__ = ["RandomAffine"]

_PIXELS = 1 << 14


class RandomAffine:
    """Turn, scale, slant and shift each image of a batch by its own random amounts.

    A transform for DataLoader. Works on batches (images (N, C, H, W) float32, ...), at least 2x2; the edge is repeated
    where something moves in from outside. Only additions, products and quotients are used, so that the images come to
    the same bits on every machine.

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
        self._tan_half = np.float32(math.tan(math.radians(degrees) / 2))

    def __call__(self, batch: Batch, generator: np.random.Generator) -> Batch:
        """The batch with its images moved, and the rest of it as it was."""
        images, *rest = batch
        return (self.move(images, generator), *rest)

    def move(self, images: Array, generator: np.random.Generator) -> Array:
        """The images, each moved by amounts drawn from the generator."""
        n, channels, height, width = images.shape
        amounts = generator.uniform(-1.0, 1.0, (5, n, 1, 1)).astype(np.float32)
        images = np.ascontiguousarray(images)
        moved = np.empty_like(images)
        # A few images at a time: in one piece the intermediate arrays would come as fresh pages from the system, and
        # the page faults would cost more than the arithmetic.
        few = max(1, _PIXELS // (channels * height * width))
        for first in range(0, n, few):
            part = slice(first, first + few)
            self._move(images[part], moved[part], amounts[:, part])
        return moved

    def _move(self, images: Array, moved: Array, amounts: Array) -> None:
        n, channels, height, width = images.shape
        from_y, from_x = self._sources(amounts, height, width)
        # The four pixels around each source; the last row and column are reached as the lower right ones.
        top = np.floor(np.clip(from_y, 0, np.nextafter(np.float32(height - 1), np.float32(0)), out=from_y))
        left = np.floor(np.clip(from_x, 0, np.nextafter(np.float32(width - 1), np.float32(0)), out=from_x))
        from_y -= top
        from_x -= left
        top *= np.float32(width)
        top += left
        index = top.astype(np.intp)
        index += np.arange(n).reshape(n, 1, 1) * (channels * height * width)
        flat = images.reshape(-1)
        for channel in range(channels):
            pixels = flat[channel * height * width :]
            upper = _between(pixels.take(index), pixels[1:].take(index), from_x)
            lower = _between(pixels[width:].take(index), pixels[width + 1 :].take(index), from_x)
            moved[:, channel] = _between(upper, lower, from_y)

    def _sources(self, amounts: Array, height: int, width: int) -> tuple[Array, Array]:
        """Where in the old image each new pixel looks: y and x, (N, H, W) each."""
        turn, grow, slant, down, right = amounts
        half = turn * self._tan_half  # of the tangent of half the angle, sine and cosine are simple fractions
        factor = 1 / ((1 + half * half) * (1 + grow * np.float32(self.scale)))
        cos, sin = (1 - half * half) * factor, 2 * half * factor
        slant = slant * np.float32(self.shear)
        middle_y, middle_x = np.float32((height - 1) / 2), np.float32((width - 1) / 2)
        y = np.arange(height, dtype=np.float32)[:, None] - middle_y
        x = np.arange(width, dtype=np.float32) - middle_x
        from_y = (cos * y + (middle_y + down * np.float32(self.shift * height))) + sin * x
        from_x = ((slant - sin) * y + (middle_x + right * np.float32(self.shift * width))) + cos * x
        return from_y, from_x


def _between(a: Array, b: Array, weight: Array) -> Array:
    """a + (b - a) * weight, in a's memory."""
    b -= a
    b *= weight
    a += b
    return a
