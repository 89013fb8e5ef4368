"""Values to files and back.

dump, load       a value in one of seven formats: JSON, .npy, .npz, Arrow, MessagePack, Protocol Buffers, safetensors
dumps, loads     the same with bytes
save             a model's arrays to a safetensors file, which `load` reads; load_metadata: with the text beside them
replacing, write_bytes, write_json    files that are there whole or not at all
"""

from odyssey.serialization.atomic import replacing, write_bytes, write_json
from odyssey.serialization.files import dump, dumps, load, load_with_metadata, loads
from odyssey.serialization.tensors import load_metadata, save
from odyssey.serialization.values import Record, Symbol

__all__ = [
    "Record",
    "Symbol",
    "dump",
    "dumps",
    "load",
    "load_metadata",
    "load_with_metadata",
    "loads",
    "replacing",
    "save",
    "write_bytes",
    "write_json",
]
