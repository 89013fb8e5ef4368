"""Objects to bytes and back: every type and shape as it was, without copies, in messages of any size."""

import dataclasses
import doctest
import enum
import gc
import importlib
import io
import mmap
import os
import subprocess
import sys
import threading
import weakref
from collections import OrderedDict, namedtuple

import numpy as np
import pytest
from same import same

import odyssey as od
from odyssey.bridge import proto
from odyssey.bridge.proto import codec, document, schema
from odyssey.bridge.types import TYPES
from odyssey.errors import DTypeError, FormatError

SHAPES = [(), (1,), (7,), (0,), (0, 3), (3, 0, 2), (2, 3), (1, 1, 1, 5), (16, 33)]


class Colour(enum.Enum):
    RED = 1


@dataclasses.dataclass
class Point:
    x: float
    y: float = 0.0


def values_of(row, shape):
    raw = np.random.default_rng(3).integers(
        0, 2 if row.name == "bool" else 256, max(int(np.prod(shape)), 0) * row.bytes
    )
    return raw.astype(np.uint8).view(row.dtype).reshape(shape)


@pytest.mark.parametrize("row", TYPES.values(), ids=lambda row: row.name)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_type_and_shape_comes_back_alone_named_and_nested(row, shape):
    array = values_of(row, shape)
    for value in (
        array,
        {"a": array},
        {"a": array, "b": array, "c": np.arange(3)},
        [array, (array, {"deep": [array]})],
    ):
        data = proto.dumps(value)
        assert same(proto.loads(data), value)
        assert same(proto.loads(data), value)  # the second time from what is remembered of the first
        assert same(proto.loads(memoryview(bytearray(data))), value)
        assert same(proto.from_message(proto.message(value)), value)


@pytest.mark.parametrize("row", TYPES.values(), ids=lambda row: row.name)
def test_a_numpy_scalar_keeps_its_type(row):
    value = values_of(row, ())[()]
    assert same(proto.loads(proto.dumps({"a": value})), {"a": value})


@pytest.mark.parametrize(
    "value",
    [
        None, True, False, 0, -1, 2**63 - 1, -(2**63), 2**63, -(2**63) - 1, 2**200, -(2**200), 255, -256, 0.0, -0.0, 1e308, float("inf"),
        float("nan"), 1 - 2j, complex(float("nan"), -0.0), "", "grüße 🜨\0", b"", b"\xff\0", [], (), {}, [[]], ((),), [None, [1, (2.0,)]],
        {"a": {"b": {"": 1}}}, {1: 2, "x": (3,), (1, 2): None, 2.5: b""}, {None: 1}, proto.Record("Point", {"x": 1}),
        proto.Record("", {}), proto.Symbol("Colour", "RED"), {"name": 1, "other": [2]},
    ],
    ids=repr,
)  # fmt: skip
def test_a_value_comes_back_as_what_it_was(value):
    assert same(proto.loads(proto.dumps(value)), value)
    assert same(proto.from_message(proto.message(value)), value)
    record = proto.Record("T", {"field": value})
    assert same(proto.loads(proto.dumps(record)), record)


def test_mappings_keep_their_order():
    names = [f"{i * 7919 % 100}" for i in range(100)]
    assert list(proto.loads(proto.dumps(OrderedDict.fromkeys(names)))) == names
    assert list(proto.loads(proto.dumps({name: np.zeros(2) for name in names}))) == names


def test_tensors_of_ours_come_back_as_arrays_and_on_request_as_they_were():
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    for value in (od.Tensor(array), od.Float32Tensor(array), od.TypedTensor[np.float32](array), od.nn.Parameter(array)):
        data = proto.dumps([value])
        assert same(proto.loads(data), [array])
        (back,) = proto.loads(data, list[type(value)])
        assert type(back) is type(value)
        assert same(np.asarray(back.numpy()), array)
        assert same(proto.from_message(proto.message(value)), array)


