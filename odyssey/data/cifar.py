"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009), in both forms they are published in.

Binary: records of a label (two in CIFAR-100, coarse before fine) and 3072 bytes, the red, green and blue planes of a
32x32 image. Python: a pickled dict with the same bytes as an array and the labels as a list; see `odyssey.data.pickled`
for how such a file is read without trusting it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from odyssey.data.dataset import Array
from odyssey.data.images import ImageData, ImageDataset, channel_means
from odyssey.data.pickled import Bytes, read_pickle
from odyssey.errors import FormatError

__all__ = ["load_cifar"]

_IMAGE_SIZE = 32
_PIXELS = 3 * _IMAGE_SIZE * _IMAGE_SIZE
_BATCHES = tuple(f"data_batch_{i}" for i in range(1, 6))


@dataclass(frozen=True)
class _Form:
    """One of the four archives: its files by their names, and how many classes its labels tell apart."""

    name: str
    folder: str
    archive: str
    train: tuple[str, ...]
    test: str
    classes: dict[str, int]  # in the order the binary records have them
    binary: bool


_FORMS = (
    _Form("cifar10", "cifar-10-batches-py", "cifar-10-python.tar.gz", _BATCHES, "test_batch", {"": 10}, False),
    _Form("cifar10", "cifar-10-batches-bin", "cifar-10-binary.tar.gz", tuple(f"{name}.bin" for name in _BATCHES),
          "test_batch.bin", {"": 10}, True),
    _Form("cifar100", "cifar-100-python", "cifar-100-python.tar.gz", ("train",), "test", {"coarse": 20, "fine": 100},
          False),
    _Form("cifar100", "cifar-100-binary", "cifar-100-binary.tar.gz", ("train.bin",), "test.bin",
          {"coarse": 20, "fine": 100}, True),
)  # fmt: skip


def load_cifar(folder: str | os.PathLike[str], labels: Literal["fine", "coarse"] = "fine") -> ImageData:
    """A folder of CIFAR-10's or CIFAR-100's files, binary or Python, by the names they are published under.

    CIFAR-10: data_batch_1 to data_batch_5, test_batch and batches.meta, or the same with .bin and batches.meta.txt.
    CIFAR-100: train, test and meta, or train.bin, test.bin and fine_label_names.txt (coarse_label_names.txt). The
    folder may be the one that holds them or the one the archive was unpacked in. Images stay uint8, (N, 3, 32, 32);
    mean and deviation are those of each channel of the training images.

    Args:
        folder: where the files are.
        labels: of CIFAR-100, the 100 fine classes or the 20 coarse ones. CIFAR-10 has but one kind.

    Raises:
        FileNotFoundError: the folder or one of its files is missing.
        FormatError: a file is truncated, damaged or another kind of file, or labels are out of range.
    """
    if labels not in ("fine", "coarse"):
        raise FormatError(f"load_cifar: expected labels 'fine' or 'coarse', found {labels!r}")
    folder, form = _choose(Path(folder))
    kind = labels if len(form.classes) > 1 else ""
    classes = _names(folder, form, kind)
    train = [_read(folder / name, form, kind) for name in form.train]
    images, numbers = (np.concatenate(parts) for parts in zip(*train, strict=True))
    mean, std = channel_means(images)
    return ImageData(
        name=form.name if kind != "coarse" else f"{form.name}-coarse",
        train=ImageDataset(images, numbers, mean, std),
        test=ImageDataset(*_read(folder / form.test, form, kind), mean, std),
        classes=classes,
        image_size=_IMAGE_SIZE,
    )


def _choose(folder: Path) -> tuple[Path, _Form]:
    """The folder that holds the files, and which they are."""
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder}: expected a folder of CIFAR's files, found {'a file' if folder.exists() else 'nothing there'}; "
            "unpack the published archive and name the folder"
        )
    found = [
        (place, form)
        for form in _FORMS
        for place in (folder, folder / form.folder)
        if (place / form.train[0]).is_file()
    ]
    if not found:
        raise FileNotFoundError(
            f"{folder}: expected the files of CIFAR-10 or CIFAR-100, such as data_batch_1, data_batch_1.bin, train or "
            f"train.bin, found none; get them: odyssey data fetch cifar10 --to {folder}"
        )
    if len(found) > 1:
        raise FormatError(
            f"{folder}: expected one data set, found "
            + ", ".join(str((place / form.train[0]).relative_to(folder)) for place, form in found)
            + "; name the folder of one of them"
        )
    return found[0]


