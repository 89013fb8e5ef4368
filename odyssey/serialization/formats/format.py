"""What a file format is to `dump` and `load`: what it can hold, how it is written and how it is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import IO, Any, TypeAlias

from odyssey.bridge.types import TYPES, of
from odyssey.errors import DTypeError, FormatError
from odyssey.serialization.arrays import as_array, unicode
from odyssey.typing import Array

__all__ = ["Format", "Holds", "Write", "library", "named_arrays", "plain_metadata"]

Write: TypeAlias = Callable[[IO[bytes]], None]
"""Writes a value that has been looked through and found fit."""


@dataclass(frozen=True, kw_only=True)
class Holds:
    """What a format can hold. Everything else is refused before a byte is written.

    Attributes:
        what: "anything nested" (numbers, text, arrays, dataclasses ...), "arrays by name" or "one array".
        dtypes: how elements of each type are stored; of types that are not here, none are.
        metadata: whether text by name goes along.
        fortran: whether an array in Fortran order comes back in it; else it comes back in C order.
        ordered: whether names come back in their order.
        mapped: whether `load(..., mmap=True)` gives views of the mapped file, which is read where it is used.
        aligned: whether those begin at multiples of 64 bytes; else NumPy may find them unaligned, and slower.
        largest: the bytes that an array may have; None for no limit.
    """

    what: str
    dtypes: Mapping[str, str]
    metadata: bool
    fortran: bool = False
    ordered: bool = True
    mapped: bool = True
    aligned: bool = True
    largest: int | None = None


@dataclass(frozen=True, kw_only=True)
class Format:
    """A file format.

    Attributes:
        name: what `format=` calls it.
        suffixes: of its files.
        magic: what its files begin with, where nothing else does; None where one cannot tell.
        holds: what it can hold.
        prepare: (value, metadata) -> how to write it; raises DTypeError or ValueError for what it cannot hold.
        read: bytes, or a memoryview of an ndarray -> (value, metadata). Arrays are as writable as the bytes are;
            whatever it raises for bytes that are none of its own becomes a FormatError.
    """

    name: str
    suffixes: tuple[str, ...]
    magic: bytes | None
    holds: Holds
    prepare: Callable[[Any, Mapping[str, str]], Write]
    read: Callable[[Any], tuple[Any, dict[str, str]]]


def library(name: str, format: str) -> Any:
    """A package that a format stands on.

    Raises:
        ImportError: it is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise ImportError(
            f"serialization: {format}: expected the package {package}, found it missing; "
            "install it: pip install 'odyssey[bridge]'"
        ) from error


def named_arrays(value: Any, format: str, holds: Holds) -> dict[str, Array]:
    """The arrays of a mapping from names, each of a type that the format holds.

    Raises:
        DTypeError: it is something else, or holds something else.
        ValueError: a name that is no Unicode, or an array that is too large.
    """
    if not isinstance(value, Mapping):
        remedy = "{'array': value}" if as_array(value) is not None else "messagepack and protobuf hold anything nested"
        raise DTypeError(f"{format}: expected a mapping from names to arrays, found {type(value).__name__}\n  {remedy}")
    found: dict[str, Array] = {}
    for name, one in value.items():
        array = as_array(one)
        if type(name) is not str or array is None:
            raise DTypeError(
                f"{format}: expected arrays by names, found {type(one).__name__} at {name!r}\n"
                "  numpy.asarray(number) for a number; messagepack and protobuf hold anything nested"
            )
        found[unicode(name)] = fitting(array, format, holds, f"{name!r}")
    return found


def fitting(array: Array, format: str, holds: Holds, where: str = "the array") -> Array:
    """The array itself, if the format holds its like; errors as in `named_arrays`."""
    row = of(array.dtype)
    if row.name not in holds.dtypes:
        others = "npz" if format == "npy" else "messagepack, npz and protobuf"
        raise DTypeError(
            f"{format}: expected {', '.join(holds.dtypes)} as {where}, found {row.name}\n  {others} hold it"
        )
    if holds.largest is not None and array.nbytes > holds.largest:
        raise ValueError(
            f"{format}: expected arrays of at most {holds.largest} bytes, found {array.nbytes} at {where}\n"
            "  npz, protobuf and safetensors have no such limit"
        )
    return array


def plain_metadata(metadata: Mapping[str, str], format: str, holds: Holds) -> dict[str, str]:
    """Text by name.

    Raises:
        DTypeError: the format has no place for it, or it is something else.
    """
    if metadata and not holds.metadata:
        raise DTypeError(f"{format}: expected no metadata, which it has no place for, found {', '.join(metadata)}")
    if not all(type(part) is str for pair in metadata.items() for part in pair):
        raise DTypeError(f"{format}: expected metadata of text by name, found {metadata!r}")
    return {unicode(name): unicode(text) for name, text in metadata.items()}


def dtype_named(name: Any, format: str) -> Any:
    """The dtype that a file names.

    Raises:
        FormatError: there is none of that name.
    """
    if type(name) is not str or name not in TYPES:
        raise FormatError(f"{format}: expected a dtype of {', '.join(TYPES)}, found {name!r}")
    return TYPES[name].dtype


def all_dtypes(**exceptions: str | None) -> dict[str, str]:
    """Every type "as it is", but for those that are stored otherwise, or (None) not at all."""
    stored = {name: exceptions.get(name, "as it is") for name in TYPES}
    return {name: how for name, how in stored.items() if how is not None}
