import gzip
import resource
import struct
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from idx_files import drawn, emnist, idx_bytes, mnist, write

from odyssey.data import load_idx, read_idx
from odyssey.errors import FormatError


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(
    ("code", "dtype"), [(0x08, ">u1"), (0x09, ">i1"), (0x0B, ">i2"), (0x0C, ">i4"), (0x0D, ">f4"), (0x0E, ">f8")]
)
def test_every_type_is_read(tmp_path, code, dtype, compressed):
    array = np.arange(-12, 12).reshape(2, 3, 4).astype(dtype)
    write(tmp_path / "file", array, compressed, code=code)
    found = read_idx(tmp_path / "file")
    assert found.dtype.isnative
    np.testing.assert_array_equal(found, array)


def test_an_empty_array_is_read(tmp_path):
    write(tmp_path / "file", np.zeros((0, 28, 28), np.uint8))
    assert read_idx(tmp_path / "file").shape == (0, 28, 28)


BODY = np.zeros((3, 2, 2), np.uint8)


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", "an empty file"),
        (b"\0\0", "00 00"),
        (b"\x89PNG\r\n\x1a\n", "89 50 4e 47"),
        (b"\0\0\x07\x01\0\0\0\0", "00 00 07 01"),
        (b"\0\0\x08\0", "00 00 08 00"),
        (idx_bytes(BODY)[:9], "expected an IDX header of 16 bytes, found 9"),
        (idx_bytes(BODY)[:-1], "expected 28 bytes for 3x2x2 uint8, as its header says, found 27"),
        (idx_bytes(BODY) + b"\0", "found 29"),
        (idx_bytes(BODY, sizes=(2**32 - 1,) * 3), "4294967295x4294967295x4294967295"),
        (bytes([0, 0, 8, 255]) + b"\xff" * 1020, "as its header says"),
    ],
)
def test_a_wrong_file_is_an_error_that_says_what_was_found(tmp_path, data, found):
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(FormatError, match="expected") as error:
        read_idx(tmp_path / "file")
    assert found in str(error.value)
    assert str(tmp_path / "file") in str(error.value)


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (lambda: gzip.compress(idx_bytes(BODY)[:-1]), "found fewer"),
        (lambda: gzip.compress(idx_bytes(BODY) + b"\0" * 5), "found more"),
        (lambda: gzip.compress(idx_bytes(BODY, sizes=(2**31, 2**31))), "too small to hold them"),
        (lambda: gzip.compress(idx_bytes(BODY))[:-9], "found it damaged"),
        (lambda: gzip.compress(idx_bytes(BODY))[:12], "found it damaged"),
        (lambda: gzip.compress(idx_bytes(BODY))[:12] + b"\xff" * 20, "expected"),
        (lambda: gzip.compress(idx_bytes(BODY))[:-5] + b"\x01" * 5, "found it damaged"),
    ],
)
def test_a_damaged_gzip_file_is_an_error(tmp_path, damage, found):
    (tmp_path / "file.gz").write_bytes(damage())
    with pytest.raises(FormatError, match=found):
        read_idx(tmp_path / "file.gz")


def test_a_lying_header_allocates_nothing(tmp_path):
    """Within an address space that could not hold what the header claims."""
    header = bytes([0, 0, 8, 3]) + struct.pack(">3I", 60_000, 100_000, 1_000)
    (tmp_path / "plain").write_bytes(header + b"\0" * 1000)
    (tmp_path / "packed").write_bytes(gzip.compress(header + b"\0" * 1000))
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (64 << 30, hard))
    try:
        for name in ("plain", "packed"):
            with pytest.raises(FormatError, match="as its header says"):
                read_idx(tmp_path / name)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=64), start=st.sampled_from([b"", b"\0\0\x08\x01", b"\0\0\x0d\x02", b"\x1f\x8b\x08\0"]))
def test_no_bytes_do_worse_than_an_error(tmp_path, data, start):
    path = tmp_path / "fuzz"
    for content in (start + data, gzip.compress(start + data), start + zlib.compress(data)):
        path.write_bytes(content)
        try:
            assert isinstance(read_idx(path), np.ndarray)
        except FormatError as error:
            assert "expected" in str(error)  # noqa: PT017


