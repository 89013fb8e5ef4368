"""Every format round-trips every type and shape that it claims, refuses all others before it writes, and says so."""

import dataclasses
import doctest
import enum
import io
import json
import mmap
import os
import struct
import subprocess
import sys
import threading
import zipfile

import numpy as np
import pytest
from same import same

import odyssey as od
from odyssey import serialization
from odyssey.bridge.types import TYPES
from odyssey.errors import DTypeError, FormatError
from odyssey.serialization import dump, dumps, load, loads
from odyssey.serialization.arrays import array_over
from odyssey.serialization.files import load_with_metadata
from odyssey.serialization.formats import FORMATS
from odyssey.serialization.formats.format import named_arrays
from odyssey.serialization.values import Record, Symbol

for needed in ("google.protobuf", "ml_dtypes", "msgspec", "pyarrow", "safetensors"):
    pytest.importorskip(needed)

ALL = list(FORMATS.values())
NESTED = [one for one in ALL if one.holds.what == "anything nested"]
NAMED = [one for one in ALL if one.holds.what == "arrays by name"]
SHAPES = [(), (1,), (7,), (0,), (0, 3), (3, 0, 2), (2, 3), (1, 1, 1, 5), (16, 33)]
by_name = pytest.mark.parametrize("format", ALL, ids=lambda one: one.name)


def values_of(row, shape):
    raw = np.random.default_rng(3).integers(0, 2 if row.name == "bool" else 256, int(np.prod(shape)) * row.bytes)
    return raw.astype(np.uint8).view(row.dtype).reshape(shape)


def back_is(format, back, value):
    if not format.holds.ordered:
        assert set(back) == set(value)
        back = {name: back[name] for name in value}
    return same(back, value)


def around(format, array):
    """The value of the format's kind that has this array in it, and how to find it there."""
    if format.holds.what == "one array":
        return array, lambda value: value
    if format.holds.what == "arrays by name":
        return {"first": np.arange(3, dtype=np.int8), "a": array, "ü/../x": array}, lambda value: value["a"]
    return {"a": [array, 1], "b": None}, lambda value: value["a"][0]


@by_name
@pytest.mark.parametrize("row", TYPES.values(), ids=lambda row: row.name)
def test_every_type_and_shape_that_is_claimed_comes_back(format, row):
    for shape in SHAPES:
        value, pick = around(format, values_of(row, shape))
        if row.name not in format.holds.dtypes:
            with pytest.raises(DTypeError, match=f"found {row.name}"):
                dumps(value, format.name)
            continue
        data = dumps(value, format.name)
        for back in (
            loads(data, format.name),
            loads(bytearray(data), format.name),
            load(io.BytesIO(data), format.name),
        ):
            assert back_is(format, back, value)
        own = pick(back)
        if own.size:
            assert own.flags.writeable
            own.reshape(-1).view(np.uint8)[0] = 0


@by_name
def test_every_type_comes_back_from_a_file_read_and_mapped(format, tmp_path):
    path = tmp_path / f"file{format.suffixes[0]}"
    for row in TYPES.values():
        if row.name not in format.holds.dtypes:
            continue
        value, pick = around(format, values_of(row, (16, 33)))
        path.write_bytes(dumps(value, format.name))
        assert back_is(format, load(path), value)
        assert back_is(format, load(path, mmap=True), value)
        assert pick(load(path)).flags.writeable
        if format.holds.mapped:
            mapped = pick(load(path, mmap=True))
            assert not mapped.flags.writeable
            assert mapped.ctypes.data % 64 == 0 or not format.holds.aligned
    dump(value, path)
    assert path.read_bytes() == dumps(value, format.name)


