"""A model's folder is read as it lies, believed in nothing, and written whole or not at all."""

import errno
import json
import os
import resource

import numpy as np
import pytest

import odyssey as od
from odyssey.errors import FormatError
from odyssey.models.pretrained import exchange as exchanging
from odyssey.models.pretrained.folder import CONFIG, INDEX, WEIGHTS, Folder, read_json, write_folder
from odyssey.models.pretrained.prefetch import prefetch
from odyssey.serialization.safetensors import LONGEST_HEADER, Pending

ml_dtypes = pytest.importorskip("ml_dtypes")


def pending(arrays):
    return {name: Pending.of(array) for name, array in arrays.items()}


def arrays(count=4, seed=0):
    draw = np.random.default_rng(seed)
    return {f"layer.{i}.weight": draw.random((3, 5)).astype(np.float32) for i in range(count)}


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def file_of(header, content=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "model"
    write_folder(path, {"model_type": "none"}, pending(arrays()))
    return path


@pytest.fixture
def sharded(tmp_path):
    path = tmp_path / "sharded"
    write_folder(path, {"model_type": "none"}, pending(arrays()), max_shard_size=130)
    return path


def test_what_is_written_is_read_to_the_same_bits_with_its_configuration(folder):
    read = Folder(folder)
    assert read.config == {"model_type": "none"}
    assert names(folder) == [CONFIG, WEIGHTS]
    for name, array in arrays().items():
        np.testing.assert_array_equal(read.tensors[name], array)
    assert repr(read) == f"Folder({str(folder)!r}, 4 tensors, 240 bytes)"


def test_every_type_comes_back(tmp_path):
    given = {
        "bf16": np.arange(6).astype(ml_dtypes.bfloat16).reshape(2, 3), "f16": np.float16([1, 2]), "f64": np.float64([[3]]),
        "i64": np.int64([4]), "bool": np.array([True, False]), "scalar": np.float32(5).reshape(()), "empty": np.zeros((0, 3), np.float32),
    }  # fmt: skip
    write_folder(tmp_path / "m", {}, pending(given))
    found = Folder(tmp_path / "m").tensors
    for name, array in given.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(found[name], array)


def test_arrays_are_the_mapped_file_and_writing_to_one_changes_no_file(tmp_path):
    write_folder(tmp_path / "m", {}, pending({"w": np.ones(4, np.float32), "b": np.ones(4, ml_dtypes.bfloat16)}))
    before = (tmp_path / "m" / WEIGHTS).read_bytes()
    found = Folder(tmp_path / "m").tensors
    assert not found["w"].flags.owndata
    found["w"][...] = 7
    with pytest.raises(ValueError, match="read-only"):
        found["b"][...] = 7
    assert (tmp_path / "m" / WEIGHTS).read_bytes() == before
    np.testing.assert_array_equal(Folder(tmp_path / "m").tensors["w"], 1)


def test_arrays_begin_where_whole_elements_do_or_are_copied(tmp_path):
    path = tmp_path / "m"
    path.mkdir()
    (path / CONFIG).write_text("{}")
    header = {"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}
    (path / WEIGHTS).write_bytes(file_of(json.dumps(header).encode() + b" " * 2, np.float32([1, 2]).tobytes()))
    found = Folder(path).tensors["w"]
    assert found.flags.aligned
    np.testing.assert_array_equal(found, [1, 2])


def test_shards_hold_no_more_than_they_may_and_come_with_an_index(sharded):
    shards = [f"model-{i:05d}-of-00002.safetensors" for i in (1, 2)]
    assert names(sharded) == [CONFIG, *shards, INDEX]
    index = json.loads((sharded / INDEX).read_text())
    assert index["metadata"] == {"total_size": 240}
    assert index["weight_map"] == {f"layer.{i}.weight": shards[i // 2] for i in range(4)}
    for name, array in arrays().items():
        np.testing.assert_array_equal(Folder(sharded).tensors[name], array)


def test_the_library_reads_what_is_written(sharded):
    library = pytest.importorskip("safetensors.numpy")
    found = {}
    for path in sharded.glob("*.safetensors"):
        found |= library.load_file(path)
    assert sorted(found) == sorted(arrays())


@pytest.mark.parametrize("size", [0, -1, "5XB", "GB", "1.5GB", ""])
def test_a_size_of_shards_that_is_none_is_refused(tmp_path, size):
    with pytest.raises(ValueError, match="max_shard_size: expected bytes, or text such as '5GB'"):
        write_folder(tmp_path / "m", {}, pending(arrays()), max_shard_size=size)
    assert names(tmp_path) == []


# ---- reading what lies ---------------------------------------------------------------------------------------------


def entry(dtype="F32", shape=(1,), offsets=(0, 4)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


LIES = {
    "empty": (b"", "found it empty"),
    "short": (b"1234", "a file without one"),
    "a header longer than the file": ((1 << 40).to_bytes(8, "little") + b"{}" * 10, "header of 2 to 20 bytes in a file of 28"),
    "a header that is negative": (b"\xff" * 8 + b"{}", "found 18446744073709551615"),
    "no JSON": (file_of(b"not json"), "header of JSON"),
    "no UTF-8": (file_of(b'{"\xff":1}'), "header of JSON"),
    "too deep": (file_of(b"[" * 100_000), "header of JSON"),
    "a list": (file_of([1]), "names arrays"),
    "twice the same name": (file_of(b'{"a":1,"a":2}'), "'a' twice"),
    "half a surrogate pair": (file_of(b'{"\\ud800":1}'), "Unicode"),
    "no description": (file_of({"a": 1}), "dtype, shape and data_offsets of 'a', found 1"),
    "a key too many": (file_of({"a": {**entry(), "more": 1}}, bytes(4)), "dtype, shape and data_offsets"),
    "an unknown type": (file_of({"a": entry("F4")}, bytes(4)), "found 'F4'"),
    "a type that is none": (file_of({"a": entry([1])}, bytes(4)), r"found \[1\]"),
    "a negative length": (file_of({"a": entry(shape=[-1, -1])}, bytes(4)), "found [-1, -1]"),
    "a length of truth": (file_of({"a": entry(shape=[True])}, bytes(4)), "found [True]"),
    "a length with a point": (file_of({"a": entry(shape=[1.0])}, bytes(4)), "found [1.0]"),
    "too many axes": (file_of({"a": entry(shape=[1] * 65)}, bytes(4)), "at most 64 lengths"),
    "lengths that overflow": (file_of({"a": entry(shape=[1 << 62, 4])}, bytes(4)), "expected 73786976294838206464 bytes"),
    "lengths that overflow to the right size": (file_of({"a": entry(shape=[1 << 32, 1 << 32, 1])}, bytes(4)), "bytes for 'a'"),
    "empty and endless": (file_of({"a": entry(shape=[0, 1 << 62], offsets=[0, 0])}), "that NumPy can have"),
    "a huge number": (file_of(b'{"a":{"dtype":"F32","shape":[1' + b"0" * 4000 + b'],"data_offsets":[0,4]}}', bytes(4)), "bytes for 'a'"),
    "a number too huge for Python": (file_of(b'{"a":{"dtype":"F32","shape":[1' + b"0" * 5000 + b'],"data_offsets":[0,4]}}', bytes(4)), "header of JSON"),
    "offsets backwards": (file_of({"a": entry(offsets=[4, 0])}, bytes(4)), "begins and ends"),
    "one offset": (file_of({"a": entry(offsets=[4])}, bytes(4)), "begins and ends"),
    "beyond the end": (file_of({"a": entry(shape=[2], offsets=[0, 8])}, bytes(4)), "8 bytes of arrays, as the header says, found 4"),
    "another size than the shape's": (file_of({"a": entry(offsets=[0, 8])}, bytes(8)), "expected 4 bytes for 'a'"),
    "a hole": (file_of({"a": entry(), "b": entry(offsets=[8, 12])}, bytes(12)), "'b' at 4, behind 'a', found it at 8: a hole"),
    "an overlap": (file_of({"a": entry(), "b": entry(offsets=[2, 6])}, bytes(6)), "an overlap"),
    "bytes behind": (file_of({"a": entry()}, bytes(9)), "found 9"),
    "metadata of numbers": (file_of({"__metadata__": {"a": 1}}), "metadata of text"),
    "a bool that is neither": (file_of({"a": entry("BOOL", offsets=[0, 1])}, b"\x02"), "0 and 1"),
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_a_file_that_lies_is_an_error_that_names_it(folder, lie):
    data, says = LIES[lie]
    (folder / WEIGHTS).write_bytes(data)
    with pytest.raises(FormatError) as error:
        Folder(folder)
    assert str(folder / WEIGHTS) in str(error.value)
    assert says.replace("\\", "") in str(error.value)
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize("cut", [0, 5, 8, 60, 400, -1])
def test_a_file_that_was_cut_off_is_an_error_that_names_it(folder, cut):
    path = folder / WEIGHTS
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(FormatError, match=f"{path}: expected a complete safetensors file"):
        Folder(folder)


def test_a_header_beyond_the_cap_is_refused_before_it_is_read(folder):
    with open(folder / WEIGHTS, "wb") as file:
        file.write((LONGEST_HEADER + 1).to_bytes(8, "little"))
        file.truncate(LONGEST_HEADER + 100)
    with pytest.raises(FormatError, match=f"header of 2 to {LONGEST_HEADER} bytes"):
        Folder(folder)


def test_what_is_no_regular_file_is_refused_without_waiting(folder):
    for name in (WEIGHTS, CONFIG):
        (folder / name).rename(folder / "aside")
        os.mkfifo(folder / name)
        with pytest.raises(FormatError, match="regular file, found a folder, a pipe or a device"):
            Folder(folder)
        (folder / name).unlink()
        (folder / name).mkdir()
        with pytest.raises(FormatError, match="regular file"):
            Folder(folder)
        (folder / name).rmdir()
        (folder / "aside").rename(folder / name)
    (folder / WEIGHTS).rename(folder / "elsewhere")
    (folder / WEIGHTS).symlink_to("elsewhere")  # as in the hub's cache
    assert len(Folder(folder).tensors) == 4


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "expected JSON"), ("[1]", "an object of JSON, found [1]"), ('{"a":1,"a":2}', "comes twice"), ("[" * 100_000, "expected JSON"),
        ('{"a": 1' + "0" * 5000 + "}", "expected JSON"), ("\udcff", "expected JSON"), ('"' + "x" * 300 + '"', "..."),
    ],
)  # fmt: skip
def test_a_configuration_that_is_none_is_an_error_that_names_it(folder, text, says):
    (folder / CONFIG).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(FormatError) as error:
        Folder(folder)
    assert str(folder / CONFIG) in str(error.value)
    assert says in str(error.value)


def test_a_configuration_beyond_the_cap_is_not_read(tmp_path):
    with open(tmp_path / "x.json", "wb") as file:
        file.truncate(LONGEST_HEADER + 1)
    with pytest.raises(FormatError, match=f"JSON of at most {LONGEST_HEADER} bytes"):
        read_json(tmp_path / "x.json")


def test_what_is_missing_is_named_with_its_cure(tmp_path, folder):
    with pytest.raises(FileNotFoundError, match="found nothing there"):
        Folder(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError, match="found a file; give the folder"):
        Folder(folder / CONFIG)
    (folder / WEIGHTS).unlink()
    with pytest.raises(FileNotFoundError, match="found neither"):
        Folder(folder)
    (folder / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match=r"found pytorch_model\.bin; write it as safetensors"):
        Folder(folder)
    (folder / CONFIG).unlink()
    with pytest.raises(FileNotFoundError, match=f"{folder / CONFIG}: expected a file"):
        Folder(folder)


def damaged_index(sharded, change):
    index = json.loads((sharded / INDEX).read_text())
    change(index)
    (sharded / INDEX).write_text(json.dumps(index))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda i: i.pop("weight_map"), "weight_map of files by tensor, found None"),
        (lambda i: i.update(weight_map={}), "weight_map"),
        (lambda i: i.update(weight_map=[1]), "weight_map"),
        (lambda i: i["weight_map"].update({"layer.0.weight": "../x.safetensors"}), "name of a file beside it"),
        (lambda i: i["weight_map"].update({"layer.0.weight": "/etc/passwd"}), "name of a file beside it"),
        (lambda i: i["weight_map"].update({"layer.0.weight": 5}), "found 5"),
        (lambda i: i["weight_map"].update({"layer.0.weight": ".."}), "name of a file beside it"),
        (lambda i: i["weight_map"].update({"x": "model-00001-of-00002.safetensors"}), "found it without some: x"),
        (lambda i: i["weight_map"].update({"layer.0.weight": "model-00002-of-00002.safetensors"}), "found it without some: layer.0.weight"),
        (lambda i: i["weight_map"].pop("layer.0.weight"), "found more: layer.0.weight"),
    ],
)  # fmt: skip
def test_an_index_that_lies_is_an_error_that_names_it(sharded, change, says):
    damaged_index(sharded, change)
    with pytest.raises(FormatError) as error:
        Folder(sharded)
    assert str(sharded) in str(error.value)
    assert says in str(error.value)


