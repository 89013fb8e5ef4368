"""Labelled images, standardised as they are handed out."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from odyssey._kernels.images import gather_images
from odyssey.data.dataset import Array, ArrayDataset, Batch, Dataset
from odyssey.errors import DTypeError, ShapeError

__all__ = ["ImageData", "ImageDataset", "PerChannel", "byte_table", "channel_means", "mean_and_std", "standardise"]

PerChannel: TypeAlias = float | Sequence[float]
"""One number for all channels, or one for each."""


class ImageDataset(Dataset):
    """Images with labels, handed out as float32 with the mean taken off and divided by the deviation.

    Args:
        images: (N, C, H, W), uint8 in [0, 255] (kept as it is: a quarter of float32) or float32 in [0, 1].
        labels: (N,) integers.
        mean, std: of the training images, in [0, 1] units: a number, or one for each channel.

    `batch` gives (images (n, C, H, W) float32, labels (n,) int64).

    Raises:
        ShapeError, DTypeError: for images, labels or a mean and deviation that do not fit.
    """

    def __init__(self, images: Array, labels: Array, mean: PerChannel, std: PerChannel) -> None:
        if images.ndim != 4 or labels.shape != images.shape[:1]:
            raise ShapeError(
                f"ImageDataset: expected images (N, C, H, W) and labels (N,), found {images.shape} and {labels.shape}"
            )
        if images.dtype == np.uint8:
            # The 256 possible values are standardised once, and looked up.
            self._table: Array | None = byte_table(mean, std, images.shape[1])
            self.images = np.ascontiguousarray(images)
        elif images.dtype == np.float32:
            self._table = None
            self.images = standardise(images, mean, std)
        else:
            raise DTypeError(f"ImageDataset: expected uint8 or float32 images, found {images.dtype}; convert them")
        self.labels: NDArray[np.int64] = labels.astype(np.int64)
        self.mean = mean
        self.std = std

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Array, int]:
        images, labels = self.batch(np.array([index]))
        return images[0], int(labels[0])

    def batch(self, indices: NDArray[np.int64]) -> Batch:
        """These images, standardised, and their labels."""
        return gather_images(self.images, indices, table=self._table), self.labels[indices]

    def stored(self) -> ArrayDataset:
        """The images as they are kept, and their labels: for transforms that work on bytes and standardise last."""
        return ArrayDataset(self.images, self.labels)


def standardise(images: Array, mean: PerChannel, std: PerChannel) -> Array:
    """(images - mean) / std in float32; images in [0, 1], (..., C, H, W) where there is a number for each channel."""
    return np.asarray((images - _per_channel(mean, images)) / _per_channel(std, images))


def byte_table(mean: PerChannel, std: PerChannel, channels: int) -> Array:
    """(C, 256) float32: what each byte becomes: of 0 to 1, the mean taken off and divided by the deviation."""
    values = np.arange(256, dtype=np.float32) / np.float32(255)
    return standardise(np.broadcast_to(values, (channels, 1, 256)), mean, std)[:, 0]


def _per_channel(value: PerChannel, images: Array) -> Array:
    """A float32, or (C, 1, 1) of them."""
    values = np.asarray(value, np.float32)
    if values.ndim and values.shape != images.shape[-3:-2]:
        raise ShapeError(
            "expected a mean and a deviation for all channels, or for each of "
            f"{images.shape[-3]}, found {len(values)} numbers"
        )
    return values[:, None, None] if values.ndim else values


def channel_means(images: Array) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of each channel of images (N, C, H, W): `mean_and_std` for colours."""
    pairs = [mean_and_std(images[:, channel]) for channel in range(images.shape[1])]
    return tuple(mean for mean, _ in pairs), tuple(std for _, std in pairs)


def mean_and_std(images: Array) -> tuple[float, float]:
    """Over all pixels, in [0, 1] units. Summed exactly, so every machine gets the same two numbers."""
    if images.dtype == np.uint8:
        counts = np.zeros(256, np.int64)
        for first in range(0, len(images), 4096):  # bincount makes eight bytes of each pixel while it works
            counts += np.bincount(images[first : first + 4096].reshape(-1), minlength=256)
        total: float = sum(value * int(count) for value, count in enumerate(counts))
        squares: float = sum(value * value * int(count) for value, count in enumerate(counts))
        unit = 255.0
    else:
        total = float(images.sum(dtype=np.float64))
        squares = float(np.square(images, dtype=np.float64).sum())
        unit = 1.0
    mean = total / images.size
    variance = max(squares / images.size - mean * mean, 0.0)
    return mean / unit, max(variance**0.5 / unit, 1e-3)  # all pixels alike: nothing to divide by


@dataclass(frozen=True)
class ImageData:
    """A data set for training: both parts, and what a model for it must know.

    Attributes:
        name: what it is called in a run's configuration.
        train, test: the images to learn from, and those held out.
        classes: the name of each class, by label.
        image_size: height and width of the images.
    """

    name: str
    train: ImageDataset
    test: ImageDataset
    classes: tuple[str, ...]
    image_size: int

    def fingerprint(self) -> str:
        """A checksum of the training images and labels, to tell whether a run goes on with the data it began with."""
        checksum = zlib.crc32(np.ascontiguousarray(self.train.labels).data)
        return f"{zlib.crc32(np.ascontiguousarray(self.train.images).data, checksum):08x}"

    def describe(self) -> dict[str, Any]:
        """What a run's configuration says about the data."""
        return {
            "name": self.name,
            "classes": list(self.classes),
            "image_size": self.image_size,
            "mean": _plain(self.train.mean),
            "std": _plain(self.train.std),
            "train_images": len(self.train),
            "test_images": len(self.test),
            "fingerprint": self.fingerprint(),
        }


def _plain(value: PerChannel) -> float | list[float]:
    return list(value) if isinstance(value, Sequence) else value
