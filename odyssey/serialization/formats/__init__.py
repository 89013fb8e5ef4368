"""File formats, each in a module of its own: `FORMATS` by name."""

from odyssey.serialization.formats import arrow, json, messagepack, npy, npz, protobuf, safetensors
from odyssey.serialization.formats.format import Format, Holds

__all__ = ["FORMATS", "Format", "Holds"]

FORMATS: dict[str, Format] = {
    module.FORMAT.name: module.FORMAT for module in (json, npy, npz, arrow, messagepack, protobuf, safetensors)
}
"""Every format, by its name."""
