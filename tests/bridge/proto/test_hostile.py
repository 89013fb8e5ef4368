"""Messages that lie: every contradiction is a FormatError, and none costs more memory than it brought bytes."""

import subprocess
import sys

import numpy as np
import pytest
from same import same

from odyssey.bridge import proto
from odyssey.bridge.proto import document
from odyssey.bridge.types import TYPES
from odyssey.errors import FormatError

MAGIC = document.MAGIC


def tensor(**fields):
    return proto.messages().Tensor(**fields)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"dtype": 12, "shape": [2, 3], "data": bytes(20)}, r"expected 24 bytes for \(2, 3\) float32, found 20"),
        ({"dtype": 12, "shape": [2], "data": bytes(12)}, "expected 8 bytes"), ({"dtype": 12, "shape": [2]}, "expected 8 bytes .* found 0"),
        ({"dtype": 0, "shape": [1], "data": b"1"}, "dtype from 1 to 15, found 0"), ({"dtype": 99, "data": b"1"}, "found 99"),
        ({"dtype": 12, "shape": [-1], "data": b""}, "negative"), ({"dtype": 12, "shape": [-1, -1], "data": bytes(4)}, "negative"),
        ({"dtype": 12, "shape": [1 << 62, 1 << 62], "data": b""}, "expected 85070"), ({"dtype": 13, "shape": [1 << 62, 4], "data": b""}, "found 0"),
        ({"dtype": 12, "shape": [0, 1 << 62]}, "shape that NumPy can have"), ({"dtype": 12, "shape": [1] * 65, "data": bytes(4)}, "shape that NumPy can have"),
        ({"dtype": 1, "shape": [3], "data": b"\0\1\2"}, "0 and 1, found 2"), ({"dtype": 12, "shape": [1], "data": bytes(4), "float_data": [1]}, "in data or float_data, found .*data and float_data"),
        ({"dtype": 12, "shape": [2], "float_data": [1]}, "expected 2 elements"), ({"dtype": 12, "shape": [1], "double_data": [1]}, "in data or float_data"),
        ({"dtype": 10, "shape": [1], "float_data": [1]}, "float16( tensor)? in data"), ({"dtype": 2, "shape": [1], "int32_data": [128]}, "int8 can hold"),
        ({"dtype": 6, "shape": [1], "int32_data": [-1]}, "uint8 can hold"), ({"dtype": 1, "shape": [1], "int32_data": [2]}, "bool can hold"),
        ({"dtype": 8, "shape": [1], "uint64_data": [1 << 32]}, "uint32 can hold"),
        ({"dtype": 12, "shape": [1], "offset": 0, "length": 4}, "within 0 bytes"), ({"dtype": 12, "shape": [1], "length": 4, "data": bytes(4)}, "payload and data"),
        ({"dtype": 12, "shape": [1], "offset": (1 << 64) - 1, "length": (1 << 64) - 1}, "within 0 bytes"),
    ],
)  # fmt: skip
def test_a_tensor_that_contradicts_itself(fields, says):
    with pytest.raises(FormatError, match=says):
        proto.from_message(tensor(**fields))


@pytest.mark.parametrize("row", [row for row in TYPES.values() if row.proto_field], ids=lambda row: row.name)
def test_elements_may_stand_one_by_one(row):
    numbers = [0, 1, 1, 0, 1, 0] if row.python is bool else [0, 1, 127, 5, 6, 7]
    array = proto.from_message(tensor(dtype=row.proto, shape=[2, 3], **{row.proto_field: numbers}))
    assert same(array, np.array(numbers, row.dtype).reshape(2, 3))
    assert not array.flags.writeable
    if row.python is int:
        ends = np.array([np.iinfo(row.dtype).min, np.iinfo(row.dtype).max], row.dtype)
        assert same(proto.from_message(tensor(dtype=row.proto, shape=[2], **{row.proto_field: ends.tolist()})), ends)


def value_of(**kinds):
    return proto.messages().Value(**kinds)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (lambda: value_of(), "an empty one"), (lambda: value_of(none=False), "none to be true"),
        (lambda: value_of(scalar=tensor(dtype=12, shape=[1], data=bytes(4))), "without axes"),
        (lambda: value_of(map={"values": [value_of(name="a", none=True), value_of(name="a", none=True)]}), "one twice"),
        (lambda: value_of(record={"fields": [value_of(name="a", none=True), value_of(name="a", none=True)]}), "one twice"),
        (lambda: value_of(pairs={"values": [value_of(integer=1)]}), "pairs of a key"),
        (lambda: value_of(pairs={"values": [value_of(integer=1), value_of(none=True)] * 2}), "one twice"),
        (lambda: value_of(pairs={"values": [value_of(list={}), value_of(none=True)]}), "unhashable"),
    ],
)  # fmt: skip
def test_a_value_that_contradicts_itself(value, says):
    with pytest.raises(FormatError, match=says):
        proto.from_message(value())


def documents(value, **fields):
    return proto.messages().Document(**{"magic": MAGIC, **fields}, value=proto.message(value)).SerializeToString()


def packed(size, payload_at, payload_from, payload_total, rest, magic=MAGIC):
    parts = zip((0x09, 0x11, 0x19, 0x21, 0x29), (magic, size, payload_at, payload_from, payload_total), strict=True)
    return document.FIXED.pack(*(part for pair in parts for part in pair)) + rest


