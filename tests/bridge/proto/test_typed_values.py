"""Dataclasses and what their annotations may say; classes that have grown since."""

import dataclasses
import enum
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Optional, TypeVar, Union

import numpy as np
import pytest
from numpy.typing import NDArray
from same import same

import odyssey as od
from odyssey.bridge import proto
from odyssey.bridge.proto.typed import convert
from odyssey.errors import DTypeError, FormatError
from odyssey.typing import Array

T = TypeVar("T")


class Mode(enum.Enum):
    FAST = "fast"
    EXACT = "exact"


class Level(enum.IntEnum):
    LOW = 1


@dataclasses.dataclass
class Inner:
    name: str
    sizes: tuple[int, ...] = ()


@dataclasses.dataclass
class Other:
    name: str


@dataclasses.dataclass(frozen=True)
class Everything:
    flag: bool
    count: int
    rate: float
    text: str
    raw: bytes
    root: complex
    weights: Array
    narrow: NDArray[np.float32]
    tensor: od.Tensor
    scalar: np.float32
    mode: Mode
    inner: Inner
    maybe: Inner | None
    also: Optional[int]  # noqa: UP045
    either: Union[Other, Inner]  # noqa: UP007
    several: list[Inner]
    pair: tuple[int, str]
    by_name: dict[str, Inner]
    by_number: dict[int, Mode]
    choice: Literal["a", "b", 3]
    anything: Any
    bare: list
    bare_tuple: tuple
    bare_dict: dict
    mapping: Mapping[str, int]
    sequence: Sequence[int]
    nothing: None
    level: Level
    model: proto.Model
    derived: int = dataclasses.field(init=False, default=0)


def everything(**changes):
    values = {
        "flag": True, "count": -3, "rate": 1, "text": "ü", "raw": b"\0", "root": 1j, "weights": np.eye(2), "narrow": np.ones(2, np.float32),
        "tensor": od.Tensor(np.ones(3, np.float32)), "scalar": np.float32(2), "mode": Mode.EXACT, "inner": Inner("i", (1, 2)), "maybe": None, "also": 4,
        "either": Inner("e"), "several": [Inner("a"), Inner("b", (3,))], "pair": (1, "x"), "by_name": {"k": Inner("v")}, "by_number": {2: Mode.FAST},
        "choice": 3, "anything": [1, (None,)], "bare": [1], "bare_tuple": (1, "2"), "bare_dict": {1: 2}, "mapping": {"a": 1}, "sequence": (1, 2),
        "nothing": None, "level": Level.LOW, "model": proto.Model(),
    }  # fmt: skip
    made = Everything(**values | changes)
    object.__setattr__(made, "derived", 7)
    return made


def test_a_dataclass_comes_back_by_its_annotations():
    one = everything()
    for other in (proto.loads(proto.dumps(one), Everything), proto.from_message(proto.message(one), Everything)):
        assert type(other) is Everything
        for field in dataclasses.fields(one):
            before, after = getattr(one, field.name), getattr(other, field.name)
            if field.name == "tensor":
                before, after = before.data, after.data
                assert after.flags.writeable
            assert same(after, before), field.name
    with_inner = everything(maybe=Inner("m"), also=None, either=Other("o"), sequence=[3], choice="b")
    back = proto.loads(proto.dumps(with_inner), Everything)
    assert (back.maybe, back.also, back.either, back.sequence, back.choice) == (Inner("m"), None, Other("o"), [3], "b")


