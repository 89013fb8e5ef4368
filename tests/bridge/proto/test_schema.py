"""The .proto files and what is made of them: up to date, installed, numbered as the table of types; earlier and later
versions of them read each other."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import descriptor_pb2
from same import same

import odyssey as od
from odyssey.bridge import proto
from odyssey.bridge.proto import schema
from odyssey.bridge.types import TYPES
from odyssey.errors import FormatError

TOOL = Path(__file__).parents[3] / "tools" / "compile_protos.py"
FIELD = descriptor_pb2.FieldDescriptorProto


def descriptors():
    return descriptor_pb2.FileDescriptorSet.FromString((Path(od.get_protos()) / "descriptors.binpb").read_bytes())


@pytest.mark.source
@pytest.mark.skipif(not TOOL.exists(), reason="the tool is not beside the tests")
def test_the_descriptors_are_those_of_the_proto_files(tmp_path):
    pytest.importorskip("grpc_tools")
    spec = importlib.util.spec_from_file_location("compile_protos", TOOL)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    tool.compile_protos(tmp_path / "fresh")
    fresh = descriptor_pb2.FileDescriptorSet.FromString((tmp_path / "fresh").read_bytes())
    ours = {file.name: file for file in descriptors().file if file.package == "odyssey"}
    assert {file.name: file for file in fresh.file if file.package == "odyssey"} == ours, "run tools/compile_protos.py"
    assert set(ours) == {path.name for path in Path(od.get_protos()).glob("*.proto")}


def test_types_have_the_numbers_and_fields_of_the_table():
    (data,) = (file for file in descriptors().file if file.name == "data.proto")
    (enum,) = data.enum_type
    numbers = {value.name: value.number for value in enum.value}
    assert numbers == {"UNSPECIFIED": 0} | {row.name.upper(): row.proto for row in TYPES.values()}
    fields = {field.name for field in proto.messages().Tensor.DESCRIPTOR.fields}
    assert {row.proto_field for row in TYPES.values() if row.proto_field} == {
        name for name in fields if name.endswith("_data")
    }


def changed(change):
    """The classes of our messages as another version has them."""
    files = descriptors()
    messages = {
        message.name: message for file in files.file if file.package == "odyssey" for message in file.message_type
    }
    change(messages)
    return schema.load_classes(files.SerializeToString())


def later():
    def change(messages):
        messages["Tensor"].field.add(name="scale", number=20, type=FIELD.TYPE_DOUBLE, label=FIELD.LABEL_OPTIONAL)
        messages["Document"].field.add(name="author", number=20, type=FIELD.TYPE_STRING, label=FIELD.LABEL_OPTIONAL)
        for name in ("Layer", "Model", "ModelConfig", "Checkpoint"):
            messages[name].field.add(name="note", number=99, type=FIELD.TYPE_STRING, label=FIELD.LABEL_OPTIONAL)
        moment = messages["Value"].field.add(
            name="moment", number=40, type=FIELD.TYPE_STRING, label=FIELD.LABEL_OPTIONAL
        )
        moment.oneof_index = 0

    return changed(change)


def earlier():
    def change(messages):
        for name, fields in {
            "Value": ("complex", "pairs", "symbol", "message"),
            "Model": ("metadata",),
            "Layer": ("options", "kind"),
        }.items():
            kept = [field for field in messages[name].field if field.name not in fields]
            del messages[name].field[:]
            messages[name].field.extend(kept)

    return changed(change)


def test_messages_keep_what_a_later_version_added():
    new = later()
    tensor = new.Tensor(dtype=12, shape=[2], data=bytes(8), scale=0.5)
    ours = proto.messages().Tensor.FromString(tensor.SerializeToString())
    assert same(proto.from_message(ours), np.zeros(2, np.float32))
    ours.shape[:] = [1, 2]
    assert new.Tensor.FromString(ours.SerializeToString()).scale == 0.5


def test_a_value_of_a_later_kind_is_handed_on():
    new = later()
    value = new.Value()
    value.map.values.add(name="when", moment="noon")
    value.map.values.add(name="n", integer=3)
    read = proto.from_message(value)
    assert read["n"] == 3
    assert isinstance(read["when"], proto.Unknown)
    assert "later odyssey" in repr(read["when"])
    assert hash(read["when"]) == hash(proto.Unknown(read["when"].message))
    assert read["when"] == proto.Unknown(read["when"].message) != proto.Unknown(b"")
    written = new.Document.FromString(proto.dumps({"moved": [read["when"]]}))
    moment = written.value.map.values[0].list.values[0]
    assert (moment.moment, moment.name) == ("noon", "")
    assert proto.loads(proto.dumps(read)) == read


def test_models_keep_what_a_later_version_added():
    new = later()
    message = new.Checkpoint(version=2, note="checkpoint")
    message.model.note = "model"
    message.model.version = 9
    message.model.config.note = "config"
    layer = message.model.layers.add(name="fc", note="layer")
    layer.parameters.add(name="w", tensor=new.Tensor(dtype=12, shape=[1], data=bytes(4)))
    read = proto.from_message(message)
    assert (read.version, read.model.version) == (2, 9)
    for again in (read, proto.loads(proto.dumps(read)), proto.loads(proto.dumps([read]))[0]):
        back = new.Checkpoint.FromString(proto.message(again).SerializeToString())
        assert (back.note, back.model.note, back.model.config.note, back.model.layers[0].note) == (
            "checkpoint",
            "model",
            "config",
            "layer",
        )
        assert back.model.layers[0].parameters[0].name == "w"


def test_later_readers_read_what_we_write():
    new = later()
    value = {"a": np.arange(3), "n": None}
    document = new.Document.FromString(proto.dumps(value))
    assert document.author == ""
    assert document.payload[document.value.map.values[0].tensor.offset :][:24] == value["a"].tobytes()
    model = new.Model.FromString(
        proto.message(proto.Model([proto.Layer("fc", "Linear", {"w": np.ones(2)})])).SerializeToString()
    )
    assert (model.layers[0].kind, model.layers[0].note, model.layers[0].parameters[0].tensor.shape[:]) == (
        "Linear",
        "",
        [2],
    )


def test_earlier_readers_keep_what_they_do_not_know():
    old = earlier()
    model = proto.Model([proto.Layer("fc", "Linear", {"w": np.ones(2)}, {"bias": False})], metadata={"a": "b"})
    read = old.Model.FromString(proto.message(model).SerializeToString())
    assert not hasattr(read, "metadata")
    assert read.layers[0].parameters[0].tensor.data == np.ones(2).tobytes()
    read.layers[0].name = "renamed"
    back = proto.from_message(read)
    assert back.metadata == {"a": "b"}
    assert (back.layers[0].name, back.layers[0].kind, back.layers[0].options) == ("renamed", "Linear", {"bias": False})

    values = [1 + 2j, {1: 2}, proto.Symbol("A", "B"), 5]
    old_value = old.Value.FromString(proto.message(values).SerializeToString())
    assert [one.WhichOneof("kind") for one in old_value.list.values] == [None, None, None, "integer"]
    old_value.list.values[3].integer = 6
    assert proto.from_message(old_value) == [*values[:3], 6]


def test_what_an_earlier_version_wrote_is_read():
    old = earlier()
    model = old.Model(version=1)
    model.layers.add(name="fc").parameters.add(name="w", tensor=old.Tensor(dtype=13, shape=[2], data=bytes(16)))
    read = proto.from_message(model)
    assert (read.metadata, read.layers[0].kind, read.layers[0].options) == ({}, "", {})
    assert same(read.state_dict(), {"fc.w": np.zeros(2)})


def test_a_document_of_a_later_format_says_so():
    data = bytearray(proto.dumps([1]))
    data[8] = 2
    with pytest.raises(FormatError, match="format 1, found format 2"):
        proto.loads(data)
    with pytest.raises(FormatError, match="format 1, found format 2"):
        proto.loads(proto.messages().Document(magic=int.from_bytes(data[1:9], "little")).SerializeToString())


def test_a_document_of_another_programs_library_is_read():
    document = proto.messages().Document(magic=int.from_bytes(b"ODYSSEY\x01", "little"))
    document.value.map.values.add(name="a").tensor.MergeFrom(
        proto.messages().Tensor(dtype=12, shape=[2], float_data=[1, 2])
    )
    document.value.map.values.add(name="b").tensor.MergeFrom(
        proto.messages().Tensor(dtype=12, shape=[1], data=bytes(4))
    )
    document.value.map.values.add(name="c").tensor.MergeFrom(
        proto.messages().Tensor(dtype=13, shape=[1], offset=3, length=8)
    )
    document.payload = b"abc" + np.float64(2.5).tobytes()
    expected = {"a": np.array([1, 2], np.float32), "b": np.zeros(1, np.float32), "c": np.array([2.5])}
    for _ in range(2):
        found = proto.loads(document.SerializeToString())
        assert same(found, expected)
        assert not any(array.flags.writeable for array in found.values())
    assert same(proto.from_message(document), expected)
    for name, wrong in (("size", 5), ("payload_from", 1), ("payload_total", 3)):
        lying = proto.messages().Document.FromString(document.SerializeToString())
        setattr(lying, name, wrong)
        with pytest.raises(FormatError, match=name):
            proto.loads(lying.SerializeToString())
    document.ClearField("value")
    with pytest.raises(FormatError, match="with a value"):
        proto.loads(document.SerializeToString())


def test_messages_of_any_kind_travel():
    from google.protobuf import any_pb2, wrappers_pb2

    text = wrappers_pb2.StringValue(value="hello")
    assert proto.loads(proto.dumps([text, 1])) == [text, 1]
    ours = proto.messages().Complex(real=1)
    kept = proto.loads(proto.dumps({"a": ours}))["a"]  # of a class that this program has not compiled
    assert kept.type_url == "type.googleapis.com/odyssey.Complex"
    assert proto.loads(proto.dumps(kept)) == kept
    packed = any_pb2.Any()
    packed.Pack(text)
    assert proto.loads(proto.dumps(packed)) == text
    broken = any_pb2.Any(type_url="x/google.protobuf.StringValue", value=b"\xff")
    for bad in (broken, any_pb2.Any(type_url="x/odyssey.Model", value=b"\xff")):
        with pytest.raises(FormatError, match="expected a complete"):
            proto.loads(proto.dumps(bad))
    empty = any_pb2.Any()
    assert proto.loads(proto.dumps([empty]))[0].SerializeToString() == b""


def test_a_name_that_no_installation_has_is_an_error(monkeypatch):
    from odyssey import config

    monkeypatch.setattr(config, "__file__", "/nowhere/odyssey/config.py")
    with pytest.raises(FileNotFoundError, match=r"odyssey\.get_protos: expected /nowhere"):
        od.get_protos()