VALUE = b"\x32\x02\x10\x01"  # None


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "begins with"), (b"\0" * 100, "expected a complete"), (b"\x09ODYSSEX\x01", "begins with b'ODYSSEY'"), (b"\xff" * 64, "expected a complete"),
        (packed(49, 49, 0, 0, VALUE[:-1]), "cut off"), (packed(48, 48, 0, 0, VALUE[:-1]), "expected a complete"), (packed(45, 45, 0, 0, b""), "a value in the first"),
        (packed(1 << 63, 49, 0, 0, VALUE), "payload lies within"), (packed(49, 50, 0, 0, VALUE), "payload lies within"), (packed(49, 44, 0, 0, VALUE), "payload lies within"),
        (packed(49, 49, 1, 1, VALUE), "payload from 0 on"), (packed(49, 49, 0, 1, VALUE), "expected 1 bytes of payload, found 0"), (packed(50, 49, 0, 1, VALUE + b"x"), "something else"),
        (packed(49, 45, 0, 4, VALUE), "something else"), (packed(53, 52, 0, 1, VALUE + b"\x7a\x01x" + b"x"), "something else"), (packed(51, 51, 0, 0, VALUE + b"\x7a\x00"), None),
        (packed(55, 54, 0, 1, VALUE + b"\x7a\x01x" + b"\x7a\x01x"), "another before it"), (packed(49, 49, 0, 0, VALUE, magic=1), "begins with"),
        (packed(51, 51, 0, 0, b"\x32\x82\x80\x80\x80\x00"[:6]), "expected a complete"), (packed(49, 49, 0, 0, VALUE + b"\0"), "1 bytes behind it"),
        (packed(61, 61, 0, 0, b"\x32\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01" + VALUE[:3]), "expected a complete"),
        (packed(49, 49, 0, 64, VALUE) + packed(45, 45, 0, 64, b""), "one without"), (packed(49, 49, 0, 64, VALUE) + packed(49, 49, 0, 64, VALUE), "first message and in no other"),
    ],
)  # fmt: skip
def test_a_document_that_contradicts_itself(data, says):
    if says is None:
        assert proto.loads(data) is None
        return
    with pytest.raises(FormatError, match=says):
        proto.loads(data)


@pytest.mark.parametrize("depth", [45, 60, 5000])
def test_nesting_beyond_what_is_written_does_not_exhaust_the_stack(depth):
    inner = VALUE[2:]
    for _ in range(depth):
        inner = b"\x0a" + document.varint(len(inner)) + inner  # Values{values: inner}
        inner = b"\x62" + document.varint(len(inner)) + inner  # Value{list: ...}
    field = b"\x32" + document.varint(len(inner)) + inner
    data = packed(45 + len(field), 45 + len(field), 0, 0, field)
    if depth < 49:
        proto.loads(data)
        return
    with pytest.raises(FormatError, match="expected a complete"):
        proto.loads(data)


def test_a_message_within_a_message_within_a_message_ends():
    value = proto.message(1)
    for _ in range(200):
        model = proto.messages().ModelConfig(kind="x")
        model.options.add().CopyFrom(value)
        value = proto.messages().Value(name="a")
        value.message.type_url, value.message.value = "/odyssey.ModelConfig", model.SerializeToString()
    with pytest.raises(FormatError, match="nested at most"):
        proto.from_message(value)


def test_messages_within_each_other_are_written_as_deep_as_they_are_read():
    def within(depth):
        value = 1
        for _ in range(depth):
            value = proto.ModelConfig("x", {"inner": value})
        return value

    for deepest in (within(3), [within(3)]):
        assert proto.loads(proto.dumps(deepest)) == deepest
    with pytest.raises(ValueError, match="at most 40 deep"):
        proto.dumps(within(5))


def test_tensors_over_the_same_bytes_take_no_memory_of_their_own():
    size = 4096
    value = [np.zeros(size, np.uint8)]
    data = b"".join(proto.pieces(value, 1024))
    head = document.read_head(data)
    inner = proto.messages().Document.FromString(data[: head.size])
    for _ in range(3):
        inner.value.list.values.add().CopyFrom(inner.value.list.values[0])
    gathered = document.Gathered()
    gathered.add(value[0])
    lying = b"".join(document.assemble(inner.value.SerializeToString(), gathered, 1024))
    with pytest.raises(FormatError, match="not to overlap"):
        proto.loads(lying)
    whole = b"".join(document.assemble(inner.value.SerializeToString(), gathered))
    arrays = proto.loads(whole)
    assert all(np.shares_memory(arrays[0], array) for array in arrays)


def test_a_size_that_lies_asks_for_no_memory():
    program = """
import io, resource
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
from odyssey.bridge import proto
from odyssey.bridge.proto.document import FIXED, MAGIC
from odyssey.errors import FormatError
parts = (0x09, MAGIC, 0x11, 1 << 40, 0x19, 49, 0x21, 0, 0x29, (1 << 40) - 49)
data = FIXED.pack(*parts) + b"\\x32\\x02\\x10\\x01"
for read in (lambda: proto.loads(data), lambda: proto.load(io.BytesIO(data))):
    try:
        read()
    except FormatError:
        print("refused")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "refused\nrefused\n"