@pytest.mark.parametrize(
    "how", [lambda a: a.T, lambda a: a[::2], lambda a: a[:, ::-1], np.asfortranarray, lambda a: a[1:, 1:3]]
)
def test_arrays_are_written_as_they_look(how):
    array = how(np.arange(60, dtype=np.float64).reshape(6, 10))
    expected = np.asarray(array, order="C")
    for value in (array, {"a": array}, [array]):
        found = proto.loads(proto.dumps(value))
        found = found if isinstance(found, np.ndarray) else found["a"] if isinstance(found, dict) else found[0]
        assert same(found, expected)


# ---- copies and lifetimes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrap",
    [bytes, bytearray, memoryview, lambda data: np.frombuffer(data, np.uint8), lambda data: memoryview(data).cast("b")],
)
def test_what_is_read_are_views_of_the_callers_bytes(wrap):
    for value, pick in (
        (np.arange(100.0), lambda v: v),
        ({"a": np.arange(9), "n": 1}, lambda v: v["a"]),
        ([np.ones(5)], lambda v: v[0]),
    ):
        data = wrap(proto.dumps(value))
        for _ in range(2):
            array = pick(proto.loads(data))
            assert np.shares_memory(array, np.frombuffer(data, np.uint8))
            assert not array.flags.writeable
            assert array.flags.aligned


def test_the_bytes_live_as_long_as_an_array_of_them():
    class Bytes(bytearray):
        pass

    data = Bytes(proto.dumps([np.arange(1000), np.arange(5)]))
    alive = weakref.ref(data)
    array = proto.loads(data)[0]
    del data
    gc.collect()
    assert alive() is not None
    assert array[999] == 999
    del array
    gc.collect()
    assert alive() is None


def test_bytes_cannot_be_resized_under_an_array():
    data = bytearray(proto.dumps(np.arange(100)))
    for _ in range(2):
        array = proto.loads(data)
        with pytest.raises(BufferError):
            data.extend(b"more")
        assert array[99] == 99


def test_a_map_cannot_be_closed_under_an_array():
    for value, pick in ((np.arange(100), lambda v: v), ([np.arange(100)], lambda v: v[0])):
        data = proto.dumps(value)
        mapped = mmap.mmap(-1, len(data))
        mapped[:] = data
        array = pick(proto.loads(mapped))
        with pytest.raises(BufferError):
            mapped.close()
        assert array[99] == 99


def test_pieces_are_the_arrays_own_memory():
    arrays = [np.arange(100.0), np.ones((3, 4), np.float32), np.array(3), np.zeros(3, TYPES["bfloat16"].dtype)]
    for value in (arrays, {str(i): array for i, array in enumerate(arrays)}):
        found = proto.pieces(value)
        assert b"".join(found) == proto.dumps(value)
        for array in arrays:
            assert any(np.shares_memory(array, piece) for piece in found if isinstance(piece, np.ndarray))


def test_arrays_in_a_file_begin_at_multiples_of_64(tmp_path):
    path = tmp_path / "file.pb"
    names = [chr(97 + i) * i for i in range(9)]
    for limit in (700, 2000, document.LARGEST):
        proto.dump({name: np.full(9, 1.5) for name in names} | {"last": None}, path, limit)
        for name, array in proto.load(path).items():
            assert name == "last" or array.ctypes.data % 64 == 0


def test_a_file_is_mapped_and_survives_its_replacement(tmp_path):
    path = tmp_path / "file.pb"
    proto.dump({"a": np.arange(10000)}, path)
    array = proto.load(path)["a"]
    owner = array
    while isinstance(owner, (np.ndarray, memoryview)):
        owner = owner.base if isinstance(owner, np.ndarray) else owner.obj
    assert isinstance(owner, mmap.mmap)
    proto.dump({"a": np.zeros(3)}, path)
    assert array[9999] == 9999
    assert same(proto.load(path, mmap=False), {"a": np.zeros(3)})


