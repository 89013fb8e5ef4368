"""Transforms of batches of images: cut, mirrored, standardised, covered in part.

Each is a function (batch, generator) -> batch for `DataLoader(transform=...)`, over batches (images (N, C, H, W), ...),
uint8 or float32. What they draw comes from the generator alone, which the loader makes from (seed, epoch, batch): the
same seed gives the same images, whatever threads prepare them. The batch that is given is never written to. Only sums,
products, quotients and square roots are used, which are the same on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np

from odyssey._kernels.images import gather_images
from odyssey.data.dataset import Array, Batch
from odyssey.data.images import PerChannel, byte_table, standardise
from odyssey.data.loader import Transform
from odyssey.errors import DTypeError, ShapeError

__all__ = ["Compose", "Cutout", "Normalize", "RandomCrop", "RandomErasing", "RandomHorizontalFlip"]

Rectangle: TypeAlias = tuple[int, int, int, int]
"""Top, left, bottom and right; the last two are outside."""


class Compose:
    """One transform after the other, all drawing from one generator in this order.

    Example:
        >>> import numpy as np
        >>> augment = Compose([RandomCrop(32, padding=4), RandomHorizontalFlip(), Normalize(0.5, 0.25)])
        >>> images = np.zeros((2, 3, 32, 32), np.uint8)
        >>> out, labels = augment((images, np.arange(2)), np.random.default_rng(0))
        >>> out.shape, out.dtype, float(out.max())
        ((2, 3, 32, 32), dtype('float32'), -2.0)
    """

    def __init__(self, transforms: Sequence[Transform]) -> None:
        self.transforms = list(transforms)

    def __call__(self, batch: Batch, generator: np.random.Generator) -> Batch:
        """The batch after all of them."""
        for transform in self.transforms:
            batch = transform(batch, generator)
        return batch


class RandomCrop:
    """A window of each image, at a place of its own, every place being as likely.

    Args:
        size: height and width, or one number for both.
        padding: how far the window may reach beyond each edge.
        fill: the pixel beyond the edge, in the images' units: 0 is black in bytes and the mean once standardised.

    Raises:
        ShapeError: when called, if an image with its padding is smaller than the window.

    Example:
        >>> import numpy as np
        >>> images = np.ones((2, 1, 4, 4), np.uint8)
        >>> RandomCrop(3)((images,), np.random.default_rng(0))[0].shape
        (2, 1, 3, 3)
    """

    def __init__(self, size: int | tuple[int, int], padding: int = 0, fill: float = 0) -> None:
        self.size = (size, size) if isinstance(size, int) else size
        self.padding = padding
        self.fill = fill
        if min(self.size) < 1 or padding < 0:
            raise ValueError(f"RandomCrop: expected a size from 1 on and a padding from 0, found {size} and {padding}")

    def __call__(self, batch: Batch, generator: np.random.Generator) -> Batch:
        """The batch with its images cut out, and the rest of it as it was."""
        images, *rest = batch
        _check("RandomCrop", images)
        places = []
        for name, length, wanted in zip(("height", "width"), images.shape[2:], self.size, strict=True):
            room = length + 2 * self.padding - wanted
            if room < 0:
                raise ShapeError(
                    f"RandomCrop: expected images of a {name} of at least {wanted - 2 * self.padding}, found {length}; "
                    f"padding={(wanted - length + 1) // 2} would do"
                )
            # A window that holds nothing of the image is out of the kernel's reach: it ends at the edge.
            start = generator.integers(0, room + 1, len(images)) - self.padding
            places.append(np.clip(start, -wanted, length))
        return (gather_images(images, top=places[0], left=places[1], size=self.size, fill=self.fill), *rest)


class RandomHorizontalFlip:
    """Mirrors each image from left to right, with probability p.

    Example:
        >>> import numpy as np
        >>> images = np.arange(3, dtype=np.float32).reshape(1, 1, 1, 3)
        >>> RandomHorizontalFlip(p=1.0)((images,), np.random.default_rng(0))[0].tolist()
        [[[[2.0, 1.0, 0.0]]]]
    """

    def __init__(self, p: float = 0.5) -> None:
        self.p = _probability("RandomHorizontalFlip", p)

    def __call__(self, batch: Batch, generator: np.random.Generator) -> Batch:
        """The batch with some of its images mirrored, and the rest of it as it was."""
        images, *rest = batch
        _check("RandomHorizontalFlip", images)
        return (gather_images(images, mirrored=generator.random(len(images)) < self.p), *rest)


class Normalize:
    """(x - mean) / std, in float32. Bytes count from 0 to 1 and become floats in the same pass.

    Args:
        mean, std: in [0, 1] units, a number for all channels or one for each: `ImageDataset.mean` and `std`.

    Raises:
        ShapeError: when called, if there are not as many numbers as channels.

    Example:
        >>> import numpy as np
        >>> images = np.full((1, 3, 1, 1), 255, np.uint8)
        >>> Normalize((0.0, 0.5, 0.5), (1.0, 0.5, 0.25))((images,), np.random.default_rng(0))[0].ravel().tolist()
        [1.0, 1.0, 2.0]
    """

    def __init__(self, mean: PerChannel, std: PerChannel) -> None:
        self.mean = mean
        self.std = std
        if np.any(np.asarray(std) == 0):
            raise ValueError(f"Normalize: expected deviations other than 0, found {std}")

    def __call__(self, batch: Batch, generator: np.random.Generator) -> Batch:
        """The batch with its images standardised, and the rest of it as it was."""
        images, *rest = batch
        _check("Normalize", images)
        if images.dtype == np.uint8:
            return (gather_images(images, table=byte_table(self.mean, self.std, images.shape[1])), *rest)
        return (standardise(images, self.mean, self.std), *rest)


class Cutout:
    """Covers a square of each image, centred anywhere on it: the square may reach beyond the edge.

    DeVries and Taylor 2017, arXiv 1708.04552. Put it after Normalize, where 0 is the mean, as the paper does.

    Args:
        size: the length of a side.
        holes: how many squares for each image.
        fill: the pixel to cover with, a number or one for each channel.

    Example:
        >>> import numpy as np
        >>> images = np.ones((1, 1, 9, 9), np.float32)
        >>> out = Cutout(3)((images,), np.random.default_rng(2))[0]
        >>> int((out == 0).sum())
        9
    """

    def __init__(self, size: int, holes: int = 1, fill: PerChannel = 0) -> None:
        if size < 1 or holes < 1:
            raise ValueError(f"Cutout: expected a size and a number of holes from 1 on, found {size} and {holes}")
        self.size = size
        self.holes = holes
        self.fill = fill

    def __call__(self, batch: Batch, generator: np.random.Generator) -> Batch:
        """The batch with its images covered in part, and the rest of it as it was."""
        images, *rest = batch
        _check("Cutout", images)
        height, width = images.shape[2:]
        rows = generator.integers(0, height, (len(images), self.holes))
        columns = generator.integers(0, width, (len(images), self.holes))
        images, fill = images.copy(), _fill(self.fill, images)
        for image, centres in zip(images, zip(rows.tolist(), columns.tolist(), strict=True), strict=True):
            for row, column in zip(*centres, strict=True):
                top, left = row - self.size // 2, column - self.size // 2
                image[:, max(top, 0) : top + self.size, max(left, 0) : left + self.size] = fill
        return (images, *rest)


class RandomErasing:
    """Covers a rectangle of some of the images, of random size and shape.

    Zhong et al. 2017, arXiv 1708.04896, whose draw this is: the area uniform in `scale`, the ratio of height to width
    uniform in `ratio`, anew until the rectangle fits, ten times at most. (torchvision draws the ratio's logarithm,
    which no two mathematical libraries round alike.)

    Args:
        p: how probably an image is covered.
        scale: the least and the greatest part of the image to cover.
        ratio: the least and the greatest ratio of height to width.
        fill: the pixel to cover with, a number or one for each channel; or "random", a uniform draw for each pixel: all
            bytes, or in [-√3, √3), of mean 0 and deviation 1.

    Example:
        >>> import numpy as np
        >>> images = np.ones((1, 1, 8, 8), np.float32)
        >>> out = RandomErasing(p=1.0, scale=(0.25, 0.25), ratio=(1.0, 1.0))((images,), np.random.default_rng(0))[0]
        >>> int((out == 0).sum())
        16
    """

    tries = 10

    def __init__(
        self,
        p: float = 0.5,
        scale: tuple[float, float] = (0.02, 0.33),
        ratio: tuple[float, float] = (0.3, 3.3),
        fill: PerChannel | Literal["random"] = 0,
    ) -> None:
        if not 0 <= scale[0] <= scale[1] <= 1 or not 0 < ratio[0] <= ratio[1]:
            raise ValueError(
                "RandomErasing: expected a scale within [0, 1] and a ratio above 0, the lesser first, "
                f"found {scale} and {ratio}"
            )
        self.p = _probability("RandomErasing", p)
        self.scale = scale
        self.ratio = ratio
        self.fill = fill

    def __call__(self, batch: Batch, generator: np.random.Generator) -> Batch:
        """The batch with some of its images covered in part, and the rest of it as it was."""
        images, *rest = batch
        _check("RandomErasing", images)
        rectangles = self._rectangles(images.shape, generator)
        images, fill = images.copy(), None if self.fill == "random" else _fill(self.fill, images)
        for image, rectangle in zip(images, rectangles, strict=True):
            if rectangle is not None:
                top, left, bottom, right = rectangle
                part = image[:, top:bottom, left:right]
                part[...] = _noise(part, generator) if fill is None else fill
        return (images, *rest)

    def _rectangles(self, shape: tuple[int, ...], generator: np.random.Generator) -> list[Rectangle | None]:
        count, _, height, width = shape
        covered = generator.random(count) < self.p
        area = generator.uniform(*self.scale, (count, self.tries)) * (height * width)
        ratio = generator.uniform(*self.ratio, (count, self.tries))
        place = generator.random((2, count))
        rows, columns = np.rint(np.sqrt(area * ratio)), np.rint(np.sqrt(area / ratio))
        fits = (rows <= height) & (columns <= width)
        first = fits.argmax(1)
        each = np.arange(count)
        rows, columns = rows[each, first], columns[each, first]
        top, left = np.floor(place[0] * (height - rows + 1)), np.floor(place[1] * (width - columns + 1))
        corners = np.stack([top, left, top + rows, left + columns], 1).astype(int).tolist()
        return [tuple(corner) if good else None for corner, good in zip(corners, covered & fits.any(1), strict=True)]


def _noise(like: Array, generator: np.random.Generator) -> Array:
    if like.dtype == np.uint8:
        return np.asarray(generator.integers(0, 256, like.shape, np.uint8))
    noise = np.asarray(generator.random(like.shape, np.float32))
    return (noise * np.float32(2) - np.float32(1)) * np.float32(3**0.5)


def _fill(value: PerChannel, images: Array) -> Array:
    """(C or 1, 1, 1) of the images' dtype."""
    fill = np.asarray(value).reshape(-1, 1, 1)
    if len(fill) not in (1, images.shape[1]):
        raise ShapeError(
            f"expected a fill for all channels, or for each of {images.shape[1]}, found {len(fill)} numbers"
        )
    if images.dtype == np.uint8 and (fill.min() < 0 or fill.max() > 255):
        raise ValueError(f"expected a fill from 0 to 255 for images of bytes, found {value}")
    return fill.astype(images.dtype)


def _check(name: str, images: Array) -> None:
    if images.dtype not in (np.uint8, np.float32):
        raise DTypeError(f"{name}: expected uint8 or float32 images, found {images.dtype}; convert them")
    if images.ndim != 4:
        raise ShapeError(f"{name}: expected a batch whose first part is images (N, C, H, W), found {images.shape}")


def _probability(name: str, p: float) -> float:
    if not 0 <= p <= 1:
        raise ValueError(f"{name}: expected a probability p from 0 to 1, found {p}")
    return p