def test_shards_that_are_missing_are_all_named(sharded):
    damaged_index(sharded, lambda i: i["weight_map"].update({f"x{n:02}": f"x{n:02}.safetensors" for n in range(10)}))
    with pytest.raises(FileNotFoundError, match=r"found 10 missing: x00.safetensors, .* and 2 more"):
        Folder(sharded)


# ---- writing -------------------------------------------------------------------------------------------------------


def test_a_model_is_replaced_whole_and_other_files_stay(folder, tmp_path):
    (folder / "notes.txt").write_text("mine")
    (folder / "runs").mkdir()
    (folder / "runs" / "1").write_text("mine too")
    old = Folder(folder)
    write_folder(folder, {"new": 1}, pending(arrays(6, seed=1)), files={"tokenizer.json": b"{}"}, max_shard_size=200)
    assert names(tmp_path) == ["model"]
    assert {"notes.txt", "runs", "tokenizer.json", INDEX} <= set(names(folder))
    assert WEIGHTS not in names(folder)
    assert (folder / "runs" / "1").read_text() == "mine too"
    assert len(Folder(folder).tensors) == 6
    np.testing.assert_array_equal(old.tensors["layer.3.weight"], arrays()["layer.3.weight"])  # still mapped


def test_without_the_systems_exchange_renamings_do(folder, monkeypatch, tmp_path):
    class Old:
        def __init__(self, *_, **__):
            pass

    monkeypatch.setattr(exchanging.ctypes, "CDLL", Old)
    write_folder(folder, {"new": 1}, pending(arrays(6)))
    assert names(tmp_path) == ["model"]
    assert len(Folder(folder).tensors) == 6
    real, calls = os.rename, []

    def fails_once(one, other):
        calls.append(one)
        if len(calls) == 2:
            raise OSError(errno.EIO, "no")
        real(one, other)

    monkeypatch.setattr(exchanging.os, "rename", fails_once)
    with pytest.raises(OSError, match="no"):
        write_folder(folder, {"newer": 1}, pending(arrays(2)))
    monkeypatch.undo()
    assert names(tmp_path) == ["model"]
    assert Folder(folder).config == {"new": 1}


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EACCES])
def test_a_file_system_without_exchange_is_told_from_one_that_refuses(folder, tmp_path, monkeypatch, number):
    class Library:
        def __init__(self, *_, **__):
            pass

        @staticmethod
        def renameat2(*_):
            exchanging.ctypes.set_errno(number)
            return -1

    monkeypatch.setattr(exchanging.ctypes, "CDLL", Library)
    if number == errno.EACCES:
        with pytest.raises(PermissionError):
            write_folder(folder, {"new": 1}, pending(arrays(6)))
    else:
        write_folder(folder, {"new": 1}, pending(arrays(6)))
    monkeypatch.undo()
    assert names(tmp_path) == ["model"]
    assert len(Folder(folder).tensors) == (4 if number == errno.EACCES else 6)


