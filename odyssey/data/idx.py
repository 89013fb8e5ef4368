"""MNIST and EMNIST: the IDX format, and folders of it as they are published.

An IDX file is a header of big-endian 32-bit numbers (two zero bytes, the type of the elements, the number of axes, then
the size of each axis) and the elements. Nothing in a header is believed before it is compared with the size of the
file: a lying one is an error, not an allocation.
"""

from __future__ import annotations

import gzip
import math
import os
import re
import struct
import zlib
from pathlib import Path
from typing import IO, cast

import numpy as np

from odyssey.data.dataset import Array
from odyssey.data.images import ImageData, ImageDataset, mean_and_std
from odyssey.errors import FormatError

__all__ = ["load_idx", "read_idx"]

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_DEFLATE_LIMIT = 1032  # deflate cannot make more than this out of one byte
_IMAGE_SIZE = 28


def read_idx(path: str | os.PathLike[str]) -> Array:
    """The array in an IDX file, plain or gzip-compressed.

    Returns:
        An array of the shape and type that the header states, in native byte order.

    Raises:
        FileNotFoundError: there is no such file.
        FormatError: it is not an IDX file, is shorter or longer than its header says, or its compression is damaged.
    """
    path = Path(path)
    size = path.stat().st_size
    with open(path, "rb") as probe:
        compressed = probe.read(2) == b"\x1f\x8b"
    try:
        if compressed:
            with gzip.open(path, "rb") as file:
                return _read(cast("IO[bytes]", file), path, size * _DEFLATE_LIMIT, None)
        with open(path, "rb") as file:
            return _read(file, path, size, size)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise FormatError(
            f"{path}: expected a complete gzip file, found it damaged ({error}); download it again"
        ) from error