def test_a_pipe_is_read_where_it_cannot_be_mapped(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    value = {"a": np.arange(50000.0)}
    writer = threading.Thread(target=lambda: path.write_bytes(proto.dumps(value)))
    writer.start()
    assert same(proto.load(path), value)
    writer.join()


class Dribbling(io.RawIOBase):
    """A file that takes and gives a few bytes at a time."""

    def __init__(self, data=b""):
        self.data = bytearray(data)

    def writable(self):
        return True

    def readable(self):
        return True

    def write(self, data):
        part = bytes(data[:37])
        self.data += part
        return len(part)

    def readinto(self, buffer):
        count = min(len(buffer), 41, len(self.data))
        buffer[:count] = self.data[:count]
        del self.data[:count]
        return count


@pytest.mark.parametrize("limit", [512, document.LARGEST])
def test_objects_follow_one_another_in_a_file(limit):
    values = [
        {"a": np.arange(500), "empty": np.zeros((0, 3))},
        None,
        [np.zeros((0, 2)), 1],
        np.arange(3, dtype=np.int8),
        {},
    ]
    for file in (io.BytesIO(), Dribbling()):
        for value in values:
            proto.dump(value, file, limit)
        if isinstance(file, io.BytesIO):
            file.seek(0)
        for value in values:
            assert same(proto.load(file), value)
        with pytest.raises(FormatError, match="found 0 bytes"):
            proto.load(file)


def test_dumps_and_loads_are_of_one_object():
    with pytest.raises(FormatError, match=r"proto.load\(file\) reads several"):
        proto.loads(proto.dumps(1) + proto.dumps(2))


def test_a_path_that_is_no_document_is_named(tmp_path):
    path = tmp_path / "file.pb"
    for data in (b"", b"hello", proto.dumps(np.arange(9))[:-1]):
        path.write_bytes(data)
        for mapped in (True, False):
            with pytest.raises(FormatError, match=str(path)):
                proto.load(path, mmap=mapped)
    with pytest.raises(FileNotFoundError):
        proto.load(tmp_path / "nothing")


def test_a_refused_object_leaves_the_old_file(tmp_path):
    path = tmp_path / "file.pb"
    path.write_bytes(b"old")
    for bad in (object(), {"a": np.arange(5), "b": {1}}, [np.zeros(2, "U3")]):
        with pytest.raises(DTypeError):
            proto.dump(bad, path)
        file = io.BytesIO()
        with pytest.raises(DTypeError):
            proto.dump(bad, file)
        assert file.getvalue() == b""
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file.pb"]


# ---- split tensors --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [512, 576, 640, 1000, 4096])
def test_a_tensor_larger_than_a_message_is_split_and_rejoined(limit):
    rng = np.random.default_rng(limit)
    for _ in range(30):
        sizes = rng.choice([0, 1, 63, 64, 65, limit - 300, limit, 3 * limit, 5 * limit + 1], 4)
        value = {
            "text": "x" * int(rng.integers(0, 200)),
            "list": [rng.integers(0, 256, size).astype(np.uint8) for size in sizes],
        }
        data = b"".join(proto.pieces(value, limit))
        view = memoryview(data)
        heads = []
        position = 0
        while position < len(data):
            head = document.read_head(view, position)
            assert head.size <= limit
            proto.messages().Document.FromString(view[position : position + head.size])  # a message to any program
            heads.append(head)
            position += head.size
        assert len(heads) > 1 or sum(sizes) < limit
        found = proto.loads(data)
        assert same(found, value)
        for array in found["list"]:
            if 0 < array.nbytes <= limit - 200:
                assert np.shares_memory(array, np.frombuffer(data, np.uint8))  # only what is too large was split
            assert not array.flags.writeable


def test_messages_of_a_document_are_needed_all_and_in_order():
    value = [np.arange(2000, dtype=np.int16), np.arange(100.0)]
    data = b"".join(proto.pieces(value, 1024))
    parts = []
    while data:
        head = document.read_head(data)
        parts.append(data[: head.size])
        data = data[head.size :]
    assert len(parts) == 6
    assert same(proto.loads(b"".join(parts)), value)
    swapped = [parts[0], parts[2], parts[1], *parts[3:]]
    other = b"".join(proto.pieces([np.arange(1500, dtype=np.int16)], 1024))
    for bad in (
        parts[:-1],
        parts[1:],
        parts[:3] + parts[4:],
        swapped,
        [*parts, parts[-1]],
        [parts[0], parts[0]],
        [*parts[:3], other],
    ):
        with pytest.raises(FormatError, match="expected"):
            proto.loads(b"".join(bad))
        file = io.BytesIO(b"".join(bad))
        with pytest.raises(FormatError, match="expected"):
            [proto.load(file) for _ in range(2)]


def test_a_limit_out_of_range_is_refused():
    for limit in (0, 511, 2**31):
        with pytest.raises(ValueError, match="expected messages of 512"):
            proto.pieces(1, limit)
    with pytest.raises(ValueError, match="beside the tensors"):
        proto.pieces("x" * 600, 512)


def test_arrays_beyond_2_gib_are_planned_as_several_messages():
    huge = np.broadcast_to(np.zeros((), np.uint8), 3 << 30)  # no memory
    gathered = codec.Gathered()
    gathered.add(huge)
    found = document.assemble(b"", gathered)
    assert [len(piece) for piece in found if isinstance(piece, np.ndarray)] == [2**31 - 128, (1 << 30) + 128]
    assert codec._layout(None, ((np.dtype(np.uint8), (3 << 30,)),)) is None
    with pytest.raises(ValueError, match=r"proto.dumps and proto.dump split it"):
        proto.message(huge)


# ---- what cannot cross ----------------------------------------------------------------------------------------------


Named = namedtuple("Named", "a")


class Text(str):
    pass


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (object(), "make a dataclass"), ({1, 2}, r"sorted\(value\)"), (bytearray(b"x"), r"bytes\(value\)"), (memoryview(b"x"), r"bytes\(value\)"),
        (Named(1), r"tuple\(value\)"), (Text("x"), r"str\(value\)"), (od.nn.Linear(2, 2), r"proto.Model.of"), (Point, "make a dataclass"),
        (np.zeros(2, "U3"), "expected one of bool"), (np.zeros(2, ">f4"), "newbyteorder"), (np.zeros(2, object), "expected one of"),
        (np.str_("x"), "expected one of"), (np.datetime64("2020-01-01"), "expected one of"), (np.ma.masked_array([1.0], [True]), "mask"),
        (np.longdouble(1), "expected one of"), (enum.Flag("F", "A B")(3), "value.value"), (range(3), "make a dataclass"), ({"a": np.zeros(2, "M8[s]")}, "expected one of"),
        (Exception, "make a dataclass"), (proto.Model([proto.Layer("a", parameters={"w": 1})]), "expected arrays"),
    ],
    ids=lambda one: one if isinstance(one, str) else type(one).__name__,
)  # fmt: skip
def test_what_would_not_come_back_is_refused_with_a_remedy(bad, says):
    for value in (bad, {"a": [bad]}):
        with pytest.raises(DTypeError, match=says):
            proto.dumps(value)
        with pytest.raises(DTypeError, match=says):
            proto.message(value)


