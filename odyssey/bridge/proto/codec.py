"""Objects to bytes and back: what users call."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import lru_cache, partial
from math import prod
from mmap import ACCESS_READ
from mmap import mmap as map_file
from stat import S_ISREG
from struct import Struct
from typing import IO, Any, NamedTuple, TypeAlias, TypeVar, overload

import numpy as np

from odyssey.bridge.proto import model as models
from odyssey.bridge.proto.document import FIXED, assemble, open_document, read_head
from odyssey.bridge.proto.schema import LARGEST, describes, messages, parse
from odyssey.bridge.proto.tensors import Elements, Gathered, describe_tensor, read_tensor, write_tensor
from odyssey.bridge.proto.typed import convert
from odyssey.bridge.proto.values import read_named, read_value, write_named, write_value
from odyssey.bridge.types import of
from odyssey.errors import DTypeError, FormatError
from odyssey.serialization.arrays import as_array, flat_bytes, unicode, view_of
from odyssey.serialization.atomic import replacing
from odyssey.typing import Array

__all__ = ["dump", "dumps", "from_message", "load", "loads", "message", "pieces"]

T = TypeVar("T")
Kind: TypeAlias = tuple[np.dtype[Any], tuple[int, ...]]

_REMEMBERED = 64  # structures
_REMEMBERED_BYTES = 1 << 14  # of one
_REMEMBERED_TENSORS = 256


# ---- to bytes -------------------------------------------------------------------------------------------------------


def dumps(value: Any) -> bytes:
    """An object as bytes.

    Args:
        value: None, numbers, text, bytes, arrays of any type in `odyssey.bridge.types`, Tensors, NumPy scalars, members
            of enumerations, dataclasses, `proto.Model` and its kin, messages of any `.proto`; lists, tuples and
            mappings of these. All elements are written as they are, in C order.

    Returns:
        A document (`protos/data.proto`): below 2 GiB one message, which any program that has the .proto files can
        parse; above it several, one after the other. Elements are copied once, to their place in it.

    Raises:
        DTypeError: a value that would not come back as it is.
        ValueError: nested more than 40 deep, text that is no Unicode, or 2 GiB without the tensors.

    Example:
        >>> state = loads(dumps({"step": 7, "weight": np.eye(2, dtype=np.float32)}))
        >>> state["step"], state["weight"].tolist()
        (7, [[1.0, 0.0], [0.0, 1.0]])
    """
    return b"".join(pieces(value))


def pieces(value: Any, limit: int = LARGEST) -> list[Any]:
    """What `dumps` gives, in pieces that lie one behind the other: small ones of its own, and the arrays' own memory.

    Args:
        value: as for `dumps`.
        limit: the bytes that one message may have; 2 GiB is as much as Protocol Buffers can.

    Returns:
        Objects with contiguous buffers: bytes, and arrays where they lie (copied only where they are not contiguous).

    Raises:
        DTypeError, ValueError: as for `dumps`.

    Example:
        >>> array = np.zeros(1000)
        >>> any(np.shares_memory(piece, array) for piece in pieces([array]) if isinstance(piece, np.ndarray))
        True
    """
    if limit == LARGEST:
        kind = type(value)
        if kind is np.ndarray:
            known = _layout(None, ((value.dtype, value.shape),))
            if known is not None:
                return [known[0], _flat(value)]
        elif kind is dict and 0 < len(value) <= _REMEMBERED_TENSORS:
            arrays = list(value.values())
            if _all_of(np.ndarray, arrays) and _all_of(str, value):
                known = _layout(tuple(value), tuple([(array.dtype, array.shape) for array in arrays]))
                if known is not None:
                    return [part for pair in zip(known, map(_flat, arrays), strict=True) for part in pair]
    gathered = Gathered()
    message = messages().Value()
    write_value(message, value, gathered)
    return assemble(message.SerializeToString(), gathered, limit)


def _all_of(kind: type, values: Iterable[Any]) -> bool:
    return set(map(type, values)) == {kind}


def _flat(array: Array) -> Array:
    return array if array.flags.c_contiguous and array.dtype.kind in "fiucb" else flat_bytes(array)


@lru_cache(_REMEMBERED)
def _layout(names: tuple[str, ...] | None, kinds: tuple[Kind, ...]) -> list[bytes] | None:
    """What stands before each array of a document that is one array, or arrays by name; None where it takes several
    messages. Batches, gradients and checkpoints look the same time after time, and only their elements differ."""
    gathered = Gathered()
    value = messages().Value()
    tensors = [value.tensor] if names is None else []
    for name in names or ():
        tensors.append(value.map.values.add(name=unicode(name)).tensor)
    for tensor, (dtype, shape) in zip(tensors, kinds, strict=True):
        row = of(dtype)
        describe_tensor(tensor, row, shape)
        if nbytes := prod(shape) * row.bytes:
            # As long as the array, without its memory.
            nothing = np.broadcast_to(np.zeros((), np.uint8), nbytes)
            tensor.offset, tensor.length = gathered.add(nothing), nbytes
    layout: list[bytes] = []
    before = b""
    found = assemble(value.SerializeToString(), gathered)
    if gathered.total + len(found[0]) > LARGEST:
        return None
    for piece in found:
        if isinstance(piece, bytes):
            before += piece
            continue
        layout.append(before)
        before = b""
    empty = iter(layout)
    return (
        [next(empty) if prod(shape) else b"" for _, shape in kinds] if layout else [before, *[b""] * (len(kinds) - 1)]
    )


# ---- from bytes -----------------------------------------------------------------------------------------------------


class _Places(NamedTuple):
    """Where the arrays of a document are that is nothing but one array, or arrays by name."""

    size: int
    names: tuple[str, ...] | None
    arrays: list[tuple[tuple[int, ...], np.dtype[Any], int]]


_seen: dict[bytes, _Places] = {}
"""By all the bytes of a document before its payload: these say everything but the elements."""

_single: dict[bytes, tuple[int, tuple[int, ...], np.dtype[Any], int]] = {}
"""The same for documents of one array whose payload begins at byte 128, as it does from some 16 KiB on: a look here
first takes a third off what a batch costs."""

_USUAL = 128
_PAYLOAD_AT = Struct("<Q").unpack_from


@overload
def loads(data: Any, type: None = None) -> Any: ...
@overload
def loads(data: Any, type: type[T]) -> T: ...
def loads(data: Any, type: Any = None) -> Any:
    """The object that `dumps` made these bytes of.

    Args:
        data: bytes, or anything with a contiguous buffer: memoryview, mmap, array, shared memory.
        type: what to make of it: a dataclass, an enumeration, a Tensor class, list[...] and the like (`typed.convert`).
            Without one, objects come back as `Record`s and members of enumerations as `Symbol`s.

    Returns:
        The object. Its arrays are read-only views of `data`, which lives as long as one of them; elements are copied
        only where a tensor was split between messages, or another program put them elsewhere than in the payload.

    Raises:
        FormatError: the bytes are damaged, cut off, or no document; or they hold something else than `type`.
        DTypeError: nothing can be made of such a type.

    Example:
        >>> loads(dumps([1, "two", (3.0, None)]))
        [1, 'two', (3.0, None)]
    """
    if data.__class__ is bytes and type is None:
        place = _single.get(data[:_USUAL])
        if place is not None and place[0] == len(data):
            return np.ndarray(place[1], place[2], data, place[3])
    value = decode(data if data.__class__ is bytes else _bytes_of(data).toreadonly())
    return value if type is None else convert(value, type)


def decode(view: bytes | memoryview) -> Any:
    """The object in these bytes; its arrays are as writable as they are."""
    key = None
    # NumPy looks through a memoryview at what that is a view of, and lets go of the view: a bytearray could then be
    # resized, or a map closed, beneath an array. `frombuffer` holds on, and arrays over its array hold on to that.
    held: Any = view if view.__class__ is bytes else np.frombuffer(view, np.uint8) if len(view) else b""
    if len(view) >= FIXED.size:
        (payload_at,) = _PAYLOAD_AT(view, 19)
        if payload_at <= _REMEMBERED_BYTES:
            key = bytes(view[:payload_at])
            places = _seen.get(key)
            if places is not None and places.size == len(view):
                made = [np.ndarray(shape, dtype, held, at) for shape, dtype, at in places.arrays]
                return made[0] if places.names is None else dict(zip(places.names, made, strict=True))
    whole = memoryview(held)
    message, elements = open_document(whole)
    value = read_value(message, elements)
    if key is not None and len(elements.parts) == 1:
        _remember(key, value, whole)
    return value


def _remember(key: bytes, value: Any, view: memoryview) -> None:
    """Note where the arrays lie, for the next document that begins with the same bytes."""
    names, arrays = (None, [value]) if value.__class__ is np.ndarray else (value, ())
    if value.__class__ is dict and len(value) <= _REMEMBERED_TENSORS:
        names, arrays = tuple(value), list(value.values())
    if not arrays or not all(
        one.__class__ is np.ndarray and one.size and one.dtype.kind != "b" for one in arrays
    ):  # each bool array is looked through
        return
    start = np.frombuffer(view, np.uint8).ctypes.data
    places = [(one.shape, one.dtype, one.ctypes.data - start) for one in arrays]
    if all(0 <= at < len(view) for _, _, at in places):
        if len(_seen) >= _REMEMBERED:
            _seen.clear()
            _single.clear()
        _seen[key] = _Places(len(view), names, places)
        if names is None and len(key) == _USUAL:
            _single[key] = (len(view), *places[0])


def forget() -> None:
    """Drop what is remembered of the structure of documents; it is only ever a matter of time."""
    _seen.clear()
    _single.clear()
    _layout.cache_clear()


def _bytes_of(data: Any) -> memoryview:
    try:
        return view_of(data)
    except TypeError as error:
        is_file = isinstance(data, (str, os.PathLike)) or hasattr(data, "read")
        raise DTypeError(
            f"proto.loads: expected bytes, or an object with a contiguous buffer, found {data.__class__.__name__}\n  "
            + ("proto.load reads files" if is_file else str(error))
        ) from None


# ---- files ----------------------------------------------------------------------------------------------------------


def dump(value: Any, file: str | os.PathLike[str] | IO[bytes], limit: int = LARGEST) -> None:
    """Write an object to a file, from where its arrays lie.

    Args:
        value: as for `dumps`.
        file: a path, whose file is replaced when the new one is complete and not before; or a file open for writing
            bytes, which may take several objects one after the other.
        limit: the bytes that one message may have.

    Raises:
        DTypeError, ValueError: as for `dumps`, before anything is written.
        OSError: the file cannot be written; what was at the path is still there.
    """
    found = pieces(value, limit)
    if isinstance(file, (str, os.PathLike)):
        with replacing(file) as opened:
            write_pieces(opened, found)
    else:
        write_pieces(file, found)


def write_pieces(file: IO[bytes], found: list[Any]) -> None:
    for piece in found:
        view = view_of(piece)
        while len(view):  # an unbuffered file may take less than it is given
            view = view[file.write(view) :]


@overload
def load(file: str | os.PathLike[str] | IO[bytes], type: None = None, *, mmap: bool = True) -> Any: ...
@overload
def load(file: str | os.PathLike[str] | IO[bytes], type: type[T], *, mmap: bool = True) -> T: ...
def load(file: Any, type: Any = None, *, mmap: bool = True) -> Any:
    """Read the object that `dump` wrote.

    Args:
        file: a path; or a file open for reading bytes, of which one object is read and not a byte more.
        type: as for `loads`.
        mmap: map the file at a path into memory, so that of each array is read what is used of it. Whoever writes
            the file meanwhile must replace it, as `dump` does. With False it is read.

    Returns:
        The object; its arrays are read-only views of the mapping, or of what was read.

    Raises:
        FileNotFoundError: there is no such file.
        FormatError, DTypeError: as for `loads`; and where a file has nothing more to read.
    """
    if not isinstance(file, (str, os.PathLike)):
        return loads(_read_document(file), type)
    with open(file, "rb") as opened:
        status = os.fstat(opened.fileno())
        try:
            if mmap and S_ISREG(status.st_mode) and status.st_size:
                return loads(map_file(opened.fileno(), 0, access=ACCESS_READ), type)
            return loads(opened.read(), type)
        except FormatError as error:
            raise FormatError(f"{os.fspath(file)}: {error}") from error


def _read_document(file: IO[bytes]) -> bytearray:
    """The bytes of the next document in a file."""
    data = bytearray()
    seen = 0
    while True:
        position = len(data)
        _read_more(file, data, FIXED.size)
        head = read_head(data, position)
        if head is None:  # one of another program, which does not say where it ends
            if position or len(data) < FIXED.size:
                raise FormatError(f"proto.load: expected a complete document, found {len(data)} bytes of one")
            data += file.read()
            return data
        _read_more(file, data, head.size - FIXED.size)
        seen += head.size - head.payload_at
        if (
            len(data) < position + head.size
            or seen >= head.payload_total
            or (position and head.size == head.payload_at)
        ):
            return data  # complete, or loads says what it is not


def _read_more(file: IO[bytes], data: bytearray, count: int) -> None:
    """Append `count` bytes, or all there are; never asking for much more memory than has come already."""
    while count > 0:
        part = file.read(min(count, max(len(data), 1 << 20)))
        if not part:
            return
        data += part
        count -= len(part)


# ---- messages -------------------------------------------------------------------------------------------------------


def message(value: Any) -> Any:
    """An object as a message of `protos/*.proto`, which holds all of it.

    Args:
        value: as for `dumps`.

    Returns:
        A `Tensor` for an array, `Model` for a `proto.Model` and so on, a `Value` for everything else. Elements stand in
        the message's `data`, copied; `dumps` leaves them outside.

    Raises:
        DTypeError, ValueError: as for `dumps`, or a tensor of 2 GiB.

    Example:
        >>> message(np.zeros((2, 3), np.float32)).shape
        [2, 3]
    """
    if value.__class__ in models.CLASSES:
        return models.to_message(value, None, partial(write_named, gathered=None, depth=0))
    array = as_array(value)
    found = messages().Value() if array is None else messages().Tensor()
    if array is None:
        write_value(found, value, None)
    else:
        write_tensor(found, array, None)
    return found


@overload
def from_message(message: Any, type: None = None) -> Any: ...
@overload
def from_message(message: Any, type: type[T]) -> T: ...
def from_message(message: Any, type: Any = None) -> Any:
    """The object of a message.

    Args:
        message: a Tensor, Value, Model, ModelConfig, Layer or Checkpoint, or a Document of these; of the classes in
            `proto.messages()`, or of those that protoc makes of the same files.
        type: as for `loads`.

    Raises:
        FormatError: the message contradicts itself, or holds something else than `type`.
        DTypeError: a message of another kind.

    Example:
        >>> from_message(messages().Tensor(dtype=12, shape=[2], float_data=[1, 2]))
        array([1., 2.], dtype=float32)
    """
    name = (describes(message) or "").removeprefix("odyssey.")
    if name not in ("Tensor", "Value", "Document", *models.CLASSES.values()):
        raise DTypeError(
            f"proto.from_message: expected a Tensor, Value, Document, {', '.join(models.CLASSES.values())}, found "
            f"{name or message.__class__.__name__}"
        )
    own = getattr(messages(), name)
    if not isinstance(message, own):
        message = parse(own, message.SerializeToString(), "proto")
    if name == "Document":
        return loads(message.SerializeToString(), type)
    elements = Elements()
    value: Any
    if name == "Tensor":
        value = read_tensor(message, elements)
    elif name == "Value":
        value = read_value(message, elements)
    else:
        value = models.from_message(message, elements, partial(read_named, elements=elements))
    return value if type is None else convert(value, type)