@by_name
@pytest.mark.parametrize(
    "how", [lambda a: a.T, lambda a: a[::2], lambda a: a[:, ::-1], np.asfortranarray, lambda a: a[1:, 1:3]]
)
def test_arrays_are_written_as_they_look(format, how):
    array = how(np.arange(60, dtype=np.float64).reshape(6, 10))
    value, pick = around(format, array)
    back = pick(loads(dumps(value, format.name), format.name))
    np.testing.assert_array_equal(back, array)
    assert back.dtype == array.dtype
    kept = array.flags.f_contiguous and not array.flags.c_contiguous and format.holds.fortran
    assert back.flags.f_contiguous == kept
    assert back.flags.c_contiguous != kept


@by_name
def test_tensors_are_written_as_arrays(format):
    value, pick = around(format, od.Tensor([1.0, 2.0]))
    assert same(pick(loads(dumps(value, format.name), format.name)), np.array([1, 2], np.float32))


@by_name
def test_a_mapped_file_is_not_read_but_mapped(format, tmp_path):
    path = tmp_path / f"file{format.suffixes[0]}"
    value, pick = around(format, np.arange(10_000.0))
    dump(value, path)
    owner = pick(load(path, mmap=True))
    while isinstance(owner, (np.ndarray, memoryview)):
        owner = owner.base if isinstance(owner, np.ndarray) else owner.obj
    assert isinstance(owner, mmap.mmap) == format.holds.mapped


@by_name
def test_what_is_read_from_bytes_are_views_of_them(format):
    value, pick = around(format, np.arange(1000.0))
    data = bytearray(dumps(value, format.name))
    array = pick(loads(data, format.name))
    assert np.shares_memory(array, np.frombuffer(data, np.uint8)) == format.holds.mapped
    if format.holds.mapped:
        assert not array.flags.writeable
        with pytest.raises(BufferError):
            data.append(0)


@by_name
def test_files_open_already_are_read_and_written(format, tmp_path):
    value, _ = around(format, np.arange(100.0))
    file = io.BytesIO()
    dump(value, file, format.name)
    assert file.getvalue() == dumps(value, format.name)
    file.seek(0)
    assert back_is(format, load(file, format.name), value)
    path = tmp_path / "no suffix"
    path.write_bytes(file.getvalue())
    assert back_is(format, load(path, format.name), value)
    if format.magic is not None or format.name == "safetensors":
        assert back_is(format, load(path), value)
        assert back_is(format, loads(file.getvalue()), value)


@by_name
def test_equal_values_make_equal_files(format):
    value, _ = around(format, np.arange(5))
    assert dumps(value, format.name) == dumps(value, format.name)


@by_name
def test_metadata_goes_along_or_is_refused(format):
    value, _ = around(format, np.arange(5))
    about = {"note": "ü", "": "x"}
    if format.holds.metadata:
        back, found = load_with_metadata(dumps(value, format.name, metadata=about), format.name)
        assert back_is(format, back, value)
        assert found == about
        with pytest.raises(DTypeError, match="metadata of text"):
            dumps(value, format.name, metadata={"n": 1})
    else:
        with pytest.raises(DTypeError, match="no metadata"):
            dumps(value, format.name, metadata=about)


@by_name
def test_what_a_format_cannot_hold_is_refused_before_a_byte_is_written(format, tmp_path):
    path = tmp_path / f"file{format.suffixes[0]}"
    path.write_bytes(b"old")
    kinds = [
        object(),
        np.zeros(2, ">f4"),
        np.zeros(2, object),
        np.zeros(2, "U3"),
        np.zeros(2, "M8[s]"),
        np.zeros(2, "i4,f4"),
        np.longdouble(1),
        {1, 2},
    ]
    kinds += [np.ma.masked_array([1.0], [True]), bytearray(b"x"), range(3)]
    if format not in NESTED:
        kinds += [
            None,
            3,
            2.5,
            "text",
            b"raw",
            np.float32(1),
            [np.ones(2)],
            (1,),
            {"nested": {"a": np.ones(1)}},
            {1: np.ones(1)},
        ]
    kinds += [np.ones(2)] if format in NAMED else [] if format in NESTED else [{"a": np.ones(2)}]
    for bad in kinds:
        for value in [bad] if format.holds.what == "one array" else [bad, {"good": np.ones(3), "bad": bad}]:
            file = io.BytesIO()
            if (
                format in NAMED
                and isinstance(value, dict)
                and value.get("bad") is bad
                and type(bad) is np.ndarray
                and bad.dtype == float
            ):
                continue
            with pytest.raises(DTypeError, match="expected"):
                dump(value, path)
            with pytest.raises(DTypeError, match="expected"):
                dump(value, file, format.name)
            assert file.getvalue() == b""
    assert path.read_bytes() == b"old"
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


