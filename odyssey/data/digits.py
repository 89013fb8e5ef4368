"""The UCI handwritten digits that come with scikit-learn: 1 797 images, enlarged from 8x8 to 32x32."""

from __future__ import annotations

import numpy as np

from odyssey.data.dataset import Array
from odyssey.data.images import ImageData, ImageDataset, mean_and_std

__all__ = ["enlarge", "load_digits"]

HELD_OUT = 0.2


def load_digits(channels: int = 1) -> ImageData:
    """The digits, split once and for all into 80 % to learn from and 20 % held out, each class in proportion.

    The images are (N, channels, 32, 32) float32, every channel the same. They come to the same bits on every machine:
    all sums here are exact.

    Raises:
        ModuleNotFoundError: scikit-learn, which carries the images, is not installed.

    Example:
        >>> data = load_digits()
        >>> len(data.train), len(data.test), data.image_size
        (1438, 359, 32)
    """
    try:
        from sklearn import datasets  # type: ignore[import-untyped]
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "the digits: expected scikit-learn, which carries them, found it missing; "
            "install it (pip install scikit-learn) or name a folder of IDX files with --data",
            name=error.name,
        ) from error
    bunch = datasets.load_digits()
    images = enlarge(np.asarray(bunch.images, np.float32) / np.float32(16), 32)[:, None]
    labels = np.asarray(bunch.target, np.int64)
    train, test = _stratified_split(labels, HELD_OUT)
    mean, std = mean_and_std(images[train])
    images = np.repeat(images, channels, axis=1)
    return ImageData(
        name="digits",
        train=ImageDataset(images[train], labels[train], mean, std),
        test=ImageDataset(images[test], labels[test], mean, std),
        classes=tuple("0123456789"),
        image_size=32,
    )


def enlarge(images: Array, size: int) -> Array:
    """Bilinear enlargement of (N, n, n) float32 images to (N, size, size), pixel centres aligned.

    One matrix interpolates along either axis. For 8 -> 32 its entries are eighths, and the digits sixteenths: every
    product and sum is exact in float32, in whatever order they are taken.
    """
    n = images.shape[-1]
    position = np.clip((np.arange(size) + 0.5) * n / size - 0.5, 0, n - 1)
    left = np.minimum(position.astype(np.int64), n - 2)
    weight = (position - left).astype(np.float32)
    matrix = np.zeros((size, n), np.float32)
    matrix[np.arange(size), left] = 1 - weight
    matrix[np.arange(size), left + 1] = weight
    return np.ascontiguousarray(matrix @ images @ matrix.T)


def _stratified_split(labels: Array, held_out: float) -> tuple[Array, Array]:
    """Sample numbers to train on and to hold out.

    RandomState and not Generator: its numbers are frozen for good (NEP 19), and so is the split.
    """
    order = np.random.RandomState(0).permutation(len(labels))
    classes, counts = np.unique(labels, return_counts=True)
    wanted = counts * held_out
    take = np.floor(wanted).astype(int)
    rest = round(len(labels) * held_out) - int(take.sum())
    by_remainder = np.argsort(take - wanted, kind="stable")  # the largest remainders first
    take[by_remainder[:rest]] += 1
    chosen = np.zeros(len(labels), bool)
    for label, count in zip(classes, take, strict=True):
        chosen[order[labels[order] == label][:count]] = True
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)