@pytest.mark.parametrize(
    "value",
    ["\ud800", {"\udfff": 1}, {"\udfff": np.zeros(1)}, proto.Record("\ud800", {}), [proto.Symbol("\ud800", "")]],
    ids=ascii,
)
def test_text_that_is_no_unicode_is_refused(value):
    with pytest.raises(ValueError, match="surrogatepass"):
        proto.dumps(value)


def nested(depth, kind=lambda value: [value]):
    value = 1
    for _ in range(depth):
        value = kind(value)
    return value


@pytest.mark.parametrize(
    "kind", [lambda v: [v], lambda v: (v,), lambda v: {"a": v}, lambda v: {1: v}, lambda v: Point(v)]
)
def test_what_is_written_is_not_nested_deeper_than_can_be_read(kind):
    deepest = nested(40, kind)
    proto.loads(proto.dumps(deepest))
    with pytest.raises(ValueError, match="at most 40 deep"):
        proto.dumps(nested(41, kind))
    cycle = []
    cycle.append(cycle)
    with pytest.raises(ValueError, match="contain themselves"):
        proto.dumps(cycle)


def test_only_bytes_are_loaded():
    for bad, says in (
        ("path", "proto.load reads files"),
        (io.BytesIO(), "proto.load reads files"),
        (3, "int"),
        (np.zeros((4, 4))[:, ::2], "contiguous"),
    ):
        with pytest.raises(DTypeError, match=says):
            proto.loads(bad)
    with pytest.raises(DTypeError, match="expected a Tensor, Value"):
        proto.from_message(proto.messages().Complex())
    with pytest.raises(DTypeError, match="found int"):
        proto.from_message(3)


