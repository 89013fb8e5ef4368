"""safetensors: arrays by name behind a header of JSON; what `odyssey.save` writes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import IO, Any

import numpy as np

from odyssey.bridge.types import TYPES
from odyssey.errors import FormatError
from odyssey.serialization.arrays import array_over
from odyssey.serialization.formats.format import Format, Holds, Write, all_dtypes, library, named_arrays, plain_metadata
from odyssey.typing import Array

__all__ = ["FORMAT"]

HOLDS = Holds(
    what="arrays by name",
    dtypes=all_dtypes(**{row.name: None for row in TYPES.values() if row.safetensors is None}),
    metadata=True,
    ordered=False,  # the library sorts them by the size of their elements
    aligned=False,
)
_BY_NAME = {row.safetensors: row for row in TYPES.values()}
_LONGEST = 100_000_000  # of a header, as the library has it
_METADATA = "__metadata__"


def prepare(value: Any, metadata: Mapping[str, str]) -> Write:
    """The arrays, as the library writes them."""
    metadata = plain_metadata(metadata, "safetensors", HOLDS)
    arrays = named_arrays(value, "safetensors", HOLDS)
    if _METADATA in arrays:
        raise ValueError(f"safetensors: expected another name than {_METADATA}, which the format keeps for itself")
    arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    data: bytes = library("safetensors.numpy", "safetensors").save(arrays, metadata or None)

    def write(file: IO[bytes]) -> None:
        file.write(data)

    return write


def read(data: Any) -> tuple[Any, dict[str, str]]:
    """A file of anyone. The arrays are views, which the library's would not be; each byte belongs to one of them."""
    view = memoryview(data)
    length = int.from_bytes(view[:8], "little")
    if len(view) < 8 or not 2 <= length <= min(len(view) - 8, _LONGEST):
        raise FormatError(f"safetensors: expected a header of 2 to {len(view) - 8} bytes, found {length}")
    header = json.loads(bytes(view[8 : 8 + length]), object_pairs_hook=_unique)
    metadata = plain_metadata(header.pop(_METADATA, {}), "safetensors", HOLDS)
    content = view[8 + length :]
    arrays: dict[str, Array] = {}
    spans = []
    for name, about in header.items():
        row = _BY_NAME.get(about["dtype"])
        begin, end = about["data_offsets"]
        if row is None or not 0 <= begin <= end <= len(content):
            raise FormatError(f"safetensors: expected {name!r} within the file and of a known type, found {about}")
        arrays[name] = array_over(content[begin:end], row.dtype, tuple(about["shape"]))
        spans.append((begin, end))
    at = 0
    for begin, end in sorted(spans):
        if begin != at:
            raise FormatError(f"safetensors: expected an array at {at}, found the next at {begin}")
        at = end
    if at != len(content):
        raise FormatError(f"safetensors: expected {at} bytes of arrays, found {len(content)}")
    return arrays, metadata


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise FormatError("safetensors: expected names to be different, found one twice")
    return found


FORMAT = Format(name="safetensors", suffixes=(".safetensors",), magic=None, holds=HOLDS, prepare=prepare, read=read)