def _read(path: Path, form: _Form, kind: str) -> tuple[Array, Array]:
    """Images (n, 3, 32, 32) uint8 and their labels (n,) int64."""
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: expected a file of {form.archive}, found none; unpack all of the archive there"
        )
    images, labels = (_read_binary if form.binary else _read_python)(path, form, kind)
    count = form.classes[kind]
    if labels.min() < 0 or labels.max() >= count:
        raise FormatError(
            f"{path}: expected labels from 0 to {count - 1}, found {labels.min()} to {labels.max()}; "
            f"the file is damaged, get {form.archive} again"
        )
    return images.reshape(-1, 3, _IMAGE_SIZE, _IMAGE_SIZE), labels


def _read_binary(path: Path, form: _Form, kind: str) -> tuple[Array, Array]:
    record = len(form.classes) + _PIXELS
    size = path.stat().st_size
    if size == 0 or size % record:
        raise FormatError(
            f"{path}: expected records of {record} bytes, found {size} bytes, {size % record} more than "
            f"{size // record} of them; the file is truncated or another, get {form.archive} again"
        )
    records = np.fromfile(path, np.uint8).reshape(-1, record)
    return np.ascontiguousarray(records[:, -_PIXELS:]), records[:, list(form.classes).index(kind)].astype(np.int64)


def _read_python(path: Path, form: _Form, kind: str) -> tuple[Array, Array]:
    batch = read_pickle(path, form.archive)
    key = f"{kind}_labels".lstrip("_").encode()
    data, labels = batch.get(b"data"), batch.get(key)
    if not isinstance(data, Bytes) or len(data.shape) != 2 or data.shape[1] != _PIXELS or data.shape[0] == 0:
        found = " x ".join(map(str, data.shape)) if isinstance(data, Bytes) else type(data).__name__
        raise FormatError(
            f"{path}: expected images of {_PIXELS} bytes under 'data', found {found}; get {form.archive} again"
        )
    if not isinstance(labels, list) or len(labels) != data.shape[0] or not all(type(each) is int for each in labels):
        found = f"{len(labels)} values" if isinstance(labels, list) else type(labels).__name__
        raise FormatError(
            f"{path}: expected a list of {data.shape[0]} numbers under {key.decode()!r}, one for each image, found "
            f"{found}; get {form.archive} again"
        )
    # Large numbers, which no label is, stay out of range when they are cut to fit.
    return data.array(), np.array([min(max(each, -1), 255) for each in labels], np.int64)


def _names(folder: Path, form: _Form, kind: str) -> tuple[str, ...]:
    """The names of the classes, by label."""
    count = form.classes[kind]
    if form.binary:
        path = folder / (f"{kind}_label_names.txt" if kind else "batches.meta.txt")
        reader: Callable[[Path, str, str], list[Any]] = _names_of_text
    else:
        path = folder / ("meta" if kind else "batches.meta")
        reader = _names_of_pickle
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: expected the names of the classes, found no file; it is in {form.archive} with the others"
        )
    names = reader(path, form.archive, f"{kind}_label_names".lstrip("_"))
    if len(names) != count or not all(isinstance(name, str) for name in names):
        raise FormatError(
            f"{path}: expected the names of {count} classes, found {len(names)}; get {form.archive} again"
        )
    return tuple(names)


def _names_of_text(path: Path, archive: str, key: str) -> list[Any]:
    return path.read_text("ascii", "replace").split()


def _names_of_pickle(path: Path, archive: str, key: str) -> list[Any]:
    names = read_pickle(path, archive).get(key.encode())
    if not isinstance(names, list):
        raise FormatError(f"{path}: expected a list under {key!r}, found {type(names).__name__}; get {archive} again")
    return [name.decode("ascii", "replace") if isinstance(name, bytes) else None for name in names]
