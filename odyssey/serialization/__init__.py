"""Arrays to files and back: `save` and `load` in the safetensors format, and the atomic writing beneath them."""

from odyssey.serialization.atomic import replacing, write_bytes, write_json
from odyssey.serialization.tensors import load, load_metadata, save

__all__ = ["load", "load_metadata", "replacing", "save", "write_bytes", "write_json"]
