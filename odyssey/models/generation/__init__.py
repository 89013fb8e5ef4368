"""Text from a decoder: prompts, a key/value cache, drawing tokens, stopping."""

from odyssey.models.generation.sampling import Sampling
from odyssey.models.generation.text import generate_text
from odyssey.models.generation.tokens import generate

__all__ = ["Sampling", "generate", "generate_text"]
