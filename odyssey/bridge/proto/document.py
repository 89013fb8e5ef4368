"""Documents as bytes: a `Document` message, or several where one would come near the 2 GiB that a message may have.

protobuf is given the small part of a document, all but the elements of its tensors. Those lie behind it, in the
message's last field, each at a multiple of 64 bytes: writing hands out the arrays' own memory, piece by piece, and
reading finds the elements by arithmetic, in the caller's buffer. What the message says of itself (its size, where its
payload begins) is only believed where the bytes agree.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from struct import Struct
from typing import Any

from odyssey.bridge.proto.schema import LARGEST, messages, parse
from odyssey.bridge.proto.tensors import Elements, Gathered
from odyssey.errors import FormatError
from odyssey.serialization.arrays import ALIGNMENT

__all__ = ["FIXED", "MAGIC", "PREFIX", "Head", "assemble", "open_document", "read_head"]

MAGIC = int.from_bytes(b"ODYSSEY\x01", "little")
PREFIX = b"\x09ODYSSEY\x01"
"""What every document begins with."""

FIXED = Struct("<BQBQBQBQBQ")
"""Fields 1 to 5, each a byte of tag (its number times 8, plus 1 for eight bytes) and eight of value."""

_TAGS = (0x09, 0x11, 0x19, 0x21, 0x29)
_VALUE, _PADDING, _PAYLOAD = b"\x32", b"\x72", b"\x7a"  # tags of fields 6, 14 and 15, whose length follows
_ZEROS = bytes(ALIGNMENT)
_MOST_HEAD = FIXED.size + 2 + ALIGNMENT + 11  # of a message without a value
_LEAST = 512


class Head:
    """What a message of a document says of itself."""

    __slots__ = ("payload_at", "payload_from", "payload_total", "size")

    def __init__(self, size: int, payload_at: int, payload_from: int, payload_total: int) -> None:
        self.size = size
        self.payload_at = payload_at
        self.payload_from = payload_from
        self.payload_total = payload_total


def assemble(value: bytes, gathered: Gathered, limit: int = LARGEST) -> list[Any]:
    """The bytes of a document in pieces, to be written one after the other.

    Args:
        value: its value, serialised.
        gathered: the elements of its tensors.
        limit: the bytes that a message may have.

    Raises:
        ValueError: the value alone, without tensors, is beyond the limit.
    """
    if not _LEAST <= limit <= LARGEST:
        raise ValueError(f"proto: expected messages of {_LEAST} to {LARGEST} bytes, found a limit of {limit}")
    field = _VALUE + varint(len(value)) + value
    room = limit - _MOST_HEAD - len(field)
    if room < 0:
        raise ValueError(
            f"proto: expected less than {limit} bytes beside the tensors, found {len(value)}\n"
            "  arrays have no such limit: numpy.frombuffer(data, numpy.uint8) for bytes"
        )
    pieces: list[Any] = []
    spans = list(_spans(gathered.items))
    position = start = index = 0
    while True:
        end = _cut(gathered, start, room, limit)
        head, size = _head(field, start, end, gathered.total, position)
        pieces.append(head)
        while index < len(spans) and spans[index][0] < end:
            at, span = spans[index]
            pieces.append(span[max(start - at, 0) : end - at] if at < start or at + len(span) > end else span)
            if at + len(span) > end:
                break
            index += 1
        position, start, field, room = position + size, end, b"", limit - _MOST_HEAD
        if start == gathered.total:
            return pieces


def _spans(items: list[tuple[int, Any]]) -> Iterator[tuple[int, Any]]:
    """The payload from its begin to its end: where each tensor, and each gap between two, begins, and its bytes."""
    at = 0
    for offset, flat in items:
        if offset > at:
            yield at, _ZEROS[: offset - at]
        yield offset, flat
        at = offset + len(flat)


def _cut(gathered: Gathered, start: int, room: int, limit: int) -> int:
    """Where the payload of a message, from `start` on, ends: only a tensor too large for any message is split."""
    end = start + room // ALIGNMENT * ALIGNMENT
    if end >= gathered.total:
        return gathered.total
    offset, flat = gathered.items[bisect_left(gathered.items, (end,)) - 1] if end else (0, b"")
    fits = len(flat) <= (limit - _MOST_HEAD) // ALIGNMENT * ALIGNMENT
    return offset if offset + len(flat) > end and fits else end


def _head(field: bytes, start: int, end: int, total: int, position: int) -> tuple[bytes, int]:
    """A message up to its payload, and the bytes of it with the payload."""
    length = end - start
    before = FIXED.size + len(field)
    rest = b""
    if length:
        tail = _PAYLOAD + varint(length)
        padding = -(position + before + 2 + len(tail)) % ALIGNMENT
        rest = _PADDING + bytes([padding]) + _ZEROS[:padding] + tail
    payload_at = before + len(rest)
    values = (MAGIC, payload_at + length, payload_at, start, total)
    fixed = FIXED.pack(*(part for pair in zip(_TAGS, values, strict=True) for part in pair))
    return fixed + field + rest, payload_at + length


def varint(number: int) -> bytes:
    """A number as Protocol Buffers write lengths: seven bits a byte, the lowest first.

    >>> varint(300).hex()
    'ac02'
    """
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def read_head(view: Any, position: int = 0) -> Head | None:
    """What the message at `position` says of itself; None where it does not begin as ours do.

    Raises:
        FormatError: it is of another version, or contradicts itself.
    """
    if len(view) - position < FIXED.size:
        return None
    a, magic, b, size, c, payload_at, d, payload_from, e, payload_total = FIXED.unpack_from(view, position)
    if (a, b, c, d, e) != _TAGS:
        return None
    _check_magic(magic)
    if not FIXED.size <= payload_at <= size or payload_from + size - payload_at > payload_total:
        raise FormatError(
            f"proto: expected a message whose payload lies within it, found one of {size} bytes with payload from "
            f"{payload_at} on, after {payload_from} of {payload_total}"
        )
    return Head(size, payload_at, payload_from, payload_total)


def _check_magic(magic: int) -> None:
    if magic == MAGIC:
        return
    found = magic.to_bytes(8, "little")
    if found[:7] == b"ODYSSEY":
        raise FormatError(
            f"proto: expected a document of format 1, found format {found[7]}\n"
            "  a later odyssey wrote it: update this one"
        )
    raise FormatError(f"proto: expected a document that begins with {b'ODYSSEY'!r}, found {found!r}")


def open_document(view: memoryview) -> tuple[Any, Elements]:
    """The value of a document, as a message, and its payload where it lies.

    Raises:
        FormatError: it is damaged, cut off, or none.
    """
    value: Any = None
    parts: list[tuple[int, memoryview]] = []
    position = seen = total = 0
    while True:
        head = read_head(view, position)
        if head is None:
            if position:
                raise _cut_off(seen, total)
            return _open_foreign(view)
        if position == 0:
            total = head.payload_total
        if head.payload_total != total or head.payload_from != seen:
            raise FormatError(
                f"proto: expected the message with the payload from {seen} on, of {total} bytes, found the one from "
                f"{head.payload_from} on, of {head.payload_total}; are they in order, and of one document?"
            )
        message, payload = _split(view, position, head)
        if message.HasField("value") != (position == 0):
            raise FormatError("proto: expected a value in the first message and in no other, found otherwise")
        if position == 0:
            value = message.value
        if len(payload):
            parts.append((seen, payload))
        position, seen = position + head.size, seen + len(payload)
        if seen == total:
            break
        if head.size == head.payload_at and position > head.size:
            raise FormatError("proto: expected payload in each message after the first, found one without")
    if position != len(view):
        raise FormatError(
            f"proto: expected one document, of {position} bytes, found {len(view) - position} bytes behind it\n"
            "  proto.load(file) reads several, one a call"
        )
    return value, Elements(parts)


def _split(view: memoryview, position: int, head: Head) -> tuple[Any, memoryview]:
    """The message at `position` without its payload, and the payload."""
    if position + head.size > len(view):
        raise FormatError(
            f"proto: expected a message of {head.size} bytes, found it cut off after {len(view) - position}"
        )
    length = head.size - head.payload_at
    small = head.payload_at
    if length:
        tail = _PAYLOAD + varint(length)
        small -= len(tail)
        if small < FIXED.size or view[position + small : position + head.payload_at] != tail:
            raise FormatError(
                f"proto: expected the payload of {length} bytes at {head.payload_at}, found something else there"
            )
    message = parse(messages().Document, view[position : position + small], "proto")
    if message.payload:
        raise FormatError("proto: expected one payload, at the end of its message, found another before it")
    return message, view[position + head.payload_at : position + head.size]


def _open_foreign(view: memoryview) -> tuple[Any, Elements]:
    """A document that another program wrote with its own library: all of it is given to protobuf, which copies."""
    message = parse(messages().Document, view, "proto")
    _check_magic(message.magic)
    payload = memoryview(message.payload)
    size, total = len(view), len(payload)
    said = (("size", size), ("payload_from", 0), ("payload_total", total))
    for name, found in said:
        if message.HasField(name) and getattr(message, name) != found:
            raise FormatError(f"proto: expected {name} to be {found}, found {getattr(message, name)}")
    if not message.HasField("value"):
        raise FormatError("proto: expected a document with a value, found none in it")
    return message.value, Elements([(0, payload)] if total else [])


def _cut_off(seen: int, total: int) -> FormatError:
    return FormatError(f"proto: expected {total} bytes of payload, found {seen}: messages are missing at the end")