# ---- nested values --------------------------------------------------------------------------------------------------


class Mode(enum.Enum):
    FAST = 1


@dataclasses.dataclass
class Point:
    x: float
    label: str = "p"


NAN = struct.unpack(">d", bytes.fromhex("fff8000000000123"))[0]  # with a sign and a payload
VALUES = [NAN, complex(1, -float("nan")),
    None, True, False, 0, -1, 2**63 - 1, -(2**63), 2**63, -(2**63) - 1, 2**200, -(2**200), 16**6000, 0.0, -0.0, 1e308, 5e-324, 0.1, 1.0, float("inf"),
    float("-inf"), float("nan"), 1 - 2j, complex(float("nan"), -0.0), "", "grüße 🜨\0", b"", b"\xff\0", [], (), {}, [[]], ((),), [None, [1, (2.0,)]],
    {"a": {"b": {"": 1}}}, {1: 2, "x": (3,), (1, 2): None, 2.5: b""}, {None: 1}, {"$tuple": [1]}, {"$": 1}, {"$a": 1, "b": 2}, Record("Point", {"x": 1}),
    Record("", {}), Record("$x", {"$y": (1,)}), Symbol("Colour", "RED"), [np.float32(1), np.int8(-3), np.bool_(True), np.complex128(1j)],
]  # fmt: skip


@pytest.mark.parametrize("format", NESTED, ids=lambda one: one.name)
@pytest.mark.parametrize("value", VALUES, ids=[str(i) for i in range(len(VALUES))])
def test_a_nested_value_comes_back_as_what_it_was(format, value):
    for one in (value, [value], {"a": (value, np.arange(3))}):
        assert same(loads(dumps(one, format.name), format.name), one)


@pytest.mark.parametrize("format", NESTED, ids=lambda one: one.name)
def test_objects_come_back_as_their_fields(format):
    back = loads(dumps([Point(1.5), Mode.FAST], format.name), format.name)
    assert back == [Record("Point", {"x": 1.5, "label": "p"}), Symbol("Mode", "FAST")]


@pytest.mark.parametrize("format", NESTED, ids=lambda one: one.name)
def test_nesting_and_text_have_limits(format):
    value = 1
    for _ in range(40):
        value = [value]
    assert loads(dumps(value, format.name), format.name) == value
    with pytest.raises(ValueError, match="at most 40 deep"):
        dumps([value], format.name)
    cycle = []
    cycle.append({"a": cycle})
    with pytest.raises(ValueError, match="contain themselves"):
        dumps(cycle, format.name)
    for bad in ("\ud800", {"\ud800": 1}, Record("\ud800", {}), Symbol("", "\ud800")):
        with pytest.raises(ValueError, match="Unicode"):
            dumps(bad, format.name)


# ---- files of others ------------------------------------------------------------------------------------------------


