"""Text from a decoder: prompts, a key/value cache, drawing tokens, stopping."""

from odyssey.models.generation.generate import generate
from odyssey.models.generation.sampling import Sampling
from odyssey.models.generation.text import generate_text

__all__ = ["Sampling", "generate", "generate_text"]
