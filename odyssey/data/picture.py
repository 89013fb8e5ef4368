"""Image files, opened by Pillow: whatever is wrong with one is an error that names it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from odyssey.errors import FormatError

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["open_picture"]


@contextmanager
def open_picture(path: str | os.PathLike[str]) -> Iterator[Image.Image]:
    """An image file, for the block; its pixels are only unpacked when they are asked for.

    Raises:
        FileNotFoundError: there is no such file.
        FormatError: here or within the block: it is not an image, is damaged, or would unpack to a huge one.
        ModuleNotFoundError: Pillow is not installed.
    """
    try:
        from PIL import Image, UnidentifiedImageError
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "images: expected Pillow, which reads them, found it missing; install it (pip install pillow)",
            name=error.name,
        ) from error
    path = os.fspath(path)
    try:
        with open(path, "rb") as file, Image.open(file) as picture:
            # Pillow warns from here on. A filter that makes an error of it would hold for other threads too.
            most = Image.MAX_IMAGE_PIXELS
            if most is not None and picture.width * picture.height > most:
                raise FormatError(
                    f"{path}: expected an image of at most {most} pixels, found {picture.width}x{picture.height}; "
                    "make it smaller, or raise PIL.Image.MAX_IMAGE_PIXELS"
                )
            yield picture
    except (UnidentifiedImageError, Image.DecompressionBombError, Image.DecompressionBombWarning, SyntaxError) as error:
        raise FormatError(f"{path}: expected an image, found something else ({error}); save it as PNG") from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise FormatError(f"{path}: expected a complete image, found it damaged ({error}); save it again") from error
