"""From text to text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from odyssey.models.generation.tokens import ENDED, Generates, generate

__all__ = ["generate_text"]


def generate_text(
    model: Generates, tokenizer: Any, prompt: str, max_new_tokens: int | None = None, **options: Any
) -> Iterator[str]:
    """What follows a text, in pieces, as it is found.

    Args:
        model: a decoder.
        tokenizer: the `tokenizers.Tokenizer` that belongs to it.
        prompt: the text.
        max_new_tokens: after how many tokens to end, as for `generate`.
        options: as for `generate`.

    Returns:
        An iterator over pieces of text. A piece is whole characters: bytes of one wait for each other.

    Raises:
        ValueError: the prompt has no token, and as `generate`.
    """
    ids = tokenizer.encode(prompt).ids
    if not ids:
        raise ValueError("generate: expected a prompt of at least one token, found none; write a word or two")
    return _pieces(tokenizer, generate(model, ids, max_new_tokens, **options))


def _pieces(tokenizer: Any, tokens: Iterator[int]) -> Iterator[str]:
    from tokenizers.decoders import DecodeStream

    stream = DecodeStream(skip_special_tokens=True)
    for token in tokens:
        piece = stream.step(tokenizer, token)
        if piece:
            yield piece


def generate_texts(
    model: Generates, tokenizer: Any, prompts: Sequence[str], max_new_tokens: int | None = None, **options: Any
) -> list[str]:
    """What follows each of several texts, found side by side; each as it would be alone.

    Args, Raises: as for `generate_text`.

    Returns:
        A text for each prompt, without the prompt.
    """
    ids = [tokenizer.encode(prompt).ids for prompt in prompts]
    found: list[list[int]] = [[] for _ in prompts]
    for step in generate(model, ids, max_new_tokens, **options):
        for place, token in enumerate(step):
            if token != ENDED:
                found[place].append(int(token))
    return [tokenizer.decode(tokens) for tokens in found]
