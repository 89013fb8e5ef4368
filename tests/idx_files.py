"""IDX files as MNIST and EMNIST are published, made up for the tests."""

import gzip
import struct
from pathlib import Path

import numpy as np


def idx_bytes(array, *, code=0x08, sizes=None):
    sizes = array.shape if sizes is None else sizes
    return bytes([0, 0, code, len(sizes)]) + struct.pack(f">{len(sizes)}I", *sizes) + array.tobytes()


def write(path: Path, array, compressed=False, **options):
    data = idx_bytes(array, **options)
    path.write_bytes(gzip.compress(data) if compressed else data)


def drawn(count, classes, first=0, seed=0):
    """Images that a network can learn: a bright bar whose place and direction tell the class."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    images = rng.integers(0, 40, (count, 28, 28)).astype(np.uint8)
    for image, label in zip(images, labels, strict=True):
        place = 2 + label % 13 * 2
        if label // 13 % 2:
            image[place : place + 2, 4:24] = 255
        else:
            image[4:24, place : place + 2] = 255
        image[:3, : label // 26 * 8] = 255
    return images, (labels + first).astype(np.uint8)


def mnist(folder: Path, classes=10, train=60, test=20, compressed=False, **options):
    folder.mkdir(parents=True, exist_ok=True)
    end = ".gz" if compressed else ""
    for part, count, seed in (("train", train, 0), ("t10k", test, 1)):
        images, labels = drawn(count, classes, seed=seed, **options)
        write(folder / f"{part}-images-idx3-ubyte{end}", images, compressed)
        write(folder / f"{part}-labels-idx1-ubyte{end}", labels, compressed)
    return folder


def emnist(folder: Path, split, classes, train=130, test=70, compressed=True):
    """Published transposed, and `letters` with labels from 1."""
    folder.mkdir(parents=True, exist_ok=True)
    end = ".gz" if compressed else ""
    for part, count, seed in (("train", train, 0), ("test", test, 1)):
        images, labels = drawn(count, classes, first=1 if split == "letters" else 0, seed=seed)
        images = np.ascontiguousarray(images.transpose(0, 2, 1))
        write(folder / f"emnist-{split}-{part}-images-idx3-ubyte{end}", images, compressed)
        write(folder / f"emnist-{split}-{part}-labels-idx1-ubyte{end}", labels, compressed)
    return folder
