import builtins
import os
import warnings

import numpy as np
import pytest

from odyssey.data import DataLoader, ImageFolder
from odyssey.errors import FormatError, ShapeError

Image = pytest.importorskip("PIL.Image")


def pixels(seed, size=(6, 5)):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3)).astype(np.uint8)


def make(root, **classes):
    for name, files in classes.items():
        for i, file in enumerate(files):
            path = root / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels(i)).save(path)
    return root


def test_classes_and_files_are_numbered_by_name(tmp_path):
    make(tmp_path, dog=["b.png", "a.PNG", "deep/c.bmp"], cat=["10.png", "9.png"], **{".hidden": ["x.png"]})
    (tmp_path / "cat" / "notes.txt").write_text("no image")
    (tmp_path / "cat" / ".a.png").write_text("no image")
    (tmp_path / "readme.md").write_text("no class")
    data = ImageFolder(tmp_path)
    assert data.classes == ("cat", "dog")
    assert [str(p.relative_to(tmp_path)) for p in data.paths] == [
        "cat/10.png", "cat/9.png", "dog/a.PNG", "dog/b.png", "dog/deep/c.bmp",
    ]  # fmt: skip
    assert data.labels.tolist() == [0, 0, 1, 1, 1]
    image, label = data[3]
    np.testing.assert_array_equal(image, pixels(0).transpose(2, 0, 1))
    assert (len(data), label) == (5, 1)
    images, labels = data.batch(np.array([4, 1]))
    np.testing.assert_array_equal(images, np.stack([pixels(2), pixels(1)]).transpose(0, 3, 1, 2))
    assert (labels.tolist(), labels.dtype) == ([1, 0], np.int64)


def test_images_are_resized_and_turned_to_grey(tmp_path):
    make(tmp_path, a=["0.png", "1.png"])
    Image.fromarray(pixels(7, (9, 3))).save(tmp_path / "a" / "2.png")
    images, _ = ImageFolder(tmp_path, size=(4, 8)).batch(np.arange(3))
    assert images.shape == (3, 3, 4, 8)
    wanted = Image.fromarray(pixels(0)).resize((8, 4), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(images[0], np.asarray(wanted).transpose(2, 0, 1))
    grey, _ = ImageFolder(tmp_path, size=7, mode="L").batch(np.arange(3))
    assert grey.shape == (3, 1, 7, 7)
    with pytest.raises(ShapeError, match=r"2\.png: expected an image of 5x6 pixels, as .*0\.png is, found 3x9; give Image"):
        ImageFolder(tmp_path).batch(np.arange(3))


def test_a_palette_or_transparent_image_is_an_image_too(tmp_path):
    make(tmp_path, a=["0.png"])
    Image.fromarray(pixels(0)).convert("P").save(tmp_path / "a" / "1.gif")
    Image.fromarray(pixels(0)).convert("RGBA").save(tmp_path / "a" / "2.png")
    assert ImageFolder(tmp_path).batch(np.arange(3))[0].shape == (3, 3, 6, 5)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: b"", "expected an image, found something else"),
        (lambda data: b"<html>not found</html>", "expected an image, found something else"),
        (lambda data: data[:80], "expected a complete image, found it damaged"),
        (lambda data: data[:50] + b"\xff" * 30 + data[80:], "expected"),
    ],
)
def test_an_unreadable_image_is_named(tmp_path, damage, message, workers):
    make(tmp_path, a=["0.png", "1.png", "2.png"])
    path = tmp_path / "a" / "1.png"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(FormatError, match=message) as error:
        list(DataLoader(ImageFolder(tmp_path), 1, workers=workers))
    assert str(path) in str(error.value)


def test_a_small_file_of_a_huge_image_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    make(tmp_path, a=["0.png"])
    with pytest.raises(FormatError, match="expected an image, found something else"):  # the warning is an error here
        ImageFolder(tmp_path)[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(FormatError, match="at most 20 pixels, found 5x6; make it smaller"):
            ImageFolder(tmp_path)[0]


def test_a_file_that_went_away_or_may_not_be_read_is_the_systems_error(tmp_path):
    make(tmp_path, a=["0.png", "1.png"])
    data = ImageFolder(tmp_path)
    (tmp_path / "a" / "0.png").unlink()
    with pytest.raises(FileNotFoundError):
        data[0]
    (tmp_path / "a" / "0.png").mkdir()
    with pytest.raises(IsADirectoryError):
        data[0]


def test_folders_that_hold_nothing_are_refused(tmp_path):
    for make_it, message in (
        (lambda: None, "expected a folder with a folder for each class, found nothing there"),
        (lambda: (tmp_path / "root").write_text("x"), "found a file"),
        (lambda: (os.unlink(tmp_path / "root"), (tmp_path / "root").mkdir()), "found none; put images into"),
        (lambda: (tmp_path / "root" / "a").mkdir(), r"a: expected images \(.*\.png.*\), found none; put some there"),
    ):
        make_it()
        with pytest.raises(FileNotFoundError, match=message):
            ImageFolder(tmp_path / "root")
    with pytest.raises(FormatError, match="mode 'RGB' or 'L', found 'CMYK'"):
        ImageFolder(tmp_path, mode="CMYK")


def test_without_pillow_the_error_says_what_to_install(tmp_path, monkeypatch):
    make(tmp_path, a=["0.png"])
    data = ImageFolder(tmp_path)
    real = builtins.__import__

    def missing(name, *args, **kwargs):
        if name.startswith("PIL"):
            raise ModuleNotFoundError(f"No module named {name!r}", name="PIL")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ModuleNotFoundError, match=r"expected Pillow.*pip install pillow"):
        data[0]