def test_others_read_what_we_write(tmp_path):
    import pyarrow
    import safetensors.numpy

    arrays = {
        "a": np.arange(6.0).reshape(2, 3),
        "b": np.asfortranarray(np.ones((3, 2), np.complex64)),
        "c": np.zeros(2, TYPES["bfloat16"].dtype),
    }
    dump(arrays, tmp_path / "x.npz", metadata={"k": "v"})
    with np.load(tmp_path / "x.npz") as found:
        assert set(found) == {"a", "b", "c", "odyssey.json"}
        assert same(found["a"], arrays["a"])
        np.testing.assert_array_equal(found["b"], arrays["b"])
        assert found["c"].dtype == np.uint16
    dump(arrays["b"], tmp_path / "x.npy")
    assert np.load(tmp_path / "x.npy").flags.f_contiguous
    dump(arrays, tmp_path / "x.safetensors")
    assert same(safetensors.numpy.load_file(tmp_path / "x.safetensors")["a"], arrays["a"])
    dump(arrays, tmp_path / "x.arrow")
    table = pyarrow.ipc.open_file(tmp_path / "x.arrow").read_all()
    assert table.column("a")[0].as_py() == list(range(6))
    dump({"text": "ü", "tuple": (1,)}, tmp_path / "x.json")
    assert json.loads((tmp_path / "x.json").read_text("utf-8")) == {"text": "ü", "tuple": {"$tuple": [1]}}


def test_we_read_what_others_write(tmp_path):
    import msgspec

    arrays = {"a": np.arange(6.0).reshape(2, 3), "file": np.ones(1000, np.int16)}
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "x.npz", **{"a": arrays["a"]})
        for mapped in (True, False):
            assert same(load(tmp_path / "x.npz", mmap=mapped), {"a": arrays["a"]})
    np.save(tmp_path / "x.npy", arrays["a"].T)
    assert load(tmp_path / "x.npy").flags.f_contiguous
    file = io.BytesIO()
    np.lib.format.write_array(file, arrays["a"], (2, 0))
    assert same(loads(file.getvalue()), arrays["a"])
    assert loads(b' {"$schema": "x", "b": [1, 2.5, null]}', "json") == {"$schema": "x", "b": [1, 2.5, None]}
    assert loads(b'{"$schema": "x"}', "json") == {"$schema": "x"}
    assert loads(msgspec.msgpack.encode({"a": [1, b"x", None]}), "messagepack") == {"a": [1, b"x", None]}
    od.save(arrays, tmp_path / "x.safetensors", {"k": "v"})
    for mapped in (True, False):
        assert same(dict(sorted(load(tmp_path / "x.safetensors", mmap=mapped).items())), arrays)
    assert load_with_metadata((tmp_path / "x.safetensors").read_bytes())[1] == {"k": "v"}