@pytest.mark.parametrize("compressed", [False, True])
def test_mnist_is_read_by_its_published_names(tmp_path, compressed):
    data = load_idx(mnist(tmp_path / "mnist", compressed=compressed))
    images, labels = drawn(60, 10)
    assert (data.name, data.image_size, data.classes) == ("mnist", 28, tuple("0123456789"))
    assert (len(data.train), len(data.test)) == (60, 20)
    np.testing.assert_array_equal(data.train.images[:, 0], images)
    np.testing.assert_array_equal(data.train.labels, labels)
    batch, batch_labels = data.train.batch(np.arange(60))
    assert (batch.dtype, batch.shape, batch_labels.dtype) == (np.float32, (60, 1, 28, 28), np.int64)
    assert abs(batch.mean()) < 1e-3
    assert batch.std() == pytest.approx(1, abs=1e-3)


def test_dots_for_dashes_are_read_too(tmp_path):
    mnist(tmp_path)
    for path in list(tmp_path.iterdir()):
        path.rename(tmp_path / path.name.replace("-idx", ".idx"))
    assert len(load_idx(tmp_path).train) == 60


@pytest.mark.parametrize(
    ("split", "classes"),
    [("balanced", 47), ("byclass", 62), ("bymerge", 47), ("digits", 10), ("letters", 26), ("mnist", 10)],
)
def test_emnist_is_turned_right_and_counted_from_zero(tmp_path, split, classes):
    data = load_idx(emnist(tmp_path, split, classes))
    images, labels = drawn(130, classes)
    assert data.name == f"emnist-{split}"
    assert len(data.classes) == classes
    np.testing.assert_array_equal(data.train.images[:, 0], images)
    np.testing.assert_array_equal(data.train.labels, labels)
    assert data.train.images.flags.c_contiguous


@pytest.mark.parametrize(("highest", "classes"), [(9, 10), (3, 10), (10, 26), (25, 26), (40, 47), (61, 62)])
def test_the_labels_tell_the_number_of_classes(tmp_path, highest, classes):
    assert len(load_idx(mnist(tmp_path, classes=highest + 1, train=70)).classes) == classes


def test_the_letters_have_their_names(tmp_path):
    assert load_idx(emnist(tmp_path, "letters", 26)).classes == tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")


def test_one_of_several_splits_is_chosen(tmp_path):
    emnist(tmp_path, "letters", 26)
    emnist(tmp_path, "digits", 10)
    with pytest.raises(FormatError, match="expected one data set, found emnist-digits, emnist-letters; choose"):
        load_idx(tmp_path)
    assert load_idx(tmp_path, "digits").name == "emnist-digits"
    with pytest.raises(FormatError, match="expected one of balanced"):
        load_idx(tmp_path, "capitals")
    with pytest.raises(FileNotFoundError, match=r"expected emnist-balanced-train.*found emnist-digits, emnist-letters"):
        load_idx(tmp_path, "balanced")


def test_missing_things_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="expected a folder of IDX files, found nothing there"):
        load_idx(tmp_path / "nowhere")
    (tmp_path / "file").write_text("x")
    with pytest.raises(FileNotFoundError, match="found a file"):
        load_idx(tmp_path / "file")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="expected train-images-idx3-ubyte or emnist"):
        load_idx(tmp_path / "empty")
    folder = mnist(tmp_path / "mnist")
    (folder / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(FileNotFoundError, match=r"expected t10k-labels-idx1-ubyte or t10k-labels-idx1-ubyte\.gz"):
        load_idx(folder)


def test_files_that_do_not_belong_together_are_refused(tmp_path):
    def replaced(name, array):
        folder = mnist(tmp_path)
        write(folder / name, array)
        return folder

    images, labels = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
    for name, array, message in (
        (images, np.zeros((60, 32, 32), np.uint8), "expected uint8 images of 28x28, found uint8 60x32x32"),
        (images, np.zeros((60, 784), np.uint8), "found uint8 60x784"),
        (labels, np.zeros(59, np.uint8), "expected 60 labels, one for each image.*found 59"),
        (labels, np.zeros((60, 1), np.uint8), "expected one uint8 label per image, found uint8 60x1"),
        (labels, np.full(60, 62, np.uint8), "expected labels from 0 to 61, found 62"),
    ):
        with pytest.raises(FormatError, match=message):
            load_idx(replaced(name, array))
    folder = mnist(tmp_path, train=0)
    with pytest.raises(FormatError, match="expected images, found none"):
        load_idx(folder)


@pytest.mark.parametrize(("split", "label"), [("letters", 0), ("letters", 27), ("digits", 10), ("balanced", 47)])
def test_labels_out_of_range_are_refused(tmp_path, split, label):
    folder = emnist(tmp_path, split, 10, compressed=False)
    labels = np.ones(70, np.uint8)
    labels[5] = label
    write(folder / f"emnist-{split}-test-labels-idx1-ubyte", labels)
    with pytest.raises(FormatError, match=f"expected labels from . to .* in emnist-{split}, found"):
        load_idx(folder)