def _read(file: IO[bytes], path: Path, most: int, exactly: int | None) -> Array:
    """Read from `file`, which holds at most `most` bytes, or `exactly` so many where that is known."""
    head = file.read(4)
    if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in _TYPES or head[3] == 0:
        raise FormatError(
            f"{path}: expected an IDX header (00 00 type axes), found {head.hex(' ') or 'an empty file'}; "
            "is it one of the files published for MNIST or EMNIST?"
        )
    dtype = np.dtype(_TYPES[head[2]])
    axes = head[3]
    sizes = file.read(4 * axes)
    if len(sizes) < 4 * axes:
        raise FormatError(
            f"{path}: expected an IDX header of {4 + 4 * axes} bytes, found {4 + len(sizes)}; the file is truncated, "
            "get it again"
        )
    shape = struct.unpack(f">{axes}I", sizes)
    length = math.prod(shape) * dtype.itemsize  # a Python integer: it cannot overflow
    header = 4 + 4 * axes
    stated = f"{header + length} bytes for {_times(shape)} {dtype.name}"
    if exactly is not None and header + length != exactly:
        raise FormatError(
            f"{path}: expected {stated}, as its header says, found {exactly}; the file is truncated or damaged, "
            "get it again"
        )
    if header + length > most:
        raise FormatError(
            f"{path}: expected {stated}, as its header says, found a compressed file too small to hold them; "
            "the file is damaged, get it again"
        )
    body = file.read(length + 1)  # one more, to see whether there is more
    if len(body) != length:
        raise FormatError(
            f"{path}: expected {stated}, as its header says, found "
            f"{'fewer' if len(body) < length else 'more'}; the file is truncated or damaged, get it again"
        )
    return np.frombuffer(body, dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


def _times(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


# ---- folders --------------------------------------------------------------------------------------------------------

_DIGITS = "0123456789"
_UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_LOWER = "abcdefghijklmnopqrstuvwxyz"
_MERGED = _DIGITS + _UPPER + "abdefghnqrt"  # the lower-case letters that do not look like their capitals
_CLASSES = {10: _DIGITS, 26: _UPPER, 47: _MERGED, 62: _DIGITS + _UPPER + _LOWER}
_EMNIST = {"balanced": 47, "byclass": 62, "bymerge": 47, "digits": 10, "letters": 26, "mnist": 10}
_NAME = re.compile(r"(?:emnist-(?P<split>[a-z]+)-)?train-images[-.]idx3-ubyte(?:\.gz)?")


def load_idx(folder: str | os.PathLike[str], split: str | None = None) -> ImageData:
    """A folder of MNIST's or EMNIST's IDX files, by the names they are published under, plain or with .gz.

    MNIST (and whatever follows its format): train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte
    and t10k-labels-idx1-ubyte. EMNIST: emnist-<split>-train-images-idx3-ubyte and so on, with -test- for the held-out
    part; its images are published transposed and come out the right way up, and the labels of `letters`, published as
    1 to 26, come out as 0 to 25. Images stay uint8.

    Args:
        folder: where the files are.
        split: which of EMNIST's splits, where the folder holds several: balanced, byclass, bymerge, digits, letters or
            mnist.

    Raises:
        FileNotFoundError: the folder or one of the four files is missing.
        FormatError: a file is damaged, the files do not belong together, or labels are out of range.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder}: expected a folder of IDX files, found {'a file' if folder.exists() else 'nothing there'}; "
            "name the folder that the published files were downloaded to"
        )
    split = _choose_split(folder, split)
    if split is None:
        name, train, test = folder.name or "mnist", "train", "t10k"
    else:
        name, train, test = f"emnist-{split}", f"emnist-{split}-train", f"emnist-{split}-test"
    parts = {part: _read_part(folder, part, transposed=split is not None) for part in (train, test)}
    count = _number_of_classes(folder, split, [labels for _, labels in parts.values()])
    if split == "letters":
        parts = {part: (images, labels - 1) for part, (images, labels) in parts.items()}
    mean, std = mean_and_std(parts[train][0])
    return ImageData(
        name=name,
        train=ImageDataset(*parts[train], mean, std),
        test=ImageDataset(*parts[test], mean, std),
        classes=tuple(_CLASSES[count]),
        image_size=_IMAGE_SIZE,
    )


def _choose_split(folder: Path, wanted: str | None) -> str | None:
    """The EMNIST split to read, or None for MNIST's names."""
    found = {match["split"] for path in folder.iterdir() if (match := _NAME.fullmatch(path.name)) is not None}
    if wanted is not None:
        if wanted not in _EMNIST:
            raise FormatError(f"split: expected one of {', '.join(_EMNIST)}, found {wanted!r}")
        if wanted not in found:
            raise FileNotFoundError(
                f"{folder}: expected emnist-{wanted}-train-images-idx3-ubyte(.gz), found "
                + (", ".join(sorted(f"emnist-{s}" if s else "MNIST" for s in found)) or "no training images")
                + "; name a split that is there"
            )
        return wanted
    if not found:
        raise FileNotFoundError(
            f"{folder}: expected train-images-idx3-ubyte or emnist-<split>-train-images-idx3-ubyte, plain or .gz, "
            "found neither; put the four published files there"
        )
    if len(found) > 1:
        raise FormatError(
            f"{folder}: expected one data set, found "
            + ", ".join(sorted(f"emnist-{s}" if s else "MNIST" for s in found))
            + "; choose one of EMNIST's with --split, or separate them"
        )
    split: str | None = found.pop()
    if split is not None and split not in _EMNIST:
        raise FormatError(f"{folder}: expected one of EMNIST's splits ({', '.join(_EMNIST)}), found {split!r}")
    return split


def _read_part(folder: Path, part: str, transposed: bool) -> tuple[Array, Array]:
    images_path = _find(folder, f"{part}-images", "idx3")
    labels_path = _find(folder, f"{part}-labels", "idx1")
    images, labels = read_idx(images_path), read_idx(labels_path)
    if images.dtype != np.uint8 or images.ndim != 3 or images.shape[1:] != (_IMAGE_SIZE, _IMAGE_SIZE):
        raise FormatError(
            f"{images_path}: expected uint8 images of {_IMAGE_SIZE}x{_IMAGE_SIZE}, found {images.dtype} "
            f"{_times(images.shape)}; resize them to {_IMAGE_SIZE}x{_IMAGE_SIZE}"
        )
    if labels.dtype != np.uint8 or labels.ndim != 1:
        raise FormatError(
            f"{labels_path}: expected one uint8 label per image, found {labels.dtype} {_times(labels.shape)}; "
            "is it the labels file?"
        )
    if len(images) != len(labels):
        raise FormatError(
            f"{labels_path}: expected {len(images)} labels, one for each image of {images_path.name}, "
            f"found {len(labels)}; the two files are not of one data set"
        )
    if len(images) == 0:
        raise FormatError(f"{images_path}: expected images, found none; get the published file")
    if transposed:
        images = images.transpose(0, 2, 1)
    return np.ascontiguousarray(images)[:, None], labels.astype(np.int64)


def _find(folder: Path, stem: str, kind: str) -> Path:
    names = [f"{stem}{dash}{kind}-ubyte{end}" for dash in "-." for end in ("", ".gz")]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(f"{folder}: expected {names[0]} or {names[1]}, found neither; put it there")


def _number_of_classes(folder: Path, split: str | None, parts: list[Array]) -> int:
    """By the labels, within what the data set's name allows."""
    low = min(int(labels.min()) for labels in parts)
    high = max(int(labels.max()) for labels in parts)
    if split is None:
        for count in _CLASSES:
            if high < count:
                return count
        raise FormatError(f"{folder}: expected labels from 0 to 61, found {high}; is the labels file damaged?")
    count = _EMNIST[split]
    first = 1 if split == "letters" else 0
    if low < first or high >= first + count:
        raise FormatError(
            f"{folder}: expected labels from {first} to {first + count - 1} in emnist-{split}, "
            f"found {low} to {high}; is the labels file damaged?"
        )
    return count