def test_compressed_arrow_is_read():
    import pyarrow

    data = dumps({"a": np.zeros(10_000), "b": np.ones(3, bool)}, "arrow")
    table = pyarrow.ipc.open_file(data).read_all()
    sink = io.BytesIO()
    with pyarrow.ipc.new_file(sink, table.schema, options=pyarrow.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    assert len(sink.getvalue()) < 10_000
    assert same(loads(sink.getvalue()), {"a": np.zeros(10_000), "b": np.ones(3, bool)})


# ---- what is wrong --------------------------------------------------------------------------------------------------


@by_name
def test_another_formats_file_is_a_format_error_that_names_the_file(format, tmp_path):
    path = tmp_path / f"file{format.suffixes[0]}"
    for data in (b"", b"\0", b"hello there, this is text", b"\xff" * 100):
        path.write_bytes(data)
        for mapped in (True, False):
            if format.name == "messagepack" and data == b"\0":
                assert load(path, mmap=mapped) == 0
                continue
            if format.name == "messagepack" and data[:1] == b"h":
                data = b"\xc1"
                path.write_bytes(data)
            with pytest.raises(FormatError, match=rf"{path}: .*expected"):
                load(path, mmap=mapped)
    with pytest.raises(FileNotFoundError):
        load(tmp_path / f"nothing{format.suffixes[0]}")


def test_a_file_of_no_known_suffix_or_beginning_is_taken_for_safetensors(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"something")
    with pytest.raises(FormatError, match=f"{path}: expected a complete safetensors file"):
        od.load(path)
    with pytest.raises(FormatError, match="safetensors: expected a header"):
        load(path, mmap=True)


def test_names_of_formats_are_checked(tmp_path):
    with pytest.raises(ValueError, match="expected one of json, npy"):
        dumps(1, "pickle")
    with pytest.raises(ValueError, match=r"ends with one of \.json"):
        dump(1, tmp_path / "file.pkl")
    with pytest.raises(ValueError, match="or format="):
        dump(1, io.BytesIO())
    for bad in ("path", 3, np.zeros((4, 4))[:, ::2]):
        with pytest.raises(DTypeError, match="contiguous"):
            loads(bad, "json")


def test_pickles_are_never_read(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(FormatError, match="expected one of bool"):
        load(path)
    np.savez(tmp_path / "x.npz", a=np.array([{"a": 1}], object))
    with pytest.raises(FormatError, match="expected one of bool"):
        load(tmp_path / "x.npz")


@pytest.mark.parametrize(
    ("tree", "says"),
    [
        ({"$tuple": 1}, "expected a list"), ({"$pairs": [[1]]}, "pairs"), ({"$pairs": [[1, 2], [1, 3]]}, "one twice"), ({"$pairs": [[[], 2]]}, "unhashable"),
        ({"$record": ["a"]}, "record"), ({"$record": [1, {}]}, "a type"), ({"$symbol": [1, "a"]}, "two names"), ({"$integer": 3}, "text"), ({"$integer": "xyz"}, "integer"),
        ({"$complex": [1, 2]}, "two numbers"), ({"$bytes": "!"}, "bytes"), ({"$number": "x"}, "number"), ({"$tensor": {}}, "tensor"), ({"$number": []}, "number"),
        ({"$tensor": {"dtype": "float32", "shape": [2], "data": "AAAA"}}, "expected 8 bytes"), ({"$tensor": {"dtype": "object", "shape": [1], "data": ""}}, "found 'object'"),
        ({"$tensor": {"dtype": "float32", "shape": [-1], "data": ""}}, "negative"), ({"$scalar": {"dtype": "int8", "shape": [1], "data": "AA=="}}, "no axes"),
        ({"$tensor": {"dtype": "bool", "shape": [1], "data": "Ag=="}}, "0 and 1"), ({"$tensor": {"dtype": "int8", "shape": ["x"], "data": ""}}, "tensor"),
    ],
)  # fmt: skip
def test_marked_maps_that_lie(tree, says):
    with pytest.raises(FormatError, match=says):
        loads(json.dumps([tree]).encode(), "json")


def test_messagepack_that_lies():
    import msgspec

    def extension(code, data):
        return msgspec.msgpack.encode(msgspec.msgpack.Ext(code, data))

    for bad, says in (
        (extension(9, b""), "code 1 and 2"), (extension(1, b"\x63\0"), "found 99"), (extension(1, b"\x0c\x01"), "messagepack"), (extension(1, b""), "messagepack"),
        (extension(2, b"\x02\x01" + (1).to_bytes(8, "little") + b"x"), "without axes"), (extension(1, b"\x0c\0abc"), "expected 4 bytes"), (b"\x81\x01\x02", "maps from text"),
        (b"\xc6\xff\xff\xff\xff", "damaged"),
    ):  # fmt: skip
        with pytest.raises(FormatError, match=says):
            loads(bad, "messagepack")


def zipped(files):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in files:
            archive.writestr(name, data)
    return file.getvalue()


def test_archives_that_lie():
    array = dumps(np.arange(3), "npy")
    note = json.dumps
    for files, says in (
        ([("a.txt", b"")], "npy files"), ([("a.npy", b"x")], "damaged"), ([("odyssey.json", b"[]")], "to hold a map"), ([("odyssey.json", b"{")], "damaged"),
        ([("a.npy", array), ("odyssey.json", note({"bfloat16": ["a"]}))], "as uint16, found int64"), ([("odyssey.json", note({"bfloat16": ["b"]}))], "damaged"),
        ([("odyssey.json", note({"metadata": {"a": 1}}))], "metadata of text"), ([("odyssey.json", note({"metadata": 3}))], "damaged"),
    ):  # fmt: skip
        with pytest.raises(FormatError, match=says):
            loads(zipped(files), "npz")
    with pytest.warns(UserWarning, match="Duplicate"):
        twice = zipped([("a.npy", array), ("a.npy", array)])
    with pytest.raises(FormatError, match="different names"):
        loads(twice)
    data = bytearray(dumps({"a": np.arange(3)}, "npz"))
    data[0:4] = b"PK\5\6"
    with pytest.raises(FormatError, match="cut off"):
        loads(data, "npz")
    for bad in ("a\0b", "x" * 70_000):
        with pytest.raises(ValueError, match="names without NUL"):
            dumps({bad: np.ones(1)}, "npz")


def test_npy_of_other_versions_and_orders_says_so():
    file = io.BytesIO()
    np.lib.format.write_array(file, np.zeros(2), (3, 0))
    with pytest.raises(FormatError, match=r"version 1\.0 or 2\.0"):
        loads(file.getvalue())
    file = io.BytesIO()
    np.save(file, np.zeros(2, ">f4"))
    with pytest.raises(FormatError, match=r"numpy\.load may read it"):
        loads(file.getvalue())


def header(entries, content=b""):
    text = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    return len(text).to_bytes(8, "little") + text + content


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"1234567", "a header"), (header(b"{", b""), "a header"), (header({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 5]}}, bytes(4)), "expected 4 bytes for 'a'"),
        (header({"a": {"dtype": "F99", "shape": [1], "data_offsets": [0, 4]}}, bytes(4)), "of a type of BOOL"), (header({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, bytes(8)), "4 bytes of arrays, as the header says, found 8"),
        (header({n: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} for n in "ab"}, bytes(4)), "'b' at 4, behind 'a', found it at 0: an overlap"), (header({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}, bytes(8)), "a hole"),
        (header(b'{"a":1,"a":1}'), "'a' twice"), (header({"a": 1}), "data_offsets of 'a', found 1"), (header({"__metadata__": {"a": 1}}), "metadata of text"), (header([1, 2]), "names arrays"),
        (header({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, bytes(4)), "expected 8 bytes"),
    ],
)  # fmt: skip
def test_safetensors_that_lie(data, says):
    with pytest.raises(FormatError, match=says):
        loads(data, "safetensors")


