"""Python's values as `Value` messages and back.

What is written comes back as what it was: a tuple as a tuple, a NumPy scalar as one of its type. Objects need their
class to come back (`typed.py`); without it they are `Record`s. Text that is no Unicode, classes of unknown meaning and
all else that would change on the way are refused, before a byte is written.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from odyssey.bridge.proto import model
from odyssey.bridge.proto.schema import A_MESSAGE, DEEPEST, describes, messages, parse
from odyssey.bridge.proto.tensors import Elements, Gathered, read_tensor, write_tensor
from odyssey.errors import DTypeError, FormatError
from odyssey.serialization.arrays import as_array, unicode
from odyssey.serialization.values import Record, Symbol

__all__ = ["Unknown", "read_named", "read_value", "write_named", "write_value"]

_URL = "type.googleapis.com/"  # what Any puts before the name of a type
_OURS = {f"odyssey.{name}": name for name in model.CLASSES.values()}


class Unknown:
    """A value of a kind that this odyssey does not know: it is written again as it was read."""

    __slots__ = ("message",)

    def __init__(self, message: bytes) -> None:
        self.message = message

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Unknown) and other.message == self.message

    def __hash__(self) -> int:
        return hash(self.message)

    def __repr__(self) -> str:
        return f"<a value of a later odyssey, {len(self.message)} bytes>"


# ---- writing --------------------------------------------------------------------------------------------------------


def write_value(message: Any, value: Any, gathered: Gathered | None, depth: int = 0) -> None:
    """Fill a Value.

    Args:
        message: an empty one.
        value: what it is to hold.
        gathered: takes the elements of tensors; without it, they go into their messages.
        depth: how deep it is nested.

    Raises:
        DTypeError: a value, or elements, that do not cross.
        ValueError: text that is no Unicode, or nested too deep.
    """
    if depth > DEEPEST:
        raise ValueError(
            f"proto: expected values nested at most {DEEPEST} deep, found more; do they contain themselves?"
        )
    kind = type(value)
    write = _WRITERS.get(kind)
    if write is not None:
        write(message, value, gathered, depth)
    elif (array := as_array(value)) is not None:
        write_tensor(message.tensor, array, gathered)
    elif isinstance(value, np.generic):
        write_tensor(message.scalar, np.asarray(value), None)
    elif isinstance(value, enum.Enum):
        _write_member(message, value)
    elif isinstance(value, Unknown):
        name = message.name
        message.MergeFromString(value.message)
        message.name = name
    elif kind in model.CLASSES:
        named = partial(write_named, gathered=gathered, depth=depth + A_MESSAGE)
        _write_message(message, model.to_message(value, gathered, named))
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        _write_object(message, value, gathered, depth)
    elif describes(value):
        _write_message(message, value)
    elif isinstance(value, Mapping) and not isinstance(value, Record):
        _write_mapping(message, value, gathered, depth)
    else:
        raise DTypeError(
            f"proto: expected None, numbers, text, bytes, arrays, lists, tuples, mappings, dataclasses, members of an "
            f"enumeration or messages, found {kind.__module__}.{kind.__qualname__}\n  {_remedy(value)}"
        )


def _remedy(value: Any) -> str:
    if isinstance(value, (bytearray, memoryview)):
        return "bytes(value), or numpy.frombuffer(value, numpy.uint8) for no copy"
    for plain in (str, bytes, int, float, complex, tuple, list):
        if isinstance(value, plain):
            return f"its class would be lost: {plain.__name__}(value), or a dataclass"
    if isinstance(value, (set, frozenset)):
        return "sorted(value), where its members have an order"
    if hasattr(value, "state_dict"):
        return "its value.state_dict(), or proto.Model.of(value)"
    return "make a dataclass or a dict of what matters of it"


def _write_none(message: Any, value: Any, gathered: Any, depth: int) -> None:
    message.none = True


def _write_boolean(message: Any, value: Any, gathered: Any, depth: int) -> None:
    message.boolean = value


def _write_integer(message: Any, value: Any, gathered: Any, depth: int) -> None:
    if -(1 << 63) <= value < 1 << 63:
        message.integer = value
    else:
        message.large_integer = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)


def _write_number(message: Any, value: Any, gathered: Any, depth: int) -> None:
    message.number = value


def _write_complex(message: Any, value: Any, gathered: Any, depth: int) -> None:
    message.complex.SetInParent()
    message.complex.real, message.complex.imaginary = value.real, value.imag


def _write_text(message: Any, value: Any, gathered: Any, depth: int) -> None:
    message.text = unicode(value)


def _write_raw(message: Any, value: Any, gathered: Any, depth: int) -> None:
    message.raw = value


def _write_array(message: Any, value: Any, gathered: Any, depth: int) -> None:
    write_tensor(message.tensor, value, gathered)


def _write_list(message: Any, value: Any, gathered: Any, depth: int) -> None:
    _write_all(message.list, value, gathered, depth)


def _write_tuple(message: Any, value: Any, gathered: Any, depth: int) -> None:
    _write_all(message.tuple, value, gathered, depth)


def _write_all(message: Any, values: Any, gathered: Any, depth: int) -> None:
    message.SetInParent()
    for value in values:
        write_value(message.values.add(), value, gathered, depth + 1)


def _write_mapping(message: Any, value: Any, gathered: Any, depth: int) -> None:
    if all(type(key) is str for key in value):
        message.map.SetInParent()
        write_named(message.map.values, value, gathered, depth)
    else:
        _write_all(message.pairs, [part for pair in value.items() for part in pair], gathered, depth)


def write_named(messages_: Any, values: Mapping[str, Any], gathered: Any, depth: int) -> None:
    """Append values to a repeated field, each with its name."""
    for name, value in values.items():
        message = messages_.add()
        message.name = unicode(name)
        write_value(message, value, gathered, depth + 1)


def _write_record(message: Any, value: Record, gathered: Any, depth: int) -> None:
    message.record.type = unicode(value.type)
    message.record.SetInParent()
    write_named(message.record.fields, value, gathered, depth)


def _write_object(message: Any, value: Any, gathered: Any, depth: int) -> None:
    fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    fields |= getattr(value, model.KEPT, {})
    _write_record(message, Record(type(value).__qualname__, fields), gathered, depth)


def _write_symbol(message: Any, value: Symbol, gathered: Any, depth: int) -> None:
    message.symbol.SetInParent()
    message.symbol.type, message.symbol.member = unicode(value.type), unicode(value.member)


def _write_member(message: Any, value: enum.Enum) -> None:
    if value.name not in type(value).__members__:
        raise DTypeError(f"proto: expected one member of an enumeration, found {value!r}\n  write its value.value")
    _write_symbol(message, Symbol(type(value).__qualname__, value.name), None, 0)


def _write_message(message: Any, value: Any) -> None:
    if describes(value) == "google.protobuf.Any":
        message.message.MergeFromString(value.SerializeToString())
        message.message.SetInParent()
        return
    message.message.type_url = _URL + str(describes(value))
    message.message.value = value.SerializeToString()


_WRITERS: dict[type, Callable[[Any, Any, Any, int], None]] = {
    type(None): _write_none,
    bool: _write_boolean,
    int: _write_integer,
    float: _write_number,
    complex: _write_complex,
    str: _write_text,
    bytes: _write_raw,
    np.ndarray: _write_array,
    list: _write_list,
    tuple: _write_tuple,
    dict: _write_mapping,
    Record: _write_record,
    Symbol: _write_symbol,
}


# ---- reading --------------------------------------------------------------------------------------------------------


def read_value(message: Any, elements: Elements) -> Any:
    """What a Value holds; its tensors are views of the bytes in `elements`.

    Raises:
        FormatError: it contradicts itself.
    """
    kind = message.WhichOneof("kind")
    if kind is not None:
        return _READERS[kind](getattr(message, kind), elements)
    bare = type(message)()
    bare.CopyFrom(message)
    bare.ClearField("name")
    if not bare.ByteSize():
        raise FormatError("proto: expected a value of some kind, found an empty one")
    return Unknown(bare.SerializeToString())


def read_named(values: Any, elements: Elements) -> dict[str, Any]:
    """Values by their names, in order."""
    found = {value.name: read_value(value, elements) for value in values}
    if len(found) != len(values):
        raise FormatError("proto: expected the names in a map or record to be different, found one twice")
    return found


def _read_none(none: bool, elements: Elements) -> None:
    if not none:
        raise FormatError("proto: expected none to be true, found false")


def _read_scalar(message: Any, elements: Elements) -> Any:
    array = read_tensor(message, elements)
    if array.ndim:
        raise FormatError(f"proto: expected a scalar without axes, found {array.shape}")
    return array[()]


def _read_pairs(message: Any, elements: Elements) -> dict[Any, Any]:
    parts = [read_value(value, elements) for value in message.values]
    try:
        found = dict(zip(parts[::2], parts[1::2], strict=True))
    except (TypeError, ValueError) as error:  # a key that has no hash; an odd number
        raise FormatError(f"proto: expected pairs of a key and a value, found others ({error})") from None
    if 2 * len(found) != len(parts):
        raise FormatError("proto: expected the keys of a map to be different, found one twice")
    return found


def _read_message(message: Any, elements: Elements) -> Any:
    name = message.type_url.rpartition("/")[2]
    if name in _OURS:
        elements.depth += A_MESSAGE
        if elements.depth > DEEPEST:
            raise FormatError(f"proto: expected messages nested at most {DEEPEST // A_MESSAGE} deep, found more")
        inner = parse(getattr(messages(), _OURS[name]), message.value, "proto")
        found = model.from_message(inner, elements, partial(read_named, elements=elements))
        elements.depth -= A_MESSAGE
        return found
    from google.protobuf import descriptor_pool, message_factory

    try:  # one that the program has compiled for itself
        kind = message_factory.GetMessageClass(descriptor_pool.Default().FindMessageTypeByName(name))
    except KeyError:
        kept = type(message)()
        kept.CopyFrom(message)
        return kept
    return parse(kind, message.value, "proto")


_READERS: dict[str, Callable[[Any, Elements], Any]] = {
    "none": _read_none,
    "boolean": lambda value, elements: value,
    "integer": lambda value, elements: value,
    "large_integer": lambda value, elements: int.from_bytes(value, "little", signed=True),
    "number": lambda value, elements: value,
    "complex": lambda value, elements: complex(value.real, value.imaginary),
    "text": lambda value, elements: value,
    "raw": lambda value, elements: value,
    "tensor": read_tensor,
    "scalar": _read_scalar,
    "list": lambda values, elements: [read_value(value, elements) for value in values.values],
    "tuple": lambda values, elements: tuple([read_value(value, elements) for value in values.values]),
    "map": lambda values, elements: read_named(values.values, elements),
    "pairs": _read_pairs,
    "record": lambda record, elements: Record(record.type, read_named(record.fields, elements)),
    "symbol": lambda symbol, elements: Symbol(symbol.type, symbol.member),
    "message": _read_message,
}