def test_what_is_no_model_is_not_overwritten_unless_asked(tmp_path):
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "thesis.tex").write_text("years")
    (tmp_path / "file").write_text("x")
    for name in ("work", "file"):
        with pytest.raises(FileExistsError, match="expected a model's folder or nothing"):
            write_folder(tmp_path / name, {}, pending(arrays()))
    with pytest.raises(FileExistsError):
        write_folder(tmp_path / "file", {}, pending(arrays()), overwrite=True)
    assert names(tmp_path / "work") == ["thesis.tex"]
    write_folder(tmp_path / "work", {}, pending(arrays()), overwrite=True)
    assert (tmp_path / "work" / "thesis.tex").read_text() == "years"
    assert len(Folder(tmp_path / "work").tensors) == 4
    (tmp_path / "empty").mkdir()
    write_folder(tmp_path / "empty", {}, pending(arrays()))


def test_a_full_disk_leaves_the_old_model_and_nothing_else(folder, tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        for path in (folder, tmp_path / "new"):
            with pytest.raises(OSError, match=str(path)) as error:
                write_folder(path, {"new": 1}, pending(arrays(6)))
            assert error.value.errno == errno.EFBIG
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert names(tmp_path) == ["model"]
    assert len(Folder(folder).tensors) == 4


@pytest.mark.parametrize("problem", [KeyboardInterrupt, MemoryError])
def test_what_is_interrupted_leaves_the_old_model_and_nothing_else(folder, tmp_path, problem):
    def fail():
        raise problem

    tensors = {**pending(arrays()), "x": Pending(np.dtype("f4"), (1,), fail)}
    with pytest.raises(problem):
        write_folder(folder, {"new": 1}, tensors)
    assert names(tmp_path) == ["model"]
    assert Folder(folder).config == {"model_type": "none"}


def test_a_link_to_a_model_stays_one(folder, tmp_path):
    (tmp_path / "link").symlink_to("model")
    write_folder(tmp_path / "link", {"new": 1}, pending(arrays(6)))
    assert (tmp_path / "link").is_symlink()
    assert Folder(folder).config == {"new": 1}


def test_names_and_headers_that_cannot_be_written_are_refused_before_a_byte_is(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="__metadata__"):
        write_folder(tmp_path / "m", {}, pending({"__metadata__": np.ones(1)}))
    monkeypatch.setattr("odyssey.serialization.safetensors.LONGEST_HEADER", 100)
    with pytest.raises(ValueError, match="header of at most 100 bytes"):
        write_folder(tmp_path / "m", {}, pending(arrays(10)))
    assert names(tmp_path) == []


def test_prefetching_reads_ahead_and_changes_nothing(folder, monkeypatch):
    found = Folder(folder).tensors
    thread = prefetch([*found.values(), np.ones(3), np.ones(0)])
    thread.join(timeout=60)
    assert not thread.is_alive()
    for name, array in arrays().items():
        np.testing.assert_array_equal(found[name], array)
    monkeypatch.setattr("odyssey.models.pretrained.prefetch.ctypes.CDLL", lambda *_, **__: object())
    prefetch(found.values()).join(timeout=60)


def test_bytes_of_anyone_are_read_by_the_format_and_the_folder_alike(folder):
    from odyssey.serialization import loads

    found = loads((folder / WEIGHTS).read_bytes(), "safetensors")
    assert sorted(found) == sorted(Folder(folder).tensors)
    assert od.load(folder / WEIGHTS).keys() == found.keys()
