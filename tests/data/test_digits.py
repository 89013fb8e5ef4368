import hashlib

import numpy as np
import pytest

from odyssey.data import RandomAffine, load_digits
from odyssey.data.digits import enlarge


@pytest.fixture(scope="module")
def digits():
    pytest.importorskip("sklearn")
    return load_digits()


def test_the_split_is_stratified_and_complete(digits):
    assert (len(digits.train), len(digits.test)) == (1438, 359)
    counts = np.bincount(digits.train.labels), np.bincount(digits.test.labels)
    assert np.all(np.abs(counts[1] / (counts[0] + counts[1]) - 0.2) < 0.005)
    rows = {image.tobytes() for image in digits.train.images} & {image.tobytes() for image in digits.test.images}
    assert not rows  # no image is on both sides


def test_the_data_is_the_same_everywhere(digits):
    """To the bit, by a checksum of the held-out pixels: one value, whatever machine and NumPy compute it."""
    pixels = np.round(digits.test.images * np.float32(digits.test.std) + np.float32(digits.test.mean), 4)
    assert hashlib.sha256(digits.test.labels.tobytes()).hexdigest()[:16] == "d89a564c2d6d2669"
    assert hashlib.sha256(digits.test.images.tobytes()).hexdigest()[:16] == "f3c7ff701b09097c"
    assert (pixels.min(), pixels.max()) == (0, 1)


def test_enlarging_is_pillows_bilinear():
    image = pytest.importorskip("PIL.Image")
    small = np.random.default_rng(0).integers(0, 17, (8, 8)).astype(np.float32) / 16
    large = np.asarray(image.fromarray(small).resize((32, 32), image.Resampling.BILINEAR))
    np.testing.assert_allclose(enlarge(small[None], 32)[0], large, atol=1e-6)


def test_enlarging_is_exact():
    small = np.random.default_rng(0).integers(0, 17, (5, 8, 8)).astype(np.float32) / 16
    np.testing.assert_array_equal(enlarge(small, 32), enlarge(small.astype(np.float64), 32))


def images(count=6, channels=1):
    return np.random.default_rng(0).random((count, channels, 32, 32), np.float32)


def test_augmentation_by_nothing_is_the_image():
    moved, labels = RandomAffine()((images(), np.arange(6)), np.random.default_rng(0))
    np.testing.assert_allclose(moved, images(), atol=1e-5)
    assert labels.tolist() == list(range(6))


def test_augmentation_depends_on_its_generator_alone():
    augment = RandomAffine(10, 0.1, 0.1, 0.1)
    one, two, other = (augment((images(),), np.random.default_rng(s))[0] for s in (0, 0, 1))
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other)


def test_augmentation_of_an_image_does_not_depend_on_its_neighbours_or_channels():
    augment = RandomAffine(10, 0.1, 0.1, 0.1)
    many = images(40)
    moved = augment((many,), np.random.default_rng(0))[0]
    coloured = augment((np.repeat(many, 3, 1),), np.random.default_rng(0))[0]
    for channel in range(3):
        np.testing.assert_array_equal(coloured[:, channel], moved[:, 0])
    many[1:] = 0
    np.testing.assert_array_equal(augment((many,), np.random.default_rng(0))[0][0], moved[0])


def test_augmentation_shifts_by_whole_pixels_exactly():
    class Always:
        def uniform(self, low, high, shape):
            amounts = np.zeros(shape)
            amounts[3:] = 1.0
            return amounts

    augment = RandomAffine(shift=2 / 32)
    x = images(1)
    moved = augment((x,), Always())[0]
    np.testing.assert_allclose(moved[0, 0, :-2, :-2], x[0, 0, 2:, 2:], atol=1e-5)
