"""Nested, versioned objects between programs and years: Protocol Buffers.

    dumps, loads        an object as bytes, and back
    dump, load          the same with files
    pieces              the same bytes without putting them together, for `writev`, `sendmsg`, shared memory
    message             an object as a message of `protos/*.proto`; from_message: and back
    Model, ModelConfig, Layer, Checkpoint    what `protos/model.proto` describes

Tensors cross without a copy on the way in and with one on the way out: they lie behind the message that describes them
(`document.py`), and what is read are views of the caller's bytes.
"""

from odyssey.bridge.proto.codec import dump, dumps, from_message, load, loads, message, pieces
from odyssey.bridge.proto.model import Checkpoint, Layer, Model, ModelConfig
from odyssey.bridge.proto.schema import messages
from odyssey.bridge.proto.values import Unknown
from odyssey.serialization.values import Record, Symbol

__all__ = [
    "Checkpoint",
    "Layer",
    "Model",
    "ModelConfig",
    "Record",
    "Symbol",
    "Unknown",
    "dump",
    "dumps",
    "from_message",
    "load",
    "loads",
    "message",
    "messages",
    "pieces",
]
