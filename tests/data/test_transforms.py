import hashlib

import numpy as np
import pytest

from odyssey.data import (
    ArrayDataset,
    Compose,
    Cutout,
    DataLoader,
    ImageDataset,
    Normalize,
    RandomCrop,
    RandomErasing,
    RandomHorizontalFlip,
)
from odyssey.errors import DTypeError, ShapeError

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616)
ALL = [
    RandomCrop(8, padding=2),
    RandomCrop((5, 9)),
    RandomHorizontalFlip(),
    Normalize(MEAN, STD),
    Cutout(4, holes=2),
    RandomErasing(0.8),
    RandomErasing(0.8, fill="random"),
    Compose([RandomCrop(8, padding=2), RandomHorizontalFlip(), Normalize(MEAN, STD), Cutout(3)]),
]


def images(count=8, dtype=np.uint8, size=(8, 10)):
    x = np.random.default_rng(0).integers(0, 256, (count, 3, *size)).astype(np.uint8)
    return x if dtype == np.uint8 else x.astype(np.float32) / np.float32(255)


def apply(transform, x, seed=0):
    return transform((x, np.arange(len(x))), np.random.default_rng(seed))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("transform", ALL, ids=lambda t: type(t).__name__)
def test_a_transform_depends_on_its_generator_alone_and_writes_to_nothing(transform, dtype):
    x = images(40, dtype)
    before = x.copy()
    (one, labels), (two, _), (other, _) = (apply(transform, x, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(x, before)
    assert labels.tolist() == list(range(40))
    assert isinstance(transform, Normalize) or not np.array_equal(one, other)
    assert one.dtype == (np.float32 if isinstance(transform, Normalize | Compose) else dtype)


@pytest.mark.parametrize("transform", ALL, ids=lambda t: type(t).__name__)
def test_no_batch_is_taken_too(transform):
    assert len(apply(transform, images(0))[0]) == 0


def test_the_augmented_images_are_the_same_everywhere():
    """To the bit, by a checksum: one value, whatever machine and NumPy compute it."""
    augment = Compose(
        [RandomCrop(8, padding=2), RandomHorizontalFlip(), RandomErasing(0.5), Normalize(MEAN, STD), Cutout(3)]
    )
    out = apply(augment, images(32))[0]
    assert hashlib.sha256(out.tobytes()).hexdigest()[:16] == "bc291710ba51e524"


def test_bytes_and_floats_are_normalised_to_the_same_bits():
    a = apply(Normalize(MEAN, STD), images())[0]
    np.testing.assert_array_equal(a, apply(Normalize(MEAN, STD), images(dtype=np.float32))[0])
    wide = (images().astype(np.float64) / 255 - np.reshape(MEAN, (3, 1, 1))) / np.reshape(STD, (3, 1, 1))
    np.testing.assert_allclose(a, wide, rtol=1e-5, atol=1e-6)


def test_a_dataset_normalises_as_the_transform_does():
    data = ImageDataset(images(), np.arange(8), MEAN, STD)
    stored = data.stored().batch(np.arange(8))
    np.testing.assert_array_equal(data.batch(np.arange(8))[0], apply(Normalize(data.mean, data.std), stored[0])[0])
    np.testing.assert_array_equal(data[3][0], data.batch(np.arange(8))[0][3])


def test_every_place_of_a_crop_is_as_likely_and_the_padding_is_filled():
    x = np.arange(1, 17, dtype=np.uint8).reshape(1, 1, 4, 4).repeat(9000, 0)
    out = apply(RandomCrop(4, padding=1, fill=99), x)[0]
    corner = out[:, 0, 1, 1]  # tells the place: the nine pixels around the middle
    values, counts = np.unique(corner, return_counts=True)
    assert values.tolist() == [1, 2, 3, 5, 6, 7, 9, 10, 11]
    assert abs(counts - 1000).max() < 150
    moved = out[corner == 1][0, 0]  # down and to the right
    np.testing.assert_array_equal(moved, [[99, 99, 99, 99], [99, 1, 2, 3], [99, 5, 6, 7], [99, 9, 10, 11]])


def test_a_window_in_the_padding_alone_is_filled():
    out = apply(RandomCrop(1, padding=3, fill=7), images(200, size=(2, 2)))[0]
    assert ((out == 7).all(axis=(1, 2, 3))).sum() > 100


def test_a_crop_that_does_not_fit_names_a_padding_that_does():
    with pytest.raises(ShapeError, match="height of at least 12, found 8; padding=2 would do"):
        apply(RandomCrop(12), images())
    assert apply(RandomCrop(12, padding=2), images())[0].shape == (8, 3, 12, 12)


def test_flipping_mirrors_about_as_many_as_it_should():
    x = images(1000)
    out = apply(RandomHorizontalFlip(0.3), x)[0]
    flipped = np.array([np.array_equal(a, b[:, :, ::-1]) for a, b in zip(out, x, strict=True)])
    np.testing.assert_array_equal(out[~flipped], x[~flipped])
    assert 240 < flipped.sum() < 360
    np.testing.assert_array_equal(apply(RandomHorizontalFlip(0), x)[0], x)


def test_cutout_covers_squares_cut_off_at_the_edge():
    x = np.ones((500, 3, 8, 10), np.float32)
    out = apply(Cutout(4, fill=(2, 3, 4)), x)[0]
    covered = out != 1
    np.testing.assert_array_equal(covered[:, 0], covered[:, 2])
    counts = covered[:, 0].sum((1, 2))
    assert counts.max() == 16
    assert counts.min() < 16  # some reach beyond the edge
    assert out[:, 1].max() == 3
    for image in covered[:, 0]:
        rows, columns = image.any(1), image.any(0)
        np.testing.assert_array_equal(image, rows[:, None] & columns)  # a rectangle


def test_erasing_keeps_to_its_scale_ratio_and_probability():
    x = np.ones((2000, 1, 32, 32), np.float32)
    out = apply(RandomErasing(0.25, scale=(0.1, 0.2), ratio=(0.5, 2.0)), x)[0][:, 0] == 0
    covered = out[out.any((1, 2))]
    assert 400 < len(covered) < 600
    rows, columns = covered.any(2).sum(1), covered.any(1).sum(1)
    assert np.all(rows * columns == covered.sum((1, 2)))
    assert np.all(np.abs(rows * columns / 1024 - 0.15) < 0.07)  # sides are rounded
    assert np.all(np.abs(np.log2(rows / columns)) < 1.3)
    assert rows.min() < 10 < rows.max()


def test_a_rectangle_that_never_fits_covers_nothing():
    x = images()
    np.testing.assert_array_equal(apply(RandomErasing(1.0, scale=(0.9, 0.9), ratio=(3.0, 3.0)), x)[0], x)


def test_random_erasing_is_uniform_noise_of_deviation_one():
    for x in (np.zeros((50, 3, 32, 32), np.float32), np.zeros((50, 3, 32, 32), np.uint8)):
        out = apply(RandomErasing(1.0, scale=(0.5, 0.5), ratio=(1.0, 1.0), fill="random"), x)[0]
        noise = out[out != 0].astype(np.float64)
        if x.dtype == np.float32:
            assert abs(noise.mean()) < 0.02
            assert abs(noise.std() - 1) < 0.02
        else:
            assert (noise.min(), noise.max()) == (1, 255)


def test_a_loader_with_augmentation_gives_the_same_bits_with_and_without_threads():
    data = ArrayDataset(images(50), np.arange(50))
    options = {"batch_size": 8, "shuffle": True, "seed": 3, "transform": ALL[-1]}
    for a, b in zip(DataLoader(data, **options), DataLoader(data, **options, workers=3), strict=True):
        for one, two in zip(a, b, strict=True):
            np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RandomCrop(0), "RandomCrop: expected a size from 1"),
        (lambda: RandomCrop(3, padding=-1), "padding from 0"),
        (lambda: RandomHorizontalFlip(1.5), "probability p from 0 to 1, found 1.5"),
        (lambda: RandomErasing(-1), "probability"),
        (lambda: RandomErasing(scale=(0.5, 0.1)), "the lesser first"),
        (lambda: RandomErasing(ratio=(0, 1)), "a ratio above 0"),
        (lambda: Normalize(0.5, (1, 0, 1)), "deviations other than 0"),
        (lambda: Cutout(0), "Cutout: expected a size"),
        (lambda: apply(Cutout(2, fill=300), images()), "a fill from 0 to 255"),
    ],
)
def test_senseless_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_images_of_other_kinds_are_refused():
    for transform in ALL[:-1]:
        with pytest.raises(DTypeError, match="expected uint8 or float32 images, found float64"):
            apply(transform, images().astype(np.float64))
        with pytest.raises(ShapeError, match=r"images \(N, C, H, W\), found \(3, 8, 10\)"):
            apply(transform, images()[0])
    with pytest.raises(ShapeError, match="for each of 3, found 2 numbers"):
        apply(Normalize((0.1, 0.2), 1), images())
    with pytest.raises(ShapeError, match="a fill for all channels, or for each of 3"):
        apply(Cutout(2, fill=(1, 2)), images())
    with pytest.raises(ShapeError, match="each of 3, found 2 numbers"):
        ImageDataset(images(), np.arange(8), (0.1, 0.2), 1.0)
    with pytest.raises(DTypeError, match="expected uint8 or float32 images, found float64"):
        ImageDataset(images().astype(np.float64), np.arange(8), 0.1, 1.0)
