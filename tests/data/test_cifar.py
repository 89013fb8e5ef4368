import os
import pickle
import resource
import struct

import numpy as np
import pytest
from cifar_files import CLASSES10, COARSE, FINE, Python2, batch, cifar10, cifar100, drawn, records
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from odyssey.data import load_cifar
from odyssey.data.pickled import Bytes, read_pickle
from odyssey.errors import FormatError, ShapeError


@pytest.mark.parametrize("binary", [False, True])
def test_cifar10_is_read_by_its_published_names(tmp_path, binary):
    data = load_cifar(cifar10(tmp_path, binary))
    assert (data.name, data.image_size, data.classes) == ("cifar10", 32, CLASSES10)
    parts = [drawn(20, 10, seed=i) for i in range(6)]
    np.testing.assert_array_equal(data.train.images, np.concatenate([images for images, _ in parts[:5]]))
    np.testing.assert_array_equal(data.train.labels, np.concatenate([labels for _, labels in parts[:5]]))
    np.testing.assert_array_equal(data.test.images, parts[5][0])
    batch, labels = data.train.batch(np.arange(100))
    assert (batch.dtype, batch.shape, labels.dtype) == (np.float32, (100, 3, 32, 32), np.int64)
    np.testing.assert_allclose(batch.mean((0, 2, 3)), 0, atol=1e-4)
    np.testing.assert_allclose(batch.std((0, 2, 3)), 1, atol=1e-4)
    assert len(data.describe()["mean"]) == 3


@pytest.mark.parametrize("binary", [False, True])
def test_cifar100_has_fine_and_coarse_labels(tmp_path, binary):
    folder = cifar100(tmp_path, binary)
    fine, coarse = load_cifar(folder), load_cifar(folder, "coarse")
    assert (fine.name, coarse.name) == ("cifar100", "cifar100-coarse")
    assert (fine.classes, coarse.classes) == (FINE, COARSE)
    np.testing.assert_array_equal(fine.train.labels, drawn(200, 100)[1])
    np.testing.assert_array_equal(coarse.train.labels, fine.train.labels // 5)
    np.testing.assert_array_equal(fine.test.images, drawn(100, 100, seed=1)[0])
    with pytest.raises(FormatError, match="expected labels 'fine' or 'coarse', found 'both'"):
        load_cifar(folder, "both")


def test_both_forms_hold_the_same_data(tmp_path):
    a, b = (load_cifar(cifar10(tmp_path / str(binary), binary)) for binary in (False, True))
    assert a.fingerprint() == b.fingerprint()
    assert a.describe() == b.describe()


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda f: cifar10(f / "cifar-10-batches-py"), "cifar10"),
        (lambda f: cifar10(f / "cifar-10-batches-bin", True), "cifar10"),
        (lambda f: cifar100(f / "cifar-100-python"), "cifar100"),
        (lambda f: cifar100(f / "cifar-100-binary", True), "cifar100"),
    ],
)
def test_the_folder_an_archive_was_unpacked_in_does_too(tmp_path, make, name):
    make(tmp_path)
    assert load_cifar(tmp_path).name == name


