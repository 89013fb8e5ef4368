"""The messages of `protos/*.proto`, as classes.

protoc has made the descriptors of the .proto files (`tools/compile_protos.py`); they are read into a pool of our own,
so that a program that compiled the same files for itself, or others under the same names, is not in the way.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from odyssey.config import get_protos

__all__ = ["A_MESSAGE", "DEEPEST", "LARGEST", "describes", "load_classes", "messages", "parse"]

LARGEST = 2**31 - 1
"""Bytes that a message may have: Protocol Buffers count them in 32 bits."""

DEEPEST = 40
"""How deep values may be nested: Protocol Buffers stop at 100 messages within each other, and a list is two."""

A_MESSAGE = 10
"""As how many levels of nesting one of our messages counts, whose own nesting Protocol Buffers begin to count anew."""


@cache
def messages() -> SimpleNamespace:
    """The classes of our messages, by name: `messages().Tensor`.

    Raises:
        ImportError: `protobuf` is not installed.
    """
    return load_classes((Path(get_protos()) / "descriptors.binpb").read_bytes())


def load_classes(descriptors: bytes) -> SimpleNamespace:
    """The classes that a FileDescriptorSet describes, in a pool of their own."""
    try:
        from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
    except ImportError as error:
        raise ImportError(
            "odyssey.bridge.proto: expected the package protobuf, found it missing; "
            "install it: pip install 'odyssey[bridge]'"
        ) from error
    pool = descriptor_pool.DescriptorPool()
    names = []
    for file in descriptor_pb2.FileDescriptorSet.FromString(descriptors).file:
        pool.Add(file)
        names += [f"{file.package}.{message.name}" for message in file.message_type]
    found = {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(name)) for name in names}
    return SimpleNamespace(**{name.rpartition(".")[2]: one for name, one in found.items()})


def parse(kind: Any, data: Any, what: str) -> Any:
    """A message of this class from bytes.

    Raises:
        FormatError: they are no such message.
    """
    from google.protobuf.message import DecodeError

    from odyssey.errors import FormatError

    try:
        return kind.FromString(data)
    except (DecodeError, ValueError) as error:
        raise FormatError(
            f"{what}: expected a complete odyssey.{kind.DESCRIPTOR.name}, found it damaged or of another kind ({error})"
        ) from error


def describes(message: Any) -> str | None:
    """The name of a message's type, if it is one; of those of other libraries too."""
    descriptor = getattr(message, "DESCRIPTOR", None)
    name = getattr(descriptor, "full_name", None)
    return name if isinstance(name, str) and hasattr(message, "SerializeToString") else None
