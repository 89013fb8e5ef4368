"""safetensors: arrays by name behind a header of JSON; what `odyssey.save` writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from odyssey.bridge.types import TYPES
from odyssey.errors import FormatError
from odyssey.serialization import safetensors
from odyssey.serialization.formats.format import Format, Holds, Write, all_dtypes, named_arrays, plain_metadata

__all__ = ["FORMAT"]

HOLDS = Holds(
    what="arrays by name",
    dtypes=all_dtypes(**{row.name: None for row in TYPES.values() if row.safetensors is None}),
    metadata=True,
    ordered=False,  # sorted by the size of their elements
    aligned=False,
)


def prepare(value: Any, metadata: Mapping[str, str]) -> Write:
    """The arrays, to be written one after another."""
    metadata = plain_metadata(metadata, "safetensors", HOLDS)
    arrays = named_arrays(value, "safetensors", HOLDS)
    return safetensors.writer({name: safetensors.Pending.of(array) for name, array in arrays.items()}, metadata)


def read(data: Any) -> tuple[Any, dict[str, str]]:
    """A file of anyone. The arrays are views, which the library's would not be; each byte belongs to one of them."""
    try:
        arrays, metadata = safetensors.arrays(data)
    except FormatError as error:
        raise FormatError(f"safetensors: {error}") from None
    return arrays, plain_metadata(metadata, "safetensors", HOLDS)


FORMAT = Format(name="safetensors", suffixes=(".safetensors",), magic=None, holds=HOLDS, prepare=prepare, read=read)
