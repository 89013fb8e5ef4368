"""Images in folders, a folder for each class."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from odyssey.data.dataset import Array, Batch, Dataset
from odyssey.data.picture import open_picture
from odyssey.errors import FormatError, ShapeError

__all__ = ["ImageFolder"]

EXTENSIONS = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")


class ImageFolder(Dataset):
    """The images in root/<class>/..., read when they are asked for.

    Classes and files are numbered by their names, sorted: the same folder gives the same numbers everywhere. Files are
    found by their extension, also in folders within a class's; what begins with a dot is left out. Reading takes Pillow
    (pip install pillow), which decodes without the GIL: `DataLoader(workers=...)` helps.

    Args:
        root: the folder of the classes' folders.
        size: height and width to resize to, bilinearly, or one number for both; None takes images as they are, which
            then must all be of one size within a batch.
        mode: "RGB", or "L" for grey; images of another kind are converted, transparent ones over black.
        extensions: what an image's name ends with, in lower case.

    `batch` gives (images (n, 3 or 1, H, W) uint8, labels (n,) int64).

    Attributes:
        classes: the names of the folders, by label.
        paths: the files, by number.
        labels: (N,) int64, by number.

    Raises:
        FileNotFoundError: there is no such folder, or it holds no images in folders, or a class has none.
        FormatError: when an image is read, if it is none or damaged; the message names the file.
        ShapeError: when a batch is read, if its images are of several sizes.
        ModuleNotFoundError: when an image is read, if Pillow is not installed.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        size: int | tuple[int, int] | None = None,
        mode: Literal["RGB", "L"] = "RGB",
        extensions: Sequence[str] = EXTENSIONS,
    ) -> None:
        if mode not in ("RGB", "L"):
            raise FormatError(f"ImageFolder: expected mode 'RGB' or 'L', found {mode!r}")
        self.root = Path(root)
        self.size = (size, size) if isinstance(size, int) else size
        self.mode = mode
        if not self.root.is_dir():
            found = "a file" if self.root.exists() else "nothing there"
            raise FileNotFoundError(f"{self.root}: expected a folder with a folder for each class, found {found}")
        folders = sorted(
            (path for path in self.root.iterdir() if path.is_dir() and not path.name.startswith(".")),
            key=lambda path: path.name,
        )
        if not folders:
            raise FileNotFoundError(
                f"{self.root}: expected a folder for each class, found none; put images into {self.root}/<class>/"
            )
        found_in = [_images(folder, tuple(extensions)) for folder in folders]
        for folder, paths in zip(folders, found_in, strict=True):
            if not paths:
                raise FileNotFoundError(
                    f"{folder}: expected images ({', '.join(extensions)}), found none; put some there or remove it"
                )
        self.classes = tuple(folder.name for folder in folders)
        self.paths = [path for paths in found_in for path in paths]
        self.labels: NDArray[np.int64] = np.repeat(np.arange(len(folders)), [len(paths) for paths in found_in])

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Array, int]:
        """One image (3 or 1, H, W) uint8 and its label."""
        with open_picture(self.paths[index]) as picture:
            changed = picture.convert(self.mode)
            if self.size is not None and changed.size != self.size[::-1]:
                from PIL import Image

                changed = changed.resize(self.size[::-1], Image.Resampling.BILINEAR)
            pixels = np.asarray(changed)
        planes = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
        return np.ascontiguousarray(planes), int(self.labels[index])

    def batch(self, indices: NDArray[np.int64]) -> Batch:
        """These images and their labels."""
        images = [self[int(index)][0] for index in indices]
        for index, image in zip(indices, images, strict=True):
            if image.shape != images[0].shape:
                (_, a, b), (_, height, width) = images[0].shape, image.shape
                raise ShapeError(
                    f"{self.paths[index]}: expected an image of {b}x{a} pixels, as {self.paths[indices[0]]} is, found "
                    f"{width}x{height}; give ImageFolder a size to bring them to"
                )
        return np.stack(images), self.labels[indices]


def _images(folder: Path, extensions: tuple[str, ...]) -> list[Path]:
    """The images below a folder, in the order of their paths."""
    found = []
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(place, name) for name in files if name.lower().endswith(extensions) and not name.startswith(".")]
    return sorted(found, key=lambda path: path.relative_to(folder).parts)