def test_without_a_class_it_is_a_record():
    record = proto.loads(proto.dumps(Inner("i", (1,))))
    assert record == proto.Record("Inner", {"name": "i", "sizes": (1,)})
    assert record != proto.Record("Other", record)
    assert repr(record) == "Record('Inner', {'name': 'i', 'sizes': (1,)})"
    assert proto.loads(proto.dumps(record), Inner) == Inner("i", (1,))
    assert proto.loads(proto.dumps([Mode.FAST])) == [proto.Symbol("Mode", "FAST")]
    assert proto.loads(proto.dumps([Mode.FAST]), list[Mode]) == [Mode.FAST]
    assert proto.loads(proto.dumps(Inner("i")), proto.Record) == proto.Record("Inner", {"name": "i", "sizes": ()})


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("flag", 1, "flag: expected bool, found int 1"), ("count", 1.0, "expected int"), ("count", True, "expected int"), ("rate", "1", "expected float"),
        ("rate", True, "expected float"), ("text", b"", "expected str"), ("weights", [1.0], "expected an array"), ("weights", np.float64(1), "expected an array"),
        ("narrow", np.ones(2), "expected an array of float32"), ("tensor", [1], "expected an array"), ("scalar", np.float64(1), "expected float32"),
        ("mode", "fast", "expected a member of Mode"), ("mode", Level.LOW, "one of FAST, EXACT"), ("inner", {"name": "x"}, "expected a Inner"),
        ("maybe", 3, "expected a Inner, found int 3; or expected None"), ("several", (Inner("a"),), "expected list"), ("several", [1], r"several\[0\]: expected"),
        ("pair", (1,), "expected 2 elements"), ("pair", (1, 2), r"pair\[1\]: expected str"), ("by_name", {"k": 1}, r"by_name\['k'\]: expected"),
        ("by_number", {"k": Mode.FAST}, "a key of value.by_number: expected int"), ("choice", "c", "expected one of"), ("choice", 3.0, "expected one of"),
        ("nothing", 1, "expected None"), ("bare_dict", [], "expected dict"), ("inner", proto.Record("Inner", {}), "expected Inner with name, found no field"),
        ("either", 3, "expected a Other"), ("text", 3 * [list(range(40))], "found list$"), ("bare_tuple", [1], "expected tuple"),
    ],
)  # fmt: skip
def test_what_a_field_does_not_take_is_named(field, value, says):
    with pytest.raises(FormatError, match=says):
        proto.loads(proto.dumps(everything(**{field: value})), Everything)


@pytest.mark.parametrize("bad", [set[int], object, 3, dict[str, range], list[complex | set]])
def test_a_type_of_which_nothing_can_be_made_is_an_error(bad):
    value = {dict[str, range]: {"a": 1}, list[complex | set]: [1]}.get(bad, 1)
    with pytest.raises(DTypeError, match="a type that values can be made of"):
        convert(value, bad)


def test_annotations_that_lead_nowhere_are_an_error():
    @dataclasses.dataclass
    class Lost:
        field: "Nowhere"  # noqa: F821

    with pytest.raises(DTypeError, match="annotations"):
        proto.loads(proto.dumps(proto.Record("Lost", {"field": 1})), Lost)


def test_type_variables_take_anything():
    assert convert([1], list[T]) == [1]


def test_later_classes_read_what_earlier_ones_wrote():
    @dataclasses.dataclass
    class Config:
        lr: float
        added: list[int] = dataclasses.field(default_factory=list)

    assert proto.loads(proto.dumps(proto.Record("Config", {"lr": 0.5})), Config) == Config(0.5, [])


def test_earlier_classes_keep_what_later_ones_wrote():
    @dataclasses.dataclass(frozen=True)
    class Config:
        lr: float

    later = proto.Record("Config", {"lr": 0.5, "added": [np.arange(3)], "more": proto.Record("X", {"y": 1})})
    read = proto.loads(proto.dumps({"c": later}), dict[str, Config])["c"]
    assert read == Config(0.5)
    again = proto.loads(proto.dumps(read))
    assert list(again) == ["lr", "added", "more"]
    assert again["more"] == later["more"]
    assert same(again["added"], later["added"])


def test_a_class_with_slots_says_that_it_cannot_keep_more():
    @dataclasses.dataclass(slots=True)
    class Config:
        lr: float

    assert proto.loads(proto.dumps(Config(1.0)), Config) == Config(1.0)
    with pytest.raises(FormatError, match="slots"):
        proto.loads(proto.dumps(proto.Record("Config", {"lr": 0.5, "added": 1})), Config)