# ---- what is remembered ---------------------------------------------------------------------------------------------


def test_documents_of_one_structure_differ_in_their_elements_alone():
    codec.forget()
    one, two = ({"a": np.full(5, value), "b": np.arange(3) * value} for value in (1.0, 2.0))
    a, b = proto.dumps(one), proto.dumps(two)
    for data, value in ((a, one), (b, two), (a, one)):
        assert same(proto.loads(data), value)
    assert len(codec._seen) == 1
    for cut in (a[:-1], a + b"x", a[:200]):
        with pytest.raises(FormatError):
            proto.loads(cut)


def test_one_array_after_another_of_its_structure():
    codec.forget()
    arrays = [np.full((80, 80), value) for value in (1.0, 2.0)]
    for array in arrays * 2:
        data = proto.dumps(array)
        assert same(proto.loads(data), array)
        assert same(proto.loads(data, np.ndarray), array)
        for cut in (data[:-1], data + b"x", data[:128], data[:127]):
            with pytest.raises(FormatError):
                proto.loads(cut)
    assert len(codec._single) == 1


def test_what_is_remembered_is_bounded():
    codec.forget()
    for i in range(1, 200):
        proto.loads(proto.dumps(np.zeros(i)))
    assert len(codec._single) <= len(codec._seen) <= 64
    many = {str(i): np.zeros(1) for i in range(300)}
    assert same(proto.loads(proto.dumps(many)), many)
    assert same(proto.loads(proto.dumps({"x" * 20000: np.ones(3)})), {"x" * 20000: np.ones(3)})


def test_a_bool_array_is_looked_through_each_time():
    data = bytearray(proto.dumps(np.ones(100, bool)))
    proto.loads(bytes(data))
    data[-1] = 2
    for _ in range(2):
        with pytest.raises(FormatError, match="0 and 1"):
            proto.loads(data)


def test_threads_read_and_write_at_once():
    failures = []

    def work(seed):
        rng = np.random.default_rng(seed)
        for _ in range(200):
            value = {"a": rng.random(int(rng.integers(1, 90))), "b": rng.integers(0, 9, 3)}
            if not same(proto.loads(proto.dumps(value)), value):
                failures.append(value)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


# ---- the rest -------------------------------------------------------------------------------------------------------


def test_without_protobuf_the_error_says_what_to_install():
    program = """
import sys
sys.modules["google.protobuf"] = None
from odyssey.bridge import proto
try:
    proto.dumps(1)
except ImportError as error:
    assert "pip install 'odyssey[bridge]'" in str(error), error
    print("said")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "said\n"


def test_the_error_comes_when_messages_are_first_needed(monkeypatch):
    schema.messages.cache_clear()
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "google.protobuf", None)
        with pytest.raises(ImportError, match=r"pip install 'odyssey\[bridge\]'"):
            proto.dumps([1])
    assert proto.loads(proto.dumps([1])) == [1]


def test_nothing_of_protobuf_is_imported_before_it_is_needed():
    program = "import sys, odyssey.bridge.proto; assert not any(name.startswith('google') for name in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("name", ["codec", "document", "model", "schema", "tensors", "typed", "values"])
def test_the_examples_run(name):
    assert doctest.testmod(importlib.import_module(f"odyssey.bridge.proto.{name}")).failed == 0
