"""One decoder for dense and sparse transformers: its configuration, itself, and the cache it goes on from."""

from odyssey.models.decoder.cache import Cache
from odyssey.models.decoder.config import DecoderConfig
from odyssey.models.decoder.decoder import Decoder
from odyssey.models.decoder.rotary import RopeScaling

__all__ = ["Cache", "Decoder", "DecoderConfig", "RopeScaling"]
