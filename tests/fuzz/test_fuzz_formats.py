"""Every file format and the bridge's messages: values that nobody chose come back, and bytes that nobody wrote are a
FormatError or a value, whatever was done to them.

Each finding is kept as a file in `findings`, named by its format, and tried in every run.
"""

import io
import struct
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, note, seed
from hypothesis import strategies as st
from rounds import ROUND
from same import same

from odyssey.bridge import proto
from odyssey.bridge.types import TYPES
from odyssey.errors import FormatError
from odyssey.serialization import Record, Symbol, dumps, loads
from odyssey.serialization.formats import FORMATS

for needed in ("google.protobuf", "ml_dtypes", "msgspec", "pyarrow", "safetensors"):
    pytest.importorskip(needed)

FINDINGS = Path(__file__).parent / "findings"
EXTREMES = [0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1]


@st.composite
def arrays(draw):
    row = draw(st.sampled_from(list(TYPES.values())))
    shape = draw(st.lists(st.integers(0, 4), max_size=3))
    raw = draw(st.binary(min_size=int(np.prod(shape)) * row.bytes, max_size=int(np.prod(shape)) * row.bytes))
    if row.name == "bool":
        raw = bytes(byte & 1 for byte in raw)
    return np.frombuffer(raw, row.dtype).reshape(shape)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
plain = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(-(2**80), 2**80), st.floats(), st.complex_numbers(), texts, st.binary(max_size=20),
    arrays(), arrays().filter(lambda array: array.size).map(lambda array: array.reshape(-1)[0]), st.builds(Symbol, texts, texts),
)  # fmt: skip
keys = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    texts,
    st.binary(max_size=3),
    st.tuples(st.integers(), texts),
)
nested = st.recursive(
    plain,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.lists(inner, max_size=4).map(tuple), st.dictionaries(texts, inner, max_size=4), st.dictionaries(keys, inner, max_size=4),
        st.builds(Record, texts, st.dictionaries(texts, inner, max_size=3)),
    ),
    max_leaves=8,
)  # fmt: skip
named = st.dictionaries(texts.filter(lambda name: "\0" not in name and name != "__metadata__"), arrays(), max_size=4)


def values(format):
    kinds = {"anything nested": nested, "arrays by name": named, "one array": arrays()}
    return kinds[format.holds.what]


def held(format, value):
    """The value without what the format says it does not hold."""
    if isinstance(value, dict) and format.holds.what == "arrays by name":
        return {name: array for name, array in value.items() if array.dtype.name in format.holds.dtypes}
    if isinstance(value, np.ndarray) and value.dtype.name not in format.holds.dtypes:
        return value.view(np.uint8) if value.ndim else np.zeros(1)
    return value


def damaged(draw, data):
    """The bytes with a few things done to them."""
    data = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        if not data:
            break
        at = (
            draw(st.integers(0, len(data) - 1))
            if draw(st.booleans())
            else draw(st.integers(0, min(len(data), 200) - 1))
        )
        how = draw(st.sampled_from(["flip", "byte", "cut", "drop", "insert", "repeat", "number", "overlong"]))
        if how == "flip":
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif how == "byte":
            data[at] = draw(st.integers(0, 255))
        elif how == "cut":
            del data[at:]
        elif how == "drop":
            del data[at : at + draw(st.integers(1, 16))]
        elif how == "insert":
            data[at:at] = draw(st.binary(max_size=16))
        elif how == "repeat":
            data[at:at] = data[at : at + draw(st.integers(1, 32))] * draw(st.integers(1, 3))
        elif how == "number":
            width, kind = draw(st.sampled_from([(1, "B"), (2, "H"), (4, "I"), (8, "Q")]))
            for offset, byte in enumerate(struct.pack(f"<{kind}", draw(st.sampled_from(EXTREMES)) & (256**width - 1))):
                if at + offset < len(data):
                    data[at + offset] = byte
        else:  # a number that does not end
            data[at:at] = b"\xff" * draw(st.integers(1, 12))
    return bytes(data)


def refused_or_read(load, data):
    with suppress(FormatError):
        repr(load(data))  # each element of it can be looked at


def over(rounds, body, *strategies):
    """Call `body(*drawn)` in each round; what it draws is printed with the seed that repeats it."""
    for number in rounds:
        one_round(number, body, strategies)


def one_round(number, body, strategies):
    @seed(number)
    @ROUND
    @given(st.tuples(*strategies))
    def fuzz(drawn):
        note(f"ODYSSEY_FUZZ_SEED={number}")
        body(*drawn)

    fuzz()


by_format = pytest.mark.parametrize("format", FORMATS.values(), ids=lambda one: one.name)


@by_format
def test_drawn_values_come_back(format, rounds):
    def body(drawn):
        value = held(format, drawn)
        back = loads(dumps(value, format.name), format.name)
        if not format.holds.ordered:
            back = {name: back[name] for name in value}
        assert same(back, value)

    over(rounds, body, values(format))


@by_format
@pytest.mark.filterwarnings("ignore")  # NumPy's, of headers that look like Python 2's
def test_damaged_files_do_no_worse_than_an_error(format, rounds):
    def body(drawn, data):
        raw = damaged(data.draw, dumps(held(format, drawn), format.name))
        note(f"{format.name}: bytes.fromhex({raw.hex()!r})")
        refused_or_read(lambda raw: loads(raw, format.name), raw)
        refused_or_read(lambda raw: loads(bytearray(raw), format.name), raw)

    over(rounds, body, values(format), st.data())


def test_damaged_documents_of_several_messages_do_no_worse_than_an_error(rounds):
    def body(drawn, length, data):
        raw = damaged(data.draw, b"".join(proto.pieces([*drawn, np.arange(length)], 1024)))
        note(f"protobuf: bytes.fromhex({raw.hex()!r})")
        refused_or_read(proto.loads, raw)
        refused_or_read(lambda raw: proto.load(io.BytesIO(raw)), raw)

    over(rounds, body, st.lists(arrays(), max_size=3), st.integers(0, 5000), st.data())


def test_damaged_messages_do_no_worse_than_an_error(rounds):
    from google.protobuf.message import DecodeError

    def body(value, name, data):
        layer = proto.Layer("a", "b", {"w": np.ones(2)}, {"v": value})
        model = proto.Model([layer], proto.ModelConfig("c", {"v": value}))
        objects = {
            "Checkpoint": proto.Checkpoint(model, {"v": value}),
            "Model": model,
            "Layer": layer,
            "Tensor": np.ones(2),
            "Value": value,
        }
        raw = damaged(data.draw, proto.message(objects[name]).SerializeToString())
        note(f"{name}: bytes.fromhex({raw.hex()!r})")
        with suppress(DecodeError):
            message = getattr(proto.messages(), name).FromString(raw)
            refused_or_read(proto.from_message, message)

    over(rounds, body, nested, st.sampled_from(["Tensor", "Value", "Model", "Layer", "Checkpoint"]), st.data())


@pytest.mark.parametrize("path", sorted(FINDINGS.glob("*-*")), ids=lambda path: path.name)
@pytest.mark.filterwarnings("ignore")
def test_what_was_found_stays_mended(path):
    refused_or_read(lambda raw: loads(raw, path.name.split("-")[0]), path.read_bytes())