def test_names_that_formats_keep_for_themselves_are_refused():
    with pytest.raises(ValueError, match="__metadata__"):
        dumps({"__metadata__": np.ones(1)}, "safetensors")
    with pytest.raises(ValueError, match=r"begin with 'odyssey\.'"):
        dumps({"a": np.ones(1)}, "arrow", metadata={"odyssey.x": ""})
    for format in NAMED:
        with pytest.raises(ValueError, match="Unicode"):
            dumps({"\ud800": np.ones(1)}, format.name)
        assert same(loads(dumps({}, format.name), format.name), {})


def test_an_array_too_large_for_a_format_is_refused():
    huge = np.broadcast_to(np.zeros((), np.uint8), 5 << 30)  # no memory
    with pytest.raises(ValueError, match="at most 4294966781 bytes"):
        dumps({"a": [huge]}, "messagepack")
    holds = FORMATS["npz"].holds
    assert named_arrays({"a": huge}, "npz", holds)["a"].nbytes == 5 << 30


def arrow(columns, metadata=None, rows=None):
    import pyarrow

    sink = io.BytesIO()
    fields = [pyarrow.field(name, array.type, metadata=about) for name, array, about in columns]
    schema = pyarrow.schema(fields, metadata={"odyssey.arrays": "1"} if metadata is None else metadata)
    with pyarrow.ipc.new_file(sink, schema) as writer:
        for _ in range(1 if rows is None else rows):
            writer.write_batch(pyarrow.record_batch([array for _, array, _ in columns], schema=schema))
    return sink.getvalue()


