"""`gather_images` against the same in NumPy, pixel by pixel, for every way its arguments can be combined."""

import doctest
import itertools

import numpy as np
import pytest

from odyssey._kernels import images as entry
from odyssey._kernels.images import gather_images
from odyssey.errors import DTypeError, ShapeError


def expected(images, numbers, place, mirrored, table, fill):
    """Image by image: padded by more than any window needs, cut, mirrored, looked up."""
    out = []
    height, width = images.shape[2:]
    top, left, size = place if place else (None, None, (height, width))
    for i, number in enumerate(range(len(images)) if numbers is None else numbers):
        around = np.pad(images[number], ((0, 0), (size[0],) * 2, (size[1],) * 2), constant_values=fill)
        y, x = (top[i], left[i]) if place else (0, 0)
        window = around[:, size[0] + y : 2 * size[0] + y, size[1] + x : 2 * size[1] + x]
        if mirrored is not None and mirrored[i]:
            window = window[:, :, ::-1]
        out.append(window if table is None else np.stack([table[c][window[c]] for c in range(len(window))]))
    return np.stack(out)


def stack(dtype, count=5, channels=3, height=6, width=7):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, channels, height, width)).astype(dtype)


@pytest.mark.parametrize("size", [(6, 7), (3, 9), (1, 1), (12, 2)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_every_combination_is_what_numpy_makes_of_it(dtype, size):
    rng = np.random.default_rng(1)
    images = stack(dtype)
    table = rng.random((3, 256), np.float32)
    choices = itertools.product((False, True), (False, True), (False, True), (False, True) if dtype == np.uint8 else (False,))
    for by_number, cut, flip, looked_up in choices:
        numbers = rng.integers(0, 5, 9) if by_number else None
        count = 9 if by_number else 5
        place = (rng.integers(-size[0], 7, count), rng.integers(-size[1], 8, count), size) if cut else None
        mirrored = rng.random(count) < 0.5 if flip else None
        options = dict(zip(("top", "left", "size"), place, strict=True)) if cut else {}
        found = gather_images(images, numbers, **options, mirrored=mirrored, table=table if looked_up else None, fill=9)
        wanted = expected(images, numbers, place, mirrored, table if looked_up else None, 9)
        assert found.dtype == wanted.dtype
        np.testing.assert_array_equal(found, wanted)


def test_strided_and_empty_images_are_taken():
    images = stack(np.uint8, 6)
    np.testing.assert_array_equal(gather_images(images[::2, :, ::-1]), images[::2, :, ::-1])
    assert gather_images(images, np.array([], np.int64)).shape == (0, 3, 6, 7)
    assert gather_images(images[:0]).shape == (0, 3, 6, 7)


def test_numbers_of_any_integer_type_are_taken():
    images = stack(np.uint8)
    np.testing.assert_array_equal(gather_images(images, np.array([4, 0], np.int32)), images[[4, 0]])


IMAGES = stack(np.uint8)
ZEROS = np.zeros(5, np.int64)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((IMAGES.astype(np.float64),), {}, DTypeError, "uint8 or float32"),
        ((IMAGES[0],), {}, ShapeError, r"\(N, C, H, W\)"),
        ((IMAGES, np.array([5])), {}, IndexError, r"numbers must lie in \[0, 4\]; found numbers\[0\] = 5"),
        ((IMAGES, np.array([0, -1])), {}, IndexError, r"numbers\[1\] = -1"),
        ((IMAGES, np.zeros((2, 2), int)), {}, ShapeError, "one number for each"),
        ((IMAGES[:0], np.array([0])), {}, IndexError, "numbers"),
        ((IMAGES,), {"top": ZEROS}, ShapeError, "go together"),
        ((IMAGES,), {"size": (2, 2), "top": ZEROS}, ShapeError, "go together"),
        ((IMAGES,), {"size": (0, 2), "top": ZEROS, "left": ZEROS}, ShapeError, r"at least \(1, 1\)"),
        ((IMAGES,), {"size": (2, 2), "top": ZEROS[:4], "left": ZEROS}, ShapeError, "top must be one number"),
        ((IMAGES,), {"size": (2, 2), "top": ZEROS + 7, "left": ZEROS}, IndexError, "top must lie in"),
        ((IMAGES,), {"size": (2, 2), "top": ZEROS, "left": ZEROS - 3}, IndexError, "left must lie in"),
        ((IMAGES,), {"mirrored": np.zeros(4, bool)}, ShapeError, "mirrored must be one bool"),
        ((IMAGES,), {"table": np.zeros((3, 256))}, DTypeError, "a table is float32"),
        ((IMAGES.astype(np.float32),), {"table": np.zeros((3, 256), np.float32)}, DTypeError, "for uint8 images"),
        ((IMAGES,), {"table": np.zeros((1, 256), np.float32)}, ShapeError, r"table must be \(C, 256\)"),
        ((IMAGES,), {"fill": 256}, ValueError, "from 0 to 255; found 256"),
    ],
)
def test_what_does_not_fit_is_an_error(arguments, options, error, message):
    with pytest.raises(error, match=message):
        gather_images(*arguments, **options)


def test_the_example_holds():
    example = doctest.DocTestParser().get_doctest(entry.gather_images.__doc__, {"np": np}, "gather_images", None, 0)
    assert doctest.DocTestRunner().run(example).failed == 0