def test_missing_things_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="expected a folder of CIFAR's files, found nothing there"):
        load_cifar(tmp_path / "nowhere")
    (tmp_path / "file").write_text("x")
    with pytest.raises(FileNotFoundError, match="found a file"):
        load_cifar(tmp_path / "file")
    with pytest.raises(FileNotFoundError, match=r"such as data_batch_1.*odyssey data fetch cifar10 --to"):
        load_cifar(tmp_path)
    folder = cifar10(tmp_path / "a")
    (folder / "data_batch_3").unlink()
    with pytest.raises(FileNotFoundError, match=r"data_batch_3: expected a file of cifar-10-python\.tar\.gz"):
        load_cifar(folder)
    folder = cifar100(tmp_path / "b", binary=True)
    (folder / "fine_label_names.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"fine_label_names\.txt: expected the names of the classes"):
        load_cifar(folder)
    cifar10(tmp_path / "cifar-10-batches-py")
    cifar10(tmp_path / "cifar-10-batches-bin", True)
    with pytest.raises(FormatError, match=r"found cifar-10-batches-py/data_batch_1, cifar-10-batches-bin/data_batch_1\.bin"):
        load_cifar(tmp_path)


IMAGES, LABELS = drawn(20, 10)


@pytest.mark.parametrize(
    ("binary", "name", "content", "message"),
    [
        (True, "data_batch_2.bin", records(IMAGES, LABELS)[:-1], "records of 3073 bytes, found 61459 bytes, 3072 more than 19"),
        (True, "data_batch_2.bin", b"", "found 0 bytes"),
        (True, "test_batch.bin", records(IMAGES, LABELS + 1), "labels from 0 to 9, found 1 to 10"),
        (True, "batches.meta.txt", b"cat dog", "the names of 10 classes, found 2"),
        (False, "data_batch_2", batch(IMAGES, labels=LABELS)[:-1], r"found it damaged \(EOFError\)"),
        (False, "data_batch_2", batch(IMAGES, labels=LABELS)[:40000], "damaged.*get cifar-10-python.tar.gz again"),
        (False, "data_batch_2", b"", "0 bytes of it, found it damaged"),
        (False, "data_batch_2", b"\x89PNG\r\n\x1a\n", "found it damaged"),
        (False, "data_batch_2", batch(IMAGES, labels=LABELS[:-1]), "a list of 20 numbers under 'labels'.*found 19 values"),
        (False, "data_batch_2", batch(IMAGES, fine_labels=LABELS), "under 'labels'.*found NoneType"),
        (False, "data_batch_2", batch(IMAGES, labels=LABELS - 1), "labels from 0 to 9, found -1 to 8"),
        (False, "data_batch_2", batch(IMAGES, labels=LABELS * 100), "labels from 0 to 9, found 0 to 255"),
        (False, "data_batch_2", batch(IMAGES[:, :2], labels=LABELS), "3072 bytes under 'data', found 20 x 2048"),
        (False, "data_batch_2", batch(IMAGES[:0], labels=[]), "found 0 x 3072"),
        (False, "data_batch_2", Python2().dumps({b"labels": [1]}), "under 'data', found NoneType"),
        (False, "data_batch_2", Python2().dumps([1, 2]), "expected a dict.*found a pickled list"),
        (False, "batches.meta", Python2().dumps({b"label_names": [b"a"] * 9}), "the names of 10 classes, found 9"),
        (False, "batches.meta", Python2().dumps({b"label_names": [1] * 10}), "the names of 10 classes"),
        (False, "batches.meta", Python2().dumps({}), "a list under 'label_names', found NoneType"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_an_error_that_says_what_was_found(tmp_path, binary, name, content, message):
    folder = cifar10(tmp_path, binary)
    (folder / name).write_bytes(content)
    with pytest.raises(FormatError, match=message) as error:
        load_cifar(folder)
    assert str(folder / name) in str(error.value)


def test_an_array_in_fortrans_order_is_read(tmp_path):
    array = np.asfortranarray(np.arange(12, dtype=np.uint8).reshape(3, 4))
    (tmp_path / "file").write_bytes(Python2().dumps({b"data": array}))
    found = read_pickle(tmp_path / "file", "x")[b"data"]
    assert isinstance(found, Bytes)
    np.testing.assert_array_equal(found.array(), array)


class Evil:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


ARRAY = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
DTYPE = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R"


@pytest.mark.parametrize(
    "program",
    [
        *(pickle.dumps(Evil(os.system, "touch EXECUTED"), protocol) for protocol in range(6)),
        *(pickle.dumps(Evil(eval, "open('EXECUTED', 'w')"), protocol) for protocol in (0, 2)),
        *(pickle.dumps({b"data": np.zeros(3, np.uint8)}, protocol) for protocol in (2, 3, 4)),  # not as Python 2 has it
        b"cos\nsystem\n(S'touch EXECUTED'\ntR.",
        b"(S'touch EXECUTED'\nios\nsystem\n.",  # INST
        b"(cos\nsystem\nS'touch EXECUTED'\no.",  # OBJ
        b"\x80\x02cnumpy\nndarray\n(K\x01\x85U\x02u1t\x81.",  # NEWOBJ
        b"cnumpy\nload\n(S'EXECUTED'\ntR.",
        b"cnumpy.core\nmultiarray._reconstruct\n.",
        b"cnumpy\nndarray\n(J\xff\xff\xff\x7ftR.",  # an array of 2 GiB, if NumPy were asked
        b"cnumpy\ndtype\nU\x01OK\x00K\x01\x87R.",  # an array of pointers
        DTYPE + b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x3ftb.",
        ARRAY + b"(K\x01J\xff\xff\xff\x7f\x85" + DTYPE + b"\x89U\x04abcdtb.",
        ARRAY + b"(K\x01K\x04\x85NU\x04abcdtb.",
        ARRAY + b"(K\x01J\xff\xff\xff\xffJ\xfc\xff\xff\xff\x86" + DTYPE + b"\x89U\x04abcdtb.",
        ARRAY + b"}U\x05shapeK\x01sb.",
        b"cnumpy\ndtype\n}U\x08__call__Nsb.",  # a new method for a name
        b"cnumpy\ndtype\n(N}U\x05_nameU\x02ossR\x86b.",
        b"cnumpy\ndtype\nK\x01\x85\x85R.",
        b"}" + b"cnumpy\ndtype\n" * 3 + b"sR.",
        b"Pos.system\n.",  # PERSID
        b"\x82\x01.",  # EXT1
        b"\x80\x04\x95" + struct.pack("<Q", 1 << 62) + b"}.",  # FRAME
        b"\x96" + struct.pack("<Q", 1 << 40) + b".",  # BYTEARRAY8
        b"\x8e" + struct.pack("<Q", 1 << 40) + b".",  # BINBYTES8
        b"T" + struct.pack("<i", -5) + b"}.",
        b"T" + struct.pack("<i", 1 << 30) + b"}.",
        b"I" + b"9" * 100_000 + b"\n.",
        b"(" * 100_000 + b"t" * 99_999 + b".",
        b"})" + b"\x85" * 100_000 + b"K\x01s.",  # a key that takes 100 000 calls to hash
        b"}()" + b"\x85" * 100_000 + b"K\x01u.",
        b"()" + b"\x85" * 100_000 + b"K\x01d.",
        b"}q\x01h\x01h\x01s.",
        b"]q\x01(h\x01e.",
        b"0.", b".", b"R", b"b.", b"K\x01K\x02b.", b"h\x09.",
    ],
)  # fmt: skip
def test_a_hostile_pickle_is_refused_and_executes_nothing(tmp_path, monkeypatch, program):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data_batch_1").write_bytes(program)
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (64 << 30, hard))
    try:
        with pytest.raises(FormatError, match=r"expected .* found .*get it again"):
            read_pickle("data_batch_1", "it")
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    assert os.listdir(tmp_path) == ["data_batch_1"]


def test_a_high_memo_number_allocates_nothing(tmp_path):
    (tmp_path / "file").write_bytes(b"}r\xff\xff\xff\xff.")
    assert read_pickle(tmp_path / "file", "it") == {}


def test_a_refused_pickle_names_what_it_asked_for(tmp_path):
    (tmp_path / "file").write_bytes(b"cposix\nsystem\n.")
    with pytest.raises(FormatError, match=r"found the name 'posix.system', which no such file uses; nothing of it was exec"):
        read_pickle(tmp_path / "file", "it")


FUZZ = settings(
    max_examples=150, derandomize=True, database=None, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
VALID = batch(IMAGES[:2], labels=LABELS[:2])


@FUZZ
@given(place=st.integers(0, len(VALID) - 1), bytes_=st.binary(min_size=1, max_size=6), cut=st.booleans())
def test_a_damaged_batch_is_read_or_refused(tmp_path, place, bytes_, cut):
    _read_or_refused(tmp_path, VALID[:place] + bytes_ + (b"" if cut else VALID[place + len(bytes_) :]))


@FUZZ
@given(st.lists(st.sampled_from([bytes([c]) for c in b"}]()tdlesuaNRb.0qhKMJUTIGS\x80\x85\x86\x87\x88\x89"] + [ARRAY, DTYPE, b"K\x01", b"q\x01", b"h\x01", b"U\x01b"]), max_size=24))
def test_a_program_of_the_instructions_allowed_is_read_or_refused(tmp_path, program):
    _read_or_refused(tmp_path, b"".join(program) + b".")


@FUZZ
@given(data=st.binary(max_size=64), repeat=st.sampled_from([1, 48, 3073]))
def test_no_bytes_in_binary_batches_do_worse_than_an_error(tmp_path, data, repeat):
    folder = tmp_path / "binary"
    if not folder.exists():
        cifar10(folder, binary=True, each=1)
    (folder / "data_batch_4.bin").write_bytes(data * repeat)
    try:
        load_cifar(folder)
    except FormatError as error:
        assert "expected" in str(error)  # noqa: PT017


def _read_or_refused(folder, data):
    (folder / "file").write_bytes(data)
    try:
        found = read_pickle(folder / "file", "it")
        assert type(found) is dict
    except FormatError as error:
        assert "expected" in str(error)  # noqa: PT017


def test_per_channel_means_need_a_number_for_each_channel(tmp_path):
    data = load_cifar(cifar10(tmp_path, True)).train
    with pytest.raises(ShapeError, match="each of 3, found 4 numbers"):
        type(data)(data.images, data.labels, (1, 2, 3, 4), 1)