def test_arrow_that_lies():
    import pyarrow

    def column(values, dtype="float32", shape="[2]", type_=None):
        about = {"odyssey.dtype": dtype, "odyssey.shape": shape}
        return "a", pyarrow.array(values, pyarrow.large_list(type_ or pyarrow.float32())), about

    assert same(loads(arrow([column([[1, 2]])])), {"a": np.array([1, 2], np.float32)})
    for data, says in (
        (arrow([column([[1, 2]])], metadata={}), "reads tables"), (arrow([column([[1, 2]])], rows=2), "reads tables"), (arrow([column([[1, 2]])], rows=0), "reads tables"),
        (arrow([column([[1, 2], [3, 4]])]), "one row"), (arrow([column([[1, 2]]), column([[1, 2]])]), "different names"), (arrow([column([None])]), "a list of float"),
        (arrow([column([[1, None]])]), "without nulls"), (arrow([column([[1, 2]], shape="[3]")]), "expected 12 bytes"), (arrow([column([[1, 2]], shape="2")]), "a list of float"),
        (arrow([column([[1, 2]], dtype="float64")]), "a list of double"), (arrow([column([[1, 2]], dtype="text")]), "found 'text'"), (arrow([("a", pyarrow.array([1]), None)]), "damaged"),
        (arrow([column([[1, 2]])])[:-20], "damaged"), (arrow([column([[2]], dtype="bool", shape="[1]", type_=pyarrow.uint8())]), "0 and 1"),
    ):  # fmt: skip
        with pytest.raises(FormatError, match=says):
            loads(data, "arrow")


def test_an_array_over_bytes_has_just_as_many():
    with pytest.raises(FormatError, match="negative"):
        array_over(b"", np.dtype("f4"), (-1, 0))
    with pytest.raises(FormatError, match="NumPy can have"):
        array_over(b"", np.dtype("f4"), (0, 1 << 62))


@pytest.mark.parametrize(
    ("format", "package"),
    [
        ("json", "msgspec"),
        ("messagepack", "msgspec"),
        ("arrow", "pyarrow"),
        ("protobuf", "google.protobuf"),
    ],
)
def test_a_missing_package_is_named_with_its_cure(format, package):
    program = f"""
import sys
sys.modules[{package!r}] = None
import numpy as np
from odyssey.serialization import dumps, loads
for call in (lambda: dumps({{"a": np.ones(1)}}, {format!r}), lambda: loads(b"", {format!r})):
    try:
        call()
    except ImportError as error:
        assert "pip install 'odyssey[bridge]'" in str(error), error
        print("said")
    except Exception as error:
        print(type(error).__name__)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "said\nsaid\n"


def test_a_package_that_goes_missing_is_no_damaged_file(monkeypatch):
    monkeypatch.setitem(sys.modules, "msgspec", None)
    for call in (lambda: dumps(1, "json"), lambda: loads(b"1", "json")):
        with pytest.raises(ImportError, match=r"json: expected the package msgspec.*pip install 'odyssey\[bridge\]'"):
            call()


def test_a_file_that_does_not_know_its_size_is_read_to_its_end(tmp_path):
    path = tmp_path / "pipe.json"
    os.mkfifo(path)
    writer = threading.Thread(target=lambda: path.write_bytes(b"[1]"))
    writer.start()
    with open(path, "rb") as opened:
        assert load(opened, "json") == [1]
    writer.join()
    with open(os.devnull, "rb") as null:
        assert bytes(serialization.files._own(_Unsized(null))) == b"abc"


class _Unsized(io.BytesIO):
    """A file that reports no size."""

    def __init__(self, null):
        super().__init__(b"abc")
        self._null = null

    def fileno(self):
        return self._null.fileno()


def test_importing_odyssey_brings_none_of_the_packages():
    program = (
        "import sys, odyssey.serialization.formats; "
        "assert not {'google', 'msgspec', 'pyarrow', 'safetensors', 'ml_dtypes'} & set(sys.modules), set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_examples_run():
    assert doctest.testmod(serialization.files).failed == 0
    assert doctest.testmod(serialization.values).failed == 0
