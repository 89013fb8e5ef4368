"""Protocol Buffers: a document of `protos/data.proto`, as `odyssey.bridge.proto` writes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

from odyssey.serialization.formats.format import Format, Holds, Write, all_dtypes, library, plain_metadata

__all__ = ["FORMAT"]

HOLDS = Holds(what="anything nested", dtypes=all_dtypes(), metadata=False)


def prepare(value: Any, metadata: Mapping[str, str]) -> Write:
    """The document, from where the arrays lie."""
    library("google.protobuf", "protobuf")
    from odyssey.bridge.proto.codec import pieces, write_pieces

    plain_metadata(metadata, "protobuf", HOLDS)
    found = pieces(value)

    def write(file: IO[bytes]) -> None:
        write_pieces(file, found)

    return write


def read(data: Any) -> tuple[Any, dict[str, str]]:
    """A document; `bridge.proto.loads` also makes objects of one's own of it."""
    library("google.protobuf", "protobuf")
    from odyssey.bridge.proto.codec import decode

    return decode(data), {}


FORMAT = Format(
    name="protobuf", suffixes=(".pb", ".binpb"), magic=b"\x09ODYSSEY", holds=HOLDS, prepare=prepare, read=read
)
